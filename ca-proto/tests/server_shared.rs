//! Large values that several circuits want in the same form are made once; what is kept of them is bounded.

mod server_rig;

use std::cell::RefCell;
use std::sync::Arc;

use ca_proto::config::ServerParams;
use ca_proto::dbr::Value;
use ca_proto::ids::CircuitId;
use ca_proto::server::{Circuit, Conversions, Turn};
use ca_proto::status::EcaStatus;
use ca_proto::time::{Instant, Timestamp};
use ca_proto::wire::Deframer;
use server_rig::{Message, PEER, TestDb, bytes, create, event_add, messages, params, read_notify};

const STRING: u16 = 0;
const FLOAT: u16 = 2;
const DOUBLE: u16 = 6;
const TIME_STRING: u16 = 14;
const LEN: u32 = 3000;
/// Units of a turn, far fewer than a conversion takes.
const UNITS: usize = 50;
/// Units that a circuit takes for the pieces of a reply that another has had made.
const PIECES: usize = 8;

/// Circuits on one database, each with a channel, server identifier 0, to the same PV: `wide` of 3000
/// doubles, or `every`, which is every other element of 6000. The numbers are `first` and those that follow.
struct Crowd {
    db: TestDb,
    circuits: Vec<Circuit>,
    now: Instant,
}

fn numbers(first: u32, count: u32) -> Value {
    let all: Vec<f64> = (first..first + count).map(f64::from).collect();
    all.into()
}

impl Crowd {
    fn new(circuits: u32, name: &str) -> Self {
        Self::with(params(), circuits, name)
    }

    fn with(params: ServerParams, circuits: u32, name: &str) -> Self {
        let mut db = TestDb::new();
        db.conversions = Some(RefCell::new(Conversions::new()));
        db.add("wide", numbers(0, LEN), LEN);
        db.add("every", numbers(0, 2 * LEN), LEN).step = 2;
        db.add("words", Value::strings(&vec!["abc"; LEN as usize]), LEN);
        let params = Arc::new(params);
        let now = Instant::ZERO;
        let new = |id| Circuit::new(Arc::clone(&params), CircuitId(id), PEER, now);
        let circuits = (0..circuits).map(new).collect();
        let mut crowd = Self { db, circuits, now };
        for n in 0..crowd.circuits.len() {
            crowd.send(n, "00000000 0000000d 00000000 00000000");
            crowd.send(n, &create(1, name));
            crowd.take(n);
        }
        crowd
    }

    fn send(&mut self, n: usize, text: &str) {
        let circuit = &mut self.circuits[n];
        let mut deframer = Deframer::new(circuit.limits());
        let bytes = bytes(text);
        let mut frames = deframer.frames(&bytes);
        while let Some(frame) = frames.next() {
            let result = circuit.handle_frame(self.now, &frame, &mut self.db);
            result.expect("no violation");
        }
    }

    /// Each circuit reads all elements in a type.
    fn ask_all(&mut self, ty: u16) {
        for n in 0..self.circuits.len() {
            self.send(n, &read_notify(ty, 0, 0, n as u32));
        }
    }

    /// Sets the elements and tells each subscriber.
    fn post(&mut self, name: &str, value: Value) {
        let pv = self.db.pv(name);
        self.db.get(name).now.value = value;
        let state = self.db.get(name).now.clone();
        for (at, sub, _) in &self.db.subs {
            assert_eq!(*at, pv);
            self.circuits[sub.circuit.0 as usize].post(sub.key, &state);
        }
        // Updates begin when there is a look for output.
        for circuit in &mut self.circuits {
            assert!(circuit.transmit_some(&self.db).is_empty());
        }
    }

    /// One turn of a circuit: the units that it took.
    fn turn(&mut self, n: usize) -> usize {
        let mut turn = Turn::new(UNITS);
        self.circuits[n].work(self.now, &mut turn, &mut self.db);
        UNITS - turn.left()
    }

    /// Turns for all, one after the other, until nothing is left: the units that it took.
    fn work(&mut self) -> usize {
        let mut units = 0;
        while self.circuits.iter().any(Circuit::has_work) {
            for n in 0..self.circuits.len() {
                units += self.turn(n);
            }
            assert!(units < 1_000_000, "it ends");
        }
        units
    }

