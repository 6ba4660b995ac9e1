//! The `scaler` record of the scaler module, with a simulated counter (`scalerRecord.c`).

use super::prelude::*;

fields! { common::COUNT,
    VERS => float().special(NoMod),
    RPVT => noaccess().special(NoMod).interest(4),
    VAL => double(),
    FREQ => double().interest(1),
    CNT => menu("scalerCNT").special(Mod).pp().interest(1),
    PCNT => menu("scalerCNT").special(NoMod).interest(1),
    SS => short().special(NoMod).interest(4),
    US => short().special(NoMod).interest(4),
    CONT => menu("scalerCONT").special(Mod).pp().interest(1),
    OUT => outlink().special(NoMod).interest(1),
    RATE => float().special(Mod).initial("10"),
    RAT1 => float().special(Mod),
    DLY => float(),
    DLY1 => float(),
    NCH => short().special(NoMod).interest(1),
    D1 => menu("scalerD1").initial("1").interest(1),
    D2 => menu("scalerD1").interest(1),
    D3 => menu("scalerD1").interest(1),
    D4 => menu("scalerD1").interest(1),
    D5 => menu("scalerD1").interest(1),
    D6 => menu("scalerD1").interest(1),
    D7 => menu("scalerD1").interest(1),
    D8 => menu("scalerD1").interest(1),
    D9 => menu("scalerD1").interest(1),
    D10 => menu("scalerD1").interest(1),
    D11 => menu("scalerD1").interest(1),
    D12 => menu("scalerD1").interest(1),
    D13 => menu("scalerD1").interest(1),
    D14 => menu("scalerD1").interest(1),
    D15 => menu("scalerD1").interest(1),
    D16 => menu("scalerD1").interest(1),
    D17 => menu("scalerD1").interest(1),
    D18 => menu("scalerD1").interest(1),
    D19 => menu("scalerD1").interest(1),
    D20 => menu("scalerD1").interest(1),
    D21 => menu("scalerD1").interest(1),
    D22 => menu("scalerD1").interest(1),
    D23 => menu("scalerD1").interest(1),
    D24 => menu("scalerD1").interest(1),
    D25 => menu("scalerD1").interest(1),
    D26 => menu("scalerD1").interest(1),
    D27 => menu("scalerD1").interest(1),
    D28 => menu("scalerD1").interest(1),
    D29 => menu("scalerD1").interest(1),
    D30 => menu("scalerD1").interest(1),
    D31 => menu("scalerD1").interest(1),
    D32 => menu("scalerD1").interest(1),
    D33 => menu("scalerD1").interest(1),
    D34 => menu("scalerD1").interest(1),
    D35 => menu("scalerD1").interest(1),
    D36 => menu("scalerD1").interest(1),
    D37 => menu("scalerD1").interest(1),
    D38 => menu("scalerD1").interest(1),
    D39 => menu("scalerD1").interest(1),
    D40 => menu("scalerD1").interest(1),
    D41 => menu("scalerD1").interest(1),
    D42 => menu("scalerD1").interest(1),
    D43 => menu("scalerD1").interest(1),
    D44 => menu("scalerD1").interest(1),
    D45 => menu("scalerD1").interest(1),
    D46 => menu("scalerD1").interest(1),
    D47 => menu("scalerD1").interest(1),
    D48 => menu("scalerD1").interest(1),
    D49 => menu("scalerD1").interest(1),
    D50 => menu("scalerD1").interest(1),
    D51 => menu("scalerD1").interest(1),
    D52 => menu("scalerD1").interest(1),
    D53 => menu("scalerD1").interest(1),
    D54 => menu("scalerD1").interest(1),
    D55 => menu("scalerD1").interest(1),
    D56 => menu("scalerD1").interest(1),
    D57 => menu("scalerD1").interest(1),
    D58 => menu("scalerD1").interest(1),
    D59 => menu("scalerD1").interest(1),
    D60 => menu("scalerD1").interest(1),
    D61 => menu("scalerD1").interest(1),
    D62 => menu("scalerD1").interest(1),
    D63 => menu("scalerD1").interest(1),
    D64 => menu("scalerD1").interest(1),
    G1 => menu("scalerG1").special(Mod).initial("1").interest(1),
    G2 => menu("scalerG1").special(Mod).interest(1),
    G3 => menu("scalerG1").special(Mod).interest(1),
    G4 => menu("scalerG1").special(Mod).interest(1),
    G5 => menu("scalerG1").special(Mod).interest(1),
    G6 => menu("scalerG1").special(Mod).interest(1),
    G7 => menu("scalerG1").special(Mod).interest(1),
    G8 => menu("scalerG1").special(Mod).interest(1),
    G9 => menu("scalerG1").special(Mod).interest(1),
    G10 => menu("scalerG1").special(Mod).interest(1),
    G11 => menu("scalerG1").special(Mod).interest(1),
    G12 => menu("scalerG1").special(Mod).interest(1),
    G13 => menu("scalerG1").special(Mod).interest(1),
    G14 => menu("scalerG1").special(Mod).interest(1),
    G15 => menu("scalerG1").special(Mod).interest(1),
    G16 => menu("scalerG1").special(Mod).interest(1),
    G17 => menu("scalerG1").special(Mod).interest(1),
    G18 => menu("scalerG1").special(Mod).interest(1),
    G19 => menu("scalerG1").special(Mod).interest(1),
    G20 => menu("scalerG1").special(Mod).interest(1),
    G21 => menu("scalerG1").special(Mod).interest(1),
    G22 => menu("scalerG1").special(Mod).interest(1),
    G23 => menu("scalerG1").special(Mod).interest(1),
    G24 => menu("scalerG1").special(Mod).interest(1),
    G25 => menu("scalerG1").special(Mod).interest(1),
    G26 => menu("scalerG1").special(Mod).interest(1),
    G27 => menu("scalerG1").special(Mod).interest(1),
    G28 => menu("scalerG1").special(Mod).interest(1),
    G29 => menu("scalerG1").special(Mod).interest(1),
    G30 => menu("scalerG1").special(Mod).interest(1),
    G31 => menu("scalerG1").special(Mod).interest(1),
    G32 => menu("scalerG1").special(Mod).interest(1),
    G33 => menu("scalerG1").special(Mod).interest(1),
    G34 => menu("scalerG1").special(Mod).interest(1),
    G35 => menu("scalerG1").special(Mod).interest(1),
    G36 => menu("scalerG1").special(Mod).interest(1),
    G37 => menu("scalerG1").special(Mod).interest(1),
    G38 => menu("scalerG1").special(Mod).interest(1),
    G39 => menu("scalerG1").special(Mod).interest(1),
    G40 => menu("scalerG1").special(Mod).interest(1),
    G41 => menu("scalerG1").special(Mod).interest(1),
    G42 => menu("scalerG1").special(Mod).interest(1),
    G43 => menu("scalerG1").special(Mod).interest(1),
    G44 => menu("scalerG1").special(Mod).interest(1),
    G45 => menu("scalerG1").special(Mod).interest(1),
    G46 => menu("scalerG1").special(Mod).interest(1),
    G47 => menu("scalerG1").special(Mod).interest(1),
    G48 => menu("scalerG1").special(Mod).interest(1),
    G49 => menu("scalerG1").special(Mod).interest(1),
    G50 => menu("scalerG1").special(Mod).interest(1),
    G51 => menu("scalerG1").special(Mod).interest(1),
    G52 => menu("scalerG1").special(Mod).interest(1),
    G53 => menu("scalerG1").special(Mod).interest(1),
    G54 => menu("scalerG1").special(Mod).interest(1),
    G55 => menu("scalerG1").special(Mod).interest(1),
    G56 => menu("scalerG1").special(Mod).interest(1),
    G57 => menu("scalerG1").special(Mod).interest(1),
    G58 => menu("scalerG1").special(Mod).interest(1),
    G59 => menu("scalerG1").special(Mod).interest(1),
    G60 => menu("scalerG1").special(Mod).interest(1),
    G61 => menu("scalerG1").special(Mod).interest(1),
    G62 => menu("scalerG1").special(Mod).interest(1),
    G63 => menu("scalerG1").special(Mod).interest(1),
    G64 => menu("scalerG1").special(Mod).interest(1),
    TP => double().special(Mod).interest(1),
    TP1 => double().special(Mod).initial("1").interest(1),
    PR1 => ulong().special(Mod).interest(1),
    PR2 => ulong().special(Mod).interest(1),
    PR3 => ulong().special(Mod).interest(1),
    PR4 => ulong().special(Mod).interest(1),
    PR5 => ulong().special(Mod).interest(1),
    PR6 => ulong().special(Mod).interest(1),
    PR7 => ulong().special(Mod).interest(1),
    PR8 => ulong().special(Mod).interest(1),
    PR9 => ulong().special(Mod).interest(1),
    PR10 => ulong().special(Mod).interest(1),
    PR11 => ulong().special(Mod).interest(1),
    PR12 => ulong().special(Mod).interest(1),
    PR13 => ulong().special(Mod).interest(1),
    PR14 => ulong().special(Mod).interest(1),
    PR15 => ulong().special(Mod).interest(1),
    PR16 => ulong().special(Mod).interest(1),
    PR17 => ulong().special(Mod).interest(1),
    PR18 => ulong().special(Mod).interest(1),
    PR19 => ulong().special(Mod).interest(1),
    PR20 => ulong().special(Mod).interest(1),
    PR21 => ulong().special(Mod).interest(1),
    PR22 => ulong().special(Mod).interest(1),
    PR23 => ulong().special(Mod).interest(1),
    PR24 => ulong().special(Mod).interest(1),
    PR25 => ulong().special(Mod).interest(1),
    PR26 => ulong().special(Mod).interest(1),
    PR27 => ulong().special(Mod).interest(1),
    PR28 => ulong().special(Mod).interest(1),
    PR29 => ulong().special(Mod).interest(1),
    PR30 => ulong().special(Mod).interest(1),
    PR31 => ulong().special(Mod).interest(1),
    PR32 => ulong().special(Mod).interest(1),
    PR33 => ulong().special(Mod).interest(1),
    PR34 => ulong().special(Mod).interest(1),
    PR35 => ulong().special(Mod).interest(1),
    PR36 => ulong().special(Mod).interest(1),
    PR37 => ulong().special(Mod).interest(1),
    PR38 => ulong().special(Mod).interest(1),
    PR39 => ulong().special(Mod).interest(1),
    PR40 => ulong().special(Mod).interest(1),
    PR41 => ulong().special(Mod).interest(1),
    PR42 => ulong().special(Mod).interest(1),
    PR43 => ulong().special(Mod).interest(1),
    PR44 => ulong().special(Mod).interest(1),
    PR45 => ulong().special(Mod).interest(1),
    PR46 => ulong().special(Mod).interest(1),
    PR47 => ulong().special(Mod).interest(1),
    PR48 => ulong().special(Mod).interest(1),
    PR49 => ulong().special(Mod).interest(1),
    PR50 => ulong().special(Mod).interest(1),
    PR51 => ulong().special(Mod).interest(1),
    PR52 => ulong().special(Mod).interest(1),
    PR53 => ulong().special(Mod).interest(1),
    PR54 => ulong().special(Mod).interest(1),
    PR55 => ulong().special(Mod).interest(1),
    PR56 => ulong().special(Mod).interest(1),
    PR57 => ulong().special(Mod).interest(1),
    PR58 => ulong().special(Mod).interest(1),
    PR59 => ulong().special(Mod).interest(1),
    PR60 => ulong().special(Mod).interest(1),
    PR61 => ulong().special(Mod).interest(1),
    PR62 => ulong().special(Mod).interest(1),
    PR63 => ulong().special(Mod).interest(1),
    PR64 => ulong().special(Mod).interest(1),
    T => double().special(NoMod).interest(1),
    S1 => ulong().special(NoMod).interest(1),
    S2 => ulong().special(NoMod).interest(1),
    S3 => ulong().special(NoMod).interest(1),
    S4 => ulong().special(NoMod).interest(1),
    S5 => ulong().special(NoMod).interest(1),
    S6 => ulong().special(NoMod).interest(1),
    S7 => ulong().special(NoMod).interest(1),
    S8 => ulong().special(NoMod).interest(1),
    S9 => ulong().special(NoMod).interest(1),
    S10 => ulong().special(NoMod).interest(1),
    S11 => ulong().special(NoMod).interest(1),
    S12 => ulong().special(NoMod).interest(1),
    S13 => ulong().special(NoMod).interest(1),
    S14 => ulong().special(NoMod).interest(1),
    S15 => ulong().special(NoMod).interest(1),
    S16 => ulong().special(NoMod).interest(1),
    S17 => ulong().special(NoMod).interest(1),
    S18 => ulong().special(NoMod).interest(1),
    S19 => ulong().special(NoMod).interest(1),
    S20 => ulong().special(NoMod).interest(1),
    S21 => ulong().special(NoMod).interest(1),
    S22 => ulong().special(NoMod).interest(1),
    S23 => ulong().special(NoMod).interest(1),
    S24 => ulong().special(NoMod).interest(1),
    S25 => ulong().special(NoMod).interest(1),
    S26 => ulong().special(NoMod).interest(1),
    S27 => ulong().special(NoMod).interest(1),
    S28 => ulong().special(NoMod).interest(1),
    S29 => ulong().special(NoMod).interest(1),
    S30 => ulong().special(NoMod).interest(1),
    S31 => ulong().special(NoMod).interest(1),
    S32 => ulong().special(NoMod).interest(1),
    S33 => ulong().special(NoMod).interest(1),
    S34 => ulong().special(NoMod).interest(1),
    S35 => ulong().special(NoMod).interest(1),
    S36 => ulong().special(NoMod).interest(1),
    S37 => ulong().special(NoMod).interest(1),
    S38 => ulong().special(NoMod).interest(1),
    S39 => ulong().special(NoMod).interest(1),
    S40 => ulong().special(NoMod).interest(1),
    S41 => ulong().special(NoMod).interest(1),
    S42 => ulong().special(NoMod).interest(1),
    S43 => ulong().special(NoMod).interest(1),
    S44 => ulong().special(NoMod).interest(1),
    S45 => ulong().special(NoMod).interest(1),
    S46 => ulong().special(NoMod).interest(1),
    S47 => ulong().special(NoMod).interest(1),
    S48 => ulong().special(NoMod).interest(1),
    S49 => ulong().special(NoMod).interest(1),
    S50 => ulong().special(NoMod).interest(1),
    S51 => ulong().special(NoMod).interest(1),
    S52 => ulong().special(NoMod).interest(1),
    S53 => ulong().special(NoMod).interest(1),
    S54 => ulong().special(NoMod).interest(1),
    S55 => ulong().special(NoMod).interest(1),
    S56 => ulong().special(NoMod).interest(1),
    S57 => ulong().special(NoMod).interest(1),
    S58 => ulong().special(NoMod).interest(1),
    S59 => ulong().special(NoMod).interest(1),
    S60 => ulong().special(NoMod).interest(1),
    S61 => ulong().special(NoMod).interest(1),
    S62 => ulong().special(NoMod).interest(1),
    S63 => ulong().special(NoMod).interest(1),
    S64 => ulong().special(NoMod).interest(1),
    NM1 => string(16).interest(1),
    NM2 => string(16).interest(1),
    NM3 => string(16).interest(1),
    NM4 => string(16).interest(1),
    NM5 => string(16).interest(1),
    NM6 => string(16).interest(1),
    NM7 => string(16).interest(1),
    NM8 => string(16).interest(1),
    NM9 => string(16).interest(1),
    NM10 => string(16).interest(1),
    NM11 => string(16).interest(1),
    NM12 => string(16).interest(1),
    NM13 => string(16).interest(1),
    NM14 => string(16).interest(1),
    NM15 => string(16).interest(1),
    NM16 => string(16).interest(1),
    NM17 => string(16).interest(1),
    NM18 => string(16).interest(1),
    NM19 => string(16).interest(1),
    NM20 => string(16).interest(1),
    NM21 => string(16).interest(1),
    NM22 => string(16).interest(1),
    NM23 => string(16).interest(1),
    NM24 => string(16).interest(1),
    NM25 => string(16).interest(1),
    NM26 => string(16).interest(1),
    NM27 => string(16).interest(1),
    NM28 => string(16).interest(1),
    NM29 => string(16).interest(1),
    NM30 => string(16).interest(1),
    NM31 => string(16).interest(1),
    NM32 => string(16).interest(1),
    NM33 => string(16).interest(1),
    NM34 => string(16).interest(1),
    NM35 => string(16).interest(1),
    NM36 => string(16).interest(1),
    NM37 => string(16).interest(1),
    NM38 => string(16).interest(1),
    NM39 => string(16).interest(1),
    NM40 => string(16).interest(1),
    NM41 => string(16).interest(1),
    NM42 => string(16).interest(1),
    NM43 => string(16).interest(1),
    NM44 => string(16).interest(1),
    NM45 => string(16).interest(1),
    NM46 => string(16).interest(1),
    NM47 => string(16).interest(1),
    NM48 => string(16).interest(1),
    NM49 => string(16).interest(1),
    NM50 => string(16).interest(1),
    NM51 => string(16).interest(1),
    NM52 => string(16).interest(1),
    NM53 => string(16).interest(1),
    NM54 => string(16).interest(1),
    NM55 => string(16).interest(1),
    NM56 => string(16).interest(1),
    NM57 => string(16).interest(1),
    NM58 => string(16).interest(1),
    NM59 => string(16).interest(1),
    NM60 => string(16).interest(1),
    NM61 => string(16).interest(1),
    NM62 => string(16).interest(1),
    NM63 => string(16).interest(1),
    NM64 => string(16).interest(1),
    EGU => string(16).interest(1),
    PREC => short().interest(1),
    COUT => outlink().special(Mod).interest(1),
    COUTP => outlink().special(Mod).interest(1),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "scaler",
    fields: FIELDS,
    devices: &[("Soft Channel", DeviceAddress::Constant), ("Soft Scaler", DeviceAddress::Instrument), ("Asyn Scaler", DeviceAddress::Instrument), ("Joerger VSC8/16", DeviceAddress::Card)],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    init,
    process,
    callback,
    special: Some(special),
    meta,
    ..Support::HOLDER
};

