//! From the text behind a field to filters: `$[0:2:8]{"dbnd":{"abs":1.5},"dec":{"n":2}}`.
//!
//! The reference compares names of arguments, and of choices, with as many letters as are given, so that `{"a":1}`
//! means `abs`. It stores arguments as they come, the later in place of the earlier.

use ca_proto::text::parse::{Base, parse_signed, strtod};

use super::{SyncMode, TimeMode, slice};
use crate::load::json::{self, Json};
use crate::name::Slice;

/// A filter as it was asked for.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Spec {
    Arr(Slice),
    Dbnd { relative: bool, width: f64 },
    Dec(i32),
    Sync { mode: SyncMode, state: Box<str> },
    Ts(TimeMode),
    Utag { mask: i32, value: i32 },
}

/// What stands behind the field.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Suffix {
    /// `$`.
    pub long: bool,
    /// In their order; a range in brackets is one.
    pub filters: Vec<Spec>,
}

/// A kind of argument.
#[derive(Clone, Copy)]
enum Kind {
    Integer,
    Real,
    Choice(&'static [(&'static str, i32)]),
    /// With room for so many bytes, one of which ends it.
    Text(usize),
}

/// An argument of a filter.
struct Argument {
    name: &'static str,
    kind: Kind,
    /// Where it is stored; several arguments may share a place.
    place: Place,
    required: bool,
    /// Whether values of other types are converted.
    converts: bool,
    /// What is stored as the mode beside it.
    mode: Option<i32>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Integer(usize),
    Real,
    Text,
}

/// The integer that holds the mode.
const MODE: usize = 0;

/// What was stored.
#[derive(Default)]
struct Stored {
    integers: [i32; 3],
    real: f64,
    text: Vec<u8>,
}

const fn argument(name: &'static str, kind: Kind, place: Place) -> Argument {
    Argument {
        name,
        kind,
        place,
        required: false,
        converts: true,
        mode: None,
    }
}

const fn state(name: &'static str, mode: Option<i32>) -> Argument {
    Argument {
        required: true,
        converts: false,
        mode,
        // `STATE_NAME_LENGTH` of `sync.c`.
        ..argument(name, Kind::Text(20), Place::Text)
    }
}

const fn band(name: &'static str, mode: Option<i32>) -> Argument {
    Argument {
        mode,
        ..argument(name, Kind::Real, Place::Real)
    }
}

