//! Scripts that are right, and what is said of those that are not.

use std::time::Duration;

use ca_proto::wire::Command;

use super::rule::{Action, Field, How, Rights, Transport, Trigger};
use super::script::parse;

#[test]
fn a_rule_has_everything_that_it_says() {
    let text = r#"
        [[rule]]
        id = "late"
        on = "create_chan"
        direction = "response"
        transport = "tcp"
        name = "X*"
        action = "delay"
        by = "200ms"
        jitter = "1s"
        probability = 0.5
        after = 3
        times = 10
        enabled = false
    "#;
    let rules = parse(text).unwrap();
    let [rule] = &rules[..] else {
        panic!("{rules:?}")
    };
    assert_eq!(rule.id, "late");
    assert_eq!(rule.on, Trigger::Command(Command::CREATE_CHAN));
    assert_eq!((rule.request, rule.response), (false, true));
    assert_eq!(rule.transport, Some(Transport::Tcp));
    assert!(rule.name_matches(Some(b"X:gap")) && !rule.name_matches(Some(b"Y")));
    let by = Duration::from_millis(200);
    let jitter = Duration::from_secs(1);
    assert_eq!(rule.action, Action::Delay { by, jitter });
    assert_eq!((rule.probability, rule.after), (0.5, 3));
    assert_eq!((rule.times, rule.enabled), (Some(10), false));
    assert_eq!(
        rule.to_string(),
        "create_chan response tcp X*: delay 200ms + 0..1s, probability 0.5, after 3, 10 times"
    );
}

#[test]
fn every_action_has_its_parameters() {
    for (line, expected) in [
        (
            "on = 'event_add'\naction = 'duplicate'",
            Action::Duplicate { copies: 1 },
        ),
        (
            "on = 'event_add'\naction = 'reorder'\nby = '2s'",
            Action::Reorder {
                by: Duration::from_secs(2),
            },
        ),
        (
            "on = 'create_chan'\naction = 'corrupt'\nfield = 'sid'\nvalue = 7",
            Action::Corrupt {
                field: Field::P2,
                value: Some(7),
            },
        ),
        (
            "on = 'read_notify'\naction = 'corrupt'\nfield = 'payload'\noffset = 3",
            Action::Corrupt {
                field: Field::Payload(3),
                value: None,
            },
        ),
        (
            "on = 'circuit'\naction = 'cut'\nbytes = 100\nhow = 'reset'",
            Action::Cut {
                bytes: 100,
                how: How::Reset,
            },
        ),
        ("on = 'circuit'\naction = 'refuse'", Action::Refuse),
        ("on = 'any'\naction = 'stall'", Action::Stall { by: None }),
        (
            "on = 'circuit'\naction = 'throttle'\nrate = 1000",
            Action::Throttle { rate: 1000 },
        ),
        (
            "on = 'access_rights'\naction = 'rights'\nrights = 'read'",
            Action::Rights(Rights::Set(1)),
        ),
        (
            "on = 'beacon'\naction = 'storm'\nto = '127.0.0.1:5065'\nevery = '10ms'\nservers = 5",
            Action::Storm {
                to: "127.0.0.1:5065".parse().unwrap(),
                every: Duration::from_millis(10),
                servers: 5,
            },
        ),
    ] {
        let rules = parse(&format!("[[rule]]\n{line}\n")).unwrap();
        assert_eq!(rules[0].action, expected, "{line}");
        assert_eq!(rules[0].id, "rule1");
    }
}

#[test]
fn without_a_direction_the_answer_is_meant_where_there_is_one() {
    for (on, expected) in [
        ("event_add", (false, true)),
        ("write", (true, false)),
        ("client_name", (true, false)),
        ("any", (true, true)),
    ] {
        let rules = parse(&format!("[[rule]]\non = '{on}'\naction = 'drop'\n")).unwrap();
        assert_eq!((rules[0].request, rules[0].response), expected, "{on}");
    }
}

#[track_caller]
fn refused(text: &str, line: usize, what: &str, remedy: &str) {
    let error = parse(text).unwrap_err();
    assert_eq!(error.line, line, "{error:?}");
    assert!(error.what.contains(what), "{what:?} is not in {error:?}");
    assert!(
        error.remedy.contains(remedy),
        "{remedy:?} is not in {error:?}"
    );
}

#[test]
fn wrong_scripts_are_named_with_line_key_and_what_is_allowed() {
    let rule = |lines: &str| format!("# a script\n[[rule]]\n{lines}\n");
    for (lines, line, what, remedy) in [
        (
            "on = 'create'\naction = 'drop'",
            3,
            "key `on`: there is no `create`",
            "create_chan",
        ),
        (
            "on = 'search'\naction = 'lose'",
            4,
            "key `action`: there is no `lose`",
            "use one of drop, delay, duplicate",
        ),
        (
            "on = 'search'\naction = 'delay'",
            2,
            "key `by` is missing for action `delay`",
            "by = \"200ms\"",
        ),
        (
            "on = 'search'\naction = 'delay'\nby = '200'",
            5,
            "key `by`: `200` is no time",
            "ms, s, min or h",
        ),
        (
            "on = 'search'\naction = 'drop'\nby = '2s'",
            5,
            "key `by` has no effect with action `drop`",
            "`drop` takes probability, after, times",
        ),
        (
            "on = 'search'\naction = 'drop'\nprobability = 1.5",
            5,
            "key `probability`: 1.5",
            "from 0.0 to 1.0",
        ),
        (
            "on = 'search'\naction = 'drop'\nafter = -1",
            5,
            "key `after`: -1 is out of range",
            "from 0",
        ),
        (
            "on = 'search'\naction = 'drop'\ndirection = 'up'",
            5,
            "key `direction`: there is no `up`",
            "request, response, both",
        ),
        (
            "on = 'echo'\naction = 'drop'\nname = 'X'",
            5,
            "key `name`: `on = \"echo\"` is about no channel",
            "create_chan",
        ),
        (
            "on = 'search'\naction = 'refuse'",
            4,
            "key `action`: `refuse` does not work with this `on`",
            "`refuse` needs `circuit`",
        ),
        (
            "on = 'search'\naction = 'cut'\ntransport = 'udp'",
            4,
            "key `transport`: `cut` needs a circuit",
            "tcp",
        ),
        (
            "on = 'create_chan'\naction = 'corrupt'\nfield = 'ioid'",
            5,
            "key `field`: there is no `ioid`",
            "cid, sid",
        ),
        (
            "on = 'beacon'\naction = 'storm'\nto = '127.0.0.1'\nevery = '10ms'",
            5,
            "key `to`: `127.0.0.1` is no address",
            "HOST:PORT",
        ),
        (
            "on = 'search'\naction = 'drop'\nid = 'a b'",
            5,
            "key `id`: `a b` is no name",
            "one word",
        ),
        (
            "on = 'search'\naction = 'drop'\nchance = 1",
            5,
            "unknown field `chance`",
            "--help",
        ),
        ("on = 'search'", 2, "missing field `action`", "--help"),
        ("on = 7\naction = 'drop'", 3, "expected a string", "--help"),
    ] {
        refused(&rule(lines), line, what, remedy);
    }
    let twice = "[[rule]]\nid='a'\non='search'\naction='drop'\n";
    refused(
        &twice.repeat(2),
        5,
        "two rules are called `a`",
        "id of its own",
    );
    refused("[[rules]]\n", 1, "unknown field `rules`", "--help");
    refused("[[rule]\n", 1, "", "--help");
}
