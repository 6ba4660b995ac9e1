//! What happens each time a `motor` record is processed.

use super::*;

/// Stages: 0 begins, 1 has RDBL and DOL, 2 has written RLNK.
pub(super) fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => {
            if is(cx, URIP) {
                cx.want(RDBL, Dbf::Double);
            }
            if closed_loop(cx) {
                cx.want(DOL, Dbf::Double);
            }
            Flow::Then(1)
        }
        1 => {
            let mut got = cx.got().to_vec().into_iter();
            let readback = if is(cx, URIP) { got.next() } else { None };
            let desired = if closed_loop(cx) { got.next() } else { None };
            if run(cx, readback, desired) {
                let position = cx.f64(RBV);
                cx.want_put(RLNK, position);
            }
            Flow::Then(2)
        }
        _ => finish(cx),
    }
}

fn closed_loop(cx: &Cx<'_>) -> bool {
    cx.u16(OMSL) == 1 && !cx.is_constant(DOL)
}

/// The axis, or the delay of the readback, is due.
pub(super) fn callback(cx: &mut Cx<'_>) {
    let now = cx.seconds();
    let mut axis = axis(cx);
    let mut tells = axis.poll(now);
    if now >= axis.delay - axis::ROUNDING {
        axis.delay = f64::INFINITY;
        let mip = cx.u16(MIP);
        if mip & mip::DELAY_REQ != 0 {
            cx.set(MIP, Val::UShort(mip & !mip::DELAY_REQ | mip::DELAY_ACK));
            tells = true;
        }
    }
    keep(cx, &axis);
    if tells {
        cx.process();
    }
}

/// Takes over what the axis tells (`update_values` of device support).
pub(super) fn update(cx: &mut Cx<'_>, axis: &Axis) {
    let status = axis.status(cx.seconds());
    let mut bits = msta::ENCODER;
    for (bit, set) in [
        (msta::DIRECTION, axis.forward),
        (msta::DONE, status.done),
        (msta::PLUS_LS, status.at_high),
        (msta::MINUS_LS, status.at_low),
        (msta::HOME, status.at_home),
        (msta::ENCODER_HOME, status.at_home),
        (msta::MOVING, !status.done),
        (msta::HOMED, status.homed),
    ] {
        if set {
            bits |= bit;
        }
    }
    let encoder = status.position * cx.f64(MRES) / cx.f64(ERES);
    for (field, value) in [
        (RMP, nint(status.position)),
        (REP, nint(encoder)),
        (RVEL, nint(status.velocity)),
    ] {
        if cx.i32(field) != value {
            cx.set(field, value);
            tell(cx, field);
        }
    }
    if cx.u32(MSTA) != bits {
        assign(cx, MSTA, bits);
    }
}

/// Readback, limit switches and whether it moves (`process_motor_info`).
pub(super) fn information(cx: &mut Cx<'_>, readback: Option<Got>, first: bool) {
    let bits = cx.u32(MSTA);
    let resolution = cx.f64(MRES);
    if is(cx, UEIP) {
        let raw = cx.i32(REP);
        readback_is(cx, raw, f64::from(raw) * cx.f64(ERES));
    } else if is(cx, URIP) && !first {
        match readback {
            Some(Got::Val(val)) => {
                let raw = nint(val.as_f64() * cx.f64(RRES) / resolution);
                readback_is(cx, raw, f64::from(raw) * resolution);
            }
            _ if cx.u16(MIP) != mip::DONE => {
                // It does not move blindly.
                clear_buttons(cx);
                assign(cx, STOP, 1i16);
            }
            _ => {}
        }
    } else {
        let raw = cx.i32(RMP);
        readback_is(cx, raw, f64::from(raw) * resolution);
    }
    let (plus, minus) = (bits & msta::PLUS_LS != 0, bits & msta::MINUS_LS != 0);
    let same = (cx.u16(DIR) == 0) == (resolution >= 0.0);
    let (high, low) = if same { (plus, minus) } else { (minus, plus) };
    cx.set_u16(RHLS, plus.into());
    cx.set_u16(RLLS, minus.into());
    let hit = limit_hit(cx);
    let problem = bits & msta::PROBLEM != 0;
    let at_home = bits & if is(cx, UEIP) { msta::ENCODER_HOME } else { msta::HOME } != 0;
    for (field, new) in [
        (TDIR, bits & msta::DIRECTION != 0),
        (HLS, high),
        (LLS, low),
        (MOVN, !(hit || problem || bits & msta::DONE != 0)),
        (ATHM, at_home),
    ] {
        if is(cx, field) != new {
            assign(cx, field, i16::from(new));
        }
    }
    if hit || problem {
        clear_buttons(cx);
    }
    let difference = cx.f64(DVAL) - cx.f64(DRBV);
    assign(cx, DIFF, difference);
    assign(cx, RDIF, nint(difference / resolution));
}

