//! One tar entry's header blocks: ustar (POSIX.1-1988) where everything fits, PAX records
//! (POSIX.1-2001) before it for what does not.
//!
//! Long paths use ustar's prefix field first, because a PAX record costs two blocks more.
//! Numbers that octal fields cannot hold become PAX records, never GNU's binary numbers, so
//! that there is one dialect to read.

/// Length of a tar block in bytes.
pub(super) const BLOCK_BYTES: usize = 512;

/// What an entry is, with what only this kind has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind<'a> {
    /// With the length of its contents.
    File(u64),
    Directory,
    /// With where it points.
    Symlink(&'a [u8]),
    /// With the entry that it is another name of.
    Hardlink(&'a [u8]),
}

impl<'a> EntryKind<'a> {
    fn flag(self) -> u8 {
        match self {
            Self::File(_) => b'0',
            Self::Hardlink(_) => b'1',
            Self::Symlink(_) => b'2',
            Self::Directory => b'5',
        }
    }

    fn size(self) -> u64 {
        match self {
            Self::File(size) => size,
            Self::Directory | Self::Symlink(_) | Self::Hardlink(_) => 0,
        }
    }

    fn link(self) -> &'a [u8] {
        match self {
            Self::Symlink(link) | Self::Hardlink(link) => link,
            Self::File(_) | Self::Directory => b"",
        }
    }
}

/// Everything that a header says; the path of a directory ends with a slash.
pub(super) struct HeaderFields<'a> {
    pub(super) kind: EntryKind<'a>,
    pub(super) path: &'a [u8],
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    pub(super) mtime: u64,
}

/// The header's blocks, PAX records included.
pub(super) fn blocks(fields: &HeaderFields<'_>) -> Vec<u8> {
    let mut records = Vec::new();
    let mut block = [0_u8; BLOCK_BYTES];
    let split = split_path(fields.path);
    if let Some((prefix, name)) = split {
        put(&mut block, 345, prefix);
        put(&mut block, 0, name);
    } else {
        record(&mut records, b"path", fields.path);
        put(&mut block, 0, &fields.path[..NAME_BYTES]);
    }
    let link = fields.kind.link();
    if link.len() > NAME_BYTES {
        record(&mut records, b"linkpath", link);
        put(&mut block, 157, &link[..NAME_BYTES]);
    } else {
        put(&mut block, 157, link);
    }
    octal(&mut block[100..108], u64::from(fields.mode));
    for (at, digits, name, value) in [
        (108, 8, b"uid".as_slice(), fields.uid),
        (116, 8, b"gid", fields.gid),
        (124, 12, b"size", fields.kind.size()),
        (136, 12, b"mtime", fields.mtime),
    ] {
        if !octal(&mut block[at..at + digits], value) {
            record(&mut records, name, value.to_string().as_bytes());
        }
    }
    seal(&mut block, fields.kind.flag());
    let mut all = Vec::with_capacity(BLOCK_BYTES);
    if !records.is_empty() {
        pax(&mut all, &records, fields.mtime);
    }
    all.extend_from_slice(&block);
    all
}

/// Zero bytes that fill `size` bytes of contents up to whole blocks.
pub(super) fn padding(size: u64) -> usize {
    // A remainder of a block's length fits any usize.
    #[expect(clippy::cast_possible_truncation, reason = "below 512")]
    let rest = (size % BLOCK_BYTES as u64) as usize;
    (BLOCK_BYTES - rest) % BLOCK_BYTES
}

const NAME_BYTES: usize = 100;
const PREFIX_BYTES: usize = 155;

