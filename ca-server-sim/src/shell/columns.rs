//! Lines of 80 columns that are filled in steps (`dbpr_msgOut` of EPICS Base).

/// Columns of a line.
const WIDTH: usize = 80;

/// Fills lines with cells, each up to a multiple of the step.
#[derive(Debug)]
pub(super) struct Columns {
    step: usize,
    line: String,
    /// Characters of the line.
    used: usize,
    done: String,
}

impl Columns {
    pub(super) const fn new(step: usize) -> Self {
        Self {
            step,
            line: String::new(),
            used: 0,
            done: String::new(),
        }
    }

    /// Adds a cell; one that does not fit begins a line.
    pub(super) fn add(&mut self, cell: &str) {
        let width = cell.chars().count();
        if self.used + width > WIDTH {
            self.flush();
        }
        self.line.push_str(cell);
        self.used += width;
        let full = ((self.used / self.step + 1) * self.step).min(WIDTH);
        while self.used < full {
            self.line.push(' ');
            self.used += 1;
        }
    }

    fn flush(&mut self) {
        if !self.line.is_empty() {
            self.done.push_str(&self.line);
            self.done.push('\n');
            self.line.clear();
            self.used = 0;
        }
    }

    /// All lines.
    pub(super) fn finish(mut self) -> String {
        self.flush();
        self.done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_filled_up_and_lines_end_before_what_does_not_fit() {
        let mut columns = Columns::new(20);
        for cell in ["a", "b234567890123456789", "c2345678901234567890", "d", "e"] {
            columns.add(cell);
        }
        let lines = columns.finish();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines[0],
            format!(
                "{:20}{:20}{:40}",
                "a", "b234567890123456789", "c2345678901234567890"
            )
        );
        assert_eq!(lines[1], format!("{:20}{:20}", "d", "e"));
        let mut columns = Columns::new(10);
        columns.add(&"x".repeat(100));
        assert_eq!(columns.finish(), format!("{}\n", "x".repeat(100)));
    }
}
