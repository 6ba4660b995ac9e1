//! Where a command writes.

use std::fmt::Display;
use std::io::{self, Write};

use crate::paint::Paint;

/// Output and error stream of a command, replaceable by tests.
pub(crate) struct Console<'a> {
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Errors and remarks.
    pub(crate) err: &'a mut dyn Write,
    /// Colours of the output.
    pub(crate) paint: Paint,
    /// Whether results go to a terminal, which may be redrawn.
    pub(crate) terminal: bool,
    /// What was told last as a remedy: of a hundred PVs that miss the same it is told once.
    pub(crate) remedy: String,
}

impl Console<'_> {
    /// Whether errors go to a terminal that shows colours.
    pub(crate) fn err_styled(&self) -> bool {
        Paint::of(&io::stderr()).is_on()
    }

    /// Writes to the error stream, behind everything that was written so far.
    ///
    /// # Errors
    /// Those of the output; without an error stream there is nobody to tell.
    pub(crate) fn complain(&mut self, what: impl Display) -> io::Result<()> {
        self.out.flush()?;
        let _ = writeln!(self.err, "{what}");
        let _ = self.err.flush();
        Ok(())
    }
}
