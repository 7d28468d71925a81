//! What a target accepts: wheel tags in order of preference, and the values of environment markers.
//!
//! The order is that of `packaging.tags`, which pip uses, so that the wheel chosen here is the
//! wheel that pip would have installed in the image. Specified in
//! <https://packaging.python.org/en/latest/specifications/platform-compatibility-tags/>.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use pep440_rs::{Version, VersionParseError};
use pep508_rs::{MarkerEnvironment, MarkerEnvironmentBuilder};

use super::wheel_name::{WheelFileName, WheelTag};

/// A full version of `CPython`. The patch matters: markers such as `python_full_version < "3.11.3"`
/// stand in packages as common as redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PythonVersion {
    /// The 3 of 3.13.5.
    pub major: u16,
    /// The 13 of 3.13.5.
    pub minor: u16,
    /// The 5 of 3.13.5.
    pub patch: u16,
}

impl PythonVersion {
    /// The full version, in the type that specifiers compare with.
    pub(crate) fn version(self) -> Version {
        Version::new([self.major, self.minor, self.patch].map(u64::from))
    }
}

impl fmt::Display for PythonVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for PythonVersion {
    type Err = ();

    /// Reads `3.13.5`; a missing patch is 0.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut numbers = text.split('.').map(|part| part.parse().map_err(drop));
        let version = Self {
            major: numbers.next().ok_or(())??,
            minor: numbers.next().ok_or(())??,
            patch: numbers.next().unwrap_or(Ok(0))?,
        };
        numbers.next().map_or(Ok(version), |_| Err(()))
    }
}

/// The C library of the target and its version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LibcVersion {
    /// glibc major and minor, for manylinux wheels.
    Glibc(u16, u16),
}

impl fmt::Display for LibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Glibc(major, minor) => write!(f, "glibc {major}.{minor}"),
        }
    }
}

/// The processor of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum TargetArch {
    /// amd64 in the words of images and Debian.
    X86_64,
    /// arm64 in the words of images and Debian.
    Aarch64,
}

impl TargetArch {
    /// The name as `platform.machine()` and wheel tags have it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

/// What wheels are chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WheelTarget {
    pub python: PythonVersion,
    pub libc: LibcVersion,
    pub arch: TargetArch,
}

impl fmt::Display for WheelTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Python {} on Linux {} with {}",
            self.python,
            self.arch.name(),
            self.libc
        )
    }
}

impl WheelTarget {
    /// The values of environment markers inside the image. Release and version of the kernel are
    /// not known when an image is built, and empty.
    ///
    /// # Errors
    /// None in practice: the versions are numbers with dots.
    pub(crate) fn markers(&self) -> Result<MarkerEnvironment, VersionParseError> {
        let full = self.python.to_string();
        let short = format!("{}.{}", self.python.major, self.python.minor);
        MarkerEnvironment::try_from(MarkerEnvironmentBuilder {
            implementation_name: "cpython",
            implementation_version: &full,
            os_name: "posix",
            platform_machine: self.arch.name(),
            platform_python_implementation: "CPython",
            platform_release: "",
            platform_system: "Linux",
            platform_version: "",
            python_full_version: &full,
            python_version: &short,
            sys_platform: "linux",
        })
    }

    /// Platform tags, best first.
    fn platforms(&self) -> Vec<String> {
        let arch = self.arch.name();
        // The public index refuses wheels without a libc promise; private ones hold them, and pip
        // takes them for built on the same machine, so best of all.
        let mut tags = vec![format!("linux_{arch}")];
        match self.libc {
            LibcVersion::Glibc(major, newest) => {
                // Below these no Python of the architecture was ever built.
                let oldest = match self.arch {
                    TargetArch::X86_64 => 5,
                    TargetArch::Aarch64 => 17,
                };
                for minor in (oldest..=newest).rev() {
                    tags.push(format!("manylinux_{major}_{minor}_{arch}"));
                    let legacy = match (major, minor) {
                        (2, 17) => "manylinux2014",
                        (2, 12) => "manylinux2010",
                        (2, 5) => "manylinux1",
                        _ => continue,
                    };
                    tags.push(format!("{legacy}_{arch}"));
                }
            }
        }
        tags
    }

