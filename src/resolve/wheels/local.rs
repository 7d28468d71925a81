//! Wheels that lie here or at an address of their own: what uv gets in their place, and what they are.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek as _};
use std::path::Path;

use super::error::WheelError;
use super::fetch::IndexFetch;
use super::lock::{WheelCandidate, WheelLocation};
use super::prepared::PreparedRequest;
use super::uv::{self, stub};
use super::{BUILT_FOLDER, from_source};
use crate::archive::UnpackedBound;
use crate::archive::zip::ZipArchive;
use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, PackageUrl, Requirement, WheelFileName, WheelTarget, requirement_paths,
    resolve_path, shown,
};
use pep508_rs::{ExtraName, MarkerEnvironment};

/// Most wheels that may be named by others' metadata.
const MAX_ADDRESSED: usize = 200;

/// A wheel, and its stub.
pub(super) struct LocalWheel {
    /// Where its bytes are.
    pub(super) location: WheelLocation,
    /// Their hash, if it is known yet.
    pub(super) sha256: Option<Sha256>,
    /// Their number, if it is known yet.
    pub(super) size_bytes: Option<u64>,
    pub(super) stub: Vec<u8>,
}

/// The wheels, by file name.
#[derive(Default)]
pub(super) struct LocalWheels {
    /// What wheels require at an address, beside the wishes.
    pub(super) addressed: Vec<Requirement>,
    /// What wishes name by path or address.
    pub(super) named: BTreeMap<String, LocalWheel>,
    /// What lies in folders of links.
    pub(super) linked: BTreeMap<String, LocalWheel>,
}

