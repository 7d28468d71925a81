//! Debian packages that come by themselves: those of the libraries that a wheel built here links, and those that a
//! distribution is known to load when it runs.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::describe;
use crate::base::image_base::Base;
use crate::context::build_context::Context;
use crate::context::stage_clock::StageClock;
use crate::layer_cache::{BuiltLayer, LayerBatch};
use crate::packages::python::WheelFileName;
use crate::plan::system_packages::{self, run_packages_of};
use crate::report::{BuildError, BuildStage, Event};
use crate::resolve::wheels::WheelLock;
use crate::source_builds::build_wheel::packages_of_record;

impl Context<'_> {
    /// The base with what the wheels need of the system; `None` where it has that already.
    ///
    /// # Errors
    /// Packages that cannot be resolved, or that the lock does not pin.
    pub(super) fn base_for<'b>(
        &self,
        base: &Base<'b>,
        lock: &WheelLock,
    ) -> Result<Option<Base<'b>>, BuildError> {
        let needed = self.needed_packages(lock);
        if let Base::Image(image) = base {
            self.tell_not_added(&image.reference.to_string(), &needed);
            return Ok(None);
        }
        let complete = self.with_implied(base, needed.keys().cloned())?;
        if let Some(complete) = &complete
            && self.base_lock()?.is_none()
        {
            for package in &complete.debs().implied.names {
                let reason = needed.get(package).map_or("", String::as_str);
                self.report.event(Event::Warning {
                    text: format!("{package} is added: {reason}"),
                    hint: format!(
                        "`s2r lock` pins it; the line `{}=` in .s2i/environment keeps it out",
                        system_packages::SWITCH
                    ),
                });
            }
        }
        Ok(complete)
    }

    /// Tells of what an image gets from nobody, if it does not have it.
    fn tell_not_added(&self, image: &str, needed: &BTreeMap<String, String>) {
        for (package, reason) in needed {
            self.report.event(Event::Warning {
                text: format!("{package} is not added to {image}: {reason}"),
                hint: "where the image lacks it, take one that has it, or a builder of packages; `s2r builders` lists them".to_owned(),
            });
        }
    }

    /// What is needed, and why.
    fn needed_packages(&self, lock: &WheelLock) -> BTreeMap<String, String> {
        if !self.plan.packages.implied.may_come {
            return BTreeMap::new();
        }
        let names: Vec<&str> = lock.packages.iter().map(|one| one.name.as_ref()).collect();
        let loaded = run_packages_of(&names)
            .map(|(package, name)| (package.to_owned(), format!("{name} needs it to run")));
        let mut needed: BTreeMap<String, String> = loaded.collect();
        let built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        let built = built.values().filter_map(|line| packages_of_record(line));
        // What was built on the way to another version goes into no image.
        let is_taken = |wheel: &WheelFileName| {
            let mut locked = lock.packages.iter();
            locked.any(|one| one.file_name == *wheel)
        };
        for (wheel, packages) in built.filter(|(wheel, _)| is_taken(wheel)) {
            for package in packages {
                let reason = format!("{} was built here and links it", wheel.name);
                needed.insert(package, reason);
            }
        }
        needed
    }

    /// The layers of a base that got more packages, above those that it had.
    ///
    /// # Errors
    /// As for the layers of a base.
    pub(super) fn extended_base(
        &self,
        layers: &[BuiltLayer],
        base: &Base<'_>,
        stages: &StageClock<'_>,
    ) -> Result<Vec<BuiltLayer>, BuildError> {
        let recipes = self.base_recipes(base)?;
        let Some((top, below)) = recipes.split_last() else {
            return Ok(layers.to_vec());
        };
        let add = || {
            let mut batch = self.make(std::slice::from_ref(top), below.len())?;
            let kept = layers.get(..below.len()).unwrap_or(layers).iter().cloned();
            batch.layers = kept.chain(batch.layers).collect();
            self.completed(batch, base)
        };
        let of_added = |batch: &LayerBatch| match batch.layers.get(below.len()) {
            Some(added) => describe(&LayerBatch {
                layers: vec![added.clone()],
                fetched: batch.fetched,
            }),
            None => String::new(),
        };
        Ok(stages.run(BuildStage::Base, add, of_added)?.layers)
    }
}
