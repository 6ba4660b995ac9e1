//! Connecting and reading: each native type in each family.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ca_client::{
    AccessRights, Alarm, AlarmSeverity, ConnectError, DbrType, Family, GetError, NativeType, Phase,
    Reading,
};
use ca_proto::dbr::Range;

use super::{Bench, Check, Kind, Named, Stop, checks, ensure, exact, expect, native, same_value};
use crate::api::{Api, Channel};
use crate::pvs::{self, SCALARS, Scalar};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    checks! { all:
        "connect" => connect(bench);
    }
    for family in Family::ALL {
        for scalar in SCALARS {
            let name = format!("read.{family:?}.{}", scalar.name).to_lowercase();
            checks! { all: name => read(bench, scalar, family); }
        }
    }
    checks! { all:
        "read.class_name" => class_name(bench);
        "read.field" => field(bench);
        "read.undefined" => undefined(bench);
        "read.no_access" => no_access(bench);
        "unknown.timeout" => unknown(bench);
        "name.60" => long_name(bench);
        "name.60.field" => long_name_with_field(bench);
    }
}

async fn connect<A: Api>(bench: Bench<'_, A>) -> Check {
    for scalar in SCALARS {
        if scalar.native == NativeType::Float && !bench.server.kind.has_float() {
            continue;
        }
        let channel = bench.connect(scalar.name).await?;
        let info = channel
            .info()
            .ok_or_else(|| Stop::failed("no information"))?;
        let connection = info
            .connection()
            .ok_or_else(|| Stop::failed("not connected"))?;
        expect("native type", connection.native, scalar.native)?;
        expect("element count", connection.count, 1)?;
        expect("server", connection.server, bench.server.address)?;
        expect("access rights", connection.rights, AccessRights::ALL)?;
    }
    Ok(())
}

async fn read<A: Api>(bench: Bench<'_, A>, scalar: Scalar, family: Family) -> Check {
    let channel = bench.connect(scalar.name).await?;
    let got = channel.get(native(family)).await?;
    expect("type", got.ty(), DbrType::new(family, scalar.native))?;
    expect("count", got.count(), 1)?;
    same_value(&got, &scalar.initial())?;
    let alarm = (family != Family::Plain).then_some(Alarm::NONE);
    expect("alarm", got.alarm(), alarm)?;
    match family {
        Family::Plain | Family::Sts => Ok(()),
        Family::Time => stamp_is_recent(&got),
        Family::Gr | Family::Ctrl => metadata(bench.server.kind, scalar, family, &got),
    }
}

fn stamp_is_recent(got: &Reading) -> Check {
    let stamp = got
        .timestamp()
        .ok_or_else(|| Stop::failed("no time stamp"))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let age = now.unwrap_or_default().as_secs_f64() - stamp.to_unix().as_secs_f64();
    let what = format!("the time stamp is {age} s old");
    ensure(what, (-5.0..86_400.0).contains(&age))
}

fn metadata(kind: Kind, scalar: Scalar, family: Family, got: &Reading) -> Check {
    let name = scalar.name;
    if scalar.native == NativeType::Enum {
        let states = got.states().ok_or_else(|| Stop::failed("no states"))?;
        let states: Vec<_> = states.iter().map(String::from_utf8_lossy).collect();
        return expect("states", states, pvs::STATES.map(Into::into).to_vec());
    }
    let Some(display) = scalar.display else {
        return expect("units", got.units(), None);
    };
    expect(
        "units",
        got.units().map(|u| u.to_string()),
        Some(pvs::UNITS.into()),
    )?;
    let precision = scalar.native.is_real().then_some(pvs::PRECISION);
    expect("precision", got.precision(), precision)?;
    let limits = got.limits().ok_or_else(|| Stop::failed("no limits"))?;
    let same = |what: &str, found: Range, (lower, upper)| {
        expect(what, (found.lower, found.upper), (lower, upper))
    };
    same("display limits", limits.display, display)?;
    if name == "double" {
        same("alarm limits", limits.alarm, pvs::ALARM)?;
        same("warning limits", limits.warning, pvs::WARNING)?;
    }
    if family != Family::Ctrl {
        return ensure("control limits without CTRL", limits.control.lower.is_nan());
    }
    match (name, kind) {
        ("double", Kind::RealIoc | Kind::Simulated | Kind::Caproto) => {
            same("control limits", limits.control, pvs::CONTROL)
        }
        ("long", Kind::RealIoc | Kind::Simulated) => {
            same("control limits", limits.control, pvs::CONTROL_LONG)
        }
        _ => Ok(()),
    }
}

