//! Who wrote what, or wanted to, and when it was complete.

mod rig;

use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::convert::PutValue;
use ca_proto::dbr::{DbrType, Value};
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
            "hand.VAL - notify ECA_PUTFAIL after 1s",
            "slow.VAL - notify ECA_NORMAL after 2s",
            "slow.VAL - notify ECA_NORMAL after 3.5s",
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
            "hang.VAL - notify ECA_DISCONN after 1s",
            "slow.VAL - notify ECA_DISCONN after 1s",
            "slow.VAL - notify ECA_DISCONN after 1s",
        ]
    );
    rig.advance(5 * SECOND);
    assert_eq!(all(&lines), ["slow.VAL - notify ECA_NORMAL after 2s"]);
    assert_eq!(rig.ioc.number("slow"), Ok(1.0));
}
