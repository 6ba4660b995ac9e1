//! The book's reference of files is what the code says.
#![cfg(feature = "toml")]

use std::fs;
use std::path::Path;

const BEGIN: &str = "<!-- made by ca_server_sim::toml::reference -->\n";
const END: &str = "<!-- end of what is made -->\n";

/// `CANTER_BLESS=1 cargo test -p ca-server-sim --features toml --test reference` writes it anew.
#[test]
fn the_reference_in_the_book_is_made_from_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/ioc-file.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the first mark");
    let (made, after) = rest.split_once(END).expect("the last mark");
    let expected = format!("\n{}\n", ca_server_sim::toml::reference());
    if std::env::var_os("CANTER_BLESS").is_some() {
        fs::write(&path, format!("{before}{BEGIN}{expected}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(made, expected, "run it with CANTER_BLESS=1");
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
