//! What a channel sees of a record.

use std::borrow::Cow;
use std::sync::Arc;

use ca_proto::dbr::{
    DbrType, EnumStates, Family, Limits, Metadata, NativeType, Range, Snapshot, Units, Value,
};
use ca_proto::server::ChannelInfo;

use super::value::{array, dbf, is_foreign, native, to_value};
use super::{FieldKey, RTYP, Served};
use crate::db::{Node, PvHandle};
use crate::filter::Chain;
use crate::plain::Subscribers;
use crate::record::{ArrayShape, Dbf, Field, Special, Val};
use crate::view::{cut, cut_text, long_string};

/// Bytes of a link's text with its NUL (`PVLINK_STRINGSZ` of EPICS Base).
const LINK_SIZE: u32 = 1024;
/// Bytes of the name of a record's type, which is a text as any other.
const TYPE_SIZE: u32 = 40;

/// A field of a record, perhaps as a long string or a part of an array. Channels that are opened on the same
/// share it.
#[derive(Debug)]
pub(crate) struct Channel {
    pub key: FieldKey,
    /// Channels that are open on it.
    pub open: u32,
    /// The record was removed, or has another name now.
    pub gone: bool,
    pub subs: Subscribers,
    /// Filters of the one channel that is open on it.
    pub chain: Option<Chain>,
}

impl Channel {
    pub(crate) const fn new(key: FieldKey, chain: Option<Chain>) -> Self {
        Self {
            key,
            open: 0,
            gone: false,
            subs: Subscribers::None,
            chain,
        }
    }

    /// Bytes that it takes: itself, its place in the slab of nodes, and those in the two maps, whose nodes may be
    /// half empty.
    pub(crate) fn bytes(&self) -> u16 {
        let places = 2 * (size_of::<Node>() + 8) + 4 * size_of::<(FieldKey, PvHandle)>();
        let chain = self.chain.as_ref().map_or(0, Chain::bytes);
        u16::try_from(size_of::<Self>() + 16 + places + chain).unwrap_or(u16::MAX)
    }
}

impl Served {
    fn shape(&self, key: FieldKey) -> Option<ArrayShape> {
        match key.field {
            RTYP => None,
            field => self.records.shape(key.record, field),
        }
    }

    /// The type of the field, or of the elements of the array that it is.
    pub(super) fn dbf(&self, key: FieldKey) -> Dbf {
        let own = || match key.field {
            RTYP => Dbf::String,
            field => self.records.dbf(key.record, field),
        };
        self.shape(key).map_or_else(own, |shape| shape.dbf)
    }

    /// Whether the modifiers fit the field: `$` wants a single text.
    pub(crate) fn fits(&self, key: FieldKey) -> bool {
        let dbf = self.dbf(key);
        let text = dbf == Dbf::String || dbf.is_link();
        !key.modifiers.long || (text && self.shape(key).is_none())
    }

    /// Characters that a text has room for, with its NUL.
    fn text_room(&self, key: FieldKey, dbf: Dbf) -> u32 {
        match key.field {
            RTYP => TYPE_SIZE,
            _ if dbf.is_link() => LINK_SIZE,
            field => u32::try_from(self.records.room(key.record, field)).unwrap_or(u32::MAX),
        }
    }

    /// The field in which a text of any length is (`get_array_info` of `lsi`, `lso` and `printf`).
    fn open_text(&self, key: FieldKey) -> Option<&Field> {
        let own = self.records.type_of(key.record);
        let field = own.fields.get(usize::from(key.field));
        field.filter(|field| field.dbf == Dbf::NoAccess)
    }

    /// Characters of a long string of which parts are taken: those of its field. `None` for a text of any length, which
    /// is an array as others are.
    pub(crate) fn padded(&self, key: FieldKey) -> Option<usize> {
        match self.open_text(key) {
            Some(_) => None,
            None => Some(self.text_room(key, self.dbf(key)) as usize),
        }
    }

    /// The text with its NUL; a text of any length that was never set has none.
    fn long_string(&self, key: FieldKey, text: &[u8]) -> Value {
        let length = match self.open_text(key).map(|field| &*field.name) {
            Some("VAL") => "LEN",
            Some("OVAL") => "OLEN",
            _ => return long_string(text),
        };
        let length = self.records.type_of(key.record).find(length);
        let length = length.map(|length| self.records.get(key.record, length).as_i64());
        match text.is_empty() && length == Some(0) {
            true => Value::empty(NativeType::Char),
            false => long_string(text),
        }
    }

