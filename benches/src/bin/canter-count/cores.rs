//! Client core and IOC core back to back.

use ca_bench::pair::Pair;

use crate::Work;

const PVS: usize = 1000;
const ROUNDS: usize = 20;

/// The client's share of updates: the same bytes again and again.
pub(crate) fn updates() -> Work {
    let (mut pair, handles, cids) = Pair::new(PVS);
    pair.subscribe(&cids);
    handles.iter().for_each(|&pv| pair.post(pv, 1.0));
    assert!(pair.fetch());
    Box::new(move || {
        let before = pair.count.updates;
        (0..ROUNDS).for_each(|_| pair.deliver());
        assert_eq!(pair.count.updates - before, (ROUNDS * PVS) as u64);
    })
}

/// Search and creation of channels, both sides.
pub(crate) fn connect() -> Work {
    Box::new(|| drop(Pair::new(PVS)))
}

/// A read of every channel in flight, both sides.
pub(crate) fn reads() -> Work {
    let (mut pair, _, cids) = Pair::new(PVS);
    Box::new(move || {
        let before = pair.count.replies;
        for _ in 0..ROUNDS {
            cids.iter().for_each(|&cid| pair.read(cid));
            pair.settle();
        }
        assert_eq!(pair.count.replies - before, (ROUNDS * PVS) as u64);
    })
}
