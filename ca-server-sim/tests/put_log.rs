//! Who wrote what, or wanted to, and when it was complete.

mod rig;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{DbrType, Value, ValueRef};
use ca_proto::ids::{Cid, Ioid};
use ca_proto::server::PutOutcome;
use ca_proto::wire::message::{Data, tcp};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use rig::Rig;

const SECOND: Duration = Duration::from_secs(1);

/// A report as text: where, what was sent, whether its end is awaited, how it went, how long it took.
fn logged(pvs: IocBuilder) -> (Rig, Receiver<String>) {
    let (send, lines) = channel();
    let pvs = pvs.put_log(move |put| {
        let sent = match put.sent {
            Some(PutValue::Value(value)) => {
                let element = value
                    .element_bytes(0)
                    .and_then(|bytes| bytes.try_into().ok());
                f64::from_be_bytes(element.expect("a double")).to_string()
            }
            Some(other) => format!("{other:?}"),
            None => "-".into(),
        };
        let notify = if put.notify { " notify" } else { "" };
        let outcome = match put.outcome {
            PutOutcome::Done(status) => status.name().unwrap_or("?").to_owned(),
            PutOutcome::Pending => "begun".to_owned(),
        };
        let took = put
            .begun
            .map(|begun| format!(" after {:?}", put.now - begun));
        let (name, field, took) = (put.name, put.field, took.unwrap_or_default());
        send.send(format!("{name}.{field} {sent}{notify} {outcome}{took}"))
            .unwrap();
    });
    (Rig::new(pvs), lines)
}

fn all(lines: &Receiver<String>) -> Vec<String> {
    lines.try_iter().collect()
}

#[test]
fn refused_puts_are_told_with_the_reason() {
    let (mut rig, lines) = logged(
        Ioc::builder()
            .pv("ro", PvSpec::double(1.0).read_only())
            .pv("x", PvSpec::double(1.0)),
    );
    let mut client = rig.client();
    let (ro, ..) = client.create(&mut rig, "ro");
    let (x, ..) = client.create(&mut rig, "x");
    client.write(&mut rig, ro, &Value::scalar(2.0));
    let status = client.put(&mut rig, ro, &Value::scalar(3.0));
    assert_eq!(status, EcaStatus::NOWTACCESS);
    // Fewer bytes than elements.
    let short = tcp::Request::WriteNotify {
        ty: DbrType(6),
        count: 4,
        sid: x,
        ioid: Ioid(9),
        data: Data(&[0; 8]),
    };
    client.ask(&mut rig, &short);
    // Structures are no values to put with completion.
    let structure = tcp::Request::WriteNotify {
        ty: DbrType(20),
        count: 1,
        sid: x,
        ioid: Ioid(10),
        data: Data(&[0; 24]),
    };
    client.ask(&mut rig, &structure);
    rig.ioc
        .set_rights(rig.now, "x", AccessRights::READ)
        .unwrap();
    client.received(&mut rig);
    client.write(&mut rig, x, &Value::scalar(4.0));
    // The right is looked at before the type, which does not exist.
    let bad = tcp::Request::Write {
        ty: DbrType(99),
        count: 1,
        sid: ro,
        cid: Cid(0),
        data: Data(&[0; 8]),
    };
    let _ = client.try_ask(&mut rig, &bad);
    assert_eq!(
        all(&lines),
        [
            "ro.VAL 2 ECA_NOWTACCESS",
            "ro.VAL 3 notify ECA_NOWTACCESS",
            "x.VAL - notify ECA_BADCOUNT",
            "x.VAL 0 notify ECA_PUTFAIL",
            "x.VAL 4 ECA_NOWTACCESS",
            "ro.VAL - ECA_NOWTACCESS",
        ]
    );
    assert_eq!(rig.ioc.number("x"), Ok(1.0));
}

#[test]
fn the_end_of_a_put_is_told_with_its_status_and_time() {
    let (mut rig, lines) = logged(
        Ioc::builder()
            .pv("slow", PvSpec::double(0.0).completes_after(2 * SECOND))
            .pv("hand", PvSpec::double(0.0).completes_never()),
    );
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (y, ..) = b.create(&mut rig, "slow");
    let (hand, ..) = a.create(&mut rig, "hand");
    a.write_notify(&mut rig, x, &Value::scalar(1.0));
    rig.advance(SECOND / 2);
    b.write_notify(&mut rig, y, &Value::scalar(2.0));
    a.write_notify(&mut rig, hand, &Value::scalar(3.0));
    assert_eq!(
        all(&lines),
        [
            "slow.VAL 1 notify begun",
            "slow.VAL 2 notify begun",
            "hand.VAL 3 notify begun"
        ]
    );
    rig.advance(SECOND);
    rig.ioc
        .finish_put(rig.now, "hand", EcaStatus::PUTFAIL)
        .unwrap();
    rig.advance(5 * SECOND);
    assert_eq!(
        all(&lines),
        [
            "hand.VAL 3 notify ECA_PUTFAIL after 1s",
            "slow.VAL 1 notify ECA_NORMAL after 2s",
            "slow.VAL 2 notify begun after 1.5s",
            "slow.VAL 2 notify ECA_NORMAL after 3.5s",
        ],
        "the second one waited for the first"
    );
}