fn readback_is(cx: &mut Cx<'_>, raw: i32, dial: f64) {
    let user = direction(cx) * dial + cx.f64(OFF);
    if cx.i32(RRBV) != raw {
        assign(cx, RRBV, raw);
    }
    for (field, value) in [(DRBV, dial), (RBV, user)] {
        if cx.f64(field) != value {
            assign(cx, field, value);
        }
    }
}

/// Whether it is at the limit switch of the direction in which it was sent.
pub(super) fn limit_hit(cx: &Cx<'_>) -> bool {
    let forward = is(cx, CDIR);
    is(cx, RHLS) && forward || is(cx, RLLS) && !forward
}

/// Nobody holds a button any more.
pub(super) fn clear_buttons(cx: &mut Cx<'_>) {
    for field in [JOGF, JOGR, HOMF, HOMR] {
        if is(cx, field) {
            assign(cx, field, 0i16);
        }
    }
}

/// What comes next in [`run`].
enum Next {
    /// Looking for work.
    Work,
    /// Telling.
    Tell,
}

/// Whether it came as far as RLNK.
fn run(cx: &mut Cx<'_>, readback: Option<Got>, desired: Option<Got>) -> bool {
    let violated = is(cx, LVIO);
    let mut axis = axis(cx);
    let told = std::mem::take(&mut axis.told);
    if told {
        update(cx, &axis);
        keep(cx, &axis);
    }
    let from_axis = told || cx.u16(MIP) & mip::DELAY_ACK != 0;
    if from_axis {
        information(cx, readback.clone(), false);
        let next = if is(cx, MOVN) {
            still_moving(cx);
            Next::Work
        } else if cx.u16(STUP) != stup::BUSY {
            stopped(cx)
        } else {
            Next::Work
        };
        if matches!(next, Next::Tell) {
            return end(cx, from_axis, false);
        }
    }
    watch_limits(cx, violated);
    let paused = matches!(cx.u16(SPMG), spmg::STOP | spmg::PAUSE);
    if is(cx, STOP) || paused || !from_axis || is(cx, DMOV) || cx.u16(MIP) & mip::RETRY != 0 {
        work::work(cx, from_axis, readback, desired);
    }
    end(cx, from_axis, true)
}

fn end(cx: &mut Cx<'_>, from_axis: bool, reached: bool) -> bool {
    if from_axis && cx.u16(STUP) == stup::BUSY {
        assign(cx, STUP, stup::OFF as i16);
    }
    reached
}

fn still_moving(cx: &mut Cx<'_>) {
    if is(cx, DMOV) {
        // Somebody else moves it.
        assign(cx, DMOV, 0i16);
        let mip = cx.u16(MIP);
        set_mip(cx, mip | mip::EXTERNAL);
        cx.set_u16(PP, 1);
    }
    let mip = cx.u16(MIP);
    let forward = cx.i32(RDIF) >= 0;
    let deadband = f64::from(cx.u16(NTMF)) * (cx.f64(BDST).abs() + cx.f64(RDBD));
    let turns = forward != is(cx, CDIR) && cx.f64(DIFF).abs() > deadband;
    // A new target behind it: it stops, and goes there in a new move.
    if is(cx, NTM) && turns && mip & (mip::RETRY | mip::MOVE) != 0 && mip & mip::STOP == 0 {
        stop_axis(cx);
        set_mip(cx, mip | mip::STOP);
        cx.set_u16(PP, 0);
    }
}

pub(super) fn stop_axis(cx: &mut Cx<'_>) {
    let now = cx.seconds();
    let mut axis = axis(cx);
    axis.stop(now);
    keep(cx, &axis);
}

/// Asks the axis where it is.
pub(super) fn ask_axis(cx: &mut Cx<'_>) {
    let now = cx.seconds();
    let mut axis = axis(cx);
    axis.ask(now);
    keep(cx, &axis);
}

/// Not done yet after all: nobody is told that it was.
fn not_done(cx: &mut Cx<'_>) {
    cx.set_u16(DMOV, 0);
    unmark(cx, DMOV);
}

fn settle_later(cx: &mut Cx<'_>) {
    let mip = cx.u16(MIP);
    set_mip(cx, mip | mip::DELAY_REQ);
    let mut axis = axis(cx);
    axis.delay = cx.seconds() + cx.f64(DLY).max(0.0);
    keep(cx, &axis);
}

