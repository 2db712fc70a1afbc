//! What a report shows, independent of its format.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::Case,
    finding::{Confidence, Finding},
    rhythm::Beat,
    sample::{Loss, TallyKey},
    sources::{Origin, Source},
    stage::{Place, Stage},
    tally::Tally,
    verdict::Verdict,
    workload::Workload,
};

/// One line of a report: a source, or a prefix, on one port.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Port.
    pub port: u16,
    /// Class.
    pub class: SourceClass,
    /// Address or prefix.
    pub source: String,
    /// What it did within the report's window.
    pub tally: Tally,
    /// The stage it does not reach, and where it dies, when a finding says so.
    pub trouble: Option<(Stage, Place)>,
    /// How regularly its health checks come, and in how long the next is due, where that can be told.
    pub rhythm: Option<(Beat, Duration)>,
    /// Whether nothing but its rhythm says its class.
    pub is_told_by_rhythm: bool,
    /// That it is a node was learned, and how sure that is.
    pub learned: Option<Confidence>,
}

impl Row {
    /// The count of a stage.
    pub fn stage(&self, stage: Stage) -> u64 {
        match stage {
            Stage::Arrived => self.tally.arrived,
            Stage::Admitted => self.tally.admitted(),
            Stage::Answered => self.tally.answered(),
            Stage::Established => self.tally.established,
            Stage::Served => self.tally.served,
        }
    }
}

/// A report: what happened within its window, and what is concluded.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The target, as a person would name it: interface, then address.
    pub target: &'a TargetLabel,
    /// How long the window is.
    pub window: Duration,
    /// How long the agent has watched.
    pub watched: Duration,
    /// Sources, by class.
    pub rows: Vec<Row>,
    /// Open findings with the time each opened.
    pub findings: Vec<(Duration, &'a Finding)>,
    /// Answer.
    pub verdict: &'a Verdict,
    /// What the agent failed to record.
    pub loss: Loss,
    /// What it could tell if told more.
    pub hints: Vec<String>,
    /// Whether findings come with their evidence.
    pub with_evidence: bool,
}

/// How a target is named in outputs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TargetLabel {
    /// Network namespace path; `None` for the agent's own.
    pub netns: Option<String>,
    /// Interface.
    pub interface: String,
    /// First address of the interface.
    pub address: Option<String>,
    /// Ports.
    pub ports: Vec<u16>,
    /// Who lives there.
    pub workload: Workload,
}

/// The rows of a report: what each source did since the report before. Named sources are always shown.
pub fn rows(
    case: &Case<'_>,
    before: &BTreeMap<TallyKey, Tally>,
    findings: &[(Duration, &Finding)],
) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut shown = Vec::new();
    for (key, track) in case.history.tracks() {
        let tally = before.get(&key).map_or_else(|| track.total.clone(), |before| track.total.since(before));
        let named = !matches!(case.sources.role(key.slot), Role::Other | Role::Own);
        if !named && tally.is_empty() {
            continue;
        }
        shown.push(key);
        let rhythm = case.history.rhythm(key, case.sources).and_then(|rhythm| rhythm.next(case.now));
        rows.push(row(case, key, tally, findings, rhythm));
    }
    let is_shown = |source: &&Source| !matches!(source.role, Role::Other | Role::Own);
    for source in case.sources.iter().filter(is_shown) {
        for port in &case.history.watch.ports {
            let keys = source.slot..source.slot + source.slots;
            if !shown.iter().any(|key| key.port == *port && keys.contains(&key.slot)) {
                let key = TallyKey { slot: source.slot, port: *port };
                let mut row = row(case, key, Tally::default(), findings, None);
                row.source = source.label();
                row.trouble = trouble(&row.source, row.class, *port, findings);
                rows.push(row);
            }
        }
    }
    rows.sort_by(|a, b| (a.port, a.class, &a.source).cmp(&(b.port, b.class, &b.source)));
    rows
}

