//! What a circuit holds, and pays for.

use core::net::SocketAddrV4;

use super::circuit::Circuit;
use super::limit::Limit;
use super::subscriptions::Index;
use crate::status::EcaStatus;
use crate::wire::{Header, tcp};

/// What an unfinished write-notify costs beside its value and its place in the table: places in the
/// queue of a record, in the list of what is due, and what a put log keeps of it until its end.
pub(super) const PUT_BYTES: usize = 4608;

impl Circuit {
    /// Bytes that the circuit makes the server hold, as they are charged.
    pub fn held(&self) -> usize {
        self.account.used()
    }

    /// Bytes that the tables have allocated, and what is kept elsewhere for their entries.
    fn heap(&self) -> usize {
        self.channels.heap()
            + self.channel_bytes
            + self.subs.heap()
            + self.sub_bytes
            + self.puts.heap()
            + self.puts.len() * PUT_BYTES
            + self.index.as_deref().map_or(0, Index::heap)
            + self.late.capacity()
            + self.input
    }

    /// Charges what has grown since the last time.
    pub(super) fn settle(&mut self) {
        let heap = self.heap();
        match heap.checked_sub(self.charged) {
            Some(0) => return,
            Some(more) => self.account.charge(more),
            None => self.account.refund(self.charged - heap),
        }
        self.charged = heap;
    }

    /// Whether a request may make the server hold so many bytes more; else the limit counts as met.
    pub(super) fn affords(&mut self, bytes: usize) -> bool {
        let result = self.account.afford(bytes);
        self.met = result.err();
        result.is_ok()
    }

    /// Takes note of the buffer of a message that has come in part ([`Deframer::held`]).
    ///
    /// # Errors
    /// The limit that it exceeds: the driver [abandons](crate::wire::Deframer::abandon) the message and calls
    /// [`refuse_frame`](Self::refuse_frame).
    ///
    /// [`Deframer::held`]: crate::wire::Deframer::held
    /// [`Deframer::abandon`]: crate::wire::Deframer::abandon
    #[inline]
    pub fn hold_input(&mut self, bytes: usize) -> Result<(), Limit> {
        match bytes == self.input {
            true => Ok(()),
            false => self.resize_input(bytes),
        }
    }

    fn resize_input(&mut self, bytes: usize) -> Result<(), Limit> {
        self.input = bytes;
        self.settle();
        // Held already: is it too much?
        self.account.within()
    }

    /// Answers a message that was abandoned.
    pub fn refuse_frame(&mut self, header: &Header, limit: Limit) {
        self.met = Some(limit);
        let cid = self.subject(header);
        let text = format_args!("{}: {limit}", header.command);
        self.error(header, cid, EcaStatus::ALLOCMEM, text);
    }

    /// Queues a message that nobody has asked for just now: behind what is queued, however much that
    /// is.
    pub(super) fn send_late(&mut self, message: &tcp::Response<'_>) {
        if self.late.is_empty() && self.out.len() < self.params.send_high_water {
            message.encode(&mut self.out);
        } else {
            message.encode_into(&mut self.late);
        }
    }

    /// True if updates wait until the server may hold more for this client or its address; they are
    /// to be asked for again ([`transmit`](Self::transmit)) after a while.
    pub const fn is_starved(&self) -> bool {
        self.starved.is_some()
    }

    /// The limit behind it, and whose it is.
    pub fn starved_by(&self) -> (Limit, SocketAddrV4) {
        let limit = self.starved.unwrap_or(Limit::CircuitBytes);
        (limit, self.identity.peer)
    }

    /// Moves the messages that found no room behind those that have left some.
    pub(super) fn send_rest(&mut self) {
        if self.out.len() >= self.params.send_high_water {
            return;
        }
        let late = core::mem::take(&mut self.late);
        self.settle();
        let charge = self.account.hold_anyway(late.capacity());
        self.out.put_shared(charge.on(late));
    }
}
