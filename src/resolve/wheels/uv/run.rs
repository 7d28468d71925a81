//! One run of `uv pip compile`: a cleared environment and a private folder. Secrets stand only in files
//! that no other user reads: not among the arguments, and not in the environment, from which uv puts
//! values into every address that says `${NAME}`, those of a wheel's metadata included.

use super::request::CompileRequest;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::{UvFailure, UvTool, interpreter, verdict};
use crate::host::{self, ProcessLimits, TempFolder};
use crate::packages::python::{PackageUrl, Pylock};
use crate::resolve::wheels::error::WheelError;

/// Largest answer in bytes.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// Most of uv's messages that is kept, in bytes.
const MAX_MESSAGE_BYTES: usize = 256 * 1024;
/// uv's settings in the private folder.
const SETTINGS: &str = "uv.toml";
/// Where linked wheels lie in the private folder.
const LINKS: &str = "links";
/// uv asks an index for hundreds of packages at most; what takes longer hangs.
const TIME_LIMIT: Duration = Duration::from_mins(15);

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

/// Runs uv and reads its lock.
///
/// # Errors
/// No solution, no index, or a failure of uv itself, told apart by [`verdict`].
pub(in crate::resolve::wheels) fn compile(
    uv: &UvTool,
    task: &CompileRequest<'_>,
) -> Result<Pylock, UvFailure> {
    let folder = prepare(task).map_err(|error| WheelError::File {
        path: task.cache.to_owned(),
        error,
    })?;
    let python = interpreter::write(task.tools, task.target).map_err(|error| WheelError::File {
        path: task.tools.to_owned(),
        error,
    })?;
    let mut command = command(uv, task, folder.path(), &python);
    let (status, answer, message) = run(&mut command).map_err(|error| WheelError::File {
        path: uv.program.clone(),
        error,
    })?;
    if !status.success() {
        let message = clean(&message, folder.path());
        return Err(verdict::judge(status.code(), &message, task));
    }
    Pylock::parse(&answer).map_err(|error| WheelError::Answer(error).into())
}

