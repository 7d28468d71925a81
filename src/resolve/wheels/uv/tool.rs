//! uv itself: on PATH if its version is one that was tried, else fetched once from the package
//! index, where it is a wheel with the program in it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::VERSION;
use super::pinned::{PINNED, PinnedWheel};
use crate::archive::UnpackedBound;
use crate::archive::zip::ZipArchive;
use crate::host::{self, ProcessLimits};
use crate::packages::Sha256;
use crate::packages::python::PackageName;
use crate::resolve::wheels::error::WheelError;
use crate::resolve::wheels::fetch::IndexFetch;
use crate::resolve::wheels::index::find_tool;
use crate::resolve::wheels::settings::IndexSettings;

/// Versions on PATH that are taken: from the first on that takes a program's path as its Python
/// and writes locks, to the last minor one that this program was tried with.
const ACCEPTED: std::ops::RangeInclusive<(u64, u64)> = (0, 8)..=(0, 13);
/// Largest program that is taken out of its wheel, in bytes.
const MAX_BYTES: u64 = 1 << 30;

/// A uv that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::resolve::wheels) struct UvTool {
    pub(in crate::resolve::wheels) program: PathBuf,
}

/// Finds uv on PATH, in the folder of tools, or fetches it into that folder.
///
/// # Errors
/// Offline and not here; no index has it; another file than the pinned one; the disk.
pub(in crate::resolve::wheels) fn obtain(
    environment: &BTreeMap<String, String>,
    tools: &Path,
    indexes: &IndexSettings,
    fetch: Option<&dyn IndexFetch>,
) -> Result<UvTool, WheelError> {
    if let Some(program) = on_path(environment) {
        return Ok(UvTool { program });
    }
    let wheels = || {
        let all = PINNED.iter();
        all.filter(|wheel| wheel.arch == std::env::consts::ARCH)
    };
    let mut kept = wheels().map(|wheel| place(tools, wheel));
    if let Some(program) = kept.find(|program| program.is_file()) {
        return Ok(UvTool { program });
    }
    let fetch = fetch.ok_or_else(|| WheelError::Offline {
        what: format!("uv {VERSION}, which turns requirements into exact wheels,"),
    })?;
    let wheels: Vec<&PinnedWheel> = wheels().collect();
    let program = download(tools, &wheels, &indexes.of_tools(environment), fetch)?;
    Ok(UvTool { program })
}

/// Where the program of a wheel is kept.
fn place(tools: &Path, wheel: &PinnedWheel) -> PathBuf {
    tools.join(format!("uv-{}", wheel.version)).join("uv")
}

fn on_path(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    environment
        .get("PATH")?
        .split(':')
        .filter(|folder| folder.starts_with('/'))
        .map(|folder| Path::new(folder).join("uv"))
        .find(|program| program.is_file() && has_accepted_version(program))
}

fn has_accepted_version(program: &Path) -> bool {
    let bounds = ProcessLimits {
        time: Duration::from_secs(20),
        output_bytes: 4096,
        error_bytes: 0,
    };
    let answer = host::run(Command::new(program).arg("--version").env_clear(), bounds);
    answer.is_ok_and(|answer| {
        parse_version(&String::from_utf8_lossy(&answer.output))
            .is_some_and(|version| ACCEPTED.contains(&version))
    })
}

