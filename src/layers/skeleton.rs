//! The layer between base and dependencies: the virtual environment at `/opt/app-root` as
//! `python -m venv` lays it out, and the S2I scripts.
//!
//! Everything below `/opt/app-root` belongs to user 1001 and group 0 with equal rights, so that any
//! user of group 0 may write there. Format of `pyvenv.cfg`: Python's `site` module.

use std::{collections::BTreeMap, io::Write};

use crate::{
    archive::tar::{self, EntryOwner, LayerWriter},
    layers::linkage::Linkage,
    oci::{Key, KeyBuilder},
};

/// Names how this layer is written; changes whenever its bytes would.
const LAYOUT: &str = "skeleton/3";

/// The virtual environment's folder.
const PREFIX: &str = "opt/app-root";
/// Below these folders scripts are programs.
const PROGRAMS: [&str; 2] = ["usr/bin/", "usr/libexec/"];

const SYSTEM_DIRECTORY: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o755,
};
const SYSTEM_PROGRAM: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o755,
};
const SYSTEM_FILE: EntryOwner = EntryOwner {
    uid: 0,
    gid: 0,
    mode: 0o644,
};
const APP_DIRECTORY: EntryOwner = EntryOwner {
    uid: 1001,
    gid: 0,
    mode: 0o775,
};
const APP_FILE: EntryOwner = EntryOwner {
    uid: 1001,
    gid: 0,
    mode: 0o664,
};
const APP_LINK: EntryOwner = EntryOwner {
    uid: 1001,
    gid: 0,
    mode: 0o777,
};

/// Sets the environment up for a shell; bash reads it by `BASH_ENV`, other shells by `ENV`. Sourced
/// any number of times it does its work once.
const ACTIVATE: &str = r#"# Sourced by shells (BASH_ENV, ENV): puts the virtual environment first.
# Reading it again changes nothing; `deactivate` undoes it.

deactivate () {
    if [ -n "${_S2R_OLD_PATH:-}" ]; then
        PATH="$_S2R_OLD_PATH"
        export PATH
    fi
    unset _S2R_OLD_PATH VIRTUAL_ENV VIRTUAL_ENV_PROMPT
    if [ "${1:-}" != nondestructive ]; then
        unset -f deactivate
    fi
}

VIRTUAL_ENV=/opt/app-root
VIRTUAL_ENV_PROMPT=app-root
export VIRTUAL_ENV VIRTUAL_ENV_PROMPT
case ":${PATH:-}:" in
    :/opt/app-root/bin:*) ;;
    *)
        _S2R_OLD_PATH="${PATH:-}"
        PATH="/opt/app-root/bin${PATH:+:$PATH}"
        export PATH
        ;;
esac
# Once for a tree of processes is enough.
unset BASH_ENV ENV PROMPT_COMMAND
"#;

/// What the layer is made of.
#[derive(Debug, Clone)]
pub(crate) struct SkeletonOptions {
    /// Python's version, for instance `3.13`.
    pub python: String,
    /// Absolute path of the interpreter that the environment stands on.
    pub interpreter: String,
    /// Scripts: path in the image without a slash at its start, and bytes. Below `usr/bin`
    /// and `usr/libexec` they are made executable, elsewhere (`etc/profile.d`) they are read by others.
    pub scripts: Vec<(String, Vec<u8>)>,
    /// Time and compression of the layer.
    pub tar: tar::TarOptions,
}

enum SkeletonEntry<'a> {
    Directory,
    File(&'a [u8]),
    Link(String),
}

pub(crate) fn key(options: &SkeletonOptions) -> Key {
    let mut key = KeyBuilder::new(LAYOUT)
        .field(options.python.as_bytes())
        .field(options.interpreter.as_bytes())
        .field(ACTIVATE.as_bytes())
        .field(&options.tar.mtime.to_le_bytes())
        .field(&options.tar.effort.deflate_level().to_le_bytes());
    for (name, bytes) in &options.scripts {
        key.add(name.as_bytes());
        key.add(bytes);
    }
    key.finish()
}

/// Writes the layer; the caller finishes `out`.
pub(crate) fn write<W: Write>(
    options: &SkeletonOptions,
    out: &mut LayerWriter<W>,
) -> Result<(), tar::TarError> {
    let config = pyvenv_config(options);
    for (path, (entry, owner)) in entries(options, &config) {
        match entry {
            SkeletonEntry::Directory => out.directory(path.as_bytes(), &owner)?,
            SkeletonEntry::Link(target) => {
                out.symlink(path.as_bytes(), target.as_bytes(), &owner)?;
            }
            SkeletonEntry::File(mut bytes) => {
                let size_bytes = bytes.len() as u64;
                out.file(path.as_bytes(), &owner, size_bytes, &mut bytes)?;
            }
        }
    }
    Ok(())
}

/// The programs that the layer has.
pub(crate) fn linkage(options: &SkeletonOptions) -> Linkage {
    let config = pyvenv_config(options);
    let mut linkage = Linkage::default();
    for (path, (entry, _)) in entries(options, &config) {
        if !matches!(entry, SkeletonEntry::Directory) {
            linkage.name(&path);
        }
    }
    linkage
}

/// As `python -m venv` writes it, without a prompt.
fn pyvenv_config(options: &SkeletonOptions) -> String {
    let home = options
        .interpreter
        .rsplit_once('/')
        .map_or("/usr/bin", |(folder, _)| folder);
    let SkeletonOptions {
        python,
        interpreter,
        ..
    } = options;
    format!(
        "home = {home}\ninclude-system-site-packages = false\nversion = {python}\nexecutable = {interpreter}\ncommand = {interpreter} -m venv /opt/app-root\n"
    )
}

