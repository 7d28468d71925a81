//! What tests of several layers share.

use std::io::Read;

/// A line for each entry of a tar: mode, owner, path, and where a link leads.
pub(super) fn listing(tar: impl Read) -> Vec<String> {
    ::tar::Archive::new(tar)
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let header = entry.header();
            let link = entry
                .link_name_bytes()
                .map(|to| format!(" -> {}", String::from_utf8_lossy(&to)))
                .unwrap_or_default();
            format!(
                "{:o} {}:{} {}{link}",
                header.mode().unwrap(),
                header.uid().unwrap(),
                header.gid().unwrap(),
                String::from_utf8_lossy(&entry.path_bytes())
            )
        })
        .collect()
}
