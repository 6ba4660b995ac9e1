//! The task that accepts circuits.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use ca_net::{Budget, ByteStream, Listener, Timer};

use super::circuit_task;
use super::shared::Shared;

/// Pause after an error that is none of a single connection, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) async fn run(shared: Arc<Shared>, listeners: Vec<Box<dyn Listener>>) {
    let timer = shared.runtime().timer();
    let mut task = AcceptTask {
        shared,
        listeners,
        timer,
        pausing: false,
    };
    poll_fn(|cx| task.poll(cx)).await
}

struct AcceptTask {
    shared: Arc<Shared>,
    listeners: Vec<Box<dyn Listener>>,
    timer: Box<dyn Timer>,
    pausing: bool,
}

impl AcceptTask {
    /// Never ready: the task ends by being aborted.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.pausing {
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pausing = false;
        }
        let mut budget = Budget::default();
        for listener in &mut self.listeners {
            while let Poll::Ready(accepted) = listener.poll_accept(cx) {
                match accepted {
                    Ok((stream, peer)) => serve(cx, &self.shared, stream, peer),
                    Err(_) => {
                        self.pausing = true;
                        self.timer.reset(Some(self.shared.runtime().now() + PAUSE));
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                if !budget.spend(0) {
                    self.shared.runtime().yield_now(cx);
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }
}

/// Starts the task of a circuit. One that is too many is told so, and closed by dropping it.
fn serve(
    cx: &mut Context<'_>,
    shared: &Arc<Shared>,
    mut stream: Box<dyn ByteStream>,
    peer: SocketAddrV4,
) {
    let accepted = shared.with(|ioc, now| match ioc.accept(now, peer) {
        Some(id) => Ok((id, ioc.limits(id))),
        None => Err(ioc.refusal(peer)),
    });
    let (id, limits) = match accepted {
        Ok(accepted) => accepted,
        Err(refusal) => {
            // Nobody waits for it: the buffer of a fresh connection takes so little at once.
            let _ = stream.poll_write_vectored(cx, &[IoSlice::new(&refusal)]);
            return;
        }
    };
    let place = shared.adopt(id, *peer.ip());
    let task = circuit_task::run(Arc::clone(shared), (id, peer), place, stream, limits);
    let handle = shared.runtime().spawn(Box::pin(task));
    shared.keep(id, handle);
}
