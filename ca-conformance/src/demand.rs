//! How checks are written down, those of servers and those of clients.

/// One demand on a peer; `R` is the function that judges it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check<R> {
    /// Name within its group.
    pub(super) id: &'static str,
    /// What the protocol text demands, with its section.
    pub(super) demands: &'static str,
    /// The number in the list of the reference's defects, if the reference does otherwise.
    pub(super) defect: Option<&'static str>,
    pub(super) run: R,
}

/// A check that the reference passes.
pub(super) const fn check<R: Copy>(id: &'static str, demands: &'static str, run: R) -> Check<R> {
    Check {
        id,
        demands,
        defect: None,
        run,
    }
}

/// A check that the reference does not pass, because of this defect.
pub(super) const fn defect<R: Copy>(
    number: &'static str,
    id: &'static str,
    demands: &'static str,
    run: R,
) -> Check<R> {
    Check {
        id,
        demands,
        defect: Some(number),
        run,
    }
}
