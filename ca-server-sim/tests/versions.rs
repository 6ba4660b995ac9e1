//! Clients of every version that is in use, 4.4 to 4.13 (`caProto.h` of EPICS Base).

mod rig;

use std::net::Ipv4Addr;

use ca_proto::EcaStatus;
use ca_proto::dbr::{NativeType, Value};
use ca_proto::wire::Command;
use ca_proto::wire::message::EventMask;
use ca_server_sim::{Ioc, PvSpec};
use rig::*;

fn builder() -> ca_server_sim::IocBuilder {
    Ioc::builder()
        .pv("x", PvSpec::double(1.5))
        .pv("w", PvSpec::array(vec![1.0; 70_000]))
}

#[test]
fn every_version_reads_writes_and_subscribes() {
    for minor in 4..=13 {
        let mut rig = Rig::new(builder());
        let mut client = rig.client_of_version(Ipv4Addr::LOCALHOST, minor);
        let (x, native, count) = client.create_with(&mut rig, "x", minor).unwrap();
        assert_eq!((native, count), (NativeType::Double, 1), "4.{minor}");
        assert_eq!(client.read(&mut rig, x, TIME_DOUBLE, 1).f64(), 1.5);
        client.subscribe(&mut rig, x, DOUBLE, EventMask::VALUE);
        let replies = client.write(&mut rig, x, &Value::scalar(2.5));
        assert_eq!(updates(&replies), [2.5], "4.{minor}");
        assert_eq!(
            client.put(&mut rig, x, &Value::scalar(3.5)),
            EcaStatus::NORMAL
        );
    }
}

#[test]
fn versions_differ_in_large_arrays_and_in_unknown_names() {
    for minor in 4..=13 {
        let mut rig = Rig::new(builder());
        let mut client = rig.client_of_version(Ipv4Addr::LOCALHOST, minor);
        let (w, _, count) = client.create_with(&mut rig, "w", minor).unwrap();
        // Extended headers came with 4.9.
        let whole = if minor < 9 { 65_534 } else { 70_000 };
        assert_eq!(count, whole, "4.{minor}");
        let reply = client.read(&mut rig, w, DOUBLE, 3);
        assert_eq!((reply.status(), reply.count), (EcaStatus::NORMAL, 3));
        // CREATE_CH_FAIL came with 4.6; older clients get SERVER_DISCONN or an ERROR they know.
        let replies = client.create_replies(&mut rig, "nobody", minor);
        let told = replies.iter().any(|r| r.command == Command::CREATE_CH_FAIL);
        assert_eq!(told, minor >= 6, "4.{minor}: {replies:?}");
    }
}
