//! Values: a native type, an element count, and the elements as they stand on the wire.
//!
//! Keeping the wire image means that a value is stored, shared and sent without conversion; the
//! elements are decoded when somebody looks at them.

use alloc::vec::Vec;
use bytes::{BufMut, Bytes};
use core::fmt;

use super::NativeType;
use crate::text::{Escaped, Lossy};

/// Bytes that are kept inline: every scalar of every `TIME` and smaller structure fits
/// (`TIME_STRING` is the largest with 52).
pub const INLINE_LEN: usize = 56;

/// Bytes of a value: small ones inline, large ones shared.
#[derive(Clone)]
pub struct Payload(Repr);

#[derive(Clone)]
enum Repr {
    Inline { len: u8, bytes: Inline },
    Shared(Bytes),
}

/// Aligned, so that a value is moved in words.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Inline([u8; INLINE_LEN]);

impl Payload {
    /// No bytes.
    pub const EMPTY: Self = Self(Repr::Inline {
        len: 0,
        bytes: Inline([0; INLINE_LEN]),
    });

    /// A payload with a copy of `data`.
    pub fn copy_from(data: &[u8]) -> Self {
        let mut payload = Self::EMPTY;
        payload.set(data);
        payload
    }

    /// A payload of the first `len` bytes of what lies in `words`.
    #[inline]
    pub(super) fn from_words<const N: usize>(len: u8, words: [u64; N]) -> Self {
        const { assert!(N * 8 <= INLINE_LEN) }
        let mut bytes = [0; INLINE_LEN];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        Self(Repr::Inline {
            len,
            bytes: Inline(bytes),
        })
    }

    /// Takes a copy of `data` instead of what it has.
    // hot: small values are written where they stay, as a move right after would have to wait for them.
    #[inline]
    pub(super) fn set(&mut self, data: &[u8]) {
        if let Repr::Inline { len, bytes } = &mut self.0
            && let Some(head) = bytes.0.get_mut(..data.len())
        {
            head.copy_from_slice(data);
            // At most INLINE_LEN, or the slice above would not exist.
            *len = data.len() as u8;
        } else if data.len() <= INLINE_LEN {
            *self = Self::copy_from(data);
        } else {
            self.0 = Repr::Shared(Bytes::copy_from_slice(data));
        }
    }

    /// The bytes.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline { len, bytes } => &bytes.0[..usize::from(*len)],
            Repr::Shared(data) => data,
        }
    }

    /// The shared buffer, when the payload has one.
    pub fn shared(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Inline { .. } => None,
            Repr::Shared(data) => Some(data),
        }
    }

    /// The bytes as a shared buffer; copies inline ones.
    pub fn to_bytes(&self) -> Bytes {
        match &self.0 {
            Repr::Inline { .. } => Bytes::copy_from_slice(self.as_slice()),
            Repr::Shared(data) => data.clone(),
        }
    }
}

impl From<Bytes> for Payload {
    fn from(data: Bytes) -> Self {
        if data.len() <= INLINE_LEN {
            Self::copy_from(&data)
        } else {
            Self(Repr::Shared(data))
        }
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_slice().len())
    }
}

/// An element of an array of a native type.
pub trait Element: Copy + 'static {
    /// The native type whose elements these are.
    const NATIVE: NativeType;
    /// Decodes one element; `bytes` has exactly its length.
    fn from_wire(bytes: &[u8]) -> Self;
    /// Appends one element.
    fn put(self, out: &mut impl BufMut);
}

macro_rules! elements {
    ($($ty:ty = $native:ident, $put:ident;)*) => {$(
        impl Element for $ty {
            const NATIVE: NativeType = NativeType::$native;
            fn from_wire(bytes: &[u8]) -> Self {
                bytes.try_into().map_or_else(|_| Self::default(), Self::from_be_bytes)
            }
            fn put(self, out: &mut impl BufMut) {
                out.$put(self);
            }
        }
    )*};
}

elements! {
    i16 = Short, put_i16;
    f32 = Float, put_f32;
    u8 = Char, put_u8;
    i32 = Long, put_i32;
    f64 = Double, put_f64;
}

/// Index of an enum state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct EnumIndex(pub u16);

impl Element for EnumIndex {
    const NATIVE: NativeType = NativeType::Enum;
    fn from_wire(bytes: &[u8]) -> Self {
        Self(bytes.try_into().map_or(0, u16::from_be_bytes))
    }
    fn put(self, out: &mut impl BufMut) {
        out.put_u16(self.0);
    }
}

/// A borrowed value.
///
/// # Shape
/// `data` holds `count` elements of the native type, big-endian; a string element may be shorter
/// than 40 bytes when it is the last one (`read_action` of EPICS Base).
#[derive(Clone, Copy, PartialEq)]
pub struct ValueRef<'a> {
    /// Type of the elements.
    pub native: NativeType,
    /// Number of elements.
    pub count: u32,
    /// The elements, without padding.
    pub data: &'a [u8],
}

