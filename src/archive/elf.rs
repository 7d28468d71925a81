//! What a program or library says of itself to the loader: for which machine it is, its name and the
//! libraries that it needs. 64-bit little-endian files only, which is what images hold.
//! Only the parts that say so are read: libraries are large. Format: System V ABI, chapters 4 and 5; elf(5).

/// How every ELF file begins.
pub(crate) const MAGIC: &[u8] = b"\x7fELF";
/// `e_machine` of amd64.
pub(crate) const X86_64: u16 = 62;
/// `e_machine` of arm64.
pub(crate) const AARCH64: u16 = 183;

/// Most program headers, and most entries of the dynamic section, that are read.
const MAX_ENTRIES: usize = 4096;
/// Longest name, in bytes.
const MAX_NAME_BYTES: usize = 4096;
/// Kinds of program headers.
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
/// Tags of the dynamic section.
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;
/// Length of the file's header, of a program header, and of an entry of the dynamic section, in bytes.
const FILE_HEADER_BYTES: usize = 64;
const HEADER_BYTES: usize = 56;
const DYNAMIC_BYTES: usize = 16;

/// What the loader is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ElfFile {
    pub machine: u16,
    /// The loader's path; none of a library.
    pub interpreter: Option<String>,
    /// The name by which others need it.
    pub soname: Option<String>,
    /// Names of the libraries that it needs, in the order in which they stand in the file.
    pub needed: Vec<String>,
    /// Whether it has a dynamic section: what has none needs nothing.
    pub is_dynamic: bool,
}

/// Reads a file, of which `at` gives the bytes from an offset on: as many as asked for, or fewer where it ends.
/// None if it is no ELF file of this kind, or says nothing that makes sense.
///
/// # Errors
/// Those of `at`.
pub(crate) fn read<E>(
    at: impl FnMut(u64, usize) -> Result<Vec<u8>, E>,
) -> Result<Option<ElfFile>, E> {
    let mut reader = ElfReader { at, failure: None };
    let elf = reader.elf();
    match reader.failure {
        Some(failure) => Err(failure),
        None => Ok(elf),
    }
}

/// Reads a file that is in memory.
#[cfg(test)]
pub(crate) fn read_bytes(bytes: &[u8]) -> Option<ElfFile> {
    let part = |offset: u64, length: usize| {
        let from = usize::try_from(offset).map_or(bytes.len(), |from| from.min(bytes.len()));
        let to = from.saturating_add(length).min(bytes.len());
        Ok::<_, std::convert::Infallible>(bytes[from..to].to_vec())
    };
    read(part).unwrap_or_default()
}

/// A file that is read by places.
struct ElfReader<F, E> {
    at: F,
    failure: Option<E>,
}

impl<F: FnMut(u64, usize) -> Result<Vec<u8>, E>, E> ElfReader<F, E> {
    fn elf(&mut self) -> Option<ElfFile> {
        let head = self.part(0, FILE_HEADER_BYTES)?;
        if head.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let mut elf = ElfFile {
            machine: u16_at(&head, 18)?,
            ..ElfFile::default()
        };
        let headers = self.headers(&head)?;
        if let Some(header) = headers.iter().find(|header| header.kind == PT_INTERP) {
            elf.interpreter = self.text(header.offset);
        }
        let Some(dynamic) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else {
            return Some(elf);
        };
        elf.is_dynamic = true;
        let entries = self.entries(dynamic)?;
        let of = |tag: u64| entries.iter().filter(move |(found, _)| *found == tag);
        let table = of(DT_STRTAB).next().map_or(0, |(_, value)| *value);
        let Some(table) = headers.iter().find_map(|header| header.place(table)) else {
            return Some(elf);
        };
        // In the file's order: going back may cost as much as beginning anew.
        let mut names: Vec<(u64, u64)> = of(DT_NEEDED).chain(of(DT_SONAME)).copied().collect();
        names.sort_by_key(|(_, place)| *place);
        for (tag, place) in names {
            let Some(name) = table.checked_add(place).and_then(|place| self.text(place)) else {
                continue;
            };
            if tag == DT_SONAME {
                elf.soname = Some(name);
            } else {
                elf.needed.push(name);
            }
        }
        Some(elf)
    }

    /// All of these bytes; none if the file ends before.
    fn part(&mut self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let bytes = self.up_to(offset, length)?;
        (bytes.len() == length).then_some(bytes)
    }

