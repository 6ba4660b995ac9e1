//! Files of records for the benches of the record database.

use std::fmt::Write;

/// Whether half of the records scan at one second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scans {
    /// Half of them, those with even numbers.
    Half,
    /// None.
    None,
}

/// As many records of the usual types; a tenth of them read through a link.
pub fn plant(records: usize, scans: Scans) -> String {
    let mut db = String::with_capacity(records * 150);
    for n in 0..records {
        let scan = match scans == Scans::Half && n % 2 == 0 {
            true => "  field(SCAN, \"1 second\")\n",
            false => "",
        };
        let next = (n + 1) % records;
        let value = n % 100;
        let written = match n % 20 {
            0 | 10 => write!(
                db,
                "record(calc, \"S:{n}\") {{\n  field(DESC, \"sum {n}\")\n{scan}  field(INPA, \"S:{next} NPP NMS\")\n  \
                 field(CALC, \"A+1\")\n  field(EGU, \"mm\")\n  field(PREC, \"3\")\n}}\n"
            ),
            2 | 6 | 14 | 18 => write!(
                db,
                "record(longin, \"S:{n}\") {{\n  field(DESC, \"count {n}\")\n{scan}  field(EGU, \"counts\")\n  \
                 field(VAL, \"{n}\")\n}}\n"
            ),
            3 | 7 | 11 | 15 | 19 => write!(
                db,
                "record(bo, \"S:{n}\") {{\n  field(DESC, \"switch {n}\")\n{scan}  field(ZNAM, \"Off\")\n  \
                 field(ONAM, \"On\")\n}}\n"
            ),
            _ => write!(
                db,
                "record(ai, \"S:{n}\") {{\n  field(DESC, \"reading {n}\")\n{scan}  field(EGU, \"mm\")\n  \
                 field(PREC, \"3\")\n  field(HIHI, \"1000\")\n  field(HHSV, \"MAJOR\")\n  field(VAL, \"{value}.5\")\n}}\n"
            ),
        };
        // A text grows as long as there is memory.
        let _ = written;
    }
    db
}

/// Records that each process the next one and read the one before.
pub fn chain(records: usize) -> String {
    let mut db = String::from("record(ao, \"S:0\") { field(FLNK, \"S:1\") }\n");
    for n in 1..records {
        let (before, next) = (n - 1, n + 1);
        let forward = match next < records {
            true => format!(" field(FLNK, \"S:{next}\")"),
            false => String::new(),
        };
        let _ = writeln!(
            db,
            "record(calc, \"S:{n}\") {{ field(INPA, \"S:{before} NPP NMS\") field(CALC, \"A+1\"){forward} }}"
        );
    }
    db
}
