//! What was observed so far, as much of it as a conclusion can rest on.
//!
//! Samples go in, differences per source are kept for one window, and questions about them are answered.

mod health_port;
mod intervals;
mod lookups;
mod translated;

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde::Serialize;

use crate::domain::{
    class::{Priors, SourceClass},
    conntrack::ConntrackLog,
    health::Protocol,
    host_log::HostLog,
    listening::ListeningLog,
    rhythm::SHORTEST_INTERVAL,
    rules::RuleLog,
    sample::{Sample, TallyKey},
    site::Site,
    sources::SourceTable,
    strays::StrayLog,
    tally::Tally,
    track::{ENOUGH, Manner, Track},
};

use translated::Translated;

/// Interval of an NLB health check when nobody says otherwise (AWS, NLB health check settings).
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// Connections that ended so soon after the agent began may have begun before it, unseen: nothing tells a health check
/// among them from a client.
const UNSEEN_BEGIN: Duration = Duration::from_secs(2);

/// A handshake under way is no lost one: attempts younger than this are not held against anybody. The kernel sends a
/// SYN-ACK again after one second (TCP_TIMEOUT_INIT, include/net/tcp.h, v6.1).
pub const GRACE: Duration = Duration::from_secs(1);

/// A target is registered after its task runs, and checked some time after that: before this age, absence may be no fault.
const YOUNG_TASK: Duration = Duration::from_secs(180);

/// What the diagnosis was told.
#[derive(Clone, Debug, Default, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize), serde(default))]
pub struct Watch {
    /// Addresses of the watched interface.
    pub addresses: Vec<IpAddr>,
    /// Watched ports, the health check port included.
    pub ports: Vec<u16>,
    /// What is known of the target group.
    pub priors: Priors,
    /// `--health-interval`.
    pub health_interval: Option<Duration>,
    /// `--health-protocol`.
    pub health_protocol: Option<Protocol>,
    /// `--health-timeout`.
    pub health_timeout: Option<Duration>,
    /// `--expect-clients`.
    pub expect_clients: bool,
    /// Age of the task when the agent began to watch, where its metadata says so.
    pub task_age: Option<Duration>,
    /// What advice is filled in from. No conclusion rests on it, so recordings do without.
    #[serde(skip)]
    pub site: Site,
}

/// Trouble of one kind that one source has, in the current window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// How many attempts failed.
    pub failed: u64,
    /// Of how many.
    pub of: u64,
}

/// Everything observed so far.
#[derive(Clone, Debug)]
pub struct History {
    /// What the diagnosis was told.
    pub watch: Watch,
    tracks: BTreeMap<TallyKey, Track>,
    host: HostLog,
    conntrack: ConntrackLog,
    listening: ListeningLog,
    rules: RuleLog,
    strays: StrayLog,
    latest: Sample,
    has_sample: bool,
    /// Interval of the slowest node whose rhythm is known.
    learned: Option<Duration>,
    /// Time from one health check to the next of the node that keeps the quickest rhythm.
    quickest: Option<Duration>,
    translated: Translated,
    /// When the task was told to stop.
    stopped_at: Option<Duration>,
    /// Where health checks are seen, where that is not `--health-port`.
    seen_health_port: Option<u16>,
}

impl History {
    /// Nothing observed yet.
    pub fn new(watch: Watch) -> Self {
        Self {
            watch,
            tracks: BTreeMap::new(),
            host: HostLog::default(),
            conntrack: ConntrackLog::default(),
            listening: ListeningLog::default(),
            rules: RuleLog::default(),
            strays: StrayLog::default(),
            latest: Sample::default(),
            has_sample: false,
            learned: None,
            quickest: None,
            translated: Translated::default(),
            stopped_at: None,
            seen_health_port: None,
        }
    }

    /// Takes in one observation. The first one is the baseline for the counters of the namespace; the tallies begin
    /// at zero with the programs. `sources` says whose rhythm is that of a health check.
    pub fn observe(&mut self, mut sample: Sample, sources: &SourceTable) {
        let at = sample.at;
        let keep_from = at.saturating_sub(self.window());
        for (key, tally) in &sample.tallies {
            let before = self.latest.tallies.get(key);
            let mut step = before.map_or_else(|| tally.clone(), |before| tally.since(before));
            if at < UNSEEN_BEGIN {
                step.clients = 0;
            }
            let was_in_front = |program: fn(&Sample) -> bool| program(&sample) || program(&self.latest);
            step.place(
                was_in_front(|sample| sample.foreign_xdp.is_some()),
                was_in_front(|sample| sample.foreign_tc.is_some()),
            );
            let track = self.tracks.entry(*key).or_default();
            if at < UNSEEN_BEGIN {
                track.unsure += step.probes();
            }
            track.record(at, at.saturating_sub(self.latest.at), step, keep_from);
            let given = self.watch.health_interval.unwrap_or(SHORTEST_INTERVAL);
            track.note_crowd(at, given.min(SHORTEST_INTERVAL));
        }
        let before = self.has_sample.then_some(&self.latest);
        let watches = |port| self.watch.ports.contains(&port) || self.translated.is_followed(port);
        self.host.record(&sample, before, watches, keep_from);
        self.rules.observe(at, sample.rules.take(), keep_from);
        self.strays.observe(at, std::mem::take(&mut sample.strays), keep_from);
        self.translated.observe(at, std::mem::take(&mut sample.elsewhere), keep_from);
        self.conntrack.observe(at, sample.conntrack, keep_from);
        self.listening.observe(at, sample.listeners.as_ref());
        self.latest = sample;
        self.has_sample = true;
        self.learn_health_port(sources);
        self.learn_intervals(sources);
    }

