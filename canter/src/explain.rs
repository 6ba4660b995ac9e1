//! `canter explain`: why PVs do not connect, step by step.

use ca_client::Explanation;
use clap::Args;
use futures_util::future::join_all;
use serde::Serialize;

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure;
use crate::options::{ClientArgs, block_on_last};
use crate::show;

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// PVs to find out about
    #[arg(required = true, value_name = "PV", value_parser = argument::pv())]
    pvs: Vec<Pv>,
    /// The verdict only, without what was seen
    #[arg(long, short)]
    quiet: bool,
    /// One JSON object per PV and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    client: ClientArgs,
}

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &ExplainArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    let explained = block_on_last(async {
        let client = args
            .client
            .client(console, |builder| builder.own_repeater(false))?;
        let flight = args.client.record.flight(client.recorder());
        let looks = args
            .pvs
            .iter()
            .map(|pv| client.explain(pv).timeout(timeout));
        let explained = join_all(looks).await;
        client.close().await;
        flight.finish(console)?;
        Ok::<_, Stop>(explained)
    })?;
    let mut outcome = Outcome::Ok;
    for (n, (pv, explanation)) in args.pvs.iter().zip(&explained).enumerate() {
        if !explanation.works() {
            outcome = outcome.and(Outcome::PvFailed);
        }
        if args.json {
            show::json_line(console, &Line::new(pv.shown(), explanation))?;
            continue;
        }
        if n > 0 && !args.quiet {
            writeln!(console.out)?;
        }
        show(args, console, pv, explanation)?;
    }
    Ok(outcome)
}

fn show(
    args: &ExplainArgs,
    console: &mut Console<'_>,
    pv: &Pv,
    explanation: &Explanation,
) -> Result<(), Stop> {
    let name = console.paint.bold(failure::shown(pv.shown()));
    writeln!(console.out, "{name}")?;
    if !args.quiet {
        for step in &explanation.steps {
            writeln!(console.out, "{step}")?;
        }
        if explanation.left_out > 0 {
            writeln!(console.out, "  … and {} more", explanation.left_out)?;
        }
    }
    for remark in &explanation.remarks {
        show::item(console, "note", remark)?;
    }
    let cause = &explanation.cause;
    let verdict = console.paint.bold(cause);
    show::item(
        console,
        "verdict",
        format_args!("{verdict} [{}]", cause.id()),
    )?;
    if let Some(step) = explanation
        .decided_by
        .and_then(|at| explanation.steps.get(at))
    {
        show::item(console, "because", &step.what)?;
    }
    if !explanation.works() {
        show::item(console, "remedy", cause.remedy())?;
    }
    Ok(())
}

/// The line of JSON.
#[derive(Serialize, Debug)]
struct Line<'a> {
    pv: &'a str,
    works: bool,
    cause: &'static str,
    verdict: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
    notes: Vec<String>,
    steps: Vec<JsonStep>,
    /// Seconds.
    elapsed: f64,
}

#[derive(Serialize, Debug)]
struct JsonStep {
    /// Seconds since the beginning.
    at: f64,
    what: String,
}

impl<'a> Line<'a> {
    fn new(pv: &'a str, explanation: &Explanation) -> Self {
        let because = explanation
            .decided_by
            .and_then(|at| explanation.steps.get(at));
        let cause = &explanation.cause;
        Self {
            pv,
            works: explanation.works(),
            cause: cause.id(),
            verdict: cause.to_string(),
            because: because.map(|step| step.what.to_string()),
            remedy: (!explanation.works()).then(|| cause.remedy()),
            notes: explanation
                .remarks
                .iter()
                .map(ToString::to_string)
                .collect(),
            steps: explanation
                .steps
                .iter()
                .map(|step| JsonStep {
                    at: step.at.as_secs_f64(),
                    what: step.what.to_string(),
                })
                .collect(),
            elapsed: explanation.elapsed.as_secs_f64(),
        }
    }
}
