//! What a server's circuits ask of the process variables behind them.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::cell::RefCell;
use core::fmt;
use core::net::SocketAddrV4;

use super::account::Account;
use super::shared::Conversions;
use super::subscriptions::Update;
use crate::access::AccessRights;
use crate::dbr::{ConvertError, DbrType, NativeType, PutValue, Snapshot, Value, ValueRef};
use crate::ids::CircuitId;
use crate::slot_key;
use crate::status::EcaStatus;
use crate::text::Escaped;
use crate::time::Instant;
use crate::wire::message::EventMask;

/// Names an opened field or view of a PV inside a database; chosen by the database.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PvId(pub u32);

/// What a client learns about a channel when it is created.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelInfo {
    /// Type of the elements.
    pub native: NativeType,
    /// Largest number of elements; 1 for a scalar, 0 is possible.
    pub count: u32,
}

/// Who a client says it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// User name from `CLIENT_NAME`; case counts. Empty if the client sent none.
    pub user: Vec<u8>,
    /// Host name from `HOST_NAME` in lower case (`host_name_action` of EPICS Base). Empty if the client sent
    /// none.
    pub host: Vec<u8>,
    /// Address of the client's socket.
    pub peer: SocketAddrV4,
}

/// `user@host (10.0.0.1:40000)`; bytes of names that cannot be printed are shown as `\xhh`, and a
/// name that the client did not send as `?`.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name| Escaped(if <[u8]>::is_empty(name) { b"?" } else { name });
        let (user, host) = (name(&self.user), name(&self.host));
        write!(f, "{user}@{host} ({})", self.peer)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, host) = (Escaped(&self.user), Escaped(&self.host));
        f.debug_struct("Identity")
            .field("user", &format_args!("\"{user}\""))
            .field("host", &format_args!("\"{host}\""))
            .field("peer", &self.peer)
            .finish()
    }
}

/// Names a subscription inside its circuit; not the client's subscription id, which need not be
/// unique. A circuit holds at most 4 194 304 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SubKey(pub u32);

/// Names an unfinished write-notify inside its circuit. A circuit holds at most 65 536 of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PutId(pub u32);

slot_key!(SubKey, 22);
slot_key!(PutId, 16);

/// Where the updates of a subscription go: [`Circuit::post`](super::Circuit::post).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Subscriber {
    /// The circuit.
    pub circuit: CircuitId,
    /// The subscription inside the circuit.
    pub key: SubKey,
}

/// Where the completion of a put goes: [`Circuit::complete_put`](super::Circuit::complete_put).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PutTicket {
    /// The circuit.
    pub circuit: CircuitId,
    /// The write-notify inside the circuit.
    pub id: PutId,
}

/// A write by a client that is allowed to write.
#[derive(Clone, Copy, Debug)]
pub struct Put<'a> {
    /// What is written to.
    pub pv: PvId,
    /// The value in the client's type; longer than the PV is legal and means that the rest is
    /// ignored (`dbChannel_put` of EPICS Base).
    pub value: PutValue<'a>,
    /// The value in the type of the PV, if the circuit had it [converted](Database::convert_put) before.
    pub converted: Option<&'a Value>,
    /// Who writes; a write that waits shares it.
    pub who: &'a Arc<Identity>,
    /// Pays for a write that waits: [`Account::hold`]. One that is too large is answered with
    /// `PUTCBINPROG` ([`Limit::WaitingPuts`](super::Limit::WaitingPuts)) or `ALLOCMEM`.
    pub account: &'a Arc<Account>,
    /// Set if the client waits for completion; only then [`PutOutcome::Pending`] makes sense.
    pub notify: Option<PutTicket>,
}

/// A write that the circuit did not pass on: without the right to write, of a type or size that
/// cannot be, or beyond a limit.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RefusedPut<'a> {
    /// What was to be written to.
    pub pv: PvId,
    /// What the client sent, if it can be read.
    pub value: Option<PutValue<'a>>,
    /// Who tried.
    pub who: &'a Arc<Identity>,
    /// Whether the client waits for completion.
    pub notify: bool,
    /// What the client is told.
    pub status: EcaStatus,
}

/// What became of a [`Put`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PutOutcome {
    /// Finished: `NORMAL`, or why not (usually `PUTFAIL`).
    Done(EcaStatus),
    /// Accepted; [`Circuit::complete_put`](super::Circuit::complete_put) follows. Completions of
    /// tickets whose channel or circuit is gone are ignored. Without a ticket it counts as done.
    Pending,
}

/// Elements at equal distances of a larger value, which are not yet gathered.
#[derive(Clone, Debug)]
pub struct Strided {
    /// The state, with the larger value.
    pub state: Snapshot,
    /// Index of the first element.
    pub start: usize,
    /// From one element to the next; at least 1.
    pub step: usize,
    /// Elements; all are within the larger value.
    pub count: u32,
}

impl Strided {
    /// All elements of a state.
    pub fn whole(state: Snapshot) -> Self {
        Self {
            count: state.value.count(),
            state,
            start: 0,
            step: 1,
        }
    }
}

