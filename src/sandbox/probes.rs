//! Ways out of a step, each tried in each isolation: `probes.txt` lists what is tried and what must come of it.
//!
//! One step is a program in Python that tries them all. It runs in a root that holds that program and its libraries,
//! so that a change of root has little to copy.

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use super::tests::{Place, again, alive, is_root, run_in, shell};
use super::*;

const TABLE: &str = include_str!("probes.txt");
const PROGRAM: &str = include_str!("probes.py");
const PYTHON: &str = "/usr/bin/python3";

/// Prints the files that the program needs, names that lead to them too.
const NEEDS: &str = r#"
import ctypes, errno, fcntl, os, resource, signal, socket, stat, struct, sys, time
files = {line.split()[-1] for line in open("/proc/self/maps") if "/" in line}
files |= {one.__file__ for one in list(sys.modules.values()) if getattr(one, "__file__", None)}
for file in sorted(files):
    for name in os.listdir(os.path.dirname(file)):
        path = os.path.join(os.path.dirname(file), name)
        if os.path.realpath(path) == os.path.realpath(file):
            print(path)
for loader in ["/lib64/ld-linux-x86-64.so.2", "/lib/ld-linux-aarch64.so.1"]:
    if os.path.exists(loader):
        print("/usr" + loader)
"#;

/// Ways that kernels are built without, or were before Linux 6.15.
const MAY_BE_MISSING: &[&str] = &[
    "a mount taken hold of with other rights",
    "what is mounted, by number",
    "what is mounted, listed",
    "memory that nobody can count",
    "shares of the disk",
    "shares of the disk by a descriptor",
    "an account of all that runs",
    "another kernel",
    "memory on disk",
    "no memory on disk",
    "memory bound to a part of the machine",
    "pages of s2r moved",
    "what s2r shares with others",
    "a module",
    "a module from a file",
    "a module removed",
    "numbers of another machine",
    "the machine beneath",
    "ciphers of the kernel",
    "radio",
    "packets past the kernel",
    "clusters",
];

/// System calls that the table names.
const CALLS: &[(&str, libc::c_long)] = &[
    ("acct", libc::SYS_acct),
    ("add_key", libc::SYS_add_key),
    ("bpf", libc::SYS_bpf),
    ("capset", libc::SYS_capset),
    ("chroot", libc::SYS_chroot),
    ("clock_adjtime", libc::SYS_clock_adjtime),
    ("clock_settime", libc::SYS_clock_settime),
    ("clone", libc::SYS_clone),
    ("clone3", 435),
    ("delete_module", libc::SYS_delete_module),
    ("fanotify_init", libc::SYS_fanotify_init),
    ("finit_module", libc::SYS_finit_module),
    ("fsconfig", 431),
    ("fsopen", 430),
    ("fspick", 433),
    ("init_module", libc::SYS_init_module),
    ("io_uring_setup", 425),
    ("ioprio_set", libc::SYS_ioprio_set),
    ("kcmp", libc::SYS_kcmp),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("listmount", 458),
    ("mbind", libc::SYS_mbind),
    ("memfd_secret", 447),
    ("mount", libc::SYS_mount),
    ("mount_setattr", 442),
    ("move_mount", 429),
    ("move_pages", libc::SYS_move_pages),
    ("name_to_handle_at", libc::SYS_name_to_handle_at),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("open_tree", 428),
    ("open_tree_attr", 467),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("personality", libc::SYS_personality),
    ("pidfd_getfd", 438),
    ("pidfd_open", 434),
    ("pidfd_send_signal", 424),
    ("pivot_root", libc::SYS_pivot_root),
    ("prctl", libc::SYS_prctl),
    ("prlimit64", libc::SYS_prlimit64),
    ("process_madvise", 440),
    ("process_mrelease", 448),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("ptrace", libc::SYS_ptrace),
    ("quotactl", libc::SYS_quotactl),
    ("quotactl_fd", 443),
    ("reboot", libc::SYS_reboot),
    ("request_key", libc::SYS_request_key),
    ("rt_sigqueueinfo", libc::SYS_rt_sigqueueinfo),
    ("setdomainname", libc::SYS_setdomainname),
    ("sethostname", libc::SYS_sethostname),
    ("setns", libc::SYS_setns),
    ("settimeofday", libc::SYS_settimeofday),
    ("statmount", 457),
    ("swapoff", libc::SYS_swapoff),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("umount2", libc::SYS_umount2),
    ("unshare", libc::SYS_unshare),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("vmsplice", libc::SYS_vmsplice),
];

