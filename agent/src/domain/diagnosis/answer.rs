//! SYNs that reached TCP and got no SYN-ACK, or one whose handshake the listener could not finish.

use std::time::Duration;

use crate::domain::{
    diagnosis::{Case, Group, list, unaccounted_for},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::{Listener, TallyKey},
    stage::{Place, Stage},
    track::Track,
};

/// Adds what keeps the group from being answered.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if !case.concerns(group) {
        return;
    }
    findings.extend(refused(case, group));
    findings.extend(queue_full(case, group).or_else(|| no_route(case, group)));
}

/// NO_SOCKET on the SYN, RST out: nothing listens there, or something listens elsewhere.
fn refused(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let hit = case.hit(group, |step| step.no_socket(), |step| step.answered())?;
    let refused: u64 = group.members.iter().map(|(_, track)| case.recent(track).refused).sum();
    let listeners = case.history.listeners(case.history.local_port(group.port))?;
    // With one that serves them by now the cause is over, the application has started.
    if refused == 0 || is_served(case, &hit.sources, &listeners) {
        return None;
    }
    let port = group.port;
    let seconds = case.evidence_seconds();
    let counted = format!(
        "{} from {}: {} of {} SYNs refused with RST in {seconds} s",
        group.class.name(),
        list(&hit.sources),
        hit.failed,
        hit.of
    );
    let mut evidence = vec![
        Fact::count("syns_without_socket", hit.failed, FactOrigin::Hook),
        Fact::count("resets_sent", refused, FactOrigin::Hook),
        Fact::count("listeners_on_port", listeners.len() as u64, FactOrigin::SocketTable),
    ];
    let (code, summary, advice) = if listeners.is_empty() {
        (
            Code::NoListener,
            format!("{counted}, nothing listens on port {port}"),
            case.facts().start_listening(port),
        )
    } else {
        let addresses = addresses(&listeners);
        let is_v6 = hit.sources.iter().any(|source| source.contains(':'));
        evidence.push(Fact::text("listening_on", addresses.clone(), FactOrigin::SocketTable));
        (
            Code::ListenerElsewhere,
            format!("{counted}, the listener on port {port} is bound to {addresses} only"),
            case.facts().listen_elsewhere(port, &listeners, is_v6),
        )
    };
    Some(Finding {
        code,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(port),
        sources: hit.sources,
        stage: Stage::Answered,
        place: Place::Listener,
        summary,
        advice,
        evidence,
    })
}

/// Whether a listener takes what these sources send; their labels are addresses or prefixes.
fn is_served(case: &Case<'_>, sources: &[String], listeners: &[&Listener]) -> bool {
    let own = &case.history.watch.addresses;
    let serves = |v6| listeners.iter().any(|listener| listener.serves(v6, own));
    sources.iter().all(|source| match source.contains(':') {
        true => serves(true),
        false if source.contains('.') => serves(false),
        // Anybody, of any family that this interface has.
        false => own.iter().all(|address| serves(address.is_ipv6())),
    })
}

fn addresses(listeners: &[&Listener]) -> String {
    let texts: Vec<_> = listeners.iter().map(|listener| listener.address.to_string()).collect();
    texts.join(", ")
}

/// The listener's queue is over its limit, the kernel counted overflows, and attempts of this group went nowhere: not
/// answered at all (overflow at the SYN), or answered and not finished (overflow at the final ACK).
fn queue_full(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let overflows = case.history.host_growth(case.now).listen_overflows.filter(|count| *count > 0)?;
    let listener = case.history.full_listener(group.port, case.now)?;
    let stuck = stuck(group, |track| unaccounted_for(case, track, SYNCHRONOUS) + unfinished(case, track));
    if stuck.is_empty() {
        return None;
    }
    let sources = labels(case, &stuck);
    let attempts: u64 = stuck.iter().map(|(_, count)| count).sum();
    let (backlog, limit) = (listener.backlog, listener.backlog_limit);
    Some(Finding {
        code: Code::AcceptQueueFull,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Answered,
        place: Place::Listener,
        summary: format!(
            "{} from {}: {attempts} attempts left hanging in {} s, the accept queue holds {backlog} of {limit} \
             and overflowed {overflows} times",
            group.class.name(),
            list(&sources),
            case.evidence_seconds(),
        ),
        advice: case.facts().accept_faster(group.port, limit),
        evidence: vec![
            Fact::count("attempts_left_hanging", attempts, FactOrigin::Hook),
            Fact::count("listen_overflows", overflows, FactOrigin::Netstat),
            Fact::count("accept_queue", u64::from(backlog), FactOrigin::SocketTable),
            Fact::count("accept_queue_limit", u64::from(limit), FactOrigin::SocketTable),
        ],
        sources,
    })
}

