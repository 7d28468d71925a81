//! Names of OpenShift's image streams for Python, as users of S2I give them for the builder: `python:3.12-ubi9`,
//! `openshift/python:latest`, `3.14`.
//!
//! Such a name stands for an image within a cluster alone, so the builder with the nearest Python takes its
//! place. Tags that docker.io has under `python` too (`python:3.12`, `python:3.12-slim`) are images, and none of these.

use std::str::FromStr;

use super::builder::{EmbeddedBuilder, embedded};

/// Systems whose name, with a release behind it, ends the tags of the streams.
const SYSTEMS: [&str; 5] = ["ubi", "el", "rhel", "centos", "fedora"];

/// What a tag of a stream says of Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ImageStreamTag {
    Latest,
    /// Python 3 with this second number.
    Minor(u16),
}

/// It is no name of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoImageStream;

/// Whether a builder's name is that of an image stream.
pub(crate) fn is_image_stream(name: &str) -> bool {
    name.parse::<ImageStreamTag>().is_ok()
}

impl FromStr for ImageStreamTag {
    type Err = NoImageStream;

    fn from_str(name: &str) -> Result<Self, NoImageStream> {
        let (stream, tag) = match name.rsplit_once(':') {
            Some((stream, tag)) => (Some(stream), tag),
            None if name == "python" || name == "openshift/python" => (Some(name), "latest"),
            None => (None, name),
        };
        let (version, system) = match tag.rsplit_once('-') {
            Some((version, system)) if is_system(system) => (version, true),
            _ => (tag, false),
        };
        match stream {
            None | Some("openshift/python") => {}
            Some("python") if system || !name.contains(':') => {}
            Some(_) => return Err(NoImageStream),
        }
        let version = version.strip_suffix("-minimal").unwrap_or(version);
        if version == "latest" {
            return Ok(Self::Latest);
        }
        let minor = version.strip_prefix("3.").ok_or(NoImageStream)?;
        minor.parse().map(Self::Minor).map_err(|_| NoImageStream)
    }
}

/// A release of CentOS Stream: `9s`.
fn is_stream_release(text: &str) -> bool {
    let digits = text.strip_suffix('s').unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `ubi9`, `el10`, `c9s`, `fedora`.
fn is_system(text: &str) -> bool {
    let name = text.trim_end_matches(|c: char| c.is_ascii_digit());
    SYSTEMS.contains(&name) || text.strip_prefix('c').is_some_and(is_stream_release)
}

impl ImageStreamTag {
    /// The builder with the nearest Python, of two that are as near the newer.
    pub(super) fn nearest(self) -> EmbeddedBuilder {
        let default = embedded()[0];
        let Self::Minor(wanted) = self else {
            return default;
        };
        let minor = |builder: &EmbeddedBuilder| -> u16 {
            let number = builder.python.strip_prefix("3.");
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        let nearest = embedded()
            .iter()
            .min_by_key(|builder| (minor(builder).abs_diff(wanted), u16::MAX - minor(builder)));
        nearest.copied().unwrap_or(default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_have_a_nearest_builder() {
        for (name, builder) in [
            ("python:3.12-ubi9", "python-3.12"),
            ("openshift/python:3.12-ubi9", "python-3.12"),
            ("python:3.12-minimal-ubi10", "python-3.12"),
            ("python:3.14-ubi9", "python-3.14"),
            ("python:3.13-el10", "python-3.13"),
            ("python:3.12-c9s", "python-3.12"),
            ("python:3.13-fedora", "python-3.13"),
            ("python:3.12-centos", "python-3.12"),
            ("python:3.6-ubi8", "python-3.9"),
            ("python:3.17-ubi10", "python-3.14"),
            ("3.14", "python-3.14"),
            ("3.9-ubi8", "python-3.9"),
            ("latest", "python-3.13"),
            ("openshift/python:latest", "python-3.13"),
            ("openshift/python", "python-3.13"),
            ("python", "python-3.13"),
        ] {
            let stream: Result<ImageStreamTag, _> = name.parse();
            assert_eq!(
                stream.map(|stream| stream.nearest().name),
                Ok(builder),
                "{name}"
            );
        }
    }

    #[test]
    fn images_and_slips_are_no_streams() {
        for name in [
            "python:3.12",
            "python:3.12-slim",
            "python:latest",
            "python:3.12-alpine3.20",
            "ubi9/python-312:latest",
            "registry.example/openshift/python:3.12-ubi9",
            "python-3.99",
            "pyton:3.12-ubi9",
            "python:2.7-ubi8",
            "3",
            "3.",
            "3.x",
            "",
        ] {
            assert_eq!(name.parse::<ImageStreamTag>(), Err(NoImageStream), "{name}");
        }
    }
}
