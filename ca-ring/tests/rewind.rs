//! A ring behind an IOC that goes back to a snapshot.
#![cfg(feature = "ioc")]

use std::time::Duration;

use ca_ring::{Machine, Options, ioc};
use ca_server_sim::net::{ModelRun, NetConfig, SimIoc};
use ca_server_sim::{IocSnapshot, SnapshotError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const STEP: Duration = Duration::from_millis(100);

async fn served(seed: u64) -> (SimIoc, ModelRun<Machine>) {
    let options = Options {
        seed,
        housekeeping: 1,
        ..Options::default()
    };
    let machine = Machine::standard(options).unwrap();
    let (builder, pvs) = ioc::describe(&machine);
    let ioc = builder.serve(NetConfig::new()).await.unwrap();
    let run = ModelRun::new(ioc.clone(), &pvs, machine).unwrap();
    (ioc, run)
}

/// All PVs as bytes, without their times.
fn all(ioc: &SimIoc) -> Vec<(String, Vec<u8>)> {
    let names: Vec<String> = ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect());
    let bytes = |name: String| {
        let value = ioc.read(&*name).unwrap().value;
        (name, value.as_ref().data.to_vec())
    };
    names.into_iter().map(bytes).collect()
}

/// A part of an operator's day: correctors, a quadrupole, the frequency; what is on all PVs after each step.
fn day(ioc: &SimIoc, run: &mut ModelRun<Machine>, first: u32) -> Vec<Vec<(String, Vec<u8>)>> {
    let steps = (0..12).map(|n| {
        let amperes = f64::from(n) / 8.0;
        ioc.post("ARIMA-CH-003:I-SET", amperes).unwrap();
        if n == 5 {
            ioc.post("ARIMA-QF-001:I-SET", 5.001).unwrap();
            ioc.post("ARIRF-MASTER:FREQ", 500_000_050.0).unwrap();
        }
        run.step(STEP * (first + n)).unwrap();
        all(ioc)
    });
    steps.collect()
}

/// A client of Channel Access that keeps what it is sent.
struct Wire {
    stream: TcpStream,
    /// What came and was not taken yet.
    input: Vec<u8>,
}

const CREATE_CHAN: u16 = 18;
const EVENT_ADD: u16 = 1;
const ECHO: u16 = 23;
/// A value with its alarm and without time stamp: those are of the real clock.
const STS_DOUBLE: u16 = 13;

fn message(command: u16, ty: u16, (p1, p2): (u32, u32), payload: &[u8]) -> Vec<u8> {
    let padded = payload.len().next_multiple_of(8);
    let mut bytes = Vec::new();
    for part in [command, padded as u16, ty, 0] {
        bytes.extend_from_slice(&part.to_be_bytes());
    }
    bytes.extend_from_slice(&p1.to_be_bytes());
    bytes.extend_from_slice(&p2.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.resize(16 + padded, 0);
    bytes
}

impl Wire {
    /// Subscribes to PVs.
    async fn open(ioc: &SimIoc, names: &[String]) -> Self {
        let stream = TcpStream::connect(ioc.addr()).await.unwrap();
        let input = Vec::new();
        let mut wire = Self { stream, input };
        // The count of a VERSION is the minor version.
        let mut hello = message(0, 0, (0, 0), &[]);
        hello[7] = 13;
        wire.stream.write_all(&hello).await.unwrap();
        for (id, name) in (0..).zip(names) {
            let name = [name.as_bytes(), b"\0"].concat();
            let create = message(CREATE_CHAN, 0, (id, 13), &name);
            wire.stream.write_all(&create).await.unwrap();
            let (_, answer) = wire.until(CREATE_CHAN).await;
            let sid = u32::from_be_bytes(answer[12..16].try_into().unwrap());
            // Three numbers that nobody uses, and the mask: values and alarms.
            let mut mask = [0; 16];
            mask[13] = 5;
            let add = message(EVENT_ADD, STS_DOUBLE, (sid, id), &mask);
            wire.stream.write_all(&add).await.unwrap();
        }
        wire
    }

    /// The next message.
    async fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(head) = self.input.get(..16) {
                let size = u16::from_be_bytes([head[2], head[3]]);
                let end = match (size, self.input.get(16..20)) {
                    (u16::MAX, Some(size)) => {
                        24 + u32::from_be_bytes(size.try_into().unwrap()) as usize
                    }
                    (u16::MAX, None) => usize::MAX,
                    (size, _) => 16 + usize::from(size),
                };
                if self.input.len() >= end {
                    let rest = self.input.split_off(end);
                    return std::mem::replace(&mut self.input, rest);
                }
            }
            let read = self.stream.read_buf(&mut self.input).await.unwrap();
            assert_ne!(read, 0, "the circuit goes on");
        }
    }

    /// All bytes before a message of this command, and that message.
    async fn until(&mut self, command: u16) -> (Vec<u8>, Vec<u8>) {
        let mut before = Vec::new();
        loop {
            let frame = self.frame().await;
            if frame[..2] == command.to_be_bytes() {
                return (before, frame);
            }
            before.extend_from_slice(&frame);
        }
    }

    /// All bytes until there is nothing left to be said.
    async fn heard(&mut self, ioc: &SimIoc) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let done = !ioc.with(|ioc, _| ioc.has_work());
            let echo = message(ECHO, 0, (0, 0), &[]);
            self.stream.write_all(&echo).await.unwrap();
            let (bytes, _) = self.until(ECHO).await;
            if done && bytes.is_empty() {
                return all;
            }
            all.extend_from_slice(&bytes);
        }
    }
}

