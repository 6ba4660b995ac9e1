//! Who wrote what, or wanted to: a hook that sees every put of a client.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use ca_proto::dbr::Snapshot;
use ca_proto::dbr::convert::PutValue;
use ca_proto::server::{Database as _, Identity, Put, PutOutcome, PutTicket, RefusedPut};
use ca_proto::{EcaStatus, Instant, Timestamp};

use crate::builder::IocBuilder;
use crate::db::{Db, Node, PvHandle};
use crate::field::Field;

/// A put, after it was carried out, refused, or begun; and the end of one that was begun.
#[derive(Debug)]
#[non_exhaustive]
pub struct PutReport<'a> {
    /// Time of the put.
    pub now: Instant,
    /// The time stamp that belongs to it.
    pub stamp: Timestamp,
    /// The PV.
    pub name: &'a str,
    /// The field of the PV, `VAL` for the value.
    pub field: &'a str,
    /// Who wrote, as the client says, and the address it came from.
    pub who: &'a Identity,
    /// What the client sent, in its type. `None` at the end of a put that was told before, and if it
    /// cannot be read: of a type that does not exist, or shorter than it says.
    pub sent: Option<PutValue<'a>>,
    /// Whether the client waits for completion.
    pub notify: bool,
    /// The state before.
    pub before: &'a Snapshot,
    /// The state after: what hooks and limits have made of the value. A put that waits behind
    /// another one has not changed it yet.
    pub after: &'a Snapshot,
    /// The result; [`PutOutcome::Pending`] for one that completes later, whose end is told by a
    /// report of its own. A client that went away before its put ended gives `ECA_DISCONN`.
    pub outcome: PutOutcome,
    /// For the end of a put that completed later: when it was told first. `before` and `after` are
    /// then the state at its end, for what was written to a field too.
    pub begun: Option<Instant>,
}

type Function = Box<dyn FnMut(&PutReport<'_>) + Send>;

/// A put log.
pub(crate) struct PutLog {
    tell: Function,
    /// Puts that complete later; at most as many as circuits may have.
    begun: BTreeMap<PutTicket, Begun>,
}

/// A put whose end is to be told.
struct Begun {
    now: Instant,
    handle: PvHandle,
    name: String,
    field: String,
    who: Identity,
}

impl fmt::Debug for PutLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutLog")
    }
}

impl IocBuilder {
    /// Tells `log` of each put by a client, also of those that are refused, and of the end of each
    /// that completes later. It runs while the IOC is locked, so it should hand the report on and not
    /// write files.
    ///
    /// # Examples
    /// ```
    /// use ca_server_sim::{Ioc, PvSpec};
    /// use std::sync::mpsc::sync_channel;
    ///
    /// let (send, lines) = sync_channel(1000); // bounded: what does not fit is left out
    /// let ioc = Ioc::builder().pv("gap", PvSpec::double(1.5)).put_log(move |put| {
    ///     let user = String::from_utf8_lossy(&put.who.user);
    ///     let _ = send.try_send(format!("{user} wrote {}: {:?}", put.name, put.outcome));
    /// });
    /// # let _ = (ioc.build()?, lines);
    /// # Ok::<(), ca_server_sim::BuildError>(())
    /// ```
    #[must_use]
    pub fn put_log(mut self, log: impl FnMut(&PutReport<'_>) + Send + 'static) -> Self {
        self.ioc.db.put_log = Some(PutLog {
            tell: Box::new(log),
            begun: BTreeMap::new(),
        });
        self
    }
}

impl Db {
    /// Carries out a put and tells the log of it.
    pub(crate) fn logged_put(
        &mut self,
        now: Instant,
        put: &Put<'_>,
        buffer: Option<&Bytes>,
    ) -> PutOutcome {
        let Some(mut log) = self.put_log.take() else {
            return self.client_put(now, put, buffer);
        };
        let before = self.read(put.pv).into_owned();
        let outcome = self.client_put(now, put, buffer);
        let after = self.read(put.pv).into_owned();
        let stamp = self.clock.stamp(now);
        if let Some((handle, record, view)) = self.target(put.pv) {
            let field = view.map_or(Field::Val, |view| view.field).name();
            (log.tell)(&PutReport {
                now,
                stamp,
                name: &record.name,
                field: &field,
                who: put.who,
                sent: Some(put.value),
                notify: put.notify.is_some(),
                before: &before,
                after: &after,
                outcome,
                begun: None,
            });
            if let (PutOutcome::Pending, Some(ticket)) = (outcome, put.notify) {
                let begun = Begun {
                    now,
                    handle,
                    name: record.name.to_string(),
                    field: field.to_string(),
                    who: put.who.clone(),
                };
                log.begun.insert(ticket, begun);
            }
        }
        self.put_log = Some(log);
        outcome
    }

    /// Tells the log of a put that the circuit refused.
    pub(crate) fn log_refused(&mut self, now: Instant, put: &RefusedPut<'_>) {
        let Some(mut log) = self.put_log.take() else {
            return;
        };
        let stamp = self.clock.stamp(now);
        let state = self.read(put.pv);
        if let Some((_, record, view)) = self.target(put.pv) {
            (log.tell)(&PutReport {
                now,
                stamp,
                name: &record.name,
                field: &view.map_or(Field::Val, |view| view.field).name(),
                who: put.who,
                sent: put.value,
                notify: put.notify,
                before: &state,
                after: &state,
                outcome: PutOutcome::Done(put.status),
                begun: None,
            });
        }
        drop(state);
        self.put_log = Some(log);
    }

    /// Tells the log of the end of a put that was pending.
    pub(crate) fn log_completed(&mut self, now: Instant, ticket: PutTicket, status: EcaStatus) {
        let Some(log) = &mut self.put_log else {
            return;
        };
        let Some(begun) = log.begun.remove(&ticket) else {
            return;
        };
        let stamp = self.clock.stamp(now);
        if let Some(Node::Record(record)) = self.nodes.get(begun.handle) {
            (log.tell)(&PutReport {
                now,
                stamp,
                name: &begun.name,
                field: &begun.field,
                who: &begun.who,
                sent: None,
                notify: true,
                before: &record.snapshot,
                after: &record.snapshot,
                outcome: PutOutcome::Done(status),
                begun: Some(begun.now),
            });
        }
    }
}