use std::time::Duration;

/// Channels of the simulated scaler, of the 64 that the record has room for.
const CHANNELS: u16 = 32;
/// Counts of a second of the second channel; the third one has twice as many, and so on. Channel 1 counts
/// the clock, FREQ.
const RATE_OF_CHANNEL: f64 = 1000.0;

/// SS
mod counting {
    pub(super) const IDLE: u16 = 0;
    pub(super) const WAITING: u16 = 1;
    pub(super) const COUNTING: u16 = 2;
}

/// US
mod user {
    pub(super) const IDLE: u16 = 0;
    pub(super) const WAITING: u16 = 1;
    pub(super) const REQUESTED: u16 = 2;
    pub(super) const COUNTING: u16 = 3;
}

/// When it began to count and when it ends; what else is due.
#[derive(Clone, Copy)]
struct Counter {
    since: f64,
    end: f64,
    /// When it stopped counting, if it does not count.
    stopped: f64,
    /// When DLY or DLY1 has passed.
    begin: f64,
    /// When clients see the counts next.
    update: f64,
}

fn counter(cx: &Cx<'_>) -> Counter {
    let all = match cx.get(RPVT) {
        Val::Array(all) => all,
        _ => std::sync::Arc::new(Array::empty(Dbf::Double)),
    };
    let number = |place, none| all.get(place).map_or(none, |val: Val| val.as_f64());
    Counter {
        since: number(0, 0.0),
        end: number(1, f64::INFINITY),
        stopped: number(2, 0.0),
        begin: number(3, f64::INFINITY),
        update: number(4, f64::INFINITY),
    }
}

