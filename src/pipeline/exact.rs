//! From what a project wishes for to exact wheels, those included that have to be built from source:
//! the project itself, folders and repositories that requirements name, packages without a wheel.

use std::collections::BTreeMap;

use super::Rules;
use super::build_wheel::{Builder, Built, Material};
use super::error::{BuildError, Obstacle};
use super::foreign::{Step, refused};
use super::ground::Ground;
use super::make::{Needed, Origin};
use super::obtain;
use super::platform::Site;
use super::wheels::{BuiltWheel, MAX_FILE_BYTES, Wanted, Wheels, revealed};
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::locks::{Choice, Form, Given, LockKind, convert};
use crate::packages::python::{
    DirectUrl, FileHash, LockedTree, PackageName, Position, Target, Url, Wish, WishKind, is_wheel,
    resolve_path,
};
use crate::plan::{Dependencies, PlanError};
use crate::report::{Explain, Explanation, Fate};
use crate::resolve::wheels::{
    Lock, LockedSource, LockedWheel, RequirementsFile, ResolveError, Sdist, SourceOf,
};
use crate::source::Kind;

/// Most packages without a wheel that one set of requirements may bring.
const MAX_SDISTS: usize = 64;
/// How deep build requirements may need building themselves.
const MAX_DEPTH: usize = 4;
/// The newest pip, as `UPGRADE_PIP_TO_LATEST` has it.
const NEWEST_PIP: RequirementsFile<'_> = RequirementsFile {
    path: "UPGRADE_PIP_TO_LATEST",
    text: b"pip\nsetuptools\nwheel\n",
};

/// What exact wheels are found with.
pub(super) struct Exact<'a> {
    pub site: &'a Site<'a>,
    pub ground: &'a Ground<'a>,
    pub target: &'a Target,
}

