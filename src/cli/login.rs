//! `s2r login` and `s2r logout`: asks for what is missing, and never shows or repeats a password.

use std::io::{IsTerminal as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::json;

use super::args::{LoginArgs, LogoutArgs};
use super::failure::CommandFailure;
use super::progress::ProgressReporter;
use super::request::ProcessEnv;
use super::settings::{registries, settings};
use super::text::CommandOutput;
use crate::pipeline::{self, LoginPlace, NetworkRules};

/// No password is longer; tokens of clouds have some kilobytes.
const MAX_PASSWORD_BYTES: u64 = 64 << 10;

pub(super) fn login(
    arguments: &LoginArgs,
    surroundings: &ProcessEnv,
    shown: &ProgressReporter,
) -> Result<CommandOutput, CommandFailure> {
    let mut settings = settings(surroundings, NetworkRules::default());
    settings.registries = registries(&arguments.registries);
    let user = match &arguments.username {
        Some(user) => user.clone(),
        None if arguments.password_stdin => return Err(missing("--username")),
        None => asked("Username: ", "--username")?,
    };
    let password = if arguments.password_stdin {
        from_stdin()?
    } else {
        asked_silently()?
    };
    if user.is_empty() || user.contains([':', '\n']) {
        return Err(CommandFailure::Usage {
            what: "this is not a user name".to_owned(),
            place: "--username".to_owned(),
            why: "it is empty, or there is a colon in it".to_owned(),
            next: "registries that know tokens alone take any name, for instance `token`"
                .to_owned(),
        });
    }
    if password.is_empty() {
        return Err(missing("the password"));
    }
    let place = pipeline::login(&arguments.registry, &user, password, &settings, shown)?;
    Ok(answer("logged in to", &place))
}

pub(super) fn logout(
    arguments: &LogoutArgs,
    surroundings: &ProcessEnv,
) -> Result<CommandOutput, CommandFailure> {
    let mut settings = settings(surroundings, NetworkRules::default());
    settings
        .registries
        .auth_file
        .clone_from(&arguments.authfile);
    let place = pipeline::logout(&arguments.registry, &settings)?;
    Ok(answer("logged out of", &place))
}

fn answer(what: &str, place: &LoginPlace) -> CommandOutput {
    let keeper = match &place.helper {
        Some(helper) => format!("docker-credential-{helper}"),
        None => place.path.display().to_string(),
    };
    CommandOutput {
        text: format!("{what} {} ({keeper})\n", place.registry),
        json: json!({"registry": place.registry, "file": place.path, "helper": place.helper}),
    }
}

/// The password on stdin, without the end of its line.
fn from_stdin() -> Result<String, CommandFailure> {
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(&error))?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line from the terminal.
fn asked(prompt: &str, instead: &str) -> Result<String, CommandFailure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(missing(instead));
    }
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_all(prompt.as_bytes());
    let _ = stderr.flush();
    let mut line = String::new();
    stdin
        .read_line(&mut line)
        .map_err(|error| unreadable(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A line that the terminal does not show while it is typed.
fn asked_silently() -> Result<String, CommandFailure> {
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(missing("--password-stdin"));
    }
    let hidden = EchoGuard::new().map_err(|error| unreadable(&error.into()))?;
    let password = asked("Password: ", "--password-stdin");
    drop(hidden);
    let _ = std::io::stderr().write_all(b"\n");
    password
}

/// While this lives, the terminal does not repeat what is typed.
struct EchoGuard {
    before: Termios,
}

impl EchoGuard {
    fn new() -> rustix::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for EchoGuard {
    fn drop(&mut self) {
        // A terminal that is gone needs no echo.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn missing(what: &str) -> CommandFailure {
    CommandFailure::Usage {
        what: format!("{what} is missing"),
        place: "s2r login".to_owned(),
        why: "there is no terminal to ask for it".to_owned(),
        next: "echo \"$PASSWORD\" | s2r login REGISTRY --username USER --password-stdin".to_owned(),
    }
}

fn unreadable(error: &std::io::Error) -> CommandFailure {
    CommandFailure::Usage {
        what: "user and password cannot be read".to_owned(),
        place: "stdin".to_owned(),
        why: error.to_string(),
        next: "echo \"$PASSWORD\" | s2r login REGISTRY --username USER --password-stdin".to_owned(),
    }
}
