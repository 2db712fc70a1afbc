//! A port whose traffic is redirected inside the host (nft redirect, Service Connect, bridge mode).
//!
//! On the wire it looks normal: SYNs arrive, SYN-ACKs leave. But the sockets have another local port, so nothing is
//! ever established on the watched one. SYN-ACKs from a port on which nothing listens prove it.

use std::collections::BTreeMap;

use crate::domain::{
    class::SourceClass,
    diagnosis::Case,
    finding::{Code, Confidence, Fact, FactOrigin, Finding, Severity},
    stage::{Place, Stage},
};

/// Whether traffic to a watched port is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// No sign of it.
    None,
    /// It is, and the local port is not known (or in another namespace): `established` and `served` cannot be seen.
    Hidden,
    /// To this local port.
    To(u16),
}

/// What the history says about one port.
pub fn find(case: &Case<'_>, port: u16) -> Translation {
    let local = case.history.local_port(port);
    if local != port {
        return Translation::To(local);
    }
    let mut answered_by = BTreeMap::new();
    let mut established = 0;
    for (key, track) in case.history.tracks().filter(|(key, _)| key.port == port) {
        let recent = case.recent(track);
        established += recent.established;
        if recent.answered() > 0 {
            answered_by.insert(key.slot, recent.answered());
        }
    }
    let listens = case.history.listeners(port).is_none_or(|listeners| !listeners.is_empty());
    if answered_by.is_empty() || established > 0 || listens {
        return Translation::None;
    }
    // Among the unwatched ports on which the same sources complete connections, the busiest.
    let mut candidates: BTreeMap<u16, u64> = BTreeMap::new();
    for (slot, local, count) in case.history.elsewhere() {
        if answered_by.contains_key(&slot) && !case.history.watch.ports.contains(&local) {
            *candidates.entry(local).or_default() += count;
        }
    }
    // A single connection elsewhere proves no redirect.
    let busiest = candidates.into_iter().filter(|(_, count)| *count > 1).max_by_key(|(_, count)| *count);
    busiest.map_or(Translation::Hidden, |(local, _)| Translation::To(local))
}

/// Adds a note for each port that is translated.
pub fn examine(case: &Case<'_>, findings: &mut Vec<Finding>) {
    for port in &case.history.watch.ports {
        let (summary, target, confidence) = match find(case, *port) {
            Translation::None => continue,
            Translation::To(local) => (
                format!("port {port} is redirected to local port {local}; connections are followed there"),
                local.to_string(),
                // That the port is redirected is certain; where to, is what its sources do elsewhere.
                Confidence::Inferred,
            ),
            Translation::Hidden => (
                format!(
                    "SYN-ACKs leave port {port} and nothing listens on it here: it is redirected, and whether \
                         connections are established and served cannot be seen"
                ),
                "unknown".to_owned(),
                Confidence::Proven,
            ),
        };
        findings.push(Finding {
            code: Code::PortTranslated,
            severity: Severity::Note,
            confidence,
            class: SourceClass::Other,
            port: Some(*port),
            sources: Vec::new(),
            stage: Stage::Established,
            place: Place::HostNetwork,
            summary,
            advice: "Normal with Service Connect, a redirect rule or bridge mode; nothing to change."
                .to_owned(),
            evidence: vec![
                Fact::text("local_port", target, FactOrigin::Hook),
                Fact::count("listeners_on_port", 0, FactOrigin::SocketTable),
            ],
        });
    }
}
