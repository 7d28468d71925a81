//! One wheel's way into the image: which member goes where, and what an installer adds.

use std::collections::{BTreeMap, BTreeSet};

use super::{InstallTarget, WheelFile, WheelLayerError, script};
use crate::archive::zip::{ZipArchive, ZipMember};
use crate::layers::bytecode::{self, ByteCode, CodeSpan};
use crate::oci::Digest;
use crate::packages::python::record::{self, RecordRow};
use crate::packages::python::{entry_points, wheel_metadata};

/// Length of a `RECORD` in bytes; a row is some 150.
const MAX_RECORD_BYTES: u64 = 24 << 20;

/// Length of `WHEEL` and `entry_points.txt` in bytes.
const MAX_METADATA_BYTES: u64 = 1 << 20;

/// What stands in `INSTALLER`.
const INSTALLER: &[u8] = b"s2r\n";

/// Members of `.dist-info` that are made anew, or hold only for the wheel as a file.
const NOT_INSTALLED: [&str; 5] = [
    "RECORD",
    "RECORD.jws",
    "RECORD.p7s",
    "INSTALLER",
    "REQUESTED",
];

/// Whether a file of pip's wheel stays out of the image: lists of what was copied into pip, which
/// scanners take for packages that are installed, and launchers for Windows, which they take for
/// programs of .NET. pip reads the former never, the latter on Windows.
fn is_left_out_of_pip(member: &str, dist_info: &str) -> bool {
    let below = |folder: &str| member.strip_prefix(folder)?.strip_prefix('/');
    if below("pip/_vendor/distlib").is_some_and(|name| name.rsplit('.').next() == Some("exe")) {
        return true;
    }
    let sboms = format!("{dist_info}/sboms");
    let is_sbom = |name: &str| name.ends_with(".cdx.json") || name.ends_with(".spdx.json");
    let found = below("pip/_vendor").or_else(|| below(&sboms));
    found.is_some_and(is_sbom)
}

/// Where a file's bytes come from.
#[derive(Debug)]
pub(super) enum FileSource {
    /// The member's, as they are.
    Member(ZipMember),
    /// The member's with another first line.
    Script(ZipMember),
    Bytes(Vec<u8>),
    /// This part of the wheel's byte code.
    Compiled(CodeSpan),
}

/// A file in the image.
#[derive(Debug)]
pub(super) struct InstalledFile {
    pub(super) content: FileSource,
    pub(super) executable: bool,
}

impl InstalledFile {
    /// Whether both surely hold the same, as far as checksums tell.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.executable == other.executable
            && match (&self.content, &other.content) {
                (FileSource::Member(one), FileSource::Member(other))
                | (FileSource::Script(one), FileSource::Script(other)) => {
                    (one.deflated.size, one.deflated.crc32)
                        == (other.deflated.size, other.deflated.crc32)
                }
                (FileSource::Bytes(one), FileSource::Bytes(other)) => one == other,
                _ => false,
            }
    }
}

/// A wheel and the files that it becomes, by path in the image.
pub(super) struct Installation {
    pub(super) archive: ZipArchive,
    pub(super) files: BTreeMap<Vec<u8>, InstalledFile>,
}

impl Installation {
    /// Reads the wheel's directory and metadata and places every member.
    pub(super) fn read(
        wheel: &WheelFile,
        target: &InstallTarget,
        bytecode: Option<&ByteCode>,
    ) -> Result<Self, WheelLayerError> {
        let archive = ZipArchive::open(&wheel.path, wheel.unpacked)?;
        let dist_info = dist_info(&archive, wheel)?;
        let metadata = required(
            &archive,
            wheel,
            &format!("{dist_info}/WHEEL"),
            MAX_METADATA_BYTES,
        )?;
        // Both libraries of a virtual environment are one folder, so the answer is not needed.
        wheel_metadata::parse(&metadata).map_err(|source| WheelLayerError::Metadata {
            wheel: wheel.path.clone(),
            source,
        })?;
        let record = required(
            &archive,
            wheel,
            &format!("{dist_info}/RECORD"),
            MAX_RECORD_BYTES,
        )?;
        let listed = record::parse(&record).map_err(|source| WheelLayerError::Record {
            wheel: wheel.path.clone(),
            source,
        })?;
        let scripts = scripts(&archive, wheel, &dist_info, target)?;
        let mut placing = FilePlacement {
            wheel,
            target,
            site_packages: site_packages(target),
            files: BTreeMap::new(),
            rows: BTreeMap::new(),
        };
        placing.members(&archive, &dist_info, &listed, &scripts)?;
        for (name, text) in scripts {
            placing.add_bytes(
                format!("{}/bin/{name}", target.prefix),
                text.into_bytes(),
                true,
            );
        }
        if let Some(bytecode) = bytecode {
            placing.compiled(bytecode);
        }
        placing.metadata(&dist_info);
        Ok(Self {
            files: placing.files,
            archive,
        })
    }
}

