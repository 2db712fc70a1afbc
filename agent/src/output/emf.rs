//! For CloudWatch: one document per target and interval in the embedded metric format, from which CloudWatch Logs makes
//! metrics. It holds no address, and two dimensions only, because each combination of dimensions is billed.

use serde::Serialize;

use crate::{
    domain::{
        class::SourceClass,
        finding::Code,
        identity::{Identity, Naming},
        verdict::State,
        workload::Workload,
    },
    output::{json::SCHEMA, view::Row},
};

/// Time between two documents where the operator names none.
pub const INTERVAL: std::time::Duration = std::time::Duration::from_secs(60);

/// Namespace of the metrics.
pub const NAMESPACE: &str = "HealthCheckTracer";

/// What stands where the platform does not tell: the set of dimensions is always the same, so that one dashboard and one
/// alarm find every agent.
pub const UNKNOWN: &str = "unknown";

/// Longest dimension, in characters: what ECS allows for a name. CloudWatch would take 1024.
const MAX_DIMENSION: usize = 255;

/// Longest name of a network namespace that is printed whole: paths may have 4096 bytes.
const MAX_NETNS: usize = 1024;

/// All that a document says.
#[derive(Clone, Debug)]
pub struct Document<'a> {
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// What the operator calls them.
    pub naming: &'a Naming,
    /// Whose metrics these are, as the agent's own task and host tell.
    pub identity: &'a Identity,
    /// The same of a target that was found on the node.
    pub workload: &'a Workload,
    /// Network namespace; `None` for the agent's own.
    pub netns: Option<&'a str>,
    /// What was seen; `None` while the target cannot be observed.
    pub observed: Option<Observed>,
    /// Lines about sources and findings that were left out since the document before.
    pub lines_left_out: u64,
}

/// What was seen since the document before.
#[derive(Clone, Debug)]
pub struct Observed {
    /// How long that is, in seconds.
    pub window_seconds: f64,
    /// The answer.
    pub verdict: State,
    /// What was counted.
    pub counts: Counts,
    /// Open findings.
    pub findings: Vec<Code>,
    /// What the agent itself lost since its start.
    pub lost: u64,
}

/// SYNs within the window, by what they are known to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Health checks'.
    pub probe_arrived: u64,
    /// Clients'.
    pub client_arrived: u64,
    /// From NLB nodes, not told apart.
    pub undecided_arrived: u64,
    /// From senders that no flag names.
    pub other_arrived: u64,
    /// Dropped on this host after they arrived, whoever sent them.
    pub dropped: u64,
    /// Answered with RST, whoever sent them.
    pub refused: u64,
}

