//! Builds of projects that mean harm: an own backend and an own assemble script that do everything they should
//! not. They are contained, it is said what happened, and nothing of them is left. And that a build with nothing
//! to run runs nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::NamedTempFile;

use crate::harness::files::{Project, own_builder, walk};
use crate::harness::home::{Home, digest_of};
use crate::harness::index::{Fault, Index};
use crate::harness::tools::{Finished, alive, finish};
use crate::harness::wheel::Wheel;

/// What no step may ever see: a variable of s2r's own, and a file beside the store.
const SECRET: &str = "hunter2-of-the-machine";
/// A name that no file of the machine has before.
const TRACE: &str = "s2r-it-trace";

/// One function an act. Whatever is refused is passed over: harm is what gets through.
const HARM: &str = r#"
import glob, os, subprocess, sys, time

def attempt(act, *arguments):
    try:
        return act(*arguments)
    except OSError as error:
        return error

def write(path):
    attempt(os.makedirs, os.path.dirname(path), 0o777, True)
    with open(path, "w") as file:
        file.write("x")

def read(path):
    with open(path, "rb") as file:
        print("read", path, file.read(1 << 16), flush=True)

def reach(home, project):
    for path in [
        "/etc/TRACE", "/usr/bin/TRACE", "/root/TRACE", "/var/lib/TRACE",
        home + "/TRACE", project + "/TRACE", "../../TRACE",
        "../../../../../../../.." + home + "/TRACE", "/proc/1/root" + home + "/TRACE",
    ]:
        attempt(write, path)
    attempt(os.symlink, home, "/tmp/out")
    attempt(write, "/tmp/out/TRACE")
    attempt(os.rename, "/etc/passwd", "/etc/TRACE")
    attempt(os.chmod, "/etc", 0)
    for path in [home + "/secret", "/etc/shadow", "/proc/1/root" + home + "/secret"]:
        attempt(read, path)
    for path in glob.glob("/proc/*/environ") + glob.glob("/proc/*/cmdline"):
        attempt(read, path)
    for name, value in os.environ.items():
        print(name, value)
    for pid in [1, os.getppid(), -1]:
        if pid != os.getpid() and pid != os.getppid():
            attempt(os.kill, pid, 0)

def daemons(mark):
    for _ in range(3):
        subprocess.Popen(["sleep", mark], start_new_session=True, stdin=subprocess.DEVNULL,
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; sleep " + mark])
    time.sleep(0.2)

def talk():
    line = b"so much to say " * 66 + b"\n"
    for _ in range(100_000):
        os.write(1, line)
    os.write(1, b"\x1b[2Jthe end\n")

def sleep(mark):
    print("good night", flush=True)
    daemons(mark)
    time.sleep(86400)

def fork(mark):
    print("here they come", flush=True)
    while True:
        try:
            os.fork()
        except OSError:
            os.execvp("sleep", ["sleep", mark])

def memory():
    print("more", flush=True)
    kept = []
    while True:
        kept.append(b"x" * (16 << 20))

def disk():
    print("writing", flush=True)
    with open("/tmp/big", "wb") as file:
        while True:
            file.write(b"x" * (1 << 20))
"#;

/// A backend that does harm before it makes its wheel.
const BACKEND: &str = r#"
import os, zipfile
import harm

def build_wheel(folder, config_settings=None, metadata_directory=None):
    harm.ACT
    info = "shop-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, "shop-1.0-py3-none-any.whl"), "w") as wheel:
        wheel.writestr("shop.py", "x = 1\n")
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\nName: shop\nVersion: 1.0\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\nGenerator: own\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(info + "RECORD", "")
    return "shop-1.0-py3-none-any.whl"
"#;

const PYPROJECT: &str =
    "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n";

const ASSEMBLE: &str = "#!/bin/sh\ncd /opt/app-root/src && cp /tmp/src/*.py . && PYTHONPATH=/tmp/src \
    exec python3.13 -c 'import harm; harm.ACT'\n";

/// How harm comes into a build.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Backend,
    Assemble,
}

/// A machine with something to lose, and a project that wants it.
struct Attack {
    home: Home,
    project: Project,
    builder: NamedTempFile,
    way: Way,
    before: Vec<(PathBuf, u64, u32, i64)>,
}

/// What a folder holds: paths, lengths, modes, times of change.
fn state(folder: &Path) -> Vec<(PathBuf, u64, u32, i64)> {
    walk(folder)
        .into_iter()
        .map(|path| {
            let metadata = fs::metadata(&path).unwrap();
            (path, metadata.len(), metadata.mode(), metadata.ctime())
        })
        .collect()
}

