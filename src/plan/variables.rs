//! The environment of build and image: s2r's defaults, the builder's, then the user's.
//!
//! A setting of an installer that holds a credential serves the build and never gets into the image.
//! Values that look like secrets are not shown.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::builder::BuilderDefinition;
use super::{Decided, PlanError, PlanInputs, PlanWarning, ValueOrigin};
use crate::project::{ENVIRONMENT_FILE, SourcePlace};
use crate::source::environment;

/// The member of a workspace that is wanted.
pub(super) const MEMBER: &str = "S2R_PACKAGE";
/// What images have unless their builder says otherwise.
const DEFAULTS: [(&str, &str); 13] = [
    ("APP_ROOT", "/opt/app-root"),
    ("BASH_ENV", "/opt/app-root/bin/activate"),
    ("ENV", "/opt/app-root/bin/activate"),
    ("HOME", "/opt/app-root/src"),
    ("LANG", "en_US.UTF-8"),
    ("LC_ALL", "en_US.UTF-8"),
    (
        "PATH",
        "/opt/app-root/src/.local/bin:/opt/app-root/src/bin:/opt/app-root/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("PIP_NO_CACHE_DIR", "off"),
    ("PROMPT_COMMAND", ". /opt/app-root/bin/activate"),
    ("PYTHONIOENCODING", "UTF-8"),
    ("PYTHONUNBUFFERED", "1"),
    ("STI_SCRIPTS_PATH", "/usr/libexec/s2i"),
    ("STI_SCRIPTS_URL", "image:///usr/libexec/s2i"),
];

/// Whether s2r sets the variable itself, whatever lies beneath; the search path is joined and the
/// locale is the base's, and both are told elsewhere.
pub(super) fn is_ours(name: &str) -> bool {
    name == "VIRTUAL_ENV" || DEFAULTS.iter().any(|(ours, _)| *ours == name)
}

/// Variables that are on as soon as they hold anything.
const SWITCHES: [&str; 9] = [
    "DISABLE_COLLECTSTATIC",
    "DISABLE_MIGRATE",
    "DISABLE_PYPROJECT_TOML_PROCESSING",
    "DISABLE_SETUP_PY_PROCESSING",
    "ENABLE_INIT_WRAPPER",
    "ENABLE_MICROPIPENV",
    "ENABLE_PIPENV",
    "UPGRADE_PIP_TO_LATEST",
    "PIN_PIPENV_VERSION",
];

/// Installers whose settings are of no use in a finished image.
const INSTALLERS: [&str; 5] = ["PIP_", "UV_", "PIPENV_", "POETRY_", "MICROPIPENV_"];

/// The value of one variable.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct VariableValue {
    /// Its value; may be a secret.
    pub value: String,
    /// Where it comes from.
    pub origin: ValueOrigin,
    /// Whether it gets into the image, and not only into the build.
    pub in_image: bool,
    /// Whether it is not to be shown.
    pub secret: bool,
    /// Whether nobody says it, and a file of the project shows it.
    is_inferred: bool,
}

impl VariableValue {
    /// The value for people.
    pub(crate) fn shown(&self) -> &str {
        if self.secret {
            "(not shown)"
        } else {
            &self.value
        }
    }
}

impl std::fmt::Debug for VariableValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} from {}", self.shown(), self.origin)
    }
}

impl Serialize for VariableValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("value", self.shown())?;
        map.serialize_entry("origin", &self.origin)?;
        map.serialize_entry("in_image", &self.in_image)?;
        map.serialize_entry("secret", &self.secret)?;
        map.end()
    }
}

/// All variables by name.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[serde(transparent)]
pub(crate) struct Variables(BTreeMap<String, VariableValue>);

impl Variables {
    /// A variable that holds something; an empty one counts as none, as in the scripts.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(|setting| setting.value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A variable's value where it is set at all, to nothing included.
    pub(crate) fn written(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|setting| setting.value.as_str())
    }

    /// Sets a variable that a file of the project shows, and nobody says.
    pub(super) fn infer(&mut self, name: &str, decided: Decided<String>) {
        let setting = VariableValue {
            value: decided.value,
            origin: decided.origin,
            in_image: true,
            secret: false,
            is_inferred: true,
        };
        self.0.insert(name.to_owned(), setting);
    }

    /// Whether a variable is one that nobody said.
    pub(super) fn is_inferred(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|setting| setting.is_inferred)
    }

    /// Whether a variable that holds something was given by a flag.
    pub(super) fn is_flag(&self, name: &str) -> bool {
        let is_flag = |setting: &VariableValue| matches!(setting.origin, ValueOrigin::Flag { .. });
        self.is_on(name) && self.0.get(name).is_some_and(is_flag)
    }

    /// Whether a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of them, sorted by name.
    pub(crate) fn settings(&self) -> impl Iterator<Item = (&str, &VariableValue)> {
        self.0
            .iter()
            .map(|(name, setting)| (name.as_str(), setting))
    }

    /// Names of what the image gets from builder and defaults: what another base may give otherwise.
    pub(crate) fn of_builder(&self) -> impl Iterator<Item = &str> {
        let is_given = |setting: &VariableValue| {
            setting.in_image
                && matches!(
                    setting.origin,
                    ValueOrigin::Builder { .. } | ValueOrigin::Default
                )
        };
        self.settings()
            .filter(move |(_, setting)| is_given(setting))
            .map(|(name, _)| name)
    }

    /// What the image gets, sorted by name.
    pub(crate) fn image(&self) -> BTreeMap<String, String> {
        self.settings()
            .filter(|(_, setting)| setting.in_image)
            .map(|(name, setting)| (name.to_owned(), setting.value.clone()))
            .collect()
    }
}

