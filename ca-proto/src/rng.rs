//! Seeded random numbers: the same seed and the same inputs give the same bytes on the wire.

/// The PCG32 generator (O'Neill 2014, XSH-RR variant). Not for cryptography.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pcg32 {
    state: u64,
}

impl Pcg32 {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    /// Any odd number selects a stream; this is the one of the published reference.
    const INCREMENT: u64 = 1_442_695_040_888_963_407;

    /// A generator whose whole sequence follows from `seed`.
    pub const fn new(seed: u64) -> Self {
        let state = seed
            .wrapping_add(Self::INCREMENT)
            .wrapping_mul(Self::MULTIPLIER)
            .wrapping_add(Self::INCREMENT);
        Self { state }
    }

    /// The generator that goes on where another one [stood](Self::state).
    pub const fn from_state(state: u64) -> Self {
        Self { state }
    }

    /// Where it stands in its sequence.
    pub const fn state(&self) -> u64 {
        self.state
    }

    /// The next number, uniform over all values.
    pub const fn next_u32(&mut self) -> u32 {
        let state = self.state;
        self.state = state
            .wrapping_mul(Self::MULTIPLIER)
            .wrapping_add(Self::INCREMENT);
        // The low 32 bits of the mixed state, rotated by its five top bits.
        let mixed = (((state >> 18) ^ state) >> 27) as u32;
        mixed.rotate_right((state >> 59) as u32)
    }

    /// The next number, uniform over all values.
    pub const fn next_u64(&mut self) -> u64 {
        (self.next_u32() as u64) << 32 | self.next_u32() as u64
    }

    /// A number below `n`, each with the same chance up to 2^-32; 0 for `n` = 0.
    pub const fn below(&mut self, n: u32) -> u32 {
        ((self.next_u32() as u64 * n as u64) >> 32) as u32
    }

    /// True with probability `p`; never for `p` <= 0 or NaN, always for `p` >= 1.
    pub fn chance(&mut self, p: f64) -> bool {
        self.f64() < p
    }

    /// A number in 0.0..1.0, a multiple of 2^-53.
    pub const fn f64(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_determines_the_sequence() {
        let (mut a, mut b) = (Pcg32::new(7), Pcg32::new(7));
        assert!((0..100).all(|_| a.next_u32() == b.next_u32()));
        assert_ne!(Pcg32::new(7).next_u64(), Pcg32::new(8).next_u64());
    }

    #[test]
    fn numbers_match_the_published_generator() {
        // The first outputs of the algorithm with seed 42 and the default stream, by independent
        // arithmetic.
        let mut rng = Pcg32::new(42);
        let first = [rng.next_u32(), rng.next_u32(), rng.next_u32()];
        assert_eq!(first, EXPECTED);
    }

    #[test]
    fn below_covers_its_range_evenly() {
        let mut rng = Pcg32::new(1);
        let mut counts = [0u32; 6];
        for _ in 0..6_000 {
            counts[rng.below(6) as usize] += 1;
        }
        assert!(
            counts.iter().all(|&n| (850..1150).contains(&n)),
            "{counts:?}"
        );
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.below(1), 0);
    }

    #[test]
    fn chance_follows_its_probability() {
        let mut rng = Pcg32::new(2);
        assert!(!(0..1_000).any(|_| rng.chance(0.0) || rng.chance(f64::NAN)));
        assert!((0..1_000).all(|_| rng.chance(1.0)));
        let hits = (0..10_000).filter(|_| rng.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits}");
    }

    #[test]
    fn reals_stay_below_one() {
        let mut rng = Pcg32::new(3);
        let mut sum = 0.0;
        for _ in 0..10_000 {
            let x = rng.f64();
            assert!((0.0..1.0).contains(&x));
            sum += x;
        }
        assert!((4_800.0..5_200.0).contains(&sum));
    }

    const EXPECTED: [u32; 3] = [3270867926, 1795671209, 1924641435];
}
