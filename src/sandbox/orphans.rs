//! Processes of a step that outlive its helper. Without a process namespace of its own a step may end the helper; what it
//! has started then becomes our child (`PR_SET_CHILD_SUBREAPER`), and is ended.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid,
};

use super::metering::tree;

/// How long is tried to end them.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Has the kernel give us who is left alone below us, from now on.
pub(super) fn take_in() -> std::io::Result<()> {
    Ok(set_child_subreaper(Some(getpid()))?)
}

/// Ends those that a helper, which is gone, has left; one that the kernel holds back is given up in the end. Programs that
/// we have started ourselves stay, and what they left.
pub(super) fn end() {
    let Some(own) = ProcessMark::of("self") else {
        return;
    };
    let end = Instant::now() + END_WITHIN;
    while Instant::now() < end {
        let orphans: Vec<i32> = tree::children_of(getpid().as_raw_nonzero().get())
            .into_iter()
            .filter(|pid| {
                ProcessMark::of(&pid.to_string()).is_some_and(|mark| mark.is_of_step(&own))
            })
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

/// What a process cannot take off again, from `/proc/PID/status`.
#[derive(Debug, Default, PartialEq, Eq)]
struct ProcessMark {
    /// 0 if its leader lies outside the namespace of processes. `getsid` of rustix takes that for impossible.
    session: u64,
    no_new_privileges: u64,
    /// 0 on kernels before 5.9, which do not count them.
    filters: u64,
}

impl ProcessMark {
    /// `None` if the process is gone.
    fn of(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/status")).ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        Some(Self {
            session: tree::field(status, "NSsid:")?,
            no_new_privileges: tree::field(status, "NoNewPrivs:")?,
            filters: tree::field(status, "Seccomp_filters:").unwrap_or(0),
        })
    }

    /// Every step begins a session and takes privileges and system calls from itself and from all that it starts. A
    /// container may have taken them from us too, so the difference counts.
    fn is_of_step(&self, own: &Self) -> bool {
        self.session != own.session
            && (self.no_new_privileges > own.no_new_privileges || self.filters > own.filters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_a_step_is_told_from_our_own() {
        let mark = |session, no_new_privileges, filters| ProcessMark {
            session,
            no_new_privileges,
            filters,
        };
        // (what, a child, s2r, is it of a step)
        for (what, child, own, expected) in [
            ("a step", mark(7, 1, 1), mark(3, 0, 0), true),
            ("on an old kernel", mark(7, 1, 0), mark(3, 0, 0), true),
            (
                "in a container with a filter",
                mark(7, 1, 2),
                mark(3, 1, 1),
                true,
            ),
            (
                "below a session elsewhere",
                mark(7, 1, 1),
                mark(0, 0, 0),
                true,
            ),
            ("a daemon", mark(7, 0, 0), mark(3, 0, 0), false),
            (
                "a daemon in a container",
                mark(7, 1, 1),
                mark(3, 1, 1),
                false,
            ),
            ("our program", mark(3, 0, 0), mark(3, 0, 0), false),
            (
                "ours, all sessions elsewhere",
                mark(0, 0, 0),
                mark(0, 0, 0),
                false,
            ),
        ] {
            assert_eq!(child.is_of_step(&own), expected, "{what}");
        }
    }

    #[test]
    fn the_mark_is_in_the_file_of_every_process() {
        let own = ProcessMark::of("self").unwrap();
        assert!(!own.is_of_step(&own));
        let status = "Name:\tx\nNSsid:\t0\t1\nNoNewPrivs:\t1\nSeccomp_filters:\t2\n";
        let expected = ProcessMark {
            session: 0,
            no_new_privileges: 1,
            filters: 2,
        };
        assert_eq!(ProcessMark::parse(status), Some(expected));
    }
}
