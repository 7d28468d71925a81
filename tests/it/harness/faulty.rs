//! A registry on the loopback address that is right, except where its script says otherwise, and that
//! expects of each request what the distribution-spec expects of a client.
//!
//! It has two hosts: `127.0.0.1`, and `localhost` on another port, which plays the storage service, the
//! upload host and the token service elsewhere. It shares no code with the program.

mod expect;
mod rules;
mod shelf;
mod tokens;
mod wire;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use serde_json::Value;

use crate::harness::layout::sha256;
use shelf::{Call, Hosts, Shelf};
use tokens::Tokens;
use wire::{Asked, Wire};

pub(crate) use rules::{Act, Chunks, Kind, MOMENTS, Moment, Mounts, Place, Quirks, Rule};
pub(crate) use tokens::{Auth, Bearer, basic};
pub(crate) use wire::Answer;

/// An endless body is that long, in case nobody stops reading.
const ENDLESS_BYTES: usize = 256 << 20;

/// One request as it was met.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) method: String,
    pub(crate) target: String,
    /// Bytes of the body that were read.
    pub(crate) bytes: usize,
    /// 0 where none was answered.
    pub(crate) status: u16,
    pub(crate) is_elsewhere: bool,
    pub(crate) authorization: Option<String>,
    /// What the token service was sent.
    pub(crate) form: String,
}

struct State {
    shelf: Shelf,
    tokens: Tokens,
    auth: Auth,
    quirks: Quirks,
    rules: Vec<Rule>,
    log: Vec<Entry>,
    complaints: Vec<String>,
    /// Requests that are still answered before the registry goes away.
    leaves_after: Option<usize>,
}

struct Shared {
    state: Mutex<State>,
    stopped: AtomicBool,
    /// Ends of the connections, to end them all at once.
    connections: Mutex<Vec<TcpStream>>,
    /// Ports of the two hosts.
    ports: [u16; 2],
}

/// A running registry; ends with the value, and fails the test if a request was against the specification.
pub(crate) struct Faulty {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Faulty {
    pub(crate) fn start() -> Self {
        Self::with(Quirks::default())
    }

    pub(crate) fn with(quirks: Quirks) -> Self {
        Self::asking(Auth::Open, quirks)
    }

    pub(crate) fn asking(auth: Auth, quirks: Quirks) -> Self {
        let listeners = [(); 2].map(|()| TcpListener::bind(("127.0.0.1", 0)).unwrap());
        let ports = listeners
            .each_ref()
            .map(|listener| listener.local_addr().unwrap().port());
        let state = State {
            shelf: Shelf::default(),
            tokens: Tokens::default(),
            auth,
            quirks,
            rules: Vec::new(),
            log: Vec::new(),
            complaints: Vec::new(),
            leaves_after: None,
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            stopped: AtomicBool::new(false),
            connections: Mutex::default(),
            ports,
        });
        let listeners = listeners.into_iter().enumerate();
        let threads = listeners.map(|(number, listener)| shared.listen(listener, number == 1));
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// At this request from now the registry is gone: connections end, and nobody listens any more.
    pub(crate) fn goes_away_at(&self, number: usize) {
        self.state().leaves_after = Some(number);
    }

    /// It listens again, and has what it had.
    pub(crate) fn comes_back(&mut self) {
        assert!(
            self.state().leaves_after == Some(0),
            "the registry never went away\n{}",
            self.log_text()
        );
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        self.state().leaves_after = None;
        self.shared.stopped.store(false, Ordering::SeqCst);
        for (number, port) in self.shared.ports.into_iter().enumerate() {
            let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
            self.threads.push(self.shared.listen(listener, number == 1));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.shared.ports[0])
    }

    /// A repository in this registry, as it stands in an image reference.
    pub(crate) fn repository(&self, name: &str) -> String {
        format!("{}/{name}", self.host())
    }

    /// Replaces the script; counting starts anew.
    pub(crate) fn script(&self, rules: impl IntoIterator<Item = Rule>) {
        self.state().rules = rules.into_iter().collect();
    }

    /// Forgets the requests so far, and gives them.
    pub(crate) fn take_log(&self) -> Vec<Entry> {
        std::mem::take(&mut self.state().log)
    }

    pub(crate) fn log(&self) -> Vec<Entry> {
        self.state().log.clone()
    }

    /// Requests of a kind so far.
    pub(crate) fn count(&self, kind: Kind) -> usize {
        self.log().iter().filter(|entry| entry.kind == kind).count()
    }

