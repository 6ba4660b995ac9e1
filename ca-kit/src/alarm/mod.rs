//! Alarms: a PV that is not as it should be, told when it matters.

mod logic;
mod run;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use ca_client::{AlarmSeverity, Client, ConnectError, Instant, MonitorError, Pv, Timestamp};
use futures_util::{StreamExt, stream};
use thiserror::Error;

use self::logic::Logic;
pub use self::logic::{AlarmState, Trip};
use self::run::Run;
use crate::face::{Face, Feed, Named};

/// What an alarm tells.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct AlarmEvent {
    /// Name of the PV.
    pub pv: String,
    /// What happened.
    pub kind: AlarmKind,
    /// The value that it happened with; `None` when the PV is not connected, and for texts.
    pub value: Option<f64>,
    /// The severity of the PV itself.
    pub severity: AlarmSeverity,
    /// The time stamp of the value.
    pub timestamp: Timestamp,
}

/// What happened to an alarm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum AlarmKind {
    /// The PV is not as it should be, and was so for the delay.
    Raised {
        /// Times that this was not told, since the last time was too near.
        suppressed: u64,
    },
    /// The PV is as it should be again; if the alarm latches, somebody has seen it, too.
    Cleared,
    /// Somebody has seen it.
    Acknowledged,
}

impl fmt::Display for AlarmEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pv = &self.pv;
        match self.kind {
            AlarmKind::Raised { .. } => write!(f, "ALARM \"{pv}\"")?,
            AlarmKind::Cleared => write!(f, "cleared \"{pv}\"")?,
            AlarmKind::Acknowledged => write!(f, "acknowledged \"{pv}\"")?,
        }
        match self.value {
            Some(value) => write!(f, " at {value}")?,
            None => f.write_str(" without a value")?,
        }
        write!(f, ", severity {}", self.severity)?;
        match self.kind {
            AlarmKind::Raised {
                suppressed: more @ 1..,
            } => write!(f, ", {more} times more since it was told last"),
            _ => Ok(()),
        }
    }
}

/// Why an alarm cannot be started.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum AlarmError {
    /// A limit or hysteresis that cannot be.
    #[error("the alarm of \"{pv}\" cannot be: {what} is {given}; {remedy}")]
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
    /// The channel cannot be opened.
    #[error(transparent)]
    Open(#[from] ConnectError),
    /// The PV cannot be monitored.
    #[error(transparent)]
    Monitor(#[from] MonitorError),
}

/// What an operator does to an alarm, and sees of it. Clones are the same panel.
#[derive(Clone, Debug, Default)]
pub struct AlarmPanel(Arc<Mutex<Panel>>);

#[derive(Debug)]
struct Panel {
    state: AlarmState,
    acknowledged: bool,
    /// Set by the operator: shelved for this long, zero for not any more.
    shelve: Option<Duration>,
    waker: Option<Waker>,
}

impl Default for Panel {
    fn default() -> Self {
        Self {
            state: AlarmState::Normal,
            acknowledged: false,
            shelve: None,
            waker: None,
        }
    }
}

impl AlarmPanel {
    /// How it stands.
    pub fn state(&self) -> AlarmState {
        self.lock().state
    }

    /// Somebody has seen it: an alarm that latches may clear.
    pub fn acknowledge(&self) {
        self.change(|panel| panel.acknowledged = true);
    }

    /// Tells nothing for this long. What is the case then, is told then.
    pub fn shelve(&self, time: Duration) {
        self.change(|panel| panel.shelve = Some(time));
    }

    /// Tells again.
    pub fn unshelve(&self) {
        self.shelve(Duration::ZERO);
    }

    fn lock(&self) -> MutexGuard<'_, Panel> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Panel)) {
        let mut panel = self.lock();
        change(&mut panel);
        let waker = panel.waker.take();
        drop(panel);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What was asked since this last looked; else the task is woken when there is something.
    fn poll(&self, waker: &Waker) -> Option<(bool, Option<Duration>)> {
        let mut panel = self.lock();
        let (acknowledged, shelve) = (std::mem::take(&mut panel.acknowledged), panel.shelve.take());
        if acknowledged || shelve.is_some() {
            return Some((acknowledged, shelve));
        }
        let old = panel.waker.replace(waker.clone());
        drop(panel);
        drop(old);
        None
    }
}

type Sink = Box<dyn FnMut(&AlarmEvent) + Send>;

/// An alarm with its options: [`Kit::alarm`](crate::Kit::alarm).
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("vac:pressure", PvSpec::double(3e-6)).serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// use ca_kit::{Kit, Trip};
/// use std::time::Duration;
///
/// let alarm = client.alarm("vac:pressure", Trip::Above(1e-6)).hysteresis(2e-7).latch();
/// let alarm = alarm.min_interval(Duration::from_secs(60)).or_disconnected();
/// let panel = alarm.panel(); // acknowledges and shelves
/// let mut events = alarm.sink(|event| println!("{event}")).start()?;
/// while let Some(event) = events.next().await {
/// #   assert_eq!(event.value, Some(3e-6));
///     panel.acknowledge();
/// #   break;
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "it has to be started"]
pub struct Alarm<'c, C> {
    face: &'c C,
    pv: Named,
    trip: Trip,
    hysteresis: f64,
    delay: Duration,
    latch: bool,
    min_interval: Duration,
    disconnected: bool,
    sinks: Vec<Sink>,
    panel: AlarmPanel,
}

