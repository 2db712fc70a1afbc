//! When to try again what failed: soon at first, then ever more seldom.

use std::time::{Duration, Instant};

/// A namespace that was just made may not have its route yet.
const FIRST: Duration = Duration::from_secs(1);
/// What a kernel refuses it refuses every time, and asking costs a quarter of a second of CPU time.
const LAST: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    from: Instant,
    pause: Duration,
}

impl Retry {
    /// It failed at `now`, for the first time.
    pub fn after(now: Instant) -> Self {
        Self { from: now, pause: FIRST }
    }

    /// Whether it is time to try. If so, the next time is later.
    pub fn is_due(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.from) < self.pause {
            return false;
        }
        *self = Self { from: now, pause: (2 * self.pause).min(LAST) };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_tried_soon_at_first_and_ever_more_seldom() {
        let began = Instant::now();
        let mut retry = Retry::after(began);
        let due = (0..200).filter(|second| retry.is_due(began + Duration::from_secs(*second)));
        assert_eq!(due.collect::<Vec<_>>(), [1, 3, 7, 15, 31, 63, 123, 183]);
    }
}
