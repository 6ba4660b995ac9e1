//! What people read: every type that is shown has words of its own, and names are found again.

use std::collections::BTreeSet;
use std::fmt::{Debug, Display};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ca_proto::addr_list::{AddrList, multicast_groups};
use ca_proto::client::{Client, CloseReason, Item, MonitorQueue, Overflow, Trouble};
use ca_proto::config::ClientParams;
use ca_proto::dbr::{DbrType, EnumIndex, EnumStates, Family, NativeType, Units, Value, ValueRef};
use ca_proto::ids::{Cid, Slots};
use ca_proto::server::{Identity, Limit, LimitCounts};
use ca_proto::status::EcaSeverity;
use ca_proto::text::Text40;
use ca_proto::wire::dump::{Direction, StreamDump};
use ca_proto::wire::message::{EventMask, SearchFlag};
use ca_proto::wire::{Command, PvName, PvNameError};
use ca_proto::{AccessRights, Alarm, AlarmSeverity, AlarmStatus, EcaStatus, Instant, Timestamp};

/// All words, which differ and are not empty.
fn words<T: Display>(all: impl IntoIterator<Item = T>) -> Vec<String> {
    let words: Vec<String> = all.into_iter().map(|one| one.to_string()).collect();
    let different: BTreeSet<_> = words.iter().collect();
    assert_eq!(different.len(), words.len(), "{words:?}");
    assert!(words.iter().all(|word| !word.is_empty()), "{words:?}");
    words
}

/// `Debug` says the same as `Display`, or more.
fn alike(one: &(impl Display + Debug)) {
    let (shown, debug) = (one.to_string(), format!("{one:?}"));
    assert!(debug.contains(&shown), "{debug} {shown}");
}

#[test]
fn rights_are_words() {
    let all = words((0..4).map(AccessRights::from_bits));
    assert_eq!(all, ["none", "read", "write", "read, write"]);
    alike(&AccessRights::ALL);
    let both = AccessRights::from_bits(1).union(AccessRights::from_bits(2));
    assert_eq!(both, AccessRights::ALL);
}

#[test]
fn every_end_of_a_circuit_and_every_trouble_has_a_reason() {
    use CloseReason::{DialFailed, DialTimeout, Eof, Hangup, NotChannelAccess, Refused};
    use CloseReason::{Reset, Said, Unreachable, Violation};
    let said = Said(EcaStatus::MAXIOC);
    let failed = [
        DialFailed,
        Refused,
        Unreachable,
        DialTimeout,
        NotChannelAccess,
    ];
    words(
        failed
            .into_iter()
            .chain([Eof, Reset, said, Violation, Hangup]),
    );
    assert!(said.to_string().contains("ECA_MAXIOC"));
    let troubles = [
        Trouble::Circuit(Reset),
        Trouble::Unresponsive,
        Trouble::CreateFailed,
        Trouble::CreateTimeout,
        Trouble::Deleted,
    ];
    assert_eq!(words(troubles)[0], "connection lost");
}

#[test]
fn every_limit_names_its_setting_and_is_counted() {
    words(Limit::ALL.iter().copied());
    let settings: BTreeSet<_> = Limit::ALL.iter().map(|limit| limit.setting()).collect();
    assert_eq!(settings.len(), Limit::ALL.len());
    let mut counts = LimitCounts::default();
    for _ in 0..2 {
        counts.count(Limit::Channels);
    }
    assert_eq!(counts.get(Limit::Channels), 2);
    assert_eq!(counts.get(Limit::Circuits), 0);
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(Limit::Channels, 2)]);
}

#[test]
fn severities_of_statuses_have_the_words_of_the_reference() {
    let word = |bits: u32| EcaStatus(bits).severity().word();
    let all: Vec<_> = (0..8).map(word).collect();
    let fatal = ["Fatal"; 4];
    assert_eq!(all[..4], ["Warning", "Success", "Error", "Info"]);
    assert_eq!(all[4..], fatal);
    assert_eq!(EcaStatus(3).severity(), EcaSeverity::Info);
    assert_eq!(format!("{:?}", EcaStatus::GETFAIL), "ECA_GETFAIL");
    assert!(format!("{:?}", EcaStatus(0x7ff8)).contains("0x7ff8"));
}

#[test]
fn types_are_found_by_the_names_they_print() {
    for ty in (0..=38).map(DbrType) {
        let name = ty.to_string();
        assert_eq!(DbrType::from_name(&name), Some(ty), "{name}");
        let short = name.strip_prefix("DBR_").expect("names begin like this");
        assert_eq!(DbrType::from_name(short), Some(ty), "{short}");
        alike(&ty);
    }
    assert_eq!(
        DbrType::from_name("TIME_INT"),
        Some(DbrType::new(Family::Time, NativeType::Short))
    );
    assert_eq!(DbrType::from_name("TIME_NUMBER"), None);
    assert_eq!(DbrType(99).size(7), 0);
    let natives = words(NativeType::ALL);
    assert_eq!(natives[NativeType::Enum as usize], "DBF_ENUM");
}

