//! The file system that a step sees, built by the first process of the new namespaces.
//!
//! What is to be mounted is taken hold of before the new root is entered, and put in its place
//! afterwards: so no link in the new root, which an earlier step may have set, leads out of it.
//! Needs Linux 5.12, as overlays without rights do (5.11).

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsmount, fsopen, mount, mount_bind, mount_change,
    mount_remount, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::{AttemptedResult, HelperTrouble};
use crate::sandbox::spec::{BindMount, HelperAction, RootKind, StepSpec};
use crate::sandbox::system;

/// The devices that programs count on, and no others.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`, as every distribution has them.
const DEVICE_LINKS: &[(&str, &str)] = &[
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// Where the kernel's settings are: to be read. If root started us, the step is root to the kernel in
/// the one respect that counts here: it owns these files.
const PROC_READ_ONLY: &[&str] = &["bus", "fs", "irq", "sys"];

/// What says too much about the machine, or does too much to it.
const PROC_HIDDEN: &[&str] = &[
    "sysrq-trigger",
    "kcore",
    "kmsg",
    "keys",
    "latency_stats",
    "timer_list",
    "timer_stats",
    "sched_debug",
    "acpi",
    "asound",
    "dynamic_debug",
    "interrupts",
    "kpagecgroup",
    "kpagecount",
    "kpageflags",
    "mtrr",
    "pagetypeinfo",
    "slabinfo",
    "vmallocinfo",
    // Whoever may write there has the kernel wake it on the machine's load.
    "pressure",
    "scsi",
];

/// The name of the machine inside; the real one must not leak into what is built.
const HOST_NAME: &[u8] = b"s2r";

/// A mount taken hold of, and where it goes.
struct HeldMount<'a> {
    tree: OwnedFd,
    bind: &'a BindMount,
    is_folder: bool,
}

/// Mounts something, to see whether that is allowed.
pub(super) fn try_one() -> Result<(), HelperTrouble> {
    keep_to_ourselves()?;
    mount(
        "tmpfs",
        "/",
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        None,
    )
    .tried(HelperAction::Mount, "tmpfs")
}

/// Builds the root and enters it.
pub(super) fn build(spec: &StepSpec) -> Result<(), HelperTrouble> {
    keep_to_ourselves()?;
    match rustix::system::sethostname(HOST_NAME) {
        // The usual filter of container runtimes allows mounts and not this. What the step sees then is
        // the name of that container.
        Ok(()) | Err(Errno::PERM) => {}
        Err(errno) => return Err(errno).tried(HelperAction::Namespaces, "host name"),
    }
    let devices = hold_devices()?;
    let held = hold(&spec.mounts)?;
    let processes = hold_processes()?;
    lay_root(&spec.ground)?;
    enter_root()?;
    dev(&devices, spec)?;
    proc(processes.as_ref())?;
    memory_files("/tmp", spec)?;
    for held in &held {
        place(held)?;
    }
    if spec.is_read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV;
        mount_remount("/", flags, c"").tried(HelperAction::Mount, "/")?;
    }
    Ok(())
}

/// Nothing that we mount reaches others, and nothing that others mount reaches us.
fn keep_to_ourselves() -> Result<(), HelperTrouble> {
    mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )
    .tried(HelperAction::Mount, "/")
}

fn take(path: &Path, is_whole: bool) -> rustix::io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if is_whole {
        // Without what is mounted below, a folder could show what is hidden outside; the kernel refuses that.
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(CWD, path, flags)
}

fn hold_devices() -> Result<Vec<(&'static str, OwnedFd)>, HelperTrouble> {
    let mut devices = Vec::new();
    for name in DEVICES {
        let path = Path::new("/dev").join(name);
        match take(&path, false) {
            Ok(tree) => devices.push((*name, tree)),
            // Containers without a terminal lack it, and nobody can do without the others.
            Err(Errno::NOENT) if *name == "tty" => {}
            Err(errno) => return Err(errno).tried(HelperAction::Source, path.display()),
        }
    }
    Ok(devices)
}

fn hold(mounts: &[BindMount]) -> Result<Vec<HeldMount<'_>>, HelperTrouble> {
    let mut held = Vec::new();
    for bind in mounts {
        let taken = fs::metadata(&bind.from)
            .map_err(|error| {
                error
                    .raw_os_error()
                    .map_or(Errno::IO, Errno::from_raw_os_error)
            })
            .and_then(|metadata| Ok((metadata.is_dir(), take(&bind.from, true)?)));
        match taken {
            Ok((is_folder, tree)) => {
                system::restrict_mount(tree.as_fd(), !bind.is_writable, false)
                    .tried(HelperAction::Mount, bind.from.display())?;
                held.push(HeldMount {
                    tree,
                    bind,
                    is_folder,
                });
            }
            Err(_) if bind.is_optional => {}
            Err(errno) => return Err(errno).tried(HelperAction::Source, bind.from.display()),
        }
    }
    Ok(held)
}

/// Lays the folders over each other, and goes there.
fn lay_root(ground: &RootKind) -> Result<(), HelperTrouble> {
    match ground {
        RootKind::Overlay {
            links,
            lower_count,
            at,
        } => {
            // The kernel takes one page of options: names of one letter make room for hundreds of folders.
            chdir(links).tried(HelperAction::Directory, links.display())?;
            let lower: Vec<String> = (0..*lower_count).rev().map(|at| at.to_string()).collect();
            let options = CString::new(format!(
                "lowerdir={},upperdir=u,workdir=w,userxattr",
                lower.join(":")
            ))
            .map_err(|_| Errno::INVAL)
            .tried(HelperAction::Overlay, links.display())?;
            mount(
                "overlay",
                at,
                "overlay",
                MountFlags::NOSUID | MountFlags::NODEV,
                options.as_c_str(),
            )
            .tried(HelperAction::Overlay, at.display())?;
            chdir(at).tried(HelperAction::Directory, at.display())
        }
        RootKind::Copy { at } | RootKind::Chroot { at } => {
            mount_bind(at, at).tried(HelperAction::Mount, at.display())?;
            chdir(at).tried(HelperAction::Directory, at.display())
        }
        RootKind::Bare => Ok(()),
    }
}

