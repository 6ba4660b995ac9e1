//! What a record keeps: its state in a few words, and of its fields those that differ from the type's.

use ca_proto::Timestamp;

use super::common;
use super::link::{Link, LinkTo, PvLink};
use super::schema::RecordType;
use super::val::Val;
use crate::state::codec::{Broken, Reader, Saved, Writer, saved};

/// The number of a record.
pub(crate) type Id = u32;

/// Fields that are told apart by a bit.
const COMMON: u16 = 192;
const BYTES: usize = COMMON as usize / 8;
/// How many bits of a byte are set: counting them takes longer where the processor's own way may not be taken.
const ONES: [u8; 256] = {
    let mut ones = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        ones[byte] = (byte as u8).count_ones() as u8;
        byte += 1;
    }
    ones
};
/// Fields for which there is room at once when there is none: of most records that is all they ever need.
const GROW: usize = 4;

/// Some fields of a type, to ask whether a record has none of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FieldSet {
    words: [u64; 3],
    /// Some are behind those that are told apart by a bit.
    beyond: bool,
}

impl FieldSet {
    /// These.
    pub(crate) const fn of(fields: &[u16]) -> Self {
        let mut set = Self {
            words: [0; 3],
            beyond: false,
        };
        let mut at = 0;
        while at < fields.len() {
            let field = fields[at];
            match field < COMMON {
                true => set.words[(field / 64) as usize] |= 1 << (field % 64),
                false => set.beyond = true,
            }
            at += 1;
        }
        set
    }
}

/// Fields with their indices, in the order of these.
#[derive(Clone, Debug, Default)]
struct Rest(Vec<(u16, Val)>);

/// The fields whose values differ from the type's, in order of their indices.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// Which of the first [`COMMON`] are here: the place of one is how many are here before it.
    set: [u8; BYTES],
    /// How many are here before each of the bytes.
    below: [u8; BYTES],
    all: Vec<Val>,
    /// Those behind them, which few record types have.
    rest: Option<Box<Rest>>,
}

impl Fields {
    /// Whether a field is here; to be asked of very many.
    #[inline]
    pub(crate) fn has(&self, index: u16) -> bool {
        match self.set.get(usize::from(index / 8)) {
            Some(byte) => byte & 1 << (index % 8) != 0,
            None => self.get_rest(index).is_some(),
        }
    }

    /// Whether all of these have their types' values, and always had; it may say no of rarely used ones.
    #[inline]
    pub(crate) fn lacks(&self, fields: &FieldSet) -> bool {
        let [a, b, c] = self.words();
        let [x, y, z] = fields.words;
        !fields.beyond && (a & x) | (b & y) | (c & z) == 0
    }

    /// Which of up to 32 fields that follow each other are here: bit 0 for the first.
    #[inline]
    pub(crate) fn present(&self, first: u16, count: u16) -> u32 {
        let all = u32::MAX >> (32 - u32::from(count.clamp(1, 32)));
        if first + count > COMMON {
            let bits = (0..count).filter(|n| self.has(first + n));
            return bits.fold(0, |bits, n| bits | 1 << n);
        }
        let (word, shift) = (usize::from(first / 64), first % 64);
        let words = self.words();
        let low = words.get(word).copied().unwrap_or_default();
        let high = words.get(word + 1).copied().unwrap_or_default();
        let pair = u128::from(low) | u128::from(high) << 64;
        (pair >> shift) as u32 & all
    }

    /// Which of the first fields are here, 64 to a word.
    #[inline]
    const fn words(&self) -> [u64; 3] {
        let (words, _) = self.set.as_chunks::<8>();
        [
            u64::from_le_bytes(words[0]),
            u64::from_le_bytes(words[1]),
            u64::from_le_bytes(words[2]),
        ]
    }

