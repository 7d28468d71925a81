//! What may be typed. Owns the words of the command line and their help; what they mean is
//! decided in `request`.

use std::path::PathBuf;
use std::time::Duration;

use crate::pipeline::Port;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Turn a Python web project into a container image: no daemon, no root.
#[derive(Debug, Parser)]
#[command(
    name = "s2r",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "Exit status: 0 done, 2 wrong command line, 65 the project is wrong, \
                  69 network, registry or disk failed, 70 s2r is wrong.\n\
                  stdout carries the result alone; everything else goes to stderr."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    #[command(flatten)]
    pub(super) output: Output,
}

/// How s2r speaks.
#[derive(Debug, Clone, Args)]
pub(super) struct Output {
    /// How to show progress on stderr
    #[arg(long, global = true, value_enum, default_value_t = Progress::Auto, value_name = "HOW")]
    pub(super) progress: Progress,

    /// Print the result as one JSON object on stdout
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// The forms of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Progress {
    /// A live line on a terminal, plain lines elsewhere
    Auto,
    /// One line a step, for logs
    Plain,
    /// One JSON object a line
    Json,
    /// Warnings and errors only
    None,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build an image from a project: a folder, a git repository, an archive
    Build(Box<Build>),
    /// Start an image of the store here, without a daemon
    Run(Run),
    /// Show what would be built and why; no network, nothing written
    Plan(Plan),
    /// Write pylock.toml and s2r.lock: exact packages and base, for builds that repeat
    Lock(Lock),
    /// Push an image from the store to its registry, or to another name
    Push(Push),
    /// Put an image that s2r built on another base, without its sources
    Rebase(Rebase),
    /// Keep user and password for a registry, where podman keeps them
    Login(Login),
    /// Forget user and password for a registry
    Logout(Logout),
    /// Write an image from the store to a file or folder
    Export(Export),
    /// List the images in the store
    Images,
    /// Remove images from the store
    Rm(Remove),
    /// Show an image: layers, sizes, contents, base, and how far it is behind
    Inspect(Inspect),
    /// List the builders, or print one
    Builders(Builders),
    /// Tell how projects for a builder are laid out and which variables it knows
    Usage(Usage),
    /// Show what the store holds, or prune it
    Cache(Cache),
    /// Print a completion script for a shell
    Completion(Completion),
    /// Print the version
    Version,
}

/// What a project is and how it is to be built: shared by build, plan and lock.
#[derive(Debug, Clone, Args)]
pub(super) struct Project {
    /// The builder: a name (see `s2r builders`), a YAML file, or an image with Python in it
    #[arg(long, value_name = "NAME|FILE.yaml|IMAGE")]
    pub(super) builder: Option<String>,

    /// Set a variable for the build and in the image; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME=VALUE")]
    pub(super) env: Vec<String>,

    /// Read variables from a file of NAME=VALUE lines
    #[arg(short = 'E', long = "environment-file", value_name = "FILE")]
    pub(super) environment_file: Option<PathBuf>,

    /// Build this branch, tag or commit of a git repository
    #[arg(short = 'r', long = "ref", value_name = "REF")]
    pub(super) reference: Option<String>,

    /// Build this folder within the source
    #[arg(long, value_name = "DIR")]
    pub(super) context_dir: Option<PathBuf>,

    /// Leave out paths that match this regular expression; empty leaves out nothing
    #[arg(long, value_name = "REGEX", default_value = r"(^|/)\.git(/|$)")]
    pub(super) exclude: String,

    /// What the image runs on: linux/amd64, linux/arm64, or both with a comma
    #[arg(long, value_name = "OS/ARCH", value_delimiter = ',')]
    pub(super) platform: Vec<String>,

    /// Which sources to compile to byte code; all, unless said otherwise
    #[arg(long, value_enum, value_name = "WHICH")]
    pub(super) bytecode: Option<Bytecode>,
}

/// How registries are talked to.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Registries")]
pub(super) struct Registries {
    /// Look for credentials in this file first
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,

    /// A folder with *.crt to trust, and *.cert with its *.key to show, for the registry
    #[arg(long, value_name = "DIR")]
    pub(super) cert_dir: Option<PathBuf>,

