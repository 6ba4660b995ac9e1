//! Random operations against random faults: every operation ends in its time, the last value
//! arrives, nothing is left.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use ca_client::{Channel, Client, Monitor, Reading};
use ca_proto::rng::Pcg32;
use ca_server_sim::net::SimIoc;
use ca_server_sim::{Ioc, PvSpec};
use ca_testkit::Segmentation;
use ca_testkit::runtime::SimRuntime;
use futures_util::future::{join, join_all};

use crate::dropped::{Dropped, Moment};
use crate::rig::{CLIENT, IOC, MILLI, OTHER_IOC, SECOND, client, run, serve};

/// Seeds in a normal run.
const SEEDS: u64 = 50;
/// Time during which there are faults.
const TROUBLE: Duration = Duration::from_secs(90);
/// Time in which everything is found again: the longest pause between searches is 5 minutes.
const PEACE: Duration = Duration::from_secs(400);
const NAMES: [[&str; 3]; 2] = [["a0", "a1", "a2"], ["b0", "b1", "b2"]];
const WORKERS: u64 = 6;

/// One life of two clients and two IOCs.
struct Life {
    rt: SimRuntime,
    clients: [Client; 2],
    /// The newest value that each subscription has told.
    last: RefCell<BTreeMap<(usize, &'static str), f64>>,
    ended: RefCell<u32>,
}

fn pause(rng: &mut Pcg32, most: Duration) -> Duration {
    most.mul_f64(rng.f64())
}

fn pick<'a, T>(rng: &mut Pcg32, from: &'a [T]) -> &'a T {
    &from[rng.below(from.len() as u32) as usize]
}

impl Life {
    fn new(rt: SimRuntime) -> (Self, [SimIoc; 2]) {
        rt.trace(|trace| trace.enabled = false);
        let iocs = [(IOC, NAMES[0]), (OTHER_IOC, NAMES[1])].map(|(addr, names)| {
            let specs = [
                PvSpec::double(0.0),
                PvSpec::double(0.0).completes_after(SECOND),
                PvSpec::double(0.0).completes_never(),
            ];
            serve(&rt, addr, Ioc::builder().pvs(names.into_iter().zip(specs)))
        });
        let life = Self {
            clients: [CLIENT, [10, 0, 0, 10].into()].map(|addr| client(&rt, addr)),
            rt,
            last: RefCell::default(),
            ended: RefCell::default(),
        };
        (life, iocs)
    }

    /// One operation; its time, and the most it may take.
    async fn operate(&self, rng: &mut Pcg32, client: &Client, channel: &Channel) {
        let limit = 100 * MILLI + pause(rng, 5 * SECOND);
        let fresh = client.open(*pick(rng, &NAMES.concat())).unwrap();
        let channel = if rng.chance(0.3) { &fresh } else { channel };
        let value = f64::from(rng.below(1000));
        let moment = match rng.below(6) {
            0 => Moment::AfterPoll(rng.below(5) as usize),
            1 => Moment::WhenWoken(rng.below(5) as usize),
            _ => Moment::AfterPoll(usize::MAX),
        };
        let kind = rng.below(6);
        let names = NAMES.concat();
        let start = self.rt.idle();
        Dropped::new(moment, async {
            // Whether it succeeds depends on the faults.
            match kind {
                0 => drop(channel.get::<f64>().timeout(limit).await),
                1 => drop(channel.put(value).timeout(limit).await),
                2 => drop(channel.put(value).wait().timeout(limit).await),
                3 => drop(channel.connected().timeout(limit).await),
                4 => drop(client.get_many::<f64>(&names).timeout(limit).await),
                _ => drop(channel.metadata().timeout(limit).await),
            }
        })
        .await;
        let took = self.rt.idle() - start;
        assert!(took <= limit, "operation {kind} took {took:?} of {limit:?}");
        *self.ended.borrow_mut() += 1;
    }

    async fn work(&self, mut rng: Pcg32, client: &Client) {
        let channel = client.open(*pick(&mut rng, &NAMES.concat())).unwrap();
        while self.rt.now().as_nanos() < TROUBLE.as_nanos() as u64 {
            self.rt.sleep(pause(&mut rng, 3 * SECOND)).await;
            self.operate(&mut rng, client, &channel).await;
        }
    }