impl Attack {
    /// `act` is a call of one of the functions above; `HOME` and `PROJECT` in it are paths outside.
    fn new(way: Way, act: &str) -> Self {
        let home = Home::seeded();
        fs::write(home.dir().join("secret"), SECRET).unwrap();
        let project = Project::new(&[
            ("app.py", "pass\n"),
            ("harm.py", &HARM.replace("TRACE", TRACE)),
        ]);
        let act = act
            .replace("HOME", &format!("\"{}\"", home.dir().display()))
            .replace("PROJECT", &format!("\"{}\"", project.path().display()));
        match way {
            Way::Backend => {
                project.write("pyproject.toml", PYPROJECT);
                project.write("backend.py", &BACKEND.replace("ACT", &act));
            }
            Way::Assemble => {
                project.write(".s2i/bin/assemble", &ASSEMBLE.replace("ACT", &act));
                let script = project.path().join(".s2i/bin/assemble");
                fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
        // An assemble script gets all build packages; a compiler takes long to unpack.
        let builder = own_builder(
            "build_packages: [gcc, g++, make, perl-base, pkgconf, libc6-dev, python3.13-dev]",
            "build_packages: [make]",
        );
        let before = state(&project.path());
        Self {
            home,
            project,
            builder,
            way,
            before,
        }
    }

    /// What users call the step that does harm, and a part of its command.
    fn step(&self) -> [&'static str; 2] {
        match self.way {
            Way::Backend => ["the project itself", "/build/driver.py build"],
            Way::Assemble => ["assemble", "/tmp/scripts/assemble"],
        }
    }

    /// Builds, and looks whether anything is left of it.
    #[track_caller]
    fn build(&self, more: &[&str]) -> Finished {
        let said = finish(
            self.home
                .command(&["build", "--progress", "plain", "--bytecode", "none"])
                .arg("--builder")
                .arg(self.builder.path())
                .args(more)
                .arg(self.project.path())
                .arg("shop")
                .env("SECRET", SECRET)
                .stdin(Stdio::null()),
        );
        for text in [&said.stdout, &said.stderr] {
            assert!(!text.contains(SECRET), "it has seen the secret");
            assert!(!text.contains('\u{1b}'), "it moves the cursor");
        }
        assert_eq!(state(&self.project.path()), self.before);
        let scratch = self.home.store().join("s2r/tmp");
        let left: Vec<_> = fs::read_dir(&scratch).unwrap().flatten().collect();
        assert!(left.is_empty(), "{left:?}");
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts.contains(self.home.dir().to_str().unwrap()));
        said
    }

    /// The same for a build that must fail, and say why.
    #[track_caller]
    fn fails(&self, more: &[&str], says: &[&str]) {
        self.build(more).exits(65).says(&self.step()).says(says);
        // Nothing of it stands in the way of what comes next.
        assert_eq!(self.home.run(&["images"]).code, Some(0));
    }
}

/// A time to sleep that nobody else sleeps.
fn mark(way: Way, number: u32) -> String {
    format!("8650{number}{}.{}", way as u8, std::process::id())
}

const WAYS: [Way; 2] = [Way::Backend, Way::Assemble];

#[test]
fn what_lies_outside_is_out_of_reach() {
    for way in WAYS {
        let attack = Attack::new(way, "reach(HOME, PROJECT)");
        let said = attack.build(&[]).ok();
        assert!(said.stderr.contains("read /proc/"), "{}", said.stderr);
        for folder in ["/etc", "/usr/bin", "/root", "/var/lib", "/", "/opt", "/tmp"] {
            assert!(!Path::new(folder).join(TRACE).exists(), "{folder}");
        }
        let found: Vec<_> = walk(attack.home.dir())
            .into_iter()
            .filter(|path| path.ends_with(TRACE))
            .collect();
        assert!(found.is_empty(), "{found:?}");
        let members = attack.home.layout().members(digest_of(said.line()));
        let traces: Vec<_> = members
            .keys()
            .filter(|path| path.ends_with(TRACE))
            .collect();
        match way {
            Way::Backend => assert!(traces.is_empty(), "{traces:?}"),
            // What it leaves in its own place is its own business; the rest is lost, and that is said.
            Way::Assemble => {
                assert!(
                    traces.iter().all(|path| path.starts_with("opt/app-root/")),
                    "{traces:?}"
                );
                assert!(
                    said.stderr.contains("outside /opt/app-root"),
                    "{}",
                    said.stderr
                );
            }
        }
        assert!(members.contains_key("etc/passwd"));
    }
}

#[test]
fn daemons_end_with_their_build() {
    for way in WAYS {
        let mark = mark(way, 1);
        Attack::new(way, &format!("daemons(\"{mark}\")"))
            .build(&[])
            .ok();
        assert_eq!(alive(&mark), Vec::<String>::new());
    }
}

#[test]
fn who_sleeps_for_ever_is_woken() {
    for way in WAYS {
        let mark = mark(way, 2);
        Attack::new(way, &format!("sleep(\"{mark}\")")).fails(
            &["--step-time", "2s"],
            &["stopped after 2 seconds (--step-time)", "good night"],
        );
        assert_eq!(alive(&mark), Vec::<String>::new());
    }
}

#[test]
fn a_fork_bomb_does_not_go_off() {
    // One way in is enough: it takes seconds until all are gone.
    let mark = mark(Way::Backend, 3);
    Attack::new(Way::Backend, &format!("fork(\"{mark}\")"))
        .fails(&["--step-time", "60s"], &["processes", "here they come"]);
    assert_eq!(alive(&mark), Vec::<String>::new());
}

#[test]
fn memory_and_what_is_kept_in_it_are_bounded() {
    for way in WAYS {
        let limit = ["--step-memory", "256M"];
        Attack::new(way, "memory()").fails(&limit, &["256 MiB of memory (--step-memory)", "more"]);
        Attack::new(way, "disk()").fails(
            &limit,
            &["/tmp was full", "--step-memory", "No space left on device"],
        );
    }
}

#[test]
fn who_talks_too_much_is_cut_short() {
    for way in WAYS {
        let said = Attack::new(way, "talk()").build(&[]).ok();
        // 64 MiB of its 99, and names of steps.
        assert!(said.stderr.len() < 80 << 20);
        assert!(
            said.stderr.contains("the rest of its output is not shown"),
            "{}",
            &said.stderr[said.stderr.len() - 1000..]
        );
    }
}

/// Twenty wheels, each of which needs the one before.
fn chain() -> Vec<Wheel> {
    (0..20)
        .map(|number| {
            let name = format!("part{number}");
            let wheel = Wheel::new(&name, "1.0").file(&format!("{name}.py"), "x = 1\n");
            match number {
                0 => wheel,
                _ => wheel.requires(&format!("part{}", number - 1)),
            }
        })
        .collect()
}

/// A machine without user namespaces, whose store is on a disk from which nothing can be started but the
/// resolver.
fn barren(home: &Home) -> String {
    format!(
        "mount --bind {0}/s2r/s2r/tools {0}/s2r/s2r/tools; \
         mount --rbind {0} {0}; mount -o remount,bind,noexec {0}; \
         echo 0 > /proc/sys/user/max_user_namespaces; \
         exec setpriv --bounding-set=-all --inh-caps=-all \"$0\" \"$@\"",
        home.data().display()
    )
}

#[test]
fn wheels_alone_run_nothing() {
    let home = Home::seeded();
    home.forget_layers();
    let roots = home.store().join("s2r/roots");
    if roots.exists() {
        fs::remove_dir_all(&roots).unwrap();
    }
    let index = Index::serving(&chain(), None, Fault::None);
    let wheels = Project::new(&[
        ("app.py", "import part19\n"),
        ("requirements.txt", "part19\n"),
    ]);
    let own = Project::new(&[
        ("app.py", "pass\n"),
        ("pyproject.toml", PYPROJECT),
        ("harm.py", ""),
        ("backend.py", BACKEND),
    ]);
    let script = barren(&home);
    let build = |project: &Project, more: &[&str]| {
        let outer = ["unshare", "-Urm", "sh", "-ec", &script];
        let mut command = home.command_under(&outer, &["build", "--progress", "plain"]);
        command.args(more).arg(project.path()).arg("x");
        finish(command.env("PIP_INDEX_URL", index.url(None)))
    };
    let built = build(&wheels, &["--bytecode", "none"]).ok();
    let members = home.layout().members(digest_of(built.line()));
    for number in 0..20 {
        let path = format!("opt/app-root/lib/python3.13/site-packages/part{number}.py");
        assert!(members.contains_key(&path), "{path}");
    }
    // The folder itself is part of every store.
    let laid: Vec<_> = fs::read_dir(&roots).into_iter().flatten().collect();
    assert!(laid.is_empty(), "a file system was laid ready: {laid:?}");
    // That this machine really lets nothing run.
    build(&wheels, &["--bytecode", "all"])
        .exits(69)
        .says(&["python does not run here", "--bytecode none"]);
    build(&own, &["--bytecode", "none"]).exits(69).says(&[
        "the project itself",
        "userns:",
        "chroot: only root",
    ]);
}
