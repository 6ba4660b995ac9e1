//! What servers say and are reaches the user, of every command.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};

use ca_proto::EcaStatus;
use ca_proto::dbr::DbrType;
use ca_proto::ids::{Cid, Ioid, SubId};
use ca_proto::wire::message::{Data, ErrorBody, NO_CHANNEL, tcp};
use ca_proto::wire::{Command, Header};

use crate::common::{Run, Served, command_on};
use crate::scripted::{VERSION, bytes, canter, closed, created, listen, searched, server};

const COMMANDS: [&[&str]; 4] = [
    &["get", "X"],
    &["put", "X", "1"],
    &["info", "X"],
    &["monitor", "--seconds", "0.5", "X"],
];

/// Runs each command, within a short time; those for PVs that do not come.
fn each(port: u16, look: impl Fn(&Run)) {
    for command in COMMANDS {
        look(&canter(port, &[command, &["-w", "0.5"]].concat()));
    }
}

fn refusal(request: &Header, cid: Cid, text: &str) -> Vec<u8> {
    bytes(&[tcp::Response::Error {
        cid,
        status: EcaStatus::PUTFAIL,
        body: ErrorBody::new(*request, text),
    }])
}

fn double(request: &Header, value: f64) -> Vec<u8> {
    let (ty, count) = (DbrType(request.data_type), 1);
    // Alarm, time stamp and limits are zero.
    let mut data = vec![0; ty.value_offset()];
    data.extend(value.to_be_bytes());
    let data = Data(&data);
    let status = EcaStatus::NORMAL;
    bytes(&[match request.command {
        Command::READ_NOTIFY => tcp::Response::ReadNotify {
            ty,
            count,
            status,
            ioid: Ioid(request.p2),
            data,
        },
        _ => tcp::Response::EventAdd {
            ty,
            count,
            status,
            subid: SubId(request.p2),
            data,
        },
    }])
}

