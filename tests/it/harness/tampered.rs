//! An image in a registry as an attacker leaves it who may push there: files of one layer are replaced, the
//! layer's key and contents stay as they were, and every digest is right.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::layout::{Layout, sha256};
use crate::harness::tools::{temporary, tool};

/// The annotation that tells a layer's key.
const KEY: &str = "io.s2r.layer.key";

/// Gives the layers whose contents begin so each other's keys.
pub(crate) fn swap_keys(image: &str, one: &str, other: &str) {
    in_layout(image, |_, manifest, _| {
        let layers = manifest["layers"].as_array_mut().unwrap();
        let [one, other] = [one, other].map(|contents| {
            let mut layers = layers.iter();
            layers.position(|layer| has(layer, contents)).unwrap()
        });
        let key = |place: usize| layers[place]["annotations"][KEY].clone();
        let (first, second) = (key(one), key(other));
        layers[one]["annotations"][KEY] = second;
        layers[other]["annotations"][KEY] = first;
    });
}

/// Replaces files of the layer whose contents begin so.
pub(crate) fn replace(image: &str, contents: &str, files: &[(&str, &[u8])]) {
    in_layout(image, |root, manifest, config| {
        let layers = manifest["layers"].as_array_mut().unwrap();
        let place = layers.iter().position(|layer| has(layer, contents));
        let place = place.expect("a layer to change");
        let before = Layout::open(root).tar(layers[place]["digest"].as_str().unwrap());
        let tar = rewritten(&before, files);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).unwrap();
        describe(&mut layers[place], root, &gzip.finish().unwrap());
        config["rootfs"]["diff_ids"][place] = json!(sha256(&tar));
    });
}

fn has(layer: &Value, contents: &str) -> bool {
    let said = layer["annotations"]["io.s2r.layer.contents"].as_str();
    said.is_some_and(|said| said.starts_with(contents))
}

/// Changes manifest and config of an image in a registry.
fn in_layout(image: &str, change: impl FnOnce(&Path, &mut Value, &mut Value)) {
    let dir = temporary();
    let root = dir.path().join("image");
    let (there, here) = (
        format!("docker://{image}"),
        format!("oci:{}:x", root.display()),
    );
    tool("skopeo", &["copy", "--src-tls-verify=false", &there, &here]);
    let layout = Layout::open(&root);
    let mut index = layout.index();
    let mut manifest = layout.document(index["manifests"][0]["digest"].as_str().unwrap());
    let mut config = layout.document(manifest["config"]["digest"].as_str().unwrap());
    change(&root, &mut manifest, &mut config);
    let config = serde_json::to_vec(&config).unwrap();
    describe(&mut manifest["config"], &root, &config);
    let manifest = serde_json::to_vec(&manifest).unwrap();
    describe(&mut index["manifests"][0], &root, &manifest);
    let index = serde_json::to_vec(&index).unwrap();
    fs::write(root.join("index.json"), index).unwrap();
    tool(
        "skopeo",
        &["copy", "--dest-tls-verify=false", &here, &there],
    );
}

/// Writes a blob, and what describes it.
fn describe(descriptor: &mut Value, root: &Path, bytes: &[u8]) {
    let digest = sha256(bytes);
    let hex = digest.strip_prefix("sha256:").unwrap();
    fs::write(root.join("blobs/sha256").join(hex), bytes).unwrap();
    descriptor["digest"] = json!(digest);
    descriptor["size"] = json!(bytes.len());
}

/// The same tar with other bytes in some files, each of which must be there.
fn rewritten(bytes: &[u8], files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = tar::Archive::new(bytes);
    let mut written = tar::Builder::new(Vec::new());
    let mut left = files.len();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mut body = Vec::new();
        entry.read_to_end(&mut body).unwrap();
        let mut header = entry.header().clone();
        if let Some((_, bytes)) = files.iter().find(|(name, _)| *name == path) {
            body = bytes.to_vec();
            header.set_entry_type(tar::EntryType::Regular);
            header.set_mode(0o755);
            header.set_size(body.len() as u64);
            left -= 1;
        }
        let link = entry.link_name().unwrap();
        match link.filter(|_| header.entry_type() != tar::EntryType::Regular) {
            Some(link) => written.append_link(&mut header, &path, link).unwrap(),
            None => written
                .append_data(&mut header, &path, body.as_slice())
                .unwrap(),
        }
    }
    assert_eq!(left, 0, "not all of {files:?} are in the layer");
    written.into_inner().unwrap()
}
