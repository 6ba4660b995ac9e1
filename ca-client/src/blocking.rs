//! The same client for programs without an async runtime.
//!
//! The [async client](crate::Client) runs on the thread of the call that waits: it sends and
//! receives itself, so an answer needs no switch of threads. A background thread does so while
//! nobody calls, so that circuits, echoes and monitors live on; it takes over two milliseconds after
//! the last call. A [`put`](Channel::put) that waits for nothing is sent after that time at the latest.
//!
//! No async runtime is involved: calls wait for the sockets themselves
//! ([`PollRuntime`](crate::runtime::PollRuntime)). On Linux a call whose request is the only one under way waits for
//! its answer in the read of that circuit, for a tick of the system's clock (at most 10 ms) before it looks at
//! everything else again; so long, a call of another thread may have to wait if that server is slow.
//!
//! The words are those of the async client; what is awaited there is [called](Call::call) here.
//!
//! ```
//! use ca_client::blocking::Client;
//! # use ca_server_sim::{Ioc, NetConfig, PvSpec};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
//! # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new());
//! # let ioc = runtime.block_on(ioc)?;
//! # let builder = ca_client::Client::builder().isolated([ioc.udp_addr()]);
//! # /*
//! let client = Client::from_env()?;
//! # */ let client = builder.build_blocking()?;
//! let current = client.connect("ring:current").call()?;
//! println!("{} mA", current.get::<f64>().call()?);
//! current.put(250.0).wait().call()?;
//! for event in current.monitor::<f64>().start()? {
//!     println!("{:?}", event.value());
//! #   assert_eq!(event.value(), Some(&250.0));
//! #   break;
//! }
//! client.close();
//! # Ok(())
//! # }
//! ```

mod call;
mod driver;
mod extend;

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ca_proto::client::ChannelState;
use ca_proto::dbr::Reading;

pub use self::call::Call;
use self::driver::Driver;
use crate::channel::ChannelInfo;
use crate::client::ClientStats;
use crate::config::{ClientBuilder, EffectiveConfig};
use crate::convert::{FromReading, IntoValue};
use crate::error::{BuildError, ConnectError, MonitorError};
use crate::events::ClientEvent;
use crate::many::Pv;
use crate::monitor::{MonitorEvent, MonitorSpec};
use crate::monitor_set::{MonitorBatch, MonitorKey};
use crate::{
    Connect, ConnectMany, Connected, Explain, Get, GetMany, GetOnce, MonitorBuilder, Put, PutMany,
    PutOnce,
};

/// A client with a thread of its own; see [`Client`](crate::Client) for what the methods do.
/// Dropping it shuts it down and waits for the thread.
///
/// # Panics
/// None panics. Methods called from within an async task block its thread.
#[derive(Debug)]
pub struct Client {
    client: Option<crate::Client>,
    driver: Driver,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    /// Configures a client, starting from the environment; it is made by
    /// [`build_blocking`](ClientBuilder::build_blocking).
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A client as the environment says.
    ///
    /// # Errors
    /// [`BuildError`].
    pub fn from_env() -> Result<Self, BuildError> {
        Self::builder().build_blocking()
    }

    pub(crate) fn start(builder: ClientBuilder) -> Result<Self, BuildError> {
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

    /// Opens a channel and waits until it is connected; see
    /// [`connect`](crate::Client::connect) of the async client.
    pub fn connect(&self, name: impl AsRef<[u8]>) -> Call<Connect<'_>> {
        Call::new(self.inner().connect(name), &self.driver)
    }