#[test]
fn names_of_pvs_are_checked_and_shown() {
    assert_eq!(PvName::new(""), Err(PvNameError::Empty));
    assert_eq!(
        PvName::new("x".repeat(992)),
        Err(PvNameError::TooLong { len: 992 })
    );
    assert_eq!(PvName::new("a\0b"), Err(PvNameError::Nul { at: 1 }));
    words([
        PvNameError::Empty,
        PvNameError::TooLong { len: 992 },
        PvNameError::Nul { at: 1 },
    ]);
    let odd = PvName::new(b"a\"\\\x07\xff").expect("any bytes but NUL");
    assert_eq!(odd.to_string(), "a\\\"\\\\\\x07\\xff");
    assert_eq!(odd.to_text(), "a\"\\\x07\u{fffd}");
    alike(&odd);
    let plain: PvName = "ring:current".parse().expect("a name");
    assert_eq!(plain.as_bytes(), b"ring:current");
}

#[test]
fn values_and_their_descriptions_are_shown() {
    let value = Value::from([1.0, 2.0]);
    assert_eq!(format!("{value:?}"), format!("{:?}", value.as_ref()));
    assert!(format!("{:?}", value.payload()).contains("16 bytes"));
    let long = Value::array(&[1.0; 100]);
    for value in [&value, &long] {
        assert_eq!(&value.payload().to_bytes()[..], value.payload().as_slice());
    }
    let units = Units::new("mm");
    alike(&units);
    assert_eq!(units.to_wire(), *b"mm\0\0\0\0\0\0");
    let states = EnumStates::new(["Idle", "Moving"]);
    assert_eq!(
        (states.is_empty(), states.position(b"Moving")),
        (false, Some(1))
    );
    assert_eq!(states.position(b"Gone"), None);
    assert_eq!(format!("{states:?}"), r#"["Idle", "Moving"]"#);
    assert_eq!(Text40::default(), Text40::EMPTY);
}

#[test]
fn a_scalar_takes_over_only_its_like() {
    let mut held = Value::scalar(1.0);
    assert!(held.set_scalar(Value::scalar(2.0).as_ref()));
    assert_eq!(held, Value::scalar(2.0));
    for other in [
        Value::scalar(7),
        Value::from([3.0, 4.0]),
        Value::string("x"),
        Value::empty(NativeType::Double),
    ] {
        assert!(!held.set_scalar(other.as_ref()), "{other:?}");
    }
    let mut text = Value::string("a");
    assert!(!text.set_scalar(Value::string("b").as_ref()));
    let mut array = Value::array(&[1.0; 100]);
    assert!(!array.set_scalar(Value::scalar(2.0).as_ref()));
    assert_eq!(held, Value::scalar(2.0));
}

#[test]
fn commands_masks_and_flags_are_words() {
    words(Command::ALL.iter().copied());
    alike(&Command::EVENT_ADD);
    alike(&EventMask::VALUE.union(EventMask::ALARM));
    assert_eq!(words([5, 10, 7].map(SearchFlag)), ["no", "yes", "7"]);
}

#[test]
fn addresses_make_a_list_and_groups_are_picked_out() {
    let addresses =
        [[10, 0, 0, 1], [224, 0, 0, 5]].map(|ip| SocketAddrV4::new(Ipv4Addr::from(ip), 5064));
    let list: AddrList = addresses.into_iter().collect();
    assert_eq!(list.entries().count(), 2);
    assert_eq!(multicast_groups(&addresses), [Ipv4Addr::new(224, 0, 0, 5)]);
}

#[test]
fn tables_show_their_live_entries() {
    let mut slots: Slots<Cid, char> = Slots::default();
    let kept = slots.insert('a').expect("an empty table has room");
    let gone = slots.insert('b').expect("an empty table has room");
    slots.remove(gone);
    assert_eq!(format!("{slots:?}"), format!("{{{kept:?}: 'a'}}"));
    assert_eq!(format!("{kept:?}"), format!("Cid({})", kept.0));
}

#[test]
fn a_client_counts_what_it_has() {
    let mut client = Client::new(ClientParams::default().into(), Instant::ZERO);
    let name = PvName::new("x").expect("a name");
    let cid = client.open_channel(Instant::ZERO, name, 0).expect("room");
    let counts = client.counts();
    assert_eq!((counts.channels, counts.circuits), (1, 0));
    assert_eq!((counts.operations, counts.subscriptions), (0, 0));
    assert_eq!(client.circuit_of(cid), None);
    let server = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5064);
    assert_eq!(client.beacon_period(server), None);
}

#[test]
fn a_dump_tells_what_it_waits_for() {
    let mut dump = StreamDump::new(Direction::TcpRequest);
    dump.feed(&[0; 5], |line| panic!("{line}"));
    assert_eq!((dump.buffered(), dump.malformed()), (5, 0));
    let mut lines = 0;
    dump.feed(&[0; 11], |_| lines += 1);
    assert_eq!((dump.buffered(), lines), (0, 1));
}

