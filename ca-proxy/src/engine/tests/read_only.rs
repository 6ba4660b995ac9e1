//! A proxy through which nothing is written.

use ca_proto::ids::Ioid;

use super::*;
use crate::control::execute;

fn guarded(script: &str, names: &[&str]) -> Rig {
    let mut rig = Rig::with_channels(script, &[]);
    rig.engine = std::mem::replace(&mut rig.engine, engine("")).read_only();
    for (cid, name) in (1..).zip(names) {
        rig.request(&create(cid, name));
        rig.response(&rights(cid, 3));
        rig.response(&created(cid));
    }
    rig
}

fn put_notify<'a>(cid: u32, ioid: u32, data: &'a [u8]) -> Request<'a> {
    Request::WriteNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(cid + 100),
        ioid: Ioid(ioid),
        data: Data(data),
    }
}

fn put<'a>(cid: u32, data: &'a [u8]) -> Request<'a> {
    Request::Write {
        ty: DOUBLE,
        count: 1,
        sid: Sid(cid + 100),
        cid: Cid(cid),
        data: Data(data),
    }
}

#[test]
fn no_client_gets_write_access() {
    let mut rig = guarded("", &["a"]);
    let told = [rights(1, 1).to_string(), created(1).to_string()];
    assert_eq!(rig.heard(Direction::Response), told);
    for (real, shown) in [(0, 0), (2, 0), (3, 1)] {
        rig.response(&rights(1, real));
        assert_eq!(
            rig.heard(Direction::Response),
            [rights(1, shown).to_string()]
        );
    }
    // Nor by a rule.
    let add = "add on = 'access_rights', action = 'rights', rights = 'read-write'";
    assert_eq!(execute(&mut rig.engine, at(0), add).text, "ok");
    assert_eq!(rig.heard(Direction::Response), [rights(1, 1).to_string()]);
    rig.response(&rights(1, 0));
    assert_eq!(rig.heard(Direction::Response), [rights(1, 1).to_string()]);
}

/// `caerr.h` of EPICS Base: an `ERROR` with the channel's CID, or the answer with the status.
#[test]
fn puts_are_answered_and_do_not_reach_the_server() {
    let mut rig = guarded("", &["a"]);
    rig.heard(Direction::Request);
    rig.heard(Direction::Response);
    rig.request(&put_notify(1, 9, &[0; 8]));
    rig.request(&put(1, &[0; 8]));
    rig.request(&put(7, &[0; 8]));
    rig.request(&Request::ReadNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(101),
        ioid: Ioid(10),
    });
    let passed = rig.heard(Direction::Request);
    assert_eq!(passed.len(), 1, "{passed:?}");
    assert!(passed[0].starts_with("READ_NOTIFY"), "{passed:?}");
    let answers = rig.heard(Direction::Response);
    let answer = Response::WriteNotify {
        ty: DOUBLE,
        count: 1,
        status: EcaStatus::NOWTACCESS,
        ioid: Ioid(9),
    };
    assert_eq!(answers[0], answer.to_string());
    assert!(
        answers[1].starts_with("ERROR cid=1 status=ECA_NOWTACCESS"),
        "{answers:?}"
    );
    assert!(
        answers[2].starts_with("ERROR cid=4294967295"),
        "{answers:?}"
    );
    let log = rig.engine.take_log().join("\n");
    assert!(log.contains("#1 put to a refused"), "{log}");
    assert!(log.contains("#1 put to ? refused"), "{log}");
    let stats = rig.engine.stats();
    assert_eq!(stats[2], "puts refused 3");
    rig.engine.closed(at(0), 1, "test");
    assert_eq!(rig.engine.stats()[2], "puts refused 3");
}

/// A put above the limit of what is looked at, or behind lost borders.
#[test]
fn what_cannot_be_looked_at_ends_the_circuit() {
    for bytes in [
        // WRITE of 32 MiB.
        vec![
            0, 4, 0xff, 0xff, 0, 6, 0, 0, 0, 0, 0, 101, 0, 0, 0, 1, 2, 0, 0, 0, 0, 64, 0, 0,
        ],
        // A size that is not a multiple of 8.
        vec![0, 4, 0, 9, 0, 6, 0, 1, 0, 0, 0, 101, 0, 0, 0, 1, 1, 2, 3],
    ] {
        let mut rig = guarded("", &["a"]);
        rig.heard(Direction::Request);
        rig.bytes(Direction::Request, &bytes);
        assert_eq!(rig.drain(Direction::Request), (vec![], "CUT"));
        assert_eq!(rig.drain(Direction::Response), (vec![], "CUT"));
    }
    // The beginning of a put is not passed on when its sender ends.
    let mut rig = guarded("", &["a"]);
    rig.heard(Direction::Request);
    rig.bytes(
        Direction::Request,
        &[0, 4, 0, 8, 0, 6, 0, 1, 0, 0, 0, 101, 0, 0, 0, 1, 1, 2],
    );
    rig.engine.ended(at(0), 1, Direction::Request);
    assert_eq!(rig.drain(Direction::Request), (vec![], "END"));
}

#[test]
fn an_answer_waits_for_the_end_of_a_message_that_passes_in_pieces() {
    let mut rig = guarded("", &["a"]);
    rig.heard(Direction::Response);
    // READ_NOTIFY of 16 MiB and its header.
    let head = [
        0, 15, 0xff, 0xff, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 0, 9, 1, 0, 0, 0, 0, 32, 0, 0,
    ];
    rig.bytes(Direction::Response, &head);
    rig.request(&put_notify(1, 9, &[0; 8]));
    assert_eq!(rig.drain(Direction::Response).0, head);
    let mut left = 16 << 20;
    while left > 0 {
        rig.bytes(Direction::Response, &[0; 65_536]);
        left -= 65_536;
        let len = rig.drain(Direction::Response).0.len();
        let answer = if left == 0 { 16 } else { 0 };
        assert_eq!(len, 65_536 + answer);
    }
    // Nobody collects answers without end.
    rig.bytes(Direction::Response, &head);
    for ioid in 0..2000 {
        rig.request(&put_notify(1, ioid, &[0; 8]));
    }
    assert_eq!(rig.drain(Direction::Response).1, "CUT");
}

#[test]
fn rules_that_could_make_a_put_are_refused() {
    let mut rig = guarded("", &["a"]);
    let mut say = |line: &str| execute(&mut rig.engine, at(0), line).text;
    let corrupt = |on: &str, more: &str| {
        format!("add on = '{on}', action = 'corrupt', field = 'command', value = 4{more}")
    };
    for rule in [
        corrupt("any", ""),
        corrupt("echo", ", direction = 'request'"),
    ] {
        let answer = say(&rule);
        assert!(answer.contains("this proxy is read-only"), "{answer}");
    }
    for rule in [
        corrupt("any", ", direction = 'response'"),
        corrupt("search", ", direction = 'both', transport = 'udp'"),
    ] {
        assert_eq!(say(&rule), "ok");
    }
}
