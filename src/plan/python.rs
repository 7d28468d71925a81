//! Which builder, and so which Python.
//!
//! First, before anything is asked of a network, one of the builders that come with s2r ([`choose`]). When its
//! definition is whole, or that of the user's own builder, the plan says why it is that one ([`decide`]).

use super::builder::{BaseDefinition, BuilderDefinition, EmbeddedBuilder, embedded};
use super::imagestream::ImageStreamTag;
use super::{Decided, PlanError, PlanRequest, PlanWarning, ValueOrigin};
use crate::project::{ProjectSettings, PythonRange};

/// Why a builder was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BuilderReason {
    /// It is named, or its file or image.
    Named(ValueOrigin),
    /// An image stream of OpenShift is named, and it is the nearest.
    ImageStream { name: String, origin: ValueOrigin },
    /// The project's files ask for its Python.
    Wished(PythonRange),
    /// Nothing asks for another.
    Default,
}

/// A builder, and why it was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChosenBuilder {
    pub definition: BuilderDefinition,
    pub reason: BuilderReason,
}

/// A builder that is asked for by its name, file or image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedBuilder {
    /// As it is written.
    pub name: String,
    pub origin: ValueOrigin,
}

impl NamedBuilder {
    /// That of `--builder`, else the project's own wish.
    pub(crate) fn of(request: &PlanRequest, settings: &ProjectSettings) -> Option<Self> {
        let of_flag = request.builder.as_ref().map(|name| Self {
            name: name.clone(),
            origin: ValueOrigin::Flag { flag: "--builder" },
        });
        of_flag.or_else(|| {
            let builder = settings.builder.as_ref()?;
            Some(Self {
                name: builder.value.clone(),
                origin: ValueOrigin::File(builder.place.clone()),
            })
        })
    }
}

/// Chooses among the builders that come with s2r: the one asked for, else the first that has the Python that the
/// project wishes for. The default is asked first, then the newest.
///
/// # Errors
/// No such builder; none that meets all wishes.
pub(crate) fn choose(
    asked: Option<&NamedBuilder>,
    wishes: &[PythonRange],
) -> Result<(EmbeddedBuilder, BuilderReason), PlanError> {
    if let Some(asked) = asked {
        return named(asked);
    }
    let all = embedded().iter();
    let mut fitting = all.filter(|builder| wishes.iter().all(|wish| wish.admits(builder.python)));
    let builder = fitting.next().ok_or_else(|| PlanError::NoPython {
        wishes: wishes
            .iter()
            .map(|wish| (wish.text.clone(), wish.place.clone()))
            .collect(),
        known: embedded()
            .iter()
            .map(|builder| (builder.name, builder.python))
            .collect(),
    })?;
    // The one that kept it from being the default says the most.
    let strict = wishes
        .iter()
        .find(|wish| !wish.admits(embedded()[0].python));
    let reason = match strict.or(wishes.first()) {
        Some(wish) => BuilderReason::Wished(wish.clone()),
        None => BuilderReason::Default,
    };
    Ok((*builder, reason))
}

fn named(asked: &NamedBuilder) -> Result<(EmbeddedBuilder, BuilderReason), PlanError> {
    let NamedBuilder { name, origin } = asked;
    let origin = origin.clone();
    if let Some(builder) = EmbeddedBuilder::named(name) {
        return Ok((builder, BuilderReason::Named(origin)));
    }
    match name.parse::<ImageStreamTag>() {
        Ok(stream) => {
            let name = name.clone();
            Ok((
                stream.nearest(),
                BuilderReason::ImageStream { name, origin },
            ))
        }
        Err(_) => Err(PlanError::NoBuilder {
            name: name.clone(),
            place: match origin {
                ValueOrigin::File(place) => Some(place),
                _ => None,
            },
            known: embedded().iter().map(|builder| builder.name).collect(),
        }),
    }
}

