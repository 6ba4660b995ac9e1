//! Whether the crates could be published as they are: what their packages hold, and what they depend on.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::steps;

/// Options of `cargo xtask publish`.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Options {
    /// Compile each package from what is in it, too, as publishing does (minutes)
    #[arg(long)]
    verify: bool,
}

/// What cargo tells of a package.
#[derive(Debug, Deserialize)]
struct Package {
    name: String,
    version: String,
    /// Where it may be published; `None` is anywhere.
    publish: Option<Vec<String>>,
    /// None for those of this workspace.
    source: Option<String>,
    description: Option<String>,
    license: Option<String>,
    readme: Option<String>,
    repository: Option<String>,
    rust_version: Option<String>,
    keywords: Vec<String>,
    categories: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// What each package has to hold.
const FILES: [&str; 3] = ["LICENSE-APACHE", "LICENSE-MIT", "README.md"];
/// What may be linked into a program that is MIT or Apache-2.0; the same as in `deny.toml`.
const LICENCES: [&str; 6] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSL-1.0",
    "Zlib",
    "Unicode-3.0",
];

impl Package {
    fn is_ours(&self) -> bool {
        self.source.is_none() && self.publish.is_none()
    }

    /// What a registry, or who looks for a crate there, would miss.
    fn lacks(&self) -> Vec<String> {
        let texts = [
            ("description", &self.description),
            ("license", &self.license),
            ("readme", &self.readme),
            ("repository", &self.repository),
            ("rust-version", &self.rust_version),
        ];
        let empty = |text: &Option<String>| text.as_ref().is_none_or(String::is_empty);
        let missing = texts.iter().filter(|(_, text)| empty(text));
        let mut lacks: Vec<_> = missing.map(|(name, _)| (*name).to_owned()).collect();
        // The bounds of crates.io.
        for (name, list) in [
            ("keywords", &self.keywords),
            ("categories", &self.categories),
        ] {
            if !(1..=5).contains(&list.len()) {
                lacks.push(format!("1 to 5 {name}"));
            }
        }
        lacks
    }
}

/// Looks at the metadata and the files of each package, then makes all of them in one call.
///
/// # Errors
/// Names the packages and what they lack.
pub(crate) fn run(options: &Options) -> Result<(), String> {
    let packages = metadata(&[])?;
    let (ours, others): (Vec<_>, Vec<_>) = packages
        .iter()
        .filter(|package| package.source.is_none())
        .partition(|package| package.is_ours());
    let mut wrong = Vec::new();
    for package in &ours {
        let lacks = package
            .lacks()
            .into_iter()
            .chain(missing_files(&package.name)?);
        wrong.extend(lacks.map(|what| format!("{} lacks {what}", package.name)));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("; "));
    }
    let mut make = steps::cargo(&["package", "--workspace", "--quiet", "--allow-dirty"]);
    make.args(
        others
            .iter()
            .flat_map(|package| ["--exclude", &package.name]),
    );
    if !options.verify {
        make.arg("--no-verify");
    }
    steps::run(&mut make)?;
    for package in &ours {
        let file = format!("package/{}-{}.crate", package.name, package.version);
        let made = std::fs::metadata(steps::target().join(&file));
        let size = made.map_err(|error| format!("{file}: {error}"))?.len();
        println!(
            "  {} {}: {} KiB",
            package.name,
            package.version,
            size.div_ceil(1024)
        );
    }
    Ok(())
}

fn missing_files(package: &str) -> Result<Vec<String>, String> {
    let list = output(&mut steps::cargo(&[
        "package",
        "--list",
        "--allow-dirty",
        "-p",
        package,
    ]))?;
    let files: BTreeSet<_> = list.lines().collect();
    let missing = FILES.into_iter().filter(|file| !files.contains(file));
    Ok(missing.map(str::to_owned).collect())
}

