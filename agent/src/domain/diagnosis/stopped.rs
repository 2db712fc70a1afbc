//! What came, and does not come any more.

use std::time::Duration;

use crate::domain::{
    class::SourceClass,
    diagnosis::{
        Case, Expected, Kinds,
        absence::{at_most, candidates, class, port, receives},
        advice::Reach,
        list, other_port, spoken,
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::TallyKey,
    stage::{Place, Stage},
    track::Track,
};

/// When all nodes stop and clients go on, it may be a deregistration: inferred only after this long.
const ALL_STOPPED: Duration = Duration::from_secs(120);

/// When clients stop too, it looks like a deploy; a task that lives on this long was not deregistered.
const WITHDRAWN: Duration = Duration::from_secs(300);

/// Whoever else goes on while nodes are silent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoesOn {
    /// The health checks of another node.
    Node,
    /// Perhaps another node's: they are late, and no more.
    Late,
    /// Clients, from whatever address.
    Clients,
    /// Nobody who came before.
    Nobody,
}

/// Nodes that fell silent. One that was seen only once or twice has no rhythm that could break off: while others go on, that
/// is a finding of its own. Where such a few are told from clients of the same address, which go on, something else may have looked
/// like them: nothing is said unless another node goes on, and then no more than suspected.
pub fn find(case: &Case<'_>, expected: &[Expected]) -> Vec<Finding> {
    let seen = expected.iter().filter(|node| node.last.is_some() && node.has_rhythm);
    let (silent, alive): (Vec<_>, Vec<_>) =
        seen.partition(|node| node.before_hook == 0 && silence(case, node) > 3 * node.interval);
    let others_go_on = alive.iter().any(|node| probes_go_on(case, node));
    let (few, silent): (Vec<&Expected>, Vec<&Expected>) =
        silent.into_iter().partition(|node| node.by_behaviour && !node.sent_often);
    let (often, mut seldom): (Vec<&Expected>, Vec<&Expected>) =
        silent.into_iter().partition(|node| node.sent_often || !others_go_on);
    // They would take the certainty from the others.
    if seldom.is_empty() && others_go_on {
        seldom = few;
    }
    [(often, None), (seldom, Some(Code::ProbesPartial))]
        .into_iter()
        .filter_map(|(silent, code)| fell_silent(case, &silent, &alive, code))
        .collect()
}

fn silence(case: &Case<'_>, node: &Expected) -> Duration {
    case.now.saturating_sub(node.last.unwrap_or_default())
}

/// Whether health checks of a node go on; SYNs of clients with its address do not say so.
fn probes_go_on(case: &Case<'_>, node: &Expected) -> bool {
    node.last_probe.is_some_and(|last| case.now.saturating_sub(last) <= 2 * node.interval)
}

/// Whether only others than health checks of a node, or what nobody can tell from them, go on.
fn is_alive_by_others(case: &Case<'_>, node: &Expected) -> bool {
    let no_probe = || node.last_probe.is_none_or(|last| case.now.saturating_sub(last) > 3 * node.interval);
    node.kinds != Kinds::Probes && no_probe()
}

/// Who goes on, when health checks that came every `longest` are silent for `silent_for`.
fn goes_on(case: &Case<'_>, alive: &[&Expected], longest: Duration, silent_for: Duration) -> GoesOn {
    let (others, nodes): (Vec<&Expected>, Vec<&Expected>) =
        alive.iter().partition(|node| is_alive_by_others(case, node));
    // Whoever left with them came last about when the next probe was due: two intervals are more than the moments in which a
    // load balancer lets go of a target lie apart.
    let last_probe = case.now.saturating_sub(silent_for);
    let came_after =
        |last: Duration| last >= last_probe + 2 * longest && case.now.saturating_sub(last) <= 3 * longest;
    if nodes.iter().any(|node| probes_go_on(case, node)) {
        GoesOn::Node
    } else if !nodes.is_empty() {
        GoesOn::Late
    } else if last_new_client(case).is_some_and(came_after)
        || others.iter().any(|node| node.last.is_some_and(came_after))
    {
        GoesOn::Clients
    } else {
        GoesOn::Nobody
    }
}

