//! A client that puts what it may not write.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Ioid, Sid};
use ca_proto::wire::message::{Data, SearchFlag, Text, tcp, udp};
use ca_proto::wire::{Header, Minor, datagram_frames};

use crate::common::PATIENCE;

/// A circuit without a client behind it.
pub(crate) struct Circuit(TcpStream);

/// Which request carries the value.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Write,
    WriteNotify,
}

/// The TCP port that serves a name, as who listens at this UDP port says.
fn search(port: u16, name: &str) -> u16 {
    let mut request = Vec::new();
    udp::Request::Version {
        valid: 0,
        minor: Minor::CURRENT,
        sequence: 0,
    }
    .encode_into(&mut request);
    udp::Request::Search {
        reply: SearchFlag::DONT_REPLY,
        minor: Minor::CURRENT,
        cid: Cid(5),
        cid2: Cid(5),
        name: Text::new(name.as_bytes()),
    }
    .encode_into(&mut request);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&request, ("127.0.0.1", port)).unwrap();
    let mut reply = [0; 256];
    let len = socket.recv(&mut reply).unwrap();
    for frame in datagram_frames(&reply[..len]) {
        if let Ok(udp::Response::Search { port, .. }) = udp::Response::parse(&frame.unwrap()) {
            return port.0;
        }
    }
    panic!("no reply to the search for {name}");
}

impl Circuit {
    /// To the server of a name that is found at this UDP port.
    pub(crate) fn to(name: &str, port: u16) -> Self {
        let port = search(port, name);
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut circuit = Self(stream);
        circuit.send(&tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        });
        circuit
    }

    fn send(&mut self, request: &tcp::Request<'_>) {
        let mut bytes = Vec::new();
        request.encode_into(&mut bytes);
        self.0.write_all(&bytes).unwrap();
    }

    /// The next message with this command.
    fn receive(&mut self, wanted: u16) -> (Header, Vec<u8>) {
        loop {
            let mut head = [0; 16];
            self.0.read_exact(&mut head).unwrap();
            let (header, _) = Header::decode(&head, false).unwrap();
            let mut payload = vec![0; header.payload_len as usize];
            self.0.read_exact(&mut payload).unwrap();
            if u16::from_be_bytes([head[0], head[1]]) == wanted {
                return (header, payload);
            }
        }
    }

    /// Opens a channel: its SID, and the rights that the server gives.
    pub(crate) fn create(&mut self, name: &str) -> (Sid, u32) {
        self.send(&tcp::Request::CreateChan {
            cid: Cid(5),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        });
        let (rights, _) = self.receive(22);
        let (created, _) = self.receive(18);
        (Sid(created.p2), rights.p2)
    }

    /// Asks for a channel that the server refuses.
    pub(crate) fn create_refused(&mut self, name: &str) {
        self.send(&tcp::Request::CreateChan {
            cid: Cid(6),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        });
        self.receive(26);
    }

    /// Puts a number: what the server says.
    pub(crate) fn put(&mut self, kind: Kind, sid: Sid, value: f64) -> EcaStatus {
        let (ty, count, bytes) = (DbrType(6), 1, value.to_be_bytes());
        let data = Data(&bytes);
        match kind {
            Kind::Write => {
                self.send(&tcp::Request::Write {
                    ty,
                    count,
                    sid,
                    cid: Cid(5),
                    data,
                });
                let (error, request) = self.receive(11);
                assert_eq!((error.p1, &request[..2]), (5, &[0, 4][..]));
                EcaStatus(error.p2)
            }
            Kind::WriteNotify => {
                self.send(&tcp::Request::WriteNotify {
                    ty,
                    count,
                    sid,
                    ioid: Ioid(7),
                    data,
                });
                let (answer, _) = self.receive(19);
                assert_eq!(answer.p2, 7);
                EcaStatus(answer.p1)
            }
        }
    }
}
