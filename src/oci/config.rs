//! The image config (image-spec, config.md).
//!
//! Configs of others are read too: what they hold besides the fields here is kept and written again,
//! and a field that is `null` counts as left out, as docker writes some.
#![expect(
    clippy::zero_sized_map_values,
    reason = "the specification writes sets as objects with empty values"
)]

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::DiffId;
use super::manifest::document;

/// What a runtime needs to run an image, and which tars its root is made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImageConfig {
    /// Creation time, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// For instance `amd64`.
    pub architecture: String,
    pub os: String,
    /// How to run it.
    #[serde(default, deserialize_with = "null_is_nothing")]
    pub config: RunConfig,
    pub rootfs: RootFs,
    /// What made each layer.
    #[serde(
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub history: Vec<HistoryEntry>,
    /// What else a config holds, such as `variant` or `author`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// The run settings; field names are the specification's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RunConfig {
    /// `uid`, `uid:gid` or a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `8080/tcp` to an empty object.
    #[serde(
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub exposed_ports: BTreeMap<String, EmptyObject>,
    /// Variables, each as `NAME=value`.
    #[serde(
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub env: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// What runs unless the user says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub working_dir: Option<String>,
    /// Notes on the image.
    #[serde(
        default,
        deserialize_with = "null_is_nothing",
        skip_serializing_if = "BTreeMap::is_empty"
    )]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// What else there is, such as docker's `Healthcheck`.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// A value that may be `null` where nothing is meant.
fn null_is_nothing<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// The value of each key: `{}`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EmptyObject {}

/// The uncompressed tars of the root file system, base first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RootFs {
    /// `layers`, as the specification demands.
    #[serde(rename = "type")]
    pub kind: String,
    /// One for each layer.
    pub diff_ids: Vec<DiffId>,
}

/// One line of history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HistoryEntry {
    /// A time as RFC 3339 writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// What made the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// What is in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// True for a step that made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub empty_layer: bool,
}

document!(ImageConfig);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_reads_back_and_others_read_it_too() {
        let config = ImageConfig {
            created: Some("1980-01-01T00:00:00Z".into()),
            architecture: "amd64".into(),
            os: "linux".into(),
            config: RunConfig {
                user: Some("1001".into()),
                exposed_ports: [("8080/tcp".to_owned(), EmptyObject {})].into(),
                env: vec!["A=b".into()],
                cmd: Some(vec!["/usr/libexec/s2i/run".into()]),
                working_dir: Some("/opt/app-root/src".into()),
                ..RunConfig::default()
            },
            rootfs: RootFs {
                kind: "layers".into(),
                diff_ids: vec![DiffId::from_bytes([7; 32])],
            },
            history: vec![HistoryEntry {
                created_by: Some("s2r".into()),
                ..HistoryEntry::default()
            }],
            other: BTreeMap::new(),
        };
        let bytes = config.to_bytes().unwrap();
        assert_eq!(ImageConfig::from_bytes(&bytes).unwrap(), config);
        let second = oci_spec::image::ImageConfiguration::from_reader(bytes.as_slice()).unwrap();
        let run = second.config().as_ref().unwrap();
        assert_eq!(run.user().as_deref(), Some("1001"));
        assert_eq!(
            run.exposed_ports().as_ref().unwrap(),
            &["8080/tcp".to_owned()]
        );
    }
    #[test]
    fn a_foreign_config_keeps_what_s2r_does_not_know() {
        let text = r#"{"architecture":"arm64","variant":"v8","os":"linux","history":null,
            "config":{"Labels":null,"Env":null,"ExposedPorts":null,"Cmd":null,
                "Healthcheck":{"Test":["NONE"]},"Volumes":{"/x":{}}},
            "rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config = ImageConfig::from_bytes(text.as_bytes()).unwrap();
        assert!(config.config.labels.is_empty() && config.history.is_empty());
        let written: Value = serde_json::from_slice(&config.to_bytes().unwrap()).unwrap();
        assert_eq!(written["variant"], "v8");
        assert_eq!(written["config"]["Healthcheck"]["Test"][0], "NONE");
        assert!(written["config"]["Volumes"]["/x"].is_object());
        let without = r#"{"architecture":"a","os":"l","config":null,"rootfs":{"type":"layers","diff_ids":[]}}"#;
        assert!(ImageConfig::from_bytes(without.as_bytes()).is_ok());
    }
}
