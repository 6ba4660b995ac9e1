//! Promises about what a client says and believes, checked as it says it.

use core::net::SocketAddrV4;
use core::time::Duration;

use ca_proto::Instant;
use ca_proto::client::{ChannelState, CloseReason, Event, Trouble};
use ca_proto::ids::{Cid, CircuitId};
use ca_proto::wire::{datagram_frames, udp};

use super::ClientHost;
use super::drive::Closing;

/// Time that a dead circuit may be shown as alive beyond its time-outs.
const SILENCE_SLACK: Duration = Duration::from_secs(1);

impl ClientHost {
    /// Rights are never wider than the server's last word.
    pub(super) fn check_rights(&mut self, circuit: CircuitId, cids: &[Cid]) {
        let Some(stream) = self.streams.get(&circuit) else {
            return;
        };
        for &cid in cids {
            let Some(channel) = self.client.channel(cid) else {
                continue;
            };
            let ChannelState::Connected(connection) = channel.state else {
                continue;
            };
            // What servers below 4.1 say does not count (`nciu` of EPICS Base).
            if connection.circuit != circuit || stream.old {
                continue;
            }
            // Until the server has spoken a channel has all rights (`nciu` of EPICS Base).
            let said = stream.rights.get(&cid).copied().unwrap_or(3);
            let held = connection.rights.bits();
            if held & !said != 0 {
                let name = String::from_utf8_lossy(channel.name.as_bytes()).into_owned();
                self.log.complain(format!(
                    "{name} has rights {held:#b}, its server said {said:#b}"
                ));
                return;
            }
        }
    }

    /// A channel that is lost is not searched before the next tick of the governor, a timer that runs
    /// from the start of the client (`searchTimer` of EPICS Base). One that never was created on a circuit
    /// that had been connected may be searched at once, once between two connections (PROTOCOL C25).
    pub(super) fn hold(&mut self, now: Instant, event: &Event) {
        if self.late == Some(now) {
            // After a jump of the clock a tick that has passed counts as the next one.
            return;
        }
        match *event {
            Event::Disconnected { cid, .. } | Event::NotConnected { cid, .. } => {
                let tick = self.params.reconnect_delay.as_nanos().max(1) as u64;
                let since = (now - self.start).as_nanos() as u64;
                let until = self.start + Duration::from_nanos(since.next_multiple_of(tick));
                self.held.insert(cid, until);
                let dial = [CloseReason::DialFailed, CloseReason::DialTimeout];
                let excused = matches!(*event, Event::NotConnected {
                    why: Trouble::Circuit(why), ..
                } if !dial.contains(&why));
                if excused {
                    self.excused.insert(cid);
                } else {
                    self.excused.remove(&cid);
                }
            }
            Event::Connected { cid } => {
                self.held.remove(&cid);
                self.retried.remove(&cid);
            }
            _ => {}
        }
    }

    /// Notes that the clock has jumped over what was to be done.
    pub(super) fn note_late(&mut self, now: Instant) {
        if self.client.poll_timeout().is_some_and(|at| at < now) {
            self.late = Some(now);
            // Nobody was there to hear: silence is counted from here.
            for stream in self.streams.values_mut() {
                stream.heard = now;
            }
        }
    }

    /// Remembers servers that are said to be older than 4.1, and those that are there.
    pub(super) fn note_datagram(&mut self, now: Instant, from: SocketAddrV4, data: &[u8]) {
        for frame in datagram_frames(data).flatten() {
            match udp::Response::parse(&frame) {
                Ok(udp::Response::Search { server, minor, .. })
                    if !minor.has_status_in_replies() =>
                {
                    self.old.extend([server, *from.ip()]);
                }
                Ok(udp::Response::Beacon { server, .. }) => {
                    self.beacons.extend([(server, now), (*from.ip(), now)]);
                }
                _ => {}
            }
        }
    }

    /// A channel is not shown as connected while nothing is heard of its server: after the time-out
    /// of the circuit and that of an echo it is unresponsive, whatever the user sends
    /// meanwhile (`tcpRecvWatchdog` of EPICS Base). Beacons are a sign of life as well, and an echo waits for
    /// what is sent before it.
    pub(super) fn check_silence(&mut self, now: Instant) {
        let (timeout, echo) = (self.params.connection_timeout, self.params.echo_timeout);
        for (&circuit, stream) in &self.streams {
            let until = (stream.heard + timeout).max(stream.asked) + echo + SILENCE_SLACK;
            if !stream.open || stream.closing != Closing::No || now <= until {
                continue;
            }
            let shown = self.channels.iter().find_map(|(name, cid)| {
                match self.client.channel(*cid)?.state {
                    ChannelState::Connected(c) if c.circuit == circuit => Some((name, c.server)),
                    _ => None,
                }
            });
            let Some((name, server)) = shown else {
                continue;
            };
            let beacon = self.beacons.get(server.ip()).copied();
            if beacon.is_some_and(|at| now <= at + timeout + echo + SILENCE_SLACK) {
                continue;
            }
            let since = stream.heard;
            let what = format!("{name} is shown as connected, {server} is silent since {since}");
            self.log.complaint.get_or_insert(what);
        }
    }

    /// A connected channel is in no search list.
    pub(super) fn check_search(&mut self, now: Instant) {
        for frame in datagram_frames(&self.datagram).flatten() {
            let Ok(udp::Request::Search { cid, name, .. }) = udp::Request::parse(&frame) else {
                continue;
            };
            let early = self.held.get(&cid).is_some_and(|&until| now < until);
            if early && self.excused.remove(&cid) && self.retried.insert(cid) {
                self.held.remove(&cid);
            } else if early {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let what = format!("{name} was lost and is searched before its pause is over");
                self.log.complaint.get_or_insert(what);
            }
            let state = self.client.channel(cid).map(|channel| channel.state);
            if state != Some(ChannelState::Searching) {
                let name = String::from_utf8_lossy(name.as_bytes()).into_owned();
                let what = format!("{name} is searched for while its channel is {state:?}");
                self.log.complaint.get_or_insert(what);
            }
        }
    }
}
