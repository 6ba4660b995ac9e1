//! Environment variables, one by one as in `rsrv_init` and `envDefs.h` of EPICS Base.

use core::time::Duration;

use ca_proto::config::{ClientParams, ServerParams};
use ca_proto::env::{EnvClient, EnvServer, Origin, Setting};

fn lookup(vars: &[(&str, &str)]) -> impl Fn(&str) -> Option<String> {
    move |name| {
        let found = vars.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.to_string())
    }
}

fn client(vars: &[(&str, &str)]) -> EnvClient {
    EnvClient::read(lookup(vars))
}

fn server(vars: &[(&str, &str)]) -> EnvServer {
    EnvServer::read(lookup(vars))
}

/// Value, whether it is from the environment, and all messages of one variable.
fn one<T: Clone>(
    variable: &str,
    text: &str,
    field: impl Fn(&EnvClient) -> &Setting<T>,
) -> (T, bool, String) {
    let env = client(&[(variable, text)]);
    let setting = field(&env);
    assert_eq!(setting.variable, variable);
    let lines: Vec<_> = env.warnings.iter().map(|w| w.to_string()).collect();
    (
        setting.value.clone(),
        setting.origin == Origin::Environment,
        lines.join("\n"),
    )
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_empty_environment_gives_the_defaults_of_the_parameters() {
    let env = client(&[]);
    assert_eq!(env.params(vec![], vec![]), ClientParams::default());
    assert!(env.auto_addr_list.value);
    assert_eq!(env.mcast_ttl.value, 1);
    assert!(env.warnings.is_empty());
    assert!(
        env.lines()
            .iter()
            .all(|line| line.origin == Origin::Default)
    );

    let env = server(&[]);
    assert_eq!(env.params(vec![], vec![]), ServerParams::default());
    assert!(env.auto_beacon_addr_list.value && env.enabled.value);
    assert!(env.warnings.is_empty());
    assert!(
        env.lines()
            .iter()
            .all(|line| line.origin == Origin::Default)
    );
}

#[test]
fn lists_use_the_server_port_and_an_empty_list_is_from_the_environment() {
    let env = client(&[
        ("EPICS_CA_ADDR_LIST", "1.2.3.4 host:7"),
        ("EPICS_CA_NAME_SERVERS", "5.6.7.8"),
        ("EPICS_CA_SERVER_PORT", "6000"),
    ]);
    assert_eq!(env.addr_list.value.to_string(), "1.2.3.4:6000 host:7");
    assert_eq!(env.name_servers.value.to_string(), "5.6.7.8:6000");

    let (list, from_env, messages) = one("EPICS_CA_ADDR_LIST", "", |e| &e.addr_list);
    assert_eq!((list.0.len(), from_env, &*messages), (0, true, ""));
}

/// The message about a value: why, what is used, what to write.
fn told(variable: &str, text: &str, why: &str, used: &str, remedy: &str) -> String {
    match text {
        "" => format!("{variable} is empty; {used} is used; write {remedy}"),
        _ => format!("{variable} is `{text}`, which is {why}; {used} is used; write {remedy}"),
    }
}

#[test]
fn the_automatic_list_is_off_for_a_substring_no_or_capital_no() {
    let variable = "EPICS_CA_AUTO_ADDR_LIST";
    let contains = "read as NO, because it contains that";
    let only = "read as YES, as only `no` and `NO` mean no";
    let neither = "neither YES nor NO";
    for (text, on, why) in [
        ("NO", false, ""),
        ("no", false, ""),
        ("nothing", false, contains),
        ("xxNOxx", false, contains),
        (" NO", false, contains),
        ("No", true, only),
        ("nO", true, only),
        ("YES", true, ""),
        ("Yes", true, ""),
        ("0", true, neither),
        ("MAYBE", true, neither),
        ("false", true, neither),
        ("", true, ""),
        ("123456789012345678901234567890no", true, neither),
        ("12345678901234567890123456789no", false, contains),
    ] {
        let (value, _, messages) = one(variable, text, |e| &e.auto_addr_list);
        let used = if on { "YES" } else { "NO" };
        let message = match why {
            "" => String::new(),
            _ => told(variable, text, why, used, "YES or NO"),
        };
        assert_eq!((value, messages), (on, message), "{text}");
    }
}

#[test]
fn ports_outside_5001_to_65535_are_replaced_with_a_message() {
    let variable = "EPICS_CA_SERVER_PORT";
    let port = |text| one(variable, text, |e| &e.server_port);
    for (text, value) in [("5001", 5001), ("65535", 65535), (" 6000 ", 6000)] {
        assert_eq!(port(text), (value, true, String::new()));
    }
    // The reference reads the number, and so does whoever shares the environment.
    for text in ["6000x", "6000 6001", "6000.5", "6000,"] {
        let message = told(variable, text, "more than a whole number", "6000", "6000");
        assert_eq!(port(text), (6000, true, message));
    }
    for (text, why) in [
        ("0", "out of range"),
        ("80", "out of range"),
        ("5000", "out of range"),
        ("65536", "out of range"),
        ("70000", "out of range"),
        ("-1", "out of range"),
        ("0x1770", "out of range"),
        ("99999999999999999999", "out of range"),
        ("abc", "no number"),
        ("inf", "no number"),
        (" ", "no number"),
        ("", ""),
    ] {
        let message = told(variable, text, why, "5064", "a port from 5001 to 65535");
        assert_eq!(port(text), (5064, false, message), "{text}");
    }
    let (value, _, messages) = one("EPICS_CA_REPEATER_PORT", "80", |e| &e.repeater_port);
    assert_eq!(value, 5065);
    assert!(messages.contains("5065 is used"), "{messages}");
}

#[test]
fn periods_are_what_somebody_can_mean() {
    const RANGE: &str = "a number of seconds from 0.1 to 31622400";
    let check = |variable: &'static str,
                 period: &dyn Fn(&str) -> (Duration, bool, String),
                 default: u64| {
        assert_eq!(period(" 7.5 "), (SECOND * 15 / 2, true, String::new()));
        assert_eq!(period("0x10"), (SECOND * 16, true, String::new()));
        assert_eq!(
            period("31622400"),
            (SECOND * 31_622_400, true, String::new())
        );
        for text in ["1e-30", "0.09"] {
            let message = told(variable, text, "too short", "0.1 s", RANGE);
            assert_eq!(period(text), (SECOND / 10, true, message), "{text}");
        }
        for (text, why) in [
            ("inf", "out of range"),
            ("-inf", "out of range"),
            ("1e400", "out of range"),
            ("1e9", "out of range"),
            ("-3", "out of range"),
            ("0", "out of range"),
            ("-0", "out of range"),
            ("nan", "no number"),
            ("abc", "no number"),
            ("12.5x", "no number"),
            ("30 s", "no number"),
            ("1,5", "no number"),
            (" ", "no number"),
            ("", ""),
        ] {
            let message = told(variable, text, why, &format!("{default} s"), RANGE);
            assert_eq!(
                period(text),
                (SECOND * default as u32, false, message),
                "{text}"
            );
        }
    };
    let timeout = |text: &str| one("EPICS_CA_CONN_TMO", text, |e| &e.connection_timeout);
    check("EPICS_CA_CONN_TMO", &timeout, 30);
    let beacons = |text: &str| {
        let env = server(&[("EPICS_CA_BEACON_PERIOD", text)]);
        let period = &env.beacon_period;
        let messages: Vec<_> = env.warnings.iter().map(|w| w.to_string()).collect();
        (
            period.value,
            period.origin == Origin::Environment,
            messages.join("\n"),
        )
    };
    check("EPICS_CA_BEACON_PERIOD", &beacons, 15);
}

#[test]
fn the_search_period_is_limited_on_both_sides() {
    let variable = "EPICS_CA_MAX_SEARCH_PERIOD";
    let range = "a number of seconds from 60 to 4194";
    let period = |text| one(variable, text, |e| &e.max_search_period);
    assert_eq!(period("60"), (SECOND * 60, true, String::new()));
    assert_eq!(period("8388"), (SECOND * 8388, true, String::new()));
    for text in ["59", "-1", "0", "-inf"] {
        let low = told(variable, text, "too short", "60 s", range);
        assert_eq!(period(text), (SECOND * 60, true, low));
    }
    for text in ["8388.608", "10000", "inf"] {
        let ceiling = Duration::from_millis(4_194_304);
        let high = told(variable, text, "too long", "4194.304 s", range);
        assert_eq!(period(text), (ceiling, true, high));
    }
    for (text, why) in [
        ("abc", "no number"),
        ("nan", "no number"),
        ("1e400", "out of range"),
        ("", ""),
    ] {
        let message = told(variable, text, why, "300 s", range);
        assert_eq!(period(text), (SECOND * 300, false, message), "{text}");
    }
}

#[test]
fn the_array_limit_is_checked_but_used_only_without_automatic_sizes() {
    let variable = "EPICS_CA_MAX_ARRAY_BYTES";
    let range = "a number of bytes from 16384 to 4294967295";
    let limit = |text| one(variable, text, |e| &e.max_array_bytes);
    assert_eq!(limit("16360"), (16_360, true, String::new()));
    for text in ["99999999999", "9223372036854775807"] {
        let message = told(
            variable,
            text,
            "more than a message can carry",
            "4294967295",
            range,
        );
        assert_eq!(limit(text), (u32::MAX, true, message));
    }
    let message = told(
        variable,
        "100000k",
        "more than a whole number",
        "100000",
        "100000",
    );
    assert_eq!(limit("100000k"), (100_000, true, message));
    for (text, why) in [
        ("16359", "less than each message may have"),
        ("0", "less than each message may have"),
        ("0x10000", "less than each message may have"),
        ("-5", "out of range"),
        ("9223372036854775808", "out of range"),
        ("abc", "no number"),
        ("", ""),
    ] {
        let message = told(variable, text, why, "16384", range);
        assert_eq!(limit(text), (16_384, false, message), "{text}");
    }

    for (auto, expected, is_odd) in [
        ("YES", None, false),
        ("yEs", None, false),
        ("", None, false),
        ("NO", Some(20_000), false),
        ("No", Some(20_000), false),
        ("1", Some(20_000), true),
        (" yes", Some(20_000), true),
        ("MAYBE", Some(20_000), true),
    ] {
        let variable = "EPICS_CA_AUTO_ARRAY_BYTES";
        let vars = [(variable, auto), ("EPICS_CA_MAX_ARRAY_BYTES", "20000")];
        let (client, server) = (client(&vars), server(&vars));
        assert_eq!(client.params(vec![], vec![]).max_array_bytes, expected);
        assert_eq!(server.params(vec![], vec![]).max_array_bytes, expected);
        let message = told(variable, auto, "neither YES nor NO", "NO", "YES or NO");
        let expected: Vec<String> = is_odd.then_some(message).into_iter().collect();
        let told = |warnings: &[ca_proto::env::Warning]| -> Vec<String> {
            warnings.iter().map(|w| w.to_string()).collect()
        };
        assert_eq!(told(&client.warnings), expected, "{auto}");
        assert_eq!(told(&server.warnings), expected, "{auto}");
    }
}

#[test]
fn the_multicast_time_to_live_is_a_byte() {
    let variable = "EPICS_CA_MCAST_TTL";
    let ttl = |text| one(variable, text, |e| &e.mcast_ttl);
    assert_eq!(ttl("32"), (32, true, String::new()));
    assert_eq!(ttl("0"), (0, true, String::new()));
    assert_eq!(
        ttl("4 hops"),
        (
            4,
            true,
            told(variable, "4 hops", "more than a whole number", "4", "4")
        )
    );
    for (text, why) in [
        ("300", "out of range"),
        ("-1", "out of range"),
        ("x", "no number"),
        ("", ""),
    ] {
        let message = told(variable, text, why, "1", "a number of hops from 0 to 255");
        assert_eq!(ttl(text), (1, false, message));
    }
}

#[test]
fn server_ports_prefer_their_own_variables() {
    let env = server(&[
        ("EPICS_CAS_SERVER_PORT", "6001"),
        ("EPICS_CA_SERVER_PORT", "6002"),
        ("EPICS_CAS_BEACON_PORT", "6003"),
        ("EPICS_CA_REPEATER_PORT", "6004"),
        ("EPICS_CAS_BEACON_ADDR_LIST", "1.2.3.4 1.2.3.4:7"),
    ]);
    assert_eq!((env.server_port.value, env.beacon_port.value), (6001, 6003));
    assert_eq!(
        env.beacon_addr_list.value.to_string(),
        "1.2.3.4:6003 1.2.3.4:7"
    );

    let env = server(&[
        ("EPICS_CAS_SERVER_PORT", ""),
        ("EPICS_CA_SERVER_PORT", "6002"),
        ("EPICS_CA_REPEATER_PORT", "6004"),
    ]);
    assert_eq!((env.server_port.value, env.beacon_port.value), (6002, 6004));
    assert_eq!(env.server_port.variable, "EPICS_CA_SERVER_PORT");

    let env = server(&[
        ("EPICS_CAS_SERVER_PORT", "80"),
        ("EPICS_CA_SERVER_PORT", "6002"),
    ]);
    assert_eq!(env.server_port.value, 5064);
    let params = env.params(vec![], vec![]);
    assert_eq!((params.udp_port, params.tcp_port), (5064, 5064));
}

#[test]
fn the_beacon_period_falls_back_to_the_old_variable() {
    let period = |cas: &str, ca: &str| {
        let env = server(&[
            ("EPICS_CAS_BEACON_PERIOD", cas),
            ("EPICS_CA_BEACON_PERIOD", ca),
        ]);
        let warned: Vec<_> = env.warnings.iter().map(|w| w.variable).collect();
        (env.beacon_period.value, warned)
    };
    assert_eq!(period("2", "3"), (SECOND * 2, vec![]));
    assert_eq!(period("", "3"), (SECOND * 3, vec![]));
    assert_eq!(
        period("-1", "3"),
        (SECOND * 15, vec!["EPICS_CAS_BEACON_PERIOD"])
    );
    assert_eq!(
        period("", "0"),
        (SECOND * 15, vec!["EPICS_CA_BEACON_PERIOD"])
    );
}

#[test]
fn a_list_of_servers_that_is_hardly_meant_is_told() {
    for (text, enabled, is_odd) in [
        ("rsrv", false, false),
        ("qsrv rsrv", false, false),
        ("qsrv", true, false),
        ("", true, false),
        ("qsrv,rsrv", true, true),
        ("RSRV", true, true),
        ("rsrv2", true, false),
    ] {
        let env = server(&[("EPICS_IOC_IGNORE_SERVERS", text)]);
        assert_eq!(
            (env.enabled.value, env.warnings.len()),
            (enabled, usize::from(is_odd)),
            "{text}"
        );
    }
    let env = server(&[("EPICS_IOC_IGNORE_SERVERS", "qsrv,rsrv")]);
    assert_eq!(
        env.warnings[0].to_string(),
        "EPICS_IOC_IGNORE_SERVERS is `qsrv,rsrv`, which is no list of names in small letters, separated by \
         blanks; the Channel Access server is used; write rsrv, to have it not started"
    );
}

#[test]
fn what_a_warning_repeats_is_short_and_has_no_effect_on_a_terminal() {
    let text = format!("\u{1b}[2J\u{202e}{}", "x".repeat(10_000));
    let (_, _, message) = one("EPICS_CA_SERVER_PORT", &text, |e| &e.server_port);
    assert!(
        message.starts_with(r"EPICS_CA_SERVER_PORT is `\x1b[2J\u{202e}xxx"),
        "{message}"
    );
    assert!(message.len() < 300, "{message}");
    assert!(message.chars().all(ca_proto::text::is_plain));
}

#[test]
fn server_lists_and_switches_are_read() {
    let env = server(&[
        ("EPICS_CAS_INTF_ADDR_LIST", "10.0.0.2"),
        ("EPICS_CAS_IGNORE_ADDR_LIST", "10.0.0.9:5"),
        ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", "on"),
        ("EPICS_IOC_IGNORE_SERVERS", "qsrv rsrv"),
        // Not a fall-back for the beacon list (`rsrv_init` of EPICS Base).
        ("EPICS_CA_ADDR_LIST", "1.2.3.4"),
    ]);
    assert_eq!(env.interfaces.value.to_string(), "10.0.0.2:5064");
    assert_eq!(env.ignore_addrs.value.to_string(), "10.0.0.9:5");
    assert!(!env.auto_beacon_addr_list.value);
    assert!(env.beacon_addr_list.value.0.is_empty());
    assert!(!env.enabled.value);

    let env = server(&[
        ("EPICS_CAS_AUTO_BEACON_ADDR_LIST", ""),
        ("EPICS_IOC_IGNORE_SERVERS", "rsrv2"),
    ]);
    assert!(env.auto_beacon_addr_list.value && env.enabled.value);
}

#[test]
fn numbers_are_read_from_127_characters() {
    let text = format!("{}6000", " ".repeat(125));
    assert_eq!(
        one("EPICS_CA_SERVER_PORT", &text, |e| &e.server_port).0,
        5064
    );
    let text = format!("{}6000é", " ".repeat(123));
    assert_eq!(
        one("EPICS_CA_SERVER_PORT", &text, |e| &e.server_port).0,
        6000
    );
}

#[test]
fn the_effective_configuration_names_value_and_origin() {
    let mut env = client(&[
        ("EPICS_CA_ADDR_LIST", "1.2.3.4"),
        ("EPICS_CA_AUTO_ADDR_LIST", "NO"),
        ("EPICS_CA_CONN_TMO", "0.5"),
    ]);
    env.repeater_port.set(7000);
    let lines: Vec<_> = env.lines().iter().map(|line| line.to_string()).collect();
    assert_eq!(
        lines,
        [
            "EPICS_CA_ADDR_LIST=1.2.3.4:5064 (environment)",
            "EPICS_CA_AUTO_ADDR_LIST=NO (environment)",
            "EPICS_CA_NAME_SERVERS= (default)",
            "EPICS_CA_SERVER_PORT=5064 (default)",
            "EPICS_CA_REPEATER_PORT=7000 (setter)",
            "EPICS_CA_CONN_TMO=0.5 (environment)",
            "EPICS_CA_MAX_SEARCH_PERIOD=300.0 (default)",
            "EPICS_CA_AUTO_ARRAY_BYTES=YES (default)",
            "EPICS_CA_MAX_ARRAY_BYTES=16384 (default)",
            "EPICS_CA_MCAST_TTL=1 (default)",
        ]
    );
    // Read back, the lines give the same settings.
    let lines = env.lines();
    let again = EnvClient::read(|name| {
        let line = lines.iter().find(|line| line.variable == name);
        line.map(|line| line.value.clone())
    });
    assert_eq!(again.params(vec![], vec![]), env.params(vec![], vec![]));
}

#[test]
fn setters_limit_what_has_limits() {
    let params = ClientParams::default()
        .max_search_period(SECOND)
        .priority(200)
        .user("op".into());
    assert_eq!(params.max_search_period, SECOND * 60);
    assert_eq!(params.priority, 99);
    assert_eq!(params.user, "op");
}

#[test]
fn message_limits_follow_the_array_limit() {
    // `rsrv_init` of EPICS Base: 20000 allows messages of 20024 bytes
    let params = ServerParams::default();
    assert_eq!(params.max_message_bytes(), (256 << 20) + 24);
    for (array, message) in [
        (20_000, 20_024),
        (0, 16_384),
        (16_360, 16_384),
        (u32::MAX, u32::MAX),
    ] {
        let params = params.clone().max_array_bytes(Some(array));
        assert_eq!(params.max_message_bytes(), message);
        let params = ClientParams::default().max_array_bytes(Some(array));
        assert_eq!(params.max_message_bytes(), message);
    }
}
