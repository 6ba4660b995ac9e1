//! Records that come, go, and get other names while the others work.
//!
//! Links find their targets when they are made; here those of other records find theirs again. Which links lead to a
//! record is known from the first change on: finding that out looks once at all records, and costs nobody anything
//! who changes none.

use std::collections::BTreeSet;
use std::hash::BuildHasher;
use std::sync::Arc;

use ca_proto::Instant;
use hashbrown::{HashMap, HashSet};

use super::cx::Cx;
use super::database::{AddError, InitNote, Records};
use super::put::PutError;
use crate::record::{Id, Link, LinkTo, Record, Schema, Val};

impl Records {
    /// Takes over records that were not started, with their aliases and items, and starts them if the others are.
    /// Returns their numbers there and here; those of names that are taken stay where they are.
    pub(crate) fn adopt(
        &mut self,
        from: &mut Self,
        ids: &[u32],
    ) -> (Vec<(u32, u32)>, Vec<InitNote>) {
        self.index_links();
        let mut adopted = Vec::with_capacity(ids.len());
        let mut numbers = HashMap::with_capacity(ids.len());
        for &old in ids {
            let Some(record) = from.records.get_mut(old as usize) else {
                continue;
            };
            let kind = self.schema.find(&from.schema.record_type(record.kind).name);
            let Some(kind) = kind.filter(|_| self.check_name(&record.name).is_ok()) else {
                continue;
            };
            let mut record = std::mem::replace(record, Record::new("", 0));
            record.kind = kind;
            let id = self.insert(record);
            if let Some(infos) = from.infos.remove(&old) {
                self.infos.insert(id, infos);
            }
            numbers.insert(old, id);
            adopted.push((old, id));
        }
        let mut aliases: Vec<_> = from.aliases.iter().collect();
        aliases.sort_unstable();
        for (alias, old) in aliases {
            if let Some(&id) = numbers.get(old)
                && self.check_name(alias).is_ok()
            {
                self.note_alias(alias, id);
            }
        }
        if self.is_started() {
            let new: Vec<Id> = adopted.iter().map(|&(_, id)| id).collect();
            self.begin_adopted(&new);
        }
        (adopted, std::mem::take(&mut self.notes))
    }

    /// As [`start`](Self::start), for some records among others.
    fn begin_adopted(&mut self, ids: &[Id]) {
        for &id in ids {
            self.prepare(id);
        }
        for &id in ids {
            self.connect(id);
        }
        for &id in ids {
            Cx::with(self, id, |cx, support| (support.init)(cx));
            self.record_mut(id).fields.shrink();
        }
        let ids = self.by_type(ids.to_vec());
        for &id in &ids {
            self.scan_add(id);
        }
        self.process_at_start(&ids);
        let mut names: Vec<Box<str>> = ids.iter().map(|&id| self.record(id).name.clone()).collect();
        let aliases = self.aliases_of.iter();
        let aliases = aliases.flat_map(|of| ids.iter().filter_map(|id| of.get(id)));
        names.extend(aliases.flatten().cloned());
        self.find_again(&names);
    }

    /// Links to these names, of which there are records now, find them.
    fn find_again(&mut self, names: &[Box<str>]) {
        let mut links: Vec<(Id, u16)> = names
            .iter()
            .flat_map(|name| self.links_abroad(name))
            .collect();
        links.sort_unstable();
        links.dedup();
        for (id, link) in links {
            self.look_again(id, link);
        }
    }

    /// Removes records. What is being processed is finished first; puts that wait for them fail, links that led to
    /// them lead to PVs of other IOCs.
    pub(crate) fn remove(&mut self, ids: &[u32]) {
        self.settle();
        self.index_links();
        let gone: HashSet<Id> = ids.iter().copied().collect();
        let mut orphans = BTreeSet::new();
        for &id in ids {
            self.let_go(id);
            let links = self.links_to.as_mut().and_then(|links| links.remove(&id));
            orphans.extend(links.into_iter().flatten());
        }
        for &id in ids {
            self.forget(id);
            let name = std::mem::replace(self.record_mut(id), Record::new("", 0)).name;
            self.leave(id, &name);
            let aliases = self.aliases_of.as_mut().and_then(|of| of.remove(&id));
            for alias in aliases.into_iter().flatten() {
                self.aliases.remove(&alias);
            }
        }
        for (id, link) in orphans {
            if !gone.contains(&id) {
                self.orphan(id, link);
            }
        }
        self.revision = self.revision.wrapping_add(1);
        self.free.extend(ids.iter().rev());
    }

