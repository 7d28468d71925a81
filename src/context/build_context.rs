//! What the stages of a build work with: the project, its plan, the store, the client, the caches.

use super::variables::is_callers_alone;
use crate::packages::python::PackageUrl;
use crate::plan::ValueOrigin;
use crate::resolve::wheels::IndexSettings;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::project::ProjectInputs;
use super::settings::Settings;
use super::unisolated::NotInImage;
use super::{unisolated, variables};
use crate::archive::tar::{CompressionEffort, TarOptions};
use crate::layer_cache::{
    BuiltLayer, LayerBatch, LayerBuilder, LayerRecipe, LayerTitle, LockedLayers, RegistryCache,
    RemoteBlobs, StoreFetcher, TransferIds, UnpackLock, UnpackedLayers,
};
use crate::layers::wheel;
use crate::net::http::Client;
use crate::oci::Key;
use crate::plan::Plan;
use crate::plan::builder::{BaseDefinition, BuilderDefinition};
use crate::report::{BuildError, Event, LayerStatus, Report};
use crate::resolve::debian::BaseLock;
use crate::sandbox::Isolation;
use crate::source::{SourceTree, TreeContents};
use crate::store::Store;

/// The virtual environment, as a path of a layer.
const PREFIX: &str = "opt/app-root";
/// Owner of the virtual environment: the image's user, and the group of arbitrary users.
const OWNER: (u32, u32) = (1001, 0);

/// Everything that the platforms of one build share.
pub(crate) struct Context<'a> {
    pub(crate) project: &'a ProjectInputs,
    pub(crate) plan: &'a Plan,
    pub(crate) builder: &'a BuilderDefinition,
    pub(crate) settings: &'a Settings,
    pub(crate) store: &'a Store,
    pub(crate) report: &'a dyn Report,
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a RegistryCache<'a>,
    /// What `s2r.lock` says of layers.
    pub(crate) locked: LockedLayers,
    pub(crate) ids: TransferIds,
    pub(crate) turn: UnpackLock,
    /// Wheels that were built from source, by the key of what they were built from.
    pub(crate) built: Mutex<BTreeMap<Key, String>>,
    /// What the source's files hold, once that was asked.
    pub(crate) contents: Mutex<Option<Arc<TreeContents>>>,
    /// Whether s2r stands in the builder's image, once that was asked.
    pub(crate) in_builder: OnceLock<Result<(), NotInImage>>,
    /// Set when the build has failed elsewhere, so that what goes on meanwhile need not end.
    pub(crate) stop: AtomicBool,
    /// The caller's environment, with what the project and the command line set above it.
    pub(crate) environment: BTreeMap<String, String>,
    /// The variables that files of the project may name.
    pub(crate) given: BTreeMap<String, String>,
}

/// What a build works with.
#[derive(Clone, Copy)]
pub(crate) struct BuildMeans<'a> {
    pub settings: &'a Settings,
    pub store: &'a Store,
    pub report: &'a dyn Report,
    pub client: &'a Client,
    pub cache: &'a RegistryCache<'a>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        project: &'a ProjectInputs,
        plan: &'a Plan,
        means: BuildMeans<'a>,
    ) -> Result<Self, BuildError> {
        let BuildMeans {
            settings,
            store,
            report,
            client,
            cache,
        } = means;
        Ok(Self {
            project,
            plan,
            builder: &project.chosen()?.definition,
            settings,
            store,
            report,
            client,
            cache,
            locked: LockedLayers::of(project.base_lock()?.as_ref()),
            ids: TransferIds::default(),
            turn: UnpackLock::default(),
            built: Mutex::default(),
            contents: Mutex::default(),
            in_builder: OnceLock::new(),
            stop: AtomicBool::new(false),
            environment: variables::environment(plan, settings)?,
            given: variables::given(plan, settings),
        })
    }

    pub(crate) fn fetcher(&self) -> StoreFetcher<'_> {
        StoreFetcher {
            client: self.client,
            store: self.store,
            tree: &self.project.tree,
            report: self.report,
            ids: &self.ids,
        }
    }

    pub(crate) fn roots(&self) -> UnpackedLayers<'_> {
        let elsewhere = RemoteBlobs {
            store: self.store,
            client: self.client,
            report: self.report,
            ids: &self.ids,
        };
        UnpackedLayers::new(elsewhere, &self.turn)
    }

    pub(crate) fn tree(&self) -> &'a SourceTree {
        &self.project.tree
    }

    /// Python's version, two numbers.
    pub(crate) fn python(&self) -> &'a str {
        &self.builder.python
    }

    /// Absolute path of the interpreter in the image.
    pub(crate) fn interpreter(&self) -> &'a str {
        &self.builder.interpreter
    }

    pub(crate) fn epoch_seconds(&self) -> u64 {
        self.settings.epoch_seconds
    }

    /// Whether steps run without isolation, where they may run at all.
    pub(crate) fn is_bare(&self) -> bool {
        self.settings.running.isolation == Isolation::None
    }

    /// Whether s2r stands in the builder's image. Who first hears that it does says so: what steps do
    /// then, they do to this machine.
    pub(crate) fn in_builder(&self) -> Result<(), NotInImage> {
        let find = || {
            unisolated::find(self.builder).inspect(|()| {
                self.report.event(Event::Warning {
                    text: "code of the project runs without isolation: it reaches this container's files, processes and network, and may write to whatever s2r may write to".to_owned(),
                    hint: "use --isolation auto where namespaces are allowed, and for projects of others".to_owned(),
                });
            })
        };
        self.in_builder.get_or_init(find).clone()
    }

    /// Remembers a wheel that was built from source.
    pub(crate) fn note_built(&self, key: &Key, wheel: String) {
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        built.insert(*key, wheel);
    }

    pub(crate) fn place(&self) -> wheel::InstallTarget {
        wheel::InstallTarget {
            prefix: PREFIX.to_owned(),
            python: self.builder.python.clone(),
            uid: OWNER.0,
            gid: OWNER.1,
            mtime: self.settings.epoch_seconds,
            bytecode: None,
        }
    }

    pub(crate) fn tar(&self) -> TarOptions {
        TarOptions {
            mtime: self.settings.epoch_seconds,
            effort: CompressionEffort::Usual,
        }
    }

    /// Whether the project's tests are to run upon the image.
    pub(crate) fn has_tests(&self) -> bool {
        self.plan.test.is_some() && !self.settings.running.skips_tests
    }

    /// What the project's `s2r.lock` pins.
    pub(crate) fn base_lock(&self) -> Result<Option<BaseLock>, BuildError> {
        self.project.base_lock()
    }

    /// Whether the base is an image, to which nothing can be added.
    pub(crate) fn stands_on_image(&self) -> bool {
        matches!(self.builder.base, BaseDefinition::Image(_))
    }
}