impl<'a> ValueRef<'a> {
    /// The elements, when they are of type `T`.
    pub fn elements<T: Element>(self) -> Option<impl ExactSizeIterator<Item = T> + 'a> {
        (self.native == T::NATIVE)
            .then(|| self.data.chunks_exact(T::NATIVE.size()).map(T::from_wire))
    }

    /// Element `index` as the bytes on the wire; a short last string is given as it is.
    #[inline]
    pub fn element_bytes(self, index: u32) -> Option<&'a [u8]> {
        let size = self.native.size();
        let start = (index as usize).checked_mul(size)?;
        let rest = self.data.get(start..)?;
        if index >= self.count || rest.is_empty() {
            return None;
        }
        Some(&rest[..rest.len().min(size)])
    }

    /// Number of elements that are really there: `count`, or fewer if `data` is shorter.
    pub fn held(self) -> u32 {
        let size = self.native.size();
        let there = match self.native {
            NativeType::String => self.data.len().div_ceil(size),
            _ => self.data.len() / size,
        };
        u32::try_from(there).map_or(self.count, |there| there.min(self.count))
    }

    /// The first `count` elements; the whole value if it has fewer.
    pub fn truncated(self, count: u32) -> Self {
        let count = count.min(self.count);
        let len = (count as usize).saturating_mul(self.native.size());
        Self {
            count,
            data: self.data.get(..len).unwrap_or(self.data),
            ..self
        }
    }

    /// The bytes of the [`held`](Self::held) elements, without any rest.
    pub(super) fn held_data(self) -> &'a [u8] {
        let len = self.held() as usize * self.native.size();
        self.data.get(..len).unwrap_or(self.data)
    }

    /// A string element up to its NUL (at most 40 bytes).
    pub fn string(self, index: u32) -> Option<&'a [u8]> {
        if self.native != NativeType::String {
            return None;
        }
        let bytes = self.element_bytes(index)?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Some(&bytes[..end])
    }

    /// A copy that owns its bytes.
    pub fn to_value(self) -> Value {
        Value {
            native: self.native,
            count: self.count,
            data: Payload::copy_from(self.data),
        }
    }
}

impl ValueRef<'_> {
    /// Writes an element for humans; nothing for one that is not there.
    fn write_element(self, f: &mut fmt::Formatter<'_>, index: u32) -> fmt::Result {
        let bytes = self.element_bytes(index).unwrap_or_default();
        match self.native {
            NativeType::String => {
                fmt::Display::fmt(&Lossy(self.string(index).unwrap_or_default()), f)
            }
            NativeType::Short => write!(f, "{}", i16::from_wire(bytes)),
            NativeType::Float => write!(f, "{:?}", f32::from_wire(bytes)),
            NativeType::Enum => write!(f, "{}", EnumIndex::from_wire(bytes).0),
            NativeType::Char => write!(f, "{}", u8::from_wire(bytes)),
            NativeType::Long => write!(f, "{}", i32::from_wire(bytes)),
            NativeType::Double => write!(f, "{:?}", f64::from_wire(bytes)),
        }
    }
}

/// All elements with blanks between them: real numbers with as many digits as tell them from all
/// others, enums by their index, bytes as numbers, strings as they are, with U+FFFD for what is not
/// UTF-8.
///
/// # Examples
/// ```
/// use ca_proto::dbr::Value;
///
/// assert_eq!(Value::from([0.5, 2.0]).to_string(), "0.5 2.0");
/// assert_eq!(Value::from("closed").to_string(), "closed");
/// assert_eq!(format!("{:?}", Value::from("closed")), "DBF_STRING[1] { \"closed\" }");
/// ```
impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for index in 0..self.held() {
            if index > 0 {
                f.write_str(" ")?;
            }
            self.write_element(f, index)?;
        }
        Ok(())
    }
}

/// Type, element count and the first elements.
impl fmt::Debug for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Elements that are shown.
        const SHOWN: u32 = 8;
        write!(f, "{}[{}] {{", self.native, self.count)?;
        let held = self.held();
        for index in 0..held.min(SHOWN) {
            match self.string(index) {
                Some(text) => write!(f, " \"{}\"", Escaped(text))?,
                None => {
                    f.write_str(" ")?;
                    self.write_element(f, index)?;
                }
            }
        }
        f.write_str(if held > SHOWN { " … }" } else { " }" })
    }
}

/// An owned value; clones share large arrays.
#[derive(Clone, PartialEq)]
pub struct Value {
    native: NativeType,
    count: u32,
    data: Payload,
}

/// Every `step`th element of `N` bytes.
fn gather<const N: usize>(from: &[u8], step: usize, count: usize) -> Vec<u8> {
    let mut part = Vec::with_capacity(count * N);
    let elements = from.as_chunks::<N>().0.iter().step_by(step);
    for element in elements.take(count) {
        part.extend_from_slice(element);
    }
    part
}

impl Value {
    /// An array from its elements.
    pub fn array<T: Element>(elements: &[T]) -> Self {
        let size = T::NATIVE.size();
        let mut out = Vec::with_capacity(elements.len() * size);
        for &element in elements {
            element.put(&mut out);
        }
        Self::from_wire(T::NATIVE, Bytes::from(out))
    }

