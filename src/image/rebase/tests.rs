//! Images of two layers on bases of two, and what becomes of their settings.

use serde_json::json;

use super::*;
use crate::image::NoBaseRecord;
use crate::oci::{Digest, MediaType};

const ABI: &str = "python=3.13 glibc=2.41 interpreter=/usr/bin/python3.13";

fn layer(name: &str) -> Descriptor {
    Descriptor::of(MediaType::LayerGzip, name.as_bytes())
}

fn diff_id(name: &str) -> DiffId {
    DiffId::from_bytes(*Digest::of(name.as_bytes()).as_bytes())
}

/// An image of these layers, the first two its base's; `run` is its config's.
fn image(
    layers: &[&str],
    settings: &BaseSettings,
    run: serde_json::Value,
) -> (ImageManifest, ImageConfig) {
    let config = ImageConfig {
        created: Some("1980-01-01T00:00:00Z".to_owned()),
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        config: serde_json::from_value(run).unwrap(),
        rootfs: RootFs {
            kind: "layers".to_owned(),
            diff_ids: layers.iter().map(|name| diff_id(name)).collect(),
        },
        history: layers
            .iter()
            .map(|name| HistoryEntry {
                created_by: Some((*name).to_owned()),
                ..HistoryEntry::default()
            })
            .collect(),
        other: BTreeMap::new(),
    };
    let notes = [
        (BASE_LAYERS_ANNOTATION, "2".to_owned()),
        (ABI_ANNOTATION, ABI.to_owned()),
        (SETTINGS_ANNOTATION, settings.to_text()),
        (BASE_PACKAGES_ANNOTATION, format!("{}=1", layers[0])),
        ("io.s2r.built", "wheel".to_owned()),
    ];
    let manifest = ImageManifest {
        schema_version: 2,
        media_type: Some(MediaType::Manifest),
        config: Descriptor::of(MediaType::Config, &config.to_bytes().unwrap()),
        layers: layers.iter().map(|name| layer(name)).collect(),
        annotations: notes
            .map(|(name, text)| (name.to_owned(), text))
            .into_iter()
            .collect(),
    };
    (manifest, config)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

fn settings(env: &[&str], labels: &[&str]) -> BaseSettings {
    BaseSettings {
        env: names(env),
        labels: names(labels),
    }
}

fn rebased(image: &(ImageManifest, ImageConfig), bottom: &NewBase) -> (ImageManifest, ImageConfig) {
    let standing = BaseRecord::of(&image.0, &image.1).unwrap();
    let platform = "linux/amd64".parse().unwrap();
    let made = rebase(platform, (&image.0, &image.1), &standing, bottom).unwrap();
    let manifest = ImageManifest::from_bytes(&made.manifest).unwrap();
    assert_eq!(manifest.config.digest, Digest::of(&made.config));
    (manifest, ImageConfig::from_bytes(&made.config).unwrap())
}

fn bottom((manifest, config): &(ImageManifest, ImageConfig)) -> NewBase {
    let standing = BaseRecord::of(manifest, config).unwrap();
    NewBase::of_image(manifest, config, &standing)
}

fn app() -> (ImageManifest, ImageConfig) {
    let run = json!({
        "User": "1001", "Env": ["MINE=1", "OLD=1", "PATH=/old", "ZONE=mine"], "Cmd": ["run"],
        "Labels": {"base": "old", "app": "app"},
    });
    let settings = settings(&["OLD", "PATH"], &["base"]);
    image(&["system", "python", "wheels", "source"], &settings, run)
}

#[test]
fn on_its_own_base_an_image_is_the_same_to_the_byte() {
    let app = app();
    let (manifest, config) = rebased(&app, &bottom(&app));
    assert_eq!(manifest, app.0);
    assert_eq!(config, app.1);
}

#[test]
fn settings_of_the_old_base_go_and_those_of_the_application_stay() {
    let run = json!({
        "User": "185", "Env": ["NEW=2", "PATH=/new", "THEIRS=3", "ZONE=base"], "Entrypoint": ["init"],
        "StopSignal": "SIGINT", "Labels": {"base": "new", "theirs": "x"}, "Healthcheck": {"Test": ["NONE"]},
    });
    let of_base = settings(&["NEW", "PATH", "ZONE"], &["base"]);
    let base = image(&["system2", "python2", "other"], &of_base, run);
    let (manifest, config) = rebased(&app(), &bottom(&base));
    assert_eq!(
        config.config.env,
        ["MINE=1", "NEW=2", "PATH=/new", "ZONE=mine"]
    );
    assert_eq!(config.config.labels["base"], "new");
    assert_eq!(config.config.labels["app"], "app");
    assert_eq!(config.config.labels.len(), 2);
    let run = &config.config;
    assert_eq!(run.user.as_deref(), Some("185"));
    assert_eq!(run.cmd, Some(vec!["run".to_owned()]));
    assert_eq!(run.entrypoint, Some(vec!["init".to_owned()]));
    assert_eq!(run.stop_signal.as_deref(), Some("SIGINT"));
    assert!(run.other.contains_key("Healthcheck"));
    let made_by = config
        .history
        .iter()
        .map(|line| line.created_by.as_deref().unwrap());
    let expected = ["system2", "python2", "wheels", "source"];
    assert_eq!(made_by.collect::<Vec<_>>(), expected);
    assert_eq!(manifest.layers, expected.map(layer));
    assert_eq!(config.rootfs.diff_ids, expected.map(diff_id));
    let notes = &manifest.annotations;
    assert_eq!(notes[BASE_PACKAGES_ANNOTATION], "system2=1");
    assert_eq!(notes["io.s2r.built"], "wheel");
    let standing = BaseRecord::of(&manifest, &config).unwrap();
    assert_eq!(standing.settings, settings(&["NEW", "PATH"], &["base"]));
}

#[test]
fn what_the_other_application_overrules_stays_as_it_was() {
    // The base's own value of PATH is not to be seen in an image whose application sets PATH.
    let run = json!({"Env": ["PATH=/theirs"], "Labels": {"base": "theirs"}});
    let base = image(&["system2", "python2"], &settings(&[], &[]), run);
    let (manifest, config) = rebased(&app(), &bottom(&base));
    assert_eq!(config.config.env, ["MINE=1", "PATH=/old", "ZONE=mine"]);
    assert_eq!(config.config.labels["base"], "old");
    let standing = BaseRecord::of(&manifest, &config).unwrap();
    assert_eq!(standing.settings, settings(&["PATH"], &["base"]));
}

#[test]
fn lines_of_history_without_a_layer_go_with_the_one_below() {
    let (_, mut config) = app();
    let empty = |text: &str| HistoryEntry {
        created_by: Some(text.to_owned()),
        empty_layer: true,
        ..HistoryEntry::default()
    };
    config.history.insert(2, empty("CMD"));
    config.history.push(empty("LABEL"));
    let (below, above) = halves(&config, 2);
    assert_eq!((below.len(), above.len()), (3, 3));
    assert_eq!(halves(&config, 4).1.len(), 0);
    assert_eq!(halves(&config, 0).0.len(), 0);
    config.history.truncate(2);
    assert_eq!(halves(&config, 3).1.len(), 1);
}

#[test]
fn an_image_of_an_older_version_tells_what_it_counts_on_by_another_name() {
    let (mut manifest, config) = app();
    let abi = manifest.annotations.remove(ABI_ANNOTATION).unwrap();
    let old = OLD_ABI_ANNOTATION.to_owned();
    manifest.annotations.insert(old, abi);
    assert!(BaseRecord::of(&manifest, &config).is_ok());
    let base = image(&["system2", "python2"], &settings(&[], &[]), json!({}));
    let (made, _) = rebased(&(manifest, config), &bottom(&base));
    assert!(made.annotations.contains_key(ABI_ANNOTATION));
    assert!(!made.annotations.contains_key(OLD_ABI_ANNOTATION));
}

#[test]
fn an_image_that_does_not_tell_is_not_touched() {
    let (mut manifest, mut config) = app();
    config.rootfs.diff_ids.pop();
    let error = BaseRecord::of(&manifest, &config).unwrap_err();
    assert_eq!(error, NoBaseRecord::Layers(4, 3, 2));
    manifest.annotations.remove(SETTINGS_ANNOTATION);
    let note = ABI_ANNOTATION.to_owned();
    manifest.annotations.insert(note, "python=3".to_owned());
    let error = BaseRecord::of(&manifest, &config).unwrap_err();
    let missing = vec![ABI_ANNOTATION, SETTINGS_ANNOTATION];
    assert_eq!(error, NoBaseRecord::Lacks(missing));
    assert!(BaseRecord::is_told(&manifest));
    manifest.annotations.clear();
    assert!(!BaseRecord::is_told(&manifest));
}

#[test]
fn an_image_keeps_its_family_of_media_types() {
    let (manifest, config) = app();
    let docker = (manifest.in_family(MediaFamily::Docker).unwrap(), config);
    assert_eq!(family_of(&docker.0), MediaFamily::Docker);
    let base = image(&["system2", "python2"], &settings(&[], &[]), json!({}));
    let (made, _) = rebased(&docker, &bottom(&base));
    let text = String::from_utf8(made.to_bytes().unwrap()).unwrap();
    assert!(!text.contains("vnd.oci"), "{text}");
    assert_eq!(family_of(&made), MediaFamily::Docker);
    let back = rebased(&app(), &bottom(&docker)).0;
    assert_eq!(family_of(&back), MediaFamily::Oci);
    assert_eq!(back.layers[0].media_type, MediaType::LayerGzip);
}

#[test]
fn an_image_of_others_is_taken_whole() {
    let (mut manifest, mut config) = image(
        &["a", "b"],
        &settings(&[], &[]),
        json!({"User": "root", "OnBuild": ["RUN x"], "StopSignal": "SIGINT"}),
    );
    manifest.annotations.clear();
    config.history.pop();
    config.other.insert("container".to_owned(), json!("c0ffee"));
    config.other.insert("variant".to_owned(), json!("v2"));
    let given = BaseDefaults {
        env: BTreeMap::from([("PATH".to_owned(), "/whole".to_owned())]),
        ..BaseDefaults::default()
    };
    let run = RunConfig {
        user: Some("1001".to_owned()),
        ..RunConfig::default()
    };
    let abi = ABI.parse().unwrap();
    let name = (BASE_NAME_ANNOTATION.to_owned(), "python".to_owned());
    let bottom = NewBase::of_whole(
        (&manifest, &config),
        given,
        run,
        abi,
        BTreeMap::from([name]),
    );
    let (made, config) = rebased(&app(), &bottom);
    assert_eq!(config.config.env, ["MINE=1", "PATH=/whole", "ZONE=mine"]);
    assert_eq!(config.config.user.as_deref(), Some("1001"));
    assert_eq!(config.config.stop_signal.as_deref(), Some("SIGINT"));
    assert!(!config.config.other.contains_key("OnBuild"));
    assert_eq!(config.other.keys().collect::<Vec<_>>(), ["variant"]);
    assert_eq!(config.history.len(), 4);
    assert_eq!(made.annotations[BASE_NAME_ANNOTATION], "python");
    assert!(!made.annotations.contains_key(BASE_PACKAGES_ANNOTATION));
}

#[test]
fn what_knows_process_types_is_the_applications() {
    const OURS: &str = "/usr/libexec/s2i/container-entrypoint";
    let words =
        |words: &[&str]| -> Vec<String> { words.iter().map(|&word| word.to_owned()).collect() };
    for (of_base, has_some, expected) in [
        (&[][..], false, None),
        (&["init", "--"], false, Some(words(&["init", "--"]))),
        (&["init", "--"], true, Some(words(&["init", "--", OURS]))),
        // A base that was itself built with process types.
        (&[OURS], false, None),
        (&[OURS], true, Some(words(&[OURS]))),
    ] {
        let found = crate::image::entrypoint(&words(of_base), has_some);
        assert_eq!(found, expected, "{of_base:?}");
        assert_eq!(crate::image::has_processes(found.as_ref()), has_some);
    }
}
