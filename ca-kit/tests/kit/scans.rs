//! Scans.

use ca_client::Client;
use ca_kit::{Axis, Control, Kit, Restored, ScanError, ScanFault, ScanRestore, ScanRows, Settle};

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, survives};

/// Where the axes were put at each point, and what ended it.
async fn all(mut rows: ScanRows<'_, Client>) -> (Vec<Vec<f64>>, Option<ScanError>) {
    let (mut at, mut end) = (Vec::new(), None);
    while let Some(row) = rows.next().await {
        match row {
            Ok(row) => at.push(row.at),
            Err(error) => end = Some(error),
        }
    }
    (at, end)
}

fn quick(pv: &str, points: &[f64]) -> Axis {
    Axis::new(pv, points.iter().copied()).settle(Settle::Time(MILLI))
}

#[test]
fn a_scan_observes_every_point_and_goes_back() {
    let rig = Rig::new();
    rig.post("a", 7.0);
    rig.run(async {
        let axes = [quick("a", &[1.0, 2.0]), quick("b", &[10.0, 20.0, 30.0])];
        let scan = rig
            .client
            .scan(axes)
            .observe(["a", "b", "nobody-yet"].map(|pv| match pv {
                "nobody-yet" => "wave",
                pv => pv,
            }));
        let mut rows = scan.rows();
        let mut seen = Vec::new();
        while let Some(row) = rows.next().await {
            let row = row.unwrap();
            assert_eq!(
                (row.number(0), row.number(1)),
                (Some(row.at[0]), Some(row.at[1]))
            );
            assert_eq!((row.point, row.of, row.values.len()), (seen.len(), 6, 3));
            seen.push(row.at);
        }
        let expected = [
            [1.0, 10.0],
            [1.0, 20.0],
            [1.0, 30.0],
            [2.0, 10.0],
            [2.0, 20.0],
            [2.0, 30.0],
        ];
        assert_eq!(seen, expected);
        assert_eq!((rig.number("a"), rig.number("b")), (7.0, 0.0));
        assert!(rows.next().await.is_none());
    });
}

#[test]
fn axes_settle_by_time_completion_and_read_back() {
    let rig = Rig::new();
    rig.follow("set", "read", 0.1);
    rig.run(async {
        let axes = [
            Axis::new("slow", [1.0, 2.0]),
            Axis::new("set", [1.0, 3.0]).settle(Settle::read_back("read", 0.01)),
            Axis::new("a", [1.0]).settle(Settle::Time(50 * MILLI)),
        ];
        let mut rows = rig.client.scan(axes).dwell(SECOND).observe(["read"]).rows();
        let first = rows.next().await.unwrap().unwrap();
        assert!(first.elapsed >= 3 * SECOND, "{first:?}");
        let near = |number: Option<f64>, to: f64| number.is_some_and(|it| (it - to).abs() < 0.011);
        assert!(
            near(first.number(0), 1.0) && near(first.read_backs[1], 1.0),
            "{first:?}"
        );
        let second = rows.next().await.unwrap().unwrap();
        let took = second.elapsed - first.elapsed;
        // The slow axis stays, so that it is not put again.
        assert!((1150 * MILLI..2 * SECOND).contains(&took), "{took:?}");
        assert!(near(second.number(0), 3.0), "{second:?}");
    });
}

#[test]
fn a_scan_that_cannot_be_moves_nothing() {
    let rig = Rig::new();
    rig.post("a", 7.0);
    rig.run(async {
        let a = || quick("a", &[1.0, 2.0]);
        let refused = [
            vec![],
            vec![a(), quick("b", &[])],
            vec![a(), quick("limited", &[9.0, 11.0])],
            vec![a(), quick("b", &[1.0, f64::NAN])],
            vec![a(), quick("n", &[1.5])],
            vec![a(), quick("fixed", &[1.0])],
            vec![a(), quick("note", &[1.0])],
            vec![a(), quick("nobody", &[1.0])],
            vec![a(), quick("b", &[1.0]).settle(Settle::read_back("c", f64::NAN))],
            vec![a(), quick("b", &[1.5]).settle(Settle::read_back("n", 0.1))],
            vec![a(), quick("b", &[1.5]).settle(Settle::read_back("nobody", 0.1))],
            vec![a(), Axis::new("b", std::iter::repeat(1.0))],
            vec![Axis::linear("a", 0.0, 1.0, 10_000), Axis::linear("b", 0.0, 1.0, 10_000)],
        ];
        for (n, axes) in refused.into_iter().enumerate() {
            let (rows, error) = all(rig.client.scan(axes).timeout(SECOND).rows()).await;
            let error = error.expect("it is refused");
            assert_eq!((rows.len(), &error.axes, rig.number("a")), (0, &Restored::NotMoved, 7.0), "{n}");
            let text = error.to_string();
            assert!(text.starts_with("the scan does not begin: ") && text.ends_with("nothing was moved"), "{text}");
        }
        let scan = rig.client.scan([a()]).observe(["nobody"]).timeout(SECOND);
        assert!(all(scan.rows()).await.1.is_some());
        let scan = rig.client.scan([a(), quick("limited", &[9.0, 11.0])]);
        let error = all(scan.rows()).await.1.unwrap();
        assert_eq!(
            error.to_string(),
            "the scan does not begin: \"limited\" cannot go to 11: the limits of its control go from -10 to \
             10; give points between them; nothing was moved"
        );
        assert_eq!(rig.number("a"), 7.0);
    });
}