#[test]
fn a_queue_made_of_items_knows_its_values() {
    let mut queue = MonitorQueue::new(2, Overflow::Squash);
    assert!(queue.is_empty());
    for n in 0..3 {
        queue.push(n);
    }
    let mut items = Vec::new();
    while let Some(item) = queue.pop() {
        items.push(item);
    }
    let again: MonitorQueue<i32> = MonitorQueue::with_items(2, Overflow::Squash, items.clone());
    assert_eq!(again.len(), 2);
    assert!(
        matches!(items[1], Item::Value { value: 2, .. }),
        "{items:?}"
    );
}

#[test]
fn values_show_their_type_and_elements() {
    let shown = |value: Value| (value.to_string(), format!("{value:?}"));
    for (value, text, debug) in [
        (Value::scalar(1.0), "1.0", "DBF_DOUBLE[1] { 1.0 }"),
        (Value::scalar(0.1f32), "0.1", "DBF_FLOAT[1] { 0.1 }"),
        (Value::array(&[-1i16, 2]), "-1 2", "DBF_SHORT[2] { -1 2 }"),
        (Value::scalar(200u8), "200", "DBF_CHAR[1] { 200 }"),
        (Value::scalar(-7i32), "-7", "DBF_LONG[1] { -7 }"),
        (Value::scalar(EnumIndex(3)), "3", "DBF_ENUM[1] { 3 }"),
        (
            Value::strings(&[&b"a\n"[..], b"\xb0C"]),
            "a\n \u{fffd}C",
            "DBF_STRING[2] { \"a\\n\" \"\\xb0C\" }",
        ),
        (Value::empty(NativeType::Double), "", "DBF_DOUBLE[0] { }"),
        (
            Value::array(&[0i32; 9]),
            "0 0 0 0 0 0 0 0 0",
            "DBF_LONG[9] { 0 0 0 0 0 0 0 0 … }",
        ),
        (Value::scalar(f64::NAN), "NaN", "DBF_DOUBLE[1] { NaN }"),
    ] {
        assert_eq!(shown(value), (text.to_owned(), debug.to_owned()));
    }
}

/// Counts larger than what is there show what is there.
#[test]
fn values_that_are_cut_are_shown_as_far_as_they_go() {
    let value = ValueRef {
        native: NativeType::Long,
        count: u32::MAX,
        data: &[0, 0, 0, 5, 0, 0],
    };
    assert_eq!(value.to_string(), "5");
    assert_eq!(format!("{value:?}"), "DBF_LONG[4294967295] { 5 }");
}

#[test]
fn what_stands_beside_values_is_shown_in_words() {
    let alarm = Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR);
    assert_eq!(
        format!("{alarm:?}"),
        "Alarm { status: HIHI, severity: MAJOR }"
    );
    assert_eq!(format!("{:?}", AlarmStatus(99)), "AlarmStatus(99)");
    let stamp = Timestamp::from_unix(1_800_000_000, 5);
    assert_eq!(
        format!("{stamp:?}"),
        "Timestamp(2027-01-15T08:00:00.000000005Z)"
    );
}

#[test]
fn identities_are_shown_as_names() {
    let who = |user: &[u8], host: &[u8]| Identity {
        user: user.to_vec(),
        host: host.to_vec(),
        peer: "10.0.0.1:40000".parse().expect("an address"),
    };
    let me = who(b"me", b"console");
    assert_eq!(me.to_string(), "me@console (10.0.0.1:40000)");
    assert_eq!(
        format!("{me:?}"),
        "Identity { user: \"me\", host: \"console\", peer: 10.0.0.1:40000 }"
    );
    let strange = who(b"\x1b[2J", b"");
    assert_eq!(strange.to_string(), r"\x1b[2J@? (10.0.0.1:40000)");
}

#[test]
fn times_of_the_standard_library_become_time_stamps_and_back() {
    let limits = [
        (UNIX_EPOCH, Timestamp::UNDEFINED),
        (UNIX_EPOCH - Duration::from_secs(1), Timestamp::UNDEFINED),
        (
            UNIX_EPOCH + Duration::from_secs(10_000_000_000),
            Timestamp::from_unix(i64::MAX, 0),
        ),
    ];
    for (time, stamp) in limits {
        assert_eq!(Timestamp::from(time), stamp);
    }
    let epoch = UNIX_EPOCH + Duration::from_secs(Timestamp::EPICS_EPOCH_UNIX_SECS);
    assert_eq!(SystemTime::from(Timestamp::UNDEFINED), epoch);
    // What a peer may send beyond a second is carried.
    let excess = Timestamp {
        secs: 1,
        nanos: u32::MAX,
    };
    assert_eq!(SystemTime::from(excess), epoch + Duration::new(1, u32::MAX));
}