impl Context<'_> {
    /// Whether the store has a layer.
    pub(crate) fn is_here(&self, key: &Key) -> bool {
        let key = self.settings.formats.layers.key(key);
        self.store.layer(&key).is_some()
    }

    /// Whether a layer needs not be made.
    pub(crate) fn has_layer(&self, key: &Key) -> bool {
        if self.is_here(key) {
            return true;
        }
        let key = self.settings.formats.layers.key(key);
        match self.locked.stored(&key) {
            Some(stored) => self.cache.blob(&stored).is_some(),
            None => self.cache.layer(&key).is_some(),
        }
    }

    /// A layer of a step that the store or a registry knows by its key.
    pub(crate) fn known_layer(
        &self,
        key: &Key,
        contents: &str,
        index: usize,
    ) -> Option<BuiltLayer> {
        // What steps left cannot be made again without running them, so that it is not taken where all is verified.
        let cache = (!self.cache.is_verified()).then_some(self.cache);
        self.find_layer(cache, (key, contents), index)
    }

    /// The same, where a registry's word is not enough.
    pub(crate) fn stored_layer(
        &self,
        key: &Key,
        contents: &str,
        index: usize,
    ) -> Option<BuiltLayer> {
        self.find_layer(None, (key, contents), index)
    }

    fn find_layer(
        &self,
        cache: Option<&RegistryCache<'_>>,
        (key, contents): (&Key, &str),
        index: usize,
    ) -> Option<BuiltLayer> {
        let title = LayerTitle {
            key,
            contents,
            is_of_source: true,
        };
        let fetcher = self.fetcher();
        self.layer_builder(cache, &fetcher, index).known(0, title)
    }

    /// A layer with its true status: one that was believed and has been made here since is so no more.
    pub(crate) fn proven(&self, made: BuiltLayer) -> BuiltLayer {
        if made.status != LayerStatus::Believed {
            return made;
        }
        let stored = self.store.layer(&made.layer.key);
        match stored.filter(|stored| stored.digest == made.layer.digest) {
            Some(stored) => BuiltLayer {
                status: LayerStatus::Made,
                uncompressed_bytes: Some(stored.uncompressed_bytes),
                ..made
            },
            None => made,
        }
    }

    /// Has layers, in the recipes' order: the store's, a registry's, or made.
    pub(crate) fn make(
        &self,
        recipes: &[LayerRecipe<'_>],
        first_index: usize,
    ) -> Result<LayerBatch, BuildError> {
        let recipes: Vec<&LayerRecipe<'_>> = recipes.iter().collect();
        self.layer_builder(Some(self.cache), &self.fetcher(), first_index)
            .make(&recipes)
    }

    /// Layers, whatever a registry says that it has.
    pub(crate) fn make_own(
        &self,
        recipes: &[&LayerRecipe<'_>],
    ) -> Result<Vec<BuiltLayer>, BuildError> {
        let fetcher = self.fetcher();
        Ok(self.layer_builder(None, &fetcher, 0).make(recipes)?.layers)
    }

    fn layer_builder<'b>(
        &'b self,
        cache: Option<&'b RegistryCache<'b>>,
        fetcher: &'b StoreFetcher<'b>,
        first_index: usize,
    ) -> LayerBuilder<'b> {
        LayerBuilder {
            store: self.store,
            fetcher,
            cache,
            locked: &self.locked,
            report: self.report,
            mtime: self.settings.epoch_seconds,
            form: self.settings.formats.layers,
            first_index,
            workers: self.settings.workers,
            rechecks: self.settings.rules.refresh,
            stop: &self.stop,
        }
    }
}

impl Context<'_> {
    /// An address with the credentials of the index that it belongs to.
    pub(crate) fn with_credentials(&self, url: PackageUrl) -> PackageUrl {
        let options = crate::packages::python::IndexOptions::default();
        match IndexSettings::new(&options, &self.environment) {
            Ok(indexes) => indexes.with_credentials(url, None),
            // Whoever asks for the packages is told.
            Err(_) => url,
        }
    }

    /// pip's variables and the surroundings of programs that are run.
    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }

    /// What `${NAME}` in files of the project means.
    pub(crate) fn given(&self) -> &BTreeMap<String, String> {
        &self.given
    }

    /// What the project and the command line set for steps that build.
    pub(crate) fn build_variables(&self) -> BTreeMap<String, String> {
        self.plan
            .environment
            .settings()
            .filter(|(name, setting)| {
                !matches!(
                    setting.origin,
                    ValueOrigin::Builder { .. } | ValueOrigin::Default
                ) && !is_callers_alone(name)
            })
            .map(|(name, setting)| (name.to_owned(), setting.value.clone()))
            .collect()
    }
}
