//! One client connection.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddrV4;

use super::account::Account;
use super::channels::{Channel, Channels};
use super::database::{Database, Identity};
use super::error::Violation;
use super::event_queue::EventQueue;
use super::limit::Limit;
use super::put_notify::Puts;
use super::reply::{Room, put_error};
use super::subscriptions::{Index, Subscriptions};
use super::turn::Turn;
use super::unfinished::Unfinished;
use crate::config::ServerParams;
use crate::dbr::DbrType;
use crate::ids::{Cid, CircuitId, Sid};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::{Command, Frame, FrameError, FrameLimits, Header, Minor, SendQueue, tcp};

/// Units of work that telling of changed rights may cost with each look for output.
const SWEEP_UNITS: usize = 1024;
/// Entries of tables that are looked at for a unit of work.
const LOOKED_AT: usize = 32;

/// What a [`Circuit`] did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CircuitStats {
    /// Messages received.
    pub requests: u64,
    /// `ERROR` replies queued.
    pub errors: u64,
    /// Updates that came from the database, first ones included.
    pub updates_posted: u64,
    /// Updates that took the place of an older one, which was never sent.
    pub updates_replaced: u64,
    /// Updates sent.
    pub updates_sent: u64,
    /// Times the client asked to hold updates back (`EVENTS_OFF`).
    pub flow_stops: u64,
}

/// The server's side of one TCP connection.
///
/// # Bounds
/// Channels, subscriptions and unfinished write-notifies have limits in [`ServerParams`]. Updates
/// wait in rings of fixed size. What all of them hold is charged to an [`Account`], and so is every
/// reply from 4 KiB on until the driver has dropped it; what exceeds it is refused
/// (`ECA_ALLOCMEM`), and updates wait. Small replies are not limited, so a driver must not hand in
/// frames while [`is_readable`](Self::is_readable) is false.
#[derive(Debug)]
pub struct Circuit {
    pub(super) params: Arc<ServerParams>,
    pub(super) id: CircuitId,
    /// Version of the client; 0 until it has announced one.
    pub(super) minor: Minor,
    /// What follows from version and limits.
    pub(super) room: Room,
    pub(super) priority: u8,
    /// Shared with the writes that wait.
    pub(super) identity: Arc<Identity>,
    /// Pays for everything.
    pub(super) account: Arc<Account>,
    /// Pays for write-notifies that wait.
    pub(super) put_account: Arc<Account>,
    /// Pays for large replies and updates until they have been sent.
    pub(super) out_account: Arc<Account>,
    /// What of `Self::heap` is charged.
    pub(super) charged: usize,
    /// Bytes that channels cost beyond their places in the table: names, and what the database keeps.
    pub(super) channel_bytes: usize,
    /// Bytes that the database keeps of all subscriptions.
    pub(super) sub_bytes: usize,
    /// Bytes of a message that has come in part.
    pub(super) input: usize,
    /// Messages that nobody asked for just now, and for which the queue has no room.
    pub(super) late: Vec<u8>,
    /// The next update is larger than what may be held at the moment.
    pub(super) starved: Option<Limit>,
    pub(super) channels: Channels,
    pub(super) subs: Subscriptions,
    pub(super) events: EventQueue,
    pub(super) puts: Puts,
    /// What could not be done at once.
    pub(super) unfinished: Option<Box<Unfinished>>,
    /// Subscriptions of channels that have many.
    pub(super) index: Option<Box<Index>>,
    /// Units of work that requests have cost beyond the one for each.
    pub(super) spent: usize,
    /// The circuit is being taken apart.
    pub(super) closing: bool,
    /// Index of the next channel to be closed.
    pub(super) closed: usize,
    /// The client broke the protocol; nothing it sends counts any more.
    pub(super) broken: bool,
    pub(super) out: SendQueue,
    pub(super) stats: CircuitStats,
    /// A limit that the last message met.
    pub(super) met: Option<Limit>,
}

