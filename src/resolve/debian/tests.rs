//! The whole way from a signed suite to artefacts, with an archive that is a map of urls.

use super::lock::LockError;
use std::{
    collections::BTreeMap,
    sync::{LazyLock, Mutex},
};

use super::{signature::SuiteKeyring, *};
use crate::report::{ErrorClass, Explain};

const KEY: &[u8] = include_bytes!("testdata/archive.gpg");
const IN_RELEASE: &[u8] = include_bytes!("testdata/InRelease");
const PACKAGES: &[u8] = include_bytes!("testdata/Packages.xz");
const SECURITY_IN_RELEASE: &[u8] = include_bytes!("testdata/InRelease.security");
const SECURITY_PACKAGES: &[u8] = include_bytes!("testdata/Packages.security.xz");
const NOW: i64 = 1_600_000_000;

/// An archive: bodies by url.
struct Archive {
    bodies: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<String>>,
}

impl DebianFetch for Archive {
    fn get(&self, url: &str, _max_bytes: u64) -> Result<Box<dyn Read + '_>, DebianFetchError> {
        self.asked.lock().unwrap().push(url.to_owned());
        match self.bodies.get(url) {
            Some(body) => Ok(Box::new(&body[..])),
            None => Err(DebianFetchError::Missing {
                url: url.to_owned(),
            }),
        }
    }
}

fn archive() -> Archive {
    let bodies = [
        ("http://m/dists/trixie/InRelease", IN_RELEASE),
        (
            "http://m/dists/trixie/main/binary-amd64/Packages.xz",
            PACKAGES,
        ),
        (
            "http://s/dists/trixie-security/InRelease",
            SECURITY_IN_RELEASE,
        ),
        (
            "http://s/dists/trixie-security/main/binary-amd64/Packages.xz",
            SECURITY_PACKAGES,
        ),
    ];
    let own = |(url, body): (&str, &[u8])| (url.to_owned(), body.to_vec());
    Archive {
        bodies: bodies.into_iter().map(own).collect(),
        asked: Mutex::new(Vec::new()),
    }
}

fn base(packages: &[&str]) -> DebianBase {
    DebianBase {
        mirror: "http://m/".to_owned(),
        security_mirror: Some("http://s".to_owned()),
        snapshot: Some(Snapshot::Url("http://old/{archive}/2020".to_owned())),
        valid_until: ValidUntil::Check,
        suite: "trixie".to_owned(),
        components: vec!["main".to_owned()],
        updates: false,
        packages: packages.iter().map(|name| (*name).to_owned()).collect(),
        leave_out: vec!["scripts-tool".to_owned()],
        added: Vec::new(),
        locale: None,
    }
}

fn solve_in(
    archive: &Archive,
    base: &DebianBase,
    now: i64,
) -> Result<Vec<DebArtefact>, DebianError> {
    resolved(archive, base, (now, ValidUntil::Check)).map(|resolution| resolution.packages)
}

fn resolved(
    archive: &Archive,
    base: &DebianBase,
    (now, valid_until): (i64, ValidUntil),
) -> Result<Resolution, DebianError> {
    let scratch = tempfile::tempdir().unwrap();
    let context = DebianContext {
        fetch: archive,
        scratch: scratch.path(),
        now_unix_seconds: now,
        valid_until,
    };
    let keys = SuiteKeyring::of(KEY).unwrap();
    resolve_with(&keys, base, Architecture::Amd64, &context)
}

fn title(deb: &DebArtefact) -> String {
    format!("{} {} ({})", deb.package, deb.version, deb.architecture)
}

#[test]
fn finds_the_closure() {
    let archive = archive();
    let found = solve_in(&archive, &base(&["app"]), NOW).unwrap();
    let titles: Vec<String> = found.iter().map(title).collect();
    // `helper` does not exist, so `other`; of the providers of awk the first by name; `newlib` from
    // security, because its epoch makes it newer; what is left out is not asked for.
    assert_eq!(
        titles,
        [
            "app 1.0-1 (amd64)",
            "gawk 5 (amd64)",
            "libc6 2.41-1 (amd64)",
            "newlib 2:0.1 (amd64)",
            "other 1 (all)"
        ]
    );
    assert_eq!(found[0].url, "http://m/pool/app_1.0-1_amd64.deb");
    assert_eq!(found[3].url, "http://s/pool/newlib_0.1_amd64.deb");
    let snapshot = Some("http://old/debian-security/2020/pool/newlib_0.1_amd64.deb".to_owned());
    assert_eq!(found[3].snapshot_url, snapshot);
    // By hash first, by name where the mirror has no such path.
    let asked = archive.asked.lock().unwrap();
    assert!(
        asked
            .iter()
            .any(|url| url.contains("/main/binary-amd64/by-hash/SHA256/"))
    );
    assert!(
        asked
            .iter()
            .any(|url| url == "http://m/dists/trixie/main/binary-amd64/Packages.xz")
    );
}