/// Writes what uv reads into a folder that only this user enters, from its first moment on. It is
/// removed when dropped: after success, failure and panic alike.
fn prepare(task: &CompileRequest<'_>) -> io::Result<TempFolder> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(task.cache)?;
    let folder = TempFolder::new_in(task.cache, "uv-")?;
    for (name, bytes) in task.local {
        write_private(&folder.path().join(name), bytes)?;
    }
    let mut wanted = String::new();
    if task.front.is_none() {
        for url in &task.indexes.find_links {
            wanted.push_str(&format!("--find-links {}\n", for_uv(url)));
        }
    }
    if !task.linked.is_empty() {
        let links = folder.path().join(LINKS);
        fs::DirBuilder::new().mode(0o700).create(&links)?;
        for (name, bytes) in task.linked {
            write_private(&links.join(name), bytes)?;
        }
        wanted.push_str(&format!("--find-links {}\n", links.display()));
    }
    for wish in task.wishes {
        wanted.push_str(&verdict::line_for_uv(wish, folder.path()));
        wanted.push('\n');
    }
    write_private(&folder.path().join("wanted.txt"), wanted.as_bytes())?;
    let bounds: String = task
        .constraints
        .iter()
        .map(|wish| verdict::line_for_uv(wish, folder.path()) + "\n")
        .collect();
    write_private(&folder.path().join("bounds.txt"), bounds.as_bytes())?;
    let overrides = task.overrides.join("\n").replace("${", "$%7B");
    write_private(&folder.path().join("overrides.txt"), overrides.as_bytes())?;
    write_private(&folder.path().join(SETTINGS), settings(task).as_bytes())?;
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

fn command(uv: &UvTool, task: &CompileRequest<'_>, folder: &Path, python: &PathBuf) -> Command {
    let mut command = Command::new(&uv.program);
    command
        .args(["pip", "compile", "wanted.txt"])
        .args([
            "--format",
            "pylock.toml",
            "--only-binary",
            ":all:",
            "--generate-hashes",
        ])
        .args([
            "--no-header",
            "--config-file",
            SETTINGS,
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
        .env(
            "UV_CACHE_DIR",
            // The front's address is another one the next time.
            task.front.map_or(task.cache, |_| folder).join("uv"),
        );
    for name in PASSED {
        let value = task.environment.get(name);
        // A proxy with a password stands in the settings.
        if let Some(value) = value.filter(|value| !value.contains('@')) {
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
    add_wishes(&mut command, task);
    command
}

/// What bounds the choice.
fn add_wishes(command: &mut Command, task: &CompileRequest<'_>) {
    if !task.constraints.is_empty() {
        command.args(["--constraints", "bounds.txt"]);
    }
    if task.indexes.default.is_none() && task.front.is_none() {
        command.arg("--no-index");
    }
    if task.front.is_some() {
        for name in ["NO_PROXY", "no_proxy"] {
            let others = task.environment.get(name).map_or("", String::as_str);
            command.env(name, format!("127.0.0.1,{others}").trim_end_matches(','));
        }
    }
    if !task.overrides.is_empty() {
        command.args(["--overrides", "overrides.txt"]);
    }
    let taken = &task.indexes.taken;
    if task.indexes.pre_releases {
        command.args(["--prerelease", "allow"]);
    } else if let Some(when) = &taken.pre_releases {
        command.args(["--prerelease", when]);
    }
    if let Some(which) = &taken.resolution {
        command.args(["--resolution", which]);
    }
    if let Some(limit) = &taken.uploaded {
        command.args(["--exclude-newer", &limit.to_string()]);
    }
    if taken.without_dependencies {
        command.arg("--no-deps");
    }
    if task.offline {
        command.env("UV_OFFLINE", "1");
    }
}

/// uv's settings: what must not stand in its environment.
/// <https://docs.astral.sh/uv/reference/settings/>
fn settings(task: &CompileRequest<'_>) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(text, "{key} = {}", toml::Value::from(value));
    };
    for (key, names) in [
        ("http-proxy", ["HTTP_PROXY", "http_proxy"]),
        ("https-proxy", ["HTTPS_PROXY", "https_proxy"]),
    ] {
        let mut names = names.into_iter().chain(["ALL_PROXY", "all_proxy"]);
        let proxy = names.find_map(|name| task.environment.get(name));
        if let Some(proxy) = proxy.filter(|proxy| proxy.contains('@')) {
            line(key, proxy);
        }
    }
    let metadata = &task.indexes.taken.metadata;
    let indexes = match task.front {
        Some(front) => vec![front.to_owned()],
        None => task.indexes.usual().map(for_uv).collect(),
    };
    for (at, index) in indexes.into_iter().enumerate() {
        text.push_str("[[index]]\n");
        let _ = writeln!(text, "url = {}", toml::Value::from(index));
        if at == 0 {
            text.push_str("default = true\n");
        }
    }
    text.push_str(metadata);
    text
}

/// An address as uv gets it, credentials included. uv reads `${NAME}` in it as a variable of its own
/// environment; with the brace percent-encoded, which no server tells from the brace, it does not.
pub(super) fn for_uv(url: &PackageUrl) -> String {
    url.reveal().reveal().replace("${", "$%7B")
}

fn run(command: &mut Command) -> io::Result<(ExitStatus, String, String)> {
    let bounds = ProcessLimits {
        time: TIME_LIMIT,
        output_bytes: MAX_ANSWER_BYTES,
        error_bytes: MAX_MESSAGE_BYTES,
    };
    let finished = host::run(command, bounds).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => {
            let minutes = TIME_LIMIT.as_secs() / 60;
            io::Error::new(
                error.kind(),
                format!("it did not end within {minutes} minutes, and was stopped"),
            )
        }
        _ => error,
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((
        finished.status,
        text(&finished.output),
        text(&finished.error),
    ))
}

/// The message without credentials and without the private folder's name.
fn clean(message: &str, folder: &Path) -> String {
    let folder = format!("{}/", folder.display());
    crate::packages::python::shown(&message.replace(&folder, ""))
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;
    use crate::packages::python::{IndexOptions, ReadAccess, RequirementSet, parse, testing};
    use crate::resolve::wheels::settings::IndexSettings;
    use std::collections::BTreeMap;

    /// Gives `check` a task in a folder of its own, with a credential and one constraint or none.
    pub(in super::super) fn with_task(bounds: &str, check: impl FnOnce(&CompileRequest<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let source = ReadAccess {
            read: &|_| None,
            variable: &|_| None,
        };
        let read = |text: &str| -> RequirementSet { parse("r", text.as_bytes(), &source).unwrap() };
        let (wanted, bounds) = (
            read("x @ https://u:pw@i/x-1-py3-none-any.whl"),
            read(bounds),
        );
        let indexes = IndexSettings::new(&IndexOptions::default(), &BTreeMap::new()).unwrap();
        check(&CompileRequest {
            wishes: &wanted.wishes.iter().collect::<Vec<_>>(),
            constraints: &bounds.wishes.iter().collect::<Vec<_>>(),
            local: &BTreeMap::new(),
            linked: &BTreeMap::new(),
            indexes: &indexes,
            target: &testing::target(),
            environment: &BTreeMap::new(),
            offline: false,
            tools: folder.path(),
            cache: &folder.path().join("uv-cache"),
            front: None,
            overrides: &[],
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::resolve::wheels::settings::IndexSettings;
    use std::collections::BTreeMap;
    use std::os::unix::fs::PermissionsExt as _;

    use super::testing::with_task;
    use super::*;

    #[test]
    fn constraints_are_given_once_or_not() {
        for (bounds, times) in [("y<2", 1), ("", 0)] {
            with_task(bounds, |task| {
                let uv = UvTool {
                    program: "/uv".into(),
                };
                let command = command(&uv, task, Path::new("/f"), &PathBuf::from("/p"));
                let given = command.get_args().filter(|arg| *arg == "--constraints");
                assert_eq!(given.count(), times);
            });
        }
    }

    #[test]
    fn no_secret_is_in_the_environment_of_uv() {
        with_task("", |task| {
            let index = PackageUrl::parse("https://u:pw-of-index@i/${HOME}/simple").unwrap();
            let indexes = IndexSettings {
                default: Some(index),
                ..task.indexes.clone()
            };
            let environment = BTreeMap::from([
                (
                    "HTTPS_PROXY".to_owned(),
                    "http://u:pw-of-proxy@p".to_owned(),
                ),
                ("HTTP_PROXY".to_owned(), "http://q".to_owned()),
            ]);
            let task = CompileRequest {
                indexes: &indexes,
                environment: &environment,
                ..*task
            };
            let uv = UvTool {
                program: "/uv".into(),
            };
            let command = command(&uv, &task, Path::new("/f"), &PathBuf::from("/p"));
            let values = command.get_envs().filter_map(|(_, value)| value);
            let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
            assert!(!values.iter().any(|value| value.contains("pw-of")));
            assert!(values.iter().any(|value| value == "http://q"));
            let settings = settings(&task);
            assert!(settings.contains("u:pw-of-proxy@p"), "{settings}");
            assert!(
                settings.contains("u:pw-of-index@i/$%7BHOME}/"),
                "{settings}"
            );
        });
    }

    #[test]
    fn credentials_lie_in_a_private_folder_that_goes_away() {
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        with_task("", |task| {
            let folder = prepare(task).unwrap();
            assert_eq!((mode(task.cache), mode(folder.path())), (0o700, 0o700));
            let wanted = folder.path().join("wanted.txt");
            assert_eq!(mode(&wanted), 0o600);
            assert!(!fs::read_to_string(wanted).unwrap().contains("pw"));
            assert_eq!(mode(&folder.path().join(SETTINGS)), 0o600);
        });
        let good = "printf \"lock-version = '1.0'\\npackages = []\\n\"";
        for (script, is_good) in [(good, true), ("exit 1", false), ("echo [", false)] {
            with_task("", |task| {
                let program = task.tools.join("uv");
                fs::write(
                    &program,
                    format!("#!/bin/sh\ntest -f wanted.txt && {script}\n"),
                )
                .unwrap();
                fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
                assert_eq!(compile(&UvTool { program }, task).is_ok(), is_good);
                assert_eq!(fs::read_dir(task.cache).unwrap().count(), 0, "{script}");
            });
        }
    }
}
