//! One target that is being watched: what was seen of it so far, and what follows from it.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use ipnet::IpNet;

use crate::{
    domain::{
        class::Role,
        diagnosis::{
            Case, Expected, Kinds, Translation, corrections, diagnose, expected, misses_probes, next_look,
            translation,
        },
        finding::{Code, Finding},
        history::History,
        learning::Learning,
        ledger::{Ledger, State as FindingState},
        sample::{Loss, TallyKey},
        site::Site,
        sources::{OTHER_SLOT, Origin, SourceError, SourceTable},
        tally::Tally,
        totals::Totals,
        verdict::{State, Verdict, hangs, judge},
    },
    kernel::observer::{ObserveError, Observer},
    run::recorder::Recorder,
};

/// Probes of every expected source that must be served before health is sure.
const PROBES_OF_HEALTH: u64 = 2;

/// Examples of senders nobody named, for a hint.
const EXAMPLES: usize = 3;

/// Everything about one target while it is watched.
pub struct Watching {
    /// The kernel's side.
    pub observer: Observer,
    /// Who may send.
    pub sources: SourceTable,
    history: History,
    ledger: Ledger,
    began: Instant,
    hunting: bool,
    /// Where the NLB's nodes may be; nothing where the operator named an NLB, even if no node of it is known.
    learning: Option<Learning>,
    /// Nodes that found no slot.
    crowded_out: BTreeSet<IpAddr>,
    /// Senders named by no flag.
    strangers: BTreeSet<IpAddr>,
    /// Tallies as they were at earlier reports, oldest first.
    snapshots: VecDeque<(Duration, BTreeMap<TallyKey, Tally>)>,
    /// Counts that only grow, where somebody may ask for them.
    totals: Option<Totals>,
    recorder: Recorder,
}

/// What a report is made of.
pub struct Summary<'a> {
    /// Everything a conclusion may rest on.
    pub case: Case<'a>,
    /// Tallies at the begin of the report's window.
    pub before: BTreeMap<TallyKey, Tally>,
    /// Length of the window.
    pub window: Duration,
    /// Open findings, since when.
    pub findings: Vec<(Duration, &'a Finding)>,
    /// Answer.
    pub verdict: Verdict,
    /// What the agent failed to record.
    pub loss: Loss,
    /// What it could tell if told more.
    pub hints: Vec<String>,
}

/// The kernel sends a peer one ICMP message a second, once it has sent it a few (`net.ipv4.icmp_ratelimit`, 1000 ms).
const ONE_ICMP: Duration = Duration::from_millis(1200);

impl Watching {
    /// Begins with what the observer sees from now on.
    pub fn new(
        observer: Observer,
        sources: SourceTable,
        mut history: History,
        learning: Option<Learning>,
        mut recorder: Recorder,
    ) -> Self {
        recorder.note("watch", &history.watch);
        recorder.note("sources", &sources);
        recorder.sample(observer.baseline());
        history.observe(observer.baseline().clone(), &sources);
        Self {
            observer,
            sources,
            history,
            ledger: Ledger::default(),
            began: Instant::now(),
            hunting: false,
            learning,
            crowded_out: BTreeSet::new(),
            strangers: BTreeSet::new(),
            snapshots: VecDeque::from([(Duration::ZERO, BTreeMap::new())]),
            totals: None,
            recorder,
        }
    }

    /// Where it is, as is known by now.
    pub fn place(&mut self, site: Site) {
        self.history.watch.site = site;
    }

    /// The agent is told to stop as a task is.
    pub fn stop(&mut self) {
        self.recorder.note("stop", &true);
        self.history.stop();
    }

