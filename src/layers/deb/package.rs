//! One `.deb`: its description and its entries. Format: deb(5).

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, Read},
    path::Path,
};

use super::{
    BaseOptions,
    alternatives::{self, InstallCommand},
    configure,
    error::{DebEntryFault, DebLayerError},
    gather::Script,
    gather::{GatheredFiles, LayerNode, NodeKind, entry_error},
    locale, rules, script,
};
use crate::{
    archive::{
        ar::ArReader,
        decompress::{CompressionFormat, Decoder},
        tar::EntryOwner,
    },
    packages::debian::DebArtefact,
};

/// Longest decompressed member, in bytes.
const MAX_MEMBER_BYTES: u64 = 4 << 30;
/// Longest control file or list of sums, in bytes.
const MAX_CONTROL_BYTES: u64 = 8 << 20;
/// Bits of a mode that are kept: no set-user-id, no set-group-id.
const KEPT_MODE: u32 = 0o1777;

/// The bytes of a member, decompressed.
type MemberBytes = Decoder<BufReader<ArReader<BufReader<File>>>>;

/// A decompressed tar member of a package.
pub(super) struct DataMember {
    package: String,
    archive: tar::Archive<MemberBytes>,
}

/// An entry of it.
pub(super) type DataEntry<'a> = tar::Entry<'a, MemberBytes>;

/// Takes one entry; returns whether more are wanted.
pub(super) type EntryVisitor<'a> =
    &'a mut dyn FnMut(&[u8], &mut DataEntry<'_>) -> Result<bool, DebLayerError>;

impl DataMember {
    /// Opens a package's member whose name begins with `prefix` (`control.tar` or `data.tar`).
    pub(super) fn open(
        package: &str,
        path: &Path,
        prefix: &'static str,
    ) -> Result<Self, DebLayerError> {
        let file = File::open(path).map_err(|source| DebLayerError::Open {
            path: path.to_owned(),
            source,
        })?;
        let ar_error = |source| DebLayerError::Ar {
            package: package.to_owned(),
            source,
        };
        let mut archive =
            ArReader::new(BufReader::with_capacity(64 << 10, file)).map_err(ar_error)?;
        loop {
            let Some(member) = archive.next().map_err(ar_error)? else {
                return Err(DebLayerError::NoMember {
                    package: package.to_owned(),
                    member: prefix,
                });
            };
            let Some(ending) = member.name.strip_prefix(prefix) else {
                continue;
            };
            let reader = BufReader::with_capacity(64 << 10, archive);
            let reader = CompressionFormat::of_ending(ending)
                .ok_or_else(|| io::ErrorKind::Unsupported.into())
                .and_then(|format| Decoder::new(reader, format, MAX_MEMBER_BYTES))
                .map_err(|source| DebLayerError::Member {
                    package: package.to_owned(),
                    member: member.name.clone(),
                    source,
                })?;
            return Ok(Self {
                package: package.to_owned(),
                archive: tar::Archive::new(reader),
            });
        }
    }

    /// Shows the entries one after the other.
    pub(super) fn each(&mut self, visit: EntryVisitor<'_>) -> Result<(), DebLayerError> {
        let package = self.package.clone();
        let error = |source| DebLayerError::Member {
            package: package.clone(),
            member: "its tar archive".to_owned(),
            source,
        };
        for entry in self.archive.entries().map_err(error)? {
            let mut entry = entry.map_err(error)?;
            let path = entry.path_bytes().into_owned();
            if !visit(&path, &mut entry)? {
                break;
            }
        }
        Ok(())
    }
}

/// Adds a package's files and its description.
pub(super) fn add(
    artefact: &DebArtefact,
    path: &Path,
    options: &BaseOptions,
    gathered: &mut GatheredFiles,
) -> Result<(), DebLayerError> {
    let name = artefact.package.as_str();
    let open = || DataMember::open(name, path, "data.tar");
    if name == locale::PACKAGE {
        if let Some(wanted) = &options.locale {
            locale::add(wanted, open, gathered)?;
        }
    } else {
        let mut data = open()?;
        data.each(&mut |path, entry| {
            add_entry(name, path, entry, gathered)?;
            Ok(true)
        })?;
    }
    describe(name, path, gathered)
}

