//! Who wrote what: a hook that sees every put of a client that reached the database.

use std::fmt;

use bytes::Bytes;
use ca_proto::dbr::Snapshot;
use ca_proto::dbr::convert::PutValue;
use ca_proto::server::{Database as _, Identity, Put, PutOutcome};
use ca_proto::{Instant, Timestamp};

use crate::builder::IocBuilder;
use crate::db::Db;
use crate::field::Field;

/// A put, after it was carried out, refused, or begun.
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
    /// What the client sent, in its type.
    pub sent: PutValue<'a>,
    /// Whether the client waits for completion.
    pub notify: bool,
    /// The state before.
    pub before: &'a Snapshot,
    /// The state after: what hooks and limits have made of the value. A put that waits behind
    /// another one has not changed it yet.
    pub after: &'a Snapshot,
    /// The result; [`PutOutcome::Pending`] for one that completes later.
    pub outcome: PutOutcome,
}

type Function = Box<dyn FnMut(&PutReport<'_>) + Send>;

/// A put log.
pub(crate) struct PutLog(Function);

impl fmt::Debug for PutLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PutLog")
    }
}

impl IocBuilder {
    /// Tells `log` of each put by a client. It runs while the IOC is locked, so it should hand the
    /// report on and not write files. Puts that the circuit refuses, without write access or with a
    /// type that does not exist, change nothing and are not told.
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
        self.ioc.db.put_log = Some(PutLog(Box::new(log)));
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
        if let Some((_, record, view)) = self.target(put.pv) {
            let field = view.map_or(Field::Val, |view| view.field).name();
            (log.0)(&PutReport {
                now,
                stamp,
                name: &record.name,
                field: &field,
                who: put.who,
                sent: put.value,
                notify: put.notify.is_some(),
                before: &before,
                after: &after,
                outcome,
            });
        }
        self.put_log = Some(log);
        outcome
    }
}
