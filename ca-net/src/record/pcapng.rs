//! Recordings as files for Wireshark.
//!
//! Blocks and options are those of draft-ietf-opsawg-pcapng; headers are those of RFC 791, 768 and 9293.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddrV4};

use super::{Event, Frame, Line, Recording, Side, What};

/// Bytes of a TCP segment at most; IP counts with 16 bits.
const MAX_SEGMENT: usize = 32 << 10;
const ETHERNET: u16 = 1;
const SECTION: u32 = 0x0A0D_0D0A;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const COMMENT: u16 = 1;
const FLAGS: u16 = 2;
/// Of sections, `shb_userappl`; of interfaces, `if_name` and `if_tsresol`.
const APPLICATION: u16 = 4;
const NAME: u16 = 2;
const RESOLUTION: u16 = 9;

const UDP: u8 = 17;
const TCP: u8 = 6;
const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const PUSH: u8 = 8;
const ACK: u8 = 16;

pub(super) fn write(recording: &Recording, out: &mut impl Write) -> io::Result<()> {
    let mut body = Vec::new();
    // Byte order, version 1.0, a section of unknown length.
    body.extend(0x1A2B_3C4D_u32.to_le_bytes());
    body.extend([1, 0, 0, 0]);
    body.extend(u64::MAX.to_le_bytes());
    let application = concat!("Canter ", env!("CARGO_PKG_VERSION"));
    option(&mut body, APPLICATION, application.as_bytes());
    end_of_options(&mut body);
    block(out, SECTION, &body)?;
    body.clear();
    body.extend(ETHERNET.to_le_bytes());
    body.extend([0; 6]);
    let name = match recording.side {
        Some(Side::Server) => "IOC",
        _ => "client",
    };
    option(&mut body, NAME, name.as_bytes());
    // Nanoseconds.
    option(&mut body, RESOLUTION, &[9]);
    end_of_options(&mut body);
    block(out, INTERFACE, &body)?;
    let mut packets = Packets {
        out,
        recording,
        number: 0,
    };
    for (frame, data) in recording.frames() {
        packets.frame(frame, data)?;
    }
    Ok(())
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    // Type, body, and the length in front and behind.
    let len = (body.len() + 12) as u32;
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&len.to_le_bytes())?;
    out.write_all(body)?;
    out.write_all(&len.to_le_bytes())
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    // Texts of ours, far below 64 KiB.
    body.extend((value.len() as u16).to_le_bytes());
    body.extend(value);
    pad(body);
}

fn end_of_options(body: &mut Vec<u8>) {
    body.extend([0; 4]);
}

fn pad(body: &mut Vec<u8>) {
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Who sends a packet.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Us,
    Peer,
}

/// A segment of TCP.
struct Segment<'a> {
    from: From,
    flags: u8,
    sequence: u32,
    acknowledged: u32,
    data: &'a [u8],
    /// Bytes that it had.
    len: usize,
    comment: Option<&'a str>,
}

struct Packets<'a, W> {
    out: &'a mut W,
    recording: &'a Recording,
    /// For IP's identification.
    number: u16,
}

