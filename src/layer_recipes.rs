//! How each layer of an image is made, base first.

use crate::archive::UnpackedBound;
use crate::archive::tar::{CompressionEffort, TarOptions};
use crate::bytecode::{BytecodeCompiler, python_packages};
use crate::context::build_context::Context;
use crate::layer_cache::{CompressedFiles, Download, DownloadOrigin, LayerRecipe};
use crate::layers::bytecode::{self, ByteCode};
use crate::layers::group::{self, GroupedPackage};
use crate::layers::linkage::Linkage;
use crate::layers::notes::LayerNotes;
use crate::layers::skeleton::{self, SkeletonOptions};
use crate::layers::source::{self, SourceLayer};
use crate::layers::wheel::{self, InstallTarget, WheelFile};
use crate::oci::KeyBuilder;
use crate::packages::debian::DebArtefact;
use crate::packages::python::PackageUrl;
use crate::report::{Event, Report};
use crate::resolve::wheels::{LockedWheel, WheelLocation};
use crate::source::PortionKind;
use crate::store::Store;

/// Layers of an image in all, at most: few enough for every runtime, whose mounts take longer with
/// each, and enough that what changes seldom is not sent again.
const MAX_LAYERS: usize = 24;
/// Of those, the ones that are not wheels: two of the base, its byte code, added packages, skeleton, pip,
/// application, source, changes.
const OTHER_LAYERS: usize = 9;

/// Of the standard library's byte code, which is made once for all images of a builder.
const LIBRARY_EFFORT: CompressionEffort = CompressionEffort::Most;

/// The scripts that go into every image, by their paths there, and the snippet that keeps the virtual
/// environment on the path of login shells.
const SCRIPTS: &[(&str, &[u8])] = &[
    (
        "usr/bin/fix-permissions",
        include_bytes!("../scripts/fix-permissions"),
    ),
    (
        "usr/libexec/s2i/assemble",
        include_bytes!("../scripts/assemble"),
    ),
    (
        "usr/libexec/s2i/container-entrypoint",
        include_bytes!("../scripts/container-entrypoint"),
    ),
    (
        "usr/libexec/s2i/init-wrapper",
        include_bytes!("../scripts/init-wrapper"),
    ),
    ("usr/libexec/s2i/run", include_bytes!("../scripts/run")),
    (
        "usr/libexec/s2i/save-artifacts",
        include_bytes!("../scripts/save-artifacts"),
    ),
    (
        "usr/libexec/s2i/supervise",
        include_bytes!("../scripts/supervise"),
    ),
    ("usr/libexec/s2i/usage", include_bytes!("../scripts/usage")),
    (
        "usr/libexec/s2i/uwsgi_stop.py",
        include_bytes!("../scripts/uwsgi_stop.py"),
    ),
    (
        "etc/profile.d/s2r.sh",
        include_bytes!("../scripts/profile.sh"),
    ),
];

/// Where wheels lie and who hears of them.
#[derive(Clone, Copy)]
pub(crate) struct WheelShelf<'a> {
    pub store: &'a Store,
    pub report: &'a dyn Report,
    /// How much a wheel may unpack to.
    pub unpacked: UnpackedBound,
    /// What makes byte code, if some is wanted.
    pub compiler: Option<&'a BytecodeCompiler<'a>>,
    /// The image's, as elf(5) numbers them; none where nobody asks what wheels need of an image.
    pub machine: Option<u16>,
}

impl<'a> Context<'a> {
    /// The wheels of this build, without byte code.
    pub(crate) fn shelf(&self) -> WheelShelf<'a> {
        WheelShelf {
            store: self.store,
            report: self.report,
            unpacked: self.settings.rules.unpacked,
            compiler: None,
            machine: None,
        }
    }
}
/// The layer of the virtual environment and the scripts.
pub(crate) fn skeleton<'a>(python: &str, interpreter: &str, tar: TarOptions) -> LayerRecipe<'a> {
    let options = SkeletonOptions {
        python: python.to_owned(),
        interpreter: interpreter.to_owned(),
        scripts: SCRIPTS
            .iter()
            .map(|&(path, bytes)| (path.to_owned(), bytes.to_vec()))
            .collect(),
        tar,
    };
    LayerRecipe {
        key: skeleton::key(&options),
        contents: "virtual environment and scripts".to_owned(),
        effort: CompressionEffort::Usual,
        needs: Vec::new(),
        is_of_source: false,
        write: Box::new(move |tar| {
            skeleton::write(&options, tar)?;
            Ok(skeleton::linkage(&options).into())
        }),
    }
}

