//! What the layers above a base count on in it: which Python at which path, and which C library.
//!
//! Written into an image's manifest as `python=3.13 glibc=2.41 interpreter=/usr/bin/python3.13`, so
//! that another base can be put beneath it without a look at what lies above.

use std::fmt;
use std::str::FromStr;

/// What a base has to have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Abi {
    /// Python's version, two numbers: byte code and compiled modules are for this one.
    pub python: String,
    /// glibc's version: compiled modules ask for this one or an older one.
    pub glibc: (u32, u32),
    /// Absolute path of the interpreter, where the virtual environment's links lead.
    pub interpreter: String,
}

/// In what another base differs too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AbiMismatch {
    Python,
    /// An older C library.
    Glibc,
    Interpreter,
}

impl Abi {
    /// What keeps this base from being put beneath layers that count on `wanted`.
    pub(crate) fn misfit(&self, wanted: &Self) -> Option<AbiMismatch> {
        if self.python != wanted.python {
            Some(AbiMismatch::Python)
        } else if self.glibc < wanted.glibc {
            Some(AbiMismatch::Glibc)
        } else if self.interpreter != wanted.interpreter {
            Some(AbiMismatch::Interpreter)
        } else {
            None
        }
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor) = self.glibc;
        // The path last: it may hold blanks.
        write!(
            f,
            "python={} glibc={major}.{minor} interpreter={}",
            self.python, self.interpreter
        )
    }
}

impl FromStr for Abi {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut fields = text.splitn(3, ' ');
        let mut field = |name: &str| {
            let field = fields.next().and_then(|field| field.strip_prefix(name));
            field.and_then(|rest| rest.strip_prefix('=')).ok_or(())
        };
        let python = field("python")?.to_owned();
        let (major, minor) = field("glibc")?.split_once('.').ok_or(())?;
        Ok(Self {
            python,
            glibc: (
                major.parse().map_err(|_| ())?,
                minor.parse().map_err(|_| ())?,
            ),
            interpreter: field("interpreter")?.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn abi(text: &str) -> Abi {
        text.parse().unwrap()
    }

    #[test]
    fn reads_what_it_writes() {
        let text = "python=3.13 glibc=2.41 interpreter=/opt/my python/bin/python3.13";
        assert_eq!(abi(text).to_string(), text);
        for damaged in [
            "",
            "python=3.13",
            "glibc=2 python=3",
            "python=3.13 glibc=2 interpreter=/x",
        ] {
            assert!(damaged.parse::<Abi>().is_err(), "{damaged}");
        }
    }

    #[test]
    fn a_newer_library_fits_and_an_older_does_not() {
        let wanted = abi("python=3.12 glibc=2.36 interpreter=/usr/bin/python3.12");
        for (found, misfit) in [
            (
                "python=3.12 glibc=2.36 interpreter=/usr/bin/python3.12",
                None,
            ),
            (
                "python=3.12 glibc=2.41 interpreter=/usr/bin/python3.12",
                None,
            ),
            (
                "python=3.12 glibc=2.4 interpreter=/usr/bin/python3.12",
                Some(AbiMismatch::Glibc),
            ),
            (
                "python=3.13 glibc=2.41 interpreter=/usr/bin/python3.12",
                Some(AbiMismatch::Python),
            ),
            (
                "python=3.12 glibc=2.41 interpreter=/usr/local/bin/python3.12",
                Some(AbiMismatch::Interpreter),
            ),
        ] {
            assert_eq!(abi(found).misfit(&wanted), misfit, "{found}");
        }
    }
}
