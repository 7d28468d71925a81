//! What of bases fits, and what of their packages.

use std::sync::Mutex;

use super::*;
use crate::image::{BASE_PACKAGES_ANNOTATION, BaseDefaults, BaseSettings, NewBase};
use crate::oci::{MediaType, RootFs, RunConfig};

fn annotations(packages: &str) -> BTreeMap<String, String> {
    let note = BASE_PACKAGES_ANNOTATION.to_owned();
    BTreeMap::from([(note, packages.to_owned())])
}

fn image(packages: &str, title: &str) -> (BaseImage, BaseRecord) {
    let mut layer = Descriptor::of(MediaType::LayerGzip, b"layer");
    let note = CONTENTS_ANNOTATION.to_owned();
    layer.annotations.insert(note, title.to_owned());
    let image = BaseImage {
        reference: "app".parse().unwrap(),
        digest: Digest::of(b"app"),
        manifest_digest: Digest::of(b"app"),
        platform: "linux/amd64".parse().unwrap(),
        manifest: ImageManifest {
            schema_version: 2,
            media_type: None,
            config: Descriptor::of(MediaType::Config, b"{}"),
            layers: vec![layer],
            annotations: annotations(packages),
        },
        config: ImageConfig {
            created: None,
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            config: RunConfig::default(),
            rootfs: RootFs {
                kind: "layers".to_owned(),
                diff_ids: Vec::new(),
            },
            history: Vec::new(),
            other: BTreeMap::new(),
        },
    };
    let standing = BaseRecord {
        layers: 1,
        abi: abi(),
        settings: BaseSettings::default(),
    };
    (image, standing)
}

fn abi() -> Abi {
    let text = "python=3.13 glibc=2.41 interpreter=/usr/bin/python3.13";
    text.parse().unwrap()
}

fn base(annotations: BTreeMap<String, String>) -> PlatformBase {
    PlatformBase {
        name: "fresh".to_owned(),
        digest: Digest::of(b"fresh"),
        bottom: NewBase {
            layers: Vec::new(),
            diff_ids: Vec::new(),
            history: Vec::new(),
            given: BaseDefaults::default(),
            run: RunConfig::default(),
            other: BTreeMap::new(),
            abi: abi(),
            annotations,
        },
    }
}

struct Told(Mutex<Vec<String>>);

impl Report for Told {
    fn event(&self, event: Event) {
        if let Event::Warning { text, .. } = event {
            self.0.lock().unwrap().push(text);
        }
    }
}

#[test]
fn a_base_needs_all_packages_that_there_were() {
    let changed = |packages: &str, title: &str, base: &PlatformBase| {
        let (image, standing) = image(packages, title);
        changes(&image, base, &standing)
    };
    let newer = base(annotations("bash=5.3 libpq5=17 openssl=3.5.1"));
    let found = changed("bash=5.2 openssl=3.5.2", "Debian", &newer).unwrap();
    let names: Vec<&str> = found.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(names, ["bash", "libpq5", "openssl"]);
    let told = Told(Mutex::default());
    warn_of_older(&found, "fresh", &told);
    let told = told.0.into_inner().unwrap();
    assert!(told[0].ends_with(": openssl 3.5.2 -> 3.5.1"), "{told:?}");

    let missing = |result: Result<PackageChanges, RebaseError>| match result {
        Err(RebaseError::Packages { missing, .. }) => missing,
        other => panic!("{other:?}"),
    };
    assert_eq!(missing(changed("bash=5.2 gone=1", "", &newer)), ["gone"]);
    // A base that lists none may have those of a system, but hardly the project's own.
    let silent = base(BTreeMap::new());
    assert_eq!(changed("bash=5.2", "Debian", &silent).unwrap(), []);
    let own = changed("bash=5.2 libpq5=17", "Aptfile: libpq5, libxml2", &silent);
    assert_eq!(missing(own), ["libpq5", "libxml2"]);
}

#[test]
fn a_base_that_does_not_fit_is_told_with_both_values() {
    use crate::report::Explain as _;
    let (image, standing) = image("", "");
    for (found, says) in [
        (
            "python=3.12 glibc=2.41 interpreter=/usr/bin/python3.13",
            ["Python 3.13", "Python 3.12"],
        ),
        (
            "python=3.13 glibc=2.36 interpreter=/usr/bin/python3.13",
            ["glibc 2.41", "glibc 2.36"],
        ),
        (
            "python=3.13 glibc=2.41 interpreter=/python",
            ["/usr/bin/python3.13", "/python"],
        ),
    ] {
        let error = check((&image, &standing), "other", &found.parse().unwrap()).unwrap_err();
        let told = error.explain();
        assert!(
            says.iter().all(|text| told.why.contains(text)),
            "{}",
            told.why
        );
        assert!(told.next.contains("--builder other"), "{}", told.next);
    }
    let newer = "python=3.13 glibc=2.50 interpreter=/usr/bin/python3.13";
    check((&image, &standing), "newer", &newer.parse().unwrap()).unwrap();
}
