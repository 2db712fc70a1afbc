//! For machines: one object per line, flat but for the named maps and lists.

use std::{collections::BTreeMap, num::NonZeroU64, time::Duration};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    domain::{
        class::SourceClass,
        common::CommonAbsence,
        finding::{Confidence, Finding},
        identity::Identity,
        ledger::State as FindingState,
        sample::{BlindSpot, Loss},
        stage::Stage,
        verdict::{State as VerdictState, Verdict},
        workload::Workload,
    },
    output::view::{Row, TargetLabel},
};

/// Version of the line formats.
pub const SCHEMA: u32 = 1;

/// What every line begins with.
#[derive(Clone, Debug, Serialize)]
pub struct Head<'a> {
    /// Version of the line formats.
    pub schema: u32,
    /// RFC 3339, UTC.
    pub time: &'a str,
    /// Which line.
    pub kind: &'static str,
    /// Network namespace path; absent for the agent's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub netns: Option<&'a str>,
    /// Interface.
    pub interface: &'a str,
    /// ECS task, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<&'a str>,
    /// Family of the task definition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<&'a str>,
    /// Uid of the Kubernetes pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<&'a str>,
    /// Container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container: Option<&'a str>,
}

impl<'a> Head<'a> {
    /// The head of a line about a target.
    pub fn new(time: &'a str, kind: &'static str, target: &'a TargetLabel) -> Self {
        let Workload { task, family, pod, container } = &target.workload;
        Self {
            schema: SCHEMA,
            time,
            kind,
            netns: target.netns.as_deref(),
            interface: &target.interface,
            task: task.as_deref(),
            family: family.as_deref(),
            pod: pod.as_deref(),
            container: container.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Line<'a, T> {
    #[serde(flatten)]
    head: Head<'a>,
    #[serde(flatten)]
    body: T,
}

/// The first line.
#[derive(Clone, Debug, Serialize)]
pub struct Start<'a> {
    /// Version of the agent.
    pub version: &'a str,
    /// Release of the running kernel.
    pub kernel: &'a str,
    /// First address of the interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<&'a str>,
    /// Why this interface and these ports.
    pub choices: &'a [String],
    /// Who the task is and where it lives.
    #[serde(flatten)]
    pub identity: &'a Identity,
    /// What could not be found out about that, and why.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub discovery_notes: &'a [String],
    /// Watched ports.
    pub ports: &'a [u16],
    /// Prefixes named as clients.
    pub clients: Vec<String>,
    /// Addresses and prefixes named as NLB nodes.
    pub nlb: Vec<String>,
    /// What is hooked up.
    pub hooks: &'a [String],
    /// Programs and filters of somebody else on the interface.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub other_programs: &'a [String],
    /// What cannot be seen.
    pub blind_spots: Vec<Blind<'a>>,
}

/// A blind spot.
#[derive(Clone, Debug, Serialize)]
pub struct Blind<'a> {
    id: &'a str,
    stages: Vec<Stage>,
    text: &'a str,
}

/// Blind spots for a line.
pub fn blind(spots: &[BlindSpot]) -> Vec<Blind<'_>> {
    spots.iter().map(|spot| Blind { id: spot.id, stages: spot.stages.clone(), text: &spot.text }).collect()
}

#[derive(Serialize)]
struct Report<'a> {
    port: u16,
    class: SourceClass,
    #[serde(skip_serializing_if = "Option::is_none")]
    class_confidence: Option<Confidence>,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    learned: Option<Confidence>,
    window_seconds: f64,
    arrived: u64,
    dropped: u64,
    refused: u64,
    admitted: u64,
    answered: u64,
    established: u64,
    served: u64,
    synack_retransmits: u64,
    probes_ended: u64,
    probes_served: u64,
    clients_ended: u64,
    /// Only where there are some.
    #[serde(skip_serializing_if = "Option::is_none")]
    probes_lost: Option<NonZeroU64>,
    #[serde(flatten)]
    rhythm: Option<Heard>,
    drop_reasons: BTreeMap<&'static str, u64>,
}

/// The learned rhythm of a source's health checks; left out while none is.
#[derive(Serialize)]
struct Heard {
    rhythm_seconds: f64,
    rhythm_jitter_seconds: f64,
    rhythm_per_interval: u32,
    rhythm_next_seconds: f64,
}

/// `start`
pub fn start(head: Head<'_>, body: &Start<'_>) -> String {
    encode(&Line { head, body })
}

/// `report`: one source on one port.
pub fn report(head: Head<'_>, row: &Row, window: Duration) -> String {
    let body = Report {
        port: row.port,
        class: row.class,
        class_confidence: row.is_told_by_rhythm.then_some(Confidence::Inferred),
        source: &row.source,
        learned: row.learned,
        window_seconds: seconds(window),
        arrived: row.tally.arrived,
        dropped: row.tally.dropped(),
        refused: row.tally.refused,
        admitted: row.stage(Stage::Admitted),
        answered: row.stage(Stage::Answered),
        established: row.tally.established,
        served: row.tally.served,
        synack_retransmits: row.tally.synack_retransmits,
        probes_ended: row.tally.probes(),
        probes_served: row.tally.probes_served,
        clients_ended: row.tally.clients,
        probes_lost: NonZeroU64::new(row.tally.answers.probes_lost),
        rhythm: row.rhythm.map(|(beat, next)| Heard {
            rhythm_seconds: seconds(beat.interval),
            rhythm_jitter_seconds: seconds(beat.jitter),
            rhythm_per_interval: beat.per_interval,
            rhythm_next_seconds: seconds(next),
        }),
        drop_reasons: row.tally.drop_reasons(),
    };
    encode(&Line { head, body })
}

