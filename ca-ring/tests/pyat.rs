//! Our optics beside those of an independent code: pyAT at 100 integration steps, with its own reader of MAD-X.
//!
//! Its numbers are files (`pyat/*.ref`), made by `tests/peers/optics_pyat.py` of the workspace; `cargo xtask optics`
//! makes them anew and runs this.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use ca_ring::{Lattice, Optics, Plane, Response};

/// Of a tune.
const TUNE: f64 = 1e-6;
/// Of anything else, relative to the largest of its kind in the ring.
const REST: f64 = 1e-4;

/// The largest deviations, in units of what is allowed.
#[derive(Default, Debug)]
struct Worst {
    tune: f64,
    beta: f64,
    alpha: f64,
    dispersion: f64,
    response: f64,
    compared: usize,
}

impl Worst {
    fn note(&mut self, of: fn(&mut Self) -> &mut f64, off: f64) {
        let worst = of(self);
        *worst = worst.max(off);
        self.compared += 1;
        // NaN is no agreement.
        assert!(off.is_finite(), "a number is not finite");
    }
}

struct Ours {
    optics: Optics,
    response: [Response; 2],
}

fn ours(lattice: &Path) -> Ours {
    let text = fs::read_to_string(lattice).unwrap();
    let ring = Lattice::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", lattice.display()));
    let (monitors, correctors) = (ring.monitors(), ring.correctors());
    Ours {
        optics: ring.optics().unwrap(),
        response: [Plane::X, Plane::Y]
            .map(|plane| ring.response(plane, &monitors, &correctors).unwrap()),
    }
}

fn largest(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(1e-9, |most, value| most.max(value.abs()))
}

fn compare(ours: &Ours, reference: &str) -> Worst {
    let mut worst = Worst::default();
    let at = &ours.optics.at;
    let most_alpha = largest(at.iter().flat_map(|at| at.alpha));
    let most = [
        largest(at.iter().map(|at| at.dispersion.x)),
        largest(at.iter().map(|at| at.dispersion.p)),
    ];
    let strongest = [0, 1].map(|n| largest(ours.response[n].values.iter().copied()));
    for line in reference.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |n: usize| -> f64 { words[n].parse().unwrap() };
        let place = |n: usize| -> usize { words[n].parse().unwrap() };
        match words[0] {
            "tune" => {
                for (n, tune) in ours.optics.tune.iter().enumerate() {
                    worst.note(|w| &mut w.tune, (tune - number(n + 1)).abs() / TUNE);
                }
            }
            "at" => {
                let at = &at[place(1)];
                worst.note(|w| &mut w.beta, (at.s - number(2)).abs() / 1e-8);
                for n in 0..2 {
                    let beta = at.beta[n] / number(3 + n) - 1.0;
                    worst.note(|w| &mut w.beta, beta.abs() / REST);
                    let alpha = (at.alpha[n] - number(5 + n)) / most_alpha;
                    worst.note(|w| &mut w.alpha, alpha.abs() / REST);
                    let d = [at.dispersion.x, at.dispersion.p][n] - number(7 + n);
                    worst.note(|w| &mut w.dispersion, (d / most[n]).abs() / REST);
                }
            }
            "response" => {
                let n = usize::from(words[1] == "Y");
                let value = ours.response[n].at(place(3), place(2)).unwrap();
                let off = (value - number(4)) / strongest[n];
                worst.note(|w| &mut w.response, off.abs() / REST);
            }
            other => panic!("what is `{other}`?"),
        }
    }
    worst
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyat")
}

fn lattices() -> Vec<PathBuf> {
    let entries = fs::read_dir(directory()).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|e| e == "lat"))
        .collect();
    paths.push(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/default.lat"));
    paths.sort();
    paths
}

#[test]
fn our_optics_are_those_of_pyat() {
    // Where the numbers were made anew, they are compared, else those that come with the sources.
    let made = env::var_os("CANTER_OPTICS_REFERENCE").map_or_else(directory, PathBuf::from);
    let lattices = lattices();
    assert!(lattices.len() >= 10, "{lattices:?}");
    for lattice in lattices {
        let name = lattice.file_stem().unwrap().to_string_lossy().into_owned();
        let reference = made.join(format!("{name}.ref"));
        let reference = fs::read_to_string(&reference)
            .unwrap_or_else(|error| panic!("{}: {error}", reference.display()));
        let worst = compare(&ours(&lattice), &reference);
        println!(
            "{name}: {} numbers; of what is allowed: tune {:.4}, beta {:.4}, alpha {:.4}, dispersion {:.4}, \
             response {:.4}",
            worst.compared, worst.tune, worst.beta, worst.alpha, worst.dispersion, worst.response
        );
        assert!(worst.compared > 50, "{worst:?}");
        for off in [
            worst.tune,
            worst.beta,
            worst.alpha,
            worst.dispersion,
            worst.response,
        ] {
            assert!(off <= 1.0, "{name}: {worst:?}");
        }
    }
}
