//! What the locks of other tools leave out: packages that every virtual environment had when these
//! tools were written, so that older releases of poetry and pipenv never list them. An image has only
//! what is named; so they are found and put in, and a warning says it.

use super::resolver::WheelResolver;
use crate::context::settings::NetworkRules;
use crate::packages::python::{PackageName, Version};
use crate::report::{BuildError, Event};
use crate::resolve::wheels::{RequirementsFile, WheelError, WheelLock};

/// What such tools do not list.
const LEFT_OUT: [&str; 4] = ["distribute", "pip", "setuptools", "wheel"];
/// Whoever needs setuptools to run needs its `pkg_resources`, which version 82 took away.
const WITH_PKG_RESOURCES: &str = "setuptools<82";

impl WheelResolver<'_> {
    /// The wheels of a lock that lacks what its tool never lists; `text` is the lock as requirements.
    ///
    /// # Errors
    /// The error that was met without it, if that tells something else or nothing may be added.
    pub(crate) fn with_left_out(
        &self,
        error: BuildError,
        path: &str,
        text: &str,
        rules: NetworkRules,
    ) -> Result<WheelLock, BuildError> {
        let missing = match error.find() {
            Some(WheelError::NotListed { missing, .. }) if !rules.locked => missing,
            _ => return Err(error),
        };
        let Some(wishes) = wishes(missing) else {
            return Err(error);
        };
        let options = text.lines().filter(|line| line.starts_with("--"));
        let wished: Vec<&str> = options.chain(wishes).collect();
        let wished = wished.join("\n");
        let found = self.requirements(&[file(path, &wished)], Vec::new(), rules, 1)?;
        let mut text = text.to_owned();
        for wheel in &found.packages {
            let line = format!(
                "{}=={} --hash={}\n",
                wheel.name, wheel.version, wheel.sha256
            );
            text.push_str(&line);
            self.context.report.event(Event::Warning {
                text: format!(
                    "{path} leaves out {}, which its packages need; version {} is put in",
                    wheel.name, wheel.version
                ),
                hint: format!(
                    "lock again with a newer version of the tool, or name {} among the dependencies",
                    wheel.name
                ),
            });
        }
        self.requirements(&[file(path, &text)], Vec::new(), rules, 0)
    }
}

const fn file<'a>(path: &'a str, text: &'a str) -> RequirementsFile<'a> {
    RequirementsFile {
        path,
        text: text.as_bytes(),
    }
}

/// Lines that wish for what is missing; none if a tool would have listed some of it.
fn wishes(missing: &[(PackageName, Version)]) -> Option<Vec<&'static str>> {
    let mut lines = Vec::new();
    for (name, _) in missing {
        let name = LEFT_OUT.into_iter().find(|one| *one == name.as_ref())?;
        lines.push(if name == "setuptools" {
            WITH_PKG_RESOURCES
        } else {
            name
        });
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use crate::wheel_resolution::implicit_setuptools::*;

    #[test]
    fn only_what_no_tool_lists_is_added() {
        let package = |name: &str| (name.parse().unwrap(), "1".parse().unwrap());
        assert_eq!(
            wishes(&[package("setuptools"), package("wheel")]),
            Some(vec!["setuptools<82", "wheel"])
        );
        assert_eq!(wishes(&[package("setuptools"), package("flask")]), None);
    }
}
