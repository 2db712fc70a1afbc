//! Packets beyond what the instance's network is allowed: AWS queues or drops them where no program of the guest sees it.

use crate::domain::{
    class::SourceClass,
    diagnosis::Case,
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
};

/// What says that SYNs are missing.
const ABSENCE: [Code; 5] = [
    Code::ProbesMissing,
    Code::ProbesStopped,
    Code::ProbesPartial,
    Code::ClientsMissing,
    Code::NothingArrives,
];

/// Adds that allowances were exceeded: a note, and a fault where SYNs are missing according to the findings so far. These
/// stay, because the counters do not say whose packets they counted.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    let growth = case.history.host_growth(case.now).allowances;
    let interface = FactOrigin::Interface;
    let (bandwidth, rate, connections) = (growth.bandwidth_in, growth.packet_rate, growth.connections);
    let exceeded: Vec<_> = [
        (
            "over the inbound bandwidth",
            bandwidth,
            Fact::count("bw_in_allowance_exceeded", bandwidth.unwrap_or(0), interface),
        ),
        ("over the packet rate", rate, Fact::count("pps_allowance_exceeded", rate.unwrap_or(0), interface)),
        (
            "for which no connection could be tracked",
            connections,
            Fact::count("conntrack_allowance_exceeded", connections.unwrap_or(0), interface),
        ),
    ]
    .into_iter()
    .filter_map(|(what, count, fact)| Some((what, count.filter(|count| *count > 0)?, fact)))
    .collect();
    if exceeded.is_empty() {
        return;
    }
    let missing = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Fault && ABSENCE.contains(&finding.code))
        .max_by_key(|finding| finding.confidence);
    let counts: Vec<_> = exceeded.iter().map(|(what, count, _)| format!("{count} packets {what}")).collect();
    let mut evidence: Vec<_> = exceeded.into_iter().map(|(.., fact)| fact).collect();
    if let Some(missing) = missing {
        evidence.push(Fact::text("together_with", missing.code.name().to_owned(), FactOrigin::Hook));
    }
    let finding = Finding {
        code: Code::AllowanceExceeded,
        severity: if missing.is_some() { Severity::Fault } else { Severity::Note },
        // That the allowance was exceeded is the driver's word; that the missing SYNs were among them is not.
        confidence: missing
            .map_or(Confidence::Proven, |missing| missing.confidence.min(Confidence::Inferred)),
        class: missing.map_or(SourceClass::Other, |missing| missing.class),
        port: missing.and_then(|missing| missing.port),
        sources: missing.map(|missing| missing.sources.clone()).unwrap_or_default(),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "beyond what AWS allows this instance's network: {} in {} s{}",
            counts.join(", "),
            case.evidence_seconds(),
            if missing.is_some() { ", while SYNs are missing" } else { "" },
        ),
        advice: case.facts().allowance(growth.connections.is_some_and(|count| count > 0), missing.is_some()),
        evidence,
    };
    findings.push(finding);
}
