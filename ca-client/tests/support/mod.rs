//! A small server on the server core, on loopback with ports of the system's choice.
#![allow(dead_code, unreachable_pub, missing_debug_implementations)] // Not every test file uses all of it.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use ca_client::{AccessRights, Client, EcaStatus, Value};
use ca_net::{
    Budget, Received, Runtime, StreamIo, StreamOptions, TaskHandle, TokioRuntime, UdpIo, UdpOptions,
};
use ca_proto::config::ServerParams;
use ca_proto::dbr::{Acknowledge, EnumStates, Metadata, PutValue, Snapshot, Units, convert};
use ca_proto::ids::{CircuitId, Slots};
use ca_proto::server::{
    ChannelInfo, Circuit, Database, Endpoint, Identity, Put, PutOutcome, PutTicket, PvId,
    Subscriber,
};
use ca_proto::wire::message::EventMask;
use ca_proto::{Alarm, Instant, Timestamp};
use tokio::sync::watch;
use tokio::time::timeout;

/// For what comes at once, except on a machine that is busy with much else.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Pv {
    pub name: &'static str,
    pub snapshot: Snapshot,
    pub rights: AccessRights,
    /// Puts with completion stay pending.
    pub slow: bool,
    subscribers: Vec<Subscriber>,
}

impl Pv {
    pub fn new(name: &'static str, value: impl Into<Value>) -> Self {
        Self {
            name,
            snapshot: Snapshot {
                value: value.into(),
                alarm: Alarm::default(),
                stamp: Timestamp {
                    secs: 1_000_000_000,
                    nanos: 123_456_789,
                },
                ack: Acknowledge::default(),
                meta: Metadata::none(),
            },
            rights: AccessRights::ALL,
            slow: false,
            subscribers: Vec::new(),
        }
    }
}

/// PVs of many kinds.
pub fn pvs() -> Vec<Pv> {
    let mut state = Pv::new("t:state", ca_client::EnumIndex(1));
    state.snapshot.meta = Arc::new(Metadata {
        states: EnumStates::new(["Off", "On", "Auto"]),
        ..Metadata::default()
    });
    let mut analog = Pv::new("t:analog", 1.5);
    analog.snapshot.meta = Arc::new(Metadata {
        units: Units::new("mm"),
        precision: 3,
        ..Metadata::default()
    });
    let mut fixed = Pv::new("t:fixed", 7);
    fixed.rights = AccessRights::READ;
    let mut slow = Pv::new("t:slow", 0.0);
    slow.slow = true;
    let large: Vec<f64> = (0..1_000_000).map(f64::from).collect();
    vec![
        analog,
        state,
        fixed,
        slow,
        Pv::new("t:text", "hello"),
        Pv::new("t:wave", [1.0, 2.0, 3.0, 4.0, 5.0]),
        Pv::new("t:large", large),
    ]
}

#[derive(Default)]
struct Db {
    pvs: Vec<Pv>,
    pending: Vec<PutTicket>,
    changed: Vec<usize>,
    searches: usize,
}

impl Database for Db {
    fn serves(&self, name: &[u8]) -> bool {
        self.pvs.iter().any(|pv| pv.name.as_bytes() == name)
    }
    fn open(&mut self, name: &[u8]) -> Option<PvId> {
        let at = self.pvs.iter().position(|pv| pv.name.as_bytes() == name)?;
        Some(PvId(at as u32))
    }
    fn close(&mut self, _pv: PvId) {}
    fn info(&self, pv: PvId) -> ChannelInfo {
        let value = &self.pvs[pv.0 as usize].snapshot.value;
        ChannelInfo {
            native: value.native(),
            count: value.count(),
        }
    }
    fn rights(&self, pv: PvId, _who: &Identity) -> AccessRights {
        self.pvs[pv.0 as usize].rights
    }
    fn read(&self, pv: PvId) -> std::borrow::Cow<'_, Snapshot> {
        std::borrow::Cow::Borrowed(&self.pvs[pv.0 as usize].snapshot)
    }
    fn put(&mut self, _now: Instant, put: Put<'_>) -> PutOutcome {
        let pv = &mut self.pvs[put.pv.0 as usize];
        let PutValue::Value(value) = put.value else {
            return PutOutcome::Done(EcaStatus::NORMAL);
        };
        match convert::write(value, pv.snapshot.value.native(), &pv.snapshot.meta) {
            Ok(value) => pv.snapshot.value = value,
            Err(_) => return PutOutcome::Done(EcaStatus::PUTFAIL),
        }
        self.changed.push(put.pv.0 as usize);
        match put.notify {
            Some(ticket) if pv.slow => {
                self.pending.push(ticket);
                PutOutcome::Pending
            }
            _ => PutOutcome::Done(EcaStatus::NORMAL),
        }
    }
    fn subscribe(&mut self, pv: PvId, who: Subscriber, _mask: EventMask) {
        self.pvs[pv.0 as usize].subscribers.push(who);
    }
    fn unsubscribe(&mut self, pv: PvId, who: Subscriber) {
        self.pvs[pv.0 as usize].subscribers.retain(|s| *s != who);
    }
}

