//! What uv gets in place of a wheel that lies in the source, in the store or at an address of its own: a wheel
//! of the same name that holds its metadata alone. uv unpacks such wheels into its cache whatever they unpack
//! to; of a stub, there is nothing to unpack.
//!
//! What the metadata require at an address and for the target is given back, and stands without the address in
//! the stub: uv would fetch it by itself.

use crate::archive::zip::{self, ZipArchive, stored};
use crate::packages::python::{Position, Requirement, WheelFileName};

/// Longest metadata of a wheel, in bytes.
const MAX_METADATA_BYTES: u64 = 4 << 20;
/// The least that says what kind of wheel it is.
const WHEEL: &[u8] = b"Wheel-Version: 1.0\nGenerator: s2r\nRoot-Is-Purelib: true\n";

pub(in crate::resolve::wheels) struct Stub {
    pub(in crate::resolve::wheels) bytes: Vec<u8>,
    /// What the metadata require at an address.
    pub(in crate::resolve::wheels) addressed: Vec<Requirement>,
}

/// Why a wheel has no stub.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StubError {
    /// It is no archive that s2r takes.
    #[error(transparent)]
    Zip(#[from] zip::ZipError),
    /// There is not one `METADATA` in it.
    #[error("it has not one .dist-info/METADATA")]
    NoMetadata,
}

/// The stub of a wheel.
///
/// # Errors
/// Metadata that cannot be found, or are longer than [`MAX_METADATA_BYTES`].
pub(in crate::resolve::wheels) fn of(
    archive: &ZipArchive,
    name: &WheelFileName,
    applies: &dyn Fn(&Requirement) -> bool,
) -> Result<Stub, StubError> {
    let mut found = archive.members().iter().filter(|member| {
        let folder = member.name.strip_suffix(".dist-info/METADATA");
        folder.is_some_and(|folder| !folder.contains('/'))
    });
    let (Some(member), None) = (found.next(), found.next()) else {
        return Err(StubError::NoMetadata);
    };
    let metadata = archive.read(member, MAX_METADATA_BYTES)?;
    let (metadata, addressed) = without_addresses(&metadata, name, applies);
    let folder = member.name.trim_end_matches("METADATA");
    let members = [
        (format!("{folder}METADATA"), metadata.as_slice()),
        (format!("{folder}WHEEL"), WHEEL),
        (format!("{folder}RECORD"), b""),
    ];
    let bytes = stored(&members).ok_or(StubError::NoMetadata)?;
    Ok(Stub { bytes, addressed })
}

/// The metadata with `x` for `x @ ADDRESS`, and these requirements as they were.
fn without_addresses(
    metadata: &[u8],
    name: &WheelFileName,
    applies: &dyn Fn(&Requirement) -> bool,
) -> (Vec<u8>, Vec<Requirement>) {
    let mut plain = Vec::with_capacity(metadata.len());
    let mut addressed = Vec::new();
    let mut is_header = true;
    for line in metadata.split_inclusive(|byte| *byte == b'\n') {
        is_header &= !line.trim_ascii().is_empty();
        let wish = std::str::from_utf8(line)
            .ok()
            .filter(|_| is_header)
            .and_then(|line| line.strip_prefix("Requires-Dist:"))
            .filter(|text| text.contains('@'))
            .and_then(|text| {
                Requirement::read(text.trim(), Position::of_metadata(&name.name)).ok()
            });
        match wish {
            Some(wish) if wish.address().is_some() && wish.named().is_some() && applies(&wish) => {
                if let Some(named) = wish.named() {
                    let mut bare = named.clone();
                    bare.clear_url();
                    plain.extend_from_slice(format!("Requires-Dist: {bare}\n").as_bytes());
                }
                addressed.push(wish);
            }
            _ => plain.extend_from_slice(line),
        }
    }
    (plain, addressed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_told_and_taken_out() {
        let name: WheelFileName = "app-1.0-py3-none-any.whl".parse().unwrap();
        let metadata = "Name: app\nRequires-Dist: plain>=1\n\
             Requires-Dist: x[a] @ https://h/x-1-py3-none-any.whl ; extra == 'e'\n\
             \nRequires-Dist: y @ https://h/told-in-the-text\n";
        let (same, none) = without_addresses(metadata.as_bytes(), &name, &|_| false);
        assert_eq!((same.as_slice(), none.len()), (metadata.as_bytes(), 0));
        let (plain, addressed) = without_addresses(metadata.as_bytes(), &name, &|_| true);
        let plain = String::from_utf8(plain).unwrap();
        assert!(plain.contains("Requires-Dist: plain>=1\n"));
        assert!(
            plain.contains("Requires-Dist: x[a] ; extra == 'e'\n"),
            "{plain}"
        );
        assert!(plain.ends_with("y @ https://h/told-in-the-text\n"));
        assert_eq!(addressed.len(), 1);
        assert_eq!(addressed[0].name().unwrap().as_ref(), "x");
    }
}
