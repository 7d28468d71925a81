//! Blobs that a repository has: asking for them, and reading them as a checked stream.
//!
//! A blob's URL often leads on to a storage service by a signed link. The link expires, so a stream that broke off is taken up again at the registry, by
//! `Range` (RFC 9110, section 14) where the server can, else from a new beginning of which the bytes
//! already given are passed over. The digest is reckoned over what was given, so a server that
//! changes its mind in between is found out all the same.

use std::io::{self, Read};

use reqwest::{Method, Url};
use sha2::{Digest as _, Sha256};

use crate::net::ShownUrl;
use crate::net::http::{
    DeadlineReader, HttpError, HttpRequest, RetryState, Retryable as _, StreamedResponse,
};
use crate::net::registry::{RegistryError, RegistryRepository};
use crate::oci::Digest;

/// Times that one stream is taken up again, however well it moves on in between.
const MAX_RESUMES: u32 = 50;
/// Bytes read at once where they are passed over.
const SKIP_BYTES: usize = 64 << 10;

impl<'a> RegistryRepository<'a> {
    /// Whether the repository has the blob. Anything but a plain yes counts as no: an upload then
    /// settles it, and fails with a better reason if it must.
    pub(crate) fn head_blob(&self, digest: &Digest) -> Result<bool, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        let asked = self.patiently(|| self.send(&HttpRequest::new(Method::HEAD, url.clone())));
        match asked {
            Ok(reply) => Ok(reply.status() == 200),
            Err(error) if error.status().is_some() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Opens a blob for reading. Its length and sha256 are checked on the way: a blob of other bytes
    /// is an error before its last bytes are given. The first request is made here, so that what is
    /// not there is told at once.
    pub(crate) fn open_blob(
        &self,
        digest: &Digest,
        size: u64,
    ) -> Result<BlobReader<'_, 'a>, RegistryError> {
        let mut reader = BlobReader {
            registry: self,
            url: self.url(&format!("blobs/{digest}"))?,
            digest: *digest,
            size,
            reply: None,
            given: 0,
            hasher: Sha256::new(),
            patience: self.patience(),
            resumes: 0,
            checked: false,
        };
        reader.connect()?;
        Ok(reader)
    }

    /// Reads a small blob, an image config for instance, into memory. Refused unasked where it is
    /// larger than `max_bytes`.
    pub(crate) fn fetch_blob_bytes(
        &self,
        digest: &Digest,
        size: u64,
        max_bytes: u64,
    ) -> Result<Vec<u8>, RegistryError> {
        let url = self.url(&format!("blobs/{digest}"))?;
        if size > max_bytes {
            let (url, limit_bytes) = (ShownUrl::of(&url), max_bytes);
            return Err(HttpError::TooLarge { url, limit_bytes }.into());
        }
        let mut bytes = Vec::new();
        let reader = self.open_blob(digest, size)?;
        match DeadlineReader::document(reader).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                let (url, tries) = (ShownUrl::of(&url), 1);
                Err(HttpError::TimedOut { url, tries }.into())
            }
            Err(error) => Err(RegistryError::of_read(error, &ShownUrl::of(&url))),
        }
    }
}

/// A blob being read. Errors carry a [`RegistryError`].
pub(crate) struct BlobReader<'r, 'a> {
    registry: &'r RegistryRepository<'a>,
    url: Url,
    digest: Digest,
    size: u64,
    /// What is being read; none between a failure and the next try.
    reply: Option<StreamedResponse>,
    /// Bytes handed out so far.
    given: u64,
    hasher: Sha256,
    patience: RetryState,
    resumes: u32,
    /// The whole of it was handed out, and was right.
    checked: bool,
}

impl BlobReader<'_, '_> {
    /// Has a reply whose next byte is the one wanted; waits between tries.
    fn connect(&mut self) -> Result<(), RegistryError> {
        while self.reply.is_none() {
            match self.ask() {
                Ok(reply) => self.reply = Some(reply),
                Err(error) => self.wait(error)?,
            }
        }
        Ok(())
    }

