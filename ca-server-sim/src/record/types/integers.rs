//! What the `longin` and `int64in` records share, and the `longout` and `int64out` records (`longinRecord.c` and
//! `int64inRecord.c` of EPICS Base are the same but for the numbers; `longoutRecord.c` has OOPT beside what
//! `int64outRecord.c` has).

/// Table and functions of an integer input: how a field of its numbers is written, what the severities of its limits are,
/// the type of its numbers, and how limits and dead-bands are looked at in them.
macro_rules! integer_input {
    ($number:ident, $severity:expr, $dbf:ident, $check:ident, $monitor:ident, $levels:ident) => {
        fields! { common::COUNT,
            VAL => $number().asl0().pp(),
            INP => inlink().interest(1),
            EGU => string(16).prop().interest(1),
            HOPR => $number().prop().interest(1),
            LOPR => $number().prop().interest(1),
            HIHI => $number().pp().prop().interest(1),
            LOLO => $number().pp().prop().interest(1),
            HIGH => $number().pp().prop().interest(1),
            LOW => $number().pp().prop().interest(1),
            HHSV => $severity,
            LLSV => $severity,
            HSV => $severity,
            LSV => $severity,
            HYST => $number().interest(1),
            AFTC => double().interest(1),
            AFVL => double().special(NoMod).interest(3),
            ADEL => $number().interest(1),
            MDEL => $number().interest(1),
            LALM => $number().special(NoMod).interest(3),
            ALST => $number().special(NoMod).interest(3),
            MLST => $number().special(NoMod).interest(3),
            SIOL => inlink().interest(1),
            SVAL => $number(),
            SIML => inlink().interest(1),
            SIMM => menu("menuYesNo").special(Mod).interest(1),
            SIMS => menu("menuAlarmSevr").interest(2),
            OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
            SSCN => menu("menuScan").initial("65535").interest(1),
            SDLY => double().initial("-1.0").interest(2),
            SIMPVT => noaccess().special(NoMod).interest(4),
        }

        const SUPPORT: Support = Support {
            init,
            process,
            special: Some(special),
            meta,
            ..Support::HOLDER
        };

        const SIM: Simulation = simulation!();
        const LIMITS: limits::AlarmFields = limits!(AFTC, AFVL);

        fn init(cx: &mut Cx<'_>) {
            SIM.init(cx);
            cx.load(SIOL, SVAL);
            if cx.load(INP, VAL) {
                cx.set_udf(false);
            }
            for field in [MLST, ALST, LALM] {
                cx.copy(VAL, field);
            }
        }

        fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
            let before = cx.time();
            let read = Input::step(&SIM, cx, stage, Dbf::$dbf, |cx| {
                if cx.device_kind() == DeviceKind::GeneralTime {
                    // GETERRCNT: the clock makes no errors.
                    return Some(Got::Val(Val::$dbf(0)));
                }
                soft_input(cx, INP, Dbf::$dbf)
            });
            match read {
                Input::Wait(flow) => return flow,
                Input::Device(Got::Failed) | Input::Failed | Input::Simulated(Got::Failed, _) => {}
                Input::Device(got) => {
                    if let Got::Val(val) = got {
                        cx.set(VAL, val);
                        cx.time_of_device(INP);
                    }
                    cx.set_udf(false);
                }
                Input::Simulated(got, _) => {
                    if let Got::Val(val) = got {
                        cx.set(SVAL, val);
                    }
                    cx.copy(SVAL, VAL);
                    cx.set_udf(false);
                }
            }
            let mode = cx.u16(SIMM);
            cx.timestamp_simulated(mode, Some(SIOL));
            LIMITS.$check(cx, before);
            limits::$monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
            Flow::Done
        }

        fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
            SIM.special(cx, field, after);
            Ok(())
        }

        fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
            if view.of().field(field).dbf == Dbf::$dbf {
                meta.units = view.text(EGU).into();
            }
            if matches!(
                field,
                VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST | SVAL
            ) {
                meta.display = (view.f64(LOPR), view.f64(HOPR));
                meta.control = meta.display;
            } else {
                limits::type_range(view, field, meta);
            }
            if field == VAL {
                $levels(view, meta);
            }
        }
    };
}
pub(super) use integer_input;

