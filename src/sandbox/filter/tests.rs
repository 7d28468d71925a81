//! Answers of the filter, asked of a machine like the kernel's.

use super::*;

#[cfg(target_arch = "x86_64")]
const NATIVE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const NATIVE: u32 = 0xC000_00B7;

/// What one program says of a call: the kernel's machine (`linux/filter.h`), as far as programs use it.
fn answer(program: &BpfProgram, architecture: u32, call: u32, arguments: [u64; 3]) -> u32 {
    let mut data = [0_u32; 16];
    (data[0], data[1]) = (call, architecture);
    for (place, argument) in data[4..].chunks_mut(2).zip(arguments) {
        place[0] = u32::try_from(argument & 0xffff_ffff).unwrap();
        place[1] = u32::try_from(argument >> 32).unwrap();
    }
    let (mut loaded, mut at) = (0, 0);
    loop {
        let step = &program[at];
        at += 1;
        let holds = match u32::from(step.code) {
            0x20 => {
                loaded = data[step.k as usize / 4];
                continue;
            }
            0x54 => {
                loaded &= step.k;
                continue;
            }
            0x06 => return step.k,
            0x05 => {
                at += step.k as usize;
                continue;
            }
            0x15 => loaded == step.k,
            0x25 => loaded > step.k,
            0x35 => loaded >= step.k,
            other => panic!("no such instruction: {other:#x}"),
        };
        at += usize::from(if holds { step.jt } else { step.jf });
    }
}

/// What the kernel makes of all answers: the first of the strictest, seen from the last program.
fn ask_all(architecture: u32, call: u32, arguments: [u64; 3], own: OwnCalls) -> u32 {
    let programs = programs(own).unwrap();
    assert!(programs.iter().all(|program| program.len() < 4096));
    let answers = programs
        .iter()
        .rev()
        .map(|program| answer(program, architecture, call, arguments));
    answers
        .min_by_key(|answer| (answer & 0xffff_0000).cast_signed())
        .unwrap()
}

const ALL_OWN: OwnCalls = OwnCalls {
    ipc: true,
    processes: true,
};
const NONE_OWN: OwnCalls = OwnCalls {
    ipc: false,
    processes: false,
};

fn ask(call: c_long, arguments: [u64; 3]) -> u32 {
    ask_all(NATIVE, u32::try_from(call).unwrap(), arguments, ALL_OWN)
}

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;

const fn error(errno: libc::c_int) -> u32 {
    libc::SECCOMP_RET_ERRNO | errno.cast_unsigned()
}

/// Calls that somebody has looked at and left out, with numbers of both machines alike (from 424 on) or of
/// `libc`.
const LEFT_OUT: &[(&str, c_long)] = &[
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("chroot", libc::SYS_chroot),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("kcmp", libc::SYS_kcmp),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("request_key", libc::SYS_request_key),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("vmsplice", libc::SYS_vmsplice),
    ("init_module", libc::SYS_init_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("quotactl", libc::SYS_quotactl),
    ("mbind", libc::SYS_mbind),
    ("move_pages", libc::SYS_move_pages),
    ("io_uring_setup", 425),
    ("io_uring_enter", 426),
    ("io_uring_register", 427),
    ("open_tree", 428),
    ("move_mount", 429),
    ("fsopen", 430),
    ("fsconfig", 431),
    ("fsmount", 432),
    ("fspick", 433),
    ("clone3", 435),
    ("pidfd_getfd", 438),
    ("process_madvise", 440),
    ("mount_setattr", 442),
    ("quotactl_fd", 443),
    ("memfd_secret", 447),
    ("process_mrelease", 448),
    ("set_mempolicy_home_node", 450),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("open_tree_attr", 467),
    ("file_getattr", 468),
    ("file_setattr", 469),
    ("listns", 470),
];

#[test]
fn what_is_left_out_does_not_exist() {
    for (name, call) in LEFT_OUT {
        assert_eq!(ask(*call, [0; 3]), error(libc::ENOSYS), "{name}");
    }
    // What kernels will gain, and numbers of x32.
    for call in (471..1024).chain([0x4000_0000, 0x4000_0001, 0x4000_0000 + 322]) {
        assert_eq!(ask(call, [0; 3]), error(libc::ENOSYS), "{call}");
    }
}

/// Every call that this machine's headers name (`asm/unistd_64.h`) and that is younger than the numbers that
/// all machines share is allowed or left out by name: a new one fails here until somebody has looked at it.
#[test]
fn every_call_of_the_headers_has_been_decided_on() {
    let header = ["x86_64-linux-gnu/asm/unistd_64.h", "asm-generic/unistd.h"]
        .iter()
        .find_map(|path| {
            std::fs::read_to_string(std::path::Path::new("/usr/include").join(path)).ok()
        });
    let known = allowed(true);
    for line in header.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_whitespace();
        let (Some("#define"), Some(name), Some(number)) =
            (words.next(), words.next(), words.next())
        else {
            continue;
        };
        let (Some(name), Ok(number)) = (name.strip_prefix("__NR_"), number.parse()) else {
            continue;
        };
        let is_left_out = LEFT_OUT.contains(&(name, number));
        assert!(
            number < 424 || is_left_out != known.contains_key(&number),
            "{name} ({number}) is neither allowed nor left out"
        );
    }
}

