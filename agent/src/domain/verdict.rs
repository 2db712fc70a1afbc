//! The answer in one word, and why.

use std::time::Duration;

use serde::Serialize;

use crate::domain::{
    class::SourceClass,
    diagnosis::{
        Case, Expected, Kinds, Translation, doubt, expected, often_unfinished, translation, unaccounted,
    },
    finding::Finding,
    sample::BlindSpot,
    sources::Origin,
    stage::Stage,
    track::Track,
};

/// The answer in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Every expected path was seen and served, and nothing hid from the agent.
    Healthy,
    /// At least one fault is proven or inferred.
    Fault,
    /// Neither can be said.
    Inconclusive,
    /// Neither the arrival of SYNs nor the departure of answers can be seen.
    CannotObserve,
}

impl State {
    /// The name in every output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Fault => "fault",
            Self::Inconclusive => "inconclusive",
            Self::CannotObserve => "cannot_observe",
        }
    }
}

/// The answer and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The answer in one word.
    pub state: State,
    /// What keeps it from being `healthy`, or what makes it so.
    pub reasons: Vec<String>,
    /// What could not be seen.
    pub blind_spots: Vec<BlindSpot>,
}

/// Judges. `permanent` are the blind spots of this host; `findings` those that hold now.
pub fn judge(case: &Case<'_>, findings: &[Finding], permanent: &[BlindSpot]) -> Verdict {
    let mut blind_spots = permanent.to_vec();
    blind_spots.extend(translation_blind_spots(case, permanent));
    blind_spots.extend(unreadable(case));
    if covers(permanent, Stage::Arrived) && covers(permanent, Stage::Answered) {
        let reasons = vec!["neither arriving SYNs nor leaving SYN-ACKs can be seen".to_owned()];
        return Verdict { state: State::CannotObserve, reasons, blind_spots };
    }
    let faults: Vec<_> = findings.iter().filter(|finding| finding.is_fault()).collect();
    if !faults.is_empty() {
        let reasons = faults.iter().map(|finding| finding.summary.clone()).collect();
        return Verdict { state: State::Fault, reasons, blind_spots };
    }
    let mut reasons: Vec<String> = findings
        .iter()
        .filter(|finding| finding.is_suspicion())
        .map(|finding| format!("suspected: {}", finding.summary))
        .collect();
    reasons.extend(blind_spots.iter().map(|spot| spot.text.clone()));
    if case.history.lacks_records(case.now) {
        reasons.push("the agent itself lost records, see loss".to_owned());
    }
    reasons.extend(not_seen(case));
    reasons.extend(unexplained(case));
    if reasons.is_empty() {
        Verdict {
            state: State::Healthy,
            reasons: vec!["every expected source is served".to_owned()],
            blind_spots,
        }
    } else {
        Verdict { state: State::Inconclusive, reasons, blind_spots }
    }
}

/// Fewer than one open handshake in so many are those that are under way at any moment.
const UNDER_WAY: u64 = 20;

/// Whether attempts are open that may yet be held against this host: they are no trouble before they are old enough, and no
/// proof of health either.
pub fn hangs(case: &Case<'_>) -> bool {
    let is_open = |track: &Track| {
        let recent = case.recent(track);
        let open = recent.answered().saturating_sub(recent.established);
        (recent.arrived > 0 && recent.established == 0) || open * UNDER_WAY > recent.answered()
    };
    let groups = case.groups();
    let mut groups = groups.iter().filter(|group| case.concerns(group));
    groups.any(|group| group.members.iter().any(|(_, track)| is_open(track)))
}

fn covers(blind_spots: &[BlindSpot], stage: Stage) -> bool {
    blind_spots.iter().any(|spot| spot.stages.contains(&stage))
}

/// Ports whose connections end up out of sight.
fn translation_blind_spots(case: &Case<'_>, permanent: &[BlindSpot]) -> Vec<BlindSpot> {
    let spot = |port: &u16| {
        let text = match translation(case, *port) {
            Translation::Hidden => {
                format!("port {port} is redirected inside the host and its sockets cannot be seen from here")
            }
            // Where no handshake's end can be seen anyway, its lack says nothing.
            Translation::Likely if !covers(permanent, Stage::Established) => format!(
                "port {port} answers handshakes that are finished nowhere here, although something listens on it: it is \
                 redirected inside the host, to sockets that cannot be seen from here, or those who come break them off"
            ),
            _ => return None,
        };
        let stages = vec![Stage::Established, Stage::Served];
        Some(BlindSpot { id: "port_translated", stages, text })
    };
    case.history.watch.ports.iter().filter_map(spot).collect()
}

