//! Tables of checks: these in rows, pairings of a client and a server in columns.

use std::fmt;

/// How a check ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should.
    Ok,
    /// A peer cannot do it; says why.
    NotOffered(String),
    /// Not as it should; says what was seen.
    Failed(String),
}

/// Checks by name, and how each of them ended.
pub type Outcomes = Vec<(String, Outcome)>;

/// Outcomes of checks in several pairings.
#[derive(Debug)]
pub struct Table {
    title: String,
    columns: Vec<String>,
    rows: Vec<(String, Vec<Option<Outcome>>)>,
}

impl Table {
    /// A table without rows.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            title: title.into(),
            columns: columns.iter().map(|&column| column.into()).collect(),
            rows: Vec::new(),
        }
    }

    /// Notes an outcome; rows are in the order of their first outcome.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn set(&mut self, column: &str, check: &str, outcome: Outcome) {
        let at = self.columns.iter().position(|name| name == column);
        let at = at.unwrap_or_else(|| panic!("no column {column}"));
        let row = match self.rows.iter().position(|(name, _)| name == check) {
            Some(row) => row,
            None => {
                self.rows
                    .push((check.into(), vec![None; self.columns.len()]));
                self.rows.len() - 1
            }
        };
        self.rows[row].1[at] = Some(outcome);
    }

    /// Notes the outcomes of a column.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn add(&mut self, column: &str, outcomes: Outcomes) {
        for (check, outcome) in outcomes {
            self.set(column, &check, outcome);
        }
    }

    /// Number of checks that ended well in a column.
    ///
    /// # Panics
    /// If there is no such column.
    pub fn passed(&self, column: &str) -> usize {
        let at = self.columns.iter().position(|name| name == column);
        let at = at.unwrap_or_else(|| panic!("no column {column}"));
        let ok = |(_, cells): &&(String, Vec<Option<Outcome>>)| cells[at] == Some(Outcome::Ok);
        self.rows.iter().filter(ok).count()
    }

    /// Prints the table, then fails the test if a check failed.
    ///
    /// # Panics
    /// If a check failed; the message has them all.
    pub fn finish(self) {
        println!("{self}");
        let failures = self.failures();
        assert!(
            failures.is_empty(),
            "{}:\n{}",
            self.title,
            failures.join("\n")
        );
    }

    /// One line per column and failure.
    pub fn failures(&self) -> Vec<String> {
        self.details(|outcome| match outcome {
            Outcome::Failed(detail) => Some(format!("FAIL {detail}")),
            _ => None,
        })
    }

    /// One line per column and text of its outcomes, with the checks that have it.
    fn details(&self, what: impl Fn(&Outcome) -> Option<String>) -> Vec<String> {
        let mut lines: Vec<(&str, String, Vec<&str>)> = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            for (check, cells) in &self.rows {
                let Some(text) = cells[at].as_ref().and_then(&what) else {
                    continue;
                };
                let same = |(c, t, _): &&mut (&str, String, _)| *c == column && *t == text;
                match lines.iter_mut().find(same) {
                    Some((.., checks)) => checks.push(check),
                    None => lines.push((column, text, vec![check])),
                }
            }
        }
        let line = |(column, text, checks): (_, _, Vec<_>)| {
            let (some, more) = checks.split_at(checks.len().min(3));
            let (some, more) = (some.join(", "), more.len());
            let more = if more > 0 {
                format!(" and {more} more")
            } else {
                String::new()
            };
            format!("  {column}, {some}{more}: {text}")
        };
        lines.into_iter().map(line).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.rows.iter().map(|(name, _)| name.len()).max();
        let first = first.unwrap_or_default().max(self.title.len()) + 2;
        let width = |column: &String| column.chars().count().max(4) + 2;
        writeln!(f)?;
        write!(f, "{:first$}", self.title)?;
        for column in &self.columns {
            write!(f, "{column:0$}", width(column))?;
        }
        writeln!(f)?;
        for (check, cells) in &self.rows {
            write!(f, "{check:first$}")?;
            for (column, cell) in self.columns.iter().zip(cells) {
                let text = match cell {
                    Some(Outcome::Ok) => "ok",
                    Some(Outcome::NotOffered(_)) => "n/a",
                    Some(Outcome::Failed(_)) => "FAIL",
                    None => "",
                };
                write!(f, "{text:0$}", width(column))?;
            }
            writeln!(f)?;
        }
        for line in self.details(|outcome| match outcome {
            Outcome::Ok => None,
            Outcome::NotOffered(reason) => Some(format!("n/a, {reason}")),
            Outcome::Failed(detail) => Some(format!("FAIL {detail}")),
        }) {
            writeln!(f, "{line}")?;
        }
        Ok(())
    }
}
