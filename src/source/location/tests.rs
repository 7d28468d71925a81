//! What each kind of word means, and which are refused.

use std::path::Path;

use super::typed::decoded;
use super::*;
use crate::source::testing::folder;

fn parse(text: &str) -> Result<SourceLocation, LocationError> {
    SourceLocation::parse(Path::new(text), None, Path::new("/nowhere"))
}

fn git(text: &str) -> GitRepository {
    match parse(text) {
        Ok(SourceLocation::Git(repository)) => repository,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn sources_have_titles() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("My Shop");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(directory.path().join("shop-1.0.TAR.gz"), "").unwrap();
    for (typed, title) in [
        (".", Some("My Shop")),
        ("./", Some("My Shop")),
        ("../My Shop", Some("My Shop")),
        ("https://git.example.com/team/app.git", Some("app")),
        ("https://me:pw@git.example.com/team/app/#v1", Some("app")),
        ("git@example.com:app.git", Some("app")),
        ("https://example.com/a/app-2.zip?token=x", Some("app-2")),
        ("../shop-1.0.TAR.gz", Some("shop-1.0")),
        ("-", None),
    ] {
        let location = SourceLocation::parse(Path::new(typed), None, &folder).unwrap();
        assert_eq!(location.title().as_deref(), title, "{typed}");
    }
}

#[test]
fn repositories_are_known_by_their_urls() {
    for (text, address, reference) in [
        ("https://h/x", "https://h/x", None),
        ("HTTPS://h/x.git", "https://h/x.git", None),
        ("http://h:1/x#v1.0", "http://h:1/x", Some("v1.0")),
        (
            "https://h/x.git?a=b#main",
            "https://h/x.git?a=b",
            Some("main"),
        ),
        ("git://h/x#", "git://h/x", None),
        ("git+https://h/x.zip", "https://h/x.zip", None),
        ("git+ssh://git@h/x", "ssh://git@h/x", None),
        ("ssh://git:secret@h:22/x", "ssh://git@h:22/x", None),
        ("file:///srv/x.git#a/b", "file:///srv/x.git", Some("a/b")),
        ("git@h:x/y.git#dev", "git@h:x/y.git", Some("dev")),
        ("h:x", "h:x", None),
        ("git@h:archive.tar.gz", "git@h:archive.tar.gz", None),
        ("user:token@h:x", "user@h:x", None),
    ] {
        let found = git(text);
        assert_eq!(found.address, address, "{text}");
        let found = found.reference.as_ref().map(GitReference::as_str);
        assert_eq!(found, reference, "{text}");
    }
}

#[test]
fn passwords_are_taken_out() {
    let found = git("https://us%40er:pa%3Ass@h/x#main");
    assert_eq!(found.address, "https://h/x");
    let login = found.login.clone().unwrap();
    assert_eq!(login.user, "us@er");
    assert_eq!(login.password.as_deref(), Some("pa:ss"));
    let token = git("https://token@h/x").login.unwrap();
    assert_eq!((token.user.as_str(), token.password), ("token", None));
    assert!(git("ssh://u:p@h/x").login.is_none());
    let shown = format!("{found:?} {:?}", parse("https://u:hidden@h/x.zip"));
    assert!(
        !shown.contains("pa:ss") && !shown.contains("hidden"),
        "{shown}"
    );
    assert_eq!(decoded("%4"), "%4");
    assert_eq!(decoded("%+1%zz%41"), "%+1%zzA");
}

#[test]
fn archives_are_known_by_their_ends() {
    let hex = "ab".repeat(32);
    for (text, url, has_hash) in [
        ("https://h/x.tar.gz".to_owned(), "https://h/x.tar.gz", false),
        (
            "http://u:p@h/X.ZIP?a=1".to_owned(),
            "http://u:p@h/X.ZIP?a=1",
            false,
        ),
        (
            format!("https://h/x.tgz#sha256={hex}"),
            "https://h/x.tgz",
            true,
        ),
    ] {
        match parse(&text) {
            Ok(SourceLocation::ArchiveUrl { url: found, sha256 }) => {
                assert_eq!(found.reveal(), url);
                assert_eq!(sha256.is_some(), has_hash, "{text}");
            }
            other => panic!("{text}: {other:?}"),
        }
    }
    assert!(matches!(
        parse("file:///x/y.tar"),
        Ok(SourceLocation::Archive { path, .. }) if path == Path::new("/x/y.tar")
    ));
    assert_eq!(parse("-"), Ok(SourceLocation::Stdin));
}

#[test]
fn what_is_on_disk_counts_first() {
    let folder = folder(&[
        ("git@h:x/app.py", ""),
        ("a#b/app.py", ""),
        ("plain/app.py", ""),
        ("x.tar.gz", ""),
        ("x.rar", ""),
    ]);
    let at = |text: &str, reference: Option<&str>| {
        SourceLocation::parse(Path::new(text), reference, folder.path())
    };
    let path = |text: &str| folder.path().join(text);
    for text in ["git@h:x", "a#b", "plain", "missing"] {
        assert_eq!(
            at(text, None),
            Ok(SourceLocation::Folder(path(text))),
            "{text}"
        );
    }
    let revision = |name: &str| {
        Ok(SourceLocation::Revision {
            checkout: path("plain"),
            reference: GitReference(name.to_owned()),
        })
    };
    assert_eq!(at("plain#v1", None), revision("v1"));
    assert_eq!(at("plain", Some("HEAD~1")), revision("HEAD~1"));
    assert_eq!(at("plain#v1", Some("v1")), revision("v1"));
    let hash = format!("x.tar.gz#sha256={}", "0".repeat(64));
    assert!(matches!(
        at(&hash, None),
        Ok(SourceLocation::Archive {
            sha256: Some(_),
            ..
        })
    ));
    assert!(matches!(
        at("x.tar.gz", None),
        Ok(SourceLocation::Archive { sha256: None, .. })
    ));
    assert!(matches!(
        at("x.rar", None),
        Err(LocationError::ArchiveKind { .. })
    ));
    assert!(matches!(
        at("x.tar.gz", Some("main")),
        Err(LocationError::NoRevisions { .. })
    ));
    assert!(matches!(
        at("plain#v1", Some("v2")),
        Err(LocationError::TwoReferences { .. })
    ));
    assert!(matches!(
        at("-", Some("v2")),
        Err(LocationError::NoRevisions { .. })
    ));
}

#[test]
fn what_could_run_or_mislead_is_refused() {
    for text in [
        "ext::sh -c x",
        "fd::3",
        "ftp://h/x",
        "s3://b/x.tar.gz",
        "git+ext://h/x",
    ] {
        assert!(
            matches!(parse(text), Err(LocationError::Scheme { .. })),
            "{text}"
        );
    }
    for text in [
        "https:///x",
        "file://rel/x",
        "ssh://-oProxyCommand=x/y",
        "ssh://-x@h/y",
        "-oProxyCommand=x:y",
        "u@-h:y",
        "h:",
        "https://h/x\ny",
        "https://u:p%0aurl=x@h/y",
    ] {
        assert!(
            matches!(parse(text), Err(LocationError::Address { .. })),
            "{text}"
        );
    }
    for text in [
        "-x", "", "a..b", "a b", "a:b", "a//b", "/a", "a/", "a\nb", "x@{1}",
    ] {
        assert!(GitReference::parse(text).is_err(), "{text}");
    }
    assert!(GitReference::parse(&"x".repeat(256)).is_err());
    for text in ["https://h/x.zip#main", "https://h/x.zip#sha256=12"] {
        assert!(
            matches!(parse(text), Err(LocationError::Fragment { .. })),
            "{text}"
        );
    }
    assert!(matches!(
        parse("https://h/x#a b"),
        Err(LocationError::Reference { .. })
    ));
}
