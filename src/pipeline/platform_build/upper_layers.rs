//! How the layers above the base are made that need no code of the project to run: the plan's, in the plan's order.

use crate::base::image_base::Base;
use crate::bytecode::BytecodeCompiler;
use crate::context::build_context::Context;
use crate::layer_cache::LayerRecipe;
use crate::layer_recipes::{self, WheelShelf};
use crate::layers::source::SourceLayer;
use crate::layers::wheel::InstallTarget;
use crate::plan::LayerKind;
use crate::report::BuildError;
use crate::resolve::wheels::{LockedWheel, WheelLock};
use crate::source::{PortionKind, TreeContents};
use crate::store::FileState;
use crate::wheel_resolution::package_index;

/// The planned layers above the base, and all that decides on their bytes.
pub(super) struct UpperLayers<'s> {
    context: &'s Context<'s>,
    lock: &'s WheelLock,
    base: &'s Base<'s>,
    contents: &'s TreeContents,
    compiler: Option<&'s BytecodeCompiler<'s>>,
    shelf: WheelShelf<'s>,
    /// Where wheels go without byte code. No application imports pip, and its byte code is as large as Flask's and
    /// Django's together.
    plain: InstallTarget,
    /// Where dependencies go, with their byte code if that is wanted.
    target: InstallTarget,
    /// What compiles the application.
    application: Option<&'s BytecodeCompiler<'s>>,
}

impl<'s> UpperLayers<'s> {
    pub(super) fn new(
        context: &'s Context<'s>,
        lock: &'s WheelLock,
        base: &'s Base<'s>,
        contents: &'s TreeContents,
        compiler: Option<&'s BytecodeCompiler<'s>>,
    ) -> Self {
        let scope = context.plan.bytecode.value;
        let of_dependencies = compiler.filter(|_| scope.compiles_dependencies());
        Self {
            context,
            lock,
            base,
            contents,
            compiler,
            shelf: WheelShelf {
                compiler,
                machine: base.machine(),
                ..context.shelf()
            },
            plain: context.place(),
            target: InstallTarget {
                bytecode: of_dependencies.map(|compiler| compiler.key),
                ..context.place()
            },
            application: compiler.filter(|_| scope.compiles_application()),
        }
    }

