//! A repeater on a host.

use std::collections::VecDeque;

use ca_proto::Instant;
use ca_proto::repeater::Repeater;

use super::{Host, HostInput, HostOutput};

/// The repeater of `ca-proto` at its port.
#[derive(Debug)]
pub struct RepeaterHost {
    repeater: Repeater,
    port: u16,
    output: VecDeque<HostOutput>,
    datagram: Vec<u8>,
}

impl RepeaterHost {
    /// A repeater for the machine with this address.
    pub fn new(repeater: Repeater, port: u16) -> Self {
        Self {
            repeater,
            port,
            output: VecDeque::from([HostOutput::Bind { port }]),
            datagram: Vec::new(),
        }
    }

    /// The state machine.
    pub const fn repeater(&self) -> &Repeater {
        &self.repeater
    }
}

impl Host for RepeaterHost {
    fn handle(&mut self, now: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Datagram { from, data, .. } => {
                self.repeater.handle_datagram(now, from, data);
            }
            HostInput::Unowned { addr } => self.repeater.forget(addr),
            _ => {}
        }
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn poll_output(&mut self, now: Instant) -> Option<HostOutput> {
        if self.output.is_empty() {
            while let Some(to) = self.repeater.poll_transmit(now, &mut self.datagram) {
                self.output.push_back(HostOutput::Datagram {
                    port: self.port,
                    to,
                    data: self.datagram.clone(),
                });
            }
            while let Some(addr) = self.repeater.poll_check() {
                self.output.push_back(HostOutput::TryBind { addr });
            }
        }
        self.output.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
