//! Health checks and clients that come from the same addresses.

use crate::domain::{
    class::{ClientIp, SourceClass},
    diagnosis::{Case, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    track::Manner,
};

/// Adds a note for each port to which nodes send both.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for group in case.groups().iter().filter(|group| group.class == SourceClass::NlbUndecided) {
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
            advice: case.facts().shared_source(),
            evidence: vec![
                Fact::count("probe_connections", probes, FactOrigin::Hook),
                Fact::count("client_connections", clients, FactOrigin::Hook),
            ],
            sources,
        });
    }
}
