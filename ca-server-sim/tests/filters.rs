//! Channels with filters behind their field.

mod rig;

use std::time::Duration;

use ca_proto::Alarm;
use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Sid, SubId};
use ca_proto::wire::Command;
use ca_proto::wire::message::{EventMask, Text, tcp};
use ca_server_sim::{Ioc, PvSpec};
use rig::*;

const BOTH: EventMask = EventMask(EventMask::VALUE.0 | EventMask::ALARM.0);

/// PVs that the program describes, and records that behave the same.
fn rigs() -> [Rig; 2] {
    let plain = Ioc::builder()
        .pv("x", PvSpec::double(0.0).alarm(f64::NAN, 100.0))
        .pv("w", PvSpec::array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0]))
        .pv("one", PvSpec::array([4.0]))
        .pv("s", PvSpec::string("text"));
    let db = r#"
        record(ao, "x") { field(PINI, "YES") field(VAL, "0") field(HIHI, "100") field(HHSV, "MAJOR") }
        record(waveform, "w") { field(NELM, "6") field(FTVL, "DOUBLE") field(INP, [0, 1, 2, 3, 4, 5]) field(PINI, "YES") }
        record(waveform, "one") { field(NELM, "1") field(FTVL, "DOUBLE") field(INP, [4]) field(PINI, "YES") }
        record(stringout, "s") { field(VAL, "text") field(PINI, "YES") }
    "#;
    [plain, Ioc::builder().db_text(db, "")].map(Rig::new)
}

/// Subscribes: what came at once, and the identifier.
fn watch(rig: &mut Rig, client: &mut Client, sid: Sid, ty: DbrType) -> Vec<f64> {
    let request = tcp::Request::EventAdd {
        ty,
        count: 0,
        sid,
        subid: SubId(7),
        mask: BOTH,
    };
    updates(&client.ask(rig, &request))
}

/// What a channel with this suffix tells while the PV takes these values, one after the other, its first update
/// included.
fn told(rig: &mut Rig, suffix: &str, values: &[f64]) -> Vec<f64> {
    let mut client = rig.client();
    let (sid, ..) = client.create(rig, &format!("x.{suffix}"));
    let mut all = watch(rig, &mut client, sid, DOUBLE);
    for &value in values {
        rig.ioc.post(rig.now, "x", value).unwrap();
        all.extend(updates(&client.received(rig)));
    }
    client.close(rig);
    rig.ioc.post(rig.now, "x", 0.0).unwrap();
    all
}

#[test]
fn a_dead_band_counts_from_what_was_sent_last() {
    for mut rig in rigs() {
        let values = [1.0, 1.5, 1.6, 3.0, 3.2, 0.0, 101.0, 101.5];
        assert_eq!(
            told(&mut rig, r#"{"dbnd":{"abs":1.5}}"#, &values),
            [0.0, 1.6, 3.2, 0.0, 101.0]
        );
        // 10 percent of what was sent; an alarm that begins is always sent.
        let values = [10.0, 10.9, 11.1, 12.0, 101.0, 105.0, 112.0];
        assert_eq!(
            told(&mut rig, "{dbnd:{rel:10}}", &values),
            [0.0, 10.0, 11.1, 101.0, 112.0]
        );
    }
}

#[test]
fn one_in_so_many_is_sent_and_filters_stand_in_a_row() {
    for mut rig in rigs() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        assert_eq!(told(&mut rig, "{dec:{n:3}}", &values), [0.0, 3.0, 6.0, 9.0]);
        assert_eq!(
            told(&mut rig, "VAL{dec:{n:2},dec:{n:2}}", &values),
            [0.0, 4.0, 8.0]
        );
        assert_eq!(
            told(&mut rig, "{dbnd:{d:1.5},dec:{n:2}}", &values),
            [0.0, 4.0, 8.0]
        );
        assert_eq!(
            told(&mut rig, "{utag:{M:1,V:1}}", &values),
            [0.0],
            "no PV has a tag"
        );
    }
}

