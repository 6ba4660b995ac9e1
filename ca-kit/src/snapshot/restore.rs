//! Bringing a snapshot back, and proving it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use ca_client::{Channel, Client, ConnectError, GetError, PutError};

use super::{Present, Saved, SavedMember, Snapshot, present};
use crate::clock;
use crate::face::{Face, Op, Work};

/// What became of a member that is brought back.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// It stands where it was saved; nothing was put.
    Same,
    /// It stands elsewhere, and was left there: in a dry run, or since something was in the way of others.
    Different,
    /// The value was put, and stands there now.
    Restored,
    /// The value was put and completed, and does not stand there.
    NotThere,
    /// There is no value of it in the snapshot, for this reason.
    NotSaved(String),
    /// Its present value is not known; nothing was put.
    Unreachable(GetError),
    /// This user and host may not write it; nothing was put.
    NoAccess,
    /// The put failed.
    Refused(PutError),
}

/// What became of a member, and where it stands.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RestoreLine {
    /// What it is called within the group.
    pub name: String,
    /// Name of the PV.
    pub pv: String,
    /// The value that was saved.
    pub saved: Option<Saved>,
    /// Where it stood before.
    pub before: Option<Saved>,
    /// Where it stands now, as far as it is known.
    pub now: Option<Saved>,
    /// What became of it.
    pub outcome: Outcome,
}

impl fmt::Display for RestoreLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let show =
            |value: &Option<Saved>| value.as_ref().map_or_else(String::new, Saved::to_string);
        let (saved, before, now) = (show(&self.saved), show(&self.before), show(&self.now));
        write!(f, "\"{}\" ", self.name)?;
        match &self.outcome {
            Outcome::Same => write!(f, "stands at {before}, as saved"),
            Outcome::Different => write!(f, "stands at {before}, saved is {saved}"),
            Outcome::Restored => write!(f, "stood at {before}, stands at {now} again"),
            Outcome::NotThere => write!(f, "was put to {saved}, and stands at {now}"),
            Outcome::NotSaved(why) => write!(f, "was not saved: {why}"),
            Outcome::Unreachable(error) => write!(f, "is left as it is: {error}"),
            Outcome::NoAccess => write!(
                f,
                "stands at {before}, saved is {saved}, and may not be written"
            ),
            Outcome::Refused(error) => write!(f, "stood at {before}, saved is {saved}: {error}"),
        }
    }
}

/// What became of a group that is brought back. It prints the differences.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The members, in the order of the snapshot.
    pub lines: Vec<RestoreLine>,
    /// Values that were put, so that something may have moved.
    pub put: usize,
}

impl RestoreReport {
    /// True if everything that was saved stands where it was.
    pub fn is_ok(&self) -> bool {
        let ok = |line: &RestoreLine| matches!(line.outcome, Outcome::Same | Outcome::Restored);
        self.lines.iter().all(ok)
    }

    /// The members that do not stand where they were saved.
    pub fn differences(&self) -> impl Iterator<Item = &RestoreLine> {
        let ok = |line: &&RestoreLine| matches!(line.outcome, Outcome::Same | Outcome::Restored);
        self.lines.iter().filter(move |line| !ok(line))
    }
}

impl fmt::Display for RestoreReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let different = self.differences().count();
        let (of, put) = (self.lines.len(), self.put);
        write!(
            f,
            "{} of {of} stand as saved, {put} were put",
            of - different
        )?;
        self.differences()
            .try_for_each(|line| write!(f, "\n{line}"))
    }
}

/// Brings a snapshot back: [`Kit::restore`](crate::Kit::restore).
#[derive(Debug)]
pub struct Restore {
    snapshot: Snapshot,
    dry_run: bool,
    partial: bool,
    tolerance: Option<f64>,
    timeout: Option<Duration>,
}

impl Restore {
    pub(crate) fn new(snapshot: &Snapshot) -> Self {
        Self {
            snapshot: snapshot.clone(),
            dry_run: false,
            partial: false,
            tolerance: None,
            timeout: None,
        }
    }
}

