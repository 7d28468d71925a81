//! What the container would look for in vain: modules that lie beside the application and not where Python
//! looks, and programs of other languages that a `Procfile` starts.

use super::code::ENVIRONMENT;
use super::start_checks::SourceView;
use super::{PlanError, PlanWarning, StartStrategy};
use crate::plan::{Decided, ValueOrigin};
use crate::project::ProcessType;

/// Modules of Python's own that people also call files of theirs. An import means Python's.
const STANDARD: [&str; 30] = [
    "ast",
    "asyncio",
    "calendar",
    "code",
    "codecs",
    "collections",
    "copy",
    "csv",
    "datetime",
    "email",
    "enum",
    "functools",
    "html",
    "http",
    "inspect",
    "io",
    "json",
    "logging",
    "math",
    "platform",
    "queue",
    "random",
    "secrets",
    "signal",
    "statistics",
    "string",
    "time",
    "token",
    "types",
    "uuid",
];
/// Programs of other languages.
const FOREIGN: [&str; 14] = [
    "bun", "bundle", "cargo", "deno", "dotnet", "go", "java", "node", "npm", "npx", "php", "pnpm",
    "ruby", "yarn",
];

impl SourceView<'_> {
    /// Advises on what the way that is taken needs and will not find.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn advise_on_missing(
        &self,
        strategy: &Decided<StartStrategy>,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        match (&strategy.value, &strategy.origin) {
            (StartStrategy::Process { .. }, _) => {
                let web = self.facts.processes.iter().find(|one| one.name == "web");
                advice.extend(web.and_then(|web| self.foreign_program(web)));
            }
            (
                StartStrategy::Server { .. } | StartStrategy::Gunicorn { .. },
                ValueOrigin::File(place),
            ) => advice.extend(self.modules_beside(&place.path)?),
            _ => {}
        }
        Ok(())
    }

    /// Modules that a file imports by names that only its own folder has.
    fn modules_beside(&self, path: &str) -> Result<Option<PlanWarning>, PlanError> {
        let Some((folder, _)) = path.rsplit_once('/') else {
            return Ok(None);
        };
        let Some(module) = self.facts.module(path)? else {
            return Ok(None);
        };
        let home = self.path("").unwrap_or_default();
        let is_in = |folder: &str, name: &str| {
            let folder = folder.trim_start_matches("./").trim_end_matches('/');
            let file = format!("{folder}/{name}.py");
            self.facts.has(file.trim_start_matches('/'))
                || self.facts.folders_in(folder).iter().any(|one| one == name)
        };
        let beside = module.imports.iter().find_map(|import| {
            let name = import.split('.').next().filter(|name| !name.is_empty())?;
            let is_another = STANDARD.contains(&name) || self.is_named(&name.replace('_', "-"));
            (!is_another && is_in(folder, name) && !is_in(&home, name)).then_some(name)
        });
        Ok(beside.map(|name| {
            PlanWarning::new(
                format!("{path} imports {name}, which lies beside it and not where Python looks: the container may stop at that"),
                format!("the line `APP_HOME={folder}` in {ENVIRONMENT} starts it from its own folder"),
            )
        }))
    }

    /// The program of a process type, where the image will not have it.
    fn foreign_program(&self, process: &ProcessType) -> Option<PlanWarning> {
        let mut words = process.command.split_whitespace();
        let program = words.find(|word| *word != "exec" && !word.contains('='))?;
        let is_asked_for = self
            .facts
            .packages
            .iter()
            .any(|one| one.name == program || (one.name == "nodejs" && program == "node"));
        (FOREIGN.contains(&program) && !is_asked_for).then(|| {
            PlanWarning::new(
                format!(
                    "{}: {program} is no part of the image, so the container stops at once",
                    process.place
                ),
                format!("let the web line start the Python application, or name the Debian package of {program} in Aptfile"),
            )
        })
    }
}
