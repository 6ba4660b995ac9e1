//! A ring that is operated.

use std::time::Duration;

use ca_ring::{Lattice, Machine, MachineError, Options, Plane};

const STEP: Duration = Duration::from_millis(100);

fn values(machine: &Machine) -> (Vec<f64>, Vec<f64>) {
    let set = machine.set_points().iter().map(|q| q.value).collect();
    (set, vec![0.0; machine.read_backs().len()])
}

fn rms(orbit: &[f64]) -> f64 {
    (orbit.iter().map(|x| x * x).sum::<f64>() / orbit.len() as f64).sqrt()
}

#[test]
fn the_standard_ring_is_stable_and_large() {
    let machine = Machine::standard(Options::default()).unwrap();
    assert!(machine.read_backs().len() + machine.set_points().len() >= 60_000);
    let optics = machine.optics();
    for tune in optics.tune {
        assert!(
            (0.1..0.4).contains(&tune.fract()) || (0.6..0.9).contains(&tune.fract()),
            "{tune}"
        );
    }
    for slope in optics.chromaticity {
        assert!((-2.0..6.0).contains(&slope), "{:?}", optics.chromaticity);
    }
    assert!(
        (1e-10..1e-6).contains(&optics.emittance),
        "{}",
        optics.emittance
    );
    // Names are those of one PV each.
    let mut names: Vec<&str> = machine
        .set_points()
        .iter()
        .chain(machine.read_backs())
        .map(|q| q.name.as_str())
        .collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    assert!(names.iter().all(|name| name.len() <= 60));
}

#[test]
fn the_same_seed_gives_the_same_machine() {
    let run = |seed| {
        let options = Options {
            seed,
            housekeeping: 2,
            ..Options::default()
        };
        let mut machine = Machine::standard(options).unwrap();
        let (set, mut read) = values(&machine);
        for n in 0..5 {
            machine.step(STEP * n, &set, &mut read).unwrap();
        }
        read
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// The orbit is steered flat by the pseudo-inverse of the response: least squares by steepest descent.
#[test]
fn correctors_steer_the_orbit() {
    let options = Options {
        housekeeping: 0,
        ..Options::default()
    };
    let mut machine = Machine::standard(options).unwrap();
    let (mut set, mut read) = values(&machine);
    machine.step(Duration::ZERO, &set, &mut read).unwrap();
    let bpms = machine.monitors().len();
    let before = rms(&read[..bpms]);
    // Measured as a control room does: one corrector after the other.
    let correctors = machine.design().correctors().len();
    let mut quiet = Machine::standard(Options {
        noise: 0.0,
        drift: 0.0,
        housekeeping: 0,
        ..Options::default()
    })
    .unwrap();
    let mut matrix = vec![vec![0.0; correctors]; bpms];
    let mut reference = vec![0.0; read.len()];
    quiet.step(Duration::ZERO, &set, &mut reference).unwrap();
    for column in 0..correctors {
        let mut kicked = set.clone();
        kicked[column] = 0.1;
        let mut orbit = vec![0.0; read.len()];
        quiet.step(Duration::ZERO, &kicked, &mut orbit).unwrap();
        for row in 0..bpms {
            matrix[row][column] = (orbit[row] - reference[row]) / 0.1;
        }
    }
    for n in 1..400 {
        // The gradient of the sum of squares, and how far to go along it.
        let gradient: Vec<f64> = (0..correctors)
            .map(|c| (0..bpms).map(|r| matrix[r][c] * read[r]).sum())
            .collect();
        let moved: Vec<f64> = (0..bpms)
            .map(|r| (0..correctors).map(|c| matrix[r][c] * gradient[c]).sum())
            .collect();
        let along =
            gradient.iter().map(|g| g * g).sum::<f64>() / moved.iter().map(|m| m * m).sum::<f64>();
        for (amperes, gradient) in set.iter_mut().zip(&gradient) {
            *amperes -= along * gradient;
        }
        machine.step(STEP * n, &set, &mut read).unwrap();
    }
    let after = rms(&read[..bpms]);
    assert!(
        after * 20.0 < before,
        "{before} mm before, {after} mm after"
    );
}

#[test]
fn quadrupoles_change_the_tune_and_the_frequency_moves_the_beam() {
    let options = Options {
        noise: 0.0,
        drift: 0.0,
        misalignment: 0.0,
        housekeeping: 0,
        ..Options::default()
    };
    let mut machine = Machine::standard(options).unwrap();
    let (mut set, mut read) = values(&machine);
    let bpms = machine.monitors().len();
    machine.step(Duration::ZERO, &set, &mut read).unwrap();
    assert!(rms(&read[..2 * bpms]) < 1e-12);
    let tune = read[2 * bpms];
    let quad = machine
        .set_points()
        .iter()
        .position(|q| q.name == "ARIMA-QF-001:I-SET")
        .unwrap();
    set[quad] *= 1.001;
    machine.step(STEP, &set, &mut read).unwrap();
    assert!(read[2 * bpms] > tune + 1e-5, "{tune} {}", read[2 * bpms]);
    *set.last_mut().unwrap() += 1000.0;
    machine.step(STEP * 2, &set, &mut read).unwrap();
    assert!(
        read[..bpms].iter().all(|x| *x < 0.0),
        "a shorter way has less energy"
    );
    assert!(rms(&read[bpms..2 * bpms]) < 1e-12);
}

#[test]
fn a_ring_that_loses_its_beam_gets_it_back() {
    let options = Options {
        housekeeping: 0,
        ..Options::default()
    };
    let mut machine = Machine::standard(options).unwrap();
    let (set, mut read) = values(&machine);
    let mut broken = set.clone();
    for (value, quantity) in broken.iter_mut().zip(machine.set_points()) {
        if quantity.name.contains("QF-") {
            *value = -10.0;
        }
    }
    let error = machine.step(STEP, &broken, &mut read).unwrap_err();
    assert!(error.contains("horizontal"), "{error}");
    machine.step(STEP * 2, &set, &mut read).unwrap();
    assert!(machine.step(STEP, &set[1..], &mut read).is_err());
}

#[test]
fn a_ring_without_physics_follows_its_set_points() {
    let options = Options {
        physics: false,
        housekeeping: 0,
        ..Options::default()
    };
    let mut machine = Machine::standard(options).unwrap();
    let (mut set, mut read) = values(&machine);
    set[3] = 2.5;
    machine.step(STEP, &set, &mut read).unwrap();
    let bpms = machine.monitors().len();
    assert!(read[..2 * bpms].iter().all(|x| *x == 0.0));
    assert!((read[2 * bpms + 5 + 3] - 2.5).abs() < 1e-3);
}

#[test]
fn a_lattice_without_monitors_is_refused() {
    let blind =
        Lattice::parse("q: quadrupole, l = 1, k1 = 0.1; d: q, k1 = -0.1; ring: line = (q, d);")
            .unwrap();
    let error = Machine::new(blind, Options::default()).unwrap_err();
    assert!(matches!(error, MachineError::Blind { .. }), "{error}");
    assert_eq!(Plane::X.to_string(), "horizontal");
}
