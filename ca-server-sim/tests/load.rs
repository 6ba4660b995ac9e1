//! Files of databases: what is read, and what is told of what is wrong.

use std::fs;
use std::path::{Path, PathBuf};

use ca_server_sim::load::{Disk, Loaded, Loader, lint};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn load(name: &str) -> Loaded {
    let types = folder();
    let files = Within(types);
    let mut loader = Loader::new(&files);
    if !name.ends_with(".dbd") {
        loader.dbd("types.dbd", "");
    }
    loader.file(name, "P=SR:,LOOP=$(LOOP)");
    loader.finish()
}

/// Files of a directory, by their names in it, so that messages are the same everywhere.
struct Within(PathBuf);

impl ca_server_sim::load::Files for Within {
    fn read(
        &self,
        name: &str,
        limit: usize,
    ) -> Result<std::sync::Arc<[u8]>, ca_server_sim::load::FileProblem> {
        Disk.read(&self.0.join(name).to_string_lossy(), limit)
    }
}

/// Files that are wrong, and not read by others.
fn broken() -> Vec<String> {
    let entries = fs::read_dir(folder()).expect("the folder");
    let names = entries.map(|entry| {
        entry
            .expect("a file")
            .file_name()
            .into_string()
            .expect("UTF-8")
    });
    let given = |name: &String| {
        let ends = [".db", ".substitutions", ".dbd"]
            .iter()
            .any(|end| name.ends_with(end));
        ends && !["types.dbd", "common.dbd"].contains(&name.as_str())
    };
    let mut names: Vec<String> = names.filter(given).collect();
    names.sort();
    names
}

