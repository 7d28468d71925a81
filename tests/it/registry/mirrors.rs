//! Line L9 of what registries do in practice: reading goes by the user's `registries.conf`, pushing does not.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::harness::faulty::{Act, Answer, Auth, Faulty, Kind, Mounts, Quirks, Rule, basic};
use crate::harness::home::{Home, digest_of};
use crate::harness::registry::{Registry, Setup};
use crate::harness::stored;
use crate::harness::tls::Authority;
use crate::harness::tools::{Finished, finish, free_port};
use crate::registry::login::{USER, write_config};
use crate::registry::{
    PASSWORD, builds, fails, is_discreet, is_explained, project_on, push_of, pushes,
};

/// A name whose host nobody has: it is read from a mirror or not at all.
const NAMED: &str = "upstream.invalid/team";

fn rules(home: &Home, text: &str) {
    let folder = home.home().join(".config/containers");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("registries.conf"), text).unwrap();
}

/// A rule for a name, with these mirrors.
fn rule(name: &str, more: &str, mirrors: &[&str]) -> String {
    let mut text = format!("[[registry]]\nlocation = \"{name}\"\n{more}\n");
    for mirror in mirrors {
        text.push_str(&format!("[[registry.mirror]]\nlocation = \"{mirror}\"\n"));
    }
    text
}

/// A registry with the small image as `base:1`.
fn with_image(auth: Auth) -> Faulty {
    let password = match &auth {
        Auth::Basic(_, password) => *password,
        _ => "",
    };
    let registry = Faulty::asking(auth, Quirks::default());
    let home = stored::home();
    logs_in(&home, &[(&registry.host(), password)]);
    let image = registry.repository("base:1");
    home.run(&["push", stored::NAME, &image]).ok();
    registry.take_log();
    registry
}

fn logs_in(home: &Home, logins: &[(&str, &str)]) {
    let auths: serde_json::Map<_, _> = logins
        .iter()
        .map(|(host, password)| {
            let auth = STANDARD.encode(format!("{USER}:{password}"));
            ((*host).to_owned(), json!({"auth": auth}))
        })
        .collect();
    write_config(home, &json!({"auths": auths}));
}

/// Plans a build upon an image, for which its manifest and config are read.
fn stands_on(home: &Home, image: &str) -> Finished {
    let project = project_on(image);
    let builder = project.path().join("mine.yaml");
    let mut command = home.command(&["plan", "--builder"]);
    finish(command.arg(builder).arg(project.path()))
}

/// Manifest and config were read here.
#[track_caller]
fn was_read(registry: &Faulty) {
    let of_documents = [Kind::GetManifest, Kind::GetBlob];
    let log = registry.log();
    let read = log
        .iter()
        .filter(|entry| of_documents.contains(&entry.kind) && entry.status == 200);
    assert_eq!(read.count(), 2, "{}", registry.log_text());
}

/// Nothing was asked here.
#[track_caller]
fn was_left_alone(registry: &Faulty) {
    assert!(registry.log().is_empty(), "{}", registry.log_text());
}

#[test]
fn l9_a_mirror_is_asked_first() {
    let mirror = with_image(Auth::Open);
    let home = Home::empty();
    let image = format!("{NAMED}/base:1");
    rules(&home, &rule(NAMED, "", &[&mirror.host()]));
    let planned = stands_on(&home, &image).ok();
    is_discreet(&planned);
    was_read(&mirror);
    // By its digest as well, and without a network what was read once is known by its own name.
    let pinned = format!("{NAMED}/base@{}", stored::digest(stored::NAME));
    rules(&home, "");
    stands_on(&home, &pinned).ok();
    stands_on(&home, &image).ok();
    was_read(&mirror);
}

