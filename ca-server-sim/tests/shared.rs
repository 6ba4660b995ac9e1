//! Large values that several subscribers want in the same form are made once for each update. What is
//! made is counted as units of work and as memory.

mod rig;

use std::time::Duration;

use allocation_counter::measure;
use ca_proto::config::ServerParams;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::wire::message::{EventMask, Text};
use ca_proto::wire::{Header, Minor, tcp};
use ca_server_sim::{Ioc, PvSpec};
use rig::{Client, Rig};

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
const STRING: DbrType = DbrType::new(Family::Plain, NativeType::String);
const LEN: u32 = 100_000;

fn rig(params: ServerParams) -> Rig {
    let wave = PvSpec::array(vec![5.0; LEN as usize]);
    Rig::new(Ioc::builder().pv("w", wave).params(params))
}

/// Hands in what an honest client asks, with as many turns as it takes.
fn ask(rig: &mut Rig, client: &mut Client, requests: &[tcp::Request<'_>]) {
    for request in requests {
        client.ask(rig, request);
    }
    take(rig, &[client.id]);
}

fn subscription(n: u32, sid: u32, ty: DbrType) -> tcp::Request<'static> {
    tcp::Request::EventAdd {
        ty,
        count: 0,
        sid: Sid(sid),
        subid: SubId(n),
        mask: EventMask::VALUE,
    }
}

fn channel(n: u32, name: &str) -> tcp::Request<'_> {
    tcp::Request::CreateChan {
        cid: Cid(n),
        minor: Minor::CURRENT,
        name: Text::new(name.as_bytes()),
    }
}

/// The identifier of a subscription, and the payload of its update.
type Update = (u32, Vec<u8>);

/// Takes what is sent on some circuits, one after the other; the updates, and the turns that they took.
fn take(rig: &mut Rig, circuits: &[ca_proto::ids::CircuitId]) -> (Vec<Update>, usize) {
    let (mut payloads, mut turns) = (Vec::new(), 0);
    loop {
        let mut sent = false;
        for &circuit in circuits {
            let queue = rig.ioc.transmit(circuit).expect("an open circuit");
            let bytes = queue.to_vec();
            queue.clear();
            let mut rest = &bytes[..];
            while let Some((header, len)) = Header::decode(rest, true) {
                let end = len + header.payload_len as usize;
                payloads.push((header.p2, rest[len..end].to_vec()));
                rest = &rest[end..];
            }
            sent |= !bytes.is_empty();
        }
        match rig.ioc.has_work() {
            true => turns += 1,
            false if sent => {}
            false => return (payloads, turns),
        }
        rig.ioc.work(rig.now);
    }
}

fn post(rig: &mut Rig, number: f64) {
    let value = vec![number; LEN as usize];
    rig.ioc.post(rig.now, "w", value).expect("it fits");
}

/// The turns that an update takes for so many subscribers, each of which gets the same.
fn turns_of_an_update(subscribers: u32, circuits: u32, name: &str, ty: DbrType) -> usize {
    let mut rig = rig(ServerParams::default());
    let mut clients: Vec<Client> = (0..circuits).map(|_| rig.client()).collect();
    for client in &mut clients {
        let each = subscribers / circuits;
        let channels: Vec<_> = (0..each).map(|n| channel(n, name)).collect();
        ask(&mut rig, client, &channels);
        for n in 0..each {
            ask(&mut rig, client, &[subscription(n, n, ty)]);
        }
    }
    let ids: Vec<_> = clients.iter().map(|client| client.id).collect();
    take(&mut rig, &ids);
    post(&mut rig, 7.0);
    let (payloads, turns) = take(&mut rig, &ids);
    assert_eq!(payloads.len(), subscribers as usize);
    assert!(
        payloads
            .iter()
            .all(|(_, payload)| *payload == payloads[0].1)
    );
    let number = 7.0_f64.to_be_bytes();
    let first: &[u8] = if ty == STRING { b"7\0" } else { &number };
    assert!(payloads[0].1.starts_with(first));
    turns
}

#[test]
fn an_update_is_converted_once_for_all_who_want_it_in_the_same_form() {
    for (name, ty) in [("w.VAL[1:2:-1]", DOUBLE), ("w", STRING)] {
        let alone = turns_of_an_update(1, 1, name, ty);
        for circuits in [1, 10, 40] {
            let together = turns_of_an_update(40, circuits, name, ty);
            // Each is told, and takes its pieces; forty conversions would take forty times as long.
            assert!(
                together <= 2 * alone + 120 && together < 20 * alone,
                "{together} turns for 40 on {circuits} circuits, {alone} for one: {name} {ty}"
            );
        }
    }
}

