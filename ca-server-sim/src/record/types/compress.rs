//! The `compress` record: fewer values, or the last ones (`compressRecord.c` of EPICS Base).

use super::prelude::*;

fields! { common::COUNT,
    VAL => noaccess().asl0().special(DbAddr).pp(),
    INP => inlink().interest(1),
    RES => short().asl0().special(Reset).interest(3),
    ALG => menu("compressALG").special(Reset).interest(1),
    PBUF => menu("menuYesNo").special(Reset).initial("NO").interest(1),
    BALG => menu("bufferingALG").special(Reset).interest(1),
    NSAM => ulong().special(NoMod).initial("1").interest(1),
    N => ulong().special(Reset).initial("1").interest(1),
    IHIL => double().interest(1),
    ILIL => double().interest(1),
    HOPR => double().prop().interest(1),
    LOPR => double().prop().interest(1),
    PREC => short().prop().interest(1),
    EGU => string(16).prop().interest(1),
    OFF => ulong().special(NoMod),
    NUSE => ulong().special(NoMod),
    OUSE => ulong().special(NoMod),
    BPTR => noaccess().special(NoMod).interest(4),
    SPTR => noaccess().special(NoMod).interest(4),
    WPTR => noaccess().special(NoMod).interest(4),
    INPN => long().special(NoMod).interest(4),
    CVB => double().special(NoMod).interest(3),
    INX => ulong().special(NoMod).interest(3),
}

/// The record type.
pub(crate) const TYPE: TypeDef = TypeDef {
    name: "compress",
    fields: FIELDS,
    devices: &[],
    support: &SUPPORT,
};

const SUPPORT: Support = Support {
    prepare,
    process,
    special: Some(special),
    array,
    stored,
    meta,
    ..Support::HOLDER
};

/// `compressALG`
mod alg {
    pub(super) const LOW: u16 = 0;
    pub(super) const HIGH: u16 = 1;
    pub(super) const AVERAGE_OF_N: u16 = 2;
    pub(super) const AVERAGE: u16 = 3;
    pub(super) const CIRCULAR: u16 = 4;
    pub(super) const MEDIAN: u16 = 5;
}

fn prepare(cx: &mut Cx<'_>) {
    let samples = cx.u32(NSAM).max(1);
    cx.set(NSAM, samples);
    reset(cx);
}

fn reset(cx: &mut Cx<'_>) {
    for field in [NUSE, OFF, INX] {
        cx.set(field, 0u32);
    }
    cx.set(CVB, 0.0);
    cx.set_u16(RES, 0);
    cx.set(BPTR, Val::None);
    show(cx);
}

/// The buffer: as many samples as there is room for, of which VAL shows those in use.
fn buffer(cx: &Cx<'_>) -> Vec<f64> {
    numbers(cx, BPTR, cx.u32(NSAM) as usize)
}

fn numbers(cx: &Cx<'_>, field: u16, count: usize) -> Vec<f64> {
    let mut all = match cx.get(field) {
        Val::Array(all) => all.iter().map(|val| val.as_f64()).collect(),
        _ => Vec::new(),
    };
    all.resize(count, 0.0);
    all
}

/// The samples in use from the first one on (`get_array_info`).
fn show(cx: &mut Cx<'_>) {
    let (samples, used) = (cx.u32(NSAM) as usize, cx.u32(NUSE) as usize);
    let first = first_used(cx, samples, used);
    let buffer = buffer(cx);
    let all = buffer.iter().cycle().skip(first).take(used).copied().collect();
    cx.set(VAL, Array::Double(all));
}

fn first_used(cx: &Cx<'_>, samples: usize, used: usize) -> usize {
    let next = cx.u32(OFF) as usize;
    if cx.u16(BALG) == 0 { (next + samples - used) % samples } else { next }
}

