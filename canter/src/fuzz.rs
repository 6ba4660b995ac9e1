//! Bodies of the fuzz targets for what people write: files, PVs, values, command lines. Whatever it
//! is, the answer is a value or a message, within bounds of time and memory.

mod access;

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use ca_proto::dbr::{EnumStates, NativeType};
use ca_proto::text::is_plain;
use ca_proto::{Instant, Timestamp};
use ca_server_sim::autosave::{Pass, Restore, Save, SaveFile};
use ca_server_sim::calc::texts::MAX_BYTES;
use ca_server_sim::calc::{ARGUMENTS, Arrays, Expression, Random, Texts};
use ca_server_sim::faults::{Fault, FaultScript};
use ca_server_sim::load::{
    self, Bounds, FileProblem, Files, InMemory, Loaded, Loader, MAX_EXPANDED, Macros,
};
use ca_server_sim::shell::{Host, Shell, Start, Started};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};

use crate::dump;
use crate::hints;
use crate::put::input::{self, Mode};
use crate::{Cli, escape};

/// Longest input looked at, in bytes.
const MAX_INPUT: usize = 16 * 1024;
const MIB: u64 = 1 << 20;
/// Memory of an IOC with the largest arrays, while they are copied from the description into it.
const LARGE_ARRAYS: u64 = 1200 * MIB;

