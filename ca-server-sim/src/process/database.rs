//! The records of an IOC: adding, starting and finding them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use ca_proto::dbr::ConvertError;
use ca_proto::text::parse::strtod;
use ca_proto::{Instant, Timestamp};
use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};

use super::chain::{Chain, When};
use super::cx::{Cx, DEVICE, View};
use super::event::{Post, Seen};
use super::function::{Calls, Function};
use super::lapsed::Lapsed;
use super::notify::Notifies;
use super::remote::Remotes;
use super::scan::{Scans, Timer};
use crate::calc::{CalcError, Expression, Random};
use crate::record::{
    Choices, Conversion, Dbf, DeviceKind, Field, Id, Link, LinkError, Part, Record, RecordType,
    Schema, Special, Val, common,
};
use crate::state::codec::saved;
use crate::state::copy::Copying;
use crate::state::timeline::Timeline;

/// Why a record was not added.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// There is no such record type.
    #[error("there is no record type {0}")]
    NoType(String),
    /// The name is taken.
    #[error("there is a record {0} already")]
    Exists(String),
    /// The name is empty, or longer than a record's may be.
    #[error("{0:?} cannot be the name of a record: it has 1 to 60 bytes")]
    Name(String),
    /// An alias of nothing.
    #[error("there is no record {0}")]
    NoRecord(String),
    /// More records than numbers.
    #[error("there are too many records")]
    TooMany,
}

/// Why a field was not set.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// The record type has no such field.
    #[error("record type {of} has no field {field}")]
    NoField {
        /// The record type.
        of: String,
        /// The field.
        field: String,
    },
    /// The field is not for files.
    #[error("field {0} cannot be set")]
    NoAccess(String),
    /// The value cannot be the field's.
    #[error("field {field} cannot be \"{value}\": {why}")]
    Value {
        /// The field.
        field: String,
        /// The text.
        value: String,
        /// Why not.
        why: ConvertError,
    },
    /// The text is longer than the field.
    #[error("field {field} has room for {room} bytes")]
    TooLong {
        /// The field.
        field: String,
        /// Bytes.
        room: u16,
    },
    /// The text is no expression.
    #[error("field {field} cannot be \"{value}\": {why}")]
    Calc {
        /// The field.
        field: String,
        /// The text.
        value: String,
        /// Why not.
        why: CalcError,
    },
    /// The value is no link.
    #[error("field {field} cannot be \"{value}\": {why}")]
    Link {
        /// The field.
        field: String,
        /// The text.
        value: String,
        /// Why not.
        why: LinkError,
    },
}

/// Something that the start found, for the log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InitNote {
    /// The record.
    pub record: Box<str>,
    /// What is the matter.
    pub text: String,
}

/// Who follows a field: its link's process option, and the record that has the link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Follower {
    pub id: Id,
    pub link: u16,
    pub when: When,
}

/// What a record follows by its name, and where that is in this IOC.
#[derive(Clone, Debug)]
pub(super) struct Followed {
    pub name: Box<str>,
    pub to: Option<(Id, u16)>,
}

saved!(struct Follower { id: id, link, when });
saved!(struct Followed { name, to });

/// The `info`s of a record: name and value.
pub(super) type Infos = Vec<(Box<str>, Box<str>)>;

