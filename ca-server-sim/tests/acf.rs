//! Files of access security: what they allow, and what is told of those that are wrong.

use ca_server_sim::access::rules::{Access, AccessSecurity, Client, Inputs};
use ca_server_sim::load::{InMemory, Mistakes, access_security};

fn read(text: &str) -> (AccessSecurity, Mistakes) {
    let files = InMemory::from([("x.acf", text)]);
    access_security(&files, "x.acf", "OPS=alice,PV=BEAM:ON")
}

fn right(text: &str) -> AccessSecurity {
    let (security, mistakes) = read(text);
    assert!(mistakes.is_empty(), "{mistakes}");
    security
}

fn access(security: &AccessSecurity, group: &str, level: i32, user: &str, host: &str) -> Access {
    let client = Client { user, host };
    security
        .decide(group, level, client, &Inputs::default())
        .access
}

const SITE: &str = r#"
# who
UAG(ops) { "$(OPS)", bob }
UAG(nobody)
HAG(control) { CS1, "cs2.example.org" }
ASG(DEFAULT) { RULE(1, READ) RULE(0, WRITE) }
ASG(magnets) {
    INPA($(PV)) INPL("SR:MODE.VAL")
    RULE(1, READ)
    RULE(1, WRITE, TRAPWRITE) { UAG(ops) HAG(control) CALC("A=1 && L<3") }
    RULE(0, WRITE, NOTRAPWRITE) { UAG(ops, nobody) }
}
ASG(closed)
ASG("none") { RULE(1, NONE) RULE(1, READ) { UAG(nobody) } }
"#;

#[test]
fn rules_are_for_users_hosts_levels_and_conditions() {
    let security = right(SITE);
    // Fields of level 1 need a rule of level 1.
    assert_eq!(access(&security, "DEFAULT", 1, "eve", "x"), Access::Read);
    assert_eq!(access(&security, "DEFAULT", 0, "eve", "x"), Access::Write);
    assert_eq!(
        access(&security, "not in the file", 0, "eve", "x"),
        Access::Write
    );
    assert_eq!(access(&security, "closed", 0, "alice", "cs1"), Access::None);
    assert_eq!(access(&security, "none", 0, "alice", "cs1"), Access::None);
    assert_eq!(
        access(&security, "magnets", 1, "alice", "cs1"),
        Access::Read
    );
    assert_eq!(
        access(&security, "magnets", 0, "alice", "elsewhere"),
        Access::Write
    );
    assert_eq!(
        access(&security, "magnets", 0, "Alice", "elsewhere"),
        Access::Read
    );

    let mut inputs = Inputs::default();
    inputs.values[0] = 1.0;
    let alice = Client {
        user: "alice",
        host: "Cs2.Example.ORG",
    };
    let decision = security.decide("magnets", 1, alice, &inputs);
    assert_eq!(
        (decision.access, decision.traps_writes),
        (Access::Write, true)
    );
    let rule = decision.rule.expect("a rule");
    assert_eq!(rule.place.to_string(), "x.acf:10:5");
    // A PV without a value makes the condition false.
    inputs.bad = 1 << 11;
    assert_eq!(
        security.decide("magnets", 1, alice, &inputs).access,
        Access::Read
    );
    // One that the condition does not use does not matter.
    inputs.bad = 1 << 1;
    assert_eq!(
        security.decide("magnets", 1, alice, &inputs).access,
        Access::Write
    );
}

#[test]
fn inputs_are_told_with_their_letters() {
    let security = right(SITE);
    let group = security.group("magnets").expect("it is there");
    let inputs: Vec<(u8, &str)> = group
        .inputs
        .iter()
        .map(|(letter, pv)| (*letter, &**pv))
        .collect();
    assert_eq!(inputs, [(0, "BEAM:ON"), (11, "SR:MODE.VAL")]);
}

#[test]
fn hosts_may_be_known_by_their_addresses() {
    let mut security = right("HAG(h) { near, far }\nASG(DEFAULT) { RULE(1, WRITE) { HAG(h) } }");
    security.resolve_hosts(|name| (name == "near").then_some([10, 0, 0, 7].into()));
    assert_eq!(access(&security, "x", 1, "u", "10.0.0.7"), Access::Write);
    assert_eq!(access(&security, "x", 1, "u", "near"), Access::None);
    assert_eq!(access(&security, "x", 1, "u", "far"), Access::None);
}

#[test]
fn what_is_not_known_allows_nothing() {
    let text = "FUTURE(x) { a, b(c) { d } }\nASG(DEFAULT) {\n  RULE(1, READ)\n  RULE(1, WRITE) { METHOD(ca, x509) }\n}";
    let (security, mistakes) = read(text);
    assert!(!mistakes.has_errors(), "{mistakes}");
    assert_eq!(mistakes.warnings(), 2, "{mistakes}");
    assert_eq!(access(&security, "DEFAULT", 0, "u", "h"), Access::Read);
}

#[test]
fn mistakes_are_told_all_at_once_with_their_places() {
    let (_, mistakes) = read(
        "UAG(ops) { alice, alice }\n\
         UAG(ops) { bob }\n\
         UAG(many) { 123, x }\n\
         ASG(a) { RULE(1, WRIT) { UAG(opps) } }\n\
         ASG(b) { RULE(one, READ) }\n\
         ASG(c) { RULE(1, READ) { CALC(\"A=\") CALC(\"B:=1;B\") HAG(nowhere) } }\n\
         ASG(c) { }\n\
         ASG(d) { RULE(1, READ, TRAP) { } }\n\
         HAG(h) { a b }\n\
         ASG(e) { INPZ(x) \"RULE\"(1, READ)\n",
    );
    let told: Vec<String> = mistakes.to_string().lines().map(Into::into).collect();
    assert_eq!(
        told,
        [
            "x.acf:1:19: warning: the user is twice in `ops`",
            "x.acf:2:5: error: the group of users `ops` is defined twice",
            "x.acf:3:13: error: there is `123` where a name, in quotes if it is a number, is expected",
            "x.acf:4:18: warning: `WRIT` is no access (NONE, READ, WRITE); the rule never counts",
            "x.acf:4:30: error: there is no group of users `opps`",
            "x.acf:5:15: error: there is `one` where an access security level, 0 or 1, is expected",
            "x.acf:6:31: error: the condition is no expression: column 3: something is missing at the end",
            "x.acf:6:42: error: the condition assigns to an input",
            "x.acf:6:56: error: there is no group of hosts `nowhere`",
            "x.acf:7:5: error: the group `c` is defined twice",
            "x.acf:7:10: error: the group `c` has nothing in its braces",
            "x.acf:8:24: error: `TRAP` is neither TRAPWRITE nor NOTRAPWRITE",
            "x.acf:8:32: error: the rule has nothing in its braces",
            "x.acf:9:12: error: there is `b` where `,` or `}` is expected",
            "x.acf:10:10: warning: `INPZ` is not known in a group, and left out",
            "x.acf:10:18: error: there is `RULE` where RULE, INPA to INPU, or the `}` of the group is expected",
        ]
    );
    let (_, mistakes) = read("# nothing\n");
    assert_eq!(
        mistakes.to_string(),
        "x.acf:2:1: error: the file has nothing in it\n"
    );
}
