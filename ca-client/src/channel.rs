//! A channel: the way to one PV.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::access::AccessRights;
use ca_proto::client::{
    ChannelState, ChannelView, Connection, OpError, ReadSpec, Trouble, TypeSpec,
};
use ca_proto::dbr::{DbrType, Family, Reading, Value};
use ca_proto::ids::Cid;
use ca_proto::wire::PvName;

use crate::client::Handle;
use crate::convert::{EnumState, FromReading, IntoValue, ValueError, read_spec};
use crate::error::{ConnectError, Context, Phase, ReadError, SubscribeError, WriteError};
use crate::events::Events;
use crate::ops::{Failure, Operation, Request, WaitFor};
use crate::shared::State;
use crate::subscription::{SubSpec, Subscription};

/// What the handles of a channel share; the channel is closed with the last of them.
#[derive(Debug)]
pub(crate) struct ChannelInner {
    pub(crate) client: Handle,
    pub(crate) cid: Cid,
}

impl Drop for ChannelInner {
    fn drop(&mut self) {
        let cid = self.cid;
        let shared = &self.client.shared;
        shared.with(|state, now, _| state.core.close_channel(now, cid));
    }
}

/// The way to one PV. Clones are further handles of the same channel; it is closed when the last
/// handle and the last [`Subscription`] are dropped.
///
/// A lost channel comes back by itself. Operations on a channel that is not connected wait for
/// the connection, within the same time-out that holds for their answer; once a request was sent
/// it is never repeated.
///
/// # Cancel safety
/// Each method may be dropped at any time: what was not sent will not be sent, an answer that
/// still comes is ignored. A write that was sent may still be processed by the server.
#[derive(Clone, Debug)]
pub struct Channel {
    pub(crate) inner: Arc<ChannelInner>,
    timeout: Duration,
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
    pub(crate) const fn new(inner: Arc<ChannelInner>, timeout: Duration) -> Self {
        Self { inner, timeout }
    }

