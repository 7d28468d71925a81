//! Which Debian packages come besides the base's: into the image, by the project's `Aptfile`; and for
//! building only, by the builder, and by the Aptfile's names that end in `-dev`. `s2r.yaml` names both.

use serde::Serialize;

use super::builder::BuilderDefinition;
use super::{Decided, ValueOrigin};
use crate::project::ProjectFacts;

/// Debian packages besides the base's, each name once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ExtraPackages {
    /// In the image, in a layer of their own above the base.
    pub image: Vec<Decided<String>>,
    /// Where code is built, and never in the image.
    pub build: Vec<Decided<String>>,
    /// In the image, by themselves.
    pub implied: ImpliedPackages,
}

/// Debian packages that come because a distribution of Python needs them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(crate) struct ImpliedPackages {
    /// Whether packages may come by themselves.
    pub may_come: bool,
    /// Those that the names of the project's files foretell; what is resolved and built may need more.
    pub foreseen: Vec<Decided<String>>,
}

pub(super) fn decide(
    facts: &ProjectFacts,
    definition: &BuilderDefinition,
    implied: ImpliedPackages,
    of_servers: &[Decided<String>],
) -> ExtraPackages {
    let mut packages = ExtraPackages {
        implied,
        image: Vec::new(),
        build: definition
            .build_packages
            .iter()
            .map(|name| {
                let builder = definition.name.clone();
                Decided::new(name.clone(), ValueOrigin::Builder { builder }, "")
            })
            .collect(),
    };
    let of_settings = facts.settings.packages.iter().map(|package| (package, ""));
    let of_aptfile = facts
        .packages
        .iter()
        .map(|package| (package, "-dev is for building"));
    for (package, why_building) in of_settings.chain(of_aptfile) {
        let origin = ValueOrigin::File(package.place.clone());
        let (list, reason) = if package.for_building {
            (&mut packages.build, why_building)
        } else {
            (&mut packages.image, "")
        };
        if !list.iter().any(|one| one.value == package.name) {
            list.push(Decided::new(package.name.clone(), origin, reason));
        }
    }
    for package in of_servers {
        if !packages.image.iter().any(|one| one.value == package.value) {
            packages.image.push(package.clone());
        }
    }
    packages
}

impl ExtraPackages {
    /// Names of those in the image.
    pub(crate) fn image_names(&self) -> Vec<String> {
        names(&self.image, |_| true)
    }

    /// Names of those for building.
    pub(crate) fn build_names(&self) -> Vec<String> {
        names(&self.build, |_| true)
    }

    /// Names of all that the project asks for.
    pub(crate) fn of_project(&self) -> Vec<String> {
        let is_projects = |origin: &ValueOrigin| matches!(origin, ValueOrigin::File(_));
        [
            names(&self.image, is_projects),
            names(&self.build, is_projects),
        ]
        .concat()
    }

    /// Whether the project asks for packages to build with.
    pub(crate) fn has_build_of_project(&self) -> bool {
        let mut build = self.build.iter();
        build.any(|one| matches!(one.origin, ValueOrigin::File(_)))
    }

    /// Where a name stands.
    pub(crate) fn origin_of(&self, name: &str) -> Option<&ValueOrigin> {
        self.image
            .iter()
            .chain(&self.build)
            .find(|one| one.value == name && matches!(one.origin, ValueOrigin::File(_)))
            .map(|one| &one.origin)
    }
}

fn names(list: &[Decided<String>], is_wanted: impl Fn(&ValueOrigin) -> bool) -> Vec<String> {
    list.iter()
        .filter(|one| is_wanted(&one.origin))
        .map(|one| one.value.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::with;

    #[test]
    fn an_aptfile_is_split_into_image_and_building() {
        let files = [("app.py", ""), ("Aptfile", "jq\nlibpq-dev\ngcc\nlibpq5\n")];
        let plan = with(&files, &[], |_| {}).unwrap();
        assert_eq!(plan.packages.image_names(), ["jq", "gcc", "libpq5"]);
        let build = plan.packages.build_names();
        assert_eq!(build.last().map(String::as_str), Some("libpq-dev"));
        assert!(build.len() > 1, "the builder's own: {build:?}");
        let project = ["jq", "gcc", "libpq5", "libpq-dev"];
        assert_eq!(plan.packages.of_project(), project);
        let origin = plan.packages.origin_of("libpq-dev").unwrap();
        assert_eq!(origin.to_string(), "Aptfile:2");
        assert!(
            plan.layers[1].text.contains("jq, gcc, libpq5"),
            "{:?}",
            plan.layers
        );
        assert!(plan.advice.is_empty(), "{:?}", plan.advice);
        assert!(super::super::render(&plan).contains("jq  (Aptfile:1)"));
    }

    #[test]
    fn a_wrong_line_is_named() {
        let files = [("app.py", ""), ("Aptfile", "jq\nppa:a/b\n")];
        let folder = crate::source::testing::folder(&files);
        let tree = crate::source::testing::tree(&folder);
        let error = crate::project::ProjectFacts::of(&tree).unwrap_err();
        let told = crate::report::Explain::explain(&error);
        assert_eq!(told.place, "Aptfile:2");
        assert_eq!(told.class, crate::report::ErrorClass::Project);
    }

    #[test]
    fn the_projects_settings_say_where_each_goes() {
        let files = [
            ("app.py", ""),
            (
                "s2r.yaml",
                "packages:\n  run: [jq, libpq-dev]\n  build: [bison]\n",
            ),
            ("Aptfile", "jq\ntree\n"),
        ];
        let plan = with(&files, &[], |_| {}).unwrap();
        assert_eq!(plan.packages.image_names(), ["jq", "libpq-dev", "tree"]);
        let build = plan.packages.build_names();
        assert_eq!(build.last().map(String::as_str), Some("bison"));
        let origin = |name| plan.packages.origin_of(name).unwrap().to_string();
        assert_eq!(
            (origin("jq"), origin("bison")),
            ("s2r.yaml:2".into(), "s2r.yaml:3".into())
        );
    }
}
