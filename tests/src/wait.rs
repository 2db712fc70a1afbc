//! Waits for something with a deadline and a message, not for a time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Looks until `look` gives something.
///
/// # Panics
///
/// When that takes longer than `limit`.
#[track_caller]
pub fn for_some<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain for {what}");
        sleep(PAUSE);
    }
}

/// Looks until `look` says yes.
///
/// # Panics
///
/// When that takes longer than `limit`.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    for_some(what, limit, || look().then_some(()));
}
