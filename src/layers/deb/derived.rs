//! What the packages' maintainer scripts would have made, made here: users, the bundle of CA
//! certificates, links of usr-merge, the time zone.

use super::{
    BaseOptions,
    error::DebLayerError,
    gather::{DIRECTORY, GatheredFiles, NodeKind},
};
use crate::{archive::tar::EntryOwner, oci::Architecture};

/// Debian's own system users (`base-passwd`), and the user that the image runs as.
const PASSWD: &str = "\
root:x:0:0:root:/root:/bin/bash
daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin
bin:x:2:2:bin:/bin:/usr/sbin/nologin
sys:x:3:3:sys:/dev:/usr/sbin/nologin
mail:x:8:8:mail:/var/mail:/usr/sbin/nologin
www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
default:x:1001:0:Default Application User:/opt/app-root/src:/bin/bash
";

/// Debian's own system groups, as far as files or users name them.
const GROUP: &str = "\
root:x:0:
daemon:x:1:
bin:x:2:
sys:x:3:
adm:x:4:
tty:x:5:
disk:x:6:
mail:x:8:
www-data:x:33:
shadow:x:42:
utmp:x:43:
staff:x:50:
users:x:100:
nogroup:x:65534:
";

/// Where names are looked up.
const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files dns
networks: files
protocols: files
services: files
ethers: files
rpc: files
";

/// Longest certificate or profile that is copied, in bytes.
const MAX_COPIED_BYTES: u64 = 1 << 20;
/// The bundle that TLS libraries read.
const CA_BUNDLE: &str = "etc/ssl/certs/ca-certificates.crt";
/// Where the certificates are that the bundle is made of.
const CA_FOLDER: &str = "usr/share/ca-certificates/";

/// Adds what belongs into the system's layer.
pub(super) fn system(
    options: &BaseOptions,
    gathered: &mut GatheredFiles,
) -> Result<(), DebLayerError> {
    let merged: &[&str] = match options.architecture {
        Architecture::Amd64 => &["bin", "lib", "lib64", "sbin"],
        Architecture::Arm64 => &["bin", "lib", "sbin"],
    };
    for link in merged {
        gathered.put_link(link, &format!("usr/{link}"));
        gathered.put(&format!("usr/{link}"), NodeKind::Directory, DIRECTORY);
    }
    gathered.put_file("etc/passwd", PASSWD.as_bytes())?;
    gathered.put_file("etc/group", GROUP.as_bytes())?;
    gathered.put_file("etc/nsswitch.conf", NSSWITCH.as_bytes())?;
    gathered.put_file("etc/timezone", b"Etc/UTC\n")?;
    gathered.put_link("etc/localtime", "/usr/share/zoneinfo/Etc/UTC");
    for folder in ["tmp", "var/tmp"] {
        let everyone = EntryOwner {
            mode: 0o1777,
            ..DIRECTORY
        };
        gathered.put(folder, NodeKind::Directory, everyone);
    }
    shell(gathered);
    ca_bundle(gathered)?;
    let profile = gathered.files_below("usr/share/base-files/profile");
    if let Some((_, contents)) = profile.first() {
        let text = gathered.read(*contents, MAX_COPIED_BYTES)?;
        gathered.put_file("etc/profile", &text)?;
    }
    Ok(())
}

/// The shell of scripts. Debian's package `dash` has this link; an administrator may divert it to bash,
/// which is what it is in S2I's images: `source`, `function`, `trap f SIGTERM` are known there.
pub(super) const SHELL: &str = "usr/bin/sh";

/// The link that a diversion would have made.
fn shell(gathered: &mut GatheredFiles) {
    if gathered.get("usr/bin/bash").is_some() {
        gathered.remove(SHELL);
    }
    for target in ["bash", "dash"] {
        if gathered.get(&format!("usr/bin/{target}")).is_some() {
            gathered.put_link(SHELL, target);
        }
    }
}

/// All certificates of the package `ca-certificates` in one file, sorted by name, and the links by
/// which OpenSSL finds it. Links by subject hash are not made: OpenSSL asks the file first.
fn ca_bundle(gathered: &mut GatheredFiles) -> Result<(), DebLayerError> {
    let mut bundle = Vec::new();
    let mut names = String::new();
    for (path, contents) in gathered.files_below(CA_FOLDER) {
        let Some(name) = path
            .strip_prefix(CA_FOLDER)
            .filter(|name| name.as_bytes().ends_with(b".crt"))
        else {
            continue;
        };
        names.push_str(name);
        names.push('\n');
        let certificate = gathered.read(contents, MAX_COPIED_BYTES)?;
        bundle.extend_from_slice(certificate.trim_ascii_end());
        bundle.push(b'\n');
    }
    if bundle.is_empty() {
        return Ok(());
    }
    gathered.put_file(CA_BUNDLE, &bundle)?;
    gathered.put_file("etc/ca-certificates.conf", names.as_bytes())?;
    gathered.put_link("usr/lib/ssl/cert.pem", &format!("/{CA_BUNDLE}"));
    gathered.put_link("usr/lib/ssl/certs", "/etc/ssl/certs");
    gathered.put_link("usr/lib/ssl/openssl.cnf", "/etc/ssl/openssl.cnf");
    Ok(())
}

/// Takes out what the base has decided already, and makes what scripts would have made.
pub(super) fn added(gathered: &mut GatheredFiles) {
    gathered.remove(SHELL);
    for name in FONT_RULES {
        let rule = format!("{FONT_RULES_FOLDER}/{name}");
        if gathered.get(&rule).is_some() {
            gathered.put_link(&format!("etc/fonts/conf.d/{name}"), &format!("/{rule}"));
        }
    }
}

/// The rules of fonts that `fontconfig-config` chooses where nobody is asked.
const FONT_RULES: [&str; 2] = ["10-hinting-slight.conf", "70-no-bitmaps-except-emoji.conf"];
const FONT_RULES_FOLDER: &str = "usr/share/fontconfig/conf.avail";

/// Adds what belongs into the interpreter's layer.
pub(super) fn interpreter(
    options: &BaseOptions,
    gathered: &mut GatheredFiles,
) -> Result<(), DebLayerError> {
    let interpreter = format!("python{}", options.python);
    if gathered.get(&format!("usr/bin/{interpreter}")).is_none() {
        return Err(DebLayerError::NoMember {
            package: interpreter,
            member: "usr/bin/pythonX.Y",
        });
    }
    gathered.put_link("usr/bin/python3", &interpreter);
    Ok(())
}
