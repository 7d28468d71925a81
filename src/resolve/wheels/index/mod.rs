//! Pages of package indexes: which files of a project there are.
//!
//! Specified in <https://packaging.python.org/en/latest/specifications/simple-repository-api/>:
//! JSON (PEP 691) where the index has it, else HTML (PEP 503). Which of the two came is seen in
//! the text, because caches between here and the index are known to forget the `Accept` header.

pub(in crate::resolve::wheels) mod passed_over;
pub(in crate::resolve::wheels) mod releases;

use std::io::Read;

use serde::Deserialize;

use crate::packages::Sha256;
use crate::packages::python::{PackageName, PackageUrl, WheelFileName, is_wheel};
use crate::resolve::wheels::error::WheelError;
use crate::resolve::wheels::fetch::{GetRequest, GetResponse, IndexFetch, IndexFetchError};
use crate::resolve::wheels::settings::IndexSettings;

/// Largest page in bytes; the largest of the public index has about 30 MB.
const MAX_PAGE_BYTES: u64 = 64 * 1024 * 1024;
/// Most files of a page.
const MAX_FILES: usize = 500_000;
/// JSON first; HTML from indexes that have nothing else.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// One file of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProjectFile {
    pub name: String,
    /// Where it is, with the index's credentials if it is on the same host.
    pub url: PackageUrl,
    /// Its hash, if the index tells.
    pub sha256: Option<Sha256>,
    /// Its size, if the index tells.
    pub size_bytes: Option<u64>,
    /// The versions of Python it is for, as written.
    pub requires_python: Option<String>,
    /// Whether its author took it back.
    pub yanked: bool,
    /// Whether its metadata can be had by itself (PEP 658).
    pub has_metadata: bool,
    /// When it was uploaded, if the index tells (PEP 700).
    pub uploaded: Option<String>,
}

impl ProjectFile {
    /// Whether it is one of a project.
    pub(in crate::resolve::wheels) fn is_of(&self, name: &PackageName) -> bool {
        match self.name.parse::<WheelFileName>() {
            Ok(wheel) => wheel.name == *name,
            Err(_) => releases::sdist_version(&self.name, name).is_some(),
        }
    }
}

/// A file that s2r itself needs, by its name, in the first index that has it; of several names that will do, the
/// best first, the best that is to be had. Their hashes are known: any index will do, and one that fails keeps none of
/// the others from being asked.
///
/// # Errors
/// No index has any of them, and one does not answer.
pub(crate) fn find_tool(
    fetch: &dyn IndexFetch,
    indexes: &IndexSettings,
    project: &PackageName,
    names: &[&str],
) -> Result<Option<ProjectFile>, WheelError> {
    let mut failure = None;
    let mut best: Option<(usize, ProjectFile)> = None;
    for index in indexes.all() {
        match project_files(fetch, indexes, index, project) {
            Ok(files) => {
                for file in files {
                    let place = names.iter().position(|name| *name == file.name);
                    let is_better =
                        |place: &usize| best.as_ref().is_none_or(|(other, _)| place < other);
                    if let Some(place) = place.filter(is_better) {
                        best = Some((place, file));
                    }
                }
                if best.as_ref().is_some_and(|(place, _)| *place == 0) {
                    break;
                }
            }
            Err(error) => {
                failure.get_or_insert(error);
            }
        }
    }
    match (best, failure) {
        (Some((_, file)), _) => Ok(Some(file)),
        (None, failure) => failure.map_or(Ok(None), Err),
    }
}

/// The files of a project in the indexes that it is looked for in.
///
/// # Errors
/// An index that does not answer; a project that comes from no index.
pub(crate) fn files_of(
    fetch: &dyn IndexFetch,
    indexes: &IndexSettings,
    project: &PackageName,
) -> Result<Vec<ProjectFile>, WheelError> {
    for group in indexes.groups(project)? {
        let mut files = Vec::new();
        for index in group {
            files.extend(project_files(fetch, indexes, index, project)?);
        }
        if !files.is_empty() {
            return Ok(files);
        }
    }
    Ok(Vec::new())
}

