//! Whatever peers do: the account is no less than what the allocator counts, and comes to nothing with
//! the last circuit.

use allocation_counter::measure;
use ca_proto::config::ServerParams;
use ca_proto::dbr::{DbrType, Family, NativeType};
use ca_proto::ids::{Cid, Sid, SubId};
use ca_proto::rng::Pcg32 as Rng;
use ca_proto::server::{ALLOWANCE, Limit};
use ca_proto::wire::message::Text;
use ca_proto::wire::tcp;
use ca_proto::{EcaStatus, access::AccessRights};
use ca_server_sim::{Ioc, IocBuilder, PvSpec};

use crate::peer::{HOST, PLAIN_CHAR, PLAIN_DOUBLE, PLAIN_STRING, Peer, at, start};

const STEPS: u32 = 4000;
/// What is charged for the task of a circuit, which these circuits have not.
const UNUSED: i64 = 104 * 1024;
/// Tables of the IOC that do not shrink when its clients are gone, such as the slab of views.
const KEPT: i64 = 100_000;

fn pvs() -> IocBuilder {
    let array = || PvSpec::array(vec![0.5f64; 2000]);
    Ioc::builder()
        .pv("x", PvSpec::double(1.5).description("text"))
        .pv("wave", array())
        .pv("slow", array().completes_never())
        .pv("short", PvSpec::double(0.0).completes_never())
        .pv(
            "texts",
            PvSpec::strings(&["1"]).capacity(500).completes_never(),
        )
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.below(of.len() as u32) as usize]
}

fn step(rng: &mut Rng, ioc: &mut Ioc, peers: &mut Vec<Peer>) {
    if peers.is_empty() || rng.below(100) == 0 {
        peers.extend(Peer::connect(ioc, HOST));
        return;
    }
    let index = rng.below(peers.len() as u32) as usize;
    if rng.below(300) == 0 {
        peers.swap_remove(index).close(ioc);
        return;
    }
    let peer = &mut peers[index];
    if rng.below(3) > 0 {
        peer.read(ioc);
    }
    if peer.channels() == 0 {
        peer.create(ioc, "slow");
        return;
    }
    let sid = Sid(rng.below(peer.channels()));
    let types = [
        PLAIN_DOUBLE,
        PLAIN_STRING,
        PLAIN_CHAR,
        DbrType::new(Family::Time, NativeType::Double),
        DbrType::new(Family::Ctrl, NativeType::String),
    ];
    let ty = (*pick(rng, &types), *pick(rng, &[0, 1, 500, 2000]));
    match rng.below(14) {
        0 | 1 => {
            let n = rng.below(50);
            let names = [
                "x", "wave", "slow", "slow", "short", "texts", "x.DESC$", "x.EGU", "none",
            ];
            let name = match rng.below(3) {
                0 => format!("wave.VAL[{n}:2:1000]"),
                _ => (*pick(rng, &names)).to_owned(),
            };
            peer.create(ioc, &name);
        }
        2 | 3 => {
            peer.subscribe(ioc, sid, ty);
        }
        4 => {
            peer.read_notify(ioc, sid, ty);
        }
        5 | 6 => {
            let (ty, size) = *pick(
                rng,
                &[(PLAIN_CHAR, 1), (PLAIN_DOUBLE, 8), (PLAIN_STRING, 40)],
            );
            let count = *pick(rng, &[1, 20, 2000]);
            peer.put_notify(ioc, sid, (ty, count), &vec![b'1'; size * count as usize]);
        }
        7 => {
            peer.read(ioc);
        }
        8 => {
            let name = "n".repeat(rng.below(600) as usize);
            peer.send(
                ioc,
                &tcp::Request::ClientName {
                    name: Text::new(name.as_bytes()),
                },
            );
        }
        9 if rng.below(6) == 0 => {
            peer.send(
                ioc,
                &tcp::Request::EventCancel {
                    ty: ty.0,
                    count: 1,
                    sid,
                    subid: SubId(1),
                },
            );
        }
        10 if rng.below(6) == 0 => {
            peer.clear(ioc, sid, Cid(0));
        }
        11 => {
            let _ = ioc.post(at(0), "wave", vec![f64::from(rng.below(9)); 2000]);
            let _ = ioc.post(at(0), "x", f64::from(rng.below(9)));
        }
        12 if rng.below(5) == 0 => {
            let pv = *pick(rng, &["slow", "short", "texts"]);
            let _ = ioc.finish_put(at(0), pv, EcaStatus::NORMAL);
        }
        13 if rng.below(8) == 0 => {
            let rights = *pick(
                rng,
                &[AccessRights::ALL, AccessRights::ALL, AccessRights::READ],
            );
            let _ = ioc.set_rights(at(0), "slow", rights);
        }
        // The others end most circuits.
        _ => {}
    }
    if rng.below(400) == 0 {
        let announced = 8 * rng.below(20_000);
        let sent = rng.below(announced + 1) as usize;
        peer.begin_echo(ioc, announced, sent);
    }
    if !peers[index].is_open(ioc) {
        peers.swap_remove(index).close(ioc);
    }
    while ioc.poll_woken().is_some() {}
}

