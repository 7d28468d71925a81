//! Who asks: lines A1 to A8 of what registries do in practice, as a push meets them.

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::faulty::{Act, Auth, Bearer, Entry, Faulty, Kind, Quirks, Rule, basic};
use crate::harness::home::Home;
use crate::harness::stored;
use crate::registry::{IDENTITY, PASSWORD, fails, push, pushes, pushes_of};

pub(super) const USER: &str = "somebody";

pub(super) fn write_config(home: &Home, config: &Value) {
    let folder = home.home().join(".docker");
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
}

/// A user with the small image, and with a password for a registry.
pub(super) fn logged_in(registry: &Faulty) -> Home {
    knows(&registry.host(), PASSWORD)
}

/// The same for any host and password.
pub(super) fn knows(host: &str, password: &str) -> Home {
    let home = stored::home();
    logs_in(&home, host, password);
    home
}

pub(super) fn logs_in(home: &Home, host: &str, password: &str) {
    let login = STANDARD.encode(format!("{USER}:{password}"));
    write_config(home, &json!({"auths": {host: {"auth": login}}}));
}

fn asking(bearer: Bearer) -> Faulty {
    let bearer = Bearer {
        user: Some((USER, PASSWORD)),
        ..bearer
    };
    Faulty::asking(Auth::Bearer(bearer), Quirks::default())
}

fn tokens(registry: &Faulty) -> Vec<Entry> {
    let mut log = registry.log();
    log.retain(|entry| entry.kind == Kind::Token);
    log
}

/// Basic goes to the token service and nowhere else.
#[track_caller]
fn password_stays_with_the_token_service(registry: &Faulty) {
    let password = basic(USER, PASSWORD);
    for entry in registry.log() {
        let has_password = entry.authorization.as_deref() == Some(&password);
        assert!(
            !has_password || entry.kind == Kind::Token,
            "{entry:?}\n{}",
            registry.log_text()
        );
    }
}

#[test]
fn a1_a_401_is_answered_whenever_it_comes() {
    for open_ping in [true, false] {
        let registry = asking(Bearer {
            open_ping,
            pull_is_free: true,
            ..Bearer::default()
        });
        pushes(&logged_in(&registry), &registry);
        password_stays_with_the_token_service(&registry);
    }
}