#[test]
fn a_put_that_is_refused_is_an_error() {
    let served = Served::zoo();
    for wait in [&[][..], &["-c"]] {
        let args = |more: &[&'static str]| [&["put", "-s"], wait, more, &["t:gap", "far"]].concat();
        served
            .canter(&args(&[]))
            .expect(1, "")
            .says(&format!(
                "error: t:gap: {} refused the value: ECA_PUTFAIL",
                served.tcp
            ))
            .says("canter get --long");
        let run = served.canter(&args(&["--json"]));
        assert_eq!(run.code, Some(1), "{run:?}");
        let error = &run.json()[0]["error"];
        assert_eq!(error["phase"], "write");
        assert!(
            error["message"].to_string().contains("ECA_PUTFAIL"),
            "{error}"
        );
    }
    served
        .canter(&["get", "t:gap"])
        .expect(0, "t:gap  1.25 mm\n");
}

/// Gateways, and servers whose putters take time, complain behind the answer to what follows the put.
#[test]
fn a_refusal_that_comes_late_is_an_error_too() {
    let writes = AtomicU32::new(0);
    let tcp = server(&[VERSION], move |header, _| match header.command {
        Command::CREATE_CHAN => created(header, 6, 1),
        Command::WRITE => {
            writes.store(header.p2, Ordering::SeqCst);
            Vec::new()
        }
        Command::READ_NOTIFY => {
            let mut answer = double(header, 1.0);
            if header.data_type == 20 && writes.load(Ordering::SeqCst) != 0 {
                let request = Header {
                    p1: 7,
                    p2: writes.load(Ordering::SeqCst),
                    ..Header::new(Command::WRITE)
                };
                answer.extend(refusal(&request, Cid(0), "the putter failed"));
            }
            answer
        }
        _ => Vec::new(),
    });
    let run = canter(searched(vec![tcp]), &["put", "X", "5"]);
    run.expect(1, "")
        .says("ECA_PUTFAIL")
        .says("the putter failed");
}

#[test]
fn a_put_that_leaves_the_old_value_is_told() {
    let tcp = server(&[VERSION], |header, _| match header.command {
        Command::CREATE_CHAN => created(header, 6, 1),
        Command::READ_NOTIFY => double(header, 1.0),
        _ => Vec::new(),
    });
    let port = searched(vec![tcp]);
    canter(port, &["put", "X", "5"])
        .expect(0, "old  X  1\nnew  X  1\n")
        .says("X has the value that it had before");
    let run = canter(port, &["put", "--json", "X", "5"]);
    assert_eq!(run.json()[0]["unchanged"], true, "{run:?}");
    let run = canter(port, &["put", "X", "1"]);
    assert_eq!((run.code, run.err.as_str()), (Some(0), ""), "{run:?}");
}

#[test]
fn two_servers_of_one_name_are_told_by_every_command() {
    let (one, two) = (Served::zoo(), Served::zoo());
    let port = searched(vec![one.tcp, two.tcp]);
    let message = format!(
        "\"t:gap\" is on {}, which is used, and on {}",
        one.tcp, two.tcp
    );
    for command in COMMANDS {
        let command: Vec<&str> = command
            .iter()
            .map(|&word| if word == "X" { "t:gap" } else { word })
            .collect();
        let run = canter(port, &command);
        assert_eq!(run.code, Some(0), "{run:?}");
        run.says(&format!("warning: {message}\n"));
        let run = canter(port, &[&command[..], &["--json"]].concat());
        let objects = run.json();
        let told = objects.iter().any(|object| {
            let events = object["events"].as_array();
            let mut all = events.into_iter().flatten().chain([object]);
            all.any(|event| event["event"] == "duplicate" && event["message"] == *message)
        });
        assert!(told, "{run:?}");
    }
}

#[test]
fn a_refused_connection_is_told_with_its_address() {
    let nobody = closed();
    each(searched(vec![nobody]), |run| {
        let all = format!("{}{}", run.out, run.err);
        assert!(
            all.contains(&format!("{nobody}: connection refused")),
            "{run:?}"
        );
        assert_eq!(run.code, Some(3), "{run:?}");
    });
}

#[test]
fn a_server_that_has_too_many_clients_is_quoted() {
    let error = bytes(&[tcp::Response::Error {
        cid: NO_CHANNEL,
        status: EcaStatus::MAXIOC,
        body: ErrorBody::new(Header::new(Command::VERSION), "full"),
    }]);
    let full = listen(move |mut stream| {
        let _ = stream.write_all(&error);
    });
    each(searched(vec![full]), |run| {
        let all = format!("{}{}", run.out, run.err);
        assert!(
            all.contains(&format!("{full}: the server said ECA_MAXIOC")),
            "{run:?}"
        );
        assert!(all.contains("raise its limit"), "{run:?}");
    });
}

#[test]
fn a_web_server_is_no_busy_ioc() {
    let web = listen(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    });
    each(searched(vec![web]), |run| {
        let all = format!("{}{}", run.out, run.err);
        assert!(all.contains("does not speak Channel Access"), "{run:?}");
        assert!(all.contains("it speaks HTTP"), "{run:?}");
        assert!(all.contains(&web.to_string()), "{run:?}");
        assert!(!all.contains("load of the IOC"), "{run:?}");
    });
}

#[test]
fn a_listener_that_says_nothing_is_not_called_busy() {
    let mute = listen(|mut stream| {
        let mut rest = Vec::new();
        let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    });
    each(searched(vec![mute]), |run| {
        let all = format!("{}{}", run.out, run.err);
        assert!(
            all.contains("accepts the connection and says nothing"),
            "{run:?}"
        );
    });
}

#[test]
fn a_name_server_that_refuses_is_told() {
    let nobody = closed();
    for command in COMMANDS {
        let name_server = ["-w", "0.5", "--name-server", &nobody.to_string()].map(String::from);
        let args = command.iter().map(|word| (*word).to_owned());
        let args: Vec<String> = args.chain(name_server).collect();
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let mut command = command_on(25_996, &args);
        command.env("EPICS_CA_ADDR_LIST", "");
        let run = Run::of(&command.output().unwrap());
        let all = format!("{}{}", run.out, run.err);
        let told = format!("name server {nobody}: connection refused");
        assert!(all.contains(&told), "{run:?}");
    }
}

