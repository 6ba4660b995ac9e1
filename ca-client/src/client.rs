//! A client: the context in which channels live.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::Deref;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use ca_net::record::Recorder;
use ca_net::{Runtime, UdpIo};
use ca_proto::Instant;
use ca_proto::client::{BeaconStats, NameServerState};
use ca_proto::wire::PvName;

use crate::addresses::Addresses;
use crate::channel::{Channel, ChannelInner};
use crate::config::{ClientBuilder, EffectiveConfig};
use crate::connect::{refused, text};
use crate::endpoint::Endpoint;
use crate::error::{BuildError, ConnectError};
use crate::events::Events;
use crate::shared::Shared;
use crate::spans;
use crate::waits::{Until, WaitKey, Waiter};

/// A share of a client; with the last one it is shut down.
#[derive(Clone)]
pub(crate) struct Handle(Arc<Guard>);

pub(crate) struct Guard {
    pub(crate) shared: Arc<Shared>,
}

impl Deref for Handle {
    type Target = Guard;
    fn deref(&self) -> &Guard {
        &self.0
    }
}

impl Guard {
    /// The name servers, and whether each can be asked.
    pub(crate) fn name_servers(&self) -> Vec<(SocketAddrV4, NameServerState)> {
        self.shared
            .peek(|state| state.core.name_servers().collect())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.shared
            .with(|state, now, wakers| state.close(now, wakers));
    }
}

/// A Channel Access client. Clones are further handles of the same client.
///
/// It runs one task for searches and deadlines and one per circuit; channels and subscriptions
/// have none. It is shut down in the background when the last handle, channel and subscription
/// is dropped; [`close`](Self::close) does it now and waits.
///
/// # Examples
/// ```
/// use ca_client::Client;
///
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new()).await?;
/// let client = Client::builder()
/// #   .isolated([ioc.udp_addr()])
///     .build()?;
/// let current = client.connect("ring:current").await?;
/// let milliamperes: f64 = current.get().await?;
/// println!("{milliamperes} mA");
/// client.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Client {
    pub(crate) handle: Handle,
}

impl Client {
    /// Configures a client, starting from the environment (`EPICS_CA_ADDR_LIST` and the like).
    pub fn builder() -> ClientBuilder {
        ClientBuilder::new()
    }

    /// A client as the environment says.
    ///
    /// # Errors
    /// As [`ClientBuilder::build`].
    pub fn from_env() -> Result<Self, BuildError> {
        Self::builder().build()
    }

    pub(crate) fn start(
        runtime: Arc<dyn Runtime>,
        config: EffectiveConfig,
        udp: UdpIo,
        local: Ipv4Addr,
        extras: (Option<Arc<Recorder>>, Option<Addresses>),
    ) -> Self {
        let shared = Arc::new(Shared::new(runtime, config, local, extras));
        let endpoint = Endpoint::new(shared.clone(), udp);
        shared.runtime.spawn(Box::pin(endpoint));
        Self {
            handle: Handle(Arc::new(Guard { shared })),
        }
    }

    /// The configuration in use; it prints itself.
    pub fn effective_config(&self) -> &EffectiveConfig {
        &self.handle.shared.config
    }

    /// Opens a channel and returns at once; it connects in the background.
    ///
    /// # Errors
    /// [`ConnectError`] for names that cannot be one, and for a closed client.
    pub fn open(&self, name: impl AsRef<[u8]>) -> Result<Channel, ConnectError> {
        self.open_with_priority(name, self.effective_config().params().priority)
    }

