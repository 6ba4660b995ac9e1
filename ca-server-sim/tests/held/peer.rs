//! An IOC and peers that do not read, with what a driver holds for them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_proto::config::ServerParams;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use ca_proto::server::Limit;
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Command, Deframer, Header, Minor, SendQueue, tcp};
use ca_proto::{EcaStatus, Instant, Timestamp};
use ca_server_sim::{Ioc, IocBuilder};

pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// Bytes that a driver reads at once.
const CHUNK: usize = 64 * 1024;
/// Requests in a chunk of an attack that has very many of them.
pub(crate) const BATCH: usize = 16;

pub(crate) const PLAIN_STRING: DbrType = DbrType::new(Family::Plain, NativeType::String);
pub(crate) const PLAIN_CHAR: DbrType = DbrType::new(Family::Plain, NativeType::Char);
pub(crate) const PLAIN_DOUBLE: DbrType = DbrType::new(Family::Plain, NativeType::Double);

pub(crate) fn start(params: ServerParams, pvs: IocBuilder) -> Ioc {
    let mut ioc = pvs.params(params).build().expect("valid PVs");
    ioc.start(at(0), Timestamp::from_unix(1_800_000_000, 0), 5064);
    ioc
}

pub(crate) fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

/// A circuit with what its driver holds: the deframer, the rest of a chunk, and the queue that is being
/// sent.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) circuit: CircuitId,
    deframer: Deframer,
    held: Vec<u8>,
    unsent: SendQueue,
    created: u32,
}

/// A reply: the number of the command, P1 and P2.
pub(crate) type Reply = (u16, u32, u32);

impl Peer {
    pub(crate) fn connect(ioc: &mut Ioc, host: Ipv4Addr) -> Option<Self> {
        let circuit = ioc.accept(at(0), SocketAddrV4::new(host, 4000))?;
        let mut peer = Self {
            circuit,
            deframer: Deframer::new(ioc.limits(circuit)),
            held: Vec::new(),
            unsent: SendQueue::new(),
            created: 0,
        };
        peer.drain(ioc);
        peer.send(
            ioc,
            &tcp::Request::Version {
                priority: 0,
                minor: Minor::CURRENT,
                sequence: 0,
            },
        );
        Some(peer)
    }

    /// Sends a request; false if the IOC does not read it to its end, or has something to send then.
    pub(crate) fn send(&mut self, ioc: &mut Ioc, request: &tcp::Request<'_>) -> bool {
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        self.send_bytes(ioc, &bytes) == bytes.len()
            && self.unsent.is_empty()
            && self.held.is_empty()
    }

    /// Hands in bytes as a driver does, in chunks, and only while nothing waits to be sent. Returns how
    /// many were taken.
    pub(crate) fn send_bytes(&mut self, ioc: &mut Ioc, bytes: &[u8]) -> usize {
        let mut taken = 0;
        for chunk in bytes.chunks(CHUNK) {
            if !self.take(ioc) || !self.held.is_empty() {
                break;
            }
            taken += chunk.len();
            let handled = ioc.handle_chunk(at(0), self.circuit, &mut self.deframer, chunk);
            let Ok(handled) = handled else { break };
            self.held = chunk[handled..].to_vec();
        }
        self.take(ioc);
        taken
    }

    /// Takes over what there is to send; true if there is nothing.
    pub(crate) fn take(&mut self, ioc: &mut Ioc) -> bool {
        // Twice: replies that take long to make begin with the first look.
        for _ in 0..2 {
            work(ioc);
            if self.unsent.is_empty()
                && let Some(queue) = ioc.transmit(self.circuit)
            {
                std::mem::swap(queue, &mut self.unsent);
            }
        }
        self.unsent.is_empty()
    }

    /// Reads everything, and has the rest of what was sent handled.
    pub(crate) fn read(&mut self, ioc: &mut Ioc) -> Vec<Reply> {
        let bytes = self.read_bytes(ioc);
        messages(&bytes)
            .map(|(header, _)| (header.command.0, header.p1, header.p2))
            .collect()
    }

    /// As [`read`](Self::read): the updates of `PLAIN_DOUBLE` with the identifiers of their subscriptions, in order.
    pub(crate) fn read_updates(&mut self, ioc: &mut Ioc) -> Vec<(SubId, f64)> {
        let bytes = self.read_bytes(ioc);
        messages(&bytes)
            .filter(|(header, _)| header.command == Command::EVENT_ADD)
            .filter_map(|(header, data)| {
                let value = f64::from_be_bytes(*data.first_chunk()?);
                Some((SubId(header.p2), value))
            })
            .collect()
    }

    fn read_bytes(&mut self, ioc: &mut Ioc) -> Vec<u8> {
        let mut bytes = Vec::new();
        loop {
            self.take(ioc);
            bytes.extend(self.unsent.to_vec());
            let empty = self.unsent.is_empty();
            self.unsent = SendQueue::new();
            let held = std::mem::take(&mut self.held);
            if !held.is_empty() {
                let handled = ioc.handle_chunk(at(0), self.circuit, &mut self.deframer, &held);
                self.held = held[handled.unwrap_or(held.len())..].to_vec();
            } else if empty {
                break;
            }
        }
        while ioc.poll_woken().is_some() {}
        bytes
    }

    /// Reads until nothing comes, without looking at it.
    pub(crate) fn drain(&mut self, ioc: &mut Ioc) {
        while !self.take(ioc) {
            self.unsent.advance(self.unsent.len());
        }
    }

