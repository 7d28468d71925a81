//! Which sources get byte code.

use serde::Serialize;

use super::builder::{BaseDefinition, BuilderDefinition};
use super::{Decided, ValueOrigin};

/// The sources that are compiled when an image is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BytecodeScope {
    /// Python's standard library, dependencies and the application.
    All,
    App,
    /// The standard library's and dependencies'. A build after an edit needs no interpreter then.
    Dependencies,
    /// None: Python compiles at each start of a container.
    None,
}

impl BytecodeScope {
    /// Whether dependencies are compiled, and the standard library with them.
    pub(crate) fn compiles_dependencies(self) -> bool {
        matches!(self, Self::All | Self::Dependencies)
    }

    /// Whether the application is compiled.
    pub(crate) fn compiles_application(self) -> bool {
        matches!(self, Self::All | Self::App)
    }
}

impl std::fmt::Display for BytecodeScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::All => "all",
            Self::App => "app",
            Self::Dependencies => "dependencies",
            Self::None => "none",
        })
    }
}

/// Decides. Upon an image nothing is compiled unless it is asked for: the image has its own ways, and
/// its interpreter is in layers that need not be here.
pub(super) fn decide(
    asked: Option<BytecodeScope>,
    definition: &BuilderDefinition,
) -> Decided<BytecodeScope> {
    match (asked, &definition.base) {
        (Some(asked), _) => Decided::new(asked, ValueOrigin::Flag { flag: "--bytecode" }, ""),
        (None, BaseDefinition::Debian(_)) => Decided::new(
            BytecodeScope::All,
            ValueOrigin::Default,
            "containers start without compiling",
        ),
        (None, BaseDefinition::Image(_)) => Decided::new(
            BytecodeScope::None,
            ValueOrigin::Default,
            "the base is an image",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_beats_the_default() {
        let mut builder = super::super::builder::embedded()[0].definition().unwrap();
        assert_eq!(decide(None, &builder).value, BytecodeScope::All);
        builder.base = BaseDefinition::Image("a/b:1".to_owned());
        assert_eq!(decide(None, &builder).value, BytecodeScope::None);
        let asked = decide(Some(BytecodeScope::App), &builder);
        assert_eq!(
            (asked.value, asked.origin.to_string()),
            (BytecodeScope::App, "--bytecode".to_owned())
        );
    }
}