/// The records of an IOC, and what happens with them.
#[derive(Debug)]
pub struct Records {
    pub(super) schema: Arc<Schema>,
    pub(super) records: Vec<Record>,
    pub(super) names: HashTable<Id>,
    pub(super) hasher: DefaultHashBuilder,
    pub(super) aliases: HashMap<Box<str>, Id>,
    /// The aliases of a record; made by the first change at run time.
    pub(super) aliases_of: Option<HashMap<Id, BTreeSet<Box<str>>>>,
    pub(super) infos: HashMap<Id, Infos>,
    pub(super) chain: Chain,
    pub(super) scans: Scans,
    pub(super) timers: BTreeMap<(Instant, u64), (Id, Timer)>,
    pub(super) next_timer: u64,
    /// The timers of records that go on with a stage.
    pub(super) resumes: BTreeSet<(Id, (Instant, u64))>,
    /// The timers of records that run `callback`.
    pub(super) callbacks: HashMap<Id, (Instant, u64)>,
    pub(super) states: super::json_link::DbStates,
    pub(super) functions: HashMap<Box<str>, Function>,
    /// Names of functions that were said to be missing.
    pub(super) missing: HashSet<Box<str>>,
    /// Calls of functions that the program answers.
    pub(super) calls: Calls,
    /// Alarms that the program raises, status and severity.
    pub(super) forced: HashMap<Id, (u8, u8)>,
    pub(super) followers: HashMap<(Id, u16), Vec<Follower>>,
    /// What links that follow were told last, by record and link.
    pub(super) seen: HashMap<(Id, u16), Seen>,
    /// The access security group of a record was changed.
    pub(super) regrouped: bool,
    /// What records follow by name, by record and slot.
    pub(super) followed_names: BTreeMap<(Id, u16), Followed>,
    /// Links that lead to a record of this IOC, by that record; made by the first change at run time.
    pub(super) links_to: Option<HashMap<Id, BTreeSet<(Id, u16)>>>,
    /// Numbers of records that were removed.
    pub(super) free: Vec<Id>,
    pub(super) notifies: Notifies,
    pub(super) posts: VecDeque<Post>,
    /// What of them is of records that went.
    pub(super) lapsed_posts: Lapsed,
    pub(super) now: Instant,
    pub(super) clock: Timestamp,
    /// What time it is for records at a time of the driver.
    pub(crate) time: Timeline,
    pub(super) random: Random,
    pub(super) remotes: Remotes,
    pub(super) environment: HashMap<Box<str>, Box<str>>,
    pub(super) notes: Vec<InitNote>,
    pub(super) lines: VecDeque<String>,
    pub(super) started: bool,
    /// What is restored when they start.
    pub(crate) restores: Vec<crate::autosave::Restore>,
    /// What was restored, for the log.
    pub(crate) restored: Vec<String>,
    /// Records that do not process because of a fault.
    pub(super) frozen: HashSet<Id>,
    /// A snapshot that is being taken.
    pub(crate) copying: Option<Box<Copying>>,
    /// Another number for each record that comes or goes.
    pub(crate) revision: u64,
}

impl Records {
    /// No records yet.
    pub fn new(schema: Arc<Schema>) -> Self {
        Self {
            scans: Scans::new(&schema),
            schema,
            records: Vec::new(),
            names: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            aliases: HashMap::new(),
            aliases_of: None,
            infos: HashMap::new(),
            chain: Chain::default(),
            timers: BTreeMap::new(),
            next_timer: 0,
            resumes: BTreeSet::new(),
            callbacks: HashMap::new(),
            states: super::json_link::DbStates::new(),
            functions: HashMap::new(),
            missing: HashSet::new(),
            calls: Calls::default(),
            forced: HashMap::new(),
            followers: HashMap::new(),
            seen: HashMap::new(),
            regrouped: false,
            followed_names: BTreeMap::new(),
            links_to: None,
            free: Vec::new(),
            notifies: Notifies::default(),
            posts: VecDeque::new(),
            lapsed_posts: Lapsed::default(),
            now: Instant::ZERO,
            clock: Timestamp::UNDEFINED,
            time: Timeline::default(),
            random: Random::default(),
            remotes: Remotes::default(),
            environment: HashMap::new(),
            notes: Vec::new(),
            lines: VecDeque::new(),
            started: false,
            restores: Vec::new(),
            restored: Vec::new(),
            frozen: HashSet::new(),
            copying: None,
            revision: 0,
        }
    }

    /// The record types, for who reads a snapshot beside them.
    pub(crate) fn shared_schema(&self) -> Arc<Schema> {
        Arc::clone(&self.schema)
    }

