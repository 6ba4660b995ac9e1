//! Many monitors with one reader.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ca_net::WakerList;
use ca_proto::client::{Lifecycle, OpError, Update};
use ca_proto::dbr::Brief;
use ca_proto::ids::SubId;
use futures_core::Stream;

use crate::channel::{Channel, ChannelInner};
use crate::client::{Client, Handle};
use crate::error::MonitorError;
use crate::monitor::{MonitorEvent, MonitorSpec, news};
use crate::set_queue::{Log, Place, SetQueue};
use crate::shared::{SetKey, Sub, SubKey};

/// A set's queue and its reader.
#[derive(Debug, Default)]
pub(crate) struct Set {
    queue: SetQueue,
    waker: Option<Waker>,
    /// The client was closed; the stream ends when the queue is empty.
    ended: bool,
}

impl Set {
    // hot: every update of a scalar.
    #[inline]
    pub(crate) fn brief(
        &mut self,
        key: SubKey,
        place: &mut Place,
        brief: Brief,
        wakers: &mut WakerList,
    ) {
        self.queue.push_brief(key, place, brief);
        self.wake(wakers);
    }

    pub(crate) fn update(
        &mut self,
        key: SubKey,
        place: &mut Place,
        update: &Update<'_>,
        wakers: &mut WakerList,
    ) {
        self.queue.push(key, place, news(update));
        self.wake(wakers);
    }

    pub(crate) fn mark(
        &mut self,
        key: SubKey,
        place: &mut Place,
        change: Lifecycle,
        wakers: &mut WakerList,
    ) {
        self.queue.mark(key, place, change);
        self.wake(wakers);
    }

    /// The waker is only there while the reader waits for an empty queue, so a reader is woken
    /// once however many updates come.
    #[inline]
    fn wake(&mut self, wakers: &mut WakerList) {
        if let Some(waker) = self.waker.take() {
            wakers.push(waker);
        }
    }

    pub(crate) fn end(&mut self, wakers: &mut WakerList) {
        self.ended = true;
        self.wake(wakers);
    }
}

/// Names a subscription of a [`MonitorSet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MonitorKey(SubKey);

impl MonitorKey {
    /// A small number to find what belongs to the subscription in a `Vec`: no other living
    /// subscription of the client has it, it counts up from about their number, and it may be
    /// given again once the subscription is removed.
    pub const fn index(self) -> usize {
        self.0.index() as usize
    }
}

#[derive(Debug)]
struct Member {
    id: SubId,
    channel: Arc<ChannelInner>,
}

/// Many subscriptions as one stream: what comes for all of them is taken in one go, and their task
/// is woken once for all that one read of a socket brings. So an update costs a fraction of what it
/// does with a [`Monitor`](crate::Monitor) for each PV.
///
/// Each subscription keeps its own depth and policy, told by its [`MonitorSpec`], and has its
/// connects and disconnects among its items. The depths and [`MonitorSpec::max_bytes`] bound what waits in
/// the set; what was taken with a [`MonitorBatch`] does not count any more. Items come in the order in which they arrived; where a
/// policy replaced one, the order holds for each subscription alone.
///
/// Dropping the set cancels its subscriptions. It ends when the client is closed.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(2.5)).serve(NetConfig::new()).await?;
/// use ca_client::{Client, MonitorEvent, MonitorSpec};
/// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
/// let mut set = client.monitor_set();
/// for name in ["m1", "m2"] {
///     set.add(&client.open(name)?, MonitorSpec::time())?;
/// }
/// # let mut seen = 0;
/// while let Some(batch) = set.next_batch().await {
///     for (key, item) in batch {
///         if let MonitorEvent::Update { value, .. } = item {
///             println!("{} {:?}", key.index(), value.get_f64(0));
/// #           seen += 1;
///         }
///     }
/// #   if seen == 2 { break }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MonitorSet {
    client: Handle,
    key: SetKey,
    members: BTreeMap<MonitorKey, Member>,
    /// Items that were taken from the client and not yet by the user.
    taken: Log,
}

impl Client {
    /// An empty set of subscriptions to channels of this client.
    ///
    /// # Panics
    /// With more than 2^24 sets.
    pub fn monitor_set(&self) -> MonitorSet {
        let client = self.handle.clone();
        let key = client.shared.with(|state, _, wakers| {
            let mut set = Set::default();
            if state.is_closing() {
                set.end(wakers);
            }
            state.results.sets.insert(set)
        });
        MonitorSet {
            client,
            key: key.expect("fewer than 2^24 sets"),
            members: BTreeMap::new(),
            taken: Log::default(),
        }
    }
}

