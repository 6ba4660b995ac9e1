//! Links of a simulated IOC's records to PVs of other IOCs, through a Channel Access client (`dbCa.c` of EPICS Base).
//!
//! The records say what they want of a client, and are told what it has found; [`Links`] carries the one to the other.
//! It is a crate of its own because the IOC knows no client, and the client no IOC.
//!
//! ```
//! use ca_client::Client;
//! use ca_links::Links;
//! use ca_server_sim::{Ioc, NetConfig};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let other = Ioc::from_db("record(ao, \"gap\") { field(VAL, 1.5) }")?;
//! let other = other.serve(NetConfig::new()).await?;
//! let ioc = Ioc::builder()
//!     .db_text("record(calc, \"twice\") { field(INPA, \"gap CP MS\") field(CALC, \"2*A\") }", "")
//!     .serve(NetConfig::new())
//!     .await?;
//! let client = Client::builder().isolated([other.udp_addr()]).build()?;
//! let links = tokio::spawn(Links::new(&ioc, &client).run());
//!
//! let twice = Client::builder().isolated([ioc.udp_addr()]).build()?.connect("twice").await?;
//! let mut monitor = twice.monitor::<f64>().start()?;
//! while monitor.next().await.and_then(|event| event.into_value()) != Some(3.0) {}
//! links.abort(); // such links are disconnected from now on
//! # Ok(())
//! # }
//! ```
//!
//! # Where we differ from the reference
//! - Units, limits and digits of a field whose link leads to another IOC are asked for once for each connection, as
//!   there, and once for all links to a PV.
//! - Several puts that a record makes before they are sent are one, the last, as there; puts that are waited for are
//!   all sent.
//!
//! # Bounds
//! A PV has one channel, at most two subscriptions, of one waiting update each, and one request for its units. What is told to the IOC is told in
//! portions of [`PORTION`], so that others have it in between.

/// The crate of the client, for whatever is not re-exported here by name.
pub use ca_client;
/// The crate of the IOC, for whatever is not re-exported here by name.
pub use ca_server_sim;

pub use ca_client::Client;
pub use ca_server_sim::net::SimIoc;

use std::collections::HashMap;

use ca_client::{
    Channel, ClientEvent, DbrType, Events, Family, MonitorEvent, MonitorKey, MonitorSet,
    MonitorSpec, NativeType, Reading, Value,
};
use ca_server_sim::process::{RemoteId, RemoteInfo, RemoteRequest, RemoteUpdate};
use ca_server_sim::record::Meta;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, select_biased};

/// Updates that are told to the IOC at once.
pub const PORTION: usize = 256;
/// Time for a put that is waited for: the reference has no limit.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(86_400);
/// As texts: what links read that want the text of a choice.
const TEXT: DbrType = DbrType::new(Family::Time, NativeType::String);
/// As a real number with all that is known of it.
const DESCRIBED: DbrType = DbrType::new(Family::Ctrl, NativeType::Double);

/// Connects the links of an IOC's records to PVs of other IOCs.
///
/// Made, it takes what the links want; [`run`](Self::run) does it. When it is dropped the links are disconnected.
#[derive(Debug)]
pub struct Links {
    ioc: SimIoc,
    client: Client,
    events: Events,
    lost: u64,
    set: MonitorSet,
    remotes: HashMap<RemoteId, Remote>,
    /// By name: each has one.
    names: HashMap<String, RemoteId>,
    keys: HashMap<MonitorKey, (RemoteId, bool)>,
    puts: FuturesUnordered<BoxFuture<'static, Option<u64>>>,
    descriptions: FuturesUnordered<BoxFuture<'static, Option<(RemoteId, Meta)>>>,
}

/// A PV of another IOC.
#[derive(Debug)]
struct Remote {
    channel: Channel,
    /// What the IOC was told of it.
    told: Option<RemoteInfo>,
    /// As it is, and as text.
    subscribed: [Option<MonitorKey>; 2],
}

