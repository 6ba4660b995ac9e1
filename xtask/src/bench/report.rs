//! Tables in Markdown.

use std::fmt::Write as _;
use std::time::Duration;

use super::plan::{Case, Work};
use super::results::{Figure, Results, Sample, Spread, unit};
use super::targets::{self, Bound, Target};
use crate::steps;

const BOOK: &str = "docs/src/performance.md";
const BEGIN: &str = "<!-- begin: written by `cargo xtask bench --book` -->";
const END: &str = "<!-- end: written by `cargo xtask bench --book` -->";

/// One line per run, while it goes on.
pub(crate) fn progress(
    elapsed: Duration,
    repeat: usize,
    number: usize,
    of: usize,
    case: &Case,
    outcome: &Result<Sample, String>,
) {
    let told = match outcome {
        Ok(sample) => {
            let main = Figure::Main
                .of(case.work, sample)
                .map_or_else(String::new, short);
            let others = Figure::Others.of(case.work, sample).unwrap_or(0.0);
            format!("{main} {} (others: {others:.1} cores)", unit(case.work))
        }
        Err(reason) => format!("FAILED: {reason}"),
    };
    println!(
        "{:4.0} s {}.{:03}/{of} {}, {}, {}: {told}",
        elapsed.as_secs_f64(),
        repeat + 1,
        number + 1,
        case.title(),
        case.pin.name(),
        case.pair(),
    );
}

/// The whole report.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::new();
    let _ = writeln!(
        text,
        "Canter {}, {}. {} repeats in {:.0} s; median (smallest to largest).{}\n",
        results.version,
        results.machine,
        results.repeats,
        results.seconds,
        others(results),
    );
    for missing in &results.missing {
        let _ = writeln!(text, "Left out: {missing}\n");
    }
    text += &target_table(results);
    for group in ["w1", "w2", "w3", "w4", "w5", "w6", "w7", "w8", "w9", "fair"] {
        text += &group_tables(results, group);
    }
    let failures = results.rows.iter().flat_map(|row| {
        let whose = |reason| (row.case, reason);
        row.failures.iter().map(whose)
    });
    for (case, reason) in failures {
        let (work, pin) = (case.title(), case.pin.name());
        let _ = writeln!(text, "Failed: {work}, {pin}, {}: {reason}\n", case.pair());
    }
    text
}

/// What other programs did meanwhile.
fn others(results: &Results) -> String {
    let all: Vec<f64> = (results.rows.iter())
        .flat_map(|row| row.samples.iter().flatten())
        .filter_map(|sample| sample.get("load_others"))
        .collect();
    let loud = all.iter().filter(|&&load| load > 0.3).count();
    let total = all.len();
    Spread::of(all).map_or_else(String::new, |load| {
        format!(
            " Other programs kept {:.2} cores busy ({:.2} to {:.2}), more than 0.3 in {loud} of \
             {total} runs.",
            load.median, load.least, load.most
        )
    })
}

fn target_table(results: &Results) -> String {
    let mut text = String::from(
        "### Targets\n\n| target | wanted | found | from | |\n|---|---|---|---|---|\n",
    );
    let (mut met, mut known) = (0, 0);
    for target in targets::all() {
        let Some(found) = target.value(results) else {
            continue;
        };
        let holds = target.bound.holds(found.median);
        known += 1;
        met += usize::from(holds);
        let verdict = if holds { "met" } else { "**missed**" };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {verdict} |",
            target.what,
            bound(&target),
            spread(found),
            medians(&target, results),
        );
    }
    match known {
        0 => String::new(),
        _ => format!("{text}\n{met} of {known} met.\n\n"),
    }
}

/// The two figures of a ratio.
fn medians(target: &Target, results: &Results) -> String {
    let median = |case| {
        results
            .figure(case, target.figure)
            .map(|all| short(all.median))
    };
    let Some(over) = &target.over else {
        return String::new();
    };
    let both = median(&target.case).zip(median(over));
    both.map_or_else(String::new, |(new, old)| format!("{new} : {old}"))
}

fn bound(target: &Target) -> String {
    let (sign, number) = match target.bound {
        Bound::AtMost(number) => ("≤", number),
        Bound::AtLeast(number) => ("≥", number),
    };
    match (target.over, target.unit) {
        (Some(_), _) => format!("{sign} {number} x"),
        (None, "") => format!("{sign} {number}"),
        (None, unit) => format!("{sign} {number} {unit}"),
    }
}

