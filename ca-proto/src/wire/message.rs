//! Every message, from one table per transport and direction.
//!
//! Each line of a table names the command and says which header field or payload carries what, so
//! that it can be compared with the specification field by field. Fields that a line does not name
//! are sent as zero and ignored on input.

use bytes::BufMut;
use core::fmt;
use core::net::Ipv4Addr;
use thiserror::Error;

use super::frame::Frame;
use super::name::write_text;
use super::{Command, Header, Minor, SendQueue, align8};
use crate::dbr::DbrType;
use crate::ids::{Cid, Ioid, Sid, SubId};
use crate::status::EcaStatus;

/// A message whose fields cannot be what they claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The payload is too short for what the command needs.
    #[error("{command} has {len} bytes of payload, needs {need}")]
    ShortPayload {
        /// Command of the message.
        command: Command,
        /// Bytes that are there.
        len: usize,
        /// Bytes that are needed.
        need: usize,
    },
}

/// A field that can be cut out of a header word.
trait Column<W>: Sized {
    fn from_wire(word: W) -> Self;
    fn to_wire(&self) -> W;
}

macro_rules! column {
    ($($ty:ty: $word:ty, $from:expr, $to:expr;)*) => {$(
        impl Column<$word> for $ty {
            fn from_wire(word: $word) -> Self { ($from)(word) }
            fn to_wire(&self) -> $word { ($to)(*self) }
        }
    )*};
}

column! {
    u16: u16, |w| w, |v| v;
    u32: u32, |w| w, |v| v;
    DbrType: u16, DbrType, |v: DbrType| v.0;
    // VERSION and SEARCH carry the version in the count field; extended headers widen it.
    Minor: u32, |w: u32| Minor(w.min(0xffff) as u16), |v: Minor| u32::from(v.0);
    // The beacon carries it in the type field.
    Minor: u16, Minor, |v: Minor| v.0;
    Port: u32, |w: u32| Port(w.min(0xffff) as u16), |v: Port| u32::from(v.0);
    Port: u16, Port, |v: Port| v.0;
    Cid: u32, Cid, |v: Cid| v.0;
    Sid: u32, Sid, |v: Sid| v.0;
    Ioid: u32, Ioid, |v: Ioid| v.0;
    SubId: u32, SubId, |v: SubId| v.0;
    EcaStatus: u32, EcaStatus, |v: EcaStatus| v.0;
    Ipv4Addr: u32, Ipv4Addr::from, |v: Ipv4Addr| u32::from(v);
    SearchFlag: u16, SearchFlag, |v: SearchFlag| v.0;
}

/// A payload in one of its forms.
trait Payload<'a>: Sized {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError>;
    /// Unpadded length in bytes.
    fn len(&self) -> usize;
    fn put(&self, out: &mut impl BufMut);
}

/// A port number in a header field.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Port(pub u16);

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Whether a `SEARCH` wants an answer for a name that is not served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SearchFlag(pub u16);

impl SearchFlag {
    /// Be silent about unknown names; what clients send.
    pub const DONT_REPLY: Self = Self(5);
    /// Answer `NOT_FOUND`; has an effect over TCP only.
    pub const DO_REPLY: Self = Self(10);
}

impl fmt::Display for SearchFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DONT_REPLY => f.write_str("no"),
            Self::DO_REPLY => f.write_str("yes"),
            Self(other) => write!(f, "{other}"),
        }
    }
}

/// A NUL-terminated text in a payload.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    bytes: &'a [u8],
    /// Whether a NUL was inside the payload. Without one the last byte is lost, as the reference
    /// overwrites it (`search_reply_udp` and `claim_ciu_action` of EPICS Base).
    pub terminated: bool,
}

impl<'a> Text<'a> {
    /// A text to send; the terminating NUL and the padding are added.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            terminated: true,
        }
    }

    /// The bytes before the NUL.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        write_text(f, self.bytes)?;
        f.write_str("\"")
    }
}

impl<'a> Payload<'a> for Text<'a> {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
        Ok(text(frame.payload()))
    }
    fn len(&self) -> usize {
        self.bytes.len() + 1
    }
    fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.bytes);
        out.put_u8(0);
    }
}

