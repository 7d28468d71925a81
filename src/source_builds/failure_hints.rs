//! What a build from source missed, read from the last lines that it wrote, and the Debian packages
//! that bring it.
//!
//! A table of what Python's packages are known to want. Compilers, the makers of makefiles and setup scripts each
//! have their own words for a thing that is not there, so signs are parts of lines. The names are those of
//! trixie; where bookworm's differ, both stand there.

/// What is missing, by what a line has of it.
struct MissingThing {
    /// Parts of lines, any of which tells.
    signs: &'static [&'static str],
    /// Debian packages that are needed to build; blanks between.
    build: &'static str,
    /// Debian packages that the built program needs; blanks between, empty if the base has them.
    run: &'static str,
    /// A package of the index that does without all this, if there is one.
    instead: &'static str,
}

const fn thing(
    signs: &'static [&'static str],
    build: &'static str,
    run: &'static str,
    instead: &'static str,
) -> MissingThing {
    MissingThing {
        signs,
        build,
        run,
        instead,
    }
}

/// Known things, those with the more telling signs first.
const THINGS: &[MissingThing] = &[
    thing(
        &[
            "pg_config executable not found",
            "libpq-fe.h",
            "'pg_config'",
        ],
        "libpq-dev",
        "libpq5",
        "psycopg2-binary, or psycopg[binary]",
    ),
    thing(
        &[
            "mysqlclient",
            "libmariadb",
            "mysql_config",
            "mariadb_config",
            "mysql.h",
            "mysql/",
        ],
        "default-libmysqlclient-dev",
        "libmariadb3",
        "PyMySQL",
    ),
    thing(
        &["lber.h", "ldap.h"],
        "libldap-dev libsasl2-dev",
        "libldap2 (bookworm: libldap-2.5-0) libsasl2-2",
        "ldap3",
    ),
    thing(&["sasl/sasl.h", "sasl.h"], "libsasl2-dev", "libsasl2-2", ""),
    thing(
        &[
            "libxml2 and libxslt",
            "xslt-config",
            "xml2-config",
            "libxml/",
            "libxslt/",
        ],
        "libxml2-dev libxslt1-dev",
        "libxml2 libxslt1.1",
        "",
    ),
    thing(
        &["xmlsec1", "xmlsec/"],
        "libxmlsec1-dev",
        "libxmlsec1-openssl",
        "",
    ),
    thing(
        &["girepository-2.0"],
        "libgirepository-2.0-dev libcairo2-dev",
        "libgirepository-2.0-0 libcairo2",
        "",
    ),
    thing(
        &["\"cairo\" not found", "'cairo' not found", "cairo.h"],
        "libcairo2-dev",
        "libcairo2",
        "",
    ),
    thing(
        &["curl-config", "curl/curl.h"],
        "libcurl4-openssl-dev",
        "libcurl4",
        "",
    ),
    thing(
        &[
            "for jpeg",
            "jpeglib.h",
            "The headers or library files could not be found for",
        ],
        "libjpeg-dev zlib1g-dev libfreetype-dev",
        "libjpeg62-turbo libfreetype6",
        "",
    ),
    thing(&["ft2build.h"], "libfreetype-dev", "libfreetype6", ""),
    thing(&["ffi.h"], "libffi-dev", "libffi8", ""),
    thing(
        &["openssl/", "Could not find OpenSSL"],
        "libssl-dev",
        "",
        "",
    ),
    thing(
        &["gdal-config", "gdal.h", "gdal_config"],
        "libgdal-dev",
        "libgdal36 (bookworm: libgdal32)",
        "",
    ),
    thing(
        &["geos-config", "geos_c.h"],
        "libgeos-dev",
        "libgeos-c1t64 (bookworm: libgeos-c1v5)",
        "",
    ),
    thing(
        &["graphviz/cgraph.h", "graphviz/types.h"],
        "libgraphviz-dev",
        "graphviz",
        "",
    ),
    thing(
        &["dbus/dbus.h", "dbus-1"],
        "libdbus-1-dev libglib2.0-dev",
        "libdbus-1-3 libglib2.0-0",
        "",
    ),
    thing(&["<sql.h>", " sql.h"], "unixodbc-dev", "unixodbc", ""),
    thing(&["apxs"], "apache2-dev", "apache2", ""),
    thing(&["portaudio.h"], "portaudio19-dev", "libportaudio2", ""),
    thing(&["snappy-c.h"], "libsnappy-dev", "libsnappy1v5", ""),
    thing(&["<yaml.h>", " yaml.h"], "libyaml-dev", "libyaml-0-2", ""),
    thing(&["zmq.h", "libzmq"], "libzmq3-dev", "libzmq5", ""),
    thing(
        &["sodium.h", "libsodium"],
        "libsodium-dev",
        "libsodium23",
        "",
    ),
    thing(
        &["mpfr.h", "gmp.h"],
        "libgmp-dev libmpfr-dev",
        "libgmp10 libmpfr6",
        "",
    ),
    thing(
        &["krb5-config", "gssapi", "krb5.h", "krb5/"],
        "libkrb5-dev",
        "libgssapi-krb5-2",
        "",
    ),
    thing(
        &["libusb.h", "libusb-1.0"],
        "libusb-1.0-0-dev",
        "libusb-1.0-0",
        "",
    ),
    thing(
        &["libsystemd", "systemd/sd-"],
        "libsystemd-dev",
        "libsystemd0",
        "",
    ),
    thing(&["rrd.h"], "librrd-dev", "librrd8", ""),
    thing(&[" augeas.h"], "libaugeas-dev", "libaugeas0", ""),
    thing(&["cups/"], "libcups2-dev", "libcups2", ""),
    thing(&[" expat.h"], "libexpat1-dev", "", ""),
    thing(&[" ev.h"], "libev-dev", "libev4", ""),
    thing(&["event2/"], "libevent-dev", "libevent-2.1-7", ""),
    thing(&[" gd.h"], "libgd-dev", "libgd3", ""),
    thing(&["libmemcached/"], "libmemcached-dev", "libmemcached11", ""),
    thing(&["librdkafka"], "librdkafka-dev", "librdkafka1", ""),
    thing(&[" ltdl.h"], "libltdl-dev", "libltdl7", ""),
    thing(&["pcap"], "libpcap-dev", "libpcap0.8", ""),
    thing(&[" pcre.h", " pcre2.h"], "libpcre2-dev", "libpcre2-8-0", ""),
    thing(&["lzma.h"], "liblzma-dev", "", ""),
    thing(&["bzlib.h"], "libbz2-dev", "", ""),
    thing(&["zlib.h"], "zlib1g-dev", "", ""),
    thing(&["sqlite3.h"], "libsqlite3-dev", "", ""),
    thing(
        &["OpenBLAS", "openblas", "lapack"],
        "libopenblas-dev gfortran",
        "libopenblas0 libgfortran5",
        "",
    ),
    thing(&["gfortran"], "gfortran", "libgfortran5", ""),
    thing(
        &["CMake must be installed", "cmake: not found", "'cmake'"],
        "cmake",
        "",
        "",
    ),
    thing(&["swig"], "swig", "", ""),
    thing(
        &[
            "can't find Rust compiler",
            "Rust package manager",
            "'cargo'",
            "'rustc'",
        ],
        "cargo",
        "",
        "",
    ),
];

