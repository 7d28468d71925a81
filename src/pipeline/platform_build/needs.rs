//! Libraries and interpreters that files of the image need and the image has not: told by package, with the line of
//! the Aptfile that brings them. What layers need was noted when they were made; nothing is read here.
//!
//! Told and no error, because packages bring parts that few use (plugins of Qt, backends of numba), and no file says
//! which part an application loads. A wheel that was built here and links what stays behind with the compilers is an
//! error (`build_wheel`): that is what it was built for.

use std::collections::{BTreeMap, BTreeSet};

use crate::context::build_context::Context;
use crate::layer_cache::BuiltLayer;
use crate::layers::linkage::{LinkNeed, Linkage, WantedFile};
use crate::layers::notes::LayerNotes;
use crate::report::{Event, LayerStatus};
use serde::Deserialize as _;

/// Packages by library and by interpreter.
const TABLE: &str = include_str!("../../../builders/libraries.yaml");
/// A library that every image has whose libraries are known.
const C_LIBRARY: &str = "libc.so.6";
/// Beginnings of names of libraries that the machine's drivers bring into a container.
const OF_DRIVERS: [&str; 4] = ["libcuda.so", "libnvidia-", "libnvcuvid.so", "libnvoptix.so"];
/// Most packages that get a warning of their own, and most names in one warning.
const MAX_WARNINGS: usize = 4;
const MAX_NAMES: usize = 6;

impl Context<'_> {
    /// Tells of what files of these layers need and none of them has.
    pub(super) fn tell_needs(&self, layers: &[BuiltLayer]) {
        for (text, hint) in warnings(layers) {
            self.report.event(Event::Warning { text, hint });
        }
    }
}

/// What to say, and what to do about it.
fn warnings(layers: &[BuiltLayer]) -> Vec<(String, String)> {
    let is_known = |made: &BuiltLayer| {
        made.notes.is_some() || !matches!(made.status, LayerStatus::Remote | LayerStatus::Believed)
    };
    if !layers.iter().all(is_known) {
        return Vec::new();
    }
    let notes = layers.iter().filter_map(|made| made.notes.as_ref());
    let linkages: Vec<Linkage> = notes
        .filter_map(|notes| Some(LayerNotes::deserialize(notes).ok()?.linkage))
        .collect();
    let missing = missing(&linkages);
    if missing.is_empty() {
        return Vec::new();
    }
    let table: BTreeMap<String, String> = serde_yaml::from_str(TABLE).unwrap_or_default();
    let (own, others) = missing.split_at(missing.len().min(MAX_WARNINGS));
    let mut warnings: Vec<_> = own.iter().map(|of| of.told(&table)).collect();
    if !others.is_empty() {
        let all: BTreeSet<&WantedFile> = others.iter().flat_map(MissingFiles::wanted).collect();
        let owners: Vec<String> = others.iter().map(|of| of.owner.to_owned()).collect();
        warnings.push((
            format!(
                "{} more packages need what the image has not: {}",
                others.len(),
                listed(&owners)
            ),
            hint(&all, &table),
        ));
    }
    warnings
}

/// What one package needs and the image has not.
struct MissingFiles<'a> {
    owner: &'a str,
    needs: Vec<&'a LinkNeed>,
}

/// By package, in the order of their names.
fn missing(linkages: &[Linkage]) -> Vec<MissingFiles<'_>> {
    let libraries = |linkage: &Linkage| linkage.libraries.contains(C_LIBRARY);
    if !linkages.iter().any(libraries) {
        return Vec::new();
    }
    let is_there = |wanted: &WantedFile| linkages.iter().any(|linkage| linkage.has(wanted));
    let mut missing: BTreeMap<&str, Vec<&LinkNeed>> = BTreeMap::new();
    for need in linkages.iter().flat_map(|linkage| &linkage.needs) {
        if !is_of_drivers(&need.wanted) && !is_there(&need.wanted) {
            missing.entry(&need.owner).or_default().push(need);
        }
    }
    missing
        .into_iter()
        .map(|(owner, needs)| MissingFiles { owner, needs })
        .collect()
}

fn is_of_drivers(wanted: &WantedFile) -> bool {
    matches!(wanted, WantedFile::Library(name) if OF_DRIVERS.iter().any(|start| name.starts_with(start)))
}

impl MissingFiles<'_> {
    fn wanted(&self) -> impl Iterator<Item = &WantedFile> {
        self.needs.iter().map(|need| &need.wanted)
    }

    fn told(&self, table: &BTreeMap<String, String>) -> (String, String) {
        let all: BTreeSet<&WantedFile> = self.wanted().collect();
        let is_known = |wanted: &&&WantedFile| table.contains_key(name_of(wanted));
        let known = all.iter().filter(is_known);
        let unknown = all.iter().filter(|wanted| !is_known(wanted));
        let names: Vec<String> = known.chain(unknown).map(|wanted| shown(wanted)).collect();
        let first = self.needs.first().map_or("", |need| need.file.as_str());
        let files: usize = self.needs.iter().map(|need| need.files).max().unwrap_or(1);
        let others = match files {
            0 | 1 => String::new(),
            more => format!(" and {} more", more - 1),
        };
        (
            format!(
                "{} needs {}, which the image has not ({first}{others})",
                self.owner,
                listed(&names)
            ),
            hint(&all, table),
        )
    }
}

