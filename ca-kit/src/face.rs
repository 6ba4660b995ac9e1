//! The two faces of a client, and what is the same behind both.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{self, Poll};
#[cfg(feature = "blocking")]
use std::time::Duration;

use ca_client::{Channel, Client, ConnectError, Pv};
use futures_core::Stream;
use futures_core::stream::BoxStream;
use futures_util::StreamExt;

#[cfg(feature = "blocking")]
use crate::clock;

mod sealed {
    pub trait Sealed {}
    impl Sealed for ca_client::Client {}
    #[cfg(feature = "blocking")]
    impl Sealed for ca_client::blocking::Client {}
}

/// A face of a client: the async [`Client`] or the blocking one, `ca_client::blocking::Client`.
pub trait Face: sealed::Sealed + fmt::Debug {
    /// The async client, which is beneath the blocking one too.
    #[doc(hidden)]
    fn beneath(&self) -> &Client;
}

impl Face for Client {
    fn beneath(&self) -> &Client {
        self
    }
}

#[cfg(feature = "blocking")]
impl Face for ca_client::blocking::Client {
    fn beneath(&self) -> &Client {
        self.as_async()
    }
}

/// What an operation does, with its options: what is inside of an [`Op`].
pub trait Work: Send + Unpin {
    /// What comes out.
    type Output: Send;

    /// Does it.
    #[doc(hidden)]
    fn run(self, client: &Client) -> impl Future<Output = Self::Output> + Send;
}

/// An operation with its options. On an async [`Client`] it is a future; on a blocking one it is
/// called with `call()`. Nothing happens before that.
///
/// # Cancel safety
/// As the method says that made it; for all of them: what was not sent when it is dropped is not sent
/// any more, and nothing is left of it in the client.
#[must_use = "nothing is done before it is awaited or called"]
pub struct Op<'a, C, W: Work> {
    face: &'a C,
    work: Option<W>,
    running: Option<Pin<Box<dyn Future<Output = W::Output> + Send + 'a>>>,
}

impl<'a, C, W: Work> Op<'a, C, W> {
    pub(crate) const fn new(face: &'a C, work: W) -> Self {
        Self {
            face,
            work: Some(work),
            running: None,
        }
    }

    /// Sets an option.
    pub(crate) fn set(mut self, set: impl FnOnce(&mut W)) -> Self {
        if let Some(work) = &mut self.work {
            set(work);
        }
        self
    }
}

impl<C, W: Work> fmt::Debug for Op<'_, C, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let begun = self.running.is_some();
        let mut op = f.debug_struct("Op");
        op.field("begun", &begun).finish_non_exhaustive()
    }
}

impl<'a, W: Work + 'a> Future for Op<'a, Client, W> {
    type Output = W::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<W::Output> {
        let this = self.get_mut();
        if let Some(work) = this.work.take() {
            this.running = Some(Box::pin(work.run(this.face)));
        }
        match &mut this.running {
            Some(running) => running.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

#[cfg(feature = "blocking")]
impl<W: Work> Op<'_, ca_client::blocking::Client, W> {
    /// Does it and waits for its end.
    ///
    /// # Panics
    /// Never: an operation that was not called holds its work.
    pub fn call(mut self) -> W::Output {
        let work = self.work.take().expect("it is taken here only");
        self.face.block_on(work.run(self.face.as_async()))
    }
}

/// What comes one after another. On an async [`Client`] it is a [`Stream`] with
/// [`next`](Feed::next); on a blocking one an iterator that waits.
///
/// # Cancel safety
/// Safe: an item that was not taken comes with the next call.
pub struct Feed<'a, C, T> {
    #[cfg_attr(not(feature = "blocking"), expect(dead_code))]
    face: &'a C,
    items: BoxStream<'a, T>,
}

impl<'a, C, T> Feed<'a, C, T> {
    pub(crate) fn new(face: &'a C, items: impl Stream<Item = T> + Send + 'a) -> Self {
        Self {
            face,
            items: items.fuse().boxed(),
        }
    }
}

impl<C, T> fmt::Debug for Feed<'_, C, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").finish_non_exhaustive()
    }
}

impl<T> Feed<'_, Client, T> {
    /// Waits for the next item; `None` at the end.
    ///
    /// # Cancel safety
    /// Safe: no item is lost.
    pub async fn next(&mut self) -> Option<T> {
        self.items.next().await
    }
}

impl<T> Stream for Feed<'_, Client, T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Option<T>> {
        self.items.as_mut().poll_next(cx)
    }
}

#[cfg(feature = "blocking")]
impl<T> Iterator for Feed<'_, ca_client::blocking::Client, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.face.block_on(self.items.next())
    }
}

#[cfg(feature = "blocking")]
impl<T> Feed<'_, ca_client::blocking::Client, T> {
    /// Waits for the next item, at most this long; `None` when the time is up, and at the end.
    pub fn next_timeout(&mut self, timeout: Duration) -> Option<T> {
        let client = self.face.as_async();
        let next = clock::by(client, clock::after(client, timeout), self.items.next());
        self.face.block_on(next).flatten()
    }
}

/// What a program wants to be told of while an operation goes on.
///
/// The lock is never taken: it makes a reference to an operation something that another thread may have.
pub(crate) struct Hook<T>(Option<Mutex<Tell<T>>>);

type Tell<T> = Box<dyn FnMut(T) + Send>;

impl<T> Hook<T> {
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn new(tell: impl FnMut(T) + Send + 'static) -> Self {
        Self(Some(Mutex::new(Box::new(tell))))
    }

    /// Tells it, which is made only if somebody listens.
    pub(crate) fn tell(&mut self, what: impl FnOnce() -> T) {
        if let Some(tell) = &mut self.0 {
            let tell = tell.get_mut().unwrap_or_else(PoisonError::into_inner);
            tell(what());
        }
    }
}

impl<T> fmt::Debug for Hook<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hook").field(&self.0.is_some()).finish()
    }
}

/// A PV of an operation, which may live longer than what named it.
#[derive(Clone, Debug)]
pub(crate) enum Named {
    Channel(Channel),
    Name(Vec<u8>),
}

impl Named {
    pub(crate) fn new<'p>(pv: impl Into<Pv<'p>>) -> Self {
        match pv.into() {
            Pv::Channel(channel) => Self::Channel(channel.clone()),
            Pv::Name(name) => Self::Name(name.into_owned()),
        }
    }

    /// The channel, or a new one that is closed with its last handle.
    pub(crate) fn open(&self, client: &Client) -> Result<Channel, ConnectError> {
        match self {
            Self::Channel(channel) => Ok(channel.clone()),
            Self::Name(name) => client.open(name),
        }
    }
}
