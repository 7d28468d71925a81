//! With a scripted network; the real one is tried by hand and by the tests that drive the program.

use std::io::Cursor;
use std::sync::Mutex;

use super::lock::LockSelection;
use super::*;
use crate::packages::Sha256;
use crate::packages::python::testing::target;
use crate::packages::python::{PackageUrl, Pylock, TargetArch};
use crate::report::{ErrorClass, Explain, SilentReport};

const HASH: &str = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";
const OTHER: &str = "29451c60f5e8b07403e0a175d5229efc36b0289b34143ff4aaa499a5dd52553a";

/// Answers from a table, and remembers what was asked.
struct Pages(
    BTreeMap<String, Result<String, IndexFetchError>>,
    Mutex<Vec<String>>,
);

impl Pages {
    fn new(pages: &[(&str, &str)]) -> Self {
        let pages = pages
            .iter()
            .map(|(url, text)| ((*url).to_owned(), Ok((*text).to_owned())))
            .collect();
        Self(pages, Mutex::new(Vec::new()))
    }
}

impl IndexFetch for Pages {
    fn get(&self, request: &GetRequest<'_>) -> Result<GetResponse, IndexFetchError> {
        self.1
            .lock()
            .unwrap()
            .push(request.url.reveal().reveal().to_owned());
        let answer = self
            .0
            .get(request.url.as_str())
            .cloned()
            .unwrap_or(Err(IndexFetchError::Status(404)))?;
        Ok(GetResponse {
            final_url: request.url.to_string(),
            body: Box::new(Cursor::new(answer.into_bytes())),
        })
    }

    fn file(&self, _: &PackageUrl, _: Option<Sha256>) -> Result<KeptFile, IndexFetchError> {
        Err(IndexFetchError::Status(404))
    }
}

struct Case {
    text: String,
    locked: bool,
    offline: bool,
    /// Why no file of the source can be opened.
    unopened: io::ErrorKind,
    environment: BTreeMap<String, String>,
}

impl Case {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            locked: false,
            offline: false,
            unopened: io::ErrorKind::NotFound,
            environment: BTreeMap::new(),
        }
    }

    fn run(&self, fetch: &dyn IndexFetch) -> Result<WheelLock, WheelError> {
        let folder = tempfile::tempdir().unwrap();
        let file = RequirementsFile {
            path: "requirements.txt",
            text: self.text.as_bytes(),
        };
        let files = [file];
        let target = target();
        let request = ResolveRequest {
            built: &[],
            input: if self.text.starts_with("lock-version") {
                ResolveInput::Pylock(RequirementsFile {
                    path: "pylock.toml",
                    ..file
                })
            } else {
                ResolveInput::Requirements(&files)
            },
            target: &target,
            read: &|_| None,
            open: &|_| Err(self.unopened.into()),
            unpacked: UnpackedBound::default(),
            list: &|_| None,
            environment: &self.environment,
            given: &BTreeMap::new(),
            conditions: &ResolutionRules::default(),
            locked: self.locked,
            offline: self.offline,
            tools: folder.path(),
            cache: folder.path(),
        };
        resolve(&request, fetch, &SilentReport)
    }
}

fn page(files: &[(&str, &str)]) -> String {
    files
        .iter()
        .map(|(name, hash)| format!("<a href='/f/{name}#sha256={hash}'>{name}</a>"))
        .collect::<Vec<_>>()
        .join("<br>")
        .replacen("<a", "<html><a", 1)
}

/// A uv on PATH that answers with a lock of these wheels, whatever it is asked.
fn scripted_uv(wheels: &[&str]) -> (tempfile::TempDir, String) {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let mut answer = String::from("lock-version = \"1.0\"\npackages = [\n");
    for file in wheels {
        let (name, version) = file.split_once('-').unwrap();
        let version = version.split('-').next().unwrap();
        answer.push_str(&format!(
            "{{ name = \"{name}\", version = \"{version}\", wheels = [{{ url = \"https://i/f/{file}\", hashes = {{ sha256 = \"{OTHER}\" }} }}] }},\n"
        ));
    }
    let script = format!(
        "#!/bin/sh\ntest \"$1\" = --version && exec echo uv 0.13.8\ncat <<'END'\n{answer}]\nEND\n"
    );
    let program = folder.path().join("uv");
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().display().to_string();
    (folder, path)
}

