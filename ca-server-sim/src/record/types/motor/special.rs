//! What else happens when a field of a `motor` record is written, and what its start makes of the file.

use super::*;

/// Speeds of a second and of a revolution.
const SPEEDS: [(u16, u16); 4] = [(VBAS, SBAS), (VMAX, SMAX), (VELO, S), (BVEL, SBAK)];

pub(super) fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if after { written(cx, field) } else { before(cx, field) }
}

fn before(cx: &mut Cx<'_>, field: u16) -> Result<(), PutError> {
    match field {
        VAL | DVAL | RVAL | RLV | TWF | TWR => {
            let disabled = cx.i32(common::DISA) == cx.i32(common::DISV);
            if !disabled && is(cx, DMOV) {
                // Even if it does not move: who waits for DMOV sees that it was done.
                cx.set_u16(DMOV, 0);
                tell(cx, DMOV);
            }
            Ok(())
        }
        HOMF | HOMR if cx.u16(MIP) & mip::HOME != 0 => Err(PutError::Refused),
        STUP if cx.u16(STUP) != stup::OFF => Err(PutError::Refused),
        _ => Ok(()),
    }
}

fn written(cx: &mut Cx<'_>, field: u16) -> Result<(), PutError> {
    match field {
        VBAS | SBAS | VMAX | SMAX | VELO | S | BVEL | SBAK => speed_written(cx, field),
        ACCL => {
            if cx.f64(ACCL) <= 0.0 {
                correct(cx, ACCL, 0.1);
            }
            acceleration_of_time(cx);
        }
        ACCS => {
            if cx.f64(ACCS) <= 0.0 {
                acceleration_of_time(cx);
            }
            time_of_acceleration(cx);
        }
        BACC if cx.f64(BACC) <= 0.0 => correct(cx, BACC, 0.1),
        RDBD | BDST => least_deadband(cx),
        DIR => {
            let dial = cx.f64(DVAL) * direction(cx);
            if is(cx, FOFF) {
                let value = dial + cx.f64(OFF);
                assign(cx, VAL, value);
            } else {
                let offset = cx.f64(VAL) - dial;
                assign(cx, OFF, offset);
            }
            show_readback(cx);
            user_limits(cx);
        }
        OFF => {
            let (direction, offset) = (direction(cx), cx.f64(OFF));
            let (value, last) = (cx.f64(DVAL), cx.f64(LDVL));
            assign(cx, VAL, value * direction + offset);
            cx.set(LVAL, last * direction + offset);
            show_readback(cx);
            user_limits(cx);
        }
        HLM | LLM => user_limit_written(cx, field),
        DHLM | DLLM => dial_limits(cx),
        FRAC => {
            let fraction = cx.f64(FRAC).clamp(f64::from(0.1f32), 1.5);
            if cx.f64(FRAC) != fraction {
                cx.set(FRAC, fraction);
                tell(cx, FRAC);
            }
        }
        MRES | UREV | SREV => resolution_written(cx, field),
        ERES => {
            if cx.f64(ERES) == 0.0 {
                cx.copy(MRES, ERES);
            }
            mark(cx, ERES);
        }
        UEIP if is(cx, UEIP) && is(cx, URIP) => correct(cx, URIP, 0.0),
        URIP if is(cx, URIP) && is(cx, UEIP) => assign(cx, UEIP, 0i16),
        SSET | SUSE => {
            cx.set_u16(SET, (field == SSET).into());
            tell(cx, SET);
        }
        FOF | VOF => {
            cx.set_u16(FOFF, (field == FOF).into());
            tell(cx, FOFF);
        }
        JOGF | JOGR => {
            let mip = cx.u16(MIP);
            let blocked = is(cx, if field == JOGF { HLS } else { LLS });
            if !is(cx, field) {
                cx.set(MIP, Val::UShort(mip & !mip::JOG_REQ));
            } else if mip == mip::DONE && !blocked {
                cx.set(MIP, Val::UShort(mip::JOG_REQ));
            }
        }
        JVEL => {
            in_range(cx, JVEL, VBAS, VMAX);
            if cx.u16(MIP) & (mip::JOGF | mip::JOGR) != 0 {
                work::start_jog(cx);
            }
        }
        JAR if cx.f64(JAR) <= 0.0 => {
            let rate = cx.f64(JVEL) / 0.1;
            cx.set(JAR, rate);
        }
        HVEL => in_range(cx, HVEL, VBAS, VMAX),
        STUP if cx.u16(STUP) != stup::ON => {
            cx.set_u16(STUP, stup::OFF);
            tell(cx, STUP);
            return Err(PutError::Refused);
        }
        NTMF if cx.u16(NTMF) < 2 => {
            correct(cx, NTMF, 2.0);
            return Err(PutError::Refused);
        }
        _ => {}
    }
    Ok(())
}