    /// Blobs that were taken.
    pub(crate) fn uploaded(&self) -> usize {
        let taken = |entry: &&Entry| {
            matches!(entry.kind, Kind::Put | Kind::Single) && matches!(entry.status, 201 | 204)
        };
        self.log().iter().filter(taken).count()
    }

    /// Puts a blob there without being asked.
    pub(crate) fn put_blob(&self, repository: &str, bytes: &[u8]) -> String {
        let digest = sha256(bytes);
        let mut state = self.state();
        let repository = state.shelf.repository(repository);
        repository.blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    /// Puts a manifest or index there without being asked, under a tag or none.
    pub(crate) fn put_manifest(&self, repository: &str, tag: Option<&str>, document: &Value) {
        let bytes = document.to_string().into_bytes();
        let digest = sha256(&bytes);
        let media_type = document["mediaType"].as_str().unwrap().to_owned();
        let mut state = self.state();
        let repository = state.shelf.repository(repository);
        repository
            .manifests
            .insert(digest.clone(), (media_type, bytes));
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
    }

    /// Loses a blob, as a registry does whose garbage collection is wrong.
    pub(crate) fn lose_blob(&self, repository: &str, digest: &str) {
        let mut state = self.state();
        state.shelf.repository(repository).blobs.remove(digest);
    }

    /// Loses everything, uploads included.
    pub(crate) fn lose_all(&self) {
        self.state().shelf = Shelf::default();
    }

    pub(crate) fn blobs(&self, repository: &str) -> BTreeSet<String> {
        let mut state = self.state();
        let repository = state.shelf.repository(repository);
        repository.blobs.keys().cloned().collect()
    }

    /// Uploads that were begun and neither ended nor given up.
    pub(crate) fn open_uploads(&self) -> usize {
        self.state().shelf.sessions.len()
    }

    pub(crate) fn digest(&self, repository: &str, tag: &str) -> Option<String> {
        let mut state = self.state();
        state.shelf.repository(repository).tags.get(tag).cloned()
    }

    /// The bytes that a tag names.
    pub(crate) fn manifest(&self, repository: &str, tag: &str) -> Value {
        let digest = self.digest(repository, tag).unwrap();
        let mut state = self.state();
        let (_, bytes) = &state.shelf.repository(repository).manifests[&digest];
        serde_json::from_slice(bytes).unwrap()
    }

    /// Fails the test unless all that the tag leads to is there, with right digests; the tag's digest.
    #[track_caller]
    pub(crate) fn complete(&self, repository: &str, tag: &str) -> String {
        let digest = self
            .digest(repository, tag)
            .unwrap_or_else(|| panic!("no tag {tag}\n{}", self.log_text()));
        let mut state = self.state();
        let mut due = vec![digest.clone()];
        while let Some(next) = due.pop() {
            let (_, bytes) = &state.shelf.repository(repository).manifests[&next];
            assert_eq!(sha256(bytes), next);
            let document: Value = serde_json::from_slice(bytes).unwrap();
            let missing = state.shelf.missing(repository, &document);
            assert!(missing.is_empty(), "{next} lacks {missing:?}");
            let children = document["manifests"].as_array().into_iter().flatten();
            due.extend(children.map(|child| child["digest"].as_str().unwrap().to_owned()));
        }
        for (digest, bytes) in &state.shelf.repository(repository).blobs {
            assert_eq!(sha256(bytes), *digest);
        }
        digest
    }

    pub(crate) fn log_text(&self) -> String {
        self.state().log_text()
    }

    /// Fails the test if a request was against the specification.
    #[track_caller]
    pub(crate) fn is_content(&self) {
        let state = self.state();
        assert!(
            state.complaints.is_empty(),
            "{}\n{}",
            state.complaints.join("\n"),
            state.log_text()
        );
    }
}

impl Drop for Faulty {
    #[expect(clippy::print_stderr, reason = "what was asked explains a failure")]
    fn drop(&mut self) {
        self.shared.stop();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        if thread::panicking() {
            eprintln!("{}", self.log_text());
        } else {
            self.is_content();
        }
    }
}

impl State {
    fn log_text(&self) -> String {
        let mut text = String::new();
        for (number, entry) in self.log.iter().enumerate() {
            let host = if entry.is_elsewhere { " elsewhere" } else { "" };
            let who = entry.authorization.as_deref().map_or("", |_| " authorized");
            writeln!(
                text,
                "{number:3} {} {} {:?} {} bytes -> {}{host}{who}",
                entry.method, entry.target, entry.kind, entry.bytes, entry.status
            )
            .unwrap();
        }
        text
    }
}

/// What becomes of the connection.
#[derive(PartialEq, Eq)]
enum Next {
    Goes,
    Ends,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hosts(&self) -> Hosts {
        Hosts {
            here: format!("http://127.0.0.1:{}", self.ports[0]),
            elsewhere: format!("http://localhost:{}", self.ports[1]),
        }
    }

