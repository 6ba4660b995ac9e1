//! The messages of servers that are not bulk (`tcpiiu::processIncoming`, `nciu::connect` and
//! `cac::exceptionRespAction` of EPICS Base).

use alloc::string::String;
use core::net::SocketAddrV4;

use super::Client;
use super::channel::Phase;
use super::error::Violation;
use super::ops::OpKind;
use super::receive::Context;
use super::types::{Deliver, Event, Reply, Trouble};
use crate::access::AccessRights;
use crate::dbr::NativeType;
use crate::ids::{Cid, CircuitId, Ioid, Sid, SubId};
use crate::status::EcaStatus;
use crate::time::Instant;
use crate::wire::message::{ErrorBody, NO_CHANNEL, SAME_ADDRESS};
use crate::wire::{Command, Frame, tcp};

/// Text of an exception at most, in bytes.
const MAX_TEXT: usize = 400;

impl Client {
    /// Handles one message that is not part of the bulk.
    pub(super) fn dispatch(
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
                    let from = circuit.addr;
                    self.found(now, cid, (from, addr), context.minor, None);
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
    /// or created before; the server is told to forget its channel then
    /// (`cac::createChannelRespAction`).
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
                channel.hinted = false;
                if let Some(circuit) = self.circuits.get_mut(c) {
                    circuit.ready += 1;
                }
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

    /// A failure goes to whom the copied header of the request names, if that is on this
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
        let text = body.text.as_bytes();
        let text = text.get(..MAX_TEXT).unwrap_or(text);
        let failed = Reply::Exception { status, text };
        let ioid = Ioid(request.p2);
        match request.command {
            Command::EVENT_ADD => {
                self.fail_update(context, SubId(request.p2), request, status.into(), out);
            }
            Command::READ | Command::READ_NOTIFY => {
                let ended = self.finish(context, ioid, OpKind::Read, failed, out);
                if let Some(OpKind::Refresh(subid)) = ended {
                    self.fail_update(context, subid, request, status.into(), out);
                }
            }
            Command::WRITE_NOTIFY => {
                self.finish(context, ioid, OpKind::Write, failed, out);
            }
            Command::WRITE if self.refuse_checked(context, request, failed, out) => {}
            command => {
                let ours = |cid: &Cid| *cid != NO_CHANNEL && self.belongs(*cid, context.c);
                // The channel of a write is named twice, unless it was a checked one.
                let named = [cid, Cid(request.p2)];
                let named = match command {
                    Command::WRITE => named.into_iter().find(ours),
                    _ => Some(cid).filter(ours),
                };
                let Some(circuit) = self.circuits.get_mut(context.c) else {
                    return;
                };
                if named.is_none() {
                    circuit.last_words = Some(status);
                }
                let addr = circuit.addr;
                self.remark(Event::Exception {
                    circuit: context.c,
                    addr,
                    cid: named,
                    status,
                    text: String::from_utf8_lossy(text).into_owned(),
                });
            }
        }
    }
}
