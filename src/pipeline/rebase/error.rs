//! Why an image cannot be put on another base.

use crate::image::{Abi, AbiMismatch, NoBaseRecord};
use crate::oci::{Digest, Platform, Reference, ReferenceError};
use crate::report::{ErrorClass, Explain, Explanation};

/// Why an image cannot be put on another base.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RebaseError {
    /// Neither the store nor its registry has it.
    #[error("there is no image {image}")]
    NoImage { image: String },
    /// The store has one of this name, and the registry another.
    #[error("{image} is {here} here and {there} in its registry")]
    TwoImages {
        image: String,
        /// The store's, by its digest.
        pinned: String,
        here: Digest,
        there: Digest,
    },
    /// Its manifest does not tell how it stands on its base.
    #[error("{image} does not tell {}", missing.join(", "))]
    NotOurs {
        image: String,
        missing: Vec<&'static str>,
    },
    /// Its manifest tells what cannot be.
    #[error("{image}: {layers} layers, {tars} tars, {base} of the base")]
    Layers {
        image: String,
        /// Layers of the manifest.
        layers: usize,
        /// Tars of the config.
        tars: usize,
        /// Layers of the base, as told.
        base: usize,
    },
    /// A base's name that is none.
    #[error("{name:?}: {reason}")]
    BaseName {
        name: String,
        reason: ReferenceError,
    },
    /// The base is for other machines.
    #[error("{base} has nothing for {platform}")]
    Platform {
        base: String,
        platform: Platform,
        found: Vec<Platform>,
    },
    /// The base is not what the layers above count on.
    #[error("{base} is no base for {image}: {misfit:?}")]
    Misfit {
        image: String,
        base: String,
        /// In what they differ.
        misfit: AbiMismatch,
        /// What the image counts on.
        wanted: Box<Abi>,
        /// What the base has.
        found: Box<Abi>,
    },
    /// The base lacks packages.
    #[error("{base} lacks {}", missing.join(", "))]
    Packages {
        image: String,
        base: String,
        missing: Vec<String>,
    },
}

impl RebaseError {
    pub(super) fn of_standing(image: &Reference, reason: NoBaseRecord) -> Self {
        let image = image.to_string();
        match reason {
            NoBaseRecord::Lacks(missing) => Self::NotOurs { image, missing },
            NoBaseRecord::Layers(layers, tars, base) => Self::Layers {
                image,
                layers,
                tars,
                base,
            },
        }
    }
}

impl Explain for RebaseError {
    fn explain(&self) -> Explanation {
        let told = |class, what: &str, place: &str, why: String, next: String| Explanation {
            class,
            what: what.to_owned(),
            place: place.to_owned(),
            why,
            next,
        };
        match self {
            Self::NoImage { image } => told(
                ErrorClass::CommandLine,
                "there is no such image",
                image,
                "neither the store nor its registry has that name; private ones look the same to those who may not see them".to_owned(),
                "`s2r images` lists the store; log in with `s2r login REGISTRY` if it is private".to_owned(),
            ),
            Self::TwoImages { image, pinned, here, there } => told(
                ErrorClass::CommandLine,
                "the image is one thing here and another in its registry",
                image,
                format!("here      {here}\nregistry  {there}\nand the push would replace the registry's"),
                format!(
                    "say which one to take, and its name: s2r rebase {pinned} --tag {image} …, or @{there}; `s2r rm {image}` forgets the one here"
                ),
            ),
            Self::NotOurs { image, missing } => told(
                ErrorClass::CommandLine,
                "the image does not tell which of its layers are its base's",
                image,
                format!(
                    "its manifest lacks {}; s2r writes them, other tools and older versions do not",
                    missing.join(", ")
                ),
                format!("build it once with this s2r, after which it can be put on other bases: s2r build SOURCE {image}"),
            ),
            Self::Layers { image, layers, tars, base } => told(
                ErrorClass::World,
                "what the image says of its layers contradicts itself",
                image,
                format!("{layers} layers in the manifest, {tars} in the config, {base} of them the base's"),
                format!("build it again: s2r build SOURCE {image}"),
            ),
            Self::BaseName { name, reason } => told(
                ErrorClass::CommandLine,
                "this is not an image name",
                name,
                reason.to_string(),
                "--onto takes an image of the store or a registry, or a builder".to_owned(),
            ),
            Self::Platform { base, platform, found } => {
                let found: Vec<String> = found.iter().map(ToString::to_string).collect();
                told(
                    ErrorClass::CommandLine,
                    &format!("the base is not made for {platform}"),
                    base,
                    format!("the image is for {platform}, the base for {}", found.join(", ")),
                    "name a base that is for all platforms of the image".to_owned(),
                )
            }
            Self::Misfit { image, base, misfit, wanted, found } => misfit_told(*misfit, (image, wanted), (base, found)),
            Self::Packages { image, base, missing } => told(
                ErrorClass::Project,
                "the base lacks packages that the image's base has",
                base,
                format!("{}: the layers above in {image} may need them", missing.join(", ")),
                format!("name a base with them, or build the image again on this one: s2r build SOURCE {image} --builder {base}"),
            ),
        }
    }
}

