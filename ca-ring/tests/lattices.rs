//! Rings whose optics are published, or follow from a formula.

use ca_ring::{Kind, Lattice, OpticsError, Plane};

fn parse(text: &str) -> Lattice {
    Lattice::parse(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[track_caller]
fn near(what: &str, value: f64, expected: f64, tolerance: f64) {
    let off = (value - expected).abs();
    assert!(
        off <= tolerance,
        "{what}: {value} is not {expected}, {off:e} beside it"
    );
}

/// Relative.
#[track_caller]
fn agrees(what: &str, value: f64, expected: f64, tolerance: f64) {
    near(what, value, expected, tolerance * expected.abs());
}

/// `dynap/FODO/fodo.thin.mad` of the examples of MAD-X: half lenses of 4e-4 1/m, 500 m apart.
#[test]
fn a_thin_fodo_cell() {
    let ring = parse(
        "f: quadrupole, l = 1e-6, k1 = 4e-4 / 1e-6;  d: quadrupole, l = 1e-6, k1 = -4e-4 / 1e-6;
         o: drift, l = 500;  ring: line = (f, o, d, d, o, f);",
    );
    let optics = ring.optics().unwrap();
    for tune in optics.tune {
        near("tune", tune, 0.064_094_216_85, 1e-8);
    }
    near("beta", optics.at[0].beta[0], 3_061.862_178, 1e-3);
    near("beta", optics.at[0].beta[1], 2041.241, 1e-3);
    // -tan(mu/2)/pi.
    agrees("chromaticity", optics.chromaticity[0], -0.064_975, 1e-4);
}

/// A FODO ring of 20 cells with sector bends; figures of pyAT at 100 integration steps.
const FODO: &str = "
    energy = 2.4e9;
    qf: quadrupole, l = 0.5, k1 = 1.2;  qd: quadrupole, l = 0.5, k1 = -1.2;
    b: sbend, l = 1, angle = 2*pi/40;   o1: drift, l = 0.25;  o2: drift, l = 0.5;
    cell: line = (o1, b, o2, qf, o1, o1, b, o2, qd, o1);
    ring: line = (20*cell);";

#[test]
fn a_ring_of_twenty_cells() {
    let ring = parse(FODO);
    near("length", ring.circumference(), 100.0, 1e-9);
    let optics = ring.optics().unwrap();
    near("tune", optics.tune[0], 5.219_941_586, 1e-6);
    near("tune", optics.tune[1], 4.917_784_099, 1e-6);
    let start = optics.at[0];
    agrees("beta x", start.beta[0], 1.944_362, 1e-5);
    agrees("beta y", start.beta[1], 6.576_298, 1e-5);
    agrees("alpha x", start.alpha[0], -0.854_841, 1e-5);
    agrees("alpha y", start.alpha[1], 2.126_231, 1e-5);
    agrees("dispersion", start.dispersion.x, 0.534_485, 1e-5);
    agrees("its derivative", start.dispersion.p, 0.145_785, 1e-5);
    agrees("compaction", optics.compaction, 4.193_882e-2, 1e-5);
    agrees("chromaticity x", optics.chromaticity[0], -6.340_440, 1e-4);
    agrees("chromaticity y", optics.chromaticity[1], -6.198_594, 1e-4);
    let most = |of: fn(&ca_ring::Twiss) -> f64| optics.at.iter().map(of).fold(0.0, f64::max);
    assert!(most(|t| t.beta[0]) < 7.41603 && most(|t| t.beta[1]) < 7.69189);
    assert!(most(|t| t.dispersion.x) < 0.930_67);
    assert!(optics.emittance > 0.0 && optics.energy_loss > 0.0);
}

/// With sextupoles of 0.1 m in the middle of the gaps behind the bends.
#[test]
fn sextupoles_change_the_chromaticity() {
    let ring = parse(
        "qf: quadrupole, l = 0.5, k1 = 1.2;  qd: quadrupole, l = 0.5, k1 = -1.2;
         b: sbend, l = 1, angle = 2*pi/40;   o1: drift, l = 0.25;  o3: drift, l = 0.2;  o2: drift, l = 0.5;
         sf: sextupole, l = 0.1, k2 = 2;     sd: sextupole, l = 0.1, k2 = -2;
         cell: line = (o1, b, o3, sf, o3, qf, o2, b, o3, sd, o3, qd, o1);  ring: line = (20*cell);",
    );
    let optics = ring.optics().unwrap();
    near("tune", optics.tune[0], 5.219_941_586, 1e-6);
    agrees("chromaticity x", optics.chromaticity[0], -4.936_695, 1e-4);
    agrees("chromaticity y", optics.chromaticity[1], -5.650_412, 1e-4);
}

/// The ring of apace's README: bends with face angles.
#[test]
fn a_ring_with_faces() {
    let ring = parse(
        "q1: quadrupole, l = 0.2, k1 = 1.2;  q2: quadrupole, l = 0.4, k1 = -1.2;  o: drift, l = 0.55;
         a = 0.392701;  b: sbend, l = 1.5, angle = a, e1 = a/2, e2 = a/2;
         ring: line = (8*(q1, o, b, o, q2, o, b, o, q1));",
    );
    near("length", ring.circumference(), 48.0, 1e-9);
    let optics = ring.optics().unwrap();
    near("tune", optics.tune[0], 1.897_013_279, 1e-6);
    near("tune", optics.tune[1], 2.539_911_881, 1e-6);
    agrees("beta x", optics.at[0].beta[0], 9.817_594, 1e-4);
    agrees("beta y", optics.at[0].beta[1], 1.237_580, 1e-4);
    agrees("dispersion", optics.at[0].dispersion.x, 3.418_672, 1e-4);
    agrees("chromaticity x", optics.chromaticity[0], -2.324_607, 1e-4);
    agrees("chromaticity y", optics.chromaticity[1], -2.939_935, 1e-4);
}

/// The response is what correctors do, and follows the formula of the textbooks.
#[test]
fn the_response_is_what_correctors_do() {
    let text = FODO.replace("o2, qf", "o2, bpm, qf, ch") + " bpm: monitor; ch: kicker;";
    let text = text.replacen("cell:", "bpm: monitor; ch: kicker; cell:", 1);
    let mut ring = parse(&text);
    let (monitors, correctors) = (ring.monitors(), ring.correctors());
    assert_eq!((monitors.len(), correctors.len()), (20, 20));
    let optics = ring.optics().unwrap();
    for (n, plane) in Plane::BOTH.into_iter().enumerate() {
        let response = ring.response(plane, &monitors, &correctors).unwrap();
        let tune = optics.tune[n];
        for (row, &monitor) in monitors.iter().enumerate() {
            for (column, &corrector) in correctors.iter().enumerate() {
                let (to, from) = (optics.at[monitor], optics.at[corrector]);
                let phase = (to.phase[n] - from.phase[n]).abs();
                let expected = (to.beta[n] * from.beta[n]).sqrt()
                    / (2.0 * (std::f64::consts::PI * tune).sin())
                    * (phase - std::f64::consts::PI * tune).cos();
                let value = response.at(row, column).unwrap();
                near("response", value, expected, 1e-9 * expected.abs().max(1.0));
            }
        }
        // And is what happens.
        let corrector = correctors[7];
        let kick = 1e-4;
        ring.elements[corrector].kind = match plane {
            Plane::X => Kind::Corrector {
                kick_x: kick,
                kick_y: 0.0,
            },
            Plane::Y => Kind::Corrector {
                kick_x: 0.0,
                kick_y: kick,
            },
        };
        let orbit = ring.orbit(0.0).unwrap();
        for (row, &monitor) in monitors.iter().enumerate() {
            let position = match plane {
                Plane::X => orbit.x[monitor].x,
                Plane::Y => orbit.y[monitor].x,
            };
            near(
                "orbit",
                position,
                kick * response.at(row, 7).unwrap(),
                1e-12,
            );
        }
        ring.elements[corrector].kind = Kind::Corrector {
            kick_x: 0.0,
            kick_y: 0.0,
        };
    }
}

#[test]
fn off_momentum_orbits_follow_the_dispersion() {
    let ring = parse(FODO);
    let optics = ring.optics().unwrap();
    let orbit = ring.orbit(1e-4).unwrap();
    for (twiss, at) in optics.at.iter().zip(&orbit.x) {
        near("orbit", at.x, 1e-4 * twiss.dispersion.x, 1e-12);
    }
}

#[test]
fn a_misaligned_quadrupole_kicks() {
    let mut ring = parse(FODO);
    assert!(ring.orbit(0.0).unwrap().x.iter().all(|at| at.x == 0.0));
    let quad = ring.places(|element| element.name == "qf")[3];
    ring.elements[quad].offset_x = 1e-4;
    let orbit = ring.orbit(0.0).unwrap();
    let most = orbit.x.iter().map(|at| at.x.abs()).fold(0.0, f64::max);
    assert!((1e-5..1e-2).contains(&most), "{most}");
    assert!(orbit.y.iter().all(|at| at.x == 0.0));
}

#[test]
fn rings_that_cannot_be() {
    let unstable = parse(&FODO.replace("k1 = 1.2", "k1 = 12"));
    assert!(matches!(
        unstable.optics(),
        Err(OpticsError::Unstable { .. })
    ));
    let open = parse(&FODO.replace("20*cell", "19*cell"));
    assert!(open.optics().is_ok(), "a line that is repeated for ever");
    assert!(matches!(open.check_turn(), Err(OpticsError::Open { .. })));
    let cell = parse(&FODO.replace("20*cell", "cell"));
    let error = cell.check_turn().unwrap_err().to_string();
    assert!(
        error.contains("18.000 degrees") && error.contains("20*("),
        "{error}"
    );
    assert!(parse(FODO).check_turn().is_ok());
    let mut odd = parse(FODO);
    odd.elements[3].kind = Kind::Quadrupole { k1: f64::NAN };
    let error = odd.optics().unwrap_err().to_string();
    assert!(error.contains("qf") && error.contains("k1"), "{error}");
    assert_eq!(odd.orbit(0.0).unwrap_err().to_string(), error);
    let mut strong = parse(FODO);
    strong.elements[3].offset_x = 50.0;
    assert!(matches!(
        strong.orbit(0.0),
        Err(OpticsError::NoOrbit { .. })
    ));
}

#[test]
fn mistakes_have_their_place() {
    for (text, line, column, part) in [
        ("a: drift, l = 1;\nb: drft, l = 1;", 2, 4, "drft"),
        ("a: drift, k1 = 1;", 1, 11, "attribute `k1`"),
        ("a: drift, l = x;", 1, 15, "variable `x`"),
        ("a: drift, l = 1/0;", 1, 15, "finite"),
        ("a: drift, l = 1", 1, 16, "`;`"),
        (
            "a = 1; ring: line = (a);",
            1,
            22,
            "no element and no line `a`",
        ),
        ("r: line = (r);", 1, 12, "part of itself"),
        ("r: line = (1.5*r);", 1, 12, "whole number"),
        (
            "a: drift; use, period = ring;",
            1,
            25,
            "no line and no sequence `ring`",
        ),
        ("a: drift;", 1, 10, "no line"),
        ("/* no end", 1, 1, "*/"),
        ("a $ 1;", 1, 3, "`$`"),
        ("a: drift; b: line = (2*(a, a);", 1, 30, "`)`"),
        ("x = foo(1);", 1, 5, "function `foo`"),
        (
            "a: drift, l = 1;\nr: line = (100000*(a, a, a));",
            2,
            23,
            "100000 elements",
        ),
    ] {
        let error = Lattice::parse(text).unwrap_err();
        let [mistake] = error.mistakes() else {
            panic!("{text}: {error}");
        };
        assert_eq!(
            (mistake.line, mistake.column),
            (line, column),
            "{text}: {error}"
        );
        assert!(mistake.what.contains(part), "{text}: {error}");
    }
}

#[test]
fn lines_are_unrolled() {
    let ring = parse(
        "B: SBEND, L = 1, ANGLE = pi, e1 = 0.1;  // capital letters
         q: quadrupole, l := 2 + -1^2, k1 = -sqrt(4);  q2: q, k1 = +.5;
         sub: line = (b, q); /* a part */ other: line = (q2);
         ring: line = (sub, -sub, 2*(q2, -other));",
    );
    let names: Vec<&str> = ring.elements.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["b", "q", "q", "b", "q2", "q2", "q2", "q2"]);
    let edges = |place: usize| match ring.elements[place].kind {
        Kind::Bend { edges, .. } => edges,
        _ => panic!("{place}"),
    };
    assert_eq!((edges(0), edges(3)), ([0.1, 0.0], [0.0, 0.1]));
    assert_eq!(ring.elements[1].kind, Kind::Quadrupole { k1: -2.0 });
    assert_eq!(ring.elements[4].kind, Kind::Quadrupole { k1: 0.5 });
    assert_eq!(ring.elements[4].length, 1.0);
}

const CELL: &str = "qf: quadrupole, l = 0.5, k1 = 1.2;  qd: quadrupole, l = 0.5, k1 = -1.2;
    b: sbend, l = 1, angle = 2*pi/40;  bpm: monitor;  ch: hkicker;";

/// The same cell as a line, and as sequences of each kind.
#[test]
fn sequences_are_lines_with_drifts() {
    let line = parse(&format!(
        "{CELL} o1: drift, l = 0.25; o2: drift, l = 0.5;
         cell: line = (o1, b, o2, bpm, qf, ch, o1, o1, b, o2, qd, o1); ring: line = (20*cell);"
    ));
    let wanted = line.optics().unwrap();
    let length = |of: &Lattice| of.elements.iter().map(|e| e.length).sum::<f64>();
    for cell in [
        // Centres, which are what is meant if nothing is said; in any order.
        "cell: sequence, l = 5.0; b, at = 0.75; qf, at = 2.0; bpm, at = 1.75; ch, at = 2.25;
         b, at = 3.25; qd, at = 4.5; endsequence;",
        "CELL: SEQUENCE, REFER = ENTRY, L := len; b, at = 0.25; bpm, at = 1.75; qf, at = 1.75;
         ch, at = 2.25; b, at = 2.75; qd, at := 4.25; ENDSEQUENCE; len = 5;",
        "cell: sequence, refer = exit, l = 5; b, at = 1.25; bpm, at = 1.75; qf, at = 2.25; ch, at = 2.25;
         b, at = 3.75; qd, at = 4.75; endsequence;",
        // From the centre of another one, which may follow; an element that is defined in its place.
        "cell: sequence, l = 5; b, at = 0.75; ch, at = 0.25, from = qf; bpm, at = -0.5, from = ch;
         qf, at = -2.5, from = qd; b, at = 3.25; qd: quadrupole, at = 4.5, l = 0.5, k1 = -1.2; endsequence;",
        // One in another one.
        "half: sequence, l = 2.5; b, at = 0.75; bpm, at = 1.75; qf, at = 2; ch, at = 2.25; endsequence;
         cell: sequence, refer = entry, l = 5; half, at = 0; b, at = 2.75; qd, at = 4.25; endsequence;",
    ] {
        let ring = parse(&format!("{CELL} {cell} ring: line = (20*cell);"));
        assert!((length(&ring) - length(&line)).abs() < 1e-9, "{cell}");
        let optics = ring.optics().unwrap();
        for n in 0..2 {
            assert!((optics.tune[n] - wanted.tune[n]).abs() < 1e-10, "{cell}");
        }
        assert_eq!(ring.monitors().len(), 20, "{cell}");
        let kinds = |lattice: &Lattice| -> Vec<String> {
            let elements = lattice.elements.iter();
            let elements = elements.filter(|e| e.kind != Kind::Drift);
            elements.map(|e| e.name.clone()).collect()
        };
        assert_eq!(kinds(&ring), kinds(&line), "{cell}");
    }
    // A sequence is the ring by `use`, and by being the last one; in a line it may be reversed.
    let text = format!("{CELL} half: sequence, l = 3; b, at = 1; qf, at = 2; endsequence;");
    let names = |text: &str| -> Vec<String> {
        let ring = parse(text);
        ring.elements.iter().map(|e| e.name.clone()).collect()
    };
    let half = ["drift_1", "b", "drift_2", "qf", "drift_3"];
    assert_eq!(names(&text), half);
    let used = format!("{text} other: line = (b); use, sequence = half;");
    assert_eq!(names(&used), half);
    let turned = names(&format!("{text} ring: line = (b, -half);"));
    assert_eq!(turned, ["b", "drift_3", "qf", "drift_2", "b", "drift_1"]);
}

#[test]
fn mistakes_in_sequences_are_located() {
    for (text, line, column, part) in [
        (
            "s: sequence, l = 2;\n q, at = 0.5;\n q, at = 0.9;\nendsequence;",
            3,
            2,
            "`q` begins at 0.4",
        ),
        (
            "s: sequence, l = 2;\n q, at = 0.1; endsequence;",
            2,
            2,
            "the sequence begins at 0 m",
        ),
        (
            "s: sequence, l = 2;\n q, at = 1.9; endsequence;",
            1,
            4,
            "is 2 m long, and `q` ends at 2.4 m",
        ),
        (
            "s: sequence, l = 2;\n qq, at = 1; endsequence;",
            2,
            2,
            "no element and no sequence `qq`",
        ),
        ("s: sequence, l = 2;\n q; endsequence;", 2, 3, "behind `q`"),
        (
            "s: sequence, l = 2;\n q, from = q; endsequence;",
            2,
            2,
            "has no place",
        ),
        (
            "s: sequence, l = 2;\n q, k1 = 3, at = 1; endsequence;",
            2,
            5,
            "other attributes",
        ),
        (
            "s: sequence, l = 2;\n q, at = 1, from = p; endsequence;",
            2,
            2,
            "`p` is not in this sequence",
        ),
        (
            "s: sequence, l = 2;\n q, at = 1, from = q; endsequence;",
            2,
            2,
            "counts from itself",
        ),
        (
            "s: sequence, l = 2;\n s, at = 1; endsequence;",
            1,
            4,
            "is a part of itself",
        ),
        (
            "s: sequence, l = 2;\n q, at = 1;",
            1,
            4,
            "has no `endsequence;`",
        ),
        (
            "r: line = (q);\nendsequence;",
            2,
            1,
            "no sequence that ends here",
        ),
        (
            "s: sequence, refer = center, l = 2, ll = 3; endsequence;",
            1,
            37,
            "no attribute `ll`",
        ),
        (
            "s: sequence, refer = entri, l = 2; q, at = 1; endsequence;",
            1,
            22,
            "did you mean `entry`?",
        ),
    ] {
        let text = format!("q: quadrupole, l = 1, k1 = 1; {text}");
        let column = if line == 1 { column + 30 } else { column };
        let error = Lattice::parse(&text).unwrap_err();
        let [mistake] = error.mistakes() else {
            panic!("{text}: {error}");
        };
        assert_eq!(
            (mistake.line, mistake.column),
            (line, column),
            "{text}: {error}"
        );
        assert!(mistake.what.contains(part), "{text}: {error}");
    }
    // They name each other too often, and nothing comes of it.
    let mut text = "s0: sequence; endsequence;".to_owned();
    for n in 1..40 {
        let before = n - 1;
        text += &format!("s{n}: sequence; s{before}, at = 0; s{before}, at = 0; endsequence;");
    }
    let error = Lattice::parse(&text).unwrap_err();
    assert!(error.to_string().contains("too often"), "{error}");
}

/// What is below may follow, as strengths do in files of their own.
#[test]
fn expressions_wait_for_what_they_need() {
    let ring = parse(
        "title, \"strengths last\";  option, -echo, rbarc = false;
         qf.1: quadrupole, l := lq, k1 := kqf * 2;
         const lq = 0.5;  kqf := kq0 / 4;  real const kq0 = 2;
         b: rbend, l = 2, angle = pi;  ring: line = (qf.1, &
         b);
         use, sequence = ring;  twiss, file = \"x.tfs\";  stop;",
    );
    assert_eq!(ring.elements[0].length, 0.5);
    assert_eq!(ring.elements[0].kind, Kind::Quadrupole { k1: 1.0 });
    assert_eq!(ring.elements[1].length, 2.0);
}

#[test]
fn all_mistakes_are_told() {
    let text = "\
beam, energy = 3;
kf = 1.2
qf: quadrupol, l = 0.5, k1 = kf;
qd: quadrupole, l = 0.5, k2 = -kg, kl = 1;
q3: qf, k1 = 2, k7 = 1;
b: sbend, l = -1, angle = 2*pi/40;\u{9b}31m
\to1: drift, l = sinn(1);
cell: line = (o1, b, qg, 3*qd, qf);
use, perod = cell;
ring: line = (20*cel);
";
    let error = Lattice::parse(text).unwrap_err();
    let told: Vec<String> = error
        .mistakes()
        .iter()
        .map(|m| format!("{}:{} {}", m.line, m.column, m.what))
        .collect();
    assert_eq!(
        told,
        [
            "3:1 `;` is expected, not `qf`",
            "3:5 there is no type and no element `quadrupol`; did you mean `quadrupole`?",
            "4:26 a quadrupole has no attribute `k2`; it has: l, k1",
            "4:36 a quadrupole has no attribute `kl`; it has: l, k1",
            "6:15 the length is -1, and would have to be positive",
            "6:35 the name of a variable, an element or a line is expected, not `\\u{9b}`",
            "7:17 there is no function `sinn`; did you mean `sin`?",
            "9:6 `use` wants `period = NAME`",
            "10:15 there is no element and no line `cel`; did you mean `cell`?",
        ],
        "{error}"
    );
    let shown = error.in_file(&"a.lat").to_string();
    assert!(!shown.contains('\u{9b}'), "{shown:?}");
    let told = "a.lat: line 4, column 26: a quadrupole has no attribute `k2`; it has: l, k1\n  \
                4 | qd: quadrupole, l = 0.5, k2 = -kg, kl = 1;\n    |                          ^\n";
    assert!(shown.contains(told), "{shown}");
}

/// What names itself again and again ends, and a file that is none is not told line by line for ever.
#[test]
fn work_is_bounded() {
    let mut doubled = String::from("e: drift; l0: line = (0*e, 0*e);");
    let mut squared = String::from("v0 := 1;");
    for n in 1..60 {
        let before = n - 1;
        doubled += &format!("l{n}: line = (l{before}, l{before});");
        squared += &format!("v{n} := v{before} + v{before};");
    }
    squared += "d: drift, l := v59; r: line = (d);";
    for (text, says) in [
        (doubled, "too often"),
        (squared, "too often"),
        (
            "a := b; b := a; d: drift, l = a; r: line = (d);".into(),
            "64 deep",
        ),
        ("\u{1}$%".repeat(10_000), "expected"),
        ("x y;\n".repeat(10_000), "and 9980 more"),
    ] {
        let error = Lattice::parse(&text).unwrap_err();
        assert!(error.mistakes().len() <= 20);
        assert!(error.to_string().contains(says), "{error}");
    }
}

/// What MAD-X prints of a quarter of ALBA, whose file says that the length of a bend is that of its arc.
#[test]
fn a_quarter_of_alba_as_mad_x_has_it() {
    let text = include_str!("pyat/alba.lat");
    let text = format!("{text}\noption, rbarc = false; use, period = quarter;");
    let quarter = parse(&text);
    near("length", quarter.circumference(), 67.200_074, 1e-6);
    let optics = quarter.optics().unwrap();
    near("tune", optics.tune[0], 4.544_746_479, 1e-6);
    near("tune", optics.tune[1], 2.093_002_374, 1e-6);
    agrees("compaction", optics.compaction, 8.829_339e-4, 1e-5);
    assert!(matches!(
        quarter.check_turn(),
        Err(OpticsError::Open { .. })
    ));
}

/// A fringe field takes from the vertical focusing of a face, and nothing else.
#[test]
fn fringe_fields() {
    let ring = |face: &str| {
        parse(&format!(
            "q1: quadrupole, l = 0.2, k1 = 1.2;  q2: quadrupole, l = 0.4, k1 = -1.2;  o: drift, l = 0.55;
             a = pi / 8;  b: sbend, l = 1.5, angle = a, e1 = a/2, e2 = a/2{face};
             ring: line = (8*(q1, o, b, o, q2, o, b, o, q1));"
        ))
        .optics()
        .unwrap()
    };
    let (hard, soft) = (ring(""), ring(", hgap = 0.03, fint = 0.5"));
    near("tune", soft.tune[0], hard.tune[0], 1e-12);
    assert!(soft.tune[1] < hard.tune[1] - 1e-3);
    let (one, other) = (
        ring(", hgap = 0.03, fint = 0.5, fintx = 0"),
        ring(", hgap = 0.03, fint = 0, fintx = 0.5"),
    );
    // Of a ring that is its own mirror image.
    near("tune", one.tune[1], other.tune[1], 1e-9);
}

/// The optics do not change, and the largest beta function is found within the quadrupoles.
#[test]
fn a_ring_in_slices_is_the_same_ring() {
    let ring = parse(include_str!("pyat/fringes.lat"));
    let sliced = ring.sliced(8);
    near("length", sliced.circumference(), ring.circumference(), 1e-9);
    let (one, other) = (ring.optics().unwrap(), sliced.optics().unwrap());
    for n in 0..2 {
        near("tune", other.tune[n], one.tune[n], 1e-9);
        let most =
            |optics: &ca_ring::Optics| optics.at.iter().map(|t| t.beta[n]).fold(0.0, f64::max);
        assert!(most(&other) >= most(&one));
    }
    sliced.check_turn().unwrap();
}
