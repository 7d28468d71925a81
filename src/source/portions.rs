//! How the files of a source are divided: what is large or rarely changes is kept apart from the code, so that an edit
//! of the code leaves it as it is.
//!
//! The division follows from paths and lengths alone, so it is the same on every machine, and each file's portion
//! follows from what is near it, so that an edit moves none of the others:
//!
//! - **Large files**: each file of [`LARGE_FROM_BYTES`] and more is alone. Of more than [`MAX_LARGE`], the smaller ones
//!   share portions.
//! - **Large folders**: a folder is large if what lies in it, without large files and without the large folders below
//!   it, takes as long to write as [`LARGE_FOLDER_BYTES`]. The folders in it are dealt out to [`FOLDER_PORTIONS`]
//!   portions by the hash of their paths. One that is as large by its own files alone has them dealt out one by one.
//! - **The rest**: the code, most likely. A source without large files and folders is nothing else.
//!
//! Python's sources stay with the folder that they are in, for beside them lies their byte code.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::left_out::MAX_NAMED;
use super::{SourceEntry, SourceKind};

/// From this length on a file has a portion of its own: what is shorter is compressed and sent in less time than
/// a request takes to a registry that is far away.
const LARGE_FROM_BYTES: u64 = 4 << 20;
/// Portions of large files at most, those that are shared among them.
const MAX_LARGE: usize = 8;
/// Of those, the ones that are shared where there are more files.
const SHARED_LARGE: usize = 2;
/// From this weight on the files of a folder are kept apart; writing and sending it takes some tenths of a second.
const LARGE_FOLDER_BYTES: u64 = 16 << 20;
/// Portions that large folders are dealt out to.
const FOLDER_PORTIONS: usize = 16;
/// What is in neither is numbered so.
const REST: usize = MAX_LARGE + FOLDER_PORTIONS;
/// Writing an entry takes as long as so many bytes.
const ENTRY_BYTES: u64 = 4 << 10;

/// What a portion is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PortionKind {
    LargeFiles,
    LargeFolders,
    Rest,
}

/// Files of a source that go together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourcePortion {
    pub kind: PortionKind,
    /// Places of its entries among the tree's, in order; the folders above them are among it, so a folder may be in
    /// more than one portion.
    pub places: Vec<usize>,
    /// How many of them are no folders.
    pub files: usize,
    /// Length of its files.
    pub bytes: u64,
}

impl SourcePortion {
    fn new(kind: PortionKind) -> Self {
        Self {
            kind,
            places: Vec::new(),
            files: 0,
            bytes: 0,
        }
    }

    fn add(&mut self, place: usize, entry: &SourceEntry) {
        self.places.push(place);
        self.files += usize::from(!is_folder(entry));
        self.bytes += length(entry);
    }

    /// What it holds, for people.
    pub(crate) fn title(&self, entries: &[SourceEntry]) -> String {
        match self.kind {
            PortionKind::LargeFiles => {
                let files = self.places.iter().filter_map(|&place| entries.get(place));
                sized(files.filter(|entry| !is_folder(entry)))
            }
            PortionKind::LargeFolders => format!("{} files of large folders", self.files),
            PortionKind::Rest => format!("{} files and folders", self.places.len()),
        }
    }

    /// A source that is not divided.
    fn whole(entries: &[SourceEntry]) -> Self {
        let mut whole = Self::new(PortionKind::Rest);
        for (place, entry) in entries.iter().enumerate() {
            whole.add(place, entry);
        }
        whole
    }
}

/// A source by what goes together: each file is in one portion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceDivision {
    /// What is large: files, then folders. None of them is empty.
    pub apart: Vec<SourcePortion>,
    pub code: SourcePortion,
    /// How it is divided, for people, a line for each kind of what is large.
    pub described: Vec<(PortionKind, String)>,
}

impl SourceDivision {
    /// Divides entries, which are sorted by path.
    pub(super) fn of(entries: &[SourceEntry]) -> Self {
        let large = large_files(entries);
        let weight: u64 = entries.iter().map(weight).sum();
        if large.is_empty() && weight < LARGE_FOLDER_BYTES {
            return Self {
                apart: Vec::new(),
                code: SourcePortion::whole(entries),
                described: Vec::new(),
            };
        }
        let folders = Folders::of(entries);
        let portion_of = |place: usize| match large.get(&place) {
            Some(portion) => *portion,
            None => folders
                .portion_of(place)
                .map_or(REST, |one| MAX_LARGE + one),
        };
        let portions: Vec<usize> = (0..entries.len()).map(portion_of).collect();
        let mut apart: Vec<SourcePortion> = (0..REST)
            .map(|number| {
                SourcePortion::new(if number < MAX_LARGE {
                    PortionKind::LargeFiles
                } else {
                    PortionKind::LargeFolders
                })
            })
            .collect();
        let mut code = SourcePortion::new(PortionKind::Rest);
        for (place, mut left) in folders.seen_in(&portions).into_iter().enumerate() {
            while left != 0 {
                let number = left.trailing_zeros() as usize;
                let portion = apart.get_mut(number).unwrap_or(&mut code);
                portion.add(place, &entries[place]);
                left &= left - 1;
            }
        }
        apart.retain(|portion| portion.files > 0);
        Self {
            described: describe(&apart, entries),
            apart,
            code,
        }
    }

