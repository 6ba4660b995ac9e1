//! The examples, as they are, against a simulated machine.

use ca_server_sim::net::SimIoc;
use ca_server_sim::{Ioc, PvSpec};

use crate::rig::{MILLI, Rig};

macro_rules! examples {
    ($($name:ident = $path:literal;)*) => {$(
        #[path = $path]
        #[expect(dead_code, reason = "its main is not called")]
        mod $name;
    )*};
}

examples! {
    knob_scan = "../../examples/knob_scan.rs";
    knob_responses = "../../examples/knob_responses.rs";
    feedback = "../../examples/feedback.rs";
    quadrupole_alignment = "../../examples/quadrupole_alignment.rs";
}

/// Pulses of the machine, 10 ms apart; a test that hangs comes to its end.
const PULSES: u32 = 6000;

/// A machine that computes its read-backs from its set-points at each pulse, all with one time stamp.
fn machine(
    set: &[(&str, f64)],
    read: &'static [&'static str],
    model: impl Fn(&dyn Fn(&str) -> f64, &str) -> f64 + Send + 'static,
) -> Rig {
    let mut ioc = Ioc::builder();
    for &(name, value) in set {
        ioc = ioc.pv(name, PvSpec::double(value).control(-100.0, 100.0));
    }
    for &name in read {
        ioc = ioc.pv(name, PvSpec::double(0.0).read_only());
    }
    let rig = Rig::with(ioc);
    let naps: Vec<_> = (0..PULSES).map(|n| rig.rt.sleep(n * 10 * MILLI)).collect();
    let (ioc, host): (SimIoc, _) = (rig.ioc.clone(), rig.rt.host(crate::rig::IOC));
    rig.rt.spawn(async move {
        for nap in naps {
            nap.await;
            let stamp = host.wall();
            ioc.with(|ioc, now| {
                for &name in read {
                    let value = model(&|pv| ioc.number(pv).unwrap(), name);
                    ioc.post_stamped(now, name, value, stamp).unwrap();
                }
            });
        }
    });
    rig
}

#[test]
fn a_knob_scan_finds_the_maximum_and_goes_there() {
    let read = &["rf:phase:read", "bpm1:x"];
    let rig = machine(&[("rf:phase:set", 0.0)], read, |pv, name| match name {
        // The read-back is slow: half-way in each pulse.
        "rf:phase:read" => (pv("rf:phase:set") + pv("rf:phase:read")) / 2.0,
        _ => 2.0 * (pv("rf:phase:read") - 7.0).to_radians().cos(),
    });
    let best = rig.run(knob_scan::run(&rig.client)).unwrap();
    assert!((best - 7.0).abs() < 0.5, "{best}");
    assert!((rig.number("rf:phase:read") - 7.0).abs() < 0.6);
}

#[test]
fn a_response_matrix_is_measured_and_nothing_left_behind() {
    const MATRIX: [[f64; 2]; 3] = [[1.0, 0.0], [2.0, -0.5], [-1.5, 3.0]];
    let set = [("c1:set", 0.1), ("c2:set", -0.3)];
    let read = &["bpm1:x", "bpm2:x", "bpm3:x"];
    let rig = machine(&set, read, move |pv, name| {
        let row = MATRIX[read.iter().position(|it| *it == name).unwrap()];
        row[0] * pv("c1:set") + row[1] * pv("c2:set") + 0.05
    });
    let run = knob_responses::run(&rig.client, &["c1:set", "c2:set"], read);
    let matrix = rig.run(run).unwrap();
    for (measured, true_one) in matrix.iter().flatten().zip(MATRIX.iter().flatten()) {
        assert!((measured - true_one).abs() < 1e-9, "{matrix:?}");
    }
    assert_eq!((rig.number("c1:set"), rig.number("c2:set")), (0.1, -0.3));
}

#[test]
fn a_feedback_brings_the_beam_to_its_place() {
    let read = &["bpm1:x", "bpm2:x"];
    let rig = machine(&[("c1:set", 0.0)], read, |pv, name| match name {
        "bpm1:x" => 0.8 + pv("c1:set"),
        _ => 0.8 + 2.0 * pv("c1:set"),
    });
    let steps = rig
        .run(feedback::run(&rig.client, "c1:set", read, 1.5))
        .unwrap();
    assert!((3..40).contains(&steps), "{steps}");
    assert!((rig.number("c1:set") + 0.8 / 1.5).abs() < 0.02);
}

#[test]
fn the_centre_of_a_quadrupole_is_found() {
    let set = [("c1:set", 0.0), ("q1:set", 5.0)];
    let rig = machine(&set, &["bpm1:x", "bpm2:x"], |pv, name| {
        let beam = 0.3 + 2.0 * pv("c1:set");
        match name {
            // The monitor is 0.12 mm off the centre of the quadrupole.
            "bpm1:x" => beam + 0.12,
            _ => 1.5 * beam + 0.7 * pv("q1:set") * beam,
        }
    });
    let run = quadrupole_alignment::run(&rig.client, ("c1:set", "q1:set"), ("bpm1:x", "bpm2:x"));
    let centre = rig.run(run).unwrap();
    assert!((centre - 0.12).abs() < 1e-6, "{centre}");
    assert_eq!((rig.number("c1:set"), rig.number("q1:set")), (0.0, 5.0));
}
