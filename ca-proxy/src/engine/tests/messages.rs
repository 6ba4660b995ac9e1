//! Faults of single messages on a circuit.

use super::*;

const UPDATES: &str = "[[rule]]\nid = 'u'\non = 'event_add'\n";

fn script(lines: &str) -> String {
    format!("{UPDATES}{lines}\n")
}

#[test]
fn without_rules_every_byte_passes_in_any_chunks() {
    let mut sent = Vec::new();
    for message in [rights(1, 3), created(1)] {
        sent.extend(bytes(&message));
    }
    // An extended header that is not needed, then something with a size that cannot be.
    sent.extend([0, 15, 0xff, 0xff, 0, 20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9]);
    sent.extend([0, 0, 0, 8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8]);
    sent.extend([
        0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 1, 2, 3, 4, 5,
    ]);
    for size in [1, 7, 16, 1000] {
        let mut rig = Rig::new("");
        let mut heard = Vec::new();
        for chunk in sent.chunks(size) {
            rig.bytes(Direction::Response, chunk);
            heard.extend(rig.drain(Direction::Response).0);
        }
        assert_eq!(heard, sent, "chunks of {size}");
    }
}

#[test]
fn a_message_above_the_limit_passes_in_pieces() {
    let payload = super::super::input::MAX_MESSAGE as u32;
    let mut rig = Rig::with_channels(
        "[[rule]]\non='event_add'\nname='a'\naction='delay'\nby='10ms'\n",
        &["a"],
    );
    rig.update(1, 1);
    let header = [0, 15, 0xff, 0xff, 0, 20, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9];
    rig.bytes(Direction::Response, &header);
    rig.bytes(Direction::Response, &payload.to_be_bytes());
    rig.bytes(Direction::Response, &1u32.to_be_bytes());
    rig.bytes(Direction::Response, &[7; 1000]);
    assert!(rig.drain(Direction::Response).0.is_empty());
    // What waited comes first, nothing into the middle.
    rig.at(10);
    assert_eq!(rig.drain(Direction::Response).0.len(), 24 + 24 + 1000);
    rig.update(1, 2);
    assert_eq!(rig.drain(Direction::Response).0.len(), 24);
}

#[test]
fn a_dropped_message_is_missed_by_those_channels_only() {
    let text = script("action = 'drop'\nname = 'a*'");
    let mut rig = Rig::with_channels(&text, &["ab", "b"]);
    rig.update(1, 1);
    rig.update(2, 2);
    rig.update(1, 3);
    assert_eq!(rig.updates(), ["2:2"]);
    assert_eq!(
        rig.engine.list(),
        ["u  on   2/2  event_add response a*: drop"]
    );
}

#[test]
fn after_and_times_bound_a_fault() {
    let mut rig = Rig::with_channels(&script("action = 'drop'\nafter = 2\ntimes = 1"), &["a"]);
    for value in 1..=5 {
        rig.update(1, value);
    }
    assert_eq!(rig.updates(), ["1:1", "1:2", "1:4", "1:5"]);
    // Switched on anew, it counts anew.
    assert!(rig.engine.switch(at(0), "u", true));
    for value in 1..=4 {
        rig.update(1, value);
    }
    assert_eq!(rig.updates(), ["1:1", "1:2", "1:4"]);
}

#[test]
fn a_delay_keeps_the_order_of_a_channel_and_lets_others_pass() {
    let text = script("action = 'delay'\nby = '200ms'\nname = 'a'\ntimes = 1");
    let mut rig = Rig::with_channels(&text, &["a", "b"]);
    rig.update(1, 1);
    rig.update(1, 2);
    rig.update(2, 1);
    assert_eq!(rig.updates(), ["2:1"]);
    assert_eq!(rig.wake(), Some(at(200)));
    assert_eq!(rig.at(199).updates(), [""; 0]);
    // Time passes between a look and the question; what has become due meanwhile is not left out.
    assert_eq!(rig.at(201).wake(), Some(at(200)));
    assert_eq!(rig.updates(), ["1:1", "1:2"]);
    assert_eq!(rig.wake(), None);
}

#[test]
fn a_delay_of_everything_keeps_the_order_of_everything() {
    let text =
        "[[rule]]\non='any'\ndirection='response'\naction='delay'\nby='10ms'\njitter='90ms'\n";
    let mut rig = Rig::new(text);
    let sent: Vec<String> = (1..=20).map(|cid| rights(cid, 3).to_string()).collect();
    for cid in 1..=20 {
        rig.response(&rights(cid, 3));
    }
    assert_eq!(rig.heard(Direction::Response), [""; 0]);
    assert_eq!(rig.at(100).heard(Direction::Response), sent);
}

