//! What runs before the server whenever a container starts: `release` of the settings.

use super::StartStrategy;
use crate::plan::{Decided, PlanWarning, ValueOrigin, Variables};
use crate::project::ProjectFacts;

/// How long other attempts are begun if the first one fails, as `scripts/run` reads it.
const TIMEOUT: &str = "S2R_RELEASE_TIMEOUT";
/// The same where the variable is not set, in seconds.
const DEFAULT_TIMEOUT: &str = "60";

/// The command, and advice on what runs in its place or no more. `strategy` is what starts, and whether the
/// database of a Django project would be migrated before it.
pub(super) fn decide(
    facts: &ProjectFacts,
    variables: &Variables,
    (strategy, migrates): (&StartStrategy, bool),
    advice: &mut Vec<PlanWarning>,
) -> Option<Decided<String>> {
    let release = facts.settings.release.as_ref()?;
    let mut processes = facts.processes.iter();
    let of_procfile = processes.find(|one| one.name == "release" && one.command != release.value);
    if let Some(other) = of_procfile {
        advice.push(PlanWarning::new(
            format!(
                "{}: this release line is not run: {} stands in for it",
                other.place, release.place
            ),
            "delete one of them",
        ));
    }
    if let StartStrategy::OwnRun { path } = strategy {
        advice.push(PlanWarning::new(
            format!(
                "{}: run by s2r's start script, in whose place {path} starts",
                release.place
            ),
            "end that script with `exec /usr/libexec/s2i/run`, or run the command in it",
        ));
    }
    if migrates && !release.value.contains("migrate") {
        advice.push(PlanWarning::new(
            format!(
                "{}: release takes the place of `manage.py migrate`, and nothing migrates the database",
                release.place
            ),
            format!(
                "write `release: python manage.py migrate --noinput && {}`",
                release.value
            ),
        ));
    }
    if variables.is_on("DISABLE_MIGRATE") {
        let origin = ValueOrigin::Environment {
            variable: "DISABLE_MIGRATE".to_owned(),
        };
        return Some(Decided::new(
            release.value.clone(),
            origin,
            "not run at start",
        ));
    }
    let timeout = variables.get(TIMEOUT).unwrap_or(DEFAULT_TIMEOUT);
    Some(Decided::new(
        release.value.clone(),
        ValueOrigin::File(release.place.clone()),
        format!("before the server at each start, tried again for up to {timeout} s"),
    ))
}