    /// Check certificates: false allows any, and plain http
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(super) tls_verify: Option<bool>,

    /// Allow this registry any certificate, or plain http; may be repeated
    #[arg(long, value_name = "HOST[:PORT]")]
    pub(super) insecure_registry: Vec<String>,

    /// Trust the authorities in this PEM file too; may be repeated
    #[arg(long, value_name = "FILE")]
    pub(super) ca: Vec<PathBuf>,
}

/// The sources that may be compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Bytecode {
    /// Python's standard library, dependencies and the application
    All,
    /// The application
    App,
    /// Python's standard library and dependencies: a rebuild on an empty machine fetches no interpreter
    Dependencies,
    /// None: images are smaller, and containers start more slowly
    None,
}

/// How the network is used.
#[derive(Debug, Clone, Args)]
pub(super) struct Network {
    /// Use only what locks pin; resolve nothing
    #[arg(long)]
    pub(super) locked: bool,

    /// Touch no network: use only what the store holds
    #[arg(long)]
    pub(super) offline: bool,

    /// Ask the Debian suite again now, not only after an hour
    #[arg(long)]
    pub(super) refresh: bool,
}

/// What the image is written in.
#[derive(Debug, Clone, Args)]
pub(super) struct Formats {
    /// Whose media types the image has; docker's for registries that refuse OCI's
    #[arg(long, value_enum, default_value_t = Format::Oci, value_name = "WHOSE")]
    pub(super) format: Format,

    /// How layers are compressed; docker reads zstd from version 23 on
    #[arg(long, value_enum, default_value_t = Compression::Gzip, value_name = "HOW")]
    pub(super) compression: Compression,

    /// Write layers that the stargz snapshotter mounts before they are pulled; others read them as gzip
    #[arg(long)]
    pub(super) estargz: bool,
}

/// The families of media types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The Open Container Initiative's
    Oci,
    /// Docker's, version 2 schema 2
    Docker,
}

/// The ways to compress layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Compression {
    /// Read by everything; what wheels hold is copied as it is
    Gzip,
    /// Smaller, and faster to unpack
    Zstd,
}

/// How code of the project is run at build time, where it has to be.
#[derive(Debug, Clone, Args)]
pub(super) struct Steps {
    /// How far code of the project is kept from this machine
    #[arg(long, value_enum, default_value_t = Isolation::Auto, value_name = "HOW")]
    pub(super) isolation: Isolation,

    /// Memory that one step may take, for instance 512M or 4G
    #[arg(long, value_name = "SIZE", default_value = "8G", value_parser = size)]
    pub(super) step_memory: u64,

    /// Time that one step may take, for instance 90s, 10m or 2h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = time)]
    pub(super) step_time: Duration,
}

/// The ways to run code of the project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Isolation {
    /// The strongest that works here
    Auto,
    /// In namespaces of its own
    Userns,
    /// In another root folder, for root where namespaces are refused
    Chroot,
    /// Not at all: where s2r stands in a container of an image that the builder made
    None,
}

impl Isolation {
    /// As it is typed.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Userns => "userns",
            Self::Chroot => "chroot",
            Self::None => "none",
        }
    }
}

/// Reads `512M`: bytes, or thousands of thousands by 1024.
fn size(text: &str) -> Result<u64, String> {
    let unit = text.trim_end_matches(['i', 'B', 'b']);
    let (digits, factor) = match unit.chars().last() {
        Some('k' | 'K') => (&unit[..unit.len() - 1], 1 << 10),
        Some('m' | 'M') => (&unit[..unit.len() - 1], 1 << 20),
        Some('g' | 'G') => (&unit[..unit.len() - 1], 1 << 30),
        _ => (unit, 1),
    };
    let count: Option<u64> = digits.parse().ok();
    count
        .and_then(|count| count.checked_mul(factor))
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "a size is a number with K, M or G, for instance 512M".to_owned())
}

