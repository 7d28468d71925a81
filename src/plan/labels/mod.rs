//! The image's labels: the builder's, then those that s2i writes and those of the OCI image
//! specification (annotations.md, "Pre-Defined Annotation Keys").
//!
//! No label holds a time, a path of this machine or a credential: they would make the same source
//! another image elsewhere, or give something away.

pub(crate) mod check_label;

use std::collections::BTreeMap;

use super::builder::BuilderDefinition;
use super::{Decided, PlanInputs, ValueOrigin};
use crate::project::SourcePlace;
use check_label::CHECK_LABEL;

/// The label that names the builder, as s2i has it.
pub(crate) const BUILDER_LABEL: &str = "io.openshift.s2i.build.image";

type LabelMap = BTreeMap<String, Decided<String>>;

/// The flag that outranks whatever else names a label.
pub(crate) const LABEL_FLAG: &str = "--label";

/// The flag that asks for annotations.
pub(super) const ANNOTATION_FLAG: &str = "--annotation";

/// What a flag asks for.
pub(super) fn asked(
    pairs: &BTreeMap<String, String>,
    flag: &'static str,
) -> impl Iterator<Item = (String, Decided<String>)> {
    let decided = move |value: &String| Decided::new(value.clone(), ValueOrigin::Flag { flag }, "");
    pairs
        .iter()
        .map(move |(name, value)| (name.clone(), decided(value)))
}

/// Decides on all labels; empty ones are left out, unless the user writes them.
pub(super) fn decide(inputs: &PlanInputs<'_>, definition: &BuilderDefinition) -> LabelMap {
    let mut labels = LabelMap::new();
    let builder = || ValueOrigin::Builder {
        builder: definition.name.clone(),
    };
    for (name, value) in of_builder(definition) {
        labels.insert(name, Decided::new(value, builder(), ""));
    }
    let mut set = |name: &str, value: &str, origin: ValueOrigin| {
        if !value.is_empty() {
            labels.insert(name.to_owned(), Decided::new(value.to_owned(), origin, ""));
        }
    };
    let scripts = "image:///usr/libexec/s2i";
    set(
        "io.openshift.s2i.scripts-url",
        scripts,
        ValueOrigin::Default,
    );
    // The title of the builder is not the application's.
    set(
        "org.opencontainers.image.title",
        &title(inputs),
        ValueOrigin::Default,
    );
    if let Some(image) = &inputs.request.image {
        let name = || ValueOrigin::Flag { flag: "image name" };
        set("io.k8s.display-name", &image.familiar_name(), name());
    }
    if let Some(context_dir) = &inputs.request.context_dir {
        let flag = ValueOrigin::Flag {
            flag: "--context-dir",
        };
        let text = context_dir.to_string_lossy();
        set("io.openshift.s2i.build.source-context-dir", &text, flag);
    }
    let version = inputs
        .facts
        .pyproject
        .as_ref()
        .and_then(|project| project.version.as_deref());
    let pyproject = ValueOrigin::File(SourcePlace::file("pyproject.toml"));
    set(
        "org.opencontainers.image.version",
        version.unwrap_or_default(),
        pyproject,
    );
    if let Some(git) = inputs.git {
        let origin = || ValueOrigin::File(SourcePlace::file(".git"));
        for (name, value) in [
            ("commit.author", &git.author),
            ("commit.date", &git.date),
            ("commit.id", &git.commit),
            ("commit.message", &git.message),
            ("commit.ref", &git.reference),
        ] {
            set(&format!("io.openshift.s2i.build.{name}"), value, origin());
        }
        set("org.opencontainers.image.revision", &git.commit, origin());
        if let Some(remote) = &git.remote {
            set("io.openshift.s2i.build.source-location", remote, origin());
            set("org.opencontainers.image.source", remote, origin());
        }
    }
    if let Some(check) = &inputs.facts.settings.check {
        let origin = ValueOrigin::File(check.place.clone());
        set(CHECK_LABEL, &check_label::write(&check.value), origin);
    }
    labels.extend(asked(&inputs.request.labels, LABEL_FLAG));
    labels
}

/// The labels that the builder gives.
pub(crate) fn of_builder(definition: &BuilderDefinition) -> BTreeMap<String, String> {
    let mut labels = definition.labels.clone();
    if let Some(port) = definition.ports.first() {
        let service = format!("{port}:http");
        labels.insert("io.openshift.expose-services".to_owned(), service);
    }
    let name = definition.name.clone();
    labels.insert(BUILDER_LABEL.to_owned(), name);
    labels
}