#[test]
fn what_programs_do_is_allowed() {
    for call in [
        libc::SYS_read,
        libc::SYS_openat,
        libc::SYS_execve,
        libc::SYS_seccomp,
        libc::SYS_prctl,
        libc::SYS_statx,
        libc::SYS_shmget,
    ] {
        assert_eq!(ask(call, [0; 3]), ALLOW);
    }
    // A thread as glibc makes it, and a question for the size of a terminal.
    assert_eq!(ask(libc::SYS_clone, [0x003d_0f00, 0, 0]), ALLOW);
    assert_eq!(ask(libc::SYS_ioctl, [0, 0x5413, 0]), ALLOW);
    assert_eq!(ask(libc::SYS_personality, [WHICH_PERSONALITY, 0, 0]), ALLOW);
    for family in FAMILIES {
        let family = u64::from(family.cast_unsigned());
        assert_eq!(ask(libc::SYS_socket, [family, 1, 0]), ALLOW);
    }
}

#[test]
fn arguments_are_looked_at() {
    for flag in NEW_NAMESPACES {
        let flags = u64::from(flag.cast_unsigned()) | 0x11;
        assert_eq!(ask(libc::SYS_clone, [flags, 0, 0]), error(libc::EPERM));
    }
    for request in [0x5412, 0x541C, 0x5423, 0xdead_0000_5412] {
        // The upper half is not the kernel's either.
        assert_eq!(ask(libc::SYS_ioctl, [0, request, 0]), error(libc::EPERM));
    }
    for bits in [0x0040_0000, 0x0014_0000] {
        assert_eq!(ask(libc::SYS_personality, [bits, 0, 0]), error(libc::EPERM));
    }
    for family in (3..64).filter(|family| ![10, 16].contains(family)) {
        for call in [libc::SYS_socket, libc::SYS_socketpair] {
            let said = ask(call, [family, 1, 0]);
            assert_eq!(said, error(libc::EAFNOSUPPORT), "{family}");
        }
    }
    let audit = [16, 3, 9];
    assert_eq!(ask(libc::SYS_socket, audit), error(libc::EAFNOSUPPORT));
}

#[test]
fn memory_by_number_is_for_namespaces() {
    for call in BY_NUMBER {
        let number = u32::try_from(*call).unwrap();
        assert_eq!(ask_all(NATIVE, number, [0; 3], ALL_OWN), ALLOW);
        let said = ask_all(NATIVE, number, [0; 3], NONE_OWN);
        assert_eq!(said, error(libc::ENOSYS));
    }
}

#[test]
fn limits_of_others_are_for_namespaces() {
    let number = u32::try_from(libc::SYS_prlimit64).unwrap();
    assert_eq!(ask_all(NATIVE, number, [7, 0, 0], ALL_OWN), ALLOW);
    assert_eq!(ask_all(NATIVE, number, [0; 3], NONE_OWN), ALLOW);
    let said = ask_all(NATIVE, number, [7, 0, 0], NONE_OWN);
    assert_eq!(said, error(libc::EPERM));
}

#[test]
fn foreign_architectures_end_the_process() {
    let said = ask_all(0x4000_0003, 1, [0; 3], ALL_OWN);
    assert_eq!(said, libc::SECCOMP_RET_KILL_PROCESS);
}
