//! SYN-ACKs that were made and did not reach the peer.

use crate::domain::{
    diagnosis::{
        Case, Group,
        admission::programs,
        answer::{labels, nobody_waited, stuck, unfinished},
        list,
        unaccounted::unaccounted,
    },
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    history::GRACE,
    reason::{Meaning, Reason},
    stage::{Place, Stage},
    tally::Dropped,
    track::Track,
};

/// Adds what keeps the group's handshakes from being finished.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if case.concerns(group) && !case.may_be_strangers(group) && is_told(case, group) {
        findings.extend(dropped(case, group).or_else(|| lost(case, group)));
    }
}

/// Without a reason a SYN-ACK that was freed may have been dropped here, or sent and done with by a driver that does not
/// tell the two apart: neither is proven.
fn is_told(case: &Case<'_>, group: &Group<'_>) -> bool {
    let is_untold =
        |(what, reason): &(Dropped, Reason)| *what == Dropped::SynAck && reason.meaning() == Meaning::Untold;
    !group.members.iter().any(|(_, track)| case.recent(track).drops.keys().any(is_untold))
}

/// The host itself dropped the SYN-ACK, with a reason.
fn dropped(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    let hit = case.hit(group, |step| step.drops_of(Dropped::SynAck), |step| step.established)?;
    let mut reasons: Vec<_> = group
        .members
        .iter()
        .flat_map(|(_, track)| case.recent(track).drops.into_keys())
        .filter(|(what, _)| *what == Dropped::SynAck)
        .map(|(_, reason)| reason.0)
        .collect();
    reasons.sort_unstable();
    reasons.dedup();
    let by_netfilter = reasons == ["NETFILTER_DROP"];
    let reasons = reasons.join(", ");
    let mut evidence = vec![
        Fact::count("synacks_dropped", hit.failed, FactOrigin::Hook),
        Fact::text("drop_reason", reasons.clone(), FactOrigin::Hook),
    ];
    evidence.extend(programs(case, &reasons));
    Some(Finding {
        code: Code::ReplyDropped,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Established,
        place: if by_netfilter { Place::HostFirewall } else { Place::HostNetwork },
        summary: format!(
            "{} from {}: {} SYN-ACKs dropped on this host in {} s ({reasons})",
            group.class.name(),
            list(&hit.sources),
            hit.failed,
            case.evidence_seconds(),
        ),
        advice: case.facts().let_out(group.port, by_netfilter, &reasons),
        evidence,
        sources: hit.sources,
    })
}

/// Fewer than one answered handshake in so many left unfinished is what peers do that go away in the middle of one.
const RARE: u64 = 20;

/// Attempts that were answered and whose final ACK was never taken; none where they are but a few of many, answered or not.
pub fn often_unfinished(case: &Case<'_>, track: &Track) -> u64 {
    let unfinished = unfinished(case, track);
    let attempts = case.recent(track).answered() + unaccounted(case, track);
    if unfinished * RARE < attempts { 0 } else { unfinished }
}

/// Whether SYN-ACKs were sent again of late for handshakes that are too young to be held against anybody, so that a reading as soon
/// as they are not would tell. Many that are under way in every reading do not hurry it.
pub fn hangs(case: &Case<'_>) -> bool {
    let was_late =
        |track: &Track| track.between(case.now.saturating_sub(GRACE), case.now).synack_retransmits > 0;
    if !case.history.tracks().any(|(_, track)| was_late(track)) {
        return false;
    }
    let groups = case.groups();
    let mut concerned = groups.iter().filter(|group| case.concerns(group) && !case.may_be_strangers(group));
    concerned.any(|group| {
        let is_young = |track: &Track| {
            let recent = case.recent(track);
            let unfinished = recent.answered().saturating_sub(recent.established);
            was_late(track)
                && unfinished * RARE >= recent.arrived
                && often_unfinished(case, track) == 0
                && unfinished > 0
        };
        group.members.iter().any(|(_, track)| is_young(track))
    })
}

/// SYN-ACKs leave and are sent again, and the final ACK never comes, while the port's own queue did not overflow: the kernel
/// counts overflows of all listeners together.
fn lost(case: &Case<'_>, group: &Group<'_>) -> Option<Finding> {
    if case.history.overflows_of(group.port, case.now)? > 0 {
        return None;
    }
    let of_others = case.history.host_growth(case.now).listen_overflows?;
    let stuck = stuck(group, |track| {
        if case.recent(track).synack_retransmits == 0 { 0 } else { often_unfinished(case, track) }
    });
    if stuck.is_empty() {
        return None;
    }
    let sources = labels(case, &stuck);
    let attempts: u64 = stuck.iter().map(|(_, count)| count).sum();
    let retransmits: u64 = stuck
        .iter()
        .filter_map(|(key, _)| case.history.track(*key))
        .map(|track| case.recent(track).synack_retransmits)
        .sum();
    let mut evidence = vec![
        Fact::count("handshakes_unfinished", attempts, FactOrigin::Hook),
        Fact::count("synack_retransmits", retransmits, FactOrigin::Hook),
        Fact::count("listen_overflows", of_others, FactOrigin::Netstat),
    ];
    evidence.extend(nobody_waited(of_others));
    Some(Finding {
        code: Code::ReplyLost,
        severity: Severity::Fault,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage: Stage::Established,
        place: Place::ReturnPath,
        summary: format!(
            "{} from {}: {attempts} handshakes answered and never finished in {} s, SYN-ACK sent again {retransmits} \
             times",
            group.class.name(),
            list(&sources),
            case.evidence_seconds(),
        ),
        advice: case.facts().lost_replies(group.class),
        evidence,
        sources,
    })
}