#[test]
fn an_address_that_no_server_can_have_is_told() {
    let nowhere = SocketAddrV4::new(Ipv4Addr::new(0, 0, 0, 1), 5);
    each(searched(vec![nowhere]), |run| {
        run.says("says that \"X\" is on 0.0.0.1:5, which is no address of a server");
        let all = format!("{}{}", run.out, run.err);
        assert!(all.contains("not found"), "{run:?}");
    });
}

#[test]
fn a_malformed_answer_is_not_the_servers_word() {
    let tcp = server(&[VERSION], |header, _| match header.command {
        Command::CREATE_CHAN => created(header, 6, 3),
        Command::READ_NOTIFY => bytes(&[tcp::Response::ReadNotify {
            ty: DbrType(header.data_type),
            count: 3,
            status: EcaStatus::NORMAL,
            ioid: Ioid(header.p2),
            data: Data(&[0; 8]),
        }]),
        _ => Vec::new(),
    });
    let run = canter(searched(vec![tcp]), &["get", "X"]);
    run.expect(1, "")
        .says(&format!("the answer of {tcp} is malformed: 3 elements of"))
        .says("8 came");
    assert!(!run.err.contains("ECA_"), "{run:?}");
}

/// The version is the circuit's own: it is not known that this server knows count 0.
#[test]
fn a_server_that_tells_no_version_is_asked_for_whole_arrays() {
    let tcp = server(&[], |header, _| match header.command {
        Command::CREATE_CHAN => created(header, 6, 3),
        Command::READ_NOTIFY => {
            let ty = DbrType(header.data_type);
            let mut data = vec![0; ty.value_offset()];
            for n in 1..=header.count {
                data.extend(f64::from(n).to_be_bytes());
            }
            data.resize(data.len().next_multiple_of(8), 0);
            bytes(&[tcp::Response::ReadNotify {
                ty,
                count: header.count,
                status: EcaStatus::NORMAL,
                ioid: Ioid(header.p2),
                data: Data(&data),
            }])
        }
        _ => Vec::new(),
    });
    canter(searched(vec![tcp]), &["get", "X"]).expect(0, "X  [3] 1 2 3\n");
}

#[test]
fn updates_do_not_wait_for_a_description_that_does_not_come() {
    let tcp = server(&[VERSION], |header, _| match header.command {
        Command::CREATE_CHAN => created(header, 6, 1),
        Command::EVENT_ADD if header.data_type == 20 => double(header, 2.5),
        _ => Vec::new(),
    });
    let run = canter(searched(vec![tcp]), &["monitor", "--count", "1", "X"]);
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.out.ends_with("  X  2.5\n"), "{run:?}");
}

/// A server that sends as fast as it can, more than can be shown.
#[test]
fn a_monitor_ends_in_time_whatever_is_queued() {
    let tcp = listen(|mut stream| {
        let mut hello = bytes(&[VERSION]);
        let mut subscription = None;
        while subscription.is_none() {
            let mut head = [0; 16];
            if std::io::Read::read_exact(&mut stream, &mut head).is_err() {
                return;
            }
            let (header, _) = Header::decode(&head, false).unwrap();
            let mut payload = vec![0; header.payload_len as usize];
            let _ = std::io::Read::read_exact(&mut stream, &mut payload);
            match header.command {
                Command::CREATE_CHAN => hello.extend(created(&header, 6, 100_000)),
                Command::EVENT_ADD if header.data_type == 20 => {
                    subscription = Some(SubId(header.p2));
                }
                _ => {}
            }
            let _ = stream.write_all(&std::mem::take(&mut hello));
        }
        let update = bytes(&[tcp::Response::EventAdd {
            ty: DbrType(20),
            count: 100_000,
            status: EcaStatus::NORMAL,
            subid: subscription.unwrap(),
            data: Data(&vec![0; 16 + 800_000]),
        }]);
        while stream.write_all(&update).is_ok() {}
    });
    let run = canter(searched(vec![tcp]), &["monitor", "--seconds", "1", "X"]);
    assert_eq!(run.code, Some(0), "{:?}", run.err);
    assert!(run.out.contains("X  [100000] 0 0"), "{:?}", run.err);
}
