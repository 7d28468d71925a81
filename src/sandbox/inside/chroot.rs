//! Without namespaces: another root folder and another user, or nothing at all. What the step leaves
//! running is found by its descent: the helper takes in all orphans below it.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::io::Errno;
use rustix::process::{
    Signal, WaitOptions, getpid, kill_process, set_child_subreaper,
    set_parent_process_death_signal, wait,
};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::{Control, Tried, Trouble, die_with_parent, watch};
use crate::sandbox::spec::{Act, Spec};
use crate::sandbox::tree;

/// Runs the step, and ends what it leaves.
pub(super) fn without_namespaces(
    control: &mut Control,
    spec: &Spec,
    input: OwnedFd,
) -> Result<ExitCode, Trouble> {
    // Nobody but us ends what is below; so we must not be ended with s2r, but notice its end.
    set_parent_process_death_signal(None).tried(Act::Privileges, "death signal")?;
    let own = getpid();
    set_child_subreaper(Some(own)).tried(Act::Fork, "orphans")?;
    control.tell_head(own.as_raw_nonzero().get(), None);
    let ended = watch::over_step(control, spec, input);
    if getpid() == own {
        sweep(own.as_raw_nonzero().get());
    }
    ended
}

/// Ends everything below us. Stopped first, because who is stopped starts nothing new.
fn sweep(own: i32) {
    loop {
        let below = tree::below(own, u64::MAX).processes;
        for signal in [Signal::STOP, Signal::KILL] {
            for pid in below.iter().filter(|pid| **pid != own) {
                if let Some(pid) = rustix::process::Pid::from_raw(*pid) {
                    let _ = kill_process(pid, signal);
                }
            }
        }
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
pub(super) fn enter(at: &Path, spec: &Spec) -> Result<(), Trouble> {
    rustix::process::chroot(at).tried(Act::Root, at.display())?;
    rustix::process::chdir("/").tried(Act::Root, "/")?;
    let (user, group) = spec.user;
    let (user, group) = (
        rustix::fs::Uid::from_raw(user),
        rustix::fs::Gid::from_raw(group),
    );
    match set_thread_groups(&[]) {
        // In a user namespace of one group nobody may leave groups, and there are none to leave.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).tried(Act::Identity, "groups"),
    }
    set_thread_res_gid(group, group, group).tried(Act::Identity, "group")?;
    set_thread_res_uid(user, user, user).tried(Act::Identity, "user")?;
    // A change of who we are forgets this.
    die_with_parent()
}
