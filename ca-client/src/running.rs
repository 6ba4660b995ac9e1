//! Futures that begin when their options are complete.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What an operation with options does once it is polled; nothing before.
pub(crate) struct Running<'a, T>(Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>);

impl<'a, T> Running<'a, T> {
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Goes on; what is to be done is made at the first time.
    pub(crate) fn poll<F: Future<Output = T> + Send + 'a>(
        &mut self,
        cx: &mut Context<'_>,
        make: impl FnOnce() -> F,
    ) -> Poll<T> {
        let running = self.0.get_or_insert_with(|| Box::pin(make()));
        running.as_mut().poll(cx)
    }
}

impl<T> fmt::Debug for Running<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "begun"
        } else {
            "not begun"
        })
    }
}
