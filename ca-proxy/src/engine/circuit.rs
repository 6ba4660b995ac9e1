//! A circuit: its two directions, what is known of its channels, and the faults on its way.

use std::net::SocketAddrV4;
use std::time::Duration;

use bytes::Bytes;
use ca_proto::Instant;
use ca_proto::wire::dump::{self, DumpFrame};
use ca_proto::wire::{Command, Frame, Header, tcp};

use super::book::Book;
use super::edit;
use super::guard::is_put;
use super::input::Piece;
use super::lane::{Lane, Output, Stall};
use super::log::Log;
use super::rules::{Fault, Rules};
use crate::rule::{Action, Direction, How, Sight, Transport};

/// Port of this proxy that leads to a server, if there is one.
pub(crate) type PortFor<'a> = &'a mut dyn FnMut(SocketAddrV4) -> Option<u16>;

/// What a circuit needs of its surroundings while it works.
pub(super) struct Desk<'a> {
    pub(super) now: Instant,
    pub(super) rules: &'a mut Rules,
    pub(super) log: &'a mut Log,
    /// Nothing is written through this proxy.
    pub(super) read_only: bool,
}

#[derive(Debug)]
pub(super) struct Circuit {
    pub(super) id: u64,
    pub(super) client: SocketAddrV4,
    pub(super) server: SocketAddrV4,
    lanes: [Lane; 2],
    pub(super) book: Book,
    /// Set by hand: the circuit ends as soon as its driver looks.
    pub(super) cut: Option<How>,
    pub(super) bytes: [u64; 2],
    pub(super) frames: [u64; 2],
    pub(super) faults: u64,
    /// Puts answered in place of the server.
    pub(super) refused_puts: u64,
    /// Answers of our own that wait for the end of a message that passes in pieces.
    pub(super) owed: Vec<(Option<u32>, Bytes)>,
}

/// What becomes of a message, after all rules.
#[derive(Default)]
struct Fate {
    drop: bool,
    delay: Duration,
    line: bool,
    copies: u32,
    reorder: Option<Duration>,
    cut: Option<(u64, How)>,
}

impl Circuit {
    pub(super) fn new(id: u64, client: SocketAddrV4, server: SocketAddrV4) -> Self {
        Self {
            id,
            client,
            server,
            lanes: [Lane::default(), Lane::default()],
            book: Book::default(),
            cut: None,
            bytes: [0; 2],
            frames: [0; 2],
            faults: 0,
            refused_puts: 0,
            owed: Vec::new(),
        }
    }

    pub(super) const fn lane(&mut self, way: Direction) -> &mut Lane {
        &mut self.lanes[way.index()]
    }

    /// Channels that the rules know by name.
    pub(super) fn channels(&self) -> usize {
        self.book.len()
    }

    /// Applies a fault of the circuit as a whole.
    pub(super) fn fault(&mut self, now: Instant, fault: &Fault, rules: &Rules) {
        let covers = |way| rules.rule(fault.rule).is_some_and(|rule| rule.covers(way));
        for way in Direction::BOTH.into_iter().filter(|&way| covers(way)) {
            let lane = self.lane(way);
            match fault.action {
                Action::Stall { by } => lane.stall = Some(stall(now, by, fault.rule)),
                Action::Cut { bytes, how } => lane.cut_at = Some((bytes, how)),
                _ => {}
            }
        }
        self.faults += 1;
    }

    /// Takes in bytes of one side.
    pub(super) fn received(
        &mut self,
        desk: &mut Desk<'_>,
        way: Direction,
        chunk: &[u8],
        port_for: PortFor<'_>,
    ) {
        self.bytes[way.index()] += chunk.len() as u64;
        self.lane(way).input.feed(chunk);
        while let Some(piece) = self.lane(way).input.next() {
            match piece {
                Piece::Raw(data) => self.raw(desk, way, data),
                Piece::Message(header, len, data) => {
                    self.frames[way.index()] += 1;
                    self.message(desk, way, header, len, data, port_for);
                }
            }
        }
        self.pay(desk.now);
    }

    /// The side will send nothing more.
    pub(super) fn ended(&mut self, desk: &mut Desk<'_>, way: Direction) {
        let rest = self.lane(way).input.rest();
        let guarded = desk.read_only && way == Direction::Request;
        if !rest.is_empty() && !guarded {
            self.raw(desk, way, rest);
        }
        self.lane(way).push_end(desk.now);
    }

    fn raw(&mut self, desk: &mut Desk<'_>, way: Direction, data: Bytes) {
        if desk.read_only && way == Direction::Request {
            return self.refuse_raw(desk);
        }
        let len = data.len();
        desk.log.trace(desk.now, || {
            format!("#{} {} {len} bytes as they are", self.id, way.arrow())
        });
        self.lane(way).push_raw(desk.now, data);
    }

    fn message(
        &mut self,
        desk: &mut Desk<'_>,
        way: Direction,
        header: Header,
        header_len: usize,
        mut data: Bytes,
        port_for: PortFor<'_>,
    ) {
        let id = self.id;
        let frame = Frame::new(header, data.get(header_len..).unwrap_or_default());
        let direction = match way {
            Direction::Request => dump::Direction::TcpRequest,
            Direction::Response => dump::Direction::TcpResponse,
        };
        let text = || {
            let frame = &frame;
            DumpFrame { frame, direction }.to_string()
        };
        desk.log
            .trace(desk.now, || format!("#{id} {} {}", way.arrow(), text()));
        let cid = self.note(&frame, way);
        if desk.read_only && way == Direction::Request && is_put(header.command) {
            return self.refuse_put(desk, &header, cid);
        }
        let faults = desk.rules.judge(&Sight {
            command: Some(header.command),
            direction: Some(way),
            transport: Transport::Tcp,
            name: cid.and_then(|cid| self.book.name(cid)),
        });
        for fault in &faults {
            desk.log.fault(desk.now, desk.rules, fault, || {
                format!("#{id} {} {}", way.arrow(), text())
            });
        }
        self.faults += faults.len() as u64;
        if (way, header.command) == (Direction::Response, Command::SEARCH) {
            match edit::reply(&data, self.server, port_for) {
                Some(edited) => data = edited,
                None => return,
            }
        }
        let fate = self.apply(desk, way, &header, header_len, &mut data, faults);
        if desk.read_only && (way, header.command) == (Direction::Response, Command::ACCESS_RIGHTS)
        {
            data = edit::without_write(data);
        }
        self.send(desk.now, way, cid, data, &fate);
        if header.command == Command::CLEAR_CHANNEL
            && way == Direction::Response
            && let Some(cid) = cid
        {
            self.book.forget(cid);
        }
    }

