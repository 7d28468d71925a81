//! A commit of a repository elsewhere, by way of a repository that the store keeps.
//!
//! Kept and not cloned anew, because a second build of the same commit then asks only which commit
//! a branch stands at (and for a full commit id not even that), and the next commit comes as the
//! difference. Kept without files, because each build wants its own, and may run beside another.
//! What is fetched is one commit without its history; where a server gives no single commit, all
//! branches and tags with their histories. No password is ever kept: neither in the repository's
//! settings nor in its folder's name.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::checkout::{GitCheckout, io_error, remove_folder, told};
use super::error::{GitAction, GitError};
use super::program::{FetchWatch, GitProgram};
use super::{CheckoutFacts, version_description, without_credentials};
use crate::oci::KeyBuilder;
use crate::report::{Event, Report, TransferId};
use crate::source::location::GitRepository;

/// Pause before what may have failed by accident is tried again.
const PAUSE: Duration = Duration::from_secs(1);
/// Shortest abbreviation of a commit id that git takes.
const MIN_ID_DIGITS: usize = 4;
/// git's word for a history without end (git-fetch(1)).
const WHOLE_HISTORY: &str = "--depth=2147483647";
/// The kept reference that leads to the default branch, as it was when last asked.
const DEFAULT_SLOT: &str = "refs/s2r/default";

/// Where a commit comes from and goes to.
pub(crate) struct FetchTarget<'a> {
    /// Folder of the kept repository, made if it is not there. Nobody else may use it meanwhile.
    pub kept: &'a Path,
    /// An empty folder that the commit's files go to.
    pub into: &'a Path,
    pub environment: &'a BTreeMap<OsString, OsString>,
    /// Whether the network is forbidden.
    pub offline: bool,
    /// Told of the transfer and of what is odd.
    pub report: &'a dyn Report,
    pub transfer: TransferId,
}

/// What is wanted, once the repository was asked.
enum WantedCommit {
    /// A branch or tag, and the object that it stands at.
    Named { name: String, id: String },
    /// A full commit id.
    Commit(String),
    /// The beginning of one.
    Abbreviated(String),
}

/// Writes the files of the wanted commit, submodules included, and says what it is.
///
/// # Errors
/// See [`GitError`]. `into` may hold a part of the files then.
pub(crate) fn fetch(
    repository: &GitRepository,
    bench: &FetchTarget<'_>,
) -> Result<CheckoutFacts, GitError> {
    let shown = without_credentials(&repository.address);
    let mut program = GitProgram::new(bench.environment, repository.is_local())
        .map_err(|failure| told(failure, &shown, GitAction::List))?;
    if let Some(login) = &repository.login {
        program.log_in(&repository.address, login);
    }
    let progress = |done_bytes| {
        bench.report.event(Event::TransferAdvanced {
            id: bench.transfer,
            done_bytes,
        });
    };
    let desk = GitCheckout {
        program: &program,
        repository: bench.kept,
        into: bench.into,
        shown: &shown,
        progress: &progress,
    };
    let remote = GitRemote {
        repository,
        desk,
        bench,
    };
    bench.report.event(Event::TransferStarted {
        id: bench.transfer,
        name: shown.clone(),
        total_bytes: None,
    });
    let facts = match remote.obtain() {
        // What is kept may have been damaged: once from the beginning, then.
        Err(error) if error.is_of_the_store() && !bench.offline => remote.obtain_anew(),
        outcome => outcome,
    };
    bench
        .report
        .event(Event::TransferFinished { id: bench.transfer });
    facts
}

struct GitRemote<'a> {
    repository: &'a GitRepository,
    desk: GitCheckout<'a>,
    bench: &'a FetchTarget<'a>,
}

