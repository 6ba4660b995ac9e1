//! Monitors: changes of a PV as a stream.

use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use ca_net::WakerList;
use ca_proto::client::{
    self as proto, Item, Lifecycle, Malformed, MonitorQueue, OpError, Overflow, ReadSpec, TypeSpec,
    Update,
};
use ca_proto::dbr::{Brief, DbrType, Family, Reading};
use ca_proto::ids::SubId;
use ca_proto::wire::message::EventMask;
use ca_proto::{EcaStatus, Instant};
use futures_core::Stream;

use crate::channel::{Channel, ChannelInner};
use crate::convert::{FromReading, ValueError, with_family};
use crate::error::MonitorError;
use crate::shared::{Sub, SubKey};
use crate::sync::{Mutex, MutexGuard};

/// Updates that wait for their reader before the overflow policy takes effect.
const DEFAULT_DEPTH: usize = 4;

/// Bytes of updates that wait for their reader before the same happens, but for a single one.
const DEFAULT_MAX_BYTES: usize = 64 << 20;

/// What to monitor, and how updates wait for their reader.
///
/// # Examples
/// ```
/// use ca_client::{EventMask, Overflow, MonitorSpec};
///
/// let every_value_logged = MonitorSpec::time().mask(EventMask::LOG).depth(1000);
/// let a_gui = MonitorSpec::of::<f64>().overflow(Overflow::LatestOnly);
/// # let _ = (every_value_logged, a_gui);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub struct MonitorSpec {
    pub(crate) wire: proto::SubSpec,
    pub(crate) depth: usize,
    pub(crate) overflow: Overflow,
    pub(crate) max_bytes: usize,
}

impl MonitorSpec {
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

impl Default for MonitorSpec {
    fn default() -> Self {
        Self::time()
    }
}

/// What a monitor tells.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum MonitorEvent<T = Reading> {
    /// The PV's state after a change, or at the start.
    Update {
        /// What came.
        value: T,
        /// Updates that were lost here, between the one before and this one, because the reader
        /// was slower than the PV.
        skipped: u64,
    },
    /// The channel was lost; no updates come until it is back.
    Disconnected,
    /// The channel is connected now, again or for the first time since the monitor was started;
    /// its present state follows.
    Connected,
    /// The server refuses updates for now, mostly `ECA_NORDACCESS`; they go on when it has a
    /// reason to.
    Failed(EcaStatus),
    /// An update came in which this side found no value.
    Malformed(Malformed),
    /// An update came whose value is none of a `T`.
    Unusable(ValueError),
}

impl<T> MonitorEvent<T> {
    /// The value of an update.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Update { value, .. } => Some(value),
            _ => None,
        }
    }

    /// The value of an update, taken out.
    pub fn into_value(self) -> Option<T> {
        match self {
            Self::Update { value, .. } => Some(value),
            _ => None,
        }
    }
}

impl MonitorEvent {
    /// The value of an update as a `T`; `None` for other events and for values that do not
    /// convert.
    pub fn value_as<T: FromReading>(&self) -> Option<T> {
        self.value()
            .and_then(|reading| T::from_reading(reading).ok())
    }

    /// The same with its value as a `T`.
    #[inline]
    fn typed<T: FromReading>(self) -> MonitorEvent<T> {
        match self {
            Self::Update { value, skipped } => match T::from_owned(value) {
                Ok(value) => MonitorEvent::Update { value, skipped },
                Err(reason) => MonitorEvent::Unusable(reason),
            },
            Self::Disconnected => MonitorEvent::Disconnected,
            Self::Connected => MonitorEvent::Connected,
            Self::Failed(status) => MonitorEvent::Failed(status),
            Self::Malformed(what) => MonitorEvent::Malformed(what),
            Self::Unusable(reason) => MonitorEvent::Unusable(reason),
        }
    }
}

/// A subscription's queue and its reader: a leaf lock, taken for a push or a pop only.
pub(crate) struct SubSlot(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    queue: MonitorQueue<News>,
    waker: Option<Waker>,
    /// The client was closed; the stream ends when the queue is empty.
    ended: bool,
}