    /// The record types.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A variable of the environment, as device support `getenv` reads it. The environment of the process
    /// is not looked at.
    pub fn set_variable(&mut self, name: &str, value: &str) {
        self.environment.insert(name.into(), value.into());
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len() - self.free.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a record. Its fields are set by [`Self::set_field`], before the start.
    ///
    /// # Errors
    /// [`AddError`]
    pub fn add(&mut self, of: &str, name: &str) -> Result<u32, AddError> {
        let kind = self
            .schema
            .find(of)
            .ok_or_else(|| AddError::NoType(of.to_owned()))?;
        // The last number is that of none.
        let room = Id::try_from(self.records.len()).ok();
        if room.is_none_or(|room| room == Id::MAX) {
            return Err(AddError::TooMany);
        }
        self.check_name(name)?;
        let mut record = Record::new(name, kind);
        let record_type = self.schema.record_type(kind);
        // A site's `.dbd` may begin them otherwise.
        for index in [common::UDFS, common::DISP, common::UDF] {
            record.set(record_type, index, record_type.field(index).default.clone());
        }
        Ok(self.insert(record))
    }

    /// Gives a record a number.
    pub(super) fn insert(&mut self, record: Record) -> Id {
        let id = match self.free.pop() {
            Some(id) => {
                self.records[id as usize] = record;
                id
            }
            None => {
                self.records.push(record);
                (self.records.len() - 1) as Id
            }
        };
        self.enter(id);
        id
    }

    /// Makes the name of a record known.
    pub(super) fn enter(&mut self, id: Id) {
        self.revision = self.revision.wrapping_add(1);
        let (records, hasher) = (&self.records, &self.hasher);
        let hash_of =
            |&id: &Id| hasher.hash_one(records.get(id as usize).map_or("", |record| &*record.name));
        self.names.insert_unique(hash_of(&id), id, hash_of);
    }

    /// Makes room for so many more records.
    pub(crate) fn reserve(&mut self, more: usize) {
        self.records.reserve_exact(more);
        let (records, hasher) = (&self.records, &self.hasher);
        let hash_of =
            |&id: &Id| hasher.hash_one(records.get(id as usize).map_or("", |record| &*record.name));
        self.names.reserve(more, hash_of);
    }

    /// Makes room for so many fields that are about to be set.
    pub(crate) fn expect_fields(&mut self, id: u32, fields: usize) {
        self.record_mut(id).fields.reserve(fields);
    }

    /// Gives a record another name.
    ///
    /// # Errors
    /// [`AddError`]
    pub fn add_alias(&mut self, of: &str, name: &str) -> Result<(), AddError> {
        let id = self
            .find(of)
            .ok_or_else(|| AddError::NoRecord(of.to_owned()))?;
        self.check_name(name)?;
        self.note_alias(name, id);
        Ok(())
    }

    pub(super) fn check_name(&self, name: &str) -> Result<(), AddError> {
        if name.is_empty() || name.len() > 60 {
            return Err(AddError::Name(name.to_owned()));
        }
        match self.find(name) {
            Some(_) => Err(AddError::Exists(name.to_owned())),
            None => Ok(()),
        }
    }

    /// Remembers an `info`; of two with the same name the last one counts.
    pub fn set_info(&mut self, id: u32, name: &str, value: &str) {
        let infos = self.infos.entry(id).or_default();
        match infos.iter_mut().find(|(have, _)| **have == *name) {
            Some((_, have)) => *have = value.into(),
            None => infos.push((name.into(), value.into())),
        }
    }

    /// An `info` of a record.
    pub fn info(&self, id: u32, name: &str) -> Option<&str> {
        let found = self
            .infos
            .get(&id)?
            .iter()
            .find(|(have, _)| **have == *name);
        found.map(|(_, value)| &**value)
    }

    /// A record by its name or an alias.
    pub fn find(&self, name: &str) -> Option<u32> {
        let is = |&id: &Id| {
            self.records
                .get(id as usize)
                .is_some_and(|record| *record.name == *name)
        };
        let found = self.names.find(self.hasher.hash_one(name), is);
        found.or_else(|| self.aliases.get(name)).copied()
    }

    /// A field as links and clients name it, `record`, `record.` or `record.FIELD`.
    pub fn find_field(&self, name: &str) -> Option<(u32, u16)> {
        let (record, field) = name.split_once('.').unwrap_or((name, ""));
        let (field, _) = Part::split(field);
        let id = self.find(record)?;
        let of = self.type_of(id);
        let index = if field.is_empty() {
            of.value
        } else {
            of.find(field)
        };
        Some((id, index?))
    }

    /// The type of a record.
    #[inline]
    pub fn type_of(&self, id: u32) -> &Arc<RecordType> {
        self.schema.record_type(self.record(id).kind)
    }

    /// The name of a record.
    pub fn name_of(&self, id: u32) -> &str {
        &self.record(id).name
    }

    /// Numbers of records come from [`Self::find`] and [`Self::add`], and records stay.
    #[inline]
    pub(super) fn record(&self, id: Id) -> &Record {
        &self.records[id as usize]
    }

    #[inline]
    pub(super) fn record_mut(&mut self, id: Id) -> &mut Record {
        if self.copying.is_some() {
            self.copy_ahead(id);
        }
        &mut self.records[id as usize]
    }

    /// Stores a value of the field's type in a field.
    #[inline]
    pub(super) fn store_val(&mut self, id: Id, index: u16, val: Val) {
        if self.copying.is_some() {
            self.copy_ahead(id);
        }
        let record = &mut self.records[id as usize];
        let of = self.schema.record_type(record.kind);
        record.set(of, index, val);
    }

    pub(super) fn view(&self, id: Id) -> View<'_> {
        View::new(self, id)
    }

