//! Signals in one line, as `info(canter:signal, "…")` of a record has them.

use std::time::Duration;

use super::{
    BoxedSignal, Camera, Constant, Correlated, Counter, Noise, Ramp, RandomWalk, Recording, Scope,
    Shaped, Signal, Sine, Square, Triangle,
};
use crate::builder::MIN_PERIOD;
use crate::slip::nearest;

/// Elements of a trace, and pixels of a side, at most.
const MAX_SIDE: u32 = 8192;
/// Keys that every signal has.
const COMMON: &[&str] = &["every", "noise_rms", "drift", "latency", "quantum"];

const KINDS: &[(&str, &[&str])] = &[
    ("constant", &["value"]),
    ("ramp", &["low", "high", "period"]),
    ("sine", &["low", "high", "period"]),
    ("square", &["low", "high", "period"]),
    ("triangle", &["low", "high", "period"]),
    ("noise", &["low", "high"]),
    ("walk", &["start", "step", "low", "high"]),
    ("counter", &["start", "step"]),
    ("playback", &["file", "column", "repeat"]),
    ("correlated", &["group", "mean", "rms", "share"]),
    ("scope", &["points", "cycles", "amplitude", "scatter"]),
    ("camera", &["width", "height", "period"]),
];

/// Kinds that do not follow from the time, so that there is no earlier value to show.
const TIMELESS: &[&str] = &["noise", "walk", "counter"];

/// What a signal says wrong: at which column of its text, in characters from 1.
pub(crate) type Wrong = (usize, String);

/// A key with its value and the columns of both.
struct Pair<'a> {
    key: &'a str,
    value: &'a str,
    column: usize,
}

impl Pair<'_> {
    fn wrong<T>(&self, what: &str) -> Result<T, Wrong> {
        let column = self.column + self.key.chars().count() + 1;
        Err((column, format!("`{}`: {what}", self.value)))
    }

    fn number(&self) -> Result<f64, Wrong> {
        match self.value.parse() {
            Ok(number) if f64::is_finite(number) => Ok(number),
            _ => self.wrong("this is no number"),
        }
    }

    /// Seconds, or a number with its unit.
    fn time(&self) -> Result<Duration, Wrong> {
        let units = [
            ("ms", 1e-3),
            ("us", 1e-6),
            ("min", 60.0),
            ("h", 3600.0),
            ("s", 1.0),
        ];
        let unit = units
            .iter()
            .find_map(|(unit, seconds)| Some((self.value.strip_suffix(unit)?, *seconds)));
        let (digits, seconds) = unit.unwrap_or((self.value, 1.0));
        let time = digits.parse::<f64>().ok().map(|number| number * seconds);
        let time = time.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match time {
            Some(time) => Ok(time),
            None => self.wrong("this is no time; give seconds, or one as 200ms, 10s, 2min"),
        }
    }
}