/// A program that uses only the blocking client does not compile tokio, on any platform.
///
/// # Errors
/// Says who brings it in, or that this client does not compile.
pub(crate) fn without_tokio() -> Result<(), String> {
    const BLOCKING: [&str; 5] = [
        "-p",
        "ca-client",
        "--no-default-features",
        "--features",
        "blocking",
    ];
    let mut check = steps::cargo(&["check", "--quiet"]);
    steps::run(check.args(BLOCKING))?;
    let mut tree = steps::cargo(&["tree", "--target=all", "--edges=normal,build"]);
    let output = tree
        .args(BLOCKING)
        .args(["--prefix=none", "--format={lib}"]);
    let output = output
        .output()
        .map_err(|error| format!("cannot run cargo tree: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !text.lines().any(|line| line.starts_with("ca_net")) {
        return Err(format!("cargo tree ended with {}", output.status));
    }
    match text
        .lines()
        .find(|line| line.split(' ').next() == Some("tokio"))
    {
        None => Ok(()),
        Some(_) => Err(format!(
            "the blocking client depends on tokio; see cargo tree {} -e normal -i tokio",
            BLOCKING.join(" ")
        )),
    }
}

/// Holds dependencies to `deny.toml`: with cargo-deny if it is there, and else their licences alone.
///
/// # Errors
/// Names what does not fit.
pub(crate) fn deny() -> Result<(), String> {
    let mut has = steps::cargo(&["deny", "--version"]);
    let has = has.stdout(Stdio::null()).stderr(Stdio::null()).status();
    if has.is_ok_and(|status| status.success()) {
        steps::run(&mut steps::cargo(&[
            "deny", "check", "licenses", "bans", "sources",
        ]))?;
        // The database of advisories comes from the network; without it nothing is known, which is no failure.
        let mut fetch = steps::cargo(&["deny", "fetch", "db"]);
        return match steps::run(fetch.stderr(Stdio::null())) {
            Ok(()) => steps::run(&mut steps::cargo(&["deny", "check", "advisories"])),
            Err(_) => {
                println!("left out: advisories (their database cannot be had)");
                Ok(())
            }
        };
    }
    println!(
        "no cargo-deny (`cargo install cargo-deny`): only licences are looked at, no advisories, no duplicates"
    );
    let packages = metadata(&["--all-features"])?;
    let foreign: Vec<_> = packages
        .iter()
        .filter(|package| package.source.is_some())
        .collect();
    let wrong: Vec<_> = foreign
        .iter()
        .filter(|package| !package.license.as_deref().is_some_and(fits))
        .map(|package| {
            format!(
                "{} {}: {:?}",
                package.name, package.version, package.license
            )
        })
        .collect();
    if foreign.is_empty() || !wrong.is_empty() {
        return Err(format!(
            "licences that deny.toml does not allow: {}",
            wrong.join(", ")
        ));
    }
    println!("licences of {} packages fit", foreign.len());
    Ok(())
}

/// Whether one of the alternatives of a licence expression (SPDX, "OR" binds weaker than "AND") is allowed.
fn fits(expression: &str) -> bool {
    fn alternatives(text: &str) -> bool {
        text.split(" OR ").any(|all| {
            all.split(" AND ")
                .all(|name| LICENCES.contains(&name.trim()))
        })
    }
    let text = expression.replace('/', " OR ");
    // A group is as good as its best alternative: it becomes an allowed name, or one that is not.
    let mut text = text;
    while let Some((before, rest)) = text.split_once('(') {
        let Some((group, after)) = rest.split_once(')') else {
            return false;
        };
        let stands_for = if alternatives(group) {
            LICENCES[0]
        } else {
            "refused"
        };
        text = format!("{before}{stands_for}{after}");
    }
    alternatives(&text)
}

fn metadata(args: &[&str]) -> Result<Vec<Package>, String> {
    let mut ask = steps::cargo(&["metadata", "--format-version", "1", "--locked"]);
    let text = output(ask.args(args))?;
    let metadata: Metadata =
        serde_json::from_str(&text).map_err(|error| format!("cargo metadata: {error}"))?;
    Ok(metadata.packages)
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot run cargo: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(format!("{command:?} ended with {}", output.status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alternative_of_a_licence_is_enough_and_all_parts_of_it_are_needed() {
        for good in [
            "MIT",
            "MIT OR Apache-2.0",
            "MIT/Apache-2.0",
            "GPL-3.0 OR MIT",
            "(MIT OR Apache-2.0) AND Unicode-3.0",
        ] {
            assert!(fits(good), "{good}");
        }
        for bad in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "(GPL-3.0 OR LGPL-3.0) AND MIT",
            "(MIT",
            "",
        ] {
            assert!(!fits(bad), "{bad}");
        }
    }

    #[test]
    fn licences_are_those_of_the_configuration() {
        let file = std::fs::read_to_string(steps::root().join("deny.toml")).unwrap();
        let file: toml::Table = file.parse().unwrap();
        let allowed = file["licenses"]["allow"].as_array().unwrap();
        let allowed: Vec<_> = allowed.iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(allowed, LICENCES);
    }
}
