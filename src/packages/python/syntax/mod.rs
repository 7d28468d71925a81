//! What the text of a Python module says, read and never run: the names that it binds, the
//! applications and factories among them, the servers that it starts and where they listen.
//!
//! The grammar is that of Python's reference, as Ruff's parser reads it. A text is refused before it
//! is parsed if it is too long or too deep ([`bounds`]): trees are dropped recursively, so that a
//! hostile one could end the process. What is refused is unknown, and nothing is concluded from it.

mod bounds;
mod calls;
mod known;
mod names;
mod statements;

use std::collections::{BTreeMap, BTreeSet};

use ruff_python_ast::{Expr, ModModule};

pub(crate) use known::{ServerInterface, WebFramework};

/// The longest module that is read, in bytes.
pub(crate) const MAX_BYTES: u64 = 1 << 20;
/// Stack for one tree of a text within the bounds, made, read and dropped.
const STACK_BYTES: usize = 16 << 20;

/// Why nothing is known of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ParseRefusal {
    /// It has more than [`MAX_BYTES`].
    #[error("too long")]
    Long,
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotText,
    /// Its tree would be deeper than anybody writes.
    #[error("too deeply nested")]
    Deep,
    /// It is not Python as this parser knows it.
    #[error("not Python")]
    Syntax,
}

/// What a module says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ModuleSyntax {
    /// The names that its top level binds.
    pub names: BTreeMap<String, BoundName>,
    /// Whether it may have names that are not told here: `from x import *`, `globals()`.
    pub is_open: bool,
    /// The modules that it imports, wherever that stands.
    pub imports: BTreeSet<String>,
    /// Those of them that it takes all names of, dots kept.
    pub stars: Vec<String>,
    /// Variables of the environment that it sets, with their values and lines.
    pub defaults: BTreeMap<String, (String, u32)>,
    /// The calls that start a server, wherever they stand.
    pub servers: Vec<ServerCall>,
    /// What its top level does.
    pub top_level: TopLevel,
}

/// What the top level of a module does when it is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum TopLevel {
    /// There are only blanks and comments.
    Blank,
    /// It defines things and ends: nothing but imports, definitions, and calls that are known to
    /// return.
    Defines,
    /// It has an `if __name__ == "__main__":`.
    MainBlock,
    #[default]
    Acts,
}

/// A name of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BoundName {
    /// Line of the source, from 1.
    pub line: u32,
    /// What stands behind it.
    pub value: NameValue,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NameValue {
    /// An application of a known class.
    Application(WebFramework),
    /// A function that gives one.
    Factory(AppFactory),
    /// A text, as settings have them.
    Text(String),
    /// A whole number that may be a port.
    Number(u16),
    /// A name of another module; `name` is absent where it is the module itself. Dots before a
    /// relative one are kept.
    Import {
        /// For instance `.views` or `shop.wsgi`.
        module: String,
        /// For instance `app`.
        name: Option<String>,
    },
    /// What the function or class of this name gives.
    CallOf(String),
    Other,
}

/// A function that makes an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AppFactory {
    /// What it makes, where that shows.
    pub framework: Option<WebFramework>,
    /// Arguments that it cannot be called without.
    pub required: Vec<String>,
}

/// A call that starts a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerCall {
    /// Line of the source, from 1.
    pub line: u32,
    /// The function, as it is written.
    pub function: String,
    pub host: ArgumentValue<String>,
    pub port: ArgumentValue<u16>,
    /// The same call, listening on all addresses and on port 8080; absent for calls whose
    /// arguments are not all seen.
    pub corrected: Option<String>,
}

/// The value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ArgumentValue<T> {
    /// This one, written there or the function's own default.
    Is(T),
    /// That of a variable of the environment, with what counts without it.
    Variable {
        /// For instance `PORT`.
        name: String,
        /// Absent where it cannot be known.
        otherwise: Option<T>,
    },
    /// It cannot be known without running.
    Unknown,
}

impl ModuleSyntax {
    /// Reads a module's text.
    ///
    /// # Errors
    /// See [`ParseRefusal`].
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ParseRefusal> {
        if bytes.len() as u64 > MAX_BYTES {
            return Err(ParseRefusal::Long);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|_| ParseRefusal::NotText)?;
        bounds::check(text)?;
        // The tree is dropped on the stack that it was made on.
        stacker::grow(STACK_BYTES, || Self::parse(text))
    }

    fn parse(text: &str) -> Result<Self, ParseRefusal> {
        let parsed = ruff_python_parser::parse_module(text).map_err(|_| ParseRefusal::Syntax)?;
        Ok(Self::of(parsed.syntax(), text))
    }

    fn of(tree: &ModModule, text: &str) -> Self {
        let source = SourceText {
            text,
            lines: LineStarts::of(text),
        };
        let imported = names::ImportTable::of(&tree.body);
        let mut module = Self {
            is_open: imported.has_stars(),
            imports: imported.modules.clone(),
            stars: imported.stars.clone(),
            ..Self::default()
        };
        names::bind(&tree.body, &source, &imported, &mut module);
        let calls = calls::CallScan::of(&tree.body, &source, &imported, &module);
        module.is_open |= calls.is_dynamic;
        module.servers = calls.servers;
        module.defaults = calls.defaults;
        module.top_level = statements::top_level(&tree.body, &imported, &module);
        module
    }

    /// The first of these names that is an application.
    pub(crate) fn applications(&self) -> impl Iterator<Item = (&str, &BoundName, WebFramework)> {
        self.names
            .iter()
            .filter_map(|(name, bound)| match bound.value {
                NameValue::Application(framework) => Some((name.as_str(), bound, framework)),
                _ => None,
            })
    }

    /// Functions that give an application.
    pub(crate) fn factories(&self) -> impl Iterator<Item = (&str, &BoundName, &AppFactory)> {
        self.names
            .iter()
            .filter_map(|(name, bound)| match &bound.value {
                NameValue::Factory(factory) => Some((name.as_str(), bound, factory)),
                _ => None,
            })
    }

    /// Whether it imports a module or one below it.
    pub(crate) fn uses(&self, package: &str) -> bool {
        self.imports.iter().any(|module| {
            module
                .strip_prefix(package)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// A text with its lines.
struct SourceText<'a> {
    text: &'a str,
    lines: LineStarts,
}

impl SourceText<'_> {
    fn line(&self, node: &impl ruff_text_size::Ranged) -> u32 {
        self.lines.at(node.start().to_u32())
    }

    fn slice(&self, node: &impl ruff_text_size::Ranged) -> &str {
        self.text
            .get(node.range().to_std_range())
            .unwrap_or_default()
    }
}

/// Where the lines of a text begin.
struct LineStarts(Vec<u32>);

impl LineStarts {
    fn of(text: &str) -> Self {
        let breaks = text.bytes().zip(1_u32..);
        let starts = breaks.filter(|(byte, _)| *byte == b'\n').map(|(_, at)| at);
        Self(starts.collect())
    }

    /// The line, from 1, of a byte.
    fn at(&self, byte: u32) -> u32 {
        let before = self.0.partition_point(|start| *start <= byte);
        u32::try_from(before).map_or(u32::MAX, |before| before + 1)
    }
}

/// `a.b.c` as it is written.
fn dotted(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Name(name) => Some(name.id.to_string()),
        Expr::Attribute(attribute) => {
            let value = dotted(&attribute.value)?;
            Some(format!("{value}.{}", attribute.attr.as_str()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
