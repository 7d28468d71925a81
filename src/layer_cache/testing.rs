//! What layers are made with, for tests: a store in a temporary folder, a client that reaches loopback, a report that
//! keeps warnings.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use super::locked_layers::LockedLayers;
use super::{LayerBatch, LayerBuilder, LayerRecipe, StoreFetcher, TransferIds};
use crate::image::LayerForm;
use crate::net::http::{Client, ClientSettings, RetryPolicy};
use crate::oci::{Architecture, Platform};
use crate::report::{BuildError, Event, Report};
use crate::resolve::debian::LockedLayer;
use crate::source::SourceTree;
use crate::source::testing::{folder, tree};
use crate::store::Store;

pub(crate) const PLATFORM: Platform = Platform {
    architecture: Architecture::Amd64,
};

/// Keeps what is warned of.
#[derive(Default)]
pub(crate) struct Warnings(Mutex<Vec<String>>);

impl Warnings {
    /// Whether a warning with these words came.
    pub(crate) fn has(&self, words: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .iter()
            .any(|text| text.contains(words))
    }
}

impl Report for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

pub(crate) struct Bench {
    pub store: Store,
    pub client: Client,
    pub ids: TransferIds,
    pub report: Warnings,
    pub stop: AtomicBool,
    locked: LockedLayers,
    tree: SourceTree,
    _folders: [tempfile::TempDir; 2],
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&[("app.py", "")])
    }

    /// The same for a project with these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let (data, source) = (tempfile::tempdir().unwrap(), folder(files));
        Self {
            store: Store::open(data.path()).unwrap(),
            client: Client::new(ClientSettings {
                retry: RetryPolicy {
                    tries: 1,
                    ..RetryPolicy::default()
                },
                ..ClientSettings::default()
            }),
            ids: TransferIds::default(),
            report: Warnings::default(),
            stop: AtomicBool::new(false),
            locked: LockedLayers::default(),
            tree: tree(&source),
            _folders: [data, source],
        }
    }

    /// Has the lock know a layer, and no other.
    pub(crate) fn lock(&mut self, layer: LockedLayer) {
        self.locked = LockedLayers([(layer.key, layer)].into());
    }

    pub(crate) fn warned(&self, words: &str) -> bool {
        self.report.has(words)
    }

    pub(crate) fn fetcher(&self) -> StoreFetcher<'_> {
        StoreFetcher {
            client: &self.client,
            store: &self.store,
            tree: &self.tree,
            report: &self.report,
            ids: &self.ids,
        }
    }

    /// Has these layers, as a build that knows no registry does.
    pub(crate) fn make(&self, recipes: &[&LayerRecipe<'_>]) -> Result<LayerBatch, BuildError> {
        self.builder(&self.fetcher()).make(recipes)
    }

    pub(crate) fn builder<'a>(&'a self, fetcher: &'a StoreFetcher<'a>) -> LayerBuilder<'a> {
        LayerBuilder {
            store: &self.store,
            fetcher,
            cache: None,
            locked: &self.locked,
            report: &self.report,
            mtime: 0,
            form: LayerForm::Gzip,
            first_index: 0,
            workers: 2,
            rechecks: false,
            stop: &self.stop,
        }
    }
}