/// Prefix and name that give `path` when joined by a slash; the shortest prefix that will do.
fn split_path(path: &[u8]) -> Option<(&[u8], &[u8])> {
    if path.len() <= NAME_BYTES {
        return Some((&[], path));
    }
    // The name is not empty: a directory's final slash belongs to its name.
    let first = path.len() - NAME_BYTES - 1;
    let last = (path.len() - 2).min(PREFIX_BYTES);
    let slash = (first..=last).find(|&at| path[at] == b'/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

fn put(block: &mut [u8; BLOCK_BYTES], at: usize, bytes: &[u8]) {
    block[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Octal digits and a NUL over the whole field; zero and `false` if the value does not fit.
fn octal(field: &mut [u8], value: u64) -> bool {
    let digits = field.len() - 1;
    let fits = value >> (3 * digits) == 0;
    let mut rest = if fits { value } else { 0 };
    for place in field[..digits].iter_mut().rev() {
        *place = b'0' + (rest & 7) as u8;
        rest >>= 3;
    }
    fits
}

/// Type flag, magic and checksum.
fn seal(block: &mut [u8; BLOCK_BYTES], flag: u8) {
    block[156] = flag;
    put(block, 257, b"ustar\x0000");
    put(block, 148, b"        ");
    let sum: u64 = block.iter().map(|&byte| u64::from(byte)).sum();
    octal(&mut block[148..155], sum);
    block[155] = b' ';
}

/// `length key=value\n`, the length counting itself.
fn record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(length.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// The entry that carries PAX records for the one after it.
fn pax(all: &mut Vec<u8>, records: &[u8], mtime: u64) {
    let mut block = [0_u8; BLOCK_BYTES];
    put(&mut block, 0, b"././@PaxHeader");
    octal(&mut block[100..108], 0o644);
    octal(&mut block[108..116], 0);
    octal(&mut block[116..124], 0);
    octal(&mut block[124..136], records.len() as u64);
    octal(&mut block[136..148], mtime);
    seal(&mut block, b'x');
    all.extend_from_slice(&block);
    all.extend_from_slice(records);
    all.resize(all.len() + padding(records.len() as u64), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(path: &[u8]) -> HeaderFields<'_> {
        HeaderFields {
            kind: EntryKind::File(5),
            path,
            mode: 0o664,
            uid: 1001,
            gid: 0,
            mtime: 315_532_800,
        }
    }

    #[test]
    fn a_plain_header_is_one_block() {
        let block = blocks(&fields(b"a/b"));
        assert_eq!(block.len(), 512);
        assert_eq!(&block[..4], b"a/b\0");
        assert_eq!(&block[100..108], b"0000664\0");
        assert_eq!(&block[108..116], b"0001751\0");
        assert_eq!(&block[124..136], b"00000000005\0");
        assert_eq!(&block[257..265], b"ustar\x0000");
    }

    #[test]
    fn long_paths_split_or_become_records() {
        let split = format!("{}/{}", "p".repeat(150), "n".repeat(100));
        assert_eq!(blocks(&fields(split.as_bytes())).len(), 512);
        let unsplit = format!("{}/{}", "p".repeat(20), "n".repeat(101));
        let with_record = blocks(&fields(unsplit.as_bytes()));
        assert_eq!(with_record.len(), 3 * 512);
        assert!(with_record[512..].starts_with(format!("132 path={unsplit}\n").as_bytes()));
        let slash_at_end = format!("{}/", "d".repeat(100));
        assert_eq!(blocks(&fields(slash_at_end.as_bytes())).len(), 3 * 512);
    }

    #[test]
    fn numbers_beyond_octal_become_records() {
        let mut large = fields(b"f");
        large.kind = EntryKind::File(1 << 33);
        large.uid = 1 << 21;
        let all = blocks(&large);
        assert!(all[512..].starts_with(b"15 uid=2097152\n19 size=8589934592\n"));
        assert_eq!(&all[1024 + 124..1024 + 136], b"00000000000\0");
    }

    #[test]
    fn a_record_counts_its_own_length() {
        for length in [1, 3, 4, 5, 90, 91, 92, 93, 94, 990, 991, 992, 993, 9990] {
            let mut records = Vec::new();
            record(&mut records, b"path", &vec![b'x'; length]);
            let text = String::from_utf8(records.clone()).unwrap();
            let said: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, records.len());
        }
    }
}
