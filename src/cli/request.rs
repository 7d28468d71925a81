//! What a command line means here: the one reader of environment, clock and working directory.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::failure::CommandFailure;

/// The time of everything in an image unless `SOURCE_DATE_EPOCH` says otherwise: 1980-01-01, the
/// earliest that zip, and so everything that packs an image's files again, can express.
const DEFAULT_EPOCH_SECONDS: u64 = 315_532_800;

/// What the process was given besides its arguments.
#[derive(Debug, Clone)]
pub(super) struct ProcessEnv {
    /// The environment; variables that are not UTF-8 are left out.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) directory: PathBuf,
    /// Where the store lies.
    pub(super) store_root: PathBuf,
    /// Now, in seconds since 1970: for the validity of indexes alone, never for an image.
    pub(super) now_seconds: u64,
    /// The time that an image's files get, in seconds since 1970.
    pub(super) epoch_seconds: u64,
    /// Threads for work on bytes.
    pub(super) workers: usize,
}

impl ProcessEnv {
    pub(super) fn read() -> Result<Self, CommandFailure> {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one reader of the directory"
        )]
        let directory = std::env::current_dir().map_err(|reason| CommandFailure::Usage {
            what: "the working directory cannot be read".to_owned(),
            place: ".".to_owned(),
            why: reason.to_string(),
            next: "change to a folder that exists".to_owned(),
        })?;
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the one reader of the clock"
        )]
        let now_seconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Ok(Self {
            store_root: store_root(&variables, &directory)?,
            epoch_seconds: epoch_seconds(&variables)?,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            directory,
            now_seconds,
            variables,
        })
    }
}

/// `$S2R_STORE`, else `$XDG_DATA_HOME/s2r`, else `$HOME/.local/share/s2r` (XDG Base Directory Specification: relative
/// paths in its variables are to be ignored)..
fn store_root(
    variables: &BTreeMap<String, String>,
    directory: &Path,
) -> Result<PathBuf, CommandFailure> {
    let absolute = |name: &str| {
        variables
            .get(name)
            .map(Path::new)
            .filter(|path| path.is_absolute())
    };
    if let Some(own) = variables.get("S2R_STORE").filter(|path| !path.is_empty()) {
        return Ok(directory.join(own));
    }
    if let Some(data) = absolute("XDG_DATA_HOME") {
        return Ok(data.join("s2r"));
    }
    if let Some(home) = absolute("HOME") {
        return Ok(home.join(".local/share/s2r"));
    }
    Err(CommandFailure::Usage {
        what: "there is no place for the store".to_owned(),
        place: "XDG_DATA_HOME, HOME".to_owned(),
        why: "neither variable holds an absolute path".to_owned(),
        next: "set XDG_DATA_HOME to a folder that you may write to".to_owned(),
    })
}

/// `SOURCE_DATE_EPOCH` (reproducible-builds.org), or the fixed default.
fn epoch_seconds(variables: &BTreeMap<String, String>) -> Result<u64, CommandFailure> {
    /// The end of the year 9999, beyond which RFC 3339 has no name for a year.
    const MAX_EPOCH_SECONDS: u64 = 253_402_300_799;
    let Some(text) = variables
        .get("SOURCE_DATE_EPOCH")
        .filter(|text| !text.is_empty())
    else {
        return Ok(DEFAULT_EPOCH_SECONDS);
    };
    match text.parse() {
        Ok(seconds) if seconds <= MAX_EPOCH_SECONDS => Ok(seconds),
        _ => Err(CommandFailure::Usage {
            what: "SOURCE_DATE_EPOCH is not a time".to_owned(),
            place: format!("SOURCE_DATE_EPOCH={text}"),
            why: "it must be whole seconds since 1970, at most the year 9999".to_owned(),
            next: "set it to `git log -1 --format=%ct`, say, or unset it".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn the_store_is_where_data_belongs() {
        let cwd = Path::new("/work");
        for (given, root) in [
            (vec![("XDG_DATA_HOME", "/d"), ("HOME", "/h")], "/d/s2r"),
            (
                vec![("XDG_DATA_HOME", "d"), ("HOME", "/h")],
                "/h/.local/share/s2r",
            ),
            (
                vec![("XDG_DATA_HOME", ""), ("HOME", "/h")],
                "/h/.local/share/s2r",
            ),
            (vec![("S2R_STORE", "here"), ("HOME", "/h")], "/work/here"),
        ] {
            assert_eq!(
                store_root(&variables(&given), cwd).unwrap(),
                Path::new(root)
            );
        }
        assert!(store_root(&variables(&[("HOME", "h")]), cwd).is_err());
    }

    #[test]
    fn the_epoch_is_checked() {
        assert_eq!(
            epoch_seconds(&variables(&[])).unwrap(),
            DEFAULT_EPOCH_SECONDS
        );
        assert_eq!(
            epoch_seconds(&variables(&[("SOURCE_DATE_EPOCH", "7")])).unwrap(),
            7
        );
        for wrong in ["yesterday", "-1", "253402300800"] {
            assert!(epoch_seconds(&variables(&[("SOURCE_DATE_EPOCH", wrong)])).is_err());
        }
    }
}
