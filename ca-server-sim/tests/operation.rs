//! The IOC at work: puts and their completion, signals, changes while clients are connected.

mod rig;

use std::net::Ipv4Addr;
use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::dbr::{NativeType, Value};
use ca_proto::ids::Sid;
use ca_proto::server::Violation;
use ca_proto::wire::message::{EventMask, Text, tcp};
use ca_proto::wire::{Command, Deframer};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Timestamp};
use ca_server_sim::signals::{Constant, Counter, RandomWalk, Scope};
use ca_server_sim::{BuildError, Ioc, PostError, PutDecision, PvSpec};
use rig::*;

const SECOND: Duration = Duration::from_secs(1);

fn one(name: &str, spec: PvSpec) -> Rig {
    Rig::new(Ioc::builder().pv(name, spec))
}

/// An IOC with the PV `x`, and a client with a channel to it.
fn connected(spec: PvSpec) -> (Rig, Client, Sid) {
    let mut rig = one("x", spec);
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    (rig, client, x)
}

#[test]
fn a_value_beyond_the_drive_limits_is_moved_to_them() {
    let (mut rig, mut client, x) = connected(PvSpec::long(0).control(-5.0, 5.0));
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(99.9)),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("x"), Ok(5.0));
    rig.ioc.post(rig.now, "x", 77).unwrap();
    assert_eq!(rig.ioc.number("x"), Ok(77.0), "the program is not limited");
}

#[test]
fn hooks_see_puts_before_they_happen() {
    let spec = PvSpec::double(1.0)
        .on_put(|put| match *put.value == Value::scalar(13.0) {
            true => PutDecision::Reject(EcaStatus::PUTFAIL),
            false => PutDecision::Accept,
        })
        .on_put(|put| {
            assert_eq!(put.name, "x");
            let value = put
                .value
                .as_ref()
                .elements::<f64>()
                .unwrap()
                .next()
                .unwrap();
            PutDecision::Replace(Value::scalar((value as i32) / 2))
        });
    let (mut rig, mut client, x) = connected(spec);
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(13.0)),
        EcaStatus::PUTFAIL
    );
    assert_eq!(rig.ioc.number("x"), Ok(1.0));
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(9.0)),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("x"), Ok(4.0));
    let replies = client.write(&mut rig, x, &Value::scalar(13.0));
    assert_eq!(
        commands(&replies),
        [Command::ERROR],
        "a WRITE that fails has an error"
    );
}

#[test]
fn a_validated_pv_keeps_its_value_when_a_put_is_refused() {
    let even = |value: &Value| {
        value
            .as_ref()
            .elements::<i32>()
            .is_some_and(|mut v| v.all(|n| n % 2 == 0))
    };
    let (mut rig, mut client, x) = connected(PvSpec::long(2).validated(even));
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(3)),
        EcaStatus::PUTFAIL
    );
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(4)),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("x"), Ok(4.0));
}

#[test]
fn a_text_that_is_no_number_fails_the_put() {
    let (mut rig, mut client, x) = connected(PvSpec::double(1.0));
    assert_eq!(
        client.put(&mut rig, x, &Value::string("abc")),
        EcaStatus::PUTFAIL
    );
    assert_eq!(
        client.put(&mut rig, x, &Value::string("1.5 V")),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("x"), Ok(1.5));
}

#[test]
fn put_counts_follow_the_reference() {
    // `dbChannel_put` of EPICS Base
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("x", PvSpec::double(1.0))
            .pv("w", PvSpec::array([1.0]).capacity(3)),
    );
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let (w, ..) = client.create(&mut rig, "w");
    assert_eq!(
        client.put(&mut rig, x, &Value::array(&[7.0, 8.0])),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.number("x"), Ok(7.0));
    assert_eq!(
        client.put(&mut rig, x, &Value::empty(NativeType::Double)),
        EcaStatus::NORMAL
    );
    let after = rig.ioc.read("x").unwrap();
    assert_eq!(rig.ioc.number("x"), Ok(7.0));
    assert_eq!(
        after.alarm,
        Alarm::new(AlarmStatus::LINK, AlarmSeverity::INVALID)
    );
    assert_eq!(
        client.put(&mut rig, w, &Value::array(&[1.0, 2.0, 3.0, 4.0])),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.read("w").unwrap().value.count(), 3);
    assert_eq!(
        client.put(&mut rig, w, &Value::empty(NativeType::Double)),
        EcaStatus::NORMAL
    );
    assert_eq!(rig.ioc.read("w").unwrap().value.count(), 0);
}

