//! TLS that does not come about. Who begins it is hidden, health check or client.

use crate::domain::{
    class::SourceClass,
    diagnosis::{
        Case, Group, Hit, list,
        served::{is_examined, is_rare, served},
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding},
    sample::TallyKey,
    tally::Tally,
    track::Track,
};

/// A source's tally.
type Member<'a> = (TallyKey, &'a Track);

/// Adds what is wrong with TLS.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if group.class.may_probe() && is_examined(case, group) {
        findings.extend(handshake_refused(case, group));
        findings.extend(answered_in_clear(case, group));
    }
}

/// The members of the group that were hit.
fn those_hit<'a>(case: &Case<'_>, group: &Group<'a>, hit: &Hit) -> Vec<&'a Track> {
    let members = group.members.iter().filter(|(key, _)| hit.includes(case, *key));
    members.map(|(_, track)| *track).collect()
}

/// What was counted of them, all together.
fn sum(tracks: &[&Track], of: impl Fn(&Track) -> Tally) -> Tally {
    let mut sum = Tally::default();
    tracks.iter().for_each(|track| sum.add(&of(track)));
    sum
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
    let tally = sum(&those_hit(case, group, &hit), |track| case.recent(track));
    // Clients of every kind come through the same node: where most agree, it may be theirs that are refused. Health checks are all
    // alike: the first that is refused tells, whatever agreed before.
    let is_alike = group.class == SourceClass::NlbProbe;
    let confidence =
        if is_alike || hit.failed * 2 >= hit.of { Confidence::Inferred } else { Confidence::Suspected };
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

/// Answered in plain HTTP.
///
/// Of a source that only begins TLS, every answer in the clear is one to a handshake. Where it sends plain requests, too, one port
/// may serve both: then no handshake went on, and as many answers as there were handshakes say that what came was no request.
fn answered_in_clear(case: &Case<'_>, group: &Group<'_>) -> Vec<Finding> {
    let (only_tls, mixed) =
        group.members.iter().copied().partition(|(_, track): &Member<'_>| track.manner().is_encrypted());
    let any_answer = |step: &Tally| step.answers.http_answers.min(step.tls_openings);
    let of_no_request = |step: &Tally| {
        let went_on = step.answers.tls_answers + step.answers.tls_alerts;
        step.answers.bad_requests.min(step.tls_openings.saturating_sub(went_on))
    };
    let none_is_plain = |recent: &Tally, _: &Tally| recent.answers.http_answers <= recent.tls_openings;
    // One that has just begun may yet go on.
    let none_went_on =
        |recent: &Tally, settled: &Tally| recent.answers.tls_answers == 0 && settled.tls_openings > 0;
    let of = |members| Group { class: group.class, port: group.port, members };
    let found = in_clear(case, &of(only_tls), any_answer, none_is_plain);
    found.into_iter().chain(in_clear(case, &of(mixed), of_no_request, none_went_on)).collect()
}

/// Where about all handshakes are `answered` in the clear, and what was counted of those sources, up to now and without what is too
/// young to judge, `bears_it_out`.
fn in_clear(
    case: &Case<'_>,
    group: &Group<'_>,
    answered: impl Fn(&Tally) -> u64 + Copy,
    bears_it_out: impl Fn(&Tally, &Tally) -> bool,
) -> Option<Finding> {
    let hit = case.hit(group, answered, |step| step.tls_openings - answered(step))?;
    let tracks = those_hit(case, group, &hit);
    let (tally, settled) =
        (sum(&tracks, |track| case.recent(track)), sum(&tracks, |track| case.settled(track)));
    if hit.failed * 2 < hit.of || !bears_it_out(&tally, &settled) {
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
        Fact::count("plain_answers", hit.failed, FactOrigin::Hook),
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
