//! Acknowledging alarms: `STSACK_STRING`, `PUT_ACKS`, `PUT_ACKT`.

use ca_client::{Alarm, AlarmSeverity, AlarmStatus, DbrType, Value};
use ca_proto::dbr::Acknowledge;

use super::{Bench, Check, Named, Stop, checks, exact, expect, put};
use crate::api::{Api, Channel};

pub(super) fn add<'a, A: Api>(bench: Bench<'a, A>, all: &mut Vec<Named<'a>>) {
    checks! { all:
        "alarm.stsack_string" => state(bench);
        "alarm.acknowledge" => acknowledge(bench);
        "alarm.transient" => transient(bench);
    }
}

const MAJOR: Acknowledge = Acknowledge {
    transient: true,
    severity: AlarmSeverity::MAJOR,
};

async fn expect_state<C: Channel>(channel: &C, wanted: Acknowledge) -> Check {
    let got = channel.get(exact(DbrType::STSACK_STRING, 1)).await?;
    let state = got.acknowledge().ok_or_else(|| Stop::failed("no state"))?;
    expect("state of acknowledgement", state, wanted)
}

async fn state<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("alarm").await?;
    let got = channel.get(exact(DbrType::STSACK_STRING, 1)).await?;
    let hihi = Alarm::new(AlarmStatus::HIHI, AlarmSeverity::MAJOR);
    expect("alarm", got.alarm(), Some(hihi))?;
    expect("text", got.string(0), Some("20".into()))?;
    expect_state(&channel, MAJOR).await
}

async fn acknowledge<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("alarm").await?;
    // Too low a severity acknowledges nothing.
    let severity = |severity: AlarmSeverity| Value::from(severity.0 as i16);
    let ty = DbrType::PUT_ACKS;
    channel.put_wait(ty, severity(AlarmSeverity::MINOR)).await?;
    expect_state(&channel, MAJOR).await?;
    channel.put_wait(ty, severity(AlarmSeverity::MAJOR)).await?;
    let none = Acknowledge {
        severity: AlarmSeverity::NO_ALARM,
        ..MAJOR
    };
    expect_state(&channel, none).await?;
    // The next alarm wants to be acknowledged again.
    put(&channel, 0.0).await?;
    put(&channel, 20.0).await?;
    expect_state(&channel, MAJOR).await
}

async fn transient<A: Api>(bench: Bench<'_, A>) -> Check {
    let channel = bench.connect("alarm").await?;
    for transient in [false, true] {
        let value = Value::from(i16::from(transient));
        channel.put_wait(DbrType::PUT_ACKT, value).await?;
        expect_state(&channel, Acknowledge { transient, ..MAJOR }).await?;
    }
    Ok(())
}
