//! What should arrive and does not.
//!
//! A security group or NACL drops in front of the guest, so absence is all there is to see. It is never proven, and
//! it says nothing while the interface receives nothing at all.

use std::time::Duration;

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::{Case, Expected, advice::Reach, expected, list, other_port, silent, spoken, stopped},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::TallyKey,
    sources::Source,
    stage::{Place, Stage},
    tally::Dropped,
};

/// Adds what is missing.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    // Nodes whose health checks go to another port are not missed: that finding says all of them.
    let (elsewhere, expected) = other_port::part(case, expected(case));
    let first = elsewhere.first().map(|elsewhere| &elsewhere.node);
    findings.extend(other_port::finding(case, &elsewhere, &expected, class(case, first), port(case)));
    let nothing = if elsewhere.is_empty() { nothing_arrives(case) } else { None };
    let never_came = nothing.into_iter().chain(missing(case, &expected, findings));
    findings.extend(never_came.map(|finding| note_youth(case, finding)));
    findings.extend(stopped::find(case, &expected));
    // What fell silent is more than what never came.
    if findings.iter().all(|finding| finding.code != Code::ProbesPartial) {
        findings.extend(of_other_zones(case, &expected));
    }
}

/// The class a finding about a node's probes is filed under: the one its row has.
pub(super) fn class(case: &Case<'_>, node: Option<&Expected>) -> SourceClass {
    let priors = case.history.priors();
    let port = priors.health_port.or(case.history.watch.ports.first().copied()).unwrap_or(0);
    match node {
        Some(node) => case.history.class(TallyKey { slot: node.slot, port }, case.sources),
        None => priors.classify(Role::Node, port),
    }
}

/// Absence means something only while the interface demonstrably receives. Packets from before the silence prove
/// nothing; a quiet interface may need all of the silence, as far as it is remembered, to receive one.
pub(super) fn receives(case: &Case<'_>, silence: Duration) -> Option<(u64, Duration)> {
    let within = silence.min(case.history.window());
    let packets = case.history.interface_packets_since(case.now.saturating_sub(within))?;
    (packets > 0).then_some((packets, within))
}

/// A program of somebody else in front may be what drops: absence is then no more than suspected.
pub(super) fn at_most(case: &Case<'_>, confidence: Confidence) -> Confidence {
    if case.history.in_front().is_some() { Confidence::Suspected } else { confidence }
}

/// A task that has just started may not be registered yet: what never came is then no more than suspected.
fn at_most_while_young(case: &Case<'_>, confidence: Confidence) -> Confidence {
    if case.history.young_task(case.now).is_some() {
        Confidence::Suspected
    } else {
        at_most(case, confidence)
    }
}

/// Says in a finding about absence that the task is young.
fn note_youth(case: &Case<'_>, finding: Finding) -> Finding {
    let Some(age) = case.history.young_task(case.now) else { return finding };
    let mut finding = finding;
    finding.summary.push_str(&format!("; the task is {} s old and may not be registered yet", age.as_secs()));
    finding.evidence.push(Fact::seconds("task_age_seconds", age, FactOrigin::Metadata));
    finding
}

pub(super) fn port(case: &Case<'_>) -> Option<u16> {
    case.history.priors().health_port.or(match case.history.watch.ports[..] {
        [port] => Some(port),
        _ => None,
    })
}

