//! Name search in datagrams: `search_reply_udp`, and beacons: `rsrv_online_notify_task` of EPICS Base.

mod server_rig;

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use ca_proto::config::ServerParams;
use ca_proto::server::Endpoint;
use ca_proto::time::Instant;
use server_rig::{PEER, TestDb, bytes, hex, messages, text_payload, words};

const VERSION: &str = "00000000 0001000d 00007777 00000000";
const IVAL: &str = "00060008 0005000d 00001234 00001234 6976616c 00000000";
const FOUND: &str = "00060008 63780000 ffffffff 00001234 000d0000 00000000";

fn endpoint() -> Endpoint {
    Endpoint::new(Arc::new(ServerParams::default()), 0x6378, Instant::ZERO)
}

/// The reply datagrams to `request`.
fn ask(endpoint: &mut Endpoint, request: &str) -> Vec<String> {
    endpoint.handle_datagram(Instant::ZERO, PEER, &bytes(request), &TestDb::new());
    let mut replies = Vec::new();
    let mut buf = Vec::new();
    while let Some(to) = endpoint.poll_transmit(Instant::ZERO, &mut buf) {
        assert_eq!(to, PEER);
        replies.push(words(&buf));
    }
    replies
}

#[track_caller]
fn expect(request: &str, reply: &str) {
    let replies = ask(&mut endpoint(), request);
    let expected: Vec<String> = Some(hex(reply))
        .filter(|r| !r.is_empty())
        .into_iter()
        .collect();
    assert_eq!(replies, expected);
}

fn search(id: u32, name: &str) -> String {
    let text = text_payload(name);
    format!(
        "0006{:04x} 0005000d {id:08x} {id:08x} {text}",
        text.len() / 2
    )
}

/// Traps 17 to 20.
#[test]
fn reply_has_version_with_the_sequence_then_the_answer() {
    expect(
        &format!("{VERSION} {IVAL}"),
        &format!("00000000 0001000d 00007777 00000000 {FOUND}"),
    );
}

/// Section 12.
#[test]
fn search_of_the_reference_client() {
    let mut endpoint = Endpoint::new(Arc::default(), 0x6760, Instant::ZERO);
    let replies = ask(
        &mut endpoint,
        "00000000 0001000d 00000001 00000000 00060008 0005000d 00000001 00000001 6476616c 00000000",
    );
    assert_eq!(
        replies,
        [hex("00000000 0001000d 00000001 00000000 \
              00060008 67600000 ffffffff 00000001 000d0000 00000000")]
    );
}

/// Trap 16: state is per datagram.
#[test]
fn search_without_leading_version_is_dropped() {
    let mut endpoint = endpoint();
    assert_eq!(ask(&mut endpoint, VERSION).len(), 0);
    assert_eq!(ask(&mut endpoint, IVAL).len(), 0);
    assert_eq!(ask(&mut endpoint, &format!("{VERSION}{IVAL}")).len(), 1);
}

/// Trap 17: 4.10 and older get no leading VERSION.
#[test]
fn old_client_gets_no_version_in_the_reply() {
    expect(
        &format!("00000000 0000000a 00000000 00000000 {IVAL}"),
        FOUND,
    );
}

/// Minor below 4 drops the rest, in VERSION as in SEARCH.
#[test]
fn too_old_client_gets_no_answer() {
    expect(&format!("00000000 00010003 00000000 00000000 {IVAL}"), "");
    let old = IVAL.replace("0005000d", "00050003");
    expect(&format!("{VERSION} {old} {IVAL}"), "");
}

/// Trap 14: the id of the reply is P2.
#[test]
fn reply_repeats_the_second_copy_of_the_id() {
    expect(
        &format!("{VERSION} 00060008 0005000d 00001111 00002222 6976616c 00000000"),
        "00000000 0001000d 00007777 00000000 00060008 63780000 ffffffff 00002222 000d0000 00000000",
    );
}

/// Trap 15, 3.13.
#[test]
fn unknown_name_is_not_answered_even_with_the_reply_flag() {
    expect(
        &format!("{VERSION} 00060008 000a000d 00001234 00001234 6e6f7065 00000000"),
        "",
    );
}

/// An empty name is passed over, what follows counts.
#[test]
fn empty_name_is_passed_over() {
    for empty in [
        "00060000 0005000d 00000001 00000001",
        "00060008 0005000d 00000001 00000001 00000000 00000000",
    ] {
        expect(
            &format!("{VERSION} {empty} {IVAL}"),
            &format!("{VERSION} {FOUND}"),
        );
    }
}

/// The last byte of an unterminated name is lost.
#[test]
fn unterminated_name_loses_its_last_byte() {
    expect(
        &format!("{VERSION} 00060008 0005000d 00001234 00001234 6976616c 2e56414c"),
        &format!("{VERSION} {FOUND}"),
    );
}

/// Trap 23: the filter is not looked at.
#[test]
fn name_with_a_broken_filter_is_answered() {
    expect(
        &format!("{VERSION} {}", search(0x1234, "ival.{bad")),
        &format!("{VERSION} {FOUND}"),
    );
}

/// Any other command drops the rest; replies queued before are sent.
#[test]
fn other_commands_end_the_datagram() {
    for command in [1u16, 13, 15, 23, 24, 28, 99] {
        expect(
            &format!("{VERSION} {IVAL} {command:04x}0000 00000000 00000000 00000000 {IVAL}"),
            &format!("{VERSION} {FOUND}"),
        );
    }
}

