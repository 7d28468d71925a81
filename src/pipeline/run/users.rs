//! The users that an image knows, by its own `/etc/passwd` and `/etc/group` (passwd(5), group(5)).

use std::fs;
use std::path::PathBuf;

use crate::layers::viewer::ImageUser;

/// Who the image knows.
#[derive(Default)]
pub(super) struct UserTable {
    passwd: String,
    group: String,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct UserEntry {
    pub user: u32,
    pub group: u32,
    pub home: String,
}

impl UserEntry {
    pub(super) fn viewer(&self) -> Option<ImageUser> {
        ImageUser::new(self.user, self.group)
    }
}

impl UserTable {
    /// From the topmost folder that has them. No link is followed: it would lead out of the folder.
    pub(super) fn read(lower: &[PathBuf]) -> Self {
        /// Longer ones are none.
        const LIMIT_BYTES: u64 = 1 << 20;
        let text = |name: &str| {
            lower
                .iter()
                .rev()
                .find_map(|folder| {
                    let is_folder = fs::symlink_metadata(folder.join("etc"))
                        .is_ok_and(|metadata| metadata.is_dir());
                    let path = folder.join("etc").join(name);
                    let metadata = fs::symlink_metadata(&path).ok()?;
                    if !is_folder || !metadata.is_file() || metadata.len() > LIMIT_BYTES {
                        return None;
                    }
                    fs::read_to_string(path).ok()
                })
                .unwrap_or_default()
        };
        Self {
            passwd: text("passwd"),
            group: text("group"),
        }
    }

    /// `UID`, `UID:GID`, or names in place of either.
    pub(super) fn find(&self, asked: &str) -> Option<UserEntry> {
        let (user, group) = match asked.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (asked, None),
        };
        let number = user.parse::<u32>().ok();
        let line = self.passwd.lines().find_map(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            let is_it = match number {
                Some(number) => fields.get(2)?.parse::<u32>().ok()? == number,
                None => *fields.first()? == user,
            };
            is_it.then(|| {
                (
                    fields.get(2).and_then(|field| field.parse().ok()),
                    fields.get(3).and_then(|field| field.parse().ok()),
                    fields.get(5).map(|home| (*home).to_owned()),
                )
            })
        });
        let (listed_user, listed_group, home) = line.unwrap_or((None, None, None));
        let group = match group {
            Some(group) => group.parse().ok().or_else(|| self.group_number(group))?,
            None => listed_group.unwrap_or(0),
        };
        Some(UserEntry {
            user: number.or(listed_user)?,
            group,
            home: home.unwrap_or_else(|| "/".to_owned()),
        })
    }

    fn group_number(&self, name: &str) -> Option<u32> {
        self.group.lines().find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_number_and_name() {
        let accounts = UserTable {
            passwd: "root:x:0:0::/root:/bin/sh\ndefault:x:1001:7::/opt/app-root/src:/bin/sh\n"
                .to_owned(),
            group: "staff:x:50:\n".to_owned(),
        };
        let account = |user, group, home: &str| {
            Some(UserEntry {
                user,
                group,
                home: home.to_owned(),
            })
        };
        for (asked, found) in [
            ("0", account(0, 0, "/root")),
            ("default", account(1001, 7, "/opt/app-root/src")),
            ("1001:0", account(1001, 0, "/opt/app-root/src")),
            ("1001:staff", account(1001, 50, "/opt/app-root/src")),
            ("1000680000", account(1_000_680_000, 0, "/")),
            ("nobody", None),
            ("0:nobody", None),
            ("", None),
        ] {
            assert_eq!(accounts.find(asked), found, "{asked}");
        }
    }
}
