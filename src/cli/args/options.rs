//! Options that several commands share: how s2r speaks, what a project is, how the network,
//! registries and steps are treated, and what the image is written in.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use crate::pipeline::{CheckWishes, ValidUntil, check_path, check_status, size_in_bytes};
use crate::plan::PlanRequest;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Messages")]
pub(crate) struct OutputOptions {
    /// How to show progress on stderr
    #[arg(long, global = true, value_enum, default_value_t = ProgressChoice::Auto, value_name = "HOW")]
    pub(crate) progress: ProgressChoice,

    /// Print the result as one JSON object on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The forms of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressChoice {
    /// A live line on a terminal, plain lines elsewhere
    Auto,
    /// One line a step, for logs
    Plain,
    /// One JSON object a line
    Json,
    /// Warnings and errors only
    None,
}

/// What a project is and how it is to be built: shared by build, plan and lock.
#[derive(Debug, Clone, Args)]
pub(crate) struct ProjectOptions {
    /// Set a variable for the build and in the image; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE")]
    pub(crate) env: Vec<String>,

    /// Read variables from a file of NAME=VALUE lines
    #[arg(short = 'E', long = "environment-file", value_name = "FILE")]
    pub(crate) environment_file: Option<PathBuf>,

    /// Let the project's requirements name this variable of yours (`${NAME}`); may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) pass_env: Vec<String>,

    /// Build this branch, tag or commit of a git repository
    #[arg(short = 'r', long = "ref", value_name = "REF")]
    pub(crate) reference: Option<String>,

    /// Build this folder within the source
    #[arg(long, value_name = "DIR")]
    pub(crate) context_dir: Option<PathBuf>,

    /// Leave out paths that match this regular expression too; an empty one takes in .git and all else that
    /// stays out unasked
    #[arg(long, value_name = "REGEX")]
    pub(crate) exclude: Vec<String>,

    /// Let a wheel or an archive unpack to this, for instance 8G, where the rule (256 MiB and 50 times its own length) is less
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub(crate) max_unpacked: Option<u64>,

    /// The builder: a name (see `s2r builders`), a YAML file, or an image with Python in it
    #[arg(long, value_name = "NAME|FILE.yaml|IMAGE")]
    pub(crate) builder: Option<String>,

    /// What the image runs on: linux/amd64, linux/arm64, or both with a comma
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(crate) platform: Vec<String>,

    /// Which sources to compile to byte code; all, unless said otherwise
    #[arg(long, value_enum, value_name = "WHICH", help_heading = "Image format")]
    pub(crate) bytecode: Option<BytecodeChoice>,
}

/// How registries are talked to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registries")]
pub(crate) struct RegistryOptions {
    /// Look for credentials in this file first
    #[arg(long, value_name = "FILE")]
    pub(crate) authfile: Option<PathBuf>,

    /// A folder with *.crt to trust, and *.cert with its *.key to show, for the registry
    #[arg(long, value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,

    /// Check certificates: false allows any, and plain http
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) tls_verify: Option<bool>,

    /// Allow this registry any certificate, or plain http; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(crate) insecure_registry: Vec<String>,

    /// Trust the authorities in this PEM file too; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Vec<PathBuf>,
}

/// The sources that may be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BytecodeChoice {
    /// Python's standard library, dependencies and the application
    All,
    /// The application
    App,
    /// Python's standard library and dependencies: a rebuild on an empty machine fetches no interpreter
    Dependencies,
    /// None: images are smaller, and containers start more slowly
    None,
}

/// Which images of registries have layers that may be used again.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Layers of registries")]
pub(crate) struct CacheOptions {
    /// Use layers of this image in its registry again; may be repeated. --push looks at the image that its name has now by itself
    #[arg(long, value_name = "IMAGE", conflicts_with = "no_cache")]
    pub(crate) cache_from: Vec<String>,

    /// Use no layers of images in registries; those of the store are used all the same
    #[arg(long)]
    pub(crate) no_cache: bool,