/// The files of one wheel while they find their places.
struct FilePlacement<'a> {
    wheel: &'a WheelFile,
    target: &'a InstallTarget,
    site_packages: String,
    files: BTreeMap<Vec<u8>, InstalledFile>,
    rows: BTreeMap<String, RecordRow>,
}

impl FilePlacement<'_> {
    fn members(
        &mut self,
        archive: &ZipArchive,
        dist_info: &str,
        listed: &BTreeMap<String, RecordRow>,
        scripts: &BTreeMap<String, String>,
    ) -> Result<(), WheelLayerError> {
        // As pip: what is in a .data folder comes after the root, and so wins over it.
        let (data, root): (Vec<_>, Vec<_>) = archive
            .members()
            .iter()
            .filter(|member| !member.directory)
            .partition(|member| in_data_folder(&member.name));
        for member in root.into_iter().chain(data) {
            let is_replaced = member
                .name
                .strip_prefix(dist_info)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|name| NOT_INSTALLED.contains(&name));
            let is_left_out =
                self.wheel.name == "pip" && is_left_out_of_pip(&member.name, dist_info);
            if is_replaced || is_left_out {
                continue;
            }
            let (path, is_script) = self.place(member)?;
            // Old build tools put finished wrappers there as well; ours take their place.
            let is_wrapper = is_script
                && path.rsplit_once('/').is_some_and(|(_, name)| {
                    let plain = name.strip_suffix(".exe").unwrap_or(name);
                    let plain = plain.strip_suffix("-script.py").unwrap_or(plain);
                    scripts.contains_key(plain)
                });
            if is_wrapper {
                continue;
            }
            let rewrite = is_script && script::wants_interpreter(archive, member)?;
            let row = if rewrite {
                row_of(&script::rewritten(archive, member, self.target)?)
            } else if let Some(row) = listed.get(&member.name) {
                row.clone()
            } else {
                hashed(archive, member)?
            };
            let executable = is_script || member.is_executable();
            let content = if rewrite {
                FileSource::Script
            } else {
                FileSource::Member
            }(member.clone());
            self.add(
                path,
                InstalledFile {
                    content,
                    executable,
                },
                row,
            );
        }
        Ok(())
    }

    /// The member's path in the image, and whether it is a script.
    fn place(&self, member: &ZipMember) -> Result<(String, bool), WheelLayerError> {
        let name = &member.name;
        if !in_data_folder(name) {
            return Ok((format!("{}/{name}", self.site_packages), false));
        }
        let unknown = || WheelLayerError::Scheme {
            wheel: self.wheel.path.clone(),
            member: name.clone(),
        };
        let mut parts = name.splitn(3, '/').skip(1);
        let (scheme, rest) = parts.next().zip(parts.next()).ok_or_else(unknown)?;
        let prefix = &self.target.prefix;
        let folder = match scheme {
            "purelib" | "platlib" => self.site_packages.clone(),
            "scripts" => format!("{prefix}/bin"),
            "headers" => format!(
                "{prefix}/include/site/python{}/{}",
                self.target.python, self.wheel.name
            ),
            "data" => {
                // A virtual environment's lib64 is a link to lib, which pip would follow.
                let path = match rest.strip_prefix("lib64/") {
                    Some(below) => format!("{prefix}/lib/{below}"),
                    None => format!("{prefix}/{rest}"),
                };
                return Ok((path, false));
            }
            _ => return Err(unknown()),
        };
        Ok((format!("{folder}/{rest}"), scheme == "scripts"))
    }

    fn add(&mut self, path: String, file: InstalledFile, row: RecordRow) {
        self.rows.insert(self.recorded(&path), row);
        self.files.insert(path.into_bytes(), file);
    }

    fn add_bytes(&mut self, path: String, bytes: Vec<u8>, executable: bool) {
        let row = row_of(&bytes);
        self.add(
            path,
            InstalledFile {
                content: FileSource::Bytes(bytes),
                executable,
            },
            row,
        );
    }

    /// Byte code beside its sources.
    fn compiled(&mut self, bytecode: &ByteCode) {
        let found: Vec<(Vec<u8>, CodeSpan)> = self
            .files
            .iter()
            .filter(|(_, file)| matches!(file.content, FileSource::Member(_)))
            .filter_map(|(path, _)| {
                let span = bytecode.of(path)?;
                Some((bytecode::place(path, &self.target.python), span))
            })
            .collect();
        for (path, span) in found {
            // Names of members are Unicode, so these are.
            let recorded = self.recorded(&String::from_utf8_lossy(&path));
            self.rows.insert(recorded, RecordRow::default());
            let content = FileSource::Compiled(span);
            self.files.insert(
                path,
                InstalledFile {
                    content,
                    executable: false,
                },
            );
        }
    }

    /// What the installer adds to `.dist-info`; `RECORD` last, because it lists the others.
    fn metadata(&mut self, dist_info: &str) {
        let folder = format!("{}/{dist_info}", self.site_packages);
        self.add_bytes(format!("{folder}/INSTALLER"), INSTALLER.to_vec(), false);
        if self.wheel.requested {
            self.add_bytes(format!("{folder}/REQUESTED"), Vec::new(), false);
        }
        let path = format!("{folder}/RECORD");
        self.rows.insert(self.recorded(&path), RecordRow::default());
        let text = record::write(self.rows.iter().map(|(path, row)| (path.as_str(), row)));
        let content = FileSource::Bytes(text.into_bytes());
        self.files.insert(
            path.into_bytes(),
            InstalledFile {
                content,
                executable: false,
            },
        );
    }

    /// A path as `RECORD` has it: from site-packages, which is three folders below the prefix.
    fn recorded(&self, path: &str) -> String {
        let below = |folder: &str| path.strip_prefix(folder)?.strip_prefix('/');
        match (below(&self.site_packages), below(&self.target.prefix)) {
            (Some(rest), _) => rest.to_owned(),
            (None, Some(rest)) => format!("../../../{rest}"),
            (None, None) => format!("/{path}"),
        }
    }
}

