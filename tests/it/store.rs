//! The store under what steps, file systems and other users do to it: it mends itself, or it says what to do.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::home::Home;
use crate::harness::tools::{as_root, finish, is_root};

/// Python that makes folders in each other, far deeper than a path may be long.
const DIG: &str = "
import os
for _ in range(2_000):
    os.mkdir('a-folder')
    os.chdir('a-folder')
open('file', 'w').write('x')
print('deep', flush=True)
";

/// How many entries lie in the folder for files being written.
fn scratch(home: &Home) -> usize {
    fs::read_dir(home.store().join("s2r/tmp")).unwrap().count()
}

#[test]
fn a_deep_tree_of_a_step_is_removed() {
    let home = Home::seeded();
    let arguments = ["run", "script", "--", "python3", "-c"];
    home.run(&[&arguments[..], &[DIG]].concat()).ok();
    assert_eq!(scratch(&home), 0);

    // Cut off, it stays behind, and is in nobody's way.
    let sleepy = format!("{DIG}\nimport time\ntime.sleep(600)");
    let mut child = home
        .command(&[&arguments[..], &[sleepy.as_str()]].concat())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0]).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    // Whoever was in there goes a moment later.
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(10) && scratch(&home) == 0 {
        sleep(Duration::from_millis(20));
    }
    assert_eq!(scratch(&home), 1);
    home.run(&["cache"]).ok();
    home.run(&["cache", "prune"]).ok();
    assert_eq!(scratch(&home), 0);
    home.run(&["run", "script", "--", "true"]).ok();
}

#[test]
fn a_store_in_a_folder_that_gives_its_group_away() {
    let home = Home::seeded();
    let store = home.store();
    let store = store.to_str().unwrap();
    let steps = || {
        let script = "echo x > new && echo x >> app.py && mkdir d && rm -r d && cat new";
        let said = finish(
            home.command(&["run", "script", "--", "sh", "-c", script])
                .stdin(Stdio::null()),
        );
        assert_eq!(said.ok().stdout, "x\n");
    };
    finish(as_root("chgrp").args(["-R", "1234", store])).ok();
    let folders = [store, "-type", "d", "-exec", "chmod", "g+s", "{}", "+"];
    finish(as_root("find").args(folders)).ok();
    steps();
    // Layers that another group has unpacked are unpacked again.
    let roots = format!("{store}/s2r/roots");
    finish(as_root("chgrp").args(["-R", "1234", &roots])).ok();
    steps();
}

#[test]
fn a_link_in_the_place_of_the_scratch_folder() {
    let home = Home::seeded();
    let precious = home.dir().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "x").unwrap();
    let tmp = home.store().join("s2r/tmp");
    fs::remove_dir_all(&tmp).unwrap();
    symlink(&precious, &tmp).unwrap();
    for arguments in [&["images"][..], &["cache", "prune"], &["run", "script"]] {
        home.run(arguments)
            .exits(69)
            .says(&["s2r/tmp", "is a link", "rm "]);
    }
    assert!(precious.join("file").exists());
    fs::remove_file(&tmp).unwrap();
    home.run(&["run", "script", "--", "true"]).ok();
}

#[test]
fn a_store_of_another_user() {
    let home = Home::seeded();
    let prune = ["cache", "prune"];
    let tmp = home.store().join("s2r/tmp");
    let mut command = if is_root() {
        // Root may do as it likes; somebody else may not, where neither they nor the store's owner
        // made the folder.
        std::os::unix::fs::chown(&tmp, Some(4322), None).unwrap();
        fs::set_permissions(home.dir(), fs::Permissions::from_mode(0o755)).unwrap();
        let outer = ["setpriv", "--reuid=4321", "--regid=4321", "--clear-groups"];
        home.command_under(&outer, &prune)
    } else {
        finish(as_root("chown").arg("4321").arg(tmp)).ok();
        home.command(&prune)
    };
    finish(&mut command).exits(69).says(&[
        "s2r/tmp",
        "belongs to somebody else",
        "4321",
        "S2R_STORE",
    ]);
    assert!(home.store().join("oci-layout").exists());
}
