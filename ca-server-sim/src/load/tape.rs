//! Entries that are written one behind another into large blocks.
//!
//! What files say is held for as long as it takes to read them and to make records of it. Held in pieces of their own,
//! the small parts of a hundred thousand definitions lie between each other and what stays; when they go, they leave
//! gaps that no allocator gives back. Blocks go as a whole, each with the last of its entries.

/// Bytes of a block, unless one entry is longer: so many that what takes its place afterwards lies side by side, and so
/// few that blocks go while others are read.
const BLOCK: usize = 256 << 10;
/// Bits of the offset in a block.
const OFFSET: u32 = BLOCK.trailing_zeros();
/// Bytes of an [`At`] on the tape: for a terabyte.
const LINK: usize = 5;

/// Bytes of the buffer that are kept.
const MAX_KEPT: usize = 4096;

/// Where an entry is: its block and where it begins there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At(u64);

impl At {
    /// Nowhere.
    pub(super) const NONE: Self = Self((1 << (8 * LINK)) - 1);

    const fn block(self) -> usize {
        (self.0 >> OFFSET) as usize
    }

    const fn offset(self) -> usize {
        (self.0 & (BLOCK as u64 - 1)) as usize
    }
}

/// Entries, each of which leads to another one.
#[derive(Clone, Debug, Default)]
pub(super) struct Tape {
    blocks: Vec<Vec<u8>>,
    /// How many entries of a block were not [let go](Self::let_go).
    live: Vec<u32>,
    /// A buffer that is used again.
    entry: Vec<u8>,
}

impl Tape {
    /// Writes an entry: its kind, and what `write` adds. It leads nowhere.
    pub(super) fn push(&mut self, kind: u8, write: impl FnOnce(&mut Vec<u8>)) -> At {
        let mut entry = std::mem::take(&mut self.entry);
        entry.clear();
        entry.extend_from_slice(&At::NONE.0.to_le_bytes()[..LINK]);
        entry.push(kind);
        write(&mut entry);
        let at = self.append(&entry);
        if entry.capacity() <= MAX_KEPT {
            self.entry = entry;
        }
        at
    }

    fn append(&mut self, entry: &[u8]) -> At {
        let fits = |block: &Vec<u8>| block.is_empty() || block.len() + entry.len() <= BLOCK;
        if !self.blocks.last().is_some_and(fits) {
            // A few definitions take no more than they need; who fills one block fills others.
            self.blocks.push(match self.blocks.is_empty() {
                true => Vec::new(),
                false => Vec::with_capacity(BLOCK.max(entry.len())),
            });
            self.live.push(0);
        }
        let number = self.blocks.len() - 1;
        let block = &mut self.blocks[number];
        let at = At((number as u64) << OFFSET | block.len() as u64);
        block.extend_from_slice(entry);
        self.live[number] += 1;
        at
    }

    /// Has an entry lead to another one.
    pub(super) fn link(&mut self, from: At, to: At) {
        let block = self.blocks.get_mut(from.block());
        let link = block.and_then(|block| block.get_mut(from.offset()..from.offset() + LINK));
        if let Some(link) = link {
            link.copy_from_slice(&to.0.to_le_bytes()[..LINK]);
        }
    }

    /// Makes an entry one of another kind.
    pub(super) fn set_kind(&mut self, at: At, kind: u8) {
        let block = self.blocks.get_mut(at.block());
        if let Some(place) = block.and_then(|block| block.get_mut(at.offset() + LINK)) {
            *place = kind;
        }
    }

    /// What an entry says.
    pub(super) fn read(&self, at: At) -> Entry<'_> {
        let block = self.blocks.get(at.block());
        let bytes = block.and_then(|block| block.get(at.offset()..));
        let (link, rest) = bytes
            .unwrap_or_default()
            .split_at_checked(LINK)
            .unwrap_or_default();
        let mut next = [0xff; 8];
        next[LINK..].fill(0);
        if let Some(place) = next.get_mut(..link.len()) {
            place.copy_from_slice(link);
        }
        let (kind, rest) = rest.split_first().unwrap_or((&u8::MAX, &[]));
        Entry {
            next: At(u64::from_le_bytes(next)),
            kind: *kind,
            rest,
        }
    }

    /// An entry is not read again: with the last one of a block the block goes.
    pub(super) fn let_go(&mut self, at: At) {
        if let Some(live) = self.live.get_mut(at.block()) {
            *live = live.saturating_sub(1);
            if *live == 0 {
                self.blocks[at.block()] = Vec::new();
            }
        }
    }
}

/// An entry, which is read from its begin on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) next: At,
    pub(super) kind: u8,
    rest: &'a [u8],
}

impl<'a> Entry<'a> {
    /// The next number.
    pub(super) fn number(&mut self) -> u32 {
        let (mut number, mut shift) = (0, 0);
        while let Some((&byte, rest)) = self.rest.split_first() {
            self.rest = rest;
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 || shift > 28 {
                break;
            }
        }
        number as u32
    }

    /// The next text.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let length = self.number() as usize;
        let (text, rest) = self.rest.split_at_checked(length).unwrap_or_default();
        self.rest = rest;
        text
    }
}

/// Writes a number; most are small.
pub(super) fn number(out: &mut Vec<u8>, number: u32) {
    let mut left = number;
    while left >= 0x80 {
        out.push(left as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

/// Writes a text; its length is that of a value, which is bounded far below 4 GB.
pub(super) fn text(out: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
    number(out, length);
    out.extend_from_slice(&text[..length as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written_in_any_number_of_blocks() {
        let mut tape = Tape::default();
        let long = vec![7; 1000];
        let all: Vec<At> = (0..10_000_u32)
            .map(|n| {
                tape.push(3, |out| {
                    number(out, n.wrapping_mul(429_497));
                    text(out, &long);
                    text(out, b"");
                })
            })
            .collect();
        assert!(tape.blocks.len() > 30);
        for pair in all.windows(2) {
            tape.link(pair[0], pair[1]);
        }
        tape.set_kind(all[9_999], 4);
        for (&at, n) in all.iter().zip(0_u32..) {
            let mut entry = tape.read(at);
            assert_eq!(entry.next, *all.get(n as usize + 1).unwrap_or(&At::NONE));
            assert_eq!(entry.kind, 3 + u8::from(n == 9_999));
            assert_eq!(entry.number(), n.wrapping_mul(429_497));
            assert_eq!((entry.text(), entry.text()), (&*long, b"".as_slice()));
        }
    }

    #[test]
    fn a_block_goes_with_its_last_entry() {
        let mut tape = Tape::default();
        let value = vec![7; BLOCK];
        let all: Vec<At> = (0..3)
            .map(|_| tape.push(0, |out| text(out, &value)))
            .collect();
        tape.let_go(all[1]);
        assert_eq!(tape.read(all[1]).next, At(u64::MAX >> 24));
        assert_eq!(tape.read(all[2]).text_of(), value);
        assert_eq!(
            tape.blocks
                .iter()
                .map(Vec::capacity)
                .filter(|&room| room > 0)
                .count(),
            2
        );
    }

    impl Entry<'_> {
        fn text_of(mut self) -> Vec<u8> {
            self.text().to_vec()
        }
    }
}
