//! A port whose traffic is redirected inside the host (nft redirect, Service Connect, bridge mode).
//!
//! On the wire it looks normal: SYNs arrive, SYN-ACKs leave. But the sockets have another local port, so nothing is
//! ever established on the watched one. SYN-ACKs from a port on which nothing listens prove it. Where something listens all the
//! same, what is left are handshakes that are never finished there and never answered again.

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    class::SourceClass,
    diagnosis::Case,
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    history::GRACE,
    stage::{Place, Stage},
    tally::Tally,
    track::{ENOUGH, Track},
};

/// Whether traffic to a watched port is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// No sign of it.
    None,
    /// It is, and the local port is not known (or in another namespace): `established` and `served` cannot be seen.
    Hidden,
    /// It may be: handshakes are answered, and finished nowhere that can be seen, although something listens on the port.
    /// Peers that reset every handshake in the middle look like that, too.
    Likely,
    /// To this local port.
    To(u16),
}

/// What the history says about one port.
pub fn find(case: &Case<'_>, port: u16) -> Translation {
    let local = case.history.local_port(port);
    if local != port && is_in_force(case, port, local) {
        return Translation::To(local);
    }
    let listens = listens(case, port);
    let answered_by = if listens { finished_elsewhere(case, port) } else { answered(case, port) };
    if answered_by.is_empty() {
        return Translation::None;
    }
    // Among the unwatched ports on which the same sources complete connections, the busiest.
    let mut candidates: BTreeMap<u16, u64> = BTreeMap::new();
    for ((slot, local), count) in case.history.translated().completed_since(since(case, port)) {
        let is_taken =
            case.history.watch.ports.contains(&local) || case.history.translated().is_followed(local);
        if answered_by.contains_key(&slot) && !is_taken {
            *candidates.entry(local).or_default() += count;
        }
    }
    // A single connection elsewhere proves no redirect.
    let busiest = candidates.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count);
    match busiest {
        Some((local, _)) => Translation::To(local),
        None if listens => Translation::Likely,
        None => Translation::Hidden,
    }
}

/// Begin of what counts: the window, without what came while the port was still translated to where it was followed.
fn since(case: &Case<'_>, port: u16) -> Duration {
    let window = case.now.saturating_sub(case.history.window());
    case.history.translated().last(port).map_or(window, |until| until.max(window))
}

fn of_port<'a>(case: &Case<'a>, port: u16) -> impl Iterator<Item = (u32, &'a Track)> {
    case.history.tracks().filter(move |(key, _)| key.port == port).map(|(key, track)| (key.slot, track))
}

fn listens(case: &Case<'_>, port: u16) -> bool {
    case.history.listeners(port).is_none_or(|listeners| !listeners.is_empty())
}

/// Who is answered by a port on which nothing listens and nothing is established.
fn answered(case: &Case<'_>, port: u16) -> BTreeMap<u32, u64> {
    let from = since(case, port);
    let recent = |(slot, track): (u32, &Track)| (slot, track.between(from, case.now));
    let recent: Vec<_> = of_port(case, port).map(recent).collect();
    if recent.iter().any(|(_, tally)| tally.established > 0) {
        return BTreeMap::new();
    }
    let answered = recent.into_iter().map(|(slot, tally)| (slot, tally.answered()));
    answered.filter(|(_, count)| *count > 0).collect()
}

/// Who is answered by a port without ever finishing a handshake there. A lost SYN-ACK is sent again, and a SYN cookie leaves no
/// handshake behind: where either is seen, the others may just have no luck.
fn finished_elsewhere(case: &Case<'_>, port: u16) -> BTreeMap<u32, u64> {
    let (from, old_enough) = (since(case, port), case.now.saturating_sub(GRACE));
    let is_lost = |tally: &Tally| tally.synack_retransmits + tally.cookies > 0;
    if of_port(case, port).any(|(_, track)| is_lost(&track.between(from, case.now))) {
        return BTreeMap::new();
    }
    let unfinished = of_port(case, port).filter(|(_, track)| track.between(from, case.now).established == 0);
    let answered = unfinished.map(|(slot, track)| (slot, track.between(from, old_enough).answered()));
    let answered: BTreeMap<_, _> = answered.filter(|(_, count)| *count > 0).collect();
    if answered.values().sum::<u64>() < ENOUGH { BTreeMap::new() } else { answered }
}

