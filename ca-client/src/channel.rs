//! A channel: the way to one PV.

use std::net::SocketAddrV4;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::access::AccessRights;
use ca_proto::client::{ChannelState, ChannelView, Connection, Trouble};
use ca_proto::ids::Cid;
use ca_proto::wire::PvName;

use crate::client::Handle;
use crate::error::{ConnectError, Context, Phase};
use crate::events::Events;
use crate::ops::WaitFor;
use crate::running::Running;
use crate::shared::State;

/// What the handles of a channel share; the channel is closed with the last of them.
pub(crate) struct ChannelInner {
    pub(crate) client: Handle,
    pub(crate) cid: Cid,
}

impl Drop for ChannelInner {
    fn drop(&mut self) {
        let cid = self.cid;
        let shared = &self.client.shared;
        let span = shared.with(|state, now, _| {
            state.core.close_channel(now, cid);
            state.listeners.spans.remove(cid)
        });
        drop(span);
    }
}

/// The way to one PV. Clones are further handles of the same channel; it is closed when the last
/// handle and the last [`Monitor`](crate::Monitor) are dropped.
///
/// A lost channel comes back by itself. Operations on a channel that is not connected wait for
/// the connection, within the same time-out that holds for their answer; once a request was sent
/// it is never repeated.
///
/// # Cancel safety
/// Each method may be dropped at any time: what was not sent will not be sent, an answer that
/// still comes is ignored. A write that was sent may still be processed by the server.
#[derive(Clone)]
pub struct Channel {
    pub(crate) inner: Arc<ChannelInner>,
}

/// What is known about a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Name of the PV.
    pub name: PvName,
    /// Priority of its circuit, 0 to 99.
    pub priority: u8,
    /// Where it is on its way to a server, and what is known when it is connected: server,
    /// protocol version, native type, element count, access rights.
    pub state: ChannelState,
    /// Searches sent since the channel was opened or lost.
    pub search_attempts: u32,
    /// What last kept it from being connected.
    pub trouble: Option<Trouble>,
    /// The server that had to do with it.
    pub trouble_at: Option<SocketAddrV4>,
}

impl ChannelInfo {
    fn new(view: ChannelView<'_>) -> Self {
        Self {
            name: view.name.clone(),
            priority: view.priority,
            state: view.state,
            search_attempts: view.search_attempts,
            trouble: view.trouble,
            trouble_at: view.trouble_at,
        }
    }

    /// The connection, when the channel can be used.
    pub const fn connection(&self) -> Option<&Connection> {
        match &self.state {
            ChannelState::Connected(connection) => Some(connection),
            _ => None,
        }
    }

    /// The server, as far as one is known.
    pub const fn server(&self) -> Option<SocketAddrV4> {
        match &self.state {
            ChannelState::Connecting { server } | ChannelState::Creating { server } => {
                Some(*server)
            }
            ChannelState::Connected(connection) | ChannelState::Unresponsive(connection) => {
                Some(connection.server)
            }
            _ => None,
        }
    }

    /// True when the channel can be used.
    pub const fn is_connected(&self) -> bool {
        self.connection().is_some()
    }

    /// What the server allows; nothing while the channel is not connected.
    pub fn rights(&self) -> AccessRights {
        self.connection().map_or(AccessRights::NONE, |c| c.rights)
    }
}

pub(crate) fn is_connected(state: &State, cid: Cid) -> bool {
    let view = state.core.channel(cid);
    view.is_some_and(|view| view.connection().is_some())
}

impl Channel {
    pub(crate) const fn new(inner: Arc<ChannelInner>) -> Self {
        Self { inner }
    }

    /// Name of the PV; bytes that are not UTF-8 become U+FFFD.
    pub fn name(&self) -> String {
        self.view(|view| view.name.to_text()).unwrap_or_default()
    }

    /// What is known about the channel at this moment; `None` once the client was closed.
    pub fn info(&self) -> Option<ChannelInfo> {
        self.view(ChannelInfo::new)
    }

    /// Where the channel is on its way to a server; `None` once the client was closed.
    pub fn state(&self) -> Option<ChannelState> {
        self.view(|view| view.state)
    }

    /// True when the channel can be used.
    pub fn is_connected(&self) -> bool {
        self.inner
            .client
            .shared
            .peek(|state| is_connected(state, self.inner.cid))
    }

    fn view<R>(&self, look: impl FnOnce(ChannelView<'_>) -> R) -> Option<R> {
        let shared = &self.inner.client.shared;
        shared.peek(|state| state.core.channel(self.inner.cid).map(look))
    }

    /// Waits until the channel can be used, at most the client's
    /// [time-out](crate::ClientBuilder::timeout) or [another](Connected::timeout).
    ///
    /// # Errors
    /// [`ConnectError::TimedOut`] says how far the channel came; it goes on trying.
    /// [`ConnectError::NowhereToSearch`] comes at once.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn connected(&self) -> Connected<'_> {
        Connected {
            channel: self,
            timeout: self.inner.client.shared.config.timeout(),
            running: Running::new(),
        }
    }

