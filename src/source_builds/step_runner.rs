//! Runs steps in the sandbox: what they see of the machine, what is told of them, and how their
//! failure is explained.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Once;

use super::failure_hints;
pub(crate) use super::step_error::{LastLines, StepError};
use crate::context::build_context::Context;
use crate::host::TempFolder;
use crate::oci::{Key, KeyBuilder};
use crate::packages::python::shown;
use crate::plan::ValueOrigin;
use crate::report::{BuildError, Event, FileError, Report, without_login};
use crate::sandbox::{
    CommandStatus, EndReason, OutputStream, Sandbox, SandboxStep, StepEnd, StepFilesystem,
    StepLimits, StepMount,
};
use crate::store::Store;

/// Who a step believes to be: the image's user.
pub(crate) const USER: (u32, u32) = (1001, 0);
/// Where the caller's certificates are seen in a step.
const CERTIFICATES: &str = "/run/s2r/ca-certificates.crt";
/// Where systems keep the certificates that they trust, if `SSL_CERT_FILE` names no others.
const SYSTEM_CERTIFICATES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];
/// Variables by which programs find the certificates to trust.
const CERTIFICATE_VARIABLES: [&str; 6] = [
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
];
/// The caller's variables that a step with a network gets too.
const PROXIES: [&str; 6] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
];
/// The caller's variables that say where packages of other languages come from, for such a step too.
const REGISTRIES: [&str; 2] = ["NPM_CONFIG_REGISTRY", "npm_config_registry"];
/// This program, which is the sandbox's helper too.
pub(crate) const OURSELVES: &str = "/proc/self/exe";
/// Longest line of a step's output; longer ones are broken.
const MAX_LINE_BYTES: usize = 4096;

/// A root that steps write into, gone when it is dropped.
pub(crate) struct StepRoot {
    pub root: StepFilesystem,
    _folder: TempFolder,
}

impl StepRoot {
    /// A place over these folders, the lowest first.
    pub(crate) fn new(store: &Store, lower: Vec<PathBuf>) -> Result<Self, BuildError> {
        let at = store.scratch();
        let unwritable = |source| FileError::Unwritable {
            path: at.clone(),
            source,
        };
        let folder = store.temp_folder("step-")?;
        let root = StepFilesystem {
            lower,
            upper: folder.path().join("upper"),
            top_mode: 0o755,
            scratch: folder.path().join("scratch"),
        };
        for path in [&root.upper, &root.scratch] {
            std::fs::create_dir(path).map_err(unwritable)?;
        }
        Ok(Self {
            root,
            _folder: folder,
        })
    }

    /// The same with more folders on top of the lower ones.
    pub(crate) fn over(&self, folders: &[PathBuf]) -> StepFilesystem {
        let mut root = self.root.clone();
        root.lower.extend_from_slice(folders);
        root
    }
}

/// One command to be run.
pub(crate) struct StepCommand<'a> {
    /// What users call it.
    pub title: &'a str,
    pub command: &'a [&'a str],
    /// Where the project asks for it, if its last word is what the project wrote.
    pub place: Option<&'a ValueOrigin>,
    pub directory: &'a str,
    /// Who it believes to be.
    pub user: (u32, u32),
    /// Its environment, beside what every step gets.
    pub environment: BTreeMap<String, String>,
    /// What it sees of the machine beside its root.
    pub mounts: Vec<StepMount>,
    /// Whether it reaches the network.
    pub has_network: bool,
    /// How to do without it, should the sandbox not work here.
    pub instead: &'static str,
}

impl StepCommand<'_> {
    /// The command, as one would type it, behind where it stands.
    fn shown(&self) -> String {
        match (self.place, self.command.last()) {
            (Some(place), Some(text)) => format!("{place}: {text}"),
            _ => self.command.join(" "),
        }
    }
}

/// What steps are run with.
#[derive(Clone, Copy)]
pub(crate) struct StepRunner<'a> {
    pub context: &'a Context<'a>,
    pub report: &'a dyn Report,
}