    /// As [`open`](Self::open), on a circuit of this priority, 0 to 99.
    ///
    /// # Errors
    /// As [`open`](Self::open), and for priorities above 99.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.open("m1")?; // connects in the background
    /// let urgent = client.open_with_priority("m1", 99)?; // on a circuit of its own
    /// motor.connected().await?;
    /// urgent.wait_for(|info| info.is_connected()).await;
    /// assert_eq!(urgent.info().unwrap().priority, 99);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_with_priority(
        &self,
        name: impl AsRef<[u8]>,
        priority: u8,
    ) -> Result<Channel, ConnectError> {
        let name = name.as_ref();
        let valid = PvName::new(name).map_err(|reason| {
            let pv = text(name);
            ConnectError::BadName { pv, reason }
        })?;
        let shared = &self.handle.shared;
        let mut span = Some(spans::of_channel(name));
        let opened = shared.with(|state, now, _| {
            let cid = state.open(now, valid, priority)?;
            state.listeners.spans.insert(cid, span.take());
            Ok(cid)
        });
        let cid = opened.map_err(|reason| refused(text(name), reason))?;
        let client = self.handle.clone();
        let inner = Arc::new(ChannelInner { client, cid });
        Ok(Channel::new(inner))
    }

    /// What the client holds at this moment.
    pub fn stats(&self) -> ClientStats {
        self.handle.shared.peek(|state| state.stats())
    }

    /// The flight recorder, if the client was built with [one](ClientBuilder::record).
    pub fn recorder(&self) -> Option<&Arc<Recorder>> {
        self.handle.shared.recorder.as_ref()
    }

    pub(crate) fn now(&self) -> Instant {
        self.handle.shared.runtime.now()
    }

    /// Listens to connects and disconnects of all channels, and to what servers report that
    /// belongs to no operation.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, ClientEvent};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let mut events = client.events();
    /// let motor = client.connect("m1").await?;
    /// assert_eq!(events.next().await, Some(ClientEvent::Connected { pv: "m1".into() }));
    /// motor.put("no number").await?; // nobody waits for the answer
    /// let event = events.next().await.unwrap();
    /// println!("{event}"); // 10.0.0.5:5064 reports for "m1" ECA_PUTFAIL ...
    /// # assert!(matches!(event, ClientEvent::Exception { .. }));
    /// # Ok(())
    /// # }
    /// ```
    pub fn events(&self) -> Events {
        self.handle
            .shared
            .with(|state, _, wakers| state.listen(None, wakers))
    }

    /// The name servers, and whether each can be asked.
    pub fn name_servers(&self) -> Vec<(SocketAddrV4, NameServerState)> {
        self.handle.name_servers()
    }

    /// What was heard of servers' beacons, through the repeater of this host.
    pub fn beacon_stats(&self) -> BeaconStats {
        self.handle.shared.peek(|state| state.core.beacon_stats())
    }

    /// Average period of the beacons of a server, by the address its circuits go to; `None` if too
    /// few were heard.
    pub fn beacon_period(&self, server: SocketAddrV4) -> Option<Duration> {
        let shared = &self.handle.shared;
        shared.peek(|state| state.core.beacon_period(server))
    }

    /// Shuts the client down and waits until all its circuits are closed and its tasks have
    /// ended. What waits for an answer ends with an error; subscriptions end.
    ///
    /// # Cancel safety
    /// The shutdown goes on without the waiting.
    pub async fn close(&self) {
        let shared = &self.handle.shared;
        shared.with(|state, now, wakers| state.close(now, wakers));
        let mut wait = WaitClosed { shared, key: None };
        std::future::poll_fn(|cx| wait.poll(cx.waker())).await;
    }
}

/// What a client holds at a moment; see [`Client::stats`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct ClientStats {
    /// Open channels.
    pub channels: usize,
    /// Circuits, being dialled or open, those to name servers included.
    pub circuits: usize,
    /// Requests that a server owes an answer, also if nobody waits for it any more.
    pub requests: usize,
    /// Subscriptions, and cancelled ones whose server has not confirmed it.
    pub subscriptions: usize,
    /// Futures that wait for an answer.
    pub waiting_for_answer: usize,
    /// Futures that wait for a connection, a change, room in a queue or the end of the client.
    pub waiting_for_change: usize,
    /// Tasks: one for searches and one per circuit.
    pub tasks: usize,
    /// Times a server was found and not connected to, because there were as many circuits as
    /// [`ClientParams::max_circuits`](ca_proto::config::ClientParams::max_circuits) and `max_dials`
    /// allow.
    pub refused_circuits: u64,
}

struct WaitClosed<'a> {
    shared: &'a Shared,
    key: Option<WaitKey>,
}

impl WaitClosed<'_> {
    fn poll(&mut self, waker: &Waker) -> Poll<()> {
        let key = &mut self.key;
        let (ready, _old) = self.shared.with(|state, _, wakers| {
            let old = key.take().and_then(|key| state.waits.remove(key));
            if state.is_ended() {
                return (Poll::Ready(()), old);
            }
            let waiter = Waiter::Task(waker.clone());
            *key = state.waits.add(Until::Closed, Instant::MAX, waiter, wakers);
            (Poll::Pending, old)
        });
        ready
    }
}

impl Drop for WaitClosed<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            let _waker = self.shared.with(|state, _, _| state.waits.remove(key));
        }
    }
}
