//! Programs that keep credentials: `docker-credential-NAME`, which are given a server's name on stdin and
//! answer with JSON on stdout (the docker-credential-helpers project).
//!
//! The name comes from a file, so only what can be a part of a file's name is one. What a helper prints
//! is never shown: it is the secret, or may be.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::host::{self, ProcessAttendant, ProcessLimits};
use crate::net::Secret;
use crate::net::credentials::RegistryLogin;

/// Helpers ask clouds, which takes a second or two; one that takes longer asks a person who is not there.
const TIME_LIMIT: Duration = Duration::from_secs(30);
/// Tokens of clouds have some kilobytes.
const MAX_OUTPUT_BYTES: usize = 256 << 10;
/// No helper has a longer name.
const MAX_NAME_BYTES: usize = 64;
/// What every helper of the project says of a server that it does not know.
const UNKNOWN: &str = "credentials not found in native keychain";

/// Why a helper is of no use. Nothing that it printed is in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelperError {
    /// Not part of a program's name.
    #[error("a credential helper's name may hold letters, digits, `-`, `_` and `.` alone")]
    Name,
    #[error("docker-credential-{name} is not in PATH")]
    Missing { name: String },
    /// It cannot be run, or broke off.
    #[error("docker-credential-{name} {verb} cannot be run: {reason}")]
    Run {
        name: String,
        /// `get`, `store` or `erase`.
        verb: &'static str,
        reason: std::io::ErrorKind,
    },
    #[error("docker-credential-{name} {verb} failed ({status})")]
    Failed {
        name: String,
        /// `get`, `store` or `erase`.
        verb: &'static str,
        /// Its exit status, in words.
        status: String,
    },
    /// It does not end.
    #[error("docker-credential-{name} {verb} did not end within {} s", TIME_LIMIT.as_secs())]
    Slow {
        name: String,
        /// `get`, `store` or `erase`.
        verb: &'static str,
    },
    /// Its answer is no answer.
    #[error("docker-credential-{name} gives no JSON with Username and Secret")]
    Answer { name: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: Option<String>,
    secret: Option<Secret>,
}

#[derive(Debug)]
pub(super) struct CredentialHelper {
    name: String,
    program: PathBuf,
    time_limit: Duration,
}

impl CredentialHelper {
    /// Finds `docker-credential-NAME` in the folders of `path`.
    pub(super) fn find(name: &str, path: &str) -> Result<Self, HelperError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(fits) {
            return Err(HelperError::Name);
        }
        let file = format!("docker-credential-{name}");
        // An empty word in PATH means the working directory, where the project's own files lie.
        let folders = path.split(':').filter(|folder| folder.starts_with('/'));
        let program = folders
            .map(|folder| Path::new(folder).join(&file))
            .find(|program| is_program(program));
        Ok(Self {
            program: program.ok_or_else(|| HelperError::Missing {
                name: name.to_owned(),
            })?,
            name: name.to_owned(),
            time_limit: TIME_LIMIT,
        })
    }

    /// What it has for a server; `None` if it knows none.
    pub(super) fn get(&self, server: &str) -> Result<Option<RegistryLogin>, HelperError> {
        let (output, status) = self.run("get", server)?;
        if let Err(failed) = status {
            let unknown = String::from_utf8_lossy(&output).trim() == UNKNOWN;
            return if unknown { Ok(None) } else { Err(failed) };
        }
        let none = || HelperError::Answer {
            name: self.name.clone(),
        };
        let answer: HelperAnswer = serde_json::from_slice(&output).map_err(|_| none())?;
        let (Some(user), Some(secret)) = (answer.username, answer.secret) else {
            return Err(none());
        };
        if user.is_empty() && secret.expose().is_empty() {
            return Ok(None);
        }
        Ok(Some(RegistryLogin::of(&user, secret)))
    }

    /// Gives it credentials to keep.
    pub(super) fn store(
        &self,
        server: &str,
        user: &str,
        secret: &Secret,
    ) -> Result<(), HelperError> {
        let given = json!({"ServerURL": server, "Username": user, "Secret": secret.expose()});
        self.run("store", &given.to_string())?.1
    }

    /// Has it forget those of a server.
    pub(super) fn erase(&self, server: &str) -> Result<(), HelperError> {
        self.run("erase", server)?.1
    }

    /// Runs it: what it printed, and whether it ended well.
    fn run(
        &self,
        verb: &'static str,
        input: &str,
    ) -> Result<(Vec<u8>, Result<(), HelperError>), HelperError> {
        let bounds = ProcessLimits {
            time: self.time_limit,
            output_bytes: MAX_OUTPUT_BYTES,
            error_bytes: 0,
        };
        let mut command = Command::new(&self.program);
        command.arg(verb).stdin(Stdio::piped());
        let mut given = HelperInput(Some(input.into()));
        let finished = host::run_attended(&mut command, bounds, &mut given).map_err(|error| {
            match error.kind() {
                ErrorKind::TimedOut => HelperError::Slow {
                    name: self.name.clone(),
                    verb,
                },
                reason => HelperError::Run {
                    name: self.name.clone(),
                    verb,
                    reason,
                },
            }
        })?;
        let status = finished.status;
        let well = status
            .success()
            .then_some(())
            .ok_or_else(|| HelperError::Failed {
                name: self.name.clone(),
                verb,
                status: status.to_string(),
            });
        Ok((finished.output, well))
    }
}

