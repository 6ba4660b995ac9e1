//! What happens in the demo, and when.

use std::time::Duration;

use ca_client::TypeSpec;
use ca_client::{ReadSpec, Reading};
use ca_proto::dbr::Family;
use ca_server_sim::net::SimIoc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Stage, pvs, unable};
use crate::exit::Stop;
use crate::show::duration;

/// Pause between two looks at the board while something is awaited.
const LOOK: Duration = Duration::from_millis(10);
/// Time for the client to find the IOC; much longer than it takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Plays the steps; ends with the demo.
pub(super) async fn run(stage: &Stage, ioc: &SimIoc) -> Result<(), Stop> {
    connect(stage, ioc).await?;
    at(stage, 0.15).await;
    monitors(stage);
    at(stage, 0.25).await;
    put(stage).await?;
    at(stage, 0.45).await;
    stop(stage, ioc).await;
    at(stage, 0.60).await;
    restart(stage, ioc).await?;
    at(stage, 0.85).await;
    waveform(stage).await?;
    at(stage, 1.0).await;
    Ok(())
}

/// Waits for a share of the whole time.
async fn at(stage: &Stage, share: f64) {
    sleep_until(stage.started + stage.total.mul_f64(share)).await;
}

fn tell(stage: &Stage, text: String, picture: bool) {
    let mut board = stage.board.borrow_mut();
    board.elapsed = stage.started.elapsed();
    board.wants_picture = picture;
    board.step(text);
}

async fn connect(stage: &Stage, ioc: &SimIoc) -> Result<(), Stop> {
    let count = stage.board.borrow().len();
    let port = ioc.udp_port();
    tell(
        stage,
        format!("An IOC on 127.0.0.1:{port} serves {count} PVs (process variables)."),
        false,
    );
    wait(stage, |connected, all| connected == all).await?;
    let time = duration(stage.started.elapsed());
    tell(
        stage,
        format!("A client asked for their names and found all {count} within {time}."),
        false,
    );
    Ok(())
}

fn monitors(stage: &Stage) {
    let updates = stage.board.borrow().updates();
    let text = format!("It subscribed: the IOC sends each change by itself, {updates} so far.");
    tell(stage, text, true);
}

async fn put(stage: &Stage) -> Result<(), Stop> {
    let target = 7.5;
    tell(
        stage,
        format!(
            "Client writes {target} to {} and waits for completion …",
            pvs::SETPOINT
        ),
        false,
    );
    let started = Instant::now();
    let written = stage.setpoint.put(target).wait().await;
    written.map_err(|error| unable(&error))?;
    let time = started.elapsed().as_secs_f64();
    tell(
        stage,
        format!(
            "… put with completion to {} took {time:.2} s.",
            pvs::SETPOINT
        ),
        false,
    );
    Ok(())
}

async fn stop(stage: &Stage, ioc: &SimIoc) {
    ioc.stop().await;
    // The client notices within a round trip.
    let _ = wait(stage, |connected, _| connected == 0).await;
    tell(
        stage,
        "The IOC was stopped: all values are marked as disconnected at once.".into(),
        true,
    );
}

async fn restart(stage: &Stage, ioc: &SimIoc) -> Result<(), Stop> {
    ioc.start().await.map_err(|error| unable(&error))?;
    tell(
        stage,
        "The IOC runs again; the client is looking for it by itself …".into(),
        false,
    );
    let since = Instant::now();
    wait(stage, |connected, all| connected == all).await?;
    let time = duration(since.elapsed());
    let text = format!("… all PVs are back after {time}, subscriptions too. No code needed.");
    tell(stage, text, true);
    Ok(())
}

async fn waveform(stage: &Stage) -> Result<(), Stop> {
    let spec = ReadSpec {
        ty: TypeSpec::Family(Family::Time),
        count: 0,
    };
    let started = Instant::now();
    let reading = stage
        .scope
        .get::<Reading>()
        .spec(spec)
        .await
        .map_err(|error| unable(&error))?;
    let time = duration(started.elapsed());
    let text = format!(
        "A PV can be an array: {} numbers of {} read in {time}.",
        reading.count(),
        pvs::SCOPE
    );
    tell(stage, text, true);
    Ok(())
}

/// Waits until enough PVs are connected, which the board tells.
async fn wait(stage: &Stage, done: impl Fn(usize, usize) -> bool) -> Result<(), Stop> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        {
            let board = stage.board.borrow();
            if done(board.connected(), board.len()) {
                return Ok(());
            }
        }
        if Instant::now() > deadline {
            return Err(unable(&"the client and the IOC do not find each other").into());
        }
        sleep(LOOK).await;
    }
}
