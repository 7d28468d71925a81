//! What the processes of a step hold that no count of their pages shows: files in memory that nobody has mapped,
//! and what waits in sockets, pipes, queues and segments.
//!
//! A descriptor is copied (`pidfd_getfd(2)`, Linux 5.6) and asked; that opens nothing anew, so no reader or writer
//! comes or goes. Segments and queues by number stand in tables of their namespace (`sysvipc(7)`), opened by the
//! helper, for a table shows the namespace of who opened it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use super::{disk, tree};
use crate::sandbox::system;

/// Descriptors looked at in one go; who holds more is taken for somebody who hides something.
const MOST_DESCRIPTORS: usize = 300_000;

/// What a socket without anything in it costs.
const SOCKET_BYTES: u64 = 1024;

/// What is held, each thing counted once.
#[derive(Debug, Default)]
pub(in crate::sandbox) struct HeldMemory {
    /// Files in memory without a name, mapped or not.
    pub file_bytes: u64,
    /// What waits in sockets and pipes.
    pub queue_bytes: u64,
    /// Files on disk that are open and have no name any more.
    pub nameless_bytes: u64,
    /// There are sockets that may hold what nobody can look into: unaccepted connections, descriptors on their way.
    pub hides_sockets: bool,
    /// Descriptors of some processes cannot be seen.
    pub hides_descriptors: bool,
    /// Devices and numbers of the files in memory that were counted.
    files: BTreeSet<(u64, u64)>,
    /// Sockets and pipes that were counted, as `/proc` names them.
    queues: BTreeSet<Vec<u8>>,
    seen: usize,
}

/// What these processes hold.
pub(in crate::sandbox) fn by(processes: &[i32]) -> HeldMemory {
    let mut held = HeldMemory::default();
    for pid in processes {
        held.add(*pid);
        if held.seen > MOST_DESCRIPTORS {
            held.hides_descriptors = true;
            break;
        }
    }
    held
}

impl HeldMemory {
    /// Adds what one process holds. That it ends meanwhile is nothing special.
    fn add(&mut self, pid: i32) {
        let folder = format!("/proc/{pid}/fd");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.hides_descriptors |= error.kind() == std::io::ErrorKind::PermissionDenied;
                return;
            }
        };
        let mut handle = None;
        for entry in entries.flatten() {
            self.seen += 1;
            let Ok(target) = fs::read_link(entry.path()) else {
                continue;
            };
            let target = target.as_os_str().as_bytes();
            if target.starts_with(b"/memfd:") {
                self.add_file(&entry.path());
            } else if target.starts_with(b"/") && target.ends_with(b" (deleted)") {
                self.add_nameless(&entry.path());
            } else if (target.starts_with(b"socket:[") || target.starts_with(b"pipe:["))
                && self.queues.insert(target.to_vec())
            {
                let handle = handle.get_or_insert_with(|| open(pid));
                let handle = handle.as_ref().map_err(|error| *error);
                self.add_queue(pid, handle, &entry.file_name(), target);
            }
        }
    }

    fn add_file(&mut self, path: &Path) {
        /// `stat` counts in these.
        const BLOCK_BYTES: u64 = 512;
        let Ok(metadata) = fs::metadata(path) else {
            return;
        };
        if self.files.insert((metadata.dev(), metadata.ino())) {
            let bytes = metadata.blocks().saturating_mul(BLOCK_BYTES);
            self.file_bytes = self.file_bytes.saturating_add(bytes);
        }
    }

    /// A file of `/tmp` or `/dev/shm` is counted with the rest of them.
    fn add_nameless(&mut self, path: &Path) {
        let is_on_disk = rustix::fs::statfs(path).is_ok_and(|space| space.f_type != tree::TMPFS);
        let Ok(stat) = rustix::fs::stat(path) else {
            return;
        };
        if is_on_disk
            && rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file()
            && stat.st_nlink == 0
            && self.files.insert((stat.st_dev, stat.st_ino))
        {
            self.nameless_bytes = self.nameless_bytes.saturating_add(disk::size_of(&stat));
        }
    }

    fn add_queue(
        &mut self,
        pid: i32,
        process: rustix::io::Result<&OwnedFd>,
        number: &std::ffi::OsStr,
        target: &[u8],
    ) {
        let is_socket = target.starts_with(b"socket:[");
        let number = number.to_str().and_then(|text| text.parse().ok());
        let copy = number
            .ok_or(Errno::BADF)
            .and_then(|number| Ok((number, process?)))
            .and_then(|(number, process)| pidfd_getfd(process, number, PidfdGetfdFlags::empty()));
        let copy = match copy {
            Ok(copy) => copy,
            // Closed since, or the process is gone.
            Err(Errno::BADF | Errno::SRCH) => return,
            Err(_) => {
                self.hides_sockets = true;
                return;
            }
        };
        let bytes = if is_socket {
            self.hides_sockets |= has_unaccepted(&copy)
                || number.is_some_and(|number| has_descriptors_on_their_way(pid, number));
            system::socket_memory(copy.as_fd()).map(|bytes| bytes.saturating_add(SOCKET_BYTES))
        } else {
            pipe_memory(&copy).map_err(std::io::Error::from)
        };
        match bytes {
            Ok(bytes) => self.queue_bytes = self.queue_bytes.saturating_add(bytes),
            Err(_) => self.hides_sockets = true,
        }
    }

    /// Shared memory that processes have mapped and that is none of the files counted here, each page counted once
    /// (`smaps`, proc(5)). Dear: the kernel walks their pages. The tables count segments, and whoever counts `/tmp`
    /// what lies there.
    pub(in crate::sandbox) fn mapped_besides(&self, processes: &[i32]) -> u64 {
        let kilobytes: u64 = processes
            .iter()
            .filter_map(|pid| fs::read(format!("/proc/{pid}/smaps")).ok())
            .map(|maps| self.of_maps(&String::from_utf8_lossy(&maps)))
            .sum();
        kilobytes.saturating_mul(1024)
    }

    fn of_maps(&self, maps: &str) -> u64 {
        let mut kilobytes = 0_u64;
        let mut counts = false;
        for line in maps.lines() {
            if let Some(file) = mapping(line) {
                counts = file.is_unnamed && !self.files.contains(&(file.device, file.number));
            } else if counts && let Some(share) = line.strip_prefix("Pss:") {
                let share = share.trim_end_matches("kB").trim().parse().unwrap_or(0);
                kilobytes = kilobytes.saturating_add(share);
            }
        }
        kilobytes
    }

    /// Whether processes have something mapped whose size nobody can see: memory that they share and whose
    /// descriptor, if there was one, is closed. It may be larger than what is mapped of it.
    pub(in crate::sandbox) fn hides_files(&self, processes: &[i32]) -> bool {
        self.hides_descriptors
            || processes
                .iter()
                .filter_map(|pid| fs::read(format!("/proc/{pid}/maps")).ok())
                .any(|maps| {
                    String::from_utf8_lossy(&maps)
                        .lines()
                        .filter_map(mapping)
                        .any(|file| {
                            file.is_unnamed && !self.files.contains(&(file.device, file.number))
                        })
                })
    }
}

