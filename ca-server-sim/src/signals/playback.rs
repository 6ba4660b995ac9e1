//! What was recorded, played again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;
use ca_proto::text::Shown;

use super::Signal;
use crate::slip::nearest;

/// Bytes of a recording at most.
pub const MAX_RECORDING: usize = 64 << 20;
/// Mistakes that are told.
const MAX_TOLD: usize = 100;

/// A mistake in a recording, with its place.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct RecordingMistake {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, and the remedy.
    pub what: String,
}

/// All mistakes of a recording.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct RecordingError(pub Vec<RecordingMistake>);

impl fmt::Display for RecordingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, RecordingMistake { line, column, what }) in self.0.iter().enumerate() {
            let end = if n + 1 < self.0.len() { "\n" } else { "" };
            write!(f, "line {line}, column {column}: {}{end}", Shown(what))?;
        }
        Ok(())
    }
}

impl RecordingError {
    fn of(line: usize, column: usize, what: impl Into<String>) -> Self {
        let what = what.into();
        Self(vec![RecordingMistake { line, column, what }])
    }
}

/// Numbers that were recorded: a time in seconds, and values of several columns.
///
/// As CSV the first line names the columns, of which the first is the time; an empty cell means that the value is
/// the one before. As NDJSON each line is an object of numbers with the time as `t`. Times must not go back; the
/// first one is the beginning.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Recording {
    times: Arc<[f64]>,
    columns: Vec<(String, Arc<[f64]>)>,
}

/// A recording that is being read.
#[derive(Default)]
struct Reader {
    times: Vec<f64>,
    columns: Vec<(String, Vec<f64>)>,
    mistakes: Vec<RecordingMistake>,
}

impl Reader {
    fn wrong(&mut self, line: usize, column: usize, what: impl Into<String>) {
        if self.mistakes.len() < MAX_TOLD {
            let what = what.into();
            self.mistakes.push(RecordingMistake { line, column, what });
        }
    }

    fn time(&mut self, line: usize, column: usize, t: f64) -> bool {
        if self.times.last().is_some_and(|last| t < *last) {
            self.wrong(
                line,
                column,
                format!("the time {t} is before that of the line above; sort the lines"),
            );
            return false;
        }
        self.times.push(t);
        true
    }

    fn done(self) -> Result<Recording, RecordingError> {
        if !self.mistakes.is_empty() {
            return Err(RecordingError(self.mistakes));
        }
        if self.times.is_empty() {
            return Err(RecordingError::of(
                1,
                1,
                "there is nothing in it; give at least one line of numbers",
            ));
        }
        let columns = self.columns.into_iter();
        Ok(Recording {
            times: self.times.into(),
            columns: columns
                .map(|(name, values)| (name, values.into()))
                .collect(),
        })
    }
}

fn check_size(text: &str) -> Result<(), RecordingError> {
    match text.len() <= MAX_RECORDING {
        true => Ok(()),
        false => Err(RecordingError::of(
            1,
            1,
            format!("a recording has {MAX_RECORDING} bytes at most"),
        )),
    }
}

impl Recording {
    /// Reads CSV.
    ///
    /// # Errors
    /// [`RecordingError`]: all mistakes, up to a hundred.
    pub fn csv(text: &str) -> Result<Self, RecordingError> {
        check_size(text)?;
        let mut reader = Reader::default();
        let mut lines = text
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty());
        let Some((_, head)) = lines.next() else {
            return reader.done();
        };
        let names = head.split(',').skip(1);
        reader.columns = names
            .map(|name| (name.trim().trim_matches('"').to_owned(), Vec::new()))
            .collect();
        for (n, line) in lines {
            reader.row(n + 1, line);
        }
        reader.done()
    }

    /// Reads NDJSON.
    ///
    /// # Errors
    /// [`RecordingError`]: all mistakes, up to a hundred.
    pub fn ndjson(text: &str) -> Result<Self, RecordingError> {
        check_size(text)?;
        let mut reader = Reader::default();
        for (n, line) in text.lines().enumerate() {
            if !line.trim().is_empty() {
                reader.object(n + 1, line);
            }
        }
        reader.done()
    }

    /// Reads either: NDJSON begins with a brace.
    ///
    /// # Errors
    /// [`RecordingError`]
    pub fn parse(text: &str) -> Result<Self, RecordingError> {
        match text.trim_start().starts_with('{') {
            true => Self::ndjson(text),
            false => Self::csv(text),
        }
    }

    /// Names of the columns.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(|(name, _)| name.as_str())
    }

    /// How long it is.
    pub fn lasts(&self) -> Duration {
        let (first, last) = (self.times.first(), self.times.last());
        let span = last.zip(first).map_or(0.0, |(last, first)| last - first);
        Duration::try_from_secs_f64(span).unwrap_or(Duration::MAX)
    }

    /// The signal of a column; columns of one recording share it.
    ///
    /// # Errors
    /// In words, with the nearest name: there is no such column.
    pub fn column(&self, name: &str) -> Result<Playback, String> {
        let found = self.columns.iter().find(|(known, _)| known == name);
        let Some((_, values)) = found else {
            let near = nearest(name, self.names());
            let remedy = match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("it has {}", self.names().collect::<Vec<_>>().join(", ")),
            };
            let text = format_args!("the recording has no column `{name}`; {remedy}");
            return Err(Shown(text).to_string());
        };
        Ok(Playback {
            times: Arc::clone(&self.times),
            values: Arc::clone(values),
            repeats: false,
            at: 0,
        })
    }
}

