//! Every byte that real EPICS put on the wire for the files in `tests/captures`: decoded, printed
//! and encoded again.

mod dbr;
mod wire;

use ca_proto::wire::dump::Direction;

/// The captures; `tests/peers/capture.py` makes them.
const FILES: [(&str, &str); 5] = [
    (
        "commands",
        include_str!("../../../tests/captures/commands.txt"),
    ),
    ("dbr", include_str!("../../../tests/captures/dbr.txt")),
    ("errors", include_str!("../../../tests/captures/errors.txt")),
    ("libca", include_str!("../../../tests/captures/libca.txt")),
    ("udp", include_str!("../../../tests/captures/udp.txt")),
];

/// One captured message. A message of a datagram of several stands on a line of its own.
#[derive(Clone, Debug)]
struct Capture {
    file: &'static str,
    /// What the message is; requests and their replies share it.
    name: &'static str,
    /// `ioc`, `libca`, `repeater`, or `client` for requests that the capturing script made.
    source: &'static str,
    direction: Direction,
    /// Empty for the empty datagram that registers a client with the repeater.
    bytes: Vec<u8>,
}

fn captures() -> Vec<Capture> {
    FILES
        .into_iter()
        .flat_map(|(file, text)| {
            text.lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(move |line| parse(file, line))
        })
        .collect()
}

fn parse(file: &'static str, line: &'static str) -> Capture {
    let parts: Vec<&str> = line.split('|').map(str::trim).collect();
    let [name, source, transport, direction, digits] = parts[..] else {
        panic!("{file}: {line}")
    };
    Capture {
        file,
        name,
        source,
        direction: match (transport, direction) {
            ("tcp", "request") => Direction::TcpRequest,
            ("tcp", "response") => Direction::TcpResponse,
            ("udp", "request") => Direction::UdpRequest,
            ("udp", "response") => Direction::UdpResponse,
            _ => panic!("{file}: {line}"),
        },
        bytes: hex(digits),
    }
}

fn hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u8> = digits
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16).expect("a hex digit") as u8)
        .collect();
    digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect()
}