    /// All accepted tags with their rank.
    pub(crate) fn tags(&self) -> AcceptedTags {
        AcceptedTags::new(self)
    }
}

/// The accepted tags of a target, each with its rank, 0 being the best.
#[derive(Debug, Clone)]
pub(crate) struct AcceptedTags {
    ranks: BTreeMap<String, usize>,
}

impl AcceptedTags {
    fn new(target: &WheelTarget) -> Self {
        let PythonVersion { major, minor, .. } = target.python;
        let platforms = target.platforms();
        let interpreter = format!("cp{major}{minor}");
        let mut ordered: Vec<String> = Vec::new();
        let mut each_platform = |python: &str, abi: &str| {
            ordered.extend(
                platforms
                    .iter()
                    .map(|platform| format!("{python}-{abi}-{platform}")),
            );
        };
        for abi in [interpreter.as_str(), "abi3", "none"] {
            each_platform(&interpreter, abi);
        }
        for older in (2..minor).rev() {
            each_platform(&format!("cp{major}{older}"), "abi3");
        }
        let mut generic = vec![format!("py{major}{minor}"), format!("py{major}")];
        generic.extend((0..minor).rev().map(|older| format!("py{major}{older}")));
        for python in &generic {
            each_platform(python, "none");
        }
        ordered.push(format!("{interpreter}-none-any"));
        ordered.extend(generic.iter().map(|python| format!("{python}-none-any")));
        let mut ranks = BTreeMap::new();
        for (rank, tag) in ordered.into_iter().enumerate() {
            ranks.entry(tag).or_insert(rank);
        }
        Self { ranks }
    }

    /// How well a wheel fits: its best tag's rank, lower is better; none if it does not fit.
    pub(crate) fn rank(&self, wheel: &WheelFileName) -> Option<usize> {
        wheel
            .tags()
            .filter_map(
                |WheelTag {
                     python,
                     abi,
                     platform,
                 }| { self.ranks.get(&format!("{python}-{abi}-{platform}")) },
            )
            .min()
            .copied()
    }

