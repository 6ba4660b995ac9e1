//! The linear optics of a ring: tunes, beta functions, dispersion, chromaticity, emittance.
//!
//! Hard edges, sector bends with face angles, quadrupoles and gradients of any strength; sextupoles count where
//! the orbit or the dispersion does not pass their middle. Planes are not coupled. The formulas are those of the
//! textbooks (S. Y. Lee, *Accelerator Physics*; *Handbook of Accelerator Physics and Engineering*, 2.1 and 3.1).

use std::f64::consts::{PI, TAU};

use thiserror::Error;

use crate::lattice::{Element, Kind, Lattice};
use crate::matrix::{Matrix, Solution, Vector};

/// A plane in which the beam moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Plane {
    /// Horizontal.
    X,
    /// Vertical.
    Y,
}

impl Plane {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::X, Self::Y];
}

impl std::fmt::Display for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::X => "horizontal",
            Self::Y => "vertical",
        })
    }
}

/// Why a ring has no optics.
#[derive(Clone, PartialEq, Debug, Error)]
#[non_exhaustive]
pub enum OpticsError {
    /// The beam would be lost within a few turns.
    #[error(
        "the {plane} motion is unstable: half the trace of the matrix of a turn is {half_trace:.4}, and not between \
         -1 and 1; look at the gradients of the quadrupoles"
    )]
    Unstable {
        /// In which plane.
        plane: Plane,
        /// Half the trace of the matrix of a turn.
        half_trace: f64,
    },
    /// There is no closed orbit.
    #[error(
        "there is no {plane} closed orbit: the tune is too near to an integer, or the kicks are too strong"
    )]
    NoOrbit {
        /// In which plane.
        plane: Plane,
    },
    /// A number of the lattice makes no sense.
    #[error("element {place} ({name}): {what} is {value}; give a number that makes sense")]
    Number {
        /// Its place, from 0.
        place: usize,
        /// Its name.
        name: String,
        /// Which of its numbers.
        what: &'static str,
        /// The number.
        value: f64,
    },
    /// There is no ring.
    #[error(
        "the bends make {degrees:.3} degrees of a turn; a ring has 360{}",
        repeat(*degrees)
    )]
    Open {
        /// The sum of the angles.
        degrees: f64,
    },
}

/// What to do about a part of a ring.
fn repeat(degrees: f64) -> String {
    let cells = 360.0 / degrees.abs();
    match cells > 1.5 && (cells - cells.round()).abs() < 1e-2 {
        true => format!(": repeat it {cells:.0} times, `{cells:.0}*(…)`"),
        false => String::new(),
    }
}

/// The optics at one place.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Twiss {
    /// Length from the start in metres.
    pub s: f64,
    /// Beta functions in metres, horizontal and vertical.
    pub beta: [f64; 2],
    /// Alpha functions.
    pub alpha: [f64; 2],
    /// Phase advance from the start in radians.
    pub phase: [f64; 2],
    /// Horizontal dispersion in metres, and its derivative.
    pub dispersion: Vector,
}

/// The optics of a ring.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Optics {
    /// At the entry of each element, and at the end of the last one: one more than there are elements.
    pub at: Vec<Twiss>,
    /// Tunes, horizontal and vertical, with their integer parts.
    pub tune: [f64; 2],
    /// Chromaticities: the change of a tune with the relative momentum.
    pub chromaticity: [f64; 2],
    /// Momentum compaction factor.
    pub compaction: f64,
    /// Natural horizontal emittance of electrons in m rad; NaN without bends or energy.
    pub emittance: f64,
    /// Relative energy spread of electrons.
    pub energy_spread: f64,
    /// Energy that an electron loses in a turn, in eV.
    pub energy_loss: f64,
}

/// A step along the ring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass {
    /// A thin lens: the kicks in 1/m, horizontal and vertical.
    Lens([f64; 2]),
    /// A piece of an element: length, curvature, gradient.
    Body { length: f64, h: f64, k1: f64 },
}

