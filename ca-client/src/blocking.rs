//! The same client for programs without an async runtime.
//!
//! The [async client](crate::Client) runs on the thread of the call that waits: it sends and
//! receives itself, so an answer needs no switch of threads. A background thread does so while
//! nobody calls, so that circuits, echoes and monitors live on; it takes over two milliseconds after
//! the last call. A [`write`](Channel::write), which waits for nothing, is sent after that time at
//! the latest.
//!
//! ```
//! use ca_client::{SubSpec, blocking::Client};
//! # use ca_server_sim::{Ioc, NetConfig, PvSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//! # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new());
//! # let ioc = runtime.block_on(ioc)?;
//! # let builder = ca_client::Client::builder().isolated([ioc.udp_addr()]);
//! # /*
//! let client = Client::from_env()?;
//! # */ let client = Client::build(builder)?;
//! let current = client.channel("ring:current")?;
//! println!("{} mA", current.read::<f64>()?);
//! current.write_notify(250.0)?;
//! for item in current.subscribe(SubSpec::time())? {
//!     println!("{:?}", item.value::<f64>());
//! #   assert_eq!(item.value(), Some(250.0));
//! #   break;
//! }
//! client.close();
//! # Ok(())
//! # }
//! ```

mod driver;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ca_proto::client::{ChannelState, ReadSpec};
use ca_proto::dbr::{DbrType, Reading};

use self::driver::Driver;
use crate::channel::ChannelInfo;
use crate::client::ClientStats;
use crate::config::{ClientBuilder, EffectiveConfig};
use crate::convert::{EnumState, FromReading, IntoValue};
use crate::error::{BuildError, ConnectError, ReadError, SubscribeError, WriteError};
use crate::events::ClientEvent;
use crate::set::{SubscriptionBatch, SubscriptionKey};
use crate::subscription::{Monitor, SubSpec};

