//! HTTP/1.1 as bytes: what was asked, what is answered. Knows nothing of registries.
//!
//! RFC 9112; a request's head is read to its end before anything is decided about its body.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};

/// A head longer than this is no client's of ours.
const MAX_HEAD_BYTES: u64 = 64 << 10;

/// One request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query as they stood on the line.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Asked {
    pub(crate) fn path(&self) -> &str {
        self.target
            .split_once('?')
            .map_or(&*self.target, |(path, _)| path)
    }

    /// The query's pairs, undone from their percent signs.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        self.target
            .split_once('?')
            .map(|(_, query)| pairs(query))
            .unwrap_or_default()
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = self.query().into_iter();
        pairs
            .find(|(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// The first header of this name, which is in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(found, _)| found == name)
            .map(|(_, value)| &**value)
    }

    pub(crate) fn length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// What a form (`application/x-www-form-urlencoded`) in the body says.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let split = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(split)
        .collect()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let hex: Vec<u8> = if byte == b'%' {
            rest.by_ref().take(2).collect()
        } else {
            Vec::new()
        };
        match u8::from_str_radix(&String::from_utf8_lossy(&hex), 16) {
            Ok(value) => bytes.push(value),
            Err(_) if byte == b'+' => bytes.push(b' '),
            Err(_) => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One answer. `Content-Length` is made from the body unless it is among the headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn of(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// An error document of the distribution-spec.
    pub(crate) fn error(status: u16, code: &str) -> Self {
        let document = serde_json::json!({"errors": [{"code": code, "message": "as scripted"}]});
        Self::of(status)
            .with("content-type", "application/json")
            .body(document.to_string().as_bytes())
    }

    /// With this header, in the place of one of the same name.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(found, _)| found != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more header, whether there is one of its name or not.
    pub(crate) fn and(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn body(mut self, bytes: &[u8]) -> Self {
        bytes.clone_into(&mut self.body);
        self
    }

    /// The bytes on the wire; a HEAD's answer has the length of a body that does not come.
    pub(crate) fn bytes(&self, is_head: bool) -> Vec<u8> {
        let mut text = format!("HTTP/1.1 {} Scripted\r\n", self.status);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |name: &str| self.headers.iter().any(|(found, _)| found == name);
        if !has("content-length") && !has("transfer-encoding") && self.status != 204 {
            text.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        if !is_head {
            bytes.extend(&self.body);
        }
        bytes
    }
}

/// A connection from the server's side.
pub(crate) struct Wire {
    reader: BufReader<TcpStream>,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// The next request without its body; `None` when the client is done.
    pub(crate) fn head(&mut self) -> Option<Asked> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let mut limited = (&mut self.reader).take(MAX_HEAD_BYTES);
            if limited.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let (first, headers) = lines.split_first()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let header = |line: &String| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        let asked = Asked {
            method,
            target,
            headers: headers.iter().filter_map(header).collect(),
            body: Vec::new(),
        };
        if asked.header("expect").is_some() {
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        Some(asked)
    }

    /// Reads this many bytes of the body; whether they all came.
    pub(crate) fn body(&mut self, asked: &mut Asked, bytes: u64) -> bool {
        let mut limited = (&mut self.reader).take(bytes);
        let read = limited.read_to_end(&mut asked.body);
        read.is_ok_and(|read| read as u64 == bytes)
    }

    /// Reads a body whose length was not told.
    pub(crate) fn chunked(&mut self, asked: &mut Asked) -> bool {
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line).is_err() {
                return false;
            }
            let Ok(length) = u64::from_str_radix(line.trim(), 16) else {
                return false;
            };
            if !self.body(asked, length) || self.reader.read_line(&mut line).is_err() {
                return false;
            }
            if length == 0 {
                return true;
            }
        }
    }

    /// Whether the other side took them.
    pub(crate) fn send(&self, bytes: &[u8]) -> bool {
        self.reader.get_ref().write_all(bytes).is_ok()
    }

    /// Ends the connection as a program does that says all it has to say.
    pub(crate) fn close(&self) {
        let _ = self.reader.get_ref().shutdown(Shutdown::Both);
    }
}
