//! Links to PVs of other IOCs (`dbCa.c` of EPICS Base): a state machine that says what it wants of a client,
//! and is told what the client has found.
//!
//! A PV is asked for once, however many links lead to it, and given up with the last one. What a driver is to
//! do waits in a queue ([`Records::poll_remote`]); without a driver ([`Records::attach_remote`]) nothing is asked
//! for, and such links are disconnected.
//!
//! # Bounds
//! A PV stands in the queue once for each kind of request: of several puts that the driver has not taken yet the
//! last one counts, as in the reference. PVs that records read by their names, beside links, are at most
//! [`MAX_NAMED`]; the one that was named first is given up for the next.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use ca_proto::Timestamp;
use ca_proto::dbr::{NativeType, Reading, Value};
use hashbrown::HashMap;

use super::chain::{Root, When};
use super::database::Records;
use super::lapsed::Awaited;
use super::saved::RemoteUsers;
use crate::record::{Dbf, Id, Meta, Val};
use crate::served::value::{dbf, from_client, to_value};

/// PVs that records read by names that are in no link.
const MAX_NAMED: usize = 1024;

/// A PV of another IOC that links lead to. It is never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RemoteId(u64);

/// What a client is to do for links to PVs of other IOCs.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum RemoteRequest {
    /// Connect to a PV, and stay so; [`Records::remote_connected`] tells.
    Open {
        /// Names it from here on.
        id: RemoteId,
        /// As the link has it: a record, perhaps a field and modifiers.
        name: Box<str>,
    },
    /// Subscribe to its value and alarm, with the time, in its own type, or as text: that of an enumeration is asked
    /// for by links that read texts. [`Records::remote_update`] tells.
    Watch {
        /// Which one.
        id: RemoteId,
        /// Whether as text.
        as_text: bool,
    },
    /// Get its units, digits and limits as a real number has them. [`Records::remote_described`] tells.
    Describe {
        /// Which one.
        id: RemoteId,
    },
    /// Write it.
    Put {
        /// Which one.
        id: RemoteId,
        /// What.
        value: Value,
        /// To be told by [`Records::remote_put_done`] when what the put has set in motion is done.
        wait: Option<u64>,
    },
    /// No link needs it any more.
    Close {
        /// Which one.
        id: RemoteId,
    },
}

/// What a client knows of a PV that it is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RemoteInfo {
    /// Its type.
    pub native: NativeType,
    /// Elements that it has room for.
    pub count: u32,
    /// Whether it can be read.
    pub readable: bool,
    /// Whether it can be written.
    pub writable: bool,
}

/// A value of a PV of another IOC.
#[derive(Clone, PartialEq, Debug)]
pub struct RemoteValue {
    /// Its value.
    pub val: Val,
    /// Status of its alarm.
    pub stat: u16,
    /// Severity of its alarm.
    pub sevr: u16,
    /// When it was posted.
    pub time: Timestamp,
}

/// What a client was told: with status and severity, and the time stamp, where its DBR type has them.
impl From<&Reading> for RemoteUpdate {
    fn from(reading: &Reading) -> Self {
        let alarm = reading.alarm().unwrap_or_default();
        Self {
            value: reading.to_value(),
            stat: alarm.status.0,
            sevr: alarm.severity.0,
            time: reading.timestamp().unwrap_or_default(),
        }
    }
}

/// A PV of another IOC.
#[derive(Debug)]
struct Remote {
    name: Box<str>,
    /// Links that lead to it, and whether these follow it.
    users: BTreeMap<(Id, u16), Option<When>>,
    /// A record reads it by its name.
    named: bool,
    info: Option<RemoteInfo>,
    /// What is subscribed, and the newest values: as they are, and as text.
    watched: [bool; 2],
    values: [Option<RemoteValue>; 2],
    /// What units, digits and limits it has, and whether they were asked for since it is connected.
    meta: Option<Box<Meta>>,
    asked: bool,
    /// Its last put, until the driver takes it.
    put: Option<Val>,
}