#[test]
fn hashes_for_some_of_the_packages_are_not_enough() {
    let wheel = page(&[("x-1.0-py3-none-any.whl", HASH)]);
    let more = page(&[
        ("y-2-py3-none-any.whl", OTHER),
        ("y-3-py3-none-any.whl", HASH),
    ]);
    let pages = Pages::new(&[
        ("https://i/simple/x/", &wheel),
        ("https://i/simple/y/", &more),
    ]);
    let (_folder, path) = scripted_uv(&["x-1.0-py3-none-any.whl", "y-2-py3-none-any.whl"]);
    let run = |text: &str, locked: bool| {
        let mut case = Case::new(&format!(
            "-i https://i/simple\n{}",
            text.replace('$', "--hash=sha256:")
        ));
        case.locked = locked;
        case.environment.insert("PATH".to_owned(), path.clone());
        case.run(&pages)
    };
    for (text, locked) in [
        (format!("x==1.0 ${HASH}"), false),
        (format!("x==1.0 ${HASH}"), true),
        (
            format!("x==1.0 ${HASH}\ny==2 ; sys_platform == 'win32' ${OTHER}"),
            false,
        ),
        // Not all pinned, so that uv chooses.
        (format!("x>=1.0 ${HASH}"), false),
    ] {
        let told = run(&text, locked).unwrap_err().explain();
        assert_eq!(
            (told.class, told.place.as_str()),
            (ErrorClass::Project, "requirements.txt")
        );
        assert!(told.why.contains("need y==2, which"), "{}", told.why);
    }
    for locked in [false, true] {
        let lock = run(&format!("x==1.0 ${HASH}\ny==2 ${OTHER}"), locked).unwrap();
        assert_eq!(lock.packages.len(), 2);
        assert_eq!(lock.packages[0].sha256.hex(), HASH);
    }
    // A file that is not among those listed is neither taken from uv nor from the index.
    assert!(matches!(
        run(&format!("x==1.0 ${HASH}\ny==2 ${HASH}"), false),
        Err(WheelError::Hashes { .. })
    ));
    assert!(matches!(
        run(&format!("x==1.0 ${HASH}\ny>=2 ${HASH}"), false),
        Err(WheelError::Hashes { .. })
    ));
}

#[test]
fn exact_requirements_need_only_pages_and_a_look_at_what_they_need() {
    let wheels = page(&[
        ("x-1.0.tar.gz", HASH),
        ("x-1.0-cp313-cp313-manylinux_2_17_x86_64.whl", OTHER),
        ("x-1.0-py3-none-any.whl", HASH),
        ("x-2.0-py3-none-any.whl", HASH),
    ]);
    let pages = Pages::new(&[("https://i/simple/x/", &wheels)]);
    let mut case = Case::new(&format!(
        "-i https://u:pw@i/simple\nx==1.0 --hash=sha256:{HASH}\ny==1 --hash=sha256:{HASH} ; sys_platform == 'win32'"
    ));
    case.text = format!(
        "-i https://u:pw@i/simple\nx==1.0 --hash=sha256:{HASH}\ny==1 ; sys_platform == 'win32' --hash=sha256:{HASH}"
    );
    case.locked = true;
    let (_folder, path) = scripted_uv(&["x-1.0-py3-none-any.whl"]);
    case.environment.insert("PATH".to_owned(), path);
    let lock = case.run(&pages).unwrap();
    let [wheel] = lock.packages.as_slice() else {
        panic!()
    };
    assert_eq!(wheel.file_name.as_str(), "x-1.0-py3-none-any.whl");
    assert_eq!(wheel.sha256.hex(), HASH);
    let WheelLocation::Remote(url) = &wheel.location else {
        panic!()
    };
    assert_eq!(url.as_str(), "https://i/f/x-1.0-py3-none-any.whl");
    assert_eq!(url.user_info().unwrap().reveal(), "u:pw");
    assert_eq!(*pages.1.lock().unwrap(), ["https://u:pw@i/simple/x/"]);
    assert!(!format!("{lock:?}").contains("pw"));
    case.offline = true;
    assert!(matches!(
        case.run(&pages),
        Err(WheelError::Index {
            error: IndexFetchError::Offline,
            ..
        })
    ));
}