#[test]
fn puts_on_a_slow_record_complete_one_after_the_other() {
    // `dbNotify.c` of EPICS Base: two channels on one record, completions at 1 s and 2 s.
    let mut rig = one("slow", PvSpec::double(0.0).completes_after(SECOND));
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (y, ..) = b.create(&mut rig, "slow");
    let (first, replies) = a.write_notify(&mut rig, x, &Value::scalar(1.0));
    assert_eq!(completion(&replies, first), None);
    let (second, replies) = b.write_notify(&mut rig, y, &Value::scalar(2.0));
    assert_eq!(completion(&replies, second), None);
    assert_eq!(
        b.read(&mut rig, y, DOUBLE, 1).f64(),
        1.0,
        "the circuit is not blocked"
    );
    rig.advance(Duration::from_millis(999));
    assert!(a.received(&mut rig).is_empty());
    rig.advance(Duration::from_millis(1));
    assert_eq!(rig.ioc.poll_woken(), Some(a.id));
    assert_eq!(
        completion(&a.received(&mut rig), first),
        Some(EcaStatus::NORMAL)
    );
    assert!(b.received(&mut rig).is_empty());
    assert_eq!(rig.ioc.number("slow"), Ok(2.0), "the second put has begun");
    rig.advance(SECOND);
    assert_eq!(
        completion(&b.received(&mut rig), second),
        Some(EcaStatus::NORMAL)
    );
    assert_eq!(rig.ioc.poll_timeout(), None);
}

#[test]
fn a_waiting_put_of_a_cleared_channel_is_not_carried_out() {
    let mut rig = one("slow", PvSpec::double(0.0).completes_after(SECOND));
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (y, ..) = b.create(&mut rig, "slow");
    a.write_notify(&mut rig, x, &Value::scalar(1.0));
    b.write_notify(&mut rig, y, &Value::scalar(2.0));
    let clear = tcp::Request::ClearChannel {
        sid: y,
        cid: ca_proto::ids::Cid(101),
        data_type: 0,
        count: 0,
    };
    b.ask(&mut rig, &clear);
    rig.advance(SECOND * 3);
    assert_eq!(rig.ioc.number("slow"), Ok(1.0));
}

#[test]
fn a_plain_write_to_a_busy_record_is_stored_at_once() {
    let mut rig = one("slow", PvSpec::double(0.0).completes_after(SECOND));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "slow");
    client.write_notify(&mut rig, x, &Value::scalar(1.0));
    client.write(&mut rig, x, &Value::scalar(5.0));
    assert_eq!(rig.ioc.number("slow"), Ok(5.0));
}

#[test]
fn a_put_that_never_completes_does_so_only_by_the_program_or_the_end_of_its_circuit() {
    let mut rig = one("hang", PvSpec::double(0.0).completes_never());
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "hang");
    let (y, ..) = b.create(&mut rig, "hang");
    let (first, _) = a.write_notify(&mut rig, x, &Value::scalar(1.0));
    rig.advance(SECOND * 3600);
    assert!(a.received(&mut rig).is_empty());
    assert_eq!(
        rig.ioc.finish_put(rig.now, "hang", EcaStatus::NORMAL),
        Ok(true)
    );
    assert_eq!(
        completion(&a.received(&mut rig), first),
        Some(EcaStatus::NORMAL)
    );
    assert_eq!(
        rig.ioc.finish_put(rig.now, "hang", EcaStatus::NORMAL),
        Ok(false)
    );

    a.write_notify(&mut rig, x, &Value::scalar(2.0));
    let (third, _) = b.write_notify(&mut rig, y, &Value::scalar(3.0));
    a.close(&mut rig);
    assert_eq!(rig.ioc.number("hang"), Ok(3.0), "the next put has its turn");
    rig.ioc
        .finish_put(rig.now, "hang", EcaStatus::PUTFAIL)
        .unwrap();
    assert_eq!(
        completion(&b.received(&mut rig), third),
        Some(EcaStatus::PUTFAIL)
    );
}

