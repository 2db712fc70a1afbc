//! Health checks that came before the application listened.

use std::time::Duration;

use crate::domain::{
    diagnosis::{Case, Group, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    track::Track,
};

/// Failed health checks in a row that make a target unhealthy, at the least (AWS, NLB health check settings).
const UNHEALTHY_THRESHOLD: u64 = 2;

/// Adds that the application started too late.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if group.class.may_probe() {
        findings.extend(slow_start(case, group));
    }
}

/// SYNs of a source that met no socket before its first connection was established, as far as they are remembered.
fn refused_before_start(case: &Case<'_>, track: &Track, listening_since: Duration) -> Option<u64> {
    let from = case.now.saturating_sub(case.history.window());
    let mut refused = 0;
    let mut established = 0;
    for (at, step) in track.since(from) {
        // What is refused while something listens met no late start.
        if established == 0 && at <= listening_since {
            refused += step.no_socket();
        }
        established += step.established;
    }
    // It had been served before: that is no start.
    (refused > 0 && established == track.total.established).then_some(refused)
}

fn slow_start(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    // While nobody listens, that is the finding.
    let listeners = case.history.listeners(case.history.local_port(group.port))?;
    let since = case.history.listening_since(case.history.local_port(group.port))?;
    let addresses = &case.history.watch.addresses;
    if !addresses.iter().all(|own| listeners.iter().any(|listener| listener.serves(own.is_ipv6(), addresses)))
    {
        return None;
    }
    let early: Vec<_> = group
        .members
        .iter()
        .filter_map(|(key, track)| Some((*key, *track, refused_before_start(case, track, since)?)))
        .collect();
    let most = early.iter().map(|(_, _, refused)| *refused).max()?;
    let refused: u64 = early.iter().map(|(_, _, refused)| refused).sum();
    let served = early.iter().map(|(_, track, _)| track.total.served).min().unwrap_or(0);
    // A target enters service with its first passed check (AWS, NLB target groups).
    let is_over = served > 0 || most < UNHEALTHY_THRESHOLD;
    let sources: Vec<_> = early.iter().map(|(key, ..)| case.sources.label(key.slot)).collect();
    Some(Finding {
        code: Code::SlowStart,
        severity: if is_over { Severity::Note } else { Severity::Fault },
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Arrived,
        place: Place::Application,
        summary: format!(
            "{refused} SYNs of {} from {} came before anything listened on port {}{}",
            group.class.name(),
            list(&sources),
            group.port,
            if served > 0 { "; it is served now" } else { "" },
        ),
        advice: case.facts().grace_period(),
        evidence: vec![
            Fact::count("syns_before_listening", refused, FactOrigin::Hook),
            Fact::count("connections_served", served, FactOrigin::Hook),
            Fact::count("listeners_on_port", listeners.len() as u64, FactOrigin::SocketTable),
        ],
        sources,
    })
}
