//! SYNs with the address and port of a connection that is open: another connection of the same client came by another way.
//!
//! The client knows them for two, because it asked two addresses of a load balancer; with client IP preservation this
//! host sees one. It answers such a SYN with an ACK of the connection it has, which goes to the connection that is open.
//! A port in TIME_WAIT is none that is open: the kernel gives it to the new connection, and drops nothing.

use crate::domain::{
    diagnosis::{Case, Group, Hit, admission, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding},
    stage::{Place, Stage},
};

/// One may be a SYN that its own connection overtook, or a client that began anew and clears the old connection with a RST. One
/// that is in vain is sent again after a second, and is in vain again.
const IN_VAIN: u64 = 2;

/// Adds that SYNs of the group meet connections that are open.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if case.concerns(group) && !case.may_be_strangers(group) {
        findings.extend(on_open_connections(case, group));
    }
}

fn on_open_connections(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    // It hits one connection here and there: that others are served meanwhile says nothing, so it counts for a whole window.
    let mut hit = Hit::default();
    for (key, track) in &group.members {
        let recent = case.recent(track);
        let in_vain = recent.on_open_connections();
        if in_vain > 0 {
            hit.add(case.sources.label(key.slot), in_vain, in_vain + recent.answered());
        }
    }
    if hit.failed < IN_VAIN {
        return None;
    }
    Some(Finding {
        code: Code::DuplicateTuple,
        severity: admission::severity(case, Code::DuplicateTuple, group, &hit),
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Answered,
        place: Place::HostNetwork,
        summary: format!(
            "{} from {}: {} of {} SYNs in {} s came with the address and port of a connection that is open here, and got no \
             SYN-ACK",
            group.class.name(),
            list(&hit.sources),
            hit.failed,
            hit.of,
            case.evidence_seconds()
        ),
        advice: case.facts().duplicate_tuple(),
        evidence: vec![
            Fact::count("syns_on_open_connections", hit.failed, FactOrigin::Hook),
            Fact::count("syns_answered", hit.of - hit.failed, FactOrigin::Hook),
        ],
        sources: hit.sources,
    })
}