/// As the inside of a dictionary in Python.
fn calls() -> String {
    let mut calls = String::new();
    for (name, number) in CALLS {
        write!(calls, "'{name}': {number}, ").unwrap();
    }
    calls
}

/// A line of the table.
struct Probe {
    name: &'static str,
    tries: &'static str,
    answers: [&'static str; 3],
}

/// The columns of answers.
#[derive(Clone, Copy)]
enum Column {
    Userns,
    Chroot,
    Bare,
}

fn table() -> Vec<Probe> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let columns: Vec<&str> = line.split(';').map(str::trim).collect();
            let [name, tries, userns, chroot, bare] = columns[..] else {
                panic!("{line}");
            };
            Probe {
                name,
                tries,
                answers: [userns, chroot, bare],
            }
        })
        .collect()
}

/// What a step must not reach.
struct Machine {
    folder: tempfile::TempDir,
    place: Place,
    mark: String,
    _servers: (TcpListener, UnixListener, UnixListener),
    /// Leads a group. That of the test may lie outside its namespace of processes, where it has no number.
    neighbour: Child,
    constants: String,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.neighbour.kill();
        let _ = self.neighbour.wait();
    }
}

impl Machine {
    fn new(column: Column) -> Self {
        crate::host::keep_private().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(at("secret"), "secret").unwrap();
        fs::create_dir(at("given")).unwrap();
        fs::write(at("given/file"), "given").unwrap();
        let place = Place::new();
        let mut setuid = at("rooted");
        fs::copy(PYTHON, &setuid).unwrap();
        if matches!(column, Column::Bare) {
            fs::set_permissions(&setuid, fs::Permissions::from_mode(0o4755)).unwrap();
        } else {
            furnish(&place.root.lower[0]);
            let inside = place.root.lower[0].join("usr/bin/rooted");
            fs::rename(&setuid, &inside).unwrap();
            fs::set_permissions(&inside, fs::Permissions::from_mode(0o4755)).unwrap();
            setuid = "/usr/bin/rooted".into();
        }
        let own = std::process::id();
        let mut sleep = Command::new("sleep");
        let neighbour = sleep.arg("1000").process_group(0).spawn().unwrap();
        let name = at("").file_name().unwrap().to_str().unwrap().to_owned();
        let servers = (
            TcpListener::bind("127.0.0.1:0").unwrap(),
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
            UnixListener::bind(at("socket")).unwrap(),
        );
        let mark = format!("s2r-probes{name}");
        let mut constants = format!(
            "CALLS = {{{}}}\nSECRET = {:?}\nNAMED = {:?}\nSETUID = {setuid:?}\nMARK = '{mark}'\n",
            calls(),
            at("secret"),
            at("socket"),
        );
        write!(
            constants,
            "S2R = {own}\nGROUP = {}\nPORT = {}\nABSTRACT = b'{name}'\nPROBES = {:?}\n",
            neighbour.id(),
            servers.0.local_addr().unwrap().port(),
            table().iter().map(|probe| probe.tries).collect::<Vec<_>>(),
        )
        .unwrap();
        Self {
            folder,
            place,
            mark,
            _servers: servers,
            neighbour,
            constants,
        }
    }

    fn step(&self, column: Column) -> SandboxStep {
        let script = format!("{}{PROGRAM}", self.constants);
        let mut step = shell("");
        step.command = [PYTHON, "-I", "-S", "-c", &script]
            .map(str::to_owned)
            .to_vec();
        step.mounts.clear();
        if !matches!(column, Column::Bare) {
            step.mounts.push(StepMount {
                from: self.folder.path().join("given"),
                to: "/given".to_owned(),
                is_writable: false,
            });
        }
        step
    }
}

/// Copies what the program needs into a root.
fn furnish(lower: &Path) {
    let needs = Command::new(PYTHON)
        .args(["-I", "-S", "-c", NEEDS])
        .output()
        .unwrap();
    assert!(needs.status.success(), "{needs:?}");
    let needs = String::from_utf8(needs.stdout).unwrap();
    for path in needs.lines().chain([PYTHON]).map(Path::new) {
        // `/lib` is a link to `/usr/lib`, as on the machine.
        let to = lower.join(path.strip_prefix("/").unwrap());
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(path, &to).unwrap();
    }
}

/// What was said of each probe.
fn answers(printed: &str) -> BTreeMap<usize, &str> {
    printed
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(number, said)| (number.parse().unwrap_or(usize::MAX), said))
        .collect()
}

