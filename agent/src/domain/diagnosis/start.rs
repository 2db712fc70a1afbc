//! Health checks that came before the application listened, or until the task was told to stop before it served one.

use std::{net::IpAddr, time::Duration};

use crate::domain::{
    diagnosis::{Case, Group, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    tally::Tally,
    track::Track,
};

/// Failed health checks in a row that make a target unhealthy, at the least (AWS, NLB health check settings).
const UNHEALTHY_THRESHOLD: u64 = 2;

/// Who listens on a port, or where its traffic ends up.
struct Listening {
    /// How many do.
    listeners: usize,
    /// How many of the target's own addresses they serve.
    served: usize,
}

impl Listening {
    /// `None` when the socket table cannot be read.
    fn on(case: &Case<'_>, port: u16) -> Option<Self> {
        let listeners = case.history.listeners(case.history.local_port(port))?;
        let own = &case.history.watch.addresses;
        let is_served =
            |address: &&IpAddr| listeners.iter().any(|listener| listener.serves(address.is_ipv6(), own));
        Some(Self { listeners: listeners.len(), served: own.iter().filter(is_served).count() })
    }
}

/// Adds that the application started too late.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if group.class.may_probe() {
        findings.extend(stopped_early(case, group).or_else(|| slow_start(case, group)));
    }
}

/// The first health check comes this long after a task began, at the earliest: AWS takes that long to register it (70 to 180 s).
const NO_CHECK_YET: Duration = Duration::from_secs(70);

/// Health checks of a source that an application in the middle of its start fails: they met no socket, were answered with an error
/// of the server, or not at all. One that this side does not understand gets no better with time.
fn failed_by_a_start(track: &Track) -> u64 {
    let Tally { answers, .. } = &track.total;
    if answers.proxy_openings + answers.tls_alerts > 0 {
        return 0;
    }
    let not_ready = if answers.bad_status >= 500 { answers.probes_bad_status } else { 0 };
    track.total.no_socket() + answers.probes_given_up + not_ready
}

/// The task was told to stop before it served a health check, all of whose life the agent watched.
fn stopped_early(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let lived = case.history.stopped_age()?;
    let watched_from_start = case.history.watch.task_age.is_some_and(|age| age <= NO_CHECK_YET);
    let is_served = group.members.iter().any(|(_, track)| track.total.served > 0);
    if !watched_from_start || is_served {
        return None;
    }
    let listening = Listening::on(case, group.port)?;
    // One that is bound elsewhere would never have served one.
    if listening.listeners > 0 && listening.served == 0 {
        return None;
    }
    let failed: Vec<_> = group
        .members
        .iter()
        .map(|(key, track)| (*key, failed_by_a_start(track)))
        .filter(|(_, count)| *count >= UNHEALTHY_THRESHOLD)
        .collect();
    let checks: u64 = failed.iter().map(|(_, count)| count).sum();
    if failed.is_empty() {
        return None;
    }
    let refused = group.members.iter().map(|(_, track)| track.total.no_socket()).sum();
    let sources: Vec<_> = failed.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    Some(Finding {
        code: Code::SlowStart,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Arrived,
        place: Place::Application,
        summary: format!(
            "the task was told to stop when it was {} s old, before it served a health check: {checks} of {} from {} failed on \
             port {}",
            lived.as_secs(),
            group.class.name(),
            list(&sources),
            group.port,
        ),
        advice: case.facts().grace_period(),
        evidence: vec![
            Fact::count("syns_before_listening", refused, FactOrigin::Hook),
            Fact::count("connections_served", 0, FactOrigin::Hook),
            Fact::count("listeners_on_port", listening.listeners as u64, FactOrigin::SocketTable),
            Fact::seconds("task_age_seconds", lived, FactOrigin::Metadata),
        ],
        sources,
    })
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
    let listening = Listening::on(case, group.port)?;
    let since = case.history.listening_since(case.history.local_port(group.port))?;
    if listening.served < case.history.watch.addresses.len() {
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
            Fact::count("listeners_on_port", listening.listeners as u64, FactOrigin::SocketTable),
        ],
        sources,
    })
}
