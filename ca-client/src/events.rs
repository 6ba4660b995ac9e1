//! News of a client that belong to no single operation, as a stream.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::poll_fn;
use std::net::SocketAddrV4;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ca_net::WakerList;
use ca_proto::access::AccessRights;
use ca_proto::client::{Client as Core, CloseReason, Event, Trouble, Violation};
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::{EcaStatus, Instant};
use futures_core::Stream;
use tracing::Span;

use crate::spans::Spans;
use crate::sync::{Mutex, MutexGuard};

/// Events that wait for their reader; the oldest make room for new ones.
const MAX_WAITING: usize = 1024;

/// Log lines in [`LOG_SPAN`]; more are counted, not written: servers and forgers cause them.
const MAX_LINES: u32 = 20;
const LOG_SPAN: Duration = Duration::from_secs(10);
/// Lines that wait for the end of a turn; what happens to channels beyond them is not told.
const MAX_KEPT: usize = 16_384;

/// News of a client that belong to no single operation. They are also in the log, except for
/// the first three.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A channel can be used.
    Connected {
        /// Name of the PV.
        pv: String,
    },
    /// A channel was lost, or did not come about after a server was found; it is searched again.
    Disconnected {
        /// Name of the PV.
        pv: String,
        /// The server.
        server: Option<SocketAddrV4>,
        /// What happened.
        why: Trouble,
    },
    /// The rights of a connected channel changed.
    AccessRights {
        /// Name of the PV.
        pv: String,
        /// The new rights.
        rights: AccessRights,
    },
    /// A second server has the same PV.
    Duplicate {
        /// Name of the PV.
        pv: String,
        /// Server in use.
        kept: SocketAddrV4,
        /// Server that is not used.
        ignored: SocketAddrV4,
    },
    /// A search was answered with an address that no server can have; the answer is ignored.
    BadAddress {
        /// Name of the PV.
        pv: String,
        /// Who answered.
        from: SocketAddrV4,
        /// Where the server is said to be.
        named: SocketAddrV4,
    },
    /// A server reported a failure that belongs to nothing that waits, mostly of a write without
    /// completion.
    Exception {
        /// Name of the PV, if the server named one.
        pv: Option<String>,
        /// The server.
        server: SocketAddrV4,
        /// The server's status.
        status: EcaStatus,
        /// The server's text.
        text: String,
    },
    /// A server does not answer any more; its connection is kept.
    Unresponsive {
        /// The server.
        server: SocketAddrV4,
    },
    /// An unresponsive server answered again.
    Responsive {
        /// The server.
        server: SocketAddrV4,
    },
    /// A circuit was lost.
    CircuitClosed {
        /// The server.
        server: SocketAddrV4,
        /// What happened.
        why: CloseReason,
    },
    /// A server broke the protocol; its circuit is closed.
    Violation {
        /// The server.
        server: SocketAddrV4,
        /// What it did.
        violation: Violation,
    },
    /// A server was found and not connected to, because there are as many circuits as there may be
    /// ([`ClientParams::max_circuits`](ca_proto::config::ClientParams::max_circuits) and
    /// `max_dials`). Told once in 10 s at most.
    TooManyCircuits {
        /// The server.
        server: SocketAddrV4,
        /// Name of the setting.
        setting: &'static str,
    },
    /// There is neither a search address nor a name server.
    NoSearchAddress,
    /// No repeater answers; beacons are not heard, and restarted servers are found later.
    NoRepeater,
}

