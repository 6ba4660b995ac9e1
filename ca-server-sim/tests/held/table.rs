//! The table of the documentation: what each attack makes an IOC hold, as the allocator counts it.
//!
//! ```sh
//! CANTER_BLESS=1 cargo test -p ca-server-sim --features toml --test held table -- --include-ignored
//! ```
//! writes it anew; without the variable the tests fail when an attack takes more than 10 % more than
//! the table says.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use allocation_counter::measure;
use ca_proto::config::ServerParams;
use ca_proto::server::ALLOWANCE;
use ca_server_sim::Ioc;

use crate::attacks::{ATTACKS, Attack, pvs};
use crate::peer::{HOST, Peer, refused, start};

const FILES: [&str; 2] = ["SECURITY.md", "docs/src/configuration.md"];
const BEGIN: &str = "<!-- held: begin -->\n";
const END: &str = "<!-- held: end -->";

/// The settings that the book recommends for networks that one does not trust.
fn hardened() -> ServerParams {
    let book = std::fs::read_to_string(root().join(FILES[1])).expect("the book");
    let block = book
        .split("```toml\n[limits]\n")
        .nth(1)
        .expect("the settings");
    let block = block.split("```").next().expect("their end");
    let ioc = Ioc::builder()
        .limits(block)
        .expect("valid settings")
        .build();
    ioc.expect("no PVs").params().clone()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Circuits one after the other that were refused what they asked for, and hold next to nothing for it. Those
/// behind them come, and ask for nothing: each would have as much received as there is room for, only to have
/// it thrown away.
const FULL: usize = 4;
/// What counts as next to nothing, in bytes.
const LITTLE: usize = 4096;

/// The most bytes that an attack had allocated at a time: by one circuit, and by as many as an address
/// gets.
fn attack(attack: &Attack, params: &ServerParams) -> [u64; 2] {
    [1, params.max_circuits_per_host].map(|circuits| {
        let mut ioc = start(params.clone(), pvs(params));
        let mut peers = Vec::with_capacity(circuits);
        let counted = measure(|| {
            let mut full = 0;
            while peers.len() < circuits
                && let Some(mut peer) = Peer::connect(&mut ioc, HOST)
            {
                if full < FULL {
                    let before = (refused(&ioc), ioc.held_by(HOST) + LITTLE);
                    (attack.run)(&mut ioc, &mut peer);
                    let is_vain = refused(&ioc) > before.0 && ioc.held_by(HOST) < before.1;
                    full = if is_vain { full + 1 } else { 0 };
                }
                peers.push(peer);
            }
            (attack.then)(&mut ioc, &mut peers);
        });
        let account = ioc.held_by(HOST) as u64;
        let limit = params.max_bytes_per_host as u64 + (circuits * ALLOWANCE) as u64;
        assert!(account <= limit, "{}: {account} of {limit}", attack.name);
        counted.bytes_max
    })
}

/// Measures, and compares with the table, or writes its two columns from `column` on.
fn check(params: &ServerParams, column: usize) {
    let mut worse = String::new();
    for one in ATTACKS {
        let measured = attack(one, params);
        worse += &compare(one.name, measured, column);
    }
    assert_eq!(worse, "");
}

fn compare(name: &str, measured: [u64; 2], column: usize) -> String {
    // The two tests write the same files.
    static WRITING: Mutex<()> = Mutex::new(());
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let bless = std::env::var_os("CANTER_BLESS").is_some();
    let mut worse = String::new();
    for file in FILES {
        let path = root().join(file);
        let text = std::fs::read_to_string(&path).expect("the document");
        let mut table = Table::parse(&text);
        for (at, bytes) in measured.into_iter().enumerate() {
            let cell = table.cell(name, column + at);
            let now = bytes as f64 / 1e6;
            if bless {
                *cell = Some(megabytes(bytes));
            } else if cell.map_or(column == 0, |told| now > told * 1.1) {
                let _ = writeln!(worse, "{file}: {name}: {now:.1} MB, not {cell:?}");
            }
        }
        if bless {
            (table.rows).retain(|row| ATTACKS.iter().any(|one| one.name == row.name));
            std::fs::write(&path, table.write(&text)).expect("a writable document");
        }
    }
    worse
}

/// Rounded up to two digits.
fn megabytes(bytes: u64) -> f64 {
    let megabytes = bytes as f64 / 1e6;
    let digit = 10f64.powf(megabytes.log10().floor() - 1.0);
    (megabytes / digit).ceil() * digit
}

struct Table {
    rows: Vec<Row>,
}

struct Row {
    name: String,
    cells: [Option<f64>; 4],
}

impl Table {
    fn parse(text: &str) -> Self {
        let part = text
            .split(BEGIN)
            .nth(1)
            .and_then(|part| part.split(END).next());
        let lines = part.expect("a table between its marks").lines().skip(2);
        let rows = lines.map(|line| {
            let mut cells = line.trim_matches('|').split('|').map(str::trim);
            let name = cells.next().unwrap_or_default().to_owned();
            let mut number = || cells.next()?.split(' ').next()?.parse().ok();
            Row {
                name,
                cells: [number(), number(), number(), number()],
            }
        });
        Self {
            rows: rows.collect(),
        }
    }

    fn cell(&mut self, name: &str, column: usize) -> &mut Option<f64> {
        let at = self.rows.iter().position(|row| row.name == name);
        let at = at.unwrap_or_else(|| {
            self.rows.push(Row {
                name: name.to_owned(),
                cells: [None; 4],
            });
            self.rows.len() - 1
        });
        &mut self.rows[at].cells[column]
    }

    /// The text with this table in place of the one it has.
    fn write(&self, text: &str) -> String {
        let (head, rest) = text.split_once(BEGIN).expect("the mark");
        let (_, tail) = rest.split_once(END).expect("the other mark");
        let mut out = format!("{head}{BEGIN}");
        out += "| held for a peer | hardened: circuit | address | default: circuit | address |\n";
        out += "|---|---|---|---|---|\n";
        for row in &self.rows {
            let _ = write!(out, "| {} |", row.name);
            for cell in row.cells {
                let _ = match cell {
                    Some(megabytes) if megabytes < 10.0 => {
                        write!(out, " {} MB |", short(megabytes))
                    }
                    Some(megabytes) => write!(out, " {megabytes:.0} MB |"),
                    None => write!(out, " |"),
                };
            }
            out.push('\n');
        }
        out + END + tail
    }
}

/// Without zeros at the end.
fn short(number: f64) -> String {
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[test]
fn attacks_hold_what_the_documents_say_with_hardened_settings() {
    check(&hardened(), 0);
}

#[test]
#[ignore = "takes 2 GiB of memory and, in a debug build, a minute of processor time; see the head of this file"]
fn attacks_hold_what_the_documents_say_with_the_defaults() {
    check(&ServerParams::default(), 2);
}
