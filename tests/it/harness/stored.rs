//! A small image in a store, made by hand: pushing it needs no build, and a test knows its every byte.
//!
//! The store is an OCI image layout: <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::home::Home;
use crate::harness::layout::sha256;
use crate::harness::tools::temporary;

/// The image's name in the store.
pub(crate) const NAME: &str = "stored";
/// The same, changed in its last layer only.
pub(crate) const CHANGED: &str = "stored:changed";
/// One layer of 5 MiB: more than a proxy lets through, in these tests.
pub(crate) const LARGE: &str = "stored:large";
/// One layer of 18 MiB: worth taking up where it broke off.
pub(crate) const BIG: &str = "stored:big";
/// An index of the first two, as if they were for two platforms.
pub(crate) const INDEX: &str = "stored:index";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes of the layers before compression; random, so they stay as long. The second is above what a client may
/// send from memory.
const LAYERS: [usize; 3] = [700, 400_000, 20_000];

/// Files of the store that every test's store links to.
struct Shelf {
    dir: PathBuf,
    blobs: Vec<String>,
}

/// A user in whose store the images are.
pub(crate) fn home() -> Home {
    let home = Home::empty();
    let shelf = shelf();
    let store = home.store();
    fs::create_dir_all(store.join("blobs/sha256")).unwrap();
    // No `oci-layout`: the program itself makes a store of the folder, and keeps the list of images.
    fs::copy(shelf.dir.join("index.json"), store.join("index.json")).unwrap();
    for blob in &shelf.blobs {
        let name = format!("blobs/sha256/{}", blob.strip_prefix("sha256:").unwrap());
        fs::hard_link(shelf.dir.join(&name), store.join(&name)).unwrap();
    }
    home
}

/// The digest of an image.
pub(crate) fn digest(name: &str) -> String {
    let index: Value =
        serde_json::from_slice(&fs::read(shelf().dir.join("index.json")).unwrap()).unwrap();
    let wanted = full_name(name);
    let entries = index["manifests"].as_array().unwrap().iter();
    let mut found =
        entries.filter(|entry| entry["annotations"]["org.opencontainers.image.ref.name"] == wanted);
    found.next().unwrap()["digest"].as_str().unwrap().to_owned()
}

/// Digests of an image's layers.
pub(crate) fn layers(name: &str) -> Vec<String> {
    let manifest: Value = serde_json::from_slice(&blob(&digest(name))).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    layers
        .map(|layer| layer["digest"].as_str().unwrap().to_owned())
        .collect()
}

pub(crate) fn blob(digest: &str) -> Vec<u8> {
    let hex = digest.strip_prefix("sha256:").unwrap();
    fs::read(shelf().dir.join("blobs/sha256").join(hex)).unwrap()
}

fn full_name(name: &str) -> String {
    let tag = if name.contains(':') { "" } else { ":latest" };
    format!("docker.io/library/{name}{tag}")
}

fn shelf() -> &'static Shelf {
    static SHELF: OnceLock<Shelf> = OnceLock::new();
    SHELF.get_or_init(|| {
        let dir = temporary().keep();
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        let mut shelf = Shelf {
            dir,
            blobs: Vec::new(),
        };
        let base: Vec<(Value, String)> = LAYERS
            .iter()
            .enumerate()
            .map(|(number, size)| shelf.layer(number as u64, *size))
            .collect();
        let mut changed = base.clone();
        changed[2] = shelf.layer(7, LAYERS[2]);
        let first = shelf.image(&base, "amd64");
        let second = shelf.image(&changed, "amd64");
        let other = shelf.image(&changed, "arm64");
        let large = shelf.layer(8, 5 << 20);
        let large = shelf.image(&[large], "amd64");
        let big = shelf.layer(9, 18 << 20);
        let big = shelf.image(&[big], "amd64");
        let of = |descriptor: &Value, architecture: &str| {
            let mut descriptor = descriptor.clone();
            descriptor["platform"] = json!({"architecture": architecture, "os": "linux"});
            descriptor
        };
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [of(&first, "amd64"), of(&other, "arm64")],
        });
        let index = shelf.put(index.to_string().as_bytes(), media_type);
        let names = [
            (NAME, first),
            (CHANGED, second),
            (LARGE, large),
            (BIG, big),
            (INDEX, index),
        ];
        let entries = names.map(|(name, mut descriptor)| {
            descriptor["annotations"] =
                json!({"org.opencontainers.image.ref.name": full_name(name)});
            descriptor
        });
        let list = json!({"schemaVersion": 2, "manifests": entries});
        fs::write(shelf.dir.join("index.json"), list.to_string()).unwrap();
        shelf
    })
}

impl Shelf {
    fn put(&mut self, bytes: &[u8], media_type: &str) -> Value {
        let digest = sha256(bytes);
        let hex = digest.strip_prefix("sha256:").unwrap();
        fs::write(self.dir.join("blobs/sha256").join(hex), bytes).unwrap();
        if !self.blobs.contains(&digest) {
            self.blobs.push(digest.clone());
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// A layer of one file of random bytes, its descriptor and its diff id.
    fn layer(&mut self, seed: u64, size: usize) -> (Value, String) {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(size as u64);
        header.set_mode(0o644);
        let body = random(seed, size);
        let name = format!("file-{seed}");
        tar.append_data(&mut header, name, body.as_slice()).unwrap();
        let tar = tar.into_inner().unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&tar).unwrap();
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        (self.put(&gzip.finish().unwrap(), kind), sha256(&tar))
    }

    fn image(&mut self, layers: &[(Value, String)], architecture: &str) -> Value {
        let diff_ids: Vec<&String> = layers.iter().map(|(_, id)| id).collect();
        let descriptors: Vec<&Value> = layers.iter().map(|(layer, _)| layer).collect();
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "config": {"Cmd": ["/file-0"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            "history": [],
        });
        let kind = "application/vnd.oci.image.config.v1+json";
        let config = self.put(config.to_string().as_bytes(), kind);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": config,
            "layers": descriptors,
        });
        self.put(manifest.to_string().as_bytes(), MANIFEST)
    }
}

/// Bytes that no compressor makes shorter: xorshift.
pub(crate) fn random(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Notes that the first image's first two layers are in these repositories.
pub(crate) fn says_elsewhere(home: &Home, places: &[String]) {
    let notes = home.store().join("s2r/elsewhere");
    fs::create_dir_all(&notes).unwrap();
    for layer in &layers(NAME)[..2] {
        let hex = layer.strip_prefix("sha256:").unwrap();
        let text = json!(places).to_string();
        let seal = sha256(text.as_bytes());
        fs::write(notes.join(hex), format!("{seal}\n{text}")).unwrap();
    }
}

/// A user who lacks those layers: they are in these repositories alone.
pub(crate) fn home_without_base(places: &[String]) -> Home {
    let home = home();
    says_elsewhere(&home, places);
    for layer in &layers(NAME)[..2] {
        let hex = layer.strip_prefix("sha256:").unwrap();
        fs::remove_file(home.store().join("blobs/sha256").join(hex)).unwrap();
    }
    home
}
