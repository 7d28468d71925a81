//! Why no plan can be made.

use super::start::StartError;
use crate::packages::python::locks::LockFileError;
use crate::project::ProjectError;
use crate::project::SourcePlace;
use crate::report::{ErrorClass, Explain, Explanation};
use crate::source::environment::EnvironmentError;

/// Why no plan can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    /// A fact could not be read.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A file of another tool cannot be taken.
    #[error(transparent)]
    LockFile(#[from] LockFileError),
    /// A switch asks for files that are not there.
    #[error("{variable} is set and there is no {files}")]
    NoLock {
        variable: &'static str,
        files: &'static str,
    },
    /// An argument of `-e` is wrong.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("there is no builder {name}")]
    NoBuilder {
        /// What was asked for.
        name: String,
        /// The line of the project that asks for it; none for a flag.
        place: Option<SourcePlace>,
        /// The builders there are.
        known: Vec<&'static str>,
    },
    /// No builder has the version of Python that the project wishes for.
    #[error("no builder has the Python that the project asks for")]
    NoPython {
        /// The wishes: text and place.
        wishes: Vec<(String, SourcePlace)>,
        /// Builders and their versions.
        known: Vec<(&'static str, &'static str)>,
    },
    /// The builder is not made for a platform.
    #[error("builder {builder} is not made for {platform}")]
    Platform {
        builder: String,
        /// What was asked for.
        platform: String,
        known: Vec<String>,
    },
    /// This machine's kind is none that s2r builds for.
    #[error("s2r does not build for this kind of machine")]
    NoPlatform,
    /// Dependencies that only locks under names of their own say.
    #[error("dependencies in {} are not read", files.join(", "))]
    Dependencies { files: Vec<String> },
    /// Two switches that exclude each other.
    #[error("{first} and {second} exclude each other")]
    Conflict {
        first: &'static str,
        second: &'static str,
    },
    /// What says whether pip goes in says something else.
    #[error("{variable} is `{value}`, and it can only be `none`")]
    Pip {
        variable: &'static str,
        value: String,
    },
    /// A variable names a file that is not there.
    #[error("{variable} names {path}, which does not exist")]
    NamedFile {
        variable: &'static str,
        path: String,
    },
    /// A script that is started lacks its exec bit.
    #[error("{path} is not executable")]
    NotExecutable { path: String },
    /// `S2R_PACKAGE` is set, and there is no lock of a workspace.
    #[error("S2R_PACKAGE names a member of a workspace, and there is no uv.lock")]
    NoWorkspace,
    #[error("S2R_SYSTEM_PACKAGES takes no names")]
    SystemPackages,
    /// Commands of `build`, and an assemble script in whose place they would not run.
    #[error("the project has commands in `build`, and an assemble script of its own")]
    BuildBesideAssemble { place: SourcePlace },
    /// What is started would not stay.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nothing in the project can be started.
    #[error("nothing here can be started")]
    NoStart {
        /// Whether there is any sign of a Python project.
        is_python: bool,
        /// What could serve, and the line that lets it.
        found: Vec<(String, String)>,
        /// Ways to start, and what each of them lacks.
        lacking: Vec<(String, String)>,
    },
}

impl Explain for PlanError {
    #[expect(clippy::too_many_lines, reason = "one place explains every error")]
    fn explain(&self) -> Explanation {
        let (class, place, why, next) = match self {
            Self::Project(error) => return error.explain(),
            Self::Environment(error) => return error.explain(),
            Self::LockFile(error) => return error.explain(),
            Self::Start(error) => return error.explain(),
            Self::NoLock { variable, files } => (
                ErrorClass::Project,
                (*files).to_owned(),
                "the tool that the variable stands for installs nothing without it".to_owned(),
                format!("commit the file (`pipenv lock` writes Pipfile.lock), or unset {variable}"),
            ),
            Self::NoBuilder { name, place, known } => (
                match place {
                    Some(_) => ErrorClass::Project,
                    None => ErrorClass::CommandLine,
                },
                match place {
                    Some(place) => place.to_string(),
                    None => format!("--builder {name}"),
                },
                format!("the builders are {}", known.join(", ")),
                "`s2r builders` describes them; --builder FILE.yaml uses one of your own".to_owned(),
            ),
            Self::NoPython { wishes, known } => (
                ErrorClass::Project,
                wishes
                    .iter()
                    .map(|(_, place)| place.to_string())
                    .collect::<Vec<_>>()
                    .join(", "),
                no_python(wishes, known),
                "ask for another version, or name an image that has that Python: --builder python:3.8-slim"
                    .to_owned(),
            ),
            Self::Platform {
                platform, known, ..
            } => (
                ErrorClass::CommandLine,
                format!("--platform {platform}"),
                format!("it is made for {}", known.join(", ")),
                "leave --platform out, or choose another builder".to_owned(),
            ),
            Self::NoPlatform => (
                ErrorClass::CommandLine,
                "--platform".to_owned(),
                "images are made for the machine they are built on unless told otherwise".to_owned(),
                "say what the image runs on: --platform linux/amd64".to_owned(),
            ),
            Self::Dependencies { files } => (
                ErrorClass::Project,
                files.join(", "),
                "a lock with a name of its own is taken only under the name pylock.toml, and nothing else here names packages"
                    .to_owned(),
                "rename it to pylock.toml, or write one with `s2r lock`"
                    .to_owned(),
            ),
            Self::Conflict { first, second } => (
                ErrorClass::Project,
                format!("{first}, {second}"),
                "each of them says how all dependencies are installed".to_owned(),
                "set one of them".to_owned(),
            ),
            Self::Pip { variable, .. } => (
                ErrorClass::Project,
                (*variable).to_owned(),
                "the builder says which pip goes into the image; the variable leaves it out".to_owned(),
                format!(
                    "write {variable}=none, or unset it; another pip goes among the requirements (`pip==25.3`) or into a builder file"
                ),
            ),
            Self::NamedFile { variable, .. } => (
                ErrorClass::Project,
                (*variable).to_owned(),
                "the container would stop at once".to_owned(),
                "correct the variable; the path is relative to APP_HOME, which is the source's root unless set"
                    .to_owned(),
            ),
            Self::NotExecutable { path } => (
                ErrorClass::Project,
                path.clone(),
                "it is started as a program, so the container would stop at once".to_owned(),
                format!("run `chmod +x {path}`, and in a git repository `git update-index --chmod=+x {path}`"),
            ),
            Self::NoWorkspace => (
                ErrorClass::Project,
                "S2R_PACKAGE".to_owned(),
                "which packages a member needs is read from the lock of its workspace".to_owned(),
                "build the workspace's root, and run `uv lock` there".to_owned(),
            ),
            Self::BuildBesideAssemble { place } => (
                ErrorClass::Project,
                place.to_string(),
                format!("{} replaces all steps of a build, so that these commands would not run", super::running::ASSEMBLE),
                "run the commands in that script and delete `build`, or list the script in .s2iignore".to_owned(),
            ),
            Self::SystemPackages => (
                ErrorClass::Project,
                "S2R_SYSTEM_PACKAGES".to_owned(),
                "set and empty, it leaves out the Debian packages that distributions need; unset, they go in"
                    .to_owned(),
                "write the names into Aptfile, one a line".to_owned(),
            ),
            Self::NoStart {
                is_python,
                found,
                lacking,
            } => no_start(*is_python, found, lacking),
        };
        Explanation {
            class,
            what: self.to_string(),
            place,
            why,
            next,
        }
    }
}

