//! A set-point moved step by step.

use std::time::Duration;

use ca_client::{Channel, Client, ConnectError, GetError, MonitorError, PutError, Pv, Range};
use thiserror::Error;

use super::{ReadBack, look, put_to, standing};
use crate::clock;
use crate::condition::{Impossible, between, near};
use crate::face::{Face, Hook, Named, Op, Work};
use crate::pause::{Aborted, Control};

/// Steps of a ramp; more are a slip of the keyboard.
pub const MAX_RAMP_STEPS: u64 = 1_000_000;
/// Time between two steps unless set otherwise.
const PERIOD: Duration = Duration::from_millis(100);

/// How far the steps go.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Steps {
    Count(u64),
    /// Units of the PV in a second.
    Rate(f64),
    /// Units of the PV.
    Size(f64),
}

/// What a ramp did, or what it would do if it is a [dry run](Op::dry_run).
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct Ramped {
    /// Where the set-point stood.
    pub from: f64,
    /// Where it stands; after a dry run, where it would stand.
    pub to: f64,
    /// Values that were put; after a dry run, that would be put.
    pub steps: u64,
    /// Time from the first look on.
    pub elapsed: Duration,
}

/// A step of a ramp that is made, and that the read-back, if there is one, has followed.
#[derive(Clone, Copy, PartialEq, Debug)]
#[non_exhaustive]
pub struct RampStep {
    /// Number of the step, from 1; 0 tells where the set-point stands before the first.
    pub step: u64,
    /// How many steps there are.
    pub of: u64,
    /// Where the set-point stands, in the PV's units.
    pub at: f64,
    /// Where the read-back stands, if there is one and that is known.
    pub read_back: Option<f64>,
    /// Time from the first look on.
    pub elapsed: Duration,
}

/// Why a ramp did not come to its end. The set-point stays where it was put last.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum RampError {
    /// A step, rate, period or tolerance that cannot be; nothing was put.
    #[error("\"{pv}\" is not ramped: {what} of {given} cannot be; {remedy}")]
    Option {
        /// Name of the PV.
        pv: String,
        /// Which option.
        what: &'static str,
        /// What was given.
        given: f64,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The target can never be reached; nothing was put.
    #[error("\"{pv}\" is not ramped: {reason}")]
    Impossible {
        /// Name of the PV.
        pv: String,
        /// Why.
        reason: Impossible,
    },
    /// The target is outside of the limits of the PV's control, or of the ramp; nothing was put.
    #[error(
        "\"{pv}\" is not ramped to {to}: the limits of {} go from {} to {}; give a target between them",
        of, range.lower, range.upper
    )]
    OutsideLimits {
        /// Name of the PV.
        pv: String,
        /// The target.
        to: f64,
        /// The limits.
        range: Range,
        /// Whose limits: those of the PV's control, or of the ramp.
        of: &'static str,
    },
    /// This user and host may not write it; nothing was put.
    #[error(
        "\"{pv}\" is not ramped: no write access for this user and host; see the access security of the IOC"
    )]
    NoAccess {
        /// Name of the PV.
        pv: String,
    },
    /// What has to be looked at cannot be; nothing was put.
    #[error("nothing is ramped: {0}")]
    Get(#[from] GetError),
    /// The read-back cannot be watched; nothing was put.
    #[error("nothing is ramped: {0}")]
    Monitor(#[from] MonitorError),
    /// A step could not be put.
    #[error("the ramp ends at {at}: {error}")]
    Put {
        /// What was put last.
        at: f64,
        /// What went wrong.
        error: PutError,
    },
    /// The read-back did not follow in time.
    #[error(
        "the ramp of \"{pv}\" ends at {at}: \"{read_back}\" {}, not {at} ± {tolerance}; look at the device, or \
         raise the tolerance or the time-out",
        standing(*.stands)
    )]
    NotFollowed {
        /// Name of the set-point.
        pv: String,
        /// Name of the read-back.
        read_back: String,
        /// What was put last.
        at: f64,
        /// How far away the read-back may be.
        tolerance: f64,
        /// Where it stands, if that is known.
        stands: Option<f64>,
    },
    /// It was aborted.
    #[error("the ramp of \"{pv}\" was aborted at {at}")]
    Aborted {
        /// Name of the set-point.
        pv: String,
        /// What was put last, or where it stood if nothing was.
        at: f64,
    },
}

impl From<ConnectError> for RampError {
    fn from(error: ConnectError) -> Self {
        Self::Get(error.into())
    }
}

/// Moves a set-point step by step: [`Kit::ramp`](crate::Kit::ramp).
#[derive(Debug)]
pub struct Ramp {
    pv: Named,
    to: f64,
    steps: Steps,
    period: Duration,
    read_back: Option<(Named, f64)>,
    range: Option<Range>,
    wait: bool,
    dry_run: bool,
    timeout: Option<Duration>,
    control: Control,
    on_step: Hook<RampStep>,
}

