//! Records that come, go, get other names, and are read anew while clients are connected.

mod rig;

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use ca_server_sim::{BuildError, Ioc, PvSpec, RecordChanges, RecordFiles};
use rig::*;

fn rig(db: &str) -> Rig {
    Rig::new(Ioc::builder().db_text(db, ""))
}

impl Rig {
    fn add(&mut self, db: &str) -> Result<u64, BuildError> {
        let loaded = RecordFiles::new().text(db, "").load();
        let added = self.ioc.add_records(self.now, loaded);
        self.finish();
        added
    }

    fn reload(&mut self, db: &str) -> RecordChanges {
        let loaded = RecordFiles::new().text(db, "").load();
        let changes = self.ioc.reload_records(self.now, loaded).unwrap();
        self.finish();
        changes
    }

    fn remove(&mut self, name: &str) -> bool {
        let removed = self.ioc.remove(self.now, name);
        self.finish();
        removed
    }

    fn finish(&mut self) {
        while self.ioc.has_work() {
            self.ioc.work(self.now);
        }
    }

    fn post(&mut self, name: &str, value: f64) {
        self.ioc.post(self.now, name, value).unwrap();
        self.finish();
    }

    fn text(&self, name: &str) -> String {
        let value = self.ioc.read(name).unwrap().value;
        value.to_string().trim_matches('"').to_owned()
    }
}

/// Added, changed, replaced, removed, kept.
fn counts(changes: RecordChanges) -> [u64; 5] {
    let RecordChanges {
        added,
        changed,
        replaced,
        removed,
        kept,
        ..
    } = changes;
    [added, changed, replaced, removed, kept]
}

