//! The signal of a PV.

use std::time::Duration;

use ca_proto::dbr::NativeType;

use super::keys::{SHAPE, SIGNAL, SIGNALS, TIMELESS};
use super::walk::{Entry, Table};
use crate::builder::MIN_PERIOD;
use crate::check::reach;
use crate::db::MAX_ARRAY_BYTES;
use crate::diagnostic::Diagnostics;
use crate::pv::PvSpec;
use crate::served::read_recording;
use crate::signals::{
    BoxedSignal, Camera, Constant, Correlated, Counter, Noise, Ramp, RandomWalk, Recording, Scope,
    Shaped, Sine, Square, Triangle,
};

/// Lets a PV follow its signal, if it has one.
pub(super) fn attach(found: &mut Diagnostics, pv: &Table<'_>, spec: PvSpec) -> PvSpec {
    let Some(entry) = pv.get("signal") else {
        return spec;
    };
    let Some(table) = entry.value.as_table() else {
        entry.expected(found, "a table, as { kind = \"sine\", every = 0.1 }");
        return spec;
    };
    let name = format!("{}: signal", pv.name);
    let table = Table::new(found, name, entry.span.clone(), table, SIGNAL);
    let mut reader = Reader {
        found,
        table,
        // Whoever gives it wants no more than that.
        fixed: pv.get("capacity").is_some(),
    };
    reader.attach(spec)
}

struct Reader<'f, 'a> {
    found: &'f mut Diagnostics,
    table: Table<'a>,
    fixed: bool,
}

impl Reader<'_, '_> {
    fn attach(&mut self, spec: PvSpec) -> PvSpec {
        let every = match self.table.get("every") {
            Some(entry) => entry.seconds(self.found, MIN_PERIOD),
            None => {
                self.wrong("kind", "there is no `every`", "add every = 0.1, in seconds");
                None
            }
        };
        let Some(kind) = self.kind() else { return spec };
        let every = every.unwrap_or(Duration::from_secs(1));
        let spec = match kind {
            "constant" => {
                let value = self.number("value", 0.0);
                self.holds(&spec, value, value);
                spec.signal(Constant(value.into()), every)
            }
            "correlated" => self.correlated(spec, every),
            "playback" => self.playback(spec, every),
            "scope" => self.scope(spec, every),
            "camera" => self.camera(spec, every),
            "counter" => self.counter(spec, every),
            "walk" => self.walk(spec, every),
            _ => self.wave(kind, spec, every),
        };
        self.shape(spec)
    }

    /// What measuring does to it.
    fn shape(&mut self, mut spec: PvSpec) -> PvSpec {
        let given = SHAPE.iter().any(|key| self.table.get(key).is_some());
        // Taken only to be put back.
        if given && let Some((signal, every)) = spec.signal.take() {
            let latency = self.table.get("latency");
            let latency = latency.and_then(|entry| entry.seconds(self.found, Duration::ZERO));
            let shaped = Shaped::new(signal)
                .noise(self.number("noise_rms", 0.0))
                .drift(self.number("drift", 0.0))
                .quantum(self.number("quantum", 0.0))
                .latency(latency.unwrap_or_default());
            spec.signal = Some((BoxedSignal(Box::new(shaped)), every));
        }
        spec
    }

    fn correlated(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let group = self.table.get("group").map(|entry| entry.text(self.found));
        let Some(group) = group else {
            let what = "a correlated signal needs `group`";
            self.wrong("kind", what, "add it, as its other members have it");
            return spec;
        };
        let group = group.unwrap_or_default().to_owned();
        let (mean, rms) = (self.number("mean", 0.0), self.number("rms", 1.0));
        let share = self.number("share", 1.0);
        if share.abs() > 1.0 {
            self.wrong(
                "share",
                "`share` is from -1 to 1",
                "give a part of the whole",
            );
        }
        self.holds(&spec, mean, mean);
        spec.signal(Correlated::in_group(&group, mean, rms, share), every)
    }

