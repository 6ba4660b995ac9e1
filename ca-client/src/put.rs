//! Puts to one PV.

use std::future::Future;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::client::OpError;
use ca_proto::dbr::{DbrType, Family, Value};

use crate::channel::{Channel, said};
use crate::client::Client;
use crate::convert::{IntoValue, ValueError};
use crate::error::PutError;
use crate::ops::{Failure, Operation, Request};
use crate::running::Running;

/// When a put is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Done {
    /// It is on its way.
    Sent,
    /// The server has looked at it.
    Checked,
    /// The server has completed what follows from it.
    Completed,
}

impl Channel {
    /// Puts a value. Unless told otherwise it does not wait for the server: when this returns, the
    /// request is on its way behind all earlier ones, and a refusal by the server is a
    /// [`ClientEvent::Exception`](crate::ClientEvent::Exception). [`check`](Put::check) learns of
    /// refusals, [`wait`](Put::wait) waits for completion.
    ///
    /// # Shape
    /// An array puts as many elements as it has; more than the PV holds are an error.
    ///
    /// # Units
    /// The engineering units of the PV, which [`metadata`](Self::metadata) tells; nothing is converted.
    ///
    /// # Errors
    /// [`PutError`]: no connection in time, no access, a value that does not fit; with `check` and
    /// `wait` also the server's status and text.
    ///
    /// # Cancel safety
    /// Dropped before it returns, a put that does not wait was not sent. With `check` and `wait` the
    /// value may or may not be written.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, DbrType, EnumIndex, PutError, Value};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// motor.put(2.0).await?; // on its way, nobody waits
    /// motor.put(3.0).wait().timeout(Duration::from_secs(60)).await?; // the motor has arrived
    /// assert_eq!(motor.get::<f64>().await?, 3.0);
    /// motor.put("4.5").check().await?; // the server has taken the text; the motor may still move
    /// motor.put(EnumIndex(3)).ty(DbrType::PUT_ACKS).await?; // alarms seen
    /// let refused = motor.put("far away").wait().await;
    /// assert!(matches!(refused, Err(PutError::Failed { .. })));
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn put<V: IntoValue>(&self, value: V) -> Put<'_, V> {
        Put {
            channel: self,
            value: Some(value),
            ty: None,
            done: Done::Sent,
            timeout: None,
            operation: None,
        }
    }

    /// Writes without a future and a look at the clock, if other writes are on their way before it;
    /// false if it cannot be written so.
    // hot: every put of a burst. The value stays where it was made, as its bytes are so new that a move
    // would wait for them.
    #[inline]
    fn write_behind(&self, ty: Option<DbrType>, made: &Result<Value, ValueError>) -> bool {
        let (shared, cid) = (&self.inner.client.shared, self.inner.cid);
        made.as_ref()
            .is_ok_and(|value| shared.write_behind(cid, ty.unwrap_or_else(|| plain(value)), value))
    }

    /// The value as it is sent, with its type.
    pub(crate) fn encode(
        &self,
        made: Result<Value, ValueError>,
    ) -> Result<(DbrType, Value), PutError> {
        let value = made.map_err(|reason| PutError::Value {
            pv: self.name(),
            reason,
        })?;
        Ok((plain(&value), value))
    }

    pub(crate) fn put_error(&self, failure: Failure, started: Instant) -> PutError {
        let context = self.context(started);
        match failure {
            Failure::NotConnected => PutError::NotConnected(context),
            Failure::Refused(OpError::ReadOnly) => PutError::ReadOnly(context),
            Failure::Refused(OpError::NoWriteAccess) => PutError::NoAccess(context),
            Failure::Refused(OpError::NoSuchChannel) | Failure::Closed => PutError::Closed(context),
            Failure::Refused(reason) => PutError::BadRequest { context, reason },
            Failure::Failed(status, text) => {
                let text = said(&context, text);
                PutError::Failed {
                    context,
                    status,
                    text,
                }
            }
            // Nothing but values can be malformed.
            Failure::Malformed(reason) => PutError::Failed {
                context,
                status: reason.status(),
                text: None,
            },
            Failure::Disconnected => PutError::Disconnected(context),
            Failure::TimedOut => PutError::TimedOut(context),
        }
    }
}

const fn plain(value: &Value) -> DbrType {
    DbrType::new(Family::Plain, value.native())
}

/// A put to one channel: [`Channel::put`]. It is sent when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is put before it is awaited"]
pub struct Put<'a, V> {
    channel: &'a Channel,
    /// Until it is polled.
    value: Option<V>,
    ty: Option<DbrType>,
    done: Done,
    timeout: Option<Duration>,
    operation: Option<Operation<'a>>,
}

/// The value is moved out at the first poll.
impl<V> Unpin for Put<'_, V> {}

