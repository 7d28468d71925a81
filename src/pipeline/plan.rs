//! The stages that only look: source, project, plan.

use std::path::{Path, PathBuf};

use super::named_base::NamedBaseError;
use super::workspace_member;
use crate::base::base_image_lookup::{BaseImageError, BaseImageLookup};
use crate::context::base_manifest::BaseImage;
use crate::context::fetch_source::{FetchedSource, for_git};
use crate::context::project::{LOCK_FILE, ProjectInputs};
use crate::context::settings::Settings;
use crate::oci::{Architecture, Platform, Reference};
use crate::packages::python::resolve_path;
use crate::plan::builder::{BuilderDefinition, BuilderFile, BuilderText, EmbeddedBuilder};
use crate::plan::image_builder::ImageBuilder;
use crate::plan::{
    BuilderReason, ChosenBuilder, NamedBuilder, Plan, PlanError, PlanInputs, PlanRequest,
    ValueOrigin, choose_builder, is_image_stream,
};
use crate::project::{ProjectFacts, ProjectSettings};
use crate::report::{BuildError, Event, FileError, Report};
use crate::source::environment::{self, EnvironmentGrammar, EnvironmentNote, EnvironmentVariable};
use crate::source::{SettingsFile, SourceSettings, SourceTree, git};
use crate::store::Store;

/// A builder file is refused beyond this.
const MAX_BUILDER_BYTES: u64 = 1 << 20;

/// Reads and decides, and does no more. The network is asked only for what a base image is.
///
/// # Errors
/// What keeps the project from being built, as far as it is seen without a network.
pub(crate) fn plan(
    request: &PlanRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<Plan, BuildError> {
    let mut project = project(request, settings, report)?;
    resolve_builder(&mut project, request, settings, report)?;
    // What the user should know stands in the plan itself.
    let plan = make_plan(&project, request, &crate::report::SilentReport)?;
    crate::context::cross_platform::check(&plan)?;
    Ok(plan)
}

pub(super) fn project(
    request: &PlanRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<ProjectInputs, BuildError> {
    let environment_file = environment_file(request, settings)?;
    let obtained = FetchedSource::of(request, settings, report)?;
    let mut source = SourceSettings {
        folder: obtained.folder.clone(),
        shown: obtained.shown.clone(),
        context_dir: request.context_dir.clone(),
        exclude: request.exclude.clone(),
        ignore: Vec::new(),
    };
    let member = workspace_member::find(request, &obtained, &mut source)?;
    let asked = ProjectSettings::of_source(&source)?;
    let patterns = asked.exclude.iter();
    source.ignore = patterns.map(|pattern| pattern.value.clone()).collect();
    // git is slower than all the rest of this stage together.
    let (read, git) = std::thread::scope(|scope| {
        let folder = &source.folder;
        let git = (obtained.is_users() && git::is_checkout(folder))
            .then(|| scope.spawn(|| git::facts(folder, &for_git(&settings.variables))));
        let read = SourceTree::read(&source, report)
            .map_err(BuildError::from)
            .and_then(|tree| Ok((ProjectFacts::with_settings(&tree, asked)?, tree)));
        (read, git.and_then(|thread| thread.join().ok().flatten()))
    });
    let (facts, tree) = read?;
    if let Some(member) = &member {
        workspace_member::tell(member, request, (&tree, report));
    }
    Ok(ProjectInputs {
        tree,
        facts,
        git: git.or_else(|| obtained.git.clone()),
        obtained,
        member,
        builder: None,
        base_images: Vec::new(),
        environment_file,
    })
}

/// What would be decided if there were no `pylock.toml`: what such a lock stands for.
///
/// # Errors
/// As [`make_plan`]; a lock of another tool that is older than what it was made from.
pub(super) fn without_lock(
    project: &ProjectInputs,
    request: &PlanRequest,
) -> Result<Plan, BuildError> {
    let mut facts = project.facts.clone();
    facts.pylock = None;
    Ok(crate::plan::plan(&inputs(project, &facts, request)?)?)
}

/// Decides what to build, and tells what the user should know of it.
pub(super) fn make_plan(
    project: &ProjectInputs,
    request: &PlanRequest,
    report: &dyn Report,
) -> Result<Plan, BuildError> {
    let plan = crate::plan::plan(&inputs(project, &project.facts, request)?)?;
    for advice in &plan.advice {
        report.event(Event::Warning {
            text: advice.text.clone(),
            hint: advice.hint.clone(),
        });
    }
    Ok(plan)
}

fn inputs<'a>(
    project: &'a ProjectInputs,
    facts: &'a ProjectFacts,
    request: &'a PlanRequest,
) -> Result<PlanInputs<'a>, BuildError> {
    Ok(PlanInputs {
        request,
        facts,
        builder: project.chosen()?,
        environment_file: &project.environment_file,
        member: project.member.as_ref().map(|member| member.name.as_str()),
        git: project.git.as_ref(),
        host: Architecture::host().map(|architecture| Platform { architecture }),
    })
}