/// The files of a project in one index; empty if the index does not know the project.
///
/// # Errors
/// The index does not answer, refuses, or sends what is no page.
pub(crate) fn project_files(
    fetch: &dyn IndexFetch,
    indexes: &IndexSettings,
    index: &PackageUrl,
    project: &PackageName,
) -> Result<Vec<ProjectFile>, WheelError> {
    let address = format!("{}/{project}/", index.as_str().trim_end_matches('/'));
    let failed = |error| WheelError::Index {
        url: address.clone(),
        error,
    };
    let url = PackageUrl::parse(&address)
        .map_err(|_| failed(IndexFetchError::Unreachable("it is no address".to_owned())))?
        .with_user_info(index.user_info().cloned());
    let request = GetRequest {
        url: &url,
        accept: ACCEPT,
        max_bytes: MAX_PAGE_BYTES,
    };
    let got = match fetch.get(&request) {
        Ok(got) => got,
        Err(IndexFetchError::Status(404 | 410)) => return Ok(Vec::new()),
        Err(IndexFetchError::Status(401 | 403))
            if let Some(variables) = indexes.login_variables(index) =>
        {
            return Err(WheelError::Login {
                url: address.clone(),
                variables,
            });
        }
        Err(error) => return Err(failed(error)),
    };
    let mut files = files_on(got).map_err(|error| match error {
        Some(error) => failed(error),
        None => WheelError::NoIndexPage {
            url: address.clone(),
        },
    })?;
    for file in &mut files {
        if file.url.user_info().is_none() {
            file.url = indexes.with_credentials(file.url.clone(), Some(index));
        }
    }
    keep_old(files, indexes, &address)
}

/// The files that were there by the time that is asked for.
///
/// # Errors
/// The page does not tell when they were uploaded.
fn keep_old(
    mut files: Vec<ProjectFile>,
    indexes: &IndexSettings,
    page: &str,
) -> Result<Vec<ProjectFile>, WheelError> {
    let Some(limit) = &indexes.taken.uploaded else {
        return Ok(files);
    };
    if files.iter().any(|file| file.uploaded.is_none()) {
        return Err(WheelError::NoUploadTime {
            url: page.to_owned(),
            limit: limit.clone(),
        });
    }
    files.retain(|file| {
        file.uploaded
            .as_deref()
            .is_some_and(|time| limit.allows(time))
    });
    Ok(files)
}

/// The files on all pages of links.
///
/// # Errors
/// As [`linked_files`].
pub(in crate::resolve::wheels) fn all_linked_files(
    fetch: &dyn IndexFetch,
    indexes: &IndexSettings,
) -> Result<Vec<ProjectFile>, WheelError> {
    let mut found = Vec::new();
    for page in &indexes.find_links {
        found.extend(linked_files(fetch, indexes, page)?);
    }
    Ok(found)
}

/// The files on a page of links (`--find-links`), whatever project they are of; an address that ends as a wheel
/// does is the file itself.
///
/// # Errors
/// The page cannot be had, or is none.
pub(in crate::resolve::wheels) fn linked_files(
    fetch: &dyn IndexFetch,
    indexes: &IndexSettings,
    page: &PackageUrl,
) -> Result<Vec<ProjectFile>, WheelError> {
    if is_wheel(&page.file_name()) {
        return Ok(vec![ProjectFile {
            name: page.file_name(),
            url: page.clone(),
            sha256: None,
            size_bytes: None,
            requires_python: None,
            yanked: false,
            has_metadata: false,
            uploaded: None,
        }]);
    }
    let failed = |error| WheelError::Index {
        url: page.to_string(),
        error,
    };
    let request = GetRequest {
        url: page,
        accept: ACCEPT,
        max_bytes: MAX_PAGE_BYTES,
    };
    let got = fetch.get(&request).map_err(failed)?;
    let mut files = files_on(got).map_err(|error| match error {
        Some(error) => failed(error),
        None => WheelError::NoIndexPage {
            url: page.to_string(),
        },
    })?;
    for file in &mut files {
        if file.url.user_info().is_none() {
            file.url = indexes.with_credentials(file.url.clone(), Some(page));
        }
    }
    keep_old(files, indexes, &page.to_string())
}

