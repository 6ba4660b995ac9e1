//! The story of a facility as data: what there is, and what happens to it.

use core::time::Duration;

use ca_proto::rng::Pcg32;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde::{Deserialize, Serialize};

/// What stands where.
///
/// Numbers of hosts are counts, numbers in operations are taken modulo these counts, so a plan stays
/// valid when hosts are taken away.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shape {
    /// Seed of everything random that is not in the plan: delays, chunk sizes, hostile hosts.
    pub seed: u64,
    /// Clients, at least one, each with a repeater on its machine.
    pub clients: u8,
    /// IOCs, at least one.
    pub iocs: u8,
    /// Subnets of 254 addresses, at least one; hosts are spread over them in turn.
    pub subnets: u8,
    /// A TCP name server, which some of the clients ask.
    pub name_server: bool,
    /// A gateway, which serves PVs of all IOCs under names that begin with `g:`.
    pub gateway: bool,
    /// Hosts that send frames which are almost right.
    pub hostile: u8,
    /// How clients search: broadcasts to all subnets, the name server, or both, in turn from here.
    pub search: u8,
    /// Streams are cut anywhere; otherwise chunks are what was written.
    pub cut_streams: bool,
    /// Bytes between a writer and its reader.
    pub send_buffer: u32,
    /// Bytes that a host reads at once.
    pub read_size: u32,
    /// Random part of every delay, in microseconds.
    pub jitter_us: u32,
    /// Groups of records on each IOC, beside its PVs; which ones follows from the seed. Plans that were
    /// written before there were any have none.
    #[serde(default)]
    pub records: u8,
}

/// What becomes of one direction of a link, or of both.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Fault {
    /// Percentage of datagrams that are lost.
    Loss(u8),
    /// Percentage of datagrams that arrive twice.
    Duplicate(u8),
    /// Percentage of datagrams that are overtaken.
    Reorder(u8),
    /// Milliseconds from sending to arrival, and at most as many more at random.
    Delay(u16),
    /// Bytes per second of streams.
    Bandwidth(u32),
    /// Nothing passes, and nobody is told: half-open streams.
    Down,
    /// Everything is kept on its way.
    Hold,
    /// Streams cannot be opened.
    Refuse,
    /// No fault.
    None,
}

/// One thing that happens. Which host or PV a number means is found when it happens; what is not
/// possible then does nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // The line of the operation describes its fields.
pub enum Op {
    /// A client opens a channel.
    Open { client: u8, name: u8 },
    /// A client closes a channel with all that is on it.
    Close { client: u8, name: u8 },
    /// A client subscribes: family 0 to 4, count 0 for all elements, mask of 4 bits.
    Subscribe {
        client: u8,
        name: u8,
        family: u8,
        count: u8,
        mask: u8,
    },
    /// A client cancels one of its subscriptions.
    Cancel { client: u8, nth: u8 },
    /// A client reads; family 5 asks for text.
    Read { client: u8, name: u8, family: u8 },
    /// A client writes without an answer.
    Put { client: u8, name: u8 },
    /// A client writes so many times in a row and wants to know when each is done.
    PutNotify { client: u8, name: u8, times: u8 },
    /// A client gives up waiting for its oldest answer.
    GiveUp { client: u8 },
    /// A client stops reading from its streams, or reads on.
    Busy { client: u8, busy: bool },
    /// An IOC posts values: an odd number before anything can be sent, an even one one by one.
    Post { name: u8, times: u8 },
    /// An IOC finishes the put with completion that a PV is busy with.
    Finish { name: u8 },
    /// An IOC changes the access rights of a PV: bit 0 read, bit 1 write.
    Rights { name: u8, rights: u8 },
    /// An IOC deletes a PV, or has it again.
    Delete { name: u8 },
    /// The process of an IOC ends.
    Stop { ioc: u8 },
    /// An IOC loses power.
    PowerOff { ioc: u8 },
    /// An IOC that is off starts, one that runs is restarted; with the other types of its PVs or the
    /// same.
    Start { ioc: u8, other_types: bool },
    /// An IOC gets another address, as it does when its host is replaced.
    Move { ioc: u8 },
    /// The process of a client ends without a word and a new one begins.
    Replace { client: u8 },
    /// The gateway, the name server (even numbers) or a repeater (odd) starts anew.
    Restart { which: u8 },
    /// The link of two hosts.
    Link {
        a: u8,
        b: u8,
        both: bool,
        fault: Fault,
    },
    /// A subnet is cut off from all others, or joined again.
    Cut { subnet: u8, cut: bool },
    /// All streams of a client to an IOC are reset.
    Reset { client: u8, ioc: u8 },
    /// They are reset after so many bytes to the IOC, or to the client.
    ResetAfter {
        client: u8,
        ioc: u8,
        to_ioc: bool,
        bytes: u16,
    },
    /// The clock of a host jumps ahead by seconds.
    ClockJump { host: u8, secs: u16 },
    /// A client subscribes to a channel of a record: its value, a field, or either through filters.
    Watch { client: u8, channel: u8, mask: u8 },
    /// A client cancels one of its subscriptions to records, or closes its channel.
    Unwatch { client: u8, nth: u8, close: bool },
    /// A client reads a channel of a record.
    Fetch { client: u8, channel: u8 },
    /// A client writes a field of a record, so many times in a row, with completion or without.
    Write {
        client: u8,
        target: u8,
        notify: bool,
        times: u8,
    },
    /// The program of an IOC posts the event on which records are processed.
    Event { ioc: u8 },
    /// The program of an IOC sets or clears the state that filters look at.
    Gate { ioc: u8, set: bool },
    /// A hostile host acts so many times at once.
    Attack { hostile: u8, times: u8 },
    /// All faults of the network end and what is off starts.
    Heal,
}

