//! Units, precision, limits and state texts that stay fresh by themselves.

use ca_client::{
    Channel, EnumStates, EventMask, Family, Limits, Monitor, MonitorEvent, Overflow, Reading, Units,
};

/// What describes the values of a PV.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Metadata {
    /// Units of numbers.
    pub units: Option<Units>,
    /// Digits behind the point, of real numbers.
    pub precision: Option<i16>,
    /// Limits of display, alarm, warning and control, in the PV's units.
    pub limits: Option<Limits>,
    /// Texts of states, of an enum.
    pub states: Option<EnumStates>,
}

impl Metadata {
    fn of(reading: &Reading) -> Self {
        Self {
            units: reading.units(),
            precision: reading.precision(),
            limits: reading.limits(),
            states: reading.states(),
        }
    }
}

/// Metadata that are new: [`Kit::metadata`](crate::Kit::metadata). What was the same before is not told again.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MetadataChange {
    /// What describes the values now.
    pub now: Metadata,
    /// The units are others than before.
    pub units: bool,
    /// The precision is another one than before.
    pub precision: bool,
    /// Some limit is another one than before.
    pub limits: bool,
    /// Some text of a state is another one than before.
    pub states: bool,
}

/// Metadata that are followed.
#[derive(Debug)]
pub(crate) struct Follow {
    monitor: Monitor,
    last: Option<Metadata>,
}

impl Follow {
    /// Subscribes to changes of properties (`DBE_PROPERTY`), which come with the metadata.
    pub(crate) fn start(channel: &Channel) -> Result<Self, ca_client::MonitorError> {
        let monitor = channel
            .monitor()
            .family(Family::Ctrl)
            .mask(EventMask::PROPERTY);
        Ok(Self {
            monitor: monitor.count(1).overflow(Overflow::LatestOnly).start()?,
            last: None,
        })
    }

    /// The next change; the first one is everything.
    pub(crate) async fn next(&mut self) -> Option<MetadataChange> {
        loop {
            let MonitorEvent::Update { value, .. } = self.monitor.next().await? else {
                continue;
            };
            let now = Metadata::of(&value);
            let last = self.last.replace(now.clone());
            let differs = |same: &dyn Fn(&Metadata) -> bool| !last.as_ref().is_some_and(same);
            let change = MetadataChange {
                units: differs(&|last| last.units == now.units),
                precision: differs(&|last| last.precision == now.precision),
                limits: differs(&|last| same_limits(last.limits.as_ref(), now.limits.as_ref())),
                states: differs(&|last| last.states == now.states),
                now: now.clone(),
            };
            if change.units || change.precision || change.limits || change.states {
                return Some(change);
            }
        }
    }
}

/// Limits that are not defined are NaN, and the same.
fn same_limits(a: Option<&Limits>, b: Option<&Limits>) -> bool {
    let (Some(a), Some(b)) = (a, b) else {
        return a.is_none() && b.is_none();
    };
    let all = |limits: &Limits| {
        let ranges = [limits.display, limits.alarm, limits.warning, limits.control];
        ranges.map(|range| [range.lower.to_bits(), range.upper.to_bits()])
    };
    all(a) == all(b)
}
