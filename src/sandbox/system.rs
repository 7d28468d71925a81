//! The few calls of the kernel for which no safe wrapper exists. All `unsafe` of s2r is in this file.
//!
//! Everything else of the sandbox goes by way of `rustix`.

#![expect(
    unsafe_code,
    reason = "fork, signalfd, mount_setattr, close_range, options of sockets and the loopback's flags have no safe wrapper"
)]

use std::ffi::CStr;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::process::Pid;
use rustix::thread::UnshareFlags;

/// Which of two processes goes on.
pub(crate) enum ForkSide {
    /// The one that was there.
    Parent(Pid),
    Child,
}

/// Splits the process in two. Only the helper may call it, which has one thread.
pub(crate) fn fork() -> io::Result<ForkSide> {
    // SAFETY: the helper has a single thread, so no lock is held by a thread that is missing in the
    // child, and the child may go on as any process.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(ForkSide::Child),
        pid => Pid::from_raw(pid)
            .map(ForkSide::Parent)
            .ok_or_else(|| io::ErrorKind::InvalidData.into()),
    }
}

/// Leaves namespaces of the caller for new ones. Only the helper may call it, which has one thread.
pub(crate) fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: what makes this call dangerous is other threads that count on a shared table of
    // descriptors or a shared folder; there are none, and no flag of ours unshares descriptors.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Closes all descriptors above standard error: whoever started s2r may have left some open.
pub(crate) fn close_strangers() {
    // SAFETY: called first in the helper, before it holds any descriptor above 2.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if done != 0 {
        // Before Linux 5.9.
        for descriptor in 3..1024 {
            // SAFETY: as above; closing a number that is not open does nothing.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// Holds signals back, and returns a descriptor that reads them.
pub(crate) fn hold_signals(signals: &[i32]) -> io::Result<OwnedFd> {
    // SAFETY: an all-zero set is a valid value, and `sigemptyset` makes it the empty one.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` lives on this stack for all calls; the numbers are checked by the callee.
    let descriptor = unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        if libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given it to us, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Lets all signals through. Which are held is passed on to children and by `exec`, so whoever is
/// started from a process that holds some would be deaf to them.
pub(crate) fn release_signals() -> io::Result<()> {
    // SAFETY: an all-zero set is a valid value, and `sigemptyset` makes it the empty one; it lives on
    // this stack for both calls.
    let done = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut())
    };
    checked(done.into())
}

/// Length of what a descriptor of [`hold_signals`] reads for one signal.
pub(crate) const HELD_SIGNAL_BYTES: usize = size_of::<libc::signalfd_siginfo>();

/// Makes a mounted tree read-only, all that is mounted below it too, without loosening anything.
pub(crate) fn restrict_mount(
    tree: BorrowedFd<'_>,
    is_read_only: bool,
    has_devices: bool,
) -> io::Result<()> {
    let mut set = libc::MOUNT_ATTR_NOSUID;
    if is_read_only {
        set |= libc::MOUNT_ATTR_RDONLY;
    }
    if !has_devices {
        set |= libc::MOUNT_ATTR_NODEV;
    }
    let attributes = libc::mount_attr {
        attr_set: set,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a constant with its zero, the struct is of the size given, and the
    // kernel keeps neither.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    checked(done)
}

/// Switches a network interface on, as a new network's loopback is off.
pub(crate) fn bring_up(socket: BorrowedFd<'_>, interface: &CStr) -> io::Result<()> {
    // SAFETY: an all-zero `ifreq` is a valid value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero.
    for (place, byte) in request.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(interface.to_bytes())
    {
        *place = libc::c_char::try_from(*byte).unwrap_or(0);
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or(0);
    // SAFETY: the request is of the type that this ioctl reads, and lives until it is over.
    let done = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    checked(done.into())
}

/// Its number in `asm-generic/socket.h`.
const SO_MEMINFO: libc::c_int = 55;

/// What waits in a socket and is kept for it, in bytes: `SO_MEMINFO`, `linux/sock_diag.h`.
pub(crate) fn socket_memory(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut sizes = [0_u32; 9];
    option(socket, SO_MEMINFO, &mut sizes)?;
    let [received, _, sending, _, ahead, queued, options, backlog, _] = sizes;
    let parts = [received, sending.max(queued), ahead, options, backlog];
    Ok(parts.into_iter().map(u64::from).sum())
}

/// Whether a socket takes connections.
pub(crate) fn is_listening(socket: BorrowedFd<'_>) -> bool {
    let mut answer = [0_u32; 1];
    option(socket, libc::SO_ACCEPTCONN, &mut answer).is_ok() && answer != [0]
}

/// Asks a socket for an option of numbers; those that the kernel does not know stay zero.
fn option(socket: BorrowedFd<'_>, name: libc::c_int, values: &mut [u32]) -> io::Result<()> {
    let mut length =
        libc::socklen_t::try_from(size_of_val(values)).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: the kernel writes no more than `length` bytes, which is what `values` has, and any bytes are numbers.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            values.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    checked(done.into())
}

/// Makes the test program a helper as well: this runs before its `main`, while it has one thread.
#[cfg(test)]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_TESTS: extern "C" fn() = {
    extern "C" fn enter() {
        if crate::sandbox::enter().is_some() {
            // SAFETY: takes a number, and does not return.
            unsafe { libc::_exit(0) };
        }
    }
    enter
};

fn checked(done: libc::c_long) -> io::Result<()> {
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
