//! Files of databases: ours beside EPICS Base, which loads the same ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ca_server_sim::load::{Dbd, Disk, FileProblem, Files, Loaded, Loader};
use ca_testkit::world::seed;
use ca_tests::loaded::{base_types, dbd_directory, words};
use ca_tests::oracle::{self, Dice, hex};
use ca_tests::peer::Python;

const TEXTS: usize = 4_000;

/// Files that are loaded one after another, in a directory.
struct Case {
    directory: PathBuf,
    /// Where the `.dbd` files of the peers are.
    dbd: PathBuf,
    files: Vec<(String, String)>,
    text: String,
}

impl Case {
    fn question(&self) -> String {
        let mut out = hex(self.directory.as_os_str().as_encoded_bytes());
        for (file, macros) in &self.files {
            out.push_str(&format!(
                " {} {}",
                hex(file.as_bytes()),
                hex(macros.as_bytes())
            ));
        }
        out + "\n"
    }

    fn ours(&self, base: &Dbd) -> Loaded {
        let files = Within(self.directory.clone());
        let mut loader = Loader::with(&files, base.clone()).directory(".");
        loader = loader.directory(self.dbd.to_string_lossy());
        for (file, macros) in &self.files {
            loader.file(file, macros);
        }
        loader.finish()
    }
}

/// Files whose names count from a directory, as they do for the oracle.
struct Within(PathBuf);

impl Files for Within {
    fn read(&self, name: &str, limit: usize) -> Result<Arc<[u8]>, FileProblem> {
        Disk.read(&self.0.join(name).to_string_lossy(), limit)
    }
}

fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).expect("a directory for files");
    path
}

/// Asks the reference for all cases, and compares. Returns how many files both load.
fn compare(cases: &[Case]) -> usize {
    let python = Python::here();
    let base = base_types(&dbd_directory(&python));
    let questions = cases.iter().map(Case::question).collect();
    let answers = oracle::ask(&python, "db_oracle.py", questions);
    let (mut both, mut dead, mut different) = (0, 0, Vec::new());
    for (case, theirs) in cases.iter().zip(answers) {
        if theirs == "X" {
            dead += 1;
            continue;
        }
        let ours = case.ours(&base);
        let (statuses, records) = split(&theirs);
        // dbLoadTemplate has no status that says something.
        let templates = case
            .files
            .iter()
            .any(|(name, _)| name.ends_with(".substitutions"));
        let loads = !statuses.contains("S-1");
        let found = words(&ours);
        let same = match (loads, ours.mistakes.has_errors()) {
            (false, errors) => errors,
            (true, true) => templates,
            (true, false) => found.trim() == records,
        };
        both += usize::from(loads && !ours.mistakes.has_errors());
        if !same {
            let text = &case.text;
            let mistakes = &ours.mistakes;
            different.push(format!(
                "{text}\n-- ours:{found}\n-- theirs: {theirs}\n{mistakes}"
            ));
        }
    }
    println!(
        "{both} of {} cases are loaded by both; the reference died {dead} times",
        cases.len()
    );
    let shown = different
        .iter()
        .take(12)
        .cloned()
        .collect::<Vec<_>>()
        .join("\n\n");
    assert!(different.is_empty(), "{} differ:\n{shown}", different.len());
    both
}

fn split(answer: &str) -> (String, String) {
    let mut words = answer.split(' ').peekable();
    let mut statuses = String::new();
    while let Some(status) = words.next_if(|word| word.starts_with('S')) {
        statuses.push_str(status);
        statuses.push(' ');
    }
    (statuses, words.collect::<Vec<_>>().join(" "))
}

fn case(directory: &Path, name: &str, text: &[u8], macros: &str) -> Case {
    fs::write(directory.join(name), text).expect("written");
    Case {
        directory: directory.into(),
        dbd: PathBuf::new(),
        files: vec![(name.into(), macros.into())],
        text: format!("{macros}: {}", String::from_utf8_lossy(text)),
    }
}

