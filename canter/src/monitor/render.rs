//! Events as lines.

use std::io;

use ca_proto::AlarmSeverity;
use serde::Serialize;

use super::feed::{Event, Item};
use crate::argument::Pv;
use crate::console::Console;
use crate::failure::Failure;
use crate::format::FormatArgs;
use crate::json::{JsonFailure, JsonSample};
use crate::{show, text, when};

/// Prints events.
pub(super) struct Renderer<'a> {
    pvs: &'a [Pv],
    json: bool,
    format: &'a FormatArgs,
    width: usize,
    /// Which PVs were there at least once.
    pub(super) seen: Vec<bool>,
}

/// The line of JSON for an event.
#[derive(Serialize)]
struct Line<'a> {
    pv: &'a str,
    event: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    sample: Option<JsonSample>,
    /// Time of this host, for events that have no time stamp of the server; the sample has that.
    #[serde(rename = "timestamp", skip_serializing_if = "Option::is_none")]
    host_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonFailure>,
}

impl<'a> Renderer<'a> {
    pub(super) fn new(pvs: &'a [Pv], json: bool, format: &'a FormatArgs) -> Self {
        Self {
            pvs,
            json,
            format,
            width: show::name_width(pvs),
            seen: vec![false; pvs.len()],
        }
    }

    /// Prints an event.
    pub(super) fn show(&mut self, console: &mut Console<'_>, item: &Item) -> io::Result<()> {
        let pv = self.pvs[item.pv].shown();
        let first = !std::mem::replace(&mut self.seen[item.pv], true);
        if self.json {
            return self.show_json(console, pv, item);
        }
        let name = text::padded(pv, self.width);
        match &item.event {
            Event::Update {
                sample,
                is_array,
                skipped,
            } => {
                let stamp = sample.stamp.map(when::local).unwrap_or_default();
                let stamp = console.paint.dim(text::padded(&stamp, when::WIDTH));
                let value = show::value(console, self.format, sample, *is_array);
                write!(console.out, "{stamp}  {name}  {value}")?;
                if *skipped > 0 {
                    let skipped = console
                        .paint
                        .dim(format_args!("  ({skipped} skipped)"))
                        .to_string();
                    write!(console.out, "{skipped}")?;
                }
                writeln!(console.out)
            }
            Event::Disconnected => self.remark(console, &name, "*** disconnected"),
            // The first value tells it.
            Event::Connected if first => Ok(()),
            Event::Connected => self.remark(console, &name, "*** connected"),
            Event::Failed(status) => self.remark(
                console,
                &name,
                &format!("*** no updates: the server says {status}"),
            ),
        }
    }

    fn remark(&self, console: &mut Console<'_>, name: &str, what: &str) -> io::Result<()> {
        let stamp = console.paint.dim(when::local(when::now()));
        let what = console.paint.severity(AlarmSeverity::INVALID, what);
        writeln!(console.out, "{stamp}  {name}  {what}")
    }

    fn show_json(&self, console: &mut Console<'_>, pv: &str, item: &Item) -> io::Result<()> {
        let mut line = Line {
            pv,
            event: "update",
            sample: None,
            host_time: None,
            skipped: None,
            error: None,
        };
        match &item.event {
            Event::Update {
                sample,
                is_array,
                skipped,
            } => {
                line.sample = Some(JsonSample::new(sample, *is_array, self.format.long_string));
                line.skipped = (*skipped > 0).then_some(*skipped);
            }
            Event::Disconnected => line.event = "disconnected",
            Event::Connected => line.event = "connected",
            Event::Failed(status) => {
                line.event = "failed";
                line.error = Some(JsonFailure::new(
                    "subscribe",
                    format!("the server says {status}"),
                    "see the access security of the IOC",
                ));
            }
        }
        if line.sample.is_none() {
            line.host_time = Some(when::now().to_string());
        }
        show::json_line(console, &line)
    }

    /// Names a PV that was not found as JSON.
    pub(super) fn missing(
        &self,
        console: &mut Console<'_>,
        pv: &str,
        failure: &Failure,
    ) -> io::Result<()> {
        let line = Line {
            pv,
            event: "not_found",
            sample: None,
            host_time: Some(when::now().to_string()),
            skipped: None,
            error: Some(failure.into()),
        };
        show::json_line(console, &line)
    }
}
