//! Without namespaces: another root folder and another user, or nothing at all.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

use rustix::io::Errno;

use super::{Control, Tried, Trouble};
use crate::sandbox::spec::{Act, Spec};

pub(super) fn without_namespaces(
    _control: &mut Control,
    _spec: &Spec,
    _input: OwnedFd,
) -> Result<ExitCode, Trouble> {
    Err(Errno::NOSYS).tried(Act::Root, "")
}

pub(super) fn enter(_at: &Path, _spec: &Spec) -> Result<(), Trouble> {
    Err(Errno::NOSYS).tried(Act::Root, "")
}
