//! A real registry (Debian's `docker-registry`) on a free port of the loopback address.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::tools::{free_port, temporary};

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running registry; ends with the value.
pub(crate) struct Registry {
    process: Child,
    port: u16,
    storage: TempDir,
}

/// What a registry asks of its clients, and how it listens: sections of its configuration.
#[derive(Default)]
pub(crate) struct Setup {
    /// `auth`, as it stands in the file.
    pub(crate) auth: String,
    /// Of `http`.
    pub(crate) tls: String,
    /// Of `storage`.
    pub(crate) storage: String,
}

impl Registry {
    pub(crate) fn start() -> Self {
        Self::with(&Setup::default())
    }

    pub(crate) fn with(setup: &Setup) -> Self {
        let storage = temporary();
        let port = free_port();
        let Setup {
            auth,
            tls,
            storage: more,
        } = setup;
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}{more}}}\n\
             http: {{addr: \"127.0.0.1:{port}\"{tls}}}\n{auth}\n",
            storage.path().join("storage").display()
        );
        fs::write(storage.path().join("config.yml"), text).unwrap();
        let process = serve(&storage, port);
        Self {
            process,
            port,
            storage,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Ends it at once, whatever it is doing, and starts it again over what it left on the disk.
    pub(crate) fn crash(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        self.process = serve(&self.storage, self.port);
    }

    /// A repository in this registry, as it stands in an image reference.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// The manifest's bytes under a tag or digest.
    pub(crate) fn manifest(&self, name: &str, tag: &str) -> Option<Vec<u8>> {
        let answer = get(self.port, &format!("/v2/{name}/manifests/{tag}"))?;
        (answer.status == 200).then_some(answer.body)
    }

    /// Makes the registry lose a blob of a repository.
    pub(crate) fn delete_blob(&self, name: &str, digest: &str) {
        self.delete(&format!("/v2/{name}/blobs/{digest}"));
    }

    /// Makes the registry lose a manifest, and all tags that name it.
    pub(crate) fn delete_manifest(&self, name: &str, digest: &str) {
        self.delete(&format!("/v2/{name}/manifests/{digest}"));
    }

    fn delete(&self, path: &str) {
        let answer = ask("DELETE", self.port, path).expect("an answer");
        assert_eq!(answer.status, 202, "{path}");
    }
}

/// Starts the program, and waits until it answers.
fn serve(storage: &TempDir, port: u16) -> Child {
    let process = Command::new("docker-registry")
        .arg("serve")
        .arg(storage.path().join("config.yml"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker-registry does not start; tests/run installs it");
    let started = Instant::now();
    // 401 where it wants to know who asks, 400 where it wants TLS.
    while get(port, "/v2/").is_none_or(|answer| !matches!(answer.status, 200 | 400 | 401)) {
        assert!(started.elapsed() < START_LIMIT, "no registry on {port}");
        sleep(Duration::from_millis(20));
    }
    process
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// One GET to the loopback address; `None` while nobody answers.
pub(crate) fn get(port: u16, path: &str) -> Option<Answer> {
    ask("GET", port, path)
}

fn ask(method: &str, port: u16, path: &str) -> Option<Answer> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\n\
         Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
         application/vnd.docker.distribution.manifest.v2+json, \
         application/vnd.docker.distribution.manifest.list.v2+json, */*\r\n\r\n"
    )
    .ok()?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok()?;
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Answer {
        status,
        body: bytes[end + 4..].to_vec(),
    })
}
