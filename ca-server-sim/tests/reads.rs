//! Values that the program makes when somebody reads them.

mod rig;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Ioid, Sid};
use ca_proto::wire::Deframer;
use ca_proto::wire::message::tcp;
use ca_server_sim::{Ioc, PvSpec, READ_HOLD};
use rig::*;

type Told = Arc<Mutex<Vec<String>>>;

fn rig() -> (Rig, Told) {
    let told = Told::default();
    let tell = Arc::clone(&told);
    let builder = Ioc::builder()
        .pv("x", PvSpec::double(1.0))
        .pv("plain", PvSpec::double(5.0))
        .db_text(r#"record(ai, "in") { field(VAL, 1) field(EGU, "mm") }"#, "")
        .reads(move |name| tell.lock().unwrap().push(name.to_owned()));
    let mut rig = Rig::new(builder);
    for name in ["x", "in"] {
        rig.ioc.ask_read(name, true).unwrap();
    }
    (rig, told)
}

fn request(sid: Sid, ioid: u32) -> tcp::Request<'static> {
    tcp::Request::ReadNotify {
        ty: DbrType::new(Family::Plain, NativeType::Double),
        count: 1,
        sid,
        ioid: Ioid(ioid),
    }
}

fn read(client: &mut Client, rig: &mut Rig, sid: Sid) -> Vec<Reply> {
    client.ask(rig, &request(sid, 7))
}

fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut *told.lock().unwrap())
}

fn make(rig: &mut Rig, name: &str, value: f64) {
    rig.ioc.post(rig.now, name, value).unwrap();
    rig.ioc.finish_read(rig.now, name).unwrap();
}

fn value(replies: &[Reply]) -> f64 {
    assert_eq!(replies.len(), 1, "{replies:?}");
    assert_eq!(replies[0].status(), EcaStatus::NORMAL);
    replies[0].f64()
}

#[test]
fn a_read_has_the_value_that_the_program_makes_for_it() {
    let (mut rig, told) = rig();
    let mut client = rig.client();
    for name in ["x", "in"] {
        let (sid, ..) = client.create(&mut rig, name);
        for number in [2.0, 3.0] {
            assert!(read(&mut client, &mut rig, sid).is_empty(), "{name}");
            assert_eq!(take(&told), [name]);
            make(&mut rig, name, number);
            assert_eq!(value(&client.received(&mut rig)), number);
        }
    }
    // Nothing is told of other PVs and fields, nor of puts and subscriptions.
    for name in ["plain", "in.PREC", "x.HOPR"] {
        let (sid, ..) = client.create(&mut rig, name);
        assert_eq!(read(&mut client, &mut rig, sid).len(), 1, "{name}");
    }
    let (sid, ..) = client.create(&mut rig, "x");
    let (_, replies) = client.write_notify(&mut rig, sid, &Value::scalar(9.0));
    assert_eq!(replies[0].status(), EcaStatus::NORMAL);
    assert!(take(&told).is_empty());
}

#[test]
fn who_reads_meanwhile_waits_for_a_value_made_anew() {
    let (mut rig, told) = rig();
    let mut clients = [rig.client(), rig.client(), rig.client()];
    let sids = clients
        .each_mut()
        .map(|client| client.create(&mut rig, "x").0);
    for (client, sid) in clients.iter_mut().zip(sids) {
        assert!(read(client, &mut rig, sid).is_empty());
    }
    assert_eq!(take(&told), ["x"]);
    make(&mut rig, "x", 2.0);
    assert_eq!(take(&told), ["x"]);
    assert_eq!(value(&clients[0].received(&mut rig)), 2.0);
    assert!(clients[1].received(&mut rig).is_empty());
    make(&mut rig, "x", 3.0);
    for client in &mut clients[1..] {
        assert_eq!(value(&client.received(&mut rig)), 3.0);
    }
    assert!(take(&told).is_empty());
}

