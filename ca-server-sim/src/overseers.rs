//! Who has a say in puts, or is told of them.

use std::ops::Deref;

use crate::access::Guard;
use crate::faults::Faulty;
use crate::put_log::{PutLog, PutStop};
use crate::question::Questions;

/// The places of those who have a say.
#[derive(Debug, Default)]
pub(crate) struct Seats {
    /// Faults of PVs.
    pub faulty: Option<Box<Faulty>>,
    pub guard: Option<Box<Guard>>,
    pub put_log: Option<PutLog>,
    /// Whether puts are refused now.
    pub put_stop: Option<PutStop>,
    /// Puts that the program decides.
    pub questions: Option<Box<Questions>>,
}

/// Those who have a say in puts, with whether there is anybody: a plain put asks that once.
///
/// They come and go by [`change`](Self::change) alone, which looks who is there then; all else only reads who they
/// are, or works with those that are there.
#[derive(Debug, Default)]
pub(crate) struct Overseers {
    seats: Seats,
    any: bool,
}

impl Overseers {
    /// Whether anybody has a say.
    #[inline]
    pub(crate) const fn any(&self) -> bool {
        self.any
    }

    /// Lets somebody come or go.
    pub(crate) fn change<T>(&mut self, change: impl FnOnce(&mut Seats) -> T) -> T {
        let given = change(&mut self.seats);
        // A place that is new belongs here too: without it this does not compile.
        let Seats {
            faulty,
            guard,
            put_log,
            put_stop,
            questions,
        } = &self.seats;
        self.any = faulty.is_some()
            || guard.is_some()
            || put_log.is_some()
            || put_stop.is_some()
            || questions.is_some();
        given
    }

    /// The faults of PVs, from now on at the latest.
    pub(crate) fn faulty_or_new(&mut self, seed: u64) -> &mut Faulty {
        self.any = true;
        self.seats
            .faulty
            .get_or_insert_with(|| Box::new(Faulty::new(seed)))
    }

    pub(crate) fn faulty_mut(&mut self) -> Option<&mut Faulty> {
        self.seats.faulty.as_deref_mut()
    }

    pub(crate) fn guard_mut(&mut self) -> Option<&mut Guard> {
        self.seats.guard.as_deref_mut()
    }

    pub(crate) const fn put_stop_mut(&mut self) -> Option<&mut PutStop> {
        self.seats.put_stop.as_mut()
    }

    pub(crate) fn questions_mut(&mut self) -> Option<&mut Questions> {
        self.seats.questions.as_deref_mut()
    }
}

impl Deref for Overseers {
    type Target = Seats;

    fn deref(&self) -> &Seats {
        &self.seats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_or_goes_is_known() {
        let mut all = Overseers::default();
        assert!(!all.any());
        all.change(|all| all.put_stop = Some(PutStop::new(|| false)));
        assert!(all.any());
        all.faulty_or_new(1);
        assert!(all.change(|all| all.put_stop.take()).is_some());
        assert!(all.any(), "faults are still there");
        all.change(|all| all.faulty = None);
        assert!(!all.any());
        // What is taken out and put back has its say again.
        all.faulty_or_new(1);
        let faulty = all.change(|all| all.faulty.take());
        assert!(!all.any());
        all.change(|all| all.faulty = faulty);
        assert!(all.any());
    }
}
