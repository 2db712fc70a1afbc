//! What is said when, where every line costs: findings as they open and clear and at a few ages, verdicts and losses when
//! they change, and never more than a fixed number of lines between two documents.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    common::CommonAbsence,
    finding::{Code, Finding, FindingKey},
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

/// When it was said what several targets miss at once: when it begins, and at the ages at which findings are told again.
#[derive(Clone, Debug, Default)]
pub struct CommonPace {
    /// Since when each is open, and how often it was told. Targets are no part of the key: on a node where they come and go,
    /// each would make it a new one.
    open: BTreeMap<(Code, Vec<String>), (Duration, usize)>,
}

impl CommonPace {
    /// Those of all that are open `now` that are to be told.
    pub fn due(&mut self, now: Duration, all: Vec<CommonAbsence>) -> Vec<CommonAbsence> {
        let key = |absence: &CommonAbsence| (absence.code, absence.sources.clone());
        self.open.retain(|known, _| all.iter().any(|absence| key(absence) == *known));
        let mut is_due = |absence: &CommonAbsence| {
            let (since, told) = self.open.entry(key(absence)).or_insert((now, 0));
            let age = now.saturating_sub(*since);
            let passed = 1 + REMIND_AT.iter().filter(|at| age >= **at).count();
            let is_due = passed > *told;
            *told = passed;
            is_due
        };
        all.into_iter().filter(|absence| is_due(absence)).collect()
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

    fn missed(source: &str, targets: &[usize]) -> CommonAbsence {
        CommonAbsence {
            code: Code::ProbesMissing,
            sources: vec![source.to_owned()],
            targets: targets.to_vec(),
        }
    }

    #[test]
    fn what_several_miss_is_told_at_once_and_after_one_five_and_fifteen_minutes_whichever_targets_they_are() {
        let mut pace = CommonPace::default();
        let told: Vec<u64> = (7..4000)
            .filter(|second| {
                let targets = [0, 1 + *second as usize % 7];
                !pace.due(Duration::from_secs(*second), vec![missed("10.0.1.23", &targets)]).is_empty()
            })
            .collect();
        assert_eq!(told, [7, 67, 307, 907]);
        // Another one has a pace of its own, and one that went and came back begins anew.
        let both = vec![missed("10.0.1.23", &[0, 1]), missed("10.0.2.31", &[0, 1])];
        assert_eq!(pace.due(Duration::from_secs(4000), both.clone()), [missed("10.0.2.31", &[0, 1])]);
        assert!(pace.due(Duration::from_secs(4001), Vec::new()).is_empty());
        assert_eq!(pace.due(Duration::from_secs(4002), both).len(), 2);
    }

    #[test]
    fn a_verdict_and_a_loss_are_said_when_they_change() {
        let mut pace = Pace::default();
        assert!(pace.is_new_verdict(State::Healthy) && !pace.is_new_verdict(State::Healthy));
        assert!(pace.is_new_verdict(State::Fault) && pace.is_new_verdict(State::Healthy));
        assert!(!pace.is_new_loss(0) && pace.is_new_loss(2) && !pace.is_new_loss(2) && pace.is_new_loss(3));
    }
}