#[test]
fn a_waiting_put_of_a_lost_circuit_is_forgotten() {
    let mut rig = one("slow", PvSpec::double(0.0).completes_after(SECOND));
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (y, ..) = b.create(&mut rig, "slow");
    let (first, _) = a.write_notify(&mut rig, x, &Value::scalar(1.0));
    b.write_notify(&mut rig, y, &Value::scalar(2.0));
    b.close(&mut rig);
    rig.advance(SECOND);
    assert_eq!(
        completion(&a.received(&mut rig), first),
        Some(EcaStatus::NORMAL)
    );
    assert_eq!(rig.ioc.number("slow"), Ok(1.0));
}

#[test]
fn rights_change_at_run_time() {
    // `casAccessRightsCB` of EPICS Base
    let (mut rig, mut client, x) = connected(PvSpec::long(5));
    client.subscribe(&mut rig, x, LONG, EventMask::VALUE);
    rig.ioc
        .set_rights(rig.now, "x", AccessRights::NONE)
        .unwrap();
    let replies = client.received(&mut rig);
    assert_eq!(
        commands(&replies),
        [Command::ACCESS_RIGHTS, Command::EVENT_ADD]
    );
    assert_eq!(replies[1].status(), EcaStatus::NORDACCESS);
    rig.ioc.post(rig.now, "x", 6).unwrap();
    assert!(
        client.received(&mut rig).is_empty(),
        "silence while it cannot be read"
    );
    rig.ioc
        .set_rights(rig.now, "x", AccessRights::READ)
        .unwrap();
    let replies = client.received(&mut rig);
    assert_eq!(updates(&replies), [6.0]);
    assert_eq!(
        client.put(&mut rig, x, &Value::scalar(1)),
        EcaStatus::NOWTACCESS
    );
}

#[test]
fn read_only_pvs_and_fields_grant_no_write() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("r", PvSpec::double(1.0).read_only())
            .pv("x", PvSpec::double(1.0)),
    );
    let mut client = rig.client();
    for (name, status) in [
        ("r", EcaStatus::NOWTACCESS),
        ("x.SEVR", EcaStatus::NOWTACCESS),
        ("x.NAME", EcaStatus::NOWTACCESS),
        ("x.RTYP", EcaStatus::PUTFAIL),
        ("x.DESC", EcaStatus::NORMAL),
    ] {
        let (sid, ..) = client.create(&mut rig, name);
        assert_eq!(
            client.put(&mut rig, sid, &Value::string("1")),
            status,
            "{name}"
        );
    }
}

#[test]
fn an_access_rule_decides_by_who_asks() {
    let builder = Ioc::builder()
        .pv("x", PvSpec::double(1.0))
        .access_rule(|_, who| match who.peer.ip().octets() {
            [10, ..] => AccessRights::READ,
            _ => AccessRights::ALL,
        });
    let mut rig = Rig::new(builder);
    let mut near = rig.client();
    let mut far = rig.client_from(Ipv4Addr::new(10, 0, 0, 1));
    let (a, ..) = near.create(&mut rig, "x");
    let (b, ..) = far.create(&mut rig, "x");
    assert_eq!(
        near.put(&mut rig, a, &Value::scalar(2.0)),
        EcaStatus::NORMAL
    );
    assert_eq!(
        far.put(&mut rig, b, &Value::scalar(3.0)),
        EcaStatus::NOWTACCESS
    );
}