/// Keeps a speed between two others; 0 is no upper limit (`range_check`).
fn in_range(cx: &mut Cx<'_>, field: u16, low: u16, high: u16) {
    let (low, high) = (cx.f64(low), cx.f64(high));
    let mut value = cx.f64(field).max(low);
    if high != 0.0 {
        value = value.min(high);
    }
    correct(cx, field, value);
}

/// A speed of a second makes one of a revolution, or the other way round.
fn pair(cx: &mut Cx<'_>, from: u16, to: u16, by_second: bool) {
    let size = cx.f64(UREV).abs();
    let value = cx.f64(from);
    if !by_second {
        correct(cx, to, value * size);
    } else if size != 0.0 {
        correct(cx, to, value / size);
    }
}

fn speed_written(cx: &mut Cx<'_>, field: u16) {
    let Some(&(second, revolution)) = SPEEDS.iter().find(|(a, b)| [*a, *b].contains(&field)) else {
        return;
    };
    let by_second = field == second;
    let bound = matches!(second, VBAS | VMAX);
    if bound {
        if cx.f64(field) < 0.0 {
            correct(cx, field, 0.0);
        }
    } else if by_second {
        in_range(cx, field, VBAS, VMAX);
    } else {
        in_range(cx, field, SBAS, SMAX);
    }
    pair(cx, field, if by_second { revolution } else { second }, by_second);
    if matches!(second, VBAS | VELO) {
        if cx.u16(ACCU) == 1 { time_of_acceleration(cx) } else { acceleration_of_time(cx) }
    }
    if !bound {
        return;
    }
    let (base, top) = (cx.f64(VBAS), cx.f64(VMAX));
    if top != 0.0 && base > top {
        // The one that was written counts.
        let pairs = if second == VMAX { [(VMAX, VBAS), (SMAX, SBAS)] } else { [(VBAS, VMAX), (SBAS, SMAX)] };
        for (from, to) in pairs {
            let value = cx.f64(from);
            correct(cx, to, value);
        }
    }
    for (second, revolution) in [(VELO, S), (BVEL, SBAK)] {
        in_range(cx, second, VBAS, VMAX);
        pair(cx, second, revolution, true);
    }
    in_range(cx, JVEL, VBAS, VMAX);
    in_range(cx, HVEL, VBAS, VMAX);
}

/// The speed that it gains.
fn change(cx: &Cx<'_>) -> f64 {
    let (base, velocity) = (cx.f64(VBAS), cx.f64(VELO));
    if velocity > base { velocity - base } else { velocity }
}

fn acceleration_of_time(cx: &mut Cx<'_>) {
    let rate = change(cx) / cx.f64(ACCL);
    correct(cx, ACCS, rate);
}

fn time_of_acceleration(cx: &mut Cx<'_>) {
    let rate = cx.f64(ACCS);
    if rate > 0.0 {
        let time = change(cx) / rate;
        correct(cx, ACCL, time);
    }
}

/// RDBD is one step at least (`enforceMinRetryDeadband`).
pub(super) fn least_deadband(cx: &mut Cx<'_>) {
    let step = cx.f64(MRES).abs();
    if cx.f64(RDBD) < step {
        correct(cx, RDBD, step);
    }
}

fn show_readback(cx: &mut Cx<'_>) {
    let position = cx.f64(DRBV) * direction(cx) + cx.f64(OFF);
    assign(cx, RBV, position);
}

/// AlarmFields of the dial in user coordinates (`set_userlimits`).
pub(super) fn user_limits(cx: &mut Cx<'_>) {
    let (low, high, offset) = (cx.f64(DLLM), cx.f64(DHLM), cx.f64(OFF));
    let (low, high) = if cx.u16(DIR) == 0 { (low, high) } else { (-high, -low) };
    assign(cx, HLM, high + offset);
    assign(cx, LLM, low + offset);
}

/// AlarmFields of the dial in raw and user coordinates.
pub(super) fn dial_limits(cx: &mut Cx<'_>) {
    let resolution = cx.f64(MRES);
    let (low, high) = (cx.f64(DLLM) / resolution, cx.f64(DHLM) / resolution);
    let (low, high) = if resolution < 0.0 { (high, low) } else { (low, high) };
    assign(cx, RLLM, low);
    assign(cx, RHLM, high);
    mark(cx, DHLM);
    mark(cx, DLLM);
    user_limits(cx);
}