/// The tables of a workload: pairs as rows, its variants as columns.
fn group_tables(results: &Results, group: &str) -> String {
    let cases: Vec<Case> = (results.rows.iter().map(|row| row.case))
        .filter(|case| case.group() == group)
        .collect();
    let mut works: Vec<Work> = Vec::new();
    for case in &cases {
        if !works.contains(&case.work) {
            works.push(case.work);
        }
    }
    works
        .iter()
        .map(|&work| work_table(results, &cases, work))
        .collect()
}

/// What the table of a workload shows.
fn columns(work: Work) -> Vec<(&'static str, Figure)> {
    let mut columns = vec![(unit(work), Figure::Main)];
    let processors = [
        ("client CPU, ns", Figure::ClientCpu),
        ("server CPU, ns", Figure::ServerCpu),
    ];
    if !matches!(work, Work::Memory | Work::OneShot(_)) {
        columns.extend(processors);
    }
    let more: &[(&str, Figure)] = match work {
        Work::Get | Work::PutNotify => &[
            ("p99, µs", Figure::P99),
            ("client switches", Figure::ClientSwitches),
            ("server switches", Figure::ServerSwitches),
        ],
        Work::Fair => &[("p99, µs", Figure::P99), ("largest, µs", Figure::Max)],
        Work::Monitor(_) | Work::Paced(_) | Work::Fan | Work::Frames => {
            &[("squashed, %", Figure::Lost)]
        }
        Work::Connect(_) => &[
            ("datagrams", Figure::Datagrams),
            ("dropped", Figure::Dropped),
        ],
        Work::Memory => &[
            ("client, per subscription", Figure::Named("client_sub")),
            ("server, per channel", Figure::Named("server_channel")),
            ("server, per subscription", Figure::Named("server_sub")),
            ("server, per PV", Figure::Named("server_pv")),
            ("server, per idle circuit", Figure::Named("idle_circuit")),
            ("ms until serving", Figure::Named("startup_ms")),
        ],
        _ => &[],
    };
    columns.extend(more);
    columns
}

fn work_table(results: &Results, cases: &[Case], work: Work) -> String {
    let columns = columns(work);
    let pins = cases
        .iter()
        .filter(|case| case.work == work)
        .map(|case| case.pin);
    let pinned = pins
        .clone()
        .any(|pin| pins.clone().any(|other| other != pin));
    let title = cases.iter().find(|case| case.work == work);
    let title = title.map_or_else(String::new, Case::title);
    let mut text = format!("### {title}\n\n| pair |");
    if pinned {
        text += " cores |";
    }
    for (name, _) in &columns {
        let _ = write!(text, " {name} |");
    }
    let dashes = "---|".repeat(columns.len() + 1 + usize::from(pinned));
    let _ = writeln!(text, "\n|{dashes}");
    for case in cases.iter().filter(|case| case.work == work) {
        let _ = write!(text, "| {} |", case.pair());
        if pinned {
            let _ = write!(text, " {} |", case.pin.name());
        }
        for (_, figure) in &columns {
            let cell = results
                .figure(case, *figure)
                .map_or_else(String::new, spread);
            let _ = write!(text, " {cell} |");
        }
        text += "\n";
    }
    text + "\n"
}

fn spread(spread: Spread) -> String {
    let Spread {
        median,
        least,
        most,
    } = spread;
    let (median, least, most) = (short(median), short(least), short(most));
    match least == most {
        true => median,
        false => format!("{median} ({least} to {most})"),
    }
}

/// Three digits are more than the spread allows.
fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        a if a >= 100.0 => format!("{x:.0}"),
        a if a >= 10.0 => format!("{x:.1}"),
        a if a >= 0.1 => format!("{x:.2}"),
        _ => format!("{x:.3}"),
    }
}

/// Replaces the tables of the book.
pub(crate) fn into_book(markdown: &str) -> Result<(), String> {
    let file = steps::root().join(BOOK);
    let text = std::fs::read_to_string(&file).map_err(|error| format!("{BOOK}: {error}"))?;
    steps::write(&file, &between_markers(&text, markdown)?)
}

fn between_markers(text: &str, tables: &str) -> Result<String, String> {
    let missing = || format!("{BOOK} lacks the lines `{BEGIN}` and `{END}`");
    let (before, rest) = text.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!(
        "{before}{BEGIN}\n\n{}\n\n{END}{after}",
        tables.trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_go_between_the_markers() {
        let book = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let wanted = format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n");
        assert_eq!(between_markers(&book, "new\n"), Ok(wanted));
        assert!(between_markers("nothing", "new").is_err());
    }

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 0.012, 0.5, 12.345, 1234.5].map(short);
        assert_eq!(texts, ["0", "0.012", "0.50", "12.3", "1234"]);
    }
}
