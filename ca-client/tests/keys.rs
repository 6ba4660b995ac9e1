//! What belongs to a subscription is found by its key.

use std::collections::{BTreeMap, HashMap};

use ca_client::MonitorKey;

#[test]
fn subscription_keys_are_keys_of_maps() {
    fn is_key<K: std::hash::Hash + Ord + Copy + Send + Sync>() {}
    is_key::<MonitorKey>();
    let _: (HashMap<MonitorKey, &str>, BTreeMap<MonitorKey, &str>) = Default::default();
}
