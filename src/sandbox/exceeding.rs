//! Ways round the limits of a step. On an idle machine each ends within a tenth of them; the tests allow for a busy one,
//! where looks come late.
//!
//! The steps are programs in Python that take a little at a time and say how much they have.

use super::tests::{Place, again, is_root, run_in, sandbox, shell};
use super::*;

/// The limit of memory that is gone round.
const MEMORY: u64 = 400 << 20;

/// What all steps start with: `take` is called with growing totals, and says them.
const HEAD: &str = r#"
import ctypes, mmap, os, resource, signal, socket, time
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
PIECE = 4 << 20
piece = b"x" * PIECE
total = 0
kept = []
def took(bytes):
    global total
    total += bytes
    os.write(1, b"%d\n" % total)
    time.sleep(bytes / (1 << 30))
def pour(sock):
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(piece[:65536])
    except BlockingIOError:
        return sent
"#;

const WAYS: &[(&str, &str)] = &[
    (
        "files in memory that nobody maps",
        "while True:
    file = os.memfd_create('x')
    os.write(file, piece)
    kept.append(file)
    took(PIECE)",
    ),
    (
        "segments that nobody is attached to",
        "while True:
    segment = libc.shmget(0, PIECE, 0o1600)
    assert segment >= 0, ctypes.get_errno()
    at = libc.shmat(segment, None, 0)
    ctypes.memset(at, 1, PIECE)
    libc.shmdt(ctypes.c_void_p(at))
    took(PIECE)",
    ),
    (
        "messages in queues",
        "class Message(ctypes.Structure):
    _fields_ = [('type', ctypes.c_long), ('text', ctypes.c_char * 8192)]
message = Message(1, b'x')
while True:
    bytes = 0
    for _ in range(64):
        queue = libc.msgget(0, 0o1600)
        if queue < 0:
            # The kernel has no more of them: the look is on its way.
            signal.pause()
        while libc.msgsnd(queue, ctypes.byref(message), 8192, 0o4000) == 0:
            bytes += 8192
    # A table of thousands takes a while to read.
    time.sleep(bytes / (1 << 28))
    took(bytes)",
    ),
    (
        "sockets that are full",
        "while True:
    one, other = socket.socketpair()
    kept.append((one, other))
    took(pour(one) + pour(other))",
    ),
    (
        "temporary files, and pages",
        "with open('/tmp/x', 'wb') as one, open('/dev/shm/x', 'wb') as other:
    for _ in range(35):
        one.write(piece)
        other.write(piece)
        took(2 * PIECE)
while True:
    kept.append(piece + b'.')
    took(PIECE)",
    ),
    (
        "pages of many processes",
        "up, down = os.pipe()
for _ in range(8):
    if os.fork() == 0:
        while True:
            kept.append(piece + b'.')
            os.write(down, b'.')
            time.sleep(0.05)
while os.read(up, 1):
    took(PIECE)",
    ),
    (
        "tables of pages that hold nothing",
        "space = mmap.mmap(-1, 1 << 42, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000)
for at in range(1 << 21):
    space[at << 21]
    if at % 1024 == 1023:
        took(PIECE)",
    ),
    (
        "memory that is shared, and no longer mapped",
        "while True:
    space = mmap.mmap(-1, PIECE)
    space.write(piece)
    space.madvise(mmap.MADV_DONTNEED)
    kept.append(space)
    took(PIECE)",
    ),
    (
        "files in memory of which one page is mapped",
        "while True:
    file = os.memfd_create('x')
    os.write(file, piece)
    kept.append(mmap.mmap(file, 4096, flags=mmap.MAP_SHARED))
    os.close(file)
    # Python keeps a copy of the descriptor.
    os.closerange(5, 64)
    took(PIECE)",
    ),
    (
        "files in memory on their way",
        "one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
kept = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(40)]
for one, other in kept:
    for _ in range(8):
        file = os.memfd_create('x')
        os.write(file, piece)
        socket.send_fds(one, [b'.'], [file])
        os.close(file)
        took(PIECE)
signal.pause()",
    ),
];