#[test]
fn l9_a_mirror_that_does_not_do_is_passed_over() {
    let gone = format!("127.0.0.1:{}", free_port());
    let broken = Faulty::start();
    broken.script([Rule::always(None, Act::Answer(Answer::of(500)))]);
    // It would have us wait longer than anybody else takes.
    let busy = Faulty::start();
    let later = Answer::error(429, "TOOMANYREQUESTS").with("retry-after", "30");
    busy.script([Rule::always(None, Act::Answer(later))]);
    let liar = with_image(Auth::Open);
    liar.script([Rule::always(None, Act::Lie)]);
    let lacking = Faulty::start();
    let secretive = with_image(Auth::Basic(USER, PASSWORD));
    let itself = with_image(Auth::Open);
    let asked_for = itself.repository("base:1");
    for (mirror, told) in [
        (gone.as_str(), true),
        (&broken.host(), true),
        (&busy.host(), true),
        (&liar.host(), true),
        (&lacking.host(), false),
        (&secretive.host(), true),
    ] {
        itself.take_log();
        let home = Home::empty();
        rules(&home, &rule(&itself.host(), "", &[mirror]));
        let planned = stands_on(&home, &asked_for).ok();
        is_discreet(&planned);
        was_read(&itself);
        let is_told = planned.stderr.contains("is passed over");
        assert_eq!(is_told, told, "{mirror}\n{}", planned.stderr);
    }
    // All of them in a row, and one that does at the end.
    let mirror = with_image(Auth::Open);
    itself.take_log();
    let home = Home::empty();
    let all = [
        gone.as_str(),
        &broken.host(),
        &lacking.host(),
        &mirror.host(),
    ];
    rules(&home, &rule(&itself.host(), "", &all));
    stands_on(&home, &asked_for).ok();
    was_read(&mirror);
    was_left_alone(&itself);
}

#[test]
fn l9_where_all_fail_all_are_named() {
    let broken = Faulty::start();
    broken.script([Rule::always(None, Act::Answer(Answer::of(500)))]);
    let itself = Faulty::start();
    itself.script([Rule::always(None, Act::Answer(Answer::of(403)))]);
    let home = Home::empty();
    rules(&home, &rule(&itself.host(), "", &[&broken.host()]));
    let said = stands_on(&home, &itself.repository("base:1"));
    fails(said, &["403", "500", &broken.host(), &itself.host()]);
}

#[test]
fn l9_blocked_is_blocked_for_reading_and_for_pushing() {
    let registry = with_image(Auth::Open);
    let home = stored::home();
    rules(&home, &rule(&registry.host(), "blocked = true", &[]));
    let said = stands_on(&home, &registry.repository("base:1"));
    fails(said, &["blocked", "registries.conf", &registry.host()]);
    let said = push_of(stored::NAME, &home, &registry);
    fails(said, &["blocked", "registries.conf", &registry.host()]);
    was_left_alone(&registry);
    // Its mirrors may be asked, and only they.
    let mirror = with_image(Auth::Open);
    let home = Home::empty();
    let more = rule(&registry.host(), "blocked = true", &[&mirror.host()]);
    rules(&home, &more);
    stands_on(&home, &registry.repository("base:1")).ok();
    was_read(&mirror);
    let said = stands_on(&home, &registry.repository("other:1"));
    fails(said, &["blocked", "does not have it", &mirror.host()]);
    was_left_alone(&registry);
}

#[test]
fn l9_a_mirror_for_digests_is_not_asked_for_tags() {
    for more in [
        "mirror-by-digest-only = true",
        "pull-from-mirror = \"digest-only\"",
    ] {
        let (mirror, itself) = (with_image(Auth::Open), with_image(Auth::Open));
        let home = Home::empty();
        let text = if more.starts_with("mirror") {
            rule(&itself.host(), more, &[&mirror.host()])
        } else {
            rule(&itself.host(), "", &[&mirror.host()]) + more
        };
        rules(&home, &text);
        let pinned = format!(
            "{}@{}",
            itself.repository("base"),
            stored::digest(stored::NAME)
        );
        stands_on(&home, &pinned).ok();
        was_read(&mirror);
        was_left_alone(&itself);
        let home = Home::empty();
        rules(&home, &text);
        mirror.take_log();
        stands_on(&home, &itself.repository("base:1")).ok();
        // What the tag stands for is the registry's own word; the rest has a digest.
        assert_eq!(itself.count(Kind::GetManifest), 1);
        assert_eq!(mirror.count(Kind::GetManifest), 0);
        assert_eq!(mirror.count(Kind::GetBlob), 1);
    }
}

