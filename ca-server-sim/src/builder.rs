//! Building an IOC.

use std::path::Path;
use std::time::Duration;

use ca_proto::Instant;
use ca_proto::access::AccessRights;
use ca_proto::config::ServerParams;
use ca_proto::server::Identity;

use crate::access::AccessRule;
use crate::access::rules::AccessSecurity;
use crate::error::{BuildError, FileErrors};
use crate::ioc::Ioc;
use crate::load::{Disk, Loaded, access_security};
use crate::process::Function;
use crate::pv::PvSpec;
use crate::served::RecordFiles;

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
    /// Files of records, which are read when the IOC is built.
    files: RecordFiles,
    /// A file of access security with its macros.
    access_file: Option<(String, String)>,
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
            files: RecordFiles::new(),
            access_file: None,
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

    /// Adds a PV from its text form `NAME=TYPE[:COUNT]:VALUE`, see [`text`](crate::describe).
    #[must_use]
    pub fn pv_text(mut self, text: &str) -> Self {
        match crate::describe::parse(text) {
            Ok((name, spec)) => self.pv(name, spec),
            Err(error) => {
                self.error.get_or_insert_with(|| error.into());
                self
            }
        }
    }

    /// Adds the records of files that were read, once: [`db_file`](Self::db_file) and the like add to those that
    /// are read when the IOC is built. Warnings among their mistakes are logged then.
    ///
    /// # Examples
    /// Records beside a PV that the program describes, in one IOC:
    /// ```
    /// use ca_server_sim::{Ioc, PvSpec};
    ///
    /// let ioc = Ioc::builder()
    ///     .db_text("record(calc, \"double\") { field(INPA, \"half CP\") field(CALC, \"2*A\") }
    ///               record(ao, \"half\") {}", "")
    ///     .pv("other", PvSpec::double(1.5))
    ///     .build()?;
    /// assert_eq!(ioc.pv_count(), 3);
    /// # Ok::<(), ca_server_sim::BuildError>(())
    /// ```
    #[must_use]
    pub fn records(mut self, loaded: Loaded) -> Self {
        if self.error.is_some() {
            return self;
        }
        if let Err(error) = self.ioc.take_records(loaded) {
            self.error = Some(error);
        }
        self
    }

    /// As [`records`](Self::records), and says at once what is wrong or odd with them.
    ///
    /// # Errors
    /// What is wrong: [`BuildError::Files`], or a name that a PV has.
    pub fn try_records(
        mut self,
        loaded: Loaded,
    ) -> Result<(Self, crate::load::Mistakes), BuildError> {
        self.ioc.take_records(loaded)?;
        let remarks = self.ioc.file_remarks().cloned().unwrap_or_default();
        Ok((self, remarks))
    }

    /// Whether a record of files that were [read](Self::records) has this name or alias.
    pub fn has_record(&self, name: &str) -> bool {
        let served = self.ioc.db.served.as_ref();
        served.is_some_and(|served| served.records.find(name).is_some())
    }

    /// Adds the records of a `.db`, `.template` or `.substitutions` file ([`RecordFiles::file`]).
    #[must_use]
    pub fn db_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files = self.files.file(path.as_ref().display().to_string(), "");
        self
    }

    /// Adds the records of a text that is written as a `.db` file, with macros as `A=1,B=2`.
    #[must_use]
    pub fn db_text(mut self, text: impl AsRef<[u8]>, macros: impl Into<String>) -> Self {
        self.files = self.files.text(text, macros);
        self
    }

    /// Adds record types, menus and devices of a site's `.dbd` file; types that are not those of EPICS Base hold
    /// their values.
    #[must_use]
    pub fn dbd_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files = self.files.dbd(path.as_ref().display().to_string());
        self
    }

    /// Adds several files at once, with their macros and directories.
    #[must_use]
    pub fn record_files(mut self, files: &RecordFiles) -> Self {
        match self.files.is_empty() {
            true => {
                self.files = files.clone();
                self
            }
            false => self.records(files.load()),
        }
    }

    /// Registers a function for `sub` and `aSub` records, which name it in SNAM and INAM.
    #[must_use]
    pub fn function(mut self, name: impl Into<String>, function: Function) -> Self {
        self.ioc.functions.push((name.into(), function));
        self
    }

    /// Seed of all random signals: the same seed and the same input give the same output. To be set
    /// before PVs with signals are added. Default: 0.
    #[must_use]
    pub const fn seed(mut self, seed: u64) -> Self {
        self.ioc.seed = seed;
        self
    }

    /// Whether the IOC keeps what it was when it was loaded, so that it loses values when it reboots, as a real one does
    /// ([`Ioc::reset`]). Default: it does if it has up to [`KEPT_AT_START`](crate::KEPT_AT_START) PVs and records; some
    /// hundred bytes for each of them.
    #[must_use]
    pub const fn reboots(mut self, reboots: bool) -> Self {
        self.ioc.first.wish(reboots);
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

    /// Lets the rules of an `.acf` file hold ([`Ioc::set_access_security`]): who may do what with which PVs.
    #[must_use]
    pub fn access_security(mut self, rules: AccessSecurity) -> Self {
        self.ioc.set_access_security(Instant::ZERO, rules);
        self
    }

    /// Reads the rules from an `.acf` file when the IOC is built, with macros written as `A=1,B=2`. Warnings about it
    /// are logged then; who wants to see them reads it with
    /// [`load::access_security`](crate::load::access_security).
    #[must_use]
    pub fn access_file(mut self, path: impl AsRef<Path>, macros: impl Into<String>) -> Self {
        self.access_file = Some((path.as_ref().display().to_string(), macros.into()));
        self
    }

    /// The IOC, not yet [started](Ioc::start).
    ///
    /// # Errors
    /// The first thing that is wrong with the PVs, or all that is wrong with files of records.
    pub fn build(mut self) -> Result<Ioc, BuildError> {
        if !self.files.is_empty() {
            let files = std::mem::take(&mut self.files);
            self = self.records(files.load());
        }
        if let Some((path, macros)) = self.access_file.take() {
            let (rules, mistakes) = access_security(&Disk, &path, &macros);
            if mistakes.has_errors() {
                let wrong = FileErrors(std::sync::Arc::new(mistakes));
                self.error.get_or_insert(BuildError::Files(wrong));
            } else {
                if !mistakes.is_empty() {
                    tracing::warn!("{}", mistakes.to_string().trim_end());
                }
                self = self.access_security(rules);
            }
        }
        #[cfg_attr(not(feature = "toml"), expect(unused_mut))]
        let mut params = self.params;
        #[cfg(feature = "toml")]
        self.settings.apply(&mut params);
        let functions = std::mem::take(&mut self.ioc.functions);
        if let Some(served) = &mut self.ioc.db.served {
            for (name, function) in functions {
                served.records.register(&name, function);
            }
        }
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.ioc.with_params(params)),
        }
    }
}

/// Shortest period of a signal.
pub(crate) const MIN_PERIOD: Duration = Duration::from_micros(100);