/// The files on a page; the error is none if it is no page.
fn files_on(got: GetResponse) -> Result<Vec<ProjectFile>, Option<IndexFetchError>> {
    let mut page = Vec::new();
    got.body
        .take(MAX_PAGE_BYTES + 1)
        .read_to_end(&mut page)
        .map_err(|error| IndexFetchError::Unreachable(error.to_string()))?;
    if page.len() as u64 > MAX_PAGE_BYTES {
        return Err(Some(IndexFetchError::TooLarge(MAX_PAGE_BYTES)));
    }
    read_page(&page, &got.final_url).ok_or(None)
}

/// Reads a page of either form; none if it is neither.
fn read_page(page: &[u8], base: &str) -> Option<Vec<ProjectFile>> {
    let base = reqwest::Url::parse(base).ok()?;
    let text = std::str::from_utf8(page).ok()?;
    let start = text.trim_start_matches('\u{feff}').trim_start();
    if start.starts_with('{') {
        read_json(start, &base)
    } else if start.starts_with('<') || start.is_empty() {
        Some(read_html(start, base))
    } else {
        None
    }
}

#[derive(Deserialize)]
struct JsonPage {
    files: Vec<JsonFile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct JsonFile {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: std::collections::BTreeMap<String, String>,
    size: Option<u64>,
    requires_python: Option<String>,
    /// `false`, `true`, or the reason.
    #[serde(default)]
    yanked: serde_json::Value,
    /// `false`, `true`, or hashes.
    #[serde(default, alias = "dist-info-metadata")]
    core_metadata: serde_json::Value,
    upload_time: Option<String>,
}

fn read_json(text: &str, base: &reqwest::Url) -> Option<Vec<ProjectFile>> {
    let page: JsonPage = serde_json::from_str(text).ok()?;
    let files = page.files.into_iter().take(MAX_FILES).filter_map(|file| {
        Some(ProjectFile {
            name: file.filename,
            url: PackageUrl::parse(base.join(&file.url).ok()?.as_str()).ok()?,
            sha256: file
                .hashes
                .get("sha256")
                .and_then(|digits| digits.parse().ok()),
            size_bytes: file.size,
            requires_python: file.requires_python,
            yanked: is_said(&file.yanked),
            has_metadata: is_said(&file.core_metadata),
            uploaded: file.upload_time,
        })
    });
    Some(files.collect())
}

/// Whether a value that may be more than true is.
fn is_said(value: &serde_json::Value) -> bool {
    !matches!(
        value,
        serde_json::Value::Bool(false) | serde_json::Value::Null
    )
}

/// Reads the anchors of an HTML page. Nothing else on such a page has a meaning, so that no HTML
/// reader is needed: tags are found by `<`, attributes by their quotes.
fn read_html(text: &str, mut base: reqwest::Url) -> Vec<ProjectFile> {
    let mut files = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('<') {
        rest = &rest[open + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.find("-->").map_or("", |end| &comment[end + 3..]);
            continue;
        }
        let name_end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (tag, after) = rest.split_at(name_end);
        rest = after;
        let is_base = tag.eq_ignore_ascii_case("base");
        if !is_base && !tag.eq_ignore_ascii_case("a") {
            continue;
        }
        let (attributes, after) = read_attributes(after);
        rest = after;
        let value = |name: &str| {
            attributes
                .iter()
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| unescape(value))
        };
        let Some(url) = value("href").and_then(|href| base.join(href.trim()).ok()) else {
            continue;
        };
        if is_base {
            base = url;
            continue;
        }
        let Ok(url) = PackageUrl::parse(url.as_str()) else {
            continue;
        };
        files.push(ProjectFile {
            name: url.file_name(),
            sha256: url
                .fragment()
                .and_then(|fragment| fragment.strip_prefix("sha256="))
                .and_then(|digits| digits.split('&').next())
                .and_then(|digits| digits.parse().ok()),
            url: without_fragment(url),
            size_bytes: None,
            requires_python: value("data-requires-python"),
            yanked: value("data-yanked").is_some(),
            has_metadata: value("data-core-metadata")
                .or_else(|| value("data-dist-info-metadata"))
                .is_some_and(|value| value != "false"),
            uploaded: None,
        });
        if files.len() >= MAX_FILES {
            break;
        }
    }
    files
}

fn without_fragment(url: PackageUrl) -> PackageUrl {
    let user_info = url.user_info().cloned();
    let text = url.as_str().split('#').next().unwrap_or_default();
    PackageUrl::parse(text).map_or(url, |url| url.with_user_info(user_info))
}

