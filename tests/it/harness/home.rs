//! A user of s2r: a home folder and a store of their own, and nothing of the machine's environment that could
//! change a build: no variables of pip and uv, no uv on PATH, no signal that is ignored.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::harness::files::{self, example};
use crate::harness::layout::Layout;
use crate::harness::tools::{Finished, finish, temporary};

/// Files of at least this size are shared between stores by hard link; the program never writes into a file
/// that has its final name, so they cannot change. Smaller ones, locks among them, are copied.
const LINKED_FROM_BYTES: u64 = 16 * 1024;

/// What the program may see of the environment of the tests: how to reach the network.
const PASSED_ON: &[&str] = &[
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];

/// Programs that s2r would take from PATH instead of its own.
const NOT_ON_PATH: &[&str] = &["uv", "uvx"];

pub(crate) struct Home {
    dir: TempDir,
    data: PathBuf,
}

impl Home {
    /// A user who has never run s2r.
    pub(crate) fn empty() -> Self {
        let dir = temporary();
        fs::create_dir(dir.path().join("home")).unwrap();
        let data = dir.path().join("data");
        Self { dir, data }
    }

    /// A user who has built the examples before: all downloads are there, and so are the examples' layers.
    pub(crate) fn seeded() -> Self {
        let home = Self::empty();
        let seed = seed();
        share(&seed.data, &home.data);
        share(&seed.home(), &home.home());
        home
    }

    /// The same, with a compiler and what was compiled for the example `sdist`: some hundred megabytes, which
    /// tests share that need them.
    pub(crate) fn with_compiler() -> Self {
        static SEED: OnceLock<Home> = OnceLock::new();
        let seed = SEED.get_or_init(|| {
            let home = Self::seeded();
            home.build(&example("sdist"), &["sdist"]);
            home
        });
        let home = Self::empty();
        share(&seed.data, &home.data);
        share(&seed.home(), &home.home());
        home
    }

    /// The same, but with the data folder elsewhere.
    pub(crate) fn with_data(mut self, data: &Path) -> Self {
        data.clone_into(&mut self.data);
        self
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.dir.path().join("home")
    }

