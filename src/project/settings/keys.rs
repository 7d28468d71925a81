//! The keys of the settings: what each may hold, and where it goes.

use super::document::{SettingEntry, SettingNode, SettingValue};
use super::error::WrongValue;
use super::values::{self};
use super::{
    BuildCommand, CheckSettings, FrontServer, ProjectSettings, ServerChoice, Setting,
    SettingsError, StaticFolder,
};
use crate::project::{AptPackage, ProcessType, ProjectError, SourcePlace};

pub(super) const KEYS: [&str; 13] = [
    "build",
    "builder",
    "check",
    "environment",
    "exclude",
    "front",
    "packages",
    "processes",
    "release",
    "restart",
    "server",
    "static",
    "test",
];
pub(super) const CHECK_KEYS: [&str; 4] = ["memory", "path", "status", "within"];
pub(super) const PACKAGES_KEYS: [&str; 2] = ["build", "run"];
pub(super) const BUILD_KEYS: [&str; 2] = ["network", "run"];
/// Names of servers, in the order of [`ServerChoice`].
pub(super) const SERVERS: [(&str, ServerChoice); 7] = [
    ("gunicorn", ServerChoice::Gunicorn),
    ("uvicorn", ServerChoice::Uvicorn),
    ("hypercorn", ServerChoice::Hypercorn),
    ("granian", ServerChoice::Granian),
    ("daphne", ServerChoice::Daphne),
    ("waitress", ServerChoice::Waitress),
    ("uwsgi", ServerChoice::Uwsgi),
];
pub(super) const FRONT_SERVERS: [(&str, FrontServer); 1] = [("nginx", FrontServer::Nginx)];

/// How alike two words are, from 0 to 1, for the one to be taken for the other.
const LIKENESS: f64 = 0.75;

/// Reads the settings of a document.
///
/// # Errors
/// An unknown key; a value that is not of its key's kind; one that cannot be used.
pub(super) fn settings(path: &str, node: SettingNode) -> Result<ProjectSettings, ProjectError> {
    let mut settings = ProjectSettings::default();
    let reader = KeyReader { path };
    for entry in reader.map(node, "the document", "", &KEYS)? {
        reader.take(entry, &mut settings)?;
    }
    Ok(settings)
}

struct KeyReader<'a> {
    path: &'a str,
}

