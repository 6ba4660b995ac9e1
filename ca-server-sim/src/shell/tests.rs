//! Lines in, text out, without sockets, clock or disk.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_proto::{Instant, Timestamp};

use super::{Host, MAX_DEPTH, Next, Shell, Start, Started};
use crate::autosave::Settings;
use crate::ioc::Ioc;
use crate::load::{FileProblem, Files, InMemory};
use crate::state::{IocSnapshot, SnapshotError};

/// A host with files in memory.
#[derive(Default)]
struct Bench {
    files: InMemory,
    ioc: Option<Ioc>,
    out: String,
    err: String,
    written: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    slept: Duration,
    directories: Vec<&'static str>,
    saved: Vec<String>,
}

struct Written(Arc<Mutex<BTreeMap<String, Vec<u8>>>>, String);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut files = self.0.lock().unwrap();
        files
            .entry(self.1.clone())
            .or_default()
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Host for Bench {
    fn with(&mut self, work: &mut dyn FnMut(&mut Ioc, Instant)) -> bool {
        self.ioc
            .as_mut()
            .map(|ioc| work(ioc, Instant::ZERO))
            .is_some()
    }

    fn init(&mut self, start: Start) -> Result<Started, String> {
        let mut ioc = start
            .build(Ioc::builder())
            .map_err(|error| error.to_string())?;
        ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
        let remarks = ioc.take_restored();
        self.ioc = Some(ioc);
        Ok(Started { remarks })
    }

    fn out(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn err(&mut self, text: &str) {
        self.err.push_str(text);
    }

    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        self.files.read(name.trim_start_matches("./"), limit)
    }

    fn open(&mut self, name: &str, append: bool) -> io::Result<Box<dyn Write>> {
        if !append {
            self.written.lock().unwrap().remove(name);
        }
        Ok(Box::new(Written(
            Arc::clone(&self.written),
            name.to_owned(),
        )))
    }

    fn is_directory(&self, name: &str) -> bool {
        self.directories.contains(&name)
    }

    fn sleep(&mut self, time: Duration) {
        self.slept += time;
    }

    fn write_snapshot(&mut self, name: &str, snapshot: &IocSnapshot) -> Result<(), SnapshotError> {
        self.files.insert(name, snapshot.as_bytes());
        Ok(())
    }

    fn autosave(&mut self, _: &Settings, now: &[String]) {
        self.saved.extend_from_slice(now);
    }
}

/// A shell with its host.
#[derive(Default)]
struct Console {
    shell: Shell,
    host: Bench,
}

impl Console {
    fn with(files: &[(&str, &str)]) -> Self {
        let mut console = Self::default();
        for (name, text) in files {
            console.host.files.insert(*name, text);
        }
        console
    }

    /// What a line prints, errors behind the rest.
    fn line(&mut self, line: &str) -> String {
        assert_eq!(self.shell.line(&mut self.host, line), Next::Line, "{line}");
        std::mem::take(&mut self.host.out) + &std::mem::take(&mut self.host.err)
    }

    fn script(&mut self, name: &str) -> (bool, String) {
        let done = self.shell.script(&mut self.host, name, "");
        (done, std::mem::take(&mut self.host.err))
    }
}

const SMALL: &str = "record(ao, \"$(P):gap\") { field(VAL, 1.5) field(EGU, mm) alias(\"$(P):other\") info(a, \"b\") }\n\
                     record(calc, \"$(P):twice\") { field(INPA, \"$(P):gap\") field(CALC, \"2*A\") }\n\
                     record(waveform, \"$(P):wave\") { field(NELM, 5) field(FTVL, LONG) }\n";

fn small() -> Console {
    let mut console = Console::with(&[("x.db", SMALL)]);
    console.line("dbLoadRecords x.db P=SR");
    console.line("iocInit");
    console
}

