//! The applications against the virtual ring.

use std::time::Duration;

use ca_applications::{rms, table::Table};
use ca_ring::{Kind, Options, Plane};

use crate::rig::{LATTICE, Rig, machine};
use crate::{beam_based_alignment, energy_feedback, orbit_feedback, response_matrix, tune_scan};

/// Without temperatures and the like.
fn options() -> Options {
    Options {
        housekeeping: 0,
        ..Options::default()
    }
}

/// Pictures go where a reader of the test may look at them.
fn draw(name: &str, svg: &str) {
    let path = std::env::temp_dir().join("canter-applications");
    std::fs::create_dir_all(&path).unwrap();
    let path = path.join(name);
    std::fs::write(&path, svg).unwrap();
    println!("{}", path.display());
    assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"));
}

fn response(rig: &Rig, plane: &str) -> Table {
    rig.run(response_matrix::run(&rig.machine(), plane))
}

/// 0.1 mrad for an ampere, and millimetres.
const MM_PER_A: f64 = 1e-4 * 1e3;

#[test]
fn the_response_is_that_of_the_optics() {
    // Misaligned magnets change the optics, through the sextupoles.
    let rig = Rig::new(Options {
        misalignment: 0.0,
        ..options()
    });
    for (plane, of) in [("x", Plane::X), ("y", Plane::Y)] {
        let measured = response(&rig, plane);
        let ring = machine(options());
        let design = ring.design();
        let expected = design
            .response(of, &design.monitors(), &design.correctors())
            .unwrap();
        let mut worst: f64 = 0.0;
        for (row, values) in measured.values.row_iter().enumerate() {
            for (column, value) in values.iter().enumerate() {
                let expected = expected.at(row, column).unwrap() * MM_PER_A;
                worst = worst.max((value - expected).abs());
            }
        }
        println!(
            "{plane}: at most {worst:.4} mm/A beside, of {:.3}",
            measured.values.amax()
        );
        // Noise and drift.
        assert!(worst < 0.03 * measured.values.amax(), "{worst}");
        draw(
            &format!("response-{plane}.svg"),
            &response_matrix::draw(&measured, plane),
        );
    }
    // All correctors stand where they stood.
    for member in rig.groups.get("correctors-x").unwrap().members() {
        assert_eq!(rig.number(&member.pv), 0.0, "{}", member.pv);
    }
}

/// Against misalignments, drift, and a corrector of others that jumps.
#[test]
fn the_orbit_feedback_makes_the_orbit_twenty_times_smaller() {
    // Ten times as restless as usual.
    let rig = Rig::new(Options {
        drift: 0.1e-6,
        ..options()
    });
    let mut groups = rig.groups.clone();
    let mut all = groups.get("correctors-x").unwrap().members().to_vec();
    let others = all.remove(7).pv;
    let own = all.into_iter().map(|member| member.pv);
    groups.insert(ca_kit::Group::of("correctors-x", own).unwrap());
    let machine = ca_applications::Machine::new(&rig.client, groups).at(crate::rig::PACE);
    let response = rig.run(response_matrix::run(&machine, "x"));
    let kept = rig.run(orbit_feedback::run(&machine, "x", &response, 40));
    let [first, last] = [rms(&kept.orbits[0]), rms(&kept.orbits[1])];
    println!(
        "misalignment: {first:.4} mm rms, with feedback {last:.5}: {:.0} x",
        first / last
    );
    assert!(first > 20.0 * last);
    // Half an hour of drift and a step, without feedback and with it.
    let step = |by: f64| rig.ioc.post(&*others, by).unwrap();
    rig.sleep(Duration::from_secs(1800));
    step(0.1);
    rig.sleep(Duration::from_secs(1));
    let without = rms(&rig.run(async { machine.orbit("x").await?.read().await }));
    let kept_again = rig.run(orbit_feedback::run(&machine, "x", &response, 40));
    let with = kept_again.rms.last().copied().unwrap();
    println!(
        "drift and a step: {without:.4} mm rms, with feedback {with:.5}: {:.0} x",
        without / with
    );
    assert!(without > 20.0 * with, "{without} {with}");
    assert!(rig.fault.lock().unwrap().is_none());
    let [orbit, history] = orbit_feedback::draw(&kept, "x");
    draw("orbit-x.svg", &orbit);
    draw("feedback-x.svg", &history);
}

#[test]
fn the_tune_scan_finds_what_the_optics_say() {
    let rig = Rig::new(options());
    let points = rig.run(tune_scan::run(&rig.machine()));
    let tune = |part: f64| {
        let mut ring = machine(Options {
            misalignment: 0.0,
            ..options()
        })
        .design()
        .clone();
        for element in &mut ring.elements {
            if let Kind::Quadrupole { k1 } = &mut element.kind
                && *k1 > 0.0
            {
                *k1 *= 1.0 + part;
            }
        }
        ring.optics().unwrap().tune
    };
    let expected = [0, 1].map(|n| (tune(1e-3)[n] - tune(-1e-3)[n]) / 2e-3);
    let measured = tune_scan::slopes(&points);
    println!("slopes {measured:?}, expected {expected:?}");
    for (measured, expected) in measured.iter().zip(expected) {
        assert!((measured / expected - 1.0).abs() < 0.05);
    }
    draw("tunes.svg", &tune_scan::draw(&points));
}

