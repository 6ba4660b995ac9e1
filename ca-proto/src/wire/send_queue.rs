//! Bytes on their way out of a circuit.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use bytes::{BufMut, Bytes};

/// Payloads of at least this many bytes are queued as shared buffers, smaller ones are copied into
/// the flat part: one `memcpy` of a page is cheaper than one more slice in a vectored write.
pub const SHARE_FROM: usize = 4096;
/// An emptied queue gives back its flat buffer above this many bytes, so that a burst does not
/// stay allocated. Twice the mark up to which servers encode updates: the last message goes beyond
/// the mark, and a buffer that grew by doubling is larger still.
const KEEP_CAPACITY: usize = 128 * 1024;

/// A queue of bytes: small messages flattened into one buffer, large payloads shared, no copy.
///
/// The driver reads [`slices`](Self::slices), writes what the socket takes, and reports it with
/// [`advance`](Self::advance). `len` is kept, so back-pressure costs nothing.
#[derive(Debug, Default)]
pub struct SendQueue {
    flat: Vec<u8>,
    /// Bytes of `flat` already sent.
    sent: usize,
    /// Shared payloads, each to be sent when `flat` has been sent up to its offset.
    shared: VecDeque<Shared>,
    len: usize,
}

#[derive(Debug)]
struct Shared {
    at: usize,
    data: Bytes,
}

impl SendQueue {
    /// An empty queue; allocates nothing.
    pub const fn new() -> Self {
        Self {
            flat: Vec::new(),
            sent: 0,
            shared: VecDeque::new(),
            len: 0,
        }
    }

    /// Bytes not yet sent.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// True when everything was sent.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends bytes through a writer that copies.
    #[inline]
    pub fn put(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.flat.len();
        write(&mut self.flat);
        self.len += self.flat.len() - before;
    }

    /// Appends a copy of `data`.
    #[inline]
    pub fn put_slice(&mut self, data: &[u8]) {
        self.put(|flat| flat.put_slice(data));
    }

    /// Appends a payload: shared without a copy from [`SHARE_FROM`] bytes on, copied below.
    pub fn put_shared(&mut self, data: Bytes) {
        if data.len() < SHARE_FROM {
            self.put_slice(&data);
        } else {
            self.len += data.len();
            self.shared.push_back(Shared {
                at: self.flat.len(),
                data,
            });
        }
    }

    /// The unsent bytes, if they lie in one piece: nothing among them is shared.
    pub fn contiguous(&self) -> Option<&[u8]> {
        self.shared.is_empty().then(|| &self.flat[self.sent..])
    }

    /// The unsent bytes in order, as slices for a vectored write.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.sent;
        let mut shared = self.shared.iter();
        let mut pending: Option<&Bytes> = None;
        let mut ended = false;
        core::iter::from_fn(move || {
            if let Some(data) = pending.take() {
                return Some(&data[..]);
            }
            if ended {
                return None;
            }
            let to = match shared.next() {
                Some(next) => {
                    pending = Some(&next.data);
                    next.at
                }
                None => {
                    ended = true;
                    self.flat.len()
                }
            };
            let slice = &self.flat[from..to];
            from = to;
            Some(slice)
        })
        .filter(|slice| !slice.is_empty())
    }

    /// Drops the first `n` unsent bytes; the rest stays in order.
    ///
    /// # Panics
    /// If `n` is larger than [`len`](Self::len): a driver cannot have sent more than there was.
    pub fn advance(&mut self, mut n: usize) {
        assert!(n <= self.len, "advanced by {n} of {} bytes", self.len);
        self.len -= n;
        while n > 0 {
            let flat_until = self
                .shared
                .front()
                .map_or(self.flat.len(), |front| front.at);
            let step = n.min(flat_until - self.sent);
            self.sent += step;
            n -= step;
            if n == 0 {
                break;
            }
            let Some(front) = self.shared.front_mut() else {
                break;
            };
            let step = n.min(front.data.len());
            let _ = front.data.split_to(step);
            n -= step;
            if front.data.is_empty() {
                self.shared.pop_front();
            }
        }
        if self.len == 0 {
            self.clear();
        }
    }

    /// Forgets everything unsent.
    pub fn clear(&mut self) {
        self.shared.clear();
        self.sent = 0;
        self.len = 0;
        if self.flat.capacity() > KEEP_CAPACITY {
            self.flat = Vec::new();
        } else {
            self.flat.clear();
        }
    }

    /// Gives back the buffer that an empty queue keeps for reuse.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }

    /// Bytes of buffer that the queue holds, used or not.
    pub const fn capacity(&self) -> usize {
        self.flat.capacity()
    }

    /// Copies the unsent bytes into one buffer; for tests and the virtual network.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.len);
        for slice in self.slices() {
            out.extend_from_slice(slice);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_survives_sharing_and_partial_writes() {
        let large = Bytes::from((0..SHARE_FROM).map(|n| n as u8).collect::<Vec<_>>());
        let mut expected = Vec::new();
        for step in [1, 7, 4096, 5000, 1_000_000] {
            let mut queue = SendQueue::new();
            expected.clear();
            for round in 0..3u8 {
                queue.put_slice(&[round; 24]);
                queue.put_shared(large.clone());
                queue.put_shared(Bytes::from_static(b"small"));
                expected.extend_from_slice(&[round; 24]);
                expected.extend_from_slice(&large);
                expected.extend_from_slice(b"small");
            }
            assert_eq!(queue.to_vec(), expected);
            let mut sent = Vec::new();
            while !queue.is_empty() {
                let slice = queue.slices().next().unwrap();
                let n = slice.len().min(step);
                sent.extend_from_slice(&slice[..n]);
                queue.advance(n);
                assert_eq!(queue.len(), expected.len() - sent.len());
            }
            assert_eq!(sent, expected, "step {step}");
        }
    }

    #[test]
    fn a_burst_does_not_stay_allocated() {
        let mut queue = SendQueue::new();
        queue.put_slice(&[0; KEEP_CAPACITY + 1]);
        queue.advance(queue.len());
        assert_eq!(queue.flat.capacity(), 0);
    }
}
