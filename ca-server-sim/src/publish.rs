//! Telling subscribers, in turns: how many there are is up to clients.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;

use ca_proto::Instant;
use ca_proto::ids::{CircuitId, Slots};
use ca_proto::server::{PvId, Subscriber, Turn, Update};
use ca_proto::wire::message::EventMask;

use crate::access::INPUTS;
use crate::db::{Db, Node, PvHandle, ViewKey};
use crate::field::Field;
use crate::filter::{Chain, Log};
use crate::ioc::{Connection, Ioc};
use crate::name::Modifiers;
use crate::plain::{Record, Subscribers};

/// Units of work for one record before the next one has its turn, and that are always there for the
/// updates of one request.
pub(crate) const SLICE: usize = 256;

/// Units of work: a view that is found, and made for its subscribers.
const VIEW: usize = 8;

/// Which fields of a record an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fields {
    All,
    Only(Field),
}

impl Fields {
    fn has(self, field: Field) -> bool {
        match self {
            Self::All => true,
            Self::Only(only) => only == field,
        }
    }
}

/// An event to be told to the subscribers of a record and of its views.
#[derive(Debug)]
pub(crate) struct Post {
    pub record: PvHandle,
    pub fields: Fields,
    pub mask: EventMask,
    /// The record as they are to see it, if that is not as it is when they are told.
    pub frozen: Option<Box<Record>>,
}

impl Post {
    pub(crate) const fn new(record: PvHandle, fields: Fields, mask: EventMask) -> Self {
        Self {
            record,
            fields,
            mask,
            frozen: None,
        }
    }
}

/// A post and how far it has come: the order is that of the nodes, and for each that of circuits and
/// keys, so that it follows from what is subscribed.
#[derive(Debug)]
pub(crate) struct Publication {
    post: Post,
    /// The node whose subscribers were told last.
    after: Option<Place>,
    /// The node whose subscribers are being told, and what they see.
    at: Option<(Place, Update)>,
    /// The subscriber of that node that was told last.
    last: Option<Subscriber>,
}

/// A node of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Record,
    View(ViewKey, PvHandle),
}

impl Publication {
    const fn new(post: Post) -> Self {
        Self {
            post,
            after: None,
            at: None,
            last: None,
        }
    }
}

/// Publications that one turn was too short for, in order for each record. Records take turns, so that
/// one with very many subscribers does not hold back the others.
#[derive(Debug, Default)]
pub(crate) struct Backlog {
    order: VecDeque<PvHandle>,
    of: BTreeMap<PvHandle, VecDeque<Publication>>,
}

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    pub(crate) fn has(&self, record: PvHandle) -> bool {
        self.of.contains_key(&record)
    }

    /// Puts a post behind those of its record. One that says the same and has not begun is told once,
    /// with the newest state: there are as many posts of a record as there are different ones.
    fn push(&mut self, publication: Publication) {
        let record = publication.post.record;
        let queue = self.of.entry(record).or_insert_with(|| {
            self.order.push_back(record);
            VecDeque::new()
        });
        let new = &publication.post;
        let same = |old: &&mut Publication| {
            let post = &old.post;
            (old.at.is_none() && old.after.is_none())
                && (post.fields, post.mask) == (new.fields, new.mask)
                && post.frozen.is_some() == new.frozen.is_some()
        };
        match queue.iter_mut().find(same) {
            Some(old) => *old = publication,
            None => queue.push_back(publication),
        }
    }

    fn pop(&mut self) -> Option<Publication> {
        let record = *self.order.front()?;
        self.of.get_mut(&record)?.pop_front()
    }

    /// Gives back what [`pop`](Self::pop) has given, unless it is done, and lets the next record have
    /// its turn.
    fn rotate(&mut self, unfinished: Option<Publication>) {
        let Some(record) = self.order.pop_front() else {
            return;
        };
        let Some(queue) = self.of.get_mut(&record) else {
            return;
        };
        if let Some(publication) = unfinished {
            queue.push_front(publication);
        }
        if queue.is_empty() {
            self.of.remove(&record);
        } else {
            self.order.push_back(record);
        }
    }
}

