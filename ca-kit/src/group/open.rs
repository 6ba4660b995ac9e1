//! Groups with their channels.

use std::collections::BTreeMap;

use ca_client::{
    Channel, ChannelInfo, ConnectError, IntoValue, MonitorError, MonitorEvent, MonitorKey,
    MonitorSet, MonitorSpec, Reading,
};
use futures_util::stream;

use super::values::{GroupConnect, GroupGet, GroupPut};
use super::{Group, Member};
use crate::face::{Face, Feed, Op};

/// A group whose channels are open, connected or not: [`Kit::open_group`](crate::Kit::open_group). They are
/// closed with it.
#[derive(Debug)]
pub struct OpenGroup<'c, C> {
    pub(crate) face: &'c C,
    pub(crate) group: Group,
    pub(crate) channels: Vec<Channel>,
}

/// How it stands with a member.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemberStatus {
    /// What it is called within the group.
    pub name: String,
    /// What is known about its channel; `None` once the client was closed.
    pub info: Option<ChannelInfo>,
    /// Why it is not connected, if somebody waited for that.
    pub error: Option<ConnectError>,
}

impl MemberStatus {
    /// True when it can be used.
    pub fn is_connected(&self) -> bool {
        self.info.as_ref().is_some_and(ChannelInfo::is_connected)
    }
}

impl<'c, C: Face> OpenGroup<'c, C> {
    pub(crate) fn new(face: &'c C, group: Group) -> Result<Self, ConnectError> {
        let client = face.beneath();
        let channels = group.members.iter().map(|member| client.open(&member.pv));
        let channels = channels.collect::<Result<_, _>>()?;
        Ok(Self {
            face,
            group,
            channels,
        })
    }

    /// What it consists of.
    pub const fn group(&self) -> &Group {
        &self.group
    }

    /// The members with their channels.
    pub fn members(&self) -> impl Iterator<Item = (&Member, &Channel)> {
        self.group.members.iter().zip(&self.channels)
    }

    /// How it stands with each member at this moment.
    pub fn status(&self) -> Vec<MemberStatus> {
        let status = |(member, channel): (&Member, &Channel)| MemberStatus {
            name: member.name.clone(),
            info: channel.info(),
            error: None,
        };
        self.members().map(status).collect()
    }

    /// Waits until all members are connected, or the time is up; then tells how it stands with each.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn connected(&self) -> Op<'c, C, GroupConnect> {
        Op::new(self.face, GroupConnect::new(&self.group, &self.channels))
    }

    /// Gets all members at once under one time-out, each with its value or its own error.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn get<T: ca_client::FromReading + Send>(&self) -> Op<'c, C, GroupGet<T>> {
        Op::new(self.face, GroupGet::new(&self.group, &self.channels))
    }

    /// Puts values to members, by their names, at once under one time-out, each with its own result.
    /// Members that are not named are left alone.
    ///
    /// # Errors
    /// [`NoSuchMember`](crate::NoSuchMember) for a name that there is not; nothing is put then.
    ///
    /// # Cancel safety
    /// Dropped before it returns, each value may or may not be put.
    pub fn put<V: IntoValue>(
        &self,
        values: impl IntoIterator<Item = (impl AsRef<str>, V)>,
    ) -> Op<'c, C, GroupPut> {
        Op::new(
            self.face,
            GroupPut::new(&self.group, &self.channels, values),
        )
    }

    /// Monitors all members: what comes for each, as it comes.
    ///
    /// # Errors
    /// As [`Channel::monitor`].
    pub fn monitor(&self, spec: MonitorSpec) -> Result<GroupMonitor<'c, C>, MonitorError> {
        let members = Members::start(self, spec)?;
        let events = stream::unfold(members, async |mut members| {
            let (member, event) = members.next().await?;
            let name = members.names.get(member).cloned().unwrap_or_default();
            let event = GroupEvent {
                member,
                name,
                event,
            };
            Some((event, members))
        });
        Ok(Feed::new(self.face, events))
    }

    /// Monitors all members as rows: the newest value of each, again whenever something has changed.
    /// What comes together is one row. A member without a value, as it is not connected, is `None`.
    ///
    /// # Errors
    /// As [`Channel::monitor`].
    pub fn rows(&self, spec: MonitorSpec) -> Result<Feed<'c, C, GroupRow>, MonitorError> {
        let members = Members::start(self, spec)?;
        let values = vec![None; self.channels.len()];
        let rows = stream::unfold((members, values), async |(mut members, mut values)| {
            let mut changed = Vec::new();
            let first = members.next().await?;
            let mut next = Some(first);
            while let Some((member, event)) = next {
                let value = match event {
                    MonitorEvent::Update { value, .. } => Some(Some(value)),
                    MonitorEvent::Disconnected | MonitorEvent::Failed(_) => Some(None),
                    _ => None,
                };
                if let (Some(value), Some(place)) = (value, values.get_mut(member)) {
                    *place = value;
                    changed.push(member);
                }
                next = members.try_next();
            }
            changed.sort_unstable();
            changed.dedup();
            let row = GroupRow {
                values: values.clone(),
                changed,
            };
            Some((row, (members, values)))
        });
        Ok(Feed::new(self.face, rows))
    }
}

/// What comes for the members of a group.
pub type GroupMonitor<'c, C> = Feed<'c, C, GroupEvent>;

/// What came for a member of a group.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct GroupEvent {
    /// Place of the member in the group.
    pub member: usize,
    /// What it is called within the group.
    pub name: String,
    /// What came.
    pub event: MonitorEvent,
}

/// The newest values of a group, in the order of its members.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct GroupRow {
    /// The value of each member; `None` while it has none.
    pub values: Vec<Option<Reading>>,
    /// Places of the members whose values are new in this row; none if only connections have changed.
    pub changed: Vec<usize>,
}

/// Subscriptions of a group.
struct Members {
    set: MonitorSet,
    places: BTreeMap<MonitorKey, usize>,
    names: Vec<String>,
}

impl Members {
    fn start<C: Face>(group: &OpenGroup<'_, C>, spec: MonitorSpec) -> Result<Self, MonitorError> {
        let mut set = group.face.beneath().monitor_set();
        let mut places = BTreeMap::new();
        for (place, channel) in group.channels.iter().enumerate() {
            places.insert(set.add(channel, spec)?, place);
        }
        let names = group.group.members.iter().map(|member| member.name.clone());
        Ok(Self {
            set,
            places,
            names: names.collect(),
        })
    }

    async fn next(&mut self) -> Option<(usize, MonitorEvent)> {
        let (key, event) = self.set.next().await?;
        Some((self.place(key), event))
    }

    fn try_next(&mut self) -> Option<(usize, MonitorEvent)> {
        let (key, event) = self.set.try_next()?;
        Some((self.place(key), event))
    }

    fn place(&self, key: MonitorKey) -> usize {
        // Every key of the set has its place.
        self.places.get(&key).copied().unwrap_or(usize::MAX)
    }
}
