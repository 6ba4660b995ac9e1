//! What is waited for: a value with a tolerance, a limit, a text.

use std::fmt;

use ca_client::{EnumStates, NativeType, Reading};
use thiserror::Error;

/// Longest text of a `DBR_STRING` in bytes, without its NUL.
const MAX_TEXT: usize = 39;

/// What a PV is to be. Arrays are judged by their first element.
///
/// # Examples
/// ```
/// use ca_kit::{at_least, between, near, text};
///
/// assert!(near(5.0, 0.1).holds_for(5.05));
/// assert!(!at_least(5.0).holds_for(f64::NAN));
/// assert!(near(5.0, -1.0).check().is_err());
/// assert_eq!(between(1.0, 2.0).to_string(), "between 1 and 2");
/// assert_eq!(text("On").to_string(), "\"On\"");
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Condition {
    /// The value, at most the tolerance away, in the PV's units.
    Near {
        /// The value.
        value: f64,
        /// How far away it may be; 0 for exactly the value.
        tolerance: f64,
    },
    /// From `low` to `high`, both included.
    Between {
        /// The lowest value.
        low: f64,
        /// The highest value.
        high: f64,
    },
    /// A text, or a state of an enum by its text.
    Text(String),
}

/// `value`, at most `tolerance` away.
pub const fn near(value: f64, tolerance: f64) -> Condition {
    Condition::Near { value, tolerance }
}

/// From `low` to `high`, both included.
pub const fn between(low: f64, high: f64) -> Condition {
    Condition::Between { low, high }
}

/// `low` or more.
pub const fn at_least(low: f64) -> Condition {
    between(low, f64::INFINITY)
}

/// `high` or less.
pub const fn at_most(high: f64) -> Condition {
    between(f64::NEG_INFINITY, high)
}

/// A text, or a state of an enum by its text.
pub fn text(text: impl Into<String>) -> Condition {
    Condition::Text(text.into())
}

/// Why a condition can never hold. It is refused before anything is put.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum Impossible {
    /// The tolerance is negative or not a number.
    #[error("a tolerance of {0} can never match; give one that is 0 or more")]
    Tolerance(f64),
    /// A number that is none, or a value that is infinite.
    #[error("{0} can never match; give a finite value")]
    Number(f64),
    /// The lower bound is above the upper one.
    #[error("nothing is between {low} and {high}; exchange them")]
    Empty {
        /// The lower bound.
        low: f64,
        /// The upper bound.
        high: f64,
    },
    /// The PV holds integers, or a narrower type, of which none is wanted.
    #[error(
        "no {native} is {wanted}; the closest is {closest}: raise the tolerance or change the value"
    )]
    Type {
        /// What is wanted, in words.
        wanted: String,
        /// The type of the PV.
        native: NativeType,
        /// The closest value that the type has.
        closest: f64,
    },
    /// The text is longer than the wire carries.
    #[error("a text of {0} bytes can never match; texts of PVs have 39 at most")]
    TextTooLong(usize),
    /// The enum has no such state.
    #[error("there is no state \"{text}\"; the states are {states}")]
    NoSuchState {
        /// What is wanted.
        text: String,
        /// The states there are.
        states: String,
    },
}

impl Impossible {
    /// What to do about it, as a sentence without its end.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Tolerance(_) => "give a tolerance that is 0 or more",
            Self::Number(_) => "give a finite value",
            Self::Empty { .. } => "give the lower bound first",
            Self::Type { .. } => "raise the tolerance, or give a value that the type of the PV has",
            Self::TextTooLong(_) => "give a text of 39 bytes at most",
            Self::NoSuchState { .. } => "give one of the states",
        }
    }
}

impl Condition {
    /// Whether the condition can hold at all, whatever the type of the PV.
    ///
    /// # Errors
    /// [`Impossible`].
    pub fn check(&self) -> Result<(), Impossible> {
        match self {
            Self::Near { value, .. } if !value.is_finite() => Err(Impossible::Number(*value)),
            Self::Near { tolerance, .. } if tolerance.is_nan() || *tolerance < 0.0 => {
                Err(Impossible::Tolerance(*tolerance))
            }
            Self::Between { low, high } if low.is_nan() || high.is_nan() => {
                Err(Impossible::Number(f64::NAN))
            }
            Self::Between { low, high } if low > high => Err(Impossible::Empty {
                low: *low,
                high: *high,
            }),
            Self::Text(text) if text.len() > MAX_TEXT => Err(Impossible::TextTooLong(text.len())),
            _ => Ok(()),
        }
    }

    /// Whether a PV of this type can satisfy it.
    pub(crate) fn check_type(&self, native: NativeType) -> Result<(), Impossible> {
        let (low, high) = match self {
            Self::Near { value, tolerance } => (value - tolerance, value + tolerance),
            Self::Between { low, high } => (*low, *high),
            Self::Text(_) => return Ok(()),
        };
        let middle = match self {
            Self::Near { value, .. } => *value,
            _ if low.is_finite() => low,
            _ => high,
        };
        let closest = closest(native, middle, low);
        if (low..=high).contains(&closest) || self.holds_for(closest) {
            return Ok(());
        }
        Err(Impossible::Type {
            wanted: self.to_string(),
            native,
            closest,
        })
    }

