//! What the demo shows: the PVs as the client sees them, and the steps so far.

use std::collections::VecDeque;
use std::time::Duration;

use ca_proto::Alarm;
use ca_proto::dbr::NativeType;

use crate::format::FormatArgs;
use crate::sample::Sample;
use crate::show;

/// Values kept for the curve of a row.
pub(crate) const HISTORY: usize = 21;

/// A PV as the client sees it.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    /// The value with its units.
    pub(crate) text: String,
    pub(crate) alarm: Alarm,
    pub(crate) connected: bool,
    pub(crate) updates: u64,
    /// Values since the start, one per tick.
    pub(crate) history: VecDeque<f64>,
    latest: f64,
}

/// An array as the client sees it.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) values: Vec<f64>,
    pub(crate) updates: u64,
    pub(crate) connected: bool,
}

/// Everything that is shown.
#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) rows: Vec<Row>,
    pub(crate) trace: Trace,
    /// Time since the start, and the text.
    pub(crate) steps: Vec<(Duration, String)>,
    pub(crate) elapsed: Duration,
    pub(crate) total: Duration,
    /// Whether the last step shows in the table.
    pub(crate) wants_picture: bool,
}

impl Board {
    /// A board for scalars of these names, and an array.
    pub(crate) fn new(names: &[&'static str], total: Duration) -> Self {
        let row = |&name| Row {
            name,
            text: String::new(),
            alarm: Alarm::NONE,
            connected: false,
            updates: 0,
            history: VecDeque::with_capacity(HISTORY),
            latest: f64::NAN,
        };
        Self {
            rows: names.iter().map(row).collect(),
            trace: Trace::default(),
            steps: Vec::new(),
            elapsed: Duration::ZERO,
            total,
            wants_picture: false,
        }
    }

    /// An update of PV number `index`; the array comes behind the scalars.
    pub(crate) fn update(&mut self, index: usize, sample: &Sample) {
        let Some(row) = self.rows.get_mut(index) else {
            self.trace.connected = true;
            self.trace.updates += 1;
            let values = sample.value.as_ref().elements::<f64>();
            self.trace.values = values.map_or_else(Vec::new, Iterator::collect);
            return;
        };
        row.connected = true;
        row.updates += 1;
        row.alarm = sample.alarm.unwrap_or_default();
        row.latest = number(sample);
        let digits = sample
            .meta
            .precision
            .and_then(|digits| u16::try_from(digits).ok());
        row.text = show::with_units(&FormatArgs::fixed(digits), sample, false);
    }

    /// The server of PV number `index` is gone.
    pub(crate) fn disconnect(&mut self, index: usize) {
        match self.rows.get_mut(index) {
            Some(row) => {
                row.connected = false;
                row.latest = f64::NAN;
            }
            None => self.trace.connected = false,
        }
    }

    /// The curves move on.
    pub(crate) fn tick(&mut self) {
        for row in &mut self.rows {
            if row.history.len() == HISTORY {
                row.history.pop_front();
            }
            row.history.push_back(row.latest);
        }
    }

    /// Something worth telling happened now.
    pub(crate) fn step(&mut self, text: impl Into<String>) {
        self.steps.push((self.elapsed, text.into()));
    }

    /// Number of PVs that can be used.
    pub(crate) fn connected(&self) -> usize {
        let rows = self.rows.iter().filter(|row| row.connected).count();
        rows + usize::from(self.trace.connected)
    }

    /// Number of PVs.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() + 1
    }

    /// Updates of all PVs.
    pub(crate) fn updates(&self) -> u64 {
        self.rows.iter().map(|row| row.updates).sum::<u64>() + self.trace.updates
    }
}

fn number(sample: &Sample) -> f64 {
    let value = sample.value.as_ref();
    match sample.native() {
        NativeType::Double => value.elements::<f64>().and_then(|mut v| v.next()),
        NativeType::Long => value
            .elements::<i32>()
            .and_then(|mut v| v.next())
            .map(f64::from),
        NativeType::Enum => sample.enum_index().map(f64::from),
        _ => None,
    }
    .unwrap_or(f64::NAN)
}
