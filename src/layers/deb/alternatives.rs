//! The links that `update-alternatives` would have made: `convert`, `java`, `nc`, `awk`, `libblas.so.3`.
//!
//! Which they are stands in the maintainer scripts alone; they are read, not run. A choice counts if what it
//! names is there, and of several the one with the highest priority. Format: update-alternatives(1).

use super::gather::{AlternativeChoice, AlternativeLink};
use std::collections::BTreeMap;

use super::gather::{GatheredFiles, LINK, NodeKind};
use super::rules;
use super::script::ShellCommand;
use super::view::LayerView;

/// Where the links lead that others have as their targets.
const FOLDER: &str = "etc/alternatives";

/// A command that installs a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum InstallCommand {
    Known(AlternativeChoice),
    /// Which, only running the script would tell.
    Unknown,
}

/// Reads the choice that a command installs; none if it is another command.
pub(super) fn install(command: &ShellCommand, package: &str) -> Option<InstallCommand> {
    let (program, words) = command.split_first()?;
    let program = program.as_deref()?.rsplit('/').next()?;
    let at = words
        .iter()
        .position(|word| word.as_deref() == Some("--install"))?;
    if program != "update-alternatives" {
        return None;
    }
    let read = || {
        let words = words.get(at + 1..)?;
        let main = link(words)?;
        let priority = words.get(3)?.as_deref()?.parse().ok()?;
        let others = words.get(4..)?.iter().enumerate();
        let others =
            others.filter(|(_, word)| matches!(word.as_deref(), Some("--slave" | "--follower")));
        // A follower that is not known is most often a man page.
        let others = others.filter_map(|(at, _)| link(words.get(4 + at + 1..)?));
        Some(AlternativeChoice {
            main,
            others: others.collect(),
            priority,
            package: package.to_owned(),
        })
    };
    Some(read().map_or(InstallCommand::Unknown, InstallCommand::Known))
}

fn link(words: &[Option<String>]) -> Option<AlternativeLink> {
    let [Some(link), Some(name), Some(path), ..] = words else {
        return None;
    };
    let is_plain = |path: &str| path.starts_with('/') && !path.split('/').any(|part| part == "..");
    let fits = is_plain(link) && is_plain(path) && !name.is_empty() && !name.contains('/');
    fits.then(|| AlternativeLink {
        link: link.clone(),
        name: name.clone(),
        path: path.clone(),
    })
}

/// Puts the links that a layer's packages win.
pub(super) fn settle(view: &mut LayerView<'_>) {
    let mut best: BTreeMap<String, (bool, AlternativeChoice)> = BTreeMap::new();
    let of = |gathered: &GatheredFiles| gathered.choices.clone();
    let below = of(view.below).into_iter().map(|choice| (false, choice));
    let all = below.chain(of(view.top).into_iter().map(|choice| (true, choice)));
    for (is_ours, choice) in all {
        if view.resolve(choice.main.path.as_bytes()).is_none() {
            continue;
        }
        let name = &choice.main.name;
        if best
            .get(name)
            .is_none_or(|(_, other)| choice.priority > other.priority)
        {
            best.insert(name.clone(), (is_ours, choice));
        }
    }
    for (_, choice) in best.into_values().filter(|(is_ours, _)| *is_ours) {
        for link in std::iter::once(&choice.main).chain(&choice.others) {
            put(link, &choice.package, view);
        }
    }
}

fn put(link: &AlternativeLink, package: &str, view: &mut LayerView<'_>) {
    let Some(place) = rules::place(link.link.as_bytes()) else {
        return;
    };
    let is_link = |kind: &NodeKind| matches!(kind, NodeKind::Symlink(_));
    let is_free = view.node(&place).is_none_or(|node| is_link(&node.kind));
    if !is_free || !rules::is_wanted(&place, true) || view.resolve(link.path.as_bytes()).is_none() {
        return;
    }
    let middle = format!("{FOLDER}/{}", link.name);
    let target = format!("/{middle}");
    for (path, target) in [(middle.as_bytes(), &link.path), (&place, &target)] {
        let kind = NodeKind::Symlink(target.as_bytes().to_vec());
        view.top.put_of(package, path, kind, LINK);
    }
}
