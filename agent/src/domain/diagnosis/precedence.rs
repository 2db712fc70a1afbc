//! A specific cause suppresses what it explains.

use std::net::IpAddr;

use crate::domain::{
    class::SourceClass,
    finding::{Code, Confidence, Finding},
};

/// (cause, what it explains). Within one class and port, unless the cause is about all ports.
pub const EXPLAINS: &[(Code, Code)] = &[
    (Code::NothingArrives, Code::ProbesMissing),
    (Code::AcceptQueueFull, Code::ReplyLost),
    (Code::AcceptQueueFull, Code::NoReturnRoute),
    (Code::ReplyDropped, Code::ReplyLost),
    (Code::ReplyDropped, Code::AcceptQueueFull),
    (Code::NoReturnRoute, Code::ReplyLost),
    (Code::HostFirewall, Code::NoReturnRoute),
    (Code::FirewallReject, Code::NoReturnRoute),
    (Code::ConntrackFull, Code::NoReturnRoute),
    (Code::AcceptQueueFull, Code::SynCookies),
    // Lost replies leave handshakes open, until cookies are sent.
    (Code::ReplyLost, Code::SynCookies),
    (Code::AcceptQueueFull, Code::AppNotAccepting),
    (Code::AcceptQueueFull, Code::ProbeTimeout),
    (Code::AppNotAccepting, Code::ProbeTimeout),
    (Code::ProxyProtocolMismatch, Code::ProbeTimeout),
    (Code::ProxyProtocolMismatch, Code::ProbeHttpStatus),
    (Code::ProxyProtocolMismatch, Code::AppReset),
    (Code::TlsMismatch, Code::AppReset),
    (Code::TlsMismatch, Code::ProbeHttpStatus),
    (Code::TlsMismatch, Code::ProbeTimeout),
];

/// Whether what hits one class hits the other: what was not told apart hits both kinds of the same address.
fn is_within(class: SourceClass, cause: SourceClass) -> bool {
    use SourceClass::{ClientViaNlb, NlbProbe, NlbUndecided};
    matches!((cause, class), (NlbUndecided, NlbProbe | ClientViaNlb)) || cause == class
}

/// There is one route back to an address; of the senders of a prefix some may have none, while what others are answered gets lost.
fn may_both_hold(cause: &Finding, finding: &Finding) -> bool {
    let is_prefix = |source: &&String| source.parse::<IpAddr>().is_err();
    (cause.code, finding.code) == (Code::NoReturnRoute, Code::ReplyLost)
        && finding.sources.iter().filter(is_prefix).any(|source| cause.sources.contains(source))
}

fn explains(cause: &Finding, finding: &Finding) -> bool {
    let is_about_it = cause.port == finding.port
        && is_within(finding.class, cause.class)
        // What hits one node does not explain what hits another.
        && cause.sources.iter().any(|source| finding.sources.contains(source))
        && !may_both_hold(cause, finding);
    EXPLAINS.contains(&(cause.code, finding.code))
        && cause.confidence >= finding.confidence.min(Confidence::Inferred)
        // What is worth a note does not explain what is a fault.
        && cause.severity >= finding.severity
        && (cause.port.is_none() || is_about_it)
}

/// Removes the findings that another one explains. A suspicion explains nothing that is surer than itself, and
/// a note nothing that is graver.
pub fn apply(findings: &mut Vec<Finding>) {
    let causes = findings.clone();
    findings.retain(|finding| !causes.iter().any(|cause| explains(cause, finding)));
}
