//! Taking over a new description while clients are connected.

use std::collections::HashMap;

use ca_server_sim::access::ReadyRules;
use ca_server_sim::net::SimIoc;
use ca_server_sim::{RecordChanges, Reload};

use super::plan::{Plan, Planned};
use crate::escape;

/// PVs of a running IOC with what their descriptions were.
#[derive(Debug, Default)]
pub(super) struct Served(HashMap<String, String>);

/// What a reload has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Changes {
    added: u64,
    changed: u64,
    removed: u64,
    kept: u64,
    records: Option<RecordChanges>,
}

impl Changes {
    /// In one line.
    pub(super) fn summary(self) -> String {
        let Self {
            added,
            changed,
            removed,
            kept,
            records,
        } = self;
        let kept = escape::counted(kept, "PV");
        let records = records.map_or_else(String::new, |of| {
            let kept = escape::counted(of.kept, "record");
            format!(
                "; of the records {} added, {} changed, {} made anew, {} removed, {kept} as before",
                of.added, of.changed, of.replaced, of.removed
            )
        });
        format!(
            "reloaded: {added} added, {changed} changed, {removed} removed, {kept} as before{records}"
        )
    }
}

impl Served {
    /// What a plan describes.
    pub(super) fn of(plan: &Plan) -> Self {
        let entry = |pv: &Planned| (pv.name.clone(), pv.fingerprint.clone());
        Self(plan.pvs.iter().map(entry).collect())
    }

    /// Makes the IOC what the plan says. PVs with the same description keep their values and their
    /// clients; the lock is taken for each PV by itself.
    ///
    /// # Errors
    /// The first PV that cannot be; the others are as the plan says.
    pub(super) fn take_over(&mut self, ioc: &SimIoc, mut plan: Plan) -> Result<Changes, String> {
        let new = Self::of(&plan);
        let mut changes = Changes::default();
        // A name that becomes that of a record is free for it.
        let becomes_record = |name: &&String| !new.0.contains_key(*name) && plan.is_record(name);
        for name in self.0.keys().filter(becomes_record) {
            ioc.with(|ioc, now| ioc.remove(now, name.as_str()));
        }
        // Those of a script are not read anew.
        if let Some(builder) = plan.records.take() {
            let done = ioc.reload_records(Reload::of(builder));
            changes.records = Some(done.map_err(|error| format!("not reloaded: {error}"))?);
        }
        for name in self.0.keys().filter(|name| !new.0.contains_key(*name)) {
            ioc.with(|ioc, now| ioc.remove(now, name.as_str()));
            changes.removed += 1;
        }
        // Limits hold for new circuits.
        ioc.with(|ioc, _| {
            let mut params = ioc.params().clone();
            plan.apply(&mut params);
            if params != *ioc.params() {
                ioc.set_params(params);
            }
        });
        if let Some(rules) = plan.access {
            let rules = ReadyRules::from(rules);
            ioc.with(|ioc, now| ioc.set_access_security(now, rules));
        }
        let mut failed = None;
        for pv in plan.pvs {
            let name = pv.name.as_str();
            match self.0.get(name) {
                Some(old) if *old == pv.fingerprint => {
                    changes.kept += 1;
                    continue;
                }
                Some(_) => changes.changed += 1,
                None => changes.added += 1,
            }
            if let Err(error) = ioc.with(|ioc, now| ioc.replace(now, name, pv.spec)) {
                failed.get_or_insert_with(|| error.to_string());
            }
        }
        *self = new;
        match failed {
            Some(what) => Err(what),
            None => Ok(changes),
        }
    }
}