/// Returns how often each limit of bytes was met.
fn story(seed: u64, params: ServerParams, pvs: IocBuilder) -> [u64; 3] {
    let limit = params.max_bytes_per_host;
    let kept = KEPT + params.max_shared_bytes as i64;
    let mut ioc = start(params, pvs);
    let mut rng = Rng::new(seed);
    // Values of the PVs at their full length are the IOC's own.
    let mut live = 0;
    let mut peers = Vec::new();
    for n in 0..STEPS {
        let counted = measure(|| step(&mut rng, &mut ioc, &mut peers));
        live += counted.bytes_current;
        let account = ioc.held_by(HOST);
        let charged = account as i64 - peers.len() as i64 * UNUSED;
        assert!(
            live <= charged + kept,
            "seed {seed}, step {n}: {live} bytes are held, {charged} charged"
        );
        assert!(
            account <= limit + peers.len() * ALLOWANCE,
            "seed {seed}, step {n}: {account} of {limit}"
        );
        let circuits: usize = peers.iter().map(|peer| peer.held(&ioc)).sum();
        assert_eq!(circuits, account, "seed {seed}, step {n}");
    }
    let limits = ioc.stats().limits;
    let refused =
        [Limit::CircuitBytes, Limit::HostBytes, Limit::WaitingPuts].map(|l| limits.get(l));

    let counted = measure(|| {
        for peer in peers.drain(..) {
            peer.close(&mut ioc);
        }
        drop(std::mem::take(&mut peers));
    });
    live += counted.bytes_current;
    assert_eq!(ioc.held_by(HOST), 0, "seed {seed}");
    assert_eq!(ioc.stats().bytes, 0, "seed {seed}");
    assert!(live <= kept, "seed {seed}: {live} bytes are left");
    refused
}

fn seeds() -> Vec<u64> {
    match std::env::var("CANTER_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..6).collect(),
    }
}

#[test]
fn the_account_is_never_less_than_what_is_held_and_ends_at_nothing() {
    for seed in seeds() {
        let params = ServerParams::default().send_high_water(8192);
        story(seed, params.max_shared_bytes(50_000), pvs());
    }
}

/// What the log keeps of puts that are under way is paid by their clients.
#[test]
fn the_same_where_puts_are_logged() {
    for seed in seeds() {
        let params = ServerParams::default().send_high_water(8192);
        let pvs = pvs().put_log(|_| {});
        story(seed, params.max_shared_bytes(0), pvs);
    }
}

#[test]
fn the_same_where_much_is_refused() {
    let mut refused = [0; 3];
    for seed in seeds() {
        let params = ServerParams::default()
            .send_high_water(8192)
            .max_bytes_per_circuit(250_000)
            .max_bytes_per_host(500_000)
            .max_shared_bytes(50_000)
            .max_waiting_put_bytes(60_000);
        for (sum, times) in refused.iter_mut().zip(story(seed, params, pvs())) {
            *sum += times;
        }
    }
    assert!(refused.iter().all(|&times| times > 5), "{refused:?}");
}
