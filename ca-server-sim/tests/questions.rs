//! Puts that the program decides, and functions that answer later.

mod rig;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType, Value};
use ca_proto::ids::{Ioid, Sid};
use ca_proto::wire::message::{EventMask, tcp};
use ca_proto::{Alarm, AlarmSeverity, AlarmStatus, EcaStatus};
use ca_server_sim::process::{CallId, Function};
use ca_server_sim::{HOLD, Ioc, PutAnswer, PutQuestion, PvSpec, RecordFiles};
use rig::*;

type Asked = Arc<Mutex<Vec<PutQuestion>>>;

const DB: &str = r#"
    record(ao, "out") { field(DRVH, 10) field(DRVL, -10) field(FLNK, "twice") }
    record(calc, "twice") { field(INPA, "out") field(CALC, "2*A") }
    record(mbbo, "mode") { field(ZRST, "Off") field(ONST, "On") }
"#;

fn rig() -> (Rig, Asked) {
    let asked = Asked::default();
    let tell = Arc::clone(&asked);
    let builder = Ioc::builder()
        .pv("x", PvSpec::double(1.0).control(-5.0, 5.0))
        .pv("s", PvSpec::enumeration(["Closed", "Open"], 0))
        .db_text(DB, "")
        .questions(move |question| tell.lock().unwrap().push(question));
    let mut rig = Rig::new(builder);
    for name in ["x", "s", "out", "mode"] {
        rig.ioc.ask(name, true).unwrap();
    }
    (rig, asked)
}

/// Asks for the value; no reply if the circuit waits.
fn read(client: &mut Client, rig: &mut Rig, sid: Sid) -> Vec<Reply> {
    let request = tcp::Request::ReadNotify {
        ty: DbrType::new(Family::Plain, NativeType::Double),
        count: 1,
        sid,
        ioid: Ioid(77),
    };
    client.ask(rig, &request)
}

fn next(asked: &Asked) -> PutQuestion {
    asked.lock().unwrap().remove(0)
}

#[test]
fn a_put_with_completion_is_carried_out_after_the_answer() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    for (name, sent, stored) in [("x", 7.0, 5.0), ("out", 70.0, 10.0)] {
        let (sid, ..) = client.create(&mut rig, name);
        let (_, replies) = client.write_notify(&mut rig, sid, &Value::scalar(sent));
        assert!(replies.is_empty(), "{name}");
        let question = next(&asked);
        assert_eq!((&*question.name, &*question.field), (name, "VAL"));
        assert!(question.notify);
        assert_eq!(question.value, Value::scalar(sent));
        assert!(rig.ioc.answer(rig.now, question.id, PutAnswer::Accept));
        assert!(!rig.ioc.answer(rig.now, question.id, PutAnswer::Accept));
        let replies = client.received(&mut rig);
        assert_eq!(replies[0].status(), EcaStatus::NORMAL);
        assert_eq!(rig.ioc.number(name).unwrap(), stored);
    }
    assert_eq!(rig.ioc.number("twice").unwrap(), 20.0);
    assert_eq!(rig.ioc.open_questions(), 0);
}

#[test]
fn the_program_refuses_replaces_or_does_it_by_itself() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    for name in ["x", "out"] {
        let before = rig.ioc.number(name).unwrap();
        let (sid, ..) = client.create(&mut rig, name);
        for (answer, status, value) in [
            (
                PutAnswer::Reject(EcaStatus::PUTFAIL),
                EcaStatus::PUTFAIL,
                before,
            ),
            (PutAnswer::Done, EcaStatus::NORMAL, before),
            (PutAnswer::Replace(Value::scalar(4)), EcaStatus::NORMAL, 4.0),
        ] {
            client.write_notify(&mut rig, sid, &Value::scalar(3.0));
            let question = next(&asked);
            rig.ioc.answer(rig.now, question.id, answer);
            assert_eq!(client.received(&mut rig)[0].status(), status, "{name}");
            assert_eq!(rig.ioc.number(name).unwrap(), value, "{name}");
        }
    }
}

