//! What is read of a target at one moment.

use std::time::{Duration, Instant};

use crate::{
    domain::{conntrack::Conntrack, host_counters::HostCounters, sample::Listener, tally::Tally},
    kernel::{
        counters,
        ethtool::AllowanceReader,
        interface::{self, LinkState},
        maps::MapAccessError,
        observer::{ObserveError, Target},
        sockets,
        tallies::Tallies,
        tcx,
    },
};

/// What belongs to one moment.
#[derive(Clone)]
pub struct Reading {
    /// The moment.
    pub at: Duration,
    /// The interface.
    pub link: LinkState,
    /// Counters of the namespace.
    pub host: HostCounters,
    /// Its connection tracking.
    pub conntrack: Option<Conntrack>,
    /// Its listeners, where they can be read.
    pub listeners: Option<Vec<Listener>>,
    /// A tc program of somebody else in front of the agent's.
    pub foreign_tc: Option<String>,
    /// What the agent's programs counted.
    pub tallies: Tallies,
}

impl Reading {
    /// Reads the namespace, and then the tallies: whatever the namespace makes the agent wait for, nothing that comes after
    /// the moment is missed by the tallies of the moment. Times count from `began`.
    fn take(
        target: &Target,
        own_program: Option<u32>,
        began: Instant,
        allowances: &mut AllowanceReader,
        tallies: impl FnOnce() -> Result<Tallies, MapAccessError>,
    ) -> Result<Self, ObserveError> {
        let (name, index) = (&target.interface.name, target.interface.index);
        let (link, host, conntrack, listeners, foreign_tc) = target.namespace.run(|| {
            let mut host = counters::read();
            host.allowances = allowances.read(began.elapsed(), name);
            let in_front = own_program.and_then(|own| tcx::in_front(name, index, own));
            (interface::link_state(index), host, counters::conntrack(), sockets::listeners().ok(), in_front)
        })?;
        let link = link.map_err(|source| ObserveError::Link { name: name.clone(), source })?;
        let link = link.ok_or_else(|| ObserveError::InterfaceGone(name.clone()))?;
        let at = began.elapsed();
        let tallies = tallies()?;
        Ok(Self { at, link, host, conntrack, listeners, foreign_tc, tallies })
    }
}

/// So many looks in a row may find that nothing happened, before the namespace is read all the same.
const RESTS: u32 = 6;

/// However long they take together.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// What the namespace has to explain.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Open {
    drops: u64,
    /// SYNs without an answer, less answers that were sent again.
    unanswered: u64,
}

impl Open {
    fn of(tallies: &Tallies) -> Self {
        let sum = |count: fn(&Tally) -> u64| tallies.values().map(count).fold(0, u64::wrapping_add);
        Self {
            drops: sum(|tally| tally.drops.values().sum()),
            unanswered: sum(|tally| tally.arrived).wrapping_sub(sum(|tally| tally.synacks)),
        }
    }
}

/// When the namespace is left alone.
#[derive(Default)]
struct Rest {
    /// Whether the latest tallies show what the namespace may not have counted yet, as it is read before them.
    is_ahead: bool,
    /// Whether connections wait to be accepted: that they go on to wait must be seen.
    is_awaited: bool,
    looks: u32,
    read_at: Duration,
    open: Open,
}

impl Rest {
    /// Whether tallies that did not move are enough.
    fn is_allowed(&self, at: Duration) -> bool {
        !self.is_ahead
            && !self.is_awaited
            && self.looks < RESTS
            && at.saturating_sub(self.read_at) < LONGEST_REST
    }

    /// All was read, and this is what had been dropped by then.
    fn end(&mut self, at: Duration, open: Open, is_awaited: bool) {
        *self = Self { is_ahead: open != self.open, is_awaited, looks: 0, read_at: at, open };
    }
}

/// Reads, as little as is needed: while no tally moves, the namespace is read at every seventh look only. Its counters, listeners
/// and rules explain what befalls a SYN, and none came; reading them is most of what an idle agent costs. Where something was
/// dropped or not answered it is read once more, for it may have counted the cause just after it was read; and it is read as long
/// as connections wait to be accepted.
#[derive(Default)]
pub struct Reader {
    latest: Option<Reading>,
    rest: Rest,
}

impl Reader {
    /// What belongs to this moment.
    ///
    /// # Errors
    ///
    /// When the namespace or the interface is gone, or those of `tallies`.
    pub fn take(
        &mut self,
        target: &Target,
        own_program: Option<u32>,
        began: Instant,
        allowances: &mut AllowanceReader,
        mut tallies: impl FnMut() -> Result<Tallies, MapAccessError>,
    ) -> Result<Reading, ObserveError> {
        let at = began.elapsed();
        if self.rest.is_allowed(at)
            && let Some(latest) = &mut self.latest
            && tallies()? == latest.tallies
        {
            self.rest.looks += 1;
            latest.at = at;
            return Ok(latest.clone());
        }
        let reading = Reading::take(target, own_program, began, allowances, tallies)?;
        let is_awaited = reading.listeners.iter().flatten().any(|listener| listener.backlog > 0);
        self.rest.end(reading.at, Open::of(&reading.tallies), is_awaited);
        self.latest = Some(reading.clone());
        Ok(reading)
    }

    /// Whether the namespace was read for the latest moment.
    pub const fn is_fresh(&self) -> bool {
        self.rest.looks == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::sample::TallyKey;

    const NOTHING: Open = Open { drops: 0, unanswered: 0 };

    #[test]
    fn it_rests_for_so_many_looks_and_so_long() {
        let mut rest = Rest::default();
        rest.end(Duration::from_secs(10), NOTHING, false);
        assert!(rest.is_allowed(Duration::from_secs(14)));
        assert!(!rest.is_allowed(Duration::from_secs(15)));
        rest.looks = RESTS;
        assert!(!rest.is_allowed(Duration::from_secs(11)));
    }

    #[test]
    fn what_was_dropped_or_not_answered_is_explained_before_it_rests() {
        for open in [Open { drops: 3, ..NOTHING }, Open { unanswered: 1, ..NOTHING }] {
            let mut rest = Rest::default();
            rest.end(Duration::from_secs(1), open, false);
            assert!(!rest.is_allowed(Duration::from_secs(1)), "the cause may have been counted since");
            rest.end(Duration::from_secs(1), open, false);
            assert!(rest.is_allowed(Duration::from_secs(1)));
        }
    }

    #[test]
    fn a_syn_that_was_answered_has_nothing_to_explain() {
        let tally = |arrived, synacks| Tally { arrived, synacks, ..Tally::default() };
        let open = |one| Open::of(&[(TallyKey { slot: 1, port: 80 }, one)].into());
        assert!(open(tally(7, 7)) == NOTHING);
        assert!(open(tally(7, 6)) == Open { unanswered: 1, ..NOTHING });
    }

    /// Nothing that the programs count moves when an application accepts at last.
    #[test]
    fn while_connections_wait_to_be_accepted_it_does_not_rest() {
        let mut rest = Rest::default();
        for (is_awaited, is_allowed) in [(true, false), (true, false), (false, true)] {
            rest.end(Duration::from_secs(1), NOTHING, is_awaited);
            assert_eq!(rest.is_allowed(Duration::from_secs(1)), is_allowed);
        }
    }
}
