//! Faults of whole circuits, the flow of bytes, and the line protocol.

use super::*;
use crate::control::execute;
use crate::rule::How;

const ECHO: Request<'_> = Request::EventsOn {};

#[test]
fn an_opening_is_refused_or_delayed() {
    let text = "[[rule]]\non='circuit'\naction='refuse'\ntimes=1\n\
                [[rule]]\non='circuit'\naction='delay'\nby='2s'\nafter=1\ntimes=1\n";
    let mut engine = engine(text);
    let mut open = || engine.open(at(0), CLIENT, SERVER);
    assert_eq!(open(), Opening::Refuse);
    let after = Duration::from_secs(2);
    assert_eq!(open(), Opening::Connect { id: 2, after });
    let after = Duration::ZERO;
    assert_eq!(open(), Opening::Connect { id: 3, after });
    assert_eq!(engine.stats()[0], "circuits 2, opened 3, refused 1");
}

#[test]
fn circuits_beyond_the_bound_are_refused() {
    let mut engine = engine("");
    for _ in 0..super::super::MAX_CIRCUITS {
        assert_ne!(engine.open(at(0), CLIENT, SERVER), Opening::Refuse);
    }
    assert_eq!(engine.open(at(0), CLIENT, SERVER), Opening::Refuse);
    engine.closed(at(0), 1, "gone");
    assert_ne!(engine.open(at(0), CLIENT, SERVER), Opening::Refuse);
}

#[test]
fn a_circuit_is_cut_after_so_many_bytes() {
    let text = "[[rule]]\non='circuit'\naction='cut'\nbytes=40\ndirection='request'\nhow='reset'\n";
    let mut rig = Rig::new(text);
    for _ in 0..4 {
        rig.request(&ECHO);
    }
    let expected = ["EVENTS_ON", "EVENTS_ON", "8 bytes", "CUT"];
    assert_eq!(rig.heard(Direction::Request), expected);
    let output = rig.engine.output(at(0), rig.id, Direction::Request);
    assert_eq!(output, Output::Cut(How::Reset));
}

#[test]
fn a_stall_holds_one_direction_for_its_time() {
    let text = "[[rule]]\non='events_on'\naction='stall'\nby='5s'\n";
    let mut rig = Rig::new(text);
    rig.request(&ECHO);
    rig.response(&created(1));
    assert_eq!(rig.heard(Direction::Request), [""; 0]);
    assert_eq!(rig.heard(Direction::Response).len(), 1);
    assert_eq!(rig.wake(), Some(at(5000)));
    assert_eq!(rig.at(4999).heard(Direction::Request), [""; 0]);
    assert_eq!(rig.at(5000).heard(Direction::Request), ["EVENTS_ON"]);
}

#[test]
fn a_stalled_circuit_goes_on_when_its_rule_is_switched_off() {
    let text = "[[rule]]\nid='hole'\non='circuit'\naction='stall'\nenabled=false\n";
    let mut rig = Rig::new(text);
    rig.engine.switch(at(0), "hole", true);
    rig.request(&ECHO);
    rig.engine.ended(at(0), rig.id, Direction::Request);
    assert_eq!(rig.heard(Direction::Request), [""; 0]);
    rig.at(100_000).engine.switch(at(100_000), "hole", false);
    assert_eq!(rig.heard(Direction::Request), ["EVENTS_ON", "END"]);
}

#[test]
fn a_throttle_spreads_bytes_over_time() {
    let text = "[[rule]]\non='circuit'\naction='throttle'\nrate=1000\ndirection='response'\n";
    let mut rig = Rig::new(text);
    let mut message = vec![0, 23, 0x06, 0x30];
    message.resize(1600, 0);
    rig.bytes(Direction::Response, &message);
    let (mut bytes, mut wakes) = (0, 0);
    loop {
        bytes += rig.drain(Direction::Response).0.len();
        let Some(next) = rig.wake() else { break };
        rig.now = next;
        wakes += 1;
    }
    assert_eq!(bytes, 1600);
    assert_eq!(wakes, 1600 / 20 - 1, "slices of 20 ms");
    assert_eq!(rig.now, at(1580));
    // The other direction is as fast as ever.
    rig.bytes(Direction::Request, &[0; 1600]);
    assert_eq!(rig.drain(Direction::Request).0.len(), 1600);
}

