//! Our IOC with a `.db`.

use ca_server_sim::{Instant, Ioc, IocBuilder, NetConfig, SimIoc};
use tokio::runtime::Runtime;

use crate::ports;

/// Our IOC, served on a thread of its own.
#[derive(Debug)]
pub struct Ours {
    ioc: Option<SimIoc>,
    runtime: Runtime,
}

impl Ours {
    /// Serves the records of a text.
    ///
    /// # Panics
    /// If the text is wrong.
    pub fn serve(db: &str) -> Self {
        Self::serve_ioc(Ioc::builder().db_text(db, ""))
    }

    /// Serves what is described.
    ///
    /// # Panics
    /// If it is wrong.
    pub fn serve_ioc(builder: IocBuilder) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let port = ports::free_pair();
        let config = NetConfig::new()
            .tcp_port(port)
            .udp_port(port)
            .repeater(None);
        let served = runtime.block_on(builder.serve(config));
        let ioc = Some(served.unwrap_or_else(|error| panic!("{error}")));
        Self { ioc, runtime }
    }

    /// Does something with the IOC.
    pub fn with<R>(&self, work: impl FnOnce(&mut Ioc, Instant) -> R) -> Option<R> {
        self.ioc.as_ref().map(|ioc| ioc.with(work))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.ioc.as_ref().map_or(0, |ioc| ioc.addr().port())
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some(ioc) = self.ioc.take() {
            self.runtime.block_on(ioc.stop());
        }
    }
}
