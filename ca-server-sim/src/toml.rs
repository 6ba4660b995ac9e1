//! PVs from a file in TOML.
//!
//! ```toml
//! seed = 7                          # of the random signals; may be left out
//!
//! [limits]                          # against hostile clients; all have defaults
//! max_circuits = 100                # see LIMIT_NAMES and ServerParams
//! version_timeout = 10              # seconds
//!
//! [pv."sim:gap"]
//! type = "double"                   # float, long, short, char, string, enum, text
//! value = 1.5                       # a list makes an array; without a value it is 0 or empty
//! units = "mm"
//! precision = 3
//! display = [-10.0, 10.0]           # LOPR, HOPR
//! control = [-5.0, 5.0]             # DRVL, DRVH
//! alarm = [nan, 9.0]                # LOLO, HIHI; nan is no limit
//! warning = [-8.0, 8.0]             # LOW, HIGH
//! hysteresis = 0.1
//! value_deadband = 0.01             # MDEL
//! archive_deadband = 0.1            # ADEL
//! description = "gap of the slit"
//! completes_after = 2.0             # seconds; "completes_never = true" for never
//!
//! [pv."sim:valve"]
//! type = "enum"
//! states = ["Closed", "Open"]
//! value = "Open"                    # or its number
//! state_severities = ["NO_ALARM", "MINOR"]
//! read_only = true
//!
//! [pv."sim:wave"]
//! type = "double"
//! capacity = 500
//! signal = { kind = "scope", points = 500, every = 0.1 }
//! ```
//!
//! Signals are sampled `every` so many seconds. Kinds: `ramp`, `sine`, `square`, `triangle` (`low`,
//! `high`, `period`), `noise` (`low`, `high`), `walk` (`start`, `step`, `low`, `high`), `counter`
//! (`start`, `step`), `scope` (`points`, `cycles`, `amplitude`, `noise`), `camera` (`width`,
//! `height`, `period`). All numbers but sizes may be left out.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{Element, Value};
use serde::Deserialize;
use thiserror::Error;
use toml::Spanned;

use crate::builder::IocBuilder;
use crate::pv::PvSpec;
use crate::record::RecordType;
use crate::settings::Settings;
use crate::signals::{Camera, Counter, Noise, Ramp, RandomWalk, Scope, Sine, Square, Triangle};

/// What is wrong with a description in TOML.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}: {message}")]
pub struct TomlError {
    /// Line of the text, counted from 1.
    pub line: usize,
    /// What is wrong, with the PV and the remedy.
    pub message: String,
}

