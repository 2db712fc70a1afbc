//! How many connections of a source came and did not end.
//!
//! A health check is known by its end. Where none ended, it may be that none came, or that they hang.

use std::{collections::VecDeque, time::Duration};

use crate::domain::tally::Tally;

/// The number over time, counted from where the agent began. Connections that are soon over come and go between two readings;
/// those that hang raise the least that any reading finds.
#[derive(Clone, Debug, Default)]
pub struct Unended {
    now: i64,
    /// After each reading with a difference, oldest first, one window long.
    levels: VecDeque<(Duration, i64)>,
    last_probe: Option<Duration>,
    /// The least between the latest health check that ended and the one before it.
    before_silence: i64,
}

impl Unended {
    /// Takes in the difference between two readings, and forgets what is older than `keep_from`.
    pub fn note(&mut self, at: Duration, step: &Tally, keep_from: Duration) {
        while self.levels.front().is_some_and(|(when, _)| *when < keep_from) {
            self.levels.pop_front();
        }
        let least_so_far = self.least_since(self.last_probe.unwrap_or_default());
        // A SYN that was dropped or refused has not ended either.
        self.now += signed(step.arrived) - signed(step.served + step.unserved);
        self.levels.push_back((at, self.now));
        if step.probes() > 0 {
            self.last_probe = Some(at);
            self.before_silence = least_so_far.min(self.now);
        }
    }

    /// How many that came since the latest health check ended have not ended themselves, at the least, going by the readings
    /// since `from`.
    pub fn since_last_probe(&self, from: Duration) -> u64 {
        let from = from.max(self.last_probe.unwrap_or_default());
        u64::try_from(self.least_since(from) - self.before_silence).unwrap_or(0)
    }

    fn least_since(&self, from: Duration) -> i64 {
        let mut least = self.now;
        for (at, level) in self.levels.iter().rev() {
            least = least.min(*level);
            // The level of this reading held at `from`.
            if *at <= from {
                break;
            }
        }
        least
    }
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds of 20 short connections each that overlap, with a health check in the last, and then `each` second.
    fn after(seconds: u64, each: impl Fn(u64) -> Tally) -> u64 {
        let mut unended = Unended::default();
        for second in 1..=10 + seconds {
            // Five are under way at every other reading.
            let arrived = if second.is_multiple_of(2) { 15 } else { 25 };
            let mut step = Tally { arrived, served: 20, clients: 20, ..Tally::default() };
            if second <= 10 && second.is_multiple_of(5) {
                step.add(&Tally { arrived: 1, served: 1, probes_served: 1, ..Tally::default() });
            }
            if second > 10 {
                step.add(&each(second));
            }
            unended.note(Duration::from_secs(second), &step, Duration::from_secs(second.saturating_sub(35)));
        }
        unended.since_last_probe(Duration::from_secs(seconds))
    }

    #[test]
    fn those_that_come_and_go_are_none() {
        assert_eq!(after(30, |_| Tally::default()), 0);
    }

    #[test]
    fn those_that_hang_are_counted_and_so_are_those_that_fail() {
        let hangs = |second: u64| Tally {
            arrived: u64::from(second.is_multiple_of(10)),
            established: u64::from(second.is_multiple_of(10)),
            ..Tally::default()
        };
        assert!((2..=3).contains(&after(30, hangs)), "{}", after(30, hangs));
        let fails = |second: u64| Tally { arrived: u64::from(second.is_multiple_of(5)), ..Tally::default() };
        assert!((4..=6).contains(&after(30, fails)), "{}", after(30, fails));
    }

    #[test]
    fn one_that_ends_as_a_health_check_begins_anew() {
        let once = |second: u64| {
            let mut step = Tally { arrived: 1, ..Tally::default() };
            if second >= 39 {
                step.add(&Tally { arrived: 1, unserved: 1, probes_unserved: 1, ..Tally::default() });
            }
            step
        };
        assert!(after(30, |_| Tally { arrived: 1, ..Tally::default() }) >= 20);
        assert!(after(30, once) <= 2, "{}", after(30, once));
    }
}
