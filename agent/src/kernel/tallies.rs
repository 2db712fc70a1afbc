//! From the maps' numbers to tallies.

use std::{collections::BTreeMap, time::Duration};

use agent_common::{drop::DropKind, tally::Manners};

use crate::{
    domain::{
        answers::Answers,
        sample::TallyKey,
        sources::SourceTable,
        tally::{Dropped, Tally},
    },
    kernel::{
        facts::KernelFacts,
        maps::{Counted, MapAccessError, Maps},
    },
};

/// Tallies of one moment, by source and port.
pub type Tallies = BTreeMap<TallyKey, Tally>;

/// All tallies of a target, by source and port. Those that are all zero are left out.
///
/// # Errors
///
/// When a map cannot be read.
pub fn read(
    maps: &mut Maps,
    facts: &KernelFacts,
    ports: &[u16],
    sources: &SourceTable,
) -> Result<Tallies, MapAccessError> {
    let mut tallies = Tallies::new();
    for Counted { slot, port_index, tally, manners } in maps.counted(sources.used())? {
        let Some(port) = ports.get(port_index as usize) else { continue };
        tallies.insert(TallyKey { slot, port: *port }, from_kernel(&tally, &manners));
    }
    for (key, count) in maps.drops()? {
        let Some(port) = ports.get(key.port_index as usize) else { continue };
        let what = match DropKind::from_number(key.kind) {
            Some(DropKind::Syn) => Dropped::Syn,
            Some(DropKind::SynBeforeHook) if facts.is_before_hook(key.reason) => Dropped::SynBeforeHook,
            Some(DropKind::SynBeforeHook) => Dropped::SynUnplaced,
            Some(DropKind::SynAck) => Dropped::SynAck,
            Some(DropKind::DuplicateSyn) => Dropped::DuplicateSyn,
            None => continue,
        };
        let reason = facts.reason(key.reason);
        let tally = tallies.entry(TallyKey { slot: key.slot, port: *port }).or_default();
        *tally.drops.entry((what, reason)).or_default() += count;
    }
    Ok(tallies)
}

fn from_kernel(counted: &agent_common::tally::Tally, manners: &Manners) -> Tally {
    Tally {
        arrived: counted.arrived,
        synacks: counted.answered,
        cookies: counted.cookies,
        refused: counted.refused,
        synack_retransmits: counted.synack_retransmits,
        queue_full: manners.queue_full,
        established: counted.established,
        served: counted.served,
        unserved: counted.unserved,
        probes_served: manners.probes_served,
        probes_unserved: manners.probes_unserved,
        clients: manners.clients,
        tls_openings: manners.tls_openings,
        answers: Answers {
            proxy_openings: manners.proxy_openings,
            http_answers: manners.http_answers,
            bad_requests: manners.bad_requests,
            tls_answers: manners.tls_answers,
            tls_alerts: manners.tls_alerts,
            probes_bad_status: manners.probes_bad_status,
            probes_given_up: manners.probes_given_up,
            probes_lost: manners.probes_lost,
            probes_cut: manners.probes_cut,
            clients_cut: manners.clients_cut,
            bad_status: manners.bad_status,
            tls_alert: manners.tls_alert,
            wait: Duration::from_micros(manners.wait_microseconds),
        },
        drops: BTreeMap::new(),
    }
}
