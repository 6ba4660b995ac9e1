//! Strings of all kinds, and numbers that are none.

use ca_client::{DbrType, Family, NativeType, Value, ValueError};

use super::{
    Bench, Check, Kind, Named, checks, ensure, exact, expect, native, plain, put, read_is, restore,
    same_value,
};
use crate::api::{Api, Channel};
use crate::pvs;

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    checks! { all:
        "string.longest" => longest(bench);
        "string.utf8" => bytes(bench, "grün µm °C".as_bytes());
        "string.not_utf8" => bytes(bench, b"\xff\xfe latin1 \xe9");
        "string.too_long" => too_long(bench);
        "string.as_char_array" => dollar(bench);
        "string.long" => long_string(bench);
        "string.of_each_type" => of_each_type(bench);
        "nan.scalar" => nan_scalar(bench);
        "infinity.scalar" => infinite_scalar(bench);
        "nan.array" => nan_array(bench);
        "char.array" => char_array(bench);
    }
}

async fn longest<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("string").await?;
    let text = "x".repeat(39);
    put(&channel, text.as_str()).await?;
    let outcome = read_is(&channel, &text.into()).await;
    restore(&channel, "hello", outcome).await
}

async fn bytes<A: Api>(bench: Bench<'_, A>, text: &[u8]) -> Check {
    let channel = bench.connect("string").await?;
    put(&channel, Value::string(text)).await?;
    let outcome = read_is(&channel, &Value::string(text)).await;
    restore(&channel, "hello", outcome).await
}

/// Refused before anything is sent.
async fn too_long<A: Api>(bench: Bench<'_, A>) -> Check {
    use ca_client::IntoValue;
    let channel = bench.connect("string").await?;
    let refused = "x".repeat(40).into_value();
    expect("40 bytes", refused.err(), Some(ValueError::TextTooLong(40)))?;
    read_is(&channel, &"hello".into()).await
}

/// The modifier `$`: a string field as an array of `CHAR`.
async fn dollar<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("double.DESC$").await?;
    let connection = channel.info().and_then(|info| info.connection().copied());
    expect(
        "native type",
        connection.map(|c| c.native),
        Some(NativeType::Char),
    )?;
    let got = channel.get(native(Family::Plain)).await?;
    expect("text", got.long_string().as_deref(), Some(pvs::DESCRIPTION))
}

/// More than 40 bytes.
async fn long_string<A: Api>(bench: Bench<'_, A>) -> Check {
    // A record of its own type there, an array of CHAR with us.
    let modifier = match bench.server.kind {
        Kind::RealIoc => "longstring.VAL$",
        _ => "longstring",
    };
    let channel = bench.connect(modifier).await?;
    let got = channel.get(native(Family::Plain)).await?;
    expect("text", got.long_string().as_deref(), Some(pvs::LONG_STRING))?;
    let text = "another text of more than forty characters, written by the client\0";
    put(&channel, Value::array(text.as_bytes())).await?;
    let got = channel.get(native(Family::Plain)).await?;
    let written = expect(
        "text",
        got.long_string().as_deref(),
        Some(text.trim_end_matches('\0')),
    );
    let initial: Vec<u8> = pvs::LONG_STRING.bytes().chain([0]).collect();
    restore(&channel, initial, written).await
}

/// The server formats numbers.
async fn of_each_type<A: Api>(bench: Bench<'_, A>) -> Check {
    for (pv, text) in [
        ("double", "3.250"),
        ("float", "1.500"),
        ("long", "42"),
        ("short", "7"),
        ("char", "65"),
        ("enum", "one"),
        ("enum16", "the full twenty five cha"),
        ("int64", "1099511627776"),
        ("undefined", "0"),
    ] {
        let channel = bench.connect(pv).await?;
        for family in [Family::Plain, Family::Time, Family::Ctrl] {
            let ty = DbrType::new(family, NativeType::String);
            let got = channel.get(exact(ty, 1)).await?;
            expect(pv, got.string(0), Some(text.into()))?;
        }
    }
    Ok(())
}

async fn nan_scalar<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("double").await?;
    put(&channel, f64::NAN).await?;
    let got = channel.get(exact(plain(NativeType::Double), 1)).await;
    let outcome = match got {
        Ok(got) => ensure("no NaN", got.get_f64(0).is_some_and(f64::is_nan)),
        Err(error) => Err(error.into()),
    };
    restore(&channel, 3.25, outcome).await
}

async fn infinite_scalar<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("float").await?;
    let infinite: Value = match bench.server.kind.has_float() {
        true => f32::INFINITY.into(),
        false => f64::INFINITY.into(),
    };
    put(&channel, infinite.clone()).await?;
    let outcome = read_is(&channel, &infinite).await;
    restore(&channel, 1.5f32, outcome).await
}

async fn nan_array<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 5e-324];
    put(&channel, values).await?;
    // The same bits, not only the same numbers.
    let outcome = read_is(&channel, &values.into()).await;
    restore(&channel, pvs::ramp(5), outcome).await
}

async fn char_array<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wfchar").await?;
    let text = Value::array(b"canter");
    put(&channel, text.clone()).await?;
    let got = channel.get(exact(plain(NativeType::Char), 6)).await?;
    same_value(&got, &text)
}
