//! A started IOC and clients that speak in messages; no sockets, a clock that the test turns.
#![allow(dead_code)] // Each test file uses a part.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType, Reading, Value};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::server::Violation;
use ca_proto::wire::message::{Data, EventMask, Text, tcp};
use ca_proto::wire::{Command, Deframer, FrameLimits, Minor};
use ca_proto::{EcaStatus, Instant, Timestamp};
use ca_server_sim::{Ioc, IocBuilder};

pub(crate) const START: Timestamp = Timestamp {
    secs: 1_000_000_000,
    nanos: 0,
};

pub(crate) struct Rig {
    pub(crate) ioc: Ioc,
    pub(crate) now: Instant,
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) command: Command,
    pub(crate) p1: u32,
    pub(crate) p2: u32,
    pub(crate) ty: DbrType,
    pub(crate) count: u32,
    /// Present if there is a payload that is a DBR structure.
    pub(crate) reading: Option<Reading>,
}

impl Reply {
    pub(crate) fn status(&self) -> EcaStatus {
        EcaStatus(self.p1)
    }

    pub(crate) fn f64(&self) -> f64 {
        self.reading.as_ref().unwrap().get_f64(0).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        self.reading.as_ref().unwrap().string(0).unwrap()
    }
}

pub(crate) struct Client {
    pub(crate) id: CircuitId,
    input: Deframer,
    output: Deframer,
    /// Sent and not yet handled.
    waiting: Vec<u8>,
    next_id: u32,
}

impl Rig {
    pub(crate) fn new(builder: IocBuilder) -> Self {
        let mut ioc = builder.build().unwrap();
        let now = Instant::ZERO + Duration::from_secs(1);
        ioc.start(now, START, 5064);
        ioc.handle_timeout(now);
        Self { ioc, now }
    }

    /// A circuit of a 4.13 client from the given host.
    pub(crate) fn client_from(&mut self, host: Ipv4Addr) -> Client {
        self.client_of_version(host, 13)
    }

    pub(crate) fn client(&mut self) -> Client {
        self.client_from(Ipv4Addr::LOCALHOST)
    }

    /// A circuit of a client that says these names.
    pub(crate) fn client_named(&mut self, user: &str, host: &str) -> Client {
        let mut client = self.client();
        for request in [
            tcp::Request::ClientName {
                name: Text::new(user.as_bytes()),
            },
            tcp::Request::HostName {
                name: Text::new(host.as_bytes()),
            },
        ] {
            assert!(client.ask(self, &request).is_empty());
        }
        client
    }

    pub(crate) fn client_of_version(&mut self, host: Ipv4Addr, minor: u16) -> Client {
        let id = self.ioc.accept(self.now, SocketAddrV4::new(host, 4000));
        let id = id.unwrap();
        let mut client = Client {
            id,
            input: Deframer::new(self.ioc.limits(id)),
            output: Deframer::new(FrameLimits {
                max_payload: 1 << 28,
                extended: true,
            }),
            waiting: Vec::new(),
            next_id: 100,
        };
        let version = tcp::Request::Version {
            priority: 0,
            minor: Minor(minor),
            sequence: 0,
        };
        let replies = client.ask(self, &version);
        assert_eq!(commands(&replies), [Command::VERSION]);
        client
    }

    /// Turns the clock, stopping at each deadline on the way.
    pub(crate) fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.ioc.poll_timeout().filter(|&at| at <= end) {
            assert!(at >= self.now, "deadlines do not lie in the past");
            self.now = at;
            self.ioc.handle_timeout(at);
            assert!(self.ioc.poll_timeout().is_none_or(|next| next > at));
        }
        self.now = end;
    }
}

impl Client {
    pub(crate) fn try_ask(
        &mut self,
        rig: &mut Rig,
        request: &tcp::Request<'_>,
    ) -> Result<(), Violation> {
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        self.waiting.extend_from_slice(&bytes);
        self.pump(rig)
    }

