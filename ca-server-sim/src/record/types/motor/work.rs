//! What a `motor` record has to do: switches, buttons, and new targets (`do_work`).

use super::process::{ask_axis, beyond_limits, clear_buttons, stop_axis};
use super::*;

/// Looks for work, and begins it.
pub(super) fn work(
    cx: &mut Cx<'_>,
    from_axis: bool,
    readback: Option<Got>,
    desired: Option<Got>,
) {
    let paused = matches!(cx.u16(SPMG), spmg::STOP | spmg::PAUSE);
    if cx.u16(STUP) == stup::ON {
        assign(cx, STUP, stup::BUSY as i16);
        ask_axis(cx);
    }
    if (cx.u16(SPMG) != cx.u16(LSPG) || is(cx, STOP)) && switched(cx, paused) {
        return;
    }
    if [MRES, ERES, UEIP].into_iter().any(|field| is_marked(cx, field)) {
        return resolution_changed(cx);
    }
    match desired {
        Some(Got::Val(val)) => {
            cx.set(VAL, val);
            cx.set_udf(false);
        }
        Some(_) => {
            cx.set_udf(true);
            return;
        }
        None => {
            if buttons(cx, paused) {
                return;
            }
        }
    }
    if cx.f64(VAL) != cx.f64(LVAL) {
        mark(cx, VAL);
        if is(cx, SET) && !is(cx, IGSET) && !is(cx, FOFF) {
            return calibrate_user(cx);
        }
        let dial = (cx.f64(VAL) - cx.f64(OFF)) / direction(cx);
        cx.set(DVAL, dial);
    }
    if paused {
        return;
    }
    if cx.f64(DVAL) != cx.f64(LDVL) || !is(cx, DMOV) {
        target(cx, readback.as_ref());
    } else if is(cx, SYNC) && cx.u16(MIP) == mip::DONE {
        synchronize(cx);
        cx.set_u16(SYNC, 0);
        tell(cx, SYNC);
    } else if !from_axis && cx.u16(STUP) == stup::OFF {
        assign(cx, STUP, stup::BUSY as i16);
        ask_axis(cx);
    }
}

/// STOP was pressed, or SPMG has another choice; whether nothing else is done.
fn switched(cx: &mut Cx<'_>, paused: bool) -> bool {
    let stop = is(cx, STOP);
    if cx.u16(SPMG) != cx.u16(LSPG) {
        cx.copy(SPMG, LSPG);
    } else {
        assign(cx, STOP, 0i16);
    }
    if paused || stop {
        let mip = cx.u16(MIP);
        if cx.u16(SPMG) == spmg::STOP || stop {
            if mip == mip::DONE || mip & (mip::STOP | mip::RETRY) != 0 {
                if mip & mip::RETRY != 0 {
                    set_mip(cx, mip::DONE);
                    assign(cx, DMOV, 1i16);
                }
                stop_axis(cx);
                return true;
            } else if is(cx, MOVN) {
                cx.set_u16(PP, 1);
                clear_buttons(cx);
            } else {
                synchronize(cx);
            }
        }
        if mip & mip::HOME != 0 {
            clear_buttons(cx);
        }
        if mip & mip::DELAY_REQ == 0 {
            set_mip(cx, mip::STOP);
        }
        stop_axis(cx);
        return true;
    }
    if cx.u16(SPMG) == spmg::GO {
        if is(cx, JOGF) && !is(cx, HLS) || is(cx, JOGR) && !is(cx, LLS) {
            set_mip(cx, mip::JOG_REQ);
        } else if cx.u16(MIP) == mip::STOP {
            set_mip(cx, mip::DONE);
        }
    } else {
        set_mip(cx, mip::DONE);
        assign(cx, RCNT, 0i16);
    }
    false
}

/// MRES, ERES or UEIP is another one: the axis is where the dial says, in steps of the new size.
fn resolution_changed(cx: &mut Cx<'_>) {
    if cx.f64(MRES).abs() < 1e-9 {
        assign(cx, MRES, 1.0);
    }
    if cx.f64(ERES) == 0.0 {
        let resolution = cx.f64(MRES);
        assign(cx, ERES, resolution);
    }
    special::least_deadband(cx);
    if is(cx, SET) && !is(cx, IGSET) {
        cx.set_u16(PP, 1);
        ask_axis(cx);
    } else if cx.u16(MIP) & mip::LOAD_P == 0 {
        load_position(cx);
    }
}

