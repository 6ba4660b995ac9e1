//! The last messages that passed between an IOC and its clients, for reports of tests.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use ca_client::ca_proto::wire::dump::{self, Direction, StreamDump};
use ca_server_sim::Instant;
use ca_server_sim::ca_net::tap::{Observer, Passing, StreamId};

/// Lines that are kept, and bytes of each.
const MAX_LINES: usize = 2000;
const MAX_LINE: usize = 300;
/// Connections whose frames are followed at once.
const MAX_STREAMS: usize = 256;

#[derive(Default)]
struct Kept {
    lines: VecDeque<String>,
    left_out: u64,
    /// By connection: requests and responses.
    streams: BTreeMap<StreamId, (StreamDump, StreamDump)>,
}

/// Writes down what passes.
#[derive(Default)]
pub(super) struct Frames(Mutex<Kept>);

impl Frames {
    /// The lines, oldest first, and how many older ones there were.
    pub(super) fn lines(&self) -> (u64, Vec<String>) {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.left_out, kept.lines.iter().cloned().collect())
    }
}

impl Kept {
    fn add(&mut self, at: Instant, mut text: String) {
        if text.len() > MAX_LINE {
            let end = (0..=MAX_LINE).rev().find(|&end| text.is_char_boundary(end));
            text.truncate(end.unwrap_or_default());
            text.push('…');
        }
        if self.lines.len() >= MAX_LINES {
            self.lines.pop_front();
            self.left_out += 1;
        }
        let seconds = (at - Instant::ZERO).as_secs_f64();
        self.lines.push_back(format!("{seconds:12.6} {text}"));
    }
}

impl Observer for Frames {
    fn passes(&self, at: Instant, what: &Passing<'_>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = &mut *kept;
        match what {
            Passing::DatagramReceived { from, data, .. } => {
                let mut text = format!("{from} -> IOC  ");
                let _ = dump::datagram(&mut text, data, Direction::UdpRequest);
                kept.add(at, text);
            }
            Passing::DatagramSent { to, data, .. } => {
                let mut text = format!("IOC -> {to}  ");
                let _ = dump::datagram(&mut text, data, Direction::UdpResponse);
                kept.add(at, text);
            }
            Passing::Connected { stream, peer, .. } => {
                if kept.streams.len() < MAX_STREAMS {
                    let dumps = (
                        StreamDump::new(Direction::TcpRequest),
                        StreamDump::new(Direction::TcpResponse),
                    );
                    kept.streams.insert(*stream, dumps);
                }
                kept.add(at, format!("circuit {} connected by {peer}", stream.0));
            }
            Passing::Received { stream, data } => {
                let mut lines = Vec::new();
                if let Some((requests, _)) = kept.streams.get_mut(stream) {
                    requests.feed(data, |line| lines.push(line.to_string()));
                }
                for line in lines {
                    kept.add(at, format!("circuit {} -> IOC  {line}", stream.0));
                }
            }
            Passing::Sent { stream, data } => {
                let mut lines = Vec::new();
                if let Some((_, responses)) = kept.streams.get_mut(stream) {
                    responses.feed(data, |line| lines.push(line.to_string()));
                }
                for line in lines {
                    kept.add(at, format!("IOC -> circuit {}  {line}", stream.0));
                }
            }
            Passing::Ended { stream, .. } => {
                kept.streams.remove(stream);
                kept.add(at, format!("circuit {} ended", stream.0));
            }
            _ => {}
        }
    }
}
