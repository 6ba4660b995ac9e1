//! Numbers that go together.

use std::time::Duration;

use ca_proto::dbr::Value;
use ca_proto::rng::Pcg32;

use super::Signal;
use crate::faults::normal;

/// Members of a vector at most: its matrix has the square of them.
const MAX_MEMBERS: usize = 1000;

/// One of several signals whose random parts are correlated: [`correlated`].
#[derive(Clone, PartialEq, Debug)]
pub struct Correlated {
    seed: u64,
    mean: f64,
    /// What it takes of each of the independent numbers.
    row: Vec<f64>,
    /// What it takes of the random numbers of its PV.
    own: f64,
}

impl Correlated {
    /// A member of a group, by its name: a normal number with this mean and root mean square, of which `share`
    /// (-1 to 1) follows what all members of the group have in common. Two members have the product of their shares
    /// as correlation. Their PVs are to have the same period; they may be of several IOCs.
    ///
    /// ```
    /// use ca_server_sim::signals::Correlated;
    ///
    /// // A rise of the hall's temperature moves the one up and the other one down.
    /// let (pipe, girder) = (
    ///     Correlated::in_group("hall", 31.0, 0.2, 0.95),
    ///     Correlated::in_group("hall", 0.0, 4.0, -0.95),
    /// );
    /// # let _ = (pipe, girder);
    /// ```
    pub fn in_group(group: &str, mean: f64, rms: f64, share: f64) -> Self {
        let share = share.clamp(-1.0, 1.0);
        Self {
            seed: seed_of(group),
            mean,
            row: vec![rms * share],
            own: rms * (1.0 - share * share).sqrt(),
        }
    }
}

/// The same for the same name, on every machine (FNV-1a).
fn seed_of(name: &str) -> u64 {
    name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Why signals cannot be correlated like that.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorrelationError {
    /// Means and rows are not as many as each other, or too many.
    #[error(
        "{means} means and {rows} rows of {columns} covariances; give as many of each, at most 1000"
    )]
    Shape {
        /// Number of means.
        means: usize,
        /// Number of rows.
        rows: usize,
        /// Length of the first row that is of another length, or of the first one.
        columns: usize,
    },
    /// No numbers have such covariances.
    #[error(
        "member {member}: no numbers have these covariances; each is at most the root of the product of both variances"
    )]
    NotPositive {
        /// The first member that cannot be, from 0.
        member: usize,
    },
}

/// Normal random signals with these means and covariances: at the same time, they belong together. Their PVs are
/// to have the same period.
///
/// ```
/// use ca_server_sim::signals::correlated;
/// use ca_server_sim::{Ioc, PvSpec};
/// use std::time::Duration;
///
/// // Two temperatures that nearly always move together.
/// let [a, b]: [_; 2] = correlated(1, &[21.0, 22.0], &[vec![0.04, 0.038], vec![0.038, 0.04]])?
///     .try_into()
///     .expect("two");
/// let every = Duration::from_millis(100);
/// Ioc::builder()
///     .pv("t:a", PvSpec::double(21.0).signal(a, every))
///     .pv("t:b", PvSpec::double(22.0).signal(b, every))
///     .build()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`CorrelationError`]
pub fn correlated(
    seed: u64,
    means: &[f64],
    covariances: &[Vec<f64>],
) -> Result<Vec<Correlated>, CorrelationError> {
    let n = means.len();
    let odd = covariances.iter().find(|row| row.len() != n);
    if covariances.len() != n || odd.is_some() || n > MAX_MEMBERS {
        let columns = odd.or_else(|| covariances.first()).map_or(0, Vec::len);
        return Err(CorrelationError::Shape {
            means: n,
            rows: covariances.len(),
            columns,
        });
    }
    let rows = cholesky(covariances)?;
    let members = means.iter().zip(rows);
    Ok(members
        .map(|(&mean, row)| Correlated {
            seed,
            mean,
            row,
            own: 0.0,
        })
        .collect())
}

