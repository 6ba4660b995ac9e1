//! Records of the IOCs of a facility: what they are, what clients can open and write of them, and every value that
//! they ever had.

mod check;
mod groups;
mod rules;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use ca_proto::Instant;
use ca_proto::dbr::{EnumIndex, NativeType, Value, ValueRef};
use ca_server_sim::{Ioc, IocBuilder, Observed};

pub(crate) use check::Watcher;
pub(crate) use groups::{Group, STATE};

use groups::{EVENT, Middle, PERIODS, SINK, SOURCE};

/// Number of a record in the list of all.
pub(crate) type RecordIndex = usize;

/// A value as promises compare it.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Truth {
    Numbers(Vec<f64>),
    Text(String),
}

impl Truth {
    pub(crate) fn of(value: ValueRef<'_>) -> Self {
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
            Self::Text(String::from_utf8_lossy(&bytes[..end]).into_owned())
        };
        match value.native {
            NativeType::String => text(value.string(0).unwrap_or_default()),
            NativeType::Char => text(&value.data[..value.held() as usize]),
            NativeType::Double => numbers::<f64>(value, |v| v),
            NativeType::Float => numbers::<f32>(value, f64::from),
            NativeType::Long => numbers::<i32>(value, f64::from),
            NativeType::Short => numbers::<i16>(value, f64::from),
            NativeType::Enum => numbers::<EnumIndex>(value, |index| f64::from(index.0)),
        }
    }

    /// The first number.
    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Numbers(all) => all.first().copied().unwrap_or(f64::NAN),
            Self::Text(text) => text.parse().unwrap_or(f64::NAN),
        }
    }

    /// Bit for bit: what hostile hosts say may be no number.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Numbers(a), Self::Numbers(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits())
            }
            (a, b) => a == b,
        }
    }
}

fn numbers<T: ca_proto::dbr::Element>(value: ValueRef<'_>, number: fn(T) -> f64) -> Truth {
    let all = value.elements::<T>();
    Truth::Numbers(all.into_iter().flatten().map(number).collect())
}

/// A value that a record had.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub value: Truth,
    /// When, by the world's clock.
    pub at: Instant,
    /// Whether the state of its IOC that filters look at was set.
    pub gate: bool,
    /// It is what the record had when its IOC began.
    pub begins: bool,
}

/// A record whose values are promises.
#[derive(Debug)]
pub(crate) struct Record {
    pub name: String,
    pub ioc: usize,
    /// Of its IOC; none for those that all groups share.
    pub group: Option<usize>,
    pub part: &'static str,
    /// Oldest first, over all lives of its IOC.
    pub book: Vec<Entry>,
}

impl Record {
    /// Entries since its IOC began.
    pub(crate) fn life(&self) -> &[Entry] {
        let begin = self.book.iter().rposition(|entry| entry.begins);
        &self.book[begin.unwrap_or(0)..]
    }
}

/// What a channel shows of a record.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Sees {
    Value,
    /// Each so manieth update.
    Every(u32),
    /// What differs by more than this from what was shown.
    Beyond(u32),
    /// Elements from the first on by steps up to the last, counted from the end if negative.
    Slice(i64, i64, i64),
    /// The value, with the time when it was posted.
    Stamped,
    /// Values posted while the state is set, or clear.
    Gated(bool),
    Field(&'static str),
}

/// A channel that clients open.
#[derive(Clone, Debug)]
pub(crate) struct Channel {
    pub text: String,
    pub record: RecordIndex,
    pub sees: Sees,
}

/// What clients write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Put {
    Number,
    Array,
    Text,
    Description,
    Scan,
    Process,
    /// 0 or 1.
    Flag,
}

/// A field that clients write.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub text: String,
    pub record: RecordIndex,
    pub put: Put,
}

impl Target {
    /// The value with a number.
    pub(crate) fn value(&self, number: u32) -> Value {
        match self.put {
            Put::Number => Value::scalar(f64::from(number)),
            Put::Array => Value::array(&Group::array(number)),
            Put::Text => Value::string(format!("text {number}")),
            Put::Description => Value::string(format!("description {number}")),
            Put::Scan => {
                let choice = PERIODS.get(number as usize % (PERIODS.len() + 1));
                Value::string(choice.map_or("Passive", |period| period.0))
            }
            Put::Process => Value::scalar(1i16),
            Put::Flag => Value::scalar((number % 2) as i16),
        }
    }
}

