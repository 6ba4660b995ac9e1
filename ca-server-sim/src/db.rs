//! The PVs of an IOC: a slab of records and of views on them, and the names.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::BuildHasher;
use std::sync::{Arc, Weak};

use ca_proto::dbr::{Limits, Metadata, Range, Snapshot};
use ca_proto::ids::Slots;
use ca_proto::server::{Conversions, PutTicket, PvId};
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant, Timestamp};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::access::AccessRule;
use crate::error::BuildError;
use crate::field::Field;
use crate::filter::{Chain, Spec, Suffix};
use crate::name::{ChannelName, Dotted, Modifiers};
use crate::overseers::Overseers;
use crate::plain::{Record, RecordType, Subscribers};
use crate::publish::{Fields, Post};
use crate::pv::PvSpec;
use crate::reads::Getters;
use crate::served::{Channel, FieldKey, Served};
use crate::state::copy::Copying;
use crate::state::timeline::Timeline;
use crate::view::View;

/// Names a PV of an [`Ioc`](crate::Ioc) without a look-up by name. It stays valid until the PV is
/// removed, and is never mistaken for a later PV (within 256 changes of the same slot).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PvHandle(pub(crate) u32);

ca_proto::slot_key!(PvHandle, 24);

/// What an identifier stands for: a record (and its value field), or an opened view on one. Both
/// share one slab, so that a channel's [`PvId`] is the number of its handle.
#[derive(Debug)]
pub(crate) enum Node {
    Record(Record),
    View(View),
    /// A field of a record of the database.
    Field(Box<Channel>),
    /// A record that was removed, until its last channel is closed.
    Gone(Option<Box<Record>>),
}

/// The records with everything that hangs on them.
#[derive(Debug, Default)]
pub(crate) struct Db {
    pub nodes: Slots<PvHandle, Node>,
    names: HashTable<PvHandle>,
    dotted: Dotted,
    hasher: DefaultHashBuilder,
    /// Metadata of the PV that was added last: series of PVs that look alike share it.
    last_meta: Option<Arc<Metadata>>,
    /// The records that files describe.
    pub served: Option<Box<Served>>,
    pub clock: Clock,
    /// What time it is for the PVs at a time of the driver.
    pub time: Timeline,
    /// When something was last done.
    pub now: Instant,
    /// The number of the channel with filters that was opened last.
    last_instance: u64,
    /// Flags of programs, where there are no records that have them.
    pub states: HashMap<Box<str>, bool>,
    pub access: Option<AccessRule>,
    /// Who has a say in puts, or is told of them: faults of PVs, a put log, a stop, questions of the program, access
    /// security.
    pub overseers: Overseers,
    /// Reads that the program answers.
    pub getters: Option<Box<Getters>>,
    /// Nodes whose subscribers are to be told, and of what.
    pub posts: Vec<Post>,
    /// Puts that are complete.
    pub completed: VecDeque<(PutTicket, EcaStatus)>,
    /// Records whose next put is to begin.
    pub next_puts: VecDeque<PvHandle>,
    /// Puts that records are busy with, and those that wait behind, with their number there.
    pub tickets: BTreeMap<PutTicket, (PvHandle, Option<u64>)>,
    /// All views.
    pub views: BTreeMap<ViewKey, PvHandle>,
    /// The views that have subscriptions.
    pub watched: BTreeMap<ViewKey, PvHandle>,
    /// Large values that are being converted for circuits.
    pub conversions: RefCell<Conversions>,
    /// Completions to come.
    pub due: BTreeSet<(Instant, PvHandle)>,
    /// Records with an unfinished put.
    pub busy: BTreeSet<PvHandle>,
    /// A snapshot that is being taken.
    pub copying: Option<Box<Copying>>,
    /// Signals stand still for whoever has this.
    still: Weak<()>,
    /// Another number for each PV that comes or goes.
    revision: u64,
}

/// What a view is opened for, once: channels of the same kind share it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct ViewKey {
    pub record: PvHandle,
    pub field: Field,
    pub modifiers: Modifiers,
}

/// What time stamp belongs to which instant.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    now: Instant,
    wall: Timestamp,
    /// The last answer: what is received together is processed at one instant.
    last: (Instant, Timestamp),
}

impl Clock {
    pub(crate) const fn new(now: Instant, wall: Timestamp) -> Self {
        let last = (now, wall);
        Self { now, wall, last }
    }

