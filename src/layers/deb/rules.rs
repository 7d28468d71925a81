//! Where a package's entry goes, and whether it goes anywhere.
//!
//! usr-merge: `/bin`, `/sbin` and `/lib*` live under `/usr`, and links stand in their place, in
//! every suite. Left out: what nobody reads in a container.

/// Directories at the root that are links into `/usr`.
pub(super) const MERGED: [&[u8]; 6] = [b"bin", b"sbin", b"lib", b"lib32", b"lib64", b"libx32"];

/// Folders that are left out with all that is in them. Copyright files of `usr/share/doc` are kept
/// by [`is_wanted`]; a folder of its own package may come back by way of the builder's locale.
const UNWANTED: [&str; 22] = [
    "usr/share/man",
    "usr/share/info",
    "usr/share/locale",
    "usr/share/lintian",
    "usr/share/bug",
    "usr/share/doc-base",
    "usr/share/bash-completion",
    "usr/share/zsh",
    "usr/share/fish",
    "usr/share/menu",
    "usr/share/gdb",
    "usr/share/gcc",
    "usr/share/applications",
    "usr/share/pixmaps",
    "usr/share/icons",
    "usr/share/debhelper",
    "usr/share/apport",
    "usr/share/initramfs-tools",
    "usr/lib/systemd",
    "usr/lib/tmpfiles.d",
    "usr/lib/valgrind",
    "etc/apport",
];

/// Programs that no image needs: who is logged in, `ls` by other names, and the compiler of locales whose sources are not there.
const UNWANTED_PROGRAMS: [&[u8]; 6] = [b"dir", b"localedef", b"pinky", b"users", b"vdir", b"who"];

/// Parts of Python's library that a server does not need and that are large: its own tests, the
/// editor, the tool kit without its packages, the installer of a pip that comes by wheel.
const UNWANTED_PYTHON: [&str; 9] = [
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "pydoc_data",
    "ctypes/test",
    "sqlite3/test",
];

/// Compiled modules by which Python tests itself, by the beginning of their names.
const UNWANTED_MODULES: [&str; 3] = [
    "lib-dynload/_test",
    "lib-dynload/_ctypes_test",
    "lib-dynload/xxlimited",
];

/// Converters between character sets that are kept: those that newer suites keep in `libc6` itself.
const KEPT_CONVERTERS: [&[u8]; 12] = [
    b"gconv-modules",
    b"gconv-modules.cache",
    b"ISO8859-1.so",
    b"ISO8859-15.so",
    b"CP1252.so",
    b"ANSI_X3.110.so",
    b"UNICODE.so",
    b"UTF-7.so",
    b"UTF-16.so",
    b"UTF-32.so",
    b"UCS-2.so",
    b"UCS-4.so",
];

/// The path of an entry in the layer, without `./` and without a slash at its end; `None` for the
/// root and for the links of usr-merge, which the layer makes by itself.
pub(super) fn place(path: &[u8]) -> Option<Vec<u8>> {
    let path = path.strip_prefix(b".").unwrap_or(path);
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path.is_empty() || MERGED.contains(&path) {
        return None;
    }
    let top = path.split(|byte| *byte == b'/').next().unwrap_or_default();
    if MERGED.contains(&top) {
        return Some([b"usr/", path].concat());
    }
    Some(path.to_vec())
}

/// A link's target, for a link that usr-merge moved one folder down: climbing targets that left
/// the old top folder become absolute.
pub(super) fn link_target(original: &[u8], target: &[u8]) -> Vec<u8> {
    let original = original.strip_prefix(b".").unwrap_or(original);
    let original = original.strip_prefix(b"/").unwrap_or(original);
    let mut folders: Vec<&[u8]> = original.split(|byte| *byte == b'/').collect();
    folders.pop();
    let moved = folders.first().is_some_and(|top| MERGED.contains(top));
    if !moved || target.starts_with(b"/") {
        return target.to_vec();
    }
    let mut left_top = false;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                folders.pop();
                left_top |= folders.is_empty();
            }
            part => folders.push(part),
        }
    }
    if left_top {
        [b"/".as_slice(), &folders.join(&b'/')].concat()
    } else {
        target.to_vec()
    }
}

