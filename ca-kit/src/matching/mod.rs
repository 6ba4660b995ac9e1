//! Waiting until PVs are what is wanted, with or without putting something before.

mod error;
mod watch;

use std::time::Duration;

use ca_client::{Channel, Client, Instant, IntoValue, Pv, Value, ValueError};
use futures_util::future::join_all;

pub use self::error::{At, MatchError, Missing, Standing};
pub(crate) use self::watch::{Wanted, Watch};
use crate::clock;
use crate::condition::{Condition, Level};
use crate::face::{Face, Hook, Named, Op, Work};

/// What matched: [`Kit::wait_until`](crate::Kit::wait_until) and its relatives.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Matched {
    /// Where each PV stands, in the order in which they were named; `None` for those that are not
    /// connected, which may be if not all had to match.
    pub levels: Vec<Option<Level>>,
    /// Whether each of them matches.
    pub matching: Vec<bool>,
    /// Values that were put.
    pub put: usize,
    /// Time since it was begun.
    pub elapsed: Duration,
}

impl Matched {
    /// Where the first PV stands, as a number.
    pub fn number(&self) -> Option<f64> {
        self.levels.first()?.as_ref()?.number()
    }
}

/// Where a PV that is waited for has come to: [`on_change`](Op::on_change).
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct MatchStep {
    /// Its place in the order in which the PVs were named, from 0.
    pub place: usize,
    /// Where it stands.
    pub at: At,
    /// Whether that is what is wanted.
    pub holds: bool,
}

/// A value for a PV.
type Made = Result<Value, ValueError>;

/// A set-point, the value for it, and where it is to be seen.
#[derive(Clone, Debug)]
struct Setting {
    pv: Named,
    value: Made,
    /// What the set-point is itself when nothing has to be put.
    same: Option<Condition>,
}

/// Waits for conditions: [`Kit::wait_until`](crate::Kit::wait_until),
/// [`put_and_match`](crate::Kit::put_and_match), [`compare_and_match`](crate::Kit::compare_and_match).
#[derive(Debug)]
pub struct Match {
    wanted: Vec<Wanted>,
    settings: Vec<Setting>,
    trigger: Option<(Named, Made)>,
    needed: Option<usize>,
    hold: Duration,
    wait: bool,
    timeout: Option<Duration>,
    on_change: Hook<MatchStep>,
}

impl Match {
    pub(crate) fn new(wanted: Vec<(Named, Condition)>) -> Self {
        let wanted = wanted.into_iter();
        Self {
            wanted: wanted
                .map(|(pv, condition)| Wanted { pv, condition })
                .collect(),
            settings: Vec::new(),
            trigger: None,
            needed: None,
            hold: Duration::ZERO,
            wait: false,
            timeout: None,
            on_change: Hook::none(),
        }
    }

    /// Puts before it waits; `compare` leaves out what stands there already.
    pub(crate) fn putting<'p, V: IntoValue>(
        settings: impl IntoIterator<Item = (impl Into<Pv<'p>>, V, impl Into<Pv<'p>>, Condition)>,
        compare: bool,
    ) -> Self {
        let (mut wanted, mut puts) = (Vec::new(), Vec::new());
        for (pv, value, seen, condition) in settings {
            puts.push(Setting {
                pv: Named::new(pv),
                value: value.into_value(),
                same: compare.then(|| condition.clone()),
            });
            wanted.push((Named::new(seen), condition));
        }
        Self {
            settings: puts,
            ..Self::new(wanted)
        }
    }
}

/// Options of waiting for PVs.
impl<C: Face> Op<'_, C, Match> {
    /// How many of the PVs must match at once. Default: all of them.
    pub fn number(self, needed: usize) -> Self {
        self.set(|it| it.needed = Some(needed))
    }

    /// Time for which they must go on matching: one that passes through on its way does not count.
    /// Default: none.
    pub fn hold(self, time: Duration) -> Self {
        self.set(|it| it.hold = time)
    }

    /// Time for connections, puts and arrival together, counted from when it is begun. Default: that of
    /// the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }

    /// Is told whenever a PV has moved, was lost or has come back. It is called in the middle of the work, so it
    /// has to be short.
    pub fn on_change(self, tell: impl FnMut(MatchStep) + Send + 'static) -> Self {
        self.set(|it| it.on_change = Hook::new(tell))
    }

    /// Puts with completion: a motor's record says itself when it has arrived. Without, each server is
    /// asked whether it takes the value, and the monitors tell the rest.
    pub fn wait(self) -> Self {
        self.set(|it| it.wait = true)
    }

    /// Puts this behind all other values: what makes the devices take their new set-points.
    pub fn trigger<'p>(self, pv: impl Into<Pv<'p>>, value: impl IntoValue) -> Self {
        let trigger = (Named::new(pv), value.into_value());
        self.set(|it| it.trigger = Some(trigger))
    }
}

