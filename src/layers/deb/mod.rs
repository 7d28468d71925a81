//! The base of an image from Debian packages, without dpkg: their files merged, sorted and written
//! straight into a layer, with what the maintainer scripts would have made.
//!
//! Two layers, so that two cores work: the system and Python. Set-user-id and set-group-id bits are
//! dropped, because the image runs without privileges to gain; documentation, man pages and
//! translations are left out, copyright files are kept. Packages are described in
//! `/var/lib/dpkg/status.d`, where scanners look. Format: deb(5), Debian Policy 6 and 10.

mod alternatives;
mod configure;
mod derived;
mod error;
mod gather;
mod loader;
mod locale;
mod package;
mod rules;
mod script;
mod view;

use std::{
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::{
    archive::tar::{CompressionEffort, LayerWriter},
    layers::{
        linkage::{LinkSurvey, Linkage, LinkedFile, machine},
        notes::LayerNotes,
    },
    oci::{Architecture, Key, KeyBuilder},
    packages::debian::DebArtefact,
};

pub(crate) use configure::{Run, Scripts, Undone};
pub(crate) use error::DebLayerError;
use gather::{GatheredFiles, LayerNode, NodeKind};
use view::LayerView;

/// Names how these layers are written; changes whenever their bytes would.
const LAYOUT: &str = "debian-base/6";

/// The shared libraries that Debian's interpreter links (`Depends` of `python3.11-minimal`, `python3.13-minimal` and
/// `python3.14-minimal`).
const INTERPRETERS_LIBRARIES: [&str; 3] = ["libc6", "libexpat1", "zlib1g"];

/// Which of the base's layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum BasePart {
    /// Everything but Python, and all that the scripts would have made.
    System,
    /// The interpreter and what it needs to start: its own libraries, and the smallest part of
    /// Python's. Apart from the rest, because whoever compiles byte code wants this alone.
    Interpreter,
    /// The rest of Python's library.
    Python,
    /// Packages above a base, which has all that scripts would have made already.
    Added,
}

/// What decides the bytes of a base layer beside its packages.
#[derive(Debug, Clone)]
pub(crate) struct BaseOptions {
    pub architecture: Architecture,
    /// Python's version, for instance `3.13`.
    pub python: String,
    /// The locale taken out of the package `locales-all`.
    pub locale: Option<String>,
    /// Time of every entry, seconds since 1970.
    pub mtime: u64,
}

impl BasePart {
    /// Those that a base is made of, bottom up.
    pub(crate) const OF_BASE: [Self; 3] = [Self::System, Self::Interpreter, Self::Python];

    /// The part that a package belongs to.
    pub(crate) fn of(artefact: &DebArtefact) -> Self {
        let name = artefact.package.as_str();
        if INTERPRETERS_LIBRARIES.contains(&name) {
            return Self::Interpreter;
        }
        match (Self::is_python(name), name.ends_with("-minimal")) {
            (true, true) => Self::Interpreter,
            (true, false) => Self::Python,
            (false, _) => Self::System,
        }
    }

    /// Whether a package of this name is the interpreter or its library.
    pub(crate) fn is_python(name: &str) -> bool {
        name.starts_with("python3") || name.starts_with("libpython3")
    }

    /// Whether the layer has what is made of all packages of the image so far.
    pub(crate) fn is_whole(self) -> bool {
        matches!(self, Self::System | Self::Added)
    }

    /// Of a base's packages, those of other parts that this part is made with.
    pub(crate) fn beside(self, artefacts: &[DebArtefact]) -> Vec<DebArtefact> {
        artefacts
            .iter()
            .filter(|artefact| self.is_whole() && Self::of(artefact) != self)
            .cloned()
            .collect()
    }

    /// The packages of this part, in their order.
    pub(crate) fn of_all(self, artefacts: &[DebArtefact]) -> Vec<DebArtefact> {
        artefacts
            .iter()
            .filter(|artefact| Self::of(artefact) == self)
            .cloned()
            .collect()
    }

    /// A base is made once for all images of its builder; what is added above it, for one project.
    pub(crate) fn effort(self) -> CompressionEffort {
        match self {
            Self::System | Self::Interpreter | Self::Python => CompressionEffort::Most,
            Self::Added => CompressionEffort::Usual,
        }
    }

    /// A word for reports and annotations.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Interpreter => "interpreter",
            Self::Python => "python",
            Self::Added => "added",
        }
    }
}

/// The key of a base layer: its packages' digests, those of the packages beside them, and the options.
pub(crate) fn key(
    part: BasePart,
    artefacts: &[DebArtefact],
    beside: &[DebArtefact],
    options: &BaseOptions,
) -> Key {
    let mut key = KeyBuilder::new(LAYOUT)
        .field(part.name().as_bytes())
        .field(options.architecture.name().as_bytes())
        .field(options.python.as_bytes())
        .field(options.locale.as_deref().unwrap_or_default().as_bytes())
        .field(&options.mtime.to_le_bytes())
        .field(&part.effort().deflate_level().to_le_bytes());
    for artefact in artefacts {
        key.add(artefact.package.as_bytes());
        key.add(&artefact.sha256.0);
    }
    key.add(b"beside");
    for artefact in beside {
        key.add(&artefact.sha256.0);
    }
    key.finish()
}

