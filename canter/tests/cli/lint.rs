//! `canter lint`.

use std::fs;
use std::path::PathBuf;

use crate::common::{Run, command_on};

/// A folder of files that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn of(name: &str, files: &[(&str, &str)]) -> Self {
        let folder =
            std::env::temp_dir().join(format!("canter-lint-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in files {
            fs::write(folder.join(file), text).unwrap();
        }
        Self(folder)
    }

    fn lint(&self, args: &[&str]) -> Run {
        let args = [&["lint"], args].concat();
        Run::of(&command_on(0, &args).current_dir(&self.0).output().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_right_has_no_errors() {
    let folder = Folder::of(
        "right",
        &[(
            "x.db",
            "record(ai, \"$(P):x\") {\n  field(EGU, \"mm\")\n  field(SCAN, \"1 second\")\n}\n",
        )],
    );
    let run = folder.lint(&["-m", "P=a", "x.db"]);
    run.expect(0, "0 errors, 0 warnings in 1 record\n");
}

#[test]
fn all_mistakes_are_told_at_once_with_their_places() {
    let folder = Folder::of(
        "wrong",
        &[(
            "x.db",
            "record(ai, \"a\") {\n  field(EGUU, \"mm\")\n  field(SCAN, \"1 secund\")\n  field(FLNK, \"b\")\n}\nrecord(aj, \"b\") {}\n",
        )],
    );
    let run = folder.lint(&["x.db"]);
    assert_eq!(run.code, Some(1), "{run:?}");
    for part in [
        "x.db:2",
        "EGUU",
        "did you mean `EGU",
        "x.db:3",
        "1 second",
        "x.db:6",
        "aj",
        "3 errors",
    ] {
        assert!(run.out.contains(part), "{part:?} is not in {run:?}");
    }
    let json = folder.lint(&["--json", "x.db"]).json();
    assert!(json.len() >= 3, "{json:?}");
    assert_eq!(json[0]["line"], 2);
    assert_eq!(json[0]["severity"], "error");
}

#[test]
fn a_site_s_own_types_and_files_that_are_not_there() {
    let dbd = "recordtype(mine) {\n  field(NAME, DBF_STRING) { size(61) }\n  field(VAL, DBF_LONG) { prompt(\"Value\") }\n}\n";
    let folder = Folder::of(
        "site",
        &[
            ("site.dbd", dbd),
            ("x.db", "record(mine, \"m\") { field(VAL, \"0x10\") }\n"),
        ],
    );
    folder
        .lint(&["-D", "site.dbd", "x.db"])
        .expect(0, "0 errors, 0 warnings in 1 record\n");
    assert_eq!(folder.lint(&["x.db"]).code, Some(1));
    assert_eq!(folder.lint(&["none.db"]).code, Some(2));
}
