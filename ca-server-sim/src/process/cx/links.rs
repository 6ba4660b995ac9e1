//! Links: what a stage wants of them, and what they gave.

use super::{Cx, Got};
use crate::process::chain::Want;
use crate::record::{Dbf, Link, LinkProcess, LinkTo, Val};

impl Cx<'_> {
    /// Whether a link is empty or a constant, so that nothing is read through it.
    pub fn is_constant(&self, link: u16) -> bool {
        match self.record().fields.get(link) {
            // Nobody is at the address of a device.
            Some(Val::Link(link)) => link.is_constant() || matches!(**link, Link::Hardware(_)),
            _ => true,
        }
    }

    /// The type that a link leads to (`dbGetLinkDBFtype`); none for a constant, and for one that is not
    /// connected.
    pub fn linked_dbf(&mut self, link: u16) -> Option<Dbf> {
        self.records.linked_dbf(self.id, link)
    }

    /// The text behind `@` of a link with a device's address.
    pub fn address(&self, link: u16) -> Option<&str> {
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Hardware(text) => text.strip_prefix('@'),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a constant link as this type, at the record's start (`recGblInitConstantLink`).
    pub fn constant(&self, link: u16, to: Dbf) -> Option<Val> {
        self.records.load_constant(self.id, link, to)
    }

    /// The text of a constant link, at the record's start, as far as there is room for it and its NUL
    /// (`dbLoadLinkLS`).
    pub fn constant_text(&self, link: u16, room: usize) -> Option<Vec<u8>> {
        let text = self.records.load_text(self.id, link)?;
        Some(text[..text.len().min(room.saturating_sub(1))].to_vec())
    }

    /// How many elements a link gives (`dbGetNelements`); none if it is constant or not connected.
    pub fn linked_count(&mut self, link: u16) -> Option<usize> {
        self.records.linked_count(self.id, link)
    }

    /// Whether a link leads to a record of this IOC.
    pub fn is_local(&self, link: u16) -> bool {
        self.linked(link).is_some()
    }

    /// The elements of a constant link, at the record's start (`dbLoadLinkArray`).
    pub fn constant_array(&self, link: u16, to: Dbf, limit: usize) -> Option<Val> {
        self.records.load_array(self.id, link, to, limit)
    }

    /// Loads a constant link into a field; whether there was a value.
    pub fn load(&mut self, link: u16, into: u16) -> bool {
        let dbf = self.of.field(into).dbf;
        match self.constant(link, if dbf.is_choice() { Dbf::UShort } else { dbf }) {
            Some(val) => {
                self.set(into, val);
                true
            }
            None => false,
        }
    }

    /// Wants the value that a link leads to, as this type. The next stage has it in [`Self::got`].
    pub fn want(&mut self, link: u16, to: Dbf) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: None,
            quiet: false,
        });
    }

    /// The same; a link that cannot be used raises no alarm (`dbTryGetLink`).
    pub(in crate::process) fn want_quietly(&mut self, link: u16, to: Dbf) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: None,
            quiet: true,
        });
    }

    /// Without any alarm so far, the status alone becomes this one.
    pub(in crate::process) fn set_status(&mut self, stat: u16) {
        let record = self.record_mut();
        if record.nsev == 0 {
            record.nsta = stat as u8;
        }
    }

    /// Wants up to so many elements.
    pub fn want_array(&mut self, link: u16, to: Dbf, limit: usize) {
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: None,
            array: Some(limit),
            quiet: false,
        });
    }

    /// Wants the value that a link leads to in a field of this record, before the next stage.
    pub fn want_into(&mut self, link: u16, into: u16) {
        let to = self.of.field(into).dbf;
        self.records.chain.wants.push_back(Want::Get {
            link,
            to,
            into: Some(into),
            array: None,
            quiet: false,
        });
    }

    /// The same for so many links and fields that follow each other. Constant ones are left out. Those that nothing
    /// has to be processed for are read at once: the stage ends with this.
    pub fn want_all_into(&mut self, link: u16, into: u16, count: u16) {
        for n in self.present(link, count) {
            if self.is_constant(link + n) {
                continue;
            }
            let at_once = self.records.chain.wants.is_empty();
            if !at_once || !self.records.take_at_once(self.id, link + n, into + n) {
                self.want_into(link + n, into + n);
            }
        }
    }

    /// Wants a value to be written through a link. The next stage has in [`Self::got`] whether it was.
    pub fn want_put(&mut self, link: u16, val: impl Into<Val>) {
        self.records.chain.wants.push_back(Want::Put {
            link,
            val: val.into(),
        });
    }

    /// Wants a value to be written through a link, and goes on with a stage of its own when all is done
    /// that this sets in motion. Meanwhile the record is `Flow::Idle`, or has ended.
    pub fn want_put_and_wait(&mut self, link: u16, val: impl Into<Val>, stage: u8) {
        let val = val.into();
        self.records
            .chain
            .wants
            .push_back(Want::PutAndWait { link, val, stage });
    }

    /// Wants to process what a link leads to, if it is passive, and goes on with a stage of its own when
    /// all is done that this sets in motion.
    pub fn want_process_and_wait(&mut self, link: u16, stage: u8) {
        self.records
            .chain
            .wants
            .push_back(Want::ProcessAndWait { link, stage });
    }

    /// The same for a PV by its name.
    pub fn want_put_pv(&mut self, name: String, val: impl Into<Val>, stage: u8) {
        let val = val.into();
        self.records
            .chain
            .wants
            .push_back(Want::PutPv { name, val, stage });
    }

    /// The value of a PV by its name, without processing anything.
    pub fn read_pv(&mut self, name: &str, to: Dbf) -> Option<Val> {
        self.records.read_pv(name, to)
    }

    /// Whether a PV of this name can be read.
    pub fn has_pv(&mut self, name: &str) -> bool {
        self.records.find_field(name).is_some()
            || self.records.read_named(name, Dbf::Double).is_some()
    }

    /// Processes the record, while it has SCAN `I/O Intr`, when the PV of this name changes; of each slot
    /// the last name counts.
    pub fn follow_pv(&mut self, slot: u16, name: &str) {
        self.records.follow_pv(self.id, slot, name);
    }

    /// The puts that this stage wanted are waited for; a stage of its own goes on when all is done that
    /// they set in motion.
    pub(in crate::process) fn wait_for_puts(&mut self, stage: u8) {
        let mut waits = false;
        for want in &mut self.records.chain.wants {
            if let Want::Put { link, val } = want {
                let (link, val) = (*link, val.clone());
                *want = Want::PutAndWait { link, val, stage };
                waits = true;
            }
        }
        if !waits {
            // Nothing was written.
            let root = crate::process::chain::Root::Resume(self.id, stage);
            self.records.chain.roots.push_back(root);
        }
    }

    /// Whether a link leads to another record of this IOC.
    pub fn leads_elsewhere(&self, link: u16) -> bool {
        self.linked(link).is_some_and(|(id, _)| id != self.id)
    }

    /// Whether a link goes through Channel Access (`CA`), so that it is waited for.
    pub fn waits_for(&self, link: u16) -> bool {
        match self.record().fields.get(link) {
            Some(Val::Link(link)) => match &**link {
                Link::Pv(link) => link.process == LinkProcess::Ca || link.to == LinkTo::Remote,
                _ => false,
            },
            _ => false,
        }
    }

    /// Wants an event to be posted behind what was wanted before.
    pub fn want_event(&mut self, name: String) {
        self.records.chain.wants.push_back(Want::Event(name));
    }

    /// Wants to process what a link leads to, if it is passive.
    pub fn want_forward(&mut self, link: u16) {
        if self.record().fields.get(link).is_some() {
            self.records.chain.wants.push_back(Want::Forward { link });
        }
    }

    /// What the links gave that the last stage wanted something from, in its order. Forward links give
    /// nothing.
    pub fn got(&self) -> &[Got] {
        self.records
            .chain
            .got
            .get(self.height..self.top)
            .unwrap_or_default()
    }

    /// Whether one of those links could not be used.
    pub fn any_failed(&self) -> bool {
        self.got().iter().any(Got::failed)
    }

    /// The record and field of this IOC that a link leads to.
    pub fn linked(&self, link: u16) -> Option<(u32, u16)> {
        match self.record().fields.get(link)? {
            Val::Link(link) => match &**link {
                Link::Pv(link) => match link.to {
                    LinkTo::Local(id, field) => Some((id, field)),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of a field of another record as a real number.
    pub fn read_linked(&self, id: u32, field: u16) -> f64 {
        self.records.get(id, field).as_f64()
    }
}
