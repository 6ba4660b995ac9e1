//! Writing: each type, conversions, completion, refusals, access rights.

use std::time::{Duration, Instant};

use ca_client::{AccessRights, DbrType, EcaStatus, EnumIndex, Family, NativeType, PutError, Value};

use super::{
    Bench, Check, Named, Stop, checks, ensure, expect, native, plain, put, read_becomes, read_is,
    refused, restore,
};
use crate::api::{Api, Channel, TIMEOUT};
use crate::pvs::{SCALARS, Scalar};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    for scalar in SCALARS {
        checks! { all: format!("write.{}", scalar.name) => write(bench, scalar); }
    }
    for scalar in SCALARS {
        checks! { all: format!("put.{}", scalar.name) => write_notify(bench, scalar); }
    }
    checks! { all:
        "write.as_string" => as_string(bench);
        "write.base_prefix" => base_prefix(bench);
        "write.not_a_number" => not_a_number(bench);
        "write.enum_label" => enum_label(bench);
        "write.converted" => converted(bench);
        "put.slow" => slow(bench);
        "put.two_at_once" => two_at_once(bench);
        "put.timeout" => timeout(bench);
        "readonly.refused" => readonly(bench);
        "disabled.refused" => disabled(bench);
        "rights.change" => rights_change(bench);
    }
}

async fn write<A: Api>(bench: Bench<'_, A>, scalar: Scalar) -> Check {
    let channel = bench.connect(scalar.name).await?;
    channel.put(plain(scalar.native), scalar.written()).await?;
    let outcome = read_becomes(&channel, &scalar.written()).await;
    restore(&channel, scalar.initial(), outcome).await
}

async fn write_notify<A: Api>(bench: Bench<'_, A>, scalar: Scalar) -> Check {
    let channel = bench.connect(scalar.name).await?;
    put(&channel, scalar.written()).await?;
    let outcome = read_is(&channel, &scalar.written()).await;
    restore(&channel, scalar.initial(), outcome).await
}

/// Puts a value of another type, sees what became of it and puts the initial value back.
async fn converts<A: Api>(
    bench: Bench<'_, A>,
    pv: &str,
    value: impl Into<Value>,
    wanted: impl Into<Value>,
) -> Check {
    let channel = bench.connect(pv).await?;
    let initial = channel.get(native(Family::Plain)).await?.to_value();
    put(&channel, value).await?;
    let outcome = read_is(&channel, &wanted.into()).await;
    restore(&channel, initial, outcome).await
}

async fn as_string<A: Api>(bench: Bench<'_, A>) -> Check {
    converts(bench, "double", "2.5", 2.5).await?;
    if bench.server.kind.has_float() {
        converts(bench, "float", "-0.125", -0.125f32).await?;
    }
    converts(bench, "long", "-17", -17).await?;
    converts(bench, "short", "-17", -17i16).await?;
    converts(bench, "char", "17", 17u8).await?;
    converts(bench, "string", "text", "text").await
}

/// PROTOCOL.md, "Facts verified on the wire".
async fn base_prefix<A: Api>(bench: Bench<'_, A>) -> Check {
    converts(bench, "long", "0x10", 16).await?;
    converts(bench, "long", "010", 8).await?;
    converts(bench, "short", " -0x1F", -31i16).await?;
    converts(bench, "char", "0x1f", 31u8).await?;
    converts(bench, "double", "0x10", 16.0).await?;
    converts(bench, "double", "010", 10.0).await?;
    converts(bench, "enum", "0x3", EnumIndex(3)).await
}

async fn not_a_number<A: Api>(bench: Bench<'_, A>) -> Check {
    for (pv, text) in [
        ("double", "x"),
        ("double", "1e999"),
        ("long", " "),
        ("short", "32768"),
        ("char", "256"),
        ("enum", "four"),
        ("enum", "99"),
    ] {
        let channel = bench.connect(pv).await?;
        let before = channel.get(native(Family::Plain)).await?.to_value();
        let outcome = refused(put(&channel, text).await, EcaStatus::PUTFAIL);
        outcome.map_err(|stop| stop.about(format!("{text:?} to {pv}")))?;
        read_is(&channel, &before).await?;
    }
    Ok(())
}

