//! The layer of large files. Each is a gzip member of its own, so that its compressed bytes stand for it wherever it
//! lies: a file that was moved is copied from the layer that it was in before.

use std::io::{Read, Write};

use super::{DIRECTORY, EXECUTABLE, FILE, PARENTS, PREFIX, SourceLayer, SourceLayerError, below};
use crate::archive::tar::{DeflateSummary, LayerWriter, MemberPlace, TarError};
use crate::source::SourceKind;

/// The compressed bytes of a file.
pub(crate) struct KnownMember {
    pub deflated: DeflateSummary,
    /// A stream that begins with these bytes.
    pub stream: Box<dyn Read>,
}

/// Where compressed bytes are known; files go by their sha256.
pub(crate) trait KnownMembers {
    /// Those of a file of so many bytes.
    fn find(&self, sha256: &[u8; 32], size_bytes: u64) -> Option<KnownMember>;
    /// Remembers where they are in the layer that is being written.
    fn note(&self, sha256: &[u8; 32], place: MemberPlace);
}

/// Writes the layer, as [`super::write`] does.
///
/// # Errors
/// A file that cannot be read or has changed; the sink's failure.
pub(crate) fn write<W: Write>(
    source: SourceLayer<'_>,
    members: &dyn KnownMembers,
    out: &mut LayerWriter<W>,
) -> Result<(), SourceLayerError> {
    for (path, owner) in PARENTS {
        out.directory(path, &owner)?;
    }
    out.directory(PREFIX, &DIRECTORY)?;
    for &index in &source.portion.places {
        let Some(entry) = source.tree.entries().get(index) else {
            continue;
        };
        let path = below(&entry.path);
        let SourceKind::File {
            size_bytes,
            executable,
            ..
        } = entry.kind
        else {
            out.directory(&path, &DIRECTORY)?;
            continue;
        };
        let owner = if executable { EXECUTABLE } else { FILE };
        let hash = source.contents.hash_of(index);
        let known = hash.filter(|_| out.has_members());
        if let Some(mut known) = known.and_then(|hash| members.find(&hash, size_bytes)) {
            out.deflated_file(&path, &owner, known.deflated, &mut known.stream)?;
            continue;
        }
        let mut file = source.tree.open(entry)?.expecting(hash);
        match out.member_file(&path, &owner, size_bytes, &mut file) {
            Ok(place) => {
                if let (Some(hash), true) = (hash, out.has_members()) {
                    members.note(&hash, place);
                }
            }
            // The writer knows the path in the image; the user knows the one on disk.
            Err(TarError::Read { source, .. }) => return Err(file.explain(source).into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
