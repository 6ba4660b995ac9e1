//! What requests make the IOC do is done in turns: puts, channels and completions are counted.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::Value;
use ca_proto::ids::{Cid, Sid};
use ca_proto::server::PutOutcome;
use ca_proto::wire::message::Text;
use ca_proto::wire::{Command, Minor, tcp};
use ca_server_sim::{Ioc, PutDecision, PvSpec};

use super::{MOST, NOW, Peer, crowded, put_notify, start, turns};

#[test]
fn very_many_puts_of_one_channel_begin_in_turns_and_are_dropped_in_turns() {
    const PUTS: u32 = 60_000;
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let slow = PvSpec::double(0.0).completes_never().on_put(move |put| {
        counter.fetch_add(1, Ordering::Relaxed);
        match put.value == &Value::scalar(0.0) {
            true => PutDecision::Accept,
            false => PutDecision::Reject(EcaStatus::PUTFAIL),
        }
    });
    let mut ioc = start(Ioc::builder().pv("slow", slow));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["slow".to_owned()]);
    // Behind each other in the record, then in the circuit.
    for channels in [PUTS, 1] {
        let mut hostile = Peer::new(&mut ioc);
        hostile.create(&mut ioc, (0..channels).map(|_| "slow".to_owned()));
        let (first, other) = (0.0_f64.to_be_bytes(), 1.0_f64.to_be_bytes());
        let put = |n: u32| put_notify(n % channels, n, if n == 0 { &first } else { &other });
        hostile.send(&mut ioc, (0..PUTS).map(put));
        calls.store(0, Ordering::Relaxed);
        assert!(ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap());
        assert!(calls.load(Ordering::Relaxed) < MOST);
        turns(&mut ioc, &mut honest, |_| calls.load(Ordering::Relaxed));
        assert_eq!(calls.load(Ordering::Relaxed), PUTS as usize - 1);
        hostile.heard.clear();
        hostile.listen(&mut ioc);
        let answers = hostile
            .heard
            .iter()
            .filter(|(command, _)| *command == Command::WRITE_NOTIFY);
        assert_eq!(answers.count(), PUTS as usize);
        ioc.handle_closed(NOW, hostile.id);
        turns(&mut ioc, &mut honest, |ioc| ioc.counts().channels);
    }
    // Dropped with the channel.
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, ["slow".to_owned()]);
    let data = 0.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..PUTS).map(|n| put_notify(0, n, &data)));
    hostile.heard.clear();
    let clear = tcp::Request::ClearChannel {
        data_type: 0,
        count: 0,
        sid: Sid(0),
        cid: Cid(0),
    };
    let mut bytes = Vec::new();
    clear.encode_into(&mut bytes);
    ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes)
        .unwrap();
    assert!(
        !ioc.is_readable(hostile.id),
        "what it deletes is paid for by its own requests"
    );
    let turns = turns(&mut ioc, &mut honest, |_| 0);
    assert!(turns > PUTS as usize / MOST, "{turns} turns");
    assert!(ioc.is_readable(hostile.id));
    hostile.listen(&mut ioc);
    assert_eq!(hostile.heard, [(Command::CLEAR_CHANNEL, 0)]);
}

#[test]
fn puts_that_complete_at_the_same_instant_end_in_turns() {
    const PVS: u32 = 20_000;
    let period = Duration::from_secs(2);
    let spec = move |n| {
        (
            format!("slow{n}"),
            PvSpec::double(0.0).completes_after(period),
        )
    };
    let mut ioc = start(Ioc::builder().pvs((0..PVS).map(spec)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["slow0".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, (0..PVS).map(|n| format!("slow{n}")));
    let data = 1.0_f64.to_be_bytes();
    hostile.send(&mut ioc, (0..PVS).map(|n| put_notify(n, n, &data)));
    let (later, mut before, mut rounds) = (NOW + period, ioc.counts().puts, 0);
    while ioc.poll_timeout().is_some_and(|at| at <= later) {
        ioc.handle_timeout(later);
        let now = ioc.counts().puts;
        assert!(before - now <= MOST);
        before = now;
        assert!(honest.read(&mut ioc));
        hostile.listen(&mut ioc);
        rounds += 1;
    }
    assert!((3..1000).contains(&rounds), "{rounds} turns");
    assert_eq!(ioc.counts().puts, 0);
}

#[test]
fn switching_updates_off_and_on_costs_what_it_takes() {
    let (mut ioc, mut honest, mut hostile) = crowded();
    let mut bytes = Vec::new();
    for _ in 0..2000 {
        tcp::Request::EventsOff {}.encode_into(&mut bytes);
        tcp::Request::EventsOn {}.encode_into(&mut bytes);
    }
    // Each looks at every one of 11 000 rings.
    let done = ioc.handle_chunk(NOW, hostile.id, &mut hostile.deframer, &bytes);
    assert!(done.unwrap() / 16 < 100, "requests in one turn");
    assert!(honest.read(&mut ioc));
}

#[test]
fn opening_channels_ends_a_turn_before_a_chunk_is_through() {
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut peer = Peer::new(&mut ioc);
    let mut bytes = Vec::new();
    for n in 0..2000 {
        let name = format!("x.VAL[{n}]");
        tcp::Request::CreateChan {
            cid: Cid(n),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        }
        .encode_into(&mut bytes);
    }
    ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, &bytes)
        .unwrap();
    assert!(ioc.counts().channels < 1000);
}

/// Rights that are withdrawn while a put waits for another client's.
#[test]
fn a_put_that_waited_is_refused_if_rights_were_withdrawn_meanwhile() {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let lines = Arc::clone(&log);
    let slow = PvSpec::double(0.0).completes_never();
    let mut ioc = start(Ioc::builder().pv("slow", slow).put_log(move |put| {
        lines.lock().unwrap().push(put.outcome);
    }));
    let (mut first, mut second) = (Peer::new(&mut ioc), Peer::new(&mut ioc));
    let data = [1.0_f64, 2.0].map(f64::to_be_bytes);
    for (peer, data) in [(&mut first, &data[0]), (&mut second, &data[1])] {
        peer.create(&mut ioc, ["slow".to_owned()]);
        peer.send(&mut ioc, [put_notify(0, 1, data)]);
        peer.heard.clear();
    }
    ioc.set_rights(NOW, "slow", AccessRights::READ).unwrap();
    assert!(ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap());
    assert_eq!(ioc.number("slow").unwrap(), 1.0, "not carried out");
    second.listen(&mut ioc);
    assert!(
        second
            .heard
            .contains(&(Command::WRITE_NOTIFY, EcaStatus::NOWTACCESS.0))
    );
    assert!(
        !ioc.finish_put(NOW, "slow", EcaStatus::NORMAL).unwrap(),
        "nothing is under way"
    );
    let last = log.lock().unwrap().last().copied();
    assert_eq!(last, Some(PutOutcome::Done(EcaStatus::NOWTACCESS)));
}
