//! What one peer or a hundred make the IOC do is done in turns, however much it is, and others are
//! served in between. Work is counted: updates, calls, entries that are gone, bytes that are made.

mod closing;
mod publishing;
mod requests;
mod values;

use std::net::{Ipv4Addr, SocketAddrV4};

use allocation_counter::measure;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Command, Deframer, Header, Minor, tcp};
use ca_proto::{EcaStatus, Instant, Timestamp};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};

const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);

/// What a turn may do of anything: a few thousand steps of some 100 ns.
const MOST: usize = 4096;

const NOW: Instant = Instant::from_nanos(1_000_000_000);

const HOST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn start(builder: IocBuilder) -> Ioc {
    let mut ioc = builder.build().unwrap();
    ioc.start(NOW, Timestamp::from_unix(1_800_000_000, 0), 5064);
    ioc.handle_timeout(NOW);
    ioc
}

/// A client of which only the requests matter.
struct Peer {
    id: CircuitId,
    deframer: Deframer,
    /// Commands of the replies.
    heard: Vec<(Command, u32)>,
}

impl Peer {
    fn new(ioc: &mut Ioc) -> Self {
        Self::from(ioc, HOST)
    }

    fn from(ioc: &mut Ioc, host: Ipv4Addr) -> Self {
        let id = ioc.accept(NOW, SocketAddrV4::new(host, 4000)).unwrap();
        let deframer = Deframer::new(ioc.limits(id));
        let mut peer = Self {
            id,
            deframer,
            heard: Vec::new(),
        };
        let version = tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        };
        peer.send(ioc, [version]);
        peer
    }

    /// Hands requests in as a driver does, and does what is left in between.
    fn send<'a>(&mut self, ioc: &mut Ioc, requests: impl IntoIterator<Item = tcp::Request<'a>>) {
        let mut bytes = Vec::new();
        for request in requests {
            request.encode_into(&mut bytes);
        }
        self.feed(ioc, &bytes);
    }

    /// Returns the turns that it took, each of which handles something or leaves work.
    fn feed(&mut self, ioc: &mut Ioc, mut bytes: &[u8]) -> usize {
        let mut turns = 0;
        while !bytes.is_empty() {
            let chunk = &bytes[..bytes.len().min(1 << 16)];
            let done = ioc.handle_chunk(NOW, self.id, &mut self.deframer, chunk);
            bytes = &bytes[done.unwrap()..];
            self.listen(ioc);
            ioc.work(NOW);
            turns += 1;
        }
        self.listen(ioc);
        turns
    }

    fn listen(&mut self, ioc: &mut Ioc) {
        while let Some(queue) = ioc.transmit(self.id) {
            if queue.is_empty() {
                break;
            }
            let bytes = queue.to_vec();
            queue.clear();
            let mut rest = &bytes[..];
            while let Some((header, len)) = Header::decode(rest, true) {
                self.heard.push((header.command, header.p1));
                rest = &rest[len + header.payload_len as usize..];
            }
        }
    }

    fn create(&mut self, ioc: &mut Ioc, names: impl IntoIterator<Item = String>) {
        let mut bytes = Vec::new();
        for (n, name) in (0..).zip(names) {
            tcp::Request::CreateChan {
                cid: Cid(n),
                minor: Minor::CURRENT,
                name: Text::new(name.as_bytes()),
            }
            .encode_into(&mut bytes);
        }
        self.feed(ioc, &bytes);
    }

    fn subscribe(&mut self, ioc: &mut Ioc, subs: impl Iterator<Item = (u32, u32)>) {
        self.send(
            ioc,
            subs.map(|(sid, subid)| tcp::Request::EventAdd {
                ty: DOUBLE,
                count: 1,
                sid: Sid(sid),
                subid: SubId(subid),
                mask: EventMask::VALUE,
            }),
        );
    }

    /// The last value read.
    fn read(&mut self, ioc: &mut Ioc) -> bool {
        self.heard.clear();
        let read = tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 1,
            sid: Sid(0),
            ioid: Ioid(1),
        };
        let mut bytes = Vec::new();
        read.encode_into(&mut bytes);
        let done = ioc.handle_chunk(NOW, self.id, &mut self.deframer, &bytes);
        let done = done.unwrap() == bytes.len();
        self.listen(ioc);
        done && self
            .heard
            .contains(&(Command::READ_NOTIFY, EcaStatus::NORMAL.0))
    }
}

