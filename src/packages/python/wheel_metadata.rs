//! `WHEEL`: how a wheel wants to be installed.
//!
//! Format: "Binary distribution format" of the Python packaging specifications, headers as in
//! mail. An installer must refuse a major version that it does not know, and may take any minor.

/// The major version of wheels that we install.
pub(crate) const MAJOR_VERSION: u32 = 1;

/// What an installer needs of `WHEEL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WheelMetadata {
    /// Whether the archive's root goes to purelib rather than platlib.
    pub root_is_purelib: bool,
}

/// What is wrong with a `WHEEL`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WheelMetadataError {
    /// It is not UTF-8.
    #[error("not UTF-8")]
    NotUnicode,
    /// It has no `Wheel-Version` of the form `1.0`.
    #[error("no Wheel-Version")]
    NoVersion,
    /// Its major version is not ours.
    #[error("Wheel-Version {found} is not {MAJOR_VERSION}.x")]
    Version {
        /// The whole version, as it stands there.
        found: String,
    },
}

pub(crate) fn parse(bytes: &[u8]) -> Result<WheelMetadata, WheelMetadataError> {
    let text = std::str::from_utf8(bytes).map_err(|_| WheelMetadataError::NotUnicode)?;
    let version = header(text, "Wheel-Version").ok_or(WheelMetadataError::NoVersion)?;
    let major: u32 = version
        .split('.')
        .next()
        .and_then(|major| major.parse().ok())
        .ok_or(WheelMetadataError::NoVersion)?;
    if major != MAJOR_VERSION {
        return Err(WheelMetadataError::Version {
            found: version.to_owned(),
        });
    }
    let root_is_purelib =
        header(text, "Root-Is-Purelib").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    Ok(WheelMetadata { root_is_purelib })
}

/// The first header of this name; names are the same in either case.
fn header<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines()
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let text = b"Wheel-Version: 1.9\nGenerator: x\nroot-is-purelib: TRUE\nTag: py3-none-any\n";
        assert_eq!(
            parse(text),
            Ok(WheelMetadata {
                root_is_purelib: true
            })
        );
        assert_eq!(
            parse(b"Wheel-Version: 1.0\r\n"),
            Ok(WheelMetadata {
                root_is_purelib: false
            })
        );
    }

    #[test]
    fn other_versions_are_refused() {
        assert_eq!(
            parse(b"Wheel-Version: 2.0"),
            Err(WheelMetadataError::Version {
                found: "2.0".to_owned()
            })
        );
        assert_eq!(
            parse(b"Wheel-Version: x"),
            Err(WheelMetadataError::NoVersion)
        );
        assert_eq!(parse(b"Generator: x"), Err(WheelMetadataError::NoVersion));
        assert_eq!(
            parse(b"\n\nWheel-Version: 1.0"),
            Err(WheelMetadataError::NoVersion)
        );
        assert_eq!(parse(b"\xff"), Err(WheelMetadataError::NotUnicode));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "(Wheel-Version|Root-Is-Purelib|:|[0-9]{1,12}|\\.|\n| |ä){0,20}") {
            let _ = parse(text.as_bytes());
        }
    }
}
