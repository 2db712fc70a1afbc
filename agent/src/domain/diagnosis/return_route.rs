//! SYNs that the kernel finds no way to answer: it has no route back to whoever sent them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use crate::domain::{
    diagnosis::{
        Case, Group,
        answer::{SYNCHRONOUS, labels, nobody_waited},
        list,
        unaccounted::Account,
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    sample::TallyKey,
    stage::{Place, Stage},
    track::Track,
};

/// What the kernel shows where it finds no route for a SYN-ACK: a listen drop that is no overflow, and no packet is seen to drop.
struct NoRoutes {
    no_routes: u64,
    /// Senders of IPv6, by slot, for whom it says so when it is asked: it does not count those whom an entry or a rule refuses.
    without_route: BTreeMap<u32, IpAddr>,
    /// Without those of overflows, each of which is counted as a drop, too.
    listen_drops: u64,
    /// Those of all listeners together.
    overflows: u64,
}

impl NoRoutes {
    fn find(case: &Case<'_>) -> Option<Self> {
        let growth = case.history.host_growth(case.now);
        let (no_routes, overflows) = (growth.out_no_routes?, growth.listen_overflows?);
        let listen_drops = growth.listen_drops?.checked_sub(overflows).filter(|count| *count > 0)?;
        let without_route = case.history.without_route(case.now);
        let is_shown = no_routes > 0 || !without_route.is_empty();
        is_shown.then_some(Self { no_routes, without_route, listen_drops, overflows })
    }

    /// The members of a group to whom there may be no route.
    fn members<'a>(&self, group: &Group<'a>) -> Vec<(TallyKey, &'a Track)> {
        let is_shown =
            |(key, _): &&(TallyKey, _)| self.no_routes > 0 || self.without_route.contains_key(&key.slot);
        group.members.iter().filter(is_shown).copied().collect()
    }

    /// Whether a port's SYNs may hang for want of a route: no overflow can be that of its own listener.
    fn may_concern(case: &Case<'_>, group: &Group<'_>) -> bool {
        case.concerns(group) && case.history.overflows_of(group.port, case.now) == Some(0)
    }

    /// How many SYNs of a source hang that are so old. SYN-ACKs that were sent again, to senders whose answers get lost, must not
    /// pass for the answers of those who get none; but then a duplicate SYN that was not counted would look like one without an
    /// answer. The kernel's own counts decide: it found no route for at least as many SYNs as hang in all, the youngest included,
    /// which it counted, too. Where it does not count them it gave up so many. What `is_open` needs no more than to be likely.
    fn hanging<'a>(
        &self,
        case: &'a Case<'_>,
        age: Duration,
        is_open: bool,
    ) -> impl Fn(TallyKey, &Track) -> u64 + use<'a> {
        let (account, youngest) =
            if is_open { (Account::likely as Look, age) } else { (Account::sure as Look, Duration::ZERO) };
        let unanswered = |(_, track): (TallyKey, &Track)| account(case, track, youngest).unanswered();
        let claimed: u64 = case.history.tracks().map(unanswered).sum();
        let (counted, given_up) = (self.no_routes.min(self.listen_drops), self.listen_drops);
        let without_route: BTreeSet<u32> = self.without_route.keys().copied().collect();
        move |key, track| {
            let account = account(case, track, age);
            let most = if without_route.contains(&key.slot) { given_up } else { counted };
            if claimed <= most { account.unanswered() } else { account.unaccounted() }
        }
    }
}

/// One of the two ways to draw up an account.
type Look = fn(&Case<'_>, &Track, Duration) -> Account;

/// The kernel found no route for the SYN-ACK.
pub fn missing(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let kernel = NoRoutes::find(case)?;
    if case.may_be_strangers(group) || !NoRoutes::may_concern(case, group) {
        return None;
    }
    let is_open = case.open.is_fault((Code::NoReturnRoute, Some(group.port), group.class));
    let hanging = kernel.hanging(case, SYNCHRONOUS, is_open);
    let counted = kernel.members(group).into_iter().map(|(key, track)| (key, hanging(key, track)));
    let stuck: Vec<_> = counted.filter(|(_, count)| *count > 0).collect();
    if stuck.is_empty() {
        return None;
    }
    let sources = labels(case, &stuck);
    let attempts: u64 = stuck.iter().map(|(_, count)| count).sum();
    let asked = stuck.iter().find_map(|(key, _)| kernel.without_route.get(&key.slot)).map(IpAddr::to_string);
    let example = asked.clone().or_else(|| sources.first().cloned()).unwrap_or_default();
    let mut evidence = vec![
        Fact::count("syns_not_answered", attempts, FactOrigin::Hook),
        Fact::count("out_no_routes", kernel.no_routes, FactOrigin::Netstat),
        Fact::count("listen_drops", kernel.listen_drops + kernel.overflows, FactOrigin::Netstat),
        Fact::count("listen_overflows", kernel.overflows, FactOrigin::Netstat),
    ];
    evidence.extend(asked.map(|sender| Fact::text("no_route_to", sender, FactOrigin::RoutingTable)));
    evidence.extend(nobody_waited(kernel.overflows));
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
        evidence,
        sources,
    })
}

/// Whether SYNs of the latest reading hang as they do without a route back, and another reading soon would tell.
pub fn hangs(case: &Case<'_>) -> bool {
    // First what is cheap: this is asked at every reading of every target.
    let Some(kernel) = NoRoutes::find(case) else { return false };
    let (now, later) =
        (kernel.hanging(case, Duration::ZERO, false), kernel.hanging(case, SYNCHRONOUS, false));
    case.groups().iter().filter(|group| NoRoutes::may_concern(case, group)).any(|group| {
        let members = kernel.members(group);
        let hang = |count: &dyn Fn(TallyKey, &Track) -> u64| {
            members.iter().any(|(key, track)| count(*key, track) > 0)
        };
        hang(&now) && !hang(&later)
    })
}