    /// A handle whose operations have another time-out.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.channel("m1").await?;
    /// let patient = motor.with_timeout(Duration::from_secs(60));
    /// patient.write_notify(3.0).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self {
            inner: self.inner.clone(),
            timeout,
        }
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

    /// Waits until the channel can be used.
    ///
    /// # Errors
    /// [`ConnectError::TimedOut`] says how far the channel came; it goes on trying.
    /// [`ConnectError::NowhereToSearch`] comes at once.
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn connected(&self) -> Result<(), ConnectError> {
        let (started, deadline) = self.times();
        if self.connected_by(deadline).await {
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
    /// may go unnoticed; [`changes`](Self::changes) tells it. [`Subscription`]s have connects and disconnects among their items.
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
    /// let motor = client.channel("m1").await?;
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

    fn times(&self) -> (Instant, Instant) {
        let now = self.inner.client.shared.runtime.now();
        (now, now + self.timeout)
    }

    /// Reads the value as a `T`; the server converts.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, Stamped};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.channel("m1").await?;
    /// assert_eq!(motor.read::<f64>().await?, 1.5);
    /// assert_eq!(motor.read::<String>().await?, "2"); // with the digits of the PV
    /// assert_eq!(motor.read::<Vec<f64>>().await?, [1.5]);
    /// let stamped: Stamped<f64> = motor.read().await?;
    /// println!("{} {:?} {:?}", stamped.value, stamped.alarm, stamped.timestamp);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read<T: FromReading>(&self) -> Result<T, ReadError> {
        let (started, deadline) = self.times();
        let reading = self.request(read_spec::<T>(), started, deadline).await?;
        self.decode(&reading, started)
    }

    pub(crate) fn decode<T: FromReading>(
        &self,
        reading: &Reading,
        started: Instant,
    ) -> Result<T, ReadError> {
        T::from_reading(reading).map_err(|reason| ReadError::Value {
            context: self.context(started),
            reason,
        })
    }

    /// Reads in any DBR type or family, with any element count.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("wave", PvSpec::array([1.0, 2.0, 3.0]).units("V")).pv("valve", PvSpec::enumeration(["Closed", "Open"], 1)).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, DbrType, Family, NativeType, ReadSpec, TypeSpec};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let wave = client.channel("wave").await?;
    /// let first_two = ReadSpec { ty: TypeSpec::Family(Family::Plain), count: 2 };
    /// assert_eq!(wave.read_with(first_two).await?.to_f64s(), Some(vec![1.0, 2.0]));
    /// let class = ReadSpec { ty: TypeSpec::Exact(DbrType::CLASS_NAME), count: 1 };
    /// assert_eq!(wave.read_with(class).await?.string(0).as_deref(), Some("waveform"));
    ///
    /// // The whole value with alarm and time stamp, and what describes it:
    /// let reading = wave.reading().await?;
    /// assert_eq!((reading.count(), reading.get_f64(2)), (3, Some(3.0)));
    /// let units = wave.metadata().await?.units();
    /// assert_eq!(units.unwrap().to_string(), "V");
    /// let state = client.channel("valve").await?.read_enum().await?;
    /// assert_eq!((state.index, state.label.as_deref()), (1, Some("Open")));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read_with(&self, spec: ReadSpec) -> Result<Reading, ReadError> {
        let (started, deadline) = self.times();
        self.request(spec, started, deadline).await
    }

    /// Reads the whole value in the PV's native type, with alarm and time stamp (`TIME` family).
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn reading(&self) -> Result<Reading, ReadError> {
        self.read_with(native(Family::Time, 0)).await
    }

    /// Reads units, precision, limits and state texts (`CTRL` family, one element).
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn metadata(&self) -> Result<Reading, ReadError> {
        self.read_with(native(Family::Ctrl, 1)).await
    }

    /// Reads the state of an enum: index and text, in one request.
    ///
    /// # Errors
    /// [`ReadError`].
    ///
    /// # Cancel safety
    /// Safe.
    pub async fn read_enum(&self) -> Result<EnumState, ReadError> {
        self.read().await
    }

    async fn request(
        &self,
        spec: ReadSpec,
        started: Instant,
        deadline: Instant,
    ) -> Result<Reading, ReadError> {
        let operation = Operation::new(&self.inner, Request::Read(spec), deadline);
        let failure = match operation.await {
            Ok(Some(reading)) => return Ok(reading),
            // Reads are answered with readings.
            Ok(None) => Failure::Disconnected,
            Err(failure) => failure,
        };
        Err(self.read_error(failure, started))
    }

    pub(crate) fn read_error(&self, failure: Failure, started: Instant) -> ReadError {
        let context = self.context(started);
        match failure {
            Failure::NotConnected => ReadError::NotConnected(context),
            Failure::Refused(OpError::NoReadAccess) => ReadError::NoAccess(context),
            Failure::Refused(OpError::NoSuchChannel) | Failure::Closed => {
                ReadError::Closed(context)
            }
            Failure::Refused(reason) => ReadError::BadRequest { context, reason },
            Failure::Failed(status, text) => {
                let text = said(&context, text);
                ReadError::Failed {
                    context,
                    status,
                    text,
                }
            }
            Failure::Malformed(reason) => ReadError::Malformed { context, reason },
            Failure::Disconnected => ReadError::Disconnected(context),
            Failure::TimedOut => ReadError::TimedOut(context),
        }
    }

    /// Writes a value and does not wait for the server: when this returns, the request is on its
    /// way behind all earlier ones. A refusal by the server is a
    /// [`ClientEvent::Exception`](crate::ClientEvent::Exception); [`write_checked`](Self::write_checked)
    /// waits for it.
    ///
    /// # Errors
    /// [`WriteError`] for what can be known here: no connection in time, no access, a value that
    /// does not fit.
    ///
    /// # Cancel safety
    /// Safe: dropped before it returns, nothing was sent.
    pub async fn write(&self, value: impl IntoValue) -> Result<(), WriteError> {
        let made = value.into_value();
        if self.write_behind(None, &made) {
            return Ok(());
        }
        let (ty, value) = self.encode(made)?;
        self.put(ty, value, Request::Write).await
    }

    /// As [`write`](Self::write), in a given type: plain types 0 to 6,
    /// [`PUT_ACKT`](DbrType::PUT_ACKT) and [`PUT_ACKS`](DbrType::PUT_ACKS).
    ///
    /// # Errors
    /// [`WriteError`].
    ///
    /// # Cancel safety
    /// Safe: dropped before it returns, nothing was sent.
    pub async fn write_as(&self, ty: DbrType, value: impl IntoValue) -> Result<(), WriteError> {
        let made = value.into_value();
        if self.write_behind(Some(ty), &made) {
            return Ok(());
        }
        let (_, value) = self.encode(made)?;
        self.put(ty, value, Request::Write).await
    }

    /// Writes without a future and a look at the clock, if other writes are on their way before it;
    /// false if it cannot be written so.
    // hot: every write of a burst. The value stays where it was made, as its bytes are so new that a move
    // would wait for them.
    #[inline]
    fn write_behind(&self, ty: Option<DbrType>, made: &Result<Value, ValueError>) -> bool {
        let (shared, cid) = (&self.inner.client.shared, self.inner.cid);
        made.as_ref()
            .is_ok_and(|value| shared.write_behind(cid, ty.unwrap_or_else(|| plain(value)), value))
    }

    /// Writes a value and waits until the server has looked at it: what it refuses is an error, while
    /// what follows from the write, as the motion of a motor, is not waited for. On the wire it is a
    /// [`write`](Self::write) followed by a read of one element, whose answer servers send behind
    /// their complaint.
    ///
    /// Gateways, and servers that carry writes out beside the order of a circuit, may complain later; that
    /// is a [`ClientEvent::Exception`](crate::ClientEvent::Exception) then.
    ///
    /// # Errors
    /// [`WriteError`], with the server's status and text.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be written.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, WriteError};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.channel("m1").await?;
    /// motor.write_checked(2.0).await?; // the server has it, the motor may still move
    /// let refused = motor.write_checked("far away").await;
    /// assert!(matches!(refused, Err(WriteError::Failed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_checked(&self, value: impl IntoValue) -> Result<(), WriteError> {
        let (ty, value) = self.encode(value.into_value())?;
        self.put(ty, value, Request::WriteChecked).await
    }

    /// As [`write_checked`](Self::write_checked), in a given type.
    ///
    /// # Errors
    /// [`WriteError`], with the server's status and text.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be written.
    pub async fn write_checked_as(
        &self,
        ty: DbrType,
        value: impl IntoValue,
    ) -> Result<(), WriteError> {
        let (_, value) = self.encode(value.into_value())?;
        self.put(ty, value, Request::WriteChecked).await
    }

    /// Writes a value and waits until the server has completed what follows from it
    /// (put-notify): a motor has moved, a chain of records is processed.
    ///
    /// # Errors
    /// [`WriteError`], with the server's status.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be written.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, DbrType, EnumIndex, Value, WriteError};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.channel("m1").await?;
    /// motor.write(2.0).await?; // on its way, nobody waits
    /// motor.write_notify(3.0).await?; // the motor has arrived
    /// assert_eq!(motor.read::<f64>().await?, 3.0);
    /// motor.write_notify("4.5").await?; // the server reads the text
    /// motor.write_as(DbrType::PUT_ACKS, Value::scalar(EnumIndex(3))).await?; // alarms seen
    /// let refused = motor.write_notify("far away").await;
    /// assert!(matches!(refused, Err(WriteError::Failed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_notify(&self, value: impl IntoValue) -> Result<(), WriteError> {
        let (ty, value) = self.encode(value.into_value())?;
        self.put(ty, value, Request::WriteNotify).await
    }

    /// As [`write_notify`](Self::write_notify), in a given type.
    ///
    /// # Errors
    /// [`WriteError`], with the server's status.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be written.
    pub async fn write_notify_as(
        &self,
        ty: DbrType,
        value: impl IntoValue,
    ) -> Result<(), WriteError> {
        let (_, value) = self.encode(value.into_value())?;
        self.put(ty, value, Request::WriteNotify).await
    }

    /// The value as it is sent, with its type.
    pub(crate) fn encode(
        &self,
        made: Result<Value, ValueError>,
    ) -> Result<(DbrType, Value), WriteError> {
        let value = made.map_err(|reason| WriteError::Value {
            pv: self.name(),
            reason,
        })?;
        Ok((plain(&value), value))
    }

    async fn put(
        &self,
        ty: DbrType,
        value: Value,
        request: fn(DbrType, Value) -> Request,
    ) -> Result<(), WriteError> {
        let (started, deadline) = self.times();
        let operation = Operation::new(&self.inner, request(ty, value), deadline);
        let Err(failure) = operation.await else {
            return Ok(());
        };
        Err(self.write_error(failure, started))
    }

    pub(crate) fn write_error(&self, failure: Failure, started: Instant) -> WriteError {
        let context = self.context(started);
        match failure {
            Failure::NotConnected => WriteError::NotConnected(context),
            Failure::Refused(OpError::ReadOnly) => WriteError::ReadOnly(context),
            Failure::Refused(OpError::NoWriteAccess) => WriteError::NoAccess(context),
            Failure::Refused(OpError::NoSuchChannel) | Failure::Closed => {
                WriteError::Closed(context)
            }
            Failure::Refused(reason) => WriteError::BadRequest { context, reason },
            Failure::Failed(status, text) => {
                let text = said(&context, text);
                WriteError::Failed {
                    context,
                    status,
                    text,
                }
            }
            // Nothing but values can be malformed.
            Failure::Malformed(reason) => WriteError::Failed {
                context,
                status: reason.status(),
                text: None,
            },
            Failure::Disconnected => WriteError::Disconnected(context),
            Failure::TimedOut => WriteError::TimedOut(context),
        }
    }

    /// Subscribes to changes. Works on channels that are not connected too: the first update
    /// comes when they are.
    ///
    /// # Errors
    /// [`SubscribeError`] when the request makes no sense or the client was closed.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, Monitor, SubSpec};
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.channel("m1").await?;
    /// let mut monitor = motor.subscribe(SubSpec::time())?;
    /// ioc.post("m1", 2.5)?;
    /// let mut last = 0.0;
    /// while last != 2.5 {
    ///     match monitor.next().await {
    ///         Some(Monitor::Update { reading, skipped }) => {
    ///             last = reading.get_f64(0).unwrap();
    ///             println!("{last} {:?}, {skipped} skipped", reading.alarm());
    ///         }
    ///         Some(Monitor::Disconnected | Monitor::Connected) => println!("lost, or back"),
    ///         Some(other) => println!("{other:?}"),
    ///         None => break, // the client was closed
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self, spec: SubSpec) -> Result<Subscription, SubscribeError> {
        let started = self.inner.client.shared.runtime.now();
        Subscription::start(self.inner.clone(), spec)
            .map_err(|reason| self.subscribe_error(reason, started))
    }

    pub(crate) fn subscribe_error(&self, reason: OpError, started: Instant) -> SubscribeError {
        let context = self.context(started);
        match reason {
            OpError::NoSuchChannel => SubscribeError::Closed(context),
            reason => SubscribeError::BadRequest { context, reason },
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
fn said(context: &Context, text: Option<Box<str>>) -> Option<String> {
    text.map(|text| text.trim().to_owned())
        .filter(|text| !text.is_empty() && *text != context.pv)
}

const fn plain(value: &Value) -> DbrType {
    DbrType::new(Family::Plain, value.native())
}

const fn native(family: Family, count: u32) -> ReadSpec {
    ReadSpec {
        ty: TypeSpec::Family(family),
        count,
    }
}
