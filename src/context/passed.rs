//! Variables of the caller that files of the project may name (`--pass-env`), and how their values are
//! kept out of what is said and written.

use std::collections::BTreeMap;

use crate::net::{Secret, SecretFilter};

/// The variables, with their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct PassedVariables {
    variables: BTreeMap<String, Secret>,
    veil: SecretFilter,
}

/// A name that cannot be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotPassed {
    /// `${NAME}` cannot name it.
    #[error("files of a project name variables by upper case letters, digits and _ alone")]
    Name,
    /// It has no value here.
    #[error("it is not set here, or is empty")]
    Unset,
}

impl PassedVariables {
    /// Adds a variable of the caller's environment.
    ///
    /// # Errors
    /// A name that no file can name, or one without a value.
    pub(crate) fn add(
        &mut self,
        name: &str,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), NotPassed> {
        let is_of_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(is_of_name) {
            return Err(NotPassed::Name);
        }
        let value = environment.get(name).filter(|value| !value.is_empty());
        let value = Secret::new(value.ok_or(NotPassed::Unset)?);
        self.veil = std::mem::take(&mut self.veil).and(&value);
        self.variables.insert(name.to_owned(), value);
        Ok(())
    }

    /// The variables by name.
    pub(crate) fn variables(&self) -> impl Iterator<Item = (String, String)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().to_owned()))
    }

    /// What is to be said, without the values.
    pub(crate) fn hide(&self, text: &str) -> String {
        self.veil.over(text)
    }

    /// Puts `${NAME}` back where a value is a whole part of an address: what is kept or written then
    /// holds no secret, and means the same where the variable is passed on again.
    pub(crate) fn put_names_back(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.variables {
            text = put_back(&text, value.expose(), &format!("${{{name}}}"));
        }
        text
    }
}

fn put_back(text: &str, value: &str, name: &str) -> String {
    let is_start = |c: char| matches!(c, '/' | '=' | ':' | '@' | '&' | '?');
    let is_end = |c: char| matches!(c, '/' | '&' | '#' | '"' | '\'' | '@' | ':' | '?' | '\n');
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, from) = rest.split_at(at);
        let after = &from[value.len()..];
        whole.push_str(before);
        let is_part = whole.ends_with(is_start) && (after.is_empty() || after.starts_with(is_end));
        whole.push_str(if is_part { name } else { value });
        rest = after;
    }
    whole.push_str(rest);
    whole
}

#[cfg(test)]
mod tests {
    use crate::context::passed::*;

    fn passed(pairs: &[(&str, &str)]) -> PassedVariables {
        let variables: BTreeMap<String, String> = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut passed = PassedVariables::default();
        for name in variables.keys() {
            passed.add(name, &variables).unwrap();
        }
        passed
    }

    #[test]
    fn only_what_has_a_value_and_can_be_named() {
        let variables = BTreeMap::from([("EMPTY".to_owned(), String::new())]);
        let mut passed = PassedVariables::default();
        assert_eq!(passed.add("EMPTY", &variables), Err(NotPassed::Unset));
        assert_eq!(passed.add("NONE", &variables), Err(NotPassed::Unset));
        assert_eq!(passed.add("lower", &variables), Err(NotPassed::Name));
        assert_eq!(passed.add("", &variables), Err(NotPassed::Name));
    }

    #[test]
    fn values_are_hidden_and_names_put_back() {
        let passed = passed(&[("TOKEN", "s3cr3t-t0k3n"), ("APP", "flask")]);
        assert_eq!(passed.hide("at h/s3cr3t-t0k3n/x"), "at h/***/x");
        assert!(!format!("{passed:?}").contains("s3cr3t"));
        assert_eq!(
            passed.put_names_back("url = \"https://h/s3cr3t-t0k3n/flask-1.whl?k=s3cr3t-t0k3n\""),
            "url = \"https://h/${TOKEN}/flask-1.whl?k=${TOKEN}\""
        );
    }
}
