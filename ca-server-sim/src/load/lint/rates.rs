//! How often records are processed: those that scan, and all that follow.

use hashbrown::HashMap;

use super::graph::Graph;
use super::{choice, warning};
use crate::load::loader::Loaded;
use crate::load::mistakes::{Mistake, MistakeKind};
use crate::load::source::shown;

/// Records that an IOC may process in a second; a fast machine does ten times as many.
const MAX_TOTAL: f64 = 100_000.0;
/// Records that one record may cause to be processed through CP links in a second.
const MAX_STORM: f64 = 1_000.0;
/// CP links to one record, however often it changes.
const MAX_CP: usize = 200;

/// Times per second of a choice of SCAN: `.5 second`, `2 minutes`, `50 Hz`.
fn rate(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (number, unit) = text.split_once(' ')?;
    let number: f64 = number.parse().ok().filter(|&number| number > 0.0)?;
    match unit.trim().to_lowercase().as_str() {
        "second" | "seconds" => Some(1.0 / number),
        "minute" | "minutes" => Some(1.0 / (60.0 * number)),
        "hour" | "hours" => Some(1.0 / (3600.0 * number)),
        "hz" | "hertz" => Some(number),
        _ => None,
    }
}

pub(super) fn judge(loaded: &Loaded, graph: &Graph, found: &mut Vec<Mistake>) {
    let scans = loaded
        .records
        .iter()
        .map(|record| choice(loaded, &record, "SCAN"));
    let mut known: HashMap<&[u8], Option<f64>> = HashMap::new();
    let mut by_scan: HashMap<&[u8], usize> = HashMap::new();
    let mut rates: Vec<f64> = Vec::with_capacity(graph.records());
    for scan in scans {
        let own = scan.and_then(|text| {
            let own = *known.entry(text).or_insert_with(|| rate(text));
            *by_scan.entry(text).or_default() += usize::from(own.is_some());
            own
        });
        rates.push(own.unwrap_or(0.0));
    }
    // Those that reach others come first.
    let mut order: Vec<usize> = (0..graph.records()).collect();
    order.sort_by_key(|&record| std::cmp::Reverse(graph.groups[record]));
    for record in order {
        for edge in graph.of(record) {
            if graph.groups[edge.to] != graph.groups[record] {
                rates[edge.to] += rates[record];
            }
        }
    }
    storms(loaded, graph, &rates, found);
    total(loaded, &rates, &by_scan, found);
}

fn storms(loaded: &Loaded, graph: &Graph, rates: &[f64], found: &mut Vec<Mistake>) {
    for (record, rate) in rates.iter().enumerate() {
        let mut cp = graph.of(record).iter().filter(|edge| edge.is_cp);
        let count = cp.clone().count();
        let caused = rate * count as f64;
        let (Some(first), true) = (cp.next(), count > MAX_CP || caused > MAX_STORM) else {
            continue;
        };
        let name = shown(loaded.records.name(record));
        let mut message = format!("{count} CP links process records whenever `{name}` changes");
        if *rate > 0.0 {
            message.push_str(&format!(", up to {caused:.0} times a second"));
        }
        let remedy = "a dead-band (MDEL) or a slower scan makes it change less often";
        found.push(warning(MistakeKind::Load, first.place, message, remedy));
    }
}

fn total(
    loaded: &Loaded,
    rates: &[f64],
    by_scan: &HashMap<&[u8], usize>,
    found: &mut Vec<Mistake>,
) {
    let total: f64 = rates.iter().sum();
    if total <= MAX_TOTAL {
        return;
    }
    let fastest = rates.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let Some((fastest, _)) = fastest else { return };
    let mut scans: Vec<(&[u8], usize)> = by_scan
        .iter()
        .map(|(text, count)| (*text, *count))
        .collect();
    scans.retain(|&(_, count)| count > 0);
    scans.sort();
    let scans: Vec<String> = scans
        .iter()
        .map(|(text, count)| format!("{count} at `{}`", shown(text)))
        .collect();
    let message = format!(
        "about {total:.0} records are processed in a second: {}",
        scans.join(", ")
    );
    let mut mistake = warning(
        MistakeKind::Load,
        loaded.records.place(fastest),
        message,
        "scan more slowly, or share the records among several IOCs",
    );
    mistake
        .notes
        .push("the record shown is processed most often".into());
    found.push(mistake);
}
