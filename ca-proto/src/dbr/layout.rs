//! The one table from which every DBR structure is laid out.
//!
//! The reference lays its structures out by hand, with explicit padding fields (`db_access.h`);
//! there is no implied alignment, so the table names every pad.

use super::{DbrType, Family, NativeType};

/// A part of a DBR structure that stands before the value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// Alarm status, `u16`.
    Status,
    /// Alarm severity, `u16`.
    Severity,
    /// Seconds since 1990-01-01 UTC, `u32`.
    Seconds,
    /// Nanoseconds within the second, `u32`.
    Nanoseconds,
    /// Digits after the point, `i16`.
    Precision,
    /// Eight bytes of text.
    Units,
    /// One limit, in the native type.
    Limit(Limit),
    /// Number of state texts, `u16`.
    StateCount,
    /// Sixteen state texts of 26 bytes.
    States,
    /// Whether transient alarms need acknowledgement, `u16`.
    AckTransient,
    /// Highest severity not acknowledged, `u16`.
    AckSeverity,
    /// Zeros.
    Pad(u8),
}

/// The limits of `GR` and `CTRL` structures, in their order on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limit {
    /// HOPR
    UpperDisplay,
    /// LOPR
    LowerDisplay,
    /// HIHI
    UpperAlarm,
    /// HIGH
    UpperWarning,
    /// LOW
    LowerWarning,
    /// LOLO
    LowerAlarm,
    /// DRVH
    UpperControl,
    /// DRVL
    LowerControl,
}

/// Bytes of the units text.
pub const UNITS_LEN: usize = 8;
/// Bytes of one state text.
pub const STATE_LEN: usize = 26;
/// State texts in a structure.
pub const MAX_STATES: usize = 16;

impl Field {
    const fn size(self, native: NativeType) -> usize {
        match self {
            Self::Status
            | Self::Severity
            | Self::Precision
            | Self::StateCount
            | Self::AckTransient
            | Self::AckSeverity => 2,
            Self::Seconds | Self::Nanoseconds => 4,
            Self::Units => UNITS_LEN,
            Self::Limit(_) => native.size(),
            Self::States => MAX_STATES * STATE_LEN,
            Self::Pad(n) => n as usize,
        }
    }
}

use Field::{Nanoseconds, Pad, Precision, Seconds, Severity, Status, Units};
use Limit::{
    LowerAlarm, LowerControl, LowerDisplay, LowerWarning, UpperAlarm, UpperControl, UpperDisplay,
    UpperWarning,
};

const fn limit(limit: Limit) -> Field {
    Field::Limit(limit)
}

const STS: &[Field] = &[Status, Severity];
const TIME: &[Field] = &[Status, Severity, Seconds, Nanoseconds];
const GR: &[Field] = &[
    Status,
    Severity,
    Units,
    limit(UpperDisplay),
    limit(LowerDisplay),
    limit(UpperAlarm),
    limit(UpperWarning),
    limit(LowerWarning),
    limit(LowerAlarm),
];
const GR_REAL: &[Field] = &[
    Status,
    Severity,
    Precision,
    Pad(2),
    Units,
    limit(UpperDisplay),
    limit(LowerDisplay),
    limit(UpperAlarm),
    limit(UpperWarning),
    limit(LowerWarning),
    limit(LowerAlarm),
];
const GR_ENUM: &[Field] = &[Status, Severity, Field::StateCount, Field::States];
const CONTROL: &[Field] = &[limit(UpperControl), limit(LowerControl)];
const STSACK: &[Field] = &[Status, Severity, Field::AckTransient, Field::AckSeverity];