    fn playback(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let [file, column] = ["file", "column"].map(|key| {
            let entry = self.table.get(key)?;
            entry.text(self.found).map(ToOwned::to_owned)
        });
        let repeat = (self.table.get("repeat")).is_some_and(|entry| entry.flag(self.found));
        let (Some(file), Some(column)) = (file, column) else {
            let what = "a playback needs `file` and `column`";
            self.wrong("kind", what, "add them, as texts");
            return spec;
        };
        let recording = read_recording(&file).and_then(|text| {
            let recording = Recording::parse(&text);
            recording.map_err(|mistakes| mistakes.to_string())
        });
        let recording = match recording {
            Ok(recording) => recording,
            Err(what) => {
                self.wrong(
                    "file",
                    &format!("{file}: {what}"),
                    "mend or replace the recording",
                );
                return spec;
            }
        };
        match recording.column(&column) {
            Ok(played) if repeat => spec.signal(played.repeated(), every),
            Ok(played) => spec.signal(played, every),
            Err(what) => {
                self.wrong("column", &what, "name one of its columns");
                spec
            }
        }
    }

    fn wrong(&mut self, key: &str, what: &str, remedy: &str) {
        let message = format!("{}: {what}", self.table.name);
        self.found.error(self.table.place(key), message, remedy);
    }

