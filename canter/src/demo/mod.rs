//! `canter demo`: an IOC and a client at work, for people who have never seen either.

mod board;
mod chart;
pub(crate) mod pvs;
mod screen;
mod script;

use std::cell::RefCell;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use ca_client::{Channel, Client, MonitorSpec};
use ca_server_sim::Ioc;
use ca_server_sim::net::{NetConfig, SimIoc};
use clap::Args;
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::console::Console;
use crate::exit::{Outcome, Stop, UsageError};
use crate::interrupt::{closed_output, interrupted};
use crate::monitor::feed::{Event, Feed, Item};
use crate::options::{block_on, seconds};
use crate::paint::Paint;
use board::Board;
use screen::Terminal;

#[derive(Args, Debug)]
#[command(after_help = "\
Everything happens inside of this program: a simulated IOC (the computer that knows the hardware)
and a client (what an operator's screen runs) talk Channel Access over the loopback interface, on
ports that nothing else uses. Without a terminal the steps are printed as lines.")]
pub(crate) struct DemoArgs {
    /// Length of the demo
    #[arg(long, value_name = "S", default_value = "20", value_parser = seconds)]
    seconds: f64,
    /// Print lines, also on a terminal
    #[arg(long)]
    plain: bool,
}

/// The shortest demo in which every step has its time.
const SHORTEST: Duration = Duration::from_secs(3);
/// Pause between two pictures.
const FRAME: Duration = Duration::from_millis(100);
/// Pause between two points of the small curves.
const TICK: u32 = 2;

/// The two parties, and what they show.
struct Stage {
    client: Client,
    setpoint: Channel,
    scope: Channel,
    board: RefCell<Board>,
    started: Instant,
    total: Duration,
}

/// Runs the command.
///
/// # Errors
/// No free port on the loopback interface, or an output that cannot be written.
pub(crate) fn run(args: &DemoArgs, console: &mut Console<'_>) -> Result<Outcome, Stop> {
    let total = Duration::try_from_secs_f64(args.seconds)
        .unwrap_or(SHORTEST)
        .max(SHORTEST);
    let in_place = console.terminal && !args.plain;
    block_on(async {
        let ioc = start_ioc().await?;
        let (stage, feeds) = Stage::build(&ioc, total)?;
        let result = if in_place {
            stage.play(&ioc, feeds, &mut InPlace::enter(console)?).await
        } else {
            stage.play(&ioc, feeds, &mut Lines::new(console)).await
        };
        let finished = result?;
        stage.epilogue(console, in_place, finished)?;
        stage.client.close().await;
        ioc.stop().await;
        Ok(Outcome::Ok)
    })
}

type Feeds = SelectAll<BoxStream<'static, Item>>;

impl Stage {
    fn build(ioc: &SimIoc, total: Duration) -> Result<(Self, Feeds), Stop> {
        let client = Client::builder()
            .isolated([SocketAddrV4::new(Ipv4Addr::LOCALHOST, ioc.udp_port())])
            // A real client is more patient, because real networks are; nobody wants to wait here.
            .params(|params| params.reconnect_delay(Duration::from_millis(100)))
            .timeout(Duration::from_secs(5))
            .build()
            .map_err(|error| unable(&error))?;
        let open = |name| client.open(name).map_err(|error| unable(&error));
        let mut feeds = SelectAll::new();
        let names = pvs::SCALARS.iter().copied().chain([pvs::SCOPE]);
        for (index, name) in names.enumerate() {
            let spec = MonitorSpec::time().depth(16);
            let feed = Feed::start(&client, name, index, spec);
            let (_, feed) = feed.map_err(|failure| unable(&failure.message))?;
            feeds.push(feed.into_stream(false));
        }
        let stage = Self {
            setpoint: open(pvs::SETPOINT)?,
            scope: open(pvs::SCOPE)?,
            client,
            board: RefCell::new(Board::new(pvs::SCALARS, total)),
            started: Instant::now(),
            total,
        };
        Ok((stage, feeds))
    }

    /// Runs the script while updates come in; false if the user ended it.
    async fn play(
        &self,
        ioc: &SimIoc,
        mut feeds: Feeds,
        view: &mut impl View,
    ) -> Result<bool, Stop> {
        let mut script = std::pin::pin!(script::run(self, ioc));
        let mut interrupted = std::pin::pin!(interrupted());
        let mut closed = std::pin::pin!(closed_output());
        let mut frames = interval(FRAME);
        frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut frame: u32 = 0;
        loop {
            tokio::select! {
                result = &mut script => {
                    self.board.borrow_mut().elapsed = self.started.elapsed();
                    result?;
                    view.show(&self.board.borrow())?;
                    return Ok(true);
                }
                Some(item) = feeds.next() => self.handle(&item),
                _ = frames.tick() => {
                    let mut board = self.board.borrow_mut();
                    board.elapsed = self.started.elapsed();
                    frame += 1;
                    if frame.is_multiple_of(TICK) {
                        board.tick();
                    }
                    view.show(&board)?;
                }
                () = &mut interrupted => return Ok(false),
                () = &mut closed => return Ok(false),
            }
        }
    }

    fn handle(&self, item: &Item) {
        let mut board = self.board.borrow_mut();
        match &item.event {
            Event::Update { sample, .. } => board.update(item.pv, sample),
            Event::Disconnected(_) => board.disconnect(item.pv),
            Event::Connected
            | Event::Properties { .. }
            | Event::Failed(_)
            | Event::Malformed(_) => {}
        }
    }

    /// What was shown, and what to try next.
    fn epilogue(
        &self,
        console: &mut Console<'_>,
        in_place: bool,
        finished: bool,
    ) -> io::Result<()> {
        let board = self.board.borrow();
        let paint = console.paint;
        if in_place {
            // The picture is gone with the alternate screen; the steps are worth keeping.
            for (time, text) in &board.steps {
                writeln!(console.out, "{}", screen::step_line(*time, text, paint))?;
            }
        }
        if !finished {
            return writeln!(console.out, "Ended early.");
        }
        writeln!(console.out)?;
        writeln!(
            console.out,
            "Seen: {} PVs, {} updates, a put with completion, an IOC that went away and came back, \
             a waveform.",
            board.len(),
            board.updates()
        )?;
        writeln!(console.out, "Now yourself, in two terminals:")?;
        for (what, command) in SUGGESTIONS {
            let command = paint.bold(crate::escape::padded(command, 50));
            writeln!(
                console.out,
                "  {command} {}",
                paint.dim(format_args!("# {what}"))
            )?;
        }
        Ok(())
    }
}

/// What a curious person could type next.
const SUGGESTIONS: [(&str, &str); 4] = [
    (
        "an IOC; it prints what to paste",
        "canter ioc --pv my:gap=double:1.5",
    ),
    ("paste, then read", "canter get my:gap"),
    ("watch it", "canter monitor my:gap"),
    ("change it", "canter put my:gap 2.5"),
];

async fn start_ioc() -> Result<SimIoc, Stop> {
    let builder = Ioc::builder().seed(2026).pvs(pvs::all());
    Ok(builder
        .serve(NetConfig::new().repeater(None))
        .await
        .map_err(|error| unable(&error))?)
}

fn unable(error: &dyn std::fmt::Display) -> UsageError {
    UsageError::new(
        format!("the demo cannot start: {error}"),
        "it needs the loopback interface 127.0.0.1 and a free UDP and TCP port there",
    )
}

/// How the board gets to the user.
trait View {
    fn show(&mut self, board: &Board) -> io::Result<()>;
}

/// On a terminal, redrawn in place.
struct InPlace<'a> {
    terminal: Terminal<'a>,
    paint: Paint,
}