impl Db {
    /// The node of a post after another one that has subscribers, in the order in which they are told.
    fn next_place(&self, post: &Post, after: Option<Place>) -> Option<(Place, PvHandle)> {
        let record = self.record(post.record)?;
        if after.is_none() && post.fields.has(Field::Val) && !record.subs.is_empty() {
            return Some((Place::Record, post.record));
        }
        if record.watched == 0 {
            return None;
        }
        let from = match after {
            Some(Place::View(key, _)) => Bound::Excluded(key),
            None | Some(Place::Record) => Bound::Included(ViewKey {
                record: post.record,
                field: match post.fields {
                    Fields::All => Field::FIRST,
                    Fields::Only(field) => field,
                },
                modifiers: Modifiers::default(),
            }),
        };
        let (&key, &view) = self.watched.range((from, Bound::Unbounded)).next()?;
        let is_meant = key.record == post.record && post.fields.has(key.field);
        is_meant.then_some((Place::View(key, view), view))
    }

    /// What the subscribers of a node see. Values that are read when they are sent are not made here.
    fn update(&self, node: PvHandle, frozen: Option<&Record>) -> Option<Update> {
        Some(match self.nodes.get(node)? {
            Node::Record(record) => Update::new(&frozen.unwrap_or(record).snapshot),
            Node::View(view) => match frozen {
                Some(record) => view.update(record),
                None => view.update(self.record(view.record)?),
            },
            Node::Gone(_) | Node::Field(_) => return None,
        })
    }
}

impl Ioc {
    /// Tells what is new, until the turn is over; what is left goes into the backlog.
    pub(crate) fn publish(&mut self, turn: &mut Turn) {
        // hot: asked twice for each put that has news, which mostly is one post.
        if self.db.posts.is_empty() {
            return;
        }
        // Swapped back, so that a steady stream of updates allocates nothing.
        let mut posts = std::mem::take(&mut self.db.posts);
        match posts.len() {
            1 => posts
                .pop()
                .into_iter()
                .for_each(|post| self.publish_one(post, turn)),
            _ => posts
                .drain(..)
                .for_each(|post| self.publish_one(post, turn)),
        }
        self.db.posts = posts;
    }

    fn publish_one(&mut self, post: Post, turn: &mut Turn) {
        let waits = !self.backlog.is_empty() && self.backlog.has(post.record);
        if !waits && self.tell_at_once(&post, turn) {
            return;
        }
        let mut publication = Publication::new(post);
        if waits || !self.tell(&mut publication, turn) {
            self.backlog.push(publication);
        }
    }

    /// Tells a post if it is about a record of which no field is watched and there is time for all its
    /// subscribers, which most are; false if nothing is done.
    fn tell_at_once(&mut self, post: &Post, turn: &mut Turn) -> bool {
        let Some(record) = self.db.record(post.record) else {
            return true;
        };
        let count = record.subs.len();
        if record.watched > 0 || post.frozen.is_some() || count >= turn.left() {
            return false;
        }
        if !post.fields.has(Field::Val) {
            return true;
        }
        turn.spend(count);
        let mut audience = Audience {
            circuits: &mut self.circuits,
            woken: &mut self.woken,
            pressed: &mut self.pressed,
            heard: &mut self.heard_inputs,
            db: &self.db,
            update: Update::new(&record.snapshot),
            mask: post.mask,
        };
        match &record.subs {
            Subscribers::None => {}
            Subscribers::One(who, mask) => turn.spend(audience.tell(*who, *mask)),
            Subscribers::Many(subs) => {
                for (who, mask) in subs {
                    turn.spend(audience.tell(*who, *mask));
                }
            }
        }
        true
    }

