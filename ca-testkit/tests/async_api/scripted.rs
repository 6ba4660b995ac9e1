//! A server of numbers, of any version from 4.4 on, made of single messages: it sends nothing that its version
//! does not know, and notes what it should not have been sent.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use ca_client::{AccessRights, DbrType, EcaStatus, Value};
use ca_net::{ByteStream, DatagramSocket, Listener, Runtime, StreamOptions, UdpOptions};
use ca_proto::dbr::{Acknowledge, Metadata, Snapshot, Units};
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::wire::message::{Data, ErrorBody, EventMask, Port};
use ca_proto::wire::{Deframer, Frame, FrameLimits, Minor, datagram_frames, tcp, udp};
use ca_proto::{Alarm, Timestamp};
use ca_testkit::runtime::SimRuntime;

/// Port of circuits where the version can tell it.
const PORT: u16 = 6064;
/// Port of searches, and of circuits for clients that are told no other.
pub(crate) const OLD_PORT: u16 = 5064;

const DOUBLE: DbrType = DbrType(6);
/// A name that is found and cannot be created.
pub(crate) const PHANTOM: &str = "phantom";

struct Channel {
    name: String,
    cid: Cid,
}

struct Monitor {
    sid: Sid,
    ty: DbrType,
    count: u32,
}

/// One connection.
#[derive(Default)]
struct Circuit {
    priority: u16,
    channels: BTreeMap<Sid, Channel>,
    subs: BTreeMap<SubId, Monitor>,
    out: Vec<u8>,
    waker: Option<Waker>,
    mute: bool,
    closing: bool,
}

#[derive(Default)]
struct Shared {
    minor: u16,
    pvs: BTreeMap<String, Value>,
    circuits: Vec<Circuit>,
    heard: Vec<&'static str>,
    wrong: Vec<String>,
    next_sid: u32,
}

/// A running server.
#[derive(Clone)]
pub(crate) struct Scripted(Arc<Mutex<Shared>>);