    /// Age of the task while it is so young that its target may not be registered yet.
    pub fn young_task(&self, now: Duration) -> Option<Duration> {
        self.watch.task_age.map(|age| age + now).filter(|age| *age < YOUNG_TASK)
    }

    /// From now on: the agent, and with it the task that it is part of, was told to stop.
    pub const fn stop(&mut self) {
        self.stopped_at = Some(self.latest.at);
    }

    /// How old the task was when it was told to stop, where its metadata says so.
    pub fn stopped_age(&self) -> Option<Duration> {
        self.watch.task_age.zip(self.stopped_at).map(|(age, at)| age + at)
    }

    /// When the latest observation was made.
    pub const fn at(&self) -> Duration {
        self.latest.at
    }

    /// Class of a tally: what the operator said of its source, unless its connections say otherwise.
    pub fn class(&self, key: TallyKey, sources: &SourceTable) -> SourceClass {
        let prior = self.priors().classify(sources.role(key.slot), key.port);
        let Some(track) = self.tracks.get(&key) else { return prior };
        match (prior, track.manner()) {
            (SourceClass::NlbUndecided, Manner::ProbesOnly | Manner::Clockwork) => SourceClass::NlbProbe,
            // Clients carry a node's address after all, as those of PrivateLink do whatever the setting.
            (SourceClass::NlbProbe, Manner::Mixed | Manner::ClientsOnly) if track.total.clients >= ENOUGH => {
                SourceClass::NlbUndecided
            }
            // Encryption hides who they are. That they are clients, only their number proves: a few of them in no rhythm may as
            // well be health checks of many checkers or on a bad path, and a second rhythm may be the connectivity tests with
            // which a node tries the targets of a TLS listener. So a few encrypted clients leave the prior in force.
            (SourceClass::NlbProbe, Manner::Hidden | Manner::Clockwork) if track.is_crowded => {
                SourceClass::NlbUndecided
            }
            (prior, _) => prior,
        }
    }

    /// Whether only the number of its encrypted connections says that clients carry a source's address, against what was given.
    pub fn is_told_by_number(&self, key: TallyKey, sources: &SourceTable) -> bool {
        let prior = self.priors().classify(sources.role(key.slot), key.port);
        let is_crowded = |track: &Track| track.is_crowded && track.manner().is_encrypted();
        prior == SourceClass::NlbProbe && self.tracks.get(&key).is_some_and(is_crowded)
    }

    /// Whether only its rhythm says that a source probes, and nothing that it said or was named.
    pub fn is_told_by_rhythm(&self, key: TallyKey, sources: &SourceTable) -> bool {
        let prior = self.priors().classify(sources.role(key.slot), key.port);
        let manner = self.tracks.get(&key).map(Track::manner);
        (prior, manner) == (SourceClass::NlbUndecided, Some(Manner::Clockwork))
    }

    /// What each source did, by slot and port.
    pub fn tracks(&self) -> impl Iterator<Item = (TallyKey, &Track)> {
        self.tracks.iter().map(|(key, track)| (*key, track))
    }

    /// What one source did on one port.
    pub fn track(&self, key: TallyKey) -> Option<&Track> {
        self.tracks.get(&key)
    }

    /// Trouble of one kind: `failing` counts the failed attempts in a step, `passing` those that came through.
    ///
    /// It ends when attempts came through and none failed for two intervals, or none failed for a whole window: a
    /// rule that drops every other packet must not make the finding flap.
    pub fn trouble(
        &self,
        track: &Track,
        now: Duration,
        failing: impl Fn(&Tally) -> u64,
        passing: impl Fn(&Tally) -> u64,
    ) -> Option<Trouble> {
        let (mut failed, mut passed, mut last_failure, mut passed_since) = (0, 0, None, 0);
        for (at, step) in track.since(now.saturating_sub(self.window())) {
            let (failures, passes) = (failing(step), passing(step));
            failed += failures;
            passed += passes;
            if failures > 0 {
                last_failure = Some(at);
                passed_since = 0;
            }
            passed_since += passes;
        }
        let quiet = now.saturating_sub(last_failure?);
        if passed_since > 0 && quiet > 2 * self.common_interval() {
            return None;
        }
        Some(Trouble { failed, of: failed + passed })
    }

    /// From now on the stages behind `answered` of `port` are followed on `local_port`; where that is the same, no longer anywhere
    /// else.
    pub fn follow(&mut self, port: u16, local_port: u16) {
        self.translated.follow(port, local_port);
    }

    /// Where the connections of a watched port end up: itself, or the port it is translated to.
    pub fn local_port(&self, port: u16) -> u16 {
        self.translated.followed(port).unwrap_or(port)
    }
}
