//! From what a project wishes for to exact wheels, those included that have to be built from source:
//! the project itself, folders and repositories that requirements name, packages without a wheel.
//! `project_files` reads what is wished for, `test_packages` what the tests need besides, `build_sources` brings what has to be built, `built_metadata` what that requires.

mod build_sources;
mod built_metadata;
mod error;
mod old_pin;
mod package_data;
mod project_files;
mod server;
mod test_packages;

use std::collections::BTreeMap;

use crate::context::build_context::Context;
use crate::context::cross_platform::{ForeignStep, refused};
use crate::context::settings::NetworkRules;
use crate::packages::python::conditions::ResolutionRules;
use crate::packages::python::switches::is_on;
use crate::packages::python::{
    DirectUrl, LineError, LockFingerprint, LockOrigin, PackageName, ReadError, Requirement,
    WheelTarget, line_of,
};
use crate::plan::DependencySource;
use crate::report::BuildError;
use crate::resolve::wheels::{
    LockedWheel, RequirementsFile, WheelError, WheelLock, needs_build, required_by_address,
};
use crate::source_builds::build_root::BuildRoot;
use crate::source_builds::build_wheel::{BuildRequirements, WheelBuilder};
use crate::wheel_resolution::lock_inputs;
use crate::wheel_resolution::lock_inputs::StaleLockError;
use crate::wheel_resolution::locked_wheels::{BuiltWheel, WheelRequest, WheelResolution};

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
pub(crate) struct WheelResolver<'a> {
    pub context: &'a Context<'a>,
    pub build_root: &'a BuildRoot<'a>,
    pub target: &'a WheelTarget,
    /// What the project's own tool says of where packages come from.
    pub conditions: &'a ResolutionRules,
    /// While something is built, the variables by which what it needs is found.
    pub of_build: Option<&'a BTreeMap<String, String>>,
}

