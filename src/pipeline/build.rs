//! `s2r build`: source, project, plan, packages, layers, image, destinations, a call a stage.

use super::platform_build::BuiltPlatform;
use std::time::Duration;

use super::check::{self, CheckBench, CheckReport, CheckWishes, CheckedImage};
use super::publish::{self, ExportReport, PushReport};
use super::run::RunMeans;
use super::{lock, plan};
use crate::context::build_context::{BuildMeans, Context};
use crate::context::project::ProjectInputs;
use crate::context::settings::Settings;
use crate::context::stage_clock::StageClock;
use crate::context::{client, cross_platform};
use crate::destination::ExportTarget;
use crate::destination::registry::PushError;
use crate::layer_cache::{
    BlobMissing, DownloadError, LayerContradiction, NoRecipe, RegistryCache, mending,
};
use crate::net::http::Client;
use crate::oci::{Descriptor, Digest, Platform, Reference};
use crate::plan::{Plan, PlanRequest};
use crate::report::{BuildError, BuildStage, Event, Report, WarnOnce};
use crate::store::Store;

/// Where a built image goes besides the store.
#[derive(Debug, Clone, Default)]
pub(crate) struct BuildOutputs {
    /// To the registries that its names say.
    pub push: bool,
    /// To files and folders.
    pub targets: Vec<ExportTarget>,
    /// Images of registries whose layers may be used again, besides the one that is pushed to.
    pub cache_from: Vec<Reference>,
    /// Look at no image in a registry for layers.
    pub no_cache: bool,
    /// Make what such an image is to give here too, and compare.
    pub verify_cache: bool,
    /// Start the image before it is named or sent anywhere, and see whether it answers.
    pub check: Option<CheckWishes>,
}

#[derive(Debug)]
pub(crate) struct BuiltImage {
    /// Its names; may be empty.
    pub names: Vec<Reference>,
    /// Its manifest, or the index of its platforms.
    pub descriptor: Descriptor,
    /// One for each platform.
    pub platforms: Vec<BuiltPlatform>,
    /// What went to registries.
    pub pushed: Vec<PushReport>,
    /// What went to files and folders.
    pub exported: Vec<ExportReport>,
    /// What it answered, if it was checked.
    pub check: Option<CheckReport>,
    /// Where the time went.
    pub stages: Vec<(BuildStage, Duration)>,
}

impl BuiltImage {
    /// The reference by digest of what was made.
    pub(crate) fn pinned(&self) -> String {
        match self.names.first() {
            Some(name) => name.at(self.descriptor.digest).to_string(),
            None => self.descriptor.digest.to_string(),
        }
    }
}

/// Builds an image, names it in the store, and sends it where it is wanted. [`default_name`](super::default_name) has a name for what has none.
///
/// # Errors
/// The first stage's that fails. What was finished stays in the store; a name is given only to an
/// image that is whole.
pub(crate) fn build(
    request: &PlanRequest,
    names: &[Reference],
    outputs: &BuildOutputs,
    settings: &Settings,
    report: &dyn Report,
) -> Result<BuiltImage, BuildError> {
    let report: &dyn Report = &WarnOnce::new(report);
    let stages = StageClock::new(report);
    // Known before the work begins, not after it.
    let bench = outputs.check.as_ref();
    let bench = bench.map(|_| CheckBench::new(settings.running.isolation));
    let bench = bench.transpose()?;
    let mut project = stages.run(
        BuildStage::Source,
        || plan::project(request, settings, report),
        |project| format!("{} files and folders", project.tree.entries().len()),
    )?;
    let plan = stages.run(
        BuildStage::Plan,
        || {
            plan::resolve_builder(&mut project, request, settings, report)?;
            plan::make_plan(&project, request, report)
        },
        crate::plan::Plan::title,
    )?;
    cross_platform::check(&plan)?;
    let checked = bench.map(|bench| {
        let platform = check::platform_here(&plan.platforms.value, report)?;
        Ok::<_, BuildError>((bench, platform))
    });
    let checked = checked.transpose()?;
    lock::check(&project, request, &plan, settings.rules, report)?;
    let store = Store::open(&settings.store_root)?;
    let _in_use = store.in_use()?;
    let client = client::new(settings, report);
    let cache = cache(names, outputs, settings, (&client, &store, report), &plan);
    let means = BuildMeans {
        settings,
        store: &store,
        report,
        client: &client,
        cache: &cache,
    };
    let once = || {
        let order = FinishOrder {
            names,
            outputs,
            bench: checked.as_ref(),
        };
        let finish = || finish(&project, &plan, means, &order, &stages);
        mending((&store, report), |_| true, finish)
    };
    let mut outcome = once();
    // A base's layer that is not there can be made by nobody here.
    let is_base = |digest: &Digest| {
        let mut bases = project.base_images.iter();
        bases.any(|base| {
            base.manifest
                .layers
                .iter()
                .any(|layer| layer.digest == *digest)
        })
    };
    if let Err(error) = &outcome
        && is_of_cache(error)
        && !missing_layer(error).is_some_and(|digest| is_base(&digest))
    {
        if let Some(digest) = missing_layer(error) {
            store.forget_elsewhere(&digest)?;
        }
        if cache.distrust() {
            report.event(Event::Warning {
                text: format!("an image in a registry is of no use as a cache: {error}"),
                hint: format!("what is missing is made anew; {}", error.explain().why),
            });
            outcome = once();
        }
    }
    client::say_warnings(&client, report);
    Ok(BuiltImage {
        stages: stages.times(),
        ..outcome?
    })
}

