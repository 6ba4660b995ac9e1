//! Many puts that hold together: all of them, or none.

use std::fmt;
use std::time::Duration;

use ca_client::{
    Channel, Client, ConnectError, GetError, IntoValue, PutError, Pv, Value, ValueError,
};
use thiserror::Error;

use crate::clock;
use crate::face::{Face, Named, Op, Work};
use crate::snapshot::{Saved, present};

/// Errors named in a message before it says "and n more".
const MAX_NAMED: usize = 8;

/// Why many puts were not made.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum RollBackError {
    /// A channel could not be opened; nothing was put.
    #[error("nothing was put: {0}")]
    Open(#[from] ConnectError),
    /// It is not known where these stand, so that they could not be put back; nothing was put.
    #[error("nothing was put, as it would not be known what to go back to: {}", list(.0))]
    Unknown(Vec<GetError>),
    /// These cannot be sent; nothing was put.
    #[error("nothing was put: {}", list(.0))]
    Refused(Vec<PutError>),
    /// These may not be written by this user and host; nothing was put.
    #[error("nothing was put: no write access to {}; see the access security of the IOC", list(.0))]
    NoAccess(Vec<String>),
    /// Some puts failed; the others were put back.
    #[error("{}", rolled(.failed, .back, .stuck))]
    RolledBack {
        /// The puts that failed.
        failed: Vec<PutError>,
        /// The PVs that stand again where they stood.
        back: Vec<String>,
        /// Those that could not be put back: where they are to be put to is in [`before`](Self::before).
        stuck: Vec<PutError>,
        /// Where each PV stood before, in the order of the puts.
        before: Vec<(String, Saved)>,
    },
}

fn list(errors: &[impl fmt::Display]) -> String {
    let shown = errors.iter().take(MAX_NAMED).map(ToString::to_string);
    let mut text = shown.collect::<Vec<_>>().join("; ");
    if errors.len() > MAX_NAMED {
        text.push_str(&format!("; and {} more", errors.len() - MAX_NAMED));
    }
    text
}

fn rolled(failed: &[PutError], back: &[String], stuck: &[PutError]) -> String {
    let mut text = format!("{}; {} put back where they stood", list(failed), back.len());
    if !stuck.is_empty() {
        text.push_str(&format!("; NOT put back: {}", list(stuck)));
    }
    text
}

impl RollBackError {
    /// Where each PV stood before, if something was put.
    pub fn before(&self) -> &[(String, Saved)] {
        match self {
            Self::RolledBack { before, .. } => before,
            _ => &[],
        }
    }

    /// True if all PVs stand where they stood.
    pub fn is_clean(&self) -> bool {
        !matches!(self, Self::RolledBack { stuck, .. } if !stuck.is_empty())
    }
}

type Made = Result<Value, ValueError>;

/// Many puts that hold together: [`Kit::put_or_roll_back`](crate::Kit::put_or_roll_back).
#[derive(Debug)]
pub struct PutOrRollBack {
    puts: Vec<(Named, Made)>,
    timeout: Option<Duration>,
}

impl PutOrRollBack {
    pub(crate) fn new<'p, V: IntoValue>(
        puts: impl IntoIterator<Item = (impl Into<Pv<'p>>, V)>,
    ) -> Self {
        let puts = puts.into_iter();
        Self {
            puts: puts
                .map(|(pv, value)| (Named::new(pv), value.into_value()))
                .collect(),
            timeout: None,
        }
    }
}

/// Options of many puts that hold together.
impl<C: Face> Op<'_, C, PutOrRollBack> {
    /// Time for each round: gets, puts with their completion, and the way back. Default: that of the
    /// client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for PutOrRollBack {
    type Output = Result<Vec<(String, Saved)>, RollBackError>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let (mut channels, mut values) = (Vec::new(), Vec::new());
        for (pv, made) in self.puts {
            channels.push(pv.open(client)?);
            values.push(made);
        }
        let before = before(client, &channels, timeout).await?;
        let values = sendable(&channels, values)?;
        let may_not =
            |channel: &&Channel| !channel.info().is_some_and(|info| info.rights().can_write());
        let locked: Vec<String> = channels.iter().filter(may_not).map(Channel::name).collect();
        if !locked.is_empty() {
            return Err(RollBackError::NoAccess(locked));
        }
        let pairs = channels.iter().zip(values);
        let results = client.put_many(pairs).wait().timeout(timeout).await;
        if results.iter().all(Result::is_ok) {
            return Ok(before);
        }
        // What has not failed for certain may have been put.
        let untouched = |result: &Result<(), PutError>| {
            matches!(
                result,
                Err(PutError::Failed { .. }
                    | PutError::NoAccess(_)
                    | PutError::NotConnected(_)
                    | PutError::BadRequest { .. }
                    | PutError::ReadOnly(_))
            )
        };
        let moved = results.iter().map(|result| !untouched(result));
        let undo: Vec<_> = channels.iter().zip(&before).zip(moved).rev().collect();
        let undo = undo.into_iter().filter(|(_, moved)| *moved);
        let undo: Vec<_> = undo
            .map(|((channel, (pv, saved)), _)| (channel, pv, saved))
            .collect();
        let pairs = undo
            .iter()
            .map(|(channel, _, saved)| (*channel, saved.to_value()));
        let undone = client.put_many(pairs).wait().timeout(timeout).await;
        let (mut back, mut stuck) = (Vec::new(), Vec::new());
        for ((_, pv, _), result) in undo.iter().zip(undone) {
            match result {
                Ok(()) => back.push((*pv).clone()),
                Err(error) => stuck.push(error),
            }
        }
        Err(RollBackError::RolledBack {
            failed: results.into_iter().filter_map(Result::err).collect(),
            back,
            stuck,
            before,
        })
    }
}

/// Where all of them stand.
async fn before(
    client: &Client,
    channels: &[Channel],
    timeout: Duration,
) -> Result<Vec<(String, Saved)>, RollBackError> {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let present = present(client, channels, timeout).await;
    for (channel, present) in channels.iter().zip(present) {
        match present {
            Ok(present) => known.push((channel.name(), present.value)),
            Err(error) => unknown.push(error),
        }
    }
    match unknown.is_empty() {
        true => Ok(known),
        false => Err(RollBackError::Unknown(unknown)),
    }
}

/// The values, if all of them can be sent.
fn sendable(channels: &[Channel], values: Vec<Made>) -> Result<Vec<Value>, RollBackError> {
    let (mut sendable, mut refused) = (Vec::new(), Vec::new());
    for (channel, made) in channels.iter().zip(values) {
        match made {
            Ok(value) => sendable.push(value),
            Err(reason) => refused.push(PutError::Value {
                pv: channel.name(),
                reason,
            }),
        }
    }
    match refused.is_empty() {
        true => Ok(sendable),
        false => Err(RollBackError::Refused(refused)),
    }
}