    fn listen(self: &Arc<Self>, listener: TcpListener, is_elsewhere: bool) -> JoinHandle<()> {
        let shared = Arc::clone(self);
        thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopped.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.unwrap();
                let shared = Arc::clone(&shared);
                let end = stream.try_clone().unwrap();
                shared.connections.lock().unwrap().push(end);
                thread::spawn(move || shared.serve(stream, is_elsewhere));
            }
        })
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        // Wakes the threads that wait for a connection.
        for port in self.ports {
            let _ = TcpStream::connect(("127.0.0.1", port));
        }
        for connection in self.connections.lock().unwrap().drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Counts down to the registry's end; whether it is reached.
    fn leaves(&self) -> bool {
        let mut state = self.state();
        let Some(left) = state.leaves_after.filter(|left| *left > 0) else {
            return state.leaves_after.is_some();
        };
        state.leaves_after = Some(left - 1);
        drop(state);
        if left == 1 {
            self.stop();
        }
        left == 1
    }

    fn serve(&self, stream: TcpStream, is_elsewhere: bool) {
        let mut wire = Wire::new(stream);
        while let Some(mut asked) = wire.head() {
            if self.leaves() || self.stopped.load(Ordering::SeqCst) {
                break;
            }
            if self.one(&mut wire, &mut asked, is_elsewhere) == Next::Ends {
                break;
            }
        }
        wire.close();
    }

    /// Answers one request.
    fn one(&self, wire: &mut Wire, asked: &mut Asked, is_elsewhere: bool) -> Next {
        let kind = shelf::call(asked).map_or(Kind::Unknown, |call| call.kind);
        let (number, act, limit) = self.note(asked, kind, is_elsewhere);
        let length = asked.length().unwrap_or(0);
        let is_head = asked.method == "HEAD";
        match &act {
            Some(Act::Cut(Moment::BeforeBody)) => return Next::Ends,
            Some(Act::Cut(Moment::InBody)) => {
                wire.body(asked, length / 2);
                self.was_cut(asked, number);
                return Next::Ends;
            }
            Some(Act::Expire) => self.state().tokens.expire(),
            Some(Act::Early(answer)) => return self.early(wire, number, answer),
            _ => {}
        }
        if limit.is_some_and(|limit| length > limit) {
            return self.early(wire, number, &Answer::of(413));
        }
        let whole = if asked.header("transfer-encoding").is_some() {
            wire.chunked(asked)
        } else {
            wire.body(asked, length)
        };
        if !whole {
            self.was_cut(asked, number);
            return Next::Ends;
        }
        let answer = match &act {
            Some(Act::Answer(answer)) => {
                self.expects(asked, is_elsewhere);
                answer.clone()
            }
            Some(Act::Elsewhere(status)) => {
                self.expects(asked, is_elsewhere);
                let place = format!("{}{}", self.hosts().elsewhere, asked.target);
                Answer::of(*status).with("location", &place)
            }
            Some(Act::DoneBut(answer)) => {
                self.done(asked, is_elsewhere);
                answer.clone()
            }
            _ => self.done(asked, is_elsewhere),
        };
        if matches!(act, Some(Act::Cut(_) | Act::DoneBut(_))) {
            self.shake(asked);
        }
        let answer = changed(answer, act.as_ref());
        self.entry(number, |entry| {
            entry.bytes = asked.body.len();
            entry.status = answer.status;
            if kind == Kind::Token {
                entry.form = String::from_utf8_lossy(&asked.body).into_owned();
            }
        });
        let bytes = answer.bytes(is_head);
        let went = match act {
            Some(Act::Cut(Moment::BeforeAnswer)) => false,
            Some(Act::Cut(_)) => {
                wire.send(&bytes[..bytes.len() / 2]);
                false
            }
            Some(Act::Slow(time)) => {
                thread::sleep(time);
                wire.send(&bytes)
            }
            Some(Act::Endless) => {
                let mut goes = wire.send(&bytes);
                let mut piece = b"10000\r\n".to_vec();
                piece.resize(piece.len() + 0x10000, b' ');
                piece.extend(b"\r\n");
                for _ in 0..ENDLESS_BYTES / piece.len() {
                    goes = goes && wire.send(&piece);
                }
                false
            }
            _ => wire.send(&bytes),
        };
        if went { Next::Goes } else { Next::Ends }
    }