/// What images of a builder have where nobody says otherwise.
pub(crate) fn of_builder(definition: &BuilderDefinition) -> BTreeMap<String, String> {
    let own = definition.environment.iter();
    defaults(definition)
        .chain(own.map(|(name, value)| (name.as_str(), value.as_str())))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn defaults(definition: &BuilderDefinition) -> impl Iterator<Item = (&str, &str)> {
    DEFAULTS.into_iter().chain([
        ("PYTHON_VERSION", definition.python.as_str()),
        ("VIRTUAL_ENV", "/opt/app-root"),
    ])
}

/// Puts the environment together; a later source beats an earlier one.
pub(super) fn decide(
    inputs: &PlanInputs<'_>,
    definition: &BuilderDefinition,
    advice: &mut Vec<PlanWarning>,
) -> Result<Variables, PlanError> {
    let mut variables = Variables::default();
    let mut set = |name: &str, value: &str, origin: ValueOrigin| {
        let secret = is_secret(name, value);
        let is_setting_of_installer = INSTALLERS.iter().any(|prefix| name.starts_with(prefix));
        let setting = VariableValue {
            value: value.to_owned(),
            origin,
            in_image: !(secret && is_setting_of_installer),
            secret,
            is_inferred: false,
        };
        variables.0.insert(name.to_owned(), setting);
    };
    for (name, value) in defaults(definition) {
        set(name, value, ValueOrigin::Default);
    }
    for (name, value) in &definition.environment {
        let builder = definition.name.clone();
        set(name, value, ValueOrigin::Builder { builder });
    }
    for variable in &inputs.facts.environment {
        let place = SourcePlace {
            path: ENVIRONMENT_FILE.to_owned(),
            line: variable.line,
        };
        set(&variable.name, &variable.value, ValueOrigin::File(place));
    }
    for (name, value) in &inputs.facts.settings.environment {
        set(name, &value.value, ValueOrigin::File(value.place.clone()));
    }
    for argument in &inputs.request.env {
        let variable = environment::parse_argument(argument)?;
        set(
            &variable.name,
            &variable.value,
            ValueOrigin::Flag { flag: "-e" },
        );
    }
    for variable in &inputs.environment_file.0 {
        set(
            &variable.name,
            &variable.value,
            ValueOrigin::Flag { flag: "-E" },
        );
    }
    if let Some(member) = inputs.member
        && !variables.0.contains_key(MEMBER)
    {
        let flag = "--context-dir";
        variables.infer(
            MEMBER,
            Decided::new(member.to_owned(), ValueOrigin::Flag { flag }, ""),
        );
    }
    advise(inputs, &variables, advice);
    Ok(variables)
}

fn advise(inputs: &PlanInputs<'_>, variables: &Variables, advice: &mut Vec<PlanWarning>) {
    let file = inputs.request.environment_file.as_ref();
    let file = file.map_or_else(String::new, |path| path.display().to_string());
    let notes = inputs
        .facts
        .environment_notes
        .iter()
        .map(|note| note.told(ENVIRONMENT_FILE));
    let more = inputs
        .environment_file
        .1
        .iter()
        .map(|note| note.told(&file));
    advice.extend(
        notes
            .chain(more)
            .map(|(text, hint)| PlanWarning::new(text, hint)),
    );
    for name in SWITCHES {
        let value = variables.get(name).unwrap_or_default().to_ascii_lowercase();
        if ["false", "0", "no", "off"].contains(&value.as_str()) {
            advice.push(PlanWarning::new(
                format!("{name}={value} counts as on, as any value does"),
                "leave the variable out to have it off",
            ));
        }
    }
    for (name, setting) in variables.settings().filter(|(_, setting)| setting.secret) {
        if setting.in_image {
            advice.push(PlanWarning::new(
                format!("{name} looks like a secret, and everyone who has the image can read it"),
                "set it where the container is started",
            ));
        } else {
            advice.push(PlanWarning::new(
                format!(
                    "{name} holds a credential: it serves the build and is not put into the image"
                ),
                "",
            ));
        }
    }
}

/// Whether a value is not to be shown: by the variable's name, or because it is a url with a user.
fn is_secret(name: &str, value: &str) -> bool {
    if value.is_empty() {
        return false;
    }
    let name = name.to_ascii_uppercase();
    let named = [
        "PASSWORD",
        "PASSWD",
        "SECRET",
        "TOKEN",
        "CREDENTIAL",
        "API_KEY",
        "APIKEY",
        "PRIVATE_KEY",
    ]
    .iter()
    .any(|mark| name.contains(mark));
    // uv has commas between addresses.
    named
        || value
            .split_whitespace()
            .chain(value.split(','))
            .any(has_credentials)
}

/// Whether a url has something before its host that is more than the name `git`.
fn has_credentials(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| !user.is_empty() && user != "git")
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    const APP: (&str, &str) = ("app.py", "");

    #[test]
    fn later_sources_beat_earlier_ones() {
        let file = (".s2i/environment", "A=file\nB=file\nPYTHONUNBUFFERED=\n");
        let plan = planned(&[APP, file], &["A=flag", "A=flag2"]).unwrap();
        let image = plan.environment.image();
        assert_eq!(
            (image["A"].as_str(), image["B"].as_str()),
            ("flag2", "file")
        );
        assert_eq!(image["PYTHONUNBUFFERED"], "");
        assert_eq!(plan.environment.get("PYTHONUNBUFFERED"), None);
        assert_eq!(image["VIRTUAL_ENV"], "/opt/app-root");
        assert_eq!(image["PYTHON_VERSION"], "3.13");
        let mut settings = plan.environment.settings();
        let (_, setting) = settings.find(|(name, _)| *name == "B").unwrap();
        assert_eq!(setting.origin.to_string(), ".s2i/environment:2");
    }

    #[test]
    fn credentials_of_installers_stay_in_the_build() {
        let url = "PIP_INDEX_URL=https://u:hunter2@h/simple";
        let plan = planned(&[APP], &[url, "DB_PASSWORD=hunter2", "PIP_TIMEOUT=5"]).unwrap();
        let image = plan.environment.image();
        assert!(!image.contains_key("PIP_INDEX_URL"));
        assert!(image.contains_key("DB_PASSWORD") && image.contains_key("PIP_TIMEOUT"));
        let mut settings = plan.environment.settings();
        let (_, url) = settings.find(|(name, _)| *name == "PIP_INDEX_URL").unwrap();
        assert!(url.value.contains("hunter2"));
        assert_eq!(plan.advice.len(), 2, "{:?}", plan.advice);
        let told = format!(
            "{plan:?}{}{}",
            super::super::render(&plan),
            serde_json::to_string(&plan).unwrap()
        );
        assert!(!told.contains("hunter2"));
    }

    #[test]
    fn secrets_are_told_by_name_or_url() {
        for (name, value, expected) in [
            ("GITHUB_TOKEN", "x", true),
            ("MY_SECRET_KEY", "x", true),
            ("PIP_INDEX_URL", "https://h/simple", false),
            ("PIP_EXTRA_INDEX_URL", "https://h https://u@h/x", true),
            ("PIP_EXTRA_INDEX_URL", "https://h/a@b", false),
            ("UV_INDEX", "corp=https://u:p@h/x", true),
            ("UV_FIND_LINKS", "https://h/x,https://u:p@h/x", true),
            ("DATABASE_URL", "postgres://u:p@h/d", true),
            ("X", "git+ssh://git@h/x", false),
            ("TOKEN", "", false),
        ] {
            assert_eq!(is_secret(name, value), expected, "{name}={value}");
        }
    }

    #[test]
    fn switches_that_say_no_are_on() {
        let plan = planned(&[APP], &["DISABLE_MIGRATE=False", "ENABLE_INIT_WRAPPER=1"]).unwrap();
        assert_eq!(plan.advice.len(), 1, "{:?}", plan.advice);
        assert!(plan.environment.is_on("DISABLE_MIGRATE"));
    }

    #[test]
    fn an_argument_without_a_value_is_refused() {
        assert!(matches!(
            planned(&[APP], &["A"]),
            Err(PlanError::Environment(_))
        ));
    }

    #[test]
    fn the_projects_settings_come_between_file_and_flag() {
        let files = [
            APP,
            (".s2i/environment", "A=file\nB=file\n"),
            ("s2r.yaml", "environment: {B: yaml, C: yaml, APP_HOME: .}\n"),
        ];
        let plan = planned(&files, &["C=flag"]).unwrap();
        let image = plan.environment.image();
        let values = ["A", "B", "C"].map(|name| image[name].as_str());
        assert_eq!(values, ["file", "yaml", "flag"]);
        assert!(!plan.environment.is_inferred("APP_HOME"));
        let mut settings = plan.environment.settings();
        let (_, setting) = settings.find(|(name, _)| *name == "B").unwrap();
        assert_eq!(setting.origin.to_string(), "s2r.yaml:1");
    }
}
