//! What makes byte code for an image: which interpreter is run, and where it comes from.

use std::path::PathBuf;

use super::{BytecodeCompiler, CompileError, FindFolders, LayerFolders};
use crate::base::image_base::Base;
use crate::base::resolved_packages;
use crate::base::resolved_packages::are_listed;
use crate::bytecode;
use crate::context::build_context::Context;
use crate::layers::deb::BasePart;
use crate::net::http::HttpError;
use crate::oci::Architecture;
use crate::packages::debian::DebianBase;
use crate::plan::BytecodeScope;
use crate::plan::builder::{BaseDefinition, BuilderDefinition, embedded};
use crate::report::BuildError;

impl Context<'_> {
    /// What makes byte code for an image, if some is wanted. It runs nothing until it is asked.
    ///
    /// The interpreter of a base that is an image is not run: it would be a stranger's program on
    /// this machine. Byte code is the same for all releases of a version, so a builder's is lent. Which
    /// packages it is taken from, `base::trusted_layers` says.
    pub(crate) fn compiler<'s>(
        &'s self,
        base: &'s Base<'_>,
    ) -> Result<Option<BytecodeCompiler<'s>>, BuildError> {
        if self.plan.bytecode.value == BytecodeScope::None {
            return Ok(None);
        }
        let (packages, folders) = match base {
            Base::Packages {
                debs,
                options,
                base,
            } => {
                let of_library = [BasePart::Interpreter, BasePart::Python];
                let library: FindFolders<'s> = Box::new(move || {
                    self.folders_of_parts(&debs.base, (options, base), &of_library)
                });
                let folders = self.machine_folders(base, library);
                (debs.base.clone(), folders)
            }
            Base::Image(_) => {
                let lender = self.lender()?;
                let host = Architecture::host().ok_or_else(|| self.no_interpreter())?;
                let packages =
                    resolved_packages::packages(&lender, host, self.base_rules(), &self.fetcher())?;
                // What such a base has stays as it is.
                let library = Box::new(|| Ok(Vec::new()));
                (packages, self.machine_folders(&lender, library))
            }
        };
        Ok(Some(BytecodeCompiler::new(
            (self.store, self.report),
            self.settings.workers,
            (&self.builder.python, bytecode::compiler_key(&packages)),
            folders,
        )))
    }

    /// Where a compiler finds this machine's interpreter: the image may be for another kind or stand on
    /// other things, for byte code is the same everywhere, and an interpreter is not.
    fn machine_folders<'s>(
        &'s self,
        debian: &DebianBase,
        library: FindFolders<'s>,
    ) -> LayerFolders<'s> {
        let parts = |parts: &'static [BasePart]| -> FindFolders<'s> {
            let debian = debian.clone();
            Box::new(move || self.executable_parts(&debian, parts))
        };
        LayerFolders {
            interpreter: parts(&[BasePart::Interpreter]),
            machine: parts(&BasePart::OF_BASE),
            library,
        }
    }

    /// Folders of parts of a base as they are for this machine, to execute what is in them.
    ///
    /// # Errors
    /// A suite that cannot be asked or trusted; packages that are not to be had.
    pub(crate) fn executable_parts(
        &self,
        debian: &DebianBase,
        parts: &[BasePart],
    ) -> Result<Vec<PathBuf>, BuildError> {
        let host = Architecture::host().ok_or_else(|| self.no_interpreter())?;
        let options = self.base_options(debian, host);
        let locked = self.locked_base(host)?;
        let locked = locked.filter(|packages| are_listed(parts, packages, self.store));
        let known =
            resolved_packages::known(debian, host, self.store).map(|(_, packages)| packages);
        for packages in locked.into_iter().chain(known) {
            match self.folders_of_parts(&packages, (&options, debian), parts) {
                // What is old may be gone from its mirror; then the suite's present packages do.
                Err(error) if error.find::<HttpError>().is_some() => {}
                found => return found,
            }
        }
        // Nothing of the image is resolved by this, so --locked has nothing against it.
        let mut rules = self.base_rules();
        rules.rules.locked = false;
        let packages = resolved_packages::packages(debian, host, rules, &self.fetcher())?;
        self.folders_of_parts(&packages, (&options, debian), parts)
    }

    /// The packages of a builder with the same Python.
    fn lender(&self) -> Result<DebianBase, BuildError> {
        let mut builders = embedded().iter();
        let builder = builders.find(|builder| builder.python == self.builder.python);
        match builder.and_then(|builder| builder.definition()) {
            Some(BuilderDefinition {
                base: BaseDefinition::Debian(base),
                ..
            }) => Ok(base),
            _ => Err(self.no_interpreter()),
        }
    }

    fn no_interpreter(&self) -> BuildError {
        CompileError::NoInterpreter {
            python: self.builder.python.clone(),
        }
        .into()
    }
}
