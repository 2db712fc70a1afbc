//! SYNs that reached TCP and got no SYN-ACK, or one whose handshake the listener could not finish.

use std::time::Duration;

use crate::domain::{
    diagnosis::{Case, Group, list, return_route, unaccounted::Account},
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
    findings.extend(queue_full(case, group).or_else(|| return_route::missing(case, group)));
}

/// NO_SOCKET on the SYN, RST out: nothing listens there, or something listens elsewhere.
fn refused(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    // Each that is named was sent an RST: what others got proves nothing of it.
    let members = group.members.iter().filter(|(_, track)| case.recent(track).refused > 0);
    let group = &Group { members: members.copied().collect(), ..*group };
    let hit = case.hit(group, |step| step.no_socket(), |step| step.answered())?;
    let of_hit = group.members.iter().filter(|(key, _)| hit.includes(case, *key));
    let refused: u64 = of_hit.map(|(_, track)| case.recent(track).refused).sum();
    let listeners = case.history.listeners(case.history.local_port(group.port))?;
    // With one that serves them by now the cause is over, the application has started. But one that is bound to a single address
    // of several serves nobody who comes to another.
    let is_served = is_served(case, &hit.sources, &listeners) && !is_beside(case, group, &listeners);
    if is_served {
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

/// Longer than a restart between two readings, of which neither missed the listener.
const NO_RESTART: Duration = Duration::from_secs(2);

/// Whether listeners on single addresses were there all the time while SYNs were refused, so that they came to another address of
/// this interface.
fn is_beside(case: &Case<'_>, group: &Group<'_>, listeners: &[&Listener]) -> bool {
    let Some(since) = case.history.listening_since(case.history.local_port(group.port)) else { return false };
    if listeners.iter().any(|listener| listener.address.is_unspecified()) {
        return false;
    }
    let from = since.max(case.now.saturating_sub(case.history.window()));
    group.members.iter().any(|(_, track)| {
        let mut refused = track.since(from).filter(|(at, step)| *at > since && step.no_socket() > 0);
        let (first, last) = (refused.next(), refused.last());
        first.zip(last).is_some_and(|((first, _), (last, _))| last - first >= NO_RESTART)
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
    let unaccounted = |track: &Track, age| Account::sure(case, track, age).unaccounted();
    // Those that were seen are among the unanswered at once; others of them came another way than by this interface.
    let seen = |track: &Track| case.recent(track).queue_full.min(unaccounted(track, Duration::ZERO));
    let stuck =
        stuck(group, |track| seen(track).max(unaccounted(track, SYNCHRONOUS)) + unfinished(case, track));
    if stuck.is_empty() {
        return None;
    }
    let sources = labels(case, &stuck);
    let attempts: u64 = stuck.iter().map(|(_, count)| count).sum();
    let seen: u64 = group.members.iter().map(|(_, track)| seen(track)).sum();
    let (backlog, limit) = (listener.backlog, listener.backlog_limit);
    let mut evidence = vec![
        Fact::count("attempts_left_hanging", attempts, FactOrigin::Hook),
        Fact::count("listen_overflows", overflows, FactOrigin::Netstat),
        Fact::count("accept_queue", u64::from(backlog), FactOrigin::SocketTable),
        Fact::count("accept_queue_limit", u64::from(limit), FactOrigin::SocketTable),
    ];
    // Not every kernel lets it be seen, and those that came to the final ACK were not there.
    evidence.extend((seen > 0).then(|| Fact::count("syns_at_full_queue", seen, FactOrigin::Hook)));
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
        evidence,
        sources,
    })
}

/// The kernel answers a SYN before it takes the next packet, or counts why it does not. What is older and has neither was met by
/// the counters that the same reading shows; this only leaves room for the time that a reading takes.
pub const SYNCHRONOUS: Duration = Duration::from_millis(100);

/// Whether SYNs of the latest reading hang as they do before a full queue, and another reading soon would tell.
pub fn hang_before_queue(case: &Case<'_>) -> bool {
    if case.history.host_growth(case.now).listen_overflows.is_none_or(|count| count == 0) {
        return false;
    }
    let is_full = |group: &&Group<'_>| {
        case.concerns(group) && case.history.full_listener(group.port, case.now).is_some()
    };
    case.groups().iter().filter(is_full).any(|group| {
        let of = |track: &Track, age| Account::sure(case, track, age).unaccounted();
        let hang = |age| group.members.iter().any(|(_, track)| of(track, age) > 0);
        hang(Duration::ZERO) && !hang(SYNCHRONOUS)
    })
}

/// Where other listeners overflowed, what says that the port's own did not.
pub fn nobody_waited(overflows_of_others: u64) -> Option<Fact> {
    (overflows_of_others > 0).then(|| Fact::count("accept_queue", 0, FactOrigin::SocketTable))
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