    fn take(&mut self, n: usize) -> Vec<Message> {
        let mut all = Vec::new();
        loop {
            let queue = self.circuits[n].transmit(&self.db);
            all.extend(queue.to_vec());
            let sent = !queue.is_empty();
            queue.clear();
            // An update that takes long is begun when there is nothing else to send.
            if !sent && !self.circuits[n].has_work() {
                return messages(&all);
            }
        }
    }

    /// The payload of the one message that a circuit has got.
    #[track_caller]
    fn payload(&mut self, n: usize) -> Vec<u8> {
        let [message]: [Message; 1] = self.take(n).try_into().expect("one message");
        assert_eq!(message.p1, EcaStatus::NORMAL.0);
        message.payload
    }

    fn kept(&self) -> usize {
        self.db.conversions.as_ref().unwrap().borrow().kept()
    }

    fn release(&self) {
        let conversions = self.db.conversions.as_ref().unwrap();
        conversions.borrow_mut().release();
    }
}

/// `LEN` numbers from `first` on, at a distance, as they come in a reply of a type.
fn expected(ty: u16, first: u32, step: u32) -> Vec<u8> {
    let numbers = (0..LEN).map(|n| first + n * step);
    let mut all: Vec<u8> = match ty {
        STRING => numbers
            .flat_map(|n| {
                let mut text = n.to_string().into_bytes();
                text.resize(40, 0);
                text
            })
            .collect(),
        FLOAT => numbers.flat_map(|n| (n as f32).to_be_bytes()).collect(),
        _ => numbers.flat_map(|n| f64::from(n).to_be_bytes()).collect(),
    };
    all.resize(all.len().next_multiple_of(8), 0);
    all
}

#[test]
fn what_several_read_at_once_is_made_once() {
    for (name, ty, step) in [
        ("wide", STRING, 1),
        ("wide", FLOAT, 1),
        ("every", DOUBLE, 2),
        ("every", STRING, 2),
    ] {
        let mut alone = Crowd::new(1, name);
        alone.ask_all(ty);
        let one = alone.work();
        assert_eq!(alone.payload(0), expected(ty, 0, step));
        for shared in [true, false] {
            let mut crowd = Crowd::new(8, name);
            if !shared {
                crowd.db.conversions = None;
            }
            crowd.ask_all(ty);
            let all = crowd.work();
            for n in 0..8 {
                assert_eq!(crowd.payload(n), expected(ty, 0, step), "{name} {n}");
            }
            match shared {
                true => assert!(all <= one + 7 * PIECES, "{name} {ty}: {all}, alone {one}"),
                false => assert_eq!(all, 8 * one, "{name} {ty}"),
            }
        }
    }
}

#[test]
fn an_update_is_made_once_for_all_subscribers() {
    let mut alone = 0;
    for count in [1, 6] {
        let mut crowd = Crowd::new(count, "every");
        for n in 0..count as usize {
            crowd.send(n, &event_add(STRING, 0, 0, 5, 1));
            assert_eq!(crowd.payload(n), expected(STRING, 0, 2));
        }
        crowd.post("every", numbers(100, 2 * LEN));
        let units = crowd.work();
        match count {
            1 => alone = units,
            _ => assert!(units <= alone + 5 * PIECES, "{units}, alone {alone}"),
        }
        for n in 0..count as usize {
            assert_eq!(crowd.payload(n), expected(STRING, 100, 2));
        }
    }
}

#[test]
fn who_asks_after_a_change_gets_the_new_value_and_who_asked_before_the_old() {
    for (name, step) in [("wide", 1), ("every", 2)] {
        let mut crowd = Crowd::new(3, name);
        for (n, first) in [(0, 0), (1, 7000), (2, 90_000)] {
            crowd.db.get(name).now.value = numbers(first, LEN * step);
            crowd.send(n, &read_notify(STRING, 0, 0, 3));
            crowd.turn(n);
            assert!(crowd.circuits[n].has_work());
        }
        crowd.work();
        for (n, first) in [(0, 0), (1, 7000), (2, 90_000)] {
            assert_eq!(crowd.payload(n), expected(STRING, first, step));
        }
    }
}