/// All entries, sorted by path.
fn entries<'a>(
    options: &'a SkeletonOptions,
    config: &'a str,
) -> BTreeMap<String, (SkeletonEntry<'a>, EntryOwner)> {
    let mut entries = BTreeMap::new();
    entries.insert(
        "opt".to_owned(),
        (SkeletonEntry::Directory, SYSTEM_DIRECTORY),
    );
    let library = format!("lib/python{}", options.python);
    let packages = format!("{library}/site-packages");
    for folder in ["bin", "etc", "include", "lib", "src", &library, &packages] {
        entries.insert(
            format!("{PREFIX}/{folder}"),
            (SkeletonEntry::Directory, APP_DIRECTORY),
        );
    }
    entries.insert(PREFIX.to_owned(), (SkeletonEntry::Directory, APP_DIRECTORY));
    let versioned = format!("bin/python{}", options.python);
    for (link, target) in [
        ("bin/python", options.interpreter.as_str()),
        ("bin/python3", "python"),
        (&versioned, "python"),
        ("lib64", "lib"),
    ] {
        let link = format!("{PREFIX}/{link}");
        entries.insert(link, (SkeletonEntry::Link(target.to_owned()), APP_LINK));
    }
    for (file, text) in [("bin/activate", ACTIVATE), ("pyvenv.cfg", config)] {
        entries.insert(
            format!("{PREFIX}/{file}"),
            (SkeletonEntry::File(text.as_bytes()), APP_FILE),
        );
    }
    for (path, bytes) in &options.scripts {
        for (at, _) in path.match_indices('/') {
            let parent = path.get(..at).unwrap_or_default().to_owned();
            entries
                .entry(parent)
                .or_insert((SkeletonEntry::Directory, SYSTEM_DIRECTORY));
        }
        let owner = if PROGRAMS.iter().any(|folder| path.starts_with(folder)) {
            SYSTEM_PROGRAM
        } else {
            SYSTEM_FILE
        };
        entries.insert(path.clone(), (SkeletonEntry::File(bytes), owner));
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn options() -> SkeletonOptions {
        SkeletonOptions {
            python: "3.13".to_owned(),
            interpreter: "/usr/bin/python3.13".to_owned(),
            scripts: vec![
                ("usr/libexec/s2i/run".to_owned(), b"#!/bin/sh\n".to_vec()),
                ("etc/profile.d/s2r.sh".to_owned(), b"PATH=\n".to_vec()),
            ],
            tar: tar::TarOptions {
                mtime: 315_532_800,
                effort: tar::CompressionEffort::Usual,
            },
        }
    }

    fn layer(options: &SkeletonOptions) -> Vec<u8> {
        let mut out = LayerWriter::new(Vec::new(), options.tar);
        write(options, &mut out).unwrap();
        out.finish().unwrap().0
    }

    #[test]
    fn holds_the_environment_and_the_scripts() {
        let layer = layer(&options());
        let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(&layer[..]));
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            seen.push(format!(
                "{} {:o} {}:{}{}",
                String::from_utf8_lossy(&entry.path_bytes()),
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                entry
                    .link_name_bytes()
                    .map(|target| format!(" -> {}", String::from_utf8_lossy(&target)))
                    .unwrap_or_default(),
            ));
            if entry.path_bytes().ends_with(b"pyvenv.cfg") {
                assert!(text.starts_with("home = /usr/bin\n"), "{text}");
            }
        }
        assert_eq!(
            seen,
            [
                "etc/ 755 0:0",
                "etc/profile.d/ 755 0:0",
                "etc/profile.d/s2r.sh 644 0:0",
                "opt/ 755 0:0",
                "opt/app-root/ 775 1001:0",
                "opt/app-root/bin/ 775 1001:0",
                "opt/app-root/bin/activate 664 1001:0",
                "opt/app-root/bin/python 777 1001:0 -> /usr/bin/python3.13",
                "opt/app-root/bin/python3 777 1001:0 -> python",
                "opt/app-root/bin/python3.13 777 1001:0 -> python",
                "opt/app-root/etc/ 775 1001:0",
                "opt/app-root/include/ 775 1001:0",
                "opt/app-root/lib/ 775 1001:0",
                "opt/app-root/lib/python3.13/ 775 1001:0",
                "opt/app-root/lib/python3.13/site-packages/ 775 1001:0",
                "opt/app-root/lib64 777 1001:0 -> lib",
                "opt/app-root/pyvenv.cfg 664 1001:0",
                "opt/app-root/src/ 775 1001:0",
                "usr/ 755 0:0",
                "usr/libexec/ 755 0:0",
                "usr/libexec/s2i/ 755 0:0",
                "usr/libexec/s2i/run 755 0:0",
            ]
        );
    }

    #[test]
    fn key_follows_every_input() {
        let base = options();
        let mut others = vec![options(), options(), options(), options()];
        others[0].python = "3.11".to_owned();
        others[1].interpreter = "/usr/bin/python3".to_owned();
        others[2].scripts[0].1.push(b'\n');
        others[3].tar.mtime += 1;
        for other in others {
            assert_ne!(key(&base), key(&other), "{other:?}");
        }
        assert_eq!(key(&base), key(&options()));
        assert_eq!(layer(&base), layer(&options()));
    }

    #[test]
    fn refuses_a_script_name_that_marks_a_deletion() {
        let mut options = options();
        options.scripts[0].0 = "etc/.wh.passwd".to_owned();
        assert!(write(&options, &mut LayerWriter::new(Vec::new(), options.tar)).is_err());
    }
}