#[test]
fn l9_a_mirror_for_tags_is_asked_for_tags_alone() {
    let (mirror, itself) = (with_image(Auth::Open), with_image(Auth::Open));
    let text = rule(&itself.host(), "", &[&mirror.host()]) + "pull-from-mirror = \"tag-only\"\n";
    let home = Home::empty();
    rules(&home, &text);
    stands_on(&home, &itself.repository("base:1")).ok();
    was_read(&mirror);
    was_left_alone(&itself);
    mirror.take_log();
    let home = Home::empty();
    rules(&home, &text);
    let digest = stored::digest(stored::NAME);
    stands_on(&home, &format!("{}@{digest}", itself.repository("base"))).ok();
    was_read(&itself);
    was_left_alone(&mirror);
}

#[test]
fn l9_each_host_gets_its_own_credentials() {
    let mirror = with_image(Auth::Basic(USER, "of-mirror"));
    let itself = with_image(Auth::Basic(USER, PASSWORD));
    assert!(mirror.log().is_empty());
    let home = Home::empty();
    rules(&home, &rule(&itself.host(), "", &[&mirror.host()]));
    // None for the mirror: it is asked without, and refuses.
    logs_in(&home, &[(&itself.host(), PASSWORD)]);
    stands_on(&home, &itself.repository("base:1")).ok();
    was_read(&itself);
    let sent = mirror.take_log();
    assert!(!sent.is_empty());
    assert!(sent.iter().all(|entry| entry.authorization.is_none()));
    // One for each.
    let other = with_image(Auth::Basic(USER, PASSWORD));
    let home = Home::empty();
    rules(&home, &rule(&other.host(), "", &[&mirror.host()]));
    logs_in(
        &home,
        &[(&other.host(), PASSWORD), (&mirror.host(), "of-mirror")],
    );
    stands_on(&home, &other.repository("base:1")).ok();
    was_read(&mirror);
    was_left_alone(&other);
    let own = basic(USER, "of-mirror");
    for entry in mirror.log() {
        let sent = entry.authorization.as_deref();
        assert!(sent.is_none_or(|sent| sent == own), "{entry:?}");
    }
}

#[test]
fn l9_an_insecure_mirror_may_have_any_certificate() {
    let authority = Authority::new();
    let server = authority.issue("server", "serverAuth");
    let mirror = Registry::with(&Setup {
        tls: format!(
            ", tls: {{certificate: {}, key: {}}}",
            server.certificate.display(),
            server.key.display()
        ),
        ..Setup::default()
    });
    let host = mirror.repository("");
    let host = host.trim_end_matches('/');
    let image = mirror.repository("base:1");
    let home = stored::home();
    home.run(&["push", "--insecure-registry", host, stored::NAME, &image])
        .ok();
    for (insecure, is_read) in [(true, true), (false, false)] {
        let itself = with_image(Auth::Open);
        let home = Home::empty();
        let more = format!("insecure = {insecure}\n");
        rules(&home, &(rule(&itself.host(), "", &[host]) + &more));
        let planned = stands_on(&home, &itself.repository("base:1")).ok();
        if is_read {
            was_left_alone(&itself);
        } else {
            planned.says(&["is passed over", "certificate"]);
            was_read(&itself);
        }
    }
}

#[test]
fn l9_a_push_goes_where_its_name_says() {
    let (mirror, target) = (Faulty::start(), Faulty::start());
    let home = stored::home();
    let more = format!("prefix = \"{}\"", target.host());
    let text = rule(&mirror.repository("moved"), &more, &[&mirror.host()]);
    rules(&home, &text);
    pushes(&home, &target);
    was_left_alone(&mirror);
}

#[test]
fn l9_layers_to_copy_come_from_mirrors() {
    let (mirror, target) = (with_image(Auth::Open), Faulty::start());
    // The first mirror lacks one of them, and the second is cut in the middle of the other.
    let lacking = Faulty::start();
    lacking.put_blob("base", &stored::blob(&stored::layers(stored::NAME)[0]));
    let home = stored::home_without_base(&[format!("{NAMED}/base")]);
    rules(&home, &rule(NAMED, "", &[&lacking.host(), &mirror.host()]));
    pushes(&home, &target);
    assert_eq!(lacking.count(Kind::GetBlob), 2);
    assert_eq!(mirror.count(Kind::GetBlob), 1);
}