/// The PVs of other IOCs that links lead to.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    attached: bool,
    next: u64,
    all: HashMap<RemoteId, Remote>,
    /// In order, so that what follows on the name of a record is found.
    names: BTreeMap<Box<str>, RemoteId>,
    /// Those that are read by name, in the order in which they were first.
    named: VecDeque<RemoteId>,
    requests: VecDeque<Wanted>,
    /// Records that wait for a put, with the stage that goes on.
    waits: Awaited<u64, u8>,
}

/// Records that wait for puts to PVs of other IOCs, by the number of the put, with the stage that goes on.
pub(super) type Waits = HashMap<u64, (Id, u8)>;

impl Remotes {
    /// Which links lead where.
    pub(super) fn users(&self) -> RemoteUsers {
        let used = self.all.values().filter(|remote| !remote.users.is_empty());
        used.map(|remote| (remote.name.clone(), remote.users.clone()))
            .collect()
    }

    /// Who waits for a put.
    pub(super) fn waits(&self) -> Waits {
        let waits = self.waits.iter();
        waits
            .map(|(number, id, stage)| (number, (id, stage)))
            .collect()
    }

    /// Has these links lead where they led. Who waits for a put that is done since then is returned, and the puts that
    /// nobody has made are not waited for; what was said to other IOCs stays said.
    pub(super) fn rejoin(&mut self, users: RemoteUsers, waits: Waits, same: bool) -> Vec<(Id, u8)> {
        for (name, links) in users {
            let id = self.open(&name);
            if let Some(remote) = self.all.get_mut(&id) {
                remote.users.extend(links);
            }
            self.describe(id);
            self.watch(id, false);
        }
        let now = std::mem::take(&mut self.waits);
        let mut done = Vec::new();
        let mut waits: Vec<_> = waits.into_iter().collect();
        waits.sort_unstable();
        for (number, wait) in waits {
            match same && now.contains(number) {
                true => self.waits.insert(number, wait.0, wait.1),
                false => done.push(wait),
            }
        }
        done
    }
}

#[derive(Debug)]
enum Wanted {
    Open(RemoteId),
    Watch(RemoteId, bool),
    Describe(RemoteId),
    /// The last put of a PV.
    Put(RemoteId),
    PutAndWait(RemoteId, Value, u64),
    Close(RemoteId),
}

impl Remotes {
    fn find(&mut self, name: &str) -> Option<&mut Remote> {
        let id = self.names.get(name)?;
        self.all.get_mut(id)
    }

    fn connected(&self, name: &str) -> Option<(RemoteId, &Remote, RemoteInfo)> {
        let &id = self.names.get(name)?;
        let remote = self.all.get(&id)?;
        Some((id, remote, remote.info?))
    }

    fn ask(&mut self, wanted: Wanted) {
        if self.attached {
            self.requests.push_back(wanted);
        }
    }

    /// The PV of a name, which is asked for from now on.
    fn open(&mut self, name: &str) -> RemoteId {
        if let Some(&id) = self.names.get(name) {
            return id;
        }
        let id = RemoteId(self.next);
        self.next += 1;
        self.names.insert(name.into(), id);
        let remote = Remote {
            name: name.into(),
            users: BTreeMap::new(),
            named: false,
            info: None,
            watched: [false; 2],
            values: [None, None],
            meta: None,
            asked: false,
            put: None,
        };
        self.all.insert(id, remote);
        self.ask(Wanted::Open(id));
        id
    }

    /// Gives up a PV that nobody needs.
    fn close_unused(&mut self, id: RemoteId) {
        let unused = |remote: &Remote| remote.users.is_empty() && !remote.named;
        if self.all.get(&id).is_some_and(unused)
            && let Some(remote) = self.all.remove(&id)
        {
            self.names.remove(&remote.name);
            self.ask(Wanted::Close(id));
        }
    }

