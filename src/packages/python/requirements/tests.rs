use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::packages::python::{DirectUrl, testing};

fn read(files: &[(&str, &str)]) -> Result<RequirementSet, ReadError> {
    let map: BTreeMap<String, Vec<u8>> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
        .collect();
    let source = ReadAccess {
        read: &|path| map.get(path).cloned(),
        variable: &|name| (name == "PW").then(|| "hunter2".to_owned()),
    };
    parse(files[0].0, files[0].1.as_bytes(), &source)
}

fn shown_wishes(found: &RequirementSet) -> Vec<String> {
    found
        .wishes
        .iter()
        .map(|wish| format!("{} {wish}", wish.position))
        .collect()
}

#[test]
fn paths_count_from_the_root_and_from_the_file() {
    let paths = |file, named| requirement_paths(file, named).collect::<Vec<_>>();
    assert_eq!(paths("requirements.txt", "./."), [""]);
    assert_eq!(paths("requirements/prod.txt", "."), ["", "requirements"]);
    assert_eq!(paths("requirements/prod.txt", ".."), [""]);
    assert_eq!(paths("r/prod.txt", "./lib"), ["lib", "r/lib"]);
    assert!(paths("requirements.txt", "../lib").is_empty());
    assert!(paths("r/prod.txt", "/etc").is_empty());
}

#[test]
fn paths_outside_the_source_begin_with_dots() {
    let paths = |file, named| paths_outside(file, named).collect::<Vec<_>>();
    assert_eq!(paths("requirements.txt", "../lib"), ["../lib"]);
    assert_eq!(paths("requirements.txt", "./a/../../b/./c/"), ["../b/c"]);
    assert_eq!(paths("r/prod.txt", "../../lib"), ["../../lib", "../lib"]);
    assert_eq!(paths("requirements.txt", "../.."), ["../.."]);
    for inside in ["lib", "./lib", ".", "/etc", "a/..", "..lib"] {
        assert!(paths("requirements.txt", inside).is_empty(), "{inside}");
    }
}

#[test]
fn reads_what_projects_write() {
    let found = read(&[
        (
            "requirements.txt",
            "\u{feff}# web\nFlask[async]>=3 # comment\n-r requirements/db.txt\n-c limits.txt\n\
             gunicorn ; sys_platform != 'win32'\n--extra-index-url https://me:${PW}@host/simple\n",
        ),
        ("requirements/db.txt", "-r ../more.txt\npsycopg[binary]\n"),
        ("more.txt", "click\n"),
        ("limits.txt", "werkzeug<4\n"),
    ])
    .unwrap();
    assert_eq!(
        shown_wishes(&found),
        [
            "requirements.txt:2 flask[async]>=3",
            "more.txt:1 click",
            "requirements/db.txt:2 psycopg[binary]",
            "requirements.txt:5 gunicorn ; sys_platform != 'win32'",
        ]
    );
    assert_eq!(found.constraints.len(), 1);
    assert_eq!(
        found.options.extra_indexes[0].as_str(),
        "https://host/simple"
    );
    assert_eq!(
        found.options.extra_indexes[0].user_info().unwrap().reveal(),
        "me:hunter2"
    );
    assert!(!format!("{found:?}").contains("hunter2"));
    assert_eq!(found.files.len(), 4);
}

#[test]
fn tells_names_paths_and_addresses_apart() {
    let found = read(&[(
        "r.txt",
        "a @ https://u:p@h/a-1-py3-none-any.whl\nhttps://h/b-1-py3-none-any.whl\n\
         git+https://h/c.git@v1#egg=c\n.\n-e ./lib[x]\n./wheels/d-1-py3-none-any.whl\n\
         https://h/e.tar.gz\nhttps://h/f-1-py3-none-any.whl ; sys_platform == 'win32'\n\
         ./g ; sys_platform == 'win32'\n",
    )])
    .unwrap();
    let names: Vec<_> = found
        .wishes
        .iter()
        .map(|wish| wish.name().map(ToString::to_string))
        .collect();
    let name = |name: &str| Some(name.to_owned());
    assert_eq!(
        names,
        [
            name("a"),
            name("b"),
            name("c"),
            None,
            None,
            name("d"),
            None,
            name("f"),
            None
        ]
    );
    assert!(matches!(
        found.wishes[2].address(),
        Some(DirectUrl::Repository(_))
    ));
    assert_eq!(found.wishes[4].to_string(), "-e ./lib[x]");
    assert_eq!(found.wishes[4].extras()[0].as_ref(), "x");
    let markers = testing::target().markers().unwrap();
    assert!(!found.wishes[7].applies(&markers));
    assert!(!found.wishes[8].applies(&markers));
    assert!(found.wishes[6].applies(&markers));
}

#[test]
fn a_comma_may_stand_at_the_end() {
    let found = read(&[("r.txt", "a>=1,<2,\nb==1, ; os_name == 'posix'\n")]).unwrap();
    let shown: Vec<String> = found.wishes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a>=1,<2", "b==1 ; os_name == 'posix'"]);
    assert!(read(&[("r.txt", "a>=1,,<2\n")]).is_err());
    assert!(read(&[("r.txt", "a @ https://h/x-1-py3-none-any.whl,\n")]).is_ok());
}