impl Pass {
    pub(crate) fn matrix(self, plane: Plane) -> Matrix {
        match (self, plane) {
            (Self::Lens(kicks), plane) => Matrix::kick(kicks[plane as usize]),
            (Self::Body { length, h, k1 }, Plane::X) => {
                let k = h * h + k1;
                Solution::new(k, length).matrix(k)
            }
            (Self::Body { length, k1, .. }, Plane::Y) => Solution::new(-k1, length).matrix(-k1),
        }
    }

    /// What momentum does to the horizontal plane.
    fn drive(self) -> Vector {
        match self {
            Self::Lens(_) => Vector::default(),
            Self::Body { length, h, k1 } => {
                let solution = Solution::new(h * h + k1, length);
                Vector::new(h * solution.s1, h * solution.s)
            }
        }
    }
}

/// What a beam at some distance of the axis passes in an element.
pub(crate) fn passes(element: &Element, x: f64) -> [Pass; 3] {
    let h = element.curvature();
    let k1 = element.k1() + element.k2() * (x - element.offset_x);
    let [entry, exit] = match element.kind {
        Kind::Bend { edges, fringes, .. } => {
            [0, 1].map(|n| Pass::Lens(face(h, edges[n], fringes[n])))
        }
        _ => [Pass::Lens([0.0; 2]); 2],
    };
    let body = Pass::Body {
        length: element.length,
        h,
        k1,
    };
    [entry, body, exit]
}

/// What the face of a bend does, horizontally and vertically, in 1/m; the fringe is the extent of its field in metres.
fn face(h: f64, edge: f64, fringe: f64) -> [f64; 2] {
    let softer = h * fringe * (1.0 + edge.sin().powi(2)) / edge.cos();
    [h * edge.tan(), -h * (edge - softer).tan()]
}

/// The matrix of a turn, and what momentum does to the horizontal plane.
fn turn(lattice: &Lattice, orbit: &[f64], plane: Plane) -> (Matrix, Vector) {
    let (mut matrix, mut drive) = (Matrix::ONE, Vector::default());
    for (place, element) in lattice.elements.iter().enumerate() {
        for pass in passes(element, at(orbit, place)) {
            let step = pass.matrix(plane);
            matrix = step * matrix;
            drive = step * drive + pass.drive();
        }
    }
    (matrix, drive)
}

fn at(orbit: &[f64], place: usize) -> f64 {
    orbit.get(place).copied().unwrap_or(0.0)
}

/// Beta and alpha of a matrix of a turn.
fn periodic(matrix: &Matrix, plane: Plane) -> Result<(f64, f64), OpticsError> {
    let half_trace = matrix.trace() / 2.0;
    if half_trace.is_nan() || half_trace.abs() >= 1.0 {
        return Err(OpticsError::Unstable { plane, half_trace });
    }
    let [[a, b], [_, d]] = matrix.rows;
    let sine = (1.0 - half_trace * half_trace).sqrt().copysign(b);
    Ok((b / sine, (a - d) / (2.0 * sine)))
}

impl Twiss {
    /// The same one step later.
    fn after(&self, pass: Pass) -> Self {
        let mut next = *self;
        for (n, plane) in Plane::BOTH.into_iter().enumerate() {
            let [[a, b], [c, d]] = pass.matrix(plane).rows;
            let (beta, alpha) = (self.beta[n], self.alpha[n]);
            let gamma = (1.0 + alpha * alpha) / beta;
            next.beta[n] = a * a * beta - 2.0 * a * b * alpha + b * b * gamma;
            next.alpha[n] = -a * c * beta + (a * d + b * c) * alpha - b * d * gamma;
            let advance = b.atan2(a * beta - b * alpha);
            next.phase[n] += if advance < 0.0 {
                advance + TAU
            } else {
                advance
            };
        }
        next.dispersion = pass.matrix(Plane::X) * self.dispersion + pass.drive();
        if let Pass::Body { length, .. } = pass {
            next.s += length;
        }
        next
    }

    fn gamma(&self, n: usize) -> f64 {
        (1.0 + self.alpha[n] * self.alpha[n]) / self.beta[n]
    }
}