fn keep(cx: &mut Cx<'_>, counter: Counter) {
    let Counter { since, end, stopped, begin, update } = counter;
    cx.set(RPVT, Val::from(Array::Double(vec![since, end, stopped, begin, update])));
    // What is due now is seen to already.
    let now = cx.seconds() + 1e-6;
    let due = [end, begin, update].into_iter().filter(|&at| at > now).fold(f64::INFINITY, f64::min);
    if due.is_finite() {
        let wait = (due - cx.seconds()).max(0.0);
        cx.call_back(Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX));
    }
}

fn init(cx: &mut Cx<'_>) {
    cx.set(VERS, Val::Float(3.19));
    cx.set(VAL, 0.0);
    cx.set_u16(NCH, CHANNELS);
    if cx.f64(FREQ) == 0.0 {
        cx.set(FREQ, 1e7);
    }
    if cx.f64(TP) == 0.0 && cx.u32(PR1) == 0 {
        cx.set(TP, 1.0);
    }
    if cx.f64(TP) != 0.0 {
        ticks_of_time(cx);
    } else {
        time_of_ticks(cx);
    }
}

fn ticks_of_time(cx: &mut Cx<'_>) {
    let ticks = cx.f64(TP) * cx.f64(FREQ);
    cx.set(PR1, ticks as u32);
}

