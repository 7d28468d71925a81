//! Which builder, and so which Python.

use super::builder::BuilderDefinition;
use super::{Decided, PlanError, PlanInputs, PlanWarning, ValueOrigin};
use crate::project::PythonRange;

/// A builder, its name and its Python.
type ChosenBuilder<'a> = (&'a BuilderDefinition, Decided<String>, Decided<String>);

/// Chooses the builder: the one asked for, else the first that has the wished for Python.
pub(super) fn choose<'a>(
    inputs: &PlanInputs<'a>,
    advice: &mut Vec<PlanWarning>,
) -> Result<ChosenBuilder<'a>, PlanError> {
    let wishes = &inputs.facts.python;
    let chosen = match asked_for(inputs)? {
        Some(definition) => {
            advise_against(definition, wishes, advice);
            let flag = || ValueOrigin::Flag { flag: "--builder" };
            (
                definition,
                Decided::new(definition.name.clone(), flag(), ""),
                Decided::new(definition.python.clone(), flag(), "the builder's"),
            )
        }
        None => by_wishes(inputs)?,
    };
    for wish in wishes.iter().filter(|wish| wish.names_patch) {
        advice.push(PlanWarning::new(
            format!(
                "{} asks for Python {}; the image gets the builder's release of {}",
                wish.place, wish.text, chosen.0.python
            ),
            "name two numbers, since distributions keep one release of each version",
        ));
    }
    Ok(chosen)
}

fn asked_for<'a>(inputs: &PlanInputs<'a>) -> Result<Option<&'a BuilderDefinition>, PlanError> {
    if inputs.own_builder.is_some() {
        return Ok(inputs.own_builder);
    }
    let Some(name) = &inputs.request.builder else {
        return Ok(None);
    };
    let found = inputs.builders.iter().find(|builder| builder.name == *name);
    found.map(Some).ok_or_else(|| PlanError::NoBuilder {
        name: name.clone(),
        known: names(inputs),
    })
}

fn by_wishes<'a>(inputs: &PlanInputs<'a>) -> Result<ChosenBuilder<'a>, PlanError> {
    let wishes = &inputs.facts.python;
    let definition = inputs
        .builders
        .iter()
        .find(|builder| wishes.iter().all(|wish| wish.admits(&builder.python)))
        .ok_or_else(|| PlanError::NoPython {
            wishes: wishes
                .iter()
                .map(|wish| (wish.text.clone(), wish.place.clone()))
                .collect(),
            known: inputs
                .builders
                .iter()
                .map(|builder| (builder.name.clone(), builder.python.clone()))
                .collect(),
        })?;
    let decided = |value: &String| match wishes.first() {
        Some(wish) => Decided::new(
            value.clone(),
            ValueOrigin::File(wish.place.clone()),
            format!("asks for {}", wish.text),
        ),
        None => Decided::new(value.clone(), ValueOrigin::Default, ""),
    };
    Ok((
        definition,
        decided(&definition.name),
        decided(&definition.python),
    ))
}

fn advise_against(
    definition: &BuilderDefinition,
    wishes: &[PythonRange],
    advice: &mut Vec<PlanWarning>,
) {
    for wish in wishes
        .iter()
        .filter(|wish| !wish.admits(&definition.python))
    {
        advice.push(PlanWarning::new(
            format!(
                "{} asks for Python {}, and builder {} has {}",
                wish.place, wish.text, definition.name, definition.python
            ),
            "leave --builder out to have one chosen",
        ));
    }
}

fn names(inputs: &PlanInputs<'_>) -> Vec<String> {
    let names = inputs.builders.iter().map(|builder| builder.name.clone());
    names.collect()
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
        assert!(matches!(error, Err(PlanError::NoBuilder { known, .. }) if known.len() == 2));
    }
}