/// Name, body, and the most bytes that one input may have allocated at one time.
pub type Target = (&'static str, fn(&[u8]), u64);

/// Every target of this crate.
pub const TARGETS: &[Target] = &[
    ("pv_text", pv_text, LARGE_ARRAYS),
    ("ioc_toml", ioc_toml, LARGE_ARRAYS),
    ("put_input", put_input, 4 * MIB),
    #[cfg(feature = "world")]
    ("ioc_control", crate::ioc::control::fuzz, 8 * MIB),
    ("escapes", escapes, MIB),
    ("calc", calc, 2 * MIB),
    ("macros", macros, 128 * MIB),
    ("db", db, 64 * MIB),
    ("substitutions", substitutions, 64 * MIB),
    ("dbd", dbd, 64 * MIB),
    ("st_cmd", st_cmd, 64 * MIB),
    ("sav", sav, 16 * MIB),
    ("faults", faults, 64 * MIB),
    ("lattice", lattice, 64 * MIB),
    ("acf", access::acf, 64 * MIB),
    ("filter", access::filter, 16 * MIB),
    ("dump_text", dump_text, 8 * MIB),
    ("arguments", arguments, 8 * MIB),
];

fn cut(data: &[u8]) -> &[u8] {
    &data[..data.len().min(MAX_INPUT)]
}

/// A PV as `canter ioc --pv` takes it; what is understood is served and can be read.
fn pv_text(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    if has_large_array(&text) {
        return;
    }
    match ca_server_sim::describe::parse(&text) {
        Ok((name, spec)) => serve(Ioc::builder().pv(name, spec)),
        Err(error) => {
            assert!(!error.reason.is_empty());
            assert!(text.contains(&error.at));
            assert_shown(&error.to_string());
        }
    }
}

/// A file of `canter ioc`; what is understood is served and can be read.
fn ioc_toml(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    if has_large_array(&text) {
        return;
    }
    match Ioc::builder().toml(&text) {
        Ok(builder) => serve(builder),
        Err(error) => {
            assert!(is_line_of(&text, error.line), "{error}");
            assert_shown(&error.to_string());
        }
    }
}

/// What is told of somebody's text has no effect on a terminal.
fn assert_shown(message: &str) {
    let harmless = |c| c == '\n' || is_plain(c);
    assert!(message.chars().all(harmless), "{message:?}");
}

/// A number of 8 or 9 digits: an array of 10 million elements and more is allowed up to 256 MiB, but
/// takes longer under a sanitizer than an input may. Larger ones are refused, quickly.
fn has_large_array(text: &str) -> bool {
    let numbers = text.split(|c: char| !c.is_ascii_digit());
    numbers.into_iter().any(|digits| {
        let digits = digits.trim_start_matches('0').len();
        digits == 8 || digits == 9
    })
}

fn is_line_of(text: &str, line: usize) -> bool {
    (1..=text.lines().count() + 1).contains(&line)
}

/// An IOC lives for ten seconds, its signals included, and tells the values of its PVs.
fn serve(builder: IocBuilder) {
    /// Samples of signals that are computed; a camera has a million points in each.
    const SAMPLES: usize = 20;
    let mut ioc = match builder.build() {
        Ok(ioc) => ioc,
        Err(error) => return assert_shown(&error.to_string()),
    };
    let mut now = Instant::ZERO;
    ioc.start(now, Timestamp::default(), 5064);
    for _ in 0..SAMPLES {
        let next = ioc.poll_timeout().unwrap_or(now);
        now = next.clamp(now, now + Duration::from_secs(1)) + Duration::from_micros(1);
        ioc.handle_timeout(now);
    }
    let names: Vec<String> = ioc.pv_names().map(str::to_owned).collect();
    for name in names {
        ioc.read(name.as_str())
            .expect("a PV that is listed is there");
    }
}

/// A script of faults; what is understood is run, and what is shown of a fault begins the same one.
fn faults(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    let script = match FaultScript::parse(&text) {
        Ok(script) => script,
        Err(mistakes) => {
            for mistake in &mistakes.0 {
                assert!(is_line_of(&text, mistake.line), "{mistakes}");
            }
            assert_shown(&mistakes.to_string());
            return;
        }
    };
    let pvs = ["x", "y"].map(|name| (name.to_owned(), PvSpec::double(1.0)));
    let Ok(mut ioc) = Ioc::builder().pvs(pvs).build() else {
        return;
    };
    let mut now = Instant::ZERO;
    ioc.start(now, Timestamp::default(), 5064);
    if has_large_array(&text) || ioc.run_faults(now, &script).is_err() {
        return;
    }
    for _ in 0..100 {
        let next = ioc.poll_timeout().unwrap_or(now);
        now = next.clamp(now, now + Duration::from_secs(1000)) + Duration::from_micros(1);
        ioc.handle_timeout(now);
        let mut datagram = Vec::new();
        while ioc.poll_transmit(now, &mut datagram).is_some() {}
        let _ = ioc.post(now, "x", 2.0);
    }
    for (_, fault) in ioc.faults() {
        let line = fault.to_string();
        let again = Fault::parse(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(again.to_string(), line);
    }
}

/// A lattice; what is understood is a ring with optics and an orbit, or is said not to be one.
fn lattice(data: &[u8]) {
    let text = String::from_utf8_lossy(cut(data));
    match ca_ring::Lattice::parse(&text) {
        // More elements than an input can be waited for.
        Ok(ring) if ring.elements.len() > 2000 => {}
        Ok(ring) => {
            if let Ok(optics) = ring.optics() {
                assert_eq!(optics.at.len(), ring.elements.len() + 1);
            }
            let _ = ring.orbit(1e-3);
        }
        Err(error) => {
            assert!(!error.mistakes().is_empty());
            for mistake in error.mistakes() {
                assert!(is_line_of(&text, mistake.line), "{error}");
            }
            assert_shown(&error.to_string());
        }
    }
}

/// The arguments of `canter put`.
///
/// # Shape
/// One byte type and mode, one byte element count, then the arguments, with NULs between them.
fn put_input(data: &[u8]) {
    let [kind, count, rest @ ..] = cut(data) else {
        return;
    };
    let modes = [Mode::Native, Mode::Index, Mode::String, Mode::LongString];
    let mode = modes[usize::from(kind / 7) % modes.len()];
    let states = EnumStates::new(["Idle", "Moving", "Fault", "7", ""]);
    let target = input::Target {
        pv: "X",
        native: NativeType::ALL[usize::from(kind % 7)],
        count: u32::from(*count),
        states: &states,
    };
    let args: Vec<Vec<u8>> = rest.split(|&b| b == 0).map(<[u8]>::to_vec).collect();
    let args = args.iter().map(|arg| escape::bytes(arg));
    let Ok(args) = args.collect::<Result<Vec<_>, _>>() else {
        return;
    };
    match input::value(&target, mode, &args) {
        Ok(value) => assert!(value.count() <= target.count.max(1)),
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.chars().all(|c| is_plain(c) || c == '\n'), "{shown:?}");
        }
    }
}

