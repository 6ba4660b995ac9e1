//! Channel names: `record[.[field][$][[range]]]` (`dbChannelCreate` of EPICS Base), and records whose own names have dots.

use std::collections::BTreeSet;
use std::ops::Bound;

/// A channel name in its parts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChannelName<'a> {
    pub record: &'a [u8],
    /// Empty for the value field.
    pub field: &'a [u8],
    /// What follows the field.
    pub modifiers: &'a [u8],
}

impl<'a> ChannelName<'a> {
    /// Splits at the first dot; modifiers need the dot, so `rec$` is a record name.
    pub(crate) fn split(name: &'a [u8]) -> Self {
        match name.iter().position(|&b| b == b'.') {
            None => Self::whole(name),
            Some(dot) => Self::split_at(name, dot),
        }
    }

    /// A name without field.
    pub(crate) const fn whole(name: &'a [u8]) -> Self {
        Self {
            record: name,
            field: &[],
            modifiers: &[],
        }
    }

    /// Splits at the dot that stands there.
    pub(crate) fn split_at(name: &'a [u8], dot: usize) -> Self {
        let (record, rest) = (&name[..dot], &name[dot + 1..]);
        let is_identifier = |&(at, b): &(usize, u8)| {
            b.is_ascii_alphabetic() || b == b'_' || (at > 0 && b.is_ascii_digit())
        };
        let field = rest.iter().copied().enumerate().take_while(is_identifier);
        let (field, modifiers) = rest.split_at(field.count());
        Self {
            record,
            field,
            modifiers,
        }
    }
}

/// Records with dots in their names, which are looked for only where there are any.
#[derive(Debug, Default)]
pub(crate) struct Dotted {
    names: BTreeSet<Box<str>>,
    /// Dots of the name that has most, since the first was added.
    most: usize,
}

impl Dotted {
    pub(crate) fn insert(&mut self, name: &str) {
        let dots = name.bytes().filter(|&b| b == b'.').count();
        if dots > 0 {
            self.most = self.most.max(dots);
            self.names.insert(name.into());
        }
    }

    pub(crate) fn remove(&mut self, name: &str) {
        self.names.remove(name);
        if self.names.is_empty() {
            self.most = 0;
        }
    }

    /// Every way to split a name that may be that of a record with dots: the longest record first,
    /// and none if the first dot is the only place.
    pub(crate) fn ways<'a>(&self, name: &'a [u8]) -> impl Iterator<Item = ChannelName<'a>> {
        let dots = name.iter().enumerate().filter(|&(_, &b)| b == b'.');
        let dots: Vec<usize> = match self.most {
            0 => Vec::new(),
            most => dots.map(|(at, _)| at).take(most + 1).collect(),
        };
        let whole = (self.most > 0).then(|| ChannelName::whole(name));
        let parts = dots.into_iter().rev();
        whole
            .into_iter()
            .chain(parts.map(move |dot| ChannelName::split_at(name, dot)))
    }

    /// The names that begin with this one and a dot.
    pub(crate) fn below<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let prefix = format!("{name}.");
        let bounds = (Bound::Included(prefix.as_str()), Bound::Unbounded);
        let from = self.names.range::<str, _>(bounds);
        from.map(|name| &**name)
            .take_while(move |name| name.starts_with(&prefix))
    }
}

/// What a channel sees of its field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Modifiers {
    /// `$`: a string as an array of characters.
    pub long: bool,
    pub range: Option<Slice>,
    /// The number of the channel if it has filters of its own, which have state; 0 without.
    pub instance: u64,
}

impl Modifiers {
    /// Reads everything behind the field; `None` if something else than the modifiers is there.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let (long, rest) = match text {
            [b'$', rest @ ..] => (true, rest),
            rest => (false, rest),
        };
        let range = match rest {
            [] => None,
            [b'[', inner @ .., b']'] => Some(Slice::parse(inner)?),
            _ => return None,
        };
        Some(Self {
            long,
            range,
            instance: 0,
        })
    }
}

/// An array range: first and last index, from the end if negative, and the step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Slice {
    start: i64,
    step: i64,
    end: i64,
}