fn user_limit_written(cx: &mut Cx<'_>, field: u16) {
    let positive = cx.u16(DIR) == 0;
    let dial = (cx.f64(field) - cx.f64(OFF)) * direction(cx);
    let to = if (field == HLM) == positive { DHLM } else { DLLM };
    assign(cx, to, dial);
    let resolution = cx.f64(MRES);
    let raw = if (to == DHLM) == (resolution >= 0.0) { RHLM } else { RLLM };
    assign(cx, raw, dial / resolution);
    mark(cx, field);
}

fn resolution_written(cx: &mut Cx<'_>, field: u16) {
    if field == SREV {
        if cx.i32(SREV) <= 0 {
            assign(cx, SREV, 200i32);
        }
        let resolution = cx.f64(UREV) / f64::from(cx.i32(SREV));
        if cx.f64(MRES) != resolution {
            assign(cx, MRES, resolution);
        }
        return;
    }
    let steps = f64::from(cx.i32(SREV));
    if field == MRES {
        mark(cx, MRES);
        let revolution = cx.f64(MRES) * steps;
        if cx.f64(UREV) != revolution {
            assign(cx, UREV, revolution);
        }
    } else {
        let resolution = cx.f64(UREV) / steps;
        if cx.f64(MRES) != resolution {
            assign(cx, MRES, resolution);
        }
    }
    // Speeds of a revolution stay, and so do limits in steps.
    for (second, revolution) in SPEEDS {
        pair(cx, revolution, second, false);
    }
    let resolution = cx.f64(MRES);
    let (low, high) = (cx.f64(RLLM) * resolution, cx.f64(RHLM) * resolution);
    let (low, high) = if resolution > 0.0 { (low, high) } else { (high, low) };
    correct(cx, DLLM, low);
    correct(cx, DHLM, high);
    user_limits(cx);
    tell(cx, HLM);
    tell(cx, LLM);
}

/// Makes one of what the file may say in two ways (`check_speed_and_resolution`).
pub(super) fn reconcile(cx: &mut Cx<'_>) {
    if cx.i32(SREV) <= 0 {
        cx.set(SREV, 200i32);
    }
    let steps = f64::from(cx.i32(SREV));
    if cx.f64(UREV) != 0.0 {
        let resolution = cx.f64(UREV) / steps;
        cx.set(MRES, resolution);
    }
    if cx.f64(MRES) == 0.0 {
        cx.set(MRES, 1.0);
    }
    let revolution = cx.f64(MRES) * steps;
    cx.set(UREV, revolution);
    let size = revolution.abs();
    for (second, by_revolution) in [(VMAX, SMAX), (VBAS, SBAS), (VELO, S), (BVEL, SBAK)] {
        let (from, to, low, high) = if cx.f64(by_revolution) != 0.0 {
            (by_revolution, second, SBAS, SMAX)
        } else {
            (second, by_revolution, VBAS, VMAX)
        };
        match second {
            VMAX | VBAS => {
                let most = if second == VMAX { 0.0 } else { cx.f64(high) };
                let mut value = cx.f64(from).max(0.0);
                if most != 0.0 {
                    value = value.min(most);
                }
                cx.set(from, value);
            }
            _ => in_range(cx, from, low, high),
        }
        let value = cx.f64(from);
        cx.set(to, if from == second { value / size } else { value * size });
    }
    raw_limits(cx);
    if cx.f64(ACCS) > 0.0 {
        time_of_acceleration(cx);
    } else {
        if cx.f64(ACCL) == 0.0 {
            cx.set(ACCL, 0.1);
        }
        acceleration_of_time(cx);
    }
    if cx.f64(BACC) == 0.0 {
        cx.set(BACC, 0.1);
    }
    if cx.f64(JVEL) == 0.0 {
        cx.copy(VELO, JVEL);
    } else {
        in_range(cx, JVEL, VBAS, VMAX);
    }
    if cx.f64(JAR) == 0.0 {
        let rate = cx.f64(VELO) / cx.f64(ACCL);
        cx.set(JAR, rate);
    }
    if cx.f64(HVEL) == 0.0 {
        cx.copy(VBAS, HVEL);
    } else {
        in_range(cx, HVEL, VBAS, VMAX);
    }
    least_deadband(cx);
}

fn raw_limits(cx: &mut Cx<'_>) {
    let resolution = cx.f64(MRES);
    let pairs = if resolution > 0.0 {
        [(RLLM, DLLM), (RHLM, DHLM)]
    } else {
        [(RLLM, DHLM), (RHLM, DLLM)]
    };
    for (raw, dial) in pairs {
        if cx.f64(raw) != 0.0 {
            let value = cx.f64(raw) * resolution.abs();
            cx.set(dial, value);
        }
        let value = cx.f64(dial) / resolution.abs();
        cx.set(raw, value);
    }
}
