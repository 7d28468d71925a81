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

/// Replaces files of the layer whose contents begin so; the digest that the layer had.
pub(crate) fn replace(image: &str, contents: &str, files: &[(&str, &[u8])]) -> String {
    edit(image, |root, layer| {
        let said = layer["annotations"]["io.s2r.layer.contents"].as_str();
        if !said.is_some_and(|said| said.starts_with(contents)) {
            return None;
        }
        let tar = Layout::open(root).tar(layer["digest"].as_str().unwrap());
        Some(rewritten(&tar, files))
    })
}

/// Gives a layer another tar where `change` has one; the digest that the layer had.
pub(crate) fn edit(image: &str, change: impl Fn(&Path, &Value) -> Option<Vec<u8>>) -> String {
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
    let layers = manifest["layers"].as_array_mut().unwrap();
    let (place, tar) = layers
        .iter()
        .enumerate()
        .find_map(|(place, layer)| Some((place, change(&root, layer)?)))
        .expect("a layer to change");
    let before = layers[place]["digest"].as_str().unwrap().to_owned();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&tar).unwrap();
    describe(&mut layers[place], &root, &gzip.finish().unwrap());
    config["rootfs"]["diff_ids"][place] = json!(sha256(&tar));
    describe(
        &mut manifest["config"],
        &root,
        &serde_json::to_vec(&config).unwrap(),
    );
    describe(
        &mut index["manifests"][0],
        &root,
        &serde_json::to_vec(&manifest).unwrap(),
    );
    fs::write(root.join("index.json"), serde_json::to_vec(&index).unwrap()).unwrap();
    tool(
        "skopeo",
        &["copy", "--dest-tls-verify=false", &here, &there],
    );
    before
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
