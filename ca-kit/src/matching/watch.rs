//! Many PVs, each with its condition, watched through monitors.

use std::time::Duration;

use ca_client::{
    Channel, Client, ConnectError, Instant, MonitorEvent, MonitorKey, MonitorSet, MonitorSpec,
    NativeType, Overflow,
};

use super::MatchStep;
use super::error::{At, MAX_NAMED, MatchError, Missing, Standing};
use crate::clock;
use crate::condition::{Condition, Level};
use crate::face::{Hook, Named};

/// Updates of one PV that wait to be judged; a match that comes and goes within more than these, while
/// the task does not run, goes unnoticed.
const DEPTH: usize = 64;

/// A PV and what it is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) pv: Named,
    pub(crate) condition: Condition,
}

#[derive(Debug)]
struct Item {
    channel: Channel,
    condition: Condition,
    at: At,
    /// The type was looked at.
    checked: bool,
    holds: bool,
}

#[derive(Debug)]
pub(crate) struct Watch<'a> {
    client: &'a Client,
    set: MonitorSet,
    items: Vec<Item>,
    /// Place of an item by the index of its key.
    places: Vec<usize>,
    holding: usize,
    known: usize,
    started: Instant,
    deadline: Instant,
    on_change: Hook<MatchStep>,
}

impl<'a> Watch<'a> {
    /// Subscribes to all; nothing is waited for.
    pub(crate) fn start(
        client: &'a Client,
        wanted: Vec<Wanted>,
        deadline: Instant,
        on_change: Hook<MatchStep>,
    ) -> Result<Self, MatchError> {
        let mut watch = Self {
            client,
            set: client.monitor_set(),
            items: Vec::with_capacity(wanted.len()),
            places: Vec::new(),
            holding: 0,
            known: 0,
            started: clock::now(client),
            deadline,
            on_change,
        };
        for Wanted { pv, condition } in wanted {
            let channel = pv.open(client)?;
            condition.check().map_err(|reason| MatchError::Impossible {
                pv: channel.name(),
                reason,
            })?;
            let spec = match condition.is_text() {
                true => MonitorSpec::of::<String>(),
                false => MonitorSpec::of::<f64>(),
            };
            let spec = spec.depth(DEPTH).overflow(Overflow::DropOldest);
            let key = watch.set.add(&channel, spec)?;
            let place = watch.items.len();
            if watch.places.len() <= key.index() {
                watch.places.resize(key.index() + 1, usize::MAX);
            }
            watch.places[key.index()] = place;
            watch.items.push(Item {
                channel,
                condition,
                at: At::NotConnected(None),
                checked: false,
                holds: false,
            });
        }
        Ok(watch)
    }

    /// Waits until where each stands is known, so that each was found to be possible.
    pub(crate) async fn ready(&mut self) -> Result<(), MatchError> {
        while self.known < self.items.len() {
            if !self.step(self.deadline).await? {
                return Err(self.missing(self.items.len(), false).await);
            }
        }
        Ok(())
    }

    /// Waits until so many match at once, and go on doing so for a time.
    pub(crate) async fn matched(
        &mut self,
        needed: usize,
        hold: Duration,
        moved: bool,
    ) -> Result<(), MatchError> {
        let deadline = self.deadline;
        let mut since = None;
        // What waits was there before: it is where the PVs stand.
        while let Some((key, event)) = self.set.try_next() {
            self.take(key, event).await?;
        }
        loop {
            if self.holding >= needed {
                let now = clock::now(self.client);
                let until = *since.get_or_insert(now) + hold;
                if now >= until {
                    return Ok(());
                }
                if until < deadline {
                    self.step(until).await?;
                    continue;
                }
            } else {
                since = None;
            }
            if !self.step(deadline).await? {
                return Err(self.missing(needed, moved).await);
            }
        }
    }

    /// Takes one event; false if none comes by then.
    async fn step(&mut self, deadline: Instant) -> Result<bool, MatchError> {
        match clock::by(self.client, deadline, self.set.next()).await {
            None => Ok(false),
            Some(None) => Err(MatchError::Closed {
                pv: self
                    .items
                    .first()
                    .map_or_else(String::new, |item| item.channel.name()),
            }),
            Some(Some((key, event))) => {
                self.take(key, event).await?;
                Ok(true)
            }
        }
    }

