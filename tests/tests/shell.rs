//! The shell of an IOC: what ours prints beside what that of EPICS Base prints.

use std::sync::Arc;

use ca_proto::{Instant, Timestamp};
use ca_server_sim::Ioc;
use ca_server_sim::load::{Disk, FileProblem, Files, access_security};
use ca_server_sim::shell::{Host, Shell, Start, Started};
use ca_tests::oracle::{ask, hex};
use ca_tests::peer::Python;

#[derive(Default)]
struct Bench {
    ioc: Option<Ioc>,
    out: String,
}

impl Host for Bench {
    fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
        self.ioc
            .as_mut()
            .map(|ioc| work(ioc, Instant::ZERO))
            .is_some()
    }

    fn init(&mut self, start: Start) -> Result<Started, String> {
        let mut builder = Ioc::builder();
        if let Some((file, macros)) = &start.access {
            let (rules, mistakes) = access_security(&Disk, file, macros);
            assert!(mistakes.is_empty(), "{mistakes}");
            builder = builder.access_security(rules);
        }
        let mut ioc = start.build(builder).map_err(|error| error.to_string())?;
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        self.ioc = Some(ioc);
        Ok(Started::default())
    }

    fn out(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn err(&mut self, _: &str) {}

    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        Disk.read(name, limit)
    }

    fn date(&self, _: Timestamp, _: &str) -> String {
        TIME.to_owned()
    }
}

/// As long as a time, for what stands behind it.
const TIME: &str = "yyyy-mm-dd hh:mm:ss.nnnnnnnnn";

/// Nothing in it happens by itself.
const DB: &str = r#"
record(ai, "t:ai") { field(DESC, "An input") field(EGU, "mm") field(PREC, 3) field(HIHI, 10) field(HHSV, MAJOR)
    field(VAL, 1.5) field(INP, "t:ao NPP MS") field(FLNK, "t:c") info(autosaveFields, "VAL EGU") info(archive, "x y") }
record(ao, "t:ao") { field(VAL, 2.5) field(OUT, "t:li.VAL PP") alias("t:alias") field(DRVH, 1e6) field(HOPR, 0.1) }
record(longin, "t:li") { field(EVNT, "ev1") field(SCAN, "Event") }
record(longin, "t:l2") { field(EVNT, "ev1") field(SCAN, "Event") field(PRIO, HIGH) field(PHAS, 1) }
record(mbbi, "t:mb") { field(ZRST, "zero") field(ONST, "one") field(VAL, 1) field(ZRVL, 0x10) }
record(bo, "t:bo") { field(ZNAM, "Off") field(ONAM, "On") field(HIGH, 0.333333333333333) }
record(waveform, "t:wf") { field(NELM, 200) field(FTVL, DOUBLE) }
record(waveform, "t:wc") { field(NELM, 200) field(FTVL, CHAR) }
record(waveform, "t:wu") { field(NELM, 10) field(FTVL, UCHAR) }
record(waveform, "t:ws") { field(NELM, 40) field(FTVL, STRING) }
record(stringin, "t:s") { field(VAL, "hello") }
record(calc, "t:c") { field(CALC, "A+1") field(INPA, "t:ai") field(INPB, "other:pv CA") field(INPC, "1.5") }
record(int64in, "t:i64") { field(VAL, "9007199254740993") }
record(longout, "t:hex") { field(VAL, -3) }
record(sub, "t:sub") { field(A, 1e-7) field(B, 123456.789) field(C, 1e10) field(D, 0.1) field(E, 3.0000000001) }
"#;

/// Commands whose output is the same byte for byte, but for times.
const LINES: &[&str] = &[
    "dbl",
    "dbl ai",
    "dbl ai \"DESC VAL NOPE INP\"",
    "dbl \"\" \"recordType\"",
    "dbl nope",
    "dbnr",
    "dbla",
    "dbla t:x*",
    "dbli",
    "dbli arch*",
    "dbgrep t:a*",
    "dbglob *l? VAL",
    "dbgf t:ai",
    "dbgf t:ai.DESC",
    "dbgf t:ai.SCAN",
    "dbgf t:ai.INP",
    "dbgf t:ai.FLNK",
    "dbgf t:ai.UDF",
    "dbgf t:ai.PHAS",
    "dbgf t:ai.RTYP",
    "dbgf t:alias.EGU",
    "dbgf t:mb",
    "dbgf t:bo",
    "dbgf t:bo.ZNAM",
    "dbgf t:i64",
    "dbgf t:hex",
    "dbgf t:wf",
    "dbgf t:nope",
    "dbgf",
    "dbpf t:wf \"[1, 2.5, -3e9]\"",
    "dbpf t:wf 7",
    "dbpf t:wc \"hello, 'world'\"",
    "dbpf t:wc \"a long text with more characters than fit into one line of eighty columns, quite a lot more\"",
    "dbpf t:wu abc",
    "dbpf t:ws '[\"a\", \"b c\"]'",
    "dbpf t:ao 3.25",
    "dbpf t:ao abc",
    "dbpf t:mb zero",
    "dbpf t:mb two",
    "dbpf t:mb 1",
    "dbpf t:s \"a b\"",
    "dbpf t:ai.NAME x",
    "dbpf t:ai.EGU abcdefghijklmnopqrstuvwxyz",
    "dbpf t:ai.SCAN nope",
    "dbpf t:hex.DISP 1",
    "dbpf t:hex 9",
    "dbpf t:ai",
    "dbpr t:s",
    "dbpr t:ao 1",
    "dbpr t:ao 2",
    "dbpr t:mb 3",
    "dbpr t:bo 3",
    "dbpr t:sub 3",
    "dbpr t:hex 2",
    "dbpr t:nope",
    "dbpr",
    "dbtr t:sub",
    "dbcar",
    "dbcar t:c 1",
    "scanppl",
    "scanpel",
    "scanpel ev*",
    "dbstat",
    "echo \"a b\"",
    "echo a b",
    "var dbTemplateMaxVars",
    "generalTimeReport",
    "dbior",
    "dbior \"\" 1",
    "dbhcr",
    "dbReportDeviceConfig",
    "callbackSetQueueSize 100",
    "errlog hello",
    "eltc 0",
    "iocLogPrefix x",
    "dbDumpPath pdbbase",
    "dbDumpDriver pdbbase",
    "dbDumpMenu x",
];

