//! What an honest server says to whatever a check does not answer itself.

use ca_proto::wire::Command;

use super::{Heard, SENDER, SID, Stage, Sub};
use crate::bare::Reply;
use crate::bytes;

impl Stage {
    /// Sends an update with the PV's value to every subscription.
    pub(in crate::client) fn post(&mut self, value: f64) {
        self.pv.value = value;
        for sub in self.subs.clone() {
            self.update(sub);
        }
    }

    /// Sends an update of one subscription.
    pub(in crate::client) fn update(&mut self, sub: Sub) {
        let count = if sub.count == 0 {
            self.pv.count
        } else {
            sub.count
        };
        let payload = self.pv.payload(sub.ty, count);
        let message = bytes::message(Command::EVENT_ADD, sub.ty, count, 1, sub.id, &payload);
        self.send(sub.circuit, &message);
    }

    /// What an honest server does.
    pub(in crate::client) fn honest(&mut self, heard: &Heard) {
        match heard {
            Heard::Search(search) => self.found(search, self.port(), SENDER),
            Heard::Opened(circuit, _) => {
                self.send(*circuit, &bytes::version(0, self.minor));
            }
            Heard::Request(circuit, request) => self.answer(*circuit, request),
            Heard::Closed(circuit) => self.end(*circuit),
            Heard::Line | Heard::Tick => {}
        }
    }

    fn answer(&mut self, circuit: usize, request: &Reply) {
        let (ty, count, p1, p2) = (request.data_type, request.count, request.p1, request.p2);
        let reply = match request.command {
            Command::CREATE_CHAN => self.created(circuit, request),
            Command::READ_NOTIFY => {
                let count = if count == 0 { self.pv.count } else { count };
                let payload = self.pv.payload(ty, count);
                bytes::message(Command::READ_NOTIFY, ty, count, 1, p2, &payload)
            }
            Command::WRITE_NOTIFY => bytes::bare(Command::WRITE_NOTIFY, ty, count, 1, p2),
            Command::EVENT_ADD => {
                let sub = Sub {
                    circuit,
                    id: p2,
                    ty,
                    count,
                };
                self.subs.push(sub);
                return self.update(sub);
            }
            Command::EVENT_CANCEL => {
                self.subs
                    .retain(|sub| (sub.circuit, sub.id) != (circuit, p2));
                bytes::bare(Command::EVENT_ADD, ty, count, p1, p2)
            }
            Command::CLEAR_CHANNEL => {
                self.channels
                    .retain(|(of, _, sid)| (*of, *sid) != (circuit, p1));
                bytes::bare(Command::CLEAR_CHANNEL, 0, 0, p1, p2)
            }
            Command::ECHO => bytes::bare(Command::ECHO, ty, count, p1, p2),
            _ => return,
        };
        self.send(circuit, &reply);
    }

    fn created(&mut self, circuit: usize, request: &Reply) -> Vec<u8> {
        let sid = SID + self.channels.len() as u32;
        self.channels.push((circuit, request.p1, sid));
        let mut reply = rights(request.p1, self.pv.rights);
        reply.extend(created(request.p1, sid, self.pv.native, self.pv.count));
        reply
    }
}

/// The answer to a search.
pub(in crate::client) fn found(port: u16, address: u32, cid: u32) -> Vec<u8> {
    let minor = bytes::MINOR.to_be_bytes();
    bytes::message(Command::SEARCH, port, 0, address, cid, &minor)
}

/// `ACCESS_RIGHTS`.
pub(in crate::client) fn rights(cid: u32, rights: u32) -> Vec<u8> {
    bytes::bare(Command::ACCESS_RIGHTS, 0, 0, cid, rights)
}

/// The answer to `CREATE_CHAN`.
pub(in crate::client) fn created(cid: u32, sid: u32, native: u16, count: u32) -> Vec<u8> {
    bytes::bare(Command::CREATE_CHAN, native, count, cid, sid)
}