#[test]
fn updates_follow_a_state() {
    for mut rig in rigs() {
        let suffix = |mode: &str| format!("{{sync:{{{mode}:'red'}}}}");
        assert!(
            rig.client()
                .try_create(&mut rig, "x.{sync:{while:'red'}}")
                .is_none()
        );
        for (mode, expected) in [
            ("before", vec![2.0, 6.0]),
            ("first", vec![3.0, 7.0]),
            ("last", vec![4.0]),
            ("after", vec![5.0]),
            ("while", vec![3.0, 4.0, 7.0, 8.0]),
            ("unless", vec![0.0, 1.0, 2.0, 5.0, 6.0]),
        ] {
            rig.ioc.set_state("red", false);
            let mut client = rig.client();
            let (sid, ..) = client.create(&mut rig, &format!("x.{}", suffix(mode)));
            let mut all = watch(&mut rig, &mut client, sid, DOUBLE);
            for n in 1..=8 {
                rig.ioc.set_state("red", (n - 1) / 2 % 2 == 1);
                rig.ioc.post(rig.now, "x", f64::from(n)).unwrap();
                all.extend(updates(&client.received(&mut rig)));
            }
            assert_eq!(all, expected, "{mode}");
            client.close(&mut rig);
            rig.ioc.post(rig.now, "x", 0.0).unwrap();
        }
    }
}

#[test]
fn each_channel_has_its_own_state_and_its_subscriptions_share_it() {
    for mut rig in rigs() {
        let mut client = rig.client();
        let name = "x.{dec:{n:2}}";
        let (one, ..) = client.create(&mut rig, name);
        let (two, ..) = client.create(&mut rig, name);
        assert_eq!(watch(&mut rig, &mut client, one, DOUBLE), [0.0]);
        assert_eq!(watch(&mut rig, &mut client, two, DOUBLE), [0.0]);
        // The second subscription of a channel: its first update is the second of the channel.
        assert_eq!(watch(&mut rig, &mut client, one, DOUBLE), []);
        rig.ioc.post(rig.now, "x", 1.0).unwrap();
        // Of the first channel the first subscription, of the second channel none.
        assert_eq!(updates(&client.received(&mut rig)), [1.0]);
        rig.ioc.post(rig.now, "x", 2.0).unwrap();
        assert_eq!(updates(&client.received(&mut rig)), [2.0, 2.0]);
        let reply = client.read(&mut rig, one, DOUBLE, 1);
        assert_eq!(reply.f64(), 2.0, "reads pass");
        client.close(&mut rig);
        assert_eq!(rig.ioc.counts().channels, 0);
        rig.ioc.post(rig.now, "x", 0.0).unwrap();
    }
}

#[test]
fn times_become_values() {
    let start = f64::from(START.secs);
    for mut rig in rigs() {
        rig.advance(Duration::from_millis(2500));
        rig.ioc.post(rig.now, "x", 5.0).unwrap();
        let mut client = rig.client();
        for (suffix, count, expected) in [
            ("{ts:{num:'dbl'}}", 1, vec![start + 2.5]),
            (
                "{ts:{num:'sec',epoch:'unix'}}",
                1,
                vec![start + 631_152_002.0],
            ),
            ("{ts:{num:'nsec'}}", 1, vec![5e8]),
            ("{ts:{num:'ts'}}", 2, vec![start + 2.0, 5e8]),
            ("{ts:{num:'ts'},arr:{s:1}}", 1, vec![5e8]),
        ] {
            let (sid, native, elements) = client.create(&mut rig, &format!("x.{suffix}"));
            assert_eq!((native, elements), (NativeType::Double, count), "{suffix}");
            let reply = client.read(&mut rig, sid, DOUBLE, 0);
            assert_eq!(
                reply.reading.unwrap().to_f64s().unwrap(),
                expected,
                "{suffix}"
            );
        }
        let (sid, native, _) = client.create(&mut rig, "x.{ts:{str:'epics'}}");
        assert_eq!(native, NativeType::String);
        let text = client.read(&mut rig, sid, STRING, 1).text();
        assert_eq!(text, "2021-09-09 01:46:42.500000");
        // The time of a read, of a text and of an array, is when it is made.
        rig.advance(Duration::from_millis(1000));
        for name in ["x.{ts:{}}", "s.{ts:{}}", "w.{ts:{}}"] {
            let (sid, native, _) = client.create(&mut rig, name);
            let reply = client.read(&mut rig, sid, DbrType::new(Family::Time, native), 0);
            let reading = reply.reading.unwrap();
            let late = START + Duration::from_millis(3500);
            assert_eq!(reading.timestamp(), Some(late), "{name}");
            assert_eq!(reading.alarm(), Some(Alarm::NONE));
        }
    }
}

