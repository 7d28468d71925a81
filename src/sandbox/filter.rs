//! The filter of system calls: a program for the kernel's classic BPF machine.
//!
//! Written by hand: `seccompiler` knows one action for all rules (we need "not permitted", "no such
//! call" and "kill"), and does not look at the x32 bit, by which any rule of ours would be walked
//! round on x86-64. Format: `linux/filter.h`, `linux/seccomp.h`, seccomp(2).
//!
//! A list of what is refused, not of what is allowed: build tools of any language run here, and the
//! borders are drawn by namespaces and missing rights. The filter takes away the kernel's doors that
//! have let people through those borders before.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_JSET, BPF_K, BPF_LD, BPF_RET, BPF_W, SECCOMP_RET_ALLOW,
    SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, sock_filter,
};

/// What a rule does with a call that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// "Operation not permitted".
    Refuse,
    /// "No such system call": libraries then fall back to an older one.
    Unknown,
}

/// Calls refused whatever their arguments.
const REFUSED: &[libc::c_long] = &[
    // Other views of the file system, and of everything else that has namespaces.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_unshare,
    libc::SYS_setns,
    // Files by number, past every folder's rights.
    libc::SYS_open_by_handle_at,
    libc::SYS_name_to_handle_at,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    // Keys are not within any namespace.
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // Wide doors with a history.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_lookup_dcookie,
    // The machine itself.
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_syslog,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_clock_adjtime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_mbind,
    libc::SYS_set_mempolicy,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS__sysctl,
];

/// Calls that libraries can do without, and whose arguments lie in memory, where no filter sees them.
const UNKNOWN: &[libc::c_long] = &[libc::SYS_clone3];

/// Flags of `clone` that ask for namespaces.
const NEW_NAMESPACES: libc::c_int = libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET;

/// Ioctls refused on any descriptor: they type into a terminal that we share with the caller.
const REFUSED_IOCTLS: &[libc::Ioctl] = &[libc::TIOCSTI, TIOCLINUX, libc::TIOCSETD];

/// `linux/tty.h`: moves the selection of a console, and pastes it.
const TIOCLINUX: libc::Ioctl = 0x541C;

/// Personalities that change how addresses are chosen or calls are read, as bits of the first
/// argument; all that is asked for in earnest (a 32-bit `uname`, no randomness for a debugger) is
/// among the others.
const REFUSED_PERSONALITY: u32 = 0x0010_0000 | 0x0040_0000;

/// `linux/audit.h`.
#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xC000_003E;
/// `linux/audit.h`.
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xC000_00B7;

/// Numbers from here on are x32's on x86-64, and no calls elsewhere.
const X32: u32 = 0x4000_0000;

// Offsets in `struct seccomp_data`; the low half of an argument comes first on little-endian machines.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const FIRST_ARGUMENT: u32 = 16;
const SECOND_ARGUMENT: u32 = 24;

/// The whole program.
pub(crate) fn program() -> Vec<sock_filter> {
    let mut code = vec![
        load(ARCHITECTURE),
        // Another architecture's calls have other numbers.
        jump(BPF_JEQ, NATIVE, 1, 0),
        give(SECCOMP_RET_KILL_PROCESS),
        load(NUMBER),
        jump(BPF_JSET, X32, 0, 1),
        give(SECCOMP_RET_ERRNO | errno(libc::ENOSYS)),
    ];
    for (calls, answer) in [(REFUSED, Answer::Refuse), (UNKNOWN, Answer::Unknown)] {
        for call in calls {
            code.push(jump(BPF_JEQ, number(*call), 0, 1));
            code.push(give(answer.action()));
        }
    }
    by_bits(&mut code, libc::SYS_clone, NEW_NAMESPACES.cast_unsigned());
    by_bits(&mut code, libc::SYS_personality, REFUSED_PERSONALITY);
    by_values(&mut code);
    code.push(give(SECCOMP_RET_ALLOW));
    code
}

impl Answer {
    fn action(self) -> u32 {
        SECCOMP_RET_ERRNO
            | errno(match self {
                Self::Refuse => libc::EPERM,
                Self::Unknown => libc::ENOSYS,
            })
    }
}

/// Refuses `call` if any of `bits` is set in its first argument; leaves the number loaded. All bits
/// at once are no flags but a question (personality) or nonsense (clone).
fn by_bits(code: &mut Vec<sock_filter>, call: libc::c_long, bits: u32) {
    code.extend([
        jump(BPF_JEQ, number(call), 0, 5),
        load(FIRST_ARGUMENT),
        jump(BPF_JEQ, u32::MAX, 2, 0),
        jump(BPF_JSET, bits, 0, 1),
        give(Answer::Refuse.action()),
        load(NUMBER),
    ]);
}

