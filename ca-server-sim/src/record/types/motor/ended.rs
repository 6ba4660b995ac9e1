//! What follows when the motor of a `motor` record has stopped: homing, backlash, retries.

use super::work::{self, Speed};
use super::*;

/// Goes on with what the motion was a part of (`postProcess`).
pub(super) fn motion_ended(cx: &mut Cx<'_>) {
    cx.set_u16(PP, 0);
    let mip = cx.u16(MIP);
    if cx.u16(OMSL) != 1 && mip & (mip::MOVE | mip::MOVE_BL | mip::JOG_BL1 | mip::JOG_BL2) == 0 {
        // Where it stands is where it shall be.
        for (from, to) in [(RBV, VAL), (DRBV, DVAL)] {
            let value = cx.f64(from);
            assign(cx, to, value);
        }
        let raw = nint(cx.f64(DVAL) / cx.f64(MRES));
        assign(cx, RVAL, raw);
        assign(cx, DIFF, 0.0);
        assign(cx, RDIF, 0i32);
    }
    if mip & mip::LOAD_P != 0 {
        cx.set_u16(MIP, mip::DONE);
    } else if mip & mip::HOME != 0 {
        home(cx, mip);
    } else if mip & (mip::JOG_STOP | mip::MOVE) != 0 {
        if cx.f64(BDST).abs() >= cx.f64(MRES).abs() {
            take_out_backlash(cx, mip);
        }
        let mip = cx.u16(MIP) & !(mip::JOG_STOP | mip::MOVE);
        cx.set_u16(MIP, mip);
    } else if mip & mip::JOG_BL1 != 0 {
        last_part(cx);
        cx.set_u16(MIP, mip::JOG_BL2);
    }
    work::remember_target(cx);
    let mip = cx.u16(MIP);
    set_mip(cx, mip & !mip::STOP);
}

fn home(cx: &mut Cx<'_>, mip: u16) {
    if mip & mip::STOP != 0 {
        // It has stopped for it.
        cx.set(MIP, Val::UShort(mip & !mip::STOP));
        work::search_home(cx);
        cx.set_u16(PP, 1);
        return;
    }
    let (bit, field) = if mip & mip::HOMF != 0 { (mip::HOMF, HOMF) } else { (mip::HOMR, HOMR) };
    cx.set(MIP, Val::UShort(mip & !bit));
    assign(cx, field, 0i16);
}

/// Not done yet: nobody is told that it was.
fn goes_on(cx: &mut Cx<'_>) {
    cx.set_u16(DMOV, 0);
    unmark(cx, DMOV);
    cx.set_u16(PP, 1);
}

/// After a jog, to one backlash distance before its end; after a move, its last part.
fn take_out_backlash(cx: &mut Cx<'_>, mip: u16) {
    goes_on(cx);
    if mip & mip::JOG_STOP != 0 {
        let before = cx.f64(DVAL) - cx.f64(BDST);
        work::go(cx, Speed::Slew, before, before - cx.f64(DRBV));
        cx.set_u16(MIP, mip::JOG_BL1);
    } else {
        last_part(cx);
        cx.set_u16(MIP, mip::MOVE_BL);
    }
    let forward = cx.f64(DIFF) / cx.f64(MRES) >= 0.0;
    cx.set_u16(CDIR, forward.into());
}

/// The backlash distance, or the fraction of it that FRAC says.
fn last_part(cx: &mut Cx<'_>) {
    goes_on(cx);
    let (target, backlash, fraction) = (cx.f64(DVAL), cx.f64(BDST), cx.f64(FRAC));
    let before = target - backlash;
    let to = before + fraction * (target - before);
    if !work::relative(cx) {
        let raw = nint(to / cx.f64(MRES));
        cx.set(RVAL, raw);
    }
    let difference = cx.f64(DIFF);
    work::go(cx, Speed::Backlash, to, difference * fraction);
    let forward = difference / cx.f64(MRES) >= 0.0;
    cx.set_u16(CDIR, forward.into());
}

/// Whether it is where it shall be; if not, it tries again, RTRY times (`maybeRetry`).
pub(super) fn maybe_retry(cx: &mut Cx<'_>) {
    let same = (cx.u16(DIR) == 0) == (cx.f64(MRES) >= 0.0);
    let forward = is(cx, CDIR) == same;
    let blocked = if forward { is(cx, HLS) } else { is(cx, LLS) };
    let mip = cx.u16(MIP);
    if cx.f64(DIFF).abs() < cx.f64(RDBD) || blocked {
        set_mip(cx, mip & mip::JOG_REQ);
        if is(cx, MISS) {
            assign(cx, MISS, 0i16);
        }
        if cx.u16(SPMG) == spmg::MOVE {
            assign(cx, SPMG, spmg::PAUSE as i16);
        }
        return;
    }
    let most = cx.i32(RTRY);
    if most == 0 {
        set_mip(cx, mip & mip::JOG_REQ);
        return;
    }
    let count = cx.i32(RCNT) + 1;
    assign(cx, RCNT, count);
    if count > most {
        let jogs = is(cx, JOGF) && !is(cx, HLS) || is(cx, JOGR) && !is(cx, LLS);
        set_mip(cx, if jogs { mip::JOG_REQ } else { mip::DONE });
        work::remember_target(cx);
        assign(cx, MISS, 1i16);
    } else {
        cx.set_u16(DMOV, 0);
        unmark(cx, DMOV);
        set_mip(cx, mip::RETRY);
    }
}
