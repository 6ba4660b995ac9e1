//! Matrices of two by two, and what drives them.

use std::ops::{Add, Mul, Sub};

/// Position and angle, or dispersion and its derivative.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Vector {
    /// Position in metres.
    pub x: f64,
    /// Angle in radians.
    pub p: f64,
}

impl Vector {
    /// A vector of its two parts.
    pub const fn new(x: f64, p: f64) -> Self {
        Self { x, p }
    }
}

impl Add for Vector {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.p + other.p)
    }
}

impl Sub for Vector {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.p - other.p)
    }
}

impl Mul<f64> for Vector {
    type Output = Self;
    fn mul(self, factor: f64) -> Self {
        Self::new(self.x * factor, self.p * factor)
    }
}

/// What a part of the ring does to a vector of one plane.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Matrix {
    /// Rows.
    pub rows: [[f64; 2]; 2],
}

impl Matrix {
    /// Nothing.
    pub const ONE: Self = Self {
        rows: [[1.0, 0.0], [0.0, 1.0]],
    };

    /// A matrix of its rows.
    pub const fn new(a: f64, b: f64, c: f64, d: f64) -> Self {
        Self {
            rows: [[a, b], [c, d]],
        }
    }

    /// A thin lens: the angle changes by `strength` times the position.
    pub const fn kick(strength: f64) -> Self {
        Self::new(1.0, 0.0, strength, 1.0)
    }

    /// Sum of the diagonal.
    pub const fn trace(&self) -> f64 {
        self.rows[0][0] + self.rows[1][1]
    }

    /// The vector `v` for which `v = self v + drive`; `None` on an integer resonance.
    pub fn fixed_point(&self, drive: Vector) -> Option<Vector> {
        let [[a, b], [c, d]] = self.rows;
        let det = (1.0 - a) * (1.0 - d) - b * c;
        (det.abs() > 1e-12).then(|| {
            Vector::new(
                ((1.0 - d) * drive.x + b * drive.p) / det,
                (c * drive.x + (1.0 - a) * drive.p) / det,
            )
        })
    }
}

impl Mul<Vector> for Matrix {
    type Output = Vector;
    fn mul(self, v: Vector) -> Vector {
        let [[a, b], [c, d]] = self.rows;
        Vector::new(a * v.x + b * v.p, c * v.x + d * v.p)
    }
}

impl Mul for Matrix {
    type Output = Self;
    /// First `other`, then `self`.
    fn mul(self, other: Self) -> Self {
        let [[a, b], [c, d]] = self.rows;
        let [[e, f], [g, h]] = other.rows;
        Self::new(a * e + b * g, a * f + b * h, c * e + d * g, c * f + d * h)
    }
}

/// Cosine-like and sine-like solution of `x'' = -k x` after a length, and the integral of the latter: exact also
/// where `k` is small.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Solution {
    pub c: f64,
    pub s: f64,
    /// `(1 - c) / k`, the integral of `s`.
    pub s1: f64,
}

impl Solution {
    pub(crate) fn new(k: f64, l: f64) -> Self {
        let phase = k.abs().sqrt() * l;
        if phase < 1e-3 {
            // Series to a relative error of 1e-16.
            let q = k * l * l;
            return Self {
                c: 1.0 - q / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0)),
                s: l * (1.0 - q / 6.0 * (1.0 - q / 20.0)),
                s1: l * l / 2.0 * (1.0 - q / 12.0 * (1.0 - q / 30.0)),
            };
        }
        let root = k.abs().sqrt();
        let (c, s) = match k > 0.0 {
            true => (phase.cos(), phase.sin() / root),
            false => (phase.cosh(), phase.sinh() / root),
        };
        Self {
            c,
            s,
            s1: (1.0 - c) / k,
        }
    }

    pub(crate) const fn matrix(&self, k: f64) -> Matrix {
        Matrix::new(self.c, self.s, -k * self.s, self.c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solutions_meet_where_their_forms_change() {
        for sign in [-1.0, 1.0] {
            let (l, below, above) = (1.0, sign * 0.999e-6, sign * 1.001e-6);
            let (a, b) = (Solution::new(below, l), Solution::new(above, l));
            assert!((a.c - b.c).abs() < 2e-9 && (a.s - b.s).abs() < 1e-9);
            assert!((a.s1 - b.s1).abs() < 1e-9, "{a:?} {b:?}");
        }
    }

    #[test]
    fn a_fixed_point_stays() {
        let m = Matrix::new(0.5, 2.0, -0.4, 0.4);
        let drive = Vector::new(0.1, -0.2);
        let v = m.fixed_point(drive).unwrap();
        let again = m * v + drive;
        assert!((again.x - v.x).abs() < 1e-14 && (again.p - v.p).abs() < 1e-14);
        assert_eq!(Matrix::ONE.fixed_point(drive), None);
    }
}
