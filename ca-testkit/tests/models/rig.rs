//! An IOC and a client on one host of the model.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use ca_client::{Channel, Client, ClientStats, Monitor, MonitorSpec, Reading};
use ca_proto::config::ClientParams;
use ca_server_sim::{Counts, Ioc, NetConfig, PvSpec, SimIoc};
use shuttle::future::{JoinHandle, block_on, spawn, yield_now};

use crate::check::check;
use crate::runtime::Host;

/// Bytes that a connection holds in each direction: some small messages, so that sockets fill up.
const CAPACITY: usize = 256;
/// A time that never passes.
const NEVER: Duration = Duration::from_secs(3600);

/// Time that puts to `slow` take.
const PUT_TIME: Duration = Duration::from_millis(20);

/// Changes the parameters of the client.
pub(crate) type Params = fn(ClientParams) -> ClientParams;

/// The PVs `x` and `y` of an IOC, `slow`, whose puts take 20 ms, and `held`, whose puts end when the test
/// says so; and a client.
pub(crate) struct Rig {
    pub(crate) ioc: SimIoc,
    pub(crate) client: Client,
}

impl Rig {
    async fn new(params: Params) -> Self {
        let host = Arc::new(Host::new(CAPACITY));
        let ioc = Ioc::builder()
            .pv("x", PvSpec::double(0.0))
            .pv("y", PvSpec::double(0.0))
            .pv("slow", PvSpec::double(0.0).completes_after(PUT_TIME))
            .pv("held", PvSpec::double(0.0).completes_never())
            .serve_on(host.clone(), NetConfig::new())
            .await
            .unwrap();
        let client = Client::builder()
            .isolated([ioc.udp_addr()])
            .user("user")
            .host("host")
            .timeout(NEVER)
            .params(params)
            .runtime(host)
            .build()
            .unwrap();
        Self { ioc, client }
    }

    pub(crate) async fn connect(&self, pv: &str) -> Channel {
        self.client.connect(pv).await.unwrap()
    }

    /// A subscription whose first update, the present value, was taken.
    pub(crate) async fn subscribed(&self, pv: &str, spec: MonitorSpec) -> Monitor {
        let mut subscription = self
            .connect(pv)
            .await
            .monitor::<Reading>()
            .spec(spec)
            .start()
            .unwrap();
        while subscription
            .next()
            .await
            .unwrap()
            .value_as::<f64>()
            .is_none()
        {}
        subscription
    }

    /// Posts to a PV from a thread of its own.
    pub(crate) fn post(
        &self,
        pv: &'static str,
        values: impl IntoIterator<Item = f64> + Send + 'static,
    ) -> JoinHandle<()> {
        let handle = self.ioc.clone();
        spawn(async move { values.into_iter().for_each(|v| handle.post(pv, v).unwrap()) })
    }

    /// Closes client and IOC: nothing is left of either.
    async fn end(self) {
        self.client.close().await;
        assert_eq!(self.client.stats(), ClientStats::default());
        self.ioc.stop().await;
        assert_eq!(self.ioc.with(|ioc, _| ioc.counts()), Counts::default());
    }
}

/// What a model does with its client and IOC, which it gives back.
pub(crate) trait Story: AsyncFn(Rig) -> Rig + Copy + Send + Sync + 'static {}

impl<F: AsyncFn(Rig) -> Rig + Copy + Send + Sync + 'static> Story for F {}

/// Checks a model that begins with a fresh client and IOC, and of which nothing is left in the end.
pub(crate) fn model(story: impl Story) {
    model_with(|params| params, story);
}

/// As [`model`], with other parameters of the client.
pub(crate) fn model_with(params: Params, story: impl Story) {
    check(move || block_on(async { story(Rig::new(params).await).await.end().await }));
}

/// Polls a future a few times, letting others have their turn in between, and drops it.
pub(crate) async fn give_up(future: impl Future, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        let ready = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await;
        if ready {
            return;
        }
        yield_now().await;
    }
}
