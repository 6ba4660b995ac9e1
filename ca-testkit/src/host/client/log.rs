//! What was delivered to the user of a client.

use std::collections::BTreeMap;

use ca_proto::client::{Deliver, Lifecycle, Reply, SubSpec, Token, Update};
use ca_proto::dbr::{Brief, Reading};
use ca_proto::ids::{Ioid, SubId};
use ca_proto::wire::Command;
use ca_proto::{EcaStatus, Instant};

use crate::host::reader::SlowReader;

/// How a read or put-notify ended.
#[derive(Clone, PartialEq, Debug)]
pub enum Answer {
    /// The value that was read.
    Read(Reading),
    /// A put-notify is complete.
    Written,
    /// The server, or the type conversion, refused.
    Failed(EcaStatus),
    /// The circuit was lost before the answer.
    Disconnected,
    /// The deadline passed.
    TimedOut,
}

/// One update of a subscription.
#[derive(Clone, PartialEq, Debug)]
pub struct UpdateLog {
    /// When it was delivered.
    pub at: Instant,
    /// Its status; without `NORMAL` there is no data.
    pub status: EcaStatus,
    /// The value.
    pub reading: Option<Reading>,
    /// It is the answer to the read that refreshes a subscription after an unresponsive period.
    pub refresh: bool,
}

/// Everything delivered to one subscription.
#[derive(Clone, PartialEq, Debug)]
pub struct SubLog {
    /// Name of the PV.
    pub name: String,
    /// The core's identifier, while it lives.
    pub subid: SubId,
    /// What was asked for.
    pub spec: SubSpec,
    /// Updates in order of delivery.
    pub updates: Vec<UpdateLog>,
    /// Connects and disconnects.
    pub lifecycle: Vec<(Instant, Lifecycle)>,
    /// Index of the first update since the last connect.
    pub connected_from: usize,
    /// Cancelled by the user.
    pub cancelled: bool,
}

/// One thing that an observed client delivered to its user.
#[derive(Clone, PartialEq, Debug)]
pub enum News {
    /// An update of a subscription.
    Update(Token, UpdateLog),
    /// The answer to a read or put-notify.
    Answer(Token, Answer),
    /// A subscription was connected or disconnected.
    Lifecycle(Token, Lifecycle),
}

#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) now: Instant,
    /// What was delivered since somebody looked, for observed clients.
    pub(super) news: Option<Vec<News>>,
    pub(super) subs: BTreeMap<Token, SubLog>,
    /// Who reads them, until they end.
    pub(super) readers: BTreeMap<Token, SlowReader>,
    /// Per accepted operation: the PV, the id, and the answers, of which there must be one.
    pub(super) answers: BTreeMap<Token, OpLog>,
    pub(super) complaint: Option<String>,
}

#[derive(Debug)]
pub(super) struct OpLog {
    pub(super) ioid: Ioid,
    pub(super) name: String,
    pub(super) cancelled: bool,
    pub(super) answers: Vec<(Instant, Answer)>,
}

impl Log {
    pub(super) fn complain(&mut self, what: String) {
        self.complaint.get_or_insert(what);
    }

    /// The reader of a subscription reads to the end.
    pub(super) fn finish(&mut self, token: Token) {
        if let Some(Err(what)) = self.readers.remove(&token).map(|mut r| r.finish()) {
            self.complain(format!("{token:?}: {what}"));
        }
    }
}

impl Log {
    fn updated(&mut self, token: Token, log: UpdateLog) {
        let Some(sub) = self.subs.get_mut(&token) else {
            self.complain(format!("an update for {token:?}, which nobody asked for"));
            return;
        };
        match &mut self.news {
            Some(news) => news.push(News::Update(token, log)),
            None => sub.updates.push(log),
        }
        if sub.cancelled {
            let what = format!("an update of {} after its cancel", sub.name);
            self.complain(what);
        }
        if let Some(Err(what)) = self.readers.get_mut(&token).map(SlowReader::update) {
            self.complain(format!("{token:?}: {what}"));
        }
    }
}

impl Deliver for Log {
    fn update(&mut self, token: Token, update: Update<'_>) {
        let reading = (update.status == EcaStatus::NORMAL)
            .then(|| Reading::from_frame(update.ty, update.count, update.frame));
        let reading = match reading.transpose() {
            Ok(reading) => reading,
            Err(error) => {
                self.complain(format!("{token:?}: an update that cannot be read: {error}"));
                return;
            }
        };
        let log = UpdateLog {
            at: self.now,
            status: update.status,
            reading,
            refresh: update.frame.header.command == Command::READ_NOTIFY,
        };
        self.updated(token, log);
    }

    fn brief(&mut self, token: Token, brief: Brief) -> bool {
        let log = UpdateLog {
            at: self.now,
            status: EcaStatus::NORMAL,
            reading: Some(brief.into()),
            refresh: false,
        };
        self.updated(token, log);
        true
    }

    fn reply(&mut self, token: Token, reply: Reply<'_>) {
        let now = self.now;
        let Some(op) = self.answers.get_mut(&token) else {
            self.complain(format!("an answer for {token:?}, which nobody asked for"));
            return;
        };
        let answer = match reply {
            Reply::Read { ty, count, frame } => match Reading::from_frame(ty, count, frame) {
                Ok(reading) => Answer::Read(reading),
                Err(error) => {
                    let what = format!("an answer for {} that cannot be read: {error}", op.name);
                    self.complain(what);
                    return;
                }
            },
            Reply::Written => Answer::Written,
            Reply::Failed(status) | Reply::Exception { status, .. } => Answer::Failed(status),
            Reply::Malformed(what) => Answer::Failed(what.status()),
            Reply::Disconnected => Answer::Disconnected,
            Reply::TimedOut => Answer::TimedOut,
            other => {
                self.complain(format!("an answer of an unknown kind: {other:?}"));
                return;
            }
        };
        if let Some(news) = &mut self.news {
            news.push(News::Answer(token, answer.clone()));
        }
        op.answers.push((now, answer));
        if op.answers.len() > 1 || op.cancelled {
            let what = format!(
                "{token:?} on {} was answered {:?} (cancelled: {})",
                op.name, op.answers, op.cancelled
            );
            self.complain(what);
            return;
        }
        if self.news.is_some() {
            // A second answer is one that nobody asked for.
            self.answers.remove(&token);
        }
    }

    fn lifecycle(&mut self, token: Token, change: Lifecycle) {
        let now = self.now;
        let Some(sub) = self.subs.get_mut(&token) else {
            self.complain(format!(
                "a {change:?} for {token:?}, which nobody asked for"
            ));
            return;
        };
        if sub
            .lifecycle
            .last()
            .is_some_and(|(_, last)| *last == change)
        {
            let what = format!("{} was told {change:?} twice", sub.name);
            self.complaint.get_or_insert(what);
        }
        if change == Lifecycle::Connected {
            sub.connected_from = sub.updates.len();
        }
        sub.lifecycle.push((now, change));
        if let Some(reader) = self.readers.get_mut(&token) {
            reader.mark(change);
        }
        if let Some(news) = &mut self.news {
            news.push(News::Lifecycle(token, change));
        }
    }
}
