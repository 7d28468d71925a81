//! Debian packages that distributions of Python are known to want: `builders/distributions.yaml`.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

use super::packages::ImpliedPackages;
use super::{BuildSteps, Decided, PlanError, ValueOrigin, Variables};
use crate::project::NamedPackage;

const TABLE: &str = include_str!("../../builders/distributions.yaml");
/// Whether they come by themselves: absent, or empty for none.
pub(crate) const SWITCH: &str = "S2R_SYSTEM_PACKAGES";

/// What one distribution wants.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DistributionNeeds {
    /// To build it from source.
    pub build: Vec<String>,
    pub run: Vec<String>,
    /// Distributions of which any brings all this itself.
    unless: Vec<String>,
}

fn table() -> &'static BTreeMap<String, DistributionNeeds> {
    static TABLE_READ: OnceLock<BTreeMap<String, DistributionNeeds>> = OnceLock::new();
    TABLE_READ.get_or_init(|| serde_yaml::from_str(TABLE).unwrap_or_default())
}

/// What building a distribution from source needs besides the builder's packages; the name normalised.
pub(crate) fn build_packages_of(distribution: &str) -> &'static [String] {
    let row = table().get(distribution);
    row.map_or(&[], |row| row.build.as_slice())
}

/// What distributions need to run, with the one that needs it; the names normalised.
pub(crate) fn run_packages_of<'a>(
    distributions: &[&'a str],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let rows = distributions
        .iter()
        .filter_map(|name| Some((*name, table().get(*name)?)));
    let rows: Vec<_> = rows
        .filter(|(_, row)| {
            let mut others = row.unless.iter();
            !others.any(|other| distributions.contains(&other.as_str()))
        })
        .collect();
    rows.into_iter()
        .flat_map(|(name, row)| row.run.iter().map(move |package| (package.as_str(), name)))
}

/// What comes by itself for the distributions that files name, where nothing says that nothing may.
///
/// # Errors
/// The variable holds names.
pub(super) fn decide(
    variables: &Variables,
    running: &BuildSteps,
    named: &[NamedPackage],
) -> Result<ImpliedPackages, PlanError> {
    // Its script installs what it likes, which nobody knows beforehand.
    if running.assemble.value {
        return Ok(ImpliedPackages::default());
    }
    match variables.written(SWITCH) {
        Some(value) if value.trim().is_empty() => return Ok(ImpliedPackages::default()),
        Some(_) => return Err(PlanError::SystemPackages),
        None => {}
    }
    let names: Vec<&str> = named.iter().map(|one| one.name.as_str()).collect();
    let place = |name: &str| named.iter().find(|one| one.name == name);
    let foreseen = run_packages_of(&names).map(|(package, name)| {
        let origin = place(name).map_or(ValueOrigin::Default, |one| {
            ValueOrigin::File(one.place.clone())
        });
        Decided::new(
            package.to_owned(),
            origin,
            format!("{name} needs it to run"),
        )
    });
    Ok(ImpliedPackages {
        may_come: true,
        foreseen: foreseen.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;

    #[test]
    fn the_table_is_sorted_and_knows_what_it_says() {
        let names: Vec<&str> = TABLE
            .lines()
            .filter(|line| !line.starts_with('#'))
            .filter_map(|line| Some(line.split_once(": ")?.0))
            .collect();
        assert!(names.len() >= 40 && names.is_sorted());
        assert_eq!(table().len(), names.len());
        for (name, row) in table() {
            assert!(!row.build.is_empty() || !row.run.is_empty(), "{name}");
            assert!(row.run.iter().all(|one| !one.ends_with("-dev")), "{name}");
            assert_eq!(*name, name.to_lowercase().replace(['_', '.'], "-"));
        }
        assert_eq!(build_packages_of("psycopg2"), ["libpq-dev"]);
        assert!(build_packages_of("flask").is_empty());
    }

    #[test]
    fn who_brings_it_along_needs_nothing() {
        let run = |names: &[&str]| run_packages_of(names).map(|one| one.0).collect::<Vec<_>>();
        assert_eq!(run(&["psycopg", "flask"]), ["libpq5"]);
        assert!(run(&["psycopg", "psycopg-binary"]).is_empty());
    }

    #[test]
    fn the_plan_shows_what_is_foreseen() {
        let files = [
            ("app.py", "import magic\nmagic.main()\n"),
            ("requirements.txt", "flask\npython-magic\n"),
        ];
        let plan = planned(&files, &[]).unwrap();
        let text = super::super::render(&plan);
        assert!(
            text.contains("libmagic1  (requirements.txt:2; python-magic needs it to run)"),
            "{text}"
        );
        assert!(plan.packages.of_project().is_empty());
        let none = planned(&files, &["S2R_SYSTEM_PACKAGES="]).unwrap();
        assert!(!super::super::render(&none).contains("libmagic1"));
        let refused = planned(&files, &["S2R_SYSTEM_PACKAGES=libmagic1"]).unwrap_err();
        assert!(refused.to_string().contains("S2R_SYSTEM_PACKAGES"));
    }
}
