//! The events of one PV, with what describes its value.

use ca_client::{Channel, Client, Monitor, SubSpec, Subscription};
use ca_proto::EcaStatus;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, unfold};

use crate::failure::Failure;
use crate::sample::{Meta, Sample};

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
    Disconnected,
    Connected,
    /// The server refuses updates.
    Failed(EcaStatus),
}

impl Item {
    pub(crate) const fn is_update(&self) -> bool {
        matches!(self.event, Event::Update { .. })
    }
}

/// A subscription that knows units and states.
pub(crate) struct Feed {
    pv: usize,
    channel: Channel,
    subscription: Subscription,
    /// Read again after each connect, as another IOC may serve the PV then.
    meta: Option<Meta>,
    reread: bool,
}

impl Feed {
    pub(crate) fn start(
        client: &Client,
        name: impl AsRef<[u8]>,
        pv: usize,
        spec: SubSpec,
    ) -> Result<(Channel, Self), Failure> {
        let channel = client.open(name).map_err(|error| Failure::from(&error))?;
        let subscription = channel
            .subscribe(spec)
            .map_err(|error| Failure::from(&error))?;
        let feed = Self {
            pv,
            channel: channel.clone(),
            subscription,
            meta: None,
            reread: false,
        };
        Ok((channel, feed))
    }

    /// The events; with `reread` the description is read with every update, because it may be what
    /// has changed.
    pub(crate) fn into_stream(mut self, reread: bool) -> BoxStream<'static, Item> {
        self.reread = reread;
        let next = |mut feed: Self| async move {
            let event = feed.next().await?;
            Some((Item { pv: feed.pv, event }, feed))
        };
        unfold(self, next).boxed()
    }

    async fn next(&mut self) -> Option<Event> {
        Some(match self.subscription.next().await? {
            Monitor::Update { reading, skipped } => {
                if self.meta.is_none() || self.reread {
                    // Without read access there are no updates either.
                    self.meta = self.channel.metadata().await.ok().as_ref().map(Meta::of);
                }
                let info = self.channel.info();
                let count = info
                    .as_ref()
                    .and_then(|info| info.connection())
                    .map(|c| c.count);
                Event::Update {
                    sample: Box::new(Sample::new(
                        &reading,
                        Some(self.meta.clone().unwrap_or_default()),
                    )),
                    is_array: count.unwrap_or_else(|| reading.count()) > 1,
                    skipped,
                }
            }
            Monitor::Disconnected => {
                self.meta = None;
                Event::Disconnected
            }
            Monitor::Connected => {
                self.meta = None;
                Event::Connected
            }
            Monitor::Failed(status) => Event::Failed(status),
            _ => Event::Connected,
        })
    }
}
