//! The two APIs of our client under one roof, so that the same checks run with both.
//!
//! The blocking one does its work inside of the first poll.
#![allow(async_fn_in_trait)] // Only used within these tests, on one thread.

use std::fmt;
use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use ca_client::{
    BuildError, ChannelInfo, Client, ClientBuilder, ConnectError, DbrType, Family, Monitor,
    NativeType, ReadError, ReadSpec, Reading, SubSpec, SubscribeError, Value, WriteError, blocking,
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
    ) -> Result<[Duration; 2], WriteError>;
}

/// A channel; see `ca_client::Channel`.
pub trait Channel: Clone + fmt::Debug {
    /// What it calls a subscription.
    type Subscription: Subscription;

    /// A handle with another time-out.
    #[must_use]
    fn with_timeout(&self, timeout: Duration) -> Self;
    /// What is known about it.
    fn info(&self) -> Option<ChannelInfo>;
    /// Waits for the connection.
    async fn connected(&self) -> Result<(), ConnectError>;
    /// Reads.
    async fn read_with(&self, spec: ReadSpec) -> Result<Reading, ReadError>;
    /// Writes without waiting for the server.
    async fn write_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError>;
    /// Writes and waits for completion.
    async fn write_notify_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError>;
    /// Subscribes.
    ///
    /// # Errors
    /// If the request makes no sense.
    fn subscribe(&self, spec: SubSpec) -> Result<Self::Subscription, SubscribeError>;
}

/// A subscription.
pub trait Subscription {
    /// The next item, if one comes in time.
    async fn next(&mut self, timeout: Duration) -> Option<Monitor>;
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
    ) -> Result<[Duration; 2], WriteError> {
        let start = Instant::now();
        let put = |value: f64| async move {
            channel.write_notify_as(DOUBLE, value).await?;
            Ok::<_, WriteError>(start.elapsed())
        };
        let (first, second) = join(put(first), put(second)).await;
        Ok([first?, second?])
    }
}

impl Channel for ca_client::Channel {
    type Subscription = ca_client::Subscription;

    fn with_timeout(&self, timeout: Duration) -> Self {
        self.with_timeout(timeout)
    }
    fn info(&self) -> Option<ChannelInfo> {
        self.info()
    }
    async fn connected(&self) -> Result<(), ConnectError> {
        self.connected().await
    }
    async fn read_with(&self, spec: ReadSpec) -> Result<Reading, ReadError> {
        self.read_with(spec).await
    }
    async fn write_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError> {
        self.write_as(ty, value).await
    }
    async fn write_notify_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError> {
        self.write_notify_as(ty, value).await
    }
    fn subscribe(&self, spec: SubSpec) -> Result<Self::Subscription, SubscribeError> {
        self.subscribe(spec)
    }
}

impl Subscription for ca_client::Subscription {
    async fn next(&mut self, timeout: Duration) -> Option<Monitor> {
        tokio::time::timeout(timeout, self.next()).await.ok()?
    }
}

impl Api for blocking::Client {
    type Channel = blocking::Channel;

    fn connect_to(server: SocketAddrV4) -> Result<Self, BuildError> {
        Self::build(builder(server))
    }

    fn open(&self, name: &[u8]) -> Result<Self::Channel, ConnectError> {
        self.open(name)
    }

    async fn put_both(
        &self,
        channel: &Self::Channel,
        first: f64,
        second: f64,
    ) -> Result<[Duration; 2], WriteError> {
        let start = Instant::now();
        let put = |value: f64| {
            channel.write_notify_as(DOUBLE, value)?;
            Ok::<_, WriteError>(start.elapsed())
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
    type Subscription = blocking::Subscription;

    fn with_timeout(&self, timeout: Duration) -> Self {
        self.with_timeout(timeout)
    }
    fn info(&self) -> Option<ChannelInfo> {
        self.info()
    }
    async fn connected(&self) -> Result<(), ConnectError> {
        self.connected()
    }
    async fn read_with(&self, spec: ReadSpec) -> Result<Reading, ReadError> {
        self.read_with(spec)
    }
    async fn write_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError> {
        self.write_as(ty, value)
    }
    async fn write_notify_as(&self, ty: DbrType, value: Value) -> Result<(), WriteError> {
        self.write_notify_as(ty, value)
    }
    fn subscribe(&self, spec: SubSpec) -> Result<Self::Subscription, SubscribeError> {
        self.subscribe(spec)
    }
}

impl Subscription for blocking::Subscription {
    async fn next(&mut self, timeout: Duration) -> Option<Monitor> {
        self.next_timeout(timeout)
    }
}
