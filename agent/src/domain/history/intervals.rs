//! How often a node probes: what was said, what was learned, and which of the two holds.

use std::time::Duration;

use crate::domain::{
    class::SourceClass,
    finding::FactOrigin,
    history::{DEFAULT_INTERVAL, History},
    rhythm::{Rhythm, SHORTEST_INTERVAL},
    sample::TallyKey,
    sources::SourceTable,
    track::Manner,
};

impl History {
    /// Learns from what was observed.
    pub(super) fn learn_intervals(&mut self, sources: &SourceTable) {
        self.learned = self.tracks.keys().filter_map(|key| self.learned_interval(*key, sources)).max();
        self.quickest = self.tracks.keys().filter_map(|key| self.pace(*key, sources)).min();
    }

    /// The rhythm of a source's health checks, where they are told from clients.
    pub fn rhythm(&self, key: TallyKey, sources: &SourceTable) -> Option<&Rhythm> {
        let track = self.tracks.get(&key)?;
        match self.class(key, sources) {
            SourceClass::NlbProbe => Some(&track.arrivals),
            SourceClass::NlbUndecided if track.manner() == Manner::Mixed => Some(&track.probes),
            _ => None,
        }
    }

    /// The interval of a source's health checks, where it was learned.
    pub fn learned_interval(&self, key: TallyKey, sources: &SourceTable) -> Option<Duration> {
        self.rhythm(key, sources)?.learned_interval()
    }

    /// Mean time between two health checks of a source, where its rhythm was learned.
    pub fn pace(&self, key: TallyKey, sources: &SourceTable) -> Option<Duration> {
        self.rhythm(key, sources)?.learned_pace()
    }

    /// How far back a conclusion looks: three intervals and five seconds. A learned interval may only make it longer,
    /// so that a node slower than the default is not forgotten between two probes.
    pub fn window(&self) -> Duration {
        let learned = self.learned.unwrap_or_default().max(DEFAULT_INTERVAL);
        3 * self.given_interval().unwrap_or(learned) + Duration::from_secs(5)
    }

    /// `--health-interval`, unless health checks keep coming clearly more seldom.
    fn given_interval(&self) -> Option<Duration> {
        self.watch.health_interval.filter(|_| !self.is_interval_overturned())
    }

    /// Whether even the quickest node keeps a clearly longer interval than was given. Not the other way round: several
    /// checkers of one node may well look like one that is quicker.
    pub fn is_interval_overturned(&self) -> bool {
        let given = self.watch.health_interval.filter(|given| *given >= SHORTEST_INTERVAL);
        given.zip(self.quickest).is_some_and(|(given, quickest)| 2 * quickest > 3 * given)
    }

    /// The interval of the health check as far as it is known for all nodes together.
    pub(super) fn common_interval(&self) -> Duration {
        self.given_interval().or(self.learned).unwrap_or(DEFAULT_INTERVAL)
    }

    /// Whether it is known how often a node probes: given, or learned from one of them, since they have one health check.
    pub fn is_interval_known(&self) -> bool {
        self.watch.health_interval.is_some() || self.learned.is_some()
    }

    /// The interval at which a source is expected to probe: given, learned from it or from another, else the default, or
    /// the longest pause that was not the last.
    pub fn interval(&self, keys: &[TallyKey], sources: &SourceTable) -> Duration {
        self.interval_and_origin(keys, sources).0
    }

    /// The same, and where it was read.
    pub fn interval_and_origin(&self, keys: &[TallyKey], sources: &SourceTable) -> (Duration, FactOrigin) {
        if let Some(given) = self.given_interval() {
            return (given, FactOrigin::Settings);
        }
        let learned =
            keys.iter().filter_map(|key| self.learned_interval(*key, sources)).max().or(self.learned);
        let pauses = keys.iter().filter_map(|key| self.rhythm(*key, sources)).map(Rhythm::longest_pause);
        let seen = learned.or_else(|| pauses.max().filter(|pause| *pause > DEFAULT_INTERVAL));
        seen.map_or((DEFAULT_INTERVAL, FactOrigin::Settings), |seen| (seen, FactOrigin::Hook))
    }
}
