//! What a ring remembers from step to step, as bytes for snapshots.

use std::time::Duration;

use fastrand::Rng;

use crate::machine::Machine;

/// What the bytes begin with: their form, of which no other is read.
const VERSION: u8 = 1;

/// All of it beside the lattice and the options.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Memory {
    /// The numbers that follow.
    pub random: u64,
    pub last: Duration,
    pub current: f64,
    pub stretch: f64,
    pub wander: [Vec<f64>; 2],
    /// Set-points of the optics; none before they were ever another than those of the design.
    pub optics: Vec<f64>,
}

impl Machine {
    /// What decides, with set-points and time, what the next steps give: where the orbit has walked to, the current,
    /// the random numbers, and for which strengths the optics hold. It fits a machine of the same lattice and options.
    ///
    /// # Examples
    /// ```
    /// # use std::time::Duration;
    /// # use ca_ring::{Machine, Options};
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut ring = Machine::standard(Options { housekeeping: 0, ..Options::default() })?;
    /// let set: Vec<f64> = ring.set_points().iter().map(|q| q.value).collect();
    /// let mut read = vec![0.0; ring.read_backs().len()];
    /// let before = ring.save();
    /// ring.step(Duration::from_secs(1), &set, &mut read)?;
    /// let first = read.clone();
    /// ring.restore(&before)?;
    /// ring.step(Duration::from_secs(1), &set, &mut read)?;
    /// assert_eq!(read, first);
    /// # Ok(())
    /// # }
    /// ```
    pub fn save(&self) -> Vec<u8> {
        let memory = self.memory();
        let (monitors, elements) = self.size();
        let mut bytes = vec![VERSION];
        let mut number = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
        number(self.options().seed);
        number(monitors as u64);
        number(elements as u64);
        number(memory.random);
        number(memory.last.as_secs());
        number(memory.last.subsec_nanos().into());
        number(memory.current.to_bits());
        number(memory.stretch.to_bits());
        for list in [&memory.wander[0], &memory.wander[1], &memory.optics] {
            number(list.len() as u64);
            list.iter().for_each(|value| number(value.to_bits()));
        }
        bytes
    }

    /// Goes back to what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// In words, why that is no state of this machine, which has not changed then.
    pub fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        let (&version, rest) = state.split_first().ok_or("its state is empty")?;
        if version != VERSION {
            return Err(format!(
                "its state has version {version}, and this program reads version {VERSION}"
            ));
        }
        let mut numbers = Numbers(rest);
        let (monitors, elements) = self.size();
        let here = [self.options().seed, monitors as u64, elements as u64];
        let there = [numbers.next()?, numbers.next()?, numbers.next()?];
        if here != there {
            let shown = |[seed, monitors, elements]: [u64; 3]| {
                format!("seed {seed}, {monitors} monitors and {elements} elements")
            };
            let (here, there) = (shown(here), shown(there));
            return Err(format!(
                "its state is of a ring with {there}; this has {here}"
            ));
        }
        let random = numbers.next()?;
        let (seconds, nanos) = (numbers.next()?, numbers.next()?);
        let nanos = u32::try_from(nanos)
            .ok()
            .filter(|&nanos| nanos < 1_000_000_000);
        let memory = Memory {
            random,
            last: Duration::new(seconds, nanos.ok_or_else(meaningless)?),
            current: numbers.finite()?,
            stretch: numbers.finite()?,
            wander: [numbers.list()?, numbers.list()?],
            optics: numbers.list()?,
        };
        match numbers.0.is_empty() {
            true => self.remember(memory),
            false => Err(meaningless()),
        }
    }
}

fn meaningless() -> String {
    "its state has no meaning".to_owned()
}

struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    fn next(&mut self) -> Result<u64, String> {
        let (number, rest) = self.0.split_first_chunk().ok_or_else(meaningless)?;
        self.0 = rest;
        Ok(u64::from_le_bytes(*number))
    }

    fn finite(&mut self) -> Result<f64, String> {
        let number = f64::from_bits(self.next()?);
        number.is_finite().then_some(number).ok_or_else(meaningless)
    }

    fn list(&mut self) -> Result<Vec<f64>, String> {
        let length = usize::try_from(self.next()?).unwrap_or(usize::MAX);
        if length > self.0.len() / 8 {
            return Err(meaningless());
        }
        (0..length).map(|_| self.finite()).collect()
    }
}

/// Random numbers that go on from there.
pub(crate) fn random(state: u64) -> Rng {
    Rng::with_seed(state)
}
