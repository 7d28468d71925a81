//! File names of wheels: `name-version[-build]-python-abi-platform.whl`.
//!
//! Specified in <https://packaging.python.org/en/latest/specifications/binary-distribution-format/>.
//! Tags are compressed sets (`py2.py3-none-any`); refused are names with a path in them, unknown
//! numbers of parts, and sets so large that they could only be meant to cost time.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use pep440_rs::Version;
use pep508_rs::PackageName;

/// Longest file name in bytes (the bound of Linux's file systems).
const MAX_NAME_BYTES: usize = 255;

/// A wheel's file name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WheelFileName {
    text: String,
    pub name: PackageName,
    pub version: Version,
    /// Tie breaker between wheels of one version; none sorts first.
    pub build: Option<BuildTag>,
    pythons: Vec<String>,
    abis: Vec<String>,
    platforms: Vec<String>,
}

/// `1local` in `x-1.0-1local-py3-none-any.whl`: compared by number, then by the rest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BuildTag {
    number: u64,
    rest: String,
}

/// A file name that is no wheel's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WheelNameError {
    #[error("it does not end in `.whl`")]
    NoWheel,
    /// Five or six parts are separated by `-`.
    #[error("it has {0} parts between dashes, not 5 or 6")]
    Parts(usize),
    /// The project's name has other characters than names may have.
    #[error("`{0}` is no project name")]
    Name(String),
    /// The version is none of PEP 440.
    #[error("`{0}` is no version")]
    Version(String),
    /// A build tag starts with a digit.
    #[error("`{0}` is no build tag")]
    Build(String),
    /// A tag is empty or has other characters than letters, digits, `_` and `.`.
    #[error("`{0}` is no tag")]
    Tag(String),
    /// Longer than a file system allows.
    #[error("it is longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
}

impl WheelFileName {
    /// The file name as it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Every tag of the compressed set.
    pub(crate) fn tags(&self) -> impl Iterator<Item = WheelTag<'_>> {
        self.pythons.iter().flat_map(move |python| {
            self.abis.iter().flat_map(move |abi| {
                self.platforms.iter().map(move |platform| WheelTag {
                    python,
                    abi,
                    platform,
                })
            })
        })
    }

    /// The tag set as written, for messages: `cp313-cp313-manylinux_2_17_x86_64`.
    pub(crate) fn tag_text(&self) -> String {
        format!(
            "{}-{}-{}",
            self.pythons.join("."),
            self.abis.join("."),
            self.platforms.join(".")
        )
    }
}

impl fmt::Display for WheelFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialOrd for WheelFileName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for WheelFileName {
    fn cmp(&self, other: &Self) -> Ordering {
        (&self.name, &self.version, &self.build, &self.text).cmp(&(
            &other.name,
            &other.version,
            &other.build,
            &other.text,
        ))
    }
}

/// Whether a file name claims to be a wheel's. Case counts, as it does for installers.
pub(crate) fn is_wheel(file_name: &str) -> bool {
    file_name.strip_suffix(".whl").is_some()
}

impl FromStr for WheelFileName {
    type Err = WheelNameError;

    fn from_str(text: &str) -> Result<Self, WheelNameError> {
        if text.len() > MAX_NAME_BYTES {
            return Err(WheelNameError::TooLong);
        }
        let stem = text.strip_suffix(".whl").ok_or(WheelNameError::NoWheel)?;
        let parts: Vec<&str> = stem.split('-').collect();
        let (name, version, build, tags) = match parts.as_slice() {
            [name, version, tags @ ..] if tags.len() == 3 => (name, version, None, tags),
            [name, version, build, tags @ ..] if tags.len() == 3 => {
                (name, version, Some(build.parse()?), tags)
            }
            _ => return Err(WheelNameError::Parts(parts.len())),
        };
        Ok(Self {
            name: name
                .parse()
                .map_err(|_| WheelNameError::Name((*name).to_owned()))?,
            // Old wheels escape the `+` and `!` of a version as `_`.
            version: version
                .replace('_', "-")
                .parse()
                .or_else(|_| version.replace('_', "+").parse())
                .map_err(|_| WheelNameError::Version((*version).to_owned()))?,
            build,
            pythons: tag_set(tags[0])?,
            abis: tag_set(tags[1])?,
            platforms: tag_set(tags[2])?,
            text: text.to_owned(),
        })
    }
}

impl FromStr for BuildTag {
    type Err = WheelNameError;