    fn up_to(&mut self, offset: u64, length: usize) -> Option<Vec<u8>> {
        match (self.at)(offset, length) {
            Ok(bytes) => Some(bytes),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                None
            }
        }
    }

    fn headers(&mut self, head: &[u8]) -> Option<Vec<ProgramHeader>> {
        let start = u64_at(head, 32)?;
        let (size, count) = (u16_at(head, 54)?, usize::from(u16_at(head, 56)?));
        if count > 0 && usize::from(size) != HEADER_BYTES {
            return None;
        }
        let bytes = self.part(start, count.min(MAX_ENTRIES) * HEADER_BYTES)?;
        let headers = bytes.chunks_exact(HEADER_BYTES);
        headers
            .map(|header| {
                Some(ProgramHeader {
                    kind: u32_at(header, 0)?,
                    offset: u64_at(header, 8)?,
                    address: u64_at(header, 16)?,
                    size: u64_at(header, 32)?,
                })
            })
            .collect()
    }

    /// Tags and values of the dynamic section.
    fn entries(&mut self, dynamic: &ProgramHeader) -> Option<Vec<(u64, u64)>> {
        let count = usize::try_from(dynamic.size).ok()? / DYNAMIC_BYTES;
        let bytes = self.part(dynamic.offset, count.min(MAX_ENTRIES) * DYNAMIC_BYTES)?;
        let entries = bytes.chunks_exact(DYNAMIC_BYTES);
        let entries = entries.map_while(|entry| Some((u64_at(entry, 0)?, u64_at(entry, 8)?)));
        Some(entries.take_while(|(tag, _)| *tag != 0).collect())
    }

    /// The text that ends with a zero.
    fn text(&mut self, offset: u64) -> Option<String> {
        let bytes = self.up_to(offset, MAX_NAME_BYTES)?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
    }
}

struct ProgramHeader {
    kind: u32,
    offset: u64,
    address: u64,
    size: u64,
}

impl ProgramHeader {
    /// Where in the file an address is, if it lies in this part of it.
    fn place(&self, address: u64) -> Option<u64> {
        let within = address.checked_sub(self.address)?;
        (self.kind == PT_LOAD && within < self.size).then(|| self.offset.checked_add(within))?
    }
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A library of this name that needs these, as small as one can be.
    pub(crate) fn library(machine: u16, soname: &str, needed: &[&str]) -> Vec<u8> {
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
        let bytes = library(X86_64, "liba.so.1", &["libc.so.6", "libb.so.2"]);
        let elf = read_bytes(&bytes).unwrap();
        assert_eq!(elf.soname.as_deref(), Some("liba.so.1"));
        assert_eq!(elf.needed, ["libc.so.6", "libb.so.2"]);
        assert_eq!((elf.machine, elf.is_dynamic), (X86_64, true));
    }

    #[test]
    fn a_program_of_this_machine_is_read() {
        let elf = read_bytes(&std::fs::read("/proc/self/exe").unwrap()).unwrap();
        assert!(elf.needed.iter().any(|name| name == "libc.so.6"));
        assert!(elf.interpreter.unwrap().contains("/ld-linux"));
    }

    #[test]
    fn a_library_is_read_in_parts_and_a_failure_is_passed_on() {
        let bytes = library(X86_64, "liba.so.1", &["libc.so.6"]);
        let part = |offset: u64, length: usize| {
            let rest = &bytes[usize::try_from(offset).unwrap().min(bytes.len())..];
            rest[..length.min(rest.len())].to_vec()
        };
        let mut most = 0;
        let elf = read(|offset, length| {
            most = most.max(length);
            Ok::<_, ()>(part(offset, length))
        });
        assert!(elf.unwrap().is_some());
        assert!(most <= MAX_NAME_BYTES, "{most}");
        let mut calls = 0;
        let failing = |offset, length| {
            calls += 1;
            if calls > 2 {
                Err("gone")
            } else {
                Ok(part(offset, length))
            }
        };
        assert_eq!(read(failing), Err("gone"));
    }

    #[test]
    fn what_is_none_is_none() {
        for bytes in [&b""[..], b"#!/bin/sh", b"\x7fELF", b"\x7fELF\x01\x01\0\0"] {
            assert_eq!(read_bytes(bytes), None);
        }
    }

    proptest! {
        #[test]
        fn never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8), length in any::<prop::sample::Index>()) {
            let mut bytes = library(AARCH64, "liba.so.1", &["libc.so.6"]);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            let _ = read_bytes(&bytes);
            bytes.truncate(length.index(bytes.len()));
            let _ = read_bytes(&bytes);
        }
    }
}