impl Circuit {
    /// A circuit that was just accepted. Our version is queued at once, unasked
    /// (`tcp_version_action` of EPICS Base); clients of name servers wait for it.
    pub fn new(params: Arc<ServerParams>, id: CircuitId, peer: SocketAddrV4, now: Instant) -> Self {
        let account = Account::alone(&params);
        Self::with_account(params, id, peer, account, now)
    }

    /// As [`new`](Self::new), with an account that has a part in that of the peer's address.
    pub fn with_account(
        params: Arc<ServerParams>,
        id: CircuitId,
        peer: SocketAddrV4,
        account: Arc<Account>,
        _now: Instant,
    ) -> Self {
        let mut out = SendQueue::new();
        tcp::Response::Version {
            priority: 0,
            minor: Minor::CURRENT,
        }
        .encode(&mut out);
        Self {
            id,
            minor: Minor(0),
            room: Room::new(&params, Minor(0)),
            priority: 0,
            identity: Arc::new(Identity {
                user: Vec::new(),
                host: Vec::new(),
                peer,
            }),
            channels: Channels::new(),
            subs: Subscriptions::new(),
            events: EventQueue::new(&params, Arc::clone(&account)),
            put_account: account.part(
                Limit::WaitingPuts,
                params.max_waiting_put_bytes.min(params.max_message_bytes()) as usize,
            ),
            out_account: account.part(Limit::CircuitBytes, usize::MAX),
            account,
            charged: 0,
            channel_bytes: 0,
            sub_bytes: 0,
            input: 0,
            late: Vec::new(),
            starved: None,
            params,
            puts: Puts::new(),
            unfinished: None,
            index: None,
            spent: 0,
            closing: false,
            closed: 0,
            broken: false,
            out,
            stats: CircuitStats::default(),
            met: None,
        }
    }

    /// The circuit's identifier.
    pub const fn id(&self) -> CircuitId {
        self.id
    }

    /// The client's version: 4.0 until it has announced one, then the newest announced.
    pub const fn minor(&self) -> Minor {
        self.minor
    }

    /// The priority that the client asked for, 0 to 99. It has no effect inside a circuit.
    pub const fn priority(&self) -> u8 {
        self.priority
    }

    /// Who the client says it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Number of channels.
    pub const fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Number of subscriptions.
    pub const fn subscription_count(&self) -> usize {
        self.subs.len()
    }

    /// Counters since the circuit was accepted.
    pub const fn stats(&self) -> CircuitStats {
        self.stats
    }

    /// Whether [`take_limit`](Self::take_limit) would give a limit.
    pub const fn has_met_limit(&self) -> bool {
        self.met.is_some()
    }

    /// The limit that the last message met, once.
    pub const fn take_limit(&mut self) -> Option<Limit> {
        self.met.take()
    }

    /// Bytes that [refuse](Limit::Circuits) a connection for which there is no circuit: the version
    /// and an error, which the client shows to its user.
    pub fn refusal(limit: Limit) -> Vec<u8> {
        let mut out = SendQueue::new();
        tcp::Response::Version {
            priority: 0,
            minor: Minor::CURRENT,
        }
        .encode(&mut out);
        let (request, text) = (Header::new(Command::VERSION), format_args!("{limit}"));
        put_error(
            &mut out,
            Minor::CURRENT,
            &request,
            None,
            EcaStatus::MAXIOC,
            text,
        );
        out.to_vec()
    }

    /// What the deframer may accept. To be asked again after each frame, because requests change
    /// the client's version.
    pub const fn limits(&self) -> FrameLimits {
        self.room.limits()
    }

