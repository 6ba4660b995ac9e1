//! Files of groups: all mistakes at once, each with its line and the remedy.

use ca_kit::{Group, GroupError, Groups, Member};

fn mistakes(text: &str) -> String {
    let found = Groups::from_toml("groups.toml", text).expect_err("there are mistakes");
    assert!(
        found
            .iter()
            .all(|one| !one.remedy.is_empty() && one.line > 0)
    );
    found.to_string()
}

#[test]
fn groups_of_every_form_are_read() {
    let groups = Groups::from_toml(
        "groups.toml",
        r#"
        [group.all]
        include = ["magnets", "orbit"]
        pvs = "ring:current"

        [group.orbit]
        pvs = ["bpm1:x", "bpm2:x"]

        [group.magnets]
        devices = ["q1", "q2"]
        attributes = ["set", "read"]
        delimiter = "-"
        tolerance = 0.1
        order = 3

        [[group.magnets.member]]
        pv = "k1:set"
        name = "kicker"
        order = 0x10
        "#,
    )
    .unwrap();
    let all: Vec<_> = groups
        .get("all")
        .unwrap()
        .members()
        .iter()
        .map(|it| it.pv.as_str())
        .collect();
    let expected = [
        "q1-set",
        "q1-read",
        "q2-set",
        "q2-read",
        "k1:set",
        "bpm1:x",
        "bpm2:x",
        "ring:current",
    ];
    assert_eq!(all, expected);
    let magnets = groups.get("magnets").unwrap();
    assert_eq!(
        magnets.members()[0],
        Member::new("q1-set").tolerance(0.1).order(3)
    );
    assert_eq!(
        magnets.members()[4],
        Member::new("k1:set")
            .named("kicker")
            .tolerance(0.1)
            .order(16)
    );
    assert_eq!(magnets.position("kicker"), Some(4));
}

#[test]
fn shared_members_are_one() {
    let text = "[group.a]\npvs=['x','y']\n[group.b]\npvs=['x']\n[group.c]\ninclude=['a','b']";
    let groups = Groups::from_toml("g", text).unwrap();
    assert_eq!(groups.get("c").unwrap().len(), 2);
}

#[test]
fn every_mistake_has_its_place_and_remedy() {
    let text = mistakes(
        r#"
[group.magnets]
pvs = ["q1", "q1", 7]
devces = ["q1"]
tolerance = -1
order = "first"

[group.orbit]
include = ["magnts", "orbit"]

[[group.orbit.member]]
name = "nothing"

[group.lone]
devices = ["a"]
"#,
    );
    for part in [
        "group \"magnets\" has two members \"q1\"",
        "--> groups.toml:3:",
        "`pvs` is of type integer",
        "there is no key `devces`",
        "did you mean \"devices\"?",
        "--> groups.toml:4:1",
        "nothing can ever match",
        "`order` is of type string",
        "write a whole number",
        "includes \"magnts\", which there is not",
        "did you mean \"magnets\"?",
        "includes \"orbit\", which includes it",
        "a member of group \"orbit\" has no PV",
        "devices or attributes, and not both",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn files_that_are_none_are_refused() {
    for (text, part) in [
        ("[group.x\npvs = [", "groups.toml:1"),
        ("[grup.x]\npvs = ['a']", "did you mean \"group\"?"),
        ("group = 5", "write [group.NAME]"),
        ("[group]\nx = 5", "group \"x\" is no table"),
        ("[group.x]", "has no members"),
        ("[group.x]\npvs = ['']", "cannot be empty"),
        (
            "[group.x]\ntolerance = nan\npvs = ['a']",
            "nothing can ever match",
        ),
        ("[group.x]\nmember = 5\npvs = ['a']", "[[…]]"),
        ("[group.x]\nmember = [5]\npvs = ['a']", "tables only"),
        (
            "[group.a]\ninclude=['b']\n[group.b]\ninclude=['a']",
            "which includes it",
        ),
    ] {
        let found = mistakes(text);
        assert!(found.contains(part), "{part}: {found}");
    }
    assert!(
        Groups::load("/nowhere/groups.toml")
            .unwrap_err()
            .to_string()
            .contains("/nowhere/")
    );
}

/// A file cannot make the reader recurse, or build what does not fit, without bound.
#[test]
fn small_files_cannot_ask_for_much() {
    let mut text = String::from("[group.g0]\npvs = ['a']\n");
    for n in 1..10_000 {
        text.push_str(&format!("[group.g{n}]\ninclude = ['g{}']\n", n - 1));
    }
    // Those that are read first end the chain; which, depends on the order of names.
    let _ = Groups::from_toml("chain", &text);
    let many: Vec<String> = (0..513).map(|n| format!("'{n}'")).collect();
    let many = many.join(",");
    let found = mistakes(&format!(
        "[group.x]\ndevices = [{many}]\nattributes = [{many}]"
    ));
    assert!(found.contains("more than 262144 members"), "{found}");
    let keys: String = (0..500).map(|n| format!("k{n} = 1\n")).collect();
    let found = mistakes(&format!("[group.x]\n{keys}"));
    assert!(found.contains("and 451 more"), "{found}");
}

#[test]
fn groups_from_code_are_checked_too() {
    assert!(matches!(
        Group::of("g", ["a", "a"]),
        Err(GroupError::Twice { .. })
    ));
    assert!(matches!(
        Group::of("g", [""]),
        Err(GroupError::BadName { .. })
    ));
    for tolerance in [-1.0, f64::NAN] {
        let group = Group::new("g").with(Member::new("a").tolerance(tolerance));
        assert!(matches!(group, Err(GroupError::Tolerance { .. })));
    }
}

/// Whatever a slip does to a file: it is read, or its mistakes can be shown.
#[test]
fn no_slip_of_the_keyboard_is_too_much() {
    let groups = "[group.é]\npvs = [\"ä\", 'b']\ntolerance = 0.1 # ü\n[[group.é.member]]\npv = \"c\"\norder = -2\n";
    let snapshot = "format = 1\ngroup = \"é\"\ntaken = \"17.000000001\"\n[[member]]\npv = \"ä\"\nvalue = [1, nan]\n\
                    [[member]]\npv = \"b\"\nvalue = 1\nlabel = \"Ön\"\nseverity = 2\n";
    for text in [groups, snapshot] {
        let chars: Vec<char> = text.chars().collect();
        for at in 0..=chars.len() {
            let (before, after) = chars.split_at(at);
            let before: String = before.iter().collect();
            let rest: String = after.iter().skip(1).collect();
            read(&before);
            for slip in ["\0", "\"", "[", "é", "9e999"] {
                read(&format!("{before}{slip}{rest}"));
            }
        }
    }

    fn read(text: &str) {
        if let Err(found) = Groups::from_toml("x", text) {
            assert!(!found.to_string().is_empty());
        }
        if let Err(found) = ca_kit::Snapshot::from_toml("x", text) {
            assert!(!found.to_string().is_empty());
        }
    }
}
