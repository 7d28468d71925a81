//! What is made of packages and their scripts together.

use super::*;

/// The entries of a layer as text, and the bytes of its files.
fn shown_bytes(layer: &[u8]) -> (Vec<String>, std::collections::BTreeMap<String, Vec<u8>>) {
    let mut archive = ::tar::Archive::new(flate2::read::MultiGzDecoder::new(layer));
    let (mut lines, mut files) = (Vec::new(), std::collections::BTreeMap::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        if let Some(target) = entry.link_name_bytes() {
            lines.push(format!("{path} -> {}", String::from_utf8_lossy(&target)));
        }
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        files.insert(path, bytes);
    }
    (lines, files)
}

/// What is noted of such a layer.
fn notes_beside(
    part: BasePart,
    packages: &[(&str, Vec<u8>)],
    beside: &[(&str, Vec<u8>)],
) -> LayerNotes {
    written_beside(part, packages, beside).unwrap().1
}

/// Lines of a listing that begin so.
fn lines<'a>(shown: &'a [String], beginning: &str) -> Vec<&'a str> {
    let lines = shown.iter().map(String::as_str);
    lines.filter(|line| line.starts_with(beginning)).collect()
}

#[test]
fn alternatives_are_those_that_the_scripts_install() {
    let mawk = scripted(
        "mawk",
        &[("./usr/bin/mawk", 0o755, None, "mawk")],
        "",
        "#!/bin/sh\nif [ \"$1\" = configure ]; then\n update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n  --slave /usr/share/man/man1/awk.1.gz awk.1.gz /usr/share/man/man1/mawk.1.gz \\\n  --slave /usr/bin/nawk nawk /usr/bin/mawk\nfi\n",
    );
    let tools = |priority: &str| {
        scripted(
            "tools",
            &[
                ("./usr/bin/gawk", 0o755, None, "gawk"),
                ("./opt/tools/one", 0o755, None, "one"),
                ("./opt/tools/two", 0o755, None, "two"),
            ],
            "",
            &format!(
                "d=/opt/tools\nfor i in one two none; do\n update-alternatives --quiet --install /bin/$i $i $d/$i {priority}\ndone\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/gawk {priority} || true\n"
            ),
        )
    };
    let base = [("mawk", mawk)];
    let shown_base = shown(&layer(BasePart::System, &base).unwrap());
    assert_eq!(
        lines(&shown_base, "etc/alternatives/"),
        [
            "etc/alternatives/ 755",
            "etc/alternatives/awk -> /usr/bin/mawk",
            "etc/alternatives/nawk -> /usr/bin/mawk",
        ]
    );
    assert!(shown_base.contains(&"usr/bin/awk -> /etc/alternatives/awk".to_owned()));
    assert_eq!(lines(&shown_base, "usr/share/man"), [""; 0]);
    // Above a base: what is new, and what wins against the base's.
    for (priority, awk) in [
        ("50", &["etc/alternatives/awk -> /usr/bin/gawk"][..]),
        ("1", &[]),
    ] {
        let above = [("tools", tools(priority))];
        let above = shown(&layer_beside(BasePart::Added, &above, &base).unwrap());
        assert_eq!(lines(&above, "etc/alternatives/awk"), awk, "{priority}");
        assert_eq!(
            lines(&above, "usr/bin/two"),
            ["usr/bin/two -> /etc/alternatives/two"]
        );
        assert_eq!(lines(&above, "usr/bin/none"), [""; 0]);
    }
    // What a package has at the place is no link, and stays.
    let file = [
        ("mawk", base[0].1.clone()),
        (
            "own",
            deb_of("own", &[("./usr/bin/awk", 0o755, None, "own")], ""),
        ),
    ];
    let kept = shown(&layer(BasePart::System, &file).unwrap());
    assert_eq!(lines(&kept, "usr/bin/awk"), ["usr/bin/awk 755 own"]);
}

