//! The filter of system calls: which calls a step may make. seccomp(2).
//!
//! A list of what is allowed: kernels gain calls, and what nobody has looked at is refused. It holds what
//! build tools of any language use to work on files, memory, processes of their own and sockets; the borders
//! are drawn by namespaces and missing rights, and the filter takes away the doors that have let people through
//! those borders before. What is not on the list "does not exist" (`ENOSYS`), so libraries fall back to an older
//! call: glibc does for `clone3`, whose flags lie in memory, where no filter sees them. Left out as well is what
//! takes memory that nobody can count (`memfd_secret`, `vmsplice`).
//!
//! Three programs, because `seccompiler` gives one answer for all rules of one; the kernel asks each, and the
//! strictest counts. Numbers of x32 are on no list.

mod calls;

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::Dword;
use seccompiler::SeccompCmpOp::{Eq, MaskedEq, Ne};
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};

use calls::{ALLOWED, ALLOWED_HERE, BY_NUMBER};

/// Flags of `clone` that ask for namespaces.
const NEW_NAMESPACES: &[libc::c_int] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Ioctls refused on any descriptor: they type into a terminal that we share with the caller.
const REFUSED_IOCTLS: &[libc::Ioctl] = &[libc::TIOCSTI, TIOCLINUX, libc::TIOCSETD];

/// `linux/tty.h`: moves the selection of a console, and pastes it.
const TIOCLINUX: libc::Ioctl = 0x541C;

/// Personalities that change how addresses are chosen or calls are read, as bits of the first
/// argument; all that is asked for in earnest (a 32-bit `uname`, no randomness for a debugger) is
/// among the others.
const REFUSED_PERSONALITIES: &[u64] = &[0x0010_0000, 0x0040_0000];

/// The argument of `personality` that changes nothing and asks.
const WHICH_PERSONALITY: u64 = 0xffff_ffff;

/// Families of sockets that there are. Others lead past the network's namespace (`AF_VSOCK` to the hypervisor)
/// or into parts of the kernel that no build needs.
const FAMILIES: &[libc::c_int] = &[
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// What a confined program does without.
const NOT_FOR_CONFINED: &[c_long] = &[
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tgkill,
    libc::SYS_tkill,
    libc::SYS_pidfd_send_signal,
];

/// What a step does not share with the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OwnCalls {
    /// Queues and memory by number.
    pub ipc: bool,
    /// The list of processes.
    pub processes: bool,
}

/// Rules of one program: for each call, any of them.
type SyscallRules = BTreeMap<c_long, Vec<SeccompRule>>;

/// The programs, in the order in which they are to be installed.
pub(crate) fn programs(own: OwnCalls) -> Result<Vec<BpfProgram>, BackendError> {
    let mut not_permitted = not_permitted()?;
    if !own.processes {
        // A limit of time is as good as a signal.
        not_permitted.insert(libc::SYS_prlimit64, vec![rule(&[(0, Ne, 0)])?]);
    }
    Ok(vec![
        program(allowed(own.ipc), libc::ENOSYS, true)?,
        program(not_permitted, libc::EPERM, false)?,
        program(unknown_families()?, libc::EAFNOSUPPORT, false)?,
    ])
}

/// The programs for what needs no socket, no other process and no rights at all.
pub(crate) fn without_sockets() -> Result<Vec<BpfProgram>, BackendError> {
    let refused = NOT_FOR_CONFINED.iter().map(|call| (*call, Vec::new()));
    let mut programs = programs(OwnCalls {
        ipc: false,
        processes: false,
    })?;
    programs.push(program(refused.collect(), libc::EPERM, false)?);
    Ok(programs)
}

/// One program, which answers with an error what is in its rules, or what is not.
fn program(
    rules: SyscallRules,
    errno: libc::c_int,
    is_allow_list: bool,
) -> Result<BpfProgram, BackendError> {
    let refuse = SeccompAction::Errno(errno.cast_unsigned());
    let (listed, rest) = if is_allow_list {
        (SeccompAction::Allow, refuse)
    } else {
        (refuse, SeccompAction::Allow)
    };
    SeccompFilter::new(rules, rest, listed, std::env::consts::ARCH.try_into()?)?.try_into()
}

fn allowed(has_own_ipc: bool) -> SyscallRules {
    let by_number = if has_own_ipc { BY_NUMBER } else { &[] };
    [ALLOWED, ALLOWED_HERE, by_number]
        .concat()
        .into_iter()
        .map(|call| (call, Vec::new()))
        .collect()
}

fn not_permitted() -> Result<SyscallRules, BackendError> {
    let mut clone = Vec::new();
    for flag in NEW_NAMESPACES {
        clone.push(has_bits(u64::from(flag.cast_unsigned()), None)?);
    }
    let mut ioctl = Vec::new();
    for request in REFUSED_IOCTLS {
        ioctl.push(rule(&[(1, Eq, request & 0xffff_ffff)])?);
    }
    let mut personality = Vec::new();
    for bit in REFUSED_PERSONALITIES {
        personality.push(has_bits(*bit, Some(WHICH_PERSONALITY))?);
    }
    Ok(BTreeMap::from([
        (libc::SYS_clone, clone),
        (libc::SYS_ioctl, ioctl),
        (libc::SYS_personality, personality),
    ]))
}

fn unknown_families() -> Result<SyscallRules, BackendError> {
    let mut others = Vec::new();
    for family in FAMILIES {
        others.push((0, Ne, u64::from(family.cast_unsigned())));
    }
    // What the kernel tells of interfaces and addresses, and nothing else that it has to say.
    let netlink = [
        (0, Eq, u64::from(libc::AF_NETLINK.cast_unsigned())),
        (2, Ne, u64::from(libc::NETLINK_ROUTE.cast_unsigned())),
    ];
    let rules = vec![rule(&others)?, rule(&netlink)?];
    Ok(BTreeMap::from([
        (libc::SYS_socket, rules.clone()),
        (libc::SYS_socketpair, rules),
    ]))
}

/// Any value of the first argument with these bits, but one.
fn has_bits(bits: u64, but: Option<u64>) -> Result<SeccompRule, BackendError> {
    let but = but.map(|value| (0, Ne, value));
    let conditions: Vec<_> = [(0, MaskedEq(bits), bits)].into_iter().chain(but).collect();
    rule(&conditions)
}

/// Holds if all of these do: number of an argument, of which the kernel reads 32 bits, and what it is.
fn rule(conditions: &[(u8, SeccompCmpOp, u64)]) -> Result<SeccompRule, BackendError> {
    let conditions = conditions
        .iter()
        .map(|(argument, is, value)| SeccompCondition::new(*argument, Dword, is.clone(), *value))
        .collect::<Result<_, _>>()?;
    SeccompRule::new(conditions)
}

#[cfg(test)]
mod tests;
