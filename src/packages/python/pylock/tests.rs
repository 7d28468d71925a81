//! Locks of others, our own, and damaged ones.

use super::read::{MAX_ENVIRONMENTS, read_marker};
use super::*;
use crate::packages::python::testing;
use proptest::prelude::*;

const HASH: &str = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";

fn sample() -> String {
    format!(
        r#"lock-version = "1.0"
created-by = "another"
requires-python = ">=3.11"
default-groups = ["web"]
[[packages]]
name = "Zope.Interface"
version = "5"
marker = "platform_machine == 'x86_64' and ('web' in dependency_groups or \"x\" in extras)"
sdist = {{ url = "https://h/z-5.tar.gz", upload-time = 2024-01-01T00:00:00Z, hashes = {{ sha256 = "{HASH}" }} }}
wheels = [{{ url = "https://u:p@h/z-5-py3-none-any.whl", size = 7, hashes = {{ sha256 = "{HASH}" }} }}]
[[packages]]
name = "a"
marker = "'dev' in dependency_groups"
archive = {{ path = "w/a-1-py3-none-any.whl", hashes = {{ sha256 = "{HASH}" }} }}
[[packages]]
name = "tree"
directory = {{ path = "." }}
"#
    )
}

fn markers() -> MarkerEnvironment {
    testing::target().markers().unwrap()
}

#[test]
fn reads_what_others_write() {
    let lock = Pylock::parse(&sample()).unwrap();
    let [zope, a, tree] = lock.packages.as_slice() else {
        panic!()
    };
    assert_eq!(zope.name.to_string(), "zope-interface");
    assert!(zope.applies(&markers()) && zope.sdist.is_some());
    assert_eq!(zope.wheels[0].name, "z-5-py3-none-any.whl");
    assert_eq!(
        zope.wheels[0].location.to_string(),
        "https://h/z-5-py3-none-any.whl"
    );
    assert_eq!(zope.wheels[0].size_bytes, Some(7));
    assert!(!a.applies(&markers()));
    assert_eq!(a.archive.as_ref().unwrap().name, "a-1-py3-none-any.whl");
    assert!(matches!(
        &tree.tree,
        Some(LockedTree::Repository { .. } | LockedTree::Folder { .. })
    ));
}

#[test]
fn writes_what_it_reads_back() {
    let mut lock = Pylock::parse(&sample()).unwrap();
    lock.packages[0].wheels[0].location =
        DirectUrl::parse("https://h/z-5-py3-none-any.whl").unwrap();
    let text = lock.to_toml();
    assert!(text.starts_with("lock-version = \"1.0\"\ncreated-by = \"s2r\"\n"));
    lock.packages.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(Pylock::parse(&text).unwrap(), lock);
    assert_eq!(Pylock::parse(&text).unwrap().to_toml(), text);
}

#[test]
fn environments_are_read_and_written() {
    let lock = |environments: &str| {
        let text = format!("lock-version = '1.0'\nenvironments = {environments}\npackages = []\n");
        Pylock::parse(&text)
    };
    assert!(lock("[]").unwrap().is_for(&markers()));
    let other = lock("[\"sys_platform == 'win32'\", \"python_version < '3'\"]").unwrap();
    assert!(!other.is_for(&markers()));
    assert_eq!(Pylock::parse(&other.to_toml()).unwrap(), other);
    let both = lock("[\"sys_platform == 'win32'\", \"platform_machine == 'x86_64'\"]").unwrap();
    assert!(both.is_for(&markers()));
    assert!(matches!(
        lock("['frob']"),
        Err(PylockError::Value {
            key: "environments",
            ..
        })
    ));
    assert!(lock("'x'").is_err());
    let many = format!("[{}]", "'a', ".repeat(MAX_ENVIRONMENTS + 1));
    assert!(matches!(lock(&many), Err(PylockError::TooLarge { .. })));
}

#[test]
fn refuses_other_text() {
    let wrong = |text: &str| Pylock::parse(text).unwrap_err();
    assert!(matches!(wrong("x"), PylockError::Toml(_)));
    assert!(matches!(
        wrong("lock-version = '2.0'"),
        PylockError::Format(_)
    ));
    let package = |rest: &str| format!("lock-version = '1.0'\n[[packages]]\nname = 'a'\n{rest}");
    for (rest, key) in [
        ("version = 'x'", "version"),
        ("marker = 'frob'", "marker"),
        ("marker = 'extras == 1'", "marker"),
        ("requires-python = 'x'", "requires-python"),
        ("wheels = [{}]", "url"),
        (
            "wheels = [{ url = 'https://h/', hashes = { sha256 = '1' } }]",
            "hashes",
        ),
    ] {
        match wrong(&package(rest)) {
            PylockError::Value { key: found, .. } => assert_eq!(found, key),
            other => panic!("{rest}: {other}"),
        }
    }
}

proptest! {
    #[test]
    fn never_panics(text in "(?s).{0,200}") {
        let _ = Pylock::parse(&text);
        let _ = read_marker(&text, &[]);
    }

    #[test]
    fn never_panics_on_likely_markers(text in "(extras|dependency_groups| in | not in |\"x\"|'y'|\\(|\\)| and | or |python_version|==|ä){0,12}") {
        let _ = read_marker(&text, &["x".to_owned()]);
    }

    #[test]
    fn any_string_is_quoted(text in "(?s).{0,40}") {
        let value: toml::Value = toml::from_str::<toml::Table>(&format!("x = {}", quoted(&text))).unwrap()["x"].clone();
        prop_assert_eq!(value.as_str(), Some(text.as_str()));
    }
}
