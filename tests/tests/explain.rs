//! Why a PV does not connect, asked about the IOC of EPICS Base.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ca_client::{Cause, Client, Explanation, Remark};
use ca_tests::peer::{Peer, Python};
use ca_tests::ports;
use tokio::runtime::{Builder, Runtime};

const PREFIX: &str = "WHY";
/// Time for an answer that comes.
const LONG: Duration = Duration::from_secs(10);
/// Time for one that does not.
const SHORT: Duration = Duration::from_millis(600);
/// How long something is looked for again and again.
const PATIENCE: Duration = Duration::from_secs(30);

fn runtime() -> Runtime {
    let mut runtime = Builder::new_multi_thread();
    runtime
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("it starts")
}

fn serve(python: &Python, more: &[&str]) -> Peer {
    let served = python.serve("run_ioc.py", PREFIX, more);
    served.unwrap_or_else(|error| panic!("{error}"))
}

/// A client that searches at these addresses only.
fn client_of(to: impl IntoIterator<Item = u16>) -> Client {
    let builder = Client::builder().isolated(to.into_iter().map(ports::at));
    builder.build().expect("a client")
}

/// Looks again while the answer may be one of a machine that was too busy for the time.
async fn explained(client: &Client, pv: &str, time: Duration, id: &str) -> Explanation {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let explained = client.explain(pv).timeout(time).await;
        if explained.cause.id() == id {
            // What decided is among what was seen, and there is something to do.
            assert!(
                explained.decided_by.is_some() || is_silent(&explained),
                "{explained}"
            );
            assert!(
                explained.works() || !explained.cause.remedy().is_empty(),
                "{explained}"
            );
            return explained;
        }
        assert!(Instant::now() < deadline, "not {id}: {explained}");
    }
}

