//! `canter ring`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::common::{Run, command_on, ended, until};

fn fails(args: &[&str]) -> Run {
    let run = Run::of(&command_on(0, args).output().unwrap());
    assert_eq!(run.code, Some(2), "{run:?}");
    run
}

#[test]
fn a_corrector_moves_the_orbit() {
    let names = std::env::temp_dir().join(format!("canter-ring-{}.json", std::process::id()));
    let mut ring = command_on(
        0,
        &["ring", "--housekeeping", "1", "--end-with-stdin", "--names"],
    );
    let mut ring = ring
        .arg(&names)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(ring.stdout.take().unwrap()).lines();
    let port = lines.map_while(Result::ok).find_map(|line| {
        let port = line.strip_prefix("export EPICS_CA_SERVER_PORT=")?;
        port.parse().ok()
    });
    let port: u16 = port.expect("it says where it serves");
    let canter = |args: &[&str]| Run::of(&command_on(port, args).output().unwrap());
    let x = || -> f64 {
        let run = canter(&["get", "--json", "ARIDI-BPM-005:X"]);
        run.json()[0]["value"].as_f64().unwrap()
    };
    until("the first step is done", || x() != 0.0);
    let before = x();
    let put = canter(&["put", "ARIMA-CH-010:I-SET", "5"]);
    assert_eq!(put.code, Some(0), "{put:?}");
    until("the beam moves", || (x() - before).abs() > 0.1);
    let refused = canter(&["put", "ARIDI-BPM-005:X", "0"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let orbit = canter(&["get", "--json", "ARIDI-ORBIT:X"]);
    assert_eq!(orbit.json()[0]["value"].as_array().unwrap().len(), 120);
    let list: serde_json::Value = serde_json::from_slice(&fs::read(&names).unwrap()).unwrap();
    assert!(list["set_points"].as_array().unwrap().len() > 400);
    fs::remove_file(names).unwrap();
    drop(ring.stdin.take());
    assert_eq!(ended(&mut ring), Some(0));
}

#[test]
fn lattices_that_are_no_rings_are_refused() {
    let file = std::env::temp_dir().join(format!("canter-lattice-{}", std::process::id()));
    let path = file.to_str().unwrap();
    for (text, says) in [
        ("q: quadrupol, l = 1;", "line 1, column 4: there is no type"),
        (
            "b: sbend, l = 1, angle = pi/2; m: monitor; c: kicker; ring: line = (b, m, c);",
            "repeat it 4 times",
        ),
        (
            "q: quadrupole, l = 1, k1 = 9; m: monitor; c: kicker; ring: line = (q, m, c);",
            "unstable",
        ),
        (
            "d: drift, l = 1; b: sbend, l = 1, angle = 1; ring: line = (d, b);",
            "0 monitors",
        ),
    ] {
        fs::write(&file, text).unwrap();
        let run = fails(&["ring", "--lattice", path]);
        assert!(run.err.contains(says) && run.err.contains(path), "{run:?}");
    }
    fs::remove_file(&file).unwrap();
    fails(&["ring", "--lattice", path]).says("name a file");
    fails(&["ring", "--housekeeping", "100000"]).says("at most 495");
    fails(&["ring", "--period", "0"]);
    let printed = Run::of(
        &command_on(0, &["ring", "--print-lattice"])
            .output()
            .unwrap(),
    );
    assert_eq!(printed.code, Some(0));
    assert!(
        ca_ring::Lattice::parse(&printed.out)
            .unwrap()
            .optics()
            .is_ok()
    );
}

/// The lattice of the book, and what is said of it with two slips.
#[test]
fn the_lattice_of_the_book() {
    let page = include_str!("../../../docs/src/virtual-ring.md").replace('\r', "");
    let (_, after) = page.split_once("```text\nbeam").unwrap();
    let (lattice, after) = after.split_once("```").unwrap();
    let lattice = format!("beam{lattice}");
    let ring = ca_ring::Lattice::parse(&lattice).unwrap();
    ca_ring::Machine::new(ring, ca_ring::Options::default()).unwrap();
    let (_, after) = after.split_once("```text\n").unwrap();
    let (told, _) = after.split_once("```").unwrap();
    let slips = lattice
        .replace("quadrupole", "quadrupol")
        .replace("20*cell", "20*cel");
    let file = std::env::temp_dir().join(format!("canter-slips-{}", std::process::id()));
    fs::write(&file, slips).unwrap();
    let path = file.to_str().unwrap();
    let run = fails(&["ring", "--lattice", path]);
    fs::remove_file(&file).unwrap();
    let told = told.trim().replace("ring.lat", path);
    assert!(run.err.contains(&told), "{}\n{told}", run.err);
}