impl KeyReader<'_> {
    fn take(
        &self,
        entry: SettingEntry,
        settings: &mut ProjectSettings,
    ) -> Result<(), ProjectError> {
        let key = entry.key.as_str();
        let node = entry.node;
        match key {
            "builder" => settings.builder = self.text(node, key)?,
            "packages" => settings.packages = self.packages(node)?,
            "environment" => {
                for entry in self.entries(node, key)? {
                    let name = self.checked(&entry, key, values::variable_name)?;
                    let below = format!("{key}.{name}");
                    if let Some(value) = self.scalar(entry.node, &below)? {
                        settings.environment.insert(name, value);
                    }
                }
            }
            "server" => settings.server = self.one_of(node, key, &SERVERS)?,
            "front" => settings.front = self.one_of(node, key, &FRONT_SERVERS)?,
            "static" => {
                for entry in self.entries(node, key)? {
                    let url = self.checked(&entry, key, values::url_path)?;
                    let below = format!("{key}.{}", entry.key);
                    if let Some(folder) = self.text(entry.node, &below)? {
                        let folder = convert(folder, &below, values::folder)?;
                        settings.static_folders.push(StaticFolder { url, folder });
                    }
                }
            }
            "build" => {
                for node in self.list(node, key)? {
                    settings.build.extend(self.build_command(node)?);
                }
            }
            "release" => settings.release = self.command(node, key)?,
            "restart" => settings.restart = self.switch(&node, key)?,
            "processes" => {
                for entry in self.entries(node, key)? {
                    let name = self.checked(&entry, key, values::process_name)?;
                    let below = format!("{key}.{name}");
                    if let Some(command) = self.command(entry.node, &below)? {
                        settings.processes.push(ProcessType {
                            name,
                            command: command.value,
                            place: command.place,
                        });
                    }
                }
            }
            "test" => settings.test = self.command(node, key)?,
            "check" => settings.check = self.check(node)?,
            _ => {
                for node in self.list(node, key)? {
                    if let Some(pattern) = self.text(node, key)? {
                        settings
                            .exclude
                            .push(convert(pattern, key, values::pattern)?);
                    }
                }
            }
        }
        Ok(())
    }

    fn packages(&self, node: SettingNode) -> Result<Vec<AptPackage>, ProjectError> {
        let mut packages = Vec::new();
        for entry in self.map(node, "packages", "packages.", &PACKAGES_KEYS)? {
            let for_building = entry.key == "build";
            let key = format!("packages.{}", entry.key);
            for node in self.list(entry.node, &key)? {
                let Some(name) = self.text(node, &key)? else {
                    continue;
                };
                packages.push(AptPackage {
                    name: values::package(&name)?,
                    for_building,
                    place: name.place,
                });
            }
        }
        Ok(packages)
    }

    /// A command, or a mapping with `run` and `network`.
    fn build_command(
        &self,
        node: SettingNode,
    ) -> Result<Option<Setting<BuildCommand>>, ProjectError> {
        let of_command = |command: Setting<String>, has_network| Setting {
            value: BuildCommand {
                command: command.value,
                has_network,
            },
            place: command.place,
        };
        if !matches!(node.value, SettingValue::Map(_)) {
            let command = self.command(node, "build")?;
            return Ok(command.map(|command| of_command(command, false)));
        }
        let line = node.line;
        let (mut command, mut has_network) = (None, false);
        for entry in self.map(node, "build", "build.", &BUILD_KEYS)? {
            if entry.key == "run" {
                command = self.command(entry.node, "build.run")?;
            } else {
                let SettingValue::Switch { is_on, .. } = entry.node.value else {
                    return Err(self
                        .kind(&entry.node, "build.network", "true or false")
                        .into());
                };
                has_network = is_on;
            }
        }
        match command {
            Some(command) => Ok(Some(of_command(command, has_network))),
            None => Err(SettingsError::Kind {
                place: SourcePlace::line(self.path, line),
                key: "build".to_owned(),
                found: "a mapping without run",
                wanted: "a command, or {run: COMMAND, network: true}",
            }
            .into()),
        }
    }

    fn check(&self, node: SettingNode) -> Result<Option<Setting<CheckSettings>>, ProjectError> {
        if node.value == SettingValue::Nothing {
            return Ok(None);
        }
        let place = SourcePlace::line(self.path, node.line);
        let mut check = CheckSettings {
            path: None,
            status: None,
            within: None,
            memory_bytes: None,
        };
        for entry in self.map(node, "check", "check.", &CHECK_KEYS)? {
            let key = format!("check.{}", entry.key);
            let Some(text) = self.scalar(entry.node, &key)? else {
                continue;
            };
            match entry.key.as_str() {
                "path" => check.path = Some(convert(text, &key, values::request_path)?.value),
                "status" => check.status = Some(convert(text, &key, values::status)?.value),
                "memory" => check.memory_bytes = Some(convert(text, &key, values::memory)?.value),
                _ => check.within = Some(convert(text, &key, values::duration)?.value),
            }
        }
        Ok(Some(Setting {
            value: check,
            place,
        }))
    }

    // --- Kinds -----------------------------------------------------------------------------------

    fn kind(&self, node: &SettingNode, key: &str, wanted: &'static str) -> SettingsError {
        SettingsError::Kind {
            place: SourcePlace::line(self.path, node.line),
            key: key.to_owned(),
            found: node.value.kind(),
            wanted,
        }
    }

    /// The entries of a mapping with any keys; nothing stands for an empty one.
    fn entries(&self, node: SettingNode, key: &str) -> Result<Vec<SettingEntry>, SettingsError> {
        match node.value {
            SettingValue::Map(entries) => Ok(entries),
            SettingValue::Nothing => Ok(Vec::new()),
            _ => Err(self.kind(&node, key, "a mapping of names to values")),
        }
    }

    /// The entries of a mapping with known keys, of which `below` is the path to them.
    fn map(
        &self,
        node: SettingNode,
        key: &str,
        below: &str,
        known: &[&'static str],
    ) -> Result<Vec<SettingEntry>, SettingsError> {
        let entries = self.entries(node, key)?;
        for entry in &entries {
            if !known.contains(&entry.key.as_str()) {
                return Err(SettingsError::UnknownKey {
                    place: SourcePlace::line(self.path, entry.line),
                    key: format!("{below}{}", shortened(&entry.key)),
                    nearest: nearest(&entry.key, known),
                    known: known.to_vec(),
                });
            }
        }
        Ok(entries)
    }

    fn list(&self, node: SettingNode, key: &str) -> Result<Vec<SettingNode>, SettingsError> {
        match node.value {
            SettingValue::List(list) => Ok(list),
            SettingValue::Nothing => Ok(Vec::new()),
            _ => Err(self.kind(&node, key, "a list")),
        }
    }

    /// A text, or none where nothing stands.
    fn text(&self, node: SettingNode, key: &str) -> Result<Option<Setting<String>>, SettingsError> {
        match node.value {
            SettingValue::Text(value) => Ok(Some(Setting {
                value,
                place: SourcePlace::line(self.path, node.line),
            })),
            SettingValue::Nothing => Ok(None),
            _ => Err(self.kind(&node, key, "a text")),
        }
    }

    /// A text, number or switch, as it is written.
    fn scalar(
        &self,
        node: SettingNode,
        key: &str,
    ) -> Result<Option<Setting<String>>, SettingsError> {
        let place = SourcePlace::line(self.path, node.line);
        match node.value {
            SettingValue::Text(value)
            | SettingValue::Number(value)
            | SettingValue::Switch { text: value, .. } => Ok(Some(Setting { value, place })),
            SettingValue::Nothing => Ok(None),
            _ => Err(self.kind(&node, key, "a text, a number, or true or false")),
        }
    }

    /// A switch, or none where nothing stands.
    fn switch(
        &self,
        node: &SettingNode,
        key: &str,
    ) -> Result<Option<Setting<bool>>, SettingsError> {
        match node.value {
            SettingValue::Switch { is_on, .. } => Ok(Some(Setting {
                value: is_on,
                place: SourcePlace::line(self.path, node.line),
            })),
            SettingValue::Nothing => Ok(None),
            _ => Err(self.kind(node, key, "true or false")),
        }
    }

    fn command(
        &self,
        node: SettingNode,
        key: &str,
    ) -> Result<Option<Setting<String>>, SettingsError> {
        match self.text(node, key)? {
            Some(text) => convert(text, key, values::command).map(Some),
            None => Ok(None),
        }
    }

    fn one_of<T: Copy>(
        &self,
        node: SettingNode,
        key: &str,
        known: &[(&'static str, T)],
    ) -> Result<Option<Setting<T>>, SettingsError> {
        let Some(text) = self.text(node, key)? else {
            return Ok(None);
        };
        convert(text, key, |text| {
            let found = known.iter().find(|(name, _)| *name == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let names: Vec<&'static str> = known.iter().map(|(name, _)| *name).collect();
                WrongValue {
                    why: format!("s2r knows {}", names.join(", ")),
                    next: match nearest(text, &names) {
                        Some(nearest) => format!("write {nearest}"),
                        None => {
                            "name one of them, or start the program by `processes: {web: COMMAND}`"
                                .to_owned()
                        }
                    },
                }
            })
        })
        .map(Some)
    }

    /// An entry's key, which a rule has to let through.
    fn checked(
        &self,
        entry: &SettingEntry,
        key: &str,
        rule: impl FnOnce(&str) -> Result<String, WrongValue>,
    ) -> Result<String, SettingsError> {
        let name = Setting {
            value: entry.key.clone(),
            place: SourcePlace::line(self.path, entry.line),
        };
        Ok(convert(name, key, rule)?.value)
    }
}

fn convert<T>(
    text: Setting<String>,
    key: &str,
    convert: impl FnOnce(&str) -> Result<T, WrongValue>,
) -> Result<Setting<T>, SettingsError> {
    match convert(&text.value) {
        Ok(value) => Ok(Setting {
            value,
            place: text.place,
        }),
        Err(wrong) => Err(SettingsError::Value {
            place: text.place,
            key: key.to_owned(),
            value: shortened(&text.value),
            advice: Box::new(wrong),
        }),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}

/// The known word that was probably meant.
fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let likeness = |known: &str| strsim::jaro(&word.to_lowercase(), known);
    known
        .iter()
        .map(|&known| (likeness(known), known))
        .filter(|(likeness, _)| *likeness >= LIKENESS)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}