#[test]
fn a2_challenges_in_all_their_forms() {
    let cases = [
        vec![r#"Bearer realm="{realm}",scope="{scope}""#],
        vec![r#"bearer realm="{realm}", service="a, \"b\" and c", scope="{scope}""#],
        vec![r#"Bearer service=faulty,realm="{realm}""#],
        vec![
            r#"Basic realm="a, b""#,
            r#"Bearer realm="{realm}",scope="{scope}""#,
        ],
        vec![
            r#"Negotiate, Basic realm="x", Bearer realm="{realm}",service="faulty",scope="{scope}""#,
        ],
        vec![r#"Bearer realm="{realm}",scope="{scope}",error="insufficient_scope""#],
    ];
    for challenges in cases {
        let registry = asking(Bearer {
            challenges,
            ..Bearer::default()
        });
        pushes(&logged_in(&registry), &registry);
        password_stays_with_the_token_service(&registry);
    }
}

#[test]
fn a3_one_token_serves_the_whole_push() {
    for (field, expires_in) in [
        ("token", Some(300)),
        ("access_token", Some(300)),
        ("token", None),
    ] {
        let registry = asking(Bearer {
            field,
            expires_in,
            ..Bearer::default()
        });
        pushes(&logged_in(&registry), &registry);
        assert_eq!(tokens(&registry).len(), 1, "{}", registry.log_text());
    }
}

#[test]
fn a4_an_identity_token_is_exchanged_and_never_sent_to_the_registry() {
    let registry = asking(Bearer {
        identity: Some(IDENTITY),
        ..Bearer::default()
    });
    let by_field = json!({"auths": {registry.host(): {"identitytoken": IDENTITY}}});
    let by_user = STANDARD.encode(format!("<token>:{IDENTITY}"));
    let by_user = json!({"auths": {registry.host(): {"auth": by_user}}});
    for config in [by_field, by_user] {
        registry.lose_all();
        registry.take_log();
        let home = stored::home();
        write_config(&home, &config);
        pushes(&home, &registry);
        for entry in tokens(&registry) {
            assert_eq!(entry.method, "POST");
            assert_eq!(entry.authorization, None);
            assert!(entry.form.contains(IDENTITY) && entry.form.contains("scope=repository"));
        }
    }
}

#[test]
fn a5_basic_alone() {
    let registry = Faulty::asking(Auth::Basic(USER, PASSWORD), Quirks::default());
    pushes(&logged_in(&registry), &registry);
    let refused = registry
        .log()
        .iter()
        .filter(|entry| entry.status == 401)
        .count();
    assert!(refused <= 1, "{}", registry.log_text());
}

#[test]
fn a6_tokens_that_end_in_mid_push_are_replaced() {
    let kinds = [
        Kind::HeadBlob,
        Kind::Start,
        Kind::Single,
        Kind::Put,
        Kind::PutManifest,
    ];
    let once = kinds.map(|kind| vec![Rule::nth(kind, 1, Act::Expire)]);
    let again = vec![
        Rule::nth(Kind::Put, 1, Act::Expire),
        Rule::nth(Kind::PutManifest, 1, Act::Expire),
    ];
    for script in once.into_iter().chain([again]) {
        let registry = asking(Bearer::default());
        registry.script(script);
        pushes(&logged_in(&registry), &registry);
        assert!(tokens(&registry).len() > 1, "{}", registry.log_text());
        password_stays_with_the_token_service(&registry);
    }
}

#[test]
fn a6_a_token_that_ends_in_the_middle_of_a_blob_is_replaced() {
    let bearer = Bearer {
        user: Some((USER, PASSWORD)),
        ..Bearer::default()
    };
    let quirks = Quirks {
        body_limit: Some(2 << 20),
        ..Quirks::default()
    };
    for number in 1..=4 {
        let registry = Faulty::asking(Auth::Bearer(bearer.clone()), quirks.clone());
        registry.script([Rule::nth(Kind::Patch, number, Act::Expire)]);
        pushes_of(stored::LARGE, &logged_in(&registry), &registry);
        assert!(tokens(&registry).len() > 1, "{}", registry.log_text());
    }
}

#[test]
fn a7_several_scopes_are_one_question() {
    // By GET one parameter each, by POST one field with spaces.
    for identity in [None, Some(IDENTITY)] {
        let registry = asking(Bearer {
            identity,
            ..Bearer::default()
        });
        for layer in &stored::layers(stored::NAME)[..2] {
            registry.put_blob("base", &stored::blob(layer));
        }
        let home = stored::home_without_base(&[registry.repository("base")]);
        match identity {
            None => logs_in(&home, &registry.host(), PASSWORD),
            Some(token) => {
                let login = json!({"identitytoken": token});
                write_config(&home, &json!({"auths": {registry.host(): login}}));
            }
        }
        pushes(&home, &registry);
        assert_eq!(registry.count(Kind::Mount), 2);
        let last = tokens(&registry).pop().unwrap();
        let asked = format!("{}&{}", last.target, last.form);
        let (push, pull) = ("repository%3Aapp%3Apull%2Cpush", "repository%3Abase%3Apull");
        let expected = match identity {
            None => format!("scope={push}&scope={pull}"),
            Some(_) => format!("scope={push}+{pull}"),
        };
        assert!(asked.contains(&expected), "{asked}");
    }
}

#[test]
fn a10_a_key_of_a_cloud_is_a_password() {
    // What Google's registries take as the password of `_json_key`: many lines, quotes and colons.
    const KEY: &str =
        "{\n  \"type\": \"service_account\",\n  \"private_key\": \"-----BEGIN: a+b/c==\\n\"\n}\n";
    let registry = Faulty::asking(
        Auth::Bearer(Bearer {
            user: Some(("_json_key", KEY)),
            ..Bearer::default()
        }),
        Quirks::default(),
    );
    let home = stored::home();
    let login = STANDARD.encode(format!("_json_key:{KEY}"));
    write_config(&home, &json!({"auths": {registry.host(): {"auth": login}}}));
    pushes(&home, &registry);
}

#[test]
fn a8_a_realm_of_somebody_else_gets_nothing() {
    for challenge in [
        r#"Bearer realm="https://evil.example/token",service="faulty",scope="{scope}""#,
        r#"Bearer realm="http://169.254.169.254/latest",service="faulty""#,
        r#"Bearer realm="http://10.0.0.1/token""#,
        r#"Bearer realm="file:///etc/passwd""#,
        r#"Bearer realm="nonsense""#,
    ] {
        let registry = asking(Bearer {
            challenges: vec![challenge],
            ..Bearer::default()
        });
        fails(push(&logged_in(&registry), &registry), &["token service"]);
        assert!(
            registry
                .log()
                .iter()
                .all(|entry| entry.authorization.is_none())
        );
    }
}

#[test]
fn a8_a_realm_beside_the_registry_is_asked() {
    let registry = asking(Bearer {
        is_elsewhere: true,
        ..Bearer::default()
    });
    pushes(&logged_in(&registry), &registry);
}

#[test]
fn a_wrong_password_and_none_at_all_are_told_apart() {
    for auth in [
        Auth::Basic(USER, "another"),
        Auth::Bearer(Bearer {
            user: Some((USER, "another")),
            ..Bearer::default()
        }),
    ] {
        let registry = Faulty::asking(auth, Quirks::default());
        let with = fails(
            push(&logged_in(&registry), &registry),
            &["401", &registry.host()],
        );
        let without = fails(push(&stored::home(), &registry), &["401", &registry.host()]);
        without.says(&["no credentials"]);
        assert!(!with.stderr.contains("no credentials"), "{}", with.stderr);
        // No user is locked out by our trying.
        let tries = registry
            .log()
            .iter()
            .filter(|entry| entry.authorization.is_some())
            .count();
        assert!(tries <= 2, "{}", registry.log_text());
    }
}

#[test]
fn a_right_password_without_the_right_to_push_is_told() {
    let registry = asking(Bearer {
        private: vec!["app"],
        ..Bearer::default()
    });
    fails(
        push(&logged_in(&registry), &registry),
        &["app", &registry.host(), "push"],
    );
    assert!(tokens(&registry).len() <= 3, "{}", registry.log_text());
}
