//! A sample of each error, for `tests/explanations.txt`.

use super::*;
use crate::archive::zip;
use crate::packages::python::{LibcVersion, PythonVersion, TargetArch};

crate::report::samples! {
    enum WheelError {
        Requirements(ReadError { position: position(), error: LineError::Quote }),
        Requirements(ReadError { position: position(), error: LineError::Variable("TOKEN".into()) }),
        Pylock { path: "pylock.toml".into(), error: PylockError::Format("2.0".into()) },
        Answer(PylockError::Format("2.0".into())),
        Twice { path: "pylock.toml".into(), name: name() },
        NoHashInLock { path: "pylock.toml".into(), name: name(), file: "flask-3.1.0-py3-none-any.whl".into() },
        Python { path: "pylock.toml".into(), requires: "<3.12".into(), target: target() },
        Environment { path: "pylock.toml".into(), target: target() },
        NotLocked { place: "requirements.txt".into() },
        NeedsBuild { wish: "git+https://git.example.com/flask".into(), position: position() },
        TwoAddresses {
            name: name(),
            wanted: Box::new([
                ("requirements.txt:3".into(), "https://files.example.com/flask-3.0.0.tar.gz".into()),
                ("flask-login 0.6.3".into(), "https://files.example.com/flask-3.1.0.tar.gz".into()),
            ]),
        },
        TooManyAddresses { limit: 100, position: position() },
        NoSuchWheel { path: "wheels/flask-3.1.0-py3-none-any.whl".into(), position: position() },
        Wheel { place: "wheels/flask-3.1.0-py3-none-any.whl".into(), error: StubError::NoMetadata },
        Wheel {
            place: "wheels/flask-3.1.0-py3-none-any.whl".into(),
            error: StubError::Zip(zip::ZipError::Archive { path: "/store/tmp/1".into(), fault: zip::ArchiveFault::NoEnd }),
        },
        WheelUnwanted { name: name(), version: "3.1.0".into() },
        NoWheel(Box::new(no_wheel())),
        NoWheel(Box::new(NoWheel {
            version: None,
            has_sdist: true,
            must_be_wheel: true,
            offered: vec!["cp312-cp312-manylinux_2_28_x86_64".into(), "cp313-cp313-win_amd64".into()],
            reason: "only 1.0 is there".into(),
            ..no_wheel()
        })),
        NoWheel(Box::new(NoWheel { has_sdist: true, ..no_wheel() })),
        Unsatisfiable { places: vec![position()], reason: "flask==3.0 and flask==3.1 contradict each other".into(), asks_for_debians_own: false },
        Unsatisfiable { places: vec![position()], reason: "there is no version of pkg-resources==0.0.0".into(), asks_for_debians_own: true },
        Hashes { name: name(), target: target(), position: position() },
        HashMissing { wish: "flask==3.1.0".into(), position: position() },
        NotListed { place: "requirements.txt".into(), missing: vec![("click".parse().unwrap(), "8.1.8".parse().unwrap())] },
        Address { variable: "PIP_INDEX_URL", error: LineError::Variable("TOKEN".into()) },
        Address { variable: "PIP_INDEX_URL", error: LineError::NoValue("--index-url".into()) },
        Switch { name: "PIP_PREFIX", why: "packages go into /opt/app-root" },
        NoUploadTime { url: url(), limit: UploadLimit::read("2026-01-01", true).unwrap() },
        Variable { name: "PIP_CONSTRAINT", path: "constraints.txt".into() },
        Offline { what: "flask".into() },
        Index { url: url(), error: IndexFetchError::Status(503) },
        Index { url: url(), error: IndexFetchError::Unreachable("no connection: Connection refused".into()) },
        Index { url: url(), error: IndexFetchError::Local(crate::report::samples::denied().to_string()) },
        Login { url: url(), variables: ["UV_INDEX_OWN_USERNAME".into(), "UV_INDEX_OWN_PASSWORD".into()] },
        Elsewhere { name: name(), place: "git+https://git.example.com/flask".into() },
        Stranger { name: name(), url: "https://files.example.com/flask-3.1.0-py3-none-any.whl".into() },
        NoIndexPage { url: url() },
        NotHere { reason: "there is no version of flask".into() },
        NoUv { version: "0.9.0" },
        WrongUv { url: "https://files.example.com/uv.whl".into() },
        Uv { text: "error: something else".into() },
        File { path: "/store/tmp/1".into(), error: crate::report::samples::denied() },
        Target("3".into()),
    }
}

fn position() -> Position {
    Position {
        path: "requirements.txt".into(),
        line: 3,
    }
}

fn name() -> PackageName {
    "flask".parse().unwrap()
}

fn url() -> String {
    "https://pypi.example.com/simple/flask/".into()
}

fn target() -> WheelTarget {
    WheelTarget {
        python: PythonVersion {
            major: 3,
            minor: 13,
            patch: 5,
        },
        libc: LibcVersion::Glibc(2, 41),
        arch: TargetArch::X86_64,
    }
}

fn no_wheel() -> NoWheel {
    NoWheel {
        name: name(),
        version: Some("3.1.0".into()),
        target: target(),
        places: vec![position()],
        reason: String::new(),
        has_sdist: false,
        must_be_wheel: false,
        offered: vec![],
    }
}
