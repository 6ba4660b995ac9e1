//! What hostile hosts say is made of chance.

use ca_proto::EcaStatus;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::rng::Pcg32;
use ca_proto::wire::{Command, Header, Minor};

/// Largest payload of a message without meaning, in bytes.
const MAX_PAYLOAD: u32 = 300;
/// Largest payload of a value, in bytes.
const MAX_DATA: u64 = 4096;

/// Makes numbers, fields and messages that are right, almost right, or anything.
#[derive(Debug)]
pub(super) struct Forge(Pcg32);

impl Forge {
    pub(super) fn new(seed: u64) -> Self {
        Self(Pcg32::new(seed))
    }

    /// A number below `bound`; 0 if that is 0.
    pub(super) fn below(&mut self, bound: u32) -> u32 {
        self.0.below(bound)
    }

    pub(super) fn any(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// True with a probability of `percent`.
    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// One of them, if there are any.
    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        let at = self.below(from.len() as u32) as usize;
        from.get(at).cloned()
    }

    /// A number that is right, or near, or anything.
    pub(super) fn almost(&mut self, right: u32) -> u32 {
        match self.below(12) {
            0 => right.wrapping_add(1),
            1 => right ^ (1 << self.below(32)),
            2 => self.any(),
            3 => 0,
            _ => right,
        }
    }

    pub(super) fn bytes(&mut self, len: u32) -> Vec<u8> {
        (0..len).map(|_| self.any() as u8).collect()
    }

    /// Harms a message or leaves it as it is.
    pub(super) fn harm(&mut self, mut message: Vec<u8>) -> Vec<u8> {
        let len = message.len() as u32;
        match self.below(30) {
            0 => {
                let at = self.below(len) as usize;
                if let Some(byte) = message.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
            1 => message.truncate(self.below(len) as usize),
            2 => message.extend_from_within(..),
            3 => {
                let len = self.below(40);
                message.extend(self.bytes(len));
            }
            _ => {}
        }
        message
    }

    /// Data in the type and count asked for, sometimes a few bytes too short or too long.
    pub(super) fn data(&mut self, ty: DbrType, count: u32) -> Vec<u8> {
        let count = count.clamp(1, 8);
        let size = if ty.is_valid() { ty.size(count) } else { 16 };
        let size = match self.below(10) {
            0 => size.saturating_sub(8),
            1 => size + 8,
            2 => size / 2,
            _ => size,
        };
        self.bytes(size.min(MAX_DATA) as u32)
    }

    pub(super) fn status(&mut self) -> EcaStatus {
        match self.below(8) {
            0 => EcaStatus(self.any()),
            1 => EcaStatus::GETFAIL,
            _ => EcaStatus::NORMAL,
        }
    }

    pub(super) fn type_code(&mut self) -> DbrType {
        match self.below(6) {
            0 => DbrType(self.below(45) as u16),
            1 => DbrType::new(Family::Plain, NativeType::String),
            2 => DbrType::new(Family::Plain, NativeType::Long),
            _ => DbrType::new(Family::Plain, NativeType::Double),
        }
    }

    /// The present version, or another below `bound`.
    pub(super) fn minor(&mut self, bound: u32) -> Minor {
        match self.below(4) {
            0 => Minor(self.below(bound) as u16),
            _ => Minor::CURRENT,
        }
    }

    /// A header with a command that is mostly known and fields that are sometimes plausible, and a
    /// payload.
    pub(super) fn message(&mut self) -> Vec<u8> {
        let command = match self.below(8) {
            0 => self.any(),
            _ => self.below(28),
        };
        let payload = match self.below(3) {
            0 => 0,
            1 => 8 * self.below(6),
            _ => 8 * self.below(MAX_PAYLOAD / 8),
        };
        let mut header = Header {
            data_type: self.small() as u16,
            count: self.small(),
            p1: self.small(),
            p2: self.small(),
            payload_len: payload,
            ..Header::new(Command(command as u16))
        };
        // Sometimes the size lies, is odd, or enormous.
        match self.below(40) {
            0 => header.payload_len = self.any(),
            1 => header.payload_len += 1 + self.below(7),
            2 => header.payload_len += 8,
            _ => {}
        }
        let mut out = Vec::new();
        header.encode(&mut out);
        out.extend(self.bytes(payload));
        out
    }

    fn small(&mut self) -> u32 {
        match self.below(4) {
            0 => self.any(),
            _ => self.below(6),
        }
    }
}
