//! What the program has shown, and how it has ended.

use super::Stage;
use crate::client::checks::WRONG;
use crate::client::pv::Pv;
use crate::verdict::{Verdict, ensure};

impl Stage {
    /// Demands that the program has ended by itself.
    ///
    /// # Errors
    /// If it was ended by a signal: it crashed.
    pub(in crate::client) fn ended(&self) -> Verdict {
        let exit = self.program.exit;
        ensure!(
            exit.is_none_or(|exit| exit.code().is_some()),
            "the program crashed: {}",
            exit.unwrap_or_default()
        );
        Ok(())
    }

    /// Demands that the program succeeded and shows a number.
    ///
    /// # Errors
    /// If it did not.
    pub(in crate::client) fn shows(&self, number: f64) -> Verdict {
        self.ended()?;
        ensure!(
            self.has_shown(number),
            "the program does not show {number}; it says {:?}",
            self.program.lines
        );
        let exit = self.program.exit.unwrap_or_default();
        ensure!(
            exit.success(),
            "the program shows the value and ends with {exit}"
        );
        Ok(())
    }

    /// Demands that the program ended by itself and shows no value.
    ///
    /// # Errors
    /// If it did.
    pub(in crate::client) fn shows_nothing(&self) -> Verdict {
        self.ended()?;
        for number in [Pv::FIRST, WRONG] {
            ensure!(!self.has_shown(number), "the program shows {number}");
        }
        Ok(())
    }

    /// Demands that numbers were shown in this order.
    ///
    /// # Errors
    /// If they were not.
    pub(in crate::client) fn in_order(&self, numbers: &[f64]) -> Verdict {
        let mut lines = self.program.lines.iter();
        for number in numbers {
            let text = number.to_string();
            ensure!(
                lines.any(|line| line.contains(&text)),
                "{number} is not shown in its turn; the program says {:?}",
                self.program.lines
            );
        }
        Ok(())
    }

    /// True if the program has ended and says that all went well.
    pub(in crate::client) fn succeeded(&self) -> bool {
        self.program.exit.is_some_and(|exit| exit.success())
    }

    /// True if the number is in the output.
    pub(in crate::client) fn has_shown(&self, number: f64) -> bool {
        let number = number.to_string();
        self.program.lines.iter().any(|line| line.contains(&number))
    }
}