impl ClientEvent {
    fn new(event: Event, core: &Core) -> Option<Self> {
        let name = |cid: Cid| core.channel(cid).map(|view| view.name.to_text());
        let known = |cid| name(cid).unwrap_or_default();
        Some(match event {
            Event::Connected { cid } => Self::Connected { pv: known(cid) },
            Event::Disconnected { cid, why } | Event::NotConnected { cid, why } => {
                let pv = known(cid);
                let server = core.channel(cid).and_then(|view| view.trouble_at);
                Self::Disconnected { pv, server, why }
            }
            Event::AccessRights { cid, rights } => {
                let pv = known(cid);
                Self::AccessRights { pv, rights }
            }
            Event::Duplicate { cid, kept, ignored } => Self::Duplicate {
                pv: known(cid),
                kept,
                ignored,
            },
            Event::BadAddress { cid, from, named } => Self::BadAddress {
                pv: known(cid),
                from,
                named,
            },
            Event::Exception {
                cid,
                addr,
                status,
                text,
                ..
            } => Self::Exception {
                pv: cid.and_then(name),
                server: addr,
                status,
                text,
            },
            Event::Unresponsive { addr, .. } => Self::Unresponsive { server: addr },
            Event::Responsive { addr, .. } => Self::Responsive { server: addr },
            Event::CircuitClosed { addr, why, .. } => Self::CircuitClosed { server: addr, why },
            Event::Violation {
                addr, violation, ..
            } => Self::Violation {
                server: addr,
                violation,
            },
            Event::TooManyCircuits { addr, setting } => Self::TooManyCircuits {
                server: addr,
                setting,
            },
            Event::NoSearchAddress => Self::NoSearchAddress,
            Event::NoRepeater => Self::NoRepeater,
            _ => return None,
        })
    }

    /// The channel that an event is about.
    const fn channel(event: &Event) -> Option<Cid> {
        match event {
            Event::Connected { cid }
            | Event::Disconnected { cid, .. }
            | Event::NotConnected { cid, .. }
            | Event::AccessRights { cid, .. }
            | Event::BadAddress { cid, .. }
            | Event::Duplicate { cid, .. } => Some(*cid),
            Event::Exception { cid, .. } => *cid,
            _ => None,
        }
    }

    /// The circuit all of whose channels an event is about.
    const fn circuit(event: &Event) -> Option<CircuitId> {
        match event {
            Event::Unresponsive { circuit, .. } | Event::Responsive { circuit, .. } => {
                Some(*circuit)
            }
            _ => None,
        }
    }

    /// Channels come and go by the thousand; that is no news for a log.
    const fn is_about_a_channel(event: &Event) -> bool {
        matches!(
            event,
            Event::Connected { .. }
                | Event::Disconnected { .. }
                | Event::NotConnected { .. }
                | Event::AccessRights { .. }
        )
    }
}

impl fmt::Display for ClientEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected { pv } => write!(f, "\"{pv}\" is connected"),
            Self::Disconnected {
                pv,
                server: Some(server),
                why,
            } => write!(f, "\"{pv}\" is not connected to {server}: {why}"),
            Self::Disconnected { pv, why, .. } => write!(f, "\"{pv}\" is not connected: {why}"),
            Self::AccessRights { pv, rights } => write!(f, "\"{pv}\" has the rights {rights:?}"),
            Self::Duplicate { pv, kept, ignored } => {
                write!(f, "\"{pv}\" is on {kept}, which is used, and on {ignored}")
            }
            Self::BadAddress { pv, from, named } => write!(
                f,
                "{from} says that \"{pv}\" is on {named}, which is no address of a server"
            ),
            Self::Exception {
                pv,
                server,
                status,
                text,
            } => {
                write!(f, "{server} reports ")?;
                if let Some(pv) = pv {
                    write!(f, "for \"{pv}\" ")?;
                }
                write!(f, "{status}")?;
                // rsrv sends the name of the PV, which is there already.
                if text.is_empty() || pv.as_ref() == Some(text) {
                    return Ok(());
                }
                write!(f, ": {text}")
            }
            Self::Unresponsive { server } => write!(f, "{server} does not answer any more"),
            Self::Responsive { server } => write!(f, "{server} answers again"),
            Self::CircuitClosed { server, why } => write!(f, "circuit to {server}: {why}"),
            Self::Violation {
                server,
                violation: violation @ Violation::NotChannelAccess(_),
            } => write!(f, "what listens at {server} is no server: {violation}"),
            Self::Violation { server, violation } => {
                write!(
                    f,
                    "{server} broke the protocol, its circuit is closed: {violation}"
                )
            }
            Self::TooManyCircuits { server, setting } => write!(
                f,
                "{server} is not connected to: there are too many circuits ({setting})"
            ),
            Self::NoSearchAddress => f.write_str("there is nowhere to search for PVs"),
            Self::NoRepeater => f.write_str("no repeater answers; beacons are not heard"),
        }
    }
}

