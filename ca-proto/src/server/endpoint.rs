//! The UDP side of a server: answers to name searches, and beacons.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::BufMut;
use core::net::{Ipv4Addr, SocketAddrV4};

use super::beacon::Schedule;
use super::database::Database;
use super::limit::{Limit, ReplyBudget};
use crate::config::ServerParams;
use crate::ids::Cid;
use crate::time::Instant;
use crate::wire::message::{Port, SAME_ADDRESS};
use crate::wire::{Command, Frame, MAX_UDP_SEND, Minor, datagram_frames, udp};

/// Reply datagrams that wait to be sent. A search request of the largest size (64 KiB, 2730 short
/// names) makes 65; what does not fit is dropped like any datagram on a busy network, and the client
/// asks again.
const MAX_REPLIES: usize = 256;
/// Emptied reply buffers that are kept for reuse.
const MAX_SPARE: usize = 64;
/// Bytes of a search reply.
const REPLY_LEN: usize = 24;

/// What an [`Endpoint`] did so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EndpointStats {
    /// Datagrams received, ignored hosts included.
    pub datagrams: u64,
    /// Names searched for.
    pub searches: u64,
    /// Names answered.
    pub found: u64,
    /// Reply datagrams dropped because too many waited.
    pub dropped: u64,
    /// Names not answered and datagrams not looked at because of
    /// [`ServerParams::search_replies_per_second`] and its share per host.
    pub limited: u64,
    /// Datagrams of which a rest was thrown away as malformed or out of place.
    pub malformed: u64,
    /// Beacon datagrams sent.
    pub beacons: u64,
}

/// Answers searches that arrive in datagrams, and announces the server by beacons.
///
/// One endpoint serves one UDP socket. A server on several interfaces has one endpoint for each,
/// because replies have to leave through the socket that received the search
/// (`rsrv_init` of EPICS Base); only one of them should have beacon destinations.
#[derive(Debug)]
pub struct Endpoint {
    params: Arc<ServerParams>,
    tcp_port: u16,
    replies: VecDeque<(SocketAddrV4, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    schedule: Schedule,
    /// The beacon that is being sent: sequence number and index of its next destination.
    beacon: Option<(u32, usize)>,
    stats: EndpointStats,
    budget: ReplyBudget,
    /// A limit that the last datagram met.
    met: Option<Limit>,
}

impl Endpoint {
    /// An endpoint whose circuits are accepted on `tcp_port`; the first beacon is due at once.
    pub fn new(params: Arc<ServerParams>, tcp_port: u16, now: Instant) -> Self {
        Self {
            schedule: Schedule::new(params.beacon_period, now),
            params,
            tcp_port,
            replies: VecDeque::new(),
            spare: Vec::new(),
            beacon: None,
            stats: EndpointStats::default(),
            budget: ReplyBudget::new(now),
            met: None,
        }
    }

    /// Counters since the start.
    pub const fn stats(&self) -> EndpointStats {
        self.stats
    }

    /// The limit that the last datagram met, once.
    pub const fn take_limit(&mut self) -> Option<Limit> {
        self.met.take()
    }

    /// Takes a datagram. Everything that is not a search of the required form is dropped silently
    /// (`search_reply_udp` of EPICS Base).
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddrV4,
        data: &[u8],
        db: &(impl Database + ?Sized),
    ) {
        self.stats.datagrams += 1;
        if self.params.ignore_addrs.contains(from.ip()) {
            return;
        }
        if self.budget.is_spent(now, from) {
            self.stats.limited += 1;
            return;
        }
        let mut search = Search {
            minor: Minor(0),
            sequence: 0,
            reply: None,
            led: false,
            answered: 0,
            left: None,
        };
        for frame in datagram_frames(data) {
            let done = match &frame {
                Ok(frame) => self.handle_message(&mut search, from, frame, db),
                Err(_) => None,
            };
            if done.is_none() {
                self.stats.malformed += 1;
                break;
            }
        }
        if search.answered > 0 {
            self.budget.book(from, search.answered);
        }
        self.flush(&mut search, from);
    }

