//! The IOC on real sockets of the loopback interface.
#![cfg(feature = "net")]

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::config::ServerParams;
use ca_proto::ids::{Cid, Ioid};
use ca_proto::wire::message::{Data, EventMask, Text, tcp};
use ca_proto::wire::{Command, Deframer, FrameLimits, Minor};
use ca_proto::{EcaStatus, Instant};
use ca_server_sim::signals::Counter;
use ca_server_sim::{Ioc, NetConfig, PvSpec, ServeError, SimIoc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const PATIENCE: Duration = Duration::from_secs(60);

/// Everything in a test ends in time, or the test fails.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("in time")
}

fn quiet() -> NetConfig {
    NetConfig::new().repeater(None)
}

async fn serve(spec: PvSpec) -> SimIoc {
    Ioc::builder().pv("x", spec).serve(quiet()).await.unwrap()
}

/// A client that speaks in messages over a raw socket.
struct Client {
    stream: TcpStream,
    deframer: Deframer,
    got: Vec<(Command, u32, u32, Vec<u8>)>,
}

impl Client {
    async fn connect(to: SocketAddrV4) -> Self {
        let stream = soon(TcpStream::connect(to)).await.unwrap();
        let limits = FrameLimits {
            max_payload: 1 << 28,
            extended: true,
        };
        let mut client = Self {
            stream,
            deframer: Deframer::new(limits),
            got: Vec::new(),
        };
        let version = tcp::Request::Version {
            priority: 0,
            minor: Minor::CURRENT,
            sequence: 0,
        };
        client.send(&[version]).await;
        assert_eq!(client.next().await.0, Command::VERSION);
        client
    }

