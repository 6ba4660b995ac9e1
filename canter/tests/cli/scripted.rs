//! Servers that are played: searches are answered with what the test says, circuits by a function.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;

use ca_proto::ids::Cid;
use ca_proto::wire::message::{Port, tcp, udp};
use ca_proto::wire::{Command, Header, Minor, datagram_frames};

use crate::common::{PATIENCE, Run, command_on};

/// Answers each search with these servers, all in one datagram, as 4.13. Gives the port of searches.
pub(crate) fn searched(servers: Vec<SocketAddrV4>) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut data = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut data) {
            let mut reply = Vec::new();
            for frame in datagram_frames(&data[..len]) {
                let Ok(udp::Request::Search { cid, .. }) = udp::Request::parse(&frame.unwrap())
                else {
                    continue;
                };
                for server in &servers {
                    search_reply(cid, *server).encode_into(&mut reply);
                }
            }
            let _ = socket.send_to(&reply, from);
        }
    });
    port
}

fn search_reply(cid: Cid, server: SocketAddrV4) -> udp::Response<'static> {
    udp::Response::Search {
        port: Port(server.port()),
        server: *server.ip(),
        cid,
        minor: Minor::CURRENT,
    }
}

/// Takes connections; each is given to the function, in a thread of its own.
pub(crate) fn listen(play: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let play = Arc::new(play);
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let play = play.clone();
            std::thread::spawn(move || play(stream));
        }
    });
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// An address of this host at which nobody listens.
pub(crate) fn closed() -> SocketAddrV4 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)
}

/// What a server says to a message of its client.
pub(crate) type Answer = Vec<u8>;

/// A server that says `hello` first, then answers each message.
pub(crate) fn server(
    hello: &[tcp::Response<'_>],
    answer: impl Fn(&Header, &[u8]) -> Answer + Send + Sync + 'static,
) -> SocketAddrV4 {
    let hello = bytes(hello);
    listen(move |mut stream| {
        let _ = stream.write_all(&hello);
        while let Some((header, payload)) = receive(&mut stream) {
            if stream.write_all(&answer(&header, &payload)).is_err() {
                break;
            }
        }
    })
}

fn receive(stream: &mut TcpStream) -> Option<(Header, Vec<u8>)> {
    let mut head = [0; 16];
    stream.read_exact(&mut head).ok()?;
    let (header, _) = Header::decode(&head, false)?;
    let mut payload = vec![0; header.payload_len as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((header, payload))
}

/// Messages as they are sent.
pub(crate) fn bytes(messages: &[tcp::Response<'_>]) -> Answer {
    let mut bytes = Vec::new();
    for message in messages {
        message.encode_into(&mut bytes);
    }
    bytes
}

pub(crate) const VERSION: tcp::Response<'static> = tcp::Response::Version {
    priority: 0,
    minor: Minor::CURRENT,
};

/// The answer to a request for a channel: with all rights, of this type and count.
pub(crate) fn created(request: &Header, ty: u16, count: u32) -> Answer {
    assert_eq!(request.command, Command::CREATE_CHAN);
    let cid = Cid(request.p1);
    bytes(&[
        tcp::Response::AccessRights { cid, rights: 3 },
        tcp::Response::CreateChan {
            ty: ca_proto::dbr::DbrType(ty),
            count,
            cid,
            sid: ca_proto::ids::Sid(7),
        },
    ])
}

/// Runs the program with searches to this port.
pub(crate) fn canter(port: u16, args: &[&str]) -> Run {
    Run::of(&command_on(port, args).output().unwrap())
}
