//! What a ring is made of.

/// What an element does.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// Nothing.
    Drift,
    /// Bends, and perhaps focuses.
    Bend {
        /// Angle in radians.
        angle: f64,
        /// Gradient in 1/m².
        k1: f64,
        /// Angles of its faces in radians, entry and exit.
        edges: [f64; 2],
        /// Extent of the fringe field at its faces in metres, entry and exit: twice `hgap` times `fint` of
        /// other programs. It takes from the vertical focusing of the face.
        fringes: [f64; 2],
    },
    /// Focuses, horizontally if `k1` is positive.
    Quadrupole {
        /// Gradient in 1/m².
        k1: f64,
    },
    /// Focuses what is beside its axis.
    Sextupole {
        /// Second derivative of the field in 1/m³, over the momentum (twice the `H` of other programs).
        k2: f64,
    },
    /// Kicks in both planes.
    Corrector {
        /// Horizontal kick in radians.
        kick_x: f64,
        /// Vertical kick in radians.
        kick_y: f64,
    },
    /// Measures the orbit.
    Monitor,
    /// Accelerates.
    Cavity {
        /// Frequency in Hz; 0 for a coasting beam.
        frequency: f64,
        /// Voltage in V.
        voltage: f64,
    },
    /// A place with a name.
    Marker,
}

impl Kind {
    /// What one of several equal pieces of an element does.
    fn piece(self, n: usize, pieces: usize) -> Self {
        let part = 1.0 / pieces as f64;
        // A piece has a face where the element has.
        let ends = |both: [f64; 2]| {
            [
                if n == 0 { both[0] } else { 0.0 },
                if n + 1 == pieces { both[1] } else { 0.0 },
            ]
        };
        match self {
            Self::Bend {
                angle,
                k1,
                edges,
                fringes,
            } => Self::Bend {
                angle: angle * part,
                k1,
                edges: ends(edges),
                fringes: ends(fringes),
            },
            Self::Corrector { kick_x, kick_y } => Self::Corrector {
                kick_x: kick_x * part,
                kick_y: kick_y * part,
            },
            Self::Cavity { frequency, voltage } => Self::Cavity {
                frequency,
                voltage: voltage * part,
            },
            Self::Monitor => Self::Drift,
            other => other,
        }
    }
}

/// A part of the ring.
#[derive(Clone, PartialEq, Debug)]
pub struct Element {
    /// Its name; several may have the same.
    pub name: String,
    /// Its length in metres.
    pub length: f64,
    /// What it does.
    pub kind: Kind,
    /// How far it stands beside its place, horizontally, in metres.
    pub offset_x: f64,
    /// How far it stands beside its place, vertically, in metres.
    pub offset_y: f64,
}

impl Element {
    /// An element in its place.
    pub fn new(name: impl Into<String>, length: f64, kind: Kind) -> Self {
        Self {
            name: name.into(),
            length,
            kind,
            offset_x: 0.0,
            offset_y: 0.0,
        }
    }

    /// Curvature of the reference orbit in 1/m.
    pub(crate) fn curvature(&self) -> f64 {
        match self.kind {
            Kind::Bend { angle, .. } if self.length > 0.0 => angle / self.length,
            _ => 0.0,
        }
    }

    /// Gradient in 1/m².
    pub(crate) const fn k1(&self) -> f64 {
        match self.kind {
            Kind::Bend { k1, .. } | Kind::Quadrupole { k1 } => k1,
            _ => 0.0,
        }
    }

    /// Second derivative of the field in 1/m³.
    pub(crate) const fn k2(&self) -> f64 {
        match self.kind {
            Kind::Sextupole { k2 } => k2,
            _ => 0.0,
        }
    }
}

/// A ring: what the beam passes in one turn.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Lattice {
    /// Its elements, in order.
    pub elements: Vec<Element>,
    /// Energy of the beam in eV.
    pub energy: f64,
}

impl Lattice {
    /// Length of the reference orbit in metres.
    pub fn circumference(&self) -> f64 {
        self.elements.iter().map(|element| element.length).sum()
    }

    /// The same ring with each element that has a length cut into so many pieces, to look at the optics within:
    /// bends keep their faces at their ends, correctors kick in each piece, and monitors become drifts.
    #[must_use]
    pub fn sliced(&self, pieces: usize) -> Self {
        let pieces = pieces.max(1);
        let mut elements = Vec::new();
        for element in &self.elements {
            if element.length == 0.0 {
                elements.push(element.clone());
                continue;
            }
            for n in 0..pieces {
                let mut piece = element.clone();
                piece.length /= pieces as f64;
                piece.kind = element.kind.piece(n, pieces);
                elements.push(piece);
            }
        }
        Self {
            elements,
            energy: self.energy,
        }
    }

    /// Places of the elements for which `is` holds.
    pub fn places(&self, is: impl Fn(&Element) -> bool) -> Vec<usize> {
        let all = self.elements.iter().enumerate();
        all.filter(|(_, element)| is(element))
            .map(|(place, _)| place)
            .collect()
    }

    /// Places of the monitors.
    pub fn monitors(&self) -> Vec<usize> {
        self.places(|element| element.kind == Kind::Monitor)
    }

    /// Places of the correctors.
    pub fn correctors(&self) -> Vec<usize> {
        self.places(|element| matches!(element.kind, Kind::Corrector { .. }))
    }
}