/// The elements are the same buffer; what stands before them is not.
#[test]
fn the_same_elements_with_another_stamp_or_of_another_count_are_not_taken_for_each_other() {
    let mut crowd = Crowd::new(3, "wide");
    let stamps = [(0, 11, 0), (1, 22, 0), (2, 22, 2000)];
    for (n, secs, count) in stamps {
        crowd.db.get("wide").now.stamp = Timestamp { secs, nanos: 5 };
        crowd.send(n, &read_notify(TIME_STRING, count, 0, 3));
    }
    crowd.work();
    for (n, secs, count) in stamps {
        let payload = crowd.payload(n);
        assert_eq!(payload[4..8], secs.to_be_bytes());
        let elements = if count == 0 { LEN } else { u32::from(count) };
        let end = 12 + 40 * elements as usize;
        assert_eq!(payload.len(), end.next_multiple_of(8));
        assert_eq!(payload[12..end], expected(STRING, 0, 1)[..end - 12]);
    }
}

#[test]
fn who_goes_meanwhile_takes_nothing_along() {
    let mut crowd = Crowd::new(2, "wide");
    let meta = Arc::clone(&crowd.db.get("wide").now.meta);
    let holders = Arc::strong_count(&meta);
    let held: Vec<usize> = crowd.circuits.iter().map(Circuit::held).collect();
    let mut alone = Crowd::new(1, "wide");
    alone.ask_all(STRING);
    let whole = alone.work();
    crowd.ask_all(STRING);
    let mut done = 0;
    while done < whole / 2 {
        done += crowd.turn(0);
    }
    crowd.turn(1);
    crowd.circuits[0].close(&mut crowd.db);
    assert!(!crowd.circuits[0].has_work());
    // The other goes on where they were.
    let rest = crowd.work();
    assert!(rest < whole - done, "{rest} after {done} of {whole}");
    assert_eq!(crowd.payload(1), expected(STRING, 0, 1));
    assert_eq!(crowd.circuits[1].held(), held[1]);
    // It was wanted to its end, and is kept for others; until nobody wants it.
    assert!(crowd.kept() > 40 * LEN as usize);
    crowd.release();
    crowd.release();
    assert_eq!((crowd.kept(), Arc::strong_count(&meta)), (0, holders));
}

#[test]
fn nothing_is_left_when_all_go_meanwhile() {
    let mut crowd = Crowd::new(3, "every");
    let meta = Arc::clone(&crowd.db.get("every").now.meta);
    let holders = Arc::strong_count(&meta);
    crowd.ask_all(STRING);
    for n in 0..3 {
        crowd.turn(n);
    }
    assert!(Arc::strong_count(&meta) > holders);
    for n in 0..3 {
        assert!(crowd.circuits[n].has_work());
        crowd.circuits[n].close(&mut crowd.db);
    }
    assert_eq!((crowd.kept(), Arc::strong_count(&meta)), (0, holders));
    assert_eq!(crowd.db.open, 0);
}

#[test]
fn a_subscription_that_is_cancelled_meanwhile_keeps_nobody_waiting() {
    let mut crowd = Crowd::new(2, "wide");
    for n in 0..2 {
        crowd.send(n, &event_add(STRING, 0, 0, 5, 1));
        crowd.take(n);
    }
    crowd.post("wide", numbers(40, LEN));
    crowd.turn(0);
    crowd.turn(1);
    crowd.send(0, "00020000 00000000 00000000 00000005");
    crowd.work();
    assert_eq!(crowd.payload(1), expected(STRING, 40, 1));
    // The update was begun: it comes, and then nothing for this subscription.
    let told = crowd.take(0);
    let mut lens: Vec<_> = told.iter().map(|told| told.payload.len()).collect();
    lens.sort_unstable();
    assert_eq!(lens, [0, 40 * LEN as usize]);
    crowd.post("wide", numbers(50, LEN));
    crowd.work();
    assert_eq!(crowd.take(0), []);
    assert_eq!(crowd.payload(1), expected(STRING, 50, 1));
}

