//! A client that asks for what does not exist.

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask, Text};
use ca_proto::wire::{Command, Header, tcp};

use super::HostileHost;
use crate::net::ConnId;

impl HostileHost {
    /// Sends a request to an IOC: on a channel, or for one.
    pub(super) fn ask(&mut self, conn: ConnId, channel: Option<(Cid, Sid)>) {
        let mut out = Vec::new();
        let id = self.new_id(conn);
        match channel.filter(|_| self.forge.chance(80)) {
            Some((cid, sid)) => self.ask_on(id, cid, sid, &mut out),
            None => {
                let name = self.forge.pick(&self.names).unwrap_or_default();
                tcp::Request::CreateChan {
                    cid: Cid(id),
                    minor: self.forge.minor(20),
                    name: Text::new(name.as_bytes()),
                }
                .encode_into(&mut out);
            }
        }
        self.send(conn, out);
    }

    fn ask_on(&mut self, id: u32, cid: Cid, sid: Sid, out: &mut Vec<u8>) {
        let sid = Sid(self.forge.almost(sid.0));
        let (ty, count) = (self.forge.type_code(), self.forge.almost(1));
        match self.forge.below(9) {
            0 | 1 => tcp::Request::EventAdd {
                ty,
                count,
                sid,
                subid: SubId(id),
                mask: EventMask(self.forge.below(17) as u16),
            }
            .encode_into(out),
            2 => tcp::Request::EventCancel {
                ty,
                count,
                sid,
                subid: SubId(self.forge.below(id + 1)),
            }
            .encode_into(out),
            3 => tcp::Request::ReadNotify {
                ty,
                count,
                sid,
                ioid: Ioid(id),
            }
            .encode_into(out),
            // Zeros only, so that what it writes can be told from what was written by others.
            4 | 5 => tcp::Request::WriteNotify {
                ty: DbrType::new(Family::Plain, NativeType::Double),
                count,
                sid,
                ioid: Ioid(id),
                data: Data(&[0; 8]),
            }
            .encode_into(out),
            6 => tcp::Request::ClearChannel {
                data_type: 0,
                count: 0,
                sid,
                cid,
            }
            .encode_into(out),
            7 if self.forge.chance(50) => tcp::Request::EventsOff {}.encode_into(out),
            7 => tcp::Request::EventsOn {}.encode_into(out),
            _ => {
                let header = Header {
                    data_type: self.forge.below(40) as u16,
                    count: self.forge.almost(1),
                    p1: self.forge.almost(sid.0),
                    p2: self.forge.almost(cid.0),
                    ..Header::new(Command(self.forge.below(30) as u16))
                };
                let len = 8 * self.forge.below(4);
                let payload = self.forge.bytes(len);
                let payload = Data(&payload);
                tcp::Request::Unknown { header, payload }.encode_into(out);
            }
        }
    }
}
