//! The task of a client: searches, beacons, and all deadlines.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use ca_net::{Budget, RepeaterDriver, RepeaterStart, Timer, UdpIo, WakerList};
use ca_proto::Instant;
use ca_proto::addr_list::multicast_groups;
use ca_proto::client::Destination;

use crate::circuit_task;
use crate::refresh::Refresh;
use crate::shared::Shared;

/// One poll loop: receive, handle what is due, start circuits, send, arm the timer.
#[derive(Debug)]
pub(crate) struct Endpoint {
    shared: Arc<Shared>,
    udp: UdpIo,
    timer: Box<dyn Timer>,
    wakers: WakerList,
    repeater: OwnRepeater,
    refresh: Option<Refresh>,
    /// Something was searched at the last look.
    searching: bool,
}

/// The repeater within this process, for the case that no other runs on this host.
#[derive(Debug, Default)]
struct OwnRepeater {
    driver: Option<Box<RepeaterDriver>>,
    /// Its failure was logged.
    told: bool,
}

impl OwnRepeater {
    /// Starts it unless there is one. Called before each registration, so that it takes the place
    /// of one that ended.
    fn ensure(&mut self, shared: &Shared, port: u16) {
        if self.driver.is_some() || !shared.config.own_repeater() {
            return;
        }
        // Broadcast beacons only reach the unspecified address; who stays on loopback needs none.
        let ip = if shared.local.is_loopback() {
            shared.local
        } else {
            Ipv4Addr::UNSPECIFIED
        };
        let address = SocketAddrV4::new(ip, port);
        let groups = multicast_groups(&shared.config.params().search_addrs);
        match RepeaterDriver::start(shared.runtime.clone(), address, &groups) {
            Ok(RepeaterStart::Started(driver)) => {
                tracing::debug!("no repeater runs on this host, started one on {address}");
                self.driver = Some(driver);
            }
            Ok(RepeaterStart::AlreadyRunning) => {}
            Err(error) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!("cannot start a repeater on {address}: {error}");
                }
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver {
            // It never ends.
            let _ = Pin::new(&mut **driver).poll(cx);
        }
    }
}

impl Endpoint {
    pub(crate) fn new(shared: Arc<Shared>, udp: UdpIo) -> Self {
        let now = shared.with(|state, now, _| {
            state.task_started();
            now
        });
        Self {
            searching: false,
            refresh: Refresh::new(now, shared.config.source()),
            timer: shared.runtime.lasting_timer(),
            shared,
            udp,
            wakers: WakerList::new(),
            repeater: OwnRepeater::default(),
        }
    }

    fn receive(&mut self, cx: &mut Context<'_>, budget: &mut Budget) -> Poll<()> {
        let (shared, wakers) = (&self.shared, &mut self.wakers);
        self.udp.poll_recv(cx, budget, |from, data| {
            shared.with_list(wakers, |state, now, wakers| {
                let (core, mut sink) = state.split(wakers);
                core.handle_datagram(now, from, data, &mut sink);
            });
        })
    }

    fn send(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (shared, wakers) = (&self.shared, &mut self.wakers);
        let repeater = &mut self.repeater;
        let load = |data: &mut Vec<u8>, to: &mut Vec<_>| {
            let destination = shared.with_list(wakers, |state, now, _| {
                let destination = state.core.poll_transmit(now, data);
                if destination == Some(Destination::Search) {
                    to.extend_from_slice(state.core.search_addrs());
                }
                destination
            });
            match destination {
                Some(Destination::Search) => {}
                // Nothing but registrations goes to a single address.
                Some(Destination::To(address)) => {
                    repeater.ensure(shared, address.port());
                    to.push(address);
                }
                None => return false,
            }
            true
        };
        self.udp.poll_send(cx, load, |failure| {
            tracing::warn!("cannot send UDP to {}: {}", failure.to, failure.error);
        })
    }

    /// Looks whether the destinations of searches have changed, while anything is searched; when to look again.
    fn refresh(&mut self, waker: &Waker) -> Option<Instant> {
        let refresh = self.refresh.as_mut()?;
        if !self.searching {
            return None;
        }
        let shared = &self.shared;
        let (now, runtime) = (shared.runtime.now(), &*shared.runtime);
        if let Some(changes) = refresh.poll(now, runtime, waker) {
            shared.with_list(&mut self.wakers, |state, now, _| {
                if let Some(list) = changes.search_addrs {
                    state.core.set_search_addrs(now, list);
                }
                if let Some(list) = changes.name_servers {
                    state.core.set_name_servers(now, &list);
                }
            });
        }
        Some(refresh.due())
    }

    /// Handles what is due and starts circuits; true when everything has ended.
    fn advance(&mut self) -> bool {
        let (dials, done, searching) =
            self.shared
                .with_list(&mut self.wakers, |state, now, wakers| {
                    state.handle_timeouts(now, wakers);
                    let searching = state.core.is_searching();
                    (state.take_dials(), state.endpoint_is_done(), searching)
                });
        self.searching = searching;
        for (id, address) in dials {
            let task = circuit_task::run(self.shared.clone(), id, address);
            self.shared.runtime.spawn(Box::pin(task));
        }
        done
    }
}

impl Future for Endpoint {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let mut budget = Budget::default();
        loop {
            let exhausted = this.receive(cx, &mut budget).is_ready();
            if this.advance() {
                return Poll::Ready(());
            }
            let refresh = this.refresh(cx.waker());
            // A full socket wakes the task when it has room.
            let _ = this.send(cx);
            this.repeater.poll(cx);
            if exhausted || !budget.spend(0) {
                this.shared.runtime.yield_now(cx);
                return Poll::Pending;
            }
            let next = (this.shared).with_list(&mut this.wakers, |state, _, _| {
                state.park_endpoint(cx.waker())
            });
            // What has become due since the last look is looked at again at once. This does not spin
            // while the socket is full: handling a deadline moves it, also that of a search.
            this.timer.reset(next.into_iter().chain(refresh).min());
            if this.timer.poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        // The port is free when the client is closed.
        self.repeater = OwnRepeater::default();
        self.shared.with(|state, now, wakers| {
            // Also when the runtime goes away first: nobody shall wait for ever.
            state.close(now, wakers);
            state.task_ended(wakers);
        });
    }
}