async fn enum_label<A: Api>(bench: Bench<'_, A>) -> Check {
    converts(bench, "enum", "three", EnumIndex(3)).await
}

async fn converted<A: Api>(bench: Bench<'_, A>) -> Check {
    converts(bench, "double", 7i16, 7.0).await?;
    converts(bench, "long", 3.99, 3).await?;
    converts(bench, "long", -3.99, -3).await?;
    converts(bench, "short", 65_537, 1i16).await?;
    converts(bench, "string", 1.25, "1.250000").await?;
    converts(bench, "string", 42i32, "42").await?;
    converts(bench, "float", 0.1, 0.1f32).await?;
    converts(bench, "enum", 3i32, EnumIndex(3)).await
}

async fn slow<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("slow").await?;
    let start = Instant::now();
    put(&channel, 1.0).await?;
    took(start, 0.5)
}

fn took(start: Instant, least: f64) -> Check {
    let took = start.elapsed().as_secs_f64();
    let what = format!("completed after {took:.2} s, expected at least {least} s");
    ensure(what, took >= least)
}

/// Both are completed, the second not before the first.
async fn two_at_once<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("slow").await?;
    let start = Instant::now();
    let [first, second] = bench.api.put_both(&channel, 1.0, 2.0).await?;
    ensure(format!("{first:?} and {second:?}"), first <= second)?;
    took(start, 0.8)?;
    read_is(&channel, &2.0.into()).await
}

/// The write is made, only its completion is not waited for; the late answer disturbs nobody.
async fn timeout<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("slow").await?;
    let limit = Duration::from_millis(100);
    let impatient = channel.put_within(limit, plain(NativeType::Double), 3.0.into());
    match impatient.await {
        Err(PutError::TimedOut(_)) => {}
        other => return Err(Stop::failed(format!("{other:?}"))),
    }
    put(&channel, 4.0).await?;
    read_is(&channel, &4.0.into()).await
}

async fn readonly<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("ro").await?;
    let rights = channel.info().map(|info| info.rights());
    expect("access rights", rights, Some(AccessRights::READ))?;
    for outcome in [
        put(&channel, 3.5).await,
        channel.put(DbrType(6), 3.5.into()).await,
    ] {
        match outcome {
            Err(PutError::NoAccess(_)) => {}
            other => return Err(Stop::failed(format!("{other:?}"))),
        }
    }
    read_is(&channel, &2.5.into()).await
}

/// DISP: the server itself refuses.
async fn disabled<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("disabled").await?;
    refused(put(&channel, 3.5).await, EcaStatus::PUTFAIL)?;
    read_is(&channel, &1.0.into()).await
}

async fn rights_change<A: Api>(bench: Bench<'_, A>) -> Check {
    let gate = bench.connect("gate").await?;
    let gated = bench.connect("gated").await?;
    let outcome = gated_by(&gate, &gated).await;
    restore(&gate, EnumIndex(0), outcome).await?;
    rights_become(&gated, AccessRights::READ).await
}

async fn gated_by<C: Channel>(gate: &C, gated: &C) -> Check {
    rights_become(gated, AccessRights::READ).await?;
    match put(gated, 3.5).await {
        Err(PutError::NoAccess(_)) => {}
        other => return Err(Stop::failed(format!("{other:?}"))),
    }
    put(gate, EnumIndex(1)).await?;
    rights_become(gated, AccessRights::ALL).await?;
    put(gated, 3.5).await?;
    read_is(gated, &3.5.into()).await?;
    put(gated, 2.5).await?;
    Ok(())
}

/// Waits until the server grants just these rights. Reads in between let the client work.
async fn rights_become<C: Channel>(channel: &C, rights: AccessRights) -> Check {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        channel
            .get(super::exact(plain(NativeType::Double), 1))
            .await?;
        let found = channel.info().map(|info| info.rights());
        if found == Some(rights) || Instant::now() > deadline {
            return expect("access rights", found, Some(rights));
        }
    }
}
