//! Sources that are no plain folders: git repositories, archives, standard input.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::thread;

use crate::harness::container::Container;
use crate::harness::files::{Project, example, walk};
use crate::harness::git::{Daemon, Shelf, Web};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::layout::{Member, sha256};
use crate::harness::tools::{Finished, finish, temporary};

const APP: &str = "print('one')\n";

/// The image's files of the source, by their paths below it.
fn files(home: &Home, reference: &str) -> BTreeMap<String, Member> {
    let members = home.layout().members(digest_of(reference));
    members
        .into_iter()
        .filter_map(|(path, member)| {
            let path = path.strip_prefix("opt/app-root/src/")?.to_owned();
            (!path.starts_with(".local") && !path.starts_with(".pki")).then_some((path, member))
        })
        .collect()
}

/// Paths of the source; byte code is a test of its own.
fn names(files: &BTreeMap<String, Member>) -> Vec<&str> {
    files
        .keys()
        .map(String::as_str)
        .filter(|path| !path.contains("__pycache__"))
        .collect()
}

fn labels(home: &Home, reference: &str) -> serde_json::Value {
    home.layout().config(digest_of(reference))["config"]["Labels"].clone()
}

fn label<'a>(labels: &'a serde_json::Value, name: &str) -> &'a str {
    labels[format!("io.openshift.s2i.build.{name}")]
        .as_str()
        .unwrap_or_default()
}

/// Builds what is typed, which must succeed.
#[track_caller]
fn build(home: &Home, arguments: &[&str]) -> String {
    let arguments = [&["build"], arguments, &["-t", "x"]].concat();
    home.run(&arguments).ok().line().to_owned()
}

/// No file of the store or home holds these words.
fn nowhere(home: &Home, words: &[&str]) {
    for path in walk(&home.store()).into_iter().chain(walk(&home.home())) {
        if path.ends_with(".git-credentials") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for word in words {
            let found = bytes
                .windows(word.len())
                .any(|window| window == word.as_bytes());
            assert!(!found, "{} holds {word}", path.display());
        }
    }
}

#[test]
fn a_branch_a_tag_and_a_commit_are_built() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let repository = shelf.repository("shop", &[("app.py", APP), (".gitignore", "x\n")]);
    let first = repository.git(&["rev-parse", "HEAD"]);
    repository.git(&["tag", "v1"]);
    repository.git(&["checkout", "--quiet", "-b", "dev/two"]);
    let second = repository.commit("The second\n\nand more", &[("two.py", "2\n")]);
    repository.git(&["tag", "--annotate", "v2", "--message", "v2"]);
    repository.git(&["checkout", "--quiet", "main"]);
    repository.write("app.py", "not committed\n");
    let url = repository.url();

    let cases: &[(&[&str], &str, &str)] = &[
        (&[&url], &first, "main"),
        (&[&format!("{url}#v1")], &first, "v1"),
        (&[&url, "-r", "dev/two"], &second, "dev/two"),
        (&[&format!("git+{url}"), "--ref=v2"], &second, "v2"),
        (&[&url, "-r", &second], &second, "HEAD"),
        (&[&url, "-r", &first[..8]], &first, "HEAD"),
    ];
    for (arguments, commit, reference) in cases {
        let built = build(&home, arguments);
        let labels = labels(&home, &built);
        assert_eq!(label(&labels, "commit.id"), *commit, "{arguments:?}");
        assert_eq!(label(&labels, "commit.ref"), *reference, "{arguments:?}");
        assert_eq!(label(&labels, "commit.author"), "Ada <ada@example.org>");
        // A path of this machine says nothing elsewhere.
        assert_eq!(label(&labels, "source-location"), "");
        let files = files(&home, &built);
        if *commit == first {
            assert_eq!(names(&files), [".gitignore", "app.py"], "{arguments:?}");
        } else {
            assert_eq!(label(&labels, "commit.message"), "The second");
            assert_eq!(names(&files), [".gitignore", "app.py", "two.py"]);
        }
        assert_eq!(files["app.py"].body, APP.as_bytes());
    }
    // What was fetched stays, and needs no network.
    for arguments in [
        vec![url.as_str()],
        vec![&url, "-r", "v2"],
        vec![&url, "-r", &second],
    ] {
        build(&home, &[arguments.as_slice(), &["--offline"]].concat());
    }
    let private: Vec<_> = std::fs::read_dir(home.store().join("s2r/tmp"))
        .unwrap()
        .collect();
    assert!(private.is_empty(), "{private:?}");
    home.run(&["cache", "prune", "--all"]).ok();
    home.run(&["plan", &url, "--exclude", ""]).ok();
    home.run(&["build", &url, "x", "-r", "v9"])
        .exits(2)
        .says(&["v9", "ls-remote"]);
    home.run(&["lock", &url])
        .exits(2)
        .says(&["the project's folder", "clone"]);
}

