//! Many PVs at once: one future, one deadline, and for each PV its own result.

use std::borrow::Cow;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::client::ReadSpec;
use ca_proto::dbr::{DbrType, Family, Reading, Value};
use ca_proto::wire::message::NO_CHANNEL;

use crate::batch::{Item, Many, Puts, Requests};
use crate::channel::Channel;
use crate::client::Client;
use crate::convert::{FromReading, IntoValue, ValueError, read_spec, with_family, with_type};
use crate::error::{ConnectError, GetError, PutError};
use crate::ops::Failure;
use crate::put::Done;
use crate::running::Running;

/// A PV of an operation with many: an open channel, or a name, for which a channel is opened and
/// closed again. Strings, bytes and channels become one by `into`.
#[derive(Clone, Debug)]
pub enum Pv<'a> {
    /// An open channel, connected or not.
    Channel(&'a Channel),
    /// The name of a PV.
    Name(Cow<'a, [u8]>),
}

impl<'a> From<&'a Channel> for Pv<'a> {
    fn from(channel: &'a Channel) -> Self {
        Self::Channel(channel)
    }
}

impl<'a, S: AsRef<[u8]> + ?Sized> From<&'a S> for Pv<'a> {
    fn from(name: &'a S) -> Self {
        Self::Name(Cow::Borrowed(name.as_ref()))
    }
}

impl From<String> for Pv<'_> {
    fn from(name: String) -> Self {
        Self::Name(Cow::Owned(name.into_bytes()))
    }
}

type Opened = Result<Channel, ConnectError>;