#[test]
fn what_is_named_is_complete_though_it_would_be_left_out() {
    let mut base = base(&["app"]);
    assert!(solve_in(&archive(), &base, NOW).is_ok());
    // Now `scripts-tool`, which `app` needs and which cannot be met here, is asked for.
    base.leave_out.push("app".to_owned());
    assert!(matches!(
        solve_in(&archive(), &base, NOW).unwrap_err(),
        DebianError::NoPackage { needed_by, .. } if needed_by == "scripts-tool 1"
    ));
}

#[test]
fn what_lies_above_the_base_lacks_nothing_and_leaves_the_base_as_it_is() {
    let alone = solve_in(&archive(), &base(&["app"]), NOW).unwrap();
    let mut base = base(&["app"]);
    base.added = vec!["libc6".to_owned()];
    assert_eq!(solve_in(&archive(), &base, NOW).unwrap(), alone);
    base.packages.clear();
    base.added = vec!["app".to_owned()];
    assert!(matches!(
        solve_in(&archive(), &base, NOW).unwrap_err(),
        DebianError::NoPackage { needed_by, .. } if needed_by == "scripts-tool 1"
    ));
}

#[test]
fn a_chosen_package_counts_for_later_alternatives() {
    let found = solve_in(&archive(), &base(&["mawk", "app"]), NOW).unwrap();
    assert!(found.iter().all(|one| one.package != "gawk"));
}

#[test]
fn what_cannot_be_solved_says_why() {
    let error = |packages: &[&str]| solve_in(&archive(), &base(packages), NOW).unwrap_err();
    let missing = error(&["broken"]);
    assert!(
        matches!(&missing, DebianError::NoPackage { relation, needed_by }
        if relation == "nothing-has-this | neither-this" && needed_by == "broken 1")
    );
    assert_eq!(missing.explain().class, ErrorClass::Project);
    assert!(matches!(error(&["no-such"]), DebianError::NoPackage { .. }));
    assert!(matches!(
        error(&["libc6", "clash"]),
        DebianError::Conflict { .. }
    ));
    assert!(matches!(error(&["a b"]), DebianError::NoPackage { .. }));
}

#[test]
fn an_index_must_be_signed_fresh_and_of_the_suite() {
    let url = "http://m/dists/trixie/InRelease";
    let with = |body: &[u8]| {
        let mut archive = archive();
        archive.bodies.insert(url.to_owned(), body.to_vec());
        solve_in(&archive, &base(&["app"]), NOW).unwrap_err()
    };
    assert!(matches!(
        with(b"<html>log in</html>"),
        DebianError::Unsigned { .. }
    ));
    let changed = String::from_utf8(IN_RELEASE.to_vec())
        .unwrap()
        .replace("stable", "stolen");
    assert!(matches!(
        with(changed.as_bytes()),
        DebianError::BadSignature { .. }
    ));
    assert!(matches!(
        with(SECURITY_IN_RELEASE),
        DebianError::WrongSuite { expected, found, .. } if expected == "trixie" && found == "trixie-security"
    ));
    let late = solve_in(&archive(), &base(&["app"]), 1_700_000_000).unwrap_err();
    assert!(matches!(late, DebianError::Expired { .. }));
    assert!(late.explain().why.contains("2021-01-01 00:00:00 UTC"));
}

#[test]
fn an_index_that_has_expired_is_used_where_that_is_said_and_told() {
    const LATE: i64 = 1_700_000_000;
    let usual = base(&["app"]);
    let lenient = DebianBase {
        valid_until: ValidUntil::Ignore,
        ..usual.clone()
    };
    let fresh = resolved(&archive(), &lenient, (NOW, ValidUntil::Check)).unwrap();
    assert_eq!(fresh.expired, []);
    for (base, meaning) in [(&lenient, ValidUntil::Check), (&usual, ValidUntil::Ignore)] {
        let late = resolved(&archive(), base, (LATE, meaning)).unwrap();
        assert_eq!(late.packages, fresh.packages);
        let suites: Vec<&str> = late.expired.iter().map(|one| one.suite.as_str()).collect();
        assert_eq!(suites, ["trixie", "trixie-security"]);
        assert_eq!(late.expired[0].valid_until, 1_609_459_200);
    }
    let refused = solve_in(&archive(), &usual, LATE).unwrap_err().explain();
    assert!(
        refused.next.contains("--debian-valid-until ignore"),
        "{}",
        refused.next
    );
    // The signature counts all the same.
    let mut stolen = archive();
    let changed = String::from_utf8(IN_RELEASE.to_vec())
        .unwrap()
        .replace("stable", "stolen");
    let url = "http://m/dists/trixie/InRelease".to_owned();
    stolen.bodies.insert(url, changed.into_bytes());
    assert!(matches!(
        resolved(&stolen, &lenient, (LATE, ValidUntil::Check)),
        Err(DebianError::BadSignature { .. })
    ));
}

