//! Things dropped where it is least expected: inside a wake, under each other, before their time.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

use ca_client::{
    Channel, ChannelState, ConnectError, GetError, MonitorEvent, Phase, PutError, Reading,
};
use futures_util::future::join_all;

use crate::rig::{CLIENT, IOC, MILLI, Rig, SECOND, gives_back};

/// Runs a test whose failure would be to wait for its own lock for ever.
fn within_a_minute(test: impl FnOnce() + Send + 'static) {
    let (done, finished) = channel();
    let test = thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    match finished.recv_timeout(60 * SECOND) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => test.join().expect("the test passes"),
    }
}

/// A waker that owns something, and drops it when it is woken, or with itself.
struct Owner<T>(Mutex<Option<T>>);

impl<T: Send + 'static> Owner<T> {
    fn empty() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    fn of(owned: T) -> Waker {
        Waker::from(Arc::new(Self(Mutex::new(Some(owned)))))
    }

    fn give(&self, owned: T) {
        *self.0.lock().unwrap() = Some(owned);
    }

    fn has_dropped(&self) -> bool {
        self.0.lock().unwrap().is_none()
    }
}

impl<T: Send + 'static> Wake for Owner<T> {
    fn wake(self: Arc<Self>) {
        let owned = self.0.lock().unwrap().take();
        drop(owned);
    }
}

fn poll_with<F: Future>(future: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(waker))
}

#[test]
fn a_subscription_is_dropped_in_its_own_wake() {
    within_a_minute(|| {
        let rig = Rig::new(1);
        let x = rig.run(rig.client.connect("x")).unwrap();
        let before = rig.client.stats();
        let owner = Owner::empty();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        rig.run(rig.next(&mut updates));
        assert!(poll_with(pin!(updates.next()), &owner.clone().into()).is_pending());
        owner.give(updates);
        rig.post(5.0);
        rig.rt.run_for(SECOND);
        assert!(owner.has_dropped());
        assert_eq!(rig.client.stats(), before);
    });
}

#[test]
fn the_client_is_dropped_in_the_wake_of_its_subscription() {
    within_a_minute(|| {
        let rig = Rig::new(1);
        let x = rig.run(rig.client.connect("x")).unwrap();
        let owner = Owner::empty();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        rig.run(rig.next(&mut updates));
        assert!(poll_with(pin!(updates.next()), &owner.clone().into()).is_pending());
        let Rig { rt, ioc, client } = rig;
        owner.give((updates, x, client));
        ioc.post("x", 5.0).unwrap();
        rt.run_for(SECOND);
        assert!(owner.has_dropped());
        assert_eq!(rt.live_tasks(CLIENT), 0);
    });
}

#[test]
fn the_last_handle_is_dropped_in_the_wake_of_a_future() {
    within_a_minute(|| {
        let rig = Rig::new(1);
        let before = rig.client.stats();
        let x = rig.run(rig.client.connect("x")).unwrap();
        let wave = rig.run(rig.client.connect("wave")).unwrap();
        let owner = Owner::empty();
        owner.give(wave);
        let mut read = Box::pin(x.get::<f64>());
        assert!(poll_with(read.as_mut(), &owner.clone().into()).is_pending());
        rig.rt.run_for(SECOND);
        assert!(owner.has_dropped());
        assert!(matches!(rig.run(read), Ok(1.5)));
        drop(x);
        rig.rt.run_for(SECOND);
        assert_eq!(rig.client.stats(), before);
    });
}

/// A future that moves to another task is polled with another waker. The old one is dropped, and
/// with it what it owns, which must not happen under the client's lock.
#[test]
fn a_replaced_waker_may_own_a_channel() {
    within_a_minute(|| {
        let rig = Rig::new(1);
        let x = rig.run(rig.client.connect("x")).unwrap();
        let nobody = rig.client.open("nobody").unwrap();
        let owner = || Owner::of(rig.client.open("other").unwrap());
        fn twice<F: Future>(future: F, owner: impl Fn() -> Waker) {
            let mut future = pin!(future);
            assert!(poll_with(future.as_mut(), &owner()).is_pending());
            assert!(poll_with(future.as_mut(), &owner()).is_pending());
        }
        twice(x.get::<f64>(), owner);
        twice(x.put(1.0).wait(), owner);
        twice(nobody.get::<f64>(), owner);
        twice(nobody.put(1.0), owner);
        twice(nobody.connected(), owner);
        twice(nobody.wait_for(|info| info.is_connected()), owner);
        twice(
            rig.client.get_many::<f64>(&["x", "nobody"]).timeout(SECOND),
            owner,
        );
        twice(rig.client.connect_many(&["x", "nobody"]), owner);
        let mut updates = nobody.monitor::<Reading>().start().unwrap();
        twice(updates.next(), owner);
        let mut events = rig.client.events();
        twice(events.next(), owner);
        let held = rig.client.stats();
        assert_eq!((held.waiting_for_answer, held.waiting_for_change), (0, 0));
        let keeper = Rig::new(2);
        let owner = || Owner::of(keeper.client.open("other").unwrap());
        twice(rig.client.close(), owner);
        // Those of the client that is being closed itself.
        let closing = Rig::new(3);
        let waker = Owner::of(closing.client.open("other").unwrap());
        twice(closing.client.close(), || waker.clone());
        assert_eq!(closing.client.stats().waiting_for_change, 0);
    });
}

