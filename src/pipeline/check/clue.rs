//! What the last lines of a server's log say about its end, and what may be done about that. It decides nothing: that the
//! image failed is known already, and people are shown the lines themselves.

use std::collections::BTreeMap;

/// What a log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum LogClue {
    MissingModule {
        module: String,
    },
    /// The module is there, and has no such application.
    WrongCallable {
        module: String,
        name: String,
    },
    MissingLibrary {
        file: String,
    },
    /// Something was written to where nothing may be.
    ReadOnly,
    /// A variable is asked for that is not set.
    MissingVariable {
        name: String,
    },
    Denied,
    AddressInUse,
}

/// Those of an image's variables that advice depends on.
pub(super) fn variables(environment: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables = environment.clone();
    variables.retain(|name, _| matches!(name.as_str(), "APP_MODULE" | "DISABLE_MIGRATE"));
    variables
}

impl LogClue {
    /// The last line that says something known, and what it says.
    pub(super) fn of(lines: &[String]) -> Option<(&str, Self)> {
        let mut lines = lines.iter().rev();
        lines.find_map(|line| Some((line.as_str(), of_line(line)?)))
    }

    pub(super) fn next(&self, environment: &BTreeMap<String, String>) -> String {
        let application = environment.get("APP_MODULE").map(String::as_str);
        match self {
            Self::MissingModule { module } => missing_module(module, application),
            Self::WrongCallable { module, name } => format!(
                "name the application as the code does: APP_MODULE=MODULE:NAME in .s2i/environment, where `{module}` has no `{name}`"
            ),
            Self::MissingLibrary { file } => format!(
                "write the Debian package that has {file} into Aptfile (packages.debian.org searches contents of packages)"
            ),
            Self::ReadOnly => read_only(environment),
            Self::MissingVariable { name } => format!(
                "give {name} a value for the check, `s2r check IMAGE -e {name}=…`, or a default in the code or in .s2i/environment"
            ),
            Self::Denied => "an image is started as any user with group 0: let the group read, write and start what the user may"
                .to_owned(),
            Self::AddressInUse => "two of its processes want the same port: give one of them another".to_owned(),
        }
    }
}

/// Django opens its database to migrate it, and its development server once more to see whether that was done.
fn read_only(environment: &BTreeMap<String, String>) -> String {
    let write = "have it write below /tmp, or keep what it writes in a service or a volume: a pod's root may be read-only";
    if environment
        .get("DISABLE_MIGRATE")
        .is_some_and(|value| !value.is_empty())
    {
        format!(
            "{write}. `manage.py runserver` opens a Django project's database even with DISABLE_MIGRATE: serve it with \
             gunicorn (`server: gunicorn` in s2r.yaml), or let DATABASES name a place below /tmp"
        )
    } else {
        format!(
            "{write}. A Django project's SQLite database is migrated at each start; DISABLE_MIGRATE=1 leaves that out, \
             for a server other than `manage.py runserver`"
        )
    }
}

/// A module that `APP_MODULE` names is missed for another reason than one of a package.
fn missing_module(module: &str, application: Option<&str>) -> String {
    let is_application = application
        .and_then(|named| named.split([':', '.']).next())
        .is_some_and(|top| module.split('.').next() == Some(top));
    if is_application {
        format!(
            "APP_MODULE says `{}`: write the module as it lies below the source, or below APP_HOME",
            application.unwrap_or_default()
        )
    } else {
        format!(
            "if `{module}` comes from a package, add that to the requirements; if it is the project's own, see that it lies below the source (APP_HOME, .s2iignore)"
        )
    }
}

