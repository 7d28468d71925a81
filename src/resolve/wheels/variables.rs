//! Values of variables of pip and uv: the address of an index, one of some words.

use crate::packages::python::UrlSecret;
use std::collections::BTreeMap;

use super::error::WheelError;
use crate::packages::python::conditions::login_variable;
use crate::packages::python::switches::named_address;
use crate::packages::python::{LineError, PackageUrl};

/// The value of a variable of uv that takes one of some words.
///
/// # Errors
/// It is none of them.
pub(super) fn word(
    environment: &BTreeMap<String, String>,
    name: &'static str,
    known: &[&str],
) -> Result<Option<String>, WheelError> {
    match environment.get(name).filter(|value| !value.is_empty()) {
        Some(value) if !known.contains(&value.as_str()) => Err(WheelError::Switch {
            name,
            why: "s2r does not know this value",
        }),
        found => Ok(found.cloned()),
    }
}

/// The address of an index in a variable.
///
/// # Errors
/// It is none.
pub(super) fn index_address(variable: &'static str, text: &str) -> Result<PackageUrl, WheelError> {
    PackageUrl::of_index(text).map_err(|reason| WheelError::Address {
        variable,
        error: LineError::Address {
            option: variable.to_owned(),
            reason,
        },
    })
}

/// The index that is asked in place of the public one.
///
/// # Errors
/// Its address is none; two variables name another one each.
pub(super) fn first_index(
    environment: &BTreeMap<String, String>,
) -> Result<Option<PackageUrl>, WheelError> {
    let mut found: Option<PackageUrl> = None;
    for name in ["PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX"] {
        let Some(word) = (environment.get(name)).and_then(|value| value.split_whitespace().last())
        else {
            continue;
        };
        let (label, address) = named_address(word);
        let login = login_variable("UV_INDEX", label);
        let url = with_login(index_address(name, address)?, login.as_deref(), environment);
        let address = |url: &PackageUrl| url.as_str().trim_end_matches('/').to_owned();
        if found
            .as_ref()
            .is_some_and(|other| address(other) != address(&url))
        {
            return Err(WheelError::Switch {
                name,
                why: "PIP_INDEX_URL, UV_INDEX_URL and UV_DEFAULT_INDEX mean the same, and name different indexes",
            });
        }
        if found
            .as_ref()
            .is_none_or(|other| other.user_info().is_none())
        {
            found = Some(url);
        }
    }
    Ok(found)
}

/// The address with the login that a tool's variables hold for an index; they begin with `start`.
pub(super) fn with_login(
    url: PackageUrl,
    start: Option<&str>,
    environment: &BTreeMap<String, String>,
) -> PackageUrl {
    let Some(start) = start else {
        return url;
    };
    let value = |end: &str| {
        let value = environment.get(&format!("{start}_{end}"));
        value.filter(|value| !value.is_empty())
    };
    let (user, password) = (value("USERNAME"), value("PASSWORD"));
    if user.is_none() && password.is_none() {
        return url;
    }
    let user = user.map_or_else(String::new, |user| encoded(user));
    let login = match password {
        Some(password) => format!("{user}:{}", encoded(password)),
        None => user,
    };
    url.with_user_info(Some(UrlSecret::new(login)))
}

/// Percent-encodes what has a meaning in an address.
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use crate::packages::python::{IndexOptions, UrlSecret};
    use crate::resolve::wheels::settings::IndexSettings;

    #[test]
    fn variables_of_uv_mean_what_those_of_pip_mean() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter();
            let pairs = pairs.map(|&(name, value)| (name.to_owned(), value.to_owned()));
            IndexSettings::new(&IndexOptions::default(), &pairs.collect())
        };
        let indexes = read(&[
            ("UV_INDEX_URL", "https://u:p@a/simple"),
            ("PIP_INDEX_URL", "https://a/simple/"),
            ("UV_FIND_LINKS", "https://b/links, wheels"),
        ])
        .unwrap();
        assert_eq!(indexes.find_links[0].as_str(), "https://b/links");
        assert_eq!(indexes.folders[0].path, "wheels");
        let default = indexes.default.unwrap();
        assert_eq!(default.user_info().map(UrlSecret::reveal), Some("u:p"));
        assert!(read(&[("UV_NO_INDEX", "1")]).unwrap().default.is_none());
        for other in ["https://b/simple", "file:///etc/passwd"] {
            let both = [
                ("PIP_INDEX_URL", "https://a/simple"),
                ("UV_DEFAULT_INDEX", other),
            ];
            assert!(read(&both).is_err(), "{other}");
        }
    }
}