/// Type, count and part: each is made for itself, whatever the order.
#[test]
fn different_forms_are_not_taken_for_each_other() {
    let mut rig = rig(ServerParams::default());
    let mut client = rig.client();
    let names = ["w.VAL[1:2:-1]", "w.VAL[0:2:-1]", "w.VAL[0:3:-1]", "w"];
    let channels: Vec<_> = (0..).zip(names).map(|(n, name)| channel(n, name)).collect();
    ask(&mut rig, &mut client, &channels);
    let types = [STRING, DbrType::new(Family::Time, NativeType::Float)];
    let mut wanted = Vec::new();
    for n in 0..24 {
        let (sid, ty) = (n % 4, types[(n / 4 % 2) as usize]);
        ask(&mut rig, &mut client, &[subscription(n, sid, ty)]);
        let part = [LEN / 2, LEN / 2, LEN / 3 + 1, LEN][sid as usize];
        wanted.push(ty.size(part).next_multiple_of(8) as usize);
    }
    for (number, text) in [(2.0, b"2\0"), (3.0, b"3\0")] {
        post(&mut rig, number);
        let (mut payloads, _) = take(&mut rig, &[client.id]);
        payloads.sort();
        let lens: Vec<usize> = payloads.iter().map(|(_, payload)| payload.len()).collect();
        assert_eq!(lens, wanted);
        for (n, payload) in &payloads {
            let new = match n / 4 % 2 {
                0 => payload.starts_with(text),
                _ => payload[12..16] == (number as f32).to_be_bytes(),
            };
            assert!(new, "{n}: {:?}", &payload[..16]);
        }
    }
}

/// Nobody's memory grows for good: what was made is kept within its limit, and for some seconds.
#[test]
fn what_is_kept_for_others_is_bounded_and_dropped() {
    for (most, bound) in [(1 << 20, 1 << 20), (0, 0)] {
        let mut rig = rig(ServerParams::default().max_shared_bytes(most));
        let mut client = rig.client();
        // 800 kB as it is, and 40 kB to 400 kB of each part.
        let names: Vec<String> = (2..20).map(|step| format!("w.VAL[0:{step}:-1]")).collect();
        let channels: Vec<_> = (0..)
            .zip(&names)
            .map(|(n, name)| channel(n, name))
            .collect();
        ask(&mut rig, &mut client, &channels);
        let held = measure(|| {
            for n in 0..18 {
                ask(&mut rig, &mut client, &[subscription(n, n, DOUBLE)]);
            }
            for n in 0..5 {
                post(&mut rig, f64::from(n));
                take(&mut rig, &[client.id]);
            }
        });
        // The value itself has been replaced: those before are kept for what was made of them.
        assert!(
            held.bytes_current <= i64::from(bound) + 100_000,
            "{} bytes for {most}",
            held.bytes_current
        );
        let id = client.id;
        let released = measure(|| {
            for _ in 0..3 {
                rig.advance(Duration::from_secs(30));
                take(&mut rig, &[id]);
            }
        });
        let left = held.bytes_current + released.bytes_current;
        assert!(left < 100_000, "{left} bytes for {most}");
    }
}

/// A client that goes while its value is made leaves nothing behind, and another goes on.
#[test]
fn who_goes_meanwhile_takes_nothing_along() {
    let mut rig = rig(ServerParams::default());
    let mut clients = [rig.client(), rig.client()];
    for client in &mut clients {
        ask(&mut rig, client, &[channel(0, "w")]);
        let request = subscription(0, 0, STRING);
        client.try_ask(&mut rig, &request).expect("no violation");
        rig.ioc.work(rig.now);
    }
    let [first, second] = clients;
    first.close(&mut rig);
    let (payloads, _) = take(&mut rig, &[second.id]);
    assert_eq!(payloads.len(), 1);
    assert!(payloads[0].1.starts_with(b"5\0"));
    assert_eq!(payloads[0].1.len(), 40 * LEN as usize);
    second.close(&mut rig);
    while rig.ioc.has_work() {
        rig.ioc.work(rig.now);
    }
    assert_eq!(rig.ioc.stats().bytes, 0);
}