impl Ramp {
    pub(crate) fn new<'p>(pv: impl Into<Pv<'p>>, to: f64) -> Self {
        Self {
            pv: Named::new(pv),
            to,
            steps: Steps::Count(10),
            period: PERIOD,
            read_back: None,
            range: None,
            wait: false,
            dry_run: false,
            timeout: None,
            control: Control::new(),
            on_step: Hook::none(),
        }
    }
}

/// Options of a ramp.
impl<C: Face> Op<'_, C, Ramp> {
    /// Moves at this rate, in units of the PV per second.
    pub fn rate(self, rate: f64) -> Self {
        self.set(|it| it.steps = Steps::Rate(rate))
    }

    /// Moves in so many equal steps. Default: 10.
    pub fn steps(self, steps: u64) -> Self {
        self.set(|it| it.steps = Steps::Count(steps))
    }

    /// Moves in steps of this size, in units of the PV, the last one smaller if need be.
    pub fn step_size(self, size: f64) -> Self {
        self.set(|it| it.steps = Steps::Size(size))
    }

    /// Time between two steps, more if the read-back or completion takes longer. Default: 100 ms.
    pub fn period(self, period: Duration) -> Self {
        self.set(|it| it.period = period)
    }

    /// Checks before each further step that this PV has followed, up to a tolerance in its units.
    pub fn read_back<'p>(self, pv: impl Into<Pv<'p>>, tolerance: f64) -> Self {
        let pv = Named::new(pv);
        self.set(|it| it.read_back = Some((pv, tolerance)))
    }

    /// Refuses targets outside of these, too, in the PV's units.
    pub fn range(self, low: f64, high: f64) -> Self {
        self.set(|it| it.range = Some(Range::new(low, high)))
    }

    /// Looks at everything, and puts nothing.
    pub fn dry_run(self) -> Self {
        self.set(|it| it.dry_run = true)
    }

    /// Is told where the set-point stands before the first step, and of each step that was made. It is called in
    /// the middle of the work, so it has to be short.
    pub fn on_step(self, tell: impl FnMut(RampStep) + Send + 'static) -> Self {
        self.set(|it| it.on_step = Hook::new(tell))
    }

    /// Waits for completion of each put.
    pub fn wait(self) -> Self {
        self.set(|it| it.wait = true)
    }

    /// Time for each look, put and read-back. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }

    /// Lets it be paused, resumed and aborted from elsewhere.
    pub fn control(self, control: &Control) -> Self {
        self.set(|it| it.control = control.clone())
    }
}

/// A ramp whose PVs are connected and that was found to be possible.
struct Ready {
    channel: Channel,
    pv: String,
    from: f64,
    steps: u64,
    read_back: Option<(Channel, ReadBack, f64)>,
    timeout: Duration,
}

impl Work for Ramp {
    type Output = Result<Ramped, RampError>;

    async fn run(mut self, client: &Client) -> Self::Output {
        let begun = clock::now(client);
        let mut ready = self.ready(client).await?;
        let from = ready.from;
        if self.dry_run {
            return Ok(Ramped {
                from,
                to: self.to,
                steps: ready.steps,
                elapsed: clock::now(client).saturating_duration_since(begun),
            });
        }
        let mut at = from;
        let told = |step, at, ready: &Ready| RampStep {
            step,
            of: ready.steps,
            at,
            read_back: ready.read_back.as_ref().and_then(|(_, it, _)| it.at),
            elapsed: clock::now(client).saturating_duration_since(begun),
        };
        self.on_step.tell(|| told(0, at, &ready));
        let mut next = clock::now(client);
        for step in 1..=ready.steps {
            let value = match step == ready.steps {
                true => self.to,
                false => from + (self.to - from) * (step as f64 / ready.steps as f64),
            };
            let aborted = |Aborted| RampError::Aborted {
                pv: ready.pv.clone(),
                at,
            };
            let pause = clock::sleep_until(client, next);
            self.control.unless_aborted(pause).await.map_err(aborted)?;
            self.control.go().await.map_err(aborted)?;
            next = clock::now(client) + self.period;
            // Not torn by an abort: it is known afterwards what was put.
            let put = ready.channel.put(value).timeout(ready.timeout);
            let put = match self.wait {
                true => self.control.unless_aborted(put.wait()).await,
                false => Ok(put.check().await),
            };
            match put {
                Ok(Err(error)) => return Err(RampError::Put { at, error }),
                Ok(Ok(())) => at = value,
                Err(Aborted) => {
                    let pv = ready.pv.clone();
                    return Err(RampError::Aborted { pv, at: value });
                }
            }
            self.follow(client, &mut ready, at).await?;
            self.on_step.tell(|| told(step, at, &ready));
        }
        Ok(Ramped {
            from,
            to: at,
            steps: ready.steps,
            elapsed: clock::now(client).saturating_duration_since(begun),
        })
    }
}

