//! The table, and what is wanted of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use ca_bench::plant::{Scans, chain, plant};
use clap::Parser;

use crate::inside;
use crate::serving::{Serving, Who};

/// Records of the server whose memory is taken off.
const FEW: usize = 100;
const CHAIN: usize = 1000;
/// Puts to the head of the chain.
const PUTS: u32 = 300;
/// Time after which a server that has started does nothing any more.
const SETTLE: Duration = Duration::from_millis(1500);

#[derive(Parser)]
#[command(name = "canter-scale")]
struct Args {
    /// Records
    #[arg(long, default_value_t = 60_000)]
    records: usize,
    /// Records of ours alone, in one process
    #[arg(long, default_value_t = 1_000_000)]
    many: usize,
    /// Repeats; the tables have the medians
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    /// Seconds over which processor time is taken
    #[arg(long, default_value_t = 6)]
    seconds: u64,
    /// Fail unless all targets are met
    #[arg(long)]
    strict: bool,
    /// The interpreter that has the real IOC [default: CANTER_PEERS_PYTHON; without one, ours is measured alone]
    #[arg(long)]
    python: Option<PathBuf>,
}

/// What was measured of a server, once.
#[derive(Clone, Copy, Debug)]
struct Figures {
    serving: f64,
    start_cpu: f64,
    memory: f64,
    rest: f64,
    scanning: f64,
    chain: f64,
}

struct Files {
    scanning: PathBuf,
    resting: PathBuf,
    few: PathBuf,
    chain: PathBuf,
}

impl Files {
    fn write(folder: &Path, records: usize) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map(|()| path)
        };
        Ok(Self {
            scanning: write("scanning.db", plant(records, Scans::Half))?,
            resting: write("resting.db", plant(records, Scans::None))?,
            few: write("few.db", plant(FEW, Scans::Half))?,
            chain: write("chain.db", chain(CHAIN))?,
        })
    }
}

fn measure(who: Who<'_>, files: &Files, args: &Args) -> io::Result<Figures> {
    let time = Duration::from_secs(args.seconds);
    let few = {
        let server = Serving::start(who, &files.few)?;
        std::thread::sleep(SETTLE);
        server.memory()
    };
    let rest = {
        let server = Serving::start(who, &files.resting)?;
        std::thread::sleep(SETTLE);
        server.load(time)
    };
    let chain = {
        let server = Serving::start(who, &files.chain)?;
        let mut client = server.client()?;
        let head = client.open("S:0")?;
        client.put(head, 0.5)?;
        let before = server.cpu();
        for n in 0..PUTS {
            client.put(head, f64::from(n))?;
        }
        (server.cpu() - before) / (f64::from(PUTS) * CHAIN as f64)
    };
    let server = Serving::start(who, &files.scanning)?;
    std::thread::sleep(SETTLE);
    let memory = (server.memory() - few) / (args.records - FEW) as f64;
    Ok(Figures {
        serving: server.took.as_secs_f64(),
        start_cpu: server.start_cpu,
        memory,
        rest,
        scanning: server.load(time),
        chain,
    })
}

fn median(all: &[Figures], of: impl Fn(&Figures) -> f64) -> (f64, f64, f64) {
    let mut all: Vec<f64> = all.iter().map(of).collect();
    all.sort_by(f64::total_cmp);
    let at = |place: usize| all.get(place).copied().unwrap_or(f64::NAN);
    (at(all.len() / 2), at(0), at(all.len().saturating_sub(1)))
}

/// A line of the table: what, its unit and factor, where it is, and the ratio that is wanted at most.
type Row = (&'static str, &'static str, f64, fn(&Figures) -> f64, f64);

const ROWS: [Row; 6] = [
    ("time to serving", "s", 1.0, |f| f.serving, 0.25),
    (
        "processor time until then",
        "s",
        1.0,
        |f| f.start_cpu,
        f64::INFINITY,
    ),
    ("memory for each record", "B", 1.0, |f| f.memory, 0.35),
    ("processor at rest", "%", 100.0, |f| f.rest, f64::INFINITY),
    (
        "processor while half of them scan at 1 Hz",
        "%",
        100.0,
        |f| f.scanning,
        0.33,
    ),
    (
        "processing in a chain of 1000, each record",
        "ns",
        1e9,
        |f| f.chain,
        0.5,
    ),
];

