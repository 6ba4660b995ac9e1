//! Attacks by masses: very many subscriptions, views, channels and puts, then all gone at once. Each is
//! within the limits of the IOC; what is to be seen is how long the others wait.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Ioid, Sid, SubId};
use ca_proto::wire::message::{Data, EventMask};
use ca_proto::wire::tcp;
use socket2::SockRef;

use super::attack::{Target, create, dial, host, version};

/// Which masses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Crowd {
    /// Subscriptions on one channel of the PV that the honest client writes, then a reset.
    Subscriptions,
    /// The same, cancelled one by one, the youngest first.
    Cancels,
    /// Views of an array, each of another element, then a reset.
    Views,
    /// Channels with a put-notify each on a PV that takes its time, then a reset.
    Puts,
    /// Every second, third, ... element of a large array, all subscribed, and small puts to it.
    Strides,
    /// Channels of fields with subscriptions, cleared one by one.
    Fields,
}

/// Strided views of one circuit.
const STRIDES: usize = 1000;
/// Bytes written at once; the attacker looks in between whether it is to end.
const PIECE: usize = 1 << 16;

/// Elements of the array `huge`.
const HUGE: u32 = 1_000_000;

impl Crowd {
    /// What one circuit of `each` channels or subscriptions asks for, and what it asks then, before it is
    /// reset.
    pub(super) fn requests(self, each: usize) -> (Vec<u8>, Vec<u8>) {
        let (mut asks, mut then) = (Vec::new(), Vec::new());
        version().encode_into(&mut asks);
        let each = each as u32;
        let double = DbrType::new(Family::Plain, NativeType::Double);
        let add = |sid, subid, count| tcp::Request::EventAdd {
            ty: double,
            count,
            sid: Sid(sid),
            subid: SubId(subid),
            mask: EventMask::VALUE,
        };
        match self {
            Self::Subscriptions | Self::Cancels => {
                create("x").encode_into(&mut asks);
                (0..each).for_each(|n| add(0, n, 1).encode_into(&mut asks));
                let cancel = |n| tcp::Request::EventCancel {
                    ty: double,
                    count: 1,
                    sid: Sid(0),
                    subid: SubId(n),
                };
                if self == Self::Cancels {
                    (0..each)
                        .rev()
                        .for_each(|n| cancel(n).encode_into(&mut then));
                }
            }
            Self::Views => {
                for n in 0..each.min(HUGE) {
                    create(&format!("huge.VAL[{n}]")).encode_into(&mut asks);
                    add(n, n, 1).encode_into(&mut asks);
                }
            }
            Self::Puts => {
                for n in 0..each {
                    create("slow").encode_into(&mut asks);
                    tcp::Request::WriteNotify {
                        ty: double,
                        count: 1,
                        sid: Sid(n),
                        ioid: Ioid(n),
                        data: Data(&1.0_f64.to_be_bytes()),
                    }
                    .encode_into(&mut asks);
                }
            }
            Self::Strides => {
                for n in 0..each {
                    create(&format!("huge.VAL[0:{}:-1]", n + 2)).encode_into(&mut asks);
                    add(n, n, 0).encode_into(&mut asks);
                }
                create("huge").encode_into(&mut asks);
                for n in 0..100 {
                    tcp::Request::Write {
                        ty: double,
                        count: 1,
                        sid: Sid(each),
                        cid: Cid(0),
                        data: Data(&f64::from(n).to_be_bytes()),
                    }
                    .encode_into(&mut then);
                }
            }
            Self::Fields => {
                for n in 0..each {
                    create("x.HIHI").encode_into(&mut asks);
                    add(n, n, 1).encode_into(&mut asks);
                }
                for n in (0..each).rev() {
                    tcp::Request::ClearChannel {
                        data_type: 0,
                        count: 0,
                        sid: Sid(n),
                        cid: Cid(1),
                    }
                    .encode_into(&mut then);
                }
            }
        }
        (asks, then)
    }

    /// Channels or subscriptions of a circuit, if it may have so many.
    pub(super) fn each(self, most: usize) -> usize {
        match self {
            Self::Subscriptions | Self::Cancels => most.min(400_000),
            Self::Views => most.min(100_000),
            Self::Puts | Self::Fields => most.min(60_000),
            Self::Strides => most.min(STRIDES),
        }
    }
}

/// Fills circuits and resets them, again and again.
pub(super) fn crowd(
    crowd: Crowd,
    target: &Target,
    stop: impl Fn() -> bool,
    ready: impl FnOnce(),
) -> io::Result<String> {
    let each = crowd.each(target.each);
    let circuits = target.connections.max(1);
    let (asks, then) = crowd.requests(each);
    let (mut ready, mut rounds, mut sent) = (Some(ready), 0_u32, 0_usize);
    while !stop() {
        let mut held = Vec::new();
        for n in 0..circuits {
            let Ok(stream) = dial(target, host(n / target.per_host)) else {
                break;
            };
            drain(&stream)?;
            held.push(stream);
            // One that is refused, because the IOC is still clearing away, takes nothing.
            for piece in asks.chunks(PIECE).take_while(|_| !stop()) {
                if held
                    .last_mut()
                    .is_none_or(|stream| stream.write_all(piece).is_err())
                {
                    break;
                }
                sent += piece.len();
            }
        }
        if let Some(ready) = ready.take() {
            ready();
        }
        for stream in &mut held {
            for piece in then.chunks(PIECE).take_while(|_| !stop()) {
                if stream.write_all(piece).is_err() {
                    break;
                }
                sent += piece.len();
            }
        }
        // The last requests have arrived.
        std::thread::sleep(Duration::from_millis(50));
        for stream in held {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            let _ = stream.shutdown(std::net::Shutdown::Read);
        }
        rounds += 1;
    }
    Ok(format!(
        "{rounds} rounds of {circuits} circuits with {each} each, {:.0} MB of requests",
        sent as f64 / 1e6
    ))
}

/// Reads whatever comes: who does not read is held back.
fn drain(stream: &TcpStream) -> io::Result<()> {
    let mut stream = stream.try_clone()?;
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 18];
        while stream.read(&mut buffer).is_ok_and(|len| len > 0) {}
    });
    Ok(())
}
