//! What can go wrong with a git repository that is a source.

use std::io;
use std::path::PathBuf;

use crate::report::{ErrorClass, Explain, Explanation};

/// As many of git's last lines are told.
const TOLD_LINES: usize = 6;

/// Why a repository gives no source.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GitError {
    /// The program is missing.
    #[error("git cannot be started")]
    NoGit {
        #[source]
        source: io::Error,
    },
    /// git failed, and said why.
    #[error("git cannot {} {shown}", action.name())]
    Failed {
        /// The repository, without password.
        shown: String,
        action: GitAction,
        /// git's own words, without passwords.
        said: String,
    },
    /// No such branch, tag or commit.
    #[error("{shown} has no branch, tag or commit {reference}")]
    NoReference {
        /// The repository, without password.
        shown: String,
        reference: String,
    },
    /// Not a single commit.
    #[error("{shown} has no commits")]
    Empty {
        /// The repository, without password.
        shown: String,
    },
    /// The folder is no checkout, and a revision of it is asked for.
    #[error("{} is not the top of a git checkout", folder.display())]
    NotACheckout { folder: PathBuf },
    /// `--offline`, and the store does not hold it.
    #[error("{shown} is not in the store")]
    Offline {
        /// The repository, without password.
        shown: String,
        /// What is wanted of it.
        reference: String,
    },
    /// It took too long.
    #[error("git is still at {shown}")]
    TooSlow {
        /// The repository, without password.
        shown: String,
    },
    /// It is too large.
    #[error("{shown} is too large")]
    TooLarge {
        /// The repository, without password.
        shown: String,
    },
    /// The store could not be written to.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        source: io::Error,
    },
}

/// What git was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GitAction {
    /// List branches and tags.
    List,
    Fetch,
    /// Write a commit's files.
    CheckOut,
    Submodules,
    /// Say what a commit is.
    Describe,
}

impl GitAction {
    fn name(self) -> &'static str {
        match self {
            Self::List => "reach",
            Self::Fetch => "fetch from",
            Self::CheckOut => "check out",
            Self::Submodules => "get the submodules of",
            Self::Describe => "read",
        }
    }
}

// git ends with 128 whatever is wrong, and has no other sign than its words, which are English under LC_ALL=C. They
// decide how it is asked once more, never what is built.
impl GitError {
    fn said_one_of(&self, signs: &[&str]) -> bool {
        match self {
            Self::Failed { said, .. } => signs.iter().any(|sign| said.contains(sign)),
            _ => false,
        }
    }

    /// Whether the server looked for a commit and has it not.
    pub(super) fn is_unknown_there(&self) -> bool {
        self.said_one_of(&["not our ref", "couldn't find remote ref"])
    }

    /// Whether the server is an old or plain one, which gives whole histories of branches and tags
    /// alone.
    pub(super) fn gives_no_single_commit(&self) -> bool {
        self.said_one_of(&[
            "unadvertised object",
            "shallow capabilities",
            "but it did not contain",
        ])
    }

    /// Whether another try may do: the network, not the repository, is what failed.
    pub(super) fn may_pass(&self) -> bool {
        self.said_one_of(&[
            "Could not resolve host",
            "Connection timed out",
            "Connection reset",
            "Connection refused",
            "early EOF",
            "unexpected disconnect",
            "RPC failed",
            "The requested URL returned error: 5",
            "the remote end hung up unexpectedly",
            "Temporary failure in name resolution",
        ]) && !self.said_one_of(&["Permission denied"])
    }

    /// Whether the failure is about what the store keeps, and not about the repository.
    pub(super) fn is_of_the_store(&self) -> bool {
        let of_files = matches!(
            self,
            Self::Failed {
                action: GitAction::CheckOut | GitAction::Describe,
                ..
            }
        );
        of_files
            || self.said_one_of(&[
                "bad object",
                "bad config",
                "corrupt",
                "not a git repository",
            ])
    }
}

/// What to do about git's words.
fn advice(said: &str) -> &'static str {
    let has = |signs: &[&str]| signs.iter().any(|sign| said.contains(sign));
    if has(&["Host key verification failed"]) {
        "add the host's key to ~/.ssh/known_hosts (ssh-keyscan HOST), after checking it"
    } else if has(&["not found", "does not appear to be a git", "not exported"]) {
        "check the address; hosts say `not found` of private repositories too, to whoever is not logged in; for an archive whose URL does not end in .tar.gz or .zip, download it first"
    } else if has(&["Permission denied", "Could not read from remote"]) {
        "check that ssh reaches it: `ssh -T USER@HOST` must work without a question (key, agent, GIT_SSH_COMMAND)"
    } else if has(&[
        "could not read Username",
        "could not read Password",
        "Authentication failed",
        "returned error: 401",
        "returned error: 403",
    ]) {
        "give git a way to log in: a credential helper, ~/.netrc, or https://USER:TOKEN@HOST/… (it is not recorded)"
    } else if has(&["certificate", "SSL"]) {
        "name your company's authority in SSL_CERT_FILE or git's http.sslCAInfo"
    } else if has(&["Could not resolve host", "Temporary failure"]) {
        "check the host's name, DNS and proxy (HTTPS_PROXY)"
    } else if has(&["transport '"]) {
        "submodules are fetched through https, http, ssh and git alone; change .gitmodules"
    } else if has(&["No space left"]) {
        "free some space (`s2r cache prune --all`), or set S2R_STORE to a larger disk"
    } else {
        "try `git ls-remote` with the same address; what works there works here"
    }
}