    /// The best of several wheels of one version: best tag, then highest build, then first name.
    pub(crate) fn best<'a, T>(
        &self,
        candidates: impl IntoIterator<Item = (&'a WheelFileName, T)>,
    ) -> Option<(&'a WheelFileName, T)> {
        candidates
            .into_iter()
            .filter_map(|(wheel, item)| Some((self.rank(wheel)?, wheel, item)))
            .min_by(|(rank, wheel, _), (other_rank, other, _)| {
                rank.cmp(other_rank)
                    .then_with(|| other.build.cmp(&wheel.build))
                    .then_with(|| wheel.as_str().cmp(other.as_str()))
            })
            .map(|(_, wheel, item)| (wheel, item))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(minor: u16, libc: LibcVersion, arch: TargetArch) -> WheelTarget {
        WheelTarget {
            python: PythonVersion {
                major: 3,
                minor,
                patch: 5,
            },
            libc,
            arch,
        }
    }

    fn ordered(target: &WheelTarget) -> Vec<String> {
        let mut tags: Vec<_> = target.tags().ranks.into_iter().collect();
        tags.sort_by_key(|(_, rank)| *rank);
        tags.into_iter().map(|(tag, _)| tag).collect()
    }

    #[test]
    fn order_is_that_of_packaging() {
        let tags = ordered(&target(13, LibcVersion::Glibc(2, 41), TargetArch::X86_64));
        assert_eq!(tags[0], "cp313-cp313-linux_x86_64");
        let place = |tag: &str| tags.iter().position(|other| other == tag).expect(tag);
        let order = [
            "cp313-cp313-manylinux_2_17_x86_64",
            "cp313-cp313-manylinux2014_x86_64",
            "cp313-cp313-manylinux_2_16_x86_64",
            "cp313-cp313-manylinux2010_x86_64",
            "cp313-cp313-manylinux1_x86_64",
            "cp313-abi3-linux_x86_64",
            "cp313-abi3-manylinux_2_41_x86_64",
            "cp313-none-linux_x86_64",
            "cp312-abi3-manylinux_2_41_x86_64",
            "cp32-abi3-linux_x86_64",
            "py313-none-manylinux_2_41_x86_64",
            "py3-none-linux_x86_64",
            "py312-none-linux_x86_64",
            "py30-none-linux_x86_64",
            "cp313-none-any",
            "py313-none-any",
            "py3-none-any",
            "py30-none-any",
        ];
        for pair in order.windows(2) {
            assert!(place(pair[0]) < place(pair[1]), "{pair:?}");
        }
        assert_eq!(tags.last().unwrap(), "py30-none-any");
    }

    #[test]
    fn list_is_that_of_packaging_to_the_last_tag() {
        use sha2::Digest as _;
        // `sys_tags()` of the packaging in pip 26.3, under CPython 3.11 on Debian 12, amd64, joined
        // by line feeds.
        let tags = ordered(&target(11, LibcVersion::Glibc(2, 36), TargetArch::X86_64));
        assert_eq!(tags.len(), 914);
        let hash = sha2::Sha256::digest(tags.join("\n").as_bytes());
        assert_eq!(
            crate::packages::Sha256(hash.into()).to_string(),
            "d6379b984621391668e1d5bb809100c69d62e26eff39aa4fa3b8d93c4cc07da6"
        );
    }

    #[test]
    fn accepts_no_newer_libc_and_no_other_processor() {
        let tags = target(13, LibcVersion::Glibc(2, 36), TargetArch::Aarch64).tags();
        let rank = |text: &str| tags.rank(&text.parse().unwrap());
        assert!(rank("x-1-cp313-cp313-manylinux_2_36_aarch64.whl").is_some());
        assert!(rank("x-1-cp313-cp313-manylinux_2_37_aarch64.whl").is_none());
        assert!(rank("x-1-cp313-cp313-manylinux2014_x86_64.whl").is_none());
        assert!(rank("x-1-cp313-cp313-musllinux_1_2_aarch64.whl").is_none());
        assert!(rank("x-1-cp312-cp312-manylinux2014_aarch64.whl").is_none());
        assert!(rank("x-1-cp313-cp313t-manylinux2014_aarch64.whl").is_none());
        assert!(rank("x-1-cp39-abi3-manylinux2014_aarch64.whl").is_some());
        assert!(rank("x-1-py2.py3-none-any.whl").is_some());
        assert!(rank("x-1-py2-none-any.whl").is_none());
        assert!(rank("x-1-py314-none-any.whl").is_none());
    }

    #[test]
    fn best_prefers_tag_then_build() {
        let tags = target(13, LibcVersion::Glibc(2, 41), TargetArch::X86_64).tags();
        let wheels: Vec<WheelFileName> = [
            "x-1-py3-none-any.whl",
            "x-1-cp313-cp313-manylinux_2_17_x86_64.whl",
            "x-1-2-cp313-cp313-manylinux_2_28_x86_64.whl",
            "x-1-3-cp313-cp313-manylinux_2_28_x86_64.whl",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        let (best, ()) = tags.best(wheels.iter().map(|wheel| (wheel, ()))).unwrap();
        assert_eq!(best.as_str(), "x-1-3-cp313-cp313-manylinux_2_28_x86_64.whl");
        assert!(
            tags.best(std::iter::empty::<(&WheelFileName, ())>())
                .is_none()
        );
    }

    #[test]
    fn markers_are_the_images() {
        let markers = target(11, LibcVersion::Glibc(2, 36), TargetArch::Aarch64)
            .markers()
            .unwrap();
        assert_eq!(markers.platform_machine(), "aarch64");
        assert_eq!(markers.python_full_version().to_string(), "3.11.5");
        assert_eq!(markers.python_version().to_string(), "3.11");
    }

    #[test]
    fn reads_python_versions() {
        assert_eq!(
            "3.13.5".parse::<PythonVersion>().unwrap().to_string(),
            "3.13.5"
        );
        assert_eq!("3.13".parse::<PythonVersion>().unwrap().patch, 0);
        for wrong in ["", "3", "3.x", "3.1.2.3", "3.13.0rc1"] {
            assert!(wrong.parse::<PythonVersion>().is_err(), "{wrong}");
        }
    }
}
