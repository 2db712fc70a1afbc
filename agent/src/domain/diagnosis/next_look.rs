//! How soon to look again, where a look before its time would tell what this one only shows.

use std::time::Duration;

use crate::domain::diagnosis::{Case, accept, answer, reply, return_route};

/// Where what hangs now is either answered or stuck when it is looked at again.
const SOON: Duration = Duration::from_millis(150);

/// How soon another look would tell what is wrong; `None` where there is no hurry. First what is cheap: this is asked at every
/// reading of every target.
pub fn next_look(case: &Case<'_>) -> Option<Duration> {
    let hangs = return_route::hangs(case) || answer::hang_before_queue(case) || reply::hangs(case);
    let soon = hangs.then_some(SOON);
    soon.into_iter().chain(accept::due(case)).min()
}