/// Chooses the builder: that of `--builder`, or one that comes with s2r. Of one upon an image it is asked what
/// the image is: the one that the project's lock pins, if it pins one.
///
/// # Errors
/// No builder has the Python that is wished for; a wrong builder file; an image that cannot be had or stood upon.
pub(super) fn resolve_builder(
    project: &mut ProjectInputs,
    request: &PlanRequest,
    settings: &Settings,
    report: &dyn Report,
) -> Result<(), BuildError> {
    let wishes = &project.facts.python;
    let asked = NamedBuilder::of(request, &project.facts.settings);
    let own = match &asked {
        Some(asked) => own_builder(project, asked, settings)?,
        None => None,
    };
    let (file, embedded, reason) = if let Some((file, origin)) = own {
        (file, None, BuilderReason::Named(origin))
    } else {
        let (builder, reason) = choose_builder(asked.as_ref(), wishes)?;
        (builder.read()?, Some(builder), reason)
    };
    let builder = match file {
        BuilderFile::Whole(builder) => {
            let definition = *builder;
            project.builder = Some(ChosenBuilder { definition, reason });
            return Ok(());
        }
        BuilderFile::Image(builder) => builder,
    };
    let images = base_images(project, request, &builder.reference, (settings, report));
    let images = images.map_err(|error| match embedded {
        Some(embedded) => NamedBaseError::of(error, embedded, &builder.reference, wishes),
        None => error,
    })?;
    let definition = definition_upon(&builder, &images)?;
    project.builder = Some(ChosenBuilder { definition, reason });
    project.base_images = images;
    Ok(())
}

/// What an image is for each platform that is wanted.
fn base_images(
    project: &ProjectInputs,
    request: &PlanRequest,
    image: &Reference,
    (settings, report): (&Settings, &dyn Report),
) -> Result<Vec<BaseImage>, BuildError> {
    let host = Architecture::host().map(|architecture| Platform { architecture });
    let mut platforms = request.platforms.clone();
    if platforms.is_empty() {
        platforms.extend(host);
    }
    platforms.sort_unstable();
    platforms.dedup();
    let pinned = match project.base_lock()? {
        Some(lock) => Some(lock.image_for(&image.canonical(), LOCK_FILE)?),
        None => None,
    };
    let store = Store::open(&settings.store_root)?;
    let client = crate::context::client::new(settings, report);
    let images = BaseImageLookup {
        client: &client,
        store: &store,
        rules: settings.rules,
    }
    .find(image, pinned, &platforms);
    crate::context::client::say_warnings(&client, report);
    images
}

/// A builder with what its image tells, which has to be the same for all platforms.
fn definition_upon(
    builder: &ImageBuilder,
    images: &[BaseImage],
) -> Result<BuilderDefinition, BuildError> {
    let mut definition: Option<BuilderDefinition> = None;
    for one in images {
        let told = one.known_to(builder).complete(&one.config)?;
        match &definition {
            None => definition = Some(told),
            Some(first) if first.stands_like(&told) => {}
            Some(_) => {
                return Err(BaseImageError::Differs {
                    image: builder.reference.to_string(),
                    platform: one.platform,
                }
                .into());
            }
        }
    }
    // Without a platform there is no image either, and the plan says so.
    definition.ok_or_else(|| PlanError::NoPlatform.into())
}

