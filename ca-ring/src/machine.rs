//! A ring that is operated: power supplies, monitors, drift and noise, as vectors of set-points and read-backs.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use thiserror::Error;

use crate::lattice::{Kind, Lattice};
use crate::memory::{Memory, random};
use crate::optics::{Optics, OpticsError, Plane};
use crate::orbit::Response;
use crate::parse::ParseError;

/// The lattice of a ring of 60 cells, for those who have none of their own.
pub const DEFAULT_LATTICE: &str = include_str!("default.lat");

/// How a ring is operated.
#[derive(Clone, PartialEq, Debug)]
pub struct Options {
    /// Of everything random.
    pub seed: u64,
    /// Root mean square of the noise of a monitor, in metres.
    pub noise: f64,
    /// Root mean square of the offsets of quadrupoles, in metres.
    pub misalignment: f64,
    /// How far the orbit walks in a second, in metres at a beta function of 1 m, times 1/√s.
    pub drift: f64,
    /// Lifetime of the beam.
    pub lifetime: Duration,
    /// Without it read-backs follow set-points and nothing else.
    pub physics: bool,
    /// Read-backs of each supply and monitor that have nothing to do with the beam: temperatures, flows,
    /// voltages.
    pub housekeeping: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            noise: 0.3e-6,
            misalignment: 30e-6,
            drift: 0.01e-6,
            lifetime: Duration::from_secs(10 * 3600),
            physics: true,
            housekeeping: 100,
        }
    }
}

/// Why a ring cannot be operated.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum MachineError {
    /// Its lattice cannot be read.
    #[error(transparent)]
    Lattice(#[from] ParseError),
    /// Its optics are impossible.
    #[error(transparent)]
    Optics(#[from] OpticsError),
    /// There is nothing to see or to steer.
    #[error(
        "the lattice has {monitors} monitors and {correctors} correctors; a ring that is operated has both"
    )]
    Blind {
        /// Number of monitors.
        monitors: usize,
        /// Number of correctors.
        correctors: usize,
    },
}

/// A number that is set or read.
#[derive(Clone, PartialEq, Debug)]
pub struct Quantity {
    /// Its name as a PV.
    pub name: String,
    /// What it is.
    pub description: &'static str,
    /// Its units.
    pub units: &'static str,
    /// Digits behind the point that matter.
    pub precision: i16,
    /// Its value at the beginning.
    pub value: f64,
    /// What it may be set to.
    pub limits: (f64, f64),
}

/// A part of the read-backs that belongs together, as an array PV.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name as a PV.
    pub name: &'static str,
    /// What it is.
    pub description: &'static str,
    /// Its units.
    pub units: &'static str,
    /// Which read-backs.
    pub range: Range<usize>,
}

/// Amperes of a supply at its limit.
const FULL: f64 = 10.0;
/// Kick of a corrector in radians per ampere.
const KICK: f64 = 1e-4;
/// Relative change of the circumference for a kick of one radian of the drift: tides and temperatures.
const STRETCH: f64 = 0.2;
/// Beam current at the beginning, in mA.
const CURRENT: f64 = 400.0;

/// What a supply drives.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Drives {
    /// The kick of the corrector with this number.
    Kick(Plane, usize),
    /// The strength of an element, which is this at the nominal current.
    Strength { place: usize, nominal: f64 },
}

#[derive(Clone, Copy, Debug)]
struct Supply {
    drives: Drives,
    nominal: f64,
}

/// A ring with its supplies and monitors.
///
/// Set-points are first those of horizontal correctors, then of vertical ones, of quadrupoles and sextupoles, last
/// the radio frequency. Read-backs are first the horizontal orbit, then the vertical one, then tunes, current and
/// energy, then those of each supply.
#[derive(Debug)]
pub struct Machine {
    options: Options,
    design: Lattice,
    /// As it is with the present currents.
    present: Lattice,
    optics: Optics,
    response: [Response; 2],
    /// The orbit without correctors.
    bare: [Vec<f64>; 2],
    /// What moves the orbit by and by: a kick at each corrector.
    wander: [Vec<f64>; 2],
    monitors: Vec<usize>,
    correctors: Vec<usize>,
    supplies: Vec<Supply>,
    /// Set-points of the optics for which response and orbit hold.
    computed_for: Vec<f64>,
    rng: Rng,
    last: Duration,
    current: f64,
    /// Relative change of the circumference since the beginning.
    stretch: f64,
    set: Vec<Quantity>,
    read: Vec<Quantity>,
    groups: Vec<Group>,
}