impl Explain for GitError {
    fn explain(&self) -> Explanation {
        let (class, why, next) = match self {
            Self::NoGit { source } => (
                ErrorClass::World,
                format!("repositories are fetched by git: {source}"),
                "install git, or build from a folder or an archive".to_owned(),
            ),
            Self::Failed { said, .. } => {
                let lines: Vec<&str> = said.lines().collect();
                let last = lines.len().saturating_sub(TOLD_LINES);
                let why = match lines.get(last..).unwrap_or_default() {
                    [] => "git said nothing".to_owned(),
                    lines => lines.join("\n"),
                };
                (ErrorClass::World, why, advice(said).to_owned())
            }
            Self::NoReference { .. } => (
                ErrorClass::CommandLine,
                "the repository was reached, and holds nothing of that name".to_owned(),
                "`git ls-remote` lists branches and tags; a commit needs its full id, or one that is unique".to_owned(),
            ),
            Self::Empty { .. } => (
                ErrorClass::Project,
                "there is nothing to build".to_owned(),
                "push a commit first, or name a branch with -r".to_owned(),
            ),
            Self::NotACheckout { .. } => (
                ErrorClass::CommandLine,
                "-r picks a revision of a git repository; this folder has no .git".to_owned(),
                "name the top of the checkout, and a folder within it with --context-dir; or leave -r out".to_owned(),
            ),
            Self::Offline { reference, .. } => (
                ErrorClass::World,
                format!("--offline forbids asking for {reference}, and no build here has fetched it before"),
                "build once without --offline".to_owned(),
            ),
            Self::TooSlow { .. } => (
                ErrorClass::World,
                "half an hour is the limit for one command of git".to_owned(),
                "try again; or clone it by hand and build the folder".to_owned(),
            ),
            Self::TooLarge { .. } => (
                ErrorClass::Project,
                format!(
                    "a repository, and the files of a commit, may have {} GiB and {} files; this has more, or says more than a repository does",
                    super::program::MAX_BYTES >> 30,
                    super::program::MAX_ENTRIES
                ),
                "keep large data elsewhere; or clone it by hand and build the folder".to_owned(),
            ),
            Self::Io { source, .. } => (
                ErrorClass::World,
                source.to_string(),
                "check the disk and the folder's permissions; S2R_STORE names another place for the store".to_owned(),
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

impl GitError {
    fn place(&self) -> String {
        match self {
            Self::NoGit { .. } => "git".to_owned(),
            Self::Failed { shown, .. }
            | Self::Empty { shown }
            | Self::Offline { shown, .. }
            | Self::TooSlow { shown }
            | Self::TooLarge { shown } => shown.clone(),
            Self::NoReference { reference, .. } => format!("-r {reference}"),
            Self::NotACheckout { folder } => folder.display().to_string(),
            Self::Io { path, .. } => path.display().to_string(),
        }
    }
}

#[cfg(test)]
crate::report::samples! {
    enum GitError {
        NoGit { source: std::io::ErrorKind::NotFound.into() },
        Failed { shown: shown(), action: GitAction::List, said: "fatal: repository 'https://git.example.com/team/app/' not found".into() },
        Failed { shown: shown(), action: GitAction::List, said: "Host key verification failed.\nfatal: Could not read from remote repository.".into() },
        Failed { shown: shown(), action: GitAction::List, said: "git@git.example.com: Permission denied (publickey).".into() },
        Failed { shown: shown(), action: GitAction::List, said: "fatal: could not read Username for 'https://git.example.com': terminal prompts disabled".into() },
        Failed { shown: shown(), action: GitAction::List, said: "fatal: unable to access 'https://git.example.com/team/app/': SSL certificate problem: self-signed certificate".into() },
        Failed { shown: shown(), action: GitAction::Fetch, said: "fatal: unable to access 'https://git.example.com/team/app/': Could not resolve host: git.example.com".into() },
        Failed { shown: shown(), action: GitAction::Submodules, said: "fatal: transport 'file' not allowed".into() },
        Failed { shown: shown(), action: GitAction::CheckOut, said: "fatal: write error: No space left on device".into() },
        Failed { shown: shown(), action: GitAction::Describe, said: String::new() },
        NoReference { shown: shown(), reference: "v9".into() },
        Empty { shown: shown() },
        NotACheckout { folder: "src".into() },
        Offline { shown: shown(), reference: "main".into() },
        TooSlow { shown: shown() },
        TooLarge { shown: shown() },
        Io { path: "/store/git".into(), source: crate::report::samples::denied() },
    }
}

#[cfg(test)]
fn shown() -> String {
    "https://git.example.com/team/app".into()
}