#[test]
fn paths_are_those_of_the_source() {
    for (file, named, expected) in [
        ("r.txt", "./a/../b.whl", Some("b.whl")),
        ("in/r.txt", "../b.whl", Some("b.whl")),
        ("in/r.txt", "/opt/app-root/src/b.whl", Some("b.whl")),
        ("r.txt", "/opt/app-root/src/../b.whl", None),
        ("r.txt", "/tmp/b.whl", None),
        ("r.txt", "../b.whl", None),
    ] {
        let found = resolve_path(file, named);
        assert_eq!(found.as_deref(), expected, "{file} {named}");
    }
}

#[test]
fn knows_pins() {
    let found = read(&[(
        "r.txt",
        "a==1.0\nb==1.*\nc>=1\nd==1,<2\ne===1.5\nf\ng==1.0 --hash=sha256:\
         e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984",
    )])
    .unwrap();
    let pins: Vec<_> = found
        .wishes
        .iter()
        .map(|wish| wish.pin().map(ToString::to_string))
        .collect();
    let pin = |version: &str| Some(version.to_owned());
    assert_eq!(
        pins,
        [pin("1.0"), None, None, None, pin("1.5"), None, pin("1.0")]
    );
    assert_eq!(found.wishes[6].hashes.len(), 1);
}

#[test]
fn errors_name_file_and_line_and_no_secret() {
    let fails = |files: &[(&str, &str)]| read(files).unwrap_err().to_string();
    let text = fails(&[("r.txt", "flask\nx y z\n")]);
    assert!(
        text.starts_with("r.txt:2: `x y z` is no requirement"),
        "{text}"
    );
    assert_eq!(
        fails(&[("r.txt", "-r no.txt")]),
        "r.txt:1: `no.txt` is not a file of the source"
    );
    assert_eq!(
        fails(&[("r.txt", "-r ../up.txt")]),
        "r.txt:1: `../up.txt` lies outside of the folder that is built; build a folder that has both (--context-dir)"
    );
    assert_eq!(
        fails(&[("a.txt", "\n-r b.txt"), ("b.txt", "-r a.txt")]),
        "b.txt:1: `a.txt` includes itself"
    );
    assert_eq!(
        fails(&[("a.txt", "-r https://u:pw@h/r.txt")]),
        "a.txt:1: `https://****@h/r.txt` is on a server; only files of the source are included"
    );
    assert_eq!(
        fails(&[("a.txt", "-c b.txt"), ("b.txt", "x[y]")]),
        "b.txt:1: `x[y]` cannot be a constraint"
    );
    assert!(fails(&[("a.txt", "x==1 --hash=sha256:zz")]).contains("64 hexadecimal"));
    assert!(fails(&[("a.txt", &format!("x ; {}", "(".repeat(100)))]).contains("parentheses"));
    assert!(!fails(&[("a.txt", "x @ https://u:${PW}@ h/")]).contains("hunter2"));
}

#[test]
fn a_file_is_included_once_and_chains_end() {
    let found = read(&[("a.txt", "-r b.txt\n-r b.txt"), ("b.txt", "x")]).unwrap();
    assert_eq!(found.wishes.len(), 1);
    let deep: Vec<(String, String)> = (0..30)
        .map(|n| (format!("{n}.txt"), format!("-r {}.txt", n + 1)))
        .collect();
    let deep: Vec<(&str, &str)> = deep.iter().map(|(path, text)| (&**path, &**text)).collect();
    assert!(matches!(
        read(&deep).unwrap_err().error,
        LineError::TooMany { .. }
    ));
}

proptest! {
    #[test]
    fn never_panics(text in "(?s).{0,200}") {
        let _ = read(&[("r.txt", &text)]);
    }

    #[test]
    fn never_panics_on_likely_text(text in "(-r |-c |-e |--hash=|--index-url |https://|git\\+|\\[|\\]|;|@|#|\\\\\n|\n|\\$\\{PW\\}|==|<|\"|'|[a-z]{1,3}| |\\.|/|\\*){0,30}") {
        let _ = read(&[("r.txt", &text)]);
    }

    #[test]
    fn never_panics_on_likely_markers(text in "( ?(extra|os_name|python_version|python_full_version|in|not in|==|!=|>=|~=|<|===|and|or|\\(|\\)|'|\"|3\\.1[0-9]?|3\\.\\*|x\\.|linux)){0,14}") {
        let _ = read(&[("r.txt", &format!("a ; {text}"))]);
        let _ = read(&[("r.txt", &format!("a{text}"))]);
    }

    #[test]
    fn shown_text_reads_back(name in "[a-z][a-z0-9-]{0,6}[a-z]", version in "[0-9]{1,3}(\\.[0-9]{1,3}){0,2}", op in "(==|>=|<|~=|!=)") {
        let version = if op == "~=" { format!("{version}.0") } else { version };
        let first = read(&[("r.txt", &format!("{name}{op}{version}"))]).unwrap();
        let again = read(&[("r.txt", &first.wishes[0].to_string())]).unwrap();
        prop_assert_eq!(first.wishes, again.wishes);
    }
}
