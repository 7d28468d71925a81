//! The Python that uv asks about itself.
//!
//! uv starts the interpreter it is given once, to learn its version, platform and markers, and
//! keeps the answer. Only wheels are resolved here, so nothing else is ever asked of it. What is
//! given to uv is therefore a shell script that prints the *target's* answer: no Python needs to be
//! on the machine, and none that is there can colour the result. The script uses built-in commands
//! only. The answer's form is that of uv's `get_interpreter_info.py`; fields of several versions
//! stand side by side, as uv reads over those it does not know.

use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::packages::python::{LibcVersion, WheelTarget};

/// Writes the script for a target if it is not there yet, and gives its path.
pub(super) fn write(tools: &Path, target: &WheelTarget) -> io::Result<PathBuf> {
    let libc = target.libc.to_string().replace(' ', "");
    let folder =
        tools
            .join("targets")
            .join(format!("{}-{libc}-{}", target.python, target.arch.name()));
    let path = folder.join("python");
    let script = format!("#!/bin/sh\nprintf '%s\\n' '{}'\n", answer(target, &path));
    // Left alone when unchanged: uv asks again when the file's time is another.
    if fs::read_to_string(&path).is_ok_and(|found| found == script) {
        return Ok(path);
    }
    fs::create_dir_all(&folder)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder)?;
    file.write_all(script.as_bytes())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(0o755))?;
    file.persist(&path).map_err(|error| error.error)?;
    Ok(path)
}

/// The answer, in one line without single quotes (a path with one is left out: uv only shows it).
fn answer(target: &WheelTarget, path: &Path) -> String {
    let full = target.python.to_string();
    let short = format!("{}.{}", target.python.major, target.python.minor);
    let arch = target.arch.name();
    let LibcVersion::Glibc(major, minor) = target.libc;
    let system = json!({ "name": "manylinux", "major": major, "minor": minor });
    let packages = format!("/usr/lib/python{short}/site-packages");
    let answer = json!({
        "result": "success",
        "markers": {
            "implementation_name": "cpython",
            "implementation_version": full,
            "os_name": "posix",
            "platform_machine": arch,
            "platform_python_implementation": "CPython",
            "platform_release": "",
            "platform_system": "Linux",
            "platform_version": "",
            "python_full_version": full,
            "python_version": short,
            "sys_platform": "linux",
        },
        "sys_base_prefix": "/usr",
        "sys_base_exec_prefix": "/usr",
        "sys_prefix": "/usr",
        "sys_base_executable": path.to_string_lossy(),
        "sys_executable": path.to_string_lossy(),
        "sys_path": [],
        "site_packages": [],
        "stdlib": format!("/usr/lib/python{short}"),
        "extension_suffixes": [],
        "standalone": false,
        "scheme": {
            "platlib": packages, "purelib": packages, "include": "/usr/include",
            "scripts": "/usr/bin", "data": "/usr",
        },
        "virtualenv": {
            "platlib": "lib/site-packages", "purelib": "lib/site-packages", "include": "include",
            "scripts": "bin", "data": "",
        },
        "os": system,
        "arch": arch,
        "platform": { "os": system, "arch": arch },
        "cpu_info": { "detected": { "kind": "flags", "flags": "" } },
        "manylinux_compatible": true,
        "gil_disabled": false,
        "debug_enabled": false,
        "pointer_size": "64",
    });
    answer.to_string().replace('\'', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::{PythonVersion, TargetArch};

    #[test]
    fn the_script_prints_the_targets_answer_without_any_program() {
        let folder = tempfile::tempdir().unwrap();
        let target = WheelTarget {
            python: PythonVersion {
                major: 3,
                minor: 11,
                patch: 2,
            },
            libc: LibcVersion::Glibc(2, 36),
            arch: TargetArch::Aarch64,
        };
        let path = write(folder.path(), &target).unwrap();
        let time = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let before = time(&path);
        assert_eq!(write(folder.path(), &target).unwrap(), path);
        assert_eq!(time(&path), before);
        let output = std::process::Command::new(&path)
            .args(["-I", "-B", "-c", "x"])
            .env_clear()
            .output()
            .unwrap();
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["markers"]["python_full_version"], "3.11.2");
        assert_eq!(answer["os"]["minor"], 36);
        assert_eq!(answer["arch"], "aarch64");
    }
}
