//! SYNs that arrived and never reached TCP, by the kernel's own reason, and those that were thrown away on this host
//! before the agent could count them as arrived.

use crate::domain::{
    diagnosis::{
        Case, Group, Hit,
        advice::{Remedy, Traffic},
        list, netfilter,
        unaccounted::unaccounted,
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    other_programs::OtherProgram,
    reason::Meaning,
    stage::{Place, Stage},
    tally::Dropped,
};

/// One kind of drop and what it is called.
pub struct Kind {
    dropped: Dropped,
    meaning: Meaning,
    code: Code,
    place: Place,
    dropped_by: &'static str,
    remedy: Remedy,
}

const KINDS: [Kind; 4] = [
    Kind {
        dropped: Dropped::Syn,
        meaning: Meaning::ReversePath,
        code: Code::ReversePathFilter,
        place: Place::HostNetwork,
        dropped_by: "the reverse path filter",
        remedy: Remedy::LoosenReversePath,
    },
    Kind {
        dropped: Dropped::Syn,
        meaning: Meaning::Bpf,
        code: Code::BpfDrop,
        place: Place::HostNetwork,
        dropped_by: "a BPF program",
        remedy: Remedy::LetInProgram,
    },
    Kind {
        dropped: Dropped::Syn,
        meaning: Meaning::Checksum,
        code: Code::BadChecksum,
        place: Place::HostNetwork,
        dropped_by: "the checksum test",
        remedy: Remedy::MendChecksum,
    },
    Kind {
        dropped: Dropped::Syn,
        meaning: Meaning::Other,
        code: Code::HostDrop,
        place: Place::HostNetwork,
        dropped_by: "the kernel",
        remedy: Remedy::ByReason,
    },
];

/// A rule of nftables or iptables.
pub const FIREWALL: Kind = Kind {
    dropped: Dropped::Syn,
    meaning: Meaning::Netfilter,
    code: Code::HostFirewall,
    place: Place::HostFirewall,
    dropped_by: "netfilter",
    remedy: Remedy::LetIn,
};

/// A rule that refuses aloud.
pub const REJECT: Kind = Kind {
    code: Code::FirewallReject,
    dropped_by: "netfilter, with an answer that refuses them,",
    remedy: Remedy::LetInBeforeReject,
    ..FIREWALL
};

/// A drop in front of routing that no rule made and no reason explains.
const NO_ROUTE_YET: Kind = Kind {
    dropped: Dropped::SynBeforeHook,
    meaning: Meaning::Other,
    code: Code::HostDrop,
    place: Place::HostNetwork,
    dropped_by: "the kernel before routing",
    remedy: Remedy::ByAddress,
};

/// Adds a finding for each kind of drop that hits the group.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if !case.concerns(group) || case.may_be_strangers(group) {
        return;
    }
    netfilter::examine(case, group, findings);
    for kind in &KINDS {
        let hit = case.hit(group, |step| step.drops_with(Dropped::Syn, kind.meaning), |step| step.admitted());
        findings.extend(hit.map(|hit| finding(case, group, kind, hit)));
    }
    findings.extend(in_front(case, group));
}

/// Dropped in front of the agent's hook: an XDP program does that, and the kernel itself when a CPU is overrun.
fn in_front(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let hit = case.hit(group, |step| step.drops_of(Dropped::SynBeforeHook), |step| step.arrived)?;
    if happened_behind(case, group) {
        return Some(finding(case, group, &NO_ROUTE_YET, hit));
    }
    let reasons = reasons(case, group, |dropped, _| dropped == Dropped::SynBeforeHook);
    let traffic = Traffic { port: group.port, class: group.class };
    let mut evidence = vec![
        Fact::count("syns_dropped_before_hook", hit.failed, FactOrigin::Hook),
        Fact::count("syns_arrived", hit.of - hit.failed, FactOrigin::Hook),
        Fact::text("drop_reason", reasons.clone(), FactOrigin::Hook),
    ];
    let (code, dropped_by, advice) = if reasons == "CPU_BACKLOG" {
        (
            Code::HostDrop,
            "the kernel in front of tc".to_owned(),
            case.facts().remedy(Remedy::RelieveCpu, traffic, &reasons),
        )
    } else {
        // It may have been detached meanwhile.
        let was_seen = || match &suspects(case, &reasons)[..] {
            [only] => Some(format!("a program that is detached by now ({only})")),
            _ => None,
        };
        let program = case.history.in_front().or_else(was_seen);
        let program = program.unwrap_or_else(|| "a BPF program in front of tc".to_owned());
        evidence.extend(programs(case, &reasons));
        (Code::BpfDrop, program, case.facts().remedy(Remedy::LetInProgram, traffic, &reasons))
    };
    Some(Finding {
        code,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Arrived,
        place: Place::HostNetwork,
        summary: format!(
            "{} from {}: {} of {} SYNs dropped by {dropped_by} in {} s",
            group.class.name(),
            list(&hit.sources),
            hit.failed,
            hit.of,
            case.evidence_seconds()
        ),
        advice,
        evidence,
        sources: hit.sources,
    })
}

