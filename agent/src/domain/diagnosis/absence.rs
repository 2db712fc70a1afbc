//! What should arrive and does not.
//!
//! A security group or NACL drops in front of the guest, so absence is all there is to see. It is never proven, and
//! it says nothing while the interface receives nothing at all.

use std::time::Duration;

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::{Case, Expected, advice::Reach, expected, list, other_port, spoken},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::TallyKey,
    sources::Source,
    stage::{Place, Stage},
    tally::Dropped,
};

/// When all nodes stop and clients go on, it may be a deregistration: inferred only after this long.
const ALL_STOPPED: Duration = Duration::from_secs(120);

/// When clients stop too, it looks like a deploy; a task that lives on this long was not deregistered.
const WITHDRAWN: Duration = Duration::from_secs(300);

/// Adds what is missing.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    // Nodes whose health checks go to another port are not missed: that finding says all of them.
    let (elsewhere, expected) = other_port::part(case, expected(case));
    let first = elsewhere.first().map(|elsewhere| &elsewhere.node);
    findings.extend(other_port::finding(case, &elsewhere, class(case, first), port(case)));
    let nothing = if elsewhere.is_empty() { nothing_arrives(case) } else { None };
    let never_came = nothing.into_iter().chain(missing(case, &expected));
    findings.extend(never_came.map(|finding| note_youth(case, finding)));
    findings.extend(stopped(case, &expected));
}

/// The class a finding about a node's probes is filed under: the one its row has.
fn class(case: &Case<'_>, node: Option<&Expected>) -> SourceClass {
    let priors = case.history.watch.priors;
    let port = priors.health_port.or(case.history.watch.ports.first().copied()).unwrap_or(0);
    match node {
        Some(node) => case.history.class(TallyKey { slot: node.slot, port }, case.sources),
        None => priors.classify(Role::Node, port),
    }
}

/// Absence means something only while the interface demonstrably receives. Packets from before the silence prove
/// nothing; a quiet interface may need all of the silence, as far as it is remembered, to receive one.
fn receives(case: &Case<'_>, silence: Duration) -> Option<(u64, Duration)> {
    let within = silence.min(case.history.window());
    let packets = case.history.interface_packets_since(case.now.saturating_sub(within))?;
    (packets > 0).then_some((packets, within))
}

/// A program of somebody else in front may be what drops: absence is then no more than suspected.
fn at_most(case: &Case<'_>, confidence: Confidence) -> Confidence {
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

fn port(case: &Case<'_>) -> Option<u16> {
    case.history.watch.priors.health_port.or(match case.history.watch.ports[..] {
        [port] => Some(port),
        _ => None,
    })
}

fn nothing_arrives(case: &Case<'_>) -> Option<Finding> {
    let interval = case.history.interval(&[], case.sources);
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
            Fact::seconds("interval_seconds", interval, FactOrigin::Settings),
        ],
    })
}

fn missing(case: &Case<'_>, expected: &[Expected]) -> Option<Finding> {
    // A node of another zone may have no reason to check this target: where the own zone's is known, it is the one to miss.
    let zone_is_known = expected.iter().any(|node| node.is_own_zone);
    let never: Vec<_> = expected
        .iter()
        .filter(|node| node.is_own_zone || !zone_is_known)
        // Whoever was learned did come.
        .filter(|node| node.learned.is_none())
        .filter(|node| node.first.is_none() && node.before_hook == 0 && waited(case, node) >= node.interval)
        .collect();
    let longest = never.iter().map(|node| node.interval).max()?;
    let waited = never.iter().map(|node| waited(case, node)).min()?;
    let (packets, _) = receives(case, waited)?;
    // The health checks of nodes whose clients come here may go to another port, or not be recognised.
    let may_be_elsewhere = never.iter().any(|node| node.by_behaviour);
    let is_trying = never.iter().any(|node| other_port::is_trying(case, node));
    let is_sure = waited >= 3 * longest && !may_be_elsewhere && !is_trying;
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
            let candidates = candidates(case, others_come);
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
            Fact::seconds("interval_seconds", longest, FactOrigin::Settings),
        ],
        sources,
    })
}

/// A node that was seen only once or twice has no rhythm that could break off: while others go on, that is a finding of
/// its own.
fn stopped(case: &Case<'_>, expected: &[Expected]) -> Vec<Finding> {
    let Some((silent, alive)) = silent(case, expected) else { return Vec::new() };
    let others_go_on = alive.iter().any(|node| silence(case, node) <= 2 * node.interval);
    let (often, seldom): (Vec<&Expected>, Vec<&Expected>) =
        silent.into_iter().partition(|node| node.sent_often || !others_go_on);
    [(often, None), (seldom, Some(Code::ProbesPartial))]
        .into_iter()
        .filter_map(|(silent, code)| fell_silent(case, &silent, &alive, code))
        .collect()
}

