//! A machine by the names of its PVs.

use std::path::Path;
use std::time::Duration;

use ca_client::Client;
use ca_kit::{Group, Groups, Kit, OpenGroup};
use nalgebra::DVector;

/// Why an application ends; its text is for its user.
pub type Error = Box<dyn std::error::Error>;

/// How patient one is with a machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// From a change until the beam shows it.
    pub settle: Duration,
    /// Between two readings that are independent of each other.
    pub between: Duration,
    /// Readings that are averaged.
    pub samples: usize,
}

impl Default for Pace {
    /// For a machine that is read ten times a second.
    fn default() -> Self {
        Self {
            settle: Duration::from_millis(250),
            between: Duration::from_millis(100),
            samples: 3,
        }
    }
}

/// The names of a machine, and a client to reach it.
#[derive(Debug)]
pub struct Machine<'c> {
    client: &'c Client,
    groups: Groups,
    /// How patient one is with it.
    pub pace: Pace,
}

impl<'c> Machine<'c> {
    /// A machine of these groups.
    pub fn new(client: &'c Client, groups: Groups) -> Self {
        Self {
            client,
            groups,
            pace: Pace::default(),
        }
    }

    /// The same with another pace.
    #[must_use]
    pub const fn at(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// A machine whose groups are in a file.
    ///
    /// # Errors
    /// A file that cannot be read, with all mistakes in it.
    pub fn load(client: &'c Client, path: impl AsRef<Path>) -> Result<Self, Error> {
        Ok(Self::new(client, Groups::load(path)?))
    }

    /// The client.
    pub const fn client(&self) -> &'c Client {
        self.client
    }

    /// A group of the file.
    ///
    /// # Errors
    /// There is none of this name.
    pub fn names(&self, group: &str) -> Result<&Group, Error> {
        let known: Vec<&str> = self.groups.iter().map(Group::name).collect();
        let missing = || {
            format!(
                "the file has no group \"{group}\", it has: {}",
                known.join(", ")
            )
        };
        self.groups.get(group).ok_or_else(|| missing().into())
    }

    /// Opens a group, all of whose PVs are there.
    ///
    /// # Errors
    /// There is no such group, or some PVs do not connect: they are named.
    pub async fn open(&self, group: &str) -> Result<OpenGroup<'c, Client>, Error> {
        let open = self.client.open_group(self.names(group)?.clone())?;
        let status = open.connected().await;
        let missing: Vec<&str> = (status.iter())
            .filter(|member| !member.is_connected())
            .map(|member| member.name.as_str())
            .collect();
        match missing.as_slice() {
            [] => Ok(open),
            [first, ..] => {
                let many = missing.len();
                Err(format!("{many} PVs of \"{group}\" are not there, the first is {first}").into())
            }
        }
    }

    /// The orbit of a plane, `"x"` or `"y"`.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn orbit(&self, plane: &str) -> Result<Orbit<'c>, Error> {
        let (client, pace) = (self.client, self.pace);
        let monitors = self.open(&format!("monitors-{plane}")).await?;
        Ok(Orbit {
            client,
            monitors,
            pace,
        })
    }

    /// Waits on the client's clock until the beam shows a change.
    pub async fn settle(&self) {
        wait(self.client, self.pace.settle).await;
    }
}

/// Waits on the client's clock, real or virtual.
async fn wait(client: &Client, time: Duration) {
    let mut timer = client.runtime().timer();
    timer.reset(Some(client.runtime().now() + time));
    std::future::poll_fn(|cx| timer.poll(cx)).await;
}

/// What the monitors of a plane show.
#[derive(Debug)]
pub struct Orbit<'c> {
    client: &'c Client,
    monitors: OpenGroup<'c, Client>,
    pace: Pace,
}

impl Orbit<'_> {
    /// Names of the monitors.
    pub fn names(&self) -> Vec<String> {
        let members = self.monitors.members();
        members.map(|(member, _)| member.name.clone()).collect()
    }

    /// The mean of some readings, in the monitors' units.
    ///
    /// # Errors
    /// A monitor that cannot be read.
    pub async fn read(&self) -> Result<DVector<f64>, Error> {
        let samples = self.pace.samples.max(1);
        let mut sum = self.once().await?;
        for _ in 1..samples {
            wait(self.client, self.pace.between).await;
            sum += self.once().await?;
        }
        Ok(sum / samples as f64)
    }

    /// One reading.
    ///
    /// # Errors
    /// A monitor that cannot be read.
    pub async fn once(&self) -> Result<DVector<f64>, Error> {
        let positions = self.monitors.get::<f64>().await.into_values()?;
        Ok(DVector::from_vec(positions))
    }
}

/// Root mean square.
pub fn rms(values: &DVector<f64>) -> f64 {
    values.norm() / (values.len().max(1) as f64).sqrt()
}
