//! Scalar updates allocate nothing once the buffers have their size.

mod server_rig;

use allocation_counter::measure;
use ca_proto::dbr::Value;
use ca_proto::server::{Database, SubKey};
use server_rig::{Rig, event_add};

const CHANNELS: u32 = 500;

#[test]
fn scalar_updates_do_not_allocate_after_warm_up() {
    let mut rig = Rig::new();
    for sid in 0..CHANNELS {
        rig.create(sid, sid, "dval");
        rig.ask(&event_add(20, 1, sid, sid, 5));
    }
    let subs: Vec<SubKey> = rig.db.subs.iter().map(|sub| sub.1.key).collect();
    let pv = rig.db.pv("dval");
    let mut round = |value: f64, pending: usize| {
        rig.db.get("dval").now.value = Value::scalar(value);
        let state = rig.db.read(pv);
        for _ in 0..pending {
            for &key in &subs {
                rig.circuit.post(key, &state);
            }
        }
        let mut sent = 0;
        while rig.circuit.has_output() {
            let queue = rig.circuit.transmit(&rig.db);
            sent += queue.len();
            queue.advance(queue.len());
        }
        sent
    };
    round(0.5, 200);
    let mut sent = 0;
    let counted = measure(|| sent = (0..20).map(|n| round(f64::from(n), 2)).sum());
    assert_eq!(sent, 20 * 2 * CHANNELS as usize * 40);
    assert_eq!(counted.count_total, 0);
}
