//! A record, to be read: values with what their texts depend on, units and limits.

use ca_proto::dbr::{ConvertError, NoState};

use crate::process::database::Records;
use crate::record::{Choices, Conversion, Dbf, Id, Link, LinkTo, Meta, Record, RecordType, Val};

/// A record, to be read.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    records: &'a Records,
    id: Id,
    /// The links that led here.
    asked: Option<&'a Asked<'a>>,
}

/// A link through which somebody asks for units and limits, and the one before it: no link is asked twice, as in the
/// reference (`dbDbGetOptionLoopSafe`).
#[derive(Debug)]
struct Asked<'a> {
    id: Id,
    link: u16,
    before: Option<&'a Self>,
}

impl Asked<'_> {
    /// So many links in a row are asked.
    const MOST: usize = 32;

    fn has(&self, id: Id, link: u16) -> bool {
        let mut here = Some(self);
        let mut count = 0;
        while let Some(asked) = here {
            count += 1;
            if asked.id == id && asked.link == link || count >= Self::MOST {
                return true;
            }
            here = asked.before;
        }
        false
    }
}

/// A conversion with texts of its own.
pub(in crate::process) struct OwnedConversion<'a> {
    precision: i16,
    choices: Choices<'a>,
    states: Option<Vec<Box<[u8]>>>,
    no_state: NoState,
}

impl OwnedConversion<'_> {
    pub(in crate::process) fn borrow(&self) -> Conversion<'_> {
        let choices = self.states.as_ref().map_or(self.choices, |states| {
            Choices::States(states, self.no_state)
        });
        Conversion {
            precision: self.precision,
            choices,
        }
    }
}

impl<'a> View<'a> {
    pub(in crate::process) const fn new(records: &'a Records, id: Id) -> Self {
        Self {
            records,
            id,
            asked: None,
        }
    }

    /// The record's type.
    pub fn of(&self) -> &'a RecordType {
        self.records.type_of(self.id)
    }

    fn record(&self) -> &'a Record {
        self.records.record(self.id)
    }

    /// The value of a field.
    pub fn get(&self, index: u16) -> Val {
        self.record().get(self.of(), index)
    }

    /// A field as a real number.
    pub fn f64(&self, index: u16) -> f64 {
        self.record().held(self.of(), index).as_f64()
    }

    /// A field as a number of 32 bits.
    pub fn i32(&self, index: u16) -> i32 {
        self.record().held(self.of(), index).as_i32()
    }

    /// A field as a number of 16 bits without sign.
    pub fn u16(&self, index: u16) -> u16 {
        self.record().held(self.of(), index).as_u16()
    }

    /// The text of a field.
    pub fn text(&self, index: u16) -> &'a [u8] {
        self.record().held(self.of(), index).as_text()
    }

    /// Units, digits and limits of what a link of the record leads to (`dbGetUnits` and others).
    pub fn linked_meta(&self, link: u16) -> Option<Meta> {
        let number = link;
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Pv(link) => match link.to {
                    LinkTo::Local(id, field) => self.asked_meta(number, id, field),
                    LinkTo::Remote | LinkTo::Unknown => {
                        self.records.remote_meta(&link.target).cloned()
                    }
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// What a field has that a link of this record leads to.
    fn asked_meta(&self, link: u16, id: Id, field: u16) -> Option<Meta> {
        if self.asked.is_some_and(|asked| asked.has(self.id, link)) {
            return None;
        }
        let asked = Asked {
            id: self.id,
            link,
            before: self.asked,
        };
        let view = View {
            records: self.records,
            id,
            asked: Some(&asked),
        };
        let of = view.of();
        let mut meta = (Meta::NONE)();
        (of.support.meta)(&view, field, &mut meta);
        let dbf = of.field(field).dbf;
        if !dbf.is_real() && dbf != Dbf::NoAccess {
            meta.precision = None;
        }
        meta.precision.get_or_insert(0);
        Some(meta)
    }

    /// What a text of this field depends on, when it is read.
    pub(in crate::process) fn with_conversion<T>(
        &self,
        field: u16,
        convert: impl FnOnce(&Val, &Conversion<'_>) -> Result<T, ConvertError>,
    ) -> Result<T, ConvertError> {
        let val = self.records.get(self.id, field);
        let how = self.conversion(field, &val, true);
        convert(&val, &how.borrow())
    }

    /// Converts a value that this field has had.
    pub(in crate::process) fn convert_as<T>(
        &self,
        field: u16,
        val: &Val,
        convert: impl FnOnce(&Val, &Conversion<'_>) -> T,
    ) -> T {
        let how = self.conversion(field, val, true);
        convert(val, &how.borrow())
    }

    /// What becomes of a value that is written to this field.
    pub(in crate::process) fn conversion_to(
        &self,
        field: u16,
        val: &Val,
    ) -> OwnedConversion<'static> {
        let how = self.conversion(field, val, false);
        // A put changes the record, so that texts of choices are copied.
        let (states, no_state) = match how.choices {
            Choices::Texts(all) if how.states.is_none() => {
                let all = all.iter().map(|text| text.as_bytes().into()).collect();
                // A menu has no choice without a text.
                (Some(all), NoState { text: b"", from: 0 })
            }
            _ => (how.states, how.no_state),
        };
        OwnedConversion {
            precision: how.precision,
            choices: Choices::Number,
            states,
            no_state,
        }
    }

    fn conversion(&self, field: u16, val: &Val, reading: bool) -> OwnedConversion<'a> {
        let of = self.of();
        let info = of.field(field);
        let real = match val {
            Val::Array(array) => array.dbf().is_real(),
            val => matches!(val, Val::Float(_) | Val::Double(_)),
        };
        let text = matches!(val, Val::String(_))
            || matches!(val, Val::Array(array) if array.dbf() == Dbf::String);
        let choices_matter = info.dbf.is_choice() && (text || reading);
        let digits = if real {
            self.records.meta(self.id, field).precision
        } else {
            None
        };
        OwnedConversion {
            precision: digits.unwrap_or(6),
            no_state: of.support.no_state,
            choices: self.records.schema.choices(of, info),
            states: (choices_matter && info.dbf == Dbf::Enum)
                .then(|| (of.support.states)(self, field))
                .flatten(),
        }
    }
}