impl<W: Write> Packets<'_, W> {
    fn frame(&mut self, frame: &Frame, data: &[u8]) -> io::Result<()> {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        match frame.what {
            What::DatagramSent { from, to } => {
                self.datagram(frame, From::Us, (from.unwrap_or(nobody), to), data, None)
            }
            What::DatagramReceived { from, to } => {
                self.datagram(frame, From::Peer, (from, to.unwrap_or(nobody)), data, None)
            }
            What::DatagramRefused { to } => {
                let why = String::from_utf8_lossy(data);
                let why = format!("the system did not take this datagram: {why}");
                let empty = Frame { len: 0, ..*frame };
                self.datagram(&empty, From::Us, (nobody, to), &[], Some(&why))
            }
            What::Line {
                line,
                sent,
                received,
                event,
            } => match self.recording.lines.get(&line) {
                Some(line) => self.on_line(frame, line, (sent, received), event, data),
                None => Ok(()),
            },
        }
    }

    fn datagram(
        &mut self,
        frame: &Frame,
        from: From,
        (source, to): (SocketAddrV4, SocketAddrV4),
        data: &[u8],
        comment: Option<&str>,
    ) -> io::Result<()> {
        let len = frame.len as usize;
        let mut packet = self.headers(UDP, *source.ip(), *to.ip(), 8 + len);
        packet.extend(source.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(((8 + len) as u16).to_be_bytes());
        // No checksum.
        packet.extend([0; 2]);
        packet.extend(data);
        self.packet(frame, from, &packet, len - data.len(), comment)
    }

    /// The packets of an event. A SYN takes one of the sequence numbers, so that bytes begin at 1.
    fn on_line(
        &mut self,
        frame: &Frame,
        line: &Line,
        (sent, received): (u32, u32),
        event: Event,
        data: &[u8],
    ) -> io::Result<()> {
        let (ours, theirs) = (sent.wrapping_add(1), received.wrapping_add(1));
        let of = |from, flags, sequence, acknowledged| Segment {
            from,
            flags,
            sequence,
            acknowledged,
            data: &[],
            len: 0,
            comment: None,
        };
        let why = String::from_utf8_lossy(data);
        match event {
            Event::Dialling => self.segment(frame, line, &of(From::Us, SYN, 0, 0)),
            Event::Connected => {
                let (first, second) = match line.accepted {
                    true => (From::Peer, From::Us),
                    false => (From::Us, From::Peer),
                };
                if line.accepted {
                    self.segment(frame, line, &of(first, SYN, 0, 0))?;
                }
                self.segment(frame, line, &of(second, SYN | ACK, 0, 1))?;
                self.segment(frame, line, &of(first, ACK, 1, 1))
            }
            Event::NotConnected => {
                let comment = format!("no connection: {why}");
                let refused = Segment {
                    comment: Some(&comment),
                    ..of(From::Peer, RST | ACK, 0, 1)
                };
                self.segment(frame, line, &refused)
            }
            Event::Sent => self.data(frame, line, &of(From::Us, ACK, ours, theirs), data),
            Event::Received => self.data(frame, line, &of(From::Peer, ACK, theirs, ours), data),
            Event::Ended => self.segment(frame, line, &of(From::Peer, FIN | ACK, theirs, ours)),
            Event::Lost => {
                let comment = format!("the connection is lost: {why}");
                let lost = Segment {
                    comment: Some(&comment),
                    ..of(From::Peer, RST | ACK, theirs, ours)
                };
                self.segment(frame, line, &lost)
            }
            Event::Closed => self.segment(frame, line, &of(From::Us, FIN | ACK, ours, theirs)),
        }
    }

    /// What was read or written at once, in as many segments as it takes.
    fn data(
        &mut self,
        frame: &Frame,
        line: &Line,
        first: &Segment<'_>,
        data: &[u8],
    ) -> io::Result<()> {
        let (mut data, mut left) = (data, frame.len as usize);
        let mut sequence = first.sequence;
        while left > 0 {
            let len = left.min(MAX_SEGMENT);
            let (kept, rest) = data.split_at(data.len().min(len));
            left -= len;
            let segment = Segment {
                flags: if left == 0 { PUSH | ACK } else { ACK },
                sequence,
                data: kept,
                len,
                comment: (kept.len() < len).then_some("the recorder did not keep all of this"),
                ..*first
            };
            self.segment(frame, line, &segment)?;
            sequence = sequence.wrapping_add(len as u32);
            data = rest;
        }
        Ok(())
    }

    fn segment(&mut self, frame: &Frame, line: &Line, segment: &Segment<'_>) -> io::Result<()> {
        let nobody = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0);
        let us = line.local.unwrap_or(nobody);
        let (source, to) = match segment.from {
            From::Us => (us, line.peer),
            From::Peer => (line.peer, us),
        };
        let mut packet = self.headers(TCP, *source.ip(), *to.ip(), 20 + segment.len);
        let header = packet.len();
        packet.extend(source.port().to_be_bytes());
        packet.extend(to.port().to_be_bytes());
        packet.extend(segment.sequence.to_be_bytes());
        packet.extend(segment.acknowledged.to_be_bytes());
        // Five words of header; a window that is never full; the checksum; nothing urgent.
        packet.extend([5 << 4, segment.flags, 0xFF, 0xFF, 0, 0, 0, 0]);
        packet.extend(segment.data);
        if segment.data.len() == segment.len {
            let tcp = &packet[header..];
            let pseudo = sum(&source.ip().octets())
                + sum(&to.ip().octets())
                + u32::from(TCP)
                + tcp.len() as u32;
            let checksum = folded(pseudo + sum(tcp));
            packet[header + 16..header + 18].copy_from_slice(&checksum.to_be_bytes());
        }
        let missing = segment.len - segment.data.len();
        self.packet(frame, segment.from, &packet, missing, segment.comment)
    }

    /// Headers of Ethernet and IP for a packet of so many bytes.
    fn headers(&mut self, protocol: u8, source: Ipv4Addr, to: Ipv4Addr, len: usize) -> Vec<u8> {
        let mut packet = Vec::with_capacity(64 + len.min(MAX_SEGMENT));
        for ip in [to, source] {
            // Addresses that no card has.
            packet.extend([2, 0]);
            packet.extend(ip.octets());
        }
        packet.extend([8, 0]);
        self.number = self.number.wrapping_add(1);
        // Datagrams come whole, and are shorter than 64 KiB.
        let total = (20 + len).min(usize::from(u16::MAX)) as u16;
        let mut ip = [0; 20];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&total.to_be_bytes());
        ip[4..6].copy_from_slice(&self.number.to_be_bytes());
        // Not to be fragmented; 64 hops.
        ip[6] = 0x40;
        ip[8] = 64;
        ip[9] = protocol;
        ip[12..16].copy_from_slice(&source.octets());
        ip[16..].copy_from_slice(&to.octets());
        let checksum = folded(sum(&ip));
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());
        packet.extend(ip);
        packet
    }

    fn packet(
        &mut self,
        frame: &Frame,
        from: From,
        packet: &[u8],
        missing: usize,
        comment: Option<&str>,
    ) -> io::Result<()> {
        let nanos = self.recording.unix_nanos(frame.at);
        let mut body = Vec::with_capacity(packet.len() + 64);
        body.extend(0_u32.to_le_bytes());
        body.extend(((nanos >> 32) as u32).to_le_bytes());
        body.extend((nanos as u32).to_le_bytes());
        body.extend((packet.len() as u32).to_le_bytes());
        body.extend(((packet.len() + missing) as u32).to_le_bytes());
        body.extend(packet);
        pad(&mut body);
        if let Some(comment) = comment {
            option(&mut body, COMMENT, comment.as_bytes());
        }
        let direction: u32 = if from == From::Peer { 1 } else { 2 };
        option(&mut body, FLAGS, &direction.to_le_bytes());
        end_of_options(&mut body);
        block(self.out, PACKET, &body)
    }
}

/// The sum of the words, as RFC 1071 adds them up.
fn sum(bytes: &[u8]) -> u32 {
    let word = |pair: &[u8]| {
        let high = pair.first().copied().unwrap_or(0);
        u32::from_be_bytes([0, 0, high, pair.get(1).copied().unwrap_or(0)])
    };
    // At most 2^15 words of 16 bits.
    bytes.chunks(2).map(word).sum()
}

fn folded(mut sum: u32) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !(sum as u16)
}
