//! Servers with several workers for what keeps a client at one: Socket.IO asks for the worker that knows the
//! session, and neither gunicorn nor uvicorn sends a client there.

use super::code::ENVIRONMENT;
use super::start_checks::SourceView;
use super::{PlanError, PlanWarning, StartStrategy};

/// Distributions that keep sessions in a worker.
const KEEPERS: [&str; 2] = ["flask-socketio", "python-socketio"];
/// Servers that start as many workers as `WEB_CONCURRENCY` says.
const SERVERS: [&str; 4] = ["gunicorn", "uvicorn", "granian", "hypercorn"];
/// How a server is told to have one.
const ONE_WORKER: [&str; 4] = ["-w 1", "-w1", "--workers 1", "--workers=1"];

impl SourceView<'_> {
    /// Advises one worker where several would lose clients.
    ///
    /// # Errors
    /// A file cannot be read.
    pub(super) fn advise_on_sessions(
        &self,
        strategy: &StartStrategy,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<(), PlanError> {
        let Some(keeper) = KEEPERS.into_iter().find(|name| self.is_named(name)) else {
            return Ok(());
        };
        let command = match strategy {
            StartStrategy::Gunicorn { .. } | StartStrategy::GunicornConf => "gunicorn",
            StartStrategy::Process { command } | StartStrategy::Server { command, .. } => command,
            StartStrategy::OwnRun { .. }
            | StartStrategy::AppScript { .. }
            | StartStrategy::AppFile { .. }
            | StartStrategy::DjangoServer => return Ok(()),
        };
        let mut words = command.split_whitespace();
        let Some(server) = words.find_map(|word| SERVERS.into_iter().find(|name| word == *name))
        else {
            return Ok(());
        };
        let given = self.variables.get("GUNICORN_CMD_ARGS").unwrap_or_default();
        let says_one = |text: &str| {
            ONE_WORKER
                .iter()
                .any(|one| format!("{text} ").contains(&format!("{one} ")))
        };
        let is_one = self.variables.get("WEB_CONCURRENCY") == Some("1")
            || says_one(command)
            || (server == "gunicorn" && (says_one(given) || self.has_own_workers()?));
        if !is_one {
            advice.push(PlanWarning::new(
                format!("{keeper} keeps a client at one worker, and {server} starts several: clients would lose their sessions"),
                format!("add the line `WEB_CONCURRENCY=1` to {ENVIRONMENT}; more containers behind a balancer with sticky sessions serve more clients"),
            ));
        }
        Ok(())
    }

    /// Whether gunicorn's settings say how many workers there are.
    fn has_own_workers(&self) -> Result<bool, PlanError> {
        let settings = self.gunicorn_settings()?;
        Ok(settings.is_some_and(|module| module.names.contains_key("workers")))
    }
}
