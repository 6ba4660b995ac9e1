//! What runs gave: samples, figures, medians and spreads.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::plan::{Case, Work};
use crate::steps;

/// Bytes of the array of W6.
const ARRAY: f64 = 8e6;

/// The numbers of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Sample(BTreeMap<String, f64>);

impl Sample {
    /// Reads `key=value …`; what is no number is left out.
    pub(crate) fn parse(line: &str) -> Self {
        let number = |word: &str| {
            let (key, value) = word.split_once('=')?;
            Some((key.to_owned(), value.parse().ok()?))
        };
        Self(line.split_whitespace().filter_map(number).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<f64> {
        self.0.get(key).copied()
    }

    pub(crate) fn set(&mut self, key: &str, value: f64) {
        self.0.insert(key.to_owned(), value);
    }

    /// Operations per second.
    pub(crate) fn rate(&self) -> Option<f64> {
        Some(self.get("ops")? / self.get("secs")?)
    }

    fn per_op(&self, key: &str) -> Option<f64> {
        Some(self.get(key)? / self.get("ops")?.max(1.0))
    }
}

/// What can be read off a sample.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Figure {
    /// What the workload is about, in the unit of [`unit()`].
    Main,
    /// Operations per second.
    Rate,
    /// Processor nanoseconds per operation.
    ClientCpu,
    ServerCpu,
    BothCpu,
    /// Voluntary context switches per operation.
    ClientSwitches,
    ServerSwitches,
    /// Part of the updates that was squashed, %.
    Lost,
    /// Datagrams sent by both sides.
    Datagrams,
    Dropped,
    /// Latencies, µs.
    P99,
    Max,
    /// Cores that others kept busy.
    Others,
    /// What a sample has under this name.
    Named(&'static str),
}

/// The unit of a workload's main figure.
pub(crate) fn unit(work: Work) -> &'static str {
    match work {
        Work::Get | Work::PutNotify | Work::Fair => "p50, µs",
        Work::GetMany(_) | Work::Put => "million/s",
        Work::Monitor(_) | Work::Paced(_) | Work::Fan => "million updates/s",
        Work::Connect(_) | Work::OneShot(_) => "ms",
        Work::Memory => "client, bytes per channel",
        Work::Array => "GB/s",
        Work::Frames => "frames/s",
    }
}

impl Figure {
    pub(crate) fn of(self, work: Work, sample: &Sample) -> Option<f64> {
        match self {
            Self::Main => match work {
                Work::Get | Work::PutNotify | Work::Fair => sample.get("p50_us"),
                Work::Memory => sample.get("client_channel"),
                Work::Connect(_) | Work::OneShot(_) => Some(sample.get("secs")? * 1e3),
                Work::Array => Some(sample.rate()? * ARRAY / 1e9),
                Work::Frames => sample.rate(),
                _ => Some(sample.rate()? / 1e6),
            },
            Self::Rate => sample.rate(),
            Self::ClientCpu => sample.per_op("cpu_ns"),
            Self::ServerCpu => sample.per_op("server_cpu_ns"),
            Self::BothCpu => Some(sample.per_op("cpu_ns")? + sample.per_op("server_cpu_ns")?),
            Self::ClientSwitches => sample.per_op("switches"),
            Self::ServerSwitches => sample.per_op("server_switches"),
            Self::Lost => Some(sample.get("lost")? * 100.0),
            Self::Datagrams => sample.get("datagrams"),
            Self::Dropped => sample.get("dropped"),
            Self::P99 => sample.get("p99_us"),
            Self::Max => sample.get("max_us"),
            Self::Others => sample.get("load_others"),
            Self::Named(key) => sample.get(key),
        }
    }
}

/// Median, smallest and largest of several repeats.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    pub(crate) fn of(mut all: Vec<f64>) -> Option<Self> {
        all.sort_unstable_by(f64::total_cmp);
        let (least, most) = (*all.first()?, *all.last()?);
        let half = all.len() / 2;
        let median = match all.len() % 2 {
            0 => f64::midpoint(all[half - 1], all[half]),
            _ => all[half],
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

/// A case with what each repeat gave.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub case: Case,
    /// One entry per repeat, `None` where it failed.
    pub samples: Vec<Option<Sample>>,
    pub failures: Vec<String>,
}

/// All that a run of the benchmark found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub machine: String,
    pub version: String,
    pub seconds: f64,
    pub repeats: usize,
    pub missing: Vec<String>,
    pub rows: Vec<Row>,
}

