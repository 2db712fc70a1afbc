//! The proxy protocol header in front of connections: whether the application takes it.

use crate::domain::{
    class::SourceClass,
    diagnosis::{
        Case, Hit, list,
        parts::Part,
        served::{BAD_REQUEST, is_rare, served},
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding},
    tally::Tally,
};

/// What the sources that were hit did, whosever connections they are.
fn whole(case: &Case<'_>, part: &Part<'_>, hit: &Hit) -> Tally {
    let mut sum = Tally::default();
    part.those_hit(case, hit).for_each(|(_, track)| sum.add(&case.recent(track)));
    sum
}

/// Whether the application takes the header: it understood something when most connections came with one.
pub fn is_taken(case: &Case<'_>, part: &Part<'_>, hit: &Hit) -> bool {
    let from = case.now.saturating_sub(case.history.window());
    part.those_hit(case, hit)
        .flat_map(|(_, track)| track.since(from))
        .any(|(_, step)| step.answers.understood() > 0 && 2 * step.answers.proxy_openings > step.established)
}

/// Whether it would show by now if the application took the header: a health check of the source ended, which has one, too, or
/// none did for an interval.
pub fn would_show(case: &Case<'_>, part: &Part<'_>, hit: &Hit) -> bool {
    part.those_hit(case, hit).any(|(key, track)| {
        let interval = case.history.interval(&[key], case.sources);
        let is_old = |first| case.now.saturating_sub(first) >= interval;
        track.total.probes() > 0 || track.arrivals.first.is_some_and(is_old)
    })
}

/// The proxy protocol header in front of them is what the application does not take.
pub fn refused(case: &Case<'_>, part: &Part<'_>, hit: Hit, summary: String, evidence: Vec<Fact>) -> Finding {
    let code = (Code::ProxyProtocolMismatch, Confidence::Inferred);
    served((part.class, part.port), hit, code, (summary, case.facts().proxy_header(part.port)), evidence)
}

/// Clients behind a header get what is no request otherwise gets, status 400.
///
/// So does the header of a TCP health check, that comes alone. Where it gets no answer, the application waits for what follows
/// one, and refuses the requests themselves.
pub fn answered_badly(case: &Case<'_>, part: &Part<'_>) -> Option<Finding> {
    if part.class != SourceClass::ClientViaNlb {
        return None;
    }
    let badly = |step: &Tally| step.answers.bad_requests.min(step.clients);
    let hit = part.hit(case, badly, |step| step.served.saturating_sub(badly(step)))?;
    let whole = whole(case, part, &hit);
    let headers = whole.answers.proxy_openings.saturating_sub(whole.probes());
    let checks_agree = whole.answers.bad_status == BAD_REQUEST;
    // A client that is turned away now and then is the application's own business.
    let are_few = is_rare(&hit) || hit.failed < 3 || hit.failed * 2 < hit.of || headers * 2 < hit.failed;
    if are_few
        || (whole.probes() > 0 && !checks_agree)
        || is_taken(case, part, &hit)
        || !would_show(case, part, &hit)
    {
        return None;
    }
    let summary = format!(
        "{} of {} connections of {} from {} answered with status {BAD_REQUEST} in {} s, behind a proxy protocol v2 header",
        hit.failed,
        hit.of,
        part.class.name(),
        list(&hit.sources),
        case.evidence_seconds()
    );
    let evidence = vec![
        Fact::count("connections_answered_badly", hit.failed, FactOrigin::Hook),
        Fact::count("connections_served", hit.of - hit.failed, FactOrigin::Hook),
        Fact::count("http_status", BAD_REQUEST, FactOrigin::Hook),
        Fact::count("proxy_protocol_headers", headers, FactOrigin::Hook),
    ];
    // Where health checks go to another port, requests may be refused for what they are.
    let confidence = if checks_agree { Confidence::Inferred } else { Confidence::Suspected };
    Some(Finding { confidence, ..refused(case, part, hit, summary, evidence) })
}