struct Inner {
    db: Db,
    circuits: Slots<CircuitId, (Circuit, Option<Waker>)>,
    endpoint: Endpoint,
    stopped: bool,
    /// Told when something was received or a circuit ended.
    moved: watch::Sender<()>,
}

impl Inner {
    /// Gives the subscribers of changed PVs their values and wakes their circuits.
    fn post_changes(&mut self) {
        for at in std::mem::take(&mut self.db.changed) {
            let pv = &self.db.pvs[at];
            for who in &pv.subscribers {
                if let Some((circuit, _)) = self.circuits.get_mut(who.circuit) {
                    circuit.post(who.key, &pv.snapshot);
                }
            }
        }
        for (_, (_, waker)) in self.circuits.iter_mut() {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
        self.moved.send_replace(());
    }
}

/// A running server.
pub struct Server {
    inner: Arc<Mutex<Inner>>,
    runtime: Arc<TokioRuntime>,
    pub udp: SocketAddrV4,
    pub tcp: SocketAddrV4,
    tasks: Vec<TaskHandle>,
}

const LOOPBACK: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);

impl Server {
    pub fn start(pvs: Vec<Pv>) -> Self {
        Self::start_on(pvs, LOOPBACK)
    }

    /// Starts on a given UDP address, to come back where an earlier server was.
    pub fn start_on(pvs: Vec<Pv>, udp: SocketAddrV4) -> Self {
        Self::start_lying(pvs, udp, None)
    }

    /// Starts and announces another TCP port than it has.
    pub fn start_lying(pvs: Vec<Pv>, udp: SocketAddrV4, announced: Option<u16>) -> Self {
        let runtime = Arc::new(TokioRuntime::current().unwrap());
        let mut listener = runtime.listen(LOOPBACK, &StreamOptions::default()).unwrap();
        let tcp = listener.local_addr().unwrap();
        let options = UdpOptions {
            address: udp,
            ..UdpOptions::default()
        };
        let mut socket = UdpIo::new(runtime.bind_udp(&options).unwrap());
        let udp = socket.local_addr().unwrap();
        let params = Arc::new(ServerParams::default());
        let endpoint = Endpoint::new(
            params.clone(),
            announced.unwrap_or_else(|| tcp.port()),
            runtime.now(),
        );
        let inner = Arc::new(Mutex::new(Inner {
            db: Db {
                pvs,
                ..Db::default()
            },
            circuits: Slots::new(),
            endpoint,
            stopped: false,
            moved: watch::Sender::default(),
        }));
        let mut tasks = Vec::new();
        let (shared, rt) = (inner.clone(), runtime.clone());
        tasks.push(runtime.spawn(Box::pin(async move {
            loop {
                poll_fn(|cx| {
                    let mut budget = Budget::default();
                    let more = socket.poll_recv(cx, &mut budget, |from, data| {
                        let mut inner = shared.lock().unwrap();
                        let Inner { db, endpoint, .. } = &mut *inner;
                        db.searches += 1;
                        endpoint.handle_datagram(rt.now(), from, data, db);
                    });
                    let load = |data: &mut Vec<u8>, to: &mut Vec<SocketAddrV4>| {
                        let mut inner = shared.lock().unwrap();
                        let destination = inner.endpoint.poll_transmit(rt.now(), data);
                        to.extend(destination);
                        destination.is_some()
                    };
                    let _ = socket.poll_send(cx, load, |_| {});
                    more
                })
                .await;
            }
        })));
        let (shared, rt) = (inner.clone(), runtime.clone());
        tasks.push(runtime.spawn(Box::pin(async move {
            loop {
                let Ok((stream, peer)) = poll_fn(|cx| listener.poll_accept(cx)).await else {
                    return;
                };
                let mut inner = shared.lock().unwrap();
                let new = |id| (Circuit::new(params.clone(), id, peer, rt.now()), None);
                let id = inner.circuits.insert_with(new).ok().unwrap();
                let limits = inner.circuits.get(id).unwrap().0.limits();
                let io = StreamIo::new(stream, limits);
                rt.spawn(Box::pin(serve(shared.clone(), rt.clone(), id, io)));
            }
        })));
        Self {
            inner,
            runtime,
            udp,
            tcp,
            tasks,
        }
    }

    /// A client that searches here only.
    pub fn client(&self) -> Client {
        let builder = Client::builder().isolated([self.udp]);
        builder.timeout(PATIENCE).build().unwrap()
    }

    /// Changes a PV and posts it.
    pub fn post(&self, name: &str, value: impl Into<Value>) {
        let mut inner = self.inner.lock().unwrap();
        let at = inner.db.pvs.iter().position(|pv| pv.name == name).unwrap();
        inner.db.pvs[at].snapshot.value = value.into();
        inner.db.changed.push(at);
        inner.post_changes();
    }

