//! Many PVs at once: one future, one deadline, and for each PV its own result.

use std::sync::Arc;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::client::ReadSpec;
use ca_proto::dbr::Reading;
use ca_proto::wire::message::NO_CHANNEL;

use crate::batch::{Item, Many, Requests, Writes};
use crate::channel::Channel;
use crate::client::Client;
use crate::convert::{FromReading, IntoValue, read_spec};
use crate::error::{ConnectError, ReadError, WriteError};
use crate::ops::Failure;

impl Client {
    /// Reads many channels at once under one deadline: each gives its value or its own error, in
    /// the order of the channels. The requests travel together, and the task is woken once, so this
    /// costs a small part of what as many single reads do.
    ///
    /// Channels that are not connected are waited for. A channel of another client gives
    /// [`ReadError::Closed`].
    ///
    /// # Cancel safety
    /// Safe.
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
    /// let motors = [client.open("m1")?, client.open("m2")?];
    /// loop {
    ///     let values = client.read_many::<f64>(&motors, Duration::from_secs(1)).await;
    ///     for (motor, value) in motors.iter().zip(&values) {
    ///         println!("{} {value:?}", motor.name());
    ///     }
    /// #   assert_eq!(values, [Ok(1.5), Ok(2.0)]);
    /// #   break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read_many<'a, T: FromReading>(
        &self,
        channels: impl IntoIterator<Item = &'a Channel>,
        timeout: Duration,
    ) -> Vec<Result<T, ReadError>> {
        let channels: Vec<&Channel> = channels.into_iter().collect();
        let (spec, times) = (read_spec::<T>(), self.times(timeout));
        self.read_all(&channels, spec, times, Channel::decode).await
    }

    /// As [`read_many`](Self::read_many), with a chosen type and element count; gives the answers as they
    /// are. A channel with fewer elements than are asked for gives [`ReadError::BadRequest`].
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
    /// use ca_client::{Client, Family, ReadSpec, TypeSpec};
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let motors = [client.open("m1")?, client.open("m2")?];
    /// // What describes the values comes along; 0 asks for all elements.
    /// let all = ReadSpec { ty: TypeSpec::Family(Family::Ctrl), count: 0 };
    /// for reading in client.read_many_with(&motors, all, Duration::from_secs(1)).await {
    ///     let reading = reading?;
    ///     println!("{:?} {:?}", reading.value(), reading.units());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn read_many_with<'a>(
        &self,
        channels: impl IntoIterator<Item = &'a Channel>,
        spec: ReadSpec,
        timeout: Duration,
    ) -> Vec<Result<Reading, ReadError>> {
        let channels: Vec<&Channel> = channels.into_iter().collect();
        let take = |_: &Channel, reading: &Reading, _| Ok(reading.clone());
        self.read_all(&channels, spec, self.times(timeout), take)
            .await
    }

    async fn read_all<T>(
        &self,
        channels: &[&Channel],
        spec: ReadSpec,
        (started, deadline): (Instant, Instant),
        take: impl Fn(&Channel, &Reading, Instant) -> Result<T, ReadError>,
    ) -> Vec<Result<T, ReadError>> {
        let items = self.ask(channels, spec, deadline).await;
        let results = channels.iter().zip(&items);
        // hot: looked at where they are, as they are large.
        let value = |(channel, item): (&&Channel, &Item)| match item.answer() {
            Ok(Some(reading)) => take(channel, reading, started),
            // Reads are answered with readings.
            Ok(None) => Err(channel.read_error(Failure::Disconnected, started)),
            Err(failure) => Err(channel.read_error(failure.clone(), started)),
        };
        results.map(value).collect()
    }

    /// Writes to many channels at once and does not wait for the servers: when this returns, all
    /// requests are on their way. Each channel has its own result, in the order of the pairs;
    /// refusals by a server only appear in the log, as with [`Channel::write`]. A channel may
    /// occur several times; it gets its values in their order.
    ///
    /// Channels that are not connected are waited for. A channel of another client gives
    /// [`WriteError::Closed`].
    ///
    /// # Cancel safety
    /// Dropped before it returns, some values may be on their way.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// use ca_client::Client;
    /// use std::time::Duration;
    /// # let client = Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// let ramp = client.channel("m1").await?;
    /// let steps = (1..=1000).map(|step| (&ramp, f64::from(step)));
    /// let results = client.write_many(steps, Duration::from_secs(5)).await;
    /// assert!(results.iter().all(Result::is_ok));
    /// assert_eq!(ramp.read::<f64>().await?, 1000.0);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_many<'a, V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (&'a Channel, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        self.write_all(values, false, self.times(timeout)).await
    }

    /// As [`write_many`](Self::write_many), but waits until the servers have completed what
    /// follows from the values (put-notify).
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
    /// let motors = [client.open("m1")?, client.open("m2")?];
    /// let home = motors.iter().map(|motor| (motor, 0.0));
    /// for result in client.write_notify_many(home, Duration::from_secs(60)).await {
    ///     result?; // this motor has arrived
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn write_notify_many<'a, V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (&'a Channel, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        self.write_all(values, true, self.times(timeout)).await
    }

    async fn write_all<'a, V: IntoValue>(
        &self,
        pairs: impl IntoIterator<Item = (&'a Channel, V)>,
        notify: bool,
        (started, deadline): (Instant, Instant),
    ) -> Vec<Result<(), WriteError>> {
        let (mut channels, mut values) = (Vec::new(), Vec::new());
        let pairs = pairs.into_iter();
        let encoded: Vec<Result<(), WriteError>> = pairs
            .map(|(channel, value)| {
                values.push(channel.encode(value.into_value())?);
                channels.push(channel);
                Ok(())
            })
            .collect();
        let writes = Writes { values, notify };
        let items = self.ask(&channels, writes, deadline).await;
        let mut items = channels.into_iter().zip(items);
        let result = |encoded: Result<(), WriteError>| {
            encoded?;
            match items.next() {
                Some((channel, item)) => match item.answer() {
                    Err(failure) => Err(channel.write_error(failure.clone(), started)),
                    Ok(_) => Ok(()),
                },
                None => Ok(()),
            }
        };
        encoded.into_iter().map(result).collect()
    }

    /// Reads many PVs at once under one deadline: each gives its value or its own error, in the
    /// order of the names. It opens the channels and closes them again; to read the same PVs
    /// again and again, keep the channels and use [`read_many`](Self::read_many).
    ///
    /// # Cancel safety
    /// Safe.
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
    /// let values = client.get_many::<f64>(&names, Duration::from_millis(200)).await;
    /// assert_eq!(values[0], Ok(1.5));
    /// for (name, value) in names.iter().zip(&values) {
    ///     match value {
    ///         Ok(value) => println!("{name} {value}"),
    ///         Err(error) => println!("{error}"),
    ///     }
    /// }
    /// # assert!(values[2].is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn get_many<T: FromReading>(
        &self,
        names: &[impl AsRef<[u8]>],
        timeout: Duration,
    ) -> Vec<Result<T, ReadError>> {
        let times = self.times(timeout);
        let opened = self.open_many(names).await;
        let channels: Vec<&Channel> = opened.iter().flatten().collect();
        let spec = read_spec::<T>();
        let values = self.read_all(&channels, spec, times, Channel::decode).await;
        let mut values = values.into_iter();
        let result = |opened: Result<Channel, _>| match (opened, values.next()) {
            (Err(error), _) => Err(ReadError::from(error)),
            (Ok(_), Some(value)) => value,
            (Ok(channel), None) => Err(channel.read_error(Failure::Closed, times.0)),
        };
        opened.into_iter().map(result).collect()
    }

    /// Writes many PVs at once under one deadline and waits for their completion: each gives its
    /// own result, in the order of the pairs. It opens the channels and closes them again; see
    /// [`write_notify_many`](Self::write_notify_many) for channels that are open.
    ///
    /// # Cancel safety
    /// Dropped before it returns, each value may or may not be written.
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
    /// let results = client.put_many([("m1", 2.5), ("m2", 3.0)], Duration::from_secs(5)).await;
    /// assert_eq!(results, [Ok(()), Ok(())]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn put_many<V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (impl AsRef<[u8]>, V)>,
        timeout: Duration,
    ) -> Vec<Result<(), WriteError>> {
        let times = self.times(timeout);
        let values = values.into_iter();
        // Opened before the first one is waited for, so that searches share datagrams.
        let (opened, values): (Vec<_>, Vec<_>) =
            values.map(|(name, value)| (self.open(name), value)).unzip();
        let pairs = opened.iter().zip(values);
        let pairs = pairs.filter_map(|(opened, value)| Some((opened.as_ref().ok()?, value)));
        let mut results = self.write_all(pairs, true, times).await.into_iter();
        let result = |opened: &Result<Channel, ConnectError>| match opened {
            Err(error) => Err(error.clone().into()),
            Ok(_) => results.next().unwrap_or(Ok(())),
        };
        opened.iter().map(result).collect()
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

    fn times(&self, timeout: Duration) -> (Instant, Instant) {
        let now = self.now();
        (now, now + timeout)
    }
}