#[test]
fn clients_of_a_removed_record_are_told_and_others_notice_nothing() {
    let mut rig = rig(r#"
        record(ao, "a") {}
        record(ao, "b") { alias("c") }
    "#);
    let mut client = rig.client();
    let (a, ..) = client.create(&mut rig, "a");
    client.create(&mut rig, "a.EGU");
    let (b, ..) = client.create(&mut rig, "b");
    client.subscribe(&mut rig, a, DOUBLE, EventMask::VALUE);
    client.subscribe(&mut rig, b, DOUBLE, EventMask::VALUE);
    assert!(rig.remove("a"));
    let told = client.received(&mut rig);
    assert_eq!(commands(&told), [Command::SERVER_DISCONN; 2]);
    assert!(client.try_create(&mut rig, "a").is_none());
    assert_eq!(client.read(&mut rig, b, DOUBLE, 1).f64(), 0.0);
    rig.post("b", 3.0);
    assert_eq!(updates(&client.received(&mut rig)), [3.0]);
    assert!(!rig.remove("a"), "it is gone already");

    // Another name of a record is removed alone, and who has a channel looks for its name again.
    assert!(rig.remove("c"));
    assert_eq!(
        commands(&client.received(&mut rig)),
        [Command::SERVER_DISCONN]
    );
    assert!(client.try_create(&mut rig, "c").is_none());
    assert!(client.try_create(&mut rig, "b").is_some());
    assert_eq!(rig.ioc.pv_names().collect::<Vec<_>>(), ["b"]);

    // Its number is used again, by a record that has nothing of it.
    assert_eq!(rig.add("record(longin, \"d\") { field(VAL, 5) }"), Ok(1));
    let (d, ..) = client.create(&mut rig, "d");
    client.subscribe(&mut rig, d, DOUBLE, EventMask::VALUE);
    rig.post("d", 6.0);
    assert_eq!(updates(&client.received(&mut rig)), [6.0]);
    client.close(&mut rig);
    rig.finish();
    assert_eq!(rig.ioc.counts(), ca_server_sim::Counts::default());
}

#[test]
fn links_find_records_that_come_and_lose_those_that_go() {
    let mut rig = rig(r#"
        record(calc, "sum") { field(INPA, "late CP MS") field(INPB, "late.HIHI") field(CALC, "A+B") field(FLNK, "next") }
        record(ao, "out") { field(OUT, "late PP") }
    "#);
    rig.post("sum.PROC", 1.0);
    assert_eq!(rig.text("sum.STAT"), "14", "LINK");
    assert_eq!(
        rig.add("record(ao, \"late\") { field(VAL, 2) field(HIHI, 10) field(PINI, YES) } record(calc, \"next\") { field(CALC, \"VAL+1\") }"),
        Ok(2)
    );
    assert_eq!(rig.ioc.number("sum"), Ok(12.0), "it follows the new record");
    assert_eq!(rig.ioc.number("next"), Ok(1.0), "FLNK leads to it");
    rig.post("out", 5.0);
    assert_eq!(rig.ioc.number("sum"), Ok(15.0));
    assert!(rig.remove("late"));
    rig.post("sum.PROC", 1.0);
    assert_eq!(rig.text("sum.SEVR"), "3");
    assert_eq!(rig.ioc.number("sum"), Ok(15.0), "it keeps what it had");
    rig.post("out", 6.0);
    assert_eq!(rig.text("out.STAT"), "14");
    assert!(rig.remove("next"));
    rig.post("sum.PROC", 1.0);

    // A removed record scans and calls back no more.
    rig.add("record(calc, \"late\") { field(CALC, \"VAL+1\") field(SCAN, \"1 second\") }")
        .unwrap();
    rig.advance(Duration::from_millis(2500));
    assert_eq!(rig.ioc.number("late"), Ok(2.0));
    assert!(rig.remove("late"));
    rig.advance(Duration::from_secs(5));
    assert_eq!(rig.ioc.pv_names().collect::<Vec<_>>(), ["sum", "out"]);
}

#[test]
fn a_renamed_record_keeps_its_value_and_takes_links_along() {
    let mut rig = rig(r#"
        record(calc, "counter") { field(CALC, "VAL+1") field(SCAN, "1 second") }
        record(calc, "old") { field(INPA, "counter CP") field(CALC, "A") }
        record(calc, "new") { field(INPA, "tally CP") field(CALC, "A") }
    "#);
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "counter");
    client.subscribe(&mut rig, sid, DOUBLE, EventMask::VALUE);
    rig.advance(Duration::from_millis(1500));
    assert_eq!(updates(&client.received(&mut rig)), [1.0]);
    rig.ioc.rename_record(rig.now, "counter", "tally").unwrap();
    assert_eq!(
        commands(&client.received(&mut rig)),
        [Command::SERVER_DISCONN]
    );
    let (sid, ..) = client.create(&mut rig, "tally");
    assert_eq!(client.read(&mut rig, sid, DOUBLE, 1).f64(), 1.0);
    rig.advance(Duration::from_secs(2));
    assert_eq!(rig.ioc.number("new"), Ok(3.0));
    assert_eq!(rig.ioc.number("old"), Ok(1.0), "that name is nobody's");
    assert_eq!(rig.text("old.SEVR"), "3", "who followed it was told");
    for (from, to, why) in [
        ("counter", "x", "no record \"counter\""),
        ("tally", "old", "exists already"),
        ("tally", "a.b", "dots"),
        ("tally", "", "1 to 60 bytes"),
    ] {
        let error = rig.ioc.rename_record(rig.now, from, to).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn files_that_are_read_anew_change_what_they_say_otherwise() {
    let old = r#"
        record(ao, "kept") { field(VAL, 1) field(EGU, "mm") info(a, "1") }
        record(ao, "changed") { field(VAL, 1) field(EGU, "mm") field(PREC, 2) field(FLNK, "count") }
        record(calc, "count") { field(CALC, "VAL+1") }
        record(waveform, "wave") { field(FTVL, "DOUBLE") field(NELM, 4) }
        record(ao, "gone") { alias("away") }
    "#;
    let mut rig = rig(old);
    let mut client = rig.client();
    let mut subscribed = Vec::new();
    for name in ["kept", "changed", "wave", "gone", "changed.EGU"] {
        let (sid, ..) = client.create(&mut rig, name);
        client.subscribe(&mut rig, sid, STRING, EventMask::VALUE);
        subscribed.push(sid);
    }
    rig.post("kept", 7.0);
    rig.post("changed", 8.0);
    client.received(&mut rig);
    assert_eq!(counts(rig.reload(old)), [0, 0, 0, 0, 5]);
    assert!(client.received(&mut rig).is_empty());

    let new = r#"
        record(ao, "kept") { field(VAL, 1) field(EGU, "mm") info(a, "1") }
        record(ao, "changed") { field(VAL, 1) field(EGU, "m") field(FLNK, "count") field(HIHI, 5) field(HHSV, MAJOR)
                                info(b, "2") alias("other") }
        record(calc, "count") { field(CALC, "VAL+2") }
        record(waveform, "wave") { field(FTVL, "DOUBLE") field(NELM, 8) }
        record(bo, "fresh") { field(VAL, 1) }
    "#;
    assert_eq!(counts(rig.reload(new)), [1, 2, 1, 1, 1]);
    let told = client.received(&mut rig);
    let gone = told.iter().filter(|r| r.command == Command::SERVER_DISCONN);
    assert_eq!(gone.count(), 2, "wave and gone");
    assert!(
        told.iter()
            .any(|r| r.command == Command::EVENT_ADD && r.text() == "m")
    );
    assert_eq!(rig.ioc.number("kept"), Ok(7.0));
    assert_eq!(
        rig.ioc.number("changed"),
        Ok(8.0),
        "the files say of VAL what they said"
    );
    assert_eq!(rig.text("changed.PREC"), "0", "its type's");
    assert_eq!(rig.text("changed.SEVR"), "2");
    assert_eq!(rig.ioc.number("other"), Ok(8.0));
    assert_eq!(client.create(&mut rig, "wave").2, 8);
    assert!(client.try_create(&mut rig, "gone").is_none());
    assert!(client.try_create(&mut rig, "away").is_none());
    rig.post("changed", 1.0);
    // Setting HIHI and HHSV has processed it, as puts do.
    let before = rig.ioc.number("count").unwrap();
    rig.post("changed", 2.0);
    assert_eq!(rig.ioc.number("count"), Ok(before + 2.0));

    // And back.
    assert_eq!(counts(rig.reload(old)), [1, 2, 1, 1, 1]);
    assert_eq!(rig.text("changed.EGU"), "mm");
    assert_eq!(rig.text("changed.PREC"), "2");
    assert_eq!(rig.text("changed.HHSV"), "0");
    assert!(client.try_create(&mut rig, "other").is_none());
    assert!(client.try_create(&mut rig, "away").is_some());
}

#[test]
fn mistakes_change_nothing_and_are_told_with_their_places() {
    let old = r#"record(ao, "a") { field(VAL, 1) } record(ao, "b") {}"#;
    let mut rig = Rig::new(
        Ioc::builder()
            .db_text(old, "")
            .pv("pv", PvSpec::double(1.0)),
    );
    rig.add("record(ao, \"extra\") {}").unwrap();
    for (text, why) in [
        ("record(ao, \"a\") {\n  field(NOPE, 1)\n}", "text 1:2:9"),
        ("record(calc, \"a\") { field(CALC, \"1+\") }", "CALC"),
        ("record(ao, \"pv\") {}", "\"pv\" exists already"),
        ("record(ao, \"extra\") {}", "\"extra\" exists already"),
    ] {
        let loaded = RecordFiles::new().text(text, "").load();
        let error = rig.ioc.reload_records(rig.now, loaded).unwrap_err();
        assert!(error.to_string().contains(why), "{text}: {error}");
        assert_eq!(
            rig.ioc.pv_names().collect::<Vec<_>>(),
            ["pv", "a", "b", "extra"]
        );
    }
    let error = rig.add("record(ao, \"a\") {}").unwrap_err();
    assert!(error.to_string().contains("exists already"), "{error}");
    // What was added otherwise is not theirs.
    assert_eq!(counts(rig.reload("")), [0, 0, 0, 2, 0]);
    assert_eq!(rig.ioc.pv_names().collect::<Vec<_>>(), ["pv", "extra"]);
}

#[test]
fn a_removed_record_takes_nothing_of_others_with_it() {
    let mut rig = rig(r#"
        record(bo, "slow") { field(HIGH, 2) field(FLNK, "end") }
        record(seq, "end") { field(DLY1, 5) field(LNK1, "x.VAL CA") field(DO1, 3) }
        record(ao, "x") { field(OUT, "y CA") }
        record(ao, "y") {}
    "#);
    let mut client = rig.client();
    let (slow, ..) = client.create(&mut rig, "slow");
    let (first, told) = client.write_notify(&mut rig, slow, &Value::scalar(1.0));
    assert_eq!(completion(&told, first), None, "the sequence waits");
    // A part of what was set in motion goes: the rest is complete without it.
    assert!(rig.remove("end"));
    assert!(completion(&client.received(&mut rig), first).is_some());
    // A put waits for a record that goes.
    rig.add("record(seq, \"end\") { field(DLY1, 5) field(LNK1, \"x PP\") field(DO1, 4) }")
        .unwrap();
    let (end, ..) = client.create(&mut rig, "end.PROC");
    let (first, told) = client.write_notify(&mut rig, end, &Value::scalar(1.0));
    assert_eq!(completion(&told, first), None);
    let (second, told) = client.write_notify(&mut rig, end, &Value::scalar(1.0));
    assert_eq!(completion(&told, second), None, "it waits for the first");
    assert!(rig.remove("end"));
    rig.advance(Duration::from_secs(10));
    let told = client.received(&mut rig);
    assert!(told.iter().any(|r| r.command == Command::SERVER_DISCONN));
    assert_eq!(rig.ioc.number("x"), Ok(0.0), "nothing was written");
    assert_eq!(rig.ioc.counts().puts, 0);
}
