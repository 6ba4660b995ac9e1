//! The fault proxy, between clients and a server.

use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};

use ca_proxy::{Level, Proxy as Running, ProxyConfig, Script, TokioRuntime};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::runtime;
use crate::errors;
use crate::life::{self, Native};

/// A proxy that harms what passes between clients and a server.
#[pyclass(frozen, module = "canter._canter")]
pub(crate) struct Proxy {
    proxy: Native<Mutex<Option<Running>>>,
    listen: SocketAddrV4,
    runtime: tokio::runtime::Handle,
}

#[pymethods]
impl Proxy {
    #[new]
    #[pyo3(signature = (server, script="", *, seed=0, read_only=false))]
    fn new(
        py: Python<'_>,
        server: &str,
        script: &str,
        seed: u64,
        read_only: bool,
    ) -> PyResult<Self> {
        let server: SocketAddrV4 = server.parse().map_err(|_| {
            errors::bad(format!(
                "server \"{server}\": give an address and a port, as in \"127.0.0.1:5064\""
            ))
        })?;
        let script: Script = script.parse().map_err(|error: ca_proxy::ScriptError| {
            errors::bad(format!("the script of the proxy: {error}"))
        })?;
        let mut config = ProxyConfig::new(server).script(script).seed(seed);
        config = config.log(Level::Quiet);
        if read_only {
            config = config.read_only();
        }
        let runtime = runtime()?;
        let started = life::detached(py, || {
            let _inside = runtime.enter();
            Running::start(Arc::new(TokioRuntime::new(runtime.clone())), config)
        });
        let proxy = started.map_err(|error| errors::bad(error.to_string()))?;
        Ok(Self {
            listen: proxy.listen(),
            proxy: Native::new(Mutex::new(Some(proxy))),
            runtime,
        })
    }

    /// Where clients find it: address and port.
    fn listen(&self) -> String {
        self.listen.to_string()
    }

    /// Executes a line of the line protocol of the proxy.
    fn execute(&self, py: Python<'_>, line: &str) -> PyResult<String> {
        let elsewhere = || {
            PyRuntimeError::new_err(
                "this proxy was stopped, or belongs to the parent of this process",
            )
        };
        let proxy = self.proxy.get().ok_or_else(elsewhere)?;
        let said = life::detached(py, || {
            let proxy = proxy.lock().unwrap_or_else(PoisonError::into_inner);
            proxy.as_ref().map(|proxy| proxy.execute(line))
        });
        said.ok_or_else(elsewhere)
    }

    /// Ends all circuits and closes the ports.
    fn stop(&self, py: Python<'_>) {
        let Some(proxy) = self.proxy.get() else {
            return;
        };
        life::detached(py, || {
            let running = proxy.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(running) = running {
                self.runtime.block_on(running.stop());
            }
        });
    }
}