    /// Where one of the first fields is, if it is here.
    #[inline]
    fn place(&self, index: u16) -> Option<usize> {
        let byte = usize::from(index / 8);
        let (&set, &below) = (self.set.get(byte)?, self.below.get(byte)?);
        let bit = 1u8 << (index % 8);
        if set & bit == 0 {
            return None;
        }
        Some(usize::from(below) + usize::from(ONES[usize::from(set & (bit - 1))]))
    }

    fn get_rest(&self, index: u16) -> Option<&Val> {
        let Rest(rest) = &**self.rest.as_ref()?;
        let place = rest
            .binary_search_by_key(&index, |&(index, _)| index)
            .ok()?;
        rest.get(place).map(|(_, val)| val)
    }

    #[inline]
    pub(crate) fn get(&self, index: u16) -> Option<&Val> {
        if index >= COMMON {
            return self.get_rest(index);
        }
        self.all.get(self.place(index)?)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut Val> {
        if index >= COMMON {
            let Rest(rest) = &mut **self.rest.as_mut()?;
            let place = rest
                .binary_search_by_key(&index, |&(index, _)| index)
                .ok()?;
            return rest.get_mut(place).map(|(_, val)| val);
        }
        let place = self.place(index)?;
        self.all.get_mut(place)
    }

    /// Copies a number to another field, if both are here and are numbers of one type; whether that is so.
    #[inline]
    pub(crate) fn copy_number(&mut self, from: u16, to: u16) -> bool {
        let (Some(from), Some(to)) = (self.place(from), self.place(to)) else {
            return false;
        };
        let (Some(val), Some(have)) = (self.all.get(from).map(Number::of), self.all.get_mut(to))
        else {
            return false;
        };
        match (val, have) {
            (Some(Number::Double(new)), Val::Double(have)) => *have = new,
            (Some(Number::Long(new)), Val::Long(have)) => *have = new,
            (Some(Number::ULong(new)), Val::ULong(have)) => *have = new,
            (Some(Number::Short(new)), Val::Enum(have) | Val::UShort(have)) => *have = new,
            _ => return false,
        }
        true
    }

    /// Looks at where the values are, once in each line of the processor's cache.
    ///
    /// Of tens of thousands of records each is far from the processor. Looked at one right after the other they come
    /// together, and not each when its processing begins: what is seen decides nothing here, so that the processor need
    /// not wait for it to look at the next.
    #[inline]
    pub(crate) fn touch(&self) -> usize {
        const STEP: usize = 64 / size_of::<Val>();
        let lines = self.all.iter().step_by(STEP).chain(self.all.last());
        lines.map(|val| usize::from(matches!(val, Val::None))).sum()
    }

    /// What links lead to, and where the code of expressions is, once the values are at hand.
    #[inline]
    pub(crate) fn touch_behind(&self, mut linked: impl FnMut(Id)) -> usize {
        let mut seen = 0;
        for val in &self.all {
            match val {
                Val::Link(link) => {
                    if let Link::Pv(PvLink {
                        to: LinkTo::Local(id, _),
                        ..
                    }) = &**link
                    {
                        linked(*id);
                    }
                }
                Val::Program(program) => seen += program.touch(),
                _ => {}
            }
        }
        seen
    }

    /// How many of the first fields are here.
    #[inline]
    pub(crate) const fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a field that is not here.
    fn insert(&mut self, index: u16, val: Val) {
        if index >= COMMON {
            let Rest(rest) = &mut **self.rest.get_or_insert_default();
            if let Err(place) = rest.binary_search_by_key(&index, |&(index, _)| index) {
                rest.insert(place, (index, val));
            }
            return;
        }
        self.reserve(1);
        let byte = usize::from(index / 8);
        let bit = 1u8 << (index % 8);
        let before = ONES[usize::from(self.set[byte] & (bit - 1))];
        self.all.insert(usize::from(self.below[byte] + before), val);
        self.set[byte] |= bit;
        for below in self.below.iter_mut().skip(byte + 1) {
            *below += 1;
        }
    }

    /// Makes room for so many more.
    pub(crate) fn reserve(&mut self, more: usize) {
        if self.all.capacity() - self.all.len() < more {
            self.all.reserve_exact(more.max(GROW));
        }
    }

    /// The fields that are links.
    pub(crate) fn links(&self) -> impl Iterator<Item = u16> + '_ {
        let common = self
            .words()
            .into_iter()
            .zip(0..)
            .flat_map(|(word, nth)| Bits(word).map(move |bit| nth * 64 + bit));
        let common = common.zip(&self.all);
        let rest = self.rest.iter().flat_map(|rest| rest.0.iter());
        let all = common.chain(rest.map(|(index, val)| (*index, val)));
        all.filter(|(_, val)| matches!(val, Val::Link(_)))
            .map(|(index, _)| index)
    }