#[test]
fn puts_of_clients_that_went_away_end_in_the_log_too() {
    let (mut rig, lines) = logged(
        Ioc::builder()
            .pv("slow", PvSpec::double(0.0).completes_after(2 * SECOND))
            .pv("hang", PvSpec::double(0.0).completes_never()),
    );
    let (mut a, mut b, mut c) = (rig.client(), rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (hang, ..) = a.create(&mut rig, "hang");
    let (y, ..) = b.create(&mut rig, "slow");
    let (z, ..) = c.create(&mut rig, "slow");
    a.write_notify(&mut rig, x, &Value::scalar(1.0));
    a.write_notify(&mut rig, hang, &Value::scalar(2.0));
    b.write_notify(&mut rig, y, &Value::scalar(3.0));
    c.write_notify(&mut rig, z, &Value::scalar(4.0));
    assert_eq!(all(&lines).len(), 4);
    rig.advance(SECOND);
    // The one that is under way goes on; those that wait, and the one without an end, do not.
    a.close(&mut rig);
    b.close(&mut rig);
    let clear = tcp::Request::ClearChannel {
        sid: z,
        cid: Cid(101),
        data_type: 0,
        count: 0,
    };
    c.ask(&mut rig, &clear);
    let mut ended = all(&lines);
    ended.sort();
    assert_eq!(
        ended,
        [
            "hang.VAL 2 notify ECA_DISCONN after 1s",
            "slow.VAL 3 notify ECA_DISCONN after 1s",
            "slow.VAL 4 notify ECA_DISCONN after 1s",
        ]
    );
    rig.advance(5 * SECOND);
    assert_eq!(all(&lines), ["slow.VAL 1 notify ECA_NORMAL after 2s"]);
    assert_eq!(rig.ioc.number("slow"), Ok(1.0));
}

/// A report as text: number, what was sent, the states before and after, whether it was carried out.
fn states(pvs: IocBuilder) -> (Rig, Receiver<String>) {
    let (send, lines) = channel();
    let pvs = pvs.put_log(move |put| {
        let first = |value: ValueRef<'_>| {
            let element = value.element_bytes(0);
            let element = element.and_then(|bytes| bytes.try_into().ok());
            f64::from_be_bytes(element.expect("a double"))
        };
        let sent = match put.sent {
            Some(PutValue::Value(value)) => first(value).to_string(),
            _ => "-".to_owned(),
        };
        let [before, after] = [put.before, put.after].map(|state| first(state.value.as_ref()));
        let outcome = match put.outcome {
            PutOutcome::Done(status) => status.name().unwrap_or("?"),
            PutOutcome::Pending => "pending",
        };
        let how = if put.carried_out {
            ""
        } else {
            " not carried out"
        };
        let (id, name) = (put.id, put.name);
        let text = format!("{id} {name} {sent}: {before} -> {after} {outcome}{how}");
        // The test may have ended.
        let _ = send.send(text);
    });
    (Rig::new(pvs), lines)
}

#[test]
fn each_report_is_about_the_value_of_its_own_put() {
    let slow = PvSpec::double(0.0)
        .completes_after(2 * SECOND)
        .control(-10.0, 10.0);
    let (mut rig, lines) = states(Ioc::builder().pv("slow", slow));
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "slow");
    let (y, ..) = b.create(&mut rig, "slow");
    a.write_notify(&mut rig, x, &Value::scalar(1.0));
    b.write_notify(&mut rig, y, &Value::scalar(200.0));
    // Not a put-notify: it does not wait.
    b.write(&mut rig, y, &Value::scalar(3.0));
    rig.advance(5 * SECOND);
    assert_eq!(
        all(&lines),
        [
            "1 slow 1: 0 -> 1 pending",
            "2 slow 200: 1 -> 1 pending not carried out",
            "3 slow 3: 1 -> 3 ECA_NORMAL",
            "1 slow 1: 0 -> 1 ECA_NORMAL",
            "2 slow 200: 3 -> 10 pending",
            "2 slow 200: 3 -> 10 ECA_NORMAL",
        ]
    );
}