#[test]
fn a_script_with_commands_of_modules_loads_and_serves() {
    let mut console = Console::with(&[
        ("db/x.db", SMALL),
        ("envPaths", "epicsEnvSet(TOP, \".\")\nepicsEnvSet(P, SR)\n"),
        (
            "st.cmd",
            "#!../../bin/linux-x86_64/example\n\
             < envPaths\n\
             dbLoadDatabase \"$(TOP)/dbd/example.dbd\"\n\
             example_registerRecordDeviceDriver pdbbase\n\
             drvAsynIPPortConfigure(\"L0\", \"192.168.1.2:4001\", 0, 0, 0)\n\
             dbLoadRecords(\"$(TOP)/db/x.db\", \"P=$(P)\")\n\
             iocInit()\n\
             seq sncExample, \"user=me\"\n\
             dbpf $(P):gap 3\n\
             dbpr $(P):gap\n",
        ),
    ]);
    let (done, err) = console.script("st.cmd");
    assert!(done);
    let expected = [
        "there is no file `./dbd/example.dbd`",
        "st.cmd line 3: Failed to load './dbd/example.dbd', it is left out",
        "st.cmd line 5: Command drvAsynIPPortConfigure not found, it is left out",
        "st.cmd line 8: Command seq not found, it is left out",
    ];
    for part in expected {
        assert!(err.contains(part), "{part:?} is not in {err}");
    }
    assert!(console.shell.is_running());
    // Lines are shown as in EPICS Base.
    assert!(
        console
            .host
            .out
            .contains("dbpf SR:gap 3\nDBF_DOUBLE:         3 "),
        "{}",
        console.host.out
    );
    assert_eq!(console.host.ioc.unwrap().number("SR:gap").unwrap(), 3.0);
}

#[test]
fn a_file_with_mistakes_is_left_out_as_a_whole_and_the_rest_goes_on() {
    let mut console = Console::with(&[
        ("good.db", "record(ai, \"good\") {}"),
        (
            "bad.db",
            "record(ai, \"half\") {}\nrecord(ai, \"bad\") { field(NOPE, 1) }",
        ),
        ("more.db", "record(\"*\", \"good\") { field(EGU, \"V\") }"),
    ]);
    assert_eq!(console.line("dbLoadRecords good.db"), "");
    let said = console.line("dbLoadRecords bad.db");
    assert!(said.contains("bad.db:2") && said.contains("NOPE"), "{said}");
    assert!(
        said.contains("Failed to load 'bad.db', it is left out"),
        "{said}"
    );
    assert_eq!(console.line("dbl"), "good\n");
    assert_eq!(console.line("dbLoadRecords more.db"), "");
    assert_eq!(
        console.line("iocInit"),
        "Starting iocInit\niocRun: All initialization complete\n"
    );
    assert_eq!(console.line("dbl ai EGU"), "good, \"V\"\n");
}

#[test]
fn macros_quotes_and_comments_are_those_of_iocsh() {
    let mut console = Console::default();
    console.line("epicsEnvSet A \"b c\"");
    for (line, out) in [
        ("echo \"$(A)\"", "b c\n"),
        ("echo ${A}", "b\n"),
        ("echo \"$(NONE=d)\"", "d\n"),
        ("echo '$(A)'", "$(A)\n"),
        ("# echo $(NONE)", ""),
        ("  ", ""),
        ("echo(\"x, y\")", "x, y\n"),
        ("echo \"a\\tb\"", "a\tb\n"),
    ] {
        assert_eq!(console.line(line), out, "{line}");
    }
    assert!(
        console
            .line("echo $(NONE)")
            .contains("macro `NONE` is not defined")
    );
    assert!(console.line("echo \"a").contains("Unbalanced quote"));
    assert_eq!(console.line("epicsEnvShow A"), "A=b c\n");
    console.line("epicsEnvUnset A");
    assert!(console.line("echo $(A)").contains("not defined"));
    assert!(console.line("echoo x").contains("is `echo` meant?"));
    assert!(console.line("dbpr x y").contains("Invalid integer 'y'."));
}

#[test]
fn output_is_redirected_and_scripts_are_read() {
    let mut console = small();
    console
        .host
        .files
        .insert("one", "echo $(X=none)\necho two\n");
    assert_eq!(console.line("dbl ao > list"), "");
    assert_eq!(console.line("echo more >> list"), "");
    assert_eq!(console.line("nosuch 2> errors"), "");
    let file = |console: &Console, name: &str| {
        let files = console.host.written.lock().unwrap();
        String::from_utf8(files[name].clone()).unwrap()
    };
    assert_eq!(file(&console, "list"), "SR:gap\nSR:other\nmore\n");
    assert!(file(&console, "errors").contains("nosuch not found"));
    assert_eq!(console.line("< one"), "echo none\nnone\necho two\ntwo\n");
    assert_eq!(console.line("iocshLoad one X=1 > list"), "");
    assert_eq!(file(&console, "list"), "echo 1\n1\necho two\ntwo\n");
    assert_eq!(console.line("iocshRun 'echo $(Y)' Y=3"), "3\n");
    assert!(
        console
            .line("< nowhere")
            .contains("Can't open nowhere: there is no such file")
    );
}