/// Reads `10m`: seconds, minutes or hours.
fn time(text: &str) -> Result<Duration, String> {
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

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    s2r build . myimg\n  \
    s2r build ./src registry.example.com/team/app:1.0 --push\n  \
    s2r build https://git.example.com/team/app.git app -r v1.2 --context-dir web\n  \
    tar -c . | s2r build - app\n  \
    s2r build . app -e APP_MODULE=shop.wsgi:app -o docker-archive:app.tar")]
pub(super) struct Build {
    /// A folder, a git URL (#REF), a .tar.gz or .zip (file or URL), or - for a tar on stdin
    pub(super) source: PathBuf,

    /// The image's name; or, in s2i's order, a builder and the image's name
    #[arg(value_name = "[BUILDER] IMAGE", num_args = 0..=2)]
    pub(super) names: Vec<String>,

    #[command(flatten)]
    pub(super) project: Project,

    #[command(flatten)]
    pub(super) network: Network,

    #[command(flatten)]
    pub(super) steps: Steps,

    #[command(flatten)]
    pub(super) formats: Formats,

    #[command(flatten)]
    pub(super) registries: Registries,

    /// Push the image to the registry that its name says
    #[arg(long)]
    pub(super) push: bool,

    /// Start the image when it is built, as `s2r run` does
    #[arg(long)]
    pub(super) run: bool,

    /// A further name for the image; may be repeated
    #[arg(short = 't', long = "tag", value_name = "IMAGE")]
    pub(super) tags: Vec<String>,

    /// Use layers of this image in its registry again; may be repeated. --push looks at the image that its name has now by itself
    #[arg(long, value_name = "IMAGE", conflicts_with = "no_cache")]
    pub(super) cache_from: Vec<String>,

    /// Use no layers of images in registries; those of the store are used all the same
    #[arg(long)]
    pub(super) no_cache: bool,

    /// Also write the image: oci:DIR, oci-archive:FILE or docker-archive:FILE; may be repeated
    #[arg(short = 'o', long = "output", value_name = "TARGET")]
    pub(super) outputs: Vec<String>,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The image runs on the network of this machine, as the user that it names, over its own files; \
    what it writes is gone when it ends. Signals are passed on, and the exit status is its own (128 and more: a signal).\n\n\
    -p HOST:PORT: the image listens on PORT of this machine; if HOST is another port, s2r carries connections from there. \
    An image of s2r is told PORT by the variable of that name if it would listen elsewhere by itself.\n\n\
    Examples:\n  \
    s2r run myimg -p 9000:8080\n  \
    s2r run myimg -e APP_MODULE=shop.wsgi:app -p 5000\n  \
    s2r run myimg --user 1000680000 -- python -V"
)]
pub(super) struct Run {
    /// The image in the store
    pub(super) image: String,

    /// Reach the image's PORT at HOST; PORT alone for both; may be repeated
    #[arg(short = 'p', long = "publish", value_name = "[ADDRESS:]HOST:PORT")]
    pub(super) ports: Vec<Port>,

    /// Set a variable, or pass on the caller's; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,

    /// Run as this user, by number or name
    #[arg(short = 'u', long, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,

    /// How far the image is kept from this machine
    #[arg(long, value_enum, default_value_t = Isolation::Auto, value_name = "HOW")]
    pub(super) isolation: Isolation,

    /// What to run in place of the image's command
    #[arg(last = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Plan {
    /// A folder, a git URL (#REF), a .tar.gz or .zip (file or URL), or - for a tar on stdin
    pub(super) source: PathBuf,

    #[command(flatten)]
    pub(super) project: Project,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Lock {
    /// The project's folder; the locks are written into it
    pub(super) source: PathBuf,

    #[command(flatten)]
    pub(super) project: Project,

    #[command(flatten)]
    pub(super) steps: Steps,

    /// Ask the Debian suite again now, not only after an hour
    #[arg(long)]
    pub(super) refresh: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Push {
    /// The image in the store
    pub(super) image: String,
    /// Where to, if not by its own name
    pub(super) destination: Option<String>,

    #[command(flatten)]
    pub(super) registries: Registries,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Layers, variables and labels of the old base go, those of the new one come; what the application brought stays. \
    Only manifests and configs are read: layers are mounted, or copied from registry to registry.\n\n\
    The base has to have the same Python (two numbers) at the same path, a C library that is no older, and all packages of the old base; \
    if it has not, the image must be built anew. Of an image that s2r built its base is taken, or all of it if IMAGE stands on an image; any other is taken whole; a builder of packages has its base made anew.\n\n\
    The image is that of the store, or else that of its registry.\n\n\
    Examples:\n  \
    s2r rebase registry.example.com/team/app:1.0 --onto python:3.13-slim --push\n  \
    s2r rebase registry.example.com/team/app:1.0 --onto python-3.13 --push\n  \
    s2r rebase app --onto fresh --tag app:patched\n  \
    s2r rebase registry.example.com/team/app@sha256:… --onto base.yaml --tag registry.example.com/team/app:1.0 --push"
)]
pub(super) struct Rebase {
    /// The image, in the store or in a registry
    pub(super) image: String,