    fn note(&mut self, frame: &Frame<'_>, way: Direction) -> Option<u32> {
        match way {
            Direction::Request => self.book.request(&tcp::Request::parse(frame).ok()?),
            Direction::Response => self.book.response(&tcp::Response::parse(frame).ok()?),
        }
    }

    /// Applies what changes the message or the line; the rest is left to [`send`](Self::send).
    fn apply(
        &mut self,
        desk: &mut Desk<'_>,
        way: Direction,
        header: &Header,
        header_len: usize,
        data: &mut Bytes,
        faults: Vec<Fault>,
    ) -> Fate {
        let mut fate = Fate::default();
        for fault in faults {
            match fault.action {
                Action::Drop => fate.drop = true,
                Action::Delay { by, .. } => {
                    fate.delay += by;
                    fate.line |= fault.whole_line;
                }
                Action::Duplicate { copies } => fate.copies += copies,
                Action::Reorder { by } => fate.reorder = Some(by),
                Action::Cut { bytes, how } => fate.cut = Some((bytes, how)),
                Action::Stall { by } => {
                    self.lane(way).stall = Some(stall(desk.now, by, fault.rule));
                }
                Action::Corrupt { field, value } => {
                    let random = desk.rules.random(fault.rule);
                    *data = edit::corrupt(data, header_len, field, value, random);
                }
                Action::Rights(rights) => {
                    *data = edit::rights(data, rights.edit(header.p2));
                }
                Action::Refuse | Action::Throttle { .. } | Action::Storm { .. } => {}
            }
        }
        fate
    }

    fn send(
        &mut self,
        now: Instant,
        way: Direction,
        key: Option<u32>,
        mut data: Bytes,
        fate: &Fate,
    ) {
        let lane = self.lane(way);
        if fate.drop {
            return;
        }
        if let Some((bytes, how)) = fate.cut {
            let keep = usize::try_from(bytes).map_or(data.len(), |n| n.min(data.len()));
            data.truncate(keep);
            return lane.push_last(now, key, data, how, fate.delay);
        }
        if let Some(by) = fate.reorder {
            lane.hold(now, key, data.clone(), fate.delay, by);
        } else {
            lane.push(now, key, data.clone(), fate.delay, fate.line);
        }
        for _ in 0..fate.copies {
            lane.push(now, key, data.clone(), Duration::ZERO, false);
        }
    }

    /// Tells the client its rights anew, of the channels that a rule is about.
    pub(super) fn announce_rights(&mut self, desk: &mut Desk<'_>, rule: usize) {
        if self.lane(Direction::Response).input.is_raw() {
            // A message of ours would land in the middle of another.
            return;
        }
        let known = self
            .book
            .channels()
            .into_iter()
            .filter_map(|(cid, channel)| {
                let about = desk.rules.rule(rule)?.name_matches(Some(&channel.name));
                Some((cid, channel.name.clone(), channel.rights?)).filter(|_| about)
            });
        for (cid, name, real) in known.collect::<Vec<_>>() {
            let faults = desk.rules.judge(&Sight {
                command: Some(Command::ACCESS_RIGHTS),
                direction: Some(Direction::Response),
                transport: Transport::Tcp,
                name: Some(&name),
            });
            self.faults += faults.len() as u64;
            for fault in &faults {
                let text = || format!("#{} < ACCESS_RIGHTS cid={cid} anew", self.id);
                desk.log.fault(desk.now, desk.rules, fault, text);
            }
            let header = Header {
                p1: cid,
                p2: real,
                ..Header::new(Command::ACCESS_RIGHTS)
            };
            let mut data = Vec::new();
            header.encode(&mut data);
            let mut data = Bytes::from(data);
            let len = data.len();
            let way = Direction::Response;
            let fate = self.apply(desk, way, &header, len, &mut data, faults);
            if desk.read_only {
                data = edit::without_write(data);
            }
            self.send(desk.now, way, Some(cid), data, &fate);
        }
    }

    /// What the driver is to do in a direction.
    pub(super) fn output(&mut self, now: Instant, rules: &Rules, way: Direction) -> Output {
        if let Some(how) = self.cut {
            return Output::Cut(how);
        }
        let lane = self.lane(way);
        let stalled = match lane.stall {
            Some(Stall::Until(end)) => now < end,
            Some(Stall::While(rule)) => rules.is_on(rule),
            None => false,
        };
        if !stalled {
            lane.stall = None;
        }
        lane.output(now, rules.rate(way), stalled)
    }

    pub(super) fn wake(&self) -> Option<Instant> {
        self.lanes.iter().filter_map(Lane::wake).min()
    }
}

fn stall(now: Instant, by: Option<Duration>, rule: usize) -> Stall {
    match by {
        Some(by) => Stall::Until(now.checked_add(by).unwrap_or(Instant::MAX)),
        None => Stall::While(rule),
    }
}