    fn watch(&mut self, id: RemoteId, as_text: bool) {
        if let Some(remote) = self.all.get_mut(&id)
            && remote.info.is_some_and(|info| info.readable)
            && !std::mem::replace(&mut remote.watched[usize::from(as_text)], true)
        {
            self.ask(Wanted::Watch(id, as_text));
        }
    }

    /// Asks once for each connection what units, digits and limits a PV has that links lead to. Texts have none.
    fn describe(&mut self, id: RemoteId) {
        if let Some(remote) = self.all.get_mut(&id)
            && !remote.users.is_empty()
            && remote
                .info
                .is_some_and(|info| info.readable && info.native != NativeType::String)
            && !std::mem::replace(&mut remote.asked, true)
        {
            self.ask(Wanted::Describe(id));
        }
    }

    /// A name that is in no link.
    fn name(&mut self, name: &str) {
        let id = self.open(name);
        let known = self
            .all
            .get_mut(&id)
            .is_none_or(|remote| std::mem::replace(&mut remote.named, true));
        if known {
            return;
        }
        self.named.push_back(id);
        if self.named.len() > MAX_NAMED
            && let Some(first) = self.named.pop_front()
        {
            if let Some(remote) = self.all.get_mut(&first) {
                remote.named = false;
            }
            self.close_unused(first);
        }
    }
}

impl Records {
    /// A driver does from now on what links to PVs of other IOCs want.
    pub fn attach_remote(&mut self) {
        let remotes = &mut self.remotes;
        if !std::mem::replace(&mut remotes.attached, true) {
            for remote in remotes.all.values_mut() {
                remote.watched = [false; 2];
                remote.asked = false;
            }
            let mut all: Vec<RemoteId> = remotes.all.keys().copied().collect();
            all.sort_unstable();
            remotes.requests.extend(all.into_iter().map(Wanted::Open));
        }
    }

    /// No driver does so any more: all such links are disconnected.
    pub fn detach_remote(&mut self) {
        self.remotes.attached = false;
        self.remotes.requests.clear();
        let mut all: Vec<RemoteId> = self.remotes.all.keys().copied().collect();
        all.sort_unstable();
        for id in all {
            self.remote_disconnected(id);
        }
        for (_, id, stage) in std::mem::take(&mut self.remotes.waits).iter() {
            self.chain.roots.push_back(Root::Resume(id, stage));
        }
    }

    /// Whether links lead to PVs of other IOCs, or records read such by their names.
    pub fn has_remote_links(&self) -> bool {
        !self.remotes.all.is_empty()
    }

    /// Whether the driver has something to do.
    pub fn has_remote_requests(&self) -> bool {
        !self.remotes.requests.is_empty()
    }

    /// What the driver has to do next.
    pub fn poll_remote(&mut self) -> Option<RemoteRequest> {
        loop {
            match self.remotes.requests.pop_front()? {
                Wanted::Open(id) => {
                    if let Some(remote) = self.remotes.all.get(&id) {
                        let name = remote.name.clone();
                        return Some(RemoteRequest::Open { id, name });
                    }
                }
                Wanted::Watch(id, as_text) => return Some(RemoteRequest::Watch { id, as_text }),
                Wanted::Describe(id) => return Some(RemoteRequest::Describe { id }),
                Wanted::Put(id) => {
                    let remote = self.remotes.all.get_mut(&id);
                    if let Some(val) = remote.and_then(|remote| remote.put.take()) {
                        let (value, wait) = (to_value(&val, usize::MAX), None);
                        return Some(RemoteRequest::Put { id, value, wait });
                    }
                }
                Wanted::PutAndWait(id, value, number) => {
                    let wait = Some(number);
                    return Some(RemoteRequest::Put { id, value, wait });
                }
                Wanted::Close(id) => return Some(RemoteRequest::Close { id }),
            }
        }
    }

