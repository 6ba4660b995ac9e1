//! Arguments that are bytes: names of PVs need not be UTF-8.

use std::ffi::{OsStr, OsString};
use std::fmt;

use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::escape::{self, BadEscape};
use crate::exit::UsageError;

/// The name of a PV as it was given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Pv {
    bytes: Vec<u8>,
    shown: String,
}

impl Pv {
    /// A name of these bytes.
    pub(crate) fn new(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let shown = escape::line(&bytes);
        Self { bytes, shown }
    }

    /// The name as it can be given as an argument.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }
}

impl fmt::Display for Pv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.shown)
    }
}

impl AsRef<[u8]> for Pv {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The name of a PV in an argument, with escapes for what cannot be typed.
///
/// # Errors
/// An escape that is none.
pub(crate) fn name(arg: &OsStr) -> Result<Pv, UsageError> {
    match escape::bytes(arg.as_encoded_bytes()) {
        Ok(bytes) => Ok(Pv::new(bytes)),
        Err(error) => Err(UsageError::new(
            format!("PV {}: {error}", arg.display()),
            BadEscape::REMEDY,
        )),
    }
}

/// Parses names of PVs, with escapes for what cannot be typed.
pub(crate) fn pv() -> impl TypedValueParser<Value = Pv> {
    OsStringValueParser::new().try_map(|arg: OsString| {
        let bytes = escape::bytes(arg.as_encoded_bytes())
            .map_err(|error| format!("{error}; {}", BadEscape::REMEDY))?;
        Ok::<_, String>(Pv::new(bytes))
    })
}