#[test]
fn parts_of_arrays_and_texts_can_be_taken_of_parts() {
    for mut rig in rigs() {
        let mut client = rig.client();
        for (suffix, expected) in [
            (r#"{"arr":{"s":1,"e":3}}"#, vec![1.0, 2.0, 3.0]),
            ("[1:4]{arr:{i:2}}", vec![1.0, 3.0]),
            ("{arr:{i:2},arr:{s:-2},dec:{n:2}}", vec![2.0, 4.0]),
            ("{arr:{s:'0x2'},ts:{}}", vec![2.0, 3.0, 4.0, 5.0]),
            ("{arr:{s:9}}", vec![]),
        ] {
            let (sid, _, count) = client.create(&mut rig, &format!("w.{suffix}"));
            assert_eq!(count as usize, expected.len(), "{suffix}");
            let reply = client.read(&mut rig, sid, DOUBLE, 0);
            let elements = reply
                .reading
                .map_or_else(Vec::new, |all| all.to_f64s().unwrap());
            assert_eq!(elements, expected, "{suffix}");
        }
        let (sid, ..) = client.create(&mut rig, "s.$[1:2]{dec:{n:2}}");
        let reply = client.read(&mut rig, sid, CHAR, 0);
        assert_eq!(
            reply.reading.unwrap().to_f64s().unwrap(),
            [f64::from(b'e'), 0.0]
        );
        let (sid, ..) = client.create(&mut rig, "w.{dec:{n:2}}");
        assert_eq!(watch(&mut rig, &mut client, sid, DOUBLE).len(), 1);
        for n in 1..=4 {
            rig.ioc
                .post(rig.now, "w", Value::from(vec![f64::from(n); 6]))
                .unwrap();
            let told = updates(&client.received(&mut rig));
            assert_eq!(told.len(), usize::from(n % 2 == 0), "{n}");
        }
    }
}

#[test]
fn parts_of_a_long_string_are_those_of_its_field() {
    for mut rig in rigs() {
        let mut client = rig.client();
        for (suffix, expected) in [
            ("[0:2:-1]{dec:{n:2}}", &b"tx\0"[..]),
            ("{arr:{s:9,i:2},dbnd:{abs:1}}", b"\0"),
            ("[1:9]{arr:{i:2}}", b"et\0"),
            ("[0:3]{arr:{s:1,e:2}}", b"e\0"),
        ] {
            let (sid, ..) = client.create(&mut rig, &format!("s.${suffix}"));
            let read = client.read(&mut rig, sid, CHAR, 0).reading.unwrap();
            let expected: Vec<f64> = expected.iter().map(|&c| f64::from(c)).collect();
            assert_eq!(read.to_f64s().unwrap(), expected, "{suffix}");
        }
    }
}

#[test]
fn a_single_element_has_no_parts() {
    for mut rig in rigs() {
        let mut client = rig.client();
        for suffix in ["[1]", "[1:3]", "{arr:{s:9}}", "[2:1]{dec:{n:1}}"] {
            for name in ["one", "x"] {
                let (sid, _, count) = client.create(&mut rig, &format!("{name}.{suffix}"));
                assert_eq!(count, 1, "{name}.{suffix}");
                let read = client.read(&mut rig, sid, DOUBLE, 0).reading.unwrap();
                let value = if name == "one" { 4.0 } else { 0.0 };
                assert_eq!(read.to_f64s().unwrap(), [value], "{name}.{suffix}");
            }
        }
    }
}

#[test]
fn what_is_no_filter_opens_no_channel() {
    for mut rig in rigs() {
        let mut client = rig.client();
        for name in [
            "x.{",
            "x.{nix:{}}",
            "x.{dec:{}}",
            "x{dec:{n:2}}",
            "x.VAL$",
            "x.{}x",
            "x.{dec:{n:2}}[1]",
        ] {
            let replies = client.create_replies(&mut rig, name, 13);
            assert_eq!(commands(&replies), [Command::CREATE_CH_FAIL], "{name}");
        }
        // Whoever asks is answered: filters are looked at when the channel is created.
        let search = tcp::Request::Search {
            reply: ca_proto::wire::message::SearchFlag::DO_REPLY,
            minor: ca_proto::wire::Minor(13),
            cid: ca_proto::ids::Cid(1),
            cid2: ca_proto::ids::Cid(1),
            name: Text::new(b"x.{nix"),
        };
        assert_eq!(commands(&client.ask(&mut rig, &search)), [Command::SEARCH]);
        assert!(client.try_create(&mut rig, "x.{}").is_some());
    }
}