#[test]
fn exact_requirements_that_fail_say_why() {
    let pages = Pages::new(&[
        (
            &format!("{}/x/", crate::packages::python::PUBLIC_INDEX),
            &page(&[("x-1.tar.gz", HASH)]),
        ),
        (
            &format!("{}/y/", crate::packages::python::PUBLIC_INDEX),
            &page(&[("y-1-py3-none-any.whl", OTHER)]),
        ),
        (
            &format!("{}/z/", crate::packages::python::PUBLIC_INDEX),
            "hello",
        ),
    ]);
    let explain = |text: &str| {
        Case::new(&text.replace('$', &format!("--hash=sha256:{HASH}")))
            .run(&pages)
            .unwrap_err()
            .explain()
    };
    let sdist = explain("\nx==1 $");
    assert_eq!(sdist.what, "x==1 exists only as a source distribution");
    assert_eq!(
        (sdist.place.as_str(), sdist.class),
        ("requirements.txt:2", ErrorClass::Project)
    );
    assert!(explain("y==1 $").what.contains("hash"));
    assert!(explain("x==7 $").why.contains("no x 7"));
    assert!(explain("w==7 $").why.contains("no w 7"));
    assert_eq!(explain("z==1 $").class, ErrorClass::World);
    assert!(explain("x==1 $\ny==1").what.contains("no hash"));
    assert!(explain(".").what.contains("built"));
    assert!(
        explain("git+https://t:ok@h/x#egg=x")
            .what
            .contains("git+https://h/x")
    );
}

#[test]
fn locked_and_offline_refuse() {
    let pages = Pages::new(&[]);
    let mut case = Case::new("flask");
    case.locked = true;
    assert_eq!(
        case.run(&pages).unwrap_err().explain().place,
        "requirements.txt"
    );
    case.locked = false;
    case.offline = true;
    assert!(matches!(case.run(&pages), Err(WheelError::Offline { .. })));
    case.offline = false;
    assert!(matches!(case.run(&pages), Err(WheelError::NoUv { .. })));
    assert!(
        Case::new("# nothing\n")
            .run(&pages)
            .unwrap()
            .packages
            .is_empty()
    );
}

#[test]
fn the_resolver_itself_is_looked_for_where_the_caller_says() {
    for (options, limit) in [("--no-index\n", ""), ("", "2021-01-01")] {
        let pages = Pages::new(&[]);
        let mut case = Case::new(&format!("{options}flask\n"));
        for (name, value) in [
            ("PIP_INDEX_URL", "https://i/s"),
            ("UV_EXCLUDE_NEWER", limit),
        ] {
            case.environment.insert(name.to_owned(), value.to_owned());
        }
        assert!(matches!(case.run(&pages), Err(WheelError::NoUv { .. })));
        let asked = pages.1.lock().unwrap();
        assert!(asked.contains(&"https://i/s/uv/".to_owned()), "{asked:?}");
    }
}

#[test]
fn locks_are_read_without_network() {
    let text = format!(
        "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'b'\nversion = '1'\nwheels = [\
         {{ url = 'https://u:pw@i/b-1-cp313-cp313-manylinux_2_50_x86_64.whl', hashes = {{ sha256 = '{OTHER}' }} }},\
         {{ path = 'w/b-1-py3-none-any.whl', size = 3, hashes = {{ sha256 = '{HASH}' }} }}]\n\
         [[packages]]\nname = 'a'\nversion = '2'\nmarker = \"sys_platform == 'win32'\"\n"
    );
    let mut case = Case::new(&text);
    case.locked = true;
    case.offline = true;
    let lock = case.run(&Pages::new(&[])).unwrap();
    assert_eq!(
        lock.packages[0].location,
        WheelLocation::Source("w/b-1-py3-none-any.whl".into())
    );
    let written = write_pylock(&[(target(), &lock)]);
    let again = Case::new(&written).run(&Pages::new(&[])).unwrap();
    assert_eq!(lock, again);
    assert_eq!(written, write_pylock(&[(target(), &again)]));
    let fails = |text: &str| Case::new(text).run(&Pages::new(&[])).unwrap_err();
    assert!(matches!(
        fails(&text.replace("py3-none", "py2-none")),
        WheelError::NoWheel(_)
    ));
    assert!(matches!(
        fails(&text.replace("'win32'", "'linux'")),
        WheelError::NoWheel(_)
    ));
    assert!(matches!(
        fails(&text.replace("created-by", "requires-python = '<3.13'\ncreated-by")),
        WheelError::Python { .. }
    ));
    let environments = |marker: &str| {
        text.replace(
            "created-by",
            &format!("environments = [\"{marker}\"]\ncreated-by"),
        )
    };
    assert_eq!(
        Case::new(&environments("platform_machine == 'x86_64'"))
            .run(&Pages::new(&[]))
            .unwrap(),
        lock
    );
    let elsewhere = fails(&environments("platform_machine == 'arm64'"));
    assert!(matches!(elsewhere, WheelError::Environment { .. }));
    assert_eq!(elsewhere.explain().class, ErrorClass::Project);
    assert!(matches!(
        fails(&text.replace("w/b-1", "../b-1")),
        WheelError::Pylock { .. }
    ));
    assert!(matches!(
        fails("lock-version = '1.0'\n["),
        WheelError::Pylock { .. }
    ));
}

