//! Whether a number can be what a PV holds. Servers convert what does not fit to anything: a NaN becomes 0 or the least
//! integer, and nobody is told.

use ca_client::{NativeType, Value};

/// Integers of a type, from and to.
const fn range(native: NativeType) -> Option<(f64, f64)> {
    match native {
        NativeType::Long => Some((-2_147_483_648.0, 2_147_483_647.0)),
        NativeType::Short => Some((-32_768.0, 32_767.0)),
        // With a sign or without: clients and servers take it as both.
        NativeType::Char => Some((-128.0, 255.0)),
        NativeType::Enum => Some((0.0, 65_535.0)),
        NativeType::Double | NativeType::Float | NativeType::String => None,
    }
}

/// The first element that is not between two numbers, with its place. Those of a type that is between them are not
/// looked at.
fn first_outside(value: &Value, (low, high): (f64, f64)) -> Option<(usize, f64)> {
    fn find(numbers: impl Iterator<Item = f64>, low: f64, high: f64) -> Option<(usize, f64)> {
        numbers
            .enumerate()
            .find(|(_, number)| !(low..=high).contains(&number.trunc()))
    }
    let value = value.as_ref();
    if range(value.native).is_some_and(|(least, most)| low <= least && most <= high) {
        return None;
    }
    match value.native {
        NativeType::Double => find(value.elements::<f64>()?, low, high),
        NativeType::Float => find(value.elements::<f32>()?.map(f64::from), low, high),
        NativeType::Long => find(value.elements::<i32>()?.map(f64::from), low, high),
        NativeType::Short => find(value.elements::<i16>()?.map(f64::from), low, high),
        NativeType::Char | NativeType::Enum | NativeType::String => None,
    }
}

/// Whether the type of the PV has to be known to say whether the value fits.
// hot: every put.
pub(crate) fn depends(value: &Value) -> bool {
    // What fits everything.
    first_outside(value, (0.0, 127.0)).is_some()
}

/// What is wrong with the value for a PV of this type.
pub(crate) fn misfit(value: &Value, native: NativeType) -> Option<String> {
    let (low, high) = range(native)?;
    let (place, number) = first_outside(value, (low, high))?;
    let which = match value.count() {
        1 => String::new(),
        _ => format!("element {place}, "),
    };
    Some(format!(
        "{which}{number} is no {native}: those are whole numbers from {low} to {high}"
    ))
}
