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
    ///
    /// # Errors
    ///
    /// When the namespace or the interface is gone, or those of `tallies`.
    pub fn take(
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
