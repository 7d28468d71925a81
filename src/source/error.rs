//! What can go wrong with a source.

use std::io;
use std::path::{Path, PathBuf};

use crate::report::{ErrorClass, Explain, Explanation};

/// Why a source cannot be taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// The folder is not there.
    #[error("{} does not exist", folder.display())]
    Missing {
        /// The folder as asked for.
        folder: PathBuf,
    },
    /// It is a file.
    #[error("{} is not a folder", folder.display())]
    NotAFolder {
        /// The path as asked for.
        folder: PathBuf,
    },
    /// `--context-dir` leads out of the folder.
    #[error("{} is not within {}", context_dir.display(), folder.display())]
    ContextOutside {
        folder: PathBuf,
        /// The context as asked for.
        context_dir: PathBuf,
    },
    /// Nothing is left to build.
    #[error("{} holds no files", folder.display())]
    Empty { folder: PathBuf },
    /// `--exclude` is no regular expression.
    #[error("--exclude {pattern:?} is no regular expression")]
    Exclude {
        pattern: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A name that would delete files of other layers.
    #[error("{} begins with .wh.", path.display())]
    Whiteout { path: PathBuf },
    /// More entries, deeper folders or longer paths than [`super::walk`] allows.
    #[error("{}: more than {limit} {}", path.display(), what.name())]
    Bound {
        /// Where the bound was met.
        path: PathBuf,
        what: SourceBound,
        limit: usize,
    },
    /// A file that is read whole is too long for that.
    #[error("{} has {size_bytes} bytes, more than {limit_bytes}", path.display())]
    Long {
        path: PathBuf,
        size_bytes: u64,
        /// The longest that is read.
        limit_bytes: u64,
    },
    /// The file system refused.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file changed between two looks at it.
    #[error("{} changed while it was read", path.display())]
    Changed { path: PathBuf },
}

/// What a source is bounded in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceBound {
    /// Files, folders and links in all.
    Entries,
    Depth,
    /// Bytes of a path.
    PathBytes,
}

impl SourceBound {
    fn name(self) -> &'static str {
        match self {
            Self::Entries => "files and folders",
            Self::Depth => "folders within folders",
            Self::PathBytes => "bytes in a path",
        }
    }
}

impl Explain for SourceError {
    fn explain(&self) -> Explanation {
        let (class, why, next) = match self {
            Self::Missing { .. } => (
                ErrorClass::CommandLine,
                "there is no such folder".to_owned(),
                "check the path; it is taken relative to the present folder, which itself is built by `s2r build . IMAGE`".to_owned(),
            ),
            Self::NotAFolder { .. } => (
                ErrorClass::CommandLine,
                "a source is a folder with the project's files".to_owned(),
                "name the folder that holds the file".to_owned(),
            ),
            Self::ContextOutside { .. } => (
                ErrorClass::CommandLine,
                "--context-dir names a folder within the source".to_owned(),
                "name a folder below the source, without a leading `..`".to_owned(),
            ),
            Self::Empty { .. } => (
                ErrorClass::Project,
                "there is nothing to put into an image".to_owned(),
                "check the path, .s2iignore and --exclude".to_owned(),
            ),
            Self::Exclude { cause, .. } => (
                ErrorClass::CommandLine,
                cause.clone(),
                "quote it for the shell; to leave nothing out, give an empty one".to_owned(),
            ),
            Self::Whiteout { .. } => (
                ErrorClass::Project,
                "in an image layer such a name means that a file of a lower layer is deleted"
                    .to_owned(),
                "rename it, or list it in .s2iignore".to_owned(),
            ),
            Self::Bound { .. } => (
                ErrorClass::Project,
                "this is bounded, so that a loop in a file system does not fill the disk"
                    .to_owned(),
                "list what the image does not need in .s2iignore".to_owned(),
            ),
            Self::Long { .. } => (
                ErrorClass::Project,
                "a file of settings is not that long".to_owned(),
                "check what the file is".to_owned(),
            ),
            Self::Read { source, .. } => (
                ErrorClass::Project,
                source.to_string(),
                "make it readable for the user that runs s2r, or list it in .s2iignore".to_owned(),
            ),
            Self::Changed { .. } => (
                ErrorClass::Project,
                "the image would hold a mixture of two states".to_owned(),
                "build again once nothing writes into the source".to_owned(),
            ),
        };
        Explanation {
            class,
            what: self.to_string(),
            place: self.place(),
            why,
            next,
        }
    }
}

/// What messages call a path below a private folder.
pub(super) fn shown_as(path: &Path, folder: &Path, shown: &Path) -> PathBuf {
    match path.strip_prefix(folder) {
        Ok(below) if below.as_os_str().is_empty() => shown.to_owned(),
        Ok(below) => shown.join(below),
        Err(_) => path.to_owned(),
    }
}

impl SourceError {
    /// The same about what the user named, where it is about a private folder.
    pub(super) fn shown_as(mut self, folder: &Path, shown: &Path) -> Self {
        match &mut self {
            Self::Missing { folder: path }
            | Self::NotAFolder { folder: path }
            | Self::Empty { folder: path }
            | Self::ContextOutside { folder: path, .. }
            | Self::Whiteout { path }
            | Self::Bound { path, .. }
            | Self::Long { path, .. }
            | Self::Read { path, .. }
            | Self::Changed { path } => *path = shown_as(path, folder, shown),
            Self::Exclude { .. } => {}
        }
        self
    }

    fn place(&self) -> String {
        match self {
            Self::Missing { folder } | Self::NotAFolder { folder } | Self::Empty { folder } => {
                folder.display().to_string()
            }
            Self::ContextOutside { context_dir, .. } => context_dir.display().to_string(),
            Self::Exclude { .. } => "--exclude".to_owned(),
            Self::Whiteout { path }
            | Self::Bound { path, .. }
            | Self::Long { path, .. }
            | Self::Read { path, .. }
            | Self::Changed { path } => path.display().to_string(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum SourceError {
        Missing { folder: "app".into() },
        NotAFolder { folder: "app.py".into() },
        ContextOutside { folder: "src".into(), context_dir: "../other".into() },
        Empty { folder: "src".into() },
        Exclude { pattern: "(".into(), cause: "unclosed group".into() },
        Whiteout { path: "src/.wh.data".into() },
        Bound { path: "src/data".into(), what: SourceBound::Entries, limit: 1_000_000 },
        Bound { path: "src/data".into(), what: SourceBound::Depth, limit: 255 },
        Bound { path: "src/data".into(), what: SourceBound::PathBytes, limit: 4096 },
        Long { path: "src/Procfile".into(), size_bytes: 2_000_000, limit_bytes: 1_000_000 },
        Read { path: "src/secret.key".into(), source: crate::report::samples::denied() },
        Changed { path: "src/data.csv".into() },
    }
}
