//! Access security in an IOC: who may do what, and how clients are told when that changes.

mod rig;

use std::net::Ipv4Addr;
use std::sync::mpsc::channel;
use std::time::Duration;

use ca_proto::EcaStatus;
use ca_proto::access::AccessRights;
use ca_proto::dbr::Value;
use ca_proto::ids::Sid;
use ca_proto::wire::Command;
use ca_server_sim::access::rules::{Access, AccessSecurity};
use ca_server_sim::load::{InMemory, access_security};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};
use rig::*;

fn rules(text: &str) -> AccessSecurity {
    let files = InMemory::from([("x.acf", text)]);
    let (security, mistakes) = access_security(&files, "x.acf", "");
    assert!(mistakes.is_empty(), "{mistakes}");
    security
}

const SITE: &str = r#"
UAG(ops) { alice }
HAG(control) { cs1 }
ASG(DEFAULT) { RULE(1, READ) RULE(0, WRITE) }
ASG(magnets) {
    INPA(beam) INPB(mode.VAL)
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE) { UAG(ops) HAG(control) CALC("A=0") }
    RULE(0, WRITE) { CALC("B=1") }
}
ASG(closed) { RULE(1, NONE) }
"#;

const DB: &str = r#"
record(ao, "beam") { field(VAL, "0") field(PINI, "YES") field(ASG, "open") }
record(longout, "mode") { field(VAL, "0") field(PINI, "YES") field(ASG, "open") }
record(ao, "quad") { field(ASG, "magnets") }
record(ao, "other") {}
record(ao, "hidden") { field(ASG, "closed") }
record(calcout, "slow") { field(ASG, "magnets") field(ODLY, "1") field(OOPT, "Every Time") }
"#;

fn site() -> IocBuilder {
    Ioc::builder()
        .db_text(DB, "")
        .pv("plain", PvSpec::double(1.5))
        .pv("coil", PvSpec::double(2.5).access_group("magnets"))
        .access_security(rules(SITE))
}

/// Creates a channel: its identifier, and what the client was told that it may do.
fn open(rig: &mut Rig, client: &mut Client, name: &str) -> (Sid, AccessRights) {
    let replies = client.create_replies(rig, name, 13);
    assert_eq!(
        commands(&replies),
        [Command::ACCESS_RIGHTS, Command::CREATE_CHAN],
        "{name}"
    );
    (Sid(replies[1].p2), AccessRights::from_bits(replies[0].p2))
}

/// Rights that a client is told of, in their order.
fn told(rig: &mut Rig, client: &mut Client) -> Vec<AccessRights> {
    while rig.ioc.has_work() {
        rig.ioc.work(rig.now);
    }
    rights_in(&client.received(rig))
}

fn rights_in(replies: &[Reply]) -> Vec<AccessRights> {
    let rights = replies
        .iter()
        .filter(|reply| reply.command == Command::ACCESS_RIGHTS);
    rights
        .map(|reply| AccessRights::from_bits(reply.p2))
        .collect()
}

#[test]
fn user_host_group_and_level_decide() {
    let mut rig = Rig::new(site());
    let mut alice = rig.client_named("alice", "CS1");
    let mut eve = rig.client_named("eve", "cs1");
    let mut away = rig.client_named("alice", "home");
    let (all, read, none) = (AccessRights::ALL, AccessRights::READ, AccessRights::NONE);
    for (name, expected) in [
        // The default group, of PVs that the program describes and of records that name none.
        ("plain", [all, all, all]),
        ("plain.HIHI", [read, read, read]),
        ("other", [all, all, all]),
        ("other.HIHI", [read, read, read]),
        ("other.RTYP", [read, read, read]),
        // A group that is not in the file is the default one.
        ("beam", [all, all, all]),
        ("coil", [all, read, read]),
        ("coil.HIHI", [all, read, read]),
        ("quad", [all, read, read]),
        ("quad.HIHI", [all, read, read]),
        // No rule makes a field writable that is not.
        ("quad.STAT", [read, read, read]),
        ("hidden", [none, none, none]),
    ] {
        let mut of = |client| open(&mut rig, client, name).1;
        assert_eq!(
            [of(&mut alice), of(&mut eve), of(&mut away)],
            expected,
            "{name}"
        );
    }
    let (quad, _) = open(&mut rig, &mut eve, "quad");
    assert_eq!(
        eve.put(&mut rig, quad, &Value::scalar(1.0)),
        EcaStatus::NOWTACCESS
    );
    let (quad, _) = open(&mut rig, &mut alice, "quad");
    assert_eq!(
        alice.put(&mut rig, quad, &Value::scalar(1.0)),
        EcaStatus::NORMAL
    );
    let (hidden, _) = open(&mut rig, &mut alice, "hidden");
    let status = alice.read(&mut rig, hidden, DOUBLE, 1).status();
    assert_eq!(status, EcaStatus::NORDACCESS);
}