/// The axis stands.
fn stopped(cx: &mut Cx<'_>) -> Next {
    if !is(cx, DMOV) {
        assign(cx, DMOV, 1i16);
        if matches!(cx.u16(MIP), mip::JOGF | mip::JOGR) {
            // Nobody stopped the jog.
            set_mip(cx, mip::DONE);
            clear_buttons(cx);
            cx.set_u16(PP, 1);
        }
    }
    if cx.u16(MIP) != mip::DONE && limit_hit(cx) {
        not_done(cx);
        ask_axis(cx);
        cx.set_u16(PP, 1);
        set_mip(cx, mip::DONE);
        return Next::Tell;
    }
    if is(cx, PP) {
        let mip = cx.u16(MIP);
        if cx.f64(VAL) != cx.f64(LVAL) && mip & (mip::STOP | mip::JOG_STOP) == 0 {
            // A new target came in between.
            if matches!(mip, mip::HOMF | mip::HOMR) {
                clear_buttons(cx);
            }
            cx.set_u16(MIP, mip::DONE);
            return Next::Work;
        }
        ended::motion_ended(cx);
    }
    if limit_hit(cx) || cx.u16(MIP) == mip::LOAD_P {
        set_mip(cx, mip::DONE);
        return Next::Work;
    }
    if !is(cx, DMOV) {
        return Next::Work;
    }
    let mip = cx.u16(MIP);
    if mip & mip::DELAY_ACK != 0 || cx.f64(DLY) <= 0.0 {
        if mip & mip::DELAY == mip::DELAY_ACK {
            // The readback has settled, and is read once more.
            cx.set(MIP, Val::UShort(mip | mip::DELAY));
            ask_axis(cx);
            not_done(cx);
            return Next::Tell;
        }
        if cx.u16(STUP) != stup::ON && mip != mip::DONE {
            set_mip(cx, mip & !mip::DELAY);
            ended::maybe_retry(cx);
            if cx.u16(MIP) == mip::RETRY && cx.u16(RMOD) == 3 {
                settle_later(cx);
            }
        }
    } else if is_marked(cx, DMOV) {
        if mip & mip::DELAY_REQ == 0 {
            settle_later(cx);
        }
        not_done(cx);
        return Next::Tell;
    }
    Next::Work
}

/// Stops at soft limits while it jogs.
fn watch_limits(cx: &mut Cx<'_>, violated: bool) {
    let mip = cx.u16(MIP);
    if unlimited(cx) {
        cx.set_u16(LVIO, 0);
    } else if mip & mip::JOG != 0 {
        let beyond = beyond_limits(cx, RBV);
        cx.set_u16(LVIO, beyond.into());
    } else if mip & mip::HOME != 0 {
        cx.set_u16(LVIO, 0);
    }
    if is(cx, LVIO) != violated {
        mark(cx, LVIO);
        if is(cx, LVIO) && !is(cx, SET) && !is(cx, IGSET) {
            assign(cx, STOP, 1i16);
            clear_buttons(cx);
        }
    }
}

/// Whether a jog from here would go on for less than a second before a limit.
pub(super) fn beyond_limits(cx: &Cx<'_>, from: u16) -> bool {
    let (at, speed) = (cx.f64(from), cx.f64(JVEL));
    is(cx, JOGF) && at > cx.f64(HLM) - speed
        || is(cx, JOGR) && at < cx.f64(LLM) + speed
        || cx.f64(DLLM) > cx.f64(DHLM)
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.timestamp();
    alarms(cx);
    monitor(cx);
    if is(cx, DMOV) { Flow::Done } else { Flow::Stop }
}

fn alarms(cx: &mut Cx<'_>) {
    if cx.udf() {
        cx.alarm(17, 3);
        return;
    }
    let severity = cx.u16(HLSV);
    if severity == 0 {
        return;
    }
    if is(cx, HLS) || cx.f64(DVAL) > cx.f64(DHLM) {
        cx.alarm(stat::HIGH, severity);
    } else if is(cx, LLS) || cx.f64(DVAL) < cx.f64(DLLM) {
        cx.alarm(stat::LOW, severity);
    }
}

fn monitor(cx: &mut Cx<'_>) {
    let alarm = cx.reset_alarms();
    let changed = EventMask::VALUE.union(EventMask::LOG);
    let marks = marks(cx);
    let mask = |place: usize| {
        if marks & (1 << place) != 0 { alarm.union(changed) } else { alarm }
    };
    let (value_band, archive_band) = (cx.f64(MDEL), cx.f64(ADEL));
    if value_band == 0.0 && archive_band == 0.0 {
        cx.post(RBV, mask(0));
    } else if marks & 1 != 0 {
        let position = cx.f64(RBV);
        let mut told = alarm;
        for (band, last, add) in
            [(value_band, MLST, EventMask::VALUE), (archive_band, ALST, EventMask::LOG)]
        {
            if band == 0.0 {
                told = told.union(add);
            } else if (cx.f64(last) - position).abs() > band {
                told = told.union(add);
                cx.set(last, position);
            }
        }
        cx.post(RBV, told);
    }
    for (place, field) in TOLD.into_iter().enumerate().take(OFTEN).skip(1) {
        cx.post(field, mask(place));
    }
    if marks >> OFTEN != 0 {
        let same = (cx.u16(DIR) == 0) == (cx.f64(MRES) >= 0.0);
        for (place, field) in TOLD.into_iter().enumerate().skip(OFTEN) {
            let mask = mask(place);
            cx.post(field, mask);
            match field {
                HLS => cx.post(if same { RHLS } else { RLLS }, mask),
                LLS => cx.post(if same { RLLS } else { RHLS }, mask),
                _ => {}
            }
        }
    }
    cx.set(MARKS, Val::None);
}
