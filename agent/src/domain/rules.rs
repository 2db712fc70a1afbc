//! Which rule of nftables drops: the one whose counter grew by what was dropped, reading by reading.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    time::Duration,
};

use serde::Serialize;

use crate::domain::tally::growth;

/// A rule that drops and counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Rule {
    /// `inet`, `ip`, `ip6`, `netdev`, `bridge`.
    pub family: &'static str,
    /// Table.
    pub table: String,
    /// Chain.
    pub chain: String,
    /// The kernel's number of it in its table.
    pub handle: u64,
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "nft table {} {}, chain {}", self.family, self.table, self.chain)
    }
}

/// Packets that each rule counted, cumulative.
pub type Rules = BTreeMap<Rule, u64>;

/// Growth between two readings.
#[derive(Clone, Debug)]
struct Step {
    from: Duration,
    to: Duration,
    growth: Rules,
}

/// What the rules counted, as far back as conclusions look.
#[derive(Clone, Debug, Default)]
pub struct RuleLog {
    latest: Option<(Duration, Rules)>,
    steps: VecDeque<Step>,
}

/// One equal growth may be chance.
const ENOUGH: u64 = 2;

impl RuleLog {
    /// Takes in a reading, and forgets what ended before `keep_from`. Rules are read only when netfilter dropped a SYN.
    pub fn observe(&mut self, at: Duration, rules: Option<Rules>, keep_from: Duration) {
        while self.steps.front().is_some_and(|step| step.to < keep_from) {
            self.steps.pop_front();
        }
        let Some(rules) = rules else { return };
        if let Some((from, before)) = self.latest.take() {
            // All that a new rule counted is new.
            let grown = |(rule, packets): (&Rule, &u64)| {
                let by = growth(*packets, before.get(rule).copied().unwrap_or(0));
                (by > 0).then(|| (rule.clone(), by))
            };
            self.steps.push_back(Step { from, to: at, growth: rules.iter().filter_map(grown).collect() });
        }
        self.latest = Some((at, rules));
    }

    /// The only rule that, in each of the latest readings in which there were drops, counted as many as were `dropped`
    /// between two moments; with how many those were.
    pub fn culprit(&self, dropped: impl Fn(Duration, Duration) -> u64) -> Option<(&Rule, u64)> {
        let mut candidates: BTreeMap<&Rule, u64> = BTreeMap::new();
        let mut unbroken: Option<BTreeSet<&Rule>> = None;
        for step in self.steps.iter().rev() {
            let drops = dropped(step.from, step.to);
            if drops == 0 {
                continue;
            }
            let equal = step.growth.iter().filter(|(_, by)| **by == drops).map(|(rule, _)| rule);
            let still: BTreeSet<_> =
                equal.filter(|rule| unbroken.as_ref().is_none_or(|rules| rules.contains(rule))).collect();
            for rule in &still {
                *candidates.entry(rule).or_default() += drops;
            }
            if still.is_empty() {
                break;
            }
            unbroken = Some(still);
        }
        let most = candidates.values().copied().max().filter(|most| *most >= ENOUGH)?;
        let mut best = candidates.into_iter().filter(|(_, sum)| *sum == most);
        let found = best.next()?;
        best.next().is_none().then_some(found)
    }

    /// Whether there were drops between readings, at least two of them, and no rule counted anything meanwhile.
    pub fn none_counted(&self, dropped: impl Fn(Duration, Duration) -> u64) -> bool {
        let with_drops = self.steps.iter().map(|step| (step, dropped(step.from, step.to)));
        let with_drops: Vec<_> = with_drops.filter(|(_, drops)| *drops > 0).collect();
        let sum: u64 = with_drops.iter().map(|(_, drops)| drops).sum();
        sum >= ENOUGH && with_drops.iter().all(|(step, _)| step.growth.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(handle: u64) -> Rule {
        Rule { family: "inet", table: "local".into(), chain: "input".into(), handle }
    }

    /// The culprit, when each second the counters of rules 1 and 2 stand as told, and so many SYNs were dropped in all.
    fn culprit(readings: &[(u64, u64, u64)]) -> Option<(u64, u64)> {
        let mut log = RuleLog::default();
        for (second, (one, two, _)) in (0..).zip(readings) {
            let rules = Rules::from([(rule(1), *one), (rule(2), *two)]);
            log.observe(Duration::from_secs(second), Some(rules), Duration::ZERO);
        }
        let at = |time: Duration| readings[time.as_secs() as usize].2;
        log.culprit(|from, to| at(to) - at(from)).map(|(rule, drops)| (rule.handle, drops))
    }

    #[test]
    fn the_rule_that_counted_what_was_dropped_is_named() {
        assert_eq!(culprit(&[(100, 7, 0), (101, 7, 1), (104, 7, 4)]), Some((1, 4)));
    }

    #[test]
    fn a_rule_that_counted_something_else_in_the_latest_reading_is_not() {
        assert_eq!(culprit(&[(0, 0, 0), (3, 0, 3), (9, 0, 6)]), None);
        // An older difference does not matter: connections that were open sent more than SYNs.
        assert_eq!(culprit(&[(0, 0, 0), (9, 0, 3), (12, 0, 6)]), Some((1, 3)));
    }

    #[test]
    fn one_drop_or_two_rules_alike_name_nobody() {
        assert_eq!(culprit(&[(0, 0, 0), (1, 0, 1)]), None);
        assert_eq!(culprit(&[(0, 0, 0), (2, 2, 2), (4, 4, 4)]), None);
    }

    #[test]
    fn all_that_a_new_rule_counted_is_new() {
        let mut log = RuleLog::default();
        log.observe(Duration::ZERO, Some(Rules::new()), Duration::ZERO);
        log.observe(Duration::from_secs(1), Some(Rules::from([(rule(1), 2)])), Duration::ZERO);
        assert_eq!(
            log.culprit(|_, _| 2).map(|(rule, _)| rule.to_string()).as_deref(),
            Some("nft table inet local, chain input")
        );
    }
}
