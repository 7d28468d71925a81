//! The files of the project that say what is wished for, as the resolver reads them.

use std::collections::BTreeMap;

use super::{WheelResolver, where_it_stands, with_built};
use crate::context::settings::NetworkRules;
use crate::packages::python::conditions::ResolutionRules;
use crate::packages::python::locks::{
    ConversionInput, ConvertedLock, LockChoice, LockForm, LockKind, convert, indexes_of,
};
use crate::plan::{DependencySource, PlanError};
use crate::report::BuildError;
use crate::resolve::wheels::{IndexSettings, RequirementsFile, WheelError, WheelLock};
use crate::source::SettingsFile;
use crate::wheel_resolution::locked_wheels::{BuiltWheel, WheelRequest};

impl WheelResolver<'_> {
    /// A file of the source; one that is not there is empty.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, BuildError> {
        let text = self
            .context
            .tree()
            .read_small(path, SettingsFile::ToolLock)?;
        Ok(text.unwrap_or_default())
    }

    /// The same, if there is one.
    pub(super) fn read_if_there(&self, path: &str) -> Result<Option<Vec<u8>>, BuildError> {
        Ok(self
            .context
            .tree()
            .read_small(path, SettingsFile::ToolLock)?)
    }

    /// A file of another tool, by way of the text that the resolver reads.
    pub(super) fn converted(
        &self,
        file: LockKind,
        choice: &LockChoice,
        built: Vec<BuiltWheel>,
        rules: NetworkRules,
    ) -> Result<WheelLock, BuildError> {
        let path = file.path();
        let converted = self.conversion(file, choice)?;
        let result = self.of_conversion(file, &converted, built, rules);
        match result {
            Err(error) => Err(where_it_stands(error, path, &self.read(path)?)),
            done => done,
        }
    }

    /// The wheels of a converted file.
    pub(super) fn of_conversion(
        &self,
        file: LockKind,
        converted: &ConvertedLock,
        built: Vec<BuiltWheel>,
        rules: NetworkRules,
    ) -> Result<WheelLock, BuildError> {
        let path = file.path();
        if converted.form == LockForm::Pylock {
            return self.locked(path, converted.text.as_bytes(), &built, rules);
        }
        let text = converted.text.as_bytes();
        let lines = [RequirementsFile { path, text }];
        if file.is_lock() {
            let lock = match self.requirements(&lines, Vec::new(), rules, 0) {
                Err(error) => self.with_left_out(error, path, &converted.text, rules)?,
                Ok(lock) => lock,
            };
            Ok(with_built(lock, &built))
        } else {
            self.requirements(&lines, built, rules, 0)
        }
    }

    /// What the project's own tool says of where packages come from. Of a lock of s2r, the files are
    /// asked for with the logins that the tool's indexes have.
    ///
    /// # Errors
    /// A table that is not understood.
    pub(crate) fn find_conditions(&self) -> Result<ResolutionRules, BuildError> {
        match &self.context.plan.dependencies.value {
            DependencySource::Converted { file, choice, .. } => {
                Ok(self.conversion(*file, choice)?.conditions)
            }
            DependencySource::Pylock { .. } => {
                let file = LockKind::Pyproject.path();
                let text = self.read(file)?;
                Ok(ResolutionRules {
                    file,
                    indexes: indexes_of(&String::from_utf8_lossy(&text)),
                    ..ResolutionRules::default()
                })
            }
            DependencySource::Requirements { .. } | DependencySource::None => {
                Ok(ResolutionRules::default())
            }
        }
    }

    /// A file of another tool as the text that the resolver reads.
    pub(super) fn conversion(
        &self,
        file: LockKind,
        choice: &LockChoice,
    ) -> Result<ConvertedLock, BuildError> {
        let text = self.read(file.path())?;
        let made_from = file
            .read_with()
            .map(|path| self.read_if_there(path))
            .transpose()?
            .flatten();
        let markers = self
            .target
            .markers()
            .map_err(|error| WheelError::Target(error.to_string()))?;
        Ok(convert(
            file,
            &ConversionInput {
                text: &String::from_utf8_lossy(&text),
                made_from: made_from.as_deref().map(String::from_utf8_lossy).as_deref(),
                choice,
                beside: &|path| {
                    let text = self.read_if_there(path).ok().flatten()?;
                    Some(String::from_utf8_lossy(&text).into_owned())
                },
                markers: &markers,
                as_requirements: false,
            },
        )
        .map_err(PlanError::from)?)
    }

    /// Packages that a build needs come from where the requirements say that packages come from, as
    /// with pip: behind a mirror there is no other place.
    pub(super) fn environment_of_builds(&self) -> Result<BTreeMap<String, String>, BuildError> {
        let mut environment = self.environment_of_requirements()?;
        IndexSettings::lift_rules_of_image(&mut environment);
        Ok(environment)
    }

    /// The variables, with those of indexes as the requirements have them.
    pub(super) fn environment_of_requirements(
        &self,
    ) -> Result<BTreeMap<String, String>, BuildError> {
        let (path, text) = match &self.context.plan.dependencies.value {
            DependencySource::Requirements { path } => (path.as_str(), self.read(path)?),
            DependencySource::Converted { file, choice, .. } => {
                let converted = self.conversion(*file, choice)?;
                let options = converted.text.lines().filter(|line| line.starts_with("--"));
                let options: Vec<&str> = options.collect();
                (file.path(), options.join("\n").into_bytes())
            }
            DependencySource::Pylock { .. } | DependencySource::None => ("", Vec::new()),
        };
        let file = RequirementsFile { path, text: &text };
        let wanted = WheelRequest::Requirements(&[file]);
        let rules = self.context.settings.rules;
        self.with(wanted, &[], rules, |wheels| {
            wheels.index_variables(self.target)
        })
    }
}