/// Why something that a requirement names cannot be built.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    /// A path that leads to nothing that can be built.
    #[error("{position}: {path} is neither a folder nor a source distribution of the source")]
    NoFolder {
        /// Where it is wished for.
        position: Position,
        /// The path.
        path: String,
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
        /// The system.
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

impl Explain for MaterialError {
    fn explain(&self) -> Explanation {
        let (position, what, why, next) = match self {
            Self::NoFolder { position, path } => (
                position,
                "a path of the requirements leads to nothing that can be built",
                format!("{path} is neither a folder nor a source distribution within the source."),
                "Correct the path; it is relative to the file that names it. .s2iignore and --exclude may leave it out. Paths of another machine, as `pip freeze` and conda write them, have to become `name==version`.",
            ),
            Self::LocalRepository { position } => (
                position,
                "the requirements name a repository on this machine's disk",
                "A project must not reach for files of the machine that builds it.".to_owned(),
                "Give the repository's https or ssh address, or put its files into the source and name the folder.",
            ),
            Self::NotGit { position, scheme } => (
                position,
                "the requirements name a repository that is not git",
                format!("{scheme} is not read, git is."),
                "Name a wheel, a source distribution, or a git repository.",
            ),
            Self::Hash { position, found } => (
                position,
                "a file that the requirements name has another hash",
                format!("It has {found}, which is none of those that the line lists."),
                "Check where the file comes from; then list its hash.",
            ),
        };
        Explanation {
            fate: Fate::Project,
            what: what.to_owned(),
            place: position.to_string(),
            why,
            next: next.to_owned(),
        }
    }
}

impl Exact<'_> {
    /// The wheels of the image.
    ///
    /// # Errors
    /// Whatever keeps the wishes from exact wheels, a failing build included.
    pub(super) fn wheels(&self) -> Result<Lock, BuildError> {
        let plan = self.site.plan();
        let mut built = Vec::new();
        if plan.running.install.value {
            self.can_run(|| Step::Install(plan.running.install.origin.to_string()))?;
            built.push(self.own()?);
        }
        let rules = self.site.settings().rules;
        match &plan.dependencies.value {
            Dependencies::Pylock { path } => {
                let text = self.read(path)?;
                self.locked(path, &text, &built, rules)
            }
            Dependencies::Requirements { path } => {
                let text = self.read(path)?;
                let file = RequirementsFile { path, text: &text };
                self.requirements(&[file], built, rules, 0)
            }
            Dependencies::Converted { file, choice, .. } => {
                self.converted(*file, choice, built, rules)
            }
            Dependencies::None => self.requirements(&[], built, rules, 0),
        }
    }

    /// Whether something can be run for the target.
    ///
    /// # Errors
    /// The target is another kind of machine than this one.
    fn can_run(&self, step: impl FnOnce() -> Step) -> Result<(), BuildError> {
        let foreign = self.ground.foreign();
        foreign.map_or(Ok(()), |architecture| {
            Err(refused(architecture, vec![step()]))
        })
    }

    /// A file of the source; one that is not there is empty.
    fn read(&self, path: &str) -> Result<Vec<u8>, BuildError> {
        let text = self.site.tree().read_small(path, MAX_FILE_BYTES)?;
        Ok(text.unwrap_or_default())
    }

    /// A file of another tool, by way of the text that the resolver reads.
    fn converted(
        &self,
        file: LockKind,
        choice: &Choice,
        built: Vec<BuiltWheel>,
        rules: Rules,
    ) -> Result<Lock, BuildError> {
        let path = file.path();
        let text = self.read(path)?;
        let made_from = file.made_from().map(|path| self.read(path)).transpose()?;
        let markers = self
            .target
            .markers()
            .map_err(|error| ResolveError::Target(error.to_string()))?;
        let converted = convert(
            file,
            &Given {
                text: &String::from_utf8_lossy(&text),
                made_from: made_from.as_deref().map(String::from_utf8_lossy).as_deref(),
                choice,
                markers: &markers,
                as_requirements: false,
            },
        )
        .map_err(PlanError::from)?;
        if converted.form == Form::Pylock {
            return self.locked(path, converted.text.as_bytes(), &built, rules);
        }
        let text = converted.text.as_bytes();
        let lines = [RequirementsFile { path, text }];
        if file.is_lock() {
            let lock = self.requirements(&lines, Vec::new(), rules, 0)?;
            Ok(with_built(lock, &built))
        } else {
            self.requirements(&lines, built, rules, 0)
        }
    }

    /// Exact wheels of what a build needs. No lock pins them, and they reach no image: they are
    /// resolved even where the image's own packages must not be.
    pub(super) fn build_requirements(&self, text: &str, depth: usize) -> Result<Lock, BuildError> {
        let file = RequirementsFile {
            path: "build-system.requires",
            text: text.as_bytes(),
        };
        let rules = Rules {
            locked: false,
            ..self.site.settings().rules
        };
        self.requirements(&[file], Vec::new(), rules, depth)
    }

    /// A lock is complete without the project itself, which is installed beside it.
    fn locked(
        &self,
        path: &str,
        text: &[u8],
        built: &[BuiltWheel],
        rules: Rules,
    ) -> Result<Lock, BuildError> {
        let wanted = Wanted::Pylock { path, text };
        let mut sources = self.with(wanted, &[], rules, |wheels| {
            wheels.locked_sources(self.target)
        })?;
        // The project itself may stand in its lock; it is built already.
        sources.retain(|source| !built.iter().any(|own| own.file_name.name == source.name));
        if !sources.is_empty() {
            let names = || sources.iter().map(|source| source.name.to_string());
            self.can_run(|| Step::Wheels(names().collect()))?;
        }
        let stands = sources.iter().map(|source| self.source(source));
        let mut stands = stands.collect::<Result<Vec<_>, _>>()?;
        stands.extend(built.iter().cloned());
        let lock = self.with(wanted, &stands, rules, |wheels| wheels.resolve(self.target))?;
        Ok(with_built(lock, built))
    }

    /// Requirement files: what they name by address is built first, then what turns out to have no
    /// wheel, one package after the other.
    fn requirements(
        &self,
        files: &[RequirementsFile<'_>],
        mut built: Vec<BuiltWheel>,
        rules: Rules,
        depth: usize,
    ) -> Result<Lock, BuildError> {
        let mut files = files.to_vec();
        if depth == 0 && self.site.plan().running.newest_pip.value {
            files.push(NEWEST_PIP);
        }
        let wanted = Wanted::Requirements(&files);
        let wishes = self.with(wanted, &built, rules, |wheels| wheels.to_build(self.target))?;
        if !wishes.is_empty() {
            let names = || wishes.iter().map(title_of);
            self.can_run(|| Step::Wheels(names().collect()))?;
        }
        for wish in wishes {
            built.push(self.wish(&wish, depth)?);
        }
        let mut sdists = 0;
        loop {
            let resolved = self.with(wanted, &built, rules, |wheels| wheels.resolve(self.target));
            let (name, version, error) = match resolved {
                Ok(lock) => {
                    let wanted = self.with(wanted, &built, rules, |wheels| {
                        wheels.wanted_from_source(&lock, self.target)
                    })?;
                    // What builds are made with is taken as it is offered.
                    let Some((name, version)) = wanted.filter(|_| depth == 0) else {
                        return Ok(lock);
                    };
                    let error = ResolveError::NoSource {
                        name: name.clone(),
                        version: version.clone(),
                    };
                    (name, Some(version), error.into())
                }
                Err(error) => {
                    let Some((name, version)) = without_wheel(&error) else {
                        return Err(error);
                    };
                    (name, version, error)
                }
            };
            self.can_run(|| Step::Wheels(vec![name.to_string()]))?;
            let is_known = built.iter().any(|wheel| wheel.file_name.name == name);
            sdists += 1;
            if is_known || sdists > MAX_SDISTS || depth > MAX_DEPTH {
                return Err(error);
            }
            let sdist = self.with(wanted, &built, rules, |wheels| {
                wheels.sdist_for(&name, version.as_deref(), self.target)
            })?;
            let Some(sdist) = sdist else {
                return Err(error);
            };
            built.push(self.sdist(&name, &sdist, depth)?);
        }
    }

    fn with<T>(
        &self,
        wanted: Wanted<'_>,
        built: &[BuiltWheel],
        rules: Rules,
        use_wheels: impl FnOnce(&Wheels<'_>) -> T,
    ) -> T {
        use_wheels(&Wheels {
            tree: self.site.tree(),
            wanted,
            built,
            environment: self.site.environment(),
            rules,
            fetcher: &self.site.fetcher(),
            report: self.site.report(),
        })
    }

    fn builder(&self, depth: usize) -> Builder<'_> {
        // Only where nobody has to read the wheels to find out what they need.
        let is_locked = match &self.site.plan().dependencies.value {
            Dependencies::Pylock { .. } => true,
            Dependencies::Converted { file, .. } => file.is_lock(),
            Dependencies::Requirements { .. } | Dependencies::None => false,
        };
        Builder {
            exact: self,
            depth,
            may_be_remote: is_locked && depth == 0,
        }
    }

    /// The project itself, built.
    fn own(&self) -> Result<BuiltWheel, BuildError> {
        let title = self.site.plan().setup_name.clone();
        let title = title.as_deref().unwrap_or("the project");
        let material = Material::Own {
            path: "",
            is_editable: false,
        };
        let built = self.builder(0).wheel(title, None, &material)?;
        let from = SourceOf::Tree(LockedTree::Folder {
            path: ".".to_owned(),
            is_editable: false,
        });
        Ok(BuiltWheel {
            is_own: true,
            ..wanted(&built, None, from)
        })
    }

    /// A package of the index without a wheel, built.
    fn sdist(
        &self,
        name: &PackageName,
        sdist: &Sdist,
        depth: usize,
    ) -> Result<BuiltWheel, BuildError> {
        let from = SourceOf::Archive {
            file_name: sdist.file_name.clone(),
            location: DirectUrl::Archive(sdist.url.clone()),
            sha256: sdist.sha256,
            size_bytes: sdist.size_bytes,
        };
        let build = |material: &Material<'_>| {
            self.builder(depth)
                .wheel(name.as_ref(), Some(name), material)
        };
        let built = self.archive(&from, None, &build)?;
        Ok(wanted(&built, None, from))
    }

    /// A package of a lock, built.
    fn source(&self, source: &LockedSource) -> Result<BuiltWheel, BuildError> {
        let name = &source.name;
        let build =
            |material: &Material<'_>| self.builder(0).wheel(name.as_ref(), Some(name), material);
        let built = match &source.from {
            SourceOf::Archive { .. } => self.archive(&source.from, None, &build)?,
            SourceOf::Tree(LockedTree::Folder { path, is_editable }) => build(&Material::Own {
                path,
                is_editable: *is_editable,
            })?,
            SourceOf::Tree(LockedTree::Repository {
                url,
                commit,
                subdirectory,
            }) => {
                let address = revealed(url);
                let commit = Some(commit.as_str());
                let Some((built, _)) =
                    self.checkout(&address, commit, subdirectory.clone(), &build)?
                else {
                    return Err(MaterialError::LocalRepository {
                        position: Position {
                            path: name.to_string(),
                            line: 0,
                        },
                    }
                    .into());
                };
                built
            }
        };
        Ok(wanted(&built, None, source.from.clone()))
    }

    /// What a requirement names by its address, built.
    fn wish(&self, wish: &Wish, depth: usize) -> Result<BuiltWheel, BuildError> {
        let is_editable = matches!(wish.kind, WishKind::Unnamed { editable: true, .. });
        let title = title_of(wish);
        let name = wish.name();
        let build = |material: &Material<'_>| self.builder(depth).wheel(&title, name, material);
        let (built, from) = match wish.address() {
            Some(DirectUrl::Path(path)) => self.own_path(wish, path, is_editable, &build)?,
            Some(DirectUrl::Archive(url)) => {
                let fragment = fragment(url);
                let below = fragment.get("subdirectory").map(|text| (*text).to_owned());
                let from = self.at_address(wish, url, fragment.get("sha256").copied())?;
                (self.archive(&from, below, &build)?, from)
            }
            Some(DirectUrl::Repository(url)) => self.repository(wish, url, &build)?,
            None => {
                return Err(MaterialError::NoFolder {
                    position: wish.position.clone(),
                    path: title.clone(),
                }
                .into());
            }
        };
        Ok(wanted(&built, Some(wish.position.clone()), from))
    }

    /// A folder or a source distribution of the source.
    fn own_path(
        &self,
        wish: &Wish,
        path: &str,
        is_editable: bool,
        build: &Build<'_>,
    ) -> Result<(Built, SourceOf), BuildError> {
        let no_folder = || MaterialError::NoFolder {
            position: wish.position.clone(),
            path: path.to_owned(),
        };
        let tree = self.site.tree();
        let plain = path.split('[').next().unwrap_or(path).trim_end_matches('/');
        let below = if plain == "." && !wish.position.path.contains('/') {
            Some(String::new())
        } else {
            resolve_path(&wish.position.path, plain)
        };
        let inside = below.ok_or_else(no_folder)?;
        let entry = tree.follow(inside.as_bytes());
        match entry.map(|entry| (&entry.kind, entry)) {
            Some((Kind::File { size_bytes, .. }, entry)) if !is_wheel(&inside) => {
                let found = hash_of(&mut tree.open(entry)?).map_err(|_| no_folder())?;
                check(wish, found)?;
                let from = SourceOf::Archive {
                    file_name: inside.rsplit('/').next().unwrap_or(&inside).to_owned(),
                    location: DirectUrl::Path(inside.clone()),
                    sha256: Sha256(*found.as_bytes()),
                    size_bytes: Some(*size_bytes),
                };
                Ok((self.archive(&from, None, build)?, from))
            }
            Some((Kind::Directory, _)) => Self::folder(inside, is_editable, build),
            None if inside.is_empty() => Self::folder(inside, is_editable, build),
            _ => Err(no_folder().into()),
        }
    }

    fn folder(
        path: String,
        is_editable: bool,
        build: &Build<'_>,
    ) -> Result<(Built, SourceOf), BuildError> {
        let built = build(&Material::Own {
            path: &path,
            is_editable,
        })?;
        let path = if path.is_empty() {
            ".".to_owned()
        } else {
            path
        };
        Ok((
            built,
            SourceOf::Tree(LockedTree::Folder { path, is_editable }),
        ))
    }

    /// A source distribution at an address: by its hash where one is told, else as it is now.
    fn at_address(
        &self,
        wish: &Wish,
        url: &Url,
        told: Option<&str>,
    ) -> Result<SourceOf, BuildError> {
        let listed = wish.hashes.iter().find_map(|hash| match hash {
            FileHash::Sha256(sha256) => Some(Digest::from_bytes(sha256.0)),
            FileHash::Other(_) => None,
        });
        let told = told.and_then(|hex| format!("sha256:{hex}").parse().ok());
        let digest = match listed.or(told) {
            Some(digest) => digest,
            None => self
                .site
                .fetcher()
                .fetch_any(without_fragment(&revealed(url)), &url.file_name())?,
        };
        check(wish, digest)?;
        Ok(SourceOf::Archive {
            file_name: url.file_name(),
            location: DirectUrl::Archive(url.clone()),
            sha256: Sha256(*digest.as_bytes()),
            size_bytes: None,
        })
    }

    /// An archive, built.
    fn archive(
        &self,
        from: &SourceOf,
        subdirectory: Option<String>,
        build: &Build<'_>,
    ) -> Result<Built, BuildError> {
        let SourceOf::Archive {
            file_name,
            location,
            sha256,
            size_bytes,
        } = from
        else {
            return Err(Obstacle::Stopped.into());
        };
        let origin = match location {
            DirectUrl::Path(path) => Origin::Source(path.clone()),
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => {
                let url = self.site.with_credentials(url.clone());
                Origin::Url(without_fragment(&revealed(&url)).to_owned())
            }
        };
        build(&Material::Archive {
            file: Needed {
                name: file_name.clone(),
                digest: Digest::from_bytes(sha256.0),
                size_bytes: *size_bytes,
                origins: vec![origin],
            },
            subdirectory,
        })
    }

    /// A commit of a repository that a requirement names.
    fn repository(
        &self,
        wish: &Wish,
        url: &Url,
        build: &Build<'_>,
    ) -> Result<(Built, SourceOf), BuildError> {
        let address = revealed(url);
        let Some(address) = address.strip_prefix("git+") else {
            return Err(MaterialError::NotGit {
                position: wish.position.clone(),
                scheme: address.split('+').next().unwrap_or_default().to_owned(),
            }
            .into());
        };
        let subdirectory = fragment(url)
            .get("subdirectory")
            .map(|text| (*text).to_owned());
        let (address, reference) = split_reference(without_fragment(address));
        let local = || MaterialError::LocalRepository {
            position: wish.position.clone(),
        };
        let (built, commit) = self
            .checkout(address, reference, subdirectory.clone(), build)?
            .ok_or_else(local)?;
        let from = SourceOf::Tree(LockedTree::Repository {
            url: Url::parse(address).map_err(|_| local())?,
            commit,
            subdirectory,
        });
        Ok((built, from))
    }

    /// A commit, laid out and built; `None` for a repository on this machine's disk.
    fn checkout(
        &self,
        address: &str,
        reference: Option<&str>,
        subdirectory: Option<String>,
        build: &Build<'_>,
    ) -> Result<Option<(Built, String)>, BuildError> {
        let checkout = obtain::Checkout::of(
            address,
            reference,
            self.site.settings(),
            self.site.store(),
            self.site.report(),
        )?;
        let Some(checkout) = checkout else {
            return Ok(None);
        };
        let built = build(&Material::Checkout {
            folder: checkout.root(),
            subdirectory,
            identity: checkout.commit().to_owned(),
        })?;
        Ok(Some((built, checkout.commit().to_owned())))
    }
}

