use super::*;
use crate::calc::CalcErrorKind;

/// `A` to `D` are 1.5, 2, -3 and 0, `AA` to `DD` "abc", "abcabc", "x=-12.5 mm" and "\x01\xff".
fn with() -> Texts {
    let mut with = Texts::default();
    with.numbers[..4].copy_from_slice(&[1.5, 2.0, -3.0, 0.0]);
    for (to, text) in with
        .texts
        .iter_mut()
        .zip(["abc", "abcabc", "x=-12.5 mm", r"\x01\xff"])
    {
        *to = text.into();
    }
    (with.number, with.text, with.precision) = (7.0, b"old".to_vec(), 2);
    with
}

/// The text that an expression gives, or why there is none.
fn text(expression: &str) -> String {
    let mut with = with();
    let parsed = match Expression::parse_texts(expression) {
        Ok(parsed) => parsed,
        Err(error) => return format!("error {}", error.kind.number()),
    };
    match with.evaluate(&parsed, &mut Random::default()) {
        Ok(()) => String::from_utf8_lossy(&with.text).into_owned(),
        Err(fault) => format!("{fault:?}"),
    }
}

fn check(all: &[(&str, &str)]) {
    for (expression, expected) in all {
        assert_eq!(text(expression), *expected, "{expression}");
    }
}

#[test]
fn numbers_alone_have_the_digits_of_the_record() {
    check(&[
        ("A*B", "3.00"),
        ("2**3+1", "9.00"),
        ("A>?B", "2.00"),
        ("A<?C", "-3.00"),
        ("1/3", "0.33"),
        ("1/0", "Failed"),
        ("7%0", "Failed"),
        ("SQRT(C)", "Failed"),
        ("LOG(C)", "Failed"),
        ("INF", "Failed"),
        ("1e-12=0", "1.00"),
        ("1e-12>0", "0.00"),
        ("INT(A)", "2.00"),
        ("1e10|1", "10000000001.00"),
        ("BYTE(A)", "1.50"),
        ("@1", "2.00"),
        ("@99", "0.00"),
        ("VAL", "7.00"),
        ("A?B:C", "2.00"),
        ("D?B:C", "-3.00"),
        ("MAX(A,B,C)", "2.00"),
        ("R2S*S2R", "1.00"),
        ("A|-B", "Failed"),
        ("0x1F", "31.00"),
    ]);
}

#[test]
fn texts_are_joined_compared_and_taken_apart() {
    check(&[
        ("AA+'-'+\"x\"", "abc-x"),
        ("AA+1", "1.00000000"),
        ("'12'+1", "13.00000000"),
        ("BB-AA", "abc"),
        ("BB-|'bc'", "aabc"),
        ("BB|-'bc'", "abca"),
        ("AA|-'abc'", "abc"),
        ("AA<BB", "1.00000000"),
        ("AA='abc'", "1.00000000"),
        ("AA#'abc'", "0.00000000"),
        ("AA>?BB", "abcabc"),
        ("AA<?BB", "abc"),
        ("MAX(AA,BB,'b')", "b"),
        ("MIN(AA,BB)", "abc"),
        ("MAX(AA,3)", "3.00000000"),
        ("BB[1,3]", "bca"),
        ("BB[-2,-1]", "bc"),
        ("CC['=',' ']", "-12.5"),
        ("CC['=','']", "-12.5 mm"),
        ("CC['?','?']", "x=-12.5 mm"),
        ("BB[4,2]", ""),
        ("BB{'bc','XYZ'}", "aXYZabc"),
        ("BB{'?','!'}", "abcabc"),
        ("BB{'','!'}", "!abcabc"),
        ("AA<<1", "bc"),
        ("AA>>1", " abc"),
        ("LEN(BB)", "6.00000000"),
        ("LEN(12)", "11.00000000"),
        ("DBL(CC)", "-12.50000000"),
        ("INT(CC)", "-13.00000000"),
        ("ABS(CC)+LEN('')", "0.00000000"),
        ("BYTE('A')+LEN('')", "65.00000000"),
        ("STR(A)", "1.50000000"),
        ("SVAL+'!'", "old!"),
        ("@@1", "abcabc"),
        ("@@99", ""),
        (
            "'0123456789012345678901234567890123456789'+'x'",
            "012345678901234567890123456789012345678",
        ),
    ]);
}

