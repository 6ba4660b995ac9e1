//! What is measured of the process, and when it counts as flat.

use super::{Failure, IOCS};

/// Growth of memory from the second to the last third of a run that still counts as flat.
const MAX_GROWTH: f64 = 0.05;
/// Bytes by which it may grow beside that: what allocators keep.
const SLACK: u64 = 8 << 20;
/// Descriptors by which it may grow: circuits that are just being replaced.
const SLACK_FILES: u64 = 2 * IOCS as u64;
/// Growth of the median latency: other programs on the machine make it twice as long, not four times.
const MAX_SLOWER: u64 = 4;

/// What is compared at the end.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// Resident bytes.
    pub(super) memory: u64,
    /// Open descriptors.
    pub(super) files: u64,
    /// Median of the reads, in microseconds.
    read: u64,
}

/// Looks at this process.
pub(super) fn sample(read: u64) -> Result<Sample, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    let kib: u64 = kib.ok_or("no VmRSS in /proc/self/status")?.parse()?;
    let files = std::fs::read_dir("/proc/self/fd")?.count() as u64;
    Ok(Sample {
        memory: kib << 10,
        files,
        read,
    })
}

/// Compares the medians of the second and the last third.
pub(super) fn is_flat(samples: &[Sample]) -> bool {
    let third = samples.len() / 3;
    if third == 0 {
        println!("too short to judge: fewer than 3 intervals");
        return false;
    }
    let median = |part: &[Sample], of: fn(&Sample) -> u64| {
        let mut values: Vec<u64> = part.iter().map(of).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (middle, last) = (&samples[third..2 * third], &samples[2 * third..]);
    let both = |of: fn(&Sample) -> u64| [middle, last].map(|part| median(part, of));
    let [before, after] = both(|s| s.memory);
    let [files, files_after] = both(|s| s.files);
    let [read, read_after] = both(|s| s.read);
    let most = before + (before as f64 * MAX_GROWTH) as u64 + SLACK;
    let slowest = read * MAX_SLOWER;
    let flat = after <= most && files_after <= files + SLACK_FILES && read_after <= slowest;
    println!(
        "memory {:.1} MB, then {:.1} MB (at most {:.1}); descriptors {files}, then {files_after} (at \
         most {}); read p50 {read} us, then {read_after} us (at most {slowest}): {}",
        before as f64 / 1e6,
        after as f64 / 1e6,
        most as f64 / 1e6,
        files + SLACK_FILES,
        if flat { "flat" } else { "NOT FLAT" }
    );
    flat
}
