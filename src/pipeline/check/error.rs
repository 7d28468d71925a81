//! Why an image was not found to answer, and how that is told.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::clue::{self, LogClue};
use super::wishes::CheckRequest;
use crate::packages::python::shown;
use crate::report::{ErrorClass, Explain, Explanation, LAST_LINES};
use crate::sandbox::{CommandStatus, EndReason, SandboxError, SandboxStep, StepEnd};

/// Lines of the log that are shown.
const LINES: usize = 25;

/// How to build and look for oneself.
const INSTEAD: &str =
    "see for yourself: build without --check, and run `s2r run IMAGE --restricted -p 8080`";

/// Why an image could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    #[error("an image cannot be checked here")]
    NoPlace { source: Option<SandboxError> },
    /// It is for other machines.
    #[error("none of the image's platforms can be checked here")]
    Platform { found: String },
    #[error("{image} cannot be started")]
    Sandbox { image: String, source: SandboxError },
    /// It ended before anybody could look.
    #[error("{image} could not be looked at")]
    Unseen { image: String },
}

impl Explain for CheckError {
    fn explain(&self) -> Explanation {
        let what = self.to_string();
        match self {
            Self::NoPlace { source } => {
                let (why, next) = match source.as_ref().map(Explain::explain) {
                    Some(cause) => (format!("\n{}", cause.why), format!("{}; or ", cause.next)),
                    None => (String::new(), String::new()),
                };
                Explanation {
                    class: ErrorClass::World,
                    what,
                    place: "--check".to_owned(),
                    why: format!(
                        "a read-only root, another user and a network of its own take namespaces (--isolation auto or userns){why}"
                    ),
                    next: format!(
                        "{next}leave --check out, and check the image where namespaces are allowed: s2r check IMAGE"
                    ),
                }
            }
            Self::Platform { found } => Explanation {
                class: ErrorClass::CommandLine,
                what,
                place: "--platform".to_owned(),
                why: format!("a check starts the image, and it is for {found}"),
                next: "build it for this machine too, or leave --check out and check it on such a machine: s2r check IMAGE".to_owned(),
            },
            Self::Sandbox { image, source } => {
                let cause = source.explain();
                Explanation {
                    class: cause.class,
                    what,
                    place: image.clone(),
                    why: format!("{}: {}", cause.what, cause.why),
                    next: cause.next,
                }
            }
            Self::Unseen { image } => Explanation {
                class: ErrorClass::World,
                what,
                place: image.clone(),
                why: "the sandbox ended before its first process had started".to_owned(),
                next: "if the machine ran out of memory, its log (`dmesg`) says so; otherwise try again".to_owned(),
            },
        }
    }
}

/// What is wrong with an image, by what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckFault {
    /// It ended before it answered.
    Ended {
        status: CommandStatus,
        reason: EndReason,
    },
    /// It listens on the port, where only itself can reach it.
    Loopback {
        address: SocketAddr,
    },
    /// It listens on other ports alone.
    OtherPort {
        listeners: Vec<SocketAddr>,
    },
    Deaf,
    /// It listens, and does not answer.
    NoAnswer,
    /// What it says is not HTTP/1.
    NotHttp,
    /// It answers with another status than the one that is wanted.
    Status {
        found: u16,
    },
}

/// What may say why.
#[derive(Debug)]
pub(crate) struct Evidence {
    /// What it sought in vain, in words.
    pub sought: Vec<String>,
    /// The last lines of its log.
    pub log: Vec<String>,
    /// What a line of it says that is known.
    pub clue: Option<LogClue>,
    /// That line, if it is not among the last ones.
    clue_line: Option<String>,
    /// Of what it was told, the variables that a clue may be about.
    environment: BTreeMap<String, String>,
}

impl Evidence {
    pub(super) fn new(ended: &StepEnd, sought: Vec<String>, step: &SandboxStep) -> Self {
        let lines: Vec<String> = ended.last_lines.iter().map(|line| shown(line)).collect();
        let (clue_line, clue) = LogClue::of(&lines).unzip();
        let log = lines.get(lines.len().saturating_sub(LINES)..);
        let log = log.unwrap_or_default().to_vec();
        let clue_line = clue_line.filter(|line| !log.iter().any(|other| other == line));
        Self {
            sought,
            clue,
            clue_line: clue_line.map(str::to_owned),
            log,
            environment: clue::variables(&step.environment),
        }
    }
}