impl SubSlot {
    fn new(spec: &MonitorSpec) -> Self {
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

    fn pop(&self) -> Option<MonitorEvent> {
        self.lock().pop()
    }

    /// The waker is only there while the reader waits for an empty queue, so a reader is woken
    /// once however many updates come.
    fn poll_pop(&self, waker: &Waker) -> Poll<Option<MonitorEvent>> {
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
    fn pop(&mut self) -> Option<MonitorEvent> {
        self.queue.pop().map(MonitorEvent::new)
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

impl MonitorEvent {
    pub(crate) fn new(news: Item<News>) -> Self {
        match news {
            Item::Value {
                value: Ok(value),
                skipped,
            } => Self::Update { value, skipped },
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

/// Changes of a PV, as a [`Stream`] or with [`next`](Self::next): [`Channel::monitor`]. Dropping it
/// cancels the subscription. It ends when the client is closed.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
/// use ca_client::{Client, EventMask, Overflow, Reading};
/// use futures_util::StreamExt;
/// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
/// let motor = client.connect("m1").await?;
/// // A display: only the newest value matters.
/// let mut display = motor.monitor::<f64>().overflow(Overflow::LatestOnly).start()?;
/// assert_eq!(display.next().await.unwrap().value(), Some(&1.5));
/// assert!(display.try_next().is_none() && display.latest().is_none());
///
/// // An archiver: every value, and the number of those it missed.
/// let archive = motor.monitor::<Reading>().mask(EventMask::LOG);
/// let archive = archive.depth(1000).overflow(Overflow::DropOldest).start()?;
/// let first: Vec<_> = archive.take(1).collect().await;
/// assert_eq!(first[0].value_as(), Some(1.5));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Monitor<T = Reading> {
    channel: Arc<ChannelInner>,
    slot: Arc<SubSlot>,
    key: SubKey,
    id: SubId,
    wanted: PhantomData<fn() -> T>,
}

impl<T> Monitor<T> {
    fn start(channel: Arc<ChannelInner>, spec: MonitorSpec) -> Result<Self, OpError> {
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
            wanted: PhantomData,
        })
    }

    /// The channel, as a handle of its own.
    pub fn channel(&self) -> Channel {
        Channel::new(self.channel.clone())
    }
}

impl<T: FromReading> Monitor<T> {
    /// Waits for the next event; `None` after the client was closed.
    ///
    /// # Cancel safety
    /// Safe: no event is lost.
    pub async fn next(&mut self) -> Option<MonitorEvent<T>> {
        poll_fn(|cx| self.poll_event(cx.waker())).await
    }

    #[inline]
    fn poll_event(&self, waker: &Waker) -> Poll<Option<MonitorEvent<T>>> {
        let event = self.slot.poll_pop(waker);
        event.map(|event| event.map(|event| self.seen(event).typed()))
    }

    /// Counts what was dropped before it.
    #[inline]
    fn seen(&self, event: MonitorEvent) -> MonitorEvent {
        if let MonitorEvent::Update { skipped, .. } = &event {
            self.channel.client.shared.skipped(*skipped);
        }
        event
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<MonitorEvent<T>> {
        self.slot.pop().map(|event| self.seen(event).typed())
    }

    /// The newest of the waiting events; the older ones are dropped, their updates counted as
    /// skipped.
    pub fn latest(&mut self) -> Option<MonitorEvent<T>> {
        let mut inner = self.slot.lock();
        let mut newest = inner.pop()?;
        let mut dropped: u64 = 0;
        loop {
            if let MonitorEvent::Update { skipped, .. } = &newest {
                dropped = dropped.saturating_add(*skipped).saturating_add(1);
            }
            match inner.pop() {
                Some(event) => newest = event,
                None => break,
            }
        }
        drop(inner);
        if let MonitorEvent::Update { skipped, .. } = &mut newest {
            *skipped = dropped - 1;
        }
        Some(self.seen(newest).typed())
    }
}

impl<T: FromReading> Stream for Monitor<T> {
    type Item = MonitorEvent<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx.waker())
    }
}

impl<T> Drop for Monitor<T> {
    fn drop(&mut self) {
        let (key, id) = (self.key, self.id);
        self.channel.client.shared.with(|state, now, _| {
            state.core.unsubscribe(now, id);
            // Our own reference keeps it from being dropped under the lock.
            state.results.subs.remove(key);
        });
    }
}

impl Channel {
    /// Monitors the PV: its changes as a typed stream. Options are told before it is
    /// [started](MonitorBuilder::start). Works on channels that are not connected too: the first
    /// update comes when they are.
    ///
    /// # Shape
    /// As [`get`](Self::get): one element for scalars, else the current length at each update.
    ///
    /// # Units
    /// The engineering units of the PV. [`EventMask::PROPERTY`](crate::EventMask::PROPERTY) tells when they change.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, MonitorEvent, Stamped};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// let mut monitor = motor.monitor::<Stamped<f64>>().depth(10).start()?;
    /// ioc.post("m1", 2.5)?;
    /// let mut last = 0.0;
    /// while last != 2.5 {
    ///     match monitor.next().await {
    ///         Some(MonitorEvent::Update { value, skipped }) => {
    ///             last = value.value;
    ///             println!("{last} {:?}, {skipped} skipped", value.alarm);
    ///         }
    ///         Some(MonitorEvent::Disconnected | MonitorEvent::Connected) => println!("lost, or back"),
    ///         Some(other) => println!("{other:?}"),
    ///         None => break, // the client was closed
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn monitor<T: FromReading>(&self) -> MonitorBuilder<'_, T> {
        MonitorBuilder {
            channel: self,
            spec: MonitorSpec::of::<T>(),
            wanted: PhantomData,
        }
    }

    pub(crate) fn monitor_error(&self, reason: OpError, started: Instant) -> MonitorError {
        let context = self.context(started);
        match reason {
            OpError::NoSuchChannel => MonitorError::Closed(context),
            reason => MonitorError::BadRequest { context, reason },
        }
    }
}

/// A monitor before it is started: [`Channel::monitor`]. Its options are those of
/// [`MonitorSpec`].
#[derive(Debug)]
#[must_use = "it has to be started"]
pub struct MonitorBuilder<'a, T> {
    channel: &'a Channel,
    spec: MonitorSpec,
    wanted: PhantomData<fn() -> T>,
}

impl<T> MonitorBuilder<'_, T> {
    /// All options at once.
    pub const fn spec(mut self, spec: MonitorSpec) -> Self {
        self.spec = spec;
        self
    }