    /// What a link led to has not that name any more. Who follows it is processed, and finds it gone.
    fn orphan(&mut self, id: Id, link: u16) {
        self.look_again(id, link);
        if let Some(when) = self.follows_abroad(id, link) {
            self.follow_once(id, link, when);
        }
    }

    /// What a record has with others ends.
    fn let_go(&mut self, id: Id) {
        self.scan_delete(id);
        self.record_mut(id).scan = 0;
        let links: Vec<u16> = self.record(id).fields.links().collect();
        for link in links {
            self.disconnect_link(id, link);
        }
        self.end_puts(id);
        if let Some(timer) = self.callbacks.remove(&id) {
            self.timers.remove(&timer);
        }
        self.infos.remove(&id);
        self.frozen.remove(&id);
    }

    /// What is under way for a record ends. Queues that name it are not searched ([`Lapsed`](super::lapsed::Lapsed)).
    fn forget(&mut self, id: Id) {
        let slots = self.followed_names.range((id, 0)..=(id, u16::MAX));
        let slots: Vec<u16> = slots.map(|(&(_, slot), _)| slot).collect();
        for slot in slots {
            self.follow_pv(id, slot, "");
        }
        let queued = self.chain.roots.len();
        self.chain.lapsed.leave(id, queued);
        self.lapsed_posts.leave(id, self.posts.len());
        while let Some(&(of, key)) = self.resumes.range((id, (Instant::ZERO, 0))..).next()
            && of == id
        {
            self.resumes.remove(&(of, key));
            self.timers.remove(&key);
        }
        self.forced.remove(&id);
        self.calls.forget_record(id);
        self.forget_remote_waits(id);
        self.forget_waits(id);
    }

    /// A name is that of a record no more.
    fn leave(&mut self, id: Id, name: &str) {
        let hash = self.hasher.hash_one(name);
        if let Ok(entry) = self.names.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
    }

    /// Gives a record another name; it keeps all else. Links to the old name lead to PVs of other IOCs, those to the
    /// new one to it.
    ///
    /// # Errors
    /// [`AddError`] for a name that cannot be, or is taken.
    pub(crate) fn rename(&mut self, id: u32, name: &str) -> Result<(), AddError> {
        self.check_name(name)?;
        self.index_links();
        let old = std::mem::replace(&mut self.record_mut(id).name, name.into());
        // The hash is that of the name it had.
        let hash = self.hasher.hash_one(&*old);
        if let Ok(entry) = self.names.find_entry(hash, |&other| other == id) {
            entry.remove();
        }
        self.enter(id);
        let links = self.links_to.as_ref().and_then(|links| links.get(&id));
        let links: Vec<(Id, u16)> = links.into_iter().flatten().copied().collect();
        for (from, link) in links {
            self.orphan(from, link);
        }
        self.find_again(&[name.into()]);
        Ok(())
    }

    /// Takes an alias away; whether there was one.
    pub(crate) fn remove_alias(&mut self, name: &str) -> bool {
        self.index_links();
        let Some(id) = self.aliases.remove(name) else {
            return false;
        };
        if let Some(of) = &mut self.aliases_of
            && let Some(names) = of.get_mut(&id)
        {
            names.remove(name);
            if names.is_empty() {
                of.remove(&id);
            }
        }
        let links = self.links_to.as_ref().and_then(|links| links.get(&id));
        let links: Vec<(Id, u16)> = links.into_iter().flatten().copied().collect();
        for (from, link) in links {
            self.orphan(from, link);
        }
        true
    }

    /// Adds an alias while records work.
    ///
    /// # Errors
    /// [`AddError`]
    pub(crate) fn join_alias(&mut self, of: &str, name: &str) -> Result<(), AddError> {
        self.index_links();
        self.add_alias(of, name)?;
        self.find_again(&[name.into()]);
        Ok(())
    }

