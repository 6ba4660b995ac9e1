//! Names with `*` and `?`.

use std::fmt;

use crate::state::codec::{Broken, Reader, Saved, Writer};

/// A name in which `*` stands for any characters and `?` for one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// It can only be one name.
    pub fn is_name(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether it is about this text, as a whole.
    pub fn matches(&self, text: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut p, mut t) = (0, 0);
        // Behind the last star, and what that stood for so far.
        let mut retry: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    p += 1;
                    retry = Some((p, t));
                }
                Some(&b) if b == b'?' || Some(&b) == text.get(t) => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((star, taken)) = retry else {
                        return false;
                    };
                    (p, t) = (star, taken + 1);
                    retry = Some((star, t));
                }
            }
        }
        pattern
            .get(p..)
            .is_some_and(|rest| rest.iter().all(|b| *b == b'*'))
    }

    /// Whether it is about a channel of this name: one without a dot means the PV with all its fields.
    pub fn matches_channel(&self, name: &[u8]) -> bool {
        if self.matches(name) {
            return true;
        }
        let dot = name.iter().rposition(|b| *b == b'.');
        let pv = dot.and_then(|dot| name.get(..dot));
        !self.0.contains('.') && pv.is_some_and(|pv| self.matches(pv))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Saved for Pattern {
    fn save(&self, to: &mut Writer) {
        self.0.save(to);
    }

    fn load(from: &mut Reader<'_>) -> Result<Self, Broken> {
        String::load(from).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks() {
        let matches =
            |pattern: &str, text: &str| Pattern::new(pattern).matches_channel(text.as_bytes());
        assert!(matches("a*c", "abbc") && matches("a*c", "ac") && !matches("a*c", "acb"));
        assert!(matches("a?c", "abc") && !matches("a?c", "ac"));
        assert!(matches("*", "") && matches("**x*", "aaxbb") && !matches("*x*y", "xxxx"));
        assert!(matches("gap", "gap.EGU") && matches("gap", "gap") && !matches("gap.VAL", "gap"));
        assert!(matches("*.EGU", "gap.EGU") && !matches("gap", "gap2"));
    }
}