impl Reader {
    /// A line of CSV.
    fn row(&mut self, line: usize, text: &str) {
        let mut column = 1;
        let mut cells = text.split(',').map(|cell| {
            let at = column + cell.chars().take_while(|c| c.is_whitespace()).count();
            column += cell.chars().count() + 1;
            (at, cell.trim())
        });
        let (at, time) = cells.next().unwrap_or((1, ""));
        let cells: Vec<(usize, &str)> = cells.collect();
        if cells.len() != self.columns.len() {
            let (found, wanted) = (cells.len(), self.columns.len());
            let what = format!(
                "there are {found} values, and the first line names {wanted} columns behind the time"
            );
            return self.wrong(line, 1, what);
        }
        match time.parse() {
            Ok(t) if f64::is_finite(t) => {
                if !self.time(line, at, t) {
                    return;
                }
            }
            _ => return self.wrong(line, at, format!("`{time}` is no time in seconds")),
        }
        for (n, (at, cell)) in cells.into_iter().enumerate() {
            let value = match cell.is_empty() {
                true => None,
                false => match cell.parse::<f64>() {
                    Ok(value) => Some(value),
                    Err(_) => {
                        self.wrong(line, at, format!("`{cell}` is no number"));
                        None
                    }
                },
            };
            if let Some((_, values)) = self.columns.get_mut(n) {
                let before = values.last().copied().unwrap_or(f64::NAN);
                values.push(value.unwrap_or(before));
            }
        }
    }

    /// A line of NDJSON: a flat object of numbers.
    fn object(&mut self, line: usize, text: &str) {
        let pairs = match flat(text) {
            Ok(pairs) => pairs,
            Err((byte, what)) => {
                let column = text.get(..byte).map_or(0, |before| before.chars().count()) + 1;
                return self.wrong(line, column, what);
            }
        };
        let Some((_, t)) = pairs.iter().find(|(name, _)| name == "t") else {
            return self.wrong(line, 1, "there is no time: \"t\": 1.5, in seconds");
        };
        if !self.time(line, 1, *t) {
            return;
        }
        let rows = self.times.len();
        for (name, value) in pairs {
            if name == "t" {
                continue;
            }
            let known = self.columns.iter().position(|(known, _)| *known == name);
            let at = known.unwrap_or_else(|| {
                self.columns.push((name, Vec::new()));
                self.columns.len() - 1
            });
            if let Some((_, values)) = self.columns.get_mut(at) {
                let before = values.last().copied().unwrap_or(f64::NAN);
                values.resize(rows - 1, before);
                values.push(value);
            }
        }
        for (_, values) in &mut self.columns {
            let before = values.last().copied().unwrap_or(f64::NAN);
            values.resize(rows, before);
        }
    }
}

/// Names and numbers of an object, or the byte where it is none.
fn flat(text: &str) -> Result<Vec<(String, f64)>, (usize, String)> {
    let mut pairs = Vec::new();
    let mut at = 0;
    let skip = |at: usize| {
        at + text
            .get(at..)
            .map_or(0, |rest| rest.len() - rest.trim_start().len())
    };
    let expect = |at: usize, wanted: char| -> Result<usize, (usize, String)> {
        let at = skip(at);
        match text.get(at..).is_some_and(|rest| rest.starts_with(wanted)) {
            true => Ok(at + wanted.len_utf8()),
            false => Err((
                at,
                format!("`{wanted}` is expected: {{\"t\": 0.1, \"name\": 1.5}}"),
            )),
        }
    };
    at = expect(at, '{')?;
    if let Ok(end) = expect(at, '}') {
        at = end;
    } else {
        loop {
            at = expect(at, '"')?;
            let rest = text.get(at..).unwrap_or_default();
            let end = rest
                .find('"')
                .ok_or_else(|| (at, "this name has no end".to_owned()))?;
            let name = rest.get(..end).unwrap_or_default().to_owned();
            at = skip(expect(at + end + 1, ':')?);
            let rest = text.get(at..).unwrap_or_default();
            let end = rest.find([',', '}']).unwrap_or(rest.len());
            let word = rest.get(..end).unwrap_or_default().trim();
            let number = word.parse::<f64>().ok().filter(|number| number.is_finite());
            let number = number.ok_or_else(|| (at, format!("`{word}` is no number")))?;
            pairs.push((name, number));
            at += end;
            match expect(at, ',') {
                Ok(behind) => at = behind,
                Err(_) => {
                    at = expect(at, '}')?;
                    break;
                }
            }
        }
    }
    match skip(at) == text.len() {
        true => Ok(pairs),
        false => Err((
            skip(at),
            "an object to a line, and nothing behind it".to_owned(),
        )),
    }
}