/// Builder and Python as the plan has them, and what the user should know of the choice.
pub(super) fn decide(
    chosen: &ChosenBuilder,
    wishes: &[PythonRange],
    advice: &mut Vec<PlanWarning>,
) -> (Decided<String>, Decided<String>) {
    let ChosenBuilder { definition, reason } = chosen;
    let remark = definition.remark.as_str();
    let python = definition.python.clone();
    let name = definition.name.clone();
    let decided = match reason {
        BuilderReason::Named(origin) => (
            Decided::new(
                name,
                origin.clone(),
                joined(&[&extends(definition), remark]),
            ),
            Decided::new(python, origin.clone(), "the builder's"),
        ),
        BuilderReason::ImageStream {
            name: stream,
            origin,
        } => {
            advice.push(PlanWarning::new(
                format!(
                    "{stream} is an image stream of OpenShift, and s2r's nearest builder is {name}"
                ),
                match origin {
                    ValueOrigin::File(place) => format!("name it in {place}: {name}"),
                    _ => format!("name it: --builder {name}"),
                },
            ));
            let why = [&format!("the nearest to {stream}"), remark];
            (
                Decided::new(name, origin.clone(), joined(&why)),
                Decided::new(python, origin.clone(), "the builder's"),
            )
        }
        BuilderReason::Wished(wish) => {
            let place = || ValueOrigin::File(wish.place.clone());
            let asks = format!("asks for {}", wish.text);
            (
                Decided::new(name, place(), joined(&[&asks, remark])),
                Decided::new(python, place(), asks),
            )
        }
        BuilderReason::Default => (
            Decided::new(name, ValueOrigin::Default, remark),
            Decided::new(python, ValueOrigin::Default, ""),
        ),
    };
    advise(definition, wishes, advice);
    decided
}

/// What the file of a builder extends.
fn extends(definition: &BuilderDefinition) -> String {
    match definition.extends.as_slice() {
        [] => String::new(),
        all => format!("extends {}", all.join(", which extends ")),
    }
}

/// The parts that say something, with semicolons between.
fn joined(parts: &[&str]) -> String {
    let parts: Vec<&str> = parts
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.join("; ")
}

