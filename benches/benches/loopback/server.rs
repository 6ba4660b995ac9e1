//! Our IOC on a thread of its own.

use std::net::SocketAddrV4;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use ca_client::Value;
use ca_server_sim::net::NetConfig;
use ca_server_sim::{Ioc, PvSpec};
use tokio::sync::oneshot;

use crate::meter::ThreadCpu;

/// Elements of the array `WF`, 8 MB.
const WAVE_LEN: usize = 1_000_000;
/// Bytes of the image `IMG`.
pub(crate) const IMAGE_LEN: usize = 1360 * 1024 * 3;

/// An IOC with doubles `B:0`, `B:1` and so on, the array `WF` and the image `IMG`. It runs until it
/// is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub addr: SocketAddrV4,
    pub cpu: ThreadCpu,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(pvs: usize) -> Self {
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            crate::runtime().block_on(async {
                let names = (0..pvs).map(|n| (format!("B:{n}"), PvSpec::double(0.0)));
                let wave = Value::array(&vec![1.5; WAVE_LEN]);
                let image = Value::array(&vec![7u8; IMAGE_LEN]);
                // Searches must arrive on the port of the circuits, as `--server` has it.
                let ioc = Ioc::builder()
                    .pvs(names)
                    .pv("WF", PvSpec::array(wave))
                    .pv("IMG", PvSpec::array(image))
                    .serve(NetConfig::new().repeater(None))
                    .await
                    .expect("free ports on loopback");
                let addr = SocketAddrV4::new(*ioc.addr().ip(), ioc.udp_port());
                tell.send((addr, ThreadCpu::current()))
                    .expect("it is waited for");
                let _ = stopped.await;
            });
        });
        let (addr, cpu) = told.recv().expect("the IOC starts");
        Self {
            addr,
            cpu,
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
