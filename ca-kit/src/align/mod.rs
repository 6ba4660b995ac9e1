//! Updates of many PVs that belong together, as rows.

mod store;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ca_client::{
    Channel, Client, ConnectError, MonitorError, MonitorEvent, MonitorKey, MonitorSet, MonitorSpec,
    Overflow, Pv, Reading, Timestamp,
};
use futures_core::Stream;
use thiserror::Error;

use self::store::Store;
use crate::face::{Face, Named};

/// Rows that are kept unless told otherwise: some seconds at the rate of a machine.
const DEPTH: usize = 200;
/// Places for values in all rows that are kept.
pub const MAX_PLACES: usize = 1 << 24;
/// Bytes of values in all rows that are kept, unless told otherwise.
const MAX_BYTES: usize = 256 << 20;
/// Updates of one PV that wait for their row.
const QUEUE: usize = 1024;

/// What the updates of a row have in common: a pulse number, or a time stamp in nanoseconds since the EPICS
/// epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tag(pub u64);

impl From<Timestamp> for Tag {
    fn from(stamp: Timestamp) -> Self {
        Self(u64::from(stamp.secs) * 1_000_000_000 + u64::from(stamp.nanos))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

type TagOf = Arc<dyn Fn(&Reading) -> Option<Tag> + Send + Sync>;

/// Values that belong together.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AlignedRow {
    /// What they have in common; with a tolerance that of the first that came.
    pub tag: Tag,
    /// The value of each PV, in the order in which they were named; `None` where none came.
    pub values: Vec<Option<Reading>>,
}

impl AlignedRow {
    /// True if there is a value of every PV.
    pub fn is_complete(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }

    /// The first elements as numbers; NaN where there is none.
    pub fn numbers(&self) -> Vec<f64> {
        let number = |value: &Option<Reading>| value.as_ref().and_then(|it| it.get_f64(0));
        self.values
            .iter()
            .map(|value| number(value).unwrap_or(f64::NAN))
            .collect()
    }
}

/// What was counted since it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct AlignCounts {
    /// Updates that came.
    pub updates: u64,
    /// Rows that became complete.
    pub complete: u64,
    /// Rows that left the buffer before they were complete.
    pub incomplete: u64,
    /// Second values for a place that had one; the first one stays.
    pub twice: u64,
    /// Updates without a tag.
    pub untagged: u64,
    /// Updates that were lost before they were looked at, as the rows were read too slowly.
    pub lost: u64,
}

/// Why rows cannot be made.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum AlignError {
    /// There are no PVs.
    #[error("nothing is aligned: name at least one PV")]
    Empty,
    /// So many rows of so many PVs are too many.
    #[error(
        "{rows} rows of {pvs} PVs are more than {MAX_PLACES} places; keep fewer rows, or align fewer PVs"
    )]
    TooMany {
        /// Rows to be kept.
        rows: usize,
        /// PVs in each.
        pvs: usize,
    },
    /// A channel cannot be opened.
    #[error(transparent)]
    Open(#[from] ConnectError),
    /// A subscription cannot be made.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

/// Aligned monitors with their options: [`Kit::align`](crate::Kit::align).
#[must_use = "it has to be started"]
pub struct Align<'c, C> {
    face: &'c C,
    pvs: Vec<Named>,
    tag: TagOf,
    within: u64,
    depth: usize,
    max_bytes: usize,
    partial: bool,
    spec: MonitorSpec,
}

impl<C> fmt::Debug for Align<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut it = f.debug_struct("Align");
        it.field("pvs", &self.pvs.len())
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