impl StepRunner<'_> {
    /// Runs a command to its end and tells its output; whether it ended well.
    ///
    /// # Errors
    /// The sandbox does not work here.
    pub(crate) fn try_run(
        &self,
        root: &StepFilesystem,
        order: &StepCommand<'_>,
    ) -> Result<StepEnd, BuildError> {
        let refused = |source| StepError::NoSandbox {
            step: order.title.to_owned(),
            instead: order.instead.to_owned(),
            source,
        };
        let running = self.context.settings.running;
        let program = Path::new(OURSELVES);
        let sandbox = if self.context.is_bare() {
            allowed(self.context, order.title, order.instead)?;
            Sandbox::bare(program)
        } else {
            Sandbox::new(running.isolation, program).map_err(refused)?
        };
        let mut mounts = order.mounts.clone();
        let mut environment = BTreeMap::from(
            [
                (
                    "PATH",
                    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                ),
                ("LANG", "C.UTF-8"),
                ("LC_ALL", "C.UTF-8"),
                ("PYTHONHASHSEED", "0"),
                ("PYTHONDONTWRITEBYTECODE", "1"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        environment.insert(
            "SOURCE_DATE_EPOCH".to_owned(),
            self.context.epoch_seconds().to_string(),
        );
        environment.extend(order.environment.clone());
        if order.has_network {
            self.add_network(&mut environment, &mut mounts);
        }
        let step = SandboxStep {
            command: order.command.iter().map(|&word| word.to_owned()).collect(),
            directory: order.directory.to_owned(),
            environment,
            user: order.user,
            mounts,
            has_network: order.has_network,
            is_read_only: false,
            limits: running.limits,
        };
        let mut lines = LineSplitter {
            title: order.title,
            report: self.report,
            open: [Vec::new(), Vec::new()],
        };
        let ended = sandbox
            .run(root, &step, &mut |stream, bytes| {
                lines.add(stream, bytes);
            })
            .map_err(refused)?;
        lines.finish();
        if ended.reached_network && !order.has_network && !self.context.is_bare() {
            self.report.event(Event::Warning {
                text: format!(
                    "{} ran with the network of this machine: s2r may not make another one here",
                    order.title
                ),
                hint: "use --isolation userns where user namespaces are allowed, or give root the right to make namespaces (CAP_SYS_ADMIN)".to_owned(),
            });
        }
        if ended.is_output_cut {
            self.report.event(Event::Warning {
                text: format!(
                    "{} wrote more than {} MiB; the rest of its output is not shown",
                    order.title,
                    running.limits.output_bytes >> 20
                ),
                hint: "have it say less, or write to a file".to_owned(),
            });
        }
        Ok(ended)
    }

    /// Runs a command that must end well.
    ///
    /// # Errors
    /// It does not, or the sandbox does not work here.
    pub(crate) fn run(
        &self,
        root: &StepFilesystem,
        order: &StepCommand<'_>,
    ) -> Result<StepEnd, BuildError> {
        let ended = self.try_run(root, order)?;
        if is_success(&ended) {
            return Ok(ended);
        }
        Err(self.failed(order, &ended, None).into())
    }

    /// The error of a command that did not end well; `advice` is what its status says to whoever knows the program.
    pub(crate) fn failed(
        &self,
        order: &StepCommand<'_>,
        ended: &StepEnd,
        advice: Option<String>,
    ) -> StepError {
        let lines: Vec<String> = ended.last_lines.iter().map(|line| shown(line)).collect();
        let asked = self.context.plan.packages.of_project();
        let advice = advice.or_else(|| failure_hints::advice(&lines, &asked));
        StepError::Failed {
            step: order.title.to_owned(),
            command: order.shown(),
            ended: how(ended, &self.context.settings.running.limits),
            words: Box::new(LastLines { lines, advice }),
            instead: order.instead,
            is_disk_full: ended.reason == EndReason::NoSpace,
        }
    }

    /// Says once that steps do not get the login of a proxy.
    fn tell_of_proxy(&self, variable: &str) {
        static TOLD: Once = Once::new();
        TOLD.call_once(|| {
            self.report.event(Event::Warning {
                text: format!("steps are told the proxy of {variable} without its login"),
                hint: "what a step knows may end up in the image; use a proxy on this machine that logs in for you, or lock, and put wheels in place of sources".to_owned(),
            });
        });
    }

    /// Names of hosts, certificates and proxies, as the caller has them; logins of proxies left out.
    fn add_network(&self, environment: &mut BTreeMap<String, String>, mounts: &mut Vec<StepMount>) {
        let variables = &self.context.settings.variables;
        let read_only = |from: PathBuf, to: &str| StepMount {
            from,
            to: to.to_owned(),
            is_writable: false,
        };
        for path in ["/etc/resolv.conf", "/etc/hosts"] {
            if Path::new(path).is_file() {
                mounts.push(read_only(path.into(), path));
            }
        }
        for name in PROXIES {
            if let Some(value) = variables.get(name) {
                let proxy = without_login(value);
                if proxy.as_ref() != value {
                    self.tell_of_proxy(name);
                }
                environment.insert(name.to_owned(), proxy.into_owned());
            }
        }
        for name in REGISTRIES {
            if let Some(value) = variables.get(name) {
                let address = without_login(value).into_owned();
                environment.entry(name.to_owned()).or_insert(address);
            }
        }
        let own = ["SSL_CERT_FILE", "PIP_CERT"]
            .into_iter()
            .filter_map(|name| variables.get(name).map(PathBuf::from));
        let found = own
            .chain(SYSTEM_CERTIFICATES.map(PathBuf::from))
            .find(|path| path.is_absolute() && path.is_file());
        if let Some(file) = found {
            mounts.push(read_only(file, CERTIFICATES));
            for name in CERTIFICATE_VARIABLES {
                environment.insert(name.to_owned(), CERTIFICATES.to_owned());
            }
        }
    }
}

/// Whether a step may run as it was asked for; to be called before anything is laid ready for it.
///
/// # Errors
/// It is to run without isolation, and not here.
pub(crate) fn allowed(context: &Context<'_>, step: &str, instead: &str) -> Result<(), StepError> {
    if !context.is_bare() {
        return Ok(());
    }
    context
        .in_builder()
        .map_err(|absence| StepError::Elsewhere {
            step: step.to_owned(),
            instead: instead.to_owned(),
            absence,
        })
}

/// Whether a step did what it should.
pub(crate) fn is_success(ended: &StepEnd) -> bool {
    ended.reason == EndReason::Exited && ended.status == CommandStatus::Code(0)
}

/// How a step ended, in half a sentence.
pub(crate) fn how(ended: &StepEnd, limits: &StepLimits) -> String {
    match (ended.reason, ended.status) {
        (EndReason::Exited, CommandStatus::Code(code)) => format!("it ended with status {code}"),
        (EndReason::Exited, CommandStatus::Signal(signal)) => format!("signal {signal} ended it"),
        (EndReason::OutOfTime, _) => format!(
            "it was stopped after {} seconds (--step-time)",
            limits.time.as_secs()
        ),
        (EndReason::OutOfMemory, _) => format!(
            "it was stopped at {} MiB of memory (--step-memory)",
            limits.memory_bytes >> 20
        ),
        (EndReason::TooManyProcesses, _) => {
            format!("it was stopped at {} processes", limits.processes)
        }
        (EndReason::DiskFull, _) => format!(
            "it was stopped when it had written {} MiB",
            limits.disk_bytes >> 20
        ),
        (EndReason::MemoryFilesFull, _) => format!(
            "its /tmp was full at {} MiB, for it is memory (half of --step-memory)",
            limits.memory_bytes >> 21
        ),
        (EndReason::NoSpace, _) => "the disk of the store was full".to_owned(),
        (EndReason::LookedAt, _) => "it was ended by s2r".to_owned(),
    }
}

/// Turns what a step writes into lines.
struct LineSplitter<'a> {
    title: &'a str,
    report: &'a dyn Report,
    open: [Vec<u8>; 2],
}

impl LineSplitter<'_> {
    fn add(&mut self, stream: OutputStream, bytes: &[u8]) {
        let place = match stream {
            OutputStream::Output => 0,
            OutputStream::Error => 1,
        };
        for &byte in bytes {
            if byte == b'\n' || self.open[place].len() >= MAX_LINE_BYTES {
                let line = std::mem::take(&mut self.open[place]);
                self.tell(&line);
            }
            if byte != b'\n' {
                self.open[place].push(byte);
            }
        }
    }

    fn finish(mut self) {
        for line in std::mem::take(&mut self.open) {
            if !line.is_empty() {
                self.tell(&line);
            }
        }
    }

    /// Tells one line, without what would move the cursor and without credentials.
    fn tell(&self, line: &[u8]) {
        let text: String = String::from_utf8_lossy(line)
            .chars()
            .filter(|one| !one.is_control() || *one == '\t')
            .collect();
        self.report.event(Event::Output {
            step: self.title.to_owned(),
            line: shown(&text),
        });
    }
}

/// The key of what came of a step without isolation, where it may have seen more than it should: never
/// taken for what came of the same step in a sandbox.
pub(crate) fn bare_key(key: &Key) -> Key {
    KeyBuilder::new("without-isolation/1")
        .field(key.as_bytes())
        .finish()
}
