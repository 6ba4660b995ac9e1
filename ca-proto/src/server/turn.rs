//! How much is done before others have their turn.

/// Units of work that one turn may still do; a unit is what takes about 100 ns: a small request, an
/// update queued, a subscription dropped.
///
/// Work is counted and not timed, so that what happens follows from what was asked and from nothing
/// else. What is left when a turn [is over](Self::is_over) is done in a later one.
#[derive(Debug)]
pub struct Turn {
    left: usize,
}

impl Turn {
    /// A turn of so many units.
    pub const fn new(units: usize) -> Self {
        Self { left: units }
    }

    /// A turn that ends when all is done.
    pub const fn unlimited() -> Self {
        Self { left: usize::MAX }
    }

    /// A part of what is left, at most this many units; what is not spent of it is
    /// [given back](Self::join).
    #[must_use]
    pub const fn part(&mut self, units: usize) -> Self {
        let part = if units < self.left { units } else { self.left };
        self.left -= part;
        Self { left: part }
    }

    /// Takes back what is left of a part.
    pub const fn join(&mut self, part: Self) {
        self.left += part.left;
    }

    /// Counts work that was done.
    pub const fn spend(&mut self, units: usize) {
        self.left = self.left.saturating_sub(units);
    }

    /// Others are to have their turn now.
    pub const fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Units that are left.
    pub const fn left(&self) -> usize {
        self.left
    }
}