/// A client with a thread of its own; see [`Client`](crate::Client) for what the methods do.
/// Dropping it shuts it down and waits for the thread.
///
/// # Panics
/// Methods called from within an async task block its thread; none panics.
#[derive(Debug)]
pub struct Client {
    client: Option<crate::Client>,
    driver: Driver,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// A client as the environment says.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn from_env() -> Result<Self, BuildError> {
        Self::build(ClientBuilder::new())
    }

    /// Makes a client from a configuration; its runtime is replaced by the background thread.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn build(builder: ClientBuilder) -> Result<Self, BuildError> {
        let failed = |error: std::io::Error| BuildError::Thread {
            reason: error.to_string(),
        };
        let driver = Driver::new().map_err(failed)?;
        let client = builder.runtime(Arc::new(driver.handle())).build()?;
        let thread = driver.start().map_err(failed)?;
        Ok(Self {
            client: Some(client),
            driver,
            thread: Some(thread),
        })
    }

    fn inner(&self) -> &crate::Client {
        self.client.as_ref().expect("it is taken in drop only")
    }

    fn wrap(&self, channel: crate::Channel) -> Channel {
        Channel(channel, self.driver.clone())
    }

    /// The configuration in use; it prints itself.
    pub fn effective_config(&self) -> &EffectiveConfig {
        self.inner().effective_config()
    }

    /// Opens a channel and waits until it is connected.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn channel(&self, name: impl AsRef<[u8]>) -> Result<Channel, ConnectError> {
        self.driver
            .block_on(self.inner().channel(name))
            .map(|it| self.wrap(it))
    }

    /// Opens many channels and waits until all of them are connected: each gives its channel or its
    /// own error.
    pub fn channels(&self, names: &[impl AsRef<[u8]>]) -> Vec<Result<Channel, ConnectError>> {
        let channels = self.driver.block_on(self.inner().channels(names));
        let wrap = |channel: Result<_, _>| channel.map(|it| self.wrap(it));
        channels.into_iter().map(wrap).collect()
    }

    /// Opens a channel and returns at once.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open(&self, name: impl AsRef<[u8]>) -> Result<Channel, ConnectError> {
        self.inner().open(name).map(|it| self.wrap(it))
    }

    /// As [`open`](Self::open), on a circuit of this priority, 0 to 99.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn open_with(&self, name: impl AsRef<[u8]>, priority: u8) -> Result<Channel, ConnectError> {
        self.inner()
            .open_with(name, priority)
            .map(|it| self.wrap(it))
    }

    /// Listens to connects and disconnects of all channels, and to what servers report that
    /// belongs to no operation.
    pub fn events(&self) -> Events {
        Events(self.inner().events(), self.driver.clone())
    }

    /// What the client holds at this moment; see [`crate::Client::stats`].
    pub fn stats(&self) -> ClientStats {
        self.inner().stats()
    }

    /// Reads many PVs at once under one deadline: each gives its value or its own error.
    pub fn get_many<T: FromReading>(
        &self,
        names: &[impl AsRef<[u8]>],
        timeout: Duration,
    ) -> Vec<Result<T, ReadError>> {
        self.driver.block_on(self.inner().get_many(names, timeout))
    }

    /// Writes many PVs at once under one deadline: each gives its own result.
    pub fn put_many<V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (impl AsRef<[u8]>, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        self.driver.block_on(self.inner().put_many(values, timeout))
    }

    /// Reads many channels at once under one deadline: each gives its value or its own error.
    pub fn read_many<'a, T: FromReading>(
        &self,
        channels: impl IntoIterator<Item = &'a Channel>,
        timeout: Duration,
    ) -> Vec<Result<T, ReadError>> {
        let channels = channels.into_iter().map(|channel| &channel.0);
        self.driver
            .block_on(self.inner().read_many(channels, timeout))
    }

    /// As [`Client::read_many_with`](crate::Client::read_many_with).
    pub fn read_many_with<'a>(
        &self,
        channels: impl IntoIterator<Item = &'a Channel>,
        spec: ReadSpec,
        timeout: Duration,
    ) -> Vec<Result<Reading, ReadError>> {
        let channels = channels.into_iter().map(|channel| &channel.0);
        let reads = self.inner().read_many_with(channels, spec, timeout);
        self.driver.block_on(reads)
    }

    /// Writes to many channels at once and does not wait for the servers.
    pub fn write_many<'a, V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (&'a Channel, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        let writes = self.inner().write_many(unwrapped(values), timeout);
        self.driver.try_block_on(writes)
    }

    /// Writes to many channels at once under one deadline and waits for completion.
    pub fn write_notify_many<'a, V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (&'a Channel, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        let writes = self.inner().write_notify_many(unwrapped(values), timeout);
        self.driver.block_on(writes)
    }

    /// An empty set of subscriptions to channels of this client.
    ///
    /// # Panics
    /// As [`Client::subscription_set`](crate::Client::subscription_set).
    pub fn subscription_set(&self) -> SubscriptionSet {
        SubscriptionSet(self.inner().subscription_set(), self.driver.clone())
    }

    /// Shuts the client down in order and waits for its thread, as dropping does.
    pub fn close(self) {}
}

fn unwrapped<'a, V>(
    values: impl IntoIterator<Item = (&'a Channel, V)>,
) -> impl Iterator<Item = (&'a crate::Channel, V)> {
    let pairs = values.into_iter();
    pairs.map(|(channel, value)| (&channel.0, value))
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.driver.block_on(client.close());
        }
        self.driver.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The way to one PV; see [`Channel`](crate::Channel) for what the methods do.
#[derive(Clone, Debug)]
pub struct Channel(crate::Channel, Driver);

