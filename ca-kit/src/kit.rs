//! The words that a client gains.

use ca_client::{ConnectError, FromReading, IntoValue, MonitorError, Pv};
use futures_util::stream;

use crate::alarm::{Alarm, Trip};
use crate::align::Align;
use crate::condition::Condition;
use crate::device::{Device, DeviceError};
use crate::face::{Face, Feed, Named, Op};
use crate::group::{Group, OpenGroup};
use crate::matching::Match;
use crate::metadata::{Follow, MetadataChange};
use crate::policy::{Policy, PolicyChannel, PolicyError};
use crate::scan::{Axis, Scan};
use crate::snapshot::{Restore, Snapshot};
use crate::sync_group::SyncGroup;
use crate::watch::Watch;
use crate::write::{GuardedPut, PutOrRollBack, Ramp};

/// What a client can do beside get, put and monitor; of both faces, by the same names.
pub trait Kit: Face + Sized {
    /// Waits until a PV is what is wanted, at most the client's time-out or [another](Op::timeout).
    /// It is watched by a monitor, not asked again and again. A PV that is lost is not there until it
    /// comes back.
    ///
    /// # Shape
    /// One element is looked at; of an array the first.
    ///
    /// # Units
    /// Conditions and their tolerances are in the engineering units of the PV.
    ///
    /// # Errors
    /// [`MatchError`](crate::MatchError): who did not arrive and where it stands; at once for what can
    /// never be.
    ///
    /// # Cancel safety
    /// Safe.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::{Kit, at_least, near};
    /// use std::time::Duration;
    ///
    /// client.wait_until("ring:current", at_least(200.0)).await?;
    /// let lost = client.wait_until("ring:current", near(0.0, 0.5));
    /// let error = lost.timeout(Duration::from_millis(50)).await.unwrap_err();
    /// println!("{error}"); // ... "ring:current" stands at 300, not 0 ± 0.5
    /// # assert!(error.to_string().contains("stands at 300, not 0 ± 0.5"));
    /// # Ok(())
    /// # }
    /// ```
    fn wait_until<'p>(&self, pv: impl Into<Pv<'p>>, condition: Condition) -> Op<'_, Self, Match> {
        Op::new(self, Match::new(vec![(Named::new(pv), condition)]))
    }

    /// Waits until many PVs are what is wanted, all of them or [so many](Op::number), at the same
    /// time. As [`wait_until`](Self::wait_until).
    fn wait_until_all<'p>(
        &self,
        conditions: impl IntoIterator<Item = (impl Into<Pv<'p>>, Condition)>,
    ) -> Op<'_, Self, Match> {
        let conditions = conditions.into_iter();
        let wanted = conditions.map(|(pv, condition)| (Named::new(pv), condition));
        Op::new(self, Match::new(wanted.collect()))
    }

    /// Puts a value to a set-point and waits until a PV, mostly its read-back, is what is wanted.
    ///
    /// Both are connected, and whether the condition can hold at all is known, before anything is put.
    ///
    /// # Errors
    /// As [`wait_until`](Self::wait_until), and what [puts](ca_client::PutError) may give;
    /// [`MatchError::has_moved`](crate::MatchError::has_moved) says whether something was put.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be put.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("q1:set", PvSpec::double(0.0)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// # let readback = "q1:set";
    /// # /*
    /// let readback = "q1:read";
    /// # */
    /// use ca_kit::{Kit, near};
    /// use std::time::Duration;
    ///
    /// let put = client.put_and_match("q1:set", 12.5, readback, near(12.5, 0.01));
    /// let matched = put.timeout(Duration::from_secs(30)).await?;
    /// println!("there after {:?}, at {:?}", matched.elapsed, matched.number());
    /// # Ok(())
    /// # }
    /// ```
    fn put_and_match<'p>(
        &self,
        set: impl Into<Pv<'p>>,
        value: impl IntoValue,
        read: impl Into<Pv<'p>>,
        condition: Condition,
    ) -> Op<'_, Self, Match> {
        self.put_and_match_all([(set, value, read, condition)])
    }

    /// As [`put_and_match`](Self::put_and_match) for many set-points at once, each with its value, the
    /// PV it is seen at, and what that is to be.
    fn put_and_match_all<'p, V: IntoValue>(
        &self,
        settings: impl IntoIterator<Item = (impl Into<Pv<'p>>, V, impl Into<Pv<'p>>, Condition)>,
    ) -> Op<'_, Self, Match> {
        Op::new(self, Match::putting(settings, false))
    }

    /// As [`put_and_match_all`](Self::put_and_match_all), but set-points that satisfy their condition
    /// already are left alone. [`Matched::put`](crate::Matched::put) says how many were put.
    fn compare_and_match<'p, V: IntoValue>(
        &self,
        settings: impl IntoIterator<Item = (impl Into<Pv<'p>>, V, impl Into<Pv<'p>>, Condition)>,
    ) -> Op<'_, Self, Match> {
        Op::new(self, Match::putting(settings, true))
    }

    /// Opens the channels of a group and returns at once; they connect in the background.
    ///
    /// # Errors
    /// [`ConnectError`] if the client takes no more channels, or was closed.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("q1:set", PvSpec::double(1.0)).pv("q2:set", PvSpec::double(2.0)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::{Group, Kit};
    ///
    /// let magnets = Group::devices("magnets", ["q1", "q2"], ["set"], ":")?;
    /// let magnets = client.open_group(magnets)?;
    /// for (name, value) in magnets.get::<f64>().await.iter() {
    ///     println!("{name} {value:?}"); // each its value or its own error
    /// }
    /// magnets.put([("q1:set", 1.5)]).wait().await?;
    /// # assert_eq!(magnets.get::<f64>().await.into_values()?, [1.5, 2.0]);
    /// # Ok(())
    /// # }
    /// ```
    fn open_group(&self, group: Group) -> Result<OpenGroup<'_, Self>, ConnectError> {
        OpenGroup::new(self, group)
    }

    /// Brings the values of a snapshot back: those that stand elsewhere, by their turns, the next one when
    /// the puts of one are completed and stand there. Nothing is put before all members are known to be
    /// reachable and writable ([`partial`](Op::partial) waives that).
    ///
    /// # Errors
    /// [`ConnectError`] if the client takes no more channels, or was closed. What became of each member is
    /// in the report.
    ///
    /// # Cancel safety
    /// Dropped before it returns, some values may be put.
    fn restore(&self, snapshot: &Snapshot) -> Op<'_, Self, Restore> {
        Op::new(self, Restore::new(snapshot))
    }

    /// Puts a value after a look: at the limits of the PV's control, at access rights, and at whatever
    /// else the options say. A refusal names what is in the way; nothing is put then.
    ///
    /// # Units
    /// Value, ranges and tolerances are in the engineering units of the PV, as its limits are.
    ///
    /// # Errors
    /// [`GuardError`](crate::GuardError).
    ///
    /// # Cancel safety
    /// Dropped before it returns, the value may or may not be put.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("q1", PvSpec::double(1.5).control(-10.0, 10.0)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::{Guarded, Kit};
    ///
    /// let error = client.put_guarded("q1", 12.0).await.unwrap_err();
    /// println!("{error}"); // "q1" is not put to 12: the limits of its control go from -10 to 10 ...
    /// let done = client.put_guarded("q1", 1.5).compare(0.01).await?;
    /// assert!(matches!(done, Guarded::Same { .. }));
    /// let would = client.put_guarded("q1", 2.0).range(0.0, 5.0).dry_run().await?;
    /// assert!(matches!(would, Guarded::WouldPut { .. }));
    /// # Ok(())
    /// # }
    /// ```
    fn put_guarded<'p>(
        &self,
        pv: impl Into<Pv<'p>>,
        value: impl IntoValue,
    ) -> Op<'_, Self, GuardedPut> {
        Op::new(self, GuardedPut::new(pv, value))
    }

    /// Puts many values, together and with completion; if one fails the others are put back where they
    /// stood. Gives where each stood before.
    ///
    /// # Errors
    /// [`RollBackError`](crate::RollBackError): what failed, what stands again where it stood, and what
    /// does not.
    ///
    /// # Cancel safety
    /// Dropped before it returns, some values may be put, and are not put back.
    fn put_or_roll_back<'p, V: IntoValue>(
        &self,
        puts: impl IntoIterator<Item = (impl Into<Pv<'p>>, V)>,
    ) -> Op<'_, Self, PutOrRollBack> {
        Op::new(self, PutOrRollBack::new(puts))
    }

    /// Moves a set-point from where it stands to a target, step by step. The target is compared with the
    /// limits of its control before.
    ///
    /// # Units
    /// The target and tolerances are in the engineering units of the PV, the rate in these per second.
    ///
    /// # Errors
    /// [`RampError`](crate::RampError), which says where the set-point stands.
    ///
    /// # Cancel safety
    /// Dropped before it returns, the set-point stays where it was put last.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("q1", PvSpec::double(1.5)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::Kit;
    /// use std::time::Duration;
    ///
    /// let ramp = client.ramp("q1", 2.0).rate(50.0).period(Duration::from_millis(2));
    /// let done = ramp.read_back("q1", 0.01).await?;
    /// assert_eq!((done.from, done.to, done.steps), (1.5, 2.0, 5));
    /// # Ok(())
    /// # }
    /// ```
    fn ramp<'p>(&self, pv: impl Into<Pv<'p>>, to: f64) -> Op<'_, Self, Ramp> {
        Op::new(self, Ramp::new(pv, to))
    }

    /// Moves set-points through points and observes PVs at each; rows as a stream, or an iterator.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("q1:set", PvSpec::double(1.5)).pv("bpm1:x", PvSpec::double(0.1)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::{Axis, Kit, Settle};
    /// use std::time::Duration;
    ///
    /// let settle = Settle::Time(Duration::from_millis(2));
    /// let knob = Axis::linear("q1:set", -1.0, 1.0, 5).settle(settle);
    /// let mut rows = client.scan([knob]).observe(["bpm1:x"]).rows();
    /// while let Some(row) = rows.next().await {
    ///     let row = row?;
    ///     println!("{} {:?}", row.at[0], row.number(0));
    /// }
    /// # assert_eq!(client.get::<f64>("q1:set").await?, 1.5);
    /// # Ok(())
    /// # }
    /// ```
    fn scan(&self, axes: impl IntoIterator<Item = Axis>) -> Scan<'_, Self> {
        Scan::new(self, axes)
    }

    /// Monitors a PV with a say in what is delivered: everything, the newest, so many in a second, only what
    /// leaves a dead-band; it can be paused, and counts what it leaves out.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("ring:current", PvSpec::double(300.0)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::{Delivery, Kit};
    /// use std::time::Duration;
    ///
    /// let period = Duration::from_millis(100);
    /// let display = client.watch::<f64>("ring:current").deliver(Delivery::Throttled { period });
    /// let counters = display.counters();
    /// let mut display = display.deadband(0.5).start()?;
    /// while let Some(event) = display.next().await {
    ///     println!("{event:?}");
    /// #   if event.value().is_some() { break }
    /// }
    /// println!("{:?}", counters.get());
    /// # Ok(())
    /// # }
    /// ```
    fn watch<'p, T: FromReading + Send + 'static>(
        &self,
        pv: impl Into<Pv<'p>>,
    ) -> Watch<'_, Self, T> {
        Watch::new(self, pv)
    }

    /// Monitors many PVs and gives their values as rows of those that belong together, by time stamp or
    /// pulse number.
    ///
    /// # Examples
    /// ```
    /// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let ioc = Ioc::builder().pv("bpm1:x", PvSpec::double(0.1)).pv("bpm2:x", PvSpec::double(0.2)).serve(NetConfig::new()).await?;
    /// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
    /// use ca_kit::Kit;
    /// use std::time::Duration;
    ///
    /// let orbit = client.align(["bpm1:x", "bpm2:x"]).within(Duration::from_secs(1));
    /// let mut orbit = orbit.start()?;
    /// if let Some(row) = orbit.next().await {
    ///     println!("{} {:?}", row.tag, row.numbers());
    /// #   assert_eq!(row.numbers(), [0.1, 0.2]);
    /// #   assert!(orbit.get_at(row.tag).is_some());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    fn align<'p>(&self, pvs: impl IntoIterator<Item = impl Into<Pv<'p>>>) -> Align<'_, Self> {
        Align::new(self, pvs)
    }

    /// Follows units, precision, limits and state texts: what they are, and again whenever they change or
    /// the connection is back with others.
    ///
    /// # Errors
    /// [`MonitorError`]. Changes are told by servers that know `DBE_PROPERTY`; others tell the first state.
    fn metadata<'p>(
        &self,
        pv: impl Into<Pv<'p>>,
    ) -> Result<Feed<'_, Self, MetadataChange>, MonitorError> {
        let channel = Named::new(pv).open(self.beneath())?;
        let changes = stream::unfold(Follow::start(&channel)?, async |mut follow| {
            let change = follow.next().await?;
            Some((change, follow))
        });
        Ok(Feed::new(self, changes))
    }

    /// A channel that is dealt with by a [policy](Policy), its values of one type: time-outs that adjust
    /// themselves, retries, values from a monitor's cache.
    ///
    /// # Errors
    /// [`PolicyError`] for a policy that makes no sense.
    fn with_policy<'p, T: FromReading + Clone + Send + 'static>(
        &self,
        pv: impl Into<Pv<'p>>,
        policy: Policy,
    ) -> Result<PolicyChannel<'_, Self, T>, PolicyError> {
        PolicyChannel::new(self, pv, policy)
    }

    /// Opens a device: PVs whose names begin with `prefix`, each called by the rest of its name. To declare
    /// devices with types see [`device!`](crate::device).
    ///
    /// # Errors
    /// [`DeviceError`].
    fn device(
        &self,
        prefix: &str,
        attributes: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Device<'_, Self>, DeviceError> {
        Device::new(self, prefix, attributes)
    }

    /// An alarm on a PV: told when it is not as it should be, with delay, hysteresis, latch and shelving.
    fn alarm<'p>(&self, pv: impl Into<Pv<'p>>, trip: Trip) -> Alarm<'_, Self> {
        Alarm::new(self, pv, trip)
    }

    /// An empty synchronous group: requests that are waited for together.
    fn sync_group(&self) -> SyncGroup<'_, Self> {
        SyncGroup::new(self)
    }
}

impl<C: Face> Kit for C {}
