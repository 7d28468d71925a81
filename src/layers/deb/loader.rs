//! `/etc/ld.so.cache`, as `ldconfig` makes it: where the loader, `ldconfig -p` and with that Python's
//! `ctypes.util.find_library` find each library.
//!
//! Format: `glibc-ld.so.cache1.1`, which glibc has written alone since 2.32 (`elf/cache.c`,
//! `sysdeps/generic/dl-cache.h`). Libraries below `glibc-hwcaps` are not listed; each is there in a form for
//! every processor too.

use std::cmp::Ordering;

use super::error::DebLayerError;
use super::gather::{LINK, NodeKind};
use super::rules;
use super::view::LayerView;
use crate::layers::linkage::machine;
use crate::oci::Architecture;

pub(super) const CACHE: &str = "etc/ld.so.cache";
/// What the loader is told of further folders.
const CONFIG: &[u8] = b"etc/ld.so.conf";
const CONFIG_FOLDER: &[u8] = b"etc/ld.so.conf.d";
/// Longest configuration file, in bytes.
const MAX_CONFIG_BYTES: u64 = 64 << 10;
/// The folders that the loader knows by itself, last.
const OWN_FOLDERS: [&str; 2] = ["/lib", "/usr/lib"];
/// Lengths of the cache's head and of its entries, in bytes.
const HEAD_BYTES: usize = 48;
const ENTRY_BYTES: usize = 24;
/// `flags` of the head: little endian.
const LITTLE_ENDIAN: u8 = 2;

/// A library in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LibraryEntry {
    name: String,
    path: String,
}

