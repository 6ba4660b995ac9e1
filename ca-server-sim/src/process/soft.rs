//! What record types with a device support share: simulation mode, and reading and writing through
//! `Soft Channel` and its like (`dev*Soft*.c`, `recGblGetSimm` of EPICS Base).

use std::time::Duration;

use super::cx::{Cx, Got};
use crate::record::{Dbf, DeviceKind, FieldSet, Flow};

/// Stages from 16 on belong to this module.
const MODE: u8 = 16;
const DEVICE: u8 = 17;
const SIMULATED: u8 = 18;
const DELAYED: u8 = 19;
/// What INP leads to has been processed (`Async Soft Channel`).
const PROCESSED: u8 = 20;

/// The fields of simulation mode.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulation {
    pub siml: u16,
    pub siol: u16,
    pub simm: u16,
    pub oldsimm: u16,
    pub sims: u16,
    pub sscn: u16,
    pub sdly: u16,
    /// Without these the record is never simulated.
    pub all: FieldSet,
}

/// The fields of simulation mode, which have these names in each record type.
macro_rules! simulation {
    () => {
        $crate::process::Simulation {
            siml: SIML,
            siol: SIOL,
            simm: SIMM,
            oldsimm: OLDSIMM,
            sims: SIMS,
            sscn: SSCN,
            sdly: SDLY,
            all: $crate::record::FieldSet::of(&[SIML, SIMM, SSCN]),
        }
    };
}
pub(crate) use simulation;

impl Simulation {
    /// At the record's start (`recGblInitSimm`).
    pub(crate) fn init(&self, cx: &mut Cx<'_>) {
        if cx.is_constant(self.siml) {
            self.save(cx);
            cx.load(self.siml, self.simm);
            self.check(cx);
        }
    }

    /// Before and after SIMM is written; the `special` of record types that have no other.
    pub(crate) fn special(&self, cx: &mut Cx<'_>, field: u16, after: bool) {
        if field == self.simm {
            if after { self.check(cx) } else { self.save(cx) }
        }
    }

    fn save(&self, cx: &mut Cx<'_>) {
        if cx.u16(self.sscn) != u16::MAX {
            cx.copy(self.simm, self.oldsimm);
        }
    }

    /// Another mode, another SCAN (`recGblCheckSimm`).
    fn check(&self, cx: &mut Cx<'_>) {
        if cx.u16(self.sscn) != u16::MAX && cx.u16(self.simm) != cx.u16(self.oldsimm) {
            cx.swap_scan(self.sscn);
        }
    }

    /// Asks SIML for the mode; whether it has to be waited for.
    fn ask_mode(&self, cx: &mut Cx<'_>) -> bool {
        if cx.lacks(&self.all) {
            return false;
        }
        self.save(cx);
        if cx.is_constant(self.siml) {
            return false;
        }
        cx.want_quietly(self.siml, Dbf::UShort);
        true
    }

    /// SIMM.
    fn mode(&self, cx: &Cx<'_>) -> u16 {
        match cx.has(self.simm) {
            true => cx.u16(self.simm),
            false => 0,
        }
    }

    fn take_mode(&self, cx: &mut Cx<'_>) {
        match cx.got().first().cloned() {
            Some(Got::Val(mode)) => cx.set(self.simm, mode),
            Some(Got::Failed) => cx.set_status(stat::LINK),
            _ => {}
        }
        self.check(cx);
    }

    /// A delay of the simulated device.
    fn delay(&self, cx: &Cx<'_>) -> Option<Duration> {
        Duration::try_from_secs_f64(cx.f64(self.sdly)).ok()
    }
}

/// What an input record has to go on with.
#[derive(Debug)]
pub(crate) enum Input {
    /// Something else comes first.
    Wait(Flow),
    /// The device gave this.
    Device(Got),
    /// SIOL gave this, and SIMM is this.
    Simulated(Got, u16),
    /// SIMM is none that there is.
    Failed,
}

