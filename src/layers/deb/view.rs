//! The file system that a layer will stand in: its own entries, and below them those of other layers of the
//! same image.

use std::collections::BTreeSet;

use super::error::DebLayerError;
use super::gather::{FileContents, GatheredFiles, LayerNode, NodeKind};
use super::rules;
use crate::archive::elf::{self, ElfFile};

/// Most links that are followed for one path.
const MAX_LINKS: usize = 40;

/// A layer and what it stands on.
pub(super) struct LayerView<'a> {
    /// The layer's own entries.
    pub top: &'a mut GatheredFiles,
    /// What lies below or beside it.
    pub below: &'a mut GatheredFiles,
}

impl LayerView<'_> {
    /// What is at a path, links not followed.
    pub(super) fn node(&self, path: &[u8]) -> Option<&LayerNode> {
        self.top.at(path).or_else(|| self.below.at(path))
    }

    /// The path at which a path leads to something that is no link.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut open: Vec<Vec<u8>> = parts(path);
        let mut done: Vec<u8> = Vec::new();
        let mut links = 0;
        while let Some(part) = open.pop() {
            if part == b".." {
                let parent = done.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
                done.truncate(parent);
                continue;
            }
            let next = if done.is_empty() {
                rules::place(&part).or_else(|| Some([b"usr/", part.as_slice()].concat()))?
            } else {
                [done.as_slice(), b"/", part.as_slice()].concat()
            };
            match self.node(&next).map(|node| &node.kind) {
                Some(NodeKind::Symlink(target)) => {
                    links += 1;
                    if links > MAX_LINKS {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        done.clear();
                    }
                    open.extend(parts(target));
                }
                // A folder that no package names is there by what is in it.
                None if open.is_empty() => return None,
                _ => done = next,
            }
        }
        Some(done)
    }

    /// The bytes of the file that a path leads to, at most `limit`.
    pub(super) fn read(&self, path: &[u8], limit: u64) -> Result<Option<Vec<u8>>, DebLayerError> {
        let file = self.file(path);
        file.map(|(gathered, contents)| gathered.read(contents, limit))
            .transpose()
    }

    /// What the file that a path leads to says of itself, if it is a library or a program.
    pub(super) fn elf(&self, path: &[u8]) -> Result<Option<ElfFile>, DebLayerError> {
        let Some((gathered, contents)) = self.file(path) else {
            return Ok(None);
        };
        elf::read(|offset, length| gathered.part(contents, offset, length))
    }

    /// The file that a path leads to.
    fn file(&self, path: &[u8]) -> Option<(&GatheredFiles, FileContents)> {
        let path = self.resolve(path)?;
        let gathered = [&*self.top, &*self.below];
        gathered
            .into_iter()
            .find_map(|gathered| Some((gathered, gathered.contents(&path)?)))
    }

    /// Names of what lies in a folder, sorted.
    pub(super) fn names_in(&self, folder: &[u8]) -> BTreeSet<Vec<u8>> {
        let prefix = [folder, b"/"].concat();
        let of = |gathered: &GatheredFiles| gathered.names_below(&prefix);
        let mut names = of(self.top);
        names.extend(of(self.below));
        names
    }
}

/// The parts of a path, the last first.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .rev()
        .map(<[u8]>::to_vec)
        .collect()
}
