//! The commands, one file each, by way of the rooms that do their work: `context`, `base`, `layer_cache`, `bytecode`,
//! `source_builds`, `wheel_resolution`.
//!
//! - `build` reads as a contents page; `platform_build` is the same for one platform
//! - `plan`, `lock`, `eject` (settings of servers for the project to own), `publish` (push and export), `check` (starts a finished image, and sees whether it answers), `run` with `port_relay`, `rebase`, `login`
//! - `base_status` (how far an image is behind its base), `verify_cache`, `named_base` (a base that an image stands for), `image_name` (of what
//!   has no name)

mod base_status;
mod build;
mod check;
mod eject;
mod image_name;
mod lock;
mod login;
mod named_base;
mod plan;
mod platform_build;
mod port_relay;
mod publish;
mod rebase;
mod run;
mod verify_cache;
mod workspace_member;

pub(crate) use base_status::{BaseStatus, PlatformStatus, look};
pub(crate) use build::{BuildOutputs, BuiltImage, build};
pub(crate) use check::{CheckReport, CheckWishes, FailedCheck, check, check_path, check_status};
pub(crate) use eject::eject;
pub(crate) use image_name::default_name;
pub(crate) use lock::lock;
pub(crate) use login::{LoginPlace, login, logout};
pub(crate) use plan::plan;
pub(crate) use platform_build::BuiltPlatform;
pub(crate) use port_relay::PortMapping;
pub(crate) use publish::{ExportReport, PushReport, export, push};
pub(crate) use rebase::{BaseSummary, RebaseReport, RebaseRequest, RebasedPlatform, rebase};
pub(crate) use run::{RunOptions, RunRequest, run};

pub(crate) use crate::archive::UnpackedBound;
pub(crate) use crate::context::passed::PassedVariables;
pub(crate) use crate::context::settings::RegistrySettings;
pub(crate) use crate::context::settings::{ImageFormats, NetworkRules, Settings, StepSettings};
pub(crate) use crate::packages::debian::ValidUntil;
pub(crate) use crate::project::settings::size_in_bytes;
pub(crate) use crate::sandbox::{Isolation, StepLimits};
