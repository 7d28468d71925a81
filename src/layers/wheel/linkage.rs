//! What the files of wheels need of the image.

use super::install::{Content, Installation};
use super::{Error, Target, WheelFile, install};
use crate::archive::zip::Parts;
use crate::layers::linkage::{File, Linkage, Survey};

/// Looks through wheels as [`super::write`] installs them; `machine` is the image's, as elf(5) numbers them.
///
/// # Errors
/// A wheel that cannot be read.
pub(crate) fn linkage(
    wheels: &[WheelFile],
    target: &Target,
    machine: u16,
) -> Result<Linkage, Error> {
    let mut survey = Survey::new(machine);
    for wheel in wheels {
        look(wheel, target, &mut survey).map_err(|error| error.of(wheel))?;
    }
    Ok(survey.finish())
}

fn look(wheel: &WheelFile, target: &Target, survey: &mut Survey) -> Result<(), Error> {
    let Installation { archive, files } = Installation::read(wheel, target, None)?;
    let owner = format!("{} {}", wheel.name, wheel.version);
    let site_packages = format!("{}/", install::site_packages(target));
    for (path, placed) in &files {
        let Ok(path) = std::str::from_utf8(path) else {
            continue;
        };
        let file = File {
            owner: &owner,
            path,
            shown: path.strip_prefix(&site_packages).unwrap_or(path),
            is_executable: placed.executable,
        };
        match &placed.content {
            Content::Member(member) if file.is_worth_reading() => {
                let mut parts = Parts::new(&archive, member);
                survey.file(&file, |offset, length| parts.at(offset, length))?;
            }
            // Scripts of ours name the environment's own interpreter.
            Content::Member(_) | Content::Script(_) | Content::Bytes(_) | Content::Compiled(_) => {
                survey.name(path);
            }
        }
    }
    Ok(())
}