/// Table and functions of an integer output: how a field of its numbers is written, what OUT and the severities of its
/// limits are, the type of its numbers and how it is read, how limits and dead-bands are looked at in them, the fields
/// that it has beside, what is done beside when it starts and when a field is written, and its alarm limits. `write`
/// writes to the device.
macro_rules! integer_output {
    (
        $number:ident, $out:expr, $severity:expr, $dbf:ident, $read:ident, $as:ident, $check:ident, $monitor:ident,
        beside { $($more:tt)* }
        $(start $start:ident)?
        $(written $written:ident)?
        levels $levels:ident
    ) => {
        fields! { common::COUNT,
            VAL => $number().asl0().pp(),
            OUT => $out,
            DOL => inlink().interest(1),
            OMSL => menu("menuOmsl").interest(1),
            EGU => string(16).prop().interest(1),
            DRVH => $number().pp().prop().interest(1),
            DRVL => $number().pp().prop().interest(1),
            HOPR => $number().prop().interest(1),
            LOPR => $number().prop().interest(1),
            HIHI => $number().pp().prop().interest(1),
            LOLO => $number().pp().prop().interest(1),
            HIGH => $number().pp().prop().interest(1),
            LOW => $number().pp().prop().interest(1),
            HHSV => $severity,
            LLSV => $severity,
            HSV => $severity,
            LSV => $severity,
            HYST => $number().interest(1),
            ADEL => $number().interest(1),
            MDEL => $number().interest(1),
            LALM => $number().special(NoMod).interest(3),
            ALST => $number().special(NoMod).interest(3),
            MLST => $number().special(NoMod).interest(3),
            SIOL => outlink().interest(1),
            SIML => inlink().interest(1),
            SIMM => menu("menuYesNo").special(Mod).interest(1),
            SIMS => menu("menuAlarmSevr").interest(2),
            OLDSIMM => menu("menuSimm").special(NoMod).interest(4),
            SSCN => menu("menuScan").initial("65535").interest(1),
            SDLY => double().initial("-1.0").interest(2),
            SIMPVT => noaccess().special(NoMod).interest(4),
            IVOA => menu("menuIvoa").interest(2),
            IVOV => $number().interest(2),
            $($more)*
        }

        const SUPPORT: Support = Support {
            init,
            process,
            special: Some(special),
            meta,
            ..Support::HOLDER
        };

        const OUTPUT: Output = Output {
            sim: simulation!(),
            write,
            simulate,
        };
        const LIMITS: limits::AlarmFields = limits!();

        fn simulate(cx: &mut Cx<'_>, _: u16) {
            let val = cx.get(VAL);
            cx.want_put(SIOL, val);
        }

        fn init(cx: &mut Cx<'_>) {
            OUTPUT.sim.init(cx);
            if cx.load(DOL, VAL) {
                cx.set_udf(false);
            }
            for field in [MLST, ALST, LALM] {
                cx.copy(VAL, field);
            }
            $($start(cx);)?
        }

        fn process(cx: &mut Cx<'_>, stage: u8) -> Flow {
            if Output::has(stage) {
                return OUTPUT.step(cx, stage).unwrap_or_else(|| finish(cx));
            }
            if stage == 0 && !cx.is_constant(DOL) && cx.u16(OMSL) == 1 {
                cx.want(DOL, Dbf::$dbf);
                return Flow::Then(1);
            }
            let value = match (stage, cx.got().first()) {
                (1, Some(Got::Val(val))) => Some(val.$as()),
                (1, _) => None,
                _ => Some(cx.$read(VAL)),
            };
            if let Some(value) = value {
                if stage == 1 {
                    cx.set_udf(false);
                }
                let (low, high) = (cx.$read(DRVL), cx.$read(DRVH));
                cx.set(
                    VAL,
                    if high > low {
                        value.clamp(low, high)
                    } else {
                        value
                    },
                );
            }
            let mode = cx.u16(SIMM);
            cx.timestamp_simulated(mode, None);
            let now = cx.time();
            LIMITS.$check(cx, now);
            match drive(cx, IVOA) {
                Drive::Leave => return finish(cx),
                Drive::Substitute => cx.copy(IVOV, VAL),
                Drive::Write => {}
            }
            OUTPUT.begin(cx).unwrap_or_else(|| finish(cx))
        }

        fn finish(cx: &mut Cx<'_>) -> Flow {
            limits::$monitor(cx, VAL, [MLST, MDEL], [ALST, ADEL]);
            Flow::Done
        }

        fn special(cx: &mut Cx<'_>, field: u16, after: bool) -> Result<(), PutError> {
            OUTPUT.sim.special(cx, field, after);
            $($written(cx, field, after);)?
            Ok(())
        }

        fn meta(view: &View<'_>, field: u16, meta: &mut Meta) {
            if view.of().field(field).dbf == Dbf::$dbf {
                meta.units = view.text(EGU).into();
            }
            if matches!(field, VAL | HIHI | HIGH | LOW | LOLO | LALM | ALST | MLST) {
                meta.display = (view.f64(LOPR), view.f64(HOPR));
                meta.control = match view.get(DRVH).$as() > view.get(DRVL).$as() {
                    true => (view.f64(DRVL), view.f64(DRVH)),
                    false => meta.display,
                };
            } else {
                limits::type_range(view, field, meta);
            }
            if field == VAL {
                $levels(view, meta);
            }
        }
    };
}
pub(super) use integer_output;