    /// The kind, which says what else there may be.
    fn kind(&mut self) -> Option<&'static str> {
        let words: Vec<(&str, _)> = SIGNALS.iter().map(|kind| (kind.name, *kind)).collect();
        let Some(entry) = self.table.get("kind") else {
            self.wrong(
                "kind",
                "there is no `kind`",
                "add kind = \"sine\", for example",
            );
            return None;
        };
        let kind = entry.word(self.found, "signal", &words)?;
        if TIMELESS.contains(&kind.name) && self.table.get("latency").is_some() {
            let what = format!("a {} has no latency", kind.name);
            let remedy = "leave it out: such values do not follow from the time";
            self.wrong("latency", &what, remedy);
        }
        for (key, entry) in self.table.entries() {
            let common = matches!(key, "kind" | "every") || SHAPE.contains(&key);
            if !common && !kind.keys.contains(&key) {
                let message = format!("{}: a {} has no `{key}`", self.table.name, kind.name);
                let remedy = format!("leave it out; it may have {}", kind.keys.join(", "));
                self.found.error(entry.key.clone(), message, remedy);
            }
        }
        Some(kind.name)
    }

    fn number(&mut self, key: &str, default: f64) -> f64 {
        let Some(entry) = self.table.get(key) else {
            return default;
        };
        match entry.number(self.found) {
            Some(number) if number.is_finite() => number,
            Some(number) => {
                let what = format!("`{key}` cannot be {number}");
                self.wrong(key, &what, "write a finite number");
                default
            }
            None => default,
        }
    }

    fn size(&mut self, key: &str) -> Option<u32> {
        let entry: &Entry<'_> = self.table.get(key)?;
        let most = i128::from(MAX_ARRAY_BYTES);
        let size = entry.integer(self.found, 1, most);
        // A mistake that is told already needs no second.
        Some(size.map_or(1, |size| size as u32))
    }

    fn period(&mut self, default: u64) -> Duration {
        let least = Duration::from_nanos(1);
        let entry = self.table.get("period");
        let period = entry.and_then(|entry| entry.seconds(self.found, least));
        period.unwrap_or_else(|| Duration::from_secs(default))
    }

    /// Whether the PV can hold the single numbers from `low` to `high`.
    fn holds(&mut self, spec: &PvSpec, low: f64, high: f64) {
        let this = spec.type_name();
        if spec.array || spec.native() == NativeType::String {
            let what = format!("{this} cannot follow single numbers");
            let remedy = "use a PV with one number, or a scope or camera for an array";
            return self.wrong("kind", &what, remedy);
        }
        if low > high {
            let what = format!("`low` {low} is above `high` {high}");
            return self.wrong("low", &what, "exchange them");
        }
        let states = spec.meta.states.len() as f64;
        let reach = match spec.native() {
            NativeType::Enum => Some((0.0, (states - 1.0).max(1.0))),
            native => reach(native),
        };
        if let Some((least, most)) = reach
            && (low < least || high > most)
        {
            let key = if high > most { "high" } else { "low" };
            let what = format!("values from {low} to {high} do not fit {this}");
            let remedy = format!("it has {least} to {most}: give low and high within");
            self.wrong(key, &what, &remedy);
        }
    }

    fn wave(&mut self, kind: &str, spec: PvSpec, every: Duration) -> PvSpec {
        let (low, high) = (self.number("low", 0.0), self.number("high", 1.0));
        self.holds(&spec, low, high);
        if kind == "noise" {
            return spec.signal(Noise::new(low, high), every);
        }
        let period = self.period(10);
        match kind {
            "ramp" => spec.signal(Ramp::new(low, high, period), every),
            "sine" => spec.signal(Sine::new(low, high, period), every),
            "square" => spec.signal(Square::new(low, high, period), every),
            _ => spec.signal(Triangle::new(low, high, period), every),
        }
    }

    fn walk(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let (start, step) = (self.number("start", 0.0), self.number("step", 1.0));
        if step < 0.0 {
            self.wrong(
                "step",
                "`step` cannot be negative",
                "it is the largest change",
            );
        }
        let bound = |given: bool, value, beyond| if given { value } else { beyond };
        let given = ["low", "high"].map(|key| self.table.get(key).is_some());
        let low = bound(given[0], self.number("low", 0.0), f64::NEG_INFINITY);
        let high = bound(given[1], self.number("high", 0.0), f64::INFINITY);
        self.holds(&spec, low, high);
        if (start < low || start > high) && low <= high {
            let what = format!("`start` {start} is not within {low} to {high}");
            self.wrong("start", &what, "begin within the bounds");
        }
        spec.signal(RandomWalk::new(start, step).within(low, high), every)
    }

    fn counter(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let mut whole = |key, default| match self.table.get(key) {
            None => default,
            Some(entry) => {
                let number = entry.integer(self.found, i32::MIN.into(), i32::MAX.into());
                number.map_or(default, |number| number as i32)
            }
        };
        let counter = Counter {
            next: whole("start", 0),
            step: whole("step", 1),
        };
        if matches!(
            spec.native(),
            NativeType::Enum | NativeType::Char | NativeType::Short
        ) {
            let what = format!("{} cannot hold what a counter reaches", spec.type_name());
            self.wrong("kind", &what, "use a long, float or double");
        } else {
            self.holds(&spec, counter.next.into(), counter.next.into());
        }
        spec.signal(counter, every)
    }

    /// Makes room for the elements of an array.
    fn room(&mut self, key: &str, spec: PvSpec, elements: u32) -> PvSpec {
        if self.fixed && elements > spec.capacity {
            let capacity = spec.capacity;
            let what = format!("{elements} elements do not fit a capacity of {capacity}");
            self.wrong(key, &what, "raise or leave out `capacity`");
        }
        let capacity = spec.capacity.max(elements);
        spec.capacity(capacity)
    }

    fn scope(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let points = self.size("points").unwrap_or(spec.capacity);
        let mut scope = Scope::new(points);
        scope.cycles = self.number("cycles", scope.cycles);
        scope.amplitude = self.number("amplitude", scope.amplitude);
        scope.noise = self.number("noise", scope.noise);
        if !spec.native().is_real() {
            let what = format!("{} cannot hold a trace", spec.type_name());
            self.wrong("kind", &what, "use type double or float");
        }
        self.room("points", spec, points).signal(scope, every)
    }

    fn camera(&mut self, spec: PvSpec, every: Duration) -> PvSpec {
        let (width, height) = (self.size("width"), self.size("height"));
        let (Some(width), Some(height)) = (width, height) else {
            self.wrong(
                "kind",
                "a camera needs `width` and `height`",
                "add them, in pixels",
            );
            return spec;
        };
        let mut camera = Camera::new(width, height);
        camera.period = self.period(4);
        if u64::from(width) * u64::from(height) > u64::from(MAX_ARRAY_BYTES) {
            let what = format!("{width} x {height} pixels are too many");
            let remedy = format!("an array has at most {MAX_ARRAY_BYTES} bytes");
            self.wrong("width", &what, &remedy);
            return spec;
        }
        if spec.native() != NativeType::Char {
            let what = format!("{} cannot hold the frames of a camera", spec.type_name());
            self.wrong("kind", &what, "use type char");
        }
        self.room("width", spec, camera.pixels())
            .signal(camera, every)
    }
}
