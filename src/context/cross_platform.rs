//! What a build would have to run on another kind of machine than this one: named before anything is
//! fetched, because nothing that is fetched could help.

use std::fmt;

use crate::oci::{Architecture, Platform};
use crate::plan::Plan;
use crate::report::{BuildError, ErrorClass, Explain, Explanation};

/// Packages that an error lists by name.
const SHOWN_PACKAGES: usize = 10;

/// Something that runs at build time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ForeignStep {
    /// The project's own assemble script.
    Assemble,
    /// The install of the project itself; the file that says so.
    Install(String),
    CollectStatic,
    /// A command of `build`, and where it stands.
    Command(String),
    /// Packages that have no wheel for the platform, and so have to be built.
    Wheels(Vec<String>),
}

impl fmt::Display for ForeignStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assemble => f.write_str("the project's own assemble script"),
            Self::Install(file) => write!(f, "the install of the project itself ({file})"),
            Self::CollectStatic => f.write_str("Django's collectstatic"),
            Self::Command(command) => f.write_str(command),
            Self::Wheels(names) => {
                let shown: Vec<&str> = names
                    .iter()
                    .take(SHOWN_PACKAGES)
                    .map(String::as_str)
                    .collect();
                let more = match names.len().saturating_sub(SHOWN_PACKAGES) {
                    0 => String::new(),
                    count => format!(" and {count} more"),
                };
                write!(
                    f,
                    "building packages that have no wheel for it: {}{more}",
                    shown.join(", ")
                )
            }
        }
    }
}

impl ForeignStep {
    /// How to do without it.
    pub(crate) fn instead(&self) -> &'static str {
        match self {
            Self::Assemble => "",
            Self::Command(_) => "run it before s2r, and take it out of `build`",
            Self::Install(_) => {
                "leave the install out (DISABLE_SETUP_PY_PROCESSING, DISABLE_PYPROJECT_TOML_PROCESSING)"
            }
            Self::CollectStatic => {
                "leave collectstatic out (DISABLE_COLLECTSTATIC), and collect static files before the build or at start"
            }
            Self::Wheels(_) => {
                "name versions that have wheels for that platform, or put such wheels into the source"
            }
        }
    }
}

/// Whether this machine cannot run programs for that one.
pub(crate) fn is_foreign(architecture: Architecture) -> bool {
    Architecture::host() != Some(architecture)
}

/// Code would have to run for another kind of machine.
#[derive(Debug, thiserror::Error)]
#[error("something has to run on {platform}")]
pub(crate) struct ForeignBuild {
    pub platform: Platform,
    pub steps: Vec<ForeignStep>,
}

impl Explain for ForeignBuild {
    fn explain(&self) -> Explanation {
        let steps: Vec<String> = self.steps.iter().map(ToString::to_string).collect();
        let instead = self.steps.iter().map(ForeignStep::instead);
        let mut ways: Vec<&str> = instead.filter(|way| !way.is_empty()).collect();
        let machine = format!("build on a {} machine", self.platform);
        ways.push(&machine);
        Explanation {
            class: ErrorClass::Project,
            what: format!(
                "code would have to run on {}, which this machine is not",
                self.platform
            ),
            place: match steps.as_slice() {
                [] => "the project's build".to_owned(),
                steps => steps.join("\n"),
            },
            why: "s2r emulates no other machine".to_owned(),
            next: ways.join("; or "),
        }
    }
}

/// The error that names these steps.
pub(crate) fn refused(architecture: Architecture, steps: Vec<ForeignStep>) -> BuildError {
    ForeignBuild {
        platform: Platform { architecture },
        steps,
    }
    .into()
}

/// What the plan alone tells.
///
/// # Errors
/// Something would have to run on a foreign platform.
pub(crate) fn check(plan: &Plan) -> Result<(), BuildError> {
    let mut platforms = plan.platforms.value.iter();
    let Some(platform) = platforms.find(|platform| is_foreign(platform.architecture)) else {
        return Ok(());
    };
    let running = &plan.running;
    let step = if running.assemble.value {
        ForeignStep::Assemble
    } else if running.install.value {
        ForeignStep::Install(running.install.origin.to_string())
    } else if let Some(first) = running.commands.first() {
        ForeignStep::Command(format!("{}: {}", first.origin, first.value.command))
    } else {
        return Ok(());
    };
    Err(refused(platform.architecture, vec![step]))
}

#[cfg(test)]
crate::report::samples! {
    struct ForeignBuild {
        platform: "linux/arm64".parse().unwrap(),
        steps: vec![
            ForeignStep::Install("pyproject.toml".into()),
            ForeignStep::CollectStatic,
            ForeignStep::Command("s2r.yaml:3: npm ci".into()),
            ForeignStep::Wheels(vec!["uwsgi".into()]),
        ],
    } {
        platform: "linux/arm64".parse().unwrap(),
        steps: vec![ForeignStep::Assemble],
    };
}

#[cfg(test)]
mod tests {
    use crate::context::cross_platform::*;

    #[test]
    fn an_error_names_what_would_run_and_what_to_do() {
        let many: Vec<String> = (0..12).map(|number| format!("p{number}")).collect();
        for (step, shown, next) in [
            (
                ForeignStep::Assemble,
                "assemble script",
                "build on a linux/arm64 machine",
            ),
            (
                ForeignStep::Install("setup.py".to_owned()),
                "(setup.py)",
                "DISABLE_SETUP_PY_PROCESSING",
            ),
            (
                ForeignStep::Command("s2r.yaml:2: make".to_owned()),
                "s2r.yaml:2: make",
                "take it out of `build`",
            ),
            (
                ForeignStep::CollectStatic,
                "collectstatic",
                "DISABLE_COLLECTSTATIC",
            ),
            (
                ForeignStep::Wheels(many),
                "p0, p1, p2, p3, p4, p5, p6, p7, p8, p9 and 2 more",
                "wheels",
            ),
        ] {
            let told = refused(Architecture::Arm64, vec![step]).explain();
            assert!(told.what.contains("linux/arm64"), "{}", told.what);
            assert!(told.place.contains(shown), "{}", told.place);
            assert!(told.next.contains(next), "{}", told.next);
            assert!(
                told.next.ends_with("build on a linux/arm64 machine"),
                "{}",
                told.next
            );
        }
    }
}
