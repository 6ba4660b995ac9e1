//! The groups of records that the IOCs of a facility have, drawn from its seed.

use core::fmt::Write as _;

use ca_proto::rng::Pcg32;

/// Longest array of a group.
const ROOM: u32 = 9;

/// Records that belong together, on one IOC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Group {
    /// A calc that adds one to itself, at a period or on an event.
    Counter { period: Option<u8> },
    /// A calc of two inputs, which has alarms.
    Sum { how: How, term: u8 },
    /// A put to a head that ends in a copy elsewhere.
    Chain { middle: Middle },
    /// An array, and a part of it that another record takes.
    Wave { first: u8, count: u8 },
    /// Texts.
    Text,
    /// An input that is simulated at times.
    Simulated,
}

/// How a calc comes to know that an input has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    Forward,
    Follow,
    FollowPassive,
    /// One input is a record of the next IOC.
    Abroad,
}

/// What stands between the two ends of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Middle {
    Sequence,
    Fanout,
    DataFanout,
    Calculation,
    /// The head writes to the next IOC and waits.
    Abroad,
}

/// Periods of counters, as SCAN says them, and in milliseconds.
pub(crate) const PERIODS: [(&str, u64); 4] = [
    ("10 second", 10_000),
    ("5 second", 5_000),
    ("2 second", 2_000),
    ("1 second", 1_000),
];