impl WheelResolver<'_> {
    /// The wheels of the image.
    ///
    /// # Errors
    /// Whatever keeps the wishes from exact wheels, a failing build included.
    pub(crate) fn wheels(&self) -> Result<WheelLock, BuildError> {
        let plan = self.context.plan;
        let mut built = Vec::new();
        if plan.running.install.value {
            self.can_run(|| ForeignStep::Install(plan.running.install.origin.to_string()))?;
            built.push(self.own()?);
        }
        let rules = self.context.settings.rules;
        let lock = match &plan.dependencies.value {
            DependencySource::Pylock { path } => {
                let text = self.read(path)?;
                self.check_own(path, &text, &built)?;
                self.locked(path, &text, &built, rules)
            }
            DependencySource::Requirements { path } => {
                let text = self.read(path)?;
                let file = RequirementsFile { path, text: &text };
                self.requirements(&[file], built, rules, 0)
            }
            DependencySource::Converted { file, choice, .. } => {
                self.converted(*file, choice, built, rules)
            }
            DependencySource::None => self.requirements(&[], built, rules, 0),
        }?;
        match &plan.start.added {
            Some(server) => self.with_server(lock, &server.value),
            None => Ok(lock),
        }
    }

    /// Holds a lock of s2r to what the project's own wheel requires; a wheel that lies in a registry
    /// alone is the one that was locked with.
    fn check_own(&self, path: &str, lock: &[u8], built: &[BuiltWheel]) -> Result<(), BuildError> {
        let Some(own) = built.first() else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(lock);
        // What is wrong with the lock is told where it is read as one.
        let Ok(LockOrigin::Known(then)) = LockOrigin::of(&text) else {
            return Ok(());
        };
        let Some(requires) = self.context.requires_of(&own.file_name, &own.sha256)? else {
            return Ok(());
        };
        let mut now = LockFingerprint::default();
        now.add(lock_inputs::AS_BUILT, requires.as_bytes());
        if then.get(lock_inputs::AS_BUILT) == now.get(lock_inputs::AS_BUILT) {
            return Ok(());
        }
        Err(StaleLockError::Changed {
            file: path.to_owned(),
            changed: vec![lock_inputs::AS_BUILT.to_owned()],
        }
        .into())
    }

    /// Whether something can be run for the target.
    ///
    /// # Errors
    /// The target is another kind of machine than this one.
    fn can_run(&self, step: impl FnOnce() -> ForeignStep) -> Result<(), BuildError> {
        let foreign = self.build_root.foreign();
        foreign.map_or(Ok(()), |architecture| {
            Err(refused(architecture, vec![step()]))
        })
    }

    /// A lock is complete without the project itself, which is installed beside it.
    fn locked(
        &self,
        path: &str,
        text: &[u8],
        built: &[BuiltWheel],
        rules: NetworkRules,
    ) -> Result<WheelLock, BuildError> {
        let wanted = WheelRequest::Pylock { path, text };
        let mut sources = self.with(wanted, &[], rules, |wheels| {
            wheels.locked_sources(self.target)
        })?;
        // The project itself may stand in its lock; it is built already.
        sources.retain(|source| !built.iter().any(|own| own.file_name.name == source.name));
        if !sources.is_empty() {
            let names = || sources.iter().map(|source| source.name.to_string());
            self.can_run(|| ForeignStep::Wheels(names().collect()))?;
        }
        let stands = sources.iter().map(|source| self.source(source));
        let mut stands = stands.collect::<Result<Vec<_>, _>>()?;
        stands.extend(built.iter().cloned());
        let lock = self.with(wanted, &stands, rules, |wheels| wheels.resolve(self.target))?;
        Ok(with_built(lock, built))
    }

    /// Requirement files: what they name by address is built first, then what turns out to have no
    /// wheel, one package after the other.
    pub(crate) fn requirements(
        &self,
        files: &[RequirementsFile<'_>],
        mut built: Vec<BuiltWheel>,
        rules: NetworkRules,
        depth: usize,
    ) -> Result<WheelLock, BuildError> {
        let mut files = files.to_vec();
        if depth == 0 && self.context.plan.running.newest_pip.value {
            files.push(NEWEST_PIP);
        }
        let wanted = WheelRequest::Requirements(&files);
        let wishes = self.with(wanted, &built, rules, |wheels| wheels.to_build(self.target))?;
        if !wishes.is_empty() {
            let names = || wishes.iter().map(title_of);
            self.can_run(|| ForeignStep::Wheels(names().collect()))?;
        }
        for wish in wishes {
            let own = built.iter_mut().find(|wheel| wheel.is_own);
            match own.filter(|_| self.is_root(&wish)) {
                // The project is installed after its requirements, and replaces what they name of it.
                Some(own) if own.instead_of.is_none() => {
                    own.instead_of = Some(wish.position.clone());
                    own.extras = wish.extras().to_vec();
                }
                Some(own) => {
                    let again = BuiltWheel {
                        instead_of: Some(wish.position.clone()),
                        extras: wish.extras().to_vec(),
                        ..own.clone()
                    };
                    built.push(again);
                }
                None => built.push(self.wish(&wish, depth)?),
            }
        }
        let mut sdists = 0;
        loop {
            self.add_addressed(&mut built, rules, depth)?;
            let resolved = self.with(wanted, &built, rules, |wheels| wheels.resolve(self.target));
            let error = match resolved {
                Ok(lock) => return Ok(lock),
                Err(error) => error,
            };
            let Some((name, version)) = without_wheel(&error) else {
                return Err(error);
            };
            self.can_run(|| ForeignStep::Wheels(vec![name.to_string()]))?;
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
            let wheel = self.sdist(&name, &sdist, depth).map_err(|error| {
                let pinned = version.as_deref().and_then(|text| text.parse().ok());
                let Some(pinned) = pinned else {
                    return error;
                };
                self.or_old_pin(error, (&name, &pinned), |others| {
                    self.with(wanted, &built, rules, |wheels| {
                        wheels.old_pin((&name, &pinned), others, self.target)
                    })
                })
            });
            built.push(wheel?);
        }
    }

    /// Builds what built wheels require by path or address: a folder of the source that `setup.py` names by a
    /// `file:` URL, a repository. What is a wheel already is found with the rest.
    fn add_addressed(
        &self,
        built: &mut Vec<BuiltWheel>,
        rules: NetworkRules,
        depth: usize,
    ) -> Result<(), BuildError> {
        let mut at = 0;
        while at < built.len().min(MAX_SDISTS) {
            let wheel = &built[at];
            let path = self.context.store.download_path(&wheel.sha256);
            let named = (&wheel.file_name, wheel.extras.as_slice());
            let required = required_by_address(&path, named, self.target, rules.unpacked)?;
            at += 1;
            for wish in required.iter().filter(|wish| needs_build(wish)) {
                if self.is_without_dependencies() {
                    continue;
                }
                let place =
                    (built.iter()).position(|wheel| wish.name() == Some(&wheel.file_name.name));
                let Some(place) = place else {
                    self.can_run(|| ForeignStep::Wheels(vec![title_of(wish)]))?;
                    built.push(self.wish(wish, depth)?);
                    continue;
                };
                let known = &mut built[place];
                if !self.is_built_from(known, wish) {
                    return Err(two_addresses(known, wish));
                }
                let more = wish.extras().iter();
                let more: Vec<_> = more
                    .filter(|extra| !known.extras.contains(extra))
                    .cloned()
                    .collect();
                if !more.is_empty() {
                    // What it requires with these is looked at again.
                    known.extras.extend(more);
                    at = at.min(place);
                }
            }
        }
        Ok(())
    }

    /// Whether nothing goes in that no line names.
    fn is_without_dependencies(&self) -> bool {
        let environment = self.of_build.unwrap_or_else(|| self.context.environment());
        environment
            .get("PIP_NO_DEPS")
            .is_some_and(|value| is_on(value))
    }

    fn with<T>(
        &self,
        wanted: WheelRequest<'_>,
        built: &[BuiltWheel],
        rules: NetworkRules,
        use_wheels: impl FnOnce(&WheelResolution<'_>) -> T,
    ) -> T {
        use_wheels(&WheelResolution {
            tree: self.context.tree(),
            wanted,
            built,
            environment: self.of_build.unwrap_or_else(|| self.context.environment()),
            given: self.context.given(),
            conditions: self.conditions,
            passed: &self.context.settings.passed,
            rules,
            fetcher: &self.context.fetcher(),
            report: self.context.report,
        })
    }

    fn builder(&self, depth: usize) -> WheelBuilder<'_> {
        // Only where nobody has to read the wheels to find out what they need.
        let is_locked = match &self.context.plan.dependencies.value {
            DependencySource::Pylock { .. } => true,
            DependencySource::Converted { file, .. } => file.is_lock(),
            DependencySource::Requirements { .. } | DependencySource::None => false,
        };
        WheelBuilder {
            context: self.context,
            build_root: self.build_root,
            target: self.target,
            requirements: self,
            depth,
            may_be_remote: is_locked && depth == 0,
        }
    }
}

