//! Servers that are Python programs, as something that can be ended and started again.

use crate::checks::restart::Restart;
use crate::checks::{Check, Kind, Server, Stop};
use crate::peer::{Peer, PeerError, Python};
use crate::ports;

/// A server as a process that is killed.
#[derive(Debug)]
pub struct Process<'a> {
    python: &'a Python,
    kind: Kind,
    script: &'static str,
    prefix: String,
    peer: Peer,
}

impl<'a> Process<'a> {
    /// Starts it and waits until it serves.
    ///
    /// # Errors
    /// As [`Python::serve`].
    pub fn start(
        python: &'a Python,
        kind: Kind,
        script: &'static str,
        prefix: &str,
    ) -> Result<Self, PeerError> {
        let peer = python.serve(script, prefix, &[])?;
        let prefix = prefix.into();
        Ok(Self {
            python,
            kind,
            script,
            prefix,
            peer,
        })
    }
}

impl Restart for Process<'_> {
    fn server(&self) -> Server {
        Server {
            kind: self.kind,
            address: ports::at(self.peer.port()),
            prefix: self.prefix.clone(),
        }
    }

    fn stop(&mut self) -> Check {
        self.peer.kill();
        Ok(())
    }

    fn start(&mut self, changed: bool) -> Check {
        let (port, more) = (self.peer.port(), ["--changed", "1"]);
        let more: &[&str] = if changed { &more } else { &[] };
        let again = self
            .python
            .serve_again(self.script, port, &self.prefix, more);
        self.peer = again.map_err(|error| Stop::Failed(error.to_string()))?;
        Ok(())
    }
}
