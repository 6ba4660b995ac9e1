//! Gets of one PV.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{self, Poll, ready};
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::client::{OpError, ReadSpec};
use ca_proto::dbr::{DbrType, Family, Reading};

use crate::channel::{Channel, said};
use crate::client::Client;
use crate::convert::{FromReading, read_spec, with_family, with_type};
use crate::error::GetError;
use crate::ops::{Failure, Operation, Request};
use crate::running::Running;

impl Channel {
    /// Gets the value as a `T`; the server converts. Options are told before it is awaited.
    ///
    /// # Shape
    /// A scalar asks for one element, a `Vec` or [`Reading`] for as many as there are at the moment;
    /// [`count`](Get::count) asks for another number.
    ///
    /// # Units
    /// Values come in the engineering units of the PV, which [`metadata`](Self::metadata) tells.
    ///
    /// # Errors
    /// [`GetError`].
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).pv("wave", PvSpec::array([1.0, 2.0, 3.0]).units("V")).pv("valve", PvSpec::enumeration(["Closed", "Open"], 1)).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, DbrType, EnumState, Reading, Stamped};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// assert_eq!(motor.get::<f64>().await?, 1.5);
    /// assert_eq!(motor.get::<String>().await?, "2"); // with the digits of the PV
    /// let stamped: Stamped<f64> = motor.get().timeout(Duration::from_secs(1)).await?;
    /// println!("{} {:?} {:?}", stamped.value, stamped.alarm, stamped.timestamp);
    ///
    /// let wave = client.connect("wave").await?;
    /// assert_eq!(wave.get::<Vec<f64>>().count(2).await?, [1.0, 2.0]);
    /// // The whole value in the PV's own type, with alarm and time stamp:
    /// let reading = wave.get::<Reading>().await?;
    /// assert_eq!((reading.count(), reading.get_f64(2)), (3, Some(3.0)));
    /// let class = wave.get::<Reading>().ty(DbrType::CLASS_NAME).count(1).await?;
    /// assert_eq!(class.string(0).as_deref(), Some("waveform"));
    ///
    /// let state: EnumState = client.connect("valve").await?.get().await?;
    /// assert_eq!((state.index, state.label.as_deref()), (1, Some("Open")));
    /// # Ok(())
    /// # }
    /// ```
    pub fn get<T: FromReading>(&self) -> Get<'_, T> {
        Get::new(self, read_spec::<T>())
    }

    /// Gets units, precision, limits and state texts (`CTRL` family, one element).
    ///
    /// # Errors
    /// [`GetError`].
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
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motor = client.connect("m1").await?;
    /// let units = motor.metadata().await?.units();
    /// assert_eq!(units.unwrap().to_string(), "mm");
    /// # Ok(())
    /// # }
    /// ```
    pub fn metadata(&self) -> Get<'_, Reading> {
        self.get().family(Family::Ctrl).count(1)
    }

    pub(crate) fn get_error(&self, failure: Failure, started: Instant) -> GetError {
        let context = self.context(started);
        match failure {
            Failure::NotConnected => GetError::NotConnected(context),
            Failure::Refused(OpError::NoReadAccess) => GetError::NoAccess(context),
            Failure::Refused(OpError::NoSuchChannel) | Failure::Closed => GetError::Closed(context),
            Failure::Refused(reason) => GetError::BadRequest { context, reason },
            Failure::Failed(status, text) => {
                let text = said(&context, text);
                GetError::Failed {
                    context,
                    status,
                    text,
                }
            }
            Failure::Malformed(reason) => GetError::Malformed { context, reason },
            Failure::Disconnected => GetError::Disconnected(context),
            Failure::TimedOut => GetError::TimedOut(context),
        }
    }

    fn decode<T: FromReading>(&self, reading: Reading, started: Instant) -> Result<T, GetError> {
        T::from_owned(reading).map_err(|reason| GetError::Value {
            context: self.context(started),
            reason,
        })
    }
}