/// The nodes that were heard and are silent for three intervals, and the others.
fn silent<'a>(case: &Case<'_>, expected: &'a [Expected]) -> Option<(Vec<&'a Expected>, Vec<&'a Expected>)> {
    let seen = expected.iter().filter(|node| node.last.is_some() && node.has_rhythm);
    let (silent, alive): (Vec<_>, Vec<_>) =
        seen.partition(|node| node.before_hook == 0 && silence(case, node) > 3 * node.interval);
    (!silent.is_empty()).then_some((silent, alive))
}

fn fell_silent(
    case: &Case<'_>,
    silent: &[&Expected],
    alive: &[&Expected],
    named: Option<Code>,
) -> Option<Finding> {
    let longest = silent.iter().map(|node| node.interval).max()?;
    let shortest_silence = silent.iter().map(|node| silence(case, node)).min()?;
    let (packets, _) = receives(case, shortest_silence)?;
    let others_go_on = alive.iter().any(|node| silence(case, node) <= 2 * node.interval);
    let last_client = case.last_client();
    // Whoever left with them came last within one interval of the last probe.
    let last_probe = case.now.saturating_sub(shortest_silence);
    let clients_go_on = last_client
        .is_some_and(|last| last >= last_probe + longest && case.now.saturating_sub(last) <= 3 * longest);
    let (code, severity, confidence) = if others_go_on {
        (named.unwrap_or(Code::ProbesStopped), Severity::Fault, Confidence::Inferred)
    } else if !alive.is_empty() {
        // The rest is late too: wait until it is silent or goes on.
        return None;
    } else if clients_go_on {
        let surer = shortest_silence >= ALL_STOPPED;
        let confidence = if surer { Confidence::Inferred } else { Confidence::Suspected };
        (Code::ProbesStopped, Severity::Fault, confidence)
    } else if shortest_silence >= WITHDRAWN {
        (Code::ProbesStopped, Severity::Fault, Confidence::Inferred)
    } else {
        (Code::ProbesWithdrawn, Severity::Note, Confidence::Inferred)
    };
    // Connections that are told apart by behaviour may also have ceased to end, or to be recognised. Where nobody knows the
    // interval, this may be one. An ALB's nodes, which call themselves as an NLB's do, come and go.
    let is_unsure =
        |node: &&Expected| node.by_behaviour || node.learned.is_some() || other_port::is_trying(case, node);
    let is_guess = silent.iter().any(is_unsure) || !case.history.is_interval_known();
    let confidence = if is_guess { Confidence::Suspected } else { confidence };
    let sources: Vec<_> = silent.iter().map(|node| node.label.clone()).collect();
    let context = if others_go_on {
        "another node goes on"
    } else if clients_go_on {
        "clients go on"
    } else if last_client.is_some() {
        "clients stopped too"
    } else {
        "no client was seen that could go on"
    };
    Some(Finding {
        code,
        severity,
        confidence: at_most(case, confidence),
        class: class(case, silent.first().copied()),
        port: port(case),
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "{} from {} for {} s after {}; {context}",
            if silent.iter().all(|node| node.by_behaviour) { "no health check" } else { "no SYN" },
            list(&sources),
            shortest_silence.as_secs(),
            if named.is_some() { "one or two".to_owned() } else { format!("one every {}", spoken(longest)) },
        ),
        advice: if code == Code::ProbesWithdrawn && last_client.is_some() {
            "This is what a deregistration or a deploy looks like; nothing to do unless the task lives on."
                .to_owned()
        } else if code == Code::ProbesWithdrawn {
            let candidates = candidates(case, false);
            format!("A deregistration or a deploy looks like this. If it is none: {candidates}")
        } else if others_go_on {
            candidates(case, true)
        } else {
            let candidates = candidates(case, false);
            format!("Deregistered on purpose, or a security group, ACL or NLB was changed. {candidates}")
        },
        evidence: vec![
            Fact::seconds("silent_seconds", shortest_silence, FactOrigin::Hook),
            Fact::seconds("interval_seconds", longest, FactOrigin::Settings),
            Fact::count("interface_packets", packets, FactOrigin::Interface),
            Fact::count("other_nodes_alive", alive.len() as u64, FactOrigin::Hook),
        ],
        sources,
    })
}

/// How long a node was expected in vain.
fn waited(case: &Case<'_>, node: &Expected) -> Duration {
    case.now.saturating_sub(node.known_since)
}

fn silence(case: &Case<'_>, node: &Expected) -> Duration {
    case.now.saturating_sub(node.last.unwrap_or_default())
}

fn candidates(case: &Case<'_>, others_come: bool) -> String {
    let reach = if others_come { Reach::Some } else { Reach::All };
    case.facts().missing_probes(port(case), reach)
}
