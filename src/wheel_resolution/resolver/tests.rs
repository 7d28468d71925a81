use super::server::ServerNotAddedError;
use super::*;
use crate::base::debian_packages::DebianPackages;
use crate::base::image_base::Base;
use crate::context::cross_platform::ForeignBuild;
use crate::context::testing::TestBuild;
use crate::net::testing::{Answer, Server};
use crate::oci::{Architecture, Digest};
use crate::packages::python::{LockedTree, Position, PythonVersion};
use crate::report::ErrorClass;
use crate::resolve::wheels::{NoWheel, OldPin, SourceOf, WheelLocation};

const APP: (&str, &str) = ("app.py", "print('x')\n");
const SCRIPT: &str = "APP_FILE=app.py";

/// Resolves for a machine of this kind.
fn with<T>(
    build: &TestBuild,
    architecture: Architecture,
    ask: impl FnOnce(&WheelResolver<'_>) -> T,
) -> T {
    build.run(|context| {
        let debian = context.debian().unwrap();
        let base = Base::Packages {
            base: debian,
            debs: DebianPackages::default(),
            options: context.base_options(debian, architecture),
        };
        let build_root = BuildRoot::new(context, architecture, &base);
        let target = context.target(architecture, &base);
        ask(&WheelResolver {
            context,
            build_root: &build_root,
            target: &target,
            conditions: &ResolutionRules::default(),
            of_build: None,
        })
    })
}

fn all(exact: &WheelResolver<'_>) -> Result<WheelLock, BuildError> {
    exact.wheels()
}

fn wheels(build: &TestBuild) -> Result<WheelLock, BuildError> {
    with(build, Architecture::host().unwrap(), all)
}

fn other_machine() -> Architecture {
    match Architecture::host().unwrap() {
        Architecture::Amd64 => Architecture::Arm64,
        Architecture::Arm64 => Architecture::Amd64,
    }
}

/// A lock of these wheels of a server, without their lengths.
fn pylock(server: &Server, names: &[&str]) -> String {
    let packages = names.iter().map(|name| {
        let hash = Digest::of(name.as_bytes()).hex();
        let url = server.url(&format!("/{name}-1-py3-none-any.whl"));
        format!(
            "[[packages]]\nname = '{name}'\nversion = '1'\nwheels = [{{ url = '{url}', hashes = {{ sha256 = '{hash}' }} }}]\n"
        )
    });
    let packages: String = packages.collect();
    format!("lock-version = '1.0'\ncreated-by = 'x'\n{packages}")
}

fn built(name: &str, version: &str) -> BuiltWheel {
    BuiltWheel {
        instead_of: None,
        file_name: format!("{name}-{version}-py3-none-any.whl")
            .parse()
            .unwrap(),
        sha256: Digest::of(name.as_bytes()),
        size_bytes: 7,
        is_own: false,
        from: SourceOf::Tree(LockedTree::Folder {
            path: name.to_owned(),
            is_editable: false,
        }),
        address: None,
        extras: Vec::new(),
    }
}

#[test]
fn a_lock_is_taken_as_it_is_and_its_lengths_are_asked_for_once() {
    let server = Server::start(|_| Answer::new(200, "12345"));
    let lock = pylock(&server, &["b", "a"]);
    let build = TestBuild::of(&[APP, ("pylock.toml", &lock)], &[SCRIPT]);
    let first = wheels(&build).unwrap();
    let names: Vec<&str> = first.packages.iter().map(|one| one.name.as_ref()).collect();
    assert_eq!(names, ["a", "b"]);
    assert!(first.packages.iter().all(|one| one.size_bytes == Some(5)));
    let asked = server.lines();
    assert!(
        asked.iter().all(|line| line.starts_with("HEAD /")),
        "{asked:?}"
    );
    assert_eq!(wheels(&build).unwrap(), first);
    assert_eq!(server.lines().len(), asked.len());
}

#[test]
fn nothing_named_is_nothing_resolved() {
    let build = TestBuild::of(&[APP], &[SCRIPT]);
    assert_eq!(wheels(&build).unwrap(), WheelLock::default());
}

#[test]
fn what_would_have_to_be_built_for_another_machine_is_named_before_anything_is_fetched() {
    let lock = "lock-version = '1.0'\ncreated-by = 'x'\n[[packages]]\nname = 'lib'\nversion = '1'\ndirectory = { path = 'lib' }\n";
    let files = [APP, ("pylock.toml", lock), ("lib/setup.py", "")];
    let build = TestBuild::of(&files, &[SCRIPT]);
    let error = with(&build, other_machine(), all).unwrap_err();
    let told = error.explain();
    assert_eq!(told.class, ErrorClass::Project, "{error}");
    assert!(format!("{told:?}").contains("lib"), "{told:?}");
    assert!(error.find::<ForeignBuild>().is_some(), "{error}");
}

#[test]
fn a_server_that_a_lock_has_is_not_added_and_one_that_rules_forbid_is_told_of() {
    let server = Server::start(|_| Answer::new(200, "12345"));
    let app = ("main.py", "from fastapi import FastAPI\napp = FastAPI()\n");
    let lock_of = |names: &[&str]| pylock(&server, names);
    let lock = lock_of(&["fastapi"]);
    let mut build = TestBuild::of(&[app, ("pylock.toml", &lock)], &[]);
    assert!(build.plan.start.added.is_some(), "{:?}", build.plan.start);
    build.settings.rules.locked = true;
    let error = wheels(&build).unwrap_err();
    assert!(error.find::<ServerNotAddedError>().is_some(), "{error}");
    assert!(error.explain().why.contains("--locked"));
    // It may come as something that no name foretells.
    let lock = lock_of(&["fastapi"]);
    let build = TestBuild::of(&[app, ("pylock.toml", &lock)], &[]);
    let server = build.plan.start.added.as_ref().unwrap().value.clone();
    let mut had = WheelLock::default();
    had.packages.push(locked(&built(server.name, "1")));
    let host = Architecture::host().unwrap();
    let same = with(&build, host, |exact| {
        exact.with_server(had.clone(), &server)
    });
    assert_eq!(same.unwrap(), had);
}

#[test]
fn a_lock_lists_what_was_built_beside_it_once_and_sorted() {
    let lock = WheelLock {
        packages: vec![locked(&built("a", "1")), locked(&built("c", "1"))],
    };
    let done = with_built(lock, &[built("c", "2"), built("b", "1")]);
    let listed = done.packages.iter();
    let listed: Vec<String> = listed
        .map(|one| format!("{}=={}", one.name, one.version))
        .collect();
    assert_eq!(listed, ["a==1", "b==1", "c==2"]);
    assert!(matches!(
        done.packages[0].location,
        WheelLocation::Built { .. }
    ));
    assert_eq!(done.packages[2].size_bytes, Some(7));
}

#[test]
fn only_what_could_be_built_is_built() {
    let target = crate::packages::python::testing::target();
    let error = |has_sdist, must_be_wheel| -> BuildError {
        WheelError::NoWheel(Box::new(NoWheel {
            name: "x".parse().unwrap(),
            version: Some("1".to_owned()),
            target,
            places: Vec::new(),
            reason: String::new(),
            has_sdist,
            must_be_wheel,
            offered: Vec::new(),
        }))
        .into()
    };
    let named = without_wheel(&error(true, false)).unwrap();
    assert_eq!((named.0.as_ref(), named.1.as_deref()), ("x", Some("1")));
    assert!(without_wheel(&error(false, false)).is_none());
    assert!(without_wheel(&error(true, true)).is_none());
    let unwanted = WheelError::WheelUnwanted {
        name: "x".parse().unwrap(),
        version: "2".to_owned(),
    };
    assert_eq!(
        without_wheel(&unwanted.into()).unwrap().1.as_deref(),
        Some("2")
    );
}

#[test]
fn a_build_that_fails_for_an_old_pin_names_what_helps() {
    let build = TestBuild::of(&[APP], &[SCRIPT]);
    let (name, version) = ("numpy".parse().unwrap(), "1.26.4".parse().unwrap());
    let of_project = || -> BuildError {
        StaleLockError::OldForm {
            file: "pylock.toml".to_owned(),
        }
        .into()
    };
    let of_world = || -> BuildError {
        crate::layer_cache::DownloadError::NoPip {
            name: "pip".to_owned(),
            indexes: String::new(),
        }
        .into()
    };
    with(&build, Architecture::host().unwrap(), |exact| {
        let pin = |targets: &[WheelTarget]| {
            let old = |one: &&WheelTarget| {
                one.python
                    < PythonVersion {
                        minor: 13,
                        ..exact.target.python
                    }
            };
            Ok(Some(OldPin {
                position: Position {
                    path: "requirements.txt".into(),
                    line: 3,
                },
                first: Some("2.1.0".parse().unwrap()),
                others: targets.iter().filter(old).copied().collect(),
            }))
        };
        let told = exact
            .or_old_pin(of_project(), (&name, &version), pin)
            .explain();
        assert_eq!(told.place, "requirements.txt:3");
        assert!(told.next.contains("numpy==2.1.0"), "{}", told.next);
        assert!(
            told.next.contains("--builder python-3.12 or python-3.11"),
            "{}",
            told.next
        );
        // What the index does not know better, or what is no fault of the pin, stays as it was.
        let same = exact.or_old_pin(of_project(), (&name, &version), |_| Ok(None));
        assert!(same.find::<StaleLockError>().is_some());
        let same = exact.or_old_pin(of_world(), (&name, &version), |_| {
            panic!("the index is asked for nothing")
        });
        assert_eq!(same.explain().class, ErrorClass::World);
    });
}

#[test]
fn a_variable_is_told_with_the_line_of_the_file_that_was_converted() {
    let error = |path: &str| -> BuildError {
        WheelError::Requirements(ReadError {
            position: Position {
                path: path.into(),
                line: 1,
            },
            error: LineError::Variable("TOKEN".to_owned()),
        })
        .into()
    };
    let text = b"[[source]]\nname = 'x'\nurl = 'https://${TOKEN}@i/simple'\n";
    let told = |path: &str| {
        where_it_stands(error(path), "Pipfile", text)
            .explain()
            .place
    };
    assert_eq!(told("Pipfile"), "Pipfile:3");
    assert_eq!(told("requirements.txt"), "requirements.txt:1");
}
