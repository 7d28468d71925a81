//! Reads an OCI image layout the plain way: what the program wrote must not need the program to be read.
//!
//! <https://github.com/opencontainers/image-spec/blob/main/image-layout.md>

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub(crate) struct Layout {
    root: PathBuf,
}

/// A member of a layer.
pub(crate) struct Member {
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    pub(crate) mtime: u64,
    pub(crate) link: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Layout {
    pub(crate) fn open(root: &Path) -> Self {
        assert!(root.join("oci-layout").is_file(), "{}", root.display());
        Self {
            root: root.to_owned(),
        }
    }

    pub(crate) fn index(&self) -> Value {
        serde_json::from_slice(&fs::read(self.root.join("index.json")).unwrap()).unwrap()
    }

    /// The bytes of a blob, its digest checked.
    pub(crate) fn blob(&self, digest: &str) -> Vec<u8> {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let bytes = fs::read(self.root.join("blobs/sha256").join(hex))
            .unwrap_or_else(|error| panic!("{digest}: {error}"));
        assert_eq!(sha256(&bytes), digest);
        bytes
    }

    pub(crate) fn document(&self, digest: &str) -> Value {
        serde_json::from_slice(&self.blob(digest)).unwrap()
    }

    /// The name by which other tools find a manifest in this layout: `oci:ROOT:NAME`.
    pub(crate) fn reference(&self, digest: &str) -> String {
        let index = self.index();
        let entry = index["manifests"]
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| {
                entry["digest"] == digest
                    && entry["annotations"]["org.opencontainers.image.ref.name"].is_string()
            })
            .unwrap_or_else(|| panic!("{digest} is not in {index}"));
        let name = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .unwrap();
        format!("oci:{}:{name}", self.root.display())
    }

    pub(crate) fn config(&self, manifest: &str) -> Value {
        let manifest = self.document(manifest);
        self.document(manifest["config"]["digest"].as_str().unwrap())
    }

    /// Digests of the layers, bottom up.
    pub(crate) fn layers(&self, manifest: &str) -> Vec<String> {
        self.document(manifest)["layers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|layer| layer["digest"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn blob_path(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        self.root.join("blobs/sha256").join(hex)
    }

    /// The uncompressed bytes of a layer.
    pub(crate) fn tar(&self, digest: &str) -> Vec<u8> {
        let blob = self.blob(digest);
        if blob.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            return zstd::stream::decode_all(blob.as_slice()).unwrap();
        }
        let mut tar = Vec::new();
        MultiGzDecoder::new(blob.as_slice())
            .read_to_end(&mut tar)
            .unwrap();
        tar
    }

    /// The members of all layers, later layers over earlier ones.
    pub(crate) fn members(&self, manifest: &str) -> BTreeMap<String, Member> {
        let mut members = BTreeMap::new();
        for digest in self.layers(manifest) {
            let tar = self.tar(&digest);
            let mut archive = tar::Archive::new(tar.as_slice());
            for entry in archive.entries().unwrap() {
                let mut entry = entry.unwrap();
                let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
                let mut body = Vec::new();
                entry.read_to_end(&mut body).unwrap();
                let header = entry.header();
                let member = Member {
                    mode: header.mode().unwrap(),
                    uid: header.uid().unwrap(),
                    gid: header.gid().unwrap(),
                    mtime: header.mtime().unwrap(),
                    link: entry
                        .link_name_bytes()
                        .map(|link| String::from_utf8(link.into_owned()).unwrap()),
                    body,
                };
                members.insert(path.trim_end_matches('/').to_owned(), member);
            }
        }
        members
    }

    /// Fails the test unless GNU tar and Python's tarfile agree on names and contents of every layer's members.
    pub(crate) fn is_read_by_others(&self, manifest: &str) {
        // Images share layers, and the same bytes need to be read once.
        static READ: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
        for layer in self.layers(manifest) {
            if READ.lock().unwrap().contains(&layer) {
                continue;
            }
            let digest = layer;
            let layer = self.blob_path(&digest);
            let by_tar = |action: &str| {
                let mut tar = Command::new("tar");
                tar.args([action, "--gzip", "--quoting-style=literal", "--file"]);
                bytes_of(tar.arg(&layer))
            };
            let by_python = |action: &str| {
                let mut python = Command::new("python3");
                bytes_of(python.args(["-c", READ_BY_PYTHON, action]).arg(&layer))
            };
            for actions in [["--list", "list"], ["-xO", "extract"]] {
                let [tar, python] = [by_tar(actions[0]), by_python(actions[1])];
                assert!(tar == python, "{actions:?}: {}", layer.display());
            }
            READ.lock().unwrap().insert(digest);
        }
    }

    /// Fails the test unless the whole image is there and every digest holds, diff ids included.
    pub(crate) fn check(&self, manifest: &str) {
        let config = self.config(manifest);
        let diff_ids: Vec<&str> = config["rootfs"]["diff_ids"]
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_str().unwrap())
            .collect();
        let found: Vec<String> = self
            .layers(manifest)
            .iter()
            .map(|digest| sha256(&self.tar(digest)))
            .collect();
        assert_eq!(found, diff_ids);
    }
}

/// Does to a layer what tar does with `--list` and with `--extract --to-stdout`.
const READ_BY_PYTHON: &str = "
import os, sys, tarfile
out = sys.stdout.buffer
with tarfile.open(sys.argv[2], 'r:gz', encoding='utf-8') as layer:
    for member in layer:
        if sys.argv[1] == 'list':
            out.write(os.fsencode(member.name) + (b'/\\n' if member.isdir() else b'\\n'))
        elif member.isfile():
            out.write(layer.extractfile(member).read())
";

/// What a command that must succeed writes to stdout.
#[track_caller]
fn bytes_of(command: &mut Command) -> Vec<u8> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
    assert!(
        !output.stdout.is_empty(),
        "{command:?} wrote nothing\n{said}"
    );
    output.stdout
}

/// `sha256:` and the hex digest of some bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = "sha256:".to_owned();
    for byte in Sha256::digest(bytes) {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}
