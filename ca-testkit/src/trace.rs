//! Every frame that crosses the network, as text, and its comparison with a file.

use core::fmt::Write as _;
use core::net::SocketAddrV4;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use ca_proto::Instant;
use ca_proto::wire::dump::{self, Direction, StreamDump};

use crate::net::HostId;

/// Lines kept; older ones are dropped and counted.
const MAX_LINES: usize = 20_000;
/// Ports from here on are those of clients: datagrams to them are answers.
const EPHEMERAL_FROM: u16 = 32_768;
/// Environment variable that makes snapshot tests rewrite their files.
pub const UPDATE_VARIABLE: &str = "CANTER_UPDATE_SNAPSHOTS";

/// What crossed the network, as text.
///
/// A line stands at the time when the bytes were handed to the network:
///
/// ```text
///    0.010 c1 > 255.255.255.255:5064  VERSION seq=1 | SEARCH cid=0 "sim:sine"
///    0.011 s1 > c1                    VERSION | SEARCH cid=0 port=5064
///    0.012 c1 > s1  tcp               VERSION pri=0 minor=13 | CREATE cid=0 "sim:sine"
/// ```
#[derive(Debug)]
pub struct Trace {
    names: Vec<String>,
    lines: VecDeque<Line>,
    dropped: u64,
    streams: BTreeMap<(usize, usize), StreamDump>,
    /// Lines are made; without it only the hash is kept, which is much faster.
    pub enabled: bool,
    hash: u64,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// Beacons and repeater traffic, which snapshots leave out.
    background: bool,
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            names: Vec::new(),
            lines: VecDeque::new(),
            dropped: 0,
            streams: BTreeMap::new(),
            enabled: true,
            hash: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Trace {
    pub(crate) fn add_host(&mut self, name: &str) {
        self.names.push(name.to_owned());
    }

    /// Name of a host in the trace: `c1`, `s1`, …
    pub fn name(&self, host: HostId) -> &str {
        &self.names[host.index()]
    }

    /// Adds a line of one's own.
    pub fn note(&mut self, now: Instant, text: &str) {
        self.push(now, "--", text, false);
    }

    pub(crate) fn datagram(
        &mut self,
        now: Instant,
        src: HostId,
        to: SocketAddrV4,
        target: Option<HostId>,
        data: &[u8],
        lost: &[HostId],
    ) {
        self.mix(now, src, data);
        if !self.enabled {
            return;
        }
        let request = to.port() < EPHEMERAL_FROM;
        let direction = if request {
            Direction::UdpRequest
        } else {
            Direction::UdpResponse
        };
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = dump::datagram(&mut text, data, direction);
        for host in lost {
            let _ = write!(text, "  (lost: {})", self.name(*host));
        }
        let route = match target {
            Some(host) if !request => format!("{} > {}", self.name(src), self.name(host)),
            Some(host) => format!("{} > {}:{}", self.name(src), self.name(host), to.port()),
            None => format!("{} > {to}", self.name(src)),
        };
        // 13: beacon, 17 and 24: repeater; an empty datagram registers too.
        let background = matches!(data, [] | [0, 13 | 17 | 24, ..]);
        self.push(now, &route, &text, background);
    }

    pub(crate) fn stream(
        &mut self,
        now: Instant,
        connection: usize,
        end: usize,
        src: HostId,
        dst: HostId,
        data: &[u8],
    ) {
        self.mix(now, src, data);
        if !self.enabled {
            return;
        }
        let dump = self.streams.entry((connection, end)).or_insert_with(|| {
            StreamDump::new(match end {
                0 => Direction::TcpRequest,
                _ => Direction::TcpResponse,
            })
        });
        let mut text = String::new();
        dump.feed(data, |frame| {
            let separator = if text.is_empty() { "" } else { " | " };
            let _ = write!(text, "{separator}{frame}");
        });
        if text.is_empty() {
            let _ = write!(text, "({} bytes of a message)", data.len());
        }
        let route = format!("{} > {}  tcp", self.name(src), self.name(dst));
        self.push(now, &route, &text, false);
    }

    /// A stream is dialled, ended or reset by `src`.
    pub(crate) fn stream_event(&mut self, now: Instant, src: HostId, dst: HostId, what: &str) {
        if self.enabled {
            let route = format!("{} > {}  tcp", self.name(src), self.name(dst));
            self.push(now, &route, what, false);
        }
    }

    fn push(&mut self, now: Instant, route: &str, text: &str, background: bool) {
        if !self.enabled {
            return;
        }
        if self.lines.len() == MAX_LINES {
            self.lines.pop_front();
            self.dropped += 1;
        }
        let millis = now.as_nanos() / 1_000_000;
        let (secs, millis) = (millis / 1000, millis % 1000);
        let text = format!("{secs:>4}.{millis:03} {route:<25}  {text}");
        self.lines.push_back(Line { text, background });
    }

    /// FNV-1a over time, sender and bytes of everything that was sent, eight bytes at a time.
    fn mix(&mut self, now: Instant, src: HostId, data: &[u8]) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let (words, rest) = data.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let head = [now.as_nanos(), src.index() as u64, data.len() as u64];
        let body = words
            .iter()
            .chain([&last])
            .map(|word| u64::from_le_bytes(*word));
        for word in head.into_iter().chain(body) {
            // The multiplication carries upwards only; the rotation brings the high bits down.
            self.hash = (self.hash.rotate_left(29) ^ word).wrapping_mul(PRIME);
        }
    }

