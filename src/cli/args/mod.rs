//! What may be typed. Owns the words of the command line and their help; what they mean is
//! decided in `request`.

mod options;

pub(super) use options::{
    BuildCheckOptions, BytecodeChoice, CacheOptions, CheckOptions, CompressionChoice,
    DebianOptions, FormatChoice, FormatOptions, ImageOptions, IsolationChoice, NetworkOptions,
    OutputOptions, ProgressChoice, ProjectOptions, RegistryOptions, StepOptions,
};

use std::path::PathBuf;

use crate::pipeline::PortMapping;
use clap::{Args, Parser, Subcommand};

/// Turn a Python web project into a container image: no daemon, no root.
#[derive(Debug, Parser)]
#[command(
    name = "s2r",
    version,
    arg_required_else_help = true,
    after_help = "Exit status: 0 done, 2 wrong command line, 65 the project is wrong, \
                  69 network, registry or disk failed, 70 s2r is wrong.\n\
                  stdout carries the result alone; everything else goes to stderr."
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,

    #[command(flatten)]
    pub(super) output: OutputOptions,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Build an image from a project: a folder, a git repository, an archive
    Build(Box<BuildArgs>),
    /// Start an image of the store here, without a daemon
    Run(RunArgs),
    /// Show what would be built and why; no network, nothing written
    Plan(PlanArgs),
    /// Write pylock.toml and s2r.lock: exact packages and base, for builds that repeat
    Lock(LockArgs),
    /// Write the settings that s2r makes for uWSGI and nginx into the project, to own and change them
    Eject(EjectArgs),
    /// Start an image as a restricted pod would, and see whether it answers
    Check(CheckArgs),
    /// Push an image from the store to its registry, or to another name
    Push(PushArgs),
    /// Put an image that s2r built on another base, without its sources
    Rebase(RebaseArgs),
    /// Keep user and password for a registry, where podman keeps them
    Login(LoginArgs),
    /// Forget user and password for a registry
    Logout(LogoutArgs),
    /// Write an image from the store to a file or folder
    Export(ExportArgs),
    /// List the images in the store
    Images,
    /// Remove images from the store
    Rm(RemoveArgs),
    /// Show an image: layers, sizes, contents, base, and how far it is behind
    Inspect(InspectArgs),
    /// List the builders, or print one
    Builders(BuildersArgs),
    /// Tell how projects for a builder are laid out and which variables it knows
    Usage(UsageArgs),
    /// Print the JSON Schema of s2r.yaml, for editors and checks
    Schema,
    /// Show what the store holds, or prune it
    Cache(CacheArgs),
    /// Print a completion script for a shell
    Completion(CompletionArgs),
    /// Print the version
    Version,
}

#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:\n  \
    s2r build                 (the folder one stands in)\n  \
    s2r build . myimg\n  \
    s2r build ./src registry.example.com/team/app:1.0 --push\n  \
    s2r build https://git.example.com/team/app.git app -r v1.2 --context-dir web\n  \
    tar -c . | s2r build - app\n  \
    s2r build . app -e APP_MODULE=shop.wsgi:app -o docker-archive:app.tar")]
pub(super) struct BuildArgs {
    /// A folder, a git URL (#REF), a .tar.gz or .zip (file or URL), or - for a tar on stdin
    #[arg(default_value = ".")]
    pub(super) source: PathBuf,

    /// The image's name, else it is called after the folder; or, in s2i's order, a builder and the image's name
    #[arg(value_name = "[BUILDER] IMAGE", num_args = 0..=2)]
    pub(super) names: Vec<String>,

    /// A further name for the image; may be repeated
    #[arg(short = 't', long = "tag", value_name = "IMAGE")]
    pub(super) tags: Vec<String>,

    /// Push the image to the registry that its name says
    #[arg(long)]
    pub(super) push: bool,

    /// Also write the image: oci:DIR, oci-archive:FILE or docker-archive:FILE; may be repeated
    #[arg(short = 'o', long = "output", value_name = "TARGET")]
    pub(super) outputs: Vec<String>,