#[test]
fn l9_a_layer_is_mounted_from_a_mirror_in_the_same_registry() {
    let registry = Faulty::with(Quirks {
        mounts: Mounts::Fine,
        ..Quirks::default()
    });
    for layer in &stored::layers(stored::NAME)[..2] {
        registry.put_blob("cache/base", &stored::blob(layer));
    }
    let home = stored::home_without_base(&[format!("{NAMED}/base")]);
    rules(&home, &rule(NAMED, "", &[&registry.repository("cache")]));
    pushes(&home, &registry);
    assert_eq!(registry.count(Kind::Mount), 2);
    assert_eq!(registry.count(Kind::GetBlob), 0);
}

#[test]
fn l9_files_of_rules_are_told_of_when_they_are_of_no_use() {
    let itself = with_image(Auth::Open);
    let image = itself.repository("base:1");
    let home = Home::empty();
    rules(&home, "[registries.search]\nregistries = [\"a.invalid\"]\n");
    let planned = stands_on(&home, &image).ok();
    assert!(planned.stderr.contains("version 1"), "{}", planned.stderr);
    for text in ["[[registry]\n", "[[registry]]\nlocation = \"http://x\"\n"] {
        let home = Home::empty();
        rules(&home, text);
        fails(stands_on(&home, &image), &["registries.conf"]);
        // One that is named counts instead.
        let file = home.dir().join("own.conf");
        fs::write(&file, "").unwrap();
        let mut command = home.command(&["push", stored::NAME, &image]);
        let said = finish(command.env("CONTAINERS_REGISTRIES_CONF", home.dir().join("none")));
        is_explained(&said);
        let project = project_on(&image);
        let mut command = home.command(&["plan", "--builder"]);
        command.arg(project.path().join("mine.yaml"));
        command.env("CONTAINERS_REGISTRIES_CONF", &file);
        finish(command.arg(project.path())).ok();
    }
}

#[test]
fn l9_an_image_built_upon_a_mirrored_one_keeps_its_names() {
    let (mirror, target) = (with_image(Auth::Open), Faulty::start());
    let home = Home::empty();
    rules(&home, &rule(NAMED, "", &[&mirror.host()]));
    let base = format!("{NAMED}/base:1");
    let project = project_on(&base);
    let built = builds(&home, &project, &[&target.repository("app:1")]).ok();
    assert_eq!(digest_of(built.line()), target.complete("app", "1"));
    let manifest = target.manifest("app", "1");
    let notes = &manifest["annotations"];
    assert_eq!(notes["org.opencontainers.image.base.name"], base);
    assert_eq!(
        notes["org.opencontainers.image.base.digest"],
        stored::digest(stored::NAME)
    );
    // Its layers went from one registry to the other.
    for layer in stored::layers(stored::NAME) {
        assert!(target.blobs("app").contains(&layer));
        let hex = layer.strip_prefix("sha256:").unwrap();
        assert!(!home.store().join("blobs/sha256").join(hex).exists());
    }
    // A small one is read twice where the registry does not take it with the POST.
    assert!(mirror.count(Kind::GetBlob) >= 4, "{}", mirror.log_text());
    // The same again from nothing, with the pushed image under another name as the cache.
    let empty = Home::empty();
    let both = [
        rule(NAMED, "", &[&mirror.host()]),
        rule("cache.invalid/of", "", &[&target.host()]),
    ];
    rules(&empty, &both.concat());
    let other = Faulty::start();
    let image = other.repository("app:1");
    let more = ["--json", "--cache-from", "cache.invalid/of/app:1", &image];
    let summary = builds(&empty, &project, &more).ok().json();
    let layers = summary["platforms"][0]["layers"].as_array().unwrap();
    assert!(
        layers
            .iter()
            .all(|layer| layer["fate"] == "remote" || layer["fate"] == "believed"),
        "{summary}"
    );
    other.complete("app", "1");
}
