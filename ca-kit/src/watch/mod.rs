//! Monitors with a say in what is delivered.

mod run;

use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ca_client::{
    ConnectError, EventMask, FromReading, MonitorError, MonitorEvent, MonitorSpec, Overflow, Pv,
};
use futures_util::stream;
use thiserror::Error;

use self::run::Run;
use crate::condition::{Impossible, near};
use crate::face::{Face, Feed, Named};
use crate::pause::Control;

/// Updates that may wait of a lossless watch, beside its bound in bytes.
const LOSSLESS_DEPTH: usize = 1 << 20;

/// Which updates are delivered when the reader is slower than the PV.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Delivery {
    /// All of them, as long as those that wait have no more bytes than this (and are fewer than 2^20).
    /// What is above is lost, and told by `skipped` of the next update and by the
    /// [counters](Watch::counters).
    Lossless {
        /// Bytes of updates that may wait.
        max_bytes: usize,
    },
    /// The newest of them, so many at most.
    Bounded {
        /// Updates that may wait.
        depth: usize,
    },
    /// The newest one.
    Latest,
    /// The newest one, and at most one in this time. Connects and disconnects come at once.
    Throttled {
        /// Time between two updates.
        period: Duration,
    },
}

/// What a watch has counted since it was started.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct WatchCounts {
    /// Updates that came out of the client.
    pub received: u64,
    /// Updates that were delivered.
    pub delivered: u64,
    /// Updates that made room for newer ones before they were looked at.
    pub skipped: u64,
    /// Updates that were held back by the period and replaced by newer ones.
    pub throttled: u64,
    /// Updates within the dead-band.
    pub within_deadband: u64,
    /// Times the subscription was made, with each resumption once more.
    pub subscribed: u64,
}

/// The counters of a watch, to be looked at while it is read elsewhere.
#[derive(Clone, Debug, Default)]
pub struct WatchCounters(Arc<Mutex<WatchCounts>>);

impl WatchCounters {
    /// What was counted so far.
    pub fn get(&self) -> WatchCounts {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, count: impl FnOnce(&mut WatchCounts)) {
        count(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Why a watch cannot be started.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum WatchError {
    /// The channel cannot be opened.
    #[error(transparent)]
    Open(#[from] ConnectError),
    /// The subscription cannot be made.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
    /// The dead-band cannot be.
    #[error("\"{pv}\" cannot be watched with a dead-band of {width}; give one that is 0 or more")]
    Deadband {
        /// Name of the PV.
        pv: String,
        /// The dead-band.
        width: f64,
    },
}

/// A monitor with a say in what is delivered: [`Kit::watch`](crate::Kit::watch).
#[derive(Debug)]
#[must_use = "it has to be started"]
pub struct Watch<'c, C, T> {
    face: &'c C,
    pv: Named,
    delivery: Delivery,
    deadband: Option<f64>,
    mask: Option<EventMask>,
    control: Control,
    counters: WatchCounters,
    wanted: PhantomData<fn() -> T>,
}

impl<'c, C: Face, T: FromReading + Send + 'c> Watch<'c, C, T> {
    pub(crate) fn new<'p>(face: &'c C, pv: impl Into<Pv<'p>>) -> Self {
        Self {
            face,
            pv: Named::new(pv),
            delivery: Delivery::Bounded { depth: 4 },
            deadband: None,
            mask: None,
            control: Control::new(),
            counters: WatchCounters::default(),
            wanted: PhantomData,
        }
    }

    /// Which updates are delivered when the reader is slower than the PV. Default: the newest 4.
    pub const fn deliver(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Leaves out updates of a number that is at most this far from the one that was delivered last, in the
    /// PV's units, as long as its alarm severity is the same. It is looked at here; the MDEL of the record,
    /// which is everybody's, is left alone. Arrays and texts are always delivered.
    pub const fn deadband(mut self, width: f64) -> Self {
        self.deadband = Some(width);
        self
    }

    /// Which changes cause an update. Default: value and alarm.
    pub const fn mask(mut self, mask: EventMask) -> Self {
        self.mask = Some(mask);
        self
    }

    /// Lets it be paused, resumed and ended from elsewhere. While it is paused there is no subscription, so
    /// that nothing travels; when it is resumed the present value comes.
    pub fn control(mut self, control: &Control) -> Self {
        self.control = control.clone();
        self
    }

    /// Its counters, to be looked at while it is read.
    pub fn counters(&self) -> WatchCounters {
        self.counters.clone()
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(self) -> Result<Feed<'c, C, MonitorEvent<T>>, WatchError> {
        let channel = self.pv.open(self.face.beneath())?;
        if let Some(width) = self.deadband
            && let Err(Impossible::Tolerance(width)) = near(0.0, width).check()
        {
            let pv = channel.name();
            return Err(WatchError::Deadband { pv, width });
        }
        let spec = MonitorSpec::of::<T>();
        let spec = self.mask.map_or(spec, |mask| spec.mask(mask));
        let (spec, period) = match self.delivery {
            Delivery::Lossless { max_bytes } => (
                spec.depth(LOSSLESS_DEPTH)
                    .max_bytes(max_bytes)
                    .overflow(Overflow::DropOldest),
                None,
            ),
            Delivery::Bounded { depth } => (
                spec.depth(depth.max(1)).overflow(Overflow::DropOldest),
                None,
            ),
            Delivery::Latest => (spec.overflow(Overflow::LatestOnly), None),
            Delivery::Throttled { period } => (spec.overflow(Overflow::LatestOnly), Some(period)),
        };
        let client = self.face.beneath().clone();
        let run = Run::start(
            client,
            channel,
            spec,
            period,
            self.deadband,
            self.control,
            self.counters,
        )?;
        let events = stream::unfold(run, async |mut run| {
            let event = run.next::<T>().await?;
            Some((event, run))
        });
        Ok(Feed::new(self.face, events))
    }
}
