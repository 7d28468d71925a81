//! Images for arm64, started on another processor: QEMU runs their programs, found by the kernel's `binfmt_misc` in a
//! user namespace of the test's own, which Linux 6.7 and later have.

use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::harness::files::example;
use crate::harness::home::{Home, digest_of};
use crate::harness::registry::get;
use crate::harness::tools::{as_root, finish, free_port, temporary};

/// Emulation is some ten times slower than the processor.
const START_LIMIT: Duration = Duration::from_mins(2);

/// Registers QEMU for programs that begin as those of arm64 do (elf(5)), and starts the image's `run` in its root.
const START: &str = r#"set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
elf='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
printf '%s' ":arm64:M::$elf:$mask:/usr/bin/qemu-aarch64-static:F" >/proc/sys/fs/binfmt_misc/register
mount -t proc none "$ROOT/proc"
exec chroot "$ROOT" /usr/bin/env -i PORT="$PORT" WEB_CONCURRENCY=1 HOME=/opt/app-root/src LC_ALL=en_US.UTF-8 \
  PATH=/opt/app-root/bin:/usr/bin:/bin STI_SCRIPTS_PATH=/usr/libexec/s2i \
  /bin/sh -c 'cd "$HOME" && exec /usr/libexec/s2i/run'
"#;

/// Ends with the value, and all that it started with it.
struct Emulated(Child);

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "emulates a processor; run it by its name, on Linux 6.7 or later"]
fn examples_for_arm64_answer_under_qemu() {
    let home = Home::seeded();
    for (name, expected) in [
        ("flask-gunicorn", "Hello from Flask\n"),
        ("fastapi-uvicorn", "Hello from FastAPI"),
        ("numpy", "The squares of 1 to 10 add up to 385\n"),
    ] {
        let built = home.build(&example(name), &[name, "--platform", "linux/arm64"]);
        let bundle = temporary();
        let bundle = bundle.path().join("bundle");
        let image = home.layout().reference(digest_of(&built));
        let image = image.trim_start_matches("oci:").to_owned();
        let mut unpack = as_root("umoci");
        finish(unpack.args(["unpack", "--image", &image]).arg(&bundle)).ok();
        let port = free_port();
        let mut command = Command::new("unshare");
        command
            .args([
                "--map-root-user",
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
            ])
            .args(["sh", "-c", START])
            .env("ROOT", bundle.join("rootfs"))
            .env("PORT", port.to_string())
            .stdin(Stdio::null());
        let mut emulated = Emulated(command.spawn().unwrap());
        let started = Instant::now();
        let page = loop {
            if let Some(answer) = get(port, "/") {
                assert_eq!(answer.status, 200, "{name}");
                break String::from_utf8_lossy(&answer.body).into_owned();
            }
            let ended = emulated.0.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            assert!(started.elapsed() < START_LIMIT, "{name} does not answer");
            sleep(Duration::from_millis(100));
        };
        assert!(page.contains(expected), "{name}: {page}");
    }
}
