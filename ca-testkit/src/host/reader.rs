//! A reader that is slower than its subscription.

use ca_proto::client::{Item, Lifecycle, MonitorQueue, Overflow};

/// Updates for each item that is read.
const PACE: u64 = 3;

/// The queue that `ca-client` puts between a subscription and its user, and a user who reads it
/// slowly and checks that every value is told or counted as skipped (4).
#[derive(Debug)]
pub(super) struct SlowReader {
    queue: MonitorQueue<u64>,
    pushed: u64,
    told: u64,
}

impl SlowReader {
    /// The n-th reader of a client; depth and policy differ from one to the next.
    pub(super) fn new(n: u64) -> Self {
        let policies = [Overflow::Squash, Overflow::DropOldest, Overflow::LatestOnly];
        let overflow = policies[(n % 3) as usize];
        let depth = 1 + (n / 3 % 4) as usize;
        Self {
            queue: MonitorQueue::new(depth, overflow),
            pushed: 0,
            told: 0,
        }
    }

    /// Takes an update, and sometimes reads one.
    ///
    /// # Errors
    /// If what was read does not add up.
    pub(super) fn update(&mut self) -> Result<(), String> {
        self.queue.push(self.pushed);
        self.pushed += 1;
        match self.pushed.is_multiple_of(PACE) {
            true => self.read().unwrap_or(Ok(())),
            false => Ok(()),
        }
    }

    /// Takes news of the connection.
    pub(super) fn mark(&mut self, change: Lifecycle) {
        self.queue.mark(change);
    }

    /// Reads to the end.
    ///
    /// # Errors
    /// If it does not add up.
    pub(super) fn finish(&mut self) -> Result<(), String> {
        while let Some(read) = self.read() {
            read?;
        }
        let (told, pushed) = (self.told, self.pushed);
        (told == pushed)
            .then_some(())
            .ok_or_else(|| format!("{told} of {pushed} updates were told or counted"))
    }

    fn read(&mut self) -> Option<Result<(), String>> {
        Some(match self.queue.pop()? {
            Item::Value { value, skipped } => self.take(value, skipped),
            Item::Lifecycle(_) => Ok(()),
        })
    }

    fn take(&mut self, value: u64, skipped: u64) -> Result<(), String> {
        self.told += skipped + 1;
        let told = self.told;
        (told == value + 1).then_some(()).ok_or_else(|| {
            format!("update {value} came with {skipped} skipped, which makes {told} in all")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_skipped_is_counted() {
        for n in 0..12 {
            let mut reader = SlowReader::new(n);
            for update in 0..100 {
                if update % 7 == 0 {
                    reader.mark(Lifecycle::Disconnected);
                    reader.mark(Lifecycle::Connected);
                }
                reader.update().unwrap();
            }
            reader.finish().unwrap();
        }
    }

    #[test]
    fn a_wrong_count_is_noticed() {
        assert!(SlowReader::new(0).take(2, 2).is_ok());
        assert!(SlowReader::new(0).take(2, 1).is_err());
        assert!(SlowReader::new(0).take(2, 3).is_err());
        let mut reader = SlowReader::new(0);
        reader.update().unwrap();
        reader.queue.pop();
        assert!(reader.finish().is_err());
    }
}
