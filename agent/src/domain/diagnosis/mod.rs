//! From evidence and time to findings. Pure: the same history at the same moment, after the same findings, gives the same.
//!
//! One file per stage that is not reached; [`precedence`] removes what a more specific cause explains.

mod absence;
mod accept;
mod admission;
mod advice;
mod allowance;
mod answer;
mod clients;
mod cookies;
mod duplicate;
mod expected;
mod hairpin;
mod header;
mod netfilter;
mod next_look;
mod other_port;
mod parts;
mod precedence;
mod priors;
mod reply;
mod return_route;
mod served;
mod shared;
mod silent;
mod start;
mod stopped;
mod tls;
mod translation;
mod unaccounted;

use std::{collections::BTreeMap, time::Duration};

use crate::domain::{
    class::{Role, SourceClass},
    finding::{Confidence, Finding},
    history::{GRACE, History, Trouble},
    ledger::Ledger,
    sample::TallyKey,
    sources::SourceTable,
    tally::Tally,
    track::Track,
};

pub use expected::{Expected, Kinds, expected};
pub use next_look::next_look;
pub use priors::{corrections, doubt};
pub use reply::often_unfinished;
pub use translation::Translation;
pub use unaccounted::unaccounted;

/// Everything a conclusion may rest on.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// What was observed.
    pub history: &'a History,
    /// Who may send.
    pub sources: &'a SourceTable,
    /// The moment.
    pub now: Duration,
    /// What was concluded before: what it takes to end a fault is not what it takes to begin one.
    pub open: &'a Ledger,
}

/// The sources of one class on one port.
pub struct Group<'a> {
    /// Class.
    pub class: SourceClass,
    /// Port.
    pub port: u16,
    /// Its sources' tallies.
    pub members: Vec<(TallyKey, &'a Track)>,
}

/// Trouble of one kind in a group.
#[derive(Debug, Default)]
pub struct Hit {
    sources: Vec<String>,
    failed: u64,
    of: u64,
}

impl Hit {
    /// Another source that has it.
    fn add(&mut self, source: String, failed: u64, of: u64) {
        self.sources.push(source);
        self.failed += failed;
        self.of += of;
    }

    /// Whether this source has it.
    fn includes(&self, case: &Case<'_>, key: TallyKey) -> bool {
        self.sources.contains(&case.sources.label(key.slot))
    }
}

/// All findings that hold now.
pub fn diagnose(case: &Case<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let groups = case.groups();
    for group in &groups {
        admission::examine(case, group, &mut findings);
        answer::examine(case, group, &mut findings);
        duplicate::examine(case, group, &mut findings);
        reply::examine(case, group, &mut findings);
        cookies::examine(case, group, &mut findings);
        accept::examine(case, group, &mut findings);
        tls::examine(case, group, &mut findings);
        start::examine(case, group, &mut findings);
    }
    let examined = groups.iter().filter(|group| served::is_examined(case, group));
    for part in parts::of(case, examined) {
        served::examine_part(case, &part, &mut findings);
    }
    absence::examine(case, &mut findings);
    clients::examine(case, &mut findings);
    hairpin::examine(case, &mut findings);
    allowance::examine(case, &mut findings);
    translation::examine(case, &mut findings);
    shared::examine(case, &mut findings);
    priors::examine(case, &mut findings);
    for finding in &mut findings {
        finding.confidence = finding.confidence.min(surest(case, finding));
    }
    precedence::apply(&mut findings);
    one_per_key(&mut findings);
    findings
}

/// As sure as a finding may be: where nothing but a rhythm says that its sources probe, what is said of probes is inferred.
fn surest(case: &Case<'_>, finding: &Finding) -> Confidence {
    let is_told_by_rhythm = |(key, _): (TallyKey, &Track)| {
        finding.sources.contains(&case.sources.label(key.slot))
            && case.history.is_told_by_rhythm(key, case.sources)
    };
    let rests_on_it = finding.class == SourceClass::NlbProbe && case.history.tracks().any(is_told_by_rhythm);
    if rests_on_it { Confidence::Inferred } else { Confidence::Proven }
}

