//! What was counted on ports that are not watched, over one window.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use crate::domain::tally::growth;

/// Attempts, or connections, by source slot and port.
pub type Strays = BTreeMap<(u32, u16), u64>;

/// The readings of one window, oldest first.
#[derive(Clone, Debug, Default)]
pub struct StrayLog {
    latest: Strays,
    steps: VecDeque<(Duration, Strays)>,
}

impl StrayLog {
    /// Takes in what was counted so far, and forgets what is older than `keep_from`.
    pub fn observe(&mut self, at: Duration, counted: Strays, keep_from: Duration) {
        while self.steps.front().is_some_and(|(when, _)| *when < keep_from) {
            self.steps.pop_front();
        }
        let before = |key| self.latest.get(key).copied().unwrap_or(0);
        let new = counted.iter().map(|(key, count)| (*key, growth(*count, before(key))));
        let new: Strays = new.filter(|(_, count)| *count > 0).collect();
        if !new.is_empty() {
            self.steps.push_back((at, new));
        }
        self.latest = counted;
    }

    /// What came after `from`.
    pub fn since(&self, from: Duration) -> Strays {
        let mut sum = Strays::new();
        for (_, step) in self.steps.iter().filter(|(at, _)| *at > from) {
            for (key, count) in step {
                *sum.entry(*key).or_default() += count;
            }
        }
        sum
    }

    /// The latest reading in which something was counted on this port.
    pub fn last(&self, port: u16) -> Option<Duration> {
        let counts = |step: &Strays| step.keys().any(|(_, of)| *of == port);
        self.steps.iter().rev().find(|(_, step)| counts(step)).map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_counts_and_only_for_one_window() {
        let second = Duration::from_secs;
        let mut log = StrayLog::default();
        log.observe(second(1), Strays::from([((1, 9000), 2)]), second(0));
        log.observe(second(2), Strays::from([((1, 9000), 2), ((2, 9000), 1)]), second(0));
        log.observe(second(3), Strays::from([((1, 9000), 5), ((2, 9000), 1)]), second(0));
        assert_eq!(log.since(second(0)), Strays::from([((1, 9000), 5), ((2, 9000), 1)]));
        assert_eq!(log.since(second(2)), Strays::from([((1, 9000), 3)]));
        assert_eq!((log.last(9000), log.last(9001)), (Some(second(3)), None));
        log.observe(second(4), Strays::from([((1, 9000), 5), ((2, 9000), 1)]), second(3));
        assert_eq!(log.since(second(0)), Strays::from([((1, 9000), 3)]));
    }

    #[test]
    fn counts_that_begin_anew_are_new() {
        let second = Duration::from_secs;
        let mut log = StrayLog::default();
        log.observe(second(1), Strays::from([((1, 9000), 7)]), second(0));
        log.observe(second(2), Strays::from([((1, 9000), 1)]), second(0));
        assert_eq!(log.since(second(1)), Strays::from([((1, 9000), 1)]));
    }
}
