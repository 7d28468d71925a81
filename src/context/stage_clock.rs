//! Times the stages of a run and tells of them.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::{BuildError, BuildStage, Event, Report, ThreadError};

/// The clock of one run.
pub(crate) struct StageClock<'a> {
    report: &'a dyn Report,
    times: Mutex<Vec<(BuildStage, Duration)>>,
}

impl<'a> StageClock<'a> {
    pub(crate) fn new(report: &'a dyn Report) -> Self {
        Self {
            report,
            times: Mutex::default(),
        }
    }

    /// Runs a stage; `describe` says what came of it. A stage that is run several times, once a
    /// platform, is timed as one.
    pub(crate) fn run<T>(
        &self,
        stage: BuildStage,
        work: impl FnOnce() -> Result<T, BuildError>,
        describe: impl FnOnce(&T) -> String,
    ) -> Result<T, BuildError> {
        self.report.event(Event::StageStarted { stage });
        let start = Instant::now();
        let result = work()?;
        let took = start.elapsed();
        self.report.event(Event::StageFinished {
            stage,
            detail: describe(&result),
            took,
        });
        let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
        match times.iter_mut().find(|(other, _)| *other == stage) {
            Some((_, total)) => *total += took,
            None => times.push((stage, took)),
        }
        Ok(result)
    }

    /// The stages so far, in the order in which they ended.
    pub(crate) fn times(&self) -> Vec<(BuildStage, Duration)> {
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// What a helper thread came back with. Its panic would be a fault of s2r; it is passed on as one.
pub(crate) fn join<T>(handle: std::thread::ScopedJoinHandle<'_, T>) -> Result<T, BuildError> {
    handle.join().map_err(|_| ThreadError::Panicked.into())
}
