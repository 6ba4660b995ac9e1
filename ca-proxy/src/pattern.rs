//! Patterns of PV names, as a shell has them: `*` is any text, `?` any one byte.

use std::fmt;

/// A pattern of PV names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// True if the whole name matches.
    pub fn matches(&self, name: &[u8]) -> bool {
        let pattern = self.0.as_bytes();
        let (mut at, mut seen) = (0, 0);
        // Behind the last star: where the pattern goes on, and the bytes that the star has taken.
        let mut star: Option<(usize, usize)> = None;
        while let Some(&byte) = name.get(seen) {
            match pattern.get(at) {
                Some(b'*') => {
                    at += 1;
                    star = Some((at, seen));
                }
                Some(&wanted) if wanted == b'?' || wanted == byte => {
                    at += 1;
                    seen += 1;
                }
                _ => {
                    let Some((behind, taken)) = &mut star else {
                        return false;
                    };
                    *taken += 1;
                    (at, seen) = (*behind, *taken);
                }
            }
        }
        pattern
            .get(at..)
            .is_some_and(|rest| rest.iter().all(|&b| b == b'*'))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn stars_and_question_marks_match_whole_names() {
        for (pattern, name, expected) in [
            ("X", "X", true),
            ("X", "X2", false),
            ("X*", "X", true),
            ("X*", "X:gap.EGU", true),
            ("*:gap", "a:b:gap", true),
            ("*:gap", "a:gap:b", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbXb", false),
            ("?:?", "a:b", true),
            ("?:?", "ab", false),
            ("", "", true),
            ("*", "", true),
            ("", "x", false),
        ] {
            assert_eq!(
                Pattern::new(pattern).matches(name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
