//! The table of connections that began like a health check: the programs fill and empty it.

use std::{collections::BTreeMap, time::Duration};

use agent_common::tally::{ALL_SHARES, ConnectionKey, ProbeState, share_of};
use aya::{
    Ebpf,
    maps::{Array, HashMap, MapData, MapError},
};
use rustix::time::{ClockId, clock_gettime};

use crate::kernel::maps::{MapAccessError, at, take, was_there};

/// A health check lasts no longer than its timeout, which is 120 s at most (`HealthCheckTimeoutSeconds`, Elastic Load
/// Balancing API, `CreateTargetGroup`). What is older ended in a run that the kernel skipped, or is no health check.
const OLDEST: Duration = Duration::from_secs(300);

const NAME: &str = "PROBES";
const SWEPT: &str = "SWEPT";

/// See the module.
pub struct ProbeTable {
    map: HashMap<MapData, ConnectionKey, ProbeState>,
    /// What is taken out here, for the programs to know that it is free again.
    swept_map: Array<MapData, u64>,
    swept: BTreeMap<u32, u64>,
    lost: u64,
}

impl ProbeTable {
    /// Takes the map out of a loaded object.
    ///
    /// # Errors
    ///
    /// When it is missing or of another kind.
    pub fn take(object: &mut Ebpf) -> Result<Self, MapAccessError> {
        Ok(Self {
            map: take(object, NAME)?,
            swept_map: take(object, SWEPT)?,
            swept: BTreeMap::new(),
            lost: 0,
        })
    }

    /// Takes out what has been there too long, if connections found no place since the last time: `lost` is how many did
    /// so far.
    ///
    /// # Errors
    ///
    /// When the kernel refuses.
    pub fn make_room(&mut self, lost: u64) -> Result<(), MapAccessError> {
        if lost == self.lost {
            return Ok(());
        }
        self.lost = lost;
        let clock = clock_gettime(ClockId::Monotonic);
        let now = Duration::new(clock.tv_sec.unsigned_abs(), clock.tv_nsec as u32);
        let old: Result<Vec<_>, MapError> = self
            .map
            .iter()
            .filter(|entry| entry.as_ref().map_or(true, |(_, state)| is_old(state, now)))
            .collect();
        for (key, state) in old.map_err(at(NAME))? {
            // It may have ended meanwhile.
            if was_there(self.map.remove(&key)).map_err(at(NAME))? {
                self.is_free(ALL_SHARES)?;
                self.is_free(share_of(state.slot))?;
            }
        }
        Ok(())
    }

    fn is_free(&mut self, share: u32) -> Result<(), MapAccessError> {
        let swept = self.swept.entry(share).or_default();
        *swept += 1;
        self.swept_map.set(share, *swept, 0).map_err(at(SWEPT))
    }
}

/// `now`: the clock that programs read with `bpf_ktime_get_ns`.
fn is_old(state: &ProbeState, now: Duration) -> bool {
    now.saturating_sub(Duration::from_nanos(state.began_nanoseconds)) > OLDEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_longer_than_any_health_check_is_old() {
        let began = |nanoseconds| ProbeState { began_nanoseconds: nanoseconds, ..ProbeState::default() };
        let now = Duration::from_secs(1_000);
        assert!(is_old(&began(699_000_000_000), now));
        assert!(!is_old(&began(701_000_000_000), now));
        // Begun after the clock was read.
        assert!(!is_old(&began(1_001_000_000_000), now));
    }
}