#[test]
fn formats_write_and_read() {
    check(&[
        ("PRINTF('%d of %%', 3.7)", "4 of %"),
        ("$P('%05.1f', A)", "001.5"),
        ("$P('%s!', AA)", "abc!"),
        ("$P('%x', 255)", "ff"),
        ("$P('%hd', 65537)", "1"),
        ("$P('none', 1)", "none"),
        ("$P('%d %d', 1)", "Failed"),
        ("$P('%*d', 1)", "Failed"),
        ("$P(1, 1)", "Failed"),
        ("SSCANF(CC, 'x=%f')", "-12.50000000"),
        ("$S(CC, 'x=%d')", "-12.00000000"),
        ("$S('0x1f', '%x')", "31.00000000"),
        ("$S('017', '%i')", "15.00000000"),
        ("$S('a,b', '%[^,]')", "a"),
        ("$S('a 12', '%*s %d')", "12.00000000"),
        ("$S('abc', '%2c')", "ab"),
        ("$S('70000', '%hd')", "4464.00000000"),
        ("$S('abc', '%d')", "Failed"),
        ("$S('1 2', '%d %d')", "Failed"),
        ("$S('1', 'none')", "Failed"),
        ("WRITE('%hd', 258)", r"\x02\x01"),
        ("$W('%f', 1)", r"\0\0\x80?"),
        ("$W('%s', 1)", "Failed"),
        ("$R('\\x02\\x01', '%hd')", "258.00000000"),
        ("$R('\\x02\\x01\\x03\\0', '%*2c%hd')", "3.00000000"),
        ("READ($W('%lf', A), '%lf')", "1.50000000"),
    ]);
}

#[test]
fn bytes_have_escapes_and_check_sums() {
    check(&[
        ("ESC(TR_ESC('a\\tb'))", "a\\tb"),
        ("LEN($T('\\x41\\x42'))", "2.00000000"),
        ("$E('a')", "a"),
        ("CRC16('\\x01\\x03\\0\\0\\0\\x0a')", r"\xc5\xcd"),
        ("MODBUS('a')", "a\\x7e\\xa8"),
        ("LRC('F7031389000A')", "60"),
        ("AMODBUS('F7031389000A')", ":F7031389000A60"),
        ("XOR8('\\x01\\x03')", r"\x02"),
        ("ADD_XOR8('ab')", r"ab\x03"),
        ("CRC16('')", ""),
    ]);
}

#[test]
fn assignments_stay_and_loops_end() {
    let mut texts = with();
    let expression =
        Expression::parse_texts("BB:=AA+'!';@2:=LEN(BB);@@3:=C;UNTIL(A:=A+1;A>100)").unwrap();
    texts.evaluate(&expression, &mut Random::default()).unwrap();
    assert_eq!(texts.texts[1], b"abc!");
    assert_eq!((texts.numbers[0], texts.numbers[2]), (100.5, 4.0));
    assert_eq!(texts.texts[3], b"4.00000000");
    let mut texts = with();
    let endless = Expression::parse_texts("UNTIL(A:=A+1;0)").unwrap();
    texts.evaluate(&endless, &mut Random::default()).unwrap();
    assert_eq!(
        texts.numbers[0],
        1.5 + crate::calc::MAX_LOOPS as f64 + 1.0,
        "the last round is not repeated"
    );
}

#[test]
fn mistakes_are_told_with_the_reference_s_numbers() {
    check(&[
        ("", "error 12"),
        ("  ", "error 8"),
        ("A B", "error 11"),
        ("A;B", "error 8"),
        ("A:=B?C:D", "error 9"),
        ("1:=2", "error 3"),
        ("A,B", "error 4"),
        ("A)", "error 5"),
        ("(A", "error 6"),
        ("A?B", "error 7"),
        ("AA]", "error 14"),
        ("AA}", "error 15"),
        ("(AA[1,2]", "error 6"),
        ("Q", "error 11"),
        ("FMOD(A,B)", "error 11"),
        ("A>>>B", "error 11"),
        // Brackets are closed by what is around them.
        ("AA[1,2", "bc"),
        ("(AA[1,2)", "bc"),
        ("AA[1]", "Failed"),
    ]);
    let error = Expression::parse_texts("AA+Q").unwrap_err();
    assert_eq!((error.kind, error.at), (CalcErrorKind::Syntax, 3));
    let many = "UNTIL(1)+".repeat(11) + "1";
    assert_eq!(text(&many), "error 10");
}

#[test]
fn an_expression_of_another_dialect_has_no_value() {
    let other = Expression::parse("A").unwrap();
    assert_eq!(
        with().evaluate(&other, &mut Random::default()),
        Err(Fault::Failed)
    );
    let texts = Expression::parse_texts("AA").unwrap();
    let value = texts.evaluate(
        &mut [0.0; crate::calc::ARGUMENTS],
        0.0,
        &mut Random::default(),
    );
    assert_eq!(value, None);
}
