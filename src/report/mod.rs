//! What may be said while s2r works, and how a failure explains itself.
//!
//! Modules below `cli` never print: they send [`Event`]s to a [`Report`], and their errors
//! implement [`Explain`]. `cli` alone decides what a terminal, a log or a JSON reader gets.

mod address;
mod error;
#[cfg(test)]
pub(crate) mod samples;
mod warn_once;

pub(crate) use address::{is_secret_query, redacted, redacted_query, split_login, without_login};
pub(crate) use error::{BuildError, FileError, ThreadError};
#[cfg(test)]
pub(crate) use samples::samples;
pub(crate) use warn_once::WarnOnce;

use std::fmt;
use std::time::Duration;

/// One thing worth saying while a command runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A stage of the build begins.
    StageStarted { stage: BuildStage },
    /// A stage of the build is over.
    StageFinished {
        stage: BuildStage,
        /// What came of it, for instance `12 wheels`.
        detail: String,
        /// How long it took.
        took: Duration,
    },
    /// Something that the user should know, and that does not stop the build.
    Warning {
        text: String,
        /// What to do about it; empty if there is nothing to do.
        hint: String,
    },
    /// A download or an upload begins.
    TransferStarted {
        /// Tells transfers of one run apart.
        id: TransferId,
        /// What is moved, for instance `numpy-2.4.6-cp313-….whl`.
        name: String,
        /// Size in bytes, where it is known beforehand.
        total_bytes: Option<u64>,
    },
    /// A transfer has moved on; to `done_bytes` in all (it may fall back when a try is repeated).
    TransferAdvanced {
        id: TransferId,
        /// Bytes moved so far.
        done_bytes: u64,
    },
    /// A transfer is over, well or badly.
    TransferFinished { id: TransferId },
    /// A line that a step in the sandbox wrote.
    Output {
        /// The step, for instance `psycopg2`.
        step: String,
        /// The line, without its end.
        line: String,
    },
    /// A layer of the image is known.
    Layer(LayerEvent),
    /// A blob is in the destination.
    Blob {
        /// Digest of the blob, `sha256:…`.
        digest: String,
        /// Its size in bytes.
        size_bytes: u64,
        /// How it got there.
        status: BlobStatus,
        /// How long that took.
        took: Duration,
    },
}

/// What became of one layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerEvent {
    /// Place in the image, the base being 0.
    pub index: usize,
    /// What it holds, for instance `numpy==2.4.6`.
    pub contents: String,
    /// Digest of the stored bytes, `sha256:…`.
    pub digest: String,
    /// Compressed size in bytes.
    pub size_bytes: u64,
    /// Whether its bytes were made now.
    pub status: LayerStatus,
    /// How long it took to have it.
    pub took: Duration,
}

/// Where the bytes of a layer come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LayerStatus {
    /// Written in this build.
    Made,
    /// Known by its key; nothing was read or written.
    Reused,
    /// Known by its digest, and its bytes stay in a registry.
    Remote,
    /// An image in a registry says that it has it, and nothing here says so too.
    Believed,
}

/// How a blob came to be in a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlobStatus {
    /// Its bytes were sent.
    Pushed,
    /// The destination had it.
    AlreadyThere,
    /// The destination had it in another repository, and was told so.
    Mounted,
    /// It was copied from another registry.
    Copied,
}

/// Tells the transfers of one run apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TransferId(pub u64);

/// The stages of a build, in order; the words users see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BuildStage {
    /// Reading the project's files.
    Source,
    /// Deciding what to build.
    Plan,
    /// Finding the exact packages.
    Resolve,
    /// Running the project's own code in the sandbox: wheels from source, collected files.
    Build,
    /// Fetching and writing the base's layers; goes on while wheels are being resolved.
    Base,
    /// Fetching and writing all other layers.
    Layers,
    /// Running the project's tests upon the finished layers.
    Test,
    /// Writing the image's config and manifest.
    Image,
    /// Starting it, and seeing whether it answers.
    Check,
    /// Sending it to a registry.
    Push,
    /// Writing it to a file or folder.
    Export,
}

impl BuildStage {
    /// The stage's name as users see it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Plan => "plan",
            Self::Resolve => "resolve",
            Self::Build => "build",
            Self::Base => "base",
            Self::Layers => "layers",
            Self::Test => "test",
            Self::Image => "image",
            Self::Check => "check",
            Self::Push => "push",
            Self::Export => "export",
        }
    }
}

/// Takes events; shared by all threads of a build.
pub(crate) trait Report: Sync {
    /// Takes one event. Must not block for long and cannot fail.
    fn event(&self, event: Event);
}

/// A report that says nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SilentReport;

impl Report for SilentReport {
    fn event(&self, _event: Event) {}
}

/// Whose fault a failure is, which decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// The command line is wrong: exit 2.
    CommandLine,
    /// The project is wrong: exit 65.
    Project,
    /// Network, registry or disk failed: exit 69.
    World,
    /// s2r is wrong: exit 70.
    Ours,
}

impl ErrorClass {
    /// The process's exit code (sysexits.h where it has a fitting one).
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::CommandLine => 2,
            Self::Project => 65,
            Self::World => 69,
            Self::Ours => 70,
        }
    }
}

/// What to do where bytes could not be kept on this machine.
pub(crate) const DISK: &str = "check the free space and the rights of the store's disk: `s2r cache prune` makes room, S2R_STORE names another folder";

/// What to do about a fault of s2r itself.
pub(crate) const REPORT_FAULT: &str =
    "this is a fault of s2r: report it, with the command and the output of `s2r version`";

/// What mends an image with a part that is damaged or missing here.
pub(crate) const BUILD_AGAIN: &str = "build the image again (`s2r build SOURCE IMAGE`), which makes that part anew; `s2r cache verify` lists every image with such a part";

/// What stands, with a colon, before the last lines of a step at the end of an explanation's `why`. Who has shown them
/// already need not show them again.
pub(crate) const LAST_LINES: &str = "its last lines";

/// A failure told to a person: what happened, where, why it stops the build, what to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explanation {
    /// Whose fault it is.
    pub class: ErrorClass,
    /// What happened, one line without a full stop.
    pub what: String,
    /// Where: a file and line, a url, an image; empty only if there is no place.
    pub place: String,
    /// Why that stops the build, or the cause beneath; may be several lines.
    pub why: String,
    /// What to do next: a command, a variable, a place to look.
    pub next: String,
}

impl fmt::Display for Explanation {
    /// A line for each part that is not empty; further lines of a part stand below its first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One line: words of others shall not look like another error.
        writeln!(f, "error: {}", self.what.replace('\n', " "))?;
        for (label, body) in [
            ("where", &self.place),
            ("why", &self.why),
            ("next", &self.next),
        ] {
            let mut lines = body.trim_end().lines();
            if let Some(first) = lines.next() {
                writeln!(f, "  {label:>5}: {first}")?;
            }
            for line in lines {
                writeln!(f, "         {line}")?;
            }
        }
        Ok(())
    }
}

/// Every error of every module explains itself; there is no default, so that none is forgotten.
pub(crate) trait Explain {
    /// The failure in the words of its user.
    fn explain(&self) -> Explanation;
}