/// The first message that is another one: the step, its number, what was and what is.
fn differs(was: &[Vec<u8>], is: &[Vec<u8>]) -> Option<(usize, usize, Vec<u8>, Vec<u8>)> {
    let messages = |bytes: &[u8]| bytes.chunks(8).map(<[u8]>::to_vec).collect::<Vec<_>>();
    was.iter()
        .zip(is)
        .enumerate()
        .find_map(|(step, (was, is))| {
            let (mut was, mut is) = (messages(was), messages(is));
            let longest = was.len().max(is.len());
            was.resize(longest, Vec::new());
            is.resize(longest, Vec::new());
            let at = was.iter().zip(&is).position(|(was, is)| was != is)?;
            let some = |all: &[Vec<u8>]| all[at.saturating_sub(3)..longest.min(at + 3)].concat();
            Some((step, at, some(&was), some(&is)))
        })
}

/// A ring goes back, and the same steps are the same bytes to a client that has stayed connected.
#[tokio::test]
async fn the_same_steps_of_a_ring_are_the_same_bytes_on_the_wire() {
    let (ioc, mut run) = served(3).await;
    let names: Vec<String> = ioc.with(|ioc, _| ioc.pv_names().map(str::to_owned).collect());
    let mut wire = Wire::open(&ioc, &names).await;
    for n in 0..7 {
        run.step(STEP * n).unwrap();
    }
    wire.heard(&ioc).await;
    let snapshot = ioc.snapshot().unwrap();
    let mut first: Vec<Vec<u8>> = Vec::new();
    for begin in [7, 19, 31] {
        let mut bytes = Vec::new();
        for n in 0..12 {
            let amperes = f64::from(n) / 8.0;
            ioc.post("ARIMA-CH-003:I-SET", amperes).unwrap();
            if n == 5 {
                ioc.post("ARIMA-QF-001:I-SET", 5.001).unwrap();
            }
            run.step(STEP * (begin + n)).unwrap();
            bytes.push(wire.heard(&ioc).await);
        }
        match first.is_empty() {
            true => first = bytes,
            false => assert_eq!(differs(&first, &bytes), None, "from {begin}"),
        }
        ioc.rewind(&snapshot).unwrap();
        let told = wire.heard(&ioc).await;
        assert!(!told.is_empty(), "it is told of the old values");
    }
    assert!(first[0] != first[1] && first.concat().len() > 100_000);
}

#[tokio::test]
async fn orbit_noise_and_pulses_go_on_as_they_did() {
    let (ioc, mut run) = served(3).await;
    for n in 0..7 {
        run.step(STEP * n).unwrap();
    }
    let snapshot = ioc.snapshot().unwrap();
    let first = day(&ioc, &mut run, 7);
    assert_ne!(first[0], first[1], "something happens");
    ioc.rewind(&snapshot).unwrap();
    assert!(day(&ioc, &mut run, 19) == first);
    // In another process, too.
    let (other, mut its) = served(3).await;
    its.step(STEP).unwrap();
    let file = IocSnapshot::from_bytes(snapshot.as_bytes()).unwrap();
    other.rewind(&file).unwrap();
    assert!(day(&other, &mut its, 2) == first);
    // Another ring is another one, and goes on.
    let (third, mut its) = served(4).await;
    its.step(STEP).unwrap();
    let before = all(&third);
    let error = third.rewind(&file).unwrap_err();
    assert!(matches!(error, SnapshotError::Model { number: 1, .. }));
    assert!(error.to_string().contains("seed 3"), "{error}");
    assert_eq!(all(&third), before);
    its.step(STEP * 2).unwrap();
}

#[test]
fn what_is_no_state_of_a_ring_changes_nothing() {
    let machine = || {
        let options = Options {
            housekeeping: 0,
            ..Options::default()
        };
        Machine::standard(options).unwrap()
    };
    let mut ring = machine();
    let set: Vec<f64> = ring.set_points().iter().map(|q| q.value).collect();
    let mut read = vec![0.0; ring.read_backs().len()];
    ring.step(STEP, &set, &mut read).unwrap();
    let state = ring.save();
    let mut wrong = vec![Vec::new(), state[..state.len() - 1].to_vec()];
    for (at, byte) in [(0, 9), (1, 77), (9, 1), (40, 0xff), (48, 0xff), (65, 0xff)] {
        let mut bytes = state.clone();
        bytes[at] = byte;
        if at == 48 {
            // The current is no number.
            bytes[47..49].copy_from_slice(&[0xf0, 0x7f]);
        }
        wrong.push(bytes);
    }
    let mut longer = state.clone();
    longer.push(0);
    wrong.push(longer);
    let mut refused = 0;
    for bytes in wrong {
        match ring.restore(&bytes) {
            Err(error) => {
                refused += 1;
                assert!(!error.is_empty());
                assert_eq!(ring.save(), state);
            }
            Ok(()) => ring.restore(&state).unwrap(),
        }
    }
    assert!(refused >= 6, "{refused}");
}
