//! Synchronous groups: requests that are waited for together.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ca_client::{Client, GetError, IntoValue, PutError, Pv, Reading};

use crate::clock;
use crate::face::{Face, Named};

/// Requests that a group holds until it is blocked or reset; each may be a future.
pub const MAX_OUTSTANDING: usize = 1 << 20;

/// Time after which a request that nobody blocks for is given up; no `block` is that patient.
const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Names a request of a [`SyncGroup`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Ticket(usize);

/// What became of a request.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum SyncResult {
    /// A get has its value.
    Value(Reading),
    /// A put is completed.
    Done,
    /// A get failed.
    GetFailed(GetError),
    /// A put failed.
    PutFailed(PutError),
    /// It was not sent: there are [`MAX_OUTSTANDING`] requests; block or reset the group in between.
    TooMany,
    /// It was not answered in time, and is forgotten: a put may still be carried out.
    Outstanding {
        /// Name of the PV.
        pv: String,
    },
}

impl SyncResult {
    /// The value of a get.
    pub const fn value(&self) -> Option<&Reading> {
        match self {
            Self::Value(reading) => Some(reading),
            _ => None,
        }
    }

    /// True for a value, and for a put that is completed.
    pub const fn is_ok(&self) -> bool {
        matches!(self, Self::Value(_) | Self::Done)
    }
}

type Request = Pin<Box<dyn Future<Output = SyncResult> + Send>>;

enum Entry {
    Asked(String, Request),
    Answered(SyncResult),
}

/// Gets and puts that are sent one by one and waited for together, under one time-out, as with
/// `ca_sg_create`, `ca_sg_get`, `ca_sg_put`, `ca_sg_block`, `ca_sg_test` and `ca_sg_reset` of the reference
/// library (its manual, CAref). Other than there, what was answered in time is told when not all was, and a PV
/// that is not connected is waited for.
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("m1", PvSpec::double(1.5)).pv("m2", PvSpec::double(0.0)).serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// use ca_kit::Kit;
/// use std::time::Duration;
///
/// let mut group = client.sync_group();
/// let position = group.get("m1");
/// group.put("m2", 2.5);
/// let results = group.block(Duration::from_secs(1)).await;
/// assert!(results.all_done());
/// assert_eq!(results.get(position).and_then(|it| it.value()?.get_f64(0)), Some(1.5));
/// # Ok(())
/// # }
/// ```
pub struct SyncGroup<'c, C> {
    face: &'c C,
    entries: Vec<Entry>,
    /// Entries before those that are in the list now, so that old tickets name nothing.
    base: usize,
}

impl<C> fmt::Debug for SyncGroup<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outstanding = self.entries.iter().filter(|entry| entry.is_outstanding());
        f.debug_struct("SyncGroup")
            .field("requests", &self.entries.len())
            .field("outstanding", &outstanding.count())
            .finish()
    }
}

impl Entry {
    const fn is_outstanding(&self) -> bool {
        matches!(self, Self::Asked(..))
    }

    /// Looks whether it is answered.
    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Self::Asked(_, request) = self
            && let Poll::Ready(result) = request.as_mut().poll(cx)
        {
            *self = Self::Answered(result);
        }
    }
}

/// What became of the requests of a group.
#[derive(Clone, PartialEq, Debug)]
pub struct SyncResults {
    base: usize,
    results: Vec<SyncResult>,
}

impl SyncResults {
    /// What became of one request; `None` for one of an earlier block.
    pub fn get(&self, ticket: Ticket) -> Option<&SyncResult> {
        self.results.get(ticket.0.checked_sub(self.base)?)
    }

    /// All of them, in the order in which they were asked.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &SyncResult> {
        self.results.iter()
    }

    /// True if all were answered in time, and none failed.
    pub fn all_done(&self) -> bool {
        self.results.iter().all(SyncResult::is_ok)
    }

    /// True if the time was up for some.
    pub fn is_timeout(&self) -> bool {
        let outstanding = |it: &SyncResult| matches!(it, SyncResult::Outstanding { .. });
        self.results.iter().any(outstanding)
    }
}

impl<'c, C: Face> SyncGroup<'c, C> {
    pub(crate) const fn new(face: &'c C) -> Self {
        Self {
            face,
            entries: Vec::new(),
            base: 0,
        }
    }