    /// What to put it on: an image in the store or in a registry, or a builder (its packages as they are now)
    #[arg(long, value_name = "IMAGE|BUILDER")]
    pub(super) onto: String,

    /// A name for what comes of it, in place of the image's; may be repeated
    #[arg(short = 't', long = "tag", value_name = "IMAGE")]
    pub(super) tags: Vec<String>,

    /// Push it to the registry that its name says
    #[arg(long)]
    pub(super) push: bool,

    #[command(flatten)]
    pub(super) registries: Registries,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "User and password are tried on the registry, and kept in --authfile, $REGISTRY_AUTH_FILE, \
    $DOCKER_CONFIG/config.json, or $XDG_RUNTIME_DIR/containers/auth.json, whichever is named first; or in the \
    credential helper that this file names.\n\n\
    Examples:\n  \
    s2r login registry.example.com\n  \
    echo \"$TOKEN\" | s2r login ghcr.io -u me --password-stdin"
)]
pub(super) struct Login {
    /// The registry: a host name, with a port or not
    pub(super) registry: String,

    /// The user; asked for if left out
    #[arg(short = 'u', long, value_name = "USER")]
    pub(super) username: Option<String>,

    /// Take the password from stdin, not from the terminal
    #[arg(long)]
    pub(super) password_stdin: bool,

    #[command(flatten)]
    pub(super) registries: Registries,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Logout {
    /// The registry: a host name, with a port or not
    pub(super) registry: String,

    /// The file of credentials
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Export {
    /// The image in the store
    pub(super) image: String,
    /// oci:DIR, oci-archive:FILE or docker-archive:FILE
    pub(super) target: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Remove {
    /// The images' names, or names with digests
    #[arg(required = true)]
    pub(super) images: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Inspect {
    /// The image in the store; with --check-base, also one in a registry
    pub(super) image: String,

    /// Ask the base's registry whether its name stands for a newer image now
    #[arg(long)]
    pub(super) check_base: bool,

    #[command(flatten)]
    pub(super) registries: Registries,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Builders {
    /// Print this builder's definition
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Usage {
    /// The builder's name
    #[arg(default_value = "python-3.13")]
    pub(super) builder: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct Cache {
    #[command(subcommand)]
    pub(super) action: Option<CacheAction>,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum CacheAction {
    /// Remove what no image in the store needs
    Prune {
        /// Downloads, fetched programs and records too
        #[arg(long)]
        all: bool,
    },
}

#[derive(Debug, Clone, Args)]
pub(super) struct Completion {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!(size("512M"), Ok(512 << 20));
        assert_eq!(size("4GiB"), Ok(4 << 30));
        assert_eq!(size("7"), Ok(7));
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        for wrong in [
            "",
            "0",
            "G",
            "ü",
            "-1",
            "99999999999999999999",
            "18446744073709551615G",
        ] {
            assert!(size(wrong).is_err() && time(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn both_orders_of_names_are_read() {
        for (words, names) in [
            (vec!["s2r", "build", "."], vec![]),
            (vec!["s2r", "build", ".", "img"], vec!["img"]),
            (
                vec!["s2r", "build", ".", "python-3.13", "img", "--push"],
                vec!["python-3.13", "img"],
            ),
        ] {
            let Command::Build(build) = Cli::try_parse_from(words).unwrap().command else {
                panic!("not a build");
            };
            assert_eq!(build.names, names);
        }
    }
}
