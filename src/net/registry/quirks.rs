//! What registries are known to do differently, by name. Everything that an answer shows is decided by
//! the answer; this is for what shows only when it is too late: a blob that is not what was sent.

/// Registries at which a second PATCH is reported to overwrite the first, or to be refused: a blob
/// goes there in one piece or not at all.
pub(super) fn takes_one_piece_only(registry: &str) -> bool {
    registry == "ghcr.io" || registry.ends_with(".pkg.dev")
}

/// Registries whose `Range` stays at the end of the first piece, however many they have stored.
pub(super) fn range_is_stuck(registry: &str) -> bool {
    registry.contains(".dkr.ecr.")
        && (registry.ends_with(".amazonaws.com") || registry.ends_with(".amazonaws.com.cn"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_them_by_name() {
        assert!(takes_one_piece_only("ghcr.io"));
        assert!(takes_one_piece_only("europe-west1-docker.pkg.dev"));
        assert!(!takes_one_piece_only("gcr.io"));
        assert!(range_is_stuck("1.dkr.ecr.eu-west-1.amazonaws.com"));
        assert!(range_is_stuck("1.dkr.ecr.cn-north-1.amazonaws.com.cn"));
        assert!(!range_is_stuck("public.ecr.aws"));
    }
}
