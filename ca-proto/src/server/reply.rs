//! Replies that carry values, and error replies.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use bytes::Bytes;
use core::fmt::{self, Write as _};

use super::account::{Account, Charge};
use super::database::Strided;
use super::limit::Limit;
use super::shared::Piece;
use crate::config::ServerParams;
use crate::dbr::{DbrType, Snapshot};
use crate::ids::Cid;
use crate::status::EcaStatus;
use crate::wire::header::EXTENDED_LEN;
use crate::wire::header::STANDARD_LEN;
use crate::wire::message::{ErrorBody, NO_CHANNEL};
use crate::wire::send_queue::SHARE_FROM;
use crate::wire::{FrameLimits, Header, Minor, SendQueue, align8, tcp};

/// Bytes that suffice for a header, a time stamp and a scalar.
const MAX_SCALAR: u64 = 64;
/// Zeros to share instead of writing out long paddings.
static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

/// Why a value cannot be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The value has no form of this type; nothing was queued.
    NoConversion,
    /// The message would be larger than the limit, in bytes.
    TooLarge(u64),
    /// The message needs a long header, which the client's version does not know.
    OldClient,
    /// The value would have to be copied into a queue that is full already.
    QueueFull,
    /// The value would exceed what the server holds for the client or its address.
    NoRoom(Limit),
}

impl Refusal {
    pub(super) const fn status(self) -> EcaStatus {
        match self {
            Self::NoConversion => EcaStatus::GETFAIL,
            Self::TooLarge(_) => EcaStatus::TOLARGE,
            Self::OldClient => EcaStatus::ARRAY16KCLIENT,
            Self::QueueFull | Self::NoRoom(_) => EcaStatus::ALLOCMEM,
        }
    }

    /// The limit behind it, if it is one.
    pub(super) const fn limit(self) -> Option<Limit> {
        match self {
            Self::TooLarge(_) => Some(Limit::FrameSize),
            Self::QueueFull => Some(Limit::ReplyBytes),
            Self::NoRoom(limit) => Some(limit),
            Self::NoConversion | Self::OldClient => None,
        }
    }
}

/// How a failed request is explained: by its subject and, where the status does not say it all, the
/// reason.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConversion | Self::OldClient => Ok(()),
            Self::TooLarge(len) => write!(f, ": {len} bytes exceed the array limit of the server"),
            Self::QueueFull => f.write_str(": too many replies are waiting to be read"),
            Self::NoRoom(limit) => write!(f, ": {limit}"),
        }
    }
}

/// What limits a message to this client.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    minor: Minor,
    /// Largest message with its header in bytes.
    max_message: u64,
    /// Queued bytes above which no large value is copied behind them.
    max_queued: u64,
}

impl Room {
    pub(super) fn new(params: &ServerParams, minor: Minor) -> Self {
        let max_message = u64::from(params.max_message_bytes());
        Self {
            minor,
            max_message,
            max_queued: params.send_high_water as u64 + max_message,
        }
    }

    /// What the client may send.
    pub(super) const fn limits(&self) -> FrameLimits {
        FrameLimits {
            // Made from 32 bits.
            max_payload: (self.max_message as u32).saturating_sub(STANDARD_LEN as u32),
            extended: self.minor.has_extended_header(),
        }
    }

    /// Whether messages with a scalar and its time stamp are within the limits.
    pub(super) const fn fits_scalars(&self) -> bool {
        self.max_message >= MAX_SCALAR
    }

    /// Completes a header whose type and count are set with the payload size.
    pub(super) fn admit(&self, header: Header, payload: u64) -> Result<Header, Refusal> {
        // 64 bits: neither the product of element size and count nor the padding can wrap.
        let padded = payload.next_multiple_of(8);
        let too_large = Refusal::TooLarge(padded);
        let header = Header {
            payload_len: u32::try_from(padded).map_err(|_| too_large)?,
            ..header
        };
        if header.needs_extended() && !self.minor.has_extended_header() {
            return Err(Refusal::OldClient);
        }
        if padded + header.encoded_len() as u64 > self.max_message.max(EXTENDED_LEN as u64) {
            return Err(too_large);
        }
        Ok(header)
    }

    /// Queues a message with the value; the header says type and element count.
    pub(super) fn put_value(
        &self,
        out: &mut SendQueue,
        header: Header,
        snapshot: &Snapshot,
        account: &Arc<Account>,
    ) -> Result<(), Refusal> {
        let ty = DbrType(header.data_type);
        let header = self.admit(header, ty.size(header.count))?;
        // Whatever goes beyond the value is zero and is not written out.
        let count = header.count.min(available(ty, snapshot));
        // At most what was admitted.
        let size = ty.size(count) as usize;
        let mut written = 0;
        if size >= SHARE_FROM {
            written = self.put_large(out, &header, snapshot, (count, size), account)?;
        } else {
            let mut result = Ok(());
            out.put(|flat| {
                let start = flat.len();
                header.encode(flat);
                let meta = flat.len();
                result = snapshot.encode(ty, count, flat);
                written = flat.len() - meta;
                if result.is_err() {
                    flat.truncate(start);
                }
            });
            result.map_err(|_| Refusal::NoConversion)?;
        }
        put_zeros(out, (header.payload_len as usize).saturating_sub(written));
        Ok(())
    }

