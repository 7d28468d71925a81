//! What a power cut leaves of the store: files that were renamed before their bytes were on the disk are empty.

use std::collections::BTreeSet;
use std::fs;

use super::{CHECKED_WHEN_READ, remake};
use crate::harness::files::{example, walk};
use crate::harness::home::Home;
use crate::harness::tools::{finish, temporary};

/// More that need not be synced: the copy of the list of images, which has its digest inside; files that are
/// compared with what they ought to be; and what uv keeps for itself.
const CHECKED_BESIDES: [&str; 4] = [
    "s2r/images",
    "s2r/tools/targets/",
    "s2r/tools/driver-",
    "s2r/tools/uv-cache/",
];

/// A rename into the store, and whether the bytes were on the disk by then.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rename {
    to: String,
    is_synced: bool,
}

/// Runs a command under strace, and gives the renames into the store, paths from there.
fn renames(home: &Home, arguments: &[&str]) -> BTreeSet<Rename> {
    let logs = temporary();
    let prefix = logs.path().join("log");
    let calls = "trace=rename,renameat,renameat2,link,linkat,fsync,fdatasync,syncfs";
    let outer = [
        "strace",
        "-ff",
        "-qq",
        "-y",
        "-s",
        "4096",
        "-e",
        calls,
        "-o",
        prefix.to_str().unwrap(),
    ];
    let mut command = home.command_under(&outer, arguments);
    finish(&mut command).ok();
    let store = format!("{}/", home.store().display());
    let mut found = BTreeSet::new();
    // A file a thread: what is renamed is synced by the same one.
    for log in walk(logs.path()) {
        let mut synced = BTreeSet::new();
        let mut all_synced = false;
        for line in fs::read_to_string(log).unwrap().lines() {
            let Some((call, rest)) = line.split_once('(') else {
                continue;
            };
            if !line.ends_with(" = 0") {
                continue;
            }
            if call == "syncfs" {
                all_synced = true;
            } else if call.ends_with("sync") {
                let path = rest
                    .split_once('<')
                    .and_then(|(_, rest)| rest.split_once('>'));
                synced.insert(path.unwrap().0.to_owned());
            } else {
                let paths: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
                let [from, to] = paths[..] else {
                    panic!("{line}");
                };
                if let Some(to) = to.strip_prefix(&store)
                    && !to.starts_with("s2r/tmp/")
                {
                    let is_synced = all_synced || synced.contains(from);
                    let to = to.to_owned();
                    found.insert(Rename { to, is_synced });
                }
                all_synced = false;
            }
        }
    }
    found
}

fn is_checked_when_read(path: &str) -> bool {
    let mut places = CHECKED_WHEN_READ.iter().chain(&CHECKED_BESIDES);
    places.any(|place| path.starts_with(place))
}

#[test]
fn a_power_cut_names_nothing_short_that_would_be_believed() {
    let home = Home::seeded();
    home.forget_layers();
    let source = example("flask-gunicorn");
    let source = source.to_str().unwrap();
    let mut found = renames(&home, &["build", source, "app"]);
    let run = ["run", "app", "--", "true"];
    found.append(&mut renames(&home, &run));
    let unsafe_ones: Vec<&Rename> = found
        .iter()
        .filter(|rename| !rename.is_synced && !is_checked_when_read(&rename.to))
        .collect();
    assert!(unsafe_ones.is_empty(), "{unsafe_ones:#?}");
    // The table has no folder, and the log no kind of file, that would not have been met.
    for kind in [
        "blobs/",
        "s2r/layers/",
        "s2r/compiled/",
        "s2r/roots/",
        "index.json",
    ] {
        assert!(
            found.iter().any(|rename| rename.to.starts_with(kind)),
            "{kind}: {found:#?}"
        );
    }
    // The cut: what was not synced keeps its name and loses its bytes. Then all is as it was.
    let digest = home.layout().index()["manifests"][0]["digest"].clone();
    for rename in found.iter().filter(|rename| !rename.is_synced) {
        let path = home.store().join(&rename.to);
        if path.exists() {
            fs::remove_file(&path).unwrap();
            fs::write(&path, b"").unwrap();
        }
    }
    home.run(&["images"]).ok();
    home.run(&run).exits(69).says(&["s2r build"]);
    assert_eq!(remake(&home), digest.as_str().unwrap());
    home.run(&run).ok();
    home.run(&["cache", "verify"]);
    home.run(&["cache", "verify"]).ok();
}
