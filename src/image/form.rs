//! The forms of a layer: how its tar is compressed, what that is called, and what is noted on it.

use std::collections::BTreeMap;

use crate::oci::{Descriptor, Digest, ImageManifest, Key, KeyBuilder, MediaFamily, MediaType};

/// Annotation of an eStargz layer: the digest of its table of contents, which its readers check it by
/// (docs/estargz.md of containerd/stargz-snapshotter, "Content Verification in eStargz").
const TABLE_ANNOTATION: &str = "containerd.io/snapshot/stargz/toc.digest";
/// Annotation of a layer that generators of its packages complete, by a layer above it.
pub(crate) const COMPLETED_ANNOTATION: &str = "io.s2r.layer.completed";
/// Annotation of a layer that a step of the project left: the labels that it asks for, a JSON object.
const LABELS_ANNOTATION: &str = "io.s2r.layer.labels";
/// Annotation of an eStargz layer: length of its tar, which podman's lazy storage wants to know.
const UNCOMPRESSED_ANNOTATION: &str = "io.containers.estargz.uncompressed-size";

/// How a layer's tar is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum LayerForm {
    /// gzip: read by everything.
    #[default]
    Gzip,
    /// zstd: smaller and faster to unpack; docker reads it from version 23 on.
    Zstd,
    /// gzip with a table of contents: can be mounted before it has been pulled.
    Estargz,
}

impl LayerForm {
    /// What a descriptor calls it.
    pub(crate) fn media_type(self) -> MediaType {
        match self {
            Self::Gzip | Self::Estargz => MediaType::LayerGzip,
            Self::Zstd => MediaType::LayerZstd,
        }
    }

    /// The key of a layer in this form: `contents` is that of its tar.
    pub(crate) fn key(self, contents: &Key) -> Key {
        // A change of how a form is written changes its number here.
        let domain = match self {
            Self::Gzip => return *contents,
            Self::Zstd => "zstd/1",
            Self::Estargz => "estargz/1",
        };
        KeyBuilder::new(domain).field(contents.as_bytes()).finish()
    }

    /// Whether these notes are all that a layer of this form needs.
    pub(crate) fn is_annotated(self, annotations: &BTreeMap<String, String>) -> bool {
        self != Self::Estargz || annotations.contains_key(TABLE_ANNOTATION)
    }
}

/// The notes on a layer with a table of contents; none on one without.
pub(crate) fn table_annotations(
    table: Option<Digest>,
    uncompressed_bytes: u64,
) -> BTreeMap<String, String> {
    let Some(table) = table else {
        return BTreeMap::new();
    };
    BTreeMap::from([
        (TABLE_ANNOTATION.to_owned(), table.to_string()),
        (
            UNCOMPRESSED_ANNOTATION.to_owned(),
            uncompressed_bytes.to_string(),
        ),
    ])
}

/// The note on a layer whose step asks for labels; none where it asks for none.
pub(crate) fn labels_annotation(labels: &BTreeMap<String, String>) -> Option<(String, String)> {
    let text = serde_json::to_string(labels).ok()?;
    (!labels.is_empty()).then(|| (LABELS_ANNOTATION.to_owned(), text))
}

/// The labels that a layer's annotations hold.
pub(crate) fn labels_noted(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let text = annotations.get(LABELS_ANNOTATION);
    text.and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default()
}

/// Those of a descriptor's annotations that belong to its blob wherever it is used.
pub(crate) fn kept_annotations(annotations: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    [
        TABLE_ANNOTATION,
        UNCOMPRESSED_ANNOTATION,
        COMPLETED_ANNOTATION,
        LABELS_ANNOTATION,
    ]
    .into_iter()
    .filter_map(|name| Some((name.to_owned(), annotations.get(name)?.clone())))
    .collect()
}

/// What an image is written in, for people: `OCI, gzip`.
pub(crate) fn written_in(manifest: &ImageManifest) -> String {
    let is_docker = manifest
        .config
        .media_type
        .in_family(MediaFamily::Docker)
        .as_ref()
        == Some(&manifest.config.media_type);
    let mut forms: Vec<&str> = manifest.layers.iter().map(form_name).collect();
    forms.sort_unstable();
    forms.dedup();
    let family = if is_docker { "Docker" } else { "OCI" };
    format!("{family}, {}", forms.join(" and "))
}

fn form_name(layer: &Descriptor) -> &'static str {
    if layer.annotations.contains_key(TABLE_ANNOTATION) {
        return "eStargz";
    }
    match layer.media_type.as_str().rsplit(['+', '.']).next() {
        Some("gzip") => "gzip",
        Some("zstd") => "zstd",
        Some("tar") => "tar",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_keys_of_their_own() {
        let key = KeyBuilder::new("t").finish();
        assert_eq!(LayerForm::Gzip.key(&key), key);
        assert_ne!(LayerForm::Zstd.key(&key), key);
        assert_ne!(LayerForm::Zstd.key(&key), LayerForm::Estargz.key(&key));
    }

    #[test]
    fn only_its_own_notes_follow_a_blob() {
        let mut annotations = table_annotations(Some(Digest::of(b"{}")), 7);
        let own = annotations.clone();
        assert!(LayerForm::Estargz.is_annotated(&own));
        let labels = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        annotations.extend(labels_annotation(&labels));
        assert_eq!(labels_noted(&kept_annotations(&annotations)), labels);
        annotations.remove(LABELS_ANNOTATION);
        assert!(labels_annotation(&labels_noted(&annotations)).is_none());
        annotations.insert("other".into(), "x".into());
        assert_eq!(kept_annotations(&annotations), own);
        assert!(table_annotations(None, 7).is_empty());
        assert!(!LayerForm::Estargz.is_annotated(&BTreeMap::new()));
        assert!(LayerForm::Zstd.is_annotated(&BTreeMap::new()));
    }
}