#[test]
fn texts_are_told_as_the_state_that_they_name() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    for (name, text) in [("s", "Open"), ("mode", "On")] {
        let (sid, ..) = client.create(&mut rig, name);
        client.write_notify(&mut rig, sid, &Value::string(text));
        let question = next(&asked);
        assert_eq!(question.value.to_string(), "1", "{name}");
        rig.ioc.answer(rig.now, question.id, PutAnswer::Accept);
        assert_eq!(client.received(&mut rig)[0].status(), EcaStatus::NORMAL);
        assert_eq!(rig.ioc.number(name).unwrap(), 1.0);
        // What no state is called is refused without asking.
        let (_, replies) = client.write_notify(&mut rig, sid, &Value::string("none of them"));
        assert_eq!(replies[0].status(), EcaStatus::PUTFAIL, "{name}");
        assert!(asked.lock().unwrap().is_empty());
    }
}

#[test]
fn who_wrote_reads_what_became_of_it() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    for name in ["x", "out"] {
        let (sid, ..) = client.create(&mut rig, name);
        client.write(&mut rig, sid, &Value::scalar(3.0));
        // The circuit waits, and nobody else.
        assert!(read(&mut client, &mut rig, sid).is_empty(), "{name}");
        let mut other = rig.client();
        let (theirs, ..) = other.create(&mut rig, "s");
        assert_eq!(read(&mut other, &mut rig, theirs).len(), 1);
        let question = next(&asked);
        assert!(!question.notify);
        rig.ioc.answer(rig.now, question.id, PutAnswer::Accept);
        assert_eq!(client.received(&mut rig)[0].f64(), 3.0, "{name}");
    }
}

#[test]
fn a_circuit_waits_no_longer_than_it_may() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "x");
    client.write(&mut rig, sid, &Value::scalar(3.0));
    assert!(read(&mut client, &mut rig, sid).is_empty());
    assert_eq!(rig.ioc.poll_timeout(), Some(rig.now + HOLD));
    rig.now += HOLD;
    rig.ioc.handle_timeout(rig.now);
    assert_eq!(client.received(&mut rig)[0].f64(), 1.0);
    // The put is carried out all the same, when it is answered.
    let question = next(&asked);
    assert!(rig.ioc.answer(rig.now, question.id, PutAnswer::Accept));
    assert_eq!(rig.ioc.number("x").unwrap(), 3.0);
}

#[test]
fn nobody_waits_for_an_answer_to_a_client_that_is_gone() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "out");
    client.write_notify(&mut rig, sid, &Value::scalar(3.0));
    assert_eq!(rig.ioc.open_questions(), 1);
    let mut other = rig.client();
    let (theirs, ..) = other.create(&mut rig, "x");
    other.write(&mut rig, theirs, &Value::scalar(3.0));
    rig.ioc.handle_closed(rig.now, client.id);
    rig.ioc.handle_closed(rig.now, other.id);
    assert!(!rig.ioc.answer(rig.now, next(&asked).id, PutAnswer::Accept));
    assert_eq!(rig.ioc.number("out").unwrap(), 0.0);
    // A put without completion was sent, and counts.
    assert!(rig.ioc.answer(rig.now, next(&asked).id, PutAnswer::Accept));
    assert_eq!(rig.ioc.number("x").unwrap(), 3.0);
    assert_eq!(rig.ioc.open_questions(), 0);
    assert_eq!(rig.ioc.counts().puts, 0);
}