fn time_of_ticks(cx: &mut Cx<'_>) {
    let time = f64::from(cx.u32(PR1)) / cx.f64(FREQ);
    cx.set(TP, time);
}

/// Counts of a second of a channel.
fn rate(cx: &Cx<'_>, n: u16) -> f64 {
    if n == 0 { cx.f64(FREQ) } else { RATE_OF_CHANNEL * f64::from(n) }
}

fn tell(cx: &mut Cx<'_>, field: u16) {
    cx.post(field, EventMask::VALUE);
}

/// Something is due: the end, the delay, or an update.
fn callback(cx: &mut Cx<'_>) {
    let now = cx.seconds() + 1e-6;
    let mut counter = counter(cx);
    let mut process = false;
    if now >= counter.begin {
        counter.begin = f64::INFINITY;
        if cx.u16(US) == user::WAITING {
            cx.set_u16(US, user::REQUESTED);
        }
        process = true;
    }
    process |= now >= counter.end;
    if now >= counter.update {
        let often = cx.f64(if cx.u16(US) == user::COUNTING { RATE } else { RAT1 });
        counter.update = if often > 0.1 { now + 1.0 / often } else { f64::INFINITY };
        keep(cx, counter);
        if !process {
            show(cx);
        }
    } else {
        keep(cx, counter);
    }
    if process {
        cx.process();
    }
}

