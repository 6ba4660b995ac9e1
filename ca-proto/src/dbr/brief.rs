//! A reading of few bytes, kept in as few.

use core::array;
use core::num::NonZeroU8;

use super::{DbrType, Payload, Reading};

/// Words that are kept: every number of every `TIME` and smaller structure fits (`TIME_DOUBLE` is the
/// largest with 24 bytes).
const WORDS: usize = 3;
const BRIEF_LEN: usize = 8 * WORDS;

/// A [`Reading`] of 1 to 24 bytes, for queues in which many wait: it takes 32 bytes, where a
/// `Reading` takes 72.
///
/// # Examples
/// ```
/// use ca_proto::dbr::{Brief, DbrType, Reading};
///
/// let payload = [0, 3, 0, 2, 0x45, 0x61, 0x65, 0x2b, 0, 0, 0, 0, 0, 0, 0, 42];
/// let brief = Brief::new(DbrType(19), 1, &payload).expect("a TIME_LONG is small");
/// assert_eq!(Reading::from(brief).get_f64(0), Some(42.0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    /// The bytes as they came. As words they travel in registers.
    words: [u64; WORDS],
    ty: u8,
    count: u8,
    /// Not zero, so that whoever keeps a brief or something else needs no more room for that.
    len: NonZeroU8,
}

impl Brief {
    /// Takes a structure of `count` elements from the beginning of a payload; `None` if it is empty,
    /// larger than 24 bytes or not all there, and for unknown types.
    // hot: every update.
    #[inline]
    pub fn new(ty: DbrType, count: u32, payload: &[u8]) -> Option<Self> {
        let len = ty.size(count);
        if !ty.is_valid() || len > BRIEF_LEN as u64 || len > payload.len() as u64 {
            return None;
        }
        // Neither is cut: there are 39 types, and each element has a byte at least.
        Some(Self {
            words: words(payload),
            ty: ty.0 as u8,
            count: count as u8,
            len: NonZeroU8::new(len as u8)?,
        })
    }
}

/// The first bytes of a payload, zeros behind its end.
#[inline]
fn words(payload: &[u8]) -> [u64; WORDS] {
    // Most are a `TIME_DOUBLE`, with three loads.
    match payload.first_chunk::<BRIEF_LEN>() {
        Some(head) => array::from_fn(|word| {
            let byte = |n| head[8 * word + n];
            u64::from_ne_bytes(array::from_fn(byte))
        }),
        None => short_words(payload),
    }
}

fn short_words(payload: &[u8]) -> [u64; WORDS] {
    let mut head = [0; BRIEF_LEN];
    for (to, from) in head.iter_mut().zip(payload) {
        *to = *from;
    }
    words(&head)
}

impl From<Brief> for Reading {
    // hot: every update that is read.
    #[inline]
    fn from(brief: Brief) -> Self {
        let data = Payload::from_words(brief.len.get(), brief.words);
        Self::from_parts(DbrType(brief.ty.into()), brief.count.into(), data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Command, Frame, Header};

    #[test]
    fn a_brief_becomes_what_a_frame_does() {
        let payload: [u8; 64] = array::from_fn(|n| n as u8 + 1);
        for code in 0..DbrType::COUNT {
            for count in 0..30 {
                for len in (0..=64).step_by(8) {
                    let (ty, payload) = (DbrType(code), &payload[..len]);
                    let frame = Frame::new(Header::new(Command::EVENT_ADD), payload);
                    let small = (1..=24.min(len as u64)).contains(&ty.size(count));
                    let brief = Brief::new(ty, count, payload);
                    assert_eq!(brief.is_some(), small, "{ty} {count} {len}");
                    if let Some(brief) = brief {
                        let reading = Reading::from_frame(ty, count, &frame);
                        assert_eq!(Ok(Reading::from(brief)), reading);
                    }
                }
            }
        }
        assert!(Brief::new(DbrType(DbrType::COUNT), 0, &payload).is_none());
        assert!(Brief::new(DbrType(4), u32::MAX, &payload).is_none());
    }
}
