//! The state of records, saved and taken over again.

use std::collections::BTreeSet;
use std::sync::Arc;

use ca_proto::server::Turn;
use ca_proto::{Instant, Timestamp};

use super::Bench;
use crate::process::{Kind, Records, RecordsState};
use crate::record::{Array, Dbf, Link, Record, RecordType, Schema, Val};
use crate::state::codec::{Reader, Writer};

fn saved(records: &mut Records) -> Vec<u8> {
    let mut to = Writer::default();
    let token = Arc::new(());
    let rest = records.begin_copy(&token);
    while records.copy_on() {}
    let (count, _, all) = records.copying.take().expect("it is copied").parts();
    rest.save((count, &all), &mut to);
    to.bytes
}

fn take(records: &mut Records, bytes: &[u8]) {
    let mut from = Reader::new(bytes);
    let kinds = (0..records.places()).filter_map(|place| records.name_at(place));
    let kinds = kinds.map(|(name, of, _)| Kind {
        name: name.into(),
        of: of.into(),
    });
    let kinds = kinds.collect();
    let schema = records.shared_schema();
    let mut state = RecordsState::load(&mut from, &schema, kinds).expect("it is of these records");
    assert!(from.is_at_end() && records.suits(&mut state));
    let ids = 0..records.places() as u32;
    let watched: Vec<u32> = ids.filter(|&id| records.record(id).watched).collect();
    let nobody = BTreeSet::new();
    records.take_state(
        Instant::ZERO,
        &mut state,
        true,
        &nobody,
        watched.into_iter(),
    );
}

/// A value of a field, another one for each number.
fn value(dbf: Dbf, n: u8) -> Val {
    match dbf {
        Dbf::String => Val::text(format!("text {n}")),
        Dbf::Char => Val::Char(-(n as i8)),
        Dbf::UChar => Val::UChar(n),
        Dbf::Short => Val::Short(-300 - i16::from(n)),
        Dbf::UShort => Val::UShort(60_000 + u16::from(n)),
        Dbf::Long => Val::Long(-70_000 - i32::from(n)),
        Dbf::ULong => Val::ULong(3_000_000_000 + u32::from(n)),
        Dbf::Int64 => Val::Int64(i64::MIN + i64::from(n)),
        Dbf::UInt64 => Val::UInt64(u64::MAX - u64::from(n)),
        Dbf::Float => Val::Float(f32::from(n) + 0.5),
        Dbf::Double => Val::Double(f64::from(n).sqrt()),
        Dbf::Enum | Dbf::Menu | Dbf::Device => Val::Enum(n.into()),
        kind @ (Dbf::InLink | Dbf::OutLink | Dbf::FwdLink) => Val::Link(Arc::new(
            Link::parse(&format!("other{n}.VAL"), kind).unwrap(),
        )),
        Dbf::NoAccess => Val::Array(Arc::new(Array::Int64(vec![n.into(), -1]))),
    }
}

/// Sets all that a record consists of; the fields that it has no word of its own for may have any value.
fn fill(record: &mut Record, of: &RecordType, n: u8) {
    for index in 0..of.fields.len() as u16 {
        record.set(of, index, value(of.field(index).dbf, n));
    }
    record.time = Timestamp {
        secs: 1000 + u32::from(n),
        nanos: n.into(),
    };
    (record.turn, record.notify) = (n.into(), 0);
    let odd = n % 2 == 1;
    for word in [
        &mut record.ackt,
        &mut record.putf,
        &mut record.rpro,
        &mut record.pact,
        &mut record.chained,
        &mut record.followed,
        &mut record.failed,
    ] {
        *word = odd;
    }
}

fn all_of(records: &Records) -> Vec<String> {
    let shown = |id: u32| {
        let (of, record) = (records.type_of(id).clone(), records.record(id));
        let fields = 0..of.fields.len() as u16;
        fields
            .map(move |index| {
                let field = &of.field(index).name;
                format!("{}.{field} {:?}", of.name, record.get(&of, index))
            })
            .chain([format!("{record:?}")])
            .collect::<Vec<_>>()
    };
    records.ids().flat_map(shown).collect()
}

