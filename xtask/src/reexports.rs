//! Types in public signatures can be named with the crate alone: whoever depends on `ca-client` need not
//! depend on the crates below it to write down what its functions take and give.
//!
//! Signatures are read from the documentation, which the stable compiler makes; its JSON form is not stable. In
//! one that is made without those of dependencies, a type that the crate has under a name of its own is a link
//! to it, and one that only another crate has is plain text, or a link to that crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::steps;

/// The published crates, from the bottom.
const CRATES: [&str; 9] = [
    "ca_proto",
    "ca_net",
    "ca_client",
    "ca_kit",
    "ca_server_sim",
    "ca_links",
    "ca_proxy",
    "ca_testkit",
    "ca_conformance",
];

/// Words that are no types, and a type of `bytes` that has the name of one of ours.
const NOT_OURS: [&str; 4] = ["Self", "Item", "Output", "Limit"];

/// Makes the documentation, and looks for types that cannot be named.
///
/// # Errors
/// Lists them, with a page that has each.
pub(crate) fn run() -> Result<(), String> {
    let mut doc = steps::cargo(&["doc", "--no-deps", "--all-features", "--quiet"]);
    for name in CRATES {
        doc.args(["--package", &name.replace('_', "-")]);
    }
    steps::run(&mut doc)?;
    let mut crates = BTreeMap::new();
    for name in CRATES {
        let mut pages = BTreeMap::new();
        collect(&steps::target().join("doc").join(name), &mut pages)?;
        let source = steps::root()
            .join(name.replace('_', "-"))
            .join("src/lib.rs");
        let source =
            fs::read_to_string(&source).map_err(|e| format!("{}: {e}", source.display()))?;
        crates.insert(name, Crate { pages, source });
    }
    match missing(&crates).as_slice() {
        [] => Ok(()),
        missing => Err(missing.join("\n")),
    }
}

/// What there is to know of a crate.
struct Crate {
    pages: BTreeMap<String, String>,
    /// Its `lib.rs`.
    source: String,
}

/// Types in signatures that neither have a name in their crate nor come from one that it re-exports as a whole.
fn missing(crates: &BTreeMap<&str, Crate>) -> Vec<String> {
    let mut owners: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, one) in crates {
        for item in nameable(&one.pages) {
            owners.entry(item).or_default().insert(name);
        }
    }
    let mut missing = Vec::new();
    for (name, one) in crates {
        let whole = |owner: &&str| one.source.contains(&format!("pub use {owner};"));
        for (item, page) in foreign(name, &one.pages) {
            let Some(owners) = owners.get(item.as_str()) else {
                // Of a library, or a parameter.
                continue;
            };
            if !owners.contains(name) && !owners.iter().any(&whole) {
                missing.push(format!("{name} has no {item}, which stands in {page}"));
            }
        }
    }
    missing
}

/// The pages below a folder.
fn collect(folder: &Path, pages: &mut BTreeMap<String, String>) -> Result<(), String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(told)? {
        let path = entry.map_err(told)?.path();
        if path.is_dir() {
            collect(&path, pages)?;
        } else if path.extension().is_some_and(|end| end == "html") {
            let text = fs::read_to_string(&path).map_err(told)?;
            pages.insert(path.display().to_string(), text);
        }
    }
    Ok(())
}

/// Names of all items of a crate that have a page, re-exported ones included.
fn nameable(pages: &BTreeMap<String, String>) -> BTreeSet<&str> {
    // `struct.Value.html`
    let files = pages.keys().filter_map(|page| page.rsplit('/').next());
    files
        .filter_map(|file| match file.split('.').collect::<Vec<_>>()[..] {
            [_, name, "html"] => Some(name),
            _ => None,
        })
        .collect()
}

