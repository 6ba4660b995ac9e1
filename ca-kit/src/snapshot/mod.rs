//! The values of a group at a moment, kept in a file, and brought back.

mod file;
mod restore;

use std::fmt;
use std::time::Duration;

use ca_client::{
    AlarmSeverity, Channel, Client, EnumIndex, Family, FromReading as _, GetError, NativeType,
    Reading, Strings, Timestamp, Value,
};

pub use self::file::SnapshotFileError;
pub use self::restore::{Outcome, Restore, RestoreLine, RestoreReport};
use crate::clock;
use crate::face::{Face, Op, Work};
use crate::group::{Group, Member, OpenGroup};

/// A value as it is kept: exact for every type of Channel Access.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Saved {
    /// A number.
    Number(f64),
    /// An array of numbers.
    Numbers(Vec<f64>),
    /// A text.
    Text(String),
    /// An array of texts.
    Texts(Vec<String>),
    /// The state of an enum. When it is brought back the text counts, if there is one, so that states may
    /// have changed their order meanwhile.
    State {
        /// Index of the state.
        index: u16,
        /// Its text.
        label: Option<String>,
    },
}

impl Saved {
    /// Takes it out of what a server has sent.
    fn of(reading: &Reading, label: Option<String>) -> Option<Self> {
        if let Some(index) = reading.enum_index() {
            return Some(Self::State { index, label });
        }
        if reading.native() == NativeType::String {
            let Strings(mut texts) = Strings::from_reading(reading).ok()?;
            return Some(match texts.len() {
                1 => Self::Text(texts.remove(0)),
                _ => Self::Texts(texts),
            });
        }
        let numbers = reading.to_f64s()?;
        Some(match numbers[..] {
            [number] => Self::Number(number),
            _ => Self::Numbers(numbers),
        })
    }

    /// What is sent to bring it back.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Number(number) => Value::scalar(*number),
            Self::Numbers(numbers) => Value::array(numbers),
            Self::Text(text) => Value::string(text),
            Self::Texts(texts) => Value::strings(texts),
            Self::State {
                label: Some(label), ..
            } => Value::string(label),
            Self::State { index, .. } => Value::scalar(EnumIndex(*index)),
        }
    }

    /// Whether both are the same, numbers within a tolerance.
    pub fn is_same(&self, other: &Self, tolerance: f64) -> bool {
        let near =
            |a: f64, b: f64| a == b || (a - b).abs() <= tolerance || (a.is_nan() && b.is_nan());
        match (self.numbers(), other.numbers()) {
            (Some(own), Some(others)) => {
                own.len() == others.len() && own.iter().zip(others).all(|(&a, &b)| near(a, b))
            }
            _ => match (self, other) {
                (Self::State { label: Some(a), .. }, Self::State { label: Some(b), .. }) => a == b,
                (Self::State { index: a, .. }, Self::State { index: b, .. }) => a == b,
                _ => self == other,
            },
        }
    }

    fn numbers(&self) -> Option<&[f64]> {
        match self {
            Self::Number(number) => Some(std::slice::from_ref(number)),
            Self::Numbers(numbers) => Some(numbers),
            _ => None,
        }
    }
}

/// Elements of an array that are shown.
const SHOWN: usize = 3;

impl fmt::Display for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let array = |f: &mut fmt::Formatter<'_>, len: usize, first: Vec<String>| {
            let dots = if len > SHOWN { ", …" } else { "" };
            write!(f, "[{}{dots}] ({len})", first.join(", "))
        };
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Numbers(all) => array(
                f,
                all.len(),
                all.iter().take(SHOWN).map(ToString::to_string).collect(),
            ),
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Texts(all) => array(
                f,
                all.len(),
                all.iter().take(SHOWN).map(|it| format!("{it:?}")).collect(),
            ),
            Self::State {
                label: Some(label), ..
            } => write!(f, "{label:?}"),
            Self::State { index, .. } => index.fmt(f),
        }
    }
}

/// What was saved of a member.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct SavedMember {
    /// Which one.
    pub member: Member,
    /// Its value, or why there is none.
    pub value: Result<Saved, String>,
    /// When the server made the value.
    pub timestamp: Timestamp,
    /// How bad it was then.
    pub severity: AlarmSeverity,
}

