//! The PVs of the demo.

use std::time::Duration;

use ca_proto::AlarmSeverity;
use ca_proto::dbr::{EnumIndex, Value};
use ca_server_sim::PvSpec;
use ca_server_sim::signals::{Counter, Ramp, RandomWalk, Scope, Sine};

/// The scalars, in the order of the table.
pub(super) const SCALARS: &[&str] = &[
    "demo:sine",
    "demo:temperature",
    "demo:ramp",
    "demo:counter",
    "demo:valve",
    "demo:setpoint",
];
/// The PV that is written.
pub(super) const SETPOINT: &str = "demo:setpoint";
/// The array.
pub(super) const SCOPE: &str = "demo:scope";

/// How long the set-point says it needs.
pub(super) const MOVE_TIME: Duration = Duration::from_millis(500);
/// Elements of the array.
const POINTS: u32 = 288;
/// Pause between two values of the scalars.
const PERIOD: Duration = Duration::from_millis(200);

/// Names and descriptions of all PVs.
pub(crate) fn all() -> Vec<(&'static str, PvSpec)> {
    let sine = PvSpec::double(0.0)
        .units("V")
        .precision(2)
        .display(-10.0, 10.0)
        .warning(-7.0, 7.0)
        .alarm(-9.0, 9.0)
        .description("sine with alarm limits")
        .signal(Sine::new(-10.0, 10.0, Duration::from_secs(4)), PERIOD);
    let temperature = PvSpec::double(21.5)
        .units("°C")
        .precision(2)
        .warning(20.5, 22.5)
        .description("random walk")
        .signal(RandomWalk::new(21.5, 0.3).within(19.5, 23.5), PERIOD);
    let ramp = PvSpec::double(0.0)
        .units("mm")
        .precision(1)
        .description("ramp")
        .signal(Ramp::new(0.0, 100.0, Duration::from_secs(5)), PERIOD);
    let counter = PvSpec::long(0)
        .description("counts its updates")
        .signal(Counter::new(), PERIOD);
    let valve = PvSpec::enumeration(["Closed", "Opening", "Open", "Stuck"], 0)
        .state_severities([
            AlarmSeverity::NO_ALARM,
            AlarmSeverity::MINOR,
            AlarmSeverity::NO_ALARM,
            AlarmSeverity::MAJOR,
        ])
        .description("goes through its states")
        .signal(|t: Duration, _: &mut _| state_at(t), PERIOD);
    let setpoint = PvSpec::double(1.0)
        .units("mm")
        .precision(1)
        .control(0.0, 10.0)
        .description("takes its time to move")
        .completes_after(MOVE_TIME);
    let scope = PvSpec::array(vec![0.0; POINTS as usize])
        .display(-1.1, 1.1)
        .description("an oscilloscope")
        .signal(
            Scope {
                drift: Duration::from_secs(3),
                ..Scope::new(POINTS)
            },
            PERIOD,
        );
    let specs = [sine, temperature, ramp, counter, valve, setpoint];
    let scalars = SCALARS.iter().copied().zip(specs);
    scalars.chain([(SCOPE, scope)]).collect()
}

/// Seconds of each state of the valve.
fn state_at(t: Duration) -> Value {
    let state = match t.as_millis() / 400 % 10 {
        0..3 => 0,
        3 => 1,
        4..8 => 2,
        _ => 3,
    };
    EnumIndex(state).into()
}
