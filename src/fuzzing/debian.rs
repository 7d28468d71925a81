//! What comes from Debian's archives, and what s2r keeps of it.

use std::io::Read;

use crate::oci::Architecture;
use crate::packages::debian::{
    AnyOf, DebianBase, DebianVersion, IndexPackage, ParagraphReader, SuiteRelease, ValidUntil,
    aptfile, format_date,
};
use crate::resolve::debian::{BaseLock, DebianContext, DebianFetch, DebianFetchError, resolve};

/// Control files and indexes: what a relation prints is the same relation when it is read.
pub fn control(bytes: &[u8]) {
    let mut reader = ParagraphReader::new(bytes);
    let mut versions: Vec<DebianVersion> = Vec::new();
    while let Ok(Some(paragraph)) = reader.next() {
        let _ = paragraph.get("Package");
        assert!(paragraph.text().len() <= bytes.len() + 1);
        let Ok(package) = IndexPackage::read(&paragraph) else {
            continue;
        };
        for alternatives in &package.depends.0 {
            let text = alternatives.to_string();
            let read = text
                .split(" | ")
                .map(str::parse)
                .collect::<Result<Vec<_>, _>>();
            assert_eq!(read.map(AnyOf).as_ref(), Ok(alternatives), "{text}");
        }
        assert_eq!(
            package.version.to_string().parse().as_ref(),
            Ok(&package.version)
        );
        for other in versions.iter().take(16) {
            let order = package.version.cmp(other);
            assert_eq!(order, other.cmp(&package.version).reverse());
        }
        versions.push(package.version);
    }
}

/// The text of a suite's `Release`.
pub fn release(bytes: &[u8]) {
    if let Ok(release) = SuiteRelease::read(bytes) {
        assert!(!release.codename.is_empty());
        let _ = release.valid_until.map(format_date);
    }
}

/// An `InRelease` that a mirror sends: nothing that Debian has not signed is taken.
pub fn in_release(bytes: &[u8]) {
    struct Mirror<'a>(&'a [u8]);
    impl DebianFetch for Mirror<'_> {
        fn get(&self, _: &str, _: u64) -> Result<Box<dyn Read + '_>, DebianFetchError> {
            Ok(Box::new(self.0))
        }
    }
    let base = DebianBase {
        mirror: "http://m".to_owned(),
        security_mirror: None,
        snapshot: None,
        valid_until: ValidUntil::Check,
        suite: "trixie".to_owned(),
        components: vec!["main".to_owned()],
        updates: false,
        packages: vec!["bash".to_owned()],
        added: Vec::new(),
        leave_out: Vec::new(),
        locale: None,
    };
    let scratch = tempfile::tempdir().unwrap();
    let context = DebianContext {
        fetch: &Mirror(bytes),
        scratch: scratch.path(),
        now_unix_seconds: 1_800_000_000,
        valid_until: ValidUntil::Check,
    };
    assert!(resolve(&base, Architecture::Amd64, &context).is_err());
}

/// `Aptfile`: a name in it can be a package's.
pub fn aptfile(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(wanted) = aptfile::parse(&text) else {
        return;
    };
    for one in wanted {
        assert!(one.name.bytes().all(|byte| byte.is_ascii_graphic()));
        assert!(!one.name.starts_with('-') && !one.name.contains('/'));
    }
}

/// `s2r.lock`: what is written of it is read as the same.
pub fn base_lock(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(lock) = BaseLock::read(&text, "s2r.lock") {
        let again = BaseLock::read(&lock.write(), "s2r.lock").unwrap();
        assert_eq!(again.write(), lock.write());
    }
}
