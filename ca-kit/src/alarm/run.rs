//! An alarm under way.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use ca_client::{
    AlarmSeverity, Channel, Client, Instant, Monitor, MonitorError, MonitorEvent, Reading,
    Timestamp,
};

use super::logic::Logic;
use super::{AlarmEvent, AlarmKind, AlarmPanel, Sink, until};
use crate::clock;

/// Updates that wait to be judged; a short excursion among more is missed.
const DEPTH: usize = 64;

pub(super) struct Run {
    client: Client,
    channel: Channel,
    monitor: Monitor,
    logic: Logic,
    disconnected: bool,
    sinks: Vec<Sink>,
    panel: AlarmPanel,
    /// What was told at once: at most an acknowledgement and what follows from it.
    ready: VecDeque<AlarmEvent>,
    value: Option<f64>,
    severity: AlarmSeverity,
    timestamp: Timestamp,
}

/// What happened.
enum News {
    Event(MonitorEvent),
    Asked(bool, Option<std::time::Duration>),
    Due,
    Ended,
}

impl Run {
    pub(super) fn start(
        client: Client,
        channel: Channel,
        logic: Logic,
        disconnected: bool,
        sinks: Vec<Sink>,
        panel: AlarmPanel,
    ) -> Result<Self, MonitorError> {
        let monitor = channel.monitor::<Reading>().depth(DEPTH).start()?;
        Ok(Self {
            client,
            channel,
            monitor,
            logic,
            disconnected,
            sinks,
            panel,
            ready: VecDeque::new(),
            value: None,
            severity: AlarmSeverity::NO_ALARM,
            timestamp: Timestamp::UNDEFINED,
        })
    }

    /// The next event; `None` after the client was closed.
    pub(super) async fn next(&mut self) -> Option<AlarmEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                for sink in &mut self.sinks {
                    sink(&event);
                }
                return Some(event);
            }
            let due = self.logic.next().unwrap_or(Instant::MAX);
            match self.news(due).await {
                News::Event(event) => self.take(event),
                News::Asked(acknowledged, shelve) => {
                    if let Some(time) = shelve {
                        let until = until(&self.client, time);
                        self.logic.shelve((!time.is_zero()).then_some(until));
                    }
                    if acknowledged {
                        let kind = self.logic.acknowledge();
                        self.tell(kind);
                    }
                }
                News::Due => {}
                News::Ended => return None,
            }
            let kind = self.logic.poll(clock::now(&self.client));
            self.tell(kind);
            self.panel.lock().state = self.logic.state();
        }
    }

    /// Waits until something happens.
    async fn news(&mut self, due: Instant) -> News {
        let Self {
            client,
            monitor,
            panel,
            ..
        } = self;
        let (mut event, mut due) = (pin!(monitor.next()), pin!(clock::sleep_until(client, due)));
        poll_fn(|cx| {
            if let Some((acknowledged, shelve)) = panel.poll(cx.waker()) {
                return Poll::Ready(News::Asked(acknowledged, shelve));
            }
            match event.as_mut().poll(cx) {
                Poll::Ready(Some(event)) => Poll::Ready(News::Event(event)),
                Poll::Ready(None) => Poll::Ready(News::Ended),
                Poll::Pending => due.as_mut().poll(cx).map(|()| News::Due),
            }
        })
        .await
    }

    fn take(&mut self, event: MonitorEvent) {
        let now = clock::now(&self.client);
        match event {
            MonitorEvent::Update { value, .. } => {
                self.value = value.get_f64(0);
                self.severity = value.severity().unwrap_or_default();
                self.timestamp = value.timestamp().unwrap_or_default();
                self.logic.value(now, self.value, self.severity);
            }
            MonitorEvent::Disconnected | MonitorEvent::Failed(_) => {
                self.value = None;
                if self.disconnected {
                    self.severity = AlarmSeverity::INVALID;
                    self.logic.set(now, true);
                }
            }
            _ => {}
        }
    }

    fn tell(&mut self, kind: Option<AlarmKind>) {
        self.ready.extend(kind.map(|kind| AlarmEvent {
            pv: self.channel.name(),
            kind,
            value: self.value,
            severity: self.severity,
            timestamp: self.timestamp,
        }));
    }
}
