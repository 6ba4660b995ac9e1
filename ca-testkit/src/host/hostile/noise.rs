//! Messages without meaning.

use core::net::{Ipv4Addr, SocketAddrV4};

use ca_proto::ids::Cid;
use ca_proto::wire::message::{Port, Text};
use ca_proto::wire::{Minor, REPEATER_PORT, SERVER_PORT, tcp, udp};

use super::{HostileHost, Victim};
use crate::host::HostOutput;
use crate::net::ConnId;

impl HostileHost {
    /// Dials somebody, sends a datagram, or something on a stream that is open.
    pub(super) fn make_noise(&mut self) {
        let kind = self.forge.below(6);
        let at = self.forge.below(self.streams.len() as u32) as usize;
        let stream = self.streams.iter().nth(at);
        let stream = stream.map(|(conn, stream)| (*conn, stream.victim));
        match (kind, stream) {
            (0, _) => self.dial(),
            (1 | 2, _) => self.noise_by_datagram(),
            (3, Some((conn, _))) if self.forge.chance(20) => {
                self.streams.remove(&conn);
                self.output.push_back(HostOutput::Abort { conn });
            }
            (_, Some((conn, victim))) => self.noise_on(conn, victim),
            (_, None) => {}
        }
    }

    fn noise_on(&mut self, conn: ConnId, victim: Victim) {
        let mut out = Vec::new();
        match self.forge.below(10) {
            0 => {
                let len = 1 + self.forge.below(64);
                out = self.forge.bytes(len);
            }
            1 if victim == Victim::Server => {
                tcp::Request::CreateChan {
                    cid: Cid(self.forge.below(8)),
                    minor: Minor(self.forge.below(16) as u16),
                    name: Text::new(b"x0"),
                }
                .encode_into(&mut out);
            }
            _ => {
                out = self.forge.message();
                if self.forge.chance(8) {
                    out.truncate(self.forge.below(out.len() as u32) as usize);
                }
            }
        }
        self.send(conn, out);
    }

    fn noise_by_datagram(&mut self) {
        let port = match self.forge.chance(50) {
            true => SERVER_PORT,
            false => REPEATER_PORT,
        };
        let to = self.heard.pop_front().unwrap_or_else(|| {
            let target = self.forge.pick(&self.targets);
            SocketAddrV4::new(target.unwrap_or(Ipv4Addr::BROADCAST), port)
        });
        let mut data = Vec::new();
        match self.forge.below(4) {
            0 => udp::Response::Beacon {
                minor: Minor(self.forge.below(16) as u16),
                port: Port(SERVER_PORT),
                sequence: self.forge.below(4),
                server: Ipv4Addr::UNSPECIFIED,
            }
            .encode_into(&mut data),
            1 => {
                let len = self.forge.below(80);
                data = self.forge.bytes(len);
            }
            _ => {
                for _ in 0..1 + self.forge.below(4) {
                    data.extend(self.forge.message());
                }
            }
        }
        self.post(to, data);
    }
}
