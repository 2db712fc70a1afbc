//! Clients that do not come, while health checks do.

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::{Case, Expected, Kinds, expected},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sources::Source,
    stage::{Place, Stage},
    tally::Dropped,
};

/// Adds what is missing. Only the operator can say that clients must come: a quiet service has none, and then it is a note.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    findings.extend(missing(case));
}

fn missing(case: &Case<'_>) -> Option<Finding> {
    let window = case.history.window();
    let came = case.last_client().is_some_and(|last| case.now.saturating_sub(last) <= window);
    let nodes = expected(case);
    let probes: u64 = nodes.iter().map(|node| node.recent.arrived).sum();
    // Where health checks are missing too, or have just ceased, it is not about clients.
    let goes_on =
        |node: &Expected| node.last.is_some_and(|last| case.now.saturating_sub(last) <= 2 * node.interval);
    if came
        || !nodes.iter().any(goes_on)
        || nodes.iter().any(may_hold_clients)
        || case.now <= window
        || probes == 0
        || dropped_in_front(case)
    {
        return None;
    }
    let named = case.sources.iter().filter(|source| source.role == Role::Client);
    let sources: Vec<_> = named.map(Source::label).collect();
    // A client of a shared address is known when its connection ends, and some are open.
    let hidden = case.history.in_front().is_some() || has_open_connections(case) || is_encrypted(case);
    if hidden && !case.history.watch.expect_clients {
        return None;
    }
    let class = if sources.is_empty() { SourceClass::ClientViaNlb } else { SourceClass::Client };
    Some(Finding {
        code: Code::ClientsMissing,
        severity: if case.history.watch.expect_clients { Severity::Fault } else { Severity::Note },
        confidence: if hidden { Confidence::Suspected } else { Confidence::Inferred },
        class,
        port: None,
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "no client in {} s, while {probes} SYNs of the NLB's nodes arrived",
            window.as_secs()
        ),
        advice: case.facts().missing_clients(traffic_port(case), class),
        evidence: vec![
            Fact::count("client_syns_arrived", 0, FactOrigin::Hook),
            Fact::count("nlb_syns_arrived", probes, FactOrigin::Hook),
            Fact::seconds("watched_seconds", case.now, FactOrigin::Hook),
        ],
        sources,
    })
}

/// The only port that clients come to, where it is one.
fn traffic_port(case: &Case<'_>) -> Option<u16> {
    let priors = case.history.watch.priors;
    let is_traffic = |port: &&u16| priors.health_port != Some(**port) || priors.health_port_is_shared;
    let mut ports = case.history.watch.ports.iter().filter(is_traffic);
    ports.next().copied().filter(|_| ports.next().is_none())
}

/// More SYNs of a node than health checks of it ended: some may be clients' that go no further.
fn may_hold_clients(node: &Expected) -> bool {
    matches!(node.kinds, Kinds::ToldApart) && node.recent.arrived > node.recent.probes() + 1
}

/// Encryption hides which connections of a node are clients'.
fn is_encrypted(case: &Case<'_>) -> bool {
    expected(case).iter().any(|node| node.kinds == Kinds::Hidden)
}

fn has_open_connections(case: &Case<'_>) -> bool {
    let mut shared = case
        .history
        .tracks()
        .filter(|(key, _)| case.history.class(*key, case.sources) == SourceClass::NlbUndecided);
    shared.any(|(_, track)| track.total.established > track.total.served + track.total.unserved)
}

/// Clients came as far as this host: that is another finding.
fn dropped_in_front(case: &Case<'_>) -> bool {
    let mut clients =
        case.history.tracks().filter(|(key, _)| case.history.class(*key, case.sources).is_client());
    clients.any(|(_, track)| case.recent(track).drops_of(Dropped::SynBeforeHook) > 0)
}
