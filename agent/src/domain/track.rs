//! What one source did on one port, over time.

use std::{collections::VecDeque, time::Duration};

use crate::domain::{
    rhythm::{MOST_CHECKERS, Rhythm},
    tally::Tally,
    unended::Unended,
};

/// Connections of one kind, and none of the other, after which a source is taken to be of that kind.
pub const ENOUGH: u64 = 3;

/// What kind of connections a source makes, as far as their behaviour tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Too few have ended.
    Unknown,
    /// Health checks.
    ProbesOnly,
    /// Anything but health checks.
    ClientsOnly,
    /// Both.
    Mixed,
    /// They are encrypted.
    Hidden,
    /// They are encrypted, and come like clockwork: health checks, as far as a rhythm can tell.
    Clockwork,
}

impl Manner {
    /// Whether what is inside its connections cannot be seen.
    pub const fn is_encrypted(self) -> bool {
        matches!(self, Self::Hidden | Self::Clockwork)
    }
}

/// Intervals for which encrypted connections must have kept a rhythm. Chance does not keep it so long, and a client that
/// comes by hand breaks it.
const CLOCKWORK: u32 = 12;

/// Encrypted connections in one interval that are more than health checks can be: AWS publishes no number, and twice as many
/// checkers of one node as are told apart is far from any that was seen.
const MORE_THAN_CHECKS: u64 = 2 * MOST_CHECKERS as u64;

/// Intervals for which there must be so many: a burst after a pause is none.
const CROWDED_INTERVALS: u32 = 5;

/// What one source did on one port.
#[derive(Clone, Debug, Default)]
pub struct Track {
    /// Since the agent began to watch.
    pub total: Tally,
    /// Connections like health checks that ended before clients' were counted: they do not say that there are none.
    pub unsure: u64,
    /// SYNs.
    pub arrivals: Rhythm,
    /// Connections that behaved like a health check, when they ended.
    pub probes: Rhythm,
    /// TLS handshakes that were begun.
    pub handshakes: Rhythm,
    /// When the latest connection that behaved like a client's ended.
    pub last_client: Option<Duration>,
    /// More encrypted connections came than health checks can be.
    pub is_crowded: bool,
    /// Connections that came and did not end.
    pub unended: Unended,
    /// Differences between readings, oldest first, one window long; readings without a difference are left out.
    steps: VecDeque<(Duration, Tally)>,
}

impl Track {
    /// Takes in the difference between two readings, the second made at `at` and the first `since` before it, and forgets
    /// what is older than `keep_from`.
    pub fn record(&mut self, at: Duration, since: Duration, step: Tally, keep_from: Duration) {
        while self.steps.front().is_some_and(|(when, _)| *when < keep_from) {
            self.steps.pop_front();
        }
        if step.is_empty() {
            return;
        }
        if step.arrived > 0 {
            self.arrivals.note(at, step.arrived, since);
        }
        if step.probes() > 0 {
            self.probes.note(at, step.probes(), since);
        }
        if step.tls_openings > 0 {
            self.handshakes.note(at, step.tls_openings, since);
        }
        if step.clients > 0 {
            self.last_client = Some(at);
        }
        self.unended.note(at, &step, keep_from);
        self.total.add(&step);
        self.steps.push_back((at, step));
    }

    /// Notes whether more encrypted connections came up to now than health checks can be, of which none has a shorter interval.
    pub fn note_crowd(&mut self, at: Duration, shortest_interval: Duration) {
        if self.is_crowded || self.total.tls_openings <= MORE_THAN_CHECKS * u64::from(CROWDED_INTERVALS) {
            return;
        }
        let all = (0..CROWDED_INTERVALS).map(|number| at.saturating_sub(number * shortest_interval));
        self.is_crowded = at >= CROWDED_INTERVALS * shortest_interval
            && all.into_iter().all(|to| {
                self.between(to.saturating_sub(shortest_interval), to).tls_openings > MORE_THAN_CHECKS
            });
    }

    /// What the connections that ended so far say about the source.
    pub fn manner(&self) -> Manner {
        let (probes, clients) = (self.total.probes(), self.total.clients);
        // An encrypted connection ends as a client's; one look-alike among many hides nothing.
        if 2 * self.total.tls_openings > clients {
            if self.handshakes.is_clockwork(CLOCKWORK) { Manner::Clockwork } else { Manner::Hidden }
        } else if probes > 0 && clients >= ENOUGH {
            Manner::Mixed
        } else if probes >= ENOUGH + self.unsure && clients == 0 && self.open() <= MOST_CHECKERS as u64 {
            Manner::ProbesOnly
        } else if probes == 0 && clients >= ENOUGH {
            Manner::ClientsOnly
        } else {
            Manner::Unknown
        }
    }

    /// Connections of the latest window that did not end: more than a node's checkers can have under way may be clients', which
    /// end no more than they would be accepted, while health checks give up.
    fn open(&self) -> u64 {
        let sum = |of: fn(&Tally) -> u64| self.steps.iter().map(|(_, step)| of(step)).sum::<u64>();
        sum(|step| step.established).saturating_sub(sum(|step| step.served + step.unserved))
    }

    /// As [`Track::between`], and the next reading after `to`: counters are not read at one moment, so the answer to what
    /// one reading saw arrive may be in the one after it.
    pub fn between_and_next(&self, from: Duration, to: Duration) -> Tally {
        let next = self.steps.iter().map(|(at, _)| *at).find(|at| *at > to);
        self.between(from, next.unwrap_or(to))
    }

    /// Sum of the readings after `from` up to and including `to`.
    pub fn between(&self, from: Duration, to: Duration) -> Tally {
        let mut sum = Tally::default();
        for (_, step) in self.steps.iter().filter(|(at, _)| *at > from && *at <= to) {
            sum.add(step);
        }
        sum
    }

    /// The readings since `from`, oldest first.
    pub fn since(&self, from: Duration) -> impl Iterator<Item = (Duration, &Tally)> {
        self.steps.iter().filter(move |(at, _)| *at >= from).map(|(at, step)| (*at, step))
    }
}
