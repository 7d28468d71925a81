//! `entry_points.txt`: the scripts that a distribution asks for.
//!
//! Format: "Entry points" of the Python packaging specifications, read as `importlib.metadata`
//! does (lines, `#` comments, no continuation), because that is what pip goes by.

/// A script to make: `name = module:function`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ConsoleScript {
    /// File name below `bin`.
    pub name: String,
    /// Module to import, dotted.
    pub module: String,
    /// What to call in it, dotted.
    pub function: String,
}

/// What is wrong with an entry point of a script group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryPointError {
    /// The file is not UTF-8.
    #[error("not UTF-8")]
    NotUnicode,
    /// The name cannot be a file's.
    #[error("`{name}` cannot be the name of a script")]
    Name { name: String },
    /// The value is not `module:function`.
    #[error("`{name} = {value}` names nothing that can be called")]
    Value { name: String, value: String },
}

/// The scripts of `console_scripts` and `gui_scripts`, sorted by name; where a name is there
/// twice the last counts, and the console group before the other. On Unix they are the same.
pub(crate) fn scripts(bytes: &[u8]) -> Result<Vec<ConsoleScript>, EntryPointError> {
    let text = std::str::from_utf8(bytes).map_err(|_| EntryPointError::NotUnicode)?;
    let mut found = std::collections::BTreeMap::new();
    let mut group = "";
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            group = name.trim();
            continue;
        }
        let console = match group {
            "console_scripts" => true,
            "gui_scripts" => false,
            _ => continue,
        };
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let script = script(name.trim(), value.trim())?;
        let (from_console, held) = found
            .entry(script.name.clone())
            .or_insert_with(|| (console, script.clone()));
        if console || !*from_console {
            (*from_console, *held) = (console, script);
        }
    }
    Ok(found.into_values().map(|(_, script)| script).collect())
}

fn script(name: &str, value: &str) -> Result<ConsoleScript, EntryPointError> {
    if matches!(name, "" | "." | "..")
        || name.len() > 255
        || name.starts_with(".wh.")
        || name
            .chars()
            .any(|it| it == '/' || it == '\\' || it.is_control())
    {
        return Err(EntryPointError::Name {
            name: name.to_owned(),
        });
    }
    // Extras after the function are obsolete and without effect on the script.
    let object = value.split_once('[').map_or(value, |(object, _)| object);
    object
        .split_once(':')
        .map(|(module, function)| (module.trim(), function.trim()))
        .filter(|(module, function)| is_dotted(module) && is_dotted(function))
        .map(|(module, function)| ConsoleScript {
            name: name.to_owned(),
            module: module.to_owned(),
            function: function.to_owned(),
        })
        .ok_or_else(|| EntryPointError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
        })
}

/// Identifiers with dots between them; they go into Python text as they are.
fn is_dotted(text: &str) -> bool {
    text.split('.').all(|part| {
        !part.is_empty()
            && !part.starts_with(|it: char| it.is_ascii_digit())
            && part.chars().all(|it| it == '_' || it.is_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn script_of(name: &str, module: &str, function: &str) -> ConsoleScript {
        ConsoleScript {
            name: name.to_owned(),
            module: module.to_owned(),
            function: function.to_owned(),
        }
    }

    #[test]
    fn scripts_of_both_groups_are_read() {
        let text = b"# comment\n[other]\nx = 1\n\n[console_scripts]\r\nflask=flask.cli:main\n \
            b = m : C.f [extra,more]\n[gui_scripts]\nflask = not:me\nwin = g:run\n";
        let found = scripts(text).unwrap();
        assert_eq!(
            found,
            [
                script_of("b", "m", "C.f"),
                script_of("flask", "flask.cli", "main"),
                script_of("win", "g", "run"),
            ]
        );
        assert_eq!(scripts(b"").unwrap(), []);
        assert_eq!(
            scripts(b"[gui_scripts]\na=g:f\n[console_scripts]\na=c:f").unwrap()[0].module,
            "c"
        );
    }

    #[test]
    fn what_is_no_script_is_refused() {
        for name in ["", "..", "a/b", ".wh.x", "a\\b"] {
            let text = format!("[console_scripts]\n{name} = m:f\n");
            assert!(
                matches!(scripts(text.as_bytes()), Err(EntryPointError::Name { .. })),
                "{name}"
            );
        }
        for value in [
            "",
            "m",
            "m:",
            ":f",
            "m:f()",
            "m;import os:f",
            "m f:g",
            "1m:f",
            "m.:f",
        ] {
            let text = format!("[console_scripts]\nx = {value}\n");
            assert!(
                matches!(scripts(text.as_bytes()), Err(EntryPointError::Value { .. })),
                "{value}"
            );
        }
        assert_eq!(scripts(b"\xff"), Err(EntryPointError::NotUnicode));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(\\[console_scripts\\]\n|\\[|\\]|=|:|;|#|\n| |a|ä|\\.){0,30}") {
            let _ = scripts(text.as_bytes());
        }
    }
}