/// The values of a group at a moment: [`OpenGroup::snapshot`]. It goes to a [file](Self::save) and comes
/// from there, and is [brought back](crate::Kit::restore).
///
/// # Examples
/// ```
/// # use ca_server_sim::{Ioc, NetConfig, PvSpec};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let ioc = Ioc::builder().pv("q1", PvSpec::double(1.5)).pv("q2", PvSpec::double(2.5)).serve(NetConfig::new()).await?;
/// # let client = ca_client::Client::builder().isolated([ioc.udp_addr()]).build()?;
/// # let path = std::env::temp_dir().join(format!("canter-kit-doc-{}.toml", std::process::id()));
/// use ca_kit::{Group, Kit, Snapshot};
///
/// let magnets = client.open_group(Group::of("magnets", ["q1", "q2"])?)?;
/// magnets.snapshot().await.save(&path)?;
///
/// magnets.put([("q1", 9.0)]).wait().await?;
/// let snapshot = Snapshot::load(&path)?;
/// println!("{}", client.restore(&snapshot).dry_run().await?); // "q1" stands at 9, saved is 1.5 ...
/// let report = client.restore(&snapshot).await?;
/// assert!(report.is_ok());
/// # assert_eq!(client.get::<f64>("q1").await?, 1.5);
/// # std::fs::remove_file(&path)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// Name of the group.
    pub group: String,
    /// When it was taken.
    pub taken: Timestamp,
    /// Its members, in order.
    pub members: Vec<SavedMember>,
}

impl Snapshot {
    /// True if there is a value of every member.
    pub fn is_complete(&self) -> bool {
        self.members.iter().all(|member| member.value.is_ok())
    }
}

/// Takes a snapshot: [`OpenGroup::snapshot`].
#[derive(Debug)]
pub struct TakeSnapshot {
    group: Group,
    channels: Vec<Channel>,
    timeout: Option<Duration>,
}

impl<'c, C: Face> OpenGroup<'c, C> {
    /// Gets the values of all members, with what has to be known to bring them back. A member that gives
    /// none has its error in the place of the value.
    ///
    /// # Cancel safety
    /// Safe.
    pub fn snapshot(&self) -> Op<'c, C, TakeSnapshot> {
        Op::new(
            self.face,
            TakeSnapshot {
                group: self.group.clone(),
                channels: self.channels.clone(),
                timeout: None,
            },
        )
    }
}

/// Options of taking a snapshot.
impl<C: Face> Op<'_, C, TakeSnapshot> {
    /// Time for each of two rounds of gets: values, and texts of states. Default: that of the client.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.set(|it| it.timeout = Some(timeout))
    }
}

impl Work for TakeSnapshot {
    type Output = Snapshot;

    async fn run(self, client: &Client) -> Snapshot {
        let timeout = clock::patience(client, self.timeout);
        let values = present(client, &self.channels, timeout).await;
        let members = self
            .group
            .members()
            .iter()
            .zip(values)
            .map(|(member, value)| {
                let (value, timestamp, severity) = match value {
                    Ok(present) => (Ok(present.value), present.timestamp, present.severity),
                    Err(error) => (
                        Err(error.to_string()),
                        Timestamp::UNDEFINED,
                        AlarmSeverity::INVALID,
                    ),
                };
                SavedMember {
                    member: member.clone(),
                    value,
                    timestamp,
                    severity,
                }
            });
        Snapshot {
            group: self.group.name().to_owned(),
            taken: client.runtime().wall(),
            members: members.collect(),
        }
    }
}

/// A value that is there now.
#[derive(Clone, Debug)]
pub(crate) struct Present {
    pub(crate) value: Saved,
    pub(crate) timestamp: Timestamp,
    pub(crate) severity: AlarmSeverity,
}

/// The present values of channels, with texts for states.
pub(crate) async fn present(
    client: &Client,
    channels: &[Channel],
    timeout: Duration,
) -> Vec<Result<Present, GetError>> {
    let readings = client
        .get_many::<Reading>(channels)
        .count(0)
        .timeout(timeout)
        .await;
    let is_enum = |reading: &Result<Reading, GetError>| {
        reading
            .as_ref()
            .is_ok_and(|it| it.native() == NativeType::Enum)
    };
    let enums = channels
        .iter()
        .zip(&readings)
        .filter(|(_, reading)| is_enum(reading));
    let enums: Vec<&Channel> = enums.map(|(channel, _)| channel).collect();
    let states = client
        .get_many::<Reading>(enums)
        .family(Family::Gr)
        .timeout(timeout)
        .await;
    let mut states = states.into_iter();
    let mut value = |reading: Result<Reading, GetError>| {
        let label = match is_enum(&reading) {
            true => states.next().and_then(Result::ok).and_then(|states| {
                let label = states
                    .states()?
                    .get(reading.as_ref().ok()?.enum_index()?)?
                    .to_vec();
                String::from_utf8(label).ok()
            }),
            false => None,
        };
        let reading = reading?;
        Ok(Present {
            // Every type is one of numbers, texts and states.
            value: Saved::of(&reading, label).unwrap_or(Saved::Numbers(Vec::new())),
            timestamp: reading.timestamp().unwrap_or_default(),
            severity: reading.severity().unwrap_or_default(),
        })
    };
    readings.into_iter().map(&mut value).collect()
}
