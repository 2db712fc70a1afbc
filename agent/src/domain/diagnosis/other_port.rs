//! Health checks that go to a port nobody watches: a node is missing on the watched ports and sends SYNs to another one.
//!
//! Such SYNs are counted only while a node is missing ([`is_sought`]): what a node with its health checks in place sends
//! elsewhere is another target group's, and nobody's concern.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::domain::{
    class::{ClientIp, SourceClass},
    diagnosis::{Case, Expected, absence, advice::Reach, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::Listener,
    stage::{Place, Stage},
};

/// Attempts of a node on one port: a single one proves no habit.
const ATTEMPTS: u64 = 2;

/// The same of a sender in a prefix, who may be no node.
const ATTEMPTS_IN_A_PREFIX: u64 = 3;

/// Attempts an interval that are more than health checks: clients of another listener.
const TOO_MANY: u64 = 10;

/// What one node sends to ports that are not watched.
pub struct Elsewhere {
    /// The node.
    pub node: Expected,
    ports: BTreeMap<u16, u64>,
    senders: BTreeSet<String>,
}

/// Whether it is worth looking where a node's SYNs go: it was not heard yet, or was to be heard by now.
pub fn is_sought(case: &Case<'_>, node: &Expected) -> bool {
    node.before_hook == 0 && (node.last.is_none() || is_overdue(case, node))
}

/// Whether a node tried another port just now: it may be about to be found there.
pub fn is_trying(case: &Case<'_>, node: &Expected) -> bool {
    let tried = case.history.strays().since(case.now.saturating_sub(2 * node.interval));
    tried.iter().any(|((slot, _), attempts)| node.slots.contains(slot) && *attempts <= 2 * TOO_MANY)
}

/// Whether a node was to be heard by now.
fn is_overdue(case: &Case<'_>, node: &Expected) -> bool {
    node.before_hook == 0 && silence(case, node) >= node.interval
}

/// Since when nothing came that was expected.
fn silence(case: &Case<'_>, node: &Expected) -> Duration {
    case.now.saturating_sub(node.last.unwrap_or(node.known_since))
}

/// Parts the nodes whose health checks go to another port from the rest.
pub fn part(case: &Case<'_>, expected: Vec<Expected>) -> (Vec<Elsewhere>, Vec<Expected>) {
    let (mut elsewhere, mut rest) = (Vec::new(), Vec::new());
    for node in expected {
        match ports(case, &node) {
            Some((ports, senders)) => elsewhere.push(Elsewhere { node, ports, senders }),
            None => rest.push(node),
        }
    }
    (elsewhere, rest)
}

/// Where the health checks of a node that is missing go, and who sends them.
fn ports(case: &Case<'_>, node: &Expected) -> Option<(BTreeMap<u16, u64>, BTreeSet<String>)> {
    let is_silent = match node.last {
        None => is_overdue(case, node),
        // One that is a little late is not missing.
        Some(_) => is_overdue(case, node) && node.has_rhythm && silence(case, node) > 2 * node.interval,
    };
    if !is_silent {
        return None;
    }
    let from = node.last.unwrap_or_default().max(case.now.saturating_sub(case.history.window()));
    let intervals = (case.now - from).as_millis() / node.interval.as_millis().max(1) + 1;
    let most = TOO_MANY.saturating_mul(u64::try_from(intervals).unwrap_or(u64::MAX));
    let least = if node.is_named { ATTEMPTS } else { ATTEMPTS_IN_A_PREFIX };
    let (mut ports, mut senders) = (BTreeMap::new(), BTreeSet::new());
    for ((slot, port), attempts) in case.history.strays().since(from) {
        if node.slots.contains(&slot) && (least..=most).contains(&attempts) {
            *ports.entry(port).or_default() += attempts;
            senders.insert(case.sources.label(slot));
        }
    }
    (!ports.is_empty()).then_some((ports, senders))
}