    /// Whether an array has room for more than one element, so that parts of it are taken.
    pub(super) fn has_parts(&self, key: FieldKey) -> bool {
        self.shape(key).is_some_and(|shape| shape.capacity > 1)
    }

    pub(crate) fn info(&self, key: FieldKey) -> ChannelInfo {
        let (dbf, shape) = (self.dbf(key), self.shape(key));
        let (native, count) = match shape {
            // A field has room for at most as many as there are numbers.
            Some(shape) => (
                native(dbf),
                u32::try_from(shape.capacity).unwrap_or(u32::MAX),
            ),
            None if key.modifiers.long => (Some(NativeType::Char), self.text_room(key, dbf)),
            None => (native(dbf), 1),
        };
        let count = match key.modifiers.range {
            // A single element has no parts, also if it is an array's.
            Some(range) if count > 1 => range.of(count).2 as u32,
            _ => count,
        };
        ChannelInfo {
            native: native.unwrap_or(NativeType::Char),
            count,
        }
    }

    /// Whether a client can write the field at all (`casAccessRightsCB` of EPICS Base).
    pub(crate) fn is_writable(&self, key: FieldKey) -> bool {
        // RTYP is none of those that cannot be, though no put succeeds.
        key.field == RTYP
            || self.records.type_of(key.record).field(key.field).special != Special::NoMod
    }

    /// A number as clients see it by default.
    pub(crate) fn shown(&self, val: &Val) -> Value {
        to_value(val, 1)
    }

    /// The value of a field.
    pub(crate) fn val(&self, key: FieldKey) -> Val {
        match key.field {
            RTYP => Val::text(self.records.type_of(key.record).name.as_bytes()),
            field => self.records.get(key.record, field),
        }
    }

    /// What a client sees that asks for a type; `None` for the type of the field.
    pub(crate) fn read(&self, key: FieldKey, ty: Option<DbrType>, most: u32) -> Snapshot {
        let state = self.records.state(key.record);
        let (value, cut) = self.value(key, ty, most);
        Snapshot {
            value,
            alarm: state.alarm,
            stamp: state.time,
            ack: state.ack,
            meta: match (cut, ty) {
                (true, Some(DbrType::CLASS_NAME)) => Arc::new(Metadata {
                    class: self.class(key),
                    ..(*self.long).clone()
                }),
                (true, _) => Arc::clone(&self.long),
                (false, _) => self.metadata(key, ty),
            },
        }
    }

    /// The value, and whether it is a text as an array.
    fn value(&self, key: FieldKey, ty: Option<DbrType>, most: u32) -> (Value, bool) {
        let val = self.val(key);
        let most = most as usize;
        if key.modifiers.long {
            let text = self.long_string(key, val.as_text());
            let text = match key.modifiers.range {
                Some(range) => cut_text(&text, [range], self.padded(key)),
                None => text,
            };
            return (text, true);
        }
        let wanted = ty.and_then(DbrType::native);
        // Only some of the types of characters are with a sign there (`db_access.c`).
        let signed = matches!(
            ty.and_then(DbrType::family),
            Some(Family::Plain | Family::Time)
        );
        if wanted == Some(NativeType::Char)
            && signed
            && key.field != RTYP
            && self.dbf(key) == Dbf::String
            && key.modifiers.range.is_none()
            && let Some(value) = characters(&val, most)
        {
            return (value, false);
        }
        let value = match &val {
            Val::Array(_) => match key.modifiers.range.filter(|_| self.has_parts(key)) {
                Some(range) => cut(&self.elements(key, &val, wanted, usize::MAX), range, most),
                None => self.elements(key, &val, wanted, most),
            },
            val => self.scalar(key, val, wanted),
        };
        (value, false)
    }