impl Results {
    pub(crate) fn new(machine: String, repeats: usize) -> Self {
        Self {
            machine,
            version: env!("CARGO_PKG_VERSION").into(),
            seconds: 0.0,
            repeats,
            missing: Vec::new(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, repeat: usize, case: Case, outcome: Result<Sample, String>) {
        let row = match self.rows.iter_mut().position(|row| row.case == case) {
            Some(at) => &mut self.rows[at],
            None => {
                self.rows.push(Row {
                    case,
                    samples: Vec::new(),
                    failures: Vec::new(),
                });
                let last = self.rows.len() - 1;
                &mut self.rows[last]
            }
        };
        row.samples.resize(repeat, None);
        match outcome {
            Ok(sample) => row.samples.push(Some(sample)),
            Err(reason) => {
                row.samples.push(None);
                row.failures.push(reason);
            }
        }
    }

    pub(crate) fn finish(&mut self, took: Duration, missing: &[String]) {
        self.seconds = took.as_secs_f64();
        self.missing = missing.to_vec();
        // Those that the time allowed.
        let done = self.rows.iter().map(|row| row.samples.len()).max();
        self.repeats = done.unwrap_or(0);
    }

    pub(crate) fn row(&self, case: &Case) -> Option<&Row> {
        self.rows.iter().find(|row| row.case == *case)
    }

    /// A figure of a case over its repeats.
    pub(crate) fn figure(&self, case: &Case, figure: Figure) -> Option<Spread> {
        let samples = self.row(case)?.samples.iter().flatten();
        Spread::of(
            samples
                .filter_map(|sample| figure.of(case.work, sample))
                .collect(),
        )
    }

    /// The ratio of two cases: of each repeat, because what slows down a repeat meets both.
    pub(crate) fn ratio(&self, over: &Case, under: &Case, figure: Figure) -> Option<Spread> {
        let pairs = (self.row(over)?.samples.iter()).zip(&self.row(under)?.samples);
        let ratio = |(over_it, under_it): (&Option<Sample>, &Option<Sample>)| {
            let over_it = figure.of(over.work, over_it.as_ref()?)?;
            let under_it = figure.of(under.work, under_it.as_ref()?)?;
            (under_it > 0.0).then(|| over_it / under_it)
        };
        Spread::of(pairs.filter_map(ratio).collect())
    }

    pub(crate) fn save(&self, file: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        steps::write(file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan::{Client, Pin, Server};

    const CASE: Case = Case {
        work: Work::Get,
        pin: Pin::Free,
        client: Client::Ours,
        server: Server::Ours,
    };

    #[test]
    fn a_line_of_a_program_is_read() {
        let sample = Sample::parse("ops=10 secs=0.5 p50_us=12.5 note=none");
        assert_eq!(sample.rate(), Some(20.0));
        assert_eq!(Figure::Main.of(Work::Get, &sample), Some(12.5));
        assert_eq!(sample.get("note"), None);
    }

    #[test]
    fn ratios_pair_the_repeats_and_skip_failed_ones() {
        let bare = Case {
            client: Client::Bare,
            server: Server::Bare,
            ..CASE
        };
        let mut results = Results::new(String::new(), 3);
        let sample = |p50: f64| Ok(Sample::parse(&format!("ops=1 secs=1 p50_us={p50}")));
        for (repeat, (ours, bares)) in [(20.0, 10.0), (0.0, 5.0), (40.0, 10.0)]
            .into_iter()
            .enumerate()
        {
            let outcome = if ours > 0.0 {
                sample(ours)
            } else {
                Err("lost".into())
            };
            results.add(repeat, CASE, outcome);
            results.add(repeat, bare, sample(bares));
        }
        let ratio = results.ratio(&CASE, &bare, Figure::Main);
        let wanted = Spread {
            median: 3.0,
            least: 2.0,
            most: 4.0,
        };
        assert_eq!(ratio, Some(wanted));
        assert_eq!(results.row(&CASE).map(|row| row.failures.len()), Some(1));
    }
}