#[test]
fn a_record_that_goes_takes_its_own_questions_along() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    let mut questions = Vec::new();
    for (name, value) in [("out", 7.0), ("mode", 1.0), ("x", 2.0), ("out", 8.0)] {
        let (sid, ..) = client.create(&mut rig, name);
        let (_, replies) = client.write_notify(&mut rig, sid, &Value::scalar(value));
        assert!(replies.is_empty(), "{name}");
        questions.push(next(&asked));
    }
    assert!(rig.ioc.remove(rig.now, "out"));
    assert_eq!(rig.ioc.open_questions(), 2);
    let accept = |rig: &mut Rig, question: &PutQuestion| {
        rig.ioc.answer(rig.now, question.id, PutAnswer::Accept)
    };
    let answered: Vec<bool> = questions
        .iter()
        .map(|question| accept(&mut rig, question))
        .collect();
    assert_eq!(answered, [false, true, true, false]);
    assert_eq!(rig.ioc.number("mode").unwrap(), 1.0);
    assert_eq!(rig.ioc.number("x").unwrap(), 2.0);
    // The number of the record is given again: what was asked of the old one is not asked of the new one.
    let more = RecordFiles::new().text(r#"record(ao, "new") {}"#, "");
    rig.ioc.add_records(rig.now, more.load()).unwrap();
    rig.ioc.ask("new", true).unwrap();
    let (sid, ..) = client.create(&mut rig, "new");
    client.write_notify(&mut rig, sid, &Value::scalar(3.0));
    assert_eq!(rig.ioc.open_questions(), 1);
    assert!(rig.ioc.remove(rig.now, "new"));
    assert_eq!(rig.ioc.open_questions(), 0);
}

#[test]
fn what_waits_is_paid_for() {
    let (mut rig, asked) = rig();
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "out");
    let mut refused = 0;
    for _ in 0..100_000 {
        let (_, replies) = client.write_notify(&mut rig, sid, &Value::scalar(3.0));
        if !replies.is_empty() {
            refused += 1;
            break;
        }
        assert_eq!(asked.lock().unwrap().len(), rig.ioc.open_questions());
    }
    assert_eq!(refused, 1, "{} questions wait", rig.ioc.open_questions());
}

#[test]
fn a_function_may_answer_later() {
    let calls: Arc<Mutex<Vec<(CallId, f64)>>> = Arc::default();
    let tell = Arc::clone(&calls);
    let later = Function::new(move |call| {
        let a = call.number("A");
        let id = call.later();
        tell.lock().unwrap().push((id, a));
        0
    });
    let builder = Ioc::builder().function("later", later).db_text(
        r#"record(sub, "s") { field(SNAM, "later") field(FLNK, "after") field(BRSV, MAJOR) }
           record(aSub, "a") { field(INPA, "4") field(SNAM, "later") field(OUTA, "result PP") field(FLNK, "after") }
           record(ao, "result") {}
           record(calc, "after") { field(CALC, "VAL+1") }"#,
        "",
    );
    let mut rig = Rig::new(builder);
    let mut client = rig.client();
    let (s, ..) = client.create(&mut rig, "s.A");
    let (a, ..) = client.create(&mut rig, "a.PROC");
    for (at, sid) in [s, a].into_iter().enumerate() {
        let (_, replies) = client.write_notify(&mut rig, sid, &Value::scalar(4.0));
        assert!(
            replies.is_empty(),
            "{at}: the record is active: {replies:?}"
        );
        assert_eq!(rig.ioc.number("after").unwrap(), at as f64);
        let (call, given) = calls.lock().unwrap().remove(0);
        assert_eq!(given, 4.0);
        let fields = ["VAL", "VALA"].map(|field| (field.to_owned(), Value::scalar(given * 3.0)));
        assert!(rig.ioc.answer_call(rig.now, call, fields.into(), 0));
        assert!(!rig.ioc.answer_call(rig.now, call, Vec::new(), 0));
        assert_eq!(client.received(&mut rig)[0].status(), EcaStatus::NORMAL);
        assert_eq!(rig.ioc.number("after").unwrap(), at as f64 + 1.0);
    }
    assert_eq!(rig.ioc.number("s").unwrap(), 12.0);
    assert_eq!(rig.ioc.number("result").unwrap(), 12.0);
    client.write(&mut rig, s, &Value::scalar(5.0));
    let (call, _) = calls.lock().unwrap().remove(0);
    rig.ioc.answer_call(rig.now, call, Vec::new(), -1);
    assert_eq!(
        rig.ioc.read("s").unwrap().alarm.severity,
        AlarmSeverity::MAJOR
    );
}