    /// All portions, that of the code last.
    pub(crate) fn portions(&self) -> impl Iterator<Item = &SourcePortion> {
        self.apart.iter().chain([&self.code])
    }
}

/// Says how what is large is divided, a line for each kind.
fn describe(apart: &[SourcePortion], entries: &[SourceEntry]) -> Vec<(PortionKind, String)> {
    let of = |kind| apart.iter().filter(move |portion| portion.kind == kind);
    let entries_of = |kind| {
        let places = of(kind).flat_map(|portion| portion.places.iter().copied());
        places.filter_map(|place| entries.get(place))
    };
    let head = |kind, what: &str| {
        let files: usize = of(kind).map(|portion| portion.files).sum();
        let layers = of(kind).count();
        let (file, layer) = (plural(files, "file"), plural(layers, "layer"));
        (layers > 0).then(|| format!("{file} of {what} in {layer}: "))
    };
    let large = head(PortionKind::LargeFiles, "4 MiB and more").map(|head| {
        let files = entries_of(PortionKind::LargeFiles).filter(|entry| !is_folder(entry));
        head + &sized(files)
    });
    let folders = head(PortionKind::LargeFolders, "large folders").map(|head| {
        let tops = entries_of(PortionKind::LargeFolders)
            .filter(|entry| is_folder(entry) && !entry.path.contains(&b'/'))
            .map(SourceEntry::shown);
        let tops: BTreeSet<String> = tops.collect();
        match tops.len() {
            0 => format!("{head}."),
            count => head + &first_of(tops.into_iter(), count),
        }
    });
    let large = large.map(|text| (PortionKind::LargeFiles, text));
    let folders = folders.map(|text| (PortionKind::LargeFolders, text));
    large.into_iter().chain(folders).collect()
}

fn plural(count: usize, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}

/// Files with their lengths, the first few of them.
fn sized<'a>(files: impl Iterator<Item = &'a SourceEntry> + Clone) -> String {
    let shown = |entry: &SourceEntry| {
        let megabytes = length(entry).div_ceil(1_000_000);
        format!("{} ({megabytes} MB)", entry.shown())
    };
    first_of(files.clone().map(shown), files.count())
}

fn first_of(names: impl Iterator<Item = String>, count: usize) -> String {
    let named: Vec<String> = names.take(MAX_NAMED).collect();
    let named = named.join(", ");
    match count.saturating_sub(MAX_NAMED) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

/// The portions of large files, by the files' places.
fn large_files(entries: &[SourceEntry]) -> BTreeMap<usize, usize> {
    let mut large: Vec<usize> = (0..entries.len())
        .filter(|&place| is_large(&entries[place]))
        .collect();
    let alone = if large.len() > MAX_LARGE {
        MAX_LARGE - SHARED_LARGE
    } else {
        MAX_LARGE
    };
    large.sort_by_key(|&place| (std::cmp::Reverse(length(&entries[place])), place));
    let mut first: Vec<usize> = large.iter().copied().take(alone).collect();
    first.sort_unstable();
    let shared = large.iter().skip(alone);
    let shared = shared.map(|&place| (place, alone + slot(&entries[place].path, SHARED_LARGE)));
    first
        .into_iter()
        .enumerate()
        .map(|(number, place)| (place, number))
        .chain(shared)
        .collect()
}

/// The folders of a source, and which of them are large.
struct Folders<'a> {
    entries: &'a [SourceEntry],
    /// The folder that each entry lies in; the first folder is the root.
    parents: Vec<usize>,
    /// The folder that each entry is, if it is one.
    own: Vec<Option<usize>>,
    folders: Vec<Folder<'a>>,
}

struct Folder<'a> {
    /// What its files are dealt out by.
    path: &'a [u8],
    /// Whether it holds the byte code of the sources in the folder above, and goes with them.
    is_byte_code: bool,
    /// The folder that it lies in, of all but the root.
    parent: usize,
    /// Of the files right in it.
    own_weight: u64,
    /// The portion of its files, if they are those of a large folder.
    slot: Option<usize>,
}

