//! Asking the server to hold back updates (`tcpiiu::processIncoming` of EPICS Base).

use super::types::More;

/// Consecutive receives that left bytes behind before updates are stopped.
const LIMIT: u8 = 10;

/// What to send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    None,
    /// `EVENTS_OFF`.
    Off,
    /// `EVENTS_ON`.
    On,
}

/// Counts receives that left bytes behind.
///
/// The reference counts receives of 16 KiB and scales the limit with the array size; ours reads
/// larger pieces and counts each once, so that a burst is not cut and a single array does not stop
/// updates.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    contiguous: u8,
    off: bool,
}

impl Flow {
    pub(super) const fn received(&mut self, more: More) -> Change {
        match more {
            More::Maybe => {
                self.contiguous = self.contiguous.saturating_add(1);
                if self.contiguous >= LIMIT && !self.off {
                    self.off = true;
                    return Change::Off;
                }
            }
            More::Drained => {
                self.contiguous = 0;
                if self.off {
                    self.off = false;
                    return Change::On;
                }
            }
        }
        Change::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// "at `limit` the circuit is busy … Nothing waiting: counter = 0; if busy: EVENTS_ON".
    #[test]
    fn ten_full_reads_stop_the_updates_until_the_socket_is_empty() {
        let mut flow = Flow::default();
        for _ in 0..9 {
            assert_eq!(flow.received(More::Maybe), Change::None);
        }
        assert_eq!(flow.received(More::Drained), Change::None);
        for _ in 0..9 {
            assert_eq!(flow.received(More::Maybe), Change::None);
        }
        assert_eq!(flow.received(More::Maybe), Change::Off);
        for _ in 0..1000 {
            assert_eq!(flow.received(More::Maybe), Change::None);
        }
        assert_eq!(flow.received(More::Drained), Change::On);
        assert_eq!(flow.received(More::Drained), Change::None);
    }
}
