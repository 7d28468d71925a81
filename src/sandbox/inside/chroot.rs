//! Without namespaces of users, mounts and processes: another root folder and another user, or nothing at all. What the
//! step leaves running is found by its descent: the helper takes in all orphans below it.
//!
//! A network and queues of its own a step gets here too, where we may make them: that takes rights that root has, but not
//! in every container.

use std::path::Path;
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{
    WaitOptions, getpid, set_child_subreaper, set_parent_process_death_signal, wait,
};
use rustix::thread::{UnshareFlags, set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{
    AttemptedResult, ControlSocket, HelperTrouble, StepInput, die_with_parent, network, watch,
};
use crate::sandbox::metering::tree;
use crate::sandbox::spec::{HelperAction, HelperMessage, StepSpec};
use crate::sandbox::{orphans, system};

/// Runs the step, and ends what it leaves.
pub(super) fn without_namespaces(
    control: &mut ControlSocket,
    spec: &StepSpec,
    input: StepInput,
) -> Result<ExitCode, HelperTrouble> {
    // Nobody but us ends what is below; so we must not be ended with s2r, but notice its end.
    set_parent_process_death_signal(None).tried(HelperAction::Privileges, "death signal")?;
    let own = getpid();
    set_child_subreaper(Some(own)).tried(HelperAction::Fork, "orphans")?;
    // The step may be of our user.
    crate::host::keep_private().tried(HelperAction::Privileges, "privacy")?;
    if system::unshare(UnshareFlags::NEWIPC).is_ok() {
        control.tell_tables();
    }
    control.tell(&HelperMessage::Head {
        pid: own.as_raw_nonzero().get(),
        reaches_network: spec.has_network || !leave_network(),
    });
    let ended = watch::over_step(control, spec, input);
    if getpid() == own {
        sweep(own.as_raw_nonzero().get());
    }
    ended
}

/// Leaves the machine's network for one with a loopback; whether that is allowed.
fn leave_network() -> bool {
    // Whoever may make a network and not switch on its loopback has one that reaches nothing: that will do.
    system::unshare(UnshareFlags::NEWNET)
        .map(|()| network::start_loopback())
        .is_ok()
}

/// Ends everything below us.
fn sweep(own: i32) {
    loop {
        let mut below = tree::below(own, u64::MAX).processes;
        below.retain(|pid| *pid != own);
        orphans::kill(&below);
        // No child is left, or none has ended yet.
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(_) => return,
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Goes to another root, as the step's user.
pub(super) fn enter(at: &Path, spec: &StepSpec) -> Result<(), HelperTrouble> {
    rustix::process::chroot(at).tried(HelperAction::Root, at.display())?;
    rustix::process::chdir("/").tried(HelperAction::Root, "/")?;
    let (user, group) = spec.user;
    let (user, group) = (
        rustix::fs::Uid::from_raw(user),
        rustix::fs::Gid::from_raw(group),
    );
    match set_thread_groups(&[]) {
        // In a user namespace of one group nobody may leave groups, and there are none to leave.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).tried(HelperAction::Identity, "groups"),
    }
    set_thread_res_gid(group, group, group).tried(HelperAction::Identity, "group")?;
    set_thread_res_uid(user, user, user).tried(HelperAction::Identity, "user")?;
    // A change of who we are forgets this.
    die_with_parent()
}
