//! `canter dump`: bytes of the wire as readable lines.

use std::io::{self, BufRead, Read, Write};
use std::path::PathBuf;

use ca_proto::wire::datagram_frames;
use ca_proto::wire::dump::{self, Direction, DumpFrame, StreamDump};
use clap::{Args, ValueEnum};

use crate::exit::{Outcome, Stop, UsageError};

#[derive(Args, Debug)]
pub(crate) struct DumpArgs {
    /// File to read, `-` for standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Where the bytes were seen
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,
    /// Who sent them
    #[arg(long, value_enum, default_value_t = From::Client)]
    from: From,
    /// The file holds the bytes themselves, not hexadecimal text
    #[arg(long)]
    binary: bool,
}

/// Transport of the bytes.
#[derive(Clone, Copy, ValueEnum, Debug, PartialEq)]
enum Transport {
    /// A circuit: one stream, messages may be cut anywhere
    Tcp,
    /// Datagrams: each line of hexadecimal text is one
    Udp,
}

/// Sender of the bytes.
#[derive(Clone, Copy, ValueEnum, Debug, PartialEq)]
enum From {
    /// Requests
    Client,
    /// Responses
    Server,
}

const fn direction(transport: Transport, from: From) -> Direction {
    match (transport, from) {
        (Transport::Tcp, From::Client) => Direction::TcpRequest,
        (Transport::Tcp, From::Server) => Direction::TcpResponse,
        (Transport::Udp, From::Client) => Direction::UdpRequest,
        (Transport::Udp, From::Server) => Direction::UdpResponse,
    }
}

/// Runs the command.
///
/// # Errors
/// When the file cannot be read or is not hexadecimal text, with the place; when the output cannot
/// be written.
pub(crate) fn run(args: &DumpArgs, out: &mut impl Write) -> Result<Outcome, Stop> {
    let name = args.file.display().to_string();
    let unreadable = |error: io::Error| {
        UsageError::new(
            format!("cannot read {name}: {error}"),
            "name a readable file, or `-` for standard input",
        )
    };
    let input: Box<dyn BufRead> = if name == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(io::BufReader::new(
            std::fs::File::open(&args.file).map_err(unreadable)?,
        ))
    };
    let mut sink = Sink::new(direction(args.transport, args.from));
    if args.binary {
        dump_binary(input, &mut sink, args.transport, unreadable, out)?;
    } else {
        dump_text(input, &mut sink, &name, out)?;
    }
    sink.finish(out)?;
    Ok(if sink.malformed {
        Outcome::PvFailed
    } else {
        Outcome::Ok
    })
}

/// Shows hexadecimal text; `name` is where it comes from.
///
/// # Errors
/// When it is no hexadecimal text, with the place.
pub(crate) fn text(input: impl BufRead, name: &str, out: &mut impl Write) -> Result<(), Stop> {
    let mut sink = Sink::new(direction(Transport::Tcp, From::Client));
    dump_text(input, &mut sink, name, out)?;
    Ok(sink.finish(out)?)
}

fn dump_binary(
    mut input: impl Read,
    sink: &mut Sink,
    transport: Transport,
    unreadable: impl Fn(io::Error) -> UsageError,
    out: &mut impl Write,
) -> Result<(), Stop> {
    if transport == Transport::Udp {
        let mut datagram = Vec::new();
        input.read_to_end(&mut datagram).map_err(unreadable)?;
        return Ok(sink.feed(&datagram, out)?);
    }
    let mut chunk = vec![0; 64 * 1024];
    loop {
        match input.read(&mut chunk).map_err(&unreadable)? {
            0 => return Ok(()),
            n => sink.feed(&chunk[..n], out)?,
        }
    }
}

fn dump_text(
    input: impl BufRead,
    sink: &mut Sink,
    name: &str,
    out: &mut impl Write,
) -> Result<(), Stop> {
    for (number, line) in input.lines().enumerate() {
        let place = format!("{name}, line {}", number + 1);
        let failed = |error: io::Error| {
            UsageError::new(
                format!("{place}: {error}"),
                "use --binary when the file holds the bytes themselves",
            )
        };
        let line = line.map_err(failed)?;
        let (direction, digits) = parse_line(&line);
        if let Some(direction) = direction {
            sink.turn(direction, out)?;
        }
        let bytes = parse_hex(digits).map_err(|what| {
            UsageError::new(
                format!("{place}: {what}"),
                "give pairs of hexadecimal digits, blanks between them are ignored, # starts a \
                 comment; use --binary when the file holds the bytes themselves",
            )
        })?;
        if !bytes.is_empty() || matches!(direction, Some(Direction::UdpRequest)) {
            sink.feed(&bytes, out)?;
        }
    }
    Ok(())
}