    /// Creates a channel; `None` if it is refused. Its identifier is the number of the channels
    /// before, as none is deleted.
    pub(crate) fn create(&mut self, ioc: &mut Ioc, name: &str) -> Option<Sid> {
        let sid = Sid(self.created);
        let before = ioc.circuit(self.circuit)?.channel_count();
        self.send(
            ioc,
            &tcp::Request::CreateChan {
                cid: Cid(sid.0),
                minor: Minor::CURRENT,
                name: Text::new(name.as_bytes()),
            },
        );
        self.drain(ioc);
        if ioc.circuit(self.circuit)?.channel_count() == before {
            return None;
        }
        self.created += 1;
        Some(sid)
    }

    /// Creates channels, a few in each chunk, until one is refused or there are so many; how many there are
    /// more. The first new identifier is the number of the channels before.
    pub(crate) fn create_many(
        &mut self,
        ioc: &mut Ioc,
        most: usize,
        name: impl Fn(u32) -> String,
    ) -> u32 {
        let first = self.created;
        let channels = |ioc: &Ioc, id| ioc.circuit(id).map_or(0, |c| c.channel_count());
        loop {
            let made = self.created - first;
            let batch = BATCH.min(most - made as usize);
            if batch == 0 {
                return made;
            }
            let mut bytes = Vec::new();
            for n in (made..).take(batch) {
                tcp::Request::CreateChan {
                    cid: Cid(first + n),
                    minor: Minor::CURRENT,
                    name: Text::new(name(n).as_bytes()),
                }
                .encode_into(&mut bytes);
            }
            let before = channels(ioc, self.circuit);
            self.send_all(ioc, &bytes);
            let more = channels(ioc, self.circuit) - before;
            self.created += more as u32;
            if more < batch {
                return self.created - first;
            }
        }
    }

    /// Hands in a chunk to its end, and reads what comes.
    pub(crate) fn send_all(&mut self, ioc: &mut Ioc, bytes: &[u8]) {
        self.send_bytes(ioc, bytes);
        self.drain(ioc);
        while !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            let handled = ioc.handle_chunk(at(0), self.circuit, &mut self.deframer, &held);
            self.held = held[handled.unwrap_or(held.len())..].to_vec();
            self.drain(ioc);
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        ioc: &mut Ioc,
        sid: Sid,
        (ty, count): (DbrType, u32),
    ) -> bool {
        self.send(
            ioc,
            &tcp::Request::EventAdd {
                ty,
                count,
                sid,
                subid: SubId(1),
                mask: EventMask::VALUE,
            },
        )
    }

    pub(crate) fn read_notify(
        &mut self,
        ioc: &mut Ioc,
        sid: Sid,
        (ty, count): (DbrType, u32),
    ) -> bool {
        self.send(
            ioc,
            &tcp::Request::ReadNotify {
                ty,
                count,
                sid,
                ioid: Ioid(7),
            },
        )
    }

    pub(crate) fn put_notify(
        &mut self,
        ioc: &mut Ioc,
        sid: Sid,
        (ty, count): (DbrType, u32),
        data: &[u8],
    ) -> bool {
        self.send(
            ioc,
            &tcp::Request::WriteNotify {
                ty,
                count,
                sid,
                ioid: Ioid(7),
                data: Data(data),
            },
        )
    }

    /// The beginning of an ECHO whose payload has `announced` bytes; returns how many of its bytes were
    /// taken.
    pub(crate) fn begin_echo(&mut self, ioc: &mut Ioc, announced: u32, sent: usize) -> usize {
        let mut bytes = Vec::new();
        Header {
            payload_len: announced,
            ..Header::new(Command::ECHO)
        }
        .encode(&mut bytes);
        self.send_bytes(ioc, &bytes);
        let mut taken = 0;
        while taken < sent {
            let chunk = &[0; CHUNK][..CHUNK.min(sent - taken)];
            match self.send_bytes(ioc, chunk) {
                0 => break,
                more => taken += more,
            }
        }
        taken
    }

    /// Channels that were created, whether they exist or not.
    pub(crate) const fn channels(&self) -> u32 {
        self.created
    }

    pub(crate) fn clear(&mut self, ioc: &mut Ioc, sid: Sid, cid: Cid) {
        self.send(
            ioc,
            &tcp::Request::ClearChannel {
                data_type: 0,
                count: 0,
                sid,
                cid,
            },
        );
    }

    pub(crate) fn is_open(&self, ioc: &Ioc) -> bool {
        !ioc.is_broken(self.circuit)
    }

    pub(crate) fn held(&self, ioc: &Ioc) -> usize {
        ioc.circuit(self.circuit)
            .map_or(0, |circuit| circuit.held())
    }

    pub(crate) fn close(self, ioc: &mut Ioc) {
        let circuit = self.circuit;
        drop(self);
        ioc.handle_closed(at(0), circuit);
        work(ioc);
        while ioc.poll_woken().is_some() {}
    }
}

/// Messages with their payloads.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (header, len) = Header::decode(rest, true)?;
        let (message, behind) = rest.split_at(len + header.payload_len as usize);
        rest = behind;
        Some((header, &message[len..]))
    })
}

/// Has everything done that is left for later turns.
pub(crate) fn work(ioc: &mut Ioc) {
    while ioc.has_work() {
        ioc.work(at(0));
    }
}

/// Times that a limit of bytes was met.
pub(crate) fn refused(ioc: &Ioc) -> u64 {
    let limits = ioc.stats().limits;
    [Limit::CircuitBytes, Limit::HostBytes, Limit::WaitingPuts]
        .map(|limit| limits.get(limit))
        .iter()
        .sum()
}

/// The last status that put-notifies were answered with.
pub(crate) fn put_status(replies: &[Reply]) -> Option<EcaStatus> {
    let mut answers = replies
        .iter()
        .filter(|reply| reply.0 == Command::WRITE_NOTIFY.0);
    answers.next_back().map(|reply| EcaStatus(reply.1))
}