    pub(crate) fn stamp(&mut self, at: Instant) -> Timestamp {
        if self.last.0 != at {
            self.last = (at, self.stamp_of(at));
        }
        self.last.1
    }

    pub(crate) fn stamp_of(&self, at: Instant) -> Timestamp {
        match at.checked_duration_since(self.now) {
            Some(after) => self.wall + after,
            None => {
                let wall = self.wall.to_unix().saturating_sub(self.now - at);
                Timestamp::from_unix_nanos(wall.as_nanos())
            }
        }
    }
}

impl Db {
    /// The record of this name, without field.
    pub(crate) fn find(&self, name: &[u8]) -> Option<PvHandle> {
        let hash = self.hasher.hash_one(name);
        let is_it = |&handle: &PvHandle| {
            self.record(handle)
                .is_some_and(|record| record.name.as_bytes() == name)
        };
        self.names.find(hash, is_it).copied()
    }

    pub(crate) fn record(&self, handle: PvHandle) -> Option<&Record> {
        match self.nodes.get(handle) {
            Some(Node::Record(record)) => Some(record),
            _ => None,
        }
    }

    pub(crate) fn record_mut(&mut self, handle: PvHandle) -> Option<&mut Record> {
        if self.copying.is_some() {
            self.copy_ahead(handle);
        }
        match self.nodes.get_mut(handle) {
            Some(Node::Record(record)) => Some(record),
            _ => None,
        }
    }

    /// The record behind an opened channel, and what the channel sees of it.
    pub(crate) fn target(&self, pv: PvId) -> Option<(PvHandle, &Record, Option<&View>)> {
        let handle = PvHandle(pv.0);
        match self.nodes.get(handle)? {
            Node::Record(record) => Some((handle, record, None)),
            Node::View(view) => Some((view.record, self.record(view.record)?, Some(view))),
            Node::Gone(_) | Node::Field(_) => None,
        }
    }

    /// As [`target`](Self::target), also of a record that was removed.
    pub(crate) fn any_target(&self, pv: PvId) -> Option<(PvHandle, &Record, Option<&View>)> {
        let handle = PvHandle(pv.0);
        let (handle, view) = match self.nodes.get(handle)? {
            Node::View(view) => (view.record, Some(view)),
            Node::Record(_) | Node::Gone(_) => (handle, None),
            Node::Field(_) => return None,
        };
        match self.nodes.get(handle)? {
            Node::Record(record) => Some((handle, record, view)),
            Node::Gone(record) => Some((handle, record.as_deref()?, view)),
            Node::View(_) | Node::Field(_) => None,
        }
    }