    /// Handles one message.
    ///
    /// # Errors
    /// [`Violation`] if the circuit has to be closed. An error reply may have been queued: the
    /// driver sends what [`transmit`](Self::transmit) gives, then closes. Further frames are
    /// ignored.
    pub fn handle_frame(
        &mut self,
        now: Instant,
        frame: &Result<Frame<'_>, FrameError>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        if self.broken {
            return Ok(());
        }
        self.stats.requests += 1;
        self.met = None;
        // hot: the frame stays where it was made. Its fields are so new that a move, which takes several at
        // once, would wait for them.
        let result = match frame {
            Ok(frame) => self.dispatch(now, frame, db),
            Err(FrameError::TooLarge(header)) => {
                self.met = Some(Limit::FrameSize);
                self.put_too_large(now, header, db);
                let cid = self.subject(header);
                let text = format_args!(
                    "{} of {} bytes exceeds the array limit of the server",
                    header.command, header.payload_len
                );
                self.error(header, cid, EcaStatus::TOLARGE, text);
                Ok(())
            }
            Err(FrameError::Misaligned(header)) => {
                let (command, len) = (header.command, header.payload_len);
                let text =
                    format_args!("{command} has {len} bytes of payload, not a multiple of 8");
                self.error(header, None, EcaStatus::INTERNAL, text);
                Err(Violation::Misaligned { command, len })
            }
            // Only datagrams have other errors.
            Err(_) => Ok(()),
        };
        self.broken = result.is_err();
        result
    }

    fn dispatch(
        &mut self,
        now: Instant,
        frame: &Frame<'_>,
        db: &mut (impl Database + ?Sized),
    ) -> Result<(), Violation> {
        let header = &frame.header;
        if self.minor < Minor::OLDEST && header.command != Command::VERSION {
            let text = format_args!("{} came before VERSION", header.command);
            self.error(header, None, EcaStatus::DEFUNCT, text);
            return Ok(());
        }
        // These need the payload in their own way, or not at all.
        match header.command {
            // hot: needs no more than the header.
            Command::READ_NOTIFY => return self.read_notify(header, db),
            Command::EVENT_ADD => return self.event_add(frame, db),
            Command::WRITE => return self.write(now, frame, db),
            Command::WRITE_NOTIFY => return self.write_notify(now, frame, db),
            Command::ECHO => {
                self.echo(frame);
                return Ok(());
            }
            _ => {}
        }
        use tcp::Request;
        match Request::parse(frame) {
            Ok(Request::Version {
                priority, minor, ..
            }) => self.version(priority, minor),
            Ok(Request::EventCancel { .. }) => self.event_cancel(header, db),
            Ok(Request::CreateChan { name, .. }) => self.create_chan(header, name, db),
            Ok(Request::ClearChannel { .. }) => self.clear_channel(header, db),
            Ok(Request::Search { minor, name, .. }) => self.search(header, minor, name, db),
            Ok(Request::ClientName { name } | Request::HostName { name }) => {
                self.name(header, name)
            }
            Ok(Request::EventsOff {}) => {
                self.stats.flow_stops += 1;
                self.spent += self.events.off() / LOOKED_AT;
                Ok(())
            }
            Ok(Request::EventsOn {}) => {
                self.spent += self.events.on() / LOOKED_AT;
                Ok(())
            }
            Ok(Request::Read { .. }) => self.read(header, db),
            Ok(Request::ReadSync { .. }) => {
                self.mirror(header);
                Ok(())
            }
            _ => {
                let text = format_args!("{} is no request", header.command);
                self.error(header, None, EcaStatus::INTERNAL, text);
                Err(Violation::UnknownCommand(header.command))
            }
        }
    }

    /// The channel a request speaks of; an unknown identifier is answered and ends the circuit.
    pub(super) fn channel(&mut self, header: &Header, sid: Sid) -> Result<&Channel, Violation> {
        if !self.channels.contains(sid) {
            return Err(self.no_channel(header, sid));
        }
        self.channels.get(sid).ok_or(Violation::UnknownSid {
            command: header.command,
            sid,
        })
    }

    #[cold]
    pub(super) fn no_channel(&mut self, header: &Header, sid: Sid) -> Violation {
        let command = header.command;
        let text = format_args!("{command} names unknown server id {sid}");
        self.error(header, None, EcaStatus::INTERNAL, text);
        Violation::UnknownSid { command, sid }
    }

    pub(super) fn check_type(&self, command: Command, ty: DbrType) -> Result<(), Violation> {
        match ty.is_valid() {
            true => Ok(()),
            false => Err(Violation::BadType { command, ty }),
        }
    }

    /// The client's name of the channel that a request speaks of (`send_err` of EPICS Base).
    pub(super) fn subject(&self, header: &Header) -> Option<Cid> {
        match header.command {
            Command::EVENT_ADD
            | Command::EVENT_CANCEL
            | Command::READ
            | Command::READ_NOTIFY
            | Command::WRITE
            | Command::WRITE_NOTIFY => self.channels.get(Sid(header.p1)).map(|c| c.cid),
            Command::SEARCH => Some(Cid(header.p1)),
            _ => None,
        }
    }

    pub(super) fn error(
        &mut self,
        request: &Header,
        cid: Option<Cid>,
        status: EcaStatus,
        text: fmt::Arguments<'_>,
    ) {
        self.stats.errors += 1;
        put_error(&mut self.out, self.minor, request, cid, status, text);
    }

    /// What is to be sent now. Updates are encoded as long as the queue is below
    /// [`ServerParams::send_high_water`]; call again when it has drained.
    pub fn transmit(&mut self, db: &(impl Database + ?Sized)) -> &mut SendQueue {
        self.convert(&mut Turn::unlimited(), db);
        self.transmit_some(db)
    }

    /// As [`transmit`](Self::transmit), in a turn: replies whose values take long to convert come when
    /// [`work`](Self::work) or later calls have made them.
    pub fn transmit_some(&mut self, db: &(impl Database + ?Sized)) -> &mut SendQueue {
        if !self.broken && !self.late.is_empty() {
            self.send_rest();
        }
        if self.unfinished.is_some() {
            // What is left of it is told before any update.
            let mut turn = Turn::new(SWEEP_UNITS);
            self.convert(&mut turn, db);
            self.sweep(&mut turn, db);
            self.forget_finished();
        }
        if !self.broken && !self.is_held() && !self.has_sweep() {
            self.deliver(db);
        }
        &mut self.out
    }

    /// What waits to be sent, without updates that [`transmit`](Self::transmit) would add.
    pub const fn queue_mut(&mut self) -> &mut SendQueue {
        &mut self.out
    }

    /// False while replies do not drain, or what requests have deleted is not yet taken apart: the driver
    /// stops reading, so that a client that sends but does not read slows itself down.
    pub fn is_readable(&self) -> bool {
        self.has_room() && !self.is_held()
    }

    /// Whether replies drain.
    pub fn has_room(&self) -> bool {
        self.out.len() < self.params.send_high_water && self.late.is_empty()
    }

    /// Units of work ([`Turn`]) that requests have cost since this was asked last, beyond one for each.
    pub const fn take_spent(&mut self) -> usize {
        core::mem::replace(&mut self.spent, 0)
    }

    /// The client broke the protocol, or cannot be told what has to be told: the circuit is to be closed.
    pub const fn is_broken(&self) -> bool {
        self.broken
    }

    /// Gives back the memory that a burst has left; for a circuit that had nothing to do for a while.
    pub fn release(&mut self) {
        self.out.release();
        self.events.release();
    }

    /// True if [`transmit`](Self::transmit) would give bytes.
    pub fn has_output(&self) -> bool {
        let held = self.unfinished.is_some() && (self.is_held() || self.has_sweep());
        !self.out.is_empty()
            || (!self.broken && (!self.late.is_empty() || (!held && self.events.has_output())))
    }

    /// Nothing on a server's circuit happens by time; there is no inactivity time-out
    /// (`destroy_tcp_client` of EPICS Base).
    pub fn handle_timeout(&mut self, _now: Instant, _db: &mut (impl Database + ?Sized)) {}

    /// When [`handle_timeout`](Self::handle_timeout) is to be called: never.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
