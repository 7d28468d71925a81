//! An index on the loopback address that uv asks in place of others. It knows which package comes from
//! where, which uv's settings can say for direct requirements alone; and it has a hash for every file, without
//! which uv would fetch wheels whole and unpack them. It lives as long as one run of uv, and answers only who
//! knows the word in its address.
//!
//! Pages are those of PEP 691; files stay where they are. A fixed number of threads answers, none of which
//! an answer that fails takes along.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;

use crate::packages::Sha256;
use crate::packages::python::{PackageName, PackageUrl, WheelFileName, WheelTarget};
use crate::resolve::wheels::error::WheelError;
use crate::resolve::wheels::fetch::IndexFetch;
use crate::resolve::wheels::index::releases::{ProjectReleases, sdist_version};
use crate::resolve::wheels::index::{ProjectFile, all_linked_files, files_of};
use crate::resolve::wheels::settings::IndexSettings;

/// Stands for the hash of a file whose index does not tell it.
pub(in crate::resolve::wheels) const NO_HASH: Sha256 = Sha256([0; 32]);
/// Requests that are answered at once.
const THREADS: usize = 16;
/// Longest request, in bytes.
const MAX_REQUEST_BYTES: u64 = 16 * 1024;
/// Longest wait for a request, or for its answer to be taken.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a thread looks whether it is over that nobody woke up.
const GLANCE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 500_000_000,
};
/// Media type of a page.
const PAGE: &str = "application/vnd.pypi.simple.v1+json";

/// What is behind such an index.
#[derive(Clone, Copy)]
pub(in crate::resolve::wheels) struct Behind<'a> {
    pub(in crate::resolve::wheels) indexes: &'a IndexSettings,
    pub(in crate::resolve::wheels) fetch: &'a dyn IndexFetch,
    /// Projects of which releases that have a source distribution alone look as if they had a wheel, one that needs
    /// nothing: which of them would be taken is learned before any is built.
    pub(in crate::resolve::wheels) standing: &'a [PackageName],
    /// What wheels are for.
    pub(in crate::resolve::wheels) target: &'a WheelTarget,
}

struct LoopbackIndex<'a> {
    behind: Behind<'a>,
    /// The address that `path` begins behind.
    root: String,
    /// The path that pages lie below.
    path: String,
    /// The files on pages of links, once they were asked for.
    linked: Mutex<Option<Vec<ProjectFile>>>,
    failure: Mutex<Option<WheelError>>,
}

/// Gives the address of such an index to `use_front`; what came of that, and the first failure of an
/// index behind it.
///
/// # Errors
/// No port to listen on.
pub(in crate::resolve::wheels) fn serve<T>(
    behind: Behind<'_>,
    use_front: impl FnOnce(&str) -> T,
) -> io::Result<(T, Option<WheelError>)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let front = LoopbackIndex {
        behind,
        root: format!("http://{address}"),
        path: format!("/{}/simple", secret_word()?),
        linked: Mutex::new(None),
        failure: Mutex::new(None),
    };
    let over = Over {
        is_over: AtomicBool::new(false),
        address,
    };
    let came = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| front.attend(&listener, &over.is_over));
        }
        // Dropped too where `use_front` panics: the scope waits for its threads.
        let ending = Ending(&over);
        let came = use_front(&format!("{}{}", front.root, front.path));
        drop(ending);
        came
    });
    let failure = front.failure.into_inner();
    Ok((came, failure.unwrap_or_else(PoisonError::into_inner)))
}

/// Whether the threads are to end, and where they listen.
struct Over {
    is_over: AtomicBool,
    address: SocketAddr,
}

/// Ends the threads when it is dropped, by return and by panic alike.
struct Ending<'a>(&'a Over);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::SeqCst);
        for _ in 0..THREADS {
            // Wakes one of them up.
            let _ = TcpStream::connect_timeout(&self.0.address, Duration::from_millis(100));
        }
    }
}

