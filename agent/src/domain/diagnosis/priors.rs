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

/// Each source of nothing but health checks.
fn checkers<'a>(case: &Case<'a>) -> impl Iterator<Item = (TallyKey, &'a Track)> {
    let groups = case.groups().into_iter().filter(|group| group.class == SourceClass::NlbProbe);
    groups.flat_map(|group| group.members)
}

fn wrong_interval(case: &Case<'_>, given: Duration) -> Option<String> {
    let kept: Vec<_> = checkers(case)
        .filter_map(|(key, _)| Some((case.sources.label(key.slot), case.history.pace(key, case.sources)?)))
        .collect();
    let (_, seen) = kept.first()?;
    let labels: Vec<String> = kept.iter().map(|(label, _)| label.clone()).collect();
    Some(format!(
        "--health-interval {} was given, but health checks of {} come every {:.1} s: conclusions rest on what is seen",
        humantime::format_duration(given),
        list(&labels),
        seen.as_secs_f64()
    ))
}

fn wrong_protocol(case: &Case<'_>, given: Protocol) -> Option<String> {
    let seen = |track: &Track| spoken(track).filter(|seen| *seen != given);
    let wrong: Vec<_> = checkers(case)
        .filter_map(|(key, track)| Some((case.sources.label(key.slot), seen(track)?)))
        .collect();
    let (_, seen) = wrong.first()?;
    let labels: Vec<String> = wrong.iter().map(|(label, _)| label.clone()).collect();
    let what = match seen {
        Protocol::Tcp => "open a connection and close it without a word",
        Protocol::Http => "are HTTP in the clear",
        Protocol::Https => "are encrypted",
    };
    Some(format!(
        "--health-protocol {} was given, but health checks of {} {what}: conclusions rest on what is seen",
        given.name(),
        list(&labels)
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