/// The lower triangle whose product with its transpose is the matrix.
fn cholesky(matrix: &[Vec<f64>]) -> Result<Vec<Vec<f64>>, CorrelationError> {
    let mut rows: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
    for (i, given) in matrix.iter().enumerate() {
        let mut row = Vec::with_capacity(i + 1);
        for (above, &covariance) in rows.iter().zip(given) {
            let so_far: f64 = above.iter().zip(&row).map(|(a, b)| a * b).sum();
            let diagonal = above.last().copied().unwrap_or(0.0);
            row.push(match diagonal == 0.0 {
                true => 0.0,
                false => (covariance - so_far) / diagonal,
            });
        }
        let variance = given.get(i).copied().unwrap_or(f64::NAN);
        let rest = variance - row.iter().map(|x| x * x).sum::<f64>();
        // Rounding may leave a little below zero.
        if rest.is_nan() || rest < -1e-9 * variance.abs() {
            return Err(CorrelationError::NotPositive { member: i });
        }
        row.push(rest.max(0.0).sqrt());
        rows.push(row);
    }
    Ok(rows)
}

impl Signal for Correlated {
    fn sample(&mut self, t: Duration, of_pv: &mut Pcg32) -> Value {
        // The same numbers for all members: they follow from the time.
        let mut rng =
            Pcg32::new(self.seed ^ (t.as_nanos() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let parts = self.row.iter().map(|part| part * normal(&mut rng));
        let common = parts.sum::<f64>();
        let own = match self.own == 0.0 {
            true => 0.0,
            false => self.own * normal(of_pv),
        };
        Value::scalar(self.mean + common + own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn covariances_are_those_that_were_asked_for() {
        let wanted = [
            vec![4.0, 1.0, -1.0],
            vec![1.0, 1.0, 0.0],
            vec![-1.0, 0.0, 2.0],
        ];
        let mut members = correlated(3, &[1.0, 2.0, 3.0], &wanted).unwrap();
        let samples = 5000;
        let mut sums = [[0.0; 3]; 3];
        for n in 0..samples {
            let t = Duration::from_millis(100) * n;
            let mut values = [0.0; 3];
            for (m, member) in members.iter_mut().enumerate() {
                let value = member.sample(t, &mut Pcg32::new(0));
                values[m] =
                    value.as_ref().elements::<f64>().unwrap().next().unwrap() - (m + 1) as f64;
            }
            for (row, a) in sums.iter_mut().zip(values) {
                for (sum, b) in row.iter_mut().zip(values) {
                    *sum += a * b / f64::from(samples);
                }
            }
        }
        for (row, wanted) in sums.iter().zip(&wanted) {
            for (sum, wanted) in row.iter().zip(wanted) {
                assert!((sum - wanted).abs() < 0.2, "{sums:?}");
            }
        }
    }

    #[test]
    fn members_of_a_group_share_what_they_say() {
        let mut members = [0.9, -0.5, 0.0].map(|share| Correlated::in_group("g", 5.0, 2.0, share));
        let mut rngs = [1, 2, 3].map(Pcg32::new);
        let samples = 5000;
        let mut sums = [[0.0; 3]; 3];
        for n in 0..samples {
            let t = Duration::from_millis(100) * n;
            let mut values = [0.0; 3];
            for ((member, rng), value) in members.iter_mut().zip(&mut rngs).zip(&mut values) {
                let sample = member.sample(t, rng);
                *value = sample.as_ref().elements::<f64>().unwrap().next().unwrap() - 5.0;
            }
            for (row, a) in sums.iter_mut().zip(values) {
                for (sum, b) in row.iter_mut().zip(values) {
                    *sum += a * b / 4.0 / f64::from(samples);
                }
            }
        }
        for (row, wanted) in
            sums.iter()
                .zip([[1.0, -0.45, 0.0], [-0.45, 1.0, 0.0], [0.0, 0.0, 1.0]])
        {
            for (sum, wanted) in row.iter().zip(wanted) {
                assert!((sum - wanted).abs() < 0.06, "{sums:?}");
            }
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = correlated(1, &[0.0, 0.0], &[vec![1.0, 2.0], vec![2.0, 1.0]]).unwrap_err();
        assert_eq!(wrong, CorrelationError::NotPositive { member: 1 });
        assert!(correlated(1, &[0.0], &[vec![f64::NAN]]).is_err());
        let wrong = correlated(1, &[0.0], &[]).unwrap_err();
        assert!(wrong.to_string().contains("1 means and 0 rows"), "{wrong}");
        // All the same is possible.
        assert!(correlated(1, &[0.0; 2], &[vec![1.0; 2], vec![1.0; 2]]).is_ok());
    }
}
