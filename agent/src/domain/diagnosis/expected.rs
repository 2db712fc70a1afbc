//! The probe sources that are expected to be heard from: every NLB node that is known well enough to be missed.

use std::{ops::Range, time::Duration};

use crate::domain::{
    class::{Role, SourceClass},
    diagnosis::{Case, silent},
    finding::{Fact, FactOrigin},
    sample::TallyKey,
    sources::{Origin, Source},
    tally::{Dropped, Tally},
    track::{Manner, Track},
};

/// SYNs after which a sender in a named prefix is taken for a node: anybody may send one from there.
const ARRIVALS_OF_A_NODE: u64 = 3;

/// One expected probe source: an NLB node, or a prefix in which no node was heard yet.
pub struct Expected {
    /// Address or prefix.
    pub label: String,
    /// Its first slot.
    pub slot: u32,
    /// All slots in which it may be heard.
    pub slots: Range<u32>,
    /// Whether it is one address that was named, and not merely somebody in a prefix.
    pub is_named: bool,
    /// How often it is expected.
    pub interval: Duration,
    /// Where that was read.
    pub interval_origin: FactOrigin,
    /// Since when it is known, or the agent watches.
    pub known_since: Duration,
    /// First SYN.
    pub first: Option<Duration>,
    /// Latest SYN.
    pub last: Option<Duration>,
    /// Whether its silence means something: it was named itself, or sent often enough; where its health checks are told from
    /// clients', it is known how often they are due.
    pub has_rhythm: bool,
    /// Whether its rhythm is known: given, or it sent often enough.
    pub sent_often: bool,
    /// SYNs thrown away on this host in front of the agent's hook, within the window.
    pub before_hook: u64,
    /// How it came to be known by what it did alone, where nobody named the NLB.
    pub learned: Option<Origin>,
    /// Whether it is known to be the node of the task's own zone.
    pub is_own_zone: bool,
    /// Whether its address is IPv6, where it came from resolving a name.
    resolved_v6: Option<bool>,
    /// Its tally within the window, over the ports that are probed.
    pub recent: Tally,
    /// Latest that is known to be a health check: a SYN where nobody else sends, else the end of one that was recognised.
    pub last_probe: Option<Duration>,
    /// Its health checks are told from clients of the same address by their behaviour: `first` and `last` are theirs.
    pub by_behaviour: bool,
    /// Its silence is that of its health checks for sure, and not that of connections that hang, or that nobody recognises.
    pub is_surely_silent: bool,
    /// What its connections are, and whether clients' may be among them.
    pub kinds: Kinds,
}

/// What may be among the connections of an expected source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kinds {
    /// Health checks only.
    Probes,
    /// Clients', too, and they are told apart.
    ToldApart,
    /// Clients', too, and encryption hides which.
    Hidden,
}

impl Expected {
    /// How often it is expected, as evidence.
    pub const fn interval_fact(&self) -> Fact {
        Fact::seconds("interval_seconds", self.interval, self.interval_origin)
    }

    /// Its health checks that were served within the window; every connection where encryption hides which they are.
    pub const fn served(&self) -> u64 {
        match self.kinds {
            Kinds::ToldApart => self.recent.probes_served,
            Kinds::Probes | Kinds::Hidden => self.recent.served,
        }
    }
}

/// All of them, by prefix.
pub fn expected(case: &Case<'_>) -> Vec<Expected> {
    let mut expected = candidates(case);
    // A dual-stack name resolves to both families; the target group has one of them.
    let heard_family =
        |v6: bool| expected.iter().any(|node| node.resolved_v6 == Some(v6) && node.first.is_some());
    let families = (heard_family(false), heard_family(true));
    expected.retain(|node| {
        !matches!((node.resolved_v6, families), (Some(true), (true, false)) | (Some(false), (false, true)))
    });
    expected
}

fn candidates(case: &Case<'_>) -> Vec<Expected> {
    let nodes: Vec<_> = case.sources.iter().filter(|source| source.role == Role::Node).collect();
    let mut expected = Vec::new();
    for source in &nodes {
        let heard = case.heard_slots(source);
        let has_learned = source.is_shared() && nodes.iter().any(|node| is_learned_from(node, source));
        if source.slots > 1 && !heard.is_empty() {
            expected
                .extend(heard.into_iter().map(|slot| one(case, source, &[slot], case.sources.label(slot))));
        } else if !has_learned {
            expected.push(one(case, source, &heard, source.label()));
        }
    }
    expected
}

fn is_learned_from(node: &Source, prefix: &Source) -> bool {
    node.origin == Origin::Learned && prefix.network.contains(&node.network.addr())
}

