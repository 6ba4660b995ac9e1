//! What elements are described by, and what they become.

use std::collections::BTreeMap;

use crate::lattice::{Element, Kind};

/// The types of elements, and their attributes.
pub(super) const TYPES: &[(&str, &[&str])] = &[
    ("drift", &["l"]),
    ("sbend", BEND),
    ("rbend", BEND),
    ("quadrupole", &["l", "k1"]),
    ("sextupole", &["l", "k2"]),
    ("kicker", &["l", "hkick", "vkick"]),
    ("hkicker", &["l", "kick"]),
    ("vkicker", &["l", "kick"]),
    ("monitor", &["l"]),
    ("hmonitor", &["l"]),
    ("vmonitor", &["l"]),
    ("marker", &[]),
    ("rfcavity", &["l", "freq", "volt", "lag", "harmon"]),
];

const BEND: &[&str] = &["l", "angle", "k1", "e1", "e2", "fint", "fintx", "hgap"];

/// A number of an element: at once, or by an expression that counts when the whole text is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given {
    Now(f64),
    /// The token with which the expression begins.
    Later(usize),
}

/// An element as it was described.
#[derive(Clone, Debug)]
pub(super) struct Attributes {
    /// Its type; empty if that is a mistake.
    pub(super) of: &'static str,
    pub(super) values: BTreeMap<&'static str, Given>,
}

impl Attributes {
    /// The attributes that its type has.
    pub(super) fn known(&self) -> &'static [&'static str] {
        let known = TYPES.iter().find(|(known, _)| *known == self.of);
        known.map_or(&[][..], |(_, all)| *all)
    }
}

/// An element of a type with its values; `arcs`: lengths of `rbend` are those of chords.
pub(super) fn element(
    of: &str,
    name: &str,
    arcs: bool,
    value: impl Fn(&str) -> Option<f64>,
) -> Element {
    let given = value;
    let value = |key: &str| given(key).unwrap_or(0.0);
    let mut length = value("l");
    let kind = match of {
        "sbend" | "rbend" => {
            let angle = value("angle");
            let mut edges = [value("e1"), value("e2")];
            if of == "rbend" {
                // The faces are parallel.
                let half = angle / 2.0;
                if half != 0.0 && arcs {
                    length *= half / half.sin();
                }
                edges = edges.map(|edge| edge + half);
            }
            let (gap, fint) = (2.0 * value("hgap"), value("fint"));
            let k1 = value("k1");
            Kind::Bend {
                angle,
                k1,
                edges,
                fringes: [fint, given("fintx").unwrap_or(fint)].map(|f| f * gap),
            }
        }
        "quadrupole" => Kind::Quadrupole { k1: value("k1") },
        "sextupole" => Kind::Sextupole { k2: value("k2") },
        "kicker" => Kind::Corrector {
            kick_x: value("hkick"),
            kick_y: value("vkick"),
        },
        "hkicker" => Kind::Corrector {
            kick_x: value("kick"),
            kick_y: 0.0,
        },
        "vkicker" => Kind::Corrector {
            kick_x: 0.0,
            kick_y: value("kick"),
        },
        "monitor" | "hmonitor" | "vmonitor" => Kind::Monitor,
        "rfcavity" => Kind::Cavity {
            frequency: value("freq") * 1e6,
            voltage: value("volt") * 1e6,
        },
        "marker" => Kind::Marker,
        _ => Kind::Drift,
    };
    Element::new(name, length, kind)
}

/// The same, passed from its end.
pub(super) fn backwards(mut element: Element) -> Element {
    if let Kind::Bend { edges, fringes, .. } = &mut element.kind {
        edges.reverse();
        fringes.reverse();
    }
    element
}