impl PreparedRequest<'_> {
    /// The wheels that wishes name, those that these require by address, and those in folders of links.
    pub(super) fn local_wheels(
        &self,
        wishes: &[&Requirement],
        fetch: &dyn IndexFetch,
    ) -> Result<LocalWheels, WheelError> {
        let mut local = LocalWheels::default();
        for wish in wishes {
            let addressed = self.add_wheel(wish, &mut local, fetch)?;
            Self::add_addressed(addressed, wishes, &mut local);
        }
        let mut at = 0;
        while let Some(wish) = local.addressed.get(at).cloned() {
            if at >= MAX_ADDRESSED || from_source::needs_build(&wish) {
                return Err(WheelError::NeedsBuild {
                    wish: wish.to_string(),
                    position: wish.position.clone(),
                });
            }
            let addressed = self.add_wheel(&wish, &mut local, fetch)?;
            Self::add_addressed(addressed, wishes, &mut local);
            at += 1;
        }
        for path in &self.links.wheels {
            let name = path.rsplit('/').next().unwrap_or(path);
            let Ok(file_name) = name.parse() else {
                continue;
            };
            let file = (self.request.open)(path).map_err(|error| WheelError::File {
                path: path.into(),
                error,
            })?;
            let stub = self.stub((file, path), &file_name, &[])?;
            let wheel = LocalWheel {
                location: WheelLocation::Source(path.clone()),
                sha256: None,
                size_bytes: None,
                stub: stub.bytes,
            };
            local.linked.insert(name.to_owned(), wheel);
        }
        Ok(local)
    }

    /// The best wheel in folders of links that has the version and a hash of an exact wish.
    pub(super) fn linked_file(
        &self,
        wish: &Requirement,
    ) -> Result<Option<WheelCandidate>, WheelError> {
        let (Some(name), Some(version)) = (wish.name(), wish.pin()) else {
            return Ok(None);
        };
        // Lists of links know no ties.
        if self.indexes.named.is_tied_to_index(name) {
            return Ok(None);
        }
        let mut found = Vec::new();
        for path in &self.links.wheels {
            let file_name = path.rsplit('/').next().unwrap_or(path);
            let Ok(wheel) = file_name.parse::<WheelFileName>() else {
                continue;
            };
            if wheel.name != *name || wheel.version != *version {
                continue;
            }
            let hashed = (self.request.open)(path).and_then(|mut file| hash(&mut file));
            let sha256 = hashed.map_err(|error| WheelError::File {
                path: path.into(),
                error,
            })?;
            if wish.hashes.contains(&FileHash::Sha256(sha256)) {
                found.push((wheel, (path, sha256)));
            }
        }
        let tags = self.request.target.tags();
        let best = tags.best(found.iter().map(|(wheel, place)| (wheel, *place)));
        Ok(best.map(|(wheel, (path, sha256))| WheelCandidate {
            name: name.clone(),
            file_name: wheel.clone(),
            location: WheelLocation::Source(path.clone()),
            sha256: Some(sha256),
            size_bytes: None,
        }))
    }

    /// Takes up what a wheel requires at an address, where nobody has asked for the package by address yet.
    fn add_addressed(
        addressed: Vec<Requirement>,
        wishes: &[&Requirement],
        local: &mut LocalWheels,
    ) {
        for wish in addressed {
            let mut known = wishes.iter().copied().chain(&local.addressed);
            if !known.any(|known| known.name() == wish.name() && known.address().is_some()) {
                local.addressed.push(wish);
            }
        }
    }

    /// Adds the wheel that a wish names, if it names one; what that requires at an address.
    fn add_wheel(
        &self,
        wish: &Requirement,
        local: &mut LocalWheels,
        fetch: &dyn IndexFetch,
    ) -> Result<Vec<Requirement>, WheelError> {
        let Some(address) = wish.address() else {
            return Ok(Vec::new());
        };
        let name = uv::stub_name(address);
        let Ok(file_name) = name.parse::<WheelFileName>() else {
            return Ok(Vec::new());
        };
        let (wheel, addressed) = match address {
            DirectUrl::Path(path) => self.in_source(wish, path, &file_name)?,
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => {
                self.at_address(wish, url, &file_name, fetch)?
            }
        };
        local.named.insert(name, wheel);
        Ok(addressed)
    }

    fn in_source(
        &self,
        wish: &Requirement,
        path: &str,
        file_name: &WheelFileName,
    ) -> Result<(LocalWheel, Vec<Requirement>), WheelError> {
        let file = &wish.position.path;
        // What was built is never taken for a file that the source has under the same name.
        let paths: Vec<String> = if file.starts_with(BUILT_FOLDER) {
            resolve_path(file, path).into_iter().collect()
        } else {
            requirement_paths(file, path).collect()
        };
        let opened = paths
            .into_iter()
            .find_map(|inside| Some(((self.request.open)(&inside).ok()?, inside)));
        let (mut file, inside) = opened.ok_or_else(|| WheelError::NoSuchWheel {
            path: path.to_owned(),
            position: wish.position.clone(),
        })?;
        let failed = |error| WheelError::File {
            path: inside.clone().into(),
            error,
        };
        let stand = inside.strip_prefix(BUILT_FOLDER).and_then(|name| {
            let mut stands = self.request.built.iter();
            stands.find(|stand| stand.file_name == name)
        });
        let sha256 = match stand {
            Some(stand) => stand.sha256,
            None => hash(&mut file).map_err(failed)?,
        };
        let size_bytes = file.metadata().map_err(failed)?.len();
        let stub = self.stub((file, &inside), file_name, wish.extras())?;
        let wheel = LocalWheel {
            location: WheelLocation::Source(inside),
            sha256: Some(sha256),
            size_bytes: Some(size_bytes),
            stub: stub.bytes,
        };
        Ok((wheel, stub.addressed))
    }

    fn at_address(
        &self,
        wish: &Requirement,
        url: &PackageUrl,
        file_name: &WheelFileName,
        fetch: &dyn IndexFetch,
    ) -> Result<(LocalWheel, Vec<Requirement>), WheelError> {
        let listed = wish.hashes.iter().find_map(|hash| match hash {
            FileHash::Sha256(sha256) => Some(*sha256),
            FileHash::Other(_) => None,
        });
        // Of several hashes, the file may have any.
        let listed = listed.filter(|_| wish.hashes.len() == 1);
        let url = self.indexes.with_credentials(url.clone(), None);
        let kept = (fetch.file(&url, listed)).map_err(|error| WheelError::Index {
            url: url.to_string(),
            error,
        })?;
        let file = File::open(&kept.path).map_err(|error| WheelError::File {
            path: kept.path.clone(),
            error,
        })?;
        let stub = self.stub((file, url.as_str()), file_name, wish.extras())?;
        let wheel = LocalWheel {
            location: WheelLocation::Remote(url),
            sha256: Some(kept.sha256),
            size_bytes: Some(kept.size_bytes),
            stub: stub.bytes,
        };
        Ok((wheel, stub.addressed))
    }

    /// The stub of a wheel, which messages call `place`.
    fn stub(
        &self,
        (file, place): (File, &str),
        file_name: &WheelFileName,
        extras: &[ExtraName],
    ) -> Result<stub::Stub, WheelError> {
        let markers = markers_of(self.request.target)?;
        // Without dependencies, nobody looks at what it requires.
        let applies = |wish: &Requirement| {
            !self.indexes.taken.without_dependencies && wish.marker().evaluate(&markers, extras)
        };
        stub_of((file, place), file_name, self.request.unpacked, &applies)
    }
}

/// What a wheel that was built requires at an address, for a target.
///
/// # Errors
/// It is no wheel.
pub(crate) fn required_by_address(
    path: &Path,
    file_name: &WheelFileName,
    target: &WheelTarget,
    unpacked: UnpackedBound,
) -> Result<Vec<Requirement>, WheelError> {
    let file = File::open(path).map_err(|error| WheelError::File {
        path: path.to_owned(),
        error,
    })?;
    let markers = markers_of(target)?;
    let place = (file, file_name.as_str());
    let applies = |wish: &Requirement| wish.marker().evaluate(&markers, &[]);
    Ok(stub_of(place, file_name, unpacked, &applies)?.addressed)
}

fn stub_of(
    (file, place): (File, &str),
    file_name: &WheelFileName,
    unpacked: UnpackedBound,
    applies: &dyn Fn(&Requirement) -> bool,
) -> Result<stub::Stub, WheelError> {
    let place = shown(place);
    let archive = ZipArchive::of(file, Path::new(&place), unpacked);
    archive
        .map_err(stub::StubError::from)
        .and_then(|archive| stub::of(&archive, file_name, applies))
        .map_err(|error| WheelError::Wheel { place, error })
}

fn markers_of(target: &WheelTarget) -> Result<MarkerEnvironment, WheelError> {
    let markers = target.markers();
    markers.map_err(|error| WheelError::Target(error.to_string()))
}

fn hash(file: &mut File) -> io::Result<Sha256> {
    let found = uv::hash(&mut *file)?;
    file.rewind()?;
    Ok(found)
}