    /// Changes what everybody may do with a PV.
    pub fn set_rights(&self, name: &str, rights: AccessRights) {
        let mut inner = self.inner.lock().unwrap();
        let at = inner.db.pvs.iter().position(|pv| pv.name == name).unwrap();
        inner.db.pvs[at].rights = rights;
        let Inner { db, circuits, .. } = &mut *inner;
        for (_, (circuit, _)) in circuits.iter_mut() {
            circuit.rights_changed(self.runtime.now(), db);
        }
        inner.post_changes();
    }

    /// Completes the put-notifies that wait.
    pub fn complete_puts(&self, status: EcaStatus) -> usize {
        let mut inner = self.inner.lock().unwrap();
        let tickets = std::mem::take(&mut inner.db.pending);
        let Inner { db, circuits, .. } = &mut *inner;
        for ticket in &tickets {
            if let Some((circuit, _)) = circuits.get_mut(ticket.circuit) {
                circuit.complete_put(self.runtime.now(), ticket.id, status, db);
            }
        }
        inner.post_changes();
        tickets.len()
    }

    pub fn value(&self, name: &str) -> Value {
        let inner = self.inner.lock().unwrap();
        let pv = inner.db.pvs.iter().find(|pv| pv.name == name);
        pv.unwrap().snapshot.value.clone()
    }

    /// Circuits, channels and subscriptions at this moment.
    pub fn counts(&self) -> (usize, usize, usize) {
        let inner = self.inner.lock().unwrap();
        let all = inner.circuits.iter().map(|(_, (c, _))| c);
        all.fold((0, 0, 0), |(n, channels, subs), c| {
            (
                n + 1,
                channels + c.channel_count(),
                subs + c.subscription_count(),
            )
        })
    }

    /// Waits until a condition holds, or for too long.
    async fn until(&self, mut condition: impl FnMut() -> bool) {
        let mut moved = self.inner.lock().unwrap().moved.subscribe();
        let holds = async {
            while !condition() {
                moved.changed().await.unwrap();
            }
        };
        // Who waited for it says what is instead.
        let _ = timeout(PATIENCE, holds).await;
    }

    /// Waits until the counts are these.
    pub async fn reaches(&self, counts: (usize, usize, usize)) {
        self.until(|| self.counts() == counts).await;
        assert_eq!(self.counts(), counts);
    }

    /// Waits until a put-notify waits for its completion.
    pub async fn has_a_put(&self) {
        let waits = || !self.inner.lock().unwrap().db.pending.is_empty();
        self.until(waits).await;
        assert!(waits());
    }

    /// Ends everything as if the process was killed.
    pub async fn stop(mut self) {
        {
            let mut inner = self.inner.lock().unwrap();
            inner.stopped = true;
            inner.post_changes();
        }
        for task in self.tasks.drain(..) {
            task.abort();
            task.await;
        }
        self.reaches((0, 0, 0)).await;
    }
}

async fn serve(
    shared: Arc<Mutex<Inner>>,
    runtime: Arc<TokioRuntime>,
    id: CircuitId,
    mut io: StreamIo,
) {
    poll_fn(|cx| {
        let mut budget = Budget::default();
        loop {
            let read = io.poll_read_chunk(cx, |deframer, chunk, _| {
                let mut inner = shared.lock().unwrap();
                let Inner { db, circuits, .. } = &mut *inner;
                let (circuit, _) = circuits.get_mut(id).unwrap();
                let mut frames = deframer.frames(chunk);
                let mut alive = true;
                while let Some(frame) = frames.next() {
                    alive &= circuit.handle_frame(runtime.now(), &frame, db).is_ok();
                    frames.set_limits(circuit.limits());
                }
                inner.post_changes();
                alive
            });
            let (progress, exhausted) = match read {
                Poll::Ready(Ok(Received::Chunk {
                    result: true,
                    bytes,
                })) => (true, !budget.spend(bytes)),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => (false, false),
            };
            let filled = {
                let mut inner = shared.lock().unwrap();
                if inner.stopped {
                    return Poll::Ready(());
                }
                let Inner { db, circuits, .. } = &mut *inner;
                let (circuit, waker) = circuits.get_mut(id).unwrap();
                *waker = Some(cx.waker().clone());
                io.swap_in(circuit.transmit(db))
            };
            let mut sent = 0;
            if let Poll::Ready(Err(_)) = io.poll_flush(cx, &mut sent) {
                return Poll::Ready(());
            }
            if exhausted {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let wrote = filled && sent > 0;
            if !progress && !wrote {
                return Poll::Pending;
            }
        }
    })
    .await;
    let mut inner = shared.lock().unwrap();
    let Inner { db, circuits, .. } = &mut *inner;
    if let Some((mut circuit, _)) = circuits.remove(id) {
        circuit.close(db);
    }
    inner.moved.send_replace(());
}
