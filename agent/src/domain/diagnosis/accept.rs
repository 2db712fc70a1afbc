//! Connections that are established and that the application never takes.

use std::time::Duration;

use crate::domain::{
    diagnosis::{Case, Group, list, spoken},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    health::Protocol,
    host_log::Waiting,
    stage::{Place, Stage},
};

/// An accept loop that pauses, while a runtime collects its garbage say, is none that stopped: connections must wait in every
/// reading for this long at least, the shortest timeout of a health check.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);

/// Shortest default timeout of a health check, that over HTTP (AWS, NLB health check settings).
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(6);

/// Adds that nobody accepts. The kernel takes a connection off the queue only when it is accepted, even one whose peer has
/// gone: so whatever was established since the queue was last empty must still be in it.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if case.concerns(group) {
        findings.extend(not_accepting(case, group));
    }
}

/// A pause that no health check notices harms nobody: it has to last as long as one waits.
fn pause(case: &Case<'_>) -> Duration {
    let watch = &case.history.watch;
    let guess = || {
        let shortest = watch.health_protocol.map_or(DEFAULT_TIMEOUT, Protocol::default_timeout);
        shortest.min(case.history.interval(&[], case.sources))
    };
    watch.health_timeout.unwrap_or_else(guess).max(SHORTEST_PAUSE)
}

/// How soon it will be sure that nobody accepts what waits now, if nobody does until then.
pub fn due(case: &Case<'_>) -> Option<Duration> {
    if !case.history.watch.ports.iter().any(|port| case.history.waiting(*port).is_some()) {
        return None;
    }
    let left = |group: &Group<'_>| {
        let stuck = Stuck::find(case, group.port).filter(|stuck| !stuck.is_full())?;
        pause(case).checked_sub(stuck.waiting.watched)
    };
    let groups = case.groups();
    groups.iter().filter(|group| case.concerns(group)).filter_map(left).filter(|left| !left.is_zero()).min()
}

/// A queue in which connections wait and from which none was taken since.
struct Stuck {
    /// How it stands.
    waiting: Waiting,
    /// For how long.
    since: Duration,
    /// Connections that were established since.
    established: u64,
}

impl Stuck {
    fn find(case: &Case<'_>, port: u16) -> Option<Self> {
        let waiting = case.history.waiting(port)?;
        let tracks = case.history.tracks().filter(|(key, _)| key.port == port);
        let established =
            tracks.map(|(_, track)| track.between(waiting.since, case.now).established).sum::<u64>();
        let since = case.now.saturating_sub(waiting.since);
        (established <= u64::from(waiting.backlog)).then_some(Self { waiting, since, established })
    }

    /// A queue over its limit is a finding of its own.
    const fn is_full(&self) -> bool {
        self.waiting.backlog > self.waiting.limit
    }
}

/// Whether what waits for an answer on a port may wait to be accepted, and it is not known yet: a health check gives up before
/// it is sure that its queue does not move, and would be said to wait for the application's answer.
pub fn may_be_unaccepted(case: &Case<'_>, port: u16) -> bool {
    Stuck::find(case, port).is_some_and(|stuck| stuck.is_full() || stuck.waiting.watched < pause(case))
}

fn not_accepting(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let stuck = Stuck::find(case, group.port)?;
    if stuck.is_full() || stuck.waiting.watched < pause(case) {
        return None;
    }
    let Stuck { waiting, since, established } = stuck;
    // The first of them was established before the reading that saw it.
    let hit: Vec<_> = group.members.iter().filter(|(_, track)| case.recent(track).established > 0).collect();
    if hit.is_empty() {
        return None;
    }
    let sources: Vec<_> = hit.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    let backlog = u64::from(waiting.backlog);
    Some(Finding {
        code: Code::AppNotAccepting,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Served,
        place: Place::Application,
        summary: format!(
            "{} from {}: connections are established and not accepted, {backlog} wait and none was taken for {}",
            group.class.name(),
            list(&sources),
            spoken(since),
        ),
        advice: case.facts().accept(group.port),
        evidence: vec![
            Fact::count("connections_waiting", backlog, FactOrigin::SocketTable),
            Fact::count("accept_queue_limit", u64::from(waiting.limit), FactOrigin::SocketTable),
            Fact::count("connections_established", established, FactOrigin::Hook),
            Fact::seconds("waited_seconds", since, FactOrigin::SocketTable),
        ],
        sources,
    })
}
