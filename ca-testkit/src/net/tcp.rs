//! Byte streams of the virtual network.

use core::net::SocketAddrV4;
use core::time::Duration;
use std::collections::VecDeque;

use ca_proto::Instant;

use super::{ConnId, Delivery, Event, HostId, SimNet};
use crate::host::CloseKind;
use crate::trace::Trace;

/// How a stream is cut into the chunks that its reader receives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Segmentation {
    /// Whatever is there, up to the read size.
    Whole,
    /// Anywhere, by the seed; sometimes several writes at once, sometimes single bytes.
    Random,
    /// At most so many bytes per chunk.
    AtMost(usize),
    /// Each direction of each stream is cut once, at this byte.
    CutAt(u64),
}

#[derive(Debug)]
pub(super) struct Connection {
    ends: [End; 2],
}

#[derive(Debug)]
struct End {
    host: HostId,
    id: ConnId,
    addr: SocketAddrV4,
    /// The end exists: dialled or accepted, and neither closed nor lost.
    alive: bool,
    /// The end has existed.
    accepted: bool,
    /// Bytes from this end to the other.
    pipe: Pipe,
}

#[derive(Debug, Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    /// Length and arrival of what was written, oldest first.
    segments: VecDeque<(usize, Instant)>,
    /// When the last byte has left, for links with a bandwidth.
    busy_until: Instant,
    /// Nothing arrives before this.
    not_before: Instant,
    delivered: u64,
    /// The writer has ended its side.
    finished: bool,
    /// The reader knows of the end.
    finish_delivered: bool,
    /// The last read was full and no other followed it.
    unsure: bool,
    /// The reader does not read.
    paused: bool,
    /// Room that the writer knows of.
    window: usize,
    /// The stream is reset once so many bytes were delivered.
    break_at: Option<u64>,
}

impl Pipe {
    fn arrived(&self, now: Instant) -> usize {
        let due = self.segments.iter().take_while(|(_, at)| *at <= now);
        due.map(|(len, _)| len).sum()
    }

    fn take(&mut self, mut len: usize) -> Vec<u8> {
        let (front, back) = self.bytes.as_slices();
        let mut data = Vec::with_capacity(len);
        data.extend_from_slice(&front[..len.min(front.len())]);
        data.extend_from_slice(&back[..len - data.len()]);
        self.bytes.drain(..len);
        self.delivered += len as u64;
        while len > 0 {
            let Some((first, _)) = self.segments.front_mut() else {
                break;
            };
            let step = len.min(*first);
            *first -= step;
            len -= step;
            if *first == 0 {
                self.segments.pop_front();
            }
        }
        data
    }
}

impl Connection {
    pub(super) const fn host(&self, end: usize) -> HostId {
        self.ends[end].host
    }

    /// The stream is not broken any more.
    pub(super) const fn mend(&mut self) {
        self.ends[0].pipe.break_at = None;
        self.ends[1].pipe.break_at = None;
    }

    /// Breaks the stream after so many more bytes from this end.
    pub(super) const fn break_after(&mut self, end: usize, bytes: u64) {
        let pipe = &mut self.ends[end].pipe;
        pipe.break_at = Some(pipe.delivered + bytes);
    }
}

impl SimNet {
    pub(super) fn end_of(&self, index: usize, end: usize) -> Option<HostId> {
        let connection = self.connections.get(index)?.as_ref()?;
        let end = &connection.ends[end];
        end.alive.then_some(end.host)
    }

    /// The address of a host's end of a stream.
    #[cfg(feature = "runtime")]
    pub(crate) fn local_addr(&self, host: HostId, conn: ConnId) -> Option<SocketAddrV4> {
        let &(index, end) = self.by_end.get(&(host, conn))?;
        let connection = self.connections.get(index)?.as_ref()?;
        Some(connection.ends[end].addr)
    }

    /// The end was there and is gone without a word that could still arrive.
    pub(super) fn is_dead(&self, index: usize, end: usize) -> bool {
        let Some(Some(connection)) = self.connections.get(index) else {
            return false;
        };
        let end = &connection.ends[end];
        !end.alive && end.accepted && !end.pipe.finished
    }

    fn connection(&mut self, index: usize) -> Option<&mut Connection> {
        self.connections.get_mut(index)?.as_mut()
    }

    fn deliver(&self, index: usize, end: usize, delivery: Delivery) -> Option<(HostId, Delivery)> {
        Some((self.end_of(index, end)?, delivery))
    }

