//! Waits for something with a deadline and a message, not for a time.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// How many times slower this machine is than a real one (`LAB_PACE`): an emulated one needs longer intervals, fewer
/// requests and more patience for the same story.
///
/// # Panics
///
/// When `LAB_PACE` is no number from 1.
pub fn pace() -> u32 {
    std::env::var("LAB_PACE").map_or(1, |text| {
        text.parse()
            .ok()
            .filter(|pace| *pace > 0)
            .unwrap_or_else(|| panic!("LAB_PACE={text} is no number from 1"))
    })
}

/// Looks until `look` gives something. On a slow machine the limit is longer.
///
/// # Panics
///
/// When that takes longer than `limit`.
#[track_caller]
pub fn for_some<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let limit = limit * pace();
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