impl Channel {
    /// A handle whose operations have another time-out.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self(self.0.with_timeout(timeout), self.1.clone())
    }

    /// Name of the PV.
    pub fn name(&self) -> String {
        self.0.name()
    }

    /// Where the channel is on its way to a server; `None` once the client was closed.
    pub fn state(&self) -> Option<ChannelState> {
        self.0.state()
    }

    /// True when the channel can be used.
    pub fn is_connected(&self) -> bool {
        self.0.is_connected()
    }

    /// Waits, without limit, until the channel satisfies a condition. False when the client was
    /// closed before.
    pub fn wait_for(&self, condition: impl Fn(&ChannelInfo) -> bool) -> bool {
        self.1.block_on(self.0.wait_for(condition))
    }

    /// As [`wait_for`](Self::wait_for), at most this long; false when the time is up.
    pub fn wait_for_timeout(
        &self,
        timeout: Duration,
        condition: impl Fn(&ChannelInfo) -> bool,
    ) -> bool {
        let deadline = Instant::now().checked_add(timeout);
        let met = self.1.block_until(self.0.wait_for(condition), deadline);
        met.unwrap_or(false)
    }

    /// Listens to what happens to this channel from now on.
    pub fn changes(&self) -> Events {
        Events(self.0.changes(), self.1.clone())
    }

    /// What is known about the channel at this moment.
    pub fn info(&self) -> Option<ChannelInfo> {
        self.0.info()
    }

    /// Waits until the channel can be used.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connected(&self) -> Result<(), ConnectError> {
        self.1.block_on(self.0.connected())
    }

    /// Reads the value as a `T`; the server converts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read<T: FromReading>(&self) -> Result<T, ReadError> {
        self.1.block_on(self.0.read())
    }

    /// Reads in any DBR type or family, with any element count.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_with(&self, spec: ReadSpec) -> Result<Reading, ReadError> {
        self.1.block_on(self.0.read_with(spec))
    }

    /// Reads the whole value in the PV's native type, with alarm and time stamp.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn reading(&self) -> Result<Reading, ReadError> {
        self.1.block_on(self.0.reading())
    }

    /// Reads units, precision, limits and state texts.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn metadata(&self) -> Result<Reading, ReadError> {
        self.1.block_on(self.0.metadata())
    }

    /// Reads the state of an enum: index and text.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read_enum(&self) -> Result<EnumState, ReadError> {
        self.1.block_on(self.0.read_enum())
    }

    /// Writes a value and does not wait for the server.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, value: impl IntoValue) -> Result<(), WriteError> {
        self.1.try_block_on(self.0.write(value))
    }

    /// Writes a value and waits until the server has looked at it.
    ///
    /// # Errors
    /// [`WriteError`], with the server's status and text.
    pub fn write_checked(&self, value: impl IntoValue) -> Result<(), WriteError> {
        self.1.block_on(self.0.write_checked(value))
    }

    /// As [`write`](Self::write), in a given type.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_as(&self, ty: DbrType, value: impl IntoValue) -> Result<(), WriteError> {
        self.1.try_block_on(self.0.write_as(ty, value))
    }

    /// Writes a value and waits for completion.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_notify(&self, value: impl IntoValue) -> Result<(), WriteError> {
        self.1.block_on(self.0.write_notify(value))
    }

    /// As [`write_notify`](Self::write_notify), in a given type.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_notify_as(&self, ty: DbrType, value: impl IntoValue) -> Result<(), WriteError> {
        self.1.block_on(self.0.write_notify_as(ty, value))
    }

    /// Subscribes to changes.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub fn subscribe(&self, spec: SubSpec) -> Result<Subscription, SubscribeError> {
        let subscription = self.0.subscribe(spec)?;
        Ok(Subscription(subscription, self.1.clone()))
    }
}

/// Changes of a PV, as an iterator that waits; see [`Subscription`](crate::Subscription). It ends
/// when the client is closed.
#[derive(Debug)]
pub struct Subscription(crate::Subscription, Driver);

impl Subscription {
    /// The channel, as a handle of its own.
    pub fn channel(&self) -> Channel {
        Channel(self.0.channel(), self.1.clone())
    }

    /// Waits for the next item, at most this long; `None` when the time is up or the client was
    /// closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<Monitor> {
        let deadline = Instant::now().checked_add(timeout);
        self.1.block_until(self.0.next(), deadline).flatten()
    }

    /// The next item, if one is waiting.
    pub fn try_next(&mut self) -> Option<Monitor> {
        self.0.try_next()
    }

    /// The newest of the waiting items; the older ones are dropped.
    pub fn latest(&mut self) -> Option<Monitor> {
        self.0.latest()
    }
}