fn of_line(line: &str) -> Option<LogClue> {
    let between = |before: &str, after: &str| {
        let (_, rest) = line.split_once(before)?;
        let (found, _) = rest.split_once(after)?;
        (!found.is_empty()).then(|| found.to_owned())
    };
    // Python's own words; gunicorn's; uvicorn's.
    if let Some(module) =
        between("No module named '", "'").or_else(|| between("Could not import module \"", "\""))
    {
        return Some(LogClue::MissingModule { module });
    }
    if let (Some(name), Some(module)) = (
        between("Failed to find attribute '", "'"),
        between("' in '", "'"),
    ) {
        return Some(LogClue::WrongCallable { module, name });
    }
    if let (Some(name), Some(module)) = (
        between("Attribute \"", "\" not found"),
        between("not found in module \"", "\""),
    ) {
        return Some(LogClue::WrongCallable { module, name });
    }
    if let Some((before, _)) = line.split_once(": cannot open shared object file") {
        let file = before
            .rsplit([' ', ':'])
            .next()
            .filter(|file| !file.is_empty())?;
        return Some(LogClue::MissingLibrary {
            file: file.to_owned(),
        });
    }
    if [
        "[Errno 30]",
        "Read-only file system",
        "attempt to write a readonly database",
        "unable to open database file",
    ]
    .iter()
    .any(|words| line.contains(words))
    {
        return Some(LogClue::ReadOnly);
    }
    if let Some(name) = line
        .strip_prefix("KeyError: '")
        .and_then(|rest| rest.strip_suffix('\''))
    {
        let is_variable =
            |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
        return (!name.is_empty() && name.bytes().all(is_variable)).then(|| {
            LogClue::MissingVariable {
                name: name.to_owned(),
            }
        });
    }
    if line.contains("[Errno 13]") {
        return Some(LogClue::Denied);
    }
    line.contains("[Errno 98]").then_some(LogClue::AddressInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<LogClue> {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        LogClue::of(&lines).map(|(_, clue)| clue)
    }

    #[test]
    fn logs_say_what_is_missing() {
        let callable = |module: &str, name: &str| LogClue::WrongCallable {
            module: module.to_owned(),
            name: name.to_owned(),
        };
        let module = |module: &str| LogClue::MissingModule {
            module: module.to_owned(),
        };
        for (line, clue) in [
            (
                "ModuleNotFoundError: No module named 'requests.auth'",
                module("requests.auth"),
            ),
            (
                "ERROR:    Error loading ASGI app. Could not import module \"shop\".",
                module("shop"),
            ),
            (
                "Failed to find attribute 'app' in 'hello'.",
                callable("hello", "app"),
            ),
            (
                "ERROR:    Error loading ASGI app. Attribute \"app\" not found in module \"shop.main\".",
                callable("shop.main", "app"),
            ),
            (
                "ImportError: libpq.so.5: cannot open shared object file: No such file or directory",
                LogClue::MissingLibrary {
                    file: "libpq.so.5".to_owned(),
                },
            ),
            (
                "OSError: [Errno 30] Read-only file system: '/opt/app-root/src/x'",
                LogClue::ReadOnly,
            ),
            (
                "django.db.utils.OperationalError: attempt to write a readonly database",
                LogClue::ReadOnly,
            ),
            (
                "KeyError: 'DATABASE_URL'",
                LogClue::MissingVariable {
                    name: "DATABASE_URL".to_owned(),
                },
            ),
            (
                "PermissionError: [Errno 13] Permission denied: '/x'",
                LogClue::Denied,
            ),
            (
                "OSError: [Errno 98] Address already in use",
                LogClue::AddressInUse,
            ),
        ] {
            let log = format!("Traceback\n{line}\nShutting down: Master\n");
            assert_eq!(of(&log), Some(clue), "{line}");
        }
        for line in [
            "KeyError: 'name'",
            "KeyError: ''",
            "Booting worker",
            "",
            ": cannot open shared object file",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn the_last_line_counts() {
        let clue = of("ModuleNotFoundError: No module named 'ujson'\nKeyError: 'SECRET'\n");
        assert!(matches!(clue, Some(LogClue::MissingVariable { .. })));
    }

    #[test]
    fn what_is_set_already_is_not_advised() {
        let next = |value: &str| {
            let environment = [("DISABLE_MIGRATE".to_owned(), value.to_owned())];
            LogClue::ReadOnly.next(&environment.into())
        };
        assert!(next("").contains("DISABLE_MIGRATE=1"));
        let set = next("1");
        assert!(
            !set.contains("DISABLE_MIGRATE=1") && set.contains("server: gunicorn"),
            "{set}"
        );
    }

    #[test]
    fn a_module_that_app_module_names_is_not_missed_among_the_requirements() {
        let next = |module: &str| {
            let module = module.to_owned();
            let environment = [("APP_MODULE".to_owned(), "shop.wsgi:app".to_owned())];
            LogClue::MissingModule { module }.next(&environment.into())
        };
        assert!(next("shop").starts_with("APP_MODULE says `shop.wsgi:app`"));
        assert!(next("requests").contains("requirements"));
    }
}
