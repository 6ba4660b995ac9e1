//! Bytes from servers (`client-and-tools` 4.5, 5.3, 5.7, 5.10).
//!
//! Updates and replies to reads and put-notifies, the bulk of the traffic, are looked at before the
//! general table and cause no allocation. Identifiers that are stale, or belong to another circuit,
//! are ignored: late updates and answers are normal (trap 31).

use alloc::string::String;
use core::net::SocketAddrV4;

use super::Client;
use super::channel::Phase;
use super::error::Violation;
use super::flow::Change;
use super::ops::OpKind;
use super::subs::Installed;
use super::types::{Deliver, Event, More, Reply, Trouble, Update, is_readable};
use crate::access::AccessRights;
use crate::dbr::{DbrType, NativeType, STRING_LEN};
use crate::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::message::{ErrorBody, NO_CHANNEL, SAME_ADDRESS};
use crate::wire::{Command, Deframer, Frame, FrameError, Header, Minor, tcp};

/// Text of an exception at most (5.10).
const MAX_TEXT: usize = 400;

/// What the messages of one chunk need to know about their circuit.
#[derive(Clone, Copy)]
struct Context {
    c: CircuitId,
    minor: Minor,
    /// False while unresponsive: updates are dropped then (5.7).
    live: bool,
}

impl Context {
    /// Status of a reply; below 4.1 there is none (4.4).
    const fn status(self, p1: u32) -> EcaStatus {
        if self.minor.has_status_in_replies() {
            EcaStatus(p1)
        } else {
            EcaStatus::NORMAL
        }
    }
}

