//! Rules that come, change and go while the engine works.

use super::*;
use crate::control::execute;

fn say(rig: &mut Rig, line: &str) -> String {
    execute(&mut rig.engine, rig.now, line).text
}

#[test]
fn a_rule_is_added_replaced_and_removed() {
    let mut rig = Rig::with_channels("", &["a", "b"]);
    let add = "add on = \"event_add\", name = \"a\", action = \"drop\"";
    assert_eq!(say(&mut rig, add), "ok");
    rig.update(1, 1);
    rig.update(2, 2);
    assert_eq!(rig.updates(), ["2:2"]);
    assert_eq!(
        say(&mut rig, "list"),
        "rule1  on   1/1  event_add response a: drop\nok"
    );

    let replace = "replace rule1 id = \"twice\", on = \"event_add\", action = \"duplicate\"";
    assert_eq!(say(&mut rig, replace), "ok");
    rig.update(1, 3);
    assert_eq!(rig.updates(), ["1:3", "1:3"]);
    assert_eq!(
        say(&mut rig, "list"),
        "twice  on   1/1  event_add response: duplicate +1\nok",
        "it counts anew"
    );

    assert_eq!(say(&mut rig, "remove twice"), "ok");
    rig.update(1, 4);
    assert_eq!(rig.updates(), ["1:4"]);
    assert_eq!(say(&mut rig, "list"), "ok");
}

#[test]
fn names_of_added_rules_are_free_and_their_places_stay() {
    let script =
        "[[rule]]\non='echo'\naction='drop'\n[[rule]]\nid='rule3'\non='echo'\naction='drop'\n";
    let mut rig = Rig::new(script);
    for line in [
        "add on = 'search', action = 'drop', enabled = false",
        "replace rule1 on = 'search', action = 'duplicate'",
    ] {
        assert_eq!(say(&mut rig, line), "ok", "{line}");
    }
    assert_eq!(
        say(&mut rig, "list"),
        "rule1  on   0/0  search response: duplicate +1\n\
         rule3  on   0/0  echo response: drop\n\
         rule4  off  0/0  search response: drop\nok"
    );
    assert_eq!(say(&mut rig, "remove rule1 rule4"), "ok");
    assert_eq!(say(&mut rig, "remove all"), "ok");
    assert_eq!(say(&mut rig, "list"), "ok");
}

#[test]
fn wrong_rules_are_named_and_change_nothing() {
    let mut rig = Rig::new("[[rule]]\nid='a'\non='search'\naction='drop'\n");
    let before = say(&mut rig, "list");
    for (line, part) in [
        (
            "add on = 'search', action = 'lose'",
            "there is no `lose`; use one of drop, delay",
        ),
        (
            "add id = 'a', on = 'search', action = 'drop'",
            "there is a rule a",
        ),
        ("add on = 'search' }, { on = 'echo'", "error: "),
        ("add nothing", "error: "),
        ("add", "give a rule such as"),
        ("replace a", "give a rule such as"),
        (
            "replace b on = 'search', action = 'drop'",
            "there is no rule b",
        ),
        ("replace a on = 'search'", "missing field `action`"),
        ("remove b", "there is no rule b"),
        ("remove", "name the rules"),
    ] {
        let answer = say(&mut rig, line);
        assert!(
            answer.starts_with("error: ") && !answer.contains('\n'),
            "{answer}"
        );
        assert!(answer.contains(part), "{line}: {answer}");
    }
    assert_eq!(say(&mut rig, "list"), before);
}

#[test]
fn rules_have_a_bound() {
    let mut rig = Rig::new("");
    for _ in 0..super::super::MAX_RULES {
        assert_eq!(say(&mut rig, "add on = 'echo', action = 'drop'"), "ok");
    }
    let answer = say(&mut rig, "add on = 'echo', action = 'drop'");
    assert_eq!(answer, "error: there are 1000 rules; remove some");
}

/// A stall lasts as long as its rule; a rule that comes later in its place is another one.
#[test]
fn a_stall_ends_with_its_rule() {
    for end in ["remove s", "replace s on = 'circuit', action = 'stall'"] {
        let mut rig = Rig::with_channels("", &["a"]);
        let add = "add id = 's', on = 'event_add', action = 'stall'";
        assert_eq!(say(&mut rig, add), "ok");
        rig.update(1, 1);
        assert_eq!(rig.updates(), [""; 0]);
        assert_eq!(say(&mut rig, end), "ok");
        if end.starts_with("replace") {
            assert_eq!(rig.updates(), [""; 0], "the other one holds it");
            assert_eq!(say(&mut rig, "off s"), "ok");
        }
        assert_eq!(rig.updates(), ["1:1"]);
    }
}

#[test]
fn clients_are_told_their_rights_when_a_rule_comes_and_goes() {
    let mut rig = Rig::with_channels("", &["a", "b"]);
    let add = "add on = 'access_rights', name = 'a', action = 'rights', rights = 'none', id = 'r'";
    assert_eq!(say(&mut rig, add), "ok");
    assert_eq!(rig.heard(Direction::Response), [rights(1, 0).to_string()]);
    let replace = "replace r on = 'access_rights', name = 'b', action = 'rights', rights = 'read'";
    assert_eq!(say(&mut rig, replace), "ok");
    let told = [rights(1, 3).to_string(), rights(2, 1).to_string()];
    assert_eq!(rig.heard(Direction::Response), told);
    assert_eq!(say(&mut rig, "remove r"), "ok");
    assert_eq!(rig.heard(Direction::Response), [rights(2, 3).to_string()]);
}