/// Trap 6: so does a misaligned size or an incomplete message.
#[test]
fn malformed_rest_is_dropped() {
    for rest in [
        "00060005 0005000d 00001234 00001234 6976616c 00",
        "00060010 0005000d 00001234 00001234 6976616c 00000000",
        "0006ffff 0005000d 00001234 00001234 6976616c 00000000",
        "00060008 0005",
        "00",
    ] {
        expect(
            &format!("{VERSION} {IVAL} {rest}"),
            &format!("{VERSION} {FOUND}"),
        );
    }
}

/// A later VERSION of the datagram gives the sequence number.
#[test]
fn sequence_is_that_of_the_last_version() {
    expect(
        &format!("{VERSION} {IVAL} 00000000 0001000d 00008888 00000000"),
        &format!("00000000 0001000d 00008888 00000000 {FOUND}"),
    );
}

/// 60 searches in one datagram gave 1024 and 448 bytes.
#[test]
fn replies_are_split_at_1024_bytes() {
    let mut request = VERSION.to_string();
    for id in 0..60 {
        request += &search(id, "ival");
    }
    let mut endpoint = endpoint();
    endpoint.handle_datagram(Instant::ZERO, PEER, &bytes(&request), &TestDb::new());
    let mut buf = Vec::new();
    let mut ids = Vec::new();
    for len in [1024, 448] {
        assert_eq!(endpoint.poll_transmit(Instant::ZERO, &mut buf), Some(PEER));
        assert_eq!(buf.len(), len);
        let all = messages(&buf);
        assert_eq!((all[0].command, all[0].p1), (0, 0x7777));
        ids.extend(all[1..].iter().map(|m| m.p2));
    }
    assert_eq!(endpoint.poll_transmit(Instant::ZERO, &mut buf), None);
    assert_eq!(ids, (0..60).collect::<Vec<_>>());
}

/// A flood makes no more than a bounded number of replies wait.
#[test]
fn replies_that_are_not_fetched_are_bounded() {
    let mut endpoint = endpoint();
    let request = bytes(&format!("{VERSION}{IVAL}"));
    for _ in 0..1000 {
        endpoint.handle_datagram(Instant::ZERO, PEER, &request, &TestDb::new());
    }
    let mut buf = Vec::new();
    let mut sent = 0;
    while endpoint.poll_transmit(Instant::ZERO, &mut buf).is_some() {
        sent += 1;
    }
    assert_eq!((sent, endpoint.stats().dropped), (256, 744));
    assert_eq!(ask(&mut endpoint, &format!("{VERSION}{IVAL}")).len(), 1);
}

/// It is not even told that the PV is not there.
#[test]
fn ignored_host_gets_no_answer() {
    let params = ServerParams::default().ignore_addrs(vec![*PEER.ip()]);
    let mut endpoint = Endpoint::new(Arc::new(params), 5064, Instant::ZERO);
    assert_eq!(ask(&mut endpoint, &format!("{VERSION}{IVAL}")).len(), 0);
}

fn beacons(period: Duration, until: Duration) -> Vec<(u64, String)> {
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5065);
    let other = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 5066);
    let params = ServerParams::default()
        .beacon_addrs(vec![to, other])
        .beacon_period(period);
    let mut endpoint = Endpoint::new(Arc::new(params), 0x6378, Instant::ZERO);
    let mut seen = Vec::new();
    let mut buf = Vec::new();
    while let Some(now) = endpoint.poll_timeout()
        && now <= Instant::ZERO + until
    {
        endpoint.handle_timeout(now);
        assert_eq!(endpoint.poll_transmit(now, &mut buf), Some(to));
        seen.push((now.as_nanos() / 1_000_000, words(&buf)));
        assert_eq!(endpoint.poll_transmit(now, &mut buf), Some(other));
        assert_eq!(endpoint.poll_transmit(now, &mut buf), None);
    }
    seen
}

/// Traps 60 and 62: the times are those observed with a period of 2 s.
#[test]
fn beacons_start_fast_and_slow_down_to_the_period() {
    let seen = beacons(Duration::from_secs(2), Duration::from_secs(7));
    let times: Vec<u64> = seen.iter().map(|b| b.0).collect();
    assert_eq!(times, [0, 20, 60, 140, 300, 620, 1260, 2540, 4540, 6540]);
    assert_eq!(seen[3].1, hex("000d0000 000d6378 00000003 00000000"));
}

/// With 15 s the steady state is reached after about 20 s.
#[test]
fn default_beacon_period_is_reached_after_20_seconds() {
    let seen = beacons(Duration::from_secs(15), Duration::from_secs(60));
    let times: Vec<u64> = seen.iter().map(|b| b.0).collect();
    let last = times.len() - 1;
    assert_eq!(times[last] - times[last - 1], 15_000);
    assert!(times[last - 2] <= 21_000, "{times:?}");
}

/// A late driver sends one beacon, not all that it missed.
#[test]
fn missed_beacons_are_not_made_up_for() {
    let params = ServerParams::default().beacon_addrs(vec![PEER]);
    let mut endpoint = Endpoint::new(Arc::new(params), 5064, Instant::ZERO);
    let late = Instant::ZERO + Duration::from_secs(3600);
    endpoint.handle_timeout(late);
    endpoint.handle_timeout(late);
    let mut buf = Vec::new();
    assert_eq!(endpoint.poll_transmit(late, &mut buf), Some(PEER));
    assert_eq!(endpoint.poll_transmit(late, &mut buf), None);
    assert!(endpoint.poll_timeout().unwrap() > late);
}

/// Without destinations there is nothing to wait for.
#[test]
fn server_without_beacon_addresses_has_no_timer() {
    assert_eq!(endpoint().poll_timeout(), None);
}