fn put(cx: &mut Cx<'_>, new: &[f64]) {
    let samples = cx.u32(NSAM) as usize;
    let mut buffer = buffer(cx);
    let mut place = cx.u32(OFF) as usize;
    let first_in_first_out = cx.u16(BALG) == 0;
    for &value in new {
        if !first_in_first_out {
            place = (place + samples - 1) % samples;
        }
        buffer[place] = value;
        if first_in_first_out {
            place = (place + 1) % samples;
        }
    }
    let used = (cx.u32(NUSE) as usize + new.len()).min(samples);
    cx.set(BPTR, Val::from(Array::Double(buffer)));
    cx.set(OFF, place as u32);
    cx.set(NUSE, used as u32);
    show(cx);
}

fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
    if stage == 0 {
        match cx.linked_count(INP) {
            Some(count) if count > 0 => {
                if cx.get(WPTR) == Val::None || cx.i32(INPN) as usize != count {
                    if cx.get(WPTR) != Val::None {
                        reset(cx);
                    }
                    cx.set(WPTR, Val::UChar(1));
                    cx.set(INPN, count as i32);
                }
                cx.want_array(INP, Dbf::Double, count);
                return Flow::Then(1);
            }
            _ => {
                cx.alarm(stat::LINK, 3);
                return finish(cx);
            }
        }
    }
    let source: Vec<f64> = match cx.got().first() {
        Some(Got::Val(Val::Array(all))) => all.iter().map(|val| val.as_f64()).collect(),
        _ => Vec::new(),
    };
    let done = if source.is_empty() {
        cx.alarm(stat::LINK, 3);
        true
    } else {
        compress(cx, source)
    };
    if done { finish(cx) } else { Flow::Stop }
}

/// Takes what INP gave; whether there is something new.
fn compress(cx: &mut Cx<'_>, source: Vec<f64>) -> bool {
    match cx.u16(ALG) {
        alg::AVERAGE => average(cx, &source),
        alg::CIRCULAR => {
            put(cx, &source);
            true
        }
        _ => match source.as_slice() {
            [value] => compress_scalar(cx, *value),
            _ => compress_array(cx, source),
        },
    }
}

/// `compress_array`
fn compress_array(cx: &mut Cx<'_>, mut source: Vec<f64>) -> bool {
    let (low, high) = (cx.f64(ILIL), cx.f64(IHIL));
    if low < high {
        // Only what is beyond the limits at the beginning is left out.
        let inside = source.iter().position(|value| !(*value < low || *value > high));
        source.drain(..inside.unwrap_or(source.len()));
    }
    let n = count(cx);
    source.truncate((cx.u32(NSAM) as usize).saturating_mul(n));
    let mut new = Vec::new();
    for part in source.chunks_mut(n) {
        if part.len() < n && cx.u16(PBUF) == 0 {
            break;
        }
        new.push(match cx.u16(ALG) {
            alg::LOW => part.iter().copied().reduce(|a, b| if a > b { b } else { a }),
            alg::HIGH => part.iter().copied().reduce(|a, b| if a < b { b } else { a }),
            alg::AVERAGE_OF_N => {
                part.iter().copied().reduce(|a, b| a + b).map(|sum| sum / part.len() as f64)
            }
            alg::MEDIAN => {
                part.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Greater));
                part.get(part.len() / 2).copied()
            }
            _ => None,
        });
    }
    let new: Vec<f64> = new.into_iter().map(|value| value.unwrap_or(0.0)).collect();
    put(cx, &new);
    !new.is_empty()
}

/// N, which is 1 at least.
fn count(cx: &mut Cx<'_>) -> usize {
    if cx.u32(N) == 0 {
        cx.set(N, 1u32);
    }
    cx.u32(N) as usize
}

