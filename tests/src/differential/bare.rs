//! A circuit of bare messages: what a server says, as text that can be compared.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

use ca_proto::dbr::{DbrType, NativeType, Reading, Value};
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text, tcp};
use ca_proto::wire::{Command, Deframer, FrameLimits, Minor};

/// Requests that are under way together.
const WINDOW: usize = 100;

/// A channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Channel {
    /// The server's identifier.
    pub sid: Sid,
    /// Type of the field.
    pub native: NativeType,
    /// Elements.
    pub count: u32,
    /// What may be done.
    pub rights: u32,
    /// The client's identifier.
    pub cid: u32,
}

/// A connection to a server on the loopback interface.
#[derive(Debug)]
pub struct Circuit {
    stream: TcpStream,
    frames: Deframer,
    buffer: Vec<u8>,
    next: u32,
    /// Updates by subscription, as text.
    updates: Vec<(u32, String)>,
    /// Rights that were told, by the client's identifier of the channel.
    rights: Vec<(u32, u32)>,
}

/// A message that is an answer.
struct Answer {
    command: Command,
    id: u32,
    status: u32,
    ty: DbrType,
    count: u32,
    text: String,
}

impl Circuit {
    /// Connects.
    ///
    /// # Panics
    /// If nobody listens there.
    pub fn open(port: u16) -> Self {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the server listens");
        let time = Some(Duration::from_secs(10));
        stream.set_read_timeout(time).expect("a time");
        stream.set_nodelay(true).expect("no delay");
        let limits = FrameLimits {
            max_payload: 1 << 26,
            extended: true,
        };
        let mut circuit = Self {
            stream,
            frames: Deframer::new(limits),
            buffer: Vec::new(),
            next: 1000,
            updates: Vec::new(),
            rights: Vec::new(),
        };
        let mut bytes = Vec::new();
        tcp::Request::Version {
            priority: 0,
            minor: Minor(13),
            sequence: 0,
        }
        .encode_into(&mut bytes);
        circuit.send(&bytes);
        circuit
    }

    /// Connects, and says who it is.
    ///
    /// # Panics
    /// As [`open`](Self::open).
    pub fn open_as(port: u16, user: &str, host: &str) -> Self {
        let mut circuit = Self::open(port);
        let mut bytes = Vec::new();
        let (user, host) = (Text::new(user.as_bytes()), Text::new(host.as_bytes()));
        tcp::Request::ClientName { name: user }.encode_into(&mut bytes);
        tcp::Request::HostName { name: host }.encode_into(&mut bytes);
        circuit.send(&bytes);
        circuit
    }

    /// Waits for an answer to an echo: all that was to be told before has come then.
    pub fn echo(&mut self) {
        let mut bytes = Vec::new();
        tcp::Request::Echo {
            data_type: 0,
            count: 0,
            p1: 0,
            p2: 0,
            data: Data(&[]),
        }
        .encode_into(&mut bytes);
        self.send(&bytes);
        let mut heard = false;
        while !heard {
            self.receive(|answer| heard |= answer.command == Command::ECHO);
        }
    }

    /// The rights that were told last of a channel.
    pub fn rights(&self, channel: Channel) -> Option<u32> {
        let mut of = self
            .rights
            .iter()
            .rev()
            .filter(|(cid, _)| *cid == channel.cid);
        of.next().map(|(_, rights)| *rights)
    }

    /// Waits until a channel has these rights.
    pub fn wait_for_rights(&mut self, channel: Channel, rights: u32) {
        while self.rights(channel) != Some(rights) {
            self.receive(|_| {});
        }
    }

