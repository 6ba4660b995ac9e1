//! Large values that do not exist as they are asked for: in another type than they have, as texts, which are
//! sent with their end, or a part of an array with a step. They are made piece by piece, because a short
//! request may ask for a million numbers as texts.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::account::Charge;
use super::circuit::Circuit;
use super::database::{Database, PvId, Strided};
use super::reply::Refusal;
use super::shared::{Conversions, Job, Key, Piece};
use super::turn::Turn;
use crate::dbr::{DbrType, NativeType, Snapshot};
use crate::ids::Sid;
use crate::status::EcaStatus;
use crate::wire::{Command, Header};

/// Elements up to which a value is converted at once.
pub(super) const AT_ONCE: u32 = 1024;
/// Numbers that are converted to other numbers for a unit of work; of texts it is one.
pub(super) const NUMBERS: usize = 32;
/// Elements that are copied from here and there, and texts that stay texts, for a unit of work.
pub(super) const COPIES: usize = 8;

/// Elements of one native type that are made of those of another for a unit of work.
pub(super) const fn each(from: NativeType, to: NativeType, step: usize) -> usize {
    match (from, to) {
        (NativeType::String, NativeType::String) => COPIES,
        (NativeType::String, _) | (_, NativeType::String) => 1,
        _ if step > 1 => COPIES,
        _ => NUMBERS,
    }
}

/// Types whose elements are those of the value.
fn has_elements(ty: DbrType) -> bool {
    ty.family().is_some() || ty == DbrType::STSACK_STRING
}

/// Elements that a request needs at most; count 0 asks for all.
pub(super) fn wanted(ty: DbrType, count: u32) -> u32 {
    match count {
        _ if !has_elements(ty) => 1,
        0 => u32::MAX,
        count => count,
    }
}

/// What is asked for if it has to be gathered, and takes long.
#[inline]
pub(super) fn long_part(
    db: &(impl Database + ?Sized),
    pv: PvId,
    ty: DbrType,
    count: u32,
) -> Option<Strided> {
    if count == 1 || !has_elements(ty) {
        return None;
    }
    let part = db.read_strided(pv, wanted(ty, count));
    part.filter(|part| part.count > AT_ONCE)
}

/// A reply or an update whose value is being converted.
#[derive(Debug)]
pub(super) struct Conversion {
    request: Header,
    reply: Header,
    /// The value as it was when it was asked for.
    source: Strided,
    count: u32,
    state: State,
    /// Pays for the value as it was and for the pieces.
    charge: Charge,
}

/// Where the elements are made.
#[derive(Debug)]
enum State {
    New,
    /// With those of others who want the same.
    Shared(Key),
    /// For this one alone.
    Alone(Box<Job>),
}

impl Conversion {
    /// Whether it takes long enough to be done in turns.
    pub(super) fn is_long(ty: DbrType, count: u32, snapshot: &Snapshot) -> bool {
        let native = snapshot.value.native();
        count.min(snapshot.value.count()) > AT_ONCE
            && has_elements(ty)
            && (native == NativeType::String || ty.native() != Some(native))
    }

    pub(super) fn new(request: Header, reply: Header, source: Strided, charge: Charge) -> Self {
        Self {
            request,
            reply,
            count: reply.count.min(source.count),
            source,
            state: State::New,
            charge,
        }
    }

    /// Bytes that it comes to.
    pub(super) const fn size(&self) -> usize {
        self.reply.payload_len as usize
    }

    /// The elements when all are converted; an error if one cannot be.
    fn go_on(
        &mut self,
        turn: &mut Turn,
        shared: Option<&RefCell<Conversions>>,
        most: usize,
    ) -> Result<Option<Vec<Piece>>, Refusal> {
        let ty = DbrType(self.reply.data_type);
        let job = || Job::new(&self.source, ty, self.count);
        let Some(shared) = shared else {
            if let State::New = self.state {
                self.state = State::Alone(Box::new(job()));
            }
            let State::Alone(job) = &mut self.state else {
                return Err(Refusal::NoConversion);
            };
            return job.go_on(turn);
        };
        let mut shared = shared.borrow_mut();
        let key = match self.state {
            State::Shared(key) => key,
            _ => {
                let key = Key::new(&self.source, ty, self.count);
                shared.join(key, job);
                self.state = State::Shared(key);
                key
            }
        };
        let made = shared.go_on(&key, turn);
        if !matches!(made, Ok(None)) {
            shared.leave(&key, most);
            self.state = State::New;
        }
        made
    }

    /// Nobody waits for it any more.
    pub(super) fn abandon(self, shared: Option<&RefCell<Conversions>>) {
        if let (State::Shared(key), Some(shared)) = (self.state, shared) {
            shared.borrow_mut().leave(&key, 0);
        }
    }
}

impl Circuit {
    /// Goes on with conversions until the turn is over.
    pub(super) fn convert(&mut self, turn: &mut Turn, db: &(impl Database + ?Sized)) {
        while !turn.is_over()
            && let Some(mut conversion) = self.pop_conversion()
        {
            match conversion.go_on(turn, db.conversions(), self.params.max_shared_bytes) {
                Ok(None) => self.push_conversion(conversion),
                Ok(Some(pieces)) => {
                    let Conversion { reply, charge, .. } = conversion;
                    self.room.put_pieces(&mut self.out, &reply, pieces, charge);
                }
                Err(refusal) => self.conversion_failed(&conversion.request, refusal),
            }
        }
    }

    fn conversion_failed(&mut self, request: &Header, refusal: Refusal) {
        let result = match request.command {
            Command::READ_NOTIFY | Command::EVENT_ADD => {
                let header = Header {
                    p1: EcaStatus::GETFAIL.0,
                    ..*request
                };
                self.room.put_failure(&mut self.out, header)
            }
            _ => Err(refusal),
        };
        if let Err(refusal) = result
            && let Some(channel) = self.channels.get(Sid(request.p1))
        {
            let cid = channel.cid;
            self.read_refused(request, cid, refusal);
        }
    }
}