/// Packages, sorted by name, with the files that hold them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackageFiles<'a> {
    /// Those of the layer.
    pub own: &'a [(DebArtefact, PathBuf)],
    /// Those of the image's other layers, below this one and beside it: what is made of all of them (the
    /// loader's cache, alternatives) lies in this layer.
    pub beside: &'a [(DebArtefact, PathBuf)],
}

/// Writes one base layer from its packages.
///
/// Contents go through one temporary file in `spool_folder`, because a layer is sorted by path and
/// packages are not; memory holds names and places only. The caller finishes `out`, and keeps the notes.
pub(crate) fn write<W: Write>(
    part: BasePart,
    packages: PackageFiles<'_>,
    options: &BaseOptions,
    spool_folder: &Path,
    out: &mut LayerWriter<W>,
) -> Result<LayerNotes, DebLayerError> {
    let mut gathered = gather(packages.own, options, spool_folder)?;
    match part {
        BasePart::System => derived::system(options, &mut gathered)?,
        BasePart::Interpreter => derived::interpreter(options, &mut gathered)?,
        BasePart::Python => {}
        BasePart::Added => derived::added(&mut gathered),
    }
    let mut scripts = Scripts::default();
    if part.is_whole() {
        let mut below = gather(packages.beside, options, spool_folder)?;
        let mut view = LayerView {
            top: &mut gathered,
            below: &mut below,
        };
        alternatives::settle(&mut view);
        loader::settle(options.architecture, &mut view)?;
        // What the base's would have done is made above.
        if part == BasePart::Added {
            scripts = configure::left(options.architecture, &view);
        }
    }
    gathered.prune_empty_directories();
    gathered.complete_parents()?;
    gathered.settle_hardlinks()?;
    let linkage = linkage(&gathered, options.architecture)?;
    emit(gathered, out)?;
    Ok(LayerNotes {
        linkage,
        scripts,
        ..LayerNotes::default()
    })
}

/// What the layer's files need of the image, and which libraries and programs they are.
fn linkage(gathered: &GatheredFiles, architecture: Architecture) -> Result<Linkage, DebLayerError> {
    let mut survey = LinkSurvey::new(machine(architecture));
    for (path, node) in gathered.nodes() {
        let Ok(path) = std::str::from_utf8(path) else {
            continue;
        };
        let file = LinkedFile {
            owner: &node.package,
            path,
            shown: path,
            is_executable: node.owner.mode & 0o111 != 0,
        };
        match node.kind {
            NodeKind::Directory => {}
            // Of a plugin: what it needs and nobody depends on, the package merely suggests.
            NodeKind::File(_) if is_plugin(path) => survey.name(path),
            // Their tools are in perl, which is there without being asked for where dpkg is.
            NodeKind::File(_) if configure::is_exempt(&node.package) => survey.name(path),
            NodeKind::Symlink(_) | NodeKind::Hardlink(_) => survey.name(path),
            NodeKind::File(contents) => survey.file(&file, |offset, length| {
                gathered.part(contents, offset, length)
            })?,
        }
    }
    Ok(survey.finish())
}

/// Whether a library lies where the loader does not look by itself.
fn is_plugin(path: &str) -> bool {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let below = folder.strip_prefix("usr/lib").unwrap_or("/");
    name.contains(".so") && below.trim_start_matches('/').contains('/')
}

/// The files of packages.
fn gather(
    packages: &[(DebArtefact, PathBuf)],
    options: &BaseOptions,
    spool_folder: &Path,
) -> Result<GatheredFiles, DebLayerError> {
    let mut gathered = GatheredFiles::new(spool_folder)?;
    for (artefact, path) in packages {
        package::add(artefact, path, options, &mut gathered)?;
    }
    Ok(gathered)
}

/// Writes what was gathered, in order.
fn emit<W: Write>(gathered: GatheredFiles, out: &mut LayerWriter<W>) -> Result<(), DebLayerError> {
    let (nodes, mut spool) = gathered.into_parts();
    for (path, LayerNode { owner, kind, .. }) in &nodes {
        match kind {
            NodeKind::Directory => out.directory(path, owner)?,
            NodeKind::Symlink(target) => out.symlink(path, target, owner)?,
            NodeKind::Hardlink(target) => out.hardlink(path, target, owner)?,
            NodeKind::File(contents) => {
                spool
                    .seek(SeekFrom::Start(contents.offset_bytes))
                    .map_err(|source| DebLayerError::Spool { source })?;
                let mut bytes = (&mut spool).take(contents.size_bytes);
                out.file(path, owner, contents.size_bytes, &mut bytes)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
