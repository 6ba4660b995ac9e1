//! Our simulated IOC with the PVs of `peers/ioc.db`.

use std::thread;
use std::time::Duration;

use ca_client::{AlarmSeverity, EcaStatus};
use ca_proto::dbr::{NativeType, Value};
use ca_server_sim::signals::Counter;
use ca_server_sim::{
    Ioc, IocBuilder, NetConfig, PutDecision, PutRequest, PvSpec, RecordType, ServeError, SimIoc,
};
use tokio::runtime::Runtime;

use crate::checks::restart::Restart;
use crate::checks::{Check, Kind, Server, Stop};
use crate::ports;
use crate::pvs::{self, SCALARS, Scalar};

/// The rules of access security, which are those of the real IOC.
const ACF: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/ioc.acf");
/// Attempts to bind before the test gives up; another program may take the port.
const STARTS: u32 = 5;

/// The IOC on ports of its own, in a thread of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Fixture {
    ioc: SimIoc,
    port: u16,
    prefix: String,
    runtime: Runtime,
}

impl Fixture {
    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started.
    pub fn start(prefix: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut error = None;
        for _ in 0..STARTS {
            let port = ports::free_pair();
            match runtime.block_on(serve(prefix, port)) {
                Ok(ioc) => {
                    return Self {
                        ioc,
                        port,
                        prefix: prefix.into(),
                        runtime,
                    };
                }
                Err(reason) => error = Some(reason),
            }
        }
        panic!("{error:?}")
    }

    /// How clients find it.
    pub fn server(&self) -> Server {
        Server {
            kind: Kind::Simulated,
            address: ports::at(self.port),
            prefix: self.prefix.clone(),
        }
    }

    /// Runs a future of the IOC wherever the caller is: a task may not wait for another runtime.
    fn apart<R: Send>(&mut self, work: impl AsyncFnOnce(&mut SimIoc) -> R + Send) -> R {
        let (runtime, ioc) = (&self.runtime, &mut self.ioc);
        let ended = thread::scope(|scope| scope.spawn(|| runtime.block_on(work(ioc))).join());
        ended.expect("the IOC does not panic")
    }
}

impl Restart for Fixture {
    fn server(&self) -> Server {
        Self::server(self)
    }

    fn updates_stopped(&self) -> Option<u64> {
        let stopped = self.ioc.with(|ioc, _| {
            let circuits: Vec<_> = ioc.circuits().collect();
            let stats = circuits.into_iter().filter_map(|id| ioc.circuit_stats(id));
            stats.map(|stats| stats.flow_stops).sum()
        });
        Some(stopped)
    }

    fn stop(&mut self) -> Check {
        self.apart(async |ioc| ioc.stop().await);
        Ok(())
    }

    fn start(&mut self, changed: bool) -> Check {
        let name = format!("{}:double", self.prefix);
        if changed {
            let other = PvSpec::array([7, 8, 9]);
            let replaced = self.ioc.with(|ioc, now| ioc.replace(now, &name, other));
            replaced.map_err(|error| Stop::Failed(error.to_string()))?;
        }
        let started = self.apart(async |ioc| ioc.start().await);
        started.map_err(|error| Stop::Failed(error.to_string()))
    }
}

/// Serves the PVs.
async fn serve(prefix: &str, port: u16) -> Result<SimIoc, ServeError> {
    let config = NetConfig::new()
        .tcp_port(port)
        .udp_port(port)
        .exact(true)
        .repeater(Some(port + 1));
    database(prefix).serve(config).await
}

/// The PVs of `peers/ioc.db`.
fn database(prefix: &str) -> IocBuilder {
    let name = |suffix: &str| format!("{prefix}:{suffix}");
    let arrays = pvs::ARRAYS.map(|(suffix, length, capacity)| {
        let elements = Value::from(pvs::ramp(length));
        (suffix, PvSpec::array(elements).capacity(capacity))
    });
    let of_each_type = pvs::arrays_of_each_type().map(|(name, value)| (name, PvSpec::array(value)));
    Ioc::builder()
        .pvs(SCALARS.map(|pv| (name(pv.name), scalar(pv))))
        .pvs(arrays.map(|(suffix, pv)| (name(suffix), pv)))
        // `wf5` is among the arrays above.
        .pvs(
            of_each_type
                .into_iter()
                .filter(|(suffix, _)| *suffix != "wf5")
                .map(|(suffix, pv)| (name(suffix), pv)),
        )
        .access_file(ACF, format!("P={prefix}"))
        .pvs(others().map(|(suffix, pv)| (name(suffix), pv)))
        .pv(pvs::long_name(prefix), PvSpec::string("sixty"))
}

fn scalar(pv: Scalar) -> PvSpec {
    let mut spec = PvSpec::value(pv.initial());
    if let Some((low, high)) = pv.display {
        spec = spec.units(pvs::UNITS).display(low, high);
    }
    if pv.native.is_real() {
        spec = spec.precision(pvs::PRECISION);
    }
    match pv.name {
        "double" => spec
            .control(pvs::CONTROL.0, pvs::CONTROL.1)
            .alarm(pvs::ALARM.0, pvs::ALARM.1)
            .warning(pvs::WARNING.0, pvs::WARNING.1)
            .description(pvs::DESCRIPTION),
        "long" => spec
            .control(pvs::CONTROL_LONG.0, pvs::CONTROL_LONG.1)
            .alarm(-9000.0, 9000.0)
            .warning(-8000.0, 8000.0),
        "enum" => spec.states(pvs::STATES).state_severities([
            AlarmSeverity::NO_ALARM,
            AlarmSeverity::NO_ALARM,
            AlarmSeverity::MINOR,
            AlarmSeverity::MAJOR,
        ]),
        _ => spec,
    }
}

fn others() -> [(&'static str, PvSpec); 14] {
    let states16 = (0..15)
        .map(|n| format!("s{n}"))
        .chain(["the full twenty five cha".into()]);
    let refuse = |_: &PutRequest<'_>| PutDecision::Reject(EcaStatus::PUTFAIL);
    let no_chars = Value::empty(NativeType::Char);
    [
        ("bo", PvSpec::enumeration(["off", "on"], 0)),
        ("int64", PvSpec::double(1_099_511_627_776.0)),
        ("enum16", PvSpec::enumeration(states16, 15)),
        ("alarm", PvSpec::double(20.0).alarm(f64::NAN, 10.0)),
        (
            "undefined",
            PvSpec::double(0.0)
                .record_type(RecordType::Ai)
                .units(pvs::UNITS)
                .undefined(),
        ),
        ("longstring", PvSpec::text(pvs::LONG_STRING).capacity(200)),
        ("wfchar", PvSpec::array(no_chars).capacity(100)),
        ("disabled", PvSpec::double(1.0).on_put(refuse)),
        (
            "slow",
            PvSpec::double(0.0).completes_after(Duration::from_secs(1)),
        ),
        (
            "counter",
            PvSpec::double(0.0).signal(Counter::new(), Duration::from_millis(100)),
        ),
        ("ro", PvSpec::double(2.5).access_group("readonly")),
        ("noaccess", PvSpec::double(2.5).access_group("none")),
        ("gated", PvSpec::double(2.5).access_group("gated")),
        ("gate", PvSpec::enumeration(["0", "1"], 0)),
    ]
}
