//! The layers of an image, lowest first, as far as they are known before anything is resolved.
//!
//! `s2r plan` prints this list, and a build makes the layers above the base in its order, by one exhaustive match over
//! [`LayerKind`]. What shows only later is not in it: into how many layers wheels are dealt out, and which Debian
//! packages a wheel links that is built here.

use serde::Serialize;

use super::builder::{BaseDefinition, BuilderDefinition, PipWheel};
use super::packages::ExtraPackages;
use super::running::ASSEMBLE;
use super::{BuildSteps, BytecodeScope, DependencySource, StartDecision};
use crate::project::ProjectFacts;
use crate::source::PortionKind;

/// What a layer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LayerKind {
    /// Packages of a Debian suite, or the layers of an image.
    Base,
    /// Debian packages above the base.
    Packages,
    /// Byte code of the standard library that the base brings.
    LibraryBytecode,
    /// Virtual environment, users, scripts.
    Skeleton,
    Pip,
    /// Wheels, but for the project's own.
    Dependencies,
    /// The wheel of the project itself.
    Project,
    LargeFiles,
    LargeFolders,
    /// The project's files that are in no other layer.
    Source,
    /// What the project's own assemble script leaves.
    Assembled,
    /// What the commands of `build` and `collectstatic` write.
    Changes,
}

impl LayerKind {
    /// What people are told that it is.
    fn title(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Packages => "added packages",
            Self::LibraryBytecode => "byte code",
            Self::Skeleton => "skeleton",
            Self::Pip => "pip",
            Self::Dependencies => "dependencies",
            Self::Project => "application",
            Self::LargeFiles | Self::LargeFolders | Self::Source => "source",
            Self::Assembled => "assemble",
            Self::Changes => "changes",
        }
    }
}

/// A layer, or several that hold the same kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct PlannedLayer {
    pub kind: LayerKind,
    /// What is in it, in words.
    pub text: String,
}

impl PlannedLayer {
    fn new(kind: LayerKind, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { kind, text }
    }
}

impl std::fmt::Display for PlannedLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind.title(), self.text)
    }
}

/// What decides on layers.
#[derive(Clone, Copy)]
pub(super) struct LayerInputs<'a> {
    pub facts: &'a ProjectFacts,
    pub builder: &'a BuilderDefinition,
    pub packages: &'a ExtraPackages,
    pub pip: Option<&'a PipWheel>,
    pub dependencies: &'a DependencySource,
    pub running: &'a BuildSteps,
    pub start: &'a StartDecision,
    pub bytecode: BytecodeScope,
}

/// The layers, lowest first.
pub(super) fn decide(inputs: LayerInputs<'_>) -> Vec<PlannedLayer> {
    let mut layers = vec![inputs.base()];
    layers.extend(inputs.added_packages());
    if inputs.compiles_library() {
        let text = "Python's standard library";
        layers.push(PlannedLayer::new(LayerKind::LibraryBytecode, text));
    }
    let text = "virtual environment, users, scripts";
    layers.push(PlannedLayer::new(LayerKind::Skeleton, text));
    if let Some(pip) = inputs.pip {
        let text = format!("{}, unless the dependencies bring another", pip.version);
        layers.push(PlannedLayer::new(LayerKind::Pip, text));
    }
    if inputs.running.assemble.value {
        let text = format!("what {ASSEMBLE} leaves");
        layers.push(PlannedLayer::new(LayerKind::Assembled, text));
        return layers;
    }
    layers.extend(inputs.dependencies());
    if inputs.running.install.value {
        let text = "the project itself, as a wheel";
        layers.push(PlannedLayer::new(LayerKind::Project, text));
    }
    layers.extend(inputs.source());
    layers.extend(inputs.changes());
    layers
}

