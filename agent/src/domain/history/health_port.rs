//! Which port the health checks go to: what was said, and which of two watched ports they are seen on.

use std::collections::BTreeMap;

use crate::domain::{
    class::{Priors, Role},
    history::{History, UNSEEN_BEGIN},
    sample::TallyKey,
    sources::SourceTable,
    tally::Dropped,
    track::{ENOUGH, Manner, Track},
};

impl History {
    /// What is known of the target group: what was said, unless behaviour says otherwise.
    pub fn priors(&self) -> Priors {
        match self.seen_health_port {
            // The traffic port most likely: clients may come there, too.
            Some(port) => {
                Priors { health_port: Some(port), health_port_is_shared: true, ..self.watch.priors }
            }
            None => self.watch.priors,
        }
    }

    /// The health check port that was given and the one that is seen in its place.
    pub fn overturned_health_port(&self) -> Option<(u16, u16)> {
        self.watch.priors.health_port.zip(self.seen_health_port)
    }

    /// Whether health checks on the port that is seen say what they are. To connect and close without a word in a rhythm is
    /// also what a node does for a TLS listener, whatever the health check (AWS, NLB health checks: connectivity tests).
    pub fn is_seen_health_port_said(&self, sources: &SourceTable) -> bool {
        self.seen_health_port
            .is_some_and(|port| self.nodes_on(port, sources).any(|(_, track)| says_so(track)))
    }

    /// Learns whether nodes that leave the given port alone keep a rhythm of health checks on another one that is watched.
    /// That holds until one of them comes to the given port.
    pub(super) fn learn_health_port(&mut self, sources: &SourceTable) {
        let Some(given) = self.watch.priors.health_port else { return };
        if self.nodes_on(given, sources).any(|(_, track)| came(track)) {
            self.seen_health_port = None;
        } else if self.seen_health_port.is_none() {
            self.seen_health_port = self.rhythmic_port(given, sources);
        }
    }

    fn nodes_on<'a>(
        &'a self,
        port: u16,
        sources: &'a SourceTable,
    ) -> impl Iterator<Item = (TallyKey, &'a Track)> {
        let is_node = move |key: TallyKey| key.port == port && sources.role(key.slot) == Role::Node;
        self.tracks().filter(move |(key, _)| is_node(*key))
    }

    /// The port that most nodes keep a rhythm of health checks on.
    fn rhythmic_port(&self, given: u16, sources: &SourceTable) -> Option<u16> {
        let nodes = sources.iter().filter(|source| source.role == Role::Node).count();
        let mut found = BTreeMap::new();
        for port in self.watch.ports.iter().filter(|port| **port != given) {
            let rhythmic: Vec<_> =
                self.nodes_on(*port, sources).filter(|(_, track)| self.keeps_a_rhythm(track)).collect();
            // One node's may be a client that only looks like it: a monitor behind the NLB, say.
            let is_enough =
                rhythmic.len() >= 2.min(nodes) || rhythmic.iter().any(|(_, track)| says_so(track));
            if is_enough && !rhythmic.is_empty() {
                found.insert(rhythmic.len(), *port);
            }
        }
        found.pop_last().map(|(_, port)| port)
    }

    /// Recognised health checks in a rhythm, for three intervals at least.
    fn keeps_a_rhythm(&self, track: &Track) -> bool {
        let is_probe = matches!(track.manner(), Manner::Mixed | Manner::ProbesOnly);
        let interval =
            track.probes.beat().map(|beat| beat.interval.max(self.watch.health_interval.unwrap_or_default()));
        is_probe && interval.is_some_and(|interval| self.latest.at >= 3 * interval + UNSEEN_BEGIN)
    }
}

fn came(track: &Track) -> bool {
    track.total.arrived > 0 || track.total.drops_of(Dropped::SynBeforeHook) > 0
}

/// Whether its health checks are known by what they say, and not only by what they leave unsaid.
fn says_so(track: &Track) -> bool {
    track.total.answers.http_answers + track.total.answers.probes_given_up >= ENOUGH
}