    pub(crate) async fn connected_within(&self, timeout: Duration) -> Result<(), ConnectError> {
        let started = self.inner.client.shared.runtime.now();
        if self.connected_by(started + timeout).await {
            return Ok(());
        }
        Err(self.not_connected(started))
    }

    /// Waits until it is connected; false when the time is up before, the client is closed, or no
    /// time would suffice.
    pub(crate) async fn connected_by(&self, deadline: Instant) -> bool {
        let cid = self.inner.cid;
        let nowhere = |state: &State| state.core.has_nowhere_to_search();
        if self.inner.client.shared.peek(nowhere) {
            return false;
        }
        self.wait(deadline, move |state| is_connected(state, cid))
            .await
    }

    /// What keeps it from being connected.
    pub(crate) fn not_connected(&self, started: Instant) -> ConnectError {
        let context = self.context(started);
        match context.phase {
            Phase::Closed => ConnectError::Closed(context),
            _ if context.phase.is_nowhere() => ConnectError::NowhereToSearch(context),
            _ => ConnectError::TimedOut(context),
        }
    }

    /// Waits, without limit, until the channel satisfies a condition: connected or not, with or
    /// without a right, on another server. False when the client was closed before.
    ///
    /// Only the state at the times when the task runs is looked at; a quick change back and forth
    /// may go unnoticed; [`changes`](Self::changes) tells it. A [`Monitor`](crate::Monitor) has connects and
    /// disconnects among its items.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.open("m1")?;
    /// motor.wait_for(|info| info.rights().can_write()).await;
    /// # assert!(motor.is_connected());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn wait_for(&self, condition: impl Fn(&ChannelInfo) -> bool) -> bool {
        let cid = self.inner.cid;
        let condition = |state: &State| {
            let view = state.core.channel(cid);
            view.is_some_and(|view| condition(&ChannelInfo::new(view)))
        };
        self.wait(Instant::MAX, condition).await
    }

    /// Listens to what happens to this channel from now on: connects and disconnects, new access
    /// rights, an unresponsive server, failures that belong to no operation. It keeps neither channel
    /// nor client open and ends when the client is closed.
    ///
    /// # Examples
    /// ```
    /// use ca_client::{AccessRights, Client, ClientEvent};
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(0.0)).serve(NetConfig::new()).await?;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// let mut changes = motor.changes();
    /// # ioc.with(|ioc, now| ioc.set_rights(now, "m1", AccessRights::READ))?;
    /// if let Some(ClientEvent::AccessRights { rights, .. }) = changes.next().await {
    ///     println!("may write: {}", rights.can_write());
    /// #   assert!(!rights.can_write());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn changes(&self) -> Events {
        let (shared, cid) = (&self.inner.client.shared, self.inner.cid);
        shared.with(|state, _, wakers| state.listen(Some(cid), wakers))
    }

    fn wait<F: FnMut(&State) -> bool + Unpin>(
        &self,
        deadline: Instant,
        condition: F,
    ) -> WaitFor<'_, F> {
        WaitFor {
            channel: &self.inner,
            deadline,
            condition,
            key: None,
        }
    }

    /// Whether something came on its circuit.
    fn has_spoken(&self) -> bool {
        self.inner.client.shared.peek(|state| {
            let circuit = state.core.circuit_of(self.inner.cid);
            circuit.is_some_and(|circuit| state.core.has_spoken(circuit))
        })
    }

    /// What an error says about the channel, as it is now.
    pub(crate) fn context(&self, started: Instant) -> Box<Context> {
        let shared = &self.inner.client.shared;
        let elapsed = shared.runtime.now().saturating_duration_since(started);
        let params = shared.config.params();
        let known = self.info().map(|info| {
            let phase = match info.state {
                ChannelState::Connecting { .. } => Phase::Connecting,
                ChannelState::Creating { .. } if !self.has_spoken() => Phase::Silent,
                ChannelState::Creating { .. } => Phase::Creating,
                ChannelState::Connected(_) => Phase::Connected,
                ChannelState::Unresponsive(_) => Phase::Unresponsive,
                _ => Phase::Searching {
                    udp: params.search_addrs.clone(),
                    name_servers: self.inner.client.name_servers(),
                    attempts: info.search_attempts,
                    trouble: info.trouble,
                },
            };
            let peer = info.server().or(info.trouble_at);
            (info.name.to_text(), peer, phase)
        });
        let (pv, peer, phase) =
            known.unwrap_or_else(|| ("a closed channel".to_owned(), None, Phase::Closed));
        Box::new(Context {
            pv,
            peer,
            phase,
            elapsed,
        })
    }
}

/// What a server's text tells beside the name of the PV, which rsrv sends.
pub(crate) fn said(context: &Context, text: Option<Box<str>>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && *text != context.pv)
}

/// Waits for a connection: [`Channel::connected`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is waited for before it is awaited"]
pub struct Connected<'a> {
    channel: &'a Channel,
    timeout: Duration,
    running: Running<'a, Result<(), ConnectError>>,
}

impl Connected<'_> {
    /// Time for the connection, counted from the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Future for Connected<'_> {
    type Output = Result<(), ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (channel, timeout) = (this.channel, this.timeout);
        this.running.poll(cx, || channel.connected_within(timeout))
    }
}
