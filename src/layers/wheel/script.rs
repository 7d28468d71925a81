//! Scripts below `bin`: wrappers for entry points, and first lines.

use std::io::{Read as _, Write as _};

use super::{InstallTarget, WheelLayerError};
use crate::archive::zip::{MemberFault, ZipArchive, ZipMember};
use crate::packages::python::entry_points::ConsoleScript;

/// Length of a script whose first line is to be replaced, in bytes.
const MAX_SCRIPT_BYTES: u64 = 1 << 20;

/// How a script's first line asks for the interpreter that it is installed for; `#!pythonw`
/// begins with it too, and asks for the same on Unix.
const WANTED: &[u8; 8] = b"#!python";

/// The wrapper for an entry point.
pub(super) fn wrapper(script: &ConsoleScript, target: &InstallTarget) -> String {
    let ConsoleScript {
        module, function, ..
    } = script;
    let import = function.split('.').next().unwrap_or(function);
    let prefix = &target.prefix;
    format!(
        "#!/{prefix}/bin/python\nimport sys\n\nfrom {module} import {import}\n\n\
         if __name__ == \"__main__\":\n    sys.exit({function}())\n"
    )
}

/// pip's own script is there under the names `pip`, `pip3` and `pip3.13`, whatever the version
/// that its wheel was built with; pip installs itself so.
pub(super) fn version_pip(scripts: &mut Vec<ConsoleScript>, python: &str) {
    let Some(pip) = scripts.iter().find(|script| script.name == "pip").cloned() else {
        return;
    };
    scripts.retain(|script| !is_versioned_pip(&script.name));
    let major = python.split('.').next().unwrap_or(python);
    for version in ["", major, python] {
        scripts.push(ConsoleScript {
            name: format!("pip{version}"),
            ..pip.clone()
        });
    }
}

fn is_versioned_pip(name: &str) -> bool {
    name.strip_prefix("pip").is_some_and(|version| {
        version.is_empty()
            || version
                .splitn(2, '.')
                .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// Whether the member's first line is to be replaced.
pub(super) fn wants_interpreter(
    archive: &ZipArchive,
    member: &ZipMember,
) -> Result<bool, WheelLayerError> {
    let mut start = Vec::with_capacity(WANTED.len());
    archive
        .contents(member)
        .take(WANTED.len() as u64)
        .read_to_end(&mut start)
        .map_err(|_| archive.member_error(member, MemberFault::Contents))?;
    Ok(start == WANTED)
}

/// The member with the first line that starts the target's interpreter; arguments are dropped,
/// as pip does.
pub(super) fn rewritten(
    archive: &ZipArchive,
    member: &ZipMember,
    target: &InstallTarget,
) -> Result<Vec<u8>, WheelLayerError> {
    let whole = archive.read(member, MAX_SCRIPT_BYTES)?;
    let rest = whole
        .iter()
        .position(|&byte| byte == b'\n')
        .map_or(whole.len(), |at| at + 1);
    let mut script = Vec::with_capacity(whole.len() + target.prefix.len());
    // Writing to a vector cannot fail.
    let _ = writeln!(script, "#!/{}/bin/python", target.prefix);
    script.extend_from_slice(&whole[rest..]);
    Ok(script)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script(name: &str, function: &str) -> ConsoleScript {
        ConsoleScript {
            name: name.to_owned(),
            module: "m.n".to_owned(),
            function: function.to_owned(),
        }
    }

    fn target() -> InstallTarget {
        InstallTarget {
            prefix: "opt/app-root".to_owned(),
            python: "3.13".to_owned(),
            uid: 1001,
            gid: 0,
            mtime: 0,
            bytecode: None,
        }
    }

    #[test]
    fn a_wrapper_imports_the_outermost_name() {
        assert_eq!(
            wrapper(&script("x", "Main.run"), &target()),
            "#!/opt/app-root/bin/python\nimport sys\n\nfrom m.n import Main\n\n\
             if __name__ == \"__main__\":\n    sys.exit(Main.run())\n"
        );
    }

    #[test]
    fn pip_gets_the_names_of_this_python() {
        let mut scripts = ["pip", "pip3", "pip3.9", "pipx", "pip-compile"]
            .map(|it| script(it, "f"))
            .to_vec();
        version_pip(&mut scripts, "3.13");
        let names: Vec<_> = scripts.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(names, ["pipx", "pip-compile", "pip", "pip3", "pip3.13"]);
        let mut others = vec![script("pip3", "f")];
        version_pip(&mut others, "3.13");
        assert_eq!(others.len(), 1);
    }
}
