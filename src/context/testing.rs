//! A build for tests of higher floors: a project in a temporary folder, its plan, an empty store, and a client that
//! reaches loopback.

use std::sync::Mutex;

use super::build_context::{BuildMeans, Context};
use super::client;
use super::fetch_source::FetchedSource;
use super::project::ProjectInputs;
use super::settings::{ImageFormats, NetworkRules, Settings, StepSettings};
use crate::layer_cache::RegistryCache;
use crate::net::http::Client;
use crate::oci::Platform;
use crate::plan::builder::BuilderFile;
use crate::plan::{
    ChosenBuilder, NamedBuilder, Plan, PlanInputs, PlanRequest, choose_builder, plan,
};
use crate::project::ProjectFacts;
use crate::report::{Event, Report};
use crate::source::testing::{folder, tree};
use crate::store::Store;

/// The platform of such builds.
pub(crate) const PLATFORM: Platform = Platform {
    architecture: crate::oci::Architecture::Amd64,
};

/// A planned build that nothing was done of.
pub(crate) struct TestBuild {
    pub project: ProjectInputs,
    pub plan: Plan,
    pub settings: Settings,
    pub store: Store,
    client: Client,
    warnings: Warnings,
    _folders: [tempfile::TempDir; 2],
}

/// Keeps what is warned of.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Report for Warnings {
    fn event(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

impl TestBuild {
    /// A build of these files with arguments of `-e`, upon a builder of Debian packages.
    pub(crate) fn of(files: &[(&str, &str)], env: &[&str]) -> Self {
        Self::with(files, |request| {
            request.env = env.iter().map(|&text| text.to_owned()).collect();
        })
    }

    /// The same, the request changed.
    pub(crate) fn with(files: &[(&str, &str)], change: impl FnOnce(&mut PlanRequest)) -> Self {
        let (source, data) = (folder(files), tempfile::tempdir().unwrap());
        let tree = tree(&source);
        let facts = ProjectFacts::of(&tree).unwrap();
        let mut request = PlanRequest {
            source: source.path().to_owned(),
            platforms: vec![PLATFORM],
            ..PlanRequest::default()
        };
        change(&mut request);
        let settings = Settings {
            store_root: data.path().join("store"),
            variables: [("HOME".to_owned(), data.path().display().to_string())].into(),
            passed: super::passed::PassedVariables::default(),
            directory: source.path().to_owned(),
            now_seconds: 1_700_000_000,
            epoch_seconds: 0,
            workers: 2,
            rules: NetworkRules::default(),
            registries: super::settings::RegistrySettings::default(),
            running: StepSettings::default(),
            formats: ImageFormats::default(),
        };
        let named = NamedBuilder::of(&request, &facts.settings);
        let (builder, reason) = choose_builder(named.as_ref(), &facts.python).unwrap();
        let BuilderFile::Whole(definition) = builder.read().unwrap() else {
            panic!("a builder upon an image, which tests do not ask for");
        };
        let builder = ChosenBuilder {
            definition: *definition,
            reason,
        };
        let environment_file = (Vec::new(), Vec::new());
        let plan = plan(&PlanInputs {
            request: &request,
            facts: &facts,
            builder: &builder,
            environment_file: &environment_file,
            member: None,
            git: None,
            host: Some(PLATFORM),
        });
        let warnings = Warnings::default();
        Self {
            plan: plan.unwrap(),
            store: Store::open(&settings.store_root).unwrap(),
            client: client::new(&settings, &warnings),
            project: ProjectInputs {
                obtained: FetchedSource::of(&request, &settings, &warnings).unwrap(),
                tree,
                facts,
                git: None,
                member: None,
                builder: Some(builder),
                base_images: Vec::new(),
                environment_file,
            },
            settings,
            warnings,
            _folders: [source, data],
        }
    }

    /// Does something with it.
    pub(crate) fn run<R>(&self, work: impl FnOnce(&Context<'_>) -> R) -> R {
        let names = (&[][..], &[][..]);
        let means = (&self.client, &self.store);
        let cache = RegistryCache::new(means, &self.warnings, &[PLATFORM], names);
        let means = BuildMeans {
            settings: &self.settings,
            store: &self.store,
            report: &self.warnings,
            client: &self.client,
            cache: &cache,
        };
        work(&Context::new(&self.project, &self.plan, means).unwrap())
    }

    /// What was warned of so far.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.0.lock().unwrap().clone()
    }
}
