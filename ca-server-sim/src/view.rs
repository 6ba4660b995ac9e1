//! What a channel sees when it is opened on something else than the plain value of a record.

use std::sync::Arc;

use ca_proto::dbr::value::EnumIndex;
use ca_proto::dbr::{Metadata, NativeType, STRING_LEN, Snapshot, Value};
use ca_proto::server::{ChannelInfo, Strided, Update};

use crate::alarm::AlarmLimits;
use crate::db::{Node, PvHandle, ViewKey};
use crate::field::{Field, element_type};
use crate::filter::Chain;
use crate::name::{Modifiers, Slice};
use crate::plain::{Record, Subscribers};

/// A field of a record, perhaps as a long string or a part of an array. Channels that are opened
/// with the same name share it.
#[derive(Debug)]
pub(crate) struct View {
    pub record: PvHandle,
    pub field: Field,
    pub modifiers: Modifiers,
    /// Channels that are open on it.
    pub open: u32,
    pub subs: Subscribers,
    /// Filters of the one channel that is open on it.
    pub chain: Option<Box<Chain>>,
    /// `None` when the record's own metadata describe the field too.
    meta: Option<Arc<Metadata>>,
}

impl View {
    /// `None` if the modifiers do not fit the field: `$` wants a single string.
    pub(crate) fn new(
        handle: PvHandle,
        record: &Record,
        field: Field,
        modifiers: Modifiers,
    ) -> Option<Self> {
        let is_string = field.native(record) == NativeType::String
            && (field != Field::Val || !record.is_array());
        if modifiers.long && !is_string {
            return None;
        }
        let own = (modifiers.long || !field.shares_metadata()).then(|| {
            Arc::new(Metadata {
                long_string: modifiers.long,
                ..field.metadata(record.kind)
            })
        });
        Some(Self {
            record: handle,
            field,
            modifiers,
            open: 0,
            subs: Subscribers::default(),
            chain: None,
            meta: own,
        })
    }

    pub(crate) const fn key(&self) -> ViewKey {
        ViewKey {
            record: self.record,
            field: self.field,
            modifiers: self.modifiers,
        }
    }

    /// Bytes that it takes: its place in the slab of nodes, those in the two maps of views, whose nodes
    /// may be half empty, and its metadata.
    pub(crate) fn bytes(&self) -> u16 {
        let meta = self.meta.as_ref().map_or(0, |_| size_of::<Metadata>() + 16);
        let places = 2 * (size_of::<Node>() + 8) + 4 * size_of::<(ViewKey, PvHandle)>();
        let chain = self.chain.as_ref().map_or(0, |chain| chain.bytes());
        u16::try_from(places + meta + chain).unwrap_or(u16::MAX)
    }

    pub(crate) fn info(&self, record: &Record) -> ChannelInfo {
        let (native, count) = if self.modifiers.long {
            let size = match self.field {
                // Longer than that of a record can be.
                Field::Name => self.field.text_size().max(record.name.len() as u32 + 1),
                field => field.text_size(),
            };
            (NativeType::Char, size)
        } else if self.field == Field::Val {
            (record.native(), record.capacity)
        } else {
            (self.field.native(record), 1)
        };
        let count = match self.modifiers.range {
            // A part of `count` elements has at most as many; a single element has no parts.
            Some(range) if count > 1 => range.of(count).2 as u32,
            _ => count,
        };
        ChannelInfo { native, count }
    }

    /// What its subscribers are told; an array or a text is read when it is sent.
    pub(crate) fn update(&self, record: &Record) -> Update {
        let info = self.info(record);
        match info.count == 1 && info.native != NativeType::String {
            true => Update::new(&self.read(record, 1)),
            false => Update::by_reference(),
        }
    }

    /// Characters of a long string of which parts are taken.
    pub(crate) fn padded(&self) -> usize {
        self.field.text_size() as usize
    }