#[test]
fn pvs_come_and_go_while_clients_are_connected() {
    let (mut rig, mut client, x) = connected(PvSpec::double(1.0));
    client.create(&mut rig, "x.EGU");
    client.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
    let old = rig.ioc.handle("x").unwrap();
    rig.ioc
        .replace(rig.now, "x", PvSpec::string("new"))
        .unwrap();
    let replies = client.received(&mut rig);
    assert_eq!(commands(&replies), [Command::SERVER_DISCONN; 2]);
    let (_, native, _) = client.create(&mut rig, "x");
    assert_eq!(native, NativeType::String);
    assert!(matches!(
        rig.ioc.post(rig.now, old, 1.0),
        Err(PostError::UnknownPv { .. })
    ));
    assert!(rig.ioc.remove(rig.now, "x"));
    assert!(!rig.ioc.remove(rig.now, "x"));
    client.received(&mut rig);
    assert!(client.try_create(&mut rig, "x").is_none());
    rig.ioc.add(rig.now, "x", PvSpec::long(3)).unwrap();
    assert_eq!(client.create(&mut rig, "x").1, NativeType::Long);
    assert_eq!(rig.ioc.read("x").unwrap().alarm, Alarm::NONE);
}

#[test]
fn a_client_that_cannot_be_told_loses_its_circuit() {
    let mut rig = one("x", PvSpec::double(1.0));
    let mut old = rig.client_of_version(Ipv4Addr::LOCALHOST, 6);
    let request = tcp::Request::CreateChan {
        cid: ca_proto::ids::Cid(1),
        minor: ca_proto::wire::Minor(6),
        name: Text::new(b"x"),
    };
    old.ask(&mut rig, &request);
    assert!(!rig.ioc.is_broken(old.id));
    rig.ioc.remove(rig.now, "x");
    assert!(rig.ioc.is_broken(old.id));
    assert_eq!(rig.ioc.poll_woken(), Some(old.id));
}

#[test]
fn circuits_are_limited_in_all_and_per_host() {
    let params = ServerParams::default()
        .max_circuits(3)
        .max_circuits_per_host(2);
    let mut rig = Rig::new(Ioc::builder().params(params));
    let (a, b) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
    let first = rig.client_from(a);
    rig.client_from(a);
    let accept = |rig: &mut Rig, host| rig.ioc.accept(rig.now, (host, 1).to_addr());
    assert_eq!(accept(&mut rig, a), None);
    rig.client_from(b);
    assert_eq!(accept(&mut rig, b), None);
    first.close(&mut rig);
    assert!(accept(&mut rig, a).is_some());
}

trait ToAddr {
    fn to_addr(self) -> std::net::SocketAddrV4;
}

impl ToAddr for (Ipv4Addr, u16) {
    fn to_addr(self) -> std::net::SocketAddrV4 {
        std::net::SocketAddrV4::new(self.0, self.1)
    }
}

#[test]
fn signals_tick_without_drift_and_catch_up_within_bounds() {
    let mut rig = one("n", PvSpec::long(-1).signal(Counter::new(), SECOND / 10));
    assert_eq!(
        rig.ioc.number("n"),
        Ok(0.0),
        "the first sample is taken at the start"
    );
    rig.advance(SECOND);
    assert_eq!(rig.ioc.number("n"), Ok(10.0));
    // Late by 55 ms, the next tick is where it would have been.
    rig.now += Duration::from_millis(155);
    rig.ioc.handle_timeout(rig.now);
    assert_eq!(rig.ioc.number("n"), Ok(11.0));
    let late = ca_proto::Instant::ZERO + Duration::from_millis(2200);
    assert_eq!(rig.ioc.poll_timeout(), Some(late));
    // An hour late: the last eight ticks are made, and no more is due.
    rig.now += SECOND * 3600;
    rig.ioc.handle_timeout(rig.now);
    assert_eq!(rig.ioc.number("n"), Ok(19.0));
    assert!(rig.ioc.poll_timeout().unwrap() > rig.now);
}