impl Client {
    /// Takes bytes that arrived on a circuit; an empty chunk after a read into
    /// [`Deframer::body`]. `more` tells whether that read emptied the socket.
    ///
    /// # Errors
    /// [`Violation`] when the peer broke the protocol: the driver closes the connection and calls
    /// [`handle_closed`](Self::handle_closed).
    pub fn handle_chunk(
        &mut self,
        now: Instant,
        c: CircuitId,
        deframer: &mut Deframer,
        chunk: &[u8],
        more: More,
        out: &mut impl Deliver,
    ) -> Result<(), Violation> {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return Ok(());
        };
        circuit.liveness.received(now);
        let mut context = Context {
            c,
            minor: circuit.minor,
            live: circuit.is_live(),
        };
        let mut frames = deframer.frames(chunk);
        while let Some(frame) = frames.next() {
            let handled = match &frame {
                Ok(frame) => match frame.header.command {
                    Command::EVENT_ADD => {
                        self.update(context, frame, out);
                        continue;
                    }
                    Command::READ_NOTIFY => {
                        self.read_reply(context, frame, out);
                        continue;
                    }
                    Command::WRITE_NOTIFY => {
                        self.write_reply(context, &frame.header, out);
                        continue;
                    }
                    _ => self.other(now, context, frame, out),
                },
                Err(FrameError::TooLarge(header)) => {
                    self.too_large(context, header, out);
                    Ok(())
                }
                Err(FrameError::Misaligned(header)) => Err(Violation::Misaligned(*header)),
                // Streams do not end inside a message; the deframer waits.
                Err(_) => Ok(()),
            };
            let Some(circuit) = self.circuits.get(c) else {
                return Ok(());
            };
            if let Err(violation) = handled {
                self.events.push_back(Event::Violation {
                    circuit: c,
                    addr: circuit.addr,
                    violation,
                });
                return Err(violation);
            }
            context.minor = circuit.minor;
            context.live = circuit.is_live();
        }
        self.flow(now, c, chunk, more);
        Ok(())
    }

    /// Pieces of one large payload do not count: they say nothing about how far the server is ahead.
    fn flow(&mut self, now: Instant, c: CircuitId, chunk: &[u8], more: More) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        if !circuit.is_ready() || chunk.is_empty() && more == More::Maybe {
            return;
        }
        match circuit.flow.received(more) {
            Change::None => {}
            Change::Off => self.circuits.send(now, c, |queue| {
                tcp::Request::EventsOff {}.encode(queue);
            }),
            Change::On => self.circuits.send(now, c, |queue| {
                tcp::Request::EventsOn {}.encode(queue);
            }),
        }
    }

    // hot: every monitor update.
    fn update(&mut self, context: Context, frame: &Frame<'_>, out: &mut impl Deliver) {
        let header = &frame.header;
        let subid = SubId(header.p2);
        let Some(sub) = self.subs.get(subid) else {
            return;
        };
        match sub.installed {
            Installed::On(circuit, ..) if circuit == context.c && context.live => {}
            Installed::Cancelled(circuit) if circuit == context.c => {
                // The confirmation, or an empty array still on its way, which looks the same: the
                // confirmation then finds nobody.
                if header.payload_len == 0 {
                    self.subs.confirmed(subid);
                }
                return;
            }
            _ => return,
        }
        let ty = DbrType(header.data_type);
        let mut status = context.status(header.p1);
        // A live subscription has no confirmation to come, so a message without payload is an empty
        // array of a plain type (the reference drops it, trap 32), or says nothing.
        if header.payload_len == 0
            && (status != EcaStatus::NORMAL || header.count != 0 || ty.value_offset() != 0)
        {
            return;
        }
        if status == EcaStatus::NORMAL {
            status = check(ty, header);
        }
        let update = Update {
            ty,
            count: header.count,
            status,
            frame,
        };
        out.update(sub.token, update);
    }

    // hot: every answer to a read.
    fn read_reply(&mut self, context: Context, frame: &Frame<'_>, out: &mut impl Deliver) {
        let header = &frame.header;
        let ty = DbrType(header.data_type);
        let mut status = context.status(header.p1);
        if status == EcaStatus::NORMAL {
            status = check(ty, header);
        }
        let reply = if status == EcaStatus::NORMAL {
            Reply::Read {
                ty,
                count: header.count,
                frame,
            }
        } else {
            Reply::Failed(status)
        };
        match self.finish(context, Ioid(header.p2), OpKind::Read, reply, out) {
            Some(OpKind::Refresh(subid)) => {
                let Some(sub) = self.subs.get(subid) else {
                    return;
                };
                if matches!(sub.installed, Installed::On(circuit, ..) if circuit == context.c) {
                    let update = Update {
                        ty,
                        count: header.count,
                        status,
                        frame,
                    };
                    out.update(sub.token, update);
                }
            }
            _ => {}
        }
    }

    fn write_reply(&mut self, context: Context, header: &Header, out: &mut impl Deliver) {
        let status = context.status(header.p1);
        let reply = if status == EcaStatus::NORMAL {
            Reply::Written
        } else {
            Reply::Failed(status)
        };
        self.finish(context, Ioid(header.p2), OpKind::Write, reply, out);
    }

    /// Ends an operation of this circuit if it is of the kind that is answered, and tells what was
    /// ended. Answers to abandoned operations only free the identifier.
    fn finish(
        &mut self,
        context: Context,
        ioid: Ioid,
        kind: OpKind,
        reply: Reply<'_>,
        out: &mut impl Deliver,
    ) -> Option<OpKind> {
        let op = self.ops.get(ioid).filter(|op| op.circuit == context.c)?;
        match op.kind {
            OpKind::Abandoned => {
                self.ops.release(ioid);
                return None;
            }
            OpKind::Refresh(_) if kind == OpKind::Read => {}
            same if same == kind => {}
            _ => return None,
        }
        let channel = self.channels.get_mut(op.cid)?;
        let op = self.ops.remove(&mut channel.ops, ioid)?;
        if op.kind == kind {
            out.reply(op.token, reply);
        }
        Some(op.kind)
    }

    /// Answers that are above the limit were skipped; whoever waits for them must know.
    fn too_large(&mut self, context: Context, header: &Header, out: &mut impl Deliver) {
        let failed = Reply::Failed(EcaStatus::TOLARGE);
        match header.command {
            Command::READ_NOTIFY => {
                let ended = self.finish(context, Ioid(header.p2), OpKind::Read, failed, out);
                if let Some(OpKind::Refresh(subid)) = ended {
                    self.fail_update(context, subid, header, EcaStatus::TOLARGE, out);
                }
            }
            Command::EVENT_ADD => {
                self.fail_update(context, SubId(header.p2), header, EcaStatus::TOLARGE, out);
            }
            _ => {}
        }
    }

    fn fail_update(
        &self,
        context: Context,
        subid: SubId,
        header: &Header,
        status: EcaStatus,
        out: &mut impl Deliver,
    ) {
        let Some(sub) = self.subs.get(subid) else {
            return;
        };
        let here = matches!(sub.installed, Installed::On(circuit, ..) if circuit == context.c);
        if here && context.live {
            let update = Update {
                ty: DbrType(header.data_type),
                count: header.count,
                status,
                frame: &Frame::new(*header, &[]),
            };
            out.update(sub.token, update);
        }
    }

    fn other(
        &mut self,
        now: Instant,
        context: Context,
        frame: &Frame<'_>,
        out: &mut impl Deliver,
    ) -> Result<(), Violation> {
        let c = context.c;
        match tcp::Response::parse(frame)? {
            tcp::Response::Version { minor, .. } => {
                if let Some(circuit) = self.circuits.get_mut(c) {
                    let searchable = circuit.is_searchable();
                    circuit.announce(minor);
                    if !searchable {
                        self.name_server_ready(now, c);
                    }
                }
            }
            tcp::Response::CreateChan {
                ty,
                count,
                cid,
                sid,
            } => {
                let Some(native) = NativeType::from_code(ty.0) else {
                    return Err(Violation::BadNativeType { cid, ty });
                };
                self.created(now, context, cid, sid, (native, count), out);
            }
            tcp::Response::AccessRights { cid, rights } => {
                self.rights(context, cid, AccessRights::from_bits(rights));
            }
            tcp::Response::CreateChFail { cid } => {
                if self.belongs(cid, c) {
                    self.drop_channel(now, cid, Trouble::CreateFailed, out);
                }
            }
            tcp::Response::ServerDisconn { cid } => {
                if self.belongs(cid, c) {
                    self.drop_channel(now, cid, Trouble::Deleted, out);
                }
            }
            tcp::Response::Search { port, server, cid } => {
                let circuit = self.circuits.get(c).filter(|x| x.name_server);
                if let Some(circuit) = circuit {
                    let addr = match server {
                        SAME_ADDRESS => circuit.addr,
                        _ => SocketAddrV4::new(server, port.0),
                    };
                    self.found(now, cid, addr, context.minor, None);
                }
            }
            tcp::Response::Echo { .. } | tcp::Response::ReadSync { .. } => {
                if let Some(circuit) = self.circuits.get_mut(c).filter(|x| x.is_ready()) {
                    let step = circuit.liveness.echo(now);
                    self.liveness_step(now, c, step, out);
                }
            }
            tcp::Response::Error { cid, status, body } => {
                self.error(context, cid, status, &body, out);
            }
            // Answers to requests that are never made, or that nobody waits for.
            tcp::Response::ClearChannel { .. }
            | tcp::Response::Read { .. }
            | tcp::Response::NotFound { .. } => {}
            // The first three were looked at before.
            tcp::Response::EventAdd { .. }
            | tcp::Response::ReadNotify { .. }
            | tcp::Response::WriteNotify { .. } => {}
            tcp::Response::Unknown { header, .. } => {
                return Err(Violation::Unexpected(header.command));
            }
        }
        Ok(())
    }

    fn belongs(&self, cid: Cid, c: CircuitId) -> bool {
        let channel = self.channels.get(cid);
        channel.is_some_and(|channel| channel.phase.circuit() == Some(c))
    }

    /// The answer to `CREATE_CHAN`. Nobody waits for it when the channel was closed, found elsewhere
    /// or created before; the server is told to forget its channel then (4.5).
    fn created(
        &mut self,
        now: Instant,
        context: Context,
        cid: Cid,
        sid: Sid,
        (native, count): (NativeType, u32),
        out: &mut impl Deliver,
    ) {
        let c = context.c;
        match self.channels.get_mut(cid) {
            Some(channel) if matches!(channel.phase, Phase::Creating { circuit, .. } if circuit == c) =>
            {
                channel.phase = Phase::Ready {
                    circuit: c,
                    sid,
                    native,
                    count,
                };
                // Trap 30: servers below 4.1 do not tell.
                if !context.minor.has_status_in_replies() {
                    channel.rights = AccessRights::ALL;
                }
                if context.live {
                    self.came_up(now, cid, out);
                }
            }
            Some(channel)
                if matches!(channel.phase, Phase::Ready { circuit, sid: known, .. }
                    if circuit == c && known == sid) => {}
            _ => {
                let clear = tcp::Request::ClearChannel {
                    data_type: 0,
                    count: 0,
                    sid,
                    cid,
                };
                if self.circuits.get(c).is_some_and(|x| x.is_ready()) {
                    self.circuits.send(now, c, |queue| clear.encode(queue));
                }
            }
        }
    }

    fn rights(&mut self, context: Context, cid: Cid, rights: AccessRights) {
        if !self.belongs(cid, context.c) {
            return;
        }
        let Some(channel) = self.channels.get_mut(cid) else {
            return;
        };
        let changed = core::mem::replace(&mut channel.rights, rights) != rights;
        if changed && context.live && matches!(channel.phase, Phase::Ready { .. }) {
            self.events.push_back(Event::AccessRights { cid, rights });
        }
    }

    /// A failure goes to whom the copied header of the request names (5.10), if that is on this
    /// circuit.
    fn error(
        &mut self,
        context: Context,
        cid: Cid,
        status: EcaStatus,
        body: &ErrorBody<'_>,
        out: &mut impl Deliver,
    ) {
        let request = &body.request;
        let failed = Reply::Failed(status);
        let ioid = Ioid(request.p2);
        match request.command {
            Command::EVENT_ADD => {
                self.fail_update(context, SubId(request.p2), request, status, out);
            }
            Command::READ | Command::READ_NOTIFY => {
                let ended = self.finish(context, ioid, OpKind::Read, failed, out);
                if let Some(OpKind::Refresh(subid)) = ended {
                    self.fail_update(context, subid, request, status, out);
                }
            }
            Command::WRITE_NOTIFY => {
                self.finish(context, ioid, OpKind::Write, failed, out);
            }
            command => {
                let named = match command {
                    Command::WRITE => Cid(request.p2),
                    _ => cid,
                };
                let known = named != NO_CHANNEL && self.belongs(named, context.c);
                let text = body.text.as_bytes();
                let text = text.get(..MAX_TEXT).unwrap_or(text);
                self.remark(Event::Exception {
                    circuit: context.c,
                    cid: known.then_some(named),
                    status,
                    text: String::from_utf8_lossy(text).into_owned(),
                });
            }
        }
    }
}

/// Whether a structure of this type and count is in the payload; the reference does not look
/// (defect 10.9, trap 36). Scalar strings may be shorter than 40 bytes (trap 37).
fn check(ty: DbrType, header: &Header) -> EcaStatus {
    if !is_readable(ty) {
        return EcaStatus::BADTYPE;
    }
    let mut needed = ty.size(header.count);
    if ty.native() == Some(NativeType::String) && header.count > 0 {
        needed -= STRING_LEN as u64 - 1;
    }
    if u64::from(header.payload_len) < needed {
        return EcaStatus::BADCOUNT;
    }
    EcaStatus::NORMAL
}
