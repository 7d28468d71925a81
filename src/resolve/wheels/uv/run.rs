//! One run of `uv pip compile`: a cleared environment, a private folder, secrets only in the
//! environment and in a file that no other user reads, never among the arguments.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use super::{Uv, interpreter, verdict};
use crate::packages::python::{Pylock, Target, Wish};
use crate::resolve::wheels::error::ResolveError;
use crate::resolve::wheels::settings::Indexes;

/// Largest answer in bytes.
const MAX_ANSWER_BYTES: u64 = 32 * 1024 * 1024;
/// Most of uv's messages that is kept, in bytes.
const MAX_MESSAGE_BYTES: u64 = 256 * 1024;
/// How often a start is tried while another thread's child still holds the program's file open for
/// writing (ETXTBSY), which passes within milliseconds.
const MAX_STARTS: u32 = 20;

/// Variables of the user that reach uv: how to get out of this machine, and what to trust.
const PASSED: [&str; 14] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SSL_CLIENT_CERT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "NETRC",
    "UV_HTTP_TIMEOUT",
    "UV_HTTP_RETRIES",
];

/// What is to be resolved.
pub(in crate::resolve::wheels) struct Compile<'a> {
    /// The wishes that hold for the target.
    pub(in crate::resolve::wheels) wishes: &'a [&'a Wish],
    /// The bounds that hold for the target.
    pub(in crate::resolve::wheels) constraints: &'a [&'a Wish],
    /// Wheels of the source by file name: the bytes.
    pub(in crate::resolve::wheels) local: &'a BTreeMap<String, Vec<u8>>,
    /// Where from.
    pub(in crate::resolve::wheels) indexes: &'a Indexes,
    /// What for.
    pub(in crate::resolve::wheels) target: &'a Target,
    /// The user's environment.
    pub(in crate::resolve::wheels) environment: &'a BTreeMap<String, String>,
    /// Whether the network is forbidden.
    pub(in crate::resolve::wheels) offline: bool,
    /// The folder of tools.
    pub(in crate::resolve::wheels) tools: &'a Path,
    /// The folder for uv's own cache.
    pub(in crate::resolve::wheels) cache: &'a Path,
}

/// Runs uv and reads its lock.
///
/// # Errors
/// No solution, no index, or a failure of uv itself, told apart by [`verdict`].
pub(in crate::resolve::wheels) fn compile(
    uv: &Uv,
    task: &Compile<'_>,
) -> Result<Pylock, ResolveError> {
    let folder = prepare(task).map_err(|error| ResolveError::File {
        path: task.cache.to_owned(),
        error,
    })?;
    let python =
        interpreter::write(task.tools, task.target).map_err(|error| ResolveError::File {
            path: task.tools.to_owned(),
            error,
        })?;
    let mut command = command(uv, task, folder.path(), &python);
    let (status, answer, message) = run(&mut command).map_err(|error| ResolveError::File {
        path: uv.program.clone(),
        error,
    })?;
    if !status.success() {
        return Err(verdict::judge(&clean(&message, folder.path()), task));
    }
    Pylock::parse(&answer).map_err(ResolveError::Answer)
}

/// Writes what uv reads into a folder that only this user enters.
fn prepare(task: &Compile<'_>) -> io::Result<tempfile::TempDir> {
    fs::create_dir_all(task.cache)?;
    let folder = tempfile::Builder::new()
        .prefix("uv-")
        .tempdir_in(task.cache)?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
    for (name, bytes) in task.local {
        write_private(&folder.path().join(name), bytes)?;
    }
    let mut wanted = String::new();
    for url in &task.indexes.find_links {
        wanted.push_str(&format!("--find-links {}\n", url.reveal().reveal()));
    }
    for wish in task.wishes {
        wanted.push_str(&verdict::line_for_uv(wish, folder.path()));
        wanted.push('\n');
    }
    write_private(&folder.path().join("wanted.txt"), wanted.as_bytes())?;
    let bounds: String = task
        .constraints
        .iter()
        .map(|wish| format!("{wish}\n"))
        .collect();
    write_private(&folder.path().join("bounds.txt"), bounds.as_bytes())?;
    Ok(folder)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?
        .write_all(bytes)
}