#[test]
fn the_program_raises_an_alarm_on_a_record() {
    let (mut rig, _) = rig();
    rig.now += Duration::from_secs(1);
    let alarm = Alarm::new(AlarmStatus::READ, AlarmSeverity::MAJOR);
    rig.ioc.set_alarm(rig.now, "out", alarm).unwrap();
    assert_eq!(rig.ioc.read("out").unwrap().alarm, alarm);
    rig.ioc.post(rig.now, "out", 2.0).unwrap();
    assert_eq!(rig.ioc.read("out").unwrap().alarm, alarm);
    rig.ioc.set_alarm(rig.now, "out", Alarm::NONE).unwrap();
    assert_eq!(rig.ioc.read("out").unwrap().alarm, Alarm::NONE);
    assert!(rig.ioc.set_alarm(rig.now, "out.HIHI", alarm).is_err());
}

#[test]
fn the_program_writes_a_record_as_its_device_does() {
    let mut rig = Rig::new(Ioc::builder().db_text(
        r#"record(ai, "in") { field(SCAN, "I/O Intr") field(DISP, 1) field(FLNK, "after") }
           record(calc, "after") { field(INPA, "in") field(CALC, "A+1") }"#,
        "",
    ));
    assert!(rig.ioc.post(rig.now, "in", 1.0).is_err());
    let alarm = Alarm::new(AlarmStatus::HIGH, AlarmSeverity::MINOR);
    let five = Value::scalar(5.0);
    rig.ioc
        .write_record(rig.now, "in", Some(&five), Some(alarm), true)
        .unwrap();
    assert_eq!(rig.ioc.number("after").unwrap(), 6.0);
    assert_eq!(rig.ioc.read("in").unwrap().alarm, alarm);
    let six = Value::scalar(6.0);
    rig.ioc
        .write_record(rig.now, "in", Some(&six), Some(Alarm::NONE), false)
        .unwrap();
    assert_eq!(
        (
            rig.ioc.number("in").unwrap(),
            rig.ioc.number("after").unwrap()
        ),
        (6.0, 6.0)
    );
    rig.ioc
        .write_record(rig.now, "in", None, None, true)
        .unwrap();
    assert_eq!(rig.ioc.number("after").unwrap(), 7.0);
    assert_eq!(rig.ioc.read("in").unwrap().alarm, Alarm::NONE);
    assert!(
        rig.ioc
            .write_record(rig.now, "nowhere", None, None, true)
            .is_err()
    );
}

#[test]
fn the_program_is_told_what_records_post() {
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let tell = Arc::clone(&told);
    let builder = Ioc::builder().db_text(DB, "").observer(move |it| {
        let line = format!("{}={}", it.record, it.value);
        tell.lock().unwrap().push(line);
    });
    let mut rig = Rig::new(builder);
    rig.ioc.observe("twice", true).unwrap();
    assert!(rig.ioc.observe("nowhere", true).is_err());
    let mut client = rig.client();
    let (sid, ..) = client.create(&mut rig, "out");
    let (watching, ..) = client.create(&mut rig, "twice");
    for value in [1.0, 2.0] {
        client.write(&mut rig, sid, &Value::scalar(value));
    }
    let ty = DbrType::new(Family::Time, NativeType::Double);
    client.subscribe(&mut rig, watching, ty, EventMask::VALUE);
    rig.ioc.post(rig.now, "out", 3.0).unwrap();
    let all = ["twice=2.0", "twice=4.0", "twice=6.0"];
    assert_eq!(*told.lock().unwrap(), all);
    rig.ioc.observe("twice", false).unwrap();
    rig.ioc.post(rig.now, "out", 4.0).unwrap();
    assert_eq!(updates(&client.received(&mut rig)).last(), Some(&8.0));
    assert_eq!(*told.lock().unwrap(), all);
}
