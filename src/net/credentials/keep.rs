//! `auth.json` with an entry more or less: what login writes and logout takes away. Text to text; the
//! disk is the caller's. What others have put into the file stays in it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::net::credentials::BasicLogin;
use crate::net::credentials::docker::{DockerConfigError, DockerFile, normal};
use crate::net::credentials::helper::{CredentialHelper, HelperError};

/// Why credentials cannot be kept or forgotten.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    /// The file is not what it ought to be.
    #[error(transparent)]
    File(#[from] DockerConfigError),
    /// The helper that it names fails.
    #[error(transparent)]
    Helper(#[from] HelperError),
}

/// What became of an entry.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SavedEntry {
    /// The file's new text.
    Text(String),
    /// This helper has it.
    Helper(String),
    Nothing,
}

/// Keeps credentials of a registry: in the helper that the file names for it, or in the file. `path` is
/// where helpers are found.
pub(crate) fn keep(
    text: &str,
    registry: &str,
    basic: &BasicLogin,
    path: &str,
) -> Result<SavedEntry, KeepError> {
    if let Some((name, server)) = DockerFile::parse(text)?.keeper(registry) {
        CredentialHelper::find(name, path)?.store(&server, &basic.user, &basic.password)?;
        return Ok(SavedEntry::Helper(name.to_owned()));
    }
    let mut file = object(text)?;
    let mut auths = auths(&mut file);
    remove(&mut auths, registry);
    let pair = format!("{}:{}", basic.user, basic.password.expose());
    auths.insert(registry.to_owned(), json!({"auth": BASE64.encode(pair)}));
    file.insert("auths".to_owned(), Value::Object(auths));
    Ok(SavedEntry::Text(written(&file)))
}

/// Forgets those of a registry.
pub(crate) fn forget(text: &str, registry: &str, path: &str) -> Result<SavedEntry, KeepError> {
    if let Some((name, server)) = DockerFile::parse(text)?.keeper(registry) {
        CredentialHelper::find(name, path)?.erase(&server)?;
        return Ok(SavedEntry::Helper(name.to_owned()));
    }
    let mut file = object(text)?;
    let mut auths = auths(&mut file);
    if !remove(&mut auths, registry) {
        return Ok(SavedEntry::Nothing);
    }
    file.insert("auths".to_owned(), Value::Object(auths));
    Ok(SavedEntry::Text(written(&file)))
}

/// Takes away what is the same registry, however it is written.
fn remove(auths: &mut Map<String, Value>, registry: &str) -> bool {
    let before = auths.len();
    let place = normal(registry);
    auths.retain(|key, _| normal(key) != place);
    auths.len() < before
}

fn object(text: &str) -> Result<Map<String, Value>, DockerConfigError> {
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_str(text).map_err(|error| DockerConfigError::Json { line: error.line() })
}

/// The entries of a file. One of the old kind has them at its top; with another kind beside them they
/// would not be read any more, so they move.
fn auths(file: &mut Map<String, Value>) -> Map<String, Value> {
    if let Some(auths) = file.remove("auths") {
        return match auths {
            Value::Object(auths) => auths,
            _ => Map::new(),
        };
    }
    if file.contains_key("credHelpers") || file.contains_key("credsStore") {
        return Map::new();
    }
    let is_entry = |value: &Value| {
        ["auth", "username", "identitytoken"]
            .iter()
            .any(|field| value.get(field).is_some())
    };
    let (entries, others) = std::mem::take(file)
        .into_iter()
        .partition(|(_, value)| is_entry(value));
    *file = others;
    entries
}

fn written(file: &Map<String, Value>) -> String {
    // A document read from text is one that can be written.
    let mut text = serde_json::to_string_pretty(file).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Secret;
    use crate::net::credentials::helper::tests::scripted;

    #[test]
    fn entries_of_the_old_kind_go_on_being_read() {
        let old = r#"{"a.example": {"auth": "bWU6b2xk"}, "HttpHeaders": {"X": "1"}}"#;
        let SavedEntry::Text(text) = keep(old, "b.example", &me("new"), "").unwrap() else {
            panic!("no text");
        };
        let file = DockerFile::parse(&text).unwrap();
        for registry in ["a.example", "b.example"] {
            assert_eq!(file.lookup(registry, "x").unwrap().len(), 1, "{text}");
        }
        assert!(text.contains("HttpHeaders"));
    }

    fn me(password: &str) -> BasicLogin {
        BasicLogin {
            user: "me".to_owned(),
            password: Secret::new(password),
        }
    }

    fn text(kept: SavedEntry) -> String {
        match kept {
            SavedEntry::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn entries_come_and_go_and_the_rest_stays() {
        let before = r#"{"HttpHeaders": {"X": "1"}, "auths": {"other": {"auth": "b3RoZXI6MQ==", "email": "e"}}}"#;
        let kept = text(keep(before, "r.example:5000", &me("p:w"), "").unwrap());
        let value: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(value["auths"]["r.example:5000"]["auth"], "bWU6cDp3");
        assert_eq!(value["auths"]["other"]["email"], "e");
        assert_eq!(value["HttpHeaders"]["X"], "1");
        let gone = text(forget(&kept, "https://r.example:5000/v2/", "").unwrap());
        let before: Value = serde_json::from_str(before).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&gone).unwrap(), before);
        assert_eq!(
            forget(&gone, "r.example:5000", "").unwrap(),
            SavedEntry::Nothing
        );
        assert_eq!(forget("", "r", "").unwrap(), SavedEntry::Nothing);
    }

    #[test]
    fn docker_hub_is_one_registry() {
        let before = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "b2xkOjE="}}}"#;
        let kept = text(keep(before, "docker.io", &me("p"), "").unwrap());
        assert!(!kept.contains("index.docker.io") && kept.contains("\"docker.io\""));
    }

    #[test]
    fn a_helper_keeps_what_the_file_says_it_does() {
        let (folder, path) = scripted("x", r#"cat > "$(dirname "$0")/$1""#);
        let before = r#"{"credHelpers": {"r": "x"}}"#;
        let kept = keep(before, "r", &me("p"), &path).unwrap();
        assert_eq!(kept, SavedEntry::Helper("x".to_owned()));
        let stored = std::fs::read_to_string(folder.path().join("store")).unwrap();
        assert!(stored.contains(r#""Username":"me""#), "{stored}");
        assert_eq!(
            forget(before, "r", &path).unwrap(),
            SavedEntry::Helper("x".to_owned())
        );
        assert!(matches!(
            keep(r#"{"credsStore": "gone"}"#, "r", &me("p"), "/nowhere"),
            Err(KeepError::Helper(HelperError::Missing { .. }))
        ));
        let wrong = keep("[s3cret", "r", &me("p"), "").unwrap_err();
        assert!(!wrong.to_string().contains("s3cret"));
    }
}
