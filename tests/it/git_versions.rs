//! Projects that take their version from git: setuptools-scm, hatch-vcs and versioningit.

use crate::harness::files::Project;
use crate::harness::git::{Checkout, Daemon, Shelf};
use crate::harness::home::Home;

const SAYS_ITS_VERSION: &str =
    "from importlib.metadata import version\nprint('version', version('shop'))\n";
const SETUPTOOLS: &str = "\
[build-system]
requires = ['setuptools==80.9.0', 'setuptools-scm==8.3.1']
build-backend = 'setuptools.build_meta'
[project]
name = 'shop'
dynamic = ['version']
[tool.setuptools_scm]
[tool.setuptools]
package-dir = {'' = 'src'}
";
const HATCH: &str = "\
[build-system]
requires = ['hatchling==1.27.0', 'hatch-vcs==0.5.0', 'setuptools-scm==8.3.1']
build-backend = 'hatchling.build'
[project]
name = 'shop'
dynamic = ['version']
[tool.hatch.version]
source = 'vcs'
[tool.hatch.build.targets.wheel]
packages = ['src/shop']
";

const VERSIONINGIT: &str = "\
[build-system]
requires = ['setuptools==80.9.0', 'versioningit==3.3.0']
build-backend = 'setuptools.build_meta'
[project]
name = 'shop'
dynamic = ['version']
[tool.versioningit.vcs]
match = ['v*']
[tool.setuptools]
package-dir = {'' = 'src'}
";
/// What `git archive` fills in, as setuptools-scm's documentation has it.
const ARCHIVAL: &str = "node: $Format:%H$\nnode-date: $Format:%cI$\n\
    describe-name: $Format:%(describe:tags=true,match=*[0-9]*)$\n";

/// A repository whose second commit comes behind the tag v1.4.
fn tagged(shelf: &Shelf, name: &str, pyproject: &str) -> Checkout {
    let repository = shelf.repository(
        name,
        &[
            ("pyproject.toml", pyproject),
            ("app.py", SAYS_ITS_VERSION),
            ("src/shop/__init__.py", ""),
            ("src/shop/words.txt", "data\n"),
        ],
    );
    repository.git(&["tag", "v1.4"]);
    repository.commit("More", &[("src/shop/more.py", "")]);
    repository
}

/// What the image of a build says that its version is.
#[track_caller]
fn version(home: &Home, arguments: &[&str]) -> String {
    home.run(&[&["build"], arguments, &["-t", "x"]].concat())
        .ok();
    let said = home.run(&["run", "x"]).ok().stdout;
    let line = said.lines().find_map(|line| line.strip_prefix("version "));
    line.unwrap_or_else(|| panic!("{said}")).to_owned()
}

#[test]
fn the_version_is_that_of_the_commit() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let repository = tagged(&shelf, "hatch", HATCH);
    let later = version(&home, &[repository.path().to_str().unwrap()]);
    assert!(later.starts_with("1.5.dev1+g"), "{later}");
    let repository = tagged(&shelf, "setuptools", SETUPTOOLS);
    let folder = repository.path().to_str().unwrap();
    let url = repository.url();
    let later = version(&home, &[folder]);
    assert!(later.starts_with("1.5.dev1+g"), "{later}");
    assert_eq!(version(&home, &[&url]), later);
    assert_eq!(version(&home, &[&url, "-r", "v1.4"]), "1.4");
    assert_eq!(version(&home, &[folder, "-r", "v1.4"]), "1.4");
    // A tag alone makes another version of the same files.
    repository.git(&["tag", "v2.0"]);
    assert_eq!(version(&home, &[folder]), "2.0");
    // The file that says it is a matter of the build.
    let listed = home.run(&["run", "x", "--", "ls", "-a"]).ok().stdout;
    assert!(
        listed.contains("app.py") && !listed.contains("archival"),
        "{listed}"
    );
}

#[test]
fn a_requirement_of_a_repository_has_the_version_of_its_commit() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    tagged(&shelf, "shop", SETUPTOOLS);
    let daemon = Daemon::serving(&shelf);
    let requirement = format!("shop @ git+{}\n", daemon.url("shop"));
    let project = Project::new(&[
        ("app.py", SAYS_ITS_VERSION),
        ("requirements.txt", &requirement),
    ]);
    let version = version(&home, &[project.path().to_str().unwrap()]);
    assert!(version.starts_with("1.5.dev1+g"), "{version}");
}

#[test]
fn a_commit_without_a_tag_says_how_to_have_one() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let files = [
        ("pyproject.toml", SETUPTOOLS),
        ("app.py", SAYS_ITS_VERSION),
        ("src/shop/__init__.py", ""),
    ];
    let repository = shelf.repository("untagged", &files);
    let folder = repository.path().to_str().unwrap();
    home.run(&["build", folder, "x"])
        .exits(65)
        .says(&["git fetch --tags", "SETUPTOOLS_SCM_PRETEND_VERSION"]);
    let pretended = version(&home, &[folder, "-e", "SETUPTOOLS_SCM_PRETEND_VERSION=3.1"]);
    assert_eq!(pretended, "3.1");
}

#[test]
fn tools_that_ask_git_alone_are_answered() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let repository = tagged(&shelf, "versioningit", VERSIONINGIT);
    let folder = repository.path().to_str().unwrap();
    let short = &repository.git(&["rev-parse", "HEAD"])[..7];
    let later = format!("1.4.post1+g{short}");
    assert_eq!(version(&home, &[folder]), later);
    assert_eq!(version(&home, &[folder, "-r", "v1.4"]), "1.4");
    // Nor is there git where an archive of the commit is built.
    repository.write(".gitattributes", ".git_archival.txt export-subst\n");
    repository.commit("Archives", &[(".git_archival.txt", ARCHIVAL)]);
    let short = &repository.git(&["rev-parse", "HEAD"])[..7];
    let archive = home.dir().join("shop.tar.gz");
    let archive = archive.to_str().unwrap();
    repository.git(&["archive", "--output", archive, "HEAD"]);
    assert_eq!(version(&home, &[archive]), format!("1.4.post2+g{short}"));
    // Of a tag that the pattern leaves out, nothing is made up.
    repository.git(&["tag", "2024"]);
    home.run(&["build", folder, "x"])
        .exits(65)
        .says(&["default-version", "[tool.versioningit]"]);
}
