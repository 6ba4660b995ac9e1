//! The `motor` record of the motor module, with a simulated axis (`motorRecord.cc`, `motorRecord.dbd`).
//!
//! The record decides what to do and tells of it (`process.rs`, `work.rs`, `ended.rs`), the axis moves
//! (`axis.rs`); what clients may write is in `special.rs`. The axis takes the place of a controller: it
//! has a position in steps, ramps from VBAS to VELO within ACCL, has a home switch where it started from
//! raw position 0, and limit switches where `info(hardLow, "…")` and `info(hardHigh, "…")` say, in dial
//! units. It is asked ten times a second while it moves. With VELO 0 it is where it shall be at once.
//!
//! A put with notify is complete when the motion is, because FLNK and completion wait for DMOV.

use super::prelude::*;

mod axis;
mod ended;
mod process;
mod special;
mod work;

use std::time::Duration;

use axis::Axis;

fields! { common::COUNT,
    VERS => float().special(NoMod).initial("1"),
    OFF => double().asl0().special(Mod).pp(),
    FOFF => menu("motorFOFF").asl0().special(Mod).interest(1),
    FOF => short().asl0().special(Mod).interest(1),
    VOF => short().asl0().special(Mod).interest(1),
    DIR => menu("motorDIR").special(Mod).pp().interest(1),
    SET => menu("motorSET").asl0().interest(1),
    SSET => short().asl0().special(Mod).interest(1),
    SUSE => short().asl0().special(Mod).interest(1),
    VELO => double().special(Mod).interest(1),
    VBAS => double().special(Mod).prop().interest(1),
    VMAX => double().special(Mod).prop().interest(1),
    S => double().special(Mod).interest(1),
    SBAS => double().special(Mod).interest(1),
    SMAX => double().special(Mod).interest(1),
    ACCL => double().special(Mod).initial("0.2").interest(1),
    ACCS => double().special(Mod).interest(1),
    ACCU => menu("motorACCU").special(Mod).initial("0"),
    BDST => double().asl0().special(Mod).interest(1),
    BVEL => double().special(Mod).interest(1),
    SBAK => double().special(Mod).interest(1),
    BACC => double().special(Mod).initial("0.5").interest(1),
    FRAC => float().special(Mod).initial("1").interest(1),
    OUT => outlink().special(Mod).interest(1),
    CARD => short().special(NoMod).interest(3),
    RDBL => inlink().special(Mod).interest(1),
    DOL => inlink().special(Mod).interest(1),
    OMSL => menu("menuOmsl").interest(1),
    RLNK => outlink().special(Mod).interest(1),
    SREV => long().special(Mod).pp().initial("200").interest(1),
    UREV => double().special(Mod).pp().interest(1),
    MRES => double().special(Mod).pp().prop().interest(1),
    ERES => double().special(Mod).pp().interest(1),
    RRES => double().interest(1),
    UEIP => menu("motorUEIP").special(Mod).pp().interest(1),
    URIP => menu("motorUEIP").special(Mod).pp().interest(1),
    PREC => short().prop().interest(1),
    EGU => string(16).prop().interest(1),
    RHLM => double().special(NoMod).interest(1),
    RLLM => double().special(NoMod).interest(1),
    HLM => double().special(Mod).pp().prop(),
    LLM => double().special(Mod).pp().prop(),
    DHLM => double().special(Mod).pp().prop(),
    DLLM => double().special(Mod).pp().prop(),
    HOPR => double().interest(1),
    LOPR => double().interest(1),
    HLS => short().special(NoMod),
    LLS => short().special(NoMod),
    RHLS => short().special(NoMod),
    RLLS => short().special(NoMod),
    HIHI => double().pp().prop().interest(2),
    LOLO => double().pp().prop().interest(2),
    HIGH => double().pp().prop().interest(2),
    LOW => double().pp().prop().interest(2),
    HHSV => menu("menuAlarmSevr").pp().interest(2),
    LLSV => menu("menuAlarmSevr").pp().interest(2),
    HSV => menu("menuAlarmSevr").pp().interest(2),
    LSV => menu("menuAlarmSevr").pp().interest(2),
    HLSV => menu("menuAlarmSevr").pp().interest(2),
    RDBD => double().special(Mod).interest(1),
    SPDB => double().special(Mod).interest(1),
    RCNT => short().special(NoMod).interest(2),
    RTRY => short().initial("10").interest(1),
    MISS => short().special(NoMod).interest(2),
    SPMG => menu("motorSPMG").asl0().pp().initial("3").interest(1),
    LSPG => menu("motorSPMG").special(NoMod).initial("3").interest(1),
    STOP => short().asl0().pp().interest(1),
    HOMF => short().special(Mod).pp().interest(1),
    HOMR => short().special(Mod).pp().interest(1),
    JOGF => short().asl0().special(Mod).pp().interest(1),
    JOGR => short().asl0().special(Mod).pp().interest(1),
    TWF => short().asl0().special(Mod).pp().interest(1),
    TWR => short().asl0().special(Mod).pp().interest(1),
    TWV => double().asl0().interest(1),
    VAL => double().asl0().special(Mod).pp(),
    LVAL => double().special(NoMod).interest(1),
    DVAL => double().asl0().special(Mod).pp(),
    LDVL => double().special(NoMod).interest(1),
    RVAL => long().asl0().special(Mod).pp(),
    LRVL => long().special(NoMod).interest(1),
    RLV => double().asl0().special(Mod).pp(),
    LRLV => double().special(NoMod).interest(1),
    RBV => double().special(NoMod),
    DRBV => double().special(NoMod),
    DIFF => double().special(NoMod),
    RDIF => long().special(NoMod),
    CDIR => short().special(NoMod),
    RRBV => long().special(NoMod),
    RMP => long().special(NoMod),
    REP => long().special(NoMod),
    RVEL => long().special(NoMod).interest(1),
    DMOV => short().special(NoMod).initial("1"),
    MOVN => short().special(NoMod),
    MSTA => ulong().special(NoMod).interest(3),
    LVIO => short().special(NoMod).initial("1"),
    TDIR => short().special(NoMod),
    ATHM => short().special(NoMod),
    PP => short().special(NoMod).initial("0").interest(2),
    MIP => ushort().special(NoMod).interest(3),
    MMAP => ulong().special(NoMod).interest(3),
    NMAP => ulong().special(NoMod).interest(3),
    DLY => double().special(Mod).interest(1),
    CBAK => noaccess().special(NoMod).interest(4),
    PCOF => double().special(Mod).initial("0").interest(1),
    ICOF => double().special(Mod).initial("0").interest(1),
    DCOF => double().special(Mod).initial("0").interest(1),
    CNEN => menu("motorTORQ").asl0().special(Mod).pp(),
    INIT => string(40).interest(1),
    PREM => string(40).interest(1),
    POST => string(40).interest(1),
    STOO => outlink().special(Mod).interest(1),
    DINP => inlink().special(Mod).interest(1),
    RINP => inlink().special(Mod).interest(1),
    JVEL => double().special(Mod).interest(1),
    JAR => double().special(Mod).interest(1),
    LOCK => menu("menuYesNo").initial("NO").interest(1),
    NTM => menu("menuYesNo").initial("YES").interest(1),
    NTMF => ushort().special(Mod).initial("2").interest(1),
    HVEL => double().special(Mod).interest(1),
    STUP => menu("motorSTUP").asl0().special(Mod).pp().initial("OFF").interest(3),
    RMOD => menu("motorRMOD").initial("Default").interest(1),
    ADEL => double().interest(1),
    MDEL => double().interest(1),
    ALST => double().special(NoMod).interest(3),
    MLST => double().special(NoMod).interest(3),
    SYNC => short().pp().interest(1),
    IGSET => short().interest(2),
    RSTM => menu("motorRSTM").initial("NearZero").interest(2),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "motor",
    fields: FIELDS,
    devices: &[
        ("Soft Channel", DeviceAddress::Constant),
        ("asynMotor", DeviceAddress::Instrument),
        ("Motor Simulation", DeviceAddress::Card),
    ],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process: process::process,
    callback: process::callback,
    special: Some(special::special),
    meta,
    ..Support::HOLDER
};