/// Archives take one value for each stamp.
#[test]
fn ticks_that_are_made_up_for_have_the_stamps_of_their_time() {
    let mut rig = one(
        "n",
        PvSpec::double(-1.0).signal(Counter::new(), SECOND / 10),
    );
    let mut client = rig.client();
    let (n, ..) = client.create(&mut rig, "n");
    client.subscribe(&mut rig, n, TIME_DOUBLE, EventMask::VALUE);
    let started = rig.now;
    let stamps = |replies: &[Reply]| -> Vec<Timestamp> {
        let stamp = |reply: &Reply| reply.reading.as_ref()?.timestamp();
        replies.iter().filter_map(stamp).collect()
    };
    rig.now = started + Duration::from_millis(350);
    rig.ioc.handle_timeout(rig.now);
    let late = stamps(&client.received(&mut rig));
    assert_eq!(late.len(), 3);
    assert!(late.is_sorted_by(|a, b| a < b), "{late:?}");
    // A put came before the tick that was due, so its stamp is later: time does not go back.
    rig.now = started + Duration::from_millis(450);
    rig.ioc.post(rig.now, "n", 100.0).unwrap();
    rig.ioc.handle_timeout(rig.now);
    let both = stamps(&client.received(&mut rig));
    assert_eq!(both.len(), 2);
    assert!(both.is_sorted(), "{both:?}");
}

#[test]
fn a_removed_pv_is_sampled_no_more() {
    let mut rig = one("n", PvSpec::long(0).signal(Counter::new(), SECOND));
    rig.ioc.remove(rig.now, "n");
    rig.advance(SECOND);
    assert_eq!(rig.ioc.poll_timeout(), None);
}

#[test]
fn a_signal_added_later_begins_at_once() {
    let mut rig = Rig::new(Ioc::builder());
    let spec = PvSpec::double(0.0).signal(Constant(Value::scalar(4.0)), SECOND);
    rig.ioc.add(rig.now, "c", spec).unwrap();
    rig.advance(Duration::ZERO);
    assert_eq!(rig.ioc.number("c"), Ok(4.0));
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed: u64| {
        let walk = PvSpec::double(0.0).signal(RandomWalk::new(0.0, 1.0), SECOND / 10);
        let scope = PvSpec::array([0.0])
            .capacity(50)
            .signal(Scope::new(50), SECOND / 5);
        let builder = Ioc::builder()
            .seed(seed)
            .pv("walk", walk)
            .pv("scope", scope);
        let mut rig = Rig::new(builder);
        let mut client = rig.client();
        for name in ["walk", "scope"] {
            let (sid, ..) = client.create(&mut rig, name);
            client.subscribe(&mut rig, sid, TIME_DOUBLE, EventMask::VALUE);
        }
        rig.advance(SECOND * 3);
        rig.ioc.transmit(client.id).unwrap().to_vec()
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}

#[test]
fn posts_from_the_program_reach_subscribers_of_every_circuit() {
    let mut rig = one("x", PvSpec::double(0.0));
    let mut clients: Vec<Client> = (0..3).map(|_| rig.client()).collect();
    for client in &mut clients {
        let (x, ..) = client.create(&mut rig, "x");
        client.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
    }
    while rig.ioc.poll_woken().is_some() {}
    let handle = rig.ioc.handle("x").unwrap();
    rig.ioc.post(rig.now, handle, 1).unwrap();
    rig.ioc.post(rig.now, "x", "2.5").unwrap();
    let woken: Vec<_> = std::iter::from_fn(|| rig.ioc.poll_woken()).collect();
    assert_eq!(
        woken,
        clients.iter().map(|c| c.id).collect::<Vec<_>>(),
        "each once"
    );
    for client in &mut clients {
        assert_eq!(updates(&client.received(&mut rig)), [1.0, 2.5]);
    }
}

#[test]
fn posts_that_do_not_fit_are_errors() {
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("x", PvSpec::double(0.0))
            .pv("w", PvSpec::array([1, 2])),
    );
    let error = rig.ioc.post(rig.now, "y", 1.0).unwrap_err();
    assert_eq!(error.to_string(), "no PV or field \"y\" in this IOC");
    let error = rig.ioc.post(rig.now, "x", "abc").unwrap_err();
    assert!(error.to_string().contains("\"x\""), "{error}");
    let error = rig.ioc.post(rig.now, "w", [1, 2, 3]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "PV \"w\": 3 elements do not fit a capacity of 2"
    );
    let error = rig.ioc.post(rig.now, "x.SEVR", 1).unwrap_err();
    assert_eq!(error.to_string(), "field \"x.SEVR\" cannot be changed");
    rig.ioc.post(rig.now, "x.HIHI", 9).unwrap();
    assert_eq!(rig.ioc.number("x.HIHI"), Ok(9.0));
}