impl GitRemote<'_> {
    fn obtain(&self) -> Result<CheckoutFacts, GitError> {
        self.desk.prepare(&self.repository.address)?;
        let (wanted, label) = if self.bench.offline {
            self.recalled()?
        } else {
            self.asked()?
        };
        let slot = match &wanted {
            WantedCommit::Named { name, id } => self.named(name, id)?,
            WantedCommit::Commit(id) => self.exact(id)?,
            WantedCommit::Abbreviated(start) => self.abbreviated(start)?,
        };
        let commit = match (self.desk.commit(&slot), &wanted) {
            (Some(commit), _) => commit,
            // The tag of a file, or a kept repository that has lost something.
            (None, WantedCommit::Named { name, .. }) => {
                return Err(GitError::Failed {
                    shown: self.desk.shown.to_owned(),
                    action: GitAction::Describe,
                    said: format!("{name} leads to no commit"),
                });
            }
            (None, _) => return Err(self.missing()),
        };
        self.desk.lay_out(&commit)?;
        // A path of this machine is nothing that others could find.
        let remote = (!self.repository.is_local()).then(|| self.desk.shown.to_owned());
        let mut facts = self.desk.facts(&commit, &label, remote)?;
        if !self.bench.offline && version_description::is_asked_for(self.bench.into) {
            let address = &self.repository.address;
            facts.description = self.desk.describe_by_history(address, &commit);
        }
        Ok(facts)
    }

    fn obtain_anew(&self) -> Result<CheckoutFacts, GitError> {
        remove_folder(self.bench.kept)?;
        remove_folder(self.bench.into)?;
        std::fs::create_dir(self.bench.into).map_err(io_error(self.bench.into))?;
        self.obtain()
    }

    fn typed(&self) -> &str {
        self.repository
            .reference
            .as_ref()
            .map_or("HEAD", |reference| reference.as_str())
    }

    fn missing(&self) -> GitError {
        GitError::NoReference {
            shown: self.desk.shown.to_owned(),
            reference: self.typed().to_owned(),
        }
    }

    fn offline(&self) -> GitError {
        GitError::Offline {
            shown: self.desk.shown.to_owned(),
            reference: self.typed().to_owned(),
        }
    }

    /// What the repository says that the wanted name stands for, and what it is called.
    fn asked(&self) -> Result<(WantedCommit, String), GitError> {
        let typed = self.typed();
        if is_full_id(typed) {
            return Ok((
                WantedCommit::Commit(typed.to_ascii_lowercase()),
                "HEAD".to_owned(),
            ));
        }
        let names = possible_names(typed);
        let listed = patiently(|| self.list(&names))?;
        let Some(name) = names.iter().find(|name| listed.ids.contains_key(*name)) else {
            if self.repository.reference.is_none() {
                return Err(GitError::Empty {
                    shown: self.desk.shown.to_owned(),
                });
            }
            if is_hex(typed) && typed.len() >= MIN_ID_DIGITS {
                let start = typed.to_ascii_lowercase();
                return Ok((WantedCommit::Abbreviated(start), "HEAD".to_owned()));
            }
            return Err(self.missing());
        };
        if names
            .iter()
            .filter(|name| listed.ids.contains_key(*name))
            .count()
            > 1
        {
            self.bench.report.event(Event::Warning {
                text: format!("{typed} is both a branch and a tag; the branch counts"),
                hint: format!("write -r refs/tags/{typed} for the tag"),
            });
        }
        let name = match &listed.default_branch {
            Some(branch) if name == "HEAD" => {
                let arguments = ["symbolic-ref", DEFAULT_SLOT, branch];
                self.desk.ask(&arguments, GitAction::Fetch)?;
                branch.clone()
            }
            _ => name.clone(),
        };
        let listed_as = if listed.ids.contains_key(&name) {
            name.as_str()
        } else {
            "HEAD"
        };
        let id = listed.ids.get(listed_as).cloned().unwrap_or_default();
        let label = short(&name).to_owned();
        Ok((WantedCommit::Named { name, id }, label))
    }

    fn list(&self, names: &[String]) -> Result<RemoteRefs, GitError> {
        let mut command = self.desk.command();
        command
            .args([
                "ls-remote",
                "--quiet",
                "--symref",
                "--",
                &self.repository.address,
            ])
            .args(names);
        let watch = FetchWatch::nothing();
        let answer = self
            .desk
            .program
            .run(command, &watch)
            .map_err(|failure| told(failure, self.desk.shown, GitAction::List))?;
        Ok(RemoteRefs::read(&String::from_utf8_lossy(&answer)))
    }

    /// What was kept of the wanted name when it was last asked for.
    fn recalled(&self) -> Result<(WantedCommit, String), GitError> {
        let typed = self.typed();
        if is_full_id(typed) {
            return Ok((
                WantedCommit::Commit(typed.to_ascii_lowercase()),
                "HEAD".to_owned(),
            ));
        }
        let mut names = possible_names(typed);
        if self.repository.reference.is_none()
            && let Ok(branch) = self
                .desk
                .ask(&["symbolic-ref", DEFAULT_SLOT], GitAction::Describe)
        {
            names.insert(0, branch);
        }
        for name in names {
            if let Some(id) = self.object(&slot(&name)) {
                let label = short(&name).to_owned();
                return Ok((WantedCommit::Named { name, id }, label));
            }
        }
        if is_hex(typed) && typed.len() >= MIN_ID_DIGITS {
            let start = typed.to_ascii_lowercase();
            return Ok((WantedCommit::Abbreviated(start), "HEAD".to_owned()));
        }
        Err(self.offline())
    }

    fn object(&self, name: &str) -> Option<String> {
        let arguments = ["rev-parse", "--verify", "--quiet", name];
        self.desk.ask(&arguments, GitAction::Describe).ok()
    }

    /// Has a branch or tag as it stands now.
    fn named(&self, name: &str, id: &str) -> Result<String, GitError> {
        let slot = slot(name);
        if self.object(&slot).as_deref() != Some(id) {
            let wish = format!("+{name}:{slot}");
            patiently(|| match self.get(&["--depth=1"], &[&wish]) {
                Err(error) if error.gives_no_single_commit() => self.get(&[], &[&wish]),
                outcome => outcome,
            })?;
        }
        Ok(slot)
    }

    /// Has a commit by its id.
    fn exact(&self, id: &str) -> Result<String, GitError> {
        if self.desk.commit(id).is_some() {
            return Ok(id.to_owned());
        }
        let slot = slot(id);
        if self.bench.offline {
            return Err(self.offline());
        }
        let wish = format!("+{id}:{slot}");
        match patiently(|| self.get(&["--depth=1"], &[&wish])) {
            Ok(()) => return Ok(slot),
            Err(error) if error.is_unknown_there() => return Err(self.missing()),
            Err(error) if error.gives_no_single_commit() => patiently(|| self.get_all())?,
            Err(error) => return Err(error),
        }
        let found = self.desk.commit(id).ok_or_else(|| self.missing())?;
        self.desk
            .ask(&["update-ref", &slot, &found], GitAction::Fetch)?;
        Ok(slot)
    }

    /// Has a commit by the beginning of its id, for which all must be here.
    fn abbreviated(&self, start: &str) -> Result<String, GitError> {
        if let Some(found) = self.desk.commit(start) {
            return Ok(found);
        }
        if self.bench.offline {
            return Err(self.offline());
        }
        patiently(|| self.get_all())?;
        self.desk.commit(start).ok_or_else(|| self.missing())
    }

    fn get_all(&self) -> Result<(), GitError> {
        let depth: &[&str] = if self.bench.kept.join("shallow").exists() {
            &[WHOLE_HISTORY]
        } else {
            &[]
        };
        let options = [depth, &["--prune"]].concat();
        let wishes = [
            "+refs/heads/*:refs/all/heads/*",
            "+refs/tags/*:refs/all/tags/*",
        ];
        self.get(&options, &wishes)
    }

    fn get(&self, options: &[&str], wishes: &[&str]) -> Result<(), GitError> {
        let mut command = self.desk.command();
        command
            .args(["fetch", "--quiet", "--no-tags", "--update-shallow"])
            .args(options)
            .args(["--", &self.repository.address])
            .args(wishes);
        self.desk.done_slowly(command, GitAction::Fetch).map(|_| ())
    }
}

