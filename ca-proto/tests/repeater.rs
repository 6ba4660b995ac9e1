//! The repeater: `ca_repeater` of EPICS Base.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::repeater::{MAX_CLIENTS, MAX_QUEUED, Repeater};
use ca_proto::time::Instant;

const BEACON: [u8; 16] = [0, 13, 0, 0, 0, 13, 0x63, 0x78, 0, 0, 0, 3, 0, 0, 0, 0];
const REGISTER: [u8; 16] = [0, 24, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4];
const CONFIRM: [u8; 16] = [0, 17, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 127, 0, 0, 1];
const NOOP: [u8; 16] = [0; 16];

fn local(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

fn server() -> SocketAddrV4 {
    SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 7), 45_000)
}

fn send(repeater: &mut Repeater, from: SocketAddrV4, data: &[u8]) -> Vec<(u16, Vec<u8>)> {
    repeater.handle_datagram(Instant::ZERO, from, data);
    drain(repeater)
}

fn drain(repeater: &mut Repeater) -> Vec<(u16, Vec<u8>)> {
    let mut sent = Vec::new();
    let mut buf = Vec::new();
    while let Some(to) = repeater.poll_transmit(Instant::ZERO, &mut buf) {
        sent.push((to.port(), buf.clone()));
    }
    sent
}

fn with_clients(ports: &[u16]) -> Repeater {
    let mut repeater = Repeater::new([]);
    for &port in ports {
        send(&mut repeater, local(port), &[]);
    }
    while repeater.poll_check().is_some() {}
    repeater
}

/// Trap 63: both forms of registration, also repeated.
#[test]
fn empty_datagram_and_command_24_register() {
    let mut repeater = Repeater::new([]);
    assert_eq!(send(&mut repeater, local(1), &[]), [(1, CONFIRM.to_vec())]);
    let sent = send(&mut repeater, local(2), &REGISTER);
    assert_eq!(sent, [(2, CONFIRM.to_vec()), (1, NOOP.to_vec())]);
    let sent = send(&mut repeater, local(2), &REGISTER);
    assert_eq!(sent, [(2, CONFIRM.to_vec()), (1, NOOP.to_vec())]);
    assert_eq!(repeater.clients(), [local(1), local(2)]);
}

#[test]
fn only_clients_of_this_host_are_registered() {
    let own = Ipv4Addr::new(10, 0, 0, 1);
    let mut repeater = Repeater::new([own]);
    assert_eq!(send(&mut repeater, server(), &[]), []);
    let sent = send(&mut repeater, SocketAddrV4::new(own, 5), &[]);
    assert_eq!(sent[0].1[12..], own.octets());
    assert_eq!(repeater.clients().len(), 1);
}

/// Clients are keyed by port: one that tries several addresses of its host is one client.
#[test]
fn registration_through_another_address_is_the_same_client() {
    let own = Ipv4Addr::new(10, 0, 0, 1);
    let mut repeater = Repeater::new([own]);
    send(&mut repeater, local(5), &[]);
    let sent = send(&mut repeater, SocketAddrV4::new(own, 5), &[]);
    assert_eq!(sent, [(5, CONFIRM.to_vec())]);
    assert_eq!(repeater.clients(), [local(5)]);
}

/// Trap 64.
#[test]
fn beacon_gets_the_address_of_its_sender_if_it_has_none() {
    let mut repeater = with_clients(&[1, 2]);
    let mut filled = BEACON;
    filled[12..].copy_from_slice(&[10, 0, 0, 7]);
    let sent = send(&mut repeater, server(), &BEACON);
    assert_eq!(sent, [(1, filled.to_vec()), (2, filled.to_vec())]);
    let mut named = BEACON;
    named[12..].copy_from_slice(&[9, 9, 9, 9]);
    assert_eq!(send(&mut repeater, server(), &named)[0].1, named);
}

