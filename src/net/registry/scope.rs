//! What a token is good for: `repository:NAME:pull,push` (the Docker token specification, "Requesting a
//! Token"), and sets of it.

use std::collections::{BTreeMap, BTreeSet};

/// Scopes taken from a registry's challenge; one is the rule.
const MAX_CHALLENGED: usize = 4;

/// Scopes, those of one resource together, sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct TokenScopes {
    /// By `repository:NAME`, the actions.
    by_resource: BTreeMap<String, BTreeSet<String>>,
}

impl TokenScopes {
    /// Adds actions on a repository.
    pub(super) fn add(&mut self, repository: &str, actions: &[&str]) {
        let all = self
            .by_resource
            .entry(format!("repository:{repository}"))
            .or_default();
        all.extend(actions.iter().map(|&action| action.to_owned()));
    }

    /// Adds what a challenge asks for: several, with spaces between. A registry may know its
    /// repositories by other names than its clients do, and then says so here.
    pub(super) fn add_challenged(&mut self, text: &str) {
        for scope in text.split_whitespace().take(MAX_CHALLENGED) {
            let Some((resource, actions)) = scope.rsplit_once(':') else {
                continue;
            };
            if !resource.contains(':') {
                continue;
            }
            let all = self.by_resource.entry(resource.to_owned()).or_default();
            let actions = actions.split(',').filter(|action| !action.is_empty());
            all.extend(actions.map(str::to_owned));
        }
    }

    /// Whether everything in `other` is in here.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.by_resource.iter().all(|(resource, actions)| {
            self.by_resource
                .get(resource)
                .is_some_and(|own| actions.is_subset(own))
        })
    }

    pub(super) fn and(mut self, other: &Self) -> Self {
        for (resource, actions) in &other.by_resource {
            let own = self.by_resource.entry(resource.clone()).or_default();
            own.extend(actions.iter().cloned());
        }
        self
    }

    /// One word a resource.
    pub(super) fn words(&self) -> Vec<String> {
        let word = |(resource, actions): (&String, &BTreeSet<String>)| {
            let actions: Vec<&str> = actions.iter().map(String::as_str).collect();
            format!("{resource}:{}", actions.join(","))
        };
        self.by_resource.iter().map(word).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_joined() {
        let mut scopes = TokenScopes::default();
        scopes.add("team/app", &["push", "pull"]);
        scopes.add("base/python", &["pull"]);
        assert_eq!(
            scopes.words(),
            [
                "repository:base/python:pull",
                "repository:team/app:pull,push"
            ]
        );
        let mut asked = TokenScopes::default();
        asked.add_challenged("repository:team/app:pull");
        assert!(scopes.covers(&asked) && !asked.covers(&scopes));
        asked.add_challenged(
            "repository:docker-local/team/app:pull,push registry:catalog:* a b:c :",
        );
        assert!(!scopes.covers(&asked));
        assert_eq!(
            scopes.and(&asked).words(),
            [
                "registry:catalog:*",
                "repository:base/python:pull",
                "repository:docker-local/team/app:pull,push",
                "repository:team/app:pull,push",
            ]
        );
    }
}
