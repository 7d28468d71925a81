//! What code of a project is built upon, made when something needs it and not before: most builds
//! run nothing and never ask.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::toolchain::Toolchain;
use crate::base::image_base::Base;
use crate::context::build_context::Context;
use crate::context::cross_platform;
use crate::layer_cache::BuiltLayer;
use crate::oci::Architecture;
use crate::packages::debian::DebArtefact;
use crate::report::{BuildError, ThreadError};

/// The ground of one platform.
pub(crate) struct BuildRoot<'a> {
    context: &'a Context<'a>,
    architecture: Architecture,
    base: &'a Base<'a>,
    /// Whether nobody else makes the base.
    is_alone: bool,
    /// The base's layers, once they are there; `None` in it if they will not be.
    base_layers: OnceLock<Option<Vec<BuiltLayer>>>,
    plain: OnceLock<Toolchain>,
    /// With the builder's build packages and more of them, by those.
    full: Mutex<BTreeMap<Vec<String>, Arc<Toolchain>>>,
}

impl<'a> BuildRoot<'a> {
    pub(crate) fn new(
        context: &'a Context<'a>,
        architecture: Architecture,
        base: &'a Base<'a>,
    ) -> Self {
        Self {
            context,
            architecture,
            base,
            is_alone: false,
            base_layers: OnceLock::new(),
            plain: OnceLock::new(),
            full: Mutex::default(),
        }
    }

    /// The same, for a command that makes no image and so no base.
    pub(crate) fn alone(self) -> Self {
        Self {
            is_alone: true,
            ..self
        }
    }

    /// Says that the base is there, or that it will not be.
    pub(crate) fn stand_on(&self, layers: Option<&[BuiltLayer]>) {
        let _ = self.base_layers.set(layers.map(<[BuiltLayer]>::to_vec));
    }

    /// The builder's file system, without compilers; waits for the base.
    ///
    /// # Errors
    /// The base failed; another machine's architecture.
    pub(crate) fn plain(&self) -> Result<&Toolchain, BuildError> {
        if let Some(toolchain) = self.plain.get() {
            return Ok(toolchain);
        }
        let made = Toolchain::plain(self.context, self.base, self.base_layers()?);
        Ok(self.plain.get_or_init(|| made))
    }

    /// The builder's file system with its build packages and more of them; waits for the base.
    ///
    /// # Errors
    /// The base failed; build packages that cannot be had; another machine's architecture.
    pub(crate) fn full(&self, more: &[String]) -> Result<Arc<Toolchain>, BuildError> {
        let made = || self.full.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(toolchain) = made().get(more) {
            return Ok(Arc::clone(toolchain));
        }
        let toolchain = Toolchain::full(self.context, self.base, self.base_layers()?, more)?;
        let mut made = made();
        let toolchain = made
            .entry(more.to_vec())
            .or_insert_with(|| Arc::new(toolchain));
        Ok(Arc::clone(toolchain))
    }

    /// The architecture, where it is not this machine's: then nothing can be built upon it.
    pub(crate) fn foreign(&self) -> Option<Architecture> {
        Some(self.architecture).filter(|one| cross_platform::is_foreign(*one))
    }

    fn base_layers(&self) -> Result<&[BuiltLayer], BuildError> {
        if let Some(architecture) = self.foreign() {
            return Err(cross_platform::refused(architecture, Vec::new()));
        }
        if self.is_alone {
            self.make_base()?;
        }
        match self.base_layers.wait() {
            Some(layers) => Ok(layers),
            None => Err(ThreadError::Stopped.into()),
        }
    }

    /// What was added to the base for building, if anything was built; sorted.
    pub(crate) fn build_packages(&self) -> Vec<DebArtefact> {
        let made = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let all = made
            .values()
            .flat_map(|one| one.packages.iter().chain(&one.headers));
        let mut all: Vec<DebArtefact> = all.cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// Makes the base itself.
    fn make_base(&self) -> Result<(), BuildError> {
        if self.base_layers.get().is_none() {
            let made = self.context.ensure_base_layers(self.base)?;
            self.stand_on(Some(&made.layers));
        }
        Ok(())
    }
}
