//! Every cause for which a PV does not connect is produced, and found.

use std::future::poll_fn;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ca_client::{AccessRights, Cause, Client, ClientBuilder, Explanation, Observed, Remark, Value};
use ca_net::{ByteStream, Runtime, StreamOptions, UdpOptions};
use ca_proto::EcaStatus;
use ca_proto::config::ServerParams;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Sid};
use ca_proto::text::Plain;
use ca_proto::wire::message::{Data, Port, SAME_ADDRESS};
use ca_proto::wire::{Deframer, FrameLimits, Minor, PvNameError, datagram_frames, tcp, udp};
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::runtime::SimRuntime;

use crate::rig::{CLIENT, IOC, OTHER_IOC, SECOND, run, serve, usual};
use crate::scripted::{PHANTOM, Scripted};

/// What a peer does with a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Peer {
    /// Nothing.
    Mute,
    /// It ends it.
    Ends,
    /// It speaks another protocol.
    Web,
    /// It greets, and breaks the protocol then.
    Breaks,
    /// It greets, and answers nothing.
    Greets,
    /// It creates channels, and answers reads with this; with nothing if it is `NORMAL`.
    Reads(EcaStatus),
}

/// Answers every search with a port, of its own host unless another is named.
fn answers(rt: &SimRuntime, at: Ipv4Addr, server: Ipv4Addr, port: u16) {
    let host = rt.host(at);
    let options = UdpOptions {
        address: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5064),
        ..UdpOptions::default()
    };
    let mut socket = host.bind_udp(&options).unwrap();
    let task = async move {
        let mut buf = [0; 2048];
        loop {
            let received = poll_fn(|cx| socket.poll_recv_from(cx, &mut buf)).await;
            let (len, from) = received.unwrap();
            let mut found = Vec::new();
            for frame in datagram_frames(&buf[..len]).flatten() {
                if let Ok(udp::Request::Search { cid, .. }) = udp::Request::parse(&frame) {
                    let minor = Minor::CURRENT;
                    let port = Port(port);
                    udp::Response::Search {
                        port,
                        server,
                        cid,
                        minor,
                    }
                    .encode_into(&mut found);
                }
            }
            if !found.is_empty() {
                let _ = poll_fn(|cx| socket.poll_send_to(cx, &found, from)).await;
            }
        }
    };
    drop(host.spawn(Box::pin(task)));
}

/// A peer at the port of circuits, to which searches lead.
fn peer(rt: &SimRuntime, kind: Peer) {
    answers(rt, IOC, SAME_ADDRESS, 5064);
    let host = rt.host(IOC);
    let here = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 5064);
    let mut listener = host.listen(here, &StreamOptions::default()).unwrap();
    let runtime: Arc<dyn Runtime> = host.clone();
    let task = async move {
        loop {
            let (stream, _) = poll_fn(|cx| listener.poll_accept(cx)).await.unwrap();
            drop(runtime.spawn(Box::pin(behave(stream, kind))));
        }
    };
    drop(host.spawn(Box::pin(task)));
}

async fn write(stream: &mut dyn ByteStream, data: &[u8]) {
    let mut left = data;
    while !left.is_empty() {
        let slices = [IoSlice::new(left)];
        let wrote = poll_fn(|cx| stream.poll_write_vectored(cx, &slices)).await;
        left = &left[wrote.unwrap_or(left.len())..];
    }
}