#[test]
fn an_alarm_of_the_program_stays_until_it_is_cleared() {
    let mut rig = one("x", PvSpec::double(0.0).warning(f64::NAN, 5.0));
    let comm = Alarm::new(AlarmStatus::COMM, AlarmSeverity::INVALID);
    rig.ioc.set_alarm(rig.now, "x", comm).unwrap();
    rig.ioc.post(rig.now, "x", 6.0).unwrap();
    assert_eq!(rig.ioc.read("x").unwrap().alarm, comm);
    rig.ioc.set_alarm(rig.now, "x", Alarm::NONE).unwrap();
    let high = Alarm::new(AlarmStatus::HIGH, AlarmSeverity::MINOR);
    assert_eq!(rig.ioc.read("x").unwrap().alarm, high);
}

#[test]
fn a_chunk_of_requests_waits_until_the_replies_have_drained() {
    let mut rig = one("w", PvSpec::array(vec![1.5; 10_000]));
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "w");
    let mut chunk = Vec::new();
    for n in 0..50 {
        let (ty, ioid) = (LONG, ca_proto::ids::Ioid(n));
        tcp::Request::ReadNotify {
            ty,
            count: 0,
            sid,
            ioid,
        }
        .encode_into(&mut chunk);
    }
    let mut deframer = Deframer::new(rig.ioc.limits(client.id));
    let (mut rest, mut seen) = (&chunk[..], 0);
    while !rest.is_empty() {
        let handled = rig
            .ioc
            .handle_chunk(rig.now, client.id, &mut deframer, rest);
        rest = &rest[handled.unwrap()..];
        let queue = rig.ioc.transmit(client.id).unwrap();
        assert!(
            queue.len() < (64 << 10) + 40_100,
            "{} bytes queued",
            queue.len()
        );
        seen += client.received(&mut rig).len();
    }
    assert_eq!(seen, 50);
}

/// As many writes as make this many updates, of 24 bytes each.
fn writes(sid: Sid, updates: u32) -> Vec<u8> {
    let mut chunk = Vec::new();
    for n in 1..=updates {
        tcp::Request::Write {
            ty: DOUBLE,
            count: 1,
            sid,
            cid: ca_proto::ids::Cid(0),
            data: ca_proto::wire::message::Data(&f64::from(n).to_be_bytes()),
        }
        .encode_into(&mut chunk);
    }
    chunk
}

#[test]
fn a_burst_of_writes_reaches_a_subscriber_that_reads() {
    let mut rig = one("x", PvSpec::double(0.0));
    let (mut reader, mut writer) = (rig.client(), rig.client());
    let (x, ..) = reader.create(&mut rig, "x");
    reader.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
    let (sid, ..) = writer.create(&mut rig, "x");
    // More than a queue and an event ring hold.
    let chunk = writes(sid, 10_000);
    let mut deframer = Deframer::new(rig.ioc.limits(writer.id));
    let (mut rest, mut seen, mut turns) = (&chunk[..], Vec::new(), 0);
    while !rest.is_empty() {
        let handled = rig
            .ioc
            .handle_chunk(rig.now, writer.id, &mut deframer, rest);
        rest = &rest[handled.unwrap()..];
        seen.extend(updates(&reader.received(&mut rig)));
        turns += 1;
    }
    assert!(seen.iter().copied().eq((1..=10_000).map(f64::from)));
    // At least one for each 64 KiB of the 240 000 bytes for the reader; more for others.
    assert!((4..=12).contains(&turns), "{turns} turns");
}

#[test]
fn a_subscriber_that_does_not_read_holds_a_writer_up_once() {
    let mut rig = one("x", PvSpec::double(0.0));
    let (mut reader, mut writer) = (rig.client(), rig.client());
    let (x, ..) = reader.create(&mut rig, "x");
    reader.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
    let (sid, ..) = writer.create(&mut rig, "x");
    let chunk = writes(sid, 10_000);
    let mut deframer = Deframer::new(rig.ioc.limits(writer.id));
    let mut handle = |rig: &mut Rig, rest: &[u8]| {
        let handled = rig
            .ioc
            .handle_chunk(rig.now, writer.id, &mut deframer, rest);
        handled.unwrap()
    };
    let (mut rest, mut turns) = (&chunk[..], 0);
    while !rest.is_empty() {
        let handled = handle(&mut rig, rest);
        assert!(handled > 0, "others have their turn, and it goes on");
        rest = &rest[handled..];
        turns += 1;
    }
    assert!((2..=12).contains(&turns), "{turns} turns");
    assert_eq!(updates(&reader.received(&mut rig)).last(), Some(&10_000.0));
}