/// The process variables behind a server.
///
/// Methods are called while a request is handled and must not block.
pub trait Database {
    /// Whether a search for this name is answered: record and field exist. Modifiers and filters
    /// after the field name are not examined (`search_reply_udp` of EPICS Base).
    fn serves(&self, name: &[u8]) -> bool;
    /// Opens what a channel name means, modifiers included; `None` if there is no such thing.
    fn open(&mut self, name: &[u8]) -> Option<PvId>;
    /// Ends one successful [`open`](Self::open).
    fn close(&mut self, pv: PvId);
    /// Bytes that each channel on what was opened makes the database hold, in full though several
    /// may share them. Asked once, after [`open`](Self::open). By default nothing.
    fn channel_bytes(&self, pv: PvId) -> u16 {
        let _ = pv;
        0
    }
    /// Bytes that a subscription makes the database hold; always the same. By default nothing.
    fn subscription_bytes(&self) -> usize {
        0
    }
    /// Native type and element count.
    fn info(&self, pv: PvId) -> ChannelInfo;
    /// Whether the PV was removed while channels are open on it. By default none ever is.
    fn is_gone(&self, pv: PvId) -> bool {
        let _ = pv;
        false
    }
    /// What this client may do. Read-only fields grant no write (`casAccessRightsCB` of EPICS Base).
    fn rights(&self, pv: PvId, who: &Identity) -> AccessRights;
    /// The state at this moment; valid also for a removed PV until it is closed. Borrowed where it
    /// exists as it is, as this is called for each read and each update.
    fn read(&self, pv: PvId) -> Cow<'_, Snapshot>;
    /// The state as [`read`](Self::read) gives it, of which the caller needs this many elements at most:
    /// a database that has to make the value need not make more of it.
    fn read_first(&self, pv: PvId, elements: u32) -> Cow<'_, Snapshot> {
        let _ = elements;
        self.read(pv)
    }
    /// As [`read_first`](Self::read_first) for a client that wants this type. A database whose fields have more
    /// types than there are on the wire makes the value of it, so that a number of 64 bits is not one of 53 on
    /// its way to a text, and leaves out metadata that the type has no place for.
    fn read_as(&self, pv: PvId, ty: DbrType, elements: u32) -> Cow<'_, Snapshot> {
        let _ = ty;
        self.read_first(pv, elements)
    }
    /// The first update of a subscription with this mask, and the one that it gets when its rights have changed;
    /// `None` if a filter of the channel holds it back. `by_copy` says that the value is a scalar of at most 8 bytes.
    fn first_update(&self, pv: PvId, mask: EventMask, by_copy: bool) -> Option<Update> {
        let _ = mask;
        Some(match by_copy {
            true => Update::new(&self.read(pv)),
            false => Update::by_reference(),
        })
    }
    /// Whether updates of this channel go through filters of its own. By default none do.
    fn is_filtered(&self, pv: PvId) -> bool {
        let _ = pv;
        false
    }
    /// As [`read_as`](Self::read_as), for an update that is sent now and was posted
    /// [by reference](Update::by_reference).
    fn read_update(&self, pv: PvId, ty: DbrType, elements: u32) -> Cow<'_, Snapshot> {
        self.read_as(pv, ty, elements)
    }
    /// The state of what [`read_first`](Self::read_first) would have to gather from a larger value: it is
    /// then taken out of that piece by piece, so that nobody else waits for it. By default `None`: what
    /// is read exists as it is, or is small.
    fn read_strided(&self, pv: PvId, elements: u32) -> Option<Strided> {
        let _ = (pv, elements);
        None
    }
    /// Conversions of large values, to be shared by all circuits of the server. By default `None`: each
    /// subscriber's are made for it alone.
    fn conversions(&self) -> Option<&RefCell<Conversions>> {
        None
    }
    /// Writes. Updates that this causes are posted by whoever owns the circuits, after the call.
    fn put(&mut self, now: Instant, put: Put<'_>) -> PutOutcome;
    /// As [`put`](Self::put), with the buffer that a large value lies in: a database may keep a
    /// [slice](Bytes::slice_ref) of it in place of a copy.
    fn put_shared(&mut self, now: Instant, put: Put<'_>, buffer: &Bytes) -> PutOutcome {
        let _ = buffer;
        self.put(now, put)
    }
    /// The type that large values are converted to when they are written, and the largest number of
    /// elements that is stored. The circuit then has them converted with
    /// [`convert_put`](Self::convert_put), piece by piece, so that nobody else waits for it. By default
    /// `None`: [`put`](Self::put) converts.
    fn converts_puts(&self, pv: PvId) -> Option<(NativeType, u32)> {
        let _ = pv;
        None
    }
    /// Converts some elements of a value that is to be written.
    ///
    /// # Errors
    /// An element has no conversion: the write fails.
    fn convert_put(&self, pv: PvId, part: ValueRef<'_>) -> Result<Value, ConvertError> {
        let _ = (pv, part);
        Err(ConvertError::Unsupported)
    }
    /// A write was refused; for those who keep account. By default nothing happens.
    fn put_refused(&mut self, now: Instant, put: RefusedPut<'_>) {
        let _ = (now, put);
    }
    /// A write-notify that waited in the circuit behind another one of its channel is gone with the channel:
    /// the database has not seen it, and nobody is told its status. For those who keep account; by default
    /// nothing happens.
    fn put_dropped(&mut self, put: RefusedPut<'_>) {
        let _ = put;
    }
    /// The channel of a pending put is gone: if it has not begun it is not to be carried out any
    /// more. By default nothing happens, as for tickets that the database was never given.
    fn withdraw(&mut self, pv: PvId, put: PutTicket) {
        let _ = (pv, put);
    }
    /// Installs a subscription. The first update is not its business: the circuit makes it.
    fn subscribe(&mut self, pv: PvId, who: Subscriber, mask: EventMask);
    /// Removes a subscription.
    fn unsubscribe(&mut self, pv: PvId, who: Subscriber);
}