    /// Sets a field as a file does (`dbPutString` of EPICS Base): a number, a text, the text of a choice or
    /// its number, a link. Setting VAL makes the record defined.
    ///
    /// # Errors
    /// [`FieldError`]
    pub fn set_field(&mut self, id: u32, field: &str, value: &str) -> Result<(), FieldError> {
        let of = self.type_of(id).clone();
        let no_field = || FieldError::NoField {
            of: of.name.to_string(),
            field: field.to_owned(),
        };
        let index = of.find(field).ok_or_else(no_field)?;
        self.set_index(id, index, value)
    }

    /// The same for a field by its index in the record's type.
    pub(crate) fn set_index(&mut self, id: u32, index: u16, value: &str) -> Result<(), FieldError> {
        let of = self.type_of(id).clone();
        let info = of.field(index);
        let val = match info.dbf {
            Dbf::NoAccess => return Err(FieldError::NoAccess(info.name.to_string())),
            kind @ (Dbf::InLink | Dbf::OutLink | Dbf::FwdLink) => {
                let why = |why| FieldError::Link {
                    field: info.name.to_string(),
                    value: value.to_owned(),
                    why,
                };
                let link = Link::parse(value, kind).map_err(why)?;
                self.make_flag_of(&link);
                Val::Link(Arc::new(link))
            }
            _ => self.file_value(&of, info, value)?,
        };
        let record = self.record_mut(id);
        record.set(&of, index, val);
        if Some(index) == of.value {
            record.udf = 0;
        }
        Ok(())
    }

    /// A value of a file that is no link (`dbPutString`, `dbPutStringNum`).
    fn file_value(&self, of: &RecordType, info: &Field, value: &str) -> Result<Val, FieldError> {
        let refused = |why| FieldError::Value {
            field: info.name.to_string(),
            value: value.to_owned(),
            why,
        };
        match info.dbf {
            Dbf::String if value.len() >= usize::from(info.size) => Err(FieldError::TooLong {
                field: info.name.to_string(),
                room: info.size.saturating_sub(1),
            }),
            Dbf::String => {
                if info.special == Special::Calc {
                    let why = |why| FieldError::Calc {
                        field: info.name.to_string(),
                        value: value.to_owned(),
                        why,
                    };
                    Expression::parse(value).map_err(why)?;
                }
                Ok(Val::text(value))
            }
            dbf @ (Dbf::Menu | Dbf::Device) => {
                let choices = self.schema.choices(of, info);
                let how = Conversion {
                    choices,
                    ..Conversion::PLAIN
                };
                let number = |_| {
                    integer(value)
                        .and_then(|n| u16::try_from(n).ok())
                        .filter(|&n| match choices {
                            Choices::Texts(all) => {
                                usize::from(n) <= all.len() || all.is_empty() || n == u16::MAX
                            }
                            _ => true,
                        })
                };
                let found = Val::text(value).convert(dbf, &how);
                found
                    .or_else(|why| number(why).map(Val::Enum).ok_or(why))
                    .map_err(refused)
            }
            dbf if dbf.is_real() => {
                let text = value.trim_ascii();
                let text = if text.is_empty() { "0" } else { text };
                match strtod(text.as_bytes()) {
                    Ok((number, length)) if length == text.len() => Val::Double(number)
                        .convert(dbf, &Conversion::PLAIN)
                        .map_err(refused),
                    Ok(_) => Err(refused(ConvertError::NotANumber)),
                    Err(error) => Err(refused(error.into())),
                }
            }
            // Numbers beyond the range wrap around (`dbConvertStrict` is off).
            dbf => match integer(value) {
                Some(number) => Val::Int64(number as i64)
                    .convert(dbf, &Conversion::PLAIN)
                    .map_err(refused),
                None => Err(refused(ConvertError::NotANumber)),
            },
        }
    }