/// What it is asked. One that does not read that has an answer all the same, or none.
struct HelperInput(Option<Vec<u8>>);

impl ProcessAttendant for HelperInput {
    fn next_input(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        Ok(self.0.take())
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A helper that is a shell script, and the PATH that it is found by.
    pub(in crate::net) fn scripted(name: &str, script: &str) -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join(format!("docker-credential-{name}"));
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("relative::{}", folder.path().display());
        (folder, path)
    }

    fn answer(script: &str) -> Result<Option<RegistryLogin>, HelperError> {
        let (_folder, path) = scripted("x", script);
        CredentialHelper::find("x", &path).unwrap().get("r.example")
    }

    #[test]
    fn helpers_answer() {
        let script = r#"test "$1 $(cat)" = "get r.example" && echo '{"ServerURL":"r","Username":"u","Secret":"s3cret"}'"#;
        let Some(RegistryLogin::Basic(basic)) = answer(script).unwrap() else {
            panic!("no user")
        };
        assert_eq!(
            (basic.user.as_str(), basic.password.expose()),
            ("u", "s3cret")
        );
        let token = answer(r#"echo '{"Username":"<token>","Secret":"id"}'"#).unwrap();
        assert_eq!(token, Some(RegistryLogin::Identity(Secret::new("id"))));
        let unknown = answer("echo credentials not found in native keychain; exit 1");
        assert_eq!(unknown, Ok(None));
        assert_eq!(answer(r#"echo '{"Username":"","Secret":""}'"#), Ok(None));
    }

    #[test]
    fn failures_show_nothing_that_was_printed() {
        for script in [
            "echo s3cret; exit 3",
            "echo s3cret",
            r#"echo '{"Secret":"s3cret"}'"#,
            "echo s3cret >&2; kill -9 $$",
            "head -c 1000000 /dev/zero | tr '\\0' s3cret",
        ] {
            let error = answer(script).unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cret") && shown.contains('x'), "{shown}");
        }
    }

    #[test]
    fn names_are_names() {
        for name in ["", "../x", "a b", "a;b", "$(x)", "ä", &"a".repeat(65)] {
            assert_eq!(
                CredentialHelper::find(name, "/bin").unwrap_err(),
                HelperError::Name
            );
        }
        let missing = CredentialHelper::find("nothing-of-the-kind", "/bin:/usr/bin").unwrap_err();
        assert!(matches!(missing, HelperError::Missing { .. }));
    }

    #[test]
    fn one_that_does_not_end_is_ended() {
        let (_folder, path) = scripted("x", "sleep 60");
        let mut helper = CredentialHelper::find("x", &path).unwrap();
        helper.time_limit = Duration::from_millis(100);
        let start = std::time::Instant::now();
        let slow = helper.get("r").unwrap_err();
        assert!(matches!(slow, HelperError::Slow { .. }), "{slow}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn helpers_keep_and_forget() {
        let (folder, path) = scripted("x", r#"cat > "$(dirname "$0")/$1""#);
        let helper = CredentialHelper::find("x", &path).unwrap();
        helper.store("r", "u", &Secret::new("p")).unwrap();
        helper.erase("r").unwrap();
        let stored = fs::read_to_string(folder.path().join("store")).unwrap();
        assert_eq!(stored, r#"{"Secret":"p","ServerURL":"r","Username":"u"}"#);
        assert_eq!(
            fs::read_to_string(folder.path().join("erase")).unwrap(),
            "r"
        );
    }
}
