//! Records as clients see them: names, channels, reading, writing, and what subscribers are told.
//!
//! The records themselves, and what happens with them, are in [`process`](crate::process). A channel is open
//! on a field of a record, perhaps on a part of it; channels that are open on the same share a [`Channel`].
//!
//! # Turns
//! What is processed tells subscribers through a queue of posts, in their order, each with the value that it
//! had. Records go on only when all that they have said is told ([`publish`]), so that the queue has at most
//! what one slice of processing has posted; and a put waits until no chain is under way.

mod build;
mod channel;
mod described;
mod program;
mod publish;
mod put;
mod reload;
mod saved;
pub(crate) mod value;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ca_proto::dbr::{Metadata, Value};
use ca_proto::server::{Charge, Identity, PutTicket, PvId};
use hashbrown::HashMap;

use crate::db::PvHandle;
use crate::name::{ChannelName, Modifiers};
use crate::process::{NotifyId, Records};
use crate::record::{Array, Dbf};

#[cfg(feature = "toml")]
pub(crate) use build::read_recording;
pub use build::{RecordFiles, base_dbd, is_record_file};
pub(crate) use build::{build, with_base};
pub(crate) use channel::Channel;
use described::Described;
use publish::Publication;
pub use reload::{RecordChanges, Reload};
pub(crate) use value::{from_client, to_value};

/// Instead of a field: the name of the record's type, which each record has as RTYP.
pub(crate) const RTYP: u16 = u16::MAX - 1;

/// What a channel is opened on, once: channels of the same kind share it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct FieldKey {
    pub record: u32,
    pub field: u16,
    pub modifiers: Modifiers,
}

/// A put that is not complete.
#[derive(Debug)]
pub(crate) struct Pending {
    ticket: PutTicket,
    /// Who put it, and to what.
    pv: PvId,
    who: Arc<Identity>,
    /// Pays for a value that waits.
    _charge: Option<Charge>,
}

/// A put whose rights are asked for again.
pub(crate) enum Recheck {
    /// There are no more.
    Done,
    /// One that does not wait.
    Other,
    /// One that waits.
    Waits(PutTicket, PvId, Arc<Identity>),
}

/// The records of an IOC with what its clients have of them.
#[derive(Debug)]
pub(crate) struct Served {
    pub records: Records,
    /// What files say of them.
    pub described: Described,
    /// What is open.
    pub open: BTreeMap<FieldKey, PvHandle>,
    /// What of it has subscriptions.
    pub watched: BTreeMap<FieldKey, PvHandle>,
    /// A post that is being told.
    telling: Option<Publication>,
    /// Puts that are not complete, by both of their names.
    pending: HashMap<NotifyId, Pending>,
    tickets: BTreeMap<PutTicket, NotifyId>,
    /// The last array that was read, as it is on the wire: many clients ask for the same one.
    image: RefCell<Option<(Arc<Array>, Value)>>,
    /// Metadata of what needs none, and of texts as arrays.
    plain: Arc<Metadata>,
    long: Arc<Metadata>,
    /// A put began the chain that is being processed; who wrote sees it done.
    pub wrote: bool,
    /// Records whose values the program is told.
    pub observed: BTreeSet<u32>,
    /// The put whose rights were asked for again last, if that is under way.
    recheck: Option<Option<PutTicket>>,
}

impl Served {
    pub(crate) fn new(records: Records, described: Described) -> Self {
        Self {
            records,
            described,
            open: BTreeMap::new(),
            watched: BTreeMap::new(),
            telling: None,
            pending: HashMap::new(),
            tickets: BTreeMap::new(),
            image: RefCell::new(None),
            plain: Metadata::none(),
            long: Arc::new(Metadata {
                long_string: true,
                ..Metadata::default()
            }),
            wrote: false,
            observed: BTreeSet::new(),
            recheck: None,
        }
    }

    /// Record and field of a name.
    pub(crate) fn find(&self, name: &ChannelName<'_>) -> Option<(u32, u16)> {
        let id = self.records.find(std::str::from_utf8(name.record).ok()?)?;
        let of = self.records.type_of(id);
        let field = match name.field {
            b"" => of.value?,
            b"RTYP" => RTYP,
            field => of.find(std::str::from_utf8(field).ok()?)?,
        };
        self.is_visible(id, field).then_some((id, field))
    }

    /// Whether clients can see a field at all.
    fn is_visible(&self, id: u32, field: u16) -> bool {
        field == RTYP || self.records.dbf(id, field) != Dbf::NoAccess
    }

    /// The name of a field.
    pub(crate) fn field_name(&self, id: u32, field: u16) -> &str {
        match field {
            RTYP => "RTYP",
            field => &self.records.type_of(id).field(field).name,
        }
    }

    /// Somebody subscribes to what a channel is open on.
    pub(crate) fn watch(&mut self, key: FieldKey, handle: PvHandle) {
        self.watched.insert(key, handle);
        self.records.set_watched(key.record, true);
    }

    /// Nobody does any more.
    pub(crate) fn unwatch(&mut self, key: FieldKey) {
        self.watched.remove(&key);
        let first = FieldKey {
            record: key.record,
            field: 0,
            modifiers: Modifiers::default(),
        };
        let next = self.watched.range(first..).next();
        let last = next.is_none_or(|(other, _)| other.record != key.record);
        if last && !self.observed.contains(&key.record) {
            self.records.set_watched(key.record, false);
        }
    }

    /// What of a record has subscriptions.
    pub(crate) fn watched_of(&self, record: u32) -> impl Iterator<Item = (&FieldKey, &PvHandle)> {
        let first = FieldKey {
            record,
            field: 0,
            modifiers: Modifiers::default(),
        };
        let from = self.watched.range(first..);
        from.take_while(move |(key, _)| key.record == record)
    }

    /// Entries that clients fill: puts.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Whether there is something to tell, or a chain to finish, before others go on.
    pub(crate) fn has_news(&self) -> bool {
        self.is_telling()
            || self.records.is_in_chain()
            || self.records.has_completions()
            || self.records.has_regrouped()
    }

    /// Whether something is left to be done.
    pub(crate) fn has_work(&self) -> bool {
        self.has_news() || self.is_rechecking() || self.records.has_work()
    }

    /// Whether puts wait: for a chain to end, and for what was posted to be told.
    pub(crate) fn is_occupied(&self) -> bool {
        self.is_telling() || self.records.is_in_chain() || self.is_rechecking()
    }

    /// What a record posted that is gone is not told any more.
    fn drop_telling(&mut self, record: u32) {
        self.telling.take_if(|telling| telling.record() == record);
    }

    fn is_telling(&self) -> bool {
        self.telling.is_some() || self.records.has_posts()
    }
}
