//! Who looks at the files of a layer, and what that user may do with them.
//!
//! On this machine the files of an unpacked layer belong to whoever runs s2r, and in a sandbox that user stands for the
//! image's. So that it may do what it could do in a container, and no more, its rights are worked out from the owner,
//! group and mode in the layer (`path_resolution(7)`, "Permissions"), and become those of the owner.

/// A user of an image with its group, and no right of root's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageUser {
    user: u32,
    group: u32,
}

/// Whoever nobody of an image is: the numbers that clusters give, say. One folder does for all of them.
const STRANGER: u32 = u32::MAX - 1;

/// Numbers from here on are a cluster's and not an image's.
const FIRST_STRANGER: u32 = 65_536;

impl ImageUser {
    /// `None` for root, who is asked for no right.
    pub(crate) fn new(user: u32, group: u32) -> Option<Self> {
        let known = |id: u32| {
            if id < FIRST_STRANGER { id } else { STRANGER }
        };
        (user != 0).then(|| Self {
            user: known(user),
            group: known(group),
        })
    }

    /// The same for all that see the same.
    pub(crate) fn name(self) -> String {
        let word = |id: u32| {
            if id == STRANGER {
                "x".to_owned()
            } else {
                id.to_string()
            }
        };
        format!("{}-{}", word(self.user), word(self.group))
    }

    /// The mode with the viewer's rights in the place of the owner's.
    pub(super) fn mode(self, owner: u64, group: u64, mode: u32) -> u32 {
        let rights = if owner == u64::from(self.user) {
            mode >> 6
        } else if group == u64::from(self.group) {
            mode >> 3
        } else {
            mode
        };
        (rights & 0o7) << 6 | mode & 0o077
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_fits_counts() {
        let viewer = ImageUser::new(1001, 0).unwrap();
        for (owner, group, mode, seen) in [
            (0, 0, 0o755, 0o555),
            (1001, 0, 0o755, 0o755),
            (0, 0, 0o664, 0o664),
            (7, 7, 0o640, 0o040),
            (7, 7, 0o666, 0o666),
            // The owner may be refused what others may.
            (1001, 0, 0o077, 0o077),
        ] {
            assert_eq!(
                viewer.mode(owner, group, mode),
                seen,
                "{owner} {group} {mode:o}"
            );
        }
    }

    #[test]
    fn strangers_are_one() {
        let name = |user, group| ImageUser::new(user, group).map(ImageUser::name);
        assert_eq!(name(0, 0), None);
        assert_eq!(name(1001, 0).as_deref(), Some("1001-0"));
        assert_eq!(name(1_000_680_000, 0), name(1_000_690_000, 0));
        assert_eq!(name(70_000, 70_000).as_deref(), Some("x-x"));
    }
}
