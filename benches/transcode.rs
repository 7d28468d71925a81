//! How fast wheels become a layer, against compressing the same tar with gzip -6, and how large it is.
//!
//!     benches/wheels.sh target/wheels
//!     taskset -c 0 cargo bench --bench transcode -- target/wheels
//!
//! With a second path it only writes the layer there, for other readers to look at.
//!
//! Both sides get the same wheels and the same tar from the page cache and write to nothing; the
//! library is the program's own code, included by path because the crate has one door. The
//! fastest of three runs counts, in processor time. Peak memory is that of the transcoding alone.
#![allow(
    dead_code,
    unused_imports,
    clippy::cast_precision_loss,
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measurement: it includes more than it calls, prints, and stops at the first failure"
)]
#![allow(missing_docs, reason = "included modules are documented in the crate")]

#[path = "../src/archive/mod.rs"]
mod archive;
#[path = "../src/oci/mod.rs"]
mod oci;
#[path = "../src/report/mod.rs"]
mod report;
#[path = "../src/packages"]
mod packages {
    pub(crate) mod python {
        pub(crate) mod entry_points;
        pub(crate) mod record;
        pub(crate) mod wheel_metadata;
    }
}
#[path = "../src/layers"]
mod layers {
    pub(crate) mod bytecode;
    pub(crate) mod linkage;
    pub(crate) mod wheel;
}

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use archive::tar::{CompressionEffort, LayerWriter, TarOptions, TarSummary};
use layers::wheel::{self, InstallTarget, WheelFile};

const RUNS: usize = 3;

fn main() {
    let mut args = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"));
    let folder = PathBuf::from(args.next().unwrap_or_else(|| "target/wheels".to_owned()));
    let Ok(wheels) = wheels(&folder) else {
        println!(
            "no wheels in {}: run benches/wheels.sh first",
            folder.display()
        );
        return;
    };
    if let Some(layer) = args.next() {
        transcode(&wheels, File::create(layer).unwrap());
        println!("peak memory {} KiB", peak_memory_kib());
        return;
    }
    let wheel_bytes: u64 = wheels
        .iter()
        .map(|it| it.path.metadata().unwrap().len())
        .sum();

    let (transcoding, written) = fastest(|| transcode(&wheels, io::sink()));
    let peak_kib = peak_memory_kib();
    println!("{} wheels, {} in the wheels", wheels.len(), mb(wheel_bytes));
    println!("{} of tar", mb(written.uncompressed_bytes));
    println!(
        "transcode          {transcoding:8.2?}  {}  peak memory {peak_kib} KiB",
        mb(written.size_bytes)
    );

    let tar = tempfile::NamedTempFile::new().unwrap();
    let mut layer = tempfile::tempfile().unwrap();
    transcode(&wheels, &mut layer);
    io::Seek::rewind(&mut layer).unwrap();
    let mut inflated = flate2::bufread::MultiGzDecoder::new(io::BufReader::new(layer));
    io::copy(&mut inflated, &mut tar.as_file()).unwrap();

    for level in [1, 6] {
        let (took, size) = fastest(|| gzip_here(tar.path(), level));
        told(
            &format!("gzip -{level}, zlib-rs"),
            took,
            size,
            transcoding,
            written.size_bytes,
        );
    }
    let (took, size) = fastest(|| gzip_program(tar.path()));
    told(
        "gzip -6, the system's",
        took,
        size,
        transcoding,
        written.size_bytes,
    );
}

fn told(what: &str, took: Duration, size: u64, transcoding: Duration, transcoded: u64) {
    println!(
        "{what:<22} {took:8.2?}  {}  transcoding is {:.1} times as fast, {:+.1} % in size",
        mb(size),
        took.as_secs_f64() / transcoding.as_secs_f64(),
        100.0 * (transcoded as f64 / size as f64 - 1.0),
    );
}

fn wheels(folder: &Path) -> io::Result<Vec<WheelFile>> {
    let mut wheels = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().unwrap().to_str().unwrap();
        if let Some((name, version)) = file.strip_suffix(".whl").and_then(|it| it.split_once('-')) {
            wheels.push(WheelFile {
                name: name.to_lowercase().replace(['_', '.'], "-"),
                version: version.split('-').next().unwrap_or_default().to_owned(),
                sha256: [0; 32],
                requested: false,
                unpacked: archive::UnpackedBound::default(),
                path,
            });
        }
    }
    wheels.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(wheels)
}

fn transcode(wheels: &[WheelFile], sink: impl Write) -> TarSummary {
    let target = InstallTarget {
        prefix: "opt/app-root".to_owned(),
        python: "3.13".to_owned(),
        uid: 1001,
        gid: 0,
        mtime: 315_532_800,
        bytecode: None,
    };
    let mut out = LayerWriter::new(
        sink,
        TarOptions {
            mtime: target.mtime,
            effort: CompressionEffort::Usual,
        },
    );
    wheel::write(wheels, &target, &[], &mut out).unwrap();
    out.finish().unwrap().1
}

fn gzip_here(tar: &Path, level: u32) -> u64 {
    let level = flate2::Compression::new(level);
    let encoder = flate2::read::GzEncoder::new(File::open(tar).unwrap(), level);
    io::copy(
        &mut io::BufReader::with_capacity(128 << 10, encoder),
        &mut io::sink(),
    )
    .unwrap()
}

fn gzip_program(tar: &Path) -> u64 {
    let mut gzip = Command::new("gzip")
        .args(["-6", "-n", "-c"])
        .stdin(File::open(tar).unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let size = io::copy(&mut gzip.stdout.take().unwrap(), &mut io::sink()).unwrap();
    assert!(gzip.wait().unwrap().success());
    size
}

fn fastest<T>(run: impl Fn() -> T) -> (Duration, T) {
    (0..RUNS)
        .map(|_| {
            let before = cpu_time();
            let outcome = run();
            (cpu_time().saturating_sub(before), outcome)
        })
        .min_by_key(|(took, _)| *took)
        .unwrap()
}

/// Processor time of this process and of the children it has waited for, in hundredths of a second:
/// `utime` to `cstime` of `proc_pid_stat(5)`. Other work on the machine does not count.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, after_name) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|it| it.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(10 * ticks)
}

/// `VmHWM` of this process.
fn peak_memory_kib() -> u64 {
    let mut status = String::new();
    File::open("/proc/self/status")
        .unwrap()
        .read_to_string(&mut status)
        .unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn mb(bytes: u64) -> String {
    format!("{:7.2} MB", bytes as f64 / 1e6)
}