/// What was seen in all: "lived 140 s, no SYN from any NLB node".
pub fn life(case: &Case<'_>) -> String {
    let mut counts: BTreeMap<Role, (u64, u64)> = BTreeMap::new();
    for (key, track) in case.history.tracks() {
        let (arrived, served) = counts.entry(case.sources.role(key.slot)).or_default();
        *arrived += track.total.arrived;
        *served += track.total.served;
    }
    let of = |role, whom: &str| match counts.get(&role) {
        Some((arrived, served)) if *arrived > 0 => format!("{arrived} SYNs from {whom}, {served} served"),
        _ => format!("no SYN from {whom}"),
    };
    let mut parts = vec![format!("lived {} s", case.now.as_secs())];
    let has = |role| case.sources.iter().any(|source| source.role == role);
    if has(Role::Node) {
        parts.push(of(Role::Node, "any NLB node"));
        parts.extend(never_heard(case));
    }
    if has(Role::Client) {
        parts.push(of(Role::Client, "any client"));
    }
    if case.sources.is_unnamed() || counts.get(&Role::Other).is_some_and(|(arrived, _)| *arrived > 0) {
        parts.push(of(Role::Other, "anybody else"));
    }
    parts.join(", ")
}

/// The nodes that were named one by one and never sent a SYN, where others did.
fn never_heard(case: &Case<'_>) -> Option<String> {
    let has_sent = |source: &Source| {
        let slots = source.slot..source.slot + source.slots;
        case.history.tracks().any(|(key, track)| slots.contains(&key.slot) && track.total.arrived > 0)
    };
    let nodes = case.sources.iter().filter(|source| source.role == Role::Node && !source.is_shared());
    let (heard, silent): (Vec<_>, Vec<_>) = nodes.partition(|source| has_sent(source));
    let silent: Vec<_> = silent.into_iter().take(MOST_NAMED).map(Source::label).collect();
    (!heard.is_empty() && !silent.is_empty()).then(|| format!("never one from {}", silent.join(", ")))
}

/// Nodes that are named in one line.
const MOST_NAMED: usize = 8;

fn row(
    case: &Case<'_>,
    key: TallyKey,
    tally: Tally,
    findings: &[(Duration, &Finding)],
    rhythm: Option<(Beat, Duration)>,
) -> Row {
    let source = case.sources.label(key.slot);
    let class = case.history.class(key, case.sources);
    let trouble = trouble(&source, class, key.port, findings);
    let is_told_by_rhythm = case.history.is_told_by_rhythm(key, case.sources);
    let learned = case.sources.of_slot(key.slot).filter(|source| source.role == Role::Node);
    let learned = learned.and_then(|source| match source.origin {
        Origin::Said => Some(Confidence::Inferred),
        Origin::Lookalike => Some(Confidence::Suspected),
        Origin::Flag | Origin::Dns(_) | Origin::OwnZone(_) | Origin::Learned | Origin::Interface => None,
    });
    Row { port: key.port, class, source, tally, trouble, rhythm, is_told_by_rhythm, learned }
}

/// A row of a shared address counts both kinds, and a finding may be about one of them.
const fn is_of_node(class: SourceClass) -> bool {
    matches!(class, SourceClass::NlbProbe | SourceClass::ClientViaNlb)
}

fn trouble(
    source: &str,
    class: SourceClass,
    port: u16,
    findings: &[(Duration, &Finding)],
) -> Option<(Stage, Place)> {
    findings
        .iter()
        .map(|(_, finding)| finding)
        .find(|finding| {
            (finding.is_fault() || finding.is_suspicion())
                && (finding.class == class
                    || (class == SourceClass::NlbUndecided && is_of_node(finding.class)))
                && finding.port.is_none_or(|hit| hit == port)
                && finding.sources.iter().any(|hit| hit == source)
        })
        .map(|finding| (finding.stage, finding.place))
}