/// `array_average`
fn average(cx: &mut Cx<'_>, source: &[f64]) -> bool {
    let used = source.len().min(cx.u32(NSAM) as usize);
    let done = cx.u32(INX);
    let mut sums = numbers(cx, SPTR, cx.u32(NSAM) as usize);
    for (sum, value) in sums.iter_mut().zip(source) {
        *sum = if done == 0 { *value } else { *sum + value };
    }
    let n = count(cx);
    let full = done as usize + 1 >= n;
    cx.set(INX, if full { 0 } else { done + 1 });
    if full {
        if n > 1 {
            let factor = 1.0 / n as f64;
            sums.iter_mut().take(used).for_each(|sum| *sum *= factor);
        }
        put(cx, &sums[..used]);
    }
    cx.set(SPTR, Val::from(Array::Double(sums)));
    full
}

/// `compress_scalar`, which has the average in place of the median.
fn compress_scalar(cx: &mut Cx<'_>, value: f64) -> bool {
    let (old, done) = (cx.f64(CVB), cx.u32(INX));
    let new = match cx.u16(ALG) {
        alg::LOW if value < old || done == 0 => value,
        alg::HIGH if value > old || done == 0 => value,
        alg::AVERAGE_OF_N | alg::MEDIAN => {
            (f64::from(done) * old + value) / (f64::from(done) + 1.0)
        }
        _ => old,
    };
    cx.set(CVB, new);
    let full = done + 1 >= cx.u32(N);
    cx.set(INX, if full { 0 } else { done + 1 });
    let tells = full || cx.u16(PBUF) == 1;
    if tells {
        put(cx, &[new]);
    }
    tells
}

fn finish(cx: &mut Cx<'_>) -> Flow {
    cx.set_udf(false);
    cx.timestamp();
    monitor(cx);
    Flow::Done
}

fn monitor(cx: &mut Cx<'_>) {
    let alarm = cx.reset_alarms();
    let mask = alarm.union(EventMask::VALUE).union(EventMask::LOG);
    if alarm.0 != 0 || cx.u32(NUSE) != cx.u32(OUSE) {
        cx.post(NUSE, mask);
        cx.copy(NUSE, OUSE);
    }
    cx.post(VAL, mask);
}

fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
    match (field, after) {
        // A stack cannot be written (`cvt_dbaddr`).
        (VAL, false) if cx.u16(BALG) == 1 => return Err(PutError::NoMod),
        (VAL, _) | (_, false) => {}
        _ => {
            reset(cx);
            monitor(cx);
        }
    }
    Ok(())
}

fn array(view: &View<'_>, field: u16) -> Option<ArrayShape> {
    let capacity = || view.get(NSAM).as_u32() as usize;
    (field == VAL).then(|| ArrayShape { dbf: Dbf::Double, capacity: capacity() })
}

/// What a client wrote overwrites from the first sample on, and counts as new (`put_array_info`).
fn stored(cx: &mut Cx<'_>, _: u16, count: usize) {
    let new = numbers(cx, VAL, count);
    let (samples, used) = (cx.u32(NSAM) as usize, cx.u32(NUSE) as usize);
    let first = first_used(cx, samples, used);
    let mut buffer = buffer(cx);
    for (n, value) in new.into_iter().enumerate() {
        buffer[(first + n) % samples] = value;
    }
    cx.set(BPTR, Val::from(Array::Double(buffer)));
    let next = (cx.u32(OFF) as usize + count) % samples;
    cx.set(OFF, next as u32);
    let now = (used + count).min(samples);
    cx.set(NUSE, now as u32);
    show(cx);
    if now != used {
        cx.post(NUSE, EventMask::VALUE.union(EventMask::LOG));
    }
}

fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
    if field == VAL || view.of().field(field).dbf == Dbf::Double {
        meta.units = view.text(EGU).into();
    }
    meta.precision = Some(limits::precision(view, field, field == VAL, view.i32(PREC) as i16));
    if matches!(field, VAL | IHIL | ILIL) {
        meta.display = (view.f64(LOPR), view.f64(HOPR));
        meta.control = meta.display;
    } else {
        limits::type_range(view, field, meta);
    }
}