/// Options of bringing a snapshot back.
impl<C: Face> Op<'_, C, Restore> {
    /// Tells what would be put, and puts nothing.
    pub fn dry_run(self) -> Self {
        self.set(|it| it.dry_run = true)
    }

    /// Brings back what can be, even if some members are unreachable, not saved, not writable, or refuse
    /// their values. Without, nothing is put when something is in the way, and nothing more once a put
    /// has failed.
    pub fn partial(self) -> Self {
        self.set(|it| it.partial = true)
    }

    /// How far numbers may be away and count as the same, in the place of what the members say. Not a
    /// number and negative ones count as 0.
    pub fn tolerance(self, tolerance: f64) -> Self {
        self.set(|it| it.tolerance = Some(tolerance.max(0.0)))
    }

    /// Time for each round: gets, and the puts of one turn with their completion. Default: that of the
    /// client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for Restore {
    type Output = Result<RestoreReport, ConnectError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let members = &self.snapshot.members;
        let channels = members.iter().map(|saved| client.open(&saved.member.pv));
        let channels = channels.collect::<Result<Vec<_>, _>>()?;
        let now = present(client, &channels, timeout).await;
        let looked = members.iter().zip(&channels).zip(now);
        let mut lines: Vec<RestoreLine> = looked
            .map(|((saved, channel), now)| self.look(saved, channel, now))
            .collect();
        let mut put = 0;
        let in_the_way =
            |line: &RestoreLine| !matches!(line.outcome, Outcome::Same | Outcome::Different);
        let goes = self.partial || !lines.iter().any(in_the_way);
        if goes && !self.dry_run {
            let turns: BTreeSet<i32> = members.iter().map(|saved| saved.member.order).collect();
            for turn in turns {
                let due = |&at: &usize| {
                    members
                        .get(at)
                        .is_some_and(|saved| saved.member.order == turn)
                        && lines
                            .get(at)
                            .is_some_and(|line| line.outcome == Outcome::Different)
                };
                let due: Vec<usize> = (0..members.len()).filter(due).collect();
                put += due.len();
                let done = self
                    .turn(client, &channels, &mut lines, &due, timeout)
                    .await;
                if !done && !self.partial {
                    break;
                }
            }
        }
        Ok(RestoreReport { lines, put })
    }
}

impl Restore {
    fn is_same(&self, saved: &SavedMember, value: &Saved, now: &Saved) -> bool {
        now.is_same(value, self.tolerance.unwrap_or(saved.member.tolerance))
    }

    /// How a member stands before anything is put.
    fn look(
        &self,
        saved: &SavedMember,
        channel: &Channel,
        now: Result<Present, GetError>,
    ) -> RestoreLine {
        let before = now.as_ref().ok().map(|now| now.value.clone());
        let may_write = channel.info().is_some_and(|info| info.rights().can_write());
        let outcome = match (&saved.value, &now) {
            (Err(why), _) => Outcome::NotSaved(why.clone()),
            (_, Err(error)) => Outcome::Unreachable(error.clone()),
            (Ok(value), Ok(now)) if self.is_same(saved, value, &now.value) => Outcome::Same,
            _ if !may_write => Outcome::NoAccess,
            _ => Outcome::Different,
        };
        RestoreLine {
            name: saved.member.name.clone(),
            pv: saved.member.pv.clone(),
            saved: saved.value.as_ref().ok().cloned(),
            now: before.clone(),
            before,
            outcome,
        }
    }

    /// Puts the values of one turn, waits for their completion and looks where they stand. True if all are
    /// there.
    async fn turn(
        &self,
        client: &Client,
        channels: &[Channel],
        lines: &mut [RestoreLine],
        due: &[usize],
        timeout: Duration,
    ) -> bool {
        let value = |&at: &usize| {
            let value = lines.get(at)?.saved.as_ref()?.to_value();
            Some((channels.get(at)?, value))
        };
        let puts: Vec<_> = due.iter().filter_map(value).collect();
        let results = client.put_many(puts).wait().timeout(timeout).await;
        let channels: Vec<Channel> = due
            .iter()
            .filter_map(|&at| channels.get(at).cloned())
            .collect();
        let now = present(client, &channels, timeout).await;
        let mut all = true;
        for ((&at, result), now) in due.iter().zip(results).zip(now) {
            let (Some(line), Some(saved)) = (lines.get_mut(at), self.snapshot.members.get(at))
            else {
                continue;
            };
            line.now = now.ok().map(|now| now.value);
            let there = match (&saved.value, &line.now) {
                (Ok(value), Some(now)) => self.is_same(saved, value, now),
                _ => false,
            };
            line.outcome = match result {
                Err(error) => Outcome::Refused(error),
                Ok(()) if there => Outcome::Restored,
                Ok(()) => Outcome::NotThere,
            };
            all &= line.outcome == Outcome::Restored;
        }
        all
    }
}