    fn ask(&self) -> Result<StreamedResponse, RegistryError> {
        let mut request = HttpRequest::new(Method::GET, self.url.clone());
        if self.given > 0 {
            request.header("range", &format!("bytes={}-", self.given));
        }
        let mut reply = self.registry.send(&request)?;
        match reply.status() {
            200 => {
                if let Some(found) = reply.length().filter(|length| *length != self.size) {
                    let (url, expected) = (reply.shown(), self.size);
                    return Err(HttpError::WrongSize {
                        url,
                        expected,
                        found,
                    }
                    .into());
                }
                self.skip(&mut reply)?;
                Ok(reply)
            }
            206 if reply.range_start() == Some(self.given) => Ok(reply),
            // Some caches answer a range with a part that was not asked for.
            206 => Err(HttpError::Changed { url: reply.shown() }.into()),
            _ => Err(self.registry.refused(reply)),
        }
    }

    /// The whole blob comes again: passes over what was given.
    fn skip(&self, reply: &mut StreamedResponse) -> Result<(), HttpError> {
        let mut left = self.given;
        let mut piece = vec![0; if left > 0 { SKIP_BYTES } else { 0 }];
        while left > 0 {
            let wanted = usize::try_from(left).map_or(SKIP_BYTES, |left| left.min(SKIP_BYTES));
            let read = reply.read_some(&mut piece[..wanted])?;
            if read == 0 {
                return Err(self.cut());
            }
            left -= read as u64;
        }
        Ok(())
    }

    /// Waits for another try after `error`, or returns it.
    fn wait(&mut self, error: RegistryError) -> Result<(), RegistryError> {
        self.resumes += 1;
        if self.resumes > MAX_RESUMES {
            return Err(error.after(self.resumes));
        }
        self.registry.wait_or_give_up(&mut self.patience, error)
    }

    fn cut(&self) -> HttpError {
        HttpError::Broken {
            url: ShownUrl::of(&self.url),
            cause: "the blob ended early".to_owned(),
            tries: 1,
        }
    }

    fn too_long(&self, found: u64) -> RegistryError {
        let (url, expected) = (ShownUrl::of(&self.url), self.size);
        HttpError::WrongSize {
            url,
            expected,
            found,
        }
        .into()
    }

    /// Reads some bytes, taking the stream up again where it breaks.
    fn read_some(&mut self, buffer: &mut [u8]) -> Result<usize, RegistryError> {
        let left = self.size - self.given;
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        loop {
            self.connect()?;
            let Some(reply) = &mut self.reply else {
                continue;
            };
            let error = match reply.read_some(&mut buffer[..wanted]) {
                Ok(0) => self.cut(),
                Ok(read) => {
                    self.patience.progressed();
                    return Ok(read);
                }
                Err(error) => error,
            };
            self.reply = None;
            self.wait(error.into())?;
        }
    }

    /// The end: nothing may follow, and the digest must be the one asked for.
    fn check(&mut self) -> Result<(), RegistryError> {
        if let Some(mut reply) = self.reply.take()
            && reply.read_some(&mut [0]).is_ok_and(|more| more > 0)
        {
            return Err(self.too_long(self.size + 1));
        }
        let found = Digest::from_bytes(self.hasher.clone().finalize().into());
        if found == self.digest {
            self.checked = true;
            return Ok(());
        }
        Err(RegistryError::WrongDigest {
            url: ShownUrl::of(&self.url),
            expected: self.digest.to_string(),
            found: found.to_string(),
        })
    }
}

impl Read for BlobReader<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.checked {
            return Ok(0);
        }
        let read = if self.given < self.size {
            self.read_some(buffer).map_err(io::Error::other)?
        } else {
            0
        };
        self.hasher.update(&buffer[..read]);
        self.given += read as u64;
        if self.given == self.size {
            // Before the last bytes are given: who copies them on then stops short of the end.
            self.check().map_err(io::Error::other)?;
        }
        Ok(read)
    }
}