/// Both values, and what they are for.
fn misfit_told(
    misfit: AbiMismatch,
    (image, wanted): (&str, &Abi),
    (base, found): (&str, &Abi),
) -> Explanation {
    let version = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let (what, old, new, why) = match misfit {
        AbiMismatch::Python => (
            "the base has another Python",
            format!("Python {}", wanted.python),
            format!("Python {}", found.python),
            "compiled modules and the environment's folders are for one version",
        ),
        AbiMismatch::Glibc => (
            "the base's C library is older",
            format!("glibc {}", version(wanted.glibc)),
            format!("glibc {}", version(found.glibc)),
            "compiled modules may ask for functions that it lacks",
        ),
        AbiMismatch::Interpreter => (
            "the base has its Python at another path",
            wanted.interpreter.clone(),
            found.interpreter.clone(),
            "the virtual environment's links lead to one path",
        ),
    };
    Explanation {
        class: ErrorClass::Project,
        what: what.to_owned(),
        place: base.to_owned(),
        why: format!("{image} stands on {old}, {base} has {new}: {why}"),
        next: format!("build the image again: s2r build SOURCE {image} --builder {base}"),
    }
}

#[cfg(test)]
crate::report::samples! {
    enum RebaseError {
        NoImage { image: "myimg".into() },
        TwoImages {
            image: "registry.example.com/myimg:1".into(),
            pinned: "registry.example.com/myimg@sha256:aa11".into(),
            here: Digest::of(b"here"),
            there: Digest::of(b"there"),
        },
        NotOurs { image: "myimg".into(), missing: vec!["io.s2r.base.layers", "io.s2r.base.abi"] },
        Layers { image: "myimg".into(), layers: 5, tars: 4, base: 6 },
        BaseName { name: "A:b".into(), reason: ReferenceError::UpperCase("A".into()) },
        Platform { base: "base:2".into(), platform: "linux/arm64".parse().unwrap(), found: vec!["linux/amd64".parse().unwrap()] },
        Misfit { image: "myimg".into(), base: "base:2".into(), misfit: AbiMismatch::Python, wanted: Box::new(abi("3.12", 41, "/usr/bin/python3.13")), found: Box::new(abi("3.13", 41, "/usr/bin/python3.13")) },
        Misfit { image: "myimg".into(), base: "base:2".into(), misfit: AbiMismatch::Glibc, wanted: Box::new(abi("3.13", 41, "/usr/bin/python3.13")), found: Box::new(abi("3.13", 36, "/usr/bin/python3.13")) },
        Misfit { image: "myimg".into(), base: "base:2".into(), misfit: AbiMismatch::Interpreter, wanted: Box::new(abi("3.13", 41, "/usr/bin/python3.13")), found: Box::new(abi("3.13", 41, "/usr/local/bin/python3.13")) },
        Packages { image: "myimg".into(), base: "base:2".into(), missing: vec!["libpq5".into()] },
    }
}

#[cfg(test)]
fn abi(python: &str, minor: u32, interpreter: &str) -> Abi {
    Abi {
        python: python.into(),
        glibc: (2, minor),
        interpreter: interpreter.into(),
    }
}