    /// Start the image when it is built, as `s2r run` does
    #[arg(long)]
    pub(super) run: bool,

    /// Build without running the project's tests (`test` in s2r.yaml)
    #[arg(long)]
    pub(super) no_test: bool,

    // Groups with headings of their own come after what has none: clap puts under a heading all that follows it.
    #[command(flatten)]
    pub(super) project: ProjectOptions,

    #[command(flatten)]
    pub(super) image: ImageOptions,

    #[command(flatten)]
    pub(super) check: BuildCheckOptions,

    #[command(flatten)]
    pub(super) cache: CacheOptions,

    #[command(flatten)]
    pub(super) network: NetworkOptions,

    #[command(flatten)]
    pub(super) debian: DebianOptions,

    #[command(flatten)]
    pub(super) steps: StepOptions,

    #[command(flatten)]
    pub(super) formats: FormatOptions,

    #[command(flatten)]
    pub(super) registries: RegistryOptions,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The image runs on the network of this machine, as the user that it names, over its own files; \
    what it writes is gone when it ends. It may write where that user may in a container, and has no rights of root's. Signals are passed on, and the exit status is its own (128 and more: a signal).\n\n\
    -p HOST:PORT: the image listens on PORT of this machine; if HOST is another port, s2r carries connections from there. \
    An image of s2r is told PORT by the variable of that name if it would listen elsewhere by itself.\n\n\
    Examples:\n  \
    s2r run myimg -p 9000:8080\n  \
    s2r run myimg -e APP_MODULE=shop.wsgi:app -p 5000\n  \
    s2r run myimg --user 1000680000 -- python -V"
)]
pub(super) struct RunArgs {
    /// The image in the store: its name, its digest, or six and more digits of that
    pub(super) image: String,

    /// Reach the image's PORT at HOST; PORT alone for both; may be repeated
    #[arg(short = 'p', long = "publish", value_name = "[ADDRESS:]HOST:PORT")]
    pub(super) ports: Vec<PortMapping>,

    /// Set a variable, or pass on the caller's; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,

    /// Run as this user, by number or name
    #[arg(short = 'u', long, value_name = "UID[:GID]")]
    pub(super) user: Option<String>,

    /// As OpenShift's restricted-v2 with a read-only root: written to is /tmp alone, and the user, unless one is named, is one of a
    /// cluster's, 1000680000 with group 0
    #[arg(long)]
    pub(super) restricted: bool,

    /// How far the image is kept from this machine
    #[arg(long, value_enum, default_value_t = IsolationChoice::Auto, value_name = "HOW")]
    pub(super) isolation: IsolationChoice,

    /// What to run in place of the image's command: a process type of its Procfile, or a program
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(super) command: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct PlanArgs {
    /// A folder, a git URL (#REF), a .tar.gz or .zip (file or URL), or - for a tar on stdin
    #[arg(default_value = ".")]
    pub(super) source: PathBuf,

    #[command(flatten)]
    pub(super) project: ProjectOptions,

    #[command(flatten)]
    pub(super) image: ImageOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct LockArgs {
    /// The project's folder; the locks are written into it
    #[arg(default_value = ".")]
    pub(super) source: PathBuf,

    #[command(flatten)]
    pub(super) project: ProjectOptions,

    /// Ask the Debian suite again now, not only after an hour
    #[arg(long, help_heading = "Locks and network")]
    pub(super) refresh: bool,

    #[command(flatten)]
    pub(super) debian: DebianOptions,

    #[command(flatten)]
    pub(super) steps: StepOptions,

    #[command(flatten)]
    pub(super) formats: FormatOptions,

    /// Lock the layers too that do not depend on the source: they are made now, and a build then takes from an image in a
    /// registry only what has these digests. A lock that has layers keeps having them
    #[arg(long, help_heading = "Locks and network")]
    pub(super) layers: bool,
}

#[derive(Debug, Clone, Args)]
pub(super) struct EjectArgs {
    /// The project's folder; the files are written into it
    #[arg(default_value = ".")]
    pub(super) source: PathBuf,

    #[command(flatten)]
    pub(super) project: ProjectOptions,

    /// Replace files that are there
    #[arg(long)]
    pub(super) force: bool,
}

#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The image is started in a sandbox: as user 1000680000 with group 0, its root read-only and its /tmp its own, in 512 MiB of memory, \
    in a network of its own. Once it listens on its port (PORT, else the one that it exposes) it is asked for a path, and ended when it has answered. \
    Any status below 500 is an answer, unless --status names one; 502, 503 and 504 are waited out. Nothing that it would reach over a network is there.\n\n\
    An image that does not answer ends s2r with 65, and the error says what was seen of it and what its log says. It takes namespaces; where there are none, s2r ends with 69.\n\n\
    What a project wants of a check (`check: {path: /healthz, status: 200, within: 20s}` in its s2r.yaml), its image remembers in the label io.s2r.check; flags go before it.\n\n\
    Examples:\n  \
    s2r check myimg\n  \
    s2r check myimg --path /healthz --status 200 --within 30s\n  \
    s2r check myimg -e DATABASE_URL=sqlite:////tmp/db"
)]
pub(super) struct CheckArgs {
    /// The image in the store: its name, its digest, or six and more digits of that
    pub(super) image: String,

