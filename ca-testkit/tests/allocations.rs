//! Allocations on the hot paths, counted.

use core::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use allocation_counter::measure;
use ca_proto::access::AccessRights;
use ca_proto::client::{
    Action, Client, CloseReason, Deliver, Destination, Lifecycle, More, ReadSpec, Reply, SubSpec,
    Token, TypeSpec, Update,
};
use ca_proto::config::{ClientParams, ServerParams};
use ca_proto::dbr::{Acknowledge, DbrType, Family, Metadata, NativeType, Snapshot, Value};
use ca_proto::ids::{Cid, CircuitId, Sid, SubId};
use ca_proto::server::{
    ChannelInfo, Circuit, Database, Identity, Put, PutOutcome, PvId, Subscriber,
};
use ca_proto::wire::message::{Data, EventMask, Port, SAME_ADDRESS, Text};
use ca_proto::wire::{Deframer, Minor, PvName, tcp, udp};
use ca_proto::{Alarm, EcaStatus, Instant, Timestamp};
use ca_server_sim::{Ioc, PvSpec};

const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 50_000);
const NOW: Instant = Instant::ZERO;
const UPDATES: u32 = 100_000;

/// As many scalar PVs as anybody asks for, all with one value.
struct OneValue {
    snapshot: Snapshot,
    opened: u32,
    subscribers: Vec<Subscriber>,
}

impl OneValue {
    fn new() -> Self {
        Self {
            snapshot: Snapshot {
                value: Value::scalar(0.0),
                alarm: Alarm::default(),
                stamp: Timestamp::default(),
                ack: Acknowledge::default(),
                meta: Metadata::none(),
            },
            opened: 0,
            subscribers: Vec::new(),
        }
    }
}

impl Database for OneValue {
    fn serves(&self, _: &[u8]) -> bool {
        true
    }
    fn open(&mut self, _: &[u8]) -> Option<PvId> {
        self.opened += 1;
        Some(PvId(self.opened))
    }
    fn close(&mut self, _: PvId) {}
    fn info(&self, _: PvId) -> ChannelInfo {
        ChannelInfo {
            native: NativeType::Double,
            count: 1,
        }
    }
    fn rights(&self, _: PvId, _: &Identity) -> AccessRights {
        AccessRights::ALL
    }
    fn read(&self, _: PvId) -> std::borrow::Cow<'_, Snapshot> {
        std::borrow::Cow::Borrowed(&self.snapshot)
    }
    fn put(&mut self, _: Instant, _: Put<'_>) -> PutOutcome {
        PutOutcome::Done(EcaStatus::NORMAL)
    }
    fn subscribe(&mut self, _: PvId, who: Subscriber, _: EventMask) {
        self.subscribers.push(who);
    }
    fn unsubscribe(&mut self, _: PvId, who: Subscriber) {
        self.subscribers.retain(|s| *s != who);
    }
}

