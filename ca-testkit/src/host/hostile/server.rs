//! A server that lies.

use core::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, Port};
use ca_proto::wire::{
    Command, Header, Minor, REPEATER_PORT, SERVER_PORT, datagram_frames, tcp, udp,
};

use super::HostileHost;
use crate::net::ConnId;

impl HostileHost {
    /// Answers a request, mostly.
    pub(super) fn serve(&mut self, conn: ConnId, request: &tcp::Request<'_>) {
        let mut out = Vec::new();
        if self.forge.chance(6) {
            return;
        }
        match *request {
            tcp::Request::Version { priority, .. } => {
                let minor = self.forge.minor(20);
                tcp::Response::Version { priority, minor }.encode_into(&mut out);
            }
            tcp::Request::CreateChan { cid, .. } => self.create(conn, cid, &mut out),
            tcp::Request::EventAdd {
                ty, count, subid, ..
            } => {
                let subid = SubId(self.forge.almost(subid.0));
                for _ in 0..self.forge.below(4) {
                    let (data, status) = (self.forge.data(ty, count), self.forge.status());
                    let count = self.forge.almost(count.max(1));
                    update((ty, count, status), subid, &data).encode_into(&mut out);
                }
            }
            tcp::Request::EventCancel {
                ty,
                count,
                sid,
                subid,
            } => update((ty, count, EcaStatus(sid.0)), subid, &[]).encode_into(&mut out),
            tcp::Request::ReadNotify {
                ty, count, ioid, ..
            } => {
                let (data, status) = (self.forge.data(ty, count), self.forge.status());
                tcp::Response::ReadNotify {
                    ty,
                    count: count.max(1),
                    status,
                    ioid: Ioid(self.forge.almost(ioid.0)),
                    data: Data(&data),
                }
                .encode_into(&mut out);
            }
            tcp::Request::WriteNotify {
                ty, count, ioid, ..
            } => {
                let ioid = self.forge.almost(ioid.0);
                written((ty, count, self.forge.status()), ioid).encode_into(&mut out);
            }
            tcp::Request::Echo { .. } => {
                tcp::Response::Unknown {
                    header: Header::new(Command::ECHO),
                    payload: Data(&[]),
                }
                .encode_into(&mut out);
            }
            _ => return,
        }
        self.send(conn, out);
    }

    fn create(&mut self, conn: ConnId, cid: Cid, out: &mut Vec<u8>) {
        let (cid, sid) = (Cid(self.forge.almost(cid.0)), Sid(self.new_id(conn)));
        let rights = self.forge.below(5);
        tcp::Response::AccessRights { cid, rights }.encode_into(out);
        if self.forge.chance(10) {
            tcp::Response::CreateChFail { cid }.encode_into(out);
        }
        let (ty, count) = (self.forge.type_code(), self.forge.almost(1));
        let ty = DbrType(if self.forge.chance(90) {
            ty.0 % 7
        } else {
            ty.0
        });
        tcp::Response::CreateChan {
            ty,
            count,
            cid,
            sid,
        }
        .encode_into(out);
        self.remember(conn, cid, sid);
    }

    /// Says something unasked for to a client.
    pub(super) fn tell(&mut self, conn: ConnId, cid: Cid, sid: Sid) {
        let mut out = Vec::new();
        let id = self.forge.below(12) | self.forge.below(2) << 24;
        match self.forge.below(7) {
            0 => tcp::Response::AccessRights {
                cid,
                rights: self.forge.below(5),
            }
            .encode_into(&mut out),
            1 => tcp::Response::ServerDisconn { cid }.encode_into(&mut out),
            2 => tcp::Response::CreateChFail { cid }.encode_into(&mut out),
            3 => tcp::Response::CreateChan {
                ty: self.forge.type_code(),
                count: 1,
                cid,
                sid,
            }
            .encode_into(&mut out),
            4 => {
                let ty = self.forge.type_code();
                written((ty, 1, EcaStatus::NORMAL), id).encode_into(&mut out);
            }
            5 => {
                let ty = self.forge.type_code();
                let data = self.forge.data(ty, 1);
                update((ty, 1, EcaStatus::NORMAL), SubId(id), &data).encode_into(&mut out);
            }
            _ => tcp::Response::Version {
                priority: 0,
                minor: Minor(self.forge.below(16) as u16),
            }
            .encode_into(&mut out),
        }
        self.send(conn, out);
    }

    /// Claims to serve what is searched, now and then.
    pub(super) fn answer_searches(&mut self, from: SocketAddrV4, data: &[u8]) {
        let mut out = Vec::new();
        for frame in datagram_frames(data).flatten() {
            let Ok(udp::Request::Search { cid, .. }) = udp::Request::parse(&frame) else {
                continue;
            };
            if !self.forge.chance(25) {
                continue;
            }
            let server = match self.forge.below(6) {
                0 => self
                    .forge
                    .pick(&self.targets)
                    .unwrap_or(Ipv4Addr::LOCALHOST),
                1 => Ipv4Addr::from_bits(self.forge.any()),
                _ => Ipv4Addr::BROADCAST,
            };
            let minor = self.forge.minor(16);
            let cid = Cid(self.forge.almost(cid.0));
            found(server, cid, minor).encode_into(&mut out);
        }
        if !out.is_empty() {
            let data = self.forge.harm(out);
            self.post(from, data);
        }
    }

    /// Says something by UDP, in the name of another or without meaning.
    pub(super) fn lie_by_datagram(&mut self) {
        let mut data = Vec::new();
        let target = self.forge.pick(&self.targets);
        let target = target.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let mut to = SocketAddrV4::new(target, SERVER_PORT);
        match self.forge.below(3) {
            0 => {
                // A beacon of another, to the repeaters of its subnet.
                udp::Response::Beacon {
                    minor: Minor(self.forge.below(16) as u16),
                    port: Port(self.forge.almost(u32::from(SERVER_PORT)) as u16),
                    sequence: self.forge.below(4),
                    server: target,
                }
                .encode_into(&mut data);
                to = SocketAddrV4::new(Ipv4Addr::BROADCAST, REPEATER_PORT);
            }
            1 => {
                let len = self.forge.below(64);
                data = self.forge.bytes(len);
            }
            _ => {
                let minor = Minor(self.forge.below(16) as u16);
                let cid = Cid(self.forge.below(16));
                found(target, cid, minor).encode_into(&mut data);
                to = self.heard.pop_front().unwrap_or(to);
            }
        }
        let data = self.forge.harm(data);
        self.post(to, data);
    }
}

const fn update(
    (ty, count, status): (DbrType, u32, EcaStatus),
    subid: SubId,
    data: &[u8],
) -> tcp::Response<'_> {
    tcp::Response::EventAdd {
        ty,
        count,
        status,
        subid,
        data: Data(data),
    }
}

const fn written(
    (ty, count, status): (DbrType, u32, EcaStatus),
    ioid: u32,
) -> tcp::Response<'static> {
    tcp::Response::WriteNotify {
        ty,
        count,
        status,
        ioid: Ioid(ioid),
    }
}

const fn found(server: Ipv4Addr, cid: Cid, minor: Minor) -> udp::Response<'static> {
    udp::Response::Search {
        port: Port(SERVER_PORT),
        server,
        cid,
        minor,
    }
}