impl Counts {
    /// Sums up what each source did. A SYN from a node that sends both kinds is told by how its connection ended.
    pub fn of(rows: &[Row]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            let tally = &row.tally;
            match row.class {
                SourceClass::NlbProbe => counts.probe_arrived += tally.arrived,
                SourceClass::Client | SourceClass::ClientViaNlb => counts.client_arrived += tally.arrived,
                SourceClass::NlbUndecided => {
                    counts.probe_arrived += tally.probes();
                    counts.client_arrived += tally.clients;
                    counts.undecided_arrived += tally.arrived.saturating_sub(tally.probes() + tally.clients);
                }
                SourceClass::Other => counts.other_arrived += tally.arrived,
            }
            counts.dropped += tally.dropped();
            counts.refused += tally.refused;
        }
        counts
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(rename = "_aws")]
    aws: Aws,
    schema: u32,
    kind: &'static str,
    #[serde(rename = "ClusterName")]
    cluster: String,
    #[serde(rename = "ServiceName")]
    service: String,
    #[serde(rename = "Heartbeat")]
    heartbeat: u8,
    #[serde(flatten)]
    values: Option<Values>,
    verdict: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    lines_left_out: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Aws {
    timestamp: u64,
    cloud_watch_metrics: [Directive; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Directive {
    namespace: &'static str,
    dimensions: [[&'static str; 2]; 1],
    metrics: Vec<Metric>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    name: &'static str,
    unit: &'static str,
}

#[derive(Serialize)]
struct Values {
    #[serde(rename = "Fault")]
    fault: u8,
    #[serde(rename = "ProbeSynArrived")]
    probe_arrived: u64,
    #[serde(rename = "ClientSynArrived")]
    client_arrived: u64,
    #[serde(rename = "SynDropped")]
    dropped: u64,
    #[serde(rename = "SynRefused")]
    refused: u64,
    #[serde(skip_serializing_if = "is_zero")]
    undecided_syn_arrived: u64,
    #[serde(skip_serializing_if = "is_zero")]
    other_syn_arrived: u64,
    window_seconds: f64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    findings: Vec<Code>,
    #[serde(skip_serializing_if = "is_zero")]
    lost: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Metrics of a target that is observed; of one that is not, the first alone.
const METRICS: [&str; 6] =
    ["Heartbeat", "Fault", "ProbeSynArrived", "ClientSynArrived", "SynDropped", "SynRefused"];

/// The document, one line.
pub fn document(document: Document<'_>) -> String {
    let Document { timestamp_ms, naming, identity, workload, netns, observed, lines_left_out } = document;
    let cluster = naming.cluster.as_deref().or(workload.cluster()).or(identity.cluster.as_deref());
    // The family is what a task without a service is known by, and all that the container agent tells of another one.
    let discovered =
        workload.family.as_deref().or(identity.service.as_deref()).or(identity.family.as_deref());
    let service = naming.service.as_deref().or(discovered);
    let names = if observed.is_some() { &METRICS[..] } else { &METRICS[..1] };
    let metrics = names.iter().map(|name| Metric { name, unit: "Count" }).collect();
    let line = Line {
        aws: Aws {
            timestamp: timestamp_ms,
            cloud_watch_metrics: [Directive {
                namespace: NAMESPACE,
                dimensions: [["ClusterName", "ServiceName"]],
                metrics,
            }],
        },
        schema: SCHEMA,
        kind: "metrics",
        cluster: dimension(cluster),
        service: dimension(service),
        heartbeat: observed.is_some().into(),
        verdict: observed.as_ref().map_or(State::CannotObserve, |observed| observed.verdict),
        values: observed.map(|Observed { window_seconds, verdict, counts, findings, lost }| Values {
            fault: (verdict == State::Fault).into(),
            probe_arrived: counts.probe_arrived,
            client_arrived: counts.client_arrived,
            dropped: counts.dropped,
            refused: counts.refused,
            undecided_syn_arrived: counts.undecided_arrived,
            other_syn_arrived: counts.other_arrived,
            window_seconds,
            findings,
            lost,
        }),
        netns: netns.map(|name| &name[..name.floor_char_boundary(MAX_NETNS)]),
        task: workload.task_id(),
        pod: workload.pod.as_deref(),
        lines_left_out,
    };
    // Only maps with keys that are not strings can fail to encode, and there are none.
    let mut text = serde_json::to_string(&line).unwrap_or_default();
    text.push('\n');
    text
}

/// A name for a dimension that is taken as it is.
///
/// # Errors
///
/// One line that says what is wrong.
pub fn parse_dimension(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        return Err("an empty name is none: leave the flag out, and what is discovered holds".to_owned());
    }
    if dimension(Some(text)) != text {
        return Err(format!(
            "{} is no name of a dimension: printable ASCII without blanks around it, at most {MAX_DIMENSION} characters",
            text.escape_debug()
        ));
    }
    Ok(text.to_owned())
}

/// CloudWatch takes printable ASCII, and nothing that is blank.
fn dimension(value: Option<&str>) -> String {
    let printable = |letter: char| if matches!(letter, ' '..='~') { letter } else { '?' };
    let text: String = value.unwrap_or_default().chars().take(MAX_DIMENSION).map(printable).collect();
    let text = text.trim();
    if text.is_empty() { UNKNOWN.to_owned() } else { text.to_owned() }
}

#[cfg(test)]
#[path = "emf_rules.rs"]
mod rules;
#[cfg(test)]
#[path = "emf_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "emf_cost_tests.rs"]
mod cost_tests;
