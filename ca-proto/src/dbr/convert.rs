//! Conversions between native types as the reference server makes them.

use thiserror::Error;

/// Why a value cannot be converted; on the wire `ECA_GETFAIL` or `ECA_PUTFAIL`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// The text has no number at its beginning.
    #[error("the text is not a number")]
    NotANumber,
    /// The number does not fit the target type.
    #[error("the number is out of the range of the type")]
    OutOfRange,
    /// The text is none of the state texts, and no number of a state.
    #[error("the text names no state")]
    UnknownState,
    /// There is no such conversion, e.g. from an array of enums to strings.
    #[error("there is no conversion between the two types")]
    Unsupported,
    /// The type cannot be read (`PUT_ACKT`) or not be written (`CLASS_NAME`).
    #[error("the type does not exist in this direction")]
    WrongDirection,
    /// The payload holds fewer elements than the message says.
    #[error("the payload is shorter than its element count says")]
    ShortPayload,
}