/// Home, jog, tweak, and relative and raw targets; whether nothing else is done.
fn buttons(cx: &mut Cx<'_>, paused: bool) -> bool {
    let mip = cx.u16(MIP);
    let positive = cx.u16(DIR) == 0;
    let (ahead, behind) = if positive { (HLS, LLS) } else { (LLS, HLS) };
    let forward = is(cx, HOMF) && mip & mip::HOMF == 0 && !is(cx, ahead);
    let backward = is(cx, HOMR) && mip & mip::HOMR == 0 && !is(cx, behind);
    if forward || backward {
        if paused {
            assign(cx, DMOV, 0i16);
            return true;
        }
        let which = if is(cx, HOMF) { mip::HOMF } else { mip::HOMR };
        set_mip(cx, which);
        cx.set_u16(PP, 1);
        if is(cx, MOVN) {
            set_mip(cx, which | mip::STOP);
            stop_axis(cx);
        } else {
            search_home(cx);
        }
        return true;
    }
    if mip & mip::JOG == 0 && !paused && mip & mip::JOG_REQ != 0 {
        jog(cx);
        return true;
    }
    if mip & mip::JOG_REQ == 0 && mip & (mip::JOGF | mip::JOGR) != 0 {
        cx.set_u16(PP, 1);
        let mip = mip & !(mip::JOGF | mip::JOGR) | mip::JOG_STOP;
        cx.set(MIP, Val::UShort(mip));
        stop_axis(cx);
        return true;
    }
    if mip & (mip::JOG_STOP | mip::JOG_BL1 | mip::JOG_BL2) != 0 {
        return true;
    }
    steps(cx);
    false
}

fn steps(cx: &mut Cx<'_>) {
    let value = cx.f64(VAL);
    if is(cx, TWF) || is(cx, TWR) {
        let step = cx.f64(TWV) * if is(cx, TWF) { 1.0 } else { -1.0 };
        cx.set(VAL, value + step);
        for field in [TWF, TWR] {
            if is(cx, field) {
                cx.set_u16(field, 0);
                tell(cx, field);
            }
        }
    }
    if cx.f64(RLV) != cx.f64(LRLV) {
        let value = cx.f64(VAL) + cx.f64(RLV);
        cx.set(VAL, value);
        assign(cx, RLV, 0.0);
        cx.set(LRLV, 0.0);
    }
    if cx.i32(RVAL) != cx.i32(LRVL) {
        let dial = f64::from(cx.i32(RVAL)) * cx.f64(MRES);
        cx.set(DVAL, dial);
    }
}

/// Steps of a second.
fn rate(cx: &Cx<'_>, field: u16) -> f64 {
    cx.f64(field) / cx.f64(MRES).abs()
}

/// How fast a motion is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Speed {
    /// VELO, within ACCL.
    Slew,
    /// BVEL, within BACC.
    Backlash,
    /// HVEL, within ACCL.
    Home,
}

fn set_speed(cx: &Cx<'_>, axis: &mut Axis, speed: Speed) {
    let (velocity, time) = match speed {
        Speed::Slew => (VELO, ACCL),
        Speed::Backlash => (BVEL, BACC),
        Speed::Home => (HVEL, ACCL),
    };
    let (base, velocity) = (rate(cx, VBAS), rate(cx, velocity));
    let change = if velocity > base { velocity - base } else { velocity };
    let acceleration = if speed == Speed::Slew && cx.u16(ACCU) == 1 {
        rate(cx, ACCS)
    } else {
        change / cx.f64(time)
    };
    axis.set_speed(base, velocity, acceleration);
}

pub(super) fn search_home(cx: &mut Cx<'_>) {
    assign(cx, DMOV, 0i16);
    assign(cx, RCNT, 0i16);
    let forward = (cx.u16(MIP) & mip::HOMF != 0) == (cx.f64(MRES) >= 0.0);
    cx.set_u16(CDIR, forward.into());
    let mut axis = axis(cx);
    set_speed(cx, &mut axis, Speed::Home);
    axis.search_home(cx.seconds());
    keep(cx, &axis);
}

fn jog(cx: &mut Cx<'_>) {
    if !unlimited(cx) && beyond_limits(cx, VAL) {
        assign(cx, LVIO, 1i16);
        for field in [JOGF, JOGR] {
            if is(cx, field) {
                assign(cx, field, 0i16);
            }
        }
        return;
    }
    let which = if is(cx, JOGF) { mip::JOGF } else { mip::JOGR };
    set_mip(cx, which);
    cx.set_u16(PP, 1);
    if is(cx, MOVN) {
        set_mip(cx, which | mip::STOP);
        stop_axis(cx);
        return;
    }
    assign(cx, DMOV, 0i16);
    start_jog(cx);
}

/// Begins a jog, or changes its speed.
pub(super) fn start_jog(cx: &mut Cx<'_>) {
    let sign = if is(cx, JOGF) { 1.0 } else { -1.0 };
    let velocity = sign * direction(cx) * cx.f64(JVEL) / cx.f64(MRES);
    cx.set_u16(CDIR, (velocity >= 0.0).into());
    let acceleration = rate(cx, JAR);
    let mut axis = axis(cx);
    axis.jog(cx.seconds(), velocity, acceleration);
    keep(cx, &axis);
}

