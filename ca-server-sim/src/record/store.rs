//! What a record keeps: its state in a few words, and of its fields those that differ from the type's.

use ca_proto::Timestamp;

use super::common;
use super::schema::RecordType;
use super::val::Val;

/// The number of a record.
pub(crate) type Id = u32;

/// The fields whose values differ from the type's, in order of their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// Which of the first 128 are here: the place of one is how many are here before it.
    set: u128,
    all: Vec<(u16, Val)>,
}

impl Fields {
    fn place(&self, index: u16) -> Result<usize, usize> {
        match 1u128.checked_shl(u32::from(index)) {
            Some(bit) => {
                let before = (self.set & (bit - 1)).count_ones() as usize;
                if self.set & bit != 0 {
                    Ok(before)
                } else {
                    Err(before)
                }
            }
            None => self.all.binary_search_by_key(&index, |&(index, _)| index),
        }
    }

    pub(crate) fn get(&self, index: u16) -> Option<&Val> {
        let place = self.place(index).ok()?;
        self.all.get(place).map(|(_, val)| val)
    }

    fn get_mut(&mut self, index: u16) -> Option<&mut Val> {
        let place = self.place(index).ok()?;
        self.all.get_mut(place).map(|(_, val)| val)
    }

    fn insert(&mut self, index: u16, val: Val) {
        match self.place(index) {
            Ok(place) => self.all[place].1 = val,
            Err(place) => {
                self.all.insert(place, (index, val));
                self.set |= 1u128.checked_shl(u32::from(index)).unwrap_or(0);
            }
        }
    }

    pub(crate) fn shrink(&mut self) {
        self.all.shrink_to_fit();
    }
}

/// A record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub name: Box<str>,
    /// The number of its type.
    pub kind: u16,
    pub scan: u16,
    pub time: Timestamp,
    /// Its place among the records of its scan list.
    pub turn: u32,
    /// The put that waits for it, from 1; 0 for none.
    pub notify: u32,
    pub stat: u8,
    pub sevr: u8,
    pub nsta: u8,
    pub nsev: u8,
    pub acks: u8,
    pub ackt: bool,
    pub udf: u8,
    pub udfs: u8,
    pub lcnt: u8,
    pub disp: u8,
    pub tpro: u8,
    pub putf: bool,
    pub rpro: bool,
    pub pact: bool,
    /// It is part of the chain that is being processed.
    pub chained: bool,
    /// Somebody subscribes to a field of it.
    pub watched: bool,
    /// A link of another record follows a field of it.
    pub followed: bool,
    /// Its device support is one that we do not have, or it could not be initialized.
    pub dead: bool,
    pub fields: Fields,
}

impl Record {
    pub(crate) fn new(name: &str, kind: u16) -> Self {
        Self {
            name: name.into(),
            kind,
            scan: 0,
            time: Timestamp::UNDEFINED,
            turn: 0,
            notify: 0,
            stat: 17,
            sevr: 0,
            nsta: 0,
            nsev: 0,
            acks: 0,
            ackt: true,
            udf: 1,
            udfs: 3,
            lcnt: 0,
            disp: 0,
            tpro: 0,
            putf: false,
            rpro: false,
            pact: false,
            chained: false,
            watched: false,
            followed: false,
            dead: false,
            fields: Fields::default(),
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, of: &RecordType, index: u16) -> Val {
        let byte = |value: bool| Val::UChar(value.into());
        match index {
            common::NAME => Val::text(&*self.name),
            common::SCAN => Val::Enum(self.scan),
            common::STAT => Val::Enum(self.stat.into()),
            common::SEVR => Val::Enum(self.sevr.into()),
            common::NSTA => Val::Enum(self.nsta.into()),
            common::NSEV => Val::Enum(self.nsev.into()),
            common::ACKS => Val::Enum(self.acks.into()),
            common::ACKT => Val::Enum(self.ackt.into()),
            common::UDF => Val::UChar(self.udf),
            common::UDFS => Val::Enum(self.udfs.into()),
            common::LCNT => Val::UChar(self.lcnt),
            common::DISP => Val::UChar(self.disp),
            common::TPRO => Val::UChar(self.tpro),
            common::PUTF => byte(self.putf),
            common::RPRO => byte(self.rpro),
            common::PACT => byte(self.pact),
            _ => self.held(of, index).clone(),
        }
    }

    /// The value of a field that is not one of the state's words.
    pub(crate) fn held<'a>(&'a self, of: &'a RecordType, index: u16) -> &'a Val {
        self.fields
            .get(index)
            .unwrap_or_else(|| &of.field(index).default)
    }

    /// Stores a value, which has the type of the field.
    pub(crate) fn set(&mut self, of: &RecordType, index: u16, val: Val) {
        let byte = |val: &Val| val.as_u16().min(255) as u8;
        match index {
            common::NAME => {}
            common::SCAN => self.scan = val.as_u16(),
            common::STAT => self.stat = byte(&val),
            common::SEVR => self.sevr = byte(&val),
            common::NSTA => self.nsta = byte(&val),
            common::NSEV => self.nsev = byte(&val),
            common::ACKS => self.acks = byte(&val),
            common::ACKT => self.ackt = val.as_u16() != 0,
            common::UDF => self.udf = val.as_i64() as u8,
            common::UDFS => self.udfs = byte(&val),
            common::LCNT => self.lcnt = val.as_i64() as u8,
            common::DISP => self.disp = val.as_i64() as u8,
            common::TPRO => self.tpro = val.as_i64() as u8,
            common::PUTF => self.putf = val.as_i64() != 0,
            common::RPRO => self.rpro = val.as_i64() != 0,
            common::PACT => self.pact = val.as_i64() != 0,
            _ => {
                if let Some(have) = self.fields.get_mut(index) {
                    *have = val;
                } else if !of.field(index).default.same(&val) {
                    self.fields.insert(index, val);
                }
            }
        }
    }
}