impl Scripted {
    pub(crate) fn start(
        rt: &SimRuntime,
        addr: Ipv4Addr,
        minor: u16,
        pvs: impl IntoIterator<Item = (&'static str, Value)>,
    ) -> Self {
        let host = rt.host(addr);
        let pvs = pvs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value));
        let server = Self(Arc::new(Mutex::new(Shared {
            minor,
            pvs: pvs.collect(),
            ..Shared::default()
        })));
        let options = UdpOptions {
            address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, OLD_PORT),
            ..UdpOptions::default()
        };
        let mut udp = host.bind_udp(&options).unwrap();
        let searches = server.clone();
        drop(host.spawn(Box::pin(poll_fn(move |cx| searches.search(&mut *udp, cx)))));
        let port = if minor < 5 { OLD_PORT } else { PORT };
        let here = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port);
        let mut listener = host.listen(here, &StreamOptions::default()).unwrap();
        let (circuits, runtime) = (server.clone(), host.clone());
        drop(host.spawn(Box::pin(poll_fn(move |cx| {
            circuits.accept(&*runtime, &mut *listener, cx)
        }))));
        server
    }

    fn with<R>(&self, work: impl FnOnce(&mut Shared) -> R) -> R {
        work(&mut self.0.lock().unwrap())
    }

    /// Commands heard since the last call, in order, without repetitions one after the other.
    pub(crate) fn heard(&self) -> Vec<&'static str> {
        let mut heard = self.with(|shared| std::mem::take(&mut shared.heard));
        heard.dedup();
        heard
    }

    /// What a server of this version should not have been sent.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.with(|shared| shared.wrong.clone())
    }

    /// Changes a PV and tells its subscribers.
    pub(crate) fn post(&self, name: &str, value: impl Into<Value>) {
        self.with(|shared| {
            shared.pvs.insert(name.to_owned(), value.into());
            shared.each(|shared, c| c.updates(shared, name));
        });
    }

    /// What a PV holds.
    pub(crate) fn value(&self, name: &str) -> Value {
        self.with(|shared| shared.pvs[name].clone())
    }

    /// Keeps what is for the circuits of this priority to itself, or sends it at last.
    pub(crate) fn mute(&self, priority: u16, mute: bool) {
        self.with(|shared| {
            shared.each(|_, c| {
                if c.priority == priority {
                    c.mute = mute;
                }
            });
        });
    }

    /// Ends a PV: its channels are disconnected, or the circuits of servers that cannot say so.
    pub(crate) fn remove(&self, name: &str) {
        self.with(|shared| {
            shared.pvs.remove(name);
            let can_say_so = shared.minor >= 7;
            shared.each(|_, c| {
                let of_it = c
                    .channels
                    .iter()
                    .filter(|(_, channel)| channel.name == name);
                let gone: Vec<_> = of_it.map(|(sid, channel)| (*sid, channel.cid)).collect();
                c.closing |= !gone.is_empty() && !can_say_so;
                for (sid, cid) in gone.into_iter().filter(|_| can_say_so) {
                    c.channels.remove(&sid);
                    c.subs.retain(|_, sub| sub.sid != sid);
                    tcp::Response::ServerDisconn { cid }.encode_into(&mut c.out);
                }
            });
        });
    }

    /// Answers searches for what it has.
    fn search(&self, udp: &mut dyn DatagramSocket, cx: &mut Context<'_>) -> Poll<()> {
        let mut buf = [0; 2048];
        while let Poll::Ready(Ok((len, from))) = udp.poll_recv_from(cx, &mut buf) {
            let reply = self.with(|shared| shared.found(&buf[..len]));
            if !reply.is_empty() {
                let _ = udp.poll_send_to(cx, &reply, from);
            }
        }
        Poll::Pending
    }

    fn accept(
        &self,
        runtime: &dyn Runtime,
        listener: &mut dyn Listener,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        while let Poll::Ready(Ok((mut stream, _))) = listener.poll_accept(cx) {
            let at = self.with(|shared| {
                let mut circuit = Circuit::default();
                if shared.minor >= 11 {
                    let version = tcp::Response::Version {
                        priority: 0,
                        minor: Minor(shared.minor),
                    };
                    version.encode_into(&mut circuit.out);
                }
                shared.circuits.push(circuit);
                shared.circuits.len() - 1
            });
            let server = self.clone();
            let mut deframer = Deframer::new(FrameLimits {
                max_payload: 1 << 20,
                extended: true,
            });
            drop(runtime.spawn(Box::pin(poll_fn(move |cx| {
                server.serve(at, &mut *stream, &mut deframer, cx)
            }))));
        }
        Poll::Pending
    }

    fn serve(
        &self,
        at: usize,
        stream: &mut dyn ByteStream,
        deframer: &mut Deframer,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let mut buf = [0; 4096];
        self.with(|shared| {
            let mut circuit = std::mem::take(&mut shared.circuits[at]);
            let mut ended = circuit.closing;
            while !ended && let Poll::Ready(read) = stream.poll_read(cx, &mut buf) {
                let len = read.unwrap_or(0);
                ended = len == 0;
                let mut frames = deframer.frames(&buf[..len]);
                while let Some(frame) = frames.next() {
                    circuit.handle(shared, &frame.unwrap());
                }
            }
            while !ended
                && !circuit.mute
                && !circuit.out.is_empty()
                && let Poll::Ready(sent) =
                    stream.poll_write_vectored(cx, &[IoSlice::new(&circuit.out)])
            {
                ended = sent.is_err();
                circuit.out.drain(..sent.unwrap_or(0));
            }
            if ended {
                return Poll::Ready(());
            }
            circuit.waker = Some(cx.waker().clone());
            shared.circuits[at] = circuit;
            Poll::Pending
        })
    }
}

impl Shared {
    /// Does something to each circuit, which then sends what it has.
    fn each(&mut self, mut work: impl FnMut(&mut Self, &mut Circuit)) {
        for at in 0..self.circuits.len() {
            let mut circuit = std::mem::take(&mut self.circuits[at]);
            work(self, &mut circuit);
            if let Some(waker) = circuit.waker.take() {
                waker.wake();
            }
            self.circuits[at] = circuit;
        }
    }

