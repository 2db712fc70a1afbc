//! How regularly something comes: how often, how many each time, how far off its time, and when it is due next.
//!
//! Several checkers of one NLB node probe a target, each by its own clock: AWS says that a target gets more than one probe
//! per interval, and no number. So what comes is the sum of several rhythms with one interval. Whatever lies between two
//! of them, the one that comes `per_interval` places later comes one interval later.

mod beat;

use std::{collections::VecDeque, time::Duration};

pub use beat::{Beat, MOST_CHECKERS};

/// Shortest and longest interval an NLB health check can have (AWS, NLB health check settings).
const INTERVAL_RANGE: (Duration, Duration) = (SHORTEST_INTERVAL, Duration::from_secs(300));

/// See [`INTERVAL_RANGE`]: no shorter one is learned.
pub const SHORTEST_INTERVAL: Duration = Duration::from_secs(5);

/// How many are remembered: enough intervals of the most checkers, with some to spare.
const REMEMBERED: usize = 48;

/// A pause of more intervals than this in twos is a break: a node restarted, or the host was cut off. What comes after it
/// need not be in step with what came before.
const BREAK_HALVES: u32 = 5;

/// When something came, and what can be learned from it.
#[derive(Clone, Debug, Default)]
pub struct Rhythm {
    /// The first time.
    pub first: Option<Duration>,
    /// The latest time.
    pub last: Option<Duration>,
    /// When each came since the latest break, oldest first.
    times: VecDeque<Duration>,
    /// The latest that was learned.
    beat: Option<Beat>,
    /// Since when what comes is as regular as `beat` says, as far as it can be told; a break does not end it.
    steady_since: Option<Duration>,
    /// The pause that made the latest break, until the rhythm after it is learned.
    pause: Duration,
}

impl Rhythm {
    /// `count` came since the reading before, which was made `resolution` ago.
    pub fn note(&mut self, at: Duration, count: u64, resolution: Duration) {
        self.first.get_or_insert(at);
        let last = self.last.replace(at);
        if count > u64::from(beat::MOST_CHECKERS) {
            // A crowd has no rhythm, and its times would only push out what has one.
            self.times.clear();
            self.steady_since = None;
            return;
        }
        let gap = at.saturating_sub(last.unwrap_or(at));
        let is_confirmed = self.steady_since.is_some() && self.pause.is_zero();
        if self.beat.is_some_and(|beat| is_confirmed && 2 * gap > BREAK_HALVES * beat.interval) {
            self.times.clear();
            self.pause = gap;
        }
        self.times.extend((0..count).map(|_| at));
        while self.times.len() > REMEMBERED {
            self.times.pop_front();
        }
        self.forget_what_is_over(at);
        self.learn(resolution);
    }

    /// More than twice as many as one interval had: somebody else comes, too, and what was before says nothing any more.
    fn forget_what_is_over(&mut self, at: Duration) {
        let Some(beat) = self.beat() else { return };
        let begin = self.times.partition_point(|time| at.saturating_sub(*time) >= beat.interval);
        if self.times.len() - begin > 2 * beat.per_interval as usize + 1 {
            self.times.drain(..begin);
            self.steady_since = None;
        }
    }

    fn learn(&mut self, resolution: Duration) {
        // After a break the old rhythm holds until there are enough to tell otherwise: the first few of many checkers may
        // look like one.
        let few = self.beat.is_some_and(|beat| self.times.len() < beat::needed(beat.per_interval));
        if few && !self.pause.is_zero() {
            return;
        }
        match beat::find(self.times.make_contiguous(), resolution) {
            Some(beat) => {
                self.beat = Some(beat);
                let is_another = self.beat.is_some_and(|before| !before.is_like(&beat));
                let begin = if is_another { self.last } else { self.times.front().copied() };
                self.steady_since = self.steady_since.filter(|_| !is_another).or(begin);
                self.pause = Duration::ZERO;
            }
            None => self.steady_since = None,
        }
    }

    /// What was learned, while what comes is still like it.
    pub fn beat(&self) -> Option<Beat> {
        self.beat.filter(|_| self.steady_since.is_some())
    }

    /// What was learned, and in how long the next is due; nothing when it is long overdue.
    pub fn next(&self, now: Duration) -> Option<(Beat, Duration)> {
        let beat = self.beat()?;
        // The one that came a whole interval before the next one.
        let before = self.times.len().checked_sub(beat.per_interval as usize);
        let before = before.and_then(|index| self.times.get(index).copied()).or(self.last)?;
        let due = before + beat.interval;
        (now <= due + beat.interval).then(|| (beat, due.saturating_sub(now)))
    }

    /// The interval after which it is missed, once one was learned. While what comes is not as regular as it was, that is
    /// the longest pause, so that nothing is missed for being out of step.
    pub fn learned_interval(&self) -> Option<Duration> {
        let beat = self.beat?;
        let is_sure = self.steady_since.is_some() && self.pause.is_zero();
        let interval = if is_sure { beat.interval } else { beat.interval.max(self.longest_pause()) };
        Some(interval.clamp(INTERVAL_RANGE.0, INTERVAL_RANGE.1))
    }

    /// Mean time from one to the next while they keep the rhythm that was learned.
    pub fn learned_pace(&self) -> Option<Duration> {
        let is_sure = self.steady_since.is_some() && self.pause.is_zero();
        self.beat.filter(|_| is_sure).map(|beat| beat.interval / beat.per_interval)
    }

    /// The longest pause that is remembered.
    pub fn longest_pause(&self) -> Duration {
        let pauses = self.times.iter().zip(self.times.iter().skip(1)).map(|(one, next)| *next - *one);
        pauses.chain([self.pause]).max().unwrap_or_default()
    }

    /// Whether it kept its rhythm like a clock for so many intervals, but for breaks in it.
    pub fn is_clockwork(&self, intervals: u32) -> bool {
        let span = self.last.zip(self.steady_since).map(|(last, since)| last.saturating_sub(since));
        let beat = self.beat().filter(Beat::is_exact);
        beat.zip(span).is_some_and(|(beat, span)| span >= intervals * beat.interval)
    }
}

#[cfg(test)]
mod tests;