impl Work for Match {
    type Output = Result<Matched, MatchError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let deadline = clock::after(client, timeout);
        let of = self.wanted.len();
        let needed = self.needed.unwrap_or(of);
        if needed > of || (needed == 0 && of > 0) {
            return Err(MatchError::Number { needed, of });
        }
        let mut watch = Watch::start(client, self.wanted, deadline, self.on_change)?;
        watch.somewhere().await?;
        let mut put = 0;
        if !self.settings.is_empty() || self.trigger.is_some() {
            // Whether each can match at all is known before anything moves, and who may be put to.
            watch.ready().await?;
            let due = due(client, self.settings, deadline).await?;
            let mut trigger = Vec::new();
            if let Some((pv, value)) = self.trigger {
                let channel = pv.open(client)?;
                let left = clock::left(client, deadline);
                channel.connected().timeout(left).await?;
                trigger.push((channel, value));
            }
            writable(due.iter().chain(&trigger))?;
            put = put_all(client, due, self.wait, deadline, 0).await?;
            put += put_all(client, trigger, self.wait, deadline, put).await?;
        }
        watch.matched(needed, self.hold, put > 0).await?;
        Ok(Matched {
            levels: watch.levels(),
            matching: watch.holding().collect(),
            put,
            elapsed: watch.elapsed(),
        })
    }
}

/// Whether all of them may be written, and their values can be sent.
fn writable<'a>(puts: impl Iterator<Item = &'a (Channel, Made)>) -> Result<(), MatchError> {
    for (channel, made) in puts {
        let pv = channel.name();
        if let Err(reason) = made {
            let error = ca_client::PutError::Value {
                pv,
                reason: *reason,
            };
            return Err(MatchError::Put { error, before: 0 });
        }
        if !channel.info().is_some_and(|info| info.rights().can_write()) {
            return Err(MatchError::NoAccess { pv });
        }
    }
    Ok(())
}

/// What has to be put: the set-points that do not stand there already.
async fn due(
    client: &Client,
    settings: Vec<Setting>,
    deadline: Instant,
) -> Result<Vec<(Channel, Made)>, MatchError> {
    let mut channels = Vec::with_capacity(settings.len());
    for setting in &settings {
        channels.push(setting.pv.open(client)?);
    }
    let left = clock::left(client, deadline);
    let connected = channels
        .iter()
        .map(|channel| channel.connected().timeout(left));
    for result in join_all(connected).await {
        result?;
    }
    let compared = settings.iter().map(|setting| setting.same.clone());
    let compare = channels.iter().zip(compared).map(async |(channel, same)| {
        let Some(same) = same else { return true };
        let left = clock::left(client, deadline);
        let level = match same.is_text() {
            true => channel.get().timeout(left).await.ok().map(Level::Text),
            false => channel.get().timeout(left).await.ok().map(Level::Number),
        };
        !level.is_some_and(|level| same.holds(&level))
    });
    let differs = join_all(compare).await;
    let all = channels.into_iter().zip(settings).zip(differs);
    let due = all.filter(|(_, differs)| *differs);
    Ok(due
        .map(|((channel, setting), _)| (channel, setting.value))
        .collect())
}

/// Puts all of them, together, and learns what servers refuse.
async fn put_all(
    client: &Client,
    puts: Vec<(Channel, Made)>,
    wait: bool,
    deadline: Instant,
    before: usize,
) -> Result<usize, MatchError> {
    // Values that cannot be sent are found before the first of them is.
    let mut pairs = Vec::with_capacity(puts.len());
    for (channel, made) in &puts {
        let value = made.clone().map_err(|reason| MatchError::Put {
            error: ca_client::PutError::Value {
                pv: channel.name(),
                reason,
            },
            before,
        })?;
        pairs.push((channel, value));
    }
    let many = client
        .put_many(pairs)
        .timeout(clock::left(client, deadline));
    let results = match wait {
        true => many.wait().await,
        false => many.check().await,
    };
    let done = results.iter().filter(|result| result.is_ok()).count();
    match results.into_iter().find_map(Result::err) {
        None => Ok(done),
        Some(error) => Err(MatchError::Put {
            error,
            before: before + done,
        }),
    }
}
