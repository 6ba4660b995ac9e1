//! Message headers: 16 bytes, or 24 in the extended form.

use bytes::BufMut;
use core::fmt;

use super::Command;

/// Length of the standard header in bytes.
pub const STANDARD_LEN: usize = 16;
/// Length of the extended header in bytes: the standard one and two `u32`.
pub const EXTENDED_LEN: usize = 24;
/// Value of the 16-bit size field that announces the extended form.
const EXTENDED_MARK: u16 = 0xffff;
/// From this payload size or element count on the extended form is sent
/// (`cas_copy_in_header` in `caserverio.c`; aligned payloads therefore go up to 65528 bytes).
pub const EXTENDED_FROM: u32 = 0xffff;

/// Minor protocol version; the major version is always 4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Minor(pub u16);

impl Minor {
    /// The version this crate implements: 4.13.
    pub const CURRENT: Self = Self(13);
    /// The oldest version a server accepts (`camessage.c`).
    pub const OLDEST: Self = Self(4);

    /// 4.1: names of client and host, status in replies, access rights.
    pub const fn has_status_in_replies(self) -> bool {
        self.0 >= 1
    }
    /// 4.3: `ECHO`; older peers are probed with `READ_SYNC`.
    pub const fn has_echo(self) -> bool {
        self.0 >= 3
    }
    /// 4.6: `CREATE_CH_FAIL`.
    pub const fn has_create_fail(self) -> bool {
        self.0 >= 6
    }
    /// 4.7: `SERVER_DISCONN`.
    pub const fn has_server_disconnect(self) -> bool {
        self.0 >= 7
    }
    /// 4.9: 24-byte headers and circuit priorities.
    pub const fn has_extended_header(self) -> bool {
        self.0 >= 9
    }
    /// 4.10: sequence numbers in beacons.
    pub const fn has_beacon_sequence(self) -> bool {
        self.0 >= 10
    }
    /// 4.11: sequence number in the UDP `VERSION`.
    pub const fn has_search_sequence(self) -> bool {
        self.0 >= 11
    }
    /// 4.12: `SEARCH` over TCP.
    pub const fn has_tcp_search(self) -> bool {
        self.0 >= 12
    }
    /// 4.13: element count 0 asks for the current length.
    pub const fn has_dynamic_count(self) -> bool {
        self.0 >= 13
    }
}

impl fmt::Display for Minor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "4.{}", self.0)
    }
}

/// A message header, decoded from either form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Command number.
    pub command: Command,
    /// Payload length in bytes, padding included.
    pub payload_len: u32,
    /// Third field; a DBR type in most messages.
    pub data_type: u16,
    /// Fourth field; an element count in most messages.
    pub count: u32,
    /// Header word at offset 8.
    pub p1: u32,
    /// Header word at offset 12.
    pub p2: u32,
}

impl Header {
    /// A header with this command and every other field zero.
    pub const fn new(command: Command) -> Self {
        Self {
            command,
            payload_len: 0,
            data_type: 0,
            count: 0,
            p1: 0,
            p2: 0,
        }
    }

    /// True if the message can only be sent with 24 bytes of header, which a peer below 4.9 cannot
    /// read: payload or count, either alone, reaches 65535.
    pub const fn needs_extended(&self) -> bool {
        self.payload_len >= EXTENDED_FROM || self.count >= EXTENDED_FROM
    }

    /// Length of the encoded header: 16 or 24 bytes.
    pub const fn encoded_len(&self) -> usize {
        if self.needs_extended() {
            EXTENDED_LEN
        } else {
            STANDARD_LEN
        }
    }

    /// Appends the shortest form that can hold the fields.
    #[inline]
    pub fn encode(&self, out: &mut impl BufMut) {
        // hot: in one piece, as each append looks for room.
        if self.needs_extended() {
            self.encode_extended(out);
        } else {
            out.put_slice(&self.standard(self.payload_len, self.count));
        }
    }

    /// The first 16 bytes of the encoded header.
    pub(crate) fn standard_bytes(&self) -> [u8; STANDARD_LEN] {
        if self.needs_extended() {
            self.standard(EXTENDED_MARK.into(), 0)
        } else {
            self.standard(self.payload_len, self.count)
        }
    }

    #[cold]
    fn encode_extended(&self, out: &mut impl BufMut) {
        out.put_slice(&self.standard(EXTENDED_MARK.into(), 0));
        let long = u64::from(self.payload_len) << 32 | u64::from(self.count);
        out.put_slice(&long.to_be_bytes());
    }