impl<'c, C: Face> Align<'c, C> {
    pub(crate) fn new<'p>(face: &'c C, pvs: impl IntoIterator<Item = impl Into<Pv<'p>>>) -> Self {
        Self {
            face,
            pvs: pvs.into_iter().map(Named::new).collect(),
            tag: Arc::new(|reading| reading.timestamp().map(Tag::from)),
            within: 0,
            depth: DEPTH,
            max_bytes: MAX_BYTES,
            partial: false,
            spec: MonitorSpec::time(),
        }
    }

    /// Values belong together when their time stamps are at most this far apart from that of the first.
    /// Default: they are the same.
    pub fn within(mut self, time: Duration) -> Self {
        self.within = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self
    }

    /// Values belong together when the lowest bits of the nanoseconds in their time stamps are the same:
    /// there some machines keep the number of the pulse, as LCLS does with 17 bits. A number comes again
    /// when the bits are used up, so no more rows than that can be kept.
    pub fn by_pulse(mut self, bits: u32) -> Self {
        let mask = 1u32.checked_shl(bits).map_or(u32::MAX, |bit| bit - 1);
        self.tag = Arc::new(move |reading| {
            let stamp = reading.timestamp()?;
            Some(Tag(u64::from(stamp.nanos & mask)))
        });
        self
    }

    /// Values belong together when this gives the same for them; what gives nothing is left out.
    pub fn by(mut self, tag: impl Fn(&Reading) -> Option<Tag> + Send + Sync + 'static) -> Self {
        self.tag = Arc::new(tag);
        self
    }

    /// Rows that are kept: how far behind the others a PV may be, and how far back
    /// [`get_at`](Aligned::get_at) looks. Default: 200, at least 1.
    pub fn depth(mut self, rows: usize) -> Self {
        self.depth = rows.max(1);
        self
    }

    /// Bytes of values that are kept; the oldest rows make room. Default: 256 MiB.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Gives rows that never became complete, too, when they leave the buffer.
    pub const fn partial(mut self) -> Self {
        self.partial = true;
        self
    }

    /// What is monitored of each PV; its depth and policy are those of the alignment.
    pub const fn spec(mut self, spec: MonitorSpec) -> Self {
        self.spec = spec;
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`AlignError`].
    pub fn start(self) -> Result<Aligned<'c, C>, AlignError> {
        let client = self.face.beneath();
        let (rows, pvs) = (self.depth, self.pvs.len());
        if pvs == 0 {
            return Err(AlignError::Empty);
        }
        if rows
            .checked_mul(pvs)
            .is_none_or(|places| places > MAX_PLACES)
        {
            return Err(AlignError::TooMany { rows, pvs });
        }
        let mut set = client.monitor_set();
        let mut places = Vec::new();
        let spec = self.spec.depth(QUEUE).overflow(Overflow::DropOldest);
        for (place, pv) in self.pvs.iter().enumerate() {
            let channel: Channel = pv.open(client)?;
            let index = set.add(&channel, spec)?.index();
            if places.len() <= index {
                places.resize(index + 1, usize::MAX);
            }
            places[index] = place;
        }
        Ok(Aligned {
            face: self.face,
            set,
            places,
            tag: self.tag,
            store: Store::new(pvs, self.depth, self.max_bytes, self.within, self.partial),
            ended: false,
        })
    }
}

/// Rows of values that belong together, as they become complete. On an async [`Client`] it is a [`Stream`]
/// with [`next`](Aligned::next); on a blocking one an iterator that waits.
pub struct Aligned<'c, C> {
    #[cfg_attr(not(feature = "blocking"), expect(dead_code))]
    face: &'c C,
    set: MonitorSet,
    /// Places in a row by the index of a key.
    places: Vec<usize>,
    tag: TagOf,
    store: Store,
    ended: bool,
}

impl<C> fmt::Debug for Aligned<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Aligned")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl<C> Aligned<'_, C> {
    /// The row of this tag as far as it is there, complete or not, given before or not; `None` if nothing
    /// of it came, or it has left the buffer. With a tolerance: the closest.
    pub fn get_at(&self, tag: impl Into<Tag>) -> Option<Arc<AlignedRow>> {
        self.store.get(tag.into())
    }

    /// What was counted so far.
    pub const fn counts(&self) -> AlignCounts {
        self.store.counts
    }

    // hot: every update.
    fn take(&mut self, key: MonitorKey, event: MonitorEvent) {
        let MonitorEvent::Update { value, skipped } = event else {
            return;
        };
        self.store.counts.lost += skipped;
        let place = self.places.get(key.index()).copied().unwrap_or(usize::MAX);
        let tag = (self.tag)(&value);
        self.store.take(place, tag, value);
    }

    fn poll_row(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arc<AlignedRow>>> {
        loop {
            if let Some(row) = self.store.pop() {
                return Poll::Ready(Some(row));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.set).poll_next(cx)) {
                Some((key, event)) => self.take(key, event),
                None => self.ended = true,
            }
        }
    }
}

impl Aligned<'_, Client> {
    /// Waits for the next row; `None` after the client was closed.
    ///
    /// # Cancel safety
    /// Safe: no row is lost.
    pub async fn next(&mut self) -> Option<Arc<AlignedRow>> {
        std::future::poll_fn(|cx| self.poll_row(cx)).await
    }
}

impl Stream for Aligned<'_, Client> {
    type Item = Arc<AlignedRow>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_row(cx)
    }
}

#[cfg(feature = "blocking")]
impl Iterator for Aligned<'_, ca_client::blocking::Client> {
    type Item = Arc<AlignedRow>;

    fn next(&mut self) -> Option<Self::Item> {
        let face = self.face;
        face.block_on(std::future::poll_fn(|cx| self.poll_row(cx)))
    }
}