    /// The part of an array, with so many elements at most, that would have to be gathered.
    pub(crate) fn strided(&self, record: &Record, most: u32) -> Option<Strided> {
        let range = self.modifiers.range.filter(|_| !self.modifiers.long)?;
        if self.field != Field::Val || record.capacity <= 1 {
            return None;
        }
        let value = &record.snapshot.value;
        let (start, step, count) = range.of(value.count());
        let meta = self.meta.as_ref().unwrap_or(&record.snapshot.meta);
        (step > 1).then(|| Strided {
            state: Snapshot {
                value: value.clone(),
                meta: Arc::clone(meta),
                ..record.snapshot
            },
            start,
            step,
            // At most as many as there are.
            count: (count as u32).min(most),
        })
    }

    /// The state, with so many elements at most of a part of an array.
    pub(crate) fn read(&self, record: &Record, most: u32) -> Snapshot {
        let mut value = if self.modifiers.long {
            long_string(&record.text(self.field))
        } else {
            record.field(self.field)
        };
        if let Some(range) = self.modifiers.range {
            if self.modifiers.long {
                value = cut_text(&value, [range], Some(self.padded()));
            } else if record.capacity > 1 && self.field == Field::Val {
                value = cut(&value, range, most as usize);
            }
        }
        let meta = self.meta.as_ref().unwrap_or(&record.snapshot.meta);
        Snapshot {
            value,
            meta: Arc::clone(meta),
            ..record.snapshot
        }
    }
}

/// The text with its NUL.
pub(crate) fn long_string(text: &[u8]) -> Value {
    let mut bytes = text.to_vec();
    bytes.push(0);
    Value::from(bytes)
}

/// A part of an array; shares its buffer when the elements are adjacent.
pub(crate) fn cut(value: &Value, range: Slice, most: usize) -> Value {
    let (start, step, count) = range.of(value.count());
    value.part(start, step, count.min(most))
}

/// Parts of parts of a long string in a field of so many characters; the last element becomes NUL, unless it is the
/// only one (the filter `arr.c` and `dbGet` of EPICS Base). Behind a NUL nothing is sent. A text of any length is an
/// array of its characters and its NUL.
pub(crate) fn cut_text(
    value: &Value,
    ranges: impl IntoIterator<Item = Slice>,
    room: Option<usize>,
) -> Value {
    let mut bytes = value.as_ref().data.to_vec();
    bytes.resize(room.unwrap_or(0).max(bytes.len()), 0);
    for range in ranges {
        let (start, step, count) = range.of(bytes.len() as u32);
        let places = bytes.into_iter().skip(start).step_by(step.max(1));
        bytes = places.take(count).collect();
    }
    if room.is_none() {
        return Value::from(bytes);
    }
    if let [_, .., last] = &mut bytes[..] {
        *last = 0;
    }
    let end = bytes.iter().position(|&byte| byte == 0);
    bytes.truncate(end.map_or(bytes.len(), |end| end + 1));
    Value::from(bytes)
}

impl Record {
    /// What a channel that is opened on a field sees.
    pub(crate) fn snapshot_of(&self, field: Field) -> Snapshot {
        let meta = match field.shares_metadata() {
            true => Arc::clone(&self.snapshot.meta),
            false => Arc::new(field.metadata(self.kind)),
        };
        Snapshot {
            value: self.field(field),
            meta,
            ..self.snapshot
        }
    }