const fn choice(name: &'static str, of: &'static [(&'static str, i32)], at: usize) -> Argument {
    Argument {
        converts: false,
        ..argument(name, Kind::Choice(of), Place::Integer(at))
    }
}

const BANDS: &[(&str, i32)] = &[("abs", 0), ("rel", 1)];
const MODES: &[(&str, i32)] = &[
    ("before", 0),
    ("first", 1),
    ("last", 2),
    ("after", 3),
    ("while", 4),
    ("unless", 5),
];
const NUMBERS: &[(&str, i32)] = &[("dbl", 2), ("sec", 3), ("nsec", 4), ("ts", 5)];
const EPOCHS: &[(&str, i32)] = &[("epics", 0), ("unix", 1)];
const TEXTS: &[(&str, i32)] = &[("epics", 1), ("iso", 2)];

const ARR: &[Argument] = &[
    argument("s", Kind::Integer, Place::Integer(0)),
    argument("i", Kind::Integer, Place::Integer(1)),
    argument("e", Kind::Integer, Place::Integer(2)),
];
const DBND: &[Argument] = &[
    band("d", None),
    argument("m", Kind::Choice(BANDS), Place::Integer(MODE)),
    band("abs", Some(0)),
    band("rel", Some(1)),
];
const DEC: &[Argument] = &[Argument {
    required: true,
    converts: false,
    ..argument("n", Kind::Integer, Place::Integer(0))
}];
const SYNC: &[Argument] = &[
    Argument {
        required: true,
        ..argument("m", Kind::Choice(MODES), Place::Integer(MODE))
    },
    state("s", None),
    state("before", Some(0)),
    state("first", Some(1)),
    state("last", Some(2)),
    state("after", Some(3)),
    state("while", Some(4)),
    state("unless", Some(5)),
];
const TS: &[Argument] = &[
    choice("num", NUMBERS, MODE),
    choice("epoch", EPOCHS, 1),
    choice("str", TEXTS, 2),
];
const UTAG: &[Argument] = &[
    argument("M", Kind::Integer, Place::Integer(0)),
    argument("V", Kind::Integer, Place::Integer(1)),
];

impl Suffix {
    /// Reads everything behind the field; `None` if something else stands there, or the reference would not open a
    /// channel with it. `has_state` says whether there is a state of this name.
    pub(crate) fn parse(text: &[u8], has_state: impl Fn(&str) -> bool) -> Option<Self> {
        let (long, rest) = match text {
            [b'$', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let mut filters = Vec::new();
        let mut rest = rest;
        if let [b'[', inner @ ..] = rest {
            let end = inner.iter().position(|&byte| byte == b']')?;
            filters.push(Spec::Arr(Slice::parse(&inner[..end])?));
            rest = &inner[end + 1..];
        }
        if rest.first() == Some(&b'{') {
            let Json::Object(members) = json::parse_commented(rest).ok()? else {
                return None;
            };
            for (name, value) in &members {
                filters.push(filter(name, value, &has_state)?);
            }
        } else if !rest.is_empty() {
            return None;
        }
        Some(Self { long, filters })
    }
}

fn filter(name: &str, value: &Json, has_state: &impl Fn(&str) -> bool) -> Option<Spec> {
    let stored = |all: &'static [Argument], stored: Stored| {
        let mut reader = Reader {
            all,
            stored,
            found: 0,
            next: None,
        };
        reader.value(value)?;
        let missing = (0..).zip(all).any(|(at, argument)| {
            // A filter has eight arguments at most.
            let bit: u32 = 1 << at;
            argument.required && reader.found & bit == 0
        });
        (!missing).then_some(reader.stored)
    };
    let with = |integers| Stored {
        integers,
        ..Stored::default()
    };
    Some(match name {
        "arr" => {
            let [start, step, end] = stored(ARR, with([0, 1, -1]))?.integers;
            Spec::Arr(slice(start, step, end))
        }
        "dbnd" => {
            let stored = stored(DBND, Stored::default())?;
            Spec::Dbnd {
                relative: stored.integers[MODE] == 1,
                width: stored.real,
            }
        }
        "dec" => {
            let every = stored(DEC, Stored::default())?.integers[0];
            (every >= 1).then_some(Spec::Dec(every))?
        }
        "sync" => {
            let stored = stored(SYNC, Stored::default())?;
            let state = String::from_utf8(stored.text).ok()?;
            let mode = match stored.integers[MODE] {
                0 => SyncMode::Before,
                1 => SyncMode::First,
                2 => SyncMode::Last,
                3 => SyncMode::After,
                4 => SyncMode::While,
                _ => SyncMode::Unless,
            };
            has_state(&state).then(|| Spec::Sync {
                mode,
                state: state.into(),
            })?
        }
        "ts" => Spec::Ts(time_mode(stored(TS, Stored::default())?.integers)),
        "utag" => {
            let [mask, value, _] = stored(UTAG, with([-1, 0, 0]))?.integers;
            Spec::Utag { mask, value }
        }
        _ => return None,
    })
}

const fn time_mode([number, epoch, text]: [i32; 3]) -> TimeMode {
    let unix = epoch == 1;
    match (text, number) {
        (1, _) => TimeMode::Text { iso: false },
        (2, _) => TimeMode::Text { iso: true },
        (_, 2) => TimeMode::Seconds { unix },
        (_, 3) => TimeMode::Whole { unix },
        (_, 4) => TimeMode::Nanos,
        (_, 5) => TimeMode::Pair { unix },
        _ => TimeMode::Generate,
    }
}

struct Reader {
    all: &'static [Argument],
    stored: Stored,
    /// Arguments that were given, or that share their place with one.
    found: u32,
    /// The argument that the next value is of.
    next: Option<usize>,
}

impl Reader {
    fn value(&mut self, value: &Json) -> Option<()> {
        match value {
            Json::Object(members) => {
                for (name, value) in members {
                    self.name(name)?;
                    self.value(value)?;
                }
                Some(())
            }
            Json::Null | Json::Array(_) => None,
            scalar => self.store(&self.all[self.next?], scalar),
        }
    }

    fn name(&mut self, name: &str) -> Option<()> {
        let at = self.all.iter().position(|one| one.name.starts_with(name))?;
        let named = &self.all[at];
        if let Some(mode) = named.mode {
            self.stored.integers[MODE] = mode;
        }
        for (other, argument) in (0..).zip(self.all) {
            let is_mode = named.mode.is_some() && argument.place == Place::Integer(MODE);
            if is_mode || argument.place == named.place {
                self.found |= 1 << other;
            }
        }
        self.next = Some(at);
        Some(())
    }

    fn store(&mut self, argument: &Argument, value: &Json) -> Option<()> {
        let own = matches!(
            (argument.kind, value),
            (Kind::Integer, Json::Integer(_))
                | (Kind::Real, Json::Real(_))
                | (Kind::Text(_) | Kind::Choice(_), Json::Text(_))
        );
        if !own && !argument.converts {
            return None;
        }
        match (argument.kind, argument.place) {
            (Kind::Integer, Place::Integer(at)) => self.stored.integers[at] = integer(value)?,
            (Kind::Choice(of), Place::Integer(at)) => self.stored.integers[at] = chosen(of, value)?,
            (Kind::Real, _) => self.stored.real = real(value)?,
            (Kind::Text(size), _) => {
                let Json::Text(text) = value else { return None };
                let end = text.iter().position(|&byte| byte == 0);
                let length = end.unwrap_or(text.len()).min(size - 1);
                self.stored.text = text[..length].to_vec();
            }
            _ => return None,
        }
        Some(())
    }
}

fn integer(value: &Json) -> Option<i32> {
    match value {
        Json::Integer(number) => i32::try_from(*number).ok(),
        Json::Bool(value) => Some((*value).into()),
        Json::Real(number) => {
            let fits = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(number);
            fits.then_some(*number as i32)
        }
        Json::Text(text) if !text.is_empty() => {
            i32::try_from(parse_signed(text, Base::Prefix).ok()?).ok()
        }
        _ => None,
    }
}

fn real(value: &Json) -> Option<f64> {
    match value {
        // Only 32 bits come through as an integer.
        Json::Integer(number) => i32::try_from(*number).ok().map(f64::from),
        Json::Bool(value) => Some(f64::from(*value)),
        Json::Real(number) => Some(*number),
        Json::Text(text) => strtod(text).ok().map(|(number, _)| number),
        _ => None,
    }
}

fn chosen(of: &[(&str, i32)], value: &Json) -> Option<i32> {
    let found = match value {
        Json::Text(text) => {
            let text = std::str::from_utf8(text).ok()?;
            of.iter().find(|(name, _)| name.starts_with(text))
        }
        Json::Integer(number) => of.iter().find(|(_, own)| i64::from(*own) == *number),
        _ => None,
    };
    found.map(|&(_, own)| own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filters(text: &str) -> Option<Vec<Spec>> {
        let suffix = Suffix::parse(text.as_bytes(), |name| name == "red")?;
        assert!(!suffix.long);
        Some(suffix.filters)
    }

    #[test]
    fn arguments_have_short_forms_and_types() {
        let band = |relative, width| Some(vec![Spec::Dbnd { relative, width }]);
        for text in [
            r#"{"dbnd":{"abs":1.5}}"#,
            "{dbnd:{d:1.5}}",
            r#"{dbnd:{"d":"1.5","m":"abs"}}"#,
            "{dbnd:{a:1.5,},}",
            "{dbnd:{abs:15,abs:1.5}}",
            "{/* why */dbnd:{m:0,d:+1.5}}",
        ] {
            assert_eq!(filters(text), band(false, 1.5), "{text}");
        }
        assert_eq!(filters("{dbnd:{rel:10}}"), band(true, 10.0));
        assert_eq!(filters("{dbnd:{m:'r',d:0xa}}"), band(true, 10.0));
        assert_eq!(filters("{dbnd:{}}"), band(false, 0.0));
        assert_eq!(filters("{dbnd:{abs:{abs:2}}}"), band(false, 2.0));
        let state = |mode| {
            let state = "red".into();
            Some(vec![Spec::Sync { mode, state }])
        };
        assert_eq!(filters("{sync:{while:'red'}}"), state(SyncMode::While));
        assert_eq!(filters("{sync:{m:'unl',s:'red'}}"), state(SyncMode::Unless));
        assert_eq!(filters("{sync:{m:2,s:'red'}}"), state(SyncMode::Last));
        let ts = |mode| Some(vec![Spec::Ts(mode)]);
        assert_eq!(filters("{ts:{}}"), ts(TimeMode::Generate));
        let unix = TimeMode::Seconds { unix: true };
        assert_eq!(filters("{ts:{num:'dbl',epoch:'unix'}}"), ts(unix));
        assert_eq!(
            filters("{ts:{num:'ts',str:'iso'}}"),
            ts(TimeMode::Text { iso: true })
        );
        let utag = Spec::Utag { mask: 3, value: 1 };
        assert_eq!(filters("{utag:{M:3,V:1}}"), Some(vec![utag]));
    }

    #[test]
    fn filters_stand_in_their_order() {
        assert_eq!(
            filters("[1:3]{dec:{n:2},arr:{s:1},dec:{n:3}}"),
            Some(vec![
                Spec::Arr(slice(1, 1, 3)),
                Spec::Dec(2),
                Spec::Arr(slice(1, 1, -1)),
                Spec::Dec(3),
            ])
        );
        assert_eq!(filters("{}"), Some(vec![]));
        let long = Suffix::parse(b"$[0:-2]", |_| false).unwrap();
        assert!(long.long && long.filters.len() == 1);
    }

    #[test]
    fn what_no_channel_has_opens_none() {
        for text in [
            "{",
            "{}x",
            "{nix:{}}",
            "{dec:{}}",
            "{dec:{n:0}}",
            "{dec:{n:2.5}}",
            "{dec:{n:'2'}}",
            "{dec:5}",
            "{dec:null}",
            "{dec:[1]}",
            "{dec:{x:1}}",
            "{dbnd:{abs:'x'}}",
            "{dbnd:{abs:null}}",
            "{dbnd:{m:'other'}}",
            "{sync:{while:'blue'}}",
            "{sync:{s:'red'}}",
            "{sync:{m:'while'}}",
            "{sync:{m:'x',s:'red'}}",
            "{sync:{m:9,s:'red'}}",
            "{ts:{num:2}}",
            "{dec:{n:5000000000}}",
            "{arr:{s:'x'}}",
            "[1:2",
            "[1]x",
            "x",
        ] {
            assert_eq!(filters(text), None, "{text}");
        }
    }
}