    /// Make here too what images in registries are to give, from packages and wheels by their hashes; stop where they differ
    #[arg(long, conflicts_with = "no_cache")]
    pub(crate) verify_cache: bool,
}

/// What an image that is checked has to answer. The names that a build has for these are understood too: errors of both commands
/// name them.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct CheckOptions {
    /// Ask for this path; / if nobody says otherwise
    #[arg(long, alias = "check-path", value_name = "PATH", value_parser = check_path)]
    pub(crate) path: Option<String>,

    /// Want this status; any below 500 will do if nobody says otherwise
    #[arg(long, alias = "check-status", value_name = "STATUS", value_parser = check_status)]
    pub(crate) status: Option<u16>,

    /// Time that it may take to answer, from its start; 10s if nobody says otherwise
    #[arg(long, alias = "check-within", value_name = "TIME", value_parser = time)]
    pub(crate) within: Option<Duration>,

    /// Memory that it gets; 512M if nobody says otherwise
    #[arg(long, alias = "check-memory", value_name = "SIZE", value_parser = size)]
    pub(crate) memory: Option<u64>,
}

impl CheckOptions {
    /// The request as it was typed.
    pub(crate) fn wishes(&self) -> CheckWishes {
        CheckWishes {
            path: self.path.clone(),
            status: self.status,
            within: self.within,
            memory_bytes: self.memory,
        }
    }
}

/// Whether the built image is started before it is named, and what it has to answer.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Check")]
pub(crate) struct BuildCheckOptions {
    /// Start the image as a restricted pod would and see whether it answers, before it is named or pushed; `s2r help check` says how
    #[arg(long)]
    pub(crate) check: bool,

    /// Ask for this path; / if nobody says otherwise
    #[arg(long, requires = "check", value_name = "PATH", value_parser = check_path)]
    pub(crate) check_path: Option<String>,

    /// Want this status; any below 500 will do if nobody says otherwise
    #[arg(long, requires = "check", value_name = "STATUS", value_parser = check_status)]
    pub(crate) check_status: Option<u16>,

    /// Time that it may take to answer, from its start; 10s if nobody says otherwise
    #[arg(long, requires = "check", value_name = "TIME", value_parser = time)]
    pub(crate) check_within: Option<Duration>,

    /// Memory that it gets; 512M if nobody says otherwise
    #[arg(long, requires = "check", value_name = "SIZE", value_parser = size)]
    pub(crate) check_memory: Option<u64>,
}

impl BuildCheckOptions {
    /// As typed, if a check is wanted.
    pub(crate) fn wishes(&self) -> Option<CheckWishes> {
        self.check.then(|| CheckWishes {
            path: self.check_path.clone(),
            status: self.check_status,
            within: self.check_within,
            memory_bytes: self.check_memory,
        })
    }
}

/// How Debian's archive is read.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Locks and network")]
pub(crate) struct DebianOptions {
    /// What the end of validity of Debian's indexes means; testing's are valid for a week
    #[arg(long, value_enum, default_value_t = ValidUntilChoice::Check, value_name = "HOW")]
    pub(crate) debian_valid_until: ValidUntilChoice,
}

impl DebianOptions {
    /// As it is typed.
    pub(crate) fn valid_until(&self) -> ValidUntil {
        match self.debian_valid_until {
            ValidUntilChoice::Check => ValidUntil::Check,
            ValidUntilChoice::Ignore => ValidUntil::Ignore,
        }
    }
}

/// What the end of an index's validity means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ValidUntilChoice {
    /// An expired index is refused, unless the builder's file says otherwise
    Check,
    /// It is used, with a warning
    Ignore,
}

/// How the network is used.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Locks and network")]
pub(crate) struct NetworkOptions {
    /// Use only what locks pin; resolve nothing
    #[arg(long)]
    pub(crate) locked: bool,

    /// Touch no network: use only what the store holds
    #[arg(long)]
    pub(crate) offline: bool,