fn text(payload: &[u8]) -> Text<'_> {
    match payload.iter().position(|&b| b == 0) {
        Some(end) => Text {
            bytes: &payload[..end],
            terminated: true,
        },
        None => {
            let bytes = payload.split_last().map_or(&[][..], |(_, head)| head);
            Text {
                bytes,
                terminated: false,
            }
        }
    }
}

/// Values as they travel: a DBR structure of the header's type and count, possibly padded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Data<'a>(pub &'a [u8]);

impl fmt::Debug for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B", self.0.len())
    }
}

impl<'a> Payload<'a> for Data<'a> {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
        Ok(Self(frame.payload()))
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn put(&self, out: &mut impl BufMut) {
        out.put_slice(self.0);
    }
}

/// The event mask of a subscription request: `DBE_*` bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct EventMask(pub u16);

impl EventMask {
    /// `DBE_VALUE`: changes beyond the value dead-band (MDEL).
    pub const VALUE: Self = Self(1);
    /// `DBE_LOG`: changes beyond the archive dead-band (ADEL).
    pub const LOG: Self = Self(2);
    /// `DBE_ALARM`: changes of alarm status or severity.
    pub const ALARM: Self = Self(4);
    /// `DBE_PROPERTY`: changes of units, limits, precision, state texts.
    pub const PROPERTY: Self = Self(8);

    /// Both masks together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// True if a bit is set in both.
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Bytes of the request's payload: three historic floats, the mask, two bytes of padding.
    const PAYLOAD: usize = 16;
    /// Offset of the mask in that payload.
    const OFFSET: usize = 12;
}

impl core::ops::BitOr for EventMask {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}

impl fmt::Display for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u16, &str); 4] = [(1, "VALUE"), (2, "LOG"), (4, "ALARM"), (8, "PROPERTY")];
        let mut separator = "";
        for (bit, name) in NAMES {
            if self.0 & bit != 0 {
                write!(f, "{separator}{name}")?;
                separator = "|";
            }
        }
        let rest = self.0 & !15;
        if rest != 0 || self.0 == 0 {
            write!(f, "{separator}{rest:#x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for EventMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'a> Payload<'a> for EventMask {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
        let payload = frame.payload();
        match payload.get(Self::OFFSET..Self::OFFSET + 2) {
            Some(&[high, low]) => Ok(Self(u16::from_be_bytes([high, low]))),
            _ => Err(ParseError::ShortPayload {
                command: frame.header.command,
                len: payload.len(),
                need: Self::OFFSET + 2,
            }),
        }
    }
    fn len(&self) -> usize {
        Self::PAYLOAD
    }
    fn put(&self, out: &mut impl BufMut) {
        out.put_bytes(0, Self::OFFSET);
        out.put_u16(self.0);
        out.put_u16(0);
    }
}

/// Payload of a UDP search reply: the server's version. Payloads below 4 bytes mean version 0
/// (`udpiiu::postMsg` of EPICS Base).
impl<'a> Payload<'a> for Minor {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
        Ok(match frame.payload() {
            [high, low, _, _, ..] => Self(u16::from_be_bytes([*high, *low])),
            _ => Self(0),
        })
    }
    fn len(&self) -> usize {
        8
    }
    fn put(&self, out: &mut impl BufMut) {
        out.put_u16(self.0);
        out.put_bytes(0, 6);
    }
}

/// Payload of `ERROR`: the failed request's header and a text for humans.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErrorBody<'a> {
    /// Header of the request; extended when the request's size or count needed it.
    pub request: Header,
    /// Explanation for humans.
    pub text: Text<'a>,
}

/// Header copy, text and NUL of an `ERROR` together never exceed this (`send_err` of EPICS Base).
const ERROR_PAYLOAD_MAX: usize = 512;

impl<'a> ErrorBody<'a> {
    /// A body whose text is cut so that the payload stays within 512 bytes.
    pub fn new(request: Header, text: &'a str) -> Self {
        let room = ERROR_PAYLOAD_MAX - request.encoded_len() - 1;
        let bytes = text.as_bytes();
        Self {
            request,
            text: Text::new(bytes.get(..room).unwrap_or(bytes)),
        }
    }
}

