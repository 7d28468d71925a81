//! What a failing build from source lacks, told by its last lines: headers and programs that the S2I
//! images have and s2r's build packages have not, with the Debian packages that bring them.

/// Headers, as compilers name them: the beginning of the path, and the package.
const HEADERS: [(&str, &str); 38] = [
    ("augeas.h", "libaugeas-dev"),
    ("bzlib.h", "libbz2-dev"),
    ("cairo", "libcairo2-dev"),
    ("cups/", "libcups2-dev"),
    ("curl/", "libcurl4-openssl-dev"),
    ("dbus/", "libdbus-1-dev"),
    ("expat.h", "libexpat1-dev"),
    ("ev.h", "libev-dev"),
    ("event2/", "libevent-dev"),
    ("ffi.h", "libffi-dev"),
    ("ft2build.h", "libfreetype-dev"),
    ("gd.h", "libgd-dev"),
    ("geos_c.h", "libgeos-dev"),
    ("gmp.h", "libgmp-dev"),
    ("gssapi", "libkrb5-dev"),
    ("jpeglib.h", "libjpeg-dev"),
    ("krb5", "libkrb5-dev"),
    ("lber.h", "libldap-dev"),
    ("ldap.h", "libldap-dev"),
    ("libmemcached/", "libmemcached-dev"),
    ("libpq", "libpq-dev"),
    ("librdkafka/", "librdkafka-dev"),
    ("libxml/", "libxml2-dev"),
    ("libxslt/", "libxslt1-dev"),
    ("ltdl.h", "libltdl-dev"),
    ("lzma.h", "liblzma-dev"),
    ("mysql", "libmariadb-dev"),
    ("openssl/", "libssl-dev"),
    ("pcap", "libpcap-dev"),
    ("pcre.h", "libpcre2-dev"),
    ("sasl/", "libsasl2-dev"),
    ("snappy", "libsnappy-dev"),
    ("sql.h", "unixodbc-dev"),
    ("sqlite3.h", "libsqlite3-dev"),
    ("systemd/", "libsystemd-dev"),
    ("yaml.h", "libyaml-dev"),
    ("zlib.h", "zlib1g-dev"),
    ("zmq.h", "libzmq3-dev"),
];
/// Programs and what pkg-config is asked for, in the lines that miss them.
const PROGRAMS: [(&str, &str); 14] = [
    ("apxs", "apache2-dev` and `perl"),
    ("curl-config", "libcurl4-openssl-dev"),
    ("gdal-config", "libgdal-dev"),
    ("gfortran", "gfortran"),
    ("krb5-config", "libkrb5-dev"),
    ("libxml2 and libxslt", "libxml2-dev` and `libxslt1-dev"),
    ("mariadb_config", "libmariadb-dev"),
    ("mysql_config", "libmariadb-dev"),
    ("mysqlclient", "libmariadb-dev"),
    ("pg_config", "libpq-dev"),
    ("xml2-config", "libxml2-dev"),
    ("xmlsec1", "libxmlsec1-dev"),
    ("xslt-config", "libxslt1-dev"),
    ("swig", "swig"),
];
/// How lines say that something is not there.
const MISSING: [&str; 8] = [
    "not found",
    "No such file",
    "not installed",
    "not to be installed",
    "not appear",
    "can not be found",
    "is required",
    "make sure",
];

/// The packages for `Aptfile`, as they stand between backquotes; none if the lines do not tell.
pub(super) fn packages(lines: &[String]) -> Option<&'static str> {
    lines
        .iter()
        .find_map(|line| header(line).or_else(|| program(line)))
}

/// `x.c:1:10: fatal error: libpq-fe.h: No such file or directory`
fn header(line: &str) -> Option<&'static str> {
    let (_, named) = line.split_once("fatal error: ")?;
    let (named, _) = named.split_once(": No such file")?;
    let found = HEADERS.iter().find(|(start, _)| named.starts_with(start));
    found.map(|(_, package)| *package)
}

fn program(line: &str) -> Option<&'static str> {
    if !MISSING.iter().any(|sign| line.contains(sign)) {
        return None;
    }
    let found = PROGRAMS.iter().find(|(name, _)| line.contains(name));
    found.map(|(_, package)| *package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_miss_something_lead_to_packages() {
        for (line, package) in [
            (
                "./psycopg/psycopg.h:35:10: fatal error: libpq-fe.h: No such file or directory",
                Some("libpq-dev"),
            ),
            (
                "RuntimeError: The 'apxs' command appears not to be installed or is not executable.",
                Some("apache2-dev` and `perl"),
            ),
            ("Error: pg_config executable not found.", Some("libpq-dev")),
            ("/bin/sh: 1: krb5-config: not found", Some("libkrb5-dev")),
            (
                "x.c:1:10: fatal error: own.h: No such file or directory",
                None,
            ),
            ("checking for pg_config... yes", None),
        ] {
            assert_eq!(
                packages(&["first".to_owned(), line.to_owned()]),
                package,
                "{line}"
            );
        }
    }
}