/// Values, and pieces of them.
const VALUES: &[&str] = &[
    "1",
    "-1",
    "+12",
    ".123",
    "123.",
    "0x1F",
    "010",
    "08",
    "1e3",
    "1e",
    "1.5",
    "Infinity",
    "-Infinity",
    "NaN",
    "nan",
    "inf",
    "1e400",
    "1e-320",
    "300",
    "-300",
    "70000",
    "99999999999",
    "99999999999999999999",
    "\"\"",
    "\" 5 \"",
    "\"5 mm\"",
    "\"1 second\"",
    "\"1 sekond\"",
    "\"Passive\"",
    "Passive",
    "\"I/O Intr\"",
    "\"YES\"",
    "NO",
    "\"HIHI\"",
    "MAJOR",
    "\"10\"",
    "\"9\"",
    "true",
    "null",
    "abc",
    "a-b",
    "a.b",
    "a:b",
    "[1,2,3]",
    "[1]",
    "[1,]",
    "[]",
    "{const:[1,2,3]}",
    "{const:1}",
    "{const:[1,\"a\"]}",
    "{calc:{expr:\"A+1\",args:[1]}}",
    "{calc:{expr:\"A+\"}}",
    "{calc:{args:[1]}}",
    "{state:\"s\"}",
    "{state:\"a\",b:1}",
    "{a:1}",
    "{}",
    "\"{const:1}\"",
    "\"{const:1\"",
    "\"X.VAL CP MS NPP\"",
    "\"X CPP MSS\"",
    "\"X PP\"",
    "\"@asyn(PORT,0)PARAM\"",
    "\"#C0 S1 @x\"",
    "\"#C0 S\"",
    "\"#L0 A1 C2 S3 @y\"",
    "\"#B0\"",
    "\"src.[2:4]\"",
    "src.[2:4]",
    "\"src.{arr:{s:1,e:3}}\"",
    "\"Soft Channel\"",
    "\"Raw Soft Channel\"",
    "\"softt\"",
    "\"A+B\"",
    "\"A+\"",
    "\"$(P)\"",
    "\"$(U)\"",
    "\"\\$(P)\"",
    "\"a\\\"b\"",
    "\"a\\x41b\"",
    "\"a\\0b\"",
    "\"a\\8\"",
    "\"a\\xg\"",
    "\"\\u0041\"",
    "'single'",
    "\"tab\there\"",
    "\"0123456789012345678901234567890123456789\"",
    "\"01234567890123456789012345678901234567890\"",
    "{pv:\"X\"}",
    "{debug:{const:1}}",
    "{\"const\":'x',}",
    "{const:{}}",
    "{const:null}",
    "{const:true}",
    "{const:-.5}",
    "{const:[[1]]}",
    "{calc:{expr:\"A\",args:1}}",
    "{calc:{expr:\"A\",prec:2,units:\"mm\",time:\"A\",args:[{const:2}]}}",
    "{calc:{expr:\"A\",prec:2.5}}",
    "{calc:{expr:5}}",
    "{calc:{expr:\"A\",time:\"Z\"}}",
    "{calc:{expr:\"A\",major:\"A>1\",minor:\"A\"}}",
    "{trace:{state:x}}",
    "{state:5}",
];

const FIELDS: &[&str] = &[
    "VAL", "DESC", "PREC", "EGU", "SCAN", "PINI", "DTYP", "INP", "OUT", "FLNK", "HIHI", "HHSV",
    "CALC", "SIML", "NELM", "FTVL", "ZNAM", "ZRVL", "NAME", "UDF", "PRIO", "PHAS", "TSE", "STAT",
    "LINR", "SMOO", "", "VAL ", "val", "XYZ", "INPA", "A", "DOL", "OMSL", "IVOA", "TIME", "TPRO",
    "DISV", "PACT", "LALM", "RTYP x", "EVNT",
];

