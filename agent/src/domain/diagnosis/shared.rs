//! Health checks and clients that come from the same addresses.

use crate::domain::{
    class::{ClientIp, SourceClass},
    diagnosis::{Case, Group, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    track::Manner,
};

/// Adds a note for each port to which nodes send both.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for group in case.groups().iter().filter(|group| group.class == SourceClass::NlbUndecided) {
        findings.extend(crowded(case, group));
        let mixed: Vec<_> =
            group.members.iter().filter(|(_, track)| track.manner() == Manner::Mixed).collect();
        if mixed.is_empty() {
            continue;
        }
        let sources: Vec<_> = mixed.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
        let probes = mixed.iter().map(|(_, track)| track.total.probes()).sum();
        let clients = mixed.iter().map(|(_, track)| track.total.clients).sum();
        let overturned = case.history.watch.priors.client_ip == ClientIp::Preserved;
        findings.push(Finding {
            code: Code::SharedSource,
            severity: Severity::Note,
            confidence: Confidence::Proven,
            class: group.class,
            port: Some(group.port),
            stage: Stage::Arrived,
            place: Place::BeforeThisHost,
            summary: format!(
                "health checks and clients both come from {}: {probes} and {clients} connections so far{}",
                list(&sources),
                if overturned { ", although --client-ip preserved was given" } else { "" },
            ),
            advice: case.facts().shared_source(group.port),
            evidence: vec![
                Fact::count("probe_connections", probes, FactOrigin::Hook),
                Fact::count("client_connections", clients, FactOrigin::Hook),
            ],
            sources,
        });
    }
}

/// So many encrypted connections that clients must be among them, although it was said that none carries a node's address.
fn crowded(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let crowded = group.members.iter().filter(|(key, _)| case.history.is_told_by_number(*key, case.sources));
    let crowded: Vec<_> = crowded.collect();
    if crowded.is_empty() {
        return None;
    }
    let sources: Vec<_> = crowded.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    let handshakes = crowded.iter().map(|(_, track)| track.total.tls_openings).sum();
    let given = if case.history.watch.priors.client_ip == ClientIp::Preserved {
        ", although --client-ip preserved was given"
    } else {
        ""
    };
    Some(Finding {
        code: Code::SharedSource,
        severity: Severity::Note,
        confidence: Confidence::Inferred,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "more encrypted connections come from {} than health checks can be, {handshakes} so far: clients carry that address, \
             too{given}",
            list(&sources),
        ),
        advice: case.facts().shared_source(group.port),
        evidence: vec![Fact::count("tls_handshakes", handshakes, FactOrigin::Hook)],
        sources,
    })
}
