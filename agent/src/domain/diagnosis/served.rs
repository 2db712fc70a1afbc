//! Connections that were established and not answered well: the application's own part.

use crate::domain::{
    class::SourceClass,
    diagnosis::{Case, Group, Hit, accept, list, parts::Part, spoken},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    tally::Tally,
    track::Track,
};

/// Fewer than one connection in so many is what happens to every application now and then.
const RARE: u64 = 20;

/// Whether what the application does with the group's connections is looked at.
pub fn is_examined(case: &Case<'_>, group: &Group<'_>) -> bool {
    case.concerns(group) && !case.may_be_strangers(group)
}

/// Adds what the application does wrong with connections whose kind is known from how they ended, as far as it is.
pub fn examine_part(case: &Case<'_>, part: &Part<'_>, findings: &mut Vec<Finding>) {
    findings.extend(cut(case, part));
    if part.class.may_probe() {
        findings.extend(bad_status(case, part));
        findings.extend(given_up(case, part));
    }
}

/// Adds what is wrong with TLS: what a handshake was for cannot be told.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if group.class.may_probe() && is_examined(case, group) {
        findings.extend(handshake_refused(case, group));
        findings.extend(answered_in_clear(case, group));
    }
}

/// What all findings of this stage have in common.
fn served(
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

/// The members of the group that were hit.
fn those_hit<'a>(case: &Case<'_>, group: &Group<'a>, hit: &Hit) -> Vec<&'a Track> {
    let members = group.members.iter().filter(|(key, _)| hit.includes(case, *key));
    members.map(|(_, track)| *track).collect()
}

/// Their connections within the window, all together.
fn recent(case: &Case<'_>, tracks: &[&Track]) -> Tally {
    let mut sum = Tally::default();
    tracks.iter().for_each(|track| sum.add(&case.recent(track)));
    sum
}

const fn is_rare(hit: &Hit) -> bool {
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
    if headers > 0 && status == 400 {
        evidence.push(Fact::count("proxy_protocol_headers", headers, FactOrigin::Hook));
        let summary = format!("{counted}, each after a proxy protocol v2 header");
        return Some(header_refused(case, part, hit, summary, evidence));
    }
    let code = (Code::ProbeHttpStatus, Confidence::Inferred);
    Some(served((part.class, part.port), hit, code, (counted, case.facts().bad_status(status)), evidence))
}

/// The proxy protocol header in front of them is what the application does not take.
fn header_refused(
    case: &Case<'_>,
    part: &Part<'_>,
    hit: Hit,
    summary: String,
    evidence: Vec<Fact>,
) -> Finding {
    let code = (Code::ProxyProtocolMismatch, Confidence::Inferred);
    served((part.class, part.port), hit, code, (summary, case.facts().proxy_header(part.port)), evidence)
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
    if tally.answers.proxy_openings > 0 {
        evidence.push(Fact::count("proxy_protocol_headers", tally.answers.proxy_openings, FactOrigin::Hook));
        let summary = format!("{counted}, behind a proxy protocol v2 header");
        return Some(header_refused(case, part, hit, summary, evidence));
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

/// The name of a TLS alert (RFC 8446 section 6).
fn alert(description: u64) -> String {
    let name = match description {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        40 => "handshake_failure",
        50 => "decode_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        109 => "missing_extension",
        112 => "unrecognized_name",
        _ => return format!("{description}"),
    };
    format!("{description} ({name})")
}

/// The application answered with a TLS alert: it could not agree on a handshake, or got something else than one.
fn handshake_refused(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let passing =
        |step: &Tally| (step.tls_openings + step.probes_served).saturating_sub(step.answers.tls_alerts);
    let hit = case.hit(group, |step| step.answers.tls_alerts, passing)?;
    if is_rare(&hit) {
        return None;
    }
    let tally = recent(case, &those_hit(case, group, &hit));
    // Clients of every kind come through the same node: where most agree, it may be theirs that are refused.
    let confidence = if hit.failed * 2 >= hit.of { Confidence::Inferred } else { Confidence::Suspected };
    let description = alert(tally.answers.tls_alert);
    let summary = format!(
        "{} of {} {} from {} refused with TLS alert {description} in {} s",
        hit.failed,
        hit.of,
        if tally.tls_openings == 0 { "connections that are not TLS" } else { "TLS handshakes" },
        list(&hit.sources),
        case.evidence_seconds()
    );
    let evidence = vec![
        Fact::count("tls_alerts_sent", hit.failed, FactOrigin::Hook),
        Fact::count("tls_handshakes", tally.tls_openings, FactOrigin::Hook),
        Fact::text("tls_alert", description, FactOrigin::Hook),
    ];
    Some(served(
        (group.class, group.port),
        hit,
        (Code::TlsMismatch, confidence),
        (summary, case.facts().tls(group.port)),
        evidence,
    ))
}

/// A source that only begins TLS gets answers in plain HTTP.
fn answered_in_clear(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let clear = |step: &Tally| step.answers.http_answers.min(step.tls_openings);
    let hit = case.hit(group, clear, |step| step.tls_openings - clear(step))?;
    let tracks = those_hit(case, group, &hit);
    let is_hidden = tracks.iter().any(|track| track.manner().is_encrypted());
    let tally = recent(case, &tracks);
    // Plain requests and TLS on one port are no mismatch: then there are more connections than handshakes.
    if !is_hidden || hit.failed * 2 < hit.of || tally.answers.http_answers > tally.tls_openings {
        return None;
    }
    let summary = format!(
        "{} of {} TLS handshakes from {} answered in plain HTTP in {} s",
        hit.failed,
        hit.of,
        list(&hit.sources),
        case.evidence_seconds()
    );
    let evidence = vec![
        Fact::count("plain_answers", tally.answers.http_answers, FactOrigin::Hook),
        Fact::count("tls_handshakes", tally.tls_openings, FactOrigin::Hook),
    ];
    Some(served(
        (group.class, group.port),
        hit,
        (Code::TlsMismatch, Confidence::Inferred),
        (summary, case.facts().tls(group.port)),
        evidence,
    ))
}