#[test]
fn scripts_that_call_themselves_end() {
    let mut console = Console::with(&[("a", "#- one\niocshLoad a\niocshLoad a\n")]);
    let started = std::time::Instant::now();
    let (_, err) = console.script("a");
    assert!(
        err.contains(&format!("{MAX_DEPTH} scripts call each other")),
        "{}",
        &err[..200]
    );
    // Bounded by lines, not by two to the depth; far from a limit of time.
    assert!(started.elapsed() < Duration::from_secs(600));
    assert!(console.shell.lines <= super::MAX_LINES);
}

#[test]
fn a_script_is_left_on_error_only_if_it_says_so() {
    let script = "dbLoadRecords nowhere.db\necho here\non error break\nnosuch\ndbLoadRecords nowhere.db\necho there\n";
    let mut console = Console::with(&[("st", script)]);
    let (done, err) = console.script("st");
    assert!(!done);
    assert!(err.contains("st line 5: Error: Break"), "{err}");
    assert!(console.host.out.contains("\nhere\n") && !console.host.out.contains("there"));
    console
        .host
        .files
        .insert("wait", "on error wait 1.5\ndbpr\nexit\necho no\n");
    assert!(console.script("wait").0);
    assert_eq!(console.host.slept, Duration::from_millis(1500));
    assert!(!console.host.out.contains("\nno\n"));
}

#[test]
fn directories_count_for_all_files() {
    let mut console = Console::with(&[("iocBoot/../db/x.db", SMALL), ("db/x.db", SMALL)]);
    console.host.directories = vec!["iocBoot", "iocBoot/..", "iocBoot/../db"];
    assert!(console.line("cd nowhere").contains("no directory nowhere"));
    assert_eq!(console.line("cd iocBoot"), "");
    assert_eq!(console.line("pwd"), "//iocBoot\n");
    assert_eq!(console.line("dbLoadRecords ../db/x.db P=A"), "");
    assert_eq!(console.line("cd .."), "");
    assert_eq!(console.line("dbLoadRecords db/x.db P=B"), "");
    assert_eq!(console.line("epicsEnvSet EPICS_DB_INCLUDE_PATH db"), "");
    assert_eq!(console.line("dbLoadRecords x.db P=C"), "");
    assert_eq!(
        console.line("dbl ao"),
        "A:gap\nA:other\nB:gap\nB:other\nC:gap\nC:other\n"
    );
}

#[test]
fn reports_have_the_form_of_the_reference() {
    let mut console = small();
    for (line, out) in [
        ("dbla", "SR:other -> SR:gap\n"),
        ("dbli", "SR:gap info(a, \"b\")\n"),
        ("dbgrep *wave", "SR:wave\n"),
        (
            "dbnr",
            "Records  Aliases  Record Type\n     1        1    ao\n     1        0    calc\n     1        0    waveform\n\
             Total 3 records, 1 aliases\n",
        ),
        ("dbgf SR:other.EGU", "DBF_STRING:         \"mm\"      \n"),
        (
            "dbpf SR:wave \"[1, 2]\"",
            "DBF_LONG[2]:        1 = 0x1   2 = 0x2   \n",
        ),
        ("dbgf nope", "PV 'nope' not found\n"),
        ("dbstat", ""),
        (
            "casr",
            "Channel Access Server V4.13\nNo clients connected.\n",
        ),
    ] {
        assert_eq!(console.line(line), out, "{line}");
    }
    let text = console.line("dbtr SR:twice");
    assert!(
        text.contains("A   : 1.5 ") && text.contains("VAL : 3 "),
        "{text}"
    );
    assert!(
        console
            .line("dba SR:wave")
            .contains("    Field Type: 5 = DBF_LONG\n")
    );
    assert!(
        console
            .line("dbpf SR:gap x")
            .starts_with("DBF_DOUBLE:         1.5")
    );
    assert!(
        console
            .line("help dbgf")
            .starts_with("\ndbgf 'record name'\n\n")
    );
    assert!(
        console
            .line("dbLoadRecords x.db")
            .contains("cannot be loaded after iocInit")
    );
}

