//! Subscriptions: changes of a PV as a stream.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use ca_net::WakerList;
use ca_proto::EcaStatus;
use ca_proto::client::{
    self as proto, Item, Lifecycle, Malformed, MonitorQueue, OpError, Overflow, TypeSpec, Update,
};
use ca_proto::dbr::{Brief, DbrType, Family, Reading};
use ca_proto::ids::SubId;
use ca_proto::wire::message::EventMask;
use futures_core::Stream;

use crate::channel::{Channel, ChannelInner};
use crate::convert::FromReading;
use crate::shared::{Sub, SubKey};
use crate::sync::{Mutex, MutexGuard};

/// Updates that wait for their reader before the overflow policy takes effect.
const DEFAULT_DEPTH: usize = 4;

/// Bytes of updates that wait for their reader before the same happens, but for a single one.
const DEFAULT_MAX_BYTES: usize = 64 << 20;

/// What to subscribe to, and how updates wait for their reader.
///
/// # Examples
/// ```
/// use ca_client::{EventMask, Overflow, SubSpec};
///
/// let every_value_logged = SubSpec::time().mask(EventMask::LOG).depth(1000);
/// let a_gui = SubSpec::of::<f64>().overflow(Overflow::LatestOnly);
/// # let _ = (every_value_logged, a_gui);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct SubSpec {
    pub(crate) wire: proto::SubSpec,
    pub(crate) depth: usize,
    pub(crate) overflow: Overflow,
    pub(crate) max_bytes: usize,
}

impl SubSpec {
    const fn new(ty: TypeSpec) -> Self {
        Self {
            wire: proto::SubSpec {
                ty,
                count: 0,
                mask: EventMask::VALUE.union(EventMask::ALARM),
            },
            depth: DEFAULT_DEPTH,
            overflow: Overflow::Squash,
            max_bytes: DEFAULT_MAX_BYTES,
        }
    }

    /// The native type with alarm and time stamp, the whole array, changes of value and alarm.
    pub const fn time() -> Self {
        Self::family(Family::Time)
    }

    /// The native type in a family.
    pub const fn family(family: Family) -> Self {
        Self::new(TypeSpec::Family(family))
    }

    /// Exactly this type.
    pub const fn exact(ty: DbrType) -> Self {
        Self::new(TypeSpec::Exact(ty))
    }

    /// The type that a `T` is read from, converted by the server, with alarm and time stamp; one
    /// element for scalars.
    pub fn of<T: FromReading>() -> Self {
        let family = match T::FAMILY {
            Family::Plain => Family::Time,
            family => family,
        };
        let spec = match T::NATIVE {
            Some(native) => Self::exact(DbrType::new(family, native)),
            None => Self::family(family),
        };
        spec.count(T::COUNT)
    }

    /// Number of elements; 0 follows the current length. Default: 0.
    pub const fn count(mut self, count: u32) -> Self {
        self.wire.count = count;
        self
    }

    /// Which changes cause an update. Default: value and alarm.
    pub const fn mask(mut self, mask: EventMask) -> Self {
        self.wire.mask = mask;
        self
    }

    /// Updates that may wait for their reader, at least 1. Default: 4.
    pub const fn depth(mut self, depth: usize) -> Self {
        self.depth = depth;
        self
    }

    /// Bytes of updates that may wait for their reader; what is above is treated as what is above
    /// the [depth](Self::depth). One update is kept, however large. Default: 64 MiB.
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// What happens with an update that finds the queue full. Default: it replaces the newest.
    pub const fn overflow(mut self, policy: Overflow) -> Self {
        self.overflow = policy;
        self
    }
}

impl Default for SubSpec {
    fn default() -> Self {
        Self::time()
    }
}

/// What a subscription tells.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Monitor {
    /// The PV's state after a change, or at the start.
    Update {
        /// What came.
        reading: Reading,
        /// Updates that were lost here, between the one before and this one, because the reader
        /// was slower than the PV.
        skipped: u64,
    },
    /// The channel was lost; no updates come until it is back.
    Disconnected,
    /// The channel is connected now, again or for the first time since the subscription was made;
    /// its present state follows.
    Connected,
    /// The server refuses updates for now, mostly `ECA_NORDACCESS`; they go on when it has a
    /// reason to.
    Failed(EcaStatus),
    /// An update came in which this side found no value.
    Malformed(Malformed),
}

