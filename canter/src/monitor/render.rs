//! Events as lines.

use std::io;

use ca_proto::AlarmSeverity;
use serde::Serialize;

use super::feed::{Event, Item};
use crate::argument::Pv;
use crate::console::Console;
use crate::failure::Failure;
use crate::format::FormatArgs;
use crate::json::{JsonDescription, JsonFailure, JsonSample};
use crate::notices::{self, Notice};
use crate::sample::Meta;
use crate::{escape, show, when};

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
    /// What describes the value, of an event that is about it.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    description: Option<JsonDescription>,
    /// The parts of it that are new.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Vec<&'static str>>,
    /// What happened, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<JsonFailure>,
}

/// The line of JSON for what nobody asked for.
#[derive(Serialize)]
struct NoticeLine<'a> {
    /// None if it is about a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pv: Option<&'a str>,
    #[serde(flatten)]
    notice: &'a Notice,
    timestamp: String,
}

impl<'a> Line<'a> {
    fn new(pv: &'a str, event: &'static str) -> Self {
        Self {
            pv,
            event,
            sample: None,
            host_time: None,
            skipped: None,
            description: None,
            changed: None,
            message: None,
            error: None,
        }
    }
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
        let name = escape::padded(pv, self.width);
        match &item.event {
            Event::Update {
                sample,
                is_array,
                skipped,
            } => {
                let stamp = sample.stamp.map(when::local).unwrap_or_default();
                let stamp = console.paint.dim(escape::padded(&stamp, when::WIDTH));
                let value = show::value(console, &self.format.of(pv), sample, *is_array);
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
            Event::Properties { before, now } => {
                self.remark(console, &name, &format!("*** {}", changes(before, now)))
            }
            Event::Disconnected(None) => self.remark(console, &name, "*** disconnected"),
            Event::Disconnected(Some(why)) => {
                self.remark(console, &name, &format!("*** disconnected {why}"))
            }
            // The first value tells it.
            Event::Connected if first => Ok(()),
            Event::Connected => self.remark(console, &name, "*** connected"),
            Event::Failed(status) => self.remark(
                console,
                &name,
                &format!("*** no updates: the server says {status}"),
            ),
            Event::Malformed(what) => self.remark(
                console,
                &name,
                &format!("*** an update is malformed: {what}"),
            ),
        }
    }

    fn remark(&self, console: &mut Console<'_>, name: &str, what: &str) -> io::Result<()> {
        let stamp = console.paint.dim(when::local(when::now()));
        let what = console.paint.severity(AlarmSeverity::INVALID, what);
        writeln!(console.out, "{stamp}  {name}  {what}")
    }

    fn show_json(&self, console: &mut Console<'_>, pv: &str, item: &Item) -> io::Result<()> {
        let mut line = Line::new(pv, "update");
        match &item.event {
            Event::Update {
                sample,
                is_array,
                skipped,
            } => {
                let json = JsonSample::new(sample, *is_array, self.format.is_text(pv));
                line.sample = Some(json.with_description(sample));
                line.skipped = (*skipped > 0).then_some(*skipped);
            }
            Event::Properties { before, now } => {
                line.event = "properties";
                let changed = now.changes(before).into_iter();
                // As the fields are called that have them.
                let mut names: Vec<_> = changed
                    .map(|(name, ..)| match name.ends_with(" limits") {
                        true => "limits",
                        false => name,
                    })
                    .collect();
                names.dedup();
                line.changed = Some(names);
                line.description = Some(JsonDescription::of(now));
            }
            Event::Disconnected(why) => {
                line.event = "disconnected";
                line.message.clone_from(why);
            }
            Event::Connected => line.event = "connected",
            Event::Failed(status) => {
                line.event = "failed";
                line.error = Some(JsonFailure::new(
                    "subscribe",
                    format!("the server says {status}"),
                    "see the access security of the IOC",
                ));
            }
            Event::Malformed(what) => {
                line.event = "failed";
                line.error = Some(JsonFailure::new(
                    "subscribe",
                    format!("an update is malformed: {what}"),
                    "report it to whoever looks after the server",
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
        let mut line = Line::new(pv, "not_found");
        line.host_time = Some(when::now().to_string());
        line.error = Some(failure.into());
        show::json_line(console, &line)
    }

    /// Tells what nobody asked for.
    pub(super) fn notice(&self, console: &mut Console<'_>, notice: &Notice) -> io::Result<()> {
        if !self.json {
            return notices::tell(console, std::slice::from_ref(notice));
        }
        let line = NoticeLine {
            pv: notice.pv.as_deref(),
            notice,
            timestamp: when::now().to_string(),
        };
        show::json_line(console, &line)
    }
}

/// `units mm, were cm; precision 3, was 2`.
fn changes(before: &Meta, now: &Meta) -> String {
    let changes = now.changes(before);
    let shown = |text: String| {
        if text.is_empty() {
            "none".to_owned()
        } else {
            text
        }
    };
    let texts = changes.into_iter().map(|(name, old, new)| {
        let were = if name == "precision" { "was" } else { "were" };
        format!("{name} {}, {were} {}", shown(new), shown(old))
    });
    texts.collect::<Vec<_>>().join("; ")
}