#[test]
fn a_receiver_that_takes_nothing_stops_its_sender() {
    let mut rig = Rig::new("");
    let chunk = [0; 64 * 1024];
    let mut fed = 0;
    while rig.engine.has_room(rig.id, Direction::Response) {
        rig.bytes(Direction::Response, &chunk);
        fed += chunk.len();
        assert!(fed <= 2 * 1024 * 1024);
    }
    assert!(rig.engine.has_room(rig.id, Direction::Request));
    assert_eq!(rig.drain(Direction::Response).0.len(), fed);
    assert!(rig.engine.has_room(rig.id, Direction::Response));
}

#[test]
fn what_waits_is_bounded_too() {
    let text = "[[rule]]\non='event_add'\naction='delay'\nby='1s'\n";
    let mut rig = Rig::with_channels(text, &["a"]);
    let mut updates = 0;
    while rig.engine.has_room(rig.id, Direction::Response) {
        rig.update(1, 1);
        updates += 1;
    }
    assert!((10_000..15_000).contains(&updates), "{updates}");
    assert_eq!(rig.at(1000).updates().len(), updates);
    assert!(rig.engine.has_room(rig.id, Direction::Response));
}

#[test]
fn the_end_of_a_stream_comes_behind_what_waits() {
    let text = "[[rule]]\non='events_on'\naction='delay'\nby='1s'\n";
    let mut rig = Rig::new(text);
    rig.request(&ECHO);
    rig.bytes(Direction::Request, &[0, 9, 0]);
    rig.engine.ended(at(0), rig.id, Direction::Request);
    assert_eq!(rig.heard(Direction::Request), [""; 0]);
    let expected = ["EVENTS_ON", "3 bytes", "END"];
    assert_eq!(rig.at(1000).heard(Direction::Request), expected);
}

#[test]
fn a_search_reply_on_a_circuit_leads_to_the_proxy() {
    use ca_proto::wire::message::{Port, SAME_ADDRESS};
    let mut rig = Rig::new("");
    let found = |port, server: SocketAddrV4| Response::Search {
        port: Port(port),
        server: *server.ip(),
        cid: Cid(5),
    };
    rig.response(&found(5064, SERVER));
    rig.response(&found(5065, address(9, 5065)));
    rig.response(&found(1, address(9, 1)));
    let expected = [6000, 6001].map(|port| {
        let server = SAME_ADDRESS;
        let (port, cid) = (Port(port), Cid(5));
        Response::Search { port, server, cid }.to_string()
    });
    assert_eq!(rig.heard(Direction::Response), expected);
}

#[test]
fn lines_list_switch_count_and_cut() {
    let text = "[[rule]]\nid='a'\non='search'\naction='drop'\n\
                [[rule]]\nid='bb'\non='circuit'\naction='throttle'\nrate=10\nenabled=false\n";
    let mut rig = Rig::new(text);
    let mut say = |line: &str| execute(&mut rig.engine, at(0), line);
    let list = "a   on   0/0  search response: drop\n\
                bb  off  0/0  circuit: throttle 10 bytes/s\nok";
    assert_eq!(say("list").text, list);
    let reply = say("  on bb \r\n");
    assert_eq!((&reply.text[..], reply.changed), ("ok", true));
    assert_eq!(say("off all").text, "ok");
    assert!(say("list").text.contains("a   off"));
    assert!(
        say("stats")
            .text
            .contains("#1 10.0.0.1:40000 to 10.0.0.2:5064: 0 channels")
    );
    assert_eq!(
        say("on c").text,
        "error: there is no rule c; `list` shows them"
    );
    assert_eq!(say("on").text, "error: name the rules; `list` shows them");
    assert_eq!(
        say("cut 7").text,
        "error: there is no circuit 7; `stats` shows them"
    );
    assert_eq!(
        say("jump").text,
        "error: there is no command `jump`; `help` shows them"
    );
    assert!(say("help").text.ends_with("\nok"));
    assert!(say("quit").quit);
    assert_eq!(say("cut #1").text, "ok");
    assert_eq!(rig.heard(Direction::Response), ["CUT"]);
}
