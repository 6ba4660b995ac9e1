//! A watch under way.

use std::collections::VecDeque;
use std::time::Duration;

use ca_client::{
    AlarmSeverity, Channel, Client, FromReading, Instant, Monitor, MonitorError, MonitorEvent,
    MonitorSpec, Reading,
};

use super::WatchCounters;
use crate::clock;
use crate::pause::Control;

/// The last number that was delivered.
type Last = Option<(f64, AlarmSeverity)>;

#[derive(Debug)]
pub(super) struct Run {
    client: Client,
    channel: Channel,
    spec: MonitorSpec,
    /// None while it is paused.
    monitor: Option<Monitor>,
    period: Option<Duration>,
    deadband: Option<f64>,
    control: Control,
    counters: WatchCounters,
    /// What is to be delivered next: at most an update that was held back and what came behind it.
    ready: VecDeque<MonitorEvent>,
    held: Option<(Reading, u64)>,
    /// When the next update may be delivered.
    next: Instant,
    last: Last,
}

impl Run {
    pub(super) fn start(
        client: Client,
        channel: Channel,
        spec: MonitorSpec,
        period: Option<Duration>,
        deadband: Option<f64>,
        control: Control,
        counters: WatchCounters,
    ) -> Result<Self, MonitorError> {
        let mut run = Self {
            client,
            channel,
            spec,
            monitor: None,
            period,
            deadband,
            control,
            counters,
            ready: VecDeque::new(),
            held: None,
            next: Instant::ZERO,
            last: None,
        };
        if !run.control.is_paused() {
            run.subscribe()?;
        }
        Ok(run)
    }

    fn subscribe(&mut self) -> Result<(), MonitorError> {
        self.monitor = Some(self.channel.monitor().spec(self.spec).start()?);
        self.counters.count(|counts| counts.subscribed += 1);
        Ok(())
    }

    /// The next event to be delivered.
    pub(super) async fn next<T: FromReading>(&mut self) -> Option<MonitorEvent<T>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if let Some(event) = self.deliver(event) {
                    return Some(event);
                }
                continue;
            }
            if self.control.is_aborted() {
                self.monitor = None;
                return None;
            }
            if self.control.is_paused() {
                (self.monitor, self.held, self.last) = (None, None, None);
                // An abort is seen in the next round.
                let _ = self.control.go().await;
                continue;
            }
            if self.monitor.is_none() && self.subscribe().is_err() {
                return None;
            }
            let due = self.held.as_ref().map_or(Instant::MAX, |_| self.next);
            let monitor = self.monitor.as_mut()?;
            let event = clock::by(&self.client, due, monitor.next());
            match self.control.while_going(event).await {
                // It was paused or aborted.
                None => {}
                Some(Some(None)) => return None,
                Some(Some(Some(event))) => self.take(event),
                Some(None) => self.release(),
            }
        }
    }

    fn take(&mut self, event: MonitorEvent) {
        let MonitorEvent::Update { value, skipped } = event else {
            // What was held back came before.
            self.release();
            if matches!(event, MonitorEvent::Disconnected) {
                self.last = None;
            }
            self.ready.push_back(event);
            return;
        };
        self.counters.count(|counts| {
            counts.received += 1;
            counts.skipped += skipped;
        });
        let mut skipped = skipped;
        if let Some((_, before)) = self.held.take() {
            self.counters.count(|counts| counts.throttled += 1);
            skipped += before + 1;
        }
        if self.is_within_deadband(&value) {
            self.counters.count(|counts| counts.within_deadband += 1);
            return;
        }
        self.held = Some((value, skipped));
        if self.period.is_none() || clock::now(&self.client) >= self.next {
            self.release();
        }
    }

    /// What is held back is to be delivered now.
    fn release(&mut self) {
        let Some((value, skipped)) = self.held.take() else {
            return;
        };
        if let Some(period) = self.period {
            self.next = clock::after(&self.client, period);
        }
        if let (Some(number), true) = (value.get_f64(0), value.count() == 1) {
            self.last = Some((number, value.severity().unwrap_or_default()));
        }
        self.ready
            .push_back(MonitorEvent::Update { value, skipped });
    }

    fn is_within_deadband(&self, value: &Reading) -> bool {
        let (Some(width), Some((last, severity))) = (self.deadband, self.last) else {
            return false;
        };
        let number = value.get_f64(0).filter(|_| value.count() == 1);
        let same = value.severity().unwrap_or_default() == severity;
        // From and to NaN is always news.
        same && number.is_some_and(|number| (number - last).abs() <= width)
    }

    fn deliver<T: FromReading>(&self, event: MonitorEvent) -> Option<MonitorEvent<T>> {
        Some(match event {
            MonitorEvent::Update { value, skipped } => {
                self.counters.count(|counts| counts.delivered += 1);
                match T::from_owned(value) {
                    Ok(value) => MonitorEvent::Update { value, skipped },
                    Err(reason) => MonitorEvent::Unusable(reason),
                }
            }
            MonitorEvent::Disconnected => MonitorEvent::Disconnected,
            MonitorEvent::Connected => MonitorEvent::Connected,
            MonitorEvent::Failed(status) => MonitorEvent::Failed(status),
            MonitorEvent::Malformed(what) => MonitorEvent::Malformed(what),
            MonitorEvent::Unusable(reason) => MonitorEvent::Unusable(reason),
            // A kind that is added to monitors has to be added here.
            _ => return None,
        })
    }
}