#[test]
fn locks_without_a_hash_are_refused() {
    let url = "https://i/b-1-py3-none-any.whl";
    let pages = Pages::new(&[(url, "a wheel")]);
    let file = [
        format!("url = '{url}'"),
        "path = 'b-1-py3-none-any.whl'".to_owned(),
    ];
    for (location, hashes) in [
        (&file[0], ""),
        (&file[0], ", hashes = {}"),
        (&file[0], ", hashes = { sha512 = '00' }"),
        (&file[1], ""),
    ] {
        for key in ["archive = $", "wheels = [$]"] {
            let entry = key.replace('$', &format!("{{ {location}{hashes} }}"));
            let error = Case::new(&format!(
                "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'b'\n{entry}\n"
            ))
            .run(&pages)
            .unwrap_err();
            let told = error.explain();
            assert_eq!(
                (told.class, told.place.as_str()),
                (ErrorClass::Project, "pylock.toml")
            );
            assert!(
                told.why.contains("b: `b-1-py3-none-any.whl` has no sha256"),
                "{}",
                told.why
            );
        }
    }
    assert!(pages.1.lock().unwrap().is_empty());
}

#[test]
fn targets_share_what_they_share() {
    let lock = |version: &str, arch: &str| {
        let text = format!(
            "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'n'\nversion = '{version}'\nwheels = [\
             {{ url = 'https://i/n-{version}-cp313-cp313-manylinux2014_{arch}.whl', hashes = {{ sha256 = '{HASH}' }} }}]\n"
        );
        let target = WheelTarget {
            arch: if arch == "x86_64" {
                TargetArch::X86_64
            } else {
                TargetArch::Aarch64
            },
            ..target()
        };
        let parsed = Pylock::parse(&text).unwrap();
        let chosen = LockSelection {
            built: &[],
            path: "l",
            lock: &parsed,
            target: &target,
            source_path: &|_| None,
        }
        .candidates()
        .unwrap();
        let packages = chosen
            .into_iter()
            .map(|one| {
                let hash = one.sha256.unwrap();
                one.locked(hash)
            })
            .collect();
        (target, WheelLock { packages })
    };
    let (amd, amd_lock) = lock("1", "x86_64");
    let (arm, arm_lock) = lock("1", "aarch64");
    let (_, newer) = lock("2", "aarch64");
    let same = Pylock::parse(&write_pylock(&[(amd, &amd_lock), (arm, &arm_lock)])).unwrap();
    assert_eq!((same.packages.len(), same.packages[0].wheels.len()), (1, 2));
    let apart = Pylock::parse(&write_pylock(&[(amd, &amd_lock), (arm, &newer)])).unwrap();
    assert_eq!(apart.packages.len(), 2);
    assert!(apart.packages[0].applies(&amd.markers().unwrap()));
    assert!(!apart.packages[0].applies(&arm.markers().unwrap()));
}

