//! Channels opened and connected, one or many together.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::client::OpenError;
use ca_proto::ids::Cid;
use ca_proto::wire::PvName;
use tracing::Span;

use crate::channel::{Channel, ChannelInner, is_connected};
use crate::client::Client;
use crate::error::{ConnectError, Context, Phase};
use crate::running::Running;
use crate::spans;

/// Channels handled in one turn of the lock, so that circuits and searches get theirs.
const AT_ONCE: usize = 1024;

type Opened = Result<Channel, ConnectError>;

impl Client {
    /// Opens a channel and waits until it is connected, at most the client's
    /// [time-out](crate::ClientBuilder::timeout) or [another](Connect::timeout).
    ///
    /// # Errors
    /// [`ConnectError`], which says how far it came; at once if there is
    /// [nowhere to search](ConnectError::NowhereToSearch).
    ///
    /// # Cancel safety
    /// Safe: the channel is closed again.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, ConnectError};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// assert_eq!(motor.info().unwrap().connection().unwrap().count, 1);
    ///
    /// match client.connect("no:such:pv").timeout(Duration::from_millis(50)).await {
    ///     Err(error @ ConnectError::TimedOut(_)) => println!("{error}"),
    ///     other => panic!("{other:?}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(&self, name: impl AsRef<[u8]>) -> Connect<'_> {
        Connect {
            client: self,
            name: name.as_ref().into(),
            priority: self.effective_config().params().priority,
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }

    /// Opens many channels and waits until all of them are connected, at most the client's
    /// [time-out](crate::ClientBuilder::timeout) or [another](ConnectMany::timeout): each gives its
    /// channel or its own error, in the order of the names. It costs much less than a future for
    /// each of them.
    ///
    /// # Errors
    /// When the time is up, channels that are not connected at that moment give
    /// [`ConnectError::TimedOut`] and are closed.
    ///
    /// # Cancel safety
    /// Safe: the channels are closed again.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::long(2)).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let names = ["m1", "m2", "no:such:pv"];
    /// let channels = client.connect_many(&names).timeout(Duration::from_millis(200)).await;
    /// assert!(channels[0].is_ok() && channels[1].is_ok());
    /// for error in channels.iter().filter_map(|channel| channel.as_ref().err()) {
    ///     println!("{error}");
    /// }
    /// # assert!(channels[2].is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_many<'a, N: AsRef<[u8]> + Sync>(&'a self, names: &'a [N]) -> ConnectMany<'a, N> {
        ConnectMany {
            client: self,
            names,
            priority: self.effective_config().params().priority,
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }

    async fn connect_all(
        &self,
        names: &[impl AsRef<[u8]>],
        priority: u8,
        timeout: Duration,
    ) -> Vec<Opened> {
        let started = self.now();
        let mut opened = self.open_many(names, priority).await;
        if !self.all_connected(&opened, started + timeout).await {
            for channel in &mut opened {
                if let Ok(one) = channel
                    && !one.is_connected()
                {
                    *channel = Err(one.not_connected(started));
                }
            }
        }
        opened
    }

    /// Opens many channels; the first ones are searched while the others are opened.
    pub(crate) async fn open_many(&self, names: &[impl AsRef<[u8]>], priority: u8) -> Vec<Opened> {
        let mut opened = Vec::with_capacity(names.len());
        for names in names.chunks(AT_ONCE) {
            if !opened.is_empty() {
                yield_now().await;
            }
            self.open_into(names, priority, &mut opened);
        }
        opened
    }