/// How much was written to the log of late.
#[derive(Debug, Default)]
struct Log {
    until: Instant,
    lines: u32,
    /// What is to be written once the client is not locked any more, so that a log that is slow holds up
    /// nobody else; not more than may be written in a span.
    kept: Vec<LogLine>,
}

/// A line of the log.
#[derive(Debug)]
pub(crate) struct LogLine {
    weight: Weight,
    text: String,
}

/// How a line of the log is to be taken.
#[derive(Debug)]
enum Weight {
    Warning,
    Info,
    /// Of interest to who watches this channel.
    Of(Span),
}

/// Writes what was to be logged under the lock.
#[cold]
pub(crate) fn write(log: Vec<LogLine>) {
    for LogLine { weight, text } in log {
        match weight {
            Weight::Warning => tracing::warn!("{text}"),
            Weight::Info => tracing::info!("{text}"),
            Weight::Of(span) => tracing::debug!(parent: &span, "{text}"),
        }
    }
}

impl Log {
    fn may_write(&mut self, now: Instant) -> bool {
        if now >= self.until {
            if let Some(unsaid @ 1..) = self.lines.checked_sub(MAX_LINES) {
                let text = format!("{unsaid} more messages like the last were not written");
                self.keep(Weight::Warning, text);
            }
            self.until = now + LOG_SPAN;
            self.lines = 0;
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= MAX_LINES
    }

    fn keep(&mut self, weight: Weight, text: String) {
        self.kept.push(LogLine { weight, text });
    }

    /// Keeps what happened to a channel, but no more than there is to be room for.
    fn keep_of(&mut self, span: &Span, event: &ClientEvent) {
        if self.kept.len() < MAX_KEPT {
            self.keep(Weight::Of(span.clone()), event.to_string());
        }
    }
}

/// Who listens to a client. An event of a channel costs what its own listeners cost, however many
/// other channels have some.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// To all events.
    all: Vec<Weak<Slot>>,
    /// To those of a channel; in order, so that a story repeats itself.
    channels: BTreeMap<Cid, Vec<Weak<Slot>>>,
    /// Channels with listeners beyond which those that are gone are looked for.
    sweep_at: usize,
    log: Log,
    /// Of channels, where somebody wants them.
    pub(crate) spans: Spans,
}

/// Channels with listeners below which it is not worth to look for those that are gone.
const MIN_SWEEP: usize = 64;

impl Listeners {
    /// Of all events, or of those of a channel.
    pub(crate) fn add(&mut self, of: Option<Cid>) -> Events {
        let slot = Arc::<Slot>::default();
        let list = match of {
            None => &mut self.all,
            Some(cid) => {
                self.sweep();
                self.channels.entry(cid).or_default()
            }
        };
        retain_live(list);
        list.push(Arc::downgrade(&slot));
        Events(slot)
    }

