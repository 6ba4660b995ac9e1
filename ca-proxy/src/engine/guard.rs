//! What a read-only proxy answers in place of the server.

use bytes::Bytes;
use ca_proto::ids::Cid;
use ca_proto::status::EcaStatus;
use ca_proto::wire::message::{ErrorBody, NO_CHANNEL};
use ca_proto::wire::tcp::{Request, Response};
use ca_proto::wire::{Command, Frame, Header, SendQueue};

use super::circuit::{Circuit, Desk};
use crate::rule::{Direction, How};

/// Answers of our own that wait; a client with more of them loses its circuit.
const MAX_OWED: usize = 1024;

/// True if the request writes.
pub(super) fn is_put(command: Command) -> bool {
    [Command::WRITE, Command::WRITE_NOTIFY].contains(&command)
}

impl Circuit {
    /// Answers a put as a server does that allows no writing (`caerr.h` of EPICS Base).
    pub(super) fn refuse_put(&mut self, desk: &mut Desk<'_>, header: &Header, cid: Option<u32>) {
        self.refused_puts += 1;
        desk.log.event(desk.now, || {
            let name = cid.and_then(|cid| self.book.name(cid));
            let name = String::from_utf8_lossy(name.unwrap_or(b"?"));
            format!("#{} put to {} refused", self.id, name.escape_debug())
        });
        let mut queue = SendQueue::new();
        let status = EcaStatus::NOWTACCESS;
        match Request::parse(&Frame::new(*header, &[])) {
            Ok(Request::WriteNotify {
                ty, count, ioid, ..
            }) => {
                let answer = Response::WriteNotify {
                    ty,
                    count,
                    status,
                    ioid,
                };
                self.book.response(&answer);
                answer.encode(&mut queue);
            }
            _ => Response::Error {
                cid: cid.map_or(NO_CHANNEL, Cid),
                status,
                body: ErrorBody::new(*header, "this proxy is read-only"),
            }
            .encode(&mut queue),
        }
        if self.owed.len() >= MAX_OWED {
            self.cut = Some(How::Reset);
            return;
        }
        self.owed.push((cid, Bytes::from(queue.to_vec())));
    }

    /// A request that cannot be looked at: it may be a put.
    pub(super) fn refuse_raw(&mut self, desk: &mut Desk<'_>) {
        if self.cut.is_none() {
            self.cut = Some(How::Reset);
            desk.log.event(desk.now, || {
                format!("#{} cut: a request that cannot be looked at", self.id)
            });
        }
    }

    /// Sends our own answers, unless they would land in the middle of another message.
    pub(super) fn pay(&mut self, now: ca_proto::Instant) {
        if self.owed.is_empty() || self.lane(Direction::Response).input.is_raw() {
            return;
        }
        for (cid, answer) in std::mem::take(&mut self.owed) {
            let lane = self.lane(Direction::Response);
            lane.push(now, cid, answer, std::time::Duration::ZERO, false);
        }
    }
}