/// Who was attached where such drops are made, when the latest was seen.
fn suspects<'a>(case: &Case<'a>, reasons: &str) -> Vec<&'a OtherProgram> {
    case.history.who_drops_with(&reasons.split(", ").collect::<Vec<_>>())
}

/// Their names, as evidence.
pub fn programs(case: &Case<'_>, reasons: &str) -> Option<Fact> {
    let names: Vec<_> = suspects(case, reasons).iter().map(ToString::to_string).collect();
    (!names.is_empty()).then(|| Fact::text("programs", names.join("; "), FactOrigin::Interface))
}

/// Whether those SYNs were counted as arrived all the same. Older kernels free a SYN with an impossible
/// source or destination without a reason and without a route, like one that an XDP program drops; but it arrived, and
/// nothing else became of it.
fn happened_behind(case: &Case<'_>, group: &Group<'_>) -> bool {
    let dropped = |track| case.settled(track).drops_of(Dropped::SynBeforeHook);
    let mut hit = group.members.iter().filter(|(_, track)| dropped(track) > 0).peekable();
    hit.peek().is_some() && hit.all(|(_, track)| unaccounted(case, track) >= dropped(track))
}

/// One drop in so many is worth knowing, and no reason to wake somebody up.
const RARE: u64 = 100;

/// What was a fault becomes a note at half that share only: a share that lies at the border would wake somebody up with each
/// packet.
const RARE_AGAIN: u64 = 2 * RARE;

/// A fault, unless it is rare.
pub fn severity(case: &Case<'_>, code: Code, group: &Group<'_>, hit: &Hit) -> Severity {
    let rare = if case.open.is_fault((code, Some(group.port), group.class)) { RARE_AGAIN } else { RARE };
    if hit.failed * rare < hit.of { Severity::Note } else { Severity::Fault }
}

/// The finding about a kind of drop that hits a group.
pub fn finding(case: &Case<'_>, group: &Group<'_>, kind: &Kind, hit: Hit) -> Finding {
    let seconds = case.evidence_seconds();
    let reasons = reasons(case, group, |dropped, meaning| dropped == kind.dropped && meaning == kind.meaning);
    let programs = programs(case, &reasons).filter(|_| kind.code == Code::BpfDrop);
    let mut evidence = vec![
        Fact::count("syns_dropped", hit.failed, FactOrigin::Hook),
        Fact::count("syns_arrived", hit.of, FactOrigin::Hook),
        Fact::text("drop_reason", reasons.clone(), FactOrigin::Hook),
    ];
    evidence.extend(programs);
    Finding {
        code: kind.code,
        severity: severity(case, kind.code, group, &hit),
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Admitted,
        place: kind.place,
        summary: format!(
            "{} from {}: {} of {} SYNs dropped by {} in {seconds} s",
            group.class.name(),
            list(&hit.sources),
            hit.failed,
            hit.of,
            kind.dropped_by
        ),
        advice: case.facts().remedy(kind.remedy, Traffic { port: group.port, class: group.class }, &reasons),
        evidence,
        sources: hit.sources,
    }
}

/// The kernel's names of the reasons of the `wanted` drops.
fn reasons(case: &Case<'_>, group: &Group<'_>, wanted: impl Fn(Dropped, Meaning) -> bool) -> String {
    let mut names: Vec<_> = group
        .members
        .iter()
        .flat_map(|(_, track)| case.recent(track).drops.into_keys())
        .filter(|(dropped, reason)| wanted(*dropped, reason.meaning()))
        .map(|(_, reason)| reason.0)
        .collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}