/// `finding`
pub fn finding(head: Head<'_>, state: FindingState, finding: &Finding) -> String {
    let mut body: Map<String, Value> = Map::new();
    body.insert("code".to_owned(), json!(finding.code));
    body.insert("state".to_owned(), json!(state));
    body.insert("severity".to_owned(), json!(finding.severity));
    body.insert("confidence".to_owned(), json!(finding.confidence));
    body.insert("class".to_owned(), json!(finding.class));
    if let Some(port) = finding.port {
        body.insert("port".to_owned(), json!(port));
    }
    body.insert("sources".to_owned(), json!(finding.sources));
    body.insert("stage".to_owned(), json!(finding.stage));
    body.insert("place".to_owned(), json!(finding.place));
    body.insert("summary".to_owned(), json!(finding.summary));
    body.insert("advice".to_owned(), json!(finding.advice));
    let mut origins: Vec<_> = finding.evidence.iter().map(|fact| fact.origin.name()).collect();
    origins.sort_unstable();
    origins.dedup();
    body.insert("evidence_origins".to_owned(), json!(origins));
    for fact in &finding.evidence {
        body.insert(fact.name.to_owned(), json!(fact.value));
    }
    encode(&Line { head, body })
}

/// `verdict`
pub fn verdict(head: Head<'_>, verdict: &Verdict, hints: &[String]) -> String {
    let body = json!({
        "state": verdict.state,
        "reasons": verdict.reasons,
        "blind_spots": blind(&verdict.blind_spots),
        "hints": hints,
    });
    encode(&Line { head, body })
}

/// `loss`
pub fn loss(head: Head<'_>, loss: Loss) -> String {
    let body = json!({
        "drops": loss.drops,
        "elsewhere": loss.elsewhere,
        "strays": loss.strays,
        "probes": loss.probes,
        "recursion_misses": loss.recursion_misses,
        "sources": loss.sources,
        "output_lines": loss.output_lines,
        "shipping_lines": loss.shipping_lines,
    });
    encode(&Line { head, body })
}

/// `stop`
pub fn stop(head: Head<'_>, reason: &str, watched: Duration, summary: &str, verdict: VerdictState) -> String {
    let body = json!({
        "reason": reason,
        "watched_seconds": seconds(watched),
        "summary": summary,
        "verdict": verdict,
    });
    encode(&Line { head, body })
}

/// `common`: what several targets miss at once. A line about the node, not about one target.
pub fn common(time: &str, absence: &CommonAbsence, watched: usize, labels: &[&TargetLabel]) -> String {
    let target = |label: &&TargetLabel| {
        let mut target = json!({ "interface": label.interface });
        let Workload { task, container, pod, .. } = &label.workload;
        for (name, value) in [
            ("netns", &label.netns),
            ("address", &label.address),
            ("task", task),
            ("container", container),
            ("pod", pod),
        ] {
            if let Some(value) = value {
                target[name] = json!(value);
            }
        }
        target
    };
    let body = json!({
        "code": absence.code,
        "sources": absence.sources,
        "targets": labels.iter().map(target).collect::<Vec<_>>(),
        "targets_hit": absence.targets.len(),
        "targets_watched": watched,
        "summary": absence.summary(watched),
        "advice": absence.advice(),
    });
    let head = json!({ "schema": SCHEMA, "time": time, "kind": "common" });
    encode(&Both { head, body })
}

#[derive(Serialize)]
struct Both<A, B> {
    #[serde(flatten)]
    head: A,
    #[serde(flatten)]
    body: B,
}

fn seconds(time: Duration) -> f64 {
    time.as_millis() as f64 / 1000.0
}

/// Longest line, its end included.
pub const MAX_LINE_BYTES: usize = 16 * 1024;

fn encode<T: Serialize>(line: &T) -> String {
    // Only maps with keys that are not strings can fail to encode, and there are none.
    let mut text = serde_json::to_string(line).unwrap_or_default();
    if text.len() >= MAX_LINE_BYTES
        && let Ok(mut value) = serde_json::to_value(line)
    {
        value["truncated"] = json!(true);
        while text.len() >= MAX_LINE_BYTES && shorten(&mut value) {
            text = value.to_string();
        }
    }
    text.push('\n');
    text
}

/// Takes away the second half of the longest list or text. `false` when there is none to take from.
fn shorten(line: &mut Value) -> bool {
    let length = |value: &Value| match value {
        Value::Array(_) | Value::String(_) => value.to_string().len(),
        _ => 0,
    };
    let longest = line.as_object_mut().and_then(|line| line.values_mut().max_by_key(|value| length(value)));
    match longest {
        Some(Value::Array(items)) if items.len() > 1 => items.truncate(items.len() / 2),
        Some(Value::String(text)) if text.len() > 1 => {
            text.truncate(text.floor_char_boundary(text.len() / 2));
        }
        _ => return false,
    }
    true
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