    /// Reads a subscription, sometimes slowly, to the end of the client.
    async fn watch(&self, mut rng: Pcg32, key: (usize, &'static str), mut updates: Monitor) {
        while let Some(item) = updates.next().await {
            if let Some(value) = item.value_as::<f64>() {
                self.last.borrow_mut().insert(key, value);
            }
            if rng.chance(0.2) {
                self.rt.sleep(pause(&mut rng, 2 * SECOND)).await;
            }
        }
    }

    async fn trouble(&self, rng: &mut Pcg32, iocs: &mut [SimIoc; 2]) {
        let rt = &self.rt;
        let hosts = [IOC, OTHER_IOC].map(|addr| rt.host_id(addr));
        let clients = [CLIENT, [10, 0, 0, 10].into()].map(|addr| rt.host_id(addr));
        while rt.now().as_nanos() < TROUBLE.as_nanos() as u64 {
            rt.sleep(pause(rng, 6 * SECOND)).await;
            let (far, near) = (*pick(rng, &hosts), *pick(rng, &clients));
            let ioc = pick_mut(rng, iocs);
            match rng.below(9) {
                0 => ioc.stop().await,
                1 | 2 => ioc.start().await.unwrap(),
                3 => rt.net(|net| net.reset(near, far)),
                4 => rt.net(|net| net.set_links(near, far, |link| link.down ^= true)),
                5 => rt.net(|net| net.set_link(near, far, |link| link.held ^= true)),
                6 => rt.net(|net| net.set_link(near, far, |link| link.refuse ^= true)),
                7 => {
                    let loss = 0.5 * rng.f64();
                    rt.net(|net| net.set_links(near, far, |link| link.loss = loss));
                }
                _ => rt.net(|net| {
                    net.set_links(near, far, |link| link.jitter = 20 * MILLI);
                    net.segmentation = Segmentation::Random;
                }),
            }
            for (ioc, names) in iocs.iter().zip(NAMES) {
                ioc.post(*pick(rng, &names), f64::from(rng.below(1000)))
                    .unwrap();
            }
        }
        rt.net(|net| net.heal());
        for ioc in iocs {
            ioc.start().await.unwrap();
        }
    }
}

fn pick_mut<'a, T>(rng: &mut Pcg32, from: &'a mut [T]) -> &'a mut T {
    let at = rng.below(from.len() as u32) as usize;
    &mut from[at]
}

/// Operations that ended, and a number that follows from all bytes.
fn live(seed: u64, rt: SimRuntime) -> (u32, u64) {
    let (life, mut iocs) = Life::new(rt);
    let mut rng = Pcg32::new(seed);
    let mut fork = || Pcg32::new((u64::from(rng.next_u32()) << 8) | 1);
    let mut watchers = Vec::new();
    for (n, client) in life.clients.iter().enumerate() {
        for name in NAMES.concat() {
            let channel = client.open(name).unwrap();
            let updates = channel.monitor::<Reading>().start().unwrap();
            watchers.push(life.watch(fork(), (n, name), updates));
        }
    }
    let workers: Vec<_> = (0..WORKERS)
        .map(|n| life.work(fork(), &life.clients[n as usize % 2]))
        .collect();
    let mut faults = fork();
    run(&life.rt, async {
        let all = async {
            join(join_all(workers), life.trouble(&mut faults, &mut iocs)).await;
            life.rt.sleep(PEACE).await;
            for (&(n, name), value) in life.last.borrow().iter() {
                let number = |ioc: &SimIoc| ioc.with(|ioc, _| ioc.number(name)).ok();
                assert_eq!(
                    iocs.iter().find_map(number),
                    Some(*value),
                    "seed {seed}: {name} at client {n}"
                );
            }
            assert_eq!(
                life.last.borrow().len(),
                12,
                "seed {seed}: every value arrived"
            );
            for client in &life.clients {
                let held = client.stats();
                assert_eq!((held.waiting_for_answer, held.waiting_for_change), (0, 0));
                assert_eq!((held.channels, held.subscriptions), (6, 6), "seed {seed}");
                client.close().await;
            }
        };
        join(all, join_all(watchers)).await;
        for ioc in &mut iocs {
            ioc.stop().await;
        }
    });
    let left = life.rt.stats();
    assert_eq!(
        (left.tasks, left.streams, left.listeners),
        (0, 0, 0),
        "seed {seed}"
    );
    (life.ended.into_inner(), life.rt.trace(|trace| trace.hash()))
}

/// Operations that ended in all lives on such runtimes.
fn lives(seeds: u64, runtime: impl Fn(u64) -> SimRuntime) -> u32 {
    let mut ended = 0;
    for seed in 0..seeds {
        let (operations, hash) = live(seed, runtime(seed));
        ended += operations;
        if seed < 3 {
            assert_eq!(
                live(seed, runtime(seed)),
                (operations, hash),
                "seed {seed} twice"
            );
        }
    }
    ended
}

#[test]
fn operations_end_and_last_values_arrive_whatever_the_network_does() {
    let ended = lives(SEEDS, SimRuntime::shuffled);
    assert!(ended > 2000, "only {ended} operations");
}

#[test]
fn operations_end_and_last_values_arrive_on_a_busy_machine() {
    let ended = lives(SEEDS, |seed| SimRuntime::busy(seed, 2 * SECOND));
    assert!(ended > 1000, "only {ended} operations");
}