#[test]
fn close_ends_what_is_pending_with_an_error() {
    let rig = Rig::new(1);
    rig.run(async {
        let x = rig.client.connect("x").await.unwrap();
        let slow = rig.client.connect("slow").await.unwrap();
        let nobody = rig.client.open("nobody").unwrap();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        rig.next(&mut updates).await;
        let mut events = rig.client.events();
        let mut pending: Vec<Pin<Box<dyn Future<Output = ()> + '_>>> = vec![
            Box::pin(async {
                assert!(matches!(
                    slow.put(1.0).wait().await,
                    Err(PutError::Closed(_))
                ));
            }),
            Box::pin(async {
                assert!(matches!(x.get::<f64>().await, Err(GetError::Closed(_))));
            }),
            Box::pin(async {
                assert!(matches!(
                    nobody.get::<f64>().await,
                    Err(GetError::Closed(_))
                ));
            }),
            Box::pin(async {
                assert!(matches!(
                    nobody.connected().await,
                    Err(ConnectError::Closed(_))
                ));
            }),
            Box::pin(async { assert!(!nobody.wait_for(|info| info.is_connected()).await) }),
            Box::pin(async { assert_eq!(updates.next().await, None) }),
            Box::pin(async { while events.next().await.is_some() {} }),
        ];
        poll_fn(|cx| {
            for future in &mut pending {
                assert!(future.as_mut().poll(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        futures_util::future::join(rig.client.close(), join_all(pending)).await;
        let held = rig.client.stats();
        assert_eq!((held.tasks, held.circuits, held.channels), (0, 0, 0));
        assert_eq!((held.waiting_for_answer, held.waiting_for_change), (0, 0));
        assert_eq!(rig.rt.live_tasks(CLIENT), 0);
        assert!(matches!(
            rig.client.connect("x").await,
            Err(ConnectError::Closed(_))
        ));
        assert!(x.monitor::<Reading>().start().is_err());
    });
}

#[test]
fn what_was_written_before_close_arrives() {
    for window in [100, 1000, 100_000] {
        let rig = Rig::shuffled(window);
        rig.rt.net(|net| net.send_buffer = window as usize);
        rig.run(async {
            let wave = rig.client.connect("wave").await.unwrap();
            let big = rig.client.connect("big").await.unwrap();
            big.put(vec![1.0; 1000]).await.unwrap();
            // The first write is on its way, and fills the window, when the others are queued.
            rig.rt
                .timeout(MILLI / 2, std::future::pending::<()>())
                .await;
            big.put(vec![2.0; 1000]).await.unwrap();
            wave.put(vec![7.0]).await.unwrap();
            rig.client.close().await;
            rig.rt.sleep(SECOND).await;
        });
        let wave = rig.ioc.with(|ioc, _| ioc.number("wave"));
        assert_eq!(wave, Ok(7.0), "window of {window} bytes");
    }
}

/// A client whose dial is on its way to a server from which nothing comes.
fn dialling() -> (Rig, Channel) {
    let rig = Rig::new(1);
    let (near, far) = (rig.rt.host_id(CLIENT), rig.rt.host_id(IOC));
    let x = rig.client.open("x").unwrap();
    rig.run(async {
        while rig.rt.net(|net| net.stats.datagrams) == 0 {
            rig.rt.sleep(MILLI / 10).await;
        }
        // The search has arrived, the answer is on its way back, the dial will not get through.
        rig.rt.sleep(3 * MILLI / 2).await;
        rig.rt.net(|net| net.hold(near, far));
        rig.rt.sleep(SECOND).await;
    });
    assert!(matches!(x.state(), Some(ChannelState::Connecting { .. })));
    (rig, x)
}

#[test]
fn close_gives_a_dial_up() {
    let (rig, x) = dialling();
    let start = rig.now();
    rig.run(rig.client.close());
    assert_eq!(rig.now(), start, "at once");
    assert_eq!(rig.rt.live_tasks(CLIENT), 0);
    drop(x);
}

#[test]
fn a_dial_without_an_answer_ends_with_its_channel() {
    let (rig, x) = dialling();
    let error = rig.run(x.get::<f64>().timeout(SECOND)).unwrap_err();
    let GetError::NotConnected(context) = error else {
        panic!("{error}");
    };
    assert_eq!(
        (context.phase, context.elapsed),
        (Phase::Connecting, SECOND)
    );
    assert_eq!(rig.rt.live_tasks(CLIENT), 2);
    drop(x);
    rig.rt.run_for(MILLI);
    assert_eq!(rig.rt.live_tasks(CLIENT), 1);
    assert_eq!(rig.rt.stats().streams, 0);
}

#[test]
fn the_last_handle_ends_the_client_although_the_server_is_silent() {
    let Rig { rt, ioc, client } = Rig::new(1);
    crate::rig::run(&rt, async {
        let x = client.connect("x").await.unwrap();
        drop(client);
        assert_eq!(x.get::<f64>().await, Ok(1.5), "a channel keeps the client");
        rt.partition(IOC, CLIENT, true);
        x.put(3.0).await.unwrap();
        drop(x);
        rt.sleep(SECOND).await;
        assert_eq!(rt.live_tasks(CLIENT), 0);
        assert_eq!(ioc.with(|ioc, _| ioc.number("x")), Ok(1.5));
    });
}

#[test]
fn an_ioc_stops_while_puts_are_pending() {
    let mut rig = Rig::new(1);
    let before = rig.client.stats();
    let (rt, ioc, client) = (&rig.rt, &mut rig.ioc, &rig.client);
    crate::rig::run(rt, async {
        let slow = client.connect("slow").await.unwrap();
        let never = client.connect("never").await.unwrap();
        let waiting = {
            let (slow, never) = (slow.clone(), never.clone());
            async move {
                futures_util::join!(
                    slow.put(1.0).wait(),
                    slow.put(2.0).wait(),
                    never.put(3.0).wait()
                )
            }
        };
        let mut waiting = Box::pin(waiting);
        assert!(rt.timeout(SECOND, &mut waiting).await.is_none());
        let start = rt.now();
        ioc.stop().await;
        let (a, b, c) = waiting.await;
        for result in [a, b, c] {
            assert!(
                matches!(result, Err(PutError::Disconnected(_))),
                "{result:?}"
            );
        }
        assert_eq!(rt.now(), start + MILLI, "as soon as the end arrives");
        assert_eq!(rt.live_tasks(IOC), 0);
        ioc.start().await.unwrap();
        let put = slow.put(5.0).wait().timeout(60 * SECOND);
        put.await.unwrap();
        drop((slow, never));
        gives_back(rt, client, before).await;
    });
}

#[test]
fn a_dropped_ioc_leaves_nothing_behind() {
    let Rig { rt, ioc, client } = Rig::new(1);
    crate::rig::run(&rt, async {
        let x = client.connect("x").await.unwrap();
        let mut updates = x.monitor::<Reading>().start().unwrap();
        crate::rig::next(&rt, &mut updates).await;
        drop(ioc);
        assert_eq!(
            crate::rig::next(&rt, &mut updates).await,
            MonitorEvent::Disconnected
        );
    });
    assert_eq!((rt.live_tasks(IOC), rt.stats().listeners), (0, 0));
}

#[test]
fn nobody_waits_for_a_runtime_that_is_gone() {
    let Rig { rt, ioc, client } = Rig::new(1);
    let x = crate::rig::run(&rt, client.connect("x")).unwrap();
    let mut read = Box::pin(x.get::<f64>());
    let mut updates = x.monitor::<Reading>().start().unwrap();
    assert!(poll_with(read.as_mut(), Waker::noop()).is_pending());
    assert!(poll_with(pin!(updates.next()), Waker::noop()).is_pending());
    drop(rt);
    let answer = poll_with(read.as_mut(), Waker::noop());
    assert!(
        matches!(answer, Poll::Ready(Err(GetError::Closed(_)))),
        "{answer:?}"
    );
    assert!(poll_with(pin!(updates.next()), Waker::noop()).is_ready());
    assert!(poll_with(pin!(client.close()), Waker::noop()).is_ready());
    drop(ioc);
}
