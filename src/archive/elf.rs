//! What a program or library says of itself to the loader: for which machine it is, its name, the libraries
//! that it needs and where they are looked for. 64-bit little-endian files only, which is what images hold.
//! Format: System V ABI, chapters 4 and 5; elf(5).

/// How every ELF file begins.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";
/// `e_machine` of amd64.
pub(crate) const X86_64: u16 = 62;
/// `e_machine` of arm64.
pub(crate) const AARCH64: u16 = 183;

/// Most program headers, and most entries of the dynamic section, that are read.
const MAX_ENTRIES: usize = 65_536;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 4096;
/// Kinds of program headers.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// Length of a program header, and of an entry of the dynamic section, in bytes.
const HEADER_BYTES: usize = 56;
const DYNAMIC_BYTES: usize = 16;

/// What the loader is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Elf {
    /// `e_machine`.
    pub machine: u16,
    /// The loader's path; none of a library.
    pub interpreter: Option<String>,
    /// The name by which others need it.
    pub soname: Option<String>,
    /// Names of the libraries that it needs.
    pub needed: Vec<String>,
    /// Folders to look in, as they stand there (`$ORIGIN` and all), from `DT_RUNPATH` or `DT_RPATH`.
    pub run_path: Vec<String>,
    /// Whether it has a dynamic section: what has none needs nothing.
    pub is_dynamic: bool,
}

/// Reads a file's bytes; none if it is no ELF file of this kind, or says nothing that makes sense.
pub(crate) fn read(bytes: &[u8]) -> Option<Elf> {
    if bytes.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let mut elf = Elf {
        machine: u16_at(bytes, 18)?,
        ..Elf::default()
    };
    let headers = headers(bytes)?;
    if let Some(header) = headers.iter().find(|header| header.kind == PT_INTERP) {
        elf.interpreter = text_at(bytes, header.offset);
    }
    let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else {
        return Some(elf);
    };
    elf.is_dynamic = true;
    let entries = entries(bytes, dynamic)?;
    let of = |tag: u64| entries.iter().filter(move |(found, _)| *found == tag);
    let table = of(5).next().map_or(0, |(_, value)| *value);
    let Some(table) = headers.iter().find_map(|header| header.place(table)) else {
        return Some(elf);
    };
    let text = |value: u64| text_at(bytes, table.checked_add(usize::try_from(value).ok()?)?);
    elf.needed = of(1).filter_map(|(_, value)| text(*value)).collect();
    elf.soname = of(14).find_map(|(_, value)| text(*value));
    let paths = of(29).next().or_else(|| of(15).next());
    if let Some(paths) = paths.and_then(|(_, value)| text(*value)) {
        let folders = paths.split(':').filter(|folder| !folder.is_empty());
        elf.run_path = folders.map(str::to_owned).collect();
    }
    Some(elf)
}

/// A program header.
struct Header {
    kind: u32,
    offset: usize,
    address: u64,
    size: usize,
}

impl Header {
    /// Where in the file an address is, if it lies in this part of it.
    fn place(&self, address: u64) -> Option<usize> {
        let within = usize::try_from(address.checked_sub(self.address)?).ok()?;
        (self.kind == PT_LOAD && within < self.size).then(|| self.offset.checked_add(within))?
    }
}

fn headers(bytes: &[u8]) -> Option<Vec<Header>> {
    let start = usize::try_from(u64_at(bytes, 32)?).ok()?;
    let (size, count) = (u16_at(bytes, 54)?, u16_at(bytes, 56)?);
    if count > 0 && usize::from(size) != HEADER_BYTES {
        return None;
    }
    (0..usize::from(count))
        .map(|index| {
            let at = start.checked_add(index * HEADER_BYTES)?;
            Some(Header {
                kind: u32_at(bytes, at)?,
                offset: usize::try_from(u64_at(bytes, at.checked_add(8)?)?).ok()?,
                address: u64_at(bytes, at.checked_add(16)?)?,
                size: usize::try_from(u64_at(bytes, at.checked_add(32)?)?).ok()?,
            })
        })
        .collect()
}