    /// A number that follows from every byte sent and its time: equal for equal runs.
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// All lines, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.lines.iter().map(|line| line.text.as_str())
    }

    /// Number of lines that contain `pattern`.
    pub fn count(&self, pattern: &str) -> usize {
        self.lines().filter(|line| line.contains(pattern)).count()
    }

    /// Forgets the lines so far, so that a snapshot begins at the interesting part.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.dropped = 0;
    }

    /// The last `n` lines.
    pub fn tail(&self, n: usize) -> String {
        let skip = self.lines.len().saturating_sub(n);
        let mut out = String::new();
        if skip > 0 || self.dropped > 0 {
            let _ = writeln!(out, "… {} lines before", skip as u64 + self.dropped);
        }
        for line in self.lines.iter().skip(skip) {
            out.push_str(&line.text);
            out.push('\n');
        }
        out
    }

    /// Compares the trace, beacons and repeater traffic left out, with
    /// `ca-testkit/tests/snapshots/NAME.txt`; with `CANTER_UPDATE_SNAPSHOTS=1` writes the file.
    ///
    /// # Panics
    /// If the trace differs from the file, with the differing lines.
    pub fn assert_snapshot(&self, name: &str) {
        let mut actual = String::new();
        for line in self.lines.iter().filter(|line| !line.background) {
            actual.push_str(line.text.trim_end());
            actual.push('\n');
        }
        let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/snapshots"))
            .join(format!("{name}.txt"));
        if std::env::var_os(UPDATE_VARIABLE).is_some_and(|value| value != "0") {
            std::fs::write(&path, &actual).expect("the folder of snapshots is writable");
            return;
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            actual == expected,
            "the trace differs from tests/snapshots/{name}.txt (- file, + this run); \
             {UPDATE_VARIABLE}=1 rewrites the file\n{}",
            diff(&expected, &actual)
        );
    }
}

/// Lines that differ, with up to three equal lines around each group.
pub fn diff(expected: &str, actual: &str) -> String {
    const CONTEXT: usize = 3;
    let a: Vec<&str> = expected.lines().collect();
    let b: Vec<&str> = actual.lines().collect();
    // Longest common subsequence, from the end.
    let mut longest = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            longest[i][j] = if a[i] == b[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut rows: Vec<(char, &str)> = Vec::new();
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            rows.push((' ', a[i]));
            i += 1;
            j += 1;
        } else if j == b.len() || (i < a.len() && longest[i + 1][j] >= longest[i][j + 1]) {
            rows.push(('-', a[i]));
            i += 1;
        } else {
            rows.push(('+', b[j]));
            j += 1;
        }
    }
    let mut out = String::new();
    let mut gap = false;
    for (at, (mark, line)) in rows.iter().enumerate() {
        let from = at.saturating_sub(CONTEXT);
        let to = (at + CONTEXT + 1).min(rows.len());
        if rows[from..to].iter().all(|(mark, _)| *mark == ' ') {
            gap = true;
            continue;
        }
        if std::mem::take(&mut gap) {
            out.push_str("  …\n");
        }
        let _ = writeln!(out, "{mark} {line}");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_shows_what_changed_and_where() {
        let before = "a\nb\nc\nd\ne\nf\ng\n";
        let after = "a\nb\nc\nd\ne\nF\ng\nh\n";
        assert_eq!(
            diff(before, after),
            "  …\n  c\n  d\n  e\n- f\n+ F\n  g\n+ h\n"
        );
        assert_eq!(diff(before, before), "");
    }

    #[test]
    fn the_hash_follows_bytes_times_and_hosts() {
        let hash = |at, host, data: &[u8]| {
            let mut trace = Trace::default();
            trace.mix(Instant::from_nanos(at), HostId(host), data);
            trace.hash()
        };
        assert_eq!(hash(1, 0, b"x"), hash(1, 0, b"x"));
        assert_ne!(hash(1, 0, b"x"), hash(2, 0, b"x"));
        assert_ne!(hash(1, 0, b"x"), hash(1, 1, b"x"));
        assert_ne!(hash(1, 0, b"x"), hash(1, 0, b"y"));
    }
}
