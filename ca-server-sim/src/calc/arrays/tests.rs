use super::*;
use crate::calc::{MAX_LOOPS, MAX_STEPS};

/// `A` to `C` are 2, -1 and 0.5; `AA` is 1, 2, 3, 4, 5, 6, `BB` is 0, 1, 4, 9, 4, 1 and `CC` 3, 1, -1, -3, 0, 0.
fn with() -> Arrays {
    let mut with = Arrays::new(6);
    with.numbers[..3].copy_from_slice(&[2.0, -1.0, 0.5]);
    with.set(0, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    with.set(1, &[0.0, 1.0, 4.0, 9.0, 4.0, 1.0]);
    with.set(2, &[3.0, 1.0, -1.0, -3.0]);
    with.number = 7.0;
    with
}

fn evaluated(with: &mut Arrays, expression: &str) -> Result<(), Fault> {
    let expression = Expression::parse_arrays(expression).unwrap();
    with.evaluate(&expression, &mut Random::default())
}

fn array(expression: &str) -> Vec<f64> {
    let mut with = with();
    evaluated(&mut with, expression).unwrap_or_else(|fault| panic!("{expression}: {fault}"));
    assert_eq!(with.number, with.result()[0], "{expression}");
    with.result().to_vec()
}

#[track_caller]
fn number(expression: &str, expected: f64) {
    let found = array(expression);
    assert!(
        (found[0] - expected).abs() < 1e-12,
        "{expression} is {}",
        found[0]
    );
    assert!(
        found.iter().all(|element| *element == found[0]),
        "{expression} is a number"
    );
}

#[track_caller]
fn is(expression: &str, expected: [f64; 6]) {
    let found = array(expression);
    let near = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| (found - expected).abs() < 1e-9);
    assert!(near, "{expression} is {found:?}");
}