/// Shows the counts (`updateCounts`).
fn show(cx: &mut Cx<'_>) {
    let counter = counter(cx);
    let until = if cx.u16(SS) == counting::COUNTING { cx.seconds().min(counter.end) } else { counter.stopped };
    let time = (until - counter.since).max(0.0);
    let waits = cx.u16(US) == user::WAITING;
    for n in 0..CHANNELS {
        let counts = if waits { 0.0 } else { (time * rate(cx, n)).round() };
        let counts = counts as u32;
        if cx.u32(S1 + n) != counts {
            cx.set(S1 + n, counts);
            tell(cx, S1 + n);
        }
    }
    let time = f64::from(cx.u32(S1)) / cx.f64(FREQ);
    if cx.f64(T) != time {
        cx.set(T, time);
        tell(cx, T);
    }
}

/// Begins to count; `time` is that of auto-count, otherwise presets end it.
fn arm(cx: &mut Cx<'_>, time: Option<f64>, often: f64) {
    let now = cx.seconds();
    let preset = |cx: &Cx<'_>, n: u16| {
        let gated = cx.u16(G1 + n) == 1;
        gated.then(|| f64::from(cx.u32(PR1 + n)) / rate(cx, n))
    };
    let time = time.unwrap_or_else(|| {
        (0..CHANNELS).filter_map(|n| preset(cx, n)).fold(f64::INFINITY, f64::min)
    });
    cx.set_u16(SS, counting::COUNTING);
    let update = if often > 0.1 { now + 1.0 / often } else { f64::INFINITY };
    keep(cx, Counter { since: now, end: now + time, stopped: now, begin: f64::INFINITY, update });
}