    /// Goes on with the backlog.
    pub(crate) fn publish_backlog(&mut self, _: Instant, turn: &mut Turn) {
        while !turn.is_over()
            && let Some(mut publication) = self.backlog.pop()
        {
            let mut slice = Turn::new(SLICE.min(turn.left()));
            let before = slice.left();
            let done = self.tell(&mut publication, &mut slice);
            turn.spend((before - slice.left()).max(1));
            self.backlog.rotate((!done).then_some(publication));
        }
    }

    /// True if all have been told.
    fn tell(&mut self, publication: &mut Publication, turn: &mut Turn) -> bool {
        loop {
            if turn.is_over() {
                return false;
            }
            if publication.at.is_none() {
                let post = &publication.post;
                let Some((place, node)) = self.db.next_place(post, publication.after) else {
                    return true;
                };
                let update = self.db.update(node, post.frozen.as_deref());
                let Some(update) = update else { return true };
                publication.at = Some((place, update));
                if let Place::View(..) = place {
                    turn.spend(VIEW);
                }
            }
            if !self.tell_node(publication, turn) {
                return false;
            }
            publication.after = publication.at.take().map(|(place, _)| place);
            publication.last = None;
        }
    }

    /// Tells the subscribers of the node at hand; true if all have been told.
    fn tell_node(&mut self, publication: &mut Publication, turn: &mut Turn) -> bool {
        let Some((place, update)) = publication.at else {
            return true;
        };
        let node = match place {
            Place::Record => publication.post.record,
            Place::View(_, view) => view,
        };
        let post = &publication.post;
        let (subs, filtered) = match self.db.nodes.get(node) {
            Some(Node::Record(record)) => (&record.subs, None),
            Some(Node::View(view)) => {
                let now = self.db.record(post.record);
                let seen = post.frozen.as_deref().or(now);
                let chain = view.chain.as_deref().zip(seen);
                let filtered = chain.map(|(chain, record)| (chain, view.log(record, post.mask)));
                (&view.subs, filtered)
            }
            Some(Node::Gone(_) | Node::Field(_)) | None => return true,
        };
        let mut audience = Audience {
            circuits: &mut self.circuits,
            woken: &mut self.woken,
            pressed: &mut self.pressed,
            heard: &mut self.heard_inputs,
            db: &self.db,
            update,
            mask: post.mask,
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
        true
    }
}

/// Subscribers of one node, who are told the same.
pub(crate) struct Audience<'a> {
    pub circuits: &'a mut Slots<CircuitId, Connection>,
    pub woken: &'a mut VecDeque<CircuitId>,
    pub pressed: &'a mut bool,
    /// Inputs of access security that are told.
    pub heard: &'a mut Vec<u32>,
    pub db: &'a Db,
    pub update: Update,
    pub mask: EventMask,
}

impl Audience<'_> {
    /// Sends an update through the filters of a channel; whether it comes out for a subscriber with this mask.
    pub(crate) fn filter(&mut self, pv: PvId, chain: &Chain, log: &Log, mask: EventMask) -> bool {
        let mask = EventMask(mask.0 & log.mask.0);
        if mask.0 == 0 {
            return false;
        }
        let log = Log {
            mask,
            ..log.clone()
        };
        let update = self.db.pass(pv, chain, log);
        self.update = update.unwrap_or(self.update);
        update.is_some()
    }

    /// Tells one subscriber if its mask has a bit of the event's; returns the units of work.
    pub(crate) fn tell(&mut self, who: Subscriber, mask: EventMask) -> usize {
        if !mask.intersects(self.mask) {
            return 0;
        }
        let Some(connection) = self.circuits.get_mut(who.circuit) else {
            if who.circuit == INPUTS {
                self.heard.push(who.key.0);
            }
            return 1;
        };
        let circuit = &mut connection.circuit;
        circuit.post_through(who.key, self.update, self.db);
        if connection.fresh && !circuit.has_room() {
            connection.fresh = false;
            *self.pressed = true;
        }
        if !connection.woken && circuit.has_output() {
            connection.woken = true;
            self.woken.push_back(who.circuit);
        }
        circuit.take_spent()
    }
}