/// A circuit with one channel per subscription, its first updates sent.
fn subscribed(db: &mut OneValue, subscriptions: u32) -> Circuit {
    let mut circuit = Circuit::new(Arc::new(ServerParams::default()), CircuitId(0), PEER, NOW);
    let mut requests = Vec::new();
    tcp::Request::Version {
        priority: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
    .encode_into(&mut requests);
    for n in 0..subscriptions {
        let name = format!("x{n}");
        tcp::Request::CreateChan {
            cid: Cid(n),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        }
        .encode_into(&mut requests);
    }
    feed(&mut circuit, db, &requests);
    let sids = created(&mut circuit, db);
    let mut requests = Vec::new();
    for (n, sid) in (0..).zip(sids) {
        tcp::Request::EventAdd {
            ty: DbrType::new(Family::Time, NativeType::Double),
            count: 1,
            sid,
            subid: SubId(n),
            mask: EventMask::VALUE,
        }
        .encode_into(&mut requests);
    }
    feed(&mut circuit, db, &requests);
    drain(&mut circuit, db);
    assert_eq!(db.subscribers.len(), subscriptions as usize);
    circuit
}

fn feed(circuit: &mut Circuit, db: &mut OneValue, bytes: &[u8]) {
    let mut deframer = Deframer::new(circuit.limits());
    let mut frames = deframer.frames(bytes);
    while let Some(frame) = frames.next() {
        circuit.handle_frame(NOW, &frame, db).unwrap();
        frames.set_limits(circuit.limits());
    }
}

fn created(circuit: &mut Circuit, db: &OneValue) -> Vec<Sid> {
    let mut sids = Vec::new();
    let limits = ca_proto::wire::FrameLimits {
        max_payload: u32::MAX,
        extended: true,
    };
    let mut deframer = Deframer::new(limits);
    let queue = circuit.transmit(db);
    let bytes = queue.to_vec();
    queue.clear();
    let mut frames = deframer.frames(&bytes);
    while let Some(frame) = frames.next() {
        if let Ok(tcp::Response::CreateChan { sid, .. }) = tcp::Response::parse(&frame.unwrap()) {
            sids.push(sid);
        }
    }
    sids
}

fn drain(circuit: &mut Circuit, db: &OneValue) -> usize {
    let mut total = 0;
    loop {
        let queue = circuit.transmit(db);
        let n = queue.len();
        if n == 0 {
            return total;
        }
        queue.advance(n);
        total += n;
    }
}

#[test]
fn a_scalar_update_allocates_nothing_in_the_server() {
    let mut db = OneValue::new();
    let mut circuit = subscribed(&mut db, 10);
    let keys: Vec<_> = db.subscribers.iter().map(|who| who.key).collect();
    let mut run = |updates: u32| {
        let mut bytes = 0;
        for n in 0..updates / 10 {
            db.snapshot.value = Value::scalar(f64::from(n));
            for key in &keys {
                circuit.post(*key, &db.snapshot);
            }
            if n % 4 == 0 {
                bytes += drain(&mut circuit, &db);
            }
        }
        bytes + drain(&mut circuit, &db)
    };
    run(1000);
    let mut bytes = 0;
    let info = measure(|| bytes = run(UPDATES));
    // 16 bytes of header and DBR_TIME_DOUBLE.
    assert_eq!(bytes, UPDATES as usize * 40);
    assert_eq!(info.count_total, 0, "{info:?}");
}

/// `db_queue_event_log` of EPICS Base: rings of 144 entries per 35 subscriptions, the last update replaced.
#[test]
fn a_reader_that_stops_costs_the_server_bounded_memory() {
    let mut db = OneValue::new();
    let mut circuit = subscribed(&mut db, 1000);
    let keys: Vec<_> = db.subscribers.iter().map(|who| who.key).collect();
    let mut run = |updates: u32| {
        for n in 0..updates {
            db.snapshot.value = Value::scalar(f64::from(n));
            for key in &keys {
                circuit.post(*key, &db.snapshot);
            }
            // The driver fetches output, but the socket takes nothing.
            let queued = circuit.transmit(&db).len();
            assert!(
                queued <= ServerParams::default().send_high_water + 40,
                "{queued}"
            );
        }
    };
    let first = measure(|| run(100));
    let later = measure(|| run(400));
    assert!(first.bytes_max < 2 << 20, "{first:?}");
    assert_eq!(later.count_total, 0, "{later:?}");
    // Every subscription still gets its last value.
    let mut last = vec![0.0; keys.len()];
    loop {
        let queue = circuit.transmit(&db);
        let bytes = queue.to_vec();
        queue.clear();
        if bytes.is_empty() {
            break;
        }
        for message in bytes.chunks_exact(40) {
            let subid = u32::from_be_bytes(message[12..16].try_into().unwrap());
            last[subid as usize] = f64::from_be_bytes(message[32..].try_into().unwrap());
        }
    }
    assert!(last.iter().all(|value| *value == 399.0), "{last:?}");
}

/// Counts updates and looks at their first element.
#[derive(Default)]
struct Count {
    updates: u32,
    sum: f64,
}

impl Deliver for Count {
    fn update(&mut self, _: Token, update: Update<'_>) {
        assert_eq!(update.status, EcaStatus::NORMAL);
        let value = &update.frame.payload()[16..24];
        self.sum += f64::from_be_bytes(value.try_into().unwrap());
        self.updates += 1;
    }
    fn reply(&mut self, _: Token, _: Reply<'_>) {}
    fn lifecycle(&mut self, _: Token, _: Lifecycle) {}
}

const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5064);

/// Answers the client's search for its one channel and makes the connection, from the time when the
/// client wants to be called next.
fn bring_up(client: &mut Client, cid: Cid, now: &mut Instant) -> (CircuitId, Deframer) {
    let out = &mut Count::default();
    let mut datagram = Vec::new();
    let mut searched = false;
    while !searched {
        *now = client.poll_timeout().unwrap();
        client.handle_timeout(*now, out);
        while let Some(to) = client.poll_transmit(*now, &mut datagram) {
            searched |= to == Destination::Search;
        }
    }
    let mut reply = Vec::new();
    udp::Response::Search {
        port: Port(5064),
        server: SAME_ADDRESS,
        cid,
        minor: Minor::CURRENT,
    }
    .encode_into(&mut reply);
    client.handle_datagram(*now, SERVER, &reply, out);
    let Some(Action::Dial { circuit, .. }) = client.poll_action() else {
        panic!("a found channel is dialled");
    };
    client.handle_connected(*now, circuit);
    let mut bytes = Vec::new();
    tcp::Response::Version {
        priority: 0,
        minor: Minor::CURRENT,
    }
    .encode_into(&mut bytes);
    tcp::Response::AccessRights { cid, rights: 3 }.encode_into(&mut bytes);
    tcp::Response::CreateChan {
        ty: DbrType(NativeType::Double as u16),
        count: 1,
        cid,
        sid: Sid(0),
    }
    .encode_into(&mut bytes);
    let mut deframer = Deframer::new(client.limits(circuit));
    client
        .handle_chunk(*now, circuit, &mut deframer, &bytes, More::Drained, out)
        .unwrap();
    while client.poll_woken().is_some() {}
    while client.poll_event().is_some() {}
    let queue = client.transmit(*now, circuit).unwrap();
    let sent = queue.len();
    queue.clear();
    client.handle_sent(*now, circuit, sent);
    (circuit, deframer)
}

/// A client with one connected channel and a subscription; the deframer of its circuit.
fn client() -> (Client, Cid, CircuitId, SubId, Deframer) {
    let params = ClientParams::default().search_addrs(vec![SERVER]);
    let mut client = Client::new(Arc::new(params), NOW);
    let cid = client
        .open_channel(NOW, PvName::new("x").unwrap(), 0)
        .unwrap();
    let mut now = NOW;
    let (circuit, deframer) = bring_up(&mut client, cid, &mut now);
    let spec = SubSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 0,
        mask: EventMask::VALUE,
    };
    let subid = client.subscribe(now, cid, spec, Token(1)).unwrap();
    (client, cid, circuit, subid, deframer)
}

