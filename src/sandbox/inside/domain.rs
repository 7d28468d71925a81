//! What keeps a step from other processes of its user where it shares the list of processes with the machine: a domain of
//! landlock(7). Who is in it looks into no process that is not (Linux 5.19: environment, memory, descriptors), and signals
//! none (Linux 6.12), s2r and its helper first of all.

use landlock::{
    AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, Scope,
};

/// Enters one, for good, with all that is started from now on. An older kernel, or one where Landlock is switched off,
/// leaves the step as it is.
pub(super) fn enter() {
    let _entered = restrict();
}

/// A domain has to restrict something to be one. This one is asked about files that move from folder to folder, and
/// allows that everywhere; a kernel that would only know to forbid it (before 5.19) is left alone.
fn restrict() -> Result<(), RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::Signal)?
        .create()?;
    if let Ok(root) = PathFd::new("/") {
        ruleset
            .add_rule(PathBeneath::new(root, AccessFs::Refer))?
            .restrict_self()?;
    }
    Ok(())
}