    /// Reads the kernel once, concludes, and returns what changed.
    ///
    /// # Errors
    ///
    /// When the target is gone or cannot be read.
    pub fn step(&mut self) -> Result<Vec<(FindingState, Finding)>, ObserveError> {
        let sample = self.observer.sample(self.began, &self.sources)?;
        // Conclusions are about the moment of the reading, whatever the way to it and what follows take: a SYN that came
        // later is not missing.
        let now = sample.at;
        self.recorder.note("blind_spots", &self.observer.blind_spots());
        self.recorder.note("sources", &self.sources);
        self.recorder.sample(&sample);
        self.history.observe(sample, &self.sources);
        self.learn(now)?;
        self.follow_translation(now)?;
        self.observer.hunt_strays(misses_probes(&self.case(now)))?;
        self.recorder.note("sources", &self.sources);
        if let Some(totals) = &mut self.totals {
            totals.update(&self.history, &self.sources);
        }
        let findings = diagnose(&self.case(now));
        Ok(self.ledger.update(now, findings))
    }

    /// Names further nodes.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn name_nodes(&mut self, nodes: impl Iterator<Item = (IpAddr, Origin)>) -> Result<(), ObserveError> {
        let now = self.began.elapsed();
        let mut changed = false;
        for (address, origin) in nodes {
            match self.sources.add(IpNet::from(address), Role::Node, origin, now) {
                Ok(added) => changed |= added,
                // Named as a client: the operator knows better than DNS.
                Err(SourceError::TwoRoles { .. }) => {}
                Err(SourceError::Full { .. }) => changed |= self.crowded_out.insert(address),
            }
        }
        if changed { self.observer.set_sources(&self.sources, self.crowded_out.len() as u64) } else { Ok(()) }
    }

    /// Gives nodes in large prefixes a tally of their own, once they send; and learns who is a node, where nobody said it.
    fn learn(&mut self, now: Duration) -> Result<(), ObserveError> {
        let mut nodes = Vec::new();
        for sender in self.observer.senders().recent()? {
            if sender.slot == OTHER_SLOT {
                if self.strangers.len() < EXAMPLES {
                    self.strangers.insert(sender.address);
                }
                continue;
            }
            let of = self.sources.of_slot(sender.slot);
            if of.is_some_and(|source| source.is_shared() && source.role == Role::Node) {
                nodes.push((sender.address, Origin::Learned));
            }
        }
        if !nodes.is_empty() {
            log::debug!("learned at {} s: {nodes:?}", now.as_secs());
        }
        self.name_nodes(nodes.into_iter())?;
        let Some(learning) = &self.learning else { return Ok(()) };
        let (said, mute) = self.observer.senders().checkers()?;
        if learning.take_in(&mut self.sources, &self.history, (&said, &mute), now) {
            self.observer.set_sources(&self.sources, self.crowded_out.len() as u64)?;
        }
        Ok(())
    }

    /// Follows connections on the local ports that watched ports are translated to, as long as they are.
    fn follow_translation(&mut self, now: Duration) -> Result<(), ObserveError> {
        let ports = self.history.watch.ports.clone();
        let mut followed = Vec::new();
        let (mut hunt, mut changed) = (false, false);
        for port in ports {
            let found = translation(&self.case(now), port);
            hunt |= matches!(found, Translation::Hidden | Translation::Likely);
            let local = if let Translation::To(local) = found { local } else { port };
            if self.history.local_port(port) != local {
                changed = true;
                self.history.follow(port, local);
                self.recorder.note("follow", &(port, local));
            }
            if local != port {
                followed.push((port, local));
            }
        }
        if changed {
            self.observer.follow(&followed)?;
        }
        if hunt != self.hunting {
            self.hunting = hunt;
            self.observer.hunt_translation(hunt)?;
        }
        Ok(())
    }

    /// Keeps counts by class from now on that only grow.
    pub fn keep_totals(&mut self) {
        self.totals = Some(Totals::default());
    }

    /// Counts by class, where they are kept.
    pub const fn totals(&self) -> Option<&Totals> {
        self.totals.as_ref()
    }

    /// The open findings with the time each opened, and the time of the latest look.
    pub fn open_since(&self) -> (Duration, Vec<(Duration, &Finding)>) {
        (self.history.at(), self.ledger.open())
    }

    /// How soon another look would tell what is wrong.
    pub fn next_look(&self) -> Option<Duration> {
        next_look(&self.case(self.history.at()))
    }

    /// What is open now.
    pub fn open(&self) -> Vec<&Finding> {
        self.ledger.open().into_iter().map(|(_, finding)| finding).collect()
    }

    /// Whether the verdict is sure enough to end: a fault that is more than suspected, or health of every source
    /// that is expected, seen twice, while nothing hangs.
    pub fn is_sure(&self) -> bool {
        let summary = self.summary();
        match summary.verdict.state {
            // What refuses by ICMP may seem to drop at first.
            State::Fault => {
                let drops = self.open().iter().any(|finding| finding.code == Code::HostFirewall);
                !drops || self.history.at() > ONE_ICMP
            }
            State::Healthy => {
                let is_served =
                    |node: &Expected| node.kinds != Kinds::Hidden && node.served() >= PROBES_OF_HEALTH;
                expected(&summary.case).iter().all(is_served) && !hangs(&summary.case)
            }
            State::Inconclusive | State::CannotObserve => false,
        }
    }

    /// Whether it was watched as long as any conclusion takes.
    pub fn has_waited(&self) -> bool {
        self.history.at() >= self.history.window()
    }

    fn case(&self, now: Duration) -> Case<'_> {
        Case { history: &self.history, sources: &self.sources, now, open: &self.ledger }
    }

    /// Everything there is to report, about the time since the oldest snapshot up to the latest look.
    pub fn summary(&self) -> Summary<'_> {
        let now = self.history.at();
        let case = self.case(now);
        let findings = self.ledger.open();
        let open: Vec<Finding> = findings.iter().map(|(_, finding)| (*finding).clone()).collect();
        let verdict = judge(&case, &open, self.observer.blind_spots());
        let (from, before) = self.snapshots.front().cloned().unwrap_or_default();
        let hints = self.hints();
        Summary { case, before, window: now - from, findings, verdict, loss: self.history.loss(), hints }
    }

    /// Chooses the begin of the next report's window: the report before, so that windows follow one another without
    /// overlap, or with `sliding` that long ago at least.
    pub fn begin_report(&mut self, sliding: Option<Duration>) {
        let now = self.began.elapsed();
        let is_old_enough = |at: Duration| match sliding {
            None => true,
            // A picture that comes a moment early must not be about a longer time.
            Some(length) => now - at + length / 20 >= length,
        };
        while self.snapshots.get(1).is_some_and(|(at, _)| is_old_enough(*at)) {
            self.snapshots.pop_front();
        }
    }

    /// Remembers the tallies as they are now, for the windows of later reports.
    pub fn end_report(&mut self) {
        let tallies = self.history.tracks().map(|(key, track)| (key, track.total.clone())).collect();
        self.snapshots.push_back((self.history.at(), tallies));
    }

    fn hints(&self) -> Vec<String> {
        let mut hints = Vec::new();
        let has = |role| self.sources.iter().any(|source| source.role == role);
        if !has(Role::Node) && self.learning.is_none() {
            hints.push(
                "the NLB's name has no address yet that can send to this interface: is the name right, and of this \
                 interface's address family?"
                    .to_owned(),
            );
        } else if !has(Role::Node) {
            hints.push(
                "no NLB is named, so probes cannot be told from clients nor missed: add --nlb with its DNS name or its \
                 nodes' addresses, and --client with the prefixes of clients that keep their address"
                    .to_owned(),
            );
        }
        let strangers: Vec<String> = self.strangers.iter().map(IpAddr::to_string).collect();
        let is_named = self.sources.iter().any(|source| source.is_named() && source.role == Role::Node);
        if is_named && !strangers.is_empty() {
            hints.push(format!(
                "SYNs come from senders that no flag names, such as {}: name them with --client or --nlb if they matter",
                strangers.join(", ")
            ));
        }
        hints.extend(corrections(&self.case(self.history.at())));
        hints
    }
}