    /// A PV is connected, or something about it is another.
    pub fn remote_connected(&mut self, id: RemoteId, info: RemoteInfo) {
        let Some(remote) = self.remotes.all.get_mut(&id) else {
            return;
        };
        if remote.info.replace(info).is_none() {
            // What it was before it was lost is not what it is.
            remote.values = [None, None];
            remote.meta = None;
            remote.asked = false;
        }
        // Before its first value.
        self.remotes.describe(id);
        let Some(remote) = self.remotes.all.get(&id) else {
            return;
        };
        let reads = remote.named || !remote.users.is_empty();
        // Links that are written only get values too, which they do not look at; there are few of them.
        if reads {
            self.remotes.watch(id, false);
        }
    }

    /// A PV is not connected any more. What was subscribed stays so: the driver goes on when it is connected again.
    pub fn remote_disconnected(&mut self, id: RemoteId) {
        let Some(remote) = self.remotes.all.get_mut(&id) else {
            return;
        };
        if remote.info.take().is_none() {
            return;
        }
        remote.values = [None, None];
        remote.meta = None;
        remote.asked = false;
        remote.put = None;
        // Who follows it is processed, and finds it gone.
        self.follow_remote(id);
    }

    /// A subscription gives a value.
    pub fn remote_update(&mut self, id: RemoteId, as_text: bool, value: &RemoteUpdate) {
        let Some(remote) = self.remotes.all.get_mut(&id) else {
            return;
        };
        remote.values[usize::from(as_text)] = Some(RemoteValue {
            val: from_client(value.value.as_ref()),
            stat: value.stat,
            sevr: value.sevr,
            time: value.time,
        });
        // Both kinds of subscription do so in the reference, too.
        self.follow_remote(id);
    }

    /// What a client was told of a PV's units, digits and limits.
    pub fn remote_described(&mut self, id: RemoteId, meta: Meta) {
        if let Some(remote) = self.remotes.all.get_mut(&id)
            && remote.info.is_some()
        {
            remote.meta = Some(Box::new(meta));
        }
    }

    /// Units, digits and limits of a PV of another IOC, once they are known (`dbCaGetUnits` and others).
    pub(super) fn remote_meta(&self, name: &str) -> Option<&Meta> {
        let (_, remote, _) = self.remotes.connected(name)?;
        remote.meta.as_deref()
    }

    /// What a put has set in motion is done, or the put has failed.
    pub fn remote_put_done(&mut self, wait: u64) {
        if let Some((id, stage)) = self.remotes.waits.remove(wait) {
            self.chain.roots.push_back(Root::Resume(id, stage));
        }
    }

    fn follow_remote(&mut self, id: RemoteId) {
        let Some(remote) = self.remotes.all.get(&id) else {
            return;
        };
        let users = remote.users.iter();
        let followers: Vec<_> = users
            .filter_map(|(&(id, link), when)| Some((id, link, (*when)?)))
            .collect();
        for (id, link, when) in followers {
            self.follow_once(id, link, when);
        }
    }

    /// A link leads to a PV of another IOC.
    pub(super) fn use_remote(&mut self, id: Id, link: u16, name: &str, when: Option<When>) {
        let remote = self.remotes.open(name);
        if let Some(known) = self.remotes.all.get_mut(&remote) {
            known.users.insert((id, link), when);
            if let (Some(when), Some(_)) = (when, &known.values[0]) {
                self.follow_once(id, link, when);
            }
        }
        self.remotes.describe(remote);
        self.remotes.watch(remote, false);
    }

    /// A link leads there no more.
    pub(super) fn leave_remote(&mut self, id: Id, link: u16, name: &str) {
        if let Some(&remote) = self.remotes.names.get(name) {
            if let Some(known) = self.remotes.all.get_mut(&remote) {
                known.users.remove(&(id, link));
            }
            self.remotes.close_unused(remote);
        }
        self.seen.remove(&(id, link));
    }

