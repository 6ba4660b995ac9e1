//! Waiting on the clock of the client, real or virtual.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use ca_client::{Client, Instant};

/// The client's clock.
pub(crate) fn now(client: &Client) -> Instant {
    client.runtime().now()
}

/// The moment after this time from now, or never if it is that far away.
pub(crate) fn after(client: &Client, time: Duration) -> Instant {
    now(client) + time
}

/// Waits until a moment. Cancel safe.
pub(crate) async fn sleep_until(client: &Client, at: Instant) {
    if at == Instant::MAX {
        return std::future::pending().await;
    }
    let mut timer = client.runtime().timer();
    timer.reset(Some(at));
    poll_fn(|cx| timer.poll(cx)).await;
}

/// Waits for a time.
pub(crate) async fn sleep(client: &Client, time: Duration) {
    if !time.is_zero() {
        sleep_until(client, after(client, time)).await;
    }
}

/// The output of a future, or `None` if it is not ready by a moment. What is ready at the moment itself
/// counts.
pub(crate) async fn by<F: Future>(client: &Client, at: Instant, future: F) -> Option<F::Output> {
    let (mut future, mut sleep) = (pin!(future), pin!(sleep_until(client, at)));
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => sleep.as_mut().poll(cx).map(|()| None),
    })
    .await
}

/// Time that is left until a moment.
pub(crate) fn left(client: &Client, until: Instant) -> Duration {
    until.saturating_duration_since(now(client))
}

/// The time-out of an operation, or else that of the client.
pub(crate) fn patience(client: &Client, own: Option<Duration>) -> Duration {
    own.unwrap_or_else(|| client.effective_config().timeout())
}