/// The layers of wheels, large ones alone.
pub(crate) fn wheels<'a>(
    wheels: &[LockedWheel],
    target: &'a InstallTarget,
    shelf: &WheelShelf<'a>,
) -> Vec<LayerRecipe<'a>> {
    let sizes: Vec<GroupedPackage<'_>> = wheels
        .iter()
        .map(|wheel| GroupedPackage {
            name: wheel.name.as_ref(),
            compressed_bytes: wheel.size_bytes.unwrap_or(0),
        })
        .collect();
    group::group(&sizes, MAX_LAYERS - OTHER_LAYERS)
        .into_iter()
        .map(|members| {
            let members: Vec<&LockedWheel> =
                members.into_iter().map(|index| &wheels[index]).collect();
            wheel_layer(&members, target, shelf)
        })
        .collect()
}

/// One layer of wheels.
pub(crate) fn wheel_layer<'a>(
    wheels: &[&LockedWheel],
    target: &'a InstallTarget,
    shelf: &WheelShelf<'a>,
) -> LayerRecipe<'a> {
    let WheelShelf {
        store,
        report,
        unpacked,
        compiler,
        machine,
    } = *shelf;
    let files: Vec<WheelFile> = wheels
        .iter()
        .map(|wheel| WheelFile {
            path: store.download_path(&wheel.sha256),
            name: wheel.name.to_string(),
            version: wheel.version.to_string(),
            sha256: *wheel.sha256.as_bytes(),
            requested: false,
            unpacked,
        })
        .collect();
    LayerRecipe {
        key: wheel::key(&files, target),
        contents: wheel::contents(&files),
        effort: CompressionEffort::Usual,
        needs: wheels.iter().map(|wheel| needed_wheel(wheel)).collect(),
        is_of_source: false,
        write: Box::new(move |tar| {
            let code = match compiler {
                Some(compiler) if target.bytecode.is_some() => compiler.wheels(&files, target)?,
                _ => Vec::new(),
            };
            for overlap in wheel::write(&files, target, &code, tar)? {
                report.event(Event::Warning {
                    text: format!(
                        "{} and {} both install {}; {}'s is in the image",
                        overlap.lost, overlap.kept, overlap.path, overlap.kept
                    ),
                    hint: String::new(),
                });
            }
            let linkage = match machine {
                Some(machine) => wheel::linkage(&files, target, machine)?,
                None => Linkage::default(),
            };
            Ok(linkage.into())
        }),
    }
}

/// The layer of the standard library's byte code, right above the base.
pub(crate) fn library<'a>(
    packages: &[DebArtefact],
    compiler: &'a BytecodeCompiler<'a>,
    tar: TarOptions,
) -> LayerRecipe<'a> {
    let mut key = KeyBuilder::new("library-bytecode/2")
        .field(compiler.key.as_bytes())
        .field(&tar.mtime.to_le_bytes())
        .field(&LIBRARY_EFFORT.deflate_level().to_le_bytes());
    for deb in python_packages(packages) {
        key.add(&deb.sha256.0);
    }
    let key = key.finish();
    LayerRecipe {
        key,
        contents: "byte code of Python's standard library".to_owned(),
        effort: LIBRARY_EFFORT,
        needs: Vec::new(),
        is_of_source: false,
        write: Box::new(move |tar| {
            let code = compiler.library(&key)?;
            bytecode::write(&code, compiler.python, tar)?;
            Ok(LayerNotes::default())
        }),
    }
}

/// The layer of one portion of the source.
pub(crate) fn source<'a>(
    layer: SourceLayer<'a>,
    compiler: Option<&'a BytecodeCompiler<'a>>,
    (store, tar): (&'a Store, TarOptions),
) -> LayerRecipe<'a> {
    LayerRecipe {
        key: source::key(layer, tar),
        contents: layer.title(),
        effort: CompressionEffort::Usual,
        needs: Vec::new(),
        is_of_source: true,
        write: Box::new(move |out| {
            if layer.portion.kind == PortionKind::LargeFiles {
                let key = source::key(layer, tar);
                let members = CompressedFiles { store, tar, key };
                source::write_large(layer, &members, out)?;
                return Ok(LayerNotes::default());
            }
            let code = match compiler.filter(|_| layer.bytecode.is_some()) {
                Some(compiler) => compiler.application(layer)?,
                None => ByteCode::default(),
            };
            source::write(layer, &code, out)?;
            Ok(LayerNotes::default())
        }),
    }
}

/// What must be fetched for a wheel.
pub(crate) fn needed_wheel(wheel: &LockedWheel) -> Download {
    Download {
        name: wheel.file_name.to_string(),
        digest: wheel.sha256,
        size_bytes: wheel.size_bytes,
        origins: match &wheel.location {
            WheelLocation::Remote(url) => vec![DownloadOrigin::Url(revealed(url))],
            WheelLocation::Source(path) => vec![DownloadOrigin::Source(path.clone())],
            WheelLocation::Built { .. } => Vec::new(),
        },
    }
}

/// What a url fetches with: credentials included, for the client alone.
pub(crate) fn revealed(url: &PackageUrl) -> String {
    url.reveal().reveal().to_owned()
}
