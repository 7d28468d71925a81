//! `s2r eject`: writes the settings that s2r makes for servers into the project, which owns them from then on.

use std::path::PathBuf;

use super::lock::write;
use super::plan;
use crate::context::settings::Settings;
use crate::plan::PlanRequest;
use crate::plan::service::OWN_SETTINGS;
use crate::report::{BuildError, ErrorClass, Explain, Explanation, Report, SilentReport};

/// Why nothing is written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EjectError {
    #[error("{} is there already", path.display())]
    Exists { path: PathBuf, folder: PathBuf },
    #[error("no settings of servers are written for this project")]
    Nothing { folder: PathBuf },
}

impl Explain for EjectError {
    fn explain(&self) -> Explanation {
        let (place, why, next) = match self {
            Self::Exists { path, folder } => (
                path,
                "it is the project's own, and is used instead of what s2r would write",
                format!(
                    "Delete it, or replace it: s2r eject {} --force",
                    folder.display()
                ),
            ),
            Self::Nothing { folder } => (
                folder,
                "s2r writes them for `server: uwsgi` and for `front: nginx` in s2r.yaml",
                "write one of these lines into s2r.yaml; there is nothing else to own".to_owned(),
            ),
        };
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place: place.display().to_string(),
            why: why.to_owned(),
            next,
        }
    }
}

/// Writes the files, all or none; what was written.
///
/// # Errors
/// What keeps the project from being planned; nothing to write; a file that is there, unless it is to be replaced; a
/// folder that cannot be written to.
pub(crate) fn eject(
    request: &PlanRequest,
    replaces: bool,
    settings: &Settings,
    report: &dyn Report,
) -> Result<Vec<PathBuf>, BuildError> {
    crate::context::fetch_source::check_is_folder(request, settings)?;
    let mut project = plan::project(request, settings, report)?;
    let root = project.tree.root().to_owned();
    plan::resolve_builder(&mut project, request, settings, report)?;
    // Those of the project's own would keep s2r from writing any. They may lie in the application's own folder.
    let planned = plan::make_plan(&project, request, &SilentReport)?;
    let home = planned.environment.get("APP_HOME").unwrap_or_default();
    let home = home.trim_matches('/').trim_start_matches("./");
    let own: Vec<String> = OWN_SETTINGS
        .iter()
        .flat_map(|name| [(*name).to_owned(), format!("{home}/{name}")])
        .collect();
    let own: Vec<&str> = own.iter().map(String::as_str).collect();
    project.forget(&own)?;
    let planned = plan::make_plan(&project, request, &SilentReport)?;
    let files = &planned.start.notes.settings;
    if files.is_empty() {
        return Err(EjectError::Nothing { folder: root }.into());
    }
    for file in files {
        let path = root.join(&file.path);
        if !replaces && path.exists() {
            let folder = root.clone();
            return Err(EjectError::Exists { path, folder }.into());
        }
    }
    let written = files.iter().map(|file| {
        let path = root.join(&file.path);
        let folder = path.parent().unwrap_or(&root);
        write(folder, file.name, &file.text)
    });
    written.collect()
}

#[cfg(test)]
crate::report::samples! {
    enum EjectError {
        Exists { path: "app/nginx.conf".into(), folder: "app".into() },
        Nothing { folder: "app".into() },
    }
}