impl<V> Put<'_, V> {
    /// Waits until the server has completed what follows from the value (put-notify): a motor has
    /// moved, a chain of records is processed.
    pub fn wait(mut self) -> Self {
        self.done = Done::Completed;
        self
    }

    /// Waits until the server has looked at the value: what it refuses is an error, while what follows
    /// from it, as the motion of a motor, is not waited for. On the wire it is a put followed by a get
    /// of one element, whose answer servers send behind their complaint.
    ///
    /// Gateways, and servers that carry puts out beside the order of a circuit, may complain later; that
    /// is a [`ClientEvent::Exception`](crate::ClientEvent::Exception) then.
    pub fn check(mut self) -> Self {
        self.done = Done::Checked;
        self
    }

    /// Sends it in a given type: plain types 0 to 6, [`PUT_ACKT`](DbrType::PUT_ACKT) and
    /// [`PUT_ACKS`](DbrType::PUT_ACKS). Default: the value's own.
    pub fn ty(mut self, ty: DbrType) -> Self {
        self.ty = Some(ty);
        self
    }

    /// Time for the connection if there is none, and for what is waited for; counted from the first
    /// poll. Default: [that of the client](crate::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// True if it waits for the server.
    #[cfg(feature = "blocking")]
    pub(crate) fn waits(&self) -> bool {
        self.done != Done::Sent
    }

    fn begin(&mut self, made: Result<Value, ValueError>) -> Result<(), PutError> {
        let channel = self.channel;
        let (plain, value) = channel.encode(made)?;
        let shared = &channel.inner.client.shared;
        let timeout = self.timeout.unwrap_or_else(|| shared.config.timeout());
        let request = Request::Put(self.done, self.ty.unwrap_or(plain), value);
        self.operation = Some(Operation::new(&channel.inner, request, timeout));
        Ok(())
    }
}

impl<V: IntoValue> Future for Put<'_, V> {
    type Output = Result<(), PutError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(value) = this.value.take() {
            let made = value.into_value();
            if this.done == Done::Sent && this.channel.write_behind(this.ty, &made) {
                return Poll::Ready(Ok(()));
            }
            this.begin(made)?;
        }
        let Some(operation) = &mut this.operation else {
            return Poll::Pending;
        };
        let answer = ready!(Pin::new(&mut *operation).poll(cx));
        let failed = |failure| this.channel.put_error(failure, operation.started());
        Poll::Ready(answer.map(drop).map_err(failed))
    }
}

impl Client {
    /// Puts a value to a PV once: opens a channel, waits for its connection, puts the value and closes
    /// the channel when what was to be waited for is there. To put to the same PV again and again, keep
    /// a [`Channel`].
    ///
    /// # Errors
    /// [`PutError`]; [`PutError::Open`] for a name that is none.
    ///
    /// # Cancel safety
    /// As [`Channel::put`].
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// client.put("m1", 2.5).wait().await?;
    /// assert_eq!(client.get::<f64>("m1").await?, 2.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn put<V: IntoValue>(&self, pv: impl AsRef<[u8]>, value: V) -> PutOnce<'_> {
        PutOnce {
            client: self,
            pv: pv.as_ref().into(),
            value: Some(value.into_value()),
            ty: None,
            done: Done::Sent,
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }
}

/// A put to a PV by its name: [`Client::put`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is put before it is awaited"]
pub struct PutOnce<'a> {
    client: &'a Client,
    pv: Box<[u8]>,
    /// Until it is polled.
    value: Option<Result<Value, ValueError>>,
    ty: Option<DbrType>,
    done: Done,
    timeout: Duration,
    running: Running<'a, Result<(), PutError>>,
}

impl PutOnce<'_> {
    /// As [`Put::wait`].
    pub fn wait(mut self) -> Self {
        self.done = Done::Completed;
        self
    }

    /// As [`Put::check`].
    pub fn check(mut self) -> Self {
        self.done = Done::Checked;
        self
    }

    /// As [`Put::ty`].
    pub fn ty(mut self, ty: DbrType) -> Self {
        self.ty = Some(ty);
        self
    }

    /// Time for the connection and what is waited for together, counted from the first poll. Default:
    /// [that of the client](crate::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

/// A value that was made already.
struct Made(Result<Value, ValueError>);

impl IntoValue for Made {
    fn into_value(self) -> Result<Value, ValueError> {
        self.0
    }
}

impl Future for PutOnce<'_> {
    type Output = Result<(), PutError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, ty, done, timeout) = (this.client, this.ty, this.done, this.timeout);
        let (pv, value) = (&mut this.pv, &mut this.value);
        this.running.poll(cx, || {
            let (pv, value) = (std::mem::take(pv), value.take());
            async move {
                let channel = client.open(pv)?;
                let Some(value) = value else { return Ok(()) };
                let mut put = channel.put(Made(value)).timeout(timeout);
                (put.ty, put.done) = (ty, done);
                put.await
            }
        })
    }
}
