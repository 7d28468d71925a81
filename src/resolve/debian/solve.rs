//! The closure of a package list: what it names, and what that needs, without `Recommends`.
//!
//! Deterministic and without search: of alternatives the first one that can be had, of a name's
//! versions the newest, of providers the first by name. Where that meets no answer, apt's full
//! solver might; base lists are short, so an error that says why serves better than a search.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    error::DebianError,
    index::{PackageOffer, SuiteIndex},
};
use crate::packages::debian::{AnyOf, DebArtefact, DebianBase, PackageRelation};

/// Most packages in one base.
const MAX_PACKAGES: usize = 2000;
/// Who needs the packages of the list.
const BUILDER: &str = "the builder's package list";

/// What is needed, and by whom.
struct PackageNeed {
    group: AnyOf,
    needed_by: String,
    /// Whether what is left out otherwise counts: who names perl means one that runs, perl-base included, and
    /// what lies above a base has all that it needs.
    is_meant: bool,
}

/// Chooses the packages of `base`; sorted by name. Those above it do not change the choice of the others.
pub(super) fn solve(
    base: &DebianBase,
    index: &SuiteIndex,
) -> Result<Vec<DebArtefact>, DebianError> {
    let mut chosen: BTreeMap<String, PackageOffer> = BTreeMap::new();
    let left_out = base.leave_out.iter().map(String::as_str).collect();
    close(named(&base.packages)?, &left_out, index, &mut chosen)?;
    close(named(&base.added)?, &BTreeSet::new(), index, &mut chosen)?;
    Ok(chosen.into_values().map(artefact).collect())
}

fn named(packages: &[String]) -> Result<VecDeque<PackageNeed>, DebianError> {
    let need = |package: &String| {
        let relation: PackageRelation = package.parse().map_err(|_| DebianError::NoPackage {
            relation: package.clone(),
            needed_by: BUILDER.to_owned(),
        })?;
        Ok(PackageNeed {
            group: AnyOf(vec![relation]),
            needed_by: BUILDER.to_owned(),
            is_meant: true,
        })
    };
    packages.iter().map(need).collect()
}

/// Adds what is needed, and what that needs.
fn close(
    mut open: VecDeque<PackageNeed>,
    left_out: &BTreeSet<&str>,
    index: &SuiteIndex,
    chosen: &mut BTreeMap<String, PackageOffer>,
) -> Result<(), DebianError> {
    while let Some(need) = open.pop_front() {
        let group = &need.group;
        let is_left_out = |one: &PackageRelation| left_out.contains(one.name.as_str());
        if !need.is_meant && group.0.iter().any(is_left_out) {
            continue;
        }
        if group.0.iter().any(|one| is_met(one, chosen)) {
            continue;
        }
        let Some(offer) = choose(group, index, chosen)? else {
            return Err(no_answer(group, need.needed_by, chosen));
        };
        if chosen.len() >= MAX_PACKAGES {
            return Err(DebianError::TooMany {
                limit: MAX_PACKAGES,
            });
        }
        let needed_by = format!("{} {}", offer.package.name, offer.package.version);
        let is_meant = left_out.contains(offer.package.name.as_str());
        for group in &offer.package.depends.0 {
            open.push_back(PackageNeed {
                group: group.clone(),
                needed_by: needed_by.clone(),
                is_meant,
            });
        }
        chosen.insert(offer.package.name.clone(), offer);
    }
    Ok(())
}

/// Whether a chosen package meets the relation, by its name or by what it provides.
fn is_met(relation: &PackageRelation, chosen: &BTreeMap<String, PackageOffer>) -> bool {
    chosen
        .get(&relation.name)
        .is_some_and(|offer| relation.admits(&offer.package.version))
        || chosen.values().any(|offer| provides(offer, relation))
}

fn provides(offer: &PackageOffer, relation: &PackageRelation) -> bool {
    offer
        .package
        .provides
        .iter()
        .any(|provide| relation.admits_provide(provide))
}

/// The first alternative that can be had: by name in its newest version, else by a provider.
fn choose(
    group: &AnyOf,
    index: &SuiteIndex,
    chosen: &BTreeMap<String, PackageOffer>,
) -> Result<Option<PackageOffer>, DebianError> {
    for relation in &group.0 {
        if !chosen.contains_key(&relation.name)
            && let Some(offer) = newest(index.named(&relation.name)?)
            && relation.admits(&offer.package.version)
        {
            return Ok(Some(offer));
        }
        let mut providers: Vec<String> = index
            .providing(&relation.name)?
            .into_iter()
            .map(|offer| offer.package.name)
            .filter(|name| !chosen.contains_key(name))
            .collect();
        providers.sort();
        providers.dedup();
        for name in providers {
            if let Some(offer) = newest(index.named(&name)?)
                && provides(&offer, relation)
            {
                return Ok(Some(offer));
            }
        }
    }
    Ok(None)
}

/// The newest version; of equal ones the one of the suite that was read first.
fn newest(offers: Vec<PackageOffer>) -> Option<PackageOffer> {
    offers.into_iter().reduce(|best, offer| {
        if offer.package.version > best.package.version {
            offer
        } else {
            best
        }
    })
}

/// Tells a missing package from one that is there in a version that does not fit.
fn no_answer(
    group: &AnyOf,
    needed_by: String,
    chosen: &BTreeMap<String, PackageOffer>,
) -> DebianError {
    let relation = group.to_string();
    match group.0.iter().find_map(|one| chosen.get(&one.name)) {
        Some(offer) => DebianError::Conflict {
            chosen: format!("{} {}", offer.package.name, offer.package.version),
            relation,
            needed_by,
        },
        None => DebianError::NoPackage {
            relation,
            needed_by,
        },
    }
}

fn artefact(offer: PackageOffer) -> DebArtefact {
    let PackageOffer { package, suite } = offer;
    DebArtefact {
        url: format!("{}/{}", suite.archive, package.filename),
        snapshot_url: suite
            .snapshot
            .map(|snapshot| format!("{snapshot}/{}", package.filename)),
        package: package.name,
        version: package.version.to_string(),
        architecture: package.architecture,
        sha256: package.sha256,
        size: package.size,
    }
}