/// Pieces of an element in sums over the ring; even, for Simpson's rule.
const PIECES: usize = 16;

/// Sums over the ring.
#[derive(Clone, Copy, Default, Debug)]
struct Sums {
    chromaticity: [f64; 2],
    compaction: f64,
    i2: f64,
    i3: f64,
    i4: f64,
    i5: f64,
}

impl Sums {
    /// Adds an element whose optics are known at its entry, behind the edge.
    fn add(&mut self, element: &Element, k1: f64, entry: &Twiss) {
        let (h, k2) = (element.curvature(), element.k2());
        if element.length <= 0.0 {
            return;
        }
        let length = element.length / PIECES as f64;
        let mut twiss = *entry;
        for piece in 0..=PIECES {
            let weight = match piece {
                0 | PIECES => 1.0,
                odd if odd % 2 == 1 => 4.0,
                _ => 2.0,
            };
            self.add_at(&twiss, (h, k1, k2), weight * length / 3.0);
            twiss = twiss.after(Pass::Body { length, h, k1 });
        }
    }

    fn add_at(&mut self, twiss: &Twiss, (h, k1, k2): (f64, f64, f64), weight: f64) {
        let d = twiss.dispersion;
        let (gx, gy) = (twiss.gamma(0), twiss.gamma(1));
        // What is linear in momentum and quadratic in the motion about the dispersive orbit, of a ring that is large
        // against the beam: that paths beside the axis of a bend are longer is left out, as in pyAT's tracking.
        let x = -gx + k2 * d.x * twiss.beta[0];
        let y = -gy - k2 * d.x * twiss.beta[1];
        self.chromaticity[0] += x * weight;
        self.chromaticity[1] += y * weight;
        self.compaction += h * d.x * weight;
        let invariant =
            gx * d.x * d.x + 2.0 * twiss.alpha[0] * d.x * d.p + twiss.beta[0] * d.p * d.p;
        self.i2 += h * h * weight;
        self.i3 += (h * h * h).abs() * weight;
        self.i4 += d.x * h * (h * h + 2.0 * k1) * weight;
        self.i5 += (h * h * h).abs() * invariant * weight;
    }

    /// The face of a bend.
    fn add_edge(&mut self, element: &Element, edge: f64, twiss: &Twiss) {
        let h = element.curvature();
        self.i4 -= h * h * edge.tan() * twiss.dispersion.x;
    }
}

/// Energy of an electron at rest, in eV.
const ELECTRON: f64 = 510_998.950;
/// 55 ħ / (32 √3 m c) of electrons, in metres.
const CQ: f64 = 3.831_938_641e-13;
/// Energy loss of electrons: m / GeV³.
const C_GAMMA: f64 = 8.846_27e-5;

impl Lattice {
    /// The optics about the axis.
    ///
    /// # Errors
    /// [`OpticsError`]
    pub fn optics(&self) -> Result<Optics, OpticsError> {
        self.optics_about(&[])
    }

    /// The optics about an orbit: its horizontal positions in metres at the middle of each element. Those that
    /// are left out are on the axis.
    ///
    /// # Errors
    /// [`OpticsError`]
    pub fn optics_about(&self, orbit: &[f64]) -> Result<Optics, OpticsError> {
        self.check()?;
        let (x, drive) = turn(self, orbit, Plane::X);
        let (y, _) = turn(self, orbit, Plane::Y);
        let (bx, ax) = periodic(&x, Plane::X)?;
        let (by, ay) = periodic(&y, Plane::Y)?;
        let dispersion = x
            .fixed_point(drive)
            .ok_or(OpticsError::NoOrbit { plane: Plane::X })?;
        let mut twiss = Twiss {
            s: 0.0,
            beta: [bx, by],
            alpha: [ax, ay],
            phase: [0.0; 2],
            dispersion,
        };
        let mut at = Vec::with_capacity(self.elements.len() + 1);
        let mut sums = Sums::default();
        for (place, element) in self.elements.iter().enumerate() {
            at.push(twiss);
            let [entry, body, exit] = passes(element, self::at(orbit, place));
            twiss = twiss.after(entry);
            if let (Kind::Bend { edges, .. }, Pass::Body { k1, .. }) = (element.kind, body) {
                sums.add_edge(element, edges[0], &twiss);
                sums.add(element, k1, &twiss);
                twiss = twiss.after(body);
                sums.add_edge(element, edges[1], &twiss);
            } else if let Pass::Body { k1, .. } = body {
                sums.add(element, k1, &twiss);
                twiss = twiss.after(body);
            }
            twiss = twiss.after(exit);
        }
        at.push(twiss);
        Ok(self.summed(at, &sums))
    }