fn no_python(wishes: &[(String, SourcePlace)], known: &[(&str, &str)]) -> String {
    let wishes: Vec<String> = wishes
        .iter()
        .map(|(text, place)| format!("{place} asks for {text}"))
        .collect();
    let known: Vec<String> = known
        .iter()
        .map(|(name, python)| format!("{name} (Python {python})"))
        .collect();
    format!(
        "{}; the builders are {}",
        wishes.join(", "),
        known.join(", ")
    )
}

fn no_start(
    is_python: bool,
    found: &[(String, String)],
    lacking: &[(String, String)],
) -> (ErrorClass, String, String, String) {
    let why = if is_python {
        let found = found.iter().map(|(what, _)| format!("found: {what}"));
        let lacking = lacking.iter().map(|(way, lack)| format!("{way}: {lack}"));
        found.chain(lacking).collect::<Vec<_>>().join("\n")
    } else {
        "none of the files of a Python project are here: requirements.txt, pyproject.toml, wsgi.py, app.py, app.sh, manage.py"
            .to_owned()
    };
    let next = if let Some((what, line)) = found.first() {
        &format!("for {what}: {line}")
    } else if is_python {
        "name the application with `-e APP_MODULE=module:callable` and gunicorn in requirements.txt, or add wsgi.py, app.py or app.sh"
    } else {
        "check the path; --context-dir names a folder within the source"
    };
    (
        ErrorClass::Project,
        "the source's root".to_owned(),
        why,
        next.to_owned(),
    )
}

#[cfg(test)]
crate::report::samples! {
    enum PlanError {
        Project(ProjectError::NotText { place: SourcePlace::file("Procfile") }),
        LockFile(LockFileError::Alone { path: "Pipfile.lock", of: "Pipfile" }),
        NoLock { variable: "ENABLE_PIPENV", files: "Pipfile.lock" },
        Environment(EnvironmentError::Argument { name: "DEBUG".into() }),
        NoBuilder { name: "python-2.7".into(), place: None, known: vec!["python-3.13", "python-3.11"] },
        NoBuilder {
            name: "python-2.7".into(),
            place: Some(SourcePlace::line("s2r.yaml", 1)),
            known: vec!["python-3.13", "python-3.11"],
        },
        NoPython {
            wishes: vec![("3.8".into(), SourcePlace::line(".python-version", 1))],
            known: vec![("python-3.13", "3.13"), ("python-3.11", "3.11")],
        },
        Platform { builder: "mine".into(), platform: "linux/arm64".into(), known: vec!["linux/amd64".into()] },
        NoPlatform,
        Dependencies { files: vec!["pylock.dev.toml".into()] },
        Conflict { first: "ENABLE_PIPENV", second: "ENABLE_MICROPIPENV" },
        Pip { variable: "S2R_PIP", value: "25.3".into() },
        NamedFile { variable: "APP_SCRIPT", path: "start.sh".into() },
        NotExecutable { path: "start.sh".into() },
        NoWorkspace,
        SystemPackages,
        BuildBesideAssemble { place: SourcePlace::line("s2r.yaml", 3) },
        Start(StartError::UnknownServer { name: "apache".into() }),
        NoStart { is_python: false, found: vec![], lacking: vec![] },
        NoStart { is_python: true, found: vec![], lacking: vec![("gunicorn".into(), "it is not among the dependencies".into())] },
        NoStart {
            is_python: true,
            found: vec![("main.py".into(), "add the line `web: python main.py` to a Procfile".into())],
            lacking: vec![],
        },
    }
}
