//! Databases of the tests' own on the loopback address, from Debian's packages; each ends with its value.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::tools::{finish, free_port, is_root, temporary};

/// How long a database may take to listen, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The user that `PostgreSQL` and `MariaDB` are run as where the tests are root's, which they refuse.
const NOBODY: &str = "65534";

/// A server that keeps its data in a folder.
struct Server {
    child: Child,
    port: u16,
    _data: TempDir,
}

impl Server {
    #[track_caller]
    fn start(mut command: Command, port: u16, data: TempDir) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{command:?} does not start ({error}); tests/run installs what the tests need"
                )
            });
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START_LIMIT, "{command:?} does not listen");
            sleep(Duration::from_millis(20));
        }
        Self {
            child,
            port,
            _data: data,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to keep.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `PostgreSQL` with the database `postgres`, for whoever asks.
pub(crate) struct Postgres(Server);

impl Postgres {
    /// Lays the data of one ready that will listen on a port.
    #[track_caller]
    pub(crate) fn prepared() -> PreparedPostgres {
        let data = temporary();
        let folder = data.path().join("data");
        fs::create_dir(&folder).unwrap();
        give_to_nobody(&[data.path(), &folder]);
        let mut command = as_nobody(&program("initdb"));
        command
            .args([
                "--username=postgres",
                "--auth=trust",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
            ])
            .arg("--pgdata")
            .arg(&folder);
        finish(&mut command).ok();
        PreparedPostgres {
            port: free_port(),
            data,
        }
    }

    pub(crate) fn start() -> Self {
        Self::prepared().start()
    }

    /// Its address, as `SQLAlchemy` has it.
    pub(crate) fn url(&self) -> String {
        url(self.0.port)
    }
}

/// `PostgreSQL` that is not started yet.
pub(crate) struct PreparedPostgres {
    port: u16,
    data: TempDir,
}

impl PreparedPostgres {
    /// Where it will be.
    pub(crate) fn url(&self) -> String {
        url(self.port)
    }

    #[track_caller]
    pub(crate) fn start(self) -> Postgres {
        let mut command = as_nobody(&program("postgres"));
        command
            .arg("-D")
            .arg(self.data.path().join("data"))
            .arg("-k")
            .arg(self.data.path())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-F"]);
        Postgres(Server::start(command, self.port, self.data))
    }
}

fn url(port: u16) -> String {
    format!("postgresql+psycopg://postgres@127.0.0.1:{port}/postgres")
}

/// A program of Debian's newest `PostgreSQL` here, which keeps its programs off the path.
#[track_caller]
fn program(name: &str) -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut programs: Vec<PathBuf> = versions
        .map(|version| version.unwrap().path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    programs.sort();
    programs
        .pop()
        .expect("PostgreSQL is not installed; tests/run installs what the tests need")
}

/// `MariaDB` with the database `site`, for whoever asks.
pub(crate) struct MariaDb(Server);

impl MariaDb {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (port, data) = (free_port(), temporary());
        give_to_nobody(&[data.path()]);
        let tables = data.path().join("data");
        let option = |name: &str, path: &Path| format!("--{name}={}", path.display());
        let mut install = as_nobody(Path::new("mariadb-install-db"));
        install
            .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
            .arg(option("datadir", &tables));
        finish(&mut install).ok();
        let statements = data.path().join("init.sql");
        fs::write(&statements, "CREATE DATABASE site;\n").unwrap();
        // The daemon lies in sbin, which is not on everybody's PATH.
        let mut command = as_nobody(Path::new("/usr/sbin/mariadbd"));
        command
            .args(["--no-defaults", "--skip-grant-tables"])
            .args(["--bind-address=127.0.0.1", &format!("--port={port}")])
            .arg(option("datadir", &tables))
            .arg(option("socket", &data.path().join("socket")))
            .arg(option("init-file", &statements));
        Self(Server::start(command, port, data))
    }

    /// Its address, as `SQLAlchemy` has it.
    pub(crate) fn url(&self) -> String {
        format!("mysql+pymysql://root@127.0.0.1:{}/site", self.0.port)
    }
}

/// Where the tests are root's, whose folders the databases' user cannot write.
fn give_to_nobody(folders: &[&Path]) {
    if is_root() {
        let id = NOBODY.parse().ok();
        for folder in folders {
            std::os::unix::fs::chown(folder, id, id).unwrap();
        }
    }
}

fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"])
        .arg(program);
    command
}

/// Redis that keeps nothing.
pub(crate) struct Redis(Server);

impl Redis {
    #[track_caller]
    pub(crate) fn start() -> Self {
        let (port, data) = (free_port(), temporary());
        let mut command = Command::new("redis-server");
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(data.path());
        Self(Server::start(command, port, data))
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.0.port)
    }
}