    /// The end is gone without telling the other, which goes on sending what is not acknowledged.
    pub(super) fn lose_end(&mut self, index: usize, end: usize) {
        let Some(connection) = self.connection(index) else {
            return;
        };
        let this = &mut connection.ends[end];
        this.alive = false;
        let key = (this.host, this.id);
        // Another program on the host may have given the number to another stream.
        if self.by_end.get(&key) == Some(&(index, end)) {
            self.by_end.remove(&key);
        }
    }

    /// The end is gone; what it had not read is lost, what it wrote still travels.
    pub(super) fn forget_end(&mut self, index: usize, end: usize) {
        self.lose_end(index, end);
        if let Some(connection) = self.connection(index) {
            connection.ends[1 - end].pipe.segments.clear();
            connection.ends[1 - end].pipe.bytes.clear();
        }
    }

    /// The end has sent bytes to a host that has lost the stream.
    pub(super) fn is_unacknowledged(&self, index: usize, end: usize, far: HostId) -> bool {
        let Some(Some(connection)) = self.connections.get(index) else {
            return false;
        };
        let (near, far_end) = (&connection.ends[end], &connection.ends[1 - end]);
        near.alive && !far_end.alive && far_end.host == far && !near.pipe.bytes.is_empty()
    }

    pub(super) fn dial(&mut self, host: HostId, conn: ConnId, to: SocketAddrV4, trace: &mut Trace) {
        self.stats.dials += 1;
        let own = self.machines[host.0].addr;
        let port = self.machines[host.0].next_port;
        self.machines[host.0].next_port = port.checked_add(1).unwrap_or(super::DIAL_PORTS_FROM);
        let target = self.machines.iter().position(|machine| {
            (if to.ip().is_loopback() {
                machine.addr == own
            } else {
                machine.addr == *to.ip()
            }) && machine.listening.contains(&to.port())
        });
        let target = target.or_else(|| self.machines.iter().position(|m| m.addr == *to.ip()));
        // An address without a host: nobody answers, as in a real network.
        let far = HostId(target.unwrap_or(host.0));
        trace.stream_event(self.now, host, far, "(dial)");
        let end = |host, id, addr, alive| End {
            host,
            id,
            addr,
            alive,
            accepted: alive,
            pipe: Pipe {
                window: self.send_buffer,
                ..Pipe::default()
            },
        };
        let index = self.connections.len();
        let mut connection = Connection {
            ends: [
                end(host, conn, SocketAddrV4::new(own, port), true),
                end(far, ConnId(0), to, false),
            ],
        };
        if let Some((to_listener, bytes)) = self.break_next.take() {
            connection.break_after(usize::from(!to_listener), bytes);
        }
        self.connections.push(Some(connection));
        self.by_end.insert((host, conn), (index, 0));
        if target.is_none() {
            return;
        }
        if self.link(host, far).refuse {
            self.push(self.now, Event::Refused(index));
            return;
        }
        let at = self.now + self.delay(host, far);
        self.push(at, Event::Syn(index));
    }

    pub(super) fn pop_stream(&mut self, event: Event) -> Option<(HostId, Delivery)> {
        match event {
            Event::Syn(index) => self.syn(index),
            Event::SynAck(index) => {
                let end = &self.connection(index)?.ends[0];
                let (conn, window) = (end.id, end.pipe.window);
                self.deliver(index, 0, Delivery::Connected { conn, window })
            }
            Event::Refused(index) => {
                let conn = self.connection(index)?.ends[0].id;
                let how = CloseKind::Refused;
                let delivery = self.deliver(index, 0, Delivery::Closed { conn, how });
                self.forget_end(index, 0);
                self.connections[index] = None;
                delivery
            }
            Event::Pipe(index, end) => self.pipe(index, end),
            Event::Reset(index, from) => {
                let to = 1 - from;
                let conn = self.connection(index)?.ends[to].id;
                let how = CloseKind::Reset;
                let delivery = self.deliver(index, to, Delivery::Closed { conn, how });
                self.forget_end(index, to);
                self.drop_if_over(index);
                delivery
            }
            Event::Writable(index, end) => {
                let capacity = self.send_buffer;
                let this = &mut self.connection(index)?.ends[end];
                let window = capacity.saturating_sub(this.pipe.bytes.len());
                this.pipe.window = window;
                let conn = this.id;
                self.deliver(index, end, Delivery::Writable { conn, window })
            }
            Event::Datagram { .. } | Event::Unowned(..) => None,
        }
    }