fn one(case: &Case<'_>, source: &Source, slots: &[u32], label: String) -> Expected {
    let members: Vec<(TallyKey, &Track)> = case
        .history
        .tracks()
        .filter(|(key, _)| slots.contains(&key.slot) && case.history.priors().may_be_probed(key.port))
        .collect();
    let keys: Vec<_> = members.iter().map(|(key, _)| *key).collect();
    let mut recent = Tally::default();
    for (_, track) in &members {
        recent.add(&case.recent(track));
    }
    let arrivals: u64 = members.iter().map(|(_, track)| track.total.arrived).sum();
    // Both kinds come from there, and connections go on to end: silence is that of the health checks alone.
    let (interval, interval_origin) = case.history.interval_and_origin(&keys, case.sources);
    let learned = keys.iter().any(|key| case.history.learned_interval(*key, case.sources).is_some());
    let by_behaviour =
        !members.is_empty() && members.iter().all(|(_, track)| tells_apart(case, track, interval));
    let rhythms =
        || members.iter().map(|(_, track)| if by_behaviour { &track.probes } else { &track.arrivals });
    let last = rhythms().filter_map(|rhythm| rhythm.last).max();
    let silence = case.now.saturating_sub(last.unwrap_or_default());
    let kinds = kinds(case, &members);
    let is_named =
        source.slots == 1 && !source.is_shared() && !source.is_learned() && source.origin != Origin::Learned;
    Expected {
        label,
        slot: source.slot,
        slots: match slots {
            [slot] => *slot..*slot + 1,
            _ => source.slot..source.slot + source.slots,
        },
        is_named,
        kinds,
        interval,
        interval_origin,
        known_since: source.known_since,
        first: rhythms().filter_map(|rhythm| rhythm.first).min(),
        last,
        last_probe: match kinds {
            Kinds::Probes => members.iter().filter_map(|(_, track)| track.arrivals.last).max(),
            Kinds::ToldApart => members.iter().filter_map(|(_, track)| track.probes.last).max(),
            Kinds::Hidden => None,
        },
        by_behaviour,
        is_surely_silent: !by_behaviour || silent::is_sure(case, members.iter().copied(), silence, interval),
        has_rhythm: if by_behaviour {
            // Without a known interval, a slow health check would look like one that stopped. All nodes have the same.
            case.history.is_interval_known()
        } else {
            is_named || arrivals >= ARRIVALS_OF_A_NODE
        },
        sent_often: case.history.watch.health_interval.is_some()
            || if by_behaviour { learned } else { arrivals >= ARRIVALS_OF_A_NODE },
        before_hook: recent.drops_of(Dropped::SynBeforeHook),
        learned: source.is_learned().then(|| source.origin.clone()),
        is_own_zone: matches!(source.origin, Origin::OwnZone(_)),
        resolved_v6: source.is_resolved().then(|| source.network.addr().is_ipv6()),
        recent,
    }
}

fn kinds(case: &Case<'_>, members: &[(TallyKey, &Track)]) -> Kinds {
    let is_shared =
        |(key, _): &(TallyKey, &Track)| case.history.class(*key, case.sources) == SourceClass::NlbUndecided;
    if !members.iter().any(is_shared) {
        Kinds::Probes
    } else if members.iter().any(|(_, track)| track.manner().is_encrypted()) {
        Kinds::Hidden
    } else {
        Kinds::ToldApart
    }
}

/// Whether connections of a source can be told apart, and clients' went on to end until now: an application that hangs
/// ends none, and must not look like health checks that stopped. Where nothing hangs, clients may be rare.
fn tells_apart(case: &Case<'_>, track: &Track, interval: Duration) -> bool {
    let goes_on = |intervals: u32| {
        track.last_client.is_some_and(|last| case.now.saturating_sub(last) <= intervals * interval)
    };
    matches!(track.manner(), Manner::Mixed | Manner::ClientsOnly)
        && (goes_on(2)
            || (goes_on(3) && track.unended.since_last_probe(case.now.saturating_sub(interval)) == 0))
}

impl Case<'_> {
    /// The slots of a source that something was counted in, on a port that is probed.
    fn heard_slots(&self, source: &Source) -> Vec<u32> {
        let slots = source.slot..source.slot + source.slots;
        let mut heard: Vec<_> = self
            .history
            .tracks()
            .map(|(key, _)| key)
            .filter(|key| slots.contains(&key.slot) && self.history.priors().may_be_probed(key.port))
            .map(|key| key.slot)
            .collect();
        heard.dedup();
        heard
    }
}