    async fn take(&mut self, key: MonitorKey, event: MonitorEvent) -> Result<(), MatchError> {
        let place = self.places.get(key.index()).copied().unwrap_or(usize::MAX);
        let left = clock::left(self.client, self.deadline);
        let Some(item) = self.items.get_mut(place) else {
            return Ok(());
        };
        let at = match event {
            MonitorEvent::Update { value, .. } => {
                match Level::of(&value, item.condition.is_text()) {
                    Ok(level) => At::Level(level),
                    Err(reason) => At::Unusable(reason),
                }
            }
            MonitorEvent::Connected => return item.check(left).await,
            MonitorEvent::Disconnected => At::NotConnected(None),
            MonitorEvent::Failed(status) => At::Refused(status),
            MonitorEvent::Unusable(reason) => At::Unusable(reason),
            _ => return Ok(()),
        };
        item.check(left).await?;
        let holds = matches!(&at, At::Level(level) if item.condition.holds(level));
        self.holding += usize::from(holds);
        self.holding -= usize::from(item.holds);
        let known = |at: &At| usize::from(!matches!(at, At::NotConnected(_)));
        self.known += known(&at);
        self.known -= known(&item.at);
        (item.holds, item.at) = (holds, at);
        self.on_change.tell(|| MatchStep {
            place,
            at: item.at.clone(),
            holds,
        });
        Ok(())
    }

    /// An error at once if no time would suffice: there is nowhere to search.
    pub(crate) async fn somewhere(&self) -> Result<(), MatchError> {
        let Some(first) = self.items.first() else {
            return Ok(());
        };
        match first.channel.connected().timeout(Duration::ZERO).await {
            Err(error @ (ConnectError::NowhereToSearch(_) | ConnectError::Closed(_))) => {
                Err(error.into())
            }
            _ => Ok(()),
        }
    }

    /// Who did not arrive, and where it stands.
    async fn missing(&self, needed: usize, moved: bool) -> MatchError {
        let mut standing = Vec::new();
        let mut explained = 0;
        for item in self.items.iter().filter(|item| !item.holds) {
            let mut at = item.at.clone();
            if matches!(at, At::NotConnected(_)) && explained < MAX_NAMED {
                explained += 1;
                let connected = item.channel.connected().timeout(Duration::ZERO).await;
                at = At::NotConnected(connected.err().map(Box::new));
            }
            standing.push(Standing {
                pv: item.channel.name(),
                server: item.channel.info().and_then(|info| info.server()),
                wanted: item.condition.clone(),
                at,
            });
        }
        MatchError::TimedOut(Box::new(Missing {
            standing,
            matched: self.holding,
            needed,
            of: self.items.len(),
            moved,
            elapsed: self.elapsed(),
        }))
    }

    /// Where each stands, in their order; `None` for those that are not known.
    pub(crate) fn levels(&self) -> Vec<Option<Level>> {
        let level = |item: &Item| match &item.at {
            At::Level(level) => Some(level.clone()),
            _ => None,
        };
        self.items.iter().map(level).collect()
    }

    /// Which of them match.
    pub(crate) fn holding(&self) -> impl Iterator<Item = bool> + '_ {
        self.items.iter().map(|item| item.holds)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        clock::now(self.client).saturating_duration_since(self.started)
    }
}

impl Item {
    /// Looks, once it is connected, whether the PV can ever be what is wanted.
    async fn check(&mut self, left: Duration) -> Result<(), MatchError> {
        let native = || Some(self.channel.info()?.connection()?.native);
        if self.checked {
            return Ok(());
        }
        let Some(native) = native() else {
            return Ok(());
        };
        let never = |reason| MatchError::Impossible {
            pv: self.channel.name(),
            reason,
        };
        self.condition.check_type(native).map_err(never)?;
        if native == NativeType::Enum
            && self.condition.is_text()
            && let Ok(metadata) = self.channel.metadata().timeout(left).await
            && let Some(states) = metadata.states()
        {
            self.condition.check_states(&states).map_err(never)?;
        }
        self.checked = true;
        Ok(())
    }
}
