//! Every finding twice: where the fault exists and is named, and where something looks like it and nothing is said.

mod absence;
mod accept;
mod advice;
mod allowance;
mod cookies;
mod drops;
mod duplicate;
mod endings;
mod hairpin;
mod header;
mod health_port;
mod listener;
mod looks;
mod netfilter;
mod other_port;
mod overturned;
mod priors;
mod properties;
mod redirects;
mod replies;
mod return_route;
mod rhythm;
mod served;
mod shared;
mod shared_silence;
mod silence;
mod start;
mod tls;
mod verdicts;
mod watched_late;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::domain::{
    class::{ClientIp, Priors, Role},
    conntrack::Conntrack,
    diagnosis::{Case, diagnose, next_look},
    finding::{Code, Confidence, Finding, Severity},
    history::{History, Watch},
    host_counters::HostCounters,
    ledger::Ledger,
    reason::Reason,
    rules::{Rule, Rules},
    sample::{BlindSpot, Listener, Sample, TallyKey},
    sources::{OTHER_SLOT, Origin, SourceTable},
    tally::{Dropped, Tally},
    verdict::{State, Verdict, judge},
};

const PORT: u16 = 8080;
const TASK: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 32, 10));
const NODE_A: TallyKey = TallyKey { slot: 1, port: PORT };
const NODE_B: TallyKey = TallyKey { slot: 2, port: PORT };
const CLIENTS: TallyKey = TallyKey { slot: 3, port: PORT };
const STRANGERS: TallyKey = TallyKey { slot: OTHER_SLOT, port: PORT };
const INTERVAL: Duration = Duration::from_secs(10);

/// A target and what happens to it, second by second.
struct Story {
    history: History,
    sources: SourceTable,
    sample: Sample,
    ledger: Ledger,
}

impl Story {
    /// Two nodes that probe every ten seconds, a client prefix, one listener, an interface that receives.
    fn new() -> Self {
        let mut sources = SourceTable::new(100);
        for (prefix, role) in
            [("10.0.1.23/32", Role::Node), ("10.0.2.31/32", Role::Node), ("10.0.16.0/20", Role::Client)]
        {
            sources.add(prefix.parse().expect("a prefix"), role, Origin::Flag, Duration::ZERO).expect("room");
        }
        Self::with(sources)
    }

    /// Nobody is named.
    fn without_names() -> Self {
        Self::with(SourceTable::new(100))
    }

    fn with(sources: SourceTable) -> Self {
        let watch = Watch {
            addresses: vec![TASK],
            ports: vec![PORT],
            priors: Priors { client_ip: ClientIp::Preserved, ..Priors::default() },
            health_interval: Some(INTERVAL),
            ..Watch::default()
        };
        let zeros = HostCounters {
            listen_overflows: Some(0),
            listen_drops: Some(0),
            out_no_routes: Some(0),
            syncookies_sent: Some(0),
            interface_packets: Some(0),
            ..HostCounters::default()
        };
        let sample = Sample {
            host: zeros,
            listeners: Some(vec![listener(Ipv4Addr::UNSPECIFIED.into())]),
            ..Sample::default()
        };
        let mut history = History::new(watch);
        history.observe(sample.clone(), &sources);
        Self { history, sources, sample, ledger: Ledger::default() }
    }

    /// Lets seconds pass; `each` is called in every one of them, with its number.
    fn pass(&mut self, seconds: u64, mut each: impl FnMut(&mut Self, u64)) {
        for _ in 0..seconds {
            self.sample.at += Duration::from_secs(1);
            let second = self.sample.at.as_secs();
            self.count(|host| &mut host.interface_packets, 3);
            each(self, second);
            self.history.observe(self.sample.clone(), &self.sources);
        }
    }

    /// Another reading so soon, in which nothing changed.
    fn after(&mut self, time: Duration) {
        self.sample.at += time;
        self.history.observe(self.sample.clone(), &self.sources);
    }

    /// As [`Story::pass`], in the rhythm of the probes only.
    fn probes(&mut self, seconds: u64, mut each: impl FnMut(&mut Self)) {
        self.pass(seconds, |story, second| {
            if second.is_multiple_of(INTERVAL.as_secs()) {
                each(story);
            }
        });
    }

