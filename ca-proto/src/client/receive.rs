//! Bytes from servers (`tcpiiu::processIncoming` and `netSubscription` of EPICS Base).
//!
//! Updates and replies to reads and put-notifies, the bulk of the traffic, are looked at before the
//! general table and cause no allocation. Identifiers that are stale, or belong to another circuit,
//! are ignored: late updates and answers are normal (trap 31).

use super::Client;
use super::channel::Phase;
use super::error::{Opening, Violation};
use super::flow::Change;
use super::ops::OpKind;
use super::subs::Installed;
use super::types::{Deliver, Event, Malformed, More, Reply, Update, is_readable};
use crate::dbr::{Brief, DbrType, NativeType, STRING_LEN};
use crate::ids::{Cid, CircuitId, Ioid, SubId};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::{Command, Deframer, Frame, FrameError, Header, Minor, tcp};

/// What the messages of one chunk need to know about their circuit.
#[derive(Clone, Copy)]
pub(super) struct Context {
    pub(super) c: CircuitId,
    pub(super) minor: Minor,
    /// False while unresponsive: updates are dropped then (`cac::eventRespAction`).
    pub(super) live: bool,
}

impl Context {
    /// Status of a reply; below 4.1 there is none (`CA_V41`).
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
        circuit.last_words = None;
        let mut context = Context {
            c,
            minor: circuit.minor,
            live: circuit.is_live(),
        };
        let mut frames = deframer.frames(chunk);
        loop {
            // hot: nearly all messages of a busy circuit are whole; most are small updates, or bulk.
            let frame = match frames.next_whole() {
                Some((header, payload)) => {
                    if self.brief(context, &header, payload, out) {
                        continue;
                    }
                    let frame = Frame::new(header, payload);
                    if self.bulk(context, &frame, out) {
                        continue;
                    }
                    Ok(frame)
                }
                None => match frames.next() {
                    Some(frame) => frame,
                    None => break,
                },
            };
            match self.message(now, context, &frame, out)? {
                Some(changed) => context = changed,
                None => return Ok(()),
            }
        }
        self.check_begun(context, deframer)?;
        self.flow(now, c, deframer.is_inside_body(), chunk, more);
        Ok(())
    }

    /// Handles any message, and gives what the next one needs to know; `None` when the circuit is gone.
    fn message(
        &mut self,
        now: Instant,
        context: Context,
        frame: &Result<Frame<'_>, FrameError>,
        out: &mut impl Deliver,
    ) -> Result<Option<Context>, Violation> {
        let handled = match frame {
            Ok(frame) if self.bulk(context, frame, out) => return Ok(Some(context)),
            Ok(frame) => self.dispatch(now, context, frame, out),
            Err(FrameError::TooLarge(header)) if !is_for_clients(header.command) => {
                Err(Violation::Unexpected(header.command))
            }
            Err(FrameError::TooLarge(header)) => {
                self.too_large(context, header, out);
                Ok(())
            }
            Err(FrameError::Misaligned(header)) => Err(Violation::Misaligned(*header)),
            // Streams do not end inside a message; the deframer waits.
            Err(_) => Ok(()),
        };
        if let Err(violation) = handled {
            let opening = match frame {
                Ok(frame) => Opening::new(frame.header.standard_bytes()),
                Err(FrameError::TooLarge(header) | FrameError::Misaligned(header)) => {
                    Opening::new(header.standard_bytes())
                }
                Err(_) => Opening::new([]),
            };
            return self.violated(context, violation, opening).map(|()| None);
        }
        let Some(circuit) = self.circuits.get_mut(context.c) else {
            return Ok(None);
        };
        circuit.spoken = true;
        Ok(Some(Context {
            minor: circuit.minor,
            live: circuit.is_live(),
            ..context
        }))
    }

    /// Tells that a peer broke the protocol. One that does so with its first message does not speak it.
    fn violated(
        &mut self,
        context: Context,
        violation: Violation,
        opening: Opening,
    ) -> Result<(), Violation> {
        let Some(circuit) = self.circuits.get_mut(context.c) else {
            return Ok(());
        };
        let violation = if circuit.spoken {
            violation
        } else {
            circuit.foreign = true;
            Violation::NotChannelAccess(opening)
        };
        self.events.push_back(Event::Violation {
            circuit: context.c,
            addr: circuit.addr,
            violation,
        });
        Err(violation)
    }

    /// Looks at a message that is only begun: who waits for the rest of what is no message waits for
    /// ever, as a text of another protocol announces thousands of bytes.
    fn check_begun(&mut self, context: Context, deframer: &Deframer) -> Result<(), Violation> {
        match deframer.begun() {
            Some((command, opening)) if !is_for_clients(command) => self.violated(
                context,
                Violation::Unexpected(command),
                Opening::new(opening),
            ),
            _ => Ok(()),
        }
    }

    /// Hands on what is a small update in order; false for anything else, of which nothing was done.
    // hot: every monitor update. No message is made of it, so the header stays in registers.
    #[inline]
    fn brief(
        &mut self,
        context: Context,
        header: &Header,
        payload: &[u8],
        out: &mut impl Deliver,
    ) -> bool {
        if header.command != Command::EVENT_ADD || context.status(header.p1) != EcaStatus::NORMAL {
            return false;
        }
        let Some(sub) = self.subs.get(SubId(header.p2)) else {
            return false;
        };
        let here = matches!(sub.installed, Installed::On(circuit, ..) if circuit == context.c);
        let ty = DbrType(header.data_type);
        if !here || !context.live || !is_readable(ty) {
            return false;
        }
        let token = sub.token;
        let taken =
            Brief::new(ty, header.count, payload).is_some_and(|brief| out.brief(token, brief));
        self.traffic.updates += u64::from(taken);
        taken
    }

    /// Handles a message if it is an update or an answer; those change nothing of the circuit.
    #[inline]
    fn bulk(&mut self, context: Context, frame: &Frame<'_>, out: &mut impl Deliver) -> bool {
        match frame.header.command {
            Command::EVENT_ADD => self.update(context, frame, out),
            Command::READ_NOTIFY => self.read_reply(context, frame, out),
            Command::WRITE_NOTIFY => self.write_reply(context, &frame.header, out),
            _ => return false,
        }
        true
    }

    /// Pieces of large payloads do not count: they say nothing about how far the server is ahead, and
    /// a server that is has to wait for room in the connection.
    fn flow(&mut self, now: Instant, c: CircuitId, inside: bool, chunk: &[u8], more: More) {
        let Some(circuit) = self.circuits.get_mut(c) else {
            return;
        };
        if !circuit.is_ready() || more == More::Maybe && (inside || chunk.is_empty()) {
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
        let mut malformed = None;
        if status == EcaStatus::NORMAL {
            malformed = check(ty, header);
            status = malformed.map_or(status, Malformed::status);
        }
        let update = Update {
            ty,
            count: header.count,
            malformed,
            status,
            frame,
        };
        out.update(sub.token, update);
        self.traffic.updates += 1;
    }

    // hot: every answer to a read.
    fn read_reply(&mut self, context: Context, frame: &Frame<'_>, out: &mut impl Deliver) {
        let header = &frame.header;
        let ty = DbrType(header.data_type);
        let mut status = context.status(header.p1);
        let mut malformed = None;
        let reply = if status == EcaStatus::NORMAL {
            malformed = check(ty, header);
            match malformed {
                None => Reply::Read {
                    ty,
                    count: header.count,
                    frame,
                },
                Some(what) => {
                    status = what.status();
                    Reply::Malformed(what)
                }
            }
        } else {
            Reply::Failed(status)
        };
        let ended = self.finish(context, Ioid(header.p2), OpKind::Read, reply, out);
        if let Some(OpKind::Refresh(subid)) = ended
            && let Some(sub) = self.subs.get(subid)
            && matches!(sub.installed, Installed::On(circuit, ..) if circuit == context.c)
        {
            let update = Update {
                ty,
                count: header.count,
                malformed,
                status,
                frame,
            };
            out.update(sub.token, update);
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
    pub(super) fn finish(
        &mut self,
        context: Context,
        ioid: Ioid,
        kind: OpKind,
        reply: Reply<'_>,
        out: &mut impl Deliver,
    ) -> Option<OpKind> {
        let op = self.ops.get(ioid).filter(|op| op.circuit == context.c)?;
        let (found, token, cid) = (op.kind, op.token, op.cid);
        self.traffic.answers += 1;
        match found {
            OpKind::Abandoned => {
                self.remove_op(ioid, cid);
                return None;
            }
            OpKind::Refresh(_) | OpKind::Checked if kind == OpKind::Read => {}
            same if same == kind => {}
            _ => return None,
        }
        self.remove_op(ioid, cid);
        if found == OpKind::Checked {
            // Whatever the read brings: the write came before it.
            out.reply(token, Reply::Written);
        } else if found == kind {
            out.reply(token, reply);
        }
        Some(found)
    }

    /// Ends a checked write that the server refuses; false if there is none such. The answer to its read
    /// is still to come, and frees the identifier.
    pub(super) fn refuse_checked(
        &mut self,
        context: Context,
        request: &Header,
        reply: Reply<'_>,
        out: &mut impl Deliver,
    ) -> bool {
        let ioid = Ioid(request.p2);
        let Some(op) = self.ops.get(ioid) else {
            return false;
        };
        let (token, cid) = (op.token, op.cid);
        let phase = self.channels.get(cid).map(|channel| channel.phase);
        let Some(Phase::Ready { sid, .. }) = phase else {
            return false;
        };
        if op.kind != OpKind::Checked || op.circuit != context.c || request.p1 != sid.0 {
            return false;
        }
        self.abandon(ioid);
        out.reply(token, reply);
        true
    }

    pub(super) fn remove_op(&mut self, ioid: Ioid, cid: Cid) {
        if let Some(channel) = self.channels.get_mut(cid) {
            self.ops.remove(&mut channel.ops, ioid);
        }
    }

    /// Answers that are above the limit were skipped; whoever waits for them must know.
    fn too_large(&mut self, context: Context, header: &Header, out: &mut impl Deliver) {
        let what = Malformed::TooLarge {
            bytes: header.payload_len,
            limit: self.params.max_message_bytes(),
        };
        let failed = Reply::Malformed(what);
        match header.command {
            Command::READ_NOTIFY => {
                let ended = self.finish(context, Ioid(header.p2), OpKind::Read, failed, out);
                if let Some(OpKind::Refresh(subid)) = ended {
                    self.fail_update(context, subid, header, what.into(), out);
                }
            }
            Command::EVENT_ADD => {
                self.fail_update(context, SubId(header.p2), header, what.into(), out);
            }
            _ => {}
        }
    }

    pub(super) fn fail_update(
        &self,
        context: Context,
        subid: SubId,
        header: &Header,
        why: NoUpdate,
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
                malformed: why.malformed,
                status: why.status,
                frame: &Frame::new(*header, &[]),
            };
            out.update(sub.token, update);
        }
    }
}

