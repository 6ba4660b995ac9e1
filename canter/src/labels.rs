//! Texts of states for which the list of an enum has no room: it holds 16, menus of records more.

use std::time::Duration;

use ca_client::{Channel, ReadSpec, Reading, TypeSpec};
use ca_proto::dbr::{DbrType, EnumIndex, Family, NativeType};
use futures_util::future::join;

use crate::escape;
use crate::sample::Sample;

/// Has the server convert the states of a sample that its list does not hold. Nothing changes if it
/// does not answer, or if the value has changed meanwhile, so that the texts may be of another one.
pub(crate) async fn complete(channel: &Channel, sample: &mut Sample, timeout: Duration) {
    if !sample.lacks_labels() {
        return;
    }
    let spec = |native| ReadSpec {
        ty: TypeSpec::Exact(DbrType::new(Family::Plain, native)),
        count: sample.count(),
    };
    // In this order: what the value still is behind the texts, it was when they were made.
    let get = |native| channel.get::<Reading>().spec(spec(native)).timeout(timeout);
    let (texts, again) = (get(NativeType::String), get(NativeType::Enum));
    let (Ok(texts), Ok(again)) = join(texts, again).await else {
        return;
    };
    if again.to_value() != sample.value {
        return;
    }
    let states = again.to_vec::<EnumIndex>().unwrap_or_default();
    for (n, EnumIndex(state)) in (0..).zip(states) {
        if let Some(label) = texts.value().string(n).filter(|label| !label.is_empty()) {
            sample.meta.more.insert(state, escape::line(label));
        }
    }
}