/// The builder of a file or upon an image, if it is one of these that is asked for. A name that is compiled in
/// never is a file, and what is a file is no image. A bare word is no image either: it would be a builder's name
/// with a slip in it. Nor is the name of an image stream, which stands for a builder. A file that the project names
/// is a file of the project.
fn own_builder(
    project: &ProjectInputs,
    asked: &NamedBuilder,
    settings: &Settings,
) -> Result<Option<(BuilderFile, ValueOrigin)>, BuildError> {
    let NamedBuilder { name, origin } = asked;
    if EmbeddedBuilder::named(name).is_some() {
        return Ok(None);
    }
    let is_file_name = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    let file = match origin {
        ValueOrigin::File(_) => {
            let read = |path: &str| -> Result<Option<BuilderText>, BuildError> {
                let bytes = project.tree.read_small(path, SettingsFile::BuilderFile)?;
                Ok(bytes.map(|bytes| builder_text(path, &bytes)))
            };
            let extended = |file: &str, named: &str| match resolve_path(file, named) {
                Some(path) => read(&path),
                None => Ok(None),
            };
            read(name)?
                .map(|text| BuilderFile::with_files(text, extended))
                .transpose()?
        }
        _ if is_file_name || settings.directory.join(name).is_file() => {
            Some(builder_file(name, settings)?)
        }
        _ => None,
    };
    if let Some(file) = file {
        return Ok(Some((file, origin.clone())));
    }
    let is_path = name.starts_with(['.', '/']) || is_file_name;
    if is_path || !name.contains([':', '/', '@']) || is_image_stream(name) {
        return Ok(None);
    }
    let image = name.parse::<Reference>().ok();
    Ok(image.map(|image| {
        let builder = ImageBuilder::of(&image);
        (BuilderFile::Image(Box::new(builder)), origin.clone())
    }))
}

/// Reads a builder file, and those that it extends.
///
/// # Errors
/// No such file, or one that is wrong.
pub(super) fn builder_file(name: &str, settings: &Settings) -> Result<BuilderFile, BuildError> {
    let read = |name: &str| -> Result<BuilderText, BuildError> {
        let bytes = read_file(&settings.directory.join(name), MAX_BUILDER_BYTES)?;
        Ok(builder_text(name, &bytes))
    };
    BuilderFile::with_files(read(name)?, |file, named| {
        let path = Path::new(file).with_file_name("").join(named);
        if settings.directory.join(&path).is_file() {
            read(&path.to_string_lossy()).map(Some)
        } else {
            Ok(None)
        }
    })
}

fn builder_text(name: &str, bytes: &[u8]) -> BuilderText {
    BuilderText {
        origin: name.to_owned(),
        text: String::from_utf8_lossy(bytes).into_owned(),
    }
}

/// The variables of the file of `-E`.
fn environment_file(
    request: &PlanRequest,
    settings: &Settings,
) -> Result<(Vec<EnvironmentVariable>, Vec<EnvironmentNote>), BuildError> {
    let Some(name) = &request.environment_file else {
        return Ok((Vec::new(), Vec::new()));
    };
    let bytes = read_file(&settings.directory.join(name), environment::MAX_FILE_BYTES)?;
    Ok(environment::parse(
        &bytes,
        EnvironmentGrammar::CommandLine,
        &name.display().to_string(),
    )?)
}

/// Reads a file that an argument names.
fn read_file(path: &Path, max_bytes: u64) -> Result<Vec<u8>, BuildError> {
    use std::io::Read as _;
    let unreadable = |source| FileError::Unreadable {
        path: PathBuf::from(path),
        source,
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(max_bytes + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > max_bytes {
        return Err(unreadable(std::io::ErrorKind::FileTooLarge.into()).into());
    }
    Ok(bytes)
}
