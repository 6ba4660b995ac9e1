//! Whole numbers that the wire has no type for, and lists of texts.
//!
//! Channel Access ends at 32 bits: what is longer travels as `DOUBLE`, which holds whole numbers exactly up
//! to 2⁵³. It is what servers do with the 64-bit fields of `int64in` and `int64out`
//! ([EPICS Base, `int64in`](https://docs.epics-controls.org/projects/base/en/latest/int64inRecord.html)).

use ca_proto::dbr::{NativeType, Reading, Value};

use super::{FromReading, IntoValue, Strings, ValueError, check_text, elements, first};

/// Largest whole number all smaller ones of which a `DOUBLE` holds.
const EXACT: i128 = 1 << 53;

/// What a `DOUBLE` says as a whole number, its fraction cut off as servers do for a `LONG`.
fn whole<T: TryFrom<i128>>(number: f64) -> Result<T, ValueError> {
    if !number.is_finite() {
        return Err(ValueError::NoNumber);
    }
    // Saturates far outside of every wanted range.
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is cut off")]
    let number = number as i128;
    T::try_from(number).map_err(|_| {
        ValueError::OutOfRange(i64::try_from(number).unwrap_or(match number {
            0.. => i64::MAX,
            _ => i64::MIN,
        }))
    })
}

fn exact(number: i128) -> Result<f64, ValueError> {
    if number.abs() > EXACT {
        return Err(ValueError::Inexact(number));
    }
    #[expect(clippy::cast_precision_loss, reason = "looked at above")]
    let number = number as f64;
    Ok(number)
}

macro_rules! wide {
    ($($ty:ty),*) => {$(
        impl FromReading for $ty {
            const NATIVE: Option<NativeType> = Some(NativeType::Double);
            const COUNT: u32 = 1;
            fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
                whole(first::<f64>(reading.value())?)
            }
        }

        impl FromReading for Vec<$ty> {
            const NATIVE: Option<NativeType> = Some(NativeType::Double);
            const COUNT: u32 = 0;
            fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
                elements::<f64>(reading.value())?.into_iter().map(whole).collect()
            }
        }

        impl IntoValue for $ty {
            fn into_value(self) -> Result<Value, ValueError> {
                Ok(Value::scalar(exact(self.into())?))
            }
        }

        impl IntoValue for &[$ty] {
            fn into_value(self) -> Result<Value, ValueError> {
                let numbers = self.iter().map(|&number| exact(number.into()));
                Ok(Value::array(&numbers.collect::<Result<Vec<_>, _>>()?))
            }
        }

        lists!($ty);
    )*};
}

/// What owns a list is sent as the slice is.
macro_rules! lists {
    ($ty:ty) => {
        impl IntoValue for Vec<$ty> {
            fn into_value(self) -> Result<Value, ValueError> {
                self.as_slice().into_value()
            }
        }

        impl IntoValue for &Vec<$ty> {
            fn into_value(self) -> Result<Value, ValueError> {
                self.as_slice().into_value()
            }
        }
    };
}

wide!(u32, i64, u64);

impl IntoValue for u16 {
    fn into_value(self) -> Result<Value, ValueError> {
        i32::from(self).into_value()
    }
}

impl IntoValue for &[&str] {
    fn into_value(self) -> Result<Value, ValueError> {
        self.iter().try_for_each(|text| check_text(text))?;
        Ok(Value::strings(self))
    }
}

impl IntoValue for &[String] {
    fn into_value(self) -> Result<Value, ValueError> {
        self.iter().try_for_each(|text| check_text(text))?;
        Ok(Value::strings(self))
    }
}

lists!(&str);
lists!(String);

impl FromReading for Vec<String> {
    const NATIVE: Option<NativeType> = Strings::NATIVE;
    const COUNT: u32 = Strings::COUNT;
    fn from_reading(reading: &Reading) -> Result<Self, ValueError> {
        Strings::from_reading(reading).map(|texts| texts.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ca_proto::dbr::{DbrType, Family};
    use ca_proto::wire::{Command, Frame, Header};

    fn read<T: FromReading>(value: Value) -> Result<T, ValueError> {
        let value = value.as_ref();
        let frame = Frame::new(Header::new(Command::READ_NOTIFY), value.data);
        let ty = DbrType::new(Family::Plain, value.native);
        T::from_reading(&Reading::from_frame(ty, value.count, &frame).unwrap())
    }

    #[test]
    fn whole_numbers_of_64_bits_are_doubles() {
        assert_eq!(read::<i64>(Value::scalar(-5e9)), Ok(-5_000_000_000));
        assert_eq!(read::<u32>(Value::scalar(4e9)), Ok(4_000_000_000));
        assert_eq!(read::<i64>(Value::scalar(-1.9)), Ok(-1));
        assert_eq!(
            read::<Vec<u64>>(Value::array(&[1.0, 2e18])),
            Ok(vec![1, 2 * 10_u64.pow(18)])
        );
        assert_eq!(
            read::<u32>(Value::scalar(-1.0)),
            Err(ValueError::OutOfRange(-1))
        );
        assert_eq!(
            read::<i64>(Value::scalar(1e300)),
            Err(ValueError::OutOfRange(i64::MAX))
        );
        assert_eq!(
            read::<i64>(Value::scalar(f64::NAN)),
            Err(ValueError::NoNumber)
        );
        assert_eq!(
            read::<i64>(Value::array::<f64>(&[])),
            Err(ValueError::Empty)
        );
    }

    #[test]
    fn what_a_double_does_not_hold_is_not_sent() {
        assert_eq!(
            (1_i64 << 53).into_value(),
            Ok(Value::scalar(9_007_199_254_740_992.0))
        );
        let more = (1_i64 << 53) + 1;
        assert_eq!(more.into_value(), Err(ValueError::Inexact(more.into())));
        assert_eq!(
            vec![1_i64, -more].into_value(),
            Err(ValueError::Inexact((-more).into()))
        );
        assert_eq!(
            u64::MAX.into_value(),
            Err(ValueError::Inexact(u64::MAX.into()))
        );
        assert_eq!(vec![7_u32].into_value(), Ok(Value::array(&[7.0])));
        assert_eq!(7_u16.into_value(), Ok(Value::scalar(7_i32)));
    }

    #[test]
    fn lists_of_texts_are_strings() {
        let texts = vec!["a".to_owned(), "bc".to_owned()];
        let value = (&texts).into_value();
        assert_eq!(vec!["a", "bc"].into_value(), value);
        assert_eq!(read::<Vec<String>>(value.unwrap()), Ok(texts));
        assert_eq!(vec!["a\0"].into_value(), Err(ValueError::Nul(1)));
    }
}