/// A line of `maps` that says what is mapped.
struct MemoryMapping {
    device: u64,
    number: u64,
    /// A file in memory without a name: of `memfd_create`, or what processes share without any file.
    is_unnamed: bool,
}

/// `START-END RIGHTS OFFSET MAJOR:MINOR NUMBER PATH`; `None` for other lines.
fn mapping(line: &str) -> Option<MemoryMapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    u64::from_str_radix(start, 16).ok()?;
    u64::from_str_radix(end, 16).ok()?;
    let mut words = words.skip(2);
    let (major, minor) = words.next()?.split_once(':')?;
    let number = words.next()?.parse().ok()?;
    let path = words.next().unwrap_or_default();
    let is_deleted = line.ends_with(" (deleted)");
    Some(MemoryMapping {
        device: rustix::fs::makedev(
            u32::from_str_radix(major, 16).ok()?,
            u32::from_str_radix(minor, 16).ok()?,
        ),
        number,
        is_unnamed: is_deleted && (path.starts_with("/memfd:") || path == "/dev/zero"),
    })
}

/// Whether connections wait in a socket to be accepted. Nobody can look into them.
fn has_unaccepted(socket: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    system::is_listening(socket.as_fd())
        && poll(&mut polled, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
}

fn open(pid: i32) -> rustix::io::Result<OwnedFd> {
    let pid = Pid::from_raw(pid).ok_or(Errno::SRCH)?;
    pidfd_open(pid, PidfdFlags::empty())
}

/// A pipe holds whole pages, however little is in them, so one that is not empty counts with all that it may hold.
fn pipe_memory(pipe: &OwnedFd) -> rustix::io::Result<u64> {
    if rustix::io::ioctl_fionread(pipe)? == 0 {
        return Ok(0);
    }
    rustix::pipe::fcntl_getpipe_size(pipe).map(|bytes| bytes as u64)
}

/// Whether descriptors wait in a socket to be taken out (`scm_fds` in its `fdinfo`, Linux 5.6).
fn has_descriptors_on_their_way(pid: i32, number: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/fdinfo/{number}")).is_ok_and(|text| {
        text.lines()
            .filter_map(|line| line.strip_prefix("scm_fds:"))
            .any(|count| count.trim() != "0")
    })
}

/// The tables of a namespace's segments, queues and semaphores, in this order.
#[derive(Debug)]
pub(in crate::sandbox) struct IpcTables(pub [File; 3]);

impl IpcTables {
    pub(in crate::sandbox) const PATHS: [&str; 3] = [
        "/proc/sysvipc/shm",
        "/proc/sysvipc/msg",
        "/proc/sysvipc/sem",
    ];

