//! The two APIs of our client under one roof, so that the same checks run with both.
//!
//! The blocking one does its work inside of the first poll.
#![allow(async_fn_in_trait)] // Only used within these tests, on one thread.

use std::fmt;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use ca_client::{
    BuildError, ChannelInfo, Client, ClientBuilder, ConnectError, DbrType, Family, GetError,
    MonitorError, MonitorEvent, MonitorSpec, NativeType, PutError, ReadSpec, Reading, Value,
    blocking,
};
use futures_util::future::join;

/// Time for an operation unless a check says otherwise; a machine that is busy with much else may need it.
pub const TIMEOUT: Duration = Duration::from_secs(30);

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);

/// A client.
pub trait Api: Sized {
    /// What it calls a channel.
    type Channel: Channel;

    /// A client that knows one server only.
    ///
    /// # Errors
    /// If there is no socket.
    fn connect_to(server: SocketAddrV4) -> Result<Self, BuildError>;

    /// Opens a channel, without waiting.
    ///
    /// # Errors
    /// For bad names.
    fn open(&self, name: &[u8]) -> Result<Self::Channel, ConnectError>;

    /// Writes both to a channel, one behind the other, and waits for both completions at once; the
    /// time each of them took.
    async fn put_both(
        &self,
        channel: &Self::Channel,
        first: f64,
        second: f64,
    ) -> Result<[Duration; 2], PutError>;
}

/// A channel; see `ca_client::Channel`.
pub trait Channel: Clone + fmt::Debug {
    /// What it calls a subscription.
    type Monitor: Monitor;

    /// What is known about it.
    fn info(&self) -> Option<ChannelInfo>;
    /// Waits for the connection, at most this long.
    async fn connected(&self, timeout: Duration) -> Result<(), ConnectError>;
    /// Gets.
    async fn get(&self, spec: ReadSpec) -> Result<Reading, GetError> {
        self.get_within(TIMEOUT, spec).await
    }
    /// Gets, within this time.
    async fn get_within(&self, timeout: Duration, spec: ReadSpec) -> Result<Reading, GetError>;
    /// Puts without waiting for the server.
    async fn put(&self, ty: DbrType, value: Value) -> Result<(), PutError>;
    /// Puts and waits for completion.
    async fn put_wait(&self, ty: DbrType, value: Value) -> Result<(), PutError> {
        self.put_within(TIMEOUT, ty, value).await
    }
    /// Puts and waits for completion, within this time.
    async fn put_within(
        &self,
        timeout: Duration,
        ty: DbrType,
        value: Value,
    ) -> Result<(), PutError>;
    /// Monitors.
    ///
    /// # Errors
    /// If the request makes no sense.
    fn monitor(&self, spec: MonitorSpec) -> Result<Self::Monitor, MonitorError>;
}

/// A subscription.
pub trait Monitor {
    /// The next item, if one comes in time.
    async fn next(&mut self, timeout: Duration) -> Option<MonitorEvent>;
}

/// Pause before a lost server is searched again: the default of 10 s is patience, not function.
const RECONNECT: Duration = Duration::from_secs(1);

fn builder(server: SocketAddrV4) -> ClientBuilder {
    Client::builder()
        .isolated([server])
        .timeout(TIMEOUT)
        .params(|params| params.reconnect_delay(RECONNECT))
}

impl Api for Client {
    type Channel = ca_client::Channel;

    fn connect_to(server: SocketAddrV4) -> Result<Self, BuildError> {
        builder(server).build()
    }

    fn open(&self, name: &[u8]) -> Result<Self::Channel, ConnectError> {
        self.open(name)
    }

    async fn put_both(
        &self,
        channel: &Self::Channel,
        first: f64,
        second: f64,
    ) -> Result<[Duration; 2], PutError> {
        let start = Instant::now();
        let put = |value: f64| async move {
            channel.put(value).ty(DOUBLE).wait().await?;
            Ok::<_, PutError>(start.elapsed())
        };
        let (first, second) = join(put(first), put(second)).await;
        Ok([first?, second?])
    }
}

impl Channel for ca_client::Channel {
    type Monitor = ca_client::Monitor;

    fn info(&self) -> Option<ChannelInfo> {
        self.info()
    }
    async fn connected(&self, timeout: Duration) -> Result<(), ConnectError> {
        self.connected().timeout(timeout).await
    }
    async fn get_within(&self, timeout: Duration, spec: ReadSpec) -> Result<Reading, GetError> {
        self.get().spec(spec).timeout(timeout).await
    }
    async fn put(&self, ty: DbrType, value: Value) -> Result<(), PutError> {
        self.put(value).ty(ty).await
    }
    async fn put_within(
        &self,
        timeout: Duration,
        ty: DbrType,
        value: Value,
    ) -> Result<(), PutError> {
        let put = self.put(value).ty(ty).wait();
        put.timeout(timeout).await
    }
    fn monitor(&self, spec: MonitorSpec) -> Result<Self::Monitor, MonitorError> {
        self.monitor().spec(spec).start()
    }
}

impl Monitor for ca_client::Monitor {
    async fn next(&mut self, timeout: Duration) -> Option<MonitorEvent> {
        tokio::time::timeout(timeout, self.next()).await.ok()?
    }
}

impl Api for blocking::Client {
    type Channel = blocking::Channel;

    fn connect_to(server: SocketAddrV4) -> Result<Self, BuildError> {
        builder(server).build_blocking()
    }

    fn open(&self, name: &[u8]) -> Result<Self::Channel, ConnectError> {
        self.open(name)
    }

    async fn put_both(
        &self,
        channel: &Self::Channel,
        first: f64,
        second: f64,
    ) -> Result<[Duration; 2], PutError> {
        let start = Instant::now();
        let put = |value: f64| {
            channel.put(value).ty(DOUBLE).wait().call()?;
            Ok::<_, PutError>(start.elapsed())
        };
        let waiting = || self.stats().waiting_for_answer;
        let before = waiting();
        thread::scope(|scope| {
            let first = scope.spawn(|| put(first));
            // From then on it is queued, so that the second one is behind it.
            while waiting() == before && !first.is_finished() {
                thread::yield_now();
            }
            let second = put(second);
            let first = first.join().expect("a put does not panic");
            Ok([first?, second?])
        })
    }
}

impl Channel for blocking::Channel {
    type Monitor = blocking::Monitor;

    fn info(&self) -> Option<ChannelInfo> {
        self.info()
    }
    async fn connected(&self, timeout: Duration) -> Result<(), ConnectError> {
        self.connected().timeout(timeout).call()
    }
    async fn get_within(&self, timeout: Duration, spec: ReadSpec) -> Result<Reading, GetError> {
        self.get().spec(spec).timeout(timeout).call()
    }
    async fn put(&self, ty: DbrType, value: Value) -> Result<(), PutError> {
        self.put(value).ty(ty).call()
    }
    async fn put_within(
        &self,
        timeout: Duration,
        ty: DbrType,
        value: Value,
    ) -> Result<(), PutError> {
        let put = self.put(value).ty(ty).wait();
        put.timeout(timeout).call()
    }
    fn monitor(&self, spec: MonitorSpec) -> Result<Self::Monitor, MonitorError> {
        self.monitor().spec(spec).start()
    }
}

impl Monitor for blocking::Monitor {
    async fn next(&mut self, timeout: Duration) -> Option<MonitorEvent> {
        self.next_timeout(timeout)
    }
}