#[test]
fn only_the_first_beacon_of_a_datagram_is_filled() {
    let mut repeater = with_clients(&[1]);
    let sent = send(&mut repeater, server(), &[BEACON, BEACON].concat());
    assert_eq!(sent[0].1[12..16], [10, 0, 0, 7]);
    assert_eq!(sent[0].1[16..], BEACON);
    let sent = send(&mut repeater, local(1), &[REGISTER, BEACON].concat());
    assert_eq!(sent, [(1, CONFIRM.to_vec())]);
    let mut repeater = with_clients(&[1, 2]);
    let sent = send(&mut repeater, local(1), &[REGISTER, BEACON].concat());
    assert_eq!(sent[2], (2, BEACON.to_vec()));
}

#[test]
fn anything_else_is_copied_to_all_but_its_sender() {
    let mut repeater = with_clients(&[1, 2, 3]);
    for data in [&b"junk!"[..], &[0, 6, 0, 8, 1]] {
        let sent = send(&mut repeater, local(2), data);
        assert_eq!(sent, [(1, data.to_vec()), (3, data.to_vec())]);
    }
    // The port alone does not make a sender.
    let far = SocketAddrV4::new(*server().ip(), 2);
    assert_eq!(send(&mut repeater, far, b"junk!").len(), 3);
}

#[test]
fn every_client_is_checked_after_a_new_registration_only() {
    let mut repeater = with_clients(&[1]);
    send(&mut repeater, local(1), &[]);
    assert_eq!(repeater.poll_check(), None);
    send(&mut repeater, local(2), &[]);
    assert_eq!(repeater.poll_check(), Some(local(1)));
    assert_eq!(repeater.poll_check(), Some(local(2)));
    assert_eq!(repeater.poll_check(), None);
}

#[test]
fn forgotten_client_gets_nothing_and_the_others_miss_nothing() {
    let mut repeater = with_clients(&[1, 2, 3]);
    let mut buf = Vec::new();
    repeater.handle_datagram(Instant::ZERO, server(), b"one");
    assert_eq!(
        repeater.poll_transmit(Instant::ZERO, &mut buf),
        Some(local(1))
    );
    repeater.forget(local(1));
    assert_eq!(
        drain(&mut repeater),
        [(2, b"one".to_vec()), (3, b"one".to_vec())]
    );
    repeater.forget(local(3));
    assert_eq!(
        send(&mut repeater, server(), b"two"),
        [(2, b"two".to_vec())]
    );
}

#[test]
fn client_forgotten_before_its_confirmation_gets_none() {
    let mut repeater = Repeater::new([]);
    repeater.handle_datagram(Instant::ZERO, local(1), &[]);
    repeater.forget(local(1));
    assert_eq!(drain(&mut repeater), []);
    assert_eq!(repeater.poll_check(), None);
}

#[test]
fn clients_and_queue_are_bounded() {
    let mut repeater = Repeater::new([]);
    for port in 1..=MAX_CLIENTS as u16 + 1 {
        send(&mut repeater, local(port), &[]);
    }
    assert_eq!(repeater.clients().len(), MAX_CLIENTS);
    for _ in 0..MAX_QUEUED + 5 {
        repeater.handle_datagram(Instant::ZERO, server(), &BEACON);
    }
    assert_eq!(repeater.dropped(), 5);
    assert_eq!(drain(&mut repeater).len(), MAX_QUEUED * MAX_CLIENTS);
}

/// A host has more addresses than the loopback; from those registrations are taken, from others not.
#[test]
fn registrations_come_from_addresses_of_this_host() {
    let mut repeater = Repeater::new([]);
    let ours = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 5), 40_001);
    assert_eq!(send(&mut repeater, ours, &REGISTER), []);
    repeater.add_local(*ours.ip());
    repeater.add_local(*ours.ip());
    assert!(repeater.is_local(*ours.ip()));
    let confirmed = send(&mut repeater, ours, &REGISTER);
    assert_eq!(confirmed[0].0, 40_001);
    assert_eq!(confirmed[0].1[..2], CONFIRM[..2]);
}

/// After a failure that names nobody each client is looked at: one that is gone gives its place back.
#[test]
fn every_client_can_be_checked() {
    let mut repeater = with_clients(&[40_001, 40_002]);
    assert_eq!(repeater.poll_check(), None);
    repeater.check_all();
    let mut checked: Vec<u16> = std::iter::from_fn(|| repeater.poll_check())
        .map(|client| client.port())
        .collect();
    checked.sort_unstable();
    assert_eq!(checked, [40_001, 40_002]);
}