/// Tags and values of the dynamic section.
fn entries(bytes: &[u8], dynamic: &Header) -> Option<Vec<(u64, u64)>> {
    let mut entries = Vec::new();
    for index in 0..(dynamic.size / DYNAMIC_BYTES).min(MAX_ENTRIES) {
        let at = dynamic.offset.checked_add(index * DYNAMIC_BYTES)?;
        let (tag, value) = (u64_at(bytes, at)?, u64_at(bytes, at.checked_add(8)?)?);
        if tag == 0 {
            break;
        }
        entries.push((tag, value));
    }
    Some(entries)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let part = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes(part.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let part = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(part.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let part = bytes.get(at..at.checked_add(8)?)?;
    Some(u64::from_le_bytes(part.try_into().ok()?))
}

/// The text that ends with a zero.
fn text_at(bytes: &[u8], at: usize) -> Option<String> {
    let rest = bytes.get(at..)?;
    let end = rest
        .iter()
        .take(MAX_NAME_BYTES)
        .position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A library of this name that needs these, as small as one can be.
    pub(crate) fn library(machine: u16, soname: &str, needed: &[&str], run_path: &str) -> Vec<u8> {
        let mut strings = vec![0_u8];
        let mut add = |text: &str| {
            let at = strings.len() as u64;
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            at
        };
        let mut entries: Vec<(u64, u64)> = needed.iter().map(|name| (1, add(name))).collect();
        if !soname.is_empty() {
            entries.push((14, add(soname)));
        }
        if !run_path.is_empty() {
            entries.push((29, add(run_path)));
        }
        let table = 64 + 2 * 56 + (entries.len() as u64 + 2) * 16;
        entries.extend([(5, 0x1000 + table), (0, 0)]);
        let size = table + strings.len() as u64;
        let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0".to_vec();
        bytes.extend(machine.to_le_bytes());
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend([0_u64, 64, 0].iter().flat_map(|n| n.to_le_bytes()));
        bytes.extend([0, 0, 0, 0, 64, 0, 56, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
        for (kind, offset, length) in [(1_u32, 0, size), (2, 176, entries.len() as u64 * 16)] {
            bytes.extend(kind.to_le_bytes());
            bytes.extend(4_u32.to_le_bytes());
            let numbers = [offset, 0x1000 + offset, 0, length, length, 8];
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
        }
        bytes.extend(
            entries
                .iter()
                .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat()),
        );
        bytes.extend(strings);
        bytes
    }

    #[test]
    fn a_library_says_what_it_is() {
        let bytes = library(
            X86_64,
            "liba.so.1",
            &["libc.so.6", "libb.so.2"],
            "$ORIGIN:/x",
        );
        let elf = read(&bytes).unwrap();
        assert_eq!(elf.soname.as_deref(), Some("liba.so.1"));
        assert_eq!(elf.needed, ["libc.so.6", "libb.so.2"]);
        assert_eq!(elf.run_path, ["$ORIGIN", "/x"]);
        assert_eq!((elf.machine, elf.is_dynamic), (X86_64, true));
    }

    #[test]
    fn a_program_of_this_machine_is_read() {
        let elf = read(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"));
        assert!(elf.interpreter.unwrap().contains("/ld-linux"));
    }

    #[test]
    fn what_is_none_is_none() {
        for bytes in [&b""[..], b"#!/bin/sh", b"\x7fELF", b"\x7fELF\x01\x01\0\0"] {
            assert_eq!(read(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), length in any::<prop::sample::Index>()) {
            let mut bytes = library(AARCH64, "liba.so.1", &["libc.so.6"], "/x");
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = read(&bytes);
            bytes.truncate(length.index(bytes.len()));
            let _ = read(&bytes);
        }
    }
}
