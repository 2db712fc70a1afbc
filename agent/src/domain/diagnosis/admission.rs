//! SYNs that arrived and never reached TCP, by the kernel's own reason, and those that were thrown away on this host
//! before the agent could count them as arrived.

use crate::domain::{
    class::SourceClass,
    diagnosis::{Case, Group, Hit, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    reason::Meaning,
    stage::{Place, Stage},
    tally::Dropped,
};

/// One kind of drop and what it is called.
struct Kind {
    meaning: Meaning,
    code: Code,
    place: Place,
    dropped_by: &'static str,
    advice: &'static str,
}

const KINDS: [Kind; 5] = [
    Kind {
        meaning: Meaning::Netfilter,
        code: Code::HostFirewall,
        place: Place::HostFirewall,
        dropped_by: "netfilter",
        advice: "Let tcp/{port} in from {whom} in this namespace's nftables or iptables rules (`nft list ruleset`).",
    },
    Kind {
        meaning: Meaning::ReversePath,
        code: Code::ReversePathFilter,
        place: Place::HostNetwork,
        dropped_by: "the reverse path filter",
        advice: "The route back to the sender leaves by another interface: add a route, or set \
                 net.ipv4.conf.<interface>.rp_filter=2.",
    },
    Kind {
        meaning: Meaning::Bpf,
        code: Code::BpfDrop,
        place: Place::HostNetwork,
        dropped_by: "a BPF program",
        advice: "See which program is attached (`bpftool net show`) and let tcp/{port} pass there.",
    },
    Kind {
        meaning: Meaning::Checksum,
        code: Code::BadChecksum,
        place: Place::HostNetwork,
        dropped_by: "the checksum test",
        advice: "Something on the way rewrites packets without mending the checksum: look at checksum offload \
                 (`ethtool -k`) and at what sits in front of this interface.",
    },
    Kind {
        meaning: Meaning::Other,
        code: Code::HostDrop,
        place: Place::HostNetwork,
        dropped_by: "the kernel",
        advice: "The drop reason in the evidence is the kernel's own (include/net/dropreason-core.h).",
    },
];

/// Adds a finding for each kind of drop that hits the group.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if !case.concerns(group) {
        return;
    }
    for kind in &KINDS {
        let hit = case.hit(group, |step| step.drops_with(Dropped::Syn, kind.meaning), |step| step.admitted());
        let Some(hit) = hit else { continue };
        if group.class == SourceClass::Other && hit.failed < hit.of {
            continue;
        }
        findings.push(finding(case, group, kind, hit));
    }
    findings.extend(in_front(case, group));
}

/// Dropped in front of the agent's hook: an XDP program does that, and the kernel itself when a CPU is overrun.
fn in_front(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let hit = case.hit(group, |step| step.drops_of(Dropped::SynBeforeHook), |step| step.arrived)?;
    if group.class == SourceClass::Other && hit.failed < hit.of {
        return None;
    }
    let reasons = reasons(case, group, |dropped, _| dropped == Dropped::SynBeforeHook);
    let (code, dropped_by, advice) = match case.history.foreign_xdp() {
        Some(program) => (
            Code::BpfDrop,
            format!("the XDP program on the interface ({program})"),
            format!("See what it is (`bpftool prog show {program}`) and let tcp/{} pass there.", group.port),
        ),
        None => (
            Code::HostDrop,
            "the kernel in front of tc".to_owned(),
            "A CPU cannot keep up with its packets: spread them (RPS), or raise net.core.netdev_max_backlog."
                .to_owned(),
        ),
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
        advice: advice + consequence(group.class),
        evidence: vec![
            Fact::count("syns_dropped_before_hook", hit.failed, FactOrigin::Hook),
            Fact::count("syns_arrived", hit.of - hit.failed, FactOrigin::Hook),
            Fact::text("drop_reason", reasons, FactOrigin::Hook),
        ],
        sources: hit.sources,
    })
}

fn finding(case: &Case<'_>, group: &Group<'_>, kind: &Kind, hit: Hit) -> Finding {
    let seconds = case.evidence_seconds();
    let reasons = reasons(case, group, |dropped, meaning| dropped == Dropped::Syn && meaning == kind.meaning);
    let whom = if group.class == SourceClass::Client { "the clients' subnets" } else { "the NLB's subnets" };
    Finding {
        code: kind.code,
        severity: Severity::Fault,
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
        advice: advice(kind, group.port, whom, group.class),
        evidence: vec![
            Fact::count("syns_dropped", hit.failed, FactOrigin::Hook),
            Fact::count("syns_arrived", hit.of, FactOrigin::Hook),
            Fact::text("drop_reason", reasons, FactOrigin::Hook),
        ],
        sources: hit.sources,
    }
}

fn advice(kind: &Kind, port: u16, whom: &str, class: SourceClass) -> String {
    let change = kind.advice.replace("{port}", &port.to_string()).replace("{whom}", whom);
    change + consequence(class)
}

fn consequence(class: SourceClass) -> &'static str {
    if class.may_probe() {
        " The NLB may mark this target unhealthy while clients are still served."
    } else {
        ""
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