/// Fields that all types have, with values that are good for them.
const GOOD: &[(&str, &str)] = &[
    ("DESC", "\"a text\""),
    ("DESC", "bare.word-1"),
    ("SCAN", "\"1 second\""),
    ("SCAN", "Passive"),
    ("PINI", "YES"),
    ("PHAS", "-3"),
    ("PHAS", "0x10"),
    ("FLNK", "\"b PP\""),
    ("FLNK", "$(P)x"),
    ("PRIO", "HIGH"),
    ("TSE", "-2"),
    ("SDIS", "\"a.VAL CP MS\""),
    ("SDIS", "{const:1}"),
    ("DISV", "1"),
    ("TPRO", "1"),
    ("UDF", "1"),
    ("UDF", "0"),
    ("EVNT", "\"e\""),
    ("DISS", "MAJOR"),
    ("ASG", "\"g\""),
    ("TSEL", "\"a.TIME\""),
    ("DESC", "\"\\x41\\n$(P)\""),
    ("DESC ", "'q'"),
];

const TYPES: &[&str] = &[
    "ai", "ao", "calc", "calcout", "waveform", "mbbi", "bo", "stringin", "int64in", "longout",
    "fanout", "lsi", "nosuch", "*", "#", "\"ai\"", "sub", "event",
];

const NAMES: &[&str] = &[
    "a",
    "b",
    "\"c\"",
    "\"$(P)x\"",
    "$(P)y",
    "\"\"",
    "\"a b\"",
    "\"a.b\"",
    "-a",
    "[a]",
    "\"q'q\"",
    "<a>;b",
    "\"{x}\"",
    "\"$(U)\"",
    "\"x[1]\"",
];

fn random(dice: &mut Dice) -> String {
    let mut out = String::new();
    for _ in 0..1 + dice.roll(4) {
        let kind = match dice.roll(6) {
            0 => dice.of(TYPES),
            _ => dice.of(&TYPES[..4]),
        };
        let name = match dice.roll(10) {
            0 => dice.of(NAMES),
            _ => dice.of(&NAMES[..5]),
        };
        let blank = dice.of(&["", " ", "\n", "\t", " # note \" \n"]);
        match dice.roll(24) {
            0 => out.push_str(&format!("alias({name},{blank}{})", dice.of(NAMES))),
            1 => out.push_str(&format!(
                "{}record{blank}({kind},{name})",
                dice.of(&["", "g"])
            )),
            2 => out.push_str(dice.of(&[
                "}",
                "%x\n",
                "include \"x.db\"",
                "field(A,1)",
                "path \"p\"\n",
                "record(ai)",
                "menu(m) {choice(a,\"A\")}",
                "variable(x)",
                "'",
                "record(ai,\"r\"",
                "breaktable(t) {0 0, 1 1}",
                "driver(d)",
            ])),
            _ => {
                out.push_str(&format!("record({kind},{blank}{name}){blank}{{"));
                for _ in 0..dice.roll(5) {
                    let (field, value) = match dice.roll(10) {
                        0 => (dice.of(FIELDS), dice.of(VALUES)),
                        _ => dice.of(GOOD),
                    };
                    let field = match dice.roll(2) {
                        0 if !field.is_empty() && !field.contains(' ') => field.into(),
                        _ => format!("\"{field}\""),
                    };
                    out.push_str(&match dice.roll(10) {
                        0 => format!(
                            "info({}, {value})",
                            dice.of(&["a", "\"b c\"", "\"\"", "Q:group"])
                        ),
                        1 => format!("alias(al{})", dice.roll(20)),
                        _ => format!("field({field},{blank}{value})"),
                    });
                    out.push_str(dice.of(&[" ", "\n", "\r\n", ""]));
                }
                out.push('}');
            }
        }
        out.push_str(dice.of(&["\n", " ", "\r\n", ""]));
    }
    out
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn random_files_are_loaded_or_refused_as_by_the_reference() {
    let mut dice = Dice::new(seed());
    let directory = scratch("random");
    let cases: Vec<Case> = (0..TEXTS)
        .map(|number| {
            let text = random(&mut dice);
            case(
                &directory,
                &format!("{number}.db"),
                text.as_bytes(),
                "P=SR:",
            )
        })
        .collect();
    assert!(compare(&cases) > TEXTS / 5);
}

/// Each value in each field of each of some types, one a file.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn each_value_is_taken_or_refused_by_each_field_as_by_the_reference() {
    let directory = scratch("values");
    let mut dice = Dice::new(seed());
    let mut cases = Vec::new();
    for kind in [
        "ai",
        "calcout",
        "waveform",
        "mbbo",
        "stringin",
        "int64out",
        "fanout",
        "histogram",
        "lso",
        "seq",
    ] {
        for field in FIELDS {
            for value in VALUES {
                // One in ten of 40 000; another seed takes others.
                if dice.roll(10) > 0 {
                    continue;
                }
                let text = format!("record({kind}, \"r\") {{ field(\"{field}\", {value}) }}\n");
                let name = format!("{}.db", cases.len());
                cases.push(case(&directory, &name, text.as_bytes(), "P=SR:"));
            }
        }
    }
    assert!(compare(&cases) > cases.len() / 20);
}

