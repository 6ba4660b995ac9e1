//! Fields, and what clients write.

use super::*;

#[test]
fn a_put_to_a_value_processes_a_passive_record_and_tells_of_it_once() {
    let mut bench = Bench::new(&[("ao", "x", &[("SCAN", "1 second")]), ("ao", "y", &[])]);
    bench.put("y", 2.5);
    assert_eq!(bench.get("y"), "3", "no digits");
    assert_eq!(bench.alarm("y"), "NO_ALARM NO_ALARM");
    assert_eq!(
        bench.posts(),
        [
            "y.SEVR 1".to_owned(),
            format!("y.STAT {}", VALUE | ALARM),
            format!("y.AMSG {}", VALUE | ALARM),
            "y.ACKS 1".to_owned(),
            format!("y.VAL {}", VALUE | LOG | ALARM),
            format!("y.OVAL {}", VALUE | LOG | ALARM),
            format!("y.RVAL {}", VALUE | LOG | ALARM),
        ]
    );
    bench.put("x", 2.5);
    assert_eq!(bench.posts(), [] as [&str; 0], "it waits for its scan");
    bench.put("x.DESC", "text");
    assert_eq!(bench.posts(), [format!("x.DESC {}", VALUE | LOG)]);
    bench.put("x.HIHI", 1.0);
    assert_eq!(
        bench.posts(),
        ["x.* 8".to_owned(), format!("x.HIHI {}", VALUE | LOG)]
    );
    bench.wait(1.0);
    assert_eq!(bench.number("x.OVAL"), 2.5);
}

#[test]
fn a_record_without_puts_takes_only_that_it_takes_them() {
    let mut bench = Bench::new(&[("ao", "x", &[("DISP", "1")])]);
    assert_eq!(bench.try_put("x", 1.0), Err(PutError::Disabled));
    bench.put("x.DISP", 0i16);
    bench.put("x", 1.0);
    assert_eq!(bench.try_put("x.NAME", "y"), Err(PutError::NoMod));
    assert_eq!(
        bench.try_put("x.UDF", "z").map_err(|e| e.to_string()),
        Err("the field cannot have this value: the text is not a number".into())
    );
}

#[test]
fn a_type_without_support_holds_its_values() {
    let mut schema = Schema::base();
    let fields = vec![crate::record::FieldSpec {
        name: "VAL".into(),
        dbf: crate::record::Dbf::Double,
        size: 0,
        menu: String::new(),
        initial: "1.5".into(),
        asl: 0,
        special: crate::record::Special::Plain,
        pp: true,
        prop: false,
        interest: 0,
    }];
    schema
        .add_type("mine", fields, &crate::record::Support::HOLDER)
        .unwrap();
    let mut records = Records::new(Arc::new(schema));
    let id = records.add("mine", "x").unwrap();
    let next = records.add("calc", "n").unwrap();
    records.set_field(id, "FLNK", "n").unwrap();
    records.set_field(next, "CALC", "VAL+1").unwrap();
    records.start(Instant::ZERO, Timestamp::UNDEFINED);
    let value = records.type_of(id).value.unwrap();
    assert_eq!(records.get(id, value), Val::Double(1.5));
    records.put(id, value, Val::text("2.5")).unwrap();
    records.run(&mut Turn::unlimited());
    assert_eq!(records.get(id, value), Val::Double(2.5));
    assert_eq!(
        records.get(next, records.type_of(next).value.unwrap()),
        Val::Double(1.0)
    );
}

#[test]
fn files_set_fields_strictly() {
    let mut records = Records::new(Arc::new(Schema::base()));
    let id = records.add("ao", "x").unwrap();
    let mut set = |field: &str, value: &str| {
        records
            .set_field(id, field, value)
            .map_err(|error| error.to_string())
    };
    for (field, value) in [
        ("VAL", " 1e3 "),
        ("ROFF", "0x10"),
        ("PREC", ""),
        ("SCAN", "3"),
        ("SSCN", "65535"),
        ("HHSV", "MAJOR"),
        ("VAL", "nan"),
    ] {
        assert_eq!(set(field, value), Ok(()), "{field} {value}");
    }
    assert_eq!(
        set("PREC", "1.5").unwrap_err(),
        "field PREC cannot be \"1.5\": the text is not a number"
    );
    assert_eq!(
        set("VAL", "1 V").unwrap_err(),
        "field VAL cannot be \"1 V\": the text is not a number"
    );
    assert_eq!(
        set("HHSV", "major").unwrap_err(),
        "field HHSV cannot be \"major\": the text names no state"
    );
    assert_eq!(
        set("EGU", "0123456789abcdef").unwrap_err(),
        "field EGU has room for 15 bytes"
    );
    assert_eq!(
        set("VALUE", "1").unwrap_err(),
        "record type ao has no field VALUE"
    );
    assert_eq!(set("TIME", "1").unwrap_err(), "field TIME cannot be set");
    let calc = records.add("calc", "y").unwrap();
    assert!(
        records
            .set_field(calc, "CALC", "A+")
            .unwrap_err()
            .to_string()
            .starts_with("field CALC cannot be \"A+\": column")
    );
    assert_eq!(
        records.add("calc", "x").unwrap_err().to_string(),
        "there is a record x already"
    );
    assert_eq!(
        records.add("cald", "z").unwrap_err().to_string(),
        "there is no record type cald"
    );
    records.add_alias("x", "alias").unwrap();
    assert_eq!(records.find_field("alias.PREC").map(|(id, _)| id), Some(0));
}
