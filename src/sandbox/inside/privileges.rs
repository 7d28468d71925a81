//! What a step may not do: rights given up, limits of the kernel, the filter of system calls.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitiesSecureBits, CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_capabilities_secure_bits,
    set_no_new_privs,
};

use super::{AttemptedResult, HelperTrouble, domain};
use crate::sandbox::filter::{self, OwnCalls};
use crate::sandbox::spec::{HelperAction, KernelLimits, RootKind};

/// Open files a process; more than any build tool asks for, and few enough for those that close all.
const OPEN_FILES: u64 = 65_536;

/// Sees to it that no program gives back what is given up. Takes a right that a change of user takes away.
pub(super) fn bound() {
    for capability in CapabilitySet::all().iter() {
        // Fails for those that this kernel does not know, and for all where we have no right to: then no new
        // privileges must do.
        let _ = remove_capability_from_bounding_set(capability);
    }
}

/// Gives up every right, for this process and all that it starts. User 0 inside is a name only.
pub(super) fn drop_all(ground: &RootKind, has_own_ipc: bool) -> Result<(), HelperTrouble> {
    clear_ambient_capability_set().tried(HelperAction::Privileges, "ambient set")?;
    let _ = set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::KEEP_CAPS_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    );
    let none = CapabilitySet::empty();
    set_capabilities(
        None,
        CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        },
    )
    .tried(HelperAction::Privileges, "capabilities")?;
    set_no_new_privs(true).tried(HelperAction::Privileges, "no new privileges")?;
    let own = OwnCalls {
        ipc: has_own_ipc,
        processes: ground.is_in_namespaces(),
    };
    if !own.processes {
        domain::enter();
    }
    match filter(own) {
        // Where nothing else is held back either, a machine that has no filters is no reason to stop.
        Err(_) if matches!(ground, RootKind::Bare) => Ok(()),
        installed => installed.tried(HelperAction::Privileges, "filter of system calls"),
    }
}

/// Has the kernel ask our programs about each system call of this process and its children, for ever.
fn filter(own: OwnCalls) -> io::Result<()> {
    for program in filter::programs(own).map_err(io::Error::other)? {
        seccompiler::apply_filter(&program).map_err(|error| match error {
            seccompiler::Error::Prctl(cause) | seccompiler::Error::Seccomp(cause) => cause,
            other => io::Error::other(other),
        })?;
    }
    Ok(())
}

/// Sets the limits that the kernel keeps.
pub(super) fn limit(bounds: &KernelLimits) -> Result<(), HelperTrouble> {
    lower(Resource::Core, 0)?;
    lower(Resource::Nofile, OPEN_FILES)?;
    if let Some(bytes) = bounds.file_bytes {
        lower(Resource::Fsize, bytes)?;
    }
    if let Some(processes) = bounds.processes {
        lower(Resource::Nproc, processes)?;
    }
    Ok(())
}

/// Lowers a limit; one that is lower already stays.
fn lower(resource: Resource, to: u64) -> Result<(), HelperTrouble> {
    let now = rustix::process::getrlimit(resource);
    let least = |limit: Option<u64>| Some(limit.map_or(to, |limit| limit.min(to)));
    setrlimit(
        resource,
        Rlimit {
            current: least(now.current),
            maximum: least(now.maximum),
        },
    )
    .tried(HelperAction::Limits, format!("{resource:?}"))
}