    /// Opens a channel for each name, as [`open`](Self::open) does, in a small part of the time that as many of those
    /// take: they are searched together, and nothing else of the client has to wait for longer than for a thousand of
    /// them.
    ///
    /// # Errors
    /// Each channel has its own, as of [`open`](Self::open), in the order of the names.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(2.5)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let mut motors = Vec::new();
    /// for opened in client.open_all(&["m1", "m2"]) {
    ///     motors.push(opened?);
    /// }
    /// assert_eq!(client.get_many::<f64>(&motors).await, [Ok(1.5), Ok(2.5)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_all(&self, names: &[impl AsRef<[u8]>]) -> Vec<Result<Channel, ConnectError>> {
        let priority = self.effective_config().params().priority;
        let mut opened = Vec::with_capacity(names.len());
        for names in names.chunks(AT_ONCE) {
            self.open_into(names, priority, &mut opened);
        }
        opened
    }

    /// Opens channels in one turn of the lock.
    fn open_into(&self, names: &[impl AsRef<[u8]>], priority: u8, opened: &mut Vec<Opened>) {
        let shared = &self.handle.shared;
        let checked: Vec<_> = names.iter().map(PvName::new).collect();
        let mut spans: Vec<Option<Span>> = match spans::are_wanted() {
            true => names
                .iter()
                .map(|name| Some(spans::of_channel(name.as_ref())))
                .collect(),
            false => Vec::new(),
        };
        let cids: Vec<Result<Cid, ConnectError>> = shared.with(|state, now, _| {
            let open = |(n, (name, checked)): (usize, (&_, Result<PvName, _>))| {
                let pv = || text(AsRef::as_ref(name));
                let name = checked.map_err(|reason| ConnectError::BadName { pv: pv(), reason })?;
                let cid = state.open(now, name, priority);
                let cid = cid.map_err(|reason| refused(pv(), reason))?;
                let span = spans.get_mut(n).and_then(Option::take);
                state.listeners.spans.insert(cid, span);
                Ok(cid)
            };
            names.iter().zip(checked).enumerate().map(open).collect()
        });
        opened.extend(cids.into_iter().map(|cid| {
            let client = self.handle.clone();
            let inner = Arc::new(ChannelInner { client, cid: cid? });
            Ok(Channel::new(inner))
        }));
    }

    /// Waits until all channels are connected, or have been; false when the time is up before, or
    /// the client is closed.
    ///
    /// It waits for the first one that is not connected, and when that is, passes over all that
    /// are: servers answer in the order in which they were asked, so that little is left then.
    async fn all_connected(&self, opened: &[Opened], deadline: Instant) -> bool {
        let shared = &self.handle.shared;
        let mut rest = opened;
        loop {
            let (some, _) = rest.split_at(rest.len().min(AT_ONCE));
            let ready = shared.peek(|state| {
                let ready = |one: &&Opened| match one {
                    Ok(channel) => is_connected(state, channel.inner.cid),
                    Err(_) => true,
                };
                some.iter().take_while(ready).count()
            });
            rest = rest.get(ready..).unwrap_or_default();
            let Some(next) = rest.first() else {
                return true;
            };
            if ready < some.len()
                && let Ok(channel) = next
                && !channel.connected_by(deadline).await
            {
                return false;
            }
        }
    }
}

/// Opens a channel and waits for its connection: [`Client::connect`]. It begins when it is first
/// polled.
#[derive(Debug)]
#[must_use = "nothing is opened before it is awaited"]
pub struct Connect<'a> {
    client: &'a Client,
    name: Box<[u8]>,
    priority: u8,
    timeout: Duration,
    running: Running<'a, Opened>,
}

impl Connect<'_> {
    /// Time for the connection, counted from the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Priority of its circuit, 0 to 99. Default: [that of the client](crate::ClientBuilder::priority).
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }
}

impl Future for Connect<'_> {
    type Output = Result<Channel, ConnectError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, priority, timeout) = (this.client, this.priority, this.timeout);
        let name = &mut this.name;
        this.running.poll(cx, || {
            let name = std::mem::take(name);
            async move {
                let channel = client.open_with_priority(name, priority)?;
                channel.connected_within(timeout).await?;
                Ok(channel)
            }
        })
    }
}

/// Opens many channels and waits for their connections: [`Client::connect_many`]. It begins when it
/// is first polled.
#[derive(Debug)]
#[must_use = "nothing is opened before it is awaited"]
pub struct ConnectMany<'a, N> {
    client: &'a Client,
    names: &'a [N],
    priority: u8,
    timeout: Duration,
    running: Running<'a, Vec<Opened>>,
}

impl<N> ConnectMany<'_, N> {
    /// Time for all connections together, counted from the first poll.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Priority of the circuits, 0 to 99. Default: [that of the client](crate::ClientBuilder::priority).
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }
}

impl<N: AsRef<[u8]> + Sync> Future for ConnectMany<'_, N> {
    type Output = Vec<Result<Channel, ConnectError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, names) = (this.client, this.names);
        let (priority, timeout) = (this.priority, this.timeout);
        this.running
            .poll(cx, || client.connect_all(names, priority, timeout))
    }
}

/// Why a channel cannot be opened.
pub(crate) fn refused(pv: String, reason: OpenError) -> ConnectError {
    match reason {
        OpenError::ShutDown => ConnectError::Closed(Box::new(Context {
            pv,
            peer: None,
            phase: Phase::Closed,
            elapsed: Duration::ZERO,
        })),
        reason => ConnectError::Refused { pv, reason },
    }
}

pub(crate) fn text(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

/// Lets the other tasks of this thread run.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