/// What is going on (MIP).
mod mip {
    pub(super) const DONE: u16 = 0;
    pub(super) const JOGF: u16 = 0x0001;
    pub(super) const JOGR: u16 = 0x0002;
    pub(super) const JOG_BL1: u16 = 0x0004;
    pub(super) const HOMF: u16 = 0x0008;
    pub(super) const HOMR: u16 = 0x0010;
    pub(super) const HOME: u16 = HOMF | HOMR;
    pub(super) const MOVE: u16 = 0x0020;
    pub(super) const RETRY: u16 = 0x0040;
    pub(super) const LOAD_P: u16 = 0x0080;
    pub(super) const MOVE_BL: u16 = 0x0100;
    pub(super) const STOP: u16 = 0x0200;
    pub(super) const DELAY_REQ: u16 = 0x0400;
    pub(super) const DELAY_ACK: u16 = 0x0800;
    pub(super) const DELAY: u16 = DELAY_REQ | DELAY_ACK;
    pub(super) const JOG_REQ: u16 = 0x1000;
    pub(super) const JOG_STOP: u16 = 0x2000;
    pub(super) const JOG_BL2: u16 = 0x4000;
    pub(super) const EXTERNAL: u16 = 0x8000;
    pub(super) const JOG: u16 = JOGF | JOGR | JOG_BL1 | JOG_BL2;
}

