//! Whether the virtual environment gets a pip, which is the builder's to say, and the user's.

use serde::{Serialize as _, Serializer};

use super::builder::{BuilderDefinition, PipWheel};
use super::{BuildSteps, Decided, PlanError, PlanWarning, ValueOrigin, Variables, running};

/// `none` leaves pip out of an image.
const PIP: &str = "S2R_PIP";

/// Decides. s2r itself installs without pip; what calls it is told of.
///
/// # Errors
/// The variable has another value than `none`.
pub(super) fn decide(
    definition: &BuilderDefinition,
    variables: &Variables,
    steps: &BuildSteps,
    advice: &mut Vec<PlanWarning>,
) -> Result<Decided<Option<PipWheel>>, PlanError> {
    let decided = match variables.get(PIP) {
        None => {
            let builder = definition.name.clone();
            Decided::new(definition.pip.clone(), ValueOrigin::Builder { builder }, "")
        }
        Some("none") => {
            let variable = PIP.to_owned();
            Decided::new(None, ValueOrigin::Environment { variable }, "")
        }
        Some(other) => {
            return Err(PlanError::Pip {
                variable: PIP,
                value: other.to_owned(),
            });
        }
    };
    // An image that the builder stands on may have a pip of its own.
    let is_left_out = decided.value.is_none() && !definition.is_upon_image();
    if is_left_out && steps.assemble.value {
        advice.push(PlanWarning::new(
            format!(
                "{}: it finds no pip, since {} leaves it out",
                running::ASSEMBLE,
                decided.origin
            ),
            "have the script install without pip, or leave pip in",
        ));
    }
    if is_left_out && steps.newest_pip.value {
        advice.push(PlanWarning::new(
            format!("the image gets the newest pip by UPGRADE_PIP_TO_LATEST, although {} leaves pip out", decided.origin),
            "leave one of the two out",
        ));
    }
    Ok(decided)
}

/// Writes the version, which is what a plan tells of pip.
pub(super) fn version<S: Serializer>(
    pip: &Decided<Option<PipWheel>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let version = pip.value.as_ref().map(|wheel| wheel.version.as_str());
    Decided::new(version, pip.origin.clone(), pip.reason.clone()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    const APP: (&str, &str) = ("app.py", "print('x')\n");

    #[test]
    fn pip_is_the_builders_unless_a_variable_leaves_it_out() {
        let plan = planned(&[APP], &[]).unwrap();
        let version = &serde_json::to_value(&plan).unwrap()["pip"]["value"];
        assert_eq!(version, &plan.pip.value.unwrap().version);
        let plan = planned(&[APP], &["S2R_PIP=none"]).unwrap();
        assert_eq!(plan.pip.value, None);
        assert!(!plan.advice.iter().any(|one| one.text.contains("pip")));
        assert!(super::super::render(&plan).contains("pip           none  (S2R_PIP)"));
        assert!(planned(&[APP], &["S2R_PIP="]).unwrap().pip.value.is_some());
        let refused = planned(&[APP], &["S2R_PIP=25.0"]).unwrap_err();
        assert!(matches!(refused, PlanError::Pip { .. }), "{refused}");
    }

    #[test]
    fn what_would_call_it_is_told() {
        let assemble = (running::ASSEMBLE, "#!/bin/sh\npip install x\n");
        let advice = |files: &[(&str, &str)], env: &[&str]| {
            let plan = planned(files, env).unwrap();
            plan.advice
                .iter()
                .map(|one| one.text.clone())
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert!(advice(&[APP, assemble], &["S2R_PIP=none"]).contains("assemble: it finds no pip"));
        let both = ["S2R_PIP=none", "UPGRADE_PIP_TO_LATEST=1"];
        assert!(advice(&[APP], &both).contains("UPGRADE_PIP_TO_LATEST"));
        assert!(!advice(&[APP, assemble], &[]).contains("pip"));
    }
}