impl<'a> InPlace<'a> {
    fn enter(console: &'a mut Console<'_>) -> io::Result<Self> {
        Ok(Self {
            paint: console.paint,
            terminal: Terminal::enter(&mut *console.out)?,
        })
    }
}

impl View for InPlace<'_> {
    fn show(&mut self, board: &Board) -> io::Result<()> {
        self.terminal.draw(&screen::picture(board, self.paint))
    }
}

/// Lines: each step, and the table with the steps that change it.
struct Lines<'a, 'c> {
    console: &'a mut Console<'c>,
    shown: usize,
}

impl<'a, 'c> Lines<'a, 'c> {
    const fn new(console: &'a mut Console<'c>) -> Self {
        Self { console, shown: 0 }
    }
}

impl View for Lines<'_, '_> {
    fn show(&mut self, board: &Board) -> io::Result<()> {
        let paint = self.console.paint;
        for (time, text) in board.steps.iter().skip(self.shown) {
            writeln!(
                self.console.out,
                "{}",
                screen::step_line(*time, text, paint)
            )?;
        }
        let news = board.steps.len() > self.shown;
        self.shown = board.steps.len();
        if news && board.wants_picture {
            let table = screen::table(board, paint);
            for line in table.into_iter().chain(screen::scope(board, paint)) {
                writeln!(self.console.out, "{}", line.trim_end())?;
            }
        }
        self.console.out.flush()
    }
}