impl fmt::Display for ErrorBody<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} {})", self.request.command, self.text)
    }
}

impl<'a> Payload<'a> for ErrorBody<'a> {
    fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
        let payload = frame.payload();
        let Some((request, len)) = Header::decode(payload, true) else {
            return Err(ParseError::ShortPayload {
                command: frame.header.command,
                len: payload.len(),
                need: Header::len_from_prefix(payload, true).unwrap_or(16),
            });
        };
        Ok(Self {
            request,
            text: text(payload.get(len..).unwrap_or_default()),
        })
    }
    fn len(&self) -> usize {
        self.request.encoded_len() + self.text.len()
    }
    fn put(&self, out: &mut impl BufMut) {
        self.request.encode(out);
        self.text.put(out);
    }
}

/// No payload, or one that is ignored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Nothing;

impl<'a> Payload<'a> for Nothing {
    fn parse(_: &'a Frame<'_>) -> Result<Self, ParseError> {
        Ok(Self)
    }
    fn len(&self) -> usize {
        0
    }
    fn put(&self, _: &mut impl BufMut) {}
}

fn put_message<'p>(header: Header, payload: &impl Payload<'p>, out: &mut impl BufMut) {
    let len = payload.len();
    let padded = align8(len);
    // Payloads reach us bounded by the deframer or by the layout of DBR types; 32 bits hold them.
    Header {
        payload_len: padded as u32,
        ..header
    }
    .encode(out);
    payload.put(out);
    out.put_bytes(0, padded - len);
}