/// An operation and the pause before it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Milliseconds since the operation before.
    pub after_ms: u32,
    /// What happens.
    pub op: Op,
}

/// The story of a facility.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// What stands where.
    pub shape: Shape,
    /// What happens.
    pub steps: Vec<Step>,
}

/// What a plan that is drawn looks like; `None` leaves it to the seed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Options {
    /// Simulated time with faults and operations; the recovery afterwards comes on top.
    pub minutes: f64,
    /// Number of clients.
    pub clients: Option<u8>,
    /// Number of IOCs.
    pub iocs: Option<u8>,
    /// Number of subnets.
    pub subnets: Option<u8>,
    /// Number of hostile hosts.
    pub hostile: Option<u8>,
    /// Groups of records on each IOC.
    pub records: Option<u8>,
    /// With a gateway.
    pub gateway: Option<bool>,
    /// With a name server.
    pub name_server: Option<bool>,
    /// Without it only users act: no faults of network, hosts and clocks.
    pub faults: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            minutes: 10.0,
            clients: None,
            iocs: None,
            subnets: None,
            hostile: None,
            records: None,
            gateway: None,
            name_server: None,
            faults: true,
        }
    }
}

/// Largest number of clients or IOCs of a facility.
pub const MAX_HOSTS: u8 = 50;
/// Largest number of groups of records on an IOC.
pub const MAX_RECORDS: u8 = 12;
/// Largest number of subnets of a facility.
pub const MAX_SUBNETS: u8 = 20;

fn shape(options: &Options) -> impl Strategy<Value = Shape> + use<> {
    fn fixed_or<T: Copy + core::fmt::Debug + 'static>(
        fixed: Option<T>,
        other: impl Strategy<Value = T> + 'static,
    ) -> BoxedStrategy<T> {
        match fixed {
            Some(value) => Just(value).boxed(),
            None => other.boxed(),
        }
    }
    let counted = |fixed: Option<u8>, most| fixed.map(|n| n.clamp(1, most));
    let hosts = (
        fixed_or(counted(options.clients, MAX_HOSTS), 1..=4u8),
        fixed_or(counted(options.iocs, MAX_HOSTS), 1..=3u8),
        fixed_or(counted(options.subnets, MAX_SUBNETS), 1..=3u8),
        fixed_or(options.name_server, any::<bool>()),
        fixed_or(options.gateway, prop::bool::weighted(0.3)),
        fixed_or(
            options.hostile.map(|n| n.min(MAX_HOSTS)),
            prop_oneof![3 => Just(0u8), 1 => Just(1u8), 1 => Just(2u8)],
        ),
    );
    let records = fixed_or(
        options.records.map(|n| n.min(MAX_RECORDS)),
        prop_oneof![1 => Just(0u8), 2 => 1..=7u8],
    );
    let net = (
        any::<u64>(),
        0..3u8,
        any::<bool>(),
        prop_oneof![2 => Just(256 << 10), 1 => select(vec![1 << 10, 4 << 10, 16 << 10])],
        prop_oneof![2 => Just(64 << 10), 1 => select(vec![64, 512, 4 << 10])],
        prop_oneof![Just(0u32), 0..5_000u32],
    );
    (hosts, net, records).prop_map(|(hosts, net, records)| Shape {
        seed: net.0,
        clients: hosts.0,
        iocs: hosts.1,
        subnets: hosts.2,
        name_server: hosts.3,
        gateway: hosts.4,
        hostile: hosts.5,
        search: net.1,
        cut_streams: net.2,
        send_buffer: net.3,
        read_size: net.4,
        jitter_us: net.5,
        records,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        3 => Just(Fault::None),
        2 => Just(Fault::Down),
        1 => Just(Fault::Hold),
        1 => Just(Fault::Refuse),
        2 => (1..90u8).prop_map(Fault::Loss),
        1 => (1..90u8).prop_map(Fault::Duplicate),
        1 => (1..90u8).prop_map(Fault::Reorder),
        2 => (1..400u16).prop_map(Fault::Delay),
        1 => (2_000..200_000u32).prop_map(Fault::Bandwidth),
    ]
}

