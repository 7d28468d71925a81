//! What files hashed to when they were last read, so that a large file that stays as it is is not read again.
//!
//! A hash is found by the file's [`FileStamp`], as git's index has it: length, times of modification and of change, and
//! inode. The time of change is the kernel's alone to set, so that no `touch` brings an old stamp back. What a clock
//! can hide is not believed:
//!
//! - A file that changed while it was read, or shortly before, could change again within the same tick of its file
//!   system's clock and look the same ("racily clean" in git's words): its hash is not kept.
//! - A clock that was set back could give a time again that it gave before: what was kept later than now is
//!   forgotten, and the hash of a file from the future is not kept.
//!
//! Names are no part of it: a file that is moved along with its folder is still known.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a file must have been left alone to be known by its stamp: the coarsest clock of a file system in
/// use, FAT's, ticks every two seconds.
const QUIET: Duration = Duration::from_secs(2);
/// What the kept form begins with.
const MAGIC: &[u8] = b"s2r-hashes/1\n";
/// Length of one file's record: stamp and hash.
const RECORD_BYTES: usize = 4 * 8 + 32;
/// Of more files nothing is kept; as many take 51 MB.
const MAX_FILES: usize = 800_000;

/// What a look at a file tells of its contents without reading them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileStamp {
    inode: u64,
    size_bytes: u64,
    /// When its contents were modified, as it says, in nanoseconds since 1970.
    modified_ns: i64,
    /// When contents, mode, owner or name changed, as the kernel says, in nanoseconds since 1970.
    changed_ns: i64,
}

impl FileStamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        // What does not fit is of no other use than to be compared.
        let nanoseconds =
            |seconds: i64, rest: i64| seconds.wrapping_mul(1_000_000_000).wrapping_add(rest);
        Self {
            inode: metadata.ino(),
            size_bytes: metadata.size(),
            modified_ns: nanoseconds(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: nanoseconds(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether the file was left alone for long enough before it was read.
    pub(super) fn is_quiet(&self, read: SystemTime) -> bool {
        let quiet_ns = i64::try_from(QUIET.as_nanos()).unwrap_or(i64::MAX);
        let last_ns = self.modified_ns.max(self.changed_ns);
        last_ns.saturating_add(quiet_ns) < nanoseconds(read)
    }

    fn to_bytes(self) -> [u8; RECORD_BYTES - 32] {
        let mut bytes = [0; RECORD_BYTES - 32];
        let fields = [
            self.inode.to_be_bytes(),
            self.size_bytes.to_be_bytes(),
            self.modified_ns.to_be_bytes(),
            self.changed_ns.to_be_bytes(),
        ];
        for (place, field) in bytes.chunks_exact_mut(8).zip(fields) {
            place.copy_from_slice(&field);
        }
        bytes
    }
}

/// Hashes of files as they were last read.
#[derive(Debug, Default)]
pub(crate) struct KnownHashes {
    /// Records, sorted by their bytes.
    records: Vec<u8>,
    /// When they were kept, in nanoseconds since 1970.
    kept_ns: i64,
}

impl KnownHashes {
    /// Reads what [`KnownHashes::to_bytes`] wrote. What cannot be read, or was kept later than now, knows nothing.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self::read_at(bytes, now())
    }

    fn read_at(bytes: &[u8], now: SystemTime) -> Self {
        let read = || {
            let (time, records) = bytes.strip_prefix(MAGIC)?.split_first_chunk::<8>()?;
            let kept_ns = i64::from_be_bytes(*time);
            let is_whole = records.len().is_multiple_of(RECORD_BYTES);
            (is_whole && kept_ns <= nanoseconds(now)).then(|| Self {
                records: records.to_vec(),
                kept_ns,
            })
        };
        read().unwrap_or_default()
    }

    /// The form in which they are kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        [MAGIC, &self.kept_ns.to_be_bytes(), &self.records].concat()
    }

    /// What the files that were read at `read` hash to, as far as their stamps will tell; `None` if they are too
    /// many.
    pub(super) fn of(
        files: impl Iterator<Item = (FileStamp, [u8; 32])>,
        read: SystemTime,
    ) -> Option<Self> {
        let mut quiet: Vec<_> = files.filter(|(stamp, _)| stamp.is_quiet(read)).collect();
        if quiet.len() > MAX_FILES {
            return None;
        }
        let mut records = Vec::with_capacity(quiet.len() * RECORD_BYTES);
        quiet.sort_unstable_by_key(|(stamp, _)| stamp.to_bytes());
        for (stamp, hash) in quiet {
            records.extend_from_slice(&stamp.to_bytes());
            records.extend_from_slice(&hash);
        }
        Some(Self {
            records,
            kept_ns: nanoseconds(read),
        })
    }

    /// The sha256 of a file that looks like this.
    pub(super) fn find(&self, stamp: &FileStamp) -> Option<[u8; 32]> {
        let wanted = stamp.to_bytes();
        let (records, _) = self.records.as_chunks::<RECORD_BYTES>();
        let place = records
            .binary_search_by(|record| record[..wanted.len()].cmp(&wanted))
            .ok()?;
        records.get(place)?.last_chunk().copied()
    }
}