/// In SET mode, with a variable offset: the user's coordinates are others.
fn calibrate_user(cx: &mut Cx<'_>) {
    let direction = direction(cx);
    let offset = cx.f64(VAL) - cx.f64(DVAL) * direction;
    assign(cx, OFF, offset);
    let position = cx.f64(DRBV) * direction + offset;
    assign(cx, RBV, position);
    special::user_limits(cx);
    cx.copy(VAL, LVAL);
    set_mip(cx, mip::DONE);
    assign(cx, DMOV, 1i16);
}

/// Tells the axis where it is, in place of moving it (`load_pos`).
fn load_position(cx: &mut Cx<'_>) {
    let position = cx.f64(DVAL) / cx.f64(MRES);
    let raw = nint(position);
    cx.copy(DVAL, LDVL);
    cx.copy(VAL, LVAL);
    if cx.i32(RVAL) != raw {
        mark(cx, RVAL);
    }
    cx.set(RVAL, raw);
    cx.set(LRVL, raw);
    let dial = cx.f64(DVAL) * direction(cx);
    if is(cx, FOFF) {
        let value = cx.f64(OFF) + dial;
        assign(cx, VAL, value);
        cx.copy(VAL, LVAL);
    } else {
        let offset = cx.f64(VAL) - dial;
        assign(cx, OFF, offset);
        special::user_limits(cx);
    }
    set_mip(cx, mip::LOAD_P);
    if is(cx, DMOV) {
        assign(cx, DMOV, 0i16);
    }
    let mut axis = axis(cx);
    axis.set_position(cx.seconds(), position);
    keep(cx, &axis);
}

/// Targets become where it is (`syncTargetPosition`).
fn synchronize(cx: &mut Cx<'_>) {
    for (from, to) in [(RBV, VAL), (DRBV, DVAL)] {
        let value = cx.f64(from);
        assign(cx, to, value);
    }
    let raw = nint(cx.f64(DVAL) / cx.f64(MRES));
    assign(cx, RVAL, raw);
    for field in [RRBV, DRBV, RBV] {
        mark(cx, field);
    }
    remember_target(cx);
}

pub(super) fn remember_target(cx: &mut Cx<'_>) {
    for (new, old) in [(VAL, LVAL), (DVAL, LDVL), (RVAL, LRVL)] {
        cx.copy(new, old);
    }
}

/// Whether it moves by the distance that the readback says, rather than to a position of its own.
pub(super) fn relative(cx: &Cx<'_>) -> bool {
    cx.i32(RTRY) != 0 && cx.u16(RMOD) != 3 && (is(cx, UEIP) || is(cx, URIP))
}

/// Moves to a dial position, or by a dial distance if the readback is another device's.
pub(super) fn go(cx: &mut Cx<'_>, speed: Speed, to: f64, by: f64) {
    let now = cx.seconds();
    let resolution = cx.f64(MRES);
    let mut axis = axis(cx);
    set_speed(cx, &mut axis, speed);
    let target = if relative(cx) {
        axis.status(now).position + by / resolution
    } else {
        to / resolution
    };
    axis.move_to(now, target.round());
    keep(cx, &axis);
}

/// There is a new target, or the old one is not reached.
fn target(cx: &mut Cx<'_>, readback: Option<&Got>) {
    let resolution = cx.f64(MRES);
    let dial = cx.f64(DVAL);
    if dial != cx.f64(LDVL) {
        mark(cx, DVAL);
    }
    let difference = dial - cx.f64(DRBV);
    if cx.f64(DIFF) != difference {
        assign(cx, DIFF, difference);
    }
    assign(cx, RDIF, nint(difference / resolution));
    if is(cx, SET) && !is(cx, IGSET) {
        if cx.u16(MIP) & mip::LOAD_P == 0 {
            load_position(cx);
        }
        return;
    }
    let value = dial * direction(cx) + cx.f64(OFF);
    cx.set(VAL, value);
    if value != cx.f64(LVAL) {
        mark(cx, VAL);
    }
    cx.set(RVAL, nint(dial / resolution));
    if cx.i32(RVAL) != cx.i32(LRVL) {
        mark(cx, RVAL);
    }
    if is_near(cx) {
        let mip = cx.u16(MIP);
        if !is(cx, DMOV) && matches!(mip, mip::DONE | mip::RETRY) {
            assign(cx, DMOV, 1i16);
            if mip != mip::DONE {
                set_mip(cx, mip::DONE);
            }
        }
        return remember_target(cx);
    }
    let Some(factor) = retry_factor(cx) else {
        return;
    };
    let preferred = preferred(cx);
    let violated = is(cx, LVIO);
    let beyond = violates(cx, preferred);
    cx.set_u16(LVIO, beyond.into());
    if beyond != violated {
        mark(cx, LVIO);
    }
    let blind = is(cx, URIP) && !matches!(readback, Some(Got::Val(_)));
    if beyond || blind {
        return refuse(cx);
    }
    if matches!(cx.u16(MIP), mip::DONE | mip::RETRY) {
        start(cx, preferred, factor);
    }
}