    fn complain(&mut self, what: String) {
        self.wrong.push(what);
    }

    fn found(&self, datagram: &[u8]) -> Vec<u8> {
        let (mut reply, mut names) = (Vec::new(), 0);
        for frame in datagram_frames(datagram) {
            match udp::Request::parse(&frame.unwrap()).unwrap() {
                udp::Request::Version { sequence, .. } if self.minor >= 11 => {
                    let version = udp::Response::Version {
                        valid: 1,
                        minor: Minor(self.minor),
                        sequence,
                    };
                    version.encode_into(&mut reply);
                }
                udp::Request::Search { cid, name, .. } => {
                    let name = String::from_utf8_lossy(name.as_bytes());
                    if !self.pvs.contains_key(&*name) && name != PHANTOM {
                        continue;
                    }
                    names += 1;
                    // What stood in these fields before they meant something.
                    let port = if self.minor < 5 { 0xffff } else { PORT };
                    let server = match self.minor {
                        ..8 => Ipv4Addr::new(0, 0, 0, 77),
                        _ => Ipv4Addr::BROADCAST,
                    };
                    let found = udp::Response::Search {
                        port: Port(port),
                        server,
                        cid,
                        minor: Minor(self.minor),
                    };
                    found.encode_into(&mut reply);
                }
                _ => {}
            }
        }
        if names == 0 { Vec::new() } else { reply }
    }

    fn snapshot(&self, name: &str) -> Snapshot {
        Snapshot {
            value: self.pvs[name].clone(),
            alarm: Alarm::default(),
            stamp: Timestamp { secs: 1, nanos: 0 },
            ack: Acknowledge::default(),
            meta: Arc::new(Metadata {
                units: Units::new("mm"),
                precision: 3,
                ..Metadata::default()
            }),
        }
    }

    /// A value as it is sent; count 0 stands for all elements.
    fn data(&mut self, name: &str, ty: DbrType, count: u32) -> (u32, Vec<u8>) {
        let snapshot = self.snapshot(name);
        if count == 0 && self.minor < 13 {
            self.complain(format!("{name} is asked for with count 0"));
        }
        let count = if count == 0 {
            snapshot.value.count()
        } else {
            count
        };
        let mut data = Vec::new();
        snapshot.encode(ty, count, &mut data).unwrap();
        if self.minor < 9 && (count > 0xfffe || data.len() > 0xfff0) {
            self.complain(format!("{name} is asked for with {count} elements"));
        }
        (count, data)
    }
}

impl Circuit {
    fn handle(&mut self, shared: &mut Shared, frame: &Frame<'_>) {
        use tcp::{Request, Response};
        let header = frame.header;
        if shared.minor < 9 && (header.count > 0xffff || header.payload_len > 0xfffe) {
            shared.complain(format!("an extended header: {header:?}"));
        }
        let request = Request::parse(frame).unwrap();
        let heard = match request {
            Request::Version { .. } => "version",
            Request::HostName { .. } | Request::ClientName { .. } => "names",
            Request::CreateChan { .. } => "create",
            Request::ClearChannel { .. } => "clear",
            Request::ReadNotify { .. } => "read",
            Request::Write { .. } => "write",
            Request::WriteNotify { .. } => "write notify",
            Request::EventAdd { .. } => "subscribe",
            Request::EventCancel { .. } => "cancel",
            Request::Echo { .. } => "echo",
            Request::EventsOn { .. } => "on",
            Request::EventsOff { .. } => "off",
            ref other => {
                shared.complain(format!("{other}"));
                "other"
            }
        };
        shared.heard.push(heard);
        match request {
            Request::Version { priority, .. } => self.priority = priority,
            Request::CreateChan { cid, name, .. } => {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                self.create(shared, frame, cid, name);
            }
            Request::ClearChannel { sid, cid, .. } => {
                self.channels.remove(&sid);
                self.subs.retain(|_, sub| sub.sid != sid);
                let (data_type, count) = (header.data_type, header.count);
                Response::ClearChannel {
                    data_type,
                    count,
                    sid,
                    cid,
                }
                .encode_into(&mut self.out);
            }
            Request::ReadNotify {
                ty,
                count,
                sid,
                ioid,
            } => {
                let (count, data) = shared.data(&self.channels[&sid].name, ty, count);
                Response::ReadNotify {
                    ty,
                    count,
                    status: EcaStatus::NORMAL,
                    ioid,
                    data: Data(&data),
                }
                .encode_into(&mut self.out);
            }
            Request::Write { ty, sid, data, .. } => self.write(shared, ty, sid, data),
            Request::WriteNotify {
                ty,
                count,
                sid,
                ioid,
                data,
            } => {
                self.write(shared, ty, sid, data);
                Response::WriteNotify {
                    ty,
                    count,
                    status: EcaStatus::NORMAL,
                    ioid,
                }
                .encode_into(&mut self.out);
            }
            Request::EventAdd {
                ty,
                count,
                sid,
                subid,
                mask,
            } => {
                assert!(mask.intersects(EventMask::VALUE));
                self.subs.insert(subid, Monitor { sid, ty, count });
                self.update(shared, subid);
            }
            Request::EventCancel { ty, sid, subid, .. } => {
                self.subs.remove(&subid);
                Response::EventAdd {
                    ty,
                    count: 0,
                    status: EcaStatus(sid.0),
                    subid,
                    data: Data(&[]),
                }
                .encode_into(&mut self.out);
            }
            Request::Echo {
                data_type,
                count,
                p1,
                p2,
                data,
            } => Response::Echo {
                data_type,
                count,
                p1,
                p2,
                data,
            }
            .encode_into(&mut self.out),
            _ => {}
        }
    }