/// Whether an entry at this place of the layer is wanted.
pub(super) fn is_wanted(path: &[u8], is_symlink: bool) -> bool {
    if UNWANTED.iter().any(|folder| is_in(path, folder.as_bytes())) {
        return false;
    }
    if let Some(rest) = path.strip_prefix(b"usr/share/doc/") {
        // `usr/share/doc/libfoo -> libbar` leads to a copyright file.
        let top = !rest.contains(&b'/');
        return rest.ends_with(b"/copyright") || (top && is_symlink);
    }
    if let Some(rest) = path.strip_prefix(b"usr/lib/python3")
        && let Some(slash) = rest.iter().position(|byte| *byte == b'/')
    {
        let rest = rest.get(slash + 1..).unwrap_or_default();
        let own_test = UNWANTED_MODULES
            .iter()
            .any(|module| rest.starts_with(module.as_bytes()));
        return !own_test
            && !UNWANTED_PYTHON
                .iter()
                .any(|folder| is_in(rest, folder.as_bytes()));
    }
    if let Some(program) = path.strip_prefix(b"usr/bin/") {
        return !UNWANTED_PROGRAMS.contains(&program);
    }
    is_wanted_converter(path)
}

/// Of `usr/lib/*/gconv/`, the converters that stay; anything else passes.
fn is_wanted_converter(path: &[u8]) -> bool {
    let mut parts = path.split(|byte| *byte == b'/');
    let head = [parts.next(), parts.next()];
    let (_, gconv) = (parts.next(), parts.next());
    if head != [Some(b"usr".as_slice()), Some(b"lib")] || gconv != Some(b"gconv") {
        return true;
    }
    parts
        .next()
        .is_none_or(|file| KEPT_CONVERTERS.contains(&file))
}

/// Whether a path is a folder or lies in it.
fn is_in(path: &[u8], folder: &[u8]) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usr_merge_moves_entries() {
        for (path, expected) in [
            ("./", None),
            ("./bin/", None),
            ("./lib64", None),
            ("./bin/bash", Some("usr/bin/bash")),
            ("./lib/x86_64-linux-gnu/", Some("usr/lib/x86_64-linux-gnu")),
            ("./usr/bin/env", Some("usr/bin/env")),
            ("./library/x", Some("library/x")),
            ("/etc/", Some("etc")),
        ] {
            let expected = expected.map(|path| path.as_bytes().to_vec());
            assert_eq!(place(path.as_bytes()), expected, "{path}");
        }
    }

    #[test]
    fn moved_links_still_lead_where_they_led() {
        for (link, target, expected) in [
            ("./bin/sh", "dash", "dash"),
            ("./sbin/a", "../bin/b", "/bin/b"),
            ("./lib/x/liba.so", "liba.so.1", "liba.so.1"),
            ("./lib/x/liba.so", "../y/liba.so.1", "../y/liba.so.1"),
            (
                "./lib/x/liba.so",
                "../../usr/lib/x/liba.so.1",
                "/usr/lib/x/liba.so.1",
            ),
            ("./usr/lib/x/liba.so", "../../../lib/a", "../../../lib/a"),
            ("./lib64/ld.so", "/lib/ld.so", "/lib/ld.so"),
        ] {
            let found = link_target(link.as_bytes(), target.as_bytes());
            assert_eq!(String::from_utf8_lossy(&found), expected, "{link}");
        }
    }

    #[test]
    fn wanted_and_unwanted() {
        for (path, wanted) in [
            ("usr/share/doc/bash/copyright", true),
            ("usr/share/doc/bash/changelog.gz", false),
            ("usr/share/doc/bash", false),
            ("usr/share/man", false),
            ("usr/bin/who", false),
            ("usr/bin/whoami", true),
            ("usr/share/manual", true),
            ("usr/share/zoneinfo/UTC", true),
            ("usr/share/locale/de/LC_MESSAGES/x.mo", false),
            ("usr/lib/python3.13/test/support/__init__.py", false),
            ("usr/lib/python3.13/unittest/case.py", true),
            ("usr/lib/python3.13/testing.py", true),
            ("usr/lib/python3.13/lib-dynload/_testcapi.so", false),
            ("usr/lib/x86_64-linux-gnu/gconv/EUC-JP.so", false),
            ("usr/lib/x86_64-linux-gnu/gconv/UTF-16.so", true),
            ("usr/lib/x86_64-linux-gnu/libc.so.6", true),
        ] {
            assert_eq!(is_wanted(path.as_bytes(), false), wanted, "{path}");
        }
        assert!(is_wanted(b"usr/share/doc/libfoo", true));
    }
}
