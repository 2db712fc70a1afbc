//! What is said when, where every line costs: findings as they open and clear and at a few ages, verdicts and losses when
//! they change, and never more than a fixed number of lines between two documents.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    finding::{Finding, FindingKey},
    verdict::State,
};

/// Ages at which an open finding is told again.
pub const REMIND_AT: [Duration; 3] =
    [Duration::from_secs(60), Duration::from_secs(5 * 60), Duration::from_secs(15 * 60)];

/// Most lines about sources and findings between two documents: what a finding that opens and clears every second, or a
/// prefix with hundreds of nodes, may cost.
pub const MAX_LINES: u32 = 64;

/// What was said of one target.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    /// How often each open finding was told again.
    reminded: BTreeMap<FindingKey, usize>,
    verdict: Option<State>,
    lost: u64,
    lines: u32,
    left_out: u64,
}

impl Pace {
    /// Whether there is room for one more line before the next document. If not, it is counted as left out.
    pub fn admits(&mut self) -> bool {
        let has_room = self.lines < MAX_LINES;
        if has_room {
            self.lines += 1;
        } else {
            self.left_out += 1;
        }
        has_room
    }

    /// The open findings, given with the time each opened, that are to be told again now.
    pub fn due<'a>(&mut self, now: Duration, open: &[(Duration, &'a Finding)]) -> Vec<&'a Finding> {
        self.reminded.retain(|key, _| open.iter().any(|(_, finding)| finding.key() == *key));
        let mut due = Vec::new();
        for (since, finding) in open {
            let age = now.saturating_sub(*since);
            let passed = REMIND_AT.iter().filter(|at| age >= **at).count();
            let reminded = self.reminded.entry(finding.key()).or_default();
            if passed > *reminded {
                *reminded = passed;
                due.push(*finding);
            }
        }
        due
    }

    /// Whether the verdict is another than the one said last.
    pub fn is_new_verdict(&mut self, verdict: State) -> bool {
        self.verdict.replace(verdict) != Some(verdict)
    }

    /// Whether more was lost than was said last.
    pub const fn is_new_loss(&mut self, lost: u64) -> bool {
        let is_new = lost > self.lost;
        self.lost = lost;
        is_new
    }

    /// Begins the time to the next document. How many lines were left out of the one that ends.
    pub const fn close(&mut self) -> u64 {
        let left_out = self.left_out;
        (self.lines, self.left_out) = (0, 0);
        left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        class::SourceClass,
        finding::{Code, Confidence, Severity},
        stage::{Place, Stage},
    };

    fn finding(code: Code) -> Finding {
        Finding {
            code,
            severity: Severity::Fault,
            confidence: Confidence::Proven,
            class: SourceClass::NlbProbe,
            port: Some(8080),
            sources: Vec::new(),
            stage: Stage::Admitted,
            place: Place::HostFirewall,
            summary: String::new(),
            advice: String::new(),
            evidence: Vec::new(),
        }
    }

    #[test]
    fn an_open_finding_is_told_again_after_one_five_and_fifteen_minutes_and_never_more() {
        let (mut pace, found) = (Pace::default(), finding(Code::HostFirewall));
        let since = Duration::from_secs(7);
        let told: Vec<u64> = (7..4000)
            .filter(|second| !pace.due(Duration::from_secs(*second), &[(since, &found)]).is_empty())
            .collect();
        assert_eq!(told, [67, 307, 907]);
        // One that went and came back begins anew.
        assert!(pace.due(Duration::from_secs(4000), &[]).is_empty());
        assert_eq!(pace.due(Duration::from_secs(4100), &[(Duration::from_secs(4040), &found)]).len(), 1);
    }

    #[test]
    fn a_long_pause_tells_once_what_was_due_several_times() {
        let (mut pace, found) = (Pace::default(), finding(Code::HostFirewall));
        let open = [(Duration::ZERO, &found)];
        assert_eq!(pace.due(Duration::from_secs(901), &open).len(), 1);
        assert!(pace.due(Duration::from_secs(902), &open).is_empty());
    }

    #[test]
    fn lines_beyond_the_limit_are_left_out_and_counted_until_the_next_document() {
        let mut pace = Pace::default();
        for (attempts, left_out) in [(MAX_LINES - 1, 0), (MAX_LINES, 0), (MAX_LINES + 1, 1)] {
            let admitted = (0..attempts).filter(|_| pace.admits()).count();
            assert_eq!((admitted as u32, pace.close()), (attempts.min(MAX_LINES), left_out));
        }
    }

    #[test]
    fn a_verdict_and_a_loss_are_said_when_they_change() {
        let mut pace = Pace::default();
        assert!(pace.is_new_verdict(State::Healthy) && !pace.is_new_verdict(State::Healthy));
        assert!(pace.is_new_verdict(State::Fault) && pace.is_new_verdict(State::Healthy));
        assert!(!pace.is_new_loss(0) && pace.is_new_loss(2) && !pace.is_new_loss(2) && pace.is_new_loss(3));
    }
}
