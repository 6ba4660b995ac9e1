//! What describes a PV: units, precision, limits and state texts, kept while its circuit lasts.

use std::sync::{Arc, Mutex, PoisonError};

use ca_client::{Connection, Limits, Reading};

/// What a `CTRL` or `GR` reading says beside the value.
#[derive(Debug)]
pub(crate) struct Meta {
    pub(crate) units: Option<String>,
    pub(crate) precision: Option<i16>,
    pub(crate) limits: Option<Limits>,
    pub(crate) states: Option<Vec<String>>,
}

impl Meta {
    /// `None` for the families that do not describe.
    pub(crate) fn of(reading: &Reading) -> Option<Self> {
        let units = reading.units().map(|units| units.to_string());
        let states = reading.states().map(|states| {
            let text = |state: &[u8]| String::from_utf8_lossy(state).into_owned();
            states.iter().map(text).collect()
        });
        if units.is_none() && states.is_none() {
            return None;
        }
        Some(Self {
            units,
            precision: reading.precision(),
            limits: reading.limits(),
            states,
        })
    }
}

/// What is known of a channel, with the connection on which it was told.
#[derive(Debug, Default)]
pub(crate) struct MetaCache(Mutex<Option<(Option<Connection>, Arc<Meta>)>>);

impl MetaCache {
    /// What is known, if it was told on this connection.
    pub(crate) fn get(&self, on: Option<&Connection>) -> Option<Arc<Meta>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (told, meta) = known.as_ref()?;
        same(told.as_ref(), on).then(|| meta.clone())
    }

    pub(crate) fn set(&self, on: Option<Connection>, meta: Arc<Meta>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((on, meta));
    }
}

/// Rights may change without another IOC behind the name.
fn same(a: Option<&Connection>, b: Option<&Connection>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.circuit == b.circuit && a.native == b.native && a.count == b.count,
        _ => false,
    }
}