/// Makes the cache of all libraries that are in the view, and the links of their names.
pub(super) fn settle(
    architecture: Architecture,
    view: &mut LayerView<'_>,
) -> Result<(), DebLayerError> {
    let mut entries = Vec::new();
    for folder in folders(view)? {
        let place = place_of(&folder).unwrap_or_default();
        for name in view.names_in(&place) {
            let Some((entry, link)) = entry(architecture, &folder, &place, &name, view)? else {
                continue;
            };
            if let Some((path, target)) = link {
                view.top.put_of("", &path, NodeKind::Symlink(target), LINK);
            }
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    if entries.is_empty() {
        return Ok(());
    }
    entries.sort_by(|one, other| order(other.name.as_bytes(), one.name.as_bytes()));
    view.top.put_file(CACHE, &cache(architecture, &entries))
}

/// A link that is to be made: its path and its target.
type NewLink = (Vec<u8>, Vec<u8>);

/// The entry of a file in a folder, if it is a library for this machine, and the link of its name if that is
/// not there.
fn entry(
    architecture: Architecture,
    folder: &str,
    place: &[u8],
    name: &[u8],
    view: &LayerView<'_>,
) -> Result<Option<(LibraryEntry, Option<NewLink>)>, DebLayerError> {
    let Ok(file) = std::str::from_utf8(name) else {
        return Ok(None);
    };
    let is_library = (file.starts_with("lib") || file.starts_with("ld-") || file == "ld.so")
        && file.contains(".so");
    let path = [place, b"/", name].concat();
    if !is_library {
        return Ok(None);
    }
    let Some(elf) = view
        .elf(&path)?
        .filter(|elf| elf.machine == machine(architecture))
    else {
        return Ok(None);
    };
    let is_link =
        matches!(view.node(&path), Some(node) if matches!(node.kind, NodeKind::Symlink(_)));
    let soname = elf.soname.as_deref().unwrap_or(file);
    // A link for linking (`libz.so`) is listed by its own name.
    let own = is_link && file.as_bytes().ends_with(b".so") && soname.starts_with(file);
    let listed = if own { file } else { soname };
    if listed.contains('/') || listed.is_empty() {
        return Ok(None);
    }
    let there = [place, b"/", listed.as_bytes()].concat();
    let new = (view.node(&there).is_none()).then(|| (there, name.to_vec()));
    let entry = LibraryEntry {
        name: listed.to_owned(),
        path: format!("{folder}/{listed}"),
    };
    Ok(Some((entry, new)))
}

/// The loader's folders, in the order in which it looks: those of its configuration, then its own. Each place
/// once, by the name that comes first.
pub(super) fn folders(view: &LayerView<'_>) -> Result<Vec<String>, DebLayerError> {
    let mut texts = Vec::new();
    if let Some(text) = view.read(CONFIG, MAX_CONFIG_BYTES)? {
        texts.push(text);
    }
    // `include /etc/ld.so.conf.d/*.conf` is what the file says.
    for name in view.names_in(CONFIG_FOLDER) {
        if name.ends_with(b".conf") {
            let path = [CONFIG_FOLDER, b"/", name.as_slice()].concat();
            texts.extend(view.read(&path, MAX_CONFIG_BYTES)?);
        }
    }
    let texts: Vec<String> = texts
        .iter()
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect();
    let lines = texts.iter().flat_map(|text| text.lines());
    let lines = lines.map(|line| line.split('#').next().unwrap_or_default().trim());
    let named = lines.filter(|line| line.starts_with('/'));
    let mut folders: Vec<String> = Vec::new();
    let mut places: Vec<Vec<u8>> = Vec::new();
    for folder in named.chain(OWN_FOLDERS) {
        let folder = folder.trim_end_matches('/');
        let Some(place) = place_of(folder).filter(|place| !places.contains(place)) else {
            continue;
        };
        places.push(place);
        folders.push(folder.to_owned());
    }
    Ok(folders)
}

/// Where a folder lies: `/lib` is `/usr/lib`.
fn place_of(folder: &str) -> Option<Vec<u8>> {
    let inner = rules::place(format!("{folder}/x").as_bytes())?;
    inner.strip_suffix(b"/x").map(<[u8]>::to_vec)
}

fn cache(architecture: Architecture, entries: &[LibraryEntry]) -> Vec<u8> {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    // A library for the C library 6, and for 64 bits.
    let flags: u32 = match architecture {
        Architecture::Amd64 => 0x0303,
        Architecture::Arm64 => 0x0a03,
    };
    let strings_start = HEAD_BYTES + entries.len() * ENTRY_BYTES;
    let (mut table, mut strings) = (Vec::new(), Vec::new());
    for entry in entries {
        table.extend(flags.to_le_bytes());
        // The name is the path's end.
        let path = strings_start + strings.len();
        table.extend(number(path + entry.path.len() - entry.name.len()));
        table.extend(number(path));
        table.extend([0; 12]);
        strings.extend_from_slice(entry.path.as_bytes());
        strings.push(0);
    }
    let mut bytes = b"glibc-ld.so.cache1.1".to_vec();
    bytes.extend(number(entries.len()));
    bytes.extend(number(strings.len()));
    bytes.extend([LITTLE_ENDIAN, 0, 0, 0]);
    bytes.resize(HEAD_BYTES, 0);
    bytes.extend(table);
    bytes.extend(strings);
    bytes
}

/// The loader's order of names, by which it searches: numbers count as numbers (`_dl_cache_libcmp`).
fn order(mut one: &[u8], mut other: &[u8]) -> Ordering {
    loop {
        let (first, second) = (one.first(), other.first());
        match (first, second) {
            (Some(a), Some(b)) if a.is_ascii_digit() && b.is_ascii_digit() => {
                let order = number(&mut one).cmp(&number(&mut other));
                if order != Ordering::Equal {
                    return order;
                }
            }
            (Some(a), Some(b)) if a == b => {
                one = one.get(1..).unwrap_or_default();
                other = other.get(1..).unwrap_or_default();
            }
            (Some(a), _) if a.is_ascii_digit() => return Ordering::Greater,
            (Some(_), Some(b)) if b.is_ascii_digit() => return Ordering::Less,
            _ => return first.cmp(&second),
        }
    }
}

/// Takes the number that a text begins with.
fn number(text: &mut &[u8]) -> u64 {
    let mut value = 0_u64;
    while let Some((digit, rest)) = text
        .split_first()
        .filter(|(digit, _)| digit.is_ascii_digit())
    {
        value = value
            .saturating_mul(10)
            .saturating_add(u64::from(digit - b'0'));
        *text = rest;
    }
    value
}