/// Each broken file has its exact messages beside it; `CANTER_BLESS=1` writes them.
#[test]
#[cfg(feature = "diagnostics")]
fn each_mistake_is_told_with_its_place_and_remedy() {
    let names = broken();
    assert!(names.len() >= 24, "{}", names.len());
    let mut wrong = Vec::new();
    for name in names {
        let loaded = load(&name);
        assert!(!loaded.mistakes.is_empty(), "{name}");
        let found = loaded.mistakes.render(false) + "\n";
        let path = folder().join(format!("{name}.txt"));
        if std::env::var_os("CANTER_BLESS").is_some() {
            fs::write(&path, &found).expect("written");
        }
        let wanted = fs::read_to_string(&path).unwrap_or_default();
        if found != wanted {
            wrong.push(format!("{name}:\n{found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is only odd does not keep anybody from loading a file.
#[test]
fn only_warnings_leave_a_file_usable() {
    let odd: Vec<String> = broken()
        .into_iter()
        .filter(|name| !load(name).mistakes.has_errors())
        .collect();
    assert_eq!(odd, ["odd_values.db"]);
}

#[test]
fn types_of_the_tests_are_right() {
    let loaded = load("types.dbd");
    assert!(loaded.mistakes.is_empty(), "{}", loaded.mistakes);
    assert_eq!(loaded.dbd.types().len(), 3);
}

#[test]
fn lint_tells_of_links_rings_storms_and_scans() {
    let files = Within(folder());
    let mut loader = Loader::new(&files);
    loader.dbd("types.dbd", "");
    loader.db("../lint.db", "");
    let mut loaded = loader.finish();
    assert!(loaded.mistakes.is_empty(), "{}", loaded.mistakes);
    lint(&mut loaded);
    let told = loaded.mistakes.to_string();
    for part in [
        "lint.db:2:37: warning: a.FLNK leads to `nowhere`, which is not among these records",
        "lint.db:3:37: error: b.FLNK leads to field `PORC` of `a`, which type ai does not have",
        "warning: records process each other in a ring: `r1` → `r2` → `r3` → `r1`",
        "warning: records process each other for ever, as their values change: `c1` → `c2` → `c1`",
        "warning: record `self` processes itself",
        "error: dev.INP is not written as device `getenv` takes it: @ and a text",
        "warning: record `a` is defined again",
    ] {
        assert!(told.contains(part), "{part}:\n{told}");
    }
    assert_eq!(loaded.mistakes.iter().count(), 7, "{told}");
}

#[test]
fn storms_and_overload_are_told() {
    let mut text = String::from("record(ai, \"fast\") { field(SCAN, \".1 second\") }\n");
    for number in 0..150 {
        text.push_str(&format!(
            "record(calc, \"s{number}\") {{ field(INPA, \"fast CP\") }}\n"
        ));
    }
    for number in 0..11_000 {
        text.push_str(&format!(
            "record(ai, \"o{number}\") {{ field(SCAN, \".1 second\") }}\n"
        ));
    }
    let types = fs::read(folder().join("types.dbd")).expect("types");
    let common = fs::read(folder().join("common.dbd")).expect("types");
    let files = ca_server_sim::load::InMemory::from([
        ("types.dbd", types),
        ("common.dbd", common),
        ("x.db", text.into_bytes()),
    ]);
    let mut loader = Loader::new(&files);
    loader.dbd("types.dbd", "").db("x.db", "");
    let mut loaded = loader.finish();
    lint(&mut loaded);
    let told = loaded.mistakes.to_string();
    assert!(
        told.contains(
            "150 CP links process records whenever `fast` changes, up to 1500 times a second"
        ),
        "{told}"
    );
    assert!(
        told.contains("about 111510 records are processed in a second: 11001 at `.1 second`"),
        "{told}"
    );
}

/// The files of an IOC whose `.dbd` is not at hand, with two record types and two devices that nobody describes.
const UNKNOWN: &str = r##"
    record(ai, "t") { field(DTYP, "asynFloat64") field(INP, "@asyn(PORT,0)TEMP") field(EGU, "C") field(VAL, 1.5) }
    record(ai, "u") { field(DTYP, "asynFloat64") field(INP, "@asyn(PORT,1)TEMP") }
    record(longout, "v") { field(DTYP, "VME old") field(OUT, "#C0 S3 @x") }
    record(asyn, "port") { field(PORT, "P1") field(ADDR, 0) field(DESC, "a port") field(OMAX, "a text") }
    record(asyn, "port2") { field(ADDR, "second") }
    record(bare, "b") { field(VAL, "text") }
"##;

#[test]
fn unknown_types_and_devices_are_mistakes_or_held() {
    use ca_server_sim::{Ioc, RecordFiles};

    let files = RecordFiles::new().text(UNKNOWN, "");
    assert_eq!(files.load().mistakes.errors(), 6);

    let loaded = files.hold_unknown().load();
    assert_eq!(loaded.mistakes.errors(), 0, "{}", loaded.mistakes);
    // Each device and each type once.
    assert_eq!(loaded.mistakes.warnings(), 4, "{}", loaded.mistakes);
    let ioc = Ioc::builder()
        .records(loaded)
        .build()
        .expect("they are held");
    let text = |pv: &str| ioc.read(pv).expect(pv).value.to_string();
    for (pv, value) in [
        ("t", "1.5"),
        ("t.INP", "@asyn(PORT,0)TEMP"),
        ("v.OUT", "#C0 S3 @x"),
        ("port.PORT", "P1"),
        ("port.ADDR", "0"),
        ("port2.ADDR", "second"),
        ("port.DESC", "a port"),
        ("port.OMAX", "a text"),
        ("port.VAL", "0.0"),
        ("b", "text"),
    ] {
        assert_eq!(text(pv), value, "{pv}");
    }
}

#[test]
fn what_is_held_has_bounds_and_names() {
    let text: String = (0..3000)
        .map(|n| format!("record(t{n}, \"r{n}\") {{}}\n"))
        .chain(["record(\"no name\", \"x\") {}\n".into()])
        .collect();
    let files = ca_server_sim::RecordFiles::new().text(text, "");
    let loaded = files.hold_unknown().load();
    assert_eq!(loaded.records.len(), 1000);
    assert!(loaded.mistakes.has_errors());
}
