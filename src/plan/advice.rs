//! What the user should know about a plan, and what to do about it.

use super::{BuildSteps, PlanInputs, PlanWarning, StartDecision, StartStrategy};
use crate::oci::Platform;

/// Most characters of a project's text that advice shows.
const MAX_SHOWN: usize = 80;

/// Whether Django comes with the dependencies shows when they are resolved; the build ends there.
pub(super) fn on_platforms(
    inputs: &PlanInputs<'_>,
    platforms: &[Platform],
    running: &BuildSteps,
    advice: &mut Vec<PlanWarning>,
) {
    let foreign = platforms
        .iter()
        .find(|platform| inputs.host != Some(**platform));
    if let Some(foreign) =
        foreign.filter(|_| running.collectstatic.value && !running.assemble.value)
    {
        advice.push(PlanWarning::new(
            format!("if Django is installed, collectstatic would have to run on {foreign}, which this machine is not: the build would stop"),
            "set DISABLE_COLLECTSTATIC and collect static files otherwise, or build on such a machine",
        ));
    }
}

/// What of the source is not built, or otherwise than it looks.
pub(super) fn on_source(
    inputs: &PlanInputs<'_>,
    (start, running): (&StartDecision, &BuildSteps),
    advice: &mut Vec<PlanWarning>,
) {
    let changed = inputs.git.and_then(|git| git.changed_files).unwrap_or(0);
    if changed > 0 {
        advice.push(PlanWarning::new(
            format!("{changed} files differ from the commit; the image holds the folder as it is"),
            "commit, or list them in .s2iignore, to build what the commit says",
        ));
    }
    if let Some(build) = &inputs.facts.node_build
        && !running.runs_node()
    {
        let build: String = build.chars().take(MAX_SHOWN).collect();
        advice.push(PlanWarning::new(
            format!("package.json: its build script is not run: {build}"),
            "where its output is wanted, write into s2r.yaml `packages: {build: [nodejs, npm]}` and `build: [{run: npm ci, network: true}, npm run build]`; or run it before s2r, and the image holds the folder as it is then",
        ));
    }
    for process in &inputs.facts.overruled_processes {
        let mut others = inputs.facts.processes.iter();
        let Some(other) = others.find(|other| other.name == process.name) else {
            continue;
        };
        if other.command != process.command {
            advice.push(PlanWarning::new(
                format!(
                    "{}: not used, since {} says what {} is",
                    process.place, other.place, process.name
                ),
                "delete one of the two lines",
            ));
        }
    }
    let is_taken = matches!(start.strategy.value, StartStrategy::Process { .. });
    let web = inputs.facts.processes.iter().find(|one| one.name == "web");
    if let Some(web) = web.filter(|_| !is_taken) {
        advice.push(PlanWarning::new(
            format!(
                "{}: not started, since {} comes first",
                web.place, start.strategy.value
            ),
            "put its command into app.sh, or set APP_MODULE and GUNICORN_CMD_ARGS",
        ));
    }
}
