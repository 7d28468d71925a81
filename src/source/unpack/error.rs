//! What can be wrong with an archive that is a source.

use std::io;
use std::path::PathBuf;

use crate::archive::{UnpackedBound, too_much, zip};
use crate::oci::Digest;
use crate::report::{ErrorClass, Explain, Explanation};

pub(super) const MAX_DEPTH: usize = 200;
/// Files, folders and links in all, those folders counted that no entry names.
pub(super) const MAX_ENTRIES: u64 = 2_000_000;
/// Bytes of all files.
pub(super) const MAX_BYTES: u64 = 16 << 30;
/// Bytes of a path, and of a link's target.
pub(super) const MAX_PATH_BYTES: usize = 4000;
/// Bytes of all links with their targets, which are held in memory.
pub(super) const MAX_LINK_BYTES: usize = 64 << 20;
/// Why an archive gives no source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArchiveSourceError {
    /// The archive cannot be read, or its compression is damaged.
    #[error("{shown} cannot be read")]
    Read {
        /// The archive as typed.
        shown: String,
        #[source]
        source: io::Error,
    },
    #[error("{shown} is no archive")]
    Kind {
        /// The archive as typed.
        shown: String,
        /// What it seems to be.
        found: FoundInstead,
    },
    /// It ends too early.
    #[error("{shown} is cut off")]
    Cut {
        /// The archive as typed.
        shown: String,
    },
    /// Something that ought to be a header is none.
    #[error("{shown} is damaged")]
    Header {
        /// The archive as typed.
        shown: String,
        /// The entry before it; empty at the beginning.
        after: String,
    },
    /// An entry is refused.
    #[error("{shown}: {} is refused", entry.escape_debug())]
    Entry {
        /// The archive as typed.
        shown: String,
        entry: String,
        /// What is wrong with it.
        fault: ArchiveEntryFault,
    },
    /// It holds too much.
    #[error("{shown} holds too much")]
    Bound {
        /// The archive as typed.
        shown: String,
        bound: ArchiveBound,
    },
    /// A zip archive is wrong.
    #[error(transparent)]
    Zip(#[from] zip::ZipError),
    /// It is not the archive that was meant.
    #[error("{shown}: expected {expected}, found {found}")]
    Hash {
        /// The archive as typed.
        shown: String,
        /// What was typed behind `#sha256=`.
        expected: Digest,
        /// What the file has.
        found: Digest,
    },
    /// Nobody sends an archive.
    #[error("standard input is a terminal")]
    Terminal,
    /// The store could not be written to.
    #[error("{}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// What stands where an archive was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FoundInstead {
    /// No byte at all.
    Nothing,
    /// A zip, where only a stream can be read.
    ZipOnStdin,
    Bzip2,
    /// Markup, such as a page that asks for a login.
    WebPage,
    Other,
}

/// What is wrong with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveEntryFault {
    /// Its path is absolute.
    Absolute,
    /// Its path climbs by `..`.
    Climbs,
    /// Its path holds a NUL byte.
    Nul,
    /// Its path, or the target of a link, is too long.
    Long,
    /// Its path is too deep.
    Deep,
    /// Something of that path is there already, or a file is where a folder must be.
    Twice,
    /// A hard link to what is no earlier file.
    HardLink,
    /// A link without a target.
    NoTarget,
    /// Its length is no number.
    Size,
    /// A file with holes, or in pieces, or of a vendor's own kind.
    Kind,
}

/// What an archive is bounded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ArchiveBound {
    /// Files, folders and links.
    Entries,
    /// Bytes of all files.
    Bytes,
    /// Bytes of all files, by the archive's length.
    Ratio {
        /// How many are allowed.
        most_bytes: u64,
    },
    /// Bytes of links and their targets.
    Links,
}

fn fault_text(fault: ArchiveEntryFault) -> String {
    match fault {
        ArchiveEntryFault::Absolute => "its path is absolute".to_owned(),
        ArchiveEntryFault::Climbs => "its path climbs by `..`".to_owned(),
        ArchiveEntryFault::Nul => "its path holds a NUL byte".to_owned(),
        ArchiveEntryFault::Long => {
            format!("its path, or what it links to, is longer than {MAX_PATH_BYTES} bytes")
        }
        ArchiveEntryFault::Deep => format!("its path is deeper than {MAX_DEPTH} folders"),
        ArchiveEntryFault::Twice => {
            "its path is there twice, or is a file in one place and a folder in another".to_owned()
        }
        ArchiveEntryFault::HardLink => "it is a hard link to what is no file before it".to_owned(),
        ArchiveEntryFault::NoTarget => "it is a link to nothing".to_owned(),
        ArchiveEntryFault::Size => "its length is no number".to_owned(),
        ArchiveEntryFault::Kind => {
            "it is a file with holes, a part of a file, or of a kind that is not for sources"
                .to_owned()
        }
    }
}

fn bound_text(bound: ArchiveBound) -> String {
    match bound {
        ArchiveBound::Entries => format!("more than {MAX_ENTRIES} files, folders and links"),
        ArchiveBound::Bytes => format!("more than {} GiB of files", MAX_BYTES >> 30),
        ArchiveBound::Ratio { most_bytes } => format!("it is {}", too_much(most_bytes)),
        ArchiveBound::Links => format!("more than {} MiB of links", MAX_LINK_BYTES >> 20),
    }
}

