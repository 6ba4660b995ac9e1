//! How much one poll of a driver may do before other tasks get their turn.

use crate::stream::CHUNK_LEN;

/// Bytes read in one poll before a driver yields: what one read of a socket brings, some hundred
/// microseconds' work. Who waits for an answer in them has its turn before the next read, and the readers
/// of subscriptions empty their queues.
const BYTES_PER_POLL: usize = CHUNK_LEN;
/// Rounds (reads, datagrams, accepts) in one poll before a driver yields.
const ROUNDS_PER_POLL: usize = 32;

/// Limits the work of one poll, for fairness between circuits on one thread.
///
/// When [`spend`](Self::spend) says no, the driver wakes itself and returns.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: usize,
    rounds: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: BYTES_PER_POLL,
            rounds: ROUNDS_PER_POLL,
        }
    }
}

impl Budget {
    /// Counts one round that moved `bytes` bytes; false when the budget is used up.
    pub fn spend(&mut self, bytes: usize) -> bool {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.rounds = self.rounds.saturating_sub(1);
        self.bytes > 0 && self.rounds > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firehose_and_a_trickle_both_end() {
        let mut budget = Budget::default();
        assert!(budget.spend(BYTES_PER_POLL - 1));
        assert!(!budget.spend(1));
        let mut budget = Budget::default();
        let rounds = std::iter::repeat_with(|| budget.spend(1))
            .take_while(|&more| more)
            .count();
        assert_eq!(rounds, ROUNDS_PER_POLL - 1);
    }
}
