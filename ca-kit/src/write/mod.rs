//! Puts that are guarded, undone when they fail, or made step by step.

mod guard;
mod ramp;
mod roll_back;

use std::time::Duration;

use ca_client::{
    Channel, Client, FromReading as _, GetError, Instant, Monitor, NativeType, Overflow, Range,
    Reading,
};

pub use self::guard::{GuardError, Guarded, GuardedPut};
pub use self::ramp::{MAX_RAMP_STEPS, Ramp, RampError, RampStep, Ramped};
pub use self::roll_back::{PutOrRollBack, RollBackError};
use crate::clock;
use crate::condition::{Condition, near};

/// What is known of a set-point before it is moved.
#[derive(Clone, Debug)]
pub(crate) struct SetPoint {
    /// Where it stands: its first element; NaN for texts.
    pub(crate) at: f64,
    /// The limits of its control, if it has any.
    pub(crate) limits: Option<Range>,
    pub(crate) may_write: bool,
}

/// The limits of a control that has some: the upper one is above the lower one (`drvh` and `drvl` of the
/// record reference: equal ones limit nothing).
pub(crate) fn limits(metadata: &Reading) -> Option<Range> {
    let range = metadata.limits()?.control;
    (range.upper > range.lower).then_some(range)
}

/// Looks at a set-point.
pub(crate) async fn look(channel: &Channel, timeout: Duration) -> Result<SetPoint, GetError> {
    let metadata = channel.metadata().timeout(timeout).await?;
    let rights = channel.info().map(|info| info.rights());
    Ok(SetPoint {
        at: f64::from_reading(&metadata).unwrap_or(f64::NAN),
        limits: limits(&metadata),
        may_write: rights.is_some_and(|rights| rights.can_write()),
    })
}

/// Where a set-point of a type stands when it was put to a number: a FLOAT at the closest of its values, the others
/// there or nowhere.
pub(crate) fn put_to(number: f64, native: NativeType) -> Condition {
    let slack = match native {
        NativeType::Float => (number.abs() * f64::from(f32::EPSILON)).min(0.1),
        _ => 0.0,
    };
    near(number, slack)
}

/// A read-back that is watched.
#[derive(Debug)]
pub(crate) struct ReadBack {
    monitor: Monitor<f64>,
    /// Where it stands, as far as it is known.
    pub(crate) at: Option<f64>,
}

impl ReadBack {
    pub(crate) fn start(channel: &Channel) -> Result<Self, ca_client::MonitorError> {
        let monitor = channel.monitor().overflow(Overflow::LatestOnly).start()?;
        Ok(Self { monitor, at: None })
    }

    /// Waits until it is there; false if it is not in time.
    pub(crate) async fn reaches(
        &mut self,
        client: &Client,
        condition: &Condition,
        deadline: Instant,
    ) -> bool {
        loop {
            while let Some(event) = self.monitor.try_next() {
                self.take(event);
            }
            if self.at.is_some_and(|at| condition.holds_for(at)) {
                return true;
            }
            match clock::by(client, deadline, self.monitor.next()).await {
                Some(Some(event)) => self.take(event),
                _ => return false,
            }
        }
    }

    fn take(&mut self, event: ca_client::MonitorEvent<f64>) {
        use ca_client::MonitorEvent as Event;
        match event {
            Event::Update { value, .. } => self.at = Some(value),
            Event::Connected => {}
            _ => self.at = None,
        }
    }
}

/// Where something stands, in words.
pub(crate) fn standing(at: Option<f64>) -> String {
    at.map_or_else(|| "is not known".to_owned(), |at| format!("stands at {at}"))
}
