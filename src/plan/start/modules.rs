//! Where a module that gunicorn is told of lies in the source, and what a name of it is, followed
//! from one module's imports to the next.

use std::sync::Arc;

use super::start_checks::SourceView;
use super::{PlanError, PlanWarning, StartError};
use crate::packages::python::syntax::{AppFactory, ModuleSyntax, NameValue, WebFramework};
use crate::project::SourcePlace;

/// Imports that are followed for one name.
const MAX_HOPS: u32 = 8;

/// `module:callable`, as gunicorn has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AppModule<'a> {
    pub module: &'a str,
    /// The name before dots and parentheses.
    pub callable: &'a str,
    /// Whether the callable is called to get the application.
    pub is_called: bool,
}

impl<'a> AppModule<'a> {
    pub(super) fn parse(text: &'a str) -> Self {
        let (module, callable) = text.split_once(':').unwrap_or((text, "application"));
        let end = callable.find(|c: char| !c.is_alphanumeric() && c != '_');
        let name = &callable[..end.unwrap_or(callable.len())];
        Self {
            module: module.trim(),
            callable: if name.is_empty() { "application" } else { name },
            is_called: callable.contains('('),
        }
    }
}

/// Distributions whose modules are known, so that a project's own name is none of theirs.
const KNOWN: [&str; 34] = [
    "aiohttp",
    "alembic",
    "bottle",
    "celery",
    "dash",
    "django",
    "falcon",
    "fastapi",
    "flask",
    "flask-cors",
    "flask-login",
    "flask-migrate",
    "flask-sqlalchemy",
    "flask-wtf",
    "gevent",
    "greenlet",
    "gunicorn",
    "jinja2",
    "litestar",
    "mangum",
    "numpy",
    "pandas",
    "psycopg",
    "psycopg2-binary",
    "pydantic",
    "python-dotenv",
    "pyyaml",
    "redis",
    "requests",
    "sqlalchemy",
    "starlette",
    "uvicorn",
    "werkzeug",
    "whitenoise",
];

