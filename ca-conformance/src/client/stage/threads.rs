//! The sockets of the server that is played, and the threads that wait for them.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;

use ca_proto::wire::{Command, MAX_UDP_RECV};

use crate::bytes;

/// What threads tell.
#[derive(Debug)]
pub(in crate::client) enum Event {
    Datagram(SocketAddr, Vec<u8>),
    Accepted(usize, TcpStream),
    Bytes(usize, Vec<u8>),
    Closed(usize, String),
    Said(String),
    Complained(String),
    Quiet,
}

/// How often threads look whether the check is over.
pub(super) const LOOK: Duration = Duration::from_millis(20);
/// Tries to find a port that is free for TCP and UDP.
const PORTS: usize = 50;
/// Ends the threads when it is dropped.
#[derive(Debug, Default)]
pub(super) struct Threads(Arc<AtomicBool>);

impl Threads {
    pub(super) fn stop(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sockets of a server: circuits and searches at the same port.
pub(super) fn sockets() -> std::io::Result<(TcpListener, UdpSocket, SocketAddrV4)> {
    let mut last = None;
    for _ in 0..PORTS {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = tcp.local_addr()?.port();
        match UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            Ok(udp) => return Ok((tcp, udp, SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| ErrorKind::AddrInUse.into()))
}

pub(super) fn search_thread(
    udp: UdpSocket,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<()> {
    udp.set_read_timeout(Some(LOOK))?;
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_UDP_RECV];
        while !stop.load(Ordering::Relaxed) {
            // An error here is that of an answer nobody took.
            if let Ok((len, from)) = udp.recv_from(&mut buffer)
                && events
                    .send(Event::Datagram(from, buffer[..len].to_vec()))
                    .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// Confirms every registration (8).
pub(super) fn repeater_thread(socket: UdpSocket, stop: Arc<AtomicBool>) -> std::io::Result<()> {
    socket.set_read_timeout(Some(LOOK))?;
    let address = u32::from(Ipv4Addr::LOCALHOST);
    let confirm = bytes::bare(Command::REPEATER_CONFIRM, 0, 0, 0, address);
    thread::spawn(move || {
        let mut buffer = vec![0; MAX_UDP_RECV];
        while !stop.load(Ordering::Relaxed) {
            if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                // A client that is gone needs no answer.
                let _ = socket.send_to(&confirm, from);
            }
        }
    });
    Ok(())
}

pub(super) fn accept_thread(
    tcp: TcpListener,
    number: usize,
    events: Sender<Event>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<()> {
    tcp.set_nonblocking(true)?;
    thread::spawn(move || {
        while !stop.load(Ordering::Relaxed) {
            match tcp.accept() {
                Ok((stream, _)) => {
                    let blocking = stream.set_nonblocking(false);
                    if blocking.is_err() || events.send(Event::Accepted(number, stream)).is_err() {
                        return;
                    }
                }
                Err(_) => thread::sleep(Duration::from_millis(1)),
            }
        }
    });
    Ok(())
}

pub(super) fn read_thread(circuit: usize, mut stream: TcpStream, events: Sender<Event>) {
    thread::spawn(move || {
        let mut chunk = vec![0; 64 * 1024];
        let how = loop {
            match stream.read(&mut chunk) {
                Ok(0) => break "closed by the client".to_owned(),
                Ok(n) => {
                    if events
                        .send(Event::Bytes(circuit, chunk[..n].to_vec()))
                        .is_err()
                    {
                        return;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break format!("closed by the client: {error}"),
            }
        };
        // Nobody may be listening any more.
        let _ = events.send(Event::Closed(circuit, how));
    });
}
