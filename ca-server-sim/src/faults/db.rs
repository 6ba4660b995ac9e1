//! Faults of PVs.

use ca_proto::access::AccessRights;
use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;
use ca_proto::server::PvId;
use ca_proto::{Alarm, EcaStatus};
use hashbrown::HashMap;

use super::Pattern;
use crate::db::{Db, PvHandle};
use crate::fields::number_of;
use crate::state::codec::saved;

/// What a PV of the program does with a new value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Held {
    /// It is not taken, but the time stamp goes on.
    Stuck,
    /// Nothing happens at all; the alarm that was forced before.
    Frozen { forced: Alarm },
    /// It gets noise on top.
    Noise { by: f64, base: f64 },
}

saved!(enum Held { 0 Stuck, 1 Frozen { forced }, 2 Noise { by, base } });

/// What becomes of a value.
pub(crate) enum Taken {
    /// Nothing happens.
    Nothing,
    /// It is this one, if any.
    Value(Option<Value>),
}

/// The faults of PVs that are on.
#[derive(Debug)]
pub(crate) struct Faulty {
    pub held: HashMap<PvHandle, Held>,
    /// Puts of clients to these are answered with this, and not done.
    pub puts: Vec<(Pattern, EcaStatus)>,
    pub rights: Vec<(Pattern, AccessRights)>,
    pub rng: Pcg32,
}

impl Faulty {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            held: HashMap::new(),
            puts: Vec::new(),
            rights: Vec::new(),
            rng: Pcg32::new(seed ^ 0xfa17_7001),
        }
    }

    pub(crate) fn is_frozen(&self, handle: PvHandle) -> bool {
        matches!(self.held.get(&handle), Some(Held::Frozen { .. }))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.puts.is_empty() && self.rights.is_empty()
    }

    /// What a record makes of a value that is given to it, or of being processed.
    pub(crate) fn take(&mut self, handle: PvHandle, value: Option<Value>) -> Taken {
        let rng = &mut self.rng;
        match self.held.get_mut(&handle) {
            None => Taken::Value(value),
            Some(Held::Stuck) => Taken::Value(None),
            Some(Held::Frozen { .. }) => Taken::Nothing,
            Some(Held::Noise { by, base }) => {
                if let Some(number) = value.as_ref().and_then(|value| number_of(value.as_ref())) {
                    *base = number;
                }
                Taken::Value(Some(Value::scalar(*base + *by * normal(rng))))
            }
        }
    }
}

/// A normal random number: the sum of twelve uniform ones has variance 1.
pub(crate) fn normal(rng: &mut Pcg32) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

impl Db {
    /// The name of what a channel is open on, without field.
    fn base_name(&self, pv: PvId) -> Option<&str> {
        if let Some((served, key)) = self.field(pv) {
            return Some(served.records.name_of(key.record));
        }
        self.target(pv).map(|(_, record, _)| &*record.name)
    }

    /// Whether a fault keeps a PV of the program from taking values as they are.
    pub(crate) fn is_held(&self, handle: PvHandle) -> bool {
        let faulty = self.overseers.faulty.as_ref();
        faulty.is_some_and(|faulty| faulty.held.contains_key(&handle))
    }

    /// What a put comes to because of a fault.
    pub(crate) fn faulty_put(&self, pv: PvId) -> Option<EcaStatus> {
        let faulty = self.overseers.faulty.as_ref()?;
        if faulty.puts.is_empty() {
            return None;
        }
        let name = self.base_name(pv)?.as_bytes();
        let found = faulty
            .puts
            .iter()
            .rev()
            .find(|(of, _)| of.matches_channel(name));
        found.map(|(_, status)| *status)
    }

    /// What clients may do at most because of a fault.
    pub(crate) fn faulty_rights(&self, pv: PvId) -> AccessRights {
        let all = AccessRights::ALL;
        let Some(faulty) = self
            .overseers
            .faulty
            .as_ref()
            .filter(|faulty| !faulty.rights.is_empty())
        else {
            return all;
        };
        let Some(name) = self.base_name(pv) else {
            return all;
        };
        let name = name.as_bytes();
        let found = faulty
            .rights
            .iter()
            .rev()
            .find(|(of, _)| of.matches_channel(name));
        found.map_or(all, |(_, rights)| *rights)
    }
}
