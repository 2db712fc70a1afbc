//! What is read of a target at one moment.

use std::time::{Duration, Instant};

use crate::{
    domain::{conntrack::Conntrack, host_counters::HostCounters, sample::Listener},
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

/// When the namespace is left alone.
#[derive(Default)]
struct Rest {
    /// Whether the latest tallies have drops that what explains them may not have counted yet, as it is read before them.
    is_ahead: bool,
    looks: u32,
    read_at: Duration,
    drops: u64,
}

impl Rest {
    /// Whether tallies that did not move are enough.
    fn is_allowed(&self, at: Duration) -> bool {
        !self.is_ahead && self.looks < RESTS && at.saturating_sub(self.read_at) < LONGEST_REST
    }

    /// All was read, and this is what had been dropped by then.
    fn end(&mut self, at: Duration, drops: u64) {
        *self = Self { is_ahead: drops != self.drops, looks: 0, read_at: at, drops };
    }
}

/// Reads, as little as is needed: while no tally moves, the namespace is read at every seventh look only. Its counters, listeners
/// and rules explain what befalls a SYN, and none came; reading them is most of what an idle agent costs. Where something was
/// dropped it is read once more, for it may have counted the cause just after it was read.
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
        let dropped = reading.tallies.values().flat_map(|tally| tally.drops.values()).sum();
        self.rest.end(reading.at, dropped);
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

    #[test]
    fn it_rests_for_so_many_looks_and_so_long() {
        let mut rest = Rest::default();
        rest.end(Duration::from_secs(10), 0);
        assert!(rest.is_allowed(Duration::from_secs(14)));
        assert!(!rest.is_allowed(Duration::from_secs(15)));
        rest.looks = RESTS;
        assert!(!rest.is_allowed(Duration::from_secs(11)));
    }

    #[test]
    fn what_was_dropped_is_explained_before_it_rests() {
        let mut rest = Rest::default();
        rest.end(Duration::from_secs(1), 3);
        assert!(!rest.is_allowed(Duration::from_secs(1)), "the cause may have been counted since");
        rest.end(Duration::from_secs(1), 3);
        assert!(rest.is_allowed(Duration::from_secs(1)));
    }
}