#[test]
fn beam_based_alignment_finds_the_centre_of_a_quadrupole() {
    let rig = Rig::new(options());
    // In the lattice the monitor of the same number stands right before its quadrupole: even ones at the focusing.
    let (quadrupole, monitor) = (4, 8);
    // The corrector that moves the beam there most.
    let ring = machine(options());
    let design = ring.design();
    let response = design
        .response(Plane::X, &design.monitors(), &design.correctors())
        .unwrap();
    let strength = |c: &usize| response.at(monitor, *c).unwrap().abs();
    let corrector = (0..design.correctors().len())
        .max_by(|a, b| strength(a).total_cmp(&strength(b)))
        .unwrap();
    let place = rig
        .truth
        .places(|e| matches!(e.kind, Kind::Quadrupole { k1 } if k1 > 0.0))[quadrupole];
    let element = &rig.truth.elements[place];
    assert_eq!(rig.truth.monitors()[monitor] + 1, place);
    let found = rig.run(beam_based_alignment::run(
        &rig.machine(),
        quadrupole,
        (monitor, corrector),
    ));
    let truth = element.offset_x * 1e3;
    println!("centre at {:.4} mm, in truth {truth:.4}", found.centre);
    // The monitor stands before the quadrupole, through which the beam goes with an angle.
    assert!((found.centre - truth).abs() < 0.02);
    // Without it the centre would be taken to be where the beam was.
    assert!((found.points[2].0 - truth).abs() > 0.2);
    draw("alignment.svg", &beam_based_alignment::draw(&found));
    let magnet = &rig.groups.get("focusing").unwrap().members()[quadrupole].pv;
    assert_eq!(rig.number(magnet), 5.0, "it stands where it stood");
}

#[test]
fn the_energy_feedback_follows_the_circumference() {
    let rig = Rig::new(Options {
        drift: 0.02e-6,
        ..options()
    });
    // Somebody has changed the frequency since the orbit was good.
    let good = rig.run(async { rig.machine().orbit("x").await?.read().await });
    let frequency = rig.groups.get("frequency").unwrap().members()[0].pv.clone();
    let hertz = rig.number(&frequency);
    rig.ioc.post(&*frequency, hertz + 500.0).unwrap();
    rig.sleep(Duration::from_secs(1));
    let kept = rig.run(energy_feedback::run(&rig.machine(), Some(good), 40));
    let first = kept.deviations[0];
    let last = kept
        .deviations
        .iter()
        .rev()
        .take(10)
        .map(|d| d.abs())
        .sum::<f64>()
        / 10.0;
    println!("{first:.1} Hz beside, with feedback {last:.2}");
    assert!((first - 500.0).abs() < 100.0, "{first}");
    assert!(first.abs() > 20.0 * last);
    draw("energy.svg", &energy_feedback::draw(&kept));
}

/// Mistakes are told, and nothing is left elsewhere.
#[test]
fn what_cannot_be_is_said() {
    let rig = Rig::new(options());
    let mut table = Table {
        rows: vec!["m".to_owned()],
        columns: vec!["c".to_owned()],
        values: nalgebra::DMatrix::zeros(1, 1),
    };
    let error = |table: &Table| rig.run(async { Ok(orbit_error(&rig, table).await) });
    assert!(error(&table).contains("measure the response again"));
    table.values[(0, 0)] = 1.0;
    assert!(error(&table).contains("other monitors or correctors"));
    let path = std::env::temp_dir().join(format!("canter-table-{}", std::process::id()));
    table.save(&path).unwrap();
    assert_eq!(Table::load(&path).unwrap(), table);
    std::fs::write(&path, ",c\nm,1,2\n").unwrap();
    let wrong = Table::load(&path).unwrap_err().to_string();
    assert!(wrong.contains("line 2: 2 numbers"), "{wrong}");
    std::fs::remove_file(path).unwrap();
    let missing = rig.run(async { Ok(rig.machine().open("quads").await.unwrap_err().to_string()) });
    assert!(missing.contains("it has: beam, correctors-x"), "{missing}");
    assert!(LATTICE.contains("cell"));
}

async fn orbit_error(rig: &Rig, table: &Table) -> String {
    let run = orbit_feedback::run(&rig.machine(), "x", table, 1).await;
    run.unwrap_err().to_string()
}

/// The picture of the optics in the book.
#[test]
fn the_optics_are_drawn() {
    let ring = machine(options());
    // Beta functions are round within quadrupoles.
    let optics = ring.design().sliced(8).optics().unwrap();
    let cells = |of: fn(&ca_ring::Twiss) -> f64| {
        let first = optics.at.iter().take_while(|at| at.s <= 20.0);
        first.map(|at| (at.s, of(at))).collect::<Vec<_>>()
    };
    let plot = ca_applications::plot::Plot::new("Optics", "s, m", "m")
        .line("beta x", cells(|at| at.beta[0]))
        .line("beta y", cells(|at| at.beta[1]))
        .line("10 x dispersion", cells(|at| 10.0 * at.dispersion.x));
    draw("beta.svg", &plot.svg());
}