fn bound_hint(bound: ArchiveBound) -> &'static str {
    match bound {
        ArchiveBound::Ratio { .. } => UnpackedBound::HINT,
        ArchiveBound::Entries | ArchiveBound::Bytes | ArchiveBound::Links => {
            "leave out what the image does not need, or unpack it and build the folder"
        }
    }
}

fn found_text(found: FoundInstead) -> (&'static str, &'static str) {
    match found {
        FoundInstead::Nothing => (
            "there is not a single byte in it",
            "check what writes it: `tar -c . | s2r build - IMAGE`",
        ),
        FoundInstead::ZipOnStdin => (
            "a zip's directory is at its end, so it cannot be read from a stream",
            "send a tar, or name the zip file",
        ),
        FoundInstead::Bzip2 => (
            "it is compressed by bzip2, which s2r does not read",
            "pack it with gzip, xz or zstd",
        ),
        FoundInstead::WebPage => (
            "it begins like a web page; the host may want a login",
            "open the address in a browser; credentials come from ~/.netrc or the URL",
        ),
        FoundInstead::Other => (
            "it begins neither like tar nor like gzip, xz, zstd or zip",
            "check the file: `file NAME` tells what it is",
        ),
    }
}

impl Explain for ArchiveSourceError {
    fn explain(&self) -> Explanation {
        let again = "pack it anew, or fetch it anew";
        let (class, place, why, next) = match self {
            Self::Read { shown, source } => (ErrorClass::Project, shown, source.to_string(), again),
            Self::Kind { shown, found } => {
                let (why, next) = found_text(*found);
                (ErrorClass::Project, shown, why.to_owned(), next)
            }
            Self::Cut { shown } => (
                ErrorClass::Project,
                shown,
                "it ends before its end mark: what sent it broke off".to_owned(),
                again,
            ),
            Self::Header { shown, after } => {
                let why = if after.is_empty() {
                    "it does not begin as a tar does".to_owned()
                } else {
                    format!("what follows {} is no entry", after.escape_debug())
                };
                (ErrorClass::Project, shown, why, again)
            }
            Self::Entry { shown, fault, .. } => (
                ErrorClass::Project,
                shown,
                fault_text(*fault),
                "pack the folder anew with `tar -C FOLDER -c .` or `git archive HEAD`; do not unpack this archive elsewhere if you do not know its maker",
            ),
            Self::Bound { shown, bound } => (
                ErrorClass::Project,
                shown,
                bound_text(*bound),
                bound_hint(*bound),
            ),
            Self::Zip(error) => return error.explain(),
            Self::Hash {
                shown,
                expected,
                found,
            } => (
                ErrorClass::Project,
                shown,
                format!(
                    "#sha256= says {}, the file has {}.",
                    expected.hex(),
                    found.hex()
                ),
                "correct the hash if the file is the right one; else do not use it",
            ),
            Self::Terminal => {
                return Explanation {
                    class: ErrorClass::CommandLine,
                    what: self.to_string(),
                    place: "-".to_owned(),
                    why: "`-` stands for a tar that another program sends".to_owned(),
                    next: "send one, `tar -c . | s2r build - IMAGE`, or name a folder".to_owned(),
                };
            }
            Self::Write { path, source } => {
                return Explanation {
                    class: ErrorClass::World,
                    what: "an unpacked file cannot be written".to_owned(),
                    place: path.display().to_string(),
                    why: source.to_string(),
                    next:
                        "check space and permissions; S2R_STORE names another place for the store"
                            .to_owned(),
                };
            }
        };
        Explanation {
            class,
            what: self.to_string(),
            place: place.clone(),
            why,
            next: next.to_owned(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum ArchiveSourceError {
        Read { shown: "app.tar.gz".into(), source: crate::report::samples::denied() },
        Kind { shown: "-".into(), found: FoundInstead::Nothing },
        Kind { shown: "-".into(), found: FoundInstead::ZipOnStdin },
        Kind { shown: "app.tar".into(), found: FoundInstead::Bzip2 },
        Kind { shown: "app.tar".into(), found: FoundInstead::WebPage },
        Kind { shown: "app.tar".into(), found: FoundInstead::Other },
        Cut { shown: "-".into() },
        Header { shown: "app.tar".into(), after: String::new() },
        Header { shown: "app.tar".into(), after: "app/main.py".into() },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Absolute },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Climbs },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Nul },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Long },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Deep },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Twice },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::HardLink },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::NoTarget },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Size },
        Entry { shown: "app.tar".into(), entry: "app/main.py".into(), fault: ArchiveEntryFault::Kind },
        Bound { shown: "app.tar".into(), bound: ArchiveBound::Entries },
        Bound { shown: "app.tar".into(), bound: ArchiveBound::Bytes },
        Bound { shown: "app.tar".into(), bound: ArchiveBound::Ratio { most_bytes: 5 << 30 } },
        Bound { shown: "app.tar".into(), bound: ArchiveBound::Links },
        Zip(zip::ZipError::Archive { path: "app.zip".into(), fault: zip::ArchiveFault::NoEnd }),
        Hash { shown: "app.tar".into(), expected: Digest::of(b"a"), found: Digest::of(b"b") },
        Terminal,
        Write { path: "/store/tmp/1".into(), source: crate::report::samples::denied() },
    }
}