/// The motor's status (MSTA).
mod msta {
    pub(super) const DIRECTION: u32 = 1;
    pub(super) const DONE: u32 = 1 << 1;
    pub(super) const PLUS_LS: u32 = 1 << 2;
    pub(super) const HOME: u32 = 1 << 3;
    pub(super) const ENCODER_HOME: u32 = 1 << 7;
    pub(super) const ENCODER: u32 = 1 << 8;
    pub(super) const PROBLEM: u32 = 1 << 9;
    pub(super) const MOVING: u32 = 1 << 10;
    pub(super) const MINUS_LS: u32 = 1 << 13;
    pub(super) const HOMED: u32 = 1 << 14;
}

/// Choices of `motorSPMG`.
mod spmg {
    pub(super) const STOP: u16 = 0;
    pub(super) const PAUSE: u16 = 1;
    pub(super) const MOVE: u16 = 2;
    pub(super) const GO: u16 = 3;
}

/// Choices of `motorSTUP`.
mod stup {
    pub(super) const OFF: u16 = 0;
    pub(super) const ON: u16 = 1;
    pub(super) const BUSY: u16 = 2;
}

/// Fields that are told when they are marked, in the order in which that is done; the first ones are told
/// of alarms in any case.
const TOLD: [u16; 45] = [
    RBV, RRBV, DRBV, DIFF, RDIF, MSTA, VAL, DVAL, RVAL, TDIR, MIP, HLM, LLM, SPMG, RCNT, RLV, OFF,
    DHLM, DLLM, HLS, LLS, ATHM, MRES, ERES, UEIP, LVIO, STOP, SBAS, SREV, UREV, VELO, VBAS, MISS,
    MOVN, DMOV, STUP, JOGF, JOGR, HOMF, HOMR, RHLM, RLLM, SET, FOFF, CNEN,
];
const OFTEN: usize = 6;
/// Which of them are marked, a bit for each.
const MARKS: u16 = common::DPVT;
/// The axis.
const AXIS: u16 = CBAK;
/// Of the version of the motor module whose behaviour this is.
const VERSION: f32 = 7.2;

fn bit(field: u16) -> u64 {
    TOLD.iter().position(|&told| told == field).map_or(0, |place| 1 << place)
}

fn marks(cx: &Cx<'_>) -> u64 {
    cx.get(MARKS).as_i64() as u64
}

fn mark(cx: &mut Cx<'_>, field: u16) {
    let marks = marks(cx) | bit(field);
    cx.set(MARKS, Val::Int64(marks as i64));
}

fn unmark(cx: &mut Cx<'_>, field: u16) {
    let marks = marks(cx) & !bit(field);
    cx.set(MARKS, Val::Int64(marks as i64));
}

fn is_marked(cx: &Cx<'_>, field: u16) -> bool {
    marks(cx) & bit(field) != 0
}

/// Sets a field, which is told when the record has been processed.
fn assign(cx: &mut Cx<'_>, field: u16, val: impl Into<Val>) {
    cx.set(field, val);
    mark(cx, field);
}

/// Sets a field and tells of it at once, if it is another value.
fn correct(cx: &mut Cx<'_>, field: u16, value: f64) {
    if cx.f64(field) != value {
        cx.set(field, value);
        tell(cx, field);
    }
}

fn tell(cx: &mut Cx<'_>, field: u16) {
    cx.post(field, EventMask::VALUE.union(EventMask::LOG));
}

fn set_mip(cx: &mut Cx<'_>, value: u16) {
    assign(cx, MIP, Val::UShort(value));
}

/// 1, or -1 if dial and user coordinates have opposite directions.
fn direction(cx: &Cx<'_>) -> f64 {
    if cx.u16(DIR) == 0 { 1.0 } else { -1.0 }
}

fn is(cx: &Cx<'_>, field: u16) -> bool {
    cx.u16(field) != 0
}

