//! Telling subscribers of fields what records post, and processing in between, in turns.

use std::collections::BTreeMap;
use std::ops::Bound;

use ca_proto::Instant;
use ca_proto::dbr::{NativeType, Snapshot};
use ca_proto::server::{PvId, Subscriber, Turn, Update};

use super::value::to_value;
use super::{Channel, FieldKey, Served};
use crate::db::{Node, PvHandle};
use crate::ioc::{Ioc, TURN};
use crate::name::Modifiers;
use crate::process::{ALL_FIELDS, Post};
use crate::publish::Audience;
use crate::record::Val;

/// Tasks of processing between two looks at what there is to tell.
const TASKS: usize = 64;
/// Units of work of a task: one of a record with a few links and posts, taken together.
const TASK: usize = 4;
/// Units of work: a channel that is found, and what its subscribers are told.
const CHANNEL: usize = 4;

/// A post and how far it has come: channels in the order of their keys, and for each its circuits and
/// subscriptions in theirs, so that the order follows from what is subscribed.
#[derive(Debug)]
pub(super) struct Publication {
    post: Post,
    after: Option<FieldKey>,
    at: Option<(FieldKey, PvHandle, Update)>,
    /// The subscriber of that channel that was told last.
    last: Option<Subscriber>,
}

impl Publication {
    pub(super) const fn record(&self) -> u32 {
        self.post.record
    }
}

impl Served {
    /// The watched channel of a post behind another one.
    fn next_channel(&self, post: &Post, after: Option<FieldKey>) -> Option<(FieldKey, PvHandle)> {
        let all = post.field == ALL_FIELDS;
        let from = after.map_or_else(
            || {
                Bound::Included(FieldKey {
                    record: post.record,
                    field: if all { 0 } else { post.field },
                    modifiers: Modifiers::default(),
                })
            },
            Bound::Excluded,
        );
        let (&key, &handle) = self.watched.range((from, Bound::Unbounded)).next()?;
        let is_meant = key.record == post.record && (all || key.field == post.field);
        is_meant.then_some((key, handle))
    }

    /// What the subscribers of a channel are told: numbers as they were when they were posted, texts and arrays
    /// when they are sent, as the reference does.
    fn update(&self, key: FieldKey, post: &Post) -> Update {
        let info = self.info(key);
        let copied = info.count == 1 && info.native != NativeType::String;
        // One element of an array is read when it is sent, as the array is.
        if !copied || key.modifiers.instance != 0 || self.has_parts(key) {
            return Update::by_reference();
        }
        let now = (post.val == Val::None).then(|| self.val(key));
        let state = self.records.state(key.record);
        Update::new(&Snapshot {
            value: to_value(now.as_ref().unwrap_or(&post.val), 1),
            alarm: post.alarm,
            stamp: post.time,
            ack: state.ack,
            meta: std::sync::Arc::clone(&self.plain),
        })
    }
}

impl Ioc {
    /// Starts the records, once: values stay when the IOC is stopped and started again.
    pub(crate) fn start_records(&mut self, now: Instant) {
        let clock = self.db.clock.stamp(now);
        let Some(served) = &mut self.db.served else {
            return;
        };
        if served.records.is_started() {
            served.records.tick_in(now, clock, &mut Turn::new(0));
            return;
        }
        // One line for each kind of note: thousands of records may say the same.
        let mut notes: BTreeMap<String, (Box<str>, usize)> = BTreeMap::new();
        for note in served.records.start(now, clock) {
            notes.entry(note.text).or_insert((note.record, 0)).1 += 1;
        }
        for (text, (first, count)) in notes {
            self.limits.tell(match count {
                1 => format!("record {first}: {text}"),
                _ => format!("{count} records, as {first}: {text}"),
            });
        }
        self.run_records(now, &mut Turn::new(TURN), false);
    }

    pub(crate) fn is_in_chain(&self) -> bool {
        let served = self.db.served.as_ref();
        served.is_some_and(|served| served.records.is_in_chain())
    }

    /// When records have something to do by themselves, in the time of the database.
    pub(crate) fn record_timeout(&self) -> Option<Instant> {
        let served = self.db.served.as_ref().filter(|_| self.is_running())?;
        served.records.poll_timeout()
    }

    /// Time passes for records: what is due begins.
    pub(crate) fn tick_records(&mut self, now: Instant, turn: &mut Turn) {
        let clock = self.db.clock.stamp(now);
        if let Some(served) = &mut self.db.served {
            served.records.tick_in(now, clock, turn);
        }
    }