/// The attributes up to `>`, and the text after it.
fn read_attributes(text: &str) -> (Vec<(&str, &str)>, &str) {
    let mut attributes = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('>') {
            return (attributes, after);
        }
        let end = rest
            .find(|c: char| c.is_whitespace() || matches!(c, '=' | '>'))
            .unwrap_or(rest.len())
            .max(1);
        // A character that is no attribute name is passed over whole.
        let end = (end..=rest.len())
            .find(|at| rest.is_char_boundary(*at))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let after = after.trim_start();
        let Some(value) = after.strip_prefix('=').map(str::trim_start) else {
            attributes.push((name, ""));
            rest = after;
            continue;
        };
        let (value, after) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split_once(quote).unwrap_or((&value[1..], "")),
            _ => value.split_at(
                value
                    .find(|c: char| c.is_whitespace() || c == '>')
                    .unwrap_or(value.len()),
            ),
        };
        attributes.push((name, value));
        rest = after.trim_start();
    }
    (attributes, rest)
}

/// Undoes the character references that indexes write.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let reference = rest.split_once(';').filter(|(name, _)| name.len() <= 8);
        let character = reference.and_then(|(name, _)| match name {
            "amp" => Some('&'),
            "lt" => Some('<'),
            "gt" => Some('>'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => {
                let number = name.strip_prefix('#')?;
                let code = number
                    .strip_prefix(['x', 'X'])
                    .map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
                code.ok().and_then(char::from_u32)
            }
        });
        match (character, reference) {
            (Some(character), Some((_, after))) => {
                plain.push(character);
                rest = after;
            }
            _ => plain.push('&'),
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HASH: &str = "e18a57b8b352eb7c8feb317b9f6f533c8f0ad9673fd6cf34bbe3cf1a9f6a8984";

    #[test]
    fn both_forms_say_the_same() {
        let html = format!(
            "<!DOCTYPE html><html><!-- <a href='no'> --><body>\n<a href=\"../../packages/x-1.tar.gz#sha256={HASH}\" \
             data-requires-python=\"&gt;=3.9\">x-1.tar.gz</a><br/>\
             <A HREF='https://f/x-1-py3-none-any.whl' data-yanked>x</A></body>"
        );
        let json = format!(
            r#"{{"meta":{{}},"files":[
            {{"filename":"x-1.tar.gz","url":"../../packages/x-1.tar.gz","hashes":{{"sha256":"{HASH}"}},"requires-python":">=3.9","yanked":false}},
            {{"filename":"x-1-py3-none-any.whl","url":"https://f/x-1-py3-none-any.whl","hashes":{{}},"yanked":"bad"}}]}}"#
        );
        let base = "https://h/simple/x/";
        let files = read_page(html.as_bytes(), base).unwrap();
        assert_eq!(files, read_page(json.as_bytes(), base).unwrap());
        assert_eq!(files[0].url.as_str(), "https://h/packages/x-1.tar.gz");
        assert_eq!(files[0].sha256, Some(HASH.parse().unwrap()));
        assert_eq!(files[0].requires_python.as_deref(), Some(">=3.9"));
        assert!(files[1].yanked && !files[0].yanked);
    }

    #[test]
    fn other_text_is_no_page() {
        assert!(read_page(b"hello", "https://h/").is_none());
        assert!(read_page(b"{\"x\":1}", "https://h/").is_none());
        assert!(read_page(b"\xff\xfe", "https://h/").is_none());
        assert_eq!(read_page(b"", "https://h/"), Some(vec![]));
    }

    #[test]
    fn a_base_tag_moves_links() {
        let files = read_page(
            b"<html><base href='https://cdn/y/'><a href=z-1.zip>z",
            "https://h/",
        )
        .unwrap();
        assert_eq!(files[0].url.as_str(), "https://cdn/y/z-1.zip");
    }

    proptest! {
        #[test]
        fn never_panics(text in "(?s)(<|>|a|base|href|=|\"|'|&|#|;|ä| |!--|-->|https://h/|/){0,40}") {
            let _ = read_page(format!("<{text}").as_bytes(), "https://h/s/");
        }
    }
}