#[test]
fn a_scalar_update_allocates_nothing_in_the_client() {
    let (mut client, _, circuit, subid, mut deframer) = client();
    let mut chunk = Vec::new();
    for n in 0..1000 {
        let mut data = [0; 24];
        data[16..].copy_from_slice(&f64::from(n).to_be_bytes());
        tcp::Response::EventAdd {
            ty: DbrType::new(Family::Time, NativeType::Double),
            count: 1,
            status: EcaStatus::NORMAL,
            subid,
            data: Data(&data),
        }
        .encode_into(&mut chunk);
    }
    let mut out = Count::default();
    let mut run = |times: u32| {
        for n in 0..times {
            let now = NOW + core::time::Duration::from_millis(u64::from(n));
            // Cut inside a message, as reads do.
            let (head, tail) = chunk.split_at(1234);
            for part in [head, tail] {
                client
                    .handle_chunk(now, circuit, &mut deframer, part, More::Drained, &mut out)
                    .unwrap();
            }
            while client.poll_woken().is_some() {}
            while client.poll_event().is_some() {}
            client.handle_timeout(now, &mut Count::default());
        }
    };
    run(2);
    let info = measure(|| run(UPDATES / 1000));
    assert_eq!(out.updates, UPDATES + 2000);
    assert_eq!(out.sum, 999.0 * 500.0 * 102.0);
    assert_eq!(info.count_total, 0, "{info:?}");
}