/// An image that did not answer as it should.
#[derive(Debug, thiserror::Error)]
#[error("{image} does not answer")]
pub(crate) struct FailedCheck {
    pub image: String,
    pub port: u16,
    pub request: CheckRequest,
    pub fault: CheckFault,
    pub evidence: Evidence,
}

impl CheckFault {
    /// One word for machines.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Ended {
                reason: EndReason::OutOfMemory,
                ..
            } => "out-of-memory",
            Self::Ended { .. } => "ended",
            Self::Loopback { .. } => "loopback-only",
            Self::OtherPort { .. } => "other-port",
            Self::Deaf => "not-listening",
            Self::NoAnswer => "no-answer",
            Self::NotHttp => "not-http",
            Self::Status { .. } => "status",
        }
    }
}

impl CheckFault {
    /// The status of its answer, if it gave one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { found } => Some(*found),
            _ => None,
        }
    }

    /// The status that its first process ended with, as a shell shows it.
    pub(crate) fn exit_status(&self) -> Option<u8> {
        match self {
            Self::Ended { status, .. } => Some(status.shell_code()),
            _ => None,
        }
    }
}

impl FailedCheck {
    fn what(&self) -> String {
        match self.fault {
            CheckFault::Status { found } => format!("{} answers with {found}", self.image),
            _ => format!("{} does not answer", self.image),
        }
    }