async fn behave(mut stream: Box<dyn ByteStream>, kind: Peer) {
    match kind {
        Peer::Ends => return,
        Peer::Web => write(&mut *stream, b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
        Peer::Mute => {}
        Peer::Breaks | Peer::Greets | Peer::Reads(_) => {
            let version = tcp::Response::Version {
                priority: 0,
                minor: Minor::CURRENT,
            };
            let mut greeting = Vec::new();
            version.encode_into(&mut greeting);
            if kind == Peer::Breaks {
                // A message that is no multiple of eight bytes.
                greeting.extend([0, 15, 0, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
            }
            write(&mut *stream, &greeting).await;
        }
    }
    let mut deframer = Deframer::new(FrameLimits {
        max_payload: 1 << 14,
        extended: true,
    });
    let mut buf = [0; 4096];
    while let Ok(n @ 1..) = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await {
        let mut out = Vec::new();
        let mut frames = deframer.frames(&buf[..n]);
        while let Some(Ok(frame)) = frames.next() {
            let Peer::Reads(status) = kind else { continue };
            match tcp::Request::parse(&frame) {
                Ok(tcp::Request::CreateChan { cid, .. }) => create(cid, &mut out),
                Ok(tcp::Request::ReadNotify { ioid, ty, .. }) if status != EcaStatus::NORMAL => {
                    let answer = tcp::Response::ReadNotify {
                        ty,
                        count: 0,
                        status,
                        ioid,
                        data: Data(&[]),
                    };
                    answer.encode_into(&mut out);
                }
                _ => {}
            }
        }
        write(&mut *stream, &out).await;
    }
}

fn create(cid: Cid, out: &mut Vec<u8>) {
    tcp::Response::AccessRights { cid, rights: 3 }.encode_into(out);
    tcp::Response::CreateChan {
        ty: DbrType(6),
        count: 1,
        cid,
        sid: Sid(1),
    }
    .encode_into(out);
}

fn builder(rt: &SimRuntime) -> ClientBuilder {
    Client::builder()
        .without_env()
        .repeater_port(0)
        .runtime(rt.host(CLIENT))
}

#[track_caller]
fn explained(rt: &SimRuntime, client: &Client, name: &str) -> Explanation {
    let explained = run(rt, client.explain(name).timeout(3 * SECOND));
    let text = explained.to_string();
    // The same, for people.
    assert!(
        text.starts_with(&Plain(name.as_bytes()).to_string()),
        "{text}"
    );
    assert!(text.contains(explained.cause.id()), "{text}");
    assert_eq!(text.contains("remedy: "), !explained.works(), "{text}");
    explained
}

/// The explanation in a world that `make` has made.
#[track_caller]
fn of(name: &str, make: impl FnOnce(&SimRuntime)) -> Explanation {
    let rt = SimRuntime::new(1);
    make(&rt);
    let client = builder(&rt).build().unwrap();
    explained(&rt, &client, name)
}

const AT: SocketAddrV4 = SocketAddrV4::new(IOC, 5064);

#[test]
fn what_works_is_told_step_by_step() {
    let rt = SimRuntime::new(1);
    let _ioc = serve(&rt, IOC, usual());
    let client = builder(&rt).build().unwrap();
    let x = explained(&rt, &client, "x");
    assert_eq!(x.cause, Cause::Works);
    assert_eq!(x.remarks, []);
    let steps: Vec<&Observed> = x.steps.iter().map(|step| &step.what).collect();
    let place = |is: fn(&Observed) -> bool| steps.iter().position(|step| is(step));
    let places = [
        place(|step| matches!(step, Observed::Asked { name, .. } if name == "x")),
        place(|step| matches!(step, Observed::Answered { server, .. } if *server == AT)),
        place(|step| matches!(step, Observed::Dialling { .. })),
        place(|step| matches!(step, Observed::Connected { .. })),
        place(|step| matches!(step, Observed::Version { .. })),
        place(|step| matches!(step, Observed::Created { count: 1, .. })),
        place(|step| matches!(step, Observed::Value { count: 1, .. })),
    ];
    assert!(places.iter().all(Option::is_some), "{x}");
    assert!(places.is_sorted(), "{x}");
    assert!(x.steps.is_sorted_by_key(|step| step.at), "{x}");
    // Nothing of it is left, and the client was not touched.
    assert_eq!(client.stats().channels, 0);
    assert_eq!(_ioc.with(|ioc, _| ioc.counts().circuits), 0);
}

#[test]
fn names_that_nobody_has() {
    let with_ioc = |rt: &SimRuntime| std::mem::forget(serve(rt, IOC, usual()));
    assert_eq!(of("x", |_| {}).cause, Cause::Silence);
    let explained = of("", with_ioc);
    let reason = PvNameError::Empty;
    assert_eq!(explained.cause, Cause::BadName { reason });
    assert!(explained.to_string().contains("cannot be empty"));
    // What is typed does not look like a line of the answer.
    let forged = of("x\nverdict: it works", with_ioc).to_string();
    assert!(forged.contains("who has \"x\\nverdict"), "{forged}");
    assert_eq!(forged.matches("\nverdict").count(), 1, "{forged}");
    assert_eq!(of("nobody", with_ioc).cause, Cause::Silence);
    for name in ["X", "x.WRONG", "x ", "X.VAL"] {
        let explained = of(name, with_ioc);
        let Cause::OtherName { found, server } = &explained.cause else {
            panic!("{explained}");
        };
        assert!(matches!(found.as_str(), "x" | "x.val"), "{explained}");
        assert_eq!(*server, AT);
        assert!(explained.decided_by.is_some(), "{explained}");
    }
}

/// A client that searches at the host of the IOC and nowhere else.
fn of_one_host(rt: &SimRuntime) -> Client {
    let list = builder(rt).auto_addr_list(false).search_addrs([AT]);
    list.build().unwrap()
}

#[test]
fn a_server_that_lacks_the_name_and_none() {
    let rt = SimRuntime::new(1);
    let client = of_one_host(&rt);
    let _there = rt.host(IOC);
    let none = explained(&rt, &client, "nobody");
    assert_eq!(none.cause, Cause::Silence);
    let nothing = Remark::NothingListens { at: AT };
    assert!(none.remarks.contains(&nothing), "{none}");

    let ioc = serve(&rt, IOC, usual());
    let lacks = explained(&rt, &client, "nobody");
    assert_eq!(lacks.cause, Cause::UnknownName { heard: AT }, "{lacks}");
    assert!(lacks.decided_by.is_some(), "{lacks}");
    assert!(!lacks.remarks.contains(&nothing), "{lacks}");
    assert_eq!(ioc.with(|ioc, _| ioc.counts().circuits), 0);
}

#[test]
fn datagrams_that_do_not_get_through() {
    let rt = SimRuntime::new(1);
    let _ioc = serve(&rt, IOC, usual());
    rt.net(|net| net.default_link_mut().loss = 1.0);
    let lost = explained(&rt, &of_one_host(&rt), "x");
    assert_eq!(lost.cause, Cause::SearchesLost { server: AT }, "{lost}");
    assert!(lost.decided_by.is_some(), "{lost}");
}

#[test]
fn nowhere_and_stray_addresses() {
    let rt = SimRuntime::new(1);
    let nowhere = builder(&rt).auto_addr_list(false).build().unwrap();
    assert_eq!(explained(&rt, &nowhere, "x").cause, Cause::NowhereToSearch);
    let stray = SocketAddrV4::new(Ipv4Addr::new(10, 0, 7, 255), 5064);
    let list = builder(&rt).auto_addr_list(false).search_addrs([stray]);
    let client = list.build().unwrap();
    let cause = explained(&rt, &client, "x").cause;
    assert_eq!(cause, Cause::StrayBroadcast { address: stray });
}

#[test]
fn a_name_server_that_is_down() {
    let rt = SimRuntime::new(1);
    // A host without anything at this port.
    let _there = rt.host(OTHER_IOC);
    let server = SocketAddrV4::new(OTHER_IOC, 5064);
    let list = builder(&rt).auto_addr_list(false).name_servers([server]);
    let explained = explained(&rt, &list.build().unwrap(), "x");
    let Cause::NameServerDown { server: down, .. } = explained.cause else {
        panic!("{explained}");
    };
    assert_eq!(down, server);
}

#[test]
fn a_server_whose_beacons_are_heard() {
    let rt = SimRuntime::new(1);
    let params = ServerParams::default().beacon_addrs(vec![SocketAddrV4::new(CLIENT, 5065)]);
    let _ioc = serve(&rt, IOC, usual().params(params));
    let client = builder(&rt).repeater_port(5065).build().unwrap();
    let _channel = client.open("nobody").unwrap();
    run(&rt, rt.sleep(40 * SECOND));
    let cause = explained(&rt, &client, "nobody").cause;
    assert_eq!(cause, Cause::UnknownName { heard: AT });
}

#[test]
fn ports_that_nobody_serves() {
    let refused = of("x", |rt| answers(rt, IOC, SAME_ADDRESS, 7000));
    let server = SocketAddrV4::new(IOC, 7000);
    assert_eq!(refused.cause, Cause::PortRefused { server });
    assert!(refused.decided_by.is_some(), "{refused}");
    // A host that there is not.
    let nobody = Ipv4Addr::new(10, 0, 0, 77);
    let lost = of("x", |rt| answers(rt, IOC, nobody, 5064));
    let server = SocketAddrV4::new(nobody, 5064);
    let causes = [
        Cause::NoConnection { server },
        Cause::HostUnreachable { server },
    ];
    assert!(causes.contains(&lost.cause), "{lost}");
    let another = Remark::AnsweredForAnother { by: AT, server };
    assert!(lost.remarks.contains(&another), "{lost}");
}

#[test]
fn peers_that_are_no_servers() {
    let server = AT;
    let cases = [
        (Peer::Mute, Cause::MuteServer { server }),
        (Peer::Ends, Cause::ConnectionLost { server }),
        (Peer::Web, Cause::NotChannelAccess { server }),
        (Peer::Greets, Cause::CreationUnanswered { server }),
        (
            Peer::Reads(EcaStatus::NORMAL),
            Cause::GetUnanswered { server },
        ),
        (
            Peer::Reads(EcaStatus::GETFAIL),
            Cause::GetRefused {
                server,
                status: EcaStatus::GETFAIL,
            },
        ),
        (
            Peer::Reads(EcaStatus::NORDACCESS),
            Cause::NoReadAccess { server },
        ),
    ];
    for (kind, cause) in cases {
        let explained = of("x", |rt| peer(rt, kind));
        assert_eq!(explained.cause, cause, "{kind:?}: {explained}");
    }
    let broken = of("x", |rt| peer(rt, Peer::Breaks));
    let causes = [
        Cause::ProtocolBroken { server },
        Cause::CreationUnanswered { server },
    ];
    assert!(causes.contains(&broken.cause), "{broken}");
}

#[test]
fn a_server_that_is_full() {
    let rt = SimRuntime::new(1);
    let params = ServerParams::default().max_circuits(1);
    let _ioc = serve(&rt, IOC, usual().params(params));
    let other = builder(&rt).build().unwrap();
    let held = run(&rt, other.connect("x")).unwrap();
    let client = builder(&rt).build().unwrap();
    let cause = explained(&rt, &client, "x").cause;
    assert_eq!(cause, Cause::ServerFull { server: AT });
    drop(held);
}

#[test]
fn channels_that_are_not_given() {
    let server = |port| SocketAddrV4::new(IOC, port);
    let phantom = of(PHANTOM, |rt| {
        Scripted::start(rt, IOC, 13, [("x", Value::from(1.0))]);
    });
    let Cause::NotCreated { server: by } = phantom.cause else {
        panic!("{phantom}");
    };
    assert_eq!(by, server(6064));
    let x = PvSpec::double(1.0).rights(AccessRights::WRITE);
    let secret = of("x", |rt| {
        std::mem::forget(serve(rt, IOC, Ioc::builder().pv("x", x)));
    });
    assert_eq!(secret.cause, Cause::NoReadAccess { server: AT });
}

#[test]
fn what_else_ought_to_be_known() {
    let x = || Ioc::builder().pv("x", PvSpec::double(1.0).read_only());
    let two = of("x", |rt| {
        std::mem::forget((serve(rt, IOC, x()), serve(rt, OTHER_IOC, x())));
    });
    assert!(two.works(), "{two}");
    let is_two =
        |remark: &Remark| matches!(remark, Remark::Duplicate { servers } if servers.len() == 2);
    assert!(two.remarks.iter().any(is_two), "{two}");
    assert!(two.remarks.contains(&Remark::ReadOnly), "{two}");
    let old = of("x", |rt| {
        Scripted::start(rt, IOC, 11, [("x", Value::from(1.0))]);
    });
    assert!(old.works(), "{old}");
    let is_old = |remark: &Remark| matches!(remark, Remark::OldServer { .. });
    assert!(old.remarks.iter().any(is_old), "{old}");
}

/// Dropped at any poll, it leaves nothing behind.
#[test]
fn it_may_be_dropped_at_any_poll() {
    for polls in 0..30 {
        let rt = SimRuntime::new(1);
        let ioc = serve(&rt, IOC, usual());
        let client = builder(&rt).build().unwrap();
        run(&rt, async {
            let mut explaining = Box::pin(client.explain("x"));
            for _ in 0..polls {
                let polled =
                    poll_fn(|cx| std::task::Poll::Ready(explaining.as_mut().poll(cx).is_ready()));
                if polled.await {
                    return;
                }
                rt.sleep(SECOND / 100).await;
            }
            drop(explaining);
            rt.sleep(SECOND).await;
        });
        assert_eq!(ioc.with(|ioc, _| ioc.counts()), Default::default());
        assert_eq!(client.stats().channels, 0);
    }
}