#[test]
fn creation_replies_are_delayed_or_lost() {
    let text = "[[rule]]\non='create_chan'\naction='delay'\nby='50ms'\ntimes=1\n\
                [[rule]]\non='create_chan'\naction='drop'\nname='c'\n";
    let mut rig = Rig::new(text);
    for (cid, name) in (1..).zip(["a", "b", "c"]) {
        rig.request(&create(cid, name));
    }
    for cid in 1..=3 {
        rig.response(&created(cid));
    }
    assert_eq!(
        rig.heard(Direction::Response),
        [created(2).to_string()],
        "a comes later, c never"
    );
    assert_eq!(
        rig.at(50).heard(Direction::Response),
        [created(1).to_string()]
    );
    // The requests were not touched.
    assert_eq!(rig.heard(Direction::Request).len(), 3);
}

#[test]
fn duplicates_follow_their_original() {
    let mut rig = Rig::with_channels(
        &script("action = 'duplicate'\ncopies = 2\ntimes = 1"),
        &["a"],
    );
    rig.update(1, 1);
    rig.update(1, 2);
    assert_eq!(rig.updates(), ["1:1", "1:1", "1:1", "1:2"]);
}

#[test]
fn a_reordered_update_changes_places_with_the_next_of_its_channel() {
    let text = script("action = 'reorder'\nby = '1s'\nname = 'a'\ntimes = 1");
    let mut rig = Rig::with_channels(&text, &["a", "b"]);
    rig.update(1, 1);
    rig.update(2, 9);
    assert_eq!(rig.updates(), ["2:9"]);
    rig.update(1, 2);
    rig.update(1, 3);
    assert_eq!(rig.updates(), ["1:2", "1:1", "1:3"]);
    // Alone, it waits no longer than that.
    rig.engine.switch(at(0), "u", true);
    rig.update(1, 4);
    assert_eq!(rig.at(999).updates(), [""; 0]);
    assert_eq!(rig.at(1000).updates(), ["1:4"]);
    rig.update(1, 5);
    assert_eq!(rig.updates(), ["1:5"]);
}

#[test]
fn a_circuit_is_cut_inside_of_the_nth_message() {
    let text = script("action = 'cut'\nbytes = 20\nafter = 1");
    let mut rig = Rig::with_channels(&text, &["a"]);
    rig.update(1, 1);
    rig.update(1, 2);
    rig.update(1, 3);
    let (bytes, end) = rig.drain(Direction::Response);
    assert_eq!((bytes.len(), end), (24 + 20, "CUT"));
}

#[test]
fn a_field_has_another_value_or_turned_bits() {
    let text = "[[rule]]\non='create_chan'\naction='corrupt'\nfield='sid'\nvalue=7\ntimes=1\n\
                [[rule]]\non='access_rights'\naction='corrupt'\nfield='payload_len'\nvalue=3\n\
                [[rule]]\non='event_add'\naction='corrupt'\nfield='payload'\noffset=7\n";
    let mut rig = Rig::new(text);
    rig.response(&created(1));
    let (bytes, _) = rig.drain(Direction::Response);
    assert_eq!(bytes[12..16], [0, 0, 0, 7]);
    rig.response(&rights(1, 3));
    let (bytes, _) = rig.drain(Direction::Response);
    assert_eq!(bytes[2..4], [0, 3], "a size that lies, {bytes:?}");
    rig.update(1, 0);
    let (bytes, _) = rig.drain(Direction::Response);
    assert_eq!(bytes.len(), 24);
    assert_ne!(bytes[23], 0);
    assert!(bytes[16..23].iter().all(|&b| b == 0));
}

#[test]
fn rights_are_others_and_change_when_the_rule_is_switched() {
    let text = "[[rule]]\nid='ro'\non='access_rights'\nname='a'\naction='rights'\nrights='read'\n\
                enabled=false\n";
    let mut rig = Rig::with_channels(text, &["a", "b"]);
    assert!(rig.engine.switch(at(0), "ro", true));
    assert_eq!(
        rig.heard(Direction::Response),
        [rights(1, 1).to_string()],
        "the client is told at once, of this channel only"
    );
    rig.response(&rights(1, 3));
    rig.response(&rights(2, 3));
    let expected = [rights(1, 1).to_string(), rights(2, 3).to_string()];
    assert_eq!(rig.heard(Direction::Response), expected);
    assert!(rig.engine.switch(at(0), "ro", false));
    assert_eq!(rig.heard(Direction::Response), [rights(1, 3).to_string()]);
    assert!(!rig.engine.switch(at(0), "rw", true));
}

#[test]
fn the_same_seed_harms_the_same_messages() {
    let text = script("action = 'drop'\nprobability = 0.5");
    let survivors = || {
        let mut rig = Rig::with_channels(&text, &["a"]);
        for value in 0..100 {
            rig.update(1, value);
        }
        rig.updates()
    };
    let first = survivors();
    assert!((30..70).contains(&first.len()), "{first:?}");
    assert_eq!(first, survivors());
}
