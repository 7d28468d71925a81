//! The real index, by hand: `S2R_LIVE_FILE=… cargo test --lib live -- --ignored --nocapture`.

#![expect(
    clippy::disallowed_methods,
    reason = "a driver for experiments reads its own settings"
)]

use std::time::Instant;

use super::*;
use crate::packages::python::{Arch, Libc, Url};
use crate::report::{Explain, Silent};

struct Real(reqwest::blocking::Client);

impl Fetch for Real {
    fn get(&self, request: &Get<'_>) -> Result<Got, FetchError> {
        let url: &Url = request.url;
        let mut get = self.0.get(url.as_str());
        if let Some(accept) = request.accept {
            get = get.header("accept", accept);
        }
        let answer = get
            .send()
            .map_err(|error| FetchError::Unreachable(error.to_string()))?;
        if !answer.status().is_success() {
            return Err(FetchError::Status(answer.status().as_u16()));
        }
        Ok(Got {
            final_url: answer.url().to_string(),
            body: Box::new(answer),
        })
    }
}

#[test]
#[ignore = "needs the network"]
fn live() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let path = variable("S2R_LIVE_FILE");
    let text = std::fs::read(&path).unwrap();
    let target = Target {
        python: variable("S2R_LIVE_PYTHON").parse().unwrap(),
        libc: Libc::Glibc(
            2,
            if variable("S2R_LIVE_PYTHON").starts_with("3.11") {
                36
            } else {
                41
            },
        ),
        arch: if variable("S2R_LIVE_ARCH") == "arm64" {
            Arch::Aarch64
        } else {
            Arch::X86_64
        },
    };
    let environment: BTreeMap<String, String> = [
        "SSL_CERT_FILE",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_NO_INDEX",
        "PATH",
    ]
    .iter()
    .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
    .collect();
    let file = RequirementsFile {
        path: path.rsplit('/').next().unwrap(),
        text: &text,
    };
    let files = [file];
    let state = variable("S2R_LIVE_STATE");
    let state = Path::new(&state);
    let folder = Path::new(&path).parent().unwrap();
    let request = Request {
        input: if text.starts_with(b"lock-version") {
            Input::Pylock(file)
        } else {
            Input::Requirements(&files)
        },
        target: &target,
        read: &|path| std::fs::read(folder.join(path)).ok(),
        environment: &environment,
        locked: false,
        offline: !variable("S2R_LIVE_OFFLINE").is_empty(),
        tools: &state.join("tools"),
        cache: &state.join("cache"),
    };
    let started = Instant::now();
    let real = Real(reqwest::blocking::Client::new());
    match resolve(&request, &real, &Silent) {
        Ok(lock) => {
            println!(
                "{} packages in {} ms",
                lock.packages.len(),
                started.elapsed().as_millis()
            );
            for wheel in &lock.packages {
                println!("  {} {:?}", wheel.file_name, wheel.size_bytes);
            }
            let out = variable("S2R_LIVE_OUT");
            if !out.is_empty() {
                std::fs::write(out, write_pylock(&[(target, &lock)])).unwrap();
            }
        }
        Err(error) => println!(
            "{} ms\n{:#?}",
            started.elapsed().as_millis(),
            error.explain()
        ),
    }
}
