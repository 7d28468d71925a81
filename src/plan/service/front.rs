//! The server in front of the application, and what keeps both running: `front`, `static` and `restart` of the
//! project's settings.

use super::nginx::{self, UpstreamProtocol};
use crate::plan::builder::{BaseDefinition, BuilderDefinition};
use crate::plan::start::{ServerSettings, StartNotes};
use crate::plan::{Decided, PlanError, PlanWarning, StartError, ValueOrigin};
use crate::project::ProjectFacts;
use crate::project::settings::FrontServer;

/// What is decided about a front server.
pub(in crate::plan) struct FrontInputs<'a> {
    pub facts: &'a ProjectFacts,
    pub builder: &'a BuilderDefinition,
    /// Whether Django's static files are collected at build time.
    pub collects: bool,
    /// Whether the application is served by uWSGI, which has a protocol of its own.
    pub is_uwsgi: bool,
}

impl FrontInputs<'_> {
    /// Adds what the container notes, and the Debian packages that it needs.
    ///
    /// # Errors
    /// A folder of static files is not there.
    pub(in crate::plan) fn decide(
        &self,
        (notes, packages): (&mut StartNotes, &mut Vec<Decided<String>>),
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        let settings = &self.facts.settings;
        let restarts = settings.restart.as_ref().is_some_and(|one| one.value);
        let restart = if restarts { " restart" } else { "" };
        let Some(front) = &settings.front else {
            if let Some(first) = settings.static_folders.first() {
                advice.push(PlanWarning::new(
                    format!(
                        "{}: static is not used, since no front server sends {}",
                        first.folder.place, first.url
                    ),
                    "write `front: nginx`, or delete the line",
                ));
            }
            notes.supervise = restarts.then(|| format!("-{restart}"));
            return Ok(());
        };
        let FrontServer::Nginx = front.value;
        self.check_folders(advice)?;
        let is_own = self.facts.has(nginx::SETTINGS);
        notes.supervise = Some(nginx::settings_path(is_own) + restart);
        if !is_own {
            let protocol = if self.is_uwsgi {
                UpstreamProtocol::Uwsgi
            } else {
                UpstreamProtocol::Http
            };
            notes.settings.push(ServerSettings {
                name: nginx::SETTINGS,
                path: nginx::SETTINGS.to_owned(),
                text: nginx::settings(&settings.static_folders, protocol),
            });
        }
        let name = nginx::DEBIAN_PACKAGE;
        match &self.builder.base {
            BaseDefinition::Debian(_) => packages.push(Decided::new(
                name.to_owned(),
                ValueOrigin::File(front.place.clone()),
                "for front: nginx",
            )),
            BaseDefinition::Image(image) => advice.push(PlanWarning::new(
                format!(
                    "{}: {name} has to be in {image}, to which no Debian packages are added",
                    front.place
                ),
                "take an image that has it, or a builder of packages; `s2r builders` lists them",
            )),
        }
        Ok(())
    }

    /// Whether the folders are there; those that a step makes show only when it has run.
    fn check_folders(&self, advice: &mut Vec<PlanWarning>) -> Result<(), PlanError> {
        let settings = &self.facts.settings;
        for one in &settings.static_folders {
            let folder = &one.folder;
            if self.facts.is_directory(&folder.value) {
                continue;
            }
            if self.collects || !settings.build.is_empty() {
                advice.push(PlanWarning::new(
                    format!(
                        "{}: there is no folder {} in the source; a step of the build has to make it",
                        folder.place, folder.value
                    ),
                    "",
                ));
                continue;
            }
            return Err(StartError::NoStaticFolder {
                place: folder.place.clone(),
                folder: folder.value.clone(),
            }
            .into());
        }
        Ok(())
    }
}