impl MonitorSet {
    /// Subscribes to a channel, connected or not. The set keeps the channel open.
    ///
    /// # Errors
    /// As [`Channel::monitor`]; [`MonitorError::Closed`] for a channel of another client.
    pub fn add(
        &mut self,
        channel: &Channel,
        spec: MonitorSpec,
    ) -> Result<MonitorKey, MonitorError> {
        let shared = &self.client.shared;
        let inner = &channel.inner;
        let started = shared.runtime.now();
        let failed = |reason| channel.monitor_error(reason, started);
        if !Arc::ptr_eq(shared, &inner.client.shared) {
            return Err(failed(OpError::NoSuchChannel));
        }
        let member = Sub::Member(
            self.key,
            Place::new(spec.depth, spec.overflow, spec.max_bytes),
        );
        let subscribed =
            shared.with(|state, now, _| state.subscribe(now, inner.cid, spec.wire, member));
        let (key, id) = subscribed.map_err(failed)?;
        let member = Member {
            id,
            channel: inner.clone(),
        };
        self.members.insert(MonitorKey(key), member);
        Ok(MonitorKey(key))
    }

    /// Cancels a subscription, and takes away what waits for it; false if it is not in the set.
    pub fn remove(&mut self, key: MonitorKey) -> bool {
        let Some(member) = self.members.remove(&key) else {
            return false;
        };
        self.client.shared.with(|state, now, _| {
            state.core.unsubscribe(now, member.id);
            let sub = state.results.subs.remove(key.0);
            let set = state.results.sets.get_mut(self.key);
            if let (Some(Sub::Member(_, mut place)), Some(set)) = (sub, set) {
                set.queue.forget(key.0, &mut place);
            }
        });
        self.taken.forget(key.0);
        true
    }

    /// The channel of a subscription, as a handle of its own.
    pub fn channel(&self, key: MonitorKey) -> Option<Channel> {
        let member = self.members.get(&key)?;
        Some(Channel::new(member.channel.clone()))
    }

    /// The subscriptions of the set.
    pub fn keys(&self) -> impl Iterator<Item = MonitorKey> + '_ {
        self.members.keys().copied()
    }

    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True without subscriptions. Waiting for an item takes forever then.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Waits until there is something, and gives all that has come; `None` after the client was
    /// closed.
    ///
    /// # Cancel safety
    /// Safe: no item is lost. What is not taken from a batch is in the next one.
    pub async fn next_batch(&mut self) -> Option<MonitorBatch<'_>> {
        poll_fn(|cx| self.poll_taken(cx.waker())).await;
        match self.taken.is_empty() {
            true => None,
            false => Some(MonitorBatch { set: self }),
        }
    }

    /// Waits for the next item and says whose it is; `None` after the client was closed.
    ///
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Option<(MonitorKey, MonitorEvent)> {
        poll_fn(|cx| self.poll_item(cx.waker())).await
    }

    /// The next item, if one is waiting.
    pub fn try_next(&mut self) -> Option<(MonitorKey, MonitorEvent)> {
        if self.taken.is_empty() {
            let (key, taken) = (self.key, &mut self.taken);
            self.client.shared.collect(|results| {
                let set = results.sets.get_mut(key)?;
                set.queue.take(taken);
                Some(())
            });
        }
        self.pop()
    }

    /// An item of those that were taken.
    #[inline]
    fn pop(&mut self) -> Option<(MonitorKey, MonitorEvent)> {
        let (key, item) = self.taken.pop()?;
        if let MonitorEvent::Update { skipped, .. } = &item {
            self.client.shared.skipped(*skipped);
        }
        Some((MonitorKey(key), item))
    }

    /// Ready when something was taken, or nothing will come any more.
    fn poll_taken(&mut self, waker: &Waker) -> Poll<()> {
        if !self.taken.is_empty() {
            return Poll::Ready(());
        }
        let (key, taken) = (self.key, &mut self.taken);
        let (ready, _old) = self.client.shared.collect(|results| {
            let Some(set) = results.sets.get_mut(key) else {
                return (Poll::Ready(()), None);
            };
            set.queue.take(taken);
            if !taken.is_empty() || set.ended {
                return (Poll::Ready(()), None);
            }
            (Poll::Pending, set.waker.replace(waker.clone()))
        });
        ready
    }

    fn poll_item(&mut self, waker: &Waker) -> Poll<Option<(MonitorKey, MonitorEvent)>> {
        self.poll_taken(waker).map(|()| self.pop())
    }
}

impl Stream for MonitorSet {
    type Item = (MonitorKey, MonitorEvent);

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx.waker())
    }
}

impl Drop for MonitorSet {
    fn drop(&mut self) {
        let (set, members) = (self.key, &self.members);
        let _dropped_outside = self.client.shared.with(|state, now, _| {
            for (key, member) in members {
                state.core.unsubscribe(now, member.id);
                state.results.subs.remove(key.0);
            }
            state.results.sets.remove(set)
        });
    }
}

/// What has come for a [`MonitorSet`], in order. What is not taken is in the next one.
#[derive(Debug)]
pub struct MonitorBatch<'a> {
    set: &'a mut MonitorSet,
}

impl Iterator for MonitorBatch<'_> {
    type Item = (MonitorKey, MonitorEvent);

    // hot: every update that is read.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.set.pop()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.set.taken.len();
        (len, Some(len))
    }
}

impl ExactSizeIterator for MonitorBatch<'_> {}
