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

#[test]
fn the_automatic_list_is_off_for_a_substring_no_or_capital_no() {
    for (text, on) in [
        ("NO", false),
        ("no", false),
        ("nothing", false),
        ("xxNOxx", false),
        ("No", true),
        ("nO", true),
        ("YES", true),
        ("0", true),
        ("", true),
        ("123456789012345678901234567890no", true),
        ("12345678901234567890123456789no", false),
    ] {
        let (value, ..) = one("EPICS_CA_AUTO_ADDR_LIST", text, |e| &e.auto_addr_list);
        assert_eq!(value, on, "{text}");
    }
}

#[test]
fn ports_outside_5001_to_65535_are_replaced_with_a_message() {
    let range = "EPICS Environment \"EPICS_CA_SERVER_PORT\" out of range\n\
                 Setting \"EPICS_CA_SERVER_PORT\" = 5064";
    let fetch = "EPICS Environment \"EPICS_CA_SERVER_PORT\" integer fetch failed\n\
                 setting \"EPICS_CA_SERVER_PORT\" = 5064";
    let port = |text| one("EPICS_CA_SERVER_PORT", text, |e| &e.server_port);
    for (text, value) in [("5001", 5001), ("65535", 65535), (" 6000x", 6000)] {
        assert_eq!(port(text), (value, true, String::new()));
    }
    for text in [
        "80",
        "5000",
        "65536",
        "-1",
        "0x1770",
        "99999999999999999999",
    ] {
        assert_eq!(port(text), (5064, false, range.into()), "{text}");
    }
    assert_eq!(port(""), (5064, false, fetch.into()));
    assert_eq!(
        port("abc"),
        (
            5064,
            false,
            format!("Unable to find an integer in EPICS_CA_SERVER_PORT=abc\n{fetch}")
        )
    );
    let (value, _, messages) = one("EPICS_CA_REPEATER_PORT", "80", |e| &e.repeater_port);
    assert_eq!(value, 5065);
    assert!(messages.ends_with("Setting \"EPICS_CA_REPEATER_PORT\" = 5065"));
}

#[test]
fn the_connection_time_out_is_a_positive_number_or_30() {
    let timeout = |text| one("EPICS_CA_CONN_TMO", text, |e| &e.connection_timeout);
    let failed = "EPICS \"EPICS_CA_CONN_TMO\" double fetch failed\n\
                  Defaulting \"EPICS_CA_CONN_TMO\" = 30.000000";
    assert_eq!(timeout(" 7.5 "), (SECOND * 15 / 2, true, String::new()));
    assert_eq!(timeout("0x10"), (SECOND * 16, true, String::new()));
    assert_eq!(timeout("inf"), (Duration::MAX, true, String::new()));
    assert_eq!(timeout("1e-30").0, Duration::from_millis(1));
    for text in ["", "-3", "0", "nan"] {
        assert_eq!(timeout(text), (SECOND * 30, false, failed.into()), "{text}");
    }
    for text in ["abc", "12.5x", "1e400"] {
        let messages =
            format!("Unable to find a real number in EPICS_CA_CONN_TMO={text}\n{failed}");
        assert_eq!(timeout(text), (SECOND * 30, false, messages), "{text}");
    }
}

#[test]
fn the_search_period_is_limited_on_both_sides() {
    let period = |text| one("EPICS_CA_MAX_SEARCH_PERIOD", text, |e| &e.max_search_period);
    let low = "\"EPICS_CA_MAX_SEARCH_PERIOD\" out of range (low)\n\
               Setting \"EPICS_CA_MAX_SEARCH_PERIOD\" = 60.000000 seconds";
    let high = "\"EPICS_CA_MAX_SEARCH_PERIOD\" out of range (high)\n\
                Setting \"EPICS_CA_MAX_SEARCH_PERIOD\" = 4194.304000 seconds";
    let failed = "EPICS \"EPICS_CA_MAX_SEARCH_PERIOD\" wasn't a real number\n\
                  Setting \"EPICS_CA_MAX_SEARCH_PERIOD\" = 300.000000 seconds";
    assert_eq!(period("60"), (SECOND * 60, true, String::new()));
    assert_eq!(period("8388"), (SECOND * 8388, true, String::new()));
    assert_eq!(period(""), (SECOND * 300, false, String::new()));
    for text in ["59", "-1"] {
        assert_eq!(period(text), (SECOND * 60, true, low.into()));
    }
    for text in ["8388.608", "10000", "inf"] {
        let ceiling = Duration::from_millis(4_194_304);
        assert_eq!(period(text), (ceiling, true, high.into()));
    }
    assert_eq!(
        period("abc"),
        (
            SECOND * 300,
            false,
            format!("Unable to find a real number in EPICS_CA_MAX_SEARCH_PERIOD=abc\n{failed}")
        )
    );
}

