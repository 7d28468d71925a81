//! The server that a plan adds, since none is among the dependencies: found within what they pin.

use super::WheelResolver;
use crate::plan::AddedServer;
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::resolve::wheels::{RequirementsFile, WheelLock};

/// What stands for the place of a requirement that no file has.
const PLACE: &str = "S2R_ADD_SERVER";

/// `--locked`, and no server is among what is locked.
#[derive(Debug, thiserror::Error)]
#[error("{server} is needed and is not locked")]
pub(crate) struct UnlockedServerError {
    server: String,
}

impl Explain for UnlockedServerError {
    fn explain(&self) -> Explanation {
        let server = &self.server;
        Explanation {
            fate: ErrorClass::Project,
            what: self.to_string(),
            place: "the dependencies".to_owned(),
            why: "no server is among the dependencies; the build would add one, and --locked builds only what locks pin".to_owned(),
            next: format!(
                "name {server} among the dependencies and lock them anew, or run `s2r lock SOURCE` and commit what it writes"
            ),
        }
    }
}

impl WheelResolver<'_> {
    /// The wheels with a server that the plan adds, and what it needs. What is there stays as it is:
    /// a lock may pin it, and each of its lines may ask for a hash.
    ///
    /// # Errors
    /// It cannot be had; `--locked` wants it in the lock.
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
        if rules.locked {
            return Err(UnlockedServerError {
                server: server.requirement.clone(),
            }
            .into());
        }
        let pins = lock
            .packages
            .iter()
            .map(|wheel| format!("{}=={}", wheel.name, wheel.version));
        let mut conditions = self.conditions.clone();
        conditions.constraints.extend(pins);
        let environment = self.environment_of_builds()?;
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
}
