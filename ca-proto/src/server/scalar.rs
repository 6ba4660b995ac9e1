//! Scalars of at most 8 bytes: what an event queue copies, and the messages that carry them.

use crate::alarm::Alarm;
use crate::dbr::{DbrType, NativeType, Snapshot, Value, ValueRef};
use crate::status::EcaStatus;
use crate::time::Timestamp;
use crate::wire::header::STANDARD_LEN;
use crate::wire::{Command, SendQueue, align8};

/// Largest size of such a scalar.
const LEN: usize = 8;
/// Largest message made here: a header and a `TIME_DOUBLE`, whose value stands at offset 16.
const MESSAGE_LEN: usize = STANDARD_LEN + 24;

/// A scalar with its alarm and time stamp. Texts are none: they are read on delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scalar {
    native: NativeType,
    /// As on the wire; zeros behind the value.
    bytes: [u8; LEN],
    alarm: Alarm,
    stamp: Timestamp,
}

impl Scalar {
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let value = snapshot.value.as_ref();
        if value.count != 1 || value.native == NativeType::String {
            return None;
        }
        let mut bytes = [0; LEN];
        // hot: mostly a double, which is one load.
        match value.data.first_chunk::<LEN>() {
            Some(all) if value.data.len() == LEN => bytes = *all,
            _ => (bytes.get_mut(..value.data.len())?).copy_from_slice(value.data),
        }
        Some(Self {
            native: value.native,
            bytes,
            alarm: snapshot.alarm,
            stamp: snapshot.stamp,
        })
    }

    pub(super) const fn alarm(&self) -> Alarm {
        self.alarm
    }

    pub(super) const fn stamp(&self) -> Timestamp {
        self.stamp
    }

    pub(super) fn value(&self) -> Value {
        let data = self.bytes.get(..self.native.size()).unwrap_or_default();
        ValueRef {
            native: self.native,
            count: 1,
            data,
        }
        .to_value()
    }

    /// Queues a successful reply or update of this type with one element, if that is as simple as it
    /// mostly is: no conversion, and nothing from the metadata.
    pub(super) fn put(&self, out: &mut SendQueue, command: Command, ty: DbrType, id: u32) -> bool {
        let timed = match ty.0.wrapping_sub(self.native as u16) {
            // PLAIN, STS and TIME.
            0 => None,
            7 => Some(false),
            14 => Some(true),
            _ => return false,
        };
        let mut message = [0; MESSAGE_LEN];
        let at = STANDARD_LEN + ty.value_offset();
        let end = STANDARD_LEN + align8(ty.value_offset() + self.native.size());
        let mut set = |at: usize, bytes: &[u8]| {
            if let Some(place) = message.get_mut(at..at + bytes.len()) {
                place.copy_from_slice(bytes);
            }
        };
        set(0, &command.0.to_be_bytes());
        set(2, &((end - STANDARD_LEN) as u16).to_be_bytes());
        set(4, &ty.0.to_be_bytes());
        set(6, &1u16.to_be_bytes());
        set(8, &EcaStatus::NORMAL.0.to_be_bytes());
        set(12, &id.to_be_bytes());
        if let Some(timed) = timed {
            set(16, &self.alarm.status.0.to_be_bytes());
            set(18, &self.alarm.severity.0.to_be_bytes());
            if timed {
                set(20, &self.stamp.secs.to_be_bytes());
                set(24, &self.stamp.nanos.to_be_bytes());
            }
        }
        set(at, &self.bytes);
        // hot: copies of a known length are a few stores.
        match end {
            24 => put_first::<24>(out, &message),
            32 => put_first::<32>(out, &message),
            _ => put_first::<MESSAGE_LEN>(out, &message),
        }
        true
    }
}

/// Queues the first `N` bytes.
fn put_first<const N: usize>(out: &mut SendQueue, message: &[u8; MESSAGE_LEN]) {
    if let Some(message) = message.first_chunk::<N>() {
        out.put(|flat| flat.extend_from_slice(message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dbr::{Acknowledge, EnumIndex, Family, Metadata};
    use crate::wire::Header;
    use crate::{AlarmSeverity, AlarmStatus};

    /// The short way gives what the long one gives, for every type.
    #[test]
    fn messages_are_those_of_the_general_encoder() {
        let values = [
            Value::scalar(-1.5e300),
            Value::scalar(2.25f32),
            Value::scalar(-7i32),
            Value::scalar(-3i16),
            Value::scalar(200u8),
            Value::scalar(EnumIndex(5)),
        ];
        for value in values {
            let snapshot = Snapshot {
                value,
                alarm: Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR),
                stamp: Timestamp {
                    secs: 0x0102_0304,
                    nanos: 0x0506_0708,
                },
                ack: Acknowledge::default(),
                meta: Metadata::none(),
            };
            let scalar = Scalar::of(&snapshot).expect("a scalar");
            let mut short = 0;
            for code in 0..DbrType::COUNT {
                let ty = DbrType(code);
                let mut out = SendQueue::new();
                if !scalar.put(&mut out, Command::EVENT_ADD, ty, 99) {
                    continue;
                }
                short += 1;
                assert_eq!(ty.native(), Some(snapshot.value.native()));
                assert!(matches!(
                    ty.family(),
                    Some(Family::Plain | Family::Sts | Family::Time)
                ));
                let mut expected = SendQueue::new();
                let header = Header {
                    payload_len: align8(ty.size(1) as usize) as u32,
                    data_type: code,
                    count: 1,
                    p1: EcaStatus::NORMAL.0,
                    p2: 99,
                    ..Header::new(Command::EVENT_ADD)
                };
                expected.put(|flat| {
                    header.encode(flat);
                    snapshot.encode(ty, 1, flat).expect("no conversion");
                    flat.resize(STANDARD_LEN + header.payload_len as usize, 0);
                });
                assert_eq!(out.to_vec(), expected.to_vec(), "{ty}");
            }
            assert_eq!(short, 3);
        }
    }

    #[test]
    fn texts_and_arrays_are_no_scalars() {
        for value in [
            Value::string("a"),
            Value::array(&[1.0, 2.0]),
            Value::empty(NativeType::Long),
        ] {
            let snapshot = Snapshot {
                value,
                alarm: Alarm::NONE,
                stamp: Timestamp::UNDEFINED,
                ack: Acknowledge::default(),
                meta: Metadata::none(),
            };
            assert!(Scalar::of(&snapshot).is_none());
        }
    }
}
