//! Client and IOC together, one situation per test, each with its dialogue as a snapshot.

use core::net::{Ipv4Addr, SocketAddrV4};
use core::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::client::{Event, Lifecycle, SubSpec, Token};
use ca_proto::wire::message::EventMask;
use ca_server_sim::PvSpec;
use ca_testkit::api::{self, ClientId, IocId};
use ca_testkit::host::{Answer, ClientHost, HostileHost, IocHost, RepeaterHost};
use ca_testkit::{Segmentation, World};

const SEC: Duration = Duration::from_secs(1);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// An IOC with the number `x`, which is 1, and a client.
fn usual() -> (World, IocId, ClientId) {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
    });
    let c = w.client();
    (w, ioc, c)
}

/// The same, with a subscription to `x` that has its first update.
fn watched() -> (World, IocId, ClientId, Token) {
    let (mut w, ioc, c) = usual();
    let sub = c.subscribe(&mut w, "x", api::time());
    w.settle().unwrap();
    (w, ioc, c, sub)
}

#[test]
fn connect_and_read() {
    let mut w = World::new(1);
    w.ioc(|db| {
        db.ai("x", 1.5);
    });
    let c = w.client();
    let reading = c.get(&mut w, "x");
    assert_eq!(reading.get_f64(0), Some(1.5));
    c.shutdown(&mut w);
    w.settle().unwrap();
    w.trace.assert_snapshot("connect_and_read");
}

#[test]
fn subscribe_and_updates() {
    let (mut w, ioc, c, sub) = watched();
    for value in [2.0, 3.0] {
        ioc.post(&mut w, "x", value);
        w.settle().unwrap();
    }
    c.unsubscribe(&mut w, sub);
    w.settle().unwrap();
    ioc.post(&mut w, "x", 4.0);
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0, 2.0, 3.0]);
    w.trace.assert_snapshot("subscribe_and_updates");
}

#[test]
fn cancel_then_late_update_is_dropped() {
    let (mut w, ioc, c, sub) = watched();
    w.net.hold(ioc, c); // updates stay in flight
    ioc.post(&mut w, "x", 2.0);
    c.unsubscribe(&mut w, sub);
    let again = c.subscribe(&mut w, "x", api::time());
    w.settle().unwrap();
    w.net.release(ioc, c);
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0]);
    assert_eq!(c.updates(&w, again), [2.0]);
    w.trace.assert_snapshot("cancel_then_late_update");
}

/// The word that a value may not be read is not sent as the value that can be read by then, which
/// would come before older ones.
#[test]
fn rights_that_come_back_before_they_were_told_keep_the_order() {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
    });
    let c = w.client();
    let sub = c.subscribe(&mut w, "x", api::time());
    w.settle().unwrap();
    let now = w.now();
    ioc.with(&mut w, |ioc| {
        ioc.set_rights(now, "x", AccessRights::NONE).unwrap();
        ioc.set_rights(now, "x", AccessRights::ALL).unwrap();
        ioc.post(now, "x", 2.0).unwrap();
    });
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0, 1.0, 2.0]);
}

/// An update without elements and the confirmation of a cancel look alike
/// (`event_cancel_reply` of EPICS Base).
#[test]
fn cancel_while_an_empty_array_is_under_way() {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.waveform("w", &[1.0, 2.0]);
    });
    let c = w.client();
    let plain = SubSpec {
        ty: ca_proto::client::TypeSpec::Family(ca_proto::dbr::Family::Plain),
        ..api::time()
    };
    let sub = c.subscribe(&mut w, "w", plain);
    let other = c.subscribe(&mut w, "w", plain);
    w.settle().unwrap();
    w.net.hold(ioc, c);
    ioc.post(
        &mut w,
        "w",
        ca_proto::dbr::Value::empty(ca_proto::dbr::NativeType::Double),
    );
    c.unsubscribe(&mut w, sub);
    w.settle().unwrap();
    w.net.release(ioc, c);
    ioc.post(&mut w, "w", [5.0]);
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0]);
    assert_eq!(c.updates(&w, other).last(), Some(&5.0));
}