/// Signs of code that is older than the Python or the setuptools that builds it, and what helps.
const AGED: &[(&[&str], &str)] = &[
    (
        &[
            "ImpImporter",
            "No module named 'distutils'",
            "No module named 'imp'",
        ],
        "it was written for an older Python: ask for a newer version of it, or for an older Python (`3.11` in .python-version)",
    ),
    (
        &[
            "No module named 'pkg_resources'",
            "use_2to3",
            "install_layout",
        ],
        "it was written for an older setuptools: ask for a newer version of it, or write `setuptools<81` (`<58` for use_2to3) into a file and name that in PIP_CONSTRAINT",
    ),
    (
        &["versioningit could not find a version"],
        "versioningit reads the version from git, which knows no tag of this commit (fetch them: git fetch --tags --unshallow) or is not there: write `default-version = \"1.0\"` below [tool.versioningit] in pyproject.toml",
    ),
    (
        &["Unable to detect version control system"],
        "it reads its version from git, which is not in a build: set POETRY_DYNAMIC_VERSIONING_BYPASS=1.0 in .s2i/environment or with -e",
    ),
    (
        &[
            "unable to detect version",
            "SETUPTOOLS_SCM_PRETEND_VERSION",
            "PBR_VERSION",
        ],
        "it reads its version from git, which knows no tag of this commit (fetch them: git fetch --tags --unshallow) or is not there: set SETUPTOOLS_SCM_PRETEND_VERSION (PBR_VERSION for pbr) in .s2i/environment or with -e",
    ),
];

/// What to do about what the lines say, the last of them first; none if they say nothing that is known,
/// or miss what packages bring that the project has asked for already.
pub(crate) fn advice(lines: &[String], asked: &[String]) -> Option<String> {
    lines.iter().rev().find_map(|line| of_line(line, asked))
}

