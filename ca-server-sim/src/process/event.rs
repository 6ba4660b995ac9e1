//! Posts: what subscribers are told.

use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, Timestamp};

use super::database::Records;
use crate::record::{Id, Val};
use crate::state::codec::saved;

/// Instead of a field: all fields of the record.
pub const ALL_FIELDS: u16 = u16::MAX;

/// A change of a field, as it was when it was posted.
#[derive(Clone, PartialEq, Debug)]
pub struct Post {
    /// The record.
    pub record: u32,
    /// The field, or [`ALL_FIELDS`], whose value is [`Val::None`].
    pub field: u16,
    /// What changed.
    pub mask: EventMask,
    /// The value.
    pub val: Val,
    /// Time of the record.
    pub time: Timestamp,
    /// Alarm of the record.
    pub alarm: Alarm,
}

/// What a link that follows a field was told last.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub val: Val,
    pub stat: u8,
    pub sevr: u8,
    pub time: Timestamp,
    /// The link has an entry in the queue.
    pub queued: bool,
}

saved!(struct Seen { val, stat, sevr, time, queued });

impl Default for Seen {
    fn default() -> Self {
        Self {
            val: Val::None,
            stat: 0,
            sevr: 0,
            time: Timestamp::UNDEFINED,
            queued: false,
        }
    }
}

impl Records {
    /// Tells subscribers of a field, and records that follow it (`db_post_events` of EPICS Base).
    pub(super) fn post(&mut self, id: Id, field: u16, mask: EventMask) {
        let record = self.record(id);
        if !record.watched && !record.followed || mask.0 == 0 {
            return;
        }
        if record.watched {
            let val = if field == ALL_FIELDS {
                Val::None
            } else {
                record.get(self.type_of(id), field)
            };
            self.posts.push_back(Post {
                record: id,
                field,
                mask,
                val,
                time: record.time,
                alarm: Alarm::new(
                    AlarmStatus(record.stat.into()),
                    AlarmSeverity(record.sevr.into()),
                ),
            });
        }
        if self.record(id).followed && mask.intersects(EventMask::VALUE.union(EventMask::ALARM)) {
            let followers = self.followers.get(&(id, field)).map_or(0, Vec::len);
            for place in 0..followers {
                let follower = self
                    .followers
                    .get(&(id, field))
                    .and_then(|all| all.get(place))
                    .copied();
                if let Some(follower) = follower {
                    self.see(follower.id, follower.link, id, field);
                    self.follow_once(follower.id, follower.link, follower.when);
                }
            }
        }
    }

    /// A link that follows a field sees the value that it has now, until it is told of another one
    /// (`eventCallback` of `dbCa.c`).
    pub(super) fn see(&mut self, follower: Id, link: u16, id: Id, field: u16) {
        let record = self.record(id);
        let value = Seen {
            val: record.get(self.type_of(id), field),
            stat: record.stat,
            sevr: record.sevr,
            time: record.time,
            queued: false,
        };
        let seen = self.seen.entry((follower, link)).or_default();
        *seen = Seen {
            queued: seen.queued,
            ..value
        };
    }

    /// What was posted, in its order.
    pub fn take_posts(&mut self) -> impl Iterator<Item = Post> + '_ {
        let lapsed = std::mem::take(&mut self.lapsed_posts);
        let places = 0..;
        let posts = places.zip(self.posts.drain(..));
        posts.filter_map(move |(place, post)| lapsed.keeps(post.record, place).then_some(post))
    }
}