impl Slice {
    /// From the first to the last element.
    pub(crate) const fn new(start: i64, step: i64, end: i64) -> Self {
        Self { start, step, end }
    }

    /// `i`, `s:e` or `s:step:e`; all numbers but `i` may be missing (the filter `arr.c` of EPICS Base).
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let parts: Vec<&str> = text.splitn(4, ':').collect();
        let or = |text: &str, default| match text {
            "" => Some(default),
            text => number(text),
        };
        let (start, step, end) = match *parts {
            [index] => {
                let index = number(index)?;
                (index, 1, index)
            }
            [start, end] => (or(start, 0)?, 1, or(end, -1)?),
            [start, step, end] => (or(start, 0)?, or(step, 1)?.max(1), or(end, -1)?),
            _ => return None,
        };
        Some(Self { start, step, end })
    }

    /// The indices that the slice takes of `len` elements: first, step, how many.
    pub(crate) fn of(self, len: u32) -> (usize, usize, usize) {
        let len = i64::from(len);
        let from_end = |index: i64| if index < 0 { index + len } else { index };
        let start = from_end(self.start).clamp(0, len);
        let end = from_end(self.end).max(0).min(len - 1);
        let count = if end < start {
            0
        } else {
            1 + (end - start) / self.step
        };
        // All three are within 0..=u32::MAX, but for a step that is then not used twice.
        (start as usize, self.step as usize, count as usize)
    }
}

/// Decimal, `0x` hexadecimal or `0` octal, with a sign; at most what 32 bits hold.
fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().next()?.is_ascii_hexdigit() {
        return None;
    }
    let value = i64::from(u32::from_str_radix(digits, radix).ok()?);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(range: &str, len: u32) -> Option<Vec<usize>> {
        let modifiers = Modifiers::parse(range.as_bytes())?;
        let (start, step, count) = modifiers.range?.of(len);
        Some((0..count).map(|n| start + n * step).collect())
    }

    #[test]
    fn names_split_at_the_first_dot() {
        let split = |name: &'static str| {
            let name = ChannelName::split(name.as_bytes());
            [name.record, name.field, name.modifiers].map(|part| std::str::from_utf8(part).unwrap())
        };
        assert_eq!(split("a:b"), ["a:b", "", ""]);
        assert_eq!(split("a."), ["a", "", ""]);
        assert_eq!(split("a.VAL$[1:2]"), ["a", "VAL", "$[1:2]"]);
        assert_eq!(split("a.$"), ["a", "", "$"]);
        assert_eq!(split("a$"), ["a$", "", ""]);
        assert_eq!(split("a.B.C"), ["a", "B", ".C"]);
        assert_eq!(split("a.VAL "), ["a", "VAL", " "]);
    }

    #[test]
    fn ranges_have_every_form_of_the_text() {
        // the filter `arr.c` of EPICS Base
        assert_eq!(taken("[2]", 5), Some(vec![2]));
        assert_eq!(taken("[-1]", 5), Some(vec![4]));
        assert_eq!(taken("[1:3]", 5), Some(vec![1, 2, 3]));
        assert_eq!(taken("[:]", 3), Some(vec![0, 1, 2]));
        assert_eq!(taken("[0:2:-1]", 5), Some(vec![0, 2, 4]));
        assert_eq!(taken("[::]", 2), Some(vec![0, 1]));
        assert_eq!(taken("[0:-2:1]", 5), Some(vec![0, 1]), "step <= 0 is 1");
        assert_eq!(taken("[0x1:010]", 20), Some((1..=8).collect()));
        assert_eq!(taken("[3:1]", 5), Some(vec![]));
        assert_eq!(taken("[7:9]", 5), Some(vec![]));
        assert_eq!(taken("[0:9]", 0), Some(vec![]));
    }

    #[test]
    fn what_is_no_range_opens_nothing() {
        for text in [
            "[]",
            "[a]",
            "[1:2:3:4]",
            "[1",
            "1]",
            "[1]x",
            " ",
            "{}",
            "[+1]",
            "[--1]",
        ] {
            assert_eq!(Modifiers::parse(text.as_bytes()), None, "{text}");
        }
    }
}