    /// `None`: the rest of the datagram is to be dropped.
    fn handle_message(
        &mut self,
        search: &mut Search,
        from: SocketAddrV4,
        frame: &Frame<'_>,
        db: &(impl Database + ?Sized),
    ) -> Option<()> {
        if !frame.header.payload_len.is_multiple_of(8) {
            return None;
        }
        // A datagram that does not begin with VERSION gets no answer; nothing is remembered from
        // one datagram to the next.
        if search.minor < Minor::OLDEST && frame.header.command != Command::VERSION {
            return None;
        }
        match udp::Request::parse(frame).ok()? {
            udp::Request::Version {
                minor, sequence, ..
            } => {
                if minor < Minor::OLDEST {
                    return None;
                }
                search.minor = minor;
                search.sequence = if minor.has_search_sequence() {
                    sequence
                } else {
                    0
                };
                Some(())
            }
            udp::Request::Search {
                minor, cid2, name, ..
            } => {
                if minor < Minor::OLDEST {
                    return None;
                }
                self.stats.searches += 1;
                // NOT_FOUND is never sent in a datagram, whatever the flag says.
                if !name.as_bytes().is_empty() && db.serves(name.as_bytes()) {
                    self.found(search, from, cid2);
                }
                Some(())
            }
            _ => None,
        }
    }

    fn found(&mut self, search: &mut Search, from: SocketAddrV4, cid: Cid) {
        let left = search.left;
        let (left, limit) = left.unwrap_or_else(|| self.budget.left(&self.params, from));
        search.left = Some((left, limit));
        if search.answered >= left {
            self.stats.limited += 1;
            self.met = Some(limit);
            if limit == Limit::SearchRepliesPerHost {
                self.budget.spend(from);
            }
            return;
        }
        search.answered += 1;
        self.stats.found += 1;
        if let Some(reply) = &search.reply
            && reply.len() + REPLY_LEN > MAX_UDP_SEND
        {
            self.flush(search, from);
        }
        let reply = search.reply.get_or_insert_with(|| {
            let mut buffer = self.spare.pop().unwrap_or_default();
            buffer.clear();
            search.led = search.minor.has_search_sequence();
            if search.led {
                // Written when the datagram is complete: a later VERSION may change the sequence.
                buffer.put_bytes(0, 16);
            }
            buffer
        });
        udp::Response::Search {
            port: Port(self.tcp_port),
            server: SAME_ADDRESS,
            cid,
            minor: Minor::CURRENT,
        }
        .encode_into(reply);
    }

    fn flush(&mut self, search: &mut Search, to: SocketAddrV4) {
        let Some(mut reply) = search.reply.take() else {
            return;
        };
        if self.replies.len() >= MAX_REPLIES {
            self.stats.dropped += 1;
            self.recycle(reply);
            return;
        }
        if search.led {
            udp::Response::Version {
                valid: 1,
                minor: Minor::CURRENT,
                sequence: search.sequence,
            }
            .encode_into(&mut &mut reply[..16]);
        }
        self.replies.push_back((to, reply));
    }

    fn recycle(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(buffer);
        }
    }

    /// Writes the next datagram into `buf`, which is cleared first, and returns its destination.
    pub fn poll_transmit(&mut self, _now: Instant, buf: &mut Vec<u8>) -> Option<SocketAddrV4> {
        buf.clear();
        if let Some((to, reply)) = self.replies.pop_front() {
            buf.extend_from_slice(&reply);
            self.recycle(reply);
            return Some(to);
        }
        let (sequence, index) = self.beacon?;
        let to = self.params.beacon_addrs.get(index).copied();
        self.beacon = to.map(|_| (sequence, index + 1));
        let to = to?;
        self.stats.beacons += 1;
        udp::Request::Beacon {
            minor: Minor::CURRENT,
            port: Port(self.tcp_port),
            sequence,
            server: Ipv4Addr::UNSPECIFIED,
        }
        .encode_into(buf);
        Some(to)
    }

    /// Makes the beacon that is due, if one is.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.params.beacon_addrs.is_empty() {
            return;
        }
        if let Some(sequence) = self.schedule.poll(now) {
            self.beacon = Some((sequence, 0));
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called; `None` without beacon
    /// destinations.
    pub fn poll_timeout(&self) -> Option<Instant> {
        (!self.params.beacon_addrs.is_empty()).then(|| self.schedule.next())
    }
}

/// What a datagram has said so far.
struct Search {
    minor: Minor,
    sequence: u32,
    reply: Option<Vec<u8>>,
    /// Whether the reply begins with room for a VERSION message.
    led: bool,
    /// Names answered.
    answered: u32,
    /// Names that may be answered, and the limit behind that; asked for with the first name found.
    left: Option<(u32, Limit)>,
}