#[test]
fn sixty_thousand_records_are_listed_a_slice_at_a_time() {
    use std::fmt::Write;
    let mut text = String::new();
    for number in 0..60_000 {
        writeln!(text, "record(ai, \"r{number}\") {{}}").unwrap();
    }
    let mut console = Console::with(&[("x.db", &text)]);
    console.line("dbLoadRecords x.db");
    console.line("iocInit");
    let listed = console.line("dbl");
    assert_eq!(listed.lines().count(), 60_000);
    assert!(listed.starts_with("r0\nr1\n"));
    assert_eq!(console.line("dbgrep r5999?").lines().count(), 10);
}

#[test]
fn commands_before_the_start_say_so() {
    let mut console = Console::with(&[("x.db", SMALL)]);
    console.line("dbLoadRecords x.db P=A");
    for command in [
        "dbgf A:gap",
        "dbpf A:gap 1",
        "dbpr A:gap",
        "scanppl",
        "dbtr A:gap",
    ] {
        assert!(
            console.line(command).contains("only works after iocInit"),
            "{command}"
        );
    }
    assert!(console.line("casr").contains("not there before iocInit"));
    assert_eq!(console.line("dbl waveform"), "A:wave\n");
}

#[test]
fn access_security_is_read_anew() {
    let read_only = "ASG(DEFAULT) { RULE(1, READ) }\n";
    let mut console = small();
    console.host.files.insert("a.acf", read_only);
    console
        .host
        .files
        .insert("b.acf", "ASG(DEFAULT) { RULE(1, READ }\n");
    let access = |console: &Console| {
        let report = console
            .host
            .ioc
            .as_ref()
            .unwrap()
            .access("SR:gap", "me", "here");
        report.unwrap().map(|report| report.access.name())
    };
    assert!(console.line("asInit").contains("asSetFilename names one"));
    console.line("asSetFilename a.acf");
    assert_eq!(
        (console.line("asInit").as_str(), access(&console)),
        ("", Some("READ"))
    );
    console.line("asSetFilename b.acf");
    let said = console.line("asInit");
    assert!(said.contains("b.acf:1"), "{said}");
    assert_eq!(access(&console), Some("READ"));
}

#[test]
fn variables_are_shown_and_set() {
    let mut console = Console::default();
    assert_eq!(
        console.line("var dbTemplateMaxVars"),
        "int dbTemplateMaxVars = 100\n"
    );
    console.line("var dbTemplateMaxVars 200");
    assert_eq!(
        console.line("var dbT*MaxVars"),
        "int dbTemplateMaxVars = 200\n"
    );
    assert!(
        console
            .line("var dbTemplateMaxVars x")
            .contains("Invalid value")
    );
    assert!(
        console
            .line("var motorRecordDebug 1")
            .contains("There is no variable")
    );
}

#[test]
fn sets_are_saved_and_files_restored() {
    let mut console = Console::with(&[
        ("x.db", SMALL),
        (
            "as/auto.req",
            "$(P):gap.VAL\n$(P):gap.EGU\nfile more.req P=$(P)\n",
        ),
        ("as/more.req", "$(P):wave\n"),
        (
            "save/auto.sav",
            "# x\nSR:gap.VAL 7.25\nSR:wave @array@ { \"4\" \"5\" }\nSR:gone 1\n<END>\n",
        ),
    ]);
    console.host.directories = vec!["save", "as"];
    for line in [
        "dbLoadRecords x.db P=SR",
        "save_restoreSet_DatedBackupFiles 0",
        "set_requestfile_path as",
        "set_savefile_path save",
        "set_pass0_restoreFile auto.sav",
        "set_pass1_restoreFile auto.sav",
    ] {
        assert_eq!(console.line(line), "", "{line}");
    }
    let said = console.line("iocInit");
    assert!(
        said.contains("save/auto.sav:4: SR:gone is not restored: this IOC has no such record"),
        "{said}"
    );
    assert!(said.contains("2 of 3 fields restored in pass 1"), "{said}");
    assert_eq!(
        console.line("dbgf SR:gap"),
        "DBF_DOUBLE:         7.25      \n"
    );
    assert_eq!(
        console.line("dbgf SR:wave"),
        "DBF_LONG[2]:        4 = 0x4   5 = 0x5   \n"
    );
    assert_eq!(console.line("create_monitor_set auto.req 5 P=SR"), "");
    assert!(
        console
            .line("save_restoreShow")
            .contains("auto.req: 3 fields to save/auto.sav, on change, at most each 5 s")
    );
    console.line("manual_save auto.req");
    assert_eq!(console.host.saved, ["auto.req"]);
    assert!(
        console
            .line("manual_save other.req")
            .contains("there is no set of other.req")
    );
    console.line("dbpf SR:gap 1");
    console.line("fdbrestore auto.sav");
    assert_eq!(
        console.line("dbgf SR:gap"),
        "DBF_DOUBLE:         7.25      \n"
    );
}

