//! An index on the loopback address that uv asks in place of a project's own: it knows which package
//! comes from where, which uv's settings can say for direct requirements alone. It lives as long as one
//! run of uv, and answers only who knows the word in its address.
//!
//! Pages are those of PEP 691; files stay where they are.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;

use super::error::ResolveError;
use super::fetch::Fetch;
use super::index::{IndexFile, files_of};
use super::settings::Indexes;
use crate::packages::python::PackageName;

/// Longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 16 * 1024;
/// Longest wait for a request, or for its answer to be taken.
const PATIENCE: Duration = Duration::from_mins(1);
/// Media type of a page.
const PAGE: &str = "application/vnd.pypi.simple.v1+json";

struct Front<'a> {
    indexes: &'a Indexes,
    fetch: &'a dyn Fetch,
    /// The path that pages lie below.
    path: String,
    failure: Mutex<Option<ResolveError>>,
}

/// Gives the address of such an index to `use_front`; what came of that, and the first failure of an
/// index behind it.
///
/// # Errors
/// No port to listen on.
pub(super) fn serve<T>(
    indexes: &Indexes,
    fetch: &dyn Fetch,
    use_front: impl FnOnce(&str) -> T,
) -> io::Result<(T, Option<ResolveError>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let front = Front {
        indexes,
        fetch,
        path: format!("/{}/simple", secret_word()?),
        failure: Mutex::new(None),
    };
    let is_over = AtomicBool::new(false);
    let came = std::thread::scope(|scope| {
        scope.spawn(|| {
            for client in listener.incoming() {
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                if let Ok(client) = client {
                    scope.spawn(|| front.answer(client));
                }
            }
        });
        let came = use_front(&format!("http://{address}{}", front.path));
        is_over.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(address));
        came
    });
    Ok((came, front.failure.into_inner().unwrap_or_default()))
}

/// A word that nobody guesses.
fn secret_word() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Front<'_> {
    fn answer(&self, mut client: TcpStream) {
        let _ = client.set_read_timeout(Some(PATIENCE));
        let _ = client.set_write_timeout(Some(PATIENCE));
        let (status, body) = match self.asked(&client) {
            None => ("404 Not Found", String::new()),
            Some(name) => match files_of(self.fetch, self.indexes, &name) {
                Ok(files) if files.is_empty() => ("404 Not Found", String::new()),
                Ok(files) => ("200 OK", page(&name, &files)),
                Err(error) => {
                    if let Ok(mut failure) = self.failure.lock() {
                        failure.get_or_insert(error);
                    }
                    // A status that uv neither tries again nor takes for an empty page.
                    ("400 Bad Request", String::new())
                }
            },
        };
        let _ = write!(
            client,
            "HTTP/1.1 {status}\r\nContent-Type: {PAGE}\r\nContent-Length: {}\r\n\
             Cache-Control: no-store\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = client.shutdown(Shutdown::Write);
    }

    /// The project that is asked for, if it is one below the path.
    fn asked(&self, client: &TcpStream) -> Option<PackageName> {
        let mut lines = BufReader::new(client.take(MAX_REQUEST_BYTES)).lines();
        let request = lines.next()?.ok()?;
        // The client may still be sending: read to the end of its head.
        lines
            .take_while(|line| line.as_ref().is_ok_and(|line| !line.is_empty()))
            .for_each(drop);
        let mut words = request.split(' ');
        if words.next()? != "GET" {
            return None;
        }
        let name = words.next()?.strip_prefix(&self.path)?;
        name.trim_matches('/').parse().ok()
    }
}

fn page(name: &PackageName, files: &[IndexFile]) -> String {
    let files = files.iter().map(|file| {
        let mut hashes = serde_json::Map::new();
        if let Some(sha256) = file.sha256 {
            hashes.insert("sha256".to_owned(), json!(sha256.to_string()));
        }
        let mut entry = json!({
            "filename": file.name,
            "url": super::uv::for_uv(&file.url),
            "hashes": hashes,
            "requires-python": file.requires_python,
            "yanked": file.yanked,
            "core-metadata": file.has_metadata,
        });
        // uv refuses a page that says `null` here.
        if let Some(size) = file.size_bytes {
            entry["size"] = json!(size);
        }
        entry
    });
    json!({
        "meta": {"api-version": "1.0"},
        "name": name.as_ref(),
        "files": files.collect::<Vec<_>>(),
    })
    .to_string()
}
