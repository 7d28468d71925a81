//! `--no-binary` and `--only-binary`: which packages must come from source, and which must not.
//!
//! pip's rules: names or `:all:` with commas between, `:none:` takes everything back; of a name the last
//! option counts, and a name goes before `:all:`.

use std::collections::BTreeSet;

use crate::packages::python::PackageName;

/// What files of a package will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormatRule {
    /// A wheel if there is one, else one is built.
    Any,
    /// `--only-binary`: nothing is built.
    Wheel,
    /// `--no-binary`: built, even if there is a wheel.
    Source,
}

/// The options in their order, each value as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormatRules {
    orders: Vec<(FormatOption, String)>,
    /// `--prefer-binary`: an older wheel goes before a newer source distribution.
    prefers_wheels: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FormatOption {
    NoBinary,
    OnlyBinary,
}

impl FormatRules {
    pub(crate) fn no_binary(&mut self, value: &str) {
        self.orders.push((FormatOption::NoBinary, value.to_owned()));
    }

    pub(crate) fn only_binary(&mut self, value: &str) {
        self.orders
            .push((FormatOption::OnlyBinary, value.to_owned()));
    }

    pub(crate) fn prefer_wheels(&mut self) {
        self.prefers_wheels = true;
    }

    /// Whether an older wheel goes before a newer source distribution, whatever else is said.
    pub(crate) fn prefers_wheels(&self) -> bool {
        self.prefers_wheels
    }

    pub(crate) fn merge(&mut self, later: Self) {
        self.prefers_wheels |= later.prefers_wheels;
        self.orders.extend(later.orders);
    }

    /// What will do for a package.
    pub(crate) fn of(&self, name: &PackageName) -> FormatRule {
        let mut from_source = PackageNames::default();
        let mut from_wheels = PackageNames::default();
        for (kind, value) in &self.orders {
            match kind {
                FormatOption::NoBinary => from_source.take(value, &mut from_wheels),
                FormatOption::OnlyBinary => from_wheels.take(value, &mut from_source),
            }
        }
        if from_wheels.names.contains(name) {
            FormatRule::Wheel
        } else if from_source.names.contains(name) {
            FormatRule::Source
        } else if from_wheels.is_all {
            FormatRule::Wheel
        } else if from_source.is_all {
            FormatRule::Source
        } else {
            FormatRule::Any
        }
    }
}

/// The names of one of both options.
#[derive(Default)]
struct PackageNames {
    is_all: bool,
    names: BTreeSet<PackageName>,
}

impl PackageNames {
    /// Takes a value; what it names is no longer named by the other option.
    fn take(&mut self, value: &str, other: &mut Self) {
        for word in value.split(',').map(str::trim) {
            match word {
                ":all:" => {
                    *other = Self::default();
                    *self = Self {
                        is_all: true,
                        ..Self::default()
                    };
                }
                ":none:" => *self = Self::default(),
                word => {
                    if let Ok(name) = word.parse::<PackageName>() {
                        other.names.remove(&name);
                        self.names.insert(name);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::FormatRule::{Any, Source, Wheel};
    use super::*;

    #[test]
    fn the_last_option_counts_and_names_go_before_all() {
        let formats = |orders: &[&str]| {
            let mut formats = FormatRules::default();
            for order in orders {
                match order.split_once(' ') {
                    Some(("no", value)) => formats.no_binary(value),
                    Some((_, value)) => formats.only_binary(value),
                    None => {}
                }
            }
            let of = |name: &str| formats.of(&name.parse().unwrap());
            (of("a"), of("b-c"))
        };
        for (orders, expected) in [
            (&[][..], (Any, Any)),
            (&["no a, B_c"], (Source, Source)),
            (&["only :all:"], (Wheel, Wheel)),
            (&["only :all:", "no a"], (Source, Wheel)),
            (&["no a", "only :all:"], (Wheel, Wheel)),
            (&["no :all:", "only a"], (Wheel, Source)),
            (&["no a", "only a"], (Wheel, Any)),
            (&["no a,b.c", "no :none:"], (Any, Any)),
            (&["no :all:,:none:,a"], (Source, Any)),
        ] {
            assert_eq!(formats(orders), expected, "{orders:?}");
        }
    }
}