#[test]
fn the_loaders_cache_holds_the_libraries_of_the_whole_image() {
    use crate::archive::elf::{AARCH64, X86_64, tests::library};
    let deb = |name: &str, files: &[(&str, Vec<u8>)]| {
        // Contents of entries are text, and a library is not.
        let mut builder = ::tar::Builder::new(Vec::new());
        for (path, bytes) in files {
            let mut header = ::tar::Header::new_gnu();
            header.set_mode(0o644);
            header.set_uid(0);
            header.set_gid(0);
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        deb_of_tars(name, "", builder.into_inner().unwrap(), "")
    };
    let folder = "usr/lib/x86_64-linux-gnu";
    let at = |name: &str| format!("{folder}/{name}");
    let lib = |machine, soname| library(machine, soname, &["libc.so.6"]);
    let base = deb(
        "base",
        &[
            (
                "etc/ld.so.conf.d/a.conf",
                b"# multiarch\n/lib/x86_64-linux-gnu\n".to_vec(),
            ),
            (&at("liba.so.2"), lib(X86_64, "liba.so.2")),
        ],
    );
    let above = deb(
        "above",
        &[
            (&at("liba.so.10"), lib(X86_64, "liba.so.10")),
            (&at("libb-1.0.so"), lib(X86_64, "libb.so.1")),
            (&at("libarm.so.1"), lib(AARCH64, "libarm.so.1")),
            (&at("libtext.so"), b"INPUT(libb.so.1)".to_vec()),
            (&at("plugin.so"), lib(X86_64, "plugin.so")),
        ],
    );
    let bytes = layer_beside(BasePart::Added, &[("above", above)], &[("base", base)]).unwrap();
    let shown = shown_bytes(&bytes);
    assert_eq!(
        lines(&shown.0, &at("libb.so.1")),
        [at("libb.so.1 -> libb-1.0.so")]
    );
    let cache = &shown.1["etc/ld.so.cache"];
    assert!(cache.starts_with(b"glibc-ld.so.cache1.1\x03\0\0\0"));
    let strings: Vec<_> = cache[48 + 3 * 24..]
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .collect();
    // Descending, numbers by their value.
    assert_eq!(
        strings,
        [
            "/lib/x86_64-linux-gnu/libb.so.1",
            "/lib/x86_64-linux-gnu/liba.so.10",
            "/lib/x86_64-linux-gnu/liba.so.2",
            "",
        ]
    );
}

#[test]
fn what_scripts_would_do_is_run_told_or_needless() {
    let script = "#!/bin/sh\nset -e\nset_up () {\n adduser --system \"$1\"\n}\ncase \"$1\" in\nconfigure|triggered)\n\
        \x20fc-cache -s || true\n dpkg --compare-versions \"$2\" lt 1 && rm -f /etc/old\n set_up tool\n /usr/bin/tool-setup --all >/dev/null\n\
        \x20update-alternatives --install /usr/bin/t t \"$(which tool)\" 10\n ;;\nabort-upgrade|abort-remove) ;;\nesac\n\
        /usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas /usr/share/glib-2.0/schemas || true\n\
        if which update-mime-database >/dev/null; then update-mime-database /usr/share/mime; fi\n";
    let schemas = "./usr/share/glib-2.0/schemas/a.gschema.xml";
    let tool = scripted(
        "tool",
        &[
            (schemas, 0o644, None, "<schemalist/>"),
            (
                "./usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
                0o755,
                None,
                "x",
            ),
        ],
        "",
        script,
    );
    let quiet = scripted(
        "quiet",
        &[],
        "",
        "#!/bin/sh\nset -e\ndeb-systemd-helper enable x\nexit 0\n",
    );
    let packages = [("tool", tool), ("quiet", quiet)];
    let scripts = notes_beside(BasePart::Added, &packages, &[]).scripts;
    let [undone] = scripts.undone.as_slice() else {
        panic!("{scripts:?}");
    };
    assert_eq!(undone.package, "tool");
    assert_eq!(
        undone.programs,
        ["adduser", "tool-setup", "update-alternatives"]
    );
    // A generator that is not there, as update-mime-database here, has nothing to do.
    let [run] = scripts.runs.as_slice() else {
        panic!("{scripts:?}");
    };
    assert_eq!(
        run.command,
        [
            "/usr/lib/x86_64-linux-gnu/glib-2.0/glib-compile-schemas",
            "/usr/share/glib-2.0/schemas"
        ]
    );
    // Of the base nothing is left to do.
    assert!(
        notes_beside(BasePart::System, &packages, &[])
            .scripts
            .is_empty()
    );
}

#[test]
fn fonts_are_drawn_by_the_rules_that_nobody_is_asked_about() {
    let rule = "./usr/share/fontconfig/conf.avail/10-hinting-slight.conf";
    let fonts = deb_of("fontconfig-config", &[(rule, 0o644, None, "x")], "");
    let shown =
        shown(&layer_beside(BasePart::Added, &[("fontconfig-config", fonts)], &[]).unwrap());
    assert_eq!(
        lines(&shown, "etc/fonts/conf.d/"),
        [
            "etc/fonts/conf.d/ 755",
            "etc/fonts/conf.d/10-hinting-slight.conf -> /usr/share/fontconfig/conf.avail/10-hinting-slight.conf"
        ]
    );
}