/// What users of the facility do.
fn use_op() -> impl Strategy<Value = Op> {
    let client = || any::<u8>();
    let name = || any::<u8>();
    prop_oneof![
        5 => (client(), name()).prop_map(|(client, name)| Op::Open { client, name }),
        4 => (client(), name()).prop_map(|(client, name)| Op::Close { client, name }),
        16 => (client(), name(), 0..5u8, prop_oneof![3 => Just(0u8), 1 => 1..7u8], 1..16u8)
            .prop_map(|(client, name, family, count, mask)| Op::Subscribe {
                client,
                name,
                family,
                count,
                mask,
            }),
        6 => (client(), any::<u8>()).prop_map(|(client, nth)| Op::Cancel { client, nth }),
        12 => (client(), name(), 0..6u8)
            .prop_map(|(client, name, family)| Op::Read { client, name, family }),
        8 => (client(), name()).prop_map(|(client, name)| Op::Put { client, name }),
        14 => (client(), name(), prop_oneof![4 => Just(1u8), 1 => 2..6u8])
            .prop_map(|(client, name, times)| Op::PutNotify { client, name, times }),
        2 => client().prop_map(|client| Op::GiveUp { client }),
        3 => (client(), any::<bool>()).prop_map(|(client, busy)| Op::Busy { client, busy }),
        20 => (name(), prop_oneof![4 => Just(1u8), 1 => any::<u8>()])
            .prop_map(|(name, times)| Op::Post { name, times }),
        5 => name().prop_map(|name| Op::Finish { name }),
        5 => (name(), prop_oneof![Just(3u8), 0..4u8])
            .prop_map(|(name, rights)| Op::Rights { name, rights }),
        2 => name().prop_map(|name| Op::Delete { name }),
    ]
}

/// What users and programs do with records.
fn record_op() -> impl Strategy<Value = Op> {
    let client = || any::<u8>();
    prop_oneof![
        10 => (client(), any::<u8>(), 1..8u8).prop_map(|(client, channel, mask)| Op::Watch {
            client,
            channel,
            mask,
        }),
        3 => (client(), any::<u8>(), any::<bool>())
            .prop_map(|(client, nth, close)| Op::Unwatch { client, nth, close }),
        4 => (client(), any::<u8>()).prop_map(|(client, channel)| Op::Fetch { client, channel }),
        14 => (client(), any::<u8>(), any::<bool>(), prop_oneof![4 => Just(1u8), 1 => 2..6u8])
            .prop_map(|(client, target, notify, times)| Op::Write {
                client,
                target,
                notify,
                times,
            }),
        3 => any::<u8>().prop_map(|ioc| Op::Event { ioc }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(ioc, set)| Op::Gate { ioc, set }),
    ]
}

