//! The commands, one file each, by way of the rooms that do their work: `context`, `base`, `layer_cache`, `bytecode`,
//! `source_builds`, `wheel_resolution`.
//!
//! - `build` reads as a contents page; `platform_build` is the same for one platform, `assembly` its documents
//! - `plan`, `lock`, `publish` (push and export), `run` with `port_relay`, `rebase`, `login`
//! - `configure` (generators of Debian packages), `base_status` (how far an image is behind its base), `verify_cache`, `needs` (what files of
//!   the image need and it has not), `image_name` (of what has no name)

mod assembly;
mod base_status;
mod build;
mod configure;
mod image_name;
mod lock;
mod login;
mod needs;
mod plan;
mod platform_build;
mod port_relay;
mod publish;
mod rebase;
mod run;
mod verify_cache;

pub(crate) use base_status::{Behind, LookedPlatform, look};
pub(crate) use build::{Built, BuiltPlatform, Outputs, build};
pub(crate) use image_name::default_name;
pub(crate) use lock::lock;
pub(crate) use login::{Place as LoginPlace, login, logout};
pub(crate) use plan::{builders, plan};
pub(crate) use port_relay::Port;
pub(crate) use publish::{Exported, Pushed, export, push};
pub(crate) use rebase::{BaseTold, Rebase, Rebased, RebasedPlatform, rebase};
pub(crate) use run::{Launch, run};

pub(crate) use crate::archive::Unpacked;
pub(crate) use crate::context::client::Registries;
pub(crate) use crate::context::passed::Passed;
pub(crate) use crate::context::settings::{Formats, Rules, Running, Settings};
pub(crate) use crate::sandbox::{Isolation, Limits};
