//! What the PVs of a facility really were: every value that a server ever posted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ca_proto::access::AccessRights;
use ca_proto::dbr::{NativeType, Value, ValueRef};
use ca_proto::{EcaStatus, Instant};
use ca_server_sim::{PutDecision, PvSpec};

/// Number of a PV in the list of all names of a facility.
pub(crate) type PvIndex = usize;

/// A value that a PV had.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The first element.
    pub first: f64,
    /// All elements.
    pub hash: u64,
    pub native: NativeType,
    pub count: u32,
    /// When it was posted, by the world's clock.
    pub at: Instant,
}

/// The values of one PV, oldest first, over all lives of its IOC.
#[derive(Debug)]
pub(crate) struct PvBook {
    pub entries: Vec<Entry>,
    /// Places of a value, by the bits of its first element.
    places: HashMap<u64, Vec<u32>>,
    pub rights: AccessRights,
    /// Since when the rights are these.
    pub rights_since: Instant,
}

impl PvBook {
    /// The last value.
    pub(crate) fn last(&self) -> Option<&Entry> {
        self.entries.last()
    }

    /// Places of the values that begin with this number, ascending.
    pub(crate) fn places(&self, first: f64) -> &[u32] {
        self.places.get(&first.to_bits()).map_or(&[], Vec::as_slice)
    }
}

/// All PVs of a facility. Servers write into it from their put hooks, hence the lock.
#[derive(Debug, Default)]
pub(crate) struct Book {
    pvs: Vec<PvBook>,
    /// How far the clock of the server of each PV is ahead of the world's.
    pub ahead: Vec<core::time::Duration>,
    /// A promise that a hook saw broken.
    pub wrong: Option<String>,
}

/// A handle to the book of a facility.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedBook(Arc<Mutex<Book>>);

impl SharedBook {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere leaves the book as it is, to be printed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A PV whose accepted puts are noted. Those of one that takes its time may have waited since
    /// somebody had the right to write, and an interlock [refuses](is_refused) some.
    pub(crate) fn watch(&self, pv: PvIndex, at_once: bool, spec: PvSpec) -> PvSpec {
        let book = self.clone();
        spec.on_put(move |put| {
            let mut book = book.lock();
            let ahead = book.ahead[pv];
            let at = put.now.checked_sub(ahead).unwrap_or(Instant::ZERO);
            if at_once && !book.pvs[pv].rights.can_write() {
                let who = put.who;
                let what = format!("{} was written by {who:?} without the right", put.name);
                book.wrong.get_or_insert(what);
            }
            if !at_once && is_refused(first(put.value.as_ref())) {
                return PutDecision::Reject(EcaStatus::PUTFAIL);
            }
            book.post(pv, put.value, at);
            PutDecision::Accept
        })
    }
}

/// Numbers that PVs which take their time do not accept from clients.
pub(crate) fn is_refused(number: f64) -> bool {
    number % 5.0 == 0.0
}

impl Book {
    /// Adds a PV without a value.
    pub(crate) fn add(&mut self) -> PvIndex {
        self.pvs.push(PvBook {
            entries: Vec::new(),
            places: HashMap::new(),
            rights: AccessRights::ALL,
            rights_since: Instant::ZERO,
        });
        self.ahead.push(core::time::Duration::ZERO);
        self.pvs.len() - 1
    }

    pub(crate) fn pv(&self, pv: PvIndex) -> &PvBook {
        &self.pvs[pv]
    }

    /// Notes that a PV has this value from now on.
    pub(crate) fn post(&mut self, pv: PvIndex, value: &Value, at: Instant) {
        let value = value.as_ref();
        let entry = Entry {
            first: first(value),
            hash: hash(value, value.held()),
            native: value.native,
            count: value.held(),
            at,
        };
        let book = &mut self.pvs[pv];
        let place = book.entries.len() as u32;
        book.entries.push(entry);
        let places = book.places.entry(entry.first.to_bits()).or_default();
        places.push(place);
    }

    /// Notes the rights that clients have from now on.
    pub(crate) fn set_rights(&mut self, pv: PvIndex, rights: AccessRights, at: Instant) {
        let book = &mut self.pvs[pv];
        if book.rights != rights {
            book.rights = rights;
            book.rights_since = at;
        }
    }
}

/// The first element as a number: 0 of an empty array, and a text as the number it shows.
pub(crate) fn first(value: ValueRef<'_>) -> f64 {
    let number = match value.native {
        NativeType::Double => value.elements::<f64>().and_then(|mut e| e.next()),
        NativeType::Float => value
            .elements::<f32>()
            .and_then(|mut e| e.next())
            .map(f64::from),
        NativeType::Long => value
            .elements::<i32>()
            .and_then(|mut e| e.next())
            .map(f64::from),
        NativeType::String => value
            .string(0)
            .and_then(|text| core::str::from_utf8(text).ok()?.trim().parse().ok()),
        _ => None,
    };
    number.unwrap_or(0.0)
}

/// A number that follows from the first `count` elements.
pub(crate) fn hash(value: ValueRef<'_>, count: u32) -> u64 {
    let len = count as usize * value.native.size();
    let data = &value.data[..len.min(value.data.len())];
    data.chunks(8)
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, chunk| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            (hash.rotate_left(29) ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3)
        })
}