/// Nothing that was seen decides, as nothing was.
fn is_silent(explained: &Explanation) -> bool {
    let id = explained.cause.id();
    id == "silence" || id == "unknown-name"
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn rights_of_the_real_ioc_are_the_verdict() {
    let python = Python::here();
    let ioc = serve(&python, &[]);
    runtime().block_on(async {
        let client = client_of([ioc.port()]);
        let pv = |name: &str| format!("{PREFIX}:{name}");
        let explained = explained(&client, &pv("noaccess"), LONG, "no-read-access").await;
        assert_eq!(
            explained.cause,
            Cause::NoReadAccess {
                server: ports::at(ioc.port())
            }
        );
        let explained = self::explained(&client, &pv("ro"), LONG, "works").await;
        assert!(explained.remarks.contains(&Remark::ReadOnly), "{explained}");
        // The real IOC has the record, and no such field.
        let field = pv("ro.NOTHING");
        let explained = self::explained(&client, &field, SHORT, "other-name").await;
        assert_eq!(
            explained.cause.remedy(),
            format!("ask for \"{}\"", pv("ro"))
        );
    });
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn two_real_iocs_with_one_name_are_both_named() {
    let python = Python::here();
    let iocs = [serve(&python, &[]), serve(&python, &[])];
    runtime().block_on(async {
        let client = client_of(iocs.iter().map(Peer::port));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let explained = explained(&client, &format!("{PREFIX}:ro"), LONG, "works").await;
            let named = explained.remarks.iter().find_map(|remark| match remark {
                Remark::Duplicate { servers } => Some(servers.clone()),
                _ => None,
            });
            if let Some(mut named) = named {
                let mut expected = iocs.each_ref().map(|ioc| ports::at(ioc.port()));
                named.sort();
                expected.sort();
                assert_eq!(named, expected, "{explained}");
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the second one is not seen: {explained}"
            );
        }
    });
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn a_killed_ioc_is_silent_and_one_that_is_answered_for_refuses() {
    let python = Python::here();
    let mut ioc = serve(&python, &["--beacon-period", "0.1"]);
    let pv = format!("{PREFIX}:ro");
    let directory = Directory::of(&ioc, &pv);
    runtime().block_on(async {
        let (client, asks) = (client_of([ioc.port()]), client_of([directory.port]));
        let channel = client
            .connect(&pv)
            .timeout(LONG)
            .await
            .expect("it is there");
        explained(&asks, &pv, LONG, "works").await;

        // Its beacons are heard, so that it is the name that is wrong.
        let builder = Client::builder().isolated([ports::at(ioc.port())]);
        let hears = builder
            .repeater_port(ioc.port() + 1)
            .build()
            .expect("a client");
        let kept = hears.connect(&pv).timeout(LONG).await.expect("it is there");
        let wrong = format!("{PREFIX}:nobody:has:this");
        let explained = explained(&hears, &wrong, SHORT, "unknown-name").await;
        let heard = Cause::UnknownName {
            heard: ports::at(ioc.port()),
        };
        assert_eq!(explained.cause, heard, "{explained}");

        drop(kept);

        // Stopped, it takes connections, as its system does so for it, and says nothing.
        ioc.signal("-STOP");
        let explained = self::explained(&asks, &pv, SHORT, "mute-server").await;
        assert_eq!(
            explained.cause,
            Cause::MuteServer {
                server: ports::at(ioc.port())
            }
        );
        self::explained(&client, &pv, SHORT, "silence").await;

        ioc.kill();
        let explained = self::explained(&asks, &pv, SHORT, "port-refused").await;
        assert_eq!(
            explained.cause,
            Cause::PortRefused {
                server: ports::at(ioc.port())
            }
        );
        self::explained(&client, &pv, SHORT, "silence").await;
        // The client that had it says so when it has searched it again.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let explained = client.explain(&pv).timeout(SHORT).await;
            let had = |remark: &Remark| matches!(remark, Remark::Searched { answered: true, .. });
            if explained.remarks.iter().any(had) {
                break;
            }
            assert!(Instant::now() < deadline, "{explained}");
        }
        drop(channel);
    });
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn a_name_server_that_is_down_is_the_verdict() {
    let python = Python::here();
    let mut ioc = serve(&python, &[]);
    let pv = format!("{PREFIX}:ro");
    runtime().block_on(async {
        // The real IOC takes searches over TCP.
        let builder = Client::builder()
            .isolated([])
            .name_servers([ports::at(ioc.port())]);
        let client = builder.build().expect("a client");
        explained(&client, &pv, LONG, "works").await;
        ioc.kill();
        let explained = explained(&client, &pv, SHORT, "name-server-down").await;
        let Cause::NameServerDown { server, .. } = explained.cause else {
            panic!("{explained}");
        };
        assert_eq!(server, ports::at(ioc.port()));
    });
}

/// Answers searches for a PV with what the real IOC has answered once, whatever became of it, as a directory
/// does that is not up to date. It listens on a port of its own.
struct Directory {
    port: u16,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A header of Channel Access, and where the client's identifier stands in it.
const HEADER: usize = 16;
const ID: std::ops::Range<usize> = 12..16;
/// Version of the protocol, and search.
const VERSION: u16 = 0;
const SEARCH: u16 = 6;

impl Directory {
    fn of(ioc: &Peer, pv: &str) -> Self {
        let reply = answer(ports::at(ioc.port()), pv);
        let socket = UdpSocket::bind(ports::at(0)).expect("a port");
        socket
            .set_read_timeout(Some(Duration::from_millis(50)))
            .expect("a time");
        let port = socket.local_addr().expect("it is bound").port();
        let ends = Arc::new(AtomicBool::new(false));
        let (ended, pv) = (ends.clone(), pv.to_owned());
        let thread = std::thread::spawn(move || {
            let mut datagram = [0; 65536];
            while !ended.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut datagram) else {
                    continue;
                };
                for (id, name) in searches(&datagram[..len]) {
                    if name == pv.as_bytes() {
                        let mut reply = reply.clone();
                        let at = reply.len() - HEADER - 8;
                        reply[at..][ID].copy_from_slice(&id);
                        // Whoever does not get it asks again.
                        let _ = socket.send_to(&reply, from);
                    }
                }
            }
        });
        Self {
            port,
            ends,
            thread: Some(thread),
        }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        let thread = self.thread.take();
        thread.map(JoinHandle::join);
    }
}

/// Messages of a datagram: command, header with payload.
fn messages(mut bytes: &[u8]) -> Vec<(u16, &[u8])> {
    let mut found = Vec::new();
    while bytes.len() >= HEADER {
        let word = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let len = (HEADER + usize::from(word(2))).min(bytes.len());
        found.push((word(0), &bytes[..len]));
        bytes = &bytes[len..];
    }
    found
}

/// Identifiers and names that are searched.
fn searches(datagram: &[u8]) -> Vec<([u8; 4], Vec<u8>)> {
    let searches = messages(datagram).into_iter();
    let searches = searches.filter(|(command, _)| *command == SEARCH);
    searches
        .map(|(_, message)| {
            let name = message[HEADER..].split(|&byte| byte == 0).next();
            let id = message[ID].try_into().expect("four bytes");
            (id, name.unwrap_or_default().to_vec())
        })
        .collect()
}

/// What the real IOC answers to a search: its version, then where the PV is.
fn answer(server: SocketAddrV4, pv: &str) -> Vec<u8> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    socket
        .set_read_timeout(Some(Duration::from_secs(1)))
        .expect("a time");
    let mut name = pv.as_bytes().to_vec();
    name.resize((name.len() / 8 + 1) * 8, 0);
    let header = |command: u16, len: usize, kind: u16, count: u16, id: u32| {
        let mut header = Vec::with_capacity(HEADER);
        for half in [command, u16::try_from(len).expect("a name"), kind, count] {
            header.extend_from_slice(&half.to_be_bytes());
        }
        header.extend_from_slice(&id.to_be_bytes());
        header.extend_from_slice(&id.to_be_bytes());
        header
    };
    let mut search = header(VERSION, 0, 0, 13, 0);
    search.extend(header(SEARCH, name.len(), 5, 13, 7));
    search.extend(name);
    let mut seen = Vec::new();
    for _ in 0..PATIENCE.as_secs() {
        socket.send_to(&search, server).expect("it is sent");
        let mut reply = [0; 1024];
        let Ok(len) = socket.recv(&mut reply) else {
            continue;
        };
        let kinds: Vec<u16> = messages(&reply[..len])
            .iter()
            .map(|(kind, _)| *kind)
            .collect();
        if kinds.last() == Some(&SEARCH) && len >= HEADER + 8 {
            return reply[..len].to_vec();
        }
        seen.push(kinds);
    }
    panic!("{server} does not answer: {seen:?}")
}