/// Names and values with escapes: they are understood or refused, in printable text, and what is shown
/// of any bytes can be given back.
fn escapes(data: &[u8]) {
    let data = cut(data);
    match escape::bytes(data) {
        Ok(bytes) => assert!(bytes.len() <= data.len()),
        Err(error) => assert!(error.to_string().chars().all(is_plain), "{error}"),
    }
    let shown = escape::line(data);
    assert!(shown.chars().all(is_plain), "{shown:?}");
    assert_eq!(escape::bytes(shown.as_bytes()).as_deref(), Ok(data));
    let lossy = String::from_utf8_lossy(data);
    assert_eq!(
        escape::bytes(escape::printable(&lossy).as_bytes()).as_deref(),
        Ok(lossy.as_bytes())
    );
}

/// Expressions: they are understood or refused, and end.
fn calc(data: &[u8]) {
    calc_larger(data);
    let expression = match Expression::parse(data) {
        Ok(expression) => expression,
        Err(error) => {
            assert!(error.at <= data.len(), "{error}");
            return;
        }
    };
    let arguments = std::array::from_fn(|n| n as f64 - 3.5);
    let mut after = arguments;
    let mut random = Random::default();
    let _ = expression.evaluate(&mut after, 1.5, &mut random);
    let stored = |n: usize| expression.stores() & 1 << n != 0;
    let changed = |n: usize| arguments[n].to_bits() != after[n].to_bits();
    assert!((0..ARGUMENTS).all(|n| stored(n) || !changed(n)));
}

/// The same text as an expression of texts and of arrays: it ends, and what it gives has its bounds.
fn calc_larger(data: &[u8]) {
    const LENGTH: usize = 9;
    let mut random = Random::default();
    match Expression::parse_texts(data) {
        Ok(expression) => {
            let mut with = Texts {
                texts: std::array::from_fn(|n| {
                    b"a=-1.5,\\x01\\xff and more than there is"
                        .split_at(n * 2)
                        .1
                        .to_vec()
                }),
                numbers: std::array::from_fn(|n| n as f64 - 3.5),
                ..Texts::default()
            };
            let done = with.evaluate(&expression, &mut random);
            assert!(done.is_err() || with.number.is_finite());
            let texts = with.texts.iter().chain([&with.text]);
            for text in texts {
                assert!(text.len() <= MAX_BYTES && !text.contains(&0), "{text:?}");
            }
        }
        Err(error) => assert!(error.at <= data.len(), "{error}"),
    }
    match Expression::parse_arrays(data) {
        Ok(expression) => {
            let mut with = Arrays::new(LENGTH);
            with.set(0, &std::array::from_fn::<_, LENGTH, _>(|n| n as f64 - 2.5));
            with.set(1, &[3.0, f64::NAN, -1e300]);
            let done = with.evaluate(&expression, &mut random);
            assert!(done.is_err() || with.number.is_finite());
            assert!(matches!(with.result().len(), 0 | LENGTH));
            for n in (0..12).filter(|n| with.stored & 1 << n != 0) {
                assert_eq!(with.get(n).len(), LENGTH);
            }
        }
        Err(error) => assert!(error.at <= data.len(), "{error}"),
    }
}

/// Macros: definitions in the first line, and a text. What they become is bounded.
fn macros(data: &[u8]) {
    let data = cut(data);
    let end = data.iter().position(|&byte| byte == b'\n');
    let (defined, text) = data.split_at(end.unwrap_or(0));
    let mut macros = Macros::new();
    macros.define(defined);
    let expanded = macros.expand(text);
    // A name that is not defined may come on top.
    assert!(expanded.text.len() <= 2 * MAX_EXPANDED + 64);
    for problem in &expanded.problems {
        assert!(problem.span.1 <= text.len(), "{problem}");
    }
}