/// An expression and what it is.
type Term = (&'static str, fn(f64, f64) -> f64);

/// Expressions of calcs, written twice: inputs are whole numbers between 0 and 2^31.
pub(crate) const TERMS: [Term; 8] = [
    ("A+B", |a, b| a + b),
    ("A*2-B", |a, b| 2.0 * a - b),
    ("A>B?A:B", f64::max),
    ("MIN(A,B)+0.5", |a, b| a.min(b) + 0.5),
    ("(A%23)+(B%7)", |a, b| a % 23.0 + b % 7.0),
    ("ABS(A-B)/4", |a, b| (a - b).abs() / 4.0),
    ("FLOOR(A/3)*!(B%2)", |a, b| {
        (a / 3.0).floor() * if b % 2.0 == 0.0 { 1.0 } else { 0.0 }
    }),
    ("(A&63)+(B<<1)", |a, b| a % 64.0 + 2.0 * b),
];

/// From where a sum is a minor and a major alarm.
pub(crate) const ALARMS: (f64, f64) = (12.0, 24.0);

/// Name of the record of each IOC that others read, and of the one that others write.
pub(crate) const SOURCE: &str = "source";
pub(crate) const SINK: &str = "sink";

impl Group {
    /// The groups of an IOC: of as many kinds as there are groups.
    pub(crate) fn draw(seed: u64, ioc: usize, count: u8) -> Vec<Self> {
        let mut rng = Pcg32::new(seed ^ (0x5eed + ioc as u64));
        let first = rng.below(6);
        (0..u32::from(count))
            .map(|n| Self::of_kind((first + n) % 6, &mut rng))
            .collect()
    }

    fn of_kind(kind: u32, rng: &mut Pcg32) -> Self {
        let mut below = |n| rng.below(n) as u8;
        match kind {
            0 => Self::Counter {
                period: Some(below(5)).filter(|&period| period < 4),
            },
            1 => Self::Sum {
                how: [
                    How::Forward,
                    How::Follow,
                    How::FollowPassive,
                    How::Abroad,
                    How::Abroad,
                ][usize::from(below(5))],
                term: below(TERMS.len() as u32),
            },
            2 => Self::Chain {
                middle: [
                    Middle::Sequence,
                    Middle::Fanout,
                    Middle::DataFanout,
                    Middle::Calculation,
                    Middle::Abroad,
                    Middle::Abroad,
                ][usize::from(below(6))],
            },
            3 => Self::Wave {
                first: below(3),
                count: 1 + below(4),
            },
            4 => Self::Text,
            _ => Self::Simulated,
        }
    }

    /// The records of a group as a `.db` file has them. `p` begins their names, `next` those of the next IOC, and
    /// `init` is a number that was never seen before.
    pub(crate) fn write(self, text: &mut String, p: &str, next: &str, init: u32) {
        let mut line = |of: &str, name: &str, fields: &[(&str, &str)]| {
            let _ = write!(text, "record({of},\"{p}:{name}\"){{");
            for (field, value) in fields {
                let _ = write!(text, "field({field},\"{value}\")");
            }
            text.push_str("}\n");
        };
        let at = |name: &str| format!("{p}:{name}");
        let number = init.to_string();
        match self {
            Self::Counter { period } => {
                let base = format!("{init}000000");
                let scan = period.map_or("Event", |period| PERIODS[usize::from(period)].0);
                let own = format!("{} NPP", at("n"));
                let fields = [("INPA", &*own), ("CALC", "A+1"), ("VAL", &base)];
                let more = [("SCAN", scan), ("EVNT", EVENT)];
                line("calc", "n", &[&fields[..], &more].concat());
            }
            Self::Sum { how, term } => {
                let forward = if how == How::Forward {
                    at("s")
                } else {
                    String::new()
                };
                let input = [("VAL", &*number), ("FLNK", &forward)];
                line("ao", "a", &input);
                line("ao", "b", &input);
                let follow = match how {
                    How::Forward => "NPP",
                    How::Follow | How::Abroad => "CP",
                    How::FollowPassive => "CPP",
                };
                let a = format!("{} {follow}", at("a"));
                let b = match how {
                    How::Abroad => format!("{next}:{SOURCE} CP"),
                    _ => format!("{} {follow}", at("b")),
                };
                let (minor, major) = (ALARMS.0.to_string(), ALARMS.1.to_string());
                let fields = [
                    ("INPA", &*a),
                    ("INPB", &b),
                    ("CALC", TERMS[usize::from(term)].0),
                    ("PINI", "YES"),
                ];
                let alarms = [
                    ("HIGH", &*minor),
                    ("HSV", "MINOR"),
                    ("HIHI", &major),
                    ("HHSV", "MAJOR"),
                ];
                line("calc", "s", &[fields, alarms].concat());
            }
            Self::Chain { middle } => {
                let (head, done, m) = (at("head"), at("done"), at("m"));
                let (to_done, from_head) = (format!("{done} PP"), format!("{head} NPP"));
                let sink = format!("{next}:{SINK} CA");
                let device = match middle {
                    Middle::Abroad => [("DTYP", "Async Soft Channel"), ("OUT", &*sink)],
                    _ => [("DTYP", "Soft Channel"), ("OUT", "")],
                };
                let flnk = if middle == Middle::Abroad { &done } else { &m };
                let head = [("VAL", &*number), ("FLNK", flnk)];
                line("ao", "head", &[head, device].concat());
                let copies = matches!(middle, Middle::Fanout | Middle::Abroad);
                let mode = if copies { "closed_loop" } else { "supervisory" };
                let from = if copies { &*from_head } else { "" };
                line(
                    "ao",
                    "done",
                    &[("VAL", &*number), ("OMSL", mode), ("DOL", from)],
                );
                let tail = at("tail");
                let to_tail = format!("{tail} PP");
                match middle {
                    Middle::Sequence => {
                        line("longout", "tail", &[]);
                        let first = [("DLY1", "0.2"), ("DOL1", &*from_head), ("LNK1", &to_tail)];
                        let then = [("DLY2", "0.3"), ("DOL2", &*from_head), ("LNK2", &to_done)];
                        line("seq", "m", &[first, then].concat());
                    }
                    Middle::Fanout => {
                        line("bo", "tail", &[]);
                        line("fanout", "m", &[("LNK1", &*tail), ("LNK2", &done)]);
                    }
                    Middle::DataFanout => {
                        line("longout", "tail", &[]);
                        let from = [("OMSL", "closed_loop"), ("DOL", &*from_head)];
                        let to = [("OUTA", &*to_tail), ("OUTB", &to_done)];
                        line("dfanout", "m", &[from, to].concat());
                    }
                    Middle::Calculation => {
                        let term = [("INPA", &*from_head), ("CALC", "A")];
                        let out = [("ODLY", "0.4"), ("OUT", &*to_done)];
                        line("calcout", "m", &[term, out].concat());
                    }
                    Middle::Abroad => {}
                }
            }
            Self::Wave { first, count } => {
                let (room, part) = (ROOM.to_string(), at("part"));
                let shape = [("FTVL", "DOUBLE"), ("NELM", &*room), ("FLNK", &part)];
                line("waveform", "w", &shape);
                let from = format!("{} NPP", at("w"));
                let (first, count) = (first.to_string(), count.to_string());
                let input = [("INP", &*from), ("FTVL", "DOUBLE"), ("MALM", &room)];
                let place = [("INDX", &*first), ("NELM", &count), ("PINI", "YES")];
                line("subArray", "part", &[input, place].concat());
            }
            Self::Text => {
                let fields = [("VAL", &*number), ("DESC", "a text"), ("PINI", "YES")];
                line("stringout", "t", &fields);
            }
            Self::Simulated => {
                let x = at("x");
                let source = [("VAL", &*number), ("FLNK", &x)];
                line("ao", "real", &source);
                line("longout", "src", &source);
                let (real, src) = (format!("{} NPP", at("real")), format!("{} NPP", at("src")));
                let input = [("INP", &*real), ("SIOL", &src)];
                let mode = [("SIMS", "MINOR"), ("PINI", "YES")];
                line("ai", "x", &[input, mode].concat());
            }
        }
    }

    /// The array with this number: element `i` is the number and `i` sixteenths.
    pub(crate) fn array(number: u32) -> Vec<f64> {
        let count = 1 + number % ROOM;
        let element = |i: u32| f64::from(number) + f64::from(i) / 16.0;
        (0..count).map(element).collect()
    }
}

/// The event on which counters without a period count.
pub(crate) const EVENT: &str = "go";
/// The state that filters look at.
pub(crate) const STATE: &str = "gate";
