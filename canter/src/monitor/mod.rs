//! `canter monitor`: changes of PVs as they come.

pub(crate) mod feed;
mod hard_end;
mod render;

use std::io;
use std::time::Duration;

use ca_client::{Client, ConnectError, EventMask, MonitorSpec};
use ca_proto::dbr::{DbrType, Family, NativeType};
use clap::Args;
use futures_util::stream::{BoxStream, SelectAll};
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep_until};

use crate::argument::{self, Pv};
use crate::console::Console;
use crate::exit::{Outcome, Stop};
use crate::failure::{Failure, report};
use crate::format::FormatArgs;
use crate::interrupt::{closed_output, interrupted};
use crate::metrics::MetricsArgs;
use crate::notices::Notices;
use crate::options::{ClientArgs, block_on, seconds};
use crate::record::Flight;
use feed::{Feed, Item};
use hard_end::HardEnd;
use render::Renderer;

#[derive(Args, Debug)]
#[command(after_help = "\
Each line has the local time of the server's stamp, the PV, its value and the alarm if there is one.
A PV that is not found within --timeout is named on standard error and searched on. Ends on Ctrl-C,
after --count or --seconds, and when nobody reads the output any more.

For those who know camonitor: -m, -n, -s, -S, -#, -e, -f, -g, -w and -p mean the same.")]
pub(crate) struct MonitorArgs {
    /// PVs to watch
    #[arg(required = true, value_name = "PV", value_parser = argument::pv())]
    pvs: Vec<Pv>,
    /// One JSON object per event and line
    #[arg(long)]
    json: bool,
    /// Changes to be told of: v value, a alarm, l log (archive dead-band), p property
    #[arg(short, long, value_name = "vlap", default_value = "va", value_parser = mask)]
    mask: EventMask,
    /// End after this many updates
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    /// End after this time
    #[arg(long, value_name = "S", value_parser = seconds)]
    seconds: Option<f64>,
    /// Only the first elements of arrays
    #[arg(short = '#', long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    elements: Option<u32>,
    /// Let the server convert values to text; real numbers have the precision of the PV
    #[arg(short = 's', long)]
    string: bool,
    #[command(flatten)]
    format: FormatArgs,
    #[command(flatten)]
    metrics: MetricsArgs,
    #[command(flatten)]
    client: ClientArgs,
}

impl MonitorArgs {
    fn end_after(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.seconds?).ok()
    }
}

fn mask(letters: &str) -> Result<EventMask, String> {
    let bits = letters.chars().map(|letter| match letter {
        'v' => Ok(EventMask::VALUE),
        'l' => Ok(EventMask::LOG),
        'a' => Ok(EventMask::ALARM),
        'p' => Ok(EventMask::PROPERTY),
        other => Err(format!(
            "`{other}` is none of v (value), l (log), a (alarm), p (property)"
        )),
    });
    let bits = bits.collect::<Result<Vec<_>, _>>()?;
    let all = bits.into_iter().reduce(EventMask::union);
    all.ok_or_else(|| "give at least one of the letters v, l, a, p".to_owned())
}

/// Updates of one PV that may wait while the output is busy; further ones replace the newest.
const QUEUE_DEPTH: usize = 64;
/// Bytes of arrays that may wait so, of all PVs together, but for the newest of each.
const MAX_BYTES: usize = 64 << 20;
/// The share of one among many PVs.
const MIN_BYTES: usize = 64 << 10;

/// Runs the command.
///
/// # Errors
/// Wrong options, or an output that cannot be written.
pub(crate) fn run(args: &MonitorArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let timeout = args.client.timeout(console)?;
    if !args.json {
        crate::when::warn_of_zone(console)?;
    }
    let _end = args.end_after().and_then(HardEnd::after);
    block_on(async {
        let client = args
            .client
            .client(console, |builder| builder.read_only(true))?;
        let serving = args.metrics.of_client(&client).await?;
        if let Some(address) = serving.address {
            console.complain(format_args!("metrics: http://{address}/metrics"))?;
        }
        let result = Watch::new(args, &client, timeout, console)?.run().await;
        args.client.save_addresses(&client, console)?;
        client.close().await;
        drop(serving);
        result
    })
}

/// A running command.
struct Watch<'a, 'c> {
    args: &'a MonitorArgs,
    console: &'a mut Console<'c>,
    renderer: Renderer<'a>,
    channels: Vec<Option<ca_client::Channel>>,
    items: SelectAll<BoxStream<'static, Item>>,
    /// When PVs that are not found are named.
    report_at: Instant,
    /// When the command ends.
    end_at: Instant,
    started: Instant,
    updates: u64,
    outcome: Outcome,
    notices: Notices,
    flight: Flight,
    /// A PV was lost, or a server did what it should not.
    trouble: bool,
}