/// Names of types in signatures that do not lead to a page of the crate, each with a page that has it.
fn foreign<'a>(own: &str, pages: &'a BTreeMap<String, String>) -> BTreeMap<String, &'a str> {
    let mut found = BTreeMap::new();
    let own = format!("{own}::");
    for (page, text) in pages {
        let items = between(text, "<pre class=\"rust item-decl\">", "</pre>");
        let methods = between(text, "class=\"method\">", "</h4>");
        for signature in items.chain(methods) {
            for title in between(signature, "title=\"", "\"") {
                // `struct ca_proto::dbr::value::Value`
                let Some((_, path)) = title.split_once(' ') else {
                    continue;
                };
                let last = path.rsplit("::").next().unwrap_or_default();
                if path.starts_with("ca_") && !path.starts_with(&own) && is_type(last) {
                    found.entry(last.to_owned()).or_insert(page.as_str());
                }
            }
            // Of enums with many variants.
            let plain = plain(signature).replace("variants    ", "variants\n    ");
            let variants = plain.contains("enum ");
            for line in plain.lines() {
                let line = line.split("//").next().unwrap_or_default();
                let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                // The first word in a line of an enum is a variant.
                let first = usize::from(variants && line.starts_with("    "));
                let words = words.filter(|word| !word.is_empty()).skip(first);
                for word in words.filter(|word| is_type(word)) {
                    found.entry(word.to_owned()).or_insert(page.as_str());
                }
            }
        }
    }
    found
}

/// A name in camel case.
fn is_type(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.contains(|c: char| c.is_ascii_lowercase())
        && !NOT_OURS.contains(&word)
}

/// A piece of a page without its links, and without the marks of what is left.
fn plain(html: &str) -> String {
    let mut parts = html.split("<a ");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out += part.split_once("</a>").map_or("", |(_, rest)| rest);
    }
    let mut text = String::new();
    for (n, part) in out.split('<').enumerate() {
        text += match n {
            0 => part,
            _ => part.split_once('>').map_or("", |(_, rest)| rest),
        };
    }
    text
}

/// What stands between these two, as often as it does.
fn between<'a>(
    text: &'a str,
    begin: &'static str,
    end: &'static str,
) -> impl Iterator<Item = &'a str> {
    let parts = text.split(begin).skip(1);
    parts.filter_map(move |part| part.split(end).next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(pages: &[(&str, &str)], source: &str) -> Crate {
        let pages = pages
            .iter()
            .map(|&(name, text)| (name.to_owned(), text.to_owned()));
        Crate {
            pages: pages.collect(),
            source: source.to_owned(),
        }
    }

    #[test]
    fn types_that_only_another_crate_has_are_found() {
        let page = r#"<h1>x</h1><pre class="rust item-decl"><code>pub enum A {
    Variant(<a title="struct ca_high::B">B</a>),
    Kind,
}</code></pre>
            <section id="method.f" class="method"><h4 class="code-header">fn f(Frame&lt;<a href="x">D</a>, Kept, T&gt;, Unknown, <a title="trait ca_low::a::Linked">Linked</a>)</h4></section>
            <section id="method.g" class="method trait-impl"><h4>fn g(Other)</h4></section>
            <p>Frame</p>"#;
        let low = ["Frame", "Kept", "Other", "Variant", "Kind", "Linked"]
            .map(|name| format!("d/struct.{name}.html"));
        let low: Vec<(&str, &str)> = low.iter().map(|page| (page.as_str(), "")).collect();
        let high = [("h/enum.A.html", page), ("h/struct.Kept.html", "")];
        let mut crates = BTreeMap::from([("ca_low", one(&low, "")), ("ca_high", one(&high, ""))]);
        let found = missing(&crates);
        let expected = ["Frame", "Linked"]
            .map(|name| format!("ca_high has no {name}, which stands in h/enum.A.html"));
        assert_eq!(found, expected);
        crates.insert("ca_high", one(&high, "pub use ca_low;\n"));
        assert!(missing(&crates).is_empty());
    }
}
