//! The closed orbit, and what correctors do to it.

use crate::lattice::{Element, Kind, Lattice};
use crate::matrix::{Matrix, Vector};
use crate::optics::{OpticsError, Pass, Plane, passes};

/// The closed orbit.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Orbit {
    /// Horizontal position and angle at the entry of each element, and at the end of the last one.
    pub x: Vec<Vector>,
    /// Vertical position and angle, as `x`.
    pub y: Vec<Vector>,
}

/// Times that a closed orbit with sextupoles is bettered, at most.
const ROUNDS: usize = 30;
/// Metres and radians within which a closed orbit closes.
const CLOSED: f64 = 1e-13;
/// An orbit beyond this, in metres, hits the chamber.
const CHAMBER: f64 = 0.5;

/// A particle at a place.
#[derive(Clone, Copy, Debug)]
struct Particle {
    x: Vector,
    y: Vector,
}

/// The kick of a thin sextupole.
fn sextupole(at: &mut Particle, strength: f64) {
    let (x, y) = (at.x.x, at.y.x);
    at.x.p -= strength / 2.0 * (x * x - y * y);
    at.y.p += strength * x * y;
}

/// One element, with the momentum deviation `delta`.
fn through(element: &Element, mut at: Particle, delta: f64) -> Particle {
    let place = Particle {
        x: Vector::new(element.offset_x, 0.0),
        y: Vector::new(element.offset_y, 0.0),
    };
    at.x = at.x - place.x;
    at.y = at.y - place.y;
    match element.kind {
        Kind::Corrector { kick_x, kick_y } => {
            // In the middle.
            drift(&mut at, element.length / 2.0);
            at.x.p += kick_x;
            at.y.p += kick_y;
            drift(&mut at, element.length / 2.0);
        }
        Kind::Sextupole { k2 } => {
            drift(&mut at, element.length / 2.0);
            sextupole(&mut at, k2 * element.length);
            drift(&mut at, element.length / 2.0);
        }
        _ => {
            // The axis of an element that bends moves with it, but not where the beam would go by itself.
            for pass in passes(element, element.offset_x) {
                at.x = pass.matrix(Plane::X) * at.x + drive(pass) * delta;
                at.y = pass.matrix(Plane::Y) * at.y;
            }
        }
    }
    at.x = at.x + place.x;
    at.y = at.y + place.y;
    at
}

fn drive(pass: Pass) -> Vector {
    match pass {
        Pass::Lens(_) => Vector::default(),
        Pass::Body { length, h, k1 } => {
            let solution = crate::matrix::Solution::new(h * h + k1, length);
            Vector::new(h * solution.s1, h * solution.s)
        }
    }
}

fn drift(at: &mut Particle, length: f64) {
    at.x.x += length * at.x.p;
    at.y.x += length * at.y.p;
}

impl Lattice {
    /// The closed orbit of a particle with a relative momentum deviation, sextupoles included.
    ///
    /// # Errors
    /// [`OpticsError`]: no orbit closes.
    pub fn orbit(&self, delta: f64) -> Result<Orbit, OpticsError> {
        self.check()?;
        let turns = [self.turn(Plane::X), self.turn(Plane::Y)];
        let mut at = Particle {
            x: Vector::default(),
            y: Vector::default(),
        };
        for _ in 0..ROUNDS {
            let end = self.elements.iter().fold(at, |at, e| through(e, at, delta));
            let missed = [end.x - at.x, end.y - at.y];
            // Where a linear ring would close.
            let [dx, dy] = [Plane::X, Plane::Y].map(|plane| {
                let n = plane as usize;
                let step = turns[n].fixed_point(missed[n]);
                step.ok_or(OpticsError::NoOrbit { plane })
            });
            let (dx, dy) = (dx?, dy?);
            at.x = at.x + dx;
            at.y = at.y + dy;
            for (plane, v) in [(Plane::X, at.x), (Plane::Y, at.y)] {
                if !(v.x.abs() < CHAMBER && v.p.abs() < CHAMBER) {
                    return Err(OpticsError::NoOrbit { plane });
                }
            }
            if [dx.x, dx.p, dy.x, dy.p].iter().all(|d| d.abs() < CLOSED) {
                break;
            }
        }
        let mut orbit = Orbit::default();
        for element in &self.elements {
            orbit.x.push(at.x);
            orbit.y.push(at.y);
            at = through(element, at, delta);
        }
        orbit.x.push(at.x);
        orbit.y.push(at.y);
        Ok(orbit)
    }

