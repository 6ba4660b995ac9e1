//! What a check works with: circuits, sockets, and the PVs that were named.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use ca_proto::wire::Command;

use super::Target;
use super::bare::{Circuit, Reply, named};
use super::bytes::{self, MINOR};
use super::layout;
use super::log::Log;
use super::udp::Searcher;
use super::verdict::{Verdict, ensure, fail, skip};

/// Longest time one check takes.
const BUDGET: Duration = Duration::from_secs(8);
/// Status of success.
pub(super) const NORMAL: u32 = 1;
/// Values that the checks write differ from the initial one by at most this.
const STEPS: f64 = 8.0;

/// What a named PV is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    Pv,
    Array,
    Enum,
    Text,
    ReadOnly,
    Slow,
}

impl Role {
    /// The option that names the PV.
    pub(super) const fn option(self) -> &'static str {
        match self {
            Self::Pv => "--pv",
            Self::Array => "--array",
            Self::Enum => "--enum",
            Self::Text => "--string",
            Self::ReadOnly => "--readonly",
            Self::Slow => "--slow",
        }
    }
}

/// A channel of a circuit, as its server describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) cid: u32,
    pub(super) sid: u32,
    /// Native DBR type, 0 to 6.
    pub(super) native: u16,
    /// Native element count.
    pub(super) count: u32,
    /// Bit 0 read, bit 1 write.
    pub(super) rights: u32,
}

/// What a PV was before the checks.
#[derive(Clone, Debug)]
pub(super) struct Before {
    role: Role,
    native: u16,
    /// Elements it held.
    pub(super) length: u32,
    payload: Vec<u8>,
}

/// Everything the checks share.
#[derive(Debug)]
pub(super) struct Lab<'a> {
    pub(super) target: &'a Target,
    pub(super) log: Log,
    deadline: Cell<Instant>,
    before: RefCell<Vec<Before>>,
    dirty: RefCell<BTreeSet<Role>>,
    /// The value of `--pv`, and the distance of what is written to it.
    value: Cell<(f64, f64)>,
}

impl<'a> Lab<'a> {
    pub(super) fn new(target: &'a Target) -> Self {
        Self {
            target,
            log: Log::default(),
            deadline: Cell::new(Instant::now() + BUDGET),
            before: RefCell::default(),
            dirty: RefCell::default(),
            value: Cell::new((0.0, 1.0)),
        }
    }

    /// Begins a check: an empty transcript, all of the time.
    pub(super) fn begin(&self) {
        self.log.clear();
        self.deadline.set(Instant::now() + BUDGET);
    }