/// Refuses ioctls by their request; the last rule, so that nothing need be loaded again.
fn by_values(code: &mut Vec<sock_filter>) {
    code.push(jump(BPF_JEQ, number(libc::SYS_ioctl), 1, 0));
    code.push(give(SECCOMP_RET_ALLOW));
    code.push(load(SECOND_ARGUMENT));
    for request in REFUSED_IOCTLS {
        code.push(jump(
            BPF_JEQ,
            u32::try_from(*request).unwrap_or(u32::MAX),
            0,
            1,
        ));
        code.push(give(Answer::Refuse.action()));
    }
}

fn load(offset: u32) -> sock_filter {
    statement(BPF_LD | BPF_W | BPF_ABS, offset)
}

fn give(action: u32) -> sock_filter {
    statement(BPF_RET | BPF_K, action)
}

fn statement(code: u32, k: u32) -> sock_filter {
    sock_filter {
        code: u16::try_from(code).unwrap_or(0),
        jt: 0,
        jf: 0,
        k,
    }
}

/// Compares what is loaded; goes on `yes` or `no` instructions after the next.
fn jump(test: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter {
        jt: yes,
        jf: no,
        ..statement(BPF_JMP | test | BPF_K, k)
    }
}

fn number(call: libc::c_long) -> u32 {
    u32::try_from(call).unwrap_or(u32::MAX)
}

fn errno(error: libc::c_int) -> u32 {
    error.cast_unsigned() & libc::SECCOMP_RET_DATA
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program says of one call: the kernel's machine, as far as the program uses it.
    fn ask(architecture: u32, call: u32, arguments: [u64; 2]) -> u32 {
        let program = program();
        let mut loaded = 0;
        let mut at = 0;
        loop {
            let step = program[at];
            at += 1;
            match u32::from(step.code) {
                code if code == BPF_LD | BPF_W | BPF_ABS => {
                    loaded = match step.k {
                        NUMBER => call,
                        ARCHITECTURE => architecture,
                        FIRST_ARGUMENT => u32::try_from(arguments[0] & 0xffff_ffff).unwrap(),
                        SECOND_ARGUMENT => u32::try_from(arguments[1] & 0xffff_ffff).unwrap(),
                        other => panic!("no such offset: {other}"),
                    };
                }
                code if code == BPF_RET | BPF_K => return step.k,
                code => {
                    let holds = match code {
                        code if code == BPF_JMP | BPF_JEQ | BPF_K => loaded == step.k,
                        code if code == BPF_JMP | BPF_JSET | BPF_K => loaded & step.k != 0,
                        other => panic!("no such instruction: {other}"),
                    };
                    at += usize::from(if holds { step.jt } else { step.jf });
                }
            }
        }
    }

    fn native(call: libc::c_long, arguments: [u64; 2]) -> u32 {
        ask(NATIVE, number(call), arguments)
    }

    const EPERM: u32 = SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    #[test]
    fn what_programs_do_is_allowed() {
        for call in [
            libc::SYS_read,
            libc::SYS_openat,
            libc::SYS_execve,
            libc::SYS_socket,
            libc::SYS_seccomp,
            libc::SYS_prctl,
            libc::SYS_statx,
        ] {
            assert_eq!(native(call, [0, 0]), SECCOMP_RET_ALLOW);
        }
        // A thread as glibc makes it, and a question for the size of a terminal.
        assert_eq!(native(libc::SYS_clone, [0x003d_0f00, 0]), SECCOMP_RET_ALLOW);
        assert_eq!(native(libc::SYS_ioctl, [0, 0x5413]), SECCOMP_RET_ALLOW);
        assert_eq!(
            native(libc::SYS_personality, [0xffff_ffff, 0]),
            SECCOMP_RET_ALLOW
        );
    }

    #[test]
    fn every_listed_call_is_refused() {
        for call in REFUSED {
            assert_eq!(native(*call, [0, 0]), EPERM, "{call}");
        }
        assert_eq!(native(libc::SYS_clone3, [0, 0]), ENOSYS);
    }

    #[test]
    fn arguments_are_looked_at() {
        for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNET, libc::CLONE_NEWNS] {
            assert_eq!(
                native(libc::SYS_clone, [u64::from(flag.cast_unsigned()) | 0x11, 0]),
                EPERM
            );
        }
        assert_eq!(native(libc::SYS_ioctl, [0, 0x5412]), EPERM);
        // The upper half is not the kernel's either.
        assert_eq!(native(libc::SYS_ioctl, [0, 0xdead_0000_5412]), EPERM);
        assert_eq!(native(libc::SYS_personality, [0x0040_0000, 0]), EPERM);
    }

    #[test]
    fn foreign_architectures_end_the_process() {
        assert_eq!(ask(0x4000_0003, 1, [0, 0]), SECCOMP_RET_KILL_PROCESS);
        assert_eq!(ask(NATIVE, X32 | 1, [0, 0]), ENOSYS);
    }

    #[test]
    fn jumps_stay_within_the_program() {
        let program = program();
        assert!(program.len() < 4096);
        for (at, step) in program.iter().enumerate() {
            if u32::from(step.code) & 7 == BPF_JMP {
                assert!(at + 1 + usize::from(step.jt.max(step.jf)) < program.len());
            }
        }
    }
}
