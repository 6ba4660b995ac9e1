//! What reports tell of records.

use std::sync::Arc;

use super::database::Records;
use super::scan::Which;
use crate::record::{Link, Val};

/// A list of records that are processed for the same reason.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum ScanList {
    /// By the number of its period in `menuScan`.
    Period(u16),
    /// By name and PRIO.
    Event(Box<[u8]>, u8),
    /// By PRIO.
    Interrupt(u8),
}

impl Records {
    /// Other names of records, by record and name.
    pub(crate) fn aliases(&self) -> Vec<(u32, Box<str>)> {
        let all = self.aliases.iter();
        let mut all: Vec<_> = all.map(|(name, &id)| (id, name.clone())).collect();
        all.sort();
        all
    }

    /// The `info`s of a record.
    pub(crate) fn infos(&self, id: u32) -> impl Iterator<Item = (&str, &str)> {
        let all = self.infos.get(&id).into_iter().flatten();
        all.map(|(name, value)| (&**name, &**value))
    }

    /// The value of a field as the record holds it.
    pub(crate) fn raw(&self, id: u32, field: u16) -> Val {
        self.record(id).get(self.type_of(id), field)
    }

    /// A link of a record.
    pub(crate) fn link_of(&self, id: u32, field: u16) -> Option<Arc<Link>> {
        match self.record(id).held(self.type_of(id), field) {
            Val::Link(link) => Some(Arc::clone(link)),
            _ => None,
        }
    }

    /// The scan lists, each with its first records in their order.
    pub(crate) fn scan_lists(&self, most: usize) -> Vec<(ScanList, Vec<u32>)> {
        let lists = self.scans.lists.iter().map(|(which, list)| {
            let which = match which {
                Which::Period(number) => ScanList::Period(*number),
                Which::Event(name, priority) => ScanList::Event(name.clone(), *priority),
                Which::Interrupt(priority) => ScanList::Interrupt(*priority),
            };
            (which, list.ids().take(most).collect())
        });
        let mut lists: Vec<_> = lists.collect();
        lists.sort();
        lists
    }

    /// The period of a choice of `menuScan`, in seconds.
    pub(crate) fn period(&self, number: u16) -> Option<f64> {
        let period = self.scans.periods.get(usize::from(number)).copied();
        period.flatten().map(|period| period.as_secs_f64())
    }
}