/// Adds one entry, if it is wanted.
fn add_entry(
    package: &str,
    original: &[u8],
    entry: &mut DataEntry<'_>,
    gathered: &mut GatheredFiles,
) -> Result<(), DebLayerError> {
    let fault = |reason| entry_error(package, original, reason);
    let kind = entry.header().entry_type();
    let Some(path) = rules::place(original) else {
        return Ok(());
    };
    if !rules::is_wanted(&path, kind.is_symlink()) {
        return Ok(());
    }
    let number = |value: io::Result<u64>| {
        value
            .ok()
            .and_then(|value| u32::try_from(value).ok())
            .ok_or_else(|| fault(DebEntryFault::Kind))
    };
    let mode = entry
        .header()
        .mode()
        .map_err(|_| fault(DebEntryFault::Kind))?
        & KEPT_MODE;
    let owner = EntryOwner {
        uid: number(entry.header().uid())?,
        gid: number(entry.header().gid())?,
        mode,
    };
    let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned);
    let kind = match (kind, target) {
        (kind, _) if kind.is_dir() => NodeKind::Directory,
        (kind, Some(target)) if kind.is_symlink() => {
            NodeKind::Symlink(rules::link_target(original, &target))
        }
        (kind, Some(target)) if kind.is_hard_link() => {
            NodeKind::Hardlink(rules::place(&target).ok_or_else(|| fault(DebEntryFault::Link))?)
        }
        (kind, _) if kind.is_file() => NodeKind::File(gathered.spool(entry, package)?),
        _ => return Err(fault(DebEntryFault::Kind)),
    };
    gathered.add(
        path,
        LayerNode {
            owner,
            kind,
            package: package.to_owned(),
        },
    )
}

/// Writes `/var/lib/dpkg/status.d/PACKAGE` and the sums of the files that were kept, as images
/// without dpkg do, so that scanners see what is there.
fn describe(package: &str, path: &Path, gathered: &mut GatheredFiles) -> Result<(), DebLayerError> {
    let mut texts: BTreeMap<Vec<u8>, String> = BTreeMap::new();
    let mut control = DataMember::open(package, path, "control.tar")?;
    control.each(&mut |path, entry| {
        let name = path.strip_prefix(b"./").unwrap_or(path);
        if [b"control".as_slice(), b"md5sums", b"postinst"].contains(&name) {
            let mut bytes = Vec::new();
            entry
                .take(MAX_CONTROL_BYTES)
                .read_to_end(&mut bytes)
                .map_err(|source| DebLayerError::Member {
                    package: package.to_owned(),
                    member: String::from_utf8_lossy(name).into_owned(),
                    source,
                })?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            texts.insert(name.to_vec(), text);
        }
        Ok(true)
    })?;
    if let Some(script) = texts.get(b"postinst".as_slice()) {
        let commands = script::commands(script);
        for command in &commands {
            if let Some(InstallCommand::Known(choice)) = alternatives::install(command, package) {
                gathered.choices.push(choice);
            }
        }
        gathered.scripts.push(Script {
            package: package.to_owned(),
            functions: configure::functions(script),
            commands,
        });
    }
    let Some(control) = texts.get(b"control".as_slice()) else {
        return Err(DebLayerError::NoMember {
            package: package.to_owned(),
            member: "control",
        });
    };
    let status = format!("{}\nStatus: install ok installed\n", control.trim_end());
    gathered.put_file(
        &format!("var/lib/dpkg/status.d/{package}"),
        status.as_bytes(),
    )?;
    if let Some(sums) = texts.get(b"md5sums".as_slice()) {
        let kept: String = sums
            .split_inclusive('\n')
            .filter(|line| {
                let path = line.trim_end().split_once("  ").map(|(_, path)| path);
                path.and_then(|path| rules::place(path.as_bytes()))
                    .is_some_and(|path| gathered.has(&path))
            })
            .collect();
        gathered.put_file(
            &format!("var/lib/dpkg/status.d/{package}.md5sums"),
            kept.as_bytes(),
        )?;
    }
    Ok(())
}
