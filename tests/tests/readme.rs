//! The figures of the README are those of the benchmark's tables.

use std::fs;
use std::path::Path;

fn page(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

/// The first figure (the median) of a row of a table below a heading.
fn figure(heading: &str, row: &str) -> String {
    let page = page("docs/src/performance.md");
    let table = page.split(&format!("\n### {heading}\n")).nth(1);
    let table = table.unwrap_or_else(|| panic!("no table {heading}"));
    let table = table.split("\n### ").next().unwrap();
    let line = table.lines().find(|line| line.starts_with(row));
    let line = line.unwrap_or_else(|| panic!("no row {row} below {heading}"));
    let cell = line[row.len()..].split('|').next().unwrap();
    cell.split_whitespace().next().unwrap().to_owned()
}

/// The figures in the two last cells of a row of the README.
fn shown(row: &str) -> [String; 2] {
    let page = page("README.md");
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("| {row}")));
    let line = line.unwrap_or_else(|| panic!("no row {row} in the README"));
    let cells: Vec<_> = line.split('|').map(str::trim).collect();
    [cells[2], cells[3]].map(|cell| cell.split_whitespace().next().unwrap().to_owned())
}

#[test]
fn the_figures_beside_libca_and_the_real_ioc_are_those_of_the_tables() {
    let rows = [
        (
            "a get from the real IOC",
            "W1 get, one outstanding",
            "| libca → real IOC | same core |",
            "| ours → real IOC | same core |",
        ),
        (
            "10 000 channels of the real IOC",
            "W5 connect 10 000",
            "| libca → real IOC |",
            "| ours → real IOC |",
        ),
        (
            "updates of 1000 PVs",
            "W4 updates of 1000 PVs",
            "| libca → real IOC |",
            "| libca → ours |",
        ),
    ];
    for (row, heading, theirs, ours) in rows {
        let expected = [figure(heading, theirs), figure(heading, ours)];
        assert_eq!(
            shown(row),
            expected,
            "{row}: the README is behind {heading}"
        );
    }
}
