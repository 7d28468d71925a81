//! The folder that a Django project lies in, where that is not the source's root.

use super::code::ENVIRONMENT;
use super::{Decided, PlanError, PlanWarning, ValueOrigin};
use crate::plan::Variables;
use crate::plan::dependencies;
use crate::plan::dependencies::source::{self, DependencySource};
use crate::plan::variables;
use crate::project::{ProjectFacts, SourcePlace};

/// Files of the root from which something starts.
const STARTING: [&str; 6] = [
    ".s2i/bin/run",
    "app.py",
    "app.sh",
    "gunicorn.conf.py",
    "manage.py",
    "wsgi.py",
];
/// Variables that say what starts.
const SAYING: [&str; 4] = ["APP_HOME", "APP_SCRIPT", "APP_FILE", "APP_MODULE"];

/// `APP_HOME`, where nobody says it and nothing starts from the root: the one folder with a
/// `manage.py` of Django's.
///
/// # Errors
/// A file cannot be read.
pub(in crate::plan) fn infer_home(
    facts: &ProjectFacts,
    variables: &Variables,
    dependencies: &DependencySource,
    advice: &mut Vec<PlanWarning>,
) -> Result<Option<Decided<String>>, PlanError> {
    let has_web = facts.processes.iter().any(|one| one.name == "web");
    let is_chosen = has_web || SAYING.iter().any(|name| variables.is_on(name));
    let member = dependencies::member_folder(facts, variables)?;
    if let Some(folder) = member.filter(|folder| !is_chosen && folder != ".") {
        advice.push(PlanWarning::new(
            format!("S2R_PACKAGE names the member in {folder}, so APP_HOME={folder} is set"),
            format!("write that line into {ENVIRONMENT} to keep it whatever else is added"),
        ));
        let origin = ValueOrigin::Environment {
            variable: variables::MEMBER.to_owned(),
        };
        return Ok(Some(Decided::new(folder, origin, "")));
    }
    let is_said = is_chosen || STARTING.iter().any(|path| facts.has(path));
    if is_said || source::django(facts, dependencies).is_none() {
        return Ok(None);
    }
    let mut found = Vec::new();
    for folder in facts.folders() {
        let path = format!("{folder}/manage.py");
        let module = facts.module(&path)?;
        if module.is_some_and(|module| module.uses("django")) {
            found.push((folder, path));
        }
    }
    let [(folder, path)] = found.as_slice() else {
        return Ok(None);
    };
    advice.push(PlanWarning::new(
        format!("{path}: the Django project lies in {folder}, so APP_HOME={folder} is set"),
        format!("write that line into {ENVIRONMENT} to keep it whatever else is added"),
    ));
    let origin = ValueOrigin::File(SourcePlace::file(path));
    Ok(Some(Decided::new(folder.clone(), origin, "")))
}