#[test]
fn the_array_limit_is_checked_but_used_only_without_automatic_sizes() {
    let limit = |text| one("EPICS_CA_MAX_ARRAY_BYTES", text, |e| &e.max_array_bytes);
    let positive = "cac: EPICS_CA_MAX_ARRAY_BYTES was not a positive integer";
    let rounded = "cac: EPICS_CA_MAX_ARRAY_BYTES was rounded up to 16384";
    assert_eq!(limit("16360"), (16_360, true, String::new()));
    assert_eq!(limit("99999999999").0, u32::MAX);
    assert_eq!(limit("9223372036854775807").0, u32::MAX);
    assert_eq!(limit("16359"), (16_384, false, rounded.into()));
    assert_eq!(limit("0x10000"), (16_384, false, rounded.into()));
    assert_eq!(limit("-5"), (16_384, false, positive.into()));
    assert_eq!(limit(""), (16_384, false, positive.into()));
    let messages = format!("Unable to find an integer in EPICS_CA_MAX_ARRAY_BYTES=abc\n{positive}");
    assert_eq!(limit("abc"), (16_384, false, messages));

    for (auto, expected) in [
        ("YES", None),
        ("yEs", None),
        ("", None),
        ("NO", Some(20_000)),
        ("1", Some(20_000)),
        (" yes", Some(20_000)),
    ] {
        let vars = [
            ("EPICS_CA_AUTO_ARRAY_BYTES", auto),
            ("EPICS_CA_MAX_ARRAY_BYTES", "20000"),
        ];
        assert_eq!(
            client(&vars).params(vec![], vec![]).max_array_bytes,
            expected
        );
        assert_eq!(
            server(&vars).params(vec![], vec![]).max_array_bytes,
            expected
        );
    }
    let env = server(&[("EPICS_CA_MAX_ARRAY_BYTES", "1")]);
    assert_eq!(
        env.warnings[0].to_string(),
        "CAS: EPICS_CA_MAX_ARRAY_BYTES was rounded up to 16384"
    );
}

#[test]
fn the_multicast_time_to_live_is_a_byte() {
    let ttl = |text| one("EPICS_CA_MCAST_TTL", text, |e| &e.mcast_ttl);
    assert_eq!(ttl("32"), (32, true, String::new()));
    assert_eq!(ttl(""), (1, false, String::new()));
    assert_eq!(ttl("300").2, "CAC: failed to set mcast ttl 300");
    assert_eq!(
        ttl("x").2,
        "Unable to find an integer in EPICS_CA_MCAST_TTL=x"
    );
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
fn the_beacon_period_falls_back_to_the_old_variable_and_to_15() {
    let period = |cas: &str, ca: &str| {
        let env = server(&[
            ("EPICS_CAS_BEACON_PERIOD", cas),
            ("EPICS_CA_BEACON_PERIOD", ca),
        ]);
        let warnings: Vec<_> = env.warnings.iter().map(|w| w.to_string()).collect();
        (env.beacon_period.value, warnings.join("\n"))
    };
    let failed = "EPICS \"EPICS_CAS_BEACON_PERIOD\" float fetch failed\n\
                  Setting \"EPICS_CAS_BEACON_PERIOD\" = 15.000000";
    assert_eq!(period("2", "3"), (SECOND * 2, String::new()));
    assert_eq!(period("", "3"), (SECOND * 3, String::new()));
    for (cas, ca) in [("-1", "3"), ("", "0"), ("nan", ""), ("", "")] {
        assert_eq!(period(cas, ca), (SECOND * 15, failed.into()));
    }
    assert_eq!(
        period("abc", "3").1,
        format!("Unable to find a real number in EPICS_CAS_BEACON_PERIOD=abc\n{failed}")
    );
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