impl<C> fmt::Debug for Alarm<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm")
            .field("pv", &self.pv)
            .field("trip", &self.trip)
            .finish_non_exhaustive()
    }
}

impl<'c, C: Face> Alarm<'c, C> {
    pub(crate) fn new<'p>(face: &'c C, pv: impl Into<Pv<'p>>, trip: Trip) -> Self {
        Self {
            face,
            pv: Named::new(pv),
            trip,
            hysteresis: 0.0,
            delay: Duration::ZERO,
            latch: false,
            min_interval: Duration::ZERO,
            disconnected: false,
            sinks: Vec::new(),
            panel: AlarmPanel::default(),
        }
    }

    /// How far behind the limit the value has to go back until it counts as good again, in the PV's units.
    pub const fn hysteresis(mut self, width: f64) -> Self {
        self.hysteresis = width;
        self
    }

    /// How long it has to be bad before it is told.
    pub const fn delay(mut self, time: Duration) -> Self {
        self.delay = time;
        self
    }

    /// Once told it stays until somebody has [seen](AlarmPanel::acknowledge) it, even if all is good again.
    pub const fn latch(mut self) -> Self {
        self.latch = true;
        self
    }

    /// Time in which it is raised once at most; further times are counted and told with the next one, at the
    /// end of this time if it is bad then.
    pub const fn min_interval(mut self, time: Duration) -> Self {
        self.min_interval = time;
        self
    }

    /// A PV that is not connected, or whose server refuses updates, is bad, too. Without, nothing changes
    /// while its value is not known.
    pub const fn or_disconnected(mut self) -> Self {
        self.disconnected = true;
        self
    }

    /// Calls this with each event, in the order in which they were told; from the task that takes the
    /// events, so it should be quick. Any number of them.
    pub fn sink(mut self, sink: impl FnMut(&AlarmEvent) + Send + 'static) -> Self {
        self.sinks.push(Box::new(sink));
        self
    }

    /// What operators see of it and do to it.
    pub fn panel(&self) -> AlarmPanel {
        self.panel.clone()
    }

    fn run(self) -> Result<Run, AlarmError> {
        let client = self.face.beneath().clone();
        let channel = self.pv.open(&client)?;
        let logic = Logic::new(
            self.trip,
            self.hysteresis,
            self.delay,
            self.latch,
            self.min_interval,
        );
        logic
            .check()
            .map_err(|(what, given, remedy)| AlarmError::Option {
                pv: channel.name(),
                what,
                given,
                remedy,
            })?;
        Ok(Run::start(
            client,
            channel,
            logic,
            self.disconnected,
            self.sinks,
            self.panel,
        )?)
    }

    /// Starts it; its events come as they are taken.
    ///
    /// # Errors
    /// [`AlarmError`].
    pub fn start(self) -> Result<Feed<'c, C, AlarmEvent>, AlarmError> {
        let face = self.face;
        let events = stream::unfold(self.run()?, async |mut run| {
            let event = run.next().await?;
            Some((event, run))
        });
        Ok(Feed::new(face, events))
    }

    /// Starts it in the background: its sinks are called as long as what this returns is kept, and the
    /// client is open.
    ///
    /// # Errors
    /// [`AlarmError`].
    pub fn spawn(self) -> Result<AlarmTask, AlarmError> {
        let client = self.face.beneath().clone();
        let panel = self.panel.clone();
        let events = stream::unfold(self.run()?, async |mut run| {
            run.next().await?;
            Some(((), run))
        });
        let task = client
            .runtime()
            .spawn(Box::pin(events.for_each(async |()| {})));
        Ok(AlarmTask { task, panel })
    }
}

/// An alarm in the background. It ends when this is dropped.
#[derive(Debug)]
pub struct AlarmTask {
    task: ca_client::runtime::TaskHandle,
    panel: AlarmPanel,
}

impl AlarmTask {
    /// What operators see of it and do to it.
    pub fn panel(&self) -> AlarmPanel {
        self.panel.clone()
    }
}

impl Drop for AlarmTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The moment until which something is shelved.
fn until(client: &Client, time: Duration) -> Instant {
    client.runtime().now() + time
}
