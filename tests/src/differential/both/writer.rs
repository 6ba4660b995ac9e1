//! Who writes.

use std::collections::HashMap;
use std::time::Duration;

use super::super::bare::{Channel, Circuit};
use super::super::story::Put;

/// How long a put may take: what a record that never ends has to do with is never done.
const PATIENCE: Duration = Duration::from_secs(2);

/// A circuit for puts alone: the reference leaves out an update on the very channel that an array was written
/// through (`PROTOCOL.md`, S36), and a put that never ends blocks its circuit.
pub(super) struct Writer {
    circuit: Circuit,
    port: u16,
    channels: HashMap<String, Channel>,
}

impl Writer {
    pub(super) fn open(port: u16) -> Self {
        let mut circuit = Circuit::open(port);
        circuit.set_patience(PATIENCE);
        Self {
            circuit,
            port,
            channels: HashMap::new(),
        }
    }

    /// Writes: the status.
    pub(super) fn put(&mut self, put: &Put, quietly: bool) -> String {
        let channel = *self.channels.entry(put.name.clone()).or_insert_with(|| {
            let channels = self.circuit.create(std::slice::from_ref(&put.name));
            channels[0].unwrap_or_else(|| panic!("{} is there", put.name))
        });
        let status = match quietly {
            true => self.circuit.put_quietly(channel, &put.value),
            false => self.circuit.try_put(channel, &put.value),
        };
        status.map_or_else(
            || {
                *self = Self::open(self.port);
                "no answer".to_owned()
            },
            |status| format!("{status:#x}"),
        )
    }
}