/// The records of a facility.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Of each IOC.
    pub groups: Vec<Vec<Group>>,
    pub all: Vec<Record>,
    by_name: HashMap<String, RecordIndex>,
    pub channels: Vec<Channel>,
    pub targets: Vec<Target>,
    /// Of each IOC: whether its state is set.
    pub gates: Vec<bool>,
    /// What records have posted and nobody has noted.
    posted: Arc<Mutex<Vec<Observed>>>,
}

impl Records {
    pub(crate) fn new(seed: u64, iocs: usize, count: u8) -> Self {
        let mut this = Self::default();
        if count == 0 {
            return this;
        }
        for ioc in 0..iocs {
            let groups = Group::draw(seed, ioc, count);
            for (number, group) in groups.iter().enumerate() {
                this.add_group(ioc, number, *group);
            }
            for part in [SOURCE, SINK] {
                let record = this.add(format!("r{ioc}:{part}"), ioc, None, part);
                this.see(record, "", Sees::Value);
                if part == SOURCE {
                    this.write(record, "", Put::Number);
                }
            }
            this.groups.push(groups);
            this.gates.push(false);
        }
        this
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Names that clients search for, and whose they are.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, RecordIndex)> {
        let channels = self.channels.iter();
        let channels = channels.map(|channel| (channel.text.as_str(), channel.record));
        let targets = self.targets.iter();
        channels.chain(targets.map(|target| (target.text.as_str(), target.record)))
    }

    fn add(&mut self, name: String, ioc: usize, group: Option<usize>, part: &'static str) -> usize {
        self.by_name.insert(name.clone(), self.all.len());
        self.all.push(Record {
            name,
            ioc,
            group,
            part,
            book: Vec::new(),
        });
        self.all.len() - 1
    }

    fn see(&mut self, record: RecordIndex, suffix: &str, sees: Sees) {
        let text = format!("{}{suffix}", self.all[record].name);
        self.channels.push(Channel { text, record, sees });
    }

    fn write(&mut self, record: RecordIndex, suffix: &str, put: Put) {
        let text = format!("{}{suffix}", self.all[record].name);
        self.targets.push(Target { text, record, put });
    }

