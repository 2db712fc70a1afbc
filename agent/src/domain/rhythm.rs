//! How regularly something comes.

use std::{collections::VecDeque, time::Duration};

/// Shortest and longest interval an NLB health check can have (AWS, NLB health check settings).
const INTERVAL_RANGE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(300));

/// Pauses that are remembered.
const GAPS: usize = 8;

/// When something came, and with which pauses.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    /// The first time.
    pub first: Option<Duration>,
    /// The latest time.
    pub last: Option<Duration>,
    gaps: VecDeque<Duration>,
}

impl Rhythm {
    /// It came.
    pub fn note(&mut self, at: Duration) {
        if let Some(last) = self.last.replace(at) {
            self.gaps.push_back(at - last);
            if self.gaps.len() > GAPS {
                self.gaps.pop_front();
            }
        }
        self.first.get_or_insert(at);
    }

    /// How often it comes, and in how long it is due next; when there were three pauses at least, none much longer than
    /// another.
    pub fn regular(&self, now: Duration) -> Option<(Duration, Duration)> {
        let (shortest, longest) = (self.gaps.iter().min()?, self.gaps.iter().max()?);
        if self.gaps.len() < 3 || *longest > *shortest * 3 / 2 {
            return None;
        }
        let every = self.gaps.iter().sum::<Duration>() / self.gaps.len() as u32;
        let due = self.last? + every;
        (now <= due + every).then(|| (every, due.saturating_sub(now)))
    }

    /// The longest pause, as a cautious guess at the interval: once there were four pauses in a minute's watching or
    /// more.
    pub fn learned_interval(&self, now: Duration) -> Option<Duration> {
        let watched = now.checked_sub(self.first?)?;
        if self.gaps.len() < 4 || watched < Duration::from_secs(60) {
            return None;
        }
        self.gaps.iter().max().map(|gap| (*gap).clamp(INTERVAL_RANGE.0, INTERVAL_RANGE.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(seconds: u64, times: u64) -> Rhythm {
        let mut rhythm = Rhythm::default();
        (1..=times).for_each(|time| rhythm.note(Duration::from_secs(seconds * time)));
        rhythm
    }

    #[test]
    fn a_regular_rhythm_says_when_the_next_is_due() {
        let rhythm = every(10, 5);
        let second = Duration::from_secs;
        assert_eq!(rhythm.regular(second(53)), Some((second(10), second(7))));
        assert_eq!(rhythm.regular(second(75)), None, "long overdue");
        assert_eq!(every(10, 3).regular(second(31)), None, "too few");
    }

    #[test]
    fn an_interval_is_learned_after_four_pauses_and_a_minute() {
        let second = Duration::from_secs;
        assert_eq!(every(20, 5).learned_interval(second(100)), Some(second(20)));
        assert_eq!(every(20, 4).learned_interval(second(100)), None);
        assert_eq!(every(5, 8).learned_interval(second(40)), None);
        assert_eq!(every(1, 100).learned_interval(second(100)), Some(second(5)));
    }
}