fn table(ours: &[Figures], real: &[Figures]) -> bool {
    let mut met = true;
    println!("| | ours | real IOC | ratio | wanted |\n|---|---|---|---|---|");
    for (what, unit, factor, of, wanted) in ROWS {
        let shown = |all: &[Figures]| {
            let (middle, least, most) = median(all, of);
            (
                middle,
                match all.is_empty() {
                    true => "-".to_owned(),
                    false => format!(
                        "{:.3} {unit} ({:.3}–{:.3})",
                        middle * factor,
                        least * factor,
                        most * factor
                    ),
                },
            )
        };
        let ((ours, own), (real, theirs)) = (shown(ours), shown(real));
        let ratio = ours / real;
        let (wanted, fits) = match wanted.is_finite() {
            true => (format!("≤ {wanted}"), ratio.is_nan() || ratio <= wanted),
            false => (String::new(), true),
        };
        met &= fits;
        let mark = if fits { "" } else { " **missed**" };
        println!("| {what} | {own} | {theirs} | {ratio:.2}{mark} | {wanted} |");
    }
    met
}

fn run(args: &Args) -> Result<bool, String> {
    let told = |error: io::Error| error.to_string();
    // First, as in a test that has just begun.
    let (first, elapsed) = inside::from_db()?;
    let again = (0..5)
        .map(|_| inside::from_db())
        .collect::<Result<Vec<_>, _>>()?;
    let again = again.iter().map(|(cpu, _)| *cpu).min().unwrap_or_default();
    let this = std::env::current_exe().map_err(told)?;
    let program = this.with_file_name("canter");
    let folder = this.with_file_name("scale");
    let files = Files::write(&folder, args.records).map_err(told)?;
    let (mut ours, mut real) = (Vec::new(), Vec::new());
    for _ in 0..args.repeats.max(1) {
        ours.push(measure(Who::Ours(&program), &files, args).map_err(told)?);
        if let Some(python) = &args.python {
            real.push(measure(Who::Real(python), &files, args).map_err(told)?);
        }
    }
    println!("{} records, a tenth of them with a link\n", args.records);
    let mut met = table(&ours, &real);
    let (serving, ..) = median(&ours, |f| f.serving);
    met &= serving <= 0.6;
    println!();
    if args.many > 0 {
        let file = folder.join("many.db");
        fs::write(&file, plant(args.many, Scans::None)).map_err(told)?;
        let server = Serving::start(Who::Ours(&program), &file).map_err(told)?;
        let mut client = server.client().map_err(told)?;
        let last = client
            .open(&format!("S:{}", args.many - 1))
            .and_then(|last| client.read(last));
        last.map_err(told)?;
        println!(
            "{} records in one process: a get is answered after {:.2} s ({:.2} s of processor), {:.0} MB",
            args.many,
            server.took.as_secs_f64(),
            server.start_cpu,
            server.memory() / 1e6
        );
        fs::remove_file(&file).map_err(told)?;
    }
    let (longest, whole) = inside::longest_hold(args.records)?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "{} records posted at one instant, each with a subscriber: held for {:.2} ms at most, {:.1} ms in all; wanted ≤ 2 ms",
        args.records,
        ms(longest),
        ms(whole)
    );
    println!(
        "Ioc::from_db of 100 records, serving on free ports: {:.2} ms the first time in a process ({:.2} ms elapsed), then {:.2} ms; wanted ≤ 10 ms",
        ms(first),
        ms(elapsed),
        ms(again)
    );
    println!(
        "a minute of scans of 100 records in virtual time: {:.2} ms",
        ms(inside::minute(100)?)
    );
    met &= longest <= Duration::from_millis(2) && first <= Duration::from_millis(10);
    Ok(met)
}

pub(crate) fn main() -> ExitCode {
    let mut args = Args::parse();
    args.python = args
        .python
        .or_else(|| std::env::var_os("CANTER_PEERS_PYTHON").map(PathBuf::from));
    match run(&args) {
        Ok(met) if met || !args.strict => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!("scale: a target is missed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("scale: {error}");
            ExitCode::FAILURE
        }
    }
}
