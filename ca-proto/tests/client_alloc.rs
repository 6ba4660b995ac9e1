//! The bulk of the traffic costs no allocation once the buffers have their size.

#[path = "client_core/rig.rs"]
mod rig;

use ca_proto::client::{Deliver, Lifecycle, More, ReadSpec, Reply, Token, Update};
use ca_proto::dbr::Value;
use ca_proto::ids::Ioid;
use ca_proto::wire::{Deframer, SendQueue, tcp};

use rig::{DOUBLE, Rig, at, created, read_reply, time_doubles, update};

#[derive(Default)]
struct Count {
    updates: u32,
    replies: u32,
}

impl Deliver for Count {
    fn update(&mut self, _: Token, _: Update<'_>) {
        self.updates += 1;
    }
    fn reply(&mut self, _: Token, _: Reply<'_>) {
        self.replies += 1;
    }
    fn lifecycle(&mut self, _: Token, _: Lifecycle) {}
}

#[test]
fn updates_reads_and_writes_allocate_nothing_after_warm_up() {
    let mut rig = Rig::new();
    let (cid, c) = rig.circuit("X", rig::SERVER);
    rig.feed(c, &created(cid, 1));
    let subid = rig.subscribe(cid, 1);
    rig.bytes(c);
    let client = &mut rig.client;
    let mut deframer = Deframer::new(client.limits(c));
    let mut updates = vec![];
    for _ in 0..50 {
        update(subid).encode_into(&mut updates);
    }
    let value = Value::from(1.0);
    let spec = ReadSpec {
        ty: time_doubles(1).ty,
        count: 1,
    };
    let mut out = Count::default();
    let mut queue = SendQueue::new();
    let mut chunk = Vec::with_capacity(4_096);
    let mut now = 0;
    let mut round = |out: &mut Count| {
        now += 1;
        let deadline = Some(at(now + 5_000));
        let mut ids = [Ioid(0); 20];
        for (n, id) in ids.iter_mut().enumerate() {
            let token = Token(n as u64);
            *id = if n % 2 == 0 {
                client.read(at(now), cid, spec, token, deadline).unwrap()
            } else {
                client
                    .write_notify(at(now), cid, DOUBLE, &value, token, deadline)
                    .unwrap()
            };
            client.write(at(now), cid, DOUBLE, &value).unwrap();
        }
        assert_eq!(client.poll_woken(), Some(c));
        std::mem::swap(client.transmit(at(now), c).unwrap(), &mut queue);
        let sent = queue.len();
        queue.advance(sent);
        client.handle_sent(at(now), c, sent);
        // Cut in the middle of a message.
        let (head, tail) = updates.split_at(1_001);
        for part in [head, tail] {
            client
                .handle_chunk(at(now), c, &mut deframer, part, More::Drained, out)
                .unwrap();
        }
        chunk.clear();
        for (n, &ioid) in ids.iter().enumerate() {
            if n % 2 == 0 {
                read_reply(ioid).encode_into(&mut chunk);
            } else {
                let written = tcp::Response::WriteNotify {
                    ty: DOUBLE,
                    count: 1,
                    status: ca_proto::EcaStatus::NORMAL,
                    ioid,
                };
                written.encode_into(&mut chunk);
            }
        }
        client
            .handle_chunk(at(now), c, &mut deframer, &chunk, More::Drained, out)
            .unwrap();
        client.handle_timeout(at(now), out);
        client.poll_timeout().unwrap();
    };
    for _ in 0..10 {
        round(&mut out);
    }
    let info = allocation_counter::measure(|| {
        for _ in 0..1_000 {
            round(&mut out);
        }
    });
    assert_eq!(info.count_total, 0);
    assert_eq!((out.updates, out.replies), (50_500, 20_200));
}

/// Tables grow with what is open and give their entries back.
#[test]
fn ten_thousand_lives_of_a_channel_leave_nothing_behind() {
    let mut rig = Rig::new();
    let life = |rig: &mut Rig| {
        let (cid, c) = rig.circuit("X", rig::SERVER);
        rig.subscribe(cid, 1);
        rig.feed(c, &created(cid, 1));
        let ioid = rig.read(cid, 2);
        rig.client.cancel(ioid);
        rig.closed(c, ca_proto::client::CloseReason::Reset);
        rig.found(cid, rig::SERVER);
        let d = rig.dialled();
        rig.connected(d);
        rig.feed(d, &created(cid, 1));
        rig.client.close_channel(rig.now, cid);
        rig.actions();
        rig.closed(d, ca_proto::client::CloseReason::Hangup);
        while rig.client.poll_woken().is_some() {}
        rig.events();
        rig.heard();
        rig.forget(c);
        rig.forget(d);
    };
    // Identifiers of 4096 cancelled operations stay reserved.
    for _ in 0..9_000 {
        life(&mut rig);
    }
    let info = allocation_counter::measure(|| {
        for _ in 0..10_000 {
            life(&mut rig);
        }
    });
    assert!(info.bytes_current.abs() < 1_024, "{info:?}");
    assert_eq!(rig.client.channel_count(), 0);
}