/// Tables and counters of the kernel that could not be read just now.
fn unreadable(case: &Case<'_>) -> Vec<BlindSpot> {
    let mut spots = Vec::new();
    if !case.history.reads_listeners() {
        spots.push(BlindSpot {
            id: "socket_table",
            stages: vec![Stage::Answered],
            text: "the socket table cannot be read (NETLINK_SOCK_DIAG): whether anything listens, and how full its \
                   accept queue is, cannot be seen"
                .to_owned(),
        });
    }
    if !case.history.reads_counters() {
        spots.push(BlindSpot {
            id: "netstat",
            stages: vec![Stage::Answered, Stage::Established],
            text: "the TCP counters cannot be read (/proc/net/netstat and snmp): a full accept queue or a missing route \
                   back cannot be told from a lost reply"
                .to_owned(),
        });
    }
    spots
}

/// Expected paths that were not seen, or not served, within the window.
fn not_seen(case: &Case<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    let nodes = expected(case);
    if nodes.is_empty() {
        reasons.push("no NLB node is known".to_owned());
    }
    reasons.extend(only_learned(&nodes));
    reasons.extend(doubt(case));
    // A sender in a named prefix that is not known to be a node is not waited for.
    for node in nodes.iter().filter(|node| node.has_rhythm || node.last.is_none()) {
        if node.recent.arrived == 0 {
            reasons.push(format!("no SYN from {} in the last {} s", node.label, window_seconds(case)));
        } else if node.kinds == Kinds::ToldApart && node.served() == 0 {
            reasons.push(format!(
                "{} health checks from {} in the last {} s, none served",
                node.recent.probes(),
                node.label,
                window_seconds(case)
            ));
        } else if node.recent.served == 0 {
            reasons.push(format!("{} SYNs from {} and none served yet", node.recent.arrived, node.label));
        }
    }
    if case.history.watch.expect_clients && !clients_seen(case) {
        reasons.push("no client SYN seen yet: send one request now".to_owned());
    }
    // The first reading is the baseline: what came before it, programs that hooked up earlier may have counted.
    let heard = case.history.tracks().any(|(_, track)| track.total.arrived > 0);
    if !heard && case.history.interface_packets_since(Duration::ZERO) == Some(0) {
        reasons.push("the interface received nothing at all".to_owned());
    }
    reasons
}

/// Where nobody named the NLB, a node that never came cannot be missed.
fn only_learned(nodes: &[Expected]) -> Option<String> {
    let of = |origin: &Origin| {
        let alike = nodes.iter().filter(|node| node.learned.as_ref() == Some(origin));
        alike.map(|node| node.label.clone()).collect::<Vec<_>>().join(", ")
    };
    let (said, alike) = (of(&Origin::Said), of(&Origin::Lookalike));
    if !said.is_empty() {
        Some(format!(
            "the nodes were learned ({said}, of an NLB or an ALB: both call themselves ELB-HealthChecker), and whether there \
             are more is not known: name the NLB with --nlb"
        ))
    } else if !alike.is_empty() {
        Some(format!(
            "no NLB node is certain: {alike} does what a TCP health check does, and so may a monitor: name the NLB with --nlb"
        ))
    } else {
        None
    }
}

fn clients_seen(case: &Case<'_>) -> bool {
    case.groups().iter().any(|group| {
        let is_client = |track: &Track| match group.class {
            class if class.is_client() => track.total.arrived > 0,
            SourceClass::NlbUndecided => !track.manner().is_encrypted() && track.total.clients > 0,
            _ => false,
        };
        group.members.iter().any(|(_, track)| is_client(track))
    })
}

/// SYNs that nothing observed accounts for.
fn unexplained(case: &Case<'_>) -> Vec<String> {
    let mut reasons = Vec::new();
    for group in case.groups().iter().filter(|group| case.concerns(group)) {
        for (key, track) in &group.members {
            let count = unaccounted(case, track);
            if count > 0 {
                let label = case.sources.label(key.slot);
                reasons.push(format!(
                    "{count} SYNs from {label} were neither dropped nor answered, cause unknown"
                ));
            }
            let unfinished = often_unfinished(case, track);
            // Where the sockets are out of sight, so is the end of the handshake.
            if unfinished > 0 && translation(case, key.port) == Translation::None {
                let label = case.sources.label(key.slot);
                reasons.push(format!(
                    "{unfinished} handshakes from {label} were answered and not finished, cause unknown"
                ));
            }
        }
    }
    reasons
}

fn window_seconds(case: &Case<'_>) -> u64 {
    case.now.min(case.history.window()).as_secs()
}