/// Record types for files that bring none of their own.
const TYPES: &str = r#"
menu(scan) { choice(a, "Passive") choice(b, ".1 second") choice(c, "1 second") }
recordtype(ai) {
    field(NAME, DBF_STRING) { size(61) }
    field(SCAN, DBF_MENU) { menu(scan) }
    field(DTYP, DBF_DEVICE) { prompt("") }
    field(FLNK, DBF_FWDLINK) { prompt("") }
    field(UDF, DBF_UCHAR) { initial("1") }
    field(VAL, DBF_DOUBLE) { pp(TRUE) }
    field(INP, DBF_INLINK) { prompt("") }
    field(OUT, DBF_OUTLINK) { prompt("") }
    field(DESC, DBF_STRING) { size(41) }
    field(CALC, DBF_STRING) { size(80) special(SPC_CALC) initial("0") }
    field(PREC, DBF_SHORT) { interest(1) }
    field(SIZE, DBF_UINT64) { base(HEX) }
    field(MORE, DBF_FLOAT) { prop(YES) }
}
recordtype(bo) { field(NAME, DBF_STRING) { size(61) } field(VAL, DBF_ENUM) { pp(TRUE) } field(LNK1, DBF_FWDLINK) { pp(NO) } }
device(ai, CONSTANT, devSoft, "Soft Channel")
device(ai, INST_IO, devAny, "Any")
device(ai, VME_IO, devVme, "VME")
link(const, lnkConst)
link(calc, lnkCalc)
link(debug, lnkDebug)
"#;

/// Records as `canter lint` reads them; the file may include itself.
fn db(data: &[u8]) {
    let files = InMemory::from([("types.dbd", TYPES.as_bytes()), ("x.db", cut(data))]);
    load(&files, &["types.dbd", "x.db"]);
}

/// Substitutions, of templates that there are, and of themselves.
fn substitutions(data: &[u8]) {
    let template = br#"record(ai, "$(P=p)$(N=1)") { field(VAL, $(V=1)) field(DESC, "$(D=)") field(FLNK, "$(F=)") }"#;
    let files = InMemory::from([
        ("types.dbd", TYPES.as_bytes()),
        ("x.db", template),
        ("y.db", br#"include "x.db""#),
        ("x.substitutions", cut(data)),
    ]);
    load(&files, &["types.dbd", "x.substitutions"]);
}

/// Record types, and records of them.
fn dbd(data: &[u8]) {
    let files = InMemory::from([("types.dbd", TYPES.as_bytes()), ("x.dbd", cut(data))]);
    load(&files, &["x.dbd", "types.dbd", "x.dbd"]);
}

/// Whatever files say, it ends, and each mistake has a place that can be shown.
fn load(files: &InMemory, names: &[&str]) {
    let mut loader = Loader::new(files).bounds(Bounds::small());
    for name in names {
        loader.file(name, "A=1,B=\"two\"");
    }
    let mut loaded = loader.finish();
    load::lint(&mut loaded);
    let Loaded {
        dbd,
        records,
        mistakes,
    } = &loaded;
    for record in records.iter() {
        let kind = &dbd.types()[record.type_index];
        assert!(
            records
                .get(&record.name)
                .is_some_and(|found| found.name == record.name)
        );
        for alias in &record.aliases {
            assert!(
                records
                    .get(&alias.name)
                    .is_some_and(|found| found.name == record.name)
            );
        }
        for field in &record.fields {
            assert_eq!(kind.find(&field.name), Some(field.index));
        }
    }
    for mistake in mistakes.iter() {
        assert!(!mistake.message.is_empty());
        assert!(
            mistake.message.chars().all(is_plain),
            "{:?}",
            mistake.message
        );
    }
    let text = mistakes.render(false);
    assert!(
        text.chars().all(|c| is_plain(c) || matches!(c, '\n')),
        "{text:?}"
    );
}

/// Text that `canter dump` reads.
fn dump_text(data: &[u8]) {
    let mut out = Vec::new();
    // What is no hexadecimal text is refused.
    let _ = dump::text(cut(data), "input", &mut out);
    assert!(out.len() <= 64 * MAX_INPUT);
}

/// Command lines of the program, an argument in each line; they are understood or refused.
fn arguments(data: &[u8]) {
    /// Longest command line looked at, in bytes.
    const MAX_LINE: usize = 1024;
    let text = String::from_utf8_lossy(&data[..data.len().min(MAX_LINE)]);
    let args = std::iter::once("canter").chain(text.lines());
    let args: Vec<OsString> = args.map(OsString::from).collect();
    if let Err(error) = Cli::read(args.clone()) {
        let _ = (error.to_string(), hints::hint(&error, &args));
    }
    let printable = escape::printable(&text);
    assert!(printable.chars().all(is_plain));
    assert_eq!(
        escape::bytes(printable.as_bytes()).as_deref(),
        Ok(text.as_bytes())
    );
}

/// The host of a shell that has a few files, and no streams.
struct Nowhere {
    files: InMemory,
    ioc: Option<Ioc>,
    /// Files that may still be read.
    reads: std::cell::Cell<usize>,
    said: usize,
}

impl Host for Nowhere {
    fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
        self.ioc
            .as_mut()
            .map(|ioc| work(ioc, Instant::ZERO))
            .is_some()
    }

    fn init(&mut self, start: Start) -> Result<Started, String> {
        let ioc = start.build(Ioc::builder());
        let mut ioc = ioc.map_err(|error| error.to_string())?;
        ioc.start(Instant::ZERO, Timestamp::default(), 5064);
        self.ioc = Some(ioc);
        Ok(Started::default())
    }

    fn out(&mut self, text: &str) {
        self.said += text.len();
    }

    fn err(&mut self, text: &str) {
        assert_shown(text);
        self.said += text.len();
    }

    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        let left = self
            .reads
            .get()
            .checked_sub(1)
            .ok_or(FileProblem::Missing)?;
        self.reads.set(left);
        self.files.read(name, limit)
    }

    fn open(&mut self, _: &str, _: bool) -> std::io::Result<Box<dyn std::io::Write>> {
        Ok(Box::new(std::io::sink()))
    }
}