    /// The folder that holds everything of this user.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Takes away what was built, byte code included, and leaves what was downloaded.
    #[track_caller]
    pub(crate) fn forget_layers(&self) {
        let images = self.run(&["images", "--json"]).ok().json();
        let names: Vec<&str> = images
            .as_array()
            .unwrap()
            .iter()
            .map(|image| image["name"].as_str().unwrap())
            .collect();
        if !names.is_empty() {
            self.run(&[&["rm"], names.as_slice()].concat()).ok();
        }
        self.run(&["cache", "prune"]).ok();
        let compiled = self.store().join("s2r/compiled");
        if compiled.exists() {
            fs::remove_dir_all(compiled).unwrap();
        }
        assert!(blobs(self).is_empty());
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// The store's folder, an OCI image layout.
    pub(crate) fn store(&self) -> PathBuf {
        self.data.join("s2r")
    }

    pub(crate) fn layout(&self) -> Layout {
        Layout::open(&self.store())
    }

    /// The program with these arguments, not started yet.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = with_signals(env!("CARGO_BIN_EXE_s2r"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// The program under another one (`unshare -n`, `taskset 1`), not started yet.
    pub(crate) fn command_under(&self, outer: &[&str], arguments: &[&str]) -> Command {
        let mut command = with_signals(outer[0]);
        command.args(&outer[1..]).arg(env!("CARGO_BIN_EXE_s2r"));
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// Another program in the same surroundings, not started yet.
    pub(crate) fn other(&self, program: &Path) -> Command {
        let mut command = with_signals(program);
        self.prepare(&mut command);
        command
    }

    /// The PATH of all users of these tests: links to the machine's programs, but for those that would change
    /// what s2r does.
    pub(crate) fn own_path() -> String {
        static FOLDER: OnceLock<TempDir> = OnceLock::new();
        let folder = FOLDER.get_or_init(|| {
            let folder = temporary();
            let own = std::env::vars_os().find(|(name, _)| name == "PATH");
            let path = own.map(|(_, value)| value).unwrap_or_default();
            for place in std::env::split_paths(&path) {
                for program in fs::read_dir(place).into_iter().flatten().flatten() {
                    let name = program.file_name();
                    if NOT_ON_PATH.iter().all(|other| name != *other) {
                        // The first of a name is the one that counts.
                        let _ = symlink(program.path(), folder.path().join(name));
                    }
                }
            }
            folder
        });
        folder.path().to_str().unwrap().to_owned()
    }

    fn prepare(&self, command: &mut Command) {
        command.env_clear();
        command.envs(
            std::env::vars_os().filter(|(name, _)| PASSED_ON.iter().any(|passed| name == passed)),
        );
        command
            .env("PATH", Self::own_path())
            .env("HOME", self.home())
            .env("XDG_DATA_HOME", &self.data)
            .env("XDG_CACHE_HOME", self.home().join(".cache"))
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .current_dir(self.home());
    }

    /// Runs the program to its end.
    #[track_caller]
    pub(crate) fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Finished {
        finish(&mut self.command(arguments))
    }

    /// Builds a folder, which must succeed, and gives the reference by digest that was printed.
    #[track_caller]
    pub(crate) fn build(&self, source: &Path, more: &[&str]) -> String {
        let built = finish(self.command(&["build"]).arg(source).args(more)).ok();
        let line = built.line().to_owned();
        assert!(
            line.contains("@sha256:") && !line.contains('\n'),
            "stdout is not one reference by digest: {line:?}"
        );
        line
    }
}

/// A program that ignores no signal, whatever started the tests: `nohup` and a shell's `&` have some ignored, and
/// so do all that is started from there.
fn with_signals(program: impl AsRef<OsStr>) -> Command {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let ignored = u64::from_str_radix(ignored.unwrap().trim(), 16).unwrap();
    // The standard library ignores SIGPIPE, and lets it through again in what it starts.
    let sigpipe = 1 << (13 - 1);
    // Those above 31 are the C library's own, and nobody resets them.
    let ordinary = (1 << 31) - 1;
    if ignored & ordinary & !sigpipe == 0 {
        return Command::new(program);
    }
    let mut command = Command::new("env");
    command.arg("--default-signal").arg(program);
    command
}

/// The digest in a reference by digest; an image without a name has nothing else.
pub(crate) fn digest_of(reference: &str) -> &str {
    let digest = reference
        .split_once('@')
        .map_or(reference, |(_, digest)| digest);
    assert!(digest.starts_with("sha256:"), "{reference:?}");
    digest
}

/// The one store that is filled from the network.
fn seed() -> &'static Home {
    static SEED: OnceLock<Home> = OnceLock::new();
    SEED.get_or_init(|| {
        let home = Home::empty();
        for name in ["flask-gunicorn", "numpy", "script", "shell", "app-module"] {
            home.build(&example(name), &[name]);
        }
        home
    })
}

/// Gives `to` the files of `from`: large ones by hard link, small ones as copies, symlinks as they are.
fn share(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let meta = entry.metadata().unwrap();
        if meta.is_dir() {
            share(&entry.path(), &target);
        } else if meta.is_symlink() {
            symlink(fs::read_link(entry.path()).unwrap(), &target).unwrap();
        } else if meta.len() >= LINKED_FROM_BYTES {
            fs::hard_link(entry.path(), &target).unwrap();
        } else {
            fs::copy(entry.path(), &target).unwrap();
        }
    }
}

/// Files of the store that are not finished ones: what an interrupted write could have left under a final name.
pub(crate) fn blobs(home: &Home) -> Vec<PathBuf> {
    files::walk(&home.store().join("blobs"))
}
