//! Conversions that several clients wait for: those who subscribe to the same part of an array in the same
//! type get the same bytes, which are made once.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::conversion::{AT_ONCE, each};
use super::database::Strided;
use super::reply::Refusal;
use super::turn::Turn;
use crate::dbr::{DbrType, Family, Snapshot};

/// Bytes of a piece of a reply.
const PIECE_LEN: u64 = 64 * 1024;

/// Converted elements, for as many replies as they are part of.
#[derive(Clone, Debug)]
pub(super) struct Piece(Arc<Vec<u8>>);

impl Piece {
    /// Bytes of memory.
    pub(super) fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What is converted into what. Two that are equal give the same bytes, as long as the job of one of them
/// keeps the buffer of the value, which is told by its place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Key {
    data: (usize, usize),
    native: u16,
    elements: (usize, usize, u32),
    ty: u16,
    meta: usize,
    alarm: (u16, u16),
    ack: (bool, u16),
    stamp: (u32, u32),
}

impl Key {
    pub(super) fn new(source: &Strided, ty: DbrType, count: u32) -> Self {
        let Snapshot {
            value,
            alarm,
            stamp,
            ack,
            meta,
        } = &source.state;
        let data = value.as_ref().data;
        Self {
            data: (data.as_ptr().addr(), data.len()),
            native: value.native() as u16,
            elements: (source.start, source.step, count),
            ty: ty.0,
            meta: Arc::as_ptr(meta).addr(),
            alarm: (alarm.status.0, alarm.severity.0),
            ack: (ack.transient, ack.severity.0),
            stamp: (stamp.secs, stamp.nanos),
        }
    }
}

/// A value and how much of it is converted.
#[derive(Debug)]
pub(super) struct Job {
    source: Strided,
    ty: DbrType,
    count: u32,
    done: u32,
    pieces: Vec<Piece>,
    /// The piece that is being filled.
    filling: Vec<u8>,
}

impl Job {
    pub(super) fn new(source: &Strided, ty: DbrType, count: u32) -> Self {
        Self {
            source: source.clone(),
            ty,
            count,
            done: 0,
            pieces: Vec::new(),
            filling: Vec::new(),
        }
    }

    /// All pieces when there are all elements; an error if one has no conversion.
    pub(super) fn go_on(&mut self, turn: &mut Turn) -> Result<Option<Vec<Piece>>, Refusal> {
        let Strided {
            state, start, step, ..
        } = &self.source;
        let native = state.value.native();
        while self.done < self.count {
            if turn.is_over() {
                return Ok(None);
            }
            // What stands before the elements comes once.
            let ty = match (self.done, self.ty.native()) {
                (1.., Some(native)) => DbrType::new(Family::Plain, native),
                _ => self.ty,
            };
            let each = each(native, ty.native().unwrap_or(native), *step);
            let most = (turn.left().min(AT_ONCE as usize) * each).min(AT_ONCE as usize);
            let left = self.count - self.done;
            if fitting(&self.filling, ty) == 0 {
                if !self.filling.is_empty() {
                    let full = core::mem::take(&mut self.filling);
                    self.pieces.push(Piece(Arc::new(full)));
                }
                // Room for what is left, or as much of it as a piece takes: at most the size of one.
                let room = ty.size(left).min(PIECE_LEN) as usize;
                self.filling.reserve_exact(room);
            }
            let elements = left.min(most as u32).min(fitting(&self.filling, ty));
            turn.spend((elements as usize).div_ceil(each));
            let from = start + self.done as usize * step;
            let part = Snapshot {
                value: state.value.part(from, *step, elements as usize),
                ..state.clone()
            };
            let encoded = part.encode(ty, elements, &mut self.filling);
            encoded.map_err(|_| Refusal::NoConversion)?;
            self.done += elements;
        }
        if !self.filling.is_empty() {
            let last = core::mem::take(&mut self.filling);
            self.pieces.push(Piece(Arc::new(last)));
        }
        // Each becomes a part of a queue.
        turn.spend(self.pieces.len());
        Ok(Some(self.pieces.clone()))
    }

    const fn is_done(&self) -> bool {
        self.done == self.count
    }

    /// Bytes that it keeps, the value as it was included.
    fn bytes(&self) -> usize {
        let made: usize = self.pieces.iter().map(Piece::capacity).sum();
        made + self.source.state.value.as_ref().data.len()
    }
}

/// Elements that a piece has room for.
fn fitting(piece: &Vec<u8>, ty: DbrType) -> u32 {
    let room = (piece.capacity() - piece.len()) as u64;
    let each = ty.size(1) - ty.size(0);
    // At most the size of a piece.
    (room.saturating_sub(ty.size(0)) / each.max(1)) as u32
}

#[derive(Debug)]
struct Entry {
    job: Job,
    /// Replies and updates that wait for it.
    users: usize,
    /// When the last of them was gone, if it is kept for others.
    rests: Option<u64>,
}

/// Large values that are being converted for the circuits of a server, and those that were and may be
/// wanted again, by further subscribers of the same update.
///
/// What circuits wait for is charged to them. What nobody waits for any more has at most
/// [`max_shared_bytes`](crate::config::ServerParams::max_shared_bytes), and is dropped when
/// [`release`](Self::release) finds it unused.
#[derive(Debug, Default)]
pub struct Conversions {
    entries: BTreeMap<Key, Entry>,
    /// What nobody waits for, by when it was wanted last.
    resting: BTreeMap<u64, Key>,
    bytes: usize,
    next: u64,
    /// The next number when [`release`](Self::release) was called last.
    released: u64,
}

impl Conversions {
    /// None.
    pub const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            resting: BTreeMap::new(),
            bytes: 0,
            next: 0,
            released: 0,
        }
    }

    /// One more waits.
    pub(super) fn join(&mut self, key: Key, job: impl FnOnce() -> Job) {
        let entry = self.entries.entry(key).or_insert_with(|| Entry {
            job: job(),
            users: 0,
            rests: None,
        });
        entry.users += 1;
        if let Some(since) = entry.rests.take() {
            self.resting.remove(&since);
            self.bytes -= entry.job.bytes();
        }
    }

    pub(super) fn go_on(
        &mut self,
        key: &Key,
        turn: &mut Turn,
    ) -> Result<Option<Vec<Piece>>, Refusal> {
        match self.entries.get_mut(key) {
            Some(entry) => entry.job.go_on(turn),
            None => Err(Refusal::NoConversion),
        }
    }

    /// One less waits; `most` are the bytes that may be kept for others.
    pub(super) fn leave(&mut self, key: &Key, most: usize) {
        let Some(entry) = self.entries.get_mut(key) else {
            return;
        };
        entry.users -= 1;
        if entry.users > 0 {
            return;
        }
        let bytes = entry.job.bytes();
        if !entry.job.is_done() || bytes > most {
            self.entries.remove(key);
            return;
        }
        entry.rests = Some(self.next);
        self.resting.insert(self.next, *key);
        self.next += 1;
        self.bytes += bytes;
        while self.bytes > most
            && let Some((_, oldest)) = self.resting.pop_first()
        {
            self.forget(&oldest);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.job.bytes();
        }
    }

    /// Drops what nobody has wanted since this was called last: values that have changed meanwhile, mostly.
    pub fn release(&mut self) {
        while let Some(oldest) = self.resting.first_entry()
            && *oldest.key() < self.released
        {
            let key = oldest.remove();
            self.forget(&key);
        }
        self.released = self.next;
    }

    /// Bytes that are kept though nobody waits for them.
    pub const fn kept(&self) -> usize {
        self.bytes
    }
}
