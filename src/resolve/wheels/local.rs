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
use super::{WheelOverride, from_source};
use crate::archive::UnpackedBound;
use crate::archive::zip::ZipArchive;
use crate::oci::Digest;
use crate::packages::Sha256;
use crate::packages::python::{
    DirectUrl, FileHash, PackageName, PackageUrl, Position, Requirement, WheelFileName,
    WheelTarget, requirement_paths, shown,
};
use pep508_rs::{ExtraName, MarkerEnvironment};

/// Most wheels that may be named by others' metadata: a server could name new ones for ever.
const MAX_ADDRESSED: usize = 2000;

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
    /// Who named a package first, and where it is.
    places: BTreeMap<PackageName, (Position, WheelLocation)>,
}

impl LocalWheels {
    /// The hash of a wheel that is known already.
    fn known(&self, file_name: &str, url: &PackageUrl) -> Option<Sha256> {
        let wheel = self.named.get(file_name)?;
        match &wheel.location {
            WheelLocation::Remote(known) if known.as_str() == url.as_str() => wheel.sha256,
            _ => None,
        }
    }
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
            let addressed = self.add_wheel(wish, wishes, &mut local, fetch)?;
            self.add_addressed(addressed, &mut local);
        }
        let mut at = 0;
        while let Some(wish) = local.addressed.get(at).cloned() {
            if at >= MAX_ADDRESSED {
                return Err(WheelError::TooManyAddresses {
                    limit: MAX_ADDRESSED,
                    position: wish.position,
                });
            }
            if from_source::needs_build(&wish) {
                return Err(WheelError::NeedsBuild {
                    wish: wish.to_string(),
                    position: wish.position.clone(),
                });
            }
            let addressed = self.add_wheel(&wish, wishes, &mut local, fetch)?;
            self.add_addressed(addressed, &mut local);
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

    /// Takes up what a wheel requires at an address, each once; what was built for it stands among the wishes.
    fn add_addressed(&self, addressed: Vec<Requirement>, local: &mut LocalWheels) {
        for wish in addressed {
            let is_same = |known: &Requirement| {
                known.name() == wish.name()
                    && known.address() == wish.address()
                    && known.extras() == wish.extras()
            };
            let mut built = self.request.built.iter();
            let is_built = from_source::needs_build(&wish)
                && built.any(|stand| Some(&stand.name) == wish.name());
            if !is_built && !local.addressed.iter().any(is_same) {
                local.addressed.push(wish);
            }
        }
    }

    /// Refuses a package that is wanted from another place already.
    fn check_place(
        &self,
        wish: &Requirement,
        location: &WheelLocation,
        local: &mut LocalWheels,
    ) -> Result<(), WheelError> {
        let Some(name) = wish.name() else {
            return Ok(());
        };
        let same = |one: &WheelLocation, other: &WheelLocation| match (one, other) {
            (WheelLocation::Remote(one), WheelLocation::Remote(other)) => {
                without_fragment(one) == without_fragment(other)
            }
            (one, other) => one == other,
        };
        match local.places.get(name) {
            Some((position, known)) if !same(known, location) => Err(WheelError::TwoAddresses {
                name: name.clone(),
                wanted: Box::new([
                    self.told_place(name, position, known),
                    self.told_place(name, &wish.position, location),
                ]),
            }),
            Some(_) => Ok(()),
            None => {
                let place = (wish.position.clone(), location.clone());
                local.places.insert(name.clone(), place);
                Ok(())
            }
        }
    }

    /// Who wants a package, and from where, for people.
    fn told_place(
        &self,
        name: &PackageName,
        position: &Position,
        location: &WheelLocation,
    ) -> (String, String) {
        let place = match location {
            WheelLocation::Remote(url) => url.to_string(),
            WheelLocation::Source(path) => path.clone(),
            WheelLocation::Built { .. } => {
                let mut built = self.request.built.iter();
                let stand = built.find(|stand| stand.name == *name);
                let who = stand.and_then(|stand| stand.instead_of.as_ref());
                let who = who.map_or_else(|| "the build".to_owned(), ToString::to_string);
                return (
                    who,
                    stand.map_or_else(String::new, |stand| stand.from.clone()),
                );
            }
        };
        (position.to_string(), place)
    }

    /// Adds the wheel that a wish names, if it names one; what that requires at an address.
    fn add_wheel(
        &self,
        wish: &Requirement,
        wishes: &[&Requirement],
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
        let extras = self.extras_of(wish, wishes, local);
        let mut built = self.request.built.iter();
        let stand = built.find(|stand| stand.address() == *address);
        let (wheel, addressed) = match address {
            DirectUrl::Path(path) => match stand {
                Some(stand) => self.built_here(stand, &file_name, &extras)?,
                None => self.in_source(wish, path, &file_name, &extras)?,
            },
            DirectUrl::Archive(url) | DirectUrl::Repository(url) => {
                let listed = listed_hash(wish).or_else(|| local.known(&name, url));
                self.at_address((url, listed), &file_name, &extras, fetch)?
            }
        };
        self.check_place(wish, &wheel.location, local)?;
        local.named.insert(name, wheel);
        Ok(addressed)
    }

    /// The extras that lines and metadata want of a package, and those that it was built for.
    fn extras_of(
        &self,
        wish: &Requirement,
        wishes: &[&Requirement],
        local: &LocalWheels,
    ) -> Vec<ExtraName> {
        let all = wishes.iter().copied().chain(&local.addressed).chain([wish]);
        let of_name = all.filter(|other| other.name() == wish.name());
        let mut extras: Vec<ExtraName> =
            of_name.flat_map(|other| other.extras().to_vec()).collect();
        let built = self.request.built.iter();
        for stand in built.filter(|stand| Some(&stand.name) == wish.name()) {
            extras.extend(stand.extras.iter().cloned());
        }
        extras.sort();
        extras.dedup();
        extras
    }

    fn in_source(
        &self,
        wish: &Requirement,
        path: &str,
        file_name: &WheelFileName,
        extras: &[ExtraName],
    ) -> Result<(LocalWheel, Vec<Requirement>), WheelError> {
        let mut opened = None;
        for inside in requirement_paths(&wish.position.path, path) {
            match (self.request.open)(&inside) {
                Ok(file) => {
                    opened = Some((file, inside));
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(WheelError::File {
                        path: inside.into(),
                        error,
                    });
                }
            }
        }
        let (mut file, inside) = opened.ok_or_else(|| WheelError::NoSuchWheel {
            path: path.to_owned(),
            position: wish.position.clone(),
        })?;
        let failed = |error| WheelError::File {
            path: inside.clone().into(),
            error,
        };
        let sha256 = hash(&mut file).map_err(failed)?;
        let size_bytes = file.metadata().map_err(failed)?.len();
        let stub = self.stub((file, &inside), file_name, extras)?;
        let wheel = LocalWheel {
            location: WheelLocation::Source(inside),
            sha256: Some(sha256),
            size_bytes: Some(size_bytes),
            stub: stub.bytes,
        };
        Ok((wheel, stub.addressed))
    }

    /// One that was built.
    fn built_here(
        &self,
        stand: &WheelOverride,
        file_name: &WheelFileName,
        extras: &[ExtraName],
    ) -> Result<(LocalWheel, Vec<Requirement>), WheelError> {
        // That it is not there is no fault of the project.
        let file = File::open(&stand.path).map_err(|error| WheelError::File {
            path: stand.path.clone(),
            error,
        })?;
        let stub = self.stub((file, &stand.file_name), file_name, extras)?;
        let wheel = LocalWheel {
            location: stand.location.clone(),
            sha256: Some(stand.sha256),
            size_bytes: Some(stand.size_bytes),
            stub: stub.bytes,
        };
        Ok((wheel, stub.addressed))
    }

    fn at_address(
        &self,
        (url, listed): (&PackageUrl, Option<Sha256>),
        file_name: &WheelFileName,
        extras: &[ExtraName],
        fetch: &dyn IndexFetch,
    ) -> Result<(LocalWheel, Vec<Requirement>), WheelError> {
        let url = self.indexes.with_credentials(url.clone(), None);
        let kept = (fetch.file(&url, listed)).map_err(|error| WheelError::Index {
            url: url.to_string(),
            error,
        })?;
        let file = File::open(&kept.path).map_err(|error| WheelError::File {
            path: kept.path.clone(),
            error,
        })?;
        let stub = self.stub((file, url.as_str()), file_name, extras)?;
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

/// The hash that the file of a wish must have; of several, it may have any.
fn listed_hash(wish: &Requirement) -> Option<Sha256> {
    match wish.hashes.as_slice() {
        [FileHash::Sha256(sha256)] => Some(*sha256),
        _ => None,
    }
}

/// An address as far as it names a file.
fn without_fragment(url: &PackageUrl) -> &str {
    url.as_str().split('#').next().unwrap_or_default()
}

/// What a wheel that was built requires at an address, for a target and with some extras.
///
/// # Errors
/// It is no wheel.
pub(crate) fn required_by_address(
    path: &Path,
    (file_name, extras): (&WheelFileName, &[ExtraName]),
    target: &WheelTarget,
    unpacked: UnpackedBound,
) -> Result<Vec<Requirement>, WheelError> {
    let file = File::open(path).map_err(|error| WheelError::File {
        path: path.to_owned(),
        error,
    })?;
    let markers = markers_of(target)?;
    let place = (file, file_name.as_str());
    let applies = |wish: &Requirement| wish.marker().evaluate(&markers, extras);
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
    let found = Digest::of_reader(&mut *file)?;
    file.rewind()?;
    Ok(Sha256(*found.as_bytes()))
}