#[test]
fn after_a_failure_the_axes_are_put_back() {
    let rig = Rig::new();
    rig.run(async {
        for (when, there) in [
            (ScanRestore::Always, (0.0, 0.0)),
            (ScanRestore::OnFailure, (0.0, 0.0)),
            (ScanRestore::Never, (1.0, 4.0)),
        ] {
            let axes = [quick("a", &[1.0]), quick("fussy", &[3.0, 4.0, 9.0])];
            let (rows, error) = all(rig.client.scan(axes).restore(when).rows()).await;
            let error = error.unwrap();
            assert_eq!((rows.len(), error.point), (2, Some((2, 3))));
            assert!(matches!(*error.fault, ScanFault::Put(_)), "{error}");
            assert_eq!((rig.number("a"), rig.number("fussy")), there, "{error}");
            assert_eq!(error.before, [("a".to_owned(), 0.0), ("fussy".to_owned(), 0.0)]);
        }
        let axis = quick("b", &[1.0]).settle(Settle::read_back("c", 0.1).within(SECOND));
        let error = all(rig.client.scan([axis]).rows()).await.1.unwrap();
        assert_eq!(
            error.to_string(),
            "the scan ends at point 1 of 1: \"b\" did not arrive at 1: \"c\" stands at 0, not 1 ± 0.1; look \
             at the device, or raise the tolerance or the time-out; all axes are put back where they stood"
        );
        let kept = rig.client.scan([quick("b", &[1.0, 2.0])]).restore(ScanRestore::OnFailure);
        assert_eq!(all(kept.rows()).await.1, None);
        assert_eq!(rig.number("b"), 2.0);
    });
}

#[test]
fn a_lost_observable_is_an_error_of_its_own() {
    let rig = Rig::new();
    rig.run(async {
        let scan = rig
            .client
            .scan([quick("a", &[1.0, 2.0])])
            .observe(["b"])
            .timeout(SECOND);
        let mut rows = scan.rows();
        assert!(rows.next().await.unwrap().unwrap().values[0].is_ok());
        rig.rt.partition(IOC, CLIENT, true);
        let error = rows.next().await.unwrap().unwrap_err();
        assert!(matches!(error.axes, Restored::Failed(_)), "{error}");
        assert!(error.to_string().contains("NOT put back"), "{error}");
    });
}

#[test]
fn a_scan_is_paused_resumed_and_aborted() {
    let rig = Rig::new();
    rig.run(async {
        let control = Control::new();
        let scan = rig
            .client
            .scan([quick("a", &[1.0, 2.0, 3.0, 4.0])])
            .dwell(SECOND);
        let mut rows = scan.control(&control).rows();
        rows.next().await.unwrap().unwrap();
        control.pause();
        assert!(
            rig.rt.timeout(60 * SECOND, rows.next()).await.is_none(),
            "it is paused"
        );
        assert_eq!(rig.number("a"), 1.0);
        control.resume();
        assert_eq!(rows.next().await.unwrap().unwrap().at, [2.0]);
        let (sleep, button) = (rig.rt.sleep(300 * MILLI), control.clone());
        rig.rt.spawn(async move {
            sleep.await;
            button.abort();
        });
        let error = rows.next().await.unwrap().unwrap_err();
        assert_eq!(
            (&*error.fault, &error.axes),
            (&ScanFault::Aborted, &Restored::Back)
        );
        assert_eq!(rig.number("a"), 0.0);
        assert!(rows.next().await.is_none());
    });
}

#[test]
fn rows_that_are_dropped_move_nothing_more() {
    let rig = Rig::new();
    rig.run(async {
        let mut rows = rig.client.scan([quick("a", &[1.0, 2.0])]).rows();
        rows.next().await.unwrap().unwrap();
        drop(rows);
        rig.rt.sleep(SECOND).await;
        assert_eq!(rig.number("a"), 1.0);
    });
}

#[test]
fn scans_may_be_dropped_at_any_poll() {
    survives(
        async |client| {
            let axis = Axis::new("a", [1.0, 2.0]).settle(Settle::read_back("a", 0.1));
            let scan = client
                .scan([axis, Axis::new("b", [1.0])])
                .observe(["wave", "a"]);
            all(scan.rows()).await.1
        },
        |rig, _, _| rig.post("a", 0.0),
    );
    survives(
        async |client| {
            let axis = Axis::new("a", [1.0, 2.0]).settle(Settle::read_back("b", 0.1));
            client.scan([axis]).observe(["wave"]).check().await.is_ok()
        },
        |rig, moment, _| assert_eq!(rig.number("a"), 0.0, "{moment:?}"),
    );
}

#[test]
fn a_scan_is_looked_at_before_it_is_made() {
    let rig = Rig::new();
    rig.post("a", 7.0);
    rig.run(async {
        let axes = || [quick("a", &[1.0, 2.0]), quick("limited", &[9.0])];
        let check = rig.client.scan(axes()).observe(["b"]).check().await.unwrap();
        assert_eq!((check.points, check.axes.len()), (2, 2));
        assert_eq!((check.axes[0].at, check.axes[0].limits), (7.0, None));
        assert_eq!(check.axes[1].limits.map(|it| it.upper), Some(10.0));
        assert_eq!(check.axes[1].points, [9.0]);
        let scan = rig.client.scan(axes()).observe(["nobody"]).timeout(SECOND);
        let error = scan.check().await.unwrap_err();
        assert_eq!(error.axes, Restored::NotMoved);
        let [a, limited] = axes();
        let error = rig.client.scan([a, limited.range(-1.0, 1.0)]).check().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "the scan does not begin: \"limited\" cannot go to 9: the limits of the axis go from -1 to 1; give \
             points between them; nothing was moved"
        );
        let error = rig.client.scan([quick("a", &[1.0]).range(1.0, 0.0)]).check().await;
        assert!(error.unwrap_err().to_string().contains("exchange them"));
        assert_eq!(rig.number("a"), 7.0);
    });
}