    #[command(flatten)]
    pub(super) wishes: CheckOptions,

    /// Set a variable, or pass on the caller's; may be repeated
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub(super) env: Vec<String>,

    /// How far the image is kept from this machine; auto or userns
    #[arg(long, value_enum, default_value_t = IsolationChoice::Auto, value_name = "HOW")]
    pub(super) isolation: IsolationChoice,
}

#[derive(Debug, Clone, Args)]
pub(super) struct PushArgs {
    /// The image in the store: its name, its digest, or six and more digits of that
    pub(super) image: String,
    /// Where to, if not by its own name
    pub(super) destination: Option<String>,

    #[command(flatten)]
    pub(super) registries: RegistryOptions,
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
pub(super) struct RebaseArgs {
    /// The image, in the store (by name or id) or in a registry
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
    pub(super) debian: DebianOptions,

    #[command(flatten)]
    pub(super) registries: RegistryOptions,
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
pub(super) struct LoginArgs {
    /// The registry: a host name, with a port or not
    pub(super) registry: String,

    /// The user; asked for if left out
    #[arg(short = 'u', long, value_name = "USER")]
    pub(super) username: Option<String>,

    /// Take the password from stdin, not from the terminal
    #[arg(long)]
    pub(super) password_stdin: bool,

    #[command(flatten)]
    pub(super) registries: RegistryOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct LogoutArgs {
    /// The registry: a host name, with a port or not
    pub(super) registry: String,

    /// The file of credentials
    #[arg(long, value_name = "FILE")]
    pub(super) authfile: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct ExportArgs {
    /// The image in the store: its name, its digest, or six and more digits of that
    pub(super) image: String,
    /// oci:DIR, oci-archive:FILE or docker-archive:FILE
    pub(super) target: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct RemoveArgs {
    /// The images' names or ids
    #[arg(required = true)]
    pub(super) images: Vec<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct InspectArgs {
    /// The image in the store, by name or id; with --check-base, also one in a registry
    pub(super) image: String,

    /// Ask the base's registry whether its name stands for a newer image now
    #[arg(long)]
    pub(super) check_base: bool,

    #[command(flatten)]
    pub(super) registries: RegistryOptions,
}

#[derive(Debug, Clone, Args)]
pub(super) struct BuildersArgs {
    /// Print this builder's definition
    pub(super) name: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub(super) struct UsageArgs {
    /// The builder's name
    #[arg(default_value = "python-3.13")]
    pub(super) builder: String,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CacheArgs {
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
    /// Read every blob, download and record of the store, and drop those that are damaged
    ///
    /// What is dropped is made or fetched again when a build wants it. Ends with 69 where something was
    /// damaged; other commands may run meanwhile.
    Verify,
}

#[derive(Debug, Clone, Args)]
pub(super) struct CompletionArgs {
    /// The shell
    pub(super) shell: clap_complete::Shell,
}

#[cfg(test)]
mod tests;