/// A folder, its files with their macros, and how many records they have at least.
type Package = (&'static str, &'static [(&'static str, &'static str)], usize);

/// Files in the style of the packages of the field.
const CORPUS: &[Package] = &[
    (
        "motor",
        &[("motor.dbd", ""), ("motor.substitutions", "")],
        128,
    ),
    ("detector", &[("detector.substitutions", "")], 3000),
    ("supplies", &[("ring.substitutions", "")], 400),
    ("vacuum", &[("plant.substitutions", "")], 100),
    ("site", &[("site.dbd", ""), ("site.db", "S=X")], 4),
    ("odd", &[("odd.db", "A=1")], 29),
    ("odd", &[("dos.db", "A=1,D=x")], 29),
    ("odd", &[("nul.db", "")], 2),
    ("odd", &[("odd.substitutions", "")], 10),
    ("odd", &[("odd.substitutions", "B=x,C=y")], 10),
    ("odd", &[("outer.db", "X=1")], 4),
    (
        "odd",
        &[("odd.db", "A=1"), ("odd.db", "A=2"), ("outer.db", "")],
        34,
    ),
];

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn packages_of_files_are_loaded_as_by_the_reference() {
    let dbd = dbd_directory(&Python::here());
    let base = base_types(&dbd);
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("files");
    let mut cases = Vec::new();
    for (package, files, least) in CORPUS {
        let own = |(name, macros): &(&str, &str)| (name.to_string(), macros.to_string());
        let case = Case {
            directory: root.join(package),
            dbd: dbd.clone(),
            files: files.iter().map(own).collect(),
            text: format!("{package}: {files:?}"),
        };
        let ours = case.ours(&base);
        assert!(
            !ours.mistakes.has_errors(),
            "{package}:\n{}",
            ours.mistakes.render(false)
        );
        let count = ours.records.len();
        println!(
            "{package}: {count} records, {} warnings",
            ours.mistakes.warnings()
        );
        assert!(count >= *least, "{package}: {count} records");
        cases.push(case);
    }
    assert_eq!(compare(&cases), cases.len());
}