impl Machine {
    /// A ring with this lattice.
    ///
    /// # Errors
    /// [`MachineError`]
    pub fn new(lattice: Lattice, options: Options) -> Result<Self, MachineError> {
        let (monitors, correctors) = (lattice.monitors(), lattice.correctors());
        if monitors.is_empty() || correctors.is_empty() {
            return Err(MachineError::Blind {
                monitors: monitors.len(),
                correctors: correctors.len(),
            });
        }
        lattice.check_turn()?;
        let mut rng = Rng::with_seed(options.seed);
        let mut present = lattice.clone();
        for element in &mut present.elements {
            if let Kind::Quadrupole { .. } = element.kind {
                element.offset_x = options.misalignment * gauss(&mut rng);
                element.offset_y = options.misalignment * gauss(&mut rng);
            }
        }
        let kicks = || vec![0.0; correctors.len()];
        let mut this = Self {
            optics: lattice.optics()?,
            response: [Plane::X, Plane::Y].map(|_| Response {
                values: Vec::new(),
                correctors: 0,
            }),
            bare: Default::default(),
            wander: [kicks(), kicks()],
            supplies: supplies(&lattice, &correctors),
            design: lattice,
            present,
            monitors,
            correctors,
            computed_for: Vec::new(),
            rng,
            last: Duration::ZERO,
            current: CURRENT,
            stretch: 0.0,
            set: Vec::new(),
            read: Vec::new(),
            groups: Vec::new(),
            options,
        };
        this.compute()?;
        this.name_everything();
        Ok(this)
    }

    /// The ring of [`DEFAULT_LATTICE`].
    ///
    /// # Errors
    /// [`MachineError`]
    pub fn standard(options: Options) -> Result<Self, MachineError> {
        Self::new(Lattice::parse(DEFAULT_LATTICE)?, options)
    }

    /// How it is operated.
    pub const fn options(&self) -> &Options {
        &self.options
    }

    /// What can be set.
    pub fn set_points(&self) -> &[Quantity] {
        &self.set
    }

    /// What can be read.
    pub fn read_backs(&self) -> &[Quantity] {
        &self.read
    }

    /// Read-backs that belong together.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The optics with the present currents.
    pub const fn optics(&self) -> &Optics {
        &self.optics
    }

    /// The lattice as it was designed.
    pub const fn design(&self) -> &Lattice {
        &self.design
    }

    /// The lattice as it is: with misalignments, and with the present strengths.
    pub const fn present(&self) -> &Lattice {
        &self.present
    }

    /// Places of the monitors, in the order of the orbit.
    pub fn monitors(&self) -> &[usize] {
        &self.monitors
    }

    /// Names of the set-points of quadrupoles that focus horizontally or do not, or of sextupoles.
    #[cfg(feature = "ioc")]
    pub(crate) fn magnets(&self, focusing: Option<bool>) -> Vec<&str> {
        let wanted = |supply: &Supply| {
            let Drives::Strength { place, .. } = supply.drives else {
                return false;
            };
            let kind = self.design.elements.get(place).map(|element| element.kind);
            match kind {
                Some(Kind::Quadrupole { k1 }) => focusing == Some(k1 > 0.0),
                Some(Kind::Sextupole { .. }) => focusing.is_none(),
                _ => false,
            }
        };
        let pairs = self.supplies.iter().zip(&self.set);
        let found = pairs.filter(|(supply, _)| wanted(supply));
        found.map(|(_, set)| set.name.as_str()).collect()
    }