    /// One element.
    // hot: made where it stays, for every put.
    #[inline]
    pub fn scalar<T: Element>(element: T) -> Self {
        let mut bytes = [0; INLINE_LEN];
        element.put(&mut &mut bytes[..]);
        let len = T::NATIVE.size() as u8;
        Self {
            native: T::NATIVE,
            count: 1,
            data: Payload(Repr::Inline {
                len,
                bytes: Inline(bytes),
            }),
        }
    }

    /// One string, cut to 39 bytes and filled up with NULs.
    pub fn string(text: impl AsRef<[u8]>) -> Self {
        Self::strings(&[text])
    }

    /// An array of strings, each cut to 39 bytes and filled up with NULs.
    pub fn strings(texts: &[impl AsRef<[u8]>]) -> Self {
        let mut out = Vec::with_capacity(texts.len() * super::STRING_LEN);
        for text in texts {
            let text = text.as_ref();
            let kept = text.len().min(super::STRING_LEN - 1);
            out.extend_from_slice(&text[..kept]);
            out.put_bytes(0, super::STRING_LEN - kept);
        }
        Self::from_wire(NativeType::String, Bytes::from(out))
    }

    /// A value whose elements already are in wire form (big-endian, 40 bytes per string); the
    /// count is the number of whole elements in `data`.
    pub fn from_wire(native: NativeType, data: Bytes) -> Self {
        let count = (data.len() / native.size()) as u32;
        Self {
            native,
            count,
            data: Payload::from(data),
        }
    }

    /// Elements at equal distances, from the first one on: `count` of them, or as many as there are. Shares
    /// the buffer when they are adjacent.
    pub fn part(&self, start: usize, step: usize, count: usize) -> Self {
        let (step, size) = (step.max(1), self.native.size());
        let all = self.payload().to_bytes();
        let from = start.min(self.count as usize);
        let most = (self.count as usize - from).div_ceil(step);
        let count = count.min(most);
        if step == 1 {
            let part = all.slice(from * size..(from + count) * size);
            return Self::from_wire(self.native, part);
        }
        let from = &all[from * size..];
        let part = match size {
            8 => gather::<8>(from, step, count),
            4 => gather::<4>(from, step, count),
            2 => gather::<2>(from, step, count),
            1 => gather::<1>(from, step, count),
            // Texts.
            _ => {
                let elements = from.chunks_exact(size).step_by(step).take(count);
                elements.flatten().copied().collect()
            }
        };
        Self::from_wire(self.native, Bytes::from(part))
    }

    /// A value without elements.
    pub fn empty(native: NativeType) -> Self {
        Self {
            native,
            count: 0,
            data: Payload::copy_from(&[]),
        }
    }

    /// A value of `count` elements; only a last string may be short in `data`.
    pub(super) const fn from_parts(native: NativeType, count: u32, data: Payload) -> Self {
        Self {
            native,
            count,
            data,
        }
    }

    /// Type of the elements.
    pub const fn native(&self) -> NativeType {
        self.native
    }

    /// Number of elements.
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The bytes of the elements.
    pub const fn payload(&self) -> &Payload {
        &self.data
    }

    /// Takes over a scalar of the same native type in place; `false` if the two are not both such
    /// scalars, and nothing is changed.
    // hot: every put of a number.
    #[inline]
    pub fn set_scalar(&mut self, from: ValueRef<'_>) -> bool {
        let alike = (self.native, self.count) == (from.native, 1);
        if !alike || from.count != 1 || from.native == NativeType::String {
            return false;
        }
        let Repr::Inline { len, bytes } = &mut self.data.0 else {
            return false;
        };
        let held = bytes.0.get_mut(..usize::from(*len)).unwrap_or_default();
        if held.len() != from.data.len() {
            return false;
        }
        // A copy of a known length is a move.
        match (held.first_chunk_mut::<8>(), from.data.first_chunk()) {
            (Some(held), Some(double)) => *held = *double,
            _ => held.copy_from_slice(from.data),
        }
        true
    }

    /// The value, borrowed.
    #[inline]
    pub fn as_ref(&self) -> ValueRef<'_> {
        ValueRef {
            native: self.native,
            count: self.count,
            data: self.data.as_slice(),
        }
    }
}

/// As [`ValueRef`] is shown.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), f)
    }
}

impl<T: Element> From<T> for Value {
    fn from(element: T) -> Self {
        Self::scalar(element)
    }
}

impl<T: Element> From<&[T]> for Value {
    fn from(elements: &[T]) -> Self {
        Self::array(elements)
    }
}

impl<T: Element> From<Vec<T>> for Value {
    fn from(elements: Vec<T>) -> Self {
        Self::array(&elements)
    }
}

impl<T: Element, const N: usize> From<[T; N]> for Value {
    fn from(elements: [T; N]) -> Self {
        Self::array(&elements)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::string(text)
    }
}

impl From<alloc::string::String> for Value {
    fn from(text: alloc::string::String) -> Self {
        Self::string(text)
    }
}
