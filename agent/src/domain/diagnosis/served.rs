//! Connections that were established and not answered well: the application's own part.

use crate::domain::{
    class::SourceClass,
    diagnosis::{Case, Group, Hit, accept, header, list, parts::Part, spoken},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
};

/// The status with which applications answer what they do not understand (RFC 9110 section 15.5.1).
pub(super) const BAD_REQUEST: u64 = 400;

/// Fewer than one connection in so many is what happens to every application now and then.
const RARE: u64 = 20;

/// Whether what the application does with the group's connections is looked at.
pub fn is_examined(case: &Case<'_>, group: &Group<'_>) -> bool {
    case.concerns(group) && !case.may_be_strangers(group)
}

/// Adds what the application does wrong with connections whose kind is known from how they ended, as far as it is.
pub fn examine_part(case: &Case<'_>, part: &Part<'_>, findings: &mut Vec<Finding>) {
    findings.extend(cut(case, part));
    findings.extend(header::answered_badly(case, part));
    if part.class.may_probe() {
        findings.extend(bad_status(case, part));
        findings.extend(given_up(case, part));
    }
}

/// What all findings of this stage have in common.
pub(super) fn served(
    (class, port): (SourceClass, u16),
    hit: Hit,
    (code, confidence): (Code, Confidence),
    (summary, advice): (String, String),
    evidence: Vec<Fact>,
) -> Finding {
    Finding {
        code,
        severity: Severity::Fault,
        confidence,
        class,
        port: Some(port),
        sources: hit.sources,
        stage: Stage::Served,
        place: Place::Application,
        summary,
        advice,
        evidence,
    }
}

pub(super) const fn is_rare(hit: &Hit) -> bool {
    hit.failed * RARE < hit.of
}

/// Answered, but with a status that the default matcher refuses.
fn bad_status(case: &Case<'_>, part: &Part<'_>) -> Option<Finding> {
    let hit = part.hit(case, |step| step.answers.probes_bad_status, |step| step.probes_served)?;
    let tally = part.recent_of(case, &hit);
    if is_rare(&hit) {
        return None;
    }
    let (status, headers) = (tally.answers.bad_status, tally.answers.proxy_openings);
    let mut evidence = vec![
        Fact::count("probes_answered_badly", hit.failed, FactOrigin::Hook),
        Fact::count("probes_served", tally.probes_served, FactOrigin::Hook),
        Fact::count("http_status", status, FactOrigin::Hook),
    ];
    let counted = format!(
        "{} of {} health checks from {} answered with status {status} in {} s",
        hit.failed,
        hit.of,
        list(&hit.sources),
        case.evidence_seconds()
    );
    if headers > 0 && status == BAD_REQUEST && !header::is_taken(case, part, &hit) {
        evidence.push(Fact::count("proxy_protocol_headers", headers, FactOrigin::Hook));
        let summary = format!("{counted}, each after a proxy protocol v2 header");
        return Some(header::refused(case, part, hit, summary, evidence));
    }
    let code = (Code::ProbeHttpStatus, Confidence::Inferred);
    Some(served((part.class, part.port), hit, code, (counted, case.facts().bad_status(status)), evidence))
}

/// The peer closed after it had waited in vain.
fn given_up(case: &Case<'_>, part: &Part<'_>) -> Option<Finding> {
    let hit = part.hit(case, |step| step.answers.probes_given_up, |step| step.probes_served)?;
    if is_rare(&hit) || accept::may_be_unaccepted(case, part.port) {
        return None;
    }
    let wait = part.recent_of(case, &hit).answers.wait;
    let summary = format!(
        "{} of {} health checks from {} gave up in {} s, the latest after {} without a byte of an answer",
        hit.failed,
        hit.of,
        list(&hit.sources),
        case.evidence_seconds(),
        spoken(wait)
    );
    let evidence = vec![
        Fact::count("probes_given_up", hit.failed, FactOrigin::Hook),
        Fact::count("probes_served", hit.of - hit.failed, FactOrigin::Hook),
        Fact::seconds("waited_seconds", wait, FactOrigin::Hook),
    ];
    Some(served(
        (part.class, part.port),
        hit,
        (Code::ProbeTimeout, Confidence::Proven),
        (summary, case.facts().slow_answer()),
        evidence,
    ))
}

/// This side ended connections without a byte of an answer.
fn cut(case: &Case<'_>, part: &Part<'_>) -> Option<Finding> {
    let hit = part.hit(case, |step| step.answers.cut(), |step| step.served)?;
    let tally = part.recent_of(case, &hit);
    // A client that is turned away now and then is the application's own business.
    if is_rare(&hit) || (tally.answers.probes_cut == 0 && hit.failed < 3) {
        return None;
    }
    let mut evidence = vec![
        Fact::count("connections_cut", hit.failed, FactOrigin::Hook),
        Fact::count("connections_served", tally.served, FactOrigin::Hook),
    ];
    let counted = format!(
        "{} of {} connections of {} from {} ended by the application without an answer in {} s",
        hit.failed,
        hit.of,
        part.class.name(),
        list(&hit.sources),
        case.evidence_seconds()
    );
    if tally.answers.proxy_openings > 0 && !header::is_taken(case, part, &hit) {
        if !header::would_show(case, part, &hit) {
            return None;
        }
        evidence.push(Fact::count("proxy_protocol_headers", tally.answers.proxy_openings, FactOrigin::Hook));
        let summary = format!("{counted}, behind a proxy protocol v2 header");
        return Some(header::refused(case, part, hit, summary, evidence));
    }
    // Of clients behind a node most may have sent something else, and then it is not about TLS.
    let is_about_tls = part.class != SourceClass::ClientViaNlb || 2 * tally.tls_openings >= hit.failed;
    if tally.tls_openings > 0 && is_about_tls {
        evidence.push(Fact::count("tls_handshakes", tally.tls_openings, FactOrigin::Hook));
        let summary = format!("{counted}, after a TLS handshake was begun");
        let code = (Code::TlsMismatch, Confidence::Inferred);
        return Some(served(
            (part.class, part.port),
            hit,
            code,
            (summary, case.facts().tls(part.port)),
            evidence,
        ));
    }
    Some(served(
        (part.class, part.port),
        hit,
        (Code::AppReset, Confidence::Proven),
        (counted, case.facts().reset(part.port)),
        evidence,
    ))
}
