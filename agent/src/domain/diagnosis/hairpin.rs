//! A client on the target itself that asked the load balancer and was sent back to itself.
//!
//! With client IP preservation the SYN comes in from outside with the target's own address as its source. IPv4 takes it
//! for forged and drops it (fib_validate_source, net/ipv4/fib_frontend.c, v6.1); IPv6 answers it through `lo`, where the
//! answer meets a socket that asked somebody else. Neither ever works. What a task sends to itself without the load
//! balancer does not come in by the interface and is not counted here.

use crate::domain::{
    class::SourceClass,
    diagnosis::Case,
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::TallyKey,
    stage::{Place, Stage},
    track::Track,
};

/// Adds a finding for each port to which the target's own address sends from outside.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let mut own: Vec<_> = case.history.tracks().filter(|(key, _)| case.is_own(*key)).collect();
    own.sort_by_key(|(key, _)| key.port);
    for members in own.chunk_by(|(one, _), (other, _)| one.port == other.port) {
        findings.extend(of_port(case, members));
    }
}

fn of_port(case: &Case<'_>, members: &[(TallyKey, &Track)]) -> Option<Finding> {
    let hit: Vec<_> = members.iter().filter(|(_, track)| case.recent(track).arrived > 0).collect();
    let (first, _) = hit.first()?;
    let syns: u64 = hit.iter().map(|(_, track)| case.recent(track).arrived).sum();
    let sources: Vec<_> = hit.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    let reasons: Vec<_> =
        hit.iter().flat_map(|(_, track)| case.recent(track).drop_reasons().into_keys()).collect();
    let mut evidence = vec![Fact::count("hairpin_syns", syns, FactOrigin::Hook)];
    if !reasons.is_empty() {
        evidence.push(Fact::text("drop_reason", reasons.join(", "), FactOrigin::Hook));
    }
    Some(Finding {
        code: Code::Hairpin,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: SourceClass::Client,
        port: Some(first.port),
        stage: Stage::Arrived,
        place: Place::HostNetwork,
        summary: format!(
            "{syns} SYNs came in from {}, this target's own address, in {} s: a client on this target asked the load \
             balancer and was sent back to itself",
            sources.join(" and "),
            case.evidence_seconds()
        ),
        advice: case.facts().hairpin(),
        evidence,
        sources,
    })
}