/// Builds a material under the name that it was wished for by.
type Build<'a> = dyn Fn(&Material<'_>) -> Result<Built, BuildError> + 'a;

/// What is wished for, for people.
fn title_of(wish: &Wish) -> String {
    wish.name()
        .map_or_else(|| wish.to_string(), ToString::to_string)
}

fn without_fragment(address: &str) -> &str {
    address.split('#').next().unwrap_or_default()
}

/// The reference follows the last `@` of the path, not the one behind a user.
fn split_reference(address: &str) -> (&str, Option<&str>) {
    let path_from = address
        .find("://")
        .and_then(|at| address[at + 3..].find('/').map(|path| at + 3 + path))
        .unwrap_or(address.len());
    match address[path_from..].rfind('@') {
        Some(at) => (
            &address[..path_from + at],
            Some(&address[path_from + at + 1..]),
        ),
        None => (address, None),
    }
}

/// The project, and its version where one is pinned, that an error says has no wheel but could be
/// built.
fn without_wheel(error: &BuildError) -> Option<(PackageName, Option<String>)> {
    match error {
        BuildError::Wheels(ResolveError::NoWheel(no_wheel))
            if no_wheel.has_sdist && !no_wheel.must_be_wheel =>
        {
            Some((no_wheel.name.clone(), no_wheel.version.clone()))
        }
        _ => None,
    }
}