    fn scalar(&self, key: FieldKey, val: &Val, wanted: Option<NativeType>) -> Value {
        let dbf_of = self.dbf(key);
        if dbf_of.is_link() {
            // `getLinkValue` of EPICS Base: a link has a text, and characters, of which there is room for none.
            return match wanted {
                None | Some(NativeType::String) => to_value(val, 1),
                Some(NativeType::Double) => Value::scalar(f64::NAN),
                Some(NativeType::Char) => Value::scalar(0u8),
                Some(_) => Value::string("a link is no number"),
            };
        }
        if key.field == RTYP && wanted == Some(NativeType::Char) {
            return Value::scalar(0u8);
        }
        let foreign = is_foreign(dbf_of) || (dbf_of.is_choice() || dbf_of.is_real());
        let converted = match wanted {
            Some(NativeType::String) if foreign && key.field != RTYP => self
                .records
                .read_as(key.record, key.field, Dbf::String)
                .ok(),
            Some(to) if is_foreign(dbf_of) && Some(to) != native(dbf_of) => {
                val.convert(dbf(to), &crate::record::Conversion::PLAIN).ok()
            }
            _ => None,
        };
        to_value(converted.as_ref().unwrap_or(val), 1)
    }

    fn elements(&self, key: FieldKey, val: &Val, wanted: Option<NativeType>, most: usize) -> Value {
        let Val::Array(all) = val else {
            return to_value(val, most);
        };
        if let Some(to) = wanted
            && is_foreign(all.dbf())
            && Some(to) != native(all.dbf())
            && let Ok(Val::Array(converted)) =
                self.records
                    .read_elements(key.record, key.field, dbf(to), most)
        {
            return array(&converted, most);
        }
        if most < all.len() {
            return array(all, most);
        }
        self.image(all)
    }

    /// An array as it is on the wire.
    fn image(&self, all: &Arc<crate::record::Array>) -> Value {
        let mut image = self.image.borrow_mut();
        if let Some((of, value)) = &*image
            && Arc::ptr_eq(of, all)
        {
            return value.clone();
        }
        let value = array(all, usize::MAX);
        *image = Some((Arc::clone(all), value.clone()));
        value
    }

    /// As much of the metadata as the type has a place for, or needs for its values.
    pub(super) fn metadata(&self, key: FieldKey, ty: Option<DbrType>) -> Arc<Metadata> {
        let dbf = self.dbf(key);
        let described = match ty {
            None => true,
            Some(DbrType::CLASS_NAME) => true,
            Some(ty) => matches!(ty.family(), Some(Family::Gr | Family::Ctrl)),
        };
        let as_text = ty.and_then(DbrType::native) == Some(NativeType::String);
        if !described && !(as_text && (dbf.is_choice() || dbf.is_real())) {
            return Arc::clone(&self.plain);
        }
        Arc::new(self.describe(key, dbf, as_text))
    }

    /// The record's type (`DBR_CLASS_NAME`).
    fn class(&self, key: FieldKey) -> Cow<'static, str> {
        Cow::Owned(self.records.type_of(key.record).name.to_string())
    }

    fn describe(&self, key: FieldKey, dbf: Dbf, as_text: bool) -> Metadata {
        let class = self.class(key);
        if key.field == RTYP {
            return Metadata {
                class,
                ..Metadata::default()
            };
        }
        let meta = self.records.meta(key.record, key.field);
        let range = |(lower, upper)| Range::new(lower, upper);
        let [lolo, low, high, hihi] = meta.alarm;
        // Real numbers have six digits in a text if nothing is said of them, and none otherwise.
        let digits = if as_text { 6 } else { 0 };
        let states = match dbf.is_choice() {
            true => self.records.choices(key.record, key.field),
            false => None,
        };
        Metadata {
            units: Units::new(&meta.units),
            precision: match dbf.is_real() {
                true => meta.precision.unwrap_or(digits),
                false => 0,
            },
            limits: Limits {
                display: range(meta.display),
                control: range(meta.control),
                alarm: Range::new(lolo, hihi),
                warning: Range::new(low, high),
            },
            states: states.map(EnumStates::whole).unwrap_or_default(),
            no_state: self.records.no_state(key.record),
            class,
            long_string: false,
        }
    }
}

/// Texts as characters with a sign; a text that is no such number for one that is none.
fn characters(val: &Val, most: usize) -> Option<Value> {
    let texts = match val {
        Val::String(text) => std::slice::from_ref(text),
        Val::Array(all) => match &**all {
            crate::record::Array::String(texts) => &texts[..most.min(texts.len())],
            _ => return None,
        },
        _ => return None,
    };
    let numbers = texts
        .iter()
        .map(|text| ca_proto::text::parse::parse_i8(text));
    let numbers: Result<Vec<u8>, _> = numbers
        .map(|number| number.map(|number| number as u8))
        .collect();
    Some(numbers.map_or_else(
        |_| Value::string("no number"),
        |numbers| Value::array(&numbers),
    ))
}