    /// Starts the records: constant links are loaded, links find their records, scans begin, and records
    /// with PINI wait to be processed. Time is this from now on.
    pub fn start(&mut self, now: Instant, clock: Timestamp) -> Vec<InitNote> {
        self.set_time(now, clock);
        self.calls.clear();
        for id in self.ids() {
            self.prepare(id);
        }
        for id in self.ids() {
            self.connect(id);
        }
        for id in self.ids() {
            Cx::with(self, id, |cx, support| (support.init)(cx));
            let record = self.record_mut(id);
            if record.scan == 0 {
                // Those that scan soon have more of them, for which a piece of memory that grows would leave a gap.
                record.fields.shrink();
            }
        }
        self.restore_after_init();
        self.started = true;
        let ids = self.by_type(self.ids().collect());
        for &id in &ids {
            self.scan_add(id);
        }
        self.process_at_start(&ids);
        std::mem::take(&mut self.notes)
    }

    /// Records in the order in which the reference begins with them: of one type after the other, as
    /// `stdRecords.dbd` has them (`iterateRecords` of EPICS Base).
    pub(super) fn by_type(&self, mut ids: Vec<Id>) -> Vec<Id> {
        ids.sort_by_key(|&id| self.record(id).kind);
        ids
    }

    /// The numbers of all records.
    pub(super) fn ids(&self) -> impl Iterator<Item = Id> + use<> {
        let gone: HashSet<Id> = self.free.iter().copied().collect();
        // At most as many as there are numbers (`add`).
        (0..self.records.len() as Id).filter(move |id| !gone.contains(id))
    }

    /// Makes the flag of a record with the device support `Db State`.
    fn make_flag_of_device(&mut self, id: Id) {
        let name = Cx::with(self, id, |cx, _| {
            if cx.device_kind() != DeviceKind::DbState {
                return None;
            }
            let mut links = ["INP", "OUT"]
                .into_iter()
                .filter_map(|name| cx.of().find(name));
            links.find_map(|field| cx.address(field)).map(str::to_owned)
        });
        if let Some(name) = name {
            self.make_flag(&name);
        }
    }

    pub(super) fn prepare(&mut self, id: Id) {
        let of = self.type_of(id).clone();
        let record = self.record_mut(id);
        record.pact = false;
        if record.udf != 0 && record.stat == 17 {
            record.sevr = record.udfs;
        }
        let device = record.held(&of, common::DTYP).as_u16();
        if device != 0 {
            record.set(&of, DEVICE, Val::UShort(device));
        }
        if of
            .devices
            .get(usize::from(device))
            .is_some_and(|device| !device.known)
        {
            let text = format!(
                "device support \"{}\" is not simulated: it gives no values, and takes all",
                of.device_names[usize::from(device)]
            );
            self.note(id, text);
        }
        self.make_flag_of_device(id);
        Cx::with(self, id, |cx, support| (support.prepare)(cx));
    }

    pub(super) fn note(&mut self, id: Id, text: String) {
        let record = self.record(id).name.clone();
        self.notes.push(InitNote { record, text });
    }

    /// Whether somebody subscribes to fields of a record: only then its posts are kept.
    pub fn set_watched(&mut self, id: u32, watched: bool) {
        self.record_mut(id).watched = watched;
    }

    /// Whether the field ASG of a record was written since this was asked last: who may do what with it is another
    /// question now (`asChangeGroup`).
    pub const fn take_regrouped(&mut self) -> bool {
        std::mem::replace(&mut self.regrouped, false)
    }

    /// The same, without an end to it.
    pub const fn has_regrouped(&self) -> bool {
        self.regrouped
    }

    /// Lines for the log: traces (TPRO), device support `stdio`.
    pub fn take_lines(&mut self) -> impl Iterator<Item = String> + '_ {
        self.lines.drain(..)
    }
}

/// An integer and nothing else, with the prefixes of C (`epicsParseInt64`, `epicsParseUInt64`); nothing
/// is 0.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim_ascii();
    let (negative, digits) = match text.as_bytes() {
        [] => return Some(0),
        [b'-', ..] => (true, text.get(1..)?),
        [b'+', ..] => (false, text.get(1..)?),
        _ => (false, text),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"));
    let magnitude = match (hexadecimal, digits.strip_prefix('0')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok()?,
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok()?,
        _ => digits.parse().ok()?,
    };
    Some(if negative {
        -i128::from(magnitude)
    } else {
        i128::from(magnitude)
    })
}
