//! Links that look for their targets, and follow them or stop to.

use std::sync::Arc;

use super::chain::When;
use super::database::{Followed, Follower, Records};
use crate::record::{Id, Link, LinkProcess, LinkTo, PvLink, Val};

impl Records {
    /// All links of a record look for their targets.
    pub(super) fn connect(&mut self, id: Id) {
        let links: Vec<u16> = self.record(id).fields.links().collect();
        for index in links {
            self.connect_link(id, index);
        }
    }

    /// A link looks for its target, and follows it if it is one that does.
    pub(super) fn connect_link(&mut self, id: Id, index: u16) {
        let Some(Val::Link(link)) = self.record(id).fields.get(index) else {
            return;
        };
        let Link::Pv(pv) = &**link else {
            return;
        };
        let to = match self.find_field(&pv.target) {
            Some((to, field)) => LinkTo::Local(to, field),
            None => LinkTo::Remote,
        };
        let when = match pv.process {
            LinkProcess::Change => Some(When::Always),
            LinkProcess::ChangeIfPassive => Some(When::Passive),
            _ => None,
        };
        let target = (to == LinkTo::Remote).then(|| pv.target.clone());
        let link = Link::Pv(PvLink { to, ..pv.clone() });
        let of = self.type_of(id).clone();
        self.record_mut(id)
            .set(&of, index, Val::Link(Arc::new(link)));
        if let Some(target) = target {
            return self.use_remote(id, index, &target, when);
        }
        if let LinkTo::Local(to, field) = to {
            self.note_link(id, index, to);
            let Some(when) = when else { return };
            self.follow(id, index, (to, field), when);
            self.see(id, index, to, field);
            self.follow_once(id, index, when);
        }
    }

    /// A link, or a name in its place, follows a field from now on.
    fn follow(&mut self, id: Id, link: u16, (to, field): (Id, u16), when: When) {
        self.record_mut(to).followed = true;
        let followers = self.followers.entry((to, field)).or_default();
        followers.push(Follower { id, link, when });
    }

    /// A record with SCAN `I/O Intr` follows a PV by its name, in place of the one of this slot.
    pub(super) fn follow_pv(&mut self, id: Id, slot: u16, name: &str) {
        let old = self.followed_names.remove(&(id, slot));
        if let Some(old) = &old {
            match old.to {
                Some(to) => self.unfollow(id, slot, to),
                None => self.leave_remote(id, slot, &old.name),
            }
        }
        if name.is_empty() {
            return;
        }
        let to = self.find_field(name);
        let followed = Followed {
            name: name.into(),
            to,
        };
        self.followed_names.insert((id, slot), followed);
        let when = When::Interrupt;
        let Some(to) = to else {
            return self.use_remote(id, slot, name, Some(when));
        };
        self.note_link(id, slot, to.0);
        self.follow(id, slot, to, when);
    }

    /// Takes a follower of a field out.
    fn unfollow(&mut self, id: Id, slot: u16, to: (Id, u16)) {
        if let Some(followers) = self.followers.get_mut(&to) {
            followers.retain(|follower| follower.id != id || follower.link != slot);
            if followers.is_empty() {
                self.followers.remove(&to);
            }
        }
        self.forget_link(id, slot, to.0);
        self.seen.remove(&(id, slot));
    }

    /// A link, or a name that is followed, looks for its target again.
    pub(super) fn look_again(&mut self, id: Id, slot: u16) {
        if let Some(followed) = self.followed_names.get(&(id, slot)) {
            let name = followed.name.clone();
            self.follow_pv(id, slot, &name);
        } else {
            self.disconnect_link(id, slot);
            self.connect_link(id, slot);
        }
    }

    /// A link that is written anew follows nothing any more.
    pub(super) fn disconnect_link(&mut self, id: Id, index: u16) {
        let Some(Val::Link(link)) = self.record(id).fields.get(index) else {
            return;
        };
        let link = Arc::clone(link);
        if let Link::Pv(pv) = &*link {
            match pv.to {
                LinkTo::Local(to, field) => self.unfollow(id, index, (to, field)),
                LinkTo::Remote => self.leave_remote(id, index, &pv.target),
                LinkTo::Unknown => {}
            }
        }
    }
}
