//! Holds the modules of `src/` to their floors: a module imports only what lies below it, and only what the
//! table here grants. The compiler would let any module of a crate reach any other.
//!
//! Refused as well: rings of files (`floors/rings.rs`), grants that nobody uses, folders of more than fifteen files, climbing out of a module by `super::super`, and a look at the machine (files, clock,
//! environment, network) by modules that only compute. Code under `#[cfg(test)]` is free to do all of it.

#![expect(
    clippy::unwrap_used,
    reason = "a panic is how a test fails; clippy exempts only #[test] functions here"
)]

#[path = "floors/rings.rs"]
mod rings;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// A module and the modules that it may import.
type Grant = (&'static str, &'static [&'static str]);

/// The floors, lowest first. Modules of one floor do not know each other.
const FLOORS: &[&[Grant]] = &[
    &[("report", &[]), ("host", &[])],
    &[
        ("oci", &[]),
        ("packages", &["report"]),
        ("archive", &["report"]),
    ],
    &[
        ("store", &["host", "oci", "report"]),
        ("net", &["host", "oci", "report"]),
        ("sandbox", &["host", "report"]),
        ("image", &["oci", "report"]),
        // A layer of the source is known by a digest of its files.
        ("source", &["archive", "host", "oci", "report"]),
    ],
    &[
        ("project", &["packages", "source", "report"]),
        ("resolve", &["packages", "archive", "host", "oci", "report"]),
        (
            "layers",
            &["archive", "oci", "packages", "source", "report"],
        ),
        ("destination", &["net", "oci", "report"]),
    ],
    &[("plan", &["oci", "packages", "project", "source", "report"])],
    &[(
        "layer_cache",
        &[
            "archive",
            "destination",
            "host",
            "image",
            "layers",
            "net",
            "oci",
            "report",
            "resolve",
            "source",
            "store",
        ],
    )],
    &[(
        "context",
        &[
            "archive",
            "host",
            "image",
            "layer_cache",
            "layers",
            "net",
            "oci",
            "packages",
            "plan",
            "project",
            "report",
            "resolve",
            "sandbox",
            "source",
            "store",
        ],
    )],
    &[(
        "base",
        &[
            "context",
            "image",
            "layer_cache",
            "layers",
            "net",
            "oci",
            "packages",
            "plan",
            "report",
            "resolve",
            "store",
        ],
    )],
    &[(
        "bytecode",
        &[
            "base", "context", "host", "layers", "net", "oci", "packages", "plan", "report",
            "sandbox", "store",
        ],
    )],
    &[(
        "layer_recipes",
        &[
            "archive",
            "bytecode",
            "context",
            "layer_cache",
            "layers",
            "oci",
            "packages",
            "report",
            "resolve",
            "source",
            "store",
        ],
    )],
    &[(
        "source_builds",
        &[
            "archive",
            "base",
            "context",
            "host",
            "image",
            "layer_cache",
            "layer_recipes",
            "layers",
            "oci",
            "packages",
            "plan",
            "report",
            "resolve",
            "sandbox",
            "source",
            "store",
        ],
    )],
    &[(
        "wheel_resolution",
        &[
            "archive",
            "context",
            "host",
            "layer_cache",
            "layer_recipes",
            "net",
            "oci",
            "packages",
            "plan",
            "report",
            "resolve",
            "source",
            "source_builds",
            "store",
        ],
    )],
    &[(
        "pipeline",
        &[
            "archive",
            "base",
            "bytecode",
            "context",
            "destination",
            "image",
            "layer_cache",
            "layer_recipes",
            "layers",
            "net",
            "oci",
            "packages",
            "plan",
            "project",
            "report",
            "resolve",
            "sandbox",
            "source",
            "source_builds",
            "store",
            "wheel_resolution",
        ],
    )],
    // The fuzz targets look at readers of all floors. They are no part of the program.
    &[(
        "fuzzing",
        &[
            "archive", "layers", "net", "oci", "packages", "plan", "project", "report", "resolve",
            "source",
        ],
    )],
    // The store and the image's words are there for `s2r images`, `inspect` and `cache`, which only look, and
    // destination for the grammar of `-o`.
    &[(
        "cli",
        &[
            "pipeline",
            "plan",
            "destination",
            "host",
            "store",
            "image",
            "oci",
            "report",
        ],
    )],
];

/// Modules that are given values and return values.
const COMPUTES_ONLY: &[&str] = &["report", "oci", "packages", "image", "plan"];

/// Paths by which code would look at the machine it runs on.
const MACHINE: &[&str] = &[
    "std::env",
    "std::fs",
    // Addresses are values; sockets are not.
    "TcpListener",
    "TcpStream",
    "ToSocketAddrs",
    "UdpSocket",
    "std::process",
    "std::thread",
    "SystemTime",
];

#[test]
fn grants_point_downwards() {
    let mut lower: Vec<&str> = Vec::new();
    for floor in FLOORS {
        for (module, grants) in *floor {
            for grant in *grants {
                assert!(
                    lower.contains(grant),
                    "{module} is granted {grant}, which is not below it"
                );
            }
        }
        lower.extend(floor.iter().map(|(module, _)| module));
    }
}

#[test]
fn the_table_names_the_modules_there_are() {
    let mut listed: Vec<&str> = FLOORS
        .iter()
        .flat_map(|floor| floor.iter().map(|(module, _)| *module))
        .collect();
    listed.sort_unstable();
    let sources = sources();
    let mut found: Vec<&str> = sources
        .iter()
        .map(|source| source.module.as_str())
        .collect();
    found.dedup();
    assert_eq!(found, listed);
}

#[test]
fn imports_are_granted() {
    let grants: BTreeMap<&str, &[&str]> = FLOORS
        .iter()
        .flat_map(|floor| floor.iter().copied())
        .collect();
    let mut complaints = String::new();
    for source in sources() {
        for import in crate_imports(&source.code) {
            if import != source.module && !grants[source.module.as_str()].contains(&import.as_str())
            {
                writeln!(complaints, "{}: {import}", source.path.display()).unwrap();
            }
        }
    }
    assert!(
        complaints.is_empty(),
        "imports that no floor grants:\n{complaints}"
    );
}

/// A grant that nobody uses is a door that stands open.
#[test]
fn grants_are_used() {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources() {
        let imports = crate_imports(&source.code);
        used.entry(source.module).or_default().extend(imports);
    }
    let mut unused = String::new();
    for (module, grants) in FLOORS.iter().flat_map(|floor| floor.iter()) {
        for grant in grants
            .iter()
            .filter(|grant| !used[*module].contains(**grant))
        {
            writeln!(unused, "{module}: {grant}").unwrap();
        }
    }
    assert!(unused.is_empty(), "grants that nobody uses:\n{unused}");
}

/// What one reads as a list is short.
#[test]
fn folders_hold_few_files() {
    const MOST: usize = 15;
    let mut folders: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for source in sources() {
        let folder = source.path.parent().unwrap().to_owned();
        *folders.entry(folder).or_default() += 1;
    }
    folders.retain(|_, files| *files > MOST);
    assert!(folders.is_empty(), "{folders:?}");
}

#[test]
fn nobody_climbs() {
    for source in sources() {
        assert!(
            !source.code.contains("super::super::"),
            "{}: name it from crate::",
            source.path.display()
        );
    }
}

#[test]
fn what_only_computes_does_not_look_around() {
    for source in sources() {
        if !COMPUTES_ONLY.contains(&source.module.as_str()) {
            continue;
        }
        // Which processor the program was compiled for is a constant.
        let code = source.code.replace("std::env::consts", "");
        for name in MACHINE {
            assert!(
                !code.contains(name),
                "{}: {} only computes, and names {name}",
                source.path.display(),
                source.module
            );
        }
    }
}

#[test]
fn imports_are_found_in_every_shape() {
    let code = strip(
        "use crate::oci::Digest;\n\
         use crate::{report::{Event, Report}, store::Store};\n\
         // use crate::cli;\n\
         fn f() -> crate::net::Client { todo(\"crate::plan\") }\n\
         #[cfg(test)]\n\
         mod tests {\n\
         use crate::pipeline;\n\
         }\n\
         #[cfg(test)]\n\
         mod more;\n\
         use crate::image;\n",
    );
    assert_eq!(
        crate_imports(&code),
        ["image", "net", "oci", "report", "store"]
    );
}

/// SECURITY.md promises what tests hold: each that it names, in the last column of its tables, is there.
#[test]
fn the_tests_that_security_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let tables = text.split("| test |\n").skip(1);
    let rows = tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|')));
    let named: Vec<&str> = rows
        .filter_map(|row| row.trim_end_matches(" |").rsplit(" | ").next())
        .flat_map(|tests| tests.split('`').skip(1).step_by(2))
        .filter_map(|path| path.rsplit("::").next())
        .collect();
    assert!(named.len() > 40, "{named:?}");
    let sources: String = ["src", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for test in named {
        let found = sources.split("#[test]").skip(1).any(|item| {
            item.lines()
                .take(6)
                .any(|line| line.trim_start().starts_with(&format!("fn {test}(")))
        });
        assert!(found, "SECURITY.md names {test}, which is no test");
    }
}

/// All Rust files below a folder.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut pending = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// A production source file: its top-level module and its code without comments and tests.
struct Source {
    path: PathBuf,
    module: String,
    code: String,
}

/// All of them, sorted; `lib.rs` and `main.rs`, which only join modules, and files for tests are left out.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut pending = vec![root.clone()];
    let mut sources = Vec::new();
    let mut for_tests = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap_or_default();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let children = match name {
                "mod" | "lib" => folder.clone(),
                name => folder.join(name),
            };
            for_tests.extend(test_modules(&text).map(|module| children.join(module)));
            if path.extension().is_some_and(|extension| extension == "rs")
                && !(folder == root && matches!(name, "lib" | "main"))
            {
                let first = path.strip_prefix(&root).unwrap().iter().next().unwrap();
                sources.push(Source {
                    module: first.to_str().unwrap().trim_end_matches(".rs").to_owned(),
                    code: strip(&text),
                    path,
                });
            }
        }
    }
    sources.retain(|source| {
        !for_tests
            .iter()
            .any(|module| source.path.with_extension("").starts_with(module))
    });
    sources.sort_by(|a, b| (&a.module, &a.path).cmp(&(&b.module, &b.path)));
    sources
}