#[track_caller]
fn try_all(sandbox: &Sandbox, column: Column) {
    let machine = Machine::new(column);
    let step = machine.step(column);
    let (ended, printed) = run_in(sandbox, &machine.place, &step);
    assert_eq!(ended.status, CommandStatus::Code(0), "{printed}");
    let said = answers(&printed);
    let mut wrong = String::new();
    for (number, probe) in table().iter().enumerate() {
        let said = said.get(&number).copied().unwrap_or("nothing");
        let wanted = probe.answers[column as usize];
        if !wanted.split('/').any(|wanted| wanted == said) {
            writeln!(wrong, "{}: {said}, not {wanted}", probe.name).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}{printed}");
    assert_eq!(alive(&machine.mark), 0);
    let given = fs::read_to_string(machine.folder.path().join("given/file")).unwrap();
    assert_eq!(given, "given");
    assert!(!machine.folder.path().join("given/new").exists());
}

#[test]
fn a_hundred_ways_out_of_namespaces() {
    assert!(table().len() >= 100);
    let sandbox = Sandbox::new(Isolation::Userns, Path::new("/proc/self/exe")).unwrap();
    try_all(&sandbox, Column::Userns);
}

#[test]
fn a_hundred_ways_out_of_another_root() {
    if is_root() {
        let sandbox = Sandbox::new(Isolation::Chroot, Path::new("/proc/self/exe")).unwrap();
        try_all(&sandbox, Column::Chroot);
    }
}

#[test]
fn a_hundred_ways_without_isolation() {
    try_all(&Sandbox::bare(Path::new("/proc/self/exe")), Column::Bare);
}

#[test]
fn a_changed_root_has_a_network_of_its_own_where_that_may_be() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    furnish(&place.root.lower[0]);
    let sandbox = Sandbox::new(Isolation::Chroot, Path::new("/proc/self/exe")).unwrap();
    let mut step = shell("");
    step.mounts.clear();
    step.command = [
        PYTHON,
        "-I",
        "-S",
        "-c",
        "import socket; print(len(socket.if_nameindex()))",
    ]
    .map(str::to_owned)
    .to_vec();
    let rights = rustix::thread::capabilities(None).unwrap().effective;
    let may = rights.contains(rustix::thread::CapabilitySet::SYS_ADMIN);
    let (ended, printed) = run_in(&sandbox, &place, &step);
    assert_eq!(ended.status, CommandStatus::Code(0), "{printed}");
    assert_eq!(ended.reached_network, !may);
    assert!(!may || printed == "1\n", "{printed}");
    step.has_network = true;
    assert!(run_in(&sandbox, &place, &step).0.reached_network);
}

#[test]
fn again_without_the_right_to_namespaces() {
    if is_root() {
        let user = ["setpriv", "--bounding-set", "-sys_admin"];
        again(&user, &["sandbox::probes::a_changed_root"]);
    }
}

/// In namespaces without a filter the calls of the table are there: where the kernel has no such call, or the table words
/// it wrongly, nothing is tried.
#[test]
fn the_ways_are_ways() {
    let machine = Machine::new(Column::Userns);
    let step = machine.step(Column::Userns);
    let mut words = vec!["setpriv", "--no-new-privs"];
    if is_root() {
        words.extend(["--reuid", "12345", "--regid", "12345", "--clear-groups"]);
    }
    // The session begins below: a child of ours with one of its own would be taken for what a step left.
    words.extend(["unshare", "-Urmpfniu", "--mount-proc", "setsid"]);
    words.extend(step.command.iter().map(String::as_str));
    let output = Command::new(words[0])
        .args(&words[1..])
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    let said = answers(&printed);
    let filtered = |answer: &str| ["ENOSYS", "EAFNOSUPPORT"].contains(&answer);
    let table = table();
    let asked = table
        .iter()
        .enumerate()
        .filter(|(_, probe)| filtered(probe.answers[0]));
    let (there, missing): (Vec<_>, Vec<_>) =
        asked.partition(|(number, _)| said.get(number).is_some_and(|said| !filtered(said)));
    assert!(!there.is_empty());
    let missing = missing.iter().map(|(_, probe)| probe.name);
    let missing: Vec<&str> = missing
        .filter(|name| !MAY_BE_MISSING.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
    // The list names nothing that the table does not have.
    for name in MAY_BE_MISSING {
        assert!(table.iter().any(|probe| probe.name == *name), "{name}");
    }
}

#[test]
fn again_as_an_ordinary_user() {
    if is_root() {
        let user = [
            "setpriv",
            "--reuid",
            "12345",
            "--regid",
            "12345",
            "--clear-groups",
        ];
        again(&user, &["sandbox::probes"]);
    }
}
