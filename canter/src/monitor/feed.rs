//! The events of one PV, with what describes its value.

use std::collections::VecDeque;
use std::future::pending;
use std::time::Duration;

use ca_client::{
    Channel, ChannelState, Client, EventMask, Malformed, Monitor, MonitorEvent, MonitorSpec,
};
use ca_proto::EcaStatus;
use ca_proto::dbr::{Family, Reading};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;
use crate::labels;
use crate::sample::{Meta, Sample};

/// How long the first update waits for what describes it. It comes right before it, from most servers.
const PATIENCE: Duration = Duration::from_millis(500);

/// What happened to a PV.
#[derive(Debug)]
pub(crate) struct Item {
    /// Which of the PVs.
    pub(crate) pv: usize,
    pub(crate) event: Event,
}

#[derive(Debug)]
pub(crate) enum Event {
    Update {
        sample: Box<Sample>,
        is_array: bool,
        /// Updates that were dropped before this one.
        skipped: u64,
    },
    /// What describes the value has changed.
    Properties {
        before: Box<Meta>,
        now: Box<Meta>,
    },
    /// With the server and the reason, as far as they are known.
    Disconnected(Option<String>),
    Connected,
    /// The server refuses updates.
    Failed(EcaStatus),
    /// An update without a value that can be shown.
    Malformed(Malformed),
}

impl Item {
    pub(crate) const fn is_update(&self) -> bool {
        matches!(self.event, Event::Update { .. })
    }
}

/// An update that waits for what describes it.
struct Held {
    reading: Reading,
    skipped: u64,
    until: Instant,
}

/// A subscription that knows units and states, also after they have changed.
pub(crate) struct Feed {
    pv: usize,
    channel: Channel,
    values: Monitor,
    /// What describes the value: at the start, after each connect, and whenever it changes.
    properties: Monitor,
    /// None until it came from this server.
    meta: Option<Meta>,
    /// What was known before, while it is waited for after a connect.
    known: Option<Meta>,
    held: Option<Held>,
    /// Events that are due before anything else.
    due: VecDeque<Event>,
    /// Whether changes of the description are told.
    tells_properties: bool,
}

impl Feed {
    pub(crate) fn start(
        client: &Client,
        name: impl AsRef<[u8]>,
        pv: usize,
        spec: MonitorSpec,
    ) -> Result<(Channel, Self), Failure> {
        let channel = client.open(name).map_err(|error| Failure::from(&error))?;
        let subscribe = |spec| {
            let made = channel.monitor::<Reading>().spec(spec).start();
            made.map_err(|error| Failure::from(&error))
        };
        // First, so that servers send it first.
        let properties = MonitorSpec::family(Family::Ctrl).count(1);
        let feed = Self {
            pv,
            properties: subscribe(properties.mask(EventMask::PROPERTY))?,
            values: subscribe(spec)?,
            channel: channel.clone(),
            meta: None,
            known: None,
            held: None,
            due: VecDeque::new(),
            tells_properties: false,
        };
        Ok((channel, feed))
    }

    /// The events; with `tells_properties` also what changed of the description.
    pub(crate) fn into_stream(mut self, tells_properties: bool) -> BoxStream<'static, Item> {
        self.tells_properties = tells_properties;
        let next = |mut feed: Self| async move {
            let event = feed.next().await?;
            Some((Item { pv: feed.pv, event }, feed))
        };
        unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.due.pop_front() {
                return Some(event);
            }
            let deadline = self.held.as_ref().map(|held| held.until);
            let patience = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                item = self.properties.next() => self.described(item?).await,
                () = patience => self.release().await,
                // What follows waits in its queue.
                item = self.values.next(), if self.held.is_none() => self.value(item?).await,
            }
        }
    }

    /// Takes what describes the value.
    async fn described(&mut self, item: MonitorEvent) {
        match item {
            MonitorEvent::Update { value: reading, .. } => self.learn(Meta::of(&reading)).await,
            // Servers that know no events of properties, and those that refuse all.
            MonitorEvent::Failed(_) if self.meta.is_none() => {
                let asked = self.channel.metadata().timeout(PATIENCE).await;
                self.learn(asked.ok().as_ref().map(Meta::of).unwrap_or_default())
                    .await;
            }
            // The values tell it.
            _ => {}
        }
    }

    async fn learn(&mut self, now: Meta) {
        let before = self.meta.take().or_else(|| self.known.take());
        if let Some(before) = before.filter(|before| !now.changes(before).is_empty())
            && self.tells_properties
        {
            self.due.push_back(Event::Properties {
                before: Box::new(before),
                now: Box::new(now.clone()),
            });
        }
        self.meta = Some(now);
        self.release().await;
    }

    async fn value(&mut self, item: MonitorEvent) {
        let event = match item {
            MonitorEvent::Update {
                value: reading,
                skipped,
            } => {
                let wait = if self.meta.is_some() {
                    Duration::ZERO
                } else {
                    PATIENCE
                };
                self.held = Some(Held {
                    reading,
                    skipped,
                    until: Instant::now() + wait,
                });
                if self.meta.is_some() {
                    self.release().await;
                }
                return;
            }
            MonitorEvent::Disconnected => {
                // Another IOC may serve the PV next.
                self.known = self.meta.take().or_else(|| self.known.take());
                Event::Disconnected(self.why_disconnected())
            }
            MonitorEvent::Failed(status) => Event::Failed(status),
            MonitorEvent::Malformed(what) => Event::Malformed(what),
            _ => Event::Connected,
        };
        self.due.push_back(event);
    }

    /// Tells the update that waits, with what is known by now.
    async fn release(&mut self) {
        let Some(Held {
            reading, skipped, ..
        }) = self.held.take()
        else {
            return;
        };
        // Who does not describe its values within the time is not waited for with the next ones.
        let meta = self.meta.get_or_insert_default();
        let mut sample = Sample::new(&reading, Some(meta.clone()));
        if sample.lacks_labels() {
            labels::complete(&self.channel, &mut sample, PATIENCE).await;
            sample.give_up_labels();
            meta.more.clone_from(&sample.meta.more);
        }
        let info = self.channel.info();
        let connection = info.as_ref().and_then(|info| info.connection());
        let count = connection.map_or_else(|| reading.count(), |c| c.count);
        self.due.push_back(Event::Update {
            sample: Box::new(sample),
            is_array: count > 1,
            skipped,
        });
    }

    fn why_disconnected(&self) -> Option<String> {
        let info = self.channel.info()?;
        if let ChannelState::Unresponsive(connection) = info.state {
            return Some(format!(
                "from {}: it does not answer any more",
                connection.server
            ));
        }
        Some(match (info.trouble_at, info.trouble?) {
            (Some(server), why) => format!("from {server}: {why}"),
            (None, why) => why.to_string(),
        })
    }
}