#[test]
fn an_input_that_changes_counts_at_once_and_is_told() {
    let mut rig = Rig::new(site());
    let mut alice = rig.client_named("alice", "cs1");
    let mut eve = rig.client_named("eve", "x");
    let (beam, _) = open(&mut rig, &mut eve, "beam");
    for name in ["quad", "coil"] {
        let (magnet, rights) = open(&mut rig, &mut alice, name);
        assert_eq!(rights, AccessRights::ALL);
        // Without the clock turned, and without a turn of work.
        assert_eq!(
            eve.put(&mut rig, beam, &Value::scalar(1.0)),
            EcaStatus::NORMAL
        );
        let (ioid, replies) = alice.write_notify(&mut rig, magnet, &Value::scalar(3.0));
        assert_eq!(completion(&replies, ioid), Some(EcaStatus::NOWTACCESS));
        let mut all = rights_in(&replies);
        all.extend(told(&mut rig, &mut alice));
        let channels = if name == "quad" { 1 } else { 2 };
        assert_eq!(all, vec![AccessRights::READ; channels]);
        rig.ioc.post(rig.now, "beam", 0.0).unwrap();
        assert_eq!(
            told(&mut rig, &mut alice),
            vec![AccessRights::ALL; channels]
        );
        assert_eq!(
            alice.put(&mut rig, magnet, &Value::scalar(3.0)),
            EcaStatus::NORMAL
        );
        // What does not change a rule tells nobody.
        rig.ioc.post(rig.now, "mode", 5).unwrap();
        assert!(told(&mut rig, &mut alice).is_empty());
    }
    let (_, rights) = open(&mut rig, &mut eve, "quad");
    assert_eq!(rights, AccessRights::READ);
    rig.ioc.post(rig.now, "mode", 1).unwrap();
    assert_eq!(
        told(&mut rig, &mut eve),
        [AccessRights::ALL],
        "level 0 only"
    );
    let (_, rights) = open(&mut rig, &mut eve, "quad.HIHI");
    assert_eq!(rights, AccessRights::READ);
}

#[test]
fn an_input_that_is_invalid_or_missing_allows_nothing() {
    let text = r#"ASG(DEFAULT) { INPA(late) RULE(1, READ) RULE(1, WRITE) { CALC("A=0") } }"#;
    let mut rig = Rig::new(
        Ioc::builder()
            .pv("gap", PvSpec::double(1.0))
            .access_security(rules(text)),
    );
    let mut client = rig.client();
    let (_, rights) = open(&mut rig, &mut client, "gap");
    assert_eq!(rights, AccessRights::READ, "there is no PV `late`");
    rig.ioc.add(rig.now, "late", PvSpec::long(0)).unwrap();
    assert_eq!(told(&mut rig, &mut client), [AccessRights::ALL]);
    let invalid = ca_proto::Alarm::new(
        ca_proto::AlarmStatus::COMM,
        ca_proto::AlarmSeverity::INVALID,
    );
    rig.ioc.set_alarm(rig.now, "late", invalid).unwrap();
    assert_eq!(told(&mut rig, &mut client), [AccessRights::READ]);
    rig.ioc
        .set_alarm(rig.now, "late", ca_proto::Alarm::NONE)
        .unwrap();
    assert_eq!(told(&mut rig, &mut client), [AccessRights::ALL]);
    assert!(rig.ioc.remove(rig.now, "late"));
    assert_eq!(told(&mut rig, &mut client), [AccessRights::READ]);
    let why = rig.ioc.access("gap", "u", "h").unwrap().unwrap().why_not;
    assert_eq!(
        why,
        "group DEFAULT, level 0: x.acf:1:41 does not count now (A has no value)"
    );
    rig.ioc.add(rig.now, "late", PvSpec::string("0")).unwrap();
    assert_eq!(
        told(&mut rig, &mut client),
        [AccessRights::ALL],
        "a text that is a number"
    );
}