/// What brings these: lines of an Aptfile, and where to look for those that nobody knows.
fn hint(wanted: &BTreeSet<&WantedFile>, table: &BTreeMap<String, String>) -> String {
    let mut packages = BTreeSet::new();
    let mut unknown = Vec::new();
    for one in wanted {
        match table.get(name_of(one)) {
            Some(package) => _ = packages.insert(package.as_str()),
            None => unknown.push(name_of(one)),
        }
    }
    let mut hint = String::new();
    if !packages.is_empty() {
        let packages: Vec<&str> = packages.into_iter().collect();
        let one_a_line = if packages.len() > 1 {
            ", one a line,"
        } else {
            ""
        };
        hint = format!(
            "write {}{one_a_line} into Aptfile if the application uses that part",
            packages.join(", ")
        );
    }
    if let Some(first) = unknown.first() {
        if !hint.is_empty() {
            hint.push_str("; ");
        }
        hint.push_str(&format!(
            "`apt-file search {first}` names the package that has {}",
            if unknown.len() > 1 {
                "each of the others"
            } else {
                first
            }
        ));
    }
    hint
}

/// What a table knows it by.
fn name_of(wanted: &WantedFile) -> &str {
    match wanted {
        WantedFile::Library(name) | WantedFile::Program(name) => name,
        WantedFile::Path(path) => path.rsplit('/').next().unwrap_or(path),
    }
}

fn shown(wanted: &WantedFile) -> String {
    match wanted {
        WantedFile::Library(name) => name.clone(),
        WantedFile::Path(path) => format!("the interpreter {path}"),
        WantedFile::Program(name) => format!("the program {name}"),
    }
}

/// Names with commas between, the last of many left out.
fn listed(names: &[String]) -> String {
    let shown = names.get(..MAX_NAMES).unwrap_or(names).join(", ");
    match names.len().saturating_sub(MAX_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linkage(libraries: &[&str], needs: &[(&str, WantedFile, usize)]) -> Linkage {
        Linkage {
            libraries: libraries.iter().map(|&name| name.to_owned()).collect(),
            programs: BTreeSet::new(),
            needs: needs
                .iter()
                .map(|(owner, wanted, files)| LinkNeed {
                    owner: (*owner).to_owned(),
                    wanted: wanted.clone(),
                    file: format!("{owner}/first.so"),
                    files: *files,
                })
                .collect(),
        }
    }

    fn library(name: &str) -> WantedFile {
        WantedFile::Library(name.to_owned())
    }

    fn table() -> BTreeMap<String, String> {
        serde_yaml::from_str(TABLE).unwrap()
    }

    #[test]
    fn what_no_layer_has_is_told_with_its_packages() {
        let base = linkage(&["libc.so.6", "libz.so.1"], &[]);
        let wheels = linkage(
            &["libavcodec-1a.so.60"],
            &[
                ("cv 1", library("libGL.so.1"), 2),
                ("cv 1", library("libz.so.1"), 1),
                ("cv 1", library("libcuda.so.1"), 1),
                ("cv 1", library("libnobody.so.7"), 1),
                ("scripts 2", WantedFile::Path("/usr/bin/perl".to_owned()), 1),
            ],
        );
        let linkages = [base, wheels.clone()];
        let told: Vec<_> = missing(&linkages)
            .iter()
            .map(|one| one.told(&table()))
            .collect();
        assert_eq!(
            told,
            [
                (
                    "cv 1 needs libGL.so.1, libnobody.so.7, which the image has not (cv 1/first.so and 1 more)".to_owned(),
                    "write libgl1 into Aptfile if the application uses that part; `apt-file search libnobody.so.7` names the package that has libnobody.so.7".to_owned(),
                ),
                (
                    "scripts 2 needs the interpreter /usr/bin/perl, which the image has not (scripts 2/first.so)".to_owned(),
                    "write perl into Aptfile if the application uses that part".to_owned(),
                ),
            ]
        );
        // Where nobody knows what the base has, nothing is missing.
        assert!(missing(&[wheels]).is_empty());
    }

    #[test]
    fn the_table_is_sorted_out() {
        let table = table();
        assert!(table.len() > 100);
        for (name, package) in &table {
            assert!(
                !package.ends_with("-dev") && !package.contains(' '),
                "{name}: {package}"
            );
        }
        for (library, package) in [("libGL.so.1", "libgl1"), ("libxcb.so.1", "libxcb1")] {
            assert_eq!(table[library], package);
        }
    }
}
