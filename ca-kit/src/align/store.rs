//! The rows of an alignment: places for the values of each tag, a bounded number of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use ca_client::Reading;

use super::{AlignCounts, AlignedRow, Tag};

#[derive(Debug)]
pub(super) struct Store {
    pvs: usize,
    depth: usize,
    max_bytes: usize,
    /// How far a tag may be from that of the row.
    within: u64,
    partial: bool,
    rows: BTreeMap<Tag, Row>,
    /// Tags of the rows in the order in which they began: pulse numbers begin at 0 again.
    order: VecDeque<Tag>,
    /// Bytes of the values in all rows.
    bytes: usize,
    /// Rows that were not given yet.
    ready: VecDeque<Arc<AlignedRow>>,
    pub(super) counts: AlignCounts,
}

/// A row while its values come, and when all are there.
#[derive(Debug)]
enum Row {
    Open {
        row: AlignedRow,
        missing: usize,
        bytes: usize,
    },
    Whole(Arc<AlignedRow>, usize),
}

impl Store {
    pub(super) fn new(
        pvs: usize,
        depth: usize,
        max_bytes: usize,
        within: u64,
        partial: bool,
    ) -> Self {
        Self {
            pvs,
            depth,
            max_bytes,
            within,
            partial,
            rows: BTreeMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            ready: VecDeque::new(),
            counts: AlignCounts::default(),
        }
    }

    pub(super) fn pop(&mut self) -> Option<Arc<AlignedRow>> {
        self.ready.pop_front()
    }

    pub(super) fn get(&self, tag: Tag) -> Option<Arc<AlignedRow>> {
        match self.rows.get(&self.nearest(tag)?)? {
            Row::Whole(row, _) => Some(row.clone()),
            Row::Open { row, .. } => Some(Arc::new(row.clone())),
        }
    }

    /// The tag of the row that a value with this tag belongs to.
    fn nearest(&self, tag: Tag) -> Option<Tag> {
        if self.within == 0 {
            return self.rows.contains_key(&tag).then_some(tag);
        }
        let low = Tag(tag.0.saturating_sub(self.within));
        let high = Tag(tag.0.saturating_add(self.within));
        let below = self.rows.range(low..=tag).next_back();
        let above = self.rows.range(tag..=high).next();
        let tags = below.into_iter().chain(above).map(|(tag, _)| *tag);
        tags.min_by_key(|other| other.0.abs_diff(tag.0))
    }

    // hot: every update.
    pub(super) fn take(&mut self, place: usize, tag: Option<Tag>, value: Reading) {
        self.counts.updates += 1;
        let Some(tag) = tag else {
            self.counts.untagged += 1;
            return;
        };
        let tag = self.nearest(tag).unwrap_or_else(|| self.begin(tag));
        let Some(Row::Open {
            row,
            missing,
            bytes,
        }) = self.rows.get_mut(&tag)
        else {
            self.counts.twice += 1;
            return;
        };
        match row.values.get_mut(place) {
            Some(free @ None) => {
                let size = value.payload().as_slice().len();
                *bytes += size;
                self.bytes += size;
                *free = Some(value);
                *missing -= 1;
            }
            _ => {
                self.counts.twice += 1;
                return;
            }
        }
        if *missing == 0 {
            let values = std::mem::take(&mut row.values);
            let whole = Arc::new(AlignedRow { tag, values });
            let bytes = *bytes;
            self.ready.push_back(whole.clone());
            self.rows.insert(tag, Row::Whole(whole, bytes));
            self.counts.complete += 1;
        }
        while self.order.len() > 1 && self.bytes > self.max_bytes {
            self.evict();
        }
    }

    /// Makes an empty row, for which the oldest one makes room.
    fn begin(&mut self, tag: Tag) -> Tag {
        while self.order.len() >= self.depth {
            self.evict();
        }
        let row = AlignedRow {
            tag,
            values: vec![None; self.pvs],
        };
        let missing = self.pvs;
        self.rows.insert(
            tag,
            Row::Open {
                row,
                missing,
                bytes: 0,
            },
        );
        self.order.push_back(tag);
        tag
    }

    fn evict(&mut self) {
        let oldest = self.order.pop_front();
        match oldest.and_then(|tag| self.rows.remove(&tag)) {
            Some(Row::Open { row, bytes, .. }) => {
                self.bytes -= bytes;
                self.counts.incomplete += 1;
                if self.partial {
                    self.ready.push_back(Arc::new(row));
                }
            }
            Some(Row::Whole(_, bytes)) => self.bytes -= bytes,
            None => {}
        }
    }
}
