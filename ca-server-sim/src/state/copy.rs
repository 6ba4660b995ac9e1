//! Records that are copied some at a time while the IOC goes on. One that is about to change is copied before it does,
//! so that all are as they were when the copy was begun.

use std::mem;
use std::sync::{Arc, Weak};

use hashbrown::HashMap;

use super::codec::{Saved, Writer};
use crate::db::{Db, Node, PvHandle};
use crate::plain;

/// Records that are looked at in one turn,
pub(crate) const AT_ONCE: usize = 500;
/// and bytes of them that are copied, but for those of the last one.
const BYTES: usize = 256 << 10;

/// What a PV or record is called and is, by which a snapshot is known to be of the same IOC.
pub(crate) type Name<'a> = (&'a str, &'a str, u32);

/// Names in the form of a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Of turns that are over,
    pieces: Vec<Vec<u8>>,
    /// and of this one.
    to: Writer,
    last: Box<str>,
}

impl Names {
    pub(crate) fn push(&mut self, (name, of, count): Name<'_>) {
        self.to.text(name.as_bytes());
        // Those of the same type mostly stand together.
        let same = *of == *self.last;
        self.to.text(if same { b"" } else { of.as_bytes() });
        count.save(&mut self.to);
        if !same {
            self.last = of.into();
        }
    }

    fn end_turn(&mut self) {
        self.pieces.push(mem::take(&mut self.to.bytes));
    }
}

/// A copy that is under way, or done.
#[derive(Debug, Default)]
pub(crate) struct Copying {
    /// Whoever wants it; without them nothing is copied any more.
    taker: Weak<()>,
    /// The next place, and the one behind the last.
    next: usize,
    end: usize,
    /// Those that changed before their turn, as they were.
    early: HashMap<usize, Vec<u8>>,
    names: Names,
    /// What was copied, a piece for each turn: a single one would be moved now and then as it grows, all of it at once.
    pieces: Vec<Vec<u8>>,
    /// How many were copied.
    count: usize,
}

impl Copying {
    pub(crate) fn new(taker: &Arc<()>, end: usize) -> Box<Self> {
        Box::new(Self {
            taker: Arc::downgrade(taker),
            end,
            ..Self::default()
        })
    }

    pub(crate) fn is_wanted(&self) -> bool {
        self.taker.strong_count() > 0
    }

    /// What is at a place is about to change.
    pub(crate) fn ahead(&mut self, place: usize, save: impl FnOnce(&mut Writer)) {
        if (self.next..self.end).contains(&place) {
            self.early.entry(place).or_insert_with(|| {
                let mut to = Writer::default();
                save(&mut to);
                to.bytes
            });
        }
    }

    /// Copies some more. `copy` copies what is at a place, if there is something, or gives its name alone if that was
    /// done already. Whether there is more.
    pub(crate) fn go_on<'a>(
        &mut self,
        mut copy: impl FnMut(usize, Option<&mut Writer>) -> Option<Name<'a>>,
    ) -> bool {
        let mut to = Writer::default();
        let last = self.end.min(self.next + AT_ONCE);
        while self.next < last && to.bytes.len() < BYTES {
            let name = match self.early.remove(&self.next) {
                Some(bytes) => {
                    to.bytes.extend_from_slice(&bytes);
                    copy(self.next, None)
                }
                None => copy(self.next, Some(&mut to)),
            };
            if let Some(name) = name {
                self.names.push(name);
                self.count += 1;
            }
            self.next += 1;
        }
        self.pieces.push(to.bytes);
        self.names.end_turn();
        self.next < self.end
    }

    /// How many were copied, their names with that number before them, and what was copied.
    pub(crate) fn parts(self) -> (usize, Writer, Vec<u8>) {
        let mut names = Writer::default();
        self.count.save(&mut names);
        names.bytes.append(&mut self.names.pieces.concat());
        (self.count, names, self.pieces.concat())
    }
}

impl Db {
    /// A PV is about to change.
    #[cold]
    pub(crate) fn copy_ahead(&mut self, handle: PvHandle) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        if !copying.is_wanted() {
            self.copying = None;
        } else if let Some(Node::Record(record)) = self.nodes.get(handle) {
            copying.ahead(handle.place(), |to| record.save(to));
        }
    }

    /// Copies some more PVs; whether there are more.
    pub(super) fn copy_on(&mut self) -> bool {
        let nodes = &self.nodes;
        let copy = |place: usize, to: Option<&mut Writer>| match nodes.at(place)?.1 {
            Node::Record(record) => {
                if let Some(to) = to {
                    record.save(to);
                }
                Some(name_of(record))
            }
            _ => None,
        };
        let copying = self.copying.as_mut();
        copying.is_some_and(|copying| copying.go_on(copy))
    }
}

impl PvHandle {
    /// Its place in the order of PVs.
    pub(crate) const fn place(self) -> usize {
        (self.0 & 0xff_ffff) as usize
    }
}

pub(super) fn name_of(record: &plain::Record) -> Name<'_> {
    use ca_proto::dbr::NativeType;
    let kind = match record.native() {
        NativeType::String => "string",
        NativeType::Short => "short",
        NativeType::Float => "float",
        NativeType::Enum => "enum",
        NativeType::Char => "char",
        NativeType::Long => "long",
        NativeType::Double => "double",
    };
    (&record.name, kind, record.capacity)
}

/// What is copied is not to be freed under a lock.
pub(super) fn take(copying: &mut Option<Box<Copying>>) -> Copying {
    mem::take(copying).map_or_else(Copying::default, |copying| *copying)
}