/// The kernel answers a SYN before it takes the next packet, or counts why it does not. What is older and has neither was met by
/// the counters that the same reading shows; this only leaves room for the time that a reading takes.
const SYNCHRONOUS: Duration = Duration::from_millis(100);

/// Whether SYNs of the latest reading hang as they do without a route back or before a full queue, and another reading soon would
/// tell.
pub fn is_hanging(case: &Case<'_>) -> bool {
    // First what is cheap: this is asked at every reading of every target.
    let growth = case.history.host_growth(case.now);
    let grew = |count: Option<u64>| count.is_some_and(|count| count > 0);
    let overflowed = grew(growth.listen_overflows);
    let lacks_route = grew(growth.out_no_routes) && grew(growth.listen_drops);
    if !overflowed && !lacks_route {
        return false;
    }
    let concerned = |group: &&Group<'_>| {
        case.concerns(group) && (!overflowed || case.history.full_listener(group.port, case.now).is_some())
    };
    case.groups().iter().filter(concerned).any(|group| {
        let hangs =
            |age: Duration| group.members.iter().any(|(_, track)| unaccounted_for(case, track, age) > 0);
        hangs(Duration::ZERO) && !hangs(SYNCHRONOUS)
    })
}

/// The kernel found no route for the SYN-ACK: it counts a listen drop, no overflow, and no packet is seen to drop.
fn no_route(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let growth = case.history.host_growth(case.now);
    let no_routes = growth.out_no_routes.filter(|count| *count > 0)?;
    let listen_drops = growth.listen_drops.filter(|count| *count > 0)?;
    let overflows = growth.listen_overflows?;
    if case.may_be_strangers(group) {
        return None;
    }
    let stuck = stuck(group, |track| unaccounted_for(case, track, SYNCHRONOUS));
    if overflows > 0 || stuck.is_empty() {
        return None;
    }
    let sources = labels(case, &stuck);
    let attempts: u64 = stuck.iter().map(|(_, count)| count).sum();
    let example = sources.first().cloned().unwrap_or_default();
    Some(Finding {
        code: Code::NoReturnRoute,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Answered,
        place: Place::HostNetwork,
        summary: format!(
            "{} from {}: {attempts} SYNs not answered in {} s, this host has no route back",
            group.class.name(),
            list(&sources),
            case.evidence_seconds(),
        ),
        advice: case.facts().add_route(group.class, example.split('/').next().unwrap_or("")),
        evidence: vec![
            Fact::count("syns_not_answered", attempts, FactOrigin::Hook),
            Fact::count("out_no_routes", no_routes, FactOrigin::Netstat),
            Fact::count("listen_drops", listen_drops, FactOrigin::Netstat),
            Fact::count("listen_overflows", overflows, FactOrigin::Netstat),
        ],
        sources,
    })
}

/// Attempts that were answered and whose final ACK was never taken.
pub fn unfinished(case: &Case<'_>, track: &Track) -> u64 {
    case.settled(track).answered().saturating_sub(case.recent(track).established)
}

/// The members for which `count` is not zero.
pub fn stuck(group: &Group<'_>, count: impl Fn(&Track) -> u64) -> Vec<(TallyKey, u64)> {
    group.members.iter().map(|(key, track)| (*key, count(track))).filter(|(_, count)| *count > 0).collect()
}

/// The labels of those members.
pub fn labels(case: &Case<'_>, stuck: &[(TallyKey, u64)]) -> Vec<String> {
    stuck.iter().map(|(key, _)| case.sources.label(key.slot)).collect()
}
