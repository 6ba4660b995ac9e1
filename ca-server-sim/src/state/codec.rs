//! The form of a snapshot: values one after another, without names, in the order of the code.
//!
//! Each type says in one place what of it is saved ([`saved!`]), with a pattern that names every field. Who adds a field
//! does not get past the compiler without deciding whether it is state, or belongs to clients and stays as it is: what a
//! derive would take in, or leave out, without asking.

use std::collections::{
    BTreeMap, BTreeSet, HashMap as StdHashMap, HashSet as StdHashSet, VecDeque,
};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};

/// What is wrong with the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Broken {
    /// The byte behind what could not be read.
    pub at: usize,
    pub what: &'static str,
}

/// Bytes that are being written.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    /// A number, small ones in few bytes.
    #[inline]
    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text);
    }
}

/// Bytes that are being read. Nothing is made that is longer than what is left of them.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    all: &'a [u8],
    at: usize,
    /// How many numbers of records there are.
    pub records: usize,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(all: &'a [u8]) -> Self {
        Self {
            all,
            at: 0,
            records: 0,
        }
    }

    /// For what is found once all is read.
    pub(crate) const fn at_end(all: &'a [u8]) -> Self {
        Self {
            all,
            at: all.len(),
            records: 0,
        }
    }

    pub(crate) fn broken(&self, what: &'static str) -> Broken {
        Broken { at: self.at, what }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.all.len()
    }

    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Broken> {
        let byte = self.all.get(self.at).copied();
        let byte = byte.ok_or_else(|| self.broken("it ends too early"))?;
        self.at += 1;
        Ok(byte)
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Broken> {
        let end = self.at.checked_add(length);
        let found = end.and_then(|end| self.all.get(self.at..end));
        let found = found.ok_or_else(|| self.broken("it ends too early"))?;
        self.at += length;
        Ok(found)
    }

    #[inline]
    pub(crate) fn number(&mut self) -> Result<u64, Broken> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
            shift += 7;
            if shift > 63 {
                return Err(self.broken("a number has too many digits"));
            }
        }
    }

    /// How many there are of what takes at least a byte each.
    pub(crate) fn length(&mut self) -> Result<usize, Broken> {
        let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
        match length <= self.all.len() - self.at {
            true => Ok(length),
            false => Err(self.broken("it has more parts than bytes")),
        }
    }

    pub(crate) fn text(&mut self) -> Result<&'a [u8], Broken> {
        let length = self.length()?;
        self.bytes(length)
    }

    /// The number of a record that there is.
    pub(crate) fn id(&mut self) -> Result<u32, Broken> {
        let id = u32::load(self)?;
        match (id as usize) < self.records {
            true => Ok(id),
            false => Err(self.broken("it names a record that there is not")),
        }
    }
}