impl<'a> Folder<'a> {
    fn new(path: &'a [u8], parent: usize) -> Self {
        let is_byte_code = name_of(path) == BYTE_CODE;
        Self {
            path: if is_byte_code { folder_of(path) } else { path },
            is_byte_code,
            parent,
            own_weight: 0,
            slot: None,
        }
    }
}

impl<'a> Folders<'a> {
    fn of(entries: &'a [SourceEntry]) -> Self {
        let mut folders = vec![Folder::new(b"", 0)];
        let mut by_path: BTreeMap<&[u8], usize> = BTreeMap::from([(b"".as_slice(), 0)]);
        let mut parents = Vec::with_capacity(entries.len());
        let mut own = vec![None; entries.len()];
        // Most entries lie where the one before them does.
        let mut last = (b"".as_slice(), 0);
        for (place, entry) in entries.iter().enumerate() {
            let path = folder_of(&entry.path);
            if path != last.0 {
                last = (path, by_path.get(path).copied().unwrap_or(0));
            }
            let parent = last.1;
            parents.push(parent);
            if is_folder(entry) {
                by_path.insert(&entry.path, folders.len());
                own[place] = Some(folders.len());
                folders.push(Folder::new(&entry.path, parent));
            } else if !is_large(entry) {
                folders[parent].own_weight += weight(entry);
            }
        }
        let mut found = Self {
            entries,
            parents,
            own,
            folders,
        };
        found.set_apart();
        found
    }

    /// Finds the large folders, from the lowest up, and what lies in them.
    fn set_apart(&mut self) {
        let mut weights: Vec<u64> = self.folders.iter().map(|one| one.own_weight).collect();
        for number in (0..self.folders.len()).rev() {
            let weight = weights[number];
            let folder = &mut self.folders[number];
            if weight >= LARGE_FOLDER_BYTES && !folder.is_byte_code {
                folder.slot = Some(slot(folder.path, FOLDER_PORTIONS));
            } else if number > 0 {
                weights[folder.parent] += weight;
            }
        }
        for number in 1..self.folders.len() {
            let is_in_one = self.folders[self.folders[number].parent].slot.is_some();
            let folder = &mut self.folders[number];
            if is_in_one {
                folder.slot = Some(slot(folder.path, FOLDER_PORTIONS));
            }
        }
    }

    /// The portion of an entry among those of large folders.
    fn portion_of(&self, place: usize) -> Option<usize> {
        let entry = &self.entries[place];
        let folder = &self.folders[self.own[place].unwrap_or(self.parents[place])];
        let deals_out = folder.own_weight >= LARGE_FOLDER_BYTES && !is_folder(entry);
        if deals_out && !is_python(&entry.path) {
            return Some(slot(&entry.path, FOLDER_PORTIONS));
        }
        folder.slot
    }

    /// The portions that each entry is seen in, a bit each: a folder in those of all that lies in it.
    fn seen_in(&self, portions: &[usize]) -> Vec<u32> {
        let mut seen: Vec<u32> = portions.iter().map(|&portion| 1 << portion).collect();
        let mut below = vec![0; self.folders.len()];
        // What lies in a folder comes after it.
        for place in (0..seen.len()).rev() {
            if let Some(folder) = self.own[place] {
                seen[place] |= below[folder];
            }
            below[self.parents[place]] |= seen[place];
        }
        seen
    }
}

/// The folder of byte code.
const BYTE_CODE: &[u8] = b"__pycache__";

fn folder_of(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|&byte| byte == b'/');
    &path[..slash.unwrap_or(0)]
}

fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

fn is_folder(entry: &SourceEntry) -> bool {
    entry.kind == SourceKind::Directory
}

fn is_python(path: &[u8]) -> bool {
    path.ends_with(b".py") || path.ends_with(b".pyc") || name_of(folder_of(path)) == BYTE_CODE
}

fn is_large(entry: &SourceEntry) -> bool {
    length(entry) >= LARGE_FROM_BYTES && !is_python(&entry.path)
}

fn length(entry: &SourceEntry) -> u64 {
    match entry.kind {
        SourceKind::File { size_bytes, .. } => size_bytes,
        SourceKind::Directory | SourceKind::Symlink { .. } => 0,
    }
}

/// What an entry counts for. Lengths are rounded up to powers of two, so that hardly an edit changes it.
fn weight(entry: &SourceEntry) -> u64 {
    match length(entry) {
        0 if is_folder(entry) => 0,
        size_bytes => size_bytes.next_power_of_two() + ENTRY_BYTES,
    }
}

/// The same for a path on every machine and in every version of this program.
fn slot(path: &[u8], slots: usize) -> usize {
    usize::from(Sha256::digest(path)[0]) % slots
}

#[cfg(test)]
mod tests;
