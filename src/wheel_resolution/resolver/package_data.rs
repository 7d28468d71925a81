//! Files of a package that its wheel leaves out: templates and the like, which setuptools takes only where it is told to.

use std::collections::BTreeSet;

use super::WheelResolver;
use crate::archive::zip::ZipArchive;
use crate::report::Event;
use crate::source::SourceKind;
use crate::source_builds::build_wheel::BuiltFile;

/// How files end that applications read when they run.
const DATA: [&str; 14] = [
    "css", "html", "ico", "j2", "jinja", "jinja2", "js", "json", "mo", "png", "sql", "svg", "yaml",
    "yml",
];
/// Most files that a warning names.
const MAX_NAMES: usize = 3;

impl WheelResolver<'_> {
    /// Tells of files in packages below the `src` of a folder that are not in the wheel of that folder: it is from the
    /// wheel that Python imports them. A wheel whose bytes are elsewhere was looked at where it was built.
    pub(super) fn tell_left_out(&self, folder: &str, built: &BuiltFile) {
        let data = self.data_files(folder);
        if data.is_empty() {
            return;
        }
        let context = self.context;
        let path = context.store.download_path(&built.sha256);
        let Ok(archive) = ZipArchive::open(&path, context.settings.rules.unpacked) else {
            return;
        };
        let members = archive.members().iter();
        let members: BTreeSet<&str> = members.map(|member| member.name.as_str()).collect();
        let left_out = left_out(&data, &members);
        let Some(first) = left_out.first() else {
            return;
        };
        let package = first.split('/').next().unwrap_or_default();
        let mut shown = left_out.get(..MAX_NAMES).unwrap_or(&left_out).join(", ");
        if left_out.len() > MAX_NAMES {
            shown.push_str(&format!(" and {} more", left_out.len() - MAX_NAMES));
        }
        context.report.event(Event::Warning {
            text: format!("{} leaves out files of its packages: {shown}", built.file_name),
            hint: format!(
                "name them as package data, with setuptools by `{package} = [\"**/*\"]` below [tool.setuptools.package-data] in pyproject.toml"
            ),
        });
    }

    /// Such files below `src`, from there.
    fn data_files(&self, folder: &str) -> Vec<String> {
        let below = match folder {
            "" | "." => "src/".to_owned(),
            folder => format!("{folder}/src/"),
        };
        let entries = self.context.tree().entries().iter();
        let files = entries.filter(|entry| matches!(entry.kind, SourceKind::File { .. }));
        let paths = files.filter_map(|entry| {
            std::str::from_utf8(&entry.path)
                .ok()?
                .strip_prefix(below.as_str())
        });
        paths
            .filter(|path| is_data(path))
            .map(str::to_owned)
            .collect()
    }
}

fn is_data(path: &str) -> bool {
    let ending = path.rsplit_once('.').map(|(_, ending)| ending);
    path.contains('/') && ending.is_some_and(|ending| DATA.contains(&ending))
}

/// The files of packages that the wheel has and that are not in it themselves.
fn left_out<'a>(data: &'a [String], members: &BTreeSet<&str>) -> Vec<&'a str> {
    let has_package = |path: &str| {
        let package = path.split('/').next().unwrap_or_default();
        members.contains(format!("{package}/__init__.py").as_str())
    };
    let files = data.iter().map(String::as_str);
    files
        .filter(|path| !members.contains(path) && has_package(path))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_wheel_lacks_of_its_packages_is_left_out() {
        let data = ["shop/templates/a.html", "shop/static/a.css", "tool/a.json"].map(str::to_owned);
        let members = BTreeSet::from(["shop/__init__.py", "shop/static/a.css"]);
        assert_eq!(left_out(&data, &members), ["shop/templates/a.html"]);
        for (path, expected) in [
            ("shop/templates/a.html", true),
            ("a.html", false),
            ("shop/a.py", false),
            ("shop/README", false),
        ] {
            assert_eq!(is_data(path), expected, "{path}");
        }
    }
}
