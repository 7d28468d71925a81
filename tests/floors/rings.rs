//! No ring of files anywhere in `src`: who reads a file goes on to those that it uses, and is never led back.
//!
//! A folder's `mod.rs` is its face. It names what lies in the folder, and the files in it may use what the face defines; so
//! what a face uses of its own folder is no edge here. A name that a face only passes on leads to the file that defines it.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// Rings of two files in one folder that stay, with the reason.
const LEFT: &[([&str; 2], &str)] = &[
    (
        ["layers::deb::package", "layers::deb::locale"],
        "one package is unpacked otherwise, from the same members of its archive",
    ),
    (
        ["net::registry::upload", "net::registry::pieces"],
        "one upload in two files: whole, and in pieces",
    ),
    (
        ["plan::start::start_checks", "plan::start::servers"],
        "a way to start holds the server that it needs, which is sought by what is asked of a way",
    ),
    (
        ["resolve::wheels::settings", "resolve::wheels::named"],
        "the settings hold the named indexes, which stand beside the usual ones of the settings",
    ),
    (
        ["sandbox::changes", "sandbox::copy"],
        "changes of a root without an overlay are those of its copy, found by the same walk",
    ),
    (
        ["sandbox::inside::chroot", "sandbox::inside::watch"],
        "the process that watches a step enters the root in the child that it starts",
    ),
];

/// A path of a file's code, and what it is called there.
struct NamedPath {
    segments: Vec<String>,
    alias: Option<String>,
    is_passed_on: bool,
}

/// The files of `src` by module path, and what each names.
struct SourceGraph {
    code: BTreeMap<String, String>,
    paths: BTreeMap<String, Vec<NamedPath>>,
}

#[test]
fn no_ring_of_files() {
    let mut edges = SourceGraph::new(sources()).edges();
    for ([one, other], reason) in LEFT {
        assert!(!reason.is_empty() && folder(one) == folder(other), "{one}");
        let is_ring = edges[*one].contains(*other) && edges[*other].contains(*one);
        assert!(is_ring, "{one} and {other} are no ring any more");
        edges.get_mut(*one).unwrap().remove(*other);
    }
    let rings = rings(&edges);
    assert!(rings.is_empty(), "{}", rings.join("\n"));
}

#[test]
fn rings_are_found_in_every_shape() {
    let ring = |files: &[(&str, &str)]| {
        let sources = files.iter().map(|(path, code)| Source {
            path: path.into(),
            module: (*path).to_owned(),
            code: (*code).to_owned(),
        });
        rings(&SourceGraph::new(sources.collect()).edges())
    };
    let (a, b) = ("src/m/a.rs", "src/m/b.rs");
    let found = ["m::a uses m::b, which uses m::a".to_owned()];
    assert_eq!(
        ring(&[(a, "use super::b::B;"), (b, "use super::a::A;")]),
        found
    );
    assert_eq!(
        ring(&[(a, "use super::{b};\nb::f()"), (b, "crate::m::a::f()")]),
        found
    );
    // By way of the face that passes a name on, and of another that passes that on.
    let face = "pub(crate) use b::{B, f as g};\nuse a::A;";
    let files = [
        ("src/m/mod.rs", face),
        (a, "use crate::m::g;"),
        (b, "use super::a::A;"),
    ];
    assert_eq!(ring(&files), found);
    // What the face defines, or uses of its own folder, is no ring.
    let face = "pub(crate) struct C;\nuse a::A;";
    assert!(ring(&[("src/m/mod.rs", face), (a, "use super::C;")]).is_empty());
}

impl SourceGraph {
    fn new(sources: Vec<Source>) -> Self {
        let code: BTreeMap<String, String> = sources
            .into_iter()
            .map(|source| (module_path(&source), source.code))
            .collect();
        let paths = code
            .iter()
            .map(|(module, code)| (module.clone(), named_paths(code)))
            .collect();
        Self { code, paths }
    }

    /// The files that each file uses, those of a face's own folder left out.
    fn edges(&self) -> BTreeMap<String, BTreeSet<String>> {
        let used_by = |module: &String| -> BTreeSet<String> {
            let mut used = BTreeSet::new();
            for path in self.paths[module].iter().filter(|path| !path.is_passed_on) {
                if let Some(absolute) = self.absolute(module, &path.segments) {
                    used.extend(self.file_of(&absolute, 0));
                }
            }
            let inside = format!("{module}::");
            used.retain(|one| one != module && !one.starts_with(&inside));
            used
        };
        let modules = self.code.keys();
        modules
            .map(|module| (module.clone(), used_by(module)))
            .collect()
    }

