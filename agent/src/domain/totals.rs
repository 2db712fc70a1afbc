//! Counts by class and port that only grow, for readers that compute rates.
//!
//! A source's class may change while it is watched, once its connections tell more. What it did before stays where it was
//! counted: a total that moved from one class to another would look like a reset of the one and a burst of the other.

use std::collections::BTreeMap;

use crate::domain::{
    class::{Role, SourceClass},
    history::History,
    sample::TallyKey,
    sources::SourceTable,
    tally::Tally,
};

/// Counts by class and port since the agent began to watch.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Tallies at the latest update.
    seen: BTreeMap<TallyKey, Tally>,
    by_class: BTreeMap<(SourceClass, u16), Tally>,
}

impl Totals {
    /// Adds what was counted since the latest update, each source under the class it has now.
    pub fn update(&mut self, history: &History, sources: &SourceTable) {
        // Zero is a value, too: whoever waits for a first SYN needs the series before it comes.
        for source in sources.iter().filter(|source| source.role != Role::Own) {
            for port in &history.watch.ports {
                let class = history.watch.priors.classify(source.role, *port);
                self.by_class.entry((class, *port)).or_default();
            }
        }
        for (key, track) in history.tracks() {
            let seen = self.seen.entry(key).or_default();
            let step = track.total.since(seen);
            if !step.is_empty() {
                self.by_class.entry((history.class(key, sources), key.port)).or_default().add(&step);
                seen.clone_from(&track.total);
            }
        }
    }

    /// Class, port, and what was counted.
    pub fn iter(&self) -> impl Iterator<Item = (SourceClass, u16, &Tally)> {
        self.by_class.iter().map(|((class, port), tally)| (*class, *port, tally))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{class::Priors, history::Watch, sample::Sample, sources::Origin};

    const PORT: u16 = 8080;

    fn arrived(totals: &Totals) -> Vec<(SourceClass, u64)> {
        totals.iter().map(|(class, _, tally)| (class, tally.arrived)).collect()
    }

    #[test]
    fn a_source_that_turns_out_to_probe_keeps_what_it_did_before_under_its_old_class() {
        let mut sources = SourceTable::new(8);
        let node = "10.0.1.23/32".parse().expect("a prefix");
        sources.add(node, Role::Node, Origin::Flag, Duration::ZERO).expect("room");
        let mut history = History::new(Watch {
            ports: vec![PORT],
            priors: Priors::default(),
            ..crate::domain::history::Watch::default()
        });
        let mut totals = Totals::default();
        totals.update(&history, &sources);
        assert_eq!(arrived(&totals), [(SourceClass::NlbUndecided, 0)], "zero before the first SYN");
        let key = TallyKey { slot: sources.iter().next().expect("one").slot, port: PORT };
        for probes in 1..=5 {
            let tally = Tally { arrived: probes, served: probes, probes_served: probes, ..Tally::default() };
            history.observe(
                Sample {
                    at: Duration::from_secs(probes * 10),
                    tallies: [(key, tally)].into(),
                    ..Sample::default()
                },
                &sources,
            );
            totals.update(&history, &sources);
        }
        // Three connections of one kind make its class (`track::ENOUGH`).
        assert_eq!(arrived(&totals), [(SourceClass::NlbProbe, 3), (SourceClass::NlbUndecided, 2)]);
        totals.update(&history, &sources);
        assert_eq!(
            totals.iter().map(|(_, _, tally)| tally.arrived).sum::<u64>(),
            5,
            "nothing is counted twice"
        );
    }
}
