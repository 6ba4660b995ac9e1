//! Arrays: lengths from 0 to a million, counts below and above, every type.

use ca_client::{Family, GetError, NativeType, OpError, PutError, Value};

use super::{
    Bench, Check, Named, Stop, checks, exact, expect, native, plain, put, read_is, restore,
    same_value,
};
use crate::api::{Api, Channel};
use crate::pvs::{ARRAYS, arrays_of_each_type, ramp};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    for (name, length, capacity) in ARRAYS.into_iter().filter(|(name, ..)| *name != "wf9k") {
        checks! { all: format!("array.{length}") => read(bench, name, length, capacity); }
    }
    for (name, value) in arrays_of_each_type() {
        checks! { all:
            format!("array.read.{name}") => read_type(bench, name, value.clone());
            format!("array.write.{name}") => write_type(bench, name, value);
        }
    }
    checks! { all:
        "array.extended_header" => extended(bench);
        "array.write" => write(bench);
        "array.write_fewer" => write_fewer(bench);
        "array.write_70000" => write_large(bench, "wf70k", 70_000);
        "array.write_1000000" => write_large(bench, "wf1m", 1_000_000);
        "count.less" => count_less(bench);
        "count.more_refused" => count_more(bench);
        "count.padded" => count_padded(bench);
    }
}

async fn read<A: Api>(bench: Bench<'_, A>, name: &str, length: u32, capacity: u32) -> Check {
    let channel = bench.connect(name).await?;
    let count = channel
        .info()
        .and_then(|info| info.connection().map(|c| c.count));
    expect("capacity", count, Some(capacity))?;
    for family in [Family::Plain, Family::Time] {
        let got = channel.get(native(family)).await?;
        expect("elements", got.count(), length)?;
        same_value(&got, &ramp(length).into())?;
    }
    Ok(())
}

/// 72 000 bytes, where the count alone would not need the extended header.
async fn extended<A: Api>(bench: Bench<'_, A>) -> Check {
    read(bench, "wf9k", 9_000, 9_000).await
}

async fn read_type<A: Api>(bench: Bench<'_, A>, name: &str, value: Value) -> Check {
    let channel = bench.connect(name).await?;
    read_is(&channel, &value).await?;
    let got = channel.get(native(Family::Ctrl)).await?;
    same_value(&got, &value)
}

async fn write<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let written = Value::from([5.0, 6.0, 7.0, 8.0, 9.0]);
    put(&channel, written.clone()).await?;
    let outcome = read_is(&channel, &written).await;
    restore(&channel, ramp(5), outcome).await
}

async fn write_type<A: Api>(bench: Bench<'_, A>, name: &str, initial: Value) -> Check {
    let channel = bench.connect(name).await?;
    let written = match initial.native() {
        NativeType::String => Value::strings(&["a", "", "ccc", "dddd"]),
        NativeType::Short => [-1i16, i16::MIN, i16::MAX, 0, 1].into(),
        NativeType::Float => [-1.5f32, f32::MIN, f32::MAX, f32::MIN_POSITIVE, 0.0].into(),
        NativeType::Enum => [9, 8, 7, 65_535, 0].map(ca_client::EnumIndex).into(),
        NativeType::Char => [255u8, 128, 127, 1, 0].into(),
        NativeType::Long => [-1, i32::MIN, i32::MAX, 0, 1].into(),
        NativeType::Double => [-1.5, f64::MIN, f64::MAX, f64::MIN_POSITIVE, 0.0].into(),
    };
    put(&channel, written.clone()).await?;
    let outcome = read_is(&channel, &written).await;
    restore(&channel, initial, outcome).await
}

/// A waveform becomes as long as what is written.
async fn write_fewer<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let written = Value::from([7.0, 8.0]);
    put(&channel, written.clone()).await?;
    let outcome = read_is(&channel, &written).await;
    restore(&channel, ramp(5), outcome).await
}

async fn write_large<A: Api>(bench: Bench<'_, A>, name: &str, length: u32) -> Check {
    let channel = bench.connect(name).await?;
    let written = Value::from((0..length).map(|n| -f64::from(n)).collect::<Vec<_>>());
    put(&channel, written.clone()).await?;
    let outcome = read_is(&channel, &written).await;
    restore(&channel, ramp(length), outcome).await
}

async fn count_less<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let got = channel.get(exact(plain(NativeType::Double), 3)).await?;
    same_value(&got, &ramp(3).into())
}

/// As libca, our client refuses more elements than the channel has.
async fn count_more<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf5").await?;
    let refused = OpError::BadCount {
        asked: 10,
        available: 5,
    };
    match channel.get(exact(plain(NativeType::Double), 10)).await {
        Err(GetError::BadRequest { reason, .. }) => expect("read", reason, refused)?,
        other => return Err(Stop::failed(format!("read: {other:?}"))),
    }
    match put(&channel, ramp(10)).await {
        Err(PutError::BadRequest { reason, .. }) => expect("write", reason, refused),
        other => Err(Stop::failed(format!("write: {other:?}"))),
    }
}

/// An exact count gives that many elements, zeros behind those that the array holds.
async fn count_padded<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("wf0").await?;
    let got = channel.get(exact(plain(NativeType::Double), 4)).await?;
    same_value(&got, &Value::from([0.0; 4]))
}