#[test]
fn a_checkout_is_built_as_it_lies_or_by_revision() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let repository = shelf.repository("shop", &[("app.py", APP), ("a.bin", "1\r\n")]);
    repository.git(&["branch", "old"]);
    repository.commit(
        "More",
        &[("more.py", ""), (".gitattributes", "* filter=evil\n")],
    );
    // What a hostile checkout would have run.
    let spy = shelf.path().join("spy.sh");
    std::fs::write(
        &spy,
        format!("#!/bin/sh\ntouch {}/ran\ncat\n", shelf.path().display()),
    )
    .unwrap();
    finish(Command::new("chmod").arg("+x").arg(&spy)).ok();
    let spy = spy.to_str().unwrap();
    for setting in [
        "filter.evil.smudge",
        "core.fsmonitor",
        "uploadpack.packObjectsHook",
    ] {
        repository.git(&["config", setting, spy]);
    }
    repository.write(".git/hooks/post-checkout", "#!/bin/sh\ntouch ../ran\n");
    finish(
        Command::new("chmod")
            .args(["+x"])
            .arg(repository.path().join(".git/hooks/post-checkout")),
    )
    .ok();
    std::fs::remove_file(shelf.path().join("ran")).ok();
    repository.git(&["config", "--unset", "filter.evil.smudge"]);
    repository.git(&["config", "--unset", "core.fsmonitor"]);
    repository.write("app.py", "changed\n");
    let path = repository.path().to_str().unwrap().to_owned();

    let as_it_lies = home
        .run(&["build", &path, "-t", "x"])
        .ok()
        .says(&["1 files differ from the commit"]);
    let found = files(&home, as_it_lies.line());
    assert_eq!(found["app.py"].body, b"changed\n");

    repository.git(&["config", "filter.evil.smudge", spy]);
    repository.git(&["config", "core.fsmonitor", spy]);
    for (reference, more) in [
        ("HEAD", true),
        ("main", true),
        ("old", false),
        ("HEAD~1", false),
    ] {
        let built = build(&home, &[&path, "-r", reference]);
        let found = files(&home, &built);
        assert_eq!(found["app.py"].body, APP.as_bytes(), "{reference}");
        assert_eq!(found["a.bin"].body, b"1\r\n", "{reference}");
        assert_eq!(found.contains_key("more.py"), more, "{reference}");
    }
    assert!(!shelf.path().join("ran").exists());
    home.run(&["plan", &path, "-r", "v9"])
        .exits(2)
        .says(&["v9"]);
    let below = shelf.path().join("shop/.git/hooks");
    home.run(&["plan", below.to_str().unwrap(), "-r", "main"])
        .exits(2)
        .says(&["checkout", "--context-dir"]);
}