    /// How each is made, lowest first. A planned layer is as many here as its wheels or files ask for, and none where
    /// nothing goes into it.
    ///
    /// # Errors
    /// An index that does not have pip.
    pub(super) fn recipes(&self) -> Result<Vec<LayerRecipe<'_>>, BuildError> {
        let mut recipes = Vec::new();
        for layer in &self.context.plan.layers {
            match layer.kind {
                LayerKind::LibraryBytecode => recipes.extend(self.library()),
                LayerKind::Skeleton => recipes.push(self.skeleton()),
                LayerKind::Pip => recipes.extend(self.pip()?),
                LayerKind::Dependencies => recipes.extend(self.dependencies()),
                LayerKind::Project => recipes.extend(self.project()),
                LayerKind::LargeFiles => recipes.extend(self.source(PortionKind::LargeFiles)),
                LayerKind::LargeFolders => recipes.extend(self.source(PortionKind::LargeFolders)),
                LayerKind::Source => recipes.extend(self.source(PortionKind::Rest)),
                // Those of the base are made while wheels are being resolved; those of the project's code by that
                // code, over all of these.
                LayerKind::Base
                | LayerKind::Packages
                | LayerKind::Assembled
                | LayerKind::Changes => {}
            }
        }
        Ok(recipes)
    }

    fn library(&self) -> Option<LayerRecipe<'_>> {
        let Base::Packages { debs, .. } = self.base else {
            return None;
        };
        let compiler = self.compiler?;
        let tar = self.context.tar();
        Some(layer_recipes::library(&debs.base, compiler, tar))
    }

    fn skeleton(&self) -> LayerRecipe<'_> {
        let builder = self.context.builder;
        layer_recipes::skeleton(&builder.python, &builder.interpreter, self.context.tar())
    }

    /// pip's layer, unless the project brings a pip of its own.
    fn pip(&self) -> Result<Option<LayerRecipe<'_>>, BuildError> {
        let mut wheels = self.lock.packages.iter();
        let is_own = wheels.any(|wheel| wheel.name.as_ref() == "pip");
        let Some(pinned) = self.context.plan.pip.value.as_ref().filter(|_| !is_own) else {
            return Ok(None);
        };
        let context = self.context;
        let find =
            |asks| package_index::pip(pinned, &context.environment, &context.fetcher(), asks);
        let recipe =
            |pip: &LockedWheel| layer_recipes::wheel_layer(&[pip], &self.plain, &self.shelf);
        if let Some(pip) = find(false)? {
            let recipe = recipe(&pip);
            // The layer first: who has it need not read the wheel.
            if context.is_here(&recipe.key)
                || context.store.drop_damaged_download(&pip.sha256)? == FileState::Sound
                || context.has_layer(&recipe.key)
            {
                return Ok(Some(recipe));
            }
        }
        Ok(find(true)?.as_ref().map(recipe))
    }

    fn dependencies(&self) -> Vec<LayerRecipe<'_>> {
        let wheels = self.lock.packages.iter();
        let others = wheels.filter(|wheel| !wheel.is_own());
        let others: Vec<LockedWheel> = others.cloned().collect();
        layer_recipes::wheels(&others, &self.target, &self.shelf)
    }

    /// The project's own wheel, above its dependencies, because it changes more often.
    fn project(&self) -> Option<LayerRecipe<'_>> {
        let wheels = self.lock.packages.iter();
        let own: Vec<&LockedWheel> = wheels.filter(|wheel| wheel.is_own()).collect();
        let target = match self.application {
            Some(_) => &self.target,
            None => &self.plain,
        };
        (!own.is_empty()).then(|| LayerRecipe {
            is_of_source: true,
            ..layer_recipes::wheel_layer(&own, target, &self.shelf)
        })
    }

    /// The layers of the source's portions of one kind.
    fn source(&self, kind: PortionKind) -> impl Iterator<Item = LayerRecipe<'_>> {
        let context = self.context;
        let source = SourceLayer {
            tree: context.tree(),
            contents: self.contents,
            portion: &context.tree().division().code,
            notes: &context.plan.notes,
            bytecode: self
                .application
                .map(|compiler| (compiler.python, compiler.key)),
        };
        let make = (context.store, context.tar());
        let layers = source.of_kind(kind).into_iter();
        layers.map(move |layer| layer_recipes::source(layer, self.application, make))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::debian_packages::DebianPackages;
    use crate::context::testing::{PLATFORM, TestBuild};
    use crate::net::testing::{Answer, Server};
    use crate::oci::Digest;
    use crate::packages::Sha256;
    use crate::packages::debian::DebArtefact;
    use crate::report::ErrorClass;
    use crate::resolve::wheels::WheelLocation;

    const APP: (&str, &str) = ("app.py", "print('x')\n");
    const FLASK: (&str, &str) = ("requirements.txt", "flask\n");

    fn wheel(name: &str, is_own: bool) -> LockedWheel {
        let file = format!("{name}-1-py3-none-any.whl");
        let from =
            crate::resolve::wheels::SourceOf::Tree(crate::packages::python::LockedTree::Folder {
                path: ".".to_owned(),
                is_editable: false,
            });
        LockedWheel {
            name: name.parse().unwrap(),
            version: "1".parse().unwrap(),
            file_name: file.parse().unwrap(),
            location: if is_own {
                WheelLocation::Built {
                    is_own,
                    from: Box::new(from),
                }
            } else {
                WheelLocation::Source(file)
            },
            sha256: Digest::of(name.as_bytes()),
            size_bytes: Some(1000),
        }
    }

    /// What the layers of a build hold, its lock having these wheels.
    fn contents(build: &TestBuild, wheels: Vec<LockedWheel>) -> Result<Vec<String>, BuildError> {
        let python = DebArtefact {
            package: "python3.13-minimal".to_owned(),
            version: "3.13.5-2".to_owned(),
            architecture: "amd64".to_owned(),
            url: "http://127.0.0.1:1/p.deb".to_owned(),
            snapshot_url: None,
            sha256: Sha256([1; 32]),
            size: 1,
        };
        build.run(|context| {
            let debian = context.debian()?;
            let base = Base::Packages {
                base: debian,
                debs: DebianPackages {
                    base: vec![python],
                    ..DebianPackages::default()
                },
                options: context.base_options(debian, PLATFORM.architecture),
            };
            let compiler = context.compiler(&base)?;
            let contents = context.contents()?;
            let lock = WheelLock { packages: wheels };
            let layers = UpperLayers::new(context, &lock, &base, &contents, compiler.as_ref());
            let recipes = layers.recipes()?.into_iter();
            Ok(recipes.map(|recipe| recipe.contents).collect())
        })
    }

    #[test]
    fn layers_are_made_in_the_plans_order() {
        let setup = (
            "setup.py",
            "from setuptools import setup\nsetup(name='x')\n",
        );
        let large = "x".repeat(4 << 20);
        let files = [APP, FLASK, setup, ("model.bin", large.as_str())];
        let build = TestBuild::of(&files, &["S2R_PIP=none", "APP_FILE=app.py"]);
        let wheels = vec![
            wheel("x", true),
            wheel("flask", false),
            wheel("click", false),
        ];
        let expected = [
            ("library-bytecode", "byte code of Python's standard library"),
            ("skeleton", "virtual environment and scripts"),
            ("dependencies", "flask==1"),
            ("dependencies", "click==1"),
            ("project", "x==1"),
            ("large-files", "source: model.bin (5 MB)"),
            ("source", "source: 3 files and folders"),
        ];
        let made = contents(&build, wheels).unwrap();
        assert_eq!(made, expected.map(|(_, contents)| contents));
        let planned = serde_json::to_value(&build.plan.layers).unwrap();
        let kinds = planned.as_array().unwrap().iter();
        let kinds: Vec<&str> = kinds.map(|one| one["kind"].as_str().unwrap()).collect();
        let mut of_made = expected.map(|(kind, _)| kind).to_vec();
        of_made.dedup();
        assert_eq!((kinds[0], &kinds[1..]), ("base", &*of_made));
    }

    #[test]
    fn what_code_of_the_project_makes_is_left_to_it() {
        let script = (".s2i/bin/assemble*", "#!/bin/sh\n");
        let build = TestBuild::of(&[APP, script], &["S2R_PIP=none", "APP_FILE=app.py"]);
        let made = contents(&build, vec![wheel("flask", false)]).unwrap();
        assert_eq!(made.len(), 2, "{made:?}");
        let last = build.plan.layers.last().map(|layer| layer.kind);
        assert_eq!(last, Some(LayerKind::Assembled));
    }

    #[test]
    fn pip_is_the_indexs_unless_the_lock_has_one() {
        let env = ["APP_FILE=app.py"];
        let file_name = TestBuild::of(&[APP], &env).plan.pip.value.unwrap().filename;
        let listed = file_name.clone();
        let index = Server::start(move |seen| {
            let hash = "0".repeat(64);
            let page = format!("<a href=\"/f/{listed}#sha256={hash}\">{listed}</a>");
            match &*seen.target {
                "/simple/pip/" => Answer::new(200, page).with("content-type", "text/html"),
                _ => Answer::new(404, ""),
            }
        });
        let index_url = format!("PIP_INDEX_URL={}", index.url("/simple"));
        let build = TestBuild::of(&[APP], &[env[0], index_url.as_str()]);
        let made = contents(&build, Vec::new()).unwrap();
        let version = file_name.split('-').nth(1).unwrap();
        assert_eq!(made[2], format!("pip=={version}"), "{made:?}");
        let asked = index.lines().len();
        let own = contents(&build, vec![wheel("pip", false)]).unwrap();
        // No planned layer of dependencies: no file names any.
        assert_eq!(own.len(), 3, "{own:?}");
        assert_eq!(index.lines().len(), asked);
    }

    #[test]
    fn an_index_without_pip_is_the_worlds_fault() {
        let index = Server::start(|_| Answer::new(404, ""));
        let index_url = format!("PIP_INDEX_URL={}", index.url("/simple"));
        let build = TestBuild::of(&[APP], &["APP_FILE=app.py", index_url.as_str()]);
        let error = contents(&build, Vec::new()).unwrap_err();
        assert_eq!(error.explain().class, ErrorClass::World, "{error}");
        assert!(index.lines().contains(&"GET /simple/pip/".to_owned()));
    }
}
