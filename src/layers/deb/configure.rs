//! What the maintainer scripts of packages would do that is not done by data: which programs are to be run over the
//! layer, and what stays undone and is told. Scripts are read, never run.
//!
//! Done by data, elsewhere: the loader's cache, alternatives, users and certificates of the base, fontconfig's choices.
//! Needless in an image: what starts and stops services, caches that only save time (fontconfig's, gio's, icons',
//! byte code), and what follows an upgrade. Of the rest, generators whose output is a file of a known folder are run in
//! the sandbox. Every other program is told by its name, in whatever branch of the script it stands.

use super::gather::Script;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::alternatives::{self, InstallCommand};
use super::view::LayerView;
use crate::oci::Architecture;

/// What is left to do for the packages of a layer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scripts {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undone: Vec<Undone>,
}

impl Scripts {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty() && self.undone.is_empty()
    }
}

/// A program that is to be run over the layer and those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Whose script asks for it.
    pub package: String,
    /// Program, by its absolute path, and arguments.
    pub command: Vec<String>,
    /// How paths of the image begin that it writes, without a leading slash.
    pub writes: String,
    /// What does not work without it.
    pub without: String,
}

/// What a package's script would have run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Undone {
    pub package: String,
    /// Names of the programs.
    pub programs: Vec<String>,
}

/// A program that makes files of others; `{arch}` is the folder of an architecture.
struct Generator {
    program: &'static str,
    arguments: &'static [&'static str],
    /// Where its input lies, and a part of its names: without any there is nothing to make.
    input: (&'static str, &'static str),
    writes: &'static str,
    without: &'static str,
}

const GENERATORS: [Generator; 6] = [
    Generator {
        program: "libgvc6-config-update",
        arguments: &["-c"],
        input: ("usr/lib/{arch}/graphviz", "libgvplugin_"),
        writes: "usr/lib/{arch}/graphviz/config",
        without: "`dot` finds no layout engine",
    },
    Generator {
        program: "gdk-pixbuf-query-loaders",
        arguments: &["--update-cache"],
        input: ("usr/lib/{arch}/gdk-pixbuf-2.0/2.10.0/loaders", ".so"),
        writes: "usr/lib/{arch}/gdk-pixbuf-2.0/",
        without: "gdk-pixbuf reads only the formats that are built in",
    },
    Generator {
        program: "glib-compile-schemas",
        arguments: &["/usr/share/glib-2.0/schemas"],
        input: ("usr/share/glib-2.0/schemas", ".gschema.xml"),
        writes: "usr/share/glib-2.0/schemas/gschemas.compiled",
        without: "programs that read GSettings end at once",
    },
    Generator {
        program: "update-mime-database",
        arguments: &["/usr/share/mime"],
        input: ("usr/share/mime/packages", ".xml"),
        writes: "usr/share/mime/",
        without: "types of files are guessed from their names alone",
    },
    Generator {
        program: "update-gsfontmap",
        arguments: &[],
        input: ("etc/ghostscript/fontmap.d", ".conf"),
        writes: "var/lib/ghostscript/",
        without: "Ghostscript knows its own fonts alone",
    },
    Generator {
        program: "gtk-query-immodules-3.0",
        arguments: &["--update-cache"],
        input: ("usr/lib/{arch}/gtk-3.0/3.0.0/immodules", ".so"),
        writes: "usr/lib/{arch}/gtk-3.0/",
        without: "GTK has no input methods",
    },
];