/// A get of one channel: [`Channel::get`]. It is sent when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is asked before it is awaited"]
pub struct Get<'a, T> {
    channel: &'a Channel,
    spec: ReadSpec,
    timeout: Duration,
    operation: Option<Operation<'a>>,
    wanted: PhantomData<fn() -> T>,
}

impl<'a, T> Get<'a, T> {
    fn new(channel: &'a Channel, spec: ReadSpec) -> Self {
        Self {
            channel,
            spec,
            timeout: channel.inner.client.shared.config.timeout(),
            operation: None,
            wanted: PhantomData,
        }
    }

    /// Number of elements; 0 for as many as there are at the moment. Default: what a `T` needs.
    pub const fn count(mut self, count: u32) -> Self {
        self.spec.count = count;
        self
    }

    /// What comes along with the value: alarm, time stamp, units and limits.
    pub const fn family(mut self, family: Family) -> Self {
        self.spec = with_family(self.spec, family);
        self
    }

    /// Exactly this type on the wire.
    pub const fn ty(mut self, ty: DbrType) -> Self {
        self.spec = with_type(self.spec, ty);
        self
    }

    /// Type and element count together.
    pub const fn spec(mut self, spec: ReadSpec) -> Self {
        self.spec = spec;
        self
    }

    /// Time for the answer, and for the connection if there is none; counted from the first poll.
    /// Default: [that of the client](crate::ClientBuilder::timeout).
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<T: FromReading> Future for Get<'_, T> {
    type Output = Result<T, GetError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let channel = this.channel;
        let operation = this.operation.get_or_insert_with(|| {
            Operation::new(&channel.inner, Request::Get(this.spec), this.timeout)
        });
        let failure = match ready!(Pin::new(&mut *operation).poll(cx)) {
            Ok(Some(reading)) => {
                return Poll::Ready(channel.decode(reading, operation.started()));
            }
            // Reads are answered with readings.
            Ok(None) => Failure::Disconnected,
            Err(failure) => failure,
        };
        Poll::Ready(Err(channel.get_error(failure, operation.started())))
    }
}

impl Client {
    /// Gets the value of a PV once: opens a channel, waits for its connection and for the value, and
    /// closes it. To get the same PV again and again, keep a [`Channel`].
    ///
    /// # Errors
    /// [`GetError`]; [`GetError::Open`] for a name that is none.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// assert_eq!(client.get::<f64>("m1").await?, 1.5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn get<T: FromReading>(&self, pv: impl AsRef<[u8]>) -> GetOnce<'_, T> {
        GetOnce {
            client: self,
            pv: pv.as_ref().into(),
            spec: read_spec::<T>(),
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }
}

/// A get of a PV by its name: [`Client::get`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is asked before it is awaited"]
pub struct GetOnce<'a, T> {
    client: &'a Client,
    pv: Box<[u8]>,
    spec: ReadSpec,
    timeout: Duration,
    running: Running<'a, Result<T, GetError>>,
}

impl<T> GetOnce<'_, T> {
    /// As [`Get::count`].
    pub fn count(mut self, count: u32) -> Self {
        self.spec.count = count;
        self
    }

    /// As [`Get::family`].
    pub fn family(mut self, family: Family) -> Self {
        self.spec = with_family(self.spec, family);
        self
    }

    /// As [`Get::ty`].
    pub fn ty(mut self, ty: DbrType) -> Self {
        self.spec = with_type(self.spec, ty);
        self
    }

    /// As [`Get::spec`].
    pub fn spec(mut self, spec: ReadSpec) -> Self {
        self.spec = spec;
        self
    }

    /// Time for the connection and the answer together, counted from the first poll. Default:
    /// [that of the client](crate::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<'a, T: FromReading + 'a> Future for GetOnce<'a, T> {
    type Output = Result<T, GetError>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, spec, timeout) = (this.client, this.spec, this.timeout);
        let pv = &mut this.pv;
        this.running.poll(cx, || {
            let pv = std::mem::take(pv);
            async move {
                let channel = client.open(pv)?;
                channel.get().spec(spec).timeout(timeout).await
            }
        })
    }
}