    fn add_group(&mut self, ioc: usize, number: usize, group: Group) {
        let add = |this: &mut Self, part| {
            this.add(
                format!("r{ioc}.{number}:{part}").replace('.', ":"),
                ioc,
                Some(number),
                part,
            )
        };
        match group {
            Group::Counter { .. } => {
                let n = add(self, "n");
                self.see(n, "", Sees::Value);
                self.see(n, r#".VAL{"dec":{"n":3}}"#, Sees::Every(3));
                self.see(n, r#".VAL{"dec":{"n":2}}"#, Sees::Every(2));
                self.see(n, r#".VAL{"dbnd":{"d":2}}"#, Sees::Beyond(2));
                self.see(n, r#".VAL{"ts":{}}"#, Sees::Stamped);
                self.see(
                    n,
                    &format!(r#".VAL{{"sync":{{"m":"while","s":"{STATE}"}}}}"#),
                    Sees::Gated(true),
                );
                self.see(
                    n,
                    &format!(r#".VAL{{"sync":{{"m":"unless","s":"{STATE}"}}}}"#),
                    Sees::Gated(false),
                );
                self.see(n, ".SCAN", Sees::Field("SCAN"));
                self.write(n, ".SCAN", Put::Scan);
                self.write(n, ".PROC", Put::Process);
            }
            Group::Sum { .. } => {
                for part in ["a", "b"] {
                    let input = add(self, part);
                    self.see(input, "", Sees::Value);
                    self.write(input, "", Put::Number);
                }
                let s = add(self, "s");
                self.see(s, "", Sees::Value);
                self.see(s, ".SEVR", Sees::Field("SEVR"));
                self.see(s, ".A", Sees::Field("A"));
            }
            Group::Chain { middle } => {
                let (head, done) = (add(self, "head"), add(self, "done"));
                // While it waits it has what was written, and has not posted it.
                if middle != Middle::Abroad {
                    self.see(head, "", Sees::Value);
                }
                self.see(done, "", Sees::Value);
                self.write(head, "", Put::Number);
            }
            Group::Wave { .. } => {
                let (w, part) = (add(self, "w"), add(self, "part"));
                self.see(w, "", Sees::Value);
                self.see(w, ".VAL[1:3]", Sees::Slice(1, 1, 3));
                self.see(w, r#".VAL{"arr":{"s":2}}"#, Sees::Slice(2, 1, -1));
                self.see(
                    w,
                    r#".VAL{"arr":{"s":0,"i":2,"e":-2}}"#,
                    Sees::Slice(0, 2, -2),
                );
                self.see(w, ".NORD", Sees::Field("NORD"));
                self.see(part, "", Sees::Value);
                self.write(w, "", Put::Array);
            }
            Group::Text => {
                let t = add(self, "t");
                self.see(t, "", Sees::Value);
                self.see(t, ".DESC", Sees::Field("DESC"));
                self.see(t, ".DESC$", Sees::Field("DESC"));
                self.write(t, "", Put::Text);
                self.write(t, ".DESC", Put::Description);
            }
            Group::Simulated => {
                let sources = [add(self, "real"), add(self, "src")];
                let x = add(self, "x");
                for source in sources {
                    self.write(source, "", Put::Number);
                }
                self.see(x, "", Sees::Value);
                self.see(x, ".SEVR", Sees::Field("SEVR"));
                self.see(x, ".SIMM", Sees::Field("SIMM"));
                self.see(x, ".RVAL", Sees::Field("RVAL"));
                self.write(x, ".SIMM", Put::Flag);
                self.write(x, ".DISA", Put::Flag);
                self.write(x, ".PROC", Put::Process);
            }
        }
    }

    /// The record of a group.
    pub(crate) fn find(&self, ioc: usize, group: usize, part: &str) -> RecordIndex {
        self.by_name[&format!("r{ioc}:{group}:{part}")]
    }

    /// The IOC that links of this one lead to.
    pub(crate) fn next(&self, ioc: usize) -> usize {
        (ioc + 1) % self.groups.len()
    }

    /// Puts the records of an IOC into what it is built from; `number` makes numbers that were never seen.
    pub(crate) fn describe(
        &self,
        ioc: usize,
        builder: IocBuilder,
        mut number: impl FnMut() -> u32,
    ) -> IocBuilder {
        let mut text = String::new();
        let next = self.next(ioc);
        // A link to a record of its own is none of Channel Access.
        let alone = next == ioc;
        for (n, group) in self.groups[ioc].iter().enumerate() {
            group.write(
                &mut text,
                &format!("r{ioc}:{n}"),
                &format!("r{next}"),
                number(),
            );
        }
        if alone {
            text = text.replace(&format!("{SINK} CA"), &format!("{SINK} PP"));
        }
        let init = number();
        text += &format!(
            "record(ao,\"r{ioc}:{SOURCE}\"){{field(VAL,\"{init}\")}}\n\
             record(ao,\"r{ioc}:{SINK}\"){{field(VAL,\"{init}\")}}\n\
             record(event,\"r{ioc}:post\"){{field(VAL,\"{EVENT}\")}}\n"
        );
        let posted = Arc::clone(&self.posted);
        builder.db_text(text, "").observer(move |observed| {
            posted
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(observed);
        })
    }

    /// Has the values of all records of an IOC told, and filters find their state.
    pub(crate) fn observe(&self, number: usize, ioc: &mut Ioc) {
        ioc.set_state(STATE, false);
        for record in self.all.iter().filter(|record| record.ioc == number) {
            ioc.observe(&record.name, true)
                .expect("the record was described");
        }
    }

    /// An IOC has begun: what its records have is new.
    pub(crate) fn begin(&mut self, number: usize, ioc: &Ioc, now: Instant) {
        let own = |observed: &Observed| {
            let index = self.by_name.get(&observed.record);
            index.is_none_or(|&index| self.all[index].ioc == number)
        };
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        posted.retain(|observed| !own(observed));
        drop(posted);
        self.gates[number] = false;
        for record in self.all.iter_mut().filter(|record| record.ioc == number) {
            let value = ioc.read(record.name.as_str());
            let value = value.expect("the record was described").value;
            record.book.push(Entry {
                value: Truth::of(value.as_ref()),
                at: now,
                gate: false,
                begins: true,
            });
        }
    }

    /// Notes what records have posted since the last call: counters count one by one.
    pub(crate) fn note(&mut self, now: Instant) -> Result<(), String> {
        let mut posted = self.posted.lock().unwrap_or_else(PoisonError::into_inner);
        for observed in posted.drain(..) {
            let Some(&index) = self.by_name.get(&observed.record) else {
                continue;
            };
            let record = &mut self.all[index];
            let value = Truth::of(observed.value.as_ref());
            let before = record.book.last().map(|entry| entry.value.number());
            if record.part == "n" && before != Some(value.number() - 1.0) {
                return Err(format!(
                    "{} counts from {before:?} to {value:?}",
                    record.name
                ));
            }
            record.book.push(Entry {
                value,
                at: now,
                gate: self.gates[record.ioc],
                begins: false,
            });
        }
        Ok(())
    }
}