/// Tells of wishes that the builder does not meet, or not to the third number.
fn advise(definition: &BuilderDefinition, wishes: &[PythonRange], advice: &mut Vec<PlanWarning>) {
    let python = &definition.python;
    for wish in wishes.iter().filter(|wish| !wish.admits(python)) {
        advice.push(PlanWarning::new(
            format!(
                "{} asks for Python {}, and builder {} has {python}",
                wish.place, wish.text, definition.name
            ),
            "name no builder to have one chosen",
        ));
    }
    for wish in wishes.iter().filter(|wish| wish.names_patch) {
        let image = match &definition.base {
            BaseDefinition::Image(image) => Some(image),
            BaseDefinition::Debian(_) => None,
        };
        let release = definition.environment.get("PYTHON_VERSION");
        if image.is_some() && release.is_some_and(|release| wish.text.ends_with(release)) {
            continue;
        }
        advice.push(PlanWarning::new(
            format!(
                "{} asks for Python {}; the image gets the builder's release of {python}",
                wish.place, wish.text
            ),
            if image.is_some() {
                "name two numbers, or an image of that release by --builder"
            } else {
                "name two numbers, since distributions keep one release of each version"
            },
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{planned, with};
    use super::*;
    use crate::report::Explain as _;

    #[test]
    fn wishes_choose_among_builders() {
        for (file, text, python) in [
            ("x", "", "3.13"),
            (".python-version", "3.11\n", "3.11"),
            (".python-version", "3.13.1\n", "3.13"),
            (".python-version", "3.14\n", "3.14"),
            (".python-version", "3.12\n", "3.12"),
            (".python-version", "3.10\n", "3.10"),
            (".python-version", ">=3.12\n", "3.13"),
            ("runtime.txt", "python-3.9.18\n", "3.9"),
            (
                "pyproject.toml",
                "[project]\nname='a'\nversion='1'\nrequires-python = '>=3.10,<3.14'\n",
                "3.13",
            ),
            (
                "pyproject.toml",
                "[project]\nname='a'\nversion='1'\nrequires-python = '>=3.14'\n",
                "3.14",
            ),
            // The newest, whatever it stands on.
            (
                "pyproject.toml",
                "[project]\nname='a'\nversion='1'\nrequires-python = '>=3.9,<3.13'\n",
                "3.12",
            ),
            ("runtime.txt", "python-3.11.x\n", "3.11"),
            ("Pipfile", "[requires]\npython_version = '3.11'\n", "3.11"),
            (
                "pyproject.toml",
                "[tool.x]\n[tool.poetry.dependencies]\npython = '~3.11'\n",
                "3.11",
            ),
            ("setup.cfg", "[options]\npython_requires = <3.12\n", "3.11"),
        ] {
            let files = [("app.py", ""), ("requirements.txt", ""), (file, text)];
            let plan = planned(&files, &["DISABLE_SETUP_PY_PROCESSING=1"]).unwrap();
            assert_eq!(plan.python.value, python, "{file}");
            assert_eq!(plan.builder.value, format!("python-{python}"));
            assert_eq!(plan.python.origin == ValueOrigin::Default, file == "x");
        }
    }

    #[test]
    fn wishes_that_no_builder_meets_are_an_error_that_lists_them() {
        let wish = |text| vec![("app.py", ""), (".python-version", text)];
        let error = planned(&wish("3.8"), &[]).unwrap_err();
        let why = error.explain().why;
        assert!(why.contains(".python-version:1 asks for 3.8"), "{why}");
        assert!(why.contains("python-3.11 (Python 3.11)"), "{why}");
        let mut both = wish("3.13");
        both.push(("runtime.txt", "python-3.11"));
        assert!(matches!(
            planned(&both, &[]),
            Err(PlanError::NoPython { wishes, .. }) if wishes.len() == 2
        ));
    }

    #[test]
    fn the_flag_beats_files() {
        let files = [("app.py", ""), (".python-version", "3.13.2")];
        let plan = with(&files, &[], |request| {
            request.builder = Some("python-3.11".to_owned());
        })
        .unwrap();
        assert_eq!(plan.python.value, "3.11");
        assert_eq!(plan.python.origin, ValueOrigin::Flag { flag: "--builder" });
        assert_eq!(plan.advice.len(), 2, "{:?}", plan.advice);
        let error = with(&files, &[], |request| {
            request.builder = Some("x".to_owned());
        });
        assert!(matches!(error, Err(PlanError::NoBuilder { known, .. }) if known.len() == 6));
    }

    #[test]
    fn what_sets_a_builder_apart_is_told() {
        let reason = |files: &[(&str, &str)], builder: Option<&str>| {
            let plan = with(files, &[], |request| {
                request.builder = builder.map(str::to_owned);
            });
            plan.unwrap().builder.reason
        };
        let wish = |version| [("app.py", ""), (".python-version", version)];
        assert_eq!(
            reason(&wish("3.12"), None),
            "asks for 3.12; upon python:3.12-slim, since Debian has no 3.12"
        );
        assert_eq!(
            reason(&wish("3.14"), None),
            "asks for 3.14; Debian forky is testing, not a release"
        );
        assert_eq!(reason(&wish("3.13"), None), "asks for 3.13");
        assert_eq!(
            reason(&[("app.py", "")], Some("python-3.9")),
            "upon python:3.9-slim, since Debian has no 3.9"
        );
    }

    #[test]
    fn the_wish_that_decides_is_the_reason() {
        let files = [
            ("app.py", ""),
            (".python-version", ">=3.11"),
            ("runtime.txt", "python-3.12"),
        ];
        let plan = planned(&files, &[]).unwrap();
        assert_eq!(plan.python.origin.to_string(), "runtime.txt:1");
    }

    #[test]
    fn an_image_stream_is_the_nearest_builder_with_a_warning() {
        let plan = with(&[("app.py", "")], &[], |request| {
            request.builder = Some("python:3.12-ubi9".to_owned());
        })
        .unwrap();
        assert_eq!(plan.builder.value, "python-3.12");
        assert!(
            plan.builder
                .reason
                .starts_with("the nearest to python:3.12-ubi9; upon")
        );
        let [advice] = plan.advice.as_slice() else {
            panic!("{:?}", plan.advice);
        };
        assert!(advice.text.contains("image stream"), "{advice:?}");
        assert_eq!(advice.hint, "name it: --builder python-3.12");
    }

    #[test]
    fn a_release_that_the_image_has_is_no_matter() {
        let advice = |version| {
            let files = [("app.py", ""), (".python-version", version)];
            planned(&files, &[]).unwrap().advice
        };
        // That of the image in these tests.
        assert!(advice("3.12.9").is_empty());
        let [other] = &advice("3.12.4")[..] else {
            panic!("it is told");
        };
        assert!(other.hint.contains("--builder"), "{other:?}");
    }

    #[test]
    fn the_projects_settings_name_a_builder_and_a_flag_another() {
        let files = [("app.py", ""), ("s2r.yaml", "builder: python-3.11\n")];
        let plan = planned(&files, &[]).unwrap();
        assert_eq!(plan.builder.value, "python-3.11");
        assert_eq!(plan.builder.origin.to_string(), "s2r.yaml:1");
        let plan = with(&files, &[], |request| {
            request.builder = Some("python-3.14".to_owned());
        });
        assert_eq!(plan.unwrap().builder.value, "python-3.14");
        let files = [("app.py", ""), ("s2r.yaml", "\nbuilder: python-2\n")];
        let told = planned(&files, &[]).unwrap_err().explain();
        assert_eq!(told.place, "s2r.yaml:2");
        assert_eq!(told.class, crate::report::ErrorClass::Project);
    }
}