#[test]
fn what_nobody_waits_for_is_kept_within_its_limit() {
    let strings = 40 * LEN as usize;
    let floats = 4 * LEN as usize;
    let value = 8 * LEN as usize;
    // Limit, and what of the form asked for first and then of both is kept: the newest if not both.
    for (most, first, then) in [
        (1 << 20, Some(strings), Some(strings + floats + value)),
        (strings + 2 * value, Some(strings), Some(floats)),
        (floats + value, None, Some(floats)),
        (0, None, None),
    ] {
        let mut crowd = Crowd::with(params().max_shared_bytes(most), 1, "wide");
        for (ty, elements) in [(STRING, first), (FLOAT, then)] {
            crowd.ask_all(ty);
            crowd.work();
            assert_eq!(crowd.payload(0), expected(ty, 0, 1));
            let wanted = elements.map_or(0, |elements| elements + value);
            let kept = crowd.kept();
            assert!(kept <= most, "{kept} of {most}");
            // The last piece may have some room left.
            assert!(
                (wanted..wanted + 64).contains(&kept),
                "{kept}, not {wanted}"
            );
        }
    }
}

#[test]
fn what_is_too_large_to_be_kept_drives_nothing_out() {
    let most = 20 * LEN as usize;
    let mut crowd = Crowd::with(params().max_shared_bytes(most), 1, "wide");
    crowd.ask_all(FLOAT);
    crowd.work();
    let kept = crowd.kept();
    assert!(kept > 0);
    crowd.ask_all(STRING);
    crowd.work();
    assert_eq!(crowd.kept(), kept);
    // The two replies, each as it is.
    let payloads: Vec<_> = crowd.take(0).into_iter().map(|m| m.payload).collect();
    assert_eq!(payloads, [expected(FLOAT, 0, 1), expected(STRING, 0, 1)]);
}

#[test]
fn what_is_kept_serves_who_comes_later_until_it_is_released() {
    let mut crowd = Crowd::new(2, "wide");
    let read = read_notify(STRING, 0, 0, 3);
    crowd.send(0, &read);
    let whole = crowd.work();
    assert!(whole >= LEN as usize);
    let kept = crowd.kept();
    for _ in 0..3 {
        // Wanted between two releases: it stays.
        crowd.release();
        crowd.send(1, &read);
        let units = crowd.work();
        assert!(units <= PIECES, "{units}");
        assert_eq!(crowd.payload(1), expected(STRING, 0, 1));
        assert_eq!(crowd.kept(), kept);
    }
    crowd.release();
    assert_eq!(crowd.kept(), kept);
    crowd.release();
    assert_eq!(crowd.kept(), 0);
    crowd.send(1, &read);
    assert_eq!(crowd.work(), whole);
    assert_eq!(crowd.payload(1), expected(STRING, 0, 1));
}

/// A text that is no number, after the request was taken.
#[test]
fn what_cannot_be_converted_fails_for_each() {
    for shared in [true, false] {
        let mut crowd = Crowd::new(3, "words");
        if !shared {
            crowd.db.conversions = None;
        }
        crowd.send(0, &read_notify(DOUBLE, 2000, 0, 3));
        crowd.send(1, &event_add(DOUBLE, 2000, 0, 5, 1));
        // The obsolete READ: no status in the reply, but an ERROR.
        crowd.send(2, "00030000 000607d0 00000000 00000009");
        crowd.work();
        for (n, command, id) in [(0, 15, 3), (1, 1, 5)] {
            let [reply] = &crowd.take(n)[..] else {
                panic!("one reply");
            };
            assert_eq!((reply.command, reply.p2, reply.count), (command, id, 2000));
            assert_eq!(reply.p1, EcaStatus::GETFAIL.0);
            assert_eq!(reply.payload, vec![0; 16_000]);
        }
        let [error] = &crowd.take(2)[..] else {
            panic!("one error");
        };
        assert_eq!((error.command, error.p1), (11, 1));
        assert_eq!(error.p2, EcaStatus::GETFAIL.0);
        assert_eq!(error.text(), "words");
        if shared {
            assert_eq!(crowd.kept(), 0);
        }
    }
}