#[test]
fn a_restart_ends_circuits_and_keeps_values() {
    let (mut rig, mut client, x) = connected(PvSpec::double(0.0));
    client.put(&mut rig, x, &Value::scalar(3.0));
    rig.ioc.stop(rig.now);
    assert!(!rig.ioc.is_running());
    assert!(rig.ioc.transmit(client.id).is_none());
    assert_eq!(
        rig.ioc.accept(rig.now, (Ipv4Addr::LOCALHOST, 1).to_addr()),
        None
    );
    rig.ioc.start(rig.now, START, 5070);
    let mut client = rig.client();
    assert_eq!(client.read_name(&mut rig, "x", DOUBLE).f64(), 3.0);
}

#[test]
fn a_violation_closes_only_its_own_circuit() {
    let mut rig = one("x", PvSpec::double(0.0));
    let (mut good, mut bad) = (rig.client(), rig.client());
    let (x, ..) = good.create(&mut rig, "x");
    let request = tcp::Request::ReadNotify {
        ty: DOUBLE,
        count: 1,
        sid: x,
        ioid: ca_proto::ids::Ioid(1),
    };
    let result = bad.try_ask(&mut rig, &request);
    assert!(matches!(result, Err(Violation::UnknownSid { .. })));
    assert!(rig.ioc.is_broken(bad.id));
    assert_eq!(commands(&bad.received(&mut rig)), [Command::ERROR]);
    bad.close(&mut rig);
    assert_eq!(good.read(&mut rig, x, DOUBLE, 1).f64(), 0.0);
}

#[test]
fn pvs_that_look_alike_share_what_describes_them() {
    let spec = |n: i32| PvSpec::long(n).units("mm").warning(f64::NAN, 1e9);
    let pvs = (0..60_000).map(|n| (format!("sim:pv{n}"), spec(n)));
    let mut ioc = Ioc::builder().pvs(pvs).build().unwrap();
    ioc.start(ca_proto::Instant::ZERO, START, 5064);
    assert_eq!(ioc.pv_count(), 60_000);
    let (a, b) = (
        ioc.read("sim:pv0").unwrap(),
        ioc.read("sim:pv59999").unwrap(),
    );
    assert!(std::sync::Arc::ptr_eq(&a.meta, &b.meta));
    assert_eq!(ioc.number("sim:pv59999"), Ok(59_999.0));
}

#[test]
fn wrong_descriptions_are_refused_with_the_name() {
    let build = |name: &str, spec| Ioc::builder().pv(name, spec).build().unwrap_err();
    let long = "n".repeat(992);
    for name in ["", ".b", "a b", long.as_str()] {
        assert!(
            matches!(build(name, PvSpec::long(0)), BuildError::BadName { .. }),
            "{name}"
        );
    }
    let twice = Ioc::builder()
        .pv("x", PvSpec::long(0))
        .pv("x", PvSpec::long(1));
    let twice = twice.build().unwrap_err();
    assert_eq!(
        twice,
        BuildError::Duplicate {
            name: "x".to_owned()
        }
    );
    let full = build("w", PvSpec::array([1, 2, 3]).capacity(2));
    assert!(full.to_string().contains("raise the capacity"), "{full}");
    let none = build("w", PvSpec::array([1]).capacity(0));
    assert!(matches!(none, BuildError::BadCapacity { .. }));
    let fast = PvSpec::long(0).signal(Counter::new(), Duration::ZERO);
    assert!(matches!(build("s", fast), BuildError::BadPeriod { .. }));
    let text = Ioc::builder().pv_text("x=int:1").build().unwrap_err();
    assert!(text.to_string().contains("x=int:1"), "{text}");
}