/// Makes the current folder the root, and forgets the old one.
fn enter_root() -> Result<(), HelperTrouble> {
    pivot_root(".", ".").tried(HelperAction::Root, "pivot_root")?;
    unmount(".", UnmountFlags::DETACH).tried(HelperAction::Root, "old root")?;
    chdir("/").tried(HelperAction::Root, "/")
}

/// A `/proc` of the sandbox's processes only, made while the outer one is still in sight, as the
/// kernel asks. Where a container hides parts of that one from us, the kernel refuses a new one, and
/// the step gets none: the outer one would tell of the machine.
fn hold_processes() -> Result<Option<OwnedFd>, HelperTrouble> {
    let made = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
        fsconfig_create(&context)?;
        fsmount(
            &context,
            FsMountFlags::FSMOUNT_CLOEXEC,
            MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC,
        )
    });
    match made {
        Ok(tree) => Ok(Some(tree)),
        Err(Errno::PERM | Errno::ACCESS) => Ok(None),
        Err(errno) => Err(errno).tried(HelperAction::Mount, "/proc"),
    }
}

/// Puts `/proc` in its place, and covers what a step must not touch or see.
fn proc(processes: Option<&OwnedFd>) -> Result<(), HelperTrouble> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    folder("/proc")?;
    let Some(processes) = processes else {
        return Ok(());
    };
    put(processes, Path::new("/proc"))?;
    for name in PROC_READ_ONLY {
        let path = Path::new("/proc").join(name);
        cover(&path, &path)?;
    }
    for name in PROC_HIDDEN {
        let path = Path::new("/proc").join(name);
        match fs::symlink_metadata(&path) {
            // A process's own folder of this kind is always empty: nothing is traced.
            Ok(metadata) if metadata.is_dir() => {
                mount("tmpfs", &path, "tmpfs", flags | MountFlags::RDONLY, None)
                    .tried(HelperAction::Mount, path.display())?;
            }
            Ok(_) => cover(Path::new("/dev/null"), &path)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Puts `from`, read-only, over `to`, if it is there.
fn cover(from: &Path, to: &Path) -> Result<(), HelperTrouble> {
    let tree = match take(from, true) {
        Ok(tree) => tree,
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(errno).tried(HelperAction::Source, from.display()),
    };
    system::restrict_mount(tree.as_fd(), true, false).tried(HelperAction::Mount, to.display())?;
    put(&tree, to)
}

fn put(tree: &OwnedFd, to: &Path) -> Result<(), HelperTrouble> {
    move_mount(
        tree,
        "",
        CWD,
        to,
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS,
    )
    .tried(HelperAction::Mount, to.display())
}

fn dev(devices: &[(&str, OwnedFd)], spec: &StepSpec) -> Result<(), HelperTrouble> {
    folder("/dev")?;
    mount(
        "tmpfs",
        "/dev",
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        c"mode=0755,size=65536,nr_inodes=64",
    )
    .tried(HelperAction::Mount, "/dev")?;
    for (name, tree) in devices {
        let path = Path::new("/dev").join(name);
        fs::write(&path, "").tried(HelperAction::Target, path.display())?;
        put(tree, &path)?;
    }
    for (target, link) in DEVICE_LINKS {
        symlink(target, link).tried(HelperAction::Target, link)?;
    }
    folder("/dev/pts")?;
    // Terminals of its own, for those who run tests of such things; nobody fails without.
    let _ = mount(
        "devpts",
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        c"newinstance,mode=0620,ptmxmode=0666,max=64",
    );
    folder("/dev/shm")?;
    memory_files("/dev/shm", spec)
}

/// A file system in memory for everybody.
fn memory_files(path: &str, spec: &StepSpec) -> Result<(), HelperTrouble> {
    let options = match spec.bounds.memory_file_bytes {
        // An empty file costs the kernel about a kilobyte.
        Some(bytes) => format!("mode=1777,size={bytes},nr_inodes={}", (bytes >> 10).max(64)),
        None => "mode=1777".to_owned(),
    };
    let options = CString::new(options)
        .map_err(|_| Errno::INVAL)
        .tried(HelperAction::Mount, path)?;
    folder(path)?;
    mount(
        "tmpfs",
        path,
        "tmpfs",
        MountFlags::NOSUID | MountFlags::NODEV,
        options.as_c_str(),
    )
    .tried(HelperAction::Mount, path)
}

/// Puts something of the machine in its place.
fn place(held: &HeldMount<'_>) -> Result<(), HelperTrouble> {
    let to = Path::new(&held.bind.to);
    let placed =
        if held.is_folder { folder(to) } else { file(to) }.and_then(|()| put(&held.tree, to));
    match placed {
        Err(_) if held.bind.is_optional => Ok(()),
        placed => placed,
    }
}

fn folder(path: impl AsRef<Path>) -> Result<(), HelperTrouble> {
    let path = path.as_ref();
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path).tried(HelperAction::Target, path.display())?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .tried(HelperAction::Target, path.display())
}

fn file(path: &Path) -> Result<(), HelperTrouble> {
    if path.exists() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    fs::File::create(path)
        .map(drop)
        .tried(HelperAction::Target, path.display())
}