#[test]
fn elements_are_taken_in_pairs_and_numbers_are_repeated() {
    is("AA+BB", [1.0, 3.0, 7.0, 13.0, 9.0, 7.0]);
    is("2*AA-1", [1.0, 3.0, 5.0, 7.0, 9.0, 11.0]);
    is("AA/CC", [1.0 / 3.0, 2.0, -3.0, -4.0 / 3.0, LARGE, LARGE]);
    is("AA%3", [1.0, 2.0, 0.0, 1.0, 2.0, 0.0]);
    is("AA>3", [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    is("AA>?BB", [1.0, 2.0, 4.0, 9.0, 5.0, 6.0]);
    is("MAX(AA,BB,3)", [3.0, 3.0, 4.0, 9.0, 5.0, 6.0]);
    is("MIN(2,AA)", [1.0, 2.0, 2.0, 2.0, 2.0, 2.0]);
    is("AA^A", [1.0, 4.0, 9.0, 16.0, 25.0, 36.0]);
    is("2^AA", [2.0; 6]);
    is("-CC", [-3.0, -1.0, 1.0, 3.0, 0.0, 0.0]);
    is("ANEG(CC)+APOS(CC)", [3.0, 1.0, -1.0, -3.0, 0.0, 0.0]);
    is("IX", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    is("ARR(A)", [2.0; 6]);
    is("DBL(AA)", [1.0; 6]);
    is("AVAL", [0.0; 6]);
    is("VAL", [7.0; 6]);
    is("@@1+@0", [2.0, 3.0, 6.0, 11.0, 6.0, 3.0]);
    is("DD", [0.0; 6]);
    is("AA?BB:CC", [0.0, 1.0, 4.0, 9.0, 4.0, 1.0]);
    is("LEN(AA)", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
}

#[test]
fn arrays_are_summed_up() {
    number("SUM(AA)", 21.0);
    number("AVG(AA)", 3.5);
    number("STD(AA)", 3.5_f64.sqrt());
    number("AMAX(BB)", 9.0);
    number("AMIN(CC)", -3.0);
    number("IXMAX(BB)", 3.0);
    number("IXMIN(CC)", 3.0);
    number("IXZ(CC)", 1.5);
    number("IXZ(AA)", -1.0);
    number("IXNZ(BB)", 1.0);
    number("IXNZ(DD)", -1.0);
    number("FWHM(BB)", 1.8);
    number("FINITE(AA,BB)", 1.0);
    number("ISNAN(AA)", 0.0);
    number("AVG(3)", 3.0);
    number("STD(3)+FWHM(3)+DERIV(3)", 0.0);
    is("CUM(AA)", [1.0, 3.0, 6.0, 10.0, 15.0, 21.0]);
}

#[test]
fn parts_are_moved_cut_and_joined() {
    is("AA[1,3]", [2.0, 3.0, 4.0, 0.0, 0.0, 0.0]);
    is("AA{1,3}", [0.0, 2.0, 3.0, 4.0, 0.0, 0.0]);
    is("AA[-2,-1]", [5.0, 6.0, 0.0, 0.0, 0.0, 0.0]);
    is("AA[0,99]", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    number("AVG(AA[1,3])", 3.0);
    number("SUM(AA[1,3]+1)", 12.0);
    is("CAT(AA[0,1],BB[2,3])", [1.0, 2.0, 4.0, 9.0, 0.0, 0.0]);
    is("CAT(CAT(AA[0,1],7),8)", [1.0, 2.0, 7.0, 8.0, 0.0, 0.0]);
    is("CAT(AA,7)", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    is("AA>>2", [0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    is("AA<<2", [3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    is("AA>>-2", [3.0, 4.0, 5.0, 6.0, 0.0, 0.0]);
    is("AA>>0.5", [0.5, 1.5, 2.5, 3.5, 4.5, 5.25]);
    is("AA<<0.25", [1.25, 2.25, 3.25, 4.25, 5.25, 6.1875]);
    is("AA>>99", [0.0; 6]);
    number("5<<1", 10.0);
}

#[test]
fn arrays_are_smoothed_fitted_and_derived() {
    is("SMOO(IX=2)", [0.0, 0.0, 0.375, 0.25, 0.0, 0.0]);
    is("NSMOO(IX=2,0)", [0.0, 0.0, 1.0, 0.0, 0.0, 0.0]);
    is("NSMOO(AA,3)", [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    is("DERIV(IX*IX)", [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    is("NDERIV(IX*IX,1)", [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    is(
        "FITPOLY(1+2*IX+3*IX*IX)",
        [1.0, 6.0, 17.0, 34.0, 57.0, 86.0],
    );
    is("FITMPOLY(IX*(IX<5),IX<5)", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    let mut with = with();
    evaluated(&mut with, "FITQ(1+2*IX+3*IX*IX,J,K,@11)").unwrap();
    let found = &with.numbers[9..];
    let near = found
        .iter()
        .zip([1.0, 2.0, 3.0])
        .all(|(found, expected)| (found - expected).abs() < 1e-9);
    assert!(near, "{found:?}");
    evaluated(&mut with, "FITMQ(IX*(IX<5),IX<5,J,K,L)").unwrap();
    assert!((with.numbers[10] - 1.0).abs() < 1e-9);
}

#[test]
fn what_has_no_value_fails() {
    for expression in [
        "SQRT(CC)",
        "LOG(CC)",
        "FITPOLY(AA[0,1])",
        "NDERIV(AA,0)",
        "1/0*1e300",
        "AA[1]",
        "NSMOO(1,1)",
    ] {
        assert_eq!(
            evaluated(&mut with(), expression),
            Err(Fault::Failed),
            "{expression}"
        );
    }
    // A number that is none stays one of the record; the root of a number below 0 is 0.
    number("SQRT(B)", 0.0);
    let mut with = with();
    assert_eq!(evaluated(&mut with, "1e300*1e300"), Err(Fault::Failed));
    assert_eq!(with.number, f64::INFINITY);
}

#[test]
fn assignments_stay_and_are_told() {
    let mut with = with();
    evaluated(
        &mut with,
        "A:=AA[2,2];CC:=IX;@@3:=BB;@1:=5;UNTIL(C:=C+1;C>3)",
    )
    .unwrap();
    assert_eq!(&with.numbers[..3], &[3.0, 5.0, 3.5]);
    assert_eq!(with.get(2), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(with.get(3), with.get(1));
    assert_eq!(with.stored, 0b1100);
}

#[test]
fn what_takes_too_long_is_refused() {
    let length = 1_000_000;
    let mut with = Arrays::new(length);
    with.set(0, &vec![1.0; length]);
    assert_eq!(evaluated(&mut with, "AVG(AA)"), Ok(()));
    assert_eq!(evaluated(&mut with, "AA+1"), Ok(()));
    assert_eq!(evaluated(&mut with, "SIN(AA)"), Err(Fault::TooMuch));
    assert_eq!(
        evaluated(&mut with, "UNTIL(AA:=AA+1;0)"),
        Err(Fault::TooMuch)
    );
    assert_eq!(evaluated(&mut with, "NDERIV(AA,1000)"), Err(Fault::TooMuch));
    assert_eq!(evaluated(&mut with, "NSMOO(AA,1e9)"), Err(Fault::TooMuch));
    // Short ones go round as often as there are loops.
    let mut with = Arrays::new(8);
    assert_eq!(evaluated(&mut with, "UNTIL(A:=A+1;0)"), Ok(()));
    assert_eq!(with.numbers[0], MAX_LOOPS as f64 + 1.0);
    assert!(Fault::TooMuch.to_string().contains(&MAX_STEPS.to_string()));
}
