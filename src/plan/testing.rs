//! Plans for tests.

use serde_json::json;

use super::builder::BuilderFile;
use super::image_builder::ImageBuilder;
use super::*;
use crate::source::testing::{folder, tree};

/// A builder upon one of the official images, of its ninth release.
fn official(image: &ImageBuilder) -> BuilderDefinition {
    let python = image.python.as_deref().unwrap();
    let config = serde_json::from_value(json!({
        "architecture": "amd64", "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin", format!("PYTHON_VERSION={python}.9")]},
        "history": [{"created_by": "# debian.sh out/ 'trixie'"}],
        "rootfs": {"type": "layers", "diff_ids": []},
    }));
    image.complete(&config.unwrap()).unwrap()
}

/// Plans a folder with these files and arguments of `-e`.
pub(super) fn planned(files: &[(&str, &str)], env: &[&str]) -> Result<Plan, PlanError> {
    with(files, env, |_| {})
}

/// The same, the request changed.
pub(super) fn with(
    files: &[(&str, &str)],
    env: &[&str],
    change: impl FnOnce(&mut PlanRequest),
) -> Result<Plan, PlanError> {
    let folder = folder(files);
    let facts = ProjectFacts::of(&tree(&folder)).unwrap();
    let mut request = PlanRequest {
        env: env.iter().map(|&text| text.to_owned()).collect(),
        ..PlanRequest::default()
    };
    change(&mut request);
    let (builder, reason) = choose_builder(
        NamedBuilder::of(&request, &facts.settings).as_ref(),
        &facts.python,
    )?;
    let definition = match builder.read().unwrap() {
        BuilderFile::Whole(definition) => *definition,
        BuilderFile::Image(image) => official(&image),
    };
    plan(&PlanInputs {
        request: &request,
        facts: &facts,
        builder: &ChosenBuilder { definition, reason },
        environment_file: &(Vec::new(), Vec::new()),
        member: None,
        git: None,
        host: Some("linux/amd64".parse().unwrap()),
    })
}
