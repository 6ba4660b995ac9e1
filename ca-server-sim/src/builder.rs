//! Building an IOC.

use std::time::Duration;

use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::server::Identity;

use crate::access::AccessRule;
use crate::error::BuildError;
use crate::ioc::Ioc;
use crate::pv::PvSpec;

/// Collects what an [`Ioc`] is made of.
///
/// # Examples
/// ```
/// use ca_server_sim::{Ioc, PvSpec};
///
/// let ioc = Ioc::builder()
///     .seed(7)
///     .pv("gauge:pressure", PvSpec::double(1e-6).units("mbar").read_only())
///     .pv("gauge:on", PvSpec::enumeration(["Off", "On"], 1))
///     .build()?;
/// assert_eq!(ioc.pv_count(), 2);
/// # Ok::<(), ca_server_sim::BuildError>(())
/// ```
#[derive(Debug)]
pub struct IocBuilder {
    pub(crate) ioc: Ioc,
    params: ServerParams,
    #[cfg(feature = "toml")]
    pub(crate) settings: crate::settings::Settings,
    /// The first thing that was wrong.
    error: Option<BuildError>,
}

impl IocBuilder {
    pub(crate) fn new() -> Self {
        Self {
            ioc: Ioc::empty(),
            params: ServerParams::default(),
            #[cfg(feature = "toml")]
            settings: Default::default(),
            error: None,
        }
    }

    /// Adds a PV. What is wrong with it is reported by [`build`](Self::build).
    #[must_use]
    pub fn pv(mut self, name: impl AsRef<str>, spec: PvSpec) -> Self {
        if self.error.is_none() {
            let added = self.ioc.insert(name.as_ref(), spec);
            self.error = added.err();
        }
        self
    }

    /// Adds a PV and says at once what is wrong with it.
    #[cfg(feature = "toml")]
    pub(crate) fn insert(&mut self, name: &str, spec: PvSpec) -> Result<(), BuildError> {
        self.ioc.insert(name, spec).map(drop)
    }

    /// Adds PVs.
    #[must_use]
    pub fn pvs<N: AsRef<str>>(mut self, pvs: impl IntoIterator<Item = (N, PvSpec)>) -> Self {
        let pvs = pvs.into_iter();
        self.ioc.db.reserve(pvs.size_hint().0);
        pvs.fold(self, |builder, (name, spec)| builder.pv(name, spec))
    }

    /// Adds a PV from its text form `NAME=TYPE[:COUNT]:VALUE`, see [`text`](crate::text).
    #[must_use]
    pub fn pv_text(mut self, text: &str) -> Self {
        match crate::text::parse(text) {
            Ok((name, spec)) => self.pv(name, spec),
            Err(error) => {
                self.error.get_or_insert_with(|| error.into());
                self
            }
        }
    }

    /// Seed of all random signals: the same seed and the same input give the same output. To be set
    /// before PVs with signals are added. Default: 0.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.ioc.seed = seed;
        self
    }

    /// Limits and ports of the server.
    #[must_use]
    pub fn params(mut self, params: ServerParams) -> Self {
        self.params = params;
        self
    }

    /// Limits what clients may do by who they are: the result is cut with the rights of the PV.
    /// Call [`Ioc::rights_changed`] when the rule would now say something else.
    #[must_use]
    pub fn access_rule(
        mut self,
        rule: impl Fn(&str, &Identity) -> AccessRights + Send + 'static,
    ) -> Self {
        self.ioc.db.access = Some(AccessRule::new(rule));
        self
    }

    /// The IOC, not yet [started](Ioc::start).
    ///
    /// # Errors
    /// The first thing that is wrong with the PVs.
    pub fn build(self) -> Result<Ioc, BuildError> {
        #[cfg_attr(not(feature = "toml"), expect(unused_mut))]
        let mut params = self.params;
        #[cfg(feature = "toml")]
        self.settings.apply(&mut params);
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.ioc.with_params(params)),
        }
    }
}

/// Shortest period of a signal.
pub(crate) const MIN_PERIOD: Duration = Duration::from_micros(100);
