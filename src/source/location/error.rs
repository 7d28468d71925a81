//! Why a word is no source.

use crate::report::{ErrorClass, Explain, Explanation};

/// Why a word is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocationError {
    /// No branch, tag or commit has such a name.
    #[error("{text:?} names no branch, tag or commit")]
    Reference { text: String },
    /// `-r` and the fragment of the URL differ.
    #[error("-r {flag} and #{fragment} differ")]
    TwoReferences {
        /// The value of `-r`.
        flag: String,
        /// What stands behind `#`.
        fragment: String,
    },
    /// `-r` where there are no revisions.
    #[error("{shown} has no revisions")]
    NoRevisions {
        /// The source, without password.
        shown: String,
        /// What kind of source it is.
        kind: &'static str,
    },
    /// A scheme that is not for sources.
    #[error("{shown} cannot be fetched")]
    Scheme {
        /// The source, without password.
        shown: String,
        scheme: String,
    },
    /// `file://host/…`, an empty host, a host that looks like an option.
    #[error("{shown} is no address")]
    Address {
        /// The source, without password.
        shown: String,
    },
    /// A user or password with a character that ends it.
    #[error("the login in the address of {shown} ends too early")]
    Login {
        /// The source, without password.
        shown: String,
    },
    /// A git address whose query grants access.
    #[error("the address of {shown} has a secret in its query")]
    Query {
        /// The source, without query.
        shown: String,
    },
    /// A fragment of an archive that is no hash.
    #[error("#{fragment} is no hash")]
    Fragment {
        /// What stands behind `#`.
        fragment: String,
    },
    /// An archive of a kind that is not read.
    #[error("{shown} is no archive that s2r reads")]
    ArchiveKind { shown: String },
    /// A name that is not UTF-8 and not on disk.
    #[error("{shown:?} is neither on disk nor a URL")]
    NotText { shown: String },
}

impl Explain for LocationError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Reference { text } => (
                format!("-r {text}"),
                "names of branches and tags hold no blanks, `..`, `:`, `?`, `*`, `[` or `\\`, \
                 and begin with no `-` or `/`"
                    .to_owned(),
                "give a branch, a tag or a commit id; a folder within the source is --context-dir"
                    .to_owned(),
            ),
            Self::TwoReferences { flag, fragment } => (
                format!("-r {flag}, #{fragment}"),
                "one build is of one revision".to_owned(),
                "leave one of them out".to_owned(),
            ),
            Self::NoRevisions { shown, kind } => (
                shown.clone(),
                format!("-r picks a revision of a git repository, and this is {kind}"),
                "leave -r out, or name the repository".to_owned(),
            ),
            Self::Scheme { shown, scheme } => (
                shown.clone(),
                format!("{scheme} is no way by which s2r fetches sources"),
                "use https, http, ssh, git or file, user@host:path, or an archive's http(s) URL"
                    .to_owned(),
            ),
            Self::Address { shown } => (
                shown.clone(),
                "it has no host, or one that begins with `-`, or is file:// with a host"
                    .to_owned(),
                "write https://HOST/PATH, user@HOST:PATH, or file:///PATH with three slashes"
                    .to_owned(),
            ),
            Self::Login { shown } => (
                shown.clone(),
                "a user or password ends at the first `/`, `?` or `#`; what follows would be shown, and asked for"
                    .to_owned(),
                "write these characters as %2F, %3F and %23".to_owned(),
            ),
            Self::Query { shown } => (
                shown.clone(),
                "git keeps the addresses that it fetches from, and a token in them too"
                    .to_owned(),
                "write it as the user: https://TOKEN@HOST/PATH. That part is never kept"
                    .to_owned(),
            ),
            Self::Fragment { fragment } => (
                format!("#{fragment}"),
                "behind an archive's # stands what it must be: sha256= and 64 hex digits"
                    .to_owned(),
                "correct the hash, or leave it out".to_owned(),
            ),
            Self::ArchiveKind { shown } => (
                shown.clone(),
                "sources are folders, git repositories and archives: .tar.gz, .tgz, .tar, .tar.xz, \
                 .tar.zst and .zip"
                    .to_owned(),
                "name the project's folder, or pack it anew".to_owned(),
            ),
            Self::NotText { shown } => (
                shown.clone(),
                "nothing of this name is there, and URLs are text in UTF-8".to_owned(),
                "check the path; it is taken relative to the present folder".to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::CommandLine,
            what: self.to_string(),
            place,
            why,
            next,
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum LocationError {
        Reference { text: "a b".into() },
        TwoReferences { flag: "main".into(), fragment: "v1".into() },
        NoRevisions { shown: "app.tar.gz".into(), kind: "an archive" },
        Scheme { shown: "svn://svn.example.com/app".into(), scheme: "svn".into() },
        Address { shown: "https:///app".into() },
        Login { shown: "https://git.example.com/app".into() },
        Query { shown: "https://git.example.com/app".into() },
        Fragment { fragment: "md5=aa11".into() },
        ArchiveKind { shown: "app.rar".into() },
        NotText { shown: "app\u{fffd}".into() },
    }
}