/// `a=b&c=d` behind a url.
fn fragment(url: &Url) -> BTreeMap<&str, &str> {
    let text = url.fragment().unwrap_or_default();
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// Holds a file against the hashes of its line, if it lists any.
fn check(wish: &Wish, found: Digest) -> Result<(), BuildError> {
    let is_listed = wish.hashes.iter().any(|hash| match hash {
        FileHash::Sha256(sha256) => sha256.0 == *found.as_bytes(),
        FileHash::Other(_) => false,
    });
    if wish.hashes.is_empty() || is_listed {
        return Ok(());
    }
    Err(MaterialError::Hash {
        position: wish.position.clone(),
        found,
    }
    .into())
}

fn hash_of(file: &mut dyn std::io::Read) -> std::io::Result<Digest> {
    use sha2::Digest as _;
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok(Digest::from_bytes(hasher.finalize().into()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// A built wheel as a wish.
fn wanted(built: &Built, instead_of: Option<Position>, from: SourceOf) -> BuiltWheel {
    BuiltWheel {
        instead_of,
        file_name: built.file_name.clone(),
        sha256: built.sha256,
        size_bytes: built.size_bytes,
        is_own: false,
        from,
    }
}

/// A lock with wheels that were built beside it.
fn with_built(mut lock: Lock, built: &[BuiltWheel]) -> Lock {
    for wheel in built {
        let locked = locked(wheel);
        lock.packages.retain(|other| other.name != locked.name);
        lock.packages.push(locked);
    }
    lock.packages.sort_by(|a, b| a.name.cmp(&b.name));
    lock
}

/// A built wheel as an entry of a lock.
fn locked(wheel: &BuiltWheel) -> LockedWheel {
    LockedWheel {
        name: wheel.file_name.name.clone(),
        version: wheel.file_name.version.clone(),
        file_name: wheel.file_name.clone(),
        location: wheel.location(),
        sha256: wheel.sha256,
        size_bytes: Some(wheel.size_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_from_users() {
        for (address, expected) in [
            ("https://h/x.git", ("https://h/x.git", None)),
            ("https://u@h/x.git@v1", ("https://u@h/x.git", Some("v1"))),
            ("ssh://git@h/x@a/b", ("ssh://git@h/x", Some("a/b"))),
            ("https://u:p@h", ("https://u:p@h", None)),
        ] {
            assert_eq!(split_reference(address), expected, "{address}");
        }
    }
}
