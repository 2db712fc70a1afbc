//! One reading of everything: what the programs counted, what the namespace says, and what was lost.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    os::fd::RawFd,
    time::Instant,
};

use agent_common::drop::ElsewhereKey;

use crate::{
    domain::{
        rules::Rules,
        sample::{Loss, Sample},
        sources::SourceTable,
    },
    kernel::{
        attached, counters, nftables,
        observer::{ObserveError, Observer},
        procfs::read_text,
        reading::Reading,
        routes, rule_reader, tallies,
    },
};

impl Observer {
    /// Reads everything once. Times count from `began`.
    ///
    /// # Errors
    ///
    /// When the namespace or the interface is gone, or a map cannot be read.
    pub fn sample(&mut self, began: Instant, sources: &SourceTable) -> Result<Sample, ObserveError> {
        if let Some(log) = &mut self.log {
            log.flush();
        }
        let (reading, rules) = self.reading_and_rules(began, sources)?;
        if self.reader.is_fresh() {
            self.recursion_misses = self.count_recursion_misses();
        }
        self.look_who_drops(&reading)?;
        let without_route = self.look_for_routes(&reading, sources)?;
        let by_slot_and_port = |counts: Vec<(ElsewhereKey, u64)>| {
            counts.into_iter().map(|(key, count)| ((key.slot, key.port as u16), count)).collect()
        };
        let elsewhere = by_slot_and_port(self.maps.elsewhere()?);
        let strays = by_slot_and_port(self.maps.strays()?);
        let loss = self.maps.loss()?;
        self.maps.probes.make_room(loss.probes)?;
        let Reading { at, link, mut host, conntrack, listeners, foreign_tc, tallies } = reading;
        host.interface_packets = link.received_packets;
        let foreign_xdp = link.xdp_programs.first().map(|id| format!("id {id}"));
        Ok(Sample {
            at,
            tallies,
            host,
            conntrack,
            rules,
            listeners,
            elsewhere,
            strays,
            foreign_xdp,
            foreign_tc,
            without_route,
            other_programs: self.others.found().to_vec(),
            loss: Loss {
                drops: loss.drops,
                elsewhere: loss.elsewhere,
                strays: loss.strays,
                probes: loss.probes,
                recursion_misses: self.recursion_misses,
                sources: self.lost_sources,
                output_lines: 0,
                shipping_lines: 0,
            },
        })
    }

    fn reading_and_rules(
        &mut self,
        began: Instant,
        sources: &SourceTable,
    ) -> Result<(Reading, Option<Rules>), ObserveError> {
        let own_program = self.programs.ingress_id();
        let Self { maps, facts, target, allowances, rules, reader, .. } = self;
        let reading = || {
            reader.take(target, own_program, began, allowances, || {
                tallies::read(maps, facts, &target.ports, sources)
            })
        };
        rules.read(
            reading,
            |reading| rule_reader::netfilter_drops(&reading.tallies),
            || Ok(target.namespace.run(nftables::dropping_rules)?),
        )
    }

    /// Looks again who else is attached, where a program dropped something: whoever did may have come meanwhile.
    fn look_who_drops(&mut self, reading: &Reading) -> Result<(), ObserveError> {
        let drops = attached::drops(&reading.tallies);
        let Self { target, programs, others, .. } = self;
        others.note(&reading.link.xdp_programs, drops);
        if others.is_due(drops, Instant::now()) {
            target.namespace.run(|| others.look(target.interface.index, &programs.ids(), drops))?;
        }
        Ok(())
    }

    /// Asks for the routes back to whoever may have sent the SYNs that the kernel gave up: nodes, and of others those that were
    /// seen of late.
    fn look_for_routes(
        &mut self,
        reading: &Reading,
        sources: &SourceTable,
    ) -> Result<BTreeMap<u32, IpAddr>, ObserveError> {
        if !self.routes.is_due(&reading.host) {
            return Ok(BTreeMap::new());
        }
        let slots: BTreeSet<u32> = reading.tallies.keys().map(|key| key.slot).collect();
        let single = slots.into_iter().filter_map(|slot| Some((slot, sources.label(slot).parse().ok()?)));
        let recent = self.maps.senders.recent()?.into_iter().map(|sender| (sender.slot, sender.address));
        let Self { target, .. } = self;
        Ok(target.namespace.run(|| routes::missing(&target.interface.addresses, single.chain(recent)))?)
    }

    /// Times a program of ours was skipped because it would have interrupted itself, from the programs' fdinfo. That befalls
    /// tracepoints only (`__bpf_trace_run`, kernel/trace/bpf_trace.c, v6.1).
    fn count_recursion_misses(&self) -> u64 {
        let misses = |descriptor: RawFd| {
            counters::parse_recursion_misses(&read_text(format!("/proc/self/fdinfo/{descriptor}")).ok()?)
        };
        self.programs.tracepoint_descriptors().into_iter().filter_map(misses).sum()
    }
}