#[test]
fn what_a_client_sends_behind_a_read_waits_with_it() {
    let (mut rig, told) = rig();
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (plain, ..) = client.create(&mut rig, "plain");
    assert!(read(&mut client, &mut rig, x).is_empty());
    assert!(read(&mut client, &mut rig, plain).is_empty());
    assert!(read(&mut client, &mut rig, x).is_empty());
    assert_eq!(take(&told), ["x"]);
    make(&mut rig, "x", 2.0);
    assert_eq!(client.received(&mut rig).len(), 2);
    assert_eq!(take(&told), ["x"]);
    make(&mut rig, "x", 3.0);
    assert_eq!(value(&client.received(&mut rig)), 3.0);
    // Another client is not held up by any of it.
    assert!(read(&mut client, &mut rig, x).is_empty());
    let mut other = rig.client();
    let (plain, ..) = other.create(&mut rig, "plain");
    assert_eq!(read(&mut other, &mut rig, plain).len(), 1);
}

#[test]
fn a_read_is_answered_though_the_program_is_not_there() {
    let (mut rig, told) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x");
    assert!(read(&mut client, &mut rig, sid).is_empty());
    rig.advance(READ_HOLD - Duration::from_millis(1));
    assert!(client.received(&mut rig).is_empty());
    rig.advance(Duration::from_millis(1));
    assert_eq!(value(&client.received(&mut rig)), 1.0);
    // Its answer comes late: the next one waits for one that is made anew.
    assert!(read(&mut client, &mut rig, sid).is_empty());
    assert_eq!(take(&told), ["x"]);
    make(&mut rig, "x", 2.0);
    assert_eq!(take(&told), ["x"]);
    make(&mut rig, "x", 3.0);
    assert_eq!(value(&client.received(&mut rig)), 3.0);
    // Nobody waits for it any more: nothing is told, nothing is kept.
    assert!(read(&mut client, &mut rig, sid).is_empty());
    rig.ioc.handle_closed(rig.now, client.id);
    make(&mut rig, "x", 4.0);
    assert_eq!(take(&told), ["x"]);
    rig.ioc.finish_read(rig.now, "x").unwrap();
    assert!(rig.ioc.finish_read(rig.now, "nothing").is_err());
}

#[test]
fn nobody_waits_for_a_pv_that_is_gone_or_not_made_any_more() {
    let (mut rig, _) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x");
    assert!(read(&mut client, &mut rig, sid).is_empty());
    rig.ioc.ask_read("x", false).unwrap();
    assert_eq!(value(&client.received(&mut rig)), 1.0);
    for name in ["x", "in"] {
        let mut client = rig.client();
        rig.ioc.ask_read(name, true).unwrap();
        let (sid, ..) = client.create(&mut rig, name);
        assert!(read(&mut client, &mut rig, sid).is_empty());
        assert!(!rig.ioc.is_readable(client.id));
        assert!(rig.ioc.remove(rig.now, name));
        assert!(rig.ioc.is_readable(client.id), "{name}");
    }
}

#[test]
fn a_header_that_comes_in_two_pieces_is_a_read_too() {
    let (mut rig, told) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x");
    let mut bytes = Vec::new();
    request(sid, 7).encode_into(&mut bytes);
    let mut input = Deframer::new(rig.ioc.limits(client.id));
    for at in 1..bytes.len() {
        let (begin, end) = bytes.split_at(at);
        let now = rig.now;
        let mut hand_in = |bytes: &[u8]| {
            let handled = rig.ioc.handle_chunk(now, client.id, &mut input, bytes);
            handled.unwrap()
        };
        assert_eq!(hand_in(begin), at);
        assert!(take(&told).is_empty(), "{at}");
        assert_eq!(hand_in(end), 0);
        assert_eq!(take(&told), ["x"], "{at}");
        make(&mut rig, "x", at as f64);
        let handled = rig.ioc.handle_chunk(now, client.id, &mut input, end);
        assert_eq!(handled.unwrap(), end.len());
        assert_eq!(value(&client.received(&mut rig)), at as f64);
    }
}
