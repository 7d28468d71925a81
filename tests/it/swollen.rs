//! Small wheels that unpack to much: nothing of them is unpacked before they are held to a rule, neither by
//! s2r nor by the resolver that it runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::harness::files::{Project, walk};
use crate::harness::home::Home;
use crate::harness::index::{Fault, Index};
use crate::harness::layout::sha256;
use crate::harness::tools::finish;
use crate::harness::wheel::swollen;

/// More than the rule allows a wheel of this length, and little enough to be made in a test.
const MEBIBYTES: usize = 400;
const FILE: &str = "big-1.0-py3-none-any.whl";

fn disk(folder: &Path) -> u64 {
    let files = walk(folder).into_iter();
    files.map(|file| fs::metadata(file).unwrap().len()).sum()
}

/// An index that has the wheel, and tells its hash or not.
fn index(wheel: &[u8], tells_hash: bool) -> Index {
    let hash = if tells_hash {
        format!("#{}", sha256(wheel).replace(':', "="))
    } else {
        String::new()
    };
    let page = format!("<html><a href=\"/files/{FILE}{hash}\">{FILE}</a></html>");
    let pages = BTreeMap::from([
        ("/simple/big/".to_owned(), page.clone().into_bytes()),
        ("/links/".to_owned(), page.into_bytes()),
        (format!("/files/{FILE}"), wheel.to_vec()),
    ]);
    Index::of_pages(pages, None, Fault::None)
}

#[test]
fn a_small_wheel_does_not_fill_the_disk() {
    let home = Home::seeded();
    let wheel = swollen("big", MEBIBYTES);
    let with_hash = index(&wheel, true);
    let without = index(&wheel, false);
    let before = disk(home.data());
    let url = format!("{}/files/{FILE}", without.root());
    for (line, index) in [
        (format!("./wheels/{FILE}"), &without),
        ("--no-index\n--find-links wheels\nbig".to_owned(), &without),
        (format!("big @ {url}"), &without),
        (
            format!("--no-index\n--find-links {}/links/\nbig", without.root()),
            &without,
        ),
        ("big".to_owned(), &without),
        ("big".to_owned(), &with_hash),
    ] {
        let project = Project::new(&[("app.py", "pass\n"), ("requirements.txt", &line)]);
        fs::create_dir(project.path().join("wheels")).unwrap();
        fs::write(project.path().join("wheels").join(FILE), &wheel).unwrap();
        index
            .build(&home, &project.path())
            .exits(65)
            .says(&["big", "256 MiB", "--max-unpacked"]);
        let grown = disk(home.data()) - before;
        assert!(grown < 16 << 20, "{line}: {grown} bytes");
    }
}

#[test]
fn who_says_so_gets_it() {
    let home = Home::seeded();
    let project = Project::new(&[
        ("app.py", "pass\n"),
        ("requirements.txt", &format!("./{FILE}\n")),
    ]);
    fs::write(project.path().join(FILE), swollen("big", MEBIBYTES)).unwrap();
    finish(
        home.command(&["build"])
            .arg(project.path())
            .args(["x", "--max-unpacked", "1G"]),
    )
    .ok();
}
