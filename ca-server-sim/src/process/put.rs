//! Reading and writing fields, as clients and links do (`dbPutField`, `dbPut`, `dbGet` of EPICS Base).

use std::sync::Arc;

use ca_proto::dbr::ConvertError;
use ca_proto::wire::message::EventMask;

use super::chain::Task;
use super::cx::{Cx, DEVICE};
use super::database::Records;
use super::event::ALL_FIELDS;
use crate::record::{
    Array, Choices, Conversion, Dbf, DeviceAddress, Id, Link, LinkError, Meta, Special, Val, common,
};

/// Why a field was not written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// The field cannot be written.
    #[error("the field cannot be written")]
    NoMod,
    /// The record takes no puts (DISP).
    #[error("the record takes no puts; DISP says so")]
    Disabled,
    /// The field is not for clients.
    #[error("the field is not for clients")]
    NoAccess,
    /// The value cannot be the field's.
    #[error("the field cannot have this value: {0}")]
    Convert(#[from] ConvertError),
    /// The record type refuses the value.
    #[error("the record does not take this value")]
    Refused,
    /// The text is no link.
    #[error("the field cannot have this link: {0}")]
    Link(#[from] LinkError),
    /// The record was removed while the put waited.
    #[error("the record was removed")]
    Removed,
    /// The link does not fit the record's device support.
    #[error("this device support takes another kind of link")]
    Device,
    /// The IOC was taken back to a time before the put.
    #[error("the IOC was taken back to a time before the put")]
    Undone,
}

impl Records {
    /// Writes a field as a client does, and processes the record if the field is one for which a passive
    /// record is processed. The processing is done by [`Self::run`]. A chain that is not done yet is
    /// finished first; who wants bounds does not write while [`Self::has_work`].
    ///
    /// # Errors
    /// [`PutError`]; nothing is stored then.
    pub fn put(&mut self, id: u32, field: u16, val: Val) -> Result<(), PutError> {
        self.settle();
        self.put_field(id, field, &val).map(|_| ())
    }

    /// Stores a value as the device of a record does: DISP does not count, and nothing is processed.
    ///
    /// # Errors
    /// [`PutError`]; nothing is stored then.
    pub fn write(&mut self, id: u32, field: u16, val: &Val) -> Result<(), PutError> {
        self.settle();
        match self.type_of(id).field(field).dbf.is_link() {
            true => self.put_link_field(id, field, val),
            false => self.db_put(id, field, val),
        }
    }

    /// `dbPutField`: whether the record is processed because of it, now.
    pub(super) fn put_field(&mut self, id: Id, field: u16, val: &Val) -> Result<bool, PutError> {
        self.put_any(id, field, val)?;
        if self.type_of(id).field(field).dbf.is_link() {
            return Ok(false);
        }
        Ok(self.process_written(id, field))
    }

    /// Stores a client's value, without processing.
    pub(super) fn put_any(&mut self, id: Id, field: u16, val: &Val) -> Result<(), PutError> {
        if self.record(id).disp != 0 && field != common::DISP {
            return Err(PutError::Disabled);
        }
        if self.type_of(id).field(field).dbf.is_link() {
            return self.put_link_field(id, field, val);
        }
        self.db_put(id, field, val)
    }

    /// Processes a record if the field that was written is one for which that is done; whether it is
    /// done now.
    pub(super) fn process_written(&mut self, id: Id, field: u16) -> bool {
        let pp = self.type_of(id).field(field).pp;
        let record = self.record_mut(id);
        if field != common::PROC && !(pp && record.scan == 0) {
            return false;
        }
        if record.pact {
            record.rpro = true;
            return false;
        }
        record.putf = true;
        self.chain.stack.push(Task::Process(id));
        true
    }

    /// `dbPut`: without processing.
    pub(super) fn db_put(&mut self, id: Id, field: u16, val: &Val) -> Result<(), PutError> {
        let of = self.type_of(id).clone();
        let info = of.field(field);
        self.before_put(id, field, info.special)?;
        let before = info.prop.then(|| self.record(id).get(&of, field));
        let stored = self.store(id, field, val);
        // Properties are told of before all else: if they are others, or if elements were written.
        let is_other =
            |before: Val| val.count() != 1 || !before.same(&self.record(id).get(&of, field));
        if stored.is_ok() && before.is_some_and(is_other) {
            self.post(id, ALL_FIELDS, EventMask::PROPERTY);
        }
        self.after_put(id, field, info.special).and(stored)?;
        let is_value = of.value == Some(field);
        if is_value {
            self.record_mut(id).udf = 0;
        }
        if !(is_value && info.pp) {
            self.post(id, field, EventMask::VALUE.union(EventMask::LOG));
        }
        Ok(())
    }

    fn before_put(&mut self, id: Id, field: u16, special: Special) -> Result<(), PutError> {
        match special {
            Special::NoMod => return Err(PutError::NoMod),
            Special::Scan => self.scan_delete(id),
            Special::DbAddr if self.type_of(id).support.special.is_some() => {
                return self.ask_support(id, field, false);
            }
            _ if special.asks_support() => return self.ask_support(id, field, false),
            _ => {}
        }
        Ok(())
    }

    fn after_put(&mut self, id: Id, field: u16, special: Special) -> Result<(), PutError> {
        match special {
            Special::Scan => self.scan_add(id),
            Special::As => self.regrouped = true,
            _ if special.asks_support() => return self.ask_support(id, field, true),
            _ => {}
        }
        Ok(())
    }

    fn ask_support(&mut self, id: Id, field: u16, after: bool) -> Result<(), PutError> {
        Cx::with(self, id, |cx, support| match support.special {
            Some(special) => special(cx, field, after),
            None => Err(PutError::NoMod),
        })
    }

    fn store(&mut self, id: Id, field: u16, val: &Val) -> Result<(), PutError> {
        let of = self.type_of(id).clone();
        let info = of.field(field);
        let shape = (of.support.array)(&self.view(id), field);
        if let Some(shape) = shape {
            let how = self.view(id).conversion_to(field, val);
            let how = how.borrow();
            let array = match val {
                // No number, unlike a single one (`putStringLong` and others of `dbConvert.c`).
                val if shape.dbf != Dbf::String && has_empty_text(val) => {
                    return Err(PutError::Convert(ConvertError::UnknownState));
                }
                Val::Array(all) => all.converted(shape.dbf, shape.capacity, &how)?,
                val => Array::collect([val.clone()], shape.dbf, shape.capacity, &how)?,
            };
            let count = array.len();
            self.record_mut(id).set(&of, field, Val::from(array));
            Cx::with(self, id, |cx, support| (support.stored)(cx, field, count));
            return Ok(());
        }
        let scalar = self.scalar(id, field);
        let (dbf, size) = scalar.unwrap_or_else(|| (info.dbf, usize::from(info.size)));
        if dbf == Dbf::NoAccess {
            return Err(PutError::NoAccess);
        }
        let Some(first) = val.first() else {
            match scalar {
                // Nothing is converted, which is no mistake.
                None if info.special == Special::DbAddr => {}
                None => self.set_severity(id, super::link::LINK_ALARM, 3, ""),
                Some(_) => Cx::with(self, id, |cx, support| (support.stored)(cx, field, 0)),
            }
            return Ok(());
        };
        let how = self.view(id).conversion_to(field, &first);
        let mut new = first.convert(dbf, &how.borrow())?;
        if let Val::String(text) = &mut new
            && text.len() >= size
        {
            *text = text[..size.saturating_sub(1)].into();
        }
        if let Val::UShort(number) = new
            && info.dbf == Dbf::Enum
        {
            new = Val::Enum(number);
        }
        self.record_mut(id).set(&of, field, new);
        if scalar.is_some() {
            Cx::with(self, id, |cx, support| (support.stored)(cx, field, 1));
        }
        Ok(())
    }

    /// A client's value in the type of a field, cut to what there is room for, as it would be stored.
    ///
    /// # Errors
    /// [`PutError`]: it cannot be converted, or the field has no value.
    pub fn converted(&self, id: u32, field: u16, val: &Val) -> Result<Val, PutError> {
        let info = self.type_of(id).field(field);
        if info.dbf.is_link() {
            return Ok(val.clone());
        }
        if let Some(shape) = self.shape(id, field) {
            let how = self.view(id).conversion_to(field, val);
            let how = how.borrow();
            let array = match val {
                Val::Array(all) => all.converted(shape.dbf, shape.capacity, &how)?,
                val => Array::collect([val.clone()], shape.dbf, shape.capacity, &how)?,
            };
            return Ok(Val::from(array));
        }
        let (dbf, _) =
            (self.scalar(id, field)).unwrap_or_else(|| (info.dbf, usize::from(info.size)));
        if dbf == Dbf::NoAccess {
            return Err(PutError::NoAccess);
        }
        let first = val.first().ok_or(PutError::Refused)?;
        let how = self.view(id).conversion_to(field, &first);
        let new = first.convert(dbf, &how.borrow())?;
        Ok(match new {
            Val::UShort(number) if info.dbf == Dbf::Enum => Val::Enum(number),
            new => new,
        })
    }

    /// `dbPutFieldLink`.
    pub(super) fn put_link_field(&mut self, id: Id, field: u16, val: &Val) -> Result<(), PutError> {
        let of = self.type_of(id).clone();
        let info = of.field(field);
        let text = match val {
            Val::String(text) => String::from_utf8_lossy(text).into_owned(),
            Val::Array(all) => chars(all)?,
            _ => return Err(PutError::Convert(ConvertError::Unsupported)),
        };
        let link = Link::parse(&text, info.dbf)?;
        if !self.fits_device(id, field, &link) {
            return Err(PutError::Device);
        }
        self.disconnect_link(id, field);
        self.before_put(id, field, info.special)?;
        self.make_flag_of(&link);
        let record = self.record_mut(id);
        record.set(&of, field, Val::Link(Arc::new(link)));
        if is_device_link(&info.name) {
            let device = record.held(&of, common::DTYP).as_u16();
            record.set(&of, DEVICE, Val::UShort(device));
            record.set(&of, common::DPVT, Val::None);
        }

        self.connect_link(id, field);
        self.after_put(id, field, info.special)?;
        self.post(id, field, EventMask::VALUE.union(EventMask::LOG));
        Ok(())
    }

    /// Whether a link is of the kind that a record's device support takes (`dbCanSetLink`).
    fn fits_device(&self, id: Id, field: u16, link: &Link) -> bool {
        let of = self.type_of(id);
        let address = match link {
            Link::Hardware(text) if text.starts_with('@') => DeviceAddress::Instrument,
            Link::Hardware(_) => DeviceAddress::Card,
            _ => DeviceAddress::Constant,
        };
        if !is_device_link(&of.field(field).name) || of.devices.is_empty() {
            return address == DeviceAddress::Constant;
        }
        let device = self.record(id).held(of, common::DTYP).as_u16();
        of.devices.get(usize::from(device)).is_none_or(|info| {
            let hardware = info.address != DeviceAddress::Constant;
            // Those of Base that read something else do not support another link (`dsxt`).
            let name = of
                .device_names
                .get(usize::from(device))
                .map_or("", |name| name);
            let fixed = hardware && info.known && !matches!(name, "getenv" | "stdio");
            address == info.address && !fixed
        })
    }

    /// The value of a field: links as their text.
    pub fn get(&self, id: u32, field: u16) -> Val {
        match self.record(id).get(self.type_of(id), field) {
            Val::String(_) | Val::None if self.is_unset(id, field) => {
                Val::from(Array::empty(Dbf::String))
            }
            Val::Link(link) => Val::text(link.to_string()),
            Val::None if field == common::RTYP => Val::text(&*self.type_of(id).name),
            Val::None => match self.scalar(id, field) {
                Some((dbf, _)) => Val::zero(dbf),
                None if self.shape(id, field).is_some() => self.empty_array(id, field),
                None => Val::None,
            },
            Val::Enum(number) if self.scalar(id, field).is_some() => Val::UShort(number),
            val => val,
        }
    }

    /// Whether a text of any length was never set, so that it has no element.
    fn is_unset(&self, id: Id, field: u16) -> bool {
        (self.type_of(id).support.unset)(&self.view(id), field)
    }

    fn scalar(&self, id: Id, field: u16) -> Option<(Dbf, usize)> {
        (self.type_of(id).support.scalar)(&self.view(id), field)
    }

    /// Bytes of a text field, its NUL included; 0 for other types.
    pub fn room(&self, id: u32, field: u16) -> usize {
        let own = usize::from(self.type_of(id).field(field).size);
        self.scalar(id, field).map_or(own, |(_, room)| room)
    }

    /// The type of a field's value, or of its elements: what clients see, which the record may say
    /// (`cvt_dbaddr`).
    pub fn dbf(&self, id: u32, field: u16) -> Dbf {
        if field == common::RTYP {
            return Dbf::String;
        }
        let own = || self.scalar(id, field).map(|(dbf, _)| dbf);
        let array = self.shape(id, field).map(|shape| shape.dbf);
        array
            .or_else(own)
            .unwrap_or_else(|| self.type_of(id).field(field).dbf)
    }

    fn empty_array(&self, id: Id, field: u16) -> Val {
        let dbf = self.shape(id, field).map_or(Dbf::UChar, |shape| shape.dbf);
        match (self.type_of(id).support.blank)(&self.view(id), field) {
            0 => Val::from(Array::empty(dbf)),
            count => Val::from(Array::zeros(dbf, count)),
        }
    }

    /// The array that a field is, if it is one.
    pub fn shape(&self, id: u32, field: u16) -> Option<crate::record::ArrayShape> {
        (self.type_of(id).support.array)(&self.view(id), field)
    }

    /// The value of a field, or its first element, as another type.
    ///
    /// # Errors
    /// [`ConvertError`]: a text that is no number, a choice without text, an array without elements.
    pub fn read_as(&self, id: u32, field: u16, to: Dbf) -> Result<Val, ConvertError> {
        // hot: a number that is kept as one.
        if to != Dbf::String
            && field >= common::COUNT
            && let of = self.type_of(id)
            && of.field(field).dbf.is_number()
        {
            return self
                .record(id)
                .held(of, field)
                .convert(to, &Conversion::PLAIN);
        }
        let val = self.get(id, field);
        // A text that was never set is an empty one, except where the record leaves all to `dbGet`.
        if self.is_unset(id, field) && self.type_of(id).support.special.is_some() {
            return Val::text("").convert(to, &Conversion::PLAIN);
        }
        if to != Dbf::String {
            // Only texts depend on the record.
            return val.convert(to, &Conversion::PLAIN);
        }
        self.view(id)
            .with_conversion(field, |val, how| val.convert(to, how))
    }

    /// The text of a field, as a client reads it.
    ///
    /// # Errors
    /// As [`Self::read_as`].
    pub fn text(&self, id: u32, field: u16) -> Result<String, ConvertError> {
        let text = self.read_as(id, field, Dbf::String)?;
        Ok(String::from_utf8_lossy(text.as_text()).into_owned())
    }

    /// Units, digits and limits of a field.
    pub fn meta(&self, id: u32, field: u16) -> Meta {
        let mut meta = (Meta::NONE)();
        (self.type_of(id).support.meta)(&self.view(id), field, &mut meta);
        meta
    }

    /// The texts of a field that is a choice.
    pub fn choices(&self, id: u32, field: u16) -> Option<Vec<Box<[u8]>>> {
        let of = self.type_of(id);
        let info = of.field(field);
        match self.schema.choices(of, info) {
            Choices::Texts(all) => Some(all.iter().map(|text| text.as_bytes().into()).collect()),
            _ => (of.support.states)(&self.view(id), field),
        }
    }

    /// `DBR_PUT_ACKT`: whether alarms that went away still have to be acknowledged.
    pub fn put_ackt(&mut self, id: u32, ackt: bool) {
        let record = self.record_mut(id);
        if record.ackt == ackt {
            return;
        }
        record.ackt = ackt;
        let lowered = !ackt && record.acks > record.sevr;
        let mask = EventMask::VALUE.union(EventMask::ALARM);
        self.post(id, common::ACKT, mask);
        if lowered {
            let record = self.record_mut(id);
            record.acks = record.sevr;
            self.post(id, common::ACKS, mask);
        }
        self.post(id, ALL_FIELDS, EventMask::ALARM);
    }

    /// `DBR_PUT_ACKS`: alarms up to this severity are acknowledged.
    pub fn put_acks(&mut self, id: u32, severity: u16) {
        let record = self.record_mut(id);
        if severity >= u16::from(record.acks) {
            record.acks = 0;
            self.post(id, common::ACKS, EventMask::VALUE.union(EventMask::ALARM));
            self.post(id, ALL_FIELDS, EventMask::ALARM);
        }
    }
}

fn has_empty_text(val: &Val) -> bool {
    match val {
        Val::String(text) => text.is_empty(),
        Val::Array(all) => match &**all {
            Array::String(all) => all.iter().any(|text| text.is_empty()),
            _ => false,
        },
        _ => false,
    }
}

/// The links that a device support uses.
fn is_device_link(name: &str) -> bool {
    matches!(name, "INP" | "OUT")
}

/// A text as characters, which ends with a NUL (`dbPutFieldLink`).
fn chars(all: &Array) -> Result<String, PutError> {
    let bytes: Vec<u8> = match all {
        Array::Char(all) => all.iter().map(|&c| c as u8).collect(),
        Array::UChar(all) => all.clone(),
        _ => return Err(PutError::Convert(ConvertError::Unsupported)),
    };
    match bytes.split_last() {
        Some((0, _)) => {
            let end = bytes.iter().position(|&c| c == 0).unwrap_or(0);
            Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
        }
        _ => Err(PutError::Convert(ConvertError::Unsupported)),
    }
}