    /// Monitors and elements.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.monitors.len(), self.design.elements.len())
    }

    pub(crate) fn memory(&self) -> Memory {
        Memory {
            random: self.rng.get_seed(),
            last: self.last,
            current: self.current,
            stretch: self.stretch,
            wander: self.wander.clone(),
            optics: self.computed_for.clone(),
        }
    }

    /// Takes over what it remembered, or says in words why not; nothing has changed then.
    pub(crate) fn remember(&mut self, memory: Memory) -> Result<(), String> {
        let fits = memory.wander.iter().zip(&self.wander);
        let optical = self.supplies.len() - self.first_optical();
        if !fits.into_iter().all(|(new, old)| new.len() == old.len())
            || !(memory.optics.is_empty() || memory.optics.len() == optical)
        {
            return Err("its state is of a ring with other supplies".to_owned());
        }
        if memory.optics != self.computed_for {
            let (present, optics) = (self.present.clone(), self.computed_for.clone());
            match memory.optics.is_empty() {
                true => {
                    let elements = self.present.elements.iter_mut();
                    for (element, design) in elements.zip(&self.design.elements) {
                        element.kind = design.kind;
                    }
                }
                false => self.strengthen(&memory.optics),
            }
            if let Err(error) = self.compute() {
                self.present = present;
                // They were those of this lattice, or of one that has no optics either.
                let _ = self.compute();
                self.computed_for = optics;
                return Err(error.to_string());
            }
        }
        let Memory {
            random: state,
            last,
            current,
            stretch,
            wander,
            optics,
        } = memory;
        self.rng = random(state);
        (self.last, self.current, self.stretch) = (last, current, stretch);
        (self.wander, self.computed_for) = (wander, optics);
        Ok(())
    }

    /// The first of the supplies that change the optics; those of correctors come before.
    fn first_optical(&self) -> usize {
        let optical = |supply: &&Supply| matches!(supply.drives, Drives::Strength { .. });
        self.supplies.iter().take_while(|s| !optical(s)).count()
    }

    /// Optics, response and orbit with the present strengths.
    fn compute(&mut self) -> Result<(), OpticsError> {
        let orbit = self.present.orbit(0.0)?;
        let about: Vec<f64> = orbit.x.iter().map(|at| at.x).collect();
        self.optics = self.present.optics_about(&about)?;
        for (n, plane) in Plane::BOTH.into_iter().enumerate() {
            self.response[n] =
                self.present
                    .response_about(&about, plane, &self.monitors, &self.correctors)?;
            let orbit = if n == 0 { &orbit.x } else { &orbit.y };
            let at = self.monitors.iter().filter_map(|&place| {
                let (at, monitor) = (orbit.get(place)?, self.present.elements.get(place)?);
                // A monitor measures in its middle.
                Some(at.x + monitor.length / 2.0 * at.p)
            });
            self.bare[n] = at.collect();
        }
        Ok(())
    }

    /// A step at `t`: read-backs from set-points, in the orders of [`set_points`](Self::set_points) and
    /// [`read_backs`](Self::read_backs).
    ///
    /// # Errors
    /// In words, why there is no beam: it comes back with set-points that make a ring.
    pub fn step(&mut self, t: Duration, set: &[f64], read: &mut [f64]) -> Result<(), String> {
        if set.len() != self.set.len() || read.len() != self.read.len() {
            return Err(format!(
                "{} set-points and {} read-backs are expected, not {} and {}",
                self.set.len(),
                self.read.len(),
                set.len(),
                read.len()
            ));
        }
        let passed = t.saturating_sub(self.last).as_secs_f64();
        self.last = t;
        if self.options.physics {
            self.follow(set).map_err(|error| error.to_string())?;
        }
        self.beam(passed, set, read);
        self.house(set, read);
        Ok(())
    }

    /// Follows what changes the optics.
    fn follow(&mut self, set: &[f64]) -> Result<(), OpticsError> {
        let first = self.first_optical();
        let strengths = set.get(first..self.supplies.len()).unwrap_or_default();
        if strengths == self.computed_for {
            return Ok(());
        }
        self.strengthen(strengths);
        self.compute()?;
        self.computed_for = strengths.to_vec();
        Ok(())
    }

    /// Gives magnets the strengths of these set-points.
    fn strengthen(&mut self, strengths: &[f64]) {
        let first = self.first_optical();
        for (supply, amperes) in self.supplies.iter().skip(first).zip(strengths) {
            let Drives::Strength { place, nominal } = supply.drives else {
                continue;
            };
            let strength = nominal * amperes / supply.nominal;
            if let Some(element) = self.present.elements.get_mut(place) {
                match &mut element.kind {
                    Kind::Quadrupole { k1 } => *k1 = strength,
                    Kind::Sextupole { k2 } => *k2 = strength,
                    _ => {}
                }
            }
        }
    }

    fn beam(&mut self, passed: f64, set: &[f64], read: &mut [f64]) {
        let (monitors, correctors) = (self.monitors.len(), self.correctors.len());
        self.current *= (-passed / self.options.lifetime.as_secs_f64()).exp();
        let frequency = set.last().copied().unwrap_or(0.0);
        let nominal = self.set.last().map_or(frequency, |q| q.value);
        let delta = match frequency > 0.0 && nominal > 0.0 {
            true => {
                let changed = (frequency - nominal) / nominal;
                -(changed + self.stretch) / self.optics.compaction
            }
            false => 0.0,
        };
        let walk = self.options.drift * passed.sqrt();
        self.stretch += STRETCH * walk * gauss(&mut self.rng);
        for n in 0..2 {
            let orbit = read.get_mut(n * monitors..(n + 1) * monitors);
            let Some(orbit) = orbit else { continue };
            if !self.options.physics {
                orbit.fill(0.0);
                continue;
            }
            orbit.copy_from_slice(&self.bare[n]);
            let mut kicks = set
                .get(n * correctors..(n + 1) * correctors)
                .unwrap_or_default()
                .iter()
                .map(|amperes| amperes * KICK)
                .collect::<Vec<_>>();
            for (kick, wander) in kicks.iter_mut().zip(&mut self.wander[n]) {
                *wander += walk * gauss(&mut self.rng);
                *kick += *wander;
            }
            self.response[n].add(&kicks, orbit);
            for (position, &place) in orbit.iter_mut().zip(&self.monitors) {
                let dispersion = self.optics.at.get(place).map_or(0.0, |at| at.dispersion.x);
                *position += if n == 0 { delta * dispersion } else { 0.0 };
                *position = (*position + self.options.noise * gauss(&mut self.rng)) * 1e3;
            }
        }
        let tune = self.optics.tune.map(f64::fract);
        let slope = self.optics.chromaticity;
        let beam = [
            tune[0] + slope[0] * delta + 1e-5 * gauss(&mut self.rng),
            tune[1] + slope[1] * delta + 1e-5 * gauss(&mut self.rng),
            self.current + 0.01 * gauss(&mut self.rng),
            self.options.lifetime.as_secs_f64() / 3600.0,
            delta * 100.0,
        ];
        for (read, value) in read.iter_mut().skip(2 * monitors).zip(beam) {
            *read = value;
        }
    }

    /// Supplies and their surroundings.
    fn house(&mut self, set: &[f64], read: &mut [f64]) {
        let first = 2 * self.monitors.len() + BEAM.len();
        let (supplies, rest) = read.split_at_mut(first).1.split_at_mut(self.supplies.len());
        for (read, amperes) in supplies.iter_mut().zip(set) {
            *read = amperes + 1e-5 * gauss(&mut self.rng);
        }
        let begin = first + self.supplies.len();
        for (read, quantity) in rest.iter_mut().zip(self.read.iter().skip(begin)) {
            let noise = self.rng.f64() - 0.5;
            *read = quantity.value * (1.0 + 0.002 * noise);
        }
    }

    fn name_everything(&mut self) {
        let cell = |place: usize, all: &[usize]| all.partition_point(|&other| other < place) + 1;
        let mut read = Vec::new();
        for axis in ["X", "Y"] {
            for n in 0..self.monitors.len() {
                let name = format!("ARIDI-BPM-{:03}:{axis}", n + 1);
                read.push(quantity(name, "beam position", "mm", 4));
            }
        }
        for (name, description, units, precision) in BEAM {
            read.push(quantity(name.to_owned(), description, units, precision));
        }
        let mut set = Vec::new();
        let mut devices = Vec::new();
        for supply in &self.supplies {
            let device = match supply.drives {
                Drives::Kick(Plane::X, n) => format!("ARIMA-CH-{:03}", n + 1),
                Drives::Kick(Plane::Y, n) => format!("ARIMA-CV-{:03}", n + 1),
                Drives::Strength { place, .. } => {
                    let element = self.design.elements.get(place);
                    let name = element.map_or(String::new(), |e| e.name.to_uppercase());
                    let like = self.design.places(|e| e.name.eq_ignore_ascii_case(&name));
                    format!("ARIMA-{name}-{:03}", cell(place, &like))
                }
            };
            let mut current = quantity(format!("{device}:I-SET"), "current", "A", 4);
            (current.value, current.limits) = (supply.nominal, (-FULL, FULL));
            set.push(current);
            let mut current = quantity(format!("{device}:I-READ"), "current", "A", 4);
            current.value = supply.nominal;
            read.push(current);
            devices.push(device);
        }
        devices.extend((1..=self.monitors.len()).map(|n| format!("ARIDI-BPM-{n:03}")));
        for device in devices {
            for n in 0..self.options.housekeeping {
                read.push(housekeeping(&device, n));
            }
        }
        set.push(self.frequency());
        let bpms = self.monitors.len();
        let group = |name, description, units, range| Group {
            name,
            description,
            units,
            range,
        };
        self.groups = vec![
            group("ARIDI-ORBIT:X", "horizontal orbit", "mm", 0..bpms),
            group("ARIDI-ORBIT:Y", "vertical orbit", "mm", bpms..2 * bpms),
        ];
        (self.set, self.read) = (set, read);
    }

    fn frequency(&self) -> Quantity {
        let hertz = self.design.elements.iter().find_map(|e| match e.kind {
            Kind::Cavity { frequency, .. } => Some(frequency),
            _ => None,
        });
        let hertz = hertz.unwrap_or(500e6);
        let name = "ARIRF-MASTER:FREQ".to_owned();
        let mut frequency = quantity(name, "radio frequency", "Hz", 1);
        frequency.value = hertz;
        frequency.limits = (hertz - 1e5, hertz + 1e5);
        frequency
    }
}