/// The fields before the value: common ones, control limits, pad before the value.
type Parts = (&'static [Field], &'static [Field], &'static [Field]);

const fn parts(ty: DbrType) -> Parts {
    let (Some(family), Some(native)) = (ty.family(), ty.native()) else {
        return match ty {
            DbrType::STSACK_STRING => (STSACK, &[], &[]),
            _ => (&[], &[], &[]),
        };
    };
    match (family, native) {
        (Family::Plain, _) => (&[], &[], &[]),
        (Family::Sts, NativeType::Char) => (STS, &[], &[Pad(1)]),
        (Family::Sts, NativeType::Double) => (STS, &[], &[Pad(4)]),
        (Family::Sts, _) => (STS, &[], &[]),
        (Family::Time, NativeType::Short | NativeType::Enum) => (TIME, &[], &[Pad(2)]),
        (Family::Time, NativeType::Char) => (TIME, &[], &[Pad(3)]),
        (Family::Time, NativeType::Double) => (TIME, &[], &[Pad(4)]),
        (Family::Time, _) => (TIME, &[], &[]),
        (Family::Gr | Family::Ctrl, NativeType::String) => (STS, &[], &[]),
        (Family::Gr | Family::Ctrl, NativeType::Enum) => (GR_ENUM, &[], &[]),
        (Family::Gr, NativeType::Float | NativeType::Double) => (GR_REAL, &[], &[]),
        (Family::Ctrl, NativeType::Float | NativeType::Double) => (GR_REAL, CONTROL, &[]),
        (Family::Gr, NativeType::Char) => (GR, &[], &[Pad(1)]),
        (Family::Ctrl, NativeType::Char) => (GR, CONTROL, &[Pad(1)]),
        (Family::Gr, _) => (GR, &[], &[]),
        (Family::Ctrl, _) => (GR, CONTROL, &[]),
    }
}

const fn sum(fields: &[Field], native: NativeType) -> usize {
    let mut total = 0;
    let mut i = 0;
    while i < fields.len() {
        total += fields[i].size(native);
        i += 1;
    }
    total
}

const OFFSETS: [u16; DbrType::COUNT as usize] = {
    let mut offsets = [0; DbrType::COUNT as usize];
    let mut code = 0;
    while code < DbrType::COUNT {
        let ty = DbrType(code);
        if let Some(native) = ty.native() {
            let (head, control, pad) = parts(ty);
            let total = sum(head, native) + sum(control, native) + sum(pad, native);
            offsets[code as usize] = total as u16;
        }
        code += 1;
    }
    offsets
};

const ELEMENTS: [u8; DbrType::COUNT as usize] = {
    let mut sizes = [0; DbrType::COUNT as usize];
    let mut code = 0;
    while code < DbrType::COUNT {
        if let Some(native) = DbrType(code).native() {
            sizes[code as usize] = native.size() as u8;
        }
        code += 1;
    }
    sizes
};

/// Bytes before the first element, and of each element; zeros for unknown codes.
#[inline]
pub(super) const fn sizes(ty: DbrType) -> (u64, u64) {
    if ty.is_valid() {
        let code = ty.0 as usize;
        (OFFSETS[code] as u64, ELEMENTS[code] as u64)
    } else {
        (0, 0)
    }
}

#[inline]
pub(super) const fn value_offset(ty: DbrType) -> usize {
    if ty.is_valid() {
        OFFSETS[ty.0 as usize] as usize
    } else {
        0
    }
}

/// The fields before the value with their byte offsets and sizes, in order.
pub fn fields(ty: DbrType) -> impl Iterator<Item = (Field, usize, usize)> {
    let (head, control, pad) = parts(ty);
    let native = ty.native().unwrap_or(NativeType::Char);
    let mut offset = 0;
    head.iter().chain(control).chain(pad).map(move |&field| {
        let (at, size) = (offset, field.size(native));
        offset += size;
        (field, at, size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `db_access.h` of EPICS Base: what stands before the value.
    #[test]
    fn value_offsets_are_those_of_the_specification() {
        const META: [usize; 39] = [
            0, 0, 0, 0, 0, 0, 0, 4, 4, 4, 4, 5, 4, 8, 12, 14, 12, 14, 15, 12, 16, 4, 24, 40, 422,
            19, 36, 64, 4, 28, 48, 422, 21, 44, 80, 0, 0, 8, 0,
        ];
        for (code, meta) in META.into_iter().enumerate() {
            let ty = DbrType(code as u16);
            assert_eq!(ty.value_offset(), meta, "{ty}");
            let end = fields(ty).last().map_or(0, |(_, at, size)| at + size);
            assert_eq!(end, meta, "{ty}");
        }
        assert_eq!(DbrType(39).value_offset(), 0);
    }

    /// The order of limits in the structures of `db_access.h` of EPICS Base: lower warning before lower alarm.
    #[test]
    fn ctrl_double_fields_stand_where_the_specification_says() {
        let at = |wanted| {
            let ty = DbrType::new(Family::Ctrl, NativeType::Double);
            fields(ty)
                .find(|(field, ..)| *field == wanted)
                .map(|(_, at, _)| at)
        };
        assert_eq!(at(Precision), Some(4));
        assert_eq!(at(Units), Some(8));
        assert_eq!(at(limit(LowerWarning)), Some(48));
        assert_eq!(at(limit(LowerAlarm)), Some(56));
        assert_eq!(at(limit(LowerControl)), Some(72));
    }

    #[test]
    fn size_does_not_wrap() {
        assert_eq!(DbrType(6).size(0x2000_0000), 0x1_0000_0000);
    }
}
