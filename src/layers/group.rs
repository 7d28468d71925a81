//! Which packages share a layer.
//!
//! Large packages have layers of their own; small ones share a few, and which of those a package
//! is in follows from its name alone. So a package that is added, removed or brought to another
//! version changes no layer but its own. The one exception: when there are more large packages
//! than layers for them, the smallest of the large are put among the small ones, and adding a
//! large one may move another there.

use sha2::{Digest as _, Sha256};

/// From this length on, compressed, a package has a layer of its own: below it, another request
/// costs more than sending its neighbours again.
pub(crate) const LARGE_FROM_BYTES: u64 = 8 << 20;

/// Layers that small packages share, if there is room for as many.
pub(crate) const SHARED_LAYERS: usize = 4;

/// A package to place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GroupedPackage<'a> {
    pub name: &'a str,
    /// Its length in bytes, compressed.
    pub compressed_bytes: u64,
}

/// Divides packages into at most `max_layers` groups (at least one), none of them empty: indexes
/// into `packages`, in the order of names. Groups of one large package come first, in the order
/// of names as well. The order of `packages` does not matter; their names must differ.
pub(crate) fn group(packages: &[GroupedPackage<'_>], max_layers: usize) -> Vec<Vec<usize>> {
    let max_layers = max_layers.max(1);
    let shared = (max_layers / 2).clamp(1, SHARED_LAYERS);
    let mut large: Vec<usize> = (0..packages.len())
        .filter(|&index| packages[index].compressed_bytes >= LARGE_FROM_BYTES)
        .collect();
    large.sort_by_key(|&index| {
        (
            std::cmp::Reverse(packages[index].compressed_bytes),
            packages[index].name,
        )
    });
    large.truncate(max_layers - shared);
    large.sort_by_key(|&index| packages[index].name);
    let mut small = vec![Vec::new(); shared];
    for (index, package) in packages.iter().enumerate() {
        if !large.contains(&index) {
            small[shared_layer(package.name, shared)].push(index);
        }
    }
    let mut groups: Vec<Vec<usize>> = large.into_iter().map(|index| vec![index]).collect();
    for mut group in small.into_iter().filter(|group| !group.is_empty()) {
        group.sort_by_key(|&index| packages[index].name);
        groups.push(group);
    }
    groups
}

/// The shared layer for a name: the same on every machine and in every version of this program.
fn shared_layer(name: &str, shared: usize) -> usize {
    let first = Sha256::digest(name.as_bytes())[0];
    usize::from(first) % shared
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    type Sizes = BTreeMap<String, u64>;

    fn groups(sizes: &Sizes, max_layers: usize) -> Vec<Vec<String>> {
        let packages: Vec<GroupedPackage<'_>> = sizes
            .iter()
            .map(|(name, &compressed_bytes)| GroupedPackage {
                name,
                compressed_bytes,
            })
            .collect();
        group(&packages, max_layers)
            .into_iter()
            .map(|group| {
                group
                    .into_iter()
                    .map(|index| packages[index].name.to_owned())
                    .collect()
            })
            .collect()
    }

    fn sizes() -> impl Strategy<Value = Sizes> {
        proptest::collection::btree_map(
            "[a-z]{1,6}",
            prop_oneof![0..LARGE_FROM_BYTES, 0..90_000_000_u64],
            0..40,
        )
    }

    #[test]
    fn large_ones_are_alone() {
        let sizes = Sizes::from(
            [("numpy", 16 << 20), ("click", 1 << 16), ("scipy", 35 << 20)]
                .map(|(name, bytes)| (name.to_owned(), bytes)),
        );
        assert_eq!(groups(&sizes, 20), [["numpy"], ["scipy"], ["click"]]);
        assert_eq!(groups(&sizes, 2), [vec!["scipy"], vec!["click", "numpy"]]);
        assert_eq!(groups(&sizes, 1), [vec!["click", "numpy", "scipy"]]);
        assert_eq!(groups(&sizes, 0).len(), 1);
        assert!(groups(&Sizes::new(), 20).is_empty());
    }

    #[test]
    fn shared_layers_are_fixed() {
        let found = [
            "click", "flask", "jinja2", "werkzeug", "gunicorn", "blinker",
        ]
        .map(|name| shared_layer(name, SHARED_LAYERS));
        assert_eq!(found, [1, 0, 3, 0, 0, 3]);
    }

    proptest! {
        #[test]
        fn every_package_is_in_one_group(sizes in sizes(), max_layers in 1..30_usize) {
            let groups = groups(&sizes, max_layers);
            prop_assert!(groups.len() <= max_layers);
            prop_assert!(groups.iter().all(|group| !group.is_empty()));
            let all: Vec<_> = groups.into_iter().flatten().collect();
            prop_assert_eq!(all.len(), sizes.len());
            prop_assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), sizes.into_keys().collect());
        }

        #[test]
        fn order_does_not_matter(sizes in sizes(), max_layers in 1..30_usize) {
            let forward: Vec<_> =
                sizes.iter().map(|(name, &compressed_bytes)| GroupedPackage { name, compressed_bytes }).collect();
            let backward: Vec<_> = forward.iter().rev().copied().collect();
            let names = |packages: &[GroupedPackage<'_>]| -> Vec<Vec<String>> {
                group(packages, max_layers)
                    .into_iter()
                    .map(|group| group.into_iter().map(|it| packages[it].name.to_owned()).collect())
                    .collect()
            };
            prop_assert_eq!(names(&forward), names(&backward));
        }

        #[test]
        fn another_package_changes_at_most_its_own_group(
            sizes in sizes(), name in "[A-Z]{1,6}", bytes in 0..90_000_000_u64,
        ) {
            // So many layers that every large package has one.
            let before: BTreeSet<_> = groups(&sizes, 100).into_iter().collect();
            let mut more = sizes;
            more.insert(name.clone(), bytes);
            let after = groups(&more, 100);
            for group in after {
                prop_assert!(group.contains(&name) || before.contains(&group));
            }
        }
    }
}