    fn summed(&self, at: Vec<Twiss>, sums: &Sums) -> Optics {
        let phase = at.last().map_or([0.0; 2], |twiss| twiss.phase);
        let gamma = self.energy / ELECTRON;
        let partition = 1.0 - sums.i4 / sums.i2;
        Optics {
            tune: phase.map(|phase| phase / TAU),
            chromaticity: sums.chromaticity.map(|sum| sum / (4.0 * PI)),
            compaction: sums.compaction / self.circumference(),
            emittance: CQ * gamma * gamma * sums.i5 / (partition * sums.i2),
            energy_spread: (CQ * gamma * gamma * sums.i3 / (2.0 * sums.i2 + sums.i4)).sqrt(),
            energy_loss: C_GAMMA * (self.energy * 1e-9).powi(4) * sums.i2 / TAU * 1e9,
            at,
        }
    }

    /// Whether the bends make a whole turn. Optics are those of any line that is repeated for ever, a cell of a
    /// ring, say; a machine needs the whole ring.
    ///
    /// # Errors
    /// [`OpticsError::Open`]
    pub fn check_turn(&self) -> Result<(), OpticsError> {
        let angles = self.elements.iter().map(|element| match element.kind {
            Kind::Bend { angle, .. } => angle,
            _ => 0.0,
        });
        let turned: f64 = angles.sum();
        // A line of quadrupoles alone is a ring of no radius, as textbooks have it.
        match turned == 0.0 || (turned.abs() - TAU).abs() < 1e-3 {
            true => Ok(()),
            false => Err(OpticsError::Open {
                degrees: turned.to_degrees(),
            }),
        }
    }

    /// Numbers that cannot be those of a ring.
    pub(crate) fn check(&self) -> Result<(), OpticsError> {
        for (place, element) in self.elements.iter().enumerate() {
            let wrong = |what, value| OpticsError::Number {
                place,
                name: element.name.clone(),
                what,
                value,
            };
            if !(element.length >= 0.0 && element.length.is_finite()) {
                return Err(wrong("the length", element.length));
            }
            let numbers: &[(&'static str, f64)] = match &element.kind {
                Kind::Bend {
                    angle,
                    k1,
                    edges,
                    fringes,
                } => {
                    if element.length == 0.0 && *angle != 0.0 {
                        return Err(wrong("the length of a bend", 0.0));
                    }
                    &[
                        ("the angle", *angle),
                        ("k1", *k1),
                        ("the entry angle", edges[0]),
                        ("the exit angle", edges[1]),
                        ("the fringe field at the entry", fringes[0]),
                        ("the fringe field at the exit", fringes[1]),
                    ]
                }
                Kind::Quadrupole { k1 } => &[("k1", *k1)],
                Kind::Sextupole { k2 } => &[("k2", *k2)],
                Kind::Corrector { kick_x, kick_y } => &[
                    ("the horizontal kick", *kick_x),
                    ("the vertical kick", *kick_y),
                ],
                _ => &[],
            };
            let offsets = [
                ("the horizontal offset", element.offset_x),
                ("the vertical offset", element.offset_y),
            ];
            if let Some(&(what, value)) = numbers
                .iter()
                .chain(&offsets)
                .find(|(_, number)| !number.is_finite())
            {
                return Err(wrong(what, value));
            }
        }
        Ok(())
    }
}
