//! What the files of wheels need of the image.

use super::install::{FileSource, Installation};
use super::{InstallTarget, WheelFile, WheelLayerError, install};
use crate::archive::zip::ZipParts;
use crate::layers::linkage::{LinkSurvey, Linkage, LinkedFile};

/// Looks through wheels as [`super::write`] installs them; `machine` is the image's, as elf(5) numbers them.
///
/// # Errors
/// A wheel that cannot be read.
pub(crate) fn linkage(
    wheels: &[WheelFile],
    target: &InstallTarget,
    machine: u16,
) -> Result<Linkage, WheelLayerError> {
    let mut survey = LinkSurvey::new(machine);
    for wheel in wheels {
        look(wheel, target, &mut survey).map_err(|error| error.of(wheel))?;
    }
    Ok(survey.finish())
}

fn look(
    wheel: &WheelFile,
    target: &InstallTarget,
    survey: &mut LinkSurvey,
) -> Result<(), WheelLayerError> {
    let Installation { archive, files } = Installation::read(wheel, target, None)?;
    let owner = format!("{} {}", wheel.name, wheel.version);
    let site_packages = format!("{}/", install::site_packages(target));
    for (path, placed) in &files {
        let Ok(path) = std::str::from_utf8(path) else {
            continue;
        };
        let file = LinkedFile {
            owner: &owner,
            path,
            shown: path.strip_prefix(&site_packages).unwrap_or(path),
            is_executable: placed.executable,
        };
        match &placed.content {
            FileSource::Member(member) if file.is_worth_reading() => {
                let mut parts = ZipParts::new(&archive, member);
                survey.file(&file, |offset, length| parts.at(offset, length))?;
            }
            // Scripts of ours name the environment's own interpreter.
            FileSource::Member(_)
            | FileSource::Script(_)
            | FileSource::Bytes(_)
            | FileSource::Compiled(_) => {
                survey.name(path);
            }
        }
    }
    Ok(())
}