/// Every field of every record type is what it was. A field, or a word of a record's state, that is left out of what is
/// saved does not get past the compiler; one that is saved wrongly does not get past this.
#[test]
fn every_field_of_every_type_is_what_it_was() {
    let schema = Arc::new(Schema::base());
    let names: Vec<String> = schema.types().map(|of| of.name.to_string()).collect();
    assert!(names.len() > 30, "{names:?}");
    let mut records = Records::new(schema);
    for of in &names {
        records.add(of, &format!("a:{of}")).unwrap();
    }
    let fill_all = |records: &mut Records, n: u8| {
        for id in 0..names.len() as u32 {
            let of = records.type_of(id).clone();
            fill(records.record_mut(id), &of, n);
        }
    };
    fill_all(&mut records, 3);
    let (bytes, before) = (saved(&mut records), all_of(&records));
    fill_all(&mut records, 4);
    let changed = all_of(&records);
    for (before, after) in before.iter().zip(&changed) {
        // Of other types, or not settable.
        let fixed = before.contains(".NAME ");
        assert!(fixed || before != after, "{before} was not changed");
    }
    take(&mut records, &bytes);
    for (before, after) in before.iter().zip(&all_of(&records)) {
        assert_eq!(before, after);
    }
    assert!(saved(&mut records) == bytes);
}

/// A chain that was stopped after any task goes on as it would have.
#[test]
fn a_chain_goes_on_from_any_of_its_tasks() {
    let make = || {
        Bench::new(&[
            ("ao", "a", &[("FLNK", "b")]),
            (
                "calcout",
                "b",
                &[
                    ("INPA", "a PP"),
                    ("CALC", "A+VAL"),
                    ("OUT", "c PP"),
                    ("FLNK", "f"),
                ],
            ),
            ("ai", "c", &[("INP", "d PP MS"), ("FLNK", "e")]),
            (
                "calc",
                "d",
                &[("CALC", "VAL+RNDM"), ("HIHI", "0.5"), ("HHSV", "MAJOR")],
            ),
            (
                "seq",
                "e",
                &[
                    ("DOL1", "d PP"),
                    ("LNK1", "a.HOPR PP"),
                    ("DLY2", "0"),
                    ("DOL2", "1"),
                    ("LNK2", "g PP"),
                ],
            ),
            ("fanout", "f", &[("LNK1", "d"), ("LNK2", "h")]),
            ("longout", "g", &[("OUT", "h.A PP")]),
            ("calc", "h", &[("CALC", "A+VAL")]),
        ])
    };
    let end = |bench: &mut Bench| {
        bench.run();
        all_of(&bench.records)
    };
    for tasks in 0..200 {
        let mut bench = make();
        let (id, field) = bench.records.find_field("a.PROC").unwrap();
        let _ = bench.records.put(id, field, Val::UChar(1));
        bench.records.run(&mut Turn::new(tasks));
        let bytes = saved(&mut bench.records);
        let was_done = !bench.records.has_work();
        let first = end(&mut bench);
        take(&mut bench.records, &bytes);
        assert!(saved(&mut bench.records) == bytes);
        assert_eq!(end(&mut bench), first, "after {tasks} tasks");
        if was_done {
            assert!(tasks > 15, "{tasks}");
            return;
        }
    }
    panic!("it never ends");
}

#[test]
fn links_that_were_written_since_lead_where_they_led() {
    let mut bench = Bench::new(&[
        ("ao", "a", &[]),
        ("ao", "b", &[]),
        ("calc", "c", &[("INPA", "a CP"), ("CALC", "A")]),
        ("ai", "far", &[("INP", "elsewhere CP")]),
    ]);
    let abroad = |bench: &Bench| format!("{:?}", bench.records.links_abroad("elsewhere").len());
    let bytes = saved(&mut bench.records);
    bench.put("c.INPA", "b CP");
    bench.put("far.INP", "");
    bench.put("b", 7.0);
    assert_eq!((bench.number("c"), abroad(&bench).as_str()), (7.0, "0"));
    take(&mut bench.records, &bytes);
    assert_eq!((bench.number("c"), abroad(&bench).as_str()), (0.0, "1"));
    bench.put("b", 3.0);
    assert_eq!(bench.number("c"), 0.0);
    bench.put("a", 2.0);
    assert_eq!(bench.number("c"), 2.0);
    assert_eq!(bench.get("c.INPA"), "a CP NMS");
}