    /// The 16 bytes that both forms begin with; 16 bits are left of size and count.
    #[inline]
    pub(crate) fn standard(&self, size: u32, count: u32) -> [u8; STANDARD_LEN] {
        let word = u128::from(self.command.0) << 112
            | u128::from(size & 0xffff) << 96
            | u128::from(self.data_type) << 80
            | u128::from(count & 0xffff) << 64
            | u128::from(self.p1) << 32
            | u128::from(self.p2);
        word.to_be_bytes()
    }

    /// Number of header bytes a message that begins like this has: `None` as long as that cannot
    /// be told.
    ///
    /// Only the size field decides; the count field beside the mark is not tested, as in the
    /// reference. `extended` is false for peers below 4.9 and in datagrams, where 0xffff is a
    /// plain (and misaligned) size.
    pub fn len_from_prefix(prefix: &[u8], extended: bool) -> Option<usize> {
        let size = prefix.get(2..4)?;
        let marked = size == EXTENDED_MARK.to_be_bytes();
        Some(if marked && extended {
            EXTENDED_LEN
        } else {
            STANDARD_LEN
        })
    }

    /// Decodes the header at the beginning of `input` and returns its length beside it; `None`
    /// when `input` is shorter than the header.
    #[inline]
    pub fn decode(input: &[u8], extended: bool) -> Option<(Self, usize)> {
        let (standard, rest) = input.split_first_chunk::<STANDARD_LEN>()?;
        // hot: two loads, from which the fields are cut; a parser of parts looks at each one's length.
        let word = u128::from_be_bytes(*standard);
        let mut header = Self {
            command: Command((word >> 112) as u16),
            payload_len: (word >> 96) as u32 & 0xffff,
            data_type: (word >> 80) as u16,
            count: (word >> 64) as u32 & 0xffff,
            p1: (word >> 32) as u32,
            p2: word as u32,
        };
        if !extended || header.payload_len != u32::from(EXTENDED_MARK) {
            return Some((header, STANDARD_LEN));
        }
        let (long, _) = rest.split_first_chunk::<8>()?;
        let long = u64::from_be_bytes(*long);
        (header.payload_len, header.count) = ((long >> 32) as u32, long as u32);
        Some((header, EXTENDED_LEN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn encoded(header: Header) -> Vec<u8> {
        let mut out = Vec::new();
        header.encode(&mut out);
        assert_eq!(out.len(), header.encoded_len());
        out
    }

    /// the CA protocol specification, message structure: 65528 bytes and 65534 elements are the largest
    /// standard values.
    #[test]
    fn extended_form_starts_at_0xffff_of_either_field() {
        for (payload_len, count, len) in [
            (65_528, 8191, 16),
            (65_536, 8192, 24),
            (0, 65_534, 16),
            (0, 65_535, 24),
            (0, 65_536, 24),
        ] {
            let header = Header {
                payload_len,
                count,
                ..Header::new(Command::READ_NOTIFY)
            };
            let bytes = encoded(header);
            assert_eq!(bytes.len(), len, "{payload_len} {count}");
            assert_eq!(Header::decode(&bytes, true), Some((header, len)));
        }
    }

    /// the CA protocol specification, message structure, the CREATE_CHAN reply for 70000 chars.
    #[test]
    fn zero_payload_can_be_extended() {
        let header = Header {
            data_type: 4,
            count: 70_000,
            p1: 9,
            p2: 5,
            ..Header::new(Command::CREATE_CHAN)
        };
        let bytes = encoded(header);
        assert_eq!(
            bytes,
            [
                0x00, 0x12, 0xff, 0xff, 0x00, 0x04, 0x00, 0x00, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 0,
                0x00, 0x01, 0x11, 0x70
            ]
        );
    }

    #[test]
    fn mark_is_a_plain_size_where_the_extended_form_is_unknown() {
        let bytes = encoded(Header {
            count: 70_000,
            ..Header::new(Command::ECHO)
        });
        let (header, len) = Header::decode(&bytes, false).unwrap();
        assert_eq!((header.payload_len, len), (0xffff, 16));
    }

    #[test]
    fn short_input_is_incomplete_at_every_length() {
        let bytes = encoded(Header {
            count: 70_000,
            ..Header::new(Command::ECHO)
        });
        for len in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..len], true), None, "{len}");
        }
    }
}