impl Input {
    /// Reads what an input record is processed for: from SIOL as `simulated` in simulation mode, else from
    /// `device`, which wants it ([`Cx::want`]) or has it at once.
    pub(crate) fn step(
        sim: &Simulation,
        cx: &mut Cx<'_>,
        stage: u8,
        simulated: Dbf,
        device: impl FnOnce(&mut Cx<'_>) -> Option<Got>,
    ) -> Self {
        let siol = sim.siol;
        Self::step_with(sim, cx, stage, device, |cx| {
            cx.want(siol, simulated);
            None
        })
    }

    /// The same with another way to read SIOL.
    pub(crate) fn step_with(
        sim: &Simulation,
        cx: &mut Cx<'_>,
        stage: u8,
        device: impl FnOnce(&mut Cx<'_>) -> Option<Got>,
        simulated: impl FnOnce(&mut Cx<'_>) -> Option<Got>,
    ) -> Self {
        let ask = |cx: &mut Cx<'_>| match simulated(cx) {
            Some(got) => {
                let mode = cx.u16(sim.simm);
                Self::Simulated(got, mode)
            }
            None => Self::Wait(Flow::Then(SIMULATED)),
        };
        let got = |cx: &Cx<'_>| cx.got().first().cloned().unwrap_or(Got::Nothing);
        match stage {
            DEVICE => return Self::Device(got(cx)),
            SIMULATED => {
                let mode = cx.u16(sim.simm);
                return Self::Simulated(got(cx), mode);
            }
            DELAYED => return ask(cx),
            PROCESSED => {
                return match device(cx) {
                    Some(got) => Self::Device(got),
                    None => Self::Wait(Flow::Then(DEVICE)),
                };
            }
            MODE => sim.take_mode(cx),
            _ if sim.ask_mode(cx) => return Self::Wait(Flow::Then(MODE)),
            _ => {}
        }
        match sim.mode(cx) {
            0 if cx.device_kind() == DeviceKind::Async && local_input(cx).is_some() => {
                if let Some(link) = local_input(cx) {
                    cx.want_process_and_wait(link, PROCESSED);
                }
                Self::Wait(Flow::Idle)
            }
            0 => match device(cx) {
                Some(got) => Self::Device(got),
                None => Self::Wait(Flow::Then(DEVICE)),
            },
            1 | 2 => {
                let severity = cx.u16(sim.sims);
                cx.alarm(stat::SIMM, severity);
                match sim.delay(cx) {
                    Some(delay) => Self::Wait(Flow::Wait(delay, DELAYED)),
                    None => ask(cx),
                }
            }
            _ => {
                cx.alarm(stat::SOFT, 3);
                Self::Failed
            }
        }
    }
}

/// Whether OUT goes through Channel Access.
fn output_waits(cx: &Cx<'_>) -> bool {
    cx.of().find("OUT").is_some_and(|link| cx.waits_for(link))
}

/// INP, if it leads to another record of this IOC (`dev*SoftCallback.c`).
fn local_input(cx: &Cx<'_>) -> Option<u16> {
    let link = cx.of().find("INP")?;
    cx.leads_elsewhere(link).then_some(link)
}

/// The device support `Soft Channel`: wants what INP leads to.
pub(crate) fn soft_input(cx: &mut Cx<'_>, inp: u16, to: Dbf) -> Option<Got> {
    if cx.is_constant(inp) {
        return Some(Got::Nothing);
    }
    cx.want(inp, to);
    None
}

/// How an output record writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    /// Its simulation mode.
    pub sim: Simulation,
    /// Writes to the device, by [`Cx::want_put`] through OUT.
    pub write: fn(&mut Cx<'_>),
    /// Writes through SIOL instead; the second argument is SIMM.
    pub simulate: fn(&mut Cx<'_>, u16),
}

impl Output {
    /// Writes; the record goes on with [`Self::step`] in the stages that follow. `None` if nothing has to
    /// be waited for.
    pub(crate) fn begin(&self, cx: &mut Cx<'_>) -> Option<Flow> {
        if self.sim.ask_mode(cx) {
            return Some(Flow::Then(MODE));
        }
        self.go(cx)
    }

    fn go(&self, cx: &mut Cx<'_>) -> Option<Flow> {
        match self.sim.mode(cx) {
            0 => {
                if cx.device_kind() == DeviceKind::Async && output_waits(cx) {
                    return Some(self.write_and_wait(cx));
                }
                (self.write)(cx);
                Some(Flow::Then(DEVICE))
            }
            mode @ (1 | 2) => {
                let severity = cx.u16(self.sim.sims);
                cx.alarm(stat::SIMM, severity);
                if let Some(delay) = self.sim.delay(cx) {
                    return Some(Flow::Wait(delay, DELAYED));
                }
                (self.simulate)(cx, mode);
                Some(Flow::Then(DEVICE))
            }
            _ => {
                cx.alarm(stat::SOFT, 3);
                None
            }
        }
    }

    /// Through Channel Access, and waits for what that sets in motion (`dbPutLinkAsync`).
    fn write_and_wait(&self, cx: &mut Cx<'_>) -> Flow {
        (self.write)(cx);
        cx.wait_for_puts(SIMULATED);
        Flow::Idle
    }

    /// Whether a stage is one of these.
    pub(crate) const fn has(stage: u8) -> bool {
        stage >= MODE
    }

    /// Goes on writing; `None` when it is done, and the record tells its subscribers.
    pub(crate) fn step(&self, cx: &mut Cx<'_>, stage: u8) -> Option<Flow> {
        match stage {
            MODE => {
                self.sim.take_mode(cx);
                self.go(cx)
            }
            DELAYED => {
                let mode = cx.u16(self.sim.simm);
                (self.simulate)(cx, mode);
                Some(Flow::Then(SIMULATED))
            }
            SIMULATED => {
                // It took time.
                let mode = cx.u16(self.sim.simm);
                cx.timestamp_simulated(mode, None);
                None
            }
            _ => None,
        }
    }
}

/// What an output record does when its alarm is INVALID (`menuIvoa`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drive {
    /// It writes.
    Write,
    /// It writes IVOV instead.
    Substitute,
    /// It does not write.
    Leave,
}

/// What IVOA says, if it has to say something.
pub(crate) fn drive(cx: &Cx<'_>, ivoa: u16) -> Drive {
    if cx.nsev() < 3 {
        return Drive::Write;
    }
    match cx.u16(ivoa) {
        0 => Drive::Write,
        2 => Drive::Substitute,
        _ => Drive::Leave,
    }
}

/// Alarm status by name (`menuAlarmStat`).
pub(crate) mod stat {
    pub(crate) const HIHI: u16 = 3;
    pub(crate) const HIGH: u16 = 4;
    pub(crate) const LOLO: u16 = 5;
    pub(crate) const LOW: u16 = 6;
    pub(crate) const STATE: u16 = 7;
    pub(crate) const COS: u16 = 8;
    pub(crate) const CALC: u16 = 12;
    pub(crate) const LINK: u16 = 14;
    pub(crate) const SOFT: u16 = 15;
    pub(crate) const BAD_SUB: u16 = 16;
    pub(crate) const SIMM: u16 = 19;
}
