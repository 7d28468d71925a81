//! What a layer will hold, sorted by path: names in memory, contents in one temporary file.

use super::script::ShellCommand;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::FileExt as _,
    path::Path,
};

use super::error::{DebEntryFault, DebLayerError};
use crate::archive::tar::{self, EntryOwner};

/// Most entries of one layer.
const MAX_ENTRIES: usize = 200_000;
/// Most bytes of contents in one layer.
const MAX_CONTENT_BYTES: u64 = 8 << 30;
/// Piece of contents that is compared at once.
const COMPARED_BYTES: u64 = 64 << 10;

/// System directories as dpkg makes them when no package says otherwise.
pub(super) const DIRECTORY: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o755,
};
/// System files that are made here.
pub(super) const FILE: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o644,
};
pub(super) const LINK: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o777,
};

/// Contents in the temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileContents {
    pub offset_bytes: u64,
    /// How long they are.
    pub size_bytes: u64,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NodeKind {
    Directory,
    File(FileContents),
    /// A symbolic link and its target.
    Symlink(Vec<u8>),
    /// Another name of the file at this path.
    Hardlink(Vec<u8>),
}

/// One entry of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LayerNode {
    pub owner: EntryOwner,
    pub kind: NodeKind,
    /// The package it came from, for messages; empty for what was made here.
    pub package: String,
}

/// Everything that goes into the layer.
#[derive(Debug)]
pub(super) struct GatheredFiles {
    nodes: BTreeMap<Vec<u8>, LayerNode>,
    spool: File,
    spooled_bytes: u64,
    /// What maintainer scripts would choose.
    pub choices: Vec<AlternativeChoice>,
    pub scripts: Vec<Script>,
}