/// A word that nobody guesses.
fn secret_word() -> io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl LoopbackIndex<'_> {
    /// Answers one client after the other, until it is over.
    fn attend(&self, listener: &TcpListener, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            let mut polled = [PollFd::new(listener, PollFlags::IN)];
            let _ = poll(&mut polled, Some(&GLANCE));
            if let Ok((client, _)) = listener.accept()
                && !is_over.load(Ordering::SeqCst)
            {
                // An answer that panics ends its connection; uv tells of it and ends.
                let _ = catch_unwind(AssertUnwindSafe(|| self.answer(client)));
            }
        }
    }

    fn answer(&self, mut client: TcpStream) {
        let _ = client.set_nonblocking(false);
        let _ = client.set_read_timeout(Some(PATIENCE));
        let _ = client.set_write_timeout(Some(PATIENCE));
        let (status, body) = match self.asked(&client) {
            None => ("404 Not Found", String::new()),
            Some(Asked::Metadata(wheel)) => ("200 OK", metadata(&wheel)),
            Some(Asked::Page(name)) => match self.files(&name) {
                Ok(files) if files.is_empty() => ("404 Not Found", String::new()),
                Ok(files) => ("200 OK", page(&name, &files)),
                Err(error) => {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    failure.get_or_insert(error);
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

    /// The files of a project, those on pages of links last.
    fn files(&self, name: &PackageName) -> Result<Vec<ProjectFile>, WheelError> {
        let mut files = files_of(self.behind.fetch, self.behind.indexes, name)?;
        let linked = self.linked()?;
        files.extend(linked.into_iter().filter(|file| file.is_of(name)));
        if self.behind.standing.contains(name) {
            let stands = self.stands(name, &files);
            files.extend(stands);
        }
        Ok(files)
    }

    /// Wheels that there are not, in the place of source distributions that have none beside them.
    fn stands(&self, name: &PackageName, files: &[ProjectFile]) -> Vec<ProjectFile> {
        let releases = ProjectReleases::of(files, name);
        let stands = files.iter().filter_map(|file| {
            let version = sdist_version(&file.name, name)?;
            let name = name.as_ref().replace('-', "_");
            let wheel = format!("{name}-{version}-py3-none-any.whl");
            let url = PackageUrl::parse(&format!("{}{}/{wheel}", self.root, self.path)).ok()?;
            let is_needed = releases.has_only_sdist(&version, self.behind.target);
            is_needed.then(|| ProjectFile {
                name: wheel,
                url,
                sha256: None,
                size_bytes: None,
                has_metadata: true,
                ..file.clone()
            })
        });
        stands.collect()
    }

    fn linked(&self) -> Result<Vec<ProjectFile>, WheelError> {
        let mut known = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.as_ref() {
            return Ok(known.clone());
        }
        let found = all_linked_files(self.behind.fetch, self.behind.indexes)?;
        *known = Some(found.clone());
        Ok(found)
    }

    /// What is asked for, if it is below the path.
    fn asked(&self, client: &TcpStream) -> Option<Asked> {
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
        let name = words.next()?.strip_prefix(&self.path)?.trim_matches('/');
        let wheel = name
            .strip_suffix(".metadata")
            .and_then(|file| file.parse().ok());
        match wheel {
            Some(wheel) => Some(Asked::Metadata(wheel)),
            None => name.parse().ok().map(Asked::Page),
        }
    }
}

/// What a client asks for.
enum Asked {
    Page(PackageName),
    /// Of a wheel that stands for a source distribution.
    Metadata(WheelFileName),
}

fn metadata(wheel: &WheelFileName) -> String {
    let (name, version) = (&wheel.name, &wheel.version);
    format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
}

fn page(name: &PackageName, files: &[ProjectFile]) -> String {
    let files = files.iter().map(|file| {
        let sha256 = file.sha256.unwrap_or(NO_HASH).to_string();
        let mut entry = json!({
            "filename": file.name,
            "url": super::run::for_uv(&file.url),
            "hashes": {"sha256": sha256},
            "requires-python": file.requires_python,
            "yanked": file.yanked,
            "core-metadata": file.has_metadata,
        });
        if let Some(time) = &file.uploaded {
            entry["upload-time"] = json!(time);
        }
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