#[test]
fn a_put_that_was_given_up_says_whether_it_was_carried_out() {
    let (mut rig, lines) = states(
        Ioc::builder()
            .pv("hang", PvSpec::double(0.0).completes_never())
            .pv("gone", PvSpec::double(0.0).completes_never())
            .pv("left", PvSpec::double(0.0).completes_never()),
    );
    let (mut a, mut b, mut c) = (rig.client(), rig.client(), rig.client());
    let (hang, ..) = a.create(&mut rig, "hang");
    let (other, ..) = b.create(&mut rig, "hang");
    let (gone, ..) = c.create(&mut rig, "gone");
    a.write_notify(&mut rig, hang, &Value::scalar(1.0));
    // Waits in the circuit, which passes on one of a channel at a time.
    a.write_notify(&mut rig, hang, &Value::scalar(2.0));
    b.write_notify(&mut rig, other, &Value::scalar(3.0));
    c.write_notify(&mut rig, gone, &Value::scalar(4.0));
    assert_eq!(all(&lines).len(), 3);
    b.close(&mut rig);
    assert_eq!(
        all(&lines),
        ["2 hang 3: 1 -> 1 ECA_DISCONN not carried out"]
    );
    a.close(&mut rig);
    assert_eq!(
        all(&lines),
        [
            "1 hang 1: 0 -> 1 ECA_DISCONN",
            "4 hang 2: 1 -> 1 ECA_DISCONN not carried out",
        ]
    );
    // With its PV.
    rig.ioc.remove(rig.now, "gone");
    assert_eq!(all(&lines), ["3 gone 4: 0 -> 4 ECA_DISCONN"]);
    // With the IOC.
    let mut d = rig.client();
    let (left, ..) = d.create(&mut rig, "left");
    d.write_notify(&mut rig, left, &Value::scalar(5.0));
    drop(rig);
    assert_eq!(
        all(&lines),
        ["5 left 5: 0 -> 5 pending", "5 left 5: 0 -> 5 ECA_DISCONN"]
    );
}

#[test]
fn the_state_of_a_put_through_a_range_is_all_of_the_field() {
    let wave = PvSpec::array([1.0, 2.0, 3.0]);
    let (mut rig, lines) = states(Ioc::builder().pv("wave", wave));
    let mut client = rig.client();
    let (part, ..) = client.create(&mut rig, "wave.VAL[1:2]");
    client.write(&mut rig, part, &Value::from([7.0, 8.0]));
    assert_eq!(all(&lines), ["1 wave 7: 1 -> 7 ECA_NORMAL"]);
}

#[test]
fn a_put_that_is_too_large_to_be_received_is_told() {
    let (mut rig, lines) = logged(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut client = rig.client();
    let (x, ..) = client.create(&mut rig, "x");
    let most = rig.ioc.params().max_message_bytes() as usize;
    for notify in [false, true] {
        let value = vec![0; most + 64];
        let (ty, count, data) = (DbrType(6), 1, Data(&value));
        let request = match notify {
            true => tcp::Request::WriteNotify {
                ty,
                count,
                sid: x,
                ioid: Ioid(3),
                data,
            },
            false => tcp::Request::Write {
                ty,
                count,
                sid: x,
                cid: Cid(3),
                data,
            },
        };
        let _ = client.try_ask(&mut rig, &request);
    }
    assert_eq!(
        all(&lines),
        ["x.VAL - ECA_TOLARGE", "x.VAL - notify ECA_TOLARGE"]
    );
}

#[test]
fn puts_are_refused_while_the_owner_says_so() {
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    let builder = Ioc::builder()
        .pv("x", PvSpec::double(0.0))
        .pv("slow", PvSpec::double(0.0).completes_after(SECOND))
        .refuse_puts_while(move || stop.load(Ordering::Relaxed));
    let (mut rig, lines) = states(builder);
    let (mut a, mut b) = (rig.client(), rig.client());
    let (x, ..) = a.create(&mut rig, "x");
    let (first, ..) = a.create(&mut rig, "slow");
    let (second, ..) = b.create(&mut rig, "slow");
    assert_eq!(a.put(&mut rig, x, &Value::scalar(1.0)), EcaStatus::NORMAL);
    a.write_notify(&mut rig, first, &Value::scalar(2.0));
    b.write_notify(&mut rig, second, &Value::scalar(3.0));
    stopped.store(true, Ordering::Relaxed);
    assert_eq!(a.put(&mut rig, x, &Value::scalar(4.0)), EcaStatus::PUTFAIL);
    a.write(&mut rig, x, &Value::scalar(5.0));
    // What is under way goes on; what waits for it is not begun.
    rig.advance(3 * SECOND);
    assert_eq!(rig.ioc.number("x"), Ok(1.0));
    assert_eq!(rig.ioc.number("slow"), Ok(2.0));
    stopped.store(false, Ordering::Relaxed);
    assert_eq!(a.put(&mut rig, x, &Value::scalar(6.0)), EcaStatus::NORMAL);
    assert_eq!(
        all(&lines),
        [
            "1 x 1: 0 -> 1 ECA_NORMAL",
            "2 slow 2: 0 -> 2 pending",
            "3 slow 3: 2 -> 2 pending not carried out",
            "4 x 4: 1 -> 1 ECA_PUTFAIL not carried out",
            "5 x 5: 1 -> 1 ECA_PUTFAIL not carried out",
            "2 slow 2: 0 -> 2 ECA_NORMAL",
            "3 slow 3: 2 -> 2 ECA_PUTFAIL not carried out",
            "6 x 6: 1 -> 6 ECA_NORMAL",
        ]
    );
}