/// Two proofs of one thing are one finding: the surer one, or the first, with the sources of both.
fn one_per_key(findings: &mut Vec<Finding>) {
    let mut kept: Vec<Finding> = Vec::new();
    for finding in findings.drain(..) {
        match kept.iter_mut().find(|other| other.key() == finding.key()) {
            None => kept.push(finding),
            Some(other) => {
                let surer = (finding.severity, finding.confidence) > (other.severity, other.confidence);
                let (winner, loser) = if surer { (finding, other.clone()) } else { (other.clone(), finding) };
                let more = loser.sources.into_iter().filter(|source| !winner.sources.contains(source));
                let sources = winner.sources.iter().cloned().chain(more).collect();
                *other = Finding { sources, ..winner };
            }
        }
    }
    *findings = kept;
}

/// Whether a node is to be looked for on ports that are not watched.
pub fn misses_probes(case: &Case<'_>) -> bool {
    expected(case).iter().any(|node| other_port::is_sought(case, node))
}

/// Whether and where a watched port's traffic is translated inside the host.
pub fn translation(case: &Case<'_>, port: u16) -> Translation {
    translation::find(case, port)
}

impl<'a> Case<'a> {
    /// Sources by class and port, but for the target itself: what it sends to itself says nothing of anybody else.
    pub fn groups(&self) -> Vec<Group<'a>> {
        let mut groups: BTreeMap<(SourceClass, u16), Vec<(TallyKey, &'a Track)>> = BTreeMap::new();
        for (key, track) in self.history.tracks().filter(|(key, _)| !self.is_own(*key)) {
            groups.entry((self.history.class(key, self.sources), key.port)).or_default().push((key, track));
        }
        groups.into_iter().map(|((class, port), members)| Group { class, port, members }).collect()
    }

    /// Whether a tally is that of one of the target's own addresses.
    pub fn is_own(&self, key: TallyKey) -> bool {
        self.sources.role(key.slot) == Role::Own
    }

    /// Whether trouble of this group is anybody's concern. A firewall that turns strangers away does its work, so
    /// unnamed sources count only while nobody is named.
    pub fn concerns(&self, group: &Group<'_>) -> bool {
        group.class != SourceClass::Other || self.sources.is_unnamed()
    }

    /// Whether the trouble may be that of a few strangers, a port scanner say: nobody is named, and some come through.
    /// What hits the listener hits everybody; what hits single senders must then hit all of them to be told.
    pub fn may_be_strangers(&self, group: &Group<'_>) -> bool {
        group.class == SourceClass::Other
            && group.members.iter().any(|(_, track)| self.recent(track).established > 0)
    }

    /// Tally of a source within the window, without the attempts that are too young to judge.
    pub fn settled(&self, track: &Track) -> Tally {
        let (from, to) = self.settled_window();
        track.between(from, to)
    }

    fn settled_window(&self) -> (Duration, Duration) {
        (self.now.saturating_sub(self.history.window()), self.now.saturating_sub(GRACE))
    }

    /// Tally of a source within the window.
    pub fn recent(&self, track: &Track) -> Tally {
        track.between(self.now.saturating_sub(self.history.window()), self.now)
    }

    /// The members of a group with trouble of one kind.
    fn hit(
        &self,
        group: &Group<'_>,
        failing: impl Fn(&Tally) -> u64 + Copy,
        passing: impl Fn(&Tally) -> u64 + Copy,
    ) -> Option<Hit> {
        let mut hit = Hit::default();
        for (key, track) in &group.members {
            if let Some(Trouble { failed, of }) = self.history.trouble(track, self.now, failing, passing) {
                hit.add(self.sources.label(key.slot), failed, of);
            }
        }
        (!hit.sources.is_empty()).then_some(hit)
    }

    /// Seconds of evidence in the window, for a summary.
    fn evidence_seconds(&self) -> u64 {
        self.now.min(self.history.window()).as_secs().max(1)
    }

    /// Latest arrival of a client, by whatever address.
    fn last_client(&self) -> Option<Duration> {
        let last = |(key, track): (TallyKey, &Track)| match self.history.class(key, self.sources) {
            class if class.is_client() => track.arrivals.last,
            SourceClass::NlbUndecided if !track.manner().is_encrypted() => track.last_client,
            _ => None,
        };
        self.history.tracks().filter_map(last).max()
    }
}

/// "10.0.1.23", "10.0.1.23 and 10.0.2.31", "10.0.1.23 and 4 others".
fn list(sources: &[String]) -> String {
    match sources {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [one, two] => format!("{one} and {two}"),
        [first, rest @ ..] => format!("{first} and {} others", rest.len()),
    }
}

/// "30 s", "0.5 s".
fn spoken(time: Duration) -> String {
    let tenths = time.as_millis() / 100;
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
mod tests;
