//! What the files say, and which of them count.

use super::*;

fn read(text: &str) -> Result<MirrorSettings, MirrorsError> {
    let mut contents = MirrorSettings::default();
    contents.add(Path::new("registries.conf"), text)?;
    Ok(contents)
}

#[test]
fn reads_registries_and_mirrors() {
    let contents = read(
        r#"
        unqualified-search-registries = ["example.com"]
        short-name-mode = "permissive"
        credential-helpers = ["secretservice"]
        [aliases]
        "python" = "docker.io/library/python"

        [[registry]]
        prefix = "example.com/foo/"
        insecure = true
        blocked = true
        location = "inner.example:5000/bar"
        [[registry.mirror]]
        location = "mirror-0.example/foo"
        pull-from-mirror = ""
        [[registry.mirror]]
        location = "localhost:5001"
        insecure = true
        pull-from-mirror = "tag-only"

        [[registry]]
        location = "index.docker.io"
        mirror-by-digest-only = true
        [[registry.mirror]]
        location = "mirror-1.example"

        [[registry]]
        prefix = "*.example.org"
        "#,
    )
    .unwrap();
    assert!(contents.warnings.is_empty(), "{:?}", contents.warnings);
    let [foo, hub, below] = &contents.rules[..] else {
        panic!("{:?}", contents.rules);
    };
    assert_eq!(foo.prefix, "example.com/foo");
    assert_eq!(foo.location.as_deref(), Some("inner.example:5000/bar"));
    assert!(foo.insecure && foo.blocked);
    let mirrors: Vec<_> = foo
        .mirrors
        .iter()
        .map(|mirror| (mirror.location.as_str(), mirror.insecure, mirror.pulls))
        .collect();
    assert_eq!(
        mirrors,
        [
            ("mirror-0.example/foo", false, PullFilter::All),
            ("localhost:5001", true, PullFilter::TagOnly)
        ]
    );
    assert_eq!(hub.prefix, "docker.io");
    assert_eq!(hub.mirrors[0].pulls, PullFilter::DigestOnly);
    assert_eq!(
        (below.prefix.as_str(), &below.location),
        ("*.example.org", &None)
    );
}

#[test]
fn an_old_file_is_told_of() {
    let contents = read("[registries.search]\nregistries = ['example.com']\n").unwrap();
    assert!(contents.rules.is_empty());
    assert!(contents.warnings[0].contains("version 1"));
}

#[test]
fn a_tag_is_told_of() {
    for prefix in ["example.com/foo:1", "example.com/foo@sha256:0"] {
        let text = format!("[[registry]]\nprefix = {prefix:?}\nlocation = \"example.com\"\n");
        let contents = read(&text).unwrap();
        assert!(contents.rules.is_empty());
        assert!(contents.warnings[0].contains(prefix));
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        ("[[registry]]\n", "neither prefix nor location"),
        ("[[registry]]\nprefix = 'a.b'\n", "no location"),
        ("[[registry]]\nlocation = 'https://a.b'\n", "is no registry"),
        ("[[registry]]\nlocation = 'mirror/x'\n", "is no registry"),
        ("[[registry]]\nlocation = 'a.b/../c'\n", "is no registry"),
        ("[[registry]]\nprefix = '*.a.b/c'\n", "wildcard"),
        (
            "[[registry]]\nlocation = 'me:hunter2@a.b'\n",
            "a user in it",
        ),
        ("[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\n", ""),
        (
            "[[registry]]\nlocation = 'a.b'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'c.d'\npull-from-mirror = 'tag-only'\n",
            "together",
        ),
        (
            "[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation = 'c.d'\npull-from-mirror = 'never'\n",
            "never",
        ),
        ("[[registry]\n", ""),
        ("registry = 5\n", ""),
    ] {
        let error = read(text).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().contains("registries.conf"), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn files_count_in_their_order() {
    let root = tempfile::tempdir().unwrap();
    let put = |name: &str, location: &str| {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(
            &path,
            format!("[[registry]]\nprefix = 'a.b'\nlocation = '{location}'\n"),
        )
        .unwrap();
        path
    };
    let mut files = MirrorFiles {
        named: None,
        user: Some(root.path().join("user")),
        system: Some(root.path().join("system")),
        base_mirror: None,
    };
    let found = |files: &MirrorFiles| {
        let rules = files.read().unwrap().rules;
        assert!(rules.len() <= 1);
        rules.first().map(|rule| rule.location.clone().unwrap())
    };
    assert_eq!(found(&files), None);
    put("system/registries.conf", "one.example");
    assert_eq!(found(&files).unwrap(), "one.example");
    put("system/registries.conf.d/b.conf", "three.example");
    put("system/registries.conf.d/a.conf", "two.example");
    put("system/registries.conf.d/c.txt", "no.example");
    assert_eq!(found(&files).unwrap(), "three.example");
    put("user/registries.conf.d/a.conf", "four.example");
    assert_eq!(found(&files).unwrap(), "four.example");
    // With a main file of his own, the system's drop-ins are nothing to the user.
    fs::remove_dir_all(root.path().join("user")).unwrap();
    put("user/registries.conf", "five.example");
    assert_eq!(found(&files).unwrap(), "five.example");
    files.named = Some(put("named.conf", "six.example"));
    assert_eq!(found(&files).unwrap(), "three.example");
    fs::remove_dir_all(root.path().join("system")).unwrap();
    assert_eq!(found(&files).unwrap(), "six.example");
    files.named = Some(root.path().join("missing"));
    let error = files.read().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn official_images_of_python_have_a_place_of_their_own() {
    let with = |mirror: &str| {
        let files = MirrorFiles {
            base_mirror: Some(mirror.to_owned()),
            ..MirrorFiles::default()
        };
        files.read()
    };
    for (mirror, location) in [
        ("registry.example", "registry.example/library/python"),
        (
            "registry.example:5000/hub/",
            "registry.example:5000/hub/library/python",
        ),
        ("localhost", "localhost/library/python"),
    ] {
        let rules = with(mirror).unwrap().rules;
        assert_eq!(rules[0].prefix, "docker.io/library/python");
        assert_eq!(rules[0].location.as_deref(), Some(location));
    }
    for wrong in [
        "hub",
        "https://registry.example",
        "UPPER.example/X",
        "/",
        "me:hunter2@a.b",
    ] {
        let error = with(wrong).unwrap_err();
        assert!(error.to_string().starts_with("S2R_BASE_MIRROR="), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
    // It outranks what files say of the same name.
    let mut contents = MirrorSettings::default();
    let text = "[[registry]]\nlocation = 'docker.io/library/python'\nblocked = true\n";
    contents.add(Path::new("registries.conf"), text).unwrap();
    contents.add_base_mirror("registry.example").unwrap();
    assert_eq!(contents.rules.len(), 1);
    assert!(!contents.rules[0].blocked);
}