/// Commands of shells, and programs that only look at something or say something.
const LOOKING: &[&str] = &[
    ".",
    ":",
    "[",
    "awk",
    "basename",
    "break",
    "case",
    "cat",
    "cd",
    "cmp",
    "continue",
    "cut",
    "date",
    "db_capb",
    "db_get",
    "db_go",
    "db_input",
    "db_metaget",
    "db_stop",
    "db_subst",
    "db_title",
    "db_version",
    "dirname",
    "dpkg",
    "dpkg-query",
    "dpkg-architecture",
    "echo",
    "egrep",
    "eval",
    "exit",
    "export",
    "expr",
    "false",
    "fgrep",
    "find",
    "for",
    "function",
    "getent",
    "grep",
    "head",
    "id",
    "in",
    "local",
    "ls",
    "md5sum",
    "mktemp",
    "mountpoint",
    "pidof",
    "printf",
    "read",
    "readlink",
    "realpath",
    "return",
    "sed",
    "set",
    "sha256sum",
    "shift",
    "sleep",
    "sort",
    "source",
    "ss",
    "stat",
    "tail",
    "test",
    "tr",
    "trap",
    "true",
    "type",
    "umask",
    "uname",
    "uniq",
    "unset",
    "wc",
    "which",
    "xargs",
];

/// Programs whose work nobody misses in an image, or that is done by data.
const NEEDLESS: &[&str] = &[
    // Services, which nothing starts in a container.
    "deb-systemd-helper",
    "deb-systemd-invoke",
    "invoke-rc.d",
    "systemctl",
    "systemd-tmpfiles",
    "update-rc.d",
    "update-binfmts",
    "journalctl",
    "sysctl",
    "ischroot",
    "service",
    // What follows upgrades, and dpkg's own books.
    "db_fset",
    "db_purge",
    "db_reset",
    "db_set",
    "db_unregister",
    "dpkg-divert",
    "dpkg-maintscript-helper",
    "dpkg-statoverride",
    "dpkg-trigger",
    "rm",
    "rmdir",
    "ucf",
    "ucfr",
    "mkdir",
    "touch",
    // Caches that save time and nothing else.
    "fc-cache",
    "gio-querymodules",
    "gtk-update-icon-cache",
    "gtk-update-icon-cache-3.0",
    "py3compile",
    "py3clean",
    "pypy3compile",
    "update-desktop-database",
    "update-icon-caches",
    "update-menus",
    "mandb",
    // Done by data.
    "ldconfig",
    "update-alternatives",
    "update-ca-certificates",
];

/// Packages whose scripts do nothing that is missed in an image, or whose choices are made by data: those of a system
/// that boots and in which somebody logs in, which libraries drag along, and what sets rights of its own files.
const EXEMPT: &[&str] = &[
    "adduser",
    "base-files",
    "base-passwd",
    "bash",
    "dash",
    "dbus",
    "dbus-daemon",
    "dbus-system-bus-common",
    "debconf",
    "debianutils",
    "dpkg",
    "fontconfig-config",
    "init-system-helpers",
    "iproute2",
    "java-common",
    "libc-bin",
    "libc6",
    "libgcrypt20",
    "libgssapi-krb5-2",
    "libpam-modules",
    "libpam-runtime",
    "libpam-systemd",
    "libpam0g",
    "libpython3.11-minimal",
    "libpython3.13-minimal",
    "libpython3.14-minimal",
    "login.defs",
    "openjdk-17-jre-headless",
    "openjdk-21-jre-headless",
    "openssh-client",
    "passwd",
    "perl",
    "perl-base",
    "postgresql-client-15",
    "postgresql-client-17",
    "procps",
    "python3",
    "python3.11",
    "python3.11-minimal",
    "python3.13",
    "python3.13-minimal",
    "python3.14",
    "python3.14-minimal",
    "readline-common",
    "systemd",
    "systemd-sysv",
    "tzdata",
    "util-linux",
    "x11-common",
];

/// Whether a package's scripts and programs are of no use to an application in an image.
pub(super) fn is_exempt(package: &str) -> bool {
    EXEMPT.contains(&package)
}

/// The folder of an architecture's libraries.
fn arch(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Amd64 => "x86_64-linux-gnu",
        Architecture::Arm64 => "aarch64-linux-gnu",
    }
}

