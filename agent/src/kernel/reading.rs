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

/// Reads, as little as is needed: while no tally moves, the namespace is read at every seventh look only. Its counters, listeners
/// and rules explain what befalls a SYN, and none came; reading them is most of what an idle agent costs.
#[derive(Default)]
pub struct Reader {
    latest: Option<Reading>,
    rests: u32,
    read_at: Duration,
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
        if self.rests < RESTS
            && at.saturating_sub(self.read_at) < LONGEST_REST
            && let Some(latest) = &mut self.latest
            && tallies()? == latest.tallies
        {
            self.rests += 1;
            latest.at = at;
            return Ok(latest.clone());
        }
        let reading = Reading::take(target, own_program, began, allowances, tallies)?;
        (self.rests, self.read_at) = (0, reading.at);
        self.latest = Some(reading.clone());
        Ok(reading)
    }

    /// Whether the namespace was read for the latest moment.
    pub const fn is_fresh(&self) -> bool {
        self.rests == 0
    }
}