impl Client {
    /// Gets many PVs at once under one deadline: each gives its value or its own error, in the order
    /// of the PVs, which are [channels](Channel) or names. The requests travel together, and the task
    /// is woken once, so this costs a small part of what as many single gets do.
    ///
    /// Channels that are not connected are waited for. For names channels are opened and closed again:
    /// to get the same PVs again and again, keep the channels.
    ///
    /// # Shape
    /// As many results as PVs, in their order; each value as of [`Channel::get`]: one element for a scalar, for a `Vec` as many
    /// as there are.
    ///
    /// # Units
    /// Each value in the engineering units of its PV.
    ///
    /// # Errors
    /// A channel of another client gives [`GetError::Closed`]; one with fewer elements than are asked
    /// for gives [`GetError::BadRequest`].
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5).units("mm")).pv("m2", PvSpec::long(2)).serve(NetConfig::new()).await?;
    /// use ca_client::{Client, Family, Reading};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motors = [client.open("m1")?, client.open("m2")?];
    /// loop {
    ///     let values = client.get_many::<f64>(&motors).timeout(Duration::from_secs(1)).await;
    ///     for (motor, value) in motors.iter().zip(&values) {
    ///         println!("{} {value:?}", motor.name());
    ///     }
    /// #   assert_eq!(values, [Ok(1.5), Ok(2.0)]);
    /// #   break;
    /// }
    ///
    /// // By their names, with what describes them; 0 asks for all elements.
    /// let names = ["m1", "m2", "no:such:pv"];
    /// let readings = client.get_many::<Reading>(names).family(Family::Ctrl).count(0);
    /// for reading in readings.timeout(Duration::from_millis(200)).await {
    ///     match reading {
    ///         Ok(reading) => println!("{:?} {:?}", reading.value(), reading.units()),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_many<'a, T: FromReading>(
        &'a self,
        pvs: impl IntoIterator<Item = impl Into<Pv<'a>>>,
    ) -> GetMany<'a, T> {
        GetMany {
            client: self,
            pvs: pvs.into_iter().map(Into::into).collect(),
            spec: read_spec::<T>(),
            timeout: self.effective_config().timeout(),
            running: Running::new(),
            wanted: PhantomData,
        }
    }

    /// Puts values to many PVs at once under one deadline; each has its own result, in the order of
    /// the pairs. As with [`Channel::put`] nothing is waited for but that all requests are on their
    /// way, unless [`check`](PutMany::check) or [`wait`](PutMany::wait) say so. A channel may occur
    /// several times; it gets its values in their order.
    ///
    /// Channels that are not connected are waited for. For names channels are opened and closed again.
    ///
    /// # Shape
    /// As many results as pairs, in their order; an array puts as many elements as it has.
    ///
    /// # Units
    /// Each value in the engineering units of its PV; nothing is converted.
    ///
    /// # Errors
    /// A channel of another client gives [`PutError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, each value may or may not be written.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(0.0)).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let ramp = client.connect("m1").await?;
    /// let steps = (1..=1000).map(|step| (&ramp, f64::from(step)));
    /// let results = client.put_many(steps).await;
    /// assert!(results.iter().all(Result::is_ok));
    /// assert_eq!(ramp.get::<f64>().await?, 1000.0);
    ///
    /// let home = client.put_many([("m1", 0.0), ("m2", 0.0)]);
    /// for result in home.wait().timeout(Duration::from_secs(60)).await {
    ///     result?; // this motor has arrived
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_many<'a, V: IntoValue>(
        &'a self,
        values: impl IntoIterator<Item = (impl Into<Pv<'a>>, V)>,
    ) -> PutMany<'a> {
        let pairs = values.into_iter();
        let pairs = pairs.map(|(pv, value)| (pv.into(), value.into_value()));
        let (pvs, values) = pairs.unzip();
        PutMany {
            client: self,
            pvs,
            values,
            ty: None,
            done: Done::Sent,
            timeout: self.effective_config().timeout(),
            running: Running::new(),
        }
    }

    /// Opens channels for the PVs that are names, in their order.
    async fn open_named(&self, pvs: &[Pv<'_>]) -> Vec<Opened> {
        let name = |pv: &Pv<'_>| match pv {
            Pv::Name(name) => Some(name.to_vec()),
            Pv::Channel(_) => None,
        };
        let names: Vec<Vec<u8>> = pvs.iter().filter_map(name).collect();
        let priority = self.effective_config().params().priority;
        self.open_many(&names, priority).await
    }

    async fn get_all<T: FromReading>(
        &self,
        pvs: Vec<Pv<'_>>,
        spec: ReadSpec,
        timeout: Duration,
    ) -> Vec<Result<T, GetError>> {
        let started = self.now();
        let opened = self.open_named(&pvs).await;
        let resolved = resolve(&pvs, &opened);
        let channels: Vec<&Channel> = resolved.iter().filter_map(|it| it.ok()).collect();
        let items = self.ask(&channels, spec, started + timeout).await;
        let mut answers = items.iter();
        let result = |resolved: Result<&Channel, &ConnectError>| {
            let channel = resolved.map_err(|error| GetError::from(error.clone()))?;
            // hot: looked at where they are, as they are large.
            let failure = match answers.next().map_or(Err(&Failure::Closed), Item::answer) {
                Ok(Some(reading)) => return channel.decode_ref(reading, started),
                // Reads are answered with readings.
                Ok(None) => Failure::Disconnected,
                Err(failure) => failure.clone(),
            };
            Err(channel.get_error(failure, started))
        };
        resolved.into_iter().map(result).collect()
    }

    async fn put_all(
        &self,
        pvs: Vec<Pv<'_>>,
        made: Vec<Result<Value, ValueError>>,
        (ty, done): (Option<DbrType>, Done),
        timeout: Duration,
    ) -> Vec<Result<(), PutError>> {
        let started = self.now();
        let opened = self.open_named(&pvs).await;
        let (mut channels, mut values) = (Vec::new(), Vec::new());
        let pairs = resolve(&pvs, &opened).into_iter().zip(made);
        let encoded: Vec<Result<(), PutError>> = pairs
            .map(|(resolved, made)| {
                let channel = resolved.map_err(|error| PutError::from(error.clone()))?;
                let (plain, value) = channel.encode(made)?;
                values.push((ty.unwrap_or(plain), value));
                channels.push(channel);
                Ok(())
            })
            .collect();
        let puts = Puts { values, done };
        let items = self.ask(&channels, puts, started + timeout).await;
        let mut items = channels.into_iter().zip(items);
        let result = |encoded: Result<(), PutError>| {
            encoded?;
            match items.next() {
                Some((channel, item)) => match item.answer() {
                    Err(failure) => Err(channel.put_error(failure.clone(), started)),
                    Ok(_) => Ok(()),
                },
                None => Ok(()),
            }
        };
        encoded.into_iter().map(result).collect()
    }

    async fn ask(
        &self,
        channels: &[&Channel],
        requests: impl Requests + Unpin,
        deadline: Instant,
    ) -> Vec<Item> {
        let shared = &self.handle.shared;
        let cid = |channel: &&Channel| {
            let own = Arc::ptr_eq(&channel.inner.client.shared, shared);
            if own { channel.inner.cid } else { NO_CHANNEL }
        };
        let cids = channels.iter().map(cid).collect();
        Many::new(shared, cids, requests, deadline).await
    }
}