    /// Sends a get of the native type with alarm and time stamp, all elements.
    pub fn get<'p>(&mut self, pv: impl Into<Pv<'p>>) -> Ticket {
        if self.is_full() {
            return self.refused();
        }
        let opened = Named::new(pv).open(self.face.beneath());
        match opened {
            Err(error) => self.answered(SyncResult::GetFailed(error.into())),
            Ok(channel) => self.ask(channel.name(), async move {
                match channel.get::<Reading>().timeout(FOREVER).await {
                    Ok(reading) => SyncResult::Value(reading),
                    Err(error) => SyncResult::GetFailed(error),
                }
            }),
        }
    }

    /// Sends a put with completion.
    pub fn put<'p>(&mut self, pv: impl Into<Pv<'p>>, value: impl IntoValue) -> Ticket {
        if self.is_full() {
            return self.refused();
        }
        let opened = Named::new(pv).open(self.face.beneath());
        let channel = match opened {
            Ok(channel) => channel,
            Err(error) => return self.answered(SyncResult::PutFailed(error.into())),
        };
        let pv = channel.name();
        match value.into_value() {
            Err(reason) => self.answered(SyncResult::PutFailed(PutError::Value { pv, reason })),
            Ok(value) => self.ask(pv, async move {
                match channel.put(value).wait().timeout(FOREVER).await {
                    Ok(()) => SyncResult::Done,
                    Err(error) => SyncResult::PutFailed(error),
                }
            }),
        }
    }

    /// Requests that are not answered yet, as far as was looked.
    pub fn outstanding(&self) -> usize {
        self.entries
            .iter()
            .filter(|entry| entry.is_outstanding())
            .count()
    }

    /// Looks whether everything is answered (`ca_sg_test`).
    pub fn test(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        for entry in &mut self.entries {
            entry.poll(&mut cx);
        }
        self.outstanding() == 0
    }

    /// Forgets everything that was asked (`ca_sg_reset`). Puts may still be carried out.
    pub fn reset(&mut self) {
        self.base += self.entries.len();
        self.entries.clear();
    }

    fn ask(
        &mut self,
        pv: String,
        request: impl Future<Output = SyncResult> + Send + 'static,
    ) -> Ticket {
        let mut entry = Entry::Asked(pv, Box::pin(request));
        // What is connected is sent now, not when it is waited for.
        entry.poll(&mut Context::from_waker(Waker::noop()));
        self.push(entry)
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= MAX_OUTSTANDING
    }

    fn answered(&mut self, result: SyncResult) -> Ticket {
        self.push(Entry::Answered(result))
    }

    /// What finds no room shares the last place.
    fn refused(&mut self) -> Ticket {
        if self.entries.len() == MAX_OUTSTANDING {
            return self.answered(SyncResult::TooMany);
        }
        Ticket(self.base + MAX_OUTSTANDING)
    }

    fn push(&mut self, entry: Entry) -> Ticket {
        self.entries.push(entry);
        Ticket(self.base + self.entries.len() - 1)
    }

    async fn wait(&mut self, client: &Client, timeout: Duration) -> SyncResults {
        let deadline = clock::after(client, timeout);
        let entries = &mut self.entries;
        let all = poll_fn(|cx| {
            let mut ready = true;
            for entry in entries.iter_mut() {
                entry.poll(cx);
                ready &= !entry.is_outstanding();
            }
            if ready {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        clock::by(client, deadline, all).await;
        let base = self.base;
        self.base += self.entries.len();
        let result = |entry| match entry {
            Entry::Answered(result) => result,
            Entry::Asked(pv, _) => SyncResult::Outstanding { pv },
        };
        let results = self.entries.drain(..).map(result).collect();
        SyncResults { base, results }
    }
}

impl SyncGroup<'_, Client> {
    /// Waits until everything is answered, or this time is over; then all is forgotten, whatever became
    /// of it. With a time of zero it tells what is there.
    ///
    /// # Cancel safety
    /// Safe: it can be called again.
    pub async fn block(&mut self, timeout: Duration) -> SyncResults {
        self.wait(self.face, timeout).await
    }
}

#[cfg(feature = "blocking")]
impl SyncGroup<'_, ca_client::blocking::Client> {
    /// Waits until everything is answered, or this time is over; then all is forgotten, whatever became
    /// of it. With a time of zero it tells what is there.
    pub fn block(&mut self, timeout: Duration) -> SyncResults {
        let face = self.face;
        face.block_on(self.wait(face.as_async(), timeout))
    }
}
