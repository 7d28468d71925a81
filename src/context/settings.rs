//! What a command is told before it starts: the caller's surroundings and choices.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::passed::PassedVariables;
use crate::archive::UnpackedBound;
use crate::image::LayerForm;
use crate::oci::MediaFamily;
use crate::packages::debian::ValidUntil;
use crate::sandbox::{Isolation, StepLimits};

/// What a command may do with locks and network.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct NetworkRules {
    pub locked: bool,
    pub offline: bool,
    /// Ask again what was asked before.
    pub refresh: bool,
    /// How much wheels and archives may unpack to.
    pub unpacked: UnpackedBound,
    /// What the end of validity of Debian's indexes means, beside what a builder says.
    pub debian_valid_until: ValidUntil,
}

/// The surroundings of a command, as `cli` read them.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub store_root: PathBuf,
    pub variables: BTreeMap<String, String>,
    /// What of it files of the project may name (`--pass-env`).
    pub passed: PassedVariables,
    /// The caller's working directory.
    pub directory: PathBuf,
    /// Now, seconds since 1970; for the validity of indexes alone.
    pub now_seconds: u64,
    /// The time of everything in the image, seconds since 1970.
    pub epoch_seconds: u64,
    /// Threads that write layers.
    pub workers: usize,
    pub rules: NetworkRules,
    /// How registries are talked to.
    pub registries: RegistrySettings,
    /// How code of the project is run.
    pub running: StepSettings,
    /// What images are written in.
    pub formats: ImageFormats,
}

/// What an image is written in.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ImageFormats {
    pub layers: LayerForm,
    /// Its manifest, and what that names.
    pub documents: MediaFamily,
}

/// How the project's own code is run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepSettings {
    /// How far it is kept from the machine.
    pub isolation: Isolation,
    /// What one step may use up.
    pub limits: StepLimits,
    /// Build an image without running the project's tests.
    pub skips_tests: bool,
}

impl Default for StepSettings {
    fn default() -> Self {
        Self {
            isolation: Isolation::Auto,
            skips_tests: false,
            limits: StepLimits {
                memory_bytes: 8 << 30,
                time: Duration::from_hours(1),
                processes: 4096,
                disk_bytes: 32 << 30,
                output_bytes: 64 << 20,
            },
        }
    }
}

/// How registries are to be talked to, as the command line has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct RegistrySettings {
    /// `--authfile`
    pub auth_file: Option<PathBuf>,
    /// `--cert-dir`
    pub certificates: Option<PathBuf>,
    /// `--tls-verify`
    pub verify: Option<bool>,
    /// `--insecure-registry`
    pub insecure: Vec<String>,
    /// `--ca`
    pub authorities: Vec<PathBuf>,
}
