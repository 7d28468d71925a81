//! What can go wrong while packages become a layer.

use std::{io, path::PathBuf};

use crate::{
    archive::{ar::ArError, tar},
    report::{ErrorClass, Explain, Explanation},
};

/// What can go wrong here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DebLayerError {
    /// The package's file does not open.
    #[error("cannot open {}: {source}", path.display())]
    Open { path: PathBuf, source: io::Error },
    /// It is no ar archive.
    #[error("{package}: {source}")]
    Ar { package: String, source: ArError },
    /// A member of the package does not read.
    #[error("{package}: cannot read {member}: {source}")]
    Member {
        package: String,
        member: String,
        source: io::Error,
    },
    /// The package has no such member.
    #[error("{package} has no {member}")]
    NoMember {
        package: String,
        member: &'static str,
    },
    /// An entry that cannot be in an image.
    #[error("{package}: {path} is refused: {reason}")]
    Entry {
        package: String,
        path: String,
        /// What is wrong with it.
        reason: DebEntryFault,
    },
    /// Two packages have different things at one path.
    #[error("{first} and {second} both have {path}, and it differs")]
    Conflict {
        path: String,
        /// The package that came first.
        first: String,
        second: String,
    },
    /// The wanted locale is in no package.
    #[error("no package has the locale {locale}")]
    NoLocale { locale: String },
    /// The temporary file failed.
    #[error("cannot use a temporary file: {source}")]
    Spool { source: io::Error },
    /// The layer could not be written.
    #[error(transparent)]
    Layer(#[from] tar::TarError),
}

/// What is wrong with an entry of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DebEntryFault {
    /// A path that is empty, climbs, or marks a deletion.
    #[error("such a path cannot be in a layer")]
    Path,
    /// A device, a socket, a pipe.
    #[error("neither file, directory nor link")]
    Kind,
    /// A hard link to nothing.
    #[error("a hard link whose target is not in the package")]
    Link,
    /// More entries, or more bytes, than a package may have.
    #[error("the package is too large")]
    TooMuch,
}

impl Explain for DebLayerError {
    fn explain(&self) -> Explanation {
        let (class, what, place, why, next) = match self {
            Self::Open { path, source } => (
                ErrorClass::World,
                "a downloaded package cannot be opened",
                path.display().to_string(),
                source.to_string(),
                "empty the downloads with `s2r cache prune` and build again",
            ),
            Self::Ar { package, source } => broken(package, source.to_string()),
            Self::Member { package, member, source } => broken(package, format!("{member}: {source}")),
            Self::NoMember { package, member } => broken(package, format!("it has no {member}")),
            Self::Entry { package, path, reason } => broken(package, format!("{path}: {reason}")),
            Self::Conflict { path, first, second } => (
                ErrorClass::Project,
                "two Debian packages have different files at one path",
                path.clone(),
                format!("{first} and {second} both have it; without dpkg's scripts neither can give way"),
                "name one of them in `leave_out` of the builder file",
            ),
            Self::NoLocale { locale } => (
                ErrorClass::Project,
                "the builder's locale is in no package",
                locale.clone(),
                "it is taken out of the package `locales-all`, which is not there or does not have it".to_owned(),
                "add `locales-all` to `packages`, or correct `locale` in the builder file",
            ),
            Self::Spool { source } => (
                ErrorClass::World,
                "a temporary file of the build failed",
                "the store's temporary folder".to_owned(),
                source.to_string(),
                "check free space; the base needs some 100 MB while it is made",
            ),
            Self::Layer(error) => return error.explain(),
        };
        Explanation {
            class,
            what: what.to_owned(),
            place,
            why,
            next: next.to_owned(),
        }
    }
}

fn broken(package: &str, why: String) -> (ErrorClass, &'static str, String, String, &'static str) {
    (
        ErrorClass::World,
        "a Debian package cannot be put into a layer",
        package.to_owned(),
        why,
        "empty the downloads with `s2r cache prune` and build again; if it stays, leave the package out",
    )
}

#[cfg(test)]
crate::report::samples! {
    enum DebLayerError {
        Open { path: "/store/downloads/aa11".into(), source: crate::report::samples::denied() },
        Ar { package: "bash 5.2".into(), source: ArError::NoArchive },
        Member { package: "bash 5.2".into(), member: "data.tar.xz".into(), source: crate::report::samples::denied() },
        NoMember { package: "bash 5.2".into(), member: "data.tar" },
        Entry { package: "bash 5.2".into(), path: "../etc/passwd".into(), reason: DebEntryFault::Path },
        Entry { package: "bash 5.2".into(), path: "dev/null".into(), reason: DebEntryFault::Kind },
        Entry { package: "bash 5.2".into(), path: "bin/sh".into(), reason: DebEntryFault::Link },
        Entry { package: "bash 5.2".into(), path: "bin/sh".into(), reason: DebEntryFault::TooMuch },
        Conflict { path: "usr/bin/vi".into(), first: "vim 9.1".into(), second: "nvi 1.81".into() },
        NoLocale { locale: "xx_XX.utf8".into() },
        Spool { source: crate::report::samples::denied() },
        Layer(tar::TarError::Write(crate::report::samples::denied())),
    }
}