    /// The lines to be [written](write) when the client is not locked any more.
    #[inline]
    pub(crate) fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.log.kept)
    }

    /// Forgets listeners that are gone, so seldom that each is looked at a few times in all.
    fn sweep(&mut self) {
        if self.channels.len() < self.sweep_at.max(MIN_SWEEP) {
            return;
        }
        self.channels.retain(|_, list| retain_live(list));
        self.sweep_at = 2 * self.channels.len();
    }

    /// Logs an event and hands it on.
    pub(crate) fn tell(&mut self, now: Instant, event: Event, core: &Core, wakers: &mut WakerList) {
        let log = !ClientEvent::is_about_a_channel(&event);
        let about = ClientEvent::channel(&event);
        let nobody = self.all.is_empty()
            && about.is_some_and(|cid| self.channels.get(&cid).is_none_or(Vec::is_empty));
        let span = about.and_then(|cid| self.spans.get(cid));
        if !log && nobody && span.is_none() {
            return;
        }
        let circuit = ClientEvent::circuit(&event);
        let Some(event) = ClientEvent::new(event, core) else {
            return;
        };
        if let Some(span) = span {
            self.log.keep_of(span, &event);
        }
        match event {
            _ if !log || !self.log.may_write(now) => {}
            ClientEvent::Responsive { .. } | ClientEvent::CircuitClosed { .. } => {
                self.log.keep(Weight::Info, event.to_string());
            }
            _ => self.log.keep(Weight::Warning, event.to_string()),
        }
        push_all(&mut self.all, &event, wakers);
        if let Some(list) = about.and_then(|cid| self.channels.get_mut(&cid)) {
            push_all(list, &event, wakers);
        }
        if circuit.is_some() {
            let on_it = |cid: &Cid| core.circuit_of(*cid) == circuit;
            let lists = self.channels.iter_mut().filter(|(cid, _)| on_it(cid));
            lists.for_each(|(_, list)| push_all(list, &event, wakers));
        }
    }

    pub(crate) fn end(&mut self, wakers: &mut WakerList) {
        let channels = std::mem::take(&mut self.channels);
        let all = self.all.drain(..).chain(channels.into_values().flatten());
        for slot in all.filter_map(|slot| slot.upgrade()) {
            let mut inner = slot.lock();
            inner.ended = true;
            wakers.extend(inner.waker.take());
        }
    }
}

/// Forgets listeners that are gone; false if none is left.
fn retain_live(list: &mut Vec<Weak<Slot>>) -> bool {
    list.retain(|slot| slot.strong_count() > 0);
    !list.is_empty()
}

fn push_all(list: &mut Vec<Weak<Slot>>, event: &ClientEvent, wakers: &mut WakerList) {
    list.retain(|listener| {
        let slot = listener.upgrade();
        slot.is_some_and(|slot| slot.push(event.clone(), wakers))
    });
}

#[derive(Debug, Default)]
pub(crate) struct Slot(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    queue: VecDeque<ClientEvent>,
    waker: Option<Waker>,
    lost: u64,
    ended: bool,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Always true: the listener is there.
    fn push(&self, event: ClientEvent, wakers: &mut WakerList) -> bool {
        let mut inner = self.lock();
        if inner.queue.len() >= MAX_WAITING {
            inner.queue.pop_front();
            inner.lost += 1;
        }
        inner.queue.push_back(event);
        wakers.extend(inner.waker.take());
        true
    }

    fn poll(&self, waker: &Waker) -> Poll<Option<ClientEvent>> {
        let mut inner = self.lock();
        if let Some(event) = inner.queue.pop_front() {
            return Poll::Ready(Some(event));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        let old = inner.waker.replace(waker.clone());
        drop(inner);
        drop(old);
        Poll::Pending
    }
}

/// The events of a client from the call of [`Client::events`](crate::Client::events) on, or those of
/// a channel ([`Channel::changes`](crate::Channel::changes)), as a [`Stream`] or with
/// [`next`](Self::next). At most 1024 wait for their reader. It ends when the
/// client is closed, and does not keep it open.
#[derive(Debug)]
pub struct Events(Arc<Slot>);

impl Events {
    /// Waits for the next event; `None` after the client was closed.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        poll_fn(|cx| self.0.poll(cx.waker())).await
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.0.lock().queue.pop_front()
    }

    /// Events that were dropped because they were not read.
    pub fn lost(&self) -> u64 {
        self.0.lock().lost
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // The client may hold the slot for a moment longer, under its lock; it must not be the one
        // who drops the waker.
        let _waker = self.0.lock().waker.take();
    }
}

impl Stream for Events {
    type Item = ClientEvent;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ClientEvent>> {
        self.0.poll(cx.waker())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_that_are_gone_are_forgotten() {
        let mut listeners = Listeners::default();
        let kept = listeners.add(Some(Cid(0)));
        for n in 1..10_000 {
            drop(listeners.add(Some(Cid(n))));
            assert!(listeners.channels.len() <= 2 * MIN_SWEEP, "{n}");
        }
        assert!(listeners.channels.contains_key(&Cid(0)));
        drop(kept);
    }
}
