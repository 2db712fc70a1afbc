//! Findings over time: what opened, what goes on, what cleared.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::domain::finding::{Finding, FindingKey};

/// Where in its life a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// New, or surer than it was.
    Opened,
    /// As before.
    Ongoing,
    /// No longer so.
    Cleared,
}

impl State {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Ongoing => "ongoing",
            Self::Cleared => "cleared",
        }
    }
}

/// The open findings.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    open: BTreeMap<FindingKey, (Duration, Finding)>,
}

impl Ledger {
    /// Takes the findings of this moment and returns what changed: opened ones (a finding that became surer opens
    /// again), then cleared ones as they last stood.
    pub fn update(&mut self, now: Duration, findings: Vec<Finding>) -> Vec<(State, Finding)> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.open);
        for finding in findings {
            let known = before.remove(&finding.key());
            let since = known.as_ref().map_or(now, |(since, _)| *since);
            if known.is_none_or(|(_, old)| old.confidence < finding.confidence) {
                changes.push((State::Opened, finding.clone()));
            }
            self.open.insert(finding.key(), (since, finding));
        }
        changes.extend(before.into_values().map(|(_, finding)| (State::Cleared, finding)));
        changes
    }

    /// The open findings, faults first, the surest first, and since when each is open.
    pub fn open(&self) -> Vec<(Duration, &Finding)> {
        let mut open: Vec<_> = self.open.values().map(|(since, finding)| (*since, finding)).collect();
        open.sort_by_key(|(_, finding)| {
            (std::cmp::Reverse(finding.severity), std::cmp::Reverse(finding.confidence), finding.code)
        });
        open
    }
}