    fn syn(&mut self, index: usize) -> Option<(HostId, Delivery)> {
        let connection = self.connection(index)?;
        let (near, far) = (connection.host(0), connection.host(1));
        let dialling = connection.ends[0].alive;
        let peer = connection.ends[0].addr;
        let (to, port) = (
            *connection.ends[1].addr.ip(),
            connection.ends[1].addr.port(),
        );
        let window = connection.ends[1].pipe.window;
        if !dialling {
            self.connections[index] = None;
            return None;
        }
        let at = self.now + self.delay(far, near);
        let machine = &mut self.machines[far.0];
        // A host that has moved meanwhile is not asked at its old address.
        if !machine.up || !(to.is_loopback() || machine.addr == to) {
            return None;
        }
        if !machine.listening.contains(&port) {
            self.push(at, Event::Refused(index));
            return None;
        }
        let conn = ConnId(machine.next_accepted);
        machine.next_accepted += 1;
        let connection = self.connection(index)?;
        connection.ends[1].id = conn;
        connection.ends[1].alive = true;
        connection.ends[1].accepted = true;
        // Nothing that the server writes may overtake the answer to the dial.
        connection.ends[1].pipe.not_before = at;
        self.by_end.insert((far, conn), (index, 1));
        self.push(at, Event::SynAck(index));
        let delivery = Delivery::Accepted {
            conn,
            port,
            peer,
            window,
        };
        Some((far, delivery))
    }

    /// Gives the reader of `end`'s pipe its next chunk, or the end of the stream.
    fn pipe(&mut self, index: usize, end: usize) -> Option<(HostId, Delivery)> {
        let now = self.now;
        let capacity = self.send_buffer;
        let connection = self.connection(index)?;
        let pipe = &connection.ends[end].pipe;
        let reader = &connection.ends[1 - end];
        if !reader.alive {
            // Bytes for a socket that does not exist any more are answered with a reset.
            let (far, near) = (reader.host, connection.ends[end].host);
            if self.machines[far.0].up && connection_alive(&self.connections[index], end) {
                let at = now + self.delay(far, near);
                self.push(at, Event::Reset(index, 1 - end));
            }
            return None;
        }
        let conn = reader.id;
        if pipe.paused {
            return None;
        }
        let arrived = pipe.arrived(now);
        if arrived == 0 {
            if pipe.finished && pipe.segments.is_empty() && !pipe.finish_delivered {
                self.connection(index)?.ends[end].pipe.finish_delivered = true;
                let how = CloseKind::Eof;
                return self.deliver(index, 1 - end, Delivery::Closed { conn, how });
            }
            let pipe = &mut self.connection(index)?.ends[end].pipe;
            if !std::mem::take(&mut pipe.unsure) {
                return None;
            }
            let (data, full) = (Vec::new(), false);
            return self.deliver(index, 1 - end, Delivery::Data { conn, data, full });
        }
        let position = pipe.delivered;
        let left = pipe.break_at.map(|at| at.saturating_sub(position));
        if left == Some(0) {
            self.push(now, Event::Reset(index, 0));
            self.push(now, Event::Reset(index, 1));
            return None;
        }
        let left = left.map_or(usize::MAX, |left| {
            usize::try_from(left).unwrap_or(usize::MAX)
        });
        let len = self.chunk_len(arrived, position).min(left);
        let full = len >= self.read_size;
        let pipe = &mut self.connection(index)?.ends[end].pipe;
        let data = pipe.take(len);
        pipe.unsure = full;
        let told = pipe.window;
        let room = capacity.saturating_sub(pipe.bytes.len());
        let more =
            full || len == left || arrived > len || (pipe.finished && pipe.segments.is_empty());
        self.stats.bytes += len as u64;
        if more {
            self.push(now, Event::Pipe(index, end));
        }
        // As a socket does: writable again when half of its buffer is free.
        if told < capacity / 2 && room >= capacity / 2 {
            self.push(now, Event::Writable(index, end));
        }
        self.deliver(index, 1 - end, Delivery::Data { conn, data, full })
    }

    fn chunk_len(&mut self, arrived: usize, position: u64) -> usize {
        let wanted = match self.segmentation {
            Segmentation::Whole => arrived,
            Segmentation::AtMost(most) => most.max(1),
            Segmentation::CutAt(cut) if position < cut => {
                usize::try_from(cut - position).unwrap_or(arrived)
            }
            Segmentation::CutAt(_) => arrived,
            Segmentation::Random => match self.rng.below(4) {
                0 | 1 => arrived,
                2 => 1 + self.rng.below(24) as usize,
                _ => 1 + self.rng.below(arrived as u32) as usize,
            },
        };
        wanted.min(arrived).min(self.read_size)
    }

