//! Snapshots: kept in files, and brought back.

use std::path::PathBuf;

use ca_kit::{Group, Kit, Member, Outcome, Saved, Snapshot, SnapshotFileError};
use ca_server_sim::{Ioc, PutDecision, PvSpec};

use crate::rig::{Rig, SECOND, survives, usual};

/// A file of this test, removed at its end.
struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("canter-kit-{}-{name}", std::process::id())))
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn all_kinds() -> Group {
    Group::of("kinds", ["a", "n", "f", "note", "state", "wave"]).unwrap()
}

#[test]
fn every_kind_of_value_goes_to_a_file_and_back() {
    let rig = Rig::with(
        usual()
            .pv("odd", PvSpec::double(f64::NAN))
            .pv("inf", PvSpec::double(f64::NEG_INFINITY))
            .pv("exact", PvSpec::double(0.1 + 0.2))
            .pv("tiny", PvSpec::double(5e-324))
            .pv("quote", PvSpec::string("say \"hi\"\\\n\u{7f}"))
            .pv("names", PvSpec::strings(&["a", "", "\u{e9}"]))
            .pv("bytes", PvSpec::array(vec![0u8, 255, 7]))
            .pv("deepest", PvSpec::long(i32::MIN)),
    );
    let names = [
        "a", "n", "f", "note", "state", "wave", "odd", "inf", "exact", "tiny", "quote", "names",
        "bytes", "deepest",
    ];
    rig.run(async {
        let group = rig
            .client
            .open_group(Group::of("kinds", names).unwrap())
            .unwrap();
        let taken = group.snapshot().await;
        assert!(taken.is_complete());
        let file = Temp::new("kinds.toml");
        taken.save(&file.0).unwrap();
        let read = Snapshot::load(&file.0).unwrap();
        for (taken, read) in taken.members.iter().zip(&read.members) {
            let (was, is) = (taken.value.as_ref().unwrap(), read.value.as_ref().unwrap());
            assert!(
                is.is_same(was, 0.0),
                "{}: {was:?} {is:?}",
                taken.member.name
            );
            assert_eq!(taken.timestamp, read.timestamp);
        }
        assert_eq!((&read.group, read.taken), (&taken.group, taken.taken));
        let report = rig.client.restore(&read).await.unwrap();
        assert!(report.is_ok() && report.put == 0, "{report}");
    });
}

#[test]
fn what_has_changed_is_brought_back_and_proved() {
    let rig = Rig::new();
    rig.run(async {
        let group = rig.client.open_group(all_kinds()).unwrap();
        let saved = group.snapshot().await;
        group
            .put([("a", 5.0), ("n", 9.0), ("state", 1.0)])
            .await
            .unwrap();
        group.put([("note", "bye")]).await.unwrap();
        rig.client
            .put("wave", vec![9.0, 9.0, 9.0])
            .wait()
            .await
            .unwrap();
        let dry = rig.client.restore(&saved).dry_run().await.unwrap();
        assert_eq!((dry.put, dry.differences().count()), (0, 5), "{dry}");
        let text = dry.to_string();
        for line in [
            "1 of 6 stand as saved, 0 were put",
            "\"a\" stands at 5, saved is 0",
            "\"state\" stands at \"On\", saved is \"Off\"",
            "\"wave\" stands at [9, 9, 9] (3), saved is [1, 2, 3] (3)",
        ] {
            assert!(text.contains(line), "{line}: {text}");
        }
        assert_eq!(rig.number("a"), 5.0);
        let report = rig.client.restore(&saved).await.unwrap();
        assert!(report.is_ok() && report.put == 5, "{report}");
        assert_eq!(rig.number("a"), 0.0);
        let now = group.snapshot().await;
        assert_eq!(now.members[4].value, saved.members[4].value);
    });
}

#[test]
fn within_its_tolerance_nothing_is_put() {
    let rig = Rig::new();
    rig.run(async {
        let group = Group::new("g")
            .with(Member::new("a").tolerance(0.1))
            .unwrap();
        let group = rig.client.open_group(group).unwrap();
        let saved = group.snapshot().await;
        rig.post("a", 0.05);
        assert_eq!(rig.client.restore(&saved).await.unwrap().put, 0);
        assert_eq!(
            rig.client
                .restore(&saved)
                .tolerance(0.01)
                .await
                .unwrap()
                .put,
            1
        );
    });
}

#[test]
fn nothing_is_put_while_something_is_in_the_way() {
    let rig = Rig::new();
    rig.run(async {
        let names = ["a", "fixed", "nobody"];
        let group = rig
            .client
            .open_group(Group::of("g", names).unwrap())
            .unwrap();
        let mut saved = group.snapshot().timeout(SECOND).await;
        assert!(!saved.is_complete());
        assert!(
            saved.members[2]
                .value
                .as_ref()
                .unwrap_err()
                .contains("nobody")
        );
        rig.post("a", 5.0);
        let report = rig.client.restore(&saved).timeout(SECOND).await.unwrap();
        assert!(matches!(report.lines[2].outcome, Outcome::NotSaved(_)));
        assert_eq!((report.put, rig.number("a")), (0, 5.0), "{report}");
        saved.members[2].value = Ok(Saved::Number(1.0));
        rig.post("fixed", 8.0);
        let report = rig.client.restore(&saved).timeout(SECOND).await.unwrap();
        assert_eq!((report.put, rig.number("a")), (0, 5.0), "{report}");
        assert_eq!(report.lines[1].outcome, Outcome::NoAccess);
        assert!(matches!(report.lines[2].outcome, Outcome::Unreachable(_)));
        let report = rig
            .client
            .restore(&saved)
            .partial()
            .timeout(SECOND)
            .await
            .unwrap();
        assert_eq!((report.put, rig.number("a")), (1, 0.0), "{report}");
        assert!(!report.is_ok());
    });
}

