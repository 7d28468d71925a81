//! What rows may require, and the locks that give it to them without asking an index again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::sync::OnceLock;

use crate::harness::files::Project;
use crate::harness::home::Home;
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::wheel::Wheel;

/// The lock's file name.
pub(super) const PYLOCK: &str = "pylock.toml";
/// The requirement of a gunicorn that rows have.
pub(super) const GUNICORN: &str = "gunicorn==27.0.1";
/// One that does not know the setting `wsgi_app`.
pub(super) const OLD_GUNICORN: &str = "gunicorn==20.0.4";
/// A folder of that name, and nothing in it.
pub(super) const DJANGO: &str = "django";

/// What old gunicorn needs: it imports `pkg_resources`.
const SETUPTOOLS: &str = "setuptools==80.9.0";
/// All rows have it.
const SEEN: &str = "seen";

struct Shelf {
    home: Home,
    /// Serves the hand-made wheels as long as the tests run.
    _index: Index,
    /// Requirement to its blocks of a lock.
    blocks: BTreeMap<&'static str, String>,
}

/// The user who builds most rows.
pub(super) fn home() -> &'static Home {
    &shelf().home
}

/// One who has the builder's compiler too, for rows whose builds need all of the builder.
pub(super) fn home_with_compiler() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(Home::with_compiler)
}

/// The lock of these requirements.
pub(super) fn lock(requirements: &[&str]) -> String {
    let mut text = "lock-version = \"1.0\"\ncreated-by = \"by hand\"\n".to_owned();
    for requirement in requirements.iter().chain([&SEEN]) {
        text += shelf()
            .blocks
            .get(requirement)
            .unwrap_or_else(|| panic!("no row has {requirement}"));
    }
    text
}

fn shelf() -> &'static Shelf {
    static SHELF: OnceLock<Shelf> = OnceLock::new();
    SHELF.get_or_init(|| {
        let home = Home::seeded();
        let wheels = [
            Wheel::new(SEEN, "1.0").file("seen.py", include_str!("seen.py")),
            Wheel::new(DJANGO, "5.2").file("django/__init__.py", ""),
        ];
        let index = Index::serving(&wheels, None, Fault::None);
        let mut blocks = BTreeMap::new();
        for (name, wheel) in [SEEN, DJANGO].into_iter().zip(&wheels) {
            blocks.insert(name, by_hand(wheel, &index));
        }
        blocks.insert(GUNICORN, resolved(&home, &[GUNICORN]));
        blocks.insert(OLD_GUNICORN, resolved(&home, &[OLD_GUNICORN, SETUPTOOLS]));
        Shelf {
            home,
            _index: index,
            blocks,
        }
    })
}

fn by_hand(wheel: &Wheel, index: &Index) -> String {
    let (name, file) = (wheel.name(), wheel.file_name());
    let bytes = wheel.bytes();
    let hash = sha256(&bytes).replace("sha256:", "");
    let mut block = format!("\n[[packages]]\nname = \"{name}\"\nversion = \"");
    let version = file.split('-').nth(1).unwrap();
    writeln!(
        block,
        "{version}\"\nwheels = [{{ name = \"{file}\", url = \"{}/files/{file}\", size = {}, hashes = {{ sha256 = \"{hash}\" }} }}]",
        index.root(),
        bytes.len()
    )
    .unwrap();
    block
}

/// The blocks of what `s2r lock` says of these requirements.
fn resolved(home: &Home, requirements: &[&str]) -> String {
    let text = requirements.join("\n") + "\n";
    let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &text)]);
    let source = project.path();
    home.run(&["lock", source.to_str().unwrap()]).ok();
    let lock = fs::read_to_string(source.join(PYLOCK)).unwrap();
    let start = lock.find("[[packages]]").unwrap();
    // What the lock says of its own inputs is not true of a row's project.
    let end = lock.find("[tool.s2r").unwrap_or(lock.len());
    format!("\n{}", &lock[start..end])
}
