//! Ramps.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ca_kit::{Control, Kit, RampError};
use ca_server_sim::{PutDecision, PvSpec};

use crate::rig::{MILLI, Rig, SECOND, survives, usual};

/// A rig with a PV `log` whose puts are written down.
fn logged() -> (Rig, Arc<Mutex<Vec<f64>>>) {
    let log = Arc::new(Mutex::new(Vec::new()));
    let pv = PvSpec::double(0.0).control(-10.0, 10.0).on_put({
        let log = log.clone();
        move |put| {
            let value: Option<f64> = put.value.as_ref().elements().and_then(|mut all| all.next());
            log.lock().unwrap().extend(value);
            PutDecision::Accept
        }
    });
    (Rig::with(usual().pv("log", pv)), log)
}

#[test]
fn a_ramp_goes_in_even_steps_at_its_pace() {
    let (rig, log) = logged();
    rig.run(async {
        let done = rig
            .client
            .ramp("log", 1.0)
            .steps(4)
            .period(SECOND)
            .await
            .unwrap();
        assert_eq!(*log.lock().unwrap(), [0.25, 0.5, 0.75, 1.0]);
        assert_eq!((done.from, done.to, done.steps), (0.0, 1.0, 4));
        assert!((3 * SECOND..4 * SECOND).contains(&done.elapsed), "{done:?}");
        let done = rig
            .client
            .ramp("log", -1.0)
            .rate(2.0)
            .period(100 * MILLI)
            .await
            .unwrap();
        assert_eq!(done.steps, 10);
        let done = rig.client.ramp("log", 0.5).step_size(0.4).await.unwrap();
        assert_eq!(done.steps, 4);
        log.lock().unwrap().clear();
        assert_eq!(
            rig.client.ramp("log", 0.5).rate(1.0).await.unwrap().steps,
            0
        );
        assert!(log.lock().unwrap().is_empty(), "it is there already");
    });
}

#[test]
fn a_ramp_that_cannot_be_moves_nothing() {
    let (rig, log) = logged();
    rig.run(async {
        let ramp = |to: f64| rig.client.ramp("log", to).timeout(SECOND);
        let refused = [
            ramp(11.0).await,
            ramp(f64::NAN).await,
            ramp(f64::INFINITY).await,
            ramp(1.0).rate(0.0).await,
            ramp(1.0).rate(-1.0).await,
            ramp(1.0).rate(f64::NAN).await,
            ramp(1.0).steps(0).await,
            ramp(1.0).steps(u64::MAX).await,
            ramp(1.0).step_size(1e-9).await,
            ramp(1.0).rate(1.0).period(Duration::ZERO).await,
            ramp(1.0).read_back("read", -1.0).await,
            ramp(1.5).read_back("n", 0.1).await,
            ramp(1.0).read_back("nobody", 0.1).await,
            rig.client.ramp("fixed", 1.0).await,
            rig.client.ramp("n", 1.5).await,
            rig.client.ramp("note", 1.5).await,
            rig.client.ramp("nobody", 1.5).timeout(SECOND).await,
        ];
        for (n, refused) in refused.into_iter().enumerate() {
            let error = refused.expect_err(&n.to_string()).to_string();
            assert!(error.contains("not ramped") || error.contains("nothing is ramped"), "{n}: {error}");
        }
        assert!(log.lock().unwrap().is_empty());
        let error = ramp(11.0).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"log\" is not ramped to 11: the limits of its control go from -10 to 10; give a target \
             between them"
        );
    });
}