/// The folder of packages, as a path of the image.
pub(super) fn site_packages(target: &InstallTarget) -> String {
    format!(
        "{}/lib/python{}/site-packages",
        target.prefix, target.python
    )
}

/// Whether a member belongs to a `.data` folder.
fn in_data_folder(name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(first, _)| first.strip_suffix(".data").is_some())
}

/// The wheel's one `.dist-info` folder, which must be its project's.
fn dist_info(archive: &ZipArchive, wheel: &WheelFile) -> Result<String, WheelLayerError> {
    let found: BTreeSet<&str> = archive
        .members()
        .iter()
        .filter_map(|member| member.name.split_once('/'))
        .map(|(first, _)| first)
        .filter(|first| first.ends_with(".dist-info"))
        .collect();
    let mut each = found.iter();
    let (Some(&only), None) = (each.next(), each.next()) else {
        let found = found.into_iter().map(str::to_owned).collect();
        return Err(WheelLayerError::DistInfo {
            wheel: wheel.path.clone(),
            found,
        });
    };
    let of_project = normalised(only)
        .strip_prefix(wheel.name.as_str())
        .is_some_and(|rest| rest.starts_with('-'));
    if of_project {
        Ok(only.to_owned())
    } else {
        Err(WheelLayerError::Name {
            wheel: wheel.path.clone(),
            expected: wheel.name.clone(),
            found: only.to_owned(),
        })
    }
}

/// Lower case, and one hyphen for each run of `-`, `_` and `.`.
fn normalised(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for letter in name.chars() {
        match letter {
            '-' | '_' | '.' if text.ends_with('-') => {}
            '-' | '_' | '.' => text.push('-'),
            other => text.push(other.to_ascii_lowercase()),
        }
    }
    text
}

fn required(
    archive: &ZipArchive,
    wheel: &WheelFile,
    file: &str,
    max_bytes: u64,
) -> Result<Vec<u8>, WheelLayerError> {
    let member = archive
        .member(file)
        .ok_or_else(|| WheelLayerError::Missing {
            wheel: wheel.path.clone(),
            file: file.to_owned(),
        })?;
    Ok(archive.read(member, max_bytes)?)
}

/// The wrappers to make, text by name.
fn scripts(
    archive: &ZipArchive,
    wheel: &WheelFile,
    dist_info: &str,
    target: &InstallTarget,
) -> Result<BTreeMap<String, String>, WheelLayerError> {
    let Some(member) = archive.member(&format!("{dist_info}/entry_points.txt")) else {
        return Ok(BTreeMap::new());
    };
    let text = archive.read(member, MAX_METADATA_BYTES)?;
    let mut scripts =
        entry_points::scripts(&text).map_err(|source| WheelLayerError::EntryPoints {
            wheel: wheel.path.clone(),
            source,
        })?;
    script::version_pip(&mut scripts, &target.python);
    Ok(scripts
        .into_iter()
        .map(|script| (script.name.clone(), script::wrapper(&script, target)))
        .collect())
}

fn row_of(bytes: &[u8]) -> RecordRow {
    RecordRow::of(*Digest::of(bytes).as_bytes(), bytes.len() as u64)
}

/// The row of a member that `RECORD` does not list.
fn hashed(archive: &ZipArchive, member: &ZipMember) -> Result<RecordRow, WheelLayerError> {
    let found = Digest::of_reader(archive.contents(member))
        .map_err(|_| archive.member_error(member, crate::archive::zip::MemberFault::Contents))?;
    Ok(RecordRow::of(*found.as_bytes(), member.deflated.size))
}