/// What goes wrong.
fn fault_op() -> impl Strategy<Value = Op> {
    let ioc = || any::<u8>();
    let client = || any::<u8>();
    prop_oneof![
        12 => (any::<u8>(), any::<u8>(), any::<bool>(), fault())
            .prop_map(|(a, b, both, fault)| Op::Link { a, b, both, fault }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(subnet, cut)| Op::Cut { subnet, cut }),
        2 => ioc().prop_map(|ioc| Op::Stop { ioc }),
        2 => ioc().prop_map(|ioc| Op::PowerOff { ioc }),
        5 => (ioc(), any::<bool>())
            .prop_map(|(ioc, other_types)| Op::Start { ioc, other_types }),
        1 => ioc().prop_map(|ioc| Op::Move { ioc }),
        1 => client().prop_map(|client| Op::Replace { client }),
        1 => any::<u8>().prop_map(|which| Op::Restart { which }),
        2 => (client(), ioc()).prop_map(|(client, ioc)| Op::Reset { client, ioc }),
        3 => (client(), ioc(), any::<bool>(), prop_oneof![0..200u16, any::<u16>()])
            .prop_map(|(client, ioc, to_ioc, bytes)| Op::ResetAfter {
                client,
                ioc,
                to_ioc,
                bytes,
            }),
        2 => (any::<u8>(), 1..300u16).prop_map(|(host, secs)| Op::ClockJump { host, secs }),
        2 => (any::<u8>(), 1..100u8).prop_map(|(hostile, times)| Op::Attack { hostile, times }),
        3 => Just(Op::Heal),
    ]
}

fn step(faults: bool) -> impl Strategy<Value = Step> {
    let after_ms = prop_oneof![
        30 => 0..40u32,
        15 => 0..500u32,
        4 => 0..5_000u32,
        // Long enough for time-outs.
        1 => 0..45_000u32,
    ];
    let op = prop_oneof![
        16 => use_op().boxed(),
        5 => record_op().boxed(),
        2 => if faults { fault_op().boxed() } else { use_op().boxed() },
    ];
    (after_ms, op).prop_map(|(after_ms, op)| Step { after_ms, op })
}

fn padded<const N: usize>(data: &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..data.len()].copy_from_slice(data);
    bytes
}

/// A plan as proptest holds it: each step can be made simpler.
pub(crate) struct Drawn {
    pub shape: Shape,
    pub steps: Vec<Box<dyn ValueTree<Value = Step>>>,
}