#[test]
fn a_file_that_is_cut_is_replaced_by_its_copy() {
    let mut console = Console::with(&[
        ("x.db", SMALL),
        ("auto.sav", "# x\nSR:gap.VAL 7.25\nSR:wa"),
        ("auto.savB", "SR:gap 6\n<END>\n"),
        ("two.sav", "SR:gap.EGU V\n"),
    ]);
    console.line("dbLoadRecords x.db P=SR");
    console.line("set_pass1_restoreFile auto.sav");
    console.line("set_pass0_restoreFile two.sav");
    let said = console.line("iocInit");
    for part in [
        "auto.sav:3: the file ends without <END>",
        "auto.savB takes its place",
        "two.sav:1: the file ends without <END>",
        "two.sav: nothing is restored from it",
    ] {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    assert_eq!(
        console.line("dbgf SR:gap"),
        "DBF_DOUBLE:         6         \n"
    );
    assert_eq!(
        console.line("dbgf SR:gap.EGU"),
        "DBF_STRING:         \"mm\"      \n"
    );
}

#[test]
fn time_stands_still_and_goes_back() {
    let mut before = Console::default();
    for command in ["freeze", "thaw", "step", "snapshot", "rewind"] {
        assert_eq!(
            before.line(command),
            format!("{command} only works after iocInit\n")
        );
    }
    let n = "record(calc, \"n\") { field(SCAN, \"1 second\") field(CALC, \"VAL+1\") }";
    let mut console = Console::with(&[("x.db", n)]);
    console.line("dbLoadRecords x.db");
    console.line("iocInit");
    let value = |console: &mut Console| console.line("dbgf n").trim().to_owned();
    assert!(console.line("step").contains("the IOC is not frozen"));
    assert!(
        console
            .line("rewind")
            .contains("there is no snapshot; take one with `snapshot`")
    );
    assert_eq!(console.line("freeze"), "");
    assert_eq!(console.line("freeze"), "time stands still already\n");
    let bytes = console.line("snapshot");
    assert!(bytes.ends_with(" bytes\n"), "{bytes}");
    assert_eq!(console.line("step"), "1 s\n");
    assert_eq!(value(&mut console), "DBF_DOUBLE:         1");
    console.line("snapshot one.snap");
    assert_eq!(console.line("step 60"), "60 s\n");
    assert_eq!(value(&mut console), "DBF_DOUBLE:         61");
    assert_eq!(console.line("rewind one.snap"), "");
    assert_eq!(value(&mut console), "DBF_DOUBLE:         1");
    assert_eq!(console.line("rewind"), "");
    assert_eq!(value(&mut console), "DBF_DOUBLE:         0");
    console.host.files.insert("cut.snap", b"canter snap");
    let told = console.line("rewind cut.snap");
    assert!(
        told.contains("cut.snap: byte 11: the snapshot ends here"),
        "{told}"
    );
    assert!(
        console
            .line("rewind none.snap")
            .contains("none.snap: there is no such file")
    );
    assert!(console.line("step -1").contains("0 or more"));
    assert_eq!(console.line("thaw"), "");
    assert_eq!(console.line("thaw"), "time goes on already\n");
}

/// What is dumped is a file that makes the same records.
#[test]
fn records_are_dumped_as_a_file_has_them() {
    let mut console = small();
    console.line("dbpf SR:gap 2.5");
    console.line("dbpf SR:gap.DESC 'a \"wide\" gap'");
    let now = console.line("dbDumpRecord pdbbase");
    let gap = "record(ao,\"SR:gap\") {\n\tfield(DESC,\"a \\\"wide\\\" gap\")\n";
    assert!(now.starts_with(gap), "{now}");
    for part in [
        "\tfield(VAL,\"2.5\")\n",
        "\tinfo(\"a\",\"b\")\n}\nalias(\"SR:gap\",\"SR:other\")\n",
        "\tfield(INPA,\"SR:gap NPP NMS\")\n",
        "\tfield(NELM,\"5\")\n",
        "\tfield(FTVL,\"LONG\")\n",
    ] {
        assert!(now.contains(part), "{part:?} is not in {now}");
    }
    let mut again = Console::with(&[("now.db", now.as_str())]);
    assert_eq!(again.line("dbLoadRecords now.db"), "");
    again.line("iocInit");
    assert_eq!(again.line("dbDumpRecord"), now);
    let all = console.line("dbDumpRecord pdbbase ao 1");
    assert!(
        all.contains("\tfield(SCAN,\"Passive\")\n") && !all.contains("calc"),
        "{all}"
    );
    assert!(
        console
            .line("dbDumpRecord pdbbase * 2")
            .contains("\tfield(STAT,")
    );
    let wrong = console.line("dbDumpRecord pdbbase nope");
    assert_eq!(wrong, "dbDumpRecord: there is no record type nope\n");
    assert_eq!(
        console.line("dbDumpRecord base"),
        "Expecting 'pdbbase' got 'base'.\n"
    );
}

#[test]
fn records_that_hang_together_are_sets() {
    let mut console = small();
    let all = "Lock Set 1 2 members 2 refs\nLock Set 2 1 members 1 refs\n";
    assert_eq!(console.line("dblsr"), all);
    assert_eq!(
        console.line("dblsr SR:twice 2"),
        "Lock Set 1 2 members 2 refs\nSR:gap\nSR:twice\n\tINPA\t INLINK NPP NMS SR:gap\n"
    );
    assert_eq!(
        console.line("dblsr SR:wave 1"),
        "Lock Set 2 1 members 1 refs\nSR:wave\n"
    );
    assert_eq!(console.line("dblsr nope"), "Record not found\n");
}

#[test]
fn faults_flags_and_pauses() {
    let mut console = small();
    assert_eq!(
        console.line("fault stuck SR:nope"),
        "column 7: no PV is called \"SR:nope\"; look at the names of the IOC\n"
    );
    let begun = console.line("fault stuck SR:gap for 10s");
    assert!(begun.starts_with('1'), "{begun}");
    console.line("dbpf SR:gap 7");
    assert!(console.line("fault").contains("stuck SR:gap for 10s"));
    console.line("fault off all");
    assert_eq!(console.line("fault"), "");
    assert_eq!(console.line("dbStateShow red"), "");
    for line in ["dbStateSet red", "dbStateCreate red", "dbStateCreate green"] {
        assert_eq!(console.line(line), "");
    }
    assert_eq!(console.line("dbStateShow red"), "FALSE\n");
    console.line("dbStateSet red");
    assert_eq!(console.line("dbStateShow red 1"), "'red' : TRUE\n");
    assert_eq!(
        console.line("dbStateShowAll"),
        "'green' : FALSE\n'red' : TRUE\n"
    );
    console.line("dbStateClear red");
    assert_eq!(console.line("dbStateShow red"), "FALSE\n");
    assert_eq!(console.line("iocPause"), "iocPause: IOC suspended\n");
    assert_eq!(console.line("iocPause"), "iocPause: IOC not running\n");
    assert_eq!(console.line("iocRun"), "iocRun: IOC restarted\n");
    assert_eq!(console.line("iocRun"), "");
    assert_eq!(
        console.line("dbel SR:gap"),
        "\"SR:gap\": No PV event subscriptions ( monitors ).\n"
    );
}

#[test]
fn lines_wait_for_ioc_init() {
    let mut console = Console::with(&[("x.db", SMALL)]);
    console.line("dbLoadRecords x.db P=SR");
    assert_eq!(console.line("afterIocRunning 'dbpf SR:gap 4'"), "");
    let said = console.line("iocInit");
    assert!(
        said.contains("All initialization complete\ndbpf SR:gap 4\nDBF_DOUBLE:         4 "),
        "{said}"
    );
    let late = console.line("afterIocRunning 'echo x'");
    assert!(late.contains("can only be used before 'iocInit'"), "{late}");
}