/// Whether an image in a registry is of less use than it seemed: a layer of it is not there, or a
/// wheel is wanted that is in another layer than it was, or a layer is not what its key says.
fn is_of_cache(error: &BuildError) -> bool {
    missing_layer(error).is_some()
        || matches!(error.find(), Some(DownloadError::Nowhere { .. }))
        || error.find::<LayerContradiction>().is_some()
        || error.find::<NoRecipe>().is_some()
}

/// The layer that is not where a registry's image said that it is.
fn missing_layer(error: &BuildError) -> Option<Digest> {
    if let Some(PushError::Nowhere { digest, .. }) = error.find() {
        return Some(*digest);
    }
    error.find::<BlobMissing>().map(|missing| missing.digest)
}

/// The images whose layers are used again: those that the names stand for where they are pushed to,
/// and those that were named for it.
fn cache<'a>(
    names: &[Reference],
    outputs: &BuildOutputs,
    settings: &Settings,
    (client, store, report): (&'a Client, &'a Store, &'a dyn Report),
    plan: &'a Plan,
) -> RegistryCache<'a> {
    let is_wanted = !outputs.no_cache && !settings.rules.offline;
    let of = |names: &[Reference], is_wanted: bool| {
        if is_wanted {
            names.to_vec()
        } else {
            Vec::new()
        }
    };
    RegistryCache::new(
        (client, store),
        report,
        &plan.platforms.value,
        (
            &of(names, is_wanted && outputs.push),
            &of(&outputs.cache_from, is_wanted),
        ),
    )
    .believing(!outputs.no_cache)
    .verifying(outputs.verify_cache)
}

/// What becomes of a planned build.
struct FinishOrder<'a> {
    names: &'a [Reference],
    outputs: &'a BuildOutputs,
    /// Where a platform is checked, and which.
    bench: Option<&'a (CheckBench, Platform)>,
}

impl FinishOrder<'_> {
    /// Checks the platform that this machine can start.
    fn check(
        &self,
        platforms: &[BuiltPlatform],
        means: BuildMeans<'_>,
        stages: &StageClock<'_>,
    ) -> Result<Option<CheckReport>, BuildError> {
        let (Some(wishes), Some((bench, here))) = (&self.outputs.check, self.bench) else {
            return Ok(None);
        };
        let Some(built) = platforms.iter().find(|built| built.platform == *here) else {
            return Ok(None);
        };
        let name = self.names.first().map(ToString::to_string);
        let image = CheckedImage {
            name: name.as_deref().unwrap_or("the image"),
            descriptor: &built.descriptor,
        };
        let BuildMeans {
            settings,
            store,
            report,
            client,
            ..
        } = means;
        let means = RunMeans {
            settings,
            store,
            client,
            report,
        };
        let check = || bench.check(&image, wishes, &[], means);
        stages
            .run(BuildStage::Check, check, CheckReport::title)
            .map(Some)
    }
}

/// Builds what was planned, and sends it out.
fn finish(
    project: &ProjectInputs,
    plan: &Plan,
    means: BuildMeans<'_>,
    order: &FinishOrder<'_>,
    stages: &StageClock<'_>,
) -> Result<BuiltImage, BuildError> {
    let FinishOrder { names, outputs, .. } = order;
    let context = Context::new(project, plan, means)?;
    let built = std::thread::scope(|scope| {
        if !means.cache.is_empty() {
            // The answer is wanted soon, and there is something else to do meanwhile.
            scope.spawn(|| means.cache.look());
        }
        let mut foreseen = context.preflight(stages)?;
        plan.platforms
            .value
            .iter()
            .map(|&platform| context.build(platform, foreseen.remove(&platform), stages))
            .collect::<Result<Vec<_>, BuildError>>()
    });
    if let Err(error) = &built {
        context.forget_hashes_after(error)?;
    }
    let platforms = built?;
    let check = order.check(&platforms, means, stages)?;
    let manifests = platforms.iter().map(|platform| platform.descriptor.clone());
    let family = means.settings.formats.documents;
    let descriptor = publish::name(manifests.collect(), names, family, means.store)?;
    let image = publish::StoredImageFiles {
        descriptor: &descriptor,
        means,
    };
    let pushed = image.push_all(names, outputs.push, stages)?;
    let exported = image.export_all(names.first(), &outputs.targets, stages)?;
    Ok(BuiltImage {
        names: names.to_vec(),
        descriptor,
        platforms,
        pushed,
        exported,
        check,
        stages: Vec::new(),
    })
}
