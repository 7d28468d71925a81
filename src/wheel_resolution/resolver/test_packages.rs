//! Wheels for the project's tests: with the image's own in the versions that it has.

use super::WheelResolver;
use crate::context::settings::NetworkRules;
use crate::plan::TestPackages;
use crate::report::BuildError;
use crate::resolve::wheels::{RequirementsFile, WheelLocation, WheelLock};
use crate::wheel_resolution::locked_wheels::BuiltWheel;

/// What the image's own packages are called where an error names their lines.
const OF_IMAGE: &str = "the image's packages";
/// Not a build that others need: no package is added by what upgrades pip.
const DEPTH: usize = 1;

impl WheelResolver<'_> {
    /// The wheels that tests need beside those of an image. They reach no image, so that no lock has to pin them;
    /// a lock that does is followed.
    ///
    /// # Errors
    /// As of the image's own wheels; a version that the image does not have is asked for.
    pub(crate) fn test_wheels(
        &self,
        packages: &TestPackages,
        image: &WheelLock,
    ) -> Result<WheelLock, BuildError> {
        let rules = NetworkRules {
            locked: false,
            ..self.context.settings.rules
        };
        let environment = self.environment_of_builds()?;
        let exact = WheelResolver {
            of_build: Some(&environment),
            ..*self
        };
        let is_installed = self.context.plan.running.install.value;
        let own = || -> Result<Vec<BuiltWheel>, BuildError> {
            is_installed.then(|| self.own()).into_iter().collect()
        };
        let mut lock = match packages {
            TestPackages::None => return Ok(WheelLock::default()),
            TestPackages::Choice { file, choice, .. } if file.is_lock() => {
                exact.converted(*file, choice, own()?, rules)?
            }
            TestPackages::Choice { file, choice, .. } => {
                let converted = exact.conversion(*file, choice)?;
                let text = converted.text.as_bytes();
                let pins = pins(image, text);
                let path = file.path();
                exact.requirements(&files(path, text, &pins), own()?, rules, DEPTH)?
            }
            TestPackages::Requirements { path } => {
                let text = exact.read(path)?;
                let pins = pins(image, &text);
                exact.requirements(&files(path, &text, &pins), own()?, rules, DEPTH)?
            }
        };
        lock.packages
            .retain(|one| !image.packages.iter().any(|other| other.name == one.name));
        Ok(lock)
    }
}

fn files<'a>(path: &'a str, text: &'a [u8], pins: &'a str) -> [RequirementsFile<'a>; 2] {
    let of_image = RequirementsFile {
        path: OF_IMAGE,
        text: pins.as_bytes(),
    };
    [RequirementsFile { path, text }, of_image]
}

/// The image's packages in their versions, with hashes where the tests' own lines have some: one line with a hash
/// asks for one in all. What was built, or lies in the source, no index has.
fn pins(image: &WheelLock, beside: &[u8]) -> String {
    let has_hashes = String::from_utf8_lossy(beside).contains("--hash");
    let of_index = image
        .packages
        .iter()
        .filter(|one| matches!(one.location, WheelLocation::Remote(_)));
    let lines = of_index.map(|one| {
        let hash = if has_hashes {
            format!(" --hash=sha256:{}", one.sha256.hex())
        } else {
            String::new()
        };
        format!("{}=={}{hash}\n", one.name, one.version)
    });
    lines.collect()
}