    /// What they hold, in bytes.
    pub(in crate::sandbox) fn bytes(&self) -> u64 {
        let [segments, queues, semaphores] = &self.0;
        sum(segments, in_segment)
            .saturating_add(sum(queues, in_queue))
            .saturating_add(sum(semaphores, in_semaphores))
    }
}

fn sum(table: &File, of_line: fn(&[&str]) -> Option<u64>) -> u64 {
    let mut text = Vec::new();
    let mut chunk = vec![0; 64 << 10];
    while let Ok(length @ 1..) = table.read_at(&mut chunk, text.len() as u64) {
        text.extend_from_slice(chunk.get(..length).unwrap_or_default());
    }
    String::from_utf8_lossy(&text)
        .lines()
        .skip(1)
        .filter_map(|line| of_line(&line.split_ascii_whitespace().collect::<Vec<_>>()))
        .fold(0, u64::saturating_add)
}

/// The last columns of a segment: bytes in memory, and in swap.
fn in_segment(columns: &[&str]) -> Option<u64> {
    let [.., memory, swap] = columns else {
        return None;
    };
    Some(
        memory
            .parse::<u64>()
            .ok()?
            .saturating_add(swap.parse().ok()?),
    )
}

/// A queue's bytes and messages; each message has a head.
fn in_queue(columns: &[&str]) -> Option<u64> {
    const HEAD_BYTES: u64 = 64;
    let bytes: u64 = columns.get(3)?.parse().ok()?;
    let messages: u64 = columns.get(4)?.parse().ok()?;
    Some(bytes.saturating_add(messages.saturating_mul(HEAD_BYTES)))
}

/// Each semaphore of a set lies in a cache line of its own.
fn in_semaphores(columns: &[&str]) -> Option<u64> {
    const LINE_BYTES: u64 = 64;
    let count: u64 = columns.get(3)?.parse().ok()?;
    Some(count.saturating_mul(LINE_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::{UnixListener, UnixStream};

    fn own() -> i32 {
        rustix::process::getpid().as_raw_nonzero().get()
    }

    #[test]
    fn lines_of_maps_say_what_has_no_name() {
        for (line, is_unnamed) in [
            ("7f0-7f1 rw-s 00000000 00:01 1027 /memfd:x (deleted)", true),
            ("7f0-7f1 rw-s 00000000 00:01 9 /dev/zero (deleted)", true),
            (
                "7f0-7f1 rw-s 00000000 00:01 9 /SYSV00000000 (deleted)",
                false,
            ),
            ("7f0-7f1 rw-s 00000000 00:29 3 /tmp/x", false),
            ("7f0-7f1 rw-p 00000000 00:00 0", false),
        ] {
            assert_eq!(mapping(line).unwrap().is_unnamed, is_unnamed, "{line}");
        }
        assert!(mapping("Pss:                   4 kB").is_none());
        assert_eq!(
            mapping("1-2 r 0 fe:10 7 /x").unwrap().device,
            rustix::fs::makedev(254, 16)
        );
        let maps = "1-2 rw-s 0 00:01 8 /memfd:x (deleted)\nRss: 8 kB\nPss:   5 kB\n\
                    2-3 rw-s 0 00:01 9 /memfd:y (deleted)\nPss:   7 kB\n3-4 r 0 0:0 0\nPss: 9 kB\n";
        let mut held = HeldMemory::default();
        assert_eq!(held.of_maps(maps), 12);
        held.files.insert((rustix::fs::makedev(0, 1), 8));
        assert_eq!(held.of_maps(maps), 7);
    }

    #[test]
    fn rows_of_tables_are_read() {
        assert_eq!(in_segment(&["0", "1", "4096", "512"]), Some(4608));
        assert_eq!(in_queue(&["0", "1", "600", "100", "2", "7"]), Some(228));
        assert_eq!(in_semaphores(&["0", "1", "600", "3", "0"]), Some(192));
        assert_eq!(in_segment(&["nonsense", "x"]), None);
    }

    #[test]
    fn what_waits_is_counted() {
        let before = by(&[own()]);
        let (mut one, _other) = UnixStream::pair().unwrap();
        one.write_all(&vec![1; 100_000]).unwrap();
        let (_read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"x").unwrap();
        let file = rustix::fs::memfd_create("held", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&file, &vec![1; 300_000]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        assert!(!has_unaccepted(
            &listener.as_fd().try_clone_to_owned().unwrap()
        ));
        let _waiting = UnixStream::connect(&path).unwrap();
        let after = by(&[own()]);
        // Other tests have sockets too.
        assert!(
            after.queue_bytes >= 100_000 + 65_536,
            "{after:?} {before:?}"
        );
        assert!(after.file_bytes >= 300_000, "{after:?}");
        assert!(after.hides_sockets && !after.hides_descriptors);
    }
}
