//! Bodies that have to end: a server that gives a byte now and then keeps every time-out for silence from
//! being reached, and would hold a build for as long as it likes.

use std::io::{self, Read};
use std::time::{Duration, Instant};

/// A document has this long whatever its size.
const DOCUMENT: Duration = Duration::from_mins(1);
/// And a second more for this many bytes that have come.
const BYTES_A_SECOND: u64 = 16 << 10;

/// A body that is an error, [`io::ErrorKind::TimedOut`], once it takes too long as a whole.
#[derive(Debug)]
pub(crate) struct DeadlineReader<R> {
    inner: R,
    start: Instant,
    base: Duration,
    read: u64,
}

impl<R: Read> DeadlineReader<R> {
    /// With the time that a document has.
    pub(crate) fn document(inner: R) -> Self {
        Self::within(inner, DOCUMENT)
    }

    /// With so much time, and more for what comes.
    pub(crate) fn within(inner: R, base: Duration) -> Self {
        Self {
            inner,
            start: Instant::now(),
            base,
            read: 0,
        }
    }
}

impl<R: Read> Read for DeadlineReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let allowed = self.base + Duration::from_secs(self.read / BYTES_A_SECOND);
        if self.start.elapsed() > allowed {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let read = self.inner.read(buffer)?;
        self.read += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// A byte, and a pause.
    struct Drips;

    impl Read for Drips {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            thread::sleep(Duration::from_millis(1));
            buffer[0] = b'x';
            Ok(1)
        }
    }

    #[test]
    fn what_drips_comes_to_an_end() {
        let mut body = Vec::new();
        let drips = Drips.take(100_000);
        let ended = DeadlineReader::within(drips, Duration::from_millis(30)).read_to_end(&mut body);
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(body.len() < 100);
    }

    #[test]
    fn what_comes_in_time_is_given_as_it_is() {
        let mut body = Vec::new();
        let text: &[u8] = b"all of it";
        DeadlineReader::document(text)
            .read_to_end(&mut body)
            .unwrap();
        assert_eq!(body, text);
    }
}