    fn create(&mut self, shared: &mut Shared, frame: &Frame<'_>, cid: Cid, name: String) {
        let Some(value) = shared.pvs.get(&name) else {
            if shared.minor >= 6 {
                tcp::Response::CreateChFail { cid }.encode_into(&mut self.out);
            } else {
                tcp::Response::Error {
                    cid,
                    status: EcaStatus::BADCHID,
                    body: ErrorBody::new(frame.header, "no such PV"),
                }
                .encode_into(&mut self.out);
            }
            return;
        };
        let count = value.count();
        shared.next_sid += 1;
        let sid = Sid(shared.next_sid);
        let rights = AccessRights::ALL.bits();
        tcp::Response::AccessRights { cid, rights }.encode_into(&mut self.out);
        let created = tcp::Response::CreateChan {
            ty: DOUBLE,
            // All that a short header can say.
            count: if shared.minor < 9 {
                count.min(0xfffe)
            } else {
                count
            },
            cid,
            sid,
        };
        created.encode_into(&mut self.out);
        self.channels.insert(sid, Channel { name, cid });
    }

    fn write(&mut self, shared: &mut Shared, ty: DbrType, sid: Sid, data: Data<'_>) {
        let name = self.channels[&sid].name.clone();
        let value = match ty {
            DOUBLE => {
                let numbers = data.0.chunks_exact(8);
                let numbers = numbers.map(|bytes| f64::from_be_bytes(bytes.try_into().unwrap()));
                Value::from(numbers.collect::<Vec<_>>())
            }
            other => return shared.complain(format!("{name} is written as {other}")),
        };
        shared.pvs.insert(name.clone(), value);
        self.updates(shared, &name);
        shared.each(|shared, c| c.updates(shared, &name));
    }

    fn updates(&mut self, shared: &mut Shared, name: &str) {
        let subs = self.subs.iter();
        let of_it = subs.filter(|(_, sub)| self.channels[&sub.sid].name == name);
        let of_it: Vec<SubId> = of_it.map(|(id, _)| *id).collect();
        for subid in of_it {
            self.update(shared, subid);
        }
    }

    fn update(&mut self, shared: &mut Shared, subid: SubId) {
        let Monitor { sid, ty, count } = self.subs[&subid];
        let (count, data) = shared.data(&self.channels[&sid].name, ty, count);
        let update = tcp::Response::EventAdd {
            ty,
            count,
            status: EcaStatus::NORMAL,
            subid,
            data: Data(&data),
        };
        update.encode_into(&mut self.out);
    }
}
