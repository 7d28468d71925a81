//! A pin of a release that is older than the builder's Python: it has wheels, for other Pythons, and its source
//! distribution does not build. What helps is another release or another builder, not a header.

use super::WheelResolver;
use crate::packages::python::{LibcVersion, PackageName, Position, Version, WheelTarget};
use crate::plan::builder::{self, EmbeddedBuilder};
use crate::report::{BuildError, ErrorClass, Explain, Explanation};
use crate::resolve::wheels::OldPin;

/// A release without a wheel for the builder's Python does not build.
#[derive(Debug, thiserror::Error)]
#[error("{name}=={version} has no wheel for {target}, and cannot be built")]
pub(crate) struct OldPinError {
    /// Where it is pinned.
    position: Position,
    name: PackageName,
    version: Version,
    target: WheelTarget,
    /// The first later release that has a wheel.
    first: Option<Version>,
    /// Builders that the pinned release has a wheel for.
    builders: Vec<String>,
    /// How the build failed.
    failure: String,
}

impl Explain for OldPinError {
    fn explain(&self) -> Explanation {
        let Self { name, version, .. } = self;
        let mut ways = Vec::new();
        if let Some(first) = &self.first {
            ways.push(format!(
                "ask for {name}=={first}, the first release that has a wheel for this Python"
            ));
        }
        if !self.builders.is_empty() {
            ways.push(format!(
                "build with --builder {}, for which {version} has one",
                self.builders.join(" or ")
            ));
        }
        Explanation {
            class: ErrorClass::Project,
            what: self.to_string(),
            place: self.position.to_string(),
            why: format!("nor does its source distribution build: {}", self.failure),
            next: ways.join("; or "),
        }
    }
}

impl WheelResolver<'_> {
    /// The error of a build from source; where the index knows better, that.
    pub(super) fn or_old_pin(
        &self,
        error: BuildError,
        (name, version): (&PackageName, &Version),
        find: impl FnOnce(&[WheelTarget]) -> Result<Option<OldPin>, BuildError>,
    ) -> BuildError {
        let explained = error.explain();
        // A full disk or a network that fails is no fault of the pin.
        if explained.class != ErrorClass::Project {
            return error;
        }
        let others = other_builders(self.target);
        let targets: Vec<WheelTarget> = others.iter().map(|(_, target)| *target).collect();
        let Ok(Some(pin)) = find(&targets) else {
            return error;
        };
        let fits = |target: &WheelTarget| pin.others.contains(target);
        let builders = others.iter().filter(|(_, target)| fits(target));
        OldPinError {
            position: pin.position.clone(),
            name: name.clone(),
            version: version.clone(),
            target: *self.target,
            first: pin.first.clone(),
            builders: builders.map(|(name, _)| name.clone()).collect(),
            failure: explained.why,
        }
        .into()
    }
}

/// The C library of the official images that stand for no Debian suite: no older one is in them today. Wheels for an
/// old pin were made for older ones still.
const IMAGES_GLIBC: (u16, u16) = (2, 36);

/// The builders that come with s2r and have another Python, and what wheels are for there.
fn other_builders(target: &WheelTarget) -> Vec<(String, WheelTarget)> {
    let other = |builder: &EmbeddedBuilder| {
        let small = |number: u32| u16::try_from(number).ok();
        let (major, minor) = match builder.definition() {
            Some(definition) => (small(definition.glibc.0)?, small(definition.glibc.1)?),
            None => IMAGES_GLIBC,
        };
        let other = WheelTarget {
            python: builder.python.parse().ok()?,
            libc: LibcVersion::Glibc(major, minor),
            arch: target.arch,
        };
        let is_other =
            (other.python.major, other.python.minor) != (target.python.major, target.python.minor);
        is_other.then(|| (builder.name.to_owned(), other))
    };
    builder::embedded().iter().filter_map(other).collect()
}

#[cfg(test)]
crate::report::samples! {
    struct OldPinError {
        position: Position { path: "requirements.txt".into(), line: 3 },
        name: "numpy".parse().unwrap(),
        version: "1.26.4".parse().unwrap(),
        target: WheelTarget {
            python: crate::packages::python::PythonVersion { major: 3, minor: 13, patch: 5 },
            libc: LibcVersion::Glibc(2, 41),
            arch: crate::packages::python::TargetArch::X86_64,
        },
        first: Some("2.1.0".parse().unwrap()),
        builders: vec!["python-3.12".into(), "python-3.11".into()],
        failure: "The build backend failed.".into(),
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packages::python::testing;

    #[test]
    fn builders_with_another_python_are_found() {
        let others = other_builders(&testing::target());
        let names: Vec<&str> = others.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "python-3.14",
                "python-3.12",
                "python-3.11",
                "python-3.10",
                "python-3.9"
            ]
        );
        assert_eq!(others[2].1.python.minor, 11);
        assert_eq!(others[2].1.libc, LibcVersion::Glibc(2, 36));
    }
}
