//! Between the values of fields and those of the protocol, which knows fewer types.

use bytes::Bytes;
use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{Element, NativeType, STRING_LEN, Value, ValueRef};

use crate::record::{Array, Dbf, ShortBytes, Val};

/// The type that clients see (`dbDBRnewToDBRold` of EPICS Base); `None` for what they do not see.
pub(crate) const fn native(dbf: Dbf) -> Option<NativeType> {
    Some(match dbf {
        Dbf::String | Dbf::InLink | Dbf::OutLink | Dbf::FwdLink => NativeType::String,
        Dbf::Char | Dbf::UChar => NativeType::Char,
        Dbf::Short => NativeType::Short,
        Dbf::UShort | Dbf::Long => NativeType::Long,
        Dbf::ULong | Dbf::Int64 | Dbf::UInt64 | Dbf::Double => NativeType::Double,
        Dbf::Float => NativeType::Float,
        Dbf::Enum | Dbf::Menu | Dbf::Device => NativeType::Enum,
        Dbf::NoAccess => return None,
    })
}

/// The type of a field that has the values of a client's type.
pub(crate) const fn dbf(native: NativeType) -> Dbf {
    match native {
        NativeType::String => Dbf::String,
        NativeType::Short => Dbf::Short,
        NativeType::Float => Dbf::Float,
        NativeType::Enum => Dbf::Enum,
        NativeType::Char => Dbf::UChar,
        NativeType::Long => Dbf::Long,
        NativeType::Double => Dbf::Double,
    }
}

/// Whether the protocol has no type that holds these numbers as they are.
pub(super) const fn is_foreign(dbf: Dbf) -> bool {
    matches!(
        dbf,
        Dbf::Char | Dbf::UShort | Dbf::ULong | Dbf::Int64 | Dbf::UInt64
    )
}

/// A value as clients see it by default; links and what is no value are empty texts.
pub(crate) fn to_value(val: &Val, most: usize) -> Value {
    match val {
        Val::String(text) => Value::string(text),
        Val::Char(n) => Value::scalar(*n as u8),
        Val::UChar(n) => Value::scalar(*n),
        Val::Short(n) => Value::scalar(*n),
        Val::UShort(n) => Value::scalar(i32::from(*n)),
        Val::Long(n) => Value::scalar(*n),
        Val::ULong(n) => Value::scalar(f64::from(*n)),
        Val::Int64(n) => Value::scalar(*n as f64),
        Val::UInt64(n) => Value::scalar(*n as f64),
        Val::Float(n) => Value::scalar(*n),
        Val::Double(n) => Value::scalar(*n),
        Val::Enum(n) => Value::scalar(EnumIndex(*n)),
        Val::Array(all) => array(all, most),
        Val::Link(_) | Val::Program(_) | Val::None => Value::string(""),
    }
}

/// The first elements of an array.
pub(super) fn array(all: &Array, most: usize) -> Value {
    fn wire<T: Copy, const N: usize>(
        native: NativeType,
        all: &[T],
        most: usize,
        bytes: impl Fn(T) -> [u8; N],
    ) -> Value {
        let some = &all[..all.len().min(most)];
        let mut data = Vec::with_capacity(some.len() * N);
        for &one in some {
            data.extend_from_slice(&bytes(one));
        }
        Value::from_wire(native, Bytes::from(data))
    }
    let double = |n: f64| n.to_be_bytes();
    match all {
        Array::String(all) => Value::strings(&all[..all.len().min(most)]),
        Array::Char(all) => wire(NativeType::Char, all, most, i8::to_be_bytes),
        Array::UChar(all) => wire(NativeType::Char, all, most, u8::to_be_bytes),
        Array::Short(all) => wire(NativeType::Short, all, most, i16::to_be_bytes),
        Array::UShort(all) => wire(NativeType::Long, all, most, |n| i32::from(n).to_be_bytes()),
        Array::Long(all) => wire(NativeType::Long, all, most, i32::to_be_bytes),
        Array::ULong(all) => wire(NativeType::Double, all, most, |n| double(n.into())),
        Array::Int64(all) => wire(NativeType::Double, all, most, |n| double(n as f64)),
        Array::UInt64(all) => wire(NativeType::Double, all, most, |n| double(n as f64)),
        Array::Float(all) => wire(NativeType::Float, all, most, f32::to_be_bytes),
        Array::Double(all) => wire(NativeType::Double, all, most, f64::to_be_bytes),
        Array::Enum(all) => wire(NativeType::Enum, all, most, u16::to_be_bytes),
    }
}

/// What a client sends: one element as itself, any other number of them as an array.
pub(crate) fn from_client(value: ValueRef<'_>) -> Val {
    fn all<T: Element>(value: ValueRef<'_>) -> Vec<T> {
        value.elements().map(Iterator::collect).unwrap_or_default()
    }
    // Of a text count 39 bytes up to its NUL (`db_access.h` of EPICS Base).
    let text = |at| {
        let text = value.string(at).unwrap_or_default();
        ShortBytes::from(&text[..text.len().min(STRING_LEN - 1)])
    };
    let array = match value.native {
        NativeType::String => Array::String((0..value.held()).map(text).collect()),
        NativeType::Short => Array::Short(all(value)),
        NativeType::Float => Array::Float(all(value)),
        NativeType::Enum => {
            let numbers = all::<EnumIndex>(value);
            Array::Enum(numbers.into_iter().map(|n| n.0).collect())
        }
        NativeType::Char => Array::UChar(all(value)),
        NativeType::Long => Array::Long(all(value)),
        NativeType::Double => Array::Double(all(value)),
    };
    match array.get(0) {
        Some(first) if array.len() == 1 => first,
        _ => Val::from(array),
    }
}
