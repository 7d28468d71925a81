//! Which sources get byte code.

use serde::Serialize;

use super::{Decided, Origin};

/// The sources that are compiled when an image is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Bytecode {
    /// Python's standard library, dependencies and the application.
    All,
    /// The application's.
    App,
    /// None: Python compiles at each start of a container.
    None,
}

impl std::fmt::Display for Bytecode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::App => "app",
            Self::None => "none",
        })
    }
}

/// Decides.
pub(super) fn decide(asked: Option<Bytecode>) -> Decided<Bytecode> {
    match asked {
        Some(asked) => Decided::new(asked, Origin::Flag { flag: "--bytecode" }, ""),
        None => Decided::new(
            Bytecode::All,
            Origin::Default,
            "containers start without compiling",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_default() {
        assert_eq!(decide(None).value, Bytecode::All);
        let asked = decide(Some(Bytecode::App));
        assert_eq!(
            (asked.value, asked.origin.to_string()),
            (Bytecode::App, "--bytecode".to_owned())
        );
    }
}