fn disarm(cx: &mut Cx<'_>) {
    let mut counter = counter(cx);
    counter.stopped = cx.seconds().min(counter.end);
    counter.end = f64::INFINITY;
    counter.update = f64::INFINITY;
    cx.set_u16(SS, counting::IDLE);
    keep(cx, counter);
}

/// Stages: 0 begins, 1 and 2 have written COUT and COUTP.
fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    match stage {
        0 => run(cx),
        1 => finish(cx, true),
        _ => finish(cx, false),
    }
}

fn run(cx: &mut Cx<'_>) -> Flow {
    cx.set_udf(false);
    // Told apart from the state that this leaves behind.
    let counted = cx.u16(SS) == counting::COUNTING;
    cx.set(common::DPVT, Val::UChar(counted.into()));
    let (mut started, mut finished) = (false, false);
    if counted && cx.seconds() + 1e-6 >= counter(cx).end {
        disarm(cx);
        if cx.u16(US) == user::COUNTING {
            cx.set_u16(CNT, 0);
            tell(cx, CNT);
            cx.set_u16(US, user::IDLE);
            finished = true;
        }
    }
    let count = cx.u16(CNT) == 1;
    if cx.u16(CNT) != cx.u16(PCNT) {
        if count && matches!(cx.u16(US), user::REQUESTED | user::WAITING) {
            if cx.u16(SS) == counting::COUNTING {
                disarm(cx);
            }
            if cx.u16(US) == user::REQUESTED {
                let ticks = (cx.f64(TP) * cx.f64(FREQ)).round() as u32;
                if cx.u32(PR1) != ticks {
                    cx.set(PR1, ticks);
                    tell(cx, PR1);
                }
                for n in 0..CHANNELS {
                    cx.copy(G1 + n, D1 + n);
                }
                let often = cx.f64(RATE);
                arm(cx, None, often);
                cx.set_u16(US, user::COUNTING);
                cx.copy(CNT, PCNT);
                started = true;
            }
        } else if !count {
            if cx.u16(SS) != counting::IDLE {
                disarm(cx);
            }
            cx.set_u16(SS, counting::IDLE);
            cx.set_u16(US, user::IDLE);
            cx.copy(CNT, PCNT);
            finished = true;
        }
    }
    show(cx);
    if started || finished {
        let val = Val::Short(cx.u16(CNT) as i16);
        cx.want_put(COUT, val.clone());
        if finished {
            cx.want_put(COUTP, val);
            return Flow::Then(1);
        }
    }
    Flow::Then(2)
}

