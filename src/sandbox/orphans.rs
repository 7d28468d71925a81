//! Processes of a step that outlive its helper. Without a process namespace of its own a step may end the helper; what it
//! has started then becomes our child (`PR_SET_CHILD_SUBREAPER`), and is ended.

use std::fs;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, getsid, kill_process, set_child_subreaper, waitpid,
};

use super::metering::tree;

/// Has the kernel give us who is left alone below us, from now on.
pub(super) fn take_in() -> std::io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends those that a helper, which is gone, has left. Programs that we have started ourselves stay, and what they left.
pub(super) fn end() {
    loop {
        let orphans: Vec<i32> = tree::children_of(getpid().as_raw_nonzero().get())
            .into_iter()
            .filter(|pid| is_of_step(*pid))
            .collect();
        if orphans.is_empty() {
            return;
        }
        let below: Vec<i32> = orphans
            .iter()
            .flat_map(|pid| tree::below(*pid, u64::MAX).processes)
            .collect();
        kill(&below);
        std::thread::sleep(Duration::from_millis(1));
        for pid in orphans.into_iter().filter_map(Pid::from_raw) {
            let _ = waitpid(Some(pid), WaitOptions::NOHANG);
        }
    }
}

/// Ends all of them. Stopped first, because who is stopped starts nothing new.
pub(super) fn kill(processes: &[i32]) {
    for signal in [Signal::STOP, Signal::KILL] {
        for pid in processes {
            if let Some(pid) = Pid::from_raw(*pid) {
                let _ = kill_process(pid, signal);
            }
        }
    }
}

/// Every step begins a session and gives up new privileges, for itself and for all that it starts, and nobody can take
/// either back. What we start ourselves stays in our session.
fn is_of_step(pid: i32) -> bool {
    let is_elsewhere = getsid(Pid::from_raw(pid)).is_ok_and(|session| getsid(None) != Ok(session));
    is_elsewhere
        && fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| tree::field(&status, "NoNewPrivs:") == Some(1))
}