impl TomlError {
    pub(crate) fn at(text: &str, span: Option<Range<usize>>, message: impl Into<String>) -> Self {
        let start = span.map_or(0, |span| span.start).min(text.len());
        let before = text.as_bytes()[..start].iter();
        Self {
            line: 1 + before.filter(|&&b| b == b'\n').count(),
            message: message.into(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    seed: Option<u64>,
    #[serde(default)]
    limits: Settings,
    #[serde(default)]
    pv: BTreeMap<Spanned<String>, Pv>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pv {
    r#type: Spanned<String>,
    value: Option<Spanned<toml::Value>>,
    capacity: Option<u32>,
    units: Option<String>,
    precision: Option<i16>,
    display: Option<[f64; 2]>,
    control: Option<[f64; 2]>,
    alarm: Option<[f64; 2]>,
    warning: Option<[f64; 2]>,
    hysteresis: Option<f64>,
    value_deadband: Option<f64>,
    archive_deadband: Option<f64>,
    states: Option<Vec<String>>,
    state_severities: Option<Vec<Spanned<String>>>,
    description: Option<String>,
    record_type: Option<Spanned<String>>,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    undefined: bool,
    completes_after: Option<Spanned<f64>>,
    #[serde(default)]
    completes_never: bool,
    signal: Option<Spanned<SignalSpec>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignalSpec {
    kind: Spanned<String>,
    /// Seconds between samples.
    every: f64,
    low: Option<f64>,
    high: Option<f64>,
    /// Seconds.
    period: Option<f64>,
    start: Option<f64>,
    step: Option<f64>,
    points: Option<u32>,
    cycles: Option<f64>,
    amplitude: Option<f64>,
    noise: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
}

/// A part that is wrong: where, and why.
type Wrong = (Range<usize>, String);

impl IocBuilder {
    /// Adds the PVs of a description in TOML, see [`toml`](crate::toml).
    ///
    /// # Errors
    /// [`TomlError`] names the line, the PV and the remedy.
    ///
    /// # Examples
    /// ```
    /// let ioc = ca_server_sim::Ioc::builder()
    ///     .toml("[pv.x]\ntype = 'long'\nvalue = 5\nunits = 'counts'")?
    ///     .build()?;
    /// assert_eq!(ioc.number("x")?, 5.0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn toml(mut self, text: &str) -> Result<Self, TomlError> {
        let file: File = toml::from_str(text)
            .map_err(|error| TomlError::at(text, error.span(), error.message()))?;
        if let Some(seed) = file.seed {
            self = self.seed(seed);
        }
        self.settings.merge(file.limits);
        for (name, pv) in file.pv {
            let spec = pv.spec().map_err(|(span, reason)| {
                let message = format!("PV \"{}\": {reason}", name.get_ref());
                TomlError::at(text, Some(span), message)
            })?;
            let added = self.insert(name.get_ref(), spec);
            added.map_err(|error| TomlError::at(text, Some(name.span()), error.to_string()))?;
        }
        Ok(self)
    }
}

impl Pv {
    fn spec(self) -> Result<PvSpec, Wrong> {
        let mut spec = self.first_value()?;
        if let Some(capacity) = self.capacity {
            spec = spec.capacity(capacity);
        }
        if let Some(units) = &self.units {
            spec = spec.units(units);
        }
        if let Some(text) = &self.description {
            spec = spec.description(text);
        }
        spec.meta.precision = self.precision.unwrap_or(0);
        for (range, set) in [
            (
                self.display,
                PvSpec::display as fn(PvSpec, f64, f64) -> PvSpec,
            ),
            (self.control, PvSpec::control),
            (self.alarm, PvSpec::alarm),
            (self.warning, PvSpec::warning),
        ] {
            if let Some([low, high]) = range {
                spec = set(spec, low, high);
            }
        }
        spec.hysteresis = self.hysteresis.unwrap_or(0.0);
        spec.value_deadband = self.value_deadband.unwrap_or(0.0);
        spec.archive_deadband = self.archive_deadband.unwrap_or(0.0);
        spec.undefined = self.undefined;
        if self.read_only {
            spec = spec.read_only();
        }
        if self.completes_never {
            spec = spec.completes_never();
        }
        self.choices(spec)
    }

    /// What names something out of a list.
    fn choices(self, mut spec: PvSpec) -> Result<PvSpec, Wrong> {
        if let Some(after) = self.completes_after {
            spec = spec.completes_after(seconds(*after.get_ref()).map_err(|e| (after.span(), e))?);
        }
        if let Some(name) = &self.record_type {
            let found = RecordType::ALL
                .into_iter()
                .find(|t| t.name() == name.get_ref());
            let all = RecordType::ALL.map(RecordType::name).join(", ");
            let reason = || format!("there is no record type like this; use one of {all}");
            spec = spec.record_type(found.ok_or_else(|| (name.span(), reason()))?);
        }
        let mut severities = Vec::new();
        for name in self.state_severities.iter().flatten() {
            let mut all = AlarmSeverity::ALL.iter();
            let found = all.find(|severity| severity.name() == Some(name.get_ref()));
            let reason = "a severity is NO_ALARM, MINOR, MAJOR or INVALID".to_owned();
            severities.push(*found.ok_or_else(|| (name.span(), reason))?);
        }
        spec = spec.state_severities(severities);
        match self.signal {
            Some(signal) => {
                let span = signal.span();
                signal.into_inner().attach(spec, span)
            }
            None => Ok(spec),
        }
    }

    fn first_value(&self) -> Result<PvSpec, Wrong> {
        let value = self.value.as_ref();
        match self.r#type.get_ref().as_str() {
            "double" => numbers(value, |v| v as f64, Some),
            "float" => numbers(value, |v| v as f32, |v| Some(v as f32)),
            "long" => integers(
                value,
                |v| i32::try_from(v).ok(),
                "from -2147483648 to 2147483647",
            ),
            "short" => integers(value, |v| i16::try_from(v).ok(), "from -32768 to 32767"),
            "char" => integers(value, |v| u8::try_from(v).ok(), "from 0 to 255"),
            "string" => self.strings(),
            "text" => match value.map(|value| (value.get_ref(), value.span())) {
                None => Ok(PvSpec::text("")),
                Some((toml::Value::String(text), _)) => Ok(PvSpec::text(text)),
                Some((_, span)) => Err((span, "write the text in quotes".to_owned())),
            },
            "enum" => self.state(),
            other => {
                let reason = format!(
                    "there is no type \"{other}\"; use one of double, float, long, short, char, \
                     string, enum, text"
                );
                Err((self.r#type.span(), reason))
            }
        }
    }

    fn strings(&self) -> Result<PvSpec, Wrong> {
        let Some(value) = &self.value else {
            return Ok(PvSpec::string(""));
        };
        let wrong = || {
            (
                value.span(),
                "write a text in quotes, or a list of them".to_owned(),
            )
        };
        match value.get_ref() {
            toml::Value::String(text) => Ok(PvSpec::string(text)),
            toml::Value::Array(texts) => {
                let texts: Option<Vec<&str>> = texts.iter().map(toml::Value::as_str).collect();
                Ok(PvSpec::strings(&texts.ok_or_else(wrong)?))
            }
            _ => Err(wrong()),
        }
    }

    fn state(&self) -> Result<PvSpec, Wrong> {
        let states = self.states.as_deref().unwrap_or(&[]);
        if states.len() > 16 || states.iter().any(|state| state.len() > 25) {
            let reason = "an enum has at most 16 states of at most 25 bytes".to_owned();
            return Err((self.r#type.span(), reason));
        }
        let Some(value) = &self.value else {
            return Ok(PvSpec::enumeration(states, 0));
        };
        let index = match value.get_ref() {
            toml::Value::Integer(index) => u16::try_from(*index).ok(),
            toml::Value::String(text) => {
                let at = states.iter().position(|state| state == text);
                at.and_then(|at| u16::try_from(at).ok())
            }
            _ => None,
        };
        let reason = || format!("write one of the states {states:?}, or the number of one");
        let index = index.ok_or_else(|| (value.span(), reason()))?;
        Ok(PvSpec::enumeration(states, index))
    }
}

fn integers<T: Element + Default>(
    value: Option<&Spanned<toml::Value>>,
    convert: fn(i64) -> Option<T>,
    range: &str,
) -> Result<PvSpec, Wrong> {
    let element = |value: &toml::Value| value.as_integer().and_then(convert);
    elements(value, element, &format!("an integer {range}"))
}

fn numbers<T: Element + Default>(
    value: Option<&Spanned<toml::Value>>,
    from_integer: fn(i64) -> T,
    from_real: fn(f64) -> Option<T>,
) -> Result<PvSpec, Wrong> {
    let element = |value: &toml::Value| match value {
        toml::Value::Integer(v) => Some(from_integer(*v)),
        toml::Value::Float(v) => from_real(*v),
        _ => None,
    };
    elements(value, element, "a number")
}

fn elements<T: Element + Default>(
    value: Option<&Spanned<toml::Value>>,
    element: impl Fn(&toml::Value) -> Option<T>,
    expected: &str,
) -> Result<PvSpec, Wrong> {
    let Some(value) = value else {
        return Ok(PvSpec::value(Value::scalar(T::default())));
    };
    let wrong = || (value.span(), format!("write {expected}, or a list of them"));
    match value.get_ref() {
        toml::Value::Array(list) => {
            let list: Option<Vec<T>> = list.iter().map(element).collect();
            Ok(PvSpec::array(list.ok_or_else(wrong)?))
        }
        single => {
            let single = element(single).ok_or_else(wrong)?;
            Ok(PvSpec::value(Value::scalar(single)))
        }
    }
}

fn seconds(time: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(time)
        .map_err(|_| format!("{time} is no time; write seconds that are not negative, such as 0.5"))
}

impl SignalSpec {
    fn attach(self, spec: PvSpec, span: Range<usize>) -> Result<PvSpec, Wrong> {
        let every = seconds(self.every).map_err(|reason| (span.clone(), reason))?;
        let period = seconds(self.period.unwrap_or(10.0)).map_err(|reason| (span, reason))?;
        let (low, high) = (self.low.unwrap_or(0.0), self.high.unwrap_or(1.0));
        let start = self.start.unwrap_or(0.0);
        Ok(match self.kind.get_ref().as_str() {
            "ramp" => spec.signal(Ramp::new(low, high, period), every),
            "sine" => spec.signal(Sine::new(low, high, period), every),
            "square" => spec.signal(Square::new(low, high, period), every),
            "triangle" => spec.signal(Triangle::new(low, high, period), every),
            "noise" => spec.signal(Noise::new(low, high), every),
            "walk" => {
                let low = self.low.unwrap_or(f64::NEG_INFINITY);
                let high = self.high.unwrap_or(f64::INFINITY);
                let walk = RandomWalk::new(start, self.step.unwrap_or(1.0));
                spec.signal(walk.within(low, high), every)
            }
            "counter" => {
                let counter = Counter {
                    next: start as i32,
                    step: self.step.unwrap_or(1.0) as i32,
                };
                spec.signal(counter, every)
            }
            "scope" => {
                let mut scope = Scope::new(self.points.unwrap_or(spec.capacity));
                scope.cycles = self.cycles.unwrap_or(scope.cycles);
                scope.amplitude = self.amplitude.unwrap_or(scope.amplitude);
                scope.noise = self.noise.unwrap_or(scope.noise);
                let capacity = spec.capacity.max(scope.points);
                spec.capacity(capacity).signal(scope, every)
            }
            "camera" => {
                let mut camera = Camera::new(self.width.unwrap_or(0), self.height.unwrap_or(0));
                camera.period = period;
                let capacity = spec.capacity.max(camera.pixels());
                spec.capacity(capacity).signal(camera, every)
            }
            other => {
                let reason = format!(
                    "there is no signal \"{other}\"; use one of ramp, sine, square, triangle, \
                     noise, walk, counter, scope, camera"
                );
                return Err((self.kind.span(), reason));
            }
        })
    }
}