    /// Completes the header of a message whose value is converted later, and charges for the value as it
    /// is and as it will be.
    pub(super) fn admit_large(
        &self,
        queued: usize,
        header: Header,
        source: &Strided,
        account: &Arc<Account>,
    ) -> Result<(Header, Charge), Refusal> {
        let ty = DbrType(header.data_type);
        let header = self.admit(header, ty.size(header.count))?;
        let count = header.count.min(source.count);
        // At most what was admitted.
        let size = ty.size(count) as usize;
        if queued as u64 + size as u64 > self.max_queued {
            return Err(Refusal::QueueFull);
        }
        // All from the first element to the last is kept meanwhile.
        let kept = count as usize * source.step * source.state.value.native().size();
        let kept = kept.min(source.state.value.as_ref().data.len());
        let charge = account.hold(header.encoded_len() + size + kept);
        Ok((header, charge.map_err(Refusal::NoRoom)?))
    }

    /// Queues a message whose payload was made in pieces, each of which is charged until it has been sent.
    pub(super) fn put_pieces(
        &self,
        out: &mut SendQueue,
        header: &Header,
        pieces: Vec<Piece>,
        mut charge: Charge,
    ) {
        out.put(|flat| header.encode(flat));
        let written: usize = pieces.iter().map(|piece| piece.as_ref().len()).sum();
        for piece in pieces {
            let charge = charge.split(piece.capacity());
            out.put_shared(charge.on(piece));
        }
        put_zeros(out, (header.payload_len as usize).saturating_sub(written));
    }

    /// Queues header and value in a buffer that is charged until it has been sent; a value that needs
    /// no conversion is shared instead of copied. Returns the bytes behind the header.
    fn put_large(
        &self,
        out: &mut SendQueue,
        header: &Header,
        snapshot: &Snapshot,
        (count, size): (u32, usize),
        account: &Arc<Account>,
    ) -> Result<usize, Refusal> {
        let ty = DbrType(header.data_type);
        let sharable = ty.native() == Some(snapshot.value.native());
        if !sharable && out.len() as u64 + size as u64 > self.max_queued {
            return Err(Refusal::QueueFull);
        }
        let len = header.encoded_len();
        let charge = account.hold(len + size).map_err(Refusal::NoRoom)?;
        let mut own = Vec::new();
        own.reserve_exact(if sharable { len } else { len + size });
        header.encode(&mut own);
        let shared = snapshot.encode_shared(ty, count, &mut own);
        let shared = shared.map_err(|_| Refusal::NoConversion)?;
        let written = own.len() - len;
        let Some(elements) = shared else {
            out.put_shared(charge.on(own));
            return Ok(written);
        };
        out.put_slice(&own);
        let total = written + elements.len();
        if elements.len() < SHARE_FROM {
            out.put_slice(&elements);
        } else {
            out.put_shared(charge.on(elements));
        }
        Ok(total)
    }

    /// Queues a message whose payload is all zeros because the request failed; count 0 means the
    /// metadata alone.
    pub(super) fn put_failure(&self, out: &mut SendQueue, header: Header) -> Result<(), Refusal> {
        let header = self.admit(header, DbrType(header.data_type).size(header.count))?;
        out.put(|flat| header.encode(flat));
        put_zeros(out, header.payload_len as usize);
        Ok(())
    }

    /// Queues the obsolete reply with one string cut behind its NUL (`read_action` of EPICS Base).
    pub(super) fn put_short_string(
        &self,
        out: &mut SendQueue,
        header: Header,
        snapshot: &Snapshot,
    ) -> Result<(), Refusal> {
        let mut text = Vec::new();
        snapshot
            .encode(DbrType(header.data_type), 1, &mut text)
            .map_err(|_| Refusal::NoConversion)?;
        let len = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        let padded = align8(len + 1);
        text.truncate(len);
        text.resize(padded, 0);
        // At most 40 bytes.
        let header = self.admit(header, padded as u64)?;
        out.put(|flat| {
            header.encode(flat);
            flat.extend_from_slice(&text);
        });
        Ok(())
    }
}

/// Elements of a reply that can differ from zero.
fn available(ty: DbrType, snapshot: &Snapshot) -> u32 {
    match ty {
        DbrType::CLASS_NAME => 1,
        _ => snapshot.value.count(),
    }
}

fn put_zeros(out: &mut SendQueue, mut n: usize) {
    while n > 0 {
        let step = n.min(ZEROS.len());
        out.put_shared(Bytes::from_static(&ZEROS[..step]));
        n -= step;
    }
}

/// Queues an `ERROR`.
pub(super) fn put_error(
    out: &mut SendQueue,
    minor: Minor,
    request: &Header,
    cid: Option<Cid>,
    status: EcaStatus,
    text: fmt::Arguments<'_>,
) {
    let mut request = *request;
    if request.needs_extended() && !minor.has_extended_header() {
        // A misaligned size of 65535 from an old client: the long header would confuse it.
        request.payload_len = request.payload_len.min(0xfffe);
        request.count = request.count.min(0xfffe);
    }
    let mut explanation = String::new();
    // Writing to a String cannot fail.
    let _ = explanation.write_fmt(text);
    tcp::Response::Error {
        cid: cid.unwrap_or(NO_CHANNEL),
        status,
        body: ErrorBody::new(request, &explanation),
    }
    .encode(out);
}
