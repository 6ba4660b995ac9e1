//! Operations on a channel, as futures that can be waited for or run beside.

use std::sync::Arc;
use std::time::Duration;

use ca_client::{
    Channel, ChannelState, ClientEvent, ConnectError, Connection, DbrType, Events, GetError,
    PutError, ReadSpec, Reading, Value,
};
use futures_util::future::join;

use crate::arrived::Arrived;
use crate::meta::{Meta, MetaCache};
use crate::params::Until;
use crate::values::{Outgoing, Unfit};

/// What there is of a channel beside its handle.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: Arc<str>,
    pub(crate) meta: Arc<MetaCache>,
}

/// An answer to a get.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) reading: Result<Arrived, GetError>,
    pub(crate) meta: Option<Arc<Meta>>,
    pub(crate) is_array: bool,
}

// hot: every value.
pub(crate) fn connection(channel: &Channel) -> Option<Connection> {
    match channel.state() {
        Some(ChannelState::Connected(connection)) => Some(connection),
        _ => None,
    }
}

pub(crate) const fn is_array(connection: Option<&Connection>) -> bool {
    match connection {
        Some(connection) => connection.count != 1,
        None => false,
    }
}

/// Gets a value, and what describes the PV if that is wanted and not known: both travel together.
pub(crate) async fn fetch(
    channel: Channel,
    about: About,
    spec: ReadSpec,
    timeout: Duration,
    describe: bool,
) -> Fetched {
    let before = connection(&channel);
    let known = about.meta.get(before.as_ref());
    let get = channel.get::<Reading>().spec(spec).timeout(timeout);
    let reading = if describe && known.is_none() {
        let (reading, described) = join(get, channel.metadata().timeout(timeout)).await;
        // A server that does not describe is no reason to keep its value back.
        if let Some(meta) = described.ok().as_ref().and_then(Meta::of) {
            about.meta.set(connection(&channel), Arc::new(meta));
        }
        reading
    } else {
        get.await
    };
    let now = connection(&channel);
    Fetched {
        reading: reading.map(Arrived::new),
        meta: about.meta.get(now.as_ref()),
        is_array: is_array(now.as_ref()),
    }
}

/// Why a put failed.
#[derive(Debug)]
pub(crate) enum PutFailed {
    Put(PutError),
    /// The value was not sent.
    Unfit(String, Unfit),
}

/// The value as it suits the channel.
pub(crate) fn for_channel(channel: &Channel, value: Outgoing) -> Result<Value, PutFailed> {
    let native = connection(channel).map(|it| it.native);
    let unfit = |reason| PutFailed::Unfit(channel.name(), reason);
    value.for_type(native).map_err(unfit)
}

pub(crate) async fn put(
    channel: Channel,
    value: Outgoing,
    ty: Option<DbrType>,
    until: Until,
    timeout: Duration,
) -> Result<(), PutFailed> {
    // hot: a PV that is there says by its type whether the numbers matter, before they are looked at.
    if connection(&channel).is_none() && value.depends() {
        let connected = channel.connected().timeout(timeout).await;
        connected.map_err(|error| PutFailed::Put(error.into()))?;
    }
    let value = for_channel(&channel, value)?;
    let mut put = channel.put(value).timeout(timeout);
    if let Some(ty) = ty {
        put = put.ty(ty);
    }
    put = match until {
        Until::Sent => put,
        Until::Checked => put.check(),
        Until::Completed => put.wait(),
    };
    put.await.map_err(PutFailed::Put)
}

pub(crate) async fn connect(channel: Channel, timeout: Duration) -> Result<(), ConnectError> {
    channel.connected().timeout(timeout).await
}

/// The next thing that happens to a channel, and the listener, to go on.
pub(crate) async fn watch(mut events: Events) -> (Option<ClientEvent>, Events) {
    let event = events.next().await;
    (event, events)
}