#[test]
fn ten_thousand_lost_circuits_leave_nothing_in_the_client() {
    let (mut client, cid, mut circuit, _, _) = client();
    let mut now = NOW;
    let mut run = |times| {
        for n in 0..times {
            let read = ReadSpec {
                ty: TypeSpec::Family(Family::Time),
                count: 0,
            };
            client.read(now, cid, read, Token(n), None).unwrap();
            let out = &mut Count::default();
            client.handle_closed(now, circuit, CloseReason::Reset, out);
            while client.poll_event().is_some() {}
            circuit = bring_up(&mut client, cid, &mut now).0;
        }
    };
    run(100);
    let info = measure(|| run(10_000));
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
}

#[test]
fn ten_thousand_clients_that_vanish_leave_nothing_in_the_ioc() {
    let mut ioc = Ioc::builder().pv("x", PvSpec::double(1.0)).build().unwrap();
    ioc.start(NOW, Timestamp::default(), 5064);
    let mut requests = Vec::new();
    tcp::Request::Version {
        priority: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
    .encode_into(&mut requests);
    tcp::Request::CreateChan {
        cid: Cid(1),
        minor: Minor::CURRENT,
        name: Text::new(b"x"),
    }
    .encode_into(&mut requests);
    tcp::Request::EventAdd {
        ty: DbrType::new(Family::Time, NativeType::Double),
        count: 1,
        sid: Sid(0),
        subid: SubId(1),
        mask: EventMask::VALUE,
    }
    .encode_into(&mut requests);
    let mut run = |times: u32| {
        for n in 0..times {
            let circuit = ioc.accept(NOW, PEER).unwrap();
            let mut deframer = Deframer::new(ioc.limits(circuit));
            ioc.handle_chunk(NOW, circuit, &mut deframer, &requests)
                .unwrap();
            while ioc.poll_woken().is_some() {}
            // The first update is among the output; the next one stays behind.
            assert!(ioc.transmit(circuit).is_some_and(|queue| queue.len() == 88));
            ioc.post(NOW, "x", f64::from(n)).unwrap();
            ioc.handle_closed(NOW, circuit);
            while ioc.poll_woken().is_some() {}
        }
    };
    run(100);
    let info = measure(|| run(10_000));
    assert_eq!((info.count_current, info.bytes_current), (0, 0), "{info:?}");
}

/// What is to run holds the queue no longer than the runtime does.
#[test]
fn a_runtime_that_is_dropped_with_tasks_to_run_leaves_nothing() {
    let story = || {
        let runtime = ca_testkit::runtime::SimRuntime::new(1);
        let host = runtime.host(Ipv4Addr::new(10, 0, 0, 1));
        let ioc = Ioc::builder().pv("x", PvSpec::double(0.0));
        let config = ca_server_sim::net::NetConfig::new().repeater(None);
        let ioc = ioc.build().expect("a valid PV");
        ca_server_sim::net::SimIoc::start_on(host, ioc, config).expect("a free port");
    };
    // What is made once and kept for the program.
    story();
    let left = measure(story);
    assert_eq!((left.count_current, left.bytes_current), (0, 0));
}