/// Records of several types, for scripts and save files.
const RECORDS: &str = "record(ao, \"$(P=x)\") { field(FLNK, \"y\") info(a, \"b\") }\n\
    record(calc, \"y\") { field(INPA, \"x CP\") field(CALC, \"A+1\") field(SCAN, \"1 second\") }\n\
    record(waveform, \"w\") { field(NELM, 5) field(FTVL, STRING) }\n\
    record(mbbo, \"m\") { field(ZRST, a) }\n record(lso, \"l\") {}\n";

/// A script for the shell of an IOC: it ends, and a line behind it is executed.
fn st_cmd(data: &[u8]) {
    let mut host = Nowhere {
        files: InMemory::new(),
        ioc: None,
        reads: std::cell::Cell::new(16),
        said: 0,
    };
    host.files.insert("st.cmd", &data[..data.len().min(4096)]);
    host.files.insert("x.db", RECORDS);
    host.files.insert("x.req", "x.VAL\nw\n");
    host.files.insert("x.sav", "x.VAL 1\n<END>\n");
    let mut shell = Shell::new();
    shell.script(&mut host, "st.cmd", "");
    let before = host.said;
    shell.line(&mut host, "echo x");
    assert_eq!(host.said, before + 2);
}

/// A save file: it is taken as a whole or not at all, and what was restored can be saved.
fn sav(data: &[u8]) {
    let data = cut(data);
    let file = match SaveFile::read("x.sav", data) {
        Ok(file) => file,
        Err(error) => return assert_shown(&error),
    };
    let names: Vec<String> = file
        .entries
        .iter()
        .map(|entry| entry.name.clone())
        .collect();
    let mut ioc = Ioc::from_db(RECORDS).expect("records that can be");
    for pass in [Pass::Before, Pass::After] {
        let (name, file) = ("x.sav".to_owned(), file.clone());
        ioc.restore_at_start(Restore { pass, name, file });
    }
    ioc.start(Instant::ZERO, Timestamp::default(), 5064);
    let said = ioc.take_restored();
    for line in &said {
        assert!(line.starts_with("x.sav:"), "{line:?}");
        assert_shown(line);
    }
    let mut save = Save::default();
    save.add(&ioc, &names);
    let text = save.finish("now");
    // Names of any kind stand in the file, but a line is a line.
    assert!(SaveFile::read("y.sav", text.as_bytes()).is_ok(), "{text}");
}