/// Cuts the comment off a line, and the columns of a capture file
/// (`name | source | transport | direction | hex`), which say by themselves what the bytes are.
fn parse_line(line: &str) -> (Option<Direction>, &str) {
    let line = line.split('#').next().unwrap_or_default();
    let columns: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, _, transport, sender, digits] = columns[..] else {
        return (None, line);
    };
    let transport = if transport == "udp" {
        Transport::Udp
    } else {
        Transport::Tcp
    };
    let from = if sender == "response" {
        From::Server
    } else {
        From::Client
    };
    (Some(direction(transport, from)), digits)
}

fn parse_hex(text: &str) -> Result<Vec<u8>, String> {
    let mut digits = Vec::with_capacity(text.len());
    for (at, c) in text.char_indices().filter(|(_, c)| !c.is_whitespace()) {
        match c.to_digit(16) {
            Some(digit) => digits.push(digit as u8),
            None => {
                return Err(format!(
                    "`{c}` at column {} is no hexadecimal digit",
                    at + 1
                ));
            }
        }
    }
    if digits.len() % 2 == 1 {
        return Err(format!(
            "{} hexadecimal digits do not make whole bytes",
            digits.len()
        ));
    }
    Ok(digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

/// Turns bytes of one direction into lines.
struct Sink {
    direction: Direction,
    stream: StreamDump,
    malformed: bool,
}

impl Sink {
    fn new(direction: Direction) -> Self {
        Self {
            direction,
            stream: StreamDump::new(direction),
            malformed: false,
        }
    }

    /// Starts a new stream where the bytes that follow were sent the other way.
    fn turn(&mut self, direction: Direction, out: &mut impl Write) -> io::Result<()> {
        self.finish(out)?;
        self.direction = direction;
        self.stream = StreamDump::new(direction);
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        if matches!(
            self.direction,
            Direction::UdpRequest | Direction::UdpResponse
        ) {
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = dump::datagram(&mut line, bytes, self.direction);
            self.malformed |= datagram_frames(bytes).any(|frame| match frame {
                Ok(frame) => DumpFrame {
                    frame: &frame,
                    direction: self.direction,
                }
                .is_malformed(),
                Err(_) => true,
            });
            return writeln!(out, "{line}");
        }
        let mut result = Ok(());
        self.stream.feed(bytes, |line| {
            if result.is_ok() {
                result = writeln!(out, "{line}");
            }
        });
        self.malformed |= self.stream.malformed() > 0;
        result
    }

    fn finish(&mut self, out: &mut impl Write) -> io::Result<()> {
        let rest = self.stream.buffered();
        if rest > 0 {
            self.malformed = true;
            writeln!(
                out,
                "!the stream ends inside a message, {rest} bytes of it are there"
            )?;
        }
        Ok(())
    }
}

/// The lines for hexadecimal text of a client, and whether something is malformed.
#[cfg(test)]
pub(crate) fn dumped(text: &str) -> Result<(String, bool), String> {
    let mut out = Vec::new();
    let mut sink = Sink::new(Direction::TcpRequest);
    dump_text(text.as_bytes(), &mut sink, "x.txt", &mut out).map_err(|stop| match stop {
        Stop::Usage(error) => error.to_string(),
        Stop::Told => String::new(),
        Stop::Output(error) => error.to_string(),
    })?;
    sink.finish(&mut out).unwrap();
    Ok((String::from_utf8(out).unwrap(), sink.malformed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_may_be_cut_across_lines() {
        let (text, malformed) = dumped(
            "# a comment\n00080000 0000\n0000 00000000 00000000 00090000\n000000000000000000000000",
        )
        .unwrap();
        assert_eq!(text, "EVENTS_OFF\nEVENTS_ON\n");
        assert!(!malformed);
    }

    #[test]
    fn capture_lines_name_their_direction() {
        let (text, _) = dumped(
            "x | ioc | tcp | response | 00160000 00000000 00000051 00000001\n\
             y | libca | udp | request | 00000000 0001000d 00000001 00000000",
        )
        .unwrap();
        assert_eq!(
            text,
            "ACCESS_RIGHTS cid=81 rights=1\nVERSION valid=1 minor=4.13 sequence=1\n"
        );
    }

    #[test]
    fn an_incomplete_end_is_reported() {
        let (text, malformed) = dumped("00080000 00000000").unwrap();
        assert_eq!(
            text,
            "!the stream ends inside a message, 8 bytes of it are there\n"
        );
        assert!(malformed);
    }

    #[test]
    fn what_is_no_hexadecimal_text_is_named_with_its_place() {
        let error = dumped("00 08\n00 0x").unwrap_err();
        assert!(error.contains("x.txt, line 2: `x` at column 5"), "{error}");
        let error = dumped("000").unwrap_err();
        assert!(error.contains("line 1: 3 hexadecimal digits"), "{error}");
    }
}