macro_rules! messages {
    (
        $(#[$outer:meta])*
        pub enum $name:ident;
        $(
            $(#[$doc:meta])*
            $variant:ident = $command:ident {
                $($field:ident: $ty:ty = $column:ident),* $(,)?
                $(; $body:ident: $body_ty:ty)?
            }
        )*
    ) => {
        $(#[$outer])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        #[allow(missing_docs)] // The table's line is the documentation of its fields.
        pub enum $name<'a> {
            $(
                $(#[$doc])*
                $variant { $($field: $ty,)* $($body: $body_ty,)? },
            )*
            /// A command that is not known here; kept to be printed or answered.
            Unknown { header: Header, payload: Data<'a> },
        }

        impl<'a> $name<'a> {
            /// The header fields in use per message: `(command, [(field, column)])`, where the
            /// columns are `data_type`, `count`, `p1`, `p2` and `payload`.
            pub const TABLE: &'static [(Command, &'static [(&'static str, &'static str)])] = &[
                $((Command::$command, &[
                    $((stringify!($field), stringify!($column)),)*
                    $((stringify!($body), "payload"),)?
                ]),)*
            ];

            /// Decodes a frame. Unknown commands are not an error.
            ///
            /// # Errors
            /// [`ParseError`] when the payload is too short for the command.
            pub fn parse(frame: &'a Frame<'_>) -> Result<Self, ParseError> {
                let header = &frame.header;
                Ok(match header.command {
                    $(Command::$command => Self::$variant {
                        $($field: Column::from_wire(header.$column),)*
                        $($body: <$body_ty as Payload<'_>>::parse(frame)?,)?
                    },)*
                    _ => Self::Unknown { header: *header, payload: Data(frame.payload()) },
                })
            }

            /// Appends the message to a buffer, header in its shortest form, payload padded with
            /// zeros.
            pub fn encode_into(&self, out: &mut impl BufMut) {
                match self {
                    $(Self::$variant { $($field,)* $($body,)? } => {
                        #[allow(unused_mut, reason = "some messages use no column of the header")]
                        let mut header = Header::new(Command::$command);
                        $(header.$column = Column::to_wire($field);)*
                        let payload = messages!(@payload $($body)?);
                        put_message(header, payload, out);
                    })*
                    Self::Unknown { header, payload } => put_message(*header, payload, out),
                }
            }

            /// Appends the message to a send queue.
            pub fn encode(&self, queue: &mut SendQueue) {
                queue.put(|flat| self.encode_into(flat));
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant { $($field,)* $($body,)? } => {
                        f.write_str(stringify!($command))?;
                        $(write!(f, concat!(" ", stringify!($field), "={:#}"), $field)?;)*
                        $(write!(f, concat!(" ", stringify!($body), "={}"), $body)?;)?
                        Ok(())
                    })*
                    Self::Unknown { header: h, payload } => write!(
                        f,
                        "{} type={} count={} p1={:#x} p2={:#x} payload={payload}",
                        h.command, h.data_type, h.count, h.p1, h.p2,
                    ),
                }
            }
        }
    };
    (@payload $body:ident) => { $body };
    (@payload) => { &Nothing };
}

pub use tables::{tcp, udp};

mod tables {
    use super::*;

    /// Messages on a circuit.
    pub mod tcp {
        use super::*;

        messages! {
            /// What a client sends on a circuit.
            pub enum Request;
            /// Opens a circuit; may come again at any time (`tcp_version_action` of EPICS Base).
            Version = VERSION { priority: u16 = data_type, minor: Minor = count, sequence: u32 = p1 }
            /// Installs a subscription; count 0 follows the current length.
            EventAdd = EVENT_ADD { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, subid: SubId = p2; mask: EventMask }
            /// Removes a subscription; only the two ids count.
            EventCancel = EVENT_CANCEL { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, subid: SubId = p2 }
            /// Obsolete read.
            Read = READ { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, ioid: Ioid = p2 }
            /// Write without an answer.
            Write = WRITE { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, cid: Cid = p2; data: Data<'a> }
            /// Name search over a circuit, 4.12.
            Search = SEARCH { reply: SearchFlag = data_type, minor: Minor = count, cid: Cid = p1, cid2: Cid = p2; name: Text<'a> }
            /// Stops updates; a flag, not a counter.
            EventsOff = EVENTS_OFF {}
            /// Resumes updates.
            EventsOn = EVENTS_ON {}
            /// Obsolete probe; the header is sent back.
            ReadSync = READ_SYNC { data_type: u16 = data_type, count: u32 = count, p1: u32 = p1, p2: u32 = p2 }
            /// Deletes a channel.
            ClearChannel = CLEAR_CHANNEL { data_type: u16 = data_type, count: u32 = count, sid: Sid = p1, cid: Cid = p2 }
            /// Reads once.
            ReadNotify = READ_NOTIFY { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, ioid: Ioid = p2 }
            /// Creates a channel; the minor version replaces the circuit's.
            CreateChan = CREATE_CHAN { cid: Cid = p1, minor: Minor = p2; name: Text<'a> }
            /// Writes and asks for completion.
            WriteNotify = WRITE_NOTIFY { ty: DbrType = data_type, count: u32 = count, sid: Sid = p1, ioid: Ioid = p2; data: Data<'a> }
            /// User name of the client process.
            ClientName = CLIENT_NAME { ; name: Text<'a> }
            /// Host name of the client.
            HostName = HOST_NAME { ; name: Text<'a> }
            /// Asks for everything back unchanged.
            Echo = ECHO { data_type: u16 = data_type, count: u32 = count, p1: u32 = p1, p2: u32 = p2; data: Data<'a> }
        }

        messages! {
            /// What a server sends on a circuit.
            pub enum Response;
            /// The server's version, sent right after accept.
            Version = VERSION { priority: u16 = data_type, minor: Minor = count }
            /// An update; with an empty payload possibly the confirmation of a cancel, in which
            /// case the status field is the SID (`event_cancel_reply` of EPICS Base).
            EventAdd = EVENT_ADD { ty: DbrType = data_type, count: u32 = count, status: EcaStatus = p1, subid: SubId = p2; data: Data<'a> }
            /// Answer to the obsolete read.
            Read = READ { ty: DbrType = data_type, count: u32 = count, cid: Cid = p1, ioid: Ioid = p2; data: Data<'a> }
            /// A name was found; `0xffffffff` means the address of this circuit.
            Search = SEARCH { port: Port = data_type, server: Ipv4Addr = p1, cid: Cid = p2 }
            /// Answer to the obsolete probe.
            ReadSync = READ_SYNC { data_type: u16 = data_type, count: u32 = count, p1: u32 = p1, p2: u32 = p2 }
            /// A request failed.
            Error = ERROR { cid: Cid = p1, status: EcaStatus = p2; body: ErrorBody<'a> }
            /// A channel was deleted.
            ClearChannel = CLEAR_CHANNEL { data_type: u16 = data_type, count: u32 = count, sid: Sid = p1, cid: Cid = p2 }
            /// A name searched over TCP with the reply flag is not served.
            NotFound = NOT_FOUND { reply: SearchFlag = data_type, minor: Minor = count, cid: Cid = p1, cid2: Cid = p2 }
            /// Answer to a read.
            ReadNotify = READ_NOTIFY { ty: DbrType = data_type, count: u32 = count, status: EcaStatus = p1, ioid: Ioid = p2; data: Data<'a> }
            /// A channel exists now; native type and element count.
            CreateChan = CREATE_CHAN { ty: DbrType = data_type, count: u32 = count, cid: Cid = p1, sid: Sid = p2 }
            /// A put-notify is complete.
            WriteNotify = WRITE_NOTIFY { ty: DbrType = data_type, count: u32 = count, status: EcaStatus = p1, ioid: Ioid = p2 }
            /// Rights of a channel: bit 0 read, bit 1 write.
            AccessRights = ACCESS_RIGHTS { cid: Cid = p1, rights: u32 = p2 }
            /// Everything back unchanged.
            Echo = ECHO { data_type: u16 = data_type, count: u32 = count, p1: u32 = p1, p2: u32 = p2; data: Data<'a> }
            /// The channel cannot be created.
            CreateChFail = CREATE_CH_FAIL { cid: Cid = p1 }
            /// The channel is gone, the circuit stays.
            ServerDisconn = SERVER_DISCONN { cid: Cid = p1 }
        }
    }

    /// Messages in datagrams.
    pub mod udp {
        use super::*;

        messages! {
            /// What a client sends to servers and to the repeater.
            pub enum Request;
            /// Leads a search datagram; `valid` is 1 when the sequence number counts. All zeros is
            /// the repeater's no-operation.
            Version = VERSION { valid: u16 = data_type, minor: Minor = count, sequence: u32 = p1 }
            /// Asks who serves a name.
            Search = SEARCH { reply: SearchFlag = data_type, minor: Minor = count, cid: Cid = p1, cid2: Cid = p2; name: Text<'a> }
            /// Registers with the repeater; a datagram of length zero does the same.
            RepeaterRegister = REPEATER_REGISTER { client: Ipv4Addr = p2 }
            /// A beacon on its way from a server to the repeater.
            Beacon = RSRV_IS_UP { minor: Minor = data_type, port: Port = count, sequence: u32 = p1, server: Ipv4Addr = p2 }
        }

        messages! {
            /// What a client receives from servers and from the repeater.
            pub enum Response;
            /// Leads a datagram of search replies and repeats the request's sequence number.
            Version = VERSION { valid: u16 = data_type, minor: Minor = count, sequence: u32 = p1 }
            /// A name was found; `0xffffffff` means the address the datagram came from.
            Search = SEARCH { port: Port = data_type, server: Ipv4Addr = p1, cid: Cid = p2; minor: Minor }
            /// Only old servers send errors in datagrams.
            Error = ERROR { cid: Cid = p1, status: EcaStatus = p2; body: ErrorBody<'a> }
            /// A server is alive; an address of zero means the sender's.
            Beacon = RSRV_IS_UP { minor: Minor = data_type, port: Port = count, sequence: u32 = p1, server: Ipv4Addr = p2 }
            /// Never sent by servers of today.
            NotFound = NOT_FOUND { reply: SearchFlag = data_type, minor: Minor = count, cid: Cid = p1, cid2: Cid = p2 }
            /// The repeater took the registration; the client's address as it sees it.
            RepeaterConfirm = REPEATER_CONFIRM { client: Ipv4Addr = p2 }
        }
    }
}

/// Address field of a search reply that means "where this came from".
pub const SAME_ADDRESS: Ipv4Addr = Ipv4Addr::BROADCAST;
/// Channel field of an `ERROR` that belongs to no channel.
pub const NO_CHANNEL: Cid = Cid(u32::MAX);