    /// Whether a link to a PV of another IOC follows it.
    pub(super) fn follows_abroad(&self, id: Id, link: u16) -> Option<When> {
        let name = self.remote_name(id, link)?;
        let remote = self.remotes.names.get(&name)?;
        *self.remotes.all.get(remote)?.users.get(&(id, link))?
    }

    /// Links that lead to a record, or would if there were one of this name.
    pub(super) fn links_abroad(&self, record: &str) -> Vec<(Id, u16)> {
        let names = &self.remotes.names;
        let own = names.get_key_value(record);
        // `.` is followed by `/`.
        let (from, to) = (format!("{record}."), format!("{record}/"));
        let bounds = (Bound::Included(from.as_str()), Bound::Excluded(to.as_str()));
        let fields = names.range::<str, _>(bounds);
        let remotes = own.into_iter().chain(fields);
        let remotes = remotes.filter_map(|(_, id)| self.remotes.all.get(id));
        remotes
            .flat_map(|remote| remote.users.keys().copied())
            .collect()
    }

    /// The newest value of a PV of another IOC, for a link that reads it as this type.
    pub(super) fn read_remote(&mut self, name: &str, to: Dbf) -> Option<RemoteValue> {
        let (id, remote, info) = self.remotes.connected(name)?;
        let as_text = to == Dbf::String && info.native == NativeType::Enum;
        match &remote.values[usize::from(as_text)] {
            Some(value) => Some(value.clone()),
            None => {
                self.remotes.watch(id, as_text);
                None
            }
        }
    }

    /// The same for a PV that no link leads to.
    pub(super) fn read_named(&mut self, name: &str, to: Dbf) -> Option<RemoteValue> {
        self.remotes.name(name);
        self.read_remote(name, to)
    }

    /// Type and room of a PV of another IOC.
    pub(super) fn remote_shape(&self, name: &str) -> Option<(Dbf, usize)> {
        let (_, _, info) = self.remotes.connected(name)?;
        Some((dbf(info.native), info.count as usize))
    }

    /// When the value of a PV of another IOC was posted.
    pub(super) fn remote_time(&self, name: &str) -> Option<Timestamp> {
        let (_, remote, _) = self.remotes.connected(name)?;
        remote.values[0].as_ref().map(|value| value.time)
    }

    /// Writes a PV of another IOC; whether it is connected and can be written.
    pub(super) fn put_remote_pv(&mut self, name: &str, val: &Val) -> bool {
        let Some((id, _, info)) = self.remotes.connected(name) else {
            return false;
        };
        if !info.writable {
            return false;
        }
        let first = self
            .remotes
            .find(name)
            .is_some_and(|remote| remote.put.replace(val.clone()).is_none());
        if first {
            self.remotes.ask(Wanted::Put(id));
        }
        true
    }

    /// Writes a PV of another IOC for a record, which goes on with a stage when all is done that this sets in
    /// motion; whether it is connected and can be written.
    pub(super) fn put_remote_and_wait(
        &mut self,
        from: Id,
        stage: u8,
        name: &str,
        val: &Val,
    ) -> bool {
        let Some((id, _, info)) = self.remotes.connected(name) else {
            return false;
        };
        if !info.writable {
            return false;
        }
        let number = self.remotes.next;
        self.remotes.next += 1;
        self.remotes.waits.insert(number, from, stage);
        let value = to_value(val, usize::MAX);
        self.remotes.ask(Wanted::PutAndWait(id, value, number));
        true
    }

    /// A record that is gone waits for nothing.
    pub(super) fn forget_remote_waits(&mut self, id: Id) {
        self.remotes.waits.forget(id);
    }
}

/// A value as a client got it.
#[derive(Clone, PartialEq, Debug)]
pub struct RemoteUpdate {
    /// The value.
    pub value: Value,
    /// Status of its alarm.
    pub stat: u16,
    /// Severity of its alarm.
    pub sevr: u16,
    /// When it was posted.
    pub time: Timestamp,
}
