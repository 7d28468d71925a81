//! An authority of the tests' own, and certificates of it: made by the `openssl` program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::harness::tools::{finish, temporary};

/// An authority; its folder goes with the value.
pub(crate) struct Authority {
    dir: TempDir,
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

fn openssl(arguments: &[&str]) {
    finish(Command::new("openssl").args(arguments)).ok();
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

impl Authority {
    pub(crate) fn new() -> Self {
        let dir = temporary();
        let authority = Self { dir };
        let (key, certificate) = (authority.path("ca.key"), authority.certificate());
        openssl(&[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=s2r-it",
            "-addext",
            "basicConstraints=critical,CA:TRUE",
            "-addext",
            "keyUsage=critical,keyCertSign,digitalSignature",
            "-keyout",
            text(&key),
            "-out",
            text(&certificate),
        ]);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A certificate for this machine's loopback names (`serverAuth`) or for a client (`clientAuth`).
    pub(crate) fn issue(&self, name: &str, purpose: &str) -> Identity {
        let (key, request) = (
            self.path(&format!("{name}.key")),
            self.path(&format!("{name}.csr")),
        );
        let certificate = self.path(&format!("{name}.crt"));
        let extensions = self.path(&format!("{name}.ext"));
        let lines = format!(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\\nextendedKeyUsage={purpose}\\nbasicConstraints=CA:FALSE\\n"
        );
        fs::write(&extensions, lines.replace("\\n", "\n")).unwrap();
        openssl(&[
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-subj",
            "/CN=s2r-it",
            "-keyout",
            text(&key),
            "-out",
            text(&request),
        ]);
        openssl(&[
            "x509",
            "-req",
            "-days",
            "1",
            "-in",
            text(&request),
            "-CA",
            text(&self.certificate()),
            "-CAkey",
            text(&self.path("ca.key")),
            "-CAcreateserial",
            "-extfile",
            text(&extensions),
            "-out",
            text(&certificate),
        ]);
        Identity { certificate, key }
    }
}

/// RS256 of some bytes.
pub(crate) fn signature(key: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["dgst", "-sha256", "-sign", text(key)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    output.stdout
}
