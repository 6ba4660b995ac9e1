//! The book's references of files and of records are what the code says.
#![cfg(feature = "toml")]

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use ca_server_sim::record::{RecordType, Schema};

const END: &str = "<!-- end of what is made -->\n";

/// `CANTER_BLESS=1 cargo test -p ca-server-sim --features toml --test reference` writes it anew.
fn is_made(page: &str, by: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/src")
        .join(page);
    let begin = format!("<!-- made by {by} -->\n");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(&begin).expect("the first mark");
    let (there, after) = rest.split_once(END).expect("the last mark");
    let expected = format!("\n{made}\n");
    if std::env::var_os("CANTER_BLESS").is_some() {
        fs::write(&path, format!("{before}{begin}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(there, expected, "run it with CANTER_BLESS=1");
}

#[test]
fn the_reference_in_the_book_is_made_from_the_code() {
    let made = ca_server_sim::toml::reference();
    is_made("ioc-file.md", "ca_server_sim::toml::reference", &made);
}

/// The names of the device supports of a record type that are simulated, or of those that are not.
fn devices(of: &RecordType, known: bool) -> String {
    let all = of.devices.iter().zip(&of.device_names);
    let names = all.filter(|(device, _)| device.known == known);
    let names: Vec<&str> = names.map(|(_, name)| &**name).collect();
    names.join(", ")
}

#[test]
fn the_tables_of_records_in_the_book_are_made_from_the_code() {
    let schema = Schema::base();
    let mut types: Vec<&RecordType> = schema.types().collect();
    types.sort_by_key(|of| of.name.to_ascii_lowercase());
    let mut made = String::from(
        "| type | fields | what it does | simulated device supports |\n|---|---|---|---|\n",
    );
    let mut missing: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for of in types {
        let does = match of.support.holds() {
            true => "holds its values",
            false => "processes",
        };
        let known = devices(of, true);
        let count = of.fields.len();
        let _ = writeln!(made, "| `{}` | {count} | {does} | {known} |", of.name);
        let others = devices(of, false);
        if !others.is_empty() {
            missing.entry(others).or_default().push(&of.name);
        }
    }
    made.push_str("\n| device supports whose records read and write nothing | of |\n|---|---|\n");
    for (names, types) in missing {
        let _ = writeln!(made, "| {names} | `{}` |", types.join("`, `"));
    }
    is_made("records.md", "the schema of record types", &made);
}

/// The example of the page has no mistakes, and its keys are all there are for a PV.
#[test]
fn the_example_of_the_book_is_served() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/ioc-file.md");
    let page = fs::read_to_string(&path).unwrap();
    let examples = page.split("```toml\n").skip(1);
    let examples = examples.map(|block| block.split("```").next().unwrap());
    let mut seen = 0;
    for example in examples {
        let description = ca_server_sim::toml::parse("ioc-file.md", example);
        let description = description.unwrap_or_else(|error| panic!("{error}"));
        assert!(description.remarks.is_empty(), "{}", description.remarks);
        let builder = ca_server_sim::Ioc::builder().toml(example).unwrap();
        assert!(builder.build().is_ok());
        seen += 1;
    }
    assert!(seen > 0);
}