    /// As [`MonitorSpec::count`].
    pub const fn count(mut self, count: u32) -> Self {
        self.spec = self.spec.count(count);
        self
    }

    /// As [`MonitorSpec::mask`].
    pub const fn mask(mut self, mask: EventMask) -> Self {
        self.spec = self.spec.mask(mask);
        self
    }

    /// As [`MonitorSpec::depth`].
    pub const fn depth(mut self, depth: usize) -> Self {
        self.spec = self.spec.depth(depth);
        self
    }

    /// As [`MonitorSpec::max_bytes`].
    pub const fn max_bytes(mut self, bytes: usize) -> Self {
        self.spec = self.spec.max_bytes(bytes);
        self
    }

    /// As [`MonitorSpec::overflow`].
    pub const fn overflow(mut self, policy: Overflow) -> Self {
        self.spec = self.spec.overflow(policy);
        self
    }

    /// What comes along with each value: alarm, time stamp, units and limits.
    pub const fn family(mut self, family: Family) -> Self {
        self.spec.wire.ty = with_family(self.request(), family).ty;
        self
    }

    /// Exactly this type on the wire.
    pub const fn ty(mut self, ty: DbrType) -> Self {
        self.spec.wire.ty = TypeSpec::Exact(ty);
        self
    }

    const fn request(&self) -> ReadSpec {
        ReadSpec {
            ty: self.spec.wire.ty,
            count: self.spec.wire.count,
        }
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`MonitorError`] when the request makes no sense or the client was closed.
    pub fn start(self) -> Result<Monitor<T>, MonitorError> {
        let inner = &self.channel.inner;
        let started = inner.client.shared.runtime.now();
        Monitor::start(inner.clone(), self.spec)
            .map_err(|reason| self.channel.monitor_error(reason, started))
    }
}