#[test]
fn submodules_and_context_folders_come_along() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let inner = shelf.repository("inner", &[("inner.py", "")]);
    let library = shelf.repository("lib", &[("lib.py", "1\n")]);
    library.git(&["submodule", "--quiet", "add", "../inner", "inner"]);
    library.commit("With inner", &[]);
    let repository = shelf.repository("shop", &[("web/app.py", APP), ("README", "")]);
    repository.git(&["submodule", "--quiet", "add", "../lib", "web/lib"]);
    repository.commit("With lib", &[]);
    // The commit that is wanted is no branch's.
    library.commit("Newer", &[("lib.py", "2\n")]);
    drop(inner);

    let daemon = Daemon::serving(&shelf);
    let url = daemon.url("shop");
    for _ in 0..2 {
        let built = build(&home, &[&url, "--context-dir", "web"]);
        let found = files(&home, &built);
        let expected = [
            "app.py",
            "lib",
            "lib/.gitmodules",
            "lib/inner",
            "lib/inner/inner.py",
            "lib/lib.py",
        ];
        assert_eq!(names(&found), expected);
        assert_eq!(found["lib/lib.py"].body, b"1\n");
        let labels = labels(&home, &built);
        assert_eq!(label(&labels, "source-location"), url);
        assert_eq!(label(&labels, "source-context-dir"), "web");
    }
    // Whole, even where --exclude leaves nothing out.
    let built = build(&home, &[&url, "--context-dir", "web", "--exclude", ""]);
    assert!(!files(&home, &built).contains_key("lib/.git"));
    drop(daemon);
    build(&home, &[&repository.url(), "--context-dir", "web"]);
    home.run(&["plan", &url]).exits(69).says(&["127.0.0.1"]);
}

#[test]
fn a_submodule_cannot_reach_what_the_source_could_not() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let secret = shelf.repository("secret", &[("secret.py", "")]);
    let repository = shelf.repository("shop", &[("app.py", APP)]);
    repository.git(&["submodule", "--quiet", "add", &secret.url(), "lib"]);
    repository.commit("With lib", &[]);
    let daemon = Daemon::serving(&shelf);
    home.run(&["plan", &daemon.url("shop")])
        .exits(69)
        .says(&["submodules", "transport 'file' not allowed"]);
    let ran = shelf.path().join("ran");
    let address = format!("ext::sh -c 'touch {}'", ran.display());
    repository.git(&["config", "-f", ".gitmodules", "submodule.lib.url", &address]);
    repository.commit("Evil", &[]);
    for url in [daemon.url("shop"), repository.url()] {
        home.run(&["plan", &url]).exits(69).says(&["submodules"]);
    }
    home.run(&["plan", &address]).exits(2).says(&["ext"]);
    assert!(!ran.exists());
}

#[test]
fn passwords_reach_the_host_and_nothing_else() {
    let home = Home::seeded();
    let shelf = Shelf::new();
    let library = shelf.repository("lib", &[("lib.py", "1\n")]);
    let repository = shelf.repository("shop", &[("app.py", APP)]);
    repository.git(&["submodule", "--quiet", "add", "../lib", "lib"]);
    repository.commit("With lib", &[]);
    drop(library);
    let web = Web::serving(&shelf, Some(("ada", "pass:word-hidden")));
    let url = web.url("ada:pass%3Aword-hidden", "shop");

    let built = home.run(&["build", &url, "x", "--progress", "plain"]).ok();
    assert!(!built.stderr.contains("word-hidden"), "{}", built.stderr);
    let found = labels(&home, built.line());
    assert_eq!(label(&found, "source-location"), web.url("", "shop"));
    assert!(files(&home, built.line()).contains_key("lib/lib.py"));
    // A second build of the same commit asks which one that is, and no more.
    web.take_log();
    home.run(&["build", &url, "x"]).ok();
    let asked = web.take_log();
    assert!(
        asked.iter().all(|line| line.contains("/shop/")) && asked.len() <= 2,
        "{asked:?}"
    );
    let commit = label(&found, "commit.id").to_owned();
    home.run(&["build", &web.url("", "shop"), "x", "-r", &commit])
        .ok();
    assert!(web.take_log().is_empty());
    nowhere(&home, &["word-hidden", "word%2Dhidden"]);

    // Without a password, or with a wrong one, nobody waits for an answer.
    let wrong = web.url("ada:wrong-hidden", "shop");
    for url in [
        &wrong,
        &web.url("", "shop"),
        &web.url("token-hidden", "shop"),
    ] {
        let failed = home
            .run(&["build", url, "x"])
            .exits(69)
            .says(&["credential helper"]);
        assert!(!failed.stderr.contains("hidden"), "{}", failed.stderr);
    }
    // The user's own ways of logging in count.
    std::fs::write(
        home.home().join(".gitconfig"),
        "[credential]\nhelper = store\n",
    )
    .unwrap();
    let line = format!("{}\n", web.url("ada:pass%3aword-hidden", ""));
    std::fs::write(home.home().join(".git-credentials"), line).unwrap();
    home.run(&["build", &web.url("", "shop"), "x"]).ok();
    home.run(&["build", &web.url("ada", "shop"), "x"]).ok();
    nowhere(&home, &["word-hidden"]);
}

