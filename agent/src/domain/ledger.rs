//! Findings over time: what opened, what goes on, what cleared.

use std::{collections::BTreeMap, time::Duration};

use serde::Serialize;

use crate::domain::finding::{Finding, FindingKey, Severity};

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
    /// Takes the findings of this moment and returns what changed: opened ones (a finding that became surer or
    /// graver opens again), then cleared ones as they last stood.
    pub fn update(&mut self, now: Duration, findings: Vec<Finding>) -> Vec<(State, Finding)> {
        let mut changes = Vec::new();
        let mut before = std::mem::take(&mut self.open);
        for finding in findings {
            let known = before.remove(&finding.key());
            let since = known.as_ref().map_or(now, |(since, _)| *since);
            let is_more = |(_, old): (Duration, Finding)| {
                old.confidence < finding.confidence || old.severity < finding.severity
            };
            if known.is_none_or(is_more) {
                changes.push((State::Opened, finding.clone()));
            }
            self.open.insert(finding.key(), (since, finding));
        }
        changes.extend(before.into_values().map(|(_, finding)| (State::Cleared, finding)));
        changes
    }

    /// Whether this finding is open as a fault.
    pub fn is_fault(&self, key: FindingKey) -> bool {
        self.open.get(&key).is_some_and(|(_, finding)| finding.severity == Severity::Fault)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        class::SourceClass,
        finding::{Code, Confidence},
        stage::{Place, Stage},
    };

    fn finding(code: Code, confidence: Confidence, summary: &str) -> Finding {
        Finding {
            code,
            severity: Severity::Fault,
            confidence,
            class: SourceClass::NlbProbe,
            port: Some(8080),
            sources: Vec::new(),
            stage: Stage::Arrived,
            place: Place::BeforeThisHost,
            summary: summary.to_owned(),
            advice: String::new(),
            evidence: Vec::new(),
        }
    }

    fn states(changes: &[(State, Finding)]) -> Vec<(State, Code)> {
        changes.iter().map(|(state, finding)| (*state, finding.code)).collect()
    }

    #[test]
    fn a_note_that_becomes_a_fault_opens_again() {
        let mut ledger = Ledger::default();
        let second = Duration::from_secs;
        let fault = finding(Code::HostFirewall, Confidence::Proven, "all");
        let note = Finding { severity: Severity::Note, ..fault.clone() };
        let opened = [(State::Opened, Code::HostFirewall)];
        assert_eq!(states(&ledger.update(second(1), vec![note.clone()])), opened);
        assert_eq!(states(&ledger.update(second(2), vec![fault.clone()])), opened);
        assert!(ledger.update(second(3), vec![fault]).is_empty());
        assert!(ledger.update(second(4), vec![note]).is_empty());
    }

    #[test]
    fn a_finding_opens_once_and_clears_once() {
        let mut ledger = Ledger::default();
        let second = Duration::from_secs;
        let missing = |summary| vec![finding(Code::ProbesMissing, Confidence::Inferred, summary)];
        assert_eq!(states(&ledger.update(second(1), missing("1 s"))), [(State::Opened, Code::ProbesMissing)]);
        assert!(ledger.update(second(2), missing("2 s")).is_empty());
        let open = ledger.open();
        assert_eq!((open[0].0, open[0].1.summary.as_str()), (second(1), "2 s"));
        assert_eq!(states(&ledger.update(second(3), vec![])), [(State::Cleared, Code::ProbesMissing)]);
        assert!(ledger.open().is_empty());
    }

    #[test]
    fn one_that_becomes_surer_opens_again_and_stays_as_old_as_it_is() {
        let mut ledger = Ledger::default();
        let at = |seconds, confidence| {
            (Duration::from_secs(seconds), vec![finding(Code::ProbesMissing, confidence, "")])
        };
        let (now, suspected) = at(1, Confidence::Suspected);
        ledger.update(now, suspected);
        let (now, inferred) = at(2, Confidence::Inferred);
        assert_eq!(states(&ledger.update(now, inferred)), [(State::Opened, Code::ProbesMissing)]);
        assert_eq!(ledger.open()[0].0, Duration::from_secs(1));
    }

    #[test]
    fn the_surest_fault_comes_first() {
        let mut ledger = Ledger::default();
        let note =
            Finding { severity: Severity::Note, ..finding(Code::PortTranslated, Confidence::Proven, "") };
        let findings = vec![
            note,
            finding(Code::ProbesMissing, Confidence::Suspected, ""),
            finding(Code::HostFirewall, Confidence::Proven, ""),
        ];
        ledger.update(Duration::ZERO, findings);
        let order: Vec<_> = ledger.open().into_iter().map(|(_, finding)| finding.code).collect();
        assert_eq!(order, [Code::HostFirewall, Code::ProbesMissing, Code::PortTranslated]);
    }
}