#[test]
fn an_ioc_restart_brings_everything_back() {
    let (mut w, ioc, c, sub) = watched();
    ioc.post(&mut w, "x", 2.0);
    w.settle().unwrap();
    ioc.stop(&mut w);
    w.run_for(3 * SEC);
    assert!(!c.is_connected(&w, "x"));
    ioc.start(&mut w);
    w.run_until(|w| c.is_connected(w, "x"));
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0, 2.0, 1.0]);
    let seen: Vec<Lifecycle> = (w.host::<ClientHost>(c).sub(sub).lifecycle.iter())
        .map(|(_, change)| *change)
        .collect();
    use Lifecycle::{Connected, Disconnected};
    assert_eq!(seen, [Connected, Disconnected, Connected]);
    w.trace.assert_snapshot("ioc_restart");
}

#[test]
fn an_ioc_comes_back_with_another_type() {
    let (mut w, ioc, c, sub) = watched();
    ioc.stop(&mut w);
    ioc.start_with(&mut w, |db| {
        db.longin("x", 7);
    });
    w.run_until(|w| c.updates(w, sub).len() == 2);
    let update = w.host::<ClientHost>(c).sub(sub).updates[1].clone();
    let reading = update.reading.unwrap();
    assert_eq!(reading.ty().to_string(), "DBR_TIME_LONG");
    assert_eq!(reading.get_f64(0), Some(7.0));
}

#[test]
fn a_lost_circuit_brings_everything_back() {
    let (mut w, ioc, c, sub) = watched();
    w.net.hold(ioc, c);
    let read = c.read(&mut w, "x", api::read_time()).unwrap();
    w.settle().unwrap();
    w.net.release(ioc, c);
    w.net.reset(c, ioc);
    w.run_until(|w| !c.is_connected(w, "x"));
    ioc.post(&mut w, "x", 2.0);
    w.run_until(|w| c.is_connected(w, "x"));
    w.settle().unwrap();
    assert!(c.answer(&w, read).is_some());
    assert_eq!(c.updates(&w, sub).last(), Some(&2.0));
    w.trace.assert_snapshot("lost_circuit");
}

/// `tcpiiu::unresponsiveCircuitNotify` and `tcpiiu::responsiveCircuitNotify` of EPICS Base: the circuit is
/// kept, the channel disconnected.
#[test]
fn a_silent_server_is_unresponsive_and_responsive_again() {
    let (mut w, ioc, c, sub) = watched();
    w.net.partition(c, ioc, true);
    w.run_for(secs(40));
    assert!(!c.is_connected(&w, "x"));
    let unresponsive = |event: &Event| matches!(event, Event::Unresponsive { .. });
    let events = w.host::<ClientHost>(c).events();
    assert!(events.iter().any(|(_, event)| unresponsive(event)));
    ioc.post(&mut w, "x", 2.0);
    w.net.partition(c, ioc, false);
    w.run_until(|w| c.is_connected(w, "x"));
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub).last(), Some(&2.0));
    assert_eq!(w.net.stats.dials, 1);
    w.trace.assert_snapshot("unresponsive");
}

#[test]
fn a_server_without_power_is_found_again_after_its_reboot() {
    let (mut w, ioc, c, sub) = watched();
    ioc.power_off(&mut w);
    w.run_for(secs(120));
    ioc.start(&mut w);
    w.run_until(|w| c.is_connected(w, "x"));
    w.settle().unwrap();
    assert_eq!(c.updates(&w, sub), [1.0, 1.0]);
}

/// PROTOCOL C25. What was connected before waits for the governor, up to 10 s; what is opened now
/// joins the circuit of the server that is gone, and must not wait as well.
#[test]
fn a_channel_opened_after_a_reboot_does_not_wait_for_what_was_lost() {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
        db.ai("y", 2.0);
    });
    let c = w.client();
    c.connect(&mut w, "x");
    w.run_for(SEC);
    ioc.power_off(&mut w);
    w.run_for(SEC);
    ioc.start(&mut w);
    let start = w.now();
    c.open(&mut w, "y");
    w.run_until(|w| c.is_connected(w, "y"));
    assert!(w.now() - start < Duration::from_millis(100));
    assert!(!c.is_connected(&w, "x"), "its circuit was reset");
    w.run_until(|w| c.is_connected(w, "x"));
    assert!(w.now() - start < secs(10));
}

/// PROTOCOL C26: 30 s of silence and 5 s for the echo, although the user writes all the while.
#[test]
fn a_user_who_writes_is_told_of_a_server_without_power() {
    let (mut w, ioc, c, _) = watched();
    ioc.power_off(&mut w);
    let start = w.now();
    while c.is_connected(&w, "x") {
        let _ = c.write(&mut w, "x", 2.0);
        w.run_for(secs(2));
        assert!(w.now() - start < secs(60));
    }
    assert!(w.now() - start <= secs(38));
}