#[test]
fn a_ramp_tells_each_step_and_a_dry_one_none() {
    let (rig, log) = logged();
    rig.run(async {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let told = steps.clone();
        let ramp = rig.client.ramp("log", 1.0).steps(2).read_back("log", 0.01);
        let ramp = ramp.on_step(move |step| told.lock().unwrap().push(step));
        ramp.await.unwrap();
        let steps = std::mem::take(&mut *steps.lock().unwrap());
        let seen: Vec<_> = steps.iter().map(|it| (it.step, it.of, it.at)).collect();
        assert_eq!(seen, [(0, 2, 0.0), (1, 2, 0.5), (2, 2, 1.0)]);
        assert_eq!(steps[2].read_back, Some(1.0));
        log.lock().unwrap().clear();
        let would = rig
            .client
            .ramp("log", 3.0)
            .step_size(0.5)
            .dry_run()
            .await
            .unwrap();
        assert_eq!((would.from, would.to, would.steps), (1.0, 3.0, 4));
        for (low, high, part) in [
            (-1.0, 2.0, "the limits of the ramp"),
            (2.0, 1.0, "exchange"),
        ] {
            let refused = rig.client.ramp("log", 3.0).range(low, high).await;
            let error = refused.unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(log.lock().unwrap().is_empty());
    });
}

#[test]
fn a_ramp_waits_for_its_read_back() {
    let rig = Rig::new();
    rig.follow("set", "read", 0.01);
    rig.run(async {
        let ramp = rig.client.ramp("set", 1.0).steps(5).period(MILLI).read_back("read", 0.005);
        let done = ramp.await.unwrap();
        assert!(done.elapsed >= 900 * MILLI, "{done:?}");
        let lost = rig.client.ramp("a", 1.0).steps(5).read_back("b", 0.1).timeout(SECOND);
        let error = lost.await.unwrap_err();
        assert!(matches!(error, RampError::NotFollowed { stands: Some(_), .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "the ramp of \"a\" ends at 0.2: \"b\" stands at 0, not 0.2 ± 0.1; look at the device, or raise \
             the tolerance or the time-out"
        );
        assert_eq!(rig.number("a"), 0.2);
        let error = rig.client.ramp("fussy", 6.0).steps(3).await.unwrap_err();
        assert!(matches!(error, RampError::Put { at: 4.0, .. }), "{error}");
    });
}

#[test]
fn a_ramp_is_paused_resumed_and_aborted() {
    let (rig, log) = logged();
    rig.run(async {
        let control = Control::new();
        let (sleep, nap, button) = (
            rig.rt.sleep(2500 * MILLI),
            rig.rt.sleep(10 * SECOND),
            control.clone(),
        );
        rig.rt.spawn(async move {
            sleep.await;
            button.pause();
            nap.await;
            button.resume();
        });
        let ramp = rig
            .client
            .ramp("log", 5.0)
            .steps(5)
            .period(SECOND)
            .control(&control);
        let done = ramp.await.unwrap();
        assert!(
            (11 * SECOND..13 * SECOND).contains(&done.elapsed),
            "{done:?}"
        );
        let (sleep, button) = (rig.rt.sleep(1500 * MILLI), control.clone());
        rig.rt.spawn(async move {
            sleep.await;
            button.abort();
        });
        let ramp = rig
            .client
            .ramp("log", 0.0)
            .steps(5)
            .period(SECOND)
            .control(&control);
        let error = ramp.await.unwrap_err();
        assert!(
            matches!(error, RampError::Aborted { at: 3.0, .. }),
            "{error}"
        );
        assert_eq!(log.lock().unwrap().last(), Some(&3.0));
        let again = rig.client.ramp("log", 0.0).control(&control).await;
        assert!(matches!(again, Err(RampError::Aborted { at: 3.0, .. })));
    });
}

#[test]
fn ramps_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            client
                .ramp("set", 1.0)
                .steps(3)
                .read_back("set", 0.1)
                .await
                .is_ok()
        },
        |rig, moment, _| {
            let at = rig.number("set");
            let steps = [0.0, 1.0 / 3.0, 2.0 / 3.0, 1.0];
            assert!(
                steps.iter().any(|step| (at - step).abs() < 1e-9),
                "{at} after {moment:?}"
            );
            rig.post("set", 0.0);
        },
    );
}