#[test]
fn turns_come_one_after_another_and_end_at_the_first_failure() {
    let rig = Rig::new();
    rig.run(async {
        let group = Group::new("g").with(Member::new("a").order(3)).unwrap();
        let group = group.with(Member::new("slow").order(1)).unwrap();
        let group = group.with(Member::new("fussy").order(2)).unwrap();
        let group = rig.client.open_group(group).unwrap();
        let mut saved = group.snapshot().await;
        for member in &mut saved.members {
            member.value = Ok(Saved::Number(9.0));
        }
        let before = rig.now();
        let report = rig.client.restore(&saved).await.unwrap();
        assert!(rig.now().saturating_duration_since(before) >= 2 * SECOND);
        let outcomes: Vec<_> = report
            .lines
            .iter()
            .map(|line| line.outcome.clone())
            .collect();
        assert!(
            matches!(
                outcomes[..],
                [Outcome::Different, Outcome::Restored, Outcome::Refused(_)]
            ),
            "{report}"
        );
        assert_eq!((report.put, rig.number("a")), (2, 0.0));
    });
}

/// A record that takes the value and keeps another one, as one with DRVH does.
#[test]
fn what_does_not_stand_there_is_told() {
    let kept = PvSpec::double(1.0).on_put(|_| PutDecision::Replace(1.5.into()));
    let rig = Rig::with(Ioc::builder().pv("stuck", kept));
    rig.run(async {
        let group = rig
            .client
            .open_group(Group::of("g", ["stuck"]).unwrap())
            .unwrap();
        let mut saved = group.snapshot().await;
        saved.members[0].value = Ok(Saved::Number(2.0));
        let report = rig.client.restore(&saved).await.unwrap();
        assert_eq!(report.lines[0].outcome, Outcome::NotThere);
        assert!(
            report
                .to_string()
                .contains("was put to 2, and stands at 1.5"),
            "{report}"
        );
    });
}

#[test]
fn files_that_are_no_snapshots_are_refused() {
    for (text, part) in [
        ("", "it has no `format`"),
        ("format = 9\ngroup = 'g'", "this program reads 1"),
        ("format = 1\n[[member]]\nvalue = 1", "a member has no PV"),
        (
            "format = 1\n[[member]]\npv = 'a'",
            "neither `value` nor `error`",
        ),
        (
            "format = 1\n[[member]]\npv = 'a'\nvalue = [1, 'b']",
            "list of one kind",
        ),
        (
            "format = 1\n[[member]]\npv = 'a'\nvalue = true",
            "no number",
        ),
        (
            "format = 1\n[[member]]\npv = 'a'\nvalue = 1\ntime = 'x'",
            "is no time",
        ),
        (
            "format = 1\n[[member]]\npv = 'a'\nvlue = 1\nvalue = 2",
            "did you mean \"value\"?",
        ),
        (
            "format = 1\n[[member]]\npv = 'a'\nvalue = 1\n[[member]]\npv = 'a'\nvalue = 1",
            "two members",
        ),
        (
            "format = 1\n[[member]]\npv = ''\nvalue = 1",
            "cannot be empty",
        ),
    ] {
        let found = Snapshot::from_toml("s.toml", text).unwrap_err().to_string();
        assert!(found.contains(part), "{part}: {found}");
    }
    let missing = Snapshot::load("/nowhere/s.toml").unwrap_err();
    assert!(
        matches!(missing, SnapshotFileError::Read { .. }),
        "{missing}"
    );
}

/// What was there stays whole when the new one cannot be written.
#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let rig = Rig::new();
    rig.run(async {
        let group = rig.client.open_group(all_kinds()).unwrap();
        let saved = group.snapshot().await;
        let file = Temp::new("whole.toml");
        saved.save(&file.0).unwrap();
        let before = std::fs::read(&file.0).unwrap();
        // A folder in its place, and a folder that is not there.
        assert!(saved.save(std::env::temp_dir()).is_err());
        let nowhere = file.0.join("below-a-file.toml");
        let error = saved.save(&nowhere).unwrap_err();
        assert!(error.to_string().contains("is as before"), "{error}");
        assert_eq!(std::fs::read(&file.0).unwrap(), before);
        let folder = file.0.parent().unwrap();
        let name = file.0.file_name().unwrap().to_string_lossy().into_owned();
        let left = std::fs::read_dir(folder).unwrap().filter_map(Result::ok);
        let left = left.filter(|it| it.file_name().to_string_lossy().starts_with(&name));
        assert_eq!(left.count(), 1, "nothing is left beside it");
    });
}

#[test]
fn snapshots_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let group = client.open_group(all_kinds()).unwrap();
            group.snapshot().await.is_complete()
        },
        |_, _, _| {},
    );
    survives(
        async |client| {
            let group = client
                .open_group(Group::of("g", ["a", "state"]).unwrap())
                .unwrap();
            let mut saved = group.snapshot().await;
            saved.members[0].value = Ok(Saved::Number(2.0));
            client.restore(&saved).await.unwrap().is_ok()
        },
        |_, _, _| {},
    );
}