    fn tally(&mut self, key: TallyKey) -> &mut Tally {
        self.sample.tallies.entry(key).or_default()
    }

    fn count(&mut self, counter: impl Fn(&mut HostCounters) -> &mut Option<u64>, by: u64) {
        let counter = counter(&mut self.sample.host);
        *counter = Some(counter.unwrap_or(0) + by);
    }

    /// A connection that comes to a good end.
    fn serve(&mut self, key: TallyKey) {
        let tally = self.tally(key);
        tally.arrived += 1;
        tally.synacks += 1;
        tally.established += 1;
        tally.served += 1;
    }

    /// A SYN that arrives and is not accounted for.
    fn arrive(&mut self, key: TallyKey) {
        self.tally(key).arrived += 1;
    }

    /// A SYN that arrives and is dropped.
    fn drop(&mut self, key: TallyKey, reason: &'static str) {
        self.arrive(key);
        self.note_drop(key, Dropped::Syn, reason);
    }

    fn note_drop(&mut self, key: TallyKey, what: Dropped, reason: &'static str) {
        *self.tally(key).drops.entry((what, Reason(reason))).or_default() += 1;
    }

    fn case(&self) -> Case<'_> {
        Case { history: &self.history, sources: &self.sources, now: self.sample.at, open: &self.ledger }
    }

    fn findings(&self) -> Vec<Finding> {
        diagnose(&self.case())
    }

    /// Code, confidence and sources of each finding, but for the note that no client came: few of these stories have any.
    fn conclusions(&self) -> Vec<(Code, Confidence, Vec<String>)> {
        let is_quiet =
            |finding: &Finding| (finding.code, finding.severity) == (Code::ClientsMissing, Severity::Note);
        let told = |finding: Finding| (finding.code, finding.confidence, finding.sources);
        self.findings().into_iter().filter(|finding| !is_quiet(finding)).map(told).collect()
    }

    fn verdict(&self, blind_spots: &[BlindSpot]) -> Verdict {
        judge(&self.case(), &self.findings(), blind_spots)
    }
}

fn listener(address: IpAddr) -> Listener {
    Listener { address, port: PORT, v6_only: false, backlog: 0, backlog_limit: 128 }
}

/// Both nodes, whose clients carry their address as far as anybody knows.
fn shared() -> Story {
    let mut story = Story::new();
    story.history.watch.priors.client_ip = ClientIp::Auto;
    story
}

/// A connection that behaved like a health check and was served.
fn probe(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).probes_served += 1;
}

/// One that behaved like a client's.
fn client(story: &mut Story, key: TallyKey) {
    story.serve(key);
    story.tally(key).clients += 1;
}

fn class(story: &Story, key: TallyKey) -> &'static str {
    story.history.class(key, &story.sources).name()
}

fn nodes(labels: &[&str]) -> Vec<String> {
    labels.iter().map(|label| (*label).to_owned()).collect()
}

const A: &str = "10.0.1.23";
const B: &str = "10.0.2.31";
const CLIENT_PREFIX: &str = "10.0.16.0/20";

#[test]
fn a_healthy_service_under_load_has_no_findings() {
    let mut story = Story::new();
    story.pass(100, |story, second| {
        (0..40).for_each(|_| story.serve(CLIENTS));
        if second % 10 == 0 {
            story.serve(NODE_A);
        }
        if second % 10 == 3 {
            story.serve(NODE_B);
        }
    });
    assert_eq!(story.conclusions(), []);
}

#[test]
fn every_finding_carries_evidence_and_advice() {
    let mut story = Story::new();
    story.sample.listeners = Some(Vec::new());
    story.probes(100, |story| {
        story.drop(NODE_A, "NETFILTER_DROP");
        story.drop(CLIENTS, "NO_SOCKET");
        story.tally(CLIENTS).refused += 1;
    });
    let findings = story.findings();
    assert!(findings.len() >= 3, "{findings:?}");
    for finding in findings {
        assert!(!finding.evidence.is_empty() && !finding.advice.is_empty(), "{finding:?}");
        let names: BTreeMap<_, _> = finding.evidence.iter().map(|fact| (fact.name, ())).collect();
        assert_eq!(names.len(), finding.evidence.len(), "a fact is named twice: {finding:?}");
    }
}