/// What is to be done next.
enum Next {
    Requests(Vec<RemoteRequest>),
    Event(ClientEvent),
    Updates(Vec<(MonitorKey, MonitorEvent)>),
    Put(Option<u64>),
    Described(Option<(RemoteId, Meta)>),
    /// The client was closed.
    End,
}

impl Links {
    /// Takes the links of this IOC over; they are connected through this client. An IOC has one at a time.
    pub fn new(ioc: &SimIoc, client: &Client) -> Self {
        ioc.with(|ioc, _| ioc.attach_remote());
        Self {
            ioc: ioc.clone(),
            client: client.clone(),
            events: client.events(),
            lost: 0,
            set: client.monitor_set(),
            remotes: HashMap::new(),
            names: HashMap::new(),
            keys: HashMap::new(),
            puts: FuturesUnordered::new(),
            descriptions: FuturesUnordered::new(),
        }
    }

    /// Does what the links want, until the client is closed. It holds the IOC, which serves as long as this runs or
    /// others hold it.
    ///
    /// # Cancel safety
    /// Dropped, all such links are disconnected; puts that were not sent are not carried out.
    pub async fn run(mut self) {
        loop {
            match self.next().await {
                Next::Requests(requests) => {
                    for request in requests {
                        self.execute(request);
                    }
                }
                Next::Event(event) => self.event(&event),
                Next::Updates(updates) => {
                    // A client tells that a channel is connected before its updates come.
                    self.drain_events();
                    self.tell(&updates);
                }
                Next::Put(done) => self.put_done(done),
                Next::Described(None) => {}
                Next::Described(Some((id, meta))) => {
                    self.ioc
                        .with(|ioc, now| ioc.remote_described(now, id, meta));
                }
                Next::End => return,
            }
        }
    }

    async fn next(&mut self) -> Next {
        select_biased! {
            event = self.events.next().fuse() => event.map_or(Next::End, Next::Event),
            requests = self.ioc.remote_requests().fuse() => Next::Requests(requests),
            done = self.puts.select_next_some() => Next::Put(done),
            // Before the value that its connection brings.
            meta = self.descriptions.select_next_some() => Next::Described(meta),
            batch = self.set.next_batch().fuse() => batch.map_or(Next::End, |batch| {
                Next::Updates(batch.take(PORTION).collect())
            }),
        }
    }

    fn execute(&mut self, request: RemoteRequest) {
        match request {
            RemoteRequest::Open { id, name } => self.open(id, &name),
            RemoteRequest::Watch { id, as_text } => self.watch(id, as_text),
            RemoteRequest::Describe { id } => self.describe(id),
            RemoteRequest::Put { id, value, wait } => self.put(id, value, wait),
            RemoteRequest::Close { id } => self.close(id),
            _ => {}
        }
    }

    fn open(&mut self, id: RemoteId, name: &str) {
        match self.client.open(name) {
            Ok(channel) => {
                self.names.insert(name.to_owned(), id);
                let remote = Remote {
                    channel,
                    told: None,
                    subscribed: [None; 2],
                };
                self.remotes.insert(id, remote);
                // It may have been open before.
                self.look_at(id);
            }
            Err(error) => tracing::warn!("a link is not connected: {error}"),
        }
    }

    fn watch(&mut self, id: RemoteId, as_text: bool) {
        let Some(remote) = self.remotes.get_mut(&id) else {
            return;
        };
        let slot = &mut remote.subscribed[usize::from(as_text)];
        if slot.is_some() {
            return;
        }
        let spec = match as_text {
            true => MonitorSpec::exact(TEXT),
            false => MonitorSpec::time(),
        };
        match self.set.add(&remote.channel, spec.depth(1)) {
            Ok(key) => {
                *slot = Some(key);
                self.keys.insert(key, (id, as_text));
            }
            Err(error) => tracing::warn!("a link is not read: {error}"),
        }
    }

    /// Asks for units, digits and limits; without an answer there are none.
    fn describe(&self, id: RemoteId) {
        let Some(remote) = self.remotes.get(&id) else {
            return;
        };
        let channel = remote.channel.clone();
        self.descriptions.push(Box::pin(async move {
            match channel.get::<Reading>().ty(DESCRIBED).count(1).await {
                Ok(reading) => Some((id, Meta::from(&reading))),
                Err(error) => {
                    tracing::debug!("units and limits of a link are not known: {error}");
                    None
                }
            }
        }));
    }

