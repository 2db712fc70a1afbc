//! SYN-ACKs that were sent as SYN cookies: the kernel keeps no record of the attempt.

use crate::domain::{
    diagnosis::{Case, Group, advice::Traffic, list},
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
    tally::Tally,
    track::Track,
};

/// Adds that cookies are sent to the group: a note, and a fault for the sources of which no handshake was finished.
pub fn examine(case: &Case<'_>, group: &Group<'_>, findings: &mut Vec<Finding>) {
    if !case.concerns(group) {
        return;
    }
    let Some(sent) = case.history.host_growth(case.now).syncookies_sent.filter(|count| *count > 0) else {
        return;
    };
    // A SYN-ACK that is forwarded for another namespace has no socket here either: without the counter it proves nothing.
    let with_cookies: Vec<_> =
        group.members.iter().filter(|(_, track)| case.recent(track).cookies > 0).copied().collect();
    if with_cookies.is_empty() {
        return;
    }
    let unfinished: Vec<_> =
        with_cookies.iter().filter(|(_, track)| never_finishes(case, track)).copied().collect();
    let is_fault = !unfinished.is_empty() && !case.may_be_strangers(group);
    let hit = if is_fault { unfinished } else { with_cookies };
    let mut sum = Tally::default();
    hit.iter().for_each(|(_, track)| sum.add(&case.recent(track)));
    let sources: Vec<_> = hit.iter().map(|(key, _)| case.sources.label(key.slot)).collect();
    let (severity, stage, place) = if is_fault {
        (Severity::Fault, Stage::Established, Place::ReturnPath)
    } else {
        (Severity::Note, Stage::Answered, Place::Listener)
    };
    findings.push(Finding {
        code: Code::SynCookies,
        severity,
        confidence: Confidence::Proven,
        class: group.class,
        port: Some(group.port),
        stage,
        place,
        summary: format!(
            "{} from {}: {} SYN-ACKs sent as SYN cookies in {} s, {} handshakes finished",
            group.class.name(),
            list(&sources),
            sum.cookies,
            case.evidence_seconds(),
            sum.established,
        ),
        advice: if is_fault {
            case.facts().cookies_in_vain(Traffic { port: group.port, class: group.class })
        } else {
            case.facts().many_open(group.port)
        },
        evidence: vec![
            Fact::count("synacks_without_socket", sum.cookies, FactOrigin::Hook),
            Fact::count("connections_established", sum.established, FactOrigin::Hook),
            Fact::count("syncookies_sent", sent, FactOrigin::Netstat),
        ],
        sources,
    });
}

/// Cookies were sent, long enough ago, and no handshake was finished within the window. A single one may be that of a peer
/// that went away.
fn never_finishes(case: &Case<'_>, track: &Track) -> bool {
    case.settled(track).cookies > 1 && case.recent(track).established == 0
}