/// Steps for a distance, where a division may come out just above a whole number.
fn whole(steps: f64) -> f64 {
    (steps * (1.0 - 1e-9)).ceil()
}

impl Ramp {
    /// Everything that can be known before something moves.
    async fn ready(&self, client: &Client) -> Result<Ready, RampError> {
        let timeout = clock::patience(client, self.timeout);
        let channel = self.pv.open(client)?;
        let pv = channel.name();
        let impossible = |pv: &str, reason| RampError::Impossible {
            pv: pv.to_owned(),
            reason,
        };
        near(self.to, 0.0)
            .check()
            .map_err(|reason| impossible(&pv, reason))?;
        if let Some(range) = self.range {
            let possible = between(range.lower, range.upper).check();
            possible.map_err(|reason| impossible(&pv, reason))?;
        }
        let mut read_back = None;
        if let Some((read, tolerance)) = &self.read_back {
            let read = read.open(client)?;
            let reaches = near(self.to, *tolerance);
            reaches
                .check()
                .map_err(|reason| impossible(&read.name(), reason))?;
            read.connected().timeout(timeout).await?;
            if let Some(native) = read.info().and_then(|info| Some(info.connection()?.native)) {
                let possible = reaches.check_type(native);
                possible.map_err(|reason| impossible(&read.name(), reason))?;
            }
            let watched = ReadBack::start(&read)?;
            read_back = Some((read, watched, *tolerance));
        }
        let point = look(&channel, timeout).await?;
        if let Some(native) = channel
            .info()
            .and_then(|info| Some(info.connection()?.native))
        {
            let possible = put_to(self.to, native).check_type(native);
            possible.map_err(|reason| impossible(&pv, reason))?;
        }
        let ranges = [(point.limits, "its control"), (self.range, "the ramp")];
        for (range, of) in ranges {
            let to = self.to;
            if let Some(range) = range.filter(|range| !(range.lower..=range.upper).contains(&to)) {
                return Err(RampError::OutsideLimits { pv, to, range, of });
            }
        }
        if !point.may_write {
            return Err(RampError::NoAccess { pv });
        }
        let steps = self.count(&pv, point.at)?;
        Ok(Ready {
            channel,
            pv,
            from: point.at,
            steps,
            read_back,
            timeout,
        })
    }

    /// How many steps there are.
    fn count(&self, pv: &str, from: f64) -> Result<u64, RampError> {
        let refused = |what, given, remedy| {
            let pv = pv.to_owned();
            Err(RampError::Option {
                pv,
                what,
                given,
                remedy,
            })
        };
        if !from.is_finite() {
            let remedy = "put it to a number first";
            return refused("a start", from, remedy);
        }
        let distance = (self.to - from).abs();
        let positive = |number: f64| number.is_finite() && number > 0.0;
        let count = match self.steps {
            Steps::Count(count) => count as f64,
            Steps::Size(size) if positive(size) => whole(distance / size),
            Steps::Size(size) => return refused("a step", size, "give one above 0"),
            Steps::Rate(rate) if positive(rate) && !self.period.is_zero() => {
                whole(distance / (rate * self.period.as_secs_f64()))
            }
            Steps::Rate(rate) if positive(rate) => {
                return refused("a period", 0.0, "give one above 0");
            }
            Steps::Rate(rate) => return refused("a rate", rate, "give one above 0"),
        };
        if !(0.0..=MAX_RAMP_STEPS as f64).contains(&count) {
            return refused(
                "a number of steps",
                count,
                "make larger steps, 1000000 at most",
            );
        }
        if count < 1.0 && matches!(self.steps, Steps::Count(_)) {
            return refused("a number of steps", count, "give at least 1");
        }
        // It may be there already.
        Ok(match distance > 0.0 {
            true => (count as u64).max(1),
            false => 0,
        })
    }

    /// Waits until the read-back has followed.
    async fn follow(&self, client: &Client, ready: &mut Ready, at: f64) -> Result<(), RampError> {
        let Some((channel, read_back, tolerance)) = &mut ready.read_back else {
            return Ok(());
        };
        let deadline = clock::after(client, ready.timeout);
        let condition = near(at, *tolerance);
        let reached = read_back.reaches(client, &condition, deadline);
        match self.control.unless_aborted(reached).await {
            Ok(true) => Ok(()),
            Err(Aborted) => Err(RampError::Aborted {
                pv: ready.pv.clone(),
                at,
            }),
            Ok(false) => Err(RampError::NotFollowed {
                pv: ready.pv.clone(),
                read_back: channel.name(),
                at,
                tolerance: *tolerance,
                stands: read_back.at,
            }),
        }
    }
}