    fn from_str(text: &str) -> Result<Self, WheelNameError> {
        let end = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (digits, rest) = text.split_at(end);
        match digits.parse() {
            Ok(number) if rest.chars().all(is_tag_character) => Ok(Self {
                number,
                rest: rest.to_owned(),
            }),
            _ => Err(WheelNameError::Build(text.to_owned())),
        }
    }
}

fn is_tag_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn tag_set(text: &str) -> Result<Vec<String>, WheelNameError> {
    text.split('.')
        .map(|tag| {
            if tag.is_empty() || !tag.chars().all(is_tag_character) {
                return Err(WheelNameError::Tag(text.to_owned()));
            }
            Ok(tag.to_ascii_lowercase())
        })
        .collect()
}

/// One `python-abi-platform` triple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WheelTag<'a> {
    /// `cp313`, `py3`.
    pub python: &'a str,
    /// `cp313`, `abi3`, `none`.
    pub abi: &'a str,
    /// `manylinux_2_17_x86_64`, `any`.
    pub platform: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn takes_names_apart() {
        let cases = [
            ("flask-3.1.3-py3-none-any.whl", "flask", "3.1.3", 1),
            ("Foo_Bar-1.0-py2.py3-none-any.whl", "foo-bar", "1.0", 2),
            (
                "markupsafe-3.0.4-cp311-cp311-manylinux2014_x86_64.manylinux_2_17_x86_64.whl",
                "markupsafe",
                "3.0.4",
                2,
            ),
            ("x-1.0-3b-cp313-abi3.cp313-any.whl", "x", "1.0", 2),
            (
                "torch-2.5.1+cpu-cp313-cp313-linux_x86_64.whl",
                "torch",
                "2.5.1+cpu",
                1,
            ),
            ("x-1.0_cpu-py3-none-any.whl", "x", "1.0+cpu", 1),
        ];
        for (text, name, version, tags) in cases {
            let wheel: WheelFileName = text.parse().unwrap();
            assert_eq!(wheel.name.to_string(), name);
            assert_eq!(wheel.version.to_string(), version);
            assert_eq!(wheel.tags().count(), tags);
            assert_eq!(wheel.to_string(), text);
        }
    }

    #[test]
    fn later_builds_win() {
        let plain: WheelFileName = "x-1.0-py3-none-any.whl".parse().unwrap();
        let second: WheelFileName = "x-1.0-2-py3-none-any.whl".parse().unwrap();
        let tenth: WheelFileName = "x-1.0-10-py3-none-any.whl".parse().unwrap();
        assert!(plain < second && second < tenth);
    }

    #[test]
    fn refuses_other_names() {
        let wrong = |text: &str| text.parse::<WheelFileName>().unwrap_err();
        assert_eq!(wrong("x-1.0.tar.gz"), WheelNameError::NoWheel);
        assert_eq!(wrong("x-1.0-py3-none.whl"), WheelNameError::Parts(4));
        assert_eq!(wrong("x-1.0-a-b-c-d-e.whl"), WheelNameError::Parts(7));
        assert!(matches!(
            wrong("../x-1.0-py3-none-any.whl"),
            WheelNameError::Name(_)
        ));
        assert!(matches!(
            wrong("x-one-py3-none-any.whl"),
            WheelNameError::Version(_)
        ));
        assert!(matches!(
            wrong("x-1.0-b1-py3-none-any.whl"),
            WheelNameError::Build(_)
        ));
        assert!(matches!(
            wrong("x-1.0-py3-none-a/b.whl"),
            WheelNameError::Tag(_)
        ));
        assert!(matches!(
            wrong("x-1.0-py3..py2-none-any.whl"),
            WheelNameError::Tag(_)
        ));
        assert_eq!(
            wrong(&format!("{}.whl", "x".repeat(300))),
            WheelNameError::TooLong
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,80}") {
            let _ = text.parse::<WheelFileName>();
            let _ = format!("{text}-1-py3-none-any.whl").parse::<WheelFileName>();
        }

        #[test]
        fn keeps_its_text(name in "[a-z][a-z0-9_]{0,8}[a-z]", major in 0_u32..99, tag in "(py3|cp313)-(none|abi3)-(any|linux_x86_64)") {
            let text = format!("{name}-{major}.1-{tag}.whl");
            let wheel: WheelFileName = text.parse().unwrap();
            prop_assert_eq!(wheel.to_string(), text);
            prop_assert_eq!(wheel.tag_text(), tag);
        }
    }
}
