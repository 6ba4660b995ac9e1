//! `sub` and `aSub`: functions that are registered.

use super::super::{Function, Records};
use super::*;

fn bench(all: &[(&str, &str, Fields<'_>)]) -> (Bench, Vec<String>) {
    let mut records = Records::new(Arc::new(Schema::base()));
    records.register(
        "product",
        Function::new(|call| {
            let value = call.number("A") * call.number("B");
            call.set("VAL", value);
            0
        }),
    );
    records.register("fails", Function::new(|_| -1));
    records.register(
        "reverse",
        Function::new(|call| {
            let mut all = call.numbers("A");
            all.reverse();
            i32::from(!call.set_numbers("VALA", all))
        }),
    );
    for (of, name, fields) in all {
        let id = records.add(of, name).unwrap();
        records.set_watched(id, true);
        for (field, value) in *fields {
            records.set_field(id, field, value).unwrap();
        }
    }
    let mut bench = Bench {
        records,
        now: Instant::ZERO,
    };
    let clock = bench.clock();
    let notes = bench.records.start(bench.now, clock);
    bench.run();
    (bench, notes.into_iter().map(|note| note.text).collect())
}

#[test]
fn a_sub_record_calls_its_function() {
    let (mut bench, notes) = bench(&[
        (
            "sub",
            "s",
            &[("SNAM", "product"), ("INPA", "3"), ("B", "4")],
        ),
        (
            "sub",
            "f",
            &[("SNAM", "fails"), ("BRSV", "MAJOR"), ("VAL", "1")],
        ),
    ]);
    assert_eq!(notes, [""; 0]);
    bench.process("s");
    assert_eq!(
        (bench.number("s"), bench.alarm("s").as_str()),
        (12.0, "NO_ALARM NO_ALARM")
    );
    bench.process("f");
    assert_eq!(bench.alarm("f"), "SOFT MAJOR");
}

#[test]
fn a_name_without_function_warns_once_and_is_an_alarm() {
    let (mut bench, notes) = bench(&[
        ("sub", "s", &[("SNAM", "gone"), ("VAL", "5")]),
        ("sub", "t", &[("SNAM", "gone")]),
        ("aSub", "a", &[("SNAM", "away")]),
    ]);
    assert_eq!(notes.len(), 2, "{notes:?}");
    bench.process("s");
    assert_eq!(
        (bench.number("s"), bench.alarm("s").as_str()),
        (5.0, "BAD_SUB INVALID")
    );
    bench.process("a");
    assert_eq!(bench.alarm("a"), "BAD_SUB INVALID");
    bench.put("s.SNAM", "product");
    bench.process("s");
    assert_eq!(bench.alarm("s"), "NO_ALARM NO_ALARM");
}

#[test]
fn an_asub_record_writes_what_its_function_made() {
    let (mut bench, _) = bench(&[
        (
            "aSub",
            "a",
            &[
                ("SNAM", "reverse"),
                ("FTA", "DOUBLE"),
                ("NOA", "5"),
                ("INPA", "[1,2,3]"),
                ("FTVA", "LONG"),
                ("NOVA", "5"),
                ("OUTA", "w PP"),
            ],
        ),
        ("waveform", "w", &[("FTVL", "SHORT"), ("NELM", "9")]),
    ]);
    bench.posts();
    bench.process("a");
    let (id, field) = bench.records.find_field("w").unwrap();
    assert_eq!(
        bench.records.get(id, field),
        Val::from(Array::Short(vec![3, 2, 1]))
    );
    assert_eq!(bench.number("a.NEVA"), 3.0);
    let posts = bench.posts();
    assert!(
        posts.contains(&"a.VALA 7".to_owned()) && posts.contains(&"a.NEVA 7".to_owned()),
        "{posts:?}"
    );
}