/// What is left to do for the packages on top.
pub(super) fn left(architecture: Architecture, view: &LayerView<'_>) -> Scripts {
    let mut left = Scripts::default();
    for script in &view.top.scripts {
        if is_exempt(&script.package) {
            continue;
        }
        let mut programs: Vec<String> = Vec::new();
        for path in script.programs() {
            let name = path.rsplit('/').next().unwrap_or(path);
            if let Some(generator) = GENERATORS.iter().find(|one| one.program == name) {
                let run = generator.run(path, script, architecture, view);
                left.runs.extend(
                    run.filter(|run| !left.runs.iter().any(|other| other.command == run.command)),
                );
            } else if !programs.iter().any(|one| one == name) {
                programs.push(name.to_owned());
            }
        }
        if script.has_unknown_choice() {
            programs.push("update-alternatives".to_owned());
        }
        if !programs.is_empty() {
            left.undone.push(Undone {
                package: script.package.clone(),
                programs,
            });
        }
    }
    left
}

impl Script {
    /// Whether it installs an alternative that only running it would tell.
    fn has_unknown_choice(&self) -> bool {
        let mut commands = self.commands.iter();
        commands.any(|command| {
            matches!(
                alternatives::install(command, &self.package),
                Some(InstallCommand::Unknown)
            )
        })
    }

    /// Programs that do something, as the script names them. What it names by way of something unknown is none.
    fn programs(&self) -> impl Iterator<Item = &str> {
        let words = self.commands.iter().filter_map(|words| words.first());
        words.filter_map(|word| word.as_deref()).filter(|word| {
            let name = word.rsplit('/').next().unwrap_or(word);
            let is_name = |letter: char| letter.is_ascii_alphanumeric() || "-_.+/".contains(letter);
            name.starts_with(|letter: char| letter.is_ascii_alphabetic())
                && word.chars().all(is_name)
                && !LOOKING.contains(&name)
                && !NEEDLESS.contains(&name)
                && !self.functions.contains(*word)
        })
    }
}

impl Generator {
    fn run(
        &self,
        path: &str,
        script: &Script,
        architecture: Architecture,
        view: &LayerView<'_>,
    ) -> Option<Run> {
        let of_arch = |text: &str| text.replace("{arch}", arch(architecture));
        let folders = ["", "/usr/sbin/", "/usr/bin/"];
        let mut paths = folders.iter().map(|folder| format!("{folder}{path}"));
        // Scripts look whether it is there, too.
        let program =
            paths.find(|path| path.starts_with('/') && view.resolve(path.as_bytes()).is_some())?;
        let (folder, part) = self.input;
        let names = view.names_in(of_arch(folder).as_bytes());
        let has_input = names
            .iter()
            .any(|name| String::from_utf8_lossy(name).contains(part));
        let arguments = self.arguments.iter().map(|&word| word.to_owned());
        has_input.then(|| Run {
            package: script.package.clone(),
            command: std::iter::once(program).chain(arguments).collect(),
            writes: of_arch(self.writes),
            without: self.without.to_owned(),
        })
    }
}

/// The names of a script's functions.
pub(super) fn functions(script: &str) -> BTreeSet<String> {
    let is_name = |name: &str| {
        let mut letters = name.bytes();
        letters.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
    };
    let names = script.lines().filter_map(|line| {
        let head = line.split('(').next().filter(|_| line.contains('('));
        let name = match line.trim_start().strip_prefix("function ") {
            Some(rest) => rest.split([' ', '(', '{']).next()?,
            None => head
                .filter(|_| line.replace(' ', "").contains("()"))?
                .trim(),
        };
        (!name.is_empty() && is_name(name)).then(|| name.to_owned())
    });
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_scripts() {
        let script = "a() {\n}\n  b_c () { x; }\nfunction d {\n}\nif (e); then f \"$(g)\"; fi\n";
        let found: Vec<String> = functions(script).into_iter().collect();
        assert_eq!(found, ["a", "b_c", "d"]);
    }
}