    /// Ask the Debian suite again now, not only after an hour
    #[arg(long)]
    pub(crate) refresh: bool,
}

/// What the image says of itself.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Labels and annotations")]
pub(crate) struct ImageOptions {
    /// Put this label on the image, in place of any other of its name; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    pub(crate) label: Vec<(String, String)>,

    /// Write this annotation into the image's manifest, each platform's; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = annotation)]
    pub(crate) annotation: Vec<(String, String)>,
}

impl ImageOptions {
    /// A request with what these ask for; of one name the last counts.
    pub(crate) fn over(&self, request: PlanRequest) -> PlanRequest {
        PlanRequest {
            labels: self.label.iter().cloned().collect(),
            annotations: self.annotation.iter().cloned().collect(),
            ..request
        }
    }
}

/// What the image is written in.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Image format")]
pub(crate) struct FormatOptions {
    /// Whose media types the image has; docker's for registries that refuse OCI's
    #[arg(long, value_enum, default_value_t = FormatChoice::Oci, value_name = "WHOSE")]
    pub(crate) format: FormatChoice,

    /// How layers are compressed; docker reads zstd from version 23 on
    #[arg(long, value_enum, default_value_t = CompressionChoice::Gzip, value_name = "HOW")]
    pub(crate) compression: CompressionChoice,

    /// Write layers that the stargz snapshotter mounts before they are pulled; others read them as gzip
    #[arg(long)]
    pub(crate) estargz: bool,
}

/// The families of media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatChoice {
    /// The Open Container Initiative's
    Oci,
    /// Docker's, version 2 schema 2
    Docker,
}

/// The ways to compress layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompressionChoice {
    /// Read by everything; what wheels hold is copied as it is
    Gzip,
    /// Smaller, and faster to unpack
    Zstd,
}

/// How code of the project is run at build time, where it has to be.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Code of the project")]
pub(crate) struct StepOptions {
    /// How far code of the project is kept from this machine
    #[arg(long, value_enum, default_value_t = IsolationChoice::Auto, value_name = "HOW")]
    pub(crate) isolation: IsolationChoice,

    /// Memory that one step may take, for instance 512M or 4G
    #[arg(long, value_name = "SIZE", default_value = "8G", value_parser = size)]
    pub(crate) step_memory: u64,

    /// Time that one step may take, for instance 90s, 10m or 2h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(crate) step_time: Duration,
}

/// The ways to run code of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IsolationChoice {
    /// The strongest that works here
    Auto,
    /// In namespaces of its own
    Userns,
    /// In another root folder, for root where namespaces are refused
    Chroot,
    /// Not at all: where s2r stands in a container of an image that the builder made
    None,
}

impl IsolationChoice {
    /// As it is typed.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Userns => "userns",
            Self::Chroot => "chroot",
            Self::None => "none",
        }
    }
}

/// Reads `KEY=VALUE`; the value may be empty.
fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// The same, without the names that s2r reads in a manifest.
fn annotation(text: &str) -> Result<(String, String), String> {
    let (key, value) = label(text)?;
    if key.starts_with("io.s2r.") || key.starts_with("org.opencontainers.image.base.") {
        return Err(
            "s2r writes annotations of these names, and reads them in later builds".to_owned(),
        );
    }
    Ok((key, value))
}

/// Reads `512M`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    size_in_bytes(text)
        .ok_or_else(|| "a size is a number with K, M or G, for instance 512M".to_owned())
}

/// Reads `10m`: seconds, minutes or hours.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let (digits, factor) = match text.chars().last() {
        Some('s') => (&text[..text.len() - 1], 1),
        Some('m') => (&text[..text.len() - 1], 60),
        Some('h') => (&text[..text.len() - 1], 3600),
        _ => (text, 1),
    };
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(factor))
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs)
        .ok_or_else(|| "a time is a number with s, m or h, for instance 10m".to_owned())
}
