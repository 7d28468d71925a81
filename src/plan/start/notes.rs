//! What is noted in the image for `run`, and for the servers that it starts.

use std::collections::BTreeMap;

use serde::Serialize;

use super::StartStrategy;
use crate::plan::Variables;

/// A file of settings that s2r writes for a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ServerSettings {
    /// The file's name, in the notes' folder of the image and in a project that has one of its own.
    pub name: &'static str,
    /// Where a project has its own, from the source's root.
    pub path: String,
    pub text: String,
}

/// What is noted for `run`, which takes it before the contract's defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct StartNotes {
    /// The module for gunicorn, or the value of `APP_MODULE` that the command stands for.
    pub module: Option<String>,
    /// A command for a shell.
    pub command: Option<String>,
    /// The process types of the project, a line each: name, blank, command. Absent where there is
    /// none but the one that is started anyhow.
    pub processes: Option<String>,
    /// The command that has to succeed before the server starts.
    pub release: Option<String>,
    /// Whether the project's settings choose the way, so that it goes before the contract's order.
    pub is_chosen: bool,
    /// Arguments for the script that keeps the application and a front server running; without it, `run` becomes
    /// the application.
    pub supervise: Option<String>,
    /// Settings that s2r writes for servers, by the files' names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<ServerSettings>,
}

impl StartNotes {
    /// The files that hold them, by name, each without the last end of line.
    pub(crate) fn files(&self, setup_name: Option<&str>) -> BTreeMap<&'static str, String> {
        let mut files = BTreeMap::new();
        let lines = [
            ("chosen", self.is_chosen.then_some("yes")),
            ("module", self.module.as_deref()),
            ("processes", self.processes.as_deref()),
            ("release", self.release.as_deref()),
            ("setup-name", setup_name),
            ("supervise", self.supervise.as_deref()),
            ("web", self.command.as_deref()),
        ];
        for (name, line) in lines {
            if let Some(line) = line {
                files.insert(name, line.to_owned());
            }
        }
        for settings in &self.settings {
            files.insert(settings.name, settings.text.trim_end().to_owned());
        }
        files
    }

    /// Notes a decision that `run` does not come to by itself.
    pub(super) fn of(strategy: &StartStrategy, variables: &Variables) -> Self {
        let command = |command: &str| Self {
            module: variables.get("APP_MODULE").map(str::to_owned),
            command: Some(command.to_owned()),
            ..Self::default()
        };
        match strategy {
            StartStrategy::Process { command: text }
            | StartStrategy::Server { command: text, .. } => command(text),
            StartStrategy::DjangoServer => {
                command("python ./manage.py runserver \"0.0.0.0:$PORT\"")
            }
            StartStrategy::Gunicorn { module } => Self {
                module: Some(module.clone()),
                ..Self::default()
            },
            StartStrategy::OwnRun { .. }
            | StartStrategy::GunicornConf
            | StartStrategy::AppScript { .. }
            | StartStrategy::AppFile { .. } => Self::default(),
        }
    }
}
