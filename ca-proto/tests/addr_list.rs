//! Address lists: grammar, order of destinations, duplicates.

use core::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::addr_list::*;
use proptest::prelude::*;

fn addr(text: &str) -> SocketAddrV4 {
    text.parse().unwrap()
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn interface(own: &str, reach: Reach) -> Interface {
    Interface {
        addr: ip(own),
        up: true,
        loopback: false,
        reach,
    }
}

fn broadcast(own: &str, to: &str) -> Interface {
    interface(own, Reach::Broadcast(ip(to)))
}

#[test]
fn every_form_of_a_token_is_read() {
    // `addAddrToChannelAccessAddressList` of EPICS Base; results agree with aToIPAddr
    for (token, expected) in [
        ("1.2.3.4", "1.2.3.4:5064"),
        ("1.2.3.4:65535", "1.2.3.4:65535"),
        ("1.2.3.4:0005", "1.2.3.4:5"),
        ("010.2.3.04", "10.2.3.4:5064"),
        ("2130706433", "127.0.0.1:5064"),
        ("2130706433:77", "127.0.0.1:77"),
        ("4294967295", "255.255.255.255:5064"),
        ("239.1.2.3", "239.1.2.3:5064"),
        ("ioc-1.lab_x", "ioc-1.lab_x:5064"),
        ("localhost:99", "localhost:99"),
        ("12x", "12x:5064"),
    ] {
        let entry = parse_token(token, 5064).unwrap();
        assert_eq!(entry.to_string(), expected);
        let numeric = !token.starts_with(|c: char| c.is_ascii_alphabetic()) && token != "12x";
        assert_eq!(matches!(entry, Entry::Addr(_)), numeric, "{token}");
    }
}

#[test]
fn bad_tokens_say_what_to_write() {
    let long = "x".repeat(512);
    for token in [
        "1.2.3.256",
        "1.2.3.4:0",
        "host:0",
        "5064",
        "0",
        "1.2.3.4:65536",
        "1.2.3.4:",
        ":5064",
        "1.2.3.4:5:6",
        "1.2.3.4:5x",
        "1.2.3.4:-5",
        "1.2.3.4.5",
        "1..2.3",
        "1.2.3",
        "4294967296",
        "77:",
        "localhost:",
        "localhost:x",
        "localhost:99999",
        "1.2.3.4,1.2.3.5",
        "höst",
        &long,
    ] {
        let error = parse_token(token, 5064).unwrap_err();
        let shown = match token.get(..80) {
            Some(cut) if cut.len() < token.len() => format!("{cut}…"),
            _ => token.to_string(),
        };
        assert_eq!(
            error.to_string(),
            format!("`{shown}` is no IPv4 address and no known host")
        );
    }
    for (token, part) in [
        ("1.2.3.4,1.2.3.5", "separate addresses by blanks"),
        ("1.2.3.4;", "separate addresses by blanks"),
        ("tcp://1.2.3.4", "without scheme"),
        ("10.0.0.0/24", "without scheme, path or mask"),
        ("::1", "IPv4"),
        ("[::1]:5064", "IPv4"),
        ("1.2.3.4:5:6", "one port"),
        ("5064", "an address in front of a port"),
        ("1.2.3.4:0", "from 1 to 65535"),
        ("host:99999", "from 1 to 65535"),
        ("host:x", "from 1 to 65535"),
        ("höst", "such as 10.0.0.255"),
    ] {
        let remedy = parse_token(token, 5064).unwrap_err().remedy();
        assert!(remedy.contains(part), "{token}: {remedy}");
    }
    let odd = BadToken("\u{9b}31m".into()).to_string();
    assert_eq!(odd, r"`\u{9b}31m` is no IPv4 address and no known host");
    let nowhere = BadToken("ioc-7".into());
    assert_eq!(
        nowhere.to_string(),
        "`ioc-7` is a host that cannot be found"
    );
    assert!(nowhere.remedy().contains("DNS"), "{}", nowhere.remedy());
}

#[test]
fn lists_are_separated_by_white_space_and_keep_bad_tokens() {
    let list = AddrList::parse("\t1.2.3.4  5.6.7.8:1\r\nbogus 1.1.1.1,2.2.2.2 ", 9);
    let (addrs, bad) = list.resolve(|_| None);
    assert_eq!(addrs, [addr("1.2.3.4:9"), addr("5.6.7.8:1")]);
    assert_eq!(
        bad,
        [BadToken("bogus".into()), BadToken("1.1.1.1,2.2.2.2".into())]
    );
    assert_eq!(list.to_string(), "1.2.3.4:9 5.6.7.8:1 bogus:9");

    let (addrs, bad) = list.resolve(|name| (name == "bogus").then_some(ip("9.9.9.9")));
    assert_eq!(addrs.last(), Some(&addr("9.9.9.9:9")));
    assert_eq!(bad.len(), 1);
    assert_eq!(AddrList::parse(" \t ", 9), AddrList::default());
}

#[test]
fn search_list_starts_with_the_interfaces_and_is_extended_by_the_user() {
    // `configureChannelAccessAddressList` of EPICS Base
    let interfaces = [
        Interface {
            loopback: true,
            ..broadcast("127.0.0.1", "127.255.255.255")
        },
        broadcast("10.0.0.2", "10.0.0.255"),
        Interface {
            up: false,
            ..broadcast("10.1.0.2", "10.1.0.255")
        },
        interface("10.2.0.2", Reach::PointToPoint(ip("10.2.0.1"))),
        broadcast("10.3.0.2", "0.0.0.0"),
        interface("10.4.0.2", Reach::None),
        broadcast("10.0.0.3", "10.0.0.255"),
    ];
    let user = [
        addr("192.168.1.1:5064"),
        addr("10.0.0.255:5064"),
        addr("10.0.0.255:5070"),
        addr("192.168.1.1:5064"),
    ];
    let found = search_destinations(true, &interfaces, &user, 5064);
    assert_eq!(
        found.list,
        [
            "10.0.0.255:5064",
            "10.2.0.1:5064",
            "192.168.1.1:5064",
            "10.0.0.255:5070"
        ]
        .map(addr)
    );
    assert_eq!(
        found.warnings().collect::<Vec<_>>(),
        [
            "the address list has 10.0.0.255:5064 more than once; once is used",
            "the address list has 192.168.1.1:5064 more than once; once is used",
        ]
    );

    let found = search_destinations(false, &interfaces, &user[..1], 5064);
    assert_eq!(found.list, user[..1]);
}

#[test]
fn search_without_interfaces_goes_to_this_host_only_in_automatic_mode() {
    let user = [addr("127.0.0.1:5064")];
    let found = search_destinations(true, &[], &user, 5064);
    assert_eq!(found.list, [addr("127.0.0.1:5064")]);
    assert_eq!(found.duplicates, [addr("127.0.0.1:5064")]);
    assert_eq!(
        search_destinations(false, &[], &[], 5064),
        Destinations::default()
    );
}

#[test]
fn beacons_go_to_all_interfaces_or_to_the_listed_ones() {
    // `rsrv_init` of EPICS Base
    let interfaces = [
        Interface {
            loopback: true,
            ..interface("127.0.0.1", Reach::None)
        },
        broadcast("10.0.0.2", "10.0.0.255"),
        interface("10.2.0.2", Reach::PointToPoint(ip("10.2.0.1"))),
    ];
    let user = [addr("9.9.9.9:1")];
    for listed in [&[][..], &[Ipv4Addr::UNSPECIFIED]] {
        let found = beacon_destinations(true, listed, &interfaces, &user, 5065);
        assert_eq!(
            found.list,
            ["10.0.0.255:5065", "10.2.0.1:5065", "9.9.9.9:1"].map(addr)
        );
        assert!(
            beacon_destinations(true, listed, &interfaces[..1], &[], 5065)
                .list
                .is_empty()
        );
    }
    let listed = ["127.0.0.1", "10.0.0.2"].map(ip);
    let found = beacon_destinations(true, &listed, &interfaces, &[], 5065);
    assert_eq!(found.list, ["127.0.0.1:5065", "10.0.0.255:5065"].map(addr));
    let found = beacon_destinations(false, &listed, &interfaces, &user, 5065);
    assert_eq!(found.list, user);
}

#[test]
fn beacon_interfaces_without_broadcast_and_duplicates_are_reported() {
    // Tried with a softIoc listening on 127.0.0.1 and 127.0.0.2.
    let listed = ["127.0.0.1", "127.0.0.2"].map(ip);
    let user = [addr("127.0.0.1:5065")];
    let found = beacon_destinations(true, &listed, &[], &user, 5065);
    assert_eq!(found.list, user);
    assert_eq!(found.unreachable, [ip("127.0.0.2")]);
    assert_eq!(
        found.warnings().collect::<Vec<_>>(),
        [
            "the interface 127.0.0.2 has no broadcast address: no beacons are sent there",
            "the address list has 127.0.0.1:5065 more than once; once is used",
        ]
    );
}

#[test]
fn interface_list_separates_groups_and_refuses_a_mixed_wildcard() {
    let sorted = |text| BindAddrs::from_list(&AddrList::parse(text, 0).resolve(|_| None).0);
    let list = sorted("10.0.0.2:99 239.0.0.1 10.0.0.2 224.0.0.7").unwrap();
    assert_eq!(list.bind, [ip("10.0.0.2")]);
    assert_eq!(list.groups, ["239.0.0.1", "224.0.0.7"].map(ip));
    for text in ["", "0.0.0.0", "0.0.0.0 239.0.0.1", "239.0.0.1"] {
        assert_eq!(sorted(text).unwrap().bind, [Ipv4Addr::UNSPECIFIED]);
    }
    assert_eq!(sorted("0.0.0.0 10.0.0.2"), Err(AmbiguousInterfaces));
}

proptest! {
    #[test]
    fn any_text_is_parsed_and_printed_entries_parse_back(text: String) {
        for entry in AddrList::parse(&text, 5064).entries() {
            prop_assert_eq!(&parse_token(&entry.to_string(), 1).unwrap(), entry);
        }
    }

    #[test]
    fn destinations_are_unique_and_complete(
        auto: bool,
        user in prop::collection::vec((0u32..4, 0u16..3), 0..12),
    ) {
        let user: Vec<_> = user
            .into_iter()
            .map(|(ip, port)| SocketAddrV4::new(Ipv4Addr::from(ip), port))
            .collect();
        let interfaces = [broadcast("10.0.0.2", "0.0.0.3")];
        let found = search_destinations(auto, &interfaces, &user, 1);
        prop_assert_eq!(
            found.list.len() + found.duplicates.len(),
            user.len() + usize::from(auto)
        );
        for (n, addr) in found.list.iter().enumerate() {
            prop_assert!(!found.list[..n].contains(addr));
        }
        prop_assert!(user.iter().all(|addr| found.list.contains(addr)));
    }
}