    /// Opens many channels and waits until all of them are connected: each gives its channel or its
    /// own error.
    pub fn connect_many<'a, N: AsRef<[u8]> + Sync>(
        &'a self,
        names: &'a [N],
    ) -> Call<ConnectMany<'a, N>> {
        Call::new(self.inner().connect_many(names), &self.driver)
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
    pub fn open_with_priority(
        &self,
        name: impl AsRef<[u8]>,
        priority: u8,
    ) -> Result<Channel, ConnectError> {
        self.inner()
            .open_with_priority(name, priority)
            .map(|it| self.wrap(it))
    }

    /// Listens to connects and disconnects of all channels, and to what servers report that
    /// belongs to no operation.
    pub fn events(&self) -> Events {
        Events(self.inner().events(), self.driver.clone())
    }

    /// The flight recorder; see [`crate::Client::recorder`].
    pub fn recorder(&self) -> Option<&Arc<ca_net::record::Recorder>> {
        self.inner().recorder()
    }

    /// Numbers about the client; see [`crate::Client::metrics`].
    pub fn metrics(&self) -> crate::ClientMetrics {
        self.inner().metrics()
    }

    /// The names that were searched most; see [`crate::Client::most_searched`].
    pub fn most_searched(&self, most: usize) -> Vec<crate::SearchCost> {
        self.inner().most_searched(most)
    }

    /// Where searches go; see [`crate::Client::search_addrs`].
    pub fn search_addrs(&self) -> Vec<std::net::SocketAddrV4> {
        self.inner().search_addrs()
    }

    /// Writes the file of addresses; see [`crate::Client::save_addresses`].
    ///
    /// # Errors
    /// As of the async client.
    pub fn save_addresses(&self) -> std::io::Result<usize> {
        self.inner().save_addresses()
    }

    /// What the client holds at this moment; see [`crate::Client::stats`].
    pub fn stats(&self) -> ClientStats {
        self.inner().stats()
    }

    /// Gets the value of a PV once; see [`get`](crate::Client::get) of the async client.
    pub fn get<T: FromReading>(&self, pv: impl AsRef<[u8]>) -> Call<GetOnce<'_, T>> {
        Call::new(self.inner().get(pv), &self.driver)
    }

    /// Puts a value to a PV once; see [`put`](crate::Client::put) of the async client.
    pub fn put<V: IntoValue>(&self, pv: impl AsRef<[u8]>, value: V) -> Call<PutOnce<'_>> {
        Call::new(self.inner().put(pv, value), &self.driver)
    }

    /// Gets many PVs, channels or names, at once under one deadline: each gives its value or its own
    /// error. See [`get_many`](crate::Client::get_many) of the async client.
    pub fn get_many<'a, T: FromReading>(
        &'a self,
        pvs: impl IntoIterator<Item = impl Into<Pv<'a>>>,
    ) -> Call<GetMany<'a, T>> {
        Call::new(self.inner().get_many(pvs), &self.driver)
    }

    /// Puts values to many PVs, channels or names, at once under one deadline: each has its own
    /// result. See [`put_many`](crate::Client::put_many) of the async client.
    pub fn put_many<'a, V: IntoValue>(
        &'a self,
        values: impl IntoIterator<Item = (impl Into<Pv<'a>>, V)>,
    ) -> Call<PutMany<'a>> {
        Call::new(self.inner().put_many(values), &self.driver)
    }

    /// An empty set of subscriptions to channels of this client.
    ///
    /// # Panics
    /// As [`Client::monitor_set`](crate::Client::monitor_set).
    pub fn monitor_set(&self) -> MonitorSet {
        MonitorSet(self.inner().monitor_set(), self.driver.clone())
    }

    /// Finds out why a PV does not connect, or how it does; see
    /// [`explain`](crate::Client::explain) of the async client.
    ///
    /// # Examples
    /// ```
    /// use ca_client::{Cause, Client};
    /// use std::time::Duration;
    ///
    /// let client = Client::builder().isolated([]).build_blocking()?;
    /// let explained = client.explain("motor:gap").timeout(Duration::from_millis(100)).call();
    /// assert_eq!(explained.cause, Cause::NowhereToSearch);
    /// # Ok::<(), ca_client::BuildError>(())
    /// ```
    pub fn explain(&self, name: impl AsRef<[u8]>) -> Call<Explain<'_>> {
        Call::new(self.inner().explain(name), &self.driver)
    }

    /// Shuts the client down in order and waits for its thread, as dropping does.
    pub fn close(self) {}
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
    pub fn connected(&self) -> Call<Connected<'_>> {
        Call::new(self.0.connected(), &self.1)
    }

    /// Gets the value as a `T`; the server converts. See [`get`](crate::Channel::get) of the async
    /// client.
    pub fn get<T: FromReading>(&self) -> Call<Get<'_, T>> {
        Call::new(self.0.get(), &self.1)
    }

    /// Gets units, precision, limits and state texts.
    pub fn metadata(&self) -> Call<Get<'_, Reading>> {
        Call::new(self.0.metadata(), &self.1)
    }

    /// Puts a value; unless told otherwise it does not wait for the server. See
    /// [`put`](crate::Channel::put) of the async client.
    pub fn put<V: IntoValue>(&self, value: V) -> Call<Put<'_, V>> {
        Call::new(self.0.put(value), &self.1)
    }

    /// Monitors the PV. See [`monitor`](crate::Channel::monitor) of the async client.
    pub fn monitor<T: FromReading>(&self) -> Call<MonitorBuilder<'_, T>> {
        Call::new(self.0.monitor(), &self.1)
    }
}

