//! A specific cause suppresses what it explains.

use crate::domain::finding::{Code, Confidence, Finding};

/// (cause, what it explains). Within one class and port, unless the cause is about all ports.
const EXPLAINS: [(Code, Code); 8] = [
    (Code::NothingArrives, Code::ProbesMissing),
    (Code::AcceptQueueFull, Code::ReplyLost),
    (Code::AcceptQueueFull, Code::NoReturnRoute),
    (Code::ReplyDropped, Code::ReplyLost),
    (Code::ReplyDropped, Code::AcceptQueueFull),
    (Code::NoReturnRoute, Code::ReplyLost),
    (Code::HostFirewall, Code::NoReturnRoute),
    (Code::ProbesMissing, Code::ProbesWithdrawn),
];

/// Removes the findings that another one explains. A suspicion explains nothing that is surer than itself.
pub fn apply(findings: &mut Vec<Finding>) {
    let causes: Vec<_> = findings.iter().map(|finding| (finding.key(), finding.confidence)).collect();
    findings.retain(|finding| {
        !causes.iter().any(|((code, port, class), confidence)| {
            EXPLAINS.contains(&(*code, finding.code))
                && *confidence >= finding.confidence.min(Confidence::Inferred)
                && (port.is_none() || (*port == finding.port && *class == finding.class))
        })
    });
}
