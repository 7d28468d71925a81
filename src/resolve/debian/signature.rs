//! Who signed a suite: clearsigned text against the archive keys compiled in.
//!
//! Takes a text only if one signature over it is good, is by a known key that had not expired, and
//! uses SHA-256 or better. Returns the signed text, so that nothing else of the file is ever read.
//! Format: RFC 9580 chapter 7 (cleartext signatures) and 5.2.

use pgp::{
    composed::{CleartextSignedMessage, Deserializable, SignedPublicKey},
    crypto::hash::HashAlgorithm,
    packet::{Signature, SignatureType},
    types::{KeyDetails, Timestamp, VerifyingKey},
};

use super::error::DebianError;

/// Debian's archive, security and release keys, from the package `debian-archive-keyring`.
const KEYS: [(&str, &[u8]); 6] = [
    (
        "bookworm-automatic",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-automatic.gpg"),
    ),
    (
        "bookworm-security-automatic",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-security-automatic.gpg"),
    ),
    (
        "bookworm-stable",
        include_bytes!("../../../builders/keys/debian-archive-bookworm-stable.gpg"),
    ),
    (
        "trixie-automatic",
        include_bytes!("../../../builders/keys/debian-archive-trixie-automatic.gpg"),
    ),
    (
        "trixie-security-automatic",
        include_bytes!("../../../builders/keys/debian-archive-trixie-security-automatic.gpg"),
    ),
    (
        "trixie-stable",
        include_bytes!("../../../builders/keys/debian-archive-trixie-stable.gpg"),
    ),
];

/// Keys whose signatures count.
#[derive(Debug)]
pub(super) struct SuiteKeyring {
    keys: Vec<SignedPublicKey>,
}

/// Why a text is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SignatureFault {
    /// It is no clearsigned message, or has text around it.
    Unsigned,
    /// No good signature is by a known key.
    NotByKnownKey,
}

impl SuiteKeyring {
    /// The keys compiled in.
    pub(super) fn embedded() -> Result<Self, DebianError> {
        let mut keys = Vec::new();
        for (name, bytes) in KEYS {
            keys.extend(read_keys(name, bytes)?);
        }
        Ok(Self { keys })
    }

    /// Other keys, for tests.
    #[cfg(test)]
    pub(super) fn of(bytes: &[u8]) -> Result<Self, DebianError> {
        Ok(Self {
            keys: read_keys("test", bytes)?,
        })
    }

    /// The signed text of a clearsigned message, lines ended by a line feed.
    pub(super) fn verify(&self, message: &str, now: i64) -> Result<String, SignatureFault> {
        let (message, _) =
            CleartextSignedMessage::from_string(message).map_err(|_| SignatureFault::Unsigned)?;
        let text = message.signed_text();
        let good = message.signatures().iter().any(|signature| {
            is_strong(signature)
                && is_unexpired(signature, now)
                && self.has_signed(signature, &text, now)
        });
        if good {
            Ok(text.replace("\r\n", "\n"))
        } else {
            Err(SignatureFault::NotByKnownKey)
        }
    }

    /// Whether one of the keys made the signature, and was valid then and is now.
    fn has_signed(&self, signature: &Signature, text: &str, now: i64) -> bool {
        self.keys.iter().any(|key| {
            let primary = &key.primary_key;
            if verifies(signature, primary, text) {
                let own = key.details.users.iter().flat_map(|user| &user.signatures);
                let own = own.chain(&key.details.direct_signatures);
                let own = own.filter(|certificate| {
                    certificate
                        .issuer_fingerprint()
                        .contains(&&primary.fingerprint())
                });
                return is_current(primary, own, now);
            }
            key.public_subkeys.iter().any(|subkey| {
                verifies(signature, &subkey.key, text)
                    && subkey.verify_bindings(primary).is_ok()
                    && subkey
                        .signatures
                        .iter()
                        .all(|binding| binding.typ() != Some(SignatureType::SubkeyRevocation))
                    && is_current(&subkey.key, subkey.signatures.iter(), now)
            })
        })
    }
}