/// What can be written to a snapshot, and read from one.
pub(crate) trait Saved: Sized {
    fn save(&self, to: &mut Writer);
    fn load(from: &mut Reader<'_>) -> Result<Self, Broken>;
}

/// Implements [`Saved`] for a structure or an enumeration, of which every field and every variant has to be named.
/// `field: id` is the number of a record; what is `kept` is not state, and has the value that a caller replaces.
macro_rules! saved {
    (struct $name:ty { $($field:ident $(: $how:ident)?),* $(,)? }) => {
        impl $crate::state::codec::Saved for $name {
            fn save(&self, to: &mut $crate::state::codec::Writer) {
                let Self { $($field),* } = self;
                $($crate::state::codec::saved!(@save to, $field $(, $how)?);)*
            }

            fn load(
                from: &mut $crate::state::codec::Reader<'_>,
            ) -> Result<Self, $crate::state::codec::Broken> {
                Ok(Self { $($field: $crate::state::codec::saved!(@load from $(, $how)?)),* })
            }
        }
    };
    (struct $name:ty { $($field:ident $(: $how:ident)?),* $(,)? } kept { $($kept:ident = $value:expr),* $(,)? }) => {
        impl $crate::state::codec::Saved for $name {
            fn save(&self, to: &mut $crate::state::codec::Writer) {
                let Self { $($field,)* $($kept: _),* } = self;
                $($crate::state::codec::saved!(@save to, $field $(, $how)?);)*
            }

            fn load(
                from: &mut $crate::state::codec::Reader<'_>,
            ) -> Result<Self, $crate::state::codec::Broken> {
                Ok(Self {
                    $($field: $crate::state::codec::saved!(@load from $(, $how)?),)*
                    $($kept: $value),*
                })
            }
        }
    };
    (enum $name:ty { $(
        $number:literal $variant:ident
        $(($($place:ident $(: $how:ident)?),+))?
        $({$($field:ident $(: $fhow:ident)?),+})?
    ),+ $(,)? }) => {
        impl $crate::state::codec::Saved for $name {
            fn save(&self, to: &mut $crate::state::codec::Writer) {
                match self {
                    $(Self::$variant $(($($place),+))? $({$($field),+})? => {
                        to.bytes.push($number);
                        $($($crate::state::codec::saved!(@save to, $place $(, $how)?);)+)?
                        $($($crate::state::codec::saved!(@save to, $field $(, $fhow)?);)+)?
                    })+
                }
            }

            fn load(
                from: &mut $crate::state::codec::Reader<'_>,
            ) -> Result<Self, $crate::state::codec::Broken> {
                Ok(match from.byte()? {
                    $($number => Self::$variant
                        $(($($crate::state::codec::saved!(@load_named from, $place $(, $how)?)),+))?
                        $({$($field: $crate::state::codec::saved!(@load from $(, $fhow)?)),+})?,)+
                    _ => return Err(from.broken(concat!("it has an unknown kind of ", stringify!($name)))),
                })
            }
        }
    };
    (@save $to:ident, $field:ident) => { $crate::state::codec::Saved::save($field, $to) };
    (@save $to:ident, $field:ident, id) => { $to.number(u64::from(*$field)) };
    (@load $from:ident) => { $crate::state::codec::Saved::load($from)? };
    (@load $from:ident, id) => { $from.id()? };
    (@load_named $from:ident, $place:ident) => { $crate::state::codec::Saved::load($from)? };
    (@load_named $from:ident, $place:ident, id) => { $from.id()? };
}
pub(crate) use saved;

macro_rules! unsigned {
    ($($ty:ty)+) => {$(
        impl Saved for $ty {
            fn save(&self, to: &mut Writer) {
                to.number(*self as u64);
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let number = from.number()?;
                Self::try_from(number).map_err(|_| from.broken("a number is too large"))
            }
        }
    )+};
}

macro_rules! signed {
    ($($ty:ty)+) => {$(
        impl Saved for $ty {
            fn save(&self, to: &mut Writer) {
                let number = *self as i64;
                to.number((number << 1 ^ number >> 63) as u64);
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let number = from.number()?;
                let number = (number >> 1) as i64 ^ -((number & 1) as i64);
                Self::try_from(number).map_err(|_| from.broken("a number is too large"))
            }
        }
    )+};
}

macro_rules! reals {
    ($($ty:ty)+) => {$(
        impl Saved for $ty {
            fn save(&self, to: &mut Writer) {
                to.bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let bytes = from.bytes(size_of::<Self>())?;
                let bytes = bytes.try_into().map_err(|_| from.broken("it ends too early"))?;
                Ok(Self::from_le_bytes(bytes))
            }
        }
    )+};
}

unsigned!(u16 u32 u64 usize);
signed!(i16 i32 i64);
reals!(f32 f64);

impl Saved for () {
    fn save(&self, _: &mut Writer) {}

    fn load(_: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(())
    }
}

impl Saved for u8 {
    fn save(&self, to: &mut Writer) {
        to.bytes.push(*self);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        from.byte()
    }
}

impl Saved for i8 {
    fn save(&self, to: &mut Writer) {
        to.bytes.push(self.cast_unsigned());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        from.byte().map(u8::cast_signed)
    }
}

impl Saved for bool {
    fn save(&self, to: &mut Writer) {
        to.bytes.push((*self).into());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        match from.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(from.broken("it is neither yes nor no")),
        }
    }
}

