//! The server that a plan adds, since none is among the dependencies: found within what they pin.

use super::WheelResolver;
use crate::plan::{AddedServer, DependencySource};
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::resolve::wheels::{RequirementsFile, WheelLock};
use crate::wheel_resolution::locked_wheels::WheelRequest;

/// What stands for the place of a requirement that no file has.
const PLACE: &str = "S2R_ADD_SERVER";

/// What keeps a server from being added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AdditionRule {
    /// `--locked`, and no server is among what is locked.
    Locked,
    /// Each package needs a hash, and nobody has listed one for a server.
    Hashes,
    /// `PIP_NO_DEPS`: nothing goes in that no line names.
    NoDependencies,
}

/// A server is needed, and a rule keeps it from being added.
#[derive(Debug, thiserror::Error)]
#[error("{server} is needed, and is not among the dependencies")]
pub(crate) struct ServerNotAddedError {
    server: String,
    rule: AdditionRule,
}

impl Explain for ServerNotAddedError {
    fn explain(&self) -> Explanation {
        let server = &self.server;
        let (rule, next) = match self.rule {
            AdditionRule::Locked => (
                "--locked builds only what locks pin",
                format!(
                    "name {server} among the dependencies and lock them anew, or run `s2r lock SOURCE` and commit what it writes"
                ),
            ),
            AdditionRule::Hashes => (
                "each package needs a hash here (--require-hashes, PIP_REQUIRE_HASHES, UV_REQUIRE_HASHES, or a hash on another requirement)",
                format!(
                    "add {server} and what it needs to the requirements, with hashes: `echo '{server}' | uv pip compile --generate-hashes -` writes the lines; `-e S2R_ADD_SERVER=` adds none"
                ),
            ),
            AdditionRule::NoDependencies => (
                "PIP_NO_DEPS lets nothing in that no line names",
                format!(
                    "add {server} and what it needs to the requirements: `echo '{server}' | uv pip compile -` writes the lines; `-e S2R_ADD_SERVER=` adds none"
                ),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place: "the dependencies".to_owned(),
            why: format!(
                "no server is among the dependencies; the build would add one, and {rule}"
            ),
            next,
        }
    }
}

impl WheelResolver<'_> {
    /// The wheels with a server that the plan adds, and what it needs. What is there stays as it is:
    /// a lock may pin it, and each of its lines may ask for a hash.
    ///
    /// # Errors
    /// It cannot be had; a rule wants it among the dependencies.
    pub(super) fn with_server(
        &self,
        mut lock: WheelLock,
        server: &AddedServer,
    ) -> Result<WheelLock, BuildError> {
        if lock
            .packages
            .iter()
            .any(|wheel| wheel.name.as_ref() == server.name)
        {
            return Ok(lock);
        }
        let rules = self.context.settings.rules;
        if let Some(rule) = self.rule_against_additions()? {
            return Err(ServerNotAddedError {
                server: server.requirement.clone(),
                rule,
            }
            .into());
        }
        let pins = lock
            .packages
            .iter()
            .map(|wheel| format!("{}=={}", wheel.name, wheel.version));
        let mut conditions = self.conditions.clone();
        conditions.constraints.extend(pins);
        let environment = self.environment_of_requirements()?;
        let exact = WheelResolver {
            conditions: &conditions,
            of_build: Some(&environment),
            ..*self
        };
        let file = RequirementsFile {
            path: PLACE,
            text: server.requirement.as_bytes(),
        };
        let mut more = exact.requirements(&[file], Vec::new(), rules, 1)?;
        more.packages
            .retain(|wheel| !lock.packages.iter().any(|one| one.name == wheel.name));
        lock.packages.append(&mut more.packages);
        lock.packages.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(lock)
    }

    fn rule_against_additions(&self) -> Result<Option<AdditionRule>, BuildError> {
        let rules = self.context.settings.rules;
        if rules.locked {
            return Ok(Some(AdditionRule::Locked));
        }
        // The locks of other tools have hashes of their own making; only who writes requirements asks for them.
        let (path, text) = match &self.context.plan.dependencies.value {
            DependencySource::Requirements { path } => (path.as_str(), self.read(path)?),
            _ => (PLACE, Vec::new()),
        };
        let file = RequirementsFile { path, text: &text };
        let wanted = WheelRequest::Requirements(&[file]);
        if self.with(wanted, &[], rules, |wheels| {
            wheels.requires_hashes(self.target)
        })? {
            return Ok(Some(AdditionRule::Hashes));
        }
        Ok(self
            .is_without_dependencies()
            .then_some(AdditionRule::NoDependencies))
    }
}

#[cfg(test)]
crate::report::samples! {
    struct ServerNotAddedError
    { server: "uvicorn".into(), rule: AdditionRule::Locked }
    { server: "uvicorn".into(), rule: AdditionRule::Hashes }
    { server: "uvicorn".into(), rule: AdditionRule::NoDependencies };
}