/// A signal and its period, from `KIND KEY=VALUE …`. `read` gives the text of a file.
pub(crate) fn parse(
    line: &str,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<(BoxedSignal, Duration), Wrong> {
    let (kind, pairs) = split(line)?;
    let get = |key: &str| pairs.iter().rev().find(|pair| pair.key == key);
    let number = |key: &str, default: f64| get(key).map_or(Ok(default), Pair::number);
    let every = get("every").map_or(Ok(Duration::from_secs(1)), Pair::time)?;
    if every < MIN_PERIOD {
        return Err((1, "`every` is at least 0.0001 seconds".to_owned()));
    }
    let period = || get("period").map_or(Ok(Duration::from_secs(10)), Pair::time);
    let range = || Ok((number("low", 0.0)?, number("high", 1.0)?));
    let signal: Box<dyn Signal + Send> = match kind {
        "constant" => Box::new(Constant(number("value", 0.0)?.into())),
        "noise" => {
            let (low, high) = range()?;
            Box::new(Noise::new(low, high))
        }
        "walk" => {
            let low = number("low", f64::NEG_INFINITY)?;
            let high = number("high", f64::INFINITY)?;
            let walk = RandomWalk::new(number("start", 0.0)?, number("step", 1.0)?);
            Box::new(walk.within(low, high))
        }
        "counter" => Box::new(Counter {
            next: number("start", 0.0)? as i32,
            step: number("step", 1.0)? as i32,
        }),
        "playback" => playback(&get, read)?,
        "correlated" => correlated(&get, &number)?,
        "scope" => {
            let mut scope = Scope::new(size(get("points"), 500)?);
            scope.cycles = number("cycles", scope.cycles)?;
            scope.amplitude = number("amplitude", scope.amplitude)?;
            scope.noise = number("scatter", scope.noise)?;
            Box::new(scope)
        }
        "camera" => {
            let mut camera = Camera::new(size(get("width"), 64)?, size(get("height"), 64)?);
            camera.period = get("period").map_or(Ok(camera.period), Pair::time)?;
            Box::new(camera)
        }
        _ => {
            let ((low, high), period) = (range()?, period()?);
            match kind {
                "ramp" => Box::new(Ramp::new(low, high, period)),
                "square" => Box::new(Square::new(low, high, period)),
                "triangle" => Box::new(Triangle::new(low, high, period)),
                _ => Box::new(Sine::new(low, high, period)),
            }
        }
    };
    let shaped = Shaped::new(BoxedSignal(signal))
        .noise(number("noise_rms", 0.0)?)
        .drift(number("drift", 0.0)?)
        .latency(get("latency").map_or(Ok(Duration::ZERO), Pair::time)?)
        .quantum(number("quantum", 0.0)?);
    Ok((BoxedSignal(Box::new(shaped)), every))
}

/// Elements, or pixels of a side.
fn size(pair: Option<&Pair<'_>>, default: u32) -> Result<u32, Wrong> {
    let Some(pair) = pair else { return Ok(default) };
    match pair.value.parse() {
        Ok(size @ 1..=MAX_SIDE) => Ok(size),
        _ => pair.wrong(&format!("this is no number from 1 to {MAX_SIDE}")),
    }
}

fn correlated<'p, 'a: 'p>(
    get: &impl Fn(&str) -> Option<&'p Pair<'a>>,
    number: &impl Fn(&str, f64) -> Result<f64, Wrong>,
) -> Result<Box<dyn Signal + Send>, Wrong> {
    let Some(group) = get("group") else {
        return Err((
            1,
            "a correlated signal wants group=NAME, as its other members have it".to_owned(),
        ));
    };
    let share = number("share", 1.0)?;
    if let Some(pair) = get("share").filter(|_| share.abs() > 1.0) {
        return pair.wrong("a share is from -1 to 1");
    }
    let (mean, rms) = (number("mean", 0.0)?, number("rms", 1.0)?);
    Ok(Box::new(Correlated::in_group(
        group.value,
        mean,
        rms,
        share,
    )))
}

fn playback<'p, 'a: 'p>(
    get: &impl Fn(&str) -> Option<&'p Pair<'a>>,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<Box<dyn Signal + Send>, Wrong> {
    let (Some(file), Some(column)) = (get("file"), get("column")) else {
        return Err((1, "a playback wants file=NAME and column=NAME".to_owned()));
    };
    let text = read(file.value).or_else(|error| file.wrong(&error))?;
    let recording = Recording::parse(&text);
    let recording = recording.or_else(|mistakes| file.wrong(&mistakes.to_string()))?;
    let played = recording.column(column.value);
    let played = played.or_else(|missing| column.wrong(&missing))?;
    match get("repeat").map(|pair| (pair, pair.value)) {
        Some((_, "yes")) => Ok(Box::new(played.repeated())),
        None | Some((_, "no")) => Ok(Box::new(played)),
        Some((pair, _)) => pair.wrong("yes or no"),
    }
}