#[test]
fn a_put_notify_completes_later() {
    let mut w = World::new(1);
    w.ioc(|db| {
        db.pv("slow", PvSpec::double(1.0).completes_after(secs(2)));
        db.ai("x", 0.0);
    });
    let c = w.client();
    c.connect(&mut w, "slow");
    c.connect(&mut w, "x");
    w.settle().unwrap();
    let start = w.now();
    let first = c.write_notify(&mut w, "slow", 2.0).unwrap();
    let second = c.write_notify(&mut w, "slow", 3.0).unwrap();
    // Others are not kept waiting.
    assert_eq!(c.get(&mut w, "x").get_f64(0), Some(0.0));
    assert!(w.now() - start < SEC);
    assert_eq!(c.answer(&w, first), None);
    assert_eq!(c.wait(&mut w, first), Answer::Written);
    assert!((2 * SEC..3 * SEC).contains(&(w.now() - start)));
    assert_eq!(c.wait(&mut w, second), Answer::Written);
    assert!((4 * SEC..5 * SEC).contains(&(w.now() - start)));
    assert_eq!(c.get(&mut w, "slow").get_f64(0), Some(3.0));
    w.trace.assert_snapshot("put_notify_later");
}

/// `db_queue_event_log` of EPICS Base: values in between may be lost, the newest never.
#[test]
fn a_slow_reader_sees_squashed_values_and_the_last_one() {
    let mut w = World::new(1);
    w.net.send_buffer = 2000;
    let ioc = w.ioc(|db| {
        db.ai("x", 0.0);
    });
    let c = w.client();
    w.net.set_link(ioc, c, |link| link.bandwidth = Some(2_000));
    let sub = c.subscribe(&mut w, "x", api::time());
    w.run_until(|w| c.updates(w, sub).len() == 1);
    for n in 1..=10_000 {
        ioc.post(&mut w, "x", f64::from(n));
        w.run_for(Duration::from_millis(1));
    }
    w.run_for(secs(100));
    let seen = c.updates(&w, sub);
    assert!(seen.is_sorted());
    assert!((200..3_000).contains(&seen.len()), "{}", seen.len());
    assert_eq!(seen.last(), Some(&10_000.0));
}

/// `tcpiiu::processIncoming` of EPICS Base: ten reads in a row that leave something behind. Pieces of payloads that
/// have a buffer of their own do not count.
#[test]
fn flow_control_stops_and_resumes_updates() {
    let mut w = World::new(1);
    w.net.read_size = 512;
    w.net.send_buffer = 4 << 20;
    let ioc = w.ioc(|db| {
        db.waveform("w", &[0.0; 1900]);
    });
    let c = w.client();
    let sub = c.subscribe(&mut w, "w", api::time());
    w.settle().unwrap();
    for n in 1..20 {
        ioc.post(&mut w, "w", vec![f64::from(n); 1900]);
        w.run_for(Duration::from_micros(10));
    }
    w.settle().unwrap();
    assert!(w.trace.count("EVENTS_OFF") > 0);
    assert_eq!(w.trace.count("EVENTS_OFF"), w.trace.count("EVENTS_ON"));
    assert_eq!(c.updates(&w, sub).last(), Some(&19.0));
}

/// `disconnectGovernorTimer` and `bhe::updatePeriod` of EPICS Base: a new server's beacon makes slow searches
/// fast again.
#[test]
fn a_beacon_anomaly_boosts_the_search() {
    let find = |repeater: bool| {
        let mut w = World::new(1);
        let c = w.client();
        if repeater {
            w.repeater(c);
        }
        c.open(&mut w, "late");
        w.run_for(secs(600));
        w.ioc(|db| {
            db.ai("late", 1.0);
        });
        w.run_until(|w| c.is_connected(w, "late"))
    };
    let (with, without) = (find(true), find(false));
    assert!(with < secs(10), "{with:?}");
    assert!(without > with, "{without:?}");
}

