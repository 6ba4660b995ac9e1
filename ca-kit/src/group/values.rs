//! Values of all members of a group at once.

use std::marker::PhantomData;
use std::time::Duration;

use ca_client::{
    Channel, Client, Family, FromReading, GetError, IntoValue, PutError, Value, ValueError,
};
use futures_util::future::join_all;
use thiserror::Error;

use super::{Group, MemberStatus};
use crate::clock;
use crate::face::{Face, Op, Work};
use crate::mistakes::did_you_mean;

/// A result for each member of a group, or each that was asked for, in their order.
#[derive(Clone, PartialEq, Debug)]
pub struct GroupResults<T, E> {
    results: Vec<(String, Result<T, E>)>,
}

impl<T, E> GroupResults<T, E> {
    /// The members with their results.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Result<T, E>)> {
        self.results
            .iter()
            .map(|(name, result)| (name.as_str(), result))
    }

    /// The result of one member.
    pub fn get(&self, name: &str) -> Option<&Result<T, E>> {
        self.iter()
            .find(|(it, _)| *it == name)
            .map(|(_, result)| result)
    }

    /// The errors, with the names of their members.
    pub fn errors(&self) -> impl Iterator<Item = (&str, &E)> {
        self.iter()
            .filter_map(|(name, result)| Some((name, result.as_ref().err()?)))
    }

    /// True if there is no error.
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The values of all members.
    ///
    /// # Errors
    /// The first error.
    pub fn into_values(self) -> Result<Vec<T>, E> {
        self.results.into_iter().map(|(_, result)| result).collect()
    }
}

impl<T, E> IntoIterator for GroupResults<T, E> {
    type Item = (String, Result<T, E>);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.results.into_iter()
    }
}

fn names(group: &Group) -> Vec<String> {
    group
        .members
        .iter()
        .map(|member| member.name.clone())
        .collect()
}

/// Waits for the connections of a group: [`OpenGroup::connected`](crate::OpenGroup::connected).
#[derive(Debug)]
pub struct GroupConnect {
    names: Vec<String>,
    channels: Vec<Channel>,
    timeout: Option<Duration>,
}

impl GroupConnect {
    pub(crate) fn new(group: &Group, channels: &[Channel]) -> Self {
        Self {
            names: names(group),
            channels: channels.to_vec(),
            timeout: None,
        }
    }
}

/// Options of waiting for the connections of a group.
impl<C: Face> Op<'_, C, GroupConnect> {
    /// Time for all connections together. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for GroupConnect {
    type Output = Vec<MemberStatus>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let waits = self
            .channels
            .iter()
            .map(|channel| channel.connected().timeout(timeout));
        let waited = join_all(waits).await;
        let all = self.names.into_iter().zip(&self.channels).zip(waited);
        let status = all.map(|((name, channel), waited)| MemberStatus {
            name,
            info: channel.info(),
            error: waited.err(),
        });
        status.collect()
    }
}

/// A get of a group: [`OpenGroup::get`](crate::OpenGroup::get).
#[derive(Debug)]
pub struct GroupGet<T> {
    names: Vec<String>,
    channels: Vec<Channel>,
    timeout: Option<Duration>,
    family: Option<Family>,
    wanted: PhantomData<fn() -> T>,
}

impl<T> GroupGet<T> {
    pub(crate) fn new(group: &Group, channels: &[Channel]) -> Self {
        Self {
            names: names(group),
            channels: channels.to_vec(),
            timeout: None,
            family: None,
            wanted: PhantomData,
        }
    }
}

/// Options of a get of a group.
impl<C: Face, T: FromReading + Send> Op<'_, C, GroupGet<T>> {
    /// Time for all connections and answers together. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }

    /// What comes along with each value: alarm, time stamp, units and limits.
    pub fn family(self, family: Family) -> Self {
        self.set(|it| it.family = Some(family))
    }
}

impl<T: FromReading + Send> Work for GroupGet<T> {
    type Output = GroupResults<T, GetError>;

    async fn run(self, client: &Client) -> Self::Output {
        let mut get = client.get_many::<T>(&self.channels);
        if let Some(timeout) = self.timeout {
            get = get.timeout(timeout);
        }
        if let Some(family) = self.family {
            get = get.family(family);
        }
        let values = get.await;
        let results = self.names.into_iter().zip(values).collect();
        GroupResults { results }
    }
}

/// A group has no member of this name; nothing was put.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("group \"{group}\" has no member \"{name}\", nothing was put; {remedy}")]
#[non_exhaustive]
pub struct NoSuchMember {
    /// Name of the group.
    pub group: String,
    /// The name that is asked for.
    pub name: String,
    /// What to do about it.
    pub remedy: String,
}

type Made = Result<Value, ValueError>;

/// A put to members of a group: [`OpenGroup::put`](crate::OpenGroup::put).
#[derive(Debug)]
pub struct GroupPut {
    puts: Result<Vec<(String, Channel, Made)>, NoSuchMember>,
    wait: bool,
    timeout: Option<Duration>,
}

impl GroupPut {
    pub(crate) fn new<V: IntoValue>(
        group: &Group,
        channels: &[Channel],
        values: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) -> Self {
        let values = values.into_iter();
        let puts = values.map(|(name, value)| {
            let name = name.as_ref();
            let channel = group.position(name).and_then(|at| channels.get(at));
            let Some(channel) = channel else {
                let known = group.members.iter().map(|member| member.name.as_str());
                let remedy = did_you_mean(name, known);
                return Err(NoSuchMember {
                    group: group.name.clone(),
                    name: name.to_owned(),
                    remedy: remedy.unwrap_or_else(|| "see its members".to_owned()),
                });
            };
            Ok((name.to_owned(), channel.clone(), value.into_value()))
        });
        Self {
            puts: puts.collect(),
            wait: false,
            timeout: None,
        }
    }
}

/// Options of a put to a group. Without [`wait`](Op::wait) it learns what servers refuse.
impl<C: Face> Op<'_, C, GroupPut> {
    /// Waits until servers have completed what follows from the values.
    pub fn wait(self) -> Self {
        self.set(|it| it.wait = true)
    }

    /// Time for all of them together. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for GroupPut {
    type Output = Result<GroupResults<(), PutError>, NoSuchMember>;

    async fn run(self, client: &Client) -> Self::Output {
        let timeout = clock::patience(client, self.timeout);
        let mut results = Vec::new();
        let mut sent = Vec::new();
        for (name, channel, made) in self.puts? {
            match made {
                Ok(value) => {
                    sent.push((results.len(), channel, value));
                    results.push((name, Ok(())));
                }
                Err(reason) => {
                    let pv = channel.name();
                    results.push((name, Err(PutError::Value { pv, reason })));
                }
            }
        }
        let many = client.put_many(sent.iter().map(|(_, channel, value)| (channel, value)));
        let many = many.timeout(timeout);
        let done = match self.wait {
            true => many.wait().await,
            false => many.check().await,
        };
        for ((place, ..), done) in sent.iter().zip(done) {
            if let Some((_, result)) = results.get_mut(*place) {
                *result = done;
            }
        }
        Ok(GroupResults { results })
    }
}