/// What the application is called: the project's own name, else the image's.
fn title(inputs: &PlanInputs<'_>) -> String {
    let own = inputs
        .facts
        .pyproject
        .as_ref()
        .and_then(|project| project.name.clone());
    let of_image = || {
        let image = inputs.request.image.as_ref()?;
        image.repository().rsplit('/').next().map(str::to_owned)
    };
    own.or_else(of_image).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::testing::with;
    use super::super::{PlanInputs, PlanRequest, plan};
    use crate::plan::builder::embedded;
    use crate::plan::{BuilderReason, ChosenBuilder};
    use crate::project::ProjectFacts;
    use crate::source::git;
    use crate::source::testing::{folder, tree};

    #[test]
    fn an_image_is_named_after_itself() {
        let plan = with(&[("app.py", "")], &[], |request| {
            request.image = Some("registry.example.org/team/shop:1".parse().unwrap());
            request.context_dir = Some("sub".into());
        })
        .unwrap();
        let label = |name: &str| plan.labels.get(name).map(|label| label.value.as_str());
        assert_eq!(label("org.opencontainers.image.title"), Some("shop"));
        assert!(label("io.k8s.display-name").unwrap().contains("team/shop"));
        assert_eq!(label("io.openshift.expose-services"), Some("8080:http"));
        assert_eq!(label("io.openshift.s2i.build.image"), Some("python-3.13"));
        assert_eq!(
            label("io.openshift.s2i.build.source-context-dir"),
            Some("sub")
        );
        assert_eq!(label("org.opencontainers.image.revision"), None);
    }

    #[test]
    fn what_flags_ask_for_comes_first() {
        let plan = with(&[("app.py", "")], &[], |request| {
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            request.labels = [pair("io.k8s.display-name", "Shop"), pair("team", "")].into();
            request.annotations = [pair("org.opencontainers.image.vendor", "us")].into();
        })
        .unwrap();
        assert_eq!(plan.labels["io.k8s.display-name"].value, "Shop");
        assert_eq!(plan.labels["team"].value, "");
        let text = crate::plan::render(&plan);
        let labels =
            "labels        io.k8s.display-name=Shop  (--label)\n              team=  (--label)\n";
        assert!(text.contains(labels), "{text}");
        let annotation = "annotations   org.opencontainers.image.vendor=us  (--annotation)\n";
        assert!(text.contains(annotation), "{text}");
    }

    #[test]
    fn a_checkout_gives_its_commit() {
        let folder = folder(&[
            ("app.py", ""),
            ("pyproject.toml", "[project]\nname='shop'\nversion='1.2'\n"),
        ]);
        let git = git::CheckoutFacts {
            commit: "c0ffee".to_owned(),
            author: "A <a@b>".to_owned(),
            date: "Tue".to_owned(),
            reference: "main".to_owned(),
            message: String::new(),
            remote: Some("https://h/x.git".to_owned()),
            changed_files: Some(3),
            committed: String::new(),
            description: None,
        };
        let builder = ChosenBuilder {
            definition: embedded()[0].definition().unwrap(),
            reason: BuilderReason::Default,
        };
        let planned = plan(&PlanInputs {
            member: None,
            request: &PlanRequest::default(),
            facts: &ProjectFacts::of(&tree(&folder)).unwrap(),
            builder: &builder,
            environment_file: &(Vec::new(), Vec::new()),
            git: Some(&git),
            host: Some("linux/arm64".parse().unwrap()),
        })
        .unwrap();
        let label = |name: &str| planned.labels.get(name).map(|label| label.value.as_str());
        assert_eq!(label("io.openshift.s2i.build.commit.id"), Some("c0ffee"));
        assert_eq!(label("io.openshift.s2i.build.commit.message"), None);
        assert_eq!(
            label("org.opencontainers.image.source"),
            Some("https://h/x.git")
        );
        assert_eq!(label("org.opencontainers.image.version"), Some("1.2"));
        assert_eq!(label("org.opencontainers.image.title"), Some("shop"));
        assert_eq!(label("io.k8s.display-name"), Some("Python 3.13"));
        assert!(planned.advice[0].text.starts_with("pyproject") || planned.advice.len() == 2);
    }
}