fn nothing_arrives(case: &Case<'_>) -> Option<Finding> {
    let (interval, origin) = case.history.interval_and_origin(&[], case.sources);
    let silence = case.now;
    let seen = case
        .history
        .tracks()
        .any(|(_, track)| track.total.arrived > 0 || track.total.drops_of(Dropped::SynBeforeHook) > 0);
    if seen || silence <= 3 * interval {
        return None;
    }
    let (packets, within) = receives(case, silence)?;
    let ports = &case.history.watch.ports;
    let ports = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    Some(Finding {
        code: Code::NothingArrives,
        severity: Severity::Fault,
        confidence: at_most_while_young(case, Confidence::Inferred),
        class: class(case, None),
        port: None,
        // Nobody is waited for who lives on the target itself.
        sources: case.sources.iter().filter(|source| source.role != Role::Own).map(Source::label).collect(),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "no SYN for port {ports} from anybody in {} s, while the interface received {packets} other packets in \
             the last {} s",
            silence.as_secs(),
            within.as_secs().max(1)
        ),
        advice: case.facts().missing_everybody(port(case)),
        evidence: vec![
            Fact::count("syns_arrived", 0, FactOrigin::Hook),
            Fact::count("interface_packets", packets, FactOrigin::Interface),
            Fact::seconds("watched_seconds", silence, FactOrigin::Hook),
            Fact::seconds("interval_seconds", interval, origin),
        ],
    })
}

fn missing(case: &Case<'_>, expected: &[Expected], found: &[Finding]) -> Option<Finding> {
    // A node of another zone may have no reason to check this target: where the own zone's is known, it is the one to miss.
    let zone_is_known = expected.iter().any(|node| node.is_own_zone);
    let never: Vec<_> = expected
        .iter()
        .filter(|node| node.is_own_zone || !zone_is_known)
        // Whoever was learned did come.
        .filter(|node| node.learned.is_none())
        .filter(|node| node.first.is_none() && node.before_hook == 0 && waited(case, node) >= node.interval)
        .filter(|node| !are_refused(case, node, found))
        .collect();
    let slowest = never.iter().max_by_key(|node| node.interval)?;
    let longest = slowest.interval;
    let waited = never.iter().map(|node| waited(case, node)).min()?;
    let (packets, _) = receives(case, waited)?;
    // The health checks of nodes whose clients come here may go to another port, or not be recognised.
    let may_be_elsewhere =
        never.iter().any(|node| node.by_behaviour && !would_be_recognised(case, node, expected));
    let is_trying = never.iter().any(|node| other_port::is_trying(case, node));
    // Whether they keep a rhythm on another port that is watched shows after some more intervals.
    let may_show = waited < 6 * longest && never.iter().any(|node| shows_elsewhere(case, node));
    let is_sure = waited >= 3 * longest && !may_be_elsewhere && !is_trying && !may_show;
    let confidence = if is_sure { Confidence::Inferred } else { Confidence::Suspected };
    let sources: Vec<_> = never.iter().map(|node| node.label.clone()).collect();
    Some(Finding {
        code: Code::ProbesMissing,
        severity: Severity::Fault,
        confidence: at_most_while_young(case, confidence),
        class: class(case, never.first().copied()),
        port: port(case),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "{} from {} in {} s of watching, {} was expected every {}",
            if never.iter().all(|node| node.by_behaviour) {
                "clients, and no health check,"
            } else {
                "no SYN"
            },
            list(&sources),
            waited.as_secs(),
            if sources.len() == 1 { "one" } else { "one of each" },
            spoken(longest),
        ),
        advice: {
            let others_come = expected.iter().any(|node| node.first.is_some());
            let reach = match others_come {
                true if never.iter().all(|node| node.is_own_zone) => Reach::Some,
                true => Reach::SomeFromStart,
                false => Reach::All,
            };
            let candidates = candidates(case, reach);
            if may_be_elsewhere {
                format!("{}\nIf not: {candidates}", case.facts().another_port())
            } else {
                candidates
            }
        },
        evidence: vec![
            Fact::count("syns_arrived", never.iter().map(|node| node.recent.arrived).sum(), FactOrigin::Hook),
            Fact::count(
                "client_connections",
                never.iter().map(|node| node.recent.clients).sum(),
                FactOrigin::Hook,
            ),
            Fact::count("interface_packets", packets, FactOrigin::Interface),
            Fact::seconds("watched_seconds", waited, FactOrigin::Hook),
            slowest.interval_fact(),
        ],
        sources,
    })
}

