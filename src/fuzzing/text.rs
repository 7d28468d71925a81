//! Addresses, and what of them may be shown.

use std::path::Path;

use crate::net::ShownUrl;
use crate::packages::python::{DirectUrl, PackageUrl, shown};
use crate::source::location::SourceLocation;

/// Stands for a password.
const SECRET: &str = "hunter2secret";

/// Addresses: none is printed with its password, whatever the password has in it.
pub fn url(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let _ = SourceLocation::parse(Path::new(text.as_ref()), None, Path::new("/nonexistent"));
    if let Ok(url) = PackageUrl::parse(&text) {
        let again = PackageUrl::parse(url.as_str()).unwrap();
        assert_eq!(again.as_str(), url.as_str());
        assert!(again.user_info().is_none(), "{url}");
        let _ = (
            url.origin(),
            url.without_fragment(),
            url.file_name(),
            url.fragment(),
        );
    }
    let _ = (ShownUrl::parse(&text), shown(&text));
    let rest: String = text
        .chars()
        .filter(|one| !"/?#\"'`".contains(*one))
        .collect();
    if rest.contains(char::is_whitespace) {
        return;
    }
    for whole in [
        format!("https://user:{rest}{SECRET}@h.example.com/simple"),
        format!("https://{SECRET}{rest}@h.example.com/simple"),
    ] {
        hides(&whole, &shown(&whole));
        hides(&whole, &ShownUrl::parse(&whole).to_string());
        if let Ok(url) = PackageUrl::parse(&whole) {
            hides(&whole, &format!("{url} {url:?}"));
        }
        if let Ok(url) = DirectUrl::parse(&whole) {
            hides(&whole, &format!("{url} {url:?}"));
        }
    }
}

fn hides(whole: &str, shown: &str) {
    assert!(!shown.contains(SECRET), "{whole} is shown as {shown}");
}