/// Whether the target is so near that it does not move.
fn is_near(cx: &Cx<'_>) -> bool {
    let resolution = cx.f64(MRES);
    let steps = |dial: f64| i64::from(nint(dial / resolution));
    let (dial, at) = (cx.f64(DVAL), cx.f64(DRBV));
    let distance = (steps(dial) - steps(at)).abs();
    if cx.u16(MIP) & mip::RETRY != 0 {
        return distance < i64::from(nint(cx.f64(RDBD) / resolution.abs()));
    }
    let band = cx.f64(SPDB);
    distance < 1 || band > 0.0 && dial - band < at && at < dial + band
}

/// How much of the distance a retry goes (RMOD); none if it waits only.
fn retry_factor(cx: &mut Cx<'_>) -> Option<f64> {
    if cx.u16(MIP) & mip::RETRY == 0 {
        if cx.i32(RCNT) != 0 {
            assign(cx, RCNT, 0i16);
        }
        return Some(1.0);
    }
    let (count, most) = (f64::from(cx.i32(RCNT)), f64::from(cx.i32(RTRY)));
    match cx.u16(RMOD) {
        1 => Some((most - count + 1.0) / most),
        2 => Some(1.0 / 2f64.powf(count - 1.0)),
        3 => None,
        _ => Some(1.0),
    }
}

/// Whether it moves into the direction in which each move ends.
fn preferred(cx: &Cx<'_>) -> bool {
    let forward = if relative(cx) {
        cx.f64(DIFF) > 0.0
    } else {
        cx.f64(DVAL) > cx.f64(LDVL)
    };
    forward == (cx.f64(BDST) > 0.0)
}

fn violates(cx: &Cx<'_>, preferred: bool) -> bool {
    let (low, high) = (cx.f64(DLLM), cx.f64(DHLM));
    let (new, old) = (cx.f64(DVAL), cx.f64(LDVL));
    if unlimited(cx) {
        return false;
    }
    if low > high {
        return true;
    }
    // Back towards the range is allowed.
    if new > high && new < old || new < low && new > old {
        return false;
    }
    let farthest = if preferred { new } else { new - cx.f64(BDST) };
    farthest > high || farthest < low
}

fn refuse(cx: &mut Cx<'_>) {
    for (old, new) in [(LVAL, VAL), (LDVL, DVAL), (LRVL, RVAL)] {
        cx.copy(old, new);
        mark(cx, new);
    }
    if cx.u16(MIP) & mip::RETRY != 0 {
        set_mip(cx, mip::DONE);
    }
    if cx.u16(MIP) == mip::DONE && !is(cx, DMOV) {
        assign(cx, DMOV, 1i16);
    }
}

fn start(cx: &mut Cx<'_>, preferred: bool, factor: f64) {
    let mip = cx.u16(MIP);
    set_mip(cx, mip | mip::MOVE);
    if is(cx, DMOV) {
        assign(cx, DMOV, 0i16);
    }
    let resolution = cx.f64(MRES).abs();
    let (new, old, backlash) = (cx.f64(DVAL), cx.f64(LDVL), cx.f64(BDST));
    remember_target(cx);
    let at_least_a_step = |by: f64| {
        if factor == 1.0 {
            by
        } else {
            let by = by * factor;
            if by.abs() < resolution { resolution.copysign(by) } else { by }
        }
    };
    let by = at_least_a_step(cx.f64(DIFF));
    let by_before = at_least_a_step(new - backlash - cx.f64(DRBV));
    let fraction = cx.f64(FRAC);
    let to = old + fraction * (new - old);
    let alike = cx.f64(BVEL) == cx.f64(VELO) && cx.f64(BACC) == cx.f64(ACCL);
    let within = if relative(cx) {
        let steps = by_before / cx.f64(MRES);
        backlash >= 0.0 && steps <= 1.0 || backlash < 0.0 && steps >= 1.0
    } else {
        (new - old).abs() <= resolution + backlash.abs()
    };
    let forward = cx.i32(RDIF) >= 0;
    cx.set_u16(CDIR, forward.into());
    if backlash.abs() < resolution || preferred && alike {
        go(cx, Speed::Slew, to, by * fraction);
    } else if preferred && within {
        go(cx, Speed::Backlash, to, by * fraction);
    } else {
        // The last part follows when it is there.
        cx.set_u16(PP, 1);
        go(cx, Speed::Slew, new - backlash, by_before);
    }
}
