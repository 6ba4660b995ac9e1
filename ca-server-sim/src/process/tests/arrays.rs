//! `aai`, `aao`, `subArray`, `compress`, `histogram`, `lsi`, `lso`, `printf`.

use super::*;

fn numbers(bench: &Bench, name: &str) -> Vec<f64> {
    let (id, field) = bench.records.find_field(name).unwrap();
    match bench.records.get(id, field) {
        Val::Array(all) => all.iter().map(|val| val.as_f64()).collect(),
        val => vec![val.as_f64()],
    }
}

#[test]
fn arrays_go_in_and_out() {
    let mut bench = Bench::new(&[
        (
            "waveform",
            "w",
            &[("FTVL", "DOUBLE"), ("NELM", "6"), ("INP", "[1,2.5,3]")],
        ),
        (
            "aai",
            "in",
            &[
                ("FTVL", "LONG"),
                ("NELM", "2"),
                ("INP", "w"),
                ("MPST", "On Change"),
            ],
        ),
        (
            "aao",
            "out",
            &[
                ("FTVL", "SHORT"),
                ("NELM", "4"),
                ("DOL", "w"),
                ("OMSL", "closed_loop"),
                ("OUT", "w2"),
            ],
        ),
        ("waveform", "w2", &[("FTVL", "CHAR"), ("NELM", "9")]),
        (
            "subArray",
            "part",
            &[
                ("FTVL", "DOUBLE"),
                ("MALM", "6"),
                ("NELM", "2"),
                ("INDX", "1"),
                ("INP", "w"),
            ],
        ),
    ]);
    for name in ["in", "out", "part"] {
        bench.process(name);
    }
    assert_eq!(numbers(&bench, "in"), [1.0, 2.0]);
    assert_eq!(numbers(&bench, "w2"), [1.0, 2.0, 3.0]);
    assert_eq!(numbers(&bench, "part"), [2.5, 3.0]);
    bench.posts();
    bench.process("in");
    assert_eq!(
        bench.posts(),
        ["in.PROC 3", "in.VAL 2"],
        "APST says always, MPST on change"
    );
    bench.put("part.INDX", 5);
    assert_eq!(
        (numbers(&bench, "part").len(), bench.alarm("part").as_str()),
        (0, "UDF INVALID")
    );
}

#[test]
fn the_hash_of_an_array_is_that_of_its_memory() {
    let mut bench = Bench::new(&[(
        "waveform",
        "w",
        &[("FTVL", "CHAR"), ("NELM", "4"), ("MPST", "On Change")],
    )]);
    bench.put("w", Array::Char(vec![97, 98, 99]));
    // epicsMemHash("abc", 3, 0)
    let mut hash = 0u32;
    hash ^= !((hash << 11) ^ 97 ^ (hash >> 5));
    hash ^= (hash << 7) ^ 98 ^ (hash >> 3);
    hash ^= !((hash << 11) ^ 99 ^ (hash >> 5));
    assert_eq!(bench.number("w.HASH"), f64::from(hash));
}

#[test]
fn compress_keeps_what_its_algorithm_says() {
    let mut bench = Bench::new(&[
        ("ao", "x", &[]),
        (
            "compress",
            "ring",
            &[("INP", "x"), ("ALG", "Circular Buffer"), ("NSAM", "3")],
        ),
        (
            "compress",
            "stack",
            &[
                ("INP", "x"),
                ("ALG", "Circular Buffer"),
                ("NSAM", "3"),
                ("BALG", "LIFO Buffer"),
            ],
        ),
        (
            "compress",
            "mean",
            &[
                ("INP", "x"),
                ("ALG", "N to 1 Average"),
                ("N", "2"),
                ("NSAM", "3"),
            ],
        ),
    ]);
    for value in 1..=4 {
        bench.put("x", f64::from(value));
        for name in ["ring", "stack", "mean"] {
            bench.process(name);
        }
    }
    assert_eq!(numbers(&bench, "ring"), [2.0, 3.0, 4.0]);
    assert_eq!(numbers(&bench, "stack"), [4.0, 3.0, 2.0]);
    assert_eq!(numbers(&bench, "mean"), [1.5, 3.5]);
    assert_eq!(bench.try_put("stack", 1.0), Err(PutError::NoMod));
    bench.put("ring.RES", 1);
    assert!(numbers(&bench, "ring").is_empty());
}

#[test]
fn a_histogram_counts() {
    let mut bench = Bench::new(&[(
        "histogram",
        "h",
        &[
            ("NELM", "4"),
            ("ULIM", "8"),
            ("LLIM", "0"),
            ("MDEL", "1"),
            ("SDEL", "3"),
        ],
    )]);
    for signal in [1.0, 1.5, 7.0, 8.0, -1.0] {
        bench.put("h.SGNL", signal);
    }
    assert_eq!(numbers(&bench, "h"), [2.0, 0.0, 0.0, 1.0]);
    bench.posts();
    bench.wait(3.0);
    assert_eq!(bench.posts(), ["h.VAL 3"]);
    bench.put("h.CMD", "Clear");
    assert_eq!(
        (
            numbers(&bench, "h").iter().sum::<f64>(),
            bench.get("h.CMD").as_str()
        ),
        (0.0, "Read")
    );
}

/// With a limit that is no number no class has a width; the reference counts behind its array then.
#[test]
fn a_histogram_without_a_width_counts_nowhere() {
    let mut bench = Bench::new(&[("histogram", "h", &[("NELM", "2"), ("ULIM", "8")])]);
    bench.put("h.ULIM", f64::NAN);
    bench.put("h.SGNL", 1.0);
    assert_eq!(numbers(&bench, "h"), [0.0, 0.0]);
}

#[test]
fn long_texts_keep_their_length() {
    let long = "a text that is longer than the forty bytes of others";
    let mut bench = Bench::new(&[
        ("lso", "out", &[("SIZV", "80"), ("OUT", "in PP")]),
        ("lsi", "in", &[("SIZV", "80")]),
        ("lso", "short", &[("SIZV", "20")]),
    ]);
    bench.put("out", long);
    assert_eq!(
        (bench.get("in").as_str(), bench.number("in.LEN")),
        (long, 53.0)
    );
    bench.put("short", long);
    assert_eq!(
        (bench.get("short").as_str(), bench.number("short.LEN")),
        ("a text that is long", 20.0)
    );
    assert_eq!(bench.try_put("out.OVAL", "x"), Err(PutError::NoMod));
}

#[test]
fn printf_makes_a_text_of_values() {
    let mut bench = Bench::new(&[
        ("longout", "n", &[("VAL", "42")]),
        (
            "printf",
            "p",
            &[
                ("FMT", "%05d is %#x, %-4s|%*.1f %s"),
                ("INP0", "n"),
                ("INP1", "n"),
                ("INP2", "n"),
                ("INP3", "6"),
                ("INP4", "2.25"),
                ("INP5", "gone"),
                ("SIZV", "60"),
                ("OUT", "to PP"),
                ("IVLS", "?"),
            ],
        ),
        ("lsi", "to", &[("SIZV", "60")]),
    ]);
    bench.process("p");
    assert_eq!(bench.get("p"), "00042 is 0x2a, 42  |   2.2 ?");
    assert_eq!(
        (bench.get("to"), bench.number("p.LEN")),
        (bench.get("p"), 29.0)
    );
}