#[test]
fn keys_change_with_inputs_and_not_with_passwords() {
    let key = |text: &str| {
        let files = [RequirementsFile {
            path: "r.txt",
            text: text.as_bytes(),
        }];
        let folder = Path::new("/nowhere");
        let request = ResolveRequest {
            built: &[],
            input: ResolveInput::Requirements(&files),
            target: &target(),
            read: &|_| None,
            open: &|_| Err(io::ErrorKind::NotFound.into()),
            unpacked: UnpackedBound::default(),
            list: &|_| None,
            environment: &BTreeMap::new(),
            given: &BTreeMap::new(),
            conditions: &ResolutionRules::default(),
            locked: false,
            offline: false,
            tools: folder,
            cache: folder,
        };
        resolution_key(&request, &SilentReport).unwrap()
    };
    assert_eq!(
        key("-i https://a:b@h/s\nx").0,
        key("-i https://c:d@h/s\n# y\nx").0
    );
    assert_ne!(key("x").0, key("x>1").0);
    assert_ne!(key("x").0, key("-i https://h/s\nx").0);
    assert_ne!(key("x").0, key("--pre\nx").0);
    assert!(!key("x").1 && key(&format!("x==1 --hash=sha256:{HASH}")).1);
}

#[test]
fn a_wheel_that_cannot_be_read_is_not_called_missing() {
    let (_folder, path) = scripted_uv(&[]);
    let mut case = Case::new("./x-1-py3-none-any.whl\n");
    case.environment.insert("PATH".to_owned(), path);
    let run = |case: &Case| case.run(&Pages::new(&[])).unwrap_err();
    let error = run(&case);
    assert!(matches!(error, WheelError::NoSuchWheel { .. }), "{error}");
    case.unopened = io::ErrorKind::PermissionDenied;
    let error = run(&case);
    assert_eq!(error.explain().class, ErrorClass::World, "{error}");
}

#[test]
fn no_binary_refuses_a_wheel_that_no_line_names() {
    let candidate = |location| lock::WheelCandidate {
        name: "x".parse().unwrap(),
        file_name: "x-1-py3-none-any.whl".parse().unwrap(),
        location,
        sha256: None,
        size_bytes: None,
    };
    let remote = || {
        WheelLocation::Remote(crate::packages::python::PackageUrl::parse("https://h/x").unwrap())
    };
    let is_refused = |text: &str, location| {
        let files = [RequirementsFile {
            path: "r.txt",
            text: text.as_bytes(),
        }];
        let folder = Path::new("/nowhere");
        let request = ResolveRequest {
            built: &[],
            input: ResolveInput::Requirements(&files),
            target: &target(),
            read: &|_| None,
            open: &|_| Err(io::ErrorKind::NotFound.into()),
            unpacked: UnpackedBound::default(),
            list: &|_| None,
            environment: &BTreeMap::new(),
            given: &BTreeMap::new(),
            conditions: &ResolutionRules::default(),
            locked: false,
            offline: false,
            tools: folder,
            cache: folder,
        };
        let prepared = PreparedRequest::new(&request, &SilentReport).unwrap();
        matches!(
            prepared.refuse_unwanted(&[candidate(location)]),
            Err(WheelError::WheelUnwanted { .. })
        )
    };
    assert!(is_refused("--no-binary X\nx", remote()));
    assert!(!is_refused("--no-binary y\nx", remote()));
    assert!(!is_refused(
        "--no-binary x\nx @ https://h/x-1-py3-none-any.whl",
        remote()
    ));
    let in_source = WheelLocation::Source("x-1-py3-none-any.whl".to_owned());
    assert!(!is_refused(
        "--no-binary x\n./x-1-py3-none-any.whl",
        in_source
    ));
}

#[test]
fn only_binary_keeps_a_source_distribution_from_being_built() {
    let pages = Pages::new(&[("https://i/s/x/", &page(&[("x-1.tar.gz", HASH)]))]);
    for (option, expected) in [("", false), ("--only-binary :all:\n", true)] {
        let case = Case::new(&format!(
            "-i https://i/s\n{option}x==1 --hash=sha256:{HASH}\n"
        ));
        let error = case.run(&pages).unwrap_err();
        let WheelError::NoWheel(no_wheel) = &error else {
            panic!("{error:?}");
        };
        assert!(no_wheel.has_sdist);
        assert_eq!(no_wheel.must_be_wheel, expected);
        assert_eq!(error.explain().why.contains("--only-binary"), expected);
    }
}