/// The files whose messages are told elsewhere are refused by the reference, too.
#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn broken_files_are_refused_by_the_reference() {
    let dbd = dbd_directory(&Python::here());
    let base = base_types(&dbd);
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../ca-server-sim/tests/broken");
    let entries = fs::read_dir(&directory).expect("the folder");
    let names = entries.map(|entry| {
        entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    // Substitutions have no status that says something.
    let mut names: Vec<String> = names
        .filter(|name| name.ends_with(".db") || name.ends_with(".dbd"))
        .filter(|name| !matches!(name.as_str(), "types.dbd" | "common.dbd"))
        .collect();
    names.sort();
    let cases: Vec<Case> = names
        .into_iter()
        .map(|name| Case {
            directory: directory.clone(),
            dbd: dbd.clone(),
            text: name.clone(),
            files: vec![(name, "P=SR:,LOOP=$(LOOP)".into())],
        })
        .collect();
    assert!(cases.len() >= 24);
    let refused = cases
        .iter()
        .filter(|case| case.ours(&base).mistakes.has_errors())
        .count();
    assert_eq!(refused, cases.len() - 1);
    assert!(compare(&cases) <= 1);
}

/// A file of substitutions that is right.
fn substitutions(dice: &mut Dice) -> String {
    const NAMES: &[&str] = &["A", "B", "C"];
    const VALUES: &[&str] = &[
        "1",
        "two",
        "\"three\"",
        "'four'",
        "\"a,b\"",
        "x/y",
        "\"\"",
        "\"$(E=e)x\"",
        "\"$(E=n)\"",
        "a-b:c.d",
        "\"q\\\"q\"",
        "\"'s'\"",
        "\"\\\\\"",
        "[0]",
        "\" b \"",
    ];
    let gap = |dice: &mut Dice| dice.of(&[" ", "\n", ", ", " # note {\n", "\t", "\r\n", ","]);
    let pairs = |dice: &mut Dice| {
        let mut text = String::new();
        for _ in 0..1 + dice.roll(3) {
            let equals = dice.of(&["=", " = ", "= "]);
            text.push_str(&format!(
                "{}{equals}{}{}",
                dice.of(NAMES),
                dice.of(VALUES),
                gap(dice)
            ));
        }
        text
    };
    let mut out = String::new();
    for _ in 0..1 + dice.roll(4) {
        if dice.roll(4) == 0 {
            out.push_str(&format!("global {{{}}}\n", pairs(dice)));
            continue;
        }
        out.push_str(&format!(
            "file {} {{\n",
            dice.of(&["t.template", "\"t.template\"", "'t.template'"])
        ));
        let pattern = dice.roll(2) == 0;
        if pattern {
            let names = ["A", "A,B", "A B C", "C, A"];
            out.push_str(&format!("pattern {{ {} }}\n", dice.of(&names)));
        }
        for _ in 0..dice.roll(4) {
            match (dice.roll(8), pattern) {
                (0, _) => out.push_str(&format!("global {{ {} }}\n", pairs(dice))),
                (1, _) => out.push_str("{}\n"),
                (2, true) => out.push_str("word { 1 }\n"),
                (_, true) => {
                    let values: Vec<&str> =
                        (0..1 + dice.roll(4)).map(|_| dice.of(VALUES)).collect();
                    out.push_str(&format!("{{{}}}\n", values.join(gap(dice))));
                }
                (_, false) => out.push_str(&format!("{{ {} }}\n", pairs(dice))),
            }
        }
        out.push_str("}\n");
    }
    out
}

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn substitutions_are_expanded_as_by_the_reference() {
    const FILES: usize = 1_500;
    let mut dice = Dice::new(seed());
    let directory = scratch("substitutions");
    // Each set leaves its traces: names of items may be anything.
    let template = r#"record(stringin, "r:$(N)") { info("a$(A=)", "$(B=)$(A=)") info("b$(B=)", "$(C=no)") info("c$(C=)", "") }"#;
    fs::write(directory.join("t.template"), template).expect("written");
    let cases: Vec<Case> = (0..FILES)
        .map(|number| {
            let text = substitutions(&mut dice);
            let macros = dice.of(&["N=1", "N=1,A=given", "N=1,D=$(A)"]);
            case(
                &directory,
                &format!("{number}.substitutions"),
                text.as_bytes(),
                macros,
            )
        })
        .collect();
    let both = compare(&cases);
    assert!(both > FILES / 2, "{both}");
}

/// Definitions that are right, and others that are not.
const DEFINITIONS: &[&str] = &[
    "menu(m1) { choice(a, \"A\") choice(b, \"B\") }",
    "menu(m1) { choice(c, \"C\") }",
    "menu(m2) {}",
    "menu(\"\") { choice(a, b) }",
    "menu(m3) { choice(\"\", b) }",
    "menu(m4) { choice(a) }",
    "menu(m5) { choice(a, \"\") }",
    "menu m6 {}",
    "menuu(m) { choice(a,b) }",
    "recordtype(t1) { include \"dbCommon.dbd\" field(VAL, DBF_LONG) { prompt(\"x\") } }",
    "recordtype(t2) {}",
    "recordtype(ai) {}",
    "recordtype(\"\") { field(A, DBF_LONG) { prompt(a) } }",
    "recordtype(t3) { field(A, DBF_LONG) {} }",
    "recordtype(t4) { field(A, DBF_BAD) { prompt(a) } }",
    "recordtype(t5) { field(\"\", DBF_LONG) { prompt(a) } }",
    "recordtype(t6) { %int x;\n field(A, DBF_MENU) { menu(menuScan) } }",
    "recordtype(t7) { field(A, DBF_MENU) { menu(nix) } }",
    "recordtype(t8) { field(A, DBF_CHAR) { asl(ASL3) } }",
    "recordtype(t9) { field(A, DBF_CHAR) { pp(MAYBE) } }",
    "recordtype(u1) { field(A, DBF_CHAR) { pp(YES) asl(ASL0) base(HEX) interest(3) prop(MAYBE) } }",
    "recordtype(u2) { field(A, DBF_CHAR) { base(OCTAL) } }",
    "recordtype(u3) { field(A, DBF_CHAR) { interest(high) } }",
    "recordtype(u4) { field(A, DBF_STRING) { size(x) } }",
    "recordtype(u5) { field(A, DBF_CHAR) { special(SPC_NONE) } }",
    "recordtype(u6) { field(A, DBF_CHAR) { special(107) special(SPC_MOD) } }",
    "recordtype(u7) { field(A, DBF_CHAR) { foo(bar) } }",
    "recordtype(u8) { field(A, DBF_STRING) { prompt(no) } field(B, DBF_NOACCESS) { prompt(no) } }",
    "recordtype(u9) { field(A DBF_CHAR) { prompt(a) } }",
    "recordtype(v1) { record }",
    "device(ai, CONSTANT, devX, \"X\")",
    "device(ai, CONSTANT, devX, \"X\")",
    "device(nix, CONSTANT, devX, \"X\")",
    "device(ai, BAD_IO, devX, \"Y\")",
    "device(ai, VXI_IO, devX)",
    "device(ai, MACRO_LINK, \"\", \"\")",
    "driver(d)",
    "driver(\"\")",
    "registrar(r)",
    "registrar(\"\")",
    "function(f)",
    "function(\"\")",
    "variable(v)",
    "variable(v, int)",
    "variable(\"\")",
    "variable(w, double, x)",
    "link(l, k)",
    "link(l)",
    "breaktable(b1) { 0 0 1 1 }",
    "breaktable(b2) { 0 0, 1 1, }",
    "breaktable(b3) { 0 0 1 }",
    "breaktable(b4) { 0 0 }",
    "breaktable(b5) { 0 0 1 0 }",
    "breaktable(b6) { 0 0 1 1 2 0 }",
    "breaktable(b7) { 0 x 1 1 }",
    "breaktable(b8) { 0 0 1 1mm }",
    "breaktable(b9) {}",
    "breaktable(\"\") { 0 0 1 1 }",
    "breaktable(c1) { 0 0,, 1 1 }",
    "breaktable(typeKdegF) { 0 0 }",
    "breaktable(c2) { 1 1 0 0 }",
    "breaktable(c3) { 0 0 0 1 }",
    "path \"a:b\"",
    "addpath \"\"",
    "addpath c",
    "include \"nix.dbd\"",
    "% int x;",
    "choice(a, b)",
    "field(A, 1)",
    "record(ai, \"r\") { field(LINR, 1) }",
    "menu(m7) { include \"nix\" }",
    "substitute",
    "# only a note",
];

#[test]
#[ignore = "needs real EPICS: `cargo xtask test` sets it up and runs this"]
fn definitions_are_taken_or_refused_as_by_the_reference() {
    let dbd = dbd_directory(&Python::here());
    let mut dice = Dice::new(seed());
    let directory = scratch("definitions");
    let mut texts: Vec<String> = DEFINITIONS.iter().map(|&text| text.into()).collect();
    for _ in 0..400 {
        let some: Vec<&str> = (0..2 + dice.roll(3))
            .map(|_| dice.of(DEFINITIONS))
            .collect();
        texts.push(some.join(dice.of(&["\n", " \r\n", "\n\n# note\n"])));
    }
    let cases: Vec<Case> = texts
        .into_iter()
        .enumerate()
        .map(|(number, text)| {
            let mut case = case(&directory, &format!("{number}.dbd"), text.as_bytes(), "");
            case.dbd = dbd.clone();
            case
        })
        .collect();
    assert!(compare(&cases) > 40);
}
