//! The IOC core under requests made beforehand: no socket, no clock, replies thrown away.

use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Sid, SubId};
use ca_proto::wire::message::{EventMask, Text};
use ca_proto::wire::{Deframer, Minor, tcp};
use ca_proto::{Instant, Timestamp};
use ca_server_sim::{Ioc, PvSpec};

/// What one read from a socket brings.
pub const CHUNK: usize = 64 * 1024;
/// The type of values in requests.
pub const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
const TIME_DOUBLE: DbrType = DbrType::new(Family::Time, NativeType::Double);

/// A client: its circuit, and what the driver keeps of it.
#[derive(Debug)]
pub struct Peer {
    circuit: CircuitId,
    deframer: Deframer,
}

/// An IOC with the PVs `B:0`, `B:1` and so on, each a double.
#[derive(Debug)]
pub struct Server {
    /// The core.
    pub ioc: Ioc,
    /// Time of the requests.
    pub now: Instant,
    /// Bytes that the IOC had to send.
    pub sent: usize,
}

impl Server {
    /// An IOC that runs.
    pub fn new(pvs: usize) -> Self {
        let specs = (0..pvs).map(|n| (format!("B:{n}"), PvSpec::double(0.0)));
        let mut ioc = Ioc::builder().pvs(specs).build().expect("valid PVs");
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        Self {
            ioc,
            now: Instant::ZERO,
            sent: 0,
        }
    }

    /// A circuit with channels to the first PVs; their server ids count from 0.
    pub fn connect(&mut self, port: u16, channels: usize) -> Peer {
        let peer = SocketAddrV4::new(Ipv4Addr::from(u32::from(port) + 1), port);
        let circuit = self.ioc.accept(self.now, peer).expect("below the limit");
        let deframer = Deframer::new(self.ioc.limits(circuit));
        let mut peer = Peer { circuit, deframer };
        let mut requests = Vec::new();
        let minor = Minor::CURRENT;
        let (priority, sequence) = (0, 0);
        let version = tcp::Request::Version {
            priority,
            minor,
            sequence,
        };
        version.encode_into(&mut requests);
        for n in 0..channels {
            let name = format!("B:{n}");
            let (cid, name) = (Cid(n as u32), Text::new(name.as_bytes()));
            tcp::Request::CreateChan { cid, minor, name }.encode_into(&mut requests);
        }
        self.feed(&mut peer, &requests);
        peer
    }

    /// Subscribes to the first PVs.
    pub fn subscribe(&mut self, peer: &mut Peer, channels: usize) {
        let mut requests = Vec::new();
        for n in 0..channels as u32 {
            let add = tcp::Request::EventAdd {
                ty: TIME_DOUBLE,
                count: 1,
                sid: Sid(n),
                subid: SubId(n),
                mask: EventMask::VALUE | EventMask::ALARM,
            };
            add.encode_into(&mut requests);
        }
        self.feed(peer, &requests);
    }

    /// Hands in chunks as the driver does, and takes what comes of them.
    pub fn feed(&mut self, peer: &mut Peer, requests: &[u8]) {
        for mut chunk in requests.chunks(CHUNK) {
            loop {
                let done = self
                    .ioc
                    .handle_chunk(self.now, peer.circuit, &mut peer.deframer, chunk)
                    .expect("nothing is wrong with the requests");
                chunk = &chunk[done..];
                self.drain();
                if chunk.is_empty() && self.ioc.is_readable(peer.circuit) {
                    break;
                }
            }
        }
    }

    /// Takes what the IOC has to send.
    pub fn drain(&mut self) {
        while self.ioc.has_work() {
            self.ioc.work(self.now);
        }
        while let Some(id) = self.ioc.poll_woken() {
            while let Some(queue) = self.ioc.transmit(id) {
                if queue.is_empty() {
                    break;
                }
                self.sent += queue.len();
                queue.advance(black_box(queue.len()));
            }
        }
    }
}
