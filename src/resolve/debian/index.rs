//! What the suites offer, found by name: small in memory, because a suite lists 70,000 packages.
//!
//! The fields that matter go to a temporary file; in memory stay names and places, about 10 MB.

use std::{
    cell::RefCell,
    fs::File,
    io::{BufReader, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::{
    error::DebianError,
    suite::{PackagesFile, SuiteClient},
};
use crate::packages::debian::{ControlParagraph, IndexPackage, ParagraphReader};

/// Fields that are kept.
const FIELDS: [&str; 9] = [
    "Package",
    "Version",
    "Architecture",
    "Pre-Depends",
    "Depends",
    "Provides",
    "Filename",
    "Size",
    "SHA256",
];

/// All packages of all suites.
pub(super) struct SuiteIndex {
    /// Folder of the temporary files.
    scratch: PathBuf,
    /// All names, one after the other.
    names: String,
    places: Vec<IndexPlace>,
    sources: Vec<IndexSource>,
}

/// One file of the index.
struct IndexSource {
    suite: SuiteClient,
    url: String,
    paragraphs: RefCell<BufReader<File>>,
}

/// Where a name (a package's own, or one that it provides) is described.
#[derive(Debug, Clone, Copy)]
struct IndexPlace {
    name_start: u32,
    name_length: u16,
    provided: bool,
    source: u16,
    offset_bytes: u64,
}

/// A package with the suite that has it.
#[derive(Debug, Clone)]
pub(super) struct PackageOffer {
    pub package: IndexPackage,
    pub suite: SuiteClient,
}

impl SuiteIndex {
    /// An empty index that spools to `scratch`.
    pub(super) fn new(scratch: &Path) -> Self {
        Self {
            scratch: scratch.to_owned(),
            names: String::new(),
            places: Vec::new(),
            sources: Vec::new(),
        }
    }

    /// Adds one `Packages` file.
    pub(super) fn add(
        &mut self,
        suite: &SuiteClient,
        file: PackagesFile,
    ) -> Result<(), DebianError> {
        let url = file.url;
        let scratch = self.scratch.clone();
        let spool_error = |source| DebianError::File {
            path: scratch.clone(),
            source,
        };
        let spool = tempfile::tempfile_in(&scratch).map_err(spool_error)?;
        let mut spool = BufWriter::with_capacity(64 << 10, spool);
        let mut reader = ParagraphReader::new(BufReader::with_capacity(64 << 10, file.text));
        let mut offset_bytes = 0;
        let source = u16::try_from(self.sources.len()).unwrap_or(u16::MAX);
        loop {
            let paragraph = reader.next().map_err(|source| DebianError::Index {
                url: url.clone(),
                source,
            })?;
            let Some(paragraph) = paragraph else { break };
            let Some(name) = paragraph.get("Package") else {
                continue;
            };
            self.note(name, false, (source, offset_bytes));
            for provided in paragraph.get("Provides").unwrap_or_default().split(',') {
                let end = provided.find(['(', ':']).unwrap_or(provided.len());
                let provided = provided.get(..end).unwrap_or_default().trim();
                if !provided.is_empty() {
                    self.note(provided, true, (source, offset_bytes));
                }
            }
            offset_bytes += write_fields(&paragraph, &mut spool).map_err(spool_error)?;
        }
        let spool = spool
            .into_inner()
            .map_err(|error| spool_error(error.into_error()))?;
        self.sources.push(IndexSource {
            suite: suite.clone(),
            url,
            paragraphs: RefCell::new(BufReader::with_capacity(8 << 10, spool)),
        });
        Ok(())
    }

    /// Notes where a name is described; names that cannot be any are left out.
    fn note(&mut self, name: &str, provided: bool, (source, offset_bytes): (u16, u64)) {
        let (Ok(name_start), Ok(name_length)) =
            (u32::try_from(self.names.len()), u16::try_from(name.len()))
        else {
            return;
        };
        self.names.push_str(name);
        self.places.push(IndexPlace {
            name_start,
            name_length,
            provided,
            source,
            offset_bytes,
        });
    }

    /// Sorts what was added; must be called before anything is looked up.
    pub(super) fn finish(&mut self) {
        let names = &self.names;
        self.places.sort_unstable_by(|left, right| {
            (
                name_of(names, left),
                left.provided,
                left.source,
                left.offset_bytes,
            )
                .cmp(&(
                    name_of(names, right),
                    right.provided,
                    right.source,
                    right.offset_bytes,
                ))
        });
    }

    /// Packages of this very name.
    pub(super) fn named(&self, name: &str) -> Result<Vec<PackageOffer>, DebianError> {
        self.look_up(name, false)
    }

    /// Packages that provide this name.
    pub(super) fn providing(&self, name: &str) -> Result<Vec<PackageOffer>, DebianError> {
        self.look_up(name, true)
    }

    fn look_up(&self, name: &str, provided: bool) -> Result<Vec<PackageOffer>, DebianError> {
        let start = self.places.partition_point(|place| {
            (name_of(&self.names, place), place.provided) < (name, provided)
        });
        let places = self.places.get(start..).unwrap_or_default();
        places
            .iter()
            .take_while(|place| name_of(&self.names, place) == name && place.provided == provided)
            .map(|place| self.read(*place))
            .collect()
    }

    fn read(&self, place: IndexPlace) -> Result<PackageOffer, DebianError> {
        let Some(source) = self.sources.get(usize::from(place.source)) else {
            return Err(DebianError::Interrupted);
        };
        let index_error = |error| DebianError::Index {
            url: source.url.clone(),
            source: error,
        };
        let mut file = source.paragraphs.borrow_mut();
        file.seek(SeekFrom::Start(place.offset_bytes))
            .map_err(|error| index_error(error.into()))?;
        let mut reader = ParagraphReader::new(&mut *file);
        let Some(paragraph) = reader.next().map_err(index_error)? else {
            return Err(DebianError::Interrupted);
        };
        let package = IndexPackage::read(&paragraph).map_err(|error| DebianError::Package {
            url: source.url.clone(),
            source: error,
        })?;
        Ok(PackageOffer {
            package,
            suite: source.suite.clone(),
        })
    }
}

fn name_of<'a>(names: &'a str, place: &IndexPlace) -> &'a str {
    let start = place.name_start as usize;
    names
        .get(start..start + usize::from(place.name_length))
        .unwrap_or_default()
}

/// Writes the fields that matter and a blank line; returns how many bytes that were.
fn write_fields(paragraph: &ControlParagraph<'_>, spool: &mut impl Write) -> std::io::Result<u64> {
    let mut written = 1;
    let mut keep = false;
    for line in paragraph.text().split_inclusive('\n') {
        if !line.starts_with([' ', '\t']) {
            keep = line
                .split_once(':')
                .is_some_and(|(name, _)| FIELDS.contains(&name));
        }
        if keep {
            let line = line.trim_end_matches('\n');
            spool.write_all(line.as_bytes())?;
            spool.write_all(b"\n")?;
            written += line.len() as u64 + 1;
        }
    }
    spool.write_all(b"\n")?;
    Ok(written)
}
