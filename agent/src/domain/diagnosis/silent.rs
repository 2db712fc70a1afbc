//! Whether health checks that are told from clients of the same address by their behaviour stopped for sure.
//!
//! They are known by their end. Where none ended, none may have come; or they hang, were dropped, or changed so that nobody
//! recognises them.

use std::time::Duration;

use crate::domain::{diagnosis::Case, sample::TallyKey, track::Track};

/// Recognised health checks that make a habit, where the interval is given and no rhythm was learned: as many as it takes to
/// learn one.
const HABIT: u64 = 5;

/// Whether the silence of these health checks is one for sure. A SYN of a client must not count as one of theirs, nor a client
/// that ended hide one of theirs that did not.
pub fn is_sure<'a>(
    case: &Case<'_>,
    members: impl Iterator<Item = (TallyKey, &'a Track)>,
    silence: Duration,
    interval: Duration,
) -> bool {
    let mut probed = members.filter(|(_, track)| track.probes.last.is_some()).peekable();
    probed.peek().is_some()
        && probed.all(|(key, track)| {
            has_habit(case, key, track, silence) && !may_go_on(case, key, track, silence, interval)
        })
}

/// Whether it is known how often they come: the rhythm of recognised health checks was learned, or the interval was given and
/// no pause between those that were seen was nearly as long.
fn has_habit(case: &Case<'_>, key: TallyKey, track: &Track, silence: Duration) -> bool {
    let is_as_given = || {
        case.history.watch.health_interval.is_some()
            && track.total.probes() >= HABIT
            && silence > 2 * track.probes.longest_pause()
    };
    case.history.learned_interval(key, case.sources).is_some() || is_as_given()
}

/// Whether about as many connections as health checks are missed came and did not end, or are encrypted. Half as many are
/// enough: the latest of those that hang show late, and one that was lost is none of them.
pub fn may_go_on(
    case: &Case<'_>,
    key: TallyKey,
    track: &Track,
    silence: Duration,
    interval: Duration,
) -> bool {
    let pace = case.history.pace(key, case.sources).unwrap_or(interval).min(interval);
    let may_be_missed =
        |count: u64, time: Duration| pace.as_secs_f64() * count as f64 * 2.0 >= time.as_secs_f64();
    let remembered = silence.min(case.history.window());
    let encrypted = track.between(case.now.saturating_sub(remembered), case.now).tls_openings;
    may_be_missed(track.unended.since_last_probe(case.now.saturating_sub(interval)), silence)
        || may_be_missed(encrypted, remembered)
}