/// `ca_repeater` of EPICS Base: a registration is an occasion to look who is still there.
#[test]
fn a_repeater_forgets_clients_that_are_gone() {
    let mut w = World::new(1);
    let first = w.client();
    let repeater = w.repeater(first);
    let clients = |w: &World| {
        let clients = w.host::<RepeaterHost>(repeater).repeater().clients();
        clients
            .iter()
            .map(|client| client.port())
            .collect::<Vec<_>>()
    };
    first.open(&mut w, "nobody");
    w.run_for(secs(2));
    let gone = clients(&w);
    assert_eq!(gone.len(), 1);
    let addr = w.net.addr(first);
    let second = w.client_at(addr, |params| params);
    second.open(&mut w, "nobody");
    w.run_for(secs(2));
    assert_eq!(clients(&w).len(), 2);
    w.kill(first);
    // Beacons do not tell; the next client does.
    w.run_for(secs(30));
    assert_eq!(clients(&w).len(), 2);
    let third = w.client_at(addr, |params| params);
    third.open(&mut w, "nobody");
    w.run_for(secs(2));
    assert_eq!(clients(&w).len(), 2);
    assert!(!clients(&w).contains(&gone[0]));
}

/// `cac::transferChanToVirtCircuit` of EPICS Base.
#[test]
fn of_two_iocs_with_one_name_the_first_is_kept() {
    let mut w = World::new(1);
    for value in [1.0, 2.0] {
        w.ioc(move |db| {
            db.ai("x", value);
        });
    }
    let c = w.client();
    let reading = c.get(&mut w, "x");
    w.settle().unwrap();
    assert_eq!(reading.get_f64(0), Some(1.0));
    let duplicate = |event: &Event| matches!(event, Event::Duplicate { .. });
    let events = w.host::<ClientHost>(c).events();
    assert_eq!(events.iter().filter(|(_, e)| duplicate(e)).count(), 1);
    assert_eq!(w.net.stats.dials, 1);
    w.trace.assert_snapshot("two_iocs_one_name");
}

/// `SearchDestTCP` of EPICS Base.
#[test]
fn a_name_server_is_asked_over_tcp() {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.ai("x", 1.0);
    });
    let server = SocketAddrV4::new(w.net.addr(ioc), 5064);
    let c = w.client_with(|params| params.search_addrs(Vec::new()).name_servers(vec![server]));
    assert_eq!(c.get(&mut w, "x").get_f64(0), Some(1.0));
    w.settle().unwrap();
    w.trace.assert_snapshot("name_server");
}

/// `cast_server.c` of EPICS Base: several servers on one host answer on their own TCP ports.
#[test]
fn two_iocs_on_one_host_are_both_found() {
    let mut w = World::new(1);
    let addr = Ipv4Addr::new(10, 0, 0, 7);
    for (name, port) in [("a", 5064), ("b", 40_001)] {
        w.ioc_at(addr, port, move |db| {
            db.stringin(name, name);
        });
    }
    let c = w.client();
    assert_eq!(c.get(&mut w, "a").string(0).as_deref(), Some("a"));
    assert_eq!(c.get(&mut w, "b").string(0).as_deref(), Some("b"));
}

#[test]
fn a_directed_broadcast_reaches_another_subnet() {
    let mut w = World::new(1);
    w.ioc_at(Ipv4Addr::new(10, 0, 5, 1), 5064, |db| {
        db.ai("far", 1.0);
    });
    let blind = w.client();
    let c = w.client_with(|params| {
        params.search_addrs(vec![SocketAddrV4::new(Ipv4Addr::new(10, 0, 5, 255), 5064)])
    });
    blind.open(&mut w, "far");
    assert_eq!(c.get(&mut w, "far").get_f64(0), Some(1.0));
    assert!(!blind.is_connected(&w, "far"));
}

/// The whole dialogue, cut once at each byte, gives the same deliveries (invariant 1).
#[test]
fn segmentation_at_every_byte_changes_nothing() {
    let run = |segmentation| {
        let mut w = World::new(1);
        w.net.segmentation = segmentation;
        let ioc = w.ioc(|db| {
            db.ai("x", 1.0);
            db.stringin("s", "text");
            db.waveform("w", &[1.0, 2.0, 3.0]);
        });
        let c = w.client();
        let subs: Vec<_> = ["x", "s", "w"]
            .into_iter()
            .map(|name| c.subscribe(&mut w, name, api::time()))
            .collect();
        w.settle().unwrap();
        let put = c.write_notify(&mut w, "x", 2.0).unwrap();
        let read = c.read(&mut w, "s", api::read_time()).unwrap();
        ioc.post(&mut w, "w", [4.0, 5.0]);
        w.settle().unwrap();
        let host = w.host::<ClientHost>(c);
        let updates: Vec<_> = subs
            .iter()
            .map(|sub| host.sub(*sub).updates.clone())
            .collect();
        let answers = [host.answer(put).cloned(), host.answer(read).cloned()];
        assert!(answers.iter().all(Option::is_some));
        (updates, answers, w.net.stats.bytes)
    };
    let whole = run(Segmentation::Whole);
    // Both directions together have this many bytes, so each is cut at each of its own.
    for cut in 1..whole.2 {
        assert_eq!(whole, run(Segmentation::CutAt(cut)), "cut at {cut}");
    }
    for most in [1, 2, 3, 5, 8, 13, 21] {
        assert_eq!(whole, run(Segmentation::AtMost(most)), "at most {most}");
    }
}

