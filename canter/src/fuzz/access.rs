//! Rules of access security, and filters of channels.

use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::message::{EventMask, Text};
use ca_proto::wire::{Command, Deframer, Header, Minor, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::access::rules::Access;
use ca_server_sim::load::{InMemory, access_security};
use ca_server_sim::{Ioc, PvSpec};

use super::cut;

const NOW: Instant = Instant::from_nanos(1_000_000_000);
const START: Timestamp = Timestamp {
    secs: 1_000_000_000,
    nanos: 0,
};

/// A file of access security; rules that are right hold in an IOC whose PVs are their inputs.
pub(super) fn acf(data: &[u8]) {
    let files = InMemory::from([("x.acf", cut(data))]);
    let (rules, mistakes) = access_security(&files, "x.acf", "P=x");
    if mistakes.has_errors() {
        return;
    }
    let ioc = Ioc::builder()
        .pv("x", PvSpec::double(1.0))
        .pv("y", PvSpec::long(0).access_group("a"));
    let mut ioc = ioc.access_security(rules).build().expect("two PVs");
    ioc.start(NOW, START, 5064);
    for value in [0.0, 1.0, f64::NAN] {
        ioc.post(NOW, "x", value).expect("a number");
        ioc.work(NOW);
        for name in ["x", "y.DESC"] {
            let report = ioc.access(name, "alice", "cs1").expect("it is there");
            let report = report.expect("rules hold");
            assert_eq!(report.access == Access::Write, report.why_not.is_empty());
        }
    }
}

/// What stands behind the field of a name: a number and an array are opened with it, read and watched.
pub(super) fn filter(data: &[u8]) {
    let suffix = &data[..data.len().min(500)];
    let ioc = Ioc::builder()
        .pv("x", PvSpec::double(1.0))
        .pv("w", PvSpec::array([0.0, 1.0, 2.0, 3.0]));
    let mut ioc = ioc.build().expect("two PVs");
    ioc.set_state("red", true);
    ioc.start(NOW, START, 5064);
    let peer = SocketAddrV4::new(Ipv4Addr::LOCALHOST, 4000);
    let circuit = ioc.accept(NOW, peer).expect("the first circuit");
    let mut deframer = Deframer::new(ioc.limits(circuit));
    let version = tcp::Request::Version {
        priority: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    };
    ask(&mut ioc, circuit, &mut deframer, &version);
    for (at, name) in (0..).zip(["x.", "w."]) {
        let name = [name.as_bytes(), suffix].concat();
        let request = tcp::Request::CreateChan {
            cid: Cid(at),
            minor: Minor::CURRENT,
            name: Text::new(&name),
        };
        let replies = ask(&mut ioc, circuit, &mut deframer, &request);
        let created = replies.iter().find(|h| h.command == Command::CREATE_CHAN);
        let Some(&Header { p2: sid, .. }) = created else {
            continue;
        };
        let ty = DbrType::new(Family::Time, NativeType::String);
        let watch = tcp::Request::EventAdd {
            ty,
            count: 0,
            sid: Sid(sid),
            subid: SubId(at),
            mask: EventMask::VALUE | EventMask::ALARM,
        };
        ask(&mut ioc, circuit, &mut deframer, &watch);
        for value in [2.0, f64::NAN, -1e300] {
            ioc.set_state("red", value != 2.0);
            ioc.post(NOW, "x", value).expect("a number");
            ioc.post(NOW, "w", vec![value; 3]).expect("numbers");
            let read = tcp::Request::ReadNotify {
                ty,
                count: 0,
                sid: Sid(sid),
                ioid: Ioid(1),
            };
            let replies = ask(&mut ioc, circuit, &mut deframer, &read);
            let answers = replies.iter().filter(|h| h.command == Command::READ_NOTIFY);
            assert_eq!(answers.count(), 1);
        }
    }
}

/// Sends a request: the headers of what comes.
fn ask(
    ioc: &mut Ioc,
    circuit: CircuitId,
    deframer: &mut Deframer,
    request: &tcp::Request<'_>,
) -> Vec<Header> {
    let mut bytes = Vec::new();
    request.encode_into(&mut bytes);
    let done = ioc.handle_chunk(NOW, circuit, deframer, &bytes);
    assert_eq!(done, Ok(bytes.len()));
    let mut headers = Vec::new();
    while let Some(queue) = ioc.transmit(circuit) {
        let bytes = queue.to_vec();
        queue.clear();
        if bytes.is_empty() {
            break;
        }
        let mut rest = &bytes[..];
        while let Some((header, len)) = Header::decode(rest, true) {
            headers.push(header);
            rest = &rest[len + header.payload_len as usize..];
        }
    }
    headers
}