impl<'a, 'c> Watch<'a, 'c> {
    fn new(
        args: &'a MonitorArgs,
        client: &Client,
        timeout: Duration,
        console: &'a mut Console<'c>,
    ) -> Result<Self, Stop> {
        let mut spec = if args.string {
            MonitorSpec::exact(DbrType::new(Family::Time, NativeType::String))
        } else {
            MonitorSpec::family(Family::Time)
        };
        spec = spec
            .mask(args.mask)
            .depth(QUEUE_DEPTH)
            .max_bytes((MAX_BYTES / args.pvs.len().max(1)).max(MIN_BYTES))
            .count(args.elements.unwrap_or(0));
        let notices = Notices::of(client);
        let mut channels = Vec::new();
        let mut items = SelectAll::new();
        let mut outcome = Outcome::Ok;
        for (index, pv) in args.pvs.iter().enumerate() {
            match Feed::start(client, pv, index, spec) {
                Ok((channel, feed)) => {
                    channels.push(Some(channel));
                    items.push(feed.into_stream(args.mask.intersects(EventMask::PROPERTY)));
                }
                Err(failure) => {
                    channels.push(None);
                    outcome = outcome.and(failure.outcome());
                    report(console, pv.shown(), &failure)?;
                }
            }
        }
        let now = Instant::now();
        Ok(Self {
            renderer: Renderer::new(&args.pvs, args.json, &args.format),
            args,
            console,
            channels,
            items,
            report_at: now + timeout,
            end_at: now + args.end_after().unwrap_or(A_LIFETIME),
            started: now,
            updates: 0,
            outcome,
            notices,
            flight: args.client.record.flight(client.recorder()),
            trouble: false,
        })
    }

    async fn run(mut self) -> Result<Outcome, Stop> {
        let mut interrupted = std::pin::pin!(interrupted());
        let mut closed = std::pin::pin!(closed_output());
        let mut reported = false;
        loop {
            self.console.out.flush()?;
            if Instant::now() >= self.end_at {
                break;
            }
            if std::mem::take(&mut self.trouble) {
                self.flight.trouble(self.console).await?;
            }
            tokio::select! {
                notice = self.notices.next() => {
                    self.trouble = true;
                    self.renderer.notice(self.console, &notice)?;
                }
                () = self.flight.asked() => self.flight.dump(self.console).await?,
                item = self.items.next() => match item {
                    Some(item) => if self.batch(item)? { break },
                    // No PV could be subscribed to.
                    None => break,
                },
                () = sleep_until(self.report_at), if !reported => {
                    reported = true;
                    self.report_missing("; still searching").await?;
                }
                () = sleep_until(self.end_at) => break,
                () = &mut interrupted => break,
                () = &mut closed => break,
            }
        }
        if !reported {
            self.report_missing("").await?;
        }
        self.console.out.flush()?;
        self.flight.finish(self.console)?;
        Ok(self.outcome())
    }

    /// Shows an item and what else waits; true if that was enough.
    fn batch(&mut self, first: Item) -> io::Result<bool> {
        let mut next = Some(first);
        let until = self.end_at.min(Instant::now() + MAX_BATCH);
        while let Some(item) = next {
            self.updates += u64::from(item.is_update());
            self.trouble |= matches!(item.event, feed::Event::Disconnected(_));
            self.renderer.show(self.console, &item)?;
            if self.args.count.is_some_and(|count| self.updates >= count) {
                return Ok(true);
            }
            // Bounded, so that signals and time are looked at however fast updates come, and however
            // long each takes.
            next = match Instant::now() < until {
                true => self.items.next().now_or_never().flatten(),
                false => None,
            };
        }
        Ok(false)
    }

    async fn report_missing(&mut self, remark: &str) -> io::Result<()> {
        let channels = self.args.pvs.iter().zip(&self.channels);
        for ((pv, channel), seen) in channels.zip(&self.renderer.seen) {
            let Some(channel) = channel.as_ref().filter(|_| !seen) else {
                continue;
            };
            let failure = match channel.connected().timeout(Duration::ZERO).await {
                Err(ConnectError::TimedOut(mut context)) => {
                    context.elapsed = self.started.elapsed();
                    let mut failure = Failure::from(&ConnectError::TimedOut(context));
                    failure.message.push_str(remark);
                    failure
                }
                // Nothing is searched meanwhile.
                Err(error) => Failure::from(&error),
                Ok(()) => continue,
            };
            if self.args.json {
                self.renderer.missing(self.console, pv.shown(), &failure)?;
            } else {
                report(self.console, pv.shown(), &failure)?;
            }
        }
        Ok(())
    }

    /// A PV that is not there at the end, and never was, is a failure.
    fn outcome(&self) -> Outcome {
        let missing = self.channels.iter().zip(&self.renderer.seen);
        let never = missing
            .filter(|(channel, seen)| channel.is_some() && !**seen)
            .count();
        if never > 0 {
            self.outcome.and(Outcome::TimedOut)
        } else {
            self.outcome
        }
    }
}

/// Time for showing items before the other things are looked at.
const MAX_BATCH: Duration = Duration::from_millis(20);
/// Stands for "without end" where an instant is needed.
const A_LIFETIME: Duration = Duration::from_secs(u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_letters() {
        assert_eq!(mask("va"), Ok(EventMask::VALUE | EventMask::ALARM));
        assert_eq!(mask("lp"), Ok(EventMask::LOG | EventMask::PROPERTY));
        assert!(mask("x").unwrap_err().contains("`x` is none of"));
        assert!(mask("").is_err());
    }
}
