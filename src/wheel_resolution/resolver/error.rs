//! Why something that a requirement names cannot be built.

use crate::oci::Digest;
use crate::packages::python::Position;
use crate::report::{ErrorClass, Explain, Explanation};

/// Why something that a requirement names cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildSourceError {
    /// A path that leads to nothing that can be built.
    #[error("{position}: {path} is neither a folder nor a source distribution of the source")]
    NoFolder {
        /// Where it is wished for.
        position: Position,
        path: String,
    },
    /// A path out of the source that leads to no project there.
    #[error("{position}: {path} is outside the source")]
    Outside {
        /// Where it is wished for.
        position: Position,
        /// From the source's root.
        path: String,
        /// The command that builds with it, where it is there.
        command: Option<String>,
    },
    /// A repository on the disk of the machine that builds.
    #[error("{position}: a repository of this machine's disk")]
    LocalRepository {
        /// Where it is wished for.
        position: Position,
    },
    /// A version control system that is not git.
    #[error("{position}: {scheme} is not read")]
    NotGit {
        /// Where it is wished for.
        position: Position,
        scheme: String,
    },
    /// A file that is not the one that the hashes mean.
    #[error("{position}: the file has another hash")]
    Hash {
        /// Where it is wished for.
        position: Position,
        /// What the file has.
        found: Digest,
    },
}

impl Explain for BuildSourceError {
    fn explain(&self) -> Explanation {
        let (position, what, why, next) = match self {
            Self::NoFolder { position, path } => (
                position,
                "a path of the requirements leads to nothing that can be built",
                format!("{path} is neither a folder nor a source distribution within the source"),
                "correct the path; it counts from the source's root, as for pip, or from the folder of the file that names it. .s2iignore and --exclude may leave it out; paths of another machine, as `pip freeze` and conda write them, have to become `name==version`",
            ),
            Self::Outside {
                position,
                path,
                command,
            } => return outside(position, path, command.as_deref()),
            Self::LocalRepository { position } => (
                position,
                "the requirements name a repository on this machine's disk",
                "a project must not reach for files of the machine that builds it".to_owned(),
                "give the repository's https or ssh address, or put its files into the source and name the folder",
            ),
            Self::NotGit { position, scheme } => (
                position,
                "the requirements name a repository that is not git",
                format!("{scheme} is not read, git is"),
                "name a wheel, a source distribution, or a git repository",
            ),
            Self::Hash { position, found } => (
                position,
                "a file that the requirements name has another hash",
                format!("it has {found}, which is none of those that the line lists"),
                "check where the file comes from; then list its hash",
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: what.to_owned(),
            place: position.to_string(),
            why,
            next: next.to_owned(),
        }
    }
}

fn outside(position: &Position, path: &str, command: Option<&str>) -> Explanation {
    let (why, next) = match command {
        Some(command) => (
            format!(
                "{path} is outside the folder that was given, and outside its git checkout if it is in one: nothing there is read."
            ),
            format!("Give the folder that holds both: {command}"),
        ),
        None => (
            format!(
                "{path} is outside the source, and no folder with a pyproject.toml or setup.py lies there in what was given."
            ),
            "Correct the path; it counts from the source's root, as for pip, or from the folder of the file that names it. Of a monorepo give the folder that holds all of it, and the project's own with --context-dir.".to_owned(),
        ),
    };
    Explanation {
        class: ErrorClass::Project,
        what: "a path of the requirements leads out of the source".to_owned(),
        place: position.to_string(),
        why,
        next,
    }
}

#[cfg(test)]
crate::report::samples! {
    enum BuildSourceError {
        NoFolder { position: position(), path: "libs/own".into() },
        Outside { position: position(), path: "../core".into(), command: Some("s2r build /home/ada/shop IMAGE --context-dir web".into()) },
        Outside { position: position(), path: "../core".into(), command: None },
        LocalRepository { position: position() },
        NotGit { position: position(), scheme: "svn".into() },
        Hash { position: position(), found: Digest::of(b"a") },
    }
}

#[cfg(test)]
fn position() -> Position {
    Position {
        path: "requirements.txt".into(),
        line: 3,
    }
}
