//! Mistakes of the pen: how bad they are, and which word was meant.

/// Whether a file can be used in spite of what was found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Weight {
    /// It cannot be used.
    Error,
    /// It can, but not everything may come out as its author thinks.
    Warning,
}

/// The word that is most like `given`, if one is like it at all: a third of its letters may differ.
#[cfg_attr(
    not(feature = "diagnostics"),
    expect(unreachable_pub, reason = "public with the feature that re-exports it")
)]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer words are nobody's slip.
    const LONGEST: usize = 64;
    if given.len() > LONGEST {
        return None;
    }
    let given = given.to_lowercase();
    let distances = known.into_iter().map(|word| (distance(&given, word), word));
    let (distance, word) = distances.min_by_key(|&(distance, _)| distance)?;
    (distance <= given.chars().count().max(word.len()) / 3).then_some(word)
}

/// Letters to insert, delete, replace, or exchange with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_known_and_another_word_is_not() {
        let known = ["units", "precision", "value", "alarm"];
        assert_eq!(nearest("unit", known), Some("units"));
        assert_eq!(nearest("Precison", known), Some("precision"));
        assert_eq!(nearest("vlaue", known), Some("value"));
        assert_eq!(nearest("colour", known), None);
    }
}