    pub(super) fn name(&self, role: Role) -> Verdict<&'a str> {
        self.target
            .name(role)
            .ok_or_else(|| skip(format!("no PV is named with {}", role.option())))
    }

    /// A connection on which nothing was sent.
    pub(super) fn connect(&self) -> Verdict<Circuit> {
        let patience = self.target.patience;
        Circuit::connect(self.target.tcp, &self.log, patience, self.deadline.get())
    }

    /// A circuit with its versions and names exchanged.
    pub(super) fn circuit(&self) -> Verdict<Circuit> {
        self.circuit_of(MINOR)
    }

    /// A circuit of a client of this minor version.
    pub(super) fn circuit_of(&self, minor: u16) -> Verdict<Circuit> {
        let mut circuit = self.connect()?;
        let mut hello = bytes::version(0, minor);
        hello.extend(bytes::names());
        circuit.send(&hello);
        circuit.next(Command::VERSION)?;
        Ok(circuit)
    }

    /// Creates a channel; fails if the server does not have the PV.
    pub(super) fn create(&self, circuit: &mut Circuit, name: &str) -> Verdict<Channel> {
        self.create_as(circuit, name, MINOR)
    }

    /// Creates a channel as a client of this minor version does.
    pub(super) fn create_as(&self, c: &mut Circuit, name: &str, minor: u16) -> Verdict<Channel> {
        let cid = c.id();
        c.send(&bytes::create(cid, minor, name));
        created(c, cid, name)
    }

    /// A fresh circuit with a channel.
    pub(super) fn open(&self, role: Role) -> Verdict<(Circuit, Channel)> {
        self.open_as(role, MINOR)
    }

    /// A fresh circuit of a client of this minor version, with a channel.
    pub(super) fn open_as(&self, role: Role, minor: u16) -> Verdict<(Circuit, Channel)> {
        let name = self.name(role)?;
        let mut circuit = self.circuit_of(minor)?;
        let channel = self.create_as(&mut circuit, name, minor)?;
        Ok((circuit, channel))
    }

    /// As [`open`](Self::open), for a PV that the check writes; it is restored afterwards.
    pub(super) fn open_to_write(&self, role: Role) -> Verdict<(Circuit, Channel)> {
        let (circuit, channel) = self.open(role)?;
        if channel.rights & 2 == 0 {
            return Err(skip(format!("{} is not writable", self.name(role)?)));
        }
        if self.before(role).is_none() {
            return Err(skip(format!("{} could not be saved", self.name(role)?)));
        }
        self.dirty.borrow_mut().insert(role);
        Ok((circuit, channel))
    }

    /// A socket that searches.
    pub(super) fn searcher(&self) -> Verdict<Searcher> {
        let Some(port) = self.target.udp_port else {
            return Err(skip("searching over UDP is switched off"));
        };
        let server = SocketAddrV4::new(*self.target.tcp.ip(), port);
        Searcher::open(
            server,
            self.name(Role::Pv)?,
            &self.log,
            self.target.patience,
        )
    }

    /// What a PV was before the checks.
    pub(super) fn before(&self, role: Role) -> Option<Before> {
        let before = self.before.borrow();
        before.iter().find(|known| known.role == role).cloned()
    }

    /// The value of `--pv` before the checks.
    pub(super) const fn value(&self) -> f64 {
        self.value.get().0
    }

    /// The n-th value, up to the eighth, that the checks write to `--pv`.
    pub(super) fn other(&self, n: u32) -> f64 {
        let (value, step) = self.value.get();
        value + step * f64::from(n)
    }

    /// Saves what the PVs hold.
    ///
    /// # Errors
    /// If `--pv` cannot be read or is no number.
    pub(super) fn prepare(&self) -> Verdict {
        self.begin();
        self.save(Role::Pv)?;
        for role in [Role::Array, Role::Enum, Role::Text, Role::Slow] {
            // Checks of a PV that cannot be saved say so themselves.
            let _ = self.save(role);
        }
        self.begin();
        self.scale()
    }

    fn save(&self, role: Role) -> Verdict {
        let (mut c, channel) = self.open(role)?;
        let mut reply = c.read(&channel, channel.native, 0)?;
        if reply.p1 != NORMAL || reply.command == Command::ERROR {
            reply = c.read(&channel, channel.native, channel.count)?;
        }
        ensure!(
            reply.command == Command::READ_NOTIFY && reply.p1 == NORMAL,
            "{} cannot be read: {}",
            self.name(role)?,
            reply.brief()
        );
        let (_, meta, size) = layout::LAYOUT[usize::from(channel.native.min(6))];
        let bytes = meta + size * reply.count as usize;
        self.before.borrow_mut().push(Before {
            role,
            native: channel.native,
            length: reply.count,
            payload: reply.payload.get(..bytes).unwrap_or_default().to_vec(),
        });
        Ok(())
    }

    /// Chooses what to write to `--pv`: values on that side of the current one where its control
    /// limits leave room.
    fn scale(&self) -> Verdict {
        let (mut c, channel) = self.open(Role::Pv)?;
        if matches!(channel.native, 0 | 3) || channel.count != 1 {
            return Err(skip("--pv has to name a single number"));
        }
        let reply = c.read(&channel, 34, 1)?;
        let (upper, value) = (layout::f64_at(&reply, 64), layout::f64_at(&reply, 80));
        let lower = layout::f64_at(&reply, 72);
        let step = if lower < upper && value + STEPS > upper {
            -1.0
        } else {
            1.0
        };
        self.value.set((value, step));
        Ok(())
    }

    /// Writes back what the checks have changed since the last call.
    ///
    /// # Errors
    /// If a value could not be written back.
    pub(super) fn restore(&self) -> Verdict {
        let dirty = self.dirty.take();
        for role in dirty {
            let Some(before) = self.before(role) else {
                continue;
            };
            self.deadline.set(Instant::now() + BUDGET);
            let (mut c, channel) = self.open(role)?;
            let (native, length) = (before.native, before.length);
            let reply = c.write_notify(&channel, native, length, &before.payload)?;
            ensure!(
                reply.p1 == NORMAL,
                "{} could not be restored: {}",
                self.name(role)?,
                named(reply.p1)
            );
        }
        Ok(())
    }
}

