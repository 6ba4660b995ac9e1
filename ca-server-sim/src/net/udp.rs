//! The task that answers searches, sends beacons, and keeps the time.

use std::future::poll_fn;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::task::{Context, Poll};

use ca_net::{Budget, Timer, UdpIo};

use super::shared::Shared;

pub(super) async fn run(shared: Arc<Shared>, sockets: Vec<(usize, UdpIo)>) {
    let timer = shared.runtime().lasting_timer();
    let mut task = UdpTask {
        shared,
        sockets,
        timer,
    };
    poll_fn(|cx| task.poll(cx)).await
}

struct UdpTask {
    shared: Arc<Shared>,
    sockets: Vec<(usize, UdpIo)>,
    timer: Box<dyn Timer>,
}

impl UdpTask {
    /// Never ready: the task ends by being aborted.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut budget = Budget::default();
        loop {
            let exhausted = self.receive(cx, &mut budget);
            // Clock, not timer, decides what is due.
            let deadline = self.shared.arm(cx.waker());
            self.send(cx);
            let busy = deadline.is_err();
            self.timer.reset(deadline.unwrap_or(None));
            if exhausted || busy {
                self.shared.runtime().yield_now(cx);
                return Poll::Pending;
            }
            if self.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Returns whether the budget is used up.
    fn receive(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> bool {
        let shared = &self.shared;
        let mut exhausted = false;
        for (interface, socket) in &mut self.sockets {
            let received = socket.poll_recv(cx, budget, |from: SocketAddrV4, data: &[u8]| {
                shared.with(|ioc, now| ioc.handle_datagram_on(*interface, now, from, data));
            });
            exhausted |= received.is_ready();
        }
        exhausted
    }

    /// Sends what the IOC has, each interface's datagrams from the first of its sockets.
    fn send(&mut self, cx: &mut Context<'_>) {
        let shared = &self.shared;
        let mut last = None;
        for (interface, socket) in &mut self.sockets {
            if last.replace(*interface) == Some(*interface) {
                continue;
            }
            // A socket that is full wakes the task when it has room.
            let _ = socket.poll_send(
                cx,
                |data, to| {
                    let next = shared.with(|ioc, now| ioc.poll_transmit_on(*interface, now, data));
                    to.extend(next);
                    next.is_some()
                },
                // Nobody listens there, or the network is down; both may pass.
                |_| {},
            );
        }
    }
}
