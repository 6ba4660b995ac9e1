//! Files of autosave: what is written is read again.

use ca_proto::{Instant, Timestamp};

use super::{Pass, Restore, Save, SaveFile, SavedValue, read_request};
use crate::ioc::Ioc;
use crate::load::InMemory;

const DB: &str = r#"
record(ao, "gap") { field(PREC, 3) field(HIHI, 10) field(HHSV, MAJOR) }
record(longout, "n") {}
record(int64out, "big") {}
record(bo, "valve") { field(ZNAM, Closed) field(ONAM, Open) }
record(stringout, "note") {}
record(waveform, "wave") { field(NELM, 5) field(FTVL, DOUBLE) }
record(waveform, "names") { field(NELM, 3) field(FTVL, STRING) }
record(waveform, "path") { field(NELM, 80) field(FTVL, CHAR) }
record(calcout, "c") { field(CALC, "A") field(INPA, "gap") }
record(lso, "long") { field(SIZV, 100) }
record(ai, "in") { field(SCAN, "1 second") }
"#;

fn ioc() -> Ioc {
    Ioc::from_db(DB).unwrap()
}

fn start(ioc: &mut Ioc) {
    ioc.start(Instant::ZERO, Timestamp::from_unix(1_800_000_000, 0), 5064);
}

const FIELDS: &[(&str, &str, &str)] = &[
    ("gap.VAL", "1.25", "1.25"),
    ("gap.HIHI", "0.1", "0.1"),
    ("gap.HHSV", "MINOR", "1"),
    (
        "gap.DESC",
        "a \"quoted\" \\ text",
        "a \\\"quoted\\\" \\\\ text",
    ),
    ("gap.SCAN", "2 second", "5"),
    ("n.VAL", "-7", "-7"),
    ("big.VAL", "9007199254740993", "9007199254740993"),
    ("valve.VAL", "Open", "1"),
    ("note.VAL", "", ""),
    ("c.CALC", "A+1", "A+1"),
    ("c.INPA", "n CP MS", "n CP MS"),
    ("long.VAL$", "ü and more", "\\xc3\\xbc and more"),
];

#[test]
fn what_is_saved_is_restored() {
    let mut first = ioc();
    start(&mut first);
    for (name, value, _) in FIELDS {
        let name = name.trim_end_matches('$');
        let value = ca_proto::dbr::Value::string(value);
        first.post(Instant::ZERO, name, value).unwrap();
    }
    first.post(Instant::ZERO, "wave", vec![1.5, -2.0]).unwrap();
    first
        .post(
            Instant::ZERO,
            "names",
            ca_proto::dbr::Value::strings(&["a b", "\"c\"\n"]),
        )
        .unwrap();
    first
        .post(Instant::ZERO, "path", b"/tmp\0".to_vec())
        .unwrap();
    let fields = FIELDS.iter().map(|(name, ..)| (*name).to_owned());
    let more = ["wave", "names", "path", "gone.VAL"].map(str::to_owned);
    let fields: Vec<String> = fields.chain(more).collect();
    let mut save = Save::default();
    save.add(&first, &fields);
    let text = save.finish("261201-020000");
    for (name, _, saved) in FIELDS {
        assert!(
            text.contains(&format!("\n{name} {saved}\n")),
            "{name}: {text}"
        );
    }
    assert!(
        text.contains("\nwave @array@ { \"1.5\" \"-2\" }\n"),
        "{text}"
    );
    assert!(
        text.contains("\nnames @array@ { \"a b\" \"\\\"c\\\"\\n\" }\n"),
        "{text}"
    );
    assert!(text.contains("\n#gone.VAL Not Connected\n"), "{text}");

    let file = SaveFile::read("x.sav", text.as_bytes()).unwrap();
    assert_eq!((file.missing, file.odd.len()), (1, 0));
    let mut second = ioc();
    for pass in [Pass::Before, Pass::After] {
        let name = "x.sav".to_owned();
        second.restore_at_start(Restore {
            pass,
            name,
            file: file.clone(),
        });
    }
    start(&mut second);
    let said = second.take_restored();
    assert_eq!(
        said,
        [
            "x.sav: 11 of 15 fields restored in pass 0",
            "x.sav: 14 of 15 fields restored in pass 1"
        ]
    );
    let mut again = Save::default();
    again.add(&second, &fields);
    assert_eq!(again.finish("261201-020000"), text);
}