    fn seen(&self) -> String {
        let (port, within) = (self.port, self.request.shown_within());
        let mebibytes = self.request.memory_bytes >> 20;
        match &self.fault {
            CheckFault::Ended { status, reason } => match (reason, status) {
                (EndReason::OutOfMemory, _) => {
                    format!(
                        "it was ended at {mebibytes} MiB of memory, which is what a check gives it"
                    )
                }
                (EndReason::TooManyProcesses, _) => {
                    format!("it was ended at {} processes", super::PROCESS_LIMIT)
                }
                (EndReason::MemoryFilesFull, _) => format!(
                    "it ended, and its /tmp or /dev/shm was full at {} MiB, for they are memory",
                    mebibytes / 2
                ),
                (_, CommandStatus::Code(code)) => {
                    format!("it ended with status {code} before it answered")
                }
                (_, CommandStatus::Signal(signal)) => {
                    format!("signal {signal} ended it before it answered")
                }
            },
            CheckFault::Loopback { address } => format!(
                "it listens on {address} alone, which nobody outside of its container reaches"
            ),
            CheckFault::OtherPort { listeners } => format!(
                "after {within} it runs, and listens on {}, not on 0.0.0.0:{port}, which is the image's",
                listeners
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            CheckFault::Deaf => {
                format!("after {within} it runs, and listens nowhere: not on port {port}")
            }
            CheckFault::NoAnswer => format!(
                "it listens on port {port}, and has not answered within {within} of its start"
            ),
            CheckFault::NotHttp => format!("what it says on port {port} is not HTTP/1"),
            CheckFault::Status { .. } => match self.request.status {
                Some(wanted) => format!("{wanted} is wanted"),
                None => "a status below 500 is wanted".to_owned(),
            },
        }
    }

    /// What to do about what was seen alone.
    fn next(&self) -> String {
        let port = self.port;
        match &self.fault {
            CheckFault::Loopback { .. } => format!(
                "have it listen on 0.0.0.0: `--bind 0.0.0.0:{port}` (gunicorn), `--host 0.0.0.0` (uvicorn, flask run), app.run(host=\"0.0.0.0\")"
            ),
            CheckFault::OtherPort { listeners } => format!(
                "have it listen on the port that the variable PORT names ({port}), or set PORT={} in .s2i/environment",
                listeners.first().map_or(port, SocketAddr::port)
            ),
            CheckFault::Deaf => "if it starts slowly, give it longer (--check-within 60s); a worker listens nowhere, and is built without --check".to_owned(),
            CheckFault::NoAnswer => "give it longer (--check-within 60s), or ask for a path that answers sooner (--check-path /healthz)".to_owned(),
            CheckFault::NotHttp => "a check speaks HTTP/1 without TLS: an image that serves gRPC or TLS alone is built without --check".to_owned(),
            CheckFault::Ended { reason: EndReason::OutOfMemory, .. } => "have it take less (WEB_CONCURRENCY=1 starts one worker), or check it with what its pod will have (--check-memory 1G)".to_owned(),
            CheckFault::Status { found: 500.. } => "mend what its log says; if that says nothing, have the application log its errors".to_owned(),
            CheckFault::Status { found } => format!(
                "ask for a path that it has (--check-path), or for this status (--check-status {found})"
            ),
            CheckFault::Ended { .. } => format!("mend what its log says; {INSTEAD}"),
        }
    }
}

impl Explain for FailedCheck {
    fn explain(&self) -> Explanation {
        let mut why = vec![self.seen()];
        let sought = &self.evidence.sought;
        if !sought.is_empty() {
            why.push(format!(
                "it sought {}, and nobody was there: a check has a network of its own",
                sought.join(", ")
            ));
        }
        if let Some(line) = &self.evidence.clue_line {
            why.push(format!("its log says: {line}"));
        }
        if self.evidence.log.is_empty() {
            why.push("it wrote nothing".to_owned());
        } else {
            why.push(format!("{LAST_LINES}:\n{}", self.evidence.log.join("\n")));
        }
        // What was seen speaks for itself; only an end or an error of its own is explained by the log.
        let is_explained = matches!(
            &self.fault,
            CheckFault::Ended {
                reason: EndReason::Exited,
                ..
            } | CheckFault::Deaf
                | CheckFault::Status { found: 500.. }
        );
        let next = match &self.evidence.clue {
            Some(clue) if is_explained => clue.next(&self.evidence.environment),
            _ if is_explained && !sought.is_empty() => format!(
                "have it start, and answer {}, without what it sought: connect at the first request that needs it; or {INSTEAD}",
                self.request.path
            ),
            _ => self.next(),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.what(),
            place: format!("GET {} on port {}", self.request.path, self.port),
            why: why.join("\n"),
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum CheckError {
        NoPlace { source: Some(SandboxError::Silent) },
        NoPlace { source: None },
        Platform { found: "linux/arm64".into() },
        Sandbox { image: "myimg".into(), source: SandboxError::Silent },
        Unseen { image: "myimg".into() },
    }
    struct FailedCheck
    { fault: CheckFault::Ended { status: CommandStatus::Code(3), reason: EndReason::Exited }, ..failed() }
    { fault: CheckFault::Ended { status: CommandStatus::Signal(11), reason: EndReason::Exited }, ..failed() }
    { fault: CheckFault::Ended { status: CommandStatus::Signal(9), reason: EndReason::OutOfMemory }, ..failed() }
    { fault: CheckFault::Ended { status: CommandStatus::Signal(9), reason: EndReason::TooManyProcesses }, ..failed() }
    { fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::MemoryFilesFull }, ..failed() }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(3), reason: EndReason::Exited },
        evidence: Evidence {
            sought: vec!["db:5432".into()],
            log: vec!["connection refused".into()],
            clue: None,
            clue_line: None,
            environment: BTreeMap::new(),
        },
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::MissingModule { module: "flask".into() }),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::WrongCallable { module: "main".into(), name: "app".into() }),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::MissingLibrary { file: "libpq.so.5".into() }),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::ReadOnly),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::MissingVariable { name: "SECRET_KEY".into() }),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::Denied),
        ..failed()
    }
    {
        fault: CheckFault::Ended { status: CommandStatus::Code(1), reason: EndReason::Exited },
        evidence: clue(LogClue::AddressInUse),
        ..failed()
    }
    { fault: CheckFault::Loopback { address: SocketAddr::from(([127, 0, 0, 1], 8080)) }, ..failed() }
    { fault: CheckFault::OtherPort { listeners: vec![SocketAddr::from(([0, 0, 0, 0], 5000))] }, ..failed() }
    { fault: CheckFault::NoAnswer, ..failed() }
    { fault: CheckFault::NotHttp, ..failed() }
    { fault: CheckFault::Status { found: 404 }, ..failed() }
    { fault: CheckFault::Status { found: 500 }, ..failed() }
    { ..failed() };
}

/// An image that listens nowhere and writes nothing.
#[cfg(test)]
fn failed() -> FailedCheck {
    FailedCheck {
        image: "myimg".into(),
        port: 8080,
        request: super::wishes::CheckWishes::default().settle(),
        fault: CheckFault::Deaf,
        evidence: Evidence {
            sought: vec![],
            log: vec![],
            clue: None,
            clue_line: None,
            environment: BTreeMap::new(),
        },
    }
}

#[cfg(test)]
fn clue(clue: LogClue) -> Evidence {
    Evidence {
        clue: Some(clue),
        clue_line: Some("the line".into()),
        ..failed().evidence
    }
}