    pub(crate) fn shrink(&mut self) {
        self.all.shrink_to_fit();
        if let Some(rest) = &mut self.rest {
            rest.0.shrink_to_fit();
        }
    }
}

/// A number of a field that is copied often.
#[derive(Clone, Copy)]
enum Number {
    Double(f64),
    Long(i32),
    ULong(u32),
    /// Also the number of a choice.
    Short(u16),
}

impl Number {
    #[inline]
    const fn of(val: &Val) -> Option<Self> {
        Some(match val {
            Val::Double(number) => Self::Double(*number),
            Val::Long(number) => Self::Long(*number),
            Val::ULong(number) => Self::ULong(*number),
            Val::Enum(number) | Val::UShort(number) => Self::Short(*number),
            _ => return None,
        })
    }
}

/// The bits of a word that are set.
pub(crate) struct Bits(pub u64);

impl Iterator for Bits {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        u16::try_from(bit).ok().filter(|&bit| bit < 64)
    }
}

/// A record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub name: Box<str>,
    /// The number of its type.
    pub kind: u16,
    pub scan: u16,
    pub time: Timestamp,
    /// Its place among the records of its scan list.
    pub turn: u32,
    /// The put that waits for it, from 1; 0 for none.
    pub notify: u32,
    pub stat: u8,
    pub sevr: u8,
    pub nsta: u8,
    pub nsev: u8,
    pub acks: u8,
    pub ackt: bool,
    pub udf: u8,
    pub udfs: u8,
    pub lcnt: u8,
    pub disp: u8,
    pub tpro: u8,
    pub putf: bool,
    pub rpro: bool,
    pub pact: bool,
    /// It is part of the chain that is being processed.
    pub chained: bool,
    /// Somebody subscribes to a field of it.
    pub watched: bool,
    /// A link of another record follows a field of it.
    pub followed: bool,
    /// Its device, as it was processed last, could not be read or written: the status of `process` in the
    /// reference.
    pub failed: bool,
    pub fields: Fields,
}

impl Record {
    pub(crate) fn new(name: &str, kind: u16) -> Self {
        Self {
            name: name.into(),
            kind,
            scan: 0,
            time: Timestamp::UNDEFINED,
            turn: 0,
            notify: 0,
            stat: 17,
            sevr: 0,
            nsta: 0,
            nsev: 0,
            acks: 0,
            ackt: true,
            udf: 1,
            udfs: 3,
            lcnt: 0,
            disp: 0,
            tpro: 0,
            putf: false,
            rpro: false,
            pact: false,
            chained: false,
            watched: false,
            followed: false,
            failed: false,
            fields: Fields::default(),
        }
    }