fn finish(cx: &mut Cx<'_>, just_finished: bool) -> Flow {
    let counted = cx.get(common::DPVT) == Val::UChar(1);
    let mut ended = false;
    if cx.u16(SS) == counting::IDLE {
        cx.timestamp();
        cx.check_undefined();
        let mask = cx.reset_alarms();
        cx.post(VAL, mask);
        if cx.u16(PCNT) == 0 && cx.u16(US) == user::IDLE {
            if counted {
                cx.copy(T, VAL);
                tell(cx, VAL);
            }
            ended = true;
        }
    }
    if cx.u16(US) == user::IDLE && cx.u16(CONT) == 1 && cx.u16(SS) != counting::COUNTING {
        auto_count(cx, just_finished);
    }
    // Who waits for a count waits until it is done.
    if ended { Flow::Done } else { Flow::Stop }
}

/// Counts by itself while nobody counts.
fn auto_count(cx: &mut Cx<'_>, just_finished: bool) {
    let mut delay = cx.f64(DLY1).max(0.0);
    if just_finished {
        // Who waited sees what was counted.
        delay = delay.max(10.0);
    }
    if delay > 0.0 && cx.u16(SS) != counting::WAITING {
        cx.set_u16(SS, counting::WAITING);
        let mut counter = counter(cx);
        counter.begin = cx.seconds() + delay;
        return keep(cx, counter);
    }
    let (time, often) = (cx.f64(TP1), cx.f64(RAT1));
    arm(cx, (time >= 1e-3).then_some(time), often);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    if !after {
        return Ok(());
    }
    let gate = |cx: &mut Cx<'_>, n: u16| {
        for field in [D1 + n, G1 + n] {
            cx.set_u16(field, 1);
            tell(cx, field);
        }
    };
    let of = |first: u16| field.checked_sub(first).filter(|&n| n < 64);
    match field {
        CNT => count_written(cx),
        TP => {
            ticks_of_time(cx);
            tell(cx, PR1);
            gate(cx, 0);
        }
        PR1 => {
            time_of_ticks(cx);
            tell(cx, TP);
            if cx.f64(TP) > 0.0 {
                gate(cx, 0);
            }
        }
        RATE => {
            let rate = cx.f64(RATE).clamp(0.0, 60.0);
            cx.set(RATE, rate);
        }
        _ => {
            if let Some(n) = of(PR1).filter(|&n| cx.u32(PR1 + n) > 0) {
                gate(cx, n);
            } else if let Some(n) = of(G1)
                && cx.u16(field) == 1
                && cx.u32(PR1 + n) == 0
            {
                cx.set(PR1 + n, 1000u32);
                tell(cx, PR1 + n);
            }
        }
    }
    Ok(())
}

fn count_written(cx: &mut Cx<'_>) {
    let count = cx.u16(CNT) == 1;
    if count && cx.u16(US) != user::IDLE {
        return;
    }
    let delay = cx.f64(DLY).max(0.0);
    let mut counter = counter(cx);
    if count && delay > 0.0 {
        cx.set_u16(US, user::WAITING);
        counter.begin = cx.seconds() + delay;
        keep(cx, counter);
    } else if count {
        cx.set_u16(US, user::REQUESTED);
    } else if matches!(cx.u16(US), user::WAITING | user::REQUESTED) {
        cx.set_u16(US, user::IDLE);
        counter.begin = f64::INFINITY;
        keep(cx, counter);
    }
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    meta.precision = Some(limits::precision(view, field, field == VAL, view.i32(PREC) as i16));
    limits::type_range(view, field, meta);
}
