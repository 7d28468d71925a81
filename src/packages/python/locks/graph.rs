//! The packages of a lock and what each needs: which of them an environment gets, extras included.

use std::collections::{BTreeMap, BTreeSet};

use pep440_rs::{Version, VersionSpecifiers};
use pep508_rs::{ExtraName, MarkerEnvironment, MarkerTree};

use super::{LockFileError, normalised, unreadable};

/// Packages that older tools leave out of their locks on purpose.
const LEFT_OUT: [&str; 4] = ["pip", "setuptools", "wheel", "distribute"];

/// A package that something needs.
#[derive(Clone)]
pub(super) struct LockEdge {
    pub name: String,
    /// The versions that are meant, where the lock has several.
    pub versions: Option<VersionSpecifiers>,
    /// The extras that it is wanted with.
    pub extras: Vec<ExtraName>,
    /// Where it is needed at all; may ask for extras of the package that needs it.
    pub marker: MarkerTree,
    /// Only with one of these extras of the package that needs it; empty means always.
    pub only_with: Vec<ExtraName>,
}

pub(super) struct LockNode {
    pub name: String,
    pub version: Option<Version>,
    /// The environments that this version is for.
    pub marker: MarkerTree,
    pub edges: Vec<LockEdge>,
}

/// The packages that are reached from some wishes: their places in `nodes`.
///
/// # Errors
/// A package that is needed and not there.
pub(super) fn reach(
    path: &'static str,
    nodes: &[LockNode],
    wishes: &[LockEdge],
    environment: &MarkerEnvironment,
    extras: &[ExtraName],
) -> Result<BTreeSet<usize>, LockFileError> {
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (at, node) in nodes.iter().enumerate() {
        by_name.entry(&node.name).or_default().push(at);
    }
    let mut reached: BTreeMap<usize, BTreeSet<ExtraName>> = BTreeMap::new();
    let mut pending: Vec<usize> = Vec::new();
    let follow = |edges: &[LockEdge],
                  active: &[ExtraName],
                  by: &str,
                  pending: &mut Vec<usize>,
                  reached: &mut BTreeMap<usize, BTreeSet<ExtraName>>|
     -> Result<(), LockFileError> {
        for edge in edges {
            let is_asked = edge.only_with.is_empty()
                || edge.only_with.iter().any(|extra| active.contains(extra));
            if !is_asked || !edge.marker.evaluate(environment, active) {
                continue;
            }
            let named = by_name
                .get(edge.name.as_str())
                .map_or(&[][..], Vec::as_slice);
            let fits = |at: &&usize| {
                let node = &nodes[**at];
                let is_meant = match (&edge.versions, &node.version) {
                    (Some(versions), Some(version)) => versions.contains(version),
                    _ => true,
                };
                is_meant && node.marker.evaluate(environment, extras)
            };
            let mut found: Vec<usize> = named.iter().filter(fits).copied().collect();
            // One version is the one; a range that this program reads otherwise does not hide it.
            if let (true, [only]) = (found.is_empty(), named) {
                found.push(*only);
            }
            if found.is_empty() && !LEFT_OUT.contains(&edge.name.as_str()) {
                let reason = format!("{by} needs {}, which it does not list", edge.name);
                return Err(unreadable(path, reason));
            }
            for at in found {
                let is_new = !reached.contains_key(&at);
                let known = reached.entry(at).or_default();
                let before = known.len();
                known.extend(edge.extras.iter().cloned());
                if is_new || known.len() > before {
                    pending.push(at);
                }
            }
        }
        Ok(())
    };
    follow(wishes, extras, "the project", &mut pending, &mut reached)?;
    while let Some(at) = pending.pop() {
        let active: Vec<ExtraName> = reached
            .get(&at)
            .map(|extras| extras.iter().cloned().collect())
            .unwrap_or_default();
        let node = &nodes[at];
        follow(&node.edges, &active, &node.name, &mut pending, &mut reached)?;
    }
    Ok(reached.into_keys().collect())
}

impl LockEdge {
    /// A package by name alone.
    pub(super) fn to(name: &str) -> Self {
        Self {
            name: normalised(name),
            versions: None,
            extras: Vec::new(),
            marker: MarkerTree::TRUE,
            only_with: Vec::new(),
        }
    }
}