fn write<'a>(sid: u32, data: &'a [u8]) -> tcp::Request<'a> {
    tcp::Request::Write {
        ty: DOUBLE,
        count: 1,
        sid: Sid(sid),
        cid: Cid(0),
        data: Data(data),
    }
}

fn put_notify<'a>(sid: u32, ioid: u32, data: &'a [u8]) -> tcp::Request<'a> {
    tcp::Request::WriteNotify {
        ty: DOUBLE,
        count: 1,
        sid: Sid(sid),
        ioid: Ioid(ioid),
        data: Data(data),
    }
}

/// Works until nothing is left: the turns, in each of which `honest` reads; `done` says how much was done
/// since the start.
fn turns(ioc: &mut Ioc, honest: &mut Peer, mut done: impl FnMut(&Ioc) -> usize) -> usize {
    let (mut turns, mut before) = (0, done(ioc));
    while ioc.has_work() {
        ioc.work(NOW);
        let now = done(ioc);
        assert!(
            now.abs_diff(before) <= MOST,
            "{} in one turn",
            now.abs_diff(before)
        );
        before = now;
        assert!(
            honest.read(ioc),
            "the honest client is served between turns"
        );
        turns += 1;
        assert!(turns < 20_000, "it ends");
    }
    turns
}

const MANY: u32 = 400_000;

fn crowded() -> (Ioc, Peer, Peer) {
    let mut ioc = start(Ioc::builder().pv("x", PvSpec::double(0.0)));
    let mut honest = Peer::from(&mut ioc, Ipv4Addr::LOCALHOST);
    honest.create(&mut ioc, ["x".to_owned()]);
    let mut hostile = Peer::new(&mut ioc);
    hostile.create(&mut ioc, ["x".to_owned()]);
    hostile.subscribe(&mut ioc, (0..MANY).map(|n| (0, n)));
    assert_eq!(ioc.counts().subscriptions, MANY as usize);
    (ioc, honest, hostile)
}

fn ask(command: Command, ty: DbrType, count: u32) -> tcp::Request<'static> {
    let sid = Sid(0);
    match command {
        Command::READ_NOTIFY => tcp::Request::ReadNotify {
            ty,
            count,
            sid,
            ioid: Ioid(9),
        },
        Command::READ => tcp::Request::Read {
            ty,
            count,
            sid,
            ioid: Ioid(9),
        },
        _ => tcp::Request::EventAdd {
            ty,
            count,
            sid,
            subid: SubId(9),
            mask: EventMask::VALUE,
        },
    }
}

/// Hands a request in, and works until nothing is left. No call makes much at once, and the honest client is
/// served in between. Returns what is sent behind the header.
fn made_in_turns(ioc: &mut Ioc, honest: &mut Peer, peer: &mut Peer, bytes: &[u8]) -> Vec<u8> {
    let mut most = 0;
    let mut call = |work: &mut dyn FnMut()| {
        let call = measure(work);
        most = most.max(call.bytes_total);
    };
    let mut made = Vec::new();
    call(&mut || {
        let done = ioc.handle_chunk(NOW, peer.id, &mut peer.deframer, bytes);
        assert_eq!(done.unwrap(), bytes.len());
    });
    loop {
        call(&mut || ioc.work(NOW));
        assert!(honest.read(ioc));
        call(&mut || {
            ioc.transmit(peer.id);
        });
        let queue = ioc.transmit(peer.id).unwrap();
        made.extend(queue.to_vec());
        let sent = !queue.is_empty();
        queue.clear();
        if !ioc.has_work() && !sent {
            break;
        }
    }
    assert!(most < 1 << 21, "{most} bytes at once");
    match Header::decode(&made, true) {
        Some((header, len)) => {
            assert_eq!(header.payload_len as usize, made.len() - len);
            made.split_off(len)
        }
        None => made,
    }
}