    /// Does what records have to do, until the turn is over, with what becomes complete by it.
    pub(crate) fn work_on_records(&mut self, now: Instant, turn: &mut Turn) {
        while self.is_running()
            && !turn.is_over()
            && self
                .db
                .served
                .as_ref()
                .is_some_and(|served| served.has_work())
        {
            self.run_records(now, turn, false);
            if self.db.has_news() {
                self.settle_in(now, turn);
            }
        }
    }

    /// Processes records and tells what they post, until the turn is over; only what was begun if
    /// `only_chain`.
    pub(crate) fn run_records(&mut self, now: Instant, turn: &mut Turn, only_chain: bool) {
        if self.db.served.is_none() || !self.recheck_puts(turn) {
            return;
        }
        let clock = self.db.clock.stamp(now);
        loop {
            let told = self.publish_records(turn);
            self.db.collect_field_puts();
            self.take_record_lines();
            let Some(served) = &mut self.db.served else {
                return;
            };
            if !told {
                return;
            }
            let in_chain = served.records.is_in_chain();
            if !in_chain {
                served.wrote = false;
            }
            let done = match only_chain {
                true => !in_chain,
                false => !served.records.has_work(),
            };
            if done || (turn.is_over() && !in_chain) {
                return;
            }
            served.records.set_time(now, clock);
            // A turn ends between two chains, so that puts find a time for theirs, unless one is very long.
            let is_over = turn.is_over();
            let mut slice = Turn::new(TASKS);
            let only_chain = only_chain || is_over;
            served.records.run_until_told(&mut slice, only_chain);
            turn.spend((TASKS - slice.left()) * TASK);
            if is_over && slice.is_over() {
                return;
            }
        }
    }

    /// Lines of records go where those of limits go.
    fn take_record_lines(&mut self) {
        if let Some(served) = &mut self.db.served {
            for line in served.records.take_lines() {
                self.limits.tell(line);
            }
        }
    }

    /// Tells what records have posted, until the turn is over; whether all is told.
    fn publish_records(&mut self, turn: &mut Turn) -> bool {
        loop {
            let Some(served) = &mut self.db.served else {
                return true;
            };
            let next = served.telling.take().or_else(|| {
                let post = served.records.pop_post()?;
                if let Some(observer) = &mut self.observer
                    && served.observed.contains(&post.record)
                {
                    observer.tell(served, &post);
                }
                Some(Publication {
                    post,
                    after: None,
                    at: None,
                    last: None,
                })
            });
            let Some(mut publication) = next else {
                return true;
            };
            if !self.tell_post(&mut publication, turn) {
                if let Some(served) = &mut self.db.served {
                    served.telling = Some(publication);
                }
                return false;
            }
        }
    }

    /// True if all have been told.
    fn tell_post(&mut self, publication: &mut Publication, turn: &mut Turn) -> bool {
        loop {
            if turn.is_over() {
                return false;
            }
            let Some(served) = &self.db.served else {
                return true;
            };
            let post = &publication.post;
            let (key, node, update) = match publication.at {
                Some(at) => at,
                None => {
                    turn.spend(1);
                    let Some((key, node)) = served.next_channel(post, publication.after) else {
                        return true;
                    };
                    turn.spend(CHANNEL);
                    (key, node, served.update(key, post))
                }
            };
            publication.at = Some((key, node, update));
            let mask = post.mask;
            if let Some(Node::Field(channel)) = self.db.nodes.get(node) {
                let Channel { subs, chain, .. } = &**channel;
                let log = |chain| (chain, served.log(key, Some(post), post.mask));
                let filtered = chain.as_ref().map(log);
                let mut audience = Audience {
                    circuits: &mut self.circuits,
                    woken: &mut self.woken,
                    pressed: &mut self.pressed,
                    heard: &mut self.heard_inputs,
                    db: &self.db,
                    update,
                    mask,
                };
                for (who, mask) in subs.after(publication.last) {
                    if turn.is_over() {
                        return false;
                    }
                    publication.last = Some(who);
                    if let Some((chain, log)) = &filtered {
                        turn.spend(chain.cost());
                        if !audience.filter(PvId(node.0), chain, log, mask) {
                            continue;
                        }
                    }
                    turn.spend(1 + audience.tell(who, mask));
                }
            }
            publication.at = None;
            publication.last = None;
            publication.after = Some(key);
        }
    }
}
