//! Whether s2r stands in the builder's image itself: there, and only there, a step may run without
//! isolation (`--isolation none`), because what it would find in the sandbox is here already.
//!
//! Told by os-release(5) and by asking the interpreter. What else is in that image is not looked at: a
//! step that misses something says so.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::host::{self, ProcessLimits};
use crate::plan::builder::{BaseDefinition, BuilderDefinition};

/// What systems say of themselves.
const OS_RELEASE: &str = "/etc/os-release";
/// Asks Python for its version, two numbers.
const QUESTION: &str = "import sys; print('%d.%d' % sys.version_info[:2])";

/// Why s2r does not stand in the builder's image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotInImage {
    /// The builder is an image of a registry, which nothing here tells apart.
    #[error("the builder stands on the image {image}, and nothing tells whether s2r stands in it")]
    Image { image: String },
    /// The system is another one.
    #[error("{OS_RELEASE} here says {found}, and the builder is of Debian {wanted}")]
    System {
        wanted: String,
        /// Of this machine, or that it says nothing.
        found: String,
    },
    /// There is no such Python.
    #[error("{program} here: {complaint}")]
    Python {
        /// The interpreter that steps use.
        program: String,
        /// What came of starting it.
        complaint: String,
    },
}

/// Looks whether s2r stands in the image of a builder.
///
/// # Errors
/// Why not.
pub(crate) fn find(builder: &BuilderDefinition) -> Result<(), NotInImage> {
    let debian = match &builder.base {
        BaseDefinition::Debian(debian) => debian,
        BaseDefinition::Image(image) => {
            return Err(NotInImage::Image {
                image: image.clone(),
            });
        }
    };
    let text = std::fs::read_to_string(OS_RELEASE).unwrap_or_default();
    is_of(&text, &debian.suite)?;
    has_python(&builder.interpreter, &builder.python)
}

/// Whether an os-release is of a Debian suite.
fn is_of(text: &str, suite: &str) -> Result<(), NotInImage> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .map(|value| value.trim_matches(['"', '\'']))
    };
    let found = (field("ID"), field("VERSION_CODENAME"));
    if found == (Some("debian"), Some(suite)) {
        return Ok(());
    }
    Err(NotInImage::System {
        wanted: suite.to_owned(),
        found: match found {
            (Some(id), codename) => format!("{id} {}", codename.unwrap_or_default())
                .trim_end()
                .to_owned(),
            (None, _) => "nothing".to_owned(),
        },
    })
}

/// Whether an interpreter is there and of this version.
fn has_python(program: &str, version: &str) -> Result<(), NotInImage> {
    let absent = |complaint: String| NotInImage::Python {
        program: program.to_owned(),
        complaint,
    };
    let bounds = ProcessLimits {
        time: Duration::from_secs(30),
        output_bytes: 4096,
        error_bytes: 0,
    };
    let mut command = Command::new(Path::new(program));
    command.args(["-I", "-S", "-c", QUESTION]).env_clear();
    let said = host::run(&mut command, bounds).map_err(|error| absent(error.to_string()))?;
    let found = String::from_utf8_lossy(&said.output);
    if found.trim() == version {
        Ok(())
    } else {
        Err(absent(format!(
            "it is no Python {version} ({})",
            said.status
        )))
    }
}

#[cfg(test)]
mod tests {
    use crate::context::unisolated::*;

    #[test]
    fn systems_are_told_apart() {
        let debian =
            "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_CODENAME=trixie\nID=debian\n";
        assert_eq!(is_of(debian, "trixie"), Ok(()));
        let found = |text: &str, suite: &str| match is_of(text, suite) {
            Err(NotInImage::System { found, .. }) => found,
            other => panic!("{other:?}"),
        };
        assert_eq!(found(debian, "bookworm"), "debian trixie");
        assert_eq!(found("ID=\"rhel\"\n", "trixie"), "rhel");
        assert_eq!(
            found("ID=ubuntu\nVERSION_CODENAME=trixie\n", "trixie"),
            "ubuntu trixie"
        );
        assert_eq!(found("", "trixie"), "nothing");
    }

    #[test]
    fn another_python_is_none() {
        for program in ["/no/such/python", "/bin/true"] {
            let error = has_python(program, "3.13").unwrap_err();
            assert!(error.to_string().starts_with(program), "{error}");
        }
    }
}