    /// The channel on a field of a record of the database, with those records.
    pub(crate) fn field(&self, pv: PvId) -> Option<(&Served, FieldKey)> {
        match self.nodes.get(PvHandle(pv.0))? {
            Node::Field(channel) if !channel.gone => Some((self.served.as_deref()?, channel.key)),
            _ => None,
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = (PvHandle, &Record)> {
        self.nodes.iter().filter_map(|(handle, node)| match node {
            Node::Record(record) => Some((handle, record)),
            Node::View(_) | Node::Gone(_) | Node::Field(_) => None,
        })
    }

    /// Whether circuits are to be told something.
    pub(crate) fn has_news(&self) -> bool {
        !self.posts.is_empty()
            || !self.completed.is_empty()
            || !self.next_puts.is_empty()
            || (self.overseers.any() && self.has_lines())
            || self.served.as_ref().is_some_and(|served| served.has_news())
    }

    /// Whether a put log or access security has something to tell.
    fn has_lines(&self) -> bool {
        self.has_dropped()
            || self
                .overseers
                .guard
                .as_ref()
                .is_some_and(|guard| !guard.lines.is_empty())
    }

    /// Another number whenever a PV or record has come or gone.
    pub(crate) fn revision(&self) -> u64 {
        let records = self
            .served
            .as_ref()
            .map_or(0, |served| served.records.revision);
        self.revision.wrapping_add(records)
    }

    /// The IOC goes to another state as a whole: what is copied is none any more.
    pub(crate) const fn revise(&mut self) {
        self.revision = self.revision.wrapping_add(1);
    }

    /// Signals are not sampled while this is there.
    pub(crate) fn hold_signals(&mut self, token: &Arc<()>) {
        self.still = Arc::downgrade(token);
    }

    pub(crate) fn holds_signals(&self) -> bool {
        self.still.strong_count() > 0
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    pub(crate) fn reserve(&mut self, records: usize) {
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let hash = |handle: &PvHandle| hash_of(nodes, hasher, *handle);
        self.names.reserve(records, hash);
    }

    /// Adds a record; the signal of the description is the caller's business.
    pub(crate) fn add(&mut self, name: &str, spec: PvSpec) -> Result<PvHandle, BuildError> {
        check_name(name)?;
        let name = || name.to_owned();
        if self.find(name().as_bytes()).is_some() {
            return Err(BuildError::Duplicate { name: name() });
        }
        if let Some(owner) = self.field_owner(name().as_str()) {
            let name = name();
            return Err(match owner == name {
                true => BuildError::Duplicate { name },
                false => BuildError::IsField { name, owner },
            });
        }
        // Both would be asked for by the same name.
        if let Some((owner, _)) = self.resolve(name().as_str()) {
            let owner = self.record(owner).map_or("", |record| &record.name);
            return Err(BuildError::IsField {
                name: name(),
                owner: owner.to_owned(),
            });
        }
        let record = self.build(name().into(), spec)?;
        for below in self.dotted.below(&record.name) {
            let split = ChannelName::split_at(below.as_bytes(), record.name.len());
            if Modifiers::parse(split.modifiers).is_some()
                && Field::find(record.kind, record.native(), split.field).is_some()
            {
                return Err(BuildError::IsField {
                    name: below.to_owned(),
                    owner: name(),
                });
            }
        }
        self.dotted.insert(&record.name);
        self.revision = self.revision.wrapping_add(1);
        let handle = self.nodes.insert(Node::Record(record));
        let handle = handle.map_err(|_| BuildError::Full { name: name() })?;
        let hash = hash_of(&self.nodes, &self.hasher, handle);
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        self.names
            .insert_unique(hash, handle, |&handle| hash_of(nodes, hasher, handle));
        Ok(handle)
    }

    fn build(&mut self, name: Box<str>, mut spec: PvSpec) -> Result<Record, BuildError> {
        let capacity = if spec.array { spec.capacity } else { 1 };
        check_capacity(&name, &spec, capacity)?;
        let faults = spec.check();
        if !faults.is_empty() {
            let name = name.into();
            return Err(BuildError::Unfit { name, faults });
        }
        let kind = spec.kind();
        spec.meta.class = kind.name().into();
        spec.meta.no_state = kind.no_state();
        if !spec.control && !kind.has_drive_limits() {
            spec.meta.limits.control = spec.meta.limits.display;
        }
        if !spec.control && kind == RecordType::Bo {
            // `get_control_double` of `boRecord.c`, without a mask.
            spec.meta.limits.control = Range::new(0.0, u16::MAX.into());
        }
        let mut record = Record {
            name,
            capacity,
            open: 0,
            watched: 0,
            rights: spec.rights,
            kind,
            undefined: spec.undefined,
            subs: Subscribers::default(),
            extra: None,
            snapshot: Snapshot {
                meta: self.share(std::mem::take(&mut spec.meta)),
                value: spec.value.clone(),
                alarm: ca_proto::Alarm::UNDEFINED,
                stamp: Timestamp::UNDEFINED,
                ack: Default::default(),
            },
        };
        record.configure(spec);
        Ok(record)
    }

    /// One copy of equal metadata, as far as PVs that look alike are added in a row.
    fn share(&mut self, meta: Metadata) -> Arc<Metadata> {
        match &self.last_meta {
            Some(last) if is_same(last, &meta) => Arc::clone(last),
            _ => Arc::clone(self.last_meta.insert(Arc::new(meta))),
        }
    }

    /// Forgets a record. What channels have opened on it, and on its views, stays until they are closed, and
    /// gives nothing any more.
    pub(crate) fn remove(&mut self, handle: PvHandle) -> bool {
        let hash = hash_of(&self.nodes, &self.hasher, handle);
        let Some(record) = self.record(handle) else {
            return false;
        };
        let name = record.name.clone();
        self.revision = self.revision.wrapping_add(1);
        self.dotted.remove(&name);
        if let Ok(entry) = self.names.find_entry(hash, |&other| other == handle) {
            entry.remove();
        }
        self.busy.remove(&handle);
        if let Some(until) = self.busy_mut(handle).and_then(|busy| busy.until) {
            self.due.remove(&(until, handle));
        }
        // Nobody waits for it any more, but the log tells its end. Those behind it end with their channels.
        if let Some(holder) = self.busy_mut(handle).and_then(|busy| busy.holder.take()) {
            self.tickets.remove(&holder);
            self.completed.push_back((holder, EcaStatus::DISCONN));
        }
        let Some(node) = self.nodes.get_mut(handle) else {
            return false;
        };
        if let Node::Record(record) = std::mem::replace(node, Node::Gone(None)) {
            if record.open == 0 {
                self.nodes.remove(handle);
            } else if let Some(node) = self.nodes.get_mut(handle) {
                *node = Node::Gone(Some(Box::new(record)));
            }
        }
        true
    }

    /// A record, or one that was removed and has channels.
    pub(crate) fn any_record_mut(&mut self, handle: PvHandle) -> Option<&mut Record> {
        if self.copying.is_some() {
            self.copy_ahead(handle);
        }
        match self.nodes.get_mut(handle) {
            Some(Node::Record(record)) => Some(record),
            Some(Node::Gone(record)) => record.as_deref_mut(),
            _ => None,
        }
    }

    /// Announces an event on some fields of a record.
    pub(crate) fn post_fields(&mut self, handle: PvHandle, mask: EventMask, fields: Fields) {
        let Some(record) = self.record(handle) else {
            return;
        };
        let value = matches!(fields, Fields::All | Fields::Only(Field::Val));
        if record.watched > 0 || (value && !record.subs.is_empty()) {
            self.posts.push(Post::new(handle, fields, mask));
        }
    }

    /// Lets the announcements from this one on show the record as it is now.
    pub(crate) fn freeze_posts(&mut self, first: usize, handle: PvHandle) {
        if self.posts.len() == first {
            return;
        }
        let mut posts = std::mem::take(&mut self.posts);
        for post in posts.iter_mut().skip(first) {
            post.frozen = self.record(handle).map(Record::frozen);
        }
        self.posts = posts;
    }

    /// The record and field of a channel name, and what follows the field. A dot belongs to the name
    /// of a record wherever there is such a record.
    pub(crate) fn find_channel<'a>(&self, name: &'a [u8]) -> Option<(PvHandle, Field, &'a [u8])> {
        let found = |split: ChannelName<'a>| {
            let (handle, field) = self.find_field(&split)?;
            Some((handle, field, split.modifiers))
        };
        let dotted = self.dotted.ways(name).find_map(found);
        dotted.or_else(|| found(ChannelName::split(name)))
    }

    fn find_field(&self, name: &ChannelName<'_>) -> Option<(PvHandle, Field)> {
        let handle = self.find(name.record)?;
        let record = self.record(handle)?;
        Some((
            handle,
            Field::find(record.kind, record.native(), name.field)?,
        ))
    }

    /// The field of a record of the database that a channel name means, and what follows the field. Where a
    /// PV has the name, that one is meant.
    pub(crate) fn find_field_channel<'a>(&self, name: &'a [u8]) -> Option<(u32, u16, &'a [u8])> {
        let split = ChannelName::split(name);
        let (id, field) = self.served.as_ref()?.find(&split)?;
        Some((id, field, split.modifiers))
    }