    pub(crate) fn check_states(&self, states: &EnumStates) -> Result<(), Impossible> {
        let Self::Text(text) = self else {
            return Ok(());
        };
        // Servers without texts for a state send its index.
        if states.is_empty() || states.position(text.as_bytes()).is_some() {
            return Ok(());
        }
        let known = states
            .iter()
            .map(|state| String::from_utf8_lossy(state).into_owned());
        Err(Impossible::NoSuchState {
            text: text.clone(),
            states: known.collect::<Vec<_>>().join(", "),
        })
    }

    /// Whether a number satisfies it; NaN satisfies nothing.
    pub fn holds_for(&self, number: f64) -> bool {
        match self {
            Self::Near { value, tolerance } => (number - value).abs() <= *tolerance,
            Self::Between { low, high } => (*low..=*high).contains(&number),
            Self::Text(_) => false,
        }
    }

    pub(crate) const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }

    pub(crate) fn holds(&self, level: &Level) -> bool {
        match (self, level) {
            (Self::Text(wanted), Level::Text(text)) => wanted == text,
            (_, Level::Number(number)) => self.holds_for(*number),
            _ => false,
        }
    }
}

/// The value of a type that is closest to a number; of two the one above `low`.
fn closest(native: NativeType, number: f64, low: f64) -> f64 {
    let whole = |least: f64, most: f64| {
        let up = number.ceil().clamp(least, most);
        let down = number.floor().clamp(least, most);
        match down < low || (up - number).abs() < (number - down).abs() {
            true => up,
            false => down,
        }
    };
    match native {
        NativeType::Char => whole(0.0, 255.0),
        NativeType::Short => whole(f64::from(i16::MIN), f64::from(i16::MAX)),
        NativeType::Enum => whole(0.0, 65535.0),
        NativeType::Long => whole(f64::from(i32::MIN), f64::from(i32::MAX)),
        NativeType::Float => f64::from(number as f32),
        NativeType::Double | NativeType::String => number,
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Near { value, tolerance } if *tolerance == 0.0 => write!(f, "{value}"),
            Self::Near { value, tolerance } => write!(f, "{value} ± {tolerance}"),
            Self::Between { low, high } if low.is_infinite() => write!(f, "{high} or less"),
            Self::Between { low, high } if high.is_infinite() => write!(f, "{low} or more"),
            Self::Between { low, high } => write!(f, "between {low} and {high}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// Where a PV stands: its first element.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Level {
    /// A number, in the PV's units.
    Number(f64),
    /// A text, or the state of an enum.
    Text(String),
}

impl Level {
    /// Takes out of an update what a condition is about.
    pub(crate) fn of(reading: &Reading, is_text: bool) -> Result<Self, ca_client::ValueError> {
        use ca_client::FromReading as _;
        match is_text {
            true => String::from_reading(reading).map(Self::Text),
            false => f64::from_reading(reading).map(Self::Number),
        }
    }

    /// The number, if it is one.
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_type_cannot_hold_is_impossible() {
        let ok = [
            (near(3.0, 0.0), NativeType::Long),
            (near(3.5, 0.5), NativeType::Long),
            (near(0.1, 1e-6), NativeType::Float),
            (near(0.1, 0.0), NativeType::Double),
            (at_least(254.5), NativeType::Char),
            (at_most(-1.5), NativeType::Short),
            (between(0.2, 1.0), NativeType::Enum),
            (near(1e300, 1e300), NativeType::Char),
        ];
        for (condition, native) in ok {
            assert_eq!(condition.check_type(native), Ok(()), "{condition} {native}");
        }
        let never = [
            (near(3.5, 0.4), NativeType::Long),
            (near(0.1, 0.0), NativeType::Float),
            (at_least(255.5), NativeType::Char),
            (between(0.2, 0.8), NativeType::Enum),
            (near(1e6, 1.0), NativeType::Short),
            (near(1e39, 1.0), NativeType::Float),
        ];
        for (condition, native) in never {
            let refused = condition.check_type(native);
            assert!(
                matches!(refused, Err(Impossible::Type { .. })),
                "{condition} {native}"
            );
        }
    }

    #[test]
    fn conditions_that_never_hold_are_refused() {
        let never = [
            near(1.0, f64::NAN),
            near(1.0, -0.1),
            near(f64::NAN, 1.0),
            near(f64::INFINITY, 1.0),
            between(2.0, 1.0),
            between(f64::NAN, 1.0),
            text("x".repeat(40)),
        ];
        for condition in never {
            assert!(condition.check().is_err(), "{condition}");
        }
    }
}