/// Twice, if it may have failed by accident.
fn patiently<T>(step: impl Fn() -> Result<T, GitError>) -> Result<T, GitError> {
    match step() {
        Err(error) if error.may_pass() => {
            std::thread::sleep(PAUSE);
            step()
        }
        outcome => outcome,
    }
}

/// What `git ls-remote --symref` said.
#[derive(Default)]
struct RemoteRefs {
    /// Names and the objects that they stand at.
    ids: BTreeMap<String, String>,
    /// What HEAD leads to.
    default_branch: Option<String>,
}

impl RemoteRefs {
    fn read(answer: &str) -> Self {
        let mut listed = Self::default();
        for line in answer.lines() {
            let Some((left, name)) = line.split_once('\t') else {
                continue;
            };
            if let Some(branch) = left.strip_prefix("ref: ") {
                let is_usable = branch.starts_with("refs/heads/") && !branch.contains(' ');
                if name == "HEAD" && is_usable {
                    listed.default_branch = Some(branch.to_owned());
                }
            } else if is_full_id(left) {
                listed.ids.insert(name.to_owned(), left.to_owned());
            }
        }
        listed
    }
}

/// Full names that a typed one may mean, the likeliest first.
fn possible_names(typed: &str) -> Vec<String> {
    if typed == "HEAD" || typed.starts_with("refs/") {
        return vec![typed.to_owned()];
    }
    vec![format!("refs/heads/{typed}"), format!("refs/tags/{typed}")]
}

/// The name under which a branch, tag or commit is kept. Flat, because a branch `a` and a later
/// branch `a/b` could not both be there otherwise.
fn slot(name: &str) -> String {
    let key = KeyBuilder::new("git-reference/1")
        .field(name.as_bytes())
        .finish();
    format!("refs/s2r/{}", key.hex())
}

/// What people call it.
fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"))
        .unwrap_or(name)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether it is a whole SHA-1 or SHA-256.
fn is_full_id(text: &str) -> bool {
    (text.len() == 40 || text.len() == 64) && is_hex(text)
}