    /// The record of the database that a name is taken by: its own, an alias, or one of its fields.
    fn field_owner(&self, name: &str) -> Option<String> {
        let served = self.served.as_ref()?;
        let (id, _, modifiers) = self.find_field_channel(name.as_bytes())?;
        let own = !name.contains('.');
        modifiers.is_empty().then(|| match own {
            true => name.to_owned(),
            false => served.records.name_of(id).to_owned(),
        })
    }

    /// What the text behind a field asks for, and its filters if they have to be a channel's own. Parts of arrays are
    /// shared.
    pub(crate) fn modifiers(&mut self, text: &[u8]) -> Option<(Modifiers, Vec<Spec>)> {
        let Suffix { long, mut filters } = Suffix::parse(text, |name| self.flag(name).is_some())?;
        let mut modifiers = Modifiers {
            long,
            ..Modifiers::default()
        };
        match filters[..] {
            [] => {}
            [Spec::Arr(range)] => {
                modifiers.range = Some(range);
                filters.clear();
            }
            _ => {
                self.last_instance += 1;
                modifiers.instance = self.last_instance;
            }
        }
        Some((modifiers, filters))
    }

    /// Opens a channel on a field of a record of the database.
    pub(crate) fn open_field(&mut self, key: FieldKey, filters: Vec<Spec>) -> Option<PvHandle> {
        let served = self.served.as_mut()?;
        if !served.fits(key) {
            return None;
        }
        let handle = match served.open.get(&key) {
            Some(&handle) => handle,
            None => {
                let chain = (!filters.is_empty()).then(|| Chain::new(filters, served.info(key)));
                let node = Node::Field(Box::new(Channel::new(key, chain)));
                let handle = self.nodes.insert(node).ok()?;
                served.open.insert(key, handle);
                handle
            }
        };
        if let Some(Node::Field(channel)) = self.nodes.get_mut(handle) {
            channel.open += 1;
        }
        Some(handle)
    }

