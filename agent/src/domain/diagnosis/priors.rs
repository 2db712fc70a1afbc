//! What the operator said of the health check and what is seen of it, where the two differ. What is seen holds.

use std::time::Duration;

use crate::domain::{
    class::SourceClass,
    diagnosis::{Case, list},
    health::Protocol,
    sample::TallyKey,
    track::{ENOUGH, Track},
};

/// What was given and does not hold, a sentence each.
pub fn corrections(case: &Case<'_>) -> Vec<String> {
    let given = &case.history.watch;
    let overturned = given.health_interval.filter(|_| case.history.is_interval_overturned());
    let interval = overturned.and_then(|given| wrong_interval(case, given));
    let protocol = given.health_protocol.and_then(|given| wrong_protocol(case, given));
    interval.into_iter().chain(protocol).collect()
}

/// Sources of nothing but health checks of which something is told, and what is told of the first.
fn told<T>(case: &Case<'_>, tell: impl Fn(TallyKey, &Track) -> Option<T>) -> Option<(String, T)> {
    let groups = case.groups().into_iter().filter(|group| group.class == SourceClass::NlbProbe);
    let checkers = groups.flat_map(|group| group.members);
    let (labels, all): (Vec<_>, Vec<_>) =
        checkers.filter_map(|(key, track)| Some((case.sources.label(key.slot), tell(key, track)?))).unzip();
    Some((list(&labels), all.into_iter().next()?))
}

fn wrong_interval(case: &Case<'_>, given: Duration) -> Option<String> {
    let (labels, seen) = told(case, |key, _| case.history.pace(key, case.sources))?;
    Some(format!(
        "--health-interval {} was given, but health checks of {labels} come every {:.1} s: conclusions rest on what is seen",
        humantime::format_duration(given),
        seen.as_secs_f64()
    ))
}

fn wrong_protocol(case: &Case<'_>, given: Protocol) -> Option<String> {
    let (labels, seen) = told(case, |_, track| spoken(track).filter(|seen| *seen != given))?;
    let what = match seen {
        Protocol::Tcp => "open a connection and close it without a word",
        Protocol::Http => "are HTTP in the clear",
        Protocol::Https => "are encrypted",
    };
    let given = given.name();
    Some(format!(
        "--health-protocol {given} was given, but health checks of {labels} {what}: conclusions rest on what is seen"
    ))
}

/// What the health checks of a source speak, once enough have ended.
fn spoken(track: &Track) -> Option<Protocol> {
    let total = &track.total;
    let answers = &total.answers;
    let in_clear = answers.http_answers + answers.probes_given_up;
    if total.tls_openings >= ENOUGH {
        Some(Protocol::Https)
    } else if in_clear >= ENOUGH {
        Some(Protocol::Http)
    } else {
        // One that is cut before it was answered may have been any of them.
        let is_bare = total.tls_openings + in_clear + answers.probes_cut + answers.tls_alerts == 0;
        (is_bare && total.probes_served >= ENOUGH).then_some(Protocol::Tcp)
    }
}