#[test]
fn a_record_that_moves_to_another_group_is_told() {
    let mut rig = Rig::new(site());
    let mut alice = rig.client_named("alice", "cs1");
    let mut eve = rig.client_named("eve", "x");
    let (asg, rights) = open(&mut rig, &mut alice, "quad.ASG");
    assert_eq!(rights, AccessRights::ALL);
    let (quad, rights) = open(&mut rig, &mut eve, "quad");
    assert_eq!(rights, AccessRights::READ);
    assert_eq!(
        alice.put(&mut rig, asg, &Value::string("DEFAULT")),
        EcaStatus::NORMAL
    );
    assert_eq!(
        eve.put(&mut rig, quad, &Value::scalar(4.0)),
        EcaStatus::NORMAL
    );
    assert_eq!(told(&mut rig, &mut eve), []);
    rig.ioc
        .post(rig.now, "quad.ASG", Value::string("closed"))
        .unwrap();
    assert_eq!(told(&mut rig, &mut eve), [AccessRights::NONE]);
    // PVs that the program describes have no such field, but a call.
    let (_, rights) = open(&mut rig, &mut eve, "coil");
    assert_eq!(rights, AccessRights::READ);
    rig.ioc.set_access_group(rig.now, "coil", "closed").unwrap();
    assert_eq!(told(&mut rig, &mut eve), [AccessRights::NONE]);
}

#[test]
fn rules_are_replaced_while_clients_are_connected() {
    let mut rig = Rig::new(site());
    let mut alice = rig.client_named("alice", "cs1");
    let (quad, rights) = open(&mut rig, &mut alice, "quad");
    assert_eq!(rights, AccessRights::ALL);
    rig.ioc
        .set_access_security(rig.now, rules("ASG(DEFAULT) { RULE(1, READ) }"));
    assert_eq!(
        alice.put(&mut rig, quad, &Value::scalar(1.0)),
        EcaStatus::NOWTACCESS
    );
    assert_eq!(told(&mut rig, &mut alice), []);
    rig.ioc.set_access_security(rig.now, rules(SITE));
    assert_eq!(told(&mut rig, &mut alice), [AccessRights::ALL]);
    let access = |rig: &Rig, pv: &str| rig.ioc.access(pv, "alice", "cs1").unwrap().unwrap();
    assert_eq!(access(&rig, "quad").access, Access::Write);
    assert!(rig.ioc.access("quad.NIX", "a", "b").is_err());
    // Inputs of rules that are gone are let go.
    let open_before = rig.ioc.counts().channels;
    rig.ioc.set_access_security(rig.now, rules(SITE));
    assert_eq!(rig.ioc.counts().channels, open_before);
}

#[test]
fn hosts_are_known_by_address_if_they_are_to_be() {
    let mut by_address =
        rules("HAG(h) { near, far } ASG(DEFAULT) { RULE(1, READ) RULE(1, WRITE) { HAG(h) } }");
    by_address.resolve_hosts(|name| (name == "near").then_some([10, 0, 0, 7].into()));
    let builder = Ioc::builder().pv("gap", PvSpec::double(1.0));
    let mut rig = Rig::new(builder.access_security(by_address));
    let mut near = rig.client_from(Ipv4Addr::new(10, 0, 0, 7));
    assert_eq!(open(&mut rig, &mut near, "gap").1, AccessRights::ALL);
    let mut liar = rig.client_named("x", "near");
    assert_eq!(open(&mut rig, &mut liar, "gap").1, AccessRights::READ);
    let mut liar = rig.client_named("x", "unresolved:far");
    assert_eq!(open(&mut rig, &mut liar, "gap").1, AccessRights::READ);
}