impl Channel {
    fn decode_ref<T: FromReading>(
        &self,
        reading: &Reading,
        started: Instant,
    ) -> Result<T, GetError> {
        T::from_reading(reading).map_err(|reason| GetError::Value {
            context: self.context(started),
            reason,
        })
    }
}

/// The channels of the PVs, those that were opened for names among them.
fn resolve<'a>(pvs: &[Pv<'a>], opened: &'a [Opened]) -> Vec<Result<&'a Channel, &'a ConnectError>> {
    let mut opened = opened.iter();
    let channel = |pv: &Pv<'a>| match pv {
        Pv::Channel(channel) => Some(Ok(*channel)),
        Pv::Name(_) => opened.next().map(Result::as_ref),
    };
    pvs.iter().filter_map(channel).collect()
}

/// A get of many PVs: [`Client::get_many`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is asked before it is awaited"]
pub struct GetMany<'a, T> {
    client: &'a Client,
    pvs: Vec<Pv<'a>>,
    spec: ReadSpec,
    timeout: Duration,
    running: Running<'a, Vec<Result<T, GetError>>>,
    wanted: PhantomData<fn() -> T>,
}

impl<T> GetMany<'_, T> {
    /// As [`Get::count`](crate::Get::count), for each of them.
    pub fn count(mut self, count: u32) -> Self {
        self.spec.count = count;
        self
    }

    /// As [`Get::family`](crate::Get::family).
    pub fn family(mut self, family: Family) -> Self {
        self.spec = with_family(self.spec, family);
        self
    }

    /// As [`Get::ty`](crate::Get::ty).
    pub fn ty(mut self, ty: DbrType) -> Self {
        self.spec = with_type(self.spec, ty);
        self
    }

    /// As [`Get::spec`](crate::Get::spec).
    pub fn spec(mut self, spec: ReadSpec) -> Self {
        self.spec = spec;
        self
    }

    /// Time for all connections and answers together, counted from the first poll. Default:
    /// [that of the client](crate::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl<'a, T: FromReading + 'a> Future for GetMany<'a, T> {
    type Output = Vec<Result<T, GetError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, spec, timeout) = (this.client, this.spec, this.timeout);
        let pvs = &mut this.pvs;
        this.running
            .poll(cx, || client.get_all(std::mem::take(pvs), spec, timeout))
    }
}

/// A put to many PVs: [`Client::put_many`]. It begins when it is first polled.
#[derive(Debug)]
#[must_use = "nothing is put before it is awaited"]
pub struct PutMany<'a> {
    client: &'a Client,
    pvs: Vec<Pv<'a>>,
    values: Vec<Result<Value, ValueError>>,
    ty: Option<DbrType>,
    done: Done,
    timeout: Duration,
    running: Running<'a, Vec<Result<(), PutError>>>,
}

impl PutMany<'_> {
    /// As [`Put::wait`](crate::Put::wait): until all are completed.
    pub fn wait(mut self) -> Self {
        self.done = Done::Completed;
        self
    }

    /// As [`Put::check`](crate::Put::check): until the servers have looked at all.
    pub fn check(mut self) -> Self {
        self.done = Done::Checked;
        self
    }

    /// As [`Put::ty`](crate::Put::ty).
    pub fn ty(mut self, ty: DbrType) -> Self {
        self.ty = Some(ty);
        self
    }

    /// Time for all connections and what is waited for together, counted from the first poll.
    /// Default: [that of the client](crate::ClientBuilder::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// True if it waits for the servers.
    #[cfg(feature = "blocking")]
    pub(crate) fn waits(&self) -> bool {
        self.done != Done::Sent
    }
}

impl Future for PutMany<'_> {
    type Output = Vec<Result<(), PutError>>;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let (client, how, timeout) = (this.client, (this.ty, this.done), this.timeout);
        let (pvs, values) = (&mut this.pvs, &mut this.values);
        this.running.poll(cx, || {
            let (pvs, values) = (std::mem::take(pvs), std::mem::take(values));
            client.put_all(pvs, values, how, timeout)
        })
    }
}