    /// A path from the crate's root; nothing for those of other crates and of names that are not paths.
    fn absolute(&self, module: &str, path: &[String]) -> Option<Vec<String>> {
        let own: Vec<String> = module.split("::").map(str::to_owned).collect();
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(rest.to_vec()),
            "self" => Some([&own, rest].concat()),
            "super" => Some([&own[..own.len() - 1], rest].concat()),
            first if self.code.contains_key(&format!("{module}::{first}")) => {
                Some([&own, path].concat())
            }
            first => {
                let is_called = |one: &&NamedPath| {
                    one.alias.as_deref() == Some(first)
                        && one.segments.last() != Some(&"self".to_owned())
                };
                let named = self.paths[module].iter().find(is_called)?;
                let starts_here = named.segments.first().map(String::as_str) == Some(first);
                let base = (!starts_here).then(|| self.absolute(module, &named.segments))??;
                Some([&base, rest].concat())
            }
        }
    }

    /// The file that defines what a path names.
    fn file_of(&self, path: &[String], depth: usize) -> Option<String> {
        let longest = (1..=path.len())
            .rev()
            .find(|end| self.code.contains_key(&path[..*end].join("::")))?;
        let module = path[..longest].join("::");
        if let Some(name) = path.get(longest)
            && depth < 8
        {
            let passes_on = |one: &&NamedPath| one.alias.as_ref() == Some(name);
            if let Some(passed) = self.paths[&module].iter().find(passes_on)
                && let Some(target) = self.absolute(&module, &passed.segments)
                && let Some(file) = self.file_of(&target, depth + 1)
            {
                return Some(file);
            }
        }
        Some(module)
    }
}

fn module_path(source: &Source) -> String {
    let path = source.path.to_str().unwrap();
    let (_, inside) = path.rsplit_once("src/").unwrap();
    inside
        .trim_end_matches(".rs")
        .trim_end_matches("/mod")
        .replace('/', "::")
}

fn folder(module: &str) -> &str {
    module.rsplit_once("::").map_or("", |(folder, _)| folder)
}

/// All paths of a code: those of `use`, with what they are called, and those that stand between.
fn named_paths(code: &str) -> Vec<NamedPath> {
    let mut found = Vec::new();
    let mut rest = String::new();
    for statement in code.split_inclusive(';') {
        let at = statement
            .match_indices("use ")
            .map(|(at, _)| at)
            .find(|at| statement[..*at].ends_with(['\n', ' ', '{', '}']) || *at == 0);
        let Some(at) = at else {
            rest.push_str(statement);
            continue;
        };
        rest.push_str(&statement[..at]);
        let before = statement[..at].trim_end();
        let line = before.rsplit('\n').next().unwrap_or_default();
        let is_passed_on = line.trim_start().starts_with("pub");
        let tree: String = statement[at + 4..]
            .trim_end_matches(';')
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ");
        add_tree(&[], &tree, is_passed_on, &mut found);
    }
    let is_of_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for word in rest.split(|c| !is_of_path(c)) {
        let segments: Vec<String> = word
            .trim_matches(':')
            .split("::")
            .map(str::to_owned)
            .collect();
        if segments.len() > 1 && !segments[0].is_empty() {
            found.push(NamedPath {
                segments,
                alias: None,
                is_passed_on: false,
            });
        }
    }
    found
}

/// The paths of a tree of `use`.
fn add_tree(prefix: &[String], tree: &str, is_passed_on: bool, found: &mut Vec<NamedPath>) {
    let tree = tree.trim();
    if let Some(group) = tree.strip_prefix('{') {
        let group = group.strip_suffix('}').unwrap_or(group);
        let mut depth = 0;
        let members = group.split(|c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        });
        for member in members {
            add_tree(prefix, member, is_passed_on, found);
        }
        return;
    }
    // The first segment ends before a brace can open.
    let end = tree.find("::").filter(|end| !tree[..*end].contains(' '));
    if let Some(end) = end {
        let prefix = [prefix, &[tree[..end].to_owned()]].concat();
        add_tree(&prefix, &tree[end + 2..], is_passed_on, found);
        return;
    }
    let (name, alias) = tree.split_once(" as ").unwrap_or((tree, ""));
    let mut segments = prefix.to_vec();
    if name != "self" {
        segments.push(name.to_owned());
    }
    let alias = match alias {
        "" => segments.last().cloned(),
        alias => Some(alias.to_owned()),
    };
    if !name.is_empty() {
        found.push(NamedPath {
            segments,
            alias,
            is_passed_on,
        });
    }
}

/// The rings, each as a sentence.
fn rings(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    // What has no edge into the rest, or none out of it, is in no ring: taken off until nothing changes.
    let mut left = edges.clone();
    loop {
        let known: BTreeSet<String> = left.keys().cloned().collect();
        for used in left.values_mut() {
            used.retain(|one| known.contains(one));
        }
        let used: BTreeSet<String> = left.values().flatten().cloned().collect();
        let before = left.len();
        left.retain(|module, uses| !uses.is_empty() && used.contains(module));
        if left.len() == before {
            break;
        }
    }
    let mut found = Vec::new();
    let mut told = BTreeSet::new();
    for start in left.keys() {
        if told.contains(start) {
            continue;
        }
        if let Some(ring) = shortest_ring(start, &left) {
            told.extend(ring.iter().cloned());
            let way = [ring.as_slice(), std::slice::from_ref(start)].concat();
            let (first, others) = way.split_first().unwrap();
            found.push(format!("{first} uses {}", others.join(", which uses ")));
        }
    }
    found
}

/// The shortest way from a file back to it.
fn shortest_ring(
    start: &String,
    edges: &BTreeMap<String, BTreeSet<String>>,
) -> Option<Vec<String>> {
    let mut ways = vec![vec![start.clone()]];
    let mut seen = BTreeSet::new();
    let mut at = 0;
    while let Some(way) = ways.get(at).cloned() {
        at += 1;
        for next in &edges[way.last()?] {
            if next == start {
                return Some(way);
            }
            if seen.insert(next.clone()) {
                ways.push([way.as_slice(), std::slice::from_ref(next)].concat());
            }
        }
    }
    None
}