#[test]
fn a_file_of_another_ioc_names_each_line_and_the_rest_goes_on() {
    let text = b"gap.VAL 3\nother:x 1\ngap.NOPE 1\nn.VAL x\n<END>\n";
    let file = SaveFile::read("x.sav", text).unwrap();
    let mut ioc = ioc();
    let name = "x.sav".to_owned();
    ioc.restore_at_start(Restore {
        pass: Pass::Before,
        name,
        file,
    });
    let said = ioc.take_restored();
    assert_eq!(said[0], "x.sav: 1 of 4 fields restored in pass 0");
    assert!(
        said[1].starts_with("x.sav:2: other:x is not restored: this IOC has no such record"),
        "{said:?}"
    );
    assert!(
        said[2].starts_with("x.sav:3: gap.NOPE is not restored: record type ao has no field NOPE"),
        "{said:?}"
    );
    assert!(
        said[3].starts_with("x.sav:4: n.VAL is not restored: "),
        "{said:?}"
    );
    start(&mut ioc);
    assert_eq!(ioc.number("gap").unwrap(), 3.0);
}

#[test]
fn save_files_of_the_module_are_read() {
    let text = "# save/restore V4.9\tAutomatically generated - DO NOT MODIFY - 060720-121314\n\
                ! 2 channel(s) not connected - or not all gets were successful\n\
                xxx:SR_ao.DISP 0\n\
                xxx:note   two blanks\n\
                xxx:empty \n\
                #xxx:gone Search Issued\n\
                #xxx:lost @array@ { \"1\"\n \"2\" }\n\
                xxx:wave @array@ { \"1.5\" \"2\n.5\" \"\" }\r\n\
                <END>\n";
    let file = SaveFile::read("x.sav", text.as_bytes()).unwrap();
    assert_eq!(file.missing, 2);
    let scalar = |text: &str| SavedValue::Scalar(text.as_bytes().into());
    let found: Vec<_> = file
        .entries
        .iter()
        .map(|one| (one.name.as_str(), one.line, one.value.clone()))
        .collect();
    let wave = ["1.5", "2.5", ""].map(|text| text.as_bytes().into());
    assert_eq!(
        found,
        [
            ("xxx:SR_ao.DISP", 3, scalar("0")),
            ("xxx:note", 4, scalar("  two blanks")),
            ("xxx:empty", 5, scalar("")),
            ("xxx:wave", 9, SavedValue::Array(wave.into())),
        ]
    );
}

#[test]
fn a_file_that_is_cut_anywhere_is_not_taken() {
    let text = b"a 1\nb @array@ { \"1\" \"2\" }\nc x\n<END>\n";
    for end in 0..text.len() - 6 {
        let said = SaveFile::read("x.sav", &text[..end]).unwrap_err();
        assert!(
            said.starts_with("x.sav:") && said.contains("<END>"),
            "{end}: {said}"
        );
    }
    assert!(SaveFile::read("x.sav", &text[..text.len() - 1]).is_ok());
}

#[test]
fn request_files_include_each_other_and_say_what_is_wrong() {
    let files = InMemory::from([
        (
            "a.req",
            "file b.req N=1 P=$(P)\nfile \"b.req\", P=$(P), N=2\n$(P)x\n$(P)x\n$(NONE)\n?\nfile gone.req\n",
        ),
        ("b.req", "# one\n  $(P)m$(N).VAL  comment\n\n"),
        ("loop.req", "file loop.req\n"),
    ]);
    let request = read_request(&files, "a.req", "P=t:");
    assert_eq!(request.fields, ["t:m1.VAL", "t:m2.VAL", "t:x"]);
    assert_eq!(
        request.odd,
        [
            "a.req:5: macro `NONE` is not defined: $(NONE)",
            "a.req:6: `?` is no field",
            "a.req:7: request file gone.req: there is no such file",
        ]
    );
    let request = read_request(&files, "loop.req", "");
    assert!(
        request.odd[0].contains("16 request files include each other"),
        "{request:?}"
    );
}