#[test]
fn puts_that_wait_are_asked_again() {
    for notify in [false, true] {
        let mut rig = Rig::new(site());
        let mut alice = rig.client_named("alice", "cs1");
        let mut bob = rig.client_named("alice", "cs1");
        let (first, _) = open(&mut rig, &mut alice, "slow.A");
        let (second, _) = open(&mut rig, &mut bob, "slow.A");
        let (_, replies) = alice.write_notify(&mut rig, first, &Value::scalar(1.0));
        assert!(replies.is_empty(), "it takes a second");
        let (waits, replies) = bob.write_notify(&mut rig, second, &Value::scalar(2.0));
        assert!(replies.is_empty(), "it waits for the other");
        if notify {
            rig.ioc.post(rig.now, "beam", 1.0).unwrap();
        }
        while rig.ioc.has_work() {
            rig.ioc.work(rig.now);
        }
        let replies = bob.received(&mut rig);
        let expected = notify.then_some(EcaStatus::NOWTACCESS);
        assert_eq!(completion(&replies, waits), expected);
        rig.advance(Duration::from_secs(3));
        let value = if notify { 1.0 } else { 2.0 };
        assert_eq!(rig.ioc.number("slow.A"), Ok(value));
    }
}

#[test]
fn the_put_log_has_the_rule_and_whether_it_traps_writes() {
    let (send, puts) = channel();
    let mut rig = Rig::new(site().put_log(move |put| {
        let access = put.access.expect("rules hold");
        let rule = access.rule.as_ref().map(ToString::to_string);
        let _ = send.send((put.carried_out, access.traps_writes, rule));
    }));
    let mut alice = rig.client_named("alice", "cs1");
    let mut eve = rig.client_named("eve", "cs1");
    for client in [&mut alice, &mut eve] {
        for name in ["quad", "hidden"] {
            let (sid, _) = open(&mut rig, client, name);
            client.put(&mut rig, sid, &Value::scalar(1.0));
        }
    }
    let rule = |line: usize| Some(format!("x.acf:{line}:5"));
    assert_eq!(
        puts.try_iter().collect::<Vec<_>>(),
        [
            // Twice, as it completes later: when it began, and its end.
            (true, true, rule(8)),
            (true, true, rule(8)),
            (false, false, None),
            (false, false, rule(7)),
            (false, false, None),
        ]
    );
}

#[test]
fn a_change_of_very_many_channels_is_told_in_turns() {
    const CHANNELS: usize = 20_000;
    let mut rig = Rig::new(site());
    let mut alice = rig.client_named("alice", "cs1");
    let mut last = Sid(0);
    for _ in 0..CHANNELS {
        (last, _) = open(&mut rig, &mut alice, "quad");
    }
    rig.ioc.post(rig.now, "beam", 1.0).unwrap();
    // The last one counts as the first does, long before it is told.
    assert!(rig.ioc.has_work());
    let (ioid, replies) = alice.write_notify(&mut rig, last, &Value::scalar(1.0));
    let status = completion(&replies, ioid);
    assert!(status.is_none_or(|status| status == EcaStatus::NOWTACCESS));
    let mut rights = replies
        .iter()
        .filter(|r| r.command == Command::ACCESS_RIGHTS)
        .count();
    let mut turns = 0;
    while rig.ioc.has_work() {
        turns += 1;
        rig.ioc.work(rig.now);
        rights += told(&mut rig, &mut alice).len();
    }
    assert_eq!(rights, CHANNELS);
    assert!(turns < CHANNELS, "{turns}");
}
