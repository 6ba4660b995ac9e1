//! What the functions of a record type work with: its record, seen alone.

mod alarms;
mod functions;
mod links;
mod values;
mod view;

use std::sync::Arc;

use super::database::Records;
use crate::record::{Flow, Id, Record, RecordType, Support, Val, common};
use crate::state::codec::saved;

pub use view::View;

/// The device support that is at work: DTYP counts when the record starts, and when its link is written.
pub(super) const DEVICE: u16 = common::DSET;

/// What reading or writing through a link gave.
#[derive(Clone, PartialEq, Debug)]
pub enum Got {
    /// The link is a constant or empty, so nothing was read; or something was written.
    Nothing,
    /// A value.
    Val(Val),
    /// The link could not be used, which raised an alarm.
    Failed,
}

saved!(enum Got { 0 Nothing, 1 Val(val), 2 Failed });

impl Got {
    /// Whether the link could not be used.
    pub const fn failed(&self) -> bool {
        matches!(self, Self::Failed)
    }
}

/// A record that is processed, written or started: what the functions of its type work with.
#[derive(Debug)]
pub struct Cx<'a> {
    records: &'a mut Records,
    id: Id,
    of: &'a RecordType,
    /// Where the values begin that the stage before wanted, and where they end.
    height: usize,
    top: usize,
}

impl<'a> Cx<'a> {
    /// Calls a function of a record's type.
    pub(super) fn with<T>(
        records: &mut Records,
        id: Id,
        call: impl FnOnce(&mut Cx<'_>, &'static Support) -> T,
    ) -> T {
        let of = Arc::clone(records.type_of(id));
        let height = records.chain.got.len();
        let mut cx = Cx {
            records,
            id,
            of: &of,
            height,
            top: height,
        };
        call(&mut cx, of.support)
    }

    /// Calls a stage of a record of this type.
    pub(super) fn stage(
        records: &'a mut Records,
        of: &'a RecordType,
        id: Id,
        stage: u8,
        height: usize,
    ) -> Flow {
        let top = records.chain.got.len();
        let mut cx = Self {
            records,
            id,
            of,
            height,
            top,
        };
        (of.support.process)(&mut cx, stage)
    }

    #[inline]
    fn record(&self) -> &Record {
        self.records.record(self.id)
    }

    #[inline]
    fn record_mut(&mut self) -> &mut Record {
        self.records.record_mut(self.id)
    }

    /// The record, to be read.
    pub fn view(&self) -> View<'_> {
        self.records.view(self.id)
    }
}
