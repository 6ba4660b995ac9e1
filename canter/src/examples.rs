//! The command lines of README and book are ones that the program takes.

use crate::Cli;
use crate::dump;

const PAGES: &[(&str, &str)] = &[
    ("README.md", include_str!("../../README.md")),
    ("install.md", include_str!("../../docs/src/install.md")),
    ("first-ioc.md", include_str!("../../docs/src/first-ioc.md")),
    (
        "conformance.md",
        include_str!("../../docs/src/conformance.md"),
    ),
    ("json.md", include_str!("../../docs/src/json.md")),
    ("tools.md", include_str!("../../docs/src/tools.md")),
];

/// The arguments of a shell line: quotes kept together, comments cut off.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            '#' if !quoted && words.last().is_some_and(String::is_empty) => break,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut().expect("it starts with one").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn shell_lines(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```sh\n").skip(1);
    blocks.flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

#[test]
fn commands_in_readme_and_book_are_understood() {
    let mut seen = 0;
    for (name, page) in PAGES {
        for line in shell_lines(page).filter(|line| line.starts_with("canter ")) {
            let help = clap::error::ErrorKind::DisplayHelp;
            match Cli::read(words(line).into_iter().map(Into::into).collect()) {
                Ok(_) => {}
                Err(error) if error.kind() == help => {}
                // Of a program with the feature.
                Err(_) if cfg!(not(feature = "world")) && line.starts_with("canter world") => {}
                Err(error) => panic!("{name}: {line}\n{error}"),
            }
            seen += 1;
        }
    }
    assert!(seen >= 8, "only {seen} command lines found");
}

#[test]
fn pvs_of_the_examples_are_understood() {
    for (name, page) in PAGES {
        for line in shell_lines(page).filter(|line| line.starts_with("canter ioc")) {
            for pair in words(line).windows(2).filter(|pair| pair[0] == "--pv") {
                let parsed = ca_server_sim::describe::parse(&pair[1]);
                assert!(parsed.is_ok(), "{name}: {}: {parsed:?}", pair[1]);
            }
        }
    }
}

#[test]
fn the_dump_of_the_book_is_what_it_shows() {
    let (_, page) = PAGES.last().expect("tools.md");
    let lines: Vec<&str> = shell_lines(page).collect();
    let example = lines
        .iter()
        .position(|line| line.ends_with("| canter dump"));
    let at = example.expect("it is there");
    let (text, malformed) = dump::dumped(&words(lines[at])[1]).expect("hexadecimal text");
    assert_eq!(text, format!("{}\n", lines[at + 1]));
    assert!(!malformed);
}