/// What time it is. It decides what is read again, and nothing that an image holds.
#[expect(
    clippy::disallowed_methods,
    reason = "files are as old as the clock says"
)]
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

fn nanoseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000_000;

    fn stamp(inode: u64, changed_ns: i64) -> FileStamp {
        FileStamp {
            inode,
            size_bytes: 1,
            modified_ns: 0,
            changed_ns,
        }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_hash_is_found_by_the_whole_stamp() {
        let files: Vec<(FileStamp, [u8; 32])> = (0..300_u64)
            .map(|number| {
                (
                    stamp(number * 77 % 300, SECOND),
                    [u8::try_from(number % 256).unwrap(); 32],
                )
            })
            .collect();
        let known = KnownHashes::of(files.iter().copied(), at(9)).unwrap();
        let again = KnownHashes::read_at(&known.to_bytes(), at(9));
        for (stamp, hash) in &files {
            assert_eq!(again.find(stamp), Some(*hash));
            for other in [
                FileStamp {
                    inode: 1000,
                    ..*stamp
                },
                FileStamp {
                    size_bytes: 2,
                    ..*stamp
                },
                FileStamp {
                    modified_ns: 1,
                    ..*stamp
                },
                FileStamp {
                    changed_ns: SECOND + 1,
                    ..*stamp
                },
            ] {
                assert_eq!(again.find(&other), None);
            }
        }
    }

    #[test]
    fn what_changed_when_it_was_read_is_not_known() {
        let read = 1000;
        for (changed, is_known) in [
            (read * SECOND - 3 * SECOND, true),
            (read * SECOND - 2 * SECOND - 1, true),
            (read * SECOND - 2 * SECOND, false),
            (read * SECOND, false),
            // The clock was set back since.
            (read * SECOND + 7 * SECOND, false),
            (i64::MAX, false),
        ] {
            for of_change in [true, false] {
                let mut file = stamp(1, changed);
                if !of_change {
                    std::mem::swap(&mut file.modified_ns, &mut file.changed_ns);
                }
                let known = KnownHashes::of([(file, [7; 32])].into_iter(), at(1000)).unwrap();
                assert_eq!(known.find(&file).is_some(), is_known, "{changed}");
            }
        }
    }

    #[test]
    fn a_clock_that_was_set_back_makes_all_unknown() {
        let file = stamp(1, SECOND);
        let known = KnownHashes::of([(file, [7; 32])].into_iter(), at(1000)).unwrap();
        let bytes = known.to_bytes();
        for (now, is_known) in [(999, false), (1000, true), (1001, true)] {
            let found = KnownHashes::read_at(&bytes, at(now)).find(&file);
            assert_eq!(found.is_some(), is_known, "{now}");
        }
    }

    #[test]
    fn damaged_bytes_know_nothing() {
        let file = stamp(1, SECOND);
        let known = KnownHashes::of([(file, [7; 32])].into_iter(), at(1000)).unwrap();
        let bytes = known.to_bytes();
        for length in 0..bytes.len() {
            let found = KnownHashes::read_at(&bytes[..length], at(1000)).find(&file);
            assert_eq!(found, None, "{length}");
        }
        assert!(KnownHashes::read_at(&bytes, at(1000)).find(&file).is_some());
    }
}