impl GatheredFiles {
    /// Nothing yet; contents will go to a temporary file in `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, DebLayerError> {
        let spool =
            tempfile::tempfile_in(folder).map_err(|source| DebLayerError::Spool { source })?;
        Ok(Self {
            nodes: BTreeMap::new(),
            spool,
            spooled_bytes: 0,
            choices: Vec::new(),
            scripts: Vec::new(),
        })
    }

    /// Appends contents to the temporary file. `package` is named in errors.
    pub(super) fn spool(
        &mut self,
        bytes: &mut impl Read,
        package: &str,
    ) -> Result<FileContents, DebLayerError> {
        let offset_bytes = self.spooled_bytes;
        self.spool
            .seek(SeekFrom::Start(offset_bytes))
            .map_err(|source| DebLayerError::Spool { source })?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let read = bytes
                .read(&mut buffer)
                .map_err(|source| DebLayerError::Member {
                    package: package.to_owned(),
                    member: "data.tar".to_owned(),
                    source,
                })?;
            if read == 0 {
                break;
            }
            self.spool
                .write_all(buffer.get(..read).unwrap_or_default())
                .map_err(|source| DebLayerError::Spool { source })?;
            self.spooled_bytes += read as u64;
            if self.spooled_bytes > MAX_CONTENT_BYTES {
                return Err(entry_error(package, b"", DebEntryFault::TooMuch));
            }
        }
        Ok(FileContents {
            offset_bytes,
            size_bytes: self.spooled_bytes - offset_bytes,
        })
    }

    /// Reads contents back, at most `limit` bytes.
    pub(super) fn read(
        &self,
        contents: FileContents,
        limit: u64,
    ) -> Result<Vec<u8>, DebLayerError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.part(contents, 0, limit)
    }

    /// Reads a part of contents back, as far as they go.
    pub(super) fn part(
        &self,
        contents: FileContents,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, DebLayerError> {
        let left = contents.size_bytes.saturating_sub(offset);
        let length = usize::try_from(left).map_or(length, |left| left.min(length));
        let mut bytes = vec![0; length];
        self.spool
            .read_exact_at(&mut bytes, contents.offset_bytes.saturating_add(offset))
            .map_err(|source| DebLayerError::Spool { source })?;
        Ok(bytes)
    }

    /// Adds an entry of a package. What is already there must be the same; of directories the
    /// first package's mode holds.
    pub(super) fn add(&mut self, path: Vec<u8>, node: LayerNode) -> Result<(), DebLayerError> {
        if tar::path_fault(&path).is_some() {
            return Err(entry_error(&node.package, &path, DebEntryFault::Path));
        }
        if self.nodes.len() >= MAX_ENTRIES {
            return Err(entry_error(&node.package, &path, DebEntryFault::TooMuch));
        }
        let Some(there) = self.nodes.get(&path).cloned() else {
            self.nodes.insert(path, node);
            return Ok(());
        };
        let same = match (&there.kind, &node.kind) {
            (NodeKind::Directory, NodeKind::Directory) => true,
            (NodeKind::File(first), NodeKind::File(second)) => {
                there.owner == node.owner && self.same_contents(*first, *second)?
            }
            (first, second) => first == second,
        };
        if same {
            return Ok(());
        }
        Err(DebLayerError::Conflict {
            path: show(&path),
            first: there.package,
            second: node.package,
        })
    }

    fn same_contents(
        &self,
        first: FileContents,
        second: FileContents,
    ) -> Result<bool, DebLayerError> {
        if first.size_bytes != second.size_bytes {
            return Ok(false);
        }
        let mut done = 0;
        while done < first.size_bytes {
            let piece = |contents: FileContents| FileContents {
                offset_bytes: contents.offset_bytes + done,
                size_bytes: COMPARED_BYTES.min(contents.size_bytes - done),
            };
            let (one, other) = (piece(first), piece(second));
            if self.read(one, COMPARED_BYTES)? != self.read(other, COMPARED_BYTES)? {
                return Ok(false);
            }
            done += COMPARED_BYTES;
        }
        Ok(true)
    }

    /// Puts a file made here, instead of what may be there.
    pub(super) fn put_file(&mut self, path: &str, text: &[u8]) -> Result<(), DebLayerError> {
        let contents = self.spool(&mut io::Cursor::new(text), "")?;
        self.put(path, NodeKind::File(contents), FILE);
        Ok(())
    }

    /// Puts a link made here, unless something is there.
    pub(super) fn put_link(&mut self, path: &str, target: &str) {
        if !self.nodes.contains_key(path.as_bytes()) {
            self.put(path, NodeKind::Symlink(target.as_bytes().to_vec()), LINK);
        }
    }

    /// Puts anything made here, instead of what may be there.
    pub(super) fn put(&mut self, path: &str, kind: NodeKind, owner: EntryOwner) {
        let node = LayerNode {
            owner,
            kind,
            package: String::new(),
        };
        self.nodes.insert(path.as_bytes().to_vec(), node);
    }

    /// Puts something that a package's script would have made, instead of what may be there.
    pub(super) fn put_of(&mut self, package: &str, path: &[u8], kind: NodeKind, owner: EntryOwner) {
        let package = package.to_owned();
        self.nodes.insert(
            path.to_vec(),
            LayerNode {
                owner,
                kind,
                package,
            },
        );
    }

    /// Takes out what is at a path.
    pub(super) fn remove(&mut self, path: &str) {
        self.nodes.remove(path.as_bytes());
    }

    /// What is at a path.
    pub(super) fn get(&self, path: &str) -> Option<&LayerNode> {
        self.nodes.get(path.as_bytes())
    }

    /// What is at a path.
    pub(super) fn at(&self, path: &[u8]) -> Option<&LayerNode> {
        self.nodes.get(path)
    }

    /// The contents of a file.
    pub(super) fn contents(&self, path: &[u8]) -> Option<FileContents> {
        let node = match &self.nodes.get(path)?.kind {
            NodeKind::Hardlink(target) => self.nodes.get(target)?,
            _ => self.nodes.get(path)?,
        };
        match node.kind {
            NodeKind::File(contents) => Some(contents),
            _ => None,
        }
    }

    /// What comes behind a prefix that ends with a slash, in names without another one.
    pub(super) fn names_below(&self, prefix: &[u8]) -> BTreeSet<Vec<u8>> {
        self.nodes
            .range(prefix.to_vec()..)
            .map_while(|(path, _)| path.strip_prefix(prefix))
            .filter(|name| !name.contains(&b'/'))
            .map(<[u8]>::to_vec)
            .collect()
    }

    /// All entries, in order.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&[u8], &LayerNode)> {
        self.nodes
            .iter()
            .map(|(path, node)| (path.as_slice(), node))
    }

    /// Whether a path is taken.
    pub(super) fn has(&self, path: &[u8]) -> bool {
        self.nodes.contains_key(path)
    }

    /// Files whose paths begin so, in order.
    pub(super) fn files_below(&self, prefix: &str) -> Vec<(String, FileContents)> {
        self.nodes
            .range(prefix.as_bytes().to_vec()..)
            .take_while(|(path, _)| path.starts_with(prefix.as_bytes()))
            .filter_map(|(path, node)| match node.kind {
                NodeKind::File(contents) => Some((show(path), contents)),
                NodeKind::Directory | NodeKind::Symlink(_) | NodeKind::Hardlink(_) => None,
            })
            .collect()
    }

    /// Takes out the folders of documentation in which nothing is left.
    pub(super) fn prune_empty_directories(&mut self) {
        let empty: Vec<Vec<u8>> = self
            .nodes
            .iter()
            .filter(|(path, node)| {
                node.kind == NodeKind::Directory && path.starts_with(b"usr/share/")
            })
            .filter(|(path, _)| !self.has_child_file(path))
            .map(|(path, _)| path.clone())
            .collect();
        for path in empty {
            self.nodes.remove(&path);
        }
    }

    fn has_child_file(&self, folder: &[u8]) -> bool {
        let prefix = [folder, b"/"].concat();
        self.nodes
            .range(prefix.clone()..)
            .take_while(|(path, _)| path.starts_with(&prefix))
            .any(|(_, node)| node.kind != NodeKind::Directory)
    }

    /// Adds the directories that no package names.
    pub(super) fn complete_parents(&mut self) -> Result<(), DebLayerError> {
        let mut missing = BTreeSet::new();
        for (path, node) in &self.nodes {
            for (at, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
                let parent = path.get(..at).unwrap_or_default();
                match self.nodes.get(parent) {
                    None => {
                        missing.insert(parent.to_vec());
                    }
                    Some(there) if there.kind == NodeKind::Directory => {}
                    Some(there) => {
                        return Err(DebLayerError::Conflict {
                            path: show(parent),
                            first: there.package.clone(),
                            second: node.package.clone(),
                        });
                    }
                }
            }
        }
        for parent in missing {
            let node = LayerNode {
                owner: DIRECTORY,
                kind: NodeKind::Directory,
                package: String::new(),
            };
            self.nodes.insert(parent, node);
        }
        Ok(())
    }

    /// Lets the first name of each hard-linked file hold the contents, as a sorted archive needs.
    pub(super) fn settle_hardlinks(&mut self) -> Result<(), DebLayerError> {
        let mut groups: BTreeMap<Vec<u8>, Vec<Vec<u8>>> = BTreeMap::new();
        for (path, node) in &self.nodes {
            if let NodeKind::Hardlink(target) = &node.kind {
                groups.entry(target.clone()).or_default().push(path.clone());
            }
        }
        for (target, mut names) in groups {
            let held = match self.nodes.get(&target) {
                Some(node) if matches!(node.kind, NodeKind::File(_)) => node.clone(),
                _ => {
                    let package = names.first().and_then(|name| self.nodes.get(name));
                    let package = package.map_or(String::new(), |node| node.package.clone());
                    return Err(entry_error(&package, &target, DebEntryFault::Link));
                }
            };
            names.push(target);
            names.sort();
            let Some((first, others)) = names.split_first() else {
                continue;
            };
            for other in others {
                let node = LayerNode {
                    kind: NodeKind::Hardlink(first.clone()),
                    ..held.clone()
                };
                self.nodes.insert(other.clone(), node);
            }
            self.nodes.insert(first.clone(), held);
        }
        Ok(())
    }

    /// The entries in order, and the temporary file.
    pub(super) fn into_parts(self) -> (BTreeMap<Vec<u8>, LayerNode>, File) {
        (self.nodes, self.spool)
    }
}

/// A path for messages.
pub(super) fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

/// An error about one entry.
pub(super) fn entry_error(package: &str, path: &[u8], reason: DebEntryFault) -> DebLayerError {
    DebLayerError::Entry {
        package: package.to_owned(),
        path: show(path),
        reason,
    }
}

/// Of one package: what `postinst` says.
#[derive(Debug)]
pub(super) struct Script {
    pub package: String,
    pub commands: Vec<ShellCommand>,
    /// Names of functions that it defines, whose commands are among the others.
    pub functions: BTreeSet<String>,
}

/// A way of having a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlternativeChoice {
    pub(super) main: AlternativeLink,
    pub(super) others: Vec<AlternativeLink>,
    pub(super) priority: i64,
    pub(super) package: String,
}

/// One link: where it is, its name below `/etc/alternatives`, what it leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AlternativeLink {
    pub(super) link: String,
    pub(super) name: String,
    pub(super) path: String,
}