impl Monitor {
    /// The reading of an update.
    pub const fn reading(&self) -> Option<&Reading> {
        match self {
            Self::Update { reading, .. } => Some(reading),
            _ => None,
        }
    }

    /// The value of an update as a `T`; `None` for other items and for values that do not
    /// convert.
    pub fn value<T: FromReading>(&self) -> Option<T> {
        self.reading()
            .and_then(|reading| T::from_reading(reading).ok())
    }
}

/// A subscription's queue and its reader: a leaf lock, taken for a push or a pop only.
#[derive(Debug)]
pub(crate) struct SubSlot(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    queue: MonitorQueue<News>,
    waker: Option<Waker>,
    /// The client was closed; the stream ends when the queue is empty.
    ended: bool,
}

impl SubSlot {
    fn new(spec: &SubSpec) -> Self {
        Self(Mutex::new(Inner {
            queue: MonitorQueue::new(spec.depth, spec.overflow).with_budget(spec.max_bytes, weight),
            waker: None,
            ended: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // hot: every update of a scalar.
    #[inline]
    pub(crate) fn brief(&self, brief: Brief, wakers: &mut WakerList) {
        let mut inner = self.lock();
        let fill = |value: &mut News| *value = Ok(brief.into());
        inner.queue.push_light(NO_NEWS, fill);
        wakers.extend(inner.waker.take());
    }

    pub(crate) fn update(&self, update: &Update<'_>, wakers: &mut WakerList) {
        let mut inner = self.lock();
        let fill = |value: &mut News| take_update(value, update);
        inner.queue.push_with(NO_NEWS, fill);
        wakers.extend(inner.waker.take());
    }

    pub(crate) fn mark(&self, change: Lifecycle, wakers: &mut WakerList) {
        let mut inner = self.lock();
        inner.queue.mark(change);
        wakers.extend(inner.waker.take());
    }

    pub(crate) fn end(&self, wakers: &mut WakerList) {
        let mut inner = self.lock();
        inner.ended = true;
        wakers.extend(inner.waker.take());
    }

    fn pop(&self) -> Option<Monitor> {
        self.lock().pop()
    }

    /// The waker is only there while the reader waits for an empty queue, so a reader is woken
    /// once however many updates come.
    fn poll_pop(&self, waker: &Waker) -> Poll<Option<Monitor>> {
        let mut inner = self.lock();
        if let Some(item) = inner.pop() {
            return Poll::Ready(Some(item));
        }
        if inner.ended {
            return Poll::Ready(None);
        }
        let old = inner.waker.replace(waker.clone());
        drop(inner);
        drop(old);
        Poll::Pending
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Monitor> {
        self.queue.pop().map(Monitor::new)
    }
}

/// What an update brings.
pub(crate) type News = Result<Reading, NoValue>;

/// Why an update brings no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoValue {
    Status(EcaStatus),
    Malformed(Malformed),
}

/// Bytes that an update holds beside its place in the queue: small ones none.
pub(crate) fn weight(news: &News) -> usize {
    let heap = |reading: &Reading| reading.payload().shared().map_or(0, |bytes| bytes.len());
    news.as_ref().map_or(0, heap)
}

/// News to be filled in.
pub(crate) const NO_NEWS: News = Ok(Reading::empty());

/// Fills in what an update brings.
pub(crate) fn take_update(news: &mut News, update: &Update<'_>) {
    if let Some(what) = update.malformed {
        *news = Err(NoValue::Malformed(what));
    } else if update.status != EcaStatus::NORMAL {
        *news = Err(NoValue::Status(update.status));
    } else if let Ok(reading) = news
        && reading.set(update.ty, update.count, update.frame).is_err()
    {
        *news = Err(NoValue::Status(EcaStatus::BADCOUNT));
    }
}

/// What an update brings, for what is not in its place yet.
pub(crate) fn news(update: &Update<'_>) -> News {
    let mut news = NO_NEWS;
    take_update(&mut news, update);
    news
}

impl Monitor {
    pub(crate) fn new(news: Item<News>) -> Self {
        match news {
            Item::Value {
                value: Ok(reading),
                skipped,
            } => Self::Update { reading, skipped },
            Item::Value {
                value: Err(NoValue::Status(status)),
                ..
            } => Self::Failed(status),
            Item::Value {
                value: Err(NoValue::Malformed(what)),
                ..
            } => Self::Malformed(what),
            Item::Lifecycle(Lifecycle::Disconnected) => Self::Disconnected,
            Item::Lifecycle(Lifecycle::Connected) => Self::Connected,
        }
    }
}

/// Changes of a PV, as a [`Stream`] or with [`next`](Self::next). Dropping it cancels the
/// subscription. It ends when the client is closed.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
/// use ca_client::{Client, EventMask, Overflow, SubSpec};
/// use futures_util::StreamExt;
/// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
/// let motor = client.channel("m1").await?;
/// // A display: only the newest value matters.
/// let display = SubSpec::of::<f64>().overflow(Overflow::LatestOnly);
/// let mut display = motor.subscribe(display)?;
/// assert_eq!(display.next().await.unwrap().value(), Some(1.5));
/// assert!(display.try_next().is_none() && display.latest().is_none());
///
/// // An archiver: every value, and the number of those it missed.
/// let archive = SubSpec::time().mask(EventMask::LOG).depth(1000).overflow(Overflow::DropOldest);
/// let archive = motor.subscribe(archive)?;
/// let first: Vec<_> = archive.take(1).collect().await;
/// assert_eq!(first[0].value(), Some(1.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Subscription {
    channel: Arc<ChannelInner>,
    slot: Arc<SubSlot>,
    key: SubKey,
    id: SubId,
}

impl Subscription {
    pub(crate) fn start(channel: Arc<ChannelInner>, spec: SubSpec) -> Result<Self, OpError> {
        let slot = Arc::new(SubSlot::new(&spec));
        let cid = channel.cid;
        let (key, id) = channel.client.shared.with(|state, now, _| {
            state.subscribe(now, cid, spec.wire, Sub::Single(slot.clone()))
        })?;
        Ok(Self {
            channel,
            slot,
            key,
            id,
        })
    }

    /// The channel, as a handle of its own.
    pub fn channel(&self) -> Channel {
        let timeout = self.channel.client.shared.config.timeout();
        Channel::new(self.channel.clone(), timeout)
    }

    /// Waits for the next item; `None` after the client was closed.
    ///
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Option<Monitor> {
        poll_fn(|cx| self.slot.poll_pop(cx.waker())).await
    }

    /// The next item, if one is waiting.
    pub fn try_next(&mut self) -> Option<Monitor> {
        self.slot.pop()
    }

    /// The newest of the waiting items; the older ones are dropped, their updates counted as
    /// skipped.
    pub fn latest(&mut self) -> Option<Monitor> {
        let mut inner = self.slot.lock();
        let mut newest = inner.pop()?;
        let mut dropped: u64 = 0;
        loop {
            if let Monitor::Update { skipped, .. } = &newest {
                dropped = dropped.saturating_add(*skipped).saturating_add(1);
            }
            match inner.pop() {
                Some(item) => newest = item,
                None => break,
            }
        }
        if let Monitor::Update { skipped, .. } = &mut newest {
            *skipped = dropped - 1;
        }
        Some(newest)
    }
}

impl Stream for Subscription {
    type Item = Monitor;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Monitor>> {
        self.slot.poll_pop(cx.waker())
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let (key, id) = (self.key, self.id);
        self.channel.client.shared.with(|state, now, _| {
            state.core.unsubscribe(now, id);
            // Our own reference keeps it from being dropped under the lock.
            state.results.subs.remove(key);
        });
    }
}