impl Saved for Box<str> {
    fn save(&self, to: &mut Writer) {
        to.text(self.as_bytes());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let text = from.text()?;
        let text = std::str::from_utf8(text).map_err(|_| from.broken("a text is no UTF-8"))?;
        Ok(text.into())
    }
}

impl Saved for String {
    fn save(&self, to: &mut Writer) {
        to.text(self.as_bytes());
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok(<Box<str>>::load(from)?.into_string())
    }
}

impl Saved for Duration {
    fn save(&self, to: &mut Writer) {
        self.as_secs().save(to);
        self.subsec_nanos().save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let (seconds, nanos) = <(u64, u32)>::load(from)?;
        match nanos < 1_000_000_000 {
            true => Ok(Self::new(seconds, nanos)),
            false => Err(from.broken("a time has too many nanoseconds")),
        }
    }
}

impl<T: Saved> Saved for Option<T> {
    fn save(&self, to: &mut Writer) {
        self.is_some().save(to);
        if let Some(it) = self {
            it.save(to);
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        bool::load(from)?.then(|| T::load(from)).transpose()
    }
}

impl<T: Saved> Saved for Box<T> {
    fn save(&self, to: &mut Writer) {
        (**self).save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        T::load(from).map(Self::new)
    }
}

impl<T: Saved> Saved for Arc<T> {
    fn save(&self, to: &mut Writer) {
        (**self).save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        T::load(from).map(Self::new)
    }
}

impl<A: Saved, B: Saved> Saved for (A, B) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok((A::load(from)?, B::load(from)?))
    }
}

impl<A: Saved, B: Saved, C: Saved> Saved for (A, B, C) {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
        self.1.save(to);
        self.2.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        Ok((A::load(from)?, B::load(from)?, C::load(from)?))
    }
}

macro_rules! lists {
    ($($ty:ty: $($bound:ident)*,)+) => {$(
        impl<T: Saved $(+ $bound)*> Saved for $ty {
            fn save(&self, to: &mut Writer) {
                self.len().save(to);
                self.iter().for_each(|it| it.save(to));
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let length = from.length()?;
                (0..length).map(|_| T::load(from)).collect()
            }
        }
    )+};
}

lists! {
    Vec<T>:,
    VecDeque<T>:,
    Box<[T]>:,
    BTreeSet<T>: Ord,
}

impl<K: Saved + Ord, V: Saved> Saved for BTreeMap<K, V> {
    fn save(&self, to: &mut Writer) {
        self.len().save(to);
        for (key, value) in self {
            key.save(to);
            value.save(to);
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let length = from.length()?;
        (0..length).map(|_| <(K, V)>::load(from)).collect()
    }
}

/// In the order of their keys, so that the same state has the same bytes.
macro_rules! unordered {
    ($($map:ident $set:ident)+) => {$(
        impl<K: Saved + Ord + Hash, V: Saved, S: BuildHasher + Default> Saved for $map<K, V, S> {
            fn save(&self, to: &mut Writer) {
                let mut all: Vec<(&K, &V)> = self.iter().collect();
                all.sort_unstable_by_key(|&(key, _)| key);
                all.len().save(to);
                for (key, value) in all {
                    key.save(to);
                    value.save(to);
                }
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let length = from.length()?;
                (0..length).map(|_| <(K, V)>::load(from)).collect()
            }
        }

        impl<T: Saved + Ord + Hash, S: BuildHasher + Default> Saved for $set<T, S> {
            fn save(&self, to: &mut Writer) {
                let mut all: Vec<&T> = self.iter().collect();
                all.sort_unstable();
                all.len().save(to);
                all.into_iter().for_each(|it| it.save(to));
            }

            fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
                let length = from.length()?;
                (0..length).map(|_| T::load(from)).collect()
            }
        }
    )+};
}

unordered!(HashMap HashSet StdHashMap StdHashSet);

/// The number of a record, where a list or map has them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct RecordId(pub u32);

impl Saved for RecordId {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        from.id().map(Self)
    }
}