/// What is read of the beam beside its orbit.
const BEAM: [(&str, &str, &str, i16); 5] = [
    (
        "ARIDI-TUNE:X",
        "horizontal tune, without its integer",
        "",
        5,
    ),
    ("ARIDI-TUNE:Y", "vertical tune, without its integer", "", 5),
    ("ARIDI-PCT:CURRENT", "beam current", "mA", 3),
    ("ARIDI-PCT:TAU-HOUR", "lifetime", "h", 2),
    ("ARIDI-ENERGY:DEVIATION", "deviation of the energy", "%", 4),
];

fn supplies(lattice: &Lattice, correctors: &[usize]) -> Vec<Supply> {
    let mut supplies = Vec::new();
    for plane in Plane::BOTH {
        for n in 0..correctors.len() {
            let drives = Drives::Kick(plane, n);
            let nominal = 0.0;
            supplies.push(Supply { drives, nominal });
        }
    }
    for (place, element) in lattice.elements.iter().enumerate() {
        let nominal = match element.kind {
            Kind::Quadrupole { k1 } => k1,
            Kind::Sextupole { k2 } => k2,
            _ => continue,
        };
        let drives = Drives::Strength { place, nominal };
        let nominal = FULL / 2.0;
        supplies.push(Supply { drives, nominal });
    }
    supplies
}

fn quantity(
    name: String,
    description: &'static str,
    units: &'static str,
    precision: i16,
) -> Quantity {
    Quantity {
        name,
        description,
        units,
        precision,
        value: 0.0,
        limits: (f64::NAN, f64::NAN),
    }
}

/// The `n`th read-back of a device's surroundings.
fn housekeeping(device: &str, n: usize) -> Quantity {
    const KINDS: [(&str, &str, &str, i16, f64); 5] = [
        ("TEMP", "temperature", "C", 2, 31.0),
        ("V", "voltage", "V", 3, 24.0),
        ("FLOW", "flow of cooling water", "l/min", 2, 4.5),
        ("I-DC", "current of the supply", "A", 3, 1.2),
        ("RIPPLE", "ripple", "mA", 3, 0.4),
    ];
    let (name, description, units, precision, value) = KINDS[n % KINDS.len()];
    let name = format!("{device}:{name}-{:02}", n / KINDS.len() + 1);
    let mut quantity = quantity(name, description, units, precision);
    quantity.value = value;
    quantity
}

/// A normal random number.
fn gauss(rng: &mut Rng) -> f64 {
    // The sum of twelve uniform ones has variance 1, and no tails that would frighten an operator.
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}