/// Users and hosts in the order of their names, in which ours shows them.
const ACF: &str = r#"
UAG(ops) {alice, bob}
UAG(none)
HAG(room) {host1, "host2"}
ASG(DEFAULT) { RULE(1,READ) RULE(1,WRITE,TRAPWRITE) }
ASG(g1) {
  INPA("t:hex") INPB("t:nothere")
  RULE(1,READ)
  RULE(0,WRITE) { UAG(ops) HAG(room) CALC("A=-3") }
  RULE(1,NONE)
}
"#;

/// Of access security, with that file. No condition reads what has no value: ours shows that it does not count, the
/// reference what it would be.
const SECURITY: &[&str] = &[
    "asprules",
    "asprules g1",
    "asprules nope",
    "aspuag",
    "aspuag ops",
    "asphag",
    "asphag nope",
    "aspmem",
    "aspmem g1 1",
    "asdbdump",
    "ascar",
];

fn plain(text: &str) -> String {
    // Times are of the same length; `dba` begins with addresses.
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("TIME: ") {
        let (before, after) = rest.split_at(at + 6);
        out.push_str(before);
        let is_time = after.starts_with("20") && after.len() >= TIME.len();
        out.push_str(if is_time { TIME } else { "" });
        rest = &after[if is_time { TIME.len() } else { 0 }..];
    }
    out.push_str(rest);
    out
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn commands_print_what_those_of_the_reference_print() {
    same("records", DB, None, LINES);
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn access_security_is_shown_as_there() {
    let db = format!("{DB}record(ai, \"t:g\") {{ field(ASG, \"g1\") }}\n");
    same("security", &db, Some(ACF), SECURITY);
}

/// Ours and that of the reference print the same, of the same files.
fn same(name: &str, db: &str, acf: Option<&str>, lines: &[&str]) {
    let folder = std::env::temp_dir().join(format!("canter-iocsh-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = |name: &str| folder.join(name).display().to_string();
    let mut files = path("x.db");
    std::fs::write(&files, db).unwrap();
    let (mut shell, mut host) = (Shell::new(), Bench::default());
    assert!(shell.command(&mut host, &["dbLoadRecords", &files, ""]));
    if let Some(acf) = acf {
        let file = path("x.acf");
        std::fs::write(&file, acf).unwrap();
        assert!(shell.command(&mut host, &["asSetFilename", &file]));
        files = format!("{files}\0{file}");
    }
    assert!(shell.command(&mut host, &["iocInit"]));
    let ours = lines.iter().map(|line| {
        host.out.clear();
        shell.line(&mut host, line);
        host.out.clone()
    });
    let ours: Vec<String> = ours.collect();
    let asked = std::iter::once(files.as_str()).chain(lines.iter().copied());
    let questions: String = asked.map(|line| hex(line.as_bytes()) + "\n").collect();
    let mut other = String::new();
    // A task of the reference reads the inputs of access security some time after its start.
    for _ in 0..10 {
        let theirs = ask(&Python::here(), "iocsh_oracle.py", questions.clone());
        other = differences(lines, &ours, &theirs[1..]);
        if other.is_empty() {
            break;
        }
    }
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(other.is_empty(), "{other}");
}

fn differences(lines: &[&str], ours: &[String], theirs: &[String]) -> String {
    let mut other = String::new();
    for ((line, ours), theirs) in lines.iter().zip(ours).zip(theirs) {
        let theirs = plain(&unhex(theirs));
        if *ours != theirs {
            other.push_str(&format!("{line}\nours:\n{ours}theirs:\n{theirs}\n"));
        }
    }
    other
}

fn unhex(text: &str) -> String {
    let digits = text.trim_matches('-').as_bytes().chunks(2);
    let bytes = digits.map(|two| {
        let two = std::str::from_utf8(two).unwrap();
        u8::from_str_radix(two, 16).unwrap()
    });
    String::from_utf8_lossy(&bytes.collect::<Vec<u8>>()).into_owned()
}