impl Iterator for Subscription {
    type Item = Monitor;
    fn next(&mut self) -> Option<Monitor> {
        self.1.try_block_on(self.0.next())
    }
}

/// Many subscriptions with one reader; see [`SubscriptionSet`](crate::SubscriptionSet).
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(2.5)).serve(NetConfig::new());
/// # let ioc = runtime.block_on(ioc)?;
/// # let builder = ca_client::Client::builder().isolated([ioc.udp_addr()]);
/// use ca_client::{SubSpec, blocking::Client};
/// # /*
/// let client = Client::from_env()?;
/// # */ let client = Client::build(builder)?;
/// let mut set = client.subscription_set();
/// for name in ["m1", "m2"] {
///     set.add(&client.open(name)?, SubSpec::time())?;
/// }
/// # let mut seen = 0;
/// while let Some(batch) = set.next_batch() {
///     for (key, item) in batch {
///         println!("{} {:?}", key.index(), item.value::<f64>());
/// #       seen += usize::from(item.reading().is_some());
///     }
/// #   if seen == 2 { break }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SubscriptionSet(crate::SubscriptionSet, Driver);

impl SubscriptionSet {
    /// Subscribes to a channel, connected or not. The set keeps the channel open.
    ///
    /// # Errors
    /// As [`crate::SubscriptionSet::add`].
    pub fn add(
        &mut self,
        channel: &Channel,
        spec: SubSpec,
    ) -> Result<SubscriptionKey, SubscribeError> {
        self.0.add(&channel.0, spec)
    }

    /// Cancels a subscription, and takes away what waits for it; false if it is not in the set.
    pub fn remove(&mut self, key: SubscriptionKey) -> bool {
        self.0.remove(key)
    }

    /// The channel of a subscription, as a handle of its own.
    pub fn channel(&self, key: SubscriptionKey) -> Option<Channel> {
        let channel = self.0.channel(key)?;
        Some(Channel(channel, self.1.clone()))
    }

    /// The subscriptions of the set.
    pub fn keys(&self) -> impl Iterator<Item = SubscriptionKey> + '_ {
        self.0.keys()
    }

    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True without subscriptions. Waiting for an item takes forever then.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Waits until there is something, and gives all that has come; `None` after the client was
    /// closed.
    pub fn next_batch(&mut self) -> Option<SubscriptionBatch<'_>> {
        self.1.try_block_on(self.0.next_batch())
    }

    /// As [`next_batch`](Self::next_batch), at most this long; `None` when the time is up or the
    /// client was closed.
    pub fn next_batch_timeout(&mut self, timeout: Duration) -> Option<SubscriptionBatch<'_>> {
        let deadline = Instant::now().checked_add(timeout);
        let batch = self.1.block_until(self.0.next_batch(), deadline);
        batch.flatten()
    }

    /// The next item, if one is waiting, and whose it is.
    pub fn try_next(&mut self) -> Option<(SubscriptionKey, Monitor)> {
        self.0.try_next()
    }
}

/// Waits for each item; ends when the client is closed.
impl Iterator for SubscriptionSet {
    type Item = (SubscriptionKey, Monitor);
    fn next(&mut self) -> Option<Self::Item> {
        self.1.try_block_on(self.0.next())
    }
}

/// The events of a client or channel, as an iterator that waits; see [`Events`](crate::Events). It
/// ends when the client is closed.
#[derive(Debug)]
pub struct Events(crate::Events, Driver);

impl Events {
    /// Waits for the next event, at most this long; `None` when the time is up or the client was
    /// closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<ClientEvent> {
        let deadline = Instant::now().checked_add(timeout);
        self.1.block_until(self.0.next(), deadline).flatten()
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<ClientEvent> {
        self.0.try_next()
    }

    /// Events that were dropped because they were not read.
    pub fn lost(&self) -> u64 {
        self.0.lost()
    }
}

impl Iterator for Events {
    type Item = ClientEvent;
    fn next(&mut self) -> Option<ClientEvent> {
        self.1.try_block_on(self.0.next())
    }
}