fn command(uv: &Uv, task: &Compile<'_>, folder: &Path, python: &PathBuf) -> Command {
    let mut command = Command::new(&uv.program);
    command
        .args([
            "pip",
            "compile",
            "wanted.txt",
            "--constraints",
            "bounds.txt",
        ])
        .args([
            "--format",
            "pylock.toml",
            "--only-binary",
            ":all:",
            "--generate-hashes",
        ])
        .args([
            "--no-header",
            "--no-config",
            "--no-python-downloads",
            "--color",
            "never",
            "--no-progress",
        ])
        // What pip does with several indexes: the best version of all of them.
        .args(["--index-strategy", "unsafe-best-match"])
        .arg("--python")
        .arg(python)
        .current_dir(folder)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .env("UV_CACHE_DIR", task.cache.join("uv"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    for name in PASSED {
        if let Some(value) = task.environment.get(name) {
            command.env(name, value);
        }
    }
    if let Some(cert) = task
        .environment
        .get("PIP_CERT")
        .filter(|_| !task.environment.contains_key("SSL_CERT_FILE"))
    {
        command.env("SSL_CERT_FILE", cert);
    }
    if let (None, Some(home)) = (task.environment.get("NETRC"), task.environment.get("HOME")) {
        command.env("NETRC", Path::new(home).join(".netrc"));
    }
    if !task.environment.contains_key("SSL_CERT_FILE") {
        // The machine's own trust store instead of the one built into uv; the name changed in 0.11.
        command
            .env("UV_SYSTEM_CERTS", "1")
            .env("UV_NATIVE_TLS", "1");
    }
    if !task.constraints.is_empty() {
        command.args(["--constraints", "bounds.txt"]);
    }
    index_settings(&mut command, task);
    command
}

fn index_settings(command: &mut Command, task: &Compile<'_>) {
    let revealed = |url: &crate::packages::python::Url| url.reveal().reveal().to_owned();
    match &task.indexes.default {
        Some(url) => {
            command.env("UV_DEFAULT_INDEX", revealed(url));
        }
        None => {
            command.arg("--no-index");
        }
    }
    let extra: Vec<String> = task.indexes.extra.iter().map(revealed).collect();
    if !extra.is_empty() {
        command.env("UV_INDEX", extra.join(" "));
    }
    if task.indexes.pre_releases {
        command.args(["--prerelease", "allow"]);
    }
    if task.offline {
        command.env("UV_OFFLINE", "1");
    }
}

fn run(command: &mut Command) -> io::Result<(ExitStatus, String, String)> {
    let mut child = start(command)?;
    let messages = child.stderr.take();
    let reader = std::thread::spawn(move || read_bounded(messages, MAX_MESSAGE_BYTES));
    let answer = read_bounded(child.stdout.take(), MAX_ANSWER_BYTES);
    let status = child.wait()?;
    let message = reader.join().unwrap_or_default();
    Ok((status, answer, message))
}

fn start(command: &mut Command) -> io::Result<Child> {
    for _ in 1..MAX_STARTS {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            result => return result,
        }
    }
    command.spawn()
}

/// Reads to the end, so that the writer never blocks, and keeps the first part.
fn read_bounded(from: Option<impl Read>, limit: u64) -> String {
    let Some(mut from) = from else {
        return String::new();
    };
    let mut kept = Vec::new();
    let _ = (&mut from).take(limit).read_to_end(&mut kept);
    let _ = io::copy(&mut from, &mut io::sink());
    String::from_utf8_lossy(&kept).into_owned()
}

/// The message without credentials and without the private folder's name.
fn clean(message: &str, folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    crate::packages::python::shown(&message.replace(&folder, ""))
}