async fn class_name<A: Api>(bench: Bench<'_, A>) -> Check {
    for (pv, class) in [("double", "ao"), ("enum", "mbbo"), ("wf5", "waveform")] {
        let channel = bench.connect(pv).await?;
        let got = channel.get(exact(DbrType::CLASS_NAME, 1)).await?;
        expect(pv, got.string(0), Some(class.into()))?;
    }
    Ok(())
}

async fn field<A: Api>(bench: Bench<'_, A>) -> Check {
    for (field, text) in [
        ("double.EGU", pvs::UNITS),
        ("double.PREC", "3"),
        ("double.HOPR", "100.0"),
        ("double.DESC", pvs::DESCRIPTION),
        ("double.RTYP", "ao"),
        ("double.VAL", "3.25"),
    ] {
        let channel = bench.connect(field).await?;
        let got = channel.get(native(Family::Plain)).await?;
        expect(field, got.string(0), Some(text.into()))?;
    }
    Ok(())
}

async fn undefined<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("undefined").await?;
    let got = channel.get(native(Family::Time)).await?;
    expect("alarm", got.alarm(), Some(Alarm::UNDEFINED))?;
    let never = got.timestamp().is_some_and(|stamp| stamp.is_undefined());
    ensure("it has a time stamp", never)?;
    expect(
        "severity",
        got.alarm().map(|a| a.severity),
        Some(AlarmSeverity::INVALID),
    )
}

async fn no_access<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("noaccess").await?;
    let rights = channel.info().map(|info| info.rights());
    expect("access rights", rights, Some(AccessRights::NONE))?;
    match channel.get(native(Family::Plain)).await {
        Err(GetError::NoAccess(_)) => Ok(()),
        Err(error) => Err(error.into()),
        Ok(got) => Err(Stop::failed(format!("it could be read: {got:?}"))),
    }
}

async fn unknown<A: Api>(bench: Bench<'_, A>) -> Check {
    let limit = Duration::from_millis(600);
    let start = Instant::now();
    let channel = bench.open("no:such:pv")?;
    let error = match channel.connected(limit).await {
        Err(ConnectError::TimedOut(context)) => context,
        Err(error) => return Err(error.into()),
        Ok(()) => return Err(Stop::failed("it connected")),
    };
    let took = start.elapsed();
    ensure(format!("gave up after {took:?}"), took >= limit)?;
    let text = ConnectError::TimedOut(error.clone()).to_string();
    for part in [bench.name("no:such:pv"), bench.server.address.to_string()] {
        ensure(
            format!("the error does not name {part}: {text}"),
            text.contains(&part),
        )?;
    }
    match error.phase {
        Phase::Searching { attempts, .. } => ensure("it did not search", attempts > 0),
        phase => Err(Stop::failed(format!("phase {phase}"))),
    }
}

async fn long_name<A: Api>(bench: Bench<'_, A>) -> Check {
    let name = pvs::long_name(&bench.server.prefix);
    expect("length", name.len(), 60)?;
    let channel = bench.api.open(name.as_bytes())?;
    let got = channel.get(native(Family::Plain)).await?;
    expect("value", got.string(0), Some("sixty".into()))
}

async fn long_name_with_field<A: Api>(bench: Bench<'_, A>) -> Check {
    let name = format!("{}.RTYP", pvs::long_name(&bench.server.prefix));
    let channel = bench.api.open(name.as_bytes())?;
    let got = channel.get(native(Family::Plain)).await?;
    expect("value", got.string(0), Some("stringout".into()))
}