/// The finding about them; `rest` are the other nodes, `class` and `port` those of findings about absence.
pub fn finding(
    case: &Case<'_>,
    elsewhere: &[Elsewhere],
    rest: &[Expected],
    class: SourceClass,
    port: Option<u16>,
) -> Option<Finding> {
    let silent = elsewhere.iter().map(|elsewhere| silence(case, &elsewhere.node)).min()?;
    let mut ports: BTreeMap<u16, u64> = BTreeMap::new();
    for (port, attempts) in elsewhere.iter().flat_map(|elsewhere| &elsewhere.ports) {
        *ports.entry(*port).or_default() += attempts;
    }
    let senders: BTreeSet<_> = elsewhere.iter().flat_map(|elsewhere| &elsewhere.senders).cloned().collect();
    let sources: Vec<_> = senders.into_iter().collect();
    let arrived = elsewhere.iter().map(|elsewhere| elsewhere.node.recent.arrived).sum();
    let is_readable = ports.keys().all(|port| case.history.listeners(*port).is_some());
    let (deaf, others): (Vec<u16>, Vec<u16>) =
        ports.keys().partition(|port| is_readable && !listens(case, **port));
    // What is served there may be another target group's, while this one's health checks are kept away.
    let otherwise = others.first().map(|port| {
        let reach = if rest.iter().any(|node| node.first.is_some()) { Reach::Some } else { Reach::All };
        format!(
            "\nIf another target group of this task checks port {port}, this one's health checks are missing. {}",
            absence::candidates(case, reach)
        )
    });
    let is_sure = others.is_empty() && elsewhere.iter().all(|elsewhere| only_probes(case, &elsewhere.node));
    let watched = case.history.watch.ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let mut evidence = vec![
        Fact::text("stray_ports", named(ports.keys().copied()), FactOrigin::Hook),
        Fact::count("stray_attempts", ports.values().sum(), FactOrigin::Hook),
        Fact::count("syns_arrived", arrived, FactOrigin::Hook),
        Fact::seconds("silent_seconds", silent, FactOrigin::Hook),
    ];
    if is_readable {
        evidence.push(Fact::count("stray_ports_listened_on", others.len() as u64, FactOrigin::SocketTable));
    }
    Some(Finding {
        code: Code::ProbesOtherPort,
        severity: Severity::Fault,
        confidence: if is_sure { Confidence::Proven } else { Confidence::Inferred },
        class,
        port,
        stage: Stage::Arrived,
        place: Place::BeforeThisHost,
        summary: format!(
            "{} from {} to port {}, {}; {} to port {watched} in {} s",
            attempts(ports.values().sum()),
            list(&sources),
            named(ports.keys().copied()),
            match (others.is_empty(), deaf.is_empty()) {
                (true, _) => "where nothing listens".to_owned(),
                _ if !is_readable => "and what listens there is not known".to_owned(),
                (false, true) => "where something listens".to_owned(),
                (false, false) =>
                    format!("of which something listens on {} only", named(others.iter().copied())),
            },
            if arrived == 0 { "none" } else { "no health check" },
            silent.as_secs().max(1),
        ),
        advice: case.facts().other_port(&ports, &deaf) + &otherwise.unwrap_or_default(),
        evidence,
        sources,
    })
}

/// Whether a node sends nothing but health checks: it is one, and clients keep their addresses. On a port that nobody serves
/// a client's SYN looks like any other.
fn only_probes(case: &Case<'_>, node: &Expected) -> bool {
    let is_kept = case.history.watch.priors.client_ip == ClientIp::Preserved;
    let is_client = absence::class(case, Some(node)) != SourceClass::NlbProbe;
    node.is_named && !node.by_behaviour && is_kept && !is_client
}

/// Whether something listens on a port that can be reached from outside.
fn listens(case: &Case<'_>, port: u16) -> bool {
    let own = &case.history.watch.addresses;
    let serves = |listener: &&Listener| own.iter().any(|address| listener.serves(address.is_ipv6(), own));
    case.history.listeners(port).is_some_and(|listeners| listeners.iter().any(serves))
}

fn attempts(count: u64) -> String {
    format!("{count} connection attempts")
}

fn named(ports: impl Iterator<Item = u16>) -> String {
    ports.map(|port| port.to_string()).collect::<Vec<_>>().join(", ")
}