impl SourceView<'_> {
    /// What a Python file of the source says, `None` where that cannot be known.
    pub(super) fn read(&self, path: &str) -> Result<Option<Arc<ModuleSyntax>>, PlanError> {
        let Some(path) = self.path(path) else {
            return Ok(None);
        };
        Ok(self.facts.module(&path)?)
    }

    /// The file of a module, relative to `APP_HOME`. What is not in the source may come from a
    /// package. `origin` says what names the module; without one it is the contract's own choice.
    ///
    /// # Errors
    /// Nothing can bring it.
    pub(super) fn find(
        &self,
        named: &AppModule<'_>,
        origin: Option<&str>,
        advice: &mut Vec<PlanWarning>,
    ) -> Result<Option<String>, PlanError> {
        if let Some(path) = self.file_of(named.module) {
            return Ok(Some(path));
        }
        // The name of a setup.py is the contract's; what the project installs shows when it is built.
        let Some(origin) = origin.filter(|_| !self.installs) else {
            return Ok(None);
        };
        let first = named.module.split('.').next().unwrap_or(named.module);
        let is_own =
            self.is_file(&format!("{first}.py")) || self.is_file(&format!("{first}/__init__.py"));
        if self.may_be_elsewhere() && !is_own {
            advice.push(PlanWarning::new(
                format!(
                    "{origin}: there is no module {} in the source; the container ends at once if no package brings it",
                    named.module
                ),
                "correct it, or set APP_HOME to the folder that the module lies in",
            ));
            return Ok(None);
        }
        // Compiled modules are no text to read.
        let folder = self.path(&named.module.replace('.', "/"));
        if is_own && folder.is_some_and(|path| self.facts.has_beginning(&format!("{path}."))) {
            return Ok(None);
        }
        Err(StartError::NoModule {
            origin: origin.to_owned(),
            module: named.module.to_owned(),
            elsewhere: self.elsewhere(named.module),
        }
        .into())
    }

    /// A module's file relative to `APP_HOME`.
    pub(super) fn file_of(&self, module: &str) -> Option<String> {
        let path = module.replace('.', "/");
        let files = [format!("{path}.py"), format!("{path}/__init__.py")];
        let below_src = [format!("src/{path}.py"), format!("src/{path}/__init__.py")];
        let below_src = below_src.into_iter().filter(|_| self.installs);
        // Python takes a package before a module of the same name.
        let [file, package] = files;
        [package, file]
            .into_iter()
            .chain(below_src)
            .find(|path| self.is_file(path))
    }

    /// Whether modules may be there that no file of the source shows.
    fn may_be_elsewhere(&self) -> bool {
        self.variables.is_on("PYTHONPATH")
            || self
                .names
                .iter()
                .any(|asked| !KNOWN.contains(&asked.name.as_str()))
    }

    /// The same module below another folder, as the value of `APP_HOME` that reaches it.
    fn elsewhere(&self, module: &str) -> Option<String> {
        let path = module.replace('.', "/");
        let folders = self.facts.folders();
        folders.into_iter().find(|folder| {
            self.facts.has(&format!("{folder}/{path}.py"))
                || self.facts.has(&format!("{folder}/{path}/__init__.py"))
        })
    }

    /// The framework of a name, followed through imports, and where it is made.
    pub(super) fn framework_of(
        &self,
        path: &str,
        module: &ModuleSyntax,
        name: &str,
    ) -> Result<Option<(WebFramework, SourcePlace)>, PlanError> {
        let (mut path, mut name) = (path.to_owned(), name.to_owned());
        let mut owned;
        let mut module = module;
        for _ in 0..MAX_HOPS {
            let Some(bound) = module.names.get(&name) else {
                return Ok(None);
            };
            let (from, wanted) = match &bound.value {
                NameValue::Application(framework)
                | NameValue::Factory(AppFactory {
                    framework: Some(framework),
                    ..
                }) => {
                    return Ok(Some((*framework, SourcePlace::line(&path, bound.line))));
                }
                NameValue::CallOf(function) => {
                    // `app = create_app()`, itself imported or made here.
                    if *function == name || function.contains('.') {
                        return Ok(None);
                    }
                    name.clone_from(function);
                    continue;
                }
                NameValue::Import {
                    module: from,
                    name: Some(wanted),
                } => (from.clone(), wanted.clone()),
                _ => return Ok(None),
            };
            let Some(from) = absolute(&path, &from) else {
                return Ok(None);
            };
            // `from shop import app` may mean the module shop/app.py, which is no application.
            let Some(next) = self.file_of(&from) else {
                return Ok(None);
            };
            let Some(read) = self.read(&next)? else {
                return Ok(None);
            };
            owned = read;
            module = &owned;
            (path, name) = (next, wanted);
        }
        Ok(None)
    }
}

/// A module as it is named from the root, from how a file names it.
pub(super) fn absolute(path: &str, module: &str) -> Option<String> {
    let rest = module.trim_start_matches('.');
    let dots = module.len() - rest.len();
    if dots == 0 {
        return Some(rest.to_owned());
    }
    let mut parts: Vec<&str> = path.strip_suffix(".py")?.split('/').collect();
    for _ in 0..dots {
        parts.pop()?;
    }
    let mut name = parts.join(".");
    if !rest.is_empty() {
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(rest);
    }
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_read_as_gunicorn_reads_them() {
        for (text, module, callable, is_called) in [
            ("wsgi", "wsgi", "application", false),
            ("a.b:app", "a.b", "app", false),
            ("a:create_app('x')", "a", "create_app", true),
            ("a:app.server", "a", "app", false),
            ("a:", "a", "application", false),
        ] {
            let expected = AppModule {
                module,
                callable,
                is_called,
            };
            assert_eq!(AppModule::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn relative_imports_count_from_their_file() {
        for (path, module, expected) in [
            ("wsgi.py", "shop", Some("shop")),
            ("shop/__init__.py", ".app", Some("shop.app")),
            ("shop/wsgi.py", ".", Some("shop")),
            ("shop/wsgi.py", "..x", Some("x")),
            ("wsgi.py", "..x", None),
        ] {
            assert_eq!(
                absolute(path, module).as_deref(),
                expected,
                "{path} {module}"
            );
        }
    }
}