/// Whether connections still end up where the port is followed: some did within the window, and nobody came since who ended up
/// elsewhere.
fn is_in_force(case: &Case<'_>, port: u16, local: u16) -> bool {
    let window = case.now.saturating_sub(case.history.window());
    let Some(last) = case.history.translated().last(port).filter(|last| *last > window) else { return false };
    let old_enough = case.now.saturating_sub(GRACE);
    let (mut answered, mut retransmits) = (0, 0);
    for (_, track) in of_port(case, port) {
        answered += track.between(last, old_enough).answered();
        retransmits += track.between(last, case.now).synack_retransmits;
    }
    // What gets lost on the way back ends up nowhere.
    let is_passed_by = retransmits == 0 && answered >= ENOUGH;
    !is_passed_by && !is_refused(case, port, local, last)
}

/// Whether somebody was refused after `last` while the local port was listened on all the time: a redirect would have led there.
fn is_refused(case: &Case<'_>, port: u16, local: u16, last: Duration) -> bool {
    let own = &case.history.watch.addresses;
    let serves = |v6| {
        let listeners = case.history.listeners(local).unwrap_or_default();
        listeners.iter().any(|listener| listener.serves(v6, own))
    };
    let Some(listening) = case.history.listening_since(local).filter(|_| serves(false) || serves(true))
    else {
        return false;
    };
    // A restart may fall between two readings.
    let from = last.max(listening + GRACE);
    let is_refused = |step: &Tally| step.no_socket() > 0 && step.refused > 0;
    of_port(case, port).any(|(_, track)| track.since(from).any(|(at, step)| at > from && is_refused(step)))
}

/// Adds a note for each port that is translated.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for port in &case.history.watch.ports {
        findings.extend(note(case, *port));
    }
}

fn note(case: &Case<'_>, port: u16) -> Option<Finding> {
    let window = case.now.saturating_sub(case.history.window());
    let listeners = case.history.listeners(port).map(|listeners| listeners.len() as u64);
    let (summary, mut evidence, confidence) = match find(case, port) {
        // Nothing proves it: the verdict names what cannot be seen.
        Translation::None | Translation::Likely => return None,
        Translation::To(local) => {
            let completed = case.history.translated().completed_since(window);
            let on_local = completed.iter().filter(|((_, of), _)| *of == local).map(|(_, count)| count);
            (
                format!("port {port} is redirected to local port {local}; connections are followed there"),
                vec![
                    Fact::text("local_port", local.to_string(), FactOrigin::Hook),
                    Fact::count("connections_on_local_port", on_local.sum(), FactOrigin::Hook),
                ],
                // That the port is redirected is certain; where to, is what its sources do elsewhere.
                Confidence::Inferred,
            )
        }
        Translation::Hidden => (
            format!(
                "SYN-ACKs leave port {port} and nothing listens on it here: it is redirected, and whether \
                     connections are established and served cannot be seen"
            ),
            vec![
                Fact::text("local_port", "unknown".to_owned(), FactOrigin::Hook),
                Fact::count(
                    "handshakes_answered",
                    of_port(case, port).map(|(_, track)| case.recent(track).answered()).sum(),
                    FactOrigin::Hook,
                ),
            ],
            Confidence::Proven,
        ),
    };
    evidence.extend(listeners.map(|count| Fact::count("listeners_on_port", count, FactOrigin::SocketTable)));
    Some(Finding {
        code: Code::PortTranslated,
        severity: Severity::Note,
        confidence,
        class: SourceClass::Other,
        port: Some(port),
        sources: Vec::new(),
        stage: Stage::Established,
        place: Place::HostNetwork,
        summary,
        advice: "Normal with Service Connect, a redirect rule or bridge mode; nothing to change.".to_owned(),
        evidence,
    })
}