/// Major and minor of `uv 0.13.8 (x86_64-unknown-linux-gnu)`.
fn parse_version(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text
        .strip_prefix("uv ")?
        .split_whitespace()
        .next()?
        .split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Fetches the best of these wheels that the indexes have.
fn download(
    tools: &Path,
    wheels: &[&PinnedWheel],
    indexes: &IndexSettings,
    fetch: &dyn IndexFetch,
) -> Result<PathBuf, WheelError> {
    let none = || WheelError::NoUv { version: VERSION };
    let project: PackageName = "uv".parse().map_err(|_| none())?;
    let names: Vec<&str> = wheels.iter().map(|wheel| wheel.name).collect();
    let file = find_tool(fetch, indexes, &project, &names)?.ok_or_else(none)?;
    let mut wheels = wheels.iter();
    let pinned = wheels
        .find(|wheel| wheel.name == file.name)
        .ok_or_else(none)?;
    let wrong = || WheelError::WrongUv {
        url: file.url.to_string(),
    };
    let expected: Sha256 = pinned.sha256.parse().map_err(|_| wrong())?;
    let kept = place(tools, pinned);
    let folder = kept.parent().unwrap_or(tools);
    let disk = |error| WheelError::File {
        path: folder.to_owned(),
        error,
    };
    fs::create_dir_all(folder).map_err(disk)?;
    let wheel = (fetch.file(&file.url, None)).map_err(|error| WheelError::Index {
        url: file.url.to_string(),
        error,
    })?;
    if wheel.sha256 != expected {
        return Err(wrong());
    }
    extract(&wheel.path, pinned.version, &kept).map_err(disk)?;
    if has_accepted_version(&kept) {
        return Ok(kept);
    }
    // One that needs a glibc, on a machine that has none or an older one.
    fs::remove_file(&kept).map_err(disk)?;
    Err(none())
}

/// Takes the program out of the wheel; it appears under its name whole or not at all.
fn extract(wheel: &Path, version: &str, kept: &Path) -> io::Result<()> {
    let name = format!("uv-{version}.data/scripts/uv");
    let archive = ZipArchive::open(wheel, UnpackedBound::default()).map_err(io::Error::other)?;
    let member = archive
        .member(&name)
        .ok_or_else(|| io::Error::other(format!("the wheel has no {name}")))?;
    let mut program = tempfile::NamedTempFile::new_in(kept.parent().unwrap_or(kept))?;
    let copied = io::copy(&mut archive.contents(member).take(MAX_BYTES), &mut program)?;
    if copied != member.deflated.size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    program
        .as_file()
        .set_permissions(Permissions::from_mode(0o755))?;
    program.as_file().sync_all()?;
    program.persist(kept).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::PackageUrl;
    use crate::resolve::wheels::fetch::{GetRequest, GetResponse, IndexFetchError, KeptFile};

    #[test]
    fn reads_versions() {
        assert_eq!(
            parse_version("uv 0.13.8 (x86_64-unknown-linux-gnu)\n"),
            Some((0, 13))
        );
        assert_eq!(parse_version("uv 1.2.3"), Some((1, 2)));
        assert_eq!(parse_version("not uv"), None);
        assert!(
            !ACCEPTED.contains(&(0, 7))
                && ACCEPTED.contains(&(0, 9))
                && !ACCEPTED.contains(&(1, 0))
        );
    }

    #[test]
    fn one_on_path_goes_first_if_its_version_fits() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &Path, version: &str| {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, format!("#!/bin/sh\necho 'uv {version}'\n")).unwrap();
            fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        };
        let kept = folder.path().join(format!("tools/uv-{VERSION}/uv"));
        let own = folder.path().join("bin/uv");
        let path = format!("relative:/nowhere:{}", folder.path().join("bin").display());
        let environment = BTreeMap::from([("PATH".to_owned(), path)]);
        let indexes = IndexSettings::new(
            &crate::packages::python::IndexOptions::default(),
            &BTreeMap::new(),
        )
        .unwrap();
        let obtained = || {
            obtain(&environment, &folder.path().join("tools"), &indexes, None).map(|uv| uv.program)
        };
        write(&own, "0.2.0");
        assert!(matches!(obtained(), Err(WheelError::Offline { .. })));
        write(&kept, VERSION);
        assert_eq!(obtained().unwrap(), kept);
        fs::remove_file(&own).unwrap();
        write(&own, "0.9.1 (some build)");
        assert_eq!(obtained().unwrap(), own);
    }

    /// An index with files of these names, each of which is another than the name says.
    struct Mirror(Vec<&'static str>);

    impl IndexFetch for Mirror {
        fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError> {
            let links = self
                .0
                .iter()
                .map(|name| format!("<a href='/files/{name}'>{name}</a>"));
            Ok(GetResponse {
                final_url: request.url.to_string(),
                body: Box::new(io::Cursor::new(links.collect::<String>().into_bytes())),
            })
        }

        fn file(&self, _: &PackageUrl, _: Option<Sha256>) -> Result<KeptFile, IndexFetchError> {
            let path = PathBuf::from("/nowhere");
            let sha256 = Sha256([0; 32]);
            Ok(KeptFile {
                path,
                sha256,
                size_bytes: 0,
            })
        }
    }

    #[test]
    fn the_best_wheel_of_an_index_is_taken_if_it_is_what_was_published() {
        let of_arch: Vec<&'static str> = PINNED
            .iter()
            .filter(|wheel| wheel.arch == std::env::consts::ARCH)
            .map(|wheel| wheel.name)
            .collect();
        let (first, third, last) = (of_arch[0], of_arch[2], of_arch[of_arch.len() - 1]);
        let folder = tempfile::tempdir().unwrap();
        let indexes = IndexSettings::new(
            &crate::packages::python::IndexOptions::default(),
            &BTreeMap::new(),
        )
        .unwrap();
        let taken = |files: &[&'static str]| {
            let mirror = Mirror(files.to_vec());
            obtain(&BTreeMap::new(), folder.path(), &indexes, Some(&mirror)).unwrap_err()
        };
        for (files, best) in [
            (&[last, third, first][..], first),
            (&[last, third], third),
            (&["uv-0.13.99-py3-none-any.whl", last], last),
        ] {
            let WheelError::WrongUv { url } = taken(files) else {
                panic!("{files:?}");
            };
            assert!(url.ends_with(best), "{url}");
        }
        let unknown = taken(&["uv-0.13.99-py3-none-musllinux_1_1_x86_64.whl"]);
        assert!(matches!(unknown, WheelError::NoUv { .. }), "{unknown}");
        assert!(
            fs::read_dir(folder.path())
                .unwrap()
                .flatten()
                .all(|entry| { !entry.path().join("uv").exists() })
        );
    }

    #[test]
    fn pins_are_well_formed() {
        let mut names = std::collections::BTreeSet::new();
        for wheel in PINNED {
            let PinnedWheel {
                version,
                arch,
                name,
                sha256,
            } = wheel;
            assert!(name.contains(arch) && name.starts_with(&format!("uv-{version}-")));
            assert!(
                name.parse::<crate::packages::python::WheelFileName>()
                    .is_ok()
            );
            assert!(sha256.parse::<Sha256>().is_ok());
            let number = parse_version(&format!("uv {version}")).unwrap();
            assert!(ACCEPTED.contains(&number), "{name}");
            assert!(names.insert(name), "{name}");
        }
        for arch in ["x86_64", "aarch64"] {
            let of_arch: Vec<_> = PINNED.iter().filter(|wheel| wheel.arch == arch).collect();
            assert_eq!(of_arch[0].version, VERSION);
            // Static ones first.
            assert!(of_arch.is_sorted_by_key(|wheel| !wheel.name.contains("musllinux")));
        }
    }
}