/// The channel that the server creates for this id.
///
/// # Errors
/// If it has no such PV.
pub(super) fn created(c: &mut Circuit, cid: u32, name: &str) -> Verdict<Channel> {
    let reply = c.find("an answer to CREATE_CHAN", |m| {
        m.p1 == cid && (m.command == Command::CREATE_CHAN || m.command == Command::CREATE_CH_FAIL)
    })?;
    if reply.command == Command::CREATE_CH_FAIL {
        return Err(fail(format!("the server has no PV {name}")));
    }
    let mine = |m: &Reply| m.command == Command::ACCESS_RIGHTS && m.p1 == cid;
    let rights = c.find("ACCESS_RIGHTS", mine)?.p2;
    Ok(Channel {
        cid,
        sid: reply.p2,
        native: reply.data_type,
        count: reply.count,
        rights,
    })
}

impl Circuit {
    /// `READ_NOTIFY` and its answer.
    pub(super) fn read(&mut self, channel: &Channel, ty: u16, count: u32) -> Verdict<Reply> {
        let id = self.id();
        let request = bytes::bare(Command::READ_NOTIFY, ty, count, channel.sid, id);
        self.ask(&request, Command::READ_NOTIFY, id)
    }

    /// A read that succeeds.
    pub(super) fn value(&mut self, channel: &Channel, ty: u16, count: u32) -> Verdict<Reply> {
        let reply = self.read(channel, ty, count)?;
        ensure!(
            reply.command == Command::READ_NOTIFY && reply.p1 == NORMAL,
            "type {ty} with count {count} cannot be read: {}",
            reply.brief()
        );
        Ok(reply)
    }

    /// The value as a number.
    pub(super) fn number(&mut self, channel: &Channel) -> Verdict<f64> {
        Ok(layout::f64_at(&self.value(channel, 6, 1)?, 0))
    }

    /// The value as text.
    pub(super) fn text(&mut self, channel: &Channel) -> Verdict<Vec<u8>> {
        let reply = self.value(channel, 0, 1)?;
        Ok(layout::until_nul(&reply.payload).to_vec())
    }

    /// `WRITE`, without waiting for anything.
    pub(super) fn write(&mut self, channel: &Channel, ty: u16, count: u32, payload: &[u8]) {
        let request = bytes::message(Command::WRITE, ty, count, channel.sid, channel.cid, payload);
        self.send(&request);
    }

    /// `WRITE` of a number as DOUBLE.
    pub(super) fn write_number(&mut self, channel: &Channel, value: f64) {
        self.write(channel, 6, 1, &value.to_be_bytes());
    }

    /// `WRITE_NOTIFY` and its answer.
    pub(super) fn write_notify(
        &mut self,
        channel: &Channel,
        ty: u16,
        count: u32,
        payload: &[u8],
    ) -> Verdict<Reply> {
        let id = self.id();
        let sid = channel.sid;
        let request = bytes::message(Command::WRITE_NOTIFY, ty, count, sid, id, payload);
        self.ask(&request, Command::WRITE_NOTIFY, id)
    }

    /// Subscribes and waits for nothing; the subscription's id.
    pub(super) fn subscribe(&mut self, channel: &Channel, ty: u16, count: u32, mask: u16) -> u32 {
        let id = self.id();
        self.send(&bytes::event_add(ty, count, channel.sid, id, mask));
        id
    }

    /// The next update of a subscription.
    pub(super) fn update(&mut self, id: u32) -> Verdict<Reply> {
        self.find("an update", |m| {
            m.command == Command::EVENT_ADD && m.p2 == id && m.payload_len > 0
        })
    }
}