fn of_line(line: &str, asked: &[String]) -> Option<String> {
    let has = |signs: &[&str]| signs.iter().any(|sign| line.contains(sign));
    if let Some((_, advice)) = AGED.iter().find(|(signs, _)| has(signs)) {
        return Some((*advice).to_owned());
    }
    // A command that failed names all that it was told; only what it then says is a sign.
    if line.contains("returned non-zero exit status") && line.contains("Command '[") {
        return None;
    }
    let header = header(line);
    let is_missing = header.is_some()
        || [
            "not found",
            "No such file",
            "Unable to find",
            "could not be found",
            "Could not find",
            "Could NOT find",
            "not installed",
            "not to be installed",
            "cannot find",
            "can't find",
            "Can not find",
            "must be installed",
            "can not be found",
            "is required",
            "are installed",
            "non-zero exit status",
            "Unknown compiler",
        ]
        .iter()
        .any(|words| line.contains(words));
    if let Some(thing) = THINGS.iter().find(|thing| is_missing && has(thing.signs)) {
        let mut names = thing.build.split(' ');
        let is_new = names.any(|name| !asked.iter().any(|one| one == name));
        return is_new.then(|| told(thing));
    }
    header.map(|header| {
        format!(
            "the header {header} is missing: find the Debian package that has it (its name ends in -dev), and name it in Aptfile, with the library that it is for"
        )
    })
}

/// The header that a compiler looked for in vain.
fn header(line: &str) -> Option<&str> {
    let (_, after) = line.split_once("fatal error: ")?;
    let (header, _) = after.split_once(": No such file")?;
    (header.len() <= 100).then_some(header)
}

fn told(thing: &MissingThing) -> String {
    let mut text = format!("name in Aptfile, one a line: {}, to build it", thing.build);
    if !thing.run.is_empty() {
        text.push_str(&format!("; and {}, which it needs to run", thing.run));
    }
    if !thing.instead.is_empty() {
        text.push_str(&format!("; {} does without", thing.instead));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::source_builds::failure_hints::*;

    fn advice_for(text: &str) -> String {
        let lines: Vec<String> = text.lines().map(ToOwned::to_owned).collect();
        advice(&lines, &[]).unwrap_or_default()
    }

    #[test]
    fn what_builds_say_names_packages() {
        for (lines, part) in [
            (
                "Error: pg_config executable not found.",
                "libpq-dev, to build it; and libpq5",
            ),
            (
                "Modules/common.h:15:10: fatal error: lber.h: No such file or directory\ncompilation terminated.\nerror: Command '['gcc', '-DHAVE_SASL', '-o', 'openssl/x']' returned non-zero exit status 1.",
                "libldap-dev libsasl2-dev",
            ),
            (
                "Command 'pkg-config --exists mysqlclient' returned non-zero exit status 1.\n  File \"<string>\", line 27\nException: Can not find valid pkg-config name.",
                "default-libmysqlclient-dev",
            ),
            (
                "../cairo/meson.build:31:12: ERROR: Dependency \"cairo\" not found (tried pkg-config)\n\nA full log can be found at /x",
                "libcairo2-dev",
            ),
            (
                "RuntimeError: The 'apxs' command appears not to be installed or is not executable. Please check the list of prerequisites in the documentation for this package and install any missing Apache httpd server packages.",
                "apache2-dev",
            ),
            (
                "Error: Please make sure the libxml2 and libxslt development packages are installed.",
                "libxslt1-dev",
            ),
            (
                "../meson.build:91:2: ERROR: Unknown compiler(s): [['gfortran'], ['flang']]\nThe following exception(s) were encountered:",
                "gfortran",
            ),
            (
                "AttributeError: module 'pkgutil' has no attribute 'ImpImporter'. Did you mean: 'zipimporter'?",
                "older Python",
            ),
            (
                "x.c:1:10: fatal error: quux/quux.h: No such file or directory",
                "the header quux/quux.h",
            ),
        ] {
            let found = advice_for(lines);
            assert!(found.contains(part), "{lines}: {found}");
        }
    }

    #[test]
    fn headers_and_programs_are_told_apart_from_their_names_alone() {
        for (line, part) in [
            (
                "./psycopg/psycopg.h:35:10: fatal error: libpq-fe.h: No such file or directory",
                "libpq-dev",
            ),
            ("/bin/sh: 1: krb5-config: not found", "libkrb5-dev"),
            (
                "x.c:1:10: fatal error: ev.h: No such file or directory",
                "libev-dev",
            ),
        ] {
            assert!(advice_for(line).contains(part), "{line}");
        }
    }

    #[test]
    fn what_is_asked_for_already_is_not_advised() {
        let lines = ["/bin/sh: 1: krb5-config: not found".to_owned()];
        assert!(advice(&lines, &["libpq-dev".to_owned()]).is_some());
        assert_eq!(advice(&lines, &["libkrb5-dev".to_owned()]), None);
    }

    #[test]
    fn other_lines_say_nothing() {
        for line in [
            "",
            "checking for openssl/ssl.h... yes",
            "SyntaxError: invalid syntax",
            "copying build/lib/x/yaml.h.py",
            "error: Command '['gcc', '-lmysqlclient']' returned non-zero exit status 1.",
        ] {
            assert_eq!(advice_for(line), "", "{line}");
        }
    }
}
