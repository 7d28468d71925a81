//! The script: which requests meet which fault, and what kind of registry this is on its best day.

use std::time::Duration;

use crate::harness::faulty::wire::Answer;

/// What a request is, by the distribution-spec's table of end points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Ping,
    Token,
    HeadBlob,
    GetBlob,
    /// POST that opens an upload.
    Start,
    /// POST with the whole blob.
    Single,
    Mount,
    Patch,
    /// PUT that closes an upload.
    Put,
    /// GET of an upload.
    Status,
    /// DELETE of an upload.
    Cancel,
    HeadManifest,
    GetManifest,
    PutManifest,
    Referrers,
    Tags,
    /// A blob's bytes on the other host.
    Storage,
    Unknown,
}

/// When a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// The head was read.
    BeforeBody,
    /// Half of the body was read.
    InBody,
    /// What was asked for is done.
    BeforeAnswer,
    /// Half of the answer was sent.
    InAnswer,
}

pub(crate) const MOMENTS: [Moment; 4] = [
    Moment::BeforeBody,
    Moment::InBody,
    Moment::BeforeAnswer,
    Moment::InAnswer,
];

/// A fault.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Answered so, and not done.
    Answer(Answer),
    /// Answered so before the body is read, and the connection ended.
    Early(Answer),
    /// Done, and then answered so.
    DoneBut(Answer),
    /// Done and answered as usual, but with this header; an empty value takes it away.
    Header(&'static str, String),
    Cut(Moment),
    /// Done, and the answer comes late.
    Slow(Duration),
    /// The answer's body is other bytes of the same length.
    Lie,
    /// Done and answered as usual, but with a body that does not end.
    Endless,
    /// All tokens so far are worth nothing any more, and this request is the first to find out.
    Expire,
    /// Not done: the same is to be asked of the other host, says this status.
    Elsewhere(u16),
    /// As usual, and headers of this many bytes.
    HugeHeaders(usize),
}

/// A fault and the requests that meet it.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// Any, if `None`.
    pub(crate) kind: Option<Kind>,
    /// The first request of this kind that is met, counted from 1.
    pub(crate) from: usize,
    pub(crate) count: usize,
    pub(crate) act: Act,
    /// Requests of this kind so far.
    pub(crate) seen: usize,
}

impl Rule {
    /// Meets the `number`-th request of a kind.
    pub(crate) fn nth(kind: impl Into<Option<Kind>>, number: usize, act: Act) -> Self {
        Self {
            kind: kind.into(),
            from: number,
            count: 1,
            act,
            seen: 0,
        }
    }

    /// Meets the first `count` requests of a kind.
    pub(crate) fn first(kind: impl Into<Option<Kind>>, count: usize, act: Act) -> Self {
        Self {
            count,
            ..Self::nth(kind, 1, act)
        }
    }

    pub(crate) fn always(kind: impl Into<Option<Kind>>, act: Act) -> Self {
        Self::first(kind, usize::MAX, act)
    }

    /// Meets the `number`-th request and all after it.
    pub(crate) fn since(kind: impl Into<Option<Kind>>, number: usize, act: Act) -> Self {
        Self {
            count: usize::MAX,
            ..Self::nth(kind, number, act)
        }
    }

    /// Counts a request; the fault it meets.
    pub(super) fn meets(&mut self, kind: Kind) -> Option<Act> {
        if self.kind.is_some_and(|wanted| wanted != kind) {
            return None;
        }
        self.seen += 1;
        let met = self.seen >= self.from && self.seen - self.from < self.count;
        met.then(|| self.act.clone())
    }
}

/// How `Location` of an upload is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Absolute,
    /// A path from the root.
    Relative,
    /// The last segment only, against the URL asked.
    Sibling,
    /// Absolute, on another host.
    Elsewhere,
}

/// What the registry does with PATCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Chunks {
    Fine,
    /// As ECR: `Range` tells of the first chunk for ever.
    StuckRange,
    /// As GHCR was seen to: each PATCH takes the place of the one before.
    LastOneStays,
    /// As GAR: only one.
    OnlyOne,
    Refused,
}

/// What the registry does with a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mounts {
    Fine,
    /// Opens an upload in its place, as the spec has it.
    Declined,
    /// With an upload's `Location`, or none.
    Answered(Answer),
}

/// A registry on its best day: all of this keeps to the specification, or nearly, for ever.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a quirk of its own")]
pub(crate) struct Quirks {
    pub(crate) place: Place,
    /// Whether `Location` has a query.
    pub(crate) query: bool,
    pub(crate) patch_status: u16,
    pub(crate) put_status: u16,
    pub(crate) manifest_status: u16,
    /// Whether a manifest PUT's answer has a `Location` and a digest.
    pub(crate) manifest_headers: bool,
    /// Whether POST with a digest and the bytes makes a blob.
    pub(crate) single: bool,
    pub(crate) chunks: Chunks,
    /// Whether bytes of an upload that was cut are kept.
    pub(crate) keeps_parts: bool,
    /// `OCI-Chunk-Min-Length`.
    pub(crate) least_chunk: Option<u64>,
    /// Bodies beyond are answered 413 by a proxy, which reads no more.
    pub(crate) body_limit: Option<u64>,
    /// Whether a PUT may bring the whole blob.
    pub(crate) whole_put: bool,
    pub(crate) mounts: Mounts,
    /// Blobs are served from another host.
    pub(crate) redirects: bool,
    pub(crate) immutable: bool,
    /// Whether `?tag=a&tag=b` is known.
    pub(crate) many_tags: bool,
    /// Manifests of these media types are refused so.
    pub(crate) refuses: Vec<(&'static str, u16)>,
    /// A manifest may name blobs that are not there: the script is about that.
    pub(crate) forgets: bool,
}

impl Default for Quirks {
    fn default() -> Self {
        Self {
            place: Place::Absolute,
            query: true,
            patch_status: 202,
            put_status: 201,
            manifest_status: 201,
            manifest_headers: true,
            single: false,
            chunks: Chunks::Fine,
            keeps_parts: true,
            least_chunk: None,
            body_limit: None,
            whole_put: true,
            mounts: Mounts::Fine,
            redirects: false,
            immutable: false,
            many_tags: false,
            refuses: Vec::new(),
            forgets: false,
        }
    }
}