pub(crate) fn draw(seed: u64, options: &Options) -> Drawn {
    let mut words = Pcg32::new(seed);
    let mut bytes = [0; 16];
    for word in bytes.chunks_mut(4) {
        word.copy_from_slice(&words.next_u32().to_le_bytes());
    }
    let rng = TestRng::from_seed(RngAlgorithm::XorShift, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    // Strategies of ranges and choices do not reject, so a tree can always be made.
    let shape = shape(options)
        .new_tree(&mut runner)
        .expect("a shape can be drawn")
        .current();
    let step = step(options.faults).boxed();
    let end = Duration::from_secs_f64((options.minutes * 60.0).clamp(0.0, 1e9));
    let mut time = Duration::ZERO;
    let mut steps = Vec::new();
    while time < end {
        let tree = step.new_tree(&mut runner).expect("a step can be drawn");
        time += Duration::from_millis(u64::from(tree.current().after_ms));
        steps.push(tree);
    }
    Drawn { shape, steps }
}

/// Bytes of the shape in a plan from bytes.
const SHAPE_BYTES: usize = 4;
/// Bytes of a step in a plan from bytes.
const STEP_BYTES: usize = 6;

impl Shape {
    /// One client and one IOC, and what the bytes say of the network: a fuzzer tries many small worlds.
    fn from_bytes([hosts, network, sizes, jitter]: [u8; SHAPE_BYTES]) -> Self {
        Self {
            seed: u64::from_be_bytes([0, 0, 0, 0, hosts, network, sizes, jitter]),
            clients: 1,
            iocs: 1,
            subnets: 1,
            name_server: hosts & 1 != 0,
            gateway: hosts % 16 == 14,
            hostile: u8::from(hosts % 8 == 7),
            search: network % 3,
            cut_streams: network >= 128,
            send_buffer: 1 << (10 + sizes % 9),
            read_size: 64 << (sizes / 9 % 11),
            jitter_us: u32::from(jitter) * 20,
            // A quarter of all: records take longer to make than all others.
            records: match hosts & 0x30 {
                0x20 => 1 + (hosts >> 6) * 2 + network % 2,
                _ => 0,
            },
        }
    }
}

impl Step {
    /// With records, a quarter of all operations is about them.
    fn from_bytes([kind, a, b, c, d, pause]: [u8; STEP_BYTES], records: bool) -> Self {
        // Mostly short pauses, few that are long enough for time-outs.
        let after_ms = u32::from(pause).pow(2) >> if pause < 240 { 6 } else { 0 };
        Self {
            after_ms,
            op: match kind % 4 {
                3 if records => Op::of_records(kind / 4, [a, b, c, d]),
                _ => Op::from_bytes(kind, [a, b, c, d]),
            },
        }
    }
}

impl Fault {
    const fn from_bytes(kind: u8, size: u8) -> Self {
        match kind % 9 {
            0 => Self::Loss(size % 90),
            1 => Self::Duplicate(size % 90),
            2 => Self::Reorder(size % 90),
            3 => Self::Delay(size as u16 * 2),
            4 => Self::Bandwidth(2_000 + size as u32 * 800),
            5 => Self::Down,
            6 => Self::Hold,
            7 => Self::Refuse,
            _ => Self::None,
        }
    }
}

impl Op {
    const fn of_records(kind: u8, [a, b, c, d]: [u8; 4]) -> Self {
        match kind {
            0..20 => Self::Watch {
                client: a,
                channel: b,
                mask: 1 + c % 7,
            },
            20..26 => Self::Unwatch {
                client: a,
                nth: b,
                close: c & 1 != 0,
            },
            26..32 => Self::Fetch {
                client: a,
                channel: b,
            },
            32..56 => Self::Write {
                client: a,
                target: b,
                notify: c & 1 != 0,
                times: 1 + d % 5,
            },
            56..60 => Self::Event { ioc: a },
            _ => Self::Gate {
                ioc: a,
                set: c & 1 != 0,
            },
        }
    }

    /// Users act four times as often as something breaks.
    const fn from_bytes(kind: u8, [a, b, c, d]: [u8; 4]) -> Self {
        let (client, name, ioc) = (a, b, a);
        match kind {
            0..12 => Self::Open { client, name },
            12..22 => Self::Close { client, name },
            22..60 => Self::Subscribe {
                client,
                name,
                family: c % 5,
                count: (c / 5).saturating_sub(44),
                mask: 1 + d % 15,
            },
            60..74 => Self::Cancel { client, nth: b },
            74..100 => Self::Read {
                client,
                name,
                family: c % 6,
            },
            100..118 => Self::Put { client, name },
            118..146 => Self::PutNotify {
                client,
                name,
                times: 1 + c % 5,
            },
            146..150 => Self::GiveUp { client },
            150..156 => Self::Busy {
                client,
                busy: c & 1 != 0,
            },
            156..192 => Self::Post { name, times: c },
            192..200 => Self::Finish { name },
            200..208 => Self::Rights {
                name,
                rights: c % 4,
            },
            208..212 => Self::Delete { name },
            212..228 => Self::Link {
                a,
                b,
                both: c >= 128,
                fault: Fault::from_bytes(c, d),
            },
            228 => Self::Cut {
                subnet: a,
                cut: c & 1 != 0,
            },
            229..231 => Self::Stop { ioc },
            231..233 => Self::PowerOff { ioc },
            233..238 => Self::Start {
                ioc,
                other_types: c & 1 != 0,
            },
            238 => Self::Move { ioc },
            239 => Self::Replace { client },
            240 => Self::Restart { which: a },
            241..243 => Self::Reset { client, ioc: b },
            243..247 => Self::ResetAfter {
                client,
                ioc: b,
                to_ioc: c & 1 != 0,
                bytes: u16::from_be_bytes([c / 64, d]),
            },
            247..249 => Self::ClockJump {
                host: a,
                secs: 1 + c as u16,
            },
            249..252 => Self::Attack {
                hostile: a,
                times: 1 + c % 100,
            },
            _ => Self::Heal,
        }
    }
}

impl Plan {
    /// The plan that bytes describe, on one client and one IOC: four bytes say what the network is like, and
    /// each six what happens next. What is missing of the last counts as zeros.
    pub fn from_bytes(data: &[u8]) -> Self {
        let (shape, steps) = data.split_at(data.len().min(SHAPE_BYTES));
        let shape = Shape::from_bytes(padded(shape));
        let records = shape.records > 0;
        Self {
            shape,
            steps: steps
                .chunks(STEP_BYTES)
                .map(|step| Step::from_bytes(padded(step), records))
                .collect(),
        }
    }

    /// The plan of a seed: the same seed and options give the same plan.
    pub fn draw(seed: u64, options: &Options) -> Self {
        let drawn = draw(seed, options);
        Self {
            shape: drawn.shape,
            steps: drawn.steps.iter().map(|step| step.current()).collect(),
        }
    }
}