/// When the latest client came, as far as it is known to be one. The connections of a target that is told to stop go on to end
/// for minutes, and no new ones come: of those that are known by their end, the latest SYN has to be recent, too.
fn last_new_client(case: &Case<'_>) -> Option<Duration> {
    let last = |(key, track): (TallyKey, &Track)| match case.history.class(key, case.sources) {
        class if class.is_client() => track.arrivals.last,
        SourceClass::NlbUndecided if !track.manner().is_encrypted() => {
            track.last_client.zip(track.arrivals.last).map(|(ended, came)| ended.min(came))
        }
        _ => None,
    };
    case.history.tracks().filter_map(last).max()
}

/// Connections that are told apart by behaviour may also have ceased to end, or to be recognised. Where nobody knows the
/// interval, this may be one. An ALB's nodes, which call themselves as an NLB's do, come and go.
fn is_guess(case: &Case<'_>, silent: &[&Expected]) -> bool {
    // While a target is registered, checkers begin one after the other.
    let is_young = case.history.young_task(case.now).is_some();
    let is_no_nlb = case.sources.name_of_no_nlb().is_some();
    let is_unsure = |node: &&Expected| {
        !node.is_surely_silent
            || (node.by_behaviour && is_young)
            || node.learned.is_some()
            || is_no_nlb
            || other_port::is_trying(case, node)
    };
    silent.iter().any(is_unsure) || !case.history.is_interval_known()
}

fn fell_silent(
    case: &Case<'_>,
    silent: &[&Expected],
    alive: &[&Expected],
    named: Option<Code>,
) -> Option<Finding> {
    let slowest = silent.iter().max_by_key(|node| node.interval)?;
    let longest = slowest.interval;
    let shortest_silence = silent.iter().map(|node| silence(case, node)).min()?;
    let (packets, _) = receives(case, shortest_silence)?;
    let goes_on = goes_on(case, alive, longest, shortest_silence);
    let (code, severity, confidence) = match goes_on {
        GoesOn::Node => (named.unwrap_or(Code::ProbesStopped), Severity::Fault, Confidence::Inferred),
        // Wait until it is silent or goes on.
        GoesOn::Late => return None,
        GoesOn::Clients if shortest_silence >= ALL_STOPPED => {
            (Code::ProbesStopped, Severity::Fault, Confidence::Inferred)
        }
        GoesOn::Clients => (Code::ProbesStopped, Severity::Fault, Confidence::Suspected),
        GoesOn::Nobody if shortest_silence >= WITHDRAWN => {
            (Code::ProbesStopped, Severity::Fault, Confidence::Inferred)
        }
        GoesOn::Nobody => (Code::ProbesWithdrawn, Severity::Note, Confidence::Inferred),
    };
    let confidence = if is_guess(case, silent) { Confidence::Suspected } else { confidence };
    let sources: Vec<_> = silent.iter().map(|node| node.label.clone()).collect();
    let by_behaviour = silent.iter().all(|node| node.by_behaviour);
    let last_client = case.last_client();
    let context = match goes_on {
        GoesOn::Node | GoesOn::Late => "another node goes on",
        GoesOn::Clients => "clients go on",
        GoesOn::Nobody if last_client.is_some() => "clients stopped too",
        GoesOn::Nobody => "no client was seen that could go on",
    };
    let advice = match (code, goes_on) {
        (Code::ProbesWithdrawn, _) if last_client.is_some() => {
            "This is what a deregistration or a deploy looks like; nothing to do unless the task lives on."
                .to_owned()
        }
        (Code::ProbesWithdrawn, _) => {
            let candidates = candidates(case, Reach::All);
            format!("A deregistration or a deploy looks like this. If it is none: {candidates}")
        }
        (_, GoesOn::Node) => candidates(case, Reach::Some),
        (_, GoesOn::Clients) if by_behaviour => candidates(case, Reach::SameAddresses),
        _ => {
            let candidates = candidates(case, Reach::All);
            format!("Deregistered on purpose, or a security group, ACL or NLB was changed. {candidates}")
        }
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
            if by_behaviour { "no health check" } else { "no SYN" },
            list(&sources),
            shortest_silence.as_secs(),
            match named {
                Some(_) if by_behaviour => "a few".to_owned(),
                Some(_) => "one or two".to_owned(),
                None => format!("one every {}", spoken(longest)),
            },
        ),
        advice,
        evidence: vec![
            Fact::seconds("silent_seconds", shortest_silence, FactOrigin::Hook),
            slowest.interval_fact(),
            Fact::count("interface_packets", packets, FactOrigin::Interface),
            Fact::count("other_nodes_alive", alive.len() as u64, FactOrigin::Hook),
        ],
        sources,
    })
}