    /// The value of a field.
    pub(crate) fn get(&self, of: &RecordType, index: u16) -> Val {
        let byte = |value: bool| Val::UChar(value.into());
        match index {
            common::NAME => Val::text(&*self.name),
            common::SCAN => Val::Enum(self.scan),
            common::STAT => Val::Enum(self.stat.into()),
            common::SEVR => Val::Enum(self.sevr.into()),
            common::NSTA => Val::Enum(self.nsta.into()),
            common::NSEV => Val::Enum(self.nsev.into()),
            common::ACKS => Val::Enum(self.acks.into()),
            common::ACKT => Val::Enum(self.ackt.into()),
            common::UDF => Val::UChar(self.udf),
            common::UDFS => Val::Enum(self.udfs.into()),
            common::LCNT => Val::UChar(self.lcnt),
            common::DISP => Val::UChar(self.disp),
            common::TPRO => Val::UChar(self.tpro),
            common::PUTF => byte(self.putf),
            common::RPRO => byte(self.rpro),
            common::PACT => byte(self.pact),
            _ => self.held(of, index).clone(),
        }
    }

    /// The value of a field that is not one of the state's words.
    #[inline]
    pub(crate) fn held<'a>(&'a self, of: &'a RecordType, index: u16) -> &'a Val {
        self.fields
            .get(index)
            .unwrap_or_else(|| &of.field(index).default)
    }

    /// Stores a value, which has the type of the field.
    pub(crate) fn set(&mut self, of: &RecordType, index: u16, val: Val) {
        if index >= common::COUNT {
            // hot: what processing changes is there, mostly.
            return self.hold(of, index, val);
        }
        let byte = |val: &Val| val.as_u16().min(255) as u8;
        match index {
            common::NAME => {}
            common::SCAN => self.scan = val.as_u16(),
            common::STAT => self.stat = byte(&val),
            common::SEVR => self.sevr = byte(&val),
            common::NSTA => self.nsta = byte(&val),
            common::NSEV => self.nsev = byte(&val),
            common::ACKS => self.acks = byte(&val),
            common::ACKT => self.ackt = val.as_u16() != 0,
            common::UDF => self.udf = val.as_i64() as u8,
            common::UDFS => self.udfs = byte(&val),
            common::LCNT => self.lcnt = val.as_i64() as u8,
            common::DISP => self.disp = val.as_i64() as u8,
            common::TPRO => self.tpro = val.as_i64() as u8,
            common::PUTF => self.putf = val.as_i64() != 0,
            common::RPRO => self.rpro = val.as_i64() != 0,
            common::PACT => self.pact = val.as_i64() != 0,
            _ => self.hold(of, index, val),
        }
    }

    #[inline]
    fn hold(&mut self, of: &RecordType, index: u16, val: Val) {
        if let Some(have) = self.fields.get_mut(index) {
            *have = val;
        } else if !of.field(index).default.same(&val) {
            self.fields.insert(index, val);
        }
    }
}

saved!(struct Record {
    scan, time, turn, notify, stat, sevr, nsta, nsev, acks, ackt, udf, udfs, lcnt, disp, tpro, putf, rpro, pact, chained,
    followed, failed, fields,
} kept {
    // Which record it is does not change.
    name = Box::default(),
    kind = 0,
    // Subscriptions are of clients.
    watched = false,
});

impl Fields {
    /// All of them, in the order of their indices.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &Val)> {
        let common = (self.words().into_iter().zip(0..))
            .flat_map(|(word, nth)| Bits(word).map(move |bit| nth * 64 + bit));
        let rest = self.rest.iter().flat_map(|rest| rest.0.iter());
        let rest = rest.map(|(index, val)| (*index, val));
        common.zip(&self.all).chain(rest)
    }
}

impl Saved for Fields {
    fn save(&self, to: &mut Writer) {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.0.len());
        (self.all.len() + rest).save(to);
        for (index, val) in self.iter() {
            index.save(to);
            val.save(to);
        }
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        let mut fields = Self::default();
        let count = from.length()?;
        fields.all.reserve_exact(count.min(usize::from(COMMON)));
        let mut next = 0;
        for _ in 0..count {
            let index = u16::load(from)?;
            if index < next {
                return Err(from.broken("the fields of a record are not in their order"));
            }
            next = index.saturating_add(1);
            fields.insert(index, Val::load(from)?);
        }
        Ok(fields)
    }
}