/// Nodes of other zones that never came, while the one of the task's own zone does: worth knowing, and no fault where nobody
/// balances across zones.
fn of_other_zones(case: &Case<'_>, expected: &[Expected]) -> Option<Finding> {
    let goes_on =
        |node: &&Expected| node.last.is_some_and(|last| case.now.saturating_sub(last) <= 2 * node.interval);
    let own = expected.iter().filter(|node| node.is_own_zone).find(goes_on)?;
    let is_missing = |node: &&Expected| {
        !node.is_own_zone
            && node.learned.is_none()
            && node.first.is_none()
            && node.before_hook == 0
            && waited(case, node) >= 3 * node.interval
    };
    let never: Vec<_> = expected.iter().filter(is_missing).collect();
    let waited = never.iter().map(|node| waited(case, node)).min()?;
    let (packets, _) = receives(case, waited)?;
    let sources: Vec<_> = never.iter().map(|node| node.label.clone()).collect();
    Some(Finding {
        code: Code::ProbesPartial,
        severity: Severity::Note,
        confidence: at_most_while_young(case, Confidence::Inferred),
        class: class(case, never.first().copied()),
        port: port(case),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "no SYN from {} of other zones in {} s of watching, while {} of the task's own zone goes on",
            list(&sources),
            waited.as_secs(),
            own.label,
        ),
        advice: case.facts().other_zones(),
        evidence: vec![
            Fact::count("syns_arrived", never.iter().map(|node| node.recent.arrived).sum(), FactOrigin::Hook),
            Fact::count("interface_packets", packets, FactOrigin::Interface),
            Fact::seconds("watched_seconds", waited, FactOrigin::Hook),
            own.interval_fact(),
        ],
        sources,
    })
}

/// Whether connections like health checks of a node come to a watched port that was not said to be checked.
fn shows_elsewhere(case: &Case<'_>, node: &Expected) -> bool {
    let mut others = case
        .history
        .tracks()
        .filter(|(key, _)| node.slots.contains(&key.slot) && !case.history.priors().may_be_probed(key.port));
    others.any(|(_, track)| case.recent(track).probes() > 0)
}

/// Whether the health checks of a node whose clients come here are the handshakes that were found to fail: then they do come.
fn are_refused(case: &Case<'_>, node: &Expected, found: &[Finding]) -> bool {
    let is_about_it = |finding: &Finding| {
        finding.code == Code::TlsMismatch && finding.is_fault() && finding.sources.contains(&node.label)
    };
    node.by_behaviour && found.iter().any(is_about_it) && may_go_on(case, node)
}

/// Whether health checks of a node hang or hide in encryption, as many as are missed.
fn may_go_on(case: &Case<'_>, node: &Expected) -> bool {
    let mut tracks = case
        .history
        .tracks()
        .filter(|(key, _)| node.slots.contains(&key.slot) && case.history.priors().may_be_probed(key.port));
    let (waited, interval) = (waited(case, node), node.interval);
    tracks.any(|(key, track)| silent::may_go_on(case, key, track, waited, interval))
}

/// Health checks of another node that must be recognised here to tell what those of this one would look like.
const RECOGNISED: u64 = 3;

/// Whether health checks of a node whose clients come here would come here, too, and be recognised: those of another node do and
/// are, and one target group has one health check; and nothing of this one hangs or hides in encryption instead.
fn would_be_recognised(case: &Case<'_>, node: &Expected, expected: &[Expected]) -> bool {
    let is_checking = |other: &Expected| {
        let is_recent = |last: Duration| case.now.saturating_sub(last) <= 2 * other.interval;
        other.recent.probes() >= RECOGNISED && other.last_probe.is_some_and(is_recent)
    };
    case.history.is_interval_known() && expected.iter().any(is_checking) && !may_go_on(case, node)
}

/// How long a node was expected in vain.
fn waited(case: &Case<'_>, node: &Expected) -> Duration {
    case.now.saturating_sub(node.known_since)
}

pub(super) fn candidates(case: &Case<'_>, reach: Reach) -> String {
    case.facts().missing_probes(port(case), reach)
}