    pub(super) fn send_stream(
        &mut self,
        host: HostId,
        conn: ConnId,
        data: &[u8],
        trace: &mut Trace,
    ) {
        let Some(&(index, end)) = self.by_end.get(&(host, conn)) else {
            return;
        };
        let now = self.now;
        let Some(far) = self.connection(index).map(|c| c.host(1 - end)) else {
            return;
        };
        trace.stream(now, index, end, host, far, data);
        let bandwidth = self.link(host, far).bandwidth;
        let mut delay = self.delay(host, far);
        if self.segmentation == Segmentation::Random && self.rng.chance(0.3) {
            // Later writes catch up with this one and arrive together with it.
            delay += delay.mul_f64(2.0 * self.rng.f64());
        }
        let Some(connection) = self.connection(index) else {
            return;
        };
        let pipe = &mut connection.ends[end].pipe;
        assert!(
            data.len() <= pipe.window && !pipe.finished,
            "a host wrote {} bytes into a window of {} (finished: {})",
            data.len(),
            pipe.window,
            pipe.finished
        );
        pipe.window -= data.len();
        let start = pipe.busy_until.max(now);
        let sending = bandwidth.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(data.len() as f64 / rate as f64)
        });
        pipe.busy_until = start + sending;
        let at = (pipe.busy_until + delay).max(pipe.not_before);
        pipe.not_before = at;
        pipe.bytes.extend(data);
        pipe.segments.push_back((data.len(), at));
        self.push(at, Event::Pipe(index, end));
        // Room that was freed by reading meanwhile and not reported yet.
        let capacity = self.send_buffer;
        let Some(connection) = self.connection(index) else {
            return;
        };
        let pipe = &connection.ends[end].pipe;
        let room = capacity.saturating_sub(pipe.bytes.len());
        if pipe.window < capacity / 2 && room >= capacity / 2 {
            self.push(now, Event::Writable(index, end));
        }
    }

    pub(super) fn set_reading(&mut self, host: HostId, conn: ConnId, enabled: bool) {
        let Some(&(index, end)) = self.by_end.get(&(host, conn)) else {
            return;
        };
        let now = self.now;
        if let Some(connection) = self.connection(index) {
            connection.ends[1 - end].pipe.paused = !enabled;
            if enabled {
                self.push(now, Event::Pipe(index, 1 - end));
            }
        }
    }

    /// Ends the writing side; what was written still arrives.
    pub(super) fn shutdown(&mut self, host: HostId, conn: ConnId) {
        let Some(&(index, end)) = self.by_end.get(&(host, conn)) else {
            return;
        };
        let now = self.now;
        let Some(connection) = self.connection(index) else {
            return;
        };
        let far = connection.host(1 - end);
        let delay = self.delay(host, far);
        let Some(connection) = self.connection(index) else {
            return;
        };
        let pipe = &mut connection.ends[end].pipe;
        pipe.finished = true;
        let at = pipe.not_before.max(now + delay);
        self.push(at, Event::Pipe(index, end));
    }

    /// Closes the socket: orderly if everything was read, with a reset otherwise.
    pub(super) fn close(&mut self, host: HostId, conn: ConnId) {
        let Some(&(index, end)) = self.by_end.get(&(host, conn)) else {
            return;
        };
        let now = self.now;
        let unread = self
            .connection(index)
            .is_some_and(|c| c.ends[1 - end].pipe.arrived(now) > 0);
        if unread {
            self.abort(index, end);
        } else {
            self.shutdown(host, conn);
            self.forget_end(index, end);
            self.drop_if_over(index);
        }
    }

    /// Closes the socket with a reset; nothing more arrives from it.
    pub(super) fn abort(&mut self, index: usize, end: usize) {
        let now = self.now;
        let Some(connection) = self.connection(index) else {
            return;
        };
        let (near, far) = (connection.host(end), connection.host(1 - end));
        let known = connection.ends[1 - end].alive;
        connection.ends[end].pipe.bytes.clear();
        connection.ends[end].pipe.segments.clear();
        self.forget_end(index, end);
        if known {
            let at = now + self.delay(near, far);
            self.push(at, Event::Reset(index, end));
        }
        self.drop_if_over(index);
    }

    fn drop_if_over(&mut self, index: usize) {
        let Some(connection) = self.connection(index) else {
            return;
        };
        let over = |end: &End| !end.alive && end.pipe.segments.is_empty();
        if connection.ends.iter().all(over) {
            self.connections[index] = None;
        }
    }
}

fn connection_alive(connection: &Option<Connection>, end: usize) -> bool {
    connection.as_ref().is_some_and(|c| c.ends[end].alive)
}