fn read_keys(name: &'static str, bytes: &[u8]) -> Result<Vec<SignedPublicKey>, DebianError> {
    SignedPublicKey::from_bytes_many(bytes)
        .and_then(Iterator::collect)
        .map_err(|_| DebianError::Key { name })
}

fn verifies(signature: &Signature, key: &impl VerifyingKey, text: &str) -> bool {
    signature.verify(key, text.as_bytes()).is_ok()
}

/// Signatures of clear text, over a digest that still means something.
fn is_strong(signature: &Signature) -> bool {
    signature.typ() == Some(SignatureType::Text)
        && matches!(
            signature.hash_alg(),
            Some(HashAlgorithm::Sha256 | HashAlgorithm::Sha384 | HashAlgorithm::Sha512)
        )
}

/// Whether the signature's own lifetime, if its maker gave it one, is not over (RFC 9580, section
/// 5.2.3.18).
fn is_unexpired(signature: &Signature, now: i64) -> bool {
    let lifetime = signature
        .signature_expiration_time()
        .map_or(0, |lifetime| i64::from(lifetime.as_secs()));
    let created = signature
        .created()
        .map_or(0, |created| i64::from(created.as_secs()));
    lifetime == 0 || created + lifetime > now
}

/// Whether the newest statement of a key about itself leaves it valid at `now`.
fn is_current<'a>(
    key: &impl KeyDetails,
    statements: impl Iterator<Item = &'a Signature>,
    now: i64,
) -> bool {
    let newest = statements.max_by_key(|statement| statement.created().map(Timestamp::as_secs));
    let lifetime = newest
        .and_then(Signature::key_expiration_time)
        .map_or(0, |lifetime| i64::from(lifetime.as_secs()));
    lifetime == 0 || i64::from(key.created_at().as_secs()) + lifetime > now
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &str = include_str!("testdata/InRelease");
    const KEY: &[u8] = include_bytes!("testdata/archive.gpg");
    const OTHER_KEY: &[u8] = include_bytes!("testdata/other.gpg");
    const NOW: i64 = 1_600_000_000;

    #[test]
    fn keys_compiled_in_read() {
        assert_eq!(SuiteKeyring::embedded().unwrap().keys.len(), KEYS.len());
    }

    #[test]
    fn takes_the_signed_text_with_dashes_undone() {
        let text = SuiteKeyring::of(KEY).unwrap().verify(SIGNED, NOW).unwrap();
        assert!(text.starts_with("Suite: stable\nCodename: trixie\n"));
        assert!(text.ends_with("\n-Dashed: yes"), "{text}");
        assert!(text.contains("\n - with a dash\n"));
        assert!(!text.contains("PGP"));
    }

    #[test]
    fn refuses_changed_text() {
        let keys = SuiteKeyring::of(KEY).unwrap();
        for changed in [
            SIGNED.replace("stable", "stabel"),
            SIGNED.replace("- -Dashed", "- Dashed"),
            SIGNED.replace("\n - with", "\n\n - with"),
        ] {
            assert_eq!(
                keys.verify(&changed, NOW),
                Err(SignatureFault::NotByKnownKey)
            );
        }
    }

    #[test]
    fn refuses_other_keys_and_unsigned_text() {
        assert_eq!(
            SuiteKeyring::of(OTHER_KEY).unwrap().verify(SIGNED, NOW),
            Err(SignatureFault::NotByKnownKey)
        );
        let keys = SuiteKeyring::of(KEY).unwrap();
        let body = "Suite: stable\n";
        for text in [
            String::new(),
            body.to_owned(),
            format!("{body}{SIGNED}"),
            format!("{SIGNED}{body}"),
            SIGNED
                .split("-----BEGIN PGP SIGNATURE")
                .next()
                .unwrap()
                .to_owned(),
        ] {
            assert_eq!(
                keys.verify(&text, NOW),
                Err(SignatureFault::Unsigned),
                "{text}"
            );
        }
    }
}