    fn turn(&self, plane: Plane) -> Matrix {
        self.elements.iter().fold(Matrix::ONE, |turn, element| {
            let passes = passes(element, element.offset_x);
            passes
                .iter()
                .fold(turn, |turn, pass| pass.matrix(plane) * turn)
        })
    }
}

/// What correctors do to the orbit at monitors: rows are monitors, columns correctors, in metres per radian, of
/// one plane.
#[derive(Clone, PartialEq, Debug)]
pub struct Response {
    /// Row by row.
    pub values: Vec<f64>,
    /// Number of columns.
    pub correctors: usize,
}

impl Response {
    /// The orbit at the monitors for kicks in radians, added to `orbit`.
    ///
    /// Kicks that are missing count as zero.
    pub fn add(&self, kicks: &[f64], orbit: &mut [f64]) {
        for (row, position) in self.values.chunks(self.correctors.max(1)).zip(orbit) {
            *position += row.iter().zip(kicks).map(|(r, kick)| r * kick).sum::<f64>();
        }
    }

    /// The response of a monitor to a corrector, by their numbers.
    pub fn at(&self, monitor: usize, corrector: usize) -> Option<f64> {
        let row = self.values.chunks(self.correctors.max(1)).nth(monitor)?;
        row.get(corrector).copied()
    }
}

impl Lattice {
    /// The linear response of the orbit at some places to kicks at others, for one plane, at constant momentum.
    ///
    /// # Errors
    /// [`OpticsError`]
    pub fn response(
        &self,
        plane: Plane,
        monitors: &[usize],
        correctors: &[usize],
    ) -> Result<Response, OpticsError> {
        self.response_about(&[], plane, monitors, correctors)
    }

    /// As [`response`](Self::response), about an orbit: its horizontal positions in metres at each element. Where
    /// it does not pass the middle of a sextupole, that focuses. What is left out is on the axis.
    ///
    /// # Errors
    /// [`OpticsError`]
    pub fn response_about(
        &self,
        orbit: &[f64],
        plane: Plane,
        monitors: &[usize],
        correctors: &[usize],
    ) -> Result<Response, OpticsError> {
        self.check()?;
        let through = |place: usize, element: &Element, before: Matrix| {
            let x = orbit.get(place).copied().unwrap_or(element.offset_x);
            let passes = passes(element, x);
            passes.iter().fold(before, |m, pass| pass.matrix(plane) * m)
        };
        // Matrices from the start to the entry of each element, and to the middle of a corrector.
        let mut to = Vec::with_capacity(self.elements.len());
        let mut matrix = Matrix::ONE;
        for (place, element) in self.elements.iter().enumerate() {
            to.push(matrix);
            matrix = through(place, element, matrix);
        }
        let turn = matrix;
        let no_orbit = || OpticsError::NoOrbit { plane };
        let mut values = vec![0.0; monitors.len() * correctors.len()];
        for (column, &corrector) in correctors.iter().enumerate() {
            let (Some(before), Some(element)) = (to.get(corrector), self.elements.get(corrector))
            else {
                continue;
            };
            let half = Matrix::new(1.0, element.length / 2.0, 0.0, 1.0);
            let middle = half * *before;
            // The kick, carried to the end of the turn: turn * middle⁻¹.
            let back = inverse(&middle);
            let end = turn * (back * Vector::new(0.0, 1.0));
            let start = turn.fixed_point(end).ok_or_else(no_orbit)?;
            let kicked = back * Vector::new(0.0, 1.0);
            for (row, &monitor) in monitors.iter().enumerate() {
                let (Some(there), Some(element)) = (to.get(monitor), self.elements.get(monitor))
                else {
                    continue;
                };
                let at = if monitor > corrector {
                    *there * (start + kicked)
                } else {
                    *there * start
                };
                // A monitor measures in its middle.
                values[row * correctors.len() + column] = at.x + element.length / 2.0 * at.p;
            }
        }
        Ok(Response {
            values,
            correctors: correctors.len(),
        })
    }
}

/// Matrices of a ring keep areas.
fn inverse(matrix: &Matrix) -> Matrix {
    let [[a, b], [c, d]] = matrix.rows;
    Matrix::new(d, -b, -c, a)
}
