//! The PV that is played: values of every type, as bytes.

use crate::bytes;
use crate::layout::{LAYOUT, base, padded, value_at};

/// A PV as a server describes and holds it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pv {
    /// Native DBR type, 0 to 6.
    pub(super) native: u16,
    /// Element count.
    pub(super) count: u32,
    /// Each element.
    pub(super) value: f64,
    /// Bit 0 read, bit 1 write.
    pub(super) rights: u32,
}

impl Pv {
    /// A number that looks the same in every format.
    pub(super) const FIRST: f64 = 4711.0;

    /// A single real number.
    pub(super) const fn double() -> Self {
        Self {
            native: 6,
            count: 1,
            value: Self::FIRST,
            rights: 3,
        }
    }

    /// The payload of an answer of this type and count, with its padding: no alarm, no limits.
    pub(super) fn payload(&self, ty: u16, count: u32) -> Vec<u8> {
        value(ty, count, self.value)
    }
}

/// A payload of `count` equal elements; empty for a type that does not exist.
pub(super) fn value(ty: u16, count: u32, v: f64) -> Vec<u8> {
    if usize::from(ty) >= LAYOUT.len() {
        return Vec::new();
    }
    let mut out = vec![0; value_at(ty)];
    if (14..=20).contains(&ty) {
        // Seconds of the time stamp: in the year 2021.
        out[4..8].copy_from_slice(&1_000_000_000u32.to_be_bytes());
    }
    let element = bytes::element(base(ty), v);
    for _ in 0..count {
        out.extend_from_slice(&element);
    }
    out.resize(padded(ty, count), 0);
    out
}