fn split(line: &str) -> Result<(&'static str, Vec<Pair<'_>>), Wrong> {
    let start = line.as_ptr() as usize;
    let words = line.split_whitespace().map(|word| {
        let byte = word.as_ptr() as usize - start;
        let column = line.get(..byte).map_or(0, |before| before.chars().count()) + 1;
        (word, column)
    });
    let mut words = words;
    let Some((given, column)) = words.next() else {
        return Err((
            1,
            "name a signal, such as: sine low=0 high=10 period=10s every=0.1s".to_owned(),
        ));
    };
    let known = || KINDS.iter().map(|(kind, _)| *kind);
    let Some((kind, keys)) = KINDS.iter().find(|(kind, _)| *kind == given) else {
        return Err((column, unknown("signal", given, known())));
    };
    let mut pairs = Vec::new();
    for (word, column) in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err((column, format!("`{word}`: write KEY=VALUE")));
        };
        if key == "latency" && TIMELESS.contains(kind) {
            let what = format!("a {kind} does not follow from the time, so it has no latency");
            return Err((column, what));
        }
        if !keys.contains(&key) && !COMMON.contains(&key) {
            let known = keys.iter().chain(COMMON).copied();
            return Err((column, unknown(&format!("key of a {kind}"), key, known)));
        }
        pairs.push(Pair { key, value, column });
    }
    Ok((kind, pairs))
}

fn unknown<'a>(what: &str, given: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let remedy = match nearest(given, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
    };
    format!("there is no {what} `{given}`; {remedy}")
}

#[cfg(test)]
mod tests {
    use ca_proto::rng::Pcg32;

    use super::*;

    fn nothing(name: &str) -> Result<String, String> {
        match name {
            "r.csv" => Ok("t,a\n0,1\n1,2\n".to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }

    fn at(line: &str, seconds: u64) -> f64 {
        let (mut signal, _) = parse(line, &mut nothing).unwrap_or_else(|wrong| panic!("{wrong:?}"));
        let value = signal.sample(Duration::from_secs(seconds), &mut Pcg32::new(1));
        value.as_ref().elements::<f64>().unwrap().next().unwrap()
    }

    #[test]
    fn lines_of_all_kinds() {
        assert_eq!(at("constant value=2.5", 1), 2.5);
        assert_eq!(at("ramp low=0 high=10 period=10s every=0.1", 4), 4.0);
        assert_eq!(
            at("ramp low=0 high=10 period=10 latency=1000ms quantum=2", 4),
            4.0
        );
        assert_eq!(at("playback file=r.csv column=a repeat=yes", 1), 1.0);
        assert_eq!(at("counter start=7", 0), 7.0);
        let shared = "correlated group=hall mean=21 rms=0.5 every=0.1";
        assert_eq!(at(shared, 3), at(shared, 3));
        assert_ne!(at(shared, 3), at(shared, 4));
        assert_ne!(at(shared, 3), at(&shared.replace("hall", "ring"), 3));
        let below = |line: &str| 21.0 - at(line, 3);
        assert!((below(shared) + below(&format!("{shared} share=-1"))).abs() < 1e-12);
        let elements = |line: &str| {
            let (mut signal, _) = parse(line, &mut nothing).unwrap_or_else(|w| panic!("{w:?}"));
            let value = signal.sample(Duration::from_secs(1), &mut Pcg32::new(1));
            value.as_ref().count
        };
        assert_eq!(elements("scope points=100 quantum=0.1 noise_rms=0.01"), 100);
        assert_eq!(elements("camera width=8 height=4 every=0.2"), 32);
        let (_, every) = parse("sine every=20ms", &mut nothing).unwrap();
        assert_eq!(every, Duration::from_millis(20));
    }

    #[test]
    fn mistakes_have_their_column() {
        for (line, column, says) in [
            ("", 1, "name a signal"),
            ("sin low=1", 1, "did you mean `sine`?"),
            ("sine lo=1", 6, "did you mean `low`?"),
            ("sine low=x", 10, "`x`: this is no number"),
            ("sine low", 6, "write KEY=VALUE"),
            ("sine period=-1", 13, "this is no time"),
            ("sine every=1us", 1, "at least 0.0001"),
            ("playback file=q.csv column=a", 15, "there is no such file"),
            ("playback file=r.csv column=b", 28, "it has a"),
            ("playback file=r.csv", 1, "wants file=NAME"),
            ("correlated mean=1", 1, "wants group=NAME"),
            ("correlated group=a share=2", 26, "from -1 to 1"),
            ("scope points=0", 14, "from 1 to 8192"),
            ("camera width=10000", 14, "from 1 to 8192"),
            ("walk latency=1", 6, "has no latency"),
        ] {
            let (at, what) = parse(line, &mut nothing).err().unwrap();
            assert!(at == column && what.contains(says), "{line}: {at}: {what}");
        }
    }
}
