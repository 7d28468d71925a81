//! How much an archive may unpack to: one rule for wheels and for archives of sources, so that a small file
//! cannot fill a disk.

/// What any archive may unpack to, in bytes.
const ANY_BYTES: u64 = 256 << 20;
/// Bytes beyond that for each of the archive's own. Text seldom goes beyond 10, data beyond 20.
const FOR_EACH_BYTE: u64 = 50;

/// The rule, or what the user allows beyond it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UnpackedBound {
    allowed_bytes: u64,
}

impl UnpackedBound {
    /// So many bytes are allowed, whatever the archive's length is.
    pub(crate) fn allowing(allowed_bytes: u64) -> Self {
        Self { allowed_bytes }
    }

    /// What an archive of this length may unpack to.
    pub(crate) fn most_bytes(self, length_bytes: u64) -> u64 {
        let rule = length_bytes
            .saturating_mul(FOR_EACH_BYTE)
            .saturating_add(ANY_BYTES);
        rule.max(self.allowed_bytes)
    }

    /// How to allow more, for the end of a message.
    pub(crate) const HINT: &str =
        "if it is what it should be, allow it with --max-unpacked SIZE (for instance 8G)";
}

/// The rule in words, for an archive that goes beyond it.
pub(crate) fn too_much(most_bytes: u64) -> String {
    format!(
        "more than {} MiB when it is unpacked; an archive may unpack to {} MiB and {FOR_EACH_BYTE} times its own length",
        most_bytes >> 20,
        ANY_BYTES >> 20,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_grows_with_the_archive_and_gives_way() {
        let rule = UnpackedBound::default();
        assert_eq!(rule.most_bytes(0), 256 << 20);
        assert_eq!(rule.most_bytes(10 << 20), 756 << 20);
        assert_eq!(rule.most_bytes(u64::MAX), u64::MAX);
        let more = UnpackedBound::allowing(1 << 30);
        assert_eq!(more.most_bytes(1 << 20), 1 << 30);
        assert_eq!(more.most_bytes(1 << 30), (256 << 20) + (50 << 30));
    }
}