/// A tar of these files.
fn tar(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        // As it is, for `append_data` takes no path that climbs.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, text) in files {
        writer.start_file(*name, options).unwrap();
        writer.write_all(text.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Runs s2r with these bytes on its standard input.
#[track_caller]
fn with_stdin(home: &Home, arguments: &[&str], bytes: &[u8]) -> Finished {
    let mut command = home.command(arguments);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let bytes = bytes.to_vec();
    // It may end before it has read all.
    let writer = thread::spawn(move || stdin.write_all(&bytes));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    Finished::new(&command, &output)
}

/// A project as it lies in an archive.
const CONTENT: [(&str, &str); 4] = [
    ("app.py", APP),
    ("sub/.s2iignore", ""),
    (".s2iignore", "*.log\n"),
    ("a.log", ""),
];

/// The same in one folder, as git hosts pack it.
const INSIDE: [(&str, &str); 4] = [
    ("shop-1.0/app.py", APP),
    ("shop-1.0/sub/.s2iignore", ""),
    ("shop-1.0/.s2iignore", "*.log\n"),
    ("shop-1.0/a.log", ""),
];

/// Nothing that was unpacked is left.
fn nothing_is_left(home: &Home) {
    let left: Vec<_> = std::fs::read_dir(home.store().join("s2r/tmp"))
        .unwrap()
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn an_archive_gives_the_image_of_its_folder() {
    let home = Home::seeded();
    let expected = home.build(&Project::new(&CONTENT).path(), &["x"]);
    let dir = temporary();
    let at = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let flat = tar(&CONTENT);
    let plain = at("flat.tar", &flat);
    finish(Command::new("xz").arg("-k").arg(&plain)).ok();
    finish(Command::new("zstd").args(["-q", "-k"]).arg(&plain)).ok();
    for typed in [
        plain.clone(),
        format!("{plain}.xz"),
        format!("{plain}.zst"),
        format!("file://{plain}"),
        at("flat.tgz", &gzip(&flat)),
        at("inside.tar.gz", &gzip(&tar(&INSIDE))),
        at("inside.zip", &zip(&INSIDE)),
    ] {
        assert_eq!(build(&home, &[&typed]), expected, "{typed}");
    }
    for bytes in [flat.clone(), gzip(&flat), gzip(&tar(&INSIDE))] {
        let built = with_stdin(&home, &["build", "-", "x"], &bytes).ok();
        assert_eq!(built.line(), expected);
    }
    // The only folder is the one that is asked for.
    let arguments = ["build", "-", "x", "--context-dir", "shop-1.0"];
    let built = with_stdin(&home, &arguments, &tar(&INSIDE)).ok();
    assert_eq!(files(&home, built.line())["app.py"].body, APP.as_bytes());
    let wrong = format!("{plain}#sha256={}", "0".repeat(64));
    for (arguments, code, text) in [
        (vec!["plan", &wrong[..]], 65, "sha256"),
        (vec!["plan", &plain, "-r", "main"], 2, "-r"),
        (vec!["lock", &plain], 2, "unpack"),
        (vec!["plan", &at("x.rar", b"Rar!")], 2, ".tar.gz"),
    ] {
        home.run(&arguments).exits(code).says(&[text]);
    }
    nothing_is_left(&home);
}

#[test]
fn an_archive_is_fetched_with_a_password_that_nobody_sees() {
    let home = Home::seeded();
    let expected = home.build(&Project::new(&CONTENT).path(), &["x"]);
    let zipped = zip(&INSIDE);
    let hash = sha256(&zipped).replace(':', "=");
    let packed = gzip(&tar(&INSIDE));
    let server = Index::of_pages(
        BTreeMap::from([
            ("/shop-1.0.tar.gz?token=word-hidden".to_owned(), packed),
            ("/main.zip".to_owned(), zipped),
            ("/page.zip".to_owned(), b"<html>log in".to_vec()),
        ]),
        Some(("ada", "word-hidden")),
        Fault::None,
    );
    let with_login = server.root().replace("http://", "http://ada:word-hidden@");
    let pinned = format!("{with_login}/main.zip#{hash}");
    let signed = format!("{with_login}/shop-1.0.tar.gz?token=word-hidden");
    // What is known by its hash is not fetched again.
    for (typed, more) in [
        (&signed, "--refresh"),
        (&pinned, "--refresh"),
        (&pinned, "--offline"),
    ] {
        let built = home
            .run(&["build", typed, "x", "--progress", "plain", more])
            .ok();
        assert_eq!(built.line(), expected, "{typed}");
        assert!(!built.stderr.contains("word-hidden"), "{}", built.stderr);
    }
    for (typed, code, text) in [
        (format!("{with_login}/page.zip"), 65, "web page"),
        (format!("{with_login}/none.zip"), 69, "404"),
        (format!("{}/main.zip", server.root()), 69, "401"),
        (format!("{signed}#sha256={}", "0".repeat(64)), 69, "sha256"),
    ] {
        let failed = home.run(&["plan", &typed]).exits(code).says(&[text]);
        assert!(!failed.stderr.contains("word-hidden"), "{}", failed.stderr);
    }
    nowhere(&home, &["word-hidden"]);
    nothing_is_left(&home);
}

#[test]
fn a_hostile_archive_is_refused_by_the_name_that_was_typed() {
    let home = Home::empty();
    let climbing = tar(&[("app.py", APP), ("../../evil", "x")]);
    with_stdin(&home, &["build", "-", "x"], &climbing)
        .exits(65)
        .says(&["standard input: ../../evil is refused", ".."]);
    let whiteout = tar(&[("app.py", APP), ("sub/.wh.app.py", "")]);
    with_stdin(&home, &["build", "-", "x"], &whiteout)
        .exits(65)
        .says(&["standard input/sub/.wh.app.py"]);
    let folders = tar(&[("only/a/", ""), ("only/b/", "")]);
    with_stdin(&home, &["build", "-", "x"], &folders)
        .exits(65)
        .says(&["standard input holds no files"]);
    let whole = gzip(&tar(&[("app.py", &APP.repeat(1000))]));
    with_stdin(&home, &["build", "-", "x"], &whole[..whole.len() / 2]).exits(65);
    with_stdin(&home, &["build", "-", "x"], b"")
        .exits(65)
        .says(&["not a single byte"]);
    assert!(!walk(home.dir()).iter().any(|path| path.ends_with("evil")));
    nothing_is_left(&home);
}

#[test]
fn the_example_is_built_from_a_repository_made_on_the_fly() {
    let home = Home::seeded();
    let dir = temporary();
    let mut command = home.other(&example("git-source").join("build.sh"));
    command
        .arg("git-source")
        .env("S2R", env!("CARGO_BIN_EXE_s2r"))
        .env("REPOSITORY", dir.path().join("repository"));
    let built = finish(&mut command).ok();
    let found = labels(&home, built.line());
    assert_eq!(label(&found, "commit.ref"), "v1.0");
    assert_eq!(label(&found, "commit.message"), "The first release");
    let image = home.layout().reference(digest_of(built.line()));
    let container = Container::start(&image, 1_000_680_000);
    assert_eq!(container.page("/"), "Hello from v1.0\n");
}