/// Why there is no value in an update.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoUpdate {
    status: EcaStatus,
    malformed: Option<Malformed>,
}

impl From<EcaStatus> for NoUpdate {
    fn from(status: EcaStatus) -> Self {
        Self {
            status,
            malformed: None,
        }
    }
}

impl From<Malformed> for NoUpdate {
    fn from(malformed: Malformed) -> Self {
        Self {
            status: malformed.status(),
            malformed: Some(malformed),
        }
    }
}

/// Whether servers send such messages.
#[cold]
fn is_for_clients(command: Command) -> bool {
    let empty = Frame::new(Header::new(command), &[]);
    !matches!(
        tcp::Response::parse(&empty),
        Ok(tcp::Response::Unknown { .. })
    )
}

/// What keeps a structure of this type and count from being in the payload; the reference does not look
/// (defect 10.9, trap 36).
#[inline]
fn check(ty: DbrType, header: &Header) -> Option<Malformed> {
    if !is_readable(ty) {
        return Some(Malformed::BadType(ty));
    }
    if u64::from(header.payload_len) < ty.size(header.count) {
        return check_short(ty, header);
    }
    None
}

/// Scalar strings may be shorter than 40 bytes (trap 37).
#[cold]
fn check_short(ty: DbrType, header: &Header) -> Option<Malformed> {
    let text = ty.native() == Some(NativeType::String) && header.count > 0;
    let missing = if text { STRING_LEN as u64 - 1 } else { 0 };
    let needed = ty.size(header.count);
    (u64::from(header.payload_len) + missing < needed).then_some(Malformed::Short {
        ty,
        count: header.count,
        bytes: header.payload_len,
        needed,
    })
}
