//! Large values that do not exist as they are asked for: in another type than they have, as texts, which are
//! sent with their end, or a part of an array with a step. They are made piece by piece, because a short
//! request may ask for a million numbers as texts.

use alloc::vec::Vec;

use super::account::Charge;
use super::circuit::Circuit;
use super::database::{Database, PvId, Strided};
use super::reply::Refusal;
use super::turn::Turn;
use crate::dbr::{DbrType, Family, NativeType, Snapshot};
use crate::ids::Sid;
use crate::status::EcaStatus;
use crate::wire::{Command, Header};

/// Elements up to which a value is converted at once.
pub(super) const AT_ONCE: u32 = 1024;
/// Bytes of a piece of a reply.
const PIECE_LEN: u64 = 64 * 1024;
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
    done: u32,
    pieces: Vec<Vec<u8>>,
    /// Pays for the value as it was and for the pieces.
    charge: Charge,
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
            done: 0,
            pieces: Vec::new(),
            charge,
        }
    }

    /// Bytes that it comes to.
    pub(super) const fn size(&self) -> usize {
        self.reply.payload_len as usize
    }

    /// True when all elements are converted; an error if one cannot be.
    fn go_on(&mut self, turn: &mut Turn) -> Result<bool, Refusal> {
        let Strided {
            state, start, step, ..
        } = &self.source;
        let native = state.value.native();
        while self.done < self.count {
            if turn.is_over() {
                return Ok(false);
            }
            let ty = DbrType(self.reply.data_type);
            // What stands before the elements comes once.
            let ty = match (self.done, ty.native()) {
                (1.., Some(native)) => DbrType::new(Family::Plain, native),
                _ => ty,
            };
            let each = each(native, ty.native().unwrap_or(native), *step);
            let most = (turn.left().min(AT_ONCE as usize) * each).min(AT_ONCE as usize);
            let most = (self.count - self.done).min(most as u32);
            let piece = room(&mut self.pieces, ty, self.count - self.done);
            let elements = most.min(fitting(piece, ty));
            turn.spend((elements as usize).div_ceil(each));
            let from = start + self.done as usize * step;
            let part = Snapshot {
                value: state.value.part(from, *step, elements as usize),
                ..state.clone()
            };
            let encoded = part.encode(ty, elements, piece);
            encoded.map_err(|_| Refusal::NoConversion)?;
            self.done += elements;
        }
        Ok(true)
    }
}

/// Elements that a piece has room for.
fn fitting(piece: &Vec<u8>, ty: DbrType) -> u32 {
    let room = (piece.capacity() - piece.len()) as u64;
    let each = ty.size(1) - ty.size(0);
    // At most the size of a piece.
    (room.saturating_sub(ty.size(0)) / each.max(1)) as u32
}

/// The piece that is being filled, with room for one element at least; a new one has room for what is
/// left, or as much of it as a piece takes.
fn room(pieces: &mut Vec<Vec<u8>>, ty: DbrType, left: u32) -> &mut Vec<u8> {
    if pieces.last().is_none_or(|piece| fitting(piece, ty) == 0) {
        let mut piece = Vec::new();
        // At most the size of a piece.
        piece.reserve_exact(ty.size(left).min(PIECE_LEN) as usize);
        pieces.push(piece);
    }
    let last = pieces.len() - 1;
    &mut pieces[last]
}

impl Circuit {
    /// Goes on with conversions until the turn is over.
    pub(super) fn convert(&mut self, turn: &mut Turn) {
        while !turn.is_over()
            && let Some(mut conversion) = self.pop_conversion()
        {
            match conversion.go_on(turn) {
                Ok(false) => self.push_conversion(conversion),
                Ok(true) => {
                    let Conversion {
                        reply,
                        pieces,
                        charge,
                        ..
                    } = conversion;
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