    async fn send(&mut self, requests: &[tcp::Request<'_>]) {
        let mut bytes = Vec::new();
        for request in requests {
            request.encode_into(&mut bytes);
        }
        soon(self.stream.write_all(&bytes)).await.unwrap();
    }

    /// The next message, or `None` at the end of the stream: command, P1, P2, payload.
    async fn try_next(&mut self) -> Option<(Command, u32, u32, Vec<u8>)> {
        while self.got.is_empty() {
            let mut chunk = vec![0; 65536];
            let n = soon(self.stream.read(&mut chunk)).await.unwrap_or(0);
            if n == 0 {
                return None;
            }
            let mut frames = self.deframer.frames(&chunk[..n]);
            while let Some(frame) = frames.next() {
                let frame = frame.unwrap();
                let h = frame.header;
                self.got
                    .push((h.command, h.p1, h.p2, frame.payload().to_vec()));
            }
        }
        Some(self.got.remove(0))
    }

    async fn next(&mut self) -> (Command, u32, u32, Vec<u8>) {
        self.try_next().await.expect("the circuit is open")
    }

    async fn create(&mut self, name: &str) -> ca_proto::ids::Sid {
        let request = tcp::Request::CreateChan {
            cid: Cid(1),
            minor: Minor::CURRENT,
            name: Text::new(name.as_bytes()),
        };
        self.send(&[request]).await;
        assert_eq!(self.next().await.0, Command::ACCESS_RIGHTS);
        let (command, _, sid, _) = self.next().await;
        assert_eq!(command, Command::CREATE_CHAN);
        ca_proto::ids::Sid(sid)
    }
}

const DOUBLE: ca_proto::dbr::DbrType = ca_proto::dbr::DbrType(6);

#[tokio::test]
async fn a_client_searches_reads_writes_and_subscribes() {
    let ioc = serve(PvSpec::double(1.5)).await;
    assert_ne!(ioc.addr().port(), 0);

    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut search = vec![0; 16];
    search[7] = 13;
    search.extend([0, 6, 0, 8, 0, 5, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9]);
    search.extend(b"x\0\0\0\0\0\0\0");
    let to = ioc.udp_addr();
    assert_eq!(to, SocketAddrV4::new(Ipv4Addr::LOCALHOST, ioc.udp_port()));
    udp.send_to(&search, to).await.unwrap();
    let mut reply = [0; 100];
    let (n, from) = soon(udp.recv_from(&mut reply)).await.unwrap();
    assert_eq!((n, from.port()), (40, ioc.udp_port()));
    assert_eq!(reply[20..22], ioc.addr().port().to_be_bytes());

    let mut client = Client::connect(ioc.addr()).await;
    let sid = client.create("x").await;
    let (ty, count) = (DOUBLE, 1);
    let read = tcp::Request::ReadNotify {
        ty,
        count,
        sid,
        ioid: Ioid(7),
    };
    client.send(&[read]).await;
    let (command, status, ioid, payload) = client.next().await;
    assert_eq!((command, status, ioid), (Command::READ_NOTIFY, 1, 7));
    assert_eq!(payload, 1.5f64.to_be_bytes());

    let subscribe = tcp::Request::EventAdd {
        ty,
        count,
        sid,
        subid: ca_proto::ids::SubId(8),
        mask: EventMask::VALUE,
    };
    client.send(&[subscribe]).await;
    assert_eq!(client.next().await.3, 1.5f64.to_be_bytes());
    ioc.post("x", 2.5).unwrap();
    assert_eq!(client.next().await.3, 2.5f64.to_be_bytes());
    let data = 4.5f64.to_be_bytes();
    let write = tcp::Request::WriteNotify {
        ty,
        count,
        sid,
        ioid: Ioid(9),
        data: Data(&data),
    };
    client.send(&[write]).await;
    let mut commands = [client.next().await.0, client.next().await.0];
    commands.sort_by_key(|c| c.0);
    assert_eq!(commands, [Command::EVENT_ADD, Command::WRITE_NOTIFY]);
    assert_eq!(ioc.with(|ioc, _| ioc.number("x")), Ok(4.5));
    soon(ioc.stop()).await;
}

#[tokio::test]
async fn signals_and_completions_run_by_the_clock() {
    let tick = Duration::from_millis(5);
    let ioc = serve(PvSpec::long(0).signal(Counter::new(), tick)).await;
    let slow = PvSpec::double(0.0).completes_after(tick);
    ioc.with(|ioc, now| ioc.add(now, "slow", slow)).unwrap();
    let mut client = Client::connect(ioc.addr()).await;
    let sid = client.create("slow").await;
    let data = 1f64.to_be_bytes();
    let write = tcp::Request::WriteNotify {
        ty: DOUBLE,
        count: 1,
        sid,
        ioid: Ioid(9),
        data: Data(&data),
    };
    client.send(&[write]).await;
    let (command, status, ..) = client.next().await;
    assert_eq!(
        (command, EcaStatus(status)),
        (Command::WRITE_NOTIFY, EcaStatus::NORMAL)
    );
    let sid = client.create("x").await;
    let subscribe = tcp::Request::EventAdd {
        ty: DOUBLE,
        count: 1,
        sid,
        subid: ca_proto::ids::SubId(8),
        mask: EventMask::VALUE,
    };
    client.send(&[subscribe]).await;
    let mut values = Vec::new();
    for _ in 0..4 {
        let payload = client.next().await.3;
        values.push(f64::from_be_bytes(payload.try_into().unwrap()));
    }
    assert!(values.windows(2).all(|w| w[1] > w[0]), "{values:?}");
}

#[tokio::test]
async fn an_ioc_stops_and_starts_on_the_same_ports() {
    let ioc = serve(PvSpec::double(1.0)).await;
    let (addr, udp) = (ioc.addr(), ioc.udp_port());
    let mut client = Client::connect(addr).await;
    client.create("x").await;
    soon(ioc.stop()).await;
    assert!(!ioc.is_running());
    assert_eq!(client.try_next().await, None, "the connection has ended");
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
    ioc.post("x", 7.0).unwrap();
    soon(ioc.start()).await.unwrap();
    assert_eq!((ioc.addr(), ioc.udp_port()), (addr, udp));
    let mut client = Client::connect(addr).await;
    client.create("x").await;
    soon(ioc.restart()).await.unwrap();
    assert_eq!(client.try_next().await, None);
    drop(ioc);
}

#[tokio::test]
async fn several_iocs_live_in_one_process() {
    let a = serve(PvSpec::double(1.0)).await;
    let b = serve(PvSpec::double(2.0)).await;
    assert_ne!(a.addr(), b.addr());
    assert_ne!(a.udp_port(), b.udp_port());
    for (ioc, value) in [(&a, 1.0f64), (&b, 2.0)] {
        let mut client = Client::connect(ioc.addr()).await;
        let sid = client.create("x").await;
        let read = tcp::Request::ReadNotify {
            ty: DOUBLE,
            count: 1,
            sid,
            ioid: Ioid(1),
        };
        client.send(&[read]).await;
        assert_eq!(client.next().await.3, value.to_be_bytes());
    }
}

#[tokio::test]
async fn a_taken_tcp_port_is_replaced_unless_it_has_to_be_exact() {
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = other.local_addr().unwrap().port();
    let builder = || Ioc::builder().pv("x", PvSpec::long(1));
    let ioc = builder().serve(quiet().tcp_port(taken)).await.unwrap();
    assert_ne!(ioc.addr().port(), taken);
    let error = builder().serve(quiet().tcp_port(taken).exact(true)).await;
    let error = error.unwrap_err();
    assert!(
        matches!(error, ServeError::Socket { what: "TCP", .. }),
        "{error}"
    );
    assert!(
        error.to_string().contains(&format!("127.0.0.1:{taken}")),
        "{error}"
    );
}

#[tokio::test]
async fn the_environment_leads_to_this_ioc_only() {
    let ioc = serve(PvSpec::long(1)).await;
    let port = ioc.udp_port();
    let text = ioc.env_text();
    assert!(
        text.contains(&format!("export EPICS_CA_ADDR_LIST=127.0.0.1:{port}\n")),
        "{text}"
    );
    assert!(text.contains("export EPICS_CA_AUTO_ADDR_LIST=NO\n"));
}

#[tokio::test]
async fn a_violation_is_answered_before_the_circuit_ends() {
    let ioc = serve(PvSpec::long(1)).await;
    let mut client = Client::connect(ioc.addr()).await;
    let read = tcp::Request::ReadNotify {
        ty: DOUBLE,
        count: 1,
        sid: ca_proto::ids::Sid(99),
        ioid: Ioid(1),
    };
    client.send(&[read.clone(), read]).await;
    let (command, _, status, _) = client.next().await;
    assert_eq!(
        (command, EcaStatus(status)),
        (Command::ERROR, EcaStatus::INTERNAL)
    );
    assert_eq!(client.try_next().await, None);
    drop(client);
    // The circuit is forgotten.
    let gone = |ioc: &mut Ioc, _: Instant| ioc.circuits().count() == 0;
    soon(async {
        while !ioc.with(gone) {
            tokio::task::yield_now().await
        }
    })
    .await;
}

#[tokio::test]
async fn what_came_before_the_half_close_is_answered() {
    // `destroy_tcp_client` of EPICS Base
    let ioc = serve(PvSpec::array(vec![0.5f64; 100_000])).await;
    let mut client = Client::connect(ioc.addr()).await;
    let sid = client.create("x").await;
    let read = |n| tcp::Request::ReadNotify {
        ty: DOUBLE,
        count: 0,
        sid,
        ioid: Ioid(n),
    };
    client.send(&[read(1), read(2), read(3)]).await;
    client.stream.shutdown().await.unwrap();
    for n in 1..=3 {
        let (command, _, ioid, payload) = client.next().await;
        assert_eq!(
            (command, ioid, payload.len()),
            (Command::READ_NOTIFY, n, 800_000)
        );
    }
    assert_eq!(client.try_next().await, None);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_not_read_from() {
    let ioc = serve(PvSpec::array(vec![0.5f64; 100_000])).await;
    let mut client = Client::connect(ioc.addr()).await;
    let sid = client.create("x").await;
    // 4 bytes per element instead of 8: a conversion, whose result is queued as a copy.
    let ty = ca_proto::dbr::DbrType(2);
    let reads: Vec<_> = (0..200)
        .map(|n| tcp::Request::ReadNotify {
            ty,
            count: 0,
            sid,
            ioid: Ioid(n),
        })
        .collect();
    client.send(&reads).await;
    // Once the socket is full nothing more is handled, and nothing that was read is lost.
    let requests = |ioc: &SimIoc| {
        ioc.with(|ioc, _| {
            let id = ioc.circuits().next().unwrap();
            ioc.circuit_stats(id).unwrap().requests
        })
    };
    let (mut before, mut quiet) = (0, 0);
    while quiet < 1000 {
        tokio::task::yield_now().await;
        let now = requests(&ioc);
        quiet = if now == before { quiet + 1 } else { 0 };
        before = now;
    }
    assert!(
        (3..150).contains(&before),
        "{before} of 200 reads are handled"
    );
    for n in 0..200 {
        let (_, status, ioid, payload) = client.next().await;
        assert_eq!(
            (EcaStatus(status), ioid, payload.len()),
            (EcaStatus::NORMAL, n, 400_000)
        );
    }
}

#[tokio::test]
async fn each_interface_answers_from_its_own_address() {
    // `rsrv_init` of EPICS Base
    let second = Ipv4Addr::new(127, 0, 0, 2);
    let config = quiet().interfaces([Ipv4Addr::LOCALHOST, second]);
    let builder = Ioc::builder().pv("x", PvSpec::long(1));
    let ioc = builder.serve(config).await.unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut search = vec![0; 16];
    search[7] = 13;
    search.extend([0, 6, 0, 8, 0, 5, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9]);
    search.extend(b"x\0\0\0\0\0\0\0");
    for interface in [Ipv4Addr::LOCALHOST, second] {
        let to = (interface, ioc.udp_port());
        udp.send_to(&search, to).await.unwrap();
        let mut reply = [0; 100];
        let (_, from) = soon(udp.recv_from(&mut reply)).await.unwrap();
        assert_eq!(from, SocketAddrV4::new(to.0, to.1).into());
        let mut client = Client::connect(SocketAddrV4::new(interface, ioc.addr().port())).await;
        client.create("x").await;
    }
    let text = ioc.env_text();
    let port = ioc.udp_port();
    let list = format!("EPICS_CA_ADDR_LIST=\"127.0.0.1:{port} 127.0.0.2:{port}\"");
    assert!(text.contains(&list), "{text}");
    soon(ioc.restart()).await.unwrap();
    assert_eq!(ioc.udp_port(), port);
}

#[tokio::test]
async fn d11_an_unusable_interface_moves_no_port() {
    // `ca-proto/TRAPS.md`: the reference moves every listener to a port of the system's choice.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let foreign = Ipv4Addr::new(192, 0, 2, 1);
    let config = quiet().tcp_port(port);
    let both = config.clone().interfaces([Ipv4Addr::LOCALHOST, foreign]);
    let builder = || Ioc::builder().pv("x", PvSpec::long(1));
    let error = builder().serve(both).await.unwrap_err().to_string();
    assert!(error.contains(&format!("192.0.2.1:{port}")), "{error}");
    let ioc = builder().serve(config).await.unwrap();
    assert_eq!(ioc.addr().port(), port);
}

#[tokio::test]
async fn searches_to_a_multicast_group_are_answered_from_the_interface() {
    let group = Ipv4Addr::new(239, 255, 27, 1);
    let builder = Ioc::builder().pv("x", PvSpec::long(1));
    let ioc = builder.serve(quiet().groups([group])).await.unwrap();
    let client = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let sock = socket2::SockRef::from(&client);
    sock.set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    client.set_nonblocking(true).unwrap();
    let udp = UdpSocket::from_std(client).unwrap();
    let mut search = vec![0; 16];
    search[7] = 13;
    search.extend([0, 6, 0, 8, 0, 5, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9]);
    search.extend(b"x\0\0\0\0\0\0\0");
    udp.send_to(&search, (group, ioc.udp_port())).await.unwrap();
    let mut reply = [0; 100];
    let (n, from) = soon(udp.recv_from(&mut reply)).await.unwrap();
    assert_eq!((n, from), (40, ioc.udp_addr().into()));
}

#[tokio::test]
async fn ignored_hosts_get_no_answer() {
    // `rsrv_init` of EPICS Base, EPICS_CAS_IGNORE_ADDR_LIST
    let params = ServerParams::default().ignore_addrs(vec![Ipv4Addr::new(127, 0, 0, 3)]);
    let builder = Ioc::builder().pv("x", PvSpec::long(1)).params(params);
    let ioc = builder.serve(quiet()).await.unwrap();
    let mut search = vec![0; 16];
    search[7] = 13;
    search.extend([0, 6, 0, 8, 0, 5, 0, 13, 0, 0, 0, 9, 0, 0, 0, 9]);
    search.extend(b"x\0\0\0\0\0\0\0");
    let ignored = UdpSocket::bind("127.0.0.3:0").await.unwrap();
    let heard = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for socket in [&ignored, &heard] {
        socket.send_to(&search, ioc.udp_addr()).await.unwrap();
    }
    let mut reply = [0; 100];
    soon(heard.recv_from(&mut reply)).await.unwrap();
    // Searches are answered in their order, so an answer to the first would be there.
    assert!(ignored.try_recv_from(&mut reply).is_err());
}

/// A log that asks the IOC, from another thread, whenever a line is written.
#[derive(Clone, Default)]
struct Asks(Arc<Mutex<(Option<SimIoc>, Vec<bool>)>>);

impl tracing::Subscriber for Asks {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("ca_server_sim")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        let Some(ioc) = self.0.lock().unwrap().0.clone() else {
            return;
        };
        let (send, answer) = std::sync::mpsc::channel();
        std::thread::spawn(move || send.send(ioc.read("x").is_ok()));
        let answered = answer.recv_timeout(PATIENCE).unwrap_or(false);
        self.0.lock().unwrap().1.push(answered);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

/// Who writes a log may be slow, or never come back.
#[tokio::test]
async fn nothing_is_logged_while_the_ioc_is_locked() {
    let asks = Asks::default();
    // While there is only one dispatcher, a line that another test's thread reaches first stays off.
    let _second = tracing::Dispatch::new(asks.clone());
    let _here = tracing::subscriber::set_default(asks.clone());
    let params = ServerParams::default().max_channels_per_circuit(1);
    let builder = Ioc::builder().params(params).pv("x", PvSpec::long(1));
    let ioc = builder.serve(quiet()).await.unwrap();
    asks.0.lock().unwrap().0 = Some(ioc.clone());
    let mut client = Client::connect(ioc.addr()).await;
    client.create("x").await;
    let second = tcp::Request::CreateChan {
        cid: Cid(9),
        minor: Minor::CURRENT,
        name: Text::new(b"x"),
    };
    client.send(&[second]).await;
    while client.next().await.0 != Command::CREATE_CH_FAIL {}
    let answers = asks.0.lock().unwrap().1.clone();
    assert!(!answers.is_empty(), "the refusal is logged");
    assert!(answers.iter().all(|answered| *answered), "{answers:?}");
}