/// The nearest integer, as far as there is one of 32 bits.
fn nint(value: f64) -> i32 {
    (if value > 0.0 { value + 0.5 } else { value - 0.5 }) as i32
}

/// Whether soft limits are off: both are 0.
fn unlimited(cx: &Cx<'_>) -> bool {
    cx.f64(DHLM) == cx.f64(DLLM) && cx.f64(DLLM) == 0.0
}

fn axis(cx: &Cx<'_>) -> Axis {
    Axis::load(&cx.get(AXIS))
}

/// Keeps the axis, and sees that it is asked again when something is due.
fn keep(cx: &mut Cx<'_>, axis: &Axis) {
    cx.set(AXIS, axis.store());
    let due = axis.poll.min(axis.delay);
    if due.is_finite() {
        let wait = (due - cx.seconds()).max(0.0);
        cx.call_back(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX));
    }
}

fn init(cx: &mut Cx<'_>) {
    cx.set(VERS, Val::Float(VERSION));
    special::reconcile(cx);
    let resolution = cx.f64(MRES);
    let mut axis = Axis::at(cx.f64(DVAL) / resolution);
    let limit = |name: &str| {
        let text = cx.info(name)?;
        let (value, _) = ca_proto::text::parse::strtod(text.trim().as_bytes()).ok()?;
        Some(value / resolution)
    };
    let (low, high) = (limit("hardLow"), limit("hardHigh"));
    // A negative resolution swaps them.
    axis.limit(if resolution < 0.0 { (high, low) } else { (low, high) });
    cx.set(AXIS, axis.store());
    if cx.is_constant(DOL) {
        cx.set_udf(false);
        cx.load(DOL, VAL);
    }
    if cx.f64(ERES) == 0.0 {
        cx.copy(MRES, ERES);
    }
    process::update(cx, &axis);
    process::information(cx, None, true);
    if cx.u16(OMSL) != 1 {
        cx.copy(RBV, VAL);
        cx.copy(DRBV, DVAL);
        let raw = nint(cx.f64(DVAL) / resolution);
        cx.set(RVAL, raw);
    }
    special::dial_limits(cx);
    for (field, value) in [(DMOV, 1), (MOVN, 0), (LSPG, spmg::GO), (SPMG, spmg::GO), (LVIO, 0)] {
        cx.set_u16(field, value);
    }
    let difference = cx.f64(DVAL) - cx.f64(DRBV);
    cx.set(DIFF, difference);
    cx.set(RDIF, nint(difference / resolution));
    for (new, old) in [(VAL, LVAL), (DVAL, LDVL), (RVAL, LRVL)] {
        cx.copy(new, old);
    }
    let (low, high, at) = (cx.f64(DLLM), cx.f64(DHLM), cx.f64(DRBV));
    if !unlimited(cx) && (at > high + resolution || at < low - resolution || low > high) {
        cx.set_u16(LVIO, 1);
    }
    cx.set(MARKS, Val::None);
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    let egu = view.text(EGU);
    meta.units = match field {
        VELO | VMAX | BVEL | VBAS | JVEL | HVEL => [egu, b"/sec"].concat().into(),
        JAR => [egu, b"/s/s"].concat().into(),
        ACCL | BACC => b"sec".as_slice().into(),
        S | SBAS | SBAK => b"rev/sec".as_slice().into(),
        SREV => b"steps/rev".as_slice().into(),
        UREV => [egu, b"/rev"].concat().into(),
        _ => egu.into(),
    };
    let prec = view.i32(PREC) as i16;
    meta.precision = Some(match field {
        RRBV | RMP | REP => 0,
        VERS => 2,
        _ => limits::precision(view, field, false, prec),
    });
    limits::type_range(view, field, meta);
    let range = |low, high| (view.f64(low), view.f64(high));
    let limits = match field {
        VAL | RBV => Some(range(LLM, HLM)),
        DVAL | DRBV => Some(range(DLLM, DHLM)),
        RVAL | RRBV => {
            let (low, high) = range(DLLM, DHLM);
            let resolution = view.f64(MRES);
            let (low, high) = (low / resolution, high / resolution);
            Some(if resolution >= 0.0 { (low, high) } else { (high, low) })
        }
        VELO => Some(range(VBAS, VMAX)),
        _ => None,
    };
    if let Some(limits) = limits {
        meta.display = limits;
        meta.control = limits;
    }
    if matches!(field, VAL | DVAL) {
        meta.alarm = [view.f64(LOLO), view.f64(LOW), view.f64(HIGH), view.f64(HIHI)];
    }
}