impl BuildRequirements for WheelResolver<'_> {
    /// Exact wheels of what a build needs. No lock pins them, and they reach no image: they are
    /// resolved even where the image's own packages must not be.
    fn build_requirements(&self, text: &str, depth: usize) -> Result<WheelLock, BuildError> {
        let file = RequirementsFile {
            path: "build-system.requires",
            text: text.as_bytes(),
        };
        let rules = NetworkRules {
            locked: false,
            ..self.context.settings.rules
        };
        let environment = match self.of_build {
            Some(environment) => environment.clone(),
            None => self.environment_of_builds()?,
        };
        let conditions = match self.of_build {
            Some(_) => self.conditions.clone(),
            None => self.conditions.of_builds(),
        };
        let exact = WheelResolver {
            of_build: Some(&environment),
            conditions: &conditions,
            ..*self
        };
        exact.requirements(&[file], Vec::new(), rules, depth)
    }
}

/// An error about a variable in a converted file, with the line of the file itself.
fn where_it_stands(mut error: BuildError, path: &str, text: &[u8]) -> BuildError {
    if let Some(WheelError::Requirements(ReadError {
        position,
        error: LineError::Variable(name),
    })) = error.find_mut()
        && position.path == path
    {
        let text = String::from_utf8_lossy(text);
        position.line = line_of(&text, &format!("${{{name}}}"));
    }
    error
}

/// The error of a package that was built from another address than it is wanted from.
fn two_addresses(known: &BuiltWheel, wish: &Requirement) -> BuildError {
    let who = known.instead_of.as_ref();
    let address =
        |address: Option<&DirectUrl>| address.map_or_else(String::new, ToString::to_string);
    let first = match &known.address {
        Some(known) => address(Some(known)),
        None => format!("{}, which was built", known.file_name),
    };
    WheelError::TwoAddresses {
        name: known.file_name.name.clone(),
        wanted: Box::new([
            (
                who.map_or_else(|| "the build".to_owned(), ToString::to_string),
                first,
            ),
            (wish.position.to_string(), address(wish.address())),
        ]),
    }
    .into()
}

/// What is wished for, for people.
fn title_of(wish: &Requirement) -> String {
    wish.name()
        .map_or_else(|| wish.to_string(), ToString::to_string)
}

/// The project, and its version where one is pinned, that an error says has no wheel but could be
/// built.
fn without_wheel(error: &BuildError) -> Option<(PackageName, Option<String>)> {
    match error.find()? {
        WheelError::NoWheel(no_wheel) if no_wheel.has_sdist && !no_wheel.must_be_wheel => {
            Some((no_wheel.name.clone(), no_wheel.version.clone()))
        }
        WheelError::WheelUnwanted { name, version } => Some((name.clone(), Some(version.clone()))),
        _ => None,
    }
}

/// A lock with wheels that were built beside it.
fn with_built(mut lock: WheelLock, built: &[BuiltWheel]) -> WheelLock {
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
mod tests;