/// The limit of disk that is gone round.
const DISK: u64 = 400 << 20;

const DISK_WAYS: &[(&str, &str)] = &[
    (
        "many files",
        "for number in range(1 << 20):
    with open(f'/{number}', 'wb') as file:
        file.write(piece)
    took(PIECE)",
    ),
    (
        "files that are removed and stay open",
        "for number in range(1 << 20):
    file = open('/x', 'wb')
    file.write(piece)
    os.unlink('/x')
    kept.append(file)
    took(PIECE)",
    ),
    (
        "files below a long path",
        "for _ in range(40):
    os.mkdir('y' * 200)
    os.chdir('y' * 200)
for number in range(1 << 20):
    with open(str(number), 'wb') as file:
        file.write(piece)
    took(PIECE)",
    ),
    (
        "files in a folder of the machine's",
        "for number in range(1 << 20):
    with open(f'/given/{number}', 'wb') as file:
        file.write(piece)
    took(PIECE)",
    ),
    (
        "files in a folder that nobody may read",
        "os.mkdir('/x')
os.chdir('/x')
os.chmod('/x', 0o300)
for number in range(1 << 20):
    with open(str(number), 'wb') as file:
        file.write(piece)
    took(PIECE)",
    ),
    (
        "a file in a folder that nobody may look into",
        "os.mkdir('/x')
files = [open(f'/x/{number}', 'wb') for number in range(100)]
os.chmod('/x', 0o400)
for file in files:
    for _ in range(10):
        file.write(piece)
        took(PIECE)",
    ),
];

/// What a step printed last.
fn total(printed: &str) -> u64 {
    printed
        .lines()
        .rev()
        .find_map(|line| line.parse().ok())
        .unwrap_or(0)
}

#[track_caller]
fn python(script: &str) -> SandboxStep {
    SandboxStep {
        command: ["python3", "-c", &format!("{HEAD}{script}")]
            .map(str::to_owned)
            .to_vec(),
        limits: StepLimits {
            memory_bytes: MEMORY,
            time: Duration::from_secs(40),
            processes: 100,
            disk_bytes: 1 << 30,
            output_bytes: 1 << 20,
        },
        ..shell("")
    }
}

#[test]
fn memory_is_bounded_however_it_is_taken() {
    for (way, script) in WAYS {
        let (ended, printed) = run_in(&sandbox(), &Place::new(), &python(script));
        let total = total(&printed);
        eprintln!("{way}: {} MiB after {:?}", total >> 20, ended.took);
        assert_eq!(ended.reason, EndReason::OutOfMemory, "{way}: {ended:?}");
        assert!(total < 3 * MEMORY, "{way}: {} MiB", total >> 20);
    }
}

#[test]
fn the_disk_is_bounded_however_it_is_taken() {
    for (way, script) in DISK_WAYS {
        let place = Place::new();
        let given = tempfile::tempdir().unwrap();
        let mut step = python(script);
        step.limits.memory_bytes = 2 << 30;
        step.limits.disk_bytes = DISK;
        step.mounts.push(StepMount {
            from: given.path().to_owned(),
            to: "/given".to_owned(),
            is_writable: true,
        });
        let (ended, printed) = run_in(&sandbox(), &place, &step);
        let total = total(&printed);
        eprintln!("{way}: {} MiB after {:?}", total >> 20, ended.took);
        assert_eq!(
            ended.reason,
            EndReason::DiskFull,
            "{way}: {ended:?} {printed}"
        );
        assert!(total < 3 * DISK, "{way}: {} MiB", total >> 20);
    }
}

#[test]
fn a_hole_is_seen_when_the_step_has_ended() {
    let mut step = python(
        "with open('/x', 'wb') as file: file.truncate(390 << 20)\nwith open('/y', 'wb') as file: file.truncate(390 << 20)",
    );
    step.limits.disk_bytes = DISK;
    let (ended, _) = run_in(&sandbox(), &Place::new(), &step);
    assert_eq!(ended.reason, EndReason::DiskFull);
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
        again(&user, &["sandbox::exceeding", "sandbox::disk"]);
    }
}
