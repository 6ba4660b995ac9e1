//! Promises that hold after every operation, when a world has settled, and when it has ended.
//!
//! Numbers are those of the invariants in the design. Those about single deliveries (2, what is
//! skipped of 4, 5, rights, searches) are checked by [`ClientHost`] itself, that about timeouts (6) by the
//! [`World`], that
//! about windows by the network; 1 and 8 compare whole runs.

use std::collections::BTreeMap;

use ca_proto::client::Token;
use ca_proto::wire::message::EventMask;

use crate::api::{ClientId, IocId, number};
use crate::host::{ClientHost, IocHost};
use crate::world::World;

/// Bytes that a core or its driver may have waiting on one circuit: the high-water mark of the
/// client and one message (7).
const MAX_QUEUED: usize = (256 << 10) + (16 << 10);
/// Bytes that a server's driver may hold of what a client sent: one read and one message.
const MAX_BACKLOG: usize = (64 << 10) + (16 << 10);

/// What was checked already.
#[derive(Debug, Default)]
pub struct Checker {
    /// Updates looked at, and the place of the last one in the history of its PV.
    seen: BTreeMap<(ClientId, Token), (usize, usize)>,
    updates: usize,
}

impl Checker {
    /// Updates looked at.
    pub const fn updates(&self) -> usize {
        self.updates
    }

    /// Promises that hold at any moment. With `honest` also those that a hostile server can break:
    /// values shown were posted, in this order (4).
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(
        &mut self,
        w: &World,
        clients: &[ClientId],
        iocs: &[IocId],
        honest: bool,
    ) -> Result<(), String> {
        for &client in clients {
            let host = w.host::<ClientHost>(client);
            if host.queued() > MAX_QUEUED {
                return Err(format!("{client:?} queues {} bytes", host.queued()));
            }
            self.check_values(w, client, host, iocs, honest)?;
        }
        for &ioc in iocs {
            let (out, backlog) = w.host::<IocHost>(ioc).queued();
            if out > MAX_QUEUED || backlog > MAX_BACKLOG {
                return Err(format!("{ioc:?} queues {out} and {backlog} bytes"));
            }
        }
        Ok(())
    }

    fn check_values(
        &mut self,
        w: &World,
        client: ClientId,
        host: &ClientHost,
        iocs: &[IocId],
        honest: bool,
    ) -> Result<(), String> {
        for (token, sub) in host.subs() {
            let (done, place) = self.seen.entry((client, token)).or_default();
            for update in &sub.updates[*done..] {
                self.updates += 1;
                if update.reading.is_none() || !honest {
                    continue;
                }
                let value = number(update.reading.as_ref());
                let at = iocs.iter().find_map(|ioc| {
                    let history = ioc.history(w, &sub.name);
                    history
                        .iter()
                        .position(|posted| first(posted.as_ref()) == value)
                });
                let Some(at) = at else {
                    return Err(format!(
                        "{client:?} was shown {value} for {}, which was never posted",
                        sub.name
                    ));
                };
                if at < *place {
                    return Err(format!(
                        "{client:?} was shown {value} for {} after a later value",
                        sub.name
                    ));
                }
                // A refresh may overtake updates that wait in the server: requests are answered
                // beside its event queue (`PROTOCOL.md`, facts verified on the wire). They follow it, in
                // order.
                if !update.refresh {
                    *place = at;
                }
            }
            *done = sub.updates.len();
        }
        Ok(())
    }

    /// Promises that hold once all faults are gone and everybody had time: everything answered (2),
    /// everything connected, last values seen (3).
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_settled(
        &self,
        w: &World,
        clients: &[ClientId],
        iocs: &[IocId],
    ) -> Result<(), String> {
        for &client in clients {
            let host = w.host::<ClientHost>(client);
            if let Some((token, name)) = host.unanswered().next() {
                return Err(format!("{token:?} of {client:?} on {name} has no answer"));
            }
            for name in host.names() {
                let served = value_of(w, iocs, name).is_some();
                if served != host.is_connected(name) {
                    return Err(format!(
                        "{client:?}: {name} connected: {}, served: {served}",
                        !served
                    ));
                }
            }
            for (token, sub) in host.subs().filter(|(_, sub)| !sub.cancelled) {
                let Some(value) = value_of(w, iocs, &sub.name) else {
                    continue;
                };
                let watches = EventMask(1 | 2);
                if !sub.spec.mask.intersects(watches) {
                    continue;
                }
                let last = number(sub.updates.last().and_then(|u| u.reading.as_ref()));
                if last != value {
                    return Err(format!(
                        "{client:?}, {token:?} on {}: last update {last}, value {value}",
                        sub.name
                    ));
                }
            }
        }
        Ok(())
    }

    /// After every client was shut down nothing is left of it, anywhere.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check_ended(
        &self,
        w: &World,
        clients: &[ClientId],
        iocs: &[IocId],
    ) -> Result<(), String> {
        for &client in clients {
            let host = w.host::<ClientHost>(client);
            let streams = (host.streams(), w.net.open_streams(client));
            if streams != (0, 0) {
                return Err(format!("{client:?} has {streams:?} streams left"));
            }
        }
        for &ioc in iocs {
            let host = w.host::<IocHost>(ioc);
            let streams = (host.streams(), w.net.open_streams(ioc));
            if streams != (0, 0) {
                return Err(format!("{ioc:?} has {streams:?} streams left"));
            }
        }
        Ok(())
    }
}

fn value_of(w: &World, iocs: &[IocId], name: &str) -> Option<f64> {
    iocs.iter().find_map(|ioc| {
        let state = w.host::<IocHost>(*ioc).ioc().read(name).ok()?;
        Some(first(state.value.as_ref()))
    })
}

fn first(value: ca_proto::dbr::ValueRef<'_>) -> f64 {
    if let Some(mut doubles) = value.elements::<f64>() {
        return doubles.next().unwrap_or(f64::NAN);
    }
    let longs = value.elements::<i32>();
    longs
        .and_then(|mut longs| longs.next())
        .map_or(f64::NAN, f64::from)
}