    /// Hands in what waits, as far as the IOC takes it now.
    fn pump(&mut self, rig: &mut Rig) -> Result<(), Violation> {
        loop {
            let done = rig
                .ioc
                .handle_chunk(rig.now, self.id, &mut self.input, &self.waiting)?;
            self.waiting.drain(..done);
            if !rig.ioc.is_pressed() {
                return Ok(());
            }
            while rig.ioc.has_work() {
                rig.ioc.work(rig.now);
            }
            if done == 0 {
                return Ok(());
            }
        }
    }

    pub(crate) fn ask(&mut self, rig: &mut Rig, request: &tcp::Request<'_>) -> Vec<Reply> {
        self.try_ask(rig, request).unwrap();
        self.received(rig)
    }

    /// What the IOC has to send now.
    pub(crate) fn received(&mut self, rig: &mut Rig) -> Vec<Reply> {
        let mut replies = Vec::new();
        while let Some(queue) = rig.ioc.transmit(self.id) {
            let bytes = queue.to_vec();
            queue.clear();
            if !self.waiting.is_empty() && rig.ioc.is_readable(self.id) {
                self.pump(rig).unwrap();
            } else if bytes.is_empty() {
                break;
            }
            let mut frames = self.output.frames(&bytes);
            while let Some(frame) = frames.next() {
                let frame = frame.unwrap();
                let h = frame.header;
                let ty = DbrType(h.data_type);
                let carries = matches!(h.command, Command::EVENT_ADD | Command::READ_NOTIFY)
                    && h.payload_len > 0
                    && h.p1 == EcaStatus::NORMAL.0;
                replies.push(Reply {
                    command: h.command,
                    p1: h.p1,
                    p2: h.p2,
                    ty,
                    count: h.count,
                    reading: carries.then(|| Reading::from_frame(ty, h.count, &frame).unwrap()),
                });
            }
        }
        replies
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    /// Creates a channel, which must succeed: its server id, native type and count.
    pub(crate) fn create(&mut self, rig: &mut Rig, name: &str) -> (Sid, NativeType, u32) {
        self.try_create(rig, name)
            .unwrap_or_else(|| panic!("{name} is not served"))
    }

    pub(crate) fn try_create(
        &mut self,
        rig: &mut Rig,
        name: &str,
    ) -> Option<(Sid, NativeType, u32)> {
        self.create_with(rig, name, 13)
    }

    /// CREATE_CHAN of a client of this version, which counts for the whole circuit; all replies.
    pub(crate) fn create_replies(&mut self, rig: &mut Rig, name: &str, minor: u16) -> Vec<Reply> {
        let request = tcp::Request::CreateChan {
            cid: Cid(self.id()),
            minor: Minor(minor),
            name: Text::new(name.as_bytes()),
        };
        self.ask(rig, &request)
    }

    /// As [`try_create`](Self::try_create), of a client of this version.
    pub(crate) fn create_with(
        &mut self,
        rig: &mut Rig,
        name: &str,
        minor: u16,
    ) -> Option<(Sid, NativeType, u32)> {
        let replies = self.create_replies(rig, name, minor);
        let last = replies.last().unwrap();
        (last.command == Command::CREATE_CHAN).then(|| {
            let native = NativeType::from_code(last.ty.0).unwrap();
            (Sid(last.p2), native, last.count)
        })
    }

    /// READ_NOTIFY; the reply of it alone.
    pub(crate) fn read(&mut self, rig: &mut Rig, sid: Sid, ty: DbrType, count: u32) -> Reply {
        let ioid = Ioid(self.id());
        let request = tcp::Request::ReadNotify {
            ty,
            count,
            sid,
            ioid,
        };
        let mut replies = self.ask(rig, &request);
        let at = replies
            .iter()
            .position(|r| r.command == Command::READ_NOTIFY && r.p2 == ioid.0);
        replies.swap_remove(at.unwrap())
    }

    pub(crate) fn read_name(&mut self, rig: &mut Rig, name: &str, ty: DbrType) -> Reply {
        let (sid, ..) = self.create(rig, name);
        self.read(rig, sid, ty, 0)
    }

    pub(crate) fn subscribe(
        &mut self,
        rig: &mut Rig,
        sid: Sid,
        ty: DbrType,
        mask: EventMask,
    ) -> SubId {
        let subid = SubId(self.id());
        let request = tcp::Request::EventAdd {
            ty,
            count: 0,
            sid,
            subid,
            mask,
        };
        let replies = self.ask(rig, &request);
        assert_eq!(commands(&replies), [Command::EVENT_ADD], "the first update");
        subid
    }

    /// WRITE; the replies, which are updates or an error.
    pub(crate) fn write(&mut self, rig: &mut Rig, sid: Sid, value: &Value) -> Vec<Reply> {
        self.write_as(rig, sid, DbrType(value.native() as u16), value)
    }

    pub(crate) fn write_as(
        &mut self,
        rig: &mut Rig,
        sid: Sid,
        ty: DbrType,
        value: &Value,
    ) -> Vec<Reply> {
        let request = tcp::Request::Write {
            ty,
            count: value.count(),
            sid,
            cid: Cid(0),
            data: Data(value.as_ref().data),
        };
        self.ask(rig, &request)
    }

    /// WRITE_NOTIFY; its identifier and the replies so far.
    pub(crate) fn write_notify(
        &mut self,
        rig: &mut Rig,
        sid: Sid,
        value: &Value,
    ) -> (u32, Vec<Reply>) {
        let ioid = self.id();
        let request = tcp::Request::WriteNotify {
            ty: DbrType(value.native() as u16),
            count: value.count(),
            sid,
            ioid: Ioid(ioid),
            data: Data(value.as_ref().data),
        };
        (ioid, self.ask(rig, &request))
    }

    /// WRITE_NOTIFY that completes at once: its status.
    pub(crate) fn put(&mut self, rig: &mut Rig, sid: Sid, value: &Value) -> EcaStatus {
        let (ioid, replies) = self.write_notify(rig, sid, value);
        completion(&replies, ioid).expect("the put completes at once")
    }

    pub(crate) fn close(self, rig: &mut Rig) {
        rig.ioc.handle_closed(rig.now, self.id);
    }
}

/// The status with which a write-notify was answered.
pub(crate) fn completion(replies: &[Reply], ioid: u32) -> Option<EcaStatus> {
    let mut answers = replies
        .iter()
        .filter(|r| r.command == Command::WRITE_NOTIFY && r.p2 == ioid);
    let first = answers.next().map(Reply::status);
    assert!(answers.next().is_none(), "one answer only");
    first
}

pub(crate) fn commands(replies: &[Reply]) -> Vec<Command> {
    replies.iter().map(|reply| reply.command).collect()
}

/// Values of the updates among the replies.
pub(crate) fn updates(replies: &[Reply]) -> Vec<f64> {
    replies
        .iter()
        .filter(|r| r.command == Command::EVENT_ADD)
        .map(Reply::f64)
        .collect()
}

pub(crate) const DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);
pub(crate) const LONG: DbrType = DbrType::new(Family::Plain, NativeType::Long);
pub(crate) const STRING: DbrType = DbrType::new(Family::Plain, NativeType::String);
pub(crate) const CHAR: DbrType = DbrType::new(Family::Plain, NativeType::Char);
pub(crate) const TIME_DOUBLE: DbrType = DbrType::new(Family::Time, NativeType::Double);
pub(crate) const CTRL_DOUBLE: DbrType = DbrType::new(Family::Ctrl, NativeType::Double);
pub(crate) const CTRL_ENUM: DbrType = DbrType::new(Family::Ctrl, NativeType::Enum);
