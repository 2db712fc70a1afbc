//! SYNs that netfilter threw away, and what made it do so: a rule that drops, one that refuses aloud, or a connection
//! tracking table without room.

use std::time::Duration;

use crate::domain::{
    conntrack::Conntrack,
    diagnosis::{Case, Group, Hit, admission, advice::Traffic, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding},
    reason::Meaning,
    rules::Rule,
    stage::{Place, Stage},
    tally::{Dropped, Tally},
    track::Track,
};

/// What a full connection tracking table did within the window, to everybody.
struct FullTable {
    /// Packets it dropped while it was full.
    drops: u64,
    /// SYNs for watched ports that netfilter dropped meanwhile.
    syns: u64,
    /// As last seen.
    table: Conntrack,
}

/// Adds what netfilter drops of the group, by cause.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    let full_table = full_table(case);
    let (mut by_table, mut by_rule, mut by_reject) = (Hit::default(), Hit::default(), Hit::default());
    let (mut refusals, mut tracks) = (0, Vec::new());
    let somebody_is_refused = case.history.tracks().any(|(_, track)| rejected(case, track) > 0);
    for (key, track) in &group.members {
        let Some(trouble) = case.history.trouble(track, case.now, dropped, |step| step.admitted()) else {
            continue;
        };
        let label = case.sources.label(key.slot);
        let while_full = dropped_while_full(case, track).min(trouble.failed);
        if let Some(table) = &full_table
            && while_full > 0
        {
            by_table.add(label.clone(), while_full, trouble.of);
            if table.explains_all() && while_full == trouble.failed {
                continue;
            }
        }
        match rejected(case, track) {
            0 if somebody_is_refused && is_new(case, track) => {}
            0 => {
                by_rule.add(label, trouble.failed, trouble.of);
                tracks.push(*track);
            }
            answered => {
                refusals += answered;
                by_reject.add(label, trouble.failed, trouble.of);
            }
        }
    }
    if let Some(table) = full_table
        && by_table.failed > 0
    {
        findings.push(conntrack_full(case, group, &table, by_table));
    }
    if by_reject.failed > 0 {
        let mut finding = admission::finding(case, group, &admission::REJECT, by_reject);
        // TCP's own refusals are told from others by drops without a socket, and some drops were not recorded.
        if case.history.lacks_records(case.now) {
            finding.confidence = Confidence::Inferred;
        }
        finding.evidence.push(Fact::count("refusals_sent", refusals, FactOrigin::Hook));
        findings.push(finding);
    }
    if by_rule.failed > 0 {
        let finding = admission::finding(case, group, &admission::FIREWALL, by_rule);
        findings.push(name_rule(case, group, &tracks, finding));
    }
}

/// Says which rule it was, where the counter of one, and of no other, grew by what was dropped of these sources, or of everybody.
fn name_rule(case: &Case<'_>, group: &Group<'_>, tracks: &[&Track], mut finding: Finding) -> Finding {
    let these = |from, to| tracks.iter().map(|track| dropped(&track.between(from, to))).sum();
    let all = |from, to| case.history.tracks().map(|(_, track)| dropped(&track.between(from, to))).sum();
    let rules = case.history.rules();
    let Some((rule, packets)) = rules.culprit(these).or_else(|| rules.culprit(all)) else {
        if rules.none_counted(these) {
            finding.summary.push_str(" (by no rule of nftables that drops and counts)");
            finding.advice.push_str(
                "\nNo rule that drops and has a counter counted them: look for the policy of a chain (`policy drop`), a \
                 rule without `counter`, a verdict map, or rules of iptables-legacy.",
            );
            finding.evidence.push(Fact::count("rule_packets", 0, FactOrigin::Nftables));
        }
        return finding;
    };
    let Rule { family, table, chain, .. } = rule;
    finding.summary.push_str(&format!(" ({rule})"));
    finding.advice = case.facts().let_in_by(rule, Traffic { port: group.port, class: group.class });
    finding.evidence.extend([
        Fact::text("rule_table", format!("{family} {table}"), FactOrigin::Nftables),
        Fact::text("rule_chain", chain.clone(), FactOrigin::Nftables),
        Fact::count("rule_packets", packets, FactOrigin::Nftables),
    ]);
    finding
}