impl<'a> From<&'a Channel> for Pv<'a> {
    fn from(channel: &'a Channel) -> Self {
        Self::Channel(&channel.0)
    }
}

/// Changes of a PV, as an iterator that waits; see [`Monitor`](crate::Monitor). It ends
/// when the client is closed.
#[derive(Debug)]
pub struct Monitor<T = Reading>(crate::Monitor<T>, Driver);

impl<T> Monitor<T> {
    /// The channel, as a handle of its own.
    pub fn channel(&self) -> Channel {
        Channel(self.0.channel(), self.1.clone())
    }
}

impl<T: FromReading> Monitor<T> {
    /// Waits for the next event, at most this long; `None` when the time is up or the client was
    /// closed.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<MonitorEvent<T>> {
        let deadline = Instant::now().checked_add(timeout);
        self.1.block_until(self.0.next(), deadline).flatten()
    }

    /// The next event, if one is waiting.
    pub fn try_next(&mut self) -> Option<MonitorEvent<T>> {
        self.0.try_next()
    }

    /// The newest of the waiting events; the older ones are dropped.
    pub fn latest(&mut self) -> Option<MonitorEvent<T>> {
        self.0.latest()
    }
}

impl<T: FromReading> Iterator for Monitor<T> {
    type Item = MonitorEvent<T>;
    fn next(&mut self) -> Option<MonitorEvent<T>> {
        self.1.try_block_on(self.0.next())
    }
}

/// Many subscriptions with one reader; see [`MonitorSet`](crate::MonitorSet).
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(2.5)).serve(NetConfig::new());
/// # let ioc = runtime.block_on(ioc)?;
/// # let builder = ca_client::Client::builder().isolated([ioc.udp_addr()]);
/// use ca_client::{MonitorSpec, blocking::Client};
/// # /*
/// let client = Client::from_env()?;
/// # */ let client = builder.build_blocking()?;
/// let mut set = client.monitor_set();
/// for name in ["m1", "m2"] {
///     set.add(&client.open(name)?, MonitorSpec::time())?;
/// }
/// # let mut seen = 0;
/// while let Some(batch) = set.next_batch() {
///     for (key, item) in batch {
///         println!("{} {:?}", key.index(), item.value_as::<f64>());
/// #       seen += usize::from(item.value().is_some());
///     }
/// #   if seen == 2 { break }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MonitorSet(crate::MonitorSet, Driver);

impl MonitorSet {
    /// Subscribes to a channel, connected or not. The set keeps the channel open.
    ///
    /// # Errors
    /// As [`crate::MonitorSet::add`].
    pub fn add(
        &mut self,
        channel: &Channel,
        spec: MonitorSpec,
    ) -> Result<MonitorKey, MonitorError> {
        self.0.add(&channel.0, spec)
    }

    /// Cancels a subscription, and takes away what waits for it; false if it is not in the set.
    pub fn remove(&mut self, key: MonitorKey) -> bool {
        self.0.remove(key)
    }

    /// The channel of a subscription, as a handle of its own.
    pub fn channel(&self, key: MonitorKey) -> Option<Channel> {
        let channel = self.0.channel(key)?;
        Some(Channel(channel, self.1.clone()))
    }

    /// The subscriptions of the set.
    pub fn keys(&self) -> impl Iterator<Item = MonitorKey> + '_ {
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
    pub fn next_batch(&mut self) -> Option<MonitorBatch<'_>> {
        self.1.try_block_on(self.0.next_batch())
    }

    /// As [`next_batch`](Self::next_batch), at most this long; `None` when the time is up or the
    /// client was closed.
    pub fn next_batch_timeout(&mut self, timeout: Duration) -> Option<MonitorBatch<'_>> {
        let deadline = Instant::now().checked_add(timeout);
        let batch = self.1.block_until(self.0.next_batch(), deadline);
        batch.flatten()
    }

    /// The next item, if one is waiting, and whose it is.
    pub fn try_next(&mut self) -> Option<(MonitorKey, MonitorEvent)> {
        self.0.try_next()
    }
}

/// Waits for each item; ends when the client is closed.
impl Iterator for MonitorSet {
    type Item = (MonitorKey, MonitorEvent);
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