#[test]
fn the_indexes_of_a_snapshot_had_to_be_valid_then() {
    let at = |date: &str| DebianBase {
        snapshot: Some(Snapshot::try_from(date.to_owned()).unwrap()),
        ..base(&["app"])
    };
    let found = solve_in(&archive(), &at("2020-06-01"), 1_700_000_000).unwrap();
    assert_eq!(found[0].snapshot_url, None);
    let late = solve_in(&archive(), &at("2021-06-01"), 1_700_000_000);
    assert!(matches!(late, Err(DebianError::Expired { .. })));
    // Another date is another wish; an address is none.
    let digests =
        [at("2020-06-01"), at("2020-06-02"), base(&["app"])].map(|base| request_digest(&base));
    assert!(digests[0] != digests[1] && digests[1] != digests[2]);
}

#[test]
fn an_index_must_have_the_signed_digest() {
    let with = |body: &[u8]| {
        let mut archive = archive();
        let url = "http://m/dists/trixie/main/binary-amd64/Packages.xz";
        archive.bodies.insert(url.to_owned(), body.to_vec());
        solve_in(&archive, &base(&["app"]), NOW).unwrap_err()
    };
    let mut changed = PACKAGES.to_vec();
    changed[40] ^= 1;
    assert!(matches!(with(&changed), DebianError::WrongDigest { .. }));
    assert!(matches!(
        with(&PACKAGES[..50]),
        DebianError::WrongSize { found: 50, .. }
    ));
    assert!(matches!(
        with(&[PACKAGES, b"x"].concat()),
        DebianError::WrongSize { .. }
    ));
}

#[test]
fn a_mirror_without_the_suite_or_the_component() {
    let mut gone = archive();
    gone.bodies.clear();
    let error = solve_in(&gone, &base(&["app"]), NOW).unwrap_err();
    assert!(matches!(
        error,
        DebianError::Fetch(DebianFetchError::Missing { .. })
    ));
    let mut other = base(&["app"]);
    other.components = vec!["universe".to_owned()];
    let error = solve_in(&archive(), &other, NOW).unwrap_err();
    assert!(
        matches!(error, DebianError::NoIndex { path, .. } if path == "universe/binary-amd64/Packages")
    );
}

#[test]
fn locks_round_trip_and_know_their_base() {
    let base = base(&["app"]);
    let mut lock = BaseLock::new(&base);
    lock.packages.insert(
        "amd64".to_owned(),
        solve_in(&archive(), &base, NOW).unwrap(),
    );
    let text = lock.write();
    let read = BaseLock::read(&text, "s2r.lock").unwrap();
    assert_eq!(read, lock);
    assert_eq!(read.write(), text);
    assert_eq!(
        read.packages_for(&base, Architecture::Amd64, "s2r.lock")
            .unwrap()
            .len(),
        5
    );
    assert!(matches!(
        read.packages_for(&base, Architecture::Arm64, "s2r.lock"),
        Err(LockError::NoArchitecture { .. })
    ));
    let mut other = base.clone();
    other.packages.push("mawk".to_owned());
    assert!(matches!(
        read.packages_for(&other, Architecture::Amd64, "s2r.lock"),
        Err(LockError::OtherBase { .. })
    ));
    let mut moved = base.clone();
    moved.mirror = "http://elsewhere/debian".to_owned();
    assert!(
        read.packages_for(&moved, Architecture::Amd64, "s2r.lock")
            .is_ok()
    );
    for bad in [
        "",
        "{}",
        &text.replace("\"format\": 1", "\"format\": 9"),
        &text.replace("size", "siez"),
    ] {
        assert!(matches!(
            BaseLock::read(bad, "x"),
            Err(LockError::Unreadable { .. })
        ));
    }
}

/// A lock as it is written.
static LOCK_TEXT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let base = base(&["app"]);
    let mut lock = BaseLock::new(&base);
    let packages = solve_in(&archive(), &base, NOW).unwrap();
    lock.packages.insert("amd64".to_owned(), packages);
    lock.write().into_bytes()
});

proptest::proptest! {
    #[test]
    fn a_damaged_lock_never_panics(at in 0..2000_usize, byte in 0..128_u8, cut in 0..2000_usize) {
        let mut text = LOCK_TEXT.clone();
        let at = at % text.len();
        text[at] = byte;
        let _ = BaseLock::read(&String::from_utf8_lossy(&text), "x");
        // Without its last line feed alone the text would still be whole.
        text.truncate(cut % (text.len() - 1));
        proptest::prop_assert!(BaseLock::read(&String::from_utf8_lossy(&text), "x").is_err());
    }
}
