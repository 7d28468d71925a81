//! What an image is called whose user gave it no name: what its folder is called.
//!
//! Such a name is for this machine's store alone. It is no part of the request, so that the image is the same whatever
//! the folder is called.

use crate::context::settings::Settings;
use crate::oci::Reference;
use crate::plan::PlanRequest;
use crate::report::BuildError;
use crate::source::location::SourceLocation;

/// The name; `None` where there is nothing to call it after, as for standard input.
///
/// # Errors
/// The source is none.
pub(crate) fn default_name(
    request: &PlanRequest,
    settings: &Settings,
) -> Result<Option<Reference>, BuildError> {
    let reference = request.reference.as_deref();
    let location = SourceLocation::parse(&request.source, reference, &settings.directory)?;
    let folder = request.context_dir.as_ref().and_then(|path| {
        let name = path.file_name()?.to_str()?;
        Some(name.to_owned())
    });
    let title = match location {
        SourceLocation::Stdin => None,
        location => folder.or_else(|| location.title()),
    };
    Ok(title.and_then(|title| Reference::called_after(&title)))
}