    fn close(&mut self, id: RemoteId) {
        let Some(remote) = self.remotes.remove(&id) else {
            return;
        };
        for key in remote.subscribed.into_iter().flatten() {
            self.set.remove(key);
            self.keys.remove(&key);
        }
        self.names.remove(&remote.channel.name());
    }

    fn put(&self, id: RemoteId, value: Value, wait: Option<u64>) {
        let Some(remote) = self.remotes.get(&id) else {
            return self.put_done(wait);
        };
        let channel = remote.channel.clone();
        let mut put: BoxFuture<'static, Option<u64>> = Box::pin(async move {
            let done = match wait {
                Some(_) => channel.put(value).wait().timeout(PATIENCE).await,
                None => channel.put(value).await,
            };
            if let Err(error) = done {
                tracing::debug!("a link is not written: {error}");
            }
            wait
        });
        // Sent in the order in which they were asked for.
        match (&mut put).now_or_never() {
            Some(done) => self.put_done(done),
            None => self.puts.push(put),
        }
    }

    fn put_done(&self, wait: Option<u64>) {
        if let Some(wait) = wait {
            self.ioc.with(|ioc, now| ioc.remote_put_done(now, wait));
        }
    }

    fn drain_events(&mut self) {
        while let Some(event) = self.events.try_next() {
            self.event(&event);
        }
    }

    fn event(&mut self, event: &ClientEvent) {
        if self.events.lost() != self.lost {
            self.lost = self.events.lost();
            let mut all: Vec<RemoteId> = self.remotes.keys().copied().collect();
            all.sort_unstable();
            all.into_iter().for_each(|id| self.look_at(id));
        }
        let id = match event {
            ClientEvent::Connected { pv } | ClientEvent::AccessRights { pv, .. } => pv,
            ClientEvent::Disconnected { pv, .. } => {
                // It may be back already, which is told next.
                if let Some(&id) = self.names.get(pv) {
                    self.lose(id);
                }
                return;
            }
            _ => return,
        };
        if let Some(&id) = self.names.get(id) {
            self.look_at(id);
        }
    }

    /// Tells the IOC what a channel is now, if that is something else.
    fn look_at(&mut self, id: RemoteId) {
        let Some(remote) = self.remotes.get_mut(&id) else {
            return;
        };
        let info = remote.channel.info();
        let connection = info.as_ref().and_then(|info| info.connection());
        let now = connection.map(|connection| RemoteInfo {
            native: connection.native,
            count: connection.count,
            readable: connection.rights.can_read(),
            writable: connection.rights.can_write(),
        });
        match now {
            None => self.lose(id),
            Some(info) if remote.told != Some(info) => {
                remote.told = Some(info);
                self.ioc
                    .with(|ioc, now| ioc.remote_connected(now, id, info));
            }
            Some(_) => {}
        }
    }

    fn lose(&mut self, id: RemoteId) {
        let told = self
            .remotes
            .get_mut(&id)
            .and_then(|remote| remote.told.take());
        if told.is_some() {
            self.ioc.with(|ioc, now| ioc.remote_disconnected(now, id));
        }
    }

    fn tell(&self, updates: &[(MonitorKey, MonitorEvent)]) {
        let update = |(key, event): &(MonitorKey, MonitorEvent)| {
            let &(id, as_text) = self.keys.get(key)?;
            let MonitorEvent::Update { value, .. } = event else {
                return None;
            };
            Some((id, as_text, RemoteUpdate::from(value)))
        };
        let updates: Vec<_> = updates.iter().filter_map(update).collect();
        if !updates.is_empty() {
            self.ioc.with(|ioc, now| {
                for (id, as_text, update) in &updates {
                    ioc.remote_update(now, *id, *as_text, update);
                }
            });
        }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.ioc.with(|ioc, now| ioc.detach_remote(now));
    }
}
