//! Interval, jitter and number of checkers behind a series of times.

use std::time::Duration;

/// Checkers of one source that are told apart at most.
pub const MOST_CHECKERS: u32 = 8;

/// Whole intervals that must be seen: three could be chance.
const INTERVALS: u32 = 4;

/// How regularly something comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// After this time the same comes again.
    pub interval: Duration,
    /// How far the interval is off on average.
    pub jitter: Duration,
    /// How many come in one interval.
    pub per_interval: u32,
}

impl Beat {
    /// Whether about as many come in the same time.
    pub fn is_like(&self, other: &Self) -> bool {
        let rate = |beat: &Self| f64::from(beat.per_interval) / beat.interval.as_secs_f64();
        let ratio = rate(self) / rate(other);
        (0.7..1.4).contains(&ratio)
    }

    /// Whether it is a clock's: a program that waits between its requests is off by more.
    pub fn is_exact(&self) -> bool {
        is_regular_within(0.1, self)
    }
}

/// Times that must be known to tell a rhythm of so many in an interval.
pub const fn needed(per_interval: u32) -> usize {
    (INTERVALS * per_interval + 1) as usize
}

/// The rhythm of these times, which were read once in `resolution`, if they have one.
///
/// With so many checkers, each time is one interval after the one so many places before. The right number makes the
/// distances alike. Its multiples do so, too, therefore the least that does it about as well is taken: one checker that is
/// now early and now late must not pass for two.
pub fn find(times: &[Duration], resolution: Duration) -> Option<Beat> {
    let (first, last) = times.first().zip(times.last())?;
    // What is in nearly every reading comes oftener than it is read.
    if (*last - *first) < resolution * times.len() as u32 {
        return None;
    }
    let fits: Vec<Beat> = (1..=MOST_CHECKERS).filter_map(|number| fit(times, number)).collect();
    let least = fits.iter().map(|beat| beat.jitter).min()?;
    // One that is off by a tenth is one, and not several that happen to be nearly evenly apart. What a reading sees has come
    // some time since the one before.
    let is_one = |beat: &Beat| beat.per_interval == 1 && 10 * beat.jitter <= beat.interval;
    fits.into_iter().find(|beat| is_one(beat) || beat.jitter <= 3 * least + resolution / 2)
}

fn fit(times: &[Duration], per_interval: u32) -> Option<Beat> {
    if times.len() < needed(per_interval) {
        return None;
    }
    let later = times.iter().skip(per_interval as usize);
    let mut distances: Vec<Duration> = later.zip(times).map(|(later, time)| *later - *time).collect();
    distances.sort_unstable();
    let interval = distances[distances.len() / 2];
    let mut off: Vec<Duration> = distances.iter().map(|distance| distance.abs_diff(interval)).collect();
    off.sort_unstable();
    // One that was lost, or a node that came back out of step, is no jitter.
    off.truncate(off.len() - off.len() / 10);
    let jitter = off.iter().sum::<Duration>() / off.len() as u32;
    Some(Beat { interval, jitter, per_interval }).filter(|beat| is_regular_within(0.3, beat))
}

/// The more chance arrivals are added up to one distance, the more alike the distances get: off on average by about 0.65
/// of it, through the square root of their number. Less than half of that is no chance. One checker that is off its time by
/// up to 30 % makes 0.2.
fn is_regular_within(part: f64, beat: &Beat) -> bool {
    let limit = part / f64::from(beat.per_interval).sqrt();
    !beat.interval.is_zero() && beat.jitter.as_secs_f64() <= limit * beat.interval.as_secs_f64()
}