    /// The value of a field in its native type.
    pub(crate) fn field(&self, field: Field) -> Value {
        let (meta, limits) = (&self.snapshot.meta, &self.snapshot.meta.limits);
        let extra = self.extra.as_deref();
        let severities = extra.map(|extra| extra.severities).unwrap_or_default();
        let number = |number: f64| match field.native(self) {
            NativeType::Double => Value::scalar(number),
            // Saturates; NaN, an undefined limit, is 0 (`dbConvert.c` of EPICS Base).
            _ => Value::scalar(number as i32),
        };
        let limit = |of: fn(&AlarmLimits) -> f64| {
            let limit = extra.map_or(0.0, |extra| of(&extra.limits));
            number(if limit.is_nan() { 0.0 } else { limit })
        };
        let choice = |index: u16| Value::scalar(EnumIndex(index));
        match field {
            Field::Val => self.snapshot.value.clone(),
            Field::Name | Field::Desc | Field::Rtyp | Field::Egu | Field::StateText(_) => {
                Value::string(self.text(field))
            }
            Field::Sevr => choice(self.snapshot.alarm.severity.0),
            Field::Stat => choice(self.snapshot.alarm.status.0),
            Field::Acks => choice(self.snapshot.ack.severity.0),
            Field::Ackt => choice(u16::from(self.snapshot.ack.transient)),
            Field::Udf => Value::scalar(u8::from(self.undefined)),
            Field::Proc => Value::scalar(0u8),
            Field::Prec => Value::scalar(meta.precision),
            Field::Hopr => number(limits.display.upper),
            Field::Lopr => number(limits.display.lower),
            Field::Hihi => limit(|limits| limits.hihi),
            Field::High => limit(|limits| limits.high),
            Field::Low => limit(|limits| limits.low),
            Field::Lolo => limit(|limits| limits.lolo),
            Field::Drvh => number(limits.control.upper),
            Field::Drvl => number(limits.control.lower),
            Field::Hhsv => choice(severities.hihi.0),
            Field::Hsv => choice(severities.high.0),
            Field::Lsv => choice(severities.low.0),
            Field::Llsv => choice(severities.lolo.0),
            Field::Hyst => number(extra.map_or(0.0, |extra| extra.hysteresis)),
            Field::Mdel => number(extra.map_or(0.0, |extra| extra.value_band.width)),
            Field::Adel => number(extra.map_or(0.0, |extra| extra.archive_band.width)),
            Field::Nord => Value::scalar(f64::from(self.snapshot.value.count())),
            Field::Nelm => Value::scalar(f64::from(self.capacity)),
            Field::Ftvl => choice(element_type(self.native())),
            Field::StateSeverity(index) => {
                let severities = extra.map_or(&[][..], |extra| &extra.state_severities);
                choice(severities.get(usize::from(index)).map_or(0, |s| s.0))
            }
        }
    }

    /// The text of a string field, without NUL.
    pub(crate) fn text(&self, field: Field) -> Vec<u8> {
        let meta = &self.snapshot.meta;
        match field {
            Field::Name => self.name.as_bytes().to_vec(),
            Field::Desc => match &self.extra {
                Some(extra) => extra.description.to_vec(),
                None => Vec::new(),
            },
            Field::Rtyp => self.kind.name().into(),
            Field::Egu => match &self.extra {
                Some(extra) if !extra.units.is_empty() => extra.units.to_vec(),
                _ => meta.units.as_bytes().to_vec(),
            },
            Field::StateText(index) => meta.states.get(u16::from(index)).unwrap_or(&[]).to_vec(),
            _ => {
                let value = self.snapshot.value.as_ref();
                let text = value.string(0).unwrap_or(&[]);
                text[..text.len().min(STRING_LEN - 1)].to_vec()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_long_string_are_places_of_its_field() {
        let text = long_string(b"some text");
        let part = |start, step, end| {
            let range = Slice::new(start, step, end);
            cut_text(&text, [range], Some(40)).as_ref().data.to_vec()
        };
        assert_eq!(part(0, 1, 4), b"some\0");
        assert_eq!(part(0, 2, -1), b"sm et\0", "its NUL is at an odd place");
        assert_eq!(part(-2, 1, -1), b"\0", "the end is that of the field");
        assert_eq!(part(5, 1, 3), b"");
        assert_eq!(part(1, 1, 1), b"o", "a single element has no end");
        let open = cut_text(&text, [Slice::new(0, 1, -3)], None);
        assert_eq!(open.as_ref().data, b"some tex");
    }
}