/// A column of a [`Recording`], as it was: at each time the value that was recorded last. Before the first one
/// and behind the last one that stays.
#[derive(Clone, PartialEq, Debug)]
pub struct Playback {
    times: Arc<[f64]>,
    values: Arc<[f64]>,
    repeats: bool,
    /// Where the last sample was.
    at: usize,
}

impl Playback {
    /// Begins anew whenever it has come to its end.
    #[must_use]
    pub const fn repeated(mut self) -> Self {
        self.repeats = true;
        self
    }
}

impl Signal for Playback {
    fn sample(&mut self, t: Duration, _: &mut Pcg32) -> Value {
        let first = self.times.first().copied().unwrap_or(0.0);
        let span = self.times.last().copied().unwrap_or(0.0) - first;
        let mut t = t.as_secs_f64();
        if self.repeats && span > 0.0 {
            t %= span;
        }
        let t = t + first;
        // Mostly it is this one or the next.
        let holds = |at: usize| {
            self.times.get(at).is_some_and(|from| *from <= t)
                && self.times.get(at + 1).is_none_or(|to| *to > t)
        };
        if !holds(self.at) {
            self.at = match holds(self.at + 1) {
                true => self.at + 1,
                false => self
                    .times
                    .partition_point(|time| *time <= t)
                    .saturating_sub(1),
            };
        }
        Value::scalar(self.values.get(self.at).copied().unwrap_or(f64::NAN))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(playback: &mut Playback, seconds: f64) -> f64 {
        let t = Duration::from_secs_f64(seconds);
        playback
            .sample(t, &mut Pcg32::new(0))
            .as_ref()
            .elements::<f64>()
            .unwrap()
            .next()
            .unwrap()
    }

    #[test]
    fn csv_and_ndjson_say_the_same() {
        let csv = Recording::csv("time, a,\"b\"\n10,1,5\n 10.5, 2 ,\n12,3,7\n").unwrap();
        let ndjson = Recording::parse(
            "{\"t\": 10, \"a\": 1, \"b\": 5}\n\n{\"t\":10.5,\"a\":2}\n{\"t\":12,\"a\":3,\"b\":7}\n",
        );
        assert_eq!(csv, ndjson.unwrap());
        assert_eq!(csv.lasts(), Duration::from_secs(2));
        let mut b = csv.column("b").unwrap();
        assert_eq!(
            [0.0, 0.4, 1.9, 2.0, 99.0].map(|t| at(&mut b, t)),
            [5.0, 5.0, 5.0, 7.0, 7.0]
        );
        let mut a = csv.column("a").unwrap().repeated();
        assert_eq!(
            [0.0, 0.5, 2.1, 2.6, 4.0].map(|t| at(&mut a, t)),
            [1.0, 2.0, 1.0, 2.0, 1.0]
        );
        let missing = csv.column("c").unwrap_err();
        assert!(missing.contains("it has a, b"), "{missing}");
    }

    #[test]
    fn mistakes_are_told_all_at_once_with_their_places() {
        let wrong = Recording::csv("t,a\n1,2\n0.5,3\nx,1\n2,y\n3\n")
            .unwrap_err()
            .to_string();
        let expected = [
            "line 3, column 1: the time 0.5 is before that of the line above; sort the lines",
            "line 4, column 1: `x` is no time in seconds",
            "line 5, column 3: `y` is no number",
            "line 6, column 1: there are 0 values, and the first line names 1 columns behind the time",
        ];
        assert_eq!(wrong, expected.join("\n"));
        let wrong = Recording::ndjson(
            "{\"a\":1}\n{\"t\":1,\"a\":[1]}\n{\"t\":1 \"a\":1}\n{\"t\":1} x\nhello\n",
        );
        let wrong = wrong.unwrap_err().to_string();
        for part in [
            "line 1, column 1: there is no time",
            "line 2, column 12: `[1]` is no number",
            "line 3, column 6: `1 \"a\":1` is no number",
            "line 4, column 9: an object to a line",
            "line 5, column 1: `{` is expected",
        ] {
            assert!(wrong.contains(part), "{wrong}");
        }
        assert!(
            Recording::csv("")
                .unwrap_err()
                .to_string()
                .contains("nothing in it")
        );
    }
}