/// Code without comment lines, without what stands between double quotes on one line, and without each item
/// that is there for tests only.
fn strip(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        if line == "#[cfg(test)]" {
            skip_item(&mut lines);
        } else if !line.starts_with("//") {
            code.push_str(&outside_quotes(line));
            code.push('\n');
        }
    }
    code
}

/// Leaves the lines after the item that begins with the next one: its braces are closed, or it had none.
fn skip_item<'a>(lines: &mut impl Iterator<Item = &'a str>) {
    let mut depth = 0_i32;
    for line in lines {
        let code = outside_quotes(line);
        for character in code.chars() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
        if depth <= 0 && code.ends_with([';', '}', ',']) {
            return;
        }
    }
}

/// A line's code: every second piece is the inside of a literal; an escaped quote only lets us see a little more.
fn outside_quotes(line: &str) -> String {
    line.split('"').step_by(2).collect()
}

/// The modules of a text that are declared for tests only and lie in files of their own.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]").skip(1).filter_map(|rest| {
        let declaration = rest.trim_start().lines().next()?;
        let name = declaration.strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(name)
    })
}

/// The modules named right after `crate::`, sorted; braces are looked into.
fn crate_imports(code: &str) -> Vec<String> {
    let mut imports: Vec<String> = code
        .split("crate::")
        .skip(1)
        .flat_map(|rest| match rest.strip_prefix('{') {
            Some(group) => heads_of_group(group),
            None => vec![word(rest)],
        })
        .filter(|import| !import.is_empty())
        .collect();
    imports.sort();
    imports.dedup();
    imports
}

/// The first word of each member of a group whose brace has just been opened.
fn heads_of_group(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut outer = String::new();
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 1 => outer.push(character),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    outer.split(',').map(|member| word(member.trim())).collect()
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|character| character.is_alphanumeric() || *character == '_')
        .collect()
}