impl LayerInputs<'_> {
    fn base(&self) -> PlannedLayer {
        let text = match &self.builder.base {
            BaseDefinition::Debian(debian) => format!("packages of Debian {}", debian.suite),
            BaseDefinition::Image(image) => format!("the layers of {image}"),
        };
        PlannedLayer::new(LayerKind::Base, text)
    }

    /// Those that are named, and those that what is named needs. An image gets none.
    fn added_packages(&self) -> Option<PlannedLayer> {
        let mut names = self.packages.image_names();
        if !self.builder.is_upon_image() {
            let foreseen = self.packages.implied.foreseen.iter();
            names.extend(foreseen.map(|one| one.value.clone()));
        }
        (!names.is_empty()).then(|| PlannedLayer::new(LayerKind::Packages, names.join(", ")))
    }

    /// Whether the standard library is compiled. That of a base image stays as it is.
    fn compiles_library(&self) -> bool {
        self.bytecode.compiles_dependencies() && !self.builder.is_upon_image()
    }

    /// The wheels of what files name, and of what comes besides.
    fn dependencies(&self) -> Option<PlannedLayer> {
        let file = match self.dependencies {
            DependencySource::None => None,
            DependencySource::Requirements { path }
            | DependencySource::Pylock { path }
            | DependencySource::Converted { path, .. } => Some(path.as_str()),
        };
        let server = self.start.added.as_ref().map(|added| added.value.name);
        let required = self.running.install.value && file.is_none();
        let of_project = required.then_some("what the project requires");
        let newest = self.running.newest_pip.value;
        let newest = newest.then_some("the newest pip, setuptools and wheel");
        let wanted = [file, of_project, server, newest].into_iter().flatten();
        let wanted: Vec<&str> = wanted.collect();
        (!wanted.is_empty()).then(|| {
            let text = format!("wheels of {}, large ones alone", wanted.join(" and "));
            PlannedLayer::new(LayerKind::Dependencies, text)
        })
    }

    fn source(&self) -> impl Iterator<Item = PlannedLayer> {
        let large = self.facts.large_layers();
        let text = match large {
            [] => "the project's files",
            [..] => "the project's other files",
        };
        let rest = PlannedLayer::new(LayerKind::Source, text);
        let large = large.iter().map(|(kind, text)| {
            let kind = match kind {
                PortionKind::LargeFiles => LayerKind::LargeFiles,
                PortionKind::LargeFolders => LayerKind::LargeFolders,
                PortionKind::Rest => LayerKind::Source,
            };
            PlannedLayer::new(kind, text)
        });
        large.chain([rest])
    }

    fn changes(&self) -> Option<PlannedLayer> {
        let collects = self.running.collectstatic.value;
        let collected = collects.then_some("what collectstatic writes, if Django is installed");
        let commands = (!self.running.commands.is_empty()).then(|| {
            let left_out = if self.running.runs_node() {
                ", node_modules beside a package.json left out"
            } else {
                ""
            };
            format!("what the commands of build write below /opt/app-root{left_out}")
        });
        let texts: Vec<&str> = commands.as_deref().into_iter().chain(collected).collect();
        (!texts.is_empty()).then(|| PlannedLayer::new(LayerKind::Changes, texts.join(", and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{planned, with};
    use super::LayerKind::{
        Assembled, Base, Changes, Dependencies, LibraryBytecode, Packages, Pip, Project, Skeleton,
        Source,
    };
    use super::*;
    use crate::plan::Plan;

    const APP: (&str, &str) = ("app.py", "print('x')\n");
    const FLASK: (&str, &str) = ("requirements.txt", "flask\ngunicorn\n");

    fn kinds(plan: &Plan) -> Vec<LayerKind> {
        plan.layers.iter().map(|layer| layer.kind).collect()
    }

    fn text(plan: &Plan, kind: LayerKind) -> String {
        let mut layers = plan.layers.iter();
        layers.find(|one| one.kind == kind).unwrap().to_string()
    }

    #[test]
    fn a_project_with_everything_has_every_kind_in_order() {
        let files = [
            FLASK,
            ("manage.py", ""),
            (
                "setup.py",
                "from setuptools import setup\nsetup(name='x')\n",
            ),
            (
                "s2r.yaml",
                "packages: {run: [jq]}\nbuild: [make, npm run build]\n",
            ),
        ];
        let plan = planned(&files, &["DJANGO_SETTINGS_MODULE=x"]).unwrap();
        assert_eq!(
            kinds(&plan),
            [
                Base,
                Packages,
                LibraryBytecode,
                Skeleton,
                Pip,
                Dependencies,
                Project,
                Source,
                Changes
            ]
        );
        assert_eq!(
            text(&plan, Changes),
            "changes: what the commands of build write below /opt/app-root, node_modules beside a package.json left out, \
             and what collectstatic writes, if Django is installed"
        );
        let json = serde_json::to_value(&plan).unwrap();
        let first = serde_json::json!({"kind": "base", "text": "packages of Debian trixie"});
        assert_eq!(json["layers"][0], first);
        assert_eq!(json["layers"][2]["kind"], "library-bytecode");
    }

    #[test]
    fn an_own_assemble_script_stands_for_all_that_would_be_installed() {
        let script = (ASSEMBLE, "#!/bin/sh\n");
        let plan = planned(&[APP, FLASK, script], &[]).unwrap();
        assert_eq!(
            kinds(&plan),
            [Base, LibraryBytecode, Skeleton, Pip, Assembled]
        );
        assert_eq!(
            text(&plan, Assembled),
            "assemble: what .s2i/bin/assemble leaves"
        );
    }

    #[test]
    fn an_image_keeps_its_byte_code_and_its_packages() {
        let files = [APP, ("requirements.txt", "cairosvg\n")];
        let on = |builder: &str, scope| {
            with(&files, &[], |request| {
                request.builder = Some(builder.to_owned());
                request.bytecode = scope;
            })
            .unwrap()
        };
        let upon_image = on("python-3.12", Some(BytecodeScope::All));
        assert_eq!(
            kinds(&upon_image),
            [Base, Skeleton, Pip, Dependencies, Source]
        );
        assert!(text(&upon_image, Base).contains("library/python"));
        let upon_debian = on("python-3.13", None);
        assert_eq!(text(&upon_debian, Packages), "added packages: libcairo2");
    }

    #[test]
    fn what_is_switched_off_has_no_layer() {
        let plan = with(&[APP], &["S2R_PIP=none"], |request| {
            request.bytecode = Some(BytecodeScope::App);
        });
        assert_eq!(kinds(&plan.unwrap()), [Base, Skeleton, Source]);
    }

    /// A layer that is not planned is not made: whatever has wheels resolved has to be among the reasons.
    #[test]
    fn wheels_come_of_more_than_files_of_requirements() {
        let has = |files: &[(&str, &str)], env: &[&str]| {
            text(&planned(files, env).unwrap(), Dependencies)
        };
        let pyproject = (
            "pyproject.toml",
            "[project]\nname = 'x'\nversion = '1'\ndependencies = ['flask']\n[build-system]\nrequires = []\n",
        );
        assert!(has(&[APP, pyproject], &[]).contains("what the project requires"));
        assert!(has(&[APP], &["UPGRADE_PIP_TO_LATEST=1"]).contains("the newest pip"));
        let served = [
            ("requirements.txt", "flask\n"),
            ("wsgi.py", "application = 1\n"),
        ];
        assert!(has(&served, &[]).contains("requirements.txt and gunicorn"));
    }

    #[test]
    fn packages_of_a_server_and_a_front_are_below_all_that_is_python() {
        let files = [
            ("requirements.txt", "flask\n"),
            ("wsgi.py", "application = 1\n"),
            ("s2r.yaml", "server: uwsgi\nfront: nginx\n"),
        ];
        let plan = planned(&files, &[]).unwrap();
        assert_eq!(kinds(&plan)[..3], [Base, Packages, LibraryBytecode]);
        let packages = text(&plan, Packages);
        assert!(
            packages.contains("uwsgi") && packages.contains("nginx"),
            "{packages}"
        );
    }
}
