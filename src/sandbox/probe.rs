//! Which isolation can be had here, and if none, why not.

use std::fs;
use std::io;
use std::path::Path;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;

use super::error::{IsolationRefusal, SandboxError};
use super::spec::HelperAction;
use super::{Isolation, run};

/// The isolation to use, given what was asked for.
pub(super) fn choose(asked: Isolation, program: &Path) -> Result<Isolation, SandboxError> {
    let mut tried = Vec::new();
    if matches!(asked, Isolation::Auto | Isolation::Userns) {
        match run::probe(program)? {
            Ok(()) => return Ok(Isolation::Userns),
            Err((act, cause)) => {
                tried.push((Isolation::Userns, why(act, &cause, &KernelSettings::read())));
            }
        }
    }
    if matches!(asked, Isolation::Auto | Isolation::Chroot) {
        if can_change_root() {
            return Ok(Isolation::Chroot);
        }
        tried.push((Isolation::Chroot, IsolationRefusal::NotRoot));
    }
    if asked == Isolation::None {
        tried.push((Isolation::None, IsolationRefusal::NotInBuilder));
    }
    Err(SandboxError::Refused { tried })
}

/// What it takes to go to another root as another user, over files that are that user's.
fn can_change_root() -> bool {
    let needed = CapabilitySet::SYS_CHROOT
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::KILL;
    rustix::thread::capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

/// The user to be after a change of root: in a user namespace that does not know the one wanted, ours.
pub(super) fn possible(wanted: (u32, u32)) -> (u32, u32) {
    let knows = |map: &str, id: u32| fs::read_to_string(map).is_ok_and(|map| is_mapped(&map, id));
    if knows("/proc/self/uid_map", wanted.0) && knows("/proc/self/gid_map", wanted.1) {
        wanted
    } else {
        (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        )
    }
}

/// Whether a map of `user_namespaces(7)`, lines of `inside outside length`, has an id.
fn is_mapped(map: &str, id: u32) -> bool {
    map.lines().any(|line| {
        let fields: Vec<u64> = line
            .split_whitespace()
            .filter_map(|field| field.parse().ok())
            .collect();
        matches!(fields[..], [first, _, length] if (first..first.saturating_add(length)).contains(&u64::from(id)))
    })
}

/// Settings of the machine that keep user namespaces from programs.
#[derive(Debug, Clone, Copy, Default)]
struct KernelSettings {
    most: Option<u64>,
    unprivileged: Option<u64>,
    apparmor: Option<u64>,
    is_root: bool,
}

impl KernelSettings {
    fn read() -> Self {
        let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
        Self {
            most: number("/proc/sys/user/max_user_namespaces"),
            unprivileged: number("/proc/sys/kernel/unprivileged_userns_clone"),
            apparmor: number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            is_root: rustix::process::geteuid().is_root(),
        }
    }
}

/// What stands behind a refusal.
fn why(act: HelperAction, cause: &io::Error, settings: &KernelSettings) -> IsolationRefusal {
    let is_full = cause.raw_os_error() == Some(Errno::NOSPC.raw_os_error());
    match settings {
        KernelSettings {
            most: Some(most), ..
        } if *most == 0 || is_full => IsolationRefusal::SwitchedOff { most: *most },
        KernelSettings {
            unprivileged: Some(0),
            is_root: false,
            ..
        } => IsolationRefusal::UnprivilegedOff,
        KernelSettings {
            apparmor: Some(1),
            is_root: false,
            ..
        } => IsolationRefusal::AppArmor,
        _ if act == HelperAction::Namespaces => IsolationRefusal::Filtered {
            cause: cause.to_string(),
        },
        _ => IsolationRefusal::Within {
            act,
            cause: cause.to_string(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_machine_explain_a_refusal() {
        let refused = io::Error::from_raw_os_error(libc::EPERM);
        let full = io::Error::from_raw_os_error(libc::ENOSPC);
        let none = KernelSettings::default();
        let off = KernelSettings {
            most: Some(0),
            ..none
        };
        let apparmor = KernelSettings {
            most: Some(100),
            apparmor: Some(1),
            ..none
        };
        let debian = KernelSettings {
            unprivileged: Some(0),
            ..none
        };
        let root = KernelSettings {
            is_root: true,
            ..apparmor
        };
        let of = |act, cause, settings| why(act, cause, settings);
        assert_eq!(
            of(HelperAction::Namespaces, &full, &off),
            IsolationRefusal::SwitchedOff { most: 0 }
        );
        assert_eq!(
            of(HelperAction::Namespaces, &full, &apparmor),
            IsolationRefusal::SwitchedOff { most: 100 }
        );
        // There the namespace is made, and is of no use.
        assert_eq!(
            of(HelperAction::Mount, &refused, &apparmor),
            IsolationRefusal::AppArmor
        );
        assert_eq!(
            of(HelperAction::Namespaces, &refused, &debian),
            IsolationRefusal::UnprivilegedOff
        );
        assert!(matches!(
            of(HelperAction::Namespaces, &refused, &root),
            IsolationRefusal::Filtered { .. }
        ));
        assert!(matches!(
            of(HelperAction::Mount, &refused, &root),
            IsolationRefusal::Within {
                act: HelperAction::Mount,
                ..
            }
        ));
    }

    #[test]
    fn maps_are_read() {
        assert!(is_mapped("         0          0 4294967295\n", 1001));
        assert!(is_mapped("0 1000 1\n1 100000 65536\n", 1001));
        assert!(!is_mapped("0 1000 1\n", 1001));
        assert!(!is_mapped("nonsense", 0));
    }

    #[test]
    fn without_isolation_only_where_it_was_said() {
        let refused = choose(Isolation::None, Path::new("/none")).unwrap_err();
        let SandboxError::Refused { tried } = refused else {
            panic!("{refused}");
        };
        assert_eq!(tried, [(Isolation::None, IsolationRefusal::NotInBuilder)]);
    }
}
