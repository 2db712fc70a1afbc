//! What the namespace's own counters and listeners did, over one window.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::Duration,
};

use crate::domain::{
    host_counters::HostCounters,
    sample::{Listener, Sample},
    tally::growth,
};

/// Growth between two readings, and how the accept queues stood at the second.
#[derive(Clone, Debug, Default)]
struct Step {
    at: Duration,
    counters: HostCounters,
    /// What the programs did not record of it.
    missed: u64,
    /// Of any port: who overflows says who does not.
    full_listeners: Vec<Listener>,
    /// Connections that waited to be accepted and how many may, by local port; ports where none did are left out.
    waiting: BTreeMap<u16, (u32, u32)>,
    /// A sender of each slot to whom there was no route.
    without_route: BTreeMap<u32, IpAddr>,
}

/// Connections that wait to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// The first reading since which some waited in every one.
    pub since: Duration,
    /// How much of the time since then the readings vouch for.
    pub watched: Duration,
    /// How many wait now.
    pub backlog: u32,
    /// How many may.
    pub limit: u32,
}

/// A reading tells of no more than this of the time since the one before. They come more often, unless nobody gets to run: then
/// those who are watched did not, either.
const VOUCHED: Duration = Duration::from_secs(1);

/// The readings of one window, oldest first.
#[derive(Clone, Debug, Default)]
pub struct HostLog {
    steps: VecDeque<Step>,
}

impl HostLog {
    /// Takes in a reading, and forgets what is older than `keep_from`. Without one `before` it is the baseline of the
    /// counters. Whether connections wait is of interest only for listeners on ports that are `watched`.
    pub fn record(
        &mut self,
        sample: &Sample,
        before: Option<&Sample>,
        watched: impl Fn(u16) -> bool,
        keep_from: Duration,
    ) {
        while self.steps.front().is_some_and(|step| step.at < keep_from) {
            self.steps.pop_front();
        }
        let mut step = Step {
            at: sample.at,
            counters: sample.host.since(&before.map_or(sample.host, |before| before.host)),
            missed: growth(missed(sample), before.map_or(0, missed)),
            without_route: sample.without_route.clone(),
            ..Step::default()
        };
        for listener in sample.listeners.iter().flatten() {
            if listener.is_full() {
                step.full_listeners.push(listener.clone());
            }
            if listener.backlog > 0 && watched(listener.port) {
                let (backlog, limit) = step.waiting.entry(listener.port).or_insert((0, 0));
                *backlog += listener.backlog;
                *limit += listener.backlog_limit;
            }
        }
        self.steps.push_back(step);
    }

    fn since(&self, from: Duration) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.at > from)
    }

    /// Growth of the counters after `from`.
    pub fn growth_since(&self, from: Duration) -> HostCounters {
        let mut sum = HostCounters::default();
        self.since(from).for_each(|step| sum.add(&step.counters));
        sum
    }

    /// A sender of each slot to whom there was no route after `from`.
    pub fn without_route(&self, from: Duration) -> BTreeMap<u32, IpAddr> {
        self.since(from).flat_map(|step| &step.without_route).map(|(slot, sender)| (*slot, *sender)).collect()
    }

    /// Whether something that happened after `from` was not recorded.
    pub fn missed_since(&self, from: Duration) -> bool {
        self.since(from).any(|step| step.missed > 0)
    }

    /// Overflows after `from` that may be those of a local port's listener: all but those between two readings in which nobody
    /// waited there, while another listener was over its limit. `None` where they cannot be read.
    pub fn overflows_of(&self, local_port: u16, from: Duration) -> Option<u64> {
        let mut sum = 0;
        let mut before: Option<&Step> = None;
        for step in &self.steps {
            let readings = || before.into_iter().chain([step]);
            if step.at > from {
                let waited = readings().any(|step| step.waiting.contains_key(&local_port));
                let is_other = |listener: &Listener| listener.port != local_port;
                let is_of_others = !waited && readings().any(|step| step.full_listeners.iter().any(is_other));
                let count = step.counters.listen_overflows?;
                sum += if is_of_others { 0 } else { count };
            }
            before = Some(step);
        }
        Some(sum)
    }

    /// The listener on a local port that was over its limit after `from`, the fullest reading.
    pub fn full_listener(&self, local_port: u16, from: Duration) -> Option<&Listener> {
        self.since(from)
            .flat_map(|step| &step.full_listeners)
            .filter(|listener| listener.port == local_port)
            .max_by_key(|listener| listener.backlog)
    }

    /// Connections to a local port that wait to be accepted, if some did in the latest reading.
    pub fn waiting(&self, local_port: u16) -> Option<Waiting> {
        let (backlog, limit) = *self.steps.back()?.waiting.get(&local_port)?;
        let unbroken = self.steps.iter().rev().take_while(|step| step.waiting.contains_key(&local_port));
        let (mut since, mut watched) = (self.steps.back()?.at, Duration::ZERO);
        for step in unbroken {
            watched += since.saturating_sub(step.at).min(VOUCHED);
            since = step.at;
        }
        Some(Waiting { since, watched, backlog, limit })
    }
}

/// Runs of a program that the kernel skipped, and connections that found no place.
const fn missed(sample: &Sample) -> u64 {
    sample.loss.recursion_misses + sample.loss.probes
}