    /// Answers before the body is read, as a proxy does that will not have it.
    fn early(&self, wire: &Wire, number: usize, answer: &Answer) -> Next {
        self.entry(number, |entry| entry.status = answer.status);
        wire.send(&answer.clone().with("connection", "close").bytes(false));
        // Whoever still sends shall see the answer before the reset.
        thread::sleep(std::time::Duration::from_millis(20));
        Next::Ends
    }

    /// Writes a request down and looks into the script.
    fn note(
        &self,
        asked: &Asked,
        kind: Kind,
        is_elsewhere: bool,
    ) -> (usize, Option<Act>, Option<u64>) {
        let mut state = self.state();
        state.log.push(Entry {
            kind,
            method: asked.method.clone(),
            target: asked.target.clone(),
            bytes: 0,
            status: 0,
            is_elsewhere,
            authorization: asked.header("authorization").map(str::to_owned),
            form: String::new(),
        });
        // Every rule counts; the first that meets it decides.
        let met: Vec<Act> = state
            .rules
            .iter_mut()
            .filter_map(|rule| rule.meets(kind))
            .collect();
        (
            state.log.len() - 1,
            met.into_iter().next(),
            state.quirks.body_limit,
        )
    }

    fn entry(&self, number: usize, change: impl FnOnce(&mut Entry)) {
        // The log may have been taken meanwhile.
        if let Some(entry) = self.state().log.get_mut(number) {
            change(entry);
        }
    }

    fn was_cut(&self, asked: &Asked, number: usize) {
        self.entry(number, |entry| entry.bytes = asked.body.len());
        let mut state = self.state();
        let keeps = state.quirks.keeps_parts;
        if let Some(call) = shelf::call(asked) {
            state.shelf.cut(&call, keeps);
        }
    }

    /// An answer will not arrive.
    fn shake(&self, asked: &Asked) {
        if let Some(call) = shelf::call(asked) {
            self.state().shelf.cut(&call, false);
        }
    }

    /// Complains of a request that is against the specification.
    fn expects(&self, asked: &Asked, is_elsewhere: bool) {
        let mut state = self.state();
        let state = &mut *state;
        let unknown = || Call {
            asked,
            kind: Kind::Unknown,
            repository: String::new(),
            last: String::new(),
        };
        let call = shelf::call(asked).unwrap_or_else(unknown);
        if call.kind == Kind::Token {
            return;
        }
        for what in expect::complaints(&call, &state.shelf, &state.quirks, is_elsewhere) {
            let number = state.log.len() - 1;
            let line = format!("{number:3} {} {}: {what}", asked.method, asked.target);
            state.complaints.push(line);
        }
    }

    fn done(&self, asked: &Asked, is_elsewhere: bool) -> Answer {
        self.expects(asked, is_elsewhere);
        let hosts = self.hosts();
        let mut state = self.state();
        let state = &mut *state;
        let Some(call) = shelf::call(asked) else {
            return Answer::error(404, "UNSUPPORTED");
        };
        if call.kind == Kind::Token {
            return state.tokens.grant(&state.auth, asked);
        }
        // What lies elsewhere is open to who knows the URL.
        if !is_elsewhere {
            let away = matches!(&state.auth, Auth::Bearer(bearer) if bearer.is_elsewhere);
            let host = if away { &hosts.elsewhere } else { &hosts.here };
            let realm = format!("{host}/token");
            if let Some(refused) = state.tokens.refusal(&state.auth, &call, &realm) {
                return refused;
            }
        }
        if call.kind == Kind::Mount {
            let from = asked.parameter("from").unwrap_or_default();
            if !state.tokens.may_pull(&state.auth, &call, &from) {
                let declining = Quirks {
                    mounts: Mounts::Declined,
                    ..state.quirks.clone()
                };
                return state.shelf.answer(&call, &declining, &hosts);
            }
        }
        state.shelf.answer(&call, &state.quirks, &hosts)
    }
}

fn changed(answer: Answer, act: Option<&Act>) -> Answer {
    match act {
        Some(Act::Header(name, value)) => {
            let mut answer = answer.with(name, value);
            answer.headers.retain(|(_, value)| !value.is_empty());
            answer
        }
        Some(Act::Lie) => {
            let mut answer = answer;
            answer.body.iter_mut().for_each(|byte| *byte ^= 0x55);
            answer
        }
        Some(Act::Endless) => answer.with("transfer-encoding", "chunked").body(b""),
        Some(Act::HugeHeaders(bytes)) => answer.with("x-huge", &"x".repeat(*bytes)),
        _ => answer,
    }
}
