//! Spans of `tracing`, one for each circuit and each channel, for programs whose subscriber wants them: debug
//! spans, so that nobody pays for them who looks at messages only.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use ca_proto::ids::Cid;
use tracing::Span;

use crate::connect::text;

/// The span of a circuit, from dialling to its end.
pub(crate) fn of_circuit(server: SocketAddrV4) -> Span {
    tracing::debug_span!(parent: None, "circuit", %server)
}

/// The span of a channel, from opening to closing. It is made while the client is not locked: a subscriber may
/// take its time.
pub(crate) fn of_channel(name: &[u8]) -> Span {
    tracing::debug_span!(parent: None, "channel", pv = text(name))
}

/// Whether somebody wants spans.
pub(crate) fn are_wanted() -> bool {
    tracing::span_enabled!(tracing::Level::DEBUG)
}

/// The spans of the channels that are open; none unless somebody wanted them when the channel was opened.
#[derive(Debug, Default)]
pub(crate) struct Spans(BTreeMap<Cid, Span>);

impl Spans {
    /// Keeps the span of a channel, if there is one.
    pub(crate) fn insert(&mut self, cid: Cid, span: Option<Span>) {
        if let Some(span) = span.filter(|span| !span.is_disabled()) {
            self.0.insert(cid, span);
        }
    }

    /// The span of a channel that is closed, to be dropped when the client is not locked any more.
    pub(crate) fn remove(&mut self, cid: Cid) -> Option<Span> {
        self.0.remove(&cid)
    }

    pub(crate) fn get(&self, cid: Cid) -> Option<&Span> {
        self.0.get(&cid)
    }
}