    /// Record and field of a name without modifiers.
    pub(crate) fn resolve(&self, name: &str) -> Option<(PvHandle, Field)> {
        match self.find_channel(name.as_bytes())? {
            (handle, field, []) => Some((handle, field)),
            _ => None,
        }
    }

    pub(crate) fn open_view(
        &mut self,
        handle: PvHandle,
        field: Field,
        modifiers: Modifiers,
        filters: Vec<Spec>,
    ) -> Option<PvHandle> {
        let record = self.record(handle)?;
        let key = ViewKey {
            record: handle,
            field,
            modifiers,
        };
        let found = match self.views.get(&key) {
            Some(&found) => found,
            None => {
                let mut view = View::new(handle, record, field, modifiers)?;
                if !filters.is_empty() {
                    view.chain = Some(Box::new(Chain::new(filters, view.info(record))));
                }
                let new = self.nodes.insert(Node::View(view)).ok()?;
                self.views.insert(key, new);
                new
            }
        };
        if let Some(Node::View(view)) = self.nodes.get_mut(found) {
            view.open += 1;
        }
        Some(found)
    }
}

fn hash_of(nodes: &Slots<PvHandle, Node>, hasher: &DefaultHashBuilder, handle: PvHandle) -> u64 {
    match nodes.get(handle) {
        Some(Node::Record(record)) => hasher.hash_one(record.name.as_bytes()),
        _ => 0,
    }
}

/// Longest name of a PV in bytes: what a search carries in one datagram of 1024 bytes, beside the
/// headers of VERSION and SEARCH and the NUL of the name. Records of Base end at 60.
pub(crate) const MAX_PV_NAME: usize = 991;

pub(crate) fn check_name(name: &str) -> Result<(), BuildError> {
    let reason = if name.is_empty() {
        "a name has at least one character"
    } else if name.len() > MAX_PV_NAME {
        "a name has at most 991 bytes, which a search can carry; shorten it"
    } else if name.starts_with('.') || name.ends_with('.') {
        "a name neither begins nor ends with a dot; remove it"
    } else if name
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || "\"'".contains(c))
    {
        "a name has no blanks, quotes or control characters; remove them"
    } else {
        return Ok(());
    };
    let name = name.to_owned();
    Err(BuildError::BadName { name, reason })
}

/// Largest array in bytes; what fits a message with the default limits of clients and servers.
pub(crate) const MAX_ARRAY_BYTES: u32 = ca_proto::config::DEFAULT_MAX_PAYLOAD - 1024;

/// Whether there is room for the elements of a description.
#[cfg(feature = "toml")]
pub(crate) fn check_room(name: &str, spec: &PvSpec) -> Result<(), BuildError> {
    let capacity = if spec.array { spec.capacity } else { 1 };
    check_capacity(name, spec, capacity)
}

fn check_capacity(name: &str, spec: &PvSpec, capacity: u32) -> Result<(), BuildError> {
    let name = || name.to_owned();
    // Sizes of elements are at most 40.
    let limit = MAX_ARRAY_BYTES / spec.native().size() as u32;
    if capacity == 0 || capacity > limit {
        return Err(BuildError::BadCapacity {
            name: name(),
            capacity,
            limit,
        });
    }
    let given = spec.value.count();
    if given > capacity {
        return Err(BuildError::TooManyElements {
            name: name(),
            given,
            capacity,
        });
    }
    Ok(())
}

/// Equality in which an undefined limit (NaN) equals another.
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    let bits = |limits: &Limits| {
        [limits.display, limits.alarm, limits.warning, limits.control]
            .map(|range| (range.lower.to_bits(), range.upper.to_bits()))
    };
    a.units == b.units
        && a.precision == b.precision
        && a.class == b.class
        && bits(&a.limits) == bits(&b.limits)
        && a.states == b.states
}