    /// Subscribes, without waiting for the first update.
    pub fn watch(&mut self, channel: Channel, ty: DbrType, mask: u16) -> u32 {
        let id = self.id();
        let mut bytes = Vec::new();
        tcp::Request::EventAdd {
            ty,
            count: 0,
            sid: channel.sid,
            subid: SubId(id),
            mask: EventMask(mask),
        }
        .encode_into(&mut bytes);
        self.send(&bytes);
        id
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the circuit stands");
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    /// Reads once, and calls back for all that is no update.
    fn receive(&mut self, each: impl FnMut(Answer)) {
        let got = self.try_receive(each);
        got.expect("the server answers in time");
    }

    fn try_receive(&mut self, mut each: impl FnMut(Answer)) -> std::io::Result<()> {
        let mut chunk = [0; 65536];
        let got = self.stream.read(&mut chunk)?;
        let peer = self.stream.peer_addr();
        assert!(got > 0, "the server at {peer:?} has closed the circuit");
        self.buffer.extend_from_slice(&chunk[..got]);
        let buffer = std::mem::take(&mut self.buffer);
        let mut frames = self.frames.frames(&buffer);
        while let Some(frame) = frames.next() {
            let frame = frame.expect("messages");
            let h = frame.header;
            let ty = DbrType(h.data_type);
            let carries = matches!(h.command, Command::EVENT_ADD | Command::READ_NOTIFY);
            let text = match carries && h.p1 == 1 {
                true => match Reading::from_frame(ty, h.count, &frame) {
                    Ok(reading) => shown(&reading, ty, h.count),
                    Err(error) => format!("{error}"),
                },
                false if carries => format!("status {:#x}", h.p1),
                false => String::new(),
            };
            if h.command == Command::ACCESS_RIGHTS {
                self.rights.push((h.p1, h.p2));
            }
            if h.command == Command::EVENT_ADD {
                self.updates.push((h.p2, text));
                continue;
            }
            let id = match h.command {
                Command::CREATE_CHAN | Command::ACCESS_RIGHTS | Command::CREATE_CH_FAIL => h.p1,
                _ => h.p2,
            };
            each(Answer {
                command: h.command,
                id,
                status: if h.command == Command::CREATE_CHAN || h.command == Command::ACCESS_RIGHTS
                {
                    h.p2
                } else {
                    h.p1
                },
                ty,
                count: h.count,
                text,
            });
        }
        Ok(())
    }

    /// Opens channels; `None` for those that there are not.
    pub fn create(&mut self, names: &[String]) -> Vec<Option<Channel>> {
        let mut all = Vec::new();
        for some in names.chunks(WINDOW) {
            let first = self.next + 1;
            let mut bytes = Vec::new();
            for name in some {
                tcp::Request::CreateChan {
                    cid: Cid(self.id()),
                    minor: Minor(13),
                    name: Text::new(name.as_bytes()),
                }
                .encode_into(&mut bytes);
            }
            self.send(&bytes);
            let mut rights = HashMap::new();
            let mut found = HashMap::new();
            while found.len() < some.len() {
                self.receive(|answer| match answer.command {
                    Command::ACCESS_RIGHTS => {
                        rights.insert(answer.id, answer.status);
                    }
                    Command::CREATE_CHAN => {
                        let native = NativeType::from_code(answer.ty.0);
                        let channel = Channel {
                            sid: Sid(answer.status),
                            native: native.expect("a type"),
                            count: answer.count,
                            rights: 0,
                            cid: answer.id,
                        };
                        found.insert(answer.id, Some(channel));
                    }
                    Command::CREATE_CH_FAIL => {
                        found.insert(answer.id, None);
                    }
                    _ => {}
                });
            }
            for id in (first..).take(some.len()) {
                let channel = found.get(&id).copied().flatten();
                all.push(channel.map(|channel| Channel {
                    rights: rights.get(&id).copied().unwrap_or(9),
                    ..channel
                }));
            }
        }
        all
    }

    /// Reads; each answer as text.
    pub fn read(&mut self, wanted: &[(Sid, DbrType, u32)]) -> Vec<String> {
        let mut all = Vec::with_capacity(wanted.len());
        for some in wanted.chunks(WINDOW) {
            let first = self.next + 1;
            let mut bytes = Vec::new();
            for &(sid, ty, count) in some {
                let ioid = Ioid(self.id());
                tcp::Request::ReadNotify {
                    ty,
                    count,
                    sid,
                    ioid,
                }
                .encode_into(&mut bytes);
            }
            self.send(&bytes);
            let mut found = HashMap::new();
            while found.len() < some.len() {
                self.receive(|answer| {
                    if matches!(answer.command, Command::READ_NOTIFY | Command::ERROR) {
                        found.insert(answer.id, answer.text);
                    }
                });
            }
            all.extend(
                (first..)
                    .take(some.len())
                    .map(|id| found.remove(&id).unwrap_or_default()),
            );
        }
        all
    }

    /// Subscribes, and drops the first update.
    pub fn subscribe(&mut self, channel: Channel, ty: DbrType, mask: u16) -> u32 {
        let id = self.id();
        let mut bytes = Vec::new();
        tcp::Request::EventAdd {
            ty,
            count: 0,
            sid: channel.sid,
            subid: SubId(id),
            mask: EventMask(mask),
        }
        .encode_into(&mut bytes);
        self.send(&bytes);
        while !self.updates.iter().any(|(of, _)| *of == id) {
            self.receive(|_| {});
        }
        self.updates.retain(|(of, _)| *of != id);
        id
    }

    /// How long it waits for an answer.
    ///
    /// # Panics
    /// If that is no time.
    pub fn set_patience(&mut self, time: Duration) {
        self.stream.set_read_timeout(Some(time)).expect("a time");
    }

    /// Writes with completion: the status.
    ///
    /// # Panics
    /// Without an answer in time.
    pub fn put(&mut self, channel: Channel, value: &Value) -> u32 {
        self.try_put(channel, value).expect("an answer in time")
    }

    /// Writes with completion: the status, if there is an answer in time.
    pub fn try_put(&mut self, channel: Channel, value: &Value) -> Option<u32> {
        let id = self.id();
        let mut bytes = Vec::new();
        tcp::Request::WriteNotify {
            ty: DbrType(value.native() as u16),
            count: value.count(),
            sid: channel.sid,
            ioid: Ioid(id),
            data: Data(value.as_ref().data),
        }
        .encode_into(&mut bytes);
        self.send(&bytes);
        let mut status = None;
        while status.is_none() {
            let got = self.try_receive(|answer| match answer.command {
                Command::WRITE_NOTIFY if answer.id == id => status = Some(answer.status),
                // What cannot be a put at all.
                Command::ERROR => status = Some(answer.id),
                _ => {}
            });
            got.ok()?;
        }
        status
    }

    /// Writes without completion: the status of the error that comes back before the answer to an echo, if
    /// there is one.
    pub fn put_quietly(&mut self, channel: Channel, value: &Value) -> Option<u32> {
        let id = self.id();
        let mut bytes = Vec::new();
        tcp::Request::Write {
            ty: DbrType(value.native() as u16),
            count: value.count(),
            sid: channel.sid,
            cid: Cid(id),
            data: Data(value.as_ref().data),
        }
        .encode_into(&mut bytes);
        let echo = tcp::Request::Echo {
            data_type: 0,
            count: 0,
            p1: 0,
            p2: 0,
            data: Data(&[]),
        };
        echo.encode_into(&mut bytes);
        self.send(&bytes);
        let (mut status, mut done) = (1, false);
        while !done {
            let got = self.try_receive(|answer| match answer.command {
                Command::ERROR => status = answer.id,
                Command::ECHO => done = true,
                _ => {}
            });
            got.ok()?;
        }
        Some(status)
    }

    /// Waits for an update of this subscription that has this text, and gives all that came before it.
    pub fn updates_until(&mut self, mark: u32, text: &str) -> Vec<(u32, String)> {
        loop {
            let at = (self.updates.iter()).position(|(of, got)| *of == mark && got.contains(text));
            if let Some(at) = at {
                let mut before: Vec<_> = self.updates.drain(..=at).collect();
                before.retain(|(of, _)| *of != mark);
                return before;
            }
            self.receive(|_| {});
        }
    }
}

/// A reading without its time, and without bytes that mean nothing.
fn shown(reading: &Reading, ty: DbrType, count: u32) -> String {
    let mut parts = vec![format!("x{count}")];
    if ty == DbrType::CLASS_NAME {
        return reading.string(0).unwrap_or_default();
    }
    if let Some(alarm) = reading.alarm() {
        parts.push(format!("{}/{}", alarm.status.0, alarm.severity.0));
    }
    if let Some(ack) = reading.acknowledge() {
        parts.push(format!("ack {ack:?}"));
    }
    if let Some(precision) = reading.precision() {
        parts.push(format!("prec {precision}"));
    }
    if let Some(units) = reading.units() {
        parts.push(format!("units {units}"));
    }
    if let Some(limits) = reading.limits() {
        let pairs = [limits.display, limits.alarm, limits.warning, limits.control];
        let pairs = pairs.map(|range| format!("{:?}..{:?}", range.lower, range.upper));
        parts.push(pairs.join(" "));
    }
    if let Some(states) = reading.states() {
        parts.push(format!("{states:?}"));
    }
    let value = reading.value();
    let elements: Vec<String> = match value.native {
        NativeType::String => (0..value.held())
            .map(|at| {
                format!(
                    "\"{}\"",
                    value.string(at).unwrap_or_default().escape_ascii()
                )
            })
            .collect(),
        _ => reading
            .to_f64s()
            .unwrap_or_default()
            .iter()
            .map(|n| format!("{n:?}"))
            .collect(),
    };
    parts.push(elements.join(","));
    parts.join(" ")
}