/// SYNs that netfilter dropped.
fn dropped(step: &Tally) -> u64 {
    step.drops_with(Dropped::Syn, Meaning::Netfilter)
}

/// Answers that refused a SYN, and that TCP did not send: it refuses what meets no socket. The kernel sends only so many
/// ICMP messages a second (net.ipv4.icmp_ratelimit), so there may be fewer than drops.
fn rejected(case: &Case<'_>, track: &Track) -> u64 {
    let recent = case.recent(track);
    recent.refused.saturating_sub(recent.no_socket()).min(dropped(&recent))
}

/// The kernel sends a peer one ICMP message a second, once it has sent it a few (`net.ipv4.icmp_ratelimit`, 1000 ms), and to all
/// of them no more than so many (`icmp_msgs_per_sec`).
const ONE_ICMP: Duration = Duration::from_millis(1200);

/// Whether a source was dropped from for so short a time that what refuses others may refuse it, too, without a word so far.
fn is_new(case: &Case<'_>, track: &Track) -> bool {
    let from = case.now.saturating_sub(case.history.window());
    let first = track.since(from).find(|(_, step)| dropped(step) > 0).map(|(at, _)| at);
    first.is_some_and(|at| case.now.saturating_sub(at) < ONE_ICMP)
}

fn dropped_while_full(case: &Case<'_>, track: &Track) -> u64 {
    let from = case.now.saturating_sub(case.history.window());
    let spans = case.history.conntrack().full_since(from);
    spans.map(|span| dropped(&track.between(span.from, span.to))).sum()
}

/// What the table dropped in the times it was full, if anything.
fn full_table(case: &Case<'_>) -> Option<FullTable> {
    let from = case.now.saturating_sub(case.history.window());
    let (mut drops, mut syns, mut last) = (0, 0, None);
    for span in case.history.conntrack().full_since(from) {
        drops += span.drops;
        last = Some(span.table);
        // The table is read before the tallies: what they count newly, it may count the next time only.
        if span.to < case.history.at() {
            let tracks = case.history.tracks();
            syns += tracks.map(|(_, track)| dropped(&track.between(span.from, span.to))).sum::<u64>();
        }
    }
    (drops > 0).then_some(FullTable { drops, syns, table: last? })
}

impl FullTable {
    /// Whether it dropped enough for all SYNs that vanished meanwhile. If not, a rule drops, too, and nothing says which
    /// of the two dropped whose.
    const fn explains_all(&self) -> bool {
        self.drops >= self.syns
    }
}

fn conntrack_full(case: &Case<'_>, group: &Group<'_>, full: &FullTable, hit: Hit) -> Finding {
    let FullTable { drops, table: Conntrack { entries, limit, .. }, .. } = full;
    let port = group.port;
    Finding {
        code: Code::ConntrackFull,
        severity: admission::severity(case, Code::ConntrackFull, group, &hit),
        confidence: if full.explains_all() { Confidence::Proven } else { Confidence::Suspected },
        class: group.class,
        port: Some(port),
        stage: Stage::Admitted,
        place: Place::HostNetwork,
        summary: format!(
            "{} from {}: {} of {} SYNs dropped in {} s while the connection tracking table was full ({entries} of {limit})",
            group.class.name(),
            list(&hit.sources),
            hit.failed,
            hit.of,
            case.evidence_seconds()
        ),
        advice: case.facts().enlarge_tracking(*limit, Traffic { port, class: group.class }),
        evidence: vec![
            Fact::count("syns_dropped", hit.failed, FactOrigin::Hook),
            Fact::count("syns_arrived", hit.of, FactOrigin::Hook),
            Fact::text("drop_reason", "NETFILTER_DROP".to_owned(), FactOrigin::Hook),
            Fact::count("conntrack_drops", *drops, FactOrigin::Conntrack),
            Fact::count("conntrack_entries", *entries, FactOrigin::Conntrack),
            Fact::count("conntrack_limit", *limit, FactOrigin::Conntrack),
        ],
        sources: hit.sources,
    }
}