#[test]
fn nothing_is_left_after_the_shutdown() {
    let (mut w, ioc, c) = usual();
    w.repeater(c);
    c.subscribe(&mut w, "x", api::time());
    c.open(&mut w, "nobody");
    w.run_for(secs(5));
    c.shutdown(&mut w);
    w.run_for(secs(10));
    assert_eq!(w.net.open_streams(c) + w.net.open_streams(ioc), 0);
    assert_eq!(w.host::<ClientHost>(c).client().poll_timeout(), None);
    assert_eq!(w.host::<ClientHost>(c).client().channel_count(), 0);
}

#[test]
fn three_subscriptions_of_different_types_on_one_channel() {
    let (mut w, ioc, c) = usual();
    let families = [
        ca_proto::dbr::Family::Plain,
        ca_proto::dbr::Family::Time,
        ca_proto::dbr::Family::Ctrl,
    ];
    let subs: Vec<_> = families
        .into_iter()
        .map(|family| {
            let spec = SubSpec {
                ty: ca_proto::client::TypeSpec::Family(family),
                count: 0,
                mask: EventMask::VALUE,
            };
            c.subscribe(&mut w, "x", spec)
        })
        .collect();
    w.settle().unwrap();
    ioc.post(&mut w, "x", 2.0);
    w.settle().unwrap();
    for (sub, family) in subs.into_iter().zip(families) {
        assert_eq!(c.updates(&w, sub), [1.0, 2.0]);
        let log = w.host::<ClientHost>(c).sub(sub);
        let ty = log.updates[0].reading.as_ref().map(|reading| reading.ty());
        assert_eq!(ty.and_then(|ty| ty.family()), Some(family));
    }
}

#[test]
fn a_hostile_host_harms_nobody_else() {
    let mut w = World::new(7);
    let ioc = w.ioc(|db| {
        db.ai("x", 0.0);
    });
    let c = w.client();
    w.repeater(c);
    let sub = c.subscribe(&mut w, "x", api::time());
    w.settle().unwrap();
    let targets = w.hosts().map(|host| w.net.addr(host)).collect();
    let addr = w.free_addr(0);
    let hostile = HostileHost::noisy(7, targets, w.now());
    let hostile = w.add("n", addr, hostile);
    c.open(&mut w, "nobody");
    for n in 1..=1200 {
        ioc.post(&mut w, "x", f64::from(n));
        w.run_for(Duration::from_millis(100));
    }
    w.with(hostile, |host: &mut HostileHost, _| host.stop());
    w.run_for(SEC);
    let expected: Vec<f64> = (0..=1200).map(f64::from).collect();
    assert_eq!(c.updates(&w, sub), expected);
    // It was not idle.
    assert!(w.host::<IocHost>(ioc).violations().len() > 5);
}

/// Messages for channels that were closed meanwhile are not taken for a fault of the server.
#[test]
fn a_shutdown_in_the_middle_of_a_burst_is_quiet() {
    let mut w = World::new(1);
    let ioc = w.ioc(|db| {
        db.ai("x", 0.0);
    });
    let c = w.client();
    let sub = c.subscribe(&mut w, "x", api::time());
    w.settle().unwrap();
    for n in 1..=50 {
        ioc.post(&mut w, "x", f64::from(n));
        if n == 25 {
            c.shutdown(&mut w);
        }
        w.run_for(Duration::from_micros(100));
    }
    w.settle().unwrap();
    let updates = c.updates(&w, sub);
    assert!(updates.len() < 25, "{updates:?}");
    assert_eq!(w.net.open_streams(c) + w.net.open_streams(ioc), 0);
    assert_eq!(w.host::<ClientHost>(c).violations(), []);
}