    /// No records, of the same types.
    pub(crate) fn empty_like(&self) -> Self {
        Self::new(Arc::clone(&self.schema))
    }

    /// The numbers that records have had, those of removed ones among them, are below this.
    pub(crate) fn numbers(&self) -> usize {
        self.records.len()
    }

    /// The number of a record's type.
    pub(crate) fn kind_of(&self, id: u32) -> u16 {
        self.record(id).kind
    }

    /// Takes over the items of a record of another database.
    pub(crate) fn copy_infos(&mut self, id: u32, from: &Self, number: u32) {
        match from.infos.get(&number) {
            Some(infos) => self.infos.insert(id, infos.clone()),
            None => self.infos.remove(&id),
        };
    }

    /// Writes what a file says of a field, and processes the record if the field is one for which a passive one is.
    /// DISP keeps it from nobody but clients.
    pub(crate) fn put_described(&mut self, id: u32, field: u16, val: Val) -> Result<(), PutError> {
        self.settle();
        if let Val::Link(link) = &val {
            return self.put_link_field(id, field, &Val::text(link.to_string()));
        }
        if self.type_of(id).field(field).dbf.is_link() {
            return self.put_link_field(id, field, &Val::text(""));
        }
        self.db_put(id, field, &val)?;
        self.process_written(id, field);
        Ok(())
    }

    /// A name is an alias of a record from now on.
    pub(super) fn note_alias(&mut self, name: &str, id: Id) {
        self.aliases.insert(name.into(), id);
        if let Some(of) = &mut self.aliases_of {
            of.entry(id).or_default().insert(name.into());
        }
    }

    /// Finds out which links lead to which record, and which aliases each has.
    fn index_links(&mut self) {
        if self.aliases_of.is_none() {
            let mut of: HashMap<Id, BTreeSet<Box<str>>> = HashMap::new();
            for (name, &id) in &self.aliases {
                of.entry(id).or_default().insert(name.clone());
            }
            self.aliases_of = Some(of);
        }
        if self.links_to.is_some() {
            return;
        }
        let mut index: HashMap<Id, BTreeSet<(Id, u16)>> = HashMap::new();
        for (record, id) in self.records.iter().zip(0..) {
            for link in record.fields.links() {
                if let Some(Val::Link(text)) = record.fields.get(link)
                    && let Link::Pv(pv) = &**text
                    && let LinkTo::Local(to, _) = pv.to
                {
                    index.entry(to).or_default().insert((id, link));
                }
            }
        }
        for (&who, followed) in &self.followed_names {
            if let Some((to, _)) = followed.to {
                index.entry(to).or_default().insert(who);
            }
        }
        self.links_to = Some(index);
    }

    /// A link leads to a record.
    pub(super) fn note_link(&mut self, id: Id, link: u16, to: Id) {
        if let Some(index) = &mut self.links_to {
            index.entry(to).or_default().insert((id, link));
        }
    }

    /// It leads there no more.
    pub(super) fn forget_link(&mut self, id: Id, link: u16, to: Id) {
        if let Some(index) = &mut self.links_to
            && let Some(links) = index.get_mut(&to)
        {
            links.remove(&(id, link));
            if links.is_empty() {
                index.remove(&to);
            }
        }
    }

    /// Whether records of a type of another schema can be taken over: the same fields, of the same kinds, with the same
    /// choices.
    pub(crate) fn has_type_like(&self, schema: &Schema, kind: u16) -> bool {
        let theirs = schema.record_type(kind);
        let Some(own) = self.schema.find(&theirs.name) else {
            return false;
        };
        let own = self.schema.record_type(own);
        let same = |index: u16| {
            let (a, b) = (own.field(index), theirs.field(index));
            let choices = |schema: &Schema, of, field| match schema.choices(of, field) {
                crate::record::Choices::Texts(all) => all.to_vec(),
                _ => Vec::new(),
            };
            a.name == b.name
                && a.dbf == b.dbf
                && a.size == b.size
                && a.special == b.special
                && a.default == b.default
                && choices(&self.schema, own, a) == choices(schema, theirs, b)
        };
        own.fields.len() == theirs.fields.len()
            && own.device_names == theirs.device_names
            && (0..own.fields.len() as u16).all(same)
    }
}
